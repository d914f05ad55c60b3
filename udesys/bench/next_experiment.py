"""Whether one suggested experiment settles which of two laws of growth is right, and how often a random one does.

A tumour is followed from two fifths of its final size on: 12 volumes with an error of 1 % of that size. It grows by
Gompertz's law, a V - b V ln V, but from there on the logistic law r V - c V^2 and others look the same. The answer is
in small tumours, whose growth nobody followed. A new tumour may be started at any volume from 2 % of the final size to
all of it, and is followed like the first. By noise-free refits (SciPy) a start below about a fifth of the final size
tells Gompertz's law from each of the others by six and more, so that a start drawn at random does in some 18 % of
the cases. The case was chosen by these, before any seed was run.

Of each seed a law is discovered among sums of 1, V, V^2, ln V and V ln V. Seeds count in which Gompertz's law and a
wrong one are within reach of each other. The experiment is settled for the right law where, after a discovery anew from
both runs, the pick is Gompertz's and every other law within reach contains it (with terms that the data put near zero).

Source: Vaghi et al., PLoS Comput. Biol. 16 (2020) e1007178 (the laws, on measured tumours).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated

import typer

from udesys.bench._parallel import attempt
from udesys.bench._study import Jobs, Json, Keep, Part, Study, carry_out, markdown

if TYPE_CHECKING:
    import numpy as np

    from udesys.assess.suggest.designs import Design
    from udesys.data import Dataset
    from udesys.discover import Discovery

TITLE = "one suggested experiment beside a random one: does it settle which law of growth is right?"
EXAMPLE = "udesys bench next-experiment --seeds 20"
FINAL, RATE = 5.0, 0.3  # final volume [cm^3], and Gompertz's b [1/day]
FIRST, DAYS, SAMPLES = 0.4, 10.0, 12  # start as a share of the final volume, and how it is followed
ERROR = 0.01  # of the final volume
LOWEST, HIGHEST = 0.02, 1.0  # shares of the final volume at which a new tumour may be started
MAX_TERMS = 4  # of a law that is sought, as a search has it by itself
AIM, RANDOM_AIM = 0.8, 0.4  # shares that are settled
RANDOM = "a random experiment"
HEADLINES = ("settled, %", "no wrong law left at all, %")
LESS_IS_BETTER = ()


@dataclass(frozen=True, kw_only=True)
class Run:
    """One seed.

    Attributes:
        seed: of the noise and of the random start.
        before: formulas within reach before the experiment.
        counts: Gompertz's law and a wrong one are among them; nothing was suggested where not.
        suggested, random: where the new tumour was started [cm^3], or when the first was measured once more [day].
        chance: of settling it, as the suggestion told.
        settled, settled_at_random: for Gompertz's law; see above.
        alone, alone_at_random: settled, and no wrong law at all within reach.
        after, after_at_random: formulas within reach afterwards, the pick first.
        failure: what stopped the seed; empty where nothing did.
    """

    seed: int
    before: list[str] = field(default_factory=list)
    counts: bool = False
    suggested: float | None = None
    random: float | None = None
    chance: float | None = None
    settled: bool = False
    settled_at_random: bool = False
    alone: bool = False
    alone_at_random: bool = False
    after: list[str] = field(default_factory=list)
    after_at_random: list[str] = field(default_factory=list)
    failure: str = ""


def run(
    seeds: Annotated[int, typer.Option(min=1, help="Seeds looked at; about half have a wrong law within reach.")] = 20,
    first: Annotated[int, typer.Option(min=0, help="The first seed looked at.")] = 0,
    max_terms: Annotated[int, typer.Option(min=1, max=5, help="Most terms of a law.")] = MAX_TERMS,
    part: Part = "1/1",
    jobs: Jobs = 1,
    keep: Keep = None,
    json: Json = False,
) -> None:
    """Discover, ask for an experiment, make it and discover again; beside it the same experiment at a random place."""
    tasks = [(first + k, max_terms) for k in range(seeds)]
    runs, seconds = carry_out(one_seed, tasks, _warm_up, part=part, jobs=jobs, keep=keep)
    Study(
        bench="next-experiment",
        summary=summary(runs),
        rows=runs,
        published={},
        rivals={RANDOM: at_random(runs)},
        seconds=seconds,
        tables=table(runs),
    ).show(json)


def _warm_up() -> None:
    """Imports and compilation, so that no run pays for them."""
    import torch

    torch.set_num_threads(1)
    _within_reach(_discovered(_measured_first(0), 0, 1))


def one_seed(seed: int, max_terms: int = MAX_TERMS) -> Run:
    """Both experiments of one seed, where it counts; what fails is written down, not raised.

    Args:
        seed: of the noise and of the random start.
        max_terms: of a sum.
    """
    found, failure = attempt(lambda: _one_seed(seed, max_terms))
    return Run(seed=seed, failure=failure) if failure else found


def _one_seed(seed: int, max_terms: int) -> Run:
    import numpy as np

    data = _measured_first(seed)
    law = _discovered(data, seed, max_terms)
    before = _within_reach(law)
    right = [_contains_truth(text) for text in before]
    if all(right) or not any(right):
        return Run(seed=seed, before=before)
    best = law.suggest({"V": (LOWEST * FINAL, HIGHEST * FINAL)}, most=5, seed=seed)[0]
    rng = np.random.default_rng([seed, 2])
    elsewhere = _anywhere(best.design, rng)
    designs = (best.design, elsewhere)
    after = [_within_reach(_discovered(_with(data, design, seed), seed, max_terms)) for design in designs]
    return Run(
        seed=seed,
        before=before,
        counts=True,
        suggested=_place(best.design),
        random=_place(elsewhere),
        chance=best.settles,
        settled=settled(after[0], before),
        settled_at_random=settled(after[1], before),
        alone=settled(after[0]),
        alone_at_random=settled(after[1]),
        after=after[0],
        after_at_random=after[1],
    )


def settled(after: Sequence[str], before: Sequence[str] | None = None) -> bool:
    """Whether the pick is Gompertz's law, and wrong laws are out of reach.

    Args:
        after: formulas within reach, the pick first.
        before: those that were so before the experiment, which are to be out of reach; all there are if None.
    """
    wrong = [text for text in after if not _contains_truth(text)]
    return _is_truth(after[0]) and not (wrong if before is None else set(wrong) & set(before))


# ------------------------------------------------------------------ the experiments
def exact(start: float, t: np.ndarray) -> np.ndarray:
    """(time,) volumes by Gompertz's law from a start at t = 0 [cm^3].

    Args:
        start: [cm^3].
        t: (time,) [day].
    """
    import numpy as np

    return FINAL * np.exp(math.log(start / FINAL) * np.exp(-RATE * t))


def _measured_first(seed: int) -> Dataset:
    import numpy as np

    from udesys.data import Dataset, Trajectory

    t = np.linspace(0.0, DAYS, SAMPLES)
    y = exact(FIRST * FINAL, t) + ERROR * FINAL * np.random.default_rng([seed, 0]).standard_normal(SAMPLES)
    return Dataset(columns=("V",), trajectories=(Trajectory(name="first", t=t, y=y[:, None]),), time="day", source="V")


def _with(data: Dataset, design: Design, seed: int) -> Dataset:
    """The measurements with an experiment, made by the true law with the noise of its seed."""
    import numpy as np

    from udesys.data import Trajectory

    t = np.array(design.t)
    noise = ERROR * FINAL * np.random.default_rng([seed, 1]).standard_normal(len(t))
    if design.trajectory is None:
        y = exact(design.start["V"], t - t[0]) + noise
        return replace(data, trajectories=(*data.trajectories, Trajectory(name="second", t=t, y=y[:, None])))
    run = data.trajectories[0]
    t = np.append(run.t, t)
    y = np.append(run.y[:, 0], exact(FIRST * FINAL, np.array(design.t)) + noise)
    order = np.argsort(t)
    return replace(data, trajectories=(replace(run, t=t[order], y=y[order, None]),))


def _anywhere(design: Design, rng: np.random.Generator) -> Design:
    """The same experiment at a random place: a start between the bounds, or a time until twice the record's end."""
    if design.trajectory is None:
        return replace(design, start={"V": float(rng.uniform(LOWEST, HIGHEST)) * FINAL})
    return replace(design, t=(float(rng.uniform(0.0, 2.0 * DAYS)),))


