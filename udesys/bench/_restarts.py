"""Many fits from random weights: none may end without a result or a reason."""

from __future__ import annotations

import functools
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from udesys.bench._parallel import attempt
from udesys.bench._study import markdown

if TYPE_CHECKING:
    from udesys.bench._cases import Problem
    from udesys.fit import FitResult


DATA_SEED = 1000  # of every case's data


@dataclass(frozen=True, kw_only=True)
class RandomStart:
    """One fit from random weights.

    Attributes:
        case: its name.
        seed: of the weights; the data of a case are always the same.
        raised: the exception's kind and text; empty where there was none.
        not_finite: where the result holds a number that is not finite.
        converged: what the fit says of itself.
        warnings: of the fit.
        seconds: wall time.
    """

    case: str
    seed: int
    raised: str
    not_finite: tuple[str, ...]
    converged: bool
    warnings: tuple[str, ...]
    seconds: float

    @property
    def unexplained(self) -> bool:
        """Whether something is wrong and neither a warning nor a message says so."""
        if self.raised:
            return not self.raised.partition(": ")[2]
        return bool(self.not_finite or not self.converged) and not self.warnings


def fit_from_random_weights(name: str, seed: int) -> RandomStart:
    """One fit of a case from one random start; what goes wrong is written down, not raised.

    Args:
        name: of the case.
        seed: of the weights.
    """
    problem = _problem(name)
    began = time.perf_counter()
    fitted, raised = attempt(lambda: _fit(problem, seed))
    not_finite, converged, warnings = fitted or ((), False, ())
    return RandomStart(
        case=name,
        seed=seed,
        raised=raised,
        not_finite=not_finite,
        converged=converged,
        warnings=warnings,
        seconds=time.perf_counter() - began,
    )


def _fit(problem: Problem, seed: int) -> tuple[tuple[str, ...], bool, tuple[str, ...]]:
    """Where the fit is not finite, whether it converged, and its warnings."""
    import udesys as ud
    from udesys.fit.options import FitOptions

    found = ud.fit(problem.model, problem.data, seed=seed, options=FitOptions(restarts=1))
    return where_not_finite(found, problem), found.converged, found.warnings


@functools.lru_cache(maxsize=4)
def _problem(name: str) -> Problem:
    from udesys.bench._cases import choose_cases

    (case,) = choose_cases([name])
    return case.make(DATA_SEED)


def where_not_finite(found: FitResult, problem: Problem) -> tuple[str, ...]:
    """The fields of a fit that hold NaN or an infinity.

    Args:
        found: the fit.
        problem: its points are asked for the missing terms.
    """
    import numpy as np

    fields = {
        "states": list(found.states),
        "parameters": [value for value, _ in found.parameters.values()],
        "terms": [t.values for t in found.terms.values()],
        "terms at the true states": [found.term(term, points)[0] for term, points in problem.points.items()],
        "error": list(found.error.values()),
    }
    return tuple(name for name, values in fields.items() if not all(np.isfinite(v).all() for v in values))


def summary(runs: Sequence[RandomStart]) -> dict[str, object]:
    """The headline numbers: how many fits went wrong, and how many without a reason.

    Args:
        runs: of any cases.
    """
    if not runs:
        return {}
    return {
        "fits": len(runs),
        "raised": sum(bool(r.raised) for r in runs),
        "not finite": sum(bool(r.not_finite) for r in runs),
        "not converged": sum(not r.converged for r in runs if not r.raised),
        "without a reason": sum(r.unexplained for r in runs),
        "median s": statistics.median(r.seconds for r in runs),
    }


def table(runs: Sequence[RandomStart]) -> str:
    """What went wrong, by case, as Markdown.

    Args:
        runs: of any cases.
    """
    if not runs:
        return "no runs"
    by_case = {name: [r for r in runs if r.case == name] for name in dict.fromkeys(r.case for r in runs)}
    rows = []
    for name, of_case in {**by_case, "**all**": runs}.items():
        *counts, seconds = summary(of_case).values()
        rows.append([name, *counts, f"{seconds:.2f}"])
    wrong = [
        f"- {r.case}, seed {r.seed}: {'; '.join(_wrong(r))}" for r in runs if r.raised or r.not_finite or r.unexplained
    ]
    return "\n".join([markdown(["case", *summary(runs)], rows), *(["", *wrong] if wrong else [])])


def _wrong(run: RandomStart) -> list[str]:
    if run.raised:
        return [f"raised {run.raised}"]
    wrong = [f"not finite: {', '.join(run.not_finite)}"] if run.not_finite else []
    wrong += [] if run.converged else ["not converged"]
    return [*wrong, "no warning says why"] if run.unexplained else wrong
