"""Expressions of a law's constants as text: parameters by their names, a formula's constants as they are printed."""

from __future__ import annotations

import re
from collections.abc import Mapping

from udesys.errors import ModelError, did_you_mean
from udesys.model import tree as T
from udesys.model.grammar import RESERVED, parse_expression
from udesys.model.hybrid import HybridODE

_LABEL = re.compile(r"(?<![\w.])([A-Za-z_]\w*(?:\[\d+\])?)\.([A-Za-z_]\w*)(?!\.?\w)")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


def parse_derived(text: str) -> T.Tree:
    """The tree of an expression, in which `NN1.c0` and `NN1[0].c0` are symbols beside the names.

    Args:
        text: in the equation language but for these labels.

    Raises:
        ModelError: the text is no expression.
    """
    text, labels = str(text), {}

    def stand_in(match: re.Match) -> str:
        name = re.sub(r"\W", "_", match[0])  # as long as what it stands for, so that places in messages are right
        while name in text or labels.get(name, match[0]) != match[0]:
            name += "_"
        labels[name] = match[0]
        return name

    plain = _LABEL.sub(stand_in, text)
    try:
        tree = parse_expression(plain)
    except ModelError as error:
        told = str(error)
        for name, label in labels.items():
            told = told.replace(name, label)
        raise ModelError(f"{text!r} is no expression of a law's constants: {told}") from None
    return T.substitute(tree, {name: T.Symbol(label) for name, label in labels.items()})


def check_expressions(model: HybridODE, expressions: Mapping[str, str]) -> None:
    """Refuse named expressions that no law of a model can have, as far as that is known before there is one.

    Args:
        model: the hybrid.
        expressions: name -> expression.

    Raises:
        ModelError: a name is taken or no name, a text is no expression, or it holds what is no constant.
    """
    for name, text in expressions.items():
        taken = "a parameter" if name in model.parameters else "a state" if name in model.states else ""
        taken = taken or ("a reserved name" if name in RESERVED else "")
        if taken or not _NAME.match(name):
            raise ModelError(f"{name!r} is {taken or 'no name'}. Call the derived quantity by another name.")
        for symbol in sorted(T.symbols(parse_derived(text))):
            term, dot, _ = symbol.partition(".")
            known = [*model.terms] if dot else [*model.parameters]
            if (term if dot else symbol) not in known:
                listed = "Missing terms are" if dot else "Parameters are"
                raise ModelError(f"{name} = {text!r}: {no_constant(model, symbol)}. "
                                 f"{did_you_mean(term, known, listed=listed)}")  # fmt: skip


def no_constant(model: HybridODE, name: str) -> str:
    """That a name is no constant of a model's law, and what it is, for a message.

    Args:
        model: the hybrid.
        name: the name.
    """
    kinds = {"a state": model.states, "an input": model.exogenous, "the time": ("t",), "a missing term": model.terms}
    for kind, names in kinds.items():
        if name in names:
            return f"{name} is {kind}, and a derived quantity is made of constants"
    return f"{name!r} is no constant of this law"
