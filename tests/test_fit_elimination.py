"""The normal equations of multiple shooting: eliminating the nodes gives what a dense solve gives."""

import numpy as np
import pytest
from scipy.optimize import lsq_linear

from udesys.fit.elimination import NormalEquations, bounded_step

DAMPING, NODE_DAMPING = 0.03, np.array([0.2, 0.01, 0.4])


class Linearisation:
    """A random linearisation over three runs, and its normal equations written out densely."""

    def __init__(self, seed, n_theta, d=3, lengths=(6, 2, 5)):
        rng = np.random.default_rng(seed)
        ends = np.cumsum(lengths)
        self.start = np.concatenate([np.arange(b - n, b - 1) for n, b in zip(lengths, ends, strict=True)])
        n, i = ends[-1], len(self.start)
        self.weight = rng.uniform(0.1, 3.0, (n, d)) * (rng.random((n, d)) < 0.7)
        self.error = rng.normal(size=(n, d))
        self.penalty = rng.uniform(1.0, 50.0, d)
        self.defect = rng.normal(size=(i, d))
        self.by_node = np.eye(d) + 0.3 * rng.normal(size=(i, d, d))
        self.by_theta = rng.normal(size=(i, d, n_theta))
        self.prior, self.prior_gradient = rng.uniform(0.1, 1.0, n_theta), rng.normal(size=n_theta)

    def equations(self):
        return NormalEquations(
            self.start,
            self.weight,
            self.error,
            self.penalty,
            self.defect,
            self.by_node,
            self.by_theta,
            self.prior,
            self.prior_gradient,
        )

    def dense(self):
        """J^T J and J^T r over all nodes, then theta, from one row for each measurement and each defect."""
        n, d = self.weight.shape
        size = n * d + len(self.prior)
        rows, values = [], []
        for node in range(n):
            for j in range(d):
                row = np.zeros(size)
                row[node * d + j] = np.sqrt(self.weight[node, j])
                rows.append(row)
                values.append(-np.sqrt(self.weight[node, j]) * self.error[node, j])
        for k, node in enumerate(self.start):
            for j in range(d):
                row = np.zeros(size)
                row[node * d : node * d + d] = self.by_node[k, j]
                row[(node + 1) * d + j] = -1.0
                row[n * d :] = self.by_theta[k, j]
                rows.append(np.sqrt(self.penalty[j]) * row)
                values.append(np.sqrt(self.penalty[j]) * self.defect[k, j])
        jacobian, values = np.array(rows), np.array(values)
        hessian, gradient = jacobian.T @ jacobian, jacobian.T @ values
        hessian[n * d :, n * d :] += np.diag(self.prior)
        gradient[n * d :] += self.prior_gradient
        return hessian, gradient


def schur_complement(hessian, n):
    return hessian[n:, n:] - hessian[n:, :n] @ np.linalg.solve(hessian[:n, :n], hessian[:n, n:])


@pytest.mark.parametrize("n_theta", [0, 1, 7])
@pytest.mark.parametrize("seed", range(3))
def test_a_step_agrees_with_a_dense_solve(seed, n_theta):
    case = Linearisation(seed, n_theta)
    step = case.equations().step(DAMPING, NODE_DAMPING)
    hessian, gradient = case.dense()
    n = case.weight.size
    hessian[np.diag_indices(n)] += np.tile(NODE_DAMPING, len(case.weight))
    schur = schur_complement(hessian, n)
    hessian[n:, n:] += DAMPING * np.diag(np.diag(schur))
    expected = -np.linalg.solve(hessian, gradient)
    # The dense matrix has a condition number near 1e4, which leaves 12 digits.
    scale = np.abs(expected).max()
    np.testing.assert_allclose(step.nodes.ravel(), expected[:n], rtol=1e-9, atol=1e-10 * scale)
    np.testing.assert_allclose(step.theta, expected[n:], rtol=1e-9, atol=1e-10 * scale)
    np.testing.assert_allclose(step.schur, schur, rtol=1e-9, atol=1e-10 * np.abs(schur).max(initial=1.0))


def test_an_undamped_step_solves_a_linear_problem_at_once():
    case = Linearisation(seed=5, n_theta=4)
    step = case.equations().step(0.0, np.zeros(3))
    hessian, gradient = case.dense()
    left = gradient + hessian @ np.concatenate([step.nodes.ravel(), step.theta])
    assert np.abs(left).max() < 1e-9 * np.abs(gradient).max()


def test_a_step_at_its_limits_is_the_least_of_what_they_allow():
    rng = np.random.default_rng(0)
    for _ in range(20):
        root, target = rng.normal(size=(9, 4)), rng.normal(size=9)
        low, high = rng.uniform(-0.3, 0, 4), rng.uniform(0, 0.3, 4)
        step = bounded_step(root.T @ root, -root.T @ target, low, high)
        assert (low <= step).all() and (step <= high).all()
        slope = root.T @ (root @ step - target)
        inside = (low < step) & (step < high)
        assert slope[inside] == pytest.approx(0, abs=1e-12)  # what is not held is at its optimum beside the rest
        best = lsq_linear(root, target, (low, high), tol=1e-12)
        # What one step holds too early the next one sets free; none may do worse than standing still.
        assert 2 * best.cost - 1e-9 <= ((root @ step - target) ** 2).sum() <= target @ target


def test_a_step_takes_its_limits_into_account_for_the_nodes_too():
    case = Linearisation(seed=4, n_theta=3)
    free = case.equations().step(DAMPING, NODE_DAMPING)
    held = case.equations().step(DAMPING, NODE_DAMPING, (-np.inf, free.theta - [0.1, -9, -9]))
    assert held.theta[0] == free.theta[0] - 0.1
    hessian, gradient = case.dense()
    n = case.weight.size
    block = hessian[:n, :n] + np.diag(np.tile(NODE_DAMPING, len(case.weight)))
    expected = -np.linalg.solve(block, gradient[:n] + hessian[:n, n:] @ held.theta)
    np.testing.assert_allclose(held.nodes.ravel(), expected, rtol=1e-9, atol=1e-10 * np.abs(expected).max())


def test_restoring_the_nodes_agrees_with_a_dense_solve():
    case = Linearisation(seed=1, n_theta=5)
    step = case.equations().step(DAMPING, NODE_DAMPING)
    gradient = np.random.default_rng(9).normal(size=case.weight.shape)
    hessian, _ = case.dense()
    n = case.weight.size
    block = hessian[:n, :n] + np.diag(np.tile(NODE_DAMPING, len(case.weight)))
    expected = -np.linalg.solve(block, gradient.ravel()).reshape(gradient.shape)
    np.testing.assert_allclose(step.restore(gradient), expected, rtol=1e-9, atol=1e-10 * np.abs(expected).max())


def test_nodes_that_nothing_determines_give_no_step():
    case = Linearisation(seed=2, n_theta=3)
    case.weight[:], case.penalty[:] = 0.0, 0.0
    assert case.equations().step(DAMPING, np.zeros(3)) is None
    assert case.equations().step(DAMPING, np.ones(3)) is not None


@pytest.mark.parametrize("broken", ["by_node", "by_theta", "defect"])
def test_numbers_that_are_not_finite_give_no_step(broken):
    case = Linearisation(seed=2, n_theta=3)
    getattr(case, broken)[4] = np.nan
    step = case.equations().step(DAMPING, NODE_DAMPING)
    assert step is None or not np.isfinite(step.theta).all()
