"""Exact solutions by SciPy, of laws given as trees."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from udesys.errors import SolveError
from udesys.model import tree as T
from udesys.model.program import Program

EXPLICIT = {"method": "DOP853", "rtol": 1e-12}
STIFF = {"method": "Radau", "rtol": 1e-9}
ATOL = 1e-14  # of a state's initial magnitude, or of 1 where it starts at zero


def solve_exactly(
    right_sides: Sequence[T.Tree],
    states: Sequence[str],
    x0: Sequence[float],
    span: tuple[float, float],
    *,
    stiff: bool = False,
    signals: Sequence[tuple[str, Callable[[float], float]]] = (),
):
    """The solution of a law as SciPy's `OdeResult`; `.sol(t)` is (state, time).

    Args:
        right_sides: one tree for each state, over the states, the signals and t.
        states: names.
        x0: (state,) at `span[0]`.
        span: first and last time.
        stiff: use the implicit method, with the exact Jacobian.
        signals: name and function of time of everything else in the trees.

    Raises:
        SolveError: the integration stops before the last time.

    Source: Hairer, Norsett & Wanner, Solving ODEs I (1993), sec. II.5: DOP853; Hairer & Wanner, Solving ODEs II
        (1996), sec. IV.8: Radau IIA; through SciPy.
    """
    from scipy.integrate import solve_ivp

    x0 = np.array(x0, dtype=float)
    atol = ATOL * np.where(x0 == 0, 1.0, np.abs(x0))
    options = {**(STIFF if stiff else EXPLICIT), "atol": atol}
    if stiff:
        slopes = [T.derivative(right, state) for right in right_sides for state in states]
        by_state = _function(slopes, states, signals)
        options["jac"] = lambda t, x: by_state(t, x).reshape(len(x), -1)
    done = solve_ivp(_function(right_sides, states, signals), span, x0, dense_output=True, **options)
    if not done.success:
        start = ", ".join(f"{value:g}" for value in x0)
        raise SolveError(f"cannot be simulated from [{start}] to t = {span[1]:g}: {done.message}")
    return done


def _function(trees, states, signals) -> Callable[[float, np.ndarray], np.ndarray]:
    program = Program(trees, [*states, *(name for name, _ in signals), "t"])
    return lambda t, x: np.array(program.run([*x, *(signal(t) for _, signal in signals), t]), dtype=float)
