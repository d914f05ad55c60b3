"""All small subsets of a library at once: residual sums of squares from one Gram matrix.

Plain terms enter by their columns. A template enters by its column at every value of its grid, together with the
column's derivatives by its constants: the best step away from the grid is part of the score, so that a coarse grid
does not hide a template. A subset holds at most one template.

Source: Hocking & Leslie, Technometrics 9 (1967) 531 (best subsets); Golub & Pereyra (2003) (the linearised template).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from udesys.search.projection import score_of_squares

EXHAUSTIVE = 60_000  # subsets of one size solved outright; beyond, only the best grow
GROWN = 40  # subsets of a size from which larger ones grow
BESIDE_TEMPLATE = 60  # subsets of plain terms beside which every template is tried, besides those that grow
COLLINEAR = 1e-7  # share of a column's norm left by the known law, below which it tells nothing new
WELL_POSED = 1e-10  # smallest squared pivot of a subset's correlation matrix
SAME_TEMPLATE = 4  # subsets kept with the same template


class PlainSubsets:
    """Sums of plain terms.

    Args:
        columns: (rows, terms).
        target: (rows,).
        costs: (terms,) what a term adds to the score.

    Attributes:
        usable: places of the terms that tell something new.
    """

    def __init__(self, columns: np.ndarray, target: np.ndarray, costs: np.ndarray):
        norms = np.linalg.norm(columns, axis=0)
        with np.errstate(invalid="ignore"):
            largest = norms.max(initial=0.0)
            self.usable = np.flatnonzero((norms > 0) & np.isfinite(norms) & (norms > COLLINEAR * largest))
        self.norms = norms
        self.columns = columns[:, self.usable] / norms[self.usable]
        self.target, self.n = target, len(target)
        self.square = float(target @ target)
        self.gram = self.columns.T @ self.columns
        self.moment = self.columns.T @ target
        self.costs = np.asarray(costs, float)[self.usable]
        self._best: dict[int, np.ndarray] = {0: np.empty((1, 0), int)}

    def best_of_size(self, size: int, kept: int) -> list[tuple]:
        """The kept subsets of a size: (places, score, loss, coefficients), best first."""
        order, scores = self._ranked(size)
        return [self._solve(subset) for subset, score in zip(order[:kept], scores, strict=False) if np.isfinite(score)]

    def beside_template(self, size: int) -> np.ndarray:
        """(subsets, size) of the usable terms, beside which a template is worth a try."""
        if size == 0:
            return self._best[0]
        if size == 1:
            return np.arange(len(self.usable))[:, None]
        cheap = np.argsort(self.costs, kind="stable")
        while math.comb(len(cheap), size) > BESIDE_TEMPLATE:
            cheap = cheap[:-1]
        plain = np.array(list(itertools.combinations(np.sort(cheap), size)), int).reshape(-1, size)
        best = self._best.get(size, np.empty((0, size), int))
        return np.unique(np.concatenate([best, plain]), axis=0)

    def _ranked(self, size: int) -> tuple[np.ndarray, np.ndarray]:
        count = len(self.usable)
        if size > min(count, self.n - 1):
            return np.empty((0, size), int), np.empty(0)
        subsets = self._all(size) if math.comb(count, size) <= EXHAUSTIVE else self._larger(size)
        if len(subsets) == 0:
            return subsets, np.empty(0)
        scores = self._scores(subsets)
        order = np.argsort(scores, kind="stable")
        order = order[np.isfinite(scores[order])]
        self._best[size] = subsets[order[:GROWN]]
        return subsets[order], scores[order]

    def _all(self, size: int) -> np.ndarray:
        every = list(itertools.combinations(range(len(self.usable)), size))
        return np.array(every, dtype=int).reshape(-1, size)

    def _larger(self, size: int) -> np.ndarray:
        grown = self._best.get(size - 1)
        if grown is None:
            return np.empty((0, size), int)
        count = len(self.usable)
        joined = np.concatenate([np.repeat(grown, count, 0), np.tile(np.arange(count), len(grown))[:, None]], 1)
        joined = np.sort(joined, axis=1)
        return np.unique(joined[(np.diff(joined, axis=1) > 0).all(1)], axis=0)

    def _scores(self, subsets: np.ndarray) -> np.ndarray:
        """n ln(RSS / n) + costs for every subset; infinite where its columns are dependent."""
        gram = self.gram[subsets[:, :, None], subsets[:, None, :]]
        left, fine = _left(gram, self.moment[subsets], np.full(len(subsets), self.square))
        return np.where(fine, score_of_squares(left, self.n, self.square) + self.costs[subsets].sum(1), np.inf)

    def _solve(self, subset: np.ndarray):
        """The subset solved by least squares on the columns themselves, to full precision."""
        coefficients, *_ = np.linalg.lstsq(self.columns[:, subset], self.target, rcond=None)
        rest = self.target - self.columns[:, subset] @ coefficients
        left = float(rest @ rest)
        score = float(score_of_squares(left, self.n, self.square) + self.costs[subset].sum())
        chosen = self.usable[subset]
        return chosen.tolist(), score, left / self.n, coefficients / self.norms[chosen]


@dataclass(frozen=True)
class GridColumns:
    """A template's columns over its grid.

    Attributes:
        columns: (rows, grid, 1 + constants): the term, then its derivatives by its constants.
        cost: what the template adds to the score.
    """

    columns: np.ndarray
    cost: float


class TemplateSubsets:
    """Sums of one template and plain terms.

    Args:
        plain: the plain terms.
        templates: one for each template.
    """

    def __init__(self, plain: PlainSubsets, templates: Sequence[GridColumns]):
        self.plain = plain
        self._groups = [
            _Group(plain, templates, [k for k, t in enumerate(templates) if t.columns.shape[2] == width])
            for width in sorted({t.columns.shape[2] for t in templates})
        ]

    def best_of_size(self, size: int, kept: int) -> list[tuple[float, list[int], int, int]]:
        """The best subsets with a template: (score, places of the plain terms, template, place on its grid)."""
        if size >= self.plain.n - 1:
            return []
        found: list[tuple[float, int, int, int]] = []
        beside = self.plain.beside_template(size - 1)
        for row, subset in enumerate(beside):
            for group in self._groups:
                found += group.best(subset, row)
        found.sort()
        chosen, times = [], {}
        for score, row, template, node in found:
            times[template] = times.get(template, 0) + 1
            if times[template] <= SAME_TEMPLATE and math.isfinite(score):
                chosen.append((score, self.plain.usable[beside[row]].tolist(), template, node))
            if len(chosen) == kept:
                break
        return chosen


class _Group:
    """Templates of as many constants, all nodes of their grids side by side."""

    def __init__(self, plain: PlainSubsets, templates: Sequence[GridColumns], places: list[int]):
        self.plain = plain
        columns = np.concatenate([templates[k].columns for k in places], 1)
        with np.errstate(all="ignore"):
            columns = columns / np.linalg.norm(columns, axis=0)
        self.fine = np.isfinite(columns[:, :, 0]).all(0)
        columns = np.where(np.isfinite(columns), columns, 0.0)
        rows, nodes, width = columns.shape
        flat = columns.reshape(rows, -1)
        self.cross = (plain.columns.T @ flat).reshape(-1, nodes, width)
        self.gram = np.einsum("rni,rnj->nij", columns, columns, optimize=True)
        self.gram[:, np.arange(width), np.arange(width)] += 1e-14
        self.moment = (flat.T @ plain.target).reshape(nodes, width)
        sizes = [templates[k].columns.shape[1] for k in places]
        self.first = np.cumsum([0, *sizes[:-1]])
        self.owner, self.places = np.repeat(np.arange(len(places)), sizes), np.array(places)
        self.cost = np.array([templates[k].cost for k in places])

    def best(self, subset: np.ndarray, row: int) -> list[tuple[float, int, int, int]]:
        """The best node of every template beside a subset of plain terms: (score, row, template, node)."""
        plain = self.plain
        gram, moment, square, cost = self.gram, self.moment, plain.square, 0.0
        if len(subset):
            factor = np.linalg.cholesky(plain.gram[np.ix_(subset, subset)] + 1e-13 * np.eye(len(subset)))
            inverse = np.linalg.inv(factor)
            carried = np.tensordot(inverse, self.cross[subset], 1)
            head = inverse @ plain.moment[subset]
            gram = gram - np.einsum("sni,snj->nij", carried, carried)
            moment = moment - np.einsum("sni,s->ni", carried, head)
            square, cost = square - float(head @ head), float(plain.costs[subset].sum())
        left, fine = _left(gram, moment, np.full(len(gram), max(square, 0.0)), first_only=True)
        left = np.where(fine & self.fine, left, np.inf)
        best = np.minimum.reduceat(left, self.first)
        lowest = np.flatnonzero(left == best[self.owner])
        owners, at = np.unique(self.owner[lowest], return_index=True)
        node = lowest[at] - self.first[owners]
        scores = score_of_squares(best[owners], plain.n, plain.square) + cost + self.cost[owners]
        fine = np.isfinite(scores)
        rows = [row] * int(fine.sum())
        return list(
            zip(scores[fine].tolist(), rows, self.places[owners[fine]].tolist(), node[fine].tolist(), strict=True)
        )


def _left(gram: np.ndarray, moment: np.ndarray, left: np.ndarray, *, first_only: bool = False):
    """Squares left by every subset, and whether its columns are independent, by Cholesky, all subsets at once.

    Args:
        gram: (subsets, size, size).
        moment: (subsets, size).
        left: (subsets,) squares of the target.
        first_only: later columns may depend on earlier ones; they add nothing then.
    """
    fine = np.ones(len(gram), bool)
    gram, moment, left = gram.copy(), moment.copy(), left.copy()
    for k in range(gram.shape[1]):
        pivot = gram[:, k, k]
        good = pivot > WELL_POSED
        if k == 0 or not first_only:
            fine &= good
        pivot = np.where(good, pivot, 1.0)
        left -= np.where(good, moment[:, k] ** 2 / pivot, 0.0)
        factor = np.where(good[:, None], gram[:, k + 1 :, k] / pivot[:, None], 0.0)
        moment[:, k + 1 :] -= factor * moment[:, k, None]
        gram[:, k + 1 :, k + 1 :] -= factor[:, :, None] * gram[:, k, None, k + 1 :]
    return left, fine
