"""An estimated number and how well it is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A number with its uncertainty.

    Attributes:
        value: the estimate, or the given value where `fixed` [`unit`].
        stderr: standard error; NaN where fixed, at a bound, or not identifiable.
        interval: 95 % confidence interval; NaNs likewise.
        fixed: given, not estimated.
        identifiable: the data determine it.
        unit: its unit.
        start: where the estimate started; None where no start was given.
        at_bound: the bound it stopped at, or None.
    """

    value: float
    stderr: float = float("nan")
    interval: tuple[float, float] = (float("nan"), float("nan"))
    fixed: bool = False
    identifiable: bool = True
    unit: str = ""
    start: float | None = None
    at_bound: float | None = None

    def to_dict(self) -> dict:
        """Plain values for JSON; what is not known is None."""
        interval = [_plain(v) for v in self.interval]
        return {
            "value": _plain(self.value),
            "stderr": _plain(self.stderr),
            "interval": interval,
            "fixed": self.fixed,
            "identifiable": self.identifiable,
            "unit": self.unit,
        }

    def __contains__(self, value: float) -> bool:
        return bool(self.interval[0] <= value <= self.interval[1])


def _plain(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
