"""What a law, a fitted hybrid or a model does where one of its numbers is another.

put all other numbers in place -> simulate from the starts along the varied one -> find equilibria from there and from
scattered starts, follow each through its folds -> refine where stability changes -> bisect where an end jumps
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from udesys.assess.bifurcation.ends import Simulator
from udesys.assess.bifurcation.equilibria import Tracing
from udesys.assess.bifurcation.question import Known, Question, beyond_data, question
from udesys.assess.bifurcation.result import Bifurcation
from udesys.assess.bifurcation.sweeps import Sweeping
from udesys.assess.bifurcation.varied import MODEL
from udesys.progress import Portion

if TYPE_CHECKING:
    from udesys.assess.discovery import Discovery
    from udesys.fit import FitResult
    from udesys.model import HybridODE

MOST_VISITED = 24  # states of the data from which equilibria are looked for
NOT = (math.nan, math.nan)


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
    questions = [question(each, vary, low, high, **options) for each in of]
    return [_answer(question, progress) for question in questions]


def _answer(asked: Question, progress: Callable | None) -> Bifurcation:
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
        notes=(*beyond_data(side.name, low, high, trained), *asked.notes, *tracing.notes, *sweeping.notes),
    )


def _seen(known: Known, begun: list[dict[str, float]]) -> np.ndarray:
    """(n, d) states of the data and starts, from which equilibria are looked for."""
    x = known.states[np.isfinite(known.states).all(1)]
    chosen = x[np.unique(np.linspace(0, len(x) - 1, MOST_VISITED).round().astype(int))] if len(x) else x
    given = np.array([[start[s] for s in known.model.states] for start in begun]).reshape(-1, len(known.model.states))
    return np.concatenate([chosen, given])


def _trained(known: Known, vary: str, value: float) -> tuple[tuple[float, float], tuple[float, float]]:
    """Range of the varied number in the data, and its 95 % interval where it was estimated."""
    if known.data is None:
        return NOT, NOT
    if vary in known.visited:
        return tuple(map(float, known.visited[vary])), NOT
    return (value, value), tuple(map(float, known.intervals.get(vary, NOT)))


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
