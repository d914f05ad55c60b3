"""The joint choice of formulas: put in place, refit on the raw data, simulate, compare.

A coordinate search over the terms, each with its pool of candidates; the pools are proposed about the hybrid fit
first and about the best law so far afterwards, where the weak form knows what the law feeds back.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from udesys.errors import SearchError
from udesys.fit import FitResult
from udesys.fit.correlation import effective_counts
from udesys.fit.noise_profile import Profile, noise_profile
from udesys.model.closed_form import ClosedForm, Formula
from udesys.search import Candidate, SearchOptions, linearised_engines, propose
from udesys.search.candidate import NOTHING, Front, as_given, without_part
from udesys.search.prior import known_forms, law_length
from udesys.search.reference import Measurements, about_closed_form, about_fit, windows
from udesys.search.weak_form import WeakForm
from udesys.select.combining import joint_starts, leaders, near_choices
from udesys.select.criterion import FLOOR, RIVAL, criterion
from udesys.select.refit import Refit, Refitter, replace_data
from udesys.select.selection import Ranked, Selection, pick

LEADING = 12  # candidates at the head of a later proposal that are refitted again from their new constants
TRIED = 24  # candidates of a term refitted in one sweep
FIRST = 3  # joint starts refitted before the coordinate search
MOST_FIRST = 12  # of them tried until one simulates
ROUNDS = 3  # proposals about the best law so far
SWEEPS = 3  # over the terms in one round
NEAR = 8.0  # alternatives this close are combined across terms at the end
HOPELESS = 4.0  # times the best's cost: a refit above it that no longer gains is stopped
MOST_POLISHED, POLISHINGS = 20, 2  # laws near the best refitted with their own weights, and how often
LOST = 200.0  # mean squared error in units of the noise above which a simulation has lost the data
CUT = 64  # samples of the windows that are simulated instead
MOST_KEPT = 40  # choices refitted when the weights or the steps change
MOST_STEPS = 64  # solver steps between two samples
STEP_ERROR = 0.02  # of the noise: a larger change on doubling the steps asks for more
FLOOR_ERROR = 0.05  # of the floor of the criterion, which is what exact data are compared by
SMALLEST_WEIGHT_CHANGE = 1.02


def select(fit: FitResult, options: SearchOptions, *, seed: int = 0, progress: Callable | None = None) -> Selection:
    """Choose the closed form of every term jointly by re-simulation and refit on the raw data.

    Args:
        fit: the fitted hybrid.
        options: engines and library.
        seed: of engines that are random.
        progress: called as progress(stage, step, best formula as text).

    Raises:
        SearchError: no combination of candidates simulates the data.
    """
    return _Selector(fit, options, seed, progress).run()


class _Selector:
    def __init__(self, fit: FitResult, options: SearchOptions, seed: int, progress):
        self.fit, self.model, self.options, self.seed, self.progress = fit, fit.model, options, seed, progress
        self.data = Measurements.of_fit(fit)
        spacing = self.data.h / np.median(self.data.h)
        steps = np.ones(len(self.data.t), dtype=np.int64)
        steps[self.data.start] = np.clip(np.ceil(spacing), 1, MOST_STEPS)
        bounds = {n: p.bounds for n, p in self.model.parameters.items()}
        priors = {n: p.prior for n, p in self.model.parameters.items() if p.prior}
        self.refitter = Refitter(self.data, fit.unknowns.nodes, bounds, steps, priors=priors)
        self.counts = self.worth = self.data.mask.sum(0)
        magnitude = (self.data.mask * np.abs(self.data.y)).sum(0) / np.maximum(self.counts, 1)
        self.floor = FLOOR * np.maximum(magnitude, 1e-300)
        self.known = known_forms(self.model)
        self.profiles: dict[str, Profile] = {}
        self.pools: dict[str, list[Candidate]] = {}
        self.seen: dict[tuple, Ranked] = {}
        self.diverged: dict[tuple, dict[str, str]] = {}
        self.leading: set[tuple] = set()  # laws that a proposal about the best one put in front
        self.unsteady: set[tuple] = set()  # laws that simulate on coarse steps alone
        self.proposed: dict[str, dict[str, Candidate]] = {term: {} for term in self.model.terms}
        self.notes: dict[str, None] = {}
        self.n_refits, self.seconds_proposing = 0, 0.0

    def run(self) -> Selection:
        form = WeakForm(self.model, self.data, about_fit(self.fit, self.data))
        for term in self.model.terms:
            self.pools[term] = list(self._propose(form, term))
            self._tell("search", str(self.pools[term][0]))
        best = self._first()
        if self._lost(best):
            self._cut()
            best = self._first()
        if best is None:
            best = self._any()
        if best is None:
            raise SearchError(
                "no proposed formula simulates the data. Extend the library, give more known terms, or check the data."
            )
        best = self._broad(self._reweighted(self._tuned(best)))
        about = None
        for round_ in range(ROUNDS):
            best = self._reweighted(self._tuned(self._sweep(best)))
            if round_ == ROUNDS - 1 or best.key == about or not self._propose_again(best):
                break
            about = best.key
        best = self._eliminate(best)
        best = self._eliminate(self._discounted(best))
        self._combine(best)
        self._polish()
        self._tuned(min(self.seen.values(), key=lambda r: r.criterion))
        ranked = tuple(sorted(self.seen.values(), key=lambda r: r.criterion))
        data = replace(self.data, sigma=self._own_noise(pick(ranked)))
        return Selection(
            ranked=ranked,
            diverged=tuple(self.diverged.values()),
            data=data,
            refitter=replace_data(self.refitter, data),
            n_refits=self.n_refits,
            worth=self.worth,
            seconds_proposing=self.seconds_proposing,
            pools={term: tuple(pool.values()) for term, pool in self.proposed.items()},
            notes=tuple(self.notes),
            profiles=self.profiles,
            score=self._score_of_formulas,
        )

    def _propose(self, form: WeakForm, term: str, engines=None) -> Front:
        began = time.perf_counter()
        try:
            front = propose(form.task(term), self.options, self.seed, engines)
        finally:
            self.seconds_proposing += time.perf_counter() - began
        self.notes |= dict.fromkeys(front.notes)
        for candidate in front:
            self.proposed[term].setdefault(candidate.key, candidate)
        return front

    def _tell(self, stage: str, what: str) -> None:
        if self.progress:
            self.progress(stage, self.n_refits, what)

    # -------------------------------------------------------------- one joint choice
    def _score(self, choice: dict[str, Candidate], start: Ranked | None, *, robust: bool = False) -> Ranked | None:
        """Refit a choice from the parameters and starts of another; known choices are looked up."""
        key = self._key(choice)
        if key in self.unsteady:
            return None
        leading = key in self.leading
        self.leading.discard(key)
        if key in self.seen and not self._worth_another(key, start, robust, leading):
            return self.seen[key]
        parameters = start.refit.form.parameters if start else {n: v for n, (v, _) in self.fit.parameters.items()}
        x0 = start.refit.x0 if start else self.fit.unknowns.nodes[self.data.segments[0]]
        form = ClosedForm(self.model, {t: c.formula for t, c in choice.items()}, parameters)
        self.n_refits += 1
        with np.errstate(all="ignore"):
            hopeless = HOPELESS * start.refit.cost if start else None
            refit = self.refitter.refit(form, x0, robust=robust, hopeless=hopeless, persevere=leading)
        if refit is None:
            if key not in self.seen:
                self.diverged[key] = self._formula_texts(choice)
            return self.seen.get(key)
        self.diverged.pop(key, None)
        return self._keep_better(self.seen.get(key), self._rank(choice, refit))

    def _key(self, choice: Mapping[str, Candidate]) -> tuple[str, ...]:
        return tuple(choice[t].key for t in self.model.terms)

    def _worth_another(self, key: tuple, start: Ranked | None, robust: bool, leading: bool) -> bool:
        """Whether a law that was refitted and stayed behind is refitted again, from other constants."""
        if start is None:
            return False
        seen = self.seen[key]
        behind = leading and seen.criterion > start.criterion + RIVAL
        return behind or (robust and seen.refit.cost > HOPELESS * start.refit.cost)

    def _score_of_formulas(self, formulas: Mapping[str, Formula]) -> Ranked | None:
        """Any formulas refitted and ranked on the same footing as the proposed ones."""
        choice = {term: as_given(formulas[term]) for term in self.model.terms}
        start = min(self.seen.values(), key=lambda r: r.criterion)
        ranked = self._score(choice, start, robust=True)
        return ranked and self._rank(choice, self._polished(ranked))

    def _rank(self, choice, refit: Refit) -> Ranked:
        constants = {t: list(refit.form.formulas[t].constants.values()) for t in self.model.terms}
        choice = {t: choice[t].with_constants(constants[t]) for t in self.model.terms}
        prior = law_length({t: c.forms for t, c in choice.items()}, self.known)
        value = criterion(refit.weighted, self.counts, self.worth, self.floor, len(refit.form.values), prior)
        value += refit.penalty
        ranked = Ranked(choice, refit, value)
        self.seen[ranked.key] = ranked
        return ranked

    def _keep_better(self, before: Ranked | None, ranked: Ranked) -> Ranked:
        if before is not None and before.criterion < ranked.criterion:
            self.seen[before.key] = ranked = before
        return ranked

    # -------------------------------------------------------------- the search
    def _first(self) -> Ranked | None:
        """The best of a few joint starts: the pools' leaders side by side; None where none simulates."""
        found: list[Ranked] = []
        longest = max((len(p) for p in self.pools.values()), default=1)
        for place in range(min(MOST_FIRST, longest)):
            choice = {t: pool[min(place, len(pool) - 1)] for t, pool in self.pools.items()}
            ranked = self._score(choice, None, robust=True)
            if ranked:
                found.append(ranked)
            if len(found) >= FIRST or (found and self._lost(found[-1])):
                break
        return min(found, key=lambda r: r.criterion) if found else None

    def _any(self) -> Ranked | None:
        """A short joint choice that simulates, where the pools' leaders, of many constants each, do not together."""
        ranked = (self._score(choice, None, robust=True) for choice in joint_starts(self.pools))
        return next(filter(None, ranked), None)

    def _lost(self, best: Ranked | None) -> bool:
        """Whether one long simulation does not follow the data at all, though the fit's intervals do."""
        cut = len(self.data.segments[0]) > len(self.fit.data.trajectories)
        long = (self.data.segments[1] - self.data.segments[0]).max() > CUT
        return not cut and long and (best is None or best.refit.cost > LOST * self.counts.sum())

    def _cut(self) -> None:
        """Compare laws over windows with starts of their own: a chaotic record forgets its start."""
        free = np.ones_like(self.data.free)
        self.data = self.refitter.data = replace(self.data, segments=windows(self.data.segments, CUT), free=free)
        self.seen.clear()
        self.diverged.clear()

    def _broad(self, best: Ranked) -> Ranked:
        """Joint choices that a coordinate search can miss, each refitted from windows of its own."""
        for choice in joint_starts(self.pools) if self.pools else ():
            ranked = self._score(choice, None, robust=True)
            if ranked and ranked.criterion < best.criterion - 1e-6:
                best = ranked
                self._tell("select", self._text(best))
        return best

    def _sweep(self, best: Ranked, pools: dict[str, list[Candidate]] | None = None, *, robust: bool = False) -> Ranked:
        """Try every term's candidates beside the best choice of the others until nothing improves."""
        pools = pools or {term: pool[:TRIED] for term, pool in self.pools.items()}
        for _ in range(SWEEPS):
            changed = False
            for term in self.model.terms:
                for candidate in (*pools[term], NOTHING):
                    ranked = self._score({**best.choice, term: candidate}, best, robust=robust)
                    if ranked and ranked.criterion < best.criterion - 1e-6:
                        best, changed = ranked, True
                        self._tell("select", self._text(best))
            if not changed or len(self.model.terms) == 1:
                break
        return best

    def _text(self, ranked: Ranked) -> str:
        return "; ".join(f"{t} = {c}" for t, c in ranked.choice.items())

    def _propose_again(self, best: Ranked) -> bool:
        """Pools about the best law so far, put in front; False where nothing came."""
        engines = linearised_engines(self.options)
        reference = about_closed_form(best.refit.form, self.data, best.refit.x0, self.refitter.steps)
        if reference is None or not engines:
            return False
        form, came = WeakForm(self.model, self.data, reference), False
        for term in self.model.terms:
            try:
                front = self._propose(form, term, engines)
            except (SearchError, np.linalg.LinAlgError):
                continue
            ahead = {c.key: c for c in front.candidates[:TRIED]}
            self.pools[term] = [*ahead.values(), *(c for c in self.pools[term] if c.key not in ahead)]
            self.leading |= {self._key({**best.choice, term: c}) for c in front.candidates[:LEADING]}
            came = True
        return came

    def _eliminate(self, best: Ranked) -> Ranked:
        """Drop terms from the current constants as long as that lowers the criterion."""
        improved = True
        while improved:
            improved = False
            for term, candidate in best.choice.items():
                for place in range(len(candidate.parts)):
                    ranked = self._score({**best.choice, term: without_part(candidate, place)}, best)
                    if ranked and ranked.criterion < best.criterion - 1e-6:
                        best, improved = ranked, True
                        break
                if improved:
                    break
        return best

    def _combine(self, best: Ranked) -> None:
        """Alternatives near the best in one term are tried together."""
        if len(self.model.terms) > 1:
            for choice in list(near_choices(best, list(self.seen.values()), NEAR)):
                self._score(choice, best)

    # -------------------------------------------------------------- footing
    def _again(self, best: Ranked) -> Ranked:
        """The best and what came near it, refitted on the present footing; the rest is forgotten."""
        near = sorted(self.seen.values(), key=lambda r: r.criterion)[:MOST_KEPT]
        self.seen.clear()
        for ranked in [best, *(r for r in near if r is not best)]:
            refit = self.refitter.refit(ranked.refit.form, ranked.refit.x0)
            if refit is not None:
                self._rank(ranked.choice, refit)
        return min(self.seen.values(), key=lambda r: r.criterion) if self.seen else self._rank(best.choice, best.refit)

    def _tuned(self, best: Ranked) -> Ranked:
        """Double the solver's steps until that no longer matters beside the noise of the best law."""
        noise = STEP_ERROR * np.broadcast_to(self.data.sigma, self.data.y.shape).mean(0)
        allowed = np.maximum(noise, FLOOR_ERROR * self.floor)
        steps, coarse = self.refitter.steps, best.refit.outputs
        while steps.max() < MOST_STEPS:
            fine = self.refitter.simulate(best.refit, 2 * steps)
            if fine is None:
                return self._dropped(best)
            change = np.sqrt(((fine - coarse) ** 2).mean(0))
            if (change < allowed)[self.counts > 0].all():
                break
            steps, coarse = 2 * steps, fine
        if steps is self.refitter.steps:
            return best
        self.refitter.steps = steps
        return self._again(best)

    def _dropped(self, best: Ranked) -> Ranked:
        """The next best law, where the best one simulates by an error of the coarse steps alone."""
        rest = [r for r in self.seen.values() if r.key != best.key]
        if not rest:
            return best
        del self.seen[best.key]
        self.unsteady.add(best.key)
        self.diverged[best.key] = self._formula_texts(best.choice)
        return self._tuned(min(rest, key=lambda r: r.criterion))

    def _formula_texts(self, choice: Mapping[str, Candidate]) -> dict[str, str]:
        return {t: self.model.formula_text(t, c.formula.tree) for t, c in choice.items()}

    def _own_noise(self, ranked: Ranked) -> np.ndarray:
        """(m,) noise of each column by a law's own residuals; given noise stays."""
        columns = max(int((self.counts > 0).sum()), 1)
        spent = (ranked.n_constants + self.data.free.sum() * len(self.data.segments[0])) / columns
        sigma = np.sqrt(ranked.refit.weighted / np.maximum(self.counts - spent, 1))
        sought = (self.counts > 0) & ~np.isin(self.model.measurable, self.fit.given_noise)
        return np.where(sought, np.maximum(sigma, self.floor), self.data.sigma)

    def _reweighted(self, best: Ranked) -> Ranked:
        """Weights from the residuals of the best law, where they changed."""
        if self._profiled(best):
            best = self._again(best)
        sigma = self._own_noise(best)
        if largest_ratio(sigma, self.data.sigma) < SMALLEST_WEIGHT_CHANGE:
            return best
        self.data = self.refitter.data = replace(self.data, sigma=sigma)
        return self._again(best)

    def _profiled(self, best: Ranked) -> bool:
        """Whether the best law's residuals show noise that grows with what is measured, as they did not before."""
        error = self.data.y - best.refit.outputs
        factors, found = np.ones_like(error), {}
        for j in np.flatnonzero(self.counts > 0):
            name = self.model.measurable[j]
            simulated = np.isfinite(error[:, j])
            if name in self.fit.given_noise or not simulated.all():
                continue
            profile = noise_profile(error[:, j], best.refit.outputs[:, j], self.data.mask[:, j])
            if profile is not None:
                factors[:, j], found[name] = profile.factors, profile
        if not found or self.profiles.keys() == found.keys():
            return False
        self.profiles = found
        self.data = self.refitter.data = replace(self.data, profile=factors)
        return True

    def _polish(self) -> None:
        """Refit what is near the best with weights of its own: the criterion takes each law's noise as its own."""
        near = sorted(self.seen.values(), key=lambda r: r.criterion)[:MOST_POLISHED]
        for ranked in near:
            if ranked.criterion - near[0].criterion > NEAR:
                break
            self._rank(ranked.choice, self._polished(ranked))

    def _polished(self, ranked: Ranked) -> Refit:
        refitter = replace_data(self.refitter, self.data)
        for _ in range(POLISHINGS):
            sigma = self._own_noise(ranked)
            if largest_ratio(sigma, refitter.data.sigma) < SMALLEST_WEIGHT_CHANGE:
                break
            refitter = replace_data(refitter, replace(self.data, sigma=sigma))
            refit = refitter.refit(ranked.refit.form, ranked.refit.x0)
            if refit is None:
                break
            ranked = Ranked(ranked.choice, refit, ranked.criterion)
        return ranked.refit

    def _discounted(self, best: Ranked) -> Ranked:
        """All laws ranked anew, counting only the rows that the best law's residuals are worth.

        Simple laws that full counts put far behind come into reach then, so the leaders of every size are tried.
        """
        error = (best.refit.outputs - self.data.y) * (self.data.sigma / self.data.noise)
        self.worth = effective_counts(error, self.data.mask, self.data.segments)
        if not (self.worth < self.counts).any():
            return best
        for ranked in list(self.seen.values()):
            self._rank(ranked.choice, ranked.refit)
        best = min(self.seen.values(), key=lambda r: r.criterion)
        sizes = range(1, self.options.max_terms + 1)
        heads = {term: leaders(pool, sizes) for term, pool in self.pools.items()}
        return self._sweep(best, heads, robust=True)


def largest_ratio(a: np.ndarray, b: np.ndarray) -> float:
    """Largest factor between two arrays of positive numbers."""
    ratio = a / b
    return float(max(ratio.max(), (1 / ratio).max()))
