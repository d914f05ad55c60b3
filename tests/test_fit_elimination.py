"""The normal equations of shooting and of collocation: eliminating the nodes gives what a dense solve gives."""

import numpy as np
import pytest
from scipy.optimize import lsq_linear

from udesys.fit import elimination
from udesys.fit.elimination import Errors, SaddlePoint, bounded_step, shooting_equations

DAMPING, NODE_DAMPING = 0.03, np.array([0.2, 0.01, 0.4])
FORMS = pytest.mark.parametrize("form", ["shooting", "saddle point", "collocation"])
OBSERVED = pytest.mark.parametrize("observables", [0, 2])


class Linearisation:
    """A random linearisation over three runs, and the same least squares written out densely.

    Args:
        form: "shooting" has a node at each sample; "collocation" has two more within every interval, and three rows
            of residuals in place of one; "saddle point" solves the former in the latter's way.
        observables: how many are measured beside the states; the last two components of theta are theirs too.
    """

    def __init__(self, seed, n_theta, form="shooting", observables=0, d=3, lengths=(6, 2, 5)):
        rng, self.form, self.d, self.n_theta = np.random.default_rng(seed), form, d, n_theta
        inner = 2 if form == "collocation" else 0
        ends = np.cumsum(lengths)
        start = np.concatenate([np.arange(b - n, b - 1) for n, b in zip(lengths, ends, strict=True)])
        added = np.ones(ends[-1], int)
        added[start + 1] += inner
        self.sample = np.cumsum(added) - 1
        self.start, self.n_nodes = start, int(self.sample[-1]) + 1
        self.nodes_of = self.sample[start][:, None] + np.arange(inner + 2)
        i, rows = len(start), (inner + 1) * d
        self.weight = rng.uniform(0.1, 3.0, (len(added), d + observables))
        self.weight *= rng.random(self.weight.shape) < 0.7
        self.error = rng.normal(size=self.weight.shape)
        self.by_state = rng.normal(size=(len(added), observables, d))
        self.by_parameter = rng.normal(size=(len(added), observables, min(2, n_theta)))
        self.penalty = rng.uniform(1.0, 50.0, d)
        self.residual = rng.normal(size=(i, rows))
        self.by_theta = rng.normal(size=(i, rows, n_theta))
        self.by_nodes = 0.3 * rng.normal(size=(i, rows, (inner + 2) * d))
        if form == "shooting" or form == "saddle point":
            self.by_nodes[:, :, :d] += np.eye(d)
            self.by_nodes[:, :, d:] = -np.eye(d)
        else:
            self.by_nodes[:, :, d:] += np.eye(rows)
        self.prior, self.prior_gradient = rng.uniform(0.1, 1.0, n_theta), rng.normal(size=n_theta)

    def equations(self):
        observed = (self.by_state, self.by_parameter) if self.by_state.shape[1] else ()
        errors = Errors(self.weight, self.error, *observed)
        if self.form == "shooting":
            return shooting_equations(
                self.start, errors, self.penalty, self.residual, np.ascontiguousarray(self.by_nodes[:, :, : self.d]),
                self.by_theta, self.prior, self.prior_gradient,
            )  # fmt: skip
        return SaddlePoint(
            self.nodes_of, self.sample, self.n_nodes, errors, np.tile(self.penalty, self.residual.shape[1] // self.d),
            self.residual, self.by_nodes, self.by_theta, self.prior, self.prior_gradient,
        )  # fmt: skip

    def dense_errors(self):
        """Weighted rows and values of the measurement errors over all nodes, then theta."""
        size, rows, values = self.n_nodes * self.d + self.n_theta, [], []
        for k, node in enumerate(self.sample):
            for j in range(self.weight.shape[1]):
                row, root = np.zeros(size), np.sqrt(self.weight[k, j])
                if j < self.d:
                    row[node * self.d + j] = 1.0
                else:
                    row[node * self.d : (node + 1) * self.d] = self.by_state[k, j - self.d]
                    slopes = self.by_parameter[k, j - self.d]
                    row[size - len(slopes) :] = slopes
                rows.append(root * row)
                values.append(-root * self.error[k, j])
        return np.array(rows), np.array(values)

    def dense_residuals(self):
        size, d, rows, values = self.n_nodes * self.d + self.n_theta, self.d, [], []
        for k, nodes in enumerate(self.nodes_of):
            for j in range(self.residual.shape[1]):
                row, root = np.zeros(size), np.sqrt(self.penalty[j % d])
                for place, node in enumerate(nodes):
                    row[node * d : (node + 1) * d] = self.by_nodes[k, j, place * d : (place + 1) * d]
                row[self.n_nodes * d :] = self.by_theta[k, j]
                rows.append(root * row)
                values.append(root * self.residual[k, j])
        return np.array(rows), np.array(values)

    def dense(self):
        """J^T J and J^T r over all nodes, then theta, from one row for each measurement and each residual."""
        (a, b), (c, e) = self.dense_errors(), self.dense_residuals()
        jacobian, values, n = np.vstack([a, c]), np.append(b, e), self.n_nodes * self.d
        hessian, gradient = jacobian.T @ jacobian, jacobian.T @ values
        hessian[n:, n:] += np.diag(self.prior)
        gradient[n:] += self.prior_gradient
        return hessian, gradient


def schur_complement(hessian, n):
    return hessian[n:, n:] - hessian[n:, :n] @ np.linalg.solve(hessian[:n, :n], hessian[:n, n:])


def damp(hessian, n, node_damping=NODE_DAMPING):
    hessian[np.diag_indices(n)] += np.resize(node_damping, n)


def assert_agrees_with_a_dense_solve(case, step, node_damping=NODE_DAMPING):
    hessian, gradient = case.dense()
    n = case.n_nodes * case.d
    damp(hessian, n, node_damping)
    schur = schur_complement(hessian, n)
    hessian[n:, n:] += DAMPING * np.diag(np.diag(schur))
    expected = -np.linalg.solve(hessian, gradient)
    # The dense matrix has a condition number near 1e4, which leaves 12 digits.
    scale = np.abs(expected).max()
    np.testing.assert_allclose(step.nodes.ravel(), expected[:n], rtol=1e-8, atol=1e-10 * scale)
    np.testing.assert_allclose(step.theta, expected[n:], rtol=1e-8, atol=1e-10 * scale)
    np.testing.assert_allclose(step.schur, schur, rtol=1e-8, atol=1e-10 * np.abs(schur).max(initial=1.0))


@FORMS
@OBSERVED
@pytest.mark.parametrize("n_theta", [0, 1, 7])
@pytest.mark.parametrize("seed", range(2))
def test_a_step_agrees_with_a_dense_solve(seed, n_theta, observables, form):
    case = Linearisation(seed, n_theta, form, observables)
    assert_agrees_with_a_dense_solve(case, case.equations().step(DAMPING, NODE_DAMPING))


@OBSERVED
@pytest.mark.parametrize("n_theta", [0, 1, 5])
@pytest.mark.parametrize("d", [1, 2, 4, 7])
@pytest.mark.parametrize("chunk", [1, 4, 5, 13, 14])
def test_a_step_does_not_depend_on_where_chunks_of_nodes_end(chunk, d, n_theta, observables, monkeypatch):
    # Runs of 6, 2, 1 and 4 nodes: chunks end within runs and between them, at the last node and beyond it.
    monkeypatch.setattr(elimination, "CHUNK", chunk)
    case = Linearisation(7, n_theta, observables=observables, d=d, lengths=(6, 2, 1, 4))
    node_damping = np.linspace(0.1, 0.4, d)
    assert_agrees_with_a_dense_solve(case, case.equations().step(DAMPING, node_damping), node_damping)


@OBSERVED
def test_a_step_agrees_with_a_dense_solve_over_several_whole_chunks(observables):
    n = elimination.CHUNK
    case = Linearisation(8, 9, observables=observables, d=1, lengths=(2 * n - 20, 50))
    assert_agrees_with_a_dense_solve(case, case.equations().step(DAMPING, NODE_DAMPING[:1]), NODE_DAMPING[:1])


def test_another_damping_takes_nothing_from_the_step_before():
    case = Linearisation(4, 5, observables=2)
    equations = case.equations()
    equations.step(10.0, 5 * NODE_DAMPING)
    assert_agrees_with_a_dense_solve(case, equations.step(DAMPING, NODE_DAMPING))


@FORMS
@OBSERVED
def test_an_undamped_step_solves_a_linear_problem_at_once(form, observables):
    case = Linearisation(5, 4, form, observables)
    step = case.equations().step(0.0, np.full(3, 1e-12))
    hessian, gradient = case.dense()
    left = gradient + hessian @ np.concatenate([step.nodes.ravel(), step.theta])
    assert np.abs(left).max() < 1e-8 * np.abs(gradient).max()


def test_the_two_ways_of_shooting_agree():
    one, other = (Linearisation(3, 6, form, 2).equations().step(DAMPING, NODE_DAMPING) for form in FORMS.args[1][:2])
    for name in ("nodes", "theta", "schur"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=1e-8, atol=1e-9)


def test_a_saddle_point_keeps_its_digits_where_squares_lose_them():
    # Residuals that weigh 1e14 times the errors: their square leaves nothing of the errors in double precision.
    case = Linearisation(2, 3, "collocation")
    case.penalty[:] = 1e14
    step = case.equations().step(0.0, np.full(3, 1e-3))
    (a, b), (c, e) = case.dense_errors(), case.dense_residuals()
    n = case.n_nodes * case.d
    # The limit of infinite weight: least squares with the residuals as equations, by a null space.
    c, e = c / 1e7, e / 1e7
    particular = np.linalg.lstsq(c, -e)[0]
    _, _, v = np.linalg.svd(c)
    free = v[len(c) :].T
    hessian = a.T @ a
    hessian[np.diag_indices(n)] += 1e-3
    hessian[n:, n:] += np.diag(case.prior)
    gradient = a.T @ b + np.append(np.zeros(n), case.prior_gradient)
    inside = np.linalg.solve(free.T @ hessian @ free, -free.T @ (gradient + hessian @ particular))
    expected = particular + free @ inside
    found = np.append(step.nodes.ravel(), step.theta)
    assert np.abs(found - expected).max() < 1e-6 * np.abs(expected).max()


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


@FORMS
def test_a_step_takes_its_limits_into_account_for_the_nodes_too(form):
    case = Linearisation(4, 3, form)
    free = case.equations().step(DAMPING, NODE_DAMPING)
    held = case.equations().step(DAMPING, NODE_DAMPING, (np.full(3, -np.inf), free.theta - [0.1, -9, -9]))
    assert held.theta[0] == free.theta[0] - 0.1
    hessian, gradient = case.dense()
    n = case.n_nodes * case.d
    damp(hessian, n)
    expected = -np.linalg.solve(hessian[:n, :n], gradient[:n] + hessian[:n, n:] @ held.theta)
    np.testing.assert_allclose(held.nodes.ravel(), expected, rtol=1e-8, atol=1e-10 * np.abs(expected).max())


def test_correcting_the_nodes_agrees_with_a_dense_solve():
    case = Linearisation(1, 5)
    step = case.equations().step(DAMPING, NODE_DAMPING)
    gradient = np.random.default_rng(9).normal(size=(case.n_nodes, case.d))
    hessian, _ = case.dense()
    n = case.n_nodes * case.d
    damp(hessian, n)
    expected = -np.linalg.solve(hessian[:n, :n], gradient.ravel()).reshape(gradient.shape)
    np.testing.assert_allclose(step.correct(gradient), expected, rtol=1e-8, atol=1e-10 * np.abs(expected).max())


def test_correcting_the_nodes_of_a_saddle_point_agrees_with_a_dense_solve():
    case = Linearisation(1, 5, "collocation", 2)
    step = case.equations().step(DAMPING, NODE_DAMPING)
    rng = np.random.default_rng(9)
    residual, gradient = rng.normal(size=case.residual.shape), rng.normal(size=(case.n_nodes, case.d))
    hessian, _ = case.dense()
    n = case.n_nodes * case.d
    damp(hessian, n)
    rows, _ = case.dense_residuals()
    pulled = rows[:, :n].T @ (residual * np.sqrt(np.tile(case.penalty, 3))).ravel()
    expected = -np.linalg.solve(hessian[:n, :n], gradient.ravel() + pulled).reshape(gradient.shape)
    np.testing.assert_allclose(
        step.correct(residual, gradient), expected, rtol=1e-8, atol=1e-10 * np.abs(expected).max()
    )


@OBSERVED
def test_the_nodes_determinant_and_gradient_are_the_dense_ones(observables):
    case = Linearisation(3, 4, observables=observables)
    equations, (hessian, gradient) = case.equations(), case.dense()
    n = case.n_nodes * case.d
    assert equations.log_determinant() == pytest.approx(np.linalg.slogdet(hessian[:n, :n])[1], rel=1e-12)
    np.testing.assert_allclose(equations.node_gradient.ravel(), gradient[:n], rtol=1e-12, atol=1e-12)


@OBSERVED
def test_the_gradient_of_the_errors_is_the_dense_one(observables):
    case = Linearisation(6, 4, "shooting", observables)
    observed = (case.by_state, case.by_parameter) if observables else ()
    rows, values = case.dense_errors()
    expected = (rows.T @ values)[: case.n_nodes * case.d].reshape(-1, case.d)
    np.testing.assert_allclose(Errors(case.weight, case.error, *observed).node_gradient(), expected, rtol=1e-12)


def test_nodes_that_nothing_determines_give_no_step():
    case = Linearisation(2, 3)
    case.weight[:], case.penalty[:] = 0.0, 0.0
    assert case.equations().step(DAMPING, np.zeros(3)) is None
    assert case.equations().step(DAMPING, np.ones(3)) is not None


@FORMS
@pytest.mark.parametrize("broken", ["by_nodes", "by_theta", "residual"])
def test_numbers_that_are_not_finite_give_no_step(broken, form):
    case = Linearisation(2, 3, form)
    getattr(case, broken)[4] = np.nan
    step = case.equations().step(DAMPING, NODE_DAMPING)
    assert step is None or not np.isfinite(step.theta).all()
