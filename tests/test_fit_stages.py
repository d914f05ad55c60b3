"""Training stages: whatever is in the folder lowers a known loss, repeats itself and survives what explodes."""

import sys

import numpy as np
import pytest
import torch
from laws import COLUMNS, SYSTEM, dataset, lotka_volterra_rhs, measured, solution

from udesys.data import Dataset, Trajectory
from udesys.errors import FitError
from udesys.fit.evidence import largest_defect
from udesys.fit.fitting import one_thread
from udesys.fit.problem import ShootingProblem
from udesys.fit.stages import load_stage, stage_names
from udesys.fit.stages._descent import Best, lbfgs, measurement_errors
from udesys.fit.stages.matrix_free import _Reduced
from udesys.fit.stages.single_shooting import COARSEST, _Shot
from udesys.fit.start import starting_point
from udesys.model import HybridODE, Network, Parameter
from udesys.model.field import HybridField

every_stage = pytest.mark.parametrize("name", stage_names())
# A gradient through an adaptive solver takes a tenth of a second.
BRIEF = {"single_shooting": {"adam_steps": 10, "iterations": 40, "converged": 0.03, "given_noise": np.array([True])}}
BRIEFER = {"single_shooting": {"adam_steps": 4, "iterations": 3}}
NOISE = 0.005  # of the mean
MODEL = HybridODE("x' = -0.5*x + NN(x)", networks={"NN": Network((4,), "tanh")})


def law(t, x):
    return [-0.5 * x[0] - 0.4 * x[0] ** 2]


TIMES = np.linspace(0, 4, 7)
TRUE = solution(law, [2.0], TIMES)


def beginning(model=MODEL, data=None, method="rk4"):
    """A problem and where its fit starts, from random weights."""
    data = data or measured(law, [[2.0]], [TIMES], ("x",), noise=NOISE)
    problem = ShootingProblem(model, data, HybridField(model), method=method)
    with np.errstate(all="ignore"):
        return problem, starting_point(problem, np.random.default_rng(1), smoothed=True)


def run(name, problem, unknowns, progress=None, **options):
    with one_thread(), np.errstate(all="ignore"):
        stage = load_stage(name)
        return stage.run(problem, unknowns, np.random.default_rng(0), progress, **{**BRIEF.get(name, {}), **options})


def slope_error(problem, unknowns):
    """Mean square of the hybrid's slopes about the true ones, along the true states, in units of their variance."""
    true = np.array(law(0.0, TRUE.T)).T
    with torch.inference_mode():
        found = problem.field(*map(torch.tensor, (TIMES, TRUE, unknowns.theta))).numpy()
    return float((((found - true) / true.std(0)) ** 2).mean())


# --- every stage -------------------------------------------------------------------------------------


def test_the_stages_are_the_files_of_the_folder():
    assert {"gradient_matching", "multiple_shooting", "single_shooting", "matrix_free"} <= set(stage_names())
    assert not any(name.startswith("_") for name in stage_names())


def test_an_unknown_stage_is_refused_with_the_nearest():
    with pytest.raises(FitError, match=r"no training stage 'single_shoting'\. Did you mean 'single_shooting'\?"):
        load_stage("single_shoting")
    with pytest.raises(FitError, match=r"no training stage '_descent'"):
        load_stage("_descent")


@every_stage
def test_a_stage_brings_the_learned_slopes_to_the_true_ones(name):
    problem, unknowns = beginning()
    before = slope_error(problem, unknowns)
    report = run(name, problem, unknowns)
    assert before > 0.1  # random weights know nothing
    assert slope_error(problem, unknowns) < 0.15 * before
    assert report.iterations >= 1 and report.stopped and report.seconds > 0
    assert np.isfinite([report.before, report.after]).all()


@every_stage
def test_a_stage_repeats_itself(name):
    found = []
    for _ in range(2):
        problem, unknowns = beginning()
        run(name, problem, unknowns, **BRIEFER.get(name, {}))
        found.append((unknowns.theta, unknowns.nodes))
    assert np.array_equal(found[0][0], found[1][0]) and np.array_equal(found[0][1], found[1][1])


@every_stage
def test_a_stage_tells_its_progress(name):
    problem, unknowns = beginning()
    told = []
    report = run(name, problem, unknowns, lambda *what: told.append(what), **BRIEFER.get(name, {}))
    assert [iteration for _, iteration, _ in told] == list(range(1, report.iterations + 1))
    assert {stage for stage, _, _ in told} == {report.name}
    assert told[-1][2] == pytest.approx(report.after, rel=0.05)  # the noise may be estimated once more at the end


