"""Whether the pick of a selection has the true form, and what stood in the way where it has not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from udesys.bench._parallel import attempt

if TYPE_CHECKING:
    from udesys.bench._same_form import TrueTerm
    from udesys.search import Candidate
    from udesys.select import Ranked, Selection

RIGHT = "right"
FAILED = "failed"  # a fit or a selection raised
NOT_PROPOSED = "not proposed"  # the truth would win, and no candidate for a term has its true form
PRUNED = "pruned"  # it would win, all were proposed, and they were never refitted together, or from hopeless starts
OUT_RANKED = "out-ranked"  # it fits better than the pick, and its criterion is higher for its size
TIED = "tied"  # within reach of the lowest criterion, and not picked
NOT_IDENTIFIABLE = "not identifiable"  # another law has a lower criterion and follows the data as well
OUTCOMES = (RIGHT, TIED, NOT_IDENTIFIABLE, OUT_RANKED, PRUNED, NOT_PROPOSED, FAILED)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a selection is worth beside the truth.

    Attributes:
        outcome: one of `OUTCOMES`.
        listed: the true form is among the laws within reach of the lowest criterion.
        truth_delta: criterion of the true form, refitted, less the lowest one found; None where it was not scored.
        formulas: term -> the pick's formula.
        surplus: constants that the pick has more than the truth, where it is the true function for some of them; None
            where it is another one.
    """

    outcome: str
    listed: bool = False
    truth_delta: float | None = None
    formulas: dict[str, str]
    surplus: int | None = None


def failed() -> Verdict:
    """Of a discovery that raised."""
    return Verdict(outcome=FAILED, formulas={})


def judged(selection: Selection, truths: dict[str, TrueTerm], *, right: bool | None = None) -> Verdict:
    """Whether a selection's pick is right, and what stood in its way where it is not.

    Args:
        selection: what was found.
        truths: the true term for every missing one, by name.
        right: whether the pick is right, where that is known otherwise.
    """
    best, is_true = selection.best.choice, _recogniser(truths)
    formulas = {term: str(best[term]) for term in truths}
    if right is None:
        right = _all_true(selection.best, is_true)
    if right:
        return Verdict(outcome=RIGHT, listed=True, formulas=formulas, surplus=0)
    truth, _ = attempt(lambda: selection.score({term: t.formula for term, t in truths.items()}))
    contained = all(truth.contains(best[term].formula) for term, truth in truths.items())
    return Verdict(
        outcome=_obstacle(selection, truth, is_true),
        listed=any(_all_true(ranked, is_true) for ranked in selection.within_reach),
        truth_delta=None if truth is None else truth.criterion - selection.ranked[0].criterion,
        formulas=formulas,
        surplus=sum(truth.surplus(best[term].formula) for term, truth in truths.items()) if contained else None,
    )


def _obstacle(selection: Selection, truth: Ranked | None, is_true: Callable[[str, Candidate], bool]) -> str:
    from udesys.select import RIVAL

    lowest = selection.ranked[0]
    deltas = [r.criterion - lowest.criterion for r in selection.ranked if _all_true(r, is_true)]
    if truth is not None:
        deltas.append(truth.criterion - lowest.criterion)
    ranked = len(deltas) > (truth is not None)
    if deltas and min(deltas) >= RIVAL:
        asked_for = truth is not None and _gain(selection, truth, lowest) > RIVAL
        return OUT_RANKED if asked_for else NOT_IDENTIFIABLE
    if deltas and (ranked or min(deltas) >= 0):
        return TIED
    proposed = all(any(is_true(term, c) for c in pool) for term, pool in selection.pools.items())
    return PRUNED if proposed else NOT_PROPOSED


def _gain(selection: Selection, law: Ranked, other: Ranked) -> float:
    """By how much a law follows the data better than another, on the criterion's scale."""
    from udesys.select.criterion import FLOOR

    data, worth = selection.data, selection.worth
    counts = data.mask.sum(0)
    floor = FLOOR * (data.mask * np.abs(data.y)).sum(0) / np.maximum(counts, 1)
    sizes = [r.refit.weighted / np.maximum(counts, 1) + floor**2 for r in (law, other)]
    return float((worth * np.log(sizes[1] / sizes[0]))[counts > 0].sum())


def _recogniser(truths: dict[str, TrueTerm]) -> Callable[[str, Candidate], bool]:
    """Whether a term's candidate has the true form; a tree is looked at once, whatever its constants."""
    known: dict[tuple, bool] = {}

    def is_true(term: str, candidate: Candidate) -> bool:
        key = (term, candidate.formula.tree)
        if key not in known:
            known[key] = truths[term].has_form(candidate.formula)
        return known[key]

    return is_true


def _all_true(ranked: Ranked, is_true: Callable[[str, Candidate], bool]) -> bool:
    return all(is_true(term, candidate) for term, candidate in ranked.choice.items())
