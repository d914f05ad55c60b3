"""What simulations come to along the varied number: up and down from one end to the next, and afresh from a start."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from udesys.assess.bifurcation.ends import GONE, KICK, End, Simulator

JUMP = 0.05  # of the scale: extremes that differ by less are one attractor's
RELATIVE, OF_RANGE, FINEST = 1e-5, 1e-6, 1e-9  # to which a threshold is found: of its value, and of the range
MOST_BISECTIONS = 60
MOST_THRESHOLDS = 8  # from one start
UNSTEADY = ("irregular", "slow", "unfinished")


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """Ends of simulations along the varied number, each from where the one before ended.

    Attributes:
        direction: "up" or "down"; "fresh" where each starts from the start itself.
        start: state -> value that the first one starts from.
        value: (n,) of the varied number, in the order in which it was gone through.
        ends: what each came to.
    """

    direction: str
    start: dict[str, float]
    value: np.ndarray = field(repr=False)
    ends: tuple[End, ...] = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """Where what a start leads to changes: by a jump, or as a state fades to zero.

    Attributes:
        value: of the varied number.
        interval: neighbouring values, the change between them.
        start: state -> value.
        below, above: what it comes to on either side.
        jumps: an extreme jumps there; otherwise a state fades to zero little by little, and is below what counts.
        inside: the start lies where the data were.
    """

    value: float
    interval: tuple[float, float]
    start: dict[str, float]
    below: End
    above: End
    jumps: bool
    inside: bool

    @property
    def collapse(self) -> bool:
        """Whether a state jumps to zero, or leaves the visited region by far, on one side alone."""
        return self.jumps and self.below.collapsed != self.above.collapsed

    @property
    def kind(self) -> str:
        """ "collapse", "other end", or "fading" where nothing jumps."""
        return "collapse" if self.collapse else "other end" if self.jumps else "fading"

    @property
    def what(self) -> str:
        """In words."""
        return f"{self.below.words} -> {self.above.words}"


class Sweeping:
    """Simulations of a right side along its varied number.

    Args:
        simulator: of the right side.
        values: (n,) of the varied number, increasing.
        told: called after every simulation.
    """

    def __init__(self, simulator: Simulator, values: np.ndarray, told: Callable[[], None] = lambda: None):
        self.simulator, self.values, self._told = simulator, values, told
        self.states = simulator.side.states
        self.notes: list[str] = []
        generator = np.random.default_rng(0)
        self._kick = KICK * simulator.region.scale * generator.choice([-1.0, 1.0], len(self.states))

    def _end(self, x: np.ndarray, value: float) -> End:
        end = self.simulator.end(x, float(value))
        self._told()
        return end

    def fresh(self, start: Mapping[str, float]) -> Sweep:
        """Every simulation from the same start."""
        x = np.array([start[s] for s in self.states])
        ends = tuple(self._end(x, value) for value in self.values)
        return Sweep(direction="fresh", start=dict(start), value=self.values, ends=ends)

    def carried(self, start: Mapping[str, float], *, up: bool) -> Sweep:
        """Every simulation from where the one before ended; after one that left, from the start."""
        values = self.values if up else self.values[::-1]
        first = np.array([start[s] for s in self.states])
        x, ends = first, []
        for value in values:
            ends.append(self._end(x, value))
            x = first if ends[-1].kind in ("left", "unfinished") else self._moved_off(ends[-1])
        return Sweep(direction="up" if up else "down", start=dict(start), value=values, ends=tuple(ends))

    def _moved_off(self, end: End) -> np.ndarray:
        """The last state, moved a little where it rests, so that it leaves a rest that is not stable any more.

        A state that went to zero stays there: what is extinct does not come back by itself.
        """
        region, x = self.simulator.region, end.at.copy()
        kick = self._kick if end.kind == "point" else np.zeros(len(x))
        sized = np.abs(x) > GONE * region.scale
        x = x + np.where(sized | ~region.above, kick, 0.0)
        zero = np.array([state in end.zero for state in self.states])
        return np.where(zero, 0.0, np.where(region.above, np.maximum(x, 0.0), x))

    # -------------------------------------------------------------- thresholds
    def thresholds(self, fresh: Sweep) -> list[Threshold]:
        """Every jump between neighbouring simulations from one start, found by bisection."""
        x = np.array([fresh.start[s] for s in self.states])
        inside = bool(self.simulator.region.inside(x))
        found: list[Threshold] = []
        for (a, b), (below, above) in zip(pairwise(fresh.value), pairwise(fresh.ends), strict=True):
            refined = self._bisected(x, (float(a), float(b)), (below, above))
            if refined is None:
                continue
            if len(found) == MOST_THRESHOLDS:
                words = ", ".join(f"{s} = {v:.4g}" for s, v in fresh.start.items())
                self.notes.append(
                    f"from {words} the end jumps more than {MOST_THRESHOLDS} times; jumps above "
                    f"{found[-1].value:.5g} are not listed."
                )
                break
            (low, high), (below, above) = refined
            jumps = self._moved(below, above) > JUMP
            at = {"value": 0.5 * (low + high), "interval": (low, high), "below": below, "above": above, "jumps": jumps}
            found.append(Threshold(start=dict(fresh.start), inside=inside, **at))
        return found

    def _bisected(self, x: np.ndarray, values: tuple[float, float], ends: tuple[End, End]):
        """Neighbouring values and their ends; None where the change is none by a jump."""
        (low, high), (below, above) = values, ends
        whole = float(self.values[-1] - self.values[0])
        for _ in range(MOST_BISECTIONS):
            width = max(min(RELATIVE * max(abs(low), abs(high)), OF_RANGE * whole), FINEST * whole)
            if high - low <= width or not self._changes(below, above):
                break
            middle = 0.5 * (low + high)
            end = self._end(x, middle)
            if self._difference(below, end) >= self._difference(end, above):
                high, above = middle, end
            else:
                low, below = middle, end
        return ((low, high), (below, above)) if self._changes(below, above) else None

    def _changes(self, a: End, b: End) -> bool:
        both = a.kind in UNSTEADY and b.kind in UNSTEADY and _class(a) == _class(b)
        return not both and self._difference(a, b) > JUMP

    def _difference(self, a: End, b: End) -> float:
        """How far two ends are apart: infinite for other classes, else by how much an extreme moves.

        Two classes differ where one has left and the other has not, or where other states are at zero.
        """
        return np.inf if _class(a) != _class(b) else self._moved(a, b)

    def _moved(self, a: End, b: End) -> float:
        """The largest move of an extreme over its scale; infinite where one of the two has left."""
        if (a.kind == "left") != (b.kind == "left"):
            return np.inf
        away = np.maximum(np.abs(a.low - b.low), np.abs(a.high - b.high)) / self.simulator.region.scale
        return float(np.nan_to_num(away.max(), nan=0.0))


def _class(end: End) -> tuple:
    return end.kind == "left", end.zero


__all__ = ["Sweep", "Sweeping", "Threshold"]
