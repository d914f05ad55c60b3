"""The normal equations of multiple shooting: a band of nodes with a border of shared unknowns.

Each interval couples two neighbouring nodes and theta, so the nodes' block is block-tridiagonal. Eliminating it
by a banded Cholesky factor costs O(nodes); what is left is the Schur complement, a small dense matrix in theta.

Source: Bock, Numerical treatment of inverse problems in chemical reaction kinetics (1981); Bock, Kostina &
Schloeder, GAMM-Mitteilungen 30 (2007) 376.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from scipy.linalg import LinAlgError, lapack

LEAST_DIAGONAL = 1e-12  # that a damping counts


class Errors:
    """Squared measurement errors linearised about the nodes.

    Args:
        weight: (nodes, m) weight of each measurement, states first; zero where missing.
        error: (nodes, m) measurement minus output.
        by_state: (nodes, observables, d) derivative of the observables by the state, or None without any.
        by_parameter: (nodes, observables, p) by the last p components of theta.
    """

    def __init__(self, weight, error, by_state=None, by_parameter=None):
        self.d = weight.shape[1] - (0 if by_state is None else by_state.shape[1])
        self.weight, self.error, self.by_state, self.by_parameter = weight, error, by_state, by_parameter

    def node_gradient(self) -> np.ndarray:
        """J^T W r by the states, (nodes, d)."""
        d = self.d
        gradient = -self.weight[:, :d] * self.error[:, :d]
        if self.by_state is not None:
            pulled = np.swapaxes(self.by_state, 1, 2) * self.weight[:, None, d:]
            gradient -= (pulled @ self.error[:, d:, None])[:, :, 0]
        return gradient

    def add_to(self, diagonal: np.ndarray, border: np.ndarray, corner: np.ndarray, gradient: np.ndarray, at) -> None:
        """Add J^T W J and J^T W r to the nodes' blocks (n, d, d), the border (n, d, P + 1) and theta's corner."""
        d = self.d
        for j in range(d):
            diagonal[at, j, j] += self.weight[:, j]
        border[at, :, -1] -= self.weight[:, :d] * self.error[:, :d]
        if self.by_state is None:
            return
        weight, error = self.weight[:, d:], self.error[:, d:]
        pulled = np.swapaxes(self.by_state, 1, 2) * weight[:, None]
        diagonal[at] += pulled @ self.by_state
        border[at, :, -1] -= (pulled @ error[:, :, None])[:, :, 0]
        n_p = self.by_parameter.shape[2]
        if n_p:
            first = len(gradient) - n_p
            border[at, :, first:-1] += pulled @ self.by_parameter
            flat = self.by_parameter.reshape(-1, n_p)
            weighted = flat * weight.reshape(-1, 1)
            corner[first:, first:] += flat.T @ weighted
            gradient[first:] -= weighted.T @ error.reshape(-1)


def shooting_equations(start, errors: Errors, penalty, defect, by_node, by_theta, prior, prior_gradient):
    """Normal equations of multiple shooting, whose interval couples two neighbouring nodes.

    Args:
        start: (intervals,) start node of each interval.
        errors: at every node.
        penalty: (d,) weight of a squared defect.
        defect: (intervals, d) flow minus next node (plus multiplier).
        by_node: (intervals, d, d) derivative of the flow by its start.
        by_theta: (intervals, d, n_theta) derivative of the flow by theta.
        prior: (n_theta,) weight of each squared component of theta.
        prior_gradient: (n_theta,) half the gradient of the prior.
    """
    n, d, n_theta = len(errors.weight), errors.d, by_theta.shape[2]
    diagonal, border, band = np.zeros((n, d, d)), np.zeros((n, d, n_theta + 1)), np.zeros((2 * d, n * d))
    _couple(start, penalty, defect, by_node, by_theta, diagonal, border, band)
    flat = by_theta.reshape(defect.size, n_theta)
    weighted = flat * np.tile(penalty, len(start))[:, None]
    corner = flat.T @ weighted
    gradient = weighted.T @ defect.reshape(-1) + prior_gradient
    errors.add_to(diagonal, border, corner, gradient, slice(None))
    for i in range(d):
        for j in range(i + 1):
            band[i - j, j::d] = diagonal[:, i, j]
    return NormalEquations(band, border, corner, gradient, prior)


@njit(cache=True)
def _couple(start, penalty, defect, by_node, by_theta, diagonal, border, band):
    """Add J^T W J and J^T W r of the defects to the nodes' blocks, the border and, below the blocks, the band."""
    n, d, n_theta = by_theta.shape
    for k in range(n):
        node = start[k]
        for r in range(d):
            for j in range(d):
                pulled = by_node[k, r, j] * penalty[r]
                for q in range(d):
                    diagonal[node, j, q] += pulled * by_node[k, r, q]
                for q in range(n_theta):
                    border[node, j, q] += pulled * by_theta[k, r, q]
                border[node, j, n_theta] += pulled * defect[k, r]
                band[d + r - j, node * d + j] = -pulled
            for q in range(n_theta):
                border[node + 1, r, q] -= penalty[r] * by_theta[k, r, q]
            border[node + 1, r, n_theta] -= penalty[r] * defect[k, r]
            diagonal[node + 1, r, r] += penalty[r]


