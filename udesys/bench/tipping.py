"""Forecasts across a bifurcation: where a system changes its ways beyond the numbers that it was seen at.

Runs of each case differ by one number (`udesys systems tipping`). The hybrid with its networks and the law recovered
from it are asked alike, as by `udesys bifurcation`, for the value at which an equilibrium starts to swing (Hopf) and,
of predator and prey, the one from which both die out; and how far their missing term lies from the true one along the
true runs. Noise is 5 % of every value for predator and prey, 1 % of each state's mean for Lorenz and Roessler. Of
networks with 1, 2, 4 and 8 hidden units the one counts that the evidence prefers; the law comes from it too.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated

import typer

from udesys.bench._beside import WHOSE, cases_of, spread
from udesys.bench._parallel import attempt
from udesys.bench._study import Jobs, Json, Keep, Part, Study, carry_out, markdown
from udesys.errors import DataError, did_you_mean

TITLE = "where a system tips beyond the numbers it was seen at, from the hybrid and from its law"
EXAMPLE = "udesys bench tipping --case collapse --seeds 5"
SIZES = (1, 2, 4, 8)  # hidden units
HEADLINES = ("right, %", "*largest error*")
LESS_IS_BETTER = ("*largest error*",)
SWINGS, DIES = "Hopf", "collapse"


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is asked of a system.

    Attributes:
        system: its name.
        noise: as a share.
        vary: the number that runs differ by.
        between: the values of it between which is looked.
        truth: what is asked for -> true value.
        aim: largest error of these [%].
        start: from where a collapse is sought; empty where none is.
        until: length of a simulation.
        points: values at which is simulated.
    """

    system: str
    noise: float
    vary: str
    between: tuple[float, float]
    truth: Mapping[str, float]
    aim: float
    start: Mapping[str, float] = field(default_factory=dict)
    until: float | None = None
    points: int = 5


# The Hopf point solves trace = 0 at x = 1/3; the collapse is where SciPy's simulations from the start cease to return.
_FISH = {"noise": 0.05, "vary": "alpha", "between": (0.6, 0.8), "truth": {SWINGS: 0.671594, DIES: 0.685832}}
_FISH |= {"start": {"x": 1.0, "y": 0.1}, "until": 300.0, "points": 41}
CASES = {
    "collapse": Case(system="tipping:collapse", aim=1.0, **_FISH),
    "before-collapse": Case(system="tipping:before_collapse", aim=5.0, **_FISH),
    "lorenz": Case(
        system="tipping:lorenz",
        noise=0.01,
        vary="r",
        between=(10.0, 35.0),
        truth={f"{SWINGS}, x > 0": 470 / 19, f"{SWINGS}, x < 0": 470 / 19},  # sigma (sigma + b + 3)/(sigma - b - 1)
        aim=1.0,
    ),
    "roessler": Case(system="tipping:roessler", noise=0.01, vary="c", between=(4.6, 5.5), truth={}, aim=1.0),
}


@dataclass(frozen=True, kw_only=True)
class Run:
    """One set of runs, and what was forecast of it.

    Attributes:
        case: its name.
        seed: of the noise and the networks.
        truth: what is asked for -> true value.
        hybrid, law: the same as found; what was not found is missing.
        term: "hybrid" and "law" -> relative L2 error of the missing term along the true runs.
        right: the law's formula is the true one.
        formula: of the law.
        units: hidden ones of the network that the evidence prefers.
        seconds: of the fits and the search.
        asked: seconds of both analyses.
        failure: what stopped the run; empty where nothing did.
    """

    case: str
    seed: int
    truth: dict[str, float]
    hybrid: dict[str, float] = field(default_factory=dict)
    law: dict[str, float] = field(default_factory=dict)
    term: dict[str, float] = field(default_factory=dict)
    right: bool = False
    formula: str = ""
    units: int = 0
    seconds: float = math.nan
    asked: float = math.nan
    failure: str = ""

    def error(self, whose: str, what: str) -> float:
        """In %, infinite where it was not found."""
        found = getattr(self, whose).get(what, math.inf)
        return 100 * abs(found / self.truth[what] - 1)


