"""The shooting problem: how data are arranged, the one-interval flow and its exact derivatives."""

import numpy as np
import pytest
import torch
from laws import dataset, lotka_volterra_rhs, measured, solution
from scipy.interpolate import CubicSpline

from udesys.data import Dataset, Trajectory
from udesys.errors import DataError, FitError
from udesys.fit import problem as problem_module
from udesys.fit.attempt import MOST_SUBSTEPS, is_stiff, refine_substeps
from udesys.fit.problem import CHECK_AGREES, PIN_WEIGHT, ShootingProblem
from udesys.fit.start import starting_point
from udesys.integrate import radau
from udesys.model import HybridODE, Network, Parameter
from udesys.model.field import HybridField

# Networks of several arguments and outputs, called twice, multiplied, with a parameter inside a call, time, inputs of
# every interpolation and a covariate.
ENTANGLED = """
x' = a*x*y + NN1(x, b*y) + force*temperature
y' = x*NN2(x, t)[0] - NN2(y, valve)[1] - g*y**2 + slow
"""
PARAMETERS = {"a": Parameter(-2.0), "b": Parameter(0.5), "g": 0.7}
INPUTS = {"force": "linear", "valve": "hold", "slow": "cubic"}
LOTKA_VOLTERRA = "x' = 1.3*x - 0.9*x*y\ny' = 0.8*x*y - 1.8*y"
METHODS = pytest.mark.parametrize("method", ["rk4", "tensors", "radau"])


def shooting(model, data, method="rk4"):
    """A problem; "tensors" is the classical method without compiled code, as on a GPU or for wide networks."""
    problem = ShootingProblem(model, data, HybridField(model), method="rk4" if method == "tensors" else method)
    if method == "tensors":
        problem.compiled = None
    assert method != "rk4" or problem.compiled is not None
    return problem


def entangled(method="rk4", substeps=(2, 1, 3)):
    """Three runs of different length and spacing with missing cells, and random nodes and weights.

    Args:
        substeps: of the intervals in turn, over and over.
    """
    rng = np.random.default_rng(3)
    runs = []
    for k, n in enumerate((5, 2, 7)):
        y = rng.normal(size=(n, 2))
        y[rng.random((n, 2)) < 0.3] = np.nan
        t, u = rng.uniform(0.1, 0.4, n).cumsum(), rng.normal(size=(n, 3))
        runs.append(Trajectory(name=str(k), t=t, y=y, u=u, covariates=[rng.normal()]))
    known = {"inputs": INPUTS, "covariates": ("temperature",)}
    data = Dataset(columns=("x", "y"), trajectories=tuple(runs), time="t", source="made", **known)
    networks = {"NN1": Network((3,), "tanh"), "NN2": Network((3, 2), "softplus", products=False)}
    model = HybridODE(ENTANGLED, PARAMETERS, networks, inputs=list(INPUTS), covariates=["temperature"])
    problem = shooting(model, data, method)
    problem.substeps[:] = np.resize(substeps, problem.n_intervals)
    for scale in problem.field.scales:
        scale.shift[:] = rng.normal(size=len(scale.shift))
        scale.width[:] = rng.uniform(0.5, 2.0, len(scale.width))
        scale.output[:] = rng.uniform(0.5, 2.0, len(scale.output))
    return problem, rng.normal(size=(14, 2)), 0.5 * rng.normal(size=problem.field.n_theta)


def signals_at(problem, interval, t):
    """Inputs and covariates at a time of an interval, straight from the data and SciPy."""
    node = problem.start[interval]
    k = int(np.searchsorted(problem.first, node, side="right")) - 1
    run, i = problem.data.trajectories[k], node - problem.first[k]
    linear = np.interp(t, run.t, run.u[:, 0])
    if len(run.t) == 2:
        cubic = np.interp(t, run.t, run.u[:, 2])
    else:
        cubic = CubicSpline(run.t, run.u[:, 2])(t)
    return [linear, run.u[i, 1], float(cubic), run.covariates[0]]


def slope(problem, interval, t, x, theta):
    """dx/dt (d,) of one point by the field itself."""
    u = torch.tensor([signals_at(problem, interval, t)], dtype=torch.float64)
    return problem.field(torch.tensor([t], dtype=torch.float64), x[None], theta, u)[0]


