"""The normal form of formulas: equal ones become equal, numbers become constants, values stay what they were."""

import numpy as np
import pytest

from udesys.model import tree as T
from udesys.model.closed_form import Formula
from udesys.model.grammar import parse_expression
from udesys.model.program import Program
from udesys.model.vanishing import Vanishing
from udesys.search import Task
from udesys.search.candidate import as_given, simpler, without_part
from udesys.search.normal_form import split, to_candidate

X = np.linspace(0.3, 4.0, 60)
Y = 2.0 + np.cos(2 * X)


def parts(text):
    terms, coefficients, inner = split(parse_expression(text), ("x", "y"))
    return [T.to_text(t) for t in terms], coefficients, inner


def value(tree, names, numbers):
    return np.broadcast_to(Program([tree], ["x", "y", *names]).run([X, Y, *numbers])[0], len(X))


@pytest.mark.parametrize(
    ("text", "terms", "coefficients", "inner"),
    [
        ("2*x/(4 + 8*x)", ["x/(#0 + x)"], [0.25], [0.5]),
        ("0.99*y/(0.495 + 1/x)", ["x*y/(#0 + x)"], [2.0], [1 / 0.495]),
        ("2*x^2*y/(2.5*x + x^2)", ["x*y/(#0 + x)"], [2.0], [2.5]),
        ("x/(1/x + 0.64*x)", ["x**2/(#0**2 + x**2)"], [1.5625], [1.25]),
        ("x^2/(0.25 + x^2)", ["x**2/(#0**2 + x**2)"], [1.0], [0.5]),
        ("0.3*(1 - x*x)*y", ["y", "x**2*y"], [0.3, -0.3], []),
        ("(x + y)^2", ["x*y", "x**2", "y**2"], [2.0, 1.0, 1.0], []),
        ("3*exp(1 - 2.5*x)", ["exp(#0*x)"], [3 * np.e], [-2.5]),
        ("y/exp(5.5/x)", ["y*exp(#0/x)"], [1.0], [-5.5]),
        ("exp(2.5*x)*exp(0.5*y)", ["exp(#0*x + #1*y)"], [1.0], [2.5, 0.5]),
        ("sin(-2.5*x)*y", ["y*sin(#0*x)"], [-1.0], [2.5]),
        ("x*log(x/3)", ["x", "x*log(x)"], [-np.log(3), 1.0], []),
        ("abs(-2*x)*x", ["x*abs(x)"], [2.0], []),
        ("(x + 0.7)/(x + 0.31)", ["1/(#0 + x)", "x/(#0 + x)"], [0.7, 1.0], [0.31]),
        ("x - x", [], [], []),
    ],
)
def test_a_formula_becomes_terms_with_one_constant_each(text, terms, coefficients, inner):
    found, numbers, constants = parts(text)
    assert found == terms
    assert numbers == pytest.approx(coefficients, rel=1e-12)
    assert list(constants.values()) == pytest.approx(inner, rel=1e-12)


@pytest.mark.parametrize(
    "text",
    [
        "(x + 2*y)^3/(1.5 + x*y)",
        "x*y/(0.3 + x)/(y + 1.7*x)",
        "exp(sin(x) - 0.2*y^2)/sqrt(x + 3)",
        "(x - 0.4)*(y + 1/x)*(x*y - 2)",
        "(1.5*x + 0.2*x^2)^0.5 + tanh(-0.3*x)",
        "max(x, 0.7*y) - x^1.5*sign(y)",
    ],
)
def test_the_normal_form_has_the_values_of_the_formula(text):
    tree = parse_expression(text)
    terms, coefficients, inner = split(tree, ("x", "y"))
    total = sum(c * value(t, inner, inner.values()) for t, c in zip(terms, coefficients, strict=True))
    np.testing.assert_allclose(total, value(tree, [], []), rtol=1e-11)


def test_numbers_that_are_not_finite_are_no_formula():
    task = Task(term="NN", arguments=("x", "y"), points=np.stack([X, Y], 1), values=X)
    for text in ("x/(y - y)", "exp(x - x + 2000)*x", "log(x - x)"):
        assert to_candidate(parse_expression(text), task, "e") is None


