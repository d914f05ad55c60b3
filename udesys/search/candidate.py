"""What an engine proposes: formulas for one missing term."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from udesys.model import tree as T
from udesys.model.closed_form import Formula
from udesys.search.prior import DEFAULT, Prior, description_length, form_name


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One closed form for a missing term.

    Attributes:
        formula: tree over the term's arguments, with named constants and their values.
        parts: its additive terms without their coefficients, as (tree, coefficient's name) pairs; what else of the
            constants occurs in a tree stands inside it, such as K in x/(K + x).
        loss: weighted mean square of what it leaves of the task's target; one is the noise.
        score: the engine-independent order within a front; lower is better.
        prior: description length of the form (see `search.prior`).
        engine: who proposed it, several names joined by " + ".
    """

    formula: Formula
    parts: tuple[tuple[T.Tree, str], ...]
    loss: float
    score: float
    prior: float
    engine: str

    @cached_property
    def forms(self) -> tuple[T.Tree, ...]:
        """The additive terms without coefficients, their inner constants named by place: equal forms are equal."""
        return tuple(canonical(part, self.formula.constants) for part, _ in self.parts)

    @cached_property
    def key(self) -> str:
        """The form with its constants left out; equal forms share it."""
        inner = sum(len(T.symbols(part) & self.formula.constants.keys()) for part, _ in self.parts)
        shared = inner + len(self.parts) - len(self.formula.constants)
        text = " + ".join(sorted(map(form_name, self.forms))) or "0"
        return f"{text} sharing {shared}" if shared else text

    @property
    def inner(self) -> dict[str, float]:
        """The constants inside its terms, with their values."""
        outer = {name for _, name in self.parts}
        return {name: value for name, value in self.formula.constants.items() if name not in outer}

    @property
    def engines(self) -> tuple[str, ...]:
        """All that proposed it, by name."""
        return tuple(self.engine.split(" + "))

    def proposed_too(self, other: Candidate) -> Candidate:
        """The candidate, with the engines of an equal one among its own."""
        return replace(self, engine=" + ".join(dict.fromkeys((*self.engines, *other.engines))))

    @property
    def complexity(self) -> int:
        """Nodes of the tree."""
        return sum(1 for _ in T.walk(self.formula.tree))

    @property
    def expression(self):
        """The formula as a SymPy expression with its constants as symbols."""
        from udesys.model.symbolic import to_sympy

        return to_sympy(self.formula.tree)

    @property
    def numbers_in_place(self) -> T.Tree:
        """The formula with its constants' values in place."""
        return T.substitute(self.formula.tree, {c: T.Number(v) for c, v in self.formula.constants.items()})

    def with_constants(self, values) -> Candidate:
        """The same form with other values of its constants, in their order."""
        constants = dict(zip(self.formula.constants, (float(v) for v in values), strict=True))
        return replace(self, formula=Formula(self.formula.tree, constants))

    def __str__(self) -> str:
        return T.to_text(self.numbers_in_place, 4)


# What a term comes to that the data do not need.
NOTHING = Candidate(formula=Formula(T.ZERO, {}), parts=(), loss=math.nan, score=math.inf, prior=0.0, engine="none")


@dataclass(frozen=True)
class Front:
    """Candidates for one term, best score first.

    Attributes:
        term: its name.
        candidates: the formulas.
        notes: what went wrong on the way, for the user.
    """

    term: str
    candidates: tuple[Candidate, ...]
    notes: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[Candidate]:
        return iter(self.candidates)

    def __len__(self) -> int:
        return len(self.candidates)

    def __str__(self) -> str:
        lines = [f"Front of {self.term}"]
        for place, candidate in enumerate(self.candidates):
            mark = ">>>>" if place == 0 else "    "
            lines.append(f"  {mark} {candidate.score:10.2f}  {candidate!s}")
        return "\n".join(lines)


def free_names(count: int, taken: Iterable[str], letters: str = "cka") -> list[str]:
    """c0, c1, ..., or with another of the beginnings where a taken name looks like one of these."""
    taken = list(taken)
    beginnings = itertools.chain(letters, (letters[0] + "_" * n for n in itertools.count(1)))
    free = next(b for b in beginnings if not any(re.fullmatch(rf"{b}\d+", name) for name in taken))
    return [f"{free}{k}" for k in range(count)]


def canonical(tree: T.Tree, constants: Iterable[str]) -> T.Tree:
    """The tree with the constants in it named by their place: equal forms become equal trees."""
    inside = T.symbols(tree) & set(constants)
    if not inside:
        return tree
    return T.substitute(tree, {name: T.Symbol(f"#{k}") for k, name in enumerate(_in_order(tree, inside))})


def _in_order(tree: T.Tree, names: Collection[str]) -> list[str]:
    """Names in the order in which a reader meets them."""
    found: dict[str, None] = {}
    stack = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, T.Symbol) and node.name in names:
            found.setdefault(node.name)
        elif isinstance(node, T.Operation):
            stack.extend(reversed(node.args))
    return list(found)


