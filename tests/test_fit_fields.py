"""Fields on a grid fitted and turned into laws: against the equations that made them, and SciPy."""

import numpy as np
import pytest
from fields import fisher_kpp, second, solved

from udesys.data import Dataset
from udesys.errors import FitError
from udesys.fit import FitOptions, fit
from udesys.fit.profiles_on_grid import profiles, with_operators
from udesys.model import Grid, HybridODE, Parameter
from udesys.model.closed_form import ClosedForm, Formula
from udesys.model.grammar import parse_expression
from udesys.model.runs_on_grid import steps_on_grid
from udesys.search.grid_form import GridForm, about_form
from udesys.search.measurements import Measurements
from udesys.select.field_refit import refitter_of

ONE = FitOptions(restarts=1)


@pytest.fixture(scope="module")
def fisher():
    """The hybrid u' = conv3(u) + NN(u) fitted to Fisher-KPP on 25 points at 0.5 % noise, and the exact field."""
    x, t, exact, u = fisher_kpp()
    return fit(HybridODE("u' = conv3(u) + NN(u)", grid=Grid(x)), Dataset.from_fields(t, x, {"u": u}), seed=0), exact


def test_a_hybrid_on_a_grid_finds_diffusion_and_reaction(fisher):
    fitted, exact = fisher
    assert fitted.converged
    found = np.array(fitted.states)[:, :, 0].T
    assert np.sqrt(np.mean((found[1:] - exact[1:]) ** 2)) < 0.0025, "half of the noise"
    value, stderr = fitted.parameters["beta3_u"]
    assert value == pytest.approx(-0.01, rel=0.05)
    assert abs(value + 0.01) < 3 * stderr
    assert fitted.noise["u"] == pytest.approx(0.005, rel=0.1)
    u = np.linspace(0.05, 0.95, 19)
    values, std = fitted.term("NN", u)
    assert np.abs(values - u * (1 - u)).max() < 0.02
    assert (np.abs(values - u * (1 - u)) < 4 * std).all()


def test_what_a_network_says_as_well_is_left_to_it(fisher):
    fitted, _ = fisher
    assert fitted.model.parameters["beta1_u"].prior == (0.0, 0.002)  # a thousandth of u between samples 0.5 apart
    assert abs(fitted.parameters["beta1_u"][0]) < 0.002
    free = HybridODE("u' = conv3(u) + NN(v)\nv' = -v", grid=fitted.model.grid)
    x, t = np.array(fitted.model.grid.points), np.arange(4.0)
    data = Dataset.from_fields(t, x, {"u": np.ones((4, 25)), "v": np.ones((4, 25))})
    from udesys.fit.fields import gauged

    assert gauged(free, data).parameters["beta1_u"].prior is None


def test_the_band_of_a_network_is_what_the_noise_leaves_open(fisher):
    fitted, _ = fisher
    u = np.linspace(0.1, 0.9, 9)
    values, std = fitted.term("NN", u)
    assert (std < 0.015).all(), "beta1*u is the network's, to 0.002*u"
    assert np.sqrt((((values - u * (1 - u)) / std) ** 2).mean()) < 2


def test_steps_are_finer_where_the_profile_still_changes_fast(fisher):
    fitted, _ = fisher
    (steps,) = fitted.steps
    assert steps[0] > 1
    assert steps[0] == steps.max()


def test_missing_cells_two_runs_ends_without_slope_and_a_number_that_differs_between_runs():
    n, t = 15, np.linspace(0, 2, 9)
    x, rng = np.linspace(0, 1, n), np.random.default_rng(1)
    grid, h = Grid(x, ends="neumann"), 1 / (n - 1)

    def curvature(u):
        v = np.concatenate([u[1:2], u, u[-2:-1]])
        return (v[2:] - 2 * v[1:-1] + v[:-2]) / h**2

    fields = {}
    for k, start in (("1", np.cos(np.pi * x)), ("3", 0.5 + 0.4 * np.cos(2 * np.pi * x))):
        u = solved(lambda u, k=float(k): 0.02 * curvature(u) - k * u**3, start, t)
        u += 0.005 * rng.standard_normal(u.shape)
        fields[k] = {"u": np.where(rng.random(u.shape) < 0.2, np.nan, u)}
    data = Dataset.from_fields(t, x, fields, covariates={"1": {"k": 1.0}, "3": {"k": 3.0}})
    model = HybridODE("u' = D*dxx(u) - k*NN(u)", {"D": Parameter(0.05, bounds=(0, 1))}, covariates=("k",), grid=grid)
    fitted = fit(model, data, seed=0, options=ONE)
    assert fitted.parameters["D"][0] == pytest.approx(0.02, rel=0.05)
    u = np.linspace(-0.8, 0.8, 9)
    assert np.abs(fitted.term("NN", u)[0] - u**3).max() < 0.03


