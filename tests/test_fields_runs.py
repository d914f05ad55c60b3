"""Laws of fields in run directories, tables, exports and commands; truth is SciPy on the lattice written out here."""

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from field_laws import TIMES, N, carried_law, spreading_law
from fields import first, fisher_kpp, second
from scipy.integrate import solve_ivp
from test_cli import run

import udesys as ud
from udesys import runs
from udesys.assess import fields as assess_fields
from udesys.assess.ahead import forecast_table
from udesys.assess.export import export_text
from udesys.assess.field_runs import field_runs, hybrid_along, law_along, point_of
from udesys.assess.whiteness_fields import FittedFields
from udesys.errors import DataError, FitError, UdesysError
from udesys.integrate import lattice
from udesys.integrate.driving import driving_of
from udesys.model import standalone_fields
from udesys.model.closed_form import ClosedForm
from udesys.model.python_fields import field_module
from udesys.runs.tables import predictions_csv

FITTED = TIMES - 2


@pytest.fixture(scope="module")
def law():
    return spreading_law()


@pytest.fixture(scope="module")
def saved(law, tmp_path_factory):
    return runs.save(law, tmp_path_factory.mktemp("fields") / "run")


@pytest.fixture(scope="module")
def again(saved):
    return runs.load_run(saved)


# ------------------------------------------------------------------ the run directory
def test_a_law_of_fields_comes_back_from_its_run(law, again):
    assert str(again) == str(law) and again.to_dict() == law.to_dict()
    assert str(again.fit) == str(law.fit)
    assert again.model.grid == law.model.grid and again.data.position == "x"
    assert not again.data.inputs and list(again.fit.data.inputs) == ["mean3(u)", "dx(u)", "dxx(u)"]
    t = np.linspace(0.0, 5.0, 6)
    for one, other in zip(field_runs(again), field_runs(law), strict=True):
        np.testing.assert_array_equal(law_along(again, one, t), law_along(law, other, t))
        np.testing.assert_array_equal(hybrid_along(again, one, t), hybrid_along(law, other, t))
    np.testing.assert_array_equal(again.bands(t, 4), law.bands(t, 4))
    assert again.model.parameters["beta1_u"].prior == law.model.parameters["beta1_u"].prior


def test_predictions_are_in_long_form_with_the_position(law):
    rows = list(csv.DictReader(io.StringIO(predictions_csv(law))))
    assert list(rows[0]) == ["trajectory", "part", "t", "x", "u", "predicted.u"]
    assert len(rows) == 2 * N * TIMES
    assert [row["trajectory"] for row in rows[:: N * TIMES]] == ["A", "B"]
    assert [row["part"] for row in rows[::N][:TIMES]] == ["fit"] * FITTED + ["heldout"] * 2
    gap = rows[2 * N + 3]
    assert (gap["t"], gap["u"]) == ("1.0", "")
    t = np.unique([float(row["t"]) for row in rows])
    own = [float(row["predicted.u"]) for row in rows if row["trajectory"] == "B" and float(row["x"]) == 0.4]
    assert own == pytest.approx(law.forecast(t, N + 4)["u"].tolist(), rel=1e-5)


def test_equations_have_partial_derivatives_in_latex(law):
    text = export_text(law, "latex")
    assert r"\frac{\partial u}{\partial t} &=" in text
    assert r"\partial_{x} u" in text and r"\partial_{xx} u" in text
    assert "langle" not in text, "what its prior holds at zero is not written"
    form = law.closed_form
    values = np.where(np.arange(len(form.values)), form.values, 0.5)
    moved = replace(law, closed_form=form.with_values(values))
    assert r"0.5 \, \left\langle u \right\rangle" in export_text(moved, "latex")
    assert r"u \, \partial_{x} u" in export_text(carried_law(), "latex")


def test_sbml_is_refused_with_what_to_take_instead(law):
    with pytest.raises(UdesysError, match=r"SBML core knows no space.*python or latex"):
        export_text(law, "sbml")


# ------------------------------------------------------------------ the module
def loaded(text):
    space = {"__name__": "exported"}
    exec(compile(text, "equations.py", "exec"), space)
    return space


