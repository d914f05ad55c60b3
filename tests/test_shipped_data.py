"""What the specs in data/ say, as the README and the notebooks tell it."""

import math

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.optimize import least_squares

from udesys.discover import discover
from udesys.select import RIVAL
from udesys.spec import load_spec

TEXTBOOK_RMSE = 3.763  # thousand pelts; SciPy's optimum of plain Lotka-Volterra, tested below
PUBLISHED_SINE = 64.22  # 1/s^2; arXiv:2205.06231, of the whole record


@pytest.fixture(scope="module")
def lynx_hare(data_dir):
    spec = load_spec(data_dir / "lynx_hare.toml")
    return discover(spec.model, spec.data, seed=0, options=spec.options)


@pytest.fixture(scope="module")
def pendulum(data_dir):
    spec = load_spec(data_dir / "pendulum.toml")
    return discover(spec.model, spec.data, seed=0, heldout=spec.heldout, options=spec.options)


def test_the_simulated_study_gives_its_law_with_the_truth_inside_the_intervals(data_dir):
    spec = load_spec(data_dir / "lotka_volterra.toml")
    law = discover(spec.model, spec.data, seed=0, options=spec.options)
    assert law.residuals["NN1"].expression == law.residuals["NN2"].expression == "c0*prey*predator"
    assert -0.9 in law.residuals["NN1"].constants["c0"]
    assert 0.8 in law.residuals["NN2"].constants["c0"]


def test_the_textbook_law_of_hare_and_lynx_misses_by_3_763_at_its_best(data_dir):
    data = load_spec(data_dir / "lynx_hare.toml").data.trajectories[0]
    t = data.t - data.t[0]

    def residuals(q):
        def rates(_, u):
            return [q[0] * u[0] - q[1] * u[0] * u[1], q[2] * u[0] * u[1] - q[3] * u[1]]

        return (solve_ivp(rates, (0, t[-1]), q[4:], t_eval=t, rtol=1e-8, atol=1e-8).y.T - data.y).ravel()

    best = least_squares(residuals, [0.48, 0.025, 0.027, 0.92, 34.0, 4.0])
    assert math.sqrt((best.fun**2).mean()) == pytest.approx(TEXTBOOK_RMSE, abs=2e-3)  # finite differences


def test_the_law_of_hare_and_lynx_is_closer_than_the_textbook_law(lynx_hare):
    squares = [error**2 for error in lynx_hare.error["fit"].values()]  # both columns have 21 values
    assert math.sqrt(sum(squares) / 2) < TEXTBOOK_RMSE


def test_the_product_of_hare_and_lynx_in_both_equations_is_within_reach(lynx_hare):
    within = [c for c in lynx_hare.candidates if c.delta < RIVAL]
    forms = [[f.split(" + ") for f in c.residuals.values()] for c in within]
    assert any(all(any(part.endswith("*hare*lynx") for part in form) for form in both) for both in forms)


def test_the_text_says_that_21_rows_do_not_decide(lynx_hare):
    assert "These data cannot tell" in str(lynx_hare)


def test_the_pendulum_gives_the_published_form_and_the_sine_within_half_a_percent(pendulum):
    assert pendulum.residuals["NN"].expression == "c0*theta' + c1*sin(theta)"
    sine = pendulum.residuals["NN"].constants["c1"].value
    assert sine == pytest.approx(PUBLISHED_SINE, rel=5e-3)


def test_every_form_that_the_pendulum_leaves_within_reach_has_the_sine(pendulum):
    within = [c.residuals["NN"] for c in pendulum.candidates if c.delta < RIVAL]
    assert len(within) > 1
    assert all("sin(theta)" in form for form in within)


def test_the_constants_of_the_pendulum_are_scipys_optimum_of_its_form(pendulum):
    run = pendulum.data.trajectories[0]
    angle, velocity = (run.y[:, pendulum.data.columns.index(c)] for c in ("angle", "theta'"))
    sd = [pendulum.noise["angle"], pendulum.noise["theta'"]]

    def residuals(q):
        def rates(_, x):
            return [x[1], q[0] * math.sin(x[0]) + q[1] * x[1]]

        theta, speed = solve_ivp(rates, (0, run.t[-1]), q[3:], t_eval=run.t, rtol=1e-9, atol=1e-9).y
        return np.concatenate([(theta + q[2] - angle) / sd[0], (speed - velocity) / sd[1]])

    best = least_squares(residuals, [64.2, -0.067, 0.0, 1.523, 1.8], x_scale=[1.0, 0.01, 0.001, 0.01, 0.1]).x
    found = pendulum.residuals["NN"].constants
    assert found["c1"].value == pytest.approx(best[0], rel=1e-4)
    assert found["c0"].value == pytest.approx(best[1], rel=1e-2)
    assert pendulum.parameters["zero"].value == pytest.approx(best[2], rel=2e-2)


def test_the_pendulum_is_forecast_to_two_milliradians(pendulum):
    assert pendulum.error["heldout"]["angle"] < 2e-3  # of swings of 2.7 rad
