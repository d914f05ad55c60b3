"""The library that `sparse` combines: monomials, functions, products of both, templates, and the user's own terms."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from udesys.errors import ModelError, SearchError, did_you_mean
from udesys.model import tree as T
from udesys.model.grammar import parse_expression
from udesys.search.templates import NAMES, Template, check_templates, templates_for

DEGREE = {1: 5, 2: 4, 3: 3}  # of the monomials by the number of arguments; beyond, 2
LARGEST_EXPONENT = 20.0  # |argument| up to which exp is offered
LARGEST_DEGREE = 12

_ONE_ARGUMENT = {
    "sin": lambda a: [T.call("sin", a)],
    "cos": lambda a: [T.call("cos", a)],
    "exp": lambda a: [T.call("exp", a), T.call("exp", T.neg(a))],
    "tanh": lambda a: [T.call("tanh", a)],
    "log": lambda a: [T.call("log", a), T.mul(a, T.call("log", a))],
    "sqrt": lambda a: [T.call("sqrt", a)],
    "inverse": lambda a: [T.div(T.ONE, a), T.div(T.ONE, T.power(a, T.Number(2.0)))],
    "abs": lambda a: [T.call("abs", a), T.mul(a, T.call("abs", a))],
    "sign": lambda a: [T.call("sign", a)],
}
FUNCTIONS = tuple(_ONE_ARGUMENT)
_WITH_ANOTHER = {  # of an argument a and another b; those in _SYMMETRIC once for a pair
    "sin": lambda a, b: [T.mul(a, T.call("sin", b)), T.mul(T.call("sin", a), T.call("cos", b))],
    "cos": lambda a, b: [T.mul(a, T.call("cos", b))],
    "exp": lambda a, b: [T.mul(a, T.call("exp", b)), T.mul(a, T.call("exp", T.neg(b)))],
    "log": lambda a, b: [T.mul(a, T.call("log", b))],
    "sqrt": lambda a, b: [T.mul(a, T.call("sqrt", b))],
    "inverse": lambda a, b: [T.div(a, b)],
    "abs": lambda a, b: [T.mul(a, T.call("abs", b))],
    "sign": lambda a, b: [T.mul(a, T.call("sign", b))],
}
_WITH_ITSELF = {  # sin(a)*cos(a) and sin(a)**2 as they are written shortest
    "sin": lambda a: [T.call("sin", T.mul(T.Number(2.0), a)), T.call("cos", T.mul(T.Number(2.0), a))],
}
_SYMMETRIC = {
    "sin": lambda a, b: [T.call("sin", T.sub(a, b)), T.call("sin", T.add(a, b)), _each("sin", a, b)],
    "cos": lambda a, b: [T.call("cos", T.sub(a, b)), T.call("cos", T.add(a, b)), _each("cos", a, b)],
    "sqrt": lambda a, b: [T.call("sqrt", T.mul(a, b))],
}


def _tells(function: str, values: np.ndarray) -> bool:
    """Whether a function of the values is neither out of range nor the same as something plainer."""
    if function == "exp":
        return bool(np.abs(values).max(initial=0.0) <= LARGEST_EXPONENT)
    if function in ("abs", "sign"):
        return bool(values.min(initial=0.0) < 0 < values.max(initial=0.0))
    return True


def _nothing(*arguments: T.Tree) -> list[T.Tree]:
    return []


def _radial(symbols: list[T.Symbol]) -> list[T.Tree]:
    """Of every pair: r**2, and each argument times r**2, r, 1/r, 1/r**2 and 1/r**3."""
    two, terms = T.Number(2.0), []
    for a, b in itertools.combinations(symbols, 2):
        square = T.add(T.power(a, two), T.power(b, two))
        r = T.call("sqrt", square)
        terms.append(square)
        for x in (a, b):
            terms += [T.mul(x, square), T.mul(x, r), T.div(x, r), T.div(x, square), T.div(x, T.mul(square, r))]
    return terms


def _each(function: str, a: T.Tree, b: T.Tree) -> T.Tree:
    return T.mul(T.call(function, a), T.call(function, b))


@dataclass(frozen=True, kw_only=True)
class Library:
    """Which terms a missing term may be built from.

    Args:
        degree: highest total degree of the monomials; None takes 5, 4, 3 for one, two, three arguments
            and 2 beyond.
        functions: functions offered of every argument; see `FUNCTIONS`.
        products: also offer these functions times another argument, of sums and differences, sine and cosine of
            twice an argument, and what depends on the distance sqrt(x**2 + y**2) of two arguments: a drag, a limit
            cycle, a central force.
        templates: terms with constants inside: names (see `search.templates`), or texts in the equation language
            over the arguments, such as "x/(K + x)", in which every other name is a constant.
        terms: further terms as text in the equation language over the arguments, such as "x*exp(-y)".

    Raises:
        SearchError: the degree, a function, a template or a term is not usable.
    """

    degree: int | None = None
    functions: Sequence[str] = FUNCTIONS
    products: bool = True
    templates: Sequence[str] = NAMES
    terms: Sequence[str] = ()

    def __post_init__(self):
        whole = isinstance(self.degree, int) and not isinstance(self.degree, bool)
        if self.degree is not None and not (whole and 0 <= self.degree <= LARGEST_DEGREE):
            raise SearchError(f"degree = {self.degree!r} must be a whole number from 0 to {LARGEST_DEGREE}.")
        if not isinstance(self.products, bool):
            raise SearchError(f"products = {self.products!r} must be true or false.")
        for name in ("functions", "templates", "terms"):
            value = getattr(self, name)
            if isinstance(value, str) or not all(isinstance(v, str) for v in value):
                raise SearchError(f"{name} = {value!r} must be a list of texts.")
            object.__setattr__(self, name, tuple(value))
        for function in self.functions:
            if function not in FUNCTIONS:
                raise SearchError(f"the library has no function {function!r}. {did_you_mean(function, FUNCTIONS)}")
        check_templates(self.templates)
        for term in self.terms:
            try:
                parse_expression(term)
            except ModelError as error:
                raise SearchError(f"the library's term {term!r} cannot be read: {error}") from None

    def templates_for(
        self,
        arguments: Sequence[str],
        points: np.ndarray,
        taken: Collection[str] = (),
        zero: Collection[str] = (),
    ) -> list[Template]:
        """The templates over the arguments; see `search.templates.templates_for`."""
        return templates_for(self.templates, arguments, points, taken, zero)

    def _of_two(self, symbols: list[T.Symbol], points: np.ndarray) -> list[T.Tree]:
        terms: list[T.Tree] = []
        for function in self.functions:
            tells = [_tells(function, column) for column in points.T]
            for i, j in itertools.permutations(range(len(symbols)), 2):
                if tells[j]:
                    terms += _WITH_ANOTHER.get(function, _nothing)(symbols[i], symbols[j])
                if i < j:
                    terms += _SYMMETRIC.get(function, _nothing)(symbols[i], symbols[j])
        return terms

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
                if not _tells(function, points[:, column]):
                    continue
                terms += _ONE_ARGUMENT[function](symbol)
                terms += _WITH_ITSELF.get(function, _nothing)(symbol) if self.products else []
        if self.products:
            terms += self._of_two(symbols, points) + (_radial(symbols) if self.functions else [])
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
