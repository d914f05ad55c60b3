"""Whether a law is what a built-in system is known to be.

A missing term is found where the formula is the true function for some choice of its constants and has no more of them
than the truth; a constant inside a function that the law itself offers as a simple fraction, as the 2 of sin(2*x), is
not counted. Coefficients are found where each lies within 5 % of its true value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from udesys.bench._same_form import IN_BOX, TrueTerm, linear_constants, true_term
from udesys.data import Trajectory
from udesys.model import HybridODE
from udesys.model import tree as T
from udesys.model.along_grid import GridLaw
from udesys.model.closed_form import Formula
from udesys.model.grammar import parse_expression
from udesys.model.program import Program
from udesys.select import RIVAL
from udesys.systems import System, simulate

if TYPE_CHECKING:
    from udesys.discover import Discovery

CLOSE = 0.05  # relative error of a coefficient that is found
MOST_POINTS = 2000  # of the true trajectories, at which formulas are compared


def judge_coefficients(system: System, law: Discovery) -> dict:
    """Every estimated coefficient beside its true value.

    Args:
        system: whose law is known.
        law: what was found.
    """
    estimates = {name: e.value for name, e in law.parameters.items() if not e.fixed}
    error = {name: abs(value / system.constants[name] - 1) for name, value in estimates.items()}
    found = max(error.values()) <= CLOSE
    answer = {name: f"{value:.4g}" for name, value in estimates.items()}
    return {"found": found, "listed": found, "answer": answer, "error": error}


def judge_terms(system: System, law: Discovery, truths: Mapping[str, TrueTerm] | None = None) -> dict:
    """Every missing term's formula beside its true one.

    Args:
        system: whose law is known.
        law: what was found.
        truths: the true terms, if they are at hand.
    """
    truths = truths or true_terms_of(system)
    answer = {term: law.residuals[term].expression for term in truths}
    values = {term: {name: e.value for name, e in law.residuals[term].constants.items()} for term in truths}
    winner = {term: Formula(parse_expression(text), values[term]) for term, text in answer.items()}
    error = {term: error_along(truth, _values(truth, winner[term])) for term, truth in truths.items()}
    offered = {term: _with_fractions(formula, term, law.simpler) for term, formula in winner.items()}
    found = all(truth.has_form(winner[term]) or truth.has_form(offered[term]) for term, truth in truths.items())
    within_reach = [c.residuals for c in law.candidates if c.delta < RIVAL and not c.diverged]
    listed = found or any(_all_true(truths, _with_some_constants(truths, texts)) for texts in within_reach)
    return {"found": found, "listed": listed, "answer": answer, "error": error}


def true_terms_of(system: System) -> dict[str, TrueTerm]:
    """The missing terms of a system as they truly are, by name, along its runs.

    Args:
        system: whose law is known.
    """
    exact = simulate(system)
    model, names = system.hybrid(), (*exact.columns, *exact.inputs, *exact.covariates)
    runs = exact.trajectories
    visited = np.concatenate([np.hstack([r.y, r.u, np.tile(r.covariates, (len(r.t), 1))]) for r in runs])
    if model.spatial:
        names = (*names, *(part.name for part in model.spatial))
        visited = np.hstack([visited, np.concatenate([_along_grid(model, points) for points in exact.runs.values()])])
    visited = visited[:: max(1, len(visited) // MOST_POINTS)]
    counts = system.free or [None] * len(system.missing)
    return {
        term: true_term(parse_expression(text), system.constants, names, visited, count)
        for term, text, count in zip(model.terms, system.missing.values(), counts, strict=True)
    }


def _along_grid(model: HybridODE, points: Sequence[Trajectory]) -> np.ndarray:
    """(points * times, operators) of the operators along the grid, point after point."""
    x = np.stack([point.y for point in points], 1)  # (times, n, d)
    return np.moveaxis(GridLaw(model).spatial(x), 0, 1).reshape(-1, len(model.spatial))


def _with_fractions(formula: Formula, term: str, simpler) -> Formula:
    """A formula with the fractions that the law offers for the constants inside its functions."""
    inner = {n: simpler[term, n] for n in formula.constants.keys() - linear_constants(formula) if (term, n) in simpler}
    numbers = {name: T.Number(float(fraction)) for name, fraction in inner.items()}
    rest = {name: value for name, value in formula.constants.items() if name not in inner}
    return Formula(T.substitute(formula.tree, numbers), rest)


def _with_some_constants(truths, texts: dict[str, str]) -> dict[str, Formula]:
    """Formulas whose constants' values are not known, and start at one."""
    formulas = {}
    for term, truth in truths.items():
        tree = parse_expression(texts[term])
        names = sorted(T.symbols(tree) - set(truth.arguments))
        formulas[term] = Formula(tree, dict.fromkeys(names, 1.0))
    return formulas


def _all_true(truths: dict[str, TrueTerm], formulas: dict[str, Formula]) -> bool:
    return all(truth.has_form(formulas[term]) for term, truth in truths.items())


def visited_points(truth: TrueTerm) -> np.ndarray:
    """(n, arguments) of a true term's points, those that the true trajectories visited."""
    return truth.points[: len(truth.points) - IN_BOX]


def error_along(truth: TrueTerm, values: np.ndarray) -> float:
    """Relative L2 error of a term along the true trajectories.

    Args:
        truth: the true term.
        values: (n,) of the other at its `visited_points`.
    """
    true = truth.values[: len(truth.points) - IN_BOX]
    return float(np.linalg.norm(values - true) / np.linalg.norm(true))


def _values(truth: TrueTerm, formula: Formula) -> np.ndarray:
    with np.errstate(all="ignore"):
        return Program([formula.tree], [*truth.arguments, *formula.constants]).run(
            [*visited_points(truth).T, *formula.constants.values()]
        )[0]