@every_stage
def test_a_stage_keeps_parameters_inside_their_bounds(name):
    # The truth is k = 0.5 and q = 0.4; both bounds exclude it.
    model = HybridODE(
        "x' = -k*x - q*x^2", parameters={"k": Parameter(0.8, bounds=(0.6, 1.0)), "q": Parameter(0.2, bounds=(0, 0.3))}
    )
    problem, unknowns = beginning(model)
    run(name, problem, unknowns)
    found = dict(zip(problem.field.parameters, problem.field.parameter_scale * unknowns.theta, strict=True))
    assert 0.6 <= found["k"] <= 1.0 and 0 <= found["q"] <= 0.3
    assert found["k"] == pytest.approx(0.6) or found["q"] == pytest.approx(0.3)


@every_stage
def test_a_stage_leaves_a_bound_that_it_starts_at(name):
    model = HybridODE("x' = -k*x - 0.4*x^2", parameters={"k": Parameter(1.5, bounds=(0.1, 1.5))})
    problem, unknowns = beginning(model)
    run(name, problem, unknowns)
    found = unknowns.theta[0] * problem.field.parameter_scale[0]
    assert found == pytest.approx(0.5, abs=0.05)  # noise of half a per cent leaves k three standard errors of 0.015


@every_stage
def test_a_stage_survives_a_model_that_overflows(name):
    model = HybridODE("x' = exp(exp(a*x)) + NN(x)", parameters={"a": Parameter(9.0)})
    problem, unknowns = beginning(model)
    report = run(name, problem, unknowns)
    assert np.isfinite(unknowns.theta).all() and np.isfinite(unknowns.nodes).all()
    assert report.stopped


@every_stage
def test_a_stage_survives_a_start_that_explodes_in_finite_time(name):
    # From x = 2 with k = 4, x = 1/(1/2 - 4 t) is gone at t = 1/8, before the first sample.
    model = HybridODE("x' = k*x^2 - 0.5*x", parameters={"k": Parameter(4.0)})
    problem, unknowns = beginning(model)
    report = run(name, problem, unknowns)
    assert np.isfinite(unknowns.theta).all() and np.isfinite(unknowns.nodes).all()
    assert report.stopped


# --- L-BFGS where some points have no value ----------------------------------------------------------


def rosenbrock(z):
    a, b = z
    if a > 1.3 or b < -0.4:
        return np.nan, np.full(2, np.nan)
    slope = [-2 * (1 - a) - 400 * a * (b - a * a), 200 * (b - a * a)]
    return (1 - a) ** 2 + 100 * (b - a * a) ** 2, np.array(slope)


@pytest.mark.parametrize("start", [(-1.2, 1.0), (0.0, -0.39), (1.29, 0.0)])
def test_lbfgs_steps_back_from_points_without_a_value(start):
    best = Best(rosenbrock)
    best(np.array(start))
    open_ = np.full(2, np.inf)
    lbfgs(best, -open_, open_, 200, 1e-9, lambda k, cost: None)
    assert best.z == pytest.approx([1, 1], abs=1e-3)
    assert bool(best.notes) == bool(best.failures)


def test_lbfgs_stays_between_bounds_and_leaves_one_it_starts_at():
    best = Best(rosenbrock)
    best(np.array([-1.0, 1.0]))
    lbfgs(best, np.array([-1.0, -0.3]), np.array([0.8, 1.0]), 200, 1e-9, lambda k, cost: None)
    assert best.z == pytest.approx([0.8, 0.64], abs=1e-4)  # along the valley b = a^2 to the bound of a


# --- single shooting ---------------------------------------------------------------------------------


