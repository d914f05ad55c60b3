"""Radau IIA: the same coefficients and solutions as SciPy's, order five, and exact derivatives of the step."""

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from scipy.integrate._ivp import radau as scipys

from udesys.integrate import radau


def robertson(x):
    fast = 1e4 * x[:, 1] * x[:, 2]
    made, lost = 3e7 * x[:, 1] ** 2, 0.04 * x[:, 0]
    return torch.stack([fast - lost, lost - fast - made, made], 1)


def logistic(x):
    return x * (1 - x)


def pendulum(x):
    return torch.stack([x[:, 1], -torch.sin(x[:, 0])], 1)


def slopes_of(f):
    """X -> f and df/dx, the latter by autograd."""
    return lambda x: (f(x), torch.autograd.functional.jacobian(lambda x: f(x).sum(0), x).transpose(0, 1))


def one_step(f, x, h, guess=None):
    """Stage states of one step; guess is the start everywhere unless given."""
    h = torch.as_tensor(h, dtype=x.dtype).expand(len(x))[:, None]
    guess = x[:, None].expand(len(x), 3, x.shape[1]) if guess is None else guess
    return radau.step(slopes_of(f), x, h, 1e-12 * torch.ones(x.shape[1], dtype=x.dtype), guess)


def steps(f, x, h, count):
    for _ in range(count):
        x = one_step(f, x, h)[:, -1]
    return x


def column(*values):
    return torch.tensor(values, dtype=torch.float64)[:, None]


def test_the_nodes_are_scipys_and_the_quadrature_is_of_order_five():
    assert pytest.approx(scipys.C, rel=1e-15) == radau.C
    assert radau.A.sum(1) == pytest.approx(radau.C, rel=1e-14)
    for power in range(5):  # the weights, which are A's last row, integrate t^power over one step
        assert radau.A[-1] @ radau.C**power == pytest.approx(1 / (power + 1), rel=1e-13)
    for power in range(3):  # and every stage is a collocation
        assert radau.A @ radau.C**power == pytest.approx(radau.C ** (power + 1) / (power + 1), rel=1e-13)
    # SciPy keeps the eigenvalues of A's inverse.
    values = np.linalg.eigvals(np.linalg.inv(radau.A))
    assert values[np.abs(values.imag) < 1e-9].real == pytest.approx([scipys.MU_REAL], rel=1e-12)
    assert values.imag.max() == pytest.approx(abs(scipys.MU_COMPLEX.imag), rel=1e-12)


def test_a_linear_step_is_the_methods_rational_function():
    # R(z) is the (2, 3) Pade approximation of exp(z) (Hairer & Wanner 1996, sec. IV.5).
    z = np.array([-1e6, -3.0, -0.1, 0.5])
    rational = (1 + 2 * z / 5 + z**2 / 20) / (1 - 3 * z / 5 + 3 * z**2 / 20 - z**3 / 60)
    for value, expected in zip(z, rational, strict=True):
        end = one_step(lambda x, value=value: value * x, column(2.0), 1.0)[0, -1, 0].item()
        assert end == pytest.approx(2 * expected, rel=1e-9)


def test_the_slope_of_log_error_is_five():
    # A pendulum, by SciPy far below the errors.
    start = torch.tensor([[2.0, 0.0]], dtype=torch.float64)
    exact = solve_ivp(lambda t, x: [x[1], -np.sin(x[0])], (0, 4), start[0], "DOP853", rtol=1e-13, atol=1e-13).y[:, -1]
    numbers = [6, 9, 13, 20]
    errors = [np.abs(steps(pendulum, start, 4.0 / n, n)[0].numpy() - exact).max() for n in numbers]
    assert -np.polyfit(np.log(numbers), np.log(errors), 1)[0] == pytest.approx(5, abs=0.2)


