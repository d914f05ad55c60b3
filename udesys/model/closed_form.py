"""A hybrid with a formula in place of every network: simulated with exact sensitivities, printed, exported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from udesys.model import tree as T
from udesys.model.hybrid import HybridODE
from udesys.model.program import Program


@dataclass(frozen=True)
class Formula:
    """A closed form for one missing term.

    Args:
        tree: over the slot's argument names and the constants' names.
        constants: name -> value; the names occur nowhere else in the model.
    """

    tree: T.Tree
    constants: Mapping[str, float]


class ClosedForm:
    """The right sides with formulas in place, as functions of states, estimated parameters and constants.

    Args:
        model: the hybrid.
        formulas: term -> Formula, one for every term of the model.
        parameters: estimated parameter -> value.
        stiff: simulate by the implicit method.

    Attributes:
        names: the unknowns: estimated parameters, then `(term, constant)` pairs.
        labels: the same as they are printed, and as the right sides have them: `alpha`, `NN1.c0`.
        values: (unknowns,) their values.
        rhs: one tree per state over `inputs`.
        observed: one tree per observable, likewise.
    """

    def __init__(
        self,
        model: HybridODE,
        formulas: Mapping[str, Formula],
        parameters: Mapping[str, float],
        *,
        stiff: bool = False,
    ):
        self.model, self.formulas, self.stiff = model, dict(formulas), stiff
        self.d = len(model.states)
        pairs = [(term, c) for term in model.terms for c in formulas[term].constants]
        self.names: tuple = (*model.estimated, *pairs)
        self.values = np.array(
            [parameters[n] for n in model.estimated] + [formulas[term].constants[c] for term, c in pairs], dtype=float
        )
        unique = {pair: f"{pair[0]}.{pair[1]}" for pair in pairs}
        renamed = {}
        for term in model.terms:
            names = {c: T.Symbol(unique[term, c]) for c in formulas[term].constants}
            renamed[term] = T.substitute(formulas[term].tree, names)
        fixed = model.fixed_values
        self.rhs = tuple(T.substitute(r, fixed) for r in model.with_formulas(renamed))
        self.observed = tuple(T.substitute(tree, fixed) for tree in model.observe.values())
        self.labels = [*model.estimated, *(unique[p] for p in pairs)]
        self._program = self._sensitive = self._observing = self._observing_slopes = None
        self._jumping: dict[bool, Program] = {}

    @property
    def inputs(self) -> list[str]:
        """States, unknowns, t, then the model's inputs and covariates: the inputs of the programs."""
        return [*self.model.states, *self.labels, "t", *self.model.exogenous]

    @property
    def program(self) -> Program:
        """dx/dt."""
        if self._program is None:
            self._program = Program(self.rhs, self.inputs)
        return self._program

    @property
    def sensitive_program(self) -> Program:
        """dx/dt, df/dx and df/d(unknowns), by rows."""
        if self._sensitive is None:
            by_state = [T.derivative(r, s) for r in self.rhs for s in self.model.states]
            by_unknown = [T.derivative(r, s) for r in self.rhs for s in self.labels]
            self._sensitive = Program([*self.rhs, *by_state, *by_unknown], self.inputs)
        return self._sensitive

    @cached_property
    def spatial_program(self) -> Program:
        """dx/dt, then by rows df/dx, df/d(operators along the grid) and df/d(unknowns)."""
        names = (self.model.states, [part.name for part in self.model.spatial], self.labels)
        slopes = [T.derivative(r, s) for group in names for r in self.rhs for s in group]
        return Program([*self.rhs, *slopes], self.inputs)

    def simulate(self, x0, t, segments, steps, *, pieces=None, values=None, sensitivities=False, partial=False):
        """Simulate segments of one time axis; see `integrate.machine.simulate`, or the same of `implicit_machine`.

        Of fields on a grid the segments are the points of whole runs; see `model.along_grid.simulate_form`.
        """
        values = self.values if values is None else values
        if self.model.grid is not None:
            from udesys.model.along_grid import simulate_form

            options = {"pieces": pieces, "sensitivities": sensitivities, "partial": partial}
            return simulate_form(self, values, x0, t, segments, steps, **options)
        if self.stiff:
            from udesys.integrate import implicit_machine

            point = (self.sensitive_program, self.d, values, x0, t, segments, steps)
            return implicit_machine.simulate(*point, pieces=pieces, sensitivities=sensitivities, partial=partial)
        from udesys.integrate.machine import simulate

        jumps = self.jumps
        if jumps:
            program = self._with_jumps(sensitivities)
        else:
            program = self.sensitive_program if sensitivities else self.program
        point = (program, self.d, values, x0, t, segments, steps)
        return simulate(*point, pieces=pieces, sensitivities=sensitivities, signs=len(jumps), partial=partial)

    @cached_property
    def jumps(self) -> list[T.Tree]:
        """What the signs in the right sides are of, at whose zeros they jump."""
        nodes = [node for tree in self.rhs for node in T.walk(tree) if isinstance(node, T.Operation)]
        return list(dict.fromkeys(node.args[0] for node in nodes if node.op == "sign"))

    def _with_jumps(self, sensitive: bool) -> Program:
        """The program with every sign as an input, and what it is of as a result."""
        if sensitive not in self._jumping:
            names = {T.call("sign", tree): T.Symbol(f"sign {k}") for k, tree in enumerate(self.jumps)}
            trees = [T.replace(tree, names) for tree in self.rhs]
            arguments, results = [T.replace(tree, names) for tree in self.jumps], list(trees)
            if sensitive:
                results += [T.derivative(tree, s) for tree in trees for s in self.model.states]
                results += [T.derivative(tree, s) for tree in trees for s in self.labels]
            results += arguments
            if sensitive:
                results += [T.derivative(g, s) for g in arguments for s in self.model.states]
                results += [T.derivative(g, s) for g in arguments for s in self.labels]
                results += [T.derivative(g, "t") for g in arguments]
            inputs = [*self.inputs, *(name.name for name in names.values())]
            self._jumping[sensitive] = Program(results, inputs)
        return self._jumping[sensitive]

    # -------------------------------------------------------------- what is measured
    def outputs(self, t, states, u=None, *, values=None) -> np.ndarray:
        """(time, m): the states, then the observables.

        Args:
            t: (time,) [the data's time unit].
            states: (time, d).
            u: (time, k) inputs and covariates; None where the model has none.
            values: (unknowns,); None takes the form's own.
        """
        if not self.observed:
            return states
        if self._observing is None:
            self._observing = Program(self.observed, self.inputs)
        return np.concatenate([states, self._run(self._observing, t, states, u, values)], 1)

    def output_slopes(self, t, states, u=None, *, values=None) -> tuple[np.ndarray, np.ndarray]:
        """Derivatives of the observables alone, at points as in `outputs`.

        Returns:
            By the states (time, observables, d), and by the unknowns (time, observables, unknowns).
        """
        n, m = len(states), len(self.observed)
        if self._observing_slopes is None:
            by_state = [T.derivative(tree, s) for tree in self.observed for s in self.model.states]
            by_unknown = [T.derivative(tree, s) for tree in self.observed for s in self.labels]
            self._observing_slopes = Program([*by_state, *by_unknown], self.inputs)
        slopes = self._run(self._observing_slopes, t, states, u, values)
        return slopes[:, : m * self.d].reshape(n, m, self.d), slopes[:, m * self.d :].reshape(n, m, len(self.names))

    def output_sensitivities(self, t, states, sensitivities, u=None, *, values=None) -> np.ndarray:
        """(time, m, unknowns + d) of states and observables from those of the states (time, d, unknowns + d)."""
        if not self.observed:
            return sensitivities
        by_state, by_unknown = self.output_slopes(t, states, u, values=values)
        observed = by_state @ sensitivities
        observed[:, :, : len(self.names)] += by_unknown
        return np.concatenate([sensitivities, observed], 1)

    def _run(self, program: Program, t, states, u, values) -> np.ndarray:
        """(time, results) of a program along states."""
        driving = () if u is None else u.T
        with np.errstate(all="ignore"):
            columns = program.run([*states.T, *(self.values if values is None else values), t, *driving])
        return np.stack([np.broadcast_to(np.asarray(c, float), len(states)) for c in columns], 1)

    def pointwise(self) -> ClosedForm:
        """The same form at one point of a grid by itself, see `HybridODE.pointwise`; itself without a grid."""
        if self.model.grid is None:
            return self
        return ClosedForm(self.model.pointwise(), self.formulas, self.parameters, stiff=self.stiff)

    def with_values(self, values) -> ClosedForm:
        """The same form with other values of its unknowns."""
        n = len(self.model.estimated)
        parameters = dict(zip(self.model.estimated, (float(v) for v in values[:n]), strict=True))
        formulas = {}
        for term in self.model.terms:
            constants = {c: float(v) for (at, c), v in zip(self.names[n:], values[n:], strict=True) if at == term}
            formulas[term] = Formula(self.formulas[term].tree, constants)
        return ClosedForm(self.model, formulas, parameters, stiff=self.stiff)

    # -------------------------------------------------------------- reading
    @property
    def parameters(self) -> dict[str, float]:
        """Estimated parameters."""
        return dict(zip(self.model.estimated, self.values.tolist(), strict=False))

    def residual_text(self, term: str, digits: int = 6) -> str:
        """The formula with named constants, in the names of the equations."""
        return self.model.formula_text(term, self.formulas[term].tree, digits)

    def numbers_in_place(self) -> dict[str, T.Tree]:
        """state -> right side with every unknown's value in place, signs drawn together."""
        values = {s: T.Number(v) for s, v in zip(self.labels, self.values.tolist(), strict=True)}
        return {s: T.substitute(r, values) for s, r in zip(self.model.states, self.rhs, strict=True)}

    def observed_in_place(self) -> dict[str, T.Tree]:
        """observable -> its expression with every estimated parameter's value in place."""
        values = {s: T.Number(v) for s, v in zip(self.labels, self.values.tolist(), strict=True)}
        return {n: T.substitute(tree, values) for n, tree in zip(self.model.observe, self.observed, strict=True)}

    def equation_texts(self, digits: int = 6) -> dict[str, str]:
        """state -> right side as text; a second-order state has only its velocity's entry."""
        skip = set(self.model.velocity_of)
        return {s: T.to_text(tree, digits) for s, tree in self.numbers_in_place().items() if s not in skip}

    def observed_texts(self, digits: int = 6) -> dict[str, str]:
        """observable -> its expression as text."""
        return {name: T.to_text(tree, digits) for name, tree in self.observed_in_place().items()}
