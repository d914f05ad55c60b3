"""Closed forms in presentation MathML, as browsers lay them out without any script.

A sum comes in pieces, one `math` element for each summand, so that a page can break a long law between them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape

from udesys.model import tree as T
from udesys.model.closed_form import ClosedForm
from udesys.model.grammar import parse_expression
from udesys.model.grid import is_spatial, spatial_parts

DIGITS = 4  # significant digits of the numbers
NAMESPACE = "http://www.w3.org/1998/Math/MathML"

_SUM, _PRODUCT, _FRACTION, _POWER, _ATOM = 1, 2, 3, 4, 5
_TIMES, _DOT, _APPLY = "\u2062", "\u22c5", "\u2061"  # invisible times, a dot, function application
_LETTERS = {
    "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ε", "zeta": "ζ", "eta": "η", "theta": "θ",
    "iota": "ι", "kappa": "κ", "lambda": "λ", "mu": "μ", "nu": "ν", "xi": "ξ", "pi": "π", "rho": "ρ", "sigma": "σ",
    "tau": "τ", "upsilon": "υ", "phi": "φ", "chi": "χ", "psi": "ψ", "omega": "ω", "Gamma": "Γ", "Delta": "Δ",
    "Theta": "Θ", "Lambda": "Λ", "Xi": "Ξ", "Pi": "Π", "Sigma": "Σ", "Upsilon": "Υ", "Phi": "Φ", "Psi": "Ψ",
    "Omega": "Ω",
}  # fmt: skip
_FUNCTIONS = {"log": "ln"}
_PRIMES = {1: "′", 2: "″", 3: "‴"}


@dataclass(frozen=True)
class _Part:
    """A laid-out tree without the minus in front of it, if there is one.

    `level` is the binding strength of its outermost operator; `number` says that it starts with a digit.
    """

    body: str
    level: int
    negative: bool = False
    number: bool = False


# ------------------------------------------------------------------ trees
def to_mathml(tree: T.Tree, digits: int = DIGITS) -> str:
    """The tree as one `math` element, in the order it was written in.

    Args:
        tree: what to write.
        digits: significant digits of its numbers.
    """
    return in_math(_whole(_part(tree, digits)))


def summands(tree: T.Tree, digits: int = DIGITS) -> list[str]:
    """The tree as `math` elements, one for each summand with the sign before it.

    Args:
        tree, digits: see `to_mathml`.
    """
    pieces = []
    for k, part in enumerate(_summands(tree, digits)):
        pieces.append(in_math(_signed(part) if k else _whole(part)))
    return pieces


def in_math(body: str) -> str:
    """MathML elements as a `math` element in a line of text.

    Args:
        body: the elements.
    """
    return f'<math xmlns="{NAMESPACE}" displaystyle="true"><mrow>{body}</mrow></math>'


def _part(tree: T.Tree, digits: int) -> _Part:
    if isinstance(tree, T.Symbol) and is_spatial(tree.name):
        return _operator(tree.name, digits)
    if isinstance(tree, T.Symbol):
        primed = tree.name.endswith("'")
        return _Part(name_body(tree.name), _POWER if primed else _ATOM)
    if isinstance(tree, T.Number):
        return _number(tree.value, digits)
    if tree.op in ("add", "sub"):
        first, *others = _summands(tree, digits)
        return _Part(_row(_whole(first) + "".join(map(_signed, others))), _SUM)
    if tree.op == "neg":
        inner = _part(tree.args[0], digits)
        if inner.level < _PRODUCT:
            return _Part(_bracketed(_whole(inner)), _ATOM, True)
        return _Part(inner.body, inner.level, not inner.negative, inner.number)
    if tree.op in ("mul", "div"):
        return _product(tree, digits)
    if tree.op == "pow":
        base, exponent = (_part(a, digits) for a in tree.args)
        return _Part(f"<msup>{_enclosed(base, _ATOM)}{_row(_whole(exponent))}</msup>", _POWER, number=base.number)
    return _call(tree.op, [_whole(_part(a, digits)) for a in tree.args])


def _summands(tree: T.Tree, digits: int) -> list[_Part]:
    """The parts of a sum from left to right; what is no sum is its only part."""
    if not (isinstance(tree, T.Operation) and tree.op in ("add", "sub")):
        return [_part(tree, digits)]
    left = _summands(tree.args[0], digits)
    right = _summands(tree.args[1], digits)
    if tree.op == "sub":
        right = [_Part(p.body, p.level, not p.negative, p.number) for p in right]
    return [*left, *right]


def _product(tree: T.Operation, digits: int) -> _Part:
    left, right = (_part(a, digits) for a in tree.args)
    negative = left.negative
    if tree.op == "div":
        return _Part(f"<mfrac>{_row(left.body)}{_row(_whole(right))}</mfrac>", _FRACTION, negative)
    before = left.body if left.level >= _PRODUCT else _bracketed(left.body)
    after = _enclosed(right, _PRODUCT)
    sign = f"<mo>{_DOT}</mo>" if right.number else f'<mo lspace="0.1em" rspace="0.1em">{_TIMES}</mo>'
    return _Part(f"{before}{sign}{after}", _PRODUCT, negative, left.number)


def _operator(symbol: str, digits: int) -> _Part:
    """An operator along a line: a derivative with its variable below, or a mean over neighbours in angle brackets."""
    name, text = spatial_parts(symbol)
    inner = _part(parse_expression(text), digits)
    if name == "mean3":
        return _Part(_row(f'<mo fence="true">⟨</mo>{_whole(inner)}<mo fence="true">⟩</mo>'), _ATOM)
    variables = "".join(f"<mi>{letter}</mi>" for letter in name[1:])
    return _Part(f"<msub><mo>∂</mo>{_row(variables)}</msub>{_enclosed(inner, _POWER)}", _PRODUCT)


def _call(name: str, inside: list[str]) -> _Part:
    if name == "sqrt":
        return _Part(f"<msqrt>{_row(inside[0])}</msqrt>", _ATOM)
    if name == "abs":
        bar = '<mo fence="true" stretchy="true">|</mo>'
        return _Part(_row(f"{bar}{inside[0]}{bar}"), _ATOM)
    if name == "less":
        return _Part(_row(f"<mo>[</mo>{'<mo>&lt;</mo>'.join(inside)}<mo>]</mo>"), _ATOM)
    word = f"<mi>{_FUNCTIONS.get(name, name)}</mi><mo>{_APPLY}</mo>"
    return _Part(_row(word + _bracketed("<mo>,</mo>".join(inside))), _POWER)


def _number(value: float, digits: int) -> _Part:
    if abs(value) == math.pi:
        return _Part("<mi>π</mi>", _ATOM, value < 0)
    if not math.isfinite(value):
        return _Part("<mi>∞</mi>" if math.isinf(value) else "<mi>NaN</mi>", _ATOM, value < 0)
    mantissa, _, exponent = f"{abs(value):.{digits}g}".partition("e")
    if not exponent:
        return _Part(f"<mn>{mantissa}</mn>", _ATOM, value < 0, True)
    power = int(exponent)
    sign = "<mo>−</mo>" * (power < 0)
    ten = f"<msup><mn>10</mn><mrow>{sign}<mn>{abs(power)}</mn></mrow></msup>"
    return _Part(f"<mn>{mantissa}</mn><mo>×</mo>{ten}", _PRODUCT, value < 0, True)


# ------------------------------------------------------------------ putting together
def _whole(part: _Part) -> str:
    return f'<mo form="prefix">−</mo>{part.body}' if part.negative else part.body


def _signed(part: _Part) -> str:
    """A summand that follows another."""
    return f'<mo form="infix">{"−" if part.negative else "+"}</mo>{part.body}'


def _enclosed(part: _Part, level: int) -> str:
    """In brackets where it binds less, or a minus leads it."""
    whole = _whole(part)
    return whole if part.level >= level and not part.negative else _bracketed(whole)


def _bracketed(body: str) -> str:
    return f"<mrow><mo>(</mo>{body}<mo>)</mo></mrow>"


def _row(body: str) -> str:
    return f"<mrow>{body}</mrow>"


# ------------------------------------------------------------------ names
def name_mathml(name: str) -> str:
    """A name of the equations as a `math` element.

    Args:
        name: such as `k_on`, `theta'`, `NN[1]` or `NN1.c0`.
    """
    return in_math(name_body(name))


def name_body(name: str) -> str:
    """A name of the equations as MathML elements: `k_on` has a subscript, `theta'` a letter with a prime.

    Args:
        name: such as `k_on`, `theta'`, `NN[1]` or `NN1.c0`.
    """
    stem = name.rstrip("'")
    primes = len(name) - len(stem)
    owner, dot, constant = stem.partition(".")
    if dot:
        return f"{name_body(owner)}<mo>.</mo>{name_body(constant)}"
    base, below = _base_and_index(stem)
    body = f"<msub>{base}{below}</msub>" if below else base
    # The sign itself stands high in every font; as a superscript of most it would be tiny.
    sign = _PRIMES.get(primes, _PRIMES[1] * primes)
    return _row(f'{body}<mo form="postfix" lspace="0" rspace="0">{sign}</mo>') if primes else body


def _base_and_index(name: str) -> tuple[str, str]:
    name = name.replace("[", "_").replace("]", "")
    base, _, rest = name.strip("_").partition("_")
    stem = base.rstrip("0123456789")
    if stem and stem != base:
        base, rest = stem, f"{base[len(stem) :]}_{rest}" if rest else base[len(stem) :]
    words = [word for word in rest.split("_") if word]
    index = "<mo>,</mo>".join(f"<mn>{w}</mn>" if w.isdigit() else f"<mi>{_letter(w)}</mi>" for w in words)
    return f"<mi>{_letter(base) or '_'}</mi>", index if len(words) < 2 else _row(index)


def _letter(word: str) -> str:
    return _LETTERS.get(word) or escape(word)


# ------------------------------------------------------------------ laws
def equation_pieces(form: ClosedForm, digits: int = DIGITS) -> dict[str, tuple[str, list[str]]]:
    """The closed form with its numbers in place: the equations, then the observables.

    Args:
        form: the closed form.
        digits: significant digits of its numbers.

    Returns:
        Text of the left side (`hare'`, `theta''`, `signal`) -> the left side and `=` as a `math` element, and the
        summands of the right side.
    """
    velocities = form.model.velocity_of
    found = {f"{s}'": tree for s, tree in form.numbers_in_place().items() if s not in velocities}
    found |= form.observed_in_place()
    return {left: (in_math(f"{name_body(left)}<mo>=</mo>"), summands(tree, digits)) for left, tree in found.items()}
