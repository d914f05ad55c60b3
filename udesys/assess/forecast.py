"""Simulating a law where it was not fitted: further in time, and from other starts."""

from __future__ import annotations

import numpy as np

from udesys.data import Dataset, smooth
from udesys.errors import SolveError
from udesys.model.closed_form import ClosedForm
from udesys.search.reference import Measurements
from udesys.select.refit import Refitter

FINEST = 2**14  # solver steps between two times before a simulation counts as failed
START_STEPS = 4  # solver steps a sample while a missing start is fitted
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

    A held-out rest of a fitted trajectory is forecast from that trajectory's initial values. Another trajectory
    starts at its first row; a state that is missing there is fitted to the trajectory, the law held as it is.

    Args:
        x0: (trajectories, d) initial values of the fitted data.

    Returns:
        column -> RMSE; infinite where the simulation fails.
    """
    names, squares, counts = [tr.name for tr in data.trajectories], 0.0, 0.0
    columns = {c: form.model.states.index(c) for c in heldout.columns}
    for trajectory in heldout.trajectories:
        if trajectory.name in names:
            place = names.index(trajectory.name)
            start, t0 = x0[place : place + 1], data.trajectories[place].t[0]
        else:
            start, t0 = _start(form, trajectory, list(columns.values()), x0.mean(0)), trajectory.t[0]
        try:
            simulated = simulate_law(form, start, t0, trajectory.t)
        except SolveError:
            return dict.fromkeys(columns, float("inf"))
        error = simulated[:, list(columns.values())] - trajectory.y
        squares = squares + np.nansum(error**2, axis=0)
        counts = counts + np.isfinite(trajectory.y).sum(0)
    with np.errstate(invalid="ignore"):
        return dict(zip(columns, np.sqrt(squares / counts).tolist(), strict=True))


def _start(form: ClosedForm, trajectory, places: list[int], guess: np.ndarray) -> np.ndarray:
    """(1, d) first row of a trajectory; states missing there by a fit of the start alone."""
    states, n = form.model.states, len(trajectory.t)
    y = np.zeros((n, form.d))
    mask = np.zeros_like(y)
    start = guess.copy()
    for k, j in enumerate(places):
        known = np.isfinite(trajectory.y[:, k])
        y[known, j], mask[known, j] = trajectory.y[known, k], 1.0
        velocity = form.model.velocity_of.get(states[j])
        if velocity and known.any():
            start[states.index(velocity)] = smooth(trajectory.t, trajectory.y[:, k]).slope[0]
    start = np.where(mask[0] > 0, y[0], start)[None]
    free = mask[0] == 0
    if not free.any() or n < 2:
        return start
    sigma = np.where(mask.any(0), np.maximum(y.std(0), 1e-300), 1.0)
    segment = (np.array([0], dtype=np.int64), np.array([n], dtype=np.int64))
    data = Measurements(t=trajectory.t, y=y, mask=mask, sigma=sigma, segments=segment, free=free)
    steps = np.full(n, START_STEPS, dtype=np.int64)
    found = Refitter(data, np.repeat(start, n, 0), {}, steps, frozen=True).refit(form, start)
    return found.x0 if found is not None else start
