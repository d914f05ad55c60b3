"""Standard errors and intervals against SciPy's Jacobian, at bounds, and where nothing determines a constant."""

import numpy as np
import pytest
from laws import EXACT, TRUTH, lotka_volterra_rhs, solution
from scipy.optimize import least_squares
from scipy.stats import t as student

from udesys.assess.covariance import _inverse, uncertainty
from udesys.model import HybridODE, Parameter
from udesys.model.closed_form import ClosedForm, Formula
from udesys.model.grammar import parse_expression
from udesys.search.measurements import Measurements
from udesys.select import Refitter

TIMES = [np.linspace(0, 3, 31), np.linspace(0, 2, 15)]
STARTS = np.array([EXACT.y[0], [1.5, 0.6]])
SIGMA = np.array([0.03, 0.06])


def noisy(missing=0.2):
    rng = np.random.default_rng(6)
    states = np.concatenate([solution(lotka_volterra_rhs, x0, t) for x0, t in zip(STARTS, TIMES, strict=True)])
    mask = (rng.random(states.shape) > missing).astype(float)
    y = np.where(mask > 0, states + SIGMA * rng.standard_normal(states.shape), 0.0)
    segments = (np.array([0, 31]), np.array([31, 46]))
    return Measurements(
        t=np.concatenate(TIMES), y=y, mask=mask, sigma=SIGMA, segments=segments, free=np.array([True, True])
    )


def law(text="c0*prey*predator", extra=None, **bounds):
    model = HybridODE(
        "prey' = alpha*prey + NN1(prey, predator)\npredator' = NN2(prey, predator) - 1.8*predator",
        parameters={"alpha": Parameter(1.0, unit="1/h", **bounds)},
    )
    first = {"c0": -0.9} | (extra or {})
    formulas = {
        "NN1": Formula(parse_expression(text), first),
        "NN2": Formula(parse_expression("c0*prey*predator"), {"c0": 0.8}),
    }
    return ClosedForm(model, formulas, {"alpha": 1.3})


def known(form, data, bounds=None, worth=None):
    refitter = Refitter(data, data.y, bounds or {}, np.full(len(data.t), 4, dtype=np.int64))
    refit = refitter.refit(form, STARTS, iterations=60)
    return uncertainty(refitter, refit, data.mask.sum(0) if worth is None else worth), refit


def scipy_covariance(data, refit, sd):
    """Covariance of alpha, beta and gamma from SciPy's finite-difference Jacobian over all seven unknowns."""

    def residuals(z):
        states = [
            solution(lambda t, x: lotka_volterra_rhs(t, x, *z[:3], TRUTH["delta"]), x0, t)
            for x0, t in zip(z[3:].reshape(2, 2), TIMES, strict=True)
        ]
        return (data.mask * (np.concatenate(states) - data.y) / sd).ravel()

    found = least_squares(
        residuals, [*(refit.form.values * [1, -1, 1]), *refit.x0.ravel()], x_scale="jac", jac="3-point"
    )
    return np.linalg.inv(found.jac.T @ found.jac)[:3, :3]


def test_standard_errors_and_correlations_agree_with_scipy():
    data = noisy()
    found, refit = known(law(), data)
    covariance = scipy_covariance(data, refit, found.noise)
    errors = np.sqrt(np.diag(covariance))
    sign = np.array([1, -1, 1])  # NN1 = -beta*prey*predator
    # SciPy's Jacobian at its own optimum, by finite differences; ours is exact.
    assert [e.stderr for e in found.estimates.values()] == pytest.approx(errors, rel=0.05)
    correlation = covariance / np.outer(errors, errors) * np.outer(sign, sign)
    assert found.covariance.correlation == pytest.approx(correlation, abs=0.02)


def test_intervals_are_students_with_the_degrees_of_freedom_left():
    data = noisy()
    found, _ = known(law(), data)
    quantile = student.ppf(0.975, data.mask.sum() - 3 - 4)
    for estimate in found.estimates.values():
        half = quantile * estimate.stderr
        assert estimate.interval == pytest.approx((estimate.value - half, estimate.value + half))
        assert estimate.identifiable and estimate.at_bound is None and not estimate.fixed
    assert found.estimates["alpha"].unit == "1/h" and found.estimates["alpha"].start == 1.0
    assert found.estimates["NN1", "c0"].unit == "" and found.estimates["NN1", "c0"].start is None


