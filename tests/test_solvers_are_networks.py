"""A solver with a network in it is a deep network: which one, with which weights, and what it becomes when refined."""

import numpy as np
import pytest
import torch
from laws import dataset
from scipy.integrate import solve_ivp
from scipy.linalg import expm
from torch import nn

from udesys.fit.problem import ShootingProblem
from udesys.integrate import solve
from udesys.integrate.onestep import TABLEAUS
from udesys.model import HybridODE, Network
from udesys.model.field import HybridField

EQUATIONS = "x' = NN(x, y)[0]\ny' = NN(x, y)[1]"
IN_TIME = "x' = NN(x, y, t)[0]\ny' = NN(x, y, t)[1]"
PLAIN = {"NN": Network(6, "tanh", products=False)}
END = 2.0
X0 = ((1.0, 0.5), (-0.4, 1.2), (0.3, -0.9))
ROUNDING = {"rtol": 1e-12, "atol": 1e-14}  # some tens of operations on doubles, in another order


def block(n_in=2, seed=3):
    """A layer's network: two states in, or two states and the time, and two rates out."""
    own = torch.Generator().manual_seed(seed)
    made = nn.Sequential(nn.Linear(n_in, 6), nn.Tanh(), nn.Linear(6, 2)).double()
    with torch.no_grad():
        for weight in made.parameters():
            weight.copy_(0.8 * torch.randn(weight.shape, generator=own, dtype=torch.float64))
        made[2].weight.add_(torch.tensor([[0.0, 1.5] * 3, [-1.5, 0.0] * 3], dtype=torch.float64))  # it turns
    return made


def weights_of(net):
    """The same weights in the order of a udesys network, whose direct path from input to output is left at zero."""
    n_skip = net[0].in_features * net[2].out_features
    return torch.cat([w.flatten() for w in (*net.parameters(), torch.zeros(n_skip, dtype=torch.float64))])


def start():
    return torch.tensor(X0, dtype=torch.float64)


def times(layers, end=END):
    return torch.linspace(0.0, end, layers + 1, dtype=torch.float64)


def solved(net, method, layers, equations=EQUATIONS, weights=None, end=END):
    """All layers' outputs (batch, layers + 1, 2) of the udesys model with the network's weights."""
    field = HybridField(HybridODE(equations, networks=PLAIN))
    weights = weights_of(net) if weights is None else weights

    def rate(t, x):
        return field(torch.as_tensor(t, dtype=torch.float64).expand(len(x)), x, weights)

    return solve(rate, start(), times(layers, end), method=method).x


class ResNet(nn.Module):
    """x <- x + h f(x), layer after layer.

    Args:
        layers: the networks f, one for each layer; the same one again and again where the weights are shared.
        h: what their outputs are multiplied by.
    """

    def __init__(self, layers, h):
        super().__init__()
        self.layers, self.h = nn.ModuleList(layers), h

    def forward(self, x):
        passed = [x]
        for layer in self.layers:
            x = x + self.h * layer(x)
            passed.append(x)
        return torch.stack(passed, 1)


class RungeKuttaBlock(nn.Module):
    """Four applications of one network, and a skip path from each of them to the output."""

    def __init__(self, net, h):
        super().__init__()
        self.net, self.h = net, h

    def forward(self, x):
        k1 = self.net(x)
        k2 = self.net(x + self.h / 2 * k1)
        k3 = self.net(x + self.h / 2 * k2)
        k4 = self.net(x + self.h * k3)
        return x + self.h * (k1 / 6 + k2 / 3 + k3 / 3 + k4 / 6)


def gradients(net, output):
    """d(sum of squares of the last layer) / d(every weight), flat."""
    return torch.cat([g.flatten() for g in torch.autograd.grad((output[:, -1] ** 2).sum(), list(net.parameters()))])


def exact_ends(net, end=END):
    """(batch, 2) of the neural ODE with these weights, by SciPy and NumPy alone."""
    w1, b1, w2, b2 = (w.detach().numpy() for w in net.parameters())

    def rate(t, x):
        return w2 @ np.tanh(w1 @ x + b1) + b2

    return np.array([solve_ivp(rate, (0, end), x, "DOP853", rtol=1e-12, atol=1e-13).y[:, -1] for x in X0])


