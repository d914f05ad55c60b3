"""A search among experiments: what the laws predict of each, and how good that makes it."""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from udesys.assess.derived import footing_of
from udesys.assess.suggest.check import Check, chance_of_telling, solver_spacing
from udesys.assess.suggest.designs import REACHES, REFINED, Design, NewRun, Running, measured_columns
from udesys.assess.suggest.narrowing import Target, combined, targets_of
from udesys.assess.suggest.predictions import (
    SET_TO,
    SET_UNSEEN,
    Prediction,
    noise_at,
    predict_new,
    predict_running,
    standing_laws,
    weights_of,
)
from udesys.assess.suggest.suggestions import CONSTANTS, SEPARATION, SHRINK, StandingLaw, Suggestion
from udesys.assess.suggest.utility import expected_ratios, information, overlaps, variance_after
from udesys.errors import DataError

if TYPE_CHECKING:
    from udesys.assess.discovery import Discovery

MOST_LAWS = 12  # compared; the likeliest
MOST_CHECKED = 6  # of them refitted to every simulated experiment; one for each group
SPARE = 1.5  # times as many experiments are simulated as are shown
ALIKE = 0.88  # overlap from which an experiment does not tell two laws apart: a ratio of likelihoods of exp(1/2)
NEAR_TIME, NEAR_START = 0.08, 0.2  # of what is looked at: nearer experiments of a kind are one
CHUNK = 32  # new runs evaluated together


@dataclass(frozen=True, kw_only=True)
class _Bundle:
    """Experiments of one shape, and what all laws predict of them.

    Attributes:
        designs: the experiments.
        segment: which they go on; None for new runs.
        predicted: (laws, designs, time, m).
        ratio, overlap: (laws, laws, designs).
        narrowing: target -> (designs, 2) standard error before and after.
        inside: (designs,).
    """

    designs: list[Design]
    segment: int | None
    predicted: np.ndarray
    ratio: np.ndarray
    overlap: np.ndarray
    narrowing: dict[str, np.ndarray]
    inside: np.ndarray


