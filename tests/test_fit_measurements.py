"""What a fit makes of observables, inputs, covariates, outliers, priors, bounds, positive states and given starts."""

import itertools

import numpy as np
import pytest
from laws import (
    COLUMNS,
    EXACT,
    KNOWN,
    TRUTH,
    dataset,
    fit,
    half_known,
    lotka_volterra,
    lotka_volterra_rhs,
    measured,
    solution,
    true_noise,
    wholly_known,
)
from scipy.optimize import least_squares

from udesys.fit import FitOptions
from udesys.model import HybridODE, Network, Parameter

SMALL = {"NN": Network((5,), "tanh")}  # one restart where three would tell nothing more


def value(result, name):
    return result.parameters[name][0]


def away(result, **truth):
    """The largest distance of parameters from the truth, in standard errors."""
    return max(abs(value(result, n) - v) / result.parameters[n][1] for n, v in truth.items())


# --- priors ------------------------------------------------------------------------------------------


def line(sd=0.3, n=9):
    """Noisy points on a line of slope 2, and the covariance and estimate of (start, slope) without a prior."""
    t = np.linspace(1, 3, n)
    y = 0.5 + 2.0 * (t - 1) + sd * np.random.default_rng(2).normal(size=n)
    design = np.column_stack([np.ones(n), t - 1])
    information = design.T @ design / sd**2
    return dataset(("x",), (t, y[:, None])), information, design.T @ y / sd**2


@pytest.mark.parametrize("mean_sd", [(2.5, 0.05), (2.5, 1.0), (-1.0, 0.1), None])
def test_a_prior_pulls_as_bayes_says(mean_sd):
    data, information, pull = line()
    if mean_sd is not None:
        information[1, 1] += 1 / mean_sd[1] ** 2
        pull[1] += mean_sd[0] / mean_sd[1] ** 2
    model = HybridODE("x' = k", parameters={"k": Parameter(1.0, prior=mean_sd)})
    result = fit(model, data, noise={"x": 0.3})
    expected = np.linalg.solve(information, pull)
    # Everything is linear and Gaussian, so the answer is exact but for the prior that keeps null directions (1e-8).
    assert value(result, "k") == pytest.approx(expected[1], rel=1e-5)
    assert result.states[0][0, 0] == pytest.approx(expected[0], rel=1e-4)
    # The normal matrix is that of the last step, whose damping of a thousandth is in it.
    assert result.parameters["k"][1] == pytest.approx(np.sqrt(np.linalg.inv(information)[1, 1]), rel=0.002)


def test_a_prior_tells_what_the_data_cannot():
    # Only a + b is in the law; b is known from elsewhere.
    model = HybridODE(
        KNOWN.replace("alpha", "(a + b)"), parameters={"a": Parameter(1.0), "b": Parameter(prior=(0.4, 0.02))}
    )
    result = fit(model, lotka_volterra(0.005))
    assert value(result, "b") == pytest.approx(0.4, abs=0.01)
    assert result.parameters["b"][1] == pytest.approx(0.02, rel=0.05)
    assert value(result, "a") == pytest.approx(TRUTH["alpha"] - 0.4, abs=0.06)


def test_a_prior_outside_the_bounds_ends_at_the_bound():
    data, _, _ = line()
    model = HybridODE("x' = k", parameters={"k": Parameter(prior=(5.0, 0.01), bounds=(0, 3))})
    assert value(fit(model, data, noise={"x": 0.3}), "k") == pytest.approx(3.0)


# --- bounds ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bounds", [(0.5, 3.0), (1.0, 2.6)])
def test_a_parameter_leaves_the_bound_that_it_starts_at(bounds):
    free = fit(wholly_known(), lotka_volterra(0.005))
    starts = {"alpha": Parameter(bounds[0], bounds=bounds), "delta": Parameter(bounds[1], bounds=bounds)}
    result = fit(HybridODE(KNOWN, parameters=starts), lotka_volterra(0.005))
    assert result.converged
    for name in TRUTH:
        assert value(result, name) == pytest.approx(value(free, name), rel=1e-3)


def test_bounds_hold_within_a_hybrid():
    model = half_known(alpha=Parameter(1.0, bounds=(0.9, 1.1)), delta=Parameter(2.5, bounds=(2.0, 3.0)))
    result = fit(model, lotka_volterra(0.005))
    assert 0.9 <= value(result, "alpha") <= 1.1 and 2.0 <= value(result, "delta") <= 3.0
    assert list(result.error.values()) == pytest.approx(true_noise(0.005), rel=0.4)  # the networks make up for it


# --- positive states ---------------------------------------------------------------------------------


def emptying(t, x):
    return [-0.8 * np.sqrt(max(x[0], 0.0))]