def _place(design: Design) -> float:
    return design.start["V"] if design.trajectory is None else design.t[0]


# ------------------------------------------------------------------ the laws
def _discovered(data: Dataset, seed: int, max_terms: int) -> Discovery:
    from udesys.discover import discover
    from udesys.model import HybridODE
    from udesys.search import SearchOptions
    from udesys.search.library import Library

    library = Library(degree=2, functions=["log"], templates=[])
    options = SearchOptions(engines=["sparse"], library=library, max_terms=max_terms)
    return discover(HybridODE("V' = NN(V)"), data, seed=seed, options=options)


def _within_reach(law: Discovery) -> list[str]:
    from udesys.select import RIVAL

    return [c.residuals["NN"] for c in law.candidates if c.delta < RIVAL and not c.diverged]


def _truth():
    import numpy as np

    from udesys.bench._same_form import true_term
    from udesys.model.grammar import parse_expression

    constants = {"a": RATE * math.log(FINAL), "b": RATE}
    visited = np.linspace(LOWEST, HIGHEST, 100)[:, None] * FINAL
    return true_term(parse_expression("a*V - b*V*log(V)"), constants, ("V",), visited)


def _formula(text: str):
    from udesys.model import tree as T
    from udesys.model.closed_form import Formula
    from udesys.model.grammar import parse_expression

    tree = parse_expression(text)
    return Formula(tree, dict.fromkeys(sorted(T.symbols(tree) - {"V"}), 1.0))


