"""A user's guess of a formula as a candidate: its constants sought on the grids of the templates, and refined."""

from __future__ import annotations

import itertools

import numpy as np

from udesys.errors import SearchError
from udesys.model import tree as T
from udesys.search.candidate import Candidate
from udesys.search.knowledge import read
from udesys.search.projection import Projected, project, scored, solve
from udesys.search.task import Task
from udesys.search.templates import MOST_NODES, POINTS, axis, without_factor

NAME = "guess"
MOST_INNER = 6  # constants inside the terms
LEAST_POINTS = 4  # of the grid along each constant, where there are many
REFINED = 6  # nodes of the grid that are refined


def guessed(text: str, task: Task) -> Candidate:
    """A guess with the constants that fit the task best.

    Its terms get a coefficient each; a constant that is only a factor of a whole term is that coefficient.

    Args:
        text: over the task's arguments; every other name is a constant.
        task: the term.

    Raises:
        SearchError: it has too many constants, or is not finite where the data went.
    """
    terms = _terms(read(text, NAME), frozenset(task.arguments))
    inner = sorted(frozenset().union(*map(T.symbols, terms)) - set(task.arguments))
    if len(inner) > MOST_INNER:
        what = f"{len(inner)} constants inside its terms, but {MOST_INNER} can be sought"
        raise SearchError(f"{task.term}: guess {text!r} has {what}. Write numbers for some.")
    marks = {name: f"#{k}" for k, name in enumerate(inner)}
    terms = [T.substitute(term, {name: T.Symbol(mark) for name, mark in marks.items()}) for term in terms]
    found = _best(terms, list(marks.values()), task)
    if found is None:
        raise SearchError(f"{task.term}: guess {text!r} cannot be told from the data: not finite, or no part of them.")
    return scored(terms, found, task, NAME)


def _terms(tree: T.Tree, arguments: frozenset[str]) -> list[T.Tree]:
    """The additive terms without their constant factors, products of sums multiplied out."""
    return list(dict.fromkeys(without_factor(term, arguments) for term in _multiplied_out(tree)))


def _multiplied_out(tree: T.Tree) -> list[T.Tree]:
    """Terms of a sum, signs apart."""
    if not isinstance(tree, T.Operation):
        return [tree]
    if tree.op in ("add", "sub", "neg"):
        return [term for argument in tree.args for term in _multiplied_out(argument)]
    if tree.op == "mul":
        return [T.mul(a, b) for a, b in itertools.product(*map(_multiplied_out, tree.args))]
    if tree.op == "div":
        return [T.div(term, tree.args[1]) for term in _multiplied_out(tree.args[0])]
    return [tree]


def _best(terms: list[T.Tree], inner: list[str], task: Task) -> Projected | None:
    """The best of the grid's nodes, refined."""
    if not inner:
        return project(terms, {}, task)
    tried = []
    for node in _grid(terms, inner, task):
        found = solve(terms, dict(zip(inner, map(float, node), strict=True)), task)
        if found is not None:
            tried.append(found)
    tried.sort(key=lambda found: found.squares)
    refined = [project(terms, found.inner, task) or found for found in tried[:REFINED]]
    return min(refined, key=lambda found: found.squares, default=None)


def _grid(terms: list[T.Tree], inner: list[str], task: Task) -> np.ndarray:
    """(nodes, constants): all combinations of each constant's values, or a spread of them."""
    ranges = {a: (float(v.min()), float(v.max())) for a, v in zip(task.arguments, task.points.T, strict=True)}
    points = POINTS.get(len(inner), LEAST_POINTS)
    axes = [axis(next(t for t in terms if name in T.symbols(t)), name, ranges, points) for name in inner]
    lengths = [len(values) for values in axes]
    places = np.arange(np.prod(lengths))
    if len(places) > MOST_NODES:
        places = np.random.default_rng(0).choice(places, MOST_NODES, replace=False)
    return np.stack([values[k] for values, k in zip(axes, np.unravel_index(places, lengths), strict=True)], 1)
