"""Templates: terms with constants inside, such as x/(K + x), and the grids from which these are searched.

In a built-in template x is one argument of the missing term and y another. In one of the user's own every name that
is an argument of the term stands for it, and every other name is a constant.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from udesys.errors import ModelError, SearchError, did_you_mean
from udesys.model import tree as T
from udesys.model.grammar import parse_expression
from udesys.model.program import Program

# name -> (texts, what each is multiplied with: "1", "x" itself, "y" any other argument, "z" the same where the term is
# zero with x, and where x may be)
BUILT_IN: dict[str, tuple[tuple[str, ...], tuple[str, ...], str]] = {
    "monod": (("x/(K + x)", "1/(K + x)"), ("1", "y"), "nonnegative"),
    "hill": (tuple(f"{top}/(K**{n} + x**{n})" for n in (2, 3, 4) for top in (f"x**{n}", "1")), ("1", "y"), "signed"),
    "lorentz": (("x/(K**2 + x**2)",), ("1", "y"), "any"),
    "haldane": (("x/(K + x + L*x**2)",), ("1", "y"), "nonnegative"),
    "exponential": (("exp(k*x)",), ("1", "x", "y"), "any"),
    "diode": (("exp(k*x) - 1",), ("1", "z"), "any"),
    "arrhenius": (("exp(k/x)",), ("1", "y"), "positive"),
    "tanh": (("tanh(k*x)",), ("1", "y"), "any"),
    "sine": (("sin(k*x)", "cos(k*x)"), ("1",), "any"),
    "logarithm": (("log(1 + k*x)",), ("1", "y"), "nonnegative"),
    "power": (("x**n",), ("1", "y"), "positive"),
    "ratio": (("x*y/(x + K*y)",), ("1",), "nonnegative"),
    "sigmoid": (("1/(1 + exp(k*(x - m)))",), ("1",), "any"),
}
NAMES = tuple(BUILT_IN)
MOST_INNER = 2  # constants inside a template
MOST_NODES = 600  # of the grid of one template
POINTS = {1: 14, 2: 9}  # of the grid along each constant
NARROW, WIDE = 0.03, 10.0  # reach of a grid on either side of the scale that the data give
EXPONENTS = (-1.5, -0.5, 0.25, 0.5, 2.0 / 3.0, 0.75, 1.5, 2.5)
NEARLY_POSITIVE = 0.02  # of the largest value: how far noise may carry a positive argument below zero
BEYOND = 0.3  # of an argument's range: how far outside it a threshold may lie
ANGLES = (0.6, 15.0)  # k times the largest argument of a sine
RATES = (0.1, 0.25, 0.5, 1.0, 1.7, 2.6, 3.6, 4.8, 6.2, 8.0, 10.0, 13.0, 17.0, 22.0, 30.0)  # k times the range of x


@dataclass(frozen=True)
class Template:
    """A term with constants inside.

    Attributes:
        tree: over the arguments and the constants' names, `#0`, `#1`, ...
        inner: names of the constants.
        grid: (grid, constants) values from which they are searched.
    """

    tree: T.Tree
    inner: tuple[str, ...]
    grid: np.ndarray


def check_templates(templates: Sequence[str]) -> None:
    """Refuse a template that is neither built in nor readable.

    Raises:
        SearchError: naming it.
    """
    for text in templates:
        if text in BUILT_IN:
            continue
        if text.isidentifier():
            raise SearchError(f"there is no template {text!r}. {did_you_mean(text, NAMES)}")
        try:
            parse_expression(text)
        except ModelError as error:
            raise SearchError(f"the template {text!r} cannot be read: {error}") from None


def templates_for(
    templates: Sequence[str],
    arguments: Sequence[str],
    points: np.ndarray,
    taken: Collection[str] = (),
    zero: Collection[str] = (),
) -> list[Template]:
    """The templates over the arguments, with grids from where the data went.

    Args:
        templates: built-in names, or texts.
        arguments: names.
        points: (points, arguments) where they will be evaluated.
        taken: other names of the model, which are no constants: a template with one of them is left out.
        zero: arguments with which the term is known to be zero.
    """
    ranges = {a: (float(v.min()), float(v.max())) for a, v in zip(arguments, points.T, strict=True)}
    found: dict[T.Tree, Template] = {}
    for name in templates:
        trees = _built_in(name, arguments, ranges, zero) if name in BUILT_IN else _own(name, arguments, taken)
        for tree in trees:
            template = _with_grid(tree, arguments, ranges)
            if template is not None:
                found.setdefault(template.tree, template)
    return list(found.values())


def _built_in(name: str, arguments: Sequence[str], ranges, zero: Collection[str]) -> Iterator[T.Tree]:
    texts, factors, where = BUILT_IN[name]
    for text, x in itertools.product(texts, arguments):
        tree = _symbols_apart(parse_expression(text), {"x", "y"})
        others = [a for a in arguments if a != x]
        if not _allowed(where, ranges[x], tree):
            continue
        if "y" in T.symbols(tree):
            yield from (T.substitute(tree, {"x": T.Symbol(x), "y": T.Symbol(y)}) for y in others)
            continue
        tree = T.substitute(tree, {"x": T.Symbol(x)})
        by_factor = {"1": [T.ONE], "x": [T.Symbol(x)], "y": [T.Symbol(y) for y in others]}
        by_factor["z"] = by_factor["y"] if x in zero else []
        for factor in itertools.chain.from_iterable(by_factor[f] for f in factors):
            yield _times(factor, tree)


def _times(factor: T.Tree, tree: T.Tree) -> T.Tree:
    """The product, a fraction's factor above its line."""
    if isinstance(tree, T.Operation) and tree.op == "div":
        return T.div(T.mul(factor, tree.args[0]), tree.args[1])
    return T.mul(factor, tree)


