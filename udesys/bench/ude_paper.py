"""The three cases of the paper that named universal differential equations, from their data to the closed form.

Lotka-Volterra: the share of right laws at five noise levels, as `udesys bench lotka-volterra` has it. Fisher-KPP,
rho_t = r rho (1 - rho) + D rho_xx: the reaction is one unknown function of every cell of a grid, and D is estimated;
grid, ends, initial profile and times are those of the scripts, which have no noise. Lynx and hare: 21 rows of pelts,
beside the textbook's law refitted to them.

Sources: Rackauckas et al., arXiv:2001.04385, and its repository ChrisRackauckas/universal_differential_equations:
FisherKPP/Fisher-KPP-ANN-D.jl (reaction by a network, D from 0.1), FisherKPP/Fisher-KPP-CNN-Small.jl (a stencil in place
of D; what it learned stands in its comments), LotkaVolterra/hudson_bay.jl.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from udesys.bench import lotka_volterra
from udesys.bench._paper_cases import (
    CELLS,
    DIFFUSION,
    DIFFUSION_START,
    GROWTH,
    LEARNED,
    STEP,
    UNTIL,
    both_products,
    fisher_kpp,
    is_quadratic,
    learned,
    plain_rmse,
    quadratic,
)
from udesys.bench._parallel import attempt
from udesys.bench._study import Jobs, Json, Keep, Part, Study, carry_out, markdown
from udesys.errors import DataError

if TYPE_CHECKING:
    from udesys.data import Dataset
    from udesys.discover import Discovery

TITLE = "the three cases of the paper on universal differential equations"
EXAMPLE = "udesys bench ude-paper --seeds 20 --case fisher-kpp"
SOURCE = lotka_volterra.SOURCE
SCRIPT = "Fisher-KPP-CNN-Small.jl of that paper"
PLAIN = "plain Lotka-Volterra, refitted by SciPy"
AIMS = {0.001: 99, 0.005: 99, 0.01: 99, 0.025: 98, 0.05: 95}  # % of runs
AIM_OF_SPREAD = 1.1  # times the Cramer-Rao bound
FISHER_SEEDS, LYNX_SEEDS = 5, 5  # runs at most: those with noise of Fisher-KPP, and those of the pelts
FISHER_LEVELS = (0.0, 0.01)  # noise as a share of each cell's mean; the paper has none
EXACT_TO = 1e-4  # of each cell's mean, said to be the noise where there is none: the scripts' solver is no better
PELTS = Path(__file__).parents[2] / "data" / "lynx_hare.csv"
HEADLINES = (
    "Lotka-Volterra: right at*",
    "Lotka-Volterra: largest spread*at 1 %",
    "Fisher-KPP*: right*",
    "Fisher-KPP*: median error of D*",
    "lynx and hare: both*",
    "lynx and hare: median RMSE*",
)
LESS_IS_BETTER = ("lynx and hare: median RMSE, thousand pelts",)


class Case(StrEnum):
    """One of the paper's cases."""

    LOTKA_VOLTERRA = "lotka-volterra"
    FISHER_KPP = "fisher-kpp"
    LYNX_HARE = "lynx-hare"


@dataclass(frozen=True, kw_only=True)
class Run:
    """One discovery of one case.

    Attributes:
        case: its name.
        level: noise as a share of each state's mean; of the pelts zero, as it is not known.
        seed: of the noise and the networks.
        right: the law picked has the true form; of the pelts, both interactions of the textbook.
        truth_delta: how far that form is from the best, where it was ranked.
        terms: missing term -> formula.
        constants: true name -> estimate, where the form is right; of Fisher-KPP also D, whatever the form.
        stderr: standard errors of those that are constants of the law.
        rmse: over all measured cells [data units].
        plain_rmse: of the textbook's law refitted by SciPy, of the pelts.
        warnings: of the discovery.
        seconds: of the discovery.
        study: of Lotka-Volterra, the run as `udesys bench lotka-volterra` has it.
        failure: what stopped the run; empty where nothing did.
    """

    case: str
    level: float
    seed: int
    right: bool = False
    truth_delta: float | None = None
    terms: dict[str, str] = field(default_factory=dict)
    constants: dict[str, float] = field(default_factory=dict)
    stderr: dict[str, float] = field(default_factory=dict)
    rmse: float | None = None
    plain_rmse: float | None = None
    warnings: list[str] = field(default_factory=list)
    seconds: float
    study: lotka_volterra.Run | None = None
    failure: str = ""

    @property
    def tied(self) -> bool:
        """The true form is picked, or among those that the data cannot tell from the best."""
        from udesys.select import RIVAL

        return self.right or (self.truth_delta is not None and self.truth_delta < RIVAL)


