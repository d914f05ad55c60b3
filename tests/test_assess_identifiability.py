"""What a law's form makes identifiable, and the combinations of its constants that still are all there is."""

import functools
import json
from dataclasses import replace

import numpy as np
import pytest
from laws import TRUTH, discover, half_known, lotka_volterra, lotka_volterra_rhs, measured

from udesys.assess.discovery import Residual
from udesys.assess.estimate import Estimate
from udesys.assess.identifiability import LawIdentifiability, with_identifiability
from udesys.model import HybridODE, Parameter
from udesys.model import tree as T
from udesys.model.closed_form import ClosedForm, Formula
from udesys.runs.keeping import law_files, law_of
from udesys.search import SearchOptions
from udesys.search.library import Library

FAST = SearchOptions(engines=("sparse",), library=Library(degree=2, functions=(), templates=()))


def both(noise=0.01, seed=0, keep=slice(None)):
    columns = ("x", "y")[keep] if keep != slice(None) else ("x", "y")
    start, t = [0.44249296, 4.6280594], np.arange(0, 3.05, 0.1)
    return measured(lotka_volterra_rhs, [start], [t], columns, noise=noise, seed=seed, keep=keep)


@functools.cache
def law(prey, predator="0.8*x*y - d*y", seed=0, keep=None):
    data = both(seed=seed) if keep is None else both(seed=seed, keep=slice(keep))
    return discover(f"x' = {prey}\ny' = {predator}", data, options=FAST, seed=seed)


# --- what the form made identifiable -----------------------------------------------------------------


def test_what_networks_could_absorb_has_an_interval_once_there_is_a_formula():
    model = half_known(alpha=Parameter(1.0), delta=Parameter(1.0))
    found = discover(model, lotka_volterra(0.01), options=FAST)
    for name in ("alpha", "delta"):
        assert TRUTH[name] in found.parameters[name]
    alpha, delta = found.identifiability.sentences
    assert alpha.startswith("alpha, which NN1(prey, predator) could absorb, is determined by the form found: 1.3")
    assert delta.startswith("delta, which NN2(prey, predator) could absorb, is determined by the form found: 1.")
    low, high = found.parameters["alpha"].interval
    assert f"95 % interval [{low:.4f}, {high:.4f}]" in alpha
    assert not any("determined" in w or "identifiable" in w for w in found.warnings)
    assert "alpha, which NN1(prey, predator) could absorb" in str(found).replace("\n          ", " ")


def test_what_was_determined_before_is_not_spoken_of():
    found = law("alpha*x + NN1(y)*x")
    assert list(found.identifiability.resolved) == ["alpha"]
    assert law("alpha*x - b*x*y").identifiability == LawIdentifiability(resolved={}, together=())


# --- what appears together only ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prey", "told", "alone"),
    [
        ("a*b*x + NN1(x, y)", "their product a*b is determined, neither by itself. a*b = 1.3", "alpha*x + NN1(x, y)"),
        ("(a + b)*x - c*x*y", "their sum a + b is determined, neither by itself. a + b = 1.3", "alpha*x - c*x*y"),
        ("a*x/b - c*x*y", "their ratio a/b is determined, neither by itself. a/b = 1.3", "alpha*x - c*x*y"),
    ],
)
def test_a_combination_has_the_interval_of_one_constant_in_its_place(prey, told, alone):
    found, twin = law(prey), law(alone).parameters["alpha"]
    (part,) = found.identifiability.together
    assert told in part.words and part.names == ("a", "b")
    assert part.value == pytest.approx(twin.value, rel=1e-6)
    # The noise is estimated with one unknown more, so from one degree of freedom less of 57.
    assert part.stderr == pytest.approx(twin.stderr * np.sqrt(57 / 56), rel=1e-5)
    assert part.interval[0] < TRUTH["alpha"] < part.interval[1]
    assert not found.parameters["a"].identifiable and not found.parameters["b"].identifiable
    assert not any("not identifiable" in w for w in found.warnings)
    assert "These data do not determine" not in str(found)


def test_two_combinations_have_an_interval_each():
    found = law("a*b*x - a*c*x*y").identifiability
    assert [part.combination for part in found.together] == ["a*b", "a*c"]
    (words,) = found.sentences
    assert "a*b = 1.3" in words and "a*c = 0." in words
    for part, truth in zip(found.together, (1.3, 0.9), strict=True):
        assert part.interval[0] < truth < part.interval[1]


