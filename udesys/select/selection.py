"""What a selection answers: the ranked laws, the pick, and what the data cannot tell apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from udesys.fit.noise_profile import Profile
from udesys.model.closed_form import Formula
from udesys.search import Candidate
from udesys.search.measurements import Measurements
from udesys.select.criterion import RIVAL
from udesys.select.refit import Refit, Refitter


@dataclass(frozen=True)
class Ranked:
    """A joint choice with its refit and criterion."""

    choice: dict[str, Candidate]
    refit: Refit
    criterion: float

    @property
    def key(self) -> tuple[str, ...]:
        return tuple(c.key for c in self.choice.values())

    @property
    def n_constants(self) -> int:
        """Estimated constants and parameters."""
        return len(self.refit.form.values)


@dataclass(frozen=True, kw_only=True)
class Selection:
    """All ranked joint choices.

    Attributes:
        ranked: refitted choices, lowest criterion first.
        diverged: choices (formula texts by term) whose simulation never reached the end.
        data: the measurements with the noise as re-estimated.
        refitter: for further refits on the same footing.
        n_refits: refits made.
        worth: (m,) independent measurements that each column's amount to.
        seconds_proposing: time spent in the engines.
        pools: term -> every candidate that was proposed for it.
        profiles: column -> how its noise grows with what is measured, where it does.
        notes: what went wrong in the engines, for the user.
        score: score(formulas) refits and ranks other formulas (term -> Formula) on the same footing; None where they
            cannot be simulated.
    """

    ranked: tuple[Ranked, ...]
    diverged: tuple[dict[str, str], ...]
    data: Measurements
    refitter: Refitter
    n_refits: int
    worth: np.ndarray
    seconds_proposing: float
    pools: Mapping[str, tuple[Candidate, ...]] = field(default_factory=dict)
    profiles: Mapping[str, Profile] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    score: Callable[[Mapping[str, Formula]], Ranked | None] | None = None

    @property
    def within_reach(self) -> tuple[Ranked, ...]:
        """What the data cannot tell apart: within `RIVAL` of the lowest criterion."""
        return within_reach(self.ranked)

    @property
    def best(self) -> Ranked:
        """The pick among them."""
        return pick(self.ranked)


def within_reach(ranked: Sequence[Ranked]) -> tuple[Ranked, ...]:
    """What the data cannot tell apart: within `RIVAL` of the lowest criterion, which comes first."""
    return tuple(r for r in ranked if r.criterion - ranked[0].criterion < RIVAL)


def pick(ranked: Sequence[Ranked]) -> Ranked:
    """The fewest constants among the laws within reach, then the lowest criterion.

    The criterion of the best of a hundred forms is low by selection alone; what the data cannot tell apart, Occam's
    razor does.
    """
    return min(within_reach(ranked), key=lambda r: (r.n_constants, r.criterion))
