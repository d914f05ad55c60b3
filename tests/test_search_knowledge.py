"""What is known of a missing term: what is forbidden, its sign, slopes, expressions, a guess, and the prior."""

import sys

import numpy as np
import pytest
from laws import EXACT, discover, fitted, half_known, lotka_volterra

from udesys.errors import SearchError
from udesys.model import HybridODE
from udesys.model import tree as T
from udesys.model.closed_form import Formula
from udesys.model.grammar import parse_expression
from udesys.model.program import Program
from udesys.search import Library, SearchOptions, Task, propose
from udesys.search import proposing as proposing_module
from udesys.search.candidate import Front, make_candidate
from udesys.search.forbidden import parse_forbidden
from udesys.search.guessing import guessed
from udesys.search.knowledge import TermKnowledge, for_model
from udesys.search.prior import Prior
from udesys.search.shape import Shape
from udesys.select import select

RNG = np.random.default_rng(0)
POINTS = RNG.uniform(0.2, 4.0, (100, 2))


def task(values, noise=0.002, arguments=("x", "y"), points=POINTS, **more):
    """Noisy values of a function at the points."""
    std = np.full(len(points), noise)
    noisy = values(*points.T) + noise * np.random.default_rng(1).standard_normal(len(points))
    return Task(term="NN", arguments=arguments, points=points, values=noisy, std=std, **more)


def options(known=None, **more):
    return SearchOptions(**{"engines": ["sparse"], "terms": {"NN": known} if known else {}, **more})


def at(candidate, points=POINTS, arguments=("x", "y")):
    """A candidate's values at points."""
    constants = candidate.formula.constants
    program = Program([candidate.formula.tree], [*arguments, *constants])
    return np.broadcast_to(program.run([*points.T, *constants.values()])[0], len(points))


class Stub:
    """An engine that proposes what it is told, and remembers what it was asked."""

    NAME = "stub"

    def __init__(self, *texts, numbers=None):
        self.texts, self.numbers, self.asked = texts, numbers or {}, []

    def ready(self):
        return ""

    def propose(self, task, options, seed=0):
        self.asked.append((task, options))
        made = []
        for place, text in enumerate(self.texts):
            signs, terms = zip(*(([-1.0, t[1:]] if t[0] == "-" else [1.0, t]) for t in text.split(" ; ")), strict=True)
            trees = [parse_expression(t) for t in terms]
            made.append(
                make_candidate(
                    trees, signs, self.numbers, loss=1.0, score=float(place), engine="stub", prior=task.prior
                )
            )
        return Front(task.term, tuple(made))


@pytest.fixture
def engine(monkeypatch):
    def install(*texts, **numbers):
        stub = Stub(*texts, numbers=numbers)
        monkeypatch.setattr(proposing_module, "engines", lambda: {"stub": stub})
        return stub

    return install


def product(x, y):
    return 0.7 * x * y


# --- forbidden combinations --------------------------------------------------------------------------

OCCURS = [
    ("exp", "x*exp(-y)", True),
    ("exp", "x*sin(y)", False),
    ("sin(exp)", "sin(1 + exp(x))", True),
    ("sin(exp)", "exp(sin(x))", False),
    ("sin(exp)", "sin(x)*exp(x)", False),
    ("sin*exp", "x*sin(x)*exp(y)", True),
    ("sin * exp", "exp(y)/sin(x)", True),
    ("sin*exp", "sin(x)", False),
    ("sin*sin", "sin(x)*sin(y)", True),
    ("sin*sin", "sin(x)", False),
    ("/", "x/(K + x)", True),
    ("/", "x*y", False),
    ("+", "x/(K + x)", True),
    ("+", "sin(x - y)", True),
    ("^", "x**2", True),
    ("exp(/)", "exp(x/y)", True),
    ("exp(/)", "exp(x)/y", False),
]