def test_a_combination_with_a_fixed_parameter_in_it_has_a_value():
    model = HybridODE("x' = a*k^b*x - c*x*y\ny' = 0.8*x*y - d*y", {"k": 2.0})
    (part,) = discover(model, both(), options=FAST).identifiability.together
    assert part.combination == "a*k**b"
    assert part.interval[0] < 1.3 < part.interval[1]


def test_a_state_without_a_column_has_a_free_scale_in_the_law_too():
    found = law("alpha*x - beta*x*y", "gamma*x*y - delta*y", keep=1)
    (part,) = found.identifiability.together
    assert part.names == ("beta", "y") and part.combination == "beta*y" and np.isnan(part.value)
    assert not found.parameters["beta"].identifiable and found.parameters["gamma"].identifiable


def with_formula(found, text, constants):
    """A law with another formula for NN1, its constants where they are, not refitted."""
    formula = Formula(text, constants)
    form = ClosedForm(found.model, {"NN1": formula}, found.closed_form.parameters)
    estimates = {c: Estimate(value=v) for c, v in constants.items()}
    residual = Residual(expression=form.residual_text("NN1"), constants=estimates)
    return with_identifiability(replace(found, closed_form=form, residuals={"NN1": residual}))


def test_a_formula_that_holds_a_known_term_leaves_the_sum():
    x, y, c0, c1 = map(T.Symbol, ("x", "y", "c0", "c1"))
    tree = T.add(T.mul(c0, T.mul(x, y)), T.mul(c1, x))
    found = with_formula(law("alpha*x + NN1(x, y)"), tree, {"c0": -0.9, "c1": 0.1})
    assert not found.identifiability.resolved
    (part,) = found.identifiability.together
    assert part.names == ("alpha", "NN1.c1")
    told = "alpha and NN1.c1 appear together only: their sum alpha + NN1.c1 is determined, neither by itself."
    assert part.words.startswith(f"{told} alpha + NN1.c1 = 1.4")


def test_the_warning_on_each_constant_gives_way_to_the_combination():
    found = law("a*b*x + NN1(x, y)")
    generic = "a is not identifiable: other constants can make up for any value of it."
    other = "k is not identifiable: other constants can make up for any value of it."
    again = with_identifiability(replace(found, warnings=(generic, other)))
    assert again.warnings == (other,)


def test_a_constant_that_is_held_at_its_bound_is_known():
    starts = {"a": Parameter(1.0, bounds=(0.5, 1.1)), "b": Parameter(1.0, bounds=(0.5, 1.1))}
    model = HybridODE("x' = a*b*x - c*x*y\ny' = 0.8*x*y - d*y", starts)  # a*b is 1.21 at most
    found = discover(model, both(), options=FAST)
    assert found.parameters["a"].at_bound == 1.1
    assert found.identifiability.together == ()


# --- what is kept ------------------------------------------------------------------------------------


@pytest.mark.parametrize("prey", ["a*b*x + NN1(x, y)", "alpha*x + NN1(x, y)"])
def test_it_is_in_the_result_and_comes_back_with_a_kept_law(prey):
    found = law(prey)
    plain = found.to_dict()["identifiability"]
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    files = law_files(found)
    again = law_of(found.model, found.data, None, found.fit, files["law.json"].encode(), files.get("law.safetensors"))
    assert again.identifiability == found.identifiability
    assert str(again) == str(found)


def test_a_law_of_an_older_version_says_nothing():
    found = replace(law("a*b*x - c*x*y"), footing=None, identifiability=None)
    assert with_identifiability(found).identifiability is None
    assert "identifiability" not in found.to_dict()
    assert "These data do not determine a, b." in str(found)


# --- a study -----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_interval_of_what_a_network_could_absorb_holds_the_truth():
    held = 0
    for seed in range(10):
        found = law("alpha*x + NN1(x, y)", "0.8*x*y - 1.8*y", seed)
        assert "NN1(x, y) can absorb alpha*x" in found.fit.identifiability.sentences[0]
        assert "alpha" in found.identifiability.resolved
        held += TRUTH["alpha"] in found.parameters["alpha"]
    assert held >= 8
