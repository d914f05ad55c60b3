"""`fit`: the noise floor, the same answer as SciPy where SciPy can give one, symmetries, and what it refuses."""

import dataclasses
import json
import time

import numpy as np
import pytest
import torch
from laws import (
    COLUMNS,
    EXACT,
    KNOWN,
    TRUTH,
    dataset,
    fit,
    fitted,
    fitted_known,
    half_known,
    lotka_volterra,
    lotka_volterra_rhs,
    measured,
    solution,
    true_noise,
    wholly_known,
)
from scipy.optimize import least_squares
from torchdiffeq import odeint_adjoint

from udesys.data import Dataset, read_table
from udesys.errors import FitError
from udesys.fit import check_enough
from udesys.fit.fitting import one_thread
from udesys.model import HybridODE, Network, Parameter

CUBIC = Network(activation="cubic")  # one restart where three would tell nothing more


def rmse(a, b):
    return np.sqrt(np.nanmean((np.asarray(a) - b) ** 2, axis=0))


def values(result):
    return np.array([value for value, _ in result.parameters.values()])


def errors(result):
    return np.array([stderr for _, stderr in result.parameters.values()])


def single_shooting(data, sd, largest=np.inf):
    """SciPy's estimate of the four constants and the start of one Lotka-Volterra run, by plain simulation.

    Args:
        largest: upper bound of alpha.
    """
    (run,) = data.trajectories

    def residuals(z):
        states = solution(lambda t, x: lotka_volterra_rhs(t, x, *z[:4]), z[4:], run.t)
        return np.nan_to_num((states - run.y) / sd).ravel()

    start, high = np.array([*TRUTH.values(), *run.y[0]]), np.full(6, np.inf)
    start[0], high[0] = min(start[0], 0.99 * largest), largest
    return least_squares(residuals, start, bounds=(-np.inf, high), x_scale="jac", xtol=1e-12)


# --- the noise floor ---------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_one_simulation_of_the_fitted_hybrid_reaches_the_noise_floor(seed):
    result = fitted(0.005, seed)
    assert result.converged and not result.warnings
    found = rmse(result.simulate(EXACT.t), lotka_volterra(0.005, seed).trajectories[0].y)
    # 62 samples: the RMSE about the true states is itself uncertain by 9 %; 1.3 is three standard errors.
    assert (found < 1.3 * true_noise(0.005)).all()
    assert list(result.error.values()) == pytest.approx(found, rel=0.01)  # by the fit's own steps
    assert np.array(list(result.noise.values())) == pytest.approx(true_noise(0.005), rel=0.4)


def test_the_smooth_states_are_closer_to_the_truth_than_the_data():
    assert (rmse(fitted(0.005, 0).states[0], EXACT.y) < 0.8 * true_noise(0.005)).all()


def test_a_simulation_runs_through_the_fitted_states():
    result = fitted(0.005, 0)
    gap = np.abs(result.simulate(EXACT.t) - result.states[0]) / true_noise(0.005)
    # The fit's steps may err by a twentieth of the noise each, and errors add up over 30 intervals.
    assert gap.max() < 1.0 and np.sqrt((gap**2).mean()) < 0.3
    assert result.simulate([0.55, 1.7])[1] == pytest.approx(result.simulate(EXACT.t)[17], abs=1e-4)


def test_the_residual_terms_hold_the_truth_within_their_uncertainty():
    result = fitted(0.01, 0)
    term = result.terms["NN1"]
    prey, predator = term.points.T
    assert term.arguments == COLUMNS and term.points == pytest.approx(result.states[0])
    for name, true in (("NN1", -TRUTH["beta"]), ("NN2", TRUTH["gamma"])):
        term = result.terms[name]
        away = np.abs(term.values - true * prey * predator) / term.std
        assert (away < 4).mean() > 0.9  # the prior of the weights shrinks, so that a Gaussian's 4 sd are not all
        assert (term.std < 0.5 * np.abs(true * prey * predator).max()).all()


# --- the same answer as SciPy ------------------------------------------------------------------------


def test_a_whole_law_gets_the_estimate_and_errors_of_single_shooting():
    result = fitted_known(0.01, 0)
    scipy = single_shooting(lotka_volterra(0.01), list(result.noise.values()))
    assert result.converged
    assert values(result) == pytest.approx(scipy.x[:4], rel=1e-3)
    covariance = np.linalg.inv(scipy.jac.T @ scipy.jac)
    assert errors(result) == pytest.approx(np.sqrt(np.diag(covariance))[:4], rel=0.2)
    assert (np.abs(values(result) - list(TRUTH.values())) < 4 * errors(result)).all()


