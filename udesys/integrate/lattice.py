"""Fields on a grid: Radau IIA of order five with banded Newton steps, and its exact sensitivities.

The stage equations of a step are written in their differential form,

    sum_j (A^-1)_ij (X_j - x) / h - F(X_i) = 0,

in which a point meets its neighbours at one stage at a time. Ordered point by point their matrix is a band whose width
does not depend on the number of points, so that a step and its sensitivities cost as much for each point on a fine grid
as on a coarse one. A ring is folded flat first: the points before and after the fold follow each other.

Source: Hairer & Wanner, Solving ODEs II (1996), sec. IV.8 (the form of the stage equations); Golub & Van Loan, Matrix
Computations (2013), sec. 4.3 (bands).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import lapack

from udesys.integrate.radau import STAGES, A, C

NEWTON_ITERATIONS = 25
NEWTON_TOLERANCE = 1e-10  # of a field's size: last change of the stages
CONTRACTION = 0.1  # of the change before, above which the factors are made anew
FAR = 1e-2  # of a field's size: the same of the change itself
INVERSE = np.linalg.inv(A)
FEW = 64  # waves of a start that are taken at first; as many points or fewer take all
LAST, GONE = 4, 0.02  # of these the shortest, and share that may be left of them at the second time


@dataclass(frozen=True, kw_only=True)
class Slopes:
    """The right side at a batch of states of all points, with its derivatives.

    Attributes:
        f: (batch, n, d).
        by_points: for each kind of neighbourhood (batch, n, d, 3, d), by the states of a point's neighbours.
        by_theta: (batch, n, d, p), by whatever is estimated.
    """

    f: np.ndarray
    by_points: tuple[np.ndarray, ...]
    by_theta: np.ndarray


class Lattice:
    """The coupling of points on a line, and steps over it.

    Args:
        n: points.
        d: fields.
        neighbourhoods: (n, 3) arrays, the points before, at and after each point; one for each kind of ends.
    """

    def __init__(self, n: int, d: int, neighbourhoods: Sequence[np.ndarray]):
        self.n, self.d = n, d
        reach = max(abs(np.diff(places, axis=1)).max() for places in neighbourhoods)
        ring = reach > 1
        place = np.arange(n)
        if ring:  # 0, n-1, 1, n-2, ...: neighbours on the ring are at most two apart
            place = np.where(place < (n + 1) // 2, 2 * place, 2 * (n - 1 - place) + 1)
        block = STAGES * d
        apart = max(abs(place[places] - place[:, None]).max() for places in neighbourhoods)
        self.width = int(apart) * block + d - 1
        self.width = max(self.width, block - 1)
        self.rows = n * block
        self.depth = 3 * self.width + 1
        row = (place[None, :, None] * block + np.arange(STAGES)[:, None, None] * d) + np.arange(d)  # (stage, n, d)
        self.row = row
        self._order = np.argsort(row.reshape(-1))
        self._rank = row.reshape(-1)
        self._time = self._flat(row[:, None], row[None])  # (i, j, n, d)
        self._space = [
            [self._flat(row[:, :, :, None], row[:, places[:, o]][:, :, None, :]) for o in range(3)]
            for places in neighbourhoods
        ]

    def _flat(self, rows, columns) -> np.ndarray:
        """Places of matrix entries in the band's storage."""
        rows, columns = np.broadcast_arrays(rows, columns)
        return columns * self.depth + 2 * self.width + rows - columns

    def factorised(self, h: float, by_points: Sequence[np.ndarray]):
        """LU factors of the stage equations' derivative, or None where they are singular."""
        band = np.zeros(self.rows * self.depth)
        band[self._time] += (INVERSE / h)[:, :, None, None]
        for places, slopes in zip(self._space, by_points, strict=True):
            for o, at in enumerate(places):
                band[at] -= slopes[:, :, :, o]
        factors, pivots, failed = lapack.dgbtrf(
            band.reshape(self.rows, self.depth).T, self.width, self.width, overwrite_ab=1
        )
        return None if failed else (factors, pivots)

    def solve(self, factors, right: np.ndarray) -> np.ndarray:
        """(stages, n, d, columns) of the stage equations' solution for as many right sides."""
        ordered = np.asfortranarray(right.reshape(self.rows, -1)[self._order])
        found, _ = lapack.dgbtrs(factors[0], self.width, self.width, ordered, factors[1], overwrite_b=1)
        return found[self._rank].reshape(right.shape)

    def step(self, rates: Callable, h: float, x: np.ndarray, guess: np.ndarray) -> np.ndarray | None:
        """Stage states (stages, n, d) of one step; None where Newton's method finds none.

        The factors are kept as long as they bring the stages near enough at every iteration.

        Args:
            rates: X (stages, n, d), slopes -> `Slopes`, or f alone without slopes.
            h: length of the step.
            x: (n, d) where it starts.
            guess: (stages, n, d) where Newton's method starts.
        """
        stages, factors, before, scale = guess, None, np.inf, INVERSE / h
        for _ in range(NEWTON_ITERATIONS):
            if factors is None:
                at = rates(stages, True)
                f, factors = at.f, self.factorised(h, at.by_points)
                if factors is None:
                    return None
            else:
                f = rates(stages, False)
            missed = np.tensordot(scale, stages - x, 1) - f
            if not np.isfinite(missed).all():
                return None
            move = self.solve(factors, missed[..., None])[..., 0]
            stages = stages - move
            size = np.abs(stages).max((0, 1)) + np.abs(x).max(0) + 1e-300
            change = (np.abs(move).max((0, 1)) / size).max()
            if not np.isfinite(change):
                return None
            if change < NEWTON_TOLERANCE:
                return stages
            if change > CONTRACTION * before or change > FAR:
                factors = None
            before = change
        return None


