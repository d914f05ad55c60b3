"""The prior over forms: tiers, repeated forms, restated terms, and one name for a product."""

import math

import numpy as np
import pytest
from laws import half_known

from udesys.errors import SearchError
from udesys.model import HybridODE
from udesys.model.grammar import parse_expression
from udesys.search import Library, SearchOptions, Task, propose
from udesys.search.prior import RESTATED, Prior, description_length, form_name, known_forms, law_length, term_length


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


OWN = Prior(low_degree=1, third_degree=20, high_degree=300, other=4000, per_node=10_000, restated=500_000)


def test_every_tier_of_the_prior_can_be_changed():
    lengths = [term_length(tree(t), OWN) for t in ("x*y", "x*y**2", "x**4", "sin(x)", "x*sin(x*y)")]
    assert lengths == [1, 20, 300, 4000, 4000 + 3 * 10_000]
    assert description_length([tree("x"), tree("x**3")], OWN) == 21
    known = {"NN1": frozenset({form_name(tree("x"))})}
    assert law_length({"NN1": [tree("x")]}, known, OWN) == 500_001


def test_candidates_are_proposed_and_scored_under_the_prior_asked_for():
    rng = np.random.default_rng(0)
    points = rng.uniform(0.5, 1.0, (40, 1))
    values = np.sin(points[:, 0]) + 0.2 * rng.standard_normal(40)  # which tells nothing apart
    asked = Task(term="NN", arguments=("x",), points=points, values=values, std=np.full(40, 0.2))
    for prior, first in ((Prior(), "x"), (Prior(low_degree=50, third_degree=50, high_degree=50, other=0), "sin(x)")):
        library = Library(functions=["sin"], templates=())
        front = propose(asked, SearchOptions(engines=["sparse"], library=library, prior=prior))
        assert front.candidates[0].key == first
        assert all(c.prior == pytest.approx(description_length(c.forms, prior)) for c in front)


@pytest.mark.parametrize("value", [-1, "2", True, float("nan"), float("inf")])
def test_a_prior_that_is_no_number_of_nats_is_refused(value):
    with pytest.raises(SearchError, match=r"per_node = .* must be a number of nats, zero or more"):
        Prior(per_node=value)


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
