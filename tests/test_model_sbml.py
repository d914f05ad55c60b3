"""SBML of closed forms: well formed, read back by others, and simulated by them to the same trajectory."""

import itertools
import math
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from laws import dataset
from scipy.integrate import solve_ivp
from test_runs import make_law
from test_runs_export import TREES

from udesys.assess.export import export_text
from udesys.assess.forecast import simulate_law
from udesys.errors import ModelError, UdesysError
from udesys.integrate.driving import driving_of
from udesys.model import HybridODE, Parameter
from udesys.model.closed_form import ClosedForm, Formula
from udesys.model.grammar import parse_expression
from udesys.model.program import Program
from udesys.model.sbml import MOST_PIECES, sbml_ids, sbml_text

libsbml = pytest.importorskip("libsbml", reason="SBML is written by python-libsbml (the extra `sbml`)")

T_INPUT = np.array([0.0, 0.4, 1.1, 1.5, 2.3, 3.0])
INPUT = np.array([0.3, 0.3, -0.8, 1.2, 0.1, 0.7])


def law(equations, formulas=None, x0=(), start=0.0, end=3.0, values=None, **model):
    """A closed form, its initial values, the times to look at, and what drives it."""
    hybrid = HybridODE(equations, **model)
    made = {term: Formula(parse_expression(text), constants) for term, (text, constants) in (formulas or {}).items()}
    form = ClosedForm(hybrid, made, values or {})
    return form, np.array([x0], float), start, np.linspace(start, end, 16)


def driven(kind, **rest):
    form, x0, start, t = law(
        "x'' = NN(x, T) - c*x' + F", {"NN": ("c0*x + c1*x^3*T", {"c0": -1.0, "c1": -0.5})}, (0.5, -0.2),
        start=2.0, end=5.5, inputs=["F"], covariates=["T"], observe={"signal": "gain*x + t"},
        parameters={"gain": 2.5}, values={"c": 0.2}, **rest,
    )  # fmt: skip
    run = (T_INPUT + 2.0, np.zeros((6, 1)), INPUT[:, None], [1.3])
    data = dataset(("x",), run, inputs={"F": kind}, covariates=["T"])
    return form, x0, start, t, driving_of(data, data.trajectories[0], ("F", "T"))


CASES = {
    "hares and lynxes from 1900": lambda: law(
        "hare' = alpha*hare + NN1(hare, lynx)\nlynx' = NN2(hare, lynx) - delta*lynx",
        {"NN1": ("c0*hare*lynx", {"c0": -0.024}), "NN2": ("c0*hare*lynx", {"c0": 0.023})},
        (34.9, 3.9), 1900.0, 1920.0, {"alpha": 0.48, "delta": 0.93},
    ),
    "every function": lambda: law(
        "x' = min(x, 0.5*v) - 0.3*max(x, abs(v))*sigmoid(x) + log(2 + x^2) - sqrt(1 + v^2)/4 + tan(0.3*sin(t))\n"
        "v'' = 0.3*sign(v) - 4*v + tanh(x) - 0.1*sinh(cos(x)) + cosh(0.1*x)^(-2) + exp(-x)*pi/9",
        None, (0.4, 1.0, 0.0),
    ),
    "names that are no ids": lambda: law(
        "time' = -exp_*time + pow\npow' = e*time - law*pow", None, (1.0, 0.2),
        values={"exp_": 0.3, "e": 0.5, "law": 0.4},
    ),
    **{f"driven, {kind}": (lambda kind=kind: driven(kind)) for kind in ("linear", "hold", "cubic")},
}  # fmt: skip


@pytest.fixture(params=CASES, scope="module")
def case(request):
    """The SBML of a closed form, the names and times to look at, and what the law does there."""
    form, x0, start, t, *driving = CASES[request.param]()
    driving = driving[0] if driving else None
    text = sbml_text(form, dict(zip(form.model.states, x0[0], strict=True)), start, driving=driving, source="a & b")
    states = simulate_law(form, x0, start, t, driving)
    expected = form.outputs(t, states, None if driving is None else driving.values(t))
    names = [*form.model.states, *form.model.observe]
    return text, names, t - start, expected


# --- read back ---------------------------------------------------------------------------------------


def read(text):
    document = libsbml.readSBMLFromString(text)
    document.checkConsistency()
    for k in range(document.getNumErrors()):
        assert document.getError(k).getSeverity() < libsbml.LIBSBML_SEV_ERROR, document.getError(k).getMessage()
    return document


