"""The exported equations: the Python module computes what the law does, and the LaTeX is well formed."""

import ast
import importlib.util
import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from udesys.model import HybridODE
from udesys.model import tree as T
from udesys.model.closed_form import ClosedForm, Formula
from udesys.model.export import latex_equations, latex_name, python_module, to_latex, to_python
from udesys.model.grammar import parse_expression
from udesys.model.program import Program

# Names that Python or the module itself needs, primes, and the same constant in two terms.
MODEL = HybridODE(
    "theta'' = -lambda*sin(theta) + NN1(theta, theta') - g*sigmoid(x)\n"
    "x' = rhs*x^2 + NN2(x) - max(x, math)*sign(x) + theta_dot/(1 + x^2) - sqrt(2)^(-x)*t\n"
    "math' = abs(x - theta)^0.5 - min(math, 2) - (x - (math - 1))",
    parameters={"g": 9.81, "theta_dot": 0.5},
)
FORM = ClosedForm(
    MODEL,
    {
        "NN1": Formula(parse_expression("c0*theta' - (c1 + theta^2)^(-2)"), {"c0": -0.3, "c1": 1e-7}),
        "NN2": Formula(parse_expression("c0*exp(-x)"), {"c0": 2.0}),
    },
    {"lambda": 0.7, "rhs": -1.0},
)
INITIAL = {'run "1"': dict.fromkeys(MODEL.states, 0.5)}


@pytest.fixture
def module(tmp_path):
    path = tmp_path / "equations.py"
    text = python_module(FORM, INITIAL, {'run "1"': 2.0}, source='a "b"\\n.csv')
    path.write_text(text, encoding="utf-8")
    spec = importlib.util.spec_from_file_location("equations", path)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


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


