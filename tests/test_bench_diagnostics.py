"""What the study of the residual diagnostics removes, counts and prints."""

import json
from importlib import import_module

import pytest
from typer.testing import CliRunner

from udesys.bench import _removals as laws
from udesys.bench import diagnostics as study
from udesys.bench.diagnostics import DEFAULT, GIVEN, LOW, Run
from udesys.cli import application
from udesys.errors import DataError, FitError
from udesys.model import tree as T
from udesys.systems import get_system


def test_every_additive_term_is_removed_once_and_its_constant_with_it():
    without = laws.removals(laws.right_form(laws.system_of("fitzhugh_nagumo")))
    assert list(without) == ["v in NN", "v**3 in NN"]
    (cubic,) = without["v in NN"].values()
    assert T.to_text(cubic.formula.tree) == "c0*v**3"
    assert list(cubic.formula.constants.values()) == [pytest.approx(-1 / 3)]


@pytest.mark.parametrize("name", laws.UNKNOWN)
def test_a_law_of_which_nothing_is_known_has_the_same_truth(name):
    """The right sides agree at a point with those of the built-in system."""
    from udesys.model.program import Program

    system, whole = get_system(name), laws.system_of(name + laws.WHOLE)
    values = [Program(list(s.true_rhs()), list(s.states)).run([0.7, 1.3]) for s in (system, whole)]
    assert values[1] == pytest.approx(values[0], rel=1e-12)
    assert not whole.hybrid().estimated


def test_what_a_removal_costs_decides_whether_it_counts():
    costs = laws.costs_of("lotka_volterra")
    assert set(costs) == {"prey*predator in NN1", "prey*predator in NN2"}
    assert all(laws.counts(cost) for cost in costs.values())
    assert not laws.counts(0.9) and not laws.counts(None)


def test_one_table_flags_the_removals_and_not_the_right_form():
    run = study.check_once("lotka_volterra", 3000, GIVEN)
    assert run.warnings == [] and not run.failure and not run.failures
    assert {text: len(warnings) for text, warnings in run.removed.items()} == dict.fromkeys(run.costs, 1)
    assert run.seconds > 0


RUNS = [
    Run(
        case="sir",
        seed=1,
        search=GIVEN,
        costs={"a in NN": 9.0, "b in NN": 0.5, "c in NN": None},
        removed={"a in NN": ["told"]},
    ),
    Run(
        case="sir",
        seed=2,
        search=GIVEN,
        warnings=["told"],
        removed={"a in NN": []},
        failures={"a in NN": "SolveError: no"},
    ),
    Run(case="sir", seed=3, search=GIVEN, failure="SearchError: nothing"),
    Run(case="sir", seed=1, search=DEFAULT, law={"NN": "c0*x"}),
    Run(case="sir", seed=1, search=LOW, law={"NN": "c0"}, warnings=["told"]),
    Run(case="sir", seed=2, search=LOW, failure="SearchError: none"),
]


def test_the_table_counts_and_says_what_is_not_counted():
    lines = study.table(RUNS).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    assert cells[2:] == [
        ["sir", "nothing", "-", "1 of 2"],
        ["", "a in NN", "9", "1 of 2"],
        ["", "b in NN", "0.5", "made up for, not counted"],
        ["", "c in NN", "-", "cannot be simulated, not counted"],
    ]
    assert "Right forms silent in 1 of 2; without a term flagged in 1 of 2." in lines
    assert "sir, default library: silent in 1 of 1, such as NN = c0*x." in lines
    assert "sir, polynomials one degree too low: flagged in 1 of 1, such as NN = c0." in lines
    assert "sir, forms given, seed 3: SearchError: nothing" in lines
    assert "sir, polynomials one degree too low, seed 2: SearchError: none" in lines
    assert "sir, without a in NN, seed 2: SolveError: no" in lines


def test_the_headline_numbers_leave_out_what_failed():
    assert study.summary(RUNS) == {
        "right forms silent, %": 50,
        "laws without a term flagged, %": 50,
        "laws from the default library silent, %": 100,
        "laws from polynomials one degree too low flagged, %": 100,
    }
    assert study.summary(RUNS[2:3]) == {}


@pytest.mark.parametrize("search", [GIVEN, DEFAULT])
def test_what_goes_wrong_is_written_down(search, monkeypatch):
    def fails(*args, **options):
        raise FitError("nothing finite")

    for module in ("fit", "discover"):
        monkeypatch.setattr(import_module(f"udesys.{module}"), module, fails)
    failed = study.check_once("lotka_volterra", 3000, search)
    assert (failed.search, failed.failure) == (search, "FitError: nothing finite")


def test_the_command_makes_every_law_and_prints_json(monkeypatch):
    asked = []

    def carried(function, tasks, warm_up, **how):
        asked.extend(tasks)
        return RUNS, 5.0

    monkeypatch.setattr(study, "carry_out", carried)
    options = ["--name", "lotka_volterra", "--name", "sir", "--seeds", "1", "--discoveries", "1", "--seed", "9"]
    done = CliRunner().invoke(application(), ["bench", "diagnostics", *options, "--json"])
    assert done.exit_code == 0, done.output
    content = json.loads(done.stdout)
    assert content["rows"][0]["costs"]["a in NN"] == 9 and content["summary"]["right forms silent, %"] == 50
    assert asked == [
        ("lotka_volterra", 9, GIVEN),
        ("sir", 9, GIVEN),
        ("lotka_volterra", 9, DEFAULT),
        ("lotka_volterra", 9, LOW),
    ]


def test_an_unknown_law_is_refused():
    with pytest.raises(DataError, match=r"there is no law 'lotka'.*lotka_volterra"):
        laws.known_case("lotka")
