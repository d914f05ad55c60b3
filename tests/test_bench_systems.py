"""What is found of the built-in systems: how it is judged and told, and that it is found."""

import itertools
import json
import sys
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from typer.testing import CliRunner

from udesys.bench import floating_body, systems
from udesys.bench._found import judge_coefficients, judge_terms
from udesys.cli import application
from udesys.errors import FitError, SolveError
from udesys.systems import get_system, list_systems, make_data

QUICK = ("sir", "coupled_oscillators_2")  # a second or two each


# ------------------------------------------------------------------ judging
def answer(expression, **constants):
    """A law that has one term, NN, and nothing else."""
    estimates = {name: SimpleNamespace(value=value) for name, value in constants.items()}
    residual = SimpleNamespace(expression=expression, constants=estimates)
    return SimpleNamespace(residuals={"NN": residual}, candidates=[], simpler={})


@pytest.mark.parametrize(
    ("name", "law", "found"),
    [
        ("sir", answer("c0*healthy*ill", c0=2.2e-3), True),
        ("sir", answer("ill*healthy/c0", c0=450.0), True),
        ("sir", answer("c0*ill", c0=1.0), False),
        ("sir", answer("c0*healthy*ill + c1*ill", c0=2.18e-3, c1=0.0), False),
        ("fene_p", answer("c0*1/(c1 + cxx + 2*cyy)", c0=-27.0, c1=-30.0), True),
        ("fene_p", answer("c0*1/(c1 + cxx + cyy)", c0=-27.0, c1=-30.0), False),
        ("predator_prey_collapse", answer("c0 - c0*exp(-c1*x)", c0=0.4, c1=4.0), True),
    ],
)
def test_a_term_is_found_where_some_constants_make_it_the_true_one_and_none_are_spare(name, law, found):
    judged = judge_terms(get_system(name), law)
    assert judged["found"] is found
    assert judged["answer"] == {"NN": law.residuals["NN"].expression}


def test_the_error_of_a_term_is_relative_and_along_the_true_trajectory():
    judged = judge_terms(get_system("sir"), answer("c0*healthy*ill", c0=1.1 * 2.18e-3))
    assert judged["error"] == {"NN": pytest.approx(0.1, rel=1e-9)}


def test_a_system_with_literal_coefficients_counts_the_constants_that_a_search_needs():
    system = get_system("odebench:11")  # x' = -x^3
    for expression, found in (("c0*x**3", True), ("c0*x**3 + c1", False)):
        law = answer(expression, c0=-0.9, **({} if found else {"c1": 0.0}))
        law.residuals = {"NN1": law.residuals["NN"]}
        assert judge_terms(system, law)["found"] is found


@pytest.mark.parametrize(("offer", "found"), [(Fraction(2), True), (Fraction(3), False), (None, False)])
def test_a_constant_inside_a_function_that_is_offered_as_a_fraction_is_not_counted(offer, found):
    law = answer("c0*sin(c1*x) + c2*sin(x)", c0=0.48, c1=1.99, c2=-0.1)  # sin(2x) = 2 sin(x) cos(x)
    law.residuals = {"NN1": law.residuals["NN"]}
    law.simpler = {} if offer is None else {("NN1", "c1"): offer, ("NN1", "c0"): Fraction(1, 2)}
    assert judge_terms(get_system("odebench:13"), law)["found"] is found


def test_the_truth_within_reach_is_listed():
    law = answer("c0*ill", c0=1.0)
    law.candidates = [SimpleNamespace(residuals={"NN": "c0*healthy*ill"}, delta=3.0, diverged=False)]
    assert judge_terms(get_system("sir"), law)["listed"]
    law.candidates[0].delta = 9.0
    assert not judge_terms(get_system("sir"), law)["listed"]


@pytest.mark.parametrize(("factor", "found"), [(1.049, True), (0.951, True), (1.051, False)])
def test_coefficients_are_found_within_five_percent(factor, found):
    system = get_system("coupled_oscillators_2")
    values = {**system.constants, "V21": factor * system.constants["V21"]}
    parameters = {name: SimpleNamespace(value=value, fixed=False) for name, value in values.items()}
    judged = judge_coefficients(system, SimpleNamespace(parameters=parameters))
    assert judged["found"] is found
    assert max(judged["error"].values()) == pytest.approx(abs(factor - 1))


