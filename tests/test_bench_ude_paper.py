"""The three cases of the paper on universal differential equations: data, what counts as right, figures."""

import importlib
import json
from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from typer.testing import CliRunner

from udesys.bench import _paper_cases as cases
from udesys.bench import lotka_volterra
from udesys.bench import ude_paper as study
from udesys.bench._paper_cases import fisher_kpp
from udesys.bench.ude_paper import Run
from udesys.cli import application
from udesys.data import Dataset, Trajectory, read_table
from udesys.systems import simulate

PELTS = Path(__file__).parents[1] / "data" / "lynx_hare.csv"


def fisher(level=0.0, seed=1000, right=True, **more):
    constants = {"D": 0.0101, "r": 1.01, "r/K": 1.02} if right else {"D": 0.012}
    given = {"terms": {"NN": "c0*u00 + c1*u00**2"}, "constants": constants, "stderr": {"D": 1e-4}, "rmse": 0.005}
    return Run(case="fisher-kpp", level=level, seed=seed, right=right, **{"seconds": 40.0, **given, **more})


def lynx(seed=1000, **more):
    given = {"terms": {"NN1": "c0*hare", "NN2": "c0*lynx"}, "rmse": 3.5, "plain_rmse": 3.76, "seconds": 8.0}
    return Run(case="lynx-hare", level=0.0, seed=seed, **{**given, **more})


def predator_prey(right=True, **more):
    asked = {"level": 0.01, "seed": 1000, "estimate": False, "library": "published"}
    own = lotka_volterra.Run(**asked, right=right, seconds=2.0)
    return Run(case="lotka-volterra", level=0.01, seed=1000, right=right, seconds=2.0, study=own, **more)


def test_the_grid_is_the_scripts_one():
    """Against SciPy, from the script's lines: 26 cells, periodic, a bump with flanks of 0.02, times to 5."""
    x = 0.04 * np.arange(26)
    start = (np.tanh((x - 0.4) / 0.02) - np.tanh((x - 0.6) / 0.02)) / 2

    def right_side(_, u):
        return u * (1 - u) + 0.01 * (np.roll(u, 1) - 2 * u + np.roll(u, -1)) / 0.04**2

    t = np.linspace(0, 5, 11)
    expected = solve_ivp(right_side, (0, 5), start, t_eval=t, method="Radau", rtol=1e-9, atol=1e-11).y.T
    (made,) = simulate(fisher_kpp()).trajectories
    np.testing.assert_allclose(made.t, t)
    np.testing.assert_allclose(made.y, expected, atol=1e-7)


def test_the_grid_has_one_network_for_all_cells_and_one_parameter():
    model = fisher_kpp().hybrid()
    assert model.terms == ("NN",) and len(model.slots) == 1 and len(model.slots[0].calls) == 26
    assert list(model.estimated) == ["D"] and model.parameters["D"].guess == 0.1  # ten times the truth


@pytest.mark.parametrize(
    "formula", ["c0*u00 + c1*u00**2", "c0*u00*(1 - u00)", "u00*(c0 - c1*u00)", "(c0 - u00)*u00*c1"]
)
def test_the_quadratic_counts_in_every_writing(formula):
    assert cases.is_quadratic(formula, "u00")


@pytest.mark.parametrize(
    "formula", ["c0*u00", "c0*u00**2", "c0 + c1*u00 + c2*u00**2", "c0*u00 + c1*u00**3", "c0*sin(u00) + c1*u00", "c0"]
)
def test_anything_else_does_not(formula):
    assert not cases.is_quadratic(formula, "u00")
    assert cases.quadratic(formula, "u00", {"c0": 1.0, "c1": 1.0, "c2": 1.0}) is None


def test_rate_and_capacity_are_read_off_every_writing():
    assert cases.quadratic("c0*u00 + c1*u00**2", "u00", {"c0": 1.1, "c1": -0.9}) == pytest.approx((1.1, 0.9))
    assert cases.quadratic("c0*u00*(c1 - u00)", "u00", {"c0": 0.5, "c1": 2.0}) == pytest.approx((1.0, 0.5))


def test_what_the_script_learned_is_near_the_truth():
    learned = cases.learned()
    assert learned[0] == pytest.approx(5.9522 * (1.0385 + 1.0380) / 2 * 0.0016)
    assert all(abs(d / 0.01 - 1) < 0.08 for d in learned) and len(learned) == 10


def test_both_products_are_the_textbooks_interactions():
    assert cases.both_products({"NN1": "c0*hare*lynx", "NN2": "c0*lynx*hare"})
    assert not cases.both_products({"NN1": "c0*hare*lynx**2", "NN2": "c0*hare*lynx"})


def test_the_plain_refit_is_that_of_the_textbook():
    """3.76 thousand is what four rates and two starts reach on these 42 numbers; exact data are met."""
    assert cases.plain_rmse(read_table(PELTS, time="year")) == pytest.approx(3.76, abs=0.01)
    t = np.arange(0.0, 21.0)
    done = solve_ivp(
        lambda _, x: [0.5 * x[0] - 0.025 * x[0] * x[1], 0.02 * x[0] * x[1] - 0.8 * x[1]],
        (0, 20),
        [30.0, 4.0],
        t_eval=t,
        rtol=1e-10,
        atol=1e-10,
    )
    made = Dataset(
        columns=("hare", "lynx"), trajectories=(Trajectory(name="0", t=t, y=done.y.T),), time="year", source=""
    )
    assert cases.plain_rmse(made) < 1e-4


