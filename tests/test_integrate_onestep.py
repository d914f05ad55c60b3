"""One-step methods: their order by the slope of log error, the lecture's hybrid step, and adjoints by autograd."""

import numpy as np
import pytest
import torch

from udesys.integrate import solve
from udesys.integrate.onestep import TABLEAUS, stage_adjoints, step
from udesys.model import HybridODE, Network
from udesys.model.field import HybridField

METHODS = pytest.mark.parametrize("tableau", TABLEAUS.values(), ids=lambda t: t.name)


def times(end, n):
    return torch.linspace(0, end, n, dtype=torch.float64)


def slope_of_log_error(error_of, numbers):
    """The slope of log error over log step, fitted to several numbers of steps."""
    errors = [error_of(n) for n in numbers]
    return -np.polyfit(np.log(numbers), np.log(errors), 1)[0]


@METHODS
def test_a_step_along_an_exponential_is_its_taylor_polynomial(tableau):
    x, h = torch.tensor([[2.0], [-3.0]], dtype=torch.float64), 0.1
    after, _ = step(lambda t, x: x, 0.0, x, h, tableau)
    taylor = {1: 1 + h, 2: 1 + h + h**2 / 2, 4: 1 + h + h**2 / 2 + h**3 / 6 + h**4 / 24}[tableau.order]
    torch.testing.assert_close(after, x * taylor, rtol=1e-15, atol=0)  # a few roundings


@METHODS
def test_a_slope_that_depends_on_time_only_is_integrated_by_the_methods_quadrature(tableau):
    # rectangle, trapezium and Simpson are exact up to these powers of t
    exact_power = {"euler": 0, "heun": 1, "rk4": 3}[tableau.name]
    x = torch.zeros((1, 1), dtype=torch.float64)
    after, _ = step(lambda t, x: torch.full_like(x, (exact_power + 1) * t**exact_power), 1.0, x, 0.5, tableau)
    assert after.item() == pytest.approx(1.5 ** (exact_power + 1) - 1, rel=1e-14)  # a few roundings


@METHODS
def test_the_slope_of_log_error_is_the_order(tableau):
    # The logistic equation from 0.1: x = 1/(1 + 9 exp(-t)); nonlinear, so that no order is there by chance.
    exact = 1 / (1 + 9 * np.exp(-2.0))
    start = torch.full((1, 1), 0.1, dtype=torch.float64)

    def error(substeps):
        got = solve(lambda t, x: x * (1 - x), start, times(2.0, 2), method=tableau.name, substeps=substeps)
        return abs(got.x[0, -1, 0].item() - exact)

    assert slope_of_log_error(error, [32, 64, 128, 256]) == pytest.approx(tableau.order, abs=0.1)


@METHODS
def test_the_slope_of_log_error_is_the_order_with_time_in_the_field(tableau):
    # x' = x^2 cos(t) from 0.5: x = 1/(2 - sin(t)).
    exact = 1 / (2 - np.sin(2.0))
    start = torch.full((1, 1), 0.5, dtype=torch.float64)

    def error(substeps):
        field = lambda t, x: x**2 * np.cos(t)  # noqa: E731
        got = solve(field, start, times(2.0, 2), method=tableau.name, substeps=substeps)
        return abs(got.x[0, -1, 0].item() - exact)

    assert slope_of_log_error(error, [32, 64, 128, 256]) == pytest.approx(tableau.order, abs=0.1)


