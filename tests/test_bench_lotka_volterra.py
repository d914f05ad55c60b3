"""The Lotka-Volterra study: its table from hand-made runs, what counts as right, and the command."""

import json

import numpy as np
import pytest
from laws import TRUTH, lotka_volterra_rhs, solution
from scipy.optimize import least_squares
from typer.testing import CliRunner

from udesys.bench import lotka_volterra as study
from udesys.bench.lotka_volterra import Run, table
from udesys.cli import application

PRODUCTS = {"NN1": "c0*prey*predator", "NN2": "c0*prey*predator"}


def run(level=0.01, seed=1000, right=True, inside=None, **more):
    given = {"formulas": PRODUCTS, "truth_delta": 0.0, "seconds": 2.0}
    return Run(level=level, seed=seed, right=right, inside=inside or {}, **{**given, **more})


def test_the_table_sets_each_noise_beside_the_published_rate():
    runs = [run(0.001), run(0.001), run(0.05), run(0.05), run(0.05, right=False), run(0.05)]
    lines = table(runs, False, "published", 2).splitlines()
    assert lines[0] == "Lotka-Volterra, alpha and delta given, published library"
    assert lines[2].split()[:9] == ["0.1", "%", "2", "of", "2", "100", "%", "75", "%"]
    assert lines[3].split()[:9] == ["5", "%", "3", "of", "4", "75", "%", "18", "%"]
    assert lines[-1] == "Median time of a discovery, 6 runs, 2 at a time on one core each: 2.00 s"


def test_a_noise_that_was_not_published_is_marked():
    line = table([run(0.02)], False, "default", 1).splitlines()[2]
    assert line.split()[:8] == ["2", "%", "1", "of", "1", "100", "%", "-"]


def test_the_table_counts_intervals_over_the_runs_that_have_them():
    runs = [
        run(inside={"alpha": True, "NN1": False}),
        run(inside={"alpha": True}),
        run(inside={"alpha": False, "NN1": True}),
    ]
    lines = table(runs, True, "published", 1).splitlines()
    assert lines[0].startswith("Lotka-Volterra, alpha and delta estimated")
    assert "alpha 2/3  NN1 1/2" in lines[2]


def test_a_miss_says_what_was_found_and_where_the_truth_was():
    runs = [
        run(right=False, seed=1003, formulas={"NN1": "c0*prey", "NN2": "c0"}, truth_delta=4.25),
        run(right=False, seed=1004, truth_delta=None),
        run(seconds=8.0),
    ]
    lines = table(runs, False, "published", 1).splitlines()
    assert lines[3] == "    missed, seed 1003: {'NN1': 'c0*prey', 'NN2': 'c0'}, the true form at delta 4.2"
    assert lines[4].startswith("    missed, seed 1004") and lines[4].endswith("the true form was not ranked")
    assert lines[2].split()[2:5] == ["1", "of", "3"] and lines[2].endswith("2.00")


@pytest.mark.parametrize("formula", ["c0*prey*predator", "c0*predator*prey", "-c0*prey*(2*predator)", "prey*predator"])
def test_a_constant_times_the_product_is_right(formula):
    assert study.is_product(formula)


@pytest.mark.parametrize(
    "formula", ["c0*prey", "c0*prey*predator**2", "c0*prey*predator + c1*prey", "0*prey", "c0*sin(prey)"]
)
def test_anything_else_is_wrong(formula):
    assert not study.is_product(formula)


@pytest.mark.parametrize("estimate", [False, True])
def test_the_bound_is_that_of_least_squares_at_the_truth(estimate):
    truth = {"alpha": TRUTH["alpha"], "delta": TRUTH["delta"], "NN1": -TRUTH["beta"], "NN2": TRUTH["gamma"]}
    names = list(truth) if estimate else ["NN1", "NN2"]
    t = np.linspace(0, 3, 31)

    def simulated(z):
        p = {**truth, **dict(zip(names, z, strict=False))}
        constants = p["alpha"], -p["NN1"], p["NN2"], p["delta"]
        return solution(lambda t, x: lotka_volterra_rhs(t, x, *constants), z[len(names) :], t)

    start = np.array([*(truth[n] for n in names), 0.44249296, 4.6280594])
    sigma = 0.01 * np.abs(simulated(start)).mean(0)
    jacobian = least_squares(lambda z: (simulated(z) / sigma).ravel(), start, jac="3-point", max_nfev=1).jac
    errors = np.sqrt(np.diag(np.linalg.inv(jacobian.T @ jacobian)))
    assert study.cramer_rao(0.01, estimate) == pytest.approx(dict(zip(names, errors, strict=False)), rel=1e-3)


def test_constants_that_spread_as_the_bound_says_have_a_ratio_of_one():
    bound = study.cramer_rao(0.01, False)
    runs = [run(constants={n: 1.0 + side * b / 2**0.5 for n, b in bound.items()}) for side in (-1, 1)]
    assert study.spread(runs, 0.01, False) == pytest.approx({"NN1": 1.0, "NN2": 1.0})
    assert "spread of the constants over the Cramer-Rao bound: NN1 1.00  NN2 1.00" in table(runs, False, "published", 1)


def test_the_study_is_listed_and_explains_itself():
    listed = CliRunner().invoke(application(), ["bench"])
    assert listed.exit_code == 0 and study.TITLE in listed.output
    explained = CliRunner().invoke(application(), ["bench", "lotka-volterra", "--help"])
    assert explained.exit_code == 0 and "--seeds" in explained.output


@pytest.mark.slow
@pytest.mark.sample
@pytest.mark.parametrize("estimate", [False, True])
def test_one_run_of_the_study_from_the_command_line(estimate):
    done = CliRunner().invoke(
        application(), ["bench", "lotka-volterra", "--seeds", "1", "--noise", "1%", *["--estimate"] * estimate]
    )
    assert done.exit_code == 0, done.output
    assert "1 of   1  100 %        58 %" in done.output
    assert "Median time of a discovery, 1 runs, 1 at a time on one core each" in done.output


@pytest.mark.slow
@pytest.mark.sample
def test_every_run_as_json():
    done = CliRunner().invoke(application(), ["bench", "lotka-volterra", "--seeds", "1", "--noise", "0.5%", "--json"])
    (found,) = json.loads(done.stdout)
    assert found["right"] and found["level"] == 0.005 and found["seed"] == study.FIRST_SEED
    assert found["formulas"] == PRODUCTS and found["truth_delta"] == 0.0
