"""The hybrid right-hand side: its values by torch's own layers, its Jacobians by autograd."""

import numpy as np
import pytest
import torch
from laws import RIGHT_SIDES

from udesys.model import HybridODE, Network, Parameter
from udesys.model.field import HybridField, NetworkScale

# Exact derivatives both, in float64, of values of order one to ten: what differs is the order in which
# at most a few hundred terms are summed.
ROUNDING = {"rtol": 1e-12, "atol": 1e-12}

MODELS = RIGHT_SIDES | {
    "no products": (
        "x' = a*x + NN(x, y)\ny' = -NN(y, x)", {}, {"NN": Network((4,), "tanh", products=False)},
    ),
    "three arguments": ("x' = NN(x, y, z)\ny' = x*NN(z, x, y) - z\nz' = -NN(z, z, t)", {}, {}),
    "inputs and a covariate": (
        "x' = a*x*force + NN(x, force)*temperature\ny' = force - NN(y*temperature, t)/(1 + valve^2)", {},
        {"NN": Network((4,), "tanh")},
    ),
}  # fmt: skip


EXOGENOUS = {"inputs": ["force", "valve"], "covariates": ["temperature"]}


@pytest.fixture(params=MODELS, ids=lambda name: name.replace(" ", "-"))
def case(request):
    """A field with odd scales, and points, weights, parameters and inputs (or None) to read it at."""
    equations, parameters, networks = MODELS[request.param]
    driven = "force" in equations
    field = HybridField(HybridODE(equations, parameters, networks, **(EXOGENOUS if driven else {})))
    rng = np.random.default_rng(0)
    for scale in field.scales:
        n_in, n_out = len(scale.shift), len(scale.output)
        scale.shift, scale.width = rng.normal(size=n_in), rng.uniform(0.5, 2, n_in)
        scale.output = rng.uniform(0.5, 2, n_out)
    points = 6
    t, x = rng.uniform(0, 2, points), rng.normal(size=(points, len(field.model.states)))
    theta = 0.5 * rng.normal(size=field.n_theta)
    u = torch.as_tensor(rng.normal(size=(points, 3))) if driven else None
    return field, torch.as_tensor(t), torch.as_tensor(x), torch.as_tensor(theta), u


def by_autograd(field, t, x, theta, u):
    """df/dx (points, d, d) and df/dtheta (points, d, n_theta)."""
    jacobian = torch.autograd.functional.jacobian
    by_state = jacobian(lambda x: field(t, x, theta, u).sum(0), x).transpose(0, 1)
    return by_state, jacobian(lambda w: field(t, x, w, u), theta)


def test_the_derivatives_by_state_and_parameter_are_autograds(case):
    field, *point = case
    by_state, by_theta = by_autograd(field, *point)
    found = field.jacobians(*point)
    torch.testing.assert_close(found.by_state, by_state, **ROUNDING)
    torch.testing.assert_close(found.by_parameter, by_theta[:, :, field.n_weights :], **ROUNDING)


