"""One normal form for formulas however an engine wrote them: a sum of products with one constant each.

Products of sums are multiplied out, numbers collected, a sum that stays inside (a denominator, an argument of a
function) is divided by one of its own coefficients, and what number is left inside becomes a named constant. Equal
formulas of different engines become equal trees that way, `2*x/(4 + 8*x)` and `0.25*x/(0.5 + x)` among them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from udesys.model import tree as T
from udesys.search.candidate import Candidate
from udesys.search.projection import evaluate, project, scored
from udesys.search.task import Task

MOST_PRODUCTS = 16  # terms that multiplying out may make; beyond, a factor stays a sum
MOST_EXPANDED = 3  # power to which a sum is multiplied out
LARGEST_EXPONENT = 12  # whole exponents up to this are part of the form; any other is a constant
MOST_CONSTANTS = 10
NEGLIGIBLE = 1e-6  # of the largest term along the data

# A product is a tuple of (base, exponent) pairs in the order of their texts, a sum maps products to coefficients.
Product = tuple[tuple[T.Tree, float], ...]
Sum = dict[Product, float]
_ODD, _EVEN = frozenset({"sin", "tan", "tanh", "sinh"}), frozenset({"cos", "cosh"})


def to_candidate(tree: T.Tree, task: Task, engine: str, *, whole: bool = False) -> Candidate | None:
    """A formula with its numbers in place as a candidate: in normal form, numbers refitted, idle terms dropped.

    Args:
        tree: over the task's arguments.
        task: what the formula is for.
        engine: who proposed it.
        whole: keep terms that say little.

    Returns:
        None where it is not finite on the task's points, needs too many constants, or says nothing.
    """
    try:
        terms, coefficients, inner = split(tree, task.arguments)
    except (ArithmeticError, ValueError):
        return None
    keep = _telling(terms, coefficients, inner, task)
    if keep and task.vanishing and task.allows is not None:  # what does not vanish goes, and the rest is refitted
        keep = [k for k in keep if task.allows(terms[k])]
    if not keep:
        return None
    terms, coefficients = [terms[k] for k in keep], [coefficients[k] for k in keep]
    inner = {n: v for n, v in inner.items() if any(n in T.symbols(term) for term in terms)}
    if len(terms) + len(inner) > MOST_CONSTANTS:
        return None
    made = _scored(terms, inner, task, engine)
    return made if whole or made is None else _best_of_backward(made, task)


def split(tree: T.Tree, arguments: Sequence[str] = ()) -> tuple[list[T.Tree], list[float], dict[str, float]]:
    """Additive terms, their coefficients, and the constants inside the terms, `#0`, `#1`, ... -> value.

    Args:
        tree: with its numbers in place.
        arguments: names in the order in which products shall have them.

    Raises:
        ArithmeticError: a number of the formula is not finite.
    """
    inside = _Inside()
    terms, coefficients = [], []
    places = {f"!{k:03d}": T.Symbol(name) for k, name in enumerate(arguments)}  # sorted before any name
    tree = T.substitute(tree, {symbol.name: T.Symbol(place) for place, symbol in places.items()})
    for product, coefficient in sorted(_sum(tree).items(), key=lambda item: _product_order(item[0])):
        if coefficient:
            terms.append(T.substitute(inside.named(_product_tree(product)), places))
            coefficients.append(coefficient)
    return terms, coefficients, inside.values


# ------------------------------------------------------------------ sums of products
def _sum(tree: T.Tree) -> Sum:
    if isinstance(tree, T.Number):
        return {(): tree.value} if tree.value else {}
    if isinstance(tree, T.Symbol):
        return {((tree, 1.0),): 1.0}
    args = [_sum(a) for a in tree.args]
    if tree.op == "add":
        return _added(args[0], args[1], 1.0)
    if tree.op == "sub":
        return _added(args[0], args[1], -1.0)
    if tree.op == "neg":
        return {p: -c for p, c in args[0].items()}
    if tree.op == "mul":
        return _multiplied(*args)
    if tree.op == "div":
        return _multiplied(args[0], _power(args[1], -1.0))
    if tree.op == "pow":
        exponent = _number(args[1])
        return _whole({}, tree.op, args) if exponent is None else _power(args[0], exponent)
    return _function(tree.op, args)


def _added(a: Sum, b: Sum, sign: float) -> Sum:
    result = dict(a)
    for product, coefficient in b.items():
        result[product] = result.get(product, 0.0) + sign * coefficient
    return {p: c for p, c in result.items() if c}


def _multiplied(a: Sum, b: Sum) -> Sum:
    if len(a) * len(b) > MOST_PRODUCTS:
        a, b = (s if len(s) == 1 else _factor(s, 1.0) for s in (a, b))
    result: Sum = {}
    for p, c in a.items():
        for q, d in b.items():
            factor, product = _with_one_exponential(_joined(p, q))
            result[product] = result.get(product, 0.0) + c * d * factor
    return {p: c for p, c in result.items() if c}


def _with_one_exponential(product: Product) -> tuple[float, Product]:
    """exp(u)*exp(v) and 1/exp(-w) as one exponential, and the number that falls out of it."""
    powers = [(base, n) for base, n in product if isinstance(base, T.Operation) and base.op == "exp"]
    if not powers or (len(powers) == 1 and powers[0][1] == 1):
        return 1.0, product
    exponent: Sum = {}
    for base, n in powers:
        exponent = _added(exponent, _sum(base.args[0]), n)
    ((inner, factor),) = _function("exp", [exponent]).items() if exponent else (((), 1.0),)
    return factor, _joined(tuple(item for item in product if item not in powers), inner)


def _joined(p: Product, q: Product) -> Product:
    powers = dict(p)
    for base, exponent in q:
        powers[base] = powers.get(base, 0.0) + exponent
    return tuple(sorted(((b, n) for b, n in powers.items() if n), key=_factor_order))


def _factor_order(factor: tuple[T.Tree, float]) -> tuple:
    """Names first, then what is built of them."""
    return isinstance(factor[0], T.Operation), T.to_text(factor[0], 17)


def _power(base: Sum, exponent: float) -> Sum:
    if exponent == 0:
        return {(): 1.0}
    if not base:
        raise ZeroDivisionError("a power of zero")
    whole = float(exponent).is_integer()
    if len(base) == 1:
        ((product, coefficient),) = base.items()
        if whole or coefficient > 0:
            plain = whole or all(n == 1 for _, n in product)
            if plain:
                return {tuple((b, n * exponent) for b, n in product): coefficient**exponent}
        return _whole({}, "pow", [base, {(): exponent}])
    if whole and 0 < exponent <= MOST_EXPANDED and len(base) <= MOST_EXPANDED:
        result = base
        for _ in range(int(exponent) - 1):
            result = _multiplied(result, base)
        return result
    return _factor(base, exponent)


def _factor(base: Sum, exponent: float) -> Sum:
    """A power of a sum that stays a sum: divided by the coefficient of its last product that is no number."""
    common = _common(base)
    if common:
        outside = tuple((b, n * exponent) for b, n in common)
        inverse = tuple((b, -n) for b, n in common)
        base = {_joined(p, inverse): c for p, c in base.items()}
        if all(float(n).is_integer() for _, n in outside) or all(n > 0 for _, n in outside):
            return _multiplied({outside: 1.0}, _power(base, exponent))
    reference = max((p for p in base if p), key=_product_order, default=())
    scale = base[reference]
    if not float(exponent).is_integer() and scale < 0:
        scale = -scale
    tree = _sum_tree({p: c / scale for p, c in base.items()})
    return {((tree, exponent),): scale**exponent}


def _common(value: Sum) -> Product:
    """The largest product that divides all of a sum: 1/x of 2 + 1/x, x of 2*x + x**2."""
    powers = [dict(p) for p in value]
    bases = {b: min(p.get(b, 0.0) for p in powers) for p in powers for b in p}
    return tuple((b, n) for b, n in bases.items() if n and float(n).is_integer())


def _function(op: str, args: list[Sum]) -> Sum:
    numbers = [_number(a) for a in args]
    if None not in numbers:
        return _sum(T.call(op, *(T.Number(v) for v in numbers)))
    if len(args) != 1:
        return _whole({}, op, args)
    argument, factor = args[0], 1.0
    if op == "exp" and () in argument:
        factor = math.exp(argument[()])
        argument = {p: c for p, c in argument.items() if p}
    if len(argument) == 1:
        ((product, coefficient),) = argument.items()
        size = abs(coefficient)
        if op == "abs":
            return {((T.call("abs", _product_tree(product)), 1.0),): size}
        if op == "sign":
            return {((T.call("sign", _product_tree(product)), 1.0),): math.copysign(1.0, coefficient)}
        if op == "sqrt" and coefficient > 0:
            return {((T.call("sqrt", _product_tree(product)), 1.0),): math.sqrt(size)}
        if op == "log" and coefficient > 0:
            return _added({(): math.log(size)} if size != 1 else {}, _whole({}, "log", [{product: 1.0}]), 1.0)
        if op in _ODD and coefficient < 0:
            argument, factor = {product: size}, -factor
        if op in _EVEN and coefficient < 0:
            argument = {product: size}
    return {p: factor * c for p, c in _whole({}, op, [argument]).items()}


def _whole(result: Sum, op: str, args: list[Sum]) -> Sum:
    """An operation that stays as it is, over arguments in normal form."""
    result[((T.build(op, *(_sum_tree(a) for a in args)), 1.0),)] = 1.0
    return result


def _number(value: Sum) -> float | None:
    if not value:
        return 0.0
    return value[()] if len(value) == 1 and () in value else None


# ------------------------------------------------------------------ back to trees
def _product_order(product: Product) -> tuple:
    degree = sum(n for base, n in product)
    return len(product) > 0, degree, T.to_text(_product_tree(product), 17)


def _product_tree(product: Product) -> T.Tree:
    above, below = T.ONE, T.ONE
    for base, n in product:
        if n > 0:
            above = T.mul(above, T.power(base, T.Number(n)))
        else:
            below = T.mul(below, T.power(base, T.Number(-n)))
    return T.div(above, below)


def _sum_tree(value: Sum) -> T.Tree:
    result: T.Tree = T.ZERO
    for product, coefficient in sorted(value.items(), key=lambda item: _product_order(item[0])):
        below = coefficient < 0 and result != T.ZERO
        term = _scaled(-coefficient if below else coefficient, _product_tree(product))
        result = T.sub(result, term) if below else T.add(result, term)
    return result


def _scaled(coefficient: float, tree: T.Tree) -> T.Tree:
    """A number times a tree, above the line where there is nothing else."""
    if isinstance(tree, T.Operation) and tree.op == "div" and tree.args[0] == T.ONE:
        return T.div(T.Number(coefficient), tree.args[1])
    return T.mul(T.Number(coefficient), tree)


class _Inside:
    """Names for the numbers inside terms; equal numbers share a name."""

    def __init__(self):
        self.values: dict[str, float] = {}
        self._names: dict[float, str] = {}

    def named(self, tree: T.Tree) -> T.Tree:
        if isinstance(tree, T.Number):
            return tree if _is_form(tree.value) else self._symbol(tree.value)
        if not isinstance(tree, T.Operation):
            return tree
        if tree.op == "pow" and isinstance(tree.args[1], T.Number) and _is_form(2 * tree.args[1].value):
            return T.power(self.named(tree.args[0]), tree.args[1])
        hill = _half_saturation(tree)
        if hill is not None:
            value, n, rest = hill
            return T.add(T.power(self._symbol(value), n), self.named(rest))
        return T.build(tree.op, *(self.named(a) for a in tree.args))

    def _symbol(self, value: float) -> T.Tree:
        if value not in self._names:
            name = f"#{len(self.values)}"
            self._names[value], self.values[name] = name, value
        return T.Symbol(self._names[value])


def _half_saturation(tree: T.Operation):
    """(K, n, x**n) of a sum k + x**n with k = K**n > 0, so that K has the units of x; else None."""
    if tree.op != "add" or not isinstance(tree.args[0], T.Number) or tree.args[0].value <= 0:
        return None
    k, rest = tree.args[0].value, tree.args[1]
    power = isinstance(rest, T.Operation) and rest.op == "pow" and isinstance(rest.args[0], T.Symbol)
    if not power or _is_form(k) or not isinstance(rest.args[1], T.Number) or not _is_form(rest.args[1].value):
        return None
    return k ** (1.0 / rest.args[1].value), rest.args[1], rest


def _is_form(value: float) -> bool:
    """Whether a number is part of the form: a small whole one."""
    return float(value).is_integer() and abs(value) <= LARGEST_EXPONENT


# ------------------------------------------------------------------ what tells something
def _telling(terms, coefficients, inner, task: Task) -> list[int] | None:
    """Places of the terms that are not negligible on the points; None where one is not finite."""
    if not terms:
        return []
    sizes = np.abs(evaluate(terms, inner, task) * coefficients).max(0)
    if not np.isfinite(sizes).all():
        return None
    return [k for k, size in enumerate(sizes) if size > NEGLIGIBLE * sizes.max()]


def _best_of_backward(best: Candidate, task: Task) -> Candidate:
    """Fewer terms as long as that lowers the score."""
    while len(best.parts) > 1:
        shorter = []
        for place in range(len(best.parts)):
            kept = [part for k, (part, _) in enumerate(best.parts) if k != place]
            used = {n: v for n, v in best.inner.items() if any(n in T.symbols(part) for part in kept)}
            shorter.append(_scored(kept, used, task, best.engine))
        shorter = [c for c in shorter if c is not None and c.score <= best.score]
        if not shorter:
            break
        best = min(shorter, key=lambda c: c.score)
    return best


def _scored(terms, inner: dict[str, float], task: Task, engine: str) -> Candidate | None:
    found = project(terms, inner, task)
    return None if found is None else scored(terms, found, task, engine)
