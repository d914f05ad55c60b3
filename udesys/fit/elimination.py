"""The normal equations of multiple shooting: a band of nodes with a border of shared unknowns.

Each interval couples two neighbouring nodes and theta, so the nodes' block is block-tridiagonal. Eliminating it
by a banded Cholesky factor costs O(nodes); what is left is the Schur complement, a small dense matrix in theta.

Source: Bock, Numerical treatment of inverse problems in chemical reaction kinetics (1981); Bock, Kostina &
Schloeder, GAMM-Mitteilungen 30 (2007) 376.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve, cholesky_banded, lapack


class NormalEquations:
    """J^T J and J^T r of one linearisation, and damped steps from it.

    Args:
        start: (intervals,) start node of each interval.
        weight: (nodes, d) weight of the measurement error, zero where missing.
        error: (nodes, d) measurement minus node.
        penalty: (d,) weight of a squared defect.
        defect: (intervals, d) flow minus next node (plus multiplier).
        by_node: (intervals, d, d) derivative of the flow by its start.
        by_theta: (intervals, d, n_theta) derivative of the flow by theta.
        prior: (n_theta,) weight of each squared component of theta.
        prior_gradient: (n_theta,) half the gradient of the prior.
    """

    def __init__(self, start, weight, error, penalty, defect, by_node, by_theta, prior, prior_gradient):
        n, d = weight.shape
        self.n, self.d, self.n_theta, self.prior = n, d, by_theta.shape[2], prior
        pulled = np.swapaxes(by_node, 1, 2) * penalty  # by_node^T penalty
        diagonal = np.zeros((n, d, d))
        diagonal[:, range(d), range(d)] = weight
        diagonal[start] += pulled @ by_node
        diagonal[start[:, None] + 1, range(d), range(d)] += penalty
        self.band = _band(diagonal, -penalty[:, None] * by_node, start)
        weighted = penalty[:, None] * by_theta
        border = np.zeros((n, d, self.n_theta + 1))
        border[:, :, -1] = -weight * error
        border[start, :, -1] += (pulled @ defect[:, :, None])[:, :, 0]
        border[start + 1, :, -1] -= penalty * defect
        border[start, :, :-1] += pulled @ by_theta
        border[start + 1, :, :-1] -= weighted
        self.border = np.asfortranarray(border.reshape(n * d, self.n_theta + 1))
        flat, weighted = (a.reshape(defect.size, self.n_theta) for a in (by_theta, weighted))
        self.corner = flat.T @ weighted
        self.gradient = weighted.T @ defect.reshape(-1) + prior_gradient

    def step(self, damping: float, node_damping: np.ndarray, limits=(-np.inf, np.inf)):
        """The damped Gauss-Newton step.

        Args:
            damping: added to the Schur complement as a share of its diagonal.
            node_damping: (d,) added to every node's diagonal.
            limits: lowest and highest step of theta, numbers or (n_theta,) each.

        Returns:
            A `Step`, or None where the matrix is not positive definite at this damping.
        """
        band = self.band.copy()
        band[0] += np.tile(node_damping, self.n)
        try:
            factor = cholesky_banded(band, lower=True, check_finite=False)
            reduced = _forward(factor, self.border)
            z, r = reduced[:, :-1], reduced[:, -1]
            schur = self.corner - z.T @ z + np.diag(self.prior)
            damped = schur + damping * np.diag(np.maximum(np.diag(schur), 1e-12))
            theta = bounded_step(damped, self.gradient - z.T @ r, *limits)
        except (LinAlgError, ValueError):
            return None
        nodes = -_backward(factor, r + z @ theta).reshape(self.n, self.d)
        return Step(nodes, theta, schur, factor)


class Step:
    """A step in nodes (nodes, d) and theta, with the undamped Schur complement and the nodes' factor."""

    def __init__(self, nodes, theta, schur, factor):
        self.nodes, self.theta, self.schur, self._factor = nodes, theta, schur, factor

    def restore(self, gradient: np.ndarray) -> np.ndarray:
        """A chord Newton correction of the nodes alone for a new gradient (nodes, d)."""
        reduced = _forward(self._factor, np.asfortranarray(gradient.reshape(-1, 1)))
        return -_backward(self._factor, reduced[:, 0]).reshape(gradient.shape)


def bounded_step(matrix: np.ndarray, gradient: np.ndarray, low, high) -> np.ndarray:
    """The step to the minimum of a quadratic; what would cross a limit is held there while the rest goes on.

    Raises:
        LinAlgError: the matrix is not positive definite.
    """
    step, held = -cho_solve(cho_factor(matrix), gradient), np.zeros(len(gradient), bool)
    while ((step < low) | (step > high)).any():
        held |= (step < low) | (step > high)
        step, free = np.clip(step, low, high), np.flatnonzero(~held)
        if len(free):
            pull = gradient[free] + matrix[np.ix_(free, held)] @ step[held]
            step[free] = -cho_solve(cho_factor(matrix[np.ix_(free, free)]), pull)
    return step


def _band(diagonal: np.ndarray, below: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Lower band storage of a block-tridiagonal matrix; `below` is the block (start + 1, start)."""
    n, d, _ = diagonal.shape
    band = np.zeros((2 * d, n * d))
    for i in range(d):
        for j in range(i + 1):
            band[i - j, j::d] = diagonal[:, i, j]
        for j in range(d):
            band[d + i - j, start * d + j] = below[:, i, j]
    return band


def _forward(factor, rhs):
    return lapack.dtbtrs(factor, rhs, uplo="L")[0]


def _backward(factor, rhs):
    return lapack.dtbtrs(factor, rhs[:, None], uplo="L", trans="T")[0][:, 0]
