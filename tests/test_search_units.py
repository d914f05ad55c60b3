"""Units: what their names mean, which forms they leave possible, and what they say of the constants found."""

import time
from dataclasses import replace

import numpy as np
import pytest
from laws import fitted

from udesys.discover import recover
from udesys.errors import SearchError
from udesys.model import HybridODE, Parameter
from udesys.model.grammar import parse_expression
from udesys.model.program import Program
from udesys.model.tree import symbols
from udesys.search import Library, SearchOptions, Task, propose
from udesys.search.dimensions import (
    UnitMismatch,
    equation_units,
    law_units,
    model_units,
    solve_units,
    term_units,
    unit_of,
)
from udesys.search.units import NONE, parse_unit


def unit(text):
    return parse_unit(text, "x")


# --- names and texts ---------------------------------------------------------------------------------

# From the SI brochure (9th edition), and 1 mmHg = 133.322387415 Pa, 1 year = 365.25 days.
EQUAL = [
    ("N", "kg*m/s^2"),
    ("J", "N*m"),
    ("mmHg", "133.322387415*Pa"),
    ("year", "365.25*day"),
    ("1/h", "1/(3600*s)"),
    ("L", "0.001*m^3"),
    ("mg/dL", "10*g/m^3"),
    ("µM", "1e-6*mol/L"),
    ("m²", "m*m"),
    ("kg m", "kg*m"),
    ("min", "60*s"),
    ("%", "0.01"),
    ("°C", "K"),  # of a difference
    ("rad", "1"),
    ("-", ""),
    ("m^0.5*m^0.5", "m"),
]
UNEQUAL = [("g", "kg"), ("kg", "m"), ("deg", "1"), ("%", "1"), ("h", "s"), ("Pa", "N")]
REFUSED = [
    ("kgg", r"of 'hare' cannot be read: there is no unit 'kgg'\. Did you mean 'kg'\?"),
    ("meterr", r"no unit 'meterr'\. Did you mean 'meter'\?"),
    ("cells/mL", r'no unit \'cells\'.* a number of things has the unit "1"'),
    ("kg + m", "a unit is a product of powers up to 20"),
    ("kg^m", "a unit is a product of powers"),
    ("kg^99", "a unit is a product of powers up to 20"),
    ("kg/", r"write names and numbers with \* / \^"),
    ("0*kg", "0 is no size of a unit"),
    ("(1e300*kg)^20", "write names and numbers"),
    ("__import__('os')", "there is no unit '__import__'"),
]


@pytest.mark.parametrize(("one", "other"), EQUAL)
def test_units_are_what_their_names_mean(one, other):
    assert unit(one).matches(unit(other)) and unit(other).matches(unit(one))
    assert unit(str(unit(one))).matches(unit(other))  # the text says the same


@pytest.mark.parametrize(("one", "other"), UNEQUAL)
def test_units_of_other_kind_or_size_are_told_apart(one, other):
    assert not unit(one).matches(unit(other))


@pytest.mark.parametrize(("text", "message"), REFUSED)
def test_a_unit_that_means_nothing_is_refused_with_its_owner(text, message):
    with pytest.raises(SearchError, match=message):
        parse_unit(text, "hare")


def test_a_text_is_never_evaluated():
    began = time.process_time()
    with pytest.raises(SearchError, match="write names and numbers"):
        unit("10^9^10^9")  # a number of a billion digits, which pint's own parser sets out to compute
    assert time.process_time() - began < 5.0


def test_units_are_printed_as_they_were_named():
    assert str(unit("kg") / (unit("kg") * unit("kg") * unit("year"))) == "1/(kg*year)"
    assert str(unit("m") / unit("s") ** 2) == "m/s^2"
    assert (str(NONE), str(unit("1000/mL"))) == ("1", "1000/mL")


# --- forms -------------------------------------------------------------------------------------------