def entangled(method="rk4"):
    """Runs of different lengths and times with an input, an observable, gaps, a pinned and a positive state."""
    rng = np.random.default_rng(3)
    runs = []
    for k, n in enumerate((4, 2, 5)):
        y, u = rng.uniform(0.5, 1.5, size=(n, 2)), rng.normal(size=(n, 1))
        y[1, 0] = np.nan
        runs.append(Trajectory(name=str(k), t=rng.uniform(0.1, 0.4, n).cumsum(), y=y, u=u))
    data = Dataset(columns=("x", "o"), trajectories=tuple(runs), time="t", source="made", inputs={"f": "linear"})
    model = HybridODE(
        "x' = a*y*cos(t) + NN(x, y)\ny' = f - b*y*x", inputs=["f"], observe={"o": "gain*x*y"},
        parameters={"gain": Parameter(0.7)}, networks={"NN": Network((3,), "tanh")}, initial={"x": "data"},
        positive=["y"],
    )  # fmt: skip
    problem, unknowns = beginning(model, data, method)
    unknowns.nodes[:, 1] = rng.uniform(0.5, 1.0, len(unknowns.nodes))
    return problem, unknowns


def directions(count, size):
    """One axis, then random directions."""
    return np.vstack([np.eye(size)[:1], np.random.default_rng(7).normal(size=(count - 1, size))])


def test_the_gradient_of_single_shooting_is_that_of_its_cost():
    problem, unknowns = entangled()
    shot = _Shot(problem, unknowns)
    assert len(shot.start) == 3 + len(unknowns.theta)  # one free start for each run; x starts at the data
    z = shot.start + 0.1 * np.random.default_rng(0).normal(size=len(shot.start))
    _, gradient = shot.cost(z)
    step = 1e-4
    for way in directions(3, len(z)):
        slope = (shot.cost(z + step * way)[0] - shot.cost(z - step * way)[0]) / (2 * step)
        # The solver's tolerance is in the cost and in the gradient.
        assert gradient @ way == pytest.approx(slope, rel=1e-3)


def test_single_shooting_simulates_every_run_in_its_own_time():
    problem, unknowns = entangled()
    shot = _Shot(problem, unknowns)
    shot.cost(shot.start)
    shot.leave()
    starts = unknowns.nodes[problem.first]
    assert starts[:, 0] == pytest.approx(problem.y[problem.first, 0])
    for k, (a, b) in enumerate(zip(*problem.segments, strict=True)):
        exact = problem.simulate(starts[k], unknowns.theta, k, problem.t[a:b], 1e-10)
        assert unknowns.nodes[a:b] == pytest.approx(exact, abs=10 * COARSEST)  # its steps err by so much each


def test_single_shooting_steps_back_from_failed_simulations():
    # k = 0.2 is finite over four units of time from x = 2 only because of the decay; Adam's first steps of 0.05 in
    # units of k go the right way, so a rate that is far too large makes them fail.
    model = HybridODE("x' = k*x^2 - 0.5*x", parameters={"k": Parameter(0.2)})
    problem, unknowns = beginning(model)
    stage = load_stage("single_shooting")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage, "RATE", 8.0)
        report = run("single_shooting", problem, unknowns)
    assert "without a solution" in report.notes[0]
    assert unknowns.theta[0] * problem.field.parameter_scale[0] == pytest.approx(-0.4, abs=0.05)


def test_single_shooting_tries_smaller_steps_where_the_whole_way_overflows():
    # exp(exp(x)) is finite along the decay, but not where a step over a tenth would go: nine times its time constant.
    model = HybridODE("x' = -90*(x + 1) + exp(exp(x))/1e3 + k")
    data = dataset(("x",), (np.linspace(0, 0.3, 4), np.array([[2.0], [1.0], [0.0], [-0.5]])))
    problem, unknowns = beginning(model, data)
    shot = _Shot(problem, unknowns)
    with pytest.raises(AssertionError):
        shot._cost(shot.start, 1.0)
    assert np.isfinite(shot.cost(shot.start)[0])


def test_single_shooting_ends_at_the_noise_of_the_data():
    problem, unknowns = beginning(HybridODE("x' = -k*x - q*x^2"))
    run("single_shooting", problem, unknowns, given_noise=None, adam_steps=0, iterations=12)
    size = NOISE * TRUE.mean()
    assert np.sqrt(((unknowns.nodes - TRUE) ** 2).mean()) < size
    assert largest_defect(problem, unknowns) < 1  # one RK4 step between samples 0.5 apart


# --- without a matrix --------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["rk4", "radau"])
def test_the_gradient_without_a_matrix_is_that_of_the_cost(method):
    problem, unknowns = entangled(method)
    problem.substeps[:] = np.arange(problem.n_intervals) % 3 + 1
    reduced = _Reduced(problem, unknowns)
    reduced.rho, theta = 100.0, unknowns.theta
    reduced.multiplier += 0.01
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(load_stage("matrix_free"), "NODE_TOLERANCE", 1e-8)
        _, gradient = reduced.cost(theta)
        step = 1e-5
        for way in directions(3, len(theta)):
            slope = (reduced.cost(theta + step * way)[0] - reduced.cost(theta - step * way)[0]) / (2 * step)
            assert gradient @ way == pytest.approx(slope, rel=1e-4)


