"""What the user may say about the search."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from udesys.errors import SearchError, did_you_mean
from udesys.model import tree as T
from udesys.search.library import Library

LARGEST_FORMULA = 8
ARITHMETIC = ("+", "-", "*", "/", "^")
OPERATORS = (*ARITHMETIC, *T.UNARY_FUNCTIONS)
LEAST_COMPLEXITY, LARGEST_COMPLEXITY = 7, 100  # nodes of a tree


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """How formulas are searched for.

    Args:
        engines: names of engines to use; empty takes all that are ready.
        library: the terms and templates that `sparse` combines.
        max_terms: most terms a formula may have.
        max_complexity: most nodes of a formula that an engine grows.
        operators: what such an engine may grow formulas from; see `OPERATORS`.
        time_limit: seconds that an engine may take for one term; None leaves it to the engine.

    Raises:
        SearchError: an option is not usable.
    """

    engines: Sequence[str] = ()
    library: Library = field(default_factory=Library)
    max_terms: int = 4
    max_complexity: int = 20
    operators: Sequence[str] = ("+", "-", "*", "/", "exp", "log", "sin", "cos")
    time_limit: float | None = None

    def __post_init__(self):
        _check_whole("max_terms", self.max_terms, 1, LARGEST_FORMULA)
        _check_whole("max_complexity", self.max_complexity, LEAST_COMPLEXITY, LARGEST_COMPLEXITY)
        limit = self.time_limit
        number = isinstance(limit, int | float) and not isinstance(limit, bool)
        if limit is not None and not (number and 0 < limit < math.inf):
            raise SearchError(f"time_limit = {limit!r} must be a positive number of seconds.")
        for name in ("engines", "operators"):
            value = getattr(self, name)
            if isinstance(value, str) or not all(isinstance(v, str) for v in value):
                raise SearchError(f"{name} = {value!r} must be a list of names.")
            object.__setattr__(self, name, tuple(value))
        for operator in self.operators:
            if operator not in OPERATORS:
                raise SearchError(f"there is no operator {operator!r}. {did_you_mean(operator, OPERATORS)}")


def _check_whole(name: str, value, low: int, high: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise SearchError(f"{name} = {value!r} must be a whole number from {low} to {high}.")
