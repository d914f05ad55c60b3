"""Signals: inputs between the samples, gaps in them, covariates; the truth is NumPy's, pandas' and SciPy's."""

import numpy as np
import pandas as pd
import pytest
from scipy.interpolate import CubicSpline, interp1d

from udesys.data import Dataset, Trajectory, read_table, signal_coefficients
from udesys.errors import DataError

TRUTH = {
    "linear": lambda t, values: lambda at: np.interp(at, t, values),
    "hold": lambda t, values: interp1d(t, values, kind="previous"),
    "cubic": lambda t, values: CubicSpline(t, values, bc_type="not-a-knot"),
}


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def one_run(t, u, inputs, covariates=None):
    run = Trajectory(name="a", t=t, y=np.zeros((len(t), 1)), u=u, covariates=list((covariates or {}).values()))
    names = {"inputs": inputs, "covariates": tuple(covariates or ())}
    return Dataset(columns=("x",), trajectories=(run,), time="t", source="runs.csv", **names)


def value(t, coefficients, at):
    """c0 + c1 s + c2 s^2 + c3 s^3 of the interval that each time lies in."""
    i = np.clip(np.searchsorted(t, at, side="right") - 1, 0, len(t) - 2)
    powers = (at - t[i])[:, None] ** np.arange(4)
    return (coefficients[i] * powers).sum(1)


@pytest.mark.parametrize("n", [2, 3, 4, 30])
@pytest.mark.parametrize("interpolation", TRUTH)
def test_the_polynomials_are_the_interpolation_between_the_samples(interpolation, n, rng):
    t = np.cumsum(rng.uniform(0.1, 2.0, n)) - 5
    values = rng.normal(size=n)
    made = signal_coefficients(one_run(t, values[:, None], {"force": interpolation}), ["force"])
    assert made.shape == (n - 1, 1, 4)
    at = rng.uniform(t[0], t[-1], 200)
    # the same polynomials, evaluated in another order of operations
    np.testing.assert_allclose(value(t, made[:, 0], at), TRUTH[interpolation](t, values)(at), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("n", "degree"), [(2, 1), (3, 2), (4, 3), (12, 3)])
def test_cubic_reproduces_the_polynomial_that_the_points_allow(n, degree, rng):
    t = np.sort(rng.uniform(0, 3, n))
    truth = np.polynomial.Polynomial(rng.normal(size=degree + 1))
    made = signal_coefficients(one_run(t, truth(t)[:, None], {"force": "cubic"}), ["force"])[:, 0]
    at = np.linspace(t[0], t[-1], 50)
    # exact up to the rounding of a small linear system over uneven spacings
    np.testing.assert_allclose(value(t, made, at), truth(at), rtol=0, atol=1e-10)


def test_signals_come_in_the_order_asked_for_trajectory_after_trajectory():
    a = Trajectory(name="a", t=[0, 2], y=[[0], [0]], u=[[1, 5], [2, 9]], covariates=[20, 7])
    single = Trajectory(name="b", t=[0], y=[[0]], u=[[3, 3]], covariates=[21, 8])
    c = Trajectory(name="c", t=[0, 1, 2], y=[[0]] * 3, u=[[6, 4], [7, 4], [9, 1]], covariates=[22, 9])
    names = {"inputs": {"force": "linear", "valve": "hold"}, "covariates": ("temperature", "dose")}
    data = Dataset(columns=("x",), trajectories=(a, single, c), time="t", source="runs.csv", **names)
    made = signal_coefficients(data, ["dose", "valve", "temperature", "force"])
    expected = [
        [[7, 0, 0, 0], [5, 0, 0, 0], [20, 0, 0, 0], [1, 0.5, 0, 0]],
        [[9, 0, 0, 0], [4, 0, 0, 0], [22, 0, 0, 0], [6, 1, 0, 0]],
        [[9, 0, 0, 0], [4, 0, 0, 0], [22, 0, 0, 0], [7, 2, 0, 0]],
    ]
    np.testing.assert_array_equal(made, expected)
    assert signal_coefficients(data, []).shape == (3, 0, 4)


