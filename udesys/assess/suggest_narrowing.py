"""Which intervals an experiment should narrow, as combinations of the constants of every law."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from udesys.assess.suggest_predictions import Standing
from udesys.assess.suggestions import ALL_CONSTANTS
from udesys.errors import DataError, did_you_mean


@dataclass(frozen=True, kw_only=True)
class Target:
    """Something whose interval is to become narrower.

    Attributes:
        name: of a constant, or of all of them.
        directions: for each law (n, unknowns) of it, or None where the law has no such constant.
    """

    name: str
    directions: list[np.ndarray | None]


def targets_of(laws: list[Standing], names: Sequence[str], *, all_constants: bool) -> list[Target]:
    """The constants that are named; all of the pick's if that is asked for and none is named.

    Args:
        laws: the pick first.
        names: of parameters, or such as "NN1.c0", which the laws have in common whose term has the same form.
        all_constants: take all where none is named.

    Raises:
        DataError: a name is unknown, or its constant has no standard error.
    """
    pick = laws[0]
    named = {n if isinstance(n, str) else ".".join(n): n for n in pick.form.names}
    found = []
    for name in dict.fromkeys(names):
        if name not in named:
            fixed = pick.form.model.parameters.get(name)
            if fixed is not None:
                raise DataError(f"{name} is fixed at {fixed.start:g}: it has no interval. Name an estimated constant.")
            raise DataError(f"there is no constant {name!r} to narrow. {did_you_mean(name, named)}")
        key = named[name]
        if not pick.known[pick.form.names.index(key)]:
            raise DataError(f"{name} has no standard error: it stopped at a bound, or is not identifiable.")
        found.append(Target(name=name, directions=[_direction(one, key, pick) for one in laws]))
    if not found and all_constants and pick.known.any():
        every = np.eye(len(pick.known))[pick.known]
        found.append(Target(name=ALL_CONSTANTS, directions=[every, *[None] * (len(laws) - 1)]))
    return found


def _direction(law: Standing, key, pick: Standing) -> np.ndarray | None:
    """(1, unknowns) of a constant; None where the law lacks it, or has another under its name."""
    if key not in law.form.names or not law.known[law.form.names.index(key)]:
        return None
    if not isinstance(key, str) and law.form.residual_text(key[0]) != pick.form.residual_text(key[0]):
        return None
    return (np.arange(len(law.form.names)) == law.form.names.index(key)).astype(float)[None]


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
