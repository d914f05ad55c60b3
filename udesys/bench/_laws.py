"""Laws whose missing terms are known: the hybrid, its true form and its exact solution from one text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from udesys.errors import SolveError
from udesys.model import HybridODE, Parameter
from udesys.model import tree as T
from udesys.model.grammar import parse_expression
from udesys.model.program import Program
from udesys.systems.base import with_formulas
from udesys.systems.exact import solve_exactly


@dataclass(frozen=True)
class Constant:
    """A constant of the truth that a fit has to find.

    Attributes:
        value: the true one.
        start: where its estimate starts.
    """

    value: float
    start: float


@dataclass(frozen=True, kw_only=True)
class Law:
    """A law, and which of its terms and constants a fit is not told.

    Attributes:
        equations: with networks for the missing terms.
        terms: call of a network -> its true formula, as in {"NN(x)": "k*x^3"}.
        constants: the formulas' constants, known to nobody.
        estimated: constants of the equations themselves that are estimated.
        known: constants that every fit is given.
        inputs: names of measured inputs.
    """

    equations: str
    terms: Mapping[str, str]
    constants: Mapping[str, Constant]
    estimated: Mapping[str, Constant] = field(default_factory=dict)
    known: Mapping[str, float] = field(default_factory=dict)
    inputs: tuple[str, ...] = ()

    def hybrid(self) -> HybridODE:
        """The law as a fit is given it: networks for the missing terms."""
        return HybridODE(self.equations, parameters={**self.known, **_starts(self.estimated)}, inputs=self.inputs)

    def true_form(self) -> HybridODE:
        """The law with its true formulas in place of the networks, their constants to be estimated."""
        unknown = {**self.estimated, **self.constants}
        return HybridODE(self._closed_text(), parameters={**self.known, **_starts(unknown)}, inputs=self.inputs)

    def term_values(self, states: Mapping[str, np.ndarray], constants: Mapping[str, float] | None = None) -> dict:
        """Every missing term by its formula.

        Args:
            states: state -> (n,) [data units].
            constants: constant -> value; the true ones where it is None.

        Returns:
            term -> (n,).
        """
        values = {name: c.value for name, c in self.constants.items()} if constants is None else constants
        numbers = {name: T.Number(float(values[name])) for name in self.constants}
        trees = [T.substitute(parse_expression(formula), numbers) for formula in self.terms.values()]
        columns = Program(trees, list(states)).run(list(states.values()))
        return dict(zip(self.hybrid().terms, columns, strict=True))

    def solve(
        self,
        x0: Sequence[float],
        span: tuple[float, float],
        *,
        stiff: bool = False,
        signals: Sequence[Callable[[float], float]] = (),
    ):
        """The exact solution by SciPy, as its `OdeResult`; `.sol(t)` is (state, time).

        Args:
            x0: (state,) at `span[0]`.
            span: first and last time.
            stiff: use the implicit method.
            signals: one function of time for each input.

        Raises:
            SolveError: the integration stops before the last time.
        """
        states, right_sides = self._true_right_sides()
        named = list(zip(self.inputs, signals, strict=True))
        try:
            return solve_exactly(right_sides, states, x0, span, stiff=stiff, signals=named)
        except SolveError as error:
            raise SolveError(f"the true law {error}") from None

    def _closed_text(self) -> str:
        return with_formulas(self.equations, self.terms)

    def _true_right_sides(self) -> tuple[tuple[str, ...], list[T.Tree]]:
        true = {name: c.value for name, c in {**self.estimated, **self.constants}.items()}
        model = HybridODE(self._closed_text(), parameters={**self.known, **true}, inputs=self.inputs)
        return model.states, [T.substitute(right, model.fixed_values) for right in model.rhs]


def _starts(constants: Mapping[str, Constant]) -> dict[str, Parameter]:
    return {name: Parameter(c.start) for name, c in constants.items()}