def rk4(problem, interval, x, theta):
    """End (d,) of one interval by the classical method, one substep after the other."""
    t, k = problem.t[problem.start[interval]], problem.substeps[interval]
    h = problem.h[interval] / k
    for _ in range(k):
        k1 = slope(problem, interval, t, x, theta)
        k2 = slope(problem, interval, t + h / 2, x + h / 2 * k1, theta)
        k3 = slope(problem, interval, t + h / 2, x + h / 2 * k2, theta)
        k4 = slope(problem, interval, t + h, x + h * k3, theta)
        x, t = x + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4), t + h
    return x


def implicit(problem, interval, x, theta):
    """The same by Radau IIA: Newton's method by autograd, whose last iteration carries the derivatives."""
    t, k, d = problem.t[problem.start[interval]], problem.substeps[interval], len(x)
    h, a = problem.h[interval] / k, torch.tensor(radau.A)

    def residual(stages, x, theta):
        slopes = [slope(problem, interval, t + c * h, s, theta) for c, s in zip(radau.C, stages, strict=True)]
        return stages - x - h * a @ torch.stack(slopes)

    for _ in range(k):
        stages = x.detach().expand(3, d)
        for _ in range(7):
            matrix = torch.autograd.functional.jacobian(
                lambda s: residual(s, x.detach(), theta.detach()),  # noqa: B023
                stages,
            ).reshape(3 * d, 3 * d)
            left = residual(stages.detach(), x, theta).reshape(-1)
            stages = (stages.detach().reshape(-1) - torch.linalg.solve(matrix, left)).reshape(3, d)
        x, t = stages[-1], t + h
    return x


INDEPENDENT = {"rk4": rk4, "tensors": rk4, "radau": implicit}


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


def test_observables_stand_after_the_states():
    model = HybridODE("x' = -k*x\ny' = x", observe={"o": "gain*x*y + t", "p": "x^2"}, parameters={"gain": 2.0})
    data = dataset(("p", "x"), (np.arange(3.0), [[1.0, 4.0], [2.0, np.nan], [3.0, 6.0]]))
    problem = ShootingProblem(model, data, HybridField(model))
    assert (problem.d, problem.m) == (2, 4)
    assert problem.measured.tolist() == [True, False, False, True]
    assert problem.y[:, 3].tolist() == [1, 2, 3] and problem.mask[:, 0].tolist() == [1, 0, 1]
    nodes = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    outputs = problem.outputs(nodes, np.ones(1))
    assert outputs == pytest.approx(np.array([[1, 2, 4, 1], [3, 4, 25, 9], [5, 6, 62, 25]]))


def test_the_derivatives_of_observables_are_central_differences():
    model = HybridODE(
        "x' = -k*x + f\ny' = x", inputs=["f"], observe={"o": "gain*x*sin(y) + f*t", "p": "x^2/k"},
        parameters={"gain": Parameter(2.0), "k": Parameter(0.3)},
    )  # fmt: skip
    run = Trajectory(name="1", t=np.arange(4.0), y=np.ones((4, 1)), u=np.arange(4.0)[:, None])
    data = Dataset(columns=("o",), trajectories=(run,), time="t", source="made", inputs={"f": "hold"})
    problem = ShootingProblem(model, data, HybridField(model))
    nodes, theta = np.random.default_rng(0).normal(size=(4, 2)), np.array([1.1, 0.9])
    by_state, by_parameter = problem.observation.jacobians(problem.t, nodes, theta, problem.u)
    step = 1e-6

    def values(nodes, theta):
        return problem.outputs(nodes, theta)[:, 2:]

    for j, change in enumerate(step * np.eye(2)):
        expected = (values(nodes + change, theta) - values(nodes - change, theta)) / (2 * step)
        np.testing.assert_allclose(by_state[:, :, j], expected, atol=1e-8)
        expected = (values(nodes, theta + change) - values(nodes, theta - change)) / (2 * step)
        np.testing.assert_allclose(by_parameter[:, :, j], expected, atol=1e-8)


