"""Engines: whatever is in the folder finds x*y in noisy samples, repeats itself, and is never given NaN."""

import numpy as np
import pytest

from udesys.errors import SearchError
from udesys.model.program import Program
from udesys.search import Candidate, SearchOptions, Task, chosen_engines, propose
from udesys.search import proposing as proposing_module
from udesys.search.candidate import Front, make_candidate
from udesys.search.engines import engines

ENGINES = engines()
every_engine = pytest.mark.parametrize("name", ENGINES)
OPTIONS = SearchOptions(max_terms=3)


def ready(name):
    if ENGINES[name].ready():
        pytest.skip(ENGINES[name].ready())
    return ENGINES[name]


def product_task(seed=0, noise=0.02):
    """0.7*x*y at 80 points, a third of them known ten times worse than the others."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(0.5, 2.0, (80, 2))
    std = np.where(rng.random(80) < 0.3, 10 * noise, noise)
    values = 0.7 * points[:, 0] * points[:, 1] + std * rng.standard_normal(80)
    return Task(term="NN", arguments=("x", "y"), points=points, values=values, std=std)


def at(candidate, points):
    """A candidate's values at points."""
    formula = candidate.formula
    program = Program([formula.tree], ["x", "y", *formula.constants])
    return np.broadcast_to(program.run([*points.T, *formula.constants.values()])[0], len(points))


@every_engine
def test_an_engine_finds_a_product_in_noisy_samples_with_weights(name):
    front = ready(name).propose(product_task(), OPTIONS, 0)
    points = np.random.default_rng(1).uniform(0.5, 2.0, (50, 2))
    best = min(front, key=lambda c: c.score)
    # 50 good samples of values near 1 known to 2 %: the constant to 0.3 %.
    assert at(best, points) == pytest.approx(0.7 * points.prod(1), rel=0.015)
    assert best.loss == pytest.approx(1.0, abs=0.5)  # one is the noise; 80 samples tell it to 16 %
    assert best.complexity <= 7


@every_engine
def test_an_engine_orders_its_front_and_signs_it(name):
    front = ready(name).propose(product_task(), OPTIONS, 0)
    assert front.term == "NN" and len(front) > 1
    assert [c.score for c in front] == sorted(c.score for c in front)
    assert {c.engine for c in front} == {name}
    for candidate in front:
        assert np.isfinite(
            [candidate.score, candidate.loss, candidate.prior, *candidate.formula.constants.values()]
        ).all()


@every_engine
def test_an_engine_repeats_itself_under_a_seed(name):
    first, again = (ready(name).propose(product_task(), OPTIONS, 5) for _ in range(2))
    assert [(c.key, c.score, c.formula) for c in first] == [(c.key, c.score, c.formula) for c in again]


@every_engine
def test_an_engine_names_no_constant_like_something_of_the_model(name):
    rng = np.random.default_rng(0)
    points = rng.uniform(0.5, 2.0, (60, 2))
    values = 0.7 * points.prod(1) + 0.1 * rng.standard_normal(60)
    task = Task(term="NN", arguments=("c0", "y"), points=points, values=values, taken=frozenset({"c1", "k0"}))
    for candidate in ready(name).propose(task, OPTIONS, 0):
        assert not set(candidate.formula.constants) & {"c0", "c1", "k0", "y"}


@pytest.mark.parametrize("which", ["points", "values", "std"])
def test_no_engine_is_given_what_is_not_finite(which):
    task = product_task()
    arrays = {name: getattr(task, name).copy() for name in ("points", "values", "std")}
    arrays[which][3] = np.nan
    with pytest.raises(SearchError, match=rf"NN: {which}\[3\] is not finite"):
        Task(term="NN", arguments=("x", "y"), **arrays)


