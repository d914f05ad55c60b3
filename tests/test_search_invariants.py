"""Formulas where states are zero: which no engine proposes, and what laws keep that plain data would not tell."""

import numpy as np
import pandas as pd
import pytest
from laws import dataset, solution

import udesys as ud
from udesys.errors import ModelError, SearchError
from udesys.model import HybridODE
from udesys.model.closed_form import ClosedForm, Formula
from udesys.model.grammar import parse_expression
from udesys.model.program import Program
from udesys.model.vanishing import Vanishing
from udesys.runs import load_run
from udesys.search import SearchOptions, Task, propose
from udesys.search import proposing as proposing_module
from udesys.search.boundary import Inward, outward_states
from udesys.search.candidate import Front, make_candidate
from udesys.search.engines import engines
from udesys.search.knowledge import TermKnowledge
from udesys.search.normal_form import to_candidate
from udesys.spec import load_spec

POINTS = np.random.default_rng(0).uniform(0.5, 3.0, (120, 2))
X_ZERO = Vanishing(state="x", arguments=frozenset({"x"}))
NOTHING = 1e-8  # x**0.1 is 1e-10 at x = 1e-100
READY = [name for name, engine in engines().items() if not engine.ready()]
PREY = "x' = a*x + NN1(x, y)\ny' = NN2(x, y) - d*y"
EPIDEMIC = "S' = -NN1(S, I)\nI' = NN2(S, I) - g*I\nR' = g*I"
PLAIN = SearchOptions(engines=["sparse"])


def task(values, noise=0.01, **more):
    """Noisy values of a function at the points, of a term that vanishes with x."""
    noisy = values(*POINTS.T) + noise * np.random.default_rng(1).standard_normal(len(POINTS))
    more = {"vanishing": (X_ZERO,), **more}
    return Task(term="NN", arguments=("x", "y"), points=POINTS, values=noisy, std=np.full(len(POINTS), noise), **more)


def at_zero(candidate):
    """Largest value of a candidate's formula, its numbers in place, just above x = 0, where x*log(x) is a number."""
    program = Program([candidate.numbers_in_place], ("x", "y"))
    return float(np.abs(program.run([np.full(len(POINTS), 1e-100), POINTS[:, 1]])[0]).max())


# --- proposals ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", READY)
def test_an_engine_proposes_only_what_vanishes(name):
    asked = task(lambda x, y: 2.0 - 0.8 * y + 0.6 * x * y)  # the values alone ask for what does not
    free = propose(task(lambda x, y: 2.0 - 0.8 * y + 0.6 * x * y, vanishing=()), SearchOptions(engines=[name]))
    assert any(at_zero(candidate) > 1e-3 for candidate in free)
    found = propose(asked, SearchOptions(engines=[name]))
    assert len(found) > 3 and all(at_zero(candidate) < NOTHING for candidate in found)


@pytest.mark.parametrize("name", READY)
def test_what_vanishes_is_found_beside_what_fits_about_as_well(name):
    found = propose(task(lambda x, y: 1.2 * x - 0.7 * x * y), SearchOptions(engines=[name]))
    assert any(set(map(str, c.forms)) and c.key == "x + x*y" for c in list(found)[:5])


def test_a_formula_of_an_engine_keeps_its_terms_that_vanish():
    tree = parse_expression("0.3 + 0.7*x*y - 0.1*y")
    values = task(lambda x, y: 0.7 * x * y, allows=lambda form: X_ZERO.of(form))
    found = to_candidate(tree, values, "pysr")
    assert found.key == "x*y" and found.formula.constants["c0"] == pytest.approx(0.7, abs=0.01)  # of the noise's size
    free = to_candidate(tree, task(lambda x, y: 0.3 + 0.7 * x * y - 0.1 * y, vanishing=()), "pysr")
    assert free.key == "1 + x*y + y"


class Says:
    """An engine that says the same whatever it is asked."""

    NAME = "says"

    def __init__(self, *texts):
        self.texts = texts

    def ready(self):
        return ""

    def propose(self, task, options, seed=0):
        trees = [[parse_expression(t) for t in text.split(" ; ")] for text in self.texts]
        made = [make_candidate(t, [1.0] * len(t), {}, loss=1.0, score=1.0, engine="says") for t in trees]
        return Front(task.term, tuple(made))


@pytest.fixture
def says(monkeypatch):
    def install(*texts):
        monkeypatch.setattr(proposing_module, "engines", lambda: {"says": Says(*texts)})

    return install


def test_what_does_not_vanish_is_refused_whoever_says_it(says):
    says("x*y", "y", "x ; y", "exp(x) - 1", "exp(x)", "x/(1 + y)", "log(x)", "x*log(x)")
    found = propose(task(lambda x, y: x * y), SearchOptions(engines=()))
    assert {c.key for c in found} == {"x*y", "(exp(x) - 1)", "(1 + y)**-1*x", "log(x)*x"}
    says("y", "x ; 1")
    with pytest.raises(SearchError, match=r'Left out were .* by stays_zero = \["x"\] \(2\)'):
        propose(task(lambda x, y: x * y), SearchOptions(engines=()))