def test_the_lectures_hybrid_euler_step_is_euler():
    """x + dt*(alpha*x + NN(x, y)), the network of torch's own layers."""
    model = HybridODE("x' = alpha*x + NN(x, y)\ny' = -y", networks={"NN": Network((5,), "tanh", products=False)})
    field = HybridField(model)
    theta = torch.as_tensor(np.random.default_rng(0).normal(size=field.n_theta))
    (layout,) = field.layouts
    theta[layout.skip] = 0.0  # the lecture's network has no linear skip
    layers = [torch.nn.Linear(2, 5, dtype=torch.float64), torch.nn.Linear(5, 1, dtype=torch.float64)]
    network = torch.nn.Sequential(layers[0], torch.nn.Tanh(), layers[1])
    for layer, (w, b) in zip(layers, layout.slices, strict=True):
        layer.weight.data, layer.bias.data = theta[w].reshape(layer.weight.shape), theta[b]
    alpha = theta[-1]

    t = torch.tensor([0.0, 0.1, 0.3, 0.35, 1.0], dtype=torch.float64)
    x = torch.tensor([[0.5, 2.0], [1.5, -1.0], [-0.2, 0.3]], dtype=torch.float64)
    expected = [x]
    for dt in t.diff():
        slope = torch.stack([alpha * x[:, 0] + network(x).detach()[:, 0], -x[:, 1]], 1)
        x = x + dt * slope
        expected.append(x)
    got = solve(lambda t, x: field(t, x, theta), expected[0], t, method="euler")
    # machine precision: four steps of a few roundings each
    torch.testing.assert_close(got.x, torch.stack(expected, 1), rtol=1e-14, atol=1e-14)
    assert got.n_evaluations == 4


def rotate(t, x):
    """A nonlinear field that depends on time, with its Jacobian found by autograd."""
    return torch.stack([x[:, 1] * torch.cos(x[:, 0]) + t, x[:, 0] * x[:, 1] - torch.sin(t * x[:, 2]), x[:, 0] ** 2], 1)


@METHODS
def test_stage_adjoints_are_autograds(tableau):
    generator = torch.Generator().manual_seed(0)
    batch, d, rows = 4, 3, 2
    x = torch.randn(batch, d, generator=generator, dtype=torch.float64)
    outer = torch.randn(batch, rows, d, generator=generator, dtype=torch.float64)
    h = torch.linspace(0.1, 0.7, batch, dtype=torch.float64)[:, None]
    _, stages = step(lambda t, x: rotate(0.3, x), 0.0, x, h, tableau)
    jacobian = torch.autograd.functional.jacobian
    jacobians = [jacobian(lambda x: rotate(0.3, x).sum(0), at).transpose(0, 1) for _, at in stages]
    by_start, by_slope = stage_adjoints(jacobians, h[:, :, None], outer, tableau)

    def end(x, pushes):
        """The step's end when each stage's slope is pushed a little."""
        left = list(pushes)
        return step(lambda t, x: rotate(0.3, x) + left.pop(0), 0.0, x, h, tableau)[0]

    pushes = tuple(torch.zeros_like(x) for _ in stages)
    # exact derivatives both; sums of a few products of order one
    close = {"rtol": 1e-13, "atol": 1e-13}
    by_x = jacobian(lambda x: end(x, pushes).sum(0), x).transpose(0, 1)
    torch.testing.assert_close(by_start, outer @ by_x, **close)
    for s, found in enumerate(by_slope):
        by_push = jacobian(lambda p, s=s: end(x, (*pushes[:s], p, *pushes[s + 1 :])).sum(0), pushes[s])
        torch.testing.assert_close(found, outer @ by_push.transpose(0, 1), **close)


@METHODS
def test_trajectories_of_a_batch_do_not_know_of_each_other(tableau):
    x = torch.tensor([[0.1, 0.2, 0.3], [1.0, -1.0, 0.5]], dtype=torch.float64)
    together = solve(rotated_in_time, x, times(1.0, 4), method=tableau.name).x
    alone = torch.cat([solve(rotated_in_time, x[[k]], times(1.0, 4), method=tableau.name).x for k in (0, 1)])
    torch.testing.assert_close(together, alone, rtol=0, atol=0)


def rotated_in_time(t, x):
    return rotate(torch.as_tensor(t, dtype=x.dtype), x)


@METHODS
def test_gradients_flow_through_the_solution(tableau):
    x = torch.tensor([[0.4]], dtype=torch.float64, requires_grad=True)
    solve(lambda t, x: x * (1 - x), x, times(1.0, 3), method=tableau.name, substeps=3).x[0, -1, 0].backward()
    h = 1e-5
    either = torch.tensor([[0.4 - h], [0.4 + h]], dtype=torch.float64)
    ends = solve(lambda t, x: x * (1 - x), either, times(1.0, 3), method=tableau.name, substeps=3).x[:, -1, 0]
    # central differences err by h^2 and by rounding over h: 1e-10
    assert x.grad.item() == pytest.approx(((ends[1] - ends[0]) / (2 * h)).item(), rel=1e-9)