def test_the_pulled_derivative_is_the_dense_one():
    problem, unknowns = entangled()
    problem.substeps[:] = np.arange(problem.n_intervals) % 3 + 1
    weight = np.random.default_rng(0).normal(size=(problem.n_intervals, 2))
    by_theta = problem.flow_jacobians(unknowns.nodes, unknowns.theta)[2]
    found = _Reduced(problem, unknowns)._pull(unknowns.nodes, unknowns.theta, weight)
    # Exact derivatives of the same steps.
    np.testing.assert_allclose(found, np.einsum("nd,ndp->p", weight, by_theta), rtol=1e-10, atol=1e-12)


def test_the_gradient_of_the_errors_is_that_of_their_sum():
    problem, unknowns = entangled()
    nodes, theta = unknowns.nodes, unknowns.theta
    _, by_nodes, by_theta = measurement_errors(problem, unknowns, nodes, theta)
    step, rng = 1e-6, np.random.default_rng(0)
    for _ in range(5):
        way, turn = rng.normal(size=nodes.shape), rng.normal(size=theta.shape)
        after, before = (
            measurement_errors(problem, unknowns, nodes + s * way, theta + s * turn)[0] for s in (step, -step)
        )
        slope = (by_nodes * way).sum() + by_theta @ turn
        assert slope == pytest.approx((after - before) / (2 * step), rel=1e-6)


def wide(hidden, n, known=""):
    """Lotka-Volterra with wide networks, its start, its true states and noise; one term may be known."""
    t = np.linspace(0, 0.1 * (n - 1), n)
    data = measured(lotka_volterra_rhs, [[0.44249296, 4.6280594]], [t], COLUMNS, noise=0.01)
    networks = {name: Network(hidden, "tanh") for name in ("NN1", "NN2") if name != known}
    text = SYSTEM.equations.replace(f"{known}(prey, predator)", "0.8*prey*predator") if known else SYSTEM.equations
    problem, unknowns = beginning(HybridODE(text, SYSTEM.parameters, networks), data)
    exact = solution(lotka_volterra_rhs, [0.44249296, 4.6280594], t)
    return problem, unknowns, exact, 0.01 * np.abs(exact).mean(0)


@pytest.mark.slow
def test_wide_networks_are_fitted_to_the_noise():
    problem, unknowns, exact, size = wide((64, 64), 101)
    report = run("matrix_free", problem, unknowns)
    assert report.stopped == "converged" and largest_defect(problem, unknowns) < 0.05
    nodes = problem.shoot(unknowns.nodes[problem.first], unknowns.theta, unknowns.nodes)
    assert (np.sqrt(((nodes - exact) ** 2).mean(0)) < size).all()
    assert unknowns.sigma == pytest.approx(size, rel=0.4)
    assert unknowns.schur is None and unknowns.effective is None


def test_a_network_of_160000_weights_needs_no_matrix_of_them():
    resource = pytest.importorskip("resource")
    problem, unknowns, _, _ = wide((400, 400), 11, known="NN2")
    assert len(unknowns.theta) > 160_000  # a matrix of them would take 200 GB
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(load_stage("matrix_free"), "MULTIPLIER_ROUNDS", 1)
        report = run("matrix_free", problem, unknowns, rounds=(1.0,), iterations=3)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * (1 if sys.platform == "darwin" else 1024)
    assert report.iterations == 6
    assert grown < 500 * 8 * len(unknowns.theta)  # L-BFGS keeps twenty pairs, and the backward pass the layers


def test_an_empty_problem_is_no_obstacle():
    # Nothing to estimate but the start, and then not even that.
    for initial in ({}, {"x": 2.0}):
        model = HybridODE("x' = -0.5*x - 0.4*x^2", initial=initial)
        for name in ("single_shooting", "matrix_free"):
            problem, unknowns = beginning(model, dataset(("x",), (TIMES, TRUE)))
            run(name, problem, unknowns)
            assert unknowns.nodes == pytest.approx(TRUE, abs=2e-2)
