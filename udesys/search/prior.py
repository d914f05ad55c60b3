"""The prior over forms: a description length in tiers.

With hundreds of terms many forms have as many constants and fit nearly as well; no count of constants tells
them apart. A monomial of low degree is what laws are most often made of and is cheapest; higher degrees cost
more; anything else costs by its size. The tiers were set on Lotka-Volterra and a dozen hybrid systems.
"""

from __future__ import annotations

from collections.abc import Iterable

from udesys.model import tree as T
from udesys.search.library import monomial_degree

LOW_DEGREE, THIRD_DEGREE, HIGH_DEGREE = 1.8, 3.4, 4.2  # nats for a monomial of degree <= 2, 3, above
OTHER, PER_NODE, FREE_NODES = 3.4, 0.5, 3  # nats for any other term, and for each node beyond three


def description_length(terms: Iterable[T.Tree]) -> float:
    """Nats to name a sum of terms, without its coefficients."""
    return sum(term_length(term) for term in terms)


def term_length(term: T.Tree) -> float:
    """Nats to name one term."""
    degree = monomial_degree(term)
    if degree is None:
        nodes = sum(1 for node in T.walk(term) if not isinstance(node, T.Number))
        return OTHER + PER_NODE * max(nodes - FREE_NODES, 0)
    return LOW_DEGREE if degree <= 2 else THIRD_DEGREE if degree <= 3 else HIGH_DEGREE
