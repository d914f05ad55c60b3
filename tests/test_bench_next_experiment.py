"""The study of suggested experiments: its truth, its judgement, its table, and the figures themselves."""

import json

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from typer.testing import CliRunner

from udesys.bench import next_experiment as study
from udesys.bench.next_experiment import Run, at_random, exact, settled, summary, table
from udesys.cli import application
from udesys.errors import FitError

GOMPERTZ, LOGISTIC = "c0*V + c1*V*log(V)", "c0*V + c1*V**2"
LARGER, OTHER = "c0*V + c1*V**2 + c2*V*log(V)", "c0 + c1*V**2 + c2*log(V)"


def made(seed, **changed) -> Run:
    run = {
        "counts": True,
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
    text = table([made(0), made(3, settled_at_random=True), made(4), Run(seed=5, before=[GOMPERTZ])])
    assert "3 of 4 seeds with" in text and "Settled by the suggested experiment: 3 of 3" in text
    assert "Settled at a random place: 1 of 3" in text and text.endswith("Aims reached.")
    assert [line.split()[1] for line in text.splitlines() if line.startswith("| ")] == ["seed", "----", "0", "3", "4"]
    assert table([made(0, settled=False), made(1)]).endswith("Aims not reached.")
    assert table([Run(seed=5, before=[GOMPERTZ])]).endswith("Aims not reached.")


def test_a_seed_in_which_no_wrong_law_is_within_reach_does_not_count():
    runs = [made(0), made(1, settled=False, settled_at_random=True), Run(seed=2, before=[GOMPERTZ])]
    assert summary(runs) == {
        "seeds": 3,
        "seeds with a wrong law within reach": 2,
        "settled, %": 50,
        "no wrong law left at all, %": 0,
    }
    assert at_random(runs) == {"settled, %": 50, "no wrong law left at all, %": 0}
    assert summary(runs[2:]) == {"seeds": 1, "seeds with a wrong law within reach": 0}


def test_what_goes_wrong_is_written_down(monkeypatch):
    def fails(*args):
        raise FitError("nothing finite")

    monkeypatch.setattr(study, "_discovered", fails)
    failed = study.one_seed(3)
    assert failed == Run(seed=3, failure="FitError: nothing finite")
    assert "Seed 3: FitError: nothing finite" in table([failed])


def test_the_command_prints_one_object(monkeypatch):
    def carried(function, tasks, warm_up, **how):
        return [made(seed) for seed, _ in tasks], 3.0

    monkeypatch.setattr(study, "carry_out", carried)
    done = CliRunner().invoke(application(), ["bench", "next-experiment", "--seeds", "2", "--first", "4", "--json"])
    assert done.exit_code == 0, done.output
    answer = json.loads(done.stdout)
    assert answer["rows"][1]["seed"] == 5 and answer["rows"][1]["after"] == [GOMPERTZ]
    assert answer["summary"]["settled, %"] == 100 and answer["rivals"][study.RANDOM]["settled, %"] == 0


@pytest.mark.slow
def test_a_suggested_experiment_settles_it_eight_times_of_ten_where_a_random_one_does_four_times_at_most():
    runs = [study.one_seed(seed) for seed in range(20)]
    assert sum(r.counts for r in runs) >= 10
    assert summary(runs)["settled, %"] >= 80
    assert at_random(runs)["settled, %"] <= 40