def test_the_summary_is_flat_and_names_every_case():
    runs = [predator_prey(), fisher(), fisher(0.01), fisher(0.01, 1001, right=False), lynx(truth_delta=3.0), lynx(1001)]
    found = study.summary(runs)
    assert all(isinstance(value, int | float) for value in found.values())
    assert found["Lotka-Volterra: right at 1 %, %"] == 100
    assert found["Fisher-KPP, no noise: median error of D, %"] == pytest.approx(1.0)
    assert found["Fisher-KPP, 1 % noise: right, % of runs"] == 50
    assert found["Fisher-KPP, 1 % noise: median error of D, %"] == pytest.approx(10.5)
    assert found["Fisher-KPP, 1 % noise: median error of r, %"] == pytest.approx(1.0)
    assert found["lynx and hare: both interactions found or tied, % of runs"] == 50
    assert study.rivals(runs)[study.PLAIN] == {"lynx and hare: median RMSE, thousand pelts": 3.76}
    others = study.published(runs)
    assert others[study.SOURCE] == {"Lotka-Volterra: right at 1 %, %": 58}
    assert set(others[study.SCRIPT]) <= set(found)


@pytest.mark.parametrize(("delta", "tied"), [(0.5, True), (5.9, True), (6.1, False), (None, False)])
def test_a_form_within_reach_of_the_best_is_tied(delta, tied):
    assert lynx(truth_delta=delta).tied is tied and lynx(right=True, truth_delta=delta).tied


def test_every_case_has_a_table():
    text = study.table([predator_prey(), fisher(), fisher(0.01, right=False, truth_delta=8.0), lynx(failure="no law")])
    assert [line for line in text.splitlines() if line.startswith("##")] == [
        "## Lotka-Volterra",
        "## Fisher-KPP",
        "## Lynx and hare",
    ]
    assert "Aims: right in 99 %;" in text and " 58 % |" in text
    assert "missed, delta 8.0" in text and "0.0101 ± 0.0001" in text and "no law" in text
    assert study.table([]) == "no runs" and study.summary([]) == {}


def test_a_run_that_fails_is_written_down(monkeypatch):
    def fails(*_, **__):
        raise ValueError("on purpose")

    monkeypatch.setattr(importlib.import_module("udesys.discover"), "discover", fails)
    monkeypatch.setattr(study, "plain_rmse", lambda _: 3.76)
    for case, pelts in (("fisher-kpp", None), ("lynx-hare", PELTS)):
        found = study.discover_once(case, 0.0, 0, pelts)
        assert found.failure == "ValueError: on purpose" and not found.right
        assert "on purpose" in study.table([found]) and study.summary([found])


def test_the_pelts_must_be_there(tmp_path):
    asked = ["bench", "ude-paper", "--case", "lynx-hare", "--pelts"]
    done = CliRunner().invoke(application(), [*asked, str(tmp_path / "none.csv")])
    assert done.exit_code == 1 and "is not there" in done.stderr
    (tmp_path / "other.csv").write_text("year,hare\n1900,30\n1901,47\n")
    done = CliRunner().invoke(application(), [*asked, str(tmp_path / "other.csv")])
    assert done.exit_code == 1 and "has the columns hare, not hare and lynx" in done.stderr


def test_the_comparison_is_listed_and_explains_itself():
    listed = CliRunner().invoke(application(), ["bench"])
    assert listed.exit_code == 0 and study.TITLE in listed.output
    explained = CliRunner().invoke(application(), ["bench", "ude-paper", "--help"])
    assert explained.exit_code == 0 and "--case" in explained.output


def test_the_pelts_give_a_law_better_than_the_textbooks():
    found = study.discover_once("lynx-hare", 0.0, 1000, PELTS)
    assert found.failure == "" and set(found.terms) == {"NN1", "NN2"}
    assert found.rmse < found.plain_rmse < 3.77


@pytest.mark.slow
def test_kept_runs_are_taken_up_again(tmp_path):
    asked = ["bench", "ude-paper", "--case", "lynx-hare", "--seeds", "1", "--keep", str(tmp_path / "runs"), "--json"]
    first, again = (json.loads(CliRunner().invoke(application(), asked).stdout) for _ in range(2))
    assert len(first["rows"]) == 1 and first["rows"] == again["rows"]
    (number,) = first["rivals"][study.PLAIN].values()
    assert number == first["rows"][0]["plain_rmse"]


@pytest.mark.slow
@pytest.mark.parametrize("level", [0.0, 0.01])
def test_the_reaction_of_fisher_kpp_is_found(level):
    found = study.discover_once("fisher-kpp", level, 1000, None)
    assert found.right and found.terms == {"NN": "c0*u00 + c1*u00**2"}, found.failure
    tolerance = 0.05 if level else 1e-4  # at 1 % the Cramer-Rao bound of D is 0.6 %, that of r/K 0.5 %
    assert [found.constants[n] for n in ("r", "r/K")] == pytest.approx([1.0, 1.0], rel=tolerance)
    assert found.constants["D"] == pytest.approx(0.01, rel=tolerance)


@pytest.mark.slow
@pytest.mark.sample
def test_one_run_of_lotka_volterra_at_each_noise():
    done = CliRunner().invoke(
        application(), ["bench", "ude-paper", "--case", "lotka-volterra", "--seeds", "1", "--json"]
    )
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert len(found["rows"]) == 5 and all(r["study"]["right"] for r in found["rows"][:3])
    assert found["published"][study.SOURCE]["Lotka-Volterra: right at 5 %, %"] == 18