def test_a_law_with_nothing_to_estimate_gets_its_starts_and_its_noise(capfd):
    data = lotka_volterra(0.01)
    (run,), result = data.trajectories, fit(HybridODE(KNOWN, parameters=TRUTH), data)
    sd = list(result.noise.values())
    scipy = least_squares(lambda x0: ((solution(lotka_volterra_rhs, x0, run.t) - run.y) / sd).ravel(), run.y[0])
    assert result.converged
    np.testing.assert_allclose(result.states[0][0], scipy.x, rtol=1e-4)
    assert sd == pytest.approx(true_noise(0.01), rel=0.4)
    assert not capfd.readouterr().err


def test_constants_far_from_one_need_no_start(data_dir):
    data = read_table(data_dir / "lynx_hare.csv", time="year", columns={"prey": "hare", "predator": "lynx"})
    result = fit(HybridODE(KNOWN), data)  # beta and gamma are near 0.025, and with 1 no year can be followed
    (run,), sd = data.trajectories, list(result.noise.values())

    def residuals(z):
        return ((solution(lambda t, x: lotka_volterra_rhs(t, x, *z[:4]), z[4:], run.t) - run.y) / sd).ravel()

    scipy = least_squares(residuals, [0.5, 0.025, 0.025, 0.8, *run.y[0]], x_scale="jac", xtol=1e-12)
    assert result.converged
    assert values(result) == pytest.approx(scipy.x[:4], rel=2e-3)


def test_a_bound_is_respected_and_the_rest_is_the_best_beside_it():
    noise = dict(zip(COLUMNS, true_noise(0.005), strict=True))
    model = HybridODE(KNOWN, parameters={"alpha": Parameter(1.0, bounds=(0.5, 1.25))})
    result = fit(model, lotka_volterra(0.005), noise=noise)
    scipy = single_shooting(lotka_volterra(0.005), list(noise.values()), largest=1.25)  # the truth is 1.3
    assert result.parameters["alpha"][0] == 1.25
    assert values(result) == pytest.approx(scipy.x[:4], rel=1e-3)


@pytest.mark.parametrize(("result", "share"), [(fitted_known, 1e-3), (fitted, 0.05)])
def test_the_gradient_through_an_adaptive_solver_vanishes_at_the_fit(result, share):
    result = result()
    gradient, cost = adaptive_gradient(result.problem, result.unknowns)
    jacobian, residual = linearised(result.problem, result.unknowns)
    # Newton's decrement: what the cost could still fall by. A whole law is left with the difference of the two
    # solvers; a hybrid also with its last change of the regularisation.
    assert gradient @ np.linalg.lstsq(jacobian.T @ jacobian, gradient, rcond=1e-14)[0] < share * cost
    if not result.model.slots:  # nor is any component left beside the terms that cancel in it
        assert (np.abs(gradient) < 0.02 * np.abs(jacobian * residual[:, None]).sum(0)).all()


@pytest.mark.parametrize("result", [fitted_known, fitted])
def test_the_adjoint_gradient_at_the_fit_is_small_beside_that_of_a_point_nearby(result):
    problem, unknowns = result().problem, result().unknowns
    here, cost = adaptive_gradient(problem, unknowns)
    rng, there = np.random.default_rng(0), []
    for _ in range(3):
        theta = unknowns.theta + 0.01 * np.abs(unknowns.theta) * rng.choice([-1, 1], len(unknowns.theta))
        nodes = unknowns.nodes * (1 + 0.01 * rng.choice([-1, 1], unknowns.nodes.shape))
        moved, raised = adaptive_gradient(problem, dataclasses.replace(unknowns, theta=theta, nodes=nodes))
        assert raised > 1.5 * cost
        there.append(np.abs(moved))
    # Unknowns a hundredth off raise the cost by more than half. About a minimum the gradient grows linearly, so the
    # fit lies within a ten-thousandth of it; what is left is the RK4 steps' error, a twentieth of the noise at most,
    # against the adaptive solver. Weights that the regularisation has silenced have no gradient anywhere.
    there = np.median(there, 0)
    assert (np.abs(here) < 0.05 * there + 1e-6 * there.max()).all()
    assert np.linalg.norm(here) < 0.02 * np.linalg.norm(there)


