"""solve(): every method against exact solutions and SciPy, failures reported, wrong calls refused."""

import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from udesys.errors import SolveError
from udesys.integrate import METHODS, solve
from udesys.integrate.solution import ADAPTIVE


def axis(*values):
    return torch.tensor(values, dtype=torch.float64)


def ones(*shape):
    return torch.ones(shape, dtype=torch.float64)


def decay(t, x):
    return -0.7 * x


def lotka_volterra(t, x):
    return torch.stack([1.3 * x[:, 0] - 0.9 * x[:, 0] * x[:, 1], 0.8 * x[:, 0] * x[:, 1] - 1.8 * x[:, 1]], 1)


# What is left over a unit of time: the fixed methods' error at 1/100, or ten times the tolerance.
LEFT = {"euler": 1e-2, "heun": 1e-4, "rk4": 1e-9, "adaptive_heun": 1e-5} | dict.fromkeys(ADAPTIVE[:3], 1e-7)


@pytest.mark.parametrize("method", METHODS)
def test_an_exponential_is_an_exponential(method):
    t, x0 = axis(0.5, 0.6, 1.1, 1.5), torch.tensor([[1.0], [-2.0]], dtype=torch.float64)
    loose = {"rtol": 1e-6, "atol": 1e-8} if method == "adaptive_heun" else {}
    got = solve(decay, x0, t, method=method, substeps=50, **loose)
    exact = x0 * torch.exp(-0.7 * (t - 0.5))
    assert got.x.shape == (2, 4, 1)
    torch.testing.assert_close(got.x[:, :, 0], exact, rtol=LEFT[method], atol=0)
    torch.testing.assert_close(got.x[:, 0], x0, rtol=0, atol=0)
    assert got.success
    assert got.message == ""


@pytest.mark.parametrize("method", ADAPTIVE)
def test_adaptive_methods_agree_with_scipy(method):
    t = torch.linspace(0, 3, 7, dtype=torch.float64)
    x0 = torch.tensor([[0.44, 4.6], [2.0, 1.0]], dtype=torch.float64)
    rtol = 1e-5 if method == "adaptive_heun" else 1e-8  # order 2 would need ten thousand steps
    got = solve(lotka_volterra, x0, t, method=method, rtol=rtol, atol=rtol / 100)
    for k in range(2):
        reference = solve_ivp(
            lambda t, x: lotka_volterra(t, torch.as_tensor(x)[None])[0].numpy(), (0, 3), x0[k].numpy(),
            "DOP853", t_eval=t.numpy(), rtol=1e-12, atol=1e-12,
        )  # fmt: skip
        # the tolerance holds a step; over three time units it adds up and grows with the dynamics
        np.testing.assert_allclose(got.x[k].numpy(), reference.y.T, rtol=1000 * rtol, atol=1000 * rtol)


@pytest.mark.parametrize("method", METHODS)
def test_time_in_the_field_starts_at_the_first_time(method):
    t = axis(1.0, 2.0, 3.0)
    got = solve(lambda t, x: 2 * t * torch.ones_like(x), ones(1, 1), t, method=method, substeps=100, rtol=1e-6)
    # x = t^2; Euler's rectangles err by a hundredth a unit of time, the others not at all
    torch.testing.assert_close(got.x[0, :, 0], t**2, rtol=1e-2 if method == "euler" else 1e-9, atol=0)


def test_evaluations_are_counted():
    t = axis(0.0, 1.0, 2.0, 3.0)
    counts = {m: solve(decay, ones(5, 1), t, method=m, substeps=2).n_evaluations for m in ("euler", "heun", "rk4")}
    assert counts == {"euler": 3 * 2, "heun": 3 * 2 * 2, "rk4": 3 * 2 * 4}
    calls = []
    got = solve(lambda t, x: calls.append(t) or decay(t, x), ones(1, 1), t)
    assert got.n_evaluations == len(calls)


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_other_units_give_the_same_solution(scale):
    t = torch.linspace(0, 1, 4, dtype=torch.float64)
    plain = solve(lambda t, x: x * (1 - x), 0.1 * ones(1, 1), t, method="rk4").x
    other = solve(lambda t, x: x * (1 - x / scale), 0.1 * scale * ones(1, 1), t, method="rk4").x
    torch.testing.assert_close(other / scale, plain, rtol=1e-14, atol=0)  # roundings only


@pytest.mark.parametrize("method", ["euler", "heun", "rk4", "dopri5", "dopri8"])
def test_a_blow_up_is_reported_and_not_raised(method):
    # x' = x^2 from 1 is 1/(1 - t): there is no state from t = 1 on.
    got = solve(lambda t, x: x**2, ones(1, 1), axis(0.0, 0.5, 1.5, 4.0), method=method, substeps=60)
    assert not got.success
    assert "the state left the finite numbers. Shorten the time span or use more steps." in got.message
    assert got.x.shape == (1, 4, 1)
    assert got.x[0, 0, 0] == 1.0
    assert not math.isfinite(got.x[0, -1, 0])
    assert got.message in str(got)


def test_a_solution_prints_its_method_its_size_and_its_end():
    t = axis(0.0, 1.0, 2.0)
    assert str(solve(decay, ones(1, 1), t, method="rk4")) == "Solution  rk4, 3 times, 8 evaluations: done"


def test_a_solution_is_frozen():
    got = solve(decay, ones(1, 1), axis(0.0, 1.0), method="euler")
    with pytest.raises(AttributeError, match="cannot assign to field 'x'"):
        got.x = None


@pytest.mark.parametrize("method", ["rk45", "RK4", "", None])
def test_an_unknown_method_is_refused_with_the_known_ones(method):
    with pytest.raises(SolveError, match=r"method .* is unknown\. Choose one of euler, heun, rk4, dopri5, dopri8"):
        solve(decay, ones(1, 1), axis(0.0, 1.0), method=method)


@pytest.mark.parametrize(
    "t",
    [axis(0.0, 1.0, 1.0), axis(0.0, 2.0, 1.0), axis(1.0, 0.0), axis(0.0, math.nan), axis(0.0), axis(), ones(2, 2)],
    ids=["repeated", "unsorted", "backwards", "nan", "one", "none", "two axes"],
)
@pytest.mark.parametrize("method", ["rk4", "dopri5"])
def test_times_that_do_not_increase_are_refused(t, method):
    with pytest.raises(SolveError, match=r"at least two strictly increasing times\. Sort it and drop repeats"):
        solve(decay, ones(1, 1), t, method=method)


@pytest.mark.parametrize("substeps", [0, -1, 1.5, None])
def test_substeps_are_whole_and_positive(substeps):
    with pytest.raises(SolveError, match=r"substeps = .* is no number of steps\. Give a whole number, at least 1"):
        solve(decay, ones(1, 1), axis(0.0, 1.0), method="rk4", substeps=substeps)


def test_gradients_flow_through_torchdiffeq_after_a_solution_without_them():
    code = """
import torch
from udesys.integrate import solve
t = torch.linspace(0.0, 1.0, 3, dtype=torch.float64)
with torch.inference_mode():
    solve(lambda t, x: -x, torch.ones(1, 1, dtype=torch.float64), t)
from torchdiffeq import odeint
x0 = torch.ones(1, dtype=torch.float64, requires_grad=True)
odeint(lambda t, x: -x, x0, t)[-1].backward()
assert abs(float(x0.grad) - 2.718281828459045**-1) < 1e-6
"""
    subprocess.run([sys.executable, "-c", code], check=True)
