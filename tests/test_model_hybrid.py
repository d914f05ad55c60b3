"""HybridODE: names sorted into states, parameters and networks, and everything that is not a model refused."""

import math

import pytest
import sympy

from udesys.errors import ModelError
from udesys.model import HybridODE, Network, Parameter
from udesys.model import tree as T
from udesys.model.grammar import parse_expression

LOTKA_VOLTERRA = """
    prey' = alpha*prey + NN1(prey, predator)   # growth and what the predator takes
    predator' = NN2(prey, predator) - delta*predator
"""


# ------------------------------------------------------------------ states
def test_states_stand_in_the_order_of_their_equations():
    model = HybridODE("y' = x\nx' = -y")
    assert model.states == ("y", "x")
    assert model.rhs == (T.Symbol("x"), T.neg(T.Symbol("y")))


def test_a_second_order_equation_becomes_two_of_first_order():
    model = HybridODE("theta'' = -g*sin(theta) + NN(theta, theta')\nx' = theta'")
    assert model.states == ("theta", "theta'", "x")
    assert model.rhs[0] == T.Symbol("theta'") == model.rhs[2]
    assert model.rhs[1] == T.add(parse_expression("-g*sin(theta)"), T.Symbol("NN(theta, theta')[0]"))
    assert model.velocity_of == {"theta": "theta'"}
    assert model.slots[0].arguments == ("theta", "theta'")


def test_each_equation_keeps_its_text():
    model = HybridODE("x'' = -x  # a spring\n\ny' =  2")
    assert model.equation_of == {"x'": "x'' = -x", "y": "y' =  2"}
    assert model.text == "x'' = -x  # a spring\n\ny' =  2"


# ------------------------------------------------------------------ parameters
def test_names_without_equation_are_parameters_in_order_of_appearance():
    model = HybridODE("x' = c*x + a*t\ny' = -b*y/(pi + c)")
    assert list(model.parameters) == ["c", "a", "b"]
    assert model.estimated == ("c", "a", "b")
    assert set(model.parameters.values()) == {Parameter()}


def test_a_number_fixes_a_parameter_and_a_parameter_object_does_as_it_says():
    listed = {"a": 2, "b": Parameter(0.5, (0, 1), "1/h"), "c": Parameter(3.0, fixed=True)}
    model = HybridODE("x' = a*x - b*x + c + d", listed)
    assert model.estimated == ("b", "d")
    assert model.fixed_values == {"a": T.Number(2.0), "c": T.Number(3.0)}
    assert model.parameters["b"] is listed["b"]


def test_a_parameter_may_stand_in_a_networks_argument_only():
    model = HybridODE("x' = NN(x/k) + a", {"k": Parameter(2.0)})
    assert list(model.parameters) == ["a", "k"]


# ------------------------------------------------------------------ networks
def test_each_network_is_one_slot():
    model = HybridODE(LOTKA_VOLTERRA)
    assert [slot.name for slot in model.slots] == ["NN1", "NN2"]
    assert model.terms == ("NN1", "NN2")
    assert model.slots[0].arguments == ("prey", "predator")


def test_a_network_in_two_equations_is_one_slot_with_one_call():
    model = HybridODE("a' = -NN(a, b)\nb' = NN(a, b) - k*b")
    (slot,) = model.slots
    assert len(slot.calls) == 1
    assert slot.n_outputs == 1


def test_a_network_with_other_arguments_is_the_same_slot_with_another_call():
    model = HybridODE("x' = NN(x, y)\ny' = NN(y, x)\nz' = NN(x + y, 2*t)")
    (slot,) = model.slots
    assert [call.args for call in slot.calls] == [
        (T.Symbol("x"), T.Symbol("y")),
        (T.Symbol("y"), T.Symbol("x")),
        (parse_expression("x + y"), parse_expression("2*t")),
    ]
    assert slot.arguments == ("x", "y"), "the first call gives the names"


def test_the_highest_output_used_counts_the_outputs():
    model = HybridODE("x' = NN(x, y)[2]\ny' = NN(x, y)[0] + NNb(x)")
    assert [slot.n_outputs for slot in model.slots] == [3, 1]
    assert model.terms == ("NN[0]", "NN[1]", "NN[2]", "NNb")


def test_arguments_that_are_expressions_or_repeated_get_names_of_their_own():
    model = HybridODE("x' = NN1(x/(1 + y), y) + NN2(x, x)\ny' = NN3(t)")
    assert [slot.arguments for slot in model.slots] == [("NN1_1", "y"), ("NN2_1", "NN2_2"), ("t",)]


def test_formulas_replace_outputs_call_by_call():
    model = HybridODE("x' = NN(x, x*y)[0] - y\ny' = NN(y, x)[1]*NN(y, x)")
    formulas = {"NN[0]": parse_expression("c*x + NN_2"), "NN[1]": parse_expression("x^2")}
    assert model.slots[0].arguments == ("x", "NN_2")
    assert model.with_formulas(formulas) == (
        parse_expression("c*x + x*y - y"),
        T.mul(parse_expression("y^2"), parse_expression("c*y + x")),
    )
    assert model.formula_text("NN[0]", formulas["NN[0]"]) == "c*x + x*y"


# ------------------------------------------------------------------ initial
def test_starts_are_free_unless_said_otherwise():
    model = HybridODE("x'' = -x\ny' = x", initial={"y": "data", "x'": 0})
    assert model.initial == {"x": "free", "x'": 0.0, "y": "data"}