def test_a_guess_that_does_not_vanish_is_told(says):
    says("x*y")
    options = SearchOptions(engines=(), terms={"NN": TermKnowledge(guess=["a*y + b*x", "a*x/(K + x)"])})
    found = propose(task(lambda x, y: x * y), options)
    assert found.notes == ("NN: guess 'a*y + b*x' is left out by stays_zero = [\"x\"].",)
    assert {c.key for c in found if c.engine == "guess"} == {"(#0 + x)**-1*x"}


def test_what_a_term_depends_on_may_be_an_expression_that_vanishes():
    options = SearchOptions(engines=["sparse"], terms={"NN": TermKnowledge(depends_on=["x*y", "y"])})
    found = propose(task(lambda x, y: 0.5 * x * y), options)
    assert "x*y" in {c.key for c in found} and all(at_zero(c) < NOTHING for c in found)


def test_what_would_carry_a_positive_state_below_zero_is_refused(says):
    there = POINTS * [0.0, 1.0]
    inward = Inward(state="x", points=there, leverage=np.full(len(there), -1.0), visited=POINTS)  # x' = ... - NN
    says("x*y", "y", "-y^2", "x ; -y")
    asked = task(lambda x, y: x * y, vanishing=(), inward=(inward,))
    assert {c.key for c in propose(asked, SearchOptions(engines=()))} == {"x*y", "y**2", "x + y"}  # x - y, that is


@pytest.mark.parametrize(
    ("text", "outward"),
    [
        ("c0*x*y", []),
        ("c0*y", ["x"]),
        ("c0*x - c0*y", []),
        ("c0*x*y + 0.001*c0", ["x"]),
        ("c0/x", ["x"]),
        ("c0*x*log(x) + 0.1*c0*y", ["x"]),
    ],
)
def test_a_law_that_leaves_what_is_positive_is_known(text, outward):
    model = HybridODE("x' = x - NN(x, y)\ny' = -y", positive=["x", "y"])
    form = ClosedForm(model, {"NN": Formula(parse_expression(text.replace("- c0*y", "+ -1*c0*y")), {"c0": 0.5})}, {})
    assert outward_states(form, POINTS, np.zeros(len(POINTS)), None) == outward


# --- discoveries --------------------------------------------------------------------------------------


def noisy(rhs, t, x0, columns, noise, seed):
    """A simulated run with Gaussian noise, a share of every column's spread."""
    y = solution(rhs, x0, t)
    y = y + noise * y.std(0) * np.random.default_rng(seed).standard_normal(y.shape)
    return dataset(columns, (t, y))


def preys(seed):
    """Half a cycle of x' = 1.3 x - 0.9 x y, y' = 0.8 x y - 1.8 y at 2 % noise, far from where x is zero."""
    rates = np.array([1.3, 0.9, 0.8, 1.8])

    def rhs(t, x):
        meet = x[0] * x[1]
        return [rates[0] * x[0] - rates[1] * meet, rates[2] * meet - rates[3] * x[1]]

    return noisy(rhs, np.linspace(0, 1.5, 16), [2.0, 1.0], ("x", "y"), 0.02, seed)


def sick(seed):
    """13 samples of an epidemic, S' = -0.6 S I, R' = 0.2 I, at 5 % noise."""

    def rhs(t, x):
        return [-0.6 * x[0] * x[1], 0.6 * x[0] * x[1] - 0.2 * x[1], 0.2 * x[1]]

    return noisy(rhs, np.linspace(0, 20, 13), [0.9, 0.1, 0.0], ("S", "I", "R"), 0.05, seed)


def forms(law):
    return {term: residual.expression for term, residual in law.residuals.items()}


def at(law, **values):
    """dx/dt of a law at a state, by SymPy."""
    import sympy

    points = {sympy.Symbol(name, real=True): value for name, value in values.items()}
    by_name = {str(s): v for s, v in points.items()}
    return {
        state: float(right.subs({s: by_name[str(s)] for s in right.free_symbols}))
        for state, right in law.equations.items()
    }


@pytest.fixture(scope="module")
def kept():
    """The law of the preys with what stays zero."""
    return ud.discover(HybridODE(PREY, stays_zero=["x", "y"]), preys(3), seed=0, options=PLAIN)


def test_without_a_word_the_preys_appear_from_nothing_and_with_it_the_true_law_is_found(kept):
    free = ud.discover(HybridODE(PREY), preys(3), seed=0, options=PLAIN)
    assert at(free, x=0.0, y=1.0)["x"] < -1  # fewer than no prey
    assert forms(kept) == {"NN1": "c0*x*y", "NN2": "c0*x*y"}
    assert at(kept, x=0.0, y=1.0)["x"] == 0.0 and at(kept, x=1.0, y=0.0)["y"] == 0.0
    values = {name: e.value for name, e in kept.parameters.items()}
    assert values["a"] == pytest.approx(1.3, abs=0.1) and values["d"] == pytest.approx(1.8, abs=0.1)  # 2 % noise


