"""Which candidates of several terms are worth trying together."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence

from udesys.search import Candidate
from udesys.select.selection import Ranked

LEADERS = 3  # of each size
MOST_TOGETHER, MOST_SHARED = 48, 8
MOST_COMBINED = 40
MOST_ORDERED = 10_000  # combinations put in order

Pools = Mapping[str, Sequence[Candidate]]


def leaders(pool: Sequence[Candidate], sizes: Sequence[int] = (1, 2)) -> list[Candidate]:
    """The best few of each number of terms, then of the whole pool."""
    by_size = [c for size in sizes for c in [c for c in pool if len(c.parts) == size][:LEADERS]]
    return list({c.key: c for c in (*by_size, *pool[:LEADERS])}.values())


def joint_starts(pools: Pools) -> Iterator[dict[str, Candidate]]:
    """Choices that a coordinate search can miss.

    The leaders of each small size in every combination, and one form shared by all terms, which the prior favours
    and no term's own pool needs to lead with.
    """
    short = {term: leaders(pool) for term, pool in pools.items()}
    yield from itertools.islice(_by_rank(short), MOST_TOGETHER)
    if len(pools) > 1:
        yield from _shared(pools)


def near_choices(best: Ranked, seen: Sequence[Ranked], reach: float) -> Iterator[dict[str, Candidate]]:
    """Alternatives near the best in one term each, put together, so that no rival is missed."""
    near: dict[str, list[Candidate]] = {}
    for term in best.choice:
        others = [r for r in seen if r.criterion - best.criterion < reach and _differs_only_in(r, best, term)]
        others.sort(key=lambda r: r.criterion)
        near[term] = [best.choice[term], *(r.choice[term] for r in others)]
    yield from itertools.islice(_by_rank(near), MOST_COMBINED)


def _by_rank(pools: Pools) -> Iterator[dict[str, Candidate]]:
    """Every combination, those of the best places first; with many terms only the heads of the pools."""
    lengths = [len(pool) for pool in pools.values()]
    while math.prod(lengths) > MOST_ORDERED:
        lengths[lengths.index(max(lengths))] -= 1
    for places in sorted(itertools.product(*map(range, lengths)), key=sum):
        yield {term: pools[term][k] for term, k in zip(pools, places, strict=True)}


def _shared(pools: Pools) -> Iterator[dict[str, Candidate]]:
    """The best choices in which every term has the same form."""
    by_key = {term: {c.key: c for c in pool} for term, pool in pools.items()}
    common = set.intersection(*(set(forms) for forms in by_key.values()))
    ordered = sorted(common, key=lambda key: (sum(forms[key].score for forms in by_key.values()), key))
    for key in ordered[:MOST_SHARED]:
        yield {term: forms[key] for term, forms in by_key.items()}


def _differs_only_in(a: Ranked, b: Ranked, term: str) -> bool:
    return all((a.choice[t].key == b.choice[t].key) != (t == term) for t in b.choice)
