"""What the two specs in data/ say, as the README tells it."""

import math

import pytest
from scipy.integrate import solve_ivp
from scipy.optimize import least_squares

from udesys.discover import discover
from udesys.select import RIVAL
from udesys.spec import load_spec

TEXTBOOK_RMSE = 3.763  # thousand pelts; SciPy's optimum of plain Lotka-Volterra, tested below


@pytest.fixture(scope="module")
def lynx_hare(data_dir):
    spec = load_spec(data_dir / "lynx_hare.toml")
    return discover(spec.model, spec.data, seed=0, options=spec.options)


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