def make_candidate(
    terms: Sequence[T.Tree],
    coefficients: Sequence[float],
    inner: Mapping[str, float] | None = None,
    *,
    taken: Iterable[str] = (),
    loss: float,
    score: float,
    engine: str,
    prior: Prior = DEFAULT,
) -> Candidate:
    """A sum of terms with a constant each, constants named c0, c1, ... in the order of reading.

    Args:
        terms: additive terms without coefficients.
        coefficients: one for each.
        inner: constants inside the terms, by the names they have there; a name in several terms is one constant.
        taken: names that constants must not have.
        loss, score, engine: see `Candidate`.
        prior: over forms.
    """
    inner = inner or {}
    names = iter(free_names(len(terms) + len(inner), taken))
    constants, named, parts = {}, {}, []
    for term, coefficient in zip(terms, coefficients, strict=True):
        outer = next(names)
        constants[outer] = float(coefficient)
        for old in _in_order(term, inner.keys() - named.keys()):
            named[old] = next(names)
            constants[named[old]] = float(inner[old])
        parts.append((T.substitute(term, {old: T.Symbol(new) for old, new in named.items()}), outer))
    return Candidate(
        formula=Formula(T.total([T.mul(T.Symbol(name), part) for part, name in parts]), constants),
        parts=tuple(parts),
        loss=loss,
        score=score,
        prior=description_length([canonical(term, inner) for term in terms], prior),
        engine=engine,
    )


def in_place(candidate: Candidate, trees: Mapping[str, T.Tree], prior: Prior = DEFAULT) -> Candidate:
    """The candidate with trees in place of arguments, priced as what it is then.

    Args:
        candidate: over the arguments.
        trees: argument -> tree.
        prior: over forms.
    """
    constants = candidate.formula.constants
    parts = tuple((T.substitute(part, trees), name) for part, name in candidate.parts)
    length = description_length([canonical(part, constants) for part, _ in parts], prior)
    return replace(
        candidate,
        formula=Formula(T.substitute(candidate.formula.tree, trees), constants),
        parts=parts,
        prior=length,
        score=candidate.score + 2.0 * (length - candidate.prior),
    )


def as_given(formula: Formula, engine: str = "given") -> Candidate:
    """A formula as it is written: the terms of its sum, each with the factor that is a constant of its own, if any."""
    parts = []
    for sign, term in _terms(formula.tree, 1.0):
        factor = next((f for f in _factors(term) if f.name in formula.constants), None)
        alone = factor is not None and _count(formula.tree, factor) == 1
        parts.append((T.substitute(term, {factor.name: T.ONE}) if alone else term, factor.name if alone else "", sign))
    values = [sign * formula.constants.get(name, 1.0) for _, name, sign in parts]
    inner = {n: v for n, v in formula.constants.items() if n not in {name for _, name, _ in parts}}
    return make_candidate([p for p, _, _ in parts], values, inner, loss=math.nan, score=math.inf, engine=engine)


def _terms(tree: T.Tree, sign: float) -> list[tuple[float, T.Tree]]:
    if isinstance(tree, T.Operation) and tree.op in ("add", "sub"):
        return _terms(tree.args[0], sign) + _terms(tree.args[1], sign if tree.op == "add" else -sign)
    if isinstance(tree, T.Operation) and tree.op == "neg":
        return _terms(tree.args[0], -sign)
    own, tree = _unsigned(tree)
    return [(sign * own, tree)]


def _unsigned(tree: T.Tree) -> tuple[float, T.Tree]:
    """A product's sign, and the product without it."""
    if isinstance(tree, T.Operation) and tree.op == "neg":
        sign, inner = _unsigned(tree.args[0])
        return -sign, inner
    if isinstance(tree, T.Operation) and tree.op in ("mul", "div"):
        sign, inner = _unsigned(tree.args[0])
        return sign, T.build(tree.op, inner, tree.args[1])
    return 1.0, tree


def _factors(tree: T.Tree) -> list[T.Symbol]:
    """Names that multiply all of a term."""
    if isinstance(tree, T.Symbol):
        return [tree]
    if isinstance(tree, T.Operation) and tree.op == "mul":
        return _factors(tree.args[0]) + _factors(tree.args[1])
    return _factors(tree.args[0]) if isinstance(tree, T.Operation) and tree.op == "div" else []


def _count(tree: T.Tree, symbol: T.Symbol) -> int:
    return sum(node == symbol for node in T.walk(tree))


def without_part(candidate: Candidate, place: int, prior: Prior = DEFAULT) -> Candidate:
    """The candidate with one of its additive terms dropped, and the constants that only it had."""
    return _of_parts(candidate, [part for k, part in enumerate(candidate.parts) if k != place], prior)


def simpler(candidate: Candidate, prior: Prior = DEFAULT) -> Iterator[Candidate]:
    """The candidate without each of its additive terms; then with each made constant that has constants inside.

    What varies too little is not told from a constant; where one stands already there is nothing to make.
    """
    parts = candidate.parts
    for place in range(len(parts)):
        yield without_part(candidate, place, prior)
    if any(part == T.ONE for part, _ in parts):
        return
    for place, (part, outer) in enumerate(parts):
        if T.symbols(part) & candidate.formula.constants.keys():
            yield _of_parts(candidate, [*parts[:place], (T.ONE, outer), *parts[place + 1 :]], prior)


def _of_parts(candidate: Candidate, kept: Sequence[tuple[T.Tree, str]], prior: Prior) -> Candidate:
    """A candidate of these additive terms, (tree, coefficient's name), with the constants that they have."""
    constants = candidate.formula.constants
    remain = {name for part, outer in kept for name in (outer, *(T.symbols(part) & constants.keys()))}
    left = {name: value for name, value in constants.items() if name in remain}
    names = dict(zip(left, constants, strict=False))  # the first ones, so that equal forms have equal names
    new = {old: T.Symbol(name) for old, name in names.items()}
    parts = tuple((T.substitute(part, new), names[outer]) for part, outer in kept)
    return replace(
        candidate,
        formula=Formula(
            T.total([T.mul(T.Symbol(name), part) for part, name in parts]),
            {names[old]: value for old, value in left.items()},
        ),
        parts=parts,
        prior=description_length([canonical(part, names.values()) for part, _ in parts], prior),
    )
