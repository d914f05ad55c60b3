"""The prior over forms: tiers, repeated forms, restated terms, and one name for a product."""

import math

import pytest
from laws import half_known

from udesys.model import HybridODE
from udesys.model.grammar import parse_expression
from udesys.search.prior import RESTATED, description_length, form_name, known_forms, law_length, term_length


def tree(text):
    return parse_expression(text)


def test_terms_cost_by_tier():
    low, third, high = (
        {term_length(tree(t)) for t in group}
        for group in (("1", "x", "x*y", "x**2"), ("x**3", "x**2*y", "x*y*z"), ("x**4", "x**5", "x**2*y**2"))
    )
    assert len(low) == len(third) == len(high) == 1
    assert 0 < low.pop() < third.pop() < high.pop()


def test_functions_cost_by_their_size():
    costs = [term_length(tree(t)) for t in ("sin(x)", "x*sin(x)", "x*sin(x*y)", "x*y*sin(x*y)")]
    assert costs == sorted(costs) and costs[0] < costs[-1]
    assert term_length(tree("sin(x)")) > term_length(tree("x"))
    assert term_length(tree("sin(2*x)")) - term_length(tree("sin(x)")) <= 0.5  # a number costs no more than a node


def test_a_sum_costs_what_its_terms_cost():
    assert description_length([tree("x"), tree("x**3")]) == term_length(tree("x")) + term_length(tree("x**3"))
    assert description_length([]) == 0.0


def test_a_form_named_before_is_nearly_free():
    product, cube = tree("x*y"), tree("x**3")
    once = law_length({"NN1": [product]}, {})
    assert law_length({"NN1": [product], "NN2": [tree("y*x")]}, {}) == once  # the only form there is to point at
    assert law_length({"NN1": [product, cube], "NN2": [cube]}, {}) == pytest.approx(
        term_length(product) + term_length(cube) + math.log(2)  # one of two
    )
    assert law_length({"NN1": [product], "NN2": [cube]}, {}) == term_length(product) + term_length(cube)


def test_a_restated_term_costs_more_only_where_it_stands_already():
    known = {"NN1": frozenset({form_name(tree("x"))})}
    plain = law_length({"NN1": [tree("x")]}, {})
    assert law_length({"NN1": [tree("x")]}, known) == plain + RESTATED
    assert law_length({"NN2": [tree("x")]}, known) == plain
    assert law_length({"NN1": [tree("y")]}, known) == plain


@pytest.mark.parametrize(
    "texts",
    [
        ("x*y", "y*x", "2*x*y", "-(x*y)", "x*3*y", "y*x/2"),
        ("x**2*y", "x*y*x", "y*x**2", "x*(x*y)", "(x*y)*x", "x**3*y/x"),
        ("x/y", "x*y**(-1)", "2/y*x"),
        ("x*sin(y)", "sin(y)*x"),
        ("1", "3", "x/x", "-2"),
    ],
)
def test_a_product_has_one_name_however_it_is_written(texts):
    assert len({form_name(tree(t)) for t in texts}) == 1


def test_different_products_have_different_names():
    texts = [
        "1",
        "x",
        "y",
        "x*y",
        "x**2",
        "x**2*y",
        "x*y**2",
        "x/y",
        "y/x",
        "sin(x)",
        "sin(y)",
        "sin(2*x)",
        "exp(x)",
        "exp(-x)",
    ]
    assert len({form_name(tree(t)) for t in texts}) == len(texts)


def test_constants_are_no_part_of_the_name():
    assert form_name(tree("alpha*x/beta"), frozenset({"alpha", "beta"})) == form_name(tree("x"))
    assert form_name(tree("alpha*x")) != form_name(tree("x"))


def test_what_an_equation_has_already_is_known_for_its_networks_only():
    known = known_forms(half_known())
    assert known == {"NN1": {form_name(tree("prey"))}, "NN2": {form_name(tree("predator"))}}


def test_known_forms_see_through_signs_and_shared_networks():
    model = HybridODE("x' = -k*x*y - (x**2 - NN(x, y))\ny' = 3*y + x*NN(x, y)", parameters={"k": 2.0})
    names = {form_name(tree(t)) for t in ("x*y", "x**2", "y")}
    assert known_forms(model) == {"NN": names}