def test_the_fitted_hybrid_keeps_it_too(kept):
    import torch

    field, theta = kept.fit.problem.field, torch.as_tensor(kept.fit.unknowns.theta)
    x = torch.tensor([[0.0, 0.7], [0.0, 2.5], [1.1, 0.0]], dtype=torch.float64)
    right = field(torch.zeros(3, dtype=torch.float64), x, theta).numpy()
    assert right[0, 0] == right[1, 0] == right[2, 1] == 0.0
    assert (np.abs(right[[0, 1], 1]) > 0).all()


def test_its_text_and_its_run_say_what_is_kept(kept, tmp_path):
    assert "Kept: x stays zero once zero; y stays zero once zero." in str(kept)
    kept.save(tmp_path / "run")
    again = load_run(tmp_path / "run")
    assert again.model.stays_zero == ("x", "y") and str(again) == str(kept)
    assert "stays zero once zero: x; NN1 vanishes with it" in (tmp_path / "run" / "report.html").read_text()


def test_a_positive_state_is_enough_to_find_them():
    law = ud.discover(HybridODE(PREY, positive=["x", "y"]), preys(3), seed=0, options=PLAIN)
    assert at(law, x=0.0, y=1.0)["x"] >= 0 and at(law, x=1.0, y=0.0)["y"] >= 0
    assert forms(law) == {"NN1": "c0*x*y", "NN2": "c0*x*y"}


def test_a_conserved_sum_is_kept_by_hybrid_and_law_where_they_lost_it_alone():
    import torch

    point = {"S": 0.5, "I": 0.3, "R": 0.2}
    free = ud.discover(HybridODE(EPIDEMIC), sick(19), seed=0, options=PLAIN)
    assert abs(sum(at(free, **point).values())) > 1e-3 and forms(free)["NN1"] != "c0*S*I"
    law = ud.discover(HybridODE(EPIDEMIC, conserved=["S + I + R"]), sick(19), seed=0, options=PLAIN)
    assert forms(law) == {"NN1": "c0*S*I"}
    assert abs(sum(at(law, **point).values())) < 1e-12
    assert "  NN2(S, I) =  NN1(S, I)" in str(law) and "Kept: S + I + R is conserved." in str(law)
    for fit, tolerance in ((law.fit, 1e-12), (free.fit, None)):
        x = torch.as_tensor(np.random.default_rng(0).uniform(0, 1, (20, 3)))
        right = fit.problem.field(torch.zeros(20, dtype=x.dtype), x, torch.as_tensor(fit.unknowns.theta)).numpy()
        lost = np.abs(right.sum(1)).max()
        assert lost < tolerance if tolerance else lost > 1e-3


# --- the spec -----------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    t = np.linspace(0, 5, 8)
    pd.DataFrame({"t": t, "S": 1 - t / 9, "I": t / 18, "R": t / 18}).to_csv(tmp_path / "flu.csv", index=False)
    return tmp_path


SPEC = {
    "data": {"file": "flu.csv", "time": "t"},
    "model": {"equations": EPIDEMIC, "positive": ["I"], "stays_zero": ["S"], "conserved": ["S + I + R"]},
    "networks": {"NN2": {"hidden": [4]}},
}


def test_a_spec_says_what_is_kept_and_reads_itself_back(folder):
    read = load_spec(SPEC, folder=folder)
    lines = str(read).splitlines()
    start = lines.index("  never below zero: I")
    assert lines[start + 1 : start + 4] == [
        "  stays zero once zero: S; NN1 vanishes with it",
        "  conserved: S + I + R",
        "    so NN2(S, I) is NN1(S, I)",
    ]
    assert (read.model.stays_zero, read.model.conserved, read.model.terms) == (("S",), ("S + I + R",), ("NN1",))
    (folder / "again.toml").write_text(read.to_toml(folder))
    again = load_spec(folder / "again.toml")
    assert again.raw == read.raw and again.model.invariants == read.model.invariants
    assert "stays_zero" not in load_spec({**SPEC, "model": {"equations": EPIDEMIC}}, folder=folder).to_toml()


@pytest.mark.parametrize(
    ("model", "search", "message"),
    [
        ({"stay_zero": ["S"]}, {}, r"unknown key 'stay_zero' in \[model\]\. Did you mean 'stays_zero'"),
        ({"conserve": ["S + I + R"]}, {}, r"unknown key 'conserve' in \[model\]\. Did you mean 'conserved'"),
        ({"stays_zero": "S"}, {}, "stays_zero"),
        ({"conserved": [3]}, {}, "each entry of conserved"),
        ({"stays_zero": ["I"], "equations": "S' = -NN1(S)\nI' = NN1(S)\nR' = I", "conserved": []}, {}, r"NN1\(I, S\)"),
        ({}, {"terms": {"NN2": {}}}, r"names 'NN2', but S \+ I \+ R is conserved, so NN2\(S, I\) is NN1\(S, I\)\."),
    ],
)
def test_a_spec_that_says_it_wrongly_is_refused(folder, model, search, message):
    spec = {"data": SPEC["data"], "model": {**SPEC["model"], **model}, "search": search}
    with pytest.raises((ModelError, SearchError), match=message):
        load_spec(spec, folder=folder)
