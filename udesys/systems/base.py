"""What a built-in system says about itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from udesys.model import Grid, HybridODE, Parameter
from udesys.model import tree as T
from udesys.model.grammar import parse_expression


@dataclass(frozen=True, kw_only=True)
class System:
    """A system whose whole law is known, the half of it that a spec is given, and an experiment with it.

    Attributes:
        name: also the name of its file.
        title: one line about it.
        units: state -> unit, empty where it has none; its order is the states' order, a velocity follows its state.
        equations: the spec's equations, with networks for the missing terms.
        missing: call of a network, as the equations write it -> its true formula over states, inputs, `constants`
            and t; empty where only coefficients are sought.
        parameters: the spec's parameters: name -> number, or a table with start, bounds and unit.
        constants: name -> true value, of the equations' parameters and of the missing terms.
        starts: state -> initial value, one for each run; of a field an expression of the position.
        t: sample times of every run.
        covariates: name -> a number for each run, which holds for the whole of it.
        stays_zero: states that do not leave zero, as the spec is told.
        grid: where the states are fields, their points and ends.
        inputs: name -> what drives the system, as a function of t in the equation language.
        measured: states with a column; those that are no velocity where it is empty.
        heldout: names of the runs, counted from "0", that the spec keeps aside.
        free: constants that each missing term needs where all of its coefficients have to be found; those of its
            formula where it is empty.
        stiff: an explicit method takes forever.
        each: noise is a share of every value, not of its state's mean.
        time_unit: of `t`; empty where the system has none.
        source: where the law, its constants and its setting come from.
    """

    name: str
    title: str
    units: Mapping[str, str]
    equations: str
    missing: Mapping[str, str]
    parameters: Mapping[str, float | Mapping] = field(default_factory=dict)
    constants: Mapping[str, float]
    starts: Sequence[Mapping[str, float | str]]
    t: tuple[float, ...]
    covariates: Mapping[str, Sequence[float]] = field(default_factory=dict)
    stays_zero: tuple[str, ...] = ()
    grid: Grid | None = None
    inputs: Mapping[str, str] = field(default_factory=dict)
    measured: tuple[str, ...] = ()
    heldout: tuple[str, ...] = ()
    free: tuple[int, ...] = ()
    stiff: bool = False
    each: bool = False
    time_unit: str = ""
    source: str

    @property
    def states(self) -> tuple[str, ...]:
        """Names of the states."""
        return tuple(self.units)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the measured states."""
        return self.measured or tuple(state for state in self.states if not state.endswith("'"))

    @property
    def known(self) -> dict[str, float]:
        """The parameters that the spec fixes, with their values."""
        return {name: value for name, value in self.parameters.items() if not isinstance(value, Mapping)}

    @property
    def truth(self) -> str:
        """The whole law: the equations with the true formulas in place of the networks."""
        return with_formulas(self.equations, self.missing)

    def hybrid(self) -> HybridODE:
        """The model that the spec has: the known part, with networks for the missing one."""
        given = {n: Parameter(**v) if isinstance(v, Mapping) else v for n, v in self.parameters.items()}
        names = {"inputs": tuple(self.inputs), "covariates": tuple(self.covariates)}
        return HybridODE(self.equations, given, **names, stays_zero=self.stays_zero, grid=self.grid)

    def true_model(self) -> HybridODE:
        """The whole law, all constants fixed at their values."""
        names = {"inputs": tuple(self.inputs), "covariates": tuple(self.covariates)}
        return HybridODE(self.truth, self.constants, **names, grid=self.grid)

    def true_rhs(self) -> tuple[T.Tree, ...]:
        """The true right sides over the states, covariates and t, a tree for each state, with all constants' values."""
        model = self.true_model()
        values = {**model.fixed_values, **{name: parse_expression(text) for name, text in self.inputs.items()}}
        return tuple(T.substitute(right, values) for right in model.rhs)

    def __str__(self) -> str:
        lines = [f"{self.name}  {self.title}", f"  states and time: {self.states_line()}", "  given to the spec:"]
        lines += [f"    {line.strip()}" for line in self.equations.strip().splitlines()]
        lines += ["  truth:", *(f"    {line}" for line in self.truth_lines())]
        lines.append(f"  source: {self.source}")
        return "\n".join(lines)

    def states_line(self) -> str:
        """States and time with their units."""
        named = [*self.units.items(), ("t", self.time_unit)]
        return ", ".join(f"{name} [{unit}]" if unit else name for name, unit in named)

    def truth_lines(self) -> list[str]:
        """What the spec is not told, for a reader."""
        lines = [f"{call} = {formula}" for call, formula in self.missing.items()]
        lines += [f"{name}(t) = {formula}" for name, formula in self.inputs.items()]
        lines += [f"{name} from {min(v):g} to {max(v):g}" for name, v in self.covariates.items()]
        lines += [] if self.grid is None else [f"fields on {self.grid}"]
        constants = ", ".join(f"{name} = {value:g}" for name, value in self.constants.items())
        return [*lines, *([constants] if constants else [])]


def with_formulas(equations: str, missing: Mapping[str, str]) -> str:
    """Equations with a formula in place of every call of a network.

    Args:
        equations: in the equation language.
        missing: call, as the equations write it -> formula.
    """
    for call, formula in missing.items():
        equations = equations.replace(call, f"({formula})")
    return equations


def sampled(until: float, step: float, start: float = 0.0) -> tuple[float, ...]:
    """Times at equal steps, the ends included, as their shortest decimals.

    Args:
        until: the last time [the system's time unit].
        step: between two times.
        start: the first time.
    """
    return tuple(round(start + step * k, 10) for k in range(round((until - start) / step) + 1))