def test_inputs_at_the_samples_are_the_measured_ones():
    problem, _, _ = entangled()
    for k, (a, b) in enumerate(zip(*problem.segments, strict=True)):
        run = problem.data.trajectories[k]
        assert problem.u[a:b, [0, 2]] == pytest.approx(run.u[:, [0, 2]])
        assert problem.u[a : b - 1, 1].tolist() == run.u[:-1, 1].tolist()  # the last hold is that of the last interval
        assert (problem.u[a:b, 3] == run.covariates[0]).all()


def test_an_input_that_the_data_lack_is_refused():
    model = HybridODE("x' = f - x", inputs=["f"])
    with pytest.raises(DataError, match=r"no input or covariate 'f'"):
        ShootingProblem(model, dataset(("x",), (np.arange(3.0), np.ones((3, 1)))), HybridField(model))


def test_a_given_start_weighs_far_more_than_a_measurement():
    y = np.array([[1.0, 5.0], [2.0, 6.0]])
    model = HybridODE("x' = -x\ny' = -y", initial={"x": 3.0, "y": "data"})
    data = dataset(("x", "y"), (np.arange(2.0), y))
    problem = ShootingProblem(model, data, HybridField(model))
    assert problem.y[0].tolist() == [3.0, 5.0]
    assert problem.mask[0].tolist() == [0.0, 1.0]
    assert problem.pin.tolist() == [[PIN_WEIGHT, PIN_WEIGHT], [0.0, 0.0]]
    inside = ShootingProblem(model, data, HybridField(model), pinned=False)  # a window has no start of its own
    assert not inside.pin.any() and inside.mask.all()


def test_a_start_from_data_needs_the_first_cell():
    model = HybridODE("x' = -x", initial={"x": "data"})
    with pytest.raises(FitError, match='initial x = "data", but the first x of a trajectory is missing'):
        ShootingProblem(model, dataset(("x",), (np.arange(2.0), [[np.nan], [1.0]])), HybridField(model))


def test_a_velocitys_start_from_data_is_the_first_slope():
    t = np.linspace(0.0, 2.0, 40)
    model = HybridODE("q'' = -q", initial={"q": "data", "q'": "data"})
    problem = ShootingProblem(model, dataset(("q",), (t, np.sin(t + 0.3)[:, None])), HybridField(model))
    # A spline through exact values at steps of 0.05: its slope at the end errs by the square of the step.
    assert problem.y[0] == pytest.approx([np.sin(0.3), np.cos(0.3)], abs=0.05**2)
    assert problem.mask[0].tolist() == [1.0, 0.0] and problem.pin[0].tolist() == [PIN_WEIGHT] * 2
    measured = dataset(("q", "q'"), (t, np.stack([np.sin(t), np.full(40, 7.0)], 1)))
    assert ShootingProblem(model, measured, HybridField(model)).y[0].tolist() == [0.0, 7.0]  # measured itself


def test_a_velocitys_start_from_data_needs_the_first_position():
    model = HybridODE("q'' = -q", initial={"q'": "data"})
    with pytest.raises(FitError, match="initial q' = \"data\", but the first q of a trajectory is missing"):
        ShootingProblem(model, dataset(("q",), (np.arange(3.0), [[np.nan], [1.0], [0.5]])), HybridField(model))


def test_a_column_that_is_no_state_is_refused():
    data = dataset(("x", "z"), (np.arange(2.0), np.ones((2, 2))))
    model = HybridODE("x' = -x")
    with pytest.raises(FitError, match=r"column 'z' is no state of the model\. States are x\.$"):
        ShootingProblem(model, data, HybridField(model))
    model = HybridODE("x' = -x", observe={"o": "2*x"})
    with pytest.raises(FitError, match=r"column 'z' is no state of the model\. States are x\. Observables are o\."):
        ShootingProblem(model, data, HybridField(model))