def run(
    seeds: Annotated[
        int,
        typer.Option(
            min=1,
            help="Runs of Lotka-Volterra at each noise level (2 s each); of the others at most "
            f"{FISHER_SEEDS} and {LYNX_SEEDS} are made.",
        ),
    ] = 100,
    case: Annotated[list[Case] | None, typer.Option(help="Only this case; may be repeated.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the first run's noise and weights.")] = lotka_volterra.FIRST_SEED,
    pelts: Annotated[Path, typer.Option(metavar="FILE", help="Table of the pelts: year, hare, lynx.")] = PELTS,
    part: Part = "1/1",
    jobs: Jobs = 1,
    keep: Keep = None,
    json: Json = False,
) -> None:
    """Rerun the three cases of the paper on universal differential equations, beside what it publishes."""
    chosen = list(dict.fromkeys(case or Case))
    if Case.LYNX_HARE in chosen:
        _read_pelts(pelts)
    tasks: list[tuple] = []
    for name in chosen:
        if name is Case.LOTKA_VOLTERRA:
            tasks += [(name.value, level, seed + k, None) for level in lotka_volterra.PUBLISHED for k in range(seeds)]
        elif name is Case.FISHER_KPP:
            count = min(seeds, FISHER_SEEDS)
            tasks += [
                (name.value, level, seed + k, None) for level in FISHER_LEVELS for k in range(count if level else 1)
            ]
        else:
            tasks += [(name.value, 0.0, seed + k, pelts) for k in range(min(seeds, LYNX_SEEDS))]
    runs, seconds = carry_out(discover_once, tasks, _warm_up, part=part, jobs=jobs, keep=keep)
    Study(
        bench="ude-paper",
        summary=summary(runs),
        rows=runs,
        published=published(runs),
        rivals=rivals(runs),
        packages=("scipy",),
        seconds=seconds,
        tables=table(runs),
    ).show(json)


def _warm_up() -> None:
    """Imports and compilation, so that no run pays for them."""
    import torch

    torch.set_num_threads(1)
    lotka_volterra.discover_once(0.001, 0, False, "published")


def discover_once(case: str, level: float, seed: int, pelts: Path | None) -> Run:
    """One run of a case; what goes wrong is written down, not raised.

    Args:
        case: its name.
        level: noise as a share of each state's mean, of simulated data.
        seed: of the noise and the networks.
        pelts: table of the pelts, for their case.
    """
    if case == Case.LOTKA_VOLTERRA:
        found = lotka_volterra.discover_once(level, seed, False, "published")
        return Run(
            case=case,
            level=level,
            seed=seed,
            right=found.right,
            truth_delta=found.truth_delta,
            terms=found.formulas,
            constants=found.constants,
            seconds=found.seconds,
            study=found,
            failure=found.failure,
        )
    return _fisher_kpp(level, seed) if case == Case.FISHER_KPP else _lynx_hare(pelts, seed)


# ------------------------------------------------------------------ Fisher-KPP
def _fisher_kpp(level: float, seed: int) -> Run:
    import tempfile

    from udesys.data import read_table
    from udesys.discover import discover
    from udesys.systems import write_system

    system = fisher_kpp()
    with tempfile.TemporaryDirectory() as folder:
        table_file, _ = write_system(system, folder, level, seed)
        data = read_table(table_file, time="t")
    means = dict(zip(data.columns, abs(data.trajectories[0].y).mean(0).tolist(), strict=True))
    asked = {"case": Case.FISHER_KPP.value, "level": level, "seed": seed}
    noise = None if level else {c: EXACT_TO * means[c] for c in data.columns}
    law, failure, seconds = _timed(lambda: discover(system.hybrid(), data, seed=seed, noise=noise))
    if failure:
        return Run(**asked, seconds=seconds, failure=failure)
    (term,) = law.residuals
    formula, estimates = law.residuals[term], {"D": law.parameters["D"]}
    argument = system.states[0]  # that of the first call, in which the formula is written
    found = quadratic(formula.expression, argument, {n: e.value for n, e in formula.constants.items()})
    constants = {"D": estimates["D"].value, **({"r": found[0], "r/K": found[1]} if found else {})}
    if found and len(formula.constants) == 2:
        own = {abs(e.value): e for e in formula.constants.values()}
        estimates |= {name: own[abs(constants[name])] for name in ("r", "r/K") if abs(constants[name]) in own}
    return Run(
        **asked,
        right=found is not None,
        truth_delta=_delta(law, lambda terms: is_quadratic(terms[term], argument)),
        terms={term: formula.expression},
        constants=constants,
        stderr={name: e.stderr for name, e in estimates.items()},
        rmse=_pooled(law.error["fit"]),
        warnings=list(law.warnings),
        seconds=seconds,
    )