def _is_truth(text: str) -> bool:
    return _truth().has_form(_formula(text))


def _contains_truth(text: str) -> bool:
    return _truth().contains(_formula(text))


# ------------------------------------------------------------------ figures
def summary(runs: Sequence[Run]) -> dict[str, float]:
    """How many seeds count, and the share of them that the suggested experiment settles.

    Args:
        runs: one for each seed.
    """
    counted = [r for r in runs if r.counts]
    return {
        "seeds": len(runs),
        "seeds with a wrong law within reach": len(counted),
        **_shares([(r.settled, r.alone) for r in counted]),
    }


def at_random(runs: Sequence[Run]) -> dict[str, float]:
    """The same shares of the experiments at a random place.

    Args:
        runs: one for each seed.
    """
    return _shares([(r.settled_at_random, r.alone_at_random) for r in runs if r.counts])


def _shares(answers: Sequence[tuple[bool, bool]]) -> dict[str, float]:
    names = ("settled, %", "no wrong law left at all, %")
    return {n: 100 * sum(a[k] for a in answers) / len(answers) for k, n in enumerate(names)} if answers else {}


# ------------------------------------------------------------------ text
def table(runs: Sequence[Run]) -> str:
    """The seeds that count as Markdown, then how many were settled.

    Args:
        runs: one for each seed.
    """
    counted, n = [r for r in runs if r.counts], sum(r.counts for r in runs)
    head = ["seed", "within reach", "suggested start", "told", "settled", "random start", "settled there"]
    rows = [
        [r.seed, len(r.before), f"{r.suggested:.3g}", f"{100 * r.chance:.0f} %", _word(r.settled), f"{r.random:.3g}"]
        + [_word(r.settled_at_random)]
        for r in counted
    ]
    done, there = sum(r.settled for r in counted), sum(r.settled_at_random for r in counted)
    alone, alone_there = sum(r.alone for r in counted), sum(r.alone_at_random for r in counted)
    reached = n and done >= AIM * n and there <= RANDOM_AIM * n
    return "\n\n".join(
        [
            f"Gompertz's law beside others of growth, {n} of {len(runs)} seeds with a wrong one within reach",
            *([markdown(head, rows)] if rows else []),
            f"Settled by the suggested experiment: {done} of {n}; aim: at least {100 * AIM:.0f} %.",
            f"Settled at a random place: {there} of {n}; aim: at most {100 * RANDOM_AIM:.0f} %.",
            f"No wrong law left at all: {alone} of {n}, at a random place {alone_there} of {n}.",
            *[f"Seed {r.seed}: {r.failure}" for r in runs if r.failure],
            "Aims reached." if reached else "Aims not reached.",
        ]
    )


def _word(done: bool) -> str:
    return "yes" if done else "no"
