"""A law refitted outward from its optimum, with one quantity near one value after another.

A refit is pulled towards the next value by one more squared error. Where it ends, all else is at its best for the value
that was reached, whatever the pull's width, so that this value and the errors without the pull are a point of the
quantity's profile likelihood. Steps follow the signed root of the errors, which is nearly linear in the value.

Source: Bates & Watts, Nonlinear Regression Analysis and Its Applications (1988), sec. 6.1.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from udesys.assess.derived import Expression
from udesys.assess.footing import Footing
from udesys.model.closed_form import ClosedForm
from udesys.select.refit import Pull, Refitter, with_pull

AIM = 0.45  # of the signed root, from one value to the next; 1 is the threshold
LONGER, SHORTER = 3.0, 0.3  # factors between one step and the next
UNKNOWN_STEP = 0.05  # of the value's size, the first step where there is no standard error
INWARD, LEAST_SIZE = 0.7, 1e-12  # of a value towards zero: a step likewise, and of its size where zero is crossed
JUMP = 1.2  # of the root in one step, from which a shorter one is tried
WIDTH = 0.02  # of a step, within which a refit is pulled to the value
CLOSE = 1e-3  # of the half width, and of the value there, to which an end is found
RATIO = 4.0  # of two values, from which the one between them is their geometric mean
FAR, FAR_UNKNOWN = 100.0, 1000.0  # half widths, and sizes of a value without one, beyond which an end is open
BETTER = 0.01  # of the threshold, by which squared errors must be lower to be another optimum
MOST_OPTIMA, MOST_STEPS, MOST_SHORTER, MOST_TRIED = 3, 60, 5, 25
ITERATIONS = 40  # of a refit


@dataclass(frozen=True)
class _Point:
    """The law refitted with the quantity at a value: its cost, without the pull, its constants and its starts."""

    value: float
    cost: float
    values: np.ndarray
    x0: np.ndarray


class _Lower(Exception):
    """A law with lower squared errors than the optimum was found on the way."""

    def __init__(self, point: _Point):
        super().__init__()
        self.point = point


class Outward:
    """The law refitted outward from its optimum, with one quantity near one value after another.

    Args:
        form: the law at its optimum.
        footing: the measurements.
        quantity: what is moved.
        stderr: its standard error; NaN where there is none.

    Attributes:
        best: the law at the lowest cost.
        quantile: root of the cost, above the lowest, at the ends of the interval.
    """

    def __init__(self, form: ClosedForm, footing: Footing, quantity: Expression, stderr: float):
        self.form, self.quantity, self.quantile = form, quantity, footing.quantile
        self.refitter: Refitter = footing.refitter(form.model)
        self.segments = footing.data.segments
        self.low, self.high = self._bounds()
        self.notes: list[str] = []
        there = self.refitter.descend(form, form.values, footing.x0, iterations=0)
        began = math.inf if there is None else there.cost
        self.best = self._optimum(_Point(quantity(form.values)[0], began, form.values, footing.x0))
        if began - self.best.cost > BETTER * self.quantile**2:
            self._better_than(began)
        half = self.quantile * stderr
        size = abs(self.best.value) or 1.0
        self.half = half if np.isfinite(half) and half > 0 else None
        self.first = AIM * self.half if self.half else UNKNOWN_STEP * size
        self.far = FAR * self.half if self.half else FAR_UNKNOWN * size

    def _bounds(self) -> tuple[np.ndarray, np.ndarray]:
        bounds = [self.refitter.bounds.get(n) if isinstance(n, str) else None for n in self.form.names]
        low, high = np.array([b or (-np.inf, np.inf) for b in bounds], dtype=float).reshape(-1, 2).T
        return low, high

    def _optimum(self, start: _Point) -> _Point:
        """The law refitted without a pull; the start itself where that fails."""
        point = self.refitter.descend(self.form, start.values, start.x0, iterations=ITERATIONS)
        if point is None or point.cost > start.cost:
            return start
        return _Point(self.quantity(point.values)[0], point.cost, point.values, point.x0)

    def _better_than(self, cost: float) -> None:
        self.notes = [
            f"the profile found a better optimum at {self.best.value:.5g}, with squared errors lower by "
            f"{cost - self.best.cost:.3g} in units of the noise: it counts from there"
        ]

    # -------------------------------------------------------------- both sides
    def both_sides(self, told: Callable[[float], None]):
        """The points in order, the ends of the interval, infinite where open, and the notes.

        Args:
            told: called with the share that is done.
        """
        for left in reversed(range(MOST_OPTIMA)):
            sides, notes = [], []
            try:
                for k, sign in enumerate((-1, 1)):
                    told(0.5 * k)
                    sides.append(self._side(sign, notes, strict=left > 0))
            except _Lower as found:
                before, self.best = self.best, self._optimum(found.point)
                self._better_than(before.cost)
                continue
            (below, low), (above, high) = sides
            return [*reversed(below), self.best, *above], (low, high), [*self.notes, *notes]
        raise AssertionError("the last turn takes any optimum")

    def _side(self, sign: int, notes: list[str], *, strict: bool) -> tuple[list[_Point], float]:
        """The points on one side, outward, and the end of the interval there."""
        points, step, shorter = [self.best], self._by_size(self.best.value, sign, self.first), 0
        where = "below" if sign < 0 else "above"
        while len(points) < MOST_STEPS:
            at = points[-1]
            found = self._next(points, sign * step, strict)
            if found is None:
                step, shorter = SHORTER * step, shorter + 1
                if self._at_own_bound(at):
                    notes.append(f"open {where}: it is at its bound {at.value:.6g}")
                    return points[1:], sign * math.inf
                if shorter > MOST_SHORTER:
                    why = self._bounds_met(at) or "refits fail beyond it"
                    notes.append(f"open {where}: the errors stay below the threshold to {at.value:.4g}; {why}")
                    return points[1:], sign * math.inf
                continue
            root, moved = self._root(found), abs(found.value - at.value)
            if root - self._root(at) > JUMP and shorter <= MOST_SHORTER:  # or a refit that did not come down yet
                step, shorter = SHORTER * moved, shorter + 1
                continue
            points.append(found)
            if root >= 1:
                return self._refined(points, notes, sign, strict)
            if self._at_own_bound(found):
                notes.append(f"open {where}: ends at its bound {found.value:.6g}")
                return points[1:], sign * math.inf
            if abs(found.value - self.best.value) > self.far:
                break
            rise = (root - self._root(at)) / moved
            step = float(np.clip(AIM / rise if rise > 0 else math.inf, SHORTER * moved, LONGER * moved))
            step, shorter = self._by_size(found.value, sign, step), 0
        notes.append(f"open {where}: the errors stay below the threshold as far as {points[-1].value:.4g}")
        return points[1:], sign * math.inf

    def _by_size(self, value: float, sign: int, step: float) -> float:
        """The step; towards zero a share of the value where nothing but its size tells how far a step may go."""
        inward = self.half is None and value * sign < 0 and abs(value) > LEAST_SIZE * abs(self.best.value)
        return min(step, INWARD * abs(value)) if inward else step

    def _next(self, points: list[_Point], step: float, strict: bool) -> _Point | None:
        """The law refitted a step further; None where it does not come near there."""
        at = points[-1]
        target = at.value + step
        for start in (self._ahead(points, step), at):
            found = self._towards(target, WIDTH * abs(step), start)
            if found is None:
                continue
            if strict and found.cost < self.best.cost - BETTER * self.quantile**2:
                raise _Lower(found)
            moved = (found.value - at.value) / step
            at_bound = self._at_own_bound(found) and moved > 1e-9
            if 0.3 < moved < 1.7 or at_bound:
                return found
        return None

    def _towards(self, target: float, width: float, start: _Point) -> _Point | None:
        pull = Pull(self.quantity, target, width)
        point = with_pull(self.refitter, pull).descend(self.form, start.values, start.x0, iterations=ITERATIONS)
        if point is None:
            return None
        cost = point.cost - pull.error(point.values)[0] ** 2
        return _Point(self.quantity(point.values)[0], cost, point.values, point.x0)

    # -------------------------------------------------------------- where a refit starts
    def _ahead(self, points: list[_Point], step: float) -> _Point:
        """The constants and starts carried on: along the covariance first, then as they went before."""
        at = points[-1]
        if len(points) == 1:
            along = self._conditional(at)
            if along is None:
                return at
            values, x0 = along
            return _Point(at.value, at.cost, at.values + step * values, at.x0 + step * x0)
        before = points[-2]
        share = step / (at.value - before.value)
        values, x0 = at.values + share * (at.values - before.values), at.x0 + share * (at.x0 - before.x0)
        return _Point(at.value, at.cost, values, x0)

    def _conditional(self, at: _Point):
        """How values and starts change with the quantity where all else is at its best, to first order."""
        point = self.refitter.descend(self.form, at.values, at.x0, iterations=0)
        system = None if point is None else self.refitter.linearise(self.form, point, self.segments)
        if system is None:
            return None
        slopes = self.quantity(at.values)[1]
        matrix, _, inverse = system.reduced()
        scale = np.sqrt(np.maximum(np.diag(matrix), 1e-300))
        free = (at.values > self.low) & (at.values < self.high)
        scaled = (matrix / np.outer(scale, scale))[np.ix_(free, free)]
        if not np.isfinite(scaled).all() or not slopes[free].any():
            return None
        values = np.zeros(len(slopes))
        values[free] = np.linalg.pinv(scaled, rcond=1e-12, hermitian=True) @ (slopes / scale)[free] / scale[free]
        along = float(slopes @ values)
        if not along > 0:
            return None
        values /= along
        return values, system.following(values, inverse)

    # -------------------------------------------------------------- ends
    def _root(self, point: _Point) -> float:
        """Root of the cost above the lowest, in units of its value at the threshold."""
        return math.sqrt(max(point.cost - self.best.cost, 0.0)) / self.quantile

    def _refined(self, points: list[_Point], notes: list[str], sign: int, strict: bool) -> tuple[list[_Point], float]:
        """The points with those between which the threshold is passed made denser, and where it is passed."""
        for trial in range(MOST_TRIED):
            distance, roots = self._course(points)
            k = int(np.argmax(roots >= 1))
            inner, outer = points[k - 1], points[k]
            width = distance[k] - distance[k - 1]
            near = min((k - 1, k), key=lambda i: abs(roots[i] - 1))
            close = CLOSE * min(distance[near], max(abs(inner.value), abs(outer.value)))
            if abs(roots[near] - 1) * width / (roots[k] - roots[k - 1]) <= close and trial:
                break
            target = self.best.value + sign * _crossing(distance, roots, k, halve=trial % 3 == 2)
            if inner.value * outer.value > 0 and not 1 / RATIO < inner.value / outer.value < RATIO:
                target = math.copysign(math.sqrt(inner.value * outer.value), inner.value)
            share = (target - inner.value) / (outer.value - inner.value)
            between = _Point(
                target,
                math.inf,
                inner.values + share * (outer.values - inner.values),
                inner.x0 + share * (outer.x0 - inner.x0),
            )
            scale = max(width, 0.1 * min(distance[k], max(abs(inner.value), abs(outer.value))))
            found = self._towards(target, WIDTH * scale, between) or self._towards(target, WIDTH * width, inner)
            if found is not None and strict and found.cost < self.best.cost - BETTER * self.quantile**2:
                raise _Lower(found)
            far = math.nan if found is None else sign * (found.value - self.best.value)
            if not distance[k - 1] < far < distance[k]:
                where = "below" if sign < 0 else "above"
                gap = f"{inner.value:.5g} and {outer.value:.5g}"
                notes.append(f"{where}: refits between {gap} fail, and its end is somewhere between")
                break
            points.insert(k, found)
        distance, roots = self._course(points)
        return points[1:], self.best.value + sign * _crossing(distance, roots, int(np.argmax(roots >= 1)))

    def _course(self, points: list[_Point]) -> tuple[np.ndarray, np.ndarray]:
        """Distances from the optimum, and roots there."""
        distance = np.array([abs(p.value - self.best.value) for p in points])
        return distance, np.array([self._root(p) for p in points])

    def _at_own_bound(self, point: _Point) -> bool:
        place = self.quantity.place
        return place is not None and bool(point.values[place] in (self.low[place], self.high[place]))

    def _bounds_met(self, point: _Point) -> str:
        """Which parameters are at their bounds, in words."""
        held = np.flatnonzero((point.values <= self.low) | (point.values >= self.high))
        return ", ".join(f"{self.form.names[k]} is at its bound {point.values[k]:.6g} there" for k in held)


def _crossing(distance: np.ndarray, roots: np.ndarray, k: int, *, halve: bool = False) -> float:
    """Distance at which the root is one, between places k - 1 and k: by a monotone cubic, or the middle."""
    from scipy.interpolate import PchipInterpolator

    low, high = distance[k - 1], distance[k]
    if halve:
        return float(0.5 * (low + high))
    rising = np.flatnonzero(roots > np.maximum.accumulate(np.concatenate([[-np.inf], roots[:-1]])))
    at = float(PchipInterpolator(roots[rising], distance[rising])(1.0))
    return at if low <= at <= high else float(low + (1 - roots[k - 1]) / (roots[k] - roots[k - 1]) * (high - low))