OPERATORS = {
    libsbml.AST_PLUS: sum,
    libsbml.AST_TIMES: math.prod,
    libsbml.AST_MINUS: lambda a: -a[0] if len(a) == 1 else a[0] - a[1],
    libsbml.AST_DIVIDE: lambda a: a[0] / a[1],
    libsbml.AST_FUNCTION_POWER: lambda a: a[0] ** a[1],  # what <power/> is when read
    libsbml.AST_RELATIONAL_LT: lambda a: a[0] < a[1],
    libsbml.AST_RELATIONAL_GT: lambda a: a[0] > a[1],
    libsbml.AST_FUNCTION_LN: lambda a: np.log(a[0]),
    **{
        getattr(libsbml, f"AST_FUNCTION_{f.upper()}"): (lambda a, f=f: getattr(np, f)(a[0]))
        for f in "exp sin cos tan tanh sinh cosh abs".split()
    },
}


def value(node, known):
    """What MathML means, by its standard; `known` has every id, and time."""
    kind, children = node.getType(), [node.getChild(k) for k in range(node.getNumChildren())]
    if kind == libsbml.AST_FUNCTION_PIECEWISE:
        for piece, condition in zip(children[::2], children[1::2], strict=False):
            if value(condition, known):
                return value(piece, known)
        return value(children[-1], known)
    if kind == libsbml.AST_NAME_TIME:
        return known["time of SBML"]
    if kind == libsbml.AST_CONSTANT_PI:
        return math.pi
    if node.isNumber():
        return node.getValue()
    if node.isName():
        return known[node.getName()]
    return OPERATORS[kind]([value(child, known) for child in children])


class Reader:
    """An SBML document as a right side for SciPy, by the rules of the specification."""

    def __init__(self, text):
        self.document = read(text)
        model = self.document.getModel()
        parameters = [model.getParameter(k) for k in range(model.getNumParameters())]
        self.constants = {p.getId(): p.getValue() for p in parameters if p.getConstant()}
        self.id_of = {(p.getName() or p.getId()): p.getId() for p in parameters}
        rules = [model.getRule(k) for k in range(model.getNumRules())]
        self.rates = {r.getVariable(): r.getMath() for r in rules if r.isRate()}
        self.assigned = {r.getVariable(): r.getMath() for r in rules if r.isAssignment()}
        self.x0 = [model.getParameter(name).getValue() for name in self.rates]
        borders = (float(piece.split()[0]) for piece in text.split("<cn>")[1:] if "<lt/>" in text)
        self.borders = sorted(set(borders))

    def known(self, t, x):
        found = {**self.constants, "time of SBML": t, **dict(zip(self.rates, x, strict=True))}
        for name, math_ in self.assigned.items():  # written in an order in which each needs only those before
            found[name] = value(math_, found)
        return found

    def rhs(self, last):
        """dx/dt as it is up to and at the time `last`, before a next piece begins."""

        def slopes(t, x):
            known = self.known(min(t, last), x)
            return [value(math_, known) for math_ in self.rates.values()]

        return slopes

    def simulate(self, names, t):
        """(time, names) by SciPy, stopped at every number of the document that may be a border of a piece."""
        states = [np.array(self.x0)]
        for a, b in itertools.pairwise(t):
            x, stops = states[-1], [a, *(s for s in self.borders if a < s < b), b]
            for begin, end in itertools.pairwise(stops):
                rhs = self.rhs(np.nextafter(end, begin))
                x = solve_ivp(rhs, (begin, end), x, "DOP853", rtol=1e-10, atol=1e-11).y[:, -1]
            states.append(x)
        ids = [self.id_of[name] for name in names]
        rows = [self.known(now, x) for now, x in zip(t, states, strict=True)]
        return np.array([[row[i] for i in ids] for row in rows])


def test_the_rules_read_back_give_the_trajectory_of_the_law(case):
    text, names, t, expected = case
    found = Reader(text).simulate(names, t)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6 * np.abs(expected).max())


def test_a_simulator_of_sbml_gives_the_trajectory_of_the_law(case):
    roadrunner = pytest.importorskip("roadrunner", reason="the second tool, libroadrunner, is not installed")
    text, names, t, expected = case
    runner = roadrunner.RoadRunner(text)
    runner.integrator.setValue("relative_tolerance", 1e-10)
    runner.integrator.setValue("absolute_tolerance", 1e-12)
    ids = Reader(text).id_of
    found = np.array(runner.simulate(times=t.tolist(), selections=[ids[name] for name in names]))
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6 * np.abs(expected).max())