@pytest.mark.parametrize("make", [spreading_law, carried_law])
def test_the_module_predicts_what_the_law_does(make):
    law = make()
    module, d = loaded(export_text(law, "python")), len(law.model.states)
    for run_ in field_runs(law):
        found = np.array(module["predict"](run_.name)).reshape(len(run_.t), d, N)
        assert found.transpose(0, 2, 1) == pytest.approx(law_along(law, run_, run_.t), abs=2e-6)


def test_the_module_follows_the_equations_on_the_ring(law):
    module, h = loaded(export_text(law, "python")), 0.1
    u = np.random.default_rng(1).uniform(0, 1, N)
    b1, b2, b3 = (law.parameters[f"beta{k}_u"].value for k in (1, 2, 3))
    c0, c1 = (law.residuals["NN"].constants[name].value for name in ("c0", "c1"))
    mean = (np.roll(u, 1) + 2 * u + np.roll(u, -1)) / 4
    want = b1 * mean + b2 * first(u, h) - b3 * second(u, h) + c0 * u + c1 * u**2
    assert law.residuals["NN"].expression == "c0*u + c1*u**2"
    assert module["rhs"](0.0, u.tolist()) == pytest.approx(want, rel=1e-10, abs=1e-12)


ENDED = """u' = D*dxx(u**2) + gain*F*u - x*v
v' = 0.3*dxx(v) - v*dx(u)"""


def ended_form():
    """Two fields with different ends, an input, the position in an equation, an operator of an expression."""
    grid = ud.Grid(np.linspace(0.0, 1.0, 6), {"u": "neumann", "v": "dirichlet"})
    model = ud.HybridODE(
        ENDED,
        parameters={"D": ud.Parameter(0.2), "gain": 0.7},
        inputs=("F",),
        covariates=("x",),
        observe={"both": "u + 2*v*F"},
        grid=grid,
    )
    return ClosedForm(model, {}, {"D": 0.2})


def ended_slopes(t, z):
    u, v = z.reshape(2, 6)
    h, x, force = 0.2, np.linspace(0, 1, 6), 1.0 + 0.5 * t
    mirrored = np.concatenate([u[1:2], u, u[-2:-1]])
    beyond = np.concatenate([[0.0], v, [0.0]])
    square = mirrored**2
    du = 0.2 * (square[2:] - 2 * square[1:-1] + square[:-2]) / h**2 + 0.7 * force * u - x * v
    dv = 0.3 * (beyond[2:] - 2 * v + beyond[:-2]) / h**2 - v * (mirrored[2:] - mirrored[:-2]) / (2 * h)
    dv[[0, -1]] = 0.0
    return np.concatenate([du, dv])


def ended_module():
    t = np.linspace(0.0, 1.0, 5)
    x0 = {"u": np.linspace(1.0, 0.4, 6), "v": np.array([0.2, 0.5, 0.9, 0.7, 0.4, 0.1])}
    zeros = {name: np.zeros((5, 6)) for name in ("u", "v")}
    data = ud.Dataset.from_fields(t, np.linspace(0, 1, 6), zeros, inputs={"F": 1.0 + 0.5 * t})
    driving = driving_of(data, data.trajectories[0], ("F", "x"))
    start = {"0": {name: values.tolist() for name, values in x0.items()}}
    return (
        loaded(field_module(ended_form(), start, {"0": t}, driving={"0": driving})),
        t,
        np.concatenate([*x0.values()]),
    )


def test_the_module_has_ends_inputs_positions_and_observables():
    module, t, start = ended_module()
    assert module["rhs"](0.5, start.tolist(), [1.25]) == pytest.approx(ended_slopes(0.5, start), rel=1e-10)
    want = solve_ivp(ended_slopes, (0, 1), start, "Radau", t, rtol=1e-10, atol=1e-12).y.T
    found = np.array(module["predict"]("0"))
    assert found[:, :12] == pytest.approx(want, abs=1e-6)
    force = (1.0 + 0.5 * t)[:, None]
    assert found[:, 12:] == pytest.approx(want[:, :6] + 2 * want[:, 6:] * force, abs=1e-5)


