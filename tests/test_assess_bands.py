"""Bands of a law against the exact spread of a linear system, and where draws blow up."""

import numpy as np
import pytest
from laws import discovered

from udesys.assess.bands import sampled_bands
from udesys.assess.forecast import Course
from udesys.model import HybridODE, Parameter
from udesys.model.closed_form import ClosedForm


def growth(rate=-0.5, text="x' = a*x", stiff=False, **bounds):
    return ClosedForm(HybridODE(text, parameters={"a": Parameter(rate, **bounds)}), {}, {"a": rate}, stiff=stiff)


@pytest.mark.parametrize("stiff", [False, True])
def test_a_band_of_exponential_decay_is_that_of_its_rate_and_start(stiff):
    # x = x0 exp(a t): ln x is normal with variance var(ln x0) + t^2 var(a) where x0 is known well
    t, sd_rate, sd_start = np.linspace(0, 4, 9), 0.05, 0.01
    covariance = np.diag([sd_rate**2, sd_start**2])
    low, high = sampled_bands(growth(stiff=stiff), np.array([[1.0]]), Course(0.0, t), covariance)
    width = np.log(high / low)[:, 0]
    exact = 2 * 1.959964 * np.sqrt(sd_start**2 + (t * sd_rate) ** 2)
    # 400 draws know a 2.5 % quantile to about 8 %
    assert width == pytest.approx(exact, rel=0.15)


def test_a_band_is_open_where_draws_blow_up_and_unknown_without_a_covariance():
    t = np.linspace(0, 0.9, 10)  # x' = a x^2 with x0 = 1 leaves the numbers at 1/a
    form = growth(1.0, "x' = a*x^2")
    low, high = sampled_bands(form, np.array([[1.0]]), Course(0.0, t), np.diag([0.2**2, 0.0]))
    assert np.isinf(high[-1, 0]) and np.isinf(low[-1, 0])
    assert np.isfinite(high[1, 0]) and high[1, 0] > low[1, 0]
    for unknown in (None, np.full((2, 2), np.nan)):
        low, high = sampled_bands(form, np.array([[1.0]]), Course(0.0, t), unknown)
        assert np.isnan(low).all() and np.isnan(high).all()


def test_draws_stay_inside_the_bounds_of_their_parameter():
    form = growth(-0.01, bounds=(None, 0.0))
    _, high = sampled_bands(form, np.array([[1.0]]), Course(0.0, np.linspace(0, 5, 6)), np.diag([1.0, 0.0]))
    assert high.max() <= 1.0


def test_a_discovery_has_bands_about_its_forecast_and_correlations_of_its_constants():
    law = discovered()
    t = np.linspace(0, 6, 25)
    bands, middle = law.bands(t), law.forecast(t)
    assert list(bands) == ["t", "prey low", "prey high", "predator low", "predator high"]
    for name in ("prey", "predator"):
        assert (bands[f"{name} low"] <= middle[name]).all() and (middle[name] <= bands[f"{name} high"]).all()
        width = (bands[f"{name} high"] - bands[f"{name} low"]).to_numpy()
        assert width[-5:].mean() > width[:5].mean()
    names, correlation = law.correlation
    assert names == ("NN1.c0", "NN2.c0")
    assert np.diag(correlation) == pytest.approx(1.0)
    assert abs(correlation[0, 1]) < 1
    assert law.bands(t).equals(bands)
