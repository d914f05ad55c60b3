"""Expression trees: derivatives as SymPy finds them, printing that reads back, and the light simplification."""

import math
import operator
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
import sympy
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from udesys.errors import ModelError
from udesys.model import tree as T
from udesys.model.grammar import parse_expression
from udesys.model.program import Program
from udesys.model.symbolic import from_sympy, to_sympy

X, Y = T.Symbol("x"), T.Symbol("y")

MEANING = {name: getattr(math, name) for name in "exp log sqrt sin cos tan tanh sinh cosh".split()}
MEANING |= {"add": operator.add, "sub": operator.sub, "mul": operator.mul, "div": operator.truediv}
MEANING |= {"pow": operator.pow, "neg": operator.neg, "abs": abs, "min": min, "max": max}
MEANING |= {"sign": lambda a: float((a > 0) - (a < 0)), "less": lambda a, b: float(a < b)}
MEANING |= {"sigmoid": lambda a: 0.5 * (1.0 + math.tanh(0.5 * a))}

LARGEST = 1e4  # beyond it a value says little about a formula: its rounding hides everything


def value_of(tree, names, largest=math.inf):
    """The tree's value by Python's arithmetic, or None where it leaves the reals or `largest`."""
    if isinstance(tree, T.Number):
        result = tree.value
    elif isinstance(tree, T.Symbol):
        result = names[tree.name]
    else:
        args = [value_of(a, names, largest) for a in tree.args]
        if None in args:
            return None
        try:
            result = MEANING[tree.op](*args)
        except (ArithmeticError, ValueError):
            return None
    fine = not isinstance(result, complex) and math.isfinite(result) and abs(result) <= largest
    return result if fine else None


def trees(build=T.Operation, operations=tuple(T.FUNCTIONS) + ("add", "sub", "mul", "div", "pow", "neg"), leaves=8):
    """Random trees over x and y; built node by node as they come, without simplification unless `build` does."""
    numbers = st.sampled_from([0.0, 1.0, -1.0, 2.0, -2.0, 3.0, 0.5, -0.3, 1e-7, 1.2345678901234567, math.pi, -1e21])
    leaf = st.sampled_from([X, Y]) | numbers.map(T.Number)

    def grow(smaller):
        two = {"add", "sub", "mul", "div", "pow", *T.BINARY_FUNCTIONS}
        unary = st.sampled_from([o for o in operations if o not in two])
        binary = st.sampled_from([o for o in operations if o in two])
        return st.builds(lambda o, a: build(o, (a,)), unary, smaller) | st.builds(
            lambda o, a, b: build(o, (a, b)), binary, smaller, smaller
        )

    return st.recursive(leaf, grow, max_leaves=leaves)


def simplifying(op, args):
    try:
        return T.build(op, *args)
    except ArithmeticError:  # a constant beyond the reals
        return X


# off the kinks that round numbers would meet
POINTS = [{"x": 0.7123, "y": 1.3217}, {"x": -0.4519, "y": 0.2131}, {"x": 1.9171, "y": -1.1093}]


# ------------------------------------------------------------------ derivatives
def test_every_operation_has_sympys_derivative():
    x, y = sympy.symbols("x y", real=True)
    u, v = 0.3 + x * y / 2, y + x**2
    inner = (parse_expression("0.3 + x*y/2"), parse_expression("y + x^2"))
    outer = {name: getattr(sympy, name)(u) for name in "exp log sqrt sin cos tan tanh sinh cosh sign".split()}
    outer |= {"add": u + v, "sub": u - v, "mul": u * v, "div": u / v, "pow": u**v, "neg": -u, "abs": sympy.Abs(u)}
    outer |= {"sigmoid": 1 / (1 + sympy.exp(-u)), "min": sympy.Min(u, v), "max": sympy.Max(u, v)}
    assert set(outer) == set(T.FUNCTIONS) | {"add", "sub", "mul", "div", "pow", "neg"}
    point = {"x": 0.7, "y": 1.3}
    for op, expression in outer.items():
        tree = T.build(op, *inner[: 2 if op in ("add", "sub", "mul", "div", "pow", "min", "max") else 1])
        for name in "xy":
            symbol = {"x": x, "y": y}[name]
            expected = float(sympy.diff(expression, symbol).evalf(30, subs={x: 0.7, y: 1.3}))
            found = value_of(T.derivative(tree, name), point)
            # a handful of roundings of numbers of order one
            assert found == pytest.approx(expected, rel=1e-13, abs=1e-14), (op, name)