def _own(text: str, arguments: Sequence[str], taken: Collection[str]) -> Iterator[T.Tree]:
    tree = parse_expression(text)
    names = T.symbols(tree)
    if names & set(arguments) and not (names - set(arguments)) & set(taken):
        yield _symbols_apart(without_factor(tree, set(arguments)), set(arguments))


def without_factor(tree: T.Tree, arguments: Collection[str]) -> T.Tree:
    """The tree without constant factors: a term has a coefficient of its own."""
    if not T.symbols(tree) & set(arguments):
        return T.ONE
    if isinstance(tree, T.Operation) and tree.op in ("mul", "div"):
        return T.build(tree.op, *(without_factor(a, arguments) for a in tree.args))
    return tree


def _symbols_apart(tree: T.Tree, arguments: Collection[str]) -> T.Tree:
    """Names that are no arguments become `#0`, `#1`, ..."""
    inner = sorted(T.symbols(tree) - set(arguments))
    return T.substitute(tree, {name: T.Symbol(f"#{k}") for k, name in enumerate(inner)})


def _allowed(where: str, span: tuple[float, float], tree: T.Tree) -> bool:
    low, high = span
    nearly = high > 0 and low > -NEARLY_POSITIVE * high
    even = "**2" in T.to_text(tree) or "**4" in T.to_text(tree)
    return {"any": True, "positive": low > 0, "nonnegative": nearly, "signed": nearly or even}[where]