UNITS = {name: unit(text) for name, text in {"x": "kg", "y": "kg", "z": "m", "a": "1"}.items()}
POSSIBLE = [
    ("c*x*z**2", "kg*m^2"),
    ("c*x/(K + x)", "1"),
    ("c*y/(K + x)", "1"),
    ("c*x**2/(K**2 + x**2)", "1"),
    ("c*x/(K + x + L*x**2)", "1"),
    ("c*sin(k*x)", "1"),
    ("c*exp(a) + d*a**a", "1"),
    ("c*tanh(x/y)", "1"),
    ("c*log(1 + k*x)", "1"),
    ("c*sqrt(x**2 + y**2)", "kg"),
    ("c*x*sign(z)*abs(z)", "kg*m"),
    ("c*z/(1 + exp(k*(x - m)))", "m"),
    ("c*min(x, y)", "kg"),
]
IMPOSSIBLE = [
    "sin(x)",
    "exp(x - y)",
    "x*log(z)",
    "tanh(x*y)",
    "1/(1 + x)",
    "x/(x + z)",
    "sqrt(x + z)",
    "max(x, z)",
    "a**x",
    "x**a",
    "exp(k*x)/(1 + z)",
    "exp(x + c)",
]


@pytest.mark.parametrize(("text", "form"), POSSIBLE)
def test_a_possible_form_says_the_same_in_other_units_of_its_arguments_and_constants(text, form):
    tree = parse_expression(text)
    constants = sorted(symbols(tree) - UNITS.keys())
    found = solve_units(tree, unit(form) * unit("N/kg"), UNITS)
    assert found.keys() == set(constants)
    new = {"kg": 1000.0, "m": 100.0, "s": 1.0}  # grams and centimetres
    values = dict(zip(["x", "y", "z", "a", *constants], np.linspace(0.4, 1.3, 4 + len(constants)), strict=True))
    factor = {name: in_new_units(u, new) for name, u in (UNITS | found).items()}
    moved = {name: value * factor[name] for name, value in values.items()}
    before, after = (Program([tree], list(v)).run(list(v.values()))[0] for v in (values, moved))
    assert after == pytest.approx(before * in_new_units(unit(form) * unit("N/kg"), new), rel=1e-12)


def in_new_units(of, new):
    """The factor by which a number grows when kg and m become smaller units; newtons are kg*m/s^2."""
    powers = dict(of.powers)
    newtons = powers.pop("N", 0.0)
    base = {name: powers.get(name, 0.0) for name in new}
    base = {name: n + newtons * {"kg": 1, "m": 1, "s": -2}[name] for name, n in base.items()}
    assert powers.keys() <= new.keys()
    return float(np.prod([new[name] ** n for name, n in base.items()]))


@pytest.mark.parametrize("text", IMPOSSIBLE)
def test_a_form_that_no_constant_can_repair_is_told(text):
    with pytest.raises(UnitMismatch):
        unit_of(parse_expression(text), UNITS)


def test_what_has_no_unit_given_may_have_any():
    assert unit_of(parse_expression("sin(q)*x"), UNITS).matches(unit("kg"))
    assert unit_of(parse_expression("q*x"), UNITS) is None


# --- of a model --------------------------------------------------------------------------------------


def test_the_unit_of_a_term_follows_from_its_equation():
    model = HybridODE(
        "hare' = alpha*hare - hare*NN1(hare, lynx)\nlynx' = NN2(hare*lynx, t)/m + NN3(lynx)",
        parameters={"m": Parameter(2.0, unit="m^2")},
    )
    found = term_units(model, {"hare": "kg", "lynx": "1", "year": "year"}, "year")
    expected = {
        "NN1": {"hare": "kg", "lynx": "1", "NN1": "1/year"},
        "NN2": {"NN2_1": "kg", "t": "year", "NN2": "m^2/year"},
        "NN3": {"lynx": "1", "NN3": "1/year"},
    }
    assert found.keys() == expected.keys()
    for term, units in expected.items():
        assert found[term].keys() == units.keys()
        assert all(unit(found[term][name]).matches(unit(text)) for name, text in units.items())


def test_a_velocity_has_the_unit_of_its_state_over_that_of_time():
    model = HybridODE("q'' = -NN(q, q')/m", parameters={"m": Parameter(1.0, unit="kg")})
    found = term_units(model, {"q": "m", "time": "s"}, "time")["NN"]
    assert unit(found["q'"]).matches(unit("m/s")) and unit(found["NN"]).matches(unit("N"))