def run(
    case: Annotated[list[str] | None, typer.Option(help="Only this case; may be repeated.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Sets of runs of each case.")] = 5,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the first; the others' follow it.")] = 0,
    units: Annotated[
        list[int] | None,
        typer.Option(min=1, help="Hidden units of the network, 1, 2, 4 and 8 otherwise; may be repeated."),
    ] = None,
    part: Part = "1/1",
    jobs: Jobs = 1,
    keep: Keep = None,
    json: Json = False,
) -> None:
    """Fit, recover the law, and ask both where the system tips beyond the numbers that it was seen at."""
    for name in case or ():
        if name not in CASES:
            raise DataError(f"there is no case {name!r}. {did_you_mean(name, CASES)}")
    sizes = ",".join(map(str, units or SIZES))
    tasks = [(name, seed + k, sizes) for name in case or CASES for k in range(seeds)]
    runs, seconds = carry_out(forecast_once, tasks, _warm_up, part=part, jobs=jobs, keep=keep)
    Study(
        bench="tipping",
        summary=summary(runs),
        rows=runs,
        published={},
        rivals={"its hybrid": largest(runs, "hybrid")},
        seconds=seconds,
        tables=table(runs),
    ).show(json)


def _warm_up() -> None:
    """Imports and compilation, so that no run pays for them."""
    import torch

    torch.set_num_threads(1)
    forecast_once("before-collapse", 1000)


# ------------------------------------------------------------------ one run
def forecast_once(case: str, seed: int, units: str = ",".join(map(str, SIZES))) -> Run:
    """One set of runs, its hybrid and its law, and where both tip; what goes wrong is written down, not raised.

    Args:
        case: its name.
        seed: of the noise and the networks.
        units: hidden ones that are tried, such as "1,2".
    """
    found, failure = attempt(lambda: _forecast(case, seed, [int(size) for size in units.split(",")]))
    return Run(case=case, seed=seed, truth=dict(CASES[case].truth), failure=failure) if failure else found


def _forecast(case: str, seed: int, sizes: Sequence[int]) -> Run:
    from udesys.bench._found import error_along, judge_terms, true_terms_of, visited_points
    from udesys.discover import recover
    from udesys.systems import get_system, make_data

    about = CASES[case]
    system = get_system(about.system)
    data = make_data(system, about.noise, seed)
    began = time.perf_counter()
    units, fitted = best_fit(system, data, seed, sizes)
    law = recover(fitted)
    seconds = time.perf_counter() - began
    found = {whose: tipping_points(of, about) for whose, of in zip(WHOSE, (fitted, law), strict=True)}
    asked = time.perf_counter() - began - seconds
    ((term, truth),) = (truths := true_terms_of(system)).items()
    judged = judge_terms(system, law, truths)
    seen = [truth.arguments.index(name) for name in fitted.terms[term].arguments]
    network, _ = fitted.term(term, visited_points(truth)[:, seen])
    return Run(
        case=case,
        seed=seed,
        truth=dict(about.truth),
        **found,
        term={"hybrid": error_along(truth, network), "law": judged["error"][term]},
        right=judged["found"],
        formula=judged["answer"][term],
        units=units,
        seconds=seconds,
        asked=asked,
    )


def best_fit(system, data, seed: int, sizes: Sequence[int] = SIZES):
    """How many hidden units the evidence prefers, and the hybrid with them.

    Args:
        system: whose hybrid.
        data: its runs.
        seed: of the weights.
        sizes: how many are tried.
    """
    from udesys.fit import fit
    from udesys.model import HybridODE, Network

    plain = system.hybrid()
    name = plain.slots[0].name
    fits = {}
    for units in sizes:
        sized = HybridODE(
            system.equations,
            plain.parameters,
            {name: Network(hidden=(units,))},
            covariates=plain.covariates,
            stays_zero=plain.stays_zero,
        )
        fits[units] = fit(sized, data, seed=seed)
    best = min(fits, key=lambda units: fits[units].evidence)
    return best, fits[best]