def test_the_noise_is_that_of_the_residuals_with_the_unknowns_taken_off():
    data = noisy()
    found, refit = known(law(), data)
    counts = data.mask.sum(0)
    expected = np.sqrt(refit.squares / (counts * (1 - 7 / counts.sum())))
    assert found.noise == pytest.approx(expected)
    assert found.noise == pytest.approx(SIGMA, rel=0.3)  # 37 samples: 12 % each


def test_rows_that_are_worth_a_quarter_double_the_errors():
    data = noisy()
    plain, quarter = known(law(), data)[0], known(law(), data, worth=data.mask.sum(0) / 4)[0]
    for name, estimate in plain.estimates.items():
        assert quarter.estimates[name].stderr == pytest.approx(2 * estimate.stderr, rel=1e-6)


def test_a_parameter_at_its_bound_has_no_error_and_the_others_are_as_if_it_were_given():
    data = noisy()
    found, refit = known(law(), data, {"alpha": (0.0, 1.2)})
    alpha = found.estimates["alpha"]
    assert (alpha.value, alpha.at_bound) == (1.2, 1.2)
    assert np.isnan(alpha.stderr) and np.isnan(alpha.interval).all()
    model = HybridODE(refit.form.model.text, parameters={"alpha": 1.2})
    given, _ = known(ClosedForm(model, refit.form.formulas, {}), data)
    # One degree of freedom more is counted where alpha was estimated: the noise differs by a percent.
    for name in (("NN1", "c0"), ("NN2", "c0")):
        assert found.estimates[name].stderr == pytest.approx(given.estimates[name].stderr, rel=0.02)


def test_two_factors_of_one_product_are_not_identifiable_and_the_rest_is():
    found, _ = known(law("c0*c1*prey*predator", {"c1": 1.0}), noisy())
    for name in ("c0", "c1"):
        estimate = found.estimates["NN1", name]
        assert not estimate.identifiable and np.isnan(estimate.stderr) and np.isnan(estimate.interval).all()
    assert found.estimates["alpha"].identifiable and found.estimates["NN2", "c0"].identifiable
    plain, _ = known(law(), noisy())
    assert found.estimates["alpha"].stderr == pytest.approx(plain.estimates["alpha"].stderr, rel=0.02)


def test_a_state_without_measurements_has_no_noise():
    data = noisy(missing=0.0)
    data.mask[:, 1] = 0.0
    found, _ = known(law(), data)
    assert np.isnan(found.noise[1]) and found.noise[0] == pytest.approx(SIGMA[0], rel=0.3)


def test_other_units_change_the_numbers_and_not_their_relative_errors():
    data = noisy()
    scaled = Measurements(
        t=data.t, y=1000 * data.y, mask=data.mask, sigma=1000 * SIGMA, segments=data.segments, free=data.free
    )
    plain, _ = known(law(), data)
    refitter = Refitter(scaled, scaled.y, {}, np.full(len(data.t), 4, dtype=np.int64))
    form = law().with_values([1.3, -0.9e-3, 0.8e-3])
    found = uncertainty(refitter, refitter.refit(form, 1000 * STARTS, iterations=60), scaled.mask.sum(0))
    for name, estimate in plain.estimates.items():
        other = found.estimates[name]
        assert other.stderr / other.value == pytest.approx(estimate.stderr / estimate.value, rel=1e-3)
    assert found.noise == pytest.approx(1000 * plain.noise, rel=1e-3)


def test_a_normal_matrix_that_rounding_left_none_has_no_inverse():
    inverse, identifiable = _inverse(np.array([[-1e20, 1e30], [1e30, 1e40]]))  # and no warning
    assert np.isnan(inverse).all() and identifiable.all()


def test_given_noise_holds_in_its_ratios_and_its_size_is_pooled():
    data = noisy()
    plain, refit = known(law(), data)
    refitter = Refitter(data, data.y, {}, np.full(len(data.t), 4, dtype=np.int64))
    worth, counts = data.mask.sum(0), data.mask.sum(0)
    both = uncertainty(refitter, refit, worth, given_noise=("prey", "predator"))
    factor = (refit.squares / SIGMA**2).sum() / (counts.sum() - 7)
    assert both.noise == pytest.approx(np.sqrt(factor) * SIGMA)
    covariance = scipy_covariance(data, refit, both.noise)
    assert [e.stderr for e in both.estimates.values()] == pytest.approx(np.sqrt(np.diag(covariance)), rel=0.05)
    one = uncertainty(refitter, refit, worth, given_noise=("prey",))  # nothing to pool: as if it were estimated
    assert one.noise == pytest.approx(plain.noise)
    assert [e.stderr for e in one.estimates.values()] == [e.stderr for e in plain.estimates.values()]