# --- Euler's method is a residual network with shared weights ------------------------------------------


@pytest.mark.parametrize("depth", [1, 8, 40])
def test_eulers_method_is_a_residual_network_with_shared_weights(depth):
    net = block()
    resnet = ResNet([net] * depth, END / depth)
    assert len(list(resnet.parameters())) == 4  # however deep: two matrices and two vectors
    torch.testing.assert_close(resnet(start()), solved(net, "euler", depth), **ROUNDING)


@pytest.mark.parametrize("depth", [1, 8, 40])
def test_both_have_the_same_gradients_by_the_weights(depth):
    net = block()
    of_resnet = gradients(net, ResNet([net] * depth, END / depth)(start()))
    of_solver = gradients(net, solved(net, "euler", depth))
    assert of_resnet.abs().max() > 1
    torch.testing.assert_close(of_resnet, of_solver, **ROUNDING)


def test_a_layer_more_or_another_weight_is_another_output():
    net = block()
    eight = ResNet([net] * 8, END / 8)(start())[:, -1]
    assert (eight - solved(net, "euler", 9)[:, -1]).abs().max() > 1e-3
    with torch.no_grad():
        net[0].weight[0, 0] += 1e-6
    assert 1e-12 < (eight - solved(net, "euler", 8)[:, -1]).abs().max() < 1e-4


# --- what it becomes with more and more layers ---------------------------------------------------------


@pytest.mark.parametrize("method", ["euler", "heun", "rk4"])
def test_deeper_and_deeper_it_becomes_the_neural_ode_with_the_order_of_the_method(method):
    net, depths = block(), np.array([8, 16, 32, 64, 128])
    exact = exact_ends(net)
    miss = [np.abs(solved(net, method, d)[:, -1].detach().numpy() - exact).max() for d in depths.tolist()]
    slopes = -np.diff(np.log(miss)) / np.log(2)
    order = {"euler": 1, "heun": 2, "rk4": 4}[method]
    assert TABLEAUS[method].order == order
    assert slopes[-1] == pytest.approx(order, abs=0.1)
    assert np.polyfit(np.log(1 / depths[1:]), np.log(miss[1:]), 1)[0] == pytest.approx(order, abs=0.2)


def test_the_adaptive_solver_gets_there_without_a_depth():
    net = block()
    with torch.no_grad():
        ends = solved(net, "dopri5", 1)[:, -1].numpy()
    assert ends == pytest.approx(exact_ends(net), abs=1e-7)


# --- the Runge-Kutta method is another network ---------------------------------------------------------


@pytest.mark.parametrize("depth", [1, 5])
def test_rk4_is_a_network_of_four_shared_applications_and_their_skips(depth):
    net = block()
    layers = nn.Sequential(*[RungeKuttaBlock(net, END / depth)] * depth)
    by_hand = torch.stack([layers[:k](start()) for k in range(depth + 1)], 1)
    torch.testing.assert_close(by_hand, solved(net, "rk4", depth), **ROUNDING)
    torch.testing.assert_close(gradients(net, by_hand), gradients(net, solved(net, "rk4", depth)), **ROUNDING)


def test_rk4_is_no_residual_network_of_the_same_depth_with_shared_weights():
    net, steps = block(), 16
    exact = exact_ends(net)
    with torch.no_grad():
        runge_kutta = solved(net, "rk4", steps)[:, -1].numpy()
        residual = ResNet([net] * (4 * steps), END / (4 * steps))(start())[:, -1].numpy()  # as many applications
    assert np.abs(runge_kutta - residual).max() > 0.01
    assert np.abs(residual - exact).max() > 100 * np.abs(runge_kutta - exact).max()


