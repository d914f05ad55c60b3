"""Operon: the forms it is there for, its weights, its determinism, and its trees against its own evaluation."""

import importlib.metadata
import importlib.util

import numpy as np
import pytest

from udesys.errors import SearchError
from udesys.model import tree as T
from udesys.model.program import Program
from udesys.search import SearchOptions, Task
from udesys.search.engines import operon

needs_operon = pytest.mark.skipif(bool(operon.ready()), reason=operon.ready())
OPTIONS = SearchOptions()


def points(n=100):
    """Along a curve, as a trajectory gives them."""
    t = np.linspace(0, 9, n)
    return np.stack([2 + 1.9 * np.sin(0.7 * t), 2 + np.cos(t)], 1)


def task_of(function, noise=0.02, seed=0, std=None):
    x = points()
    values = function(*x.T)
    size = noise * np.abs(values).mean()
    values = values + size * np.random.default_rng(seed).standard_normal(len(values))
    return Task(
        term="NN", arguments=("x", "y"), points=x, values=values, std=np.full(len(x), size) if std is None else std
    )


@needs_operon
@pytest.mark.parametrize(
    ("function", "key"),
    [
        (lambda x, y: 0.8 * x * y / (1 + 0.5 * x), "(#0 + x)**-1*x*y"),
        (lambda x, y: 0.4 * x * x * y, "x**2*y"),
        (lambda x, y: -0.9 * x * y, "x*y"),
    ],
)
def test_rational_forms_come_first(function, key):
    front = operon.propose(task_of(function), OPTIONS, 0)
    assert front.candidates[0].key == key
    assert front.candidates[0].loss == pytest.approx(1.0, abs=0.4)  # 100 points tell the noise to 15 %


@needs_operon
def test_the_same_seed_gives_the_same_front():
    task = task_of(lambda x, y: x * y)
    first, again = (operon.propose(task, OPTIONS, 3) for _ in range(2))
    assert [(c.key, c.formula) for c in first] == [(c.key, c.formula) for c in again]


@needs_operon
def test_rows_that_are_hardly_known_count_for_little():
    rng = np.random.default_rng(1)
    wild = rng.random(100) < 0.25
    std = np.where(wild, 3.0, 0.05)
    task = task_of(lambda x, y: 0.7 * x * y, noise=0.0, std=std)
    task = Task(
        term="NN",
        arguments=task.arguments,
        points=task.points,
        values=task.values + std * rng.standard_normal(100),
        std=std,
    )
    best = operon.propose(task, OPTIONS, 0).candidates[0]
    # the 75 good rows alone tell the constant to 0.1 %
    assert best.key == "x*y" and best.formula.constants["c0"] == pytest.approx(0.7, rel=0.01)


@needs_operon
def test_only_the_operators_asked_for_are_used():
    options = SearchOptions(operators=("+", "*"))
    for candidate in operon.propose(task_of(lambda x, y: np.sin(x) * y), options, 0):
        operations = {node.op for node in T.walk(candidate.formula.tree) if isinstance(node, T.Operation)}
        assert not operations & {"sin", "cos", "exp", "log"}


@needs_operon
@pytest.mark.parametrize("operators", [("+",), ("+", "-", "exp")])
def test_squares_and_inverses_need_their_operators(operators):
    for candidate in operon.propose(task_of(lambda x, y: x * x / y), SearchOptions(operators=operators), 0):
        assert not {n.op for n in T.walk(candidate.formula.tree) if isinstance(n, T.Operation)} & {"pow", "div"}


@needs_operon
def test_an_operator_named_twice_counts_once():
    task = task_of(lambda x, y: 0.7 * x * y)
    assert operon.propose(task, SearchOptions(operators=("+", "+", "*")), 0).candidates[0].key == "x*y"