@pytest.mark.parametrize(("forbidden", "form", "occurs"), OCCURS)
def test_a_combination_occurs_where_the_user_would_see_it(forbidden, form, occurs):
    assert parse_forbidden(forbidden).occurs_in(parse_expression(form)) == occurs


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sinus", r"forbidden 'sinus' names 'sinus', which cannot be forbidden\. Did you mean 'sin'"),
        ("sin(expo)", "names 'expo'.* Did you mean 'exp'"),
        ("-", r"names '-', which cannot be forbidden\. Known are exp"),
        ("x*y", "names 'x', which cannot be forbidden"),
        ("sin(", r"forbidden 'sin\(' cannot be read\. Write \"exp\""),
        ("sin(exp(x))", "cannot be read"),
        ("", "cannot be read"),
    ],
)
def test_a_combination_that_cannot_be_read_is_refused(text, message):
    with pytest.raises(SearchError, match=message):
        SearchOptions(forbidden=[text])


def test_nothing_forbidden_is_proposed_by_any_engine(engine):
    front = propose(task(lambda x, y: np.exp(-x)), options(forbidden=["exp", "/"]))
    assert len(front) > 20
    texts = [T.to_text(form) for candidate in front for form in candidate.forms]
    assert not [text for text in texts if "exp" in text or "/" in text]
    stub = engine("x*exp(y)", "x*y", "x ; x/y")
    found = propose(task(product), options(forbidden=["exp", "/"], engines=(), operators=("+", "*", "exp", "/")))
    assert [candidate.key for candidate in found] == ["x*y"]
    assert stub.asked[0][1].operators == ("+", "*")  # a search that grows formulas is not asked for them


def test_a_term_of_two_is_left_out_only_together(engine):
    engine("sin(x) ; exp(y)", "sin(x)*exp(y)")
    found = propose(task(product), options(forbidden=["sin*exp"], engines=()))
    assert [candidate.key for candidate in found] == ["exp(y) + sin(x)"]


# --- sign and slopes ---------------------------------------------------------------------------------

SHAPES = [
    ({"sign": "positive"}, "x*y", True),
    ({"sign": "negative"}, "x*y", False),
    ({"sign": "negative"}, "-x*y", True),
    ({"sign": "positive"}, "x - x", True),
    ({"sign": "positive"}, "x - 2", False),
    ({"increasing": ["x"]}, "x/(1 + x)", True),
    ({"increasing": ["x"]}, "y", True),
    ({"increasing": ["x"]}, "sin(3*x)", False),
    ({"decreasing": ["x"]}, "exp(-x)*y", True),
    ({"decreasing": ["y"]}, "exp(-x)*y", False),
    ({"increasing": ["x"], "decreasing": ["y"]}, "x/y", True),
    ({"increasing": ["x"], "decreasing": ["y"]}, "y/x", False),
    ({"decreasing": ["x"]}, "sign(x - 2)", False),  # its slope is zero wherever it has one
    ({"sign": "positive", "increasing": ["x"]}, "sqrt(x - 2) + x", True),  # where it is a number at all
    ({"increasing": ["x"]}, "-sqrt(x - 2)", False),
]


@pytest.mark.parametrize(("known", "text", "fits"), SHAPES)
def test_signs_and_slopes_are_those_where_the_data_went(known, text, fits):
    shape = Shape.of(TermKnowledge(**known), ("x", "y"), POINTS)
    assert (shape.objection(Formula(parse_expression(text), {})) == "") == fits


def test_a_formula_may_stray_by_one_percent_of_its_largest_value():
    shape = Shape.of(TermKnowledge(sign="positive"), ("x",), np.linspace(0, 1, 101)[:, None])
    for dip, fits in ((0.009, True), (0.012, False)):
        assert (shape.objection(Formula(parse_expression(f"x - {dip}"), {})) == "") == fits


def test_a_formula_of_the_wrong_sign_or_slope_is_not_proposed(engine):
    engine("x*y", "-x*y", "-x", "y/x")
    keys = [c.key for c in propose(task(product), options(TermKnowledge(sign="negative"), engines=()))]
    assert keys == ["x*y", "x"]
    keys = [c.key for c in propose(task(product), options(TermKnowledge(increasing=["x"]), engines=()))]
    assert keys == ["x*y"]


def test_the_search_goes_deeper_where_most_formulas_have_the_wrong_sign(monkeypatch):
    known = TermKnowledge(sign="positive", decreasing=["x"])  # what follows the values rises
    asked = task(lambda x, y: 0.2 * x + y)
    front = propose(asked, options(known, max_terms=2))
    monkeypatch.setattr(proposing_module, "ENOUGH", 0)
    assert len(front) > len(propose(asked, options(known, max_terms=2)))
    shape = Shape.of(known, ("x", "y"), POINTS)
    assert not any(shape.objection(candidate.formula) for candidate in front)


