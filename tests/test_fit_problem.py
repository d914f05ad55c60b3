"""The shooting problem: how data are arranged, the one-interval flow and its exact derivatives."""

import numpy as np
import pytest
import torch
from laws import dataset, lotka_volterra_rhs, measured, solution

from udesys.errors import FitError
from udesys.fit import problem as problem_module
from udesys.fit.fitting import MOST_SUBSTEPS, SUBSTEP_ERROR, refine_substeps
from udesys.fit.problem import PIN_WEIGHT, ShootingProblem
from udesys.fit.start import starting_point
from udesys.model import HybridODE, Parameter
from udesys.model.field import HybridField

# Networks of several arguments and outputs, called twice, multiplied, with a parameter inside a call, and time.
ENTANGLED = """
x' = a*x*y + NN1(x, b*y)
y' = x*NN2(x, t)[0] - NN2(y, t)[1] - g*y**2
"""
PARAMETERS = {"a": Parameter(-2.0), "b": Parameter(0.5), "g": 0.7}
LOTKA_VOLTERRA = "x' = 1.3*x - 0.9*x*y\ny' = 0.8*x*y - 1.8*y"


def entangled(substeps=2):
    """Three runs of different length and spacing with missing cells, and random nodes and weights."""
    rng = np.random.default_rng(3)
    runs = []
    for n in (5, 2, 7):
        y = rng.normal(size=(n, 2))
        y[rng.random((n, 2)) < 0.3] = np.nan
        runs.append((rng.uniform(0.1, 0.4, n).cumsum(), y))
    model = HybridODE(ENTANGLED, parameters=PARAMETERS)
    problem = ShootingProblem(model, dataset(("x", "y"), *runs), HybridField(model), substeps)
    for scale in problem.field.scales:
        scale.shift[:] = rng.normal(size=len(scale.shift))
        scale.width[:] = rng.uniform(0.5, 2.0, len(scale.width))
        scale.output[:] = rng.uniform(0.5, 2.0, len(scale.output))
    return problem, rng.normal(size=(14, 2)), 0.5 * rng.normal(size=problem.field.n_theta)


def rk4(problem, nodes, theta):
    """Ends of all intervals by the classical method, one substep after the other."""
    x = nodes[torch.as_tensor(problem.start)]
    t, h = torch.as_tensor(problem.t[problem.start]), torch.as_tensor(problem.h / problem.substeps)
    for k in range(problem.substeps):
        now = t + k * h
        k1 = problem.field(now, x, theta)
        k2 = problem.field(now + h / 2, x + h[:, None] / 2 * k1, theta)
        k3 = problem.field(now + h / 2, x + h[:, None] / 2 * k2, theta)
        k4 = problem.field(now + h, x + h[:, None] * k3, theta)
        x = x + h[:, None] / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return x


# --- arranging ---------------------------------------------------------------------------------------


def test_runs_are_chained_and_no_interval_leads_from_one_to_the_next():
    problem, _, _ = entangled()
    assert problem.start.tolist() == [0, 1, 2, 3, 5, 7, 8, 9, 10, 11, 12]
    assert problem.first.tolist() == [0, 5, 7]
    assert [s.tolist() for s in problem.segments] == [[0, 5, 7], [5, 7, 14]]
    assert problem.h == pytest.approx(np.diff(problem.t)[problem.start])
    assert (problem.h > 0).all()


def test_columns_are_matched_by_name_and_missing_cells_have_no_weight():
    y = np.array([[1.0, np.nan], [2.0, 20.0], [np.nan, 30.0]])
    model = HybridODE("x' = -x\nz' = x\ny' = -y")
    problem = ShootingProblem(model, dataset(("y", "x"), (np.arange(3.0), y)), HybridField(model))
    assert problem.y.tolist() == [[0, 0, 1], [20, 0, 2], [30, 0, 0]]
    assert problem.mask.tolist() == [[0, 0, 1], [1, 0, 1], [1, 0, 0]]
    assert problem.measured.tolist() == [True, False, True]
    assert problem.counts.tolist() == [2, 0, 2]


def test_a_given_start_weighs_far_more_than_a_measurement():
    y = np.array([[1.0, 5.0], [2.0, 6.0]])
    model = HybridODE("x' = -x\ny' = -y", initial={"x": 3.0, "y": "data"})
    problem = ShootingProblem(model, dataset(("x", "y"), (np.arange(2.0), y)), HybridField(model))
    assert problem.y[0].tolist() == [3.0, 5.0]
    assert problem.mask[0].tolist() == [0.0, 1.0]
    assert problem.pin.tolist() == [[PIN_WEIGHT, PIN_WEIGHT], [0.0, 0.0]]


def test_a_start_from_data_needs_the_first_cell():
    model = HybridODE("x' = -x", initial={"x": "data"})
    with pytest.raises(FitError, match='initial x = "data", but the first x of a trajectory is missing'):
        ShootingProblem(model, dataset(("x",), (np.arange(2.0), [[np.nan], [1.0]])), HybridField(model))


def test_a_column_that_is_no_state_is_refused():
    model = HybridODE("x' = -x")
    with pytest.raises(FitError, match=r"column 'z' is no state of the model\. States are x\."):
        ShootingProblem(model, dataset(("x", "z"), (np.arange(2.0), np.ones((2, 2)))), HybridField(model))