@dataclass
class Course:
    """A simulation of all points.

    Attributes:
        states: (times, n, d); NaN from where it is lost.
        stages: (steps, stages, n, d) of every step taken.
        lost: whether it ended before its time.
    """

    states: np.ndarray
    stages: np.ndarray
    lost: bool


def simulate(lattice: Lattice, law, x0, t, steps, driving=None, guess: np.ndarray | None = None) -> Course:
    """Follow the fields from their start.

    Args:
        law: called as law(t (batch,), X (batch, n, d), u (batch, n, k) or None, slopes) -> `Slopes`.
        x0: (n, d).
        t: (times,) increasing.
        steps: (times - 1,) equal steps between a time and the next.
        driving: called as driving(interval, s (batch,)) -> u (batch, n, k) at s after the interval's start.
        guess: `Course.stages` of a near solution with the same steps.
    """
    states = np.full((len(t), lattice.n, lattice.d), np.nan)
    states[0] = x = np.asarray(x0, float)
    stages = np.full((int(np.sum(steps)), STAGES, lattice.n, lattice.d), np.nan)
    taken = 0
    for i, count in enumerate(np.asarray(steps).tolist()):
        h = (t[i + 1] - t[i]) / count
        for k in range(count):
            rates = _rates(law, t[i], i, k * h + h * C, driving)
            near = None if guess is None else guess[taken]
            start = np.broadcast_to(x, (STAGES, *x.shape)) if near is None else near
            found = lattice.step(rates, h, x, start)
            if found is None and near is not None:
                found = lattice.step(rates, h, x, np.broadcast_to(x, (STAGES, *x.shape)))
            if found is None:
                return Course(states, stages, True)
            stages[taken] = found
            x, taken = found[-1], taken + 1
        states[i + 1] = x
    return Course(states, stages, False)