@settings(max_examples=80, deadline=None, derandomize=True)  # SymPy takes its time; jumps amplify rounding
@given(trees(simplifying), st.sampled_from(POINTS))
def test_derivatives_of_random_trees_are_sympys(tree, point):
    slope = T.derivative(tree, "x")
    found = value_of(slope, point, LARGEST)
    assume(found is not None and value_of(tree, point, LARGEST) is not None)
    x = sympy.Symbol("x", real=True)
    where = {x: sympy.Float(point["x"], 30), sympy.Symbol("y", real=True): sympy.Float(point["y"], 30)}
    try:
        expected = sympy.diff(to_sympy(tree), x).subs(where).evalf(30)
    except RecursionError:  # SymPy has no derivative of an absolute value it takes for complex
        assume(False)
    assume(expected.is_Float or expected.is_Integer)  # a kink, or SymPy leaves it unevaluated
    # Rounding in a tree that cancels or divides by little; a wrong rule is off by order one.
    assert found == pytest.approx(float(expected), rel=1e-6, abs=1e-6)


def test_the_derivative_of_a_choice_follows_the_chosen_side():
    slope = T.derivative(parse_expression("max(x^2, 3*x)"), "x")
    assert [value_of(slope, {"x": v}) for v in (-1.0, 1.0, 5.0)] == [-2.0, 3.0, 10.0]
    slope = T.derivative(parse_expression("min(x^2, 3*x)"), "x")
    assert [value_of(slope, {"x": v}) for v in (-1.0, 1.0, 5.0)] == [3.0, 2.0, 3.0]


@pytest.mark.parametrize("text", ["0^x", "(-2)^x", "x/0", "3*sin(0^x)^2 + x"])
def test_where_no_derivative_exists_it_is_not_a_number(text):
    slope = Program([T.derivative(parse_expression(text), "x")], ["x"])
    assert np.isnan(slope.run([np.float64(0.7)])).all()


def test_jumps_have_derivative_zero():
    assert T.derivative(parse_expression("sign(x)"), "x") == T.ZERO


def test_a_tree_without_the_name_has_derivative_zero():
    assert T.derivative(parse_expression("exp(y)^2/y"), "x") == T.ZERO
    assert T.derivative(X, "x") == T.ONE


@pytest.mark.parametrize("form", ["x/({})", "({})/x", "x*({})", "x^({})", "({})^x", "sqrt({})", "max(x, {})"])
def test_a_derivative_is_at_most_twice_as_deep(form):
    text = "x"
    for _ in range(60):
        text = form.format(text)
    tree = parse_expression(text)
    # Evaluators recurse over derivatives; a rule that adds three levels would pass Python's limit.
    assert T.depth(T.derivative(tree, "x")) <= 2 * T.depth(tree) + 4


def test_a_tree_from_another_process_is_found_by_its_value():
    code = "import pickle, sys; from udesys.model.grammar import parse_expression as parse; "
    code += "sys.stdout.buffer.write(pickle.dumps(parse('a*x + sin(x)')))"
    environment = {**os.environ, "PYTHONHASHSEED": "1"}  # texts hash otherwise there
    sent = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, env=environment).stdout
    assert pickle.loads(sent) in {parse_expression("a*x + sin(x)"): 0}


# ------------------------------------------------------------------ substituting and looking
@settings(deadline=None)
@given(trees(), trees(leaves=3), st.sampled_from(POINTS))
def test_substituting_a_tree_is_substituting_its_value(tree, part, point):
    inner = value_of(part, point)
    assume(inner is not None)
    expected = value_of(tree, {**point, "x": inner})
    assume(expected is not None)
    try:
        replaced = T.substitute(tree, {"x": part})
    except ArithmeticError:  # a constant part that leaves the reals though another value does not need it
        assume(False)
    # exactly: simplification keeps the operations that matter and their order
    assert value_of(replaced, point) == expected


