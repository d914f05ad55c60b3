"""The coverage study: its table from hand-made runs, the command, and the shares themselves."""

import json

import pytest
from typer.testing import CliRunner

from udesys.bench import coverage as study
from udesys.bench.coverage import Run, shares, table
from udesys.cli import application

ALL, NONE = (dict.fromkeys(study.CONSTANTS, both) for both in ((True, True), (False, False)))
PRODUCTS = {"NN1": "c0*prey*predator", "NN2": "c0*prey*predator"}


def run(level=0.01, right=True, discovered=ALL, given=ALL, **more):
    held = discovered if right else {}
    return Run(level=level, seed=1, right=right, formulas=PRODUCTS, discovered=held, given=given, **more)


def test_the_shares_are_counted_by_constant_and_by_interval_over_the_runs_that_have_them():
    half = {**ALL, "gamma": (True, False)}
    counted = shares([ALL, half, NONE, {}])
    assert counted["alpha"] == (2 / 3, 2 / 3) and counted["gamma"] == (2 / 3, 1 / 3)


def test_the_table_has_the_discovered_and_the_given_form_at_each_noise():
    runs = [run(), run(right=False), run(level=0.05, given=NONE, notes=["gamma: open"], seconds=3.0)]
    lines = table(runs).splitlines()
    assert lines[2].split() == ["1", "%", "discovered", "1", "covariance", *["100.0"] * 4]
    assert lines[4].split() == ["1", "%", "given", "2", "covariance", *["100.0"] * 4]
    assert lines[6] == "   1 %   the form found is the right one in 1 of 2"
    assert lines[10].split() == ["profile", *["0.0"] * 4]
    assert lines[-1] == "Profiles with an open end or another note in 1 of 3 runs; median 0.00 s a run"


def test_a_noise_without_a_right_form_has_no_shares():
    assert table([run(right=False)]).splitlines()[2].split() == ["1", "%", "discovered", "0", "covariance", *["-"] * 4]


def test_the_study_is_listed_and_explains_itself():
    listed = CliRunner().invoke(application(), ["bench"])
    assert listed.exit_code == 0 and study.TITLE in listed.output
    explained = CliRunner().invoke(application(), ["bench", "coverage", "--help"])
    assert explained.exit_code == 0 and "--seeds" in explained.output


@pytest.mark.slow
@pytest.mark.sample
def test_one_run_as_json():
    done = CliRunner().invoke(application(), ["bench", "coverage", "--seeds", "1", "--noise", "1%", "--json"])
    (found,) = json.loads(done.stdout)
    assert found["right"] and found["formulas"] == PRODUCTS and list(found["given"]) == list(study.CONSTANTS)


@pytest.mark.slow
@pytest.mark.parametrize("level", study.LEVELS)
def test_the_intervals_hold_the_truth_about_as_often_as_they_say(level):
    # 200 runs at 95 % are 190 with a standard deviation of 3; a share outside has one chance in 200.
    counted = shares([study.given_once(level, study.FIRST_SEED + k) for k in range(200)])
    assert all(0.91 <= share <= 0.99 for both in counted.values() for share in both), counted
