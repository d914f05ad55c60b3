"""The exported equations: texts that mean the trees, in Python and in LaTeX that compiles."""

import math
import shutil
import subprocess

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from udesys.model import HybridODE
from udesys.model import tree as T
from udesys.model.closed_form import ClosedForm, Formula
from udesys.model.export import latex_equations, latex_name, to_latex
from udesys.model.grammar import parse_expression
from udesys.model.program import Program
from udesys.model.python_module import to_python

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


def test_the_equations_compile_in_an_article(tmp_path):
    programs = [program for program in ("pdflatex", "tectonic") if shutil.which(program)]
    if not programs:
        pytest.skip("neither pdflatex nor tectonic is installed")
    article = ["\\documentclass{article}", "\\usepackage{amsmath}", "\\begin{document}"]
    article += [latex_equations(FORM), "\\end{document}", ""]
    (tmp_path / "law.tex").write_text("\n".join(article), encoding="utf-8")
    options = ["-interaction=nonstopmode", "-halt-on-error"] if programs[0] == "pdflatex" else []
    command = [programs[0], *options, "law.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "law.pdf").stat().st_size > 1000


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
