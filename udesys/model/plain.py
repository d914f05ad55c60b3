"""Expression trees as nested lists, for JSON, and back without evaluating anything."""

from __future__ import annotations

from udesys.errors import ModelError
from udesys.model import tree as T

DEEPEST = 200  # nesting of a formula that is read back
_ARITY = {op: 2 for op in ("add", "sub", "mul", "div", "pow", "less", *T.BINARY_FUNCTIONS)}
_ARITY |= {op: 1 for op in ("neg", *T.UNARY_FUNCTIONS)}


def to_plain(tree: T.Tree):
    """The tree as a number, a name, or a list of an operator's name and what it is applied to.

    Args:
        tree: the tree.
    """
    if isinstance(tree, T.Number):
        return tree.value
    if isinstance(tree, T.Symbol):
        return tree.name
    return [tree.op, *map(to_plain, tree.args)]


def from_plain(value, *, depth: int = 0) -> T.Tree:
    """The tree that `to_plain` wrote.

    Args:
        value: a number, a name, or a list.
        depth: how far inside it stands.

    Raises:
        ModelError: it is no tree.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        return T.Number(value)
    if isinstance(value, str):
        return T.Symbol(value)
    if isinstance(value, list) and value and depth < DEEPEST and _ARITY.get(str(value[0])) == len(value) - 1:
        return T.Operation(value[0], tuple(from_plain(part, depth=depth + 1) for part in value[1:]))
    raise ModelError(f"{str(value)[:60]} is no formula.")
