"""Simulating a law further in time and from other starts, and scoring it on what was held out."""

import numpy as np
import pytest
from laws import COLUMNS, EXACT, dataset, lotka_volterra_rhs, solution

from udesys.assess.forecast import heldout_error, is_rest, simulate_law
from udesys.data import Dataset, Trajectory
from udesys.errors import SolveError
from udesys.model import HybridODE
from udesys.model.closed_form import ClosedForm, Formula
from udesys.model.grammar import parse_expression

PRODUCT = parse_expression("c0*prey*predator")


@pytest.fixture
def law():
    model = HybridODE("prey' = 1.3*prey + NN1(prey, predator)\npredator' = NN2(prey, predator) - 1.8*predator")
    return ClosedForm(model, {"NN1": Formula(PRODUCT, {"c0": -0.9}), "NN2": Formula(PRODUCT, {"c0": 0.8})}, {})


@pytest.fixture
def blowing_up():
    model = HybridODE("x' = NN(x)")
    return ClosedForm(model, {"NN": Formula(parse_expression("c0*x**2"), {"c0": 1.0})}, {})


def decay(rate=1.0):
    return ClosedForm(HybridODE("x' = -k*x", parameters={"k": rate}), {}, {})


# --- simulating --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "t",
    [np.linspace(0, 40, 11), np.array([0.0, 1e-6, 7.0, 7.001, 30.0]), np.array([25.0]), np.linspace(5, 6, 3)],
    ids=["coarse", "uneven", "one time", "later"],
)
def test_a_simulation_agrees_with_scipy_however_the_times_lie(law, t):
    grid = t if t[0] == 0 else np.append(0.0, t)
    expected = solution(lotka_volterra_rhs, EXACT.y[0], grid)[-len(t) :]
    # Steps are doubled until states agree to 1e-8; errors grow along ten rounds.
    np.testing.assert_allclose(simulate_law(law, EXACT.y[:1], 0.0, t), expected, rtol=1e-6)


def test_the_first_time_alone_gives_the_start(law):
    assert simulate_law(law, EXACT.y[:1], 2.0, np.array([2.0])).tolist() == EXACT.y[:1].tolist()


@pytest.mark.parametrize("t", [[0.0, 2.0, 1.0], [0.0, 0.0], [-1.0, 1.0], [0.0, np.nan], [], [[0.0, 1.0]]])
def test_times_that_do_not_increase_from_the_start_are_refused(law, t):
    with pytest.raises(SolveError, match="t must be finite and increase from 0 on, the time of the initial values"):
        simulate_law(law, EXACT.y[:1], 0.0, np.array(t, dtype=float))


def test_a_law_that_blows_up_says_when(blowing_up):
    assert simulate_law(blowing_up, np.ones((1, 1)), 0.0, np.array([0.9]))[0, 0] == pytest.approx(10.0)  # 1 / (1 - t)
    with pytest.raises(SolveError, match=r"leaves the finite numbers before t = 1\.5\. Ask for a shorter time"):
        simulate_law(blowing_up, np.ones((1, 1)), 0.0, np.linspace(0, 1.5, 4))


# --- held-out data -----------------------------------------------------------------------------------


def test_the_rest_of_a_fitted_run_is_forecast_from_its_fitted_start():
    data = dataset(("x",), ([0.0, 1.0], [[2.2], [0.7]]), ([5.0, 6.0], [[4.0], [1.5]]))
    rest = Dataset(
        columns=("x",),
        trajectories=(Trajectory(name="2", t=[7.0, 8.0, 9.0], y=[[0.5], [np.nan], [0.1]]),),
        time="t",
        source="made",
    )
    x0 = np.array([[2.0], [3.0]])  # fitted, not the first measurement of 4
    errors = np.array([3 * np.exp(-2.0) - 0.5, 3 * np.exp(-4.0) - 0.1])
    assert heldout_error(decay(), rest, data, x0) == {"x": pytest.approx(np.sqrt((errors**2).mean()))}


def test_another_run_starts_at_its_first_row():
    data = dataset(("x",), ([0.0, 1.0], [[2.2], [0.7]]))
    other = Dataset(
        columns=("x",), trajectories=(Trajectory(name="new", t=[3.0, 4.0], y=[[1.0], [0.5]]),), time="t", source="made"
    )
    # The first row is met exactly and counted.
    expected = np.sqrt((0.0 + (np.exp(-1.0) - 0.5) ** 2) / 2)
    assert heldout_error(decay(), other, data, np.array([[2.0]])) == {"x": pytest.approx(expected)}