# ------------------------------------------------------------------ lynx and hare
def _read_pelts(pelts: Path) -> Dataset:
    """The pelts of hare and lynx by year.

    Raises:
        DataError: the table is not there, or is another one.
    """
    from udesys.data import read_table

    if not pelts.is_file():
        raise DataError(f"{pelts} is not there. Name the table of the pelts with --pelts, or leave that case out.")
    data = read_table(pelts, time="year")
    if set(data.columns) != {"hare", "lynx"}:
        raise DataError(f"{pelts} has the columns {', '.join(data.columns)}, not hare and lynx. Name another table.")
    return data


def _lynx_hare(pelts: Path, seed: int) -> Run:
    from udesys.discover import discover
    from udesys.model import HybridODE, Parameter

    asked = {"case": Case.LYNX_HARE.value, "level": 0.0, "seed": seed}
    data = _read_pelts(pelts)
    rates = {name: Parameter(0.5, bounds=(0.0, 5.0), unit="1/year") for name in ("alpha", "delta")}
    model = HybridODE("hare' = alpha*hare + NN1(hare, lynx)\nlynx' = NN2(hare, lynx) - delta*lynx", rates)
    law, failure, seconds = _timed(lambda: discover(model, data, seed=seed))
    plain = plain_rmse(data)
    if failure:
        return Run(**asked, plain_rmse=plain, seconds=seconds, failure=failure)
    terms = {term: found.expression for term, found in law.residuals.items()}
    right = both_products(terms)
    values = dict(law.parameters)
    values |= {term: found.constants["c0"] for term, found in law.residuals.items() if right}
    return Run(
        **asked,
        right=right,
        truth_delta=_delta(law, both_products),
        terms=terms,
        constants={name: e.value for name, e in values.items()},
        stderr={name: e.stderr for name, e in values.items()},
        rmse=_pooled(law.error["fit"]),
        plain_rmse=plain,
        warnings=list(law.warnings),
        seconds=seconds,
    )


def _delta(law: Discovery, is_true: Callable[[Mapping[str, str]], bool]) -> float | None:
    """How far the first law of the true form is from the best; None where none was ranked."""
    return next((c.delta for c in law.candidates if not c.diverged and is_true(c.residuals)), None)


def _timed(function: Callable) -> tuple[object, str, float]:
    """What a function returns, or None; why it failed; and the seconds it took."""
    import time

    began = time.perf_counter()
    result, failure = attempt(function)
    return result, failure, time.perf_counter() - began


def _pooled(errors: Mapping[str, float]) -> float:
    """RMSE over columns that have as many cells each, from that of every column."""
    return math.sqrt(statistics.fmean(e * e for e in errors.values()))


# ------------------------------------------------------------------ figures
def summary(runs: Sequence[Run]) -> dict[str, object]:
    """The headline numbers of every case that was run.

    Args:
        runs: of any cases.
    """
    found: dict[str, object] = {}
    if studied := [r.study for r in runs if r.study]:
        found |= {f"Lotka-Volterra: {name}": value for name, value in lotka_volterra.summary(studied).items()}
    for level, at in _fisher_levels(runs):
        right = [r for r in at if r.right]
        found[f"{level}: right, % of runs"] = 100 * len(right) / len(at)
        diffusion = [abs(r.constants["D"] / DIFFUSION - 1) for r in at if r.constants]
        growth = [abs(r.constants["r"] / GROWTH - 1) for r in right]
        found |= {f"{level}: median error of D, %": 100 * statistics.median(diffusion)} if diffusion else {}
        found |= {f"{level}: median error of r, %": 100 * statistics.median(growth)} if growth else {}
        found[f"{level}: median s"] = statistics.median(r.seconds for r in at)
    if at := _of(runs, Case.LYNX_HARE):
        found["lynx and hare: both interactions found or tied, % of runs"] = 100 * sum(r.tied for r in at) / len(at)
        if errors := [r.rmse for r in at if r.rmse is not None]:
            found["lynx and hare: median RMSE, thousand pelts"] = statistics.median(errors)
        found["lynx and hare: median s"] = statistics.median(r.seconds for r in at)
    return found


def published(runs: Sequence[Run]) -> dict[str, dict[str, object]]:
    """What the paper, and the comments of its scripts, say of the same numbers."""
    found: dict[str, dict[str, object]] = {}
    levels = dict.fromkeys(r.level for r in _of(runs, Case.LOTKA_VOLTERRA))
    if levels:
        rates = lotka_volterra.PUBLISHED
        found[SOURCE] = {f"Lotka-Volterra: right at {100 * level:.3g} %, %": rates[level] for level in levels}
    if any(r.level == 0 for r in _of(runs, Case.FISHER_KPP)):
        name = _fisher_name(0.0)
        found[SCRIPT] = {
            f"{name}: median error of D, %": 100 * statistics.median(abs(d / DIFFUSION - 1) for d in learned()),
            f"{name}: median s": statistics.median(seconds for *_, seconds in LEARNED),
        }
    return found


