"""Terms with constants inside, fitted by variable projection: coefficients are eliminated, only the inner ones move.

Source: Golub & Pereyra, Inverse Problems 19 (2003) R1; the Jacobian is Kaufman's, BIT 15 (1975) 49.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from udesys.model import tree as T
from udesys.model.program import Program
from udesys.search.candidate import Candidate, make_candidate
from udesys.search.task import Task

ITERATIONS, TRIALS = 12, 5
CONVERGED = 1e-6  # relative gain that ends it
LARGEST_STEP = 1.5  # of a constant, relative, in one iteration
FLOOR = 1e-12  # of the target's square: what counts as an exact fit
DEPENDENT = 1e-7  # singular value, relative, below which terms say the same


@dataclass(frozen=True)
class Projected:
    """What terms come to.

    Attributes:
        coefficients: one for each term.
        inner: constants inside the terms.
        squares: residual sum of squares.
        loss: the same over the number of rows.
    """

    coefficients: np.ndarray
    inner: dict[str, float]
    squares: float
    loss: float


def evaluate(terms: Sequence[T.Tree], inner: Mapping[str, float], task: Task) -> np.ndarray:
    """(points, terms) of terms with constants inside."""
    return _run(_program(tuple(terms), (*task.arguments, *inner)), inner, task)


def project(terms: Sequence[T.Tree], inner: Mapping[str, float], task: Task) -> Projected | None:
    """Coefficients and inner constants that leave least of the task's target.

    Args:
        terms: over the task's arguments and the inner constants.
        inner: constant -> where it starts.
        task: what is fitted.

    Returns:
        None where the terms are not finite or say the same.
    """
    terms, names = tuple(terms), tuple(inner)
    values = _program(terms, (*task.arguments, *names))
    slopes = _program(_slopes(terms, names), (*task.arguments, *names)) if names else None
    inner = {name: float(value) for name, value in inner.items()}
    point = _solve(_run(values, inner, task), task)
    if point is None or not names:
        return point and Projected(point.coefficients, inner, point.squares, point.squares / point.rows)
    damping = 1e-3
    for _ in range(ITERATIONS):
        moved, damping = _improved(point, inner, values, slopes, damping, task)
        if moved is None:
            break
        gain = (point.squares - moved[1].squares) / max(point.squares, 1e-300)
        inner, point = moved
        if gain < CONVERGED or point.squares < FLOOR * point.square:
            break
    return Projected(point.coefficients, inner, point.squares, point.squares / point.rows)


def solve(terms: Sequence[T.Tree], inner: Mapping[str, float], task: Task) -> Projected | None:
    """Coefficients alone, at given inner constants; None where the terms are not finite or say the same."""
    point = _solve(evaluate(terms, inner, task), task)
    return point and Projected(point.coefficients, dict(inner), point.squares, point.squares / point.rows)


def scored(terms: Sequence[T.Tree], found: Projected, task: Task, engine: str) -> Candidate:
    """Terms and what they came to as a candidate, its score n ln(RSS / n) + k ln n + 2 prior."""
    made = make_candidate(
        terms,
        found.coefficients,
        found.inner,
        taken=task.names,
        loss=found.loss,
        score=0.0,
        engine=engine,
        prior=task.prior,
    )
    target = task.response.target
    fit = float(score_of_squares(found.squares, len(target), float(target @ target)))
    return replace(made, score=fit + len(made.formula.constants) * math.log(max(len(target), 2)) + 2.0 * made.prior)


def score_of_squares(left, n: int, square: float):
    """n ln(RSS / n), with a floor below which a fit counts as exact."""
    return n * np.log((np.maximum(left, 0.0) + FLOOR * square + 1e-300) / n)


@dataclass(frozen=True)
class _Point:
    coefficients: np.ndarray
    squares: float
    square: float
    rest: np.ndarray
    basis: np.ndarray
    rows: int


@lru_cache(maxsize=4096)
def _program(terms: tuple[T.Tree, ...], inputs: tuple[str, ...]) -> Program:
    return Program(terms, inputs)


@lru_cache(maxsize=4096)
def _slopes(terms: tuple[T.Tree, ...], names: tuple[str, ...]) -> tuple[T.Tree, ...]:
    return tuple(T.derivative(term, name) for name in names for term in terms)


def _run(program: Program, inner: Mapping[str, float], task: Task) -> np.ndarray:
    with np.errstate(all="ignore"):
        values = program.run([*task.points.T, *map(np.float64, inner.values())])  # not complex, as Python's powers are
    return np.stack([np.broadcast_to(np.asarray(v, float), len(task.points)) for v in values], 1)


def _solve(columns: np.ndarray, task: Task) -> _Point | None:
    """Least squares on the rows, with an orthonormal basis of what the columns span there."""
    sizes = np.abs(columns).max(0)
    if not np.isfinite(sizes).all() or (sizes == 0).any():
        return None
    target = task.response.target
    rows = task.respond(columns / sizes)
    norms = np.linalg.norm(rows, axis=0)
    if not (norms > 0).all() or not np.isfinite(norms).all() or len(target) <= columns.shape[1]:
        return None
    try:
        left, singular, right = np.linalg.svd(rows / norms, full_matrices=False)
    except np.linalg.LinAlgError:
        return None
    if singular[-1] < DEPENDENT * singular[0]:
        return None
    coefficients = right.T @ ((left.T @ target) / singular)
    rest = target - left @ (left.T @ target)
    return _Point(coefficients / norms / sizes, float(rest @ rest), float(target @ target), rest, left, len(target))


def _improved(point: _Point, inner: dict[str, float], values: Program, slopes: Program, damping: float, task: Task):
    """A better point with its constants, or None, and the damping to go on with."""
    columns = _run(slopes, inner, task).reshape(len(task.points), len(inner), -1) @ point.coefficients
    if not np.isfinite(columns).all():
        return None, damping
    jacobian = task.respond(columns)
    jacobian = jacobian - point.basis @ (point.basis.T @ jacobian)
    size = np.array([max(abs(v), 1e-12) for v in inner.values()])
    scaled = jacobian * size  # relative steps: constants differ by orders of magnitude
    with np.errstate(all="ignore"):
        hessian, gradient = scaled.T @ scaled, scaled.T @ point.rest
    if not (np.isfinite(hessian).all() and np.isfinite(gradient).all()):
        return None, damping
    for _ in range(TRIALS):
        damped = hessian + np.diag(damping * np.diag(hessian) + 1e-14 * max(np.trace(hessian), 1e-300))
        try:
            step = np.linalg.lstsq(damped, gradient, rcond=None)[0]
        except np.linalg.LinAlgError:  # columns of such different sizes that no decomposition converges
            return None, damping
        step = step / max(1.0, np.abs(step).max() / LARGEST_STEP)
        trial = {n: v + float(h * s) for (n, v), h, s in zip(inner.items(), step, size, strict=True)}
        found = _solve(_run(values, trial, task), task)
        if found is not None and found.squares < point.squares:
            return (trial, found), max(damping / 8, 1e-9)
        damping = max(8 * damping, 1e-6)
    return None, damping
