"""Refits of closed forms by simulation, against SciPy on the same residuals."""

import numpy as np
import pytest
from laws import COLUMNS, EXACT, TRUTH, lotka_volterra_rhs, measured, solution
from scipy.optimize import least_squares

from udesys.model import HybridODE, Parameter
from udesys.model.closed_form import ClosedForm, Formula
from udesys.model.grammar import parse_expression
from udesys.search.measurements import Measurements
from udesys.select import Refitter

TIMES = [np.linspace(0, 3, 31), np.sort(np.random.default_rng(8).uniform(1, 4, 24))]
STARTS = [EXACT.y[0], [1.5, 0.6]]
SIGMA = np.array([0.02, 0.05])
OPEN = (-np.inf, np.inf)


def measurements(data, states, sigma=SIGMA, free=(True, True)):
    y = np.concatenate([run.y for run in data.trajectories])
    mask = np.isfinite(y).astype(float)
    ends = np.cumsum([len(run.t) for run in data.trajectories])
    return Measurements(
        t=np.concatenate([run.t for run in data.trajectories]),
        y=np.where(mask > 0, y, 0.0),
        mask=mask,
        sigma=np.array(sigma),
        segments=(np.array([0, *ends[:-1]]), ends),
        free=np.array(free),
    )


def noisy(noise=0.03, missing=0.0):
    data = measured(lotka_volterra_rhs, STARTS, TIMES, COLUMNS, noise=noise, seed=2)
    found = measurements(data, 2)
    if missing:
        gone = np.random.default_rng(0).random(found.y.shape) < missing
        found.mask[gone], found.y[gone] = 0.0, 0.0
    return found


def law(alpha=1.0, beta=1.0, gamma=1.0):
    """Lotka-Volterra with alpha and both interactions to refit."""
    model = HybridODE(
        "prey' = alpha*prey + NN1(prey, predator)\npredator' = NN2(prey, predator) - 1.8*predator",
        parameters={"alpha": Parameter(1.0)},
    )
    tree = parse_expression("c0*prey*predator")
    return ClosedForm(
        model, {"NN1": Formula(tree, {"c0": -beta}), "NN2": Formula(tree, {"c0": gamma})}, {"alpha": alpha}
    )


def refitter(data, bounds=None, nodes=None, steps=4):
    return Refitter(data, data.y if nodes is None else nodes, bounds or {}, np.full(len(data.t), steps, dtype=np.int64))


def scipy_refit(data, free=True, alpha=OPEN):
    """alpha, beta, gamma and the starts of both runs by SciPy on the same weighted residuals."""
    first = np.array(STARTS).ravel()

    def residuals(z):
        starts = z[3:].reshape(2, 2) if free else np.array(STARTS)
        states = []
        for x0, a, b in zip(starts, *data.segments, strict=True):
            states.append(solution(lambda t, x: lotka_volterra_rhs(t, x, *z[:3], TRUTH["delta"]), x0, data.t[a:b]))
        return (data.mask * (np.concatenate(states) - data.y) / data.sigma).ravel()

    inside = np.clip(TRUTH["alpha"], alpha[0] + 0.05, alpha[1] - 0.05)
    z0 = np.concatenate([[inside, 1.0, 1.0], first if free else []])
    low, high = np.full(len(z0), -np.inf), np.full(len(z0), np.inf)
    low[0], high[0] = alpha
    return least_squares(residuals, z0, bounds=(low, high), x_scale="jac", xtol=1e-12, ftol=1e-12)


def check(found, expected, data):
    alpha, beta, gamma = found.form.values * [1, -1, 1]
    # Both stop where the cost no longer changes in its seventh digit or finer, so values agree to its root.
    assert [alpha, beta, gamma] == pytest.approx(expected.x[:3], rel=1e-4)
    assert found.cost == pytest.approx(2 * expected.cost, rel=1e-6)
    assert found.squares == pytest.approx((data.mask * (found.states - data.y) ** 2).sum(0))
    assert found.cost == pytest.approx((found.squares / data.sigma**2).sum())


def test_a_refit_of_two_runs_agrees_with_scipy():
    data = noisy()
    found = refitter(data).refit(law(), np.array(STARTS))
    expected = scipy_refit(data)
    check(found, expected, data)
    assert found.x0.ravel() == pytest.approx(expected.x[3:], rel=1e-4)


def test_a_refit_with_missing_cells_agrees_with_scipy():
    data = noisy(missing=0.3)
    check(refitter(data).refit(law(), np.array(STARTS)), scipy_refit(data), data)


@pytest.mark.parametrize("alpha", [(0.0, 1.2), (1.4, 5.0)])
def test_a_refit_at_a_bound_agrees_with_scipy(alpha):
    data = noisy()
    start = law(alpha=np.mean(alpha))
    found = refitter(data, {"alpha": alpha}).refit(start, np.array(STARTS), iterations=60)
    assert found.form.parameters["alpha"] == min(alpha, key=lambda bound: abs(bound - TRUTH["alpha"]))
    check(found, scipy_refit(data, alpha=alpha), data)


