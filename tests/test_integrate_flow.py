"""The compiled flow: the numbers of the tensors, for every kind of right side."""

import numpy as np
import pytest
from laws import RIGHT_SIDES, dataset, lotka_volterra_rhs, solution

from udesys.data import Dataset, Trajectory
from udesys.fit.problem import ShootingProblem
from udesys.model import HybridODE, Network, Parameter
from udesys.model.compiled import is_wide
from udesys.model.field import HybridField

# The same numbers added in another order, and exponentials of our own that are good to the last digits.
ROUNDING = 1e-12

MODELS = RIGHT_SIDES | {
    "states that feed each other": ("x' = y\ny' = z\nz' = x", {}, {}),
    "inputs": ("x' = a*x + NN(x, force)*heat\ny' = force^3 - NN(y*b, heat)", {"b": Parameter(0.5)}, {}),
    "inputs alone": ("x' = force - a*heat*x", {}, {}),
}
INPUTS = {"force": "cubic", "heat": "linear"}


def make(name, lengths=(6, 2, 23), seed=0):
    """A problem with odd scales and substeps from 1 to 16, and nodes and theta to look at it."""
    equations, parameters, networks = MODELS[name]
    rng = np.random.default_rng(seed)
    model = HybridODE(equations, parameters, networks, inputs=tuple(INPUTS) if "force" in equations else ())
    runs = []
    for k, n in enumerate(lengths):
        t, y = rng.uniform(0.02, 0.1, n).cumsum() + 10.0 * k, rng.normal(size=(n, len(model.states)))
        runs.append(Trajectory(name=str(k), t=t, y=y, u=rng.normal(size=(n, 2)) if model.inputs else None))
    data = Dataset(
        columns=model.states,
        trajectories=tuple(runs),
        time="t",
        source="made",
        inputs=INPUTS if model.inputs else {},
    )
    problem = ShootingProblem(model, data, HybridField(model))
    problem.substeps[:] = rng.choice([1, 2, 4, 16], problem.n_intervals)
    for scale in problem.field.scales:
        n_in, n_out = len(scale.shift), len(scale.output)
        scale.shift[:], scale.width[:] = rng.normal(size=n_in), rng.uniform(0.5, 2, n_in)
        scale.output[:] = rng.uniform(0.5, 2, n_out)
    return problem, rng.normal(size=(problem.n_nodes, problem.d)), 0.3 * rng.normal(size=problem.field.n_theta)


def by_tensors(problem):
    """The same problem without compiled code."""
    other = ShootingProblem(problem.model, problem.data, problem.field)
    other.substeps, other.compiled = problem.substeps, None
    return other


@pytest.fixture(params=MODELS, ids=lambda name: name.replace(" ", "-"))
def case(request):
    problem, nodes, theta = make(request.param)
    assert problem.compiled is not None
    return problem, by_tensors(problem), nodes, theta


def assert_same(found, expected):
    assert found.shape == expected.shape
    assert np.isfinite(expected).all()
    size = np.abs(expected).max(initial=0.0)
    np.testing.assert_allclose(found, expected, rtol=ROUNDING, atol=ROUNDING * size)


# --- the tensors' numbers ----------------------------------------------------------------------------


def test_the_flow_and_its_derivatives_are_the_tensors(case):
    problem, tensors, nodes, theta = case
    for found, expected in zip(problem.flow_jacobians(nodes, theta), tensors.flow_jacobians(nodes, theta), strict=True):
        assert_same(found, expected)


def test_the_flow_alone_is_the_tensors(case):
    problem, tensors, nodes, theta = case
    assert_same(problem.flow(nodes, theta), tensors.flow(nodes, theta))


def test_a_share_of_some_intervals_is_the_tensors(case):
    problem, tensors, nodes, theta = case
    which = np.array([1, 4, 5, 6, 20])
    found, expected = (p.flow(nodes, theta, share=0.3, which=which) for p in (problem, tensors))
    assert_same(found, expected)


