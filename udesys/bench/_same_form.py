"""Whether a formula has the form of a true term: whether some choice of its constants makes it that function.

Its constants are fitted to the true values, where the truth went and in a box around that, because two formulas are
the same function however they are written: c*x/(K + x) is a/(1 + b/x) and a*x/(1 + b*x).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from udesys.bench._cases import Problem
from udesys.model import tree as T
from udesys.model.closed_form import Formula
from udesys.model.grammar import parse_expression
from udesys.model.program import Program

SAME = 1e-4  # relative L2 mismatch below which two functions are one
MARGIN = 0.3  # of the visited range, by which the box is wider on each side
IN_BOX = 200  # points
STARTS = 6  # of the constants that do not enter linearly: the fitted ones, then these times random factors
SPREAD = 1.0  # standard deviation of the factors' logarithms
LOST = 10.0  # residual, in units of the truth, where a formula is not finite


@dataclass(frozen=True, kw_only=True)
class TrueTerm:
    """A missing term as it truly is.

    Attributes:
        formula: its simplest writing with the true constants.
        n_constants: how many a formula found from nothing needs.
        arguments: names.
        points: (n, arguments), the visited ones, then those in the box around them [data units].
        values: (n,) there.
        weights: (n,), by which the visited points and the box have norm 1/2 each.
    """

    formula: Formula
    n_constants: int
    arguments: tuple[str, ...]
    points: np.ndarray
    values: np.ndarray
    weights: np.ndarray

    def has_form(self, formula: Formula) -> bool:
        """Whether a formula is this function for some constants, and has no more of them than it needs."""
        return self.surplus(formula) <= 0 and self.contains(formula)

    def contains(self, formula: Formula) -> bool:
        """Whether a formula is this function for some choice of its constants, however many."""
        return self.mismatch(formula) < SAME

    def surplus(self, formula: Formula) -> int:
        """How many constants more than the truth a formula has."""
        return len(formula.constants) - self.n_constants

    def mismatch(self, formula: Formula) -> float:
        """Least relative L2 distance over the formula's constants that was found; infinite where it is not finite."""
        from scipy.optimize import least_squares

        family, least = _Family(formula, self), math.inf
        for start in family.starts():
            mismatch = float(np.linalg.norm(family.residual(start)))
            if len(start) and mismatch < LOST:
                scale = np.where(start == 0, 1.0, np.abs(start))
                found = least_squares(family.residual, start, jac="3-point", x_scale=scale, max_nfev=100)
                mismatch = math.sqrt(2 * found.cost)
            least = min(least, mismatch if mismatch < LOST else math.inf)
            if least < SAME:
                break
        return least


class _Family:
    """A formula with its constants free: the linear ones follow from the others.

    Source: Golub & Pereyra, SIAM J. Numer. Anal. 10 (1973) 413 (variable projection).
    """

    def __init__(self, formula: Formula, truth: TrueTerm):
        linear = linear_constants(formula)
        none = {name: T.ZERO for name in linear}
        trees = [T.substitute(formula.tree, none), *linear.values()]
        self.values = {name: value for name, value in formula.constants.items() if name not in linear}
        self.program = Program(trees, [*truth.arguments, *self.values])
        self.points, self.weights = list(truth.points.T), truth.weights
        self.target = truth.weights * truth.values

    def starts(self):
        """The fitted values of the constants that are not linear, then others; one empty start without any."""
        fitted = np.array(list(self.values.values()), dtype=float)
        yield fitted
        rng = np.random.default_rng(0)
        for _ in range(STARTS - 1 if len(fitted) else 0):
            yield np.where(fitted == 0, 1.0, fitted) * np.exp(SPREAD * rng.standard_normal(len(fitted)))

    def residual(self, values: np.ndarray) -> np.ndarray:
        """(n,) what the family leaves of the truth at the best linear constants; the truth has norm 1."""
        with np.errstate(all="ignore"):
            found = self.program.run([*self.points, *values])
            rows = [self.weights * np.broadcast_to(np.asarray(f, float), self.target.shape) for f in found]
        offset, columns = rows[0], np.stack([*rows[1:], np.zeros_like(self.target)], 1)
        norms = np.linalg.norm(columns, axis=0)
        if not (np.isfinite(offset).all() and np.isfinite(norms).all()):
            return np.full_like(self.target, LOST)
        columns = columns / np.where(norms > 0, norms, 1.0)
        left = self.target - offset
        return left - columns @ np.linalg.lstsq(columns, left, rcond=None)[0]


def linear_constants(formula: Formula) -> dict[str, T.Tree]:
    """Constants in which a formula is linear together -> its derivative by each."""
    linear: dict[str, T.Tree] = {}
    for name in formula.constants:
        slope = T.derivative(formula.tree, name)
        crossed = any(name in T.symbols(other) for other in linear.values())
        if not crossed and not T.symbols(slope) & {name, *linear}:
            linear[name] = slope
    return linear


def true_terms(problem: Problem) -> dict[str, TrueTerm]:
    """The missing terms of a problem as they truly are, by name."""
    model, law = problem.model, problem.law
    arguments = {term: slot.arguments for slot in model.slots for term in slot.terms}
    values = {name: c.value for name, c in law.constants.items()}
    return {
        term: true_term(parse_expression(text), values, arguments[term], problem.points[term])
        for term, text in zip(model.terms, law.terms.values(), strict=True)
    }


def true_term(
    tree: T.Tree,
    constants: Mapping[str, float],
    arguments: tuple[str, ...],
    visited: np.ndarray,
    n_constants: int | None = None,
) -> TrueTerm:
    """A missing term as it truly is, from its formula.

    Args:
        tree: its formula over `arguments` and `constants`.
        constants: name -> true value, of this formula and of others.
        arguments: names.
        visited: (n, arguments), where the truth went [data units].
        n_constants: how many a formula found from nothing needs; those of `tree` where it is None.
    """
    used = {name: value for name, value in constants.items() if name in T.symbols(tree)}
    points = np.concatenate([visited, _box_around(visited)])
    (values,) = Program([tree], [*arguments, *used]).run([*points.T, *used.values()])
    values = np.broadcast_to(np.asarray(values, float), len(points))  # a bare constant is one number
    parts = np.split(values, [len(visited)])
    weights = np.concatenate([np.full(len(part), math.sqrt(0.5) / np.linalg.norm(part)) for part in parts])
    return TrueTerm(
        formula=Formula(tree, used),
        n_constants=len(used) if n_constants is None else n_constants,
        arguments=arguments,
        points=points,
        values=values,
        weights=weights,
    )


def _box_around(visited: np.ndarray) -> np.ndarray:
    """(IN_BOX, arguments) in a box wider than what was visited; what is positive stays so."""
    low, high = visited.min(0), visited.max(0)
    margin = MARGIN * (high - low)
    lowest = np.where(low >= 0, np.maximum(low - margin, (1 - MARGIN) * low), low - margin)
    return np.random.default_rng(0).uniform(lowest, high + margin, (IN_BOX, visited.shape[1]))
