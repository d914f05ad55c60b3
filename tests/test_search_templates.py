"""Templates: the grid of each reaches the constants it is for, and the user's own are read and never run."""

from dataclasses import replace

import numpy as np
import pytest

from udesys.errors import SearchError
from udesys.model import tree as T
from udesys.model.vanishing import Vanishing
from udesys.search import Library, SearchOptions, Task
from udesys.search.engines import sparse
from udesys.search.templates import NAMES, templates_for

T_AXIS = np.linspace(0, 9, 100)
X, Y = 2 + 1.9 * np.sin(0.7 * T_AXIS), 2 + np.cos(T_AXIS)
POINTS = np.stack([X, Y], 1)

CASES = {
    "monod": (lambda s: 1.3 * s * Y / (0.9 + s), "(#0 + x)**-1*x*y"),
    "hill": (lambda s: 2.0 / (1.4**4 + s**4), "(#0**4 + x**4)**-1"),
    "haldane": (lambda s: s / (0.5 + s + 0.7 * s**2), "(#0 + x + #1*x**2)**-1*x"),
    "exponential": (lambda s: Y * np.exp(-0.9 * s), "exp(#0*x)*y"),
    "diode": (lambda s: 0.2 * (np.exp(0.9 * s) - 1), "(exp(#0*x) - 1)"),
    "arrhenius": (lambda s: 5.0 * Y * np.exp(-3.3 / s), "exp(#0/x)*y"),
    "tanh": (lambda s: np.tanh(0.6 * s), "tanh(#0*x)"),
    "sine": (lambda s: np.sin(1.9 * s), "sin(#0*x)"),
    "logarithm": (lambda s: np.log(1 + 2.4 * s), "log(1 + #0*x)"),
    "power": (lambda s: Y * s**0.4, "(x**#0)*y"),
    "ratio": (lambda s: s * Y / (s + 2.2 * Y), "(y + #0*x)**-1*x*y"),
    "sigmoid": (lambda s: 1 / (1 + np.exp(-2.5 * (s - 1.8))), "(1 + exp(#0*(x - #1)))**-1"),
}


def task(values, noise=0.01):
    std = np.full(len(values), noise * np.abs(values).mean())
    values = values + std * np.random.default_rng(0).standard_normal(len(values))
    return Task(term="NN", arguments=("x", "y"), points=POINTS, values=values, std=std)


@pytest.mark.parametrize("name", CASES)
def test_a_template_is_found_with_its_constants(name):
    function, key = CASES[name]
    front = sparse.propose(task(function(X)), SearchOptions(max_terms=2))
    assert front.candidates[0].key == key
    assert front.candidates[0].loss == pytest.approx(1.0, abs=0.4)


def test_every_template_has_a_case_or_stands_beside_one():
    assert set(NAMES) - set(CASES) == {"lorentz"}  # x/(K**2 + x**2) among the saturating forms


def found(texts, arguments=("x", "y"), points=POINTS, taken=()):
    return templates_for(texts, arguments, points, taken)


def test_a_users_template_has_its_other_names_as_constants_and_no_factor_of_its_own():
    (template,) = found(["Vmax*x/(Km + x)"])
    assert T.to_text(template.tree) == "x/(#0 + x)" and template.inner == ("#0",)
    assert template.grid.min() < 0.5 and template.grid.max() > 5


def test_grids_follow_the_units_of_the_data():
    small = found(["monod", "sigmoid", "haldane"], ("x",), POINTS[:, :1])
    large = found(["monod", "sigmoid", "haldane"], ("x",), 1e6 * POINTS[:, :1])
    for a, b in zip(small, large, strict=True):
        assert T.to_text(a.tree) == T.to_text(b.tree)
        ratio = b.grid / a.grid
        assert np.allclose(ratio, 1e6) or np.allclose(ratio, 1e-6) or ratio.shape[1] == 2


def test_a_template_with_a_name_of_the_model_is_no_template_of_another_network():
    assert found(["x/(lynx + x)"], taken={"lynx"}) == []
    assert found(["z/(K + z)"]) == []


def test_where_an_argument_changes_sign_saturation_is_not_offered():
    signed = np.linspace(-2, 2, 50)[:, None]
    texts = {T.to_text(t.tree) for t in found(["monod", "hill", "logarithm", "power"], ("x",), signed)}
    assert texts == {"x**2/(#0**2 + x**2)", "1/(#0**2 + x**2)", "x**4/(#0**4 + x**4)", "1/(#0**4 + x**4)"}


def test_templates_are_named_or_readable():
    with pytest.raises(SearchError, match=r"there is no template 'mnod'\. Did you mean 'monod'\?"):
        Library(templates=["mnod"])
    with pytest.raises(SearchError, match=r"the template '__import__\(\"os\"\)' cannot be read"):
        Library(templates=['__import__("os")'])


def test_an_exponential_less_its_value_at_zero_has_a_factor_where_the_term_is_zero_with_its_argument():
    def has_factor(zero):
        texts = {T.to_text(t.tree) for t in templates_for(["diode"], ("x", "y"), POINTS, (), zero)}
        return "y*(exp(#0*x) - 1)" in texts, "x*(exp(#0*y) - 1)" in texts

    assert has_factor(()) == (False, False)
    assert has_factor({"x"}) == (True, False)


def test_a_saturation_that_is_zero_with_its_state_is_found_as_one_term():
    values = Y * (1 - np.exp(-1.3 * X))
    plain = task(values)
    known = replace(plain, vanishing=(Vanishing(state="x", arguments=frozenset({"x"})),))
    best = sparse.propose(known, SearchOptions(max_terms=2)).candidates[0]
    assert best.key == "(exp(#0*x) - 1)*y"
    assert sorted(best.formula.constants.values()) == pytest.approx([-1.3, -1.0], rel=0.02)  # 1 % noise
