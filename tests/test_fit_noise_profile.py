"""Noise that grows with what is measured: recovered in a seeded study, and not seen where it is not."""

import numpy as np
import pytest

from udesys.fit.noise_profile import noise_profile

RUNS = 40
T = np.linspace(0, 6, 80)
VALUE = 2.0 * np.exp(1.5 * np.sin(2 * T))  # from 0.4 to 9


def errors(absolute, relative, seed):
    return np.sqrt(absolute**2 + (relative * VALUE) ** 2) * np.random.default_rng(seed).standard_normal(len(T))


def test_both_parts_are_recovered():
    found = [noise_profile(errors(0.05, 0.08, seed), VALUE, np.ones(len(T))) for seed in range(RUNS)]
    assert sum(p is not None for p in found) == RUNS
    # the median of 40 estimates from 80 errors each
    assert np.median([p.relative for p in found]) == pytest.approx(0.08, rel=0.1)
    assert np.median([p.absolute for p in found]) == pytest.approx(0.05, rel=0.25)


def test_noise_of_one_size_is_left_alone():
    # the log likelihood gains six by chance in about one of a thousand (chi-squared of one degree at 12)
    assert sum(noise_profile(errors(0.3, 0.0, seed), VALUE, np.ones(len(T))) is not None for seed in range(RUNS)) == 0


def test_factors_have_a_geometric_mean_of_one_over_the_measured_rows():
    mask = np.ones(len(T))
    mask[::3] = 0
    profile = noise_profile(errors(0.01, 0.1, 1), VALUE, mask)
    assert np.log(profile.factors[mask > 0]).mean() == pytest.approx(0.0, abs=1e-12)
    ratio = profile.factors[np.argmax(VALUE)] / profile.factors[np.argmin(VALUE)]
    size = np.hypot(profile.absolute, profile.relative * VALUE)
    assert ratio == pytest.approx(size.max() / size.min(), rel=1e-9)


def test_few_rows_and_errors_of_a_solver_tell_nothing():
    assert noise_profile(errors(0, 0.1, 0)[:10], VALUE[:10], np.ones(10)) is None
    assert noise_profile(1e-6 * errors(0, 0.1, 0), VALUE, np.ones(len(T))) is None
    assert noise_profile(errors(0, 0.1, 0), VALUE, np.zeros(len(T))) is None
