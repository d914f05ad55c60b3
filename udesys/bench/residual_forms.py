"""How often the missing terms' true forms are found, on 24 systems whose terms have names, by noise.

A term is right where the winning formula is the true function for some choice of its constants and has no more of
them than the truth's simplest writing; a law is right where all its terms are. For every miss: what stood in its way,
by the criterion that the laws were ranked by, and whether the truth is among what the data cannot tell apart.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from udesys.bench._parallel import attempt, run_tasks, share_of
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
FIRST_SEED = 1000  # the runs' noise and weights are seeded FIRST_SEED + k


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
    part: Annotated[str, typer.Option(help="Only this part of the runs, such as 1/4.")] = "1/1",
    jobs: Annotated[int, typer.Option(min=1, help="Processes; each uses one core.")] = 1,
    json: Annotated[bool, typer.Option("--json", help="Print every run as JSON instead of the tables.")] = False,
) -> None:
    """Discover the missing terms of 24 systems and print how often their forms are the true ones."""
    from udesys.bench._forms import choose_forms
    from udesys.data import parse_percent

    names = [c.name for c in choose_forms(case or ())]
    levels = list(dict.fromkeys(parse_percent(n, name="noise") for n in noise)) if noise else list(AIMS)
    together = _engine_sets(engine or (), engines_alone)
    made = [
        (engines, name, level, FIRST_SEED + k)
        for engines in together
        for name in names
        for level in levels
        for k in range(seeds)
    ]
    runs = run_tasks(discover_once, share_of(made, part), jobs, warm_up)
    if json:
        import json as writer

        typer.echo(writer.dumps([asdict(r) for r in runs], indent=1))
    else:
        typer.echo("\n\n".join(table([r for r in runs if r.engines == engines]) for engines in together))
        if engines_alone:
            typer.echo("\n" + comparison(runs))


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


# ------------------------------------------------------------------ text
def table(runs: Sequence[Run]) -> str:
    """A line for each case with the noise levels side by side, then the totals, then every miss.

    Args:
        runs: with the same engines.
    """
    levels = sorted({r.level for r in runs})
    names = list(dict.fromkeys(r.case for r in runs))
    lines = [_engines(runs[0].engines) if runs else "no runs", _row("case", [_percent(level) for level in levels])]
    lines += [_row(name, [_cell(_at(runs, level, name)) for level in levels]) for name in names]
    lines.append(_row("right", [_share(_at(runs, level)) for level in levels]))
    lines.append(_row("aim", [f"{AIMS[level]} of 24" if level in AIMS else "-" for level in levels]))
    missed = [[r for r in _at(runs, level) if not r.right] for level in levels]
    lines.append(_row("truth within reach", [f"{sum(r.listed for r in m)} of {len(m)} missed" for m in missed]))
    lines.append(_row("median s", [f"{_median(_at(runs, level)):.2f}" for level in levels]))
    if runs:
        lines.append(f"Median time from data to law, {len(runs)} runs: {_median(runs):.2f} s; aim: {MOST_SECONDS:g} s.")
    return "\n".join([*(line.rstrip() for line in lines), *(_miss(r) for m in missed for r in m)])


def comparison(runs: Sequence[Run]) -> str:
    """All engines together beside each alone, and whether they are at least as good at every level.

    Args:
        runs: with several sets of engines.
    """
    levels = sorted({r.level for r in runs})
    sets = list(dict.fromkeys(r.engines for r in runs))
    lines = [_row("engines", [_percent(level) for level in levels])]
    for engines in sets:
        of_set = [r for r in runs if r.engines == engines]
        cells = [f"{_share(_at(of_set, level)):<13} {_median(_at(of_set, level)):6.2f} s" for level in levels]
        lines.append(_row(_engines(engines), cells))
    worse = [
        f"{_engines(engines)} at {_percent(level)}"
        for engines in sets
        for level in levels
        if _n_right(runs, level, ()) < _n_right(runs, level, engines)
    ]
    said = f"worse than {', '.join(worse)}" if worse else "at least as good as each alone at every level"
    return "\n".join([*(line.rstrip() for line in lines), f"All engines together are {said}."])


def _n_right(runs: Sequence[Run], level: float, engines: tuple[str, ...]) -> int:
    return sum(r.right for r in _at(runs, level) if r.engines == engines)


def _at(runs: Sequence[Run], level: float, name: str = "") -> list[Run]:
    return [r for r in runs if r.level == level and name in ("", r.case)]


def _row(first: str, cells: Sequence[str]) -> str:
    return f"{first:<20}" + "".join(f"{cell:<33}" for cell in cells)


def _cell(runs: Sequence[Run]) -> str:
    """What one run came to, or how many of several were right, and the seconds."""
    if len(runs) != 1:
        return f"{_share(runs):<20} {_median(runs):6.2f} s" if runs else "-"
    (only,) = runs
    delta = "" if only.truth_delta is None else f"{only.truth_delta:+.1f}"
    return f"{only.outcome:<12} {delta:>7} {only.seconds:6.2f} s"


def _miss(run: Run) -> str:
    found = "; ".join(f"{term} = {text}" for term, text in run.formulas.items()) or run.failure
    more = "1 constant" if run.surplus == 1 else f"{run.surplus} constants"
    spare = f", the true function with {more} more" if run.surplus else ""
    delta = "not scored" if run.truth_delta is None else f"at delta {run.truth_delta:+.1f}"
    listed = "within reach" if run.listed else "not within reach"
    where = f"{run.case}, {_percent(run.level)}, seed {run.seed}"
    truth = "" if run.outcome == FAILED else f"; the truth is {delta}, {listed}"
    return f"    {where}: {run.outcome}: {found}{spare}{truth}"


def _engines(names: Sequence[str]) -> str:
    return f"{' and '.join(names)} alone" if names else "all engines"


def _percent(level: float) -> str:
    return f"{100 * level:g} %"


def _share(runs: Sequence[Run]) -> str:
    return f"{sum(r.right for r in runs)} of {len(runs)}"


def _median(runs: Sequence[Run]) -> float:
    return statistics.median(r.seconds for r in runs) if runs else 0.0