@pytest.mark.parametrize("text", ["x' = -k*sqrt(x)", "x' = NN(x)"])
def test_a_positive_state_is_never_below_zero(text):
    # A tank that empties: noisy readings go below zero, where the root of the level is no number.
    t = np.linspace(0, 2.4, 25)
    data = measured(emptying, [[1.0]], [t], ("x",), noise=0.1)
    assert (data.trajectories[0].y < 0).any()
    result = fit(HybridODE(text, networks=SMALL if "NN" in text else None, positive=["x"]), data)
    assert (result.states[0] > 0).all()
    assert np.sqrt(((result.states[0] - solution(emptying, [1.0], t)) ** 2).mean()) < result.noise["x"]
    if "k" in result.parameters:
        assert away(result, k=0.8) < 4


# --- outliers ----------------------------------------------------------------------------------------


def spoiled(count=3):
    """Lotka-Volterra with a few readings that are wrong by thirty noise standard deviations."""
    run = lotka_volterra(0.005, 0).trajectories[0]
    y, rng = run.y.copy(), np.random.default_rng(1)
    for place in rng.choice(y.size, count, replace=False):
        y.flat[place] += 30 * true_noise(0.005)[place % 2] * rng.choice([-1, 1])
    return dataset(COLUMNS, (run.t, y))


def test_outliers_are_counted_and_do_not_bend_the_law():
    result = fit(wholly_known(), spoiled())
    assert (result.loss, result.outliers) == ("student", 3)
    assert "3 of 62 measured values are outliers; the fit used a robust loss." in result.warnings
    clean = fit(wholly_known(), lotka_volterra(0.005))
    for name, (kept, stderr) in clean.parameters.items():
        assert abs(value(result, name) - kept) < 1.5 * stderr


def test_a_gaussian_loss_is_bent_by_them():
    clean = fit(wholly_known(), lotka_volterra(0.005))
    result = fit(wholly_known(), spoiled(), options=FitOptions(loss="gaussian"))
    assert (result.loss, result.outliers) == ("gaussian", 0)
    assert result.noise["prey"] > 2 * clean.noise["prey"] or result.noise["predator"] > 2 * clean.noise["predator"]
    robust = fit(wholly_known(), spoiled())
    off = [sum(abs(value(r, n) - v) / v for n, v in TRUTH.items()) for r in (robust, result)]
    assert off[0] < 0.5 * off[1]


def test_gaussian_noise_holds_no_outliers():
    for seed in range(3):
        assert fit(wholly_known(), lotka_volterra(0.01, seed)).loss == "gaussian"


def test_a_robust_loss_may_be_asked_for():
    result = fit(wholly_known(), lotka_volterra(0.01), options=FitOptions(loss="student"))
    assert (result.loss, result.outliers) == ("student", 0)
    assert away(result, **TRUTH) < 4


def test_a_hybrid_is_not_bent_by_outliers_either():
    result = fit(half_known(), spoiled())
    assert result.loss == "student" and result.outliers >= 2
    errors = np.sqrt(((result.states[0] - EXACT.y) ** 2).mean(0))
    assert (errors < 1.3 * true_noise(0.005)).all()


# --- observables -------------------------------------------------------------------------------------


def test_a_gain_is_estimated_as_scipy_does():
    # The prey is seen through a gain only; the interactions are known, so that its size is too.
    run, rng = EXACT, np.random.default_rng(0)
    y = np.column_stack([2.5 * run.y[:, 0], run.y[:, 1]])
    sd = 0.01 * np.abs(y).mean(0)
    y = y + sd * rng.normal(size=y.shape)
    model = HybridODE(
        KNOWN, parameters={"beta": 0.9, "gamma": 0.8, "gain": Parameter(2.0)}, observe={"signal": "gain*prey"}
    )
    noise = {"signal": sd[0], "predator": sd[1]}
    result = fit(model, dataset(("signal", "predator"), (run.t, y)), noise=noise)

    def residuals(z):
        states = solution(lambda t, x: lotka_volterra_rhs(t, x, z[0], 0.9, 0.8, z[1]), z[3:], run.t)
        return ((np.column_stack([z[2] * states[:, 0], states[:, 1]]) - y) / sd).ravel()

    scipy = least_squares(residuals, [1.3, 1.8, 2.5, *run.y[0]], x_scale="jac")
    stderr = np.sqrt(np.diag(np.linalg.inv(scipy.jac.T @ scipy.jac)))
    for k, name in enumerate(("alpha", "delta", "gain")):
        assert value(result, name) == pytest.approx(scipy.x[k], abs=0.05 * stderr[k])
        assert result.parameters[name][1] == pytest.approx(stderr[k], rel=0.05)
    assert result.error["signal"] == pytest.approx(sd[0], rel=0.3)
    assert set(result.noise) == {"signal", "predator"}


def test_an_observable_of_two_states_is_enough_for_a_missing_term():
    t = np.linspace(0, 5, 51)

    def rhs(t, x):
        return [-0.5 * x[0] ** 2, x[0] - x[1]]

    exact = solution(rhs, [2.0, 0.0], t)
    total = exact.sum(1) + 0.002 * np.random.default_rng(0).normal(size=51)
    model = HybridODE("x' = NN(x)\nz' = x - z", networks=SMALL, observe={"total": "x + z"}, initial={"z": 0.0})
    result = fit(model, dataset(("total",), (t, total[:, None])))
    assert result.converged
    assert np.sqrt(((result.states[0] - exact) ** 2).mean(0)) == pytest.approx([0, 0], abs=0.02)
    term = result.terms["NN"]
    inside = term.points[:, 0] > 0.6
    assert term.values[inside] == pytest.approx(-0.5 * term.points[inside, 0] ** 2, abs=0.15)