def test_a_start_outside_the_bounds_is_brought_inside():
    data = noisy()
    found = refitter(data, {"alpha": (0.0, 2.0)}).refit(law(alpha=3.0), np.array(STARTS), iterations=60)
    assert found.form.parameters["alpha"] == pytest.approx(scipy_refit(data).x[0], rel=1e-3)


def test_given_starts_stay_and_the_rest_agrees_with_scipy():
    plain = noisy()
    data = Measurements(
        t=plain.t, y=plain.y, mask=plain.mask, sigma=plain.sigma, segments=plain.segments, free=np.array([False, False])
    )
    found = refitter(data).refit(law(), np.array(STARTS))
    assert found.x0.tolist() == np.array(STARTS).tolist()
    check(found, scipy_refit(data, free=False), data)


def test_a_law_without_unknowns_refits_its_starts():
    model = HybridODE("x' = -x")
    t = np.linspace(0, 2, 9)
    data = measurements(measured(lambda t, x: -x, [[3.0]], [t], ("x",)), 1, sigma=[0.1], free=[True])
    found = refitter(data).refit(ClosedForm(model, {}, {}), np.array([[1.0]]))
    assert found.x0[0, 0] == pytest.approx(3.0) and found.cost == pytest.approx(0.0, abs=1e-12)


def test_the_order_of_runs_does_not_matter():
    data = noisy()
    (a, b), (c, d) = zip(*data.segments, strict=True)
    order = np.concatenate([np.arange(c, d), np.arange(a, b)])
    turned = Measurements(
        t=data.t[order],
        y=data.y[order],
        mask=data.mask[order],
        sigma=data.sigma,
        segments=(np.array([0, d - c]), np.array([d - c, d - c + b - a])),
        free=data.free,
    )
    one, other = refitter(data).refit(law(), np.array(STARTS)), refitter(turned).refit(law(), np.array(STARTS[::-1]))
    assert other.form.values == pytest.approx(one.form.values, rel=1e-6)
    assert other.x0[::-1] == pytest.approx(one.x0, rel=1e-6)


# --- starts that one long simulation rejects ---------------------------------------------------------


def test_windows_rescue_a_start_from_which_single_shooting_fails():
    t = np.linspace(0, 30, 301)  # eight rounds: wrong constants fall out of step long before the end
    states = solution(lotka_volterra_rhs, EXACT.y[0], t)
    sigma = 0.01 * states.mean(0)
    data = measurements(measured(lotka_volterra_rhs, [EXACT.y[0]], [t], COLUMNS, noise=0.01), 2, sigma=sigma)
    start = law(alpha=0.8, beta=1.4, gamma=1.2)
    direct = refitter(data).refit(start, EXACT.y[:1], iterations=60)
    assert direct is None or direct.cost > 100 * data.y.size
    rescued = refitter(data).refit(start, EXACT.y[:1], robust=True)
    assert rescued.cost < 1.2 * data.y.size  # the noise: one for each measurement
    assert rescued.form.values == pytest.approx([1.3, -0.9, 0.8], rel=0.01)


def test_windows_rescue_a_start_that_blows_up():
    model, t = HybridODE("x' = NN(x) - x"), np.linspace(0, 5, 51)
    states = solution(lambda t, x: 0.2 * x**2 - x, [2.0], t)
    data = measurements(
        measured(lambda t, x: 0.2 * x**2 - x, [[2.0]], [t], ("x",), noise=0.01), 1, sigma=[0.01], free=[True]
    )
    start = ClosedForm(model, {"NN": Formula(parse_expression("c0*x**2"), {"c0": 0.8})}, {})  # infinite at t = 1
    assert start.simulate(states[:1], t, data.segments, np.full(51, 4, dtype=np.int64))[0] is None
    found = refitter(data, nodes=states).refit(start, states[:1])
    assert found.form.values[0] == pytest.approx(0.2, abs=0.02)


def test_a_law_that_no_start_can_simulate_is_given_up():
    model, t = HybridODE("x' = NN(x)"), np.linspace(0, 5, 21)
    data = measurements(measured(lambda t, x: -x, [[2.0]], [t], ("x",)), 1, sigma=[0.01], free=[True])
    start = ClosedForm(model, {"NN": Formula(parse_expression("exp(exp(exp(c0*x + 9)))"), {"c0": 1.0})}, {})
    with np.errstate(all="ignore"):
        assert refitter(data, nodes=data.y).refit(start, data.y[:1]) is None


# --- observables, priors, positive states ------------------------------------------------------------


def seen_through(shift=0.0):
    """The predator seen through 2*sqrt(predator) + shift, the prey as it is."""
    model = HybridODE(
        "prey' = 1.3*prey + NN1(prey, predator)\npredator' = 0.8*prey*predator - 1.8*predator",
        observe={"signal": "2*sqrt(predator) + shift"},
        parameters={"shift": Parameter(0.0)},
    )
    return ClosedForm(model, {"NN1": Formula(parse_expression("c0*prey*predator"), {"c0": -1.0})}, {"shift": shift})