class NormalEquations:
    """J^T J and J^T r of one linearisation, and damped steps from it.

    Args:
        band: lower band storage of the nodes' block.
        border: (nodes, d, n_theta + 1), the coupling to theta, and the nodes' gradient.
        corner: (n_theta, n_theta).
        gradient: (n_theta,), the prior's included.
        prior: (n_theta,) weight of each squared component of theta.
    """

    def __init__(self, band, border, corner, gradient, prior):
        self.n, self.d, self.n_theta = border.shape[0], border.shape[1], border.shape[2] - 1
        self.band, self.corner, self.gradient, self.prior = band, corner, gradient, prior
        self.border = border.reshape(self.n * self.d, -1)

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
        factor, failed = lapack.dpbtrf(band, lower=1, overwrite_ab=1)
        if failed:
            return None
        reduced = self.border.copy()
        _forward(factor, reduced)
        z, r = reduced[:, :-1], reduced[:, -1]
        schur = self.corner - z.T @ z
        schur.reshape(-1)[:: self.n_theta + 1] += self.prior
        try:
            theta = bounded_step(damped(schur, damping), self.gradient - z.T @ r, *limits)
        except LinAlgError:
            return None
        nodes = -_backward(factor, r + z @ theta).reshape(self.n, self.d)

        def correct(gradient):
            down = gradient.reshape(-1, 1).copy()
            _forward(factor, down)
            return -_backward(factor, down[:, 0]).reshape(gradient.shape)

        return Step(nodes, theta, schur, correct)


class SaddlePoint:
    """The same step from a system that does not square the condition of the defects: for stiff equations.

    The forces on the residuals, f = penalty (J dn + J_theta dtheta + r), are unknowns beside the nodes:

        -f / penalty + J dn + J_theta dtheta = -r,      J^T f + H dn = -g.

    A sparse LU factor replaces the Cholesky factor; the Schur complement in theta is the same.

    Source: Björck, Numerical Methods for Least Squares Problems (1996), sec. 2.7.

    Args:
        nodes_of: (steps, run) the nodes that a step couples.
        sample: (samples,) nodes at which the errors are.
        n_nodes: number of nodes.
        errors: the measurement errors.
        penalty: (rows,) weight of each squared residual.
        residual: (steps, rows).
        by_nodes: (steps, rows, run * d).
        by_theta: (steps, rows, n_theta).
        prior, prior_gradient: as for `shooting_equations`.
    """

    def __init__(
        self, nodes_of, sample, n_nodes, errors: Errors, penalty, residual, by_nodes, by_theta, prior, prior_gradient
    ):
        self.n, self.d, self.n_theta, self.prior = n_nodes, errors.d, by_theta.shape[2], prior
        steps, rows = residual.shape
        self.n_rows = steps * rows
        root = np.sqrt(penalty)  # residuals in units of their weight
        self._root = root
        self.residual = (residual * root).reshape(-1)
        self.by_theta = (by_theta * root[:, None]).reshape(self.n_rows, self.n_theta)
        columns = (nodes_of[:, :, None] * self.d + np.arange(self.d)).reshape(steps, 1, -1)
        self._columns = np.broadcast_to(columns, by_nodes.shape).reshape(-1)
        self._rows = np.repeat(np.arange(self.n_rows), by_nodes.shape[2])
        self._values = (by_nodes * root[:, None]).reshape(-1)
        self.diagonal = np.zeros((n_nodes, self.d, self.d))
        border = np.zeros((n_nodes, self.d, self.n_theta + 1))
        self.corner, self.gradient = np.zeros((self.n_theta, self.n_theta)), prior_gradient.copy()
        errors.add_to(self.diagonal, border, self.corner, self.gradient, sample)
        border = border.reshape(n_nodes * self.d, -1)
        top = np.concatenate([self.by_theta, self.residual[:, None]], 1)
        self.border = np.concatenate([top, border])

    def step(self, damping: float, node_damping: np.ndarray, limits=(-np.inf, np.inf)):
        """The damped step, as `NormalEquations.step`; None where the system is singular."""
        from scipy.sparse import coo_array
        from scipy.sparse.linalg import splu

        n, d, rows = self.n, self.d, self.n_rows
        blocks = self.diagonal + np.diag(node_damping)
        at = rows + np.arange(n * d).reshape(n, d)
        i = np.concatenate([np.arange(rows), self._rows, rows + self._columns, np.repeat(at, d, 1).reshape(-1)])
        j = np.concatenate([np.arange(rows), rows + self._columns, self._rows, np.tile(at, (1, d)).reshape(-1)])
        values = np.concatenate([-np.ones(rows), self._values, self._values, blocks.reshape(-1)])
        size = rows + n * d
        try:
            factor = splu(coo_array((values, (i, j)), shape=(size, size)).tocsc())
            solved = factor.solve(self.border)
            pulled = self.border[:, :-1].T @ solved
            schur = self.corner - pulled[:, :-1] + np.diag(self.prior)
            schur = 0.5 * (schur + schur.T)
            theta = bounded_step(damped(schur, damping), self.gradient - pulled[:, -1], *limits)
        except (LinAlgError, RuntimeError):  # RuntimeError: SuperLU's word for singular
            return None
        nodes = -(solved[:, -1] + solved[:, :-1] @ theta)[rows:].reshape(n, d)

        def correct(residual, gradient):
            weighted = residual * self._root
            whole = np.concatenate([weighted.reshape(-1), gradient.reshape(-1)])
            return -factor.solve(whole)[rows:].reshape(n, d)

        return Step(nodes, theta, schur, correct)