def test_the_module_has_the_jacobian_of_its_right_side():
    module, _, start = ended_module()
    rows = module["jacobian"](0.5, start.tolist(), [1.25])
    dense = np.array([[row.get(c, 0.0) for c in range(12)] for row in rows])
    step = 1e-6
    for c in range(12):
        move = step * np.eye(12)[c]
        slope = (ended_slopes(0.5, start + move) - ended_slopes(0.5, start - move)) / (2 * step)
        assert dense[:, c] == pytest.approx(slope, abs=1e-7)


def test_the_modules_method_is_of_order_four():
    """u' = -3 (u - cos t) - sin t + u^2 - cos^2 t from u = 1 is cos t; the slope of log error against log step."""

    def rates(t, x, slopes=False):
        u, wanted = x[0], float(np.cos(t))
        if slopes:
            return [{0: -3.0 + 2.0 * u}]
        return [-3.0 * (u - wanted) - float(np.sin(t)) + u**2 - wanted**2]

    errors = []
    for n in (10, 20, 40):
        x, h = [1.0], 1.0 / n
        for k in range(n):
            x, _ = standalone_fields._step(rates, k * h, x, h, [1.0], 1e-6)
        errors.append(abs(x[0] - np.cos(1.0)))
    slopes = np.diff(np.log(errors)) / np.log(0.5)
    assert (slopes > 3.6).all()


def test_the_module_prints_a_row_for_each_time_and_point(law, tmp_path, capsys):
    text = export_text(law, "python", "B, x = 0.2")
    exec(compile(text, "equations.py", "exec"), {"__name__": "__main__"})
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert list(rows[0]) == ["trajectory", "t", "x", "predicted.u"]
    assert len(rows) == N * TIMES and {row["trajectory"] for row in rows} == {"B"}


# ------------------------------------------------------------------ forecasts and bands
def test_a_forecast_is_a_row_for_each_time_and_point_of_one_simulation_a_run(law, monkeypatch):
    assess_fields._courses.clear()
    made, simulate = [], assess_fields.simulate_fields
    monkeypatch.setattr(assess_fields, "simulate_fields", lambda *point: made.append(1) or simulate(*point))
    table, _ = forecast_table(law, 4.0, compare=True)
    assert len(made) == 4  # the law and the hybrid, of two runs
    assert list(table) == [
        "trajectory", "t", "x", "u", "u low", "u high", "u hybrid", "u persistence", "inside",
    ]  # fmt: skip
    assert len(table) == 2 * 4 * N
    own = table[(table["trajectory"] == "B") & (table["x"] == 0.4)]
    assert own["u"].to_numpy() == pytest.approx(law.forecast(own["t"], N + 4)["u"].to_numpy())
    assert own["u persistence"].iloc[0] == law.data.trajectories[N + 4].y[-1, 0]
    assert (table["u low"] < table["u"]).all() and (table["u"] < table["u high"]).all()


def test_a_forecast_of_one_point_or_run_is_that_part_of_the_whole(law):
    whole = forecast_table(law, 4.0)[0]
    point = forecast_table(law, 4.0, trajectory="B, x = 0.4")[0]
    part = whole[(whole["trajectory"] == "B") & (whole["x"] == 0.4)].reset_index(drop=True)
    assert point.equals(part)
    assert len(forecast_table(law, 4.0, trajectory="A")[0]) == 4 * N
    assert point_of(law, "A")[1] is None
    with pytest.raises(DataError, match=r"there is no run 'C'\. The law was fitted to A, B"):
        forecast_table(law, 4.0, trajectory="C")
    with pytest.raises(DataError, match="a row for each time and point"):
        forecast_table(law, 4.0, step=1e-5)


