"""Combinations that must not occur: a function, one inside another ("sin(exp)"), or two in a term ("sin*exp")."""

from __future__ import annotations

import re
from dataclasses import dataclass

from udesys.errors import SearchError, did_you_mean
from udesys.model import tree as T

# Operators that can be forbidden; a sum or a product of whole terms is what every formula is made of.
OPERATORS = {"+": frozenset({"add", "sub"}), "/": frozenset({"div"}), "^": frozenset({"pow"})}
NAMES = (*T.FUNCTIONS, *OPERATORS)

_SHAPE = re.compile(r"\s*(\w+|[-+*/^])\s*(?:\(\s*(\w+|[-+*/^])\s*\)|\*\s*(\w+|[-+/^])\s*)?")


@dataclass(frozen=True)
class Forbidden:
    """One combination.

    Attributes:
        text: as the user wrote it.
        first: the function or operator.
        inside: what must not stand anywhere below `first`; empty for none.
        beside: what must not stand in one additive term with `first`; empty for none.
    """

    text: str
    first: str
    inside: str = ""
    beside: str = ""

    def occurs_in(self, form: T.Tree) -> bool:
        """Whether an additive term has it."""
        if self.inside:
            return any(_has(a, self.inside) for node in _nodes(form, self.first) for a in node.args)
        if self.beside == self.first:
            return len(_nodes(form, self.first)) > 1
        return _has(form, self.first) and (not self.beside or _has(form, self.beside))


def parse_forbidden(text: str) -> Forbidden:
    """Read a combination.

    Args:
        text: "exp", "sin(exp)" or "sin*exp", of functions and of + (a sum inside a term), / and ^.

    Raises:
        SearchError: it is neither, or a name is no function.
    """
    match = _SHAPE.fullmatch(text)
    if not match:
        raise SearchError(
            f'forbidden {text!r} cannot be read. Write "exp" (nowhere), "sin(exp)" (not inside) or "sin*exp" (not in '
            "one term)."
        )
    for name in filter(None, match.groups()):
        if name not in NAMES:
            raise SearchError(
                f"forbidden {text!r} names {name!r}, which cannot be forbidden. {did_you_mean(name, NAMES)}"
            )
    return Forbidden(text, match[1], match[2] or "", match[3] or "")


def _nodes(form: T.Tree, name: str) -> list[T.Operation]:
    operations = OPERATORS.get(name, {name})
    return [node for node in T.walk(form) if isinstance(node, T.Operation) and node.op in operations]


def _has(form: T.Tree, name: str) -> bool:
    return bool(_nodes(form, name))