def test_what_is_behind_a_number_or_an_unknown_unit_is_left_open():
    model = HybridODE("x' = 2*NN1(x) + NN2(x)*exp(b)\ny' = NN3(y)", parameters={"b": Parameter(1.0)})
    found = term_units(model, {"x": "kg", "time": "s"}, "time")
    assert "NN1" not in found["NN1"]  # the number may have any unit
    assert found["NN2"]["NN2"] == "kg/s" and found["NN3"] == {}
    assert term_units(model, {}, "time") == {}


def test_an_equation_whose_units_do_not_match_is_told():
    model = HybridODE("x' = a*x + NN(x)", parameters={"a": Parameter(1.0, unit="1/day")})
    units, wrong = equation_units(model, model_units(model, {"x": "kg", "time": "s"}, "time"))
    assert wrong == ["the units in the equation of x do not match: the right side has kg/day, the left side kg/s."]
    assert units == {}


# --- in a search -------------------------------------------------------------------------------------


def task(values, units, noise=0.002, n=80):
    rng = np.random.default_rng(0)
    points = rng.uniform(0.5, 4.0, (n, 2))
    std = np.full(n, noise)
    exact = values(*points.T)
    return Task(
        term="NN",
        arguments=("x", "y"),
        points=points,
        values=exact + std * rng.standard_normal(n),
        std=std,
        units=units,
    )


KILOGRAMS = {"x": "kg", "y": "m", "NN": "kg/s"}
OPTIONS = SearchOptions(engines=["sparse"], max_terms=3)


def test_no_formula_is_proposed_whose_units_cannot_match():
    options = SearchOptions(engines=["sparse"], max_terms=3, library=Library(functions=["sin", "exp", "sqrt"]))
    asked = [task(lambda x, y: np.sin(x) + 0.2 * y, given) for given in (KILOGRAMS, {})]
    forms, free = ({form for candidate in propose(a, options) for form in candidate.forms} for a in asked)
    for form in forms:
        unit_of(form, {name: unit(text) for name, text in KILOGRAMS.items()})
    sine = parse_expression("sin(x)")
    assert sine in free and sine not in forms
    assert any(symbols(form) == {"x", "#0"} and "sin" in str(form) for form in forms)  # of k*x


def test_a_logarithm_stands_beside_the_term_that_holds_its_unit():
    gompertz = task(lambda x, y: 1.5 * x - 0.7 * x * np.log(x), KILOGRAMS)
    front = propose(gompertz, OPTIONS)
    assert next(iter(front)).key == "log(x)*x + x"
    keys = [candidate.key.split(" + ") for candidate in front]
    assert all("x" in key for key in keys if "log(x)*x" in key)


def test_where_units_leave_nothing_the_error_says_so():
    asked = task(lambda x, y: x, KILOGRAMS)

    class Differences:  # in which a constant does not show
        target = np.diff(asked.values)

        def apply(self, columns):
            return np.diff(columns, axis=0)

    library = Library(degree=0, functions=["sin"], products=False, templates=(), terms=["x + y"])
    options = SearchOptions(engines=["sparse"], library=library, max_terms=1)
    with pytest.raises(SearchError, match=r"^NN: what is known leaves no formula\. .* by units \(3\)\. Loosen it"):
        propose(replace(asked, response=Differences()), options)


def test_the_constants_of_a_law_have_units():
    options = SearchOptions(
        library=Library(degree=2, functions=()),
        engines=["sparse"],
        units={"prey": "kg", "predator": "kg", "t": "year"},
    )
    law = recover(fitted(0.005, 0), options=options)
    for term in ("NN1", "NN2"):
        (constant,) = law.residuals[term].constants.values()
        assert unit(constant.unit).matches(unit("1/(kg*year)"))
    assert "1/(kg*year)" in str(law)
    assert law.to_dict()["residuals"]["NN1"]["constants"]["c0"]["unit"] == "1/(kg*year)"
    assert law_units(law.closed_form, {}, "t") == {}
