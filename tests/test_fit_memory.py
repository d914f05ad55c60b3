"""Errors that wander: their memory is that of the process they come from, and filtered by it they are white."""

import numpy as np
import pytest

from udesys.fit.memory import memory_of, whitened

N = 2000
T = np.linspace(0, 20, N)
WHOLE = (np.array([0]), np.array([N]))


def process(coefficients, seed=0):
    """An autoregressive series and the white noise that drives it."""
    noise, series = np.random.default_rng(seed).standard_normal(N), np.zeros(N)
    for k in range(N):
        past = sum(c * series[k - lag] for lag, c in enumerate(coefficients, 1) if k >= lag)
        series[k] = past + noise[k]
    return series, noise


@pytest.mark.parametrize("coefficients", [(0.9,), (1.6, -0.7)])
def test_the_memory_of_a_process_is_recovered(coefficients):
    series, _ = process(coefficients)
    memory = memory_of(series[:, None], np.ones((N, 1)), T, WHOLE)[0]
    # the standard error of a coefficient from 2000 rows is below 0.023
    assert memory[: len(coefficients)] == pytest.approx(coefficients, abs=0.07)


def test_filtered_by_its_memory_a_process_is_the_noise_that_drives_it():
    series, noise = process((1.6, -0.7))
    white = whitened(series[:, None], np.array([[1.6, -0.7]]), WHOLE)[:, 0]
    np.testing.assert_allclose(white[2:], noise[2:], atol=1e-12)
    assert (white[:2] == 0).all()


def test_every_segment_forgets_the_one_before():
    series, noise = process((0.9,))
    segments = (np.array([0, 1000]), np.array([1000, N]))
    white = whitened(np.stack([series, series], 1)[:, :, None], np.array([[0.9], [0.0]]), segments)[..., 0]
    assert white[1000, 0] == 0 and white[999, 0] == pytest.approx(noise[999])
    np.testing.assert_array_equal(white[:, 1], series)  # a column without memory stays as it is


def test_ragged_or_short_records_have_no_memory():
    series, _ = process((0.9,))
    gap = np.ones((N, 1))
    gap[7] = 0
    uneven = np.sort(np.random.default_rng(0).uniform(0, 20, N))
    short = (np.array([0]), np.array([100]))
    assert not memory_of(series[:, None], gap, T, WHOLE).any()
    assert not memory_of(series[:, None], np.ones((N, 1)), uneven, WHOLE).any()
    assert not memory_of(series[:, None], np.ones((N, 1)), T, short).any()
    assert whitened(series[:, None], None, WHOLE) is not None


def test_errors_that_only_drift_have_no_memory():
    """Dickey & Fuller (1979): n (1 - root) of a series with a unit root exceeds 21 in one of a hundred."""
    found = 0
    for seed in range(100):
        walk, _ = process((1.0,), seed)
        drift, _ = process((1.9, -0.9), seed)  # a wandering velocity, integrated
        for series in (walk - walk.mean(), drift - drift.mean()):
            found += memory_of(series[:, None], np.ones((N, 1)), T, WHOLE).any()
    assert found <= 10  # of 200


def test_errors_that_come_back_often_enough_keep_their_memory():
    found = 0
    for seed in range(50):
        series, _ = process((0.97,), seed)  # 60 of its lengths in the record
        found += memory_of(series[:, None], np.ones((N, 1)), T, WHOLE).any()
    assert found == 50