def test_the_contraction_with_theta_is_autograds(case):
    field, *point = case
    _, by_theta = by_autograd(field, *point)
    stages, d = 2, len(field.model.states)
    by_slope = torch.randn(3, stages, 4, d, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    expected = torch.einsum("nsrd,nsdw->nrw", by_slope, by_theta.reshape(3, stages, d, -1))
    found = field.theta_contraction(field.jacobians(*point), by_slope)
    torch.testing.assert_close(found, expected, **ROUNDING)


def test_the_derivative_of_a_term_by_its_weights_is_autograds(case):
    field, t, x, theta, u = case
    for k, piece in enumerate(field.weights_of):
        arguments = field.arguments(k, t, x, theta, u)[:, : len(field.model.slots[k].arguments)]
        values, by_weights = field.term(k, arguments, theta, jacobian=True)
        expected = torch.autograd.functional.jacobian(lambda w: field.term(k, arguments, w), theta)  # noqa: B023
        torch.testing.assert_close(by_weights, expected[:, :, piece], **ROUNDING)
        torch.testing.assert_close(values, field.term(k, arguments, theta), rtol=0, atol=0)


def layered(field, k, theta, arguments):
    """A slot's network of two arguments by hand: product, standardise, one hidden layer of tanh, skip, scale."""
    layout, scale, w = field.layouts[k], field.scales[k], theta[field.weights_of[k]].numpy()
    z = (np.column_stack([arguments, arguments.prod(1)]) - scale.shift) / scale.width
    (w0, b0), (w1, b1) = layout.slices
    hidden = np.tanh(z @ w[w0].reshape(layout.sizes[1], -1).T + w[b0])
    out = hidden @ w[w1].reshape(layout.sizes[2], -1).T + w[b1] + z @ w[layout.skip].reshape(layout.sizes[2], -1).T
    return out * scale.output


def test_the_values_are_the_equations_with_the_networks_in_place():
    parameters = {"k": Parameter(2.0), "a": Parameter(-0.5), "g": 3.0}
    model = HybridODE("x' = a*x + NN(x/k, y)[1]*g\ny' = NN(y, x)[0] - t", parameters)
    field = HybridField(model)
    rng = np.random.default_rng(3)
    field.scales = [NetworkScale(np.array([0.3, -0.2, 0.5]), np.array([1.5, 0.7, 1.2]), np.array([2.0, 0.4]))]
    theta = torch.as_tensor(rng.normal(size=field.n_theta))
    t, x = rng.uniform(0, 2, 5), rng.normal(size=(5, 2))
    assert field.parameters == ("a", "k")
    a, k = theta[-2:].numpy() * [0.5, 2.0]  # theta holds parameters divided by the size of their guess
    first = layered(field, 0, theta, np.column_stack([x[:, 0] / k, x[:, 1]]))
    second = layered(field, 0, theta, x[:, ::-1])
    expected = np.column_stack([a * x[:, 0] + first[:, 1] * 3.0, second[:, 0] - t])
    found = field(torch.as_tensor(t), torch.as_tensor(x), theta).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)  # the order of a dozen sums
    arguments = field.arguments(0, torch.as_tensor(t), torch.as_tensor(x), theta)
    plain = np.column_stack([x[:, 0] / k, x[:, 1]])
    seen = np.column_stack([plain, plain.prod(1)])
    np.testing.assert_allclose(arguments.numpy(), seen, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(field.term(0, arguments[:, :2], theta).numpy(), first, rtol=1e-12, atol=1e-12)


def test_inputs_and_covariates_stand_in_the_equations_by_their_names():
    field = HybridField(HybridODE("x' = force*x - k*temperature\ny' = valve*t", **EXOGENOUS))
    t, x = torch.tensor([0.5, 2.0]).double(), torch.tensor([[1.0, 0.0], [3.0, 0.0]]).double()
    u = torch.tensor([[2.0, 5.0, 7.0], [0.1, -1.0, 9.0]]).double()  # force, valve, temperature
    found = field(t, x, torch.tensor([4.0]).double(), u)
    assert found.tolist() == [[2 * 1 - 4 * 7, 5 * 0.5], [pytest.approx(0.1 * 3 - 4 * 9), -1 * 2]]


def test_theta_is_the_weights_of_every_network_then_the_parameters():
    field = HybridField(HybridODE("x' = a*NN1(x, y)\ny' = NN2(x)[1]", networks={"NN2": Network((3, 2))}))
    sizes = [(3 * 8 + 8) + (8 + 1) + 3, (3 + 3) + (6 + 2) + (4 + 2) + 2]  # two arguments and their product, and one
    assert [layout.n_weights for layout in field.layouts] == sizes
    assert field.weights_of == [slice(0, sizes[0]), slice(sizes[0], sum(sizes))]
    assert (field.n_weights, field.n_theta) == (sum(sizes), sum(sizes) + 1)


def test_the_users_activation_wins_over_the_fits():
    model = HybridODE("x' = NN1(x) + NN2(x) + NN3(x)", networks={"NN1": Network(activation="cubic")})
    field = HybridField(model, {"NN1": "softplus", "NN2": "softplus"})
    assert [layout.activation for layout in field.layouts] == ["cubic", "softplus", "tanh"]


def test_a_parameter_whose_guess_is_zero_is_not_divided_by_it():
    field = HybridField(HybridODE("x' = a + b*x", {"a": Parameter(0.0), "b": Parameter(-4.0)}))
    assert field.parameter_scale.tolist() == [1.0, 4.0]


def test_exchanging_the_states_exchanges_the_right_sides():
    one, other = (HybridField(HybridODE(text)) for text in ("x' = a*x\ny' = NN(x, y)", "y' = NN(x, y)\nx' = a*x"))
    theta = torch.as_tensor(np.random.default_rng(0).normal(size=one.n_theta))
    t, x = torch.zeros(4, dtype=torch.float64), torch.as_tensor(np.random.default_rng(1).normal(size=(4, 2)))
    torch.testing.assert_close(one(t, x, theta), other(t, x.flip(1), theta).flip(1), rtol=0, atol=0)