def test_bands_follow_from_the_covariance_and_finite_differences(law):
    """Against J S J^T with J by differences of SciPy's solutions, by the constants and every start."""
    t, h, point = np.array([0.0, 1.0, 3.0]), 0.1, 4
    values, p = law.closed_form.values, len(law.closed_form.values)
    start = np.array([law.initial[run_.name]["u"] for run_ in law.data.trajectories[:N]])

    def solved(q, u0):
        b1, b2, b3, c0, c1 = q

        def slopes(_, u):
            mean = (np.roll(u, 1) + 2 * u + np.roll(u, -1)) / 4
            return b1 * mean + b2 * first(u, h) - b3 * second(u, h) + c0 * u + c1 * u**2

        return solve_ivp(slopes, (0, 3), u0, "Radau", t, rtol=1e-10, atol=1e-12).y[point]

    step = 1e-5
    by_values = [(solved(values + step * e, start) - solved(values - step * e, start)) / (2 * step) for e in np.eye(p)]
    by_start = [(solved(values, start + step * e) - solved(values, start - step * e)) / (2 * step) for e in np.eye(N)]
    by_values, by_start = np.array(by_values).T, np.array(by_start).T
    known = law.covariance
    follow = known.mixed[:N, :, 0] @ np.linalg.inv(known.values)
    rest = known.starts[:N, 0, 0] - np.einsum("np,np->n", follow, known.mixed[:N, :, 0])
    whole = by_values + by_start @ follow
    variance = np.einsum("tp,pq,tq->t", whole, known.values, whole) + by_start**2 @ rest
    band = law.bands(t, point)
    half = 0.5 * (band["u high"] - band["u low"]).to_numpy()
    assert half == pytest.approx(1.959964 * np.sqrt(variance), rel=2e-3)


@pytest.mark.parametrize("few", [64, 4])
def test_what_a_fit_takes_up_of_errors_is_the_projection_on_all_slopes(few, monkeypatch):
    """Against a dense projection on differences by the constants and by all starts, with long waves alone or all."""
    monkeypatch.setattr(lattice, "FEW", few)
    law = carried_law()
    footing, form = law.footing, law.closed_form
    data, x0 = footing.data, footing.x0
    found = FittedFields(form, data, footing.steps, x0, data.mask)

    def weighted(values, start):
        return (form.simulate(start, data.t, data.segments, footing.steps, values=values)[0] / data.noise).ravel()

    step, columns = 1e-5, []
    for move in np.eye(len(form.values)) * step:
        columns.append((weighted(form.values + move, x0) - weighted(form.values - move, x0)) / (2 * step))
    for move in (np.eye(x0.size) * step).reshape(-1, *x0.shape):
        columns.append((weighted(form.values, x0 + move) - weighted(form.values, x0 - move)) / (2 * step))
    basis = np.linalg.qr(np.array(columns).T)[0]
    assert found.rank == len(columns)
    assert found.leverage == pytest.approx((basis**2).sum(1).reshape(data.mask.shape), abs=1e-3)
    errors = np.random.default_rng(0).standard_normal((2, *data.mask.shape))
    flat = errors.reshape(2, -1)
    assert found.left(errors).reshape(2, -1) == pytest.approx(flat - (flat @ basis) @ basis.T, abs=1e-3)


def test_a_profile_of_fields_agrees_with_the_covariance_where_the_law_is_nearly_linear(again):
    found = again.profile("beta3_u")
    assert found.interval == pytest.approx(found.covariance_interval, rel=2e-3)


def test_runs_held_out_as_a_whole_start_at_their_first_profile(law):
    whole = replace(law, heldout=replace(law.data.select("B")), data=law.data.select("A"))
    whole = replace(whole, initial={name: x0 for name, x0 in law.initial.items() if name.startswith("A")})
    last = field_runs(whole)[-1]
    assert (last.name, last.at, last.n_fitted) == ("B", None, 0)
    states = law_along(whole, last, last.t)
    assert states[0, :, 0] == pytest.approx([point.y[0, 0] for point in last.held])


def test_a_fit_simulates_a_point_with_all_of_its_run(law):
    t = np.linspace(0.0, 3.0, 7)
    found = law.fit.simulate(t, N + 4)
    assert found == pytest.approx(hybrid_along(law, field_runs(law)[1], t)[:, 4], rel=1e-6)
    with pytest.raises(FitError, match="other data of fields are not simulated by a fit"):
        law.fit.simulate_data(law.data)


# ------------------------------------------------------------------ refusals
def test_other_points_than_the_grids_are_refused():
    x, t, _, y = fisher_kpp(8, until=2.0)
    data = ud.Dataset.from_fields(t, x, {"u": y})
    for points in (x[:6], 2 * x):
        model = ud.HybridODE("u' = D*dxx(u) + NN(u)", grid=ud.Grid(points))
        with pytest.raises(FitError, match=r"arrays has 8 points of x from 0 to 0.875. Take them from the data"):
            ud.fit(model, data)


