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
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import numpy as np

    from udesys.assess.suggest.designs import Design
    from udesys.data import Dataset
    from udesys.discover import Discovery

TITLE = "one suggested experiment beside a random one: does it settle which law of growth is right?"
EXAMPLE = "udesys bench next-experiment --seeds 10"
FINAL, RATE = 5.0, 0.3  # final volume [cm^3], and Gompertz's b [1/day]
FIRST, DAYS, SAMPLES = 0.4, 10.0, 12  # start as a share of the final volume, and how it is followed
ERROR = 0.01  # of the final volume
LOWEST, HIGHEST = 0.02, 1.0  # shares of the final volume at which a new tumour may be started
MAX_TERMS = 4  # of a law that is sought, as a search has it by itself
MOST_SEEDS = 5  # times as many as asked for are looked at
AIM, RANDOM_AIM = 0.8, 0.4  # shares that are settled


@dataclass(frozen=True, kw_only=True)
class Run:
    """One seed.

    Attributes:
        seed: of the noise and of the random start.
        before: formulas within reach before the experiment.
        suggested, random: where the new tumour was started [cm^3], or when the first was measured once more [day].
        chance: of settling it, as the suggestion told.
        settled, settled_at_random: for Gompertz's law; see above.
        alone, alone_at_random: settled, and no wrong law at all within reach.
        after, after_at_random: formulas within reach afterwards, the pick first.
    """

    seed: int
    before: list[str]
    suggested: float
    random: float
    chance: float
    settled: bool
    settled_at_random: bool
    alone: bool
    alone_at_random: bool
    after: list[str]
    after_at_random: list[str]


def run(
    seeds: Annotated[int, typer.Option(min=1, help="Cases in which a wrong law is within reach.")] = 10,
    first: Annotated[int, typer.Option(min=0, help="The first seed looked at.")] = 0,
    max_terms: Annotated[int, typer.Option(min=1, max=5, help="Most terms of a law.")] = MAX_TERMS,
    json: Annotated[bool, typer.Option("--json", help="Print every run as JSON instead of the table.")] = False,
) -> None:
    """Discover, ask for an experiment, make it and discover again; beside it the same experiment at a random place."""
    runs, looked_at = study(seeds, first, max_terms)
    if json:
        import json as writer

        typer.echo(writer.dumps({"looked_at": looked_at, "runs": [asdict(r) for r in runs]}, indent=1))
    else:
        typer.echo(table(runs, looked_at))


def study(seeds: int, first: int = 0, max_terms: int = MAX_TERMS) -> tuple[list[Run], int]:
    """The first seeds in which the true law and a wrong one are within reach, and how many were looked at.

    Args:
        seeds: how many of them.
        first: where to begin.
        max_terms: of a sum.
    """
    runs, looked_at = [], 0
    while len(runs) < seeds and looked_at < MOST_SEEDS * seeds:
        found = one_seed(first + looked_at, max_terms)
        looked_at += 1
        if found is not None:
            runs.append(found)
            typer.echo(f"\r{len(runs)} of {seeds} seeds", nl=False, err=True)
    typer.echo("\r" + " " * 30 + "\r", nl=False, err=True)
    return runs, looked_at


def one_seed(seed: int, max_terms: int = MAX_TERMS) -> Run | None:
    """Both experiments of one seed; None where the true law and a wrong one are not both within reach.

    Args:
        seed: of the noise and of the random start.
        max_terms: of a sum.
    """
    import numpy as np

    data = _measured_first(seed)
    law = _discovered(data, seed, max_terms)
    before = _within_reach(law)
    right = [_contains_truth(text) for text in before]
    if all(right) or not any(right):
        return None
    best = law.suggest({"V": (LOWEST * FINAL, HIGHEST * FINAL)}, most=5, seed=seed)[0]
    rng = np.random.default_rng([seed, 2])
    elsewhere = _anywhere(best.design, rng)
    designs = (best.design, elsewhere)
    after = [_within_reach(_discovered(_with(data, design, seed), seed, max_terms)) for design in designs]
    return Run(
        seed=seed,
        before=before,
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


# ------------------------------------------------------------------ text
def table(runs: Sequence[Run], looked_at: int) -> str:
    """A line for each seed, then how many were settled.

    Args:
        runs: one for each seed that counts.
        looked_at: seeds.
    """
    head = f"Gompertz's law beside others of growth, {len(runs)} seeds of {looked_at} with a wrong one within reach"
    lines = [head, "seed   within reach   suggested start   told   settled   random start   settled"]
    for r in runs:
        answers = ["yes" if done else "no" for done in (r.settled, r.settled_at_random)]
        lines.append(
            f"{r.seed:>4}   {len(r.before):>12}   {r.suggested:>15.3g}   {100 * r.chance:>3.0f} %   {answers[0]:<7}   "
            f"{r.random:>12.3g}   {answers[1]:<7}".rstrip()
        )
    n = len(runs)
    done, at_random = sum(r.settled for r in runs), sum(r.settled_at_random for r in runs)
    alone, alone_at_random = sum(r.alone for r in runs), sum(r.alone_at_random for r in runs)
    lines += [
        f"settled by the suggested experiment {done} of {n}; aim: at least {100 * AIM:.0f} %",
        f"settled at a random place {at_random} of {n}; aim: at most {100 * RANDOM_AIM:.0f} %",
        f"no wrong law left at all: {alone} of {n}, at a random place {alone_at_random} of {n}",
        "aims reached" if done >= AIM * n and at_random <= RANDOM_AIM * n else "aims not reached",
    ]
    return "\n".join(lines)
