"""Laws with measured inputs, covariates and observables, from the simulator to the files of a run."""

import csv
import importlib.util
import json
from dataclasses import replace

import numpy as np
import pytest
from laws import dataset, discover, fitted, once, solution
from scipy.integrate import solve_ivp

import udesys
from udesys.assess.forecast import heldout_error
from udesys.data import Dataset, split_holdout
from udesys.integrate.driving import driving_of
from udesys.integrate.machine import simulate
from udesys.model import HybridODE, Parameter
from udesys.model import tree as T
from udesys.model.closed_form import ClosedForm, Formula
from udesys.model.grammar import parse_expression
from udesys.model.program import Program
from udesys.report.curves import closed_form_curve, hybrid_curve, runs_of
from udesys.search.measurements import Measurements

CUBIC_SPRING = Formula(parse_expression("c0*x + c1*x^3"), {"c0": -1.0, "c1": -0.5})


def force(t):
    return 1.2 * np.sin(0.9 * t) + 0.8 * np.sin(2.3 * t + 1.0)


def oscillator(x, u):
    return [x[1], -x[0] - 0.5 * x[0] ** 3 - 0.2 * x[1] + u]


def pushed(t, u, x0, kind):
    """States of the oscillator by SciPy, interval by interval, where the input is smooth."""
    states = [np.array(x0, float)]
    for i in range(len(t) - 1):
        slope = (u[i + 1] - u[i]) / (t[i + 1] - t[i]) if kind == "linear" else 0.0

        def rhs(s, x, i=i, slope=slope):
            return oscillator(x, u[i] + slope * (s - t[i]))

        states.append(solve_ivp(rhs, t[i : i + 2], states[-1], rtol=1e-9, atol=1e-10).y[:, -1])
    return np.array(states)


@once
def oscillation(kind="linear", n=240) -> Dataset:
    t = np.linspace(0, 24, n)
    x = pushed(t, force(t), [0.5, 0.0], kind)[:, :1]
    y = x + 0.01 * np.abs(x).mean() * np.random.default_rng(0).standard_normal(x.shape)
    return dataset(("x",), (t, y, force(t)[:, None]), inputs={"F": kind})


SPRING = HybridODE("x'' = NN(x) - c*x' + F", inputs=["F"])


@once
def oscillator_law():
    """From the first four fifths of a driven oscillator; the rest is held out."""
    data, heldout = split_holdout(oscillation(), {"last": "20%"})
    return discover(SPRING, data, heldout=heldout)


# --- the simulator -----------------------------------------------------------------------------------


def machine_program(sensitive):
    trees = [parse_expression("v"), parse_expression("-a*x - b*x^3*w - 0.3*v + u*cos(t)")]
    by_state = [T.derivative(tree, s) for tree in trees for s in ("x", "v")]
    by_parameter = [T.derivative(tree, p) for tree in trees for p in ("a", "b")]
    return Program([*trees, *(by_state + by_parameter if sensitive else [])], ["x", "v", "a", "b", "t", "u", "w"])


def variational(driving, t, x0, p):
    """States and sensitivities (time, d, 4) of that system by SciPy, from sample to sample."""

    def rhs(s, z, piece, start):
        u, w = piece @ (s - start) ** np.arange(4)
        x, v, sens = z[0], z[1], z[2:].reshape(2, 4)
        jacobian = np.array([[0.0, 1.0], [-p[0] - 3 * p[1] * x**2 * w, -0.3]])
        direct = np.array([[0, 0, 0, 0], [-x, -(x**3) * w, 0, 0]])
        slope = [v, -p[0] * x - p[1] * x**3 * w - 0.3 * v + u * np.cos(s)]
        return np.concatenate([slope, (jacobian @ sens + direct).ravel()])

    z = np.concatenate([x0, np.hstack([np.zeros((2, 2)), np.eye(2)]).ravel()])
    found = [z]
    for k in range(len(t) - 1):
        z = solve_ivp(rhs, t[k : k + 2], z, "DOP853", args=(driving.pieces[k], t[k]), rtol=1e-11, atol=1e-12).y[:, -1]
        found.append(z)
    found = np.array(found)
    return found[:, :2], found[:, 2:].reshape(-1, 2, 4)


