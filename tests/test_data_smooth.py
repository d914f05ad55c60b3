"""smooth: values, slopes and noise of one column."""

import numpy as np
import pytest
from scipy.interpolate import make_smoothing_spline

from udesys.data import first_slope, smooth
from udesys.data.smooth import smoothing_spline
from udesys.errors import DataError


def wave(n, noise, seed=0):
    """A sine with its slope and noise: t, y, truth, slope."""
    t = np.linspace(0, 10, n)
    truth = 3 + np.sin(t)
    return t, truth + noise * np.random.default_rng(seed).standard_normal(n), truth, np.cos(t)


def test_smoothing_is_nearer_to_the_truth_than_the_data():
    t, y, truth, slope = wave(200, 0.1)
    smoothed = smooth(t, y)
    assert np.std(smoothed.values - truth) < 0.5 * np.std(y - truth)
    # Interpolating the noise would give slopes wrong by 0.1 * sqrt(1/2) / (10 / 199) = 1.4.
    assert np.std(smoothed.slope - slope) < 0.2
    # 200 residuals know their standard deviation to 5 %; the fixed degrees of freedom add as much.
    assert smoothed.noise == pytest.approx(0.1, rel=0.2)


@pytest.mark.parametrize("n", [10, 31, 150])
def test_the_spline_is_that_of_scipy(n):
    rng = np.random.default_rng(n)
    x = np.cumsum(rng.uniform(0.2, 2.0, n))
    y = np.sin(6.0 * x / x[-1]) + 0.1 * rng.standard_normal(n)
    ours, theirs, at = smoothing_spline(x, y), make_smoothing_spline(x, y), np.linspace(x[0], x[-1], 500)
    np.testing.assert_allclose(ours(at), theirs(at), atol=1e-6)
    np.testing.assert_allclose(ours(at, 1), theirs(at, 1), atol=1e-6)


def test_the_first_slope_of_exact_data_is_nearer_than_the_splines():
    """Over all phases of a sine the natural spline's end is off by a share of the step, this by its square."""
    t, errors = np.linspace(0, 2, 40), []
    for phase in np.linspace(0, 2 * np.pi, 50):
        y, slope = np.sin(t + phase), np.cos(phase)
        errors.append((first_slope(t, y) - slope, smooth(t, y).slope[0] - slope))
    corrected, plain = np.sqrt(np.mean(np.square(errors), 0))
    assert corrected < (t[1] - t[0]) ** 2 < plain


def test_the_first_slope_of_a_short_column_is_that_of_its_first_line():
    assert first_slope(np.array([0.0, 0.5, 2.0]), np.array([1.0, 2.0, 9.0])) == pytest.approx(2.0)


def test_noise_free_data_pass_through():
    t, y, _, slope = wave(200, 0.0)
    smoothed = smooth(t, y)
    np.testing.assert_allclose(smoothed.values, y, atol=1e-4)
    # The natural end conditions bend the ends, where the sine's second derivative is not zero.
    np.testing.assert_allclose(smoothed.slope[10:-10], slope[10:-10], atol=1e-3)
    assert smoothed.noise < 1e-4


@pytest.mark.parametrize("n", [8, 60])
@pytest.mark.parametrize(("time_unit", "value_unit"), [(1e-9, 1e12), (3600.0, 1e-15)])
def test_units_do_not_matter(n, time_unit, value_unit):
    t, y, _, _ = wave(n, 0.1)
    one, other = smooth(t, y), smooth(t * time_unit, y * value_unit)
    # The minimiser of the cross-validation score stops at a relative 1e-5.
    np.testing.assert_allclose(other.values, one.values * value_unit, rtol=1e-4)
    np.testing.assert_allclose(other.slope * time_unit / value_unit, one.slope, rtol=1e-3, atol=1e-3)
    assert other.noise == pytest.approx(one.noise * value_unit, rel=1e-3)