def adaptive_gradient(problem, unknowns):
    """Half the gradient of a one-run fit's cost by theta and the start, through torchdiffeq's adjoint, and the cost."""
    theta, x0 = (torch.tensor(z, requires_grad=True) for z in (unknowns.theta, unknowns.nodes[0]))
    with one_thread():
        states = odeint_adjoint(
            lambda t, x: problem.field(t.expand(1), x, theta), x0[None], torch.tensor(problem.t), rtol=1e-9,
            atol=1e-10, adjoint_params=(theta,), adjoint_options={"norm": "seminorm"},
        )  # fmt: skip
        error = (states[:, 0] - torch.tensor(problem.y)) / torch.tensor(unknowns.sigma)
        cost = (error**2).sum() + (torch.tensor(unknowns.prior) * (theta - torch.tensor(unknowns.center)) ** 2).sum()
        cost.backward()
    return np.concatenate([theta.grad.numpy(), x0.grad.numpy()]) / 2, cost.item()


def linearised(problem, unknowns):
    """Errors and prior of a one-run fit with their derivative by theta and the start, along the fit's own steps."""
    n, d = len(unknowns.theta), problem.d
    end, by_node, by_theta = problem.flow_jacobians(unknowns.nodes, unknowns.theta)
    chained = [np.hstack([np.zeros((d, n)), np.eye(d)])]
    for a, b in zip(by_node, by_theta, strict=True):
        chained.append(a @ chained[-1] + np.hstack([b, np.zeros((d, d))]))
    error = (np.vstack([unknowns.nodes[:1], end]) - problem.y) / unknowns.sigma
    rows = (np.array(chained) / unknowns.sigma[:, None]).reshape(-1, n + d)
    weight = np.sqrt(unknowns.prior)
    jacobian = np.vstack([rows, np.hstack([np.diag(weight), np.zeros((n, d))])])
    return jacobian, np.concatenate([error.ravel(), weight * (unknowns.theta - unknowns.center)])


# --- symmetries --------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_fit_bit_for_bit():
    first, again = fitted(0.005, 1), fit(half_known(), lotka_volterra(0.005, 1), seed=1)
    assert np.array_equal(first.unknowns.theta, again.unknowns.theta)
    assert np.array_equal(first.states[0], again.states[0])
    assert first.noise == again.noise and first.parameters == again.parameters


def test_other_units_give_the_same_hybrid():
    plain = fitted(0.005, 0)
    run = lotka_volterra(0.005, 0).trajectories[0]
    model = half_known(alpha=60 * TRUTH["alpha"], delta=60 * TRUTH["delta"])
    scaled = fit(model, dataset(COLUMNS, (run.t / 60, 1000 * run.y)))
    # The same algorithm on the same scaled numbers; rounding grows along the iterations.
    assert scaled.states[0] / 1000 == pytest.approx(plain.states[0], rel=1e-4)
    for name, term in scaled.terms.items():
        assert term.values / 60_000 == pytest.approx(plain.terms[name].values, rel=1e-3, abs=1e-3)
        assert term.std / 60_000 == pytest.approx(plain.terms[name].std, rel=0.05)


def test_other_units_give_the_same_constants():
    plain, run = fitted_known(0.01, 0), lotka_volterra(0.01).trajectories[0]
    units = {"alpha": 60, "beta": 0.06, "gamma": 0.06, "delta": 60}
    model = HybridODE(KNOWN, parameters={n: Parameter(1.3 * TRUTH[n] * u) for n, u in units.items()})
    scaled = fit(model, dataset(COLUMNS, (run.t / 60, 1000 * run.y)))
    assert values(scaled) / list(units.values()) == pytest.approx(values(plain), rel=1e-5)
    assert errors(scaled) / list(units.values()) == pytest.approx(errors(plain), rel=1e-3)


def test_the_order_of_equations_and_columns_does_not_matter():
    plain, run = fitted_known(0.01, 0), lotka_volterra(0.01).trajectories[0]
    swapped = HybridODE("\n".join(KNOWN.splitlines()[::-1]), parameters=wholly_known().parameters)
    result = fit(swapped, dataset(COLUMNS[::-1], (run.t, run.y[:, ::-1])))
    assert result.states[0][:, ::-1] == pytest.approx(plain.states[0], rel=1e-6)
    for name, (value, stderr) in plain.parameters.items():
        assert result.parameters[name] == pytest.approx((value, stderr), rel=1e-4)


