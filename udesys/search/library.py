"""The library of terms that `sparse` combines: monomials, functions of one argument, and the user's own."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from udesys.errors import ModelError, SearchError, did_you_mean
from udesys.model import tree as T
from udesys.model.grammar import parse_expression

DEGREE = {1: 5, 2: 4, 3: 3}  # of the monomials by the number of arguments; beyond, 2
LARGEST_EXPONENT = 20.0  # |argument| up to which exp is offered
LARGEST_DEGREE = 12

_ONE_ARGUMENT = {
    "sin": lambda a: [T.call("sin", a)],
    "cos": lambda a: [T.call("cos", a)],
    "exp": lambda a: [T.call("exp", a), T.call("exp", T.neg(a))],
    "tanh": lambda a: [T.call("tanh", a)],
    "log": lambda a: [T.call("log", a)],
    "sqrt": lambda a: [T.call("sqrt", a)],
    "inverse": lambda a: [T.div(T.ONE, a)],
    "abs": lambda a: [T.call("abs", a), T.mul(a, T.call("abs", a))],
    "sign": lambda a: [T.call("sign", a)],
}
FUNCTIONS = tuple(_ONE_ARGUMENT)


@dataclass(frozen=True, kw_only=True)
class Library:
    """Which terms a missing term may be built from.

    Args:
        degree: highest total degree of the monomials; None takes 5, 4, 3 for one, two, three arguments
            and 2 beyond.
        functions: functions offered of every argument; see `FUNCTIONS`.
        terms: further terms as text in the equation language over the arguments, such as "x*exp(-y)".

    Raises:
        SearchError: the degree, a function or a term is not usable.
    """

    degree: int | None = None
    functions: Sequence[str] = ("sin", "cos", "exp")
    terms: Sequence[str] = ()

    def __post_init__(self):
        whole = isinstance(self.degree, int) and not isinstance(self.degree, bool)
        if self.degree is not None and not (whole and 0 <= self.degree <= LARGEST_DEGREE):
            raise SearchError(f"degree = {self.degree!r} must be a whole number from 0 to {LARGEST_DEGREE}.")
        for name in ("functions", "terms"):
            value = getattr(self, name)
            if isinstance(value, str) or not all(isinstance(v, str) for v in value):
                raise SearchError(f"{name} = {value!r} must be a list of texts.")
            object.__setattr__(self, name, tuple(value))
        for function in self.functions:
            if function not in FUNCTIONS:
                raise SearchError(f"the library has no function {function!r}. {did_you_mean(function, FUNCTIONS)}")
        for term in self.terms:
            try:
                parse_expression(term)
            except ModelError as error:
                raise SearchError(f"the library's term {term!r} cannot be read: {error}") from None

    def for_arguments(self, arguments: Sequence[str], points: np.ndarray) -> list[T.Tree]:
        """The terms over the arguments that are finite at all the points.

        Args:
            arguments: names.
            points: (points, arguments) where the terms will be evaluated.
        """
        symbols = [T.Symbol(a) for a in arguments]
        terms = _monomials(symbols, self.degree if self.degree is not None else DEGREE.get(len(symbols), 2))
        for column, symbol in enumerate(symbols):
            for function in self.functions:
                if function == "exp" and np.abs(points[:, column]).max() > LARGEST_EXPONENT:
                    continue
                terms += _ONE_ARGUMENT[function](symbol)
        for text in self.terms:
            term = parse_expression(text)
            if T.symbols(term) <= set(arguments):
                terms.append(term)
        return list(dict.fromkeys(terms))


def _monomials(symbols: list[T.Symbol], degree: int) -> list[T.Tree]:
    """1, x, y, x**2, x*y, ... by rising degree."""
    powers = [p for p in itertools.product(range(degree + 1), repeat=len(symbols)) if sum(p) <= degree]
    powers.sort(key=lambda p: (sum(p), [-q for q in p]))
    terms = []
    for exponents in powers:
        term: T.Tree = T.ONE
        for symbol, n in zip(symbols, exponents, strict=True):
            if n:
                term = T.mul(term, T.power(symbol, T.Number(float(n))))
        terms.append(term)
    return terms


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