def observed(noise=0.03):
    """(samples, 3) of prey, nothing and signal over two runs, a fifth of the signal missing."""
    plain, rng = noisy(0.0), np.random.default_rng(5)
    y = np.column_stack([plain.y[:, 0], np.zeros(len(plain.t)), 2.0 * np.sqrt(plain.y[:, 1]) + 0.5])
    y += noise * rng.standard_normal(y.shape)
    mask = np.column_stack([np.ones(len(y)), np.zeros(len(y)), rng.random(len(y)) > 0.2])
    sigma = np.array([noise, 1.0, 2 * noise])
    return Measurements(
        t=plain.t, y=y * mask, mask=mask, sigma=sigma, segments=plain.segments, free=np.array([True, True])
    )


def test_a_refit_of_observables_agrees_with_scipy():
    data = observed()
    nodes = np.column_stack([data.y[:, 0], np.ones(len(data.t))])
    found = refitter(data, nodes=nodes).refit(seen_through(), np.array(STARTS), iterations=60)

    def residuals(z):
        states = [
            solution(lambda t, x: lotka_volterra_rhs(t, x, 1.3, z[1], 0.8, 1.8), x0, data.t[a:b])
            for x0, a, b in zip(z[2:].reshape(2, 2), *data.segments, strict=True)
        ]
        x = np.concatenate(states)
        outputs = np.column_stack([x, 2 * np.sqrt(x[:, 1]) + z[0]])
        return (data.mask * (outputs - data.y) / data.sigma).ravel()

    z0 = np.concatenate([[0.5, 0.9], np.array(STARTS).ravel()])
    expected = least_squares(residuals, z0, bounds=(0.1, 10), x_scale="jac", xtol=1e-12, ftol=1e-12)
    # Both stop where the cost no longer changes in its seventh digit or finer, as above.
    assert found.form.values * [1, -1] == pytest.approx(expected.x[:2], rel=1e-3)
    assert found.x0.ravel() == pytest.approx(expected.x[2:], rel=1e-3)
    assert found.cost == pytest.approx(2 * expected.cost, rel=1e-6)
    assert found.outputs.shape == (55, 3) and found.squares[1] == 0.0
    assert found.cost == pytest.approx((found.squares / data.sigma**2).sum())


def test_an_observable_outside_its_domain_is_a_failed_simulation():
    below = np.array([[1.0, -1.0], [1.0, -1.0]])
    assert refitter(observed(), nodes=np.tile([1.0, -1.0], (55, 1))).refit(seen_through(), below) is None
    rescued = refitter(observed(), nodes=np.ones((55, 2))).refit(seen_through(), below)  # through windows
    assert rescued.form.values == pytest.approx([0.5, -0.9], rel=0.2)


def test_a_prior_is_weighed_against_the_data_as_scipy_does():
    data, prior = noisy(), (1.1, 0.01)
    found = Refitter(data, data.y, {}, np.full(len(data.t), 4), priors={"alpha": prior}).refit(law(), np.array(STARTS))
    first = np.array(STARTS).ravel()

    def residuals(z):
        states = [
            solution(lambda t, x: lotka_volterra_rhs(t, x, *z[:3], TRUTH["delta"]), x0, data.t[a:b])
            for x0, a, b in zip(z[3:].reshape(2, 2), *data.segments, strict=True)
        ]
        rows = (data.mask * (np.concatenate(states) - data.y) / data.sigma).ravel()
        return np.append(rows, (z[0] - prior[0]) / prior[1])

    expected = least_squares(residuals, np.concatenate([[1.2, 1.0, 1.0], first]), x_scale="jac", xtol=1e-12, ftol=1e-12)
    assert found.form.values * [1, -1, 1] == pytest.approx(expected.x[:3], rel=1e-4)
    assert found.cost == pytest.approx(2 * expected.cost, rel=1e-6)
    assert found.penalty == pytest.approx(((expected.x[0] - 1.1) / 0.01) ** 2, rel=1e-2)
    assert 1.1 < found.form.parameters["alpha"] < scipy_refit(data).x[0]  # between the prior and the data


def test_the_start_of_a_positive_state_is_not_negative():
    model, t = HybridODE("x' = -x", positive=["x"]), np.linspace(0, 2, 9)
    free = HybridODE("x' = -x")
    below = measurements(measured(lambda t, x: -x, [[-0.1]], [t], ("x",)), 1, sigma=[0.1], free=[True])
    assert refitter(below).refit(ClosedForm(free, {}, {}), np.array([[1.0]])).x0[0, 0] == pytest.approx(-0.1)
    assert refitter(below).refit(ClosedForm(model, {}, {}), np.array([[1.0]])).x0[0, 0] == 0.0
