"""The normal equations of multiple shooting: a band of nodes with a border of shared unknowns.

Each interval couples two neighbouring nodes and theta, so the nodes' matrix is block-tridiagonal. Eliminating it by a
Cholesky factor costs O(nodes); what is left is the Schur complement, a small dense matrix in theta. The border, as
wide as theta, is never whole: one chunk of nodes after another is written, eliminated and added up while it is in
the processor's cache.

Source: Bock, Numerical treatment of inverse problems in chemical reaction kinetics (1981); Bock, Kostina &
Schloeder, GAMM-Mitteilungen 30 (2007) 376.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from scipy.linalg import LinAlgError, lapack

LEAST_DIAGONAL = 1e-12  # that a damping counts
CHUNK = 256  # nodes eliminated at once; with a hundred weights and two states their border takes 0.4 MB


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
        self.p = 0 if by_state is None else by_parameter.shape[2]

    def _pulled(self, at=slice(None)) -> np.ndarray:
        """Weighted derivatives (nodes, d, observables) of the observables by the state."""
        return np.swapaxes(self.by_state[at], 1, 2) * self.weight[at, None, self.d :]

    def blocks(self) -> np.ndarray:
        """J^T W J of every node's state, (nodes, d, d)."""
        blocks = self.weight[:, : self.d, None] * np.eye(self.d)
        return blocks if self.by_state is None else blocks + self._pulled() @ self.by_state

    def coupling(self, at=slice(None)) -> np.ndarray:
        """J^T W J of the states of nodes `at` with the last p components of theta, (nodes, d, p)."""
        if not self.p:
            return np.zeros((len(self.weight[at]), self.d, 0))
        return self._pulled(at) @ self.by_parameter[at]

    def node_gradient(self, step: np.ndarray | None = None) -> np.ndarray:
        """J^T W r by the states, (nodes, d), or what the linearisation makes of it after a step of theta."""
        d, error = self.d, self.error
        gradient = -self.weight[:, :d] * error[:, :d]
        if self.by_state is not None:
            left = error[:, d:]
            if step is not None and self.p:
                left = left - self.by_parameter @ step[-self.p :]
            gradient -= (self._pulled() @ left[:, :, None])[:, :, 0]
        return gradient

    def add_to(self, corner: np.ndarray, gradient: np.ndarray) -> None:
        """Add J^T W J and J^T W r to theta's (n_theta, n_theta) and (n_theta,)."""
        if self.p:
            flat = self.by_parameter.reshape(-1, self.p)
            weighted = flat * self.weight[:, self.d :].reshape(-1, 1)
            corner[-self.p :, -self.p :] += flat.T @ weighted
            gradient[-self.p :] -= weighted.T @ self.error[:, self.d :].reshape(-1)


def shooting_equations(start, errors: Errors, penalty, defect, by_node, by_theta, prior, prior_gradient):
    """Normal equations of multiple shooting, whose interval couples two neighbouring nodes.

    Args:
        start: (intervals,) start node of each interval, increasing.
        errors: at every node.
        penalty: (d,) weight of a squared defect.
        defect: (intervals, d) flow minus next node (plus multiplier).
        by_node: (intervals, d, d) derivative of the flow by its start.
        by_theta: (intervals, d, n_theta) derivative of the flow by theta; not copied.
        prior: (n_theta,) weight of each squared component of theta.
        prior_gradient: (n_theta,) half the gradient of the prior.
    """
    return NormalEquations(start, errors, penalty, defect, by_node, by_theta, prior, prior_gradient)


