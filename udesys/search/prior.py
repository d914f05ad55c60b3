"""The prior over forms: a description length in tiers.

With hundreds of terms many forms have as many constants and fit nearly as well; no count of constants tells
them apart. A monomial of low degree is what laws are most often made of and is cheapest; higher degrees cost
more; anything else costs by its size, save for the rate laws that have names of their own (saturation after Monod
and Hill, exponentials, Arrhenius), which cost as little as the smallest other form. A sine of a frequency to be found
costs more: it follows any data somewhere in its spectrum. Two things are known of a whole
law besides: a form that stands in one missing term often stands in another (what one species loses another gains),
so naming it again is nearly free; and what the user wrote down as known is not what is missing, so a missing term
that only restates it costs more. The tiers were set on Lotka-Volterra and some thirty hybrid systems;
`Prior` changes them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields

from udesys.errors import SearchError
from udesys.model import HybridODE
from udesys.model import tree as T

LOW_DEGREE, THIRD_DEGREE, HIGH_DEGREE = 1.8, 3.4, 4.2  # nats for a monomial of degree <= 2, 3, above
OTHER, PER_NODE, FREE_NODES = 3.4, 0.5, 3  # nats for any other term, and for each node beyond three
OSCILLATING = 3.0  # nats more for a sine or cosine with a constant inside: some twenty frequencies tell apart
RESTATED = 3.0  # nats more for a term that its equation already has among the known ones (odds of twenty)


@dataclass(frozen=True, kw_only=True)
class Prior:
    """What forms are believed before the data speak: nats to name a term; one nat more is e times less likely.

    Args:
        low_degree: for a monomial of degree two at most [nats].
        third_degree: for one of degree three [nats].
        high_degree: for one of a higher degree [nats].
        other: for any other term [nats].
        per_node: for each node of such a term beyond three, or each factor beside a named rate law [nats].
        oscillating: more for a sine or cosine with a constant inside [nats].
        restated: more for a term that its equation has already among the known ones [nats].

    Raises:
        SearchError: a value is no number, or negative.
    """

    low_degree: float = LOW_DEGREE
    third_degree: float = THIRD_DEGREE
    high_degree: float = HIGH_DEGREE
    other: float = OTHER
    per_node: float = PER_NODE
    oscillating: float = OSCILLATING
    restated: float = RESTATED

    def __post_init__(self):
        for entry in fields(self):
            value = getattr(self, entry.name)
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not (number and 0 <= value < math.inf):
                raise SearchError(f"{entry.name} = {value!r} must be a number of nats, zero or more.")
            object.__setattr__(self, entry.name, float(value))


DEFAULT = Prior()


def description_length(terms: Iterable[T.Tree], prior: Prior = DEFAULT) -> float:
    """Nats to name a sum of terms, without its coefficients."""
    return sum(term_length(term, prior) for term in terms)


def term_length(term: T.Tree, prior: Prior = DEFAULT) -> float:
    """Nats to name one term."""
    degree = monomial_degree(term)
    if degree is None:
        beside = _beside_named(term)
        size = max(_size(term) - FREE_NODES, 0) if beside is None else beside
        return prior.other + prior.per_node * size + (prior.oscillating if _oscillates(term) else 0.0)
    return prior.low_degree if degree <= 2 else prior.third_degree if degree <= 3 else prior.high_degree


def _beside_named(term: T.Tree) -> int | None:
    """How many factors stand beside a rate law with a name of its own; None where there is no such law."""
    above, below = _fraction(term)
    exponentials = [f for f in above if _is_exponential(f)]
    if len(exponentials) == 1 and not below:
        return len(above) - 1
    if len(below) == 1 and (saturated := _saturated(below[0])) is not None:
        return len([f for f in above if f != saturated])
    return None


def _oscillates(term: T.Tree) -> bool:
    """Whether a constant stands inside a sine or cosine."""
    waves = (n for n in T.walk(term) if isinstance(n, T.Operation) and n.op in ("sin", "cos", "tan"))
    return any(_is_constant(node) for wave in waves for node in T.walk(wave))


def _fraction(tree: T.Tree) -> tuple[list[T.Tree], list[T.Tree]]:
    """Factors above and below the line, numbers left out."""
    if isinstance(tree, T.Operation) and tree.op in ("mul", "div"):
        above, below = _fraction(tree.args[0])
        other, under = _fraction(tree.args[1])
        return (above + other, below + under) if tree.op == "mul" else (above + under, below + other)
    return ([] if isinstance(tree, T.Number) else [tree]), []


def _is_exponential(tree: T.Tree) -> bool:
    """exp(k*x) or exp(k/x)."""
    inside = tree.args[0] if isinstance(tree, T.Operation) and tree.op == "exp" else None
    if not isinstance(inside, T.Operation) or inside.op not in ("mul", "div"):
        return False
    constant, argument = inside.args
    return _is_constant(constant) and isinstance(argument, T.Symbol) and not _is_constant(argument)


def _saturated(tree: T.Tree) -> T.Tree | None:
    """x**n of K**n + x**n or of K + x."""
    if not isinstance(tree, T.Operation) or tree.op != "add":
        return None
    constant, power = tree.args
    if isinstance(constant, T.Operation) and constant.op == "pow":
        constant = constant.args[0]
    base = power.args[0] if isinstance(power, T.Operation) and power.op == "pow" else power
    plain = isinstance(base, T.Symbol) and not _is_constant(base)
    return power if plain and _is_constant(constant) else None


def _is_constant(tree: T.Tree) -> bool:
    return isinstance(tree, T.Symbol) and tree.name.startswith("#")


def _size(tree: T.Tree) -> int:
    """Nodes of a tree, constants and what they alone make up left out; a constant factor adds none."""
    if isinstance(tree, T.Number) or _is_constant(tree):
        return 0
    if isinstance(tree, T.Symbol):
        return 1
    sizes = [_size(argument) for argument in tree.args]
    scaled = (tree.op in ("mul", "div", "neg") and min(sizes) == 0) or tree.op == "neg"
    return sum(sizes) + (0 if scaled or not sum(sizes) else 1)


def law_length(
    forms: Mapping[str, Iterable[T.Tree]], known: Mapping[str, frozenset[str]], prior: Prior = DEFAULT
) -> float:
    """Nats to name the forms of all missing terms together.

    Args:
        forms: term -> its additive forms, without coefficients.
        known: term -> what its equations have already (see `known_forms`).
        prior: over forms.
    """
    total, named = 0.0, set()
    for term, parts in forms.items():
        for part in parts:
            name = form_name(part)
            total += math.log(len(named)) if name in named else term_length(part, prior)
            total += prior.restated if name in known.get(term, ()) else 0.0
            named.add(name)
    return total


def known_forms(model: HybridODE) -> dict[str, frozenset[str]]:
    """term -> names of the known additive terms of the equations in which it stands, coefficients apart."""
    constants = frozenset(model.parameters)
    found: dict[str, set[str]] = {term: set() for term in model.terms}
    for right in model.rhs:
        parts, here = _additive(right), T.symbols(right)
        forms = {form_name(p, constants) for p in parts if not any(s.endswith("]") for s in T.symbols(p))}
        for slot in model.slots:
            for k, term in enumerate(slot.terms):
                if any(call.output_name(k) in here for call in slot.calls):
                    found[term] |= forms
    return {term: frozenset(forms) for term, forms in found.items()}


def form_name(term: T.Tree, constants: frozenset[str] = frozenset()) -> str:
    """One name for a product however it is written: its factors sorted, numbers and constants left out."""
    factors: dict[str, float] = {}
    _collect_factors(term, 1.0, constants, factors)
    return "*".join(base if n == 1 else f"{base}**{n:g}" for base, n in sorted(factors.items()) if n) or "1"


def _collect_factors(tree: T.Tree, power: float, constants: frozenset[str], factors: dict[str, float]) -> None:
    if isinstance(tree, T.Operation) and tree.op in ("mul", "div"):
        _collect_factors(tree.args[0], power, constants, factors)
        _collect_factors(tree.args[1], power if tree.op == "mul" else -power, constants, factors)
    elif isinstance(tree, T.Operation) and tree.op == "neg":
        _collect_factors(tree.args[0], power, constants, factors)
    elif isinstance(tree, T.Operation) and tree.op == "pow" and isinstance(tree.args[1], T.Number):
        _collect_factors(tree.args[0], power * tree.args[1].value, constants, factors)
    elif T.symbols(tree) - constants:
        bare = isinstance(tree, T.Symbol) or tree.op in T.FUNCTIONS
        text = T.to_text(tree, 12) if bare else f"({T.to_text(tree, 12)})"
        factors[text] = factors.get(text, 0.0) + power


def _additive(tree: T.Tree) -> list[T.Tree]:
    """The parts of a sum, signs apart."""
    if isinstance(tree, T.Operation) and tree.op in ("add", "sub", "neg"):
        return [part for argument in tree.args for part in _additive(argument)]
    return [tree]


def monomial_degree(term: T.Tree) -> float | None:
    """Total degree of a monomial, None for anything else."""
    if isinstance(term, T.Number):
        return 0.0
    if isinstance(term, T.Symbol):
        return 1.0
    if term.op == "mul":
        parts = [monomial_degree(a) for a in term.args]
        return None if None in parts else math.fsum(parts)
    if term.op == "pow" and isinstance(term.args[1], T.Number) and term.args[1].value > 0:
        base = monomial_degree(term.args[0])
        return None if base is None else base * term.args[1].value
    return None
