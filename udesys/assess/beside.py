"""What a law's forecast is set beside: the hybrid with its networks, and persistence."""

from __future__ import annotations

import numpy as np

from udesys.assess.fields import heldout_error as heldout_fields
from udesys.assess.fields import hybrid_fields
from udesys.assess.forecast import HeldOut, errors_of, held_out_runs, is_rest
from udesys.data import Dataset, Trajectory
from udesys.errors import SolveError
from udesys.fit import FitResult
from udesys.fit.onward import hybrid_outputs, simulate_on
from udesys.integrate.driving import Driving
from udesys.model import HybridODE
from udesys.model.closed_form import ClosedForm

MOST_SLOW = 5_000  # intervals of a hybrid that is not compiled; about a millisecond each


def hybrid_course(
    fit: FitResult, start: np.ndarray, t0: float, t: np.ndarray, driving: Driving | None = None
) -> np.ndarray:
    """States, then observables (time, m), of the hybrid; NaN from where its simulation ends.

    Args:
        fit: the fitted hybrid.
        start: (d,) its state at t0.
        t0: the time of the start.
        t: (time,) increasing from t0 on.
        driving: the inputs and covariates; None without any.

    Raises:
        SolveError: it would take too long.
    """
    grid = _grid(fit, t0, t, driving)
    if _too_slow(fit, grid):
        raise SolveError(f"the hybrid is slow and was not simulated over {len(grid)} times. Ask for fewer.")
    x = simulate_on(fit, start, grid, driving)
    rows, finite = np.searchsorted(grid, t), np.isfinite(x).all(1)
    found = np.full((len(t), len(fit.model.measurable)), np.nan)
    kept = finite[rows]
    if kept.any():
        found[kept] = hybrid_outputs(fit, t[kept], x[rows][kept], driving)
    return found


def _grid(fit: FitResult, t0: float, t: np.ndarray, driving: Driving | None) -> np.ndarray:
    """The times with those between them at which the fit's steps or the inputs change."""
    known = fit.problem.t[(fit.problem.t > t0) & (fit.problem.t < t[-1])]
    grid = np.unique(np.concatenate([[t0], known, t]))
    return grid if driving is None else driving.grid(grid)


def _too_slow(fit: FitResult, grid: np.ndarray) -> bool:
    return len(grid) > MOST_SLOW and (fit.method == "radau" or fit.problem.compiled is None)


def hybrid_error(fit: FitResult, form: ClosedForm, heldout: Dataset, x0: np.ndarray) -> dict[str, float]:
    """RMSE per column over held-out measurements by open-loop simulation of the hybrid [data units].

    The rest of a fitted trajectory starts at the hybrid's own initial values, another trajectory where the law does.

    Args:
        fit: the fitted hybrid.
        form: the law.
        heldout: measurements kept aside.
        x0: (trajectories, d) initial values of the law.

    Returns:
        column -> RMSE; infinite where the simulation fails, empty where it would take too long.
    """
    if form.model.grid is not None:
        starts = np.array([states[0] for states in fit.states])
        return heldout_fields(form.model, heldout, fit.data, starts, lambda *point: hybrid_fields(fit, *point))

    def predicted(run: HeldOut) -> np.ndarray:
        start = run.start[0] if run.run is None else fit.states[run.run][0]
        return hybrid_course(fit, start, run.t0, run.trajectory.t, run.driving)

    runs = held_out_runs(form, heldout, fit.data, x0)
    if any(_too_slow(fit, _grid(fit, run.t0, run.trajectory.t, run.driving)) for run in runs):
        return {}
    return errors_of(runs, heldout, form.model, predicted)


def persistence_error(model: HybridODE, heldout: Dataset, data: Dataset) -> dict[str, float]:
    """RMSE per column of values that stay what they were [data units].

    In the rest of a fitted trajectory that is the last value measured before, in another trajectory its first.

    Args:
        model: what was asked.
        heldout: measurements kept aside.
        data: what was fitted.

    Returns:
        column -> RMSE; NaN where no value was measured before.
    """
    fitted, squares, counts = {run.name: run for run in data.trajectories}, 0.0, 0.0
    for held in heldout.trajectories:
        run = fitted.get(held.name)
        if run is not None and is_rest(model, run, held):
            y = last_values(run, float(held.t[0]))
        else:
            y = _edge(held.y)
        error = held.y - y
        squares, counts = squares + np.nansum(error**2, 0), counts + np.isfinite(error).sum(0)
    with np.errstate(invalid="ignore"):
        return dict(zip(heldout.columns, np.sqrt(squares / counts).tolist(), strict=True))


def last_values(run: Trajectory, until: float) -> np.ndarray:
    """(columns,) of a run, the last ones measured before a time or at it; NaN where there are none.

    Args:
        run: a trajectory.
        until: the time.
    """
    return _edge(run.y[run.t <= until][::-1])


def _edge(y: np.ndarray) -> np.ndarray:
    """(columns,) the first value of each column of y (rows, columns) that is not missing."""
    if not len(y):
        return np.full(y.shape[1], np.nan)
    return y[np.isfinite(y).argmax(0), np.arange(y.shape[1])]