def test_where_what_is_known_leaves_nothing_the_error_names_it(engine):
    engine("x*y", "x", "exp(x)")
    known = TermKnowledge(sign="negative")
    match = (
        r'NN: what is known leaves no formula\. Left out were terms and sums of them by sign = "negative" \(2\), '
        r'forbidden = \["exp"\] \(1\)\. Loosen it'
    )
    with pytest.raises(SearchError, match=match):
        propose(task(product), options(known, engines=(), forbidden=["exp"]))


def test_laws_whose_refitted_terms_have_the_wrong_sign_are_not_ranked():
    few = {"library": Library(degree=2, functions=(), products=False, templates=()), "engines": ["sparse"]}
    known = TermKnowledge(sign="negative", decreasing=["predator"])
    found = select(fitted(0.005, 0), SearchOptions(terms={"NN1": known}, max_terms=2, **few))
    assert found.best.key == ("predator*prey", "predator*prey")
    assert len(found.ranked) > 10
    for law in found.ranked:
        values = at(law.choice["NN1"], EXACT.y, ("prey", "predator"))
        assert values.max() <= 0.03 * np.abs(values).max()  # one percent along the fit, which is not the truth
        assert np.isfinite(law.criterion)


def test_where_no_law_has_the_sign_the_error_says_so(monkeypatch):
    monkeypatch.setattr(Shape, "objection", lambda self, formula: 'sign = "negative"' if self.sign < 0 else "")
    monkeypatch.setattr("udesys.search.rules.Rules.objection", lambda *args, **more: "")  # of proposals
    few = {"library": Library(degree=2, functions=(), products=False, templates=()), "engines": ["sparse"]}
    with pytest.raises(SearchError, match=r'no law that simulates .* \(NN2: sign = "negative"\)\. Loosen it'):
        select(fitted(0.005, 0), SearchOptions(terms={"NN2": TermKnowledge(sign="negative")}, max_terms=1, **few))


# --- expressions on which alone it depends -----------------------------------------------------------


def test_a_term_of_a_product_alone_is_sought_over_the_product():
    front = propose(task(lambda x, y: 2 * np.tanh(0.3 * x * y)), options(TermKnowledge(depends_on=["x*y"])))
    best = next(iter(front))
    assert T.to_text(best.parts[0][0]) == "tanh(c1*x*y)" or len(best.parts) == 1
    assert at(best) == pytest.approx(2 * np.tanh(0.3 * POINTS.prod(1)), abs=0.004)  # twice the noise
    swapped = POINTS * [[2.0, 0.5]]
    for candidate in front:
        assert at(candidate) == pytest.approx(at(candidate, swapped), rel=1e-9, abs=1e-12)
        assert T.symbols(candidate.formula.tree) <= {"x", "y", *candidate.formula.constants}
        total = sum(candidate.formula.constants[name] * values_of(part, candidate) for part, name in candidate.parts)
        assert at(candidate) == pytest.approx(total, rel=1e-12)


def values_of(part, candidate):
    constants = candidate.formula.constants
    return Program([part], ["x", "y", *constants]).run([*POINTS.T, *constants.values()])[0]


def test_expressions_get_names_that_collide_with_nothing(engine):
    stub = engine("w0 ; y")
    known = TermKnowledge(depends_on=["x - y", "y"])
    asked = task(lambda x, y: x, taken=frozenset({"z0", "z"}), units={"x": "kg", "y": "kg", "NN": "kg/s"})
    (best,) = propose(asked, options(known, engines=()))
    reduced, _ = stub.asked[0]
    assert reduced.arguments == ("w0", "y")
    assert reduced.points == pytest.approx(np.stack([POINTS[:, 0] - POINTS[:, 1], POINTS[:, 1]], 1))
    assert reduced.units == {"w0": "kg", "y": "kg", "NN": "kg/s"}
    assert [T.to_text(part) for part, _ in best.parts] == ["x - y", "y"]


def test_a_form_over_expressions_costs_what_it_is(engine):
    engine("z0")
    (best,) = propose(task(product), options(TermKnowledge(depends_on=["sin(x)"]), engines=()))
    assert best.prior == Prior().other
    assert best.score == pytest.approx(2 * (Prior().other - Prior().low_degree))  # zero without


