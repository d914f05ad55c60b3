"""What is asked of a law, a fitted hybrid or a model about one of its numbers, checked before any work."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from udesys.assess.bifurcation.ends import Region
from udesys.assess.bifurcation.varied import (
    Numbers,
    Varied,
    numbers_of_fit,
    numbers_of_form,
    numbers_of_model,
    refuse_unknown,
)
from udesys.assess.discovery import Discovery
from udesys.data import Dataset
from udesys.errors import ModelError, did_you_mean
from udesys.fit import FitResult
from udesys.integrate.driving import sample_values
from udesys.model import HybridODE

RECORDS = 50.0  # times as long as the longest record a simulation is
BY_ITSELF = 1000.0  # length of a simulation where there is no record
MOST_STARTS = 3  # of the training data
LEAST_POINTS, MOST_POINTS = 5, 2001


@dataclass(frozen=True, kw_only=True)
class Known:
    """What is known of the thing that is asked about.

    Attributes:
        numbers: its right sides and their names.
        model: its equations.
        data: what it was fitted to; None for a model.
        initial: trajectory -> state -> first value.
        visited: state, input or covariate -> (lowest, highest).
        states: (n, d) where the data went.
        intervals: name -> 95 % interval, of what was estimated.
    """

    numbers: Numbers
    model: HybridODE
    data: Dataset | None
    initial: Mapping[str, Mapping[str, float]]
    visited: Mapping[str, tuple[float, float]]
    states: np.ndarray
    intervals: Mapping[str, tuple[float, float]]


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked, checked.

    Attributes:
        known: of what.
        side: the right side with one number varied.
        region: where the states were.
        visited: the same by name.
        values: (n,) of the varied number, at which it is simulated.
        starts: of simulations.
        until: their length [the data's time unit].
        seed: of the scattered starts.
        notes: what a reader should know of all this.
    """

    known: Known
    side: Varied
    region: Region
    visited: dict[str, tuple[float, float]]
    values: np.ndarray
    starts: list[dict[str, float]]
    until: float
    seed: int
    notes: list[str]


def question(
    of, vary: str, low: float, high: float, *, starts=None, until=None, at=None, visited=None, points=61, seed=0
):
    """What `udesys.bifurcation` is asked, with its arguments.

    Raises:
        ModelError: one of them is not usable.
    """
    if getattr(getattr(of, "model", of), "grid", None) is not None:
        raise ModelError("a law of fields on a grid has too many states to be followed. Ask one of a single place.")
    known = known_of(of)
    refuse_unknown(known.numbers, vary, "to vary")
    low, high = _range(vary, low, high)
    if not (isinstance(points, int) and LEAST_POINTS <= points <= MOST_POINTS):
        raise ModelError(f"points = {points!r} must be a whole number from {LEAST_POINTS} to {MOST_POINTS}.")
    region, ranges = _region(known, visited)
    begun, notes = _starts(known, starts)
    held, more = _held(known, vary, at or {})
    return Question(
        known=known,
        side=Varied(known.numbers, vary, {**held, **(at or {})}),
        region=region,
        visited=ranges,
        values=np.linspace(low, high, points),
        starts=begun,
        until=_until(known, until),
        seed=seed,
        notes=notes + more,
    )


# ------------------------------------------------------------------ what is asked about
def known_of(of) -> Known:
    """What is known of a law, a fit or a model.

    Raises:
        ModelError: it is none of these.
    """
    if isinstance(of, Discovery):
        runs = [np.array([list(x0.values()) for x0 in of.initial.values()])]
        runs += [] if of.fit is None else list(of.fit.states)
        intervals = {name: e.interval for name, e in of.parameters.items()}
        for term, residual in of.residuals.items():
            intervals |= {f"{term}.{name}": e.interval for name, e in residual.constants.items()}
        return Known(
            numbers=numbers_of_form(of.closed_form), model=of.model, data=of.data, initial=of.initial,
            visited=of.visited, states=np.concatenate(runs), intervals=intervals,
        )  # fmt: skip
    if isinstance(of, FitResult):
        states = np.concatenate(of.states)
        visited = {s: (float(x.min()), float(x.max())) for s, x in zip(of.model.states, states.T, strict=True)}
        return Known(
            numbers=numbers_of_fit(of), model=of.model, data=of.data, initial=of.initial,
            visited=visited | _visited_values(of.model, of.data), states=states, intervals={},
        )  # fmt: skip
    if isinstance(of, HybridODE):
        return Known(
            numbers=numbers_of_model(of), model=of, data=None, initial={}, visited={},
            states=np.empty((0, len(of.states))), intervals={},
        )  # fmt: skip
    raise ModelError(f"{of!r} is no law, no fit and no model.")


def _visited_values(model: HybridODE, data: Dataset) -> dict[str, tuple[float, float]]:
    """input or covariate -> (lowest, highest)."""
    if not model.exogenous:
        return {}
    values = np.concatenate([sample_values(data, run, model.exogenous) for run in data.trajectories])
    return {n: (float(v.min()), float(v.max())) for n, v in zip(model.exogenous, values.T, strict=True)}


