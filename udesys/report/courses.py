"""What is drawn of each trajectory along time: the law, the band about it, the hybrid and the forecast."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from udesys.assess.ahead import inside_visited
from udesys.errors import SolveError
from udesys.report.curves import Run, closed_form_curve, hybrid_curve, kept_rows, runs_of

FORECAST = 0.2  # of a record's length, drawn beyond its end
FORECAST_POINTS = 80
MOST_BEFORE = 2000  # times from the start of a record to its end, where the forecast begins
BAND_POINTS = 160  # times at which a band is sampled; its distance from the curve is interpolated
# Samples of all trajectories whose bands are drawn; a band is some hundred simulations, and inputs break their steps
MOST_SAMPLES, MOST_DRIVEN = 70_000, 5_000
SMOOTH = 0.02  # of a curve's range: equal parts of it that miss less stand for the curve
WIDEST = 3.0  # ranges of a curve that an open band is drawn beyond it


@dataclass(frozen=True, kw_only=True)
class Course:
    """One trajectory with its curves; a curve is a pair of times (time,) and states and observables (time, m).

    Attributes:
        run: its measurements.
        closed: the law, as far as its simulation stays finite.
        hybrid: the fitted hybrid; None where there is none to be had, or it has no networks and is the law itself.
        band: lowest and highest (time, m) of the law at the times of `closed`, then of `beyond`; None where unknown.
        beyond: the forecast from the end of the record on; None where there is none.
        outside: times of `closed`, then of `beyond`, at which the law is not fitted and leaves what the data visited.
    """

    run: Run
    closed: tuple[np.ndarray, np.ndarray]
    hybrid: tuple[np.ndarray, np.ndarray] | None
    band: tuple[np.ndarray, np.ndarray] | None
    beyond: tuple[np.ndarray, np.ndarray] | None
    outside: np.ndarray

    @property
    def end(self) -> float:
        """The last time drawn."""
        return self.run.span[1] if self.beyond is None else float(self.beyond[0][-1])


def courses_of(law) -> tuple[list[Course], int]:
    """The trajectories to draw with their curves, and how many there are; of fields the runs, as `FieldCourse`.

    Args:
        law: a Discovery.
    """
    if law.model.grid is not None:
        from udesys.report.field_courses import field_courses

        return field_courses(law)
    runs, n_runs = runs_of(law)
    most, so_far = MOST_DRIVEN if law.model.inputs else MOST_SAMPLES, 0
    courses = []
    for run in runs:
        so_far += len(run.t) + len(run.held_t)
        courses.append(_course(law, run, banded=so_far <= most))
    return courses, n_runs


def _course(law, run: Run, *, banded: bool) -> Course:
    closed, hybrid = closed_form_curve(law, run), hybrid_curve(law, run) if law.model.terms else None
    beyond = _forecast(law, run, closed)
    return Course(
        run=run,
        closed=closed,
        hybrid=hybrid,
        band=_band(law, run, closed, beyond) if banded else None,
        beyond=beyond,
        outside=_outside(law, run, closed, beyond),
    )


def _outside(law, run: Run, closed, beyond) -> np.ndarray:
    t, x = closed if beyond is None else map(np.concatenate, zip(closed, beyond, strict=True))
    later = t > run.t[-1] if len(run.t) else np.ones(len(t), bool)
    return later & ~inside_visited(law, dict(zip(law.model.measurable, x.T, strict=True)))


def _forecast(law, run: Run, closed) -> tuple[np.ndarray, np.ndarray] | None:
    """The law beyond a fitted record; None where part of it was held out, inputs end with it, or the law fails."""
    first, last = run.span
    complete = len(closed[0]) > 1 and closed[0][-1] == last
    if run.index is None or len(run.held_t) or law.model.inputs or not complete:
        return None
    t = np.linspace(last, last + FORECAST * (last - first), FORECAST_POINTS)
    before = closed[0][: -1 : -(-len(closed[0]) // MOST_BEFORE)]
    whole = np.concatenate([before, t])
    try:
        x = law.forecast(whole, trajectory=run.index)[list(law.model.measurable)].to_numpy()[-len(t) :]
    except SolveError:
        return None
    return (t, x) if np.isfinite(x).all() else None


def _band(law, run: Run, closed, beyond) -> tuple[np.ndarray, np.ndarray] | None:
    """Lowest and highest of the law along its curve and forecast, its distance from them sampled at fewer times."""
    if run.index is None or len(closed[0]) < 2 or closed[0][-1] < run.span[1]:
        return None
    t, x = closed if beyond is None else map(np.concatenate, zip(closed, beyond, strict=True))
    once = np.concatenate([[True], np.diff(t) > 0])  # the forecast begins where the curve ends
    places = np.flatnonzero(once)[_band_rows(t[once], x[once])]
    try:
        edges = law.bands(t[places], trajectory=run.index)
    except SolveError:
        return None
    size = np.ptp(x, axis=0) + 1e-300
    both = []
    for side, sign in (("low", -1.0), ("high", 1.0)):
        away = edges[[f"{name} {side}" for name in law.model.measurable]].to_numpy() - x[places]
        away = np.where(np.isinf(away), sign * WIDEST * size, away)
        both.append(x + np.stack([np.interp(t, t[places], column) for column in away.T], 1))
    return None if np.isnan(both).any() else (both[0], both[1])


def _band_rows(t: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Rows in equal parts where these follow the curve, else its extremes."""
    equal = np.unique(np.linspace(0, len(t) - 1, min(BAND_POINTS, len(t))).round().astype(int))
    missed = np.stack([np.abs(np.interp(t, t[equal], column[equal]) - column).max() for column in x.T])
    if (missed <= SMOOTH * (np.ptp(x, axis=0) + 1e-300)).all():
        return equal
    return kept_rows(*x.T, most=4 * BAND_POINTS)
