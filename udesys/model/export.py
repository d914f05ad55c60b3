"""Closed forms for other programs: their constants by name, and LaTeX."""

from __future__ import annotations

import math

from udesys.model import tree as T
from udesys.model.closed_form import ClosedForm
from udesys.model.grammar import parse_expression
from udesys.model.grid import is_spatial, spatial_parts

TEX_DIGITS = 6

_NEGATIVE, _POWER, _ATOM = 3, 4, 5  # binding strengths; sums are 1, products 2
_GREEK = frozenset(
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau upsilon "
    "phi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega".split()
)


def named_equations(form: ClosedForm) -> tuple[tuple[T.Tree, ...], dict[str, float]]:
    """The right sides with every parameter and constant as a symbol, and the values of these symbols.

    A constant keeps its name where only one term has it, and is called `NN1.c0` otherwise.
    """
    model = form.model
    found = [c for term in model.terms for c in form.formulas[term].constants]
    crowded = {c for c in found if found.count(c) > 1} | {*model.parameters, *model.states, *model.exogenous}
    values = {n: p.start for n, p in model.parameters.items() if p.fixed} | form.parameters
    values = {n: float(values[n]) for n in model.parameters}
    formulas = {}
    for term in model.terms:
        formula = form.formulas[term]
        keys = {c: f"{term}.{c}" if c in crowded else c for c in formula.constants}
        values |= {keys[c]: float(v) for c, v in formula.constants.items()}
        formulas[term] = T.substitute(formula.tree, {c: T.Symbol(key) for c, key in keys.items()})
    return model.with_formulas(formulas), values


# ------------------------------------------------------------------ LaTeX
_LATEX_CALLS = {name: f"\\{name}" for name in "sin cos tan tanh sinh cosh min max".split()} | {
    "log": r"\ln",
    "sign": r"\operatorname{sign}",
    "sigmoid": r"\operatorname{sigmoid}",
}


def to_latex(tree: T.Tree, digits: int = TEX_DIGITS) -> str:
    """The tree in LaTeX's math mode, in the order it was written in.

    Args:
        tree: what to write.
        digits: significant digits of its numbers.
    """
    return _latex(tree, digits)[0]


def _latex(tree: T.Tree, digits: int) -> tuple[str, int]:
    """Text and binding strength of its outermost operator."""
    if isinstance(tree, T.Symbol):
        return _latex_operator(tree.name, digits) if is_spatial(tree.name) else (latex_name(tree.name), _ATOM)
    if isinstance(tree, T.Number):
        return _latex_number(tree.value, digits)
    parts = [_latex(a, digits) for a in tree.args]
    texts = [text for text, _ in parts]
    if tree.op in ("add", "sub"):
        minus, right = tree.op == "sub", texts[1]
        if right.startswith("-") and parts[1][1] >= 1 + minus:
            minus, right = not minus, right[1:]
        elif minus:
            right = _enclosed(parts[1], 2)
        return f"{texts[0]} {'-' if minus else '+'} {right}", 1
    if tree.op == "mul":
        right = _enclosed(parts[1], _POWER if texts[1].startswith("-") else 2)
        return f"{_enclosed(parts[0], 2)} \\, {right}", 2
    if tree.op == "neg":
        return f"-{_enclosed(parts[0], 2)}", 2
    if tree.op == "div":
        return rf"\frac{{{texts[0]}}}{{{texts[1]}}}", _NEGATIVE
    if tree.op == "pow":
        return f"{_enclosed(parts[0], _ATOM)}^{{{texts[1]}}}", _POWER
    return _latex_call(tree.op, texts)


def _latex_call(name: str, texts: list[str]) -> tuple[str, int]:
    if name == "exp":
        return f"e^{{{texts[0]}}}", _POWER
    if name == "sqrt":
        return rf"\sqrt{{{texts[0]}}}", _ATOM
    if name == "abs":
        return rf"\left|{texts[0]}\right|", _ATOM
    if name == "less":
        return rf"\left[{' < '.join(texts)}\right]", _ATOM
    return rf"{_LATEX_CALLS[name]}\left({', '.join(texts)}\right)", _ATOM


def _latex_operator(symbol: str, digits: int) -> tuple[str, int]:
    """An operator along a line: `dxx(u)` is \\partial_{xx} u, and `mean3(u)` the mean over neighbours."""
    operator, argument = spatial_parts(symbol)
    inner = _latex(parse_expression(argument), digits)
    if operator == "mean3":
        return rf"\left\langle {inner[0]} \right\rangle", _ATOM
    return rf"\partial_{{{operator[1:]}}} {_enclosed(inner, _POWER)}", _NEGATIVE


def _latex_number(value: float, digits: int) -> tuple[str, int]:
    if value == math.pi:
        return r"\pi", _ATOM
    mantissa, _, exponent = f"{value:.{digits}g}".partition("e")
    text = rf"{mantissa} \cdot 10^{{{int(exponent)}}}" if exponent else mantissa
    return text, 2 if exponent or value < 0 else _ATOM


def _enclosed(part: tuple[str, int], level: int) -> str:
    text, strength = part
    return text if strength >= level else rf"\left({text}\right)"


def latex_name(name: str) -> str:
    r"""A name of the equations in math mode: `k_on` is `k_{\mathrm{on}}`, `theta'` is `\dot{\theta}`."""
    if name.endswith("'"):
        return rf"\dot{{{latex_name(name[:-1])}}}"
    base, _, rest = name.strip("_").partition("_")
    stem = base.rstrip("0123456789")
    if stem and stem != base:
        base, rest = stem, f"{base[len(stem) :]}_{rest}" if rest else base[len(stem) :]
    words = [word for word in rest.split("_") if word]
    below = ",".join(word if word.isdigit() else rf"\mathrm{{{word}}}" for word in words)
    return _latex_word(base) + (f"_{{{below}}}" if below else "")


def _latex_word(word: str) -> str:
    if word in _GREEK:
        return f"\\{word}"
    if len(word) <= 1:
        return word or r"\_"
    return rf"\mathrm{{{word}}}"


def latex_equations(form: ClosedForm, digits: int = TEX_DIGITS) -> str:
    """An align environment with the closed form, numbers in place; it needs the package amsmath."""
    rows = []
    velocity_of, d = form.model.velocity_of, r"\mathrm{d}" if form.model.grid is None else r"\partial"
    for state, tree in form.numbers_in_place().items():
        if state in velocity_of:
            continue
        second = state in velocity_of.values()
        name = latex_name(state.rstrip("'"))
        left = rf"\frac{{{d}^{{2}} {name}}}{{{d} t^{{2}}}}" if second else (rf"\frac{{{d} {name}}}{{{d} t}}")
        rows.append(f"  {left} &= {to_latex(tree, digits)}")
    for name, tree in form.observed_in_place().items():
        rows.append(f"  {latex_name(name)} &= {to_latex(tree, digits)}")
    return "\\begin{align}\n" + " \\\\\n".join(rows) + "\n\\end{align}\n"
