"""Noise levels: what is added and what a user's words mean."""

import numpy as np
import pytest

from udesys.data import add_noise, parse_noise, parse_percent
from udesys.errors import DataError


def test_noise_has_the_asked_share_of_the_column_mean():
    values = np.column_stack([np.full(20_000, 4.0), np.full(20_000, -0.1)])
    noise = add_noise(values, 0.05, np.random.default_rng(0)) - values
    # The standard deviation of 20,000 samples is known to 0.5 %; four of those.
    np.testing.assert_allclose(noise.std(axis=0), [0.2, 0.005], rtol=0.02)
    np.testing.assert_allclose(noise.mean(axis=0) / noise.std(axis=0), 0, atol=4 / np.sqrt(20_000))


def test_noise_repeats_under_a_seed_and_scales_with_the_unit():
    values = np.random.default_rng(1).normal(3, 1, (50, 2))
    once = add_noise(values, "2.5%", np.random.default_rng(3))
    np.testing.assert_array_equal(once, add_noise(values, 0.025, 3))
    np.testing.assert_allclose(add_noise(1000 * values, 0.025, 3), 1000 * once, rtol=1e-13)


def test_noise_leaves_gaps_and_zero_level_alone():
    values = np.array([[1.0, np.nan], [2.0, np.nan]])
    np.testing.assert_array_equal(add_noise(values, 0, 0), values)
    assert np.isnan(add_noise(values, 0.1, 0)).tolist() == [[False, True], [False, True]]


def test_noise_refuses_a_negative_level_and_infinite_values():
    with pytest.raises(DataError, match=r"level must not be negative, but is -0\.1"):
        add_noise(np.ones((3, 1)), -0.1, 0)
    with pytest.raises(DataError, match="values must not be infinite"):
        add_noise(np.array([[np.inf]]), 0.1, 0)


@pytest.mark.parametrize("given", ["5%", "5 %", " 5% ", "0.05", 0.05])
def test_a_share_may_be_written_in_several_ways(given):
    assert parse_percent(given) == pytest.approx(0.05, rel=1e-15)


@pytest.mark.parametrize(("given", "sd"), [(0.2, 0.2), ("0.2", 0.2), ("5%", 0.1), (2, 2.0)])
def test_noise_is_absolute_or_a_share_of_the_mean_magnitude(given, sd):
    assert parse_noise(given, np.array([-1.0, 3.0, np.nan]), "x") == pytest.approx(sd, rel=1e-15)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("much", r"noise of 'x' is not a number: 'much'. Write a number, or text such as \"5%\""),
        ("%", r"noise of 'x' is not a number: '%'"),
        (None, r"noise of 'x' is not a number: None"),
        (True, r"noise of 'x' is not a number: True"),
        (float("nan"), r"noise of 'x' must be finite, but is nan"),
        ("inf", r"noise of 'x' must be finite, but is 'inf'"),
        (-1, r"noise of 'x' must be positive, but is -1. Leave it out"),
        ("0%", r"noise of 'x' must be positive, but is '0%'"),
    ],
)
def test_noise_that_means_nothing_is_refused(given, message):
    with pytest.raises(DataError, match=message):
        parse_noise(given, np.ones(3), "x")


@pytest.mark.parametrize("values", [[0.0, 0.0], [np.nan, np.nan]])
def test_a_share_of_a_column_without_magnitude_is_refused(values):
    with pytest.raises(DataError, match="noise of 'x' is '5%' of its mean magnitude, which is zero"):
        parse_noise("5%", np.array(values), "x")