# ------------------------------------------------------------------ refusals
@pytest.mark.parametrize(
    ("equations", "arguments", "match"),
    [
        ("x' = x\nx' = 2*x", {}, r"equation 2 gives x a second equation. Keep one.\n    x' = 2\*x"),
        ("x'' = x\nx' = 2*x", {}, "equation 2 gives x a second equation"),
        ("x' = x\nx'' = 2*x", {}, "equation 2 gives x a second equation"),
        ("x' = 1\ny' = x'", {}, r"equation 2: x' is no state.*its own equation starts with  x'' = ...\n    y' = x'"),
        ("x' = NN(x')", {}, r"NN depends on \"x'\", which has no equation"),
        ("prey' = NN(prey, predato)\npredator' = 1", {},
         r"NN depends on 'predato'.*Did you mean 'predator'\? Write its equation \(predato' = ...\), or list it "
         "under parameters. States are prey, predator"),
        ("x' = NN(x, k)", {"parameters": {"k": 1.0}}, "NN has the argument 'k', which never changes. Remove it"),
        ("x' = NN(x, 2)", {}, "NN has the argument '2', which never changes"),
        ("x' = NN(x)\ny' = NN(x, y)", {},
         r"equation 2: NN is called with 2 arguments, before with 1.*use another name, such as NNb.*\n    y' ="),
        ("x' = NN1*x", {}, r"equation 1: the network NN1 has no argument. Name .* as in NN1\(x\).\n    x' = NN1\*x"),
        ("x' = growth*x", {"networks": {"growth": Network()}}, "the network growth has no argument"),
        ("x' = x", {"parameters": {"k": 1.0}}, "parameter 'k' does not occur in the equations. Known are none"),
        ("x' = beta*x", {"parameters": {"Beta": 1.0}}, "parameter 'Beta' does not occur.*Did you mean 'beta'"),
        ("x' = k*x", {"parameters": {"x": 1.0}}, "parameter 'x' is a state. Choose another name"),
        ("x'' = k*x", {"parameters": {"x'": 1.0}}, "parameter \"x'\" is a state"),
        ("x' = k*x", {"parameters": {"t": 1.0}}, "parameter 't' is a reserved name"),
        ("x' = k*x", {"parameters": {"exp": 1.0}}, "parameter 'exp' is a reserved name"),
        ("x' = k*x", {"parameters": {"k": "2"}}, "parameter k = '2' is not understood. Give a number or a Parameter"),
        ("x' = k*x", {"parameters": {"k": True}}, "parameter k = True is not understood"),
        ("x' = k*x", {"parameters": {"k": None}}, "parameter k = None is not understood"),
        ("x' = k*x", {"parameters": {"k": math.nan}}, "parameter k: start = nan is not a finite number"),
        ("x' = x*log(k)", {"parameters": {"k": -1}},
         r"equation 1, with the fixed values in place: log\(-1\) is not a finite number.*\n    x' = x\*log\(k\)"),
        ("x' = 1\ny' = NN(x/(k - 1) + 1/(k - 1))", {"parameters": {"k": 1}}, r"equation 2, .*: div\(1, 0\) is not"),
        ("x' = x", {"networks": {"NN1": Network()}}, "network 'NN1' does not occur in the equations. Known are none"),
        ("x' = NN1(x)", {"networks": {"NN2": Network()}}, "network 'NN2' does not occur.*Did you mean 'NN1'"),
        ("x' = NN(x)", {"networks": {"NN": 8}}, "network NN = 8 is not understood. Give a Network"),
        ("x' = x", {"initial": {"y": 1.0}}, "initial names 'y', which is no state. Known are x"),
        ("theta'' = 1", {"initial": {"theta''": 1.0}}, "initial names \"theta''\".*Did you mean \"theta'\""),
        ("x' = x", {"initial": {"x": "fixed"}}, "initial x = 'fixed' is not understood. Write \"free\", \"data\" or a"),
        ("x' = x", {"initial": {"x": math.inf}}, "initial x = inf is not understood"),
        ("x' = x", {"initial": {"x": True}}, "initial x = True is not understood"),
        ("x' = x", {"initial": {"x": 10**400}}, "initial x = 10+ is not understood"),
        ("x' = x", {"initial": {"x": [1]}}, r"initial x = \[1\] is not understood"),
    ],
)  # fmt: skip
def test_what_is_no_model_is_refused(equations, arguments, match):
    with pytest.raises(ModelError, match=f"(?s){match}"):
        HybridODE(equations, **arguments)


# ------------------------------------------------------------------ shown
def test_sympy_shows_networks_as_functions():
    model = HybridODE("x'' = -k*x + NN(x, 2*x')[1]")
    x, v, k = sympy.symbols("x x' k", real=True)
    shown = model.to_sympy()
    assert shown["x"] == v
    assert shown["x'"] == -k * x + sympy.Function("NN[1]", real=True)(x, 2 * v)


def test_latex_has_one_row_for_each_state():
    latex = HybridODE("x' = alpha*x/(1 + y)\ny' = NN(x)")._repr_latex_()
    assert latex.startswith("$$\\begin{aligned}\\dot{x} &= \\frac{\\alpha x}{y + 1} \\\\ \\dot{y} &= ")
    assert latex.endswith("\\end{aligned}$$")


def test_a_model_prints_its_equations_and_what_is_estimated():
    model = HybridODE("theta'' = -g*sin(theta) + a*theta'\nx' = NN(x)", {"g": 9.81})
    assert str(model) == (
        "HybridODE\n"
        "  theta''  = -g*sin(theta) + a*theta'\n"
        "  x'       = NN(x)\n"
        "  estimated: a\n"
        "  fixed: g = 9.81"
    )
    assert "theta&#x27;&#x27;" in model._repr_html_()
