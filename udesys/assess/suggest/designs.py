"""Experiments that could be made next: one more measurement of a running trajectory, or a new run."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from udesys.assess.forecast import driving_along
from udesys.errors import DataError, did_you_mean
from udesys.integrate.driving import Driving

if TYPE_CHECKING:
    from udesys.assess.discovery import Discovery

MOST_TIMES = 60  # looked at between the samples of a trajectory, and as many ahead of it
MOST_TRAJECTORIES = 8  # looked at
MOST_SAMPLES = 30  # of a new run, unless asked for
LARGEST_RUN = 200  # samples that may be asked for
STARTS, LEAST_STARTS = 128, 32  # of new runs looked at first
MOST_POINTS = 100_000  # times of all laws simulated for these
REFINED, AROUND, REACHES = 3, 16, (0.12, 0.04)  # best starts looked around, how often, shares of the bounds
WIDE = 10.0  # ratio of positive bounds from which half of the starts are spread by their logarithms


@dataclass(frozen=True, kw_only=True)
class Design:
    """An experiment.

    Attributes:
        trajectory: the running one that is measured once more; None for a new run.
        start: state -> initial value of a new run; empty otherwise.
        t: times of the measurements [the data's time unit]; a new run's first is that of its start.
        columns: what is measured at each of them.
    """

    trajectory: str | None
    start: dict[str, float]
    t: tuple[float, ...]
    columns: tuple[str, ...]

    @property
    def kind(self) -> str:
        """What tells designs apart that are no alternatives to each other."""
        return "new run" if self.trajectory is None else f"{self.trajectory}: {', '.join(self.columns)}"

    @property
    def size(self) -> int:
        """How many numbers are measured."""
        return len(self.t) * len(self.columns)


@dataclass(frozen=True, kw_only=True)
class Running:
    """A trajectory, or a window of it that has a start of its own, and when it could be measured once more.

    Attributes:
        name: of the trajectory.
        segment: its place among the segments of the footing's data.
        t0: time of the segment's start.
        t: (times,) at which a measurement is looked at.
        driving: the inputs and covariates; None without any.
    """

    name: str
    segment: int
    t0: float
    t: np.ndarray
    driving: Driving | None


@dataclass(frozen=True, kw_only=True)
class NewRun:
    """How a new run would be measured, and between what its start lies.

    Attributes:
        t: (samples,) from the start on.
        low, high: (d,) bounds of the start; equal where it is given.
        driving: the inputs and covariates of the first trajectory; None without any.
    """

    t: np.ndarray
    low: np.ndarray
    high: np.ndarray
    driving: Driving | None

    @property
    def open(self) -> np.ndarray:
        """(d,) which initial values are to be chosen."""
        return self.high > self.low

    def starts(self, seed: int, n_laws: int) -> np.ndarray:
        """(starts, d) evenly spread by a scrambled Sobol sequence; fewer where many laws take long.

        Source: Owen, J. Complexity 14 (1998) 466; through SciPy.
        """
        grid = self.t if self.driving is None else self.driving.grid(self.t)
        count = int(np.clip(2 ** int(np.log2(MOST_POINTS / (len(grid) * n_laws))), LEAST_STARTS, STARTS))
        found = self._between(_sobol(int(self.open.sum()), count, seed))
        wide = self.open & (self.low > 0) & (self.high > WIDE * self.low)
        if wide.any():
            half, width = found[count // 2 :], np.where(self.open, self.high - self.low, 1.0)
            share = (half - self.low) / width
            low, high = np.where(wide, self.low, 1.0), np.where(wide, self.high, 1.0)
            half[:] = np.where(wide, low * (high / low) ** share, half)
        return found

    def around(self, start: np.ndarray, reach: float, seed: int) -> np.ndarray:
        """(starts, d) within a share of the bounds about one start."""
        moves = (2.0 * _sobol(int(self.open.sum()), AROUND, seed) - 1.0) * reach
        found = np.repeat(start[None], len(moves), 0)
        found[:, self.open] += moves * (self.high - self.low)[self.open]
        return np.clip(found, self.low, self.high)

    def _between(self, shares: np.ndarray) -> np.ndarray:
        found = np.repeat(self.low[None], len(shares), 0)
        found[:, self.open] += shares * (self.high - self.low)[self.open]
        return found


def _sobol(d: int, count: int, seed: int) -> np.ndarray:
    """(count, d); one row where there is nothing to choose."""
    from scipy.stats import qmc

    return qmc.Sobol(d, seed=seed).random(count) if d else np.zeros((1, 0))


# ------------------------------------------------------------------ what is running
def running(law: Discovery, until: float | None) -> tuple[list[Running], list[str]]:
    """When each trajectory could be measured once more: between its samples, and ahead of them.

    Args:
        law: what was discovered, with a footing.
        until: the last time; if None as long again as the record, or the end of known inputs.

    Returns:
        The trajectories, and notes in words.

    Raises:
        DataError: `until` is before a trajectory begins.
    """
    data, lo = law.footing.data, law.footing.data.segments[0]
    ends = np.cumsum([len(run.t) for run in law.data.trajectories])
    places = range(len(ends))
    notes, found = [], []
    if len(ends) > MOST_TRAJECTORIES:
        places = np.unique(np.linspace(0, len(ends) - 1, MOST_TRAJECTORIES).round().astype(int))
        notes.append(f"{MOST_TRAJECTORIES} of {len(ends)} trajectories were looked at, evenly chosen.")
    for place in places:
        run = law.data.trajectories[place]
        driving = driving_along(law.model, law.data, law.heldout, run)
        times = _times(law, run, until, driving)
        of_run = [k for k in range(len(lo)) if ends[place] - len(run.t) <= lo[k] < ends[place]]
        for k, after in zip(of_run, [*(data.t[lo[j]] for j in of_run[1:]), math.inf], strict=True):
            t = times[(times > data.t[lo[k]]) & (times < after)]
            if len(t):
                found.append(Running(name=run.name, segment=k, t0=float(data.t[lo[k]]), t=t, driving=driving))
    if law.model.inputs:
        notes.append("Inputs drive this model: experiments are along the known inputs only.")
    return found, notes


def _times(law: Discovery, run, until: float | None, driving: Driving | None) -> np.ndarray:
    """Halfway between samples, then ahead by the samples' spacing."""
    first, last = float(run.t[0]), float(run.t[-1])
    if until is not None and not (math.isfinite(until) and until > first):
        raise DataError(f"until = {until:g} must be after {first:g}, where trajectory {run.name!r} begins.")
    between = 0.5 * (run.t[1:] + run.t[:-1])
    end = last + (last - first) if until is None else until
    if driving is not None and driving.varying:
        end = min(end, float(driving.t[-1]))
    spacing = float(np.median(np.diff(run.t))) if len(run.t) > 1 else 1.0
    count = int((end - last) / spacing + 1e-9)
    ahead = last + spacing * np.arange(1, count + 1)
    return np.concatenate([_thinned(between[between <= end]), _thinned(ahead)])


def _thinned(t: np.ndarray) -> np.ndarray:
    """At most so many of the times, the last one among them."""
    return t if len(t) <= MOST_TIMES else t[np.linspace(0, len(t) - 1, MOST_TIMES).round().astype(int)]


# ------------------------------------------------------------------ new runs
def new_run(
    law: Discovery, initial: Mapping[str, object], samples: int | None = None, every: float | None = None
) -> tuple[NewRun | None, list[str]]:
    """How a new run would be measured; None where no initial values are named.

    Args:
        law: what was discovered, with a footing.
        initial: state -> (low, high), or one number; states that are not named start as the first trajectory did.
        samples: of the run, its start included; those of the median trajectory if None, at most `MOST_SAMPLES`.
        every: time between two samples; the median of the data's if None.

    Returns:
        It, and notes in words.

    Raises:
        DataError: a state is unknown, bounds are not usable, or the times are not.
    """
    if not initial:
        return None, []
    states, run, notes = list(law.model.states), law.data.trajectories[0], []
    low = np.array(list(law.initial[run.name].values()), dtype=float)
    high = low.copy()
    for state, bounds in initial.items():
        if state not in states:
            raise DataError(f"there is no state {state!r} to start from. {did_you_mean(state, states)}")
        k = states.index(state)
        low[k], high[k] = _bounds(state, bounds, positive=state in law.model.positive)
    left = [f"{s} = {low[k]:.4g}" for k, s in enumerate(states) if s not in initial]
    if left:
        notes.append(f"New runs start with {', '.join(left)}, as trajectory {run.name!r} did.")
    lengths = [len(r.t) for r in law.data.trajectories]
    spacing = np.concatenate([np.diff(r.t) for r in law.data.trajectories])
    count = min(int(np.median(lengths)), MOST_SAMPLES) if samples is None else samples
    step = (float(np.median(spacing)) if len(spacing) else 1.0) if every is None else every
    if every is None and count < np.median(lengths) and samples is None:
        step *= (np.median(lengths) - 1) / max(count - 1, 1)
    if not (2 <= count <= LARGEST_RUN and math.isfinite(step) and step > 0):
        raise DataError(
            f"a new run of {count} samples every {step:g} cannot be planned. Ask for 2 to {LARGEST_RUN} samples with "
            "a positive time between them."
        )
    driving = driving_along(law.model, law.data, law.heldout, run)
    t = float(run.t[0]) + step * np.arange(count)
    if driving is not None and driving.varying:
        t = t[t <= driving.t[-1]]
        notes.append(f"New runs are driven as trajectory {run.name!r} was.")
    return NewRun(t=t, low=low, high=high, driving=driving), notes


def parsed_starts(texts: Iterable[str]) -> dict[str, tuple[float, float]]:
    """State -> (low, high) from texts such as `hare=1:100` or `hare=30`.

    Raises:
        DataError: a text is something else, or a state is named twice.
    """
    found = {}
    for text in texts:
        state, equals, bounds = text.rpartition("=")
        low, colon, high = bounds.partition(":")
        try:
            ends = (float(low), float(high if colon else low))
        except ValueError:
            ends = None
        if not equals or not state.strip() or ends is None:
            raise DataError(f"{text!r} is no start. Write STATE=LOW:HIGH, such as hare=1:100, or STATE=NUMBER.")
        if state.strip() in found:
            raise DataError(f"the start of {state.strip()} is given twice. Leave one out.")
        found[state.strip()] = ends
    return found


def _bounds(state: str, bounds, *, positive: bool) -> tuple[float, float]:
    try:
        low, high = (float(b) for b in (bounds if isinstance(bounds, Sequence | np.ndarray) else (bounds, bounds)))
    except (TypeError, ValueError):
        raise DataError(
            f"initial[{state!r}] = {bounds!r} is no start. Give a number, or the lowest and the highest."
        ) from None
    if not (math.isfinite(low) and math.isfinite(high)):
        raise DataError(f"the start of {state} must lie between finite numbers, not {low:g} and {high:g}.")
    if low > high:
        raise DataError(f"the start of {state} has its lowest value {low:g} above the highest {high:g}. Swap them.")
    if positive and low < 0:
        raise DataError(f"{state} never goes below zero, but its start may be {low:g}. Raise the lowest value.")
    return low, high


def measured_columns(law: Discovery, columns: Sequence[str] | None) -> tuple[str, ...]:
    """The columns that may be measured: those named, or all of the data.

    Raises:
        DataError: a column was not measured so far, so that its noise is not known.
    """
    for column in columns or ():
        if column not in law.data.columns:
            what = f"there is no measured column {column!r}, or its noise is not known"
            raise DataError(f"{what}. {did_you_mean(column, law.data.columns)}")
    return tuple(dict.fromkeys(columns)) if columns else tuple(law.data.columns)