def _range(vary: str, low: float, high: float) -> tuple[float, float]:
    try:
        low, high = float(low), float(high)
    except (TypeError, ValueError):
        raise ModelError(f"the ends {low!r} and {high!r} of {vary} must be numbers.") from None
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ModelError(f"{vary} must be varied between finite numbers, not from {low:g} to {high:g}.")
    if not low < high:
        raise ModelError(
            f"{vary} is to be varied from {low:g} to {high:g}, which is no range. Give the lower end first."
        )
    return low, high


def _until(known: Known, until: float | None) -> float:
    if until is None:
        longest = (
            max((float(run.t[-1] - run.t[0]) for run in known.data.trajectories), default=0.0) if known.data else 0.0
        )
        return RECORDS * longest if longest > 0 else BY_ITSELF
    if not (isinstance(until, int | float) and math.isfinite(until) and until > 0):
        raise ModelError(f"until = {until!r} must be a positive time: how long a simulation is.")
    return float(until)


def _region(known: Known, visited) -> tuple[Region, dict[str, tuple[float, float]]]:
    states, given = known.model.states, dict(known.visited)
    for name, ends in (visited or {}).items():
        if name not in states:
            raise ModelError(f"visited names {name!r}, which is no state. {did_you_mean(name, states)}")
        low, high = (float(end) for end in ends)
        if not (math.isfinite(low) and math.isfinite(high) and low <= high):
            raise ModelError(
                f"visited {name} = {low:g} to {high:g} is no range. Give the lowest and the highest value."
            )
        given[name] = (low, high)
    missing = [state for state in states if state not in given]
    if missing:
        raise ModelError(
            f"nothing says where {', '.join(missing)} may be. Give visited = {{{missing[0]!r}: (low, high)}}."
        )
    low, high = np.array([given[state] for state in states], float).T
    return Region(low=low, high=high, positive=np.array([s in known.model.positive for s in states])), given


def _starts(known: Known, starts) -> tuple[list[dict[str, float]], list[str]]:
    """Starts of simulations, and what is to be said of them."""
    states = known.model.states
    if starts is not None:
        return [checked_start(start, states) for start in starts], []
    whole = [dict(x0) for x0 in known.initial.values()]
    chosen = (
        [whole[k] for k in np.unique(np.linspace(0, len(whole) - 1, MOST_STARTS).round().astype(int))] if whole else []
    )
    if len(chosen) < len(whole):
        return chosen, [
            f"{len(chosen)} of the {len(whole)} starts of the data were used; give others with starts (--start)."
        ]
    return chosen, []


def checked_start(start: Mapping[str, float], states: Sequence[str]) -> dict[str, float]:
    """A start with every state, in order.

    Args:
        start: state -> value.
        states: of the model.

    Raises:
        ModelError: a state is unknown or missing, or a value is no finite number.
    """
    if not isinstance(start, Mapping):
        raise ModelError(f"the start {start!r} must name its states, as {{{states[0]!r}: 1.0}} does.")
    for name in start:
        if name not in states:
            raise ModelError(f"the start names {name!r}, which is no state. {did_you_mean(name, states)}")
    missing = [state for state in states if state not in start]
    if missing:
        raise ModelError(f"the start lacks {', '.join(missing)}. Give a value for every state: {', '.join(states)}.")
    values = {state: number_of(start[state]) for state in states}
    for state, value in values.items():
        if not math.isfinite(value):
            raise ModelError(f"the start {state} = {start[state]} is no finite number.")
    return values


def number_of(value) -> float:
    """A number; NaN where it is none.

    Args:
        value: what was given.
    """
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def _held(known: Known, vary: str, at: Mapping[str, float]) -> tuple[dict[str, float], list[str]]:
    """Inputs and covariates that nobody set, at their means; and what is to be said of those that differ."""
    for name, value in at.items():
        refuse_unknown(known.numbers, name, "to hold")
        if name == vary:
            raise ModelError(f"{name} is varied, and cannot be held at {value!r} as well.")
        if not math.isfinite(value):
            raise ModelError(f"{name} = {value:g} is no finite number to hold it at.")
    names = [n for n in known.model.exogenous if n != vary and n not in at]
    if not names or known.data is None:
        return {}, []
    values = np.concatenate([sample_values(known.data, run, names) for run in known.data.trajectories])
    held = dict(zip(names, values.mean(0).tolist(), strict=True))
    moved = [n for n, column in zip(names, values.T, strict=True) if np.ptp(column) > 0]
    if not moved:
        return held, []
    told = ", ".join(f"{n} = {held[n]:.5g}" for n in moved)
    return held, [
        f"{told} differs along the data and is held at its mean; set another value with at (--at NAME=NUMBER)."
    ]


def beyond_data(name: str, low: float, high: float, trained: tuple[float, float]) -> list[str]:
    """What of a range lies beyond the data, in words.

    Args:
        name: of the number.
        low, high: between which values it is asked about; the same where it is one.
        trained: (lowest, highest) in the data; NaN where nothing says any.
    """
    first, last = trained
    if not math.isfinite(first) or first <= low <= high <= last:
        return []
    if first == last:
        return [f"the data had {name} = {first:.5g} alone, so that every other value is an extrapolation of the form."]
    sides = [f"below {first:.5g}"] * (low < first) + [f"above {last:.5g}"] * (high > last)
    return [f"the data had {name} from {first:.5g} to {last:.5g}: {' and '.join(sides)} all is extrapolation."]