class Suggesting:
    """One search for experiments.

    Args:
        law: what was discovered.
        columns: that may be measured; all of the data if None.
        shrink: names of constants whose intervals should become narrower.
        seed: of the starts that are looked at.

    Raises:
        DataError: a name is not usable.
        UdesysError: the law was found by an older version and does not keep what it stands on.
    """

    def __init__(self, law: Discovery, columns: Sequence[str] | None, shrink: Sequence[str], seed: int):
        footing = footing_of(law)
        self.law, self.seed, self.notes = law, seed, []
        self.columns = measured_columns(law, columns)
        laws, lost = standing_laws(law)
        if not laws:
            raise DataError("the law cannot be linearised at its constants: no experiment can be ranked by it.")
        if lost:
            self.notes.append(f"{lost} of {lost + len(laws)} laws could not be linearised and are left out.")
        weights = weights_of(laws)
        chosen = [0, *(1 + np.argsort(-weights[1:], kind="stable")[: MOST_LAWS - 1])]
        if len(chosen) < len(laws):
            self.notes.append(f"The {len(chosen)} likeliest of {len(laws)} laws within reach are compared.")
        self.laws = [laws[k] for k in chosen]
        self.weights = weights[chosen] / weights[chosen].sum()
        self.by = SHRINK if shrink else SEPARATION if len(self.laws) > 1 else CONSTANTS
        derived = {name: quantity.expression for name, quantity in law.quantities.items()}
        self.targets: list[Target] = targets_of(self.laws, shrink, derived, all_constants=self.by == CONSTANTS)
        self.spacing = solver_spacing(footing)
        self.places = [law.model.measurable.index(c) for c in self.columns]
        self.bundles: list[_Bundle] = []

    # -------------------------------------------------------------- experiments
    def add_running(self, run: Running) -> None:
        """Look at one more measurement of a trajectory: of one column, and of all."""
        predictions = [predict_running(one, run, self.spacing) for one in self.laws]
        groups = [(c,) for c in self.columns] + ([self.columns] if len(self.columns) > 1 else [])
        for columns in groups:
            designs = [Design(trajectory=run.name, start={}, t=(float(t),), columns=columns) for t in run.t]
            turned = [_one_time_each(p) for p in predictions]
            self.bundles.append(self._bundle(designs, run.segment, turned, columns))

    def add_new(self, run: NewRun, starts: np.ndarray) -> np.ndarray:
        """Look at new runs.

        Args:
            run: how they are measured.
            starts: (designs, d).

        Returns:
            (designs,) how good they are.
        """
        states, scores = self.law.model.states, []
        t = tuple(map(float, run.t))
        for part in np.array_split(starts, max(1, -(-len(starts) // CHUNK))):
            predictions = [predict_new(one, run, part, self.start_spread(part), self.spacing) for one in self.laws]
            designs = [
                Design(trajectory=None, start=dict(zip(states, map(float, x0), strict=True)), t=t, columns=self.columns)
                for x0 in part
            ]
            self.bundles.append(self._bundle(designs, None, predictions, self.columns))
            scores.append(self.scores(self.bundles[-1]))
        return np.concatenate(scores)

    def search_new(self, run: NewRun) -> None:
        """Look at new runs all over the bounds, then around the best ones."""
        starts = run.starts(self.seed, len(self.laws))
        scores = self.add_new(run, starts)
        if not run.open.any():
            return
        for level, reach in enumerate(REACHES):
            best = starts[_apart(starts / np.where(run.open, run.high - run.low, 1.0), scores, REFINED)]
            more = np.concatenate([run.around(x0, reach, self.seed + 1 + level) for x0 in best])
            starts, scores = np.concatenate([starts, more]), np.concatenate([scores, self.add_new(run, more)])

    def start_spread(self, starts: np.ndarray) -> np.ndarray:
        """(d,) standard deviation of a start about the one that is wanted."""
        law, data = self.law, self.law.footing.data
        visited = np.array([high - low for low, high in (law.visited[s] for s in law.model.states)])
        size = np.maximum(np.abs(starts).max(0), visited)
        measured = np.isin(law.model.states, self.columns)
        noise = noise_at(law, np.concatenate([starts.mean(0), np.zeros(len(law.model.observe))]))[: len(size)]
        return np.where(data.free, np.where(measured, SET_TO * noise, SET_UNSEEN * size), 0.0)

    def _bundle(self, designs, segment, predictions: list[Prediction], columns) -> _Bundle:
        places = [self.law.model.measurable.index(c) for c in columns]
        count = len(designs)
        mean = np.stack([p.mean[:, :, places].reshape(count, -1) for p in predictions])
        with np.errstate(invalid="ignore"):
            noise = noise_at(self.law, np.nan_to_num(predictions[0].mean))[:, :, places].reshape(count, -1)
        slopes = [p.slopes[:, :, places].reshape(count, mean.shape[2], -1) for p in predictions]
        covariance = np.stack(
            [s @ p.covariance @ np.swapaxes(s, 1, 2) for s, p in zip(slopes, predictions, strict=True)]
        )
        covariance = covariance + noise[:, :, None] ** 2 * np.eye(mean.shape[2])
        lost = ~np.isfinite(mean).all(-1)
        narrowing = {}
        for target in self.targets:
            after = [
                None if g is None else variance_after(s, p.covariance, c, _padded(g, s.shape[2]))
                for g, s, p, c in zip(target.directions, slopes, predictions, covariance, strict=True)
            ]
            before = [one.covariance.values for one in self.laws]
            narrowing[target.name] = combined(target, before, after, self.weights, lost)
        low, high = np.array([self.law.visited[s] for s in self.law.model.states]).T
        states = predictions[0].states
        with np.errstate(invalid="ignore"):
            inside = ((states >= low) & (states <= high)).all((1, 2))
        return _Bundle(
            designs=designs,
            segment=segment,
            predicted=np.stack([p.mean for p in predictions]),
            ratio=expected_ratios(mean, covariance),
            overlap=overlaps(mean, covariance),
            narrowing=narrowing,
            inside=inside,
        )

    # -------------------------------------------------------------- ranking
    def scores(self, bundle: _Bundle) -> np.ndarray:
        """(designs,) how good experiments are, by linearised predictions; not at all where the pick blows up."""
        if self.by == SEPARATION:
            found = information(self.weights, bundle.overlap)
        else:
            found = np.mean([1.0 - b[:, 1] / b[:, 0] for b in bundle.narrowing.values()], axis=0)
        usable = np.isfinite(bundle.predicted[0]).all((1, 2))
        return np.where(usable & np.isfinite(found), found, -np.inf)

    def chosen(self, most: int) -> list[tuple[_Bundle, int]]:
        """The best experiments that differ, of every kind some."""
        ranked = [(s, b, k) for b in self.bundles for k, s in enumerate(self.scores(b)) if s > -np.inf]
        ranked.sort(key=lambda one: -one[0])
        span = _span([d for b in self.bundles for d in b.designs])
        kinds = {b.designs[0].kind.partition(":")[0] if b.segment is None else b.designs[0].kind for b in self.bundles}
        cap = max(2, -(-most // max(1, min(len(kinds), 3))))
        kept: list[tuple[_Bundle, int]] = []
        for allowed in (cap, most):
            for _, bundle, k in ranked:
                design = bundle.designs[k]
                same = [b.designs[j] for b, j in kept if b.designs[j].kind == design.kind]
                if len(kept) < most and len(same) < allowed and not any(_near(design, other, span) for other in same):
                    kept.append((bundle, k))
        return kept

    def groups(self) -> list[int]:
        """For each law the first one from which no experiment looked at tells it."""
        least = np.min([b.overlap.min(2) for b in self.bundles], axis=0)
        found: list[int] = []
        for k in range(len(self.laws)):
            found.append(next((j for j in found if found[j] == j and least[j, k] > ALIKE), k))
        return found

    def suggestions(self, most: int) -> tuple[tuple[Suggestion, ...], tuple[StandingLaw, ...], list[tuple]]:
        """The experiments with what simulation and refits say of the best, the laws, and where each one came from."""
        groups = self.groups()
        leaders = [k for k in range(len(self.laws)) if groups[k] == k]
        shared = np.array([self.weights[[j for j, g in enumerate(groups) if g == k]].sum() for k in leaders])
        order = [0, *(1 + np.argsort(-shared[1:], kind="stable"))][:MOST_CHECKED]
        if len(order) < len(leaders):
            self.notes.append(f"{len(order)} of {len(leaders)} laws that differ here are refitted to each experiment.")
        checked, shares = [leaders[k] for k in order], shared[order] / shared[order].sum()
        if self.by == SEPARATION and len(leaders) == 1:
            self.notes.append("No experiment looked at tells these laws apart.")
        check = Check(self.law, [self.laws[k] for k in checked]) if len(checked) > 1 else None
        rows = []
        for bundle, k in self.chosen(max(most, int(SPARE * most))):
            deltas = rises = None
            if check is not None:
                deltas, rises = check.deltas(bundle.designs[k], bundle.segment, bundle.predicted[checked, k])
            rows.append((self._suggestion(bundle, k, leaders, deltas, rises, shares), (bundle, k)))
        if self.by == SEPARATION:
            rows.sort(key=lambda row: (-np.nan_to_num(row[0].told), -row[0].information))
        names = _labels(len(self.laws))
        standing = tuple(
            StandingLaw(label=names[k], text=one.name, weight=float(self.weights[k]), group=names[groups[k]])
            for k, one in enumerate(self.laws)
        )
        return tuple(row[0] for row in rows[:most]), standing, [row[1] for row in rows[:most]]

    def _suggestion(self, bundle: _Bundle, k: int, leaders, deltas, rises, shares) -> Suggestion:
        """An experiment with all that is expected of it."""
        names, separation, pair = _labels(len(self.laws)), 0.0, ()
        ratio = 0.5 * (bundle.ratio[:, :, k] + bundle.ratio[:, :, k].T)
        if len(self.laws) > 1:
            most = np.outer(self.weights, self.weights) * np.minimum(ratio, 100.0)
            most = most[np.ix_(leaders, leaders)] if len(leaders) > 1 else most
            i, j = np.unravel_index(int(np.argmax(np.triu(most, 1))), most.shape)
            i, j = (leaders[i], leaders[j]) if len(leaders) > 1 else (i, j)
            separation, pair = float(ratio[i, j]), (names[i], names[j])
        learnt = float(information(self.weights, bundle.overlap[:, :, k : k + 1])[0])
        told, delta, least, settles = (float("nan"),) * 4
        known = deltas is not None and np.isfinite(np.diag(deltas))
        if deltas is not None and known.any():
            others = ~np.eye(len(deltas), dtype=bool)
            nearest = np.where(others, deltas, np.inf).min(1)[known]
            share = shares[known] / shares[known].sum()
            chances = np.where(others, chance_of_telling(deltas, rises), 1.0)[known]
            delta, least = float(share @ np.minimum(nearest, 1e6)), float(nearest.min())
            settles = float(share @ chances.min(1))
            wrong = shares * others[known]
            told = float(share @ ((wrong * chances).sum(1) / wrong.sum(1)))
        narrowing = {name: (float(b[k, 0]), float(b[k, 1])) for name, b in bundle.narrowing.items()}
        return Suggestion(
            design=bundle.designs[k],
            separation=separation,
            pair=pair,
            told=told,
            information=learnt,
            delta=delta,
            least_delta=least,
            settles=settles,
            narrowing=narrowing,
            inside=bool(bundle.inside[k]),
        )


# ------------------------------------------------------------------ small parts
def _one_time_each(p: Prediction) -> Prediction:
    """A trajectory's prediction as one experiment for each of its times."""
    turned = {name: np.swapaxes(getattr(p, name), 0, 1) for name in ("mean", "states", "slopes")}
    return Prediction(**turned, covariance=p.covariance)


def _padded(directions: np.ndarray, width: int) -> np.ndarray:
    """Combinations of constants as ones of the constants and a start."""
    return np.pad(directions, ((0, 0), (0, width - directions.shape[1])))


def _labels(count: int) -> list[str]:
    return list(string.ascii_uppercase[:count])


def _span(designs: list[Design]) -> tuple[float, np.ndarray]:
    """Ranges of times and starts that were looked at."""
    t = [d.t[0] for d in designs if d.trajectory is not None] or [0.0]
    starts = np.array([list(d.start.values()) for d in designs if d.trajectory is None] or [[0.0]])
    return max(t) - min(t), np.ptp(starts, axis=0)


def _near(one: Design, other: Design, span: tuple[float, np.ndarray]) -> bool:
    if one.trajectory is not None:
        return abs(one.t[0] - other.t[0]) < NEAR_TIME * span[0]
    apart = np.abs(np.array(list(one.start.values())) - np.array(list(other.start.values())))
    width = np.where(span[1] > 0, span[1], 1.0)
    return bool((apart / width < NEAR_START).all())


def _apart(points: np.ndarray, scores: np.ndarray, count: int) -> list[int]:
    """Places of the best points that are not near each other."""
    kept: list[int] = []
    for k in np.argsort(-scores, kind="stable"):
        if len(kept) < count and all((np.abs(points[k] - points[j]) > NEAR_START).any() for j in kept):
            kept.append(int(k))
    return kept
