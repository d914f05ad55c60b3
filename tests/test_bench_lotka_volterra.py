"""The Lotka-Volterra study: its table from hand-made runs, what counts as right, and the command."""

import importlib
import json
from pathlib import Path

import numpy as np
import pytest
from laws import TRUTH, lotka_volterra_rhs, solution
from scipy.optimize import least_squares
from typer.testing import CliRunner

from udesys.bench import lotka_volterra as study
from udesys.bench.lotka_volterra import Run, table
from udesys.cli import application
from udesys.errors import FitError

PRODUCTS = {"NN1": "c0*prey*predator", "NN2": "c0*prey*predator"}


def run(level=0.01, seed=1000, right=True, inside=None, **more):
    given = {"formulas": PRODUCTS, "truth_delta": 0.0, "seconds": 2.0, "estimate": False, "library": "published"}
    return Run(level=level, seed=seed, right=right, inside=inside or {}, **{**given, **more})


def cells(text, level):
    """Of the row of a noise level."""
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {level} ")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_table_sets_each_noise_beside_the_published_rate():
    runs = [run(0.001), run(0.001), run(0.05), run(0.05), run(0.05, right=False), run(0.05)]
    text = table(runs)
    assert text.splitlines()[0] == "Lotka-Volterra, alpha and delta given, published library"
    assert cells(text, "0.1 %")[1:4] == ["2 of 2", "100 %", "75 %"]
    assert cells(text, "5 %")[1:4] == ["3 of 4", "75 %", "18 %"]
    assert text.splitlines()[-1] == "Median time of a discovery, 6 runs: 2.00 s."


def test_a_noise_that_was_not_published_is_marked():
    assert cells(table([run(0.02, library="default")]), "2 %")[1:4] == ["1 of 1", "100 %", "-"]


def test_the_table_counts_intervals_over_the_runs_that_have_them():
    runs = [
        run(inside={"alpha": True, "NN1": False}, estimate=True),
        run(inside={"alpha": True}, estimate=True),
        run(inside={"alpha": False, "NN1": True}, estimate=True),
    ]
    text = table(runs)
    assert text.startswith("Lotka-Volterra, alpha and delta estimated")
    assert "alpha 2/3, NN1 1/2" in cells(text, "1 %")
    assert study.summary(runs)["true constants inside their 95 % interval at 1 %, %"] == pytest.approx(60.0)


def test_a_miss_says_what_was_found_and_where_the_truth_was():
    runs = [
        run(right=False, seed=1003, formulas={"NN1": "c0*prey", "NN2": "c0"}, truth_delta=4.25),
        run(right=False, seed=1004, truth_delta=None),
        run(right=False, seed=1005, formulas={}, failure="FitError: no."),
        run(seconds=8.0, steps={"read": 0.25, "fit": 0.5}),
    ]
    lines = table(runs).splitlines()
    assert "- missed, 1 %, seed 1003: `NN1 = c0*prey`; `NN2 = c0`, the true form at delta 4.2" in lines
    assert any("seed 1004" in line and line.endswith("the true form was not ranked") for line in lines)
    assert "- missed, 1 %, seed 1005: FitError: no." in lines
    assert "Median seconds by step: read 0.25, fit 0.50." in lines
    assert cells("\n".join(lines), "1 %")[1] == "1 of 4" and cells("\n".join(lines), "1 %")[-1] == "2.00"


def test_the_headline_numbers_have_the_names_of_the_published_ones():
    found = study.summary([run(0.001), run(0.05), run(0.05, right=False, failure="FitError: no.", seconds=8.0)])
    assert found == {"right at 0.1 %, %": 100.0, "right at 5 %, %": 50.0, "failed runs": 1, "median s": 2.0}
    assert study.summary([]) == {} and table([]) == "no runs"


def test_what_a_discovery_raises_is_written_down(monkeypatch):
    def fails(*args, **options):
        raise FitError("no start led\n    to finite states.")

    monkeypatch.setattr(importlib.import_module("udesys.discover"), "discover", fails)
    found = study.discover_once(0.01, 1000, True, "default")
    assert not found.right and found.failure == "FitError: no start led to finite states."
    assert (found.level, found.seed, found.estimate, found.library) == (0.01, 1000, True, "default")


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
    assert study.spread(runs) == pytest.approx({"NN1": 1.0, "NN2": 1.0})
    assert "NN1 1.00, NN2 1.00" in cells(table(runs), "1 %")
    wider = [*runs, run(constants={n: 1.0 + (n == "NN2") * 2 * b for n, b in bound.items()})]
    largest = study.summary(wider)["largest spread of a constant over the Cramer-Rao bound at 1 %"]
    assert largest == pytest.approx(study.spread(wider)["NN2"]) and largest > study.spread(wider)["NN1"]


def test_the_study_is_listed_and_explains_itself():
    listed = CliRunner().invoke(application(), ["bench"])
    assert listed.exit_code == 0 and study.TITLE in listed.output
    explained = CliRunner().invoke(application(), ["bench", "lotka-volterra", "--help"])
    assert explained.exit_code == 0 and "--seeds" in explained.output


def test_the_options_reach_the_runs(monkeypatch):
    asked = {}

    def carry_out(function, tasks, warm_up, **options):
        asked.update(function=function, tasks=tasks, **options)
        return [run(level, seed) for level, seed, _, _ in tasks], 4.0

    monkeypatch.setattr(study, "carry_out", carry_out)
    command = ["bench", "lotka-volterra", "--seeds", "2", "--noise", "1%", "--noise", "2%", "--estimate", "--seed", "7"]
    done = CliRunner().invoke(application(), [*command, "--part", "1/2", "--keep", "k", "--json"])
    assert asked["tasks"] == [(level, seed, True, "published") for level in (0.01, 0.02) for seed in (7, 8)]
    assert (asked["function"], asked["part"], asked["keep"]) == (study.discover_once, "1/2", Path("k"))
    found = json.loads(done.stdout)
    assert found["published"] == {study.SOURCE: {"right at 1 %, %": 58}} and found["summary"]["right at 1 %, %"] == 100
    assert [row["seed"] for row in found["rows"]] == [7, 8, 7, 8] and found["seconds"] == 4.0


@pytest.mark.slow
@pytest.mark.sample
@pytest.mark.parametrize("estimate", [False, True])
def test_one_run_of_the_study_from_the_command_line(estimate):
    done = CliRunner().invoke(
        application(), ["bench", "lotka-volterra", "--seeds", "1", "--noise", "1%", *["--estimate"] * estimate]
    )
    assert done.exit_code == 0, done.output
    assert cells(done.stdout, "1 %")[1:4] == ["1 of 1", "100 %", "58 %"]
    assert "Median time of a discovery, 1 runs" in done.stdout


@pytest.mark.slow
@pytest.mark.sample
def test_every_run_as_json_and_none_is_made_twice(tmp_path):
    keep = ["--keep", str(tmp_path / "runs.jsonl")]
    command = ["bench", "lotka-volterra", "--seeds", "1", "--noise", "0.5%", *keep, "--json"]
    first, again = (CliRunner().invoke(application(), command) for _ in range(2))
    (found,) = json.loads(first.stdout)["rows"]
    assert found["right"] and found["level"] == 0.005 and found["seed"] == study.FIRST_SEED
    assert found["formulas"] == PRODUCTS and found["truth_delta"] == 0.0
    assert json.loads(again.stdout)["rows"] == [found] and "1 of 1 runs are in" in again.stderr
