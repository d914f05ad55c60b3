"""Where a long simulation ends: at rest, on a cycle, moving without repeating itself, or nowhere."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from udesys.assess.bifurcation.varied import Varied
from udesys.integrate import adaptive_machine as M

TOLERANCE = 1e-8  # relative error of a step
SMALL = 1e-4  # of that, relative to the scale: absolute error of a state that is never negative
WINDOW = 0.3  # last share of a simulation, in which its end is looked at
LONGER, SOME = 6, 2  # windows that follow where the end still drifts, and where it seems to be chaos
LONGEST = 60  # where its amplitude falls or grows steadily, as it does near a Hopf point
STEADILY = 2e-3  # of the amplitude, by which it does within a window
DRIFT = 0.02  # of the scale, by which extremes of the halves of a window may differ
FADING = 0.5  # of a state, to which it falls within a window
STILL = 1e-4  # of the scale: an amplitude below it is rest
GONE = 1e-4  # of a state's largest visited value: below it, it is zero
FAR = 20.0  # widths of the visited region beside it, where a state has left it
BELOW = 1e-3  # of the scale, by which a state that is listed as positive may be negative
RETURN = 2e-3  # of the amplitude, to which a cycle comes back
MOST_RETURNS = 32  # turns of a cycle
STIFF_BEFORE, STIFF_ROWS, STIFF_STEPS = 100, 1000, 4  # times of an implicit simulation, and steps between them
STIFF_MOVE, STIFF_MOST = 0.01, 20_000  # of the scale: between two times; and how dense these get
KICK = 1e-3  # of the scale, by which a state is moved off where it rests before a sweep goes on

LEAST_PEAKS, CREEPING = 4, 0.9  # of a state that drifts: peaks, and the share of them that rise or fall alike

WORDS = {
    "point": "rest",
    "cycle": "cycle",
    "irregular": "irregular motion",
    "slow": "still drifting",
    "left": "gone",
    "unfinished": "too stiff to be followed",
}


@dataclass(frozen=True, kw_only=True)
class Region:
    """Where the states were, and how large they are.

    Attributes:
        low, high: (d,) ends of what was visited.
        positive: (d,) never negative: listed so.
        above: (d,) visited away from zero on the positive side, so that zero is an end.
    """

    low: np.ndarray
    high: np.ndarray
    positive: np.ndarray

    @property
    def scale(self) -> np.ndarray:
        """(d,) widths; of a state that does not move its size."""
        width, size = self.high - self.low, np.maximum(np.abs(self.low), np.abs(self.high))
        return np.where(width > 1e-9 * size, width, np.where(size > 0, size, 1.0))

    @property
    def above(self) -> np.ndarray:
        """(d,) whether the state was positive throughout, so that zero is an end of it."""
        return self.low >= 0

    @property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """(d,) each: a state beyond them has left."""
        far = FAR * self.scale
        low = np.where(self.positive, -BELOW * self.scale, self.low - far)
        return low, self.high + far

    def inside(self, x: np.ndarray, margin: float = 0.01) -> np.ndarray:
        """(...,) whether states (..., d) are where the data were, a share of the width more allowed."""
        more = margin * self.scale
        return ((x >= self.low - more) & (x <= self.high + more)).all(-1)


@dataclass(frozen=True, kw_only=True)
class End:
    """What a simulation came to.

    Attributes:
        kind: "point", "cycle", "irregular" (chaos, a torus, or a cycle longer than what was seen of it), "slow" (it
            still drifts), "left" (a state left the visited region by far, or the finite numbers) or "unfinished".
        low, high: (d,) extremes of the states in the last part; NaN where they left.
        period: of a cycle [the data's time unit]; NaN otherwise.
        turns: of a cycle before it repeats itself, as counted by the state that moves most.
        zero: states that went to zero, of those that the data saw above it.
        gone: states that were beyond their bounds in the end.
        at: (d,) the last state.
    """

    kind: str
    low: np.ndarray = field(repr=False)
    high: np.ndarray = field(repr=False)
    period: float = float("nan")
    turns: int = 0
    zero: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    at: np.ndarray = field(repr=False)

    @property
    def collapsed(self) -> bool:
        """Whether a state went to zero or left."""
        return bool(self.zero) or self.kind == "left"

    @property
    def words(self) -> str:
        """The same in words."""
        if self.kind == "left":
            return f"{', '.join(self.gone)} leaves" if self.gone else "blows up"
        kind = WORDS[self.kind]
        kind = f"{kind}, period {self.period:.5g}" if np.isfinite(self.period) else kind
        return f"{kind}, {', '.join(self.zero)} at zero" if self.zero else kind


class Simulator:
    """Long simulations of a right side with one number varied.

    Args:
        side: the right side.
        region: where the states were.
        until: length of a simulation [the data's time unit].
    """

    def __init__(self, side: Varied, region: Region, until: float):
        self.side, self.region, self.until = side, region, until
        self._implicit = side.stiff
        fine = np.where(region.above, SMALL, 1.0)
        self._atol = TOLERANCE * fine * region.scale

    def end(self, x0: np.ndarray, value: float) -> End:
        """What a simulation from x0 (d,) comes to.

        Its last part is looked at; where it still drifts there, it goes on for some parts more.

        Args:
            x0: start.
            value: of the varied number.
        """
        window = WINDOW * self.until
        with np.errstate(all="ignore"):
            steps = self._follow(x0, value, self.until - window, self.until)
            for further in range(LONGEST):
                if steps.ended != M.DONE or not self._goes_on(steps, further):
                    break
                steps = self._follow(steps.at, value, 0.0, window)
            return self._judged(steps)

    def _follow(self, x0, value: float, skip: float, until: float) -> M.Steps:
        if not self._implicit:
            options = {"rtol": TOLERANCE, "atol": self._atol, "bounds": self.region.bounds}
            steps = M.follow(self.side.program, [value], x0, skip, until, **options)
            if steps.ended not in (M.TIRED, M.FULL):
                return steps
            self._implicit = True  # from now on: what is stiff once is so for other values too
        return self._follow_implicit(x0, value, skip, until)

    def _follow_implicit(self, x0, value: float, skip: float, until: float) -> M.Steps:
        """The same by the implicit method, which has its own steps: the times at which it is seen are made denser."""
        at = np.asarray(x0, float)
        if skip > 0:
            steps = self._implicit_steps(at, value, np.linspace(0.0, skip, STIFF_BEFORE))
            if steps.ended != M.DONE:
                return steps
            at = steps.at
        t = np.linspace(skip, until, STIFF_ROWS)
        while True:
            steps = self._implicit_steps(at, value, t)
            wide = (np.abs(np.diff(steps.x, axis=0)) > STIFF_MOVE * self.region.scale).any(1)
            wide &= np.diff(steps.t) > M.SHORTEST * until
            k = np.flatnonzero(wide)
            if not len(k) or len(t) + 3 * len(k) > STIFF_MOST:
                return steps
            between = [t[k] + share * (t[k + 1] - t[k]) for share in (0.25, 0.5, 0.75)]
            t = np.unique(np.concatenate([t, *between]))

    def _implicit_steps(self, x0: np.ndarray, value: float, t: np.ndarray) -> M.Steps:
        """States at times t, as far as they stay within their bounds."""
        from udesys.integrate import implicit_machine

        one = (np.array([0], dtype=np.int64), np.array([len(t)], dtype=np.int64))
        point = (self.side.implicit_program, self.side.d, [value], x0[None], t, one, np.full(len(t), STIFF_STEPS))
        x = implicit_machine.simulate(*point, partial=True)[0]
        low, high = self.region.bounds
        bad = ~((x >= low) & (x <= high)).all(1)  # NaN too
        count = int(np.argmax(bad)) if bad.any() else len(t)
        slope = self.side.linearise(x[:count], np.full(count, value))[0]
        at, last = x[min(count, len(t) - 1)], max(count - 1, 0)
        at = at if np.isfinite(at).all() else x[last]
        ended = M.LEFT if bad.any() else M.DONE
        return M.Steps(ended=ended, t=t[:count], x=x[:count], slope=slope, at=at, time=float(t[last]))

    # -------------------------------------------------------------- judging
    def _goes_on(self, steps: M.Steps, further: int) -> bool:
        """Whether another window is worth it after so many."""
        sizes = [(high - low).max() for low, high in self._parts(steps, 4)]
        if len(sizes) < 4 or max(sizes) < STILL:
            return self._fades(steps)
        rises = np.diff(sizes)
        if ((rises > 0).all() or (rises < 0).all()) and abs(sizes[-1] - sizes[0]) > STEADILY * sizes[-1]:
            return True
        if self._fades(steps):
            return further < LONGER
        largest = int(np.argmax(np.ptp(steps.x, axis=0) / self.region.scale))
        return further < (LONGER if _creeps(steps, largest) else SOME) and self._drifts(steps)

    def _drifts(self, steps: M.Steps) -> bool:
        """Whether the halves of a window have other extremes."""
        parts = self._parts(steps, 2)
        return len(parts) == 2 and bool(np.abs(np.array(parts[0]) - np.array(parts[1])).max() > DRIFT)

    def _fades(self, steps: M.Steps) -> bool:
        """Whether a state falls towards zero without being there yet."""
        size = np.abs(steps.x).max(0), np.abs(steps.x[len(steps.x) // 2 :]).max(0)
        return bool((self.region.above & (size[1] > self._zero) & (size[1] < FADING * size[0])).any())

    def _parts(self, steps: M.Steps, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """Extremes of equal parts of a window over the scale; fewer where there are no steps in one."""
        places = np.clip(((steps.t - steps.t[0]) / (steps.t[-1] - steps.t[0]) * count).astype(int), 0, count - 1)
        parts = [places == k for k in range(count)]
        found = [extremes(steps.t[p], steps.x[p], steps.slope[p]) for p in parts if p.sum() > 1]
        return [(low / self.region.scale, high / self.region.scale) for low, high in found]

    @property
    def _zero(self) -> np.ndarray:
        return GONE * np.maximum(np.abs(self.region.low), np.abs(self.region.high))

    def _judged(self, steps: M.Steps) -> End:
        states, (low, high) = self.side.states, self.region.bounds
        if steps.ended == M.LEFT:
            gone = tuple(s for s, bad in zip(states, ~((steps.at >= low) & (steps.at <= high)), strict=True) if bad)
            nothing = np.full(len(states), np.nan)
            return End(kind="left", low=nothing, high=nothing, gone=gone, at=steps.at)
        if steps.ended != M.DONE and len(steps.t) < 2:
            nothing = np.full(len(states), np.nan)
            return End(kind="unfinished", low=nothing, high=nothing, at=steps.at)
        lowest, highest = extremes(steps.t, steps.x, steps.slope)
        zero = self.region.above & (np.maximum(np.abs(lowest), np.abs(highest)) < self._zero)
        common = {"low": lowest, "high": highest, "at": steps.at}
        common["zero"] = tuple(s for s, is_zero in zip(states, zero, strict=True) if is_zero)
        moves = (highest - lowest) / self.region.scale
        if moves.max() < STILL:
            return End(kind="point", **common)
        period, turns = period_of(steps, int(np.argmax(moves)), lowest, highest)
        if turns:
            return End(kind="cycle", period=period, turns=turns, **common)
        return End(kind="slow" if _creeps(steps, int(np.argmax(moves))) else "irregular", **common)


def extremes(t: np.ndarray, x: np.ndarray, slope: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest (d,) of the cubics through steps t (n,), x (n, d) with slopes dx/dt (n, d)."""
    with np.errstate(all="ignore"):
        return _extremes(t, x, slope)


def _extremes(t, x, slope):
    low, high = x.min(0), x.max(0)
    h = np.diff(t)[:, None]
    turns = (slope[:-1] * slope[1:] < 0) & (h > 0)
    if not turns.any():
        return low, high
    # x = x0 + m s + (3 D - 2 m - n) s^2 + (m + n - 2 D) s^3 with D = x1 - x0 and m, n = h dx/dt
    m, n, rise = h * slope[:-1], h * slope[1:], x[1:] - x[:-1]
    a, b = 3.0 * (m + n - 2.0 * rise), 2.0 * (3.0 * rise - 2.0 * m - n)
    root = np.sqrt(np.maximum(b * b - 4.0 * a * m, 0.0))
    q = -0.5 * (b + np.where(b >= 0, root, -root))
    for s in (q / a, m / q):
        fine = turns & (s > 0) & (s < 1)
        between = x[:-1] + s * (m + s * (b / 2 + s * a / 3))
        low = np.minimum(low, np.where(fine, between, np.inf).min(0))
        high = np.maximum(high, np.where(fine, between, -np.inf).max(0))
    return low, high


def period_of(steps: M.Steps, state: int, low: np.ndarray, high: np.ndarray) -> tuple[float, int]:
    """Period and turns of a cycle by its returns to a section; NaN and 0 where it does not come back.

    Args:
        steps: of the last part of a simulation.
        state: the one in whose middle, upwards, the section lies.
        low, high: (d,) extremes.
    """
    t, x, slope = steps.t, steps.x, steps.slope
    level = 0.5 * (low[state] + high[state])
    k = np.flatnonzero((x[:-1, state] < level) & (x[1:, state] >= level))
    if len(k) < 3:
        return float("nan"), 0
    h = t[k + 1] - t[k]
    left, right = np.zeros(len(k)), np.ones(len(k))
    for _ in range(60):
        middle = 0.5 * (left + right)
        above = _cubic(middle, h, x[k], x[k + 1], slope[k], slope[k + 1])[:, state] >= level
        left, right = np.where(above, left, middle), np.where(above, middle, right)
    times, points = t[k] + h * right, _cubic(right, h, x[k], x[k + 1], slope[k], slope[k + 1])
    size = np.where(high > low, high - low, 1.0)
    for turns in range(1, min(MOST_RETURNS, len(k) - 2) + 1):
        away = np.abs(points[turns:] - points[:-turns]) / size
        matter = (high - low) > STILL * np.maximum(np.abs(high), np.abs(low))
        if away[:, matter].max(initial=0.0) < RETURN:
            whole = (len(times) - 1) // turns * turns
            return float((times[whole] - times[0]) / (whole // turns)), turns
    return float("nan"), 0


def _creeps(steps: M.Steps, state: int) -> bool:
    """Whether the peaks of a state rise or fall for good, or it hardly turns at all."""
    slope = steps.slope[:, state]
    peaks = steps.x[1:, state][(slope[:-1] > 0) & (slope[1:] <= 0)]
    if len(peaks) < LEAST_PEAKS:
        return True
    rises = np.diff(peaks) > 0
    return max(rises.mean(), 1.0 - rises.mean()) > CREEPING


def _cubic(s, h, x0, x1, m0, m1) -> np.ndarray:
    """(n, d) Hermite's cubics at shares s (n,) of steps h (n,)."""
    s, h = s[:, None], h[:, None]
    rise = x1 - x0
    return x0 + s * (h * m0 + s * (3.0 * rise - h * (2.0 * m0 + m1) + s * (h * (m0 + m1) - 2.0 * rise)))
