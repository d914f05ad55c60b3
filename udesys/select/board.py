"""Joint choices of formulas refitted and ranked on one footing: the same rows, weights and steps of the solver."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from udesys.fit import FitResult
from udesys.fit.correlation import effective_counts
from udesys.fit.memory import memory_of, whitened
from udesys.fit.noise_profile import Profile, noise_profile
from udesys.model.closed_form import ClosedForm, Formula
from udesys.model.runs_on_grid import steps_on_grid
from udesys.search import Candidate
from udesys.search.boundary import outward_states, said
from udesys.search.candidate import as_given
from udesys.search.measurements import Measurements, windows
from udesys.search.prior import DEFAULT, Prior, known_forms, law_length
from udesys.search.shape import Shape
from udesys.select.criterion import FLOOR, RIVAL, criterion
from udesys.select.field_refit import refitter_of
from udesys.select.refit import Refit, replace_data
from udesys.select.selection import Ranked

HOPELESS = 4.0  # times the best's cost: a refit above it that no longer gains is stopped
MOST_POLISHED, POLISHINGS = 20, 2  # laws near the best refitted with their own weights, and how often
NEAR = 8.0  # how near
MOST_KEPT = 40  # choices refitted when the weights or the steps change
MOST_STEPS, MOST_TOTAL = 64, 8_000  # solver steps between two samples, and altogether
SPANS = (8.0, 4.0, 2.0)  # longest step in median intervals between samples, tried before one for each
LEAST_SPANNED = 256  # samples; fewer are soon simulated, and on coarse steps the right law can lose
ROUNDING = 1e-9  # of times, beside an interval
SPANNED = 0.2  # of a state's range: the most it moves in one of these
STEP_ERROR = 0.02  # of the noise: a larger change on doubling the steps asks for more
FLOOR_ERROR = 0.05  # of the floor of the criterion, which is what exact data are compared by
SMALLEST_WEIGHT_CHANGE = 1.02
WANDERING = 0.2  # of the rows: errors that are worth less are filtered by their memory
RUNAWAY = 1e6  # times the proposed value of a constant inside a term


class Board:
    """All laws tried so far, on one footing.

    Args:
        fit: the fitted hybrid.
        data: the measurements that laws are refitted to.
        nodes: (samples, d) states of the hybrid there.
        prior: over forms.

    Attributes:
        shapes: term -> what is known of it; a law without that is ranked last.
        seen: key -> ranked law.
        diverged: key -> formulas (by term) whose simulation never reached the end.
        unsteady: keys of laws that simulate on coarse steps alone.
        leading: keys of laws that a proposal about the best one put in front.
        counts, worth: (m,) measurements, and how many independent ones they amount to.
        n_refits: refits made.
    """

    def __init__(self, fit: FitResult, data: Measurements, nodes: np.ndarray, prior: Prior = DEFAULT):
        self.fit, self.model, self.known, self.prior = fit, fit.model, known_forms(fit.model), prior
        self.shapes: dict[str, Shape] = {}
        self.seen: dict[tuple, Ranked] = {}
        self.diverged: dict[tuple, dict[str, str]] = {}
        self.unsteady: set[tuple] = set()
        self.leading: set[tuple] = set()
        self.profiles: dict[str, Profile] = {}
        spanned = len(data.t) >= LEAST_SPANNED and not data.stiff and data.pieces is None
        self.n_refits, self.fineness = 0, 0 if spanned else len(SPANS)
        self._stand_on(data, nodes)

    def _stand_on(self, data: Measurements, nodes: np.ndarray) -> None:
        self.data, self._nodes = data, nodes
        self.refitter = refitter_of(self.model, data, nodes, self._steps(self.fineness))
        self.counts = self.worth = data.mask.sum(0)
        magnitude = (data.mask * np.abs(data.y)).sum(0) / np.maximum(self.counts, 1)
        self.floor = FLOOR * np.maximum(magnitude, 1e-300)

    @property
    def best(self) -> Ranked:
        """The law of the lowest criterion."""
        return min(self.seen.values(), key=lambda r: r.criterion)

    @property
    def ranked(self) -> tuple[Ranked, ...]:
        """All laws, the lowest criterion first."""
        return tuple(sorted(self.seen.values(), key=lambda r: r.criterion))

    # -------------------------------------------------------------- one joint choice
    def key(self, choice: Mapping[str, Candidate]) -> tuple[str, ...]:
        """What tells joint choices apart: the forms of all terms."""
        return tuple(choice[t].key for t in self.model.terms)

    def score(self, choice: Mapping[str, Candidate], start: Ranked | None, *, robust: bool = False) -> Ranked | None:
        """Refit a choice from the parameters and starts of another; known choices are looked up.

        Args:
            choice: term -> candidate.
            start: the law to start from; the hybrid where it is None.
            robust: also refit from windows of its own.

        Returns:
            None where the law cannot be simulated.
        """
        key = self.key(choice)
        if key in self.unsteady:
            return None
        leading = key in self.leading
        self.leading.discard(key)
        if key in self.seen and not self._worth_another(key, start, robust, leading):
            return self.seen[key]
        parameters = start.refit.form.parameters if start else {n: v for n, (v, _) in self.fit.parameters.items()}
        x0 = start.refit.x0 if start else self._nodes[self.data.segments[0]]
        formulas = {t: c.formula for t, c in choice.items()}
        form = ClosedForm(self.model, formulas, parameters, stiff=self.data.stiff)
        self.n_refits += 1
        with np.errstate(all="ignore"):
            reference = start or (self.best if self.seen else None)
            hopeless = HOPELESS * reference.refit.cost if reference else None
            refit = self.refitter.refit(form, x0, robust=robust or leading, hopeless=hopeless)
        if refit is None or _ran_away(choice, refit):
            if key not in self.seen:
                self.diverged[key] = self.formula_texts(choice)
            return self.seen.get(key)
        self.diverged.pop(key, None)
        before, ranked = self.seen.get(key), self._rank(choice, refit)
        if before is not None and before.criterion < ranked.criterion:
            self.seen[key] = ranked = before
        return ranked

    def score_formulas(self, formulas: Mapping[str, Formula]) -> Ranked | None:
        """Any formulas (term -> Formula) refitted and ranked on the same footing as the proposed ones."""
        choice = {term: as_given(formulas[term]) for term in self.model.terms}
        ranked = self.score(choice, self.best, robust=True)
        return ranked and self._rank(choice, self._polished(ranked))

    def formula_texts(self, choice: Mapping[str, Candidate]) -> dict[str, str]:
        """term -> formula with named constants, in the names of the equations."""
        return {t: self.model.formula_text(t, c.formula.tree) for t, c in choice.items()}

    def _worth_another(self, key: tuple, start: Ranked | None, robust: bool, leading: bool) -> bool:
        """Whether a law that was refitted and stayed behind is refitted again, from other constants."""
        if start is None:
            return False
        seen = self.seen[key]
        behind = leading and seen.criterion > start.criterion + RIVAL
        return behind or (robust and seen.refit.cost > HOPELESS * start.refit.cost)

    def _rank(self, choice, refit: Refit) -> Ranked:
        constants = {t: list(refit.form.formulas[t].constants.values()) for t in self.model.terms}
        choice = {t: choice[t].with_constants(constants[t]) for t in self.model.terms}
        prior = law_length({t: c.forms for t, c in choice.items()}, self.known, self.prior)
        value = criterion(refit.weighted, self.counts, self.worth, self.floor, len(refit.form.values), prior)
        value += refit.penalty
        if self.broken(choice, refit.form):
            value = math.inf
        ranked = Ranked(choice, refit, value)
        self.seen[ranked.key] = ranked
        return ranked

    def broken(self, choice: Mapping[str, Candidate], form: ClosedForm) -> list[str]:
        """What is known that a law does not have, each as "NN1: what was said"."""
        shapes = ((t, self.shapes[t].objection(c.formula)) for t, c in choice.items() if t in self.shapes)
        found = [f"{term}: {what}" for term, what in shapes if what]
        if self.model.invariants.inward and not found:
            found = [said(state) for state in outward_states(form, self._nodes, self.data.t, self.data.u)]
        return found

    # -------------------------------------------------------------- other rows
    def free(self, finalists: Sequence[Ranked]) -> Ranked:
        """Estimate fields at the first time with every law, which the search held where the hybrid has them.

        The finalists are refitted, the rest is forgotten; the best of them.
        """
        self.refitter = self.refitter.freed()
        self.seen.clear()
        for ranked in finalists:
            refit = self.refitter.refit(ranked.refit.form, ranked.refit.x0)
            self._rank(ranked.choice, refit or ranked.refit)
        return self.best

    def cut(self, longest: int) -> None:
        """Compare laws over windows with starts of their own: a chaotic record forgets its start."""
        free = np.ones_like(self.data.free)
        segments = windows(self.data.segments, longest)
        self.data = self.refitter.data = replace(self.data, segments=segments, free=free)
        self.seen.clear()
        self.diverged.clear()

    def move(self, data: Measurements, nodes: np.ndarray, finalists: Sequence[Ranked]) -> Ranked | None:
        """Refit the finalists to other rows and forget the rest; the best of them, or None where none simulates."""
        self._stand_on(data, nodes)
        self.seen.clear()
        for ranked in finalists:
            refit = self.refitter.refit(ranked.refit.form, nodes[data.segments[0]])
            if refit is not None:
                self._rank(ranked.choice, refit)
        return self.best if self.seen else None

    # -------------------------------------------------------------- steps and weights
    def again(self, best: Ranked) -> Ranked:
        """The best and what came near it, refitted on the present footing; the rest is forgotten."""
        near = self.ranked[:MOST_KEPT]
        self.seen.clear()
        for ranked in [best, *(r for r in near if r is not best)]:
            refit = self.refitter.refit(ranked.refit.form, ranked.refit.x0)
            if refit is not None:
                self._rank(ranked.choice, refit)
        return self.best if self.seen else self._rank(best.choice, best.refit)

    def tuned(self, best: Ranked) -> Ranked:
        """Halve the solver's steps until that no longer matters beside the noise of the best law."""
        noise = STEP_ERROR * np.broadcast_to(self.data.sigma, self.data.y.shape).mean(0)
        allowed = np.maximum(noise, FLOOR_ERROR * self.floor)
        fineness, coarse = self.fineness, best.refit.outputs
        if best.refit.form.jumps:  # no step spans samples where signs are; other laws must not be coarser for that
            fineness = max(fineness, len(SPANS))
        while True:
            steps = self._steps(fineness + 1)
            if steps.max() >= 2 * MOST_STEPS or steps.sum() > max(MOST_TOTAL, 4 * len(steps)):
                break
            fine = self.refitter.simulate(best.refit, steps)
            if fine is None:
                return self._dropped(best)
            change = np.sqrt(((fine - coarse) ** 2).mean(0))
            if (change < allowed)[self.counts > 0].all():
                break
            fineness, coarse = fineness + 1, fine
        if fineness == self.fineness:
            return best
        self.fineness, self.refitter.steps = fineness, self._steps(fineness)
        return self.again(best)

    def _steps(self, fineness: int) -> np.ndarray:
        """(samples,) solver steps after each sample: a few samples to a step at first, then one, then more steps."""
        data = self.data
        steps = np.ones(len(data.t), dtype=np.int64)
        if self.model.grid is not None:
            return steps_on_grid(self.model, data.t, data.segments, self.fit.steps) * 2 ** (fineness - len(SPANS))
        if fineness < len(SPANS):
            return _spanning(data, self._nodes, SPANS[fineness])
        if not data.stiff:  # implicit steps find their length by themselves
            steps[data.start] = np.clip(np.ceil(data.h / np.median(data.h) - ROUNDING), 1, MOST_STEPS)
        return steps * 2 ** (fineness - len(SPANS))

    def _dropped(self, best: Ranked) -> Ranked:
        """The next best law, where the best one simulates by an error of the coarse steps alone."""
        rest = [r for r in self.seen.values() if r.key != best.key]
        if not rest:
            return best
        del self.seen[best.key]
        self.unsteady.add(best.key)
        self.diverged[best.key] = self.formula_texts(best.choice)
        return self.tuned(min(rest, key=lambda r: r.criterion))

    def own_noise(self, ranked: Ranked) -> np.ndarray:
        """(m,) noise of each column by a law's own residuals; given noise stays."""
        columns = max(int((self.counts > 0).sum()), 1)
        spent = (ranked.n_constants + self.data.free.sum() * len(self.data.segments[0])) / columns
        sigma = np.sqrt(ranked.refit.weighted / np.maximum(self.counts - spent, 1))
        sought = (self.counts > 0) & ~np.isin(self.model.measurable, self.fit.given_noise)
        return np.where(sought, np.maximum(sigma, self.floor), self.data.sigma)

    def reweighted(self, best: Ranked) -> Ranked:
        """Weights from the residuals of the best law, where they changed."""
        if self._profiled(best):
            best = self.again(best)
        sigma = self.own_noise(best)
        if largest_ratio(sigma, self.data.sigma) < SMALLEST_WEIGHT_CHANGE:
            return best
        self.data = self.refitter.data = replace(self.data, sigma=sigma)
        return self.again(best)

    def _profiled(self, best: Ranked) -> bool:
        """Whether the best law's residuals show noise that grows with what is measured, as they did not before."""
        error, mask = self.data.y - best.refit.outputs, self.data.mask.copy()
        if self.model.grid is not None:
            mask[self.data.segments[0]] = 0.0  # fitted point by point, these are smaller than the noise, whatever it is
        factors, found = np.ones_like(error), {}
        for j in np.flatnonzero(self.counts > 0):
            name = self.model.measurable[j]
            if name in self.fit.given_noise or not np.isfinite(error[:, j]).all():
                continue
            profile = noise_profile(error[:, j], best.refit.outputs[:, j], mask[:, j])
            if profile is not None:
                factors[:, j], found[name] = profile.factors, profile
        if not found or self.profiles.keys() == found.keys():
            return False
        self.profiles = found
        self.data = self.refitter.data = replace(self.data, profile=factors)
        return True

    def polish(self, most: int = MOST_POLISHED) -> None:
        """Refit what is near the best with weights of its own: the criterion takes each law's noise as its own."""
        near = self.ranked[:most]
        for ranked in near:
            if ranked.criterion - near[0].criterion > NEAR:
                break
            self._rank(ranked.choice, self._polished(ranked))

    def _polished(self, ranked: Ranked) -> Refit:
        refitter = replace_data(self.refitter, self.data).freed()
        for _ in range(POLISHINGS):
            sigma = self.own_noise(ranked)
            if largest_ratio(sigma, refitter.data.sigma) < SMALLEST_WEIGHT_CHANGE:
                break
            refitter = replace_data(refitter, replace(self.data, sigma=sigma))
            refit = refitter.refit(ranked.refit.form, ranked.refit.x0)
            if refit is None:
                break
            ranked = Ranked(ranked.choice, refit, ranked.criterion)
        return ranked.refit

    def remember(self, best: Ranked) -> Ranked | None:
        """Filter errors that wander by their own memory, so that every row counts; None where that does not apply.

        All laws are refitted on that footing, and the memory is that of the best law. It is a memory of one column:
        several that wander do so together, and each filtered by itself they would be counted twice.
        """
        error = (best.refit.outputs - self.data.y) * self.data.mask
        worth = effective_counts(error, self.data.mask, self.data.segments)
        if (worth < WANDERING * self.counts).sum() != 1:
            return None
        memory = memory_of(np.nan_to_num(error), self.data.mask, self.data.t, self.data.segments)
        if not memory.any():
            return None
        self.data = self.refitter.data = replace(self.data, memory=memory)
        best = self.again(best)
        self.data = self.refitter.data = replace(self.data, sigma=self.own_noise(best))
        return self.again(best)

    def discount(self, best: Ranked) -> bool:
        """Count only the rows that the best law's residuals are worth, and rank all laws anew; False if that is all."""
        error = (best.refit.outputs - self.data.y) * (self.data.sigma / self.data.noise)
        error = whitened(np.where(self.data.mask > 0, error, 0.0), self.data.memory, self.data.segments)
        self.worth = effective_counts(error, self.data.mask, self.data.segments)
        if not (self.worth < self.counts).any():
            return False
        for ranked in list(self.seen.values()):
            self._rank(ranked.choice, ranked.refit)
        return True


