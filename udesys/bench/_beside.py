"""What studies of hybrids beside their laws have in common: the cases of their runs, and errors in words."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Protocol

WHOSE = ("hybrid", "law")


class HasCase(Protocol):
    """A run of a case."""

    case: str


def cases_of(runs: Sequence[HasCase]) -> list[str]:
    """The cases of some runs, each once, in their order."""
    return list(dict.fromkeys(run.case for run in runs))


def spread(errors: Sequence[float], unit: str = " %") -> str:
    """The median of errors, and the largest where there are several.

    Args:
        errors: infinite where nothing was found.
        unit: put behind each.
    """
    middle, largest = (
        f"{e:.2g}{unit}" if math.isfinite(e) else "not found" for e in (statistics.median(errors), max(errors))
    )
    return middle if len(errors) == 1 else f"{middle}, at most {largest}"