class Step:
    """A step in nodes (nodes, d) and theta, with the undamped Schur complement.

    `correct` gives a chord Newton correction (nodes, d) of the nodes alone: from a new gradient (nodes, d), or for
    a `SaddlePoint` from new residuals and the gradient of the errors.
    """

    def __init__(self, nodes, theta, schur, correct):
        self.nodes, self.theta, self.schur, self.correct = nodes, theta, schur, correct


def damped(matrix: np.ndarray, damping: float) -> np.ndarray:
    """A matrix with a share of its diagonal added to it."""
    result = matrix.copy()
    diagonal = result.reshape(-1)[:: len(matrix) + 1]
    diagonal += damping * np.maximum(diagonal, LEAST_DIAGONAL)
    return result


def bounded_step(matrix: np.ndarray, gradient: np.ndarray, low, high) -> np.ndarray:
    """The step to the minimum of a quadratic; what would cross a limit is held there while the rest goes on.

    Raises:
        LinAlgError: the matrix is not positive definite.
    """
    step = -_solve(matrix, gradient)
    over = (step < low) | (step > high)
    held = np.zeros(len(gradient), bool)
    while over.any():
        held |= over
        step, free = np.clip(step, low, high), np.flatnonzero(~held)
        if len(free):
            pull = gradient[free] + matrix[np.ix_(free, held)] @ step[held]
            step[free] = -_solve(matrix[np.ix_(free, free)], pull)
        over = (step < low) | (step > high)
    return step


def _solve(matrix: np.ndarray, rhs: np.ndarray) -> np.ndarray:
    """Solution for a symmetric matrix; LinAlgError where it is not positive definite, or not finite."""
    if not len(rhs):
        return rhs.copy()
    if np.isfinite(matrix).all():
        _, solution, failed = lapack.dposv(matrix.T, rhs)
        if not failed and np.isfinite(solution).all():
            return solution
    raise LinAlgError("the matrix is not positive definite")


def symmetric_inverse(matrix: np.ndarray) -> np.ndarray:
    """Inverse of a symmetric matrix; the pseudo-inverse where it is singular."""
    factor, failed = lapack.dpotrf(matrix.T, lower=1)
    if not failed:
        inverse, failed = lapack.dpotri(factor, lower=1)
    if failed or not np.isfinite(inverse).all():
        try:
            return np.linalg.inv(matrix)
        except LinAlgError:
            return np.linalg.pinv(matrix)
    return np.tril(inverse) + np.tril(inverse, -1).T


def inverse_diagonal(matrix: np.ndarray) -> np.ndarray:
    """Diagonal of the inverse of a symmetric matrix.

    Raises:
        LinAlgError: the matrix is singular.
    """
    factor, failed = lapack.dpotrf(matrix.T, lower=1)
    if not failed:
        root, failed = lapack.dtrtri(factor, lower=1)
    if failed:  # not positive definite
        return np.diag(np.linalg.inv(matrix))
    return (root * root).sum(0)


@njit(cache=True)
def _forward(factor, rhs):
    """Solve with the lower factor of a band (bands, n) in place; rhs is (n, columns)."""
    bands, n = factor.shape
    for i in range(n):
        for k in range(1, min(bands, i + 1)):
            value = factor[k, i - k]
            for q in range(rhs.shape[1]):
                rhs[i, q] -= value * rhs[i - k, q]
        for q in range(rhs.shape[1]):
            rhs[i, q] /= factor[0, i]


def _backward(factor, rhs):
    return lapack.dtbtrs(factor, rhs[:, None], uplo="L", trans="T")[0][:, 0]
