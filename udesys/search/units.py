"""Units: read from text by our own grammar, and compared by what pint knows of each name in them.

The text itself is never given to pint, whose evaluator computes any number that it is asked for.
"""

from __future__ import annotations

import difflib
import functools
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from udesys.errors import ModelError, SearchError
from udesys.model import tree as T
from udesys.model.grammar import parse_expression

LARGEST_POWER = 20.0
SAME = 1e-9  # relative difference of two sizes, or absolute one of two exponents, that are the same
COMMON = ("kg", "mg", "ug", "km", "cm", "mm", "um", "ms", "us", "mL", "uL", "mmol", "kPa", "kJ", "kW", "mV", "mA")

_NAME = re.compile(r"(?<![\w.])[A-Za-z_]\w*")
_SPELT = {"µ": "u", "μ": "u", "·": "*", "×": "*", "²": "^2", "³": "^3", "°C": "degC", "°F": "degF", "%": "percent"}
_BLANK = re.compile(r"(?<=[\w)])\s+(?=[A-Za-z_(])")  # kg m is kg*m


@dataclass(frozen=True)
class Unit:
    """A product of powers of named units, and a number.

    Attributes:
        powers: (name, exponent) pairs in the order of reading.
        number: what they are multiplied with.
    """

    powers: tuple[tuple[str, float], ...] = ()
    number: float = 1.0

    def __mul__(self, other: Unit) -> Unit:
        powers = dict(self.powers)
        for name, exponent in other.powers:
            powers[name] = round(powers.get(name, 0.0) + exponent, 9)
        return Unit(tuple((n, e) for n, e in powers.items() if e), self.number * other.number)

    def __pow__(self, exponent: float) -> Unit:
        powers = ((name, round(e * exponent, 9)) for name, e in self.powers)
        return Unit(tuple((n, e) for n, e in powers if e), self.number**exponent)

    def __truediv__(self, other: Unit) -> Unit:
        return self * other**-1.0

    @property
    def plain(self) -> bool:
        """Whether it is the unit of pure numbers; a percent and a degree are not."""
        return self.matches(NONE)

    def matches(self, other: Unit) -> bool:
        """Whether both are the same unit, however they are written."""
        (size, roots), (own, mine) = other._root, self._root
        same = all(abs(roots.get(n, 0.0) - mine.get(n, 0.0)) < SAME for n in roots.keys() | mine.keys())
        return same and math.isclose(size, own, rel_tol=SAME)

    @functools.cached_property
    def _root(self) -> tuple[float, dict[str, float]]:
        """Its size in root units, and their exponents."""
        size, roots = self.number, {}
        for name, exponent in self.powers:
            factor, inside = _known(name)
            size *= factor**exponent
            for root, power in inside:
                roots[root] = roots.get(root, 0.0) + power * exponent
        return size, roots

    def __str__(self) -> str:
        above = [f"{self.number:g}"] if self.number != 1 else []
        above += [_power(n, e) for n, e in self.powers if e > 0]
        below = [_power(n, -e) for n, e in self.powers if e < 0]
        under = below[0] if len(below) == 1 else f"({'*'.join(below)})"
        return ("*".join(above) or "1") + (f"/{under}" if below else "")


NONE = Unit()


def _power(name: str, exponent: float) -> str:
    return name if exponent == 1 else f"{name}^{exponent:g}"


def parse_unit(text: str, of: str) -> Unit:
    """Read a unit such as `kg/(m*s^2)`, `1/year`, `mg/dL` or `1` for none.

    Args:
        text: names known to pint, numbers, `* / ^ ( )`.
        of: whose unit it is, for the message.

    Raises:
        SearchError: it cannot be read, or a name is unknown.
    """
    try:
        return _parsed(text)
    except SearchError as error:
        raise SearchError(f"the unit {text!r} of {of!r} cannot be read: {error}") from None


@functools.lru_cache(maxsize=256)
def _parsed(text: str) -> Unit:
    plain = text.strip()
    for sign, spelt in _SPELT.items():
        plain = plain.replace(sign, spelt)
    plain = _BLANK.sub("*", plain)
    if plain in ("", "-"):
        return NONE
    marks = {name: f"u{k}" for k, name in enumerate(dict.fromkeys(_NAME.findall(plain)))}  # `min` is a function, too
    for name in marks:
        _known(name)
    try:
        tree = parse_expression(_NAME.sub(lambda found: marks[found.group()], plain))
        unit = _unit(tree, {mark: Unit(((name, 1.0),)) for name, mark in marks.items()})
    except (ModelError, ArithmeticError):
        raise SearchError("write names and numbers with * / ^ and brackets, as in kg/(m*s^2).") from None
    if not 0 < unit.number < math.inf:
        raise SearchError(f"{unit.number:g} is no size of a unit.")
    return unit


def _unit(tree: T.Tree, names: Mapping[str, Unit]) -> Unit:
    if isinstance(tree, T.Symbol):
        return names[tree.name]
    if isinstance(tree, T.Number):
        return Unit(number=tree.value)
    if tree.op in ("mul", "div"):
        left, right = (_unit(a, names) for a in tree.args)
        return left * right if tree.op == "mul" else left / right
    if tree.op == "pow" and isinstance(tree.args[1], T.Number) and abs(tree.args[1].value) <= LARGEST_POWER:
        return _unit(tree.args[0], names) ** tree.args[1].value
    raise SearchError(f"a unit is a product of powers up to {LARGEST_POWER:g}, as in kg/(m*s^2).")


# ------------------------------------------------------------------ what pint knows
@functools.cache
def _registry():
    import pint  # half a second, for those who give units

    return pint.UnitRegistry()


@functools.cache
def _known(name: str) -> tuple[float, tuple[tuple[str, float], ...]]:
    """Size of a named unit in root units, and their exponents; angles and counts have none."""
    import pint

    registry = _registry()
    try:
        factor, root = registry.get_root_units(registry.parse_units(name))
        powers = {n: float(e) for n, e in root._units.items() if registry.get_dimensionality(n)}
    except (pint.PintError, AssertionError, TypeError, ValueError):
        raise SearchError(f"there is no unit {name!r}. {_near(name)}") from None
    return float(factor), tuple(powers.items())


def _near(name: str) -> str:
    near = difflib.get_close_matches(name, [*COMMON, *_registry()], n=1)
    hint = f"Did you mean {near[0]!r}? " if near else ""
    return f'{hint}Units are SI and common ones, such as kg, m, s, mol/L, year; a number of things has the unit "1".'