def test_of_a_linear_network_euler_is_a_power_and_rk4_a_piece_of_the_exponential():
    """Four applications of the same matrix, and two polynomials of it."""
    a = np.array([[-0.3, 1.1], [-1.4, 0.2]])
    net = block()
    with torch.no_grad():
        net[2].weight.zero_()
        net[2].bias.zero_()
    weights = torch.cat([weights_of(net)[:-4], torch.tensor(a).flatten()]).detach()  # the direct path alone
    layers = {m: solved(net, m, n, weights=weights, end=1.0)[:, -1].numpy() for m, n in (("euler", 4), ("rk4", 1))}
    power = np.linalg.matrix_power(np.eye(2) + a / 4, 4)
    piece = np.eye(2) + a + a @ a / 2 + a @ a @ a / 6 + a @ a @ a @ a / 24
    assert layers["euler"] == pytest.approx(X0 @ power.T, rel=1e-12)
    assert layers["rk4"] == pytest.approx(X0 @ piece.T, rel=1e-12)
    assert np.abs(piece - expm(a)).max() < 0.2 * np.abs(power - expm(a)).max()


def test_the_fit_differentiates_the_same_network():
    """An interval of the fit with three substeps, in compiled code, against autograd through three blocks."""
    net, t = block(), np.array([0.0, END])
    model = HybridODE(EQUATIONS, networks=PLAIN)
    data = dataset(("x", "y"), *((t, np.array([x, x])) for x in X0))
    problem = ShootingProblem(model, data, HybridField(model))
    problem.substeps[:] = 3
    nodes = np.repeat(np.array(X0), 2, axis=0)
    ends, by_start, by_weights = problem.flow_jacobians(nodes, weights_of(net).detach().numpy())
    blocks = nn.Sequential(*[RungeKuttaBlock(net, END / 3)] * 3)
    for k, x in enumerate(start()):
        x = x[None].requires_grad_()
        out = blocks(x)[0]
        assert ends[k] == pytest.approx(out.detach().numpy(), rel=1e-12)
        for j in range(2):
            by_x, *by_w = torch.autograd.grad(out[j], [x, *net.parameters()], retain_graph=True)
            flat = torch.cat([g.flatten() for g in by_w]).numpy()
            assert by_start[k, j] == pytest.approx(by_x[0].numpy(), rel=1e-11, abs=1e-12)
            assert by_weights[k, j, : len(flat)] == pytest.approx(flat, rel=1e-11, abs=1e-12)


# --- weights of their own for every layer --------------------------------------------------------------


def test_a_network_that_sees_the_time_is_a_residual_network_whose_biases_move_from_layer_to_layer():
    net, depth = block(3), 10
    layers = []
    for t in times(depth)[:-1]:
        layer = block()
        with torch.no_grad():
            layer[0].weight.copy_(net[0].weight[:, :2])
            layer[0].bias.copy_(net[0].bias + t * net[0].weight[:, 2])
        layer[2] = net[2]
        layers.append(layer)
    own = ResNet(layers, END / depth)
    torch.testing.assert_close(own(start()), solved(net, "euler", depth, IN_TIME), **ROUNDING)


def test_a_residual_network_with_weights_of_its_own_in_every_layer_is_eulers_method_with_weights_in_time():
    layers = [block(seed=k) for k in range(6)]
    h, weights = END / len(layers), [weights_of(layer) for layer in layers]
    field = HybridField(HybridODE(EQUATIONS, networks=PLAIN))

    def rate(t, x):
        return field(t, x, weights[round(t / h)])

    stepped = solve(rate, start(), times(len(layers)), method="euler").x
    torch.testing.assert_close(ResNet(layers, h)(start()), stepped, **ROUNDING)


def test_shared_layers_may_change_places_and_layers_with_weights_of_their_own_may_not():
    """An autonomous law knows no first layer: after any half of them, the other half goes on as the first began."""
    net, layers = block(), [block(seed=k) for k in range(6)]
    with torch.no_grad():
        half, whole = ResNet([net] * 3, 0.2), ResNet([net] * 6, 0.2)
        torch.testing.assert_close(half(half(start())[:, -1])[:, -1], whole(start())[:, -1], rtol=0, atol=0)
        there, back = ResNet(layers, 0.2)(start())[:, -1], ResNet(layers[::-1], 0.2)(start())[:, -1]
    assert (there - back).abs().max() > 0.1