# --- the flow ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "substeps"), [("rk4", (1,)), ("rk4", (2, 1, 3)), ("tensors", (2, 1, 3)), ("radau", (2, 1, 3))]
)
def test_the_flow_and_its_jacobians_agree_with_automatic_differentiation(method, substeps):
    problem, nodes, theta = entangled(method, substeps)
    end, by_node, by_theta = problem.flow_jacobians(nodes, theta)
    w = torch.as_tensor(theta)
    for i in range(0, problem.n_intervals, 3 if method == "radau" else 1):  # of all three runs
        x = torch.as_tensor(nodes[problem.start[i]])

        def ends(x, w, i=i):
            return INDEPENDENT[method](problem, i, x, w)

        own, expected = torch.autograd.functional.jacobian(ends, (x, w))
        # Both are exact derivatives of the same steps: only rounding is between them, and for the implicit method
        # the 1e-10 at which its Newton iteration ends.
        close = {"rtol": 1e-8, "atol": 1e-9} if method == "radau" else {"rtol": 1e-10, "atol": 1e-12}
        np.testing.assert_allclose(end[i], ends(x, w).detach(), **close)
        np.testing.assert_allclose(by_node[i], own, **close)
        np.testing.assert_allclose(by_theta[i], expected, **close)
    np.testing.assert_array_equal(problem.flow(nodes, theta), end)
    without = problem.flow_jacobians(nodes, theta, by_theta=False)
    assert without[2] is None and np.array_equal(without[1], by_node)


@METHODS
def test_the_jacobians_pass_torchs_gradient_check(method):
    """The flow as a function of torch's, its backward pass made of the problem's own Jacobians."""
    problem, nodes, theta = entangled(method)

    class Flow(torch.autograd.Function):
        @staticmethod
        def forward(ctx, nodes, theta):
            end, by_node, by_theta = problem.flow_jacobians(nodes.detach().numpy(), theta.detach().numpy())
            ctx.save_for_backward(*map(torch.as_tensor, (by_node, by_theta)))
            return torch.as_tensor(end)

        @staticmethod
        def backward(ctx, pull):
            by_node, by_theta = ctx.saved_tensors
            back = torch.zeros(len(nodes), 2, dtype=torch.float64)
            back[torch.as_tensor(problem.start)] = (pull[:, None] @ by_node)[:, 0]
            return back, torch.einsum("nd,ndp->p", pull, by_theta)

    where = [torch.tensor(z, requires_grad=True) for z in (nodes, theta)]
    # Central differences over 1e-5: truncation 1e-10, rounding 1e-11; what Newton's method leaves, 1e-10, gives 1e-5.
    left = 1e-4 if method == "radau" else 1e-7
    assert torch.autograd.gradcheck(Flow.apply, where, eps=1e-5, atol=left, rtol=1e-5, fast_mode=method != "rk4")


