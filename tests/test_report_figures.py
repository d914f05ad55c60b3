"""The figures of a discovery: drawn from real fits, saved the same every time, without any global state."""

import sys
from dataclasses import replace

import matplotlib
import numpy as np
import pytest
from laws import discovered
from matplotlib.text import Text
from scipy.integrate import solve_ivp

from udesys.assess.estimate import Estimate
from udesys.data import Dataset, Trajectory, split_holdout
from udesys.discover import Discovery, RankedModel, Residual
from udesys.errors import FitError, ModelError
from udesys.fit import fit
from udesys.model import HybridODE
from udesys.model import tree as T
from udesys.model.closed_form import ClosedForm, Formula
from udesys.report.courses import courses_of
from udesys.report.curves import closed_form_curve, formula_values, runs_of
from udesys.report.figures import (
    draw_along_time,
    draw_correlation,
    draw_fit,
    draw_front,
    draw_over_argument,
    draw_phase,
    draw_term,
    save_figures,
)
from udesys.report.front_figure import front_of
from udesys.report.units import axis_units

C0 = T.Symbol("c0")


def product(*names):
    tree = C0
    for name in names:
        tree = T.mul(tree, T.Symbol(name))
    return tree


def discovery(model, data, formulas, *, fitted, heldout=None):
    """A Discovery put together by hand around a real fit."""
    closed = ClosedForm(model, formulas, {})
    residuals = {
        term: Residual(
            expression=closed.residual_text(term),
            constants={n: Estimate(value=v, stderr=0.01, interval=(v - 0.02, v + 0.02))
                       for n, v in formula.constants.items()},
        )
        for term, formula in formulas.items()
    }
    fixed = {n: Estimate(value=p.start, fixed=True) for n, p in model.parameters.items()}
    rmse = dict.fromkeys(data.columns, 0.02)
    best = RankedModel(residuals={t: r.expression for t, r in residuals.items()}, criterion=-210.3, delta=0.0,
                       n_constants=len(closed.values), error=rmse, heldout_error={})
    return Discovery(
        model=model, data=data, heldout=heldout, seed=0, status="ok", closed_form=closed, residuals=residuals,
        parameters=fixed, initial=fitted.initial, noise=dict.fromkeys(data.columns, 0.02),
        error={"fit": rmse, "heldout": {} if heldout is None else dict.fromkeys(data.columns, 0.05)},
        candidates=(best,), visited=dict.fromkeys(model.states, (0.1, 3.9)), warnings=(),
        timing_s={"total": 2.8}, engines=("sparse",), fit=fitted,
    )


def simulated(rhs, starts, t, columns, noise, measured=slice(None)):
    rng = np.random.default_rng(0)
    runs = []
    for k, x0 in enumerate(starts):
        y = solve_ivp(rhs, (t[0], t[-1]), x0, t_eval=t, rtol=1e-9, atol=1e-9).y.T[:, measured]
        runs.append(Trajectory(name=f"run {k + 1}", t=t, y=y + noise * rng.standard_normal(y.shape)))
    return Dataset(columns=columns, trajectories=tuple(runs), time="year", source="made.csv")


def lotka_volterra(t, x):
    return 1.3 * x[0] - 0.9 * x[0] * x[1], 0.8 * x[0] * x[1] - 1.8 * x[1]


@pytest.fixture(scope="module")
def two_species():
    """Lotka-Volterra with two interactions unknown and its last fifth held out."""
    data = simulated(lotka_volterra, [(0.4425, 4.6281)], np.linspace(0, 4, 41), ("prey", "predator"), 0.05)
    train, heldout = split_holdout(data, {"last": "20%"})
    equations = "prey' = alpha*prey + NN1(prey, predator)\npredator' = NN2(prey, predator) - delta*predator"
    model = HybridODE(equations, parameters={"alpha": 1.3, "delta": 1.8})
    eaten = product("prey", "predator")
    formulas = {"NN1": Formula(eaten, {"c0": -0.9}), "NN2": Formula(eaten, {"c0": 0.8})}
    return discovery(model, train, formulas, heldout=heldout, fitted=fit(model, train))


