"""Trees multiplied out into sums of products, so that what cancels is seen to cancel.

A sum maps products to coefficients, and a product is pairs of a tree and its exponent in the order of their texts.
What is no sum, product or whole power (a function, a sum below a fraction bar) stays a tree, its own arguments
multiplied out.
"""

from __future__ import annotations

from functools import lru_cache

from udesys.model import tree as T

MOST_PRODUCTS = 500  # terms that multiplying out may make; beyond, a factor stays a sum
MOST_EXPANDED = 4  # power to which a sum is multiplied out
ROUNDING = 1e-12  # of two coefficients: their difference is none below

Product = tuple[tuple[T.Tree, float], ...]
Sum = dict[Product, float]


def expanded(tree: T.Tree) -> Sum:
    """The tree multiplied out; empty where it is zero.

    Raises:
        ArithmeticError: it holds a number that is not finite, such as 1/0.
    """
    if isinstance(tree, T.Number):
        return {(): tree.value} if tree.value else {}
    if isinstance(tree, T.Symbol):
        return _alone(tree)
    args = [expanded(a) for a in tree.args]
    if tree.op in ("add", "sub"):
        return _added(args[0], args[1], 1.0 if tree.op == "add" else -1.0)
    if tree.op == "neg":
        return _times({(): -1.0}, args[0])
    if tree.op == "mul":
        return _times(*args)
    if tree.op == "div":
        return _times(args[0], _power(args[1], -1.0))
    if tree.op == "pow" and (exponent := _number(args[1])) is not None:
        return _power(args[0], exponent)
    return _alone(T.build(tree.op, *map(to_tree, args)))


def to_tree(sums: Sum) -> T.Tree:
    """The sum as a tree."""
    result: T.Tree = T.ZERO
    for product, coefficient in sorted(sums.items(), key=lambda item: _order(item[0])):
        term = _product_tree(product, abs(coefficient))
        result = T.sub(result, term) if coefficient < 0 else T.add(result, term)
    return result


def is_plain(sums: Sum) -> bool:
    """Whether it is a polynomial, which is zero only where it is empty."""
    pairs = [pair for product in sums for pair in product]
    return all(isinstance(base, T.Symbol) and exponent == int(exponent) for base, exponent in pairs)


def linear_in(sums: Sum, name: str) -> tuple[Sum, Sum] | None:
    """Factor of a symbol and the rest, where it stands in the sum by itself; None where it does not."""
    symbol, factor, rest = T.Symbol(name), {}, {}
    for product, coefficient in sums.items():
        others = tuple(pair for pair in product if pair[0] != symbol)
        if any(name in T.symbols(base) for base, _ in others):
            return None
        if len(others) == len(product):
            rest[product] = coefficient
        elif (symbol, 1.0) in product:
            factor[others] = coefficient
        else:
            return None
    return factor, rest


def _alone(tree: T.Tree) -> Sum:
    return expanded(tree) if isinstance(tree, T.Number) else {((tree, 1.0),): 1.0}


def _added(a: Sum, b: Sum, sign: float) -> Sum:
    result = dict(a)
    for product, coefficient in b.items():
        before, now = result.pop(product, 0.0), sign * coefficient
        if abs(before + now) > ROUNDING * (abs(before) + abs(now)):
            result[product] = before + now
    return result


def _times(a: Sum, b: Sum) -> Sum:
    if len(a) * len(b) > MOST_PRODUCTS:
        a, b = (s if len(s) == 1 else _alone(to_tree(s)) for s in (a, b))
    result: Sum = {}
    for p, c in a.items():
        for q, d in b.items():
            result = _added(result, {_joined(p, q): c * d}, 1.0)
    return result


def _joined(p: Product, q: Product) -> Product:
    exponents = dict(p)
    for base, exponent in q:
        exponents[base] = exponents.get(base, 0.0) + exponent
    return _sorted({base: e for base, e in exponents.items() if e})


def _sorted(exponents: dict[T.Tree, float]) -> Product:
    return tuple(sorted(exponents.items(), key=lambda pair: _text(pair[0])))


@lru_cache(maxsize=10_000)
def _text(tree: T.Tree) -> str:
    return T.to_text(tree, 17)


def _power(a: Sum, exponent: float) -> Sum:
    whole = exponent == int(exponent)
    if not a:
        return _alone(T.power(T.ZERO, T.Number(exponent)))  # refuses 1/0
    if len(a) == 1 and whole:
        ((product, coefficient),) = a.items()
        factor = T.power(T.Number(coefficient), T.Number(exponent)).value
        return {_sorted({base: e * exponent for base, e in product}): factor}
    if whole and 0 <= exponent <= MOST_EXPANDED:
        result: Sum = {(): 1.0}
        for _ in range(int(exponent)):
            result = _times(result, a)
        return result
    if whole:
        return {((to_tree(a), exponent),): 1.0}
    return _alone(T.power(to_tree(a), T.Number(exponent)))


def _number(sums: Sum) -> float | None:
    if not sums:
        return 0.0
    return sums[()] if len(sums) == 1 and () in sums else None


def _order(product: Product) -> tuple:
    return len(product), [(_text(base), exponent) for base, exponent in product]


def _product_tree(product: Product, coefficient: float) -> T.Tree:
    above: T.Tree = T.Number(coefficient)
    below: T.Tree = T.ONE
    for base, exponent in product:
        if exponent > 0:
            above = T.mul(above, T.power(base, T.Number(exponent)))
        else:
            below = T.mul(below, T.power(base, T.Number(-exponent)))
    return T.div(above, below)
