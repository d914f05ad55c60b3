"""MathML of laws: well-formed, in the order they were written, with brackets where they are needed."""

import xml.etree.ElementTree as ElementTree

import pytest

from udesys.model import HybridODE
from udesys.model import tree as T
from udesys.model.closed_form import ClosedForm, Formula
from udesys.model.grammar import parse_expression
from udesys.model.mathml import NAMESPACE, equation_pieces, name_mathml, summands, to_mathml

FLAT = {"msup": "{}^{}", "msub": "{}_{}", "mfrac": "{}/{}", "msqrt": "√{}"}


def flat(mathml):
    """A `math` element as plain text: every construct that is more than a row gets braces."""
    return written(ElementTree.fromstring(mathml)).replace("\u2062", " ").replace("\u2061", "")


def written(node):
    tag = node.tag.removeprefix(f"{{{NAMESPACE}}}")
    assert tag in {"math", "mrow", "mi", "mn", "mo", *FLAT}, tag
    parts = [written(child) for child in node]
    if tag in FLAT:
        return FLAT[tag].format(*(f"{{{part}}}" for part in parts))
    return (node.text or "") + "".join(parts)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("-0.32*x - (-0.0004809*x)*y**2", "−0.32 x+0.0004809 x {y}^{2}"),
        ("a - (b - c)", "a−b+c"),
        ("a - (b + c)*d", "a−(b+c) d"),
        ("a*-b", "a (−b)"),
        ("-(a + b)*c/(K + x')", "−{(a+b) c}/{K+x′}"),
        ("(a/b)^2", "{({a}/{b})}^{2}"),
        ("(-x)^2 + -3", "{(−x)}^{2}−3"),
        ("x'^2", "{(x′)}^{2}"),
        ("-(x^2)", "−{x}^{2}"),
        ("2^x*3", "{2}^{x}⋅3"),
        ("c0*x**-0.5", "{c}_{0} {x}^{−0.5}"),
        ("c0*exp(-E/(R*T))", "{c}_{0} exp(−{E}/{R T})"),
        ("log(x) + sqrt(x + 1)", "ln(x)+√{x+1}"),
        ("abs(x)*sign(v) - min(x, 1)", "|x| sign(v)−min(x,1)"),
        ("sin(x)^2", "{(sin(x))}^{2}"),
        ("pi*r", "π r"),
        ("1.25e-7*x", "1.25×{10}^{−7} x"),
        ("x*1.25e9", "x⋅1.25×{10}^{9}"),
    ],
)
def test_a_formula_keeps_its_order_and_has_brackets_where_they_are_needed(text, shown):
    assert flat(to_mathml(parse_expression(text))) == shown


def test_numbers_have_four_digits_and_powers_of_ten():
    assert flat(to_mathml(T.Number(0.123456))) == "0.1235"
    assert flat(to_mathml(T.Number(-12345678.0))) == "−1.235×{10}^{7}"
    assert flat(to_mathml(T.Number(0.123456), 2)) == "0.12"
    assert flat(to_mathml(T.Number(float("nan")))) == "NaN"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("hare", "hare"), ("theta", "θ"), ("theta''", "θ″"), ("k_on", "{k}_{on}"), ("c12", "{c}_{12}"),
        ("x_1'", "{x}_{1}′"), ("k_on_2", "{k}_{on,2}"), ("NN[1]", "{NN}_{1}"), ("NN1.c0", "{NN}_{1}.{c}_{0}"),
        ("_", "_"), ("beta_max", "{β}_{max}"), ("a<b>", "a<b>"),
    ],
)  # fmt: skip
def test_names_have_greek_letters_subscripts_and_primes(name, shown):
    assert flat(name_mathml(name)) == shown


def test_a_sum_comes_in_pieces_with_their_signs():
    pieces = summands(parse_expression("a*x - b*x*y + (c - d)"))
    assert [flat(piece) for piece in pieces] == ["a x", "−b x y", "+c", "−d"]
    assert [flat(piece) for piece in summands(T.ZERO)] == ["0"]
    assert len(summands(parse_expression("-(a + b)"))) == 1


def test_a_law_has_an_equation_for_every_state_and_observable():
    model = HybridODE("theta'' = NN(theta) - d*theta'", parameters={"d": 0.25}, observe={"signal": "2*theta"})
    form = ClosedForm(model, {"NN": Formula(parse_expression("c0*sin(theta)"), {"c0": -9.81})}, {})
    found = {left: (flat(head), [flat(p) for p in right]) for left, (head, right) in equation_pieces(form).items()}
    assert found == {
        "theta''": ("θ″=", ["−9.81 sin(θ)", "−0.25 θ′"]),
        "signal": ("signal=", ["2 θ"]),
    }
    for head, pieces in equation_pieces(form).values():
        for piece in (head, *pieces):
            assert all(node.tag.startswith(f"{{{NAMESPACE}}}") for node in ElementTree.fromstring(piece).iter())
