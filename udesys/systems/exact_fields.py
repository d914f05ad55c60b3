"""Exact solutions by SciPy of laws whose states are fields on a grid: the points of the grid, and no more."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from udesys.errors import SolveError
from udesys.model import HybridODE
from udesys.systems.exact import ATOL, EXPLICIT, STIFF


def solve_fields(
    model: HybridODE, x0: np.ndarray, t: np.ndarray, drive: Callable[[np.ndarray], np.ndarray], *, stiff: bool = False
) -> np.ndarray:
    """(times, n, d) the fields from their start.

    Args:
        model: with a grid, all of whose parameters are fixed and whose covariate is the position at most.
        x0: (n, d) at the first time.
        t: (times,), strictly increasing.
        drive: times -> (times, inputs).
        stiff: use the implicit method.

    Raises:
        SolveError: the integration stops before the last time.

    Source: Schiesser, The Numerical Method of Lines (1991); methods as of `solve_exactly`.
    """
    from scipy.integrate import solve_ivp

    from udesys.model.along_grid import FormAlongGrid
    from udesys.model.closed_form import ClosedForm

    law, n = FormAlongGrid(ClosedForm(model, {}, {})), model.grid.n
    here = np.array(model.grid.points)[:, None] if model.grid.name in model.covariates else np.zeros((n, 0))

    def rates(now: float, x: np.ndarray) -> np.ndarray:
        at = np.array([now])
        known = np.hstack([np.repeat(drive(at), n, 0), here])
        return law(at, x.reshape(1, *x0.shape), known[None]).ravel()

    options = {**(STIFF if stiff else EXPLICIT), "atol": ATOL * np.where(x0 == 0, 1.0, np.abs(x0)).ravel()}
    done = solve_ivp(rates, (t[0], t[-1]), x0.ravel(), t_eval=t, **options)
    if not done.success:
        raise SolveError(f"cannot be simulated to t = {t[-1]:g}: {done.message}")
    return np.concatenate([x0[None], done.y.T.reshape(-1, *x0.shape)[1:]])