def test_a_formula_that_is_not_finite_is_none_of_a_term_that_vanishes_either():
    vanishing = (Vanishing(state="x", arguments=frozenset({"x"})),)
    about = {"vanishing": vanishing, "allows": lambda tree: vanishing[0].of(tree)}
    task = Task(term="NN", arguments=("x", "y"), points=np.stack([X, Y], 1), values=X, **about)
    assert to_candidate(parse_expression("x*log(x - 1)"), task, "e") is None
    assert to_candidate(parse_expression("x + log(x)"), task, "e").key == "x"


def task_of(values, noise=0.01, seed=0):
    values = values + noise * np.random.default_rng(seed).standard_normal(len(X))
    return Task(term="NN", arguments=("x", "y"), points=np.stack([X, Y], 1), values=values, std=np.full(len(X), noise))


def test_constants_are_refitted_and_terms_that_say_nothing_dropped():
    task = task_of(0.8 * X * Y / (1 + 0.5 * X))
    made = to_candidate(parse_expression("1.1*x*y/(1.4 + x) + 1e-9*x + 0.001*y"), task, "operon")
    assert made.key == "(#0 + x)**-1*x*y" and made.engines == ("operon",)
    # 60 points of values near 1.5 known to 0.01
    assert list(made.formula.constants.values()) == pytest.approx([1.6, 2.0], rel=0.05)
    assert made.loss == pytest.approx(1.0, abs=0.6)


def test_a_whole_formula_keeps_terms_that_say_little():
    task = task_of(X)
    assert len(to_candidate(parse_expression("x + 0.001*y"), task, "e", whole=True).parts) == 2
    assert len(to_candidate(parse_expression("x + 0.001*y"), task, "e").parts) == 1


@pytest.mark.parametrize(
    ("text", "constants", "written"),
    [
        ("-k*sin(x)", {"k": 9.8}, "c0*sin(x)"),
        ("a*x - b*x^3", {"a": 1.0, "b": 2.0}, "c0*x + c1*x**3"),
        ("c*x*y/(K + x)", {"c": 2.0, "K": 3.0}, "c0*x*y/(c1 + x)"),
        ("-A*x*(x^2 + y^2)", {"A": 1.0}, "c0*x*(x**2 + y**2)"),
        ("c/(1 + (x/K)^4)", {"c": 4.0, "K": 1.0}, "c0*1/(1 + (x/c1)**4)"),
    ],
)
def test_a_given_formula_stays_as_it_is_written(text, constants, written):
    formula = Formula(parse_expression(text), constants)
    made = as_given(formula)
    assert T.to_text(made.formula.tree) == written
    at_constants = value(made.formula.tree, made.formula.constants, made.formula.constants.values())
    np.testing.assert_allclose(at_constants, value(formula.tree, constants, constants.values()), rtol=1e-13)


def test_a_dropped_term_takes_its_inner_constants_with_it():
    made = as_given(Formula(parse_expression("a*x/(K + x) + b*y/(L + y)"), {"a": 1.0, "K": 2.0, "b": 3.0, "L": 4.0}))
    left = without_part(made, 0)
    assert T.to_text(left.formula.tree) == "c0*y/(c1 + y)"
    assert list(left.formula.constants.values()) == [3.0, 4.0] and left.key == "(#0 + y)**-1*y"


def test_an_additive_term_with_a_constant_inside_is_made_constant_and_its_constant_goes():
    made = as_given(Formula(parse_expression("a*x + b*exp(k/y)"), {"a": 2.0, "b": 3.0, "k": 0.1}))
    texts = {T.to_text(c.formula.tree): dict(c.formula.constants) for c in simpler(made)}
    assert len(texts) == 3
    constant = next(c for c in simpler(made) if any(part == T.ONE for part, _ in c.parts))
    assert list(constant.formula.constants.values()) == [2.0, 3.0]
    values = Program([constant.formula.tree], ["x", "y", *constant.formula.constants]).run([0.5, 7.0, 2.0, 3.0])
    assert values[0] == pytest.approx(2.0 * 0.5 + 3.0) and constant.prior < made.prior


def test_nothing_is_made_constant_where_a_constant_stands_or_none_is_inside():
    beside = as_given(Formula(parse_expression("a + b*exp(k/y)"), {"a": 2.0, "b": 3.0, "k": 0.1}))
    plain = as_given(Formula(parse_expression("a*x + b*y"), {"a": 2.0, "b": 3.0}))
    for made in (beside, plain):
        assert [len(c.parts) for c in simpler(made)] == [1, 1]