@pytest.fixture(scope="module")
def oscillators():
    """A damped cubic oscillator in eight runs, two of them held out whole; only its position is measured."""
    def rhs(t, x):
        return x[1], -x[0] ** 3 - 0.2 * x[1]

    starts = [(x, v) for x in (-1.0, 0.8, 1.5, 2.0) for v in (0.0, 0.5)]
    data = simulated(rhs, starts, np.linspace(0, 8, 41), ("x",), 0.02, measured=slice(1))
    train, heldout = split_holdout(data, {"trajectories": ["run 7", "run 8"]})
    model = HybridODE("x'' = NN(x) - d*x'", parameters={"d": 0.2})
    cube = T.mul(C0, T.power(T.Symbol("x"), T.Number(3.0)))
    formulas = {"NN": Formula(cube, {"c0": -1.0})}
    return discovery(model, train, formulas, heldout=heldout, fitted=fit(model, train))


# --- the files ---------------------------------------------------------------------------------------


def test_every_figure_is_saved_under_a_safe_name_and_is_the_same_every_time(two_species, tmp_path):
    files = save_figures(two_species, tmp_path / "a")
    again = save_figures(two_species, tmp_path / "b")
    assert [f.name for f in files] == ["fit.png", "term_NN1.png", "term_NN2.png", "phase.png"]
    assert {f.parent for f in files} == {tmp_path / "a" / "figures"}
    for first, second in zip(files, again, strict=True):
        content = first.read_bytes()
        assert content.startswith(b"\x89PNG") and len(content) > 10_000
        assert content == second.read_bytes()
        assert b"Software" not in content and b"tIME" not in content


def test_the_front_and_the_correlations_are_saved_where_there_are_some(tmp_path):
    law = discovered()
    names = [file.name for file in save_figures(law, tmp_path)]
    assert names == ["fit.png", "term_NN1.png", "term_NN2.png", "phase.png", "front.png", "correlation.png",
                     "residuals.png"]  # fmt: skip
    shown = words(draw_front(law))
    assert {"number of constants", "criterion above the lowest", "picked", "the data cannot tell (below 6)"} <= shown
    assert {"NN1.c0", "NN2.c0", "1.00"} <= words(draw_correlation(law))
    front = front_of(law)
    sizes, deltas = [c.n_constants for c in front], [c.delta for c in front]
    assert sizes == sorted(set(sizes)) and deltas == sorted(set(deltas), reverse=True) and deltas[-1] == 0.0


def test_the_name_of_an_output_becomes_a_safe_file_name(tmp_path):
    def rhs(t, x):
        return -x[0], -2.0 * x[1]

    data = simulated(rhs, [(1.0, 2.0)], np.linspace(0, 2, 21), ("x", "y"), 0.01)
    model = HybridODE("x' = NN(x, y)[0]\ny' = NN(x, y)[1]")
    formulas = {"NN[0]": Formula(product("x"), {"c0": -1.0}), "NN[1]": Formula(product("y"), {"c0": -2.0})}
    law = discovery(model, data, formulas, fitted=fit(model, data))
    assert [f.name for f in save_figures(law, tmp_path)][1:3] == ["term_NN_0.png", "term_NN_1.png"]
    assert "NN(x, y)[1] = -2*y" in words(draw_term(law, "NN[1]"))


def test_drawing_leaves_no_global_state_and_ignores_the_users_settings(two_species):
    usual = draw_fit(two_species).to_png()
    shown = sys.modules["matplotlib.pyplot"].get_fignums() if "matplotlib.pyplot" in sys.modules else []
    with matplotlib.rc_context({"lines.linewidth": 9.0, "font.size": 20.0, "axes.facecolor": "red"}):
        before = dict(matplotlib.rcParams)
        assert draw_fit(two_species).to_png() == usual
        assert dict(matplotlib.rcParams) == before
    if "matplotlib.pyplot" in sys.modules:
        assert sys.modules["matplotlib.pyplot"].get_fignums() == shown