# ------------------------------------------------------------------ running
@pytest.mark.parametrize("name", QUICK)
def test_a_system_is_found_from_its_own_files(name):
    run = systems.discover_system(name, 0.01, 0)
    assert (run.found, run.failure) == (True, "")
    assert max(run.error.values()) < 0.05
    assert run.seconds > 0


@pytest.mark.parametrize("seed", range(5))
def test_all_couplings_of_three_driven_oscillators_are_found_within_five_percent(seed):
    run = systems.discover_system("coupled_oscillators_3", 0.01, seed)
    assert len(run.error) == 18
    assert max(run.error.values()) < 0.05


def test_what_goes_wrong_is_written_down(monkeypatch):
    def fails(*args, **options):
        raise FitError("the data are too few")

    monkeypatch.setattr(sys.modules["udesys.discover"], "discover", fails)
    run = systems.discover_system("sir", 0.01, 0)
    assert (run.found, run.failure) == (False, "FitError: the data are too few")
    assert "failed" in systems.table([run]) and "the data are too few" in systems.table([run])


def run(name, **more):
    values = {"noise": 0.01, "seed": 0, "answer": {"NN": "c0*x"}, "error": {"NN": 0.002}, "seconds": 2.0, **more}
    return systems.Run(name=name, **values)


def test_the_table_has_a_row_for_each_and_the_share():
    lines = systems.table([run("a", found=True, listed=True), run("bb", listed=True), run("c")]).splitlines()
    assert lines[0] == "Built-in systems at 1 % noise, seed 0"
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[4:7]]
    assert [row[:2] for row in cells] == [["a", "found"], ["bb", "listed"], ["c", "missed"]]
    assert cells[0][2:] == ["2.0", "0.2 %", "`NN = c0*x`"]
    assert lines[-1] == "Found 1 of 3, 33 %; aim: 80 %."
    assert systems.table([]) == "no runs"


def test_the_headline_numbers_are_shares_and_seconds():
    runs = [run("a", found=True), run("b", listed=True, seconds=9.0), run("c", failure="FitError: no."), run("d")]
    assert systems.summary(runs) == {
        "found at 1 %, %": 25.0,
        "found or within reach at 1 %, %": 50.0,
        "systems": 4,
        "failed runs": 1,
        "median s": 2.0,
    }
    assert systems.summary([]) == {}


def test_the_command_takes_names_and_prints_json(monkeypatch):
    asked = {}

    def carry_out(function, tasks, warm_up, **options):
        asked.update(options)
        return [run(*task[:1]) for task in tasks], 3.0

    monkeypatch.setattr(systems, "carry_out", carry_out)
    names = ["--name", "sir", "--name", "odebench:3"]
    done = CliRunner().invoke(application(), ["bench", "systems", *names, "--part", "1/2", "--keep", "k", "--json"])
    found = json.loads(done.stdout)
    assert [r["name"] for r in found["rows"]] == ["sir", "odebench:3"] and found["summary"]["found at 1 %, %"] == 0
    assert (asked["part"], asked["keep"], asked["jobs"]) == ("1/2", Path("k"), 1)
    done = CliRunner().invoke(application(), ["bench", "systems", "--table", "odebench"])
    assert "Found 0 of 43" in done.stdout
    refused = CliRunner().invoke(application(), ["bench", "systems", "--table", "odebench", "--name", "sir"])
    assert refused.exit_code == 1 and "name and table exclude each other" in refused.output
    done = CliRunner().invoke(application(), ["bench", "systems"])
    assert f"Found 0 of {len(list_systems())}" in done.stdout


@pytest.mark.slow
def test_at_least_four_fifths_of_the_systems_are_found_at_one_percent_noise():
    runs = [systems.discover_system(system.name, 0.01, 0) for system in list_systems()]
    print(systems.table(runs))
    assert sum(r.found for r in runs) >= systems.AIM * len(runs)


# ------------------------------------------------------------------ the floating body
@pytest.fixture(scope="module")
def thinned():
    return floating_body._kept(make_data(get_system("floating_body"), 0.001, 0), 20)


def test_the_held_out_runs_are_kept_apart(thinned):
    system = get_system("floating_body")
    assert len(thinned.trajectories) == 51 and len(system.heldout) == 13
    assert not {run.name for run in thinned.trajectories} & set(system.heldout)