def test_substitution_is_simultaneous():
    swapped = T.substitute(parse_expression("x - 2*y"), {"x": Y, "y": X})
    assert swapped == parse_expression("y - 2*x")


def test_substitution_folds_what_became_constant():
    assert T.substitute(parse_expression("a*x + b"), {"a": T.ZERO, "b": T.Number(2.0)}) == T.Number(2.0)
    with pytest.raises(ArithmeticError, match=r"log\(-1\) is not a finite number"):
        T.substitute(parse_expression("log(k)*x"), {"k": T.MINUS_ONE})


def test_symbols_depth_and_walk_see_every_node():
    tree = parse_expression("a*sin(x) + 1/(1 + y)")
    assert T.symbols(tree) == {"a", "x", "y"}
    assert T.depth(tree) == 4  # add, mul or div, sin or add, the leaves
    assert len(list(T.walk(tree))) == 10
    assert T.depth(X) == 1


def test_looking_needs_no_recursion():
    deep = X
    for _ in range(20_000):
        deep = T.Operation("sin", (deep,))
    assert T.depth(deep) == 20_001
    assert T.symbols(deep) == {"x"}


# ------------------------------------------------------------------ simplifying
@pytest.mark.parametrize(
    ("text", "simple"),
    [
        ("x + 0", "x"), ("0 + x", "x"), ("x - 0", "x"), ("0 - x", "-x"), ("x*1", "x"), ("1*x", "x"),
        ("x*0", "0"), ("0*x", "0"), ("-1*x", "-x"), ("x/1", "x"), ("0/x", "0"), ("x^1", "x"), ("x^0", "1"),
        ("--x", "x"), ("2*3*x", "6*x"), ("sin(0)*x", "0"), ("sqrt(4) + x", "2 + x"), ("x + 1 - 1", "x + 1 - 1"),
    ],
)  # fmt: skip
def test_units_and_constants_are_simplified_and_nothing_else(text, simple):
    assert T.to_text(parse_expression(text)) == simple


def test_the_sum_of_no_terms_is_zero():
    assert T.total([]) == T.ZERO
    assert T.total([X, T.ZERO, Y]) == parse_expression("x + y")


# ------------------------------------------------------------------ printing
def grouped_from_the_left(tree):
    """a*(b*c) as (a*b)*c, and so on: what the same text without brackets means.

    A product keeps its brackets before a minus, as in a*(-b*c).
    """
    if not isinstance(tree, T.Operation):
        return tree
    args = tuple(map(grouped_from_the_left, tree.args))
    like = {"add": ("add", "sub"), "mul": ("mul", "div")}.get(tree.op, ())
    kept = tree.op == "mul" and T.to_text(args[1]).startswith("-")
    if like and not kept and isinstance(args[1], T.Operation) and args[1].op in like:
        middle, last = args[1].args
        return T.Operation(args[1].op, (grouped_from_the_left(T.Operation(tree.op, (args[0], middle))), last))
    return T.Operation(tree.op, args)