def test_robertsons_reaction_ends_where_scipys_does():
    x0 = [1.0, 0.0, 0.0]
    exact = solve_ivp(
        lambda t, x: robertson(torch.tensor(x)[None])[0].numpy(), (0, 40), x0, method="Radau", rtol=1e-10, atol=1e-14
    ).y[:, -1]
    x, t = torch.tensor([x0], dtype=torch.float64), 0.0
    for h in 40 * np.diff(np.concatenate([[0.0], np.geomspace(1e-6, 1.0, 60)])):  # explicit steps would need h < 5e-4
        x, t = one_step(robertson, x, h)[:, -1], t + h
    assert t == pytest.approx(40)
    assert x[0].numpy() == pytest.approx(exact, rel=1e-5)  # sixty steps, each a quarter longer than the last
    assert x.sum().item() == pytest.approx(1, abs=1e-12)  # mass, which the method conserves


def test_each_interval_of_a_batch_is_solved_alone():
    x, h = column(0.1, 0.5, 2.0), torch.tensor([0.3, 1.0, 2.0], dtype=torch.float64)
    together = one_step(logistic, x, h)
    for k in range(3):
        assert torch.allclose(together[k], one_step(logistic, x[k : k + 1], h[k])[0], rtol=1e-9, atol=0)


def test_an_interval_without_solution_is_not_a_number_and_leaves_the_others():
    x = column(0.1, 1e3, 0.2)  # X = x + h a X^2 has no real solution where h x is large
    stages = one_step(lambda x: x**2, x, 1.0)
    assert torch.isnan(stages[1]).all()
    assert stages[[0, 2], -1, 0].numpy() == pytest.approx([0.1 / 0.9, 0.2 / 0.8], rel=1e-5)
    with np.errstate(all="ignore"):
        stages = one_step(lambda x: torch.exp(torch.exp(x)), column(-1.0, 9.0), 1e-3)
    assert torch.isfinite(stages[0]).all() and torch.isnan(stages[1]).all()


def coupled(x):
    a, b, c = x.unbind(1)
    return torch.stack([b * torch.cos(a), a * b - torch.sin(c), -30 * c + a], 1)


def test_stage_adjoints_are_the_derivatives_of_the_step():
    rng = np.random.default_rng(0)
    x, outer = torch.as_tensor(rng.normal(size=(3, 3))), torch.as_tensor(rng.normal(size=(3, 2, 3)))
    h = torch.tensor([0.05, 0.2, 0.4], dtype=torch.float64)[:, None]
    stages = one_step(coupled, x, h[:, 0])
    by_state = slopes_of(coupled)(stages.reshape(9, 3))[1].reshape(3, 3, 3, 3)
    by_start, by_slope = radau.stage_adjoints(by_state, h, outer)
    step = 1e-4  # central differences: 1e-8 of truncation, and what Newton's method leaves, 1e-10, over the step
    for j, change in enumerate(step * torch.eye(3, dtype=torch.float64)):
        ends = [one_step(coupled, x + s * change, h[:, 0], stages)[:, -1] for s in (1, -1)]
        slope = (ends[0] - ends[1]) / (2 * step)
        found = by_start[:, :, j].numpy()
        np.testing.assert_allclose(found, (outer @ slope[:, :, None])[:, :, 0].numpy(), rtol=1e-5, atol=1e-5)
        for s in range(3):  # a slope pushed at one stage alone
            pushed = []
            for sign in (1, -1):
                push = torch.zeros(9, 3, dtype=torch.float64)
                push[s::3] = sign * change
                pushed.append(one_step(lambda x, push=push: coupled(x) + push, x, h[:, 0], stages)[:, -1])
            slope = (pushed[0] - pushed[1]) / (2 * step)
            found = by_slope[s][:, :, j].numpy()
            np.testing.assert_allclose(found, (outer @ slope[:, :, None])[:, :, 0].numpy(), rtol=1e-5, atol=1e-5)


def test_adjoints_of_a_step_without_solution_are_not_numbers():
    by_state = torch.zeros(2, 3, 1, 1, dtype=torch.float64)
    by_state[0] = torch.nan
    by_start, by_slope = radau.stage_adjoints(by_state, torch.ones(2, 1), torch.ones(2, 1, 1, dtype=torch.float64))
    assert torch.isnan(by_start[0]).all() and by_start[1].item() == 1
    assert torch.isnan(by_slope[0][0]).all() and by_slope[0][1].item() == pytest.approx(radau.A[-1, 0])
