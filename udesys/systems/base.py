"""What a built-in system says about itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from udesys.model import tree as T
from udesys.model.grammar import parse_expression


@dataclass(frozen=True, kw_only=True)
class System:
    """A system whose whole law is known, and the half of it that a spec is given.

    Attributes:
        name: also the name of its file.
        title: one line about it.
        units: state -> unit; its order is the states' order, a velocity follows its state.
        equations: the spec's equations, with networks for what is kept back.
        parameters: the spec's parameters: name -> number, or a table with start, bounds and unit.
        truth: state -> right side in the equation language, over the states, `constants` and t.
        constants: name -> true value.
        x0: state -> initial value.
        t: sample times.
        time_unit: of `t`; empty where the system has none.
        source: where the law, its constants and its setting come from.
    """

    name: str
    title: str
    units: Mapping[str, str]
    equations: str
    parameters: Mapping[str, float | Mapping]
    truth: Mapping[str, str]
    constants: Mapping[str, float]
    x0: Mapping[str, float]
    t: tuple[float, ...]
    time_unit: str = ""
    source: str

    @property
    def states(self) -> tuple[str, ...]:
        """Names of the states."""
        return tuple(self.units)

    def true_rhs(self) -> tuple[T.Tree, ...]:
        """The true right sides, one tree for each state, with the constants' values in place."""
        values = {name: T.Number(float(value)) for name, value in self.constants.items()}
        return tuple(T.substitute(parse_expression(self.truth[state]), values) for state in self.states)

    def __str__(self) -> str:
        width = max(map(len, self.states)) + 1
        lines = [f"{self.name}  {self.title}", "  given to the spec:"]
        lines += [f"    {line}" for line in self.equations.strip().splitlines()]
        lines += ["  truth:", *(f"    {s + chr(39):<{width}} = {self.truth[s]}" for s in self.states)]
        lines.append("    " + ", ".join(f"{name} = {value:g}" for name, value in self.constants.items()))
        lines.append(f"  source: {self.source}")
        return "\n".join(lines)