def test_the_order_of_runs_does_not_matter():
    t = np.linspace(0, 3, 16)
    data = measured(lotka_volterra_rhs, [[0.5, 2.0], [2.0, 1.0]], [t, t], COLUMNS, noise=0.01)
    turned = Dataset(columns=data.columns, trajectories=data.trajectories[::-1], time="t", source="made")
    one, other = (fit(wholly_known(), d) for d in (data, turned))
    assert values(one) == pytest.approx(values(other), rel=1e-6)
    assert one.initial["1"] == pytest.approx(other.initial["1"], rel=1e-6)


# --- data as they come -------------------------------------------------------------------------------


def test_a_fifth_of_the_cells_may_be_missing():
    run = lotka_volterra(0.005, 0).trajectories[0]
    y = run.y.copy()
    y[np.random.default_rng(0).random(y.shape) < 0.2] = np.nan
    result = fit(half_known(), dataset(COLUMNS, (run.t, y)))
    assert result.converged
    # The missing cells are filled by the dynamics as well as the measured ones.
    assert (rmse(result.simulate(run.t), EXACT.y) < 1.3 * true_noise(0.005)).all()


def test_runs_of_different_irregular_times_share_one_hybrid():
    rng = np.random.default_rng(4)
    times = [np.sort(np.append(rng.uniform(0, 3, 24), 0.0)), np.sort(rng.uniform(1, 5, 30))]
    data = measured(lotka_volterra_rhs, [[0.5, 3.0], [1.5, 0.5]], times, COLUMNS, noise=0.005)
    result = fit(half_known(), data)
    assert result.converged
    size = 0.005 * np.abs(np.concatenate([run.y for run in data.trajectories])).mean(0)
    for k, run in enumerate(data.trajectories):
        assert (rmse(result.simulate(run.t, trajectory=k), run.y) < 1.3 * size).all()


def test_an_unmeasured_velocity_is_found():
    t = np.linspace(0, 6, 61)
    data = measured(lambda t, x: [x[1], -4 * x[0] - 0.5 * x[1]], [[1.0, 0.0]], [t], ("x",), noise=0.01, keep=[0])
    exact = solution(lambda t, x: [x[1], -4 * x[0] - 0.5 * x[1]], [1.0, 0.0], t)
    result = fit("x'' = -k*x + NN(x')", data)
    assert result.converged
    # Velocities are two radians per unit of time times the displacement, and never measured.
    assert rmse(result.states[0], exact) / exact.std(0) == pytest.approx([0.0, 0.0], abs=0.02)
    k, stderr = result.parameters["k"]
    assert abs(k - 4) < 4 * stderr < 0.4
    term = result.terms["NN"]
    assert (np.abs(term.values + 0.5 * term.points[:, 0]) < 4 * term.std).mean() > 0.9


def test_an_unmeasured_state_of_known_equation_is_found():
    def rhs(t, x):
        return [x[1] - x[0], -0.7 * x[1]]

    t = np.linspace(0, 5, 41)
    data = measured(rhs, [[0.1, 3.0]], [t], ("x",), noise=0.005, keep=[0])
    result = fit("x' = z + NN(x)\nz' = -0.7*z", data)
    exact = solution(rhs, [0.1, 3.0], t)
    assert result.converged
    assert rmse(result.states[0], exact)[1] < 0.05 * exact[0, 1]
    assert result.error["x"] < 1.3 * 0.005 * exact[:, 0].mean()


def test_given_initial_values_are_kept():
    model = HybridODE(KNOWN, parameters=wholly_known().parameters, initial={"prey": 0.44249296, "predator": "data"})
    result = fit(model, lotka_volterra(0.01))
    first = lotka_volterra(0.01).trajectories[0].y[0]
    assert result.states[0][0].tolist() == [0.44249296, first[1]]
    assert result.initial["0"] == dict(zip(COLUMNS, result.states[0][0].tolist(), strict=True))


def test_given_noise_is_kept_and_the_other_column_is_estimated():
    both = dict(zip(COLUMNS, 2 * true_noise(0.005), strict=True))
    assert fit(wholly_known(), lotka_volterra(0.005), noise=both).noise == both
    one = fit(wholly_known(), lotka_volterra(0.005), noise={"prey": both["prey"]}).noise
    assert one["prey"] == both["prey"]
    # Thirty samples estimate a standard deviation to 13 %.
    assert one["predator"] == pytest.approx(true_noise(0.005)[1], rel=0.4)


# --- what it says ------------------------------------------------------------------------------------