@settings(deadline=None)
@given(trees(), st.sampled_from(POINTS))
def test_a_printed_tree_reads_back_as_the_same_function(tree, point):
    expected = value_of(grouped_from_the_left(tree), point)
    assume(expected is not None)
    # exactly: 17 digits name a float64, and the printed text keeps the order of the operations
    assert value_of(parse_expression(T.to_text(tree, 17)), point) == expected


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("x + c*y", "x - 2*y"), ("x - c*y", "x + 2*y"), ("x + c", "x - 2"), ("x - c", "x + 2"),
        ("c + x", "-2 + x"), ("x*c", "x*(-2)"), ("c*x", "-2*x"), ("x/c", "x/(-2)"), ("c/x", "-2/x"),
        ("x^c", "x**(-2)"), ("c^x", "(-2)**x"), ("x - (c + y)", "x - (-2 + y)"), ("x + c/y*z", "x - 2/y*z"),
        ("-(x + y)", "-(x + y)"), ("x - (y - z)", "x - (y - z)"), ("x - (y + z)", "x - (y + z)"),
        ("x - y + z", "x - y + z"), ("x + (y - z)", "x + y - z"), ("x/(y*z)", "x/(y*z)"), ("x/y*z", "x/y*z"),
        ("x/(y/z)", "x/(y/z)"), ("x*(y/z)", "x*y/z"), ("(x^y)^z", "(x**y)**z"), ("x^y^z", "x**(y**z)"),
        ("-x^y", "-x**y"), ("(-x)^y", "(-x)**y"), ("x^-y", "x**(-y)"), ("x - -y", "x + y"), ("x + -y", "x - y"),
        ("x*-y", "x*(-y)"), ("-x*y", "-x*y"), ("sin(x + y)*z", "sin(x + y)*z"), ("min(x, -y)", "min(x, -y)"),
        ("pi*x", "pi*x"), ("(-0)^x", "0**x"),
    ],
)  # fmt: skip
def test_signs_are_drawn_together_and_brackets_stand_where_needed(text, printed):
    tree = T.substitute(parse_expression(text), {"c": T.Number(-2.0)})
    assert T.to_text(tree) == printed


@pytest.mark.parametrize(("value", "printed"), [(1e-7, "1e-07"), (123456789.0, "1.23457e+08"), (0.1 + 0.2, "0.3")])
def test_numbers_are_printed_to_the_digits_asked_for(value, printed):
    assert T.to_text(T.Number(value)) == printed
    assert float(T.to_text(T.Number(value), 17)) == value


# ------------------------------------------------------------------ SymPy
def test_sympy_holds_the_expression_that_was_meant():
    x, y = sympy.symbols("x y", real=True)
    cases = {
        "x^2/(1 + y)": x**2 / (1 + y), "-exp(-x)*3": -3 * sympy.exp(-x), "pi*x": sympy.pi * x,
        "sigmoid(x)": 1 / (1 + sympy.exp(-x)), "min(x, y)": sympy.Min(x, y), "sqrt(x)": sympy.sqrt(x),
    }  # fmt: skip
    for text, expected in cases.items():
        assert to_sympy(parse_expression(text)) == expected, text


@settings(max_examples=80, deadline=None, derandomize=True)  # SymPy takes its time; jumps amplify rounding
@given(trees(simplifying), st.sampled_from(POINTS))
def test_a_tree_survives_the_way_through_sympy(tree, point):
    expected = value_of(tree, point, LARGEST)
    assume(expected is not None)
    expression = to_sympy(tree)
    assume(expression.is_extended_real is not False and not expression.has(sympy.I, sympy.zoo, sympy.nan, sympy.oo))
    found = value_of(from_sympy(expression), point)
    assume(found is not None)  # SymPy's order of operations may pass by a point outside the reals
    # SymPy sums and multiplies in an order of its own, so only rounding may differ.
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-6)


def test_sympys_sums_products_and_choices_of_many_become_trees_of_two():
    x, y, z = sympy.symbols("x y z", real=True)
    names = {"x": 0.5, "y": -2.0, "z": 3.0}
    assert value_of(from_sympy(x + y + z), names) == 1.5
    assert value_of(from_sympy(x * y * z), names) == -3.0
    assert value_of(from_sympy(sympy.Max(x, y, z)), names) == 3.0
    assert value_of(from_sympy(sympy.Min(x, y, z)), names) == -2.0


def test_what_the_language_lacks_is_refused_on_the_way_from_sympy():
    x = sympy.Symbol("x")
    with pytest.raises(ModelError, match="gamma is not part of the equation language"):
        from_sympy(sympy.gamma(x) + 1)
    with pytest.raises(ModelError, match="I is not a finite real number"):
        from_sympy(x * sympy.I)
    with pytest.raises(ModelError, match="zoo is not a finite real number"):
        from_sympy(sympy.zoo)
