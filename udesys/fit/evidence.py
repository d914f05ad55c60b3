"""Comparing fits of the same data: the marginal likelihood of the weights, and whether a fit is feasible."""

from __future__ import annotations

import contextlib
import math

import numpy as np

from udesys.fit.hyperparameters import STUDENT
from udesys.fit.problem import ShootingProblem
from udesys.fit.unknowns import Unknowns

FEASIBLE_DEFECT = 0.05  # of the noise: a fit with larger defects is no solution of its own equation
STUDENT_CONSTANT = (  # of -2 log density of Student's t beside a Gaussian's
    2.0 * (math.lgamma(STUDENT / 2) - math.lgamma((STUDENT + 1) / 2)) + math.log(STUDENT / 2)
)
INFEASIBLE = 1e9  # added to the evidence of such a fit, so that any feasible one is preferred


def largest_defect(problem: ShootingProblem, unknowns: Unknowns) -> float:
    """Largest jump between an interval's end and the next node, in units of the noise."""
    end = problem.flow(unknowns.nodes, unknowns.theta)
    with np.errstate(invalid="ignore"):
        defect = np.abs((end - unknowns.nodes[problem.start + 1]) / unknowns.sigma[: problem.d]).max()
    return float(defect) if np.isfinite(defect) else np.inf


def common_share(problem: ShootingProblem, worth: np.ndarray) -> float:
    """The share of all measurements that counts, where each column counts by its worth (m,)."""
    return float(np.average(worth[problem.measured], weights=problem.counts[problem.measured]))


def log_determinant(matrix: np.ndarray) -> float:
    """Of a positive definite matrix, which rounding may have made indefinite; infinite where it is not finite.

    Exact data give normal matrices whose eigenvalues span more than the digits there are. In units of the diagonal
    what is below rounding counts as rounding, so that the determinant is rather too large than too small.
    """
    if not np.isfinite(matrix).all() or not (np.diag(matrix) > 0).all():
        return np.inf
    with contextlib.suppress(np.linalg.LinAlgError):
        return 2.0 * float(np.log(np.diag(np.linalg.cholesky(matrix))).sum())
    root = np.sqrt(np.diag(matrix))
    values = np.linalg.eigvalsh(matrix / np.outer(root, root))
    least = len(matrix) * np.finfo(float).eps
    return float(np.log(np.maximum(values, least)).sum() + 2.0 * np.log(root).sum())


def minus_twice_log_evidence(problem: ShootingProblem, unknowns: Unknowns, worth: np.ndarray | None = None) -> float:
    """-2 log marginal likelihood up to a constant (Laplace approximation); lower is better.

    Args:
        worth: (m,) share of each column's measurements that counts; the fit's own if None. Fits are compared with
            one worth.

    Source: MacKay, Neural Computation 4 (1992) 415, eq. 2.27 and following.
    """
    u, n = unknowns, problem.field.n_weights
    worth = u.worth if worth is None else worth
    squares = problem.mask * (problem.y - problem.outputs(u.nodes, u.theta)) ** 2 / u.sigma**2
    if u.loss == "student":
        squares = (STUDENT + 1.0) * np.log1p(squares / STUDENT) + STUDENT_CONSTANT * problem.mask
    error = (worth * squares.sum(0)).sum()
    noise = (2.0 * worth * problem.counts * np.log(u.sigma))[problem.measured].sum()
    value = error + noise + u.penalty(u.theta)
    if u.schur is not None and u.schur.size:
        share = common_share(problem, worth) / common_share(problem, u.worth)
        determinant = log_determinant(share * u.schur + (1.0 - share) * np.diag(u.prior))
        value += determinant - np.log(u.prior[:n]).sum()
    if not largest_defect(problem, u) < FEASIBLE_DEFECT:
        value += INFEASIBLE
    return float(value) if np.isfinite(value) else 1e3 * INFEASIBLE
