"""What a law, a fitted hybrid or a model does where one of its numbers is another.

put all other numbers in place -> simulate from the starts along the varied one -> find equilibria from there and from
scattered starts, follow each through its folds -> refine where stability changes -> bisect where an end jumps
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from udesys.assess.bifurcation.ends import Region, Simulator
from udesys.assess.bifurcation.equilibria import Tracing
from udesys.assess.bifurcation.result import Bifurcation
from udesys.assess.bifurcation.sweeps import Sweeping
from udesys.assess.bifurcation.varied import (
    MODEL,
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
from udesys.progress import Portion

RECORDS = 50.0  # times as long as the longest record a simulation is
BY_ITSELF = 1000.0  # length of a simulation where there is no record
MOST_STARTS = 3  # of the training data
MOST_VISITED = 24  # states of it from which equilibria are looked for
LEAST_POINTS, MOST_POINTS = 5, 2001
NOT = (math.nan, math.nan)


@dataclass(frozen=True, kw_only=True)
class _Known:
    """What is known of the thing that is asked about."""

    numbers: Numbers
    model: HybridODE
    data: Dataset | None
    initial: Mapping[str, Mapping[str, float]]
    visited: Mapping[str, tuple[float, float]]
    states: np.ndarray
    intervals: Mapping[str, tuple[float, float]]


def bifurcation(
    of: Discovery | FitResult | HybridODE,
    vary: str,
    low: float,
    high: float,
    *,
    starts: Sequence[Mapping[str, float]] | None = None,
    until: float | None = None,
    at: Mapping[str, float] | None = None,
    visited: Mapping[str, tuple[float, float]] | None = None,
    points: int = 61,
    seed: int = 0,
    progress: Callable | None = None,
) -> Bifurcation:
    """What a law does where one of its numbers is another: equilibria, their stability, cycles, and where they end.

    Equilibria are followed by pseudo-arclength continuation with exact derivatives, and the points where their
    stability changes are solved for. Cycles and collapses are simulated: from every start up and down the values, each
    simulation from where the one before ended, and afresh at every value; where what a start leads to jumps, the value
    is bisected. An end is another one where a state is at zero or has left that is not there in the other, or where an
    extreme of a state in the last part of the simulation moves by a jump of more than 5 % of what was visited.

    Args:
        of: a law, a fitted hybrid, or a model without networks whose parameters have values.
        vary: a covariate, an input (held), a parameter, or a constant of a formula as it is printed (`NN1.c0`).
        low, high: between which values.
        starts: state -> value, of every state; the first values of the training data if None.
        until: length of a simulation [the data's time unit]; fifty times the longest record if None.
        at: name -> value of what else is set; inputs and covariates are held at their mean otherwise.
        visited: state -> (lowest, highest) of the region that matters; that of the data if None.
        points: values at which it is simulated.
        seed: of the scattered starts.
        progress: called as progress("bifurcation", step, text).

    Returns:
        A Bifurcation, which prints itself.

    Raises:
        ModelError: a name is unknown or a state, a value or start is not usable, or the right sides depend on time.

    Source: Kuznetsov, Elements of Applied Bifurcation Theory (2004), ch. 10; Doedel, Keller & Kernevez, Int. J.
    Bifurcation and Chaos 1 (1991) 493.
    """
    asked = {"starts": starts, "until": until, "at": at, "visited": visited, "points": points, "seed": seed}
    return bifurcations([of], vary, low, high, **asked, progress=progress)[0]


def bifurcations(of: Sequence, vary: str, low: float, high: float, **options) -> list[Bifurcation]:
    """The same of several, such as a law and its hybrid; what one of them refuses is refused before any work.

    Args:
        of: as of `bifurcation`, each.
        vary: what is varied.
        low, high: between which values.
        **options: as of `bifurcation`.

    Raises:
        ModelError: as of `bifurcation`.
    """
    progress = options.pop("progress", None)
    questions = [_question(each, vary, low, high, **options) for each in of]
    return [_answer(question, progress) for question in questions]


@dataclass(frozen=True, kw_only=True)
class _Question:
    """What is asked, checked."""

    known: _Known
    side: Varied
    region: Region
    visited: dict[str, tuple[float, float]]
    values: np.ndarray
    starts: list[dict[str, float]]
    until: float
    seed: int
    notes: list[str]


def _question(
    of, vary: str, low: float, high: float, *, starts=None, until=None, at=None, visited=None, points=61, seed=0
):
    known = _known(of)
    if known.model.grid is not None:
        raise ModelError("a law of fields on a grid has too many states to be followed. Ask one of a single place.")
    refuse_unknown(known.numbers, vary, "to vary")
    low, high = _range(vary, low, high)
    if not (isinstance(points, int) and LEAST_POINTS <= points <= MOST_POINTS):
        raise ModelError(f"points = {points!r} must be a whole number from {LEAST_POINTS} to {MOST_POINTS}.")
    region, ranges = _region(known, visited)
    begun, notes = _starts(known, starts)
    held, more = _held(known, vary, at or {})
    return _Question(
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


def _answer(asked: _Question, progress: Callable | None) -> Bifurcation:
    known, side, values = asked.known, asked.side, asked.values
    low, high = float(values[0]), float(values[-1])
    simulator = Simulator(side, asked.region, asked.until)
    sweeping = Sweeping(simulator, values, _told(progress, known.numbers.of, 3 * len(asked.starts) * len(values)))
    fresh = [sweeping.fresh(start) for start in asked.starts]
    carried = [sweeping.carried(start, up=up) for start in asked.starts for up in (True, False)]
    tracing = Tracing(side, asked.region, low, high, asked.seed)
    rests = [(e.at, float(v)) for s in (*fresh, *carried) for v, e in zip(s.value, s.ends, strict=True)]
    tracing.search(_seen(known, asked.starts), [(x, v) for x, v in rests if np.isfinite(x).all()])
    thresholds = [threshold for sweep in fresh for threshold in sweeping.thresholds(sweep)]
    trained, interval = _trained(known, side.name, side.value)
    return Bifurcation(
        of=known.numbers.of,
        source=known.data.source if known.data else MODEL,
        time=known.data.time if known.data else "t",
        name=side.name,
        kind=known.numbers.kinds[side.name],
        low=low,
        high=high,
        states=side.states,
        branches=tracing.branches(),
        points=tracing.points(),
        sweeps=(*carried, *fresh),
        thresholds=tuple(sorted(thresholds, key=lambda threshold: threshold.value)),
        trained=trained,
        interval=interval,
        visited=asked.visited,
        held=side.held,
        until=asked.until,
        seed=asked.seed,
        notes=(*_beyond(side.name, low, high, trained), *asked.notes, *tracing.notes, *sweeping.notes),
    )


# ------------------------------------------------------------------ what is asked about
def _known(of) -> _Known:
    if isinstance(of, Discovery):
        runs = [np.array([list(x0.values()) for x0 in of.initial.values()])]
        runs += [] if of.fit is None else list(of.fit.states)
        intervals = {name: e.interval for name, e in of.parameters.items()}
        for term, residual in of.residuals.items():
            intervals |= {f"{term}.{name}": e.interval for name, e in residual.constants.items()}
        return _Known(
            numbers=numbers_of_form(of.closed_form), model=of.model, data=of.data, initial=of.initial,
            visited=of.visited, states=np.concatenate(runs), intervals=intervals,
        )  # fmt: skip
    if isinstance(of, FitResult):
        states = np.concatenate(of.states)
        visited = {s: (float(x.min()), float(x.max())) for s, x in zip(of.model.states, states.T, strict=True)}
        return _Known(
            numbers=numbers_of_fit(of), model=of.model, data=of.data, initial=of.initial,
            visited=visited | _visited_values(of.model, of.data), states=states, intervals={},
        )  # fmt: skip
    if isinstance(of, HybridODE):
        return _Known(
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


def _until(known: _Known, until: float | None) -> float:
    if until is None:
        longest = (
            max((float(run.t[-1] - run.t[0]) for run in known.data.trajectories), default=0.0) if known.data else 0.0
        )
        return RECORDS * longest if longest > 0 else BY_ITSELF
    if not (isinstance(until, int | float) and math.isfinite(until) and until > 0):
        raise ModelError(f"until = {until!r} must be a positive time: how long a simulation is.")
    return float(until)


def _region(known: _Known, visited) -> tuple[Region, dict[str, tuple[float, float]]]:
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


def _starts(known: _Known, starts) -> tuple[list[dict[str, float]], list[str]]:
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
            f"{len(chosen)} of the {len(whole)} starts of the data were simulated from; give others by name."
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
    for name in start:
        if name not in states:
            raise ModelError(f"the start names {name!r}, which is no state. {did_you_mean(name, states)}")
    missing = [state for state in states if state not in start]
    if missing:
        raise ModelError(f"the start lacks {', '.join(missing)}. Give a value for every state: {', '.join(states)}.")
    values = {state: float(start[state]) for state in states}
    for state, value in values.items():
        if not math.isfinite(value):
            raise ModelError(f"the start {state} = {value:g} is no finite number.")
    return values


def _held(known: _Known, vary: str, at: Mapping[str, float]) -> tuple[dict[str, float], list[str]]:
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
    return held, [f"{told} differs along the data and is held at its mean; set it by name for another value."]


def _seen(known: _Known, begun: list[dict[str, float]]) -> np.ndarray:
    """(n, d) states of the data and starts, from which equilibria are looked for."""
    x = known.states[np.isfinite(known.states).all(1)]
    chosen = x[np.unique(np.linspace(0, len(x) - 1, MOST_VISITED).round().astype(int))] if len(x) else x
    given = np.array([[start[s] for s in known.model.states] for start in begun]).reshape(-1, len(known.model.states))
    return np.concatenate([chosen, given])


def _trained(known: _Known, vary: str, value: float) -> tuple[tuple[float, float], tuple[float, float]]:
    """Range of the varied number in the data, and its 95 % interval where it was estimated."""
    if known.data is None:
        return NOT, NOT
    if vary in known.visited:
        return tuple(map(float, known.visited[vary])), NOT
    return (value, value), tuple(map(float, known.intervals.get(vary, NOT)))


def _beyond(vary: str, low: float, high: float, trained: tuple[float, float]) -> list[str]:
    """What lies beyond the data."""
    first, last = trained
    if not math.isfinite(first):
        return []
    if first == last:
        return [f"the data had {vary} = {first:.5g} alone, so that every other value is an extrapolation of the form."]
    sides = [f"below {first:.5g}"] * (low < first) + [f"above {last:.5g}"] * (high > last)
    return (
        [f"the data had {vary} from {first:.5g} to {last:.5g}: {' and '.join(sides)} all is extrapolation."]
        if sides
        else []
    )


def _told(progress: Callable | None, of: str, most: int) -> Callable[[], None]:
    """Tells of every tenth simulation."""
    if progress is None:
        return lambda: None
    done = 0

    def told() -> None:
        nonlocal done
        done += 1
        if done % 10 == 0:
            progress("bifurcation", done, Portion(f"the {of}, {done} simulations", done / max(1, most)))

    return told


def parsed_numbers(text: str) -> dict[str, float]:
    """Name -> number from a text such as `x=1, y=0.1`.

    Args:
        text: what was written.

    Raises:
        ModelError: it is something else, or names something twice.
    """
    found: dict[str, float] = {}
    for part in text.split(","):
        name, equals, number = (piece.strip() for piece in part.partition("="))
        try:
            value = float(number)
        except ValueError:
            equals = ""
        if not equals or not name:
            raise ModelError(f"{text!r} is not understood. Write NAME=NUMBER, several with commas, such as x=1, y=0.1.")
        if name in found:
            raise ModelError(f"{text!r} gives {name} twice. Leave one out.")
        found[name] = value
    return found
