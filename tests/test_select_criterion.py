"""The criterion that ranks laws, the rows that residuals are worth, and the pick among what is within reach."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.signal import lfilter

from udesys.fit.correlation import LEAST_ROWS, effective_counts
from udesys.model.grammar import parse_expression
from udesys.search.candidate import make_candidate
from udesys.select import RIVAL, Ranked, Selection, criterion

# --- the criterion -----------------------------------------------------------------------------------


def test_the_criterion_by_hand():
    squares, counts = np.array([0.5, 8.0]), np.array([20.0, 10.0])
    found = criterion(squares, counts, counts, np.zeros(2), n_constants=3, prior=1.5)
    assert found == pytest.approx(20 * np.log(0.025) + 10 * np.log(0.8) + 3 * np.log(30) + 3.0)


def test_rows_that_repeat_each_other_count_for_what_they_are_worth():
    squares, counts, worth = np.array([0.5, 8.0]), np.array([20.0, 10.0]), np.array([5.0, 10.0])
    found = criterion(squares, counts, worth, np.zeros(2), n_constants=2, prior=0.0)
    assert found == pytest.approx(5 * np.log(0.025) + 10 * np.log(0.8) + 2 * np.log(15))


def test_an_error_below_the_floor_is_no_better_than_the_floor():
    def at(square):
        return criterion(np.array([square]), np.array([10.0]), np.array([10.0]), np.array([1e-3]), 1, 0.0)

    assert at(0.0) == pytest.approx(at(1e-12), abs=1e-5)
    assert at(0.0) == pytest.approx(10 * np.log(1e-6) + np.log(10))


def test_a_state_without_measurements_does_not_count():
    one = criterion(np.array([0.5]), np.array([20.0]), np.array([20.0]), np.zeros(1), 2, 0.0)
    squares, counts = np.array([0.5, 0.0]), np.array([20.0, 0.0])
    assert criterion(squares, counts, counts, np.zeros(2), 2, 0.0) == one


def test_the_reach_is_a_posterior_odds_ratio_of_twenty():
    assert RIVAL == pytest.approx(2 * np.log(20), abs=0.01)


# --- what residuals are worth ------------------------------------------------------------------------


def worth(series, mask=None, segments=None):
    series = np.asarray(series)
    mask = np.ones_like(series) if mask is None else mask
    segments = (np.array([0]), np.array([len(series)])) if segments is None else segments
    return effective_counts(series, mask, segments)


def wandering(n, rng, rho=0.9):
    """A stationary first-order autoregressive series."""
    start = rng.standard_normal() / np.sqrt(1 - rho**2)
    return lfilter([1.0], [1.0, -rho], rng.standard_normal(n), zi=[rho * start])[0]


def test_white_residuals_keep_their_number():
    rng = np.random.default_rng(0)
    # The test refutes one white series in a thousand: of a hundred, five would be beyond all chance.
    kept = [worth(rng.standard_normal((n, 1)))[0] == n for n in (30, 100, 500, 2000) for _ in range(25)]
    assert sum(kept) >= 95


def test_a_wandering_series_is_worth_what_bartlett_says():
    rng, n, rho = np.random.default_rng(1), 2000, 0.9
    mean = np.mean([worth(wandering(n, rng)[:, None])[0] for _ in range(20)])
    expected = n * (1 - rho**2) / (1 + rho**2)  # n over the sum over all lags of rho^(2 |k|)
    assert expected / 1.5 < mean < 1.5 * expected


def test_two_columns_that_wander_together_tell_it_once():
    series = wandering(1000, np.random.default_rng(2))
    alone = worth(series[:, None])[0]
    assert worth(np.stack([series, series], 1)) == pytest.approx([alone / 2, alone / 2])
    assert worth(np.stack([series, -7 * series], 1)) == pytest.approx([alone / 2, alone / 2])


def test_a_white_column_beside_a_wandering_one_keeps_its_number():
    rng = np.random.default_rng(3)
    found = worth(np.stack([wandering(800, rng), rng.standard_normal(800)], 1))
    assert found[0] < 400 and found[1] == 800


def test_runs_are_not_correlated_with_each_other():
    runs = np.stack([wandering(50, np.random.default_rng(k)) for k in range(8)])
    segments = (np.arange(0, 400, 50), np.arange(50, 401, 50))
    shuffled = runs[np.random.default_rng(4).permutation(8)]
    apart, other = (worth(r.reshape(-1, 1), segments=segments)[0] for r in (runs, shuffled))
    assert apart == pytest.approx(other) and apart < 200
    assert worth(runs.reshape(-1, 1))[0] != pytest.approx(apart)


def test_missing_cells_do_not_matter_whatever_stands_in_them():
    rng = np.random.default_rng(5)
    series, mask = rng.standard_normal((300, 1)), np.ones((300, 1))
    mask[::3] = 0.0
    series[::3] = 1e9
    assert worth(series, mask)[0] == mask.sum()


def test_a_series_that_alternates_keeps_its_number():
    """As the residuals of a network that follows short data closely do."""
    assert worth(wandering(400, np.random.default_rng(6), rho=-0.9)[:, None])[0] == 400


def test_short_records_cannot_refute_anything():
    assert worth(np.linspace(-1, 1, LEAST_ROWS - 1)[:, None])[0] == LEAST_ROWS - 1
    assert worth(np.linspace(-1, 1, 60)[:, None])[0] < 20


def test_an_exact_fit_is_not_taken_for_wandering():
    assert worth(np.zeros((50, 2))).tolist() == [50, 50]


# --- the pick ----------------------------------------------------------------------------------------


def ranked(text, value, n_constants) -> Ranked:
    candidate = make_candidate([parse_expression(text)], [1.0], loss=1.0, score=0.0, engine="stub")
    return Ranked({"NN": candidate}, SimpleNamespace(form=SimpleNamespace(values=np.zeros(n_constants))), value)


def selection(*laws) -> Selection:
    return Selection(
        ranked=tuple(laws),
        diverged=(),
        data=None,
        refitter=None,
        n_refits=len(laws),
        worth=np.ones(1),
        seconds_proposing=0.0,
    )


def test_the_pick_has_the_fewest_constants_within_reach():
    laws = [ranked("x**4", -100.0, 3), ranked("x**2", -97.0, 2), ranked("x**3", -95.0, 2), ranked("x", -93.0, 1)]
    found = selection(*laws)
    assert found.within_reach == tuple(laws[:3])  # seven behind is out of reach
    assert found.best is laws[1]


def test_the_pick_is_the_lowest_criterion_among_equally_many_constants():
    laws = [ranked("x", -100.0, 2), ranked("x**2", -99.9, 2)]
    assert selection(*laws).best is laws[0]


def test_a_simpler_law_out_of_reach_is_not_picked():
    laws = [ranked("x", -100.0, 4), ranked("x**2", -100.0 + RIVAL, 1)]
    assert selection(*laws).best is laws[0]
    assert selection(*laws).within_reach == (laws[0],)


def test_a_ranked_law_is_known_by_its_forms():
    assert ranked("y*x", 0.0, 5).key == ("x*y",) and ranked("x", 0.0, 5).n_constants == 5
