"""Curves of equilibria followed through their folds, by pseudo-arclength continuation with exact derivatives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from udesys.assess.bifurcation.ends import Region
from udesys.assess.bifurcation.varied import Varied

FIRST, LONGEST, SHORTEST = 2e-3, 1e-2, 1e-8  # steps along a curve, in scaled coordinates
MOST_POINTS = 4000  # of a curve in one direction
NEWTON, QUICK = 8, 3  # iterations of the corrector at most, and so many let the step grow
CONVERGED = 1e-11  # scaled size of a corrector's last move
ROUNDING, SMALLEST = 4e-16, 1e-3  # of a sum of products of sizes like these
STRAIGHT = 0.98  # cosine between neighbouring tangents
AWAY = 3.0  # widths of the visited region beside it, beyond which a curve is not followed


@dataclass(frozen=True)
class Place:
    """A point of a curve.

    Attributes:
        z: (d + 1,) states and value, scaled.
        tangent: (d + 1,) of length one.
    """

    z: np.ndarray
    tangent: np.ndarray


class Curves:
    """Zeros of a right side with one number varied.

    Args:
        side: the right side.
        region: where the states were; its scale is that of the states.
        low, high: ends of the varied number.
    """

    def __init__(self, side: Varied, region: Region, low: float, high: float):
        self.side, self.low, self.high = side, low, high
        self.scale = np.append(region.scale, high - low)
        self.origin = np.append(np.zeros(side.d), low)
        far = AWAY * region.scale
        self._least = np.where(region.positive, -1e-6 * region.scale, region.low - far)
        self._most = region.high + far

    # -------------------------------------------------------------- coordinates
    def scaled(self, x: np.ndarray, value) -> np.ndarray:
        """(d + 1,) coordinates of states (d,) and a value."""
        return (np.append(x, value) - self.origin) / self.scale

    def plain(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """States (..., d) and values (...,) of coordinates (..., d + 1)."""
        point = z * self.scale + self.origin
        return point[..., :-1], point[..., -1]

    def matrix(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The right side (d,) over its scale, and its derivative (d, d + 1) by the coordinates."""
        x, value = self.plain(z)
        f, by_state, by_value = (part[0] for part in self.side.linearise(x[None], value[None]))
        whole = np.concatenate([by_state, by_value[:, None]], 1) * self.scale
        return f / self.scale[:-1], whole / self.scale[:-1, None]

    def eigenvalues(self, z: np.ndarray) -> np.ndarray:
        """(d,) of df/dx, the largest real part first."""
        found = np.linalg.eigvals(self.matrix(z)[1][:, :-1])
        return found[np.lexsort((-found.imag, -found.real))]

    def beyond(self, z: np.ndarray) -> bool:
        """Whether the states are too far from what was visited."""
        x = self.plain(z)[0]
        return bool(((x < self._least) | (x > self._most)).any())

    # -------------------------------------------------------------- solving
    def correct(self, z: np.ndarray, normal: np.ndarray, most: int = NEWTON) -> tuple[np.ndarray | None, int]:
        """The zero in the plane through z across `normal`, by Newton's method; None where it does not converge."""
        point, start = z.copy(), z
        for k in range(1, most + 1):
            f, matrix = self.matrix(point)
            whole, rest = np.vstack([matrix, normal]), np.append(f, normal @ (point - start))
            if (np.abs(rest) <= ROUNDING * (np.abs(whole) @ np.abs(point) + SMALLEST)).all():
                return point, k  # in a branch point a further move would be rounding over nothing
            move = _solved(whole, rest)
            if move is None:
                return None, k
            point = point - move
            if np.abs(move).max() <= CONVERGED * max(1.0, np.abs(point).max()):
                return point, k
        return None, most

    def tangent(self, z: np.ndarray, along: np.ndarray) -> np.ndarray | None:
        """(d + 1,) tangent of the curve at a zero, in the direction of another; None where there is none."""
        right = np.zeros(len(z))
        right[-1] = 1.0
        found = _solved(np.vstack([self.matrix(z)[1], along]), right)
        if found is None or not np.isfinite(found).all() or not np.abs(found).max() > 0:
            return None
        return found / np.linalg.norm(found)

    def at_value(self, z: np.ndarray, share: float, most: int = 2 * NEWTON) -> np.ndarray | None:
        """The zero near z at a value, given as a share of the range."""
        start, normal = z.copy(), np.zeros(len(z))
        start[-1], normal[-1] = share, 1.0
        return self.correct(start, normal, most)[0]

    def from_place(self, place: Place, step: float) -> Place | None:
        """The point a step along the tangent away, in the plane across it."""
        z, _ = self.correct(place.z + step * place.tangent, place.tangent, 2 * NEWTON)
        if z is None:
            return None
        tangent = self.tangent(z, place.tangent)  # there is none in a branch point that is met exactly
        return Place(z, place.tangent if tangent is None else tangent)

    # -------------------------------------------------------------- following
    def follow(self, start: Place, met: Callable[[Place, float, Place], None]) -> tuple[list[Place], str]:
        """The curve from a place in the direction of its tangent.

        Args:
            start: a place on it.
            met: called with a place, a step along its tangent, and the place it leads to.

        Returns:
            The places after the start, and why it ends: "range", "left", "closed", "lost" or "long".
        """
        places, place, step = [], start, FIRST
        for _ in range(MOST_POINTS):
            following, taken, step = self._next(place, step)
            if following is None:
                return places, "lost"
            share = following.z[-1]
            if not 0.0 <= share <= 1.0:
                last = self._at_end(place, taken, 0.0 if share < 0.0 else 1.0)
                if last is not None:
                    met(place, float(place.tangent @ (last.z - place.z)), last)
                    places.append(last)
                return places, "range"
            met(place, taken, following)
            places.append(following)
            if self.beyond(following.z):
                return places, "left"
            near = np.linalg.norm(following.z - start.z) < taken
            if len(places) > 10 and near and following.tangent @ start.tangent > STRAIGHT:
                places.append(start)
                return places, "closed"
            place = following
        return places, "long"

    def _next(self, place: Place, step: float) -> tuple[Place | None, float, float]:
        """The next place, the step that led there, and the one to try then."""
        while step >= SHORTEST:
            guess = place.z + step * place.tangent
            z, count = self.correct(guess, place.tangent)
            tangent = None
            if z is not None and np.linalg.norm(z - guess) < 0.5 * step:
                tangent = self.tangent(z, place.tangent)
            if tangent is not None and tangent @ place.tangent > STRAIGHT:
                return Place(z, tangent), step, min(LONGEST, 1.5 * step) if count <= QUICK else step
            step *= 0.5
        return None, 0.0, step

    def _at_end(self, place: Place, step: float, share: float) -> Place | None:
        """Where the curve crosses an end of the range within a step."""
        if place.z[-1] == share:
            return None
        from scipy.optimize import brentq

        def beyond(part: float) -> float:
            found = self.from_place(place, part) if part > 0 else place
            return np.nan if found is None else found.z[-1] - share

        try:
            found = self.from_place(place, brentq(beyond, 0.0, step, xtol=1e-15, rtol=1e-14))
        except (ValueError, RuntimeError):
            return None
        if found is None:
            return None
        exact = self.at_value(found.z, share)
        return found if exact is None else Place(exact, found.tangent)


def _solved(matrix: np.ndarray, right: np.ndarray) -> np.ndarray | None:
    """The solution of a square system; None where it has none or is not finite."""
    if not (np.isfinite(matrix).all() and np.isfinite(right).all()):
        return None
    try:
        return np.linalg.solve(matrix, right)
    except np.linalg.LinAlgError:
        return None
