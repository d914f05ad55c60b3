"""The library of terms: how many there are, what is left out, and that text is parsed and never run."""

import math

import numpy as np
import pytest

from udesys.errors import SearchError
from udesys.model import tree as T
from udesys.search import Library
from udesys.search.library import FUNCTIONS
from udesys.search.prior import monomial_degree


def texts(library, arguments, points=None):
    points = np.ones((3, len(arguments))) if points is None else points
    return [T.to_text(t) for t in library.for_arguments(arguments, points)]


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("degree", [0, 1, 4])
def test_there_are_binomially_many_monomials(n, degree):
    terms = texts(Library(degree=degree, functions=()), ["x", "y", "z"][:n])
    assert len(set(terms)) == len(terms) == math.comb(n + degree, degree)


@pytest.mark.parametrize(("n", "degree"), [(1, 5), (2, 4), (3, 3), (4, 2), (6, 2)])
def test_the_degree_falls_with_the_number_of_arguments(n, degree):
    terms = texts(Library(functions=()), [f"x{k}" for k in range(n)])
    assert len(terms) == math.comb(n + degree, degree)


def test_monomials_come_by_rising_degree():
    assert texts(Library(degree=2, functions=()), ["x", "y"]) == ["1", "x", "y", "x**2", "x*y", "y**2"]


def test_every_function_is_offered_of_every_argument():
    terms = texts(
        Library(degree=0, functions=FUNCTIONS, products=False), ["x", "y"], np.array([[1.0, 1.0], [-1.0, -1.0]])
    )
    of_x = [
        "sin(x)",
        "cos(x)",
        "exp(x)",
        "exp(-x)",
        "tanh(x)",
        "log(x)",
        "x*log(x)",
        "sqrt(x)",
        "1/x",
        "1/x**2",
        "abs(x)",
        "x*abs(x)",
        "sign(x)",
    ]
    assert terms == ["1", *of_x, *(t.replace("x", "y").replace("eyp", "exp") for t in of_x)]


def test_products_of_sines_and_cosines_of_one_argument_are_offered_as_they_are_written_shortest():
    offered = texts(Library(degree=0, functions=("sin", "cos")), ["x"])
    assert offered == ["1", "sin(x)", "sin(2*x)", "cos(2*x)", "cos(x)"]
    assert "sin(2*x)" not in texts(Library(degree=0, functions=("sin", "cos"), products=False), ["x"])


def test_the_exponential_is_left_out_of_arguments_that_would_overflow_it():
    points = np.array([[1.0, 10.0], [2.0, 21.0]])
    assert texts(Library(degree=0, functions=("sin", "cos", "exp"), products=False), ["x", "y"], points) == [
        "1",
        "sin(x)",
        "cos(x)",
        "exp(x)",
        "exp(-x)",
        "sin(y)",
        "cos(y)",
    ]


def test_own_terms_are_added_once_and_only_where_their_arguments_are():
    library = Library(degree=1, functions=(), terms=["x*exp(-y)", "x", "z**2", "x/(1 + x)"])
    assert texts(library, ["x", "y"]) == ["1", "x", "y", "x*exp(-y)", "x/(1 + x)"]


@pytest.mark.parametrize(
    ("term", "match"),
    [
        ("__import__('os').system('touch written')", "the library's term .* cannot be read"),
        ("open(x)", "'open' is no known function"),
        ("x.__class__", "the library's term 'x.__class__' cannot be read"),
        ("sinn(x)", "Did you mean 'sin'"),
        ("x +", "the expression ends too early"),
    ],
)
def test_own_terms_are_parsed_and_never_run(term, match, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SearchError, match=match):
        Library(terms=[term])
    assert not list(tmp_path.iterdir())


def test_an_unknown_function_is_refused_with_the_nearest_name():
    with pytest.raises(SearchError, match=r"the library has no function 'tahn'\. Did you mean 'tanh'\?"):
        Library(functions=["sin", "tahn"])


@pytest.mark.parametrize("degree", [-1, 13, 2.0, True, "4"])
def test_the_degree_is_a_small_whole_number(degree):
    with pytest.raises(SearchError, match=r"degree = .* must be a whole number from 0 to 12"):
        Library(degree=degree)


@pytest.mark.parametrize("option", [{"functions": "sin"}, {"terms": "x*y"}, {"terms": [1]}])
def test_functions_and_terms_are_lists_of_texts(option):
    with pytest.raises(SearchError, match="must be a list of texts"):
        Library(**option)


@pytest.mark.parametrize(
    ("text", "degree"),
    [
        ("1", 0),
        ("x", 1),
        ("x*y", 2),
        ("x**2*y**3", 5),
        ("(x*y)**2", 4),
        ("sin(x)", None),
        ("x/y", None),
        ("x**(-1)", None),
        ("x + y", None),
        ("x*exp(y)", None),
    ],
)
def test_the_degree_of_a_monomial(text, degree):
    from udesys.model.grammar import parse_expression

    assert monomial_degree(parse_expression(text)) == degree
