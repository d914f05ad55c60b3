"""What is found of the built-in systems: how it is judged and told, and that it is found."""

import itertools
import json
import sys
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
from typer.testing import CliRunner

from udesys.bench import floating_body, systems
from udesys.bench._found import judge_coefficients, judge_terms
from udesys.cli import application
from udesys.errors import FitError
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


def test_the_table_has_a_line_for_each_and_the_share():
    text = systems.table([run("a", found=True, listed=True), run("bb", listed=True), run("c")])
    lines = text.splitlines()
    assert lines[0] == "Built-in systems at 1 % noise, seed 0"
    assert [line.split()[:2] for line in lines[2:5]] == [["a", "found"], ["bb", "listed"], ["c", "missed"]]
    assert "0.2 %" in lines[2] and "NN = c0*x" in lines[2]
    assert lines[-1] == "found 1 of 3, 33 %; aim: 80 %"
    assert "found 0 of 0" in systems.table([])


def test_the_command_takes_names_and_prints_json(monkeypatch):
    monkeypatch.setattr(systems, "run_tasks", lambda function, tasks, jobs, warm_up: [run(*task[:1]) for task in tasks])
    done = CliRunner().invoke(application(), ["bench", "systems", "--name", "sir", "--name", "odebench:3", "--json"])
    assert [r["name"] for r in json.loads(done.stdout)] == ["sir", "odebench:3"]
    done = CliRunner().invoke(application(), ["bench", "systems", "--table", "odebench"])
    assert "found 0 of 43" in done.stdout
    refused = CliRunner().invoke(application(), ["bench", "systems", "--table", "odebench", "--name", "sir"])
    assert refused.exit_code == 1 and "name and table exclude each other" in refused.output
    done = CliRunner().invoke(application(), ["bench", "systems"])
    assert f"found 0 of {len(list_systems())}" in done.stdout


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


@pytest.mark.slow
def test_drag_and_added_mass_are_found_and_forecast_a_hundred_times_better(thinned):
    law = floating_body.law_forecast(thinned, 0)
    assert "s" in law.note and "NN1" in law.note
    other = floating_body.trained_forecast(thinned, 0, law.seconds)
    print(floating_body.table([law, other]))
    assert law.mean * floating_body.AIM < other.mean
