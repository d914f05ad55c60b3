"""What an experiment would do to the ranking of the laws, by simulating it and refitting every law to it.

Noise-free data of one law are added to the measurements and the others are refitted to all of them: bent laws are
followed as far as they go. What noise adds to the errors, on average, is added afterwards.

Source: Atkinson & Fedorov, Biometrika 62 (1975) 57 (designs for telling two models apart: the second refitted to the
first).
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from udesys.assess.footing import Footing
from udesys.assess.forecast import driving_along
from udesys.assess.suggest.designs import Design
from udesys.assess.suggest.predictions import ITERATIONS, Standing, noise_at, row_worth
from udesys.search.measurements import Measurements
from udesys.select import RIVAL
from udesys.select.criterion import FLOOR
from udesys.select.refit import Refit

if TYPE_CHECKING:
    from udesys.assess.discovery import Discovery

LEAST_RISE = 0.05  # of a criterion, below which an experiment's noise no longer matters less


class Check:
    """Refits the laws to the measurements with an experiment added.

    Args:
        law: what was discovered, with a footing.
        laws: those that stand.
    """

    def __init__(self, law: Discovery, laws: list[Standing]):
        self.law, self.laws, self.worth = law, laws, row_worth(law)
        data = law.footing.data
        magnitude = (data.mask * np.abs(data.y)).sum(0) / np.maximum(data.mask.sum(0), 1)
        self.floor = FLOOR * np.maximum(magnitude, 1e-300)
        self.before = [self._fit(one.refit, data, 0.0) for one in laws]

    def deltas(self, design: Design, segment: int | None, predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Expected criterion of every law less that of the true one, after the experiment and by what it rose.

        Args:
            design: the experiment.
            segment: of the footing's data, which it goes on; None for a new run.
            predicted: (laws, time, m) of each law.

        Returns:
            Both (true law, other law); NaN where the true law blows up, or where errors have a memory, whose lags an
            experiment breaks; infinite where the other law cannot be refitted.
        """
        data = self.law.footing.data
        found = np.full((len(self.laws),) * 2, np.nan)
        rise = found.copy()
        if data.memory is not None and data.memory.any():
            return found, rise
        for m, true in enumerate(self.laws):
            if not np.isfinite(predicted[m]).all():
                continue
            footing, added = extended(self.law, design, segment, predicted[m])
            noise = added.sum(0) * data.sigma**2 * self.worth
            length = math.log1p(added.sum() / max(data.mask.sum(), 1.0))
            refitter = footing.refitter(self.law.model)
            own = self._gain(true.refit, m, footing.data, noise, length)
            for k, other in enumerate(self.laws):
                x0 = other.refit.x0 if segment is not None else np.concatenate([other.refit.x0, footing.x0[-1:]])
                refit = None if k == m else refitter.refit(other.form, x0, iterations=ITERATIONS)
                if k == m:
                    rise[m, k] = 0.0
                else:
                    rise[m, k] = math.inf if refit is None else self._gain(refit, k, footing.data, noise, length) - own
                found[m, k] = other.criterion - true.criterion + rise[m, k]
        return found, rise

    def _gain(self, refit: Refit, k: int, data: Measurements, noise: np.ndarray, length: float) -> float:
        """By how much an experiment raises the criterion of law k, refitted so."""
        return self._fit(refit, data, noise) - self.before[k] + len(refit.form.values) * length

    def _fit(self, refit: Refit, data: Measurements, noise) -> float:
        """The part of the criterion that says how well a law fits."""
        counts = data.mask.sum(0)
        measured = counts > 0
        variance = ((refit.weighted + noise)[measured] / counts[measured]) + self.floor[measured] ** 2
        return float((self.worth * counts[measured] * np.log(variance)).sum())


def extended(law: Discovery, design: Design, segment: int | None, predicted: np.ndarray) -> tuple[Footing, np.ndarray]:
    """The footing with an experiment added as one law predicts it.

    Args:
        law: what was discovered, with a footing.
        design: the experiment.
        segment: which it goes on; None for a new run.
        predicted: (time, m) [data units].

    Returns:
        The footing, and (time, m) 1 where the experiment measures.
    """
    footing, model, t = law.footing, law.model, np.array(design.t)
    data, (lo, hi) = footing.data, footing.data.segments
    added = np.zeros_like(predicted)
    added[:, [model.measurable.index(c) for c in design.columns]] = 1.0
    if segment is None:
        places, x0 = np.full(len(t), len(data.t)), predicted[:1, : len(model.states)]
        segments = (np.append(lo, len(data.t)), np.append(hi, len(data.t) + len(t)))
        x0, run = np.concatenate([footing.x0, x0]), law.data.trajectories[0]
    else:
        inside = slice(lo[segment], hi[segment])
        places = lo[segment] + np.searchsorted(data.t[inside], t)
        segments = (lo + len(t) * (lo > lo[segment]), hi + len(t) * (lo >= lo[segment]))
        run = next(run for run in law.data.trajectories if run.name == design.trajectory)
        x0 = footing.x0
    parts = {"t": t, "y": np.where(added > 0, predicted, 0.0), "mask": added}
    if data.profile is not None:
        parts["profile"] = noise_at(law, predicted) / data.sigma
    whole = {name: np.insert(getattr(data, name), places, new, axis=0) for name, new in parts.items()}
    driving = driving_along(model, law.data, law.heldout, run)
    if driving is not None:
        whole |= {
            name: np.insert(getattr(data, name), places, new, axis=0)
            for name, new in (("pieces", driving.along(t)), ("u", driving.values(t)))
        }
        if segment is not None:  # the last sample of a record has no piece of its own
            rows = slice(segments[0][segment], segments[1][segment])
            whole["pieces"][rows] = driving.along(whole["t"][rows])
    nodes = np.insert(footing.nodes, places, predicted[:, : len(model.states)], axis=0)
    steps = np.insert(footing.steps, places, 1)
    spacing = solver_spacing(footing)
    if not data.stiff:
        after = np.append(np.diff(whole["t"]), 0.0)
        new = places + np.arange(len(t))
        touched = np.unique(np.concatenate([np.maximum(new - 1, 0), new]))
        needed = np.maximum(np.ceil(after[touched] / spacing - 1e-9), 1).astype(np.int64)
        steps[touched] = np.where(after[touched] > 0, needed, 1)
    made = replace(data, **whole, segments=segments)
    return replace(footing, data=made, nodes=nodes, steps=steps, x0=x0), added


def solver_spacing(footing: Footing) -> float:
    """The step of the solver in most intervals of the refits."""
    data = footing.data
    return float(np.median(data.h / np.maximum(footing.steps[data.start], 1))) if len(data.h) else 1.0


def chance_of_telling(delta: np.ndarray, rise: np.ndarray) -> np.ndarray:
    """About how likely the noise of an experiment leaves a law's criterion beyond reach of the true one's.

    A ratio of likelihoods of two Gaussians of equal covariance has the variance of four times its mean.

    Args:
        delta: expected criterion above that of the true law, after the experiment.
        rise: the part of it that the experiment brings.
    """
    from scipy.stats import norm

    sure = np.isposinf(delta)
    with np.errstate(invalid="ignore"):
        spread = 2.0 * np.sqrt(np.maximum(np.where(sure, 1.0, rise), LEAST_RISE))
        return np.where(sure, 1.0, norm.cdf((np.where(sure, 0.0, delta) - RIVAL) / spread))