# --- inputs and covariates ---------------------------------------------------------------------------


def driven(rate=0.1, noise=0.01):
    """A damped oscillator under a measured random force, linear between its samples."""
    rng = np.random.default_rng(5)
    t = np.arange(0, 8, rate)
    force = np.cumsum(rng.normal(size=len(t))) * np.sqrt(rate)

    def rhs(time, x):
        return [x[1], -4 * x[0] - 0.5 * x[1] + np.interp(time, t, force)]

    exact = np.array([[1.0, 0.0]])
    for a, b in itertools.pairwise(t):
        exact = np.vstack([exact, solution(rhs, exact[-1], [a, b])[-1]])
    y = exact[:, :1] + noise * exact[:, 0].std() * rng.normal(size=(len(t), 1))
    return dataset(("x",), (t, y, force[:, None]), inputs={"force": "linear"}), exact


def test_a_driven_oscillator_is_identified():
    data, exact = driven()
    result = fit(HybridODE("x'' = -k*x - c*x' + b*force", inputs=["force"]), data)
    assert result.converged and not result.warnings
    assert away(result, k=4.0, c=0.5, b=1.0) < 4
    assert result.parameters["k"][1] < 0.1
    assert np.sqrt(((result.states[0] - exact) ** 2).mean(0)) == pytest.approx([0, 0], abs=0.02)
    assert result.simulate(data.trajectories[0].t) == pytest.approx(exact, abs=0.05)


def test_a_term_is_found_beside_an_input():
    data, _ = driven()
    result = fit(HybridODE("x'' = NN(x) - c*x' + force", networks=SMALL, inputs=["force"]), data)
    term = result.terms["NN"]
    inside = np.abs(term.points[:, 0]) < 0.8 * np.abs(term.points).max()
    assert (np.abs(term.values + 4 * term.points[:, 0]) < 4 * term.std)[inside].mean() > 0.9


def test_other_data_are_simulated_with_their_own_inputs():
    data, exact = driven()
    result = fit(HybridODE("x'' = -k*x - c*x' + b*force", inputs=["force"]), data)
    (run,) = data.trajectories
    half = dataset(("x",), (run.t[:40], run.y[:40], -run.u[:40]), inputs={"force": "linear"})
    (states,) = result.simulate_data(half, -exact[:1])
    assert states == pytest.approx(-exact[:40], abs=0.05)  # the mirror image


@pytest.mark.parametrize("text", ["x' = -k*temperature*x", "x' = -NN(temperature)*x"])
def test_a_covariate_tells_runs_apart(text):
    t, rng = np.linspace(0, 3, 16), np.random.default_rng(0)
    runs = []
    for temperature in (0.5, 1.0, 1.5, 2.0):
        y = np.exp(-0.6 * temperature * t)[:, None]
        runs.append((t, y + 0.005 * rng.normal(size=y.shape), None, [temperature]))
    model = HybridODE(text, networks=SMALL if "NN" in text else None, covariates=["temperature"])
    result = fit(model, dataset(("x",), *runs, covariates=("temperature",)))
    assert result.error["x"] == pytest.approx(0.005, rel=0.4)
    if "k" in result.parameters:
        assert away(result, k=0.6) < 4
    else:
        term = result.terms["NN"]
        assert term.values == pytest.approx(0.6 * term.points[:, 0], abs=0.05)


# --- given starts ------------------------------------------------------------------------------------


def test_a_start_given_as_a_number_holds_for_every_run():
    t = np.linspace(0, 3, 16)
    data = measured(lotka_volterra_rhs, [[0.5, 2.0], [0.5, 1.0]], [t, t], COLUMNS, noise=0.01)
    model = HybridODE(KNOWN, parameters=wholly_known().parameters, initial={"prey": 0.5, "predator": "data"})
    result = fit(model, data)
    for k, run in enumerate(data.trajectories):
        assert result.states[k][0].tolist() == [0.5, run.y[0, 1]]
    assert away(result, **TRUTH) < 5  # one reading of the predator is taken for exact


def test_a_given_start_of_a_state_that_is_never_measured_is_used():
    t = np.linspace(0, 4, 33)

    def rhs(t, x):
        return [x[1] - 0.5 * x[0], -0.7 * x[1]]

    data = measured(rhs, [[0.1, 3.0]], [t], ("x",), noise=0.005, keep=[0])
    result = fit(HybridODE("x' = gain*z - 0.5*x\nz' = -r*z", initial={"z": 3.0}), data)  # else gain*z is all there is
    assert result.states[0][0, 1] == pytest.approx(3.0, abs=1e-3)
    assert away(result, gain=1.0, r=0.7) < 4