# --- the flow ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("substeps", [1, 3])
def test_the_flow_and_its_jacobians_agree_with_automatic_differentiation(substeps):
    problem, nodes, theta = entangled(substeps)
    end, by_node, by_theta = problem.flow_jacobians(nodes, theta)
    nodes, theta = torch.as_tensor(nodes), torch.as_tensor(theta)
    with torch.no_grad():
        expected = rk4(problem, nodes, theta)
    full, expected_by_theta = torch.autograd.functional.jacobian(lambda x, w: rk4(problem, x, w), (nodes, theta))
    own = full.numpy()[np.arange(problem.n_intervals), :, problem.start]
    # Both are exact derivatives of the same steps: only rounding is between them.
    np.testing.assert_allclose(end, expected, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(by_node, own, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(by_theta, expected_by_theta, rtol=1e-10, atol=1e-12)


def test_the_jacobians_agree_with_central_differences():
    problem, nodes, theta = entangled()
    _, by_node, by_theta = problem.flow_jacobians(nodes, theta)
    step = 1e-5  # truncation step^2 = 1e-10, rounding 1e-16 / step = 1e-11: both below the tolerance
    for j in range(2):
        change = step * np.eye(2)[j]
        slope = (problem.flow(nodes + change, theta) - problem.flow(nodes - change, theta)) / (2 * step)
        np.testing.assert_allclose(by_node[:, :, j], slope, rtol=1e-7, atol=1e-8)
    for j in range(len(theta)):
        change = step * np.eye(len(theta))[j]
        slope = (problem.flow(nodes, theta + change) - problem.flow(nodes, theta - change)) / (2 * step)
        np.testing.assert_allclose(by_theta[:, :, j], slope, rtol=1e-7, atol=1e-8)


def test_chunks_do_not_change_the_flow(monkeypatch):
    problem, nodes, theta = entangled()
    whole = problem.flow_jacobians(nodes, theta)
    monkeypatch.setattr(problem_module, "CHUNK", 3)
    for piece, expected in zip(problem.flow_jacobians(nodes, theta), whole, strict=True):
        np.testing.assert_allclose(piece, expected, rtol=1e-13, atol=1e-15)
    which = np.array([1, 5, 6, 10])
    np.testing.assert_allclose(problem.flow(nodes, theta, which=which), whole[0][which], rtol=1e-13, atol=1e-15)


def test_a_share_of_the_flow_ends_inside_the_interval():
    t = np.array([0.0, 0.3])
    model = HybridODE(LOTKA_VOLTERRA)
    problem = ShootingProblem(model, dataset(("x", "y"), (t, np.ones((2, 2)))), HybridField(model), substeps=32)
    inside = problem.flow(np.array([[0.5, 2.0], [0.0, 0.0]]), np.zeros(0), share=0.5)
    # 32 steps of 0.005 of an order-4 method: 1e-9 at most.
    assert inside[0] == pytest.approx(solution(lotka_volterra_rhs, [0.5, 2.0], np.array([0.0, 0.15]))[-1], rel=1e-9)


def test_the_flow_is_of_order_four_in_its_substeps():
    t = np.array([0.0, 0.5])
    exact = solution(lotka_volterra_rhs, [1.5, 2.0], t)[-1]
    model = HybridODE(LOTKA_VOLTERRA)
    errors = []
    for substeps in (2, 4, 8, 16):
        data = dataset(("x", "y"), (t, np.ones((2, 2))))
        problem = ShootingProblem(model, data, HybridField(model), substeps)
        errors.append(np.abs(problem.flow(np.array([[1.5, 2.0], [0.0, 0.0]]), np.zeros(0))[0] - exact).max())
    slope = np.polyfit(np.log([2, 4, 8, 16]), np.log(errors), 1)[0]
    assert slope == pytest.approx(-4, abs=0.3)  # the classical method's order


# --- substeps ----------------------------------------------------------------------------------------


def oscillator(h, noise):
    """An oscillator of unit frequency sampled every h, without networks, and where a fit of it starts."""
    t = np.arange(0, 12, h)
    model = HybridODE("x' = v\nv' = -x")
    data = measured(lambda t, x: [x[1], -x[0]], [[1.0, 0.0]], [t], ("x", "v"), noise=noise)
    problem = ShootingProblem(model, data, HybridField(model))
    unknowns = starting_point(problem, np.random.default_rng(0), smoothed=True)
    unknowns.sigma[:] = noise
    return problem, unknowns


def test_substeps_double_until_the_flow_is_exact_beside_the_noise():
    problem, unknowns = oscillator(h=1.0, noise=1e-4)
    assert refine_substeps(problem, unknowns)
    turn = np.array([[np.cos(1.0), np.sin(1.0)], [-np.sin(1.0), np.cos(1.0)]])  # the exact flow over h = 1
    exact = unknowns.nodes[problem.start] @ turn.T
    error = np.abs(problem.flow(unknowns.nodes, unknowns.theta) - exact).max() / 1e-4
    assert error < 2 * SUBSTEP_ERROR  # the change on doubling is 15/16 of the error
    problem.substeps //= 2
    assert np.abs(problem.flow(unknowns.nodes, unknowns.theta) - exact).max() / 1e-4 > SUBSTEP_ERROR


def test_substeps_stay_where_one_is_enough():
    problem, unknowns = oscillator(h=0.1, noise=0.01)
    assert not refine_substeps(problem, unknowns)
    assert problem.substeps == 1


def test_substeps_end_at_a_limit():
    problem, unknowns = oscillator(h=3.0, noise=1e-14)
    refine_substeps(problem, unknowns)
    assert problem.substeps == MOST_SUBSTEPS


def test_a_simulation_of_one_run_agrees_with_scipy():
    problem, unknowns = oscillator(h=0.5, noise=0.01)
    t = np.linspace(0, 20, 7)
    states = problem.simulate(np.array([[1.0, 0.0]]), unknowns.theta, 0, t).x[0].numpy()
    # The solver's rtol of 1e-8 and atol of 1e-10 a step, over three periods.
    np.testing.assert_allclose(states, np.stack([np.cos(t), -np.sin(t)], 1), atol=1e-6)