def test_outliers_fixed_ends_and_a_field_that_is_never_below_zero():
    n, t = 13, np.linspace(0, 3, 10)
    x, rng = np.linspace(0, 1, n), np.random.default_rng(3)
    h = 1 / (n - 1)

    def slopes(u):
        inside = 0.05 * (u[2:] - 2 * u[1:-1] + u[:-2]) / h**2 - 2 * u[1:-1] / (0.3 + u[1:-1])
        return np.concatenate([[0.0], inside, [0.0]])

    u = solved(slopes, 1 + np.sin(np.pi * x), t)
    measured = u + 0.005 * rng.standard_normal(u.shape)
    measured[rng.random(u.shape) < 0.04] += 0.5
    model = HybridODE("u' = D*dxx(u) + NN(u)", {"D": Parameter(0.1, bounds=(0, 1))}, positive=["u"],
                      grid=Grid(x, ends="dirichlet"))  # fmt: skip
    fitted = fit(model, Dataset.from_fields(t, x, {"u": measured}), seed=0, options=ONE)
    assert fitted.loss == "student"
    assert fitted.parameters["D"][0] == pytest.approx(0.05, rel=0.1)
    found = np.array(fitted.states)[:, :, 0]
    assert np.ptp(found[[0, -1]], axis=1) == pytest.approx([0, 0], abs=1e-12), "the ends keep their values"
    assert (found > 0).all()


def test_ways_of_the_fit_that_fields_do_not_have_are_refused():
    x, t, _, u = fisher_kpp(12)
    model, data = HybridODE("u' = D*dxx(u) + NN(u)", grid=Grid(x)), Dataset.from_fields(t, x, {"u": u})
    for options in (FitOptions(stages=("multiple_shooting",)), FitOptions(solver="rk4")):
        with pytest.raises(FitError, match="Leave stages and solver out"):
            fit(model, data, options=options)


def test_trajectories_that_are_no_whole_runs_are_refused():
    x, t, _, u = fisher_kpp(12)
    model, data = HybridODE("u' = D*dxx(u) + NN(u)", grid=Grid(x)), Dataset.from_fields(t, x, {"u": u})
    from dataclasses import replace

    with pytest.raises(FitError, match=r"11 trajectories are no whole runs of fields on 12 points.*position='x'"):
        fit(model, replace(data, trajectories=data.trajectories[1:], position=""), seed=0, options=ONE)
    uneven = (data.trajectories[0].rows(slice(0, 5)), *data.trajectories[1:])
    with pytest.raises(FitError, match="differ in their times"):
        fit(model, replace(data, trajectories=uneven, position=""), seed=0, options=ONE)


def test_a_start_that_blows_up_is_said_to():
    x, t, _, u = fisher_kpp(12)
    model = HybridODE("u' = -dxx(u) + NN(u)", grid=Grid(x))
    with pytest.raises(FitError, match="no start led to finite fields"):
        fit(model, Dataset.from_fields(t, x, {"u": u}), seed=0, options=ONE)


def test_smoothed_profiles_are_nearer_to_the_field_than_the_measurements():
    x, t, exact, u = fisher_kpp(50, noise=0.02)
    model = HybridODE("u' = D*dxx(u) + NN(u)", grid=Grid(x))
    data = Dataset.from_fields(t, x, {"u": u})
    (smoothed,) = profiles(model, data)
    assert np.sqrt(np.mean((smoothed[1:, :, 0] - exact[1:]) ** 2)) < 0.01
    known = with_operators(model, data, [exact[:, :, None]])
    np.testing.assert_allclose([run.u[:, 0] for run in known.trajectories], second(exact, 1 / 50).T, atol=1e-9)
    assert list(known.inputs) == ["dxx(u)"]