class NormalEquations:
    """J^T J and J^T r of one linearisation, and damped steps from it; arguments as for `shooting_equations`.

    Attributes:
        node_gradient: (nodes, d).
        corner: (n_theta, n_theta), without the prior.
        gradient: (n_theta,), the prior's included.
    """

    def __init__(self, start, errors: Errors, penalty, defect, by_node, by_theta, prior, prior_gradient):
        self.errors, self.defect, self.by_theta, self.prior = errors, defect, by_theta, prior
        self.intervals = (start, penalty, by_node)
        self.node_gradient = errors.node_gradient()
        add_pull(self.node_gradient, start, penalty * defect, by_node)
        n_theta, root = len(prior), np.sqrt(penalty)
        self.corner, self.gradient = np.zeros((n_theta, n_theta)), prior_gradient.copy()
        errors.add_to(self.corner, self.gradient)
        for a in range(0, len(start) if n_theta else 0, CHUNK):
            rows = (by_theta[a : a + CHUNK] * root[:, None]).reshape(-1, n_theta)
            self.corner += rows.T @ rows
            self.gradient += (defect[a : a + CHUNK] * root).reshape(-1) @ rows

    def step(self, damping: float, node_damping: np.ndarray, limits=(-np.inf, np.inf)):
        """The damped Gauss-Newton step.

        Args:
            damping: added to the Schur complement as a share of its diagonal.
            node_damping: (d,) added to every node's diagonal.
            limits: lowest and highest step of theta, numbers or (n_theta,) each.

        Returns:
            A `Step`, or None where the matrix is not positive definite at this damping.
        """
        blocks = self.errors.blocks()
        factor = blocks, np.empty_like(blocks)
        if not _factorise(*self.intervals, node_damping, *factor):
            return None
        schur, gradient = self._eliminated(factor)
        schur.reshape(-1)[:: len(gradient) + 1] += self.prior
        try:
            theta = bounded_step(damped(schur, damping), gradient, *limits)
        except LinAlgError:
            return None

        def correct(gradient):
            nodes = -gradient
            _solve_nodes(*factor, nodes)
            return nodes

        return Step(correct(self._gradient_after(theta)), theta, schur, correct)

    def _eliminated(self, factor):
        """Schur complement without the prior, and theta's gradient, with the nodes eliminated."""
        (n, d), n_theta = self.node_gradient.shape, len(self.prior)
        schur, gradient = self.corner.copy(), self.gradient.copy()
        room = np.empty((min(n, CHUNK) + 1, d, n_theta + 1))  # a chunk's border; first, the last node before it
        for a in range(0, n if n_theta else 0, CHUNK):
            size = min(CHUNK, n - a)
            coupling = self.errors.coupling(slice(a, a + size))
            _reduce(a, *self.intervals, self.by_theta, coupling, self.node_gradient, *factor, room[: size + 1])
            border = room[1 : size + 1].reshape(size * d, -1)
            square = border.T @ border
            schur -= square[:-1, :-1]
            gradient -= square[:-1, -1]
            room[0] = room[size]
        return schur, gradient

    def _gradient_after(self, theta):
        """The nodes' gradient (nodes, d) after a step of theta."""
        start, penalty, by_node = self.intervals
        if not len(theta):
            return self.node_gradient
        gradient = self.errors.node_gradient(theta)
        add_pull(gradient, start, penalty * (self.defect + self.by_theta @ theta), by_node)
        return gradient

    def log_determinant(self) -> float:
        """Of the nodes' undamped matrix; infinite where it is not positive definite."""
        blocks = self.errors.blocks()
        if not _factorise(*self.intervals, np.zeros(self.errors.d), blocks, np.empty_like(blocks)):
            return np.inf
        return 2.0 * float(np.log(np.diagonal(blocks, axis1=1, axis2=2)).sum())


@njit(cache=True)
def add_pull(gradient, start, pull, by_node):
    """Add the gradient by the nodes of defects (intervals, d) times their weight; gradient is (nodes, d)."""
    n, d = pull.shape
    for k in range(n):
        for r in range(d):
            for j in range(d):
                gradient[start[k], j] += by_node[k, r, j] * pull[k, r]
            gradient[start[k] + 1, r] -= pull[k, r]