@pytest.mark.parametrize("kind", ["linear", "hold", "cubic"])
def test_a_driven_simulation_and_its_sensitivities_are_scipys(kind):
    t = np.sort(np.random.default_rng(1).uniform(0, 6, 20))
    run = (t, np.zeros((20, 1)), force(t)[:, None], [0.7])
    data = dataset(("x",), run, inputs={"u": kind}, covariates=["w"])
    driving = driving_of(data, data.trajectories[0], ("u", "w"))
    x0, p, segment = np.array([0.5, -0.2]), np.array([1.1, 0.4]), (np.array([0]), np.array([20]))
    steps, pieces = np.full(20, 16), driving.along(t)
    expected, slopes = variational(driving, t, x0, p)
    states, none = simulate(machine_program(False), 2, p, [x0], t, segment, steps, pieces=pieces)
    again, found = simulate(machine_program(True), 2, p, [x0], t, segment, steps, pieces=pieces, sensitivities=True)
    assert none is None
    np.testing.assert_array_equal(again, states)
    # order 8 in sixteen steps a sample, and SciPy's tolerance of 1e-11 a step over the span
    np.testing.assert_allclose(states, expected, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(found, slopes, rtol=1e-7, atol=1e-8)


def test_inputs_that_are_not_used_change_nothing():
    t, segment = np.linspace(0, 3, 10), (np.array([0]), np.array([10]))
    plain = Program([parse_expression("-k*x + t")], ["x", "k", "t"])
    with_input = Program([parse_expression("-k*x + t")], ["x", "k", "t", "u"])
    one, _ = simulate(plain, 1, [0.5], [[1.0]], t, segment, np.ones(10, int))
    other, _ = simulate(with_input, 1, [0.5], [[1.0]], t, segment, np.ones(10, int), pieces=np.ones((10, 1, 4)))
    np.testing.assert_array_equal(one, other)


# --- closed forms ------------------------------------------------------------------------------------


def observed_form():
    model = HybridODE(
        "x' = NN(x) + k*F",
        inputs=["F"],
        observe={"signal": "gain*x^2 + s*F", "slow": "exp(-x)"},
        parameters={"s": 0.5},
    )
    formulas = {"NN": Formula(parse_expression("c0*x"), {"c0": -0.8})}
    return ClosedForm(model, formulas, {"k": 0.7, "gain": 2.0})


def test_observables_and_their_sensitivities_are_differences_of_the_simulation():
    form, t = observed_form(), np.linspace(0, 3, 16)
    data = dataset(("signal",), (t, np.zeros((16, 1)), force(t)[:, None]), inputs={"F": "linear"})
    pieces, u = driving_of(data, data.trajectories[0], ["F"]).along(t), force(t)[:, None]

    def outputs(z):
        states, _ = form.simulate(z[None, 3:], t, segment, steps, pieces=pieces, values=z[:3])
        return form.outputs(t, states, u, values=z[:3])

    segment, steps = (np.array([0]), np.array([16])), np.full(16, 2)
    assert form.names == ("k", "gain", ("NN", "c0")) and form.inputs[-2:] == ["t", "F"]
    at = np.array([0.7, 2.0, -0.8, 0.4])
    states, sens = form.simulate(at[None, 3:], t, segment, steps, pieces=pieces, sensitivities=True)
    found = form.output_sensitivities(t, states, sens, u)
    expected = np.stack([(outputs(at + h) - outputs(at - h)) / 2e-5 for h in 1e-5 * np.eye(4)], -1)
    np.testing.assert_allclose(found, expected, atol=1e-8)  # of central differences: 1e-10, and rounding over 1e-5
    np.testing.assert_allclose(outputs(at)[:, 1], 2.0 * states[:, 0] ** 2 + 0.5 * u[:, 0])
    assert form.observed_texts() == {"signal": "2*x**2 + 0.5*F", "slow": "exp(-x)"}


def test_a_model_without_observables_has_its_states_as_outputs():
    form = ClosedForm(SPRING, {"NN": CUBIC_SPRING}, {"c": 0.2})
    states = np.ones((4, 2))
    assert form.outputs(np.arange(4.0), states) is states


# --- a driven oscillator -----------------------------------------------------------------------------


def test_a_driven_oscillator_is_found_and_forecast_with_its_own_input():
    law = oscillator_law()
    assert law.residuals["NN"].expression == "c0*x + c1*x**3"
    assert -1.0 in law.residuals["NN"].constants["c0"] and -0.5 in law.residuals["NN"].constants["c1"]
    assert 0.2 in law.parameters["c"]
    assert law.error["heldout"]["x"] < 1.3 * law.noise["x"]
    assert list(law.visited) == ["x", "x'", "F"] and not law.warnings
    (rest,) = law.heldout.trajectories
    away = law.simulate(rest.t)[:, 0] - rest.y[:, 0]
    assert np.sqrt((away**2).mean()) == pytest.approx(law.error["heldout"]["x"], rel=1e-6)
    assert "F -" in str(law) and "x'' =  " in str(law)


def test_beyond_the_last_sample_the_input_is_held_and_that_is_said(recwarn):
    law = oscillator_law()
    law.forecast(np.linspace(0, 24, 4))
    assert not recwarn
    t = np.linspace(24, 25, 5)
    with pytest.warns(UserWarning, match="F of trajectory '1' ends at t = 24: the last value is held from there to 26"):
        found = law.simulate(np.append(t, 26.0))
    last, at_end = force(np.array(24.0)), law.simulate([24.0])[0]
    numbers = [*law.closed_form.values]  # c, c0, c1

    def rhs(s, x):
        return [x[1], numbers[1] * x[0] + numbers[2] * x[0] ** 3 - numbers[0] * x[1] + last]

    np.testing.assert_allclose(found[:5], solution(rhs, at_end, t), rtol=1e-5)


def test_another_record_is_driven_by_its_own_input_even_under_the_same_name():
    data, kind = oscillation(), "hold"
    t = np.linspace(0, 8, 60)
    other_force = np.cos(1.5 * t)
    y = pushed(t, other_force, [1.0, 0.3], kind)[:, :1]
    other = dataset(("x",), (t, y, other_force[:, None]), inputs={"F": kind})
    truth = ClosedForm(SPRING, {"NN": CUBIC_SPRING}, {"c": 0.2})
    # The measured place is exact; its velocity is fitted to the record.
    assert heldout_error(truth, other, data, np.array([[0.5, 0.0]]))["x"] < 1e-4


def test_a_run_of_a_driven_law_draws_and_saves_itself(tmp_path):
    law = oscillator_law()
    folder = law.save(tmp_path / "run")
    rows = list(csv.DictReader((folder / "predictions.csv").open(encoding="utf-8")))
    assert len(rows) == 240 and list(rows[0]) == ["trajectory", "part", "t", "x", "predicted.x", "predicted.x'"]
    (run,), _ = runs_of(law)
    for curve in (closed_form_curve, hybrid_curve):
        t, x = curve(law, run)
        at = np.searchsorted(t, law.heldout.trajectories[0].t)
        assert np.abs(x[at, 0] - law.heldout.trajectories[0].y[:, 0]).max() < 6 * law.noise["x"]
    assert "F" in (folder / "equations.tex").read_text()

    from safetensors import safe_open

    with safe_open(folder / "model.safetensors", "numpy") as file:
        assert file.get_tensor("substeps").shape == (len(law.data.trajectories[0].t) - 1,)
        assert json.loads(file.metadata()["udesys"])["inputs"] == ["F"]


def loaded(path):
    spec = importlib.util.spec_from_file_location("equations", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_exported_equations_reproduce_the_predictions(tmp_path):
    folder = oscillator_law().save(tmp_path / "run")
    module, data = loaded(folder / "equations.py"), oscillation()
    rows = list(csv.DictReader((folder / "predictions.csv").open(encoding="utf-8")))
    (run,) = data.trajectories
    assert module.STATES == ("x", "x'") and module.INPUTS == ("F",)
    assert module.inputs("1")(run.t[3]) == [pytest.approx(run.u[3, 0])]
    assert "u holds the values of INPUTS" in module.rhs.__doc__

    def force_at(t):
        return [np.interp(t, run.t, run.u[:, 0])]

    x = [list(module.INITIAL["1"].values())]
    for a, b in zip(run.t[:-1], run.t[1:], strict=True):
        x.append(solve_ivp(module.rhs, (a, b), x[-1], args=(force_at,), rtol=1e-9, atol=1e-10).y[:, -1])
    predicted = [[float(row["predicted.x"]), float(row["predicted.x'"])] for row in rows]
    np.testing.assert_allclose(x, predicted, atol=1e-6)
    assert module.rhs(0.0, x[0], u=[0.3]) == module.rhs(0.0, x[0], lambda t: [0.3])


# --- observables and covariates ----------------------------------------------------------------------


@once
def logistic_law():
    """x' = 0.8 x - 0.4 x^2, seen through signal = 2.5 x + offset."""
    t = np.linspace(0, 8, 80)
    x = solution(lambda t, x: 0.8 * x - 0.4 * x**2, [0.1], t)
    y = 2.5 * x + 0.3 + 0.01 * np.random.default_rng(0).standard_normal(x.shape)
    model = HybridODE(
        "x' = NN(x)",
        observe={"signal": "gain*x + offset"},
        parameters={"gain": 2.5, "offset": Parameter(0.0)},
        initial={"x": 0.1},
    )
    return discover(model, dataset(("signal",), (t, y)))


def test_a_state_that_is_only_seen_through_an_observable_is_found(tmp_path):
    law = logistic_law()
    assert law.residuals["NN"].expression == "c0*x + c1*x**2"
    assert 0.8 in law.residuals["NN"].constants["c0"] and -0.4 in law.residuals["NN"].constants["c1"]
    assert 0.3 in law.parameters["offset"]
    assert law.noise["signal"] == pytest.approx(0.01, rel=0.3) == law.error["fit"]["signal"]
    forecast = law.forecast([0.0, 4.0])
    assert list(forecast) == ["t", "x", "signal"]
    assert forecast["signal"][1] == pytest.approx(2.5 * forecast["x"][1] + law.parameters["offset"].value)
    assert f"  signal =  2.5*x + {law.parameters['offset'].value:.4g}" in str(law)
    assert list(law.to_dict()["observe"]) == ["signal"]
    folder = law.save(tmp_path / "run")
    module = loaded(folder / "equations.py")
    assert module.observe(0.0, [2.0]) == [pytest.approx(5.0 + law.parameters["offset"].value)]
    assert r"\mathrm{signal} &= 2.5 \, x" in (folder / "equations.tex").read_text()
    header = (folder / "predictions.csv").read_text().splitlines()[0]
    assert header == "trajectory,part,t,signal,predicted.x,predicted.signal"


def test_a_covariate_that_changes_the_rate_is_found():
    rng, runs = np.random.default_rng(0), []
    for k, temperature in enumerate((1.0, 1.5, 2.0, 3.0, 2.5)):
        t = np.linspace(0, 5, 25)
        x = solution(lambda t, x, c=temperature: -0.3 * c * x**2, [2.0 + 0.2 * k], t)
        runs.append((t, x + 0.01 * rng.standard_normal(x.shape), None, [temperature]))
    data, heldout = split_holdout(dataset(("x",), *runs, covariates=["T"]), {"trajectories": ["5"]})
    law = discover(HybridODE("x' = NN(x, T)", covariates=["T"]), data, heldout=heldout)
    assert law.residuals["NN"].expression == "c0*x**2*T"
    assert -0.3 in law.residuals["NN"].constants["c0"]
    assert law.visited["T"] == (1.0, 3.0)
    assert law.error["heldout"]["x"] < 1.5 * law.noise["x"]
    table = law.forecast([0.0, 9.0], trajectory=3)  # a covariate holds for the whole run: nothing to warn of
    assert table["x"][1] == pytest.approx(2.6 / (1 + 0.9 * 2.6 * 9), rel=0.05)


# --- what a fit may say ------------------------------------------------------------------------------


def test_outliers_of_a_robust_fit_have_no_weight():
    plain = fitted(0.005, 0)
    trust = np.ones_like(plain.problem.y)
    trust[[3, 9, 20], [0, 1, 0]] = 0.1
    robust = replace(plain, loss="student", outliers=3, unknowns=replace(plain.unknowns, trust=trust, loss="student"))
    data = Measurements.of_fit(robust)
    assert np.argwhere(data.mask == 0).tolist() == [[3, 0], [9, 1], [20, 0]]
    law = udesys.recover(robust)
    assert "3 of 62 measured values are outliers: the law was refitted without." in law.warnings
    assert law.residuals["NN1"].expression == "c0*prey*predator"
    assert Measurements.of_fit(plain).mask.all()


def test_a_fit_whose_simulation_failed_is_recovered_all_the_same(tmp_path):
    lost = replace(fitted(0.005, 0), error={"prey": np.nan, "predator": np.inf})
    law = udesys.recover(lost)
    assert law.residuals["NN1"].expression == "c0*prey*predator"
    assert "n/a" not in str(law).split("Candidates")[0].split("Error")[1]
    assert law.save(tmp_path / "run").is_dir()
