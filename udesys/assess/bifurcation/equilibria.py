"""Branches of equilibria: found from many starts at several values, each followed as far as it goes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from udesys.assess.bifurcation.continuation import Curves, Place
from udesys.assess.bifurcation.ends import Region
from udesys.assess.bifurcation.events import BRANCH, FOLD, HOPF, UPRIGHT, Met, events_between, neutral, unstable
from udesys.assess.bifurcation.varied import Varied

STARTS = 64  # scattered ones at each value
VALUES = 9  # at which equilibria are looked for
MORE = 0.5  # widths beside the visited region, in which scattered starts lie
ITERATIONS, CLOSE = 60, 1e-9  # of Newton's method, and scaled size of its last move
SAME = 1e-6  # scaled distance of equilibria that are one
MOST_BRANCHES = 40
TRANSCRITICAL, PITCHFORK = "transcritical", "pitchfork"
ENDS = {
    "range": "the end of the range",
    "left": "far from what was visited",
    "closed": "itself: it is closed",
    "lost": "where it could not be followed",
    "long": "after as many points as are kept",
}


@dataclass(frozen=True, kw_only=True)
class Branch:
    """A curve of equilibria.

    Attributes:
        value: (n,) of the varied number.
        x: (n, d) states.
        eigenvalues: (n, d) of df/dx, the largest real part first.
        stable: (n,) whether all real parts are negative; where that changes, as it was before.
        unstable: (n,) how many are positive; where none is and it is not stable either, some are zero.
        ends: in words, where its first and its last point are.
    """

    value: np.ndarray = field(repr=False)
    x: np.ndarray = field(repr=False)
    eigenvalues: np.ndarray = field(repr=False)
    stable: np.ndarray = field(repr=False)
    unstable: np.ndarray = field(repr=False)
    ends: tuple[str, str]

    @property
    def pieces(self) -> list[slice]:
        """Stretches of one stability, in order; neighbours share the point where it changes."""
        cuts = np.flatnonzero(np.diff(self.stable.astype(int)) | np.diff((self.unstable > 0).astype(int))) + 1
        edges = [*cuts.tolist(), len(self.stable)]
        return [slice(max(a - 1, 0), b) for a, b in zip([0, *edges[:-1]], edges, strict=True)]


@dataclass(frozen=True, kw_only=True)
class Point:
    """Where the stability of an equilibrium changes.

    Attributes:
        kind: "fold", "Hopf", "transcritical", "pitchfork", or "branch point" where the other curve was not seen.
        value: of the varied number.
        x: state -> value.
        eigenvalues: (d,) the largest real part first.
        period: of the small cycle at a Hopf point, 2 pi / omega; NaN otherwise.
        branch: place of its branch.
        inside: the states are where the data were.
    """

    kind: str
    value: float
    x: dict[str, float]
    eigenvalues: np.ndarray = field(repr=False)
    period: float
    branch: int
    inside: bool


@dataclass
class Traced:
    """A branch as it was followed."""

    places: list[Place]
    ends: tuple[str, str]
    met: list[Met]


class Tracing:
    """Equilibria of a right side with one number varied.

    Args:
        side: the right side.
        region: where the states were.
        low, high: ends of the varied number.
        seed: of the scattered starts.
    """

    def __init__(self, side: Varied, region: Region, low: float, high: float, seed: int = 0):
        self.side, self.region, self.rng = side, region, np.random.default_rng(seed)
        self.curves, self.traced, self.notes = Curves(side, region, low, high), [], []

    def search(self, visited: np.ndarray, ends: Sequence[tuple[np.ndarray, float]] = ()) -> None:
        """Find equilibria and follow each that lies on no branch yet.

        Args:
            visited: (n, d) states to start from.
            ends: states (d,) and values at which simulations came to rest or went round.
        """
        low, high = self.curves.low, self.curves.high
        # A little off the ends and off round numbers, where branch points like to be.
        inner = low + (high - low) * (np.arange(1, VALUES - 1) + 0.1357) / VALUES
        wanted = [*inner, low, high]
        if low < self.side.value < high:
            wanted.append(self.side.value)
        starts = [(np.concatenate([visited, self._scattered(STARTS)]), value) for value in wanted]
        x = np.concatenate([*(s for s, _ in starts), *(end[None] for end, _ in ends)])
        values = np.concatenate([*(np.full(len(s), v) for s, v in starts), np.array([v for _, v in ends])])
        for point, value in self._zeros(x, values):
            self._follow_new(self.curves.scaled(point, value))
        self._switch()

    def _scattered(self, count: int) -> np.ndarray:
        """(count, d) in the visited region and beside it; half of those that are never negative at zero."""
        region, d = self.region, self.side.d
        more = MORE * region.scale
        low = np.where(region.above, np.maximum(region.low - more, 0.0), region.low - more)
        points = low + (region.high + more - low) * self.rng.random((count, d))
        return np.where(region.above & (self.rng.random((count, d)) < 0.35), 0.0, points)

    def _zeros(self, x: np.ndarray, values: np.ndarray) -> list[tuple[np.ndarray, float]]:
        """Different equilibria that damped Newton iterations from x (n, d) at values (n,) lead to."""
        scale = self.region.scale
        going = np.ones(len(x), bool)
        x, found = x.copy(), np.zeros(len(x), bool)
        for _ in range(ITERATIONS):
            k = np.flatnonzero(going)
            if not len(k):
                break
            f, by_state, _ = self.side.linearise(x[k], values[k])
            fine = np.isfinite(f).all(1) & np.isfinite(by_state).all((1, 2))
            going[k[~fine]] = False
            k, f, by_state = k[fine], f[fine], by_state[fine]
            by_state, f = by_state * scale / scale[:, None], f / scale
            moves = _moves(by_state, f)
            size = np.abs(moves).max(1, initial=0.0)
            # Where the matrix is singular a move of nothing says nothing.
            done = (size < CLOSE) & (np.abs(f) <= 10 * CLOSE * np.abs(by_state).max(2)).all(1)
            x[k] -= scale * moves * np.minimum(1.0, 0.5 / np.maximum(size, 1e-300))[:, None]
            found[k[done]], going[k[done]] = True, False
            away = (np.abs(x[k] - 0.5 * (self.region.low + self.region.high)) > 10 * scale).any(1)
            going[k[away]] = False
        low, high = self.region.low - 1.5 * scale, self.region.high + 1.5 * scale
        low = np.where(self.region.positive, -SAME * scale, low)
        found &= ((x >= low) & (x <= high)).all(1)
        chosen: list[tuple[np.ndarray, float]] = []
        for point, value in zip(x[found], values[found], strict=True):
            if not any(np.abs((point - other) / scale).max() < SAME for other, v in chosen if v == value):
                chosen.append((point, float(value)))
        return chosen

    def _follow_new(self, z: np.ndarray, along: np.ndarray | None = None) -> None:
        """Follow the curve through a point in both directions, where it lies on none that is there."""
        if len(self.traced) >= MOST_BRANCHES or self._known(z):
            return
        matrix = self.curves.matrix(z)[1]
        sizes = np.linalg.svd(matrix, compute_uv=False)
        if sizes[-1] < 1e-9 * max(sizes[0], 1e-300):
            if along is None:
                self._note("an equilibrium lies in a continuum of equilibria, or is degenerate, and was not followed.")
            return
        along = np.linalg.svd(matrix)[2][-1] if along is None else along
        tangent = self.curves.tangent(z, along)
        if tangent is None:
            return
        met: list[Met] = []
        halves, reasons = [], []
        for sign in (-1, 1):
            start = Place(z, sign * tangent)
            seen: list[tuple[Place, Met]] = []

            def events(place: Place, step: float, following: Place, seen=seen) -> None:
                seen += [(following, m) for m in events_between(self.curves, place, step, following)]

            places, reason = self.curves.follow(start, events)
            for following, m in reversed(seen):
                at = next(k for k, place in enumerate(places) if place is following)
                places.insert(at, m.place)
            halves.append(places)
            reasons.append(ENDS[reason])
            met += [m for _, m in seen]
            if reason == "closed":
                halves = [[], places] if sign > 0 else [places, []]
                reasons = [ENDS[reason]] * 2
                break
        halves = [*halves, []][:2]
        places = [*(Place(p.z, -p.tangent) for p in reversed(halves[0])), Place(z, tangent), *halves[1]]
        self.traced.append(Traced(places, (reasons[0], reasons[1]), met))

    def _known(self, z: np.ndarray) -> bool:
        """Whether a point lies on a branch that is there."""
        for branch in self.traced:
            line = np.array([p.z for p in branch.places])
            if np.abs(line - z).max(1).min() < SAME:
                return True
            shares = line[:, -1] - z[-1]
            for k in np.flatnonzero((shares[:-1] * shares[1:] <= 0) & (shares[:-1] != shares[1:])):
                part = shares[k] / (shares[k] - shares[k + 1])
                guess = line[k] + part * (line[k + 1] - line[k])
                if np.abs(guess - z).max() > 0.05:
                    continue
                exact = self.curves.at_value(guess, z[-1])
                if exact is not None and np.abs(exact - z).max() < SAME:
                    return True
        return False

    def _switch(self) -> None:
        """Follow what crosses the branches in their branch points."""
        done = 0
        while done < len(self.traced):
            for met in self.traced[done].met:
                if met.kind != BRANCH:
                    continue
                z, tangent = met.place.z, met.place.tangent
                plane = np.linalg.svd(self.curves.matrix(z)[1])[2][-2:]
                across = plane[np.argmin(np.abs(plane @ tangent))]
                across = across - (across @ tangent) * tangent
                across /= np.linalg.norm(across)
                for step in (5e-3, -5e-3):
                    point, _ = self.curves.correct(z + step * across, across, 20)
                    near = point is not None and np.linalg.norm(point - z) < 10 * abs(step)
                    if near and 0 <= point[-1] <= 1 and not self.curves.beyond(point):
                        self._follow_new(point, across)
            done += 1

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)

    # -------------------------------------------------------------- answering
    def branches(self) -> tuple[Branch, ...]:
        """Every branch that was followed."""
        found = []
        for traced in self.traced:
            line = np.array([p.z for p in traced.places])
            x, value = self.curves.plain(line)
            eigenvalues = np.array([self.curves.eigenvalues(z) for z in line])
            count = unstable(eigenvalues)
            stable = (count == 0) & ~neutral(eigenvalues)
            events = {id(met.place.z) for met in traced.met}
            for k in [k for k, place in enumerate(traced.places) if id(place.z) in events and k > 0]:
                count[k], stable[k] = count[k - 1], stable[k - 1]
            parts = {"eigenvalues": eigenvalues, "stable": stable, "unstable": count}
            found.append(Branch(value=value, x=x, **parts, ends=traced.ends))
        return tuple(found)

    def points(self) -> tuple[Point, ...]:
        """Every event once, by its value."""
        events = [(k, met) for k, traced in enumerate(self.traced) for met in traced.met]
        # Of a branch point that is on several branches, the one on which the value changes tells it best.
        events.sort(key=lambda item: -abs(item[1].place.tangent[-1]))
        kept: list[tuple[int, Met, bool]] = []
        for k, met in events:
            turns = met.kind == BRANCH and abs(met.place.tangent[-1]) < UPRIGHT
            for n, (other, first, was) in enumerate(kept):
                if first.kind == met.kind and np.abs(first.place.z - met.place.z).max() < 1e-4:
                    kept[n] = (other, first, was or turns)
                    break
            else:
                kept.append((k, met, turns))
        return tuple(sorted((self._point(*item) for item in kept), key=lambda point: point.value))

    def _point(self, branch: int, met: Met, turns: bool) -> Point:
        x, value = self.curves.plain(met.place.z)
        kind = met.kind
        if kind == BRANCH:
            kind = PITCHFORK if turns else TRANSCRITICAL if self._crossed(branch, met.place.z) else BRANCH
        return Point(
            kind=kind,
            value=float(value),
            x=dict(zip(self.side.states, x.tolist(), strict=True)),
            eigenvalues=self.curves.eigenvalues(met.place.z),
            period=2 * np.pi / met.omega if kind == HOPF else float("nan"),
            branch=branch,
            inside=bool(self.region.inside(x)),
        )

    def _crossed(self, branch: int, z: np.ndarray) -> bool:
        others = [t for k, t in enumerate(self.traced) if k != branch]
        return any(np.abs(np.array([p.z for p in t.places]) - z).max(1).min() < 0.02 for t in others)


def _moves(matrices: np.ndarray, right: np.ndarray) -> np.ndarray:
    """(n, d) Newton moves; by least squares where a matrix has no inverse."""
    if not len(matrices):
        return right
    try:
        return np.linalg.solve(matrices, right[..., None])[..., 0]
    except np.linalg.LinAlgError:
        return np.array([np.linalg.lstsq(m, r, rcond=None)[0] for m, r in zip(matrices, right, strict=True)])


__all__ = ["FOLD", "HOPF", "PITCHFORK", "TRANSCRITICAL", "Branch", "Point", "Tracing"]