@settings(deadline=None, max_examples=150, derandomize=True)
@given(TREES)
def test_mathml_means_the_tree(tree):
    model = HybridODE("x' = NN(x, y)\ny' = 0*x")
    try:
        form = ClosedForm(model, {"NN": Formula(tree, {})}, {})
    except ArithmeticError:  # 1/0 with numbers alone
        return
    document = read(sbml_text(form, {"x": 0.7, "y": -1.3}, 0.0))
    (rule,) = [r for r in document.getModel().getListOfRules() if r.getVariable() == "x"]
    with np.errstate(all="ignore"):
        (expected,) = Program(form.rhs[:1], ["x", "y"]).run([np.float64(0.7), np.float64(-1.3)])
        try:
            found = value(rule.getMath(), {"x": np.float64(0.7), "y": np.float64(-1.3)})
        except ZeroDivisionError:
            return
    if np.isfinite(expected) and abs(expected) < 1e12:
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-9)  # libsbml writes 15 digits


# --- what is in it -----------------------------------------------------------------------------------


def test_states_constants_units_and_the_start_are_named():
    made = make_law()
    model = read(export_text(made, "sbml", "B")).getModel()
    parameters = {p.getId(): (p.getValue(), p.getConstant(), p.getName()) for p in model.getListOfParameters()}
    assert parameters.pop("t")[1:] == (False, "")
    assert parameters == {
        "x": (0.5, False, ""),
        "y": (4.0, False, ""),
        "a": (1.3, True, ""),
        "d": (1.8, True, ""),
        "NN1_c0": (-0.9, True, "NN1.c0"),
        "NN2_c0": (0.8, True, "NN2.c0"),
    }
    assert "Unit: 1/h" in model.getParameter("a").getNotesString()
    notes = model.getNotesString()
    assert "Time 0 here is 1.0 in the data" in notes and "those of trajectory &apos;B&apos;" in notes
    first = read(export_text(made, "sbml")).getModel()
    assert first.getParameter("x").getValue() == 0.44 and first.getParameter("t") is None


def test_ids_are_apart_and_keep_what_they_can():
    names = ["t", "theta", "theta'", "theta_dot", "NN1.c0", "NN[0].c0", "time", "e", "2x"]
    assert list(sbml_ids(names).values()) == [
        "t", "theta", "theta_dot", "theta_dot_", "NN1_c0", "NN_0__c0", "time_", "e_", "_2x",
    ]  # fmt: skip


def test_a_constant_input_is_one_number():
    form, x0, *_ = law("x' = F - x", None, (1.0,), inputs=["F"])
    data = dataset(("x",), (T_INPUT, np.zeros((6, 1)), np.full((6, 1), 0.25)), inputs={"F": "hold"})
    text = sbml_text(form, {"x": x0[0, 0]}, 0.0, driving=driving_of(data, data.trajectories[0], ("F",)))
    assert "piecewise" not in text and "<cn> 0.25 </cn>" in text


# --- refusals ----------------------------------------------------------------------------------------


def test_a_record_that_is_too_long_for_formulas_is_refused():
    t = np.linspace(0, 1, MOST_PIECES + 1)
    form, x0, *_ = law("x' = F - x", None, (1.0,), inputs=["F"])
    data = dataset(("x",), (t, np.zeros((len(t), 1)), np.sin(t)[:, None]), inputs={"F": "linear"})
    with pytest.raises(ModelError, match=r"F run through 2001 pieces.* more than 2000 .*Export to Python"):
        sbml_text(form, {"x": x0[0, 0]}, 0.0, driving=driving_of(data, data.trajectories[0], ("F",)))


def test_without_libsbml_the_line_that_adds_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "libsbml", None)
    with pytest.raises(UdesysError, match=r'not installed. Add it:  python -m pip install "python-libsbml>=5.20,<6"'):
        export_text(make_law(), "sbml")


def test_a_trajectory_that_is_not_there_is_refused():
    with pytest.raises(UdesysError, match=r"no trajectory 'C'. .*The law was fitted to A, B"):
        export_text(make_law(), "sbml", "C")


def test_a_parameter_of_the_language_is_no_function_of_sbml():
    form, *_ = law("x' = -sqr*x", None, (1.0,), parameters={"sqr": Parameter(2.0)}, values={"sqr": 2.0})
    assert 'id="sqr_" name="sqr"' in sbml_text(form, {"x": 1.0}, 0.0)
