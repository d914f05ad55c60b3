"""What the user may say about the search."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from udesys.errors import SearchError, did_you_mean
from udesys.model import tree as T
from udesys.search.forbidden import parse_forbidden
from udesys.search.knowledge import LARGEST_FORMULA, TermKnowledge, check_whole
from udesys.search.library import Library
from udesys.search.prior import Prior

ARITHMETIC = ("+", "-", "*", "/", "^")
OPERATORS = (*ARITHMETIC, *T.UNARY_FUNCTIONS)
LEAST_COMPLEXITY, GROWN_COMPLEXITY, LARGEST_COMPLEXITY = 7, 20, 100  # nodes of a tree


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """How formulas are searched for.

    Args:
        engines: names of engines to use; empty takes all that are ready.
        library: the terms and templates that `sparse` combines.
        max_terms: most terms a formula may have.
        max_complexity: most nodes of a formula; None limits only what an engine grows, to `GROWN_COMPLEXITY`.
        operators: what such an engine may grow formulas from; see `OPERATORS`.
        time_limit: seconds that an engine may take for one term; None leaves it to the engine.
        forbidden: combinations that must not occur: a function or operator as in "exp", one anywhere inside another as
            in "sin(exp)", or two in one additive term as in "sin*exp"; see `search.forbidden.NAMES`.
        terms: missing term, or its network -> what is known of it.
        units: name of the equations, or that of the time column -> its unit, such as "kg/m^3"; empty takes none.
        prior: over forms.

    Raises:
        SearchError: an option is not usable.
    """

    engines: Sequence[str] = ()
    library: Library = field(default_factory=Library)
    max_terms: int = 4
    max_complexity: int | None = None
    operators: Sequence[str] = ("+", "-", "*", "/", "exp", "log", "sin", "cos")
    time_limit: float | None = None
    forbidden: Sequence[str] = ()
    terms: Mapping[str, TermKnowledge] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    prior: Prior = field(default_factory=Prior)

    @property
    def grown_complexity(self) -> int:
        """Most nodes of a formula that an engine grows."""
        return GROWN_COMPLEXITY if self.max_complexity is None else self.max_complexity

    def __post_init__(self):
        check_whole("max_terms", self.max_terms, 1, LARGEST_FORMULA)
        if self.max_complexity is not None:
            check_whole("max_complexity", self.max_complexity, LEAST_COMPLEXITY, LARGEST_COMPLEXITY)
        limit = self.time_limit
        number = isinstance(limit, int | float) and not isinstance(limit, bool)
        if limit is not None and not (number and 0 < limit < math.inf):
            raise SearchError(f"time_limit = {limit!r} must be a positive number of seconds.")
        for name in ("engines", "operators", "forbidden"):
            value = getattr(self, name)
            if isinstance(value, str) or not all(isinstance(v, str) for v in value):
                raise SearchError(f"{name} = {value!r} must be a list of names.")
            object.__setattr__(self, name, tuple(value))
        for operator in self.operators:
            if operator not in OPERATORS:
                raise SearchError(f"there is no operator {operator!r}. {did_you_mean(operator, OPERATORS)}")
        for text in self.forbidden:
            parse_forbidden(text)
        if not isinstance(self.prior, Prior):
            raise SearchError(f"prior = {self.prior!r} must be a Prior.")
        _check_mapping("terms", self.terms, TermKnowledge, "a TermKnowledge")
        _check_mapping("units", self.units, str, "its unit as text")


def _check_mapping(name: str, value, kind: type, what: str) -> None:
    entries = value.items() if isinstance(value, Mapping) else [(None, None)]
    if not all(isinstance(key, str) and isinstance(entry, kind) for key, entry in entries):
        raise SearchError(f"{name} = {value!r} must be a mapping from a name to {what}.")
