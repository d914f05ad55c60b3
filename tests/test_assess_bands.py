"""Bands of a law against the exact spread of a linear system, and where draws blow up."""

from dataclasses import replace

import numpy as np
import pytest
from laws import dataset, discovered, fit
from scipy import special, stats

import udesys
from udesys.assess.bands import sampled_bands
from udesys.assess.draws import Likelihood, drawn_laws
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


# --- draws weighed by the measurements ----------------------------------------------------------------


def test_draws_by_the_covariance_alone_are_normal_and_cut_off_at_a_bound():
    form = growth(-0.3, bounds=(None, 0.0))
    values, starts = drawn_laws(form, np.array([[1.0]]), np.diag([0.5**2, 0.1**2]), 2000)
    expected = stats.truncnorm(-np.inf, 0.3 / 0.5, -0.3, 0.5)
    assert stats.kstest(values[:, 0], expected.cdf).pvalue > 0.01
    assert stats.kstest(starts[:, 0], stats.norm(1.0, 0.1).cdf).pvalue > 0.01


def test_starts_of_states_that_are_never_negative_are_not_drawn_below_zero():
    form = ClosedForm(HybridODE("x' = a*x", parameters={"a": Parameter(1.0)}, positive=["x"]), {}, {"a": 1.0})
    _, starts = drawn_laws(form, np.array([[0.1]]), np.diag([0.0, 0.2**2]), 400)
    assert starts.min() >= 0.0 and len(np.unique(starts)) > 300


def test_what_is_held_is_not_drawn():
    values, starts = drawn_laws(growth(), np.array([[1.0]]), np.diag([0.0, 0.1**2]), 50)
    assert (values == -0.5).all() and len(np.unique(starts)) == 50


def test_the_band_of_a_straight_line_through_few_rows_is_that_of_regression():
    rng, t = np.random.default_rng(3), np.arange(6.0)
    y = 2.0 + 0.5 * t + 0.3 * rng.standard_normal(6)
    law = udesys.recover(fit("x' = a", dataset(("x",), (t, y[:, None]))))
    ahead = np.array([2.5, 5.0, 12.0])
    bands = law.bands(ahead)
    line = stats.linregress(t, y)
    s = np.sqrt(((y - line.intercept - line.slope * t) ** 2).sum() / 4)
    sd = s * np.sqrt(1 / 6 + (ahead - t.mean()) ** 2 / ((t - t.mean()) ** 2).sum())
    width = (bands["x high"] - bands["x low"]).to_numpy()
    # 400 draws of Student's t know the quantile to some 10 %; that of the normal distribution would be 30 % less
    assert width == pytest.approx(2 * stats.t.ppf(0.975, 4) * sd, rel=0.15)


def saturating(noise, n=12, seed=1):
    """Michaelis-Menten decay x' = -V*x/(K + x) from 3, measured with noise, and the law refitted to it."""
    t = np.linspace(0, 3, n)
    y = decayed(t, 1.5, 0.8) + noise * np.random.default_rng(seed).standard_normal(n)
    parameters = {"V": Parameter(1.0, bounds=(0, 100)), "K": Parameter(1.0, bounds=(0, 100))}
    model = HybridODE("x' = -V*x/(K + x)", parameters=parameters, initial={"x": 3.0})
    return t, y, udesys.recover(fit(model, dataset(("x",), (t, y[:, None]))))


def decayed(t, v, k):
    """The exact solution from 3 (Schnell & Mendoza, J. Theor. Biol. 187 (1997) 207)."""
    return k * special.lambertw(3 / k * np.exp((3 - v * t) / k)).real


def test_a_wide_band_is_that_of_the_laws_that_fit_the_measurements():
    t, y, law = saturating(0.08)
    ahead = np.array([2.0, 4.0, 6.0])
    v, k = np.meshgrid(np.linspace(0.6, 5, 300), np.linspace(0.02, 7, 300), indexing="ij")
    x = decayed(t[:, None, None], v, k)  # (rows, V, K)
    squares = ((x - y[:, None, None]) ** 2).sum(0)
    by_v, by_k = np.gradient(x, v[:, 0], axis=1), np.gradient(x, k[0], axis=2)
    gram = (by_v**2).sum(0) * (by_k**2).sum(0) - (by_v * by_k).sum(0) ** 2
    weight = np.sqrt(np.maximum(gram, 0.0)) * squares ** (-len(t) / 2)  # Jeffreys' prior, the noise integrated out
    edges = []
    for future in decayed(ahead[:, None, None], v, k).reshape(3, -1):
        order = np.argsort(future)
        share = np.cumsum(weight.ravel()[order]) / weight.sum()
        edges.append(future[order][np.searchsorted(share, [0.025, 0.975])])
    bands = law.bands(ahead)
    found, exact = bands[["x low", "x high"]].to_numpy(), np.array(edges)
    width = np.diff(exact, axis=1)
    assert (np.abs(found - exact) < 0.15 * width).all(), (found, exact)
    alone = replace(law, footing=None).bands(ahead)[["x low", "x high"]].to_numpy()
    assert (np.abs(alone - exact) > 0.15 * width).any()  # the covariance alone does not tell


def test_where_the_covariance_is_narrow_draws_are_taken_by_it(monkeypatch):
    asked = []
    weights = Likelihood.weights
    monkeypatch.setattr(Likelihood, "weights", lambda *a, probe=False: asked.append(probe) or weights(*a, probe=probe))
    saturating(0.001)[2].bands([1.0, 4.0])
    assert asked == [True]  # a probe, and no more
    saturating(0.08)[2].bands([1.0, 4.0])
    assert asked[1:3] == [True, False]


def test_starts_of_other_runs_follow_the_values_that_are_drawn():
    # two runs of x' = -a*x with starts of their own: what is known of a is that of both
    t = np.linspace(0, 2, 9)
    rng = np.random.default_rng(0)
    runs = [(t, (x0 * np.exp(-0.7 * t) + 0.01 * rng.standard_normal(9))[:, None]) for x0 in (1.0, 3.0)]
    law = udesys.recover(fit("x' = -a*x", dataset(("x",), *runs)))
    likelihood = law._likelihood(1)
    covariance, x0 = law.covariance.joint(1), law._start(1)[1]
    values, starts = drawn_laws(law.closed_form, x0, covariance, 400, likelihood)
    points = np.concatenate([values, starts], axis=1)
    away = points - np.concatenate([law.closed_form.values, x0[0]])
    quadratic = np.einsum("ni,ij,nj->n", away, np.linalg.inv(covariance), away)
    logs = likelihood.weights(points, np.zeros(400), np.eye(2), probe=True)
    degrees = law.footing.degrees
    assert logs == pytest.approx(-0.5 * (degrees + 2) * np.log1p(quadratic / degrees), abs=0.05, rel=0.05)