def test_the_true_law_forecasts_without_error_and_rest_does_not():
    from udesys.systems.exact import solve_exactly

    system = get_system("floating_body")

    def exactly(starts):
        right_sides = system.true_rhs()
        return np.stack([solve_exactly(right_sides, system.states, x, (0, 8)).sol(np.arange(9)).T for x in starts])

    def resting(starts):
        return np.repeat(starts[:, None], 9, axis=1)

    assert floating_body._forecast("truth", 0.0, exactly, "").mean < 1e-16
    rest = floating_body._forecast("rest", 0.0, resting, "")
    assert rest.errors[0] == 0 and rest.mean > 0.1


def test_a_neural_ode_is_trained_in_its_time(thinned, monkeypatch):
    ticks = itertools.count()
    clock = SimpleNamespace(perf_counter=lambda: 0.25 * next(ticks))  # a step takes a quarter of a second
    monkeypatch.setattr(floating_body, "time", clock)
    short = floating_body.trained_forecast(thinned, 0, 1.0)
    assert short.seconds == 1.25 and "3 steps of Adam" in short.note  # the fourth would begin when the second is over
    assert np.isfinite(short.mean) and short.errors[0] == 0
    assert short.mean > 1e-6  # a second is not enough


def test_a_model_that_does_not_get_there_has_no_error():
    def blows_up(starts):
        raise SolveError("it blows up")

    def leaves(starts):
        states = np.repeat(starts[:, None], 9, axis=1)
        states[:, 4:] = np.nan
        return states

    failed = floating_body._forecast("failed", 1.0, blows_up, "a note")
    assert failed.mean == np.inf and failed.failure == "SolveError: it blows up"
    left = floating_body._forecast("left", 1.0, leaves, "")
    assert np.isfinite(left.errors).tolist() == [True] * 4 + [False] * 5


def compared(level=0.0, law=1e-6, other=2e-3, found=True):
    errors = {floating_body.LAW: law, floating_body.NEURAL: other, floating_body.SHOOTING: np.inf}
    forecasts = tuple(
        floating_body.Forecast(model=model, seconds=9.0, errors=(mean,) * 9, mean=mean, note="a note")
        for model, mean in errors.items()
    )
    return floating_body.Run(level=level, seed=0, every=1, found=found, error={"NN1": 0.1}, forecasts=forecasts)


def test_the_headline_numbers_of_the_body_are_those_of_the_law_beside_its_rivals(monkeypatch):
    runs = [compared(), compared(law=3e-6, found=False), compared(level=0.01, law=1e-3)]
    monkeypatch.setattr(floating_body, "carry_out", lambda function, tasks, warm_up, **how: (runs, 60.0))
    answer = json.loads(CliRunner().invoke(application(), ["bench", "floating-body", "--json"]).stdout)
    assert answer["summary"] == {
        "both terms found at 0 % noise, %": 50,
        "both terms found at 1 % noise, %": 100,
        "mean squared error at 0 % noise": pytest.approx(2e-6),
        "training at 0 % noise, s": 9,
        "mean squared error at 1 % noise": 1e-3,
        "training at 1 % noise, s": 9,
    }
    assert answer["rivals"][floating_body.NEURAL]["mean squared error at 0 % noise"] == 2e-3
    assert answer["rivals"][floating_body.SHOOTING]["mean squared error at 0 % noise"] is None
    text = floating_body.table(runs)
    assert f"The law's error is 2e+03 times below that of the {floating_body.NEURAL}." in text


def test_a_discovery_of_the_body_that_fails_is_written_down(monkeypatch):
    def fails(*arguments):
        raise FitError("nothing finite")

    for model in ("discovered", "trained_forecast", "fitted_forecast"):
        monkeypatch.setattr(floating_body, model, fails)
    failed = floating_body.compare_once(0.0, 0, 40)
    assert [f.failure for f in failed.forecasts] == ["FitError: nothing finite"] * 3
    assert failed.law.mean == np.inf and not failed.found
    assert "- pure neural ODE, Adam: FitError: nothing finite" in floating_body.table([failed])


@pytest.mark.slow
def test_drag_and_added_mass_are_found_and_forecast_a_hundred_times_better():
    run = floating_body.compare_once(0.001, 0, 20)
    print(floating_body.table([run]))
    law, other, _ = run.forecasts
    assert "s" in law.note and "NN1" in law.note
    assert law.mean * floating_body.AIM < other.mean
