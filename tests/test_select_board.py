"""The footing on which laws are ranked: how long the solver's steps are, and that this no longer matters."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from udesys import Dataset, HybridODE, SearchOptions, Trajectory, fit
from udesys.fit import FitOptions
from udesys.search.measurements import Measurements
from udesys.select import board as B
from udesys.select import select


def oscillator(n, noise=0.0, until=10.0):
    """A damped oscillator, x'' = -x - 0.2 x', and its hybrid."""
    t = np.linspace(0.0, until, n)
    y = solve_ivp(lambda t, s: [s[1], -s[0] - 0.2 * s[1]], (0, until), [1.0, 0.0], t_eval=t, rtol=1e-11, atol=1e-12).y.T
    y = y + noise * np.random.default_rng(0).standard_normal(y.shape)
    run = Trajectory(name="0", t=t, y=y, u=np.zeros((n, 0)))
    data = Dataset(columns=("x", "v"), trajectories=(run,), time="t", source="oscillator")
    return fit(HybridODE("x' = v\nv' = NN(x, v)"), data, seed=0, options=FitOptions(restarts=1))


@pytest.fixture(scope="module")
def fine():
    return oscillator(400)


def board_of(found):
    return B.Board(found, Measurements.of_fit(found), found.unknowns.nodes)


def test_steps_span_samples_as_far_as_the_states_stay_near_and_are_halved_from_there(fine):
    board = board_of(fine)
    t, nodes, allowed = board.data.t, fine.unknowns.nodes, B.SPANNED * np.ptp(fine.unknowns.nodes, axis=0)
    for fineness, span in enumerate(B.SPANS):
        steps = board._steps(fineness)
        begins = np.flatnonzero(steps)
        assert steps.max() == 1 and begins[0] == 0
        assert np.diff(t[begins]).max() <= span * np.median(np.diff(t)) + 1e-12
        assert (np.abs(np.diff(nodes[begins], axis=0)) <= allowed).all()
    assert (steps > 0).mean() == pytest.approx(1 / B.SPANS[-1], abs=0.02)  # an oscillation moves slowly in 2 of 400
    assert (board._steps(len(B.SPANS)) == 1).all() and (board._steps(len(B.SPANS) + 2) == 4).all()


def test_a_gap_is_crossed_by_more_steps():
    found = oscillator(400)
    board = board_of(found)
    t = np.delete(board.data.t, slice(100, 140))
    kept = np.delete(found.unknowns.nodes, slice(100, 140), axis=0)
    data = Measurements(
        t=t, y=kept, mask=np.ones_like(kept), sigma=np.ones(2), segments=(np.array([0]), np.array([360])),
        free=np.ones(2, dtype=bool),
    )  # fmt: skip
    steps = B._spanning(data, kept, 8.0)
    assert steps[99] == np.ceil((t[100] - t[99]) / (8.0 * np.median(np.diff(t)))) == 6


def test_short_records_have_a_step_for_every_sample():
    board = board_of(oscillator(B.LEAST_SPANNED - 1))
    assert (board.refitter.steps >= 1).all()


def test_exact_data_are_followed_to_the_last_digits_though_steps_were_long_at_first(fine):
    found = select(fine, SearchOptions())
    assert {t: str(c) for t, c in found.best.choice.items()}["NN"].count("+") + 1 <= 2
    assert found.best.refit.form.values == pytest.approx([-1.0, -0.2], rel=1e-7)
    assert (found.refitter.steps == 0).any()  # and they are not finer than that asks for
    twice = found.refitter.simulate(found.best.refit, np.full(400, 2, dtype=np.int64))
    assert np.abs(twice - found.best.refit.outputs).max() < B.FLOOR_ERROR * 1e-6
