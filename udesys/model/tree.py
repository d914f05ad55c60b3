"""Expression trees: what the parser builds, what the searches propose, what every evaluator reads.

A tree is made of three frozen nodes: `Number`, `Symbol` and `Operation`. A call of a network is a
`Symbol` here (its outputs are names such as `NN1[0]`), because the equations see no more of it.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

UNARY_FUNCTIONS = ("exp", "log", "sqrt", "sin", "cos", "tan", "tanh", "sinh", "cosh", "abs", "sign", "sigmoid")
BINARY_FUNCTIONS = ("min", "max")
FUNCTIONS = UNARY_FUNCTIONS + BINARY_FUNCTIONS
REMEMBERED = 100_000  # trees whose symbols and derivatives are looked up


@dataclass(frozen=True, slots=True)
class Number:
    """A constant."""

    value: float


@dataclass(frozen=True, slots=True)
class Symbol:
    """A name: a state, a parameter, time, a network's output or a formula's constant."""

    name: str


@dataclass(frozen=True, slots=True)
class Operation:
    """An operator or a function applied to trees; `op` is one of the names in `_EVALUATE`."""

    op: str
    args: tuple[Tree, ...]
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self):
        object.__setattr__(self, "_hash", hash((self.op, self.args)))

    def __hash__(self) -> int:
        return self._hash  # trees are looked up all the time; its own would go through the whole tree

    def __reduce__(self):
        return Operation, (self.op, self.args)  # texts hash otherwise in another process


Tree = Number | Symbol | Operation

ZERO = Number(0.0)
ONE = Number(1.0)
MINUS_ONE = Number(-1.0)


# ------------------------------------------------------------------ building with light simplification
def _fold(op: str, *values: float) -> Number:
    try:
        result = float(_EVALUATE[op](*values))
    except (OverflowError, ValueError, ZeroDivisionError, TypeError):
        result = math.nan
    if not math.isfinite(result):
        raise ArithmeticError(f"{op}({', '.join(f'{v:g}' for v in values)}) is not a finite number.")
    return Number(result)


def add(a: Tree, b: Tree) -> Tree:
    """a + b."""
    if a == ZERO:
        return b
    if b == ZERO:
        return a
    return _fold("add", a.value, b.value) if _both_numbers(a, b) else Operation("add", (a, b))


def sub(a: Tree, b: Tree) -> Tree:
    """a - b."""
    if b == ZERO:
        return a
    if a == ZERO:
        return neg(b)
    return _fold("sub", a.value, b.value) if _both_numbers(a, b) else Operation("sub", (a, b))


def mul(a: Tree, b: Tree) -> Tree:
    """a * b."""
    if ZERO in (a, b):
        return ZERO
    if a == ONE:
        return b
    if b == ONE:
        return a
    if a == MINUS_ONE:
        return neg(b)
    return _fold("mul", a.value, b.value) if _both_numbers(a, b) else Operation("mul", (a, b))


def div(a: Tree, b: Tree) -> Tree:
    """a / b."""
    if b == ONE:
        return a
    if a == ZERO and b != ZERO:
        return ZERO
    return _fold("div", a.value, b.value) if _both_numbers(a, b) else Operation("div", (a, b))


def power(a: Tree, b: Tree) -> Tree:
    """a ** b."""
    if b == ONE:
        return a
    if b == ZERO:
        return ONE
    return _fold("pow", a.value, b.value) if _both_numbers(a, b) else Operation("pow", (a, b))


def neg(a: Tree) -> Tree:
    """-a."""
    if isinstance(a, Number):
        return Number(-a.value)
    if isinstance(a, Operation) and a.op == "neg":
        return a.args[0]
    return Operation("neg", (a,))


def call(function: str, *args: Tree) -> Tree:
    """A function of `FUNCTIONS` applied to trees."""
    if all(isinstance(a, Number) for a in args):
        return _fold(function, *(a.value for a in args))
    return Operation(function, args)


def _both_numbers(a: Tree, b: Tree) -> bool:
    return isinstance(a, Number) and isinstance(b, Number)


_BUILD = {"add": add, "sub": sub, "mul": mul, "div": div, "pow": power, "neg": neg}


def build(op: str, *args: Tree) -> Tree:
    """The node of operator or function `op`, lightly simplified."""
    return _BUILD[op](*args) if op in _BUILD else call(op, *args)


def total(terms: list[Tree]) -> Tree:
    """The sum of trees; zero where there are none."""
    result: Tree = ZERO
    for term in terms:
        result = add(result, term)
    return result


# ------------------------------------------------------------------ looking
def walk(tree: Tree) -> Iterator[Tree]:
    """Every node, without recursion."""
    stack = [tree]
    while stack:
        node = stack.pop()
        yield node
        if isinstance(node, Operation):
            stack.extend(node.args)


@functools.lru_cache(maxsize=REMEMBERED)
def symbols(tree: Tree) -> frozenset[str]:
    """Names that occur in the tree."""
    return frozenset(node.name for node in walk(tree) if isinstance(node, Symbol))


def depth(tree: Tree) -> int:
    """Nodes on the longest path from the root, found without recursion."""
    deepest, stack = 0, [(tree, 1)]
    while stack:
        node, level = stack.pop()
        deepest = max(deepest, level)
        if isinstance(node, Operation):
            stack.extend((a, level + 1) for a in node.args)
    return deepest


def substitute(tree: Tree, values: Mapping[str, Tree]) -> Tree:
    """The tree with symbols replaced by trees."""
    if isinstance(tree, Symbol):
        return values.get(tree.name, tree)
    if isinstance(tree, Operation):
        return build(tree.op, *(substitute(a, values) for a in tree.args))
    return tree


def replace(tree: Tree, values: Mapping[Tree, Tree]) -> Tree:
    """The tree with whole subtrees replaced by others, the outermost first."""
    if tree in values:
        return values[tree]
    if isinstance(tree, Operation):
        return build(tree.op, *(replace(a, values) for a in tree.args))
    return tree


# ------------------------------------------------------------------ differentiating
@functools.lru_cache(maxsize=REMEMBERED)
def derivative(tree: Tree, name: str) -> Tree:
    """The exact partial derivative with respect to a symbol (zero for a step's jump, NaN where there is none)."""
    if isinstance(tree, Symbol):
        return ONE if tree.name == name else ZERO
    if isinstance(tree, Number) or name not in symbols(tree):
        return ZERO
    inner = [derivative(a, name) for a in tree.args]
    try:
        return _DERIVE[tree.op](tree, tree.args, inner)
    except ArithmeticError:  # a constant such as log(0) in the derivative of 0**x, or 1/0 in that of x/0
        return Number(math.nan)


def _derive_power(tree: Operation, args: tuple[Tree, ...], d: list[Tree]) -> Tree:
    base, exponent = args
    by_base = mul(mul(exponent, power(base, sub(exponent, ONE))), d[0])
    if d[1] == ZERO:
        return by_base
    return add(by_base, mul(mul(tree, call("log", base)), d[1]))


_DERIVE = {
    "add": lambda y, a, d: add(*d),
    "sub": lambda y, a, d: sub(*d),
    "mul": lambda y, a, d: add(mul(d[0], a[1]), mul(a[0], d[1])),
    "div": lambda y, a, d: sub(div(d[0], a[1]), mul(div(y, a[1]), d[1])),
    "pow": _derive_power,
    "neg": lambda y, a, d: neg(d[0]),
    "exp": lambda y, a, d: mul(y, d[0]),
    "log": lambda y, a, d: div(d[0], a[0]),
    "sqrt": lambda y, a, d: div(d[0], mul(Number(2.0), y)),
    "sin": lambda y, a, d: mul(call("cos", a[0]), d[0]),
    "cos": lambda y, a, d: neg(mul(call("sin", a[0]), d[0])),
    "tan": lambda y, a, d: mul(add(ONE, power(y, Number(2.0))), d[0]),
    "tanh": lambda y, a, d: mul(sub(ONE, power(y, Number(2.0))), d[0]),
    "sinh": lambda y, a, d: mul(call("cosh", a[0]), d[0]),
    "cosh": lambda y, a, d: mul(call("sinh", a[0]), d[0]),
    "abs": lambda y, a, d: mul(call("sign", a[0]), d[0]),
    "sign": lambda y, a, d: ZERO,
    "sigmoid": lambda y, a, d: mul(mul(y, sub(ONE, y)), d[0]),
    "less": lambda y, a, d: ZERO,
    "min": lambda y, a, d: _derive_choice(a, d),
    "max": lambda y, a, d: _derive_choice(a[::-1], d),
}


def _derive_choice(args: tuple[Tree, ...], d: list[Tree]) -> Tree:
    """d[0] where args[0] < args[1], else d[1]."""
    first = Operation("less", args)
    return add(mul(first, d[0]), mul(sub(ONE, first), d[1]))


# ------------------------------------------------------------------ the meaning of an operation, in numbers
_EVALUATE = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "pow": lambda a, b: a**b,
    "neg": lambda a: -a,
    "exp": math.exp,
    "log": math.log,
    "sqrt": math.sqrt,
    "sin": math.sin,
    "cos": math.cos,
    "tan": math.tan,
    "tanh": math.tanh,
    "sinh": math.sinh,
    "cosh": math.cosh,
    "abs": abs,
    "sign": lambda a: (a > 0) - (a < 0),
    "sigmoid": lambda a: 0.5 * (1.0 + math.tanh(0.5 * a)),
    "less": lambda a, b: float(a < b),
    "min": min,
    "max": max,
}


