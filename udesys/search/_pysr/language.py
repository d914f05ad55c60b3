"""Formulas and units between our language and Julia's. No text that comes back from Julia is ever evaluated.

What goes to Julia is evaluated there, so only texts made here from trees, numbers and fixed names are sent.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence

from udesys.errors import ModelError
from udesys.model import tree as T
from udesys.model.grammar import parse_expression

BINARY = {"+": "add", "-": "sub", "*": "mul", "/": "div", "^": "pow"}
UNARY = {name: name for name in T.UNARY_FUNCTIONS} | {"sigmoid": "tanh"}  # (1 + tanh(x/2))/2
LARGEST_PRODUCT = 4  # whole powers up to this are written as products where ^ is not offered

# What DynamicQuantities.jl knows, beside how people write it; an angle has no dimension.
_PREFIXED = {
    "m": ("f", "p", "n", "u", "m", "c", "d", "k", "M", "G"),
    "g": ("u", "m", "k"),
    "s": ("f", "p", "n", "u", "m"),
    "A": ("n", "u", "m", "k"),
    "K": ("m",),
    "mol": ("m",),
    "Hz": ("k", "M", "G"),
    "Pa": ("k",),
    "J": ("k",),
    "W": ("k", "M", "G"),
    "V": ("m", "k", "M", "G"),
    "ohm": ("m",),
    "L": ("m", "d"),
    "yr": ("k", "M", "G"),
}
_PLAIN = ("cd", "N", "C", "F", "T", "bar", "min", "h", "day")
_SPELT = {"hr": "h", "hour": "h", "d": "day", "year": "yr", "a": "yr", "minute": "min", "second": "s", "sec": "s"}
_SPELT |= {"l": "L", "ml": "mL", "dl": "dL", "Ohm": "ohm", "rad": "1"}
UNITS = {unit: unit for unit in (*_PLAIN, *_PREFIXED, *(p + unit for unit, ps in _PREFIXED.items() for p in ps))}
UNITS |= _SPELT

_SINGLE_EXPONENT = re.compile(r"(?<=[\d.])f(?=[+-]?\d)")  # 1.5f-3 is single precision for 1.5e-3
# Julia's printer puts no brackets around a negative number that is raised to a power.
_NEGATIVE_BASE = re.compile(r"(?<![\w.])-(\d+\.?\d*(?:[eE][+-]?\d+)?)(?=\s*\^)")


def variable_names(arguments: Sequence[str]) -> list[str]:
    """v0, v1, ...: PySR refuses what SymPy has a meaning for, such as S, N or beta."""
    return [f"v{k}" for k in range(len(arguments))]


def from_julia(text: str, arguments: Sequence[str]) -> T.Tree | None:
    """A formula as Julia prints it, as a tree over the arguments; None where it is none of our language."""
    text = _NEGATIVE_BASE.sub(r"(-\1)", _SINGLE_EXPONENT.sub("e", text))
    names = dict(zip(variable_names(arguments), map(T.Symbol, arguments), strict=True))
    try:
        tree = parse_expression(text)
        return T.substitute(tree, names) if T.symbols(tree) <= names.keys() else None
    except (ModelError, ArithmeticError):
        return None


def operators(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """PySR's binary and unary operators for ours, each from a fixed list."""
    binary = [name for name in BINARY if name in names]
    unary = list(dict.fromkeys(UNARY[name] for name in UNARY if name in names))
    return binary, unary


# ------------------------------------------------------------------ formulas to start from
def to_julia(tree: T.Tree, arguments: Sequence[str], allowed: Collection[str]) -> str | None:
    """A formula in Julia's syntax, fully bracketed; None where it needs more than the allowed operators."""
    names = dict(zip(arguments, variable_names(arguments), strict=True))
    try:
        return _julia(_plainer(tree, allowed), names, allowed)
    except (KeyError, ArithmeticError):
        return None


def _plainer(tree: T.Tree, allowed: Collection[str]) -> T.Tree:
    """The tree without signs, sigmoids, and powers that can be written as products, roots or fractions."""
    if not isinstance(tree, T.Operation):
        return tree
    args = [_plainer(a, allowed) for a in tree.args]
    if tree.op == "neg":
        return T.Operation("mul", (T.MINUS_ONE, args[0]))
    if tree.op == "sigmoid":
        half = T.Number(0.5)
        return T.mul(half, T.add(T.ONE, T.call("tanh", T.mul(half, args[0]))))
    if tree.op == "pow" and "^" not in allowed and isinstance(args[1], T.Number):
        return _power(args[0], args[1].value)
    return T.Operation(tree.op, tuple(args))


def _power(base: T.Tree, exponent: float) -> T.Tree:
    if exponent < 0:
        return T.div(T.ONE, _power(base, -exponent))
    if exponent == 0.5:
        return T.call("sqrt", base)
    if not (exponent.is_integer() and 1 <= exponent <= LARGEST_PRODUCT):
        raise KeyError(exponent)
    result = base
    for _ in range(int(exponent) - 1):
        result = T.mul(result, base)
    return result


def _julia(tree: T.Tree, names: Mapping[str, str], allowed: Collection[str]) -> str:
    if isinstance(tree, T.Symbol):
        return names[tree.name]
    if isinstance(tree, T.Number):
        if not math.isfinite(tree.value):
            raise KeyError(tree.value)
        return f"({tree.value!r})" if tree.value < 0 else repr(float(tree.value))
    args = [_julia(a, names, allowed) for a in tree.args]
    signs = {op: sign for sign, op in BINARY.items() if sign in allowed}
    if tree.op in BINARY.values():
        return f"({args[0]} {signs[tree.op]} {args[1]})"
    if tree.op not in allowed or tree.op not in UNARY:
        raise KeyError(tree.op)
    return f"{tree.op}({args[0]})"


# ------------------------------------------------------------------ units
def unit_to_julia(text: str) -> str | None:
    """A unit such as `mol/(L*h)` in Julia's syntax, "" where it has none; None where Julia may not know it."""
    if text.strip() in ("", "-", "1"):
        return ""
    plain = re.sub(r"[·×]", "*", text.replace("µ", "u").replace("μ", "u"))
    found = dict.fromkeys(re.findall(r"[A-Za-z]\w*", plain))
    if not found.keys() <= UNITS.keys():
        return None
    marks = {name: f"u{k}" for k, name in enumerate(found)}  # `min` is a function of our language
    try:
        tree = parse_expression(re.sub(r"[A-Za-z]\w*", lambda m: marks[m.group()], plain))
        names = {mark: UNITS[name] for name, mark in marks.items()}
        return "" if isinstance(tree, T.Number) else _unit(tree, names)
    except (ModelError, KeyError):
        return None


def _unit(tree: T.Tree, names: Mapping[str, str]) -> str:
    if isinstance(tree, T.Symbol):
        return names[tree.name]
    if isinstance(tree, T.Number):
        return f"{tree.value:g}"
    sign = {"mul": "*", "div": "/", "pow": "^"}[tree.op]
    left, right = (_unit(a, names) for a in tree.args)
    if tree.op == "pow" and not isinstance(tree.args[1], T.Number):
        raise KeyError("a power that is no number")
    return f"({left} {sign} {right})"