def rivals(runs: Sequence[Run]) -> dict[str, dict[str, object]]:
    """The textbook's law of lynx and hare, where it was refitted."""
    errors = [r.plain_rmse for r in runs if r.plain_rmse is not None]
    return {PLAIN: {"lynx and hare: median RMSE, thousand pelts": statistics.median(errors)}} if errors else {}


def table(runs: Sequence[Run]) -> str:
    """A table for each case, as Markdown.

    Args:
        runs: of any cases.
    """
    parts = []
    if studied := [r.study for r in runs if r.study]:
        aims = ", ".join(f"{AIMS[level]} %" for level in dict.fromkeys(r.level for r in studied) if level in AIMS)
        aim = f"Aims: right in {aims}; a spread of at most {AIM_OF_SPREAD} times the bound."
        parts.append(f"## Lotka-Volterra\n\n{lotka_volterra.table(studied)}\n{aim}")
    if at := _of(runs, Case.FISHER_KPP):
        parts.append(_fisher_table(at))
    if at := _of(runs, Case.LYNX_HARE):
        parts.append(_lynx_table(at))
    return "\n\n".join(parts) or "no runs"


def _fisher_table(runs: Sequence[Run]) -> str:
    head = ("noise", "seed", "reaction", "right", "r", "error, %", "r/K", "error, %", "D", "error, %", "RMSE", "s")
    rows = [
        [f"{100 * r.level:g} %", r.seed, _found(r), _verdict(r)]
        + [
            cell
            for name, true in (("r", GROWTH), ("r/K", GROWTH), ("D", DIFFUSION))
            for cell in _constant(r, name, true)
        ]
        + [None if r.rmse is None else f"{r.rmse:.3g}", f"{r.seconds:.0f}"]
        for r in runs
    ]
    values, seconds = learned(), [s for *_, s in LEARNED]
    lines = [
        "## Fisher-KPP",
        "",
        f"{CELLS} cells, periodic, {round(UNTIL / STEP) + 1} times to {UNTIL:g}, D from {DIFFUSION_START:g}; truly r "
        f"and r/K are {GROWTH:g} and D is {DIFFUSION:g}. Without noise the data are said to be good to {EXACT_TO:g}.",
        "",
        markdown(head, rows, left=3),
        "",
        f"The paper has no noise. Its script learned D {min(values):.4f} to {max(values):.4f}, in the median "
        f"{statistics.median(values):.4f}, in {len(LEARNED)} runs of {min(seconds):.0f} to {max(seconds):.0f} s with "
        "networks of 15 and 7 weights; five runs with 4 weights did not fit.",
    ]
    return "\n".join(lines)


def _constant(run: Run, name: str, true: float) -> tuple[str | None, str | None]:
    """An estimate with its standard error, and how far it is from the truth."""
    value, stderr = run.constants.get(name), run.stderr.get(name)
    if value is None:
        return None, None
    known = f" ± {stderr:.1g}" if stderr is not None and math.isfinite(stderr) else ""
    return f"{value:.5g}{known}", f"{100 * abs(value / true - 1):.2g}"


def _lynx_table(runs: Sequence[Run]) -> str:
    rows = [
        [r.seed, _found(r), _verdict(r), None if r.rmse is None else f"{r.rmse:.2f}", f"{r.seconds:.1f}"] for r in runs
    ]
    plain = [r.plain_rmse for r in runs if r.plain_rmse is not None]
    lines = ["## Lynx and hare", "", markdown(("seed", "terms", "textbook's products", "RMSE, k", "s"), rows, left=2)]
    if plain:
        lines += ["", f"{PLAIN}: RMSE {statistics.median(plain):.2f} thousand pelts."]
    return "\n".join(lines)


def _found(run: Run) -> str:
    return run.failure or "; ".join(f"`{term} = {formula}`" for term, formula in run.terms.items())


def _verdict(run: Run) -> str:
    if run.right:
        return "found"
    where = "not ranked" if run.truth_delta is None else f"delta {run.truth_delta:.1f}"
    return f"{'tied' if run.tied else 'missed'}, {where}"


def _of(runs: Sequence[Run], case: Case) -> list[Run]:
    return [r for r in runs if r.case == case]


def _fisher_name(level: float) -> str:
    return f"Fisher-KPP, {100 * level:g} % noise" if level else "Fisher-KPP, no noise"


def _fisher_levels(runs: Sequence[Run]) -> list[tuple[str, list[Run]]]:
    chosen = _of(runs, Case.FISHER_KPP)
    return [
        (_fisher_name(level), [r for r in chosen if r.level == level])
        for level in dict.fromkeys(r.level for r in chosen)
    ]