def test_the_module_runs_alone_and_imports_only_math(module):
    imports = [n for n in ast.walk(ast.parse(open(module.__file__).read())) if isinstance(n, ast.Import)]
    assert [name.name for n in imports for name in n.names] == ["math"]
    done = subprocess.run([sys.executable, "-I", "-S", module.__file__], capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith("run \"1\": dx/dt at the start {'theta': 0.5")


def test_one_state_and_no_constant_make_a_module(tmp_path):
    model = HybridODE("x' = NN(x)")
    form = ClosedForm(model, {"NN": Formula(parse_expression("-x"), {})}, {})
    text = python_module(form, {"0": {"x": float("nan")}}, {"0": 0.0})
    (tmp_path / "one.py").write_text(text)
    code = "import one; print(one.rhs(0.0, [2.0]), one.STATES, one.PARAMETERS, one.INITIAL)"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.stdout == "[-2.0] ('x',) {} {'0': {'x': nan}}\n"


# --- any tree ----------------------------------------------------------------------------------------

LEAVES = st.one_of(
    st.sampled_from([T.Symbol("x"), T.Symbol("y")]),
    st.floats(-9, 9, width=16).map(lambda v: T.Number(float(v))),
)
BINARY = st.sampled_from(["add", "sub", "mul", "div", "min", "max", "less"])
UNARY = st.sampled_from(["neg", "sin", "tanh", "abs", "sign", "sigmoid"])


def larger(inner):
    return st.one_of(
        st.tuples(BINARY, inner, inner).map(lambda p: T.Operation(p[0], p[1:])),
        st.tuples(UNARY, inner).map(lambda p: T.Operation(p[0], p[1:])),
        st.tuples(inner, st.integers(-3, 3)).map(lambda p: T.Operation("pow", (p[0], T.Number(float(p[1]))))),
    )


TREES = st.recursive(LEAVES, larger, max_leaves=12)


@settings(deadline=None, max_examples=300, derandomize=True)
@given(TREES)
def test_python_text_means_the_tree(tree):
    helpers = {"math": math, "_sign": np.sign, "_sigmoid": lambda a: 0.5 * (1 + math.tanh(0.5 * a))}
    text = to_python(tree, {"x": "u", "y": "v"})
    try:
        with np.errstate(all="ignore"):
            (expected,) = Program([tree], ["x", "y"]).run([np.float64(0.7), np.float64(-1.3)])
        value = eval(text, {**helpers, "u": 0.7, "v": -1.3})
    except (ZeroDivisionError, OverflowError):  # where NumPy gives infinities, Python raises
        return
    if np.isfinite(expected) and abs(expected) < 1e12:
        # Sums and products of one level may be grouped otherwise.
        assert value == pytest.approx(expected, rel=1e-9, abs=1e-9)


@settings(deadline=None, max_examples=100, derandomize=True)
@given(TREES)
def test_latex_text_is_well_formed(tree):
    assert_math(to_latex(tree))


def assert_math(text):
    """Parse with matplotlib, which knows the part of TeX's math mode that is used here."""
    from matplotlib.mathtext import MathTextParser

    MathTextParser("path").parse(f"${text}$")


def test_the_equations_are_an_align_environment():
    first, *rows, last = latex_equations(FORM).splitlines()
    assert (first, last) == (r"\begin{align}", r"\end{align}")
    assert [row.endswith(r"\\") for row in rows] == [True, True, False]
    assert [row.count("&=") for row in rows] == [1, 1, 1]
    for row in rows:
        left, right = row.removesuffix(r"\\").split("&=")
        assert_math(left.strip())
        assert_math(right.strip())
    assert rows[0] == (
        r"  \frac{\mathrm{d}^{2} \theta}{\mathrm{d} t^{2}} &= -0.7 \, \sin\left(\theta\right) "
        r"- 0.3 \, \dot{\theta} - \left(1 \cdot 10^{-7} + \theta^{2}\right)^{-2} "
        r"- 9.81 \, \operatorname{sigmoid}\left(x\right) \\"
    )


@pytest.mark.parametrize(
    ("text", "latex"),
    [
        ("a - (b - c)", r"a - \left(b - c\right)"),
        ("a - (-b)", r"a + b"),
        ("(a + b)*c/d", r"\frac{\left(a + b\right) \, c}{d}"),
        ("(a/b)^2", r"\left(\frac{a}{b}\right)^{2}"),
        ("exp(-x)^2", r"\left(e^{-x}\right)^{2}"),
        ("x*(-3)", r"x \, \left(-3\right)"),
        ("1.23456789e-12*x", r"1.23457 \cdot 10^{-12} \, x"),
        ("sqrt(abs(x))", r"\sqrt{\left|x\right|}"),
        ("pi*log(x)", r"\pi \, \ln\left(x\right)"),
    ],
)
def test_latex_keeps_the_order_of_the_equations(text, latex):
    assert to_latex(parse_expression(text)) == latex
    assert_math(latex)


@pytest.mark.parametrize(
    ("name", "latex"),
    [
        ("x", "x"),
        ("x1", "x_{1}"),
        ("prey", r"\mathrm{prey}"),
        ("k_on", r"k_{\mathrm{on}}"),
        ("alpha_2", r"\alpha_{2}"),
        ("theta'", r"\dot{\theta}"),
        ("x_max_1", r"x_{\mathrm{max},1}"),
        ("NN1.c0", r"\mathrm{NN1.c}_{0}"),
        ("_a", "a"),
        ("__", r"\_"),
    ],
)
def test_names_read_well_in_math_mode(name, latex):
    assert latex_name(name) == latex
    assert_math(latex)


# --- inputs and observables --------------------------------------------------------------------------


def test_a_module_with_inputs_takes_their_values_or_a_function(tmp_path):
    model = HybridODE(
        "x' = NN(x, F) + callable*u",
        inputs=["F", "u"],
        covariates=["callable"],
        observe={"signal": "g*abs(x) - sign(F)", "rhs": "x"},
        parameters={"g": 9.81},
    )
    form = ClosedForm(model, {"NN": Formula(parse_expression("c0*x*F"), {"c0": -0.5})}, {})
    at_start = {"A": {"F": 2.0, "u": 3.0, "callable": 0.1}}
    text = python_module(form, {"A": {"x": 1.0}}, {"A": 0.0}, driving=at_start)
    path = tmp_path / "driven.py"
    path.write_text(text, encoding="utf-8")
    spec = importlib.util.spec_from_file_location("driven", path)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    assert (loaded.INPUTS, loaded.OBSERVABLES) == (("F", "u", "callable"), ("signal", "rhs"))
    assert loaded.INPUTS_AT_START == at_start
    values = [2.0, 3.0, 0.1]
    assert loaded.rhs(0.0, [1.5], values) == loaded.rhs(0.0, [1.5], lambda t: values) == [-1.5 + 0.3 * 1.0]
    assert loaded.rhs(0.0, [1.5], u=values, parameters={"g": 1.0, "c0": 1.0}) == [3.0 + 0.3 * 1.0]
    assert loaded.observe(0.0, [-2.0], values) == [pytest.approx(2 * 9.81 - 1.0), -2.0]
    done = subprocess.run([sys.executable, "-I", "-S", path], capture_output=True, text=True, timeout=60)
    assert done.stdout == "A: dx/dt at the start {'x': -0.7}\n", done.stderr
    assert r"\mathrm{signal} &= 9.81 \, \left|x\right|" in latex_equations(form)


def test_a_module_without_inputs_has_none():
    text = python_module(FORM, INITIAL, {'run "1"': 2.0})
    assert "def rhs(t, x, parameters=PARAMETERS):" in text
    assert not any(word in text for word in ("INPUTS", "OBSERVABLES", "observe(", "callable"))