# ------------------------------------------------------------------ grids
def _with_grid(tree: T.Tree, arguments: Sequence[str], ranges: Mapping) -> Template | None:
    inner = tuple(sorted(T.symbols(tree) - set(arguments)))
    if not 1 <= len(inner) <= MOST_INNER:
        return Template(tree, inner, np.zeros((1, 0))) if not inner else None
    axes = [axis(tree, name, ranges, POINTS[len(inner)]) for name in inner]
    grid = np.array(list(itertools.product(*axes)))
    return Template(tree, inner, grid[:: -(-len(grid) // MOST_NODES)])


def axis(tree: T.Tree, name: str, ranges: Mapping, points: int) -> np.ndarray:
    """Values of one constant, from the place in which it stands and the arguments beside it there.

    Args:
        tree: a term; its constants are `#0`, `#1`, ...
        name: one of them.
        ranges: argument -> (lowest, highest).
        points: about how many values.
    """
    role, beside = _role(tree, name)
    low, high = _span(beside, ranges)
    size = max(abs(low), abs(high), 1e-300)
    if role == "exponent":
        return np.array(EXPONENTS)
    if role == "threshold":
        reach = BEYOND * (high - low)
        return np.linspace(low - reach, high + reach, points)
    if role == "wave":
        return np.geomspace(*ANGLES, points) / size
    if role in ("rate", "odd rate"):
        rates = np.array(RATES if points > POINTS[2] else RATES[::2]) / (high - low if 0 < high - low < size else size)
        return np.concatenate([-rates, rates]) if role == "rate" else rates
    return np.geomspace(NARROW, WIDE, points) * size


def _role(tree: T.Tree, name: str) -> tuple[str, T.Tree]:
    """What a constant does: the innermost operation that says so, and the tree beside it."""
    here = T.Symbol(name)
    path = _path(tree, here)
    for depth, (node, side) in enumerate(path):
        other = node.args[1 - side] if len(node.args) == 2 else T.ONE
        plain = isinstance(other, T.Number)
        if node.op == "pow" and side == 1:
            return "exponent", other
        if node.op == "pow" and side == 0 and depth + 1 < len(path):
            outer, at = path[depth + 1]
            if outer.op == "add" and isinstance(other, T.Number):
                rest = outer.args[1 - at]
                return "scale", T.power(_alone(rest), T.Number(1.0 / other.value))
        if node.op == "sub" and not plain:
            return "threshold", _alone(other)
        if node.op == "add" and not plain:
            return "scale", _alone(other)
        if node.op == "mul" and not plain:
            functions = {outer.op for outer, _ in path[depth + 1 :]}
            for role, which in _FUNCTIONS.items():
                if functions & which:
                    return role, _alone(other)
            outer, at = path[depth + 1] if depth + 1 < len(path) else (None, 0)
            rest = outer.args[1 - at] if outer is not None and outer.op in ("add", "sub") else T.ONE
            return "scale", T.div(_alone(rest), _alone(other))
        if node.op == "div" and not plain:
            inside = {outer.op for outer, _ in path[depth + 1 :]} & _FUNCTIONS["rate"]
            return ("rate", T.div(T.ONE, _alone(other))) if inside and side == 0 else ("scale", _alone(other))
    return "scale", T.ONE


_FUNCTIONS = {
    "wave": frozenset({"sin", "cos", "tan"}),
    "odd rate": frozenset({"tanh", "sinh", "cosh"}),
    "rate": frozenset({"exp", "sigmoid"}),
}


def _path(tree: T.Tree, leaf: T.Tree) -> list[tuple[T.Operation, int]]:
    """Operations from a leaf up to the root, with the side on which the leaf lies."""
    if not isinstance(tree, T.Operation):
        return []
    for side, argument in enumerate(tree.args):
        if argument == leaf:
            return [(tree, side)]
        below = _path(argument, leaf)
        if below:
            return [*below, (tree, side)]
    return []


def _alone(tree: T.Tree) -> T.Tree:
    """The tree without other constants: orders of magnitude are sought."""
    others = [n for n in T.symbols(tree) if n.startswith("#")]
    for value in (T.ZERO, T.ONE):
        without = T.substitute(tree, dict.fromkeys(others, value))
        if T.symbols(without):
            return without
    return T.ONE


def _span(tree: T.Tree, ranges: Mapping[str, tuple[float, float]]) -> tuple[float, float]:
    """Lowest and highest value at the corners of the arguments' ranges."""
    names = sorted(T.symbols(tree))
    if not names:
        return 1.0, 1.0
    corners = np.array(list(itertools.product(*(ranges[n] for n in names)))).reshape(-1, len(names))
    with np.errstate(all="ignore"):
        values = np.broadcast_to(Program([tree], names).run(list(corners.T))[0], len(corners))
    values = values[np.isfinite(values)]
    return (float(values.min()), float(values.max())) if len(values) else (1.0, 1.0)
