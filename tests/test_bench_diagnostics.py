"""What the study of the residual diagnostics removes, counts and prints."""

import json

import pytest
from typer.testing import CliRunner

from udesys.bench import diagnostics as study
from udesys.bench.diagnostics import Found, Run
from udesys.cli import application
from udesys.errors import DataError
from udesys.model import tree as T
from udesys.systems import get_system


def test_every_additive_term_is_removed_once_and_its_constant_with_it():
    without = study.removals(study.right_form(study.system_of("fitzhugh_nagumo")))
    assert list(without) == ["v in NN", "v**3 in NN"]
    (cubic,) = without["v in NN"].values()
    assert T.to_text(cubic.formula.tree) == "c0*v**3"
    assert list(cubic.formula.constants.values()) == [pytest.approx(-1 / 3)]


@pytest.mark.parametrize("name", study.UNKNOWN)
def test_a_law_of_which_nothing_is_known_has_the_same_truth(name):
    """The right sides agree at a point with those of the built-in system."""
    from udesys.model.program import Program

    system, whole = get_system(name), study.system_of(name + study.WHOLE)
    values = [Program(list(s.true_rhs()), list(s.states)).run([0.7, 1.3]) for s in (system, whole)]
    assert values[1] == pytest.approx(values[0], rel=1e-12)
    assert not whole.hybrid().estimated


def test_what_a_removal_costs_decides_whether_it_counts():
    costs = study.costs_of("lotka_volterra")
    assert set(costs) == {"prey*predator in NN1", "prey*predator in NN2"}
    assert all(study.counts(cost) for cost in costs.values())
    assert not study.counts(0.9) and not study.counts(None)


def test_one_table_flags_the_removal_and_not_the_right_form():
    run = study.remove_each("lotka_volterra", 3000, ("prey*predator in NN2",))
    assert run.right == [] and not run.failures
    assert [len(warnings) for warnings in run.removed.values()] == [1]


def test_the_table_counts_and_says_what_is_not_counted():
    costs = {"sir": {"a in NN": 9.0, "b in NN": 0.5, "c in NN": None}}
    runs = [
        Run(case="sir", seed=1, right=[], removed={"a in NN": ["told"]}),
        Run(case="sir", seed=2, right=["told"], removed={"a in NN": []}),
        Run(case="sir", seed=3, right=[], removed={}, failures={"": "SearchError: nothing"}),
    ]
    found = [
        Found(case="sir", seed=1, degree=None, law={"NN": "c0*x"}, warnings=[]),
        Found(case="sir", seed=1, degree=1, law={"NN": "c0"}, warnings=["told"]),
        Found(case="sir", seed=2, degree=1, law={}, warnings=[], failure="SearchError: none"),
    ]
    text = study.table(costs, runs, found)
    assert "sir: the right form silent in 1 of 2" in text
    assert "without a in NN: costs 9, flagged in 1 of 2" in text
    assert "without b in NN: costs 0.5: made up for, not counted" in text
    assert "without c in NN: cannot be simulated, not counted" in text
    assert "seed 3: SearchError: nothing" in text
    assert "Right forms silent in 1 of 2; without a term flagged in 1 of 2" in text
    assert "default library: silent in 1 of 1, such as NN = c0*x" in text
    assert "one degree too low: flagged in 1 of 1, such as NN = c0" in text
    assert "sir, seed 2: SearchError: none" in text


def test_the_command_runs_one_law_and_prints_json(monkeypatch):
    monkeypatch.setattr(study, "run_tasks", lambda function, tasks, jobs, warm_up: [function(*t) for t in tasks])
    asked = ["bench", "diagnostics", "--name", "lotka_volterra", "--seeds", "1", "--discoveries", "0", "--json"]
    done = CliRunner().invoke(application(), asked)
    assert done.exit_code == 0, done.output
    content = json.loads(done.stdout)
    assert len(content["runs"]) == 1 and content["runs"][0]["case"] == "lotka_volterra"
    assert content["discoveries"] == [] and len(content["costs"]["lotka_volterra"]) == 2


def test_an_unknown_law_is_refused():
    with pytest.raises(DataError, match=r"there is no law 'lotka'.*lotka_volterra"):
        study.known_case("lotka")