def test_experiments_are_not_suggested_for_fields(law):
    with pytest.raises(UdesysError, match="not suggested for fields"):
        law.suggest()


# ------------------------------------------------------------------ the command line
SPEC = """
[data]
file = "spread.csv"
time = "t"
[grid]
position = "x"
[model]
equations = "u' = D*dxx(u) + NN(u)"
[derived]
half = "D/2"
[fit]
restarts = 1
[search]
engines = ["sparse"]
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """A folder with a run that the command line made from a table in long form."""
    folder = tmp_path_factory.mktemp("told")
    x, t, _, y = fisher_kpp(N, noise=0.005, until=3.0)
    rows = [f"{now},{at},{float(y[i, k])!r}" for i, now in enumerate(t) for k, at in enumerate(x)]
    (folder / "spread.csv").write_text("\n".join(["t,x,u", *rows]) + "\n")
    (folder / "spread.toml").write_text(SPEC)
    done = run("discover", folder / "spread.toml", "-o", folder / "run", "--quiet")
    assert done.exit_code == 0, done.output
    assert f"1 run of {N} points" in done.stdout
    return folder


def test_a_run_of_a_spec_has_all_its_files(told):
    names = {path.name for path in (told / "run").rglob("*.*")}
    assert {"predictions.csv", "equations.py", "equations.tex", "report.html", "fit.png", "residuals.png"} <= names
    result = json.loads((told / "run" / "result.json").read_text())
    assert result["grid"]["position"] == "x" and list(result["initial"]) == ["0"]
    assert result["derived"]["half"]["value"] == pytest.approx(0.005, rel=0.05)  # the truth has D = 0.01
    there = run("discover", told / "spread.toml", "-o", told / "run", "--quiet")
    assert there.exit_code == 0 and "is finished; nothing was changed" in there.stderr


def test_what_was_stopped_after_the_fit_goes_on_to_the_same_law(told, monkeypatch):
    folder = told / "half"
    assert run("fit", told / "spread.toml", "-o", folder, "--quiet").exit_code == 0
    assert run("recover", folder, "--quiet").exit_code == 0
    one, other = (json.loads((told / name / "result.json").read_text()) for name in ("run", "half"))
    for changing in ("timing_s", "versions"):
        one.pop(changing), other.pop(changing)
    assert one == other


def test_forecasts_exports_and_refusals_at_the_command_line(told, tmp_path):
    folder = told / "run"
    done = run("forecast", folder, "--until", "4", "-o", tmp_path / "f.csv", "-f", tmp_path / "f.png")
    assert done.exit_code == 0, done.output
    rows = list(csv.DictReader((tmp_path / "f.csv").open()))
    assert list(rows[0]) == ["t", "x", "u", "u low", "u high", "inside"] and len(rows) == 3 * N
    assert (tmp_path / "f.png").stat().st_size > 10_000
    point = run("forecast", folder, "--until", "4", "--trajectory", "x = 0.4", "--json")
    assert [row["x"] for row in json.loads(point.stdout)] == [0.4] * 3
    assert run("export", folder, "--to", "python").stdout == Path(folder / "equations.py").read_text()
    for command, said in (
        (("export", folder, "--to", "sbml"), "SBML core knows no space"),
        (("suggest", folder), "not suggested for fields"),
        (("bifurcation", folder, "--vary", "D", "--from", "0", "--to", "1"), "fields on a grid"),
        (("forecast", folder, "--until", "4", "--trajectory", "y = 0"), "there is no run 'y = 0'"),
    ):
        refused = run(*command)
        assert refused.exit_code == 1 and said in refused.stderr and "Traceback" not in refused.stderr


def test_profiles_and_support_are_added_to_a_run(told):
    done = run("profile", told / "run", "D", "--quiet")
    assert done.exit_code == 0 and "D" in done.stdout, done.output
    done = run("support", told / "run", "--resamples", "1", "--jobs", "1", "--quiet")
    assert done.exit_code == 0 and "100 %" in done.stdout, done.output
    result = runs.load_result(told / "run")
    assert "D" in result["profiles"] and result["support"]["failed"] == 0