@needs_operon
@pytest.mark.parametrize("size", [1e-200, 1e200])
def test_weights_of_extreme_values_stay_finite(size):
    x = points()
    std = np.where(np.arange(100) % 3 == 0, 0.1, 0.01) * size
    rows = operon._rows(Task(term="NN", arguments=("x", "y"), points=x, values=size * x[:, 0], std=std), 0)
    # 34 rows weigh 1 and 66 weigh 100: 300 * 34 / 6634 = 1.5 of the rows drawn
    assert len(rows) == 300 and np.isin(rows, np.arange(0, 100, 3)).sum() <= 5


@needs_operon
def test_nodes_have_the_value_that_operon_gives_them():
    import pyoperon

    x = points(40)
    budget = operon._Budget(noise=0.01, longest=20, seconds=10, seed=0)
    symbols, grown = ["add", "sub", "mul", "div", "exp", "sin", "sqrt"], []

    def nodes(them, inputs):  # called with every node list of the front
        data = pyoperon.Dataset(np.asfortranarray(x))
        tree = pyoperon.Tree(them).UpdateNodes()
        value = pyoperon.Evaluate(pyoperon.DispatchTable(), tree, data, pyoperon.Range(0, 40))
        grown.append((original(them, inputs), np.asarray(value).ravel()))
        return grown[-1][0]

    with pytest.MonkeyPatch.context() as patch:
        original = operon._nodes
        patch.setattr(operon, "_nodes", nodes)
        operon._run(pyoperon, x, x[:, 0] ** 1.5 * np.sin(x[:, 1]), symbols, budget)
    compared = 0
    for tree, theirs in grown:
        formula = operon._formula(tree, [T.Symbol("x"), T.Symbol("y")], 1.0)
        if formula is not None and np.isfinite(theirs).all():
            ours = np.broadcast_to(Program([formula], ["x", "y"]).run([*x.T])[0], 40)
            # single precision, some digits of which cancel
            np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4 * np.abs(theirs).max())
            compared += 1
    assert compared >= 5


@needs_operon
def test_nothing_is_grown_of_zeros_or_without_operators():
    zeros = Task(term="NN", arguments=("x",), points=points()[:, :1], values=np.zeros(100))
    assert len(operon.propose(zeros, OPTIONS, 0)) == 0
    assert len(operon.propose(task_of(lambda x, y: x), SearchOptions(operators=()), 0)) == 0


def test_nodes_become_trees_of_the_same_value():
    # in postfix order, the first argument right before its operation: (2*x / y) - exp(0.5*x) + 1.5
    nodes = [
        ("Constant", 0, 1.5, -1),
        ("Variable", 0, 0.5, 0),
        ("Exp", 1, 1.0, -1),
        ("Variable", 0, 1.0, 1),
        ("Variable", 0, 2.0, 0),
        ("Div", 2, 1.0, -1),
        ("Sub", 2, 1.0, -1),
        ("Add", 2, 1.0, -1),
    ]
    tree = operon._formula(nodes, [T.Symbol("x"), T.Symbol("y")], 3.0)
    x, y = points().T
    value = Program([tree], ["x", "y"]).run([x, y])[0]
    np.testing.assert_allclose(value, 3.0 * (2 * x / y - np.exp(0.5 * x) + 1.5), rtol=1e-14)
    assert operon._formula([("Aq", 0, 1.0, -1)], [], 1.0) is None


def test_an_engine_that_is_missing_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert operon.ready().startswith("pyoperon is not installed") and operon.INSTALL in operon.ready()


def test_another_release_line_is_refused(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.7.1")
    assert operon.ready() == f"pyoperon 0.7.1 has other names. Install 0.6 with  {operon.INSTALL}"


@needs_operon
def test_what_operon_throws_comes_in_words(monkeypatch):
    def fails(*arguments):
        raise RuntimeError("out of order")

    monkeypatch.setattr(operon, "_run", fails)
    with pytest.raises(SearchError, match=r"Operon failed: RuntimeError: out of order"):
        operon.propose(task_of(lambda x, y: x * y), OPTIONS, 0)