def tipping_points(of, about: Case) -> dict[str, float]:
    """What is asked for -> value at which a hybrid or law has it; what it has not is missing.

    Args:
        of: the fitted hybrid, or the law.
        about: what is asked.
    """
    from udesys.assess.bifurcation.asking import bifurcation

    if not about.truth:
        return {}
    options = {"starts": [about.start] if about.start else [], "until": about.until, "points": about.points}
    answer = bifurcation(of, about.vary, *about.between, **options)
    hopf = [point for point in answer.of_kind(SWINGS) if point.inside]
    found = {
        SWINGS: [point.value for point in hopf],
        f"{SWINGS}, x > 0": [point.value for point in hopf if point.x["x"] > 0],
        f"{SWINGS}, x < 0": [point.value for point in hopf if point.x["x"] < 0],
        DIES: [threshold.value for threshold in answer.collapses],
    }
    return {what: float(min(found[what])) for what in about.truth if found[what]}


# ------------------------------------------------------------------ figures
def summary(runs: Sequence[Run]) -> dict[str, object]:
    """The headline numbers: how many laws are right, and the largest error of each of their forecasts.

    Args:
        runs: of one case or several.
    """
    if not runs:
        return {}
    numbers: dict[str, object] = {"right, %": 100 * sum(r.right for r in runs) / len(runs)} | largest(runs, "law")
    return numbers | {"median s": statistics.median(r.seconds for r in runs)}


def largest(runs: Sequence[Run], whose: str) -> dict[str, float]:
    """Largest error of each forecast over the seeds.

    Args:
        runs: of one case or several.
        whose: "hybrid" or "law".
    """
    numbers = {}
    for case in cases_of(runs):
        at = [r for r in runs if r.case == case]
        for what in at[0].truth:
            numbers[f"{case}, {what}, largest error, %"] = max(r.error(whose, what) for r in at)
    return numbers


# ------------------------------------------------------------------ text
def table(runs: Sequence[Run]) -> str:
    """The runs as Markdown: a row for each forecast, hybrid and law side by side, then each case's laws.

    Args:
        runs: of one case or several.
    """
    if not runs:
        return "No runs."
    rows, said = [], []
    for case in cases_of(runs):
        at = [r for r in runs if r.case == case]
        rows += [_row(case, what, at) for what in at[0].truth]
        rows.append(
            [case, "missing term", *[None] * 3, *(spread([100 * r.term.get(w, math.inf) for r in at]) for w in WHOSE)]
        )
        said += [_laws(case, at)]
    head = ["case", "forecast", "truth", "hybrid", "law", "hybrid's error", "law's error"]
    failed = [f"{r.case}, seed {r.seed}: {r.failure}" for r in runs if r.failure]
    title = "Where a system tips: median and largest error over the seeds"
    return "\n\n".join([title, markdown(head, rows, left=2), *said, *failed])


def _row(case: str, what: str, at: Sequence[Run]) -> list[object]:
    found = {whose: [getattr(r, whose)[what] for r in at if what in getattr(r, whose)] for whose in WHOSE}
    medians = [f"{statistics.median(found[whose]):.5g}" if found[whose] else None for whose in WHOSE]
    errors = [spread([r.error(whose, what) for r in at]) for whose in WHOSE]
    return [case, what, f"{at[0].truth[what]:.6g}", *medians, *errors]


def _laws(case: str, at: Sequence[Run]) -> str:
    made = [r for r in at if not r.failure]
    line = f"{case}: the right formula in {sum(r.right for r in at)} of {len(at)}"
    if CASES[case].truth:
        within = [sum(all(r.error(w, what) <= CASES[case].aim for what in r.truth) for r in at) for w in WHOSE]
        aim = f"{CASES[case].aim:g} %"
        line += f"; all forecasts within {aim} (the aim) of the hybrid in {within[0]}, of the law in {within[1]}"
    if made:
        seconds = statistics.median(r.seconds for r in made)
        line += (
            f"; median {seconds:.1f} s to the law, {statistics.median(r.asked for r in made):.1f} s for both analyses"
        )
    formulas = list(dict.fromkeys(r.formula for r in made))
    return f"{line}. {'; '.join(f'`{text}`' for text in formulas)}"
