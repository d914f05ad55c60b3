"""What a user knows of a missing term before any formula is sought."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from udesys.errors import ModelError, SearchError, did_you_mean
from udesys.model import HybridODE
from udesys.model import tree as T
from udesys.model.grammar import parse_expression
from udesys.model.hybrid import Slot

if TYPE_CHECKING:
    from udesys.search.options import SearchOptions

LARGEST_FORMULA = 8  # additive terms
SIGNS = ("positive", "negative")


@dataclass(frozen=True, kw_only=True)
class TermKnowledge:
    """What is known of one missing term.

    Args:
        sign: "positive" or "negative", of its value where the data went, zero allowed; None where not known.
        increasing: arguments in which it never falls where the data went.
        decreasing: arguments in which it never rises.
        depends_on: expressions of its arguments, such as "x*y", through which alone it depends on them; empty takes
            the arguments as they are.
        guess: a formula, or several, such as "x*y/(K + x)", in which names that are none of the model are constants.
        max_terms: most terms its formula may have; None takes that of the search.

    Raises:
        SearchError: an entry cannot be read.
    """

    sign: str | None = None
    increasing: Sequence[str] = ()
    decreasing: Sequence[str] = ()
    depends_on: Sequence[str] = ()
    guess: str | Sequence[str] = ()
    max_terms: int | None = None

    def __post_init__(self):
        if self.sign is not None and self.sign not in SIGNS:
            raise SearchError(f"sign = {self.sign!r} is unknown. {did_you_mean(str(self.sign), SIGNS)}")
        if isinstance(self.guess, str):
            object.__setattr__(self, "guess", (self.guess,))
        for name in ("increasing", "decreasing", "depends_on", "guess"):
            value = getattr(self, name)
            if isinstance(value, str) or not isinstance(value, Sequence) or not all(isinstance(v, str) for v in value):
                raise SearchError(f'{name} = {value!r} must be a list of texts, such as ["x"].')
            object.__setattr__(self, name, tuple(value))
            for text in value:
                read(text, name)
        if self.max_terms is not None:
            check_whole("max_terms", self.max_terms, 1, LARGEST_FORMULA)


def check_whole(name: str, value, low: int, high: int) -> None:
    """Refuse what is no whole number in a range."""
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise SearchError(f"{name} = {value!r} must be a whole number from {low} to {high}.")


def read(text: str, what: str) -> T.Tree:
    """The tree of an entry.

    Raises:
        SearchError: it is no expression.
    """
    try:
        return parse_expression(text)
    except ModelError as error:
        raise SearchError(f"{what} {text!r} cannot be read: {error}") from None


def knowledge_of(term: str, options: SearchOptions) -> TermKnowledge:
    """What the options say of a term, by its own name or by that of its network."""
    nothing = TermKnowledge()
    return options.terms.get(term) or options.terms.get(term.split("[")[0], nothing)


# ------------------------------------------------------------------ against a model
def for_model(options: SearchOptions, model: HybridODE, time: str = "t") -> SearchOptions:
    """The options with the arguments of terms named as formulas name them.

    Args:
        options: of the search.
        model: the hybrid.
        time: name of the time column.

    Raises:
        SearchError: they name what the model does not have.
    """
    networks = {slot.name: slot for slot in model.slots}
    slots = networks | {term: slot for slot in model.slots for term in slot.terms}
    terms = {}
    for term, known in options.terms.items():
        if term not in slots:
            for gone in model.invariants.replaced:
                if gone.name.split("(")[0] == term.split("[")[0]:
                    why = f"{gone.kept} is conserved, so {gone.name} is {gone.text}"
                    raise SearchError(f"terms names {term!r}, but {why}. {did_you_mean(term, slots)}")
            raise SearchError(f"terms names {term!r}, which is no missing term. {did_you_mean(term, slots)}")
        try:
            terms[term] = _for_slot(known, slots[term], model)
        except SearchError as error:
            raise SearchError(f"{term}: {error}") from None
    _check_units(options, model, time)
    return replace(options, terms=terms)


def _check_units(options: SearchOptions, model: HybridODE, time: str) -> None:
    names = (*model.states, *model.exogenous, *model.observe, time)
    for name in options.units:
        if name in model.parameters:
            raise SearchError(f'units names {name!r}, a parameter. Write its unit beside it: Parameter(unit="...").')
        if name not in names and name != "t":
            raise SearchError(f"units names {name!r}, which is no column. {did_you_mean(name, names)}")


def _for_slot(known: TermKnowledge, slot: Slot, model: HybridODE) -> TermKnowledge:
    named = {}
    for what in ("increasing", "decreasing", "depends_on", "guess"):
        trees = [_over_arguments(read(text, what), slot) for text in getattr(known, what)]
        for text, tree in zip(getattr(known, what), trees, strict=True):
            _check_names(f"{what} {text!r}", tree, what, slot, model)
        named[what] = tuple(T.to_text(tree, 17) for tree in trees)
    both = set(named["increasing"]) & set(named["decreasing"])
    if both:
        raise SearchError(f"it cannot be increasing and decreasing in {min(both)!r}. Keep one.")
    return replace(known, **named)


def _over_arguments(tree: T.Tree, slot: Slot) -> T.Tree:
    """The tree with an argument's name wherever the expression stands with which the network is called."""
    for name, expression in zip(slot.arguments, slot.calls[0].args, strict=True):
        if tree == expression:
            return T.Symbol(name)
    if isinstance(tree, T.Operation):
        return T.build(tree.op, *(_over_arguments(a, slot) for a in tree.args))
    return tree


def _check_names(entry: str, tree: T.Tree, what: str, slot: Slot, model: HybridODE) -> None:
    """Refuse a name that is no argument; in a guess, one of the model that is none."""
    names, arguments = T.symbols(tree), set(slot.arguments)
    taken = {*model.states, *model.parameters, *model.exogenous, "t"} if what == "guess" else names
    for name in sorted(names & (taken - arguments)):
        hint = did_you_mean(name, slot.arguments, listed="Its arguments are")
        raise SearchError(f"{entry} has {name!r}, which is no argument. {hint}")
    single = what in ("increasing", "decreasing") and not isinstance(tree, T.Symbol)
    if single or not names & arguments:
        wrong = "is no argument" if single else "has no argument in it"
        raise SearchError(f"{entry} {wrong}. Its arguments are {', '.join(slot.arguments)}.")
