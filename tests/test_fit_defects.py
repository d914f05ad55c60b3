"""Defects of shooting and of collocation: zero on a solution, exact derivatives, and a step that closes them."""

import numpy as np
import pytest
import torch
from laws import dataset
from test_fit_problem import entangled, shooting, slope

from udesys.fit.defects import Collocation, Shooting, defects_of
from udesys.fit.elimination import Errors
from udesys.integrate import radau
from udesys.model import HybridODE


def collocation():
    """A collocation of the entangled problem at random nodes."""
    problem, nodes, theta = entangled("radau")
    defects = Collocation(problem)
    every = np.random.default_rng(1).normal(size=(defects.n_nodes, 2))
    every[defects.sample] = nodes
    return defects, every, theta


def test_the_method_decides_on_the_defects():
    assert isinstance(defects_of(entangled("rk4")[0]), Shooting)
    assert isinstance(defects_of(entangled("radau")[0]), Collocation)


def test_collocation_has_three_nodes_a_step_and_keeps_the_samples():
    problem, nodes, _ = entangled("radau", substeps=(2, 1, 3))
    defects = Collocation(problem)
    assert defects.n_nodes == problem.n_nodes + (3 * problem.substeps - 1).sum()
    assert np.diff(defects.sample)[0] == 6 and np.diff(defects.sample)[1] == 3
    # The last node of a step is the first of the next one within a run, and the run's last is its last sample.
    inside = np.flatnonzero(np.diff(defects.interval) == 0)
    assert (defects.nodes_of[inside, -1] == defects.nodes_of[inside + 1, 0]).all()
    ends = np.append(np.flatnonzero(np.diff(defects.interval)), len(defects.interval) - 1)
    assert (defects.nodes_of[ends, -1] == defects.sample[problem.start + 1]).all()
    spread = defects.spread_out(nodes)
    assert np.array_equal(spread[defects.sample], nodes)
    first = nodes[0] + np.append(0.5 * radau.C, 0.5 + 0.5 * radau.C)[:, None] * (nodes[1] - nodes[0])
    assert spread[1:7] == pytest.approx(first)  # two steps, on the straight line between two samples


def test_collocations_residuals_vanish_on_its_solution():
    model = HybridODE("x' = -50*(x - cos(t))\ny' = x*y*k - y")
    t = np.array([0.0, 0.3, 1.0])
    problem = shooting(model, dataset(("x", "y"), (t, np.ones((3, 2)))), "radau")
    problem.substeps[:] = [2, 1]
    theta, defects, x = np.array([0.7]), Collocation(problem), np.array([0.4, 1.2])
    nodes = np.empty((defects.n_nodes, 2))
    nodes[0] = x
    for k, places in enumerate(defects.nodes_of):
        begin, h = defects.t[k], defects.h[k]

        def slopes(x, begin=begin, h=h):
            points = torch.as_tensor(begin + h * radau.C), x, torch.as_tensor(theta)
            return problem.field(*points), problem.field.jacobians(*points).by_state

        start = torch.as_tensor(nodes[places[0]])[None]
        size = torch.full((2,), 1e-12, dtype=torch.float64)
        step = torch.full((1, 1), h, dtype=torch.float64)
        nodes[places[1:]] = radau.step(slopes, start, step, size, start[:, None].expand(1, 3, 2))[0]
    at = defects.linearise(nodes, theta)
    assert np.abs(at.residual).max() < 1e-9  # where Newton's method ended
    assert at.finite
    samples = nodes[defects.sample]
    assert problem.flow(samples, theta) == pytest.approx(samples[problem.start + 1], abs=1e-9)


def test_collocations_derivatives_are_autograds():
    defects, nodes, theta = collocation()
    problem, a = defects.problem, torch.tensor(radau.A)
    at = defects.linearise(nodes, theta)

    def residual(x, w, k):
        slopes = torch.stack(
            [
                slope(problem, defects.interval[k], defects.t[k] + c * defects.h[k], x[1 + i], w)
                for i, c in enumerate(radau.C)
            ]
        )
        return (x[1:] - x[0] - defects.h[k] * a @ slopes).reshape(-1)

    w = torch.as_tensor(theta)
    for k in range(len(defects.first)):
        x = torch.as_tensor(nodes[defects.nodes_of[k]])
        by_nodes, by_theta = torch.autograd.functional.jacobian(lambda x, w, k=k: residual(x, w, k), (x, w))
        # Exact derivatives of the same expression.
        np.testing.assert_allclose(at.residual[k], residual(x, w, k), rtol=1e-11, atol=1e-12)
        np.testing.assert_allclose(at.by_nodes[k], by_nodes.reshape(6, 8), rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(at.by_theta[k], by_theta, rtol=1e-10, atol=1e-12)


def test_shootings_defects_are_the_flow_minus_the_next_node():
    problem, nodes, theta = entangled("rk4")
    at = Shooting(problem).linearise(nodes, theta)
    end, by_node, by_theta = problem.flow_jacobians(nodes, theta)
    assert np.array_equal(at.residual, end - nodes[problem.start + 1])
    assert np.array_equal(at.by_nodes, by_node) and np.array_equal(at.by_theta, by_theta)


@pytest.mark.parametrize("method", ["rk4", "radau"])
def test_steps_of_the_nodes_alone_close_the_defects(method):
    # A smooth system, errors that weigh nearly nothing, theta held: Newton's method for the nodes.
    problem, nodes, theta = entangled(method)
    defects = defects_of(problem)
    nodes, penalty = defects.spread_out(0.1 * nodes), np.ones(2)
    hold = np.full(len(theta), 1e12)
    for _ in range(12):
        at = defects.linearise(nodes, theta)
        errors = Errors(np.full((problem.n_nodes, 2), 1e-9), np.zeros((problem.n_nodes, 2)))
        equations = defects.equations(at, at.residual, errors, penalty, hold, np.zeros(len(theta)))
        step = equations.step(0.0, np.full(2, 1e-9))
        nodes = nodes + step.nodes
    assert np.abs(defects.linearise(nodes, theta).residual).max() < 1e-6


@pytest.mark.parametrize("method", ["rk4", "radau"])
def test_a_chord_correction_lowers_what_a_step_left(method):
    problem, nodes, theta = entangled(method)
    defects = defects_of(problem)
    nodes, penalty = defects.spread_out(0.1 * nodes), np.full(2, 10.0)
    weight = np.ones((problem.n_nodes, 2))
    target = nodes[defects.sample]

    def cost(nodes, at):
        return (weight * (target - nodes[defects.sample]) ** 2).sum() + 10.0 * (at.residual**2).sum()

    at = defects.linearise(nodes, theta)
    errors = Errors(weight, target - nodes[defects.sample])
    hold = np.full(len(theta), 1e12)
    step = defects.equations(at, at.residual, errors, penalty, hold, np.zeros(len(theta))).step(0.0, np.full(2, 1e-9))
    moved = nodes + step.nodes
    after = defects.linearise(moved, theta)
    gradient = Errors(weight, target - moved[defects.sample]).node_gradient()
    corrected = moved + defects.correct(step, at, after.residual, penalty, gradient)
    assert cost(corrected, defects.linearise(corrected, theta)) < cost(moved, after) < cost(nodes, at)