def test_a_notebook_gets_the_picture(two_species):
    assert draw_phase(two_species)._repr_png_().startswith(b"\x89PNG")


# --- along time --------------------------------------------------------------------------------------


def test_a_panel_for_every_column_with_what_was_held_out(two_species):
    picture = draw_fit(two_species)
    assert [panel.get_ylabel() for panel in picture.axes] == ["prey", "predator"]
    assert picture.axes[-1].get_xlabel() == "year"
    shown = words(picture)
    for text in ("measured", "measured, held out", "closed form", "hybrid with networks", "held out",
                 "RMSE fit 0.02, held out 0.05", "made.csv"):
        assert text in shown


def test_the_curve_is_the_exact_solution_of_the_closed_form(two_species):
    (run,), _ = runs_of(two_species)
    t, x = closed_form_curve(two_species, run)
    x0 = list(two_species.initial["run 1"].values())
    exact = solve_ivp(lotka_volterra, (0, 4), x0, t_eval=t, rtol=1e-11, atol=1e-12).y.T
    assert t[0] == 0 and t[-1] == 4
    np.testing.assert_allclose(x, exact, rtol=1e-8)  # SciPy's own tolerance, grown over the span


def test_six_of_many_trajectories_are_drawn_and_held_out_ones_are_among_them(oscillators):
    runs, n = runs_of(oscillators)
    assert [run.name for run in runs] == ["run 1", "run 2", "run 3", "run 4", "run 7", "run 8"] and n == 8
    shown = words(draw_fit(oscillators))
    assert "made.csv   6 of 8 trajectories" in shown and "run 8" in shown
    assert "held out" not in shown  # whole trajectories are marked, no share of the time is shaded


def test_a_run_held_out_whole_is_drawn_from_the_start_that_fits_it(oscillators):
    held = [run for run in runs_of(oscillators)[0] if run.index is None]
    assert [run.name for run in held] == ["run 7", "run 8"]
    for run in held:  # its velocity is not measured
        t, x = closed_form_curve(oscillators, run)
        away = np.interp(run.held_t, t, x[:, 0]) - run.held_y[:, 0]
        assert np.sqrt((away**2).mean()) < 0.1  # it starts at the first place as measured, with noise of 0.02


def test_a_record_held_out_under_a_fitted_ones_name_is_drawn_apart(oscillators):
    same = replace(oscillators.data.trajectories[0], y=oscillators.data.trajectories[3].y)
    law = replace(oscillators, heldout=replace(oscillators.heldout, trajectories=(same,)))
    runs, n = runs_of(law)
    assert n == 7 and [(run.name, run.index) for run in runs].count(("run 1", 0)) == 1
    assert ("run 1", None) in [(run.name, run.index) for run in runs]
    assert draw_fit(law).to_png() and draw_phase(law).to_png()


def test_a_closed_form_that_diverges_is_drawn_as_far_as_it_goes(two_species):
    wild = replace(two_species, closed_form=two_species.closed_form.with_values([0.9, 0.8]))
    picture = draw_fit(wild)
    assert any(text.startswith("diverges at 0.") for text in words(picture))
    assert max(panel.get_ylim()[1] for panel in picture.axes) < 20  # the data end near 6
    assert picture.to_png() and draw_phase(wild).to_png()


@pytest.mark.parametrize("draw", [draw_fit, draw_phase])
def test_numbers_that_are_not_finite_are_drawn_as_nothing(two_species, draw):
    lost = replace(
        two_species,
        closed_form=two_species.closed_form.with_values([np.nan, 0.8]),
        error={"fit": {"prey": np.nan, "predator": np.inf}, "heldout": {}},
    )
    assert draw(lost).to_png()
    assert draw_term(lost, "NN1").to_png()


