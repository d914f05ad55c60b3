"""Simulating a law where it was not fitted: further in time, and from other starts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from udesys.assess.fields import heldout_error as heldout_fields
from udesys.assess.fields import simulate_fields
from udesys.data import Dataset, Trajectory, smooth
from udesys.errors import SolveError
from udesys.integrate.driving import Driving, driving_of
from udesys.model import HybridODE
from udesys.model.along_grid import FormAlongGrid
from udesys.model.closed_form import ClosedForm
from udesys.search.measurements import Measurements
from udesys.select.refit import Refitter

FINEST = 2**14  # solver steps between two times before a simulation counts as failed
IMPLICIT = 8  # times as long as an explicit step an implicit one takes, as measured
START_STEPS = 4  # solver steps a sample while a missing start is fitted
AGREEMENT = 1e-8  # relative change on doubling the steps at which a simulation is accepted
TREMBLING = 1e-3  # the same of a law with signs, once it falls no faster than the steps do


class Course:
    """The times at which a law is wanted, with what drives it there.

    Args:
        t0: the time of the initial values.
        t: (time,) increasing from t0 on.
        driving: the inputs and covariates, where the model has any.

    Raises:
        SolveError: t does not increase from t0 on.
    """

    def __init__(self, t0: float, t: np.ndarray, driving: Driving | None = None):
        if t.ndim != 1 or len(t) == 0 or not np.isfinite(t).all() or (np.diff(t) <= 0).any() or t[0] < t0:
            raise SolveError(f"t must be finite and increase from {t0:g} on, the time of the initial values. Sort it.")
        grid = t if t[0] == t0 else np.concatenate([[t0], t])
        self._grid = grid if driving is None else driving.grid(grid)
        self._pieces = None if driving is None else driving.along(self._grid)
        self._rows = slice(len(grid) - len(t), None) if driving is None else np.searchsorted(self._grid, t)
        spacing = np.append(np.diff(self._grid), 0.0)
        typical = np.median(spacing[:-1]) if len(spacing) > 1 else 1.0
        self._steps = np.maximum(np.ceil(spacing / typical), 1).astype(np.int64)
        self.t, self.u = t, None if driving is None else driving.values(t)

    def states(self, form: ClosedForm, x0: np.ndarray, count: int, values: np.ndarray | None = None) -> np.ndarray:
        """(time, d) from x0 (1, d) with so many steps between neighbouring times; NaN from where it blows up."""
        return self._simulated(form, x0, count, values, partial=True)[self._rows]

    def _simulated(self, form: ClosedForm, x0: np.ndarray, count: int, values=None, *, partial=False):
        """(grid, d); None where it blows up, unless `partial`."""
        if len(self._grid) == 1:
            return x0.copy()
        segment = (np.array([0], dtype=np.int64), np.array([len(self._grid)], dtype=np.int64))
        steps = self._counted(form, count)
        return form.simulate(x0, self._grid, segment, steps, pieces=self._pieces, values=values, partial=partial)[0]

    def _counted(self, form: ClosedForm, count: int) -> np.ndarray:
        """(grid,) steps after each time; implicit ones find by themselves how many a longer interval needs."""
        return np.full(len(self._grid), count, dtype=np.int64) if form.stiff else count * self._steps

    def cost(self, form: ClosedForm, count: int) -> int:
        """Explicit steps that take as long as a simulation with so many between neighbouring times."""
        return int(self._counted(form, count).sum()) * (IMPLICIT if form.stiff else 1)

    def converged(self, form: ClosedForm, x0: np.ndarray, agreement: float = AGREEMENT) -> tuple[np.ndarray, int]:
        """(time, d), steps doubled until they no longer matter, and how many that took.

        A law whose signs stick trembles about them; its error only halves with the steps, and it is accepted sooner.

        Args:
            form: the law.
            x0: (1, d).
            agreement: relative change on doubling the steps at which a simulation is accepted.

        Raises:
            SolveError: the law blows up.
        """
        coarse, count, before = None, 1, np.inf
        while count <= FINEST:
            fine = self._simulated(form, x0, count)
            if fine is not None and coarse is not None:
                change = float((np.abs(fine - coarse).max(0) / (np.abs(fine).max(0) + 1e-300)).max())
                trembles = change < TREMBLING and change > 0.25 * before and form.jumps
                if change <= agreement or trembles or count * len(self._grid) > 4 * FINEST:
                    return fine[self._rows], count
                before = change
            coarse, count = fine, 2 * count
            if coarse is None and count > 64:
                break
        if coarse is None:
            raise SolveError(f"the law leaves the finite numbers before t = {self.t[-1]:g}. Ask for a shorter time.")
        return coarse[self._rows], count // 2


def simulate_law(
    form: ClosedForm, x0: np.ndarray, t0: float, t: np.ndarray, driving: Driving | None = None
) -> np.ndarray:
    """States (time, d) of a closed form from x0 (1, d) at t0, its steps doubled until they no longer matter.

    Args:
        driving: the inputs and covariates, where the model has any.

    Raises:
        SolveError: t does not increase from t0 on, or the law blows up.
    """
    return Course(t0, t, driving).converged(form, x0)[0]


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """A held-out trajectory, and from where a model is simulated to it.

    Attributes:
        trajectory: what was measured.
        run: the place of the fitted trajectory whose rest it is; None where it is another one.
        start: (1, d) the law's state at t0.
        t0: where a simulation starts [the data's time unit].
        driving: the inputs and covariates from there on; None without any.
    """

    trajectory: Trajectory
    run: int | None
    start: np.ndarray
    t0: float
    driving: Driving | None


def held_out_runs(form: ClosedForm, heldout: Dataset, data: Dataset, x0: np.ndarray) -> list[HeldOut]:
    """Every held-out trajectory with its start.

    A held-out rest of a fitted trajectory is forecast from that trajectory's initial values. Another trajectory
    starts at its first row; a state that is missing there is fitted to the trajectory, the law held as it is. Both
    are driven by their own inputs and covariates. See `is_rest` for what is which.

    Args:
        x0: (trajectories, d) initial values of the fitted data.
    """
    fitted, found = {tr.name: (k, tr) for k, tr in enumerate(data.trajectories)}, []
    for trajectory in heldout.trajectories:
        place, run = fitted.get(trajectory.name, (0, None))
        if run is not None and is_rest(form.model, run, trajectory):
            start, t0, driving = x0[place : place + 1], run.t[0], driving_along(form.model, data, heldout, run)
        else:
            start, t0, place = first_state(form, heldout, trajectory, x0.mean(0)), trajectory.t[0], None
            driving = driving_of(heldout, trajectory, form.model.exogenous)
        found.append(HeldOut(trajectory=trajectory, run=place, start=start, t0=float(t0), driving=driving))
    return found


def heldout_error(form: ClosedForm, heldout: Dataset, data: Dataset, x0: np.ndarray) -> dict[str, float]:
    """RMSE per column over held-out measurements by open-loop simulation of a law [data units].

    Args:
        x0: (trajectories, d) initial values of the fitted data; for what starts where see `held_out_runs`.

    Returns:
        column -> RMSE; infinite where the simulation fails.
    """
    if form.model.grid is not None:
        law = FormAlongGrid(form)
        return heldout_fields(form.model, heldout, data, x0, lambda *point: simulate_fields(law, *point))

    def predicted(run: HeldOut) -> np.ndarray:
        t = run.trajectory.t
        states = simulate_law(form, run.start, run.t0, t, run.driving)
        return form.outputs(t, states, None if run.driving is None else run.driving.values(t))

    return errors_of(held_out_runs(form, heldout, data, x0), heldout, form.model, predicted)


def errors_of(
    runs: list[HeldOut], heldout: Dataset, model: HybridODE, predicted: Callable[[HeldOut], np.ndarray]
) -> dict[str, float]:
    """RMSE per column of what is predicted; infinite where that fails or is not finite.

    Args:
        predicted: a held-out trajectory -> (time, m) states and observables; may raise SolveError.
    """
    columns, squares, counts = {c: model.measurable.index(c) for c in heldout.columns}, 0.0, 0.0
    for run in runs:
        try:
            values = predicted(run)[:, list(columns.values())]
        except SolveError:
            return dict.fromkeys(columns, float("inf"))
        error = np.where(np.isfinite(values), values, np.inf) - run.trajectory.y
        squares = squares + np.nansum(error**2, axis=0)
        counts = counts + np.isfinite(run.trajectory.y).sum(0)
    with np.errstate(invalid="ignore"):
        return dict(zip(columns, np.sqrt(squares / counts).tolist(), strict=True))


def is_rest(model: HybridODE, run: Trajectory, held: Trajectory) -> bool:
    """Whether a held-out trajectory is more of the fitted one of its name, and no other record called the same.

    It starts later; where inputs drive the model, later than the fitted one ends, because it has its own.
    """
    return bool(held.t[0] > (run.t[-1] if model.inputs else run.t[0]))


def driving_along(model: HybridODE, data: Dataset, heldout: Dataset | None, run: Trajectory) -> Driving | None:
    """The inputs and covariates of a fitted trajectory, then those of its held-out rest; None without any.

    Args:
        data: what the law was fitted to.
        heldout: measurements kept aside, or None.
        run: a trajectory of `data`.
    """
    others = [] if heldout is None else [tr for tr in heldout.trajectories if tr.name == run.name]
    rest = next(((heldout, tr) for tr in others if is_rest(model, run, tr)), None)
    return driving_of(data, run, model.exogenous, rest)


def first_state(form: ClosedForm, data: Dataset, trajectory: Trajectory, guess: np.ndarray) -> np.ndarray:
    """(1, d) first row of a trajectory of some data; states missing there by a fit of the start alone.

    Args:
        guess: (d,) from which that fit starts.
    """
    states, t, n = form.model.states, trajectory.t, len(trajectory.t)
    y = np.zeros((n, len(form.model.measurable)))
    mask = np.zeros_like(y)
    start = guess.copy()
    for column, values in zip(data.columns, trajectory.y.T, strict=True):
        j, known = form.model.measurable.index(column), np.isfinite(values)
        y[known, j], mask[known, j] = values[known], 1.0
        velocity = form.model.velocity_of.get(column)
        if velocity and known.any():
            start[states.index(velocity)] = smooth(t, values).slope[0]
    seen = mask[0, : form.d] > 0
    start = np.where(seen, y[0, : form.d], start)[None]
    if seen.all() or n < 2:
        return start
    sigma = np.where(mask.any(0), np.maximum(y.std(0), 1e-300), 1.0)
    segment = (np.array([0], dtype=np.int64), np.array([n], dtype=np.int64))
    driving = driving_of(data, trajectory, form.model.exogenous)
    driven = {} if driving is None else {"pieces": driving.along(t), "u": driving.values(t)}
    measurements = Measurements(t=t, y=y, mask=mask, sigma=sigma, segments=segment, free=~seen, **driven)
    steps = np.full(n, START_STEPS, dtype=np.int64)
    found = Refitter(measurements, np.repeat(start, n, 0), {}, steps, frozen=True).refit(form, start)
    return found.x0 if found is not None else start
