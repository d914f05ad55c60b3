"""How often the missing terms' true forms are found, on 24 systems whose terms have names, by noise.

A term is right where the winning formula is the true function for some choice of its constants and has no more of
them than the truth's simplest writing; a law is right where all its terms are. For every miss: what stood in its way,
by the criterion that the laws were ranked by, and whether the truth is among what the data cannot tell apart.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from udesys.bench._parallel import attempt
from udesys.bench._study import Jobs, Json, Keep, Part, Study, carry_out, markdown
from udesys.bench._verdict import FAILED, RIGHT, failed, judged
from udesys.errors import DataError

if TYPE_CHECKING:
    from udesys.bench._cases import Problem
    from udesys.select import Selection

TITLE = "share of laws with the true form, on 24 systems, by noise"
EXAMPLE = "udesys bench residual-forms --noise 1% --engine sparse"
AIMS = {0.0: 23, 0.01: 22, 0.05: 19}  # of 24
MOST_SECONDS = 5.0  # aim of the median run
ALONE = ("sparse", "operon")  # engines that are set beside all together
HEADLINES = ("right*", "median s")
LESS_IS_BETTER = ("median s",)
FIRST_SEED = 1000  # of the first run; the others count on


@dataclass(frozen=True, kw_only=True)
class Run:
    """One discovery: whether it was right, and how long it took.

    Attributes:
        case: its name.
        level: noise as a share of each state's mean magnitude.
        seed: of the noise and the weights.
        engines: those asked for; all that were ready where it is empty.
        outcome: `RIGHT`, or what stood in the way.
        listed: the true form is among the laws within reach of the lowest criterion.
        truth_delta: criterion of the true form, refitted, less the lowest one found; None where it was not scored.
        formulas: term -> the winner's formula.
        surplus: constants that the winner has more than the truth, where it is the true function for some of them;
            None where it is another one.
        seconds: from data to law, without imports.
        failure: what stopped the run; empty where nothing did.
    """

    case: str
    level: float
    seed: int
    engines: tuple[str, ...]
    outcome: str
    listed: bool
    truth_delta: float | None
    formulas: dict[str, str]
    surplus: int | None
    seconds: float
    failure: str

    @property
    def right(self) -> bool:
        """Every term has its true form."""
        return self.outcome == RIGHT


def run(
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each case at each noise level.")] = 1,
    noise: Annotated[list[str] | None, typer.Option(help="Only this level, such as 1%; may be repeated.")] = None,
    case: Annotated[list[str] | None, typer.Option(help="Only this case, such as sir; may be repeated.")] = None,
    engine: Annotated[
        list[str] | None, typer.Option(help="Only this engine; may be repeated. All that are ready otherwise.")
    ] = None,
    engines_alone: Annotated[
        bool, typer.Option("--engines-alone", help="All engines together, then sparse and operon alone.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of the first run's noise and weights.")] = FIRST_SEED,
    part: Part = "1/1",
    jobs: Jobs = 1,
    keep: Keep = None,
    json: Json = False,
) -> None:
    """Discover the missing terms of 24 systems and print how often their forms are the true ones."""
    from udesys.bench._forms import choose_forms
    from udesys.data import parse_percent

    names = [c.name for c in choose_forms(case or ())]
    levels = list(dict.fromkeys(parse_percent(n, name="noise") for n in noise)) if noise else list(AIMS)
    together = _engine_sets(engine or (), engines_alone)
    made = [
        (engines, name, level, seed + k)
        for engines in together
        for name in names
        for level in levels
        for k in range(seeds)
    ]
    runs, seconds = carry_out(discover_once, made, warm_up, part=part, jobs=jobs, keep=keep)
    others = _sets(runs)[1:]
    Study(
        bench="residual-forms",
        summary=summary(runs),
        rows=runs,
        published={},
        rivals={_engines(engines): _numbers(_of(runs, engines)) for engines in others},
        packages=("pyoperon", "pysr"),
        seconds=seconds,
        tables=table(runs),
    ).show(json)


def _engine_sets(names: Sequence[str], alone: bool) -> list[tuple[str, ...]]:
    """The sets of engines to run one after the other; an empty one takes all that are ready."""
    from udesys.search import SearchOptions, chosen_engines

    if names and alone:
        raise DataError("engine and engines-alone exclude each other. Leave one out.")
    together = [tuple(names), *((name,) for name in (ALONE if alone else ()))]
    for engines in together:
        chosen_engines(SearchOptions(engines=engines))  # refuses what is unknown or not ready
    return together


def warm_up() -> None:
    """Imports and compilation, so that no run pays for them."""
    import torch

    torch.set_num_threads(1)
    discover_once((), "cubic-drag", 0.01, 0)


# ------------------------------------------------------------------ one run
def discover_once(engines: Sequence[str], name: str, level: float, seed: int) -> Run:
    """One discovery of a case; what goes wrong is written down, not raised.

    Args:
        engines: to use; all that are ready where it is empty.
        name: of the case.
        level: noise as a share of each state's mean magnitude.
        seed: of the noise and the weights.
    """
    from udesys.bench._forms import choose_forms
    from udesys.bench._same_form import true_terms

    (case,) = choose_forms([name])
    problem = case.make(level, seed)
    began = time.perf_counter()
    selection, failure = attempt(lambda: _select(problem, engines, seed))
    seconds = time.perf_counter() - began
    if not failure:
        verdict, failure = attempt(lambda: judged(selection, true_terms(problem)))
    verdict = failed() if failure else verdict
    return Run(
        case=name, level=level, seed=seed, engines=tuple(engines), seconds=seconds, failure=failure, **asdict(verdict)
    )


def _select(problem: Problem, engines: Sequence[str], seed: int) -> Selection:
    import udesys as ud
    from udesys.select import select

    fitted = ud.fit(problem.model, problem.data, seed=seed)
    return select(fitted, ud.SearchOptions(engines=engines), seed=seed)


# ------------------------------------------------------------------ figures
def summary(runs: Sequence[Run]) -> dict[str, object]:
    """The headline numbers: shares of right laws, and of those with the truth within reach, by noise; and seconds.

    Args:
        runs: of several sets of engines those of the first count.
    """
    return _numbers(_of(runs, _sets(runs)[0])) if runs else {}


def _numbers(runs: Sequence[Run]) -> dict[str, object]:
    levels = sorted({r.level for r in runs})
    found: dict[str, object] = {f"right at {_percent(at)}, %": _share(r.right for r in _at(runs, at)) for at in levels}
    found |= {
        f"right or within reach at {_percent(at)}, %": _share(r.right or r.listed for r in _at(runs, at))
        for at in levels
    }
    return {**found, "failed runs": sum(r.outcome == FAILED for r in runs), "median s": _median(runs)}


def _share(counted: Iterable[bool]) -> float:
    counted = list(counted)
    return 100 * sum(counted) / len(counted)


# ------------------------------------------------------------------ text
def table(runs: Sequence[Run]) -> str:
    """For every set of engines its cases, totals and misses; then the sets beside each other, as Markdown.

    Args:
        runs: of any sets of engines.
    """
    sets = _sets(runs)
    tables = [_cases(_of(runs, engines)) for engines in sets]
    return "\n\n".join([*tables, *([_comparison(runs, sets)] if len(sets) > 1 else [])]) or "no runs"


def _cases(runs: Sequence[Run]) -> str:
    """A row for each case with the noise levels side by side, then the totals, then every miss."""
    levels = sorted({r.level for r in runs})
    names = list(dict.fromkeys(r.case for r in runs))
    missed = [[r for r in _at(runs, level) if not r.right] for level in levels]
    rows = [[name, *(_cell(_at(runs, level, name)) for level in levels)] for name in names]
    rows += [
        ["**right**", *(_count(_at(runs, level)) for level in levels)],
        ["aim", *(f"{AIMS[level]} of 24" if level in AIMS else None for level in levels)],
        ["truth within reach", *(f"{sum(r.listed for r in m)} of {len(m)} missed" for m in missed)],
        ["median s", *(f"{_median(_at(runs, level)):.2f}" for level in levels)],
    ]
    lines = [_engines(runs[0].engines), "", markdown(["case", *map(_percent, levels)], rows), ""]
    lines.append(f"Median time from data to law, {len(runs)} runs: {_median(runs):.2f} s; aim: {MOST_SECONDS:g} s.")
    misses = [_miss(r) for m in missed for r in m]
    return "\n".join([*lines, *(["", *misses] if misses else [])])


def _comparison(runs: Sequence[Run], sets: Sequence[tuple[str, ...]]) -> str:
    """Right laws and seconds of each set of engines, and whether the first is at least as good at every level."""
    levels = sorted({r.level for r in runs})
    found = {(e, at): _at(_of(runs, e), at) for e in sets for at in levels}
    rows = [[_engines(e), *(f"{_count(found[e, at])}, {_median(found[e, at]):.2f} s" for at in levels)] for e in sets]
    right = {key: sum(r.right for r in some) for key, some in found.items()}
    worse = [
        f"{_engines(engines)} at {_percent(level)}"
        for engines in sets[1:]
        for level in levels
        if right[sets[0], level] < right[engines, level]
    ]
    said = f"worse than {', '.join(worse)}" if worse else "at least as good as each alone at every level"
    whole = _engines(sets[0]).capitalize()
    return f"{markdown(['engines', *map(_percent, levels)], rows)}\n\n{whole} together are {said}."


def _sets(runs: Sequence[Run]) -> list[tuple[str, ...]]:
    """The sets of engines that were used; all together come first."""
    return sorted(dict.fromkeys(r.engines for r in runs), key=bool)


def _of(runs: Sequence[Run], engines: tuple[str, ...]) -> list[Run]:
    return [r for r in runs if r.engines == engines]


def _at(runs: Sequence[Run], level: float, name: str = "") -> list[Run]:
    return [r for r in runs if r.level == level and name in ("", r.case)]


def _cell(runs: Sequence[Run]) -> str | None:
    """What one run came to, or how many of several were right, and the seconds."""
    if len(runs) != 1:
        return f"{_count(runs)}, {_median(runs):.2f} s" if runs else None
    (only,) = runs
    delta = "" if only.truth_delta is None else f" {only.truth_delta:+.1f}"
    return f"{only.outcome}{delta}, {only.seconds:.2f} s"


def _miss(run: Run) -> str:
    found = "; ".join(f"`{term} = {text}`" for term, text in run.formulas.items()) or run.failure
    more = "1 constant" if run.surplus == 1 else f"{run.surplus} constants"
    spare = f", the true function with {more} more" if run.surplus else ""
    delta = "not scored" if run.truth_delta is None else f"at delta {run.truth_delta:+.1f}"
    listed = "within reach" if run.listed else "not within reach"
    where = f"{run.case}, {_percent(run.level)}, seed {run.seed}"
    truth = "" if run.outcome == FAILED else f"; the truth is {delta}, {listed}"
    return f"- {where}: {run.outcome}: {found}{spare}{truth}"


def _engines(names: Sequence[str]) -> str:
    return f"{' and '.join(names)} alone" if names else "all engines"


def _percent(level: float) -> str:
    return f"{100 * level:g} %"


def _count(runs: Sequence[Run]) -> str:
    return f"{sum(r.right for r in runs)} of {len(runs)}"


def _median(runs: Sequence[Run]) -> float:
    return statistics.median(r.seconds for r in runs) if runs else 0.0