def test_a_discovery_without_its_fit_is_drawn_without_the_networks(two_species, tmp_path):
    bare = replace(two_species, fit=None)
    assert [f.name for f in save_figures(bare, tmp_path)] == ["fit.png", "phase.png"]
    assert "hybrid with networks" not in words(draw_fit(bare))
    with pytest.raises(FitError, match="does not hold"):
        draw_term(bare, "NN1")


# --- terms and planes --------------------------------------------------------------------------------


def test_a_term_of_one_argument_is_drawn_over_the_region_visited(oscillators):
    picture = draw_term(oscillators, "NN")
    assert "NN(x) = -x**3" in words(picture)
    visited = oscillators.fit.terms["NN"].points[:, 0]
    for line in picture.axes[0].lines:
        assert line.get_xdata().min() >= visited.min() and line.get_xdata().max() <= visited.max()


def test_a_term_of_two_arguments_is_drawn_along_time_and_against_the_network(two_species):
    picture = draw_term(two_species, "NN1")
    assert "NN1(prey, predator) = -0.9*prey*predator" in words(picture)
    assert {"formula", "network", "year"} <= {panel.get_xlabel() for panel in picture.axes} | {
        panel.get_ylabel() for panel in picture.axes
    }
    formula = formula_values(two_species, "NN1", np.array([[2.0, 3.0], [0.5, 1.0]]))
    np.testing.assert_allclose(formula, [-5.4, -0.45])


def test_an_unknown_term_is_refused(two_species):
    with pytest.raises(ModelError, match=r"no missing term 'flow'. Known are NN1, NN2\."):
        draw_term(two_species, "flow")


def test_a_plane_needs_two_states(oscillators):
    assert "visited" in words(draw_phase(oscillators))
    one = replace(oscillators, model=HybridODE("x' = NN(x)"))
    with pytest.raises(ModelError, match="needs two states, but x is the only one"):
        draw_phase(one)


def test_the_band_holds_the_law_and_widens_where_it_is_a_forecast():
    law = discovered()
    (course,), n = courses_of(law)
    t, (low, high) = np.concatenate([course.closed[0], course.beyond[0]]), course.band
    x = np.concatenate([course.closed[1], course.beyond[1]])
    assert n == 1 and len(t) == len(low) == len(high)
    assert (low <= x + 1e-9).all() and (x - 1e-9 <= high).all()
    assert t[-1] == pytest.approx(3.6)  # three time units of data, and a fifth of that
    wide = (high - low)[:, 1]
    assert wide[-1] > np.median(wide[: len(course.closed[0])])
    at = law.bands(t[[50, 300]])["predator high"].to_numpy()
    np.testing.assert_allclose(high[[50, 300], 1], at, rtol=0.02)  # interpolated between 160 times
    assert {"forecast", "95 % band"} <= words(draw_fit(law, courses=([course], n)))


def test_a_term_is_drawn_over_each_argument_and_along_time(two_species):
    labels = {"prey": "kg", "NN1": "kg/year", "year": "year"}
    for place, argument in enumerate(("prey [kg]", "predator")):
        (panel,) = draw_over_argument(two_species, "NN1", place, units=labels).axes
        assert (panel.get_xlabel(), panel.get_ylabel()) == (argument, "NN1 [kg/year]")
        x = panel.lines[-1].get_xdata()
        assert set(x) <= set(two_species.fit.terms["NN1"].points[:, place])
    assert draw_along_time(two_species, "NN1", units=labels).axes[-1].get_xlabel() == "year [year]"


def test_units_of_velocities_and_terms_follow_from_those_given(oscillators):
    assert axis_units(oscillators, {"x": "m", "year": "s"}) == {
        "x": "m", "year": "s", "t": "s", "x'": "m/s", "NN": "m/s^2",
    }  # fmt: skip
    assert axis_units(oscillators, {"x": "pelts?"}) == {"x": "pelts?"} and axis_units(oscillators, None) == {}


def words(picture):
    """Every text of a picture."""
    return {text.get_text() for text in picture.findobj(Text)}
