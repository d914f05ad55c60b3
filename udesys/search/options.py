"""What the user may say about the search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from udesys.errors import SearchError
from udesys.search.library import Library

LARGEST_FORMULA = 8


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """How formulas are searched for.

    Args:
        engines: names of engines to use; empty takes all that are ready.
        library: the terms `sparse` combines.
        max_terms: most terms a formula may have.

    Raises:
        SearchError: `engines` is no list of names, or `max_terms` is not usable.
    """

    engines: Sequence[str] = ()
    library: Library = field(default_factory=Library)
    max_terms: int = 4

    def __post_init__(self):
        whole = isinstance(self.max_terms, int) and not isinstance(self.max_terms, bool)
        if not whole or not 1 <= self.max_terms <= LARGEST_FORMULA:
            raise SearchError(f"max_terms = {self.max_terms!r} must be a whole number from 1 to {LARGEST_FORMULA}.")
        if isinstance(self.engines, str) or not all(isinstance(name, str) for name in self.engines):
            raise SearchError(f"engines = {self.engines!r} must be a list of names.")
        object.__setattr__(self, "engines", tuple(self.engines))