def test_an_expression_that_is_not_finite_is_refused():
    with pytest.raises(SearchError, match=r"NN: depends_on 'x/\(y - y\)' is not finite where the data went"):
        propose(task(product), options(TermKnowledge(depends_on=["x/(y - y)"])))


# --- a guess -----------------------------------------------------------------------------------------

GUESSES = [
    ("V*x*y/(K + x)", lambda x, y: 2 * x * y / (1.5 + x), {"K": 1.5}),
    ("a*(x - b*y)", lambda x, y: 3 * x - 0.5 * y, {}),
    ("a*x**n*exp(-k*y)", lambda x, y: 1.5 * x**0.7 * np.exp(-0.4 * y), {"n": 0.7, "k": 0.4}),
    ("V*x**n/(K**n + x**n) - d*x", lambda x, y: 3 * x**2.3 / (2**2.3 + x**2.3) - 0.2 * x, {"K": 2.0, "n": 2.3}),
    ("p*x/(K + x + L*x**2 + M*y)", lambda x, y: 2 * x / (1 + x + 0.3 * x**2 + 0.2 * y), {"K": 1, "L": 0.3, "M": 0.2}),
    ("p*exp(-k*(x - m)**2)", lambda x, y: 2 * np.exp(-0.8 * (x - 2) ** 2), {"k": 0.8, "m": 2.0}),
]


@pytest.mark.parametrize(("text", "truth", "inner"), GUESSES)
def test_the_constants_of_a_guess_are_found(text, truth, inner):
    found = guessed(text, task(truth))
    assert found.engine == "guess"
    assert at(found) == pytest.approx(truth(*POINTS.T), abs=0.006)  # three times the noise
    assert sorted(found.inner.values()) == pytest.approx(sorted(inner.values()), rel=0.1)


def test_a_guess_is_in_the_pool_second_at_the_latest_and_handed_to_the_engines(engine):
    stub = engine("x", "x*y", "y", "x**2")
    front = propose(task(product), options(TermKnowledge(guess="a*x/(K + y)"), engines=()))
    assert front.candidates[1].engine == "guess"
    (start,) = stub.asked[0][0].guesses
    assert T.symbols(start) == {"x", "y"}


def test_a_form_that_was_guessed_stays_a_guess_though_an_engine_finds_it_too():
    front = propose(task(product), options(TermKnowledge(guess="c*x*y"), max_terms=1))
    (found,) = (c for c in front if c.key == "x*y")
    assert {"guess", "sparse"} <= set(found.engines)
    assert {c.engine for c in front if c is not found} <= {"sparse", "operon", "sparse + operon", "operon + sparse"}


def test_a_guess_that_what_is_known_leaves_out_is_told(engine):
    engine("x")
    known = TermKnowledge(guess=["a*exp(x)", "a*x*y"], sign="positive")
    front = propose(task(product), options(known, engines=(), forbidden=["exp"]))
    assert front.notes == ("NN: guess 'a*exp(x)' is left out by forbidden = [\"exp\"].",)
    assert [c.key for c in front if c.engine == "guess"] == ["x*y"]


@pytest.mark.parametrize(
    ("guess", "message"),
    [
        ("x/(a + b*x + d*y + e*x*y + f*y**2 + g*x**2 + h)", "has 7 constants inside its terms, but 6 can be sought"),
        ("log(x - 9)", "cannot be told from the data: not finite"),
    ],
)
def test_a_guess_that_cannot_be_fitted_is_told(guess, message, engine):
    engine("x")
    (note,) = propose(task(product), options(TermKnowledge(guess=guess), engines=())).notes
    assert message in note


# --- size --------------------------------------------------------------------------------------------


def test_formulas_beyond_the_size_asked_for_are_left_out(engine):
    stub = engine("x ; y ; x*y", "x ; y", "x*y")
    found = propose(task(product), options(TermKnowledge(max_terms=2), max_terms=3, engines=()))
    assert [c.key for c in found] == ["x + y", "x*y"]
    assert stub.asked[0][1].max_terms == 2
    assert [c.key for c in propose(task(product), options(engines=(), max_complexity=7))] == ["x + y", "x*y"]
    assert len(propose(task(product), options(engines=()))) == 3


