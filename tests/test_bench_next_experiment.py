"""The study of suggested experiments: its truth, its judgement, its table, and the figures themselves."""

import json

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from typer.testing import CliRunner

from udesys.bench import next_experiment as study
from udesys.bench.next_experiment import Run, exact, settled, table
from udesys.cli import application

GOMPERTZ, LOGISTIC = "c0*V + c1*V*log(V)", "c0*V + c1*V**2"
LARGER, OTHER = "c0*V + c1*V**2 + c2*V*log(V)", "c0 + c1*V**2 + c2*log(V)"


def made(seed, **changed) -> Run:
    run = {
        "before": [LOGISTIC, GOMPERTZ],
        "suggested": 0.1,
        "random": 2.5,
        "chance": 0.62,
        "settled": True,
        "settled_at_random": False,
        "alone": False,
        "alone_at_random": False,
        "after": [GOMPERTZ],
        "after_at_random": [LOGISTIC, GOMPERTZ],
    }
    return Run(seed=seed, **{**run, **changed})


def test_the_truth_is_gompertz_growth():
    t = np.linspace(0, 10, 5)
    accuracy = {"rtol": 1e-10, "atol": 1e-12}
    done = solve_ivp(lambda t, v: -study.RATE * v * np.log(v / study.FINAL), (0, 10), [0.4], t_eval=t, **accuracy)
    assert exact(0.4, t) == pytest.approx(done.y[0], rel=1e-7)


@pytest.mark.parametrize(
    ("after", "answer", "alone"),
    [
        ([GOMPERTZ], True, True),
        ([GOMPERTZ, LARGER], True, True),
        ([GOMPERTZ, OTHER], True, False),
        ([GOMPERTZ, LOGISTIC], False, False),
        ([LOGISTIC], False, False),
        ([LARGER], False, False),
    ],
)
def test_it_is_settled_where_the_pick_is_right_and_the_former_rivals_are_gone(after, answer, alone):
    assert settled(after, [LOGISTIC, GOMPERTZ]) is answer
    assert settled(after) is alone


def test_the_table_counts_both_and_says_whether_the_aims_are_reached():
    text = table([made(0), made(3, settled_at_random=True), made(4)], 7)
    assert "3 seeds of 7" in text and "settled by the suggested experiment 3 of 3" in text
    assert "settled at a random place 1 of 3" in text and text.endswith("aims reached")
    assert table([made(0, settled=False), made(1)], 2).endswith("aims not reached")


def test_a_seed_in_which_no_wrong_law_is_within_reach_does_not_count(monkeypatch):
    monkeypatch.setattr(study, "one_seed", lambda seed, max_terms: made(seed) if seed % 3 == 0 else None)
    runs, looked_at = study.study(2, first=1)
    assert [r.seed for r in runs] == [3, 6] and looked_at == 6


def test_the_command_prints_json(monkeypatch):
    monkeypatch.setattr(study, "one_seed", lambda seed, max_terms: made(seed))
    done = CliRunner().invoke(application(), ["bench", "next-experiment", "--seeds", "2", "--json"])
    assert done.exit_code == 0, done.output
    answer = json.loads(done.stdout)
    assert answer["looked_at"] == 2 and answer["runs"][1]["after"] == [GOMPERTZ]


@pytest.mark.slow
def test_a_suggested_experiment_settles_it_eight_times_of_ten_where_a_random_one_does_four_times_at_most():
    runs, _ = study.study(10)
    assert len(runs) == 10
    assert sum(r.settled for r in runs) >= 8
    assert sum(r.settled_at_random for r in runs) <= 4
