"""Best-subset regression over a library of terms: every small sum is tried.

The library's columns are carried through the task's response to the raw data, orthogonalised against what the
known law explains, and all subsets of up to three terms are solved at once from their Gram matrix; larger ones
grow from the best by one term at a time. Nothing is thresholded and nothing is greedy where it matters.

Source: Hocking & Leslie, Technometrics 9 (1967) 531 (best subsets); Messenger & Bortz, Multiscale Model.
Simul. 19 (2021) 1474 (weak form).
"""

from __future__ import annotations

import itertools
import math

import numpy as np

from udesys.errors import SearchError
from udesys.model.program import Program
from udesys.search.candidate import Candidate, Front, constant_names, linear_candidate
from udesys.search.options import SearchOptions
from udesys.search.prior import term_length
from udesys.search.task import Task

NAME = "sparse"
EXHAUSTIVE = 60_000  # subsets of one size solved outright; beyond, only the best grow
GROWN = 40  # subsets of a size from which larger ones grow
KEPT_SINGLE, KEPT = 24, 8  # candidates handed on of one term, and of each larger size
COLLINEAR = 1e-7  # share of a column's norm left by the known law, below which it tells nothing new
WELL_POSED = 1e-10  # smallest squared pivot of a subset's correlation matrix
FLOOR = 1e-12  # of the target's square: what counts as an exact fit


def ready() -> str:
    """Empty where the engine can run, else why not and what to do."""
    return ""


def propose(task: Task, options: SearchOptions, seed: int = 0) -> Front:
    """The best sums of library terms, a few of each size.

    Args:
        seed: not used; the search is exhaustive or deterministic.

    Raises:
        SearchError: no library term can be evaluated on the task's points, or none shows in the data.
    """
    terms = options.library.for_arguments(task.arguments, task.points)
    terms, columns = _evaluate(terms, task)
    if not terms:
        raise SearchError(f"{task.term}: no library term is finite where the data went. Extend the library.")
    scale = np.abs(columns).max(0)  # x**4 may be 1e12 times x; only what the known law leaves of each counts
    lengths = [term_length(t) for t in terms]
    subsets = _Subsets(task.response.apply(columns / scale), task.response.target, lengths)
    found: list[Candidate] = []
    for size in range(1, options.max_terms + 1):
        for chosen, score, loss, coefficients in subsets.best_of_size(size):
            found.append(
                linear_candidate(
                    [terms[j] for j in chosen],
                    coefficients / scale[chosen],
                    loss=loss,
                    score=score,
                    prior=sum(subsets.lengths[j] for j in chosen),
                    engine=NAME,
                    names=constant_names(size, task.names),
                )
            )
    if not found:
        raise SearchError(
            f"{task.term}: none of {len(terms)} library terms shows in the data beside the known law. Measure more, "
            "or give more known terms."
        )
    found.sort(key=lambda c: c.score)
    return Front(task.term, tuple(found))


def _evaluate(terms, task: Task):
    """The terms that are finite at all points, and their columns (points, terms)."""
    with np.errstate(all="ignore"):
        values = Program(terms, task.arguments).run(list(task.points.T))
    columns = np.stack([np.broadcast_to(np.asarray(v, float), len(task.points)) for v in values], axis=1)
    largest = np.abs(columns).max(0)
    fine = np.isfinite(columns).all(0) & (largest > 0) & (largest < 1e100)
    return [t for t, keep in zip(terms, fine, strict=True) if keep], columns[:, fine]


class _Subsets:
    """All subsets' residuals from one Gram matrix of normalised columns."""

    def __init__(self, columns: np.ndarray, target: np.ndarray, lengths: list[float]):
        norms = np.linalg.norm(columns, axis=0)
        with np.errstate(invalid="ignore"):
            self.usable = np.flatnonzero((norms > 0) & np.isfinite(norms) & (norms > COLLINEAR * norms.max()))
        self.norms, self.lengths = norms, lengths
        self.columns = columns[:, self.usable] / norms[self.usable]
        self.target, self.n = target, len(target)
        self.square = float(target @ target)
        self.gram = self.columns.T @ self.columns
        self.moment = self.columns.T @ target
        self.cost = np.array([2.0 * lengths[j] for j in self.usable]) + math.log(max(self.n, 2))
        self._grown: np.ndarray | None = None

    def best_of_size(self, size: int):
        """The kept subsets of a size: (indices, score, loss, coefficients), best first."""
        count = len(self.usable)
        if size > min(count, self.n - 1):
            return []
        subsets = self._all(size) if math.comb(count, size) <= EXHAUSTIVE else self._larger(size)
        if len(subsets) == 0:
            return []
        scores = self._scores(subsets)
        order = np.argsort(scores, kind="stable")
        order = order[np.isfinite(scores[order])]
        self._grown = subsets[order[:GROWN]]
        return [self._solve(subsets[k]) for k in order[: KEPT if size > 1 else KEPT_SINGLE]]

    def _all(self, size: int) -> np.ndarray:
        every = list(itertools.combinations(range(len(self.usable)), size))
        return np.array(every, dtype=int).reshape(-1, size)

    def _larger(self, size: int) -> np.ndarray:
        if self._grown is None:
            return np.empty((0, size), int)
        count = len(self.usable)
        joined = np.concatenate(
            [np.repeat(self._grown, count, 0), np.tile(np.arange(count), len(self._grown))[:, None]], 1
        )
        joined = np.sort(joined, axis=1)
        return np.unique(joined[(np.diff(joined, axis=1) > 0).all(1)], axis=0)

    def _scores(self, subsets: np.ndarray) -> np.ndarray:
        """n ln(RSS / n) + k ln n + 2 prior for every subset; infinite where its columns are dependent."""
        gram = self.gram[subsets[:, :, None], subsets[:, None, :]]
        moment = self.moment[subsets]
        left = np.full(len(subsets), self.square)
        fine = np.ones(len(subsets), bool)
        gram, moment = gram.copy(), moment.copy()
        for k in range(subsets.shape[1]):  # Cholesky, all subsets at once
            pivot = gram[:, k, k]
            fine &= pivot > WELL_POSED
            pivot = np.where(fine, pivot, 1.0)
            left -= moment[:, k] ** 2 / pivot
            factor = gram[:, k + 1 :, k] / pivot[:, None]
            moment[:, k + 1 :] -= factor * moment[:, k, None]
            gram[:, k + 1 :, k + 1 :] -= factor[:, :, None] * gram[:, k, None, k + 1 :]
        floor = FLOOR * self.square + 1e-300
        scores = self.n * np.log((np.maximum(left, 0.0) + floor) / self.n) + self.cost[subsets].sum(1)
        return np.where(fine, scores, np.inf)

    def _solve(self, subset: np.ndarray):
        """The subset solved by least squares on the columns themselves, to full precision."""
        coefficients, *_ = np.linalg.lstsq(self.columns[:, subset], self.target, rcond=None)
        rest = self.target - self.columns[:, subset] @ coefficients
        left = float(rest @ rest)
        score = self.n * math.log((left + FLOOR * self.square + 1e-300) / self.n) + float(self.cost[subset].sum())
        chosen = self.usable[subset]
        return chosen.tolist(), score, left / self.n, coefficients / self.norms[chosen]