# --- names and values that mean nothing --------------------------------------------------------------

MODEL = HybridODE("x' = a*x + NN1(x, y)\ny' = NN(x, x*y)[0] - NN(x, x*y)[1]")
NAMES = [
    ({"nn1": TermKnowledge()}, r"terms names 'nn1', which is no missing term\. Did you mean 'NN1'"),
    ({"NN1": TermKnowledge(increasing=["X"])}, r"NN1: increasing 'X' has 'X', which is no argument\. Did you mean 'x'"),
    ({"NN1": TermKnowledge(decreasing=["x*y"])}, r"NN1: decreasing 'x\*y' is no argument\. Its arguments are x, y"),
    ({"NN1": TermKnowledge(increasing=["x"], decreasing=["x"])}, "NN1: it cannot be increasing and decreasing in 'x'"),
    ({"NN1": TermKnowledge(depends_on=["x*Y"])}, r"depends_on 'x\*Y' has 'Y', which is no argument\. Did you mean"),
    ({"NN1": TermKnowledge(depends_on=["2"])}, "depends_on '2' has no argument in it"),
    ({"NN1": TermKnowledge(guess="a*x")}, r"guess 'a\*x' has 'a', which is no argument\. Its arguments are x, y"),
    ({"NN1": TermKnowledge(guess="K/(1 + K)")}, "has no argument in it"),
    ({"NN[0]": TermKnowledge(guess="c*y")}, r"NN\[0\]: guess 'c\*y' has 'y', which is no argument"),
]
VALUES = [
    ({"sign": "plus"}, r"sign = 'plus' is unknown\. .*positive, negative"),
    ({"increasing": "x"}, r"increasing = 'x' must be a list of texts"),
    ({"depends_on": ["x*("]}, r"depends_on 'x\*\(' cannot be read"),
    ({"guess": ["x**"]}, r"guess 'x\*\*' cannot be read"),
    ({"guess": [3]}, "guess = .* must be a list of texts"),
    ({"max_terms": 0}, "max_terms = 0 must be a whole number from 1 to 8"),
]


@pytest.mark.parametrize(("terms", "message"), NAMES)
def test_names_that_the_model_does_not_have_are_refused(terms, message):
    with pytest.raises(SearchError, match=message):
        for_model(SearchOptions(terms=terms), MODEL)


@pytest.mark.parametrize(("values", "message"), VALUES)
def test_knowledge_that_means_nothing_is_refused(values, message):
    with pytest.raises(SearchError, match=message):
        TermKnowledge(**values)


def test_what_cannot_be_known_is_refused_before_the_fit(monkeypatch):
    monkeypatch.setattr(sys.modules["udesys.discover"], "fit", lambda *args, **more: pytest.fail("it was fitted"))
    with pytest.raises(SearchError, match="terms names 'NN3', which is no missing term"):
        discover(half_known(), lotka_volterra(), options=SearchOptions(terms={"NN3": TermKnowledge()}))


def test_arguments_may_be_named_by_what_stands_in_the_equations():
    known = TermKnowledge(increasing=["x*y"], guess="c*x/(K + x*y)", depends_on=["x*y - x"])
    found = for_model(SearchOptions(terms={"NN": known}), MODEL).terms["NN"]
    assert (found.increasing, found.guess, found.depends_on) == (("NN_2",), ("c*x/(K + NN_2)",), ("NN_2 - x",))
    again = for_model(SearchOptions(terms={"NN": found}), MODEL)
    assert again.terms["NN"] == found


@pytest.mark.parametrize(
    ("units", "message"),
    [
        ({"X": "kg"}, r"units names 'X', which is no column\. Did you mean 'x'\? Known are x, y, year"),
        ({"a": "kg"}, r"units names 'a', a parameter\. Write its unit beside it"),
    ],
)
def test_units_of_what_is_no_column_are_refused(units, message):
    with pytest.raises(SearchError, match=message):
        for_model(SearchOptions(units=units), MODEL, "year")


@pytest.mark.parametrize("given", [{"terms": {"NN": {"sign": "positive"}}}, {"units": {"x": 1}}, {"terms": []}])
def test_options_that_are_no_mappings_of_the_kind_are_refused(given):
    with pytest.raises(SearchError, match=r"(terms|units) = .* must be a mapping from a name to"):
        SearchOptions(**given)
