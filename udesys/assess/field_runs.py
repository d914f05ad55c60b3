"""Runs of fields on a grid as a whole: what was measured, and the law, its band and the hybrid at all points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from udesys.assess.fields import (
    bands_of,
    course_of,
    drivings_of,
    first_profile,
    hybrid_fields,
    inputs_of,
    known_names,
    outputs_of,
)
from udesys.data import Dataset, Trajectory
from udesys.errors import DataError, did_you_mean
from udesys.integrate.driving import driving_of
from udesys.model import HybridODE


@dataclass(frozen=True, kw_only=True)
class FieldRun:
    """One run of fields.

    Attributes:
        name: of the run.
        at: its trajectories among those that were fitted; None where all of it is held out.
        fitted: its points as they were fitted; empty where none of it was.
        held: its points as they were held out; empty where none of it was.
    """

    name: str
    at: slice | None
    fitted: tuple[Trajectory, ...]
    held: tuple[Trajectory, ...]

    @property
    def points(self) -> tuple[Trajectory, ...]:
        """Its points, from the first time on."""
        return self.fitted or self.held

    @property
    def t(self) -> np.ndarray:
        """(times,) fitted times, then those held out."""
        return np.concatenate([part[0].t for part in (self.fitted, self.held) if part])

    @property
    def n_fitted(self) -> int:
        """How many of these times were fitted."""
        return len(self.fitted[0].t) if self.fitted else 0

    @property
    def y(self) -> np.ndarray:
        """(times, n, columns) what was measured."""
        parts = [np.stack([point.y for point in part], 1) for part in (self.fitted, self.held) if part]
        return np.concatenate(parts)


def runs_in(model: HybridODE, data: Dataset) -> dict[str, slice]:
    """Run -> its trajectories among those of the data.

    Args:
        model: with a grid.
        data: of its points.
    """
    n, count = model.grid.n, len(data.trajectories) // model.grid.n
    names = list(data.runs) if data.position else [str(k) for k in range(count)]
    return {name: slice(k * n, (k + 1) * n) for k, name in enumerate(names)}


def field_runs(law) -> list[FieldRun]:
    """All runs of a law of fields: the fitted ones with their held-out rest, then those held out as a whole.

    Args:
        law: a Discovery of a model with a grid.
    """
    fitted, held, found = runs_in(law.model, law.data), {}, []
    if law.heldout is not None:
        held = {name: law.heldout.trajectories[at] for name, at in runs_in(law.model, law.heldout).items()}
    for name, at in fitted.items():
        own, rest = law.data.trajectories[at], held.get(name, ())
        rest = held.pop(name) if rest and rest[0].t[0] > own[0].t[-1] else ()
        found.append(FieldRun(name=name, at=at, fitted=own, held=rest))
    return found + [FieldRun(name=name, at=None, fitted=(), held=points) for name, points in held.items()]


def point_of(law, name: str) -> tuple[FieldRun, int | None]:
    """The fitted run of that name, or the run with that point and the point's place in it.

    Args:
        law: a Discovery of a model with a grid.
        name: of a run (`A`), or of one of its points (`A, x = 0.5`).

    Raises:
        DataError: there is none of that name.
    """
    runs = [run for run in field_runs(law) if run.at is not None]
    for run in runs:
        if run.name == name:
            return run, None
        for k, point in enumerate(run.fitted):
            if point.name == name:
                return run, k
    names = [run.name for run in runs]
    raise DataError(f"there is no run {name!r}. {did_you_mean(name, names, listed='The law was fitted to')}")


def point_at(law, trajectory: int) -> tuple[FieldRun, int]:
    """The run that a fitted trajectory is a point of, and the point's place in it.

    Args:
        law: a Discovery of a model with a grid.
        trajectory: its place among those that were fitted.
    """
    run, point = divmod(trajectory, law.model.grid.n)
    return field_runs(law)[run], point


# ------------------------------------------------------------------ the law
def law_along(law, run: FieldRun, t: np.ndarray) -> np.ndarray:
    """(times, n, m) fields and observables of the law from the run's initial profile.

    Args:
        law: a Discovery of a model with a grid.
        run: one of its `field_runs`.
        t: (times,) increasing, from the run's first time on [the data's time unit].

    Raises:
        SolveError: the times are not usable, or the fields leave the finite numbers.
    """
    return _with_observables(law, t, *states_along(law, run, t))


def states_along(law, run: FieldRun, t: np.ndarray):
    """(times, n, d) fields of the law from the run's initial profile, and what drives every point.

    Args:
        law, run, t: as for `law_along`, which says what is raised too.
    """
    drivings = drivings_along(law, run)
    return course_of(law.closed_form, start_of(law, run), float(run.points[0].t[0]), t, drivings), drivings


def band_along(law, run: FieldRun, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Between what 95 % of the laws are that the data allow: low and high (times, n, m), NaN where that is not known.

    Args:
        law, run, t: as for `law_along`, which says what is raised too.
    """
    if run.at is None:
        empty = np.full((len(t), law.model.grid.n, len(law.model.measurable)), np.nan)
        return empty, empty.copy()
    start, first = start_of(law, run), float(run.points[0].t[0])
    return bands_of(law.closed_form, start, first, t, drivings_along(law, run), law.covariance, run.at)


def hybrid_along(law, run: FieldRun, t: np.ndarray) -> np.ndarray:
    """(times, n, m) fields and observables of the fitted hybrid from its own initial profile of a fitted run.

    Args:
        law, run, t: as for `law_along`, which says what is raised too.
    """
    start = np.array([states[0] for states in law.fit.states[run.at]])
    drivings = drivings_along(law, run)
    states = hybrid_fields(law.fit, start, float(run.points[0].t[0]), t, drivings)
    if not law.model.observe:
        return states
    points = []
    for k, drive in enumerate(drivings or [None] * states.shape[1]):
        u = inputs_of(law.model, t, drive)
        observed = law.fit.problem.observation.values(t, states[:, k], law.fit.unknowns.theta, u)
        points.append(np.concatenate([states[:, k], observed], 1))
    return np.stack(points, 1)


def start_of(law, run: FieldRun) -> np.ndarray:
    """(n, d) where the simulation of a run starts, as its held-out error takes it."""
    known = np.array([list(x0.values()) for x0 in law.initial.values()])
    return known[run.at] if run.at is not None else first_profile(law.model, law.heldout, run.held, known)


def drivings_along(law, run: FieldRun):
    """The inputs and covariates of every point, held-out rest included; None without any."""
    known, of = known_names(law.model), dict(zip((p.name for p in run.held), run.held, strict=True))
    source = law.heldout if run.at is None else law.data

    def of_point(point: Trajectory):
        rest = (law.heldout, of[point.name]) if run.fitted and run.held else None
        return driving_of(source, point, known, rest)

    return drivings_of(law.model, of_point, run.points)


def _with_observables(law, t: np.ndarray, states: np.ndarray, drivings) -> np.ndarray:
    if not law.model.observe:
        return states
    each = drivings or [None] * states.shape[1]
    return np.stack([outputs_of(law.closed_form, t, states[:, k], drive) for k, drive in enumerate(each)], 1)
