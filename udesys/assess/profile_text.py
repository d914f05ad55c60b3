"""Derived quantities and profiles as lines of a law's printed text."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from udesys.assess.layout import aligned, wrapped
from udesys.assess.summary import MISSING, estimate_cells, mark_of, rounded

if TYPE_CHECKING:
    from udesys.assess.derived import Quantity
    from udesys.assess.profile import Profile

OPEN = "open"
SMALL_END = 0.01  # of the half width, below which an end is written to its own digits


def derived_lines(quantities: Mapping[str, Quantity]) -> list[str]:
    """A table of derived quantities; nothing without any.

    Args:
        quantities: by name.
    """
    if not quantities:
        return []
    header = ("Derived", "value", "+/- 95 %", "95 % interval", "expression", "")
    rows = [
        (f"  {name}", *estimate_cells(q.estimate)[:3], q.expression, mark_of(q.estimate, None))
        for name, q in quantities.items()
    ]
    return aligned(header, rows, "<>><<<")


def profile_lines(profiles: Mapping[str, Profile]) -> list[str]:
    """A table of profiles, and what is to be said of them; nothing without any.

    Args:
        profiles: by name.
    """
    if not profiles:
        return []
    header = ("Profiles", "value", "95 % by covariance", "95 % by profile", "unit")
    lines = aligned(header, [(f"  {p.name}", *profile_cells(p), p.unit) for p in profiles.values()], "<><<<")
    for p in profiles.values():
        lines += [line for note in p.notes for line in wrapped(f"    {p.name}: ", note)]
    return lines


def profile_cells(p: Profile) -> tuple[str, str, str]:
    """Value, and the two intervals, all to the digits that the narrower end of what is known allows.

    Args:
        p: a profile; an end that is open is called that.
    """
    halves = [0.5 * (p.covariance_interval[1] - p.covariance_interval[0]), *(abs(end - p.value) for end in p.interval)]
    half = min((h for h in halves if math.isfinite(h) and h > 0), default=math.nan)
    size = max(abs(p.value), half) if math.isfinite(half) else math.inf

    def one(end: float) -> str:
        finer = 0 < abs(end) < SMALL_END * half  # an end of quite another size than the value
        return rounded(end, abs(end) if finer else half, abs(end) if finer else size)

    def ends(pair: tuple[float, float], otherwise: str) -> str:
        low, high = (one(end) if math.isfinite(end) else otherwise for end in pair)
        return otherwise if low == high == otherwise else f"[{low}, {high}]"

    return rounded(p.value, half, size), ends(p.covariance_interval, MISSING), ends(p.interval, OPEN)
