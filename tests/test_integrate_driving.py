"""Measured inputs and covariates of a run as piecewise cubics: between, after and beyond its samples."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.interpolate import CubicSpline

from udesys.data import Dataset, Trajectory
from udesys.errors import DataError
from udesys.integrate.driving import driving_of, evaluate, moved, sample_values

T = np.array([0.0, 0.5, 0.7, 1.6, 2.0, 2.1])
U = np.array([1.0, -1.0, 0.5, 2.0, 0.0, 3.0])
KINDS = ("linear", "hold", "cubic")
EXACT = {
    "linear": lambda t: np.interp(t, T, U),
    "hold": lambda t: U[np.searchsorted(T, t, side="right") - 1],
    "cubic": CubicSpline(T, U),
}


def driven(kind, t=T, u=U, name="A", covariates=None):
    run = Trajectory(name=name, t=t, y=np.zeros((len(t), 1)), u=np.asarray(u)[:, None], covariates=covariates)
    names = () if covariates is None else ("k",)
    return Dataset(columns=("x",), trajectories=(run,), time="t", source="made", inputs={"F": kind}, covariates=names)


def driving(kind, names=("F",), rest=None, **options):
    data = driven(kind, **options)
    return driving_of(data, data.trajectories[0], names, None if rest is None else (rest, rest.trajectories[0]))


@pytest.mark.parametrize("kind", KINDS)
def test_values_are_the_interpolation_and_then_the_last_measured(kind):
    t = np.linspace(0, 2.1, 40)[:-1]
    np.testing.assert_allclose(driving(kind).values(t)[:, 0], EXACT[kind](t), atol=1e-14)
    np.testing.assert_array_equal(driving(kind).values([2.1, 2.5, 9.0])[:, 0], [3.0] * 3)


@pytest.mark.parametrize("kind", KINDS)
def test_pieces_along_a_finer_axis_are_the_same_course(kind):
    one = driving(kind)
    grid = one.grid(np.array([0.1, 0.45, 1.0, 1.3, 3.0]))
    assert grid.tolist() == [0.1, 0.45, 0.5, 0.7, 1.0, 1.3, 1.6, 2.0, 2.1, 3.0]
    pieces, share = one.along(grid), np.array([0.2, 0.5, 0.9])
    for k, (a, b) in enumerate(pairwise(grid[:-1])):
        np.testing.assert_allclose(
            evaluate(pieces[k], share * (b - a))[:, 0], EXACT[kind](a + share * (b - a)), atol=1e-14
        )
    assert evaluate(pieces[-2], np.array([0.5]))[0, 0] == 3.0


def test_a_cubic_moved_is_the_same_cubic():
    pieces, s, ahead = np.random.default_rng(0).standard_normal((5, 2, 4)), np.linspace(-1, 1, 5), 0.3
    np.testing.assert_allclose(evaluate(moved(pieces, s), np.full(5, ahead)), evaluate(pieces, s + ahead), rtol=1e-12)


def test_covariates_are_constant_and_names_give_the_order():
    found = driving("linear", ("k", "F"), covariates=[7.0])
    assert found.varying == ("F",)
    assert found.values([0.5, 5.0]).tolist() == [[7.0, -1.0], [7.0, 3.0]]
    data = driven("linear", covariates=[7.0])
    assert sample_values(data, data.trajectories[0], ("k", "F"))[:2].tolist() == [[7.0, 1.0], [7.0, -1.0]]


@pytest.mark.parametrize("kind", KINDS)
def test_a_rest_goes_on_where_the_run_ends(kind):
    rest = driven(kind, T[4:], U[4:])
    joined = driving(kind, t=T[:4], u=U[:4], rest=rest)
    first, between, after = np.array([0.1, 0.6, 1.5]), np.array([1.7, 1.9]), np.array([2.05])
    np.testing.assert_array_equal(joined.values(first), driving(kind, t=T[:4], u=U[:4]).values(first))
    np.testing.assert_allclose(joined.values(between)[:, 0], EXACT[kind](between), atol=1e-14)
    np.testing.assert_allclose(joined.values(after)[:, 0], EXACT[kind](after), atol=1e-14)
    assert joined.values([9.0]).tolist() == [[3.0]]


def test_samples_of_a_rest_that_are_not_later_are_left_out():
    rest = driven("linear", T[2:], 10 + U[2:])
    joined = driving("linear", t=T[:4], u=U[:4], rest=rest)
    assert joined.t.tolist() == T.tolist()
    assert joined.values([0.7, 1.6, 2.0]).ravel().tolist() == [0.5, 2.0, 10.0]


def test_without_names_nothing_drives():
    assert driving("linear", ()) is None


def test_data_without_the_input_are_refused():
    with pytest.raises(DataError, match="has no input or covariate 'G'"):
        driving("linear", ("G",))
    other = Dataset(columns=("x",), trajectories=(Trajectory(name="A", t=[3.0], y=[[0.0]]),), time="t", source="other")
    with pytest.raises(DataError, match="other has no input or covariate 'F'"):
        driving("linear", rest=other)
