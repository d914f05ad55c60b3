"""What is drawn of fields on a grid: the runs at their sample times, and profiles with bands at a few of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from udesys.assess.field_runs import FieldRun, band_along, field_runs, law_along
from udesys.errors import SolveError

MOST_RUNS = 2  # drawn, one below the other
PROFILES = 4  # times at which profiles are drawn


@dataclass(frozen=True, kw_only=True)
class FieldCourse:
    """One run of fields with the law.

    Attributes:
        run: its measurements.
        law: (times, n, m) fields and observables at all sample times; NaN where the law is lost.
        places: of the sample times at which profiles are drawn.
        band: lowest and highest (places, n, m) of the law there; None where unknown.
    """

    run: FieldRun
    law: np.ndarray
    places: np.ndarray
    band: tuple[np.ndarray, np.ndarray] | None

    @property
    def begin(self) -> float | None:
        """The time between what was fitted and what was held out; None where one of them is missing."""
        t, n = self.run.t, self.run.n_fitted
        return 0.5 * (t[n - 1] + t[n]) if 0 < n < len(t) else None


def field_courses(law) -> tuple[list[FieldCourse], int]:
    """The runs to draw, and how many there are; one that is held out as a whole is among them.

    Args:
        law: a Discovery of a model with a grid.
    """
    runs = field_runs(law)
    whole = [run for run in runs if run.at is None][:1]
    drawn = [*[run for run in runs if run.at is not None][: MOST_RUNS - len(whole)], *whole]
    return [_course(law, run) for run in drawn], len(runs)


def _course(law, run: FieldRun) -> FieldCourse:
    t, n = run.t, law.model.grid.n
    values = np.full((len(t), n, len(law.model.measurable)), np.nan)
    for end in (len(t), run.n_fitted):
        try:
            values[:end] = law_along(law, run, t[:end])
            break
        except SolveError:
            continue
    places = np.unique(np.linspace(0, len(t) - 1, PROFILES).round().astype(int))
    band = None
    if np.isfinite(values).all():
        low, high = band_along(law, run, t[places])
        band = None if np.isnan(low).all() else (low, high)
    return FieldCourse(run=run, law=values, places=places, band=band)
