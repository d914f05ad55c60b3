"""A number that differs between runs: from the table to the law and everything that is asked of it, beside SciPy."""

import csv
import importlib.util
import json

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from typer.testing import CliRunner

import udesys as ud
from udesys.cli import application

# Cooling in water of several temperatures: a known source, and Newton's law of cooling missing.
T = np.linspace(0, 6, 31)
RUNS = {"cold": (8.0, 5.0), "cool": (9.0, 12.0), "warm": (2.0, 20.0), "hot": (1.0, 31.0)}  # start, temperature
SOURCE, RATE = 2.0, 0.7
SPEC = """
[data]
file = "cups.csv"
time = "t"
trajectory = "cup"
covariates = { water = "temperature of the water" }

[model]
equations = "x' = source + NN(x, water)"

[parameters]
source = 2.0

[search]
engines = ["sparse"]
max_terms = 3
"""


def exact(start, water, t=T):
    return solve_ivp(lambda _, x: SOURCE - RATE * (x - water), (0, t[-1]), [start], t_eval=t, rtol=1e-10).y[0]


def invoke(*words):
    done = CliRunner().invoke(application(), [str(word) for word in words])
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a finished run."""
    folder = tmp_path_factory.mktemp("cups")
    rng = np.random.default_rng(0)
    with (folder / "cups.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["cup", "t", "temperature of the water", "x"])
        for name, (start, water) in RUNS.items():
            noisy = exact(start, water) + 0.02 * rng.normal(size=31)
            table.writerows([name, t, water, x] for t, x in zip(T, noisy, strict=True))
    (folder / "cups.toml").write_text(SPEC)
    invoke("discover", folder / "cups.toml", "-o", folder / "run", "--quiet")
    return folder / "run"


def rows(text):
    return list(csv.DictReader(text.splitlines()))


def test_the_law_has_the_covariate_and_its_coefficient(run):
    found = json.loads((run / "result.json").read_text())["residuals"]["NN"]
    assert found["expression"] == "c0*x + c1*water"
    assert [found["constants"][c]["value"] for c in ("c0", "c1")] == pytest.approx(
        [-RATE, RATE], rel=0.01
    )  # 0.1 % noise


def test_every_run_is_predicted_and_forecast_at_its_own_value(run):
    predicted = rows((run / "predictions.csv").read_text())
    ahead = rows(invoke("forecast", run, "--until", "9", "--compare"))
    later = np.linspace(6, 9, 16)
    for name, (start, water) in RUNS.items():
        seen = [float(row["predicted.x"]) for row in predicted if row["trajectory"] == name]
        assert seen == pytest.approx(exact(start, water), abs=0.05)
        mine = [row for row in ahead if row["trajectory"] == name]
        assert [float(row["t"]) for row in mine] == pytest.approx(later)
        truth = exact(start, water, np.append(0.0, later))[1:]
        for column in ("x", "x hybrid"):
            assert [float(row[column]) for row in mine] == pytest.approx(truth, abs=0.1)


def test_the_exported_law_goes_on_at_a_value_that_no_run_had(run, tmp_path):
    spec = importlib.util.spec_from_file_location("law_of_cups", run / "equations.py")
    law = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(law)
    assert law.INPUTS == ("water",)
    x = [row[0] for row in law.simulate(list(T), [3.0], [45.0])]
    assert x == pytest.approx(exact(3.0, 45.0), rel=0.01)
    for kind, part in (("latex", "water"), ("sympy", "water"), ("sbml", '<parameter id="water"')):
        invoke("export", run, "--to", kind, "-o", tmp_path / kind)
        assert part in (tmp_path / kind).read_text()


def test_a_run_that_is_read_again_knows_its_covariates(run):
    law = ud.load_run(run)
    assert law.model.covariates == ("water",) and law.visited["water"] == (5.0, 31.0)
    assert [r.covariates.tolist() for r in law.data.trajectories] == [[water] for _, water in RUNS.values()]
    assert law.forecast([9.0], 3)["x"][0] == pytest.approx(exact(1.0, 31.0, np.array([0.0, 9.0]))[1], abs=0.05)
    assert "water 5 to 31" in str(law)


def test_its_report_and_profiles_say_the_range(run):
    invoke("profile", run, "--quiet")
    invoke("report", run)
    assert "water" in (run / "report.html").read_text()


def test_where_it_rests_follows_the_covariate(run):
    found = ud.load_run(run).bifurcation("water", 5.0, 40.0, starts=[], points=5)
    (branch,) = found.branches
    assert branch.stable.all()
    assert branch.x[:, 0] == pytest.approx(branch.value + SOURCE / RATE, rel=0.01)
