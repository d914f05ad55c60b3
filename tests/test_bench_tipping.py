"""The study of tipping points: what it asks for is what SciPy and theory have, and how it is scored and told."""

import json
import math

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from typer.testing import CliRunner

from udesys.bench import tipping as study
from udesys.bench.tipping import CASES, Run, largest, summary, table
from udesys.cli import application
from udesys.errors import FitError
from udesys.systems import get_system, make_data

FORMULA = "c0*alpha*(exp(c1*x) - 1)"


def run(seed=0, hybrid=(0.6722, 0.6927), law=(0.6716, 0.6859), case="collapse", right=True):
    truth = dict(CASES[case].truth)
    found = {"hybrid": dict(zip(truth, hybrid, strict=False)), "law": dict(zip(truth, law, strict=False))}
    errors = {"hybrid": 0.02, "law": 0.001}
    setting = {"truth": truth, **found, "term": errors, "right": right, "formula": FORMULA}
    return Run(case=case, seed=seed, **setting, units=2, seconds=9.0, asked=2.0)


# --- what is asked for ------------------------------------------------------------------------------------
def harvested(t, z, alpha):
    x, y = z
    return [3 * x * (1 - x) - x * y - alpha * (1 - math.exp(-5 * x)), -y + 3 * x * y]


@pytest.mark.parametrize("case", ["collapse", "before-collapse"])
def test_the_true_hopf_point_of_predator_and_prey_has_no_trace(case):
    x = 1 / 3  # where the predators are at rest; there the prey's rest gives their number, the trace alpha
    alpha = 3 * x / ((1 - math.exp(-5 * x)) / x - 5 * math.exp(-5 * x))
    assert CASES[case].truth["Hopf"] == pytest.approx(alpha, abs=5e-7)


@pytest.mark.parametrize(("alpha", "lives"), [(0.685831, True), (0.685833, False)])
def test_the_true_collapse_is_where_scipy_has_it(alpha, lives):
    about = CASES["collapse"]
    assert abs(alpha - about.truth["collapse"]) < 2e-6
    start = list(about.start.values())
    y = solve_ivp(harvested, (0, about.until), start, "DOP853", args=(alpha,), rtol=1e-11, atol=1e-14).y[1]
    assert (y[-1] > 1e-3) is np.bool_(lives)


def test_the_true_hopf_points_of_lorenz_are_the_published_ones():
    sigma, b = 10, 8 / 3
    assert list(CASES["lorenz"].truth.values()) == pytest.approx([sigma * (sigma + b + 3) / (sigma - b - 1)] * 2)


def test_what_lorenz_is_asked_for_is_beyond_what_was_seen():
    assert max(get_system("tipping:lorenz").covariates["r"]) == 20 < min(CASES["lorenz"].truth.values())
    assert max(get_system("tipping:before_collapse").covariates["alpha"]) == 0.65


def test_a_hybrid_that_saw_no_swing_forecasts_the_swing_and_the_collapse():
    about = CASES["before-collapse"]
    system = get_system(about.system)
    units, fitted = study.best_fit(system, make_data(system, about.noise, 1), 1)
    found = study.tipping_points(fitted, about)
    assert units in study.SIZES and fitted.model.networks["NN"].hidden == (units,)
    for what, value in about.truth.items():
        assert 100 * abs(found[what] / value - 1) < about.aim


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_hybrid_and_law_forecast_within_the_aims(case):
    found = study.forecast_once(case, 0)
    assert not found.failure and found.right
    for what in found.truth:
        assert max(found.error("hybrid", what), found.error("law", what)) < CASES[case].aim


# --- how it is told ---------------------------------------------------------------------------------------
def test_the_headline_numbers_are_the_largest_errors():
    runs = [run(), run(1, law=(0.6716, 0.6927), right=False), run(case="lorenz", law=(24.7, 25.0))]
    found = summary(runs)
    assert found["right, %"] == pytest.approx(200 / 3)
    assert found["collapse, collapse, largest error, %"] == pytest.approx(1.0, abs=0.005)
    assert largest(runs, "hybrid")["collapse, Hopf, largest error, %"] == pytest.approx(0.09, abs=0.005)
    assert found["lorenz, Hopf, x < 0, largest error, %"] == pytest.approx(1.064, abs=0.005)
    assert found["median s"] == 9.0
    assert summary([]) == {}


def test_hybrid_and_law_stand_side_by_side():
    lines = [line for line in table([run(), run(1, hybrid=(0.6783,))]).splitlines() if line]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:6]]
    assert cells[0][:5] == ["case", "forecast", "truth", "hybrid", "law"]
    assert cells[2] == [
        *("collapse", "Hopf", "0.671594", "0.67525", "0.6716"),
        *("0.54 %, at most 1 %", "0.00089 %, at most 0.00089 %"),
    ]
    assert cells[3][3] == "0.6927" and cells[3][5] == "not found, at most not found"
    assert cells[4][:5] == ["collapse", "missing term", "-", "-", "-"] and cells[4][5].startswith("2 %")
    assert (
        "right formula in 2 of 2; all forecasts within 1 % (the aim) of the hybrid in 0, of the law in 2" in lines[-1]
    )
    assert f"`{FORMULA}`" in lines[-1] and table([]) == "No runs."


def test_what_goes_wrong_is_written_down(monkeypatch):
    def fails(*_):
        raise FitError("nothing finite")

    monkeypatch.setattr(study, "best_fit", fails)
    failed = study.forecast_once("lorenz", 3)
    assert failed.failure == "FitError: nothing finite" and failed.error("law", "Hopf, x > 0") == math.inf
    assert "lorenz, seed 3: FitError: nothing finite" in table([failed])
    assert "not found" in table([failed])


def test_the_command_prints_one_object(monkeypatch):
    asked = []

    def carried(function, tasks, warm_up, **how):
        asked.extend(tasks)
        return [run(seed) for _, seed, _ in tasks], 4.0

    monkeypatch.setattr(study, "carry_out", carried)
    options = ["--case", "collapse", "--seeds", "2", "--seed", "5", "--units", "2", "--units", "6"]
    answer = json.loads(CliRunner().invoke(application(), ["bench", "tipping", *options, "--json"]).stdout)
    assert asked == [("collapse", 5, "2,6"), ("collapse", 6, "2,6")]
    assert (answer["bench"], len(answer["rows"]), answer["rows"][0]["truth"]["Hopf"]) == ("tipping", 2, 0.671594)


def test_an_unknown_case_is_refused():
    done = CliRunner().invoke(application(), ["bench", "tipping", "--case", "lorentz"])
    assert done.exit_code == 1 and "there is no case 'lorentz'. Did you mean 'lorenz'?" in done.stderr
