"""Whether a tree is zero wherever some of its symbols are."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from udesys.model import tree as T
from udesys.model.polynomial import expanded, is_plain
from udesys.model.program import Program

NEAR_ZERO, ELSEWHERE = 1e-100, 0.7  # what stands for zero, as x*log(x) is no number there, and for what is not zero
NEGLIGIBLE = 1e-9  # of a tree's size at points of size one
POINTS, DRAWN, SEED = 12, (0.3, 2.0), 0  # at which a tree that cannot be multiplied out is looked at
REMEMBERED = 100_000


@dataclass(frozen=True, kw_only=True)
class Vanishing:
    """Where a missing term is zero.

    Attributes:
        state: the state that stays zero.
        arguments: the term's arguments that are zero with it.
    """

    state: str
    arguments: frozenset[str]

    def of(self, tree: T.Tree) -> bool:
        """Whether a tree over the term's arguments is zero there, other names being positive constants."""
        return vanishes(tree, self.arguments)

    @property
    def said(self) -> str:
        """As the user said it."""
        return f'stays_zero = ["{self.state}"]'


@lru_cache(maxsize=REMEMBERED)
def vanishes(tree: T.Tree, names: frozenset[str]) -> bool:
    """Whether a tree is zero wherever the named symbols are, all other symbols being free.

    By multiplying out; where a function stands in the way, by its values at some points of size one, which are
    positive. Where it is no number, as x*log(x) is none, its limit from above counts.
    """
    try:
        sums = expanded(T.substitute(tree, dict.fromkeys(names, T.ZERO)))
        if not sums or is_plain(sums):
            return not sums
    except ArithmeticError:
        pass
    there, size = _values(tree, names, NEAR_ZERO), sum(abs(_values(part, names, ELSEWHERE)) for part in _added_up(tree))
    finite = np.isfinite(there)
    return bool(finite.any()) and bool(
        np.abs(there[finite]).max() <= NEGLIGIBLE * size[np.isfinite(size)].max(initial=0.0)
    )


def _values(tree: T.Tree, names: frozenset[str], at: float) -> np.ndarray:
    """(points,) of a tree where the named symbols have one value and the others are drawn."""
    others = sorted(T.symbols(tree) - names)
    draws = {name: np.random.default_rng([SEED, *name.encode()]) for name in others}
    inputs = [*(rng.uniform(*DRAWN, POINTS) for rng in draws.values()), *(np.full(POINTS, at) for _ in names)]
    with np.errstate(all="ignore"):
        values = Program([tree], [*others, *sorted(names)]).run(inputs)[0]
    return np.broadcast_to(np.asarray(values, float), POINTS)


def _added_up(tree: T.Tree) -> list[T.Tree]:
    """The terms of a sum, signs aside."""
    if isinstance(tree, T.Operation) and tree.op in ("add", "sub", "neg"):
        return [part for a in tree.args for part in _added_up(a)]
    return [tree]