@njit(cache=True, error_model="numpy")
def _factorise(start, penalty, by_node, node_damping, lower, coupling):
    """Block Cholesky factor of the nodes' matrix; False where it is not positive definite.

    Args:
        lower: (nodes, d, d) J^T W J of the errors; lower triangles of the factor afterwards.
        coupling: (nodes, d, d), filled with the factor's blocks beside them, of each node with the one before.
    """
    (n, d, _), k = lower.shape, 0
    for i in range(n):
        own, beside = lower[i], coupling[i]
        before = k - 1 if k > 0 and start[k - 1] == i - 1 else -1
        k += k < len(start) and start[k] == i
        after = k - 1 if k > 0 and start[k - 1] == i else -1
        for r in range(d):
            own[r, r] += node_damping[r]
            if before >= 0:
                own[r, r] += penalty[r]
            for j in range(d):
                total = -penalty[r] * by_node[before, r, j] if before >= 0 else 0.0
                if before >= 0:
                    for q in range(j):
                        total -= beside[r, q] * lower[i - 1, j, q]
                    total /= lower[i - 1, j, j]
                beside[r, j] = total
        for r in range(d):
            for j in range(r + 1):
                total = own[r, j]
                for q in range(d):
                    if after >= 0:
                        total += by_node[after, q, r] * penalty[q] * by_node[after, q, j]
                    total -= beside[r, q] * beside[j, q]
                for q in range(j):
                    total -= own[r, q] * own[j, q]
                if r > j:
                    own[r, j] = total / own[j, j]
                elif total > 0:
                    own[r, r] = np.sqrt(total)
                else:
                    return False
    return True


@njit(cache=True, error_model="numpy")
def _reduce(first, start, penalty, by_node, by_theta, coupling, gradient, lower, beside, room):
    """The factor's inverse times the border of a chunk of nodes.

    Args:
        first: node of the chunk.
        coupling: (chunk, d, p) of the errors with the last p components of theta.
        room: (chunk + 1, d, n_theta + 1), the result, with the nodes' gradient as last column; in its first place
            that of the node before.
    """
    (_, d, n_theta), p = by_theta.shape, coupling.shape[2]
    k = np.searchsorted(start, first)
    for i in range(len(room) - 1):
        node, z, last = first + i, room[i + 1], room[i]
        before = k > 0 and start[k - 1] == node - 1
        after = k < len(start) and start[k] == node
        for j in range(d):
            row = z[j]
            for q in range(n_theta):
                row[q] = 0.0
            row[n_theta] = gradient[node, j]
            for q in range(p):
                row[n_theta - p + q] = coupling[i, j, q]
            if before:
                slope = by_theta[k - 1, j]
                for q in range(n_theta):
                    row[q] -= penalty[j] * slope[q]
                for r in range(d):
                    _subtract(row, beside[node, j, r], last[r])
            if after:
                for r in range(d):
                    pull, slope = penalty[r] * by_node[k, r, j], by_theta[k, r]
                    for q in range(n_theta):
                        row[q] += pull * slope[q]
            for r in range(j):
                _subtract(row, lower[node, j, r], z[r])
            scale = 1.0 / lower[node, j, j]
            for q in range(n_theta + 1):
                row[q] *= scale
        k += after


@njit(cache=True, error_model="numpy")
def _subtract(row, factor, other):
    for q in range(len(row)):
        row[q] -= factor * other[q]


@njit(cache=True, error_model="numpy")
def _solve_nodes(lower, beside, rhs):
    """Solve with the factor and its transpose, in place; rhs is (nodes, d)."""
    n, d = rhs.shape
    for i in range(n):
        for j in range(d):
            for r in range(d if i > 0 else 0):
                rhs[i, j] -= beside[i, j, r] * rhs[i - 1, r]
            for r in range(j):
                rhs[i, j] -= lower[i, j, r] * rhs[i, r]
            rhs[i, j] /= lower[i, j, j]
    for i in range(n - 1, -1, -1):
        for j in range(d - 1, -1, -1):
            for r in range(d if i + 1 < n else 0):
                rhs[i, j] -= beside[i + 1, r, j] * rhs[i + 1, r]
            for r in range(j + 1, d):
                rhs[i, j] -= lower[i, r, j] * rhs[i, r]
            rhs[i, j] /= lower[i, j, j]


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
        self.diagonal[sample] = errors.blocks()
        border[sample, :, -1] = errors.node_gradient()
        border[sample, :, self.n_theta - errors.p : -1] = errors.coupling()
        errors.add_to(self.corner, self.gradient)
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
    if not len(matrix):
        return matrix.copy()
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
