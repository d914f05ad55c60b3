"""The coverage study: its table from hand-made runs, the command, and the shares themselves."""

import json
from importlib import import_module

import pytest
from typer.testing import CliRunner

from udesys.bench import coverage as study
from udesys.bench.coverage import Run, shares, summary, table
from udesys.cli import application
from udesys.errors import FitError

ALL, NONE = (dict.fromkeys(study.CONSTANTS, both) for both in ((True, True), (False, False)))
PRODUCTS = {"NN1": "c0*prey*predator", "NN2": "c0*prey*predator"}


def run(level=0.01, right=True, discovered=ALL, given=ALL, **more):
    held = discovered if right else {}
    return Run(level=level, seed=1, right=right, formulas=PRODUCTS, discovered=held, given=given, **more)


def test_the_shares_are_counted_by_constant_and_by_interval_over_the_runs_that_have_them():
    half = {**ALL, "gamma": (True, False)}
    counted = shares([ALL, half, NONE, {}])
    assert counted["alpha"] == (2 / 3, 2 / 3) and counted["gamma"] == (2 / 3, 1 / 3)


def cells(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_table_has_the_discovered_and_the_given_form_at_each_noise():
    runs = [run(), run(right=False), run(level=0.05, given=NONE, notes=["gamma: open"], seconds=3.0)]
    lines = [line for line in table(runs).splitlines() if line]
    assert cells(lines[3]) == ["1 %", "discovered", "1", "covariance", *["100.0"] * 4]
    assert cells(lines[5]) == ["1 %", "given", "2", "covariance", *["100.0"] * 4]
    assert cells(lines[10]) == ["5 %", "given", "1", "profile", *["0.0"] * 4]
    assert "At 1 % the form found is the right one in 1 of 2." in lines
    assert lines[-1] == "Profiles have an open end or another note in 1 of 3 runs; median 0.00 s a run."


def test_a_noise_without_a_right_form_has_no_shares():
    lines = table([run(right=False)]).splitlines()
    assert cells(lines[4]) == ["1 %", "discovered", "0", "covariance", *["-"] * 4]
    assert list(summary([run(right=False)])) == [
        "right forms at 1 % noise, %",
        "form given: truth in covariance intervals at 1 % noise, %",
        "form given: truth in profile intervals at 1 % noise, %",
    ]


def test_the_headline_shares_are_over_all_four_constants():
    one = {**ALL, "gamma": (False, True)}
    numbers = summary([run(given=one), run(right=False), run(level=0.05, given=NONE)])
    assert numbers["right forms at 1 % noise, %"] == 50
    assert numbers["form given: truth in covariance intervals at 1 % noise, %"] == pytest.approx(87.5)
    assert numbers["form given: truth in profile intervals at 1 % noise, %"] == 100
    assert numbers["form given: truth in profile intervals at 5 % noise, %"] == 0
    assert numbers["form discovered: truth in covariance intervals at 1 % noise, %"] == 100


def test_what_goes_wrong_is_written_down(monkeypatch):
    def fails(*args, **options):
        raise FitError("nothing finite")

    monkeypatch.setattr(import_module("udesys.discover"), "discover", fails)
    failed = study.cover_once(0.01, 0)
    assert not failed.right and failed.discovered == failed.given == {}
    assert failed.failure == "FitError: nothing finite; FitError: nothing finite"
    assert "1 %, seed 0: FitError: nothing finite" in table([failed])


def test_the_command_prints_one_object(monkeypatch):
    asked = []

    def carried(function, tasks, warm_up, **how):
        asked.extend(tasks)
        return [run(level, given=ALL) for level, _ in tasks], 2.0

    monkeypatch.setattr(study, "carry_out", carried)
    done = CliRunner().invoke(application(), ["bench", "coverage", "--seeds", "2", "--seed", "7", "--json"])
    answer = json.loads(done.stdout)
    assert asked == [(0.01, 7), (0.01, 8), (0.05, 7), (0.05, 8)] and len(answer["rows"]) == 4
    nominal = answer["published"]["nominal"]
    assert nominal.keys() < answer["summary"].keys() and set(nominal.values()) == {95.0}


def test_the_study_is_listed_and_explains_itself():
    listed = CliRunner().invoke(application(), ["bench"])
    assert listed.exit_code == 0 and study.TITLE in listed.output
    explained = CliRunner().invoke(application(), ["bench", "coverage", "--help"])
    assert explained.exit_code == 0 and "--seeds" in explained.output


@pytest.mark.slow
@pytest.mark.sample
def test_one_run_as_json():
    done = CliRunner().invoke(application(), ["bench", "coverage", "--seeds", "1", "--noise", "1%", "--json"])
    (found,) = json.loads(done.stdout)["rows"]
    assert found["right"] and found["formulas"] == PRODUCTS and list(found["given"]) == list(study.CONSTANTS)


@pytest.mark.slow
@pytest.mark.parametrize("level", study.LEVELS)
def test_the_intervals_hold_the_truth_about_as_often_as_they_say(level):
    # 200 runs at 95 % are 190 with a standard deviation of 3; a share outside has one chance in 200.
    counted = shares([study.given_once(level, study.FIRST_SEED + k) for k in range(200)])
    assert all(0.91 <= share <= 0.99 for both in counted.values() for share in both), counted
