"""How closely the fitted networks follow the missing terms, on simulated cases whose truth is known.

For every case: the relative L2 error of its missing terms over the true states at the sample times, all terms
together, by one automatic setting of the fit; beside it the error of the true form with free constants, fitted to
the same data, which is the limit.
"""

from __future__ import annotations

import math
import statistics
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from udesys.bench._parallel import attempt, run_tasks, share_of

if TYPE_CHECKING:
    import numpy as np

    from udesys.bench._cases import Problem

TITLE = "error of the missing terms on fifteen simulated cases"
EXAMPLE = "udesys bench residual-terms --case lv-1% --seeds 3"
FIRST_SEED = 1000  # the runs' data and weights are seeded FIRST_SEED + k


@dataclass(frozen=True, kw_only=True)
class Run:
    """One fit of one case.

    Attributes:
        case: its name.
        seed: of the data and the weights.
        error: relative L2 error of the missing terms; None where the fit failed or is not finite.
        limit: the same of the true form; None where it failed or was not asked for.
        converged: what the fit says of itself.
        seconds: of the fit of the hybrid, without imports.
        warnings: of that fit.
        failure: what stopped the fit; empty where nothing did.
        limit_failure: what stopped the fit of the true form.
    """

    case: str
    seed: int
    error: float | None
    limit: float | None
    converged: bool
    seconds: float
    warnings: tuple[str, ...]
    failure: str
    limit_failure: str


def run(
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each case.")] = 10,
    case: Annotated[list[str] | None, typer.Option(help="Only this case, such as lv-1%; may be repeated.")] = None,
    restarts: Annotated[
        int, typer.Option(min=0, help="Instead: this many fits from random weights, and what went wrong in them.")
    ] = 0,
    no_limit: Annotated[bool, typer.Option("--no-limit", help="Leave out the fits of the true form.")] = False,
    part: Annotated[str, typer.Option(help="Only this part of the runs, such as 1/4.")] = "1/1",
    jobs: Annotated[int, typer.Option(min=1, help="Processes; each uses one core.")] = 1,
    json: Annotated[bool, typer.Option("--json", help="Print every run as JSON instead of the table.")] = False,
) -> None:
    """Fit hybrids to simulated data and print how far their networks are from the missing terms."""
    from udesys.bench import _restarts
    from udesys.bench._cases import choose_cases

    cases = choose_cases(case or ())
    if restarts:
        tasks = share_of([(cases[k % len(cases)].name, k) for k in range(restarts)], part)
        runs, text = run_tasks(_restarts.fit_from_random_weights, tasks, jobs, warm_up), _restarts.table
    else:
        tasks = [(c.name, FIRST_SEED + k, not no_limit) for c in cases for k in range(seeds)]
        runs, text = run_tasks(fit_once, share_of(tasks, part), jobs, warm_up), table
    if json:
        import json as writer

        typer.echo(writer.dumps([asdict(r) for r in runs], indent=1))
    else:
        typer.echo(text(runs))


def warm_up() -> None:
    """Imports and compilation, so that no run pays for them."""
    import torch

    torch.set_num_threads(1)
    fit_once("lv-0.1%", 0, limit=False)


def fit_once(name: str, seed: int, limit: bool) -> Run:
    """One fit of a case; what goes wrong is written down, not raised.

    Args:
        name: of the case.
        seed: of the data and the weights.
        limit: fit the true form too.
    """
    from udesys.bench._cases import choose_cases

    (case,) = choose_cases([name])
    problem = case.make(seed)
    began = time.perf_counter()
    fitted, failure = attempt(lambda: _hybrid_error(problem, seed))
    seconds = time.perf_counter() - began
    limit_error, limit_failure = attempt(lambda: _true_form_error(problem, seed)) if limit else (None, "")
    error, converged, warnings = fitted or (None, False, ())
    return Run(
        case=name,
        seed=seed,
        error=error,
        limit=limit_error,
        converged=converged,
        seconds=seconds,
        warnings=warnings,
        failure=failure,
        limit_failure=limit_failure,
    )


def _hybrid_error(problem: Problem, seed: int) -> tuple[float | None, bool, tuple[str, ...]]:
    """Error of the fitted networks, whether the fit converged, and its warnings."""
    import udesys as ud

    found = ud.fit(problem.model, problem.data, seed=seed)
    values = {term: found.term(term, points)[0] for term, points in problem.points.items()}
    return relative_error(values, problem.truth), found.converged, found.warnings


def _true_form_error(problem: Problem, seed: int) -> float | None:
    """Error of the true form fitted to the same data."""
    import udesys as ud

    found = ud.fit(problem.true_model, problem.data, seed=seed)
    constants = {name: value for name, (value, _) in found.parameters.items()}
    return relative_error(problem.law.term_values(problem.states, constants), problem.truth)


def relative_error(values: dict[str, np.ndarray], truth: dict[str, np.ndarray]) -> float | None:
    """||values - truth|| / ||truth|| over all terms together; None where it is not finite.

    Args:
        values: term -> (n,).
        truth: term -> (n,).
    """
    import numpy as np

    true = np.concatenate([truth[term] for term in truth])
    error = float(np.linalg.norm(np.concatenate([values[term] for term in truth]) - true) / np.linalg.norm(true))
    return error if math.isfinite(error) else None


def table(runs: list[Run]) -> str:
    """The errors beside the aims, as text; what went wrong is told below.

    Args:
        runs: of any cases.
    """
    from udesys.bench._cases import CASES

    lines = ["case               aim     median error   worst    true form   feasible    median s"]
    failures = []
    for case in CASES:
        of_case = [r for r in runs if r.case == case.name]
        if not of_case:
            continue
        errors = [math.inf if r.error is None else r.error for r in of_case]
        limits = [math.inf if r.limit is None else r.limit for r in of_case if r.limit is not None or r.limit_failure]
        median = statistics.median(errors)
        lines.append(
            f"{case.name:<18} {case.aim:<7g} {_error(median):>6} {'ok' if median < case.aim else 'above':<6}"
            f" {_error(max(errors)):>7}   {_error(statistics.median(limits)) if limits else '-':>7}"
            f"   {sum(r.converged for r in of_case):4d} of {len(of_case):<3d}"
            f"  {statistics.median(r.seconds for r in of_case):8.2f}"
        )
        failures += [f"{r.case}, seed {r.seed}: {r.failure}" for r in of_case if r.failure]
        failures += [f"{r.case}, seed {r.seed}, true form: {r.limit_failure}" for r in of_case if r.limit_failure]
    below = sum(line.split()[3] == "ok" for line in lines[1:])
    lines.append(f"{below} of {len(lines) - 1} cases have a median error below their aim.")
    return "\n".join([*lines, *failures])


def _error(value: float) -> str:
    return f"{value:.4f}" if value < 1 else "failed" if math.isinf(value) else f"{value:.3g}"
