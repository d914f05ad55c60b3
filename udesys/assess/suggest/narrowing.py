"""Which intervals an experiment should narrow, as combinations of the constants of every law."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from udesys.assess.derived import Expression, expression_of
from udesys.assess.suggest.predictions import Standing
from udesys.assess.suggest.suggestions import ALL_CONSTANTS
from udesys.errors import DataError
from udesys.model import tree as T


@dataclass(frozen=True, kw_only=True)
class Target:
    """Something whose interval is to become narrower.

    Attributes:
        name: of a constant, or of all of them.
        directions: for each law (n, unknowns) of it, or None where the law has no such constant.
    """

    name: str
    directions: list[np.ndarray | None]


def targets_of(
    laws: list[Standing], names: Sequence[str], quantities: Mapping[str, str], *, all_constants: bool
) -> list[Target]:
    """The constants that are named; all of the pick's if that is asked for and none is named.

    Args:
        laws: the pick first.
        names: of parameters, of constants such as "NN1.c0", of derived quantities, or expressions of constants. A
            constant of a term is one with those rivals alone in which that term has the same form.
        quantities: derived quantity -> its expression.
        all_constants: take all where none is named.

    Raises:
        ModelError: a name is unknown, or nothing in it is estimated.
        DataError: it has no standard error.
    """
    pick, found = laws[0], []
    for name in dict.fromkeys(names):
        asked = expression_of(pick.form, quantities.get(name, name))
        slopes = asked(pick.form.values)[1]
        if not slopes.any() or not pick.known[slopes != 0].all():
            raise DataError(f"{name} has no standard error: it stopped at a bound, or is not identifiable.")
        found.append(Target(name=name, directions=[_direction(one, asked, pick) for one in laws]))
    if not found and all_constants and pick.known.any():
        every = np.eye(len(pick.known))[pick.known]
        found.append(Target(name=ALL_CONSTANTS, directions=[every, *[None] * (len(laws) - 1)]))
    return found


def _direction(law: Standing, asked: Expression, pick: Standing) -> np.ndarray | None:
    """(1, unknowns) slopes of an expression; None where the law lacks a constant of it, or has another so called."""
    used = T.symbols(asked.tree)
    for label, key in zip(law.form.labels, law.form.names, strict=True):
        if label in used and not isinstance(key, str):
            used = used - {label} if law.form.residual_text(key[0]) == pick.form.residual_text(key[0]) else used
    if used - set(law.form.model.estimated):
        return None
    value, slopes = expression_of(law.form, asked.text)(law.form.values)
    usable = np.isfinite(value) and slopes.any() and law.known[slopes != 0].all()
    return slopes[None] if usable else None


def combined(target: Target, before: list, after: list, weights: np.ndarray, lost: np.ndarray) -> np.ndarray:
    """(designs, 2) standard errors before and after, averaged over the laws; of several, geometric means of factors.

    Args:
        target: of what.
        before: for each law (unknowns, unknowns), or None.
        after: for each law (designs, n, n), or None.
        weights: (laws,).
        lost: (laws, designs) where a law blows up: it learns nothing.
    """
    total, found = 0.0, 0.0
    for g, old, new, weight, blown in zip(target.directions, before, after, weights, lost, strict=True):
        if g is None:
            continue
        first = g @ old @ g.T
        if target.name == ALL_CONSTANTS:
            change = np.linalg.slogdet(new)[1] - np.linalg.slogdet(first)[1]
            ends = np.stack([np.ones(len(new)), np.exp(np.minimum(change, 0.0) / (2 * len(g)))], 1)
        else:
            start = np.full(len(new), np.sqrt(first[0, 0]))
            ends = np.stack([start, np.sqrt(np.clip(new[:, 0, 0], 0.0, first[0, 0]))], 1)
        ends[blown, 1] = ends[blown, 0]
        found, total = found + weight * ends, total + weight
    return found / total