# ------------------------------------------------------------------ laws
@pytest.fixture(scope="module")
def law(fisher):
    """The true law of the fitted field, with its measurements and refitter."""
    fitted, _ = fisher
    formula = Formula(parse_expression("c0*u - c1*u^2"), {"c0": 0.9, "c1": 1.1})
    parameters = {name: value for name, (value, _) in fitted.parameters.items()}
    data = Measurements.of_fit(fitted)
    form = ClosedForm(fitted.model, {"NN": formula}, parameters, stiff=True)
    steps = steps_on_grid(fitted.model, data.t, data.segments, fitted.steps)
    return form, data, refitter_of(fitted.model, data, fitted.unknowns.nodes, steps), fitted


def test_a_refit_with_free_fields_is_where_no_other_law_is_nearer_by_scipy(law):
    form, data, refitter, fitted = law
    refitter = refitter_of(fitted.model, data, fitted.unknowns.nodes, 4 * refitter.steps)
    found = refitter.freed().refit(form, fitted.unknowns.nodes[data.segments[0]], iterations=30)
    n, y = 25, data.y[:, 0].reshape(25, -1).T

    def cost(z, start):
        b1, b2, b3, c0, c1 = z

        def slopes(u):
            mean, first = (np.roll(u, 1) + 2 * u + np.roll(u, -1)) / 4, (np.roll(u, -1) - np.roll(u, 1)) * n / 2
            return b1 * mean + b2 * first - b3 * second(u, 1 / n) + c0 * u - c1 * u**2

        return ((solved(slopes, start, data.t[:11]) - y) ** 2).sum() / data.sigma[0] ** 2 + (b1 / 0.002) ** 2

    values, start = found.form.values, found.x0[:, 0]
    best = cost(values, start)
    assert best == pytest.approx(found.cost, rel=1e-5)
    for k, step in enumerate((1e-3, 2e-4, 1e-4, 0.005, 0.005)):
        moved = values + step * np.eye(5)[k]
        assert cost(moved, start) > best
        assert cost(2 * values - moved, start) > best
    away = 1e-3 * np.random.default_rng(0).standard_normal(25)
    slope = (cost(values, start + away) - cost(values, start - away)) / 2
    bend = (cost(values, start + away) + cost(values, start - away)) / 2 - best
    assert abs(slope) < 0.02 * bend


def test_responses_of_the_data_are_the_sensitivities_of_a_law(law):
    form, data, refitter, fitted = law
    held = refitter.refit(form, fitted.unknowns.nodes[data.segments[0]])
    response = GridForm(form.model, data, about_form(held.form, data, held.x0, refitter.steps))
    columns = np.stack([response.x[:, 0], -response.x[:, 0] ** 2], 1)
    slopes = response.respond(columns[:, None, :])
    options = {"pieces": data.pieces, "sensitivities": True}
    exact = held.form.simulate(held.x0, data.t, data.segments, refitter.steps, **options)[1]
    np.testing.assert_allclose(slopes[:, 0], exact[:, 0, 3:5], atol=1e-8)
    task = response.task("NN")
    np.testing.assert_allclose(task.values, held.form.values[3:] @ columns.T, atol=1e-12)
    weights, *_ = np.linalg.lstsq(task.respond(columns), task.response.target, rcond=None)
    np.testing.assert_allclose(weights, held.form.values[3:], rtol=0.02)


def test_a_law_without_constants_can_be_refitted(law):
    _, data, refitter, fitted = law
    model = HybridODE("u' = 0.01*dxx(u) + NN(u)", grid=fitted.model.grid)
    form = ClosedForm(model, {"NN": Formula(parse_expression("u - u^2"), {})}, {}, stiff=True)
    alone = Measurements(
        t=data.t, y=data.y, mask=data.mask, sigma=data.sigma, segments=data.segments, free=data.free, stiff=True
    )
    found = refitter_of(model, alone, fitted.unknowns.nodes, refitter.steps).refit(form, fitted.unknowns.nodes[::11])
    assert found.cost < 2 * data.mask.sum()