def test_gaps_are_bridged_and_the_ends_are_held():
    t, y, truth, _ = wave(100, 0.02)
    y[[0, 1, 40, 41, 42, 98, 99]] = np.nan
    smoothed = smooth(t, y)
    assert np.isfinite(smoothed.values).all()
    assert np.isfinite(smoothed.slope).all()
    np.testing.assert_allclose(smoothed.values[40:43], truth[40:43], atol=0.05)
    np.testing.assert_array_equal(smoothed.values[:2], smoothed.values[2])
    np.testing.assert_array_equal(smoothed.slope[[0, 1, 98, 99]], 0)


@pytest.mark.parametrize("n", [2000, 30_000])
def test_long_columns_are_interpolated_with_noise_from_third_differences(n):
    t, y, _, _ = wave(n, 0.02)
    smoothed = smooth(t, y)
    np.testing.assert_array_equal(smoothed.values, y)
    # The correlated differences of 2,000 samples know the standard deviation to 4 %.
    assert smoothed.noise == pytest.approx(0.02, rel=0.1)


def test_interpolated_columns_claim_little_noise():
    y = np.array([0.0, 1.0, 0.0, 1.0, 0.0])
    assert smooth(np.arange(5.0), y).noise == pytest.approx(0.05 * y.std())
    assert smooth(np.arange(3.0), y[:3]).noise == pytest.approx(0.05 * y[:3].std())


def test_short_columns_are_joined_by_lines():
    smoothed = smooth(np.array([0.0, 1.0, 3.0]), np.array([0.0, np.nan, 6.0]))
    np.testing.assert_allclose(smoothed.values, [0, 2, 6])
    np.testing.assert_allclose(smoothed.slope, 2)


@pytest.mark.parametrize(
    "y",
    [
        [2.0],
        [np.nan, 2.0],
        [1e300, -1e300] * 10,
        [1e-300, 2e-300] * 10,
        [1e15 + 1, 1e15] * 10,
        [0.0] * 20,
        [5.0] * 20,
        [5.0] * 19 + [np.nan],
        [0.0] * 19 + [1.0],
        list(range(20)),
    ],
)
def test_finite_input_always_gives_finite_output(y):
    smoothed = smooth(np.arange(len(y), dtype=float), np.array(y))
    assert np.isfinite(smoothed.values).all()
    assert np.isfinite(smoothed.slope).all()
    assert np.isfinite(smoothed.noise)


def test_times_of_very_uneven_spacing_give_finite_output():
    t = np.cumsum(10.0 ** np.random.default_rng(0).uniform(-9, 3, 60))
    smoothed = smooth(t, np.random.default_rng(1).standard_normal(60))
    assert np.isfinite(smoothed.values).all()
    assert np.isfinite(smoothed.slope).all()


def test_times_on_a_logarithmic_grid_are_interpolated():
    """As of a stiff reaction: one stiffness of a curve cannot serve seconds and days."""
    t = np.geomspace(1e-3, 1e5, 40)
    y = 1 / (1 + np.sqrt(t))
    np.testing.assert_allclose(smooth(t, y).values, y, rtol=1e-12)


def test_a_constant_column_stays_constant_without_noise():
    smoothed = smooth(np.arange(20.0), np.full(20, 7.0))
    np.testing.assert_array_equal(smoothed.values, 7)
    np.testing.assert_array_equal(smoothed.slope, 0)
    assert smoothed.noise == 0


def test_a_column_without_values_stays_missing():
    smoothed = smooth(np.arange(5.0), np.full(5, np.nan))
    assert np.isnan(smoothed.values).all()
    assert np.isnan(smoothed.noise)


def test_shapes_and_infinite_values_are_refused():
    with pytest.raises(DataError, match=r"t and y must be \(n,\), but are \(3,\) and \(2,\)"):
        smooth(np.arange(3.0), np.zeros(2))
    with pytest.raises(DataError, match="y must not be infinite"):
        smooth(np.arange(2.0), np.array([0, np.inf]))
