"""The joint choice of formulas: put in place, refit on the raw data, simulate, compare.

A coordinate search over the terms, each with its pool of candidates; the pools are proposed about the hybrid fit
first and about the best law so far afterwards, where the weak form knows what the law feeds back. A long record is
searched over a few windows of it, and only the finalists are refitted to all of it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from udesys.errors import SearchError
from udesys.fit import FitResult
from udesys.progress import Portion
from udesys.search import Candidate, SearchOptions, linearised_engines, propose
from udesys.search.candidate import NOTHING, Front, simpler
from udesys.search.dimensions import term_units
from udesys.search.grid_form import GridForm, about_fitted, about_form
from udesys.search.knowledge import for_model
from udesys.search.measurements import Measurements, rows_of
from udesys.search.reference import about_closed_form, about_fit
from udesys.search.rules import shape_of
from udesys.search.weak_form import WeakForm
from udesys.select.board import NEAR, Board
from udesys.select.combining import joint_starts, leaders, near_choices
from udesys.select.refit import replace_data
from udesys.select.selection import Ranked, Selection, pick

LEADING = 12  # candidates at the head of a later proposal that are refitted again from their new constants
TRIED = 24  # candidates of a term refitted in one sweep
FIRST = 3  # joint starts refitted before the coordinate search
MOST_FIRST = 12  # of them tried until one simulates
ROUNDS = 3  # proposals about the best law so far
SWEEPS = 3  # over the terms in one round
LOST = 200.0  # mean squared error in units of the noise above which a simulation has lost the data
CUT = 64  # samples of the windows that are simulated instead
STIFF_CUT = 16  # the same of a stiff system, whose jumps a refit misses within longer ones
LONG, PART, WINDOW = 2000, 1000, 250  # rows above which a part is searched first, rows of that part, and of a window
MEMORIES = 3  # estimates of the memory of errors that wander
FINALISTS, EACH_SIZE = 8, 2  # laws refitted to the whole record: the best, and the best of each number of constants


def select(
    fit: FitResult,
    options: SearchOptions,
    *,
    seed: int = 0,
    progress: Callable | None = None,
    propose: Callable = propose,
) -> Selection:
    """Choose the closed form of every term jointly by re-simulation and refit on the raw data.

    Args:
        fit: the fitted hybrid.
        options: engines and library.
        seed: of engines that are random.
        progress: called as progress(stage, step, best formula as text).
        propose: asks the engines, as `search.propose` does.

    Raises:
        SearchError: no combination of candidates simulates the data.
    """
    with np.errstate(all="ignore"):  # a law that overflows is an event to handle
        return _Selector(fit, options, seed, progress, propose).run()


class _Selector:
    def __init__(self, fit: FitResult, options: SearchOptions, seed: int, progress, ask: Callable):
        self.fit, self.model, self.seed, self.progress, self.ask = fit, fit.model, seed, progress, ask
        self.options = for_model(options, self.model, fit.data.time)
        self.units = term_units(self.model, options.units, fit.data.time)
        self.whole = Measurements.of_fit(fit)
        self.pieces = _part_of(self.whole.segments) if self.model.grid is None else None
        data, nodes = self.whole, fit.unknowns.nodes
        if self.pieces is not None:
            data, nodes = self.whole.part(self.pieces), nodes[rows_of(self.pieces)]
        self.board = Board(fit, data, nodes, options.prior)
        self.pools: dict[str, list[Candidate]] = {}
        self.proposed: dict[str, dict[str, Candidate]] = {term: {} for term in self.model.terms}
        self.notes: dict[str, None] = {}
        self.seconds_proposing = 0.0
        self.round = 0  # of proposals and sweeps; how far the selection is

    def run(self) -> Selection:
        board = self.board
        best = self._search(self._start())
        if self.pieces is not None:
            best = self._to_the_whole(self._with_memory(best))
        if self.model.grid is not None:
            best = self._sweep_of_leaders(board.free(self._finalists(self._eliminate(best))))
        best = self._eliminate(best)
        if board.discount(best):
            best = board.best if self.pieces is not None else self._sweep_of_leaders(board.best)
        best = self._eliminate(best)
        self._combine(best)
        board.polish(FINALISTS if self.pieces is not None or self.model.grid is not None else len(board.seen))
        board.tuned(board.best)
        ranked = self._admitted(board.ranked)
        data = replace(board.data, sigma=board.own_noise(pick(ranked)))
        return Selection(
            ranked=ranked,
            diverged=tuple(board.diverged.values()),
            data=data,
            refitter=replace_data(board.refitter, data).freed(),
            n_refits=board.n_refits,
            worth=board.worth,
            seconds_proposing=self.seconds_proposing,
            pools={term: tuple(pool.values()) for term, pool in self.proposed.items()},
            notes=tuple(self.notes),
            profiles=board.profiles,
            score=board.score_formulas,
        )

    def _admitted(self, ranked: tuple[Ranked, ...]) -> tuple[Ranked, ...]:
        """The laws that have what is known of their terms and states."""
        found = tuple(law for law in ranked if law.criterion < math.inf)
        if ranked and not found:
            best = min(ranked, key=lambda law: law.refit.cost)
            said = ", ".join(self.board.broken(best.choice, best.refit.form))
            raise SearchError(f"no law that simulates the data has what is known of it ({said}). Loosen it.")
        return found

    # -------------------------------------------------------------- proposals
    def _propose(self, form: WeakForm | GridForm, term: str, engines=None) -> Front:
        began = time.perf_counter()
        try:
            task = replace(form.task(term), units=self.units.get(term, {}))
            self.board.shapes.setdefault(term, shape_of(task, self.options))
            front = self.ask(task, self.options, self.seed, engines)
        finally:
            self.seconds_proposing += time.perf_counter() - began
        self.notes |= dict.fromkeys(front.notes)
        known = self.proposed[term]
        front = replace(front, candidates=tuple(c.proposed_too(known.get(c.key, c)) for c in front))
        known |= {c.key: c for c in front if c.key not in known}
        return front

    def _propose_again(self, best: Ranked) -> bool:
        """Pools about the best law so far, put in front; False where nothing came."""
        engines, form, came = linearised_engines(self.options), self._about(best), False
        if form is None or not engines:
            return False
        for term in self.model.terms:
            try:
                front = self._propose(form, term, engines)
            except (SearchError, np.linalg.LinAlgError):
                continue
            ahead = {c.key: c for c in front.candidates[:TRIED]}
            self.pools[term] = [*ahead.values(), *(c for c in self.pools[term] if c.key not in ahead)]
            self.board.leading |= {self.board.key({**best.choice, term: c}) for c in front.candidates[:LEADING]}
            came = True
        return came

    def _about_fit(self) -> WeakForm | GridForm:
        """How the data respond to the missing terms about the fitted hybrid."""
        data = self.board.data
        if self.model.grid is None:
            return WeakForm(self.model, data, about_fit(self.fit, data, self.pieces))
        reference = about_fitted(self.fit, data)
        if reference is None:
            raise SearchError("the fitted fields cannot be simulated. Give more known terms, or check the data.")
        return GridForm(self.model, data, reference)

    def _about(self, best: Ranked) -> WeakForm | GridForm | None:
        """The same about a law; None where it diverges."""
        data, form, x0 = self.board.data, best.refit.form, best.refit.x0
        if self.model.grid is None:
            reference = about_closed_form(form, data, x0, self.board.refitter.steps)
            return None if reference is None else WeakForm(self.model, data, reference)
        reference = about_form(form, data, x0, self.board.refitter.steps)
        return None if reference is None else GridForm(self.model, data, reference)

    def _tell(self, stage: str, what: str, share: float | None = None) -> None:
        if self.progress:
            self.progress(stage, self.board.n_refits, what if share is None else Portion(what, share))

    # -------------------------------------------------------------- the search
    def _start(self) -> Ranked:
        """The first law that simulates, with pools about the hybrid fit."""
        form = self._about_fit()
        for place, term in enumerate(self.model.terms, start=1):
            self._tell("search", f"{term} = ...", (place - 1) / len(self.model.terms))
            self.pools[term] = list(self._propose(form, term))
            self._tell("search", f"{term} = {self.pools[term][0]}", place / len(self.model.terms))
        best = self._first()
        longest = STIFF_CUT if self.board.data.stiff else CUT
        if self.model.grid is None and self._lost(best, longest):
            self.board.cut(longest)
            best = self._first()
        best = best or self._any()
        if best is None:
            raise SearchError(
                "no proposed formula simulates the data. Extend the library, give more known terms, or check the data."
            )
        return best

    def _search(self, best: Ranked) -> Ranked:
        """Sweeps over the pools, and new pools about the best law, until it stays the same."""
        board, about = self.board, None
        best = self._broad(board.reweighted(board.tuned(best)))
        for round_ in range(ROUNDS):
            self.round = round_
            best = board.reweighted(board.tuned(self._sweep(best)))
            if round_ == ROUNDS - 1 or best.key == about or not self._propose_again(best):
                break
            about = best.key
        self.round = ROUNDS
        return best

    def _with_memory(self, best: Ranked) -> Ranked:
        """The search once more where errors wander, filtered by the memory that the best law leaves them."""
        for _ in range(MEMORIES):
            remembered = self.board.remember(best)
            if remembered is None:
                return best
            before, best = best, self._sweep_of_leaders(self._sweep(remembered))
            if best.key == before.key:
                break
        return best

    def _to_the_whole(self, best: Ranked) -> Ranked:
        """The finalists refitted to the whole record."""
        finalists = self._finalists(best)
        self._tell("select", self._text(best))
        moved = self.board.move(self.whole, self.fit.unknowns.nodes, finalists)
        if moved is None:
            raise SearchError(
                "formulas that follow windows of the data cannot be simulated over all of it. Give more known terms, "
                "or cut the record into trajectories."
            )
        best = self.board.reweighted(self.board.tuned(moved))
        return self.board.remember(best) or best

    def _finalists(self, best: Ranked) -> list[Ranked]:
        """The best laws, and the best of each number of constants."""
        ranked, sizes = self.board.ranked, {}
        for law in ranked:
            sizes.setdefault(law.n_constants, []).append(law)
        short = [law for laws in sizes.values() for law in laws[:EACH_SIZE]]
        return list({law.key: law for law in (best, *ranked[:FINALISTS], *short[:FINALISTS])}.values())

    def _first(self) -> Ranked | None:
        """The best of a few joint starts: the pools' leaders side by side; None where none simulates."""
        found: list[Ranked] = []
        longest = max((len(p) for p in self.pools.values()), default=1)
        for place in range(min(MOST_FIRST, longest)):
            choice = {t: pool[min(place, len(pool) - 1)] for t, pool in self.pools.items()}
            ranked = self.board.score(choice, None, robust=True)
            if ranked:
                found.append(ranked)
            if len(found) >= FIRST or (found and self._lost(found[-1])):
                break
        return min(found, key=lambda r: r.criterion) if found else None

    def _any(self) -> Ranked | None:
        """A short joint choice that simulates, where the pools' leaders, of many constants each, do not together."""
        ranked = (self.board.score(choice, None, robust=True) for choice in joint_starts(self.pools))
        return next(filter(None, ranked), None)

    def _lost(self, best: Ranked | None, longest: int = CUT) -> bool:
        """Whether one simulation of more samples does not follow the data at all, though the fit's intervals do."""
        lo, hi = self.board.data.segments
        long = (hi - lo).max() > longest
        return long and (best is None or best.refit.cost > LOST * self.board.counts.sum())

    def _broad(self, best: Ranked) -> Ranked:
        """Joint choices that a coordinate search can miss, each refitted from windows of its own."""
        for choice in joint_starts(self.pools) if self.pools else ():
            ranked = self.board.score(choice, None, robust=True)
            if ranked and ranked.criterion < best.criterion - 1e-6:
                best = ranked
                self._tell("select", self._text(best))
        return best

    def _sweep(self, best: Ranked, pools: dict[str, list[Candidate]] | None = None, *, robust: bool = False) -> Ranked:
        """Try every term's candidates beside the best choice of the others until nothing improves."""
        pools = pools or {term: pool[:TRIED] for term, pool in self.pools.items()}
        n_terms = len(self.model.terms)
        for sweep in range(SWEEPS):
            changed = False
            for place, term in enumerate(self.model.terms):
                done = self.round + (sweep * n_terms + place) / (SWEEPS * n_terms)
                self._tell("select", self._text(best), done / (ROUNDS + 1))
                for candidate in (*pools[term], NOTHING):
                    ranked = self.board.score({**best.choice, term: candidate}, best, robust=robust)
                    if ranked and ranked.criterion < best.criterion - 1e-6:
                        best, changed = ranked, True
                        self._tell("select", self._text(best))
            if not changed or n_terms == 1:
                break
        return best

    def _sweep_of_leaders(self, best: Ranked) -> Ranked:
        """Simple laws that full counts put far behind come into reach, so the leaders of every size are tried."""
        sizes = range(1, self.options.max_terms + 1)
        heads = {term: leaders(pool, sizes) for term, pool in self.pools.items()}
        return self._sweep(best, heads, robust=True)

    def _text(self, ranked: Ranked) -> str:
        return "; ".join(f"{t} = {c}" for t, c in ranked.choice.items())

    def _eliminate(self, best: Ranked) -> Ranked:
        """Drop terms, or make them constant, from the current constants as long as that lowers the criterion."""
        improved = True
        while improved:
            improved = False
            for term, candidate in best.choice.items():
                for shorter in simpler(candidate, self.options.prior):
                    ranked = self.board.score({**best.choice, term: shorter}, best)
                    if ranked and ranked.criterion < best.criterion - 1e-6:
                        best, improved = ranked, True
                        break
                if improved:
                    break
        return best

    def _combine(self, best: Ranked) -> None:
        """Alternatives near the best in one term are tried together."""
        if len(self.model.terms) > 1:
            for choice in list(near_choices(best, list(self.board.seen.values()), NEAR)):
                self.board.score(choice, best)


def _part_of(segments: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray] | None:
    """Windows (lo, hi) evenly spread over a long record; None for a short one, which is searched as it is."""
    lo, hi = segments
    if (hi - lo).sum() <= LONG:
        return None
    starts = np.concatenate([np.arange(a, b - 1, WINDOW) for a, b in zip(lo, hi, strict=True)])
    ends = np.minimum(
        starts + WINDOW, np.repeat(hi, [len(range(a, b - 1, WINDOW)) for a, b in zip(lo, hi, strict=True)])
    )
    count = max(1, int(PART / np.mean(ends - starts)))
    chosen = np.unique(np.round(np.linspace(0, len(starts) - 1, count)).astype(int))
    return starts[chosen], ends[chosen]