def test_derivatives_of_some_intervals_by_the_nodes_alone_are_the_tensors(case):
    problem, tensors, nodes, theta = case
    which = np.arange(3, problem.n_intervals)
    found, expected = (p.flow_jacobians(nodes, theta, which, by_theta=False) for p in (problem, tensors))
    assert found[2] is None
    for a, b in zip(found[:2], expected[:2], strict=True):
        assert_same(a, b)


def test_the_right_side_at_points_is_the_tensors(case):
    problem, tensors, nodes, theta = case
    for at in (slice(None), np.array([0, 3, 17])):
        (found, *rest), (expected, *others) = (p.linearise(nodes, theta, at) for p in (problem, tensors))
        for a, b in zip([*found, *rest], [*expected, *others], strict=True):
            assert_same(a, b)


def test_a_term_and_its_derivative_by_the_weights_are_the_tensors(case):
    problem, tensors, nodes, theta = case
    arguments, _, _ = problem.linearise(nodes, theta)
    for k, (slot, seen) in enumerate(zip(problem.model.slots, arguments, strict=True)):
        points = seen[:, : len(slot.arguments)]  # without their products
        for found, expected in zip(problem.term(k, points, theta), tensors.term(k, points, theta), strict=True):
            assert_same(found, expected)


def test_a_simulation_of_all_intervals_at_once_is_the_tensors():
    problem, nodes, theta = make("no network", lengths=(40,))
    theta = np.array([0.3, 0.2, 0.5])
    found, expected = (p.shoot(nodes[:1], theta, np.ones_like(nodes)) for p in (problem, by_tensors(problem)))
    np.testing.assert_allclose(found, expected, rtol=1e-8)  # both end at a relative step of 1e-9


# --- independent of the tensors ----------------------------------------------------------------------


def test_the_flow_of_a_known_law_agrees_with_scipy():
    t = np.linspace(0.0, 0.3, 2)
    model = HybridODE("x' = 1.3*x - 0.9*x*y\ny' = 0.8*x*y - 1.8*y")
    problem = ShootingProblem(model, dataset(("x", "y"), (t, np.ones((2, 2)))), HybridField(model))
    problem.substeps[:] = 64
    end = problem.flow(np.array([[0.5, 2.0], [0.0, 0.0]]), np.zeros(0))[0]
    # 64 steps of 0.005 of an order-4 method: 1e-9 at most.
    assert end == pytest.approx(solution(lotka_volterra_rhs, [0.5, 2.0], t)[-1], rel=1e-9)


def units(activation, x):
    """The activation at x and its slope there: a network of one unit, integrated over one unit of time."""
    model = HybridODE("y' = NN(z)\nz' = 0", networks={"NN": Network((1,), activation)})
    runs = [(np.array([0.0, 1.0]), np.zeros((2, 2)))] * len(x)
    problem = ShootingProblem(model, dataset(("y", "z"), *runs), HybridField(model))
    nodes = np.zeros((2 * len(x), 2))
    nodes[::2, 1] = x
    end, by_node, _ = problem.flow_jacobians(nodes, np.array([1.0, 0.0, 1.0, 0.0, 0.0]))
    return end[:, 0], by_node[:, 0, 1]


@pytest.mark.parametrize(
    ("activation", "function", "slope"),
    [
        ("tanh", np.tanh, lambda x: 1.0 / np.cosh(x) ** 2),
        ("softplus", lambda x: np.where(x > 20.0, x, np.logaddexp(0.0, x)), lambda x: 1.0 / (1.0 + np.exp(-x))),
        ("cubic", lambda x: x + x**3 / 6.0, lambda x: 1.0 + x**2 / 2.0),
    ],
)
def test_activations_are_exact_to_rounding(activation, function, slope):
    x = np.concatenate([np.linspace(-25.0, 25.0, 1001), np.logspace(-12, 0, 200), -np.logspace(-12, 0, 200), [0.0]])
    value, found = units(activation, x)
    np.testing.assert_allclose(value, function(x), rtol=4e-15, atol=1e-300)
    np.testing.assert_allclose(found, slope(x), rtol=1e-13, atol=1e-15)  # 1 - tanh^2 cancels for large x