@pytest.mark.parametrize("interpolation", TRUTH)
def test_another_unit_of_time_rescales_each_power(interpolation, rng):
    t, values = np.sort(rng.uniform(0, 9, 8)), rng.normal(size=(8, 1))
    hours = signal_coefficients(one_run(t, values, {"force": interpolation}), ["force"])
    minutes = signal_coefficients(one_run(60 * t, values, {"force": interpolation}), ["force"])
    # two solutions of one well-conditioned system of eight equations
    np.testing.assert_allclose(minutes * 60.0 ** np.arange(4), hours, rtol=1e-9, atol=1e-9)


def test_a_name_that_the_data_lack_is_refused():
    data = one_run([0, 1], [[0], [1]], {"force": "linear"}, {"temperature": 20})
    message = (
        r"runs.csv has no input or covariate 'Force'. Did you mean 'force'\? Its inputs and covariates are force, "
        r"temperature. Name its column under `inputs` or `covariates`"
    )
    with pytest.raises(DataError, match=message):
        signal_coefficients(data, ["temperature", "Force"])
    with pytest.raises(DataError, match="no input or covariate 'x'"):
        signal_coefficients(data, ["x"])


# --- gaps --------------------------------------------------------------------------------------------


def read_with_gaps(tmp_path, t, values, interpolation):
    """The input as read from a file in which NaN is an empty cell."""
    path = tmp_path / "runs.csv"
    pd.DataFrame({"t": t, "x": 0.0, "F": values}).to_csv(path, index=False)
    inputs = {"force": {"column": "F", "interpolation": interpolation}}
    return read_table(path, time="t", inputs=inputs)


def with_gaps(rng, n=40):
    """Times, values that are missing in half of the rows but not at the ends, and where they are known."""
    t, values = np.sort(rng.uniform(0, 9, n)), rng.normal(size=n)
    known = rng.uniform(size=n) < 0.5
    known[[0, -1]] = True
    return t, np.where(known, values, np.nan), known


@pytest.mark.parametrize("interpolation", TRUTH)
def test_a_gap_is_filled_as_if_the_row_were_not_there(interpolation, rng, tmp_path):
    t, values, known = with_gaps(rng)
    data = read_with_gaps(tmp_path, t, values, interpolation)
    truth = TRUTH[interpolation](t[known], values[known])
    (run,) = data.trajectories
    # the same spline of about twenty points, summed in another order
    np.testing.assert_allclose(run.u[:, 0], truth(t), rtol=0, atol=1e-10)
    np.testing.assert_array_equal(run.u[known, 0], values[known])
    made, at = signal_coefficients(data, ["force"])[:, 0], rng.uniform(t[0], t[-1], 300)
    np.testing.assert_allclose(value(t, made, at), truth(at), rtol=0, atol=1e-9)


@pytest.mark.parametrize("interpolation", TRUTH)
@pytest.mark.parametrize("known", [[4.0], [4.0, 6.0], [4.0, np.nan, 6.0, 5.0, 9.0]])
def test_before_the_first_and_after_the_last_value_that_value_is_kept(interpolation, known, tmp_path):
    values = np.array([np.nan, np.nan, *known, np.nan])
    run = read_with_gaps(tmp_path, np.arange(len(values)), values, interpolation).trajectories[0]
    np.testing.assert_array_equal(run.u[[0, 1, -1], 0], [known[0], known[0], known[-1]])


def test_held_gaps_are_those_that_pandas_fills_forward(rng, tmp_path):
    t, values, _ = with_gaps(rng)
    values[:3] = np.nan
    run = read_with_gaps(tmp_path, t, values, "hold").trajectories[0]
    np.testing.assert_array_equal(run.u[:, 0], pd.Series(values).ffill().bfill())


def test_gaps_are_filled_within_their_own_run():
    frame = pd.DataFrame({"run": list("ABAB"), "t": [0, 0, 1, 1], "x": 0.0, "F": [1.0, 7.0, np.nan, np.nan]})
    data = Dataset.from_frame(frame, time="t", trajectory="run", inputs={"force": "F"})
    assert [run.u[:, 0].tolist() for run in data.trajectories] == [[1, 1], [7, 7]]
