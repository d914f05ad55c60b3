"""The exported Python module: it computes what the law does, alone, and reproduces a run's predictions."""

import ast
import csv
import dataclasses
import io
import math
import subprocess
import sys

import numpy as np
import pytest
from laws import dataset
from test_driven_laws import loaded, oscillator_law
from test_runs import make_law
from test_runs_export import FORM, MODEL

from udesys import runs
from udesys.assess.export import export_text
from udesys.integrate.driving import driving_of
from udesys.model import HybridODE, standalone
from udesys.model.closed_form import ClosedForm, Formula
from udesys.model.grammar import parse_expression
from udesys.model.python_module import python_module

INITIAL = {'run "1"': dict.fromkeys(MODEL.states, 0.5)}


@pytest.fixture
def module(tmp_path):
    path = tmp_path / "equations.py"
    path.write_text(python_module(FORM, INITIAL, {'run "1"': [2.0, 2.5]}, source='a "b"\\n.csv'), encoding="utf-8")
    return loaded(path)


def run_alone(path):
    """What the module prints in an interpreter without any library."""
    done = subprocess.run([sys.executable, "-I", "-S", path], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


# --- the right side ----------------------------------------------------------------------------------


def test_the_module_computes_what_the_law_does(module):
    assert module.STATES == MODEL.states
    rng = np.random.default_rng(0)
    for _ in range(50):
        t, x = rng.uniform(0, 3), rng.uniform(-2, 2, 4)
        expected = FORM.program.run([*x, *FORM.values, t])
        np.testing.assert_allclose(module.rhs(t, x.tolist()), expected, rtol=1e-12)


def test_the_module_keeps_constants_apart_and_takes_others(module):
    assert module.PARAMETERS == {
        "lambda": 0.7,
        "g": 9.81,
        "rhs": -1.0,
        "theta_dot": 0.5,
        "NN1.c0": -0.3,
        "c1": 1e-7,
        "NN2.c0": 2.0,
    }
    x = [0.1, 0.2, 0.3, 0.4]
    changed = module.rhs(0.0, x, {**module.PARAMETERS, "NN2.c0": 3.0})
    # NN2 = c0*exp(-x) stands in the third equation alone.
    np.testing.assert_allclose(np.subtract(changed, module.rhs(0.0, x)), [0, 0, math.exp(-0.3), 0], atol=1e-15)
    assert (module.INITIAL, module.START, module.SOURCE) == (INITIAL, {'run "1"': 2.0}, 'a "b"\\n.csv')


def test_the_module_imports_nothing_but_what_python_brings(module):
    imports = [n for n in ast.walk(ast.parse(open(module.__file__).read())) if isinstance(n, ast.Import)]
    assert {name.name for n in imports for name in n.names} <= {"math", "bisect", "csv", "sys"}
    rows = list(csv.reader(io.StringIO(run_alone(module.__file__))))
    assert rows[0] == ["trajectory", "t", *(f"predicted.{state}" for state in MODEL.states)]
    assert rows[1] == ['run "1"', "2.0", *["0.5"] * 4]


def test_one_state_and_no_constant_make_a_module(tmp_path):
    model = HybridODE("x' = NN(x)")
    form = ClosedForm(model, {"NN": Formula(parse_expression("-x"), {})}, {})
    text = python_module(form, {"0": {"x": float("nan")}}, {"0": [0.0]})
    (tmp_path / "one.py").write_text(text)
    code = "import one; print(one.rhs(0.0, [2.0]), one.STATES, one.PARAMETERS, one.INITIAL)"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.stdout == "[-2.0] ('x',) {} {'0': {'x': nan}}\n"


def test_a_module_with_inputs_takes_their_values_or_a_function(tmp_path):
    model = HybridODE(
        "x' = NN(x, F) + callable*u",
        inputs=["F", "u"],
        covariates=["callable"],
        observe={"signal": "g*abs(x) - sign(F)", "rhs": "x"},
        parameters={"g": 9.81},
    )
    form = ClosedForm(model, {"NN": Formula(parse_expression("c0*x*F"), {"c0": -0.5})}, {})
    inputs = {"F": "linear", "u": "hold"}
    record = (np.array([0.0, 1.0]), np.zeros((2, 1)), np.array([[2.0, 3.0], [4.0, 5.0]]), [0.1])
    data = dataset(("x",), record, inputs=inputs, covariates=["callable"])
    driving = {"A": driving_of(data, data.trajectories[0], model.exogenous)}
    text = python_module(form, {"A": {"x": 1.0}}, {"A": [0.0, 1.0]}, driving=driving)
    path = tmp_path / "driven.py"
    path.write_text(text, encoding="utf-8")
    made = loaded(path)
    assert (made.INPUTS, made.OBSERVABLES) == (("F", "u", "callable"), ("signal", "rhs"))
    assert [made.inputs("A")(t) for t in (0.0, 0.5, 1.0, 9.0)] == [
        [2.0, 3.0, 0.1], [3.0, 3.0, 0.1], [4.0, 5.0, 0.1], [4.0, 5.0, 0.1],
    ]  # fmt: skip
    values = [2.0, 3.0, 0.1]
    assert made.rhs(0.0, [1.5], values) == made.rhs(0.0, [1.5], lambda t: values) == [-1.5 + 0.3 * 1.0]
    assert made.rhs(0.0, [1.5], u=values, parameters={"g": 1.0, "c0": 1.0}) == [3.0 + 0.3 * 1.0]
    assert made.observe(0.0, [-2.0], values) == [pytest.approx(2 * 9.81 - 1.0), -2.0]
    # x' = -x + 0.3 with the values held: x = 0.3 + (x0 - 0.3) exp(-t)
    assert made.simulate([0.0, 2.0], [1.0], values)[1] == [pytest.approx(0.3 + 0.7 * math.exp(-2.0), rel=1e-8)]


def test_a_module_without_inputs_has_none():
    text = python_module(FORM, INITIAL, {'run "1"': [2.0]})
    assert "def rhs(t, x, parameters=PARAMETERS):" in text
    assert not any(word in text for word in ("INPUTS", "OBSERVABLES", "observe(", "callable", "_signals", "bisect"))


# --- the simulation ----------------------------------------------------------------------------------


def along(f, t, x0, size=None, rtol=1e-10):
    return np.array(standalone._along(lambda begin: f, t, x0, size or [1.0] * len(x0), rtol))


def test_the_integrator_is_exact_where_the_solution_is_known():
    t = np.linspace(0.0, 20.0, 7).tolist()
    circle = along(lambda t, x: [x[1], -x[0]], t, [1.0, 0.0])
    np.testing.assert_allclose(circle, np.transpose([np.cos(t), -np.sin(t)]), atol=1e-7)
    logistic = along(lambda t, x: [x[0] * (1 - x[0])], t, [0.01])
    np.testing.assert_allclose(logistic[:, 0], 1 / (1 + 99 * np.exp(-np.array(t))), rtol=1e-8)
    late = along(lambda t, x: [t - 1.7e9], [1.7e9, 1.7e9 + 2.0], [0.0])  # seconds since 1970
    assert late[-1, 0] == pytest.approx(2.0, rel=1e-6)


def test_a_tolerance_ten_thousand_times_smaller_gives_errors_of_order_five():
    def error(rtol):
        return abs(along(lambda t, x: [x[1], -x[0]], [0.0, 20.0], [1.0, 0.0], rtol=rtol)[-1, 0] - math.cos(20.0))

    assert error(1e-10) < 1e-3 * error(1e-6)


def test_a_law_that_leaves_the_finite_numbers_gives_none_from_there():
    rows = along(lambda t, x: [x[0] ** 2], [0.0, 0.5, 0.9, 1.5, 2.0], [1.0])  # 1/(1 - t)
    np.testing.assert_allclose(rows[:3, 0], [1.0, 2.0, 10.0], rtol=1e-6)
    assert np.isnan(rows[3:]).all()
    assert np.isnan(along(lambda t, x: [math.log(-x[0])], [0.0, 1.0], [1.0])[1, 0])
    assert np.isnan(along(lambda t, x: [x[0] ** 0.5 - 1], [0.0, 1.0], [-1.0])[1, 0])  # complex in Python


def test_dry_friction_stops_and_sticks():
    def block(t, x):
        return [x[1], -math.copysign(1.0, x[1]) if x[1] else 0.0]

    rows = along(block, [0.0, 0.5, 1.0, 3.0, 5.0], [0.0, 1.0])
    np.testing.assert_allclose(rows[:2], [[0.0, 1.0], [0.375, 0.5]], rtol=1e-8)
    # At rest it trembles by what a step of a five-thousandth of the time adds.
    np.testing.assert_allclose(rows[2:], [[0.5, 0.0]] * 3, atol=2e-3)


def test_times_before_the_start_or_out_of_order_are_refused(module):
    for t in ([1.0], [3.0, 2.5], []):
        with pytest.raises(ValueError, match=r"t must increase, from 2\.0 on\."):
            module.predict('run "1"', t)
    assert module.predict('run "1"', [2.0, 2.5]) == module.predict('run "1"')
    np.testing.assert_allclose(module.predict('run "1"', [2.5]), module.predict('run "1"')[1:])


# --- beside the predictions of a run -----------------------------------------------------------------


def by_hand(equations, formulas, runs_, x0, *, columns=("x",), inputs=None, **model):
    """A law of given constants, as if found in measured runs; what is measured is of no matter here."""
    hybrid = HybridODE(equations, inputs=list(inputs or ()), **model)
    made = {term: Formula(parse_expression(text), constants) for term, (text, constants) in formulas.items()}
    data = dataset(columns, *runs_, time="year", inputs=inputs, covariates=tuple(model.get("covariates", ())))
    names = [run.name for run in data.trajectories]
    return dataclasses.replace(
        make_law(), model=hybrid, data=data, heldout=None, closed_form=ClosedForm(hybrid, made, {}),
        initial={name: dict(zip(hybrid.states, start, strict=True)) for name, start in zip(names, x0, strict=True)},
        visited={state: (-1.0, 1.0) for state in hybrid.states},
    )  # fmt: skip


def hares():
    t = np.arange(1900.0, 1921.0)
    return by_hand(
        "hare' = alpha*hare + NN1(hare, lynx)\nlynx' = NN2(hare, lynx) - delta*lynx",
        {"NN1": ("c0*hare*lynx", {"c0": -0.024}), "NN2": ("c0*hare*lynx", {"c0": 0.023})},
        [(t, np.ones((21, 2)))], [(34.9, 3.9)], columns=("hare", "lynx"), parameters={"alpha": 0.48, "delta": 0.93},
    )  # fmt: skip


def driven(kind):
    """Three runs of a driven oscillator whose spring depends on a temperature, seen through a gain."""
    rng, several = np.random.default_rng(0), []
    for temperature in (0.7, 1.0, 1.4):
        t = np.sort(rng.uniform(0, 9, 40)) + temperature
        several.append((t, np.zeros((40, 1)), rng.standard_normal((40, 1)), [temperature]))
    return by_hand(
        "x'' = NN(x, T) - 0.2*x' - 0.1*sign(x') + F", {"NN": ("c0*x + c1*x^3*T", {"c0": -1.0, "c1": -0.5})}, several,
        [(0.5, -0.2), (0.0, 1.0), (-1.0, 0.0)], columns=("signal",), inputs={"F": kind}, covariates=["T"],
        observe={"signal": "gain*x*T + t"}, parameters={"gain": 2.5},
    )  # fmt: skip


CASES = {
    "hares and lynxes": hares,
    "several runs, a held-out end": make_law,
    "a driven oscillator with a held-out end": oscillator_law,
    **{
        f"second order, {kind} input, covariate, observable, three runs": (lambda kind=kind: driven(kind))
        for kind in ("linear", "hold", "cubic")
    },
}


@pytest.mark.parametrize("name", CASES)
def test_run_alone_the_module_reproduces_the_predictions(name, tmp_path):
    law = CASES[name]()
    folder = runs.save(law, tmp_path / "run")
    assert (folder / "equations.py").read_text(encoding="utf-8") == export_text(law, "python")
    found = list(csv.DictReader(io.StringIO(run_alone(folder / "equations.py"))))
    saved = list(csv.DictReader((folder / "predictions.csv").open(encoding="utf-8")))
    assert [(row["trajectory"], row[law.data.time]) for row in found] == [
        (row["trajectory"], row[law.data.time]) for row in saved
    ]
    for column in (f"predicted.{name}" for name in law.closed_form.model.measurable):
        expected = np.array([float(row[column]) for row in saved])
        np.testing.assert_allclose(
            [float(row[column]) for row in found], expected, rtol=1e-6, atol=1e-6 * np.abs(expected).max()
        )  # fmt: skip


def test_predictions_beyond_the_data_are_the_forecast(tmp_path):
    law = driven("linear")
    path = tmp_path / "law.py"
    path.write_text(export_text(law, "python", "2"))
    made = loaded(path)
    assert list(made.INITIAL) == list(made.INPUTS_ALONG) == ["2"]
    t = [4.0, 11.0]
    with pytest.warns(UserWarning, match="the last value is held"):
        expected = law.forecast(t, trajectory=1)
    np.testing.assert_allclose(made.predict("2", t), expected[["x", "x'", "signal"]], rtol=1e-6)


def test_what_cannot_be_observed_is_an_empty_cell(tmp_path):
    model = HybridODE("x' = -1", observe={"root": "sqrt(x)"})
    path = tmp_path / "law.py"
    path.write_text(python_module(ClosedForm(model, {}, {}), {"1": {"x": 1.0}}, {"1": [0.0, 0.75, 2.0]}))
    assert run_alone(path).splitlines()[1:] == ["1,0.0,1.0,1.0", "1,0.75,0.25,0.5", "1,2.0,-1.0,"]