def test_a_fit_prints_what_it_found():
    text = str(fitted_known(0.01, 0))
    assert text.startswith("Fit  lotka_volterra   1 trajectory, 31 samples, seed 0   converged in")
    assert "multiple shooting" in text and "alpha" in text and "+/-" in text
    assert "Networks: " in str(fitted(0.005, 0))


def test_a_fit_is_plain_values_for_json():
    plain = fitted(0.005, 0).to_dict()
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    plain["stages"][0]["name"] = plain["initial"]["0"]["prey"] = "changed"
    assert fitted(0.005, 0).stages[0].name == "gradient matching"
    assert fitted(0.005, 0).initial["0"]["prey"] != "changed"


def test_progress_is_told_by_every_stage():
    told = []
    fit(wholly_known(), lotka_volterra(0.01), progress=lambda *what: told.append(what))
    assert {stage for stage, _, _ in told} == {"fit", "gradient matching", "multiple shooting"}
    starts = [value for stage, _, value in told if stage == "fit"]
    assert [(text, text.share) for text in starts] == [("start 1 of 2", 0.0), ("start 2 of 2", 0.5)]


def test_a_parameter_that_the_hybrid_does_not_determine_is_named():
    text = "prey' = (a + b)*prey - 0.9*prey*predator\npredator' = NN2(prey, predator) - 1.8*predator"
    result = fit(HybridODE(text, networks={"NN2": CUBIC}), lotka_volterra(0.01))
    assert "a and b appear together only: their sum a + b is determined, neither by itself." in result.warnings


# --- what it refuses ---------------------------------------------------------------------------------


def rows(n, columns=("prey", "predator"), runs=1):
    return dataset(
        columns, *[(np.arange(float(n)), np.arange(n * len(columns), dtype=float).reshape(n, -1)) for _ in range(runs)]
    )


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (rows(9, ("hare", "lynx")), "no state is measured: the states are prey, predator, the columns hare, lynx"),
        (rows(3), "3 samples are too few: this model needs at least 4 rows"),
        (rows(6, runs=2), None),
        (rows(3, runs=2), "6 samples are too few: .* \\(trajectories: 2"),
        (
            dataset(COLUMNS, (np.arange(20.0), np.ones((20, 2))), ([0.0], [[1.0, 1.0]])),
            "trajectory '2' has one sample only",
        ),
        (dataset(COLUMNS, (np.arange(9.0), np.full((9, 2), np.nan))), "no state is measured"),
        (
            dataset(COLUMNS, (np.arange(9.0), np.column_stack([np.arange(9.0), np.full(9, 5.0)]))),
            "predator is 5 in every row, .* Give it as a parameter, predator = 5, in place of its equation",
        ),
    ],
)
def test_too_little_data_are_refused(data, match):
    if match is None:
        check_enough(half_known(), data)
        return
    with pytest.raises(FitError, match=match):
        fit(half_known(), data)


@pytest.mark.parametrize(
    ("noise", "match"),
    [
        ({"hare": 0.1}, "noise names 'hare', which is no column"),
        ({"prey": 0.0}, "noise of prey = 0.0 must be a positive number"),
        ({"prey": -1.0}, "noise of prey = -1.0 must be a positive number"),
        ({"prey": np.nan}, "noise of prey = nan must be a positive number"),
    ],
)
def test_noise_that_cannot_be_is_refused(noise, match):
    with pytest.raises(FitError, match=match):
        fit(half_known(), lotka_volterra(), noise=noise)


def test_a_column_that_is_no_state_is_refused():
    run = lotka_volterra().trajectories[0]
    data = dataset((*COLUMNS, "rain"), (run.t, np.column_stack([run.y, run.t])))
    with pytest.raises(FitError, match="column 'rain' is no state of the model"):
        fit(half_known(), data)


def test_a_network_that_acts_on_nothing_measured_is_refused():
    data = rows(20, ("x",))
    with pytest.raises(FitError, match=r"NN acts on nothing that is measured \(x\)"):
        fit("x' = -x\nz' = NN(z)", data)
    check_enough(HybridODE("x' = -x + z\nz' = w\nw' = NN(z)"), data)
    check_enough(HybridODE("x' = NN1(z)\nz' = NN2(w)\nw' = -w"), data)


def test_a_fit_tells_how_long_it_took():
    began = time.perf_counter()
    result = fit(HybridODE("x' = -k*x"), dataset(("x",), (np.arange(5.0), np.exp(-np.arange(5.0))[:, None])))
    assert 0 < result.seconds <= time.perf_counter() - began