def _ran_away(choice: Mapping[str, Candidate], refit: Refit) -> bool:
    """Whether a constant inside a term went so far that the term is the limit of a simpler one."""
    for term, candidate in choice.items():
        values = refit.form.formulas[term].constants
        if any(not abs(values[n]) < RUNAWAY * max(abs(v), 1e-300) for n, v in candidate.inner.items()):
            return True
    return False


def _spanning(data: Measurements, nodes: np.ndarray, span: float) -> np.ndarray:
    """(samples,) 1 where a step begins and 0 within it.

    Args:
        data: their times and segments.
        nodes: (samples, d) states there; no step moves one by more than `SPANNED` of its range.
        span: longest step, in median intervals.
    """
    steps = np.zeros(len(data.t), dtype=np.int64)
    longest = (1 + ROUNDING) * span * np.median(data.h)
    most = SPANNED * np.maximum(np.ptp(nodes, axis=0), 1e-300)
    for a, b in zip(*data.segments, strict=True):
        begin = a
        while begin < b:
            end = begin + 1
            while (
                end + 1 < b
                and data.t[end + 1] - data.t[begin] <= longest
                and (np.abs(nodes[end + 1] - nodes[begin]) <= most).all()
            ):
                end += 1
            length = data.t[min(end, b - 1)] - data.t[begin]
            steps[begin] = np.clip(np.ceil(length / longest), 1, MOST_STEPS)
            begin = end
    return steps


def largest_ratio(a: np.ndarray, b: np.ndarray) -> float:
    """Largest factor between two arrays of positive numbers."""
    ratio = a / b
    return float(max(ratio.max(), (1 / ratio).max()))