@METHODS
def test_chunks_do_not_change_the_flow(monkeypatch, method):
    problem, nodes, theta = entangled(method)
    whole = problem.flow_jacobians(nodes, theta)
    which = np.array([1, 5, 6, 10])
    path = problem.path(nodes, theta, by_theta=True)
    monkeypatch.setattr(problem_module, "CHUNK", 6)
    problem._plans.clear()
    close = {"rtol": 1e-12, "atol": 1e-12}
    for piece, expected in zip(problem.flow_jacobians(nodes, theta), whole, strict=True):
        np.testing.assert_allclose(piece, expected, **close)
    for piece, expected in zip(problem.path(nodes, theta, by_theta=True), path, strict=True):
        np.testing.assert_allclose(piece, expected, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(problem.flow(nodes, theta, which=which), whole[0][which], rtol=1e-12, atol=1e-13)
    for piece, expected in zip(problem.flow_jacobians(nodes, theta, which), whole, strict=True):
        np.testing.assert_allclose(piece, expected[which], rtol=1e-12, atol=1e-13)


def test_a_share_of_the_flow_ends_inside_the_interval():
    t = np.array([0.0, 0.3])
    model = HybridODE(LOTKA_VOLTERRA)
    problem = ShootingProblem(model, dataset(("x", "y"), (t, np.ones((2, 2)))), HybridField(model))
    problem.substeps[:] = 32
    inside = problem.flow(np.array([[0.5, 2.0], [0.0, 0.0]]), np.zeros(0), share=0.5)
    # 32 steps of 0.005 of an order-4 method: 1e-9 at most.
    assert inside[0] == pytest.approx(solution(lotka_volterra_rhs, [0.5, 2.0], np.array([0.0, 0.15]))[-1], rel=1e-9)


@pytest.mark.parametrize(("method", "order"), [("rk4", 4), ("tensors", 4), ("radau", 5)])
def test_the_flow_is_of_its_methods_order_in_its_substeps(method, order):
    t = np.array([0.0, 0.5])
    exact = solution(lotka_volterra_rhs, [1.5, 2.0], t)[-1]
    model = HybridODE(LOTKA_VOLTERRA)
    problem = shooting(model, dataset(("x", "y"), (t, np.ones((2, 2)))), method)
    errors = []
    numbers = [2, 4, 8, 16]
    for substeps in numbers:
        problem.substeps[:] = substeps
        errors.append(np.abs(problem.flow(np.array([[1.5, 2.0], [1.0, 1.0]]), np.zeros(0))[0] - exact).max())
    assert np.polyfit(np.log(numbers), np.log(errors), 1)[0] == pytest.approx(-order, abs=0.3)


@METHODS
def test_a_flow_without_solution_is_not_a_number_and_does_not_spoil_the_others(method):
    model = HybridODE("x' = k*x^2")  # x = x0/(1 - x0 t), gone at t = 0.1 from x0 = 10
    runs = [(np.arange(2.0), np.ones((2, 1)))] * 3
    problem = shooting(model, dataset(("x",), *runs), method)
    problem.substeps[:] = 8
    nodes = np.array([[0.1], [0.1], [10.0], [10.0], [0.2], [0.2]])
    with np.errstate(all="ignore"):
        end, by_node, _ = problem.flow_jacobians(nodes, np.ones(1))
    assert not np.abs(end[1, 0]) < 1e6
    assert end[[0, 2], 0] == pytest.approx([0.1 / 0.9, 0.2 / 0.8], rel=1e-6)
    assert by_node[[0, 2], 0, 0] == pytest.approx([1 / 0.9**2, 1 / 0.8**2], rel=1e-6)


@pytest.mark.parametrize("method", ["rk4", "tensors"])
def test_the_right_side_at_the_nodes_is_the_fields(method):
    problem, nodes, theta = entangled(method)
    at = np.array([0, 3, 4, 9])
    point = tuple(map(torch.as_tensor, (problem.t[at], nodes[at], theta, problem.u[at])))
    arguments, by_state, by_output = problem.linearise(nodes, theta, at)
    expected = problem.field.jacobians(*point)
    if problem.compiled is not None:
        found = problem.compiled.right_side(problem.t[at], nodes[at], problem.u[at], theta)
        np.testing.assert_allclose(found, problem.field(*point), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(by_state, expected.by_state, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(by_output, expected.by_output, rtol=1e-12, atol=1e-12)
    for k, points in enumerate(arguments):
        np.testing.assert_allclose(points, problem.field.arguments(k, *point), rtol=1e-12, atol=1e-12)
        points = points[:, : len(problem.model.slots[k].arguments)]  # without their products
        values, slopes = problem.term(k, points, theta)
        expected = problem.field.term(k, torch.as_tensor(points), point[2], jacobian=True)
        np.testing.assert_allclose(values, expected[0], rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(slopes, expected[1], rtol=1e-12, atol=1e-12)


# --- along straight lines ----------------------------------------------------------------------------


def test_the_path_is_the_integral_along_the_line_and_its_derivative():
    problem, nodes, theta = entangled("radau")
    end, by_theta = problem.path(nodes, theta, by_theta=True)

    def ends(w, i):
        a, b = torch.as_tensor(nodes[problem.start[i]]), torch.as_tensor(nodes[problem.start[i] + 1])
        total = a
        for weight, c in zip(radau.A[-1], radau.C, strict=True):
            t = problem.t[problem.start[i]] + c * problem.h[i]
            total = total + problem.h[i] * weight * slope(problem, i, t, a + c * (b - a), w)
        return total

    w = torch.as_tensor(theta)
    for i in range(problem.n_intervals):
        np.testing.assert_allclose(end[i], ends(w, i), rtol=1e-12, atol=1e-13)
        expected = torch.autograd.functional.jacobian(lambda w, i=i: ends(w, i), w)
        np.testing.assert_allclose(by_theta[i], expected, rtol=1e-10, atol=1e-12)
    which = np.array([2, 4])
    np.testing.assert_allclose(problem.path(nodes, theta, which)[0], end[which], rtol=1e-13)


def test_the_path_of_a_polynomial_right_side_is_exact():
    model = HybridODE("x' = t^4 - x^2")  # along x = t, of degree four: three Radau points integrate it exactly
    t = np.array([0.5, 1.5])
    problem = ShootingProblem(model, dataset(("x",), (t, t[:, None])), HybridField(model), method="radau")
    exact = 0.5 + (1.5**5 - 0.5**5) / 5 - (1.5**3 - 0.5**3) / 3
    assert problem.path(t[:, None], np.zeros(0))[0][0, 0] == pytest.approx(exact, rel=1e-13)


# --- substeps and stiffness --------------------------------------------------------------------------


def oscillator(h, noise, method="rk4"):
    """An oscillator of unit frequency sampled every h, without networks, and where a fit of it starts."""
    t = np.arange(0, 12, h)
    model = HybridODE("x' = v\nv' = -x")
    data = measured(lambda t, x: [x[1], -x[0]], [[1.0, 0.0]], [t], ("x", "v"), noise=noise)
    problem = shooting(model, data, method)
    unknowns = starting_point(problem, np.random.default_rng(0), smoothed=True)
    unknowns.sigma[:] = noise
    return problem, unknowns


TOLERANCE = 0.05  # of the noise


def test_substeps_double_until_the_flow_is_exact_beside_the_noise():
    problem, unknowns = oscillator(h=1.0, noise=1e-4)
    assert refine_substeps(problem, unknowns, TOLERANCE)
    turn = np.array([[np.cos(1.0), np.sin(1.0)], [-np.sin(1.0), np.cos(1.0)]])  # the exact flow over h = 1
    exact = unknowns.nodes[problem.start] @ turn.T
    error = np.abs(problem.flow(unknowns.nodes, unknowns.theta) - exact).max() / 1e-4
    assert error < 2 * TOLERANCE  # the change on doubling is 15/16 of the error
    problem.substeps //= 2
    assert np.abs(problem.flow(unknowns.nodes, unknowns.theta) - exact).max() / 1e-4 > TOLERANCE


def test_substeps_are_each_intervals_own():
    t = np.array([0.0, 0.1, 0.2, 1.7, 1.8])
    model = HybridODE("x' = v\nv' = -x")
    data = measured(lambda t, x: [x[1], -x[0]], [[1.0, 0.0]], [t], ("x", "v"))
    problem = ShootingProblem(model, data, HybridField(model))
    unknowns = starting_point(problem, np.random.default_rng(0), smoothed=False)
    unknowns.sigma[:] = 1e-3
    assert refine_substeps(problem, unknowns, TOLERANCE)
    assert problem.substeps[[0, 1, 3]].tolist() == [1, 1, 1] and problem.substeps[2] >= 4


def test_substeps_stay_where_one_is_enough():
    problem, unknowns = oscillator(h=0.1, noise=0.01)
    assert not refine_substeps(problem, unknowns, TOLERANCE)
    assert (problem.substeps == 1).all()


def test_substeps_end_at_a_limit():
    problem, unknowns = oscillator(h=3.0, noise=1e-14)
    refine_substeps(problem, unknowns, TOLERANCE)
    assert problem.substeps.max() == MOST_SUBSTEPS


@pytest.mark.parametrize(("rate", "stiff"), [(1.0, False), (30.0, False), (100.0, True), (1e4, True)])
def test_a_decay_too_fast_for_sixteen_explicit_steps_is_stiff(rate, stiff):
    model = HybridODE("x' = -r*(x - cos(t))\ny' = -y", parameters={"r": rate})
    t = np.arange(10.0)
    y = np.column_stack([np.cos(t), np.exp(-t)])
    problem = ShootingProblem(model, dataset(("x", "y"), (t, y)), HybridField(model))
    unknowns = starting_point(problem, np.random.default_rng(0), smoothed=True)
    assert is_stiff(problem, unknowns) is stiff


# --- simulating --------------------------------------------------------------------------------------


def test_the_check_finds_the_one_interval_of_many_where_the_law_jumps():
    model = HybridODE("x' = 1.5 - tanh(1e6*x)")  # 2.5 below zero and 0.5 above
    runs = [(np.arange(2.0), np.array([[1.0], [1.5]]))] * 3000 + [(np.arange(2.0), np.array([[-0.5], [0.4]]))]
    problem = shooting(model, dataset(("x",), *runs))
    sigma = np.array([1e-3])
    end = problem.checked_flow(problem.y, np.zeros(0), sigma)
    assert np.abs(end[:-1] - 1.5).max() < 1e-6
    assert end[-1, 0] == pytest.approx(0.4, abs=CHECK_AGREES * sigma[0])
    together = problem._controlled_flow(np.arange(problem.n_intervals), problem.y, np.zeros(0), sigma)
    assert abs(together[-1, 0] - 0.4) > 2 * CHECK_AGREES * sigma[0]  # among so many the error control does not see it


def test_a_simulation_of_one_run_agrees_with_scipy():
    problem, unknowns = oscillator(h=0.5, noise=0.01)
    t = np.linspace(0, 20, 7)
    states = problem.simulate(np.array([1.0, 0.0]), unknowns.theta, 0, t, 1e-10)
    # The solver's rtol of 1e-8 and atol of 1e-10 a step, over three periods.
    np.testing.assert_allclose(states, np.stack([np.cos(t), -np.sin(t)], 1), atol=1e-6)


def test_a_simulation_that_takes_too_many_steps_gives_up(monkeypatch):
    model = HybridODE("x' = w*y\ny' = -w*x", parameters={"w": 1e7})
    t = np.linspace(0, 1, 101)
    problem = shooting(model, dataset(("x", "y"), (t, np.ones((101, 2)))))
    calls, inside = [], HybridField.__call__
    monkeypatch.setattr(HybridField, "__call__", lambda *args: calls.append(1) or inside(*args))
    states = problem.simulate(np.array([1.0, 0.0]), np.zeros(0), 0, t, 1e-6)
    assert np.isnan(states[1:]).all()
    assert 1_000 < len(calls) < 10_000  # it would take some hundred thousand steps to the second time


@METHODS
def test_shooting_closes_every_interval_from_the_starts(method):
    problem, unknowns = oscillator(h=0.25, noise=0.01, method=method)
    starts = np.array([[1.1, -0.2]])
    nodes = problem.shoot(starts, unknowns.theta, unknowns.nodes)
    assert np.array_equal(nodes[0], starts[0])
    assert problem.flow(nodes, unknowns.theta) == pytest.approx(nodes[problem.start + 1], abs=1e-8)
    cos, sin = np.cos(problem.t), np.sin(problem.t)
    exact = np.stack([1.1 * cos - 0.2 * sin, -1.1 * sin - 0.2 * cos], 1)
    assert nodes == pytest.approx(exact, abs=1e-3)  # 48 steps of the explicit method, 3e-6 each; far less of the other


def test_shooting_gives_none_where_there_is_no_solution():
    model = HybridODE("x' = k*x^2")
    t = np.linspace(0, 4, 9)
    problem = ShootingProblem(model, dataset(("x",), (t, np.ones((9, 1)))), HybridField(model))
    with np.errstate(all="ignore"):
        assert problem.shoot(np.ones((1, 1)), np.ones(1), np.ones((9, 1))) is None  # x = 1/(1 - t)


@METHODS
def test_a_driven_oscillator_is_scipys(method):
    rng = np.random.default_rng(0)
    t = np.linspace(0, 6, 61)
    force = np.cumsum(rng.normal(size=61)) / 3

    def rhs(time, x):
        return [x[1], -4 * x[0] - 0.3 * x[1] + np.interp(time, t, force)]

    exact = np.empty((61, 2))
    exact[0] = [1.0, 0.0]
    for i in range(60):  # interval by interval: the input has kinks at the samples
        exact[i + 1] = solution(rhs, exact[i], t[i : i + 2])[-1]
    model = HybridODE("x'' = -4*x - c*x' + f", parameters={"c": 0.3}, inputs=["f"])
    run = Trajectory(name="1", t=t, y=exact[:, :1], u=force[:, None])
    data = Dataset(columns=("x",), trajectories=(run,), time="t", source="made", inputs={"f": "linear"})
    problem = shooting(model, data, method)
    nodes = problem.shoot(exact[:1], np.zeros(0), exact)
    # Sixty RK4 steps of 0.1 at frequency 2, 2e-6 each; the implicit method is of order five.
    assert nodes == pytest.approx(exact, abs=1e-5 if method == "radau" else 2e-4)
    plain = problem.simulate(exact[0], np.zeros(0), 0, t, 1e-10)
    assert plain == pytest.approx(exact, abs=2e-5)  # the adaptive solver's steps go over the kinks, 1e-7 a kink