def sensitivities(
    lattice: Lattice, law, course: Course, t, steps, driving=None, *, starts: np.ndarray | None = None
) -> np.ndarray:
    """Derivatives (times, n, d, p + r) of a simulation, by what the law estimates and along changes of its start.

    Args:
        course: the simulation; other arguments as for `simulate`.
        starts: (n * d, r) changes of the start; None for none.
    """
    n, d, carried, result = lattice.n, lattice.d, None, None
    starts = np.zeros((n * d, 0)) if starts is None else starts
    taken, by_start = 0, INVERSE.sum(1)
    for i, count in enumerate(np.asarray(steps).tolist()):
        h = (t[i + 1] - t[i]) / count
        for k in range(count):
            rates = _rates(law, t[i], i, k * h + h * C, driving)
            at = rates(course.stages[taken], True)
            p = at.by_theta.shape[-1]
            if carried is None:
                carried = np.concatenate([np.zeros((n, d, p)), starts.reshape(n, d, -1)], 2)
                result = np.zeros((len(t), *carried.shape))
                result[0] = carried
            right = (by_start / h)[:, None, None, None] * carried
            right[..., :p] += at.by_theta
            factors = lattice.factorised(h, at.by_points)
            if factors is None:
                result[i + 1 :] = np.nan
                return result
            carried = lattice.solve(factors, right)[-1]
            taken += 1
        result[i + 1] = carried
    return result


class Modes:
    """Changes of a start by which later states are changed: waves along the grid, the longest first.

    Of a start measured at hundreds of points its short waves, mostly noise, are gone before the next sample; they are
    told by the first sample alone. So as many waves are taken as matter, and a start costs as much for each point on a
    fine grid as on a coarse one. Few points take all of them.

    Args:
        n: points.
        d: fields.
        ring: the last point's neighbour is the first.
    """

    def __init__(self, n: int, d: int, *, ring: bool):
        self.n, self.d, self.ring = n, d, ring
        self.count = n if n <= FEW else FEW

    @property
    def whole(self) -> bool:
        """Whether all waves are taken."""
        return self.count == self.n

    @property
    def changes(self) -> np.ndarray:
        """(n * d, count * d), orthonormal; of all waves the points themselves."""
        if self.whole:
            return np.eye(self.n * self.d)
        return np.kron(waves(self.n, self.count, ring=self.ring), np.eye(self.d))

    def sensitivities(self, *point) -> np.ndarray:
        """As `sensitivities`, along as many waves as still matter at the second time; arguments as there."""
        while True:
            found = sensitivities(*point, starts=self.changes)
            if self.whole or not np.isfinite(found).all():
                return found
            last = found[1:, :, :, -2 * self.d * LAST :]  # the shortest ones taken
            if np.abs(last).max(initial=0.0) < GONE * np.abs(self.changes).max():
                return found
            self.count = min(2 * self.count, self.n)

    def rest(self, change: np.ndarray) -> np.ndarray:
        """What is left of a change (n, d) of the start beside the waves taken."""
        if self.whole:
            return np.zeros_like(change)
        basis = waves(self.n, self.count, ring=self.ring)
        return change - basis @ (basis.T @ change)


def waves(n: int, count: int, *, ring: bool) -> np.ndarray:
    """(n, count) orthonormal waves along n points, the longest first: sines and cosines on a ring, else cosines."""
    place, columns = np.arange(n), [np.ones(n)]
    for k in range(1, count):
        if ring:
            turns = 2 * np.pi * ((k + 1) // 2) * place / n
            columns.append(np.cos(turns) if k % 2 else np.sin(turns))
        else:
            columns.append(np.cos(np.pi * k * (place + 0.5) / n))
    found = np.stack(columns, 1)
    return found / np.linalg.norm(found, axis=0)


def _rates(law, begin: float, interval: int, s: np.ndarray, driving) -> Callable:
    """The right side at the stages of one step."""
    u = None if driving is None else driving(interval, s)
    return lambda stages, slopes: law(begin + s, stages, u, slopes)
