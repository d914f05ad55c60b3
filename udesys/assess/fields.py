"""Laws and hybrids of fields on a grid simulated where they were not fitted: all points of a run at once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import numpy as np

from udesys.data import Dataset, Trajectory
from udesys.errors import SolveError
from udesys.fit import FitResult
from udesys.fit.onward_fields import FieldTimes, simulate_fields
from udesys.integrate import lattice
from udesys.integrate.driving import Driving, driving_of
from udesys.model import HybridODE
from udesys.model.along_grid import FormAlongGrid, HybridAlongGrid
from udesys.model.closed_form import ClosedForm

ENOUGH = 1e-4  # relative change on doubling the steps of a band, which is known to some percent
NORMAL_95 = 1.959964  # 97.5 % quantile of the normal distribution
REMEMBERED = 8  # courses
_courses: OrderedDict = OrderedDict()  # those simulated last: points ask for theirs one after the other


def known_names(model: HybridODE) -> tuple[str, ...]:
    """Inputs and covariates, without the operators along the grid."""
    return (*model.inputs, *model.covariates)


def drivings_of(model: HybridODE, of_point: Callable[[Trajectory], Driving | None], runs) -> list[Driving] | None:
    """What drives every point of a run; None where nothing does."""
    return [of_point(run) for run in runs] if known_names(model) else None


def outputs_of(form: ClosedForm, t: np.ndarray, states: np.ndarray, driving: Driving | None, values=None) -> np.ndarray:
    """(time, m) states and observables of one point from its states (time, d)."""
    return form.outputs(t, states, inputs_of(form.model, t, driving), values=values)


def inputs_of(model: HybridODE, t: np.ndarray, driving: Driving | None) -> np.ndarray | None:
    """(time, k) what an observable sees beside the states; None where the model has nothing of it."""
    if not model.exogenous:
        return None
    known = np.zeros((len(t), 0)) if driving is None else driving.values(t)
    return np.concatenate([known, np.zeros((len(t), len(model.spatial)))], 1)  # observables hold no operator


# ------------------------------------------------------------------ a law
def course_of(form: ClosedForm, x0: np.ndarray, t0: float, t: np.ndarray, drivings: list[Driving] | None) -> np.ndarray:
    """Fields (time, n, d) of a law, remembered: arguments as for `simulate_fields`."""
    point = (x0, t0, t, drivings)
    return _remembered("law", form, point, lambda: simulate_fields(FormAlongGrid(form), *point))


def _remembered(kind: str, of, point, make: Callable):
    """What was made last of something at a point (x0, t0, t, drivings), or what is made now."""
    x0, t0, t, drivings = point
    driven = hash(tuple((d.t.tobytes(), d.pieces.tobytes(), d.last.tobytes()) for d in drivings or ()))
    key = (kind, id(of), x0.tobytes(), t0, t.tobytes(), driven)
    if key not in _courses or _courses[key][0] is not of:
        _courses[key] = (of, make())
        while len(_courses) > REMEMBERED:
            _courses.popitem(last=False)
    return _courses[key][1]


def bands_of(
    form: ClosedForm, x0: np.ndarray, t0: float, t: np.ndarray, drivings: list[Driving] | None, covariance, run: slice
) -> tuple[np.ndarray, np.ndarray]:
    """Between what 95 % of the laws are, by the covariance: low and high (time, n, m); NaN without one.

    The law is linearised in its constants and its fields at the first time, which one simulation tells for all points:
    the latter follow the constants, each point with an error of its own.

    Args:
        covariance: of the law's values and all initial values, or None.
        run: the trajectories of the run in it.
    """
    point = (x0, t0, t, drivings)
    return _remembered("band", form, point, lambda: _linearised(form, *point, covariance, run))


def _linearised(form, x0, t0, t, drivings, covariance, run):
    n, d, m = form.model.grid.n, form.d, len(form.model.measurable)
    if covariance is None or not np.isfinite(covariance.values).all():
        empty = np.full((len(t), n, m), np.nan)
        return empty, empty.copy()
    law, times = FormAlongGrid(form), FieldTimes(t0, t, drivings)
    course, count = times.converged(law, x0, ENOUGH)
    states, p = course.states[times.rows], len(form.values)
    follow = np.swapaxes(covariance.mixed[run], 1, 2) @ np.linalg.pinv(covariance.values, hermitian=True)  # (n, d, p)
    own = np.diagonal(covariance.starts[run], axis1=1, axis2=2)
    left = np.maximum(own - np.einsum("ndp,npd->nd", follow, covariance.mixed[run]), 0.0).reshape(-1)
    changes = np.concatenate([follow.reshape(n * d, p), np.diag(np.sqrt(left))], 1)  # with the values, and their own
    steps = count * times.base
    along = lattice.sensitivities(law.lattice, law, course, times.grid, steps, times.driving, starts=changes)
    along = along[times.rows]
    both = np.concatenate([along[..., :p] + along[..., p : 2 * p], along[..., 2 * p :]], 3)
    drive, centre, slopes = drivings or [None] * n, [], []
    for k in range(n):
        u = inputs_of(form.model, t, drive[k])
        centre.append(form.outputs(t, states[:, k], u))
        slopes.append(form.output_sensitivities(t, states[:, k], both[:, k], u))
    centre, slopes = np.stack(centre, 1), np.stack(slopes, 1)
    spread = np.einsum("tnmp,pq,tnmq->tnm", slopes[..., :p], covariance.values, slopes[..., :p])
    half = NORMAL_95 * np.sqrt(np.maximum(spread + (slopes[..., p:] ** 2).sum(3), 0.0))
    return centre - half, centre + half


# ------------------------------------------------------------------ the hybrid
def hybrid_fields(fit: FitResult, x0: np.ndarray, t0: float, t: np.ndarray, drivings=None) -> np.ndarray:
    """Fields (time, n, d) of the fitted hybrid from x0 (n, d) at t0, remembered; else as `simulate_fields`."""
    point = (x0, t0, t, drivings)
    law = HybridAlongGrid(fit.problem.field, fit.unknowns.theta)
    return _remembered("hybrid", fit, point, lambda: simulate_fields(law, *point))


# ------------------------------------------------------------------ held-out measurements
def heldout_error(
    model: HybridODE, heldout: Dataset, data: Dataset, x0: np.ndarray, simulate: Callable
) -> dict[str, float]:
    """RMSE per column over held-out fields by open-loop simulation [data units]; infinite where it fails.

    The rest of a fitted run starts at that run's initial values, another run at its first profile.

    Args:
        x0: (trajectories, d) initial values of the fitted data.
        simulate: called as simulate(x0, t0, t, drivings) -> fields (time, n, d).
    """
    columns, n = {c: model.measurable.index(c) for c in heldout.columns}, model.grid.n
    fitted = {run.name: k for k, run in enumerate(data.trajectories)}
    squares, counts = np.zeros(len(columns)), np.zeros(len(columns))
    for first in range(0, len(heldout.trajectories), n):
        points = heldout.trajectories[first : first + n]
        place = fitted.get(points[0].name)
        rest = place is not None and points[0].t[0] > data.trajectories[place].t[-1]
        runs, t = (data.trajectories[place : place + n] if rest else points), points[0].t
        start = x0[place : place + n] if rest else first_profile(model, heldout, points, x0)
        source = data if rest else heldout
        drivings = drivings_of(model, lambda run, source=source: driving_of(source, run, known_names(model)), runs)
        try:
            states = simulate(start, float(runs[0].t[0]), t, drivings)
        except SolveError:
            return dict.fromkeys(columns, float("inf"))
        for k, run in enumerate(points):
            for c, (column, j) in enumerate(columns.items()):
                if j >= len(model.states):
                    continue
                error = states[:, k, j] - run.y[:, heldout.columns.index(column)]
                squares[c] += np.nansum(error**2)
                counts[c] += np.isfinite(error).sum()
    with np.errstate(invalid="ignore", divide="ignore"):
        return dict(zip(columns, np.sqrt(squares / counts).tolist(), strict=True))


def first_profile(model: HybridODE, data: Dataset, points, x0: np.ndarray) -> np.ndarray:
    """(n, d) of a run's first row; gaps along the grid are joined by lines, fields without any have their mean."""
    start, places = np.tile(x0.mean(0), (len(points), 1)), np.arange(len(points))
    for j, field in enumerate(model.states):
        if field in data.columns:
            first = np.array([run.y[0, data.columns.index(field)] for run in points])
            known = np.isfinite(first)
            if known.any():
                start[:, j] = np.interp(places, places[known], first[known])
    return start