def test_what_the_first_row_lacks_is_fitted_to_the_run():
    form = ClosedForm(HybridODE("x' = v\nv' = 0"), {}, {})
    data = dataset(("x",), ([0.0, 1.0], [[0.0], [1.0]]), ([0.0, 1.0], [[0.0], [3.0]]))
    run = Trajectory(name="new", t=[0.0, 1.0, 2.0], y=[[10.0], [12.5], [14.0]])
    other = Dataset(columns=("x",), trajectories=(run,), time="t", source="made")
    x0 = np.array([[0.0, 1.0], [0.0, 3.0]])
    # From 10 on, the slope v with the least (10 + v - 12.5)^2 + (10 + 2v - 14)^2 is 2.1; it misses by 0.4 and 0.2.
    expected = np.sqrt((0.4**2 + 0.2**2) / 3)
    assert heldout_error(form, other, data, x0) == {"x": pytest.approx(expected, rel=1e-4)}
    assert x0.tolist() == [[0.0, 1.0], [0.0, 3.0]]


def test_several_runs_share_one_error_of_each_column(law):
    data = dataset(COLUMNS, (EXACT.t, EXACT.y))
    runs = [
        Trajectory(name=n, t=EXACT.t[:3], y=solution(lotka_volterra_rhs, x0, EXACT.t[:3]) + off)
        for n, x0, off in (("a", [1.0, 1.0], 0.0), ("b", [2.0, 1.0], [[0, 0], [0.3, 0], [0.3, 0]]))
    ]
    other = Dataset(columns=COLUMNS, trajectories=tuple(runs), time="t", source="made")
    found = heldout_error(law, other, data, EXACT.y[:1])
    assert found["prey"] == pytest.approx(np.sqrt(2 * 0.3**2 / 6)) and found["predator"] == pytest.approx(0.0, abs=1e-6)


def test_a_law_that_blows_up_on_held_out_data_has_an_infinite_error(blowing_up):
    data = dataset(("x",), ([0.0, 0.1], [[0.1], [0.1]]))
    other = Dataset(
        columns=("x",), trajectories=(Trajectory(name="new", t=[0.0, 2.0], y=[[1.0], [2.0]]),), time="t", source="made"
    )
    assert heldout_error(blowing_up, other, data, np.array([[0.1]])) == {"x": np.inf}


def test_a_column_that_is_held_out_empty_has_no_error():
    data = dataset(("x",), ([0.0, 1.0], [[2.0], [0.7]]))
    rest = Dataset(columns=("x",), trajectories=(Trajectory(name="1", t=[2.0], y=[[np.nan]]),), time="t", source="made")
    assert np.isnan(heldout_error(decay(), rest, data, np.array([[2.0]]))["x"])


def test_another_record_of_the_same_name_is_no_rest():
    data = dataset(("x",), ([0.0, 1.0], [[2.2], [0.7]]))
    fitted, x0 = data.trajectories[0], np.array([[2.0]])
    other = Trajectory(name="1", t=[0.0, 1.0], y=[[1.0], [0.5]])  # it starts where the fitted one starts
    between = Trajectory(name="1", t=[0.5], y=[[1.0]])
    assert not is_rest(decay().model, fitted, other) and is_rest(decay().model, fitted, between)
    heldout = Dataset(columns=("x",), trajectories=(other,), time="t", source="other")
    assert heldout_error(decay(), heldout, data, x0) == {"x": pytest.approx(abs(np.exp(-1.0) - 0.5) / np.sqrt(2))}


def test_a_held_out_run_is_scored_with_its_own_inputs_and_covariates():
    model = HybridODE("x' = k*F", inputs=["F"], covariates=["k"])
    form, kinds = ClosedForm(model, {}, {}), {"inputs": {"F": "linear"}, "covariates": ("k",)}

    def run(name, t, y, u, k):
        y, u = np.array(y, float)[:, None], np.array(u, float)[:, None]
        return Trajectory(name=name, t=t, y=y, u=u, covariates=[k])

    def made(*runs):
        return Dataset(columns=("x",), trajectories=runs, time="t", source="made", **kinds)

    data = made(run("A", [0.0, 1.0], [0, 0], [0, 2], 1.0))
    # From 0 with F = 2t and k = 1, then F = 2 to t = 3: x(1) = 1, x(2) = 3, x(3) = 5.
    rest = run("A", [2.0, 3.0], [3.0, 5.5], [2, 2], 1.0)
    # Its own first row, with F = 4 and k = 3: x(1) = 1 + 12.
    other = run("B", [0.0, 1.0], [1.0, 12.0], [4, 4], 3.0)
    expected = np.sqrt((0.5**2 + 1.0**2) / 4)
    assert heldout_error(form, made(rest, other), data, np.zeros((1, 1))) == {"x": pytest.approx(expected)}


def test_an_observable_that_a_forecast_cannot_compute_has_an_infinite_error():
    form = ClosedForm(HybridODE("x' = -1", observe={"y": "log(x)"}), {}, {})
    data = dataset(("y",), ([0.0, 0.5], [[0.0], [-0.7]]))
    rest = Dataset(columns=("y",), trajectories=(Trajectory(name="1", t=[2.0], y=[[-1.0]]),), time="t", source="made")
    assert heldout_error(form, rest, data, np.ones((1, 1))) == {"y": np.inf}
