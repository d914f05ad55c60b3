"""What the paper's cases are made of for `udesys bench ude-paper`: the grid of Fisher-KPP, and what counts as right.

Sources: FisherKPP/Fisher-KPP-ANN-D.jl in ChrisRackauckas/universal_differential_equations (grid, initial profile,
times, the start of D) and Fisher-KPP-CNN-Small.jl beside it (what was learned, from its comments).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from udesys.bench.lotka_volterra import SOURCE, is_product

if TYPE_CHECKING:
    from udesys.data import Dataset
    from udesys.systems import System

CELLS, WIDTH = 26, 0.04  # of [0, 1]; the last is the first one's neighbour
GROWTH, DIFFUSION, DIFFUSION_START = 1.0, 0.01, 0.1
BUMP = 0.2  # length of the initial profile; its flanks are a tenth of it
UNTIL, STEP = 5.0, 0.5
# (D0, outer weights of the stencil, seconds) of the script's runs whose network has 15 or 7 weights; the five with 4
# did not fit. D is D0 times the mean outer weight times the squared width of a cell.
LEARNED = (
    (5.9522, 1.0385, 1.0380, 3430.385576),
    (6.1954, 0.9715, 0.9716, 2824.449183),
    (5.7375, 1.0357, 1.0358, 1174.592376),
    (5.9525, 1.0049, 1.0047, 1334.078451),
    (7.4841, 0.8076, 0.8069, 1053.729274),
    (6.1389, 0.9875, 0.9873, 1415.089830),
    (6.1381, 0.9447, 0.9441, 3293.038574),
    (5.9216, 0.9869, 0.9869, 3233.307375),
    (5.9216, 0.9869, 0.9869, 3265.894690),
    (6.4483, 0.9128, 0.9128, 1332.252349),
)
PLAIN_STARTS = ((0.5, 0.02, 0.02, 0.8), (0.3, 0.01, 0.01, 0.5), (1.0, 0.05, 0.05, 1.0))  # per year, per year and k


def fisher_kpp() -> System:
    """The case as a `System`: 26 cells of equal width, the second difference for rho_xx, periodic ends."""
    from udesys.systems.base import System, sampled

    names = [f"u{k:02d}" for k in range(CELLS)]
    lines = [
        f"{u}' = NN({u}) + D*({names[k - 1]} - 2*{u} + {names[(k + 1) % CELLS]})/{WIDTH}^2" for k, u in enumerate(names)
    ]

    def profile(x: float) -> float:
        flank = BUMP / 10
        return (math.tanh((x - 0.5 + BUMP / 2) / flank) - math.tanh((x - 0.5 - BUMP / 2) / flank)) / 2

    return System(
        name="fisher_kpp",
        title="Fisher-KPP equation, method of lines",
        units=dict.fromkeys(names, ""),
        equations="\n".join(lines),
        missing={f"NN({u})": f"r*{u}*(1 - {u})" for u in names},
        parameters={"D": {"start": DIFFUSION_START, "bounds": [0.0, 1.0]}},
        constants={"r": GROWTH, "D": DIFFUSION},
        starts=({u: profile(WIDTH * k) for k, u in enumerate(names)},),
        t=sampled(UNTIL, STEP),
        source=f"{SOURCE}, FisherKPP/Fisher-KPP-ANN-D.jl",
    )


def learned() -> list[float]:
    """D of the script's runs."""
    return [d0 * (left + right) / 2 * WIDTH**2 for d0, left, right, _ in LEARNED]


def is_quadratic(formula: str, argument: str) -> bool:
    """Whether a formula is a*u - b*u^2 for some a and b that are not zero, however it is written.

    Args:
        formula: its text, over the argument and names of constants.
        argument: name of u.
    """
    import sympy

    from udesys.model.grammar import parse_expression
    from udesys.model.symbolic import to_sympy

    u = sympy.Symbol(argument, real=True)
    expanded = sympy.expand(to_sympy(parse_expression(formula)))
    return expanded.is_polynomial(u) and set(sympy.Poly(expanded, u).monoms()) == {(1,), (2,)}


def quadratic(formula: str, argument: str, values: Mapping[str, float]) -> tuple[float, float] | None:
    """r and r/K of a formula r*u - r/K*u^2; None where it is none.

    Args:
        formula: its text.
        argument: name of u.
        values: of its constants.
    """
    import sympy

    from udesys.model.grammar import parse_expression
    from udesys.model.symbolic import to_sympy

    if not is_quadratic(formula, argument):
        return None
    u = sympy.Symbol(argument, real=True)
    polynomial = sympy.Poly(sympy.expand(to_sympy(parse_expression(formula))), u)
    numbers = {sympy.Symbol(name, real=True): value for name, value in values.items()}
    square, linear = (float(polynomial.coeff_monomial(u**k).subs(numbers)) for k in (2, 1))
    return linear, -square


def both_products(terms: Mapping[str, str]) -> bool:
    """Whether every missing term is a constant times hare*lynx, as in the textbook.

    Args:
        terms: missing term -> formula.
    """
    return all(is_product(_renamed(formula)) for formula in terms.values())


def _renamed(formula: str) -> str:
    """A formula of hare and lynx over prey and predator."""
    from udesys.model import tree as T
    from udesys.model.grammar import parse_expression

    names = {"hare": T.Symbol("prey"), "lynx": T.Symbol("predator")}
    return T.to_text(T.substitute(parse_expression(formula), names))


def plain_rmse(data: Dataset) -> float:
    """RMSE of the textbook's four rates and two starts over all measured cells, all weighing the same.

    Args:
        data: the pelts, with columns hare and lynx.

    Source: Hindmarsh, ODEPACK (1983): LSODA; Branch, Coleman & Li, SIAM J. Sci. Comput. 21 (1999) 1; through SciPy.
    """
    import numpy as np
    from scipy.integrate import odeint
    from scipy.optimize import least_squares

    (trajectory,) = data.trajectories
    t, y = trajectory.t, trajectory.y[:, [data.columns.index(name) for name in ("hare", "lynx")]]

    def missed(z):
        alpha, beta, gamma, delta, *x0 = z

        def law(x, _):
            return [alpha * x[0] - beta * x[0] * x[1], gamma * x[0] * x[1] - delta * x[1]]

        return np.nan_to_num((odeint(law, x0, t, rtol=1e-9, atol=1e-9) - y).ravel())

    found = [
        least_squares(missed, [*start, *y[0]], jac="3-point", x_scale=[*start, *y[0]], bounds=(0.0, np.inf))
        for start in PLAIN_STARTS
    ]
    return math.sqrt(2 * min(f.cost for f in found) / np.isfinite(y).sum())
