"""Best-subset regression against brute force with NumPy."""

import itertools
import math
from dataclasses import dataclass

import numpy as np
import pytest

from udesys.errors import SearchError
from udesys.model import tree as T
from udesys.model.program import Program
from udesys.search import Library, SearchOptions, Task, subsets
from udesys.search.engines import sparse
from udesys.search.prior import term_length

SMALL = Library(degree=2, functions=["sin"], products=False, templates=())  # eight terms of two arguments


@dataclass
class Mixing:
    """A response that mixes the points, as the weak form does."""

    matrix: np.ndarray
    target: np.ndarray

    def apply(self, columns):
        return self.matrix @ columns


def mixed_task(seed, rows=25):
    rng = np.random.default_rng(seed)
    points = rng.uniform(-2, 2, (40, 2))
    return Task(
        term="NN",
        arguments=("x", "y"),
        points=points,
        values=np.zeros(40),
        response=Mixing(rng.normal(size=(rows, 40)), rng.normal(size=rows)),
    )


def columns_of(terms, task):
    values = Program(terms, ["x", "y"]).run(list(task.points.T))
    return task.response.apply(np.stack([np.broadcast_to(v, len(task.points)) for v in values], 1))


def brute_force(task, library, size):
    """{terms: (score, loss, coefficients)} of every subset by its own least squares."""
    terms = library.for_arguments(("x", "y"), task.points)
    columns, target = columns_of(terms, task), task.response.target
    n, found = len(target), {}
    for chosen in itertools.combinations(range(len(terms)), size):
        coefficients, *_ = np.linalg.lstsq(columns[:, chosen], target, rcond=None)
        squares = ((target - columns[:, chosen] @ coefficients) ** 2).sum()
        prior = sum(term_length(terms[j]) for j in chosen)
        score = n * math.log(squares / n) + size * math.log(n) + 2 * prior
        found[tuple(T.to_text(terms[j]) for j in chosen)] = (score, squares / n, coefficients)
    return found


def texts(candidate):
    return tuple(T.to_text(part) for part, _ in candidate.parts)


@pytest.mark.parametrize("size", [1, 2, 3, 4])
@pytest.mark.parametrize("seed", range(3))
def test_the_best_of_every_size_are_those_of_brute_force(seed, size, monkeypatch):
    monkeypatch.setattr(sparse, "PATIENCE", 4)  # the target is noise, which no size explains
    task = mixed_task(seed)
    every = brute_force(task, SMALL, size)
    front = sparse.propose(task, SearchOptions(library=SMALL, max_terms=4))
    found = [c for c in front if len(c.parts) == size]
    expected = sorted(every, key=lambda k: every[k][0])[: len(found)]
    assert len(found) == min(len(every), sparse.KEPT_SINGLE if size == 1 else sparse.KEPT)
    assert [texts(c) for c in found] == expected
    for candidate in found:
        score, loss, coefficients = every[texts(candidate)]
        # Both solve the same small well-conditioned systems.
        assert (candidate.score, candidate.loss) == pytest.approx((score, loss), rel=1e-9)
        assert list(candidate.formula.constants.values()) == pytest.approx(coefficients, rel=1e-8)
        assert candidate.prior == sum(term_length(part) for part, _ in candidate.parts)


def test_no_formula_has_more_terms_than_asked_for():
    assert max(len(c.parts) for c in sparse.propose(mixed_task(0), SearchOptions(library=SMALL, max_terms=2))) == 2


def test_no_formula_has_as_many_terms_as_rows():
    front = sparse.propose(mixed_task(0, rows=3), SearchOptions(library=SMALL, max_terms=4))
    assert max(len(c.parts) for c in front) == 2


def test_where_not_all_subsets_can_be_tried_larger_ones_grow_from_the_best(monkeypatch):
    monkeypatch.setattr(subsets, "EXHAUSTIVE", 10)  # only single terms
    rng = np.random.default_rng(0)
    points = rng.uniform(-2, 2, (60, 2))
    x, y = points.T
    values = 2 * x - 1.5 * y**2 + 0.8 * np.sin(y) + 0.01 * rng.standard_normal(60)
    task = Task(term="NN", arguments=("x", "y"), points=points, values=values, std=np.full(60, 0.01))
    best = next(iter(sparse.propose(task, SearchOptions(library=SMALL))))
    assert texts(best) == ("x", "y**2", "sin(y)")


def test_a_term_that_repeats_another_never_stands_beside_it():
    library = Library(degree=1, functions=(), terms=["x + x", "3*y - y/2"])
    front = sparse.propose(mixed_task(1), SearchOptions(library=library, max_terms=4))
    for candidate in front:
        assert not {"x", "x + x"} <= set(texts(candidate))
        assert len({"y", "3*y - y/2"} & set(texts(candidate))) < 2
    assert any("x + x" in texts(c) for c in front)


def test_a_term_that_the_known_law_explains_is_not_proposed():
    task = mixed_task(2)
    constant = task.response.matrix.sum(1)
    constant /= np.linalg.norm(constant)
    task.response.matrix = task.response.matrix - np.outer(constant, constant @ task.response.matrix)
    front = sparse.propose(task, SearchOptions(library=SMALL))
    assert not any("1" in texts(c) for c in front)


def test_terms_that_are_not_finite_where_the_data_went_are_left_out():
    library = Library(degree=1, functions=["log", "sqrt", "inverse"], products=False, templates=())
    task = mixed_task(0)
    task.points[0] = 0.0
    found = {text for c in sparse.propose(task, SearchOptions(library=library, max_terms=1)) for text in texts(c)}
    assert found == {"1", "x", "y"}


def test_a_term_that_the_data_cannot_show_is_refused():
    task = mixed_task(0)
    task.response.matrix[:] = 0.0
    with pytest.raises(SearchError, match="NN: none of 8 library terms shows in the data beside the known law"):
        sparse.propose(task, SearchOptions(library=SMALL))


def test_an_exact_fit_has_a_finite_score():
    points = np.random.default_rng(0).uniform(1, 2, (30, 2))
    task = Task(term="NN", arguments=("x", "y"), points=points, values=points.prod(1))
    best = next(iter(sparse.propose(task, SearchOptions())))
    assert texts(best) == ("x*y",) and np.isfinite(best.score)
