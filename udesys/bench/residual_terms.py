"""How closely the fitted networks follow the missing terms, on simulated cases whose truth is known.

For every case: the relative L2 error of its missing terms over the true states at the sample times, all terms
together, by one automatic setting of the fit; beside it the error of the true form with free constants, fitted to
the same data, which is the limit.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from udesys.bench._parallel import attempt
from udesys.bench._study import Jobs, Json, Keep, Part, Study, carry_out, markdown

if TYPE_CHECKING:
    import numpy as np

    from udesys.bench._cases import Case, Problem

TITLE = "error of the missing terms on fifteen simulated cases"
EXAMPLE = "udesys bench residual-terms --case lv-1% --seeds 3"
HEADLINES = ("relative L2 error*", "median s")
LESS_IS_BETTER = HEADLINES
FIRST_SEED = 1000  # of the first run; the others count on
TRUE_FORM = "the true form, refitted"


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
    seed: Annotated[int, typer.Option(min=0, help="Of the first run's data and weights.")] = FIRST_SEED,
    part: Part = "1/1",
    jobs: Jobs = 1,
    keep: Keep = None,
    json: Json = False,
) -> None:
    """Fit hybrids to simulated data and print how far their networks are from the missing terms."""
    from udesys.bench import _restarts
    from udesys.bench._cases import choose_cases

    cases = choose_cases(case or ())
    if restarts:
        function, numbers, text = _restarts.fit_from_random_weights, _restarts.summary, _restarts.table
        tasks = [(cases[k % len(cases)].name, seed + k) for k in range(restarts)]
    else:
        function, numbers, text = fit_once, summary, table
        tasks = [(c.name, seed + k, not no_limit) for c in cases for k in range(seeds)]
    runs, seconds = carry_out(function, tasks, warm_up, part=part, jobs=jobs, keep=keep)
    limits = {} if restarts else _limits(runs)
    Study(
        bench="residual-terms",
        summary=numbers(runs),
        rows=runs,
        published={},
        rivals={TRUE_FORM: limits} if limits else {},
        seconds=seconds,
        tables=text(runs),
    ).show(json)


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


# ------------------------------------------------------------------ figures
def summary(runs: Sequence[Run]) -> dict[str, object]:
    """The headline numbers: the median error of each case, how many are below their aim, and seconds.

    Args:
        runs: of any cases; one that failed counts as infinitely wrong.
    """
    if not runs:
        return {}
    found = {_named(case.name): _median_error(of_case) for case, of_case in _by_case(runs)}
    below = [_median_error(of_case) < case.aim for case, of_case in _by_case(runs)]
    return {
        **found,
        "cases below their aim, %": 100 * sum(below) / len(below),
        "failed runs": sum(r.error is None for r in runs),
        "median s": statistics.median(r.seconds for r in runs),
    }


def table(runs: Sequence[Run]) -> str:
    """The errors beside the aims and the true form's, as Markdown; what went wrong is told below.

    Args:
        runs: of any cases.
    """
    if not runs:
        return "no runs"
    head = ("case", "aim", "median error", "below", "worst", "true form", "feasible", "median s")
    rows, below = [], 0
    limits = _limits(runs)
    for case, of_case in _by_case(runs):
        median, limit = _median_error(of_case), limits.get(_named(case.name))
        below += median < case.aim
        worst = max(math.inf if r.error is None else r.error for r in of_case)
        rows.append(
            [
                case.name,
                f"{case.aim:g}",
                _error(median),
                "yes" if median < case.aim else "no",
                _error(worst),
                None if limit is None else _error(limit),
                f"{sum(r.converged for r in of_case)} of {len(of_case)}",
                f"{statistics.median(r.seconds for r in of_case):.2f}",
            ]
        )
    failures = [f"- {r.case}, seed {r.seed}: {r.failure}" for r in runs if r.failure]
    failures += [f"- {r.case}, seed {r.seed}, true form: {r.limit_failure}" for r in runs if r.limit_failure]
    text = f"{markdown(head, rows)}\n\n{below} of {len(rows)} cases have a median error below their aim."
    return "\n".join([text, *(["", *failures] if failures else [])])


def _by_case(runs: Sequence[Run]) -> list[tuple[Case, list[Run]]]:
    """Every case that was run, with its runs."""
    from udesys.bench._cases import CASES

    pairs = [(case, [r for r in runs if r.case == case.name]) for case in CASES]
    return [(case, of_case) for case, of_case in pairs if of_case]


def _limits(runs: Sequence[Run]) -> dict[str, float]:
    """The median errors of the true form, by the names of the networks' in the summary."""
    found = {}
    for case, of_case in _by_case(runs):
        asked = [r for r in of_case if r.limit is not None or r.limit_failure]
        if asked:
            found[_named(case.name)] = statistics.median(math.inf if r.limit is None else r.limit for r in asked)
    return found


def _median_error(runs: Sequence[Run]) -> float:
    return statistics.median(math.inf if r.error is None else r.error for r in runs)


def _named(case: str) -> str:
    return f"relative L2 error, {case}"


def _error(value: float) -> str:
    return f"{value:.4f}" if value < 1 else "failed" if math.isinf(value) else f"{value:.3g}"
