"""Simulating a law where it was not fitted: further in time, and from other starts."""

from __future__ import annotations

import numpy as np

from udesys.data import Dataset
from udesys.errors import SolveError
from udesys.model.closed_form import ClosedForm

FINEST = 2**14  # solver steps between two times before a simulation counts as failed
AGREEMENT = 1e-8  # relative change on doubling the steps at which a simulation is accepted


def simulate_law(form: ClosedForm, x0: np.ndarray, t0: float, t: np.ndarray) -> np.ndarray:
    """States (time, d) of a closed form from x0 (1, d) at t0, its steps doubled until they no longer matter.

    Raises:
        SolveError: t does not increase from t0 on, or the law blows up.
    """
    if t.ndim != 1 or len(t) == 0 or not np.isfinite(t).all() or (np.diff(t) <= 0).any() or t[0] < t0:
        raise SolveError(f"t must be finite and increase from {t0:g} on, the time of the initial values. Sort it.")
    grid = t if t[0] == t0 else np.concatenate([[t0], t])
    states = _converged(form, x0, grid)
    if states is None:
        raise SolveError(f"the law leaves the finite numbers before t = {t[-1]:g}. Ask for a shorter time.")
    return states[len(grid) - len(t) :]


def _converged(form: ClosedForm, x0: np.ndarray, grid: np.ndarray) -> np.ndarray | None:
    """The simulation, or None where it blows up however fine the steps."""
    if len(grid) == 1:
        return x0.copy()
    segment = (np.array([0], dtype=np.int64), np.array([len(grid)], dtype=np.int64))
    spacing = np.append(np.diff(grid), 0.0)
    steps = np.maximum(np.ceil(spacing / np.median(spacing[:-1])), 1).astype(np.int64)
    coarse, count = None, 1
    while count <= FINEST:
        fine, _ = form.simulate(x0, grid, segment, count * steps)
        if fine is not None and coarse is not None:
            size = np.abs(fine).max(0) + 1e-300
            if (np.abs(fine - coarse).max(0) <= AGREEMENT * size).all() or count * len(grid) > 4 * FINEST:
                return fine
        coarse, count = fine, 2 * count
        if coarse is None and count > 64:
            return None
    return coarse


def heldout_error(form: ClosedForm, heldout: Dataset, data: Dataset, x0: np.ndarray) -> dict[str, float]:
    """RMSE per column over held-out measurements by open-loop simulation [data units].

    A held-out rest of a fitted trajectory is forecast from that trajectory's initial values; another trajectory
    starts at its first row, where a state missing there starts at the mean of the fitted initial values.

    Args:
        x0: (trajectories, d) initial values of the fitted data.

    Returns:
        column -> RMSE; infinite where the simulation fails.
    """
    states, names = form.model.states, [tr.name for tr in data.trajectories]
    columns = {c: states.index(c) for c in heldout.columns}
    squares, counts = dict.fromkeys(columns, 0.0), dict.fromkeys(columns, 0)
    for trajectory in heldout.trajectories:
        if trajectory.name in names:
            place = names.index(trajectory.name)
            start, t0 = x0[place : place + 1], data.trajectories[place].t[0]
        else:
            start, t0 = x0.mean(0, keepdims=True), trajectory.t[0]
            for k, j in enumerate(columns.values()):
                if np.isfinite(trajectory.y[0, k]):
                    start[0, j] = trajectory.y[0, k]
        try:
            simulated = simulate_law(form, start, t0, trajectory.t)
        except SolveError:
            return dict.fromkeys(columns, float("inf"))
        for k, (column, j) in enumerate(columns.items()):
            known = np.isfinite(trajectory.y[:, k])
            squares[column] += float(((simulated[known, j] - trajectory.y[known, k]) ** 2).sum())
            counts[column] += int(known.sum())
    return {c: float(np.sqrt(squares[c] / counts[c])) if counts[c] else float("nan") for c in columns}