@pytest.mark.parametrize("activation", ["tanh", "softplus", "cubic"])
def test_activations_of_huge_numbers_saturate_and_nan_stays_nan(activation):
    value, slope = units(activation, np.array([1e300, -1e300, np.nan, 0.5]))
    limits = {"tanh": (1.0, -1.0), "softplus": (1e300, 0.0), "cubic": (np.inf, -np.inf)}[activation]
    assert value[:2] == pytest.approx(limits, rel=1e-15, abs=1e-300)
    assert np.isnan(value[2]) and np.isnan(slope[2])
    assert np.isfinite([value[3], slope[3]]).all()


def test_what_is_not_finite_stays_in_its_interval():
    problem, nodes, theta = make("one network, two states")
    fine = problem.flow_jacobians(nodes, theta)
    nodes[3, 0], nodes[20, 1] = np.nan, np.inf
    lost = np.isin(problem.start, [3, 20])
    for found, before in zip(problem.flow_jacobians(nodes, theta), fine, strict=True):
        assert not np.isfinite(found[lost]).all((-1) if found.ndim == 2 else (-2, -1)).any()
        np.testing.assert_array_equal(found[~lost], before[~lost])


def test_an_explosion_is_infinite_or_nan_and_raises_nothing():
    model = HybridODE("x' = exp(x^3)")
    problem = ShootingProblem(model, dataset(("x",), (np.arange(3.0), np.ones((3, 1)))), HybridField(model))
    with np.errstate(all="raise"):
        end, by_node, _ = problem.flow_jacobians(np.array([[-5.0], [50.0], [0.0]]), np.zeros(0))
    assert np.isfinite(end[0]).all() and not np.isfinite(end[1]).any() and not np.isfinite(by_node[1]).any()


def test_the_intervals_may_come_in_any_order_and_number():
    problem, nodes, theta = make("inputs")
    whole = problem.flow(nodes, theta)
    assert problem.flow(nodes, theta, which=np.array([], dtype=int)).shape == (0, 2)
    for which in (np.array([7]), np.arange(problem.n_intervals)[::-1]):
        found = problem.compiled.flow(problem.intervals, nodes, theta, problem.substeps, which)
        np.testing.assert_array_equal(found, whole[which])


def test_read_only_and_strided_nodes_are_understood():
    problem, nodes, theta = make("no parameter")
    expected = problem.flow(nodes, theta)
    wide = np.repeat(nodes, 3, axis=1)[:, ::3]
    wide.flags.writeable = False
    np.testing.assert_array_equal(problem.flow(wide, theta), expected)


def test_calls_of_many_substeps_and_few_do_not_disturb_each_other():
    problem, nodes, theta = make("inputs")
    few, many, one = np.flatnonzero(problem.substeps < 4), np.flatnonzero(problem.substeps == 16), np.array([2])
    for which in (few, many, one, few, many):
        fresh = ShootingProblem(problem.model, problem.data, problem.field)
        fresh.substeps = problem.substeps
        for by_theta in (True, False):
            found, expected = (p.flow_jacobians(nodes, theta, which, by_theta=by_theta) for p in (problem, fresh))
            np.testing.assert_array_equal(found[1], expected[1])
        np.testing.assert_array_equal(problem.flow(nodes, theta, which=which), expected[0])


def test_scales_are_read_when_the_flow_is_asked_for():
    problem, nodes, theta = make("no parameter")
    before = problem.flow(nodes, theta)
    problem.field.scales[0].output[:] *= 2.0
    assert_same(problem.flow(nodes, theta), by_tensors(problem).flow(nodes, theta))
    assert not np.allclose(problem.flow(nodes, theta), before)


# --- which way is taken ------------------------------------------------------------------------------


@pytest.mark.parametrize(("hidden", "wide"), [((8,), False), ((64, 64), False), ((128, 128), True)])
def test_wide_layers_are_left_to_tensors(hidden, wide):
    model = HybridODE("x' = NN(x)", networks={"NN": Network(hidden)})
    problem = ShootingProblem(model, dataset(("x",), (np.arange(3.0), np.ones((3, 1)))), HybridField(model))
    assert is_wide(problem.field) == wide
    assert (problem.compiled is None) == wide
    assert np.isfinite(problem.flow(np.ones((3, 1)), np.zeros(problem.field.n_theta))).all()
