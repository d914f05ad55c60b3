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

EXPLICIT = {"method": "DOP853", "rtol": 1e-11, "atol": 1e-12}
STIFF = {"method": "Radau", "rtol": 1e-9, "atol": 1e-13}


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

        Source: Hairer, Norsett & Wanner, Solving ODEs I (1993), sec. II.5; Hairer & Wanner, Solving ODEs II (1996),
            sec. IV.8, through SciPy.
        """
        from scipy.integrate import solve_ivp

        states, right_sides = self._true_right_sides()
        slope = _function_of_state(right_sides, states, self.inputs, signals)
        by_state = [T.derivative(right, state) for right in right_sides for state in states]
        slopes_by_state = _function_of_state(by_state, states, self.inputs, signals)
        options = STIFF | {"jac": lambda t, x: slopes_by_state(t, x).reshape(len(x), -1)} if stiff else EXPLICIT
        done = solve_ivp(slope, span, x0, dense_output=True, **options)
        if not done.success:
            raise SolveError(f"the true law cannot be simulated from {x0} to t = {span[1]:g}: {done.message}")
        return done

    def _closed_text(self) -> str:
        text = self.equations
        for call, formula in self.terms.items():
            text = text.replace(call, f"({formula})")
        return text

    def _true_right_sides(self) -> tuple[tuple[str, ...], list[T.Tree]]:
        true = {name: c.value for name, c in {**self.estimated, **self.constants}.items()}
        model = HybridODE(self._closed_text(), parameters={**self.known, **true}, inputs=self.inputs)
        return model.states, [T.substitute(right, model.fixed_values) for right in model.rhs]


def _starts(constants: Mapping[str, Constant]) -> dict[str, Parameter]:
    return {name: Parameter(c.start) for name, c in constants.items()}


def _function_of_state(trees, states, inputs, signals) -> Callable[[float, np.ndarray], np.ndarray]:
    program = Program(trees, [*states, *inputs, "t"])
    return lambda t, x: np.array(program.run([*x, *(signal(t) for signal in signals), t]), dtype=float)