# ------------------------------------------------------------------ printing
_PRECEDENCE = {"add": 1, "sub": 1, "mul": 2, "div": 2, "neg": 2, "pow": 4}
_SIGNS = {"add": " + ", "sub": " - ", "mul": "*", "div": "/", "pow": "**"}


def to_text(tree: Tree, digits: int = 6) -> str:
    """The tree in the equation language; numbers to `digits` significant digits."""
    return _text(tree, digits)[0]


def _text(tree: Tree, digits: int) -> tuple[str, int]:
    """Text and precedence of its outermost operator."""
    if isinstance(tree, Symbol):
        return tree.name, 5
    if isinstance(tree, Number):
        if tree.value == math.pi:
            return "pi", 5
        text = f"{tree.value + 0.0:.{digits}g}"  # + 0.0 turns -0 into 0
        return text, 2 if tree.value < 0 else 5
    if tree.op not in _PRECEDENCE:
        return f"{tree.op}({', '.join(_text(a, digits)[0] for a in tree.args)})", 5
    level = _PRECEDENCE[tree.op]
    parts = [_text(a, digits) for a in tree.args]
    if tree.op == "neg":
        text, inner = parts[0]
        return f"-{text}" if inner >= level else f"-({text})", level
    (left, left_level), (right, right_level) = parts
    if tree.op in ("add", "sub") and right.startswith("-") and right_level >= level + (tree.op == "sub"):
        right, sign = right[1:], {"add": " - ", "sub": " + "}[tree.op]
    else:
        sign = _SIGNS[tree.op]
    left_needs = left_level < level or (tree.op == "pow" and left_level <= level)
    right_needs = right_level < level or (tree.op in ("sub", "div", "pow") and right_level == level)
    right_needs = right_needs or (tree.op in ("mul", "div", "pow") and right.startswith("-"))
    return f"{_wrap(left, left_needs)}{sign}{_wrap(right, right_needs)}", level


def _wrap(text: str, needed: bool) -> str:
    return f"({text})" if needed else text