def test_a_task_refuses_shapes_that_disagree_and_std_that_is_none():
    with pytest.raises(SearchError, match=r"points \(4, 1\), values \(4,\) and std \(4,\) do not agree with 2 arg"):
        Task(term="NN", arguments=("x", "y"), points=np.ones((4, 1)), values=np.ones(4))
    with pytest.raises(SearchError, match="std must be positive everywhere"):
        Task(term="NN", arguments=("x",), points=np.ones((4, 1)), values=np.ones(4), std=np.zeros(4))


# --- choosing among them -----------------------------------------------------------------------------


class Stub:
    """An engine that proposes what it is told."""

    def __init__(self, name, candidates=(), trouble=""):
        self.NAME, self.candidates, self.trouble = name, candidates, trouble

    def ready(self):
        return self.trouble

    def propose(self, task, options, seed=0):
        return Front(task.term, tuple(self.candidates))


@pytest.fixture
def stubs(monkeypatch):
    def install(*engines):
        monkeypatch.setattr(proposing_module, "engines", lambda: {e.NAME: e for e in engines})

    return install


def candidate(task, text_terms, score, engine) -> Candidate:
    from udesys.model.grammar import parse_expression

    terms = [parse_expression(t) for t in text_terms]
    return make_candidate(terms, [1.0] * len(terms), loss=1.0, score=score, engine=engine)


def test_all_engines_that_are_ready_are_used_unless_some_are_named(stubs):
    stubs(Stub("a"), Stub("b", trouble="install b"), Stub("c"))
    assert list(chosen_engines(SearchOptions())) == ["a", "c"]
    assert list(chosen_engines(SearchOptions(engines=["c"]))) == ["c"]


def test_an_unknown_engine_is_refused_with_the_nearest_name():
    with pytest.raises(SearchError, match=r"there is no engine 'sprase'\. Did you mean 'sparse'\?"):
        chosen_engines(SearchOptions(engines=["sprase"]))


def test_an_engine_that_is_not_ready_says_what_to_do(stubs):
    stubs(Stub("b", trouble="install b"))
    with pytest.raises(SearchError, match="engine 'b' is not ready: install b"):
        chosen_engines(SearchOptions(engines=["b"]))


def test_equal_forms_of_several_engines_are_merged_with_the_best_score_and_all_names_kept(stubs):
    task = product_task()
    stubs(
        Stub("a", [candidate(task, ["x", "y"], 3.0, "a"), candidate(task, ["x"], 5.0, "a")]),
        Stub("b", [candidate(task, ["y", "x"], 2.0, "b"), candidate(task, ["x"], 6.0, "b")]),
    )
    assert [(c.key, c.score, c.engine) for c in propose(task, SearchOptions())] == [
        ("x + y", 2.0, "b + a"),
        ("x", 5.0, "a + b"),
    ]


@pytest.mark.parametrize("max_terms", [0, 9, 2.5, True, "three"])
def test_the_largest_number_of_terms_is_a_small_whole_number(max_terms):
    with pytest.raises(SearchError, match=r"max_terms = .* must be a whole number from 1 to 8"):
        SearchOptions(max_terms=max_terms)


@pytest.mark.parametrize("names", ["sparse", [1]])
def test_engines_are_a_list_of_names(names):
    with pytest.raises(SearchError, match=r"engines = .* must be a list of names"):
        SearchOptions(engines=names)


# --- candidates --------------------------------------------------------------------------------------


def test_a_front_prints_with_the_best_marked():
    lines = str(ENGINES["sparse"].propose(product_task(), OPTIONS)).splitlines()
    assert lines[0] == "Front of NN"
    assert lines[1].strip().startswith(">>>>") and lines[1].endswith("*x*y")
    assert not any(">>>>" in line for line in lines[2:])


def test_a_candidate_keeps_its_form_when_its_constants_change():
    one = candidate(product_task(), ["x", "x*y"], 1.0, "a")
    other = one.with_constants([2.0, -0.5])
    assert other.key == one.key and str(other) == "2*x - 0.5*x*y"
    assert str(one.expression) in ("c0*x + c1*x*y", "c1*x*y + c0*x")
