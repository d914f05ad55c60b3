"""Parameters: numbers of the known law, fixed or to be estimated."""

from __future__ import annotations

import math
from dataclasses import dataclass

from udesys.errors import ModelError


@dataclass(frozen=True)
class Parameter:
    """A named constant of the known law.

    Args:
        start: value where the estimate starts, or the value itself where `fixed` [own unit]; None lets the
            fit find a start.
        bounds: (lowest, highest) value allowed; None or an infinity leaves a side open.
        unit: printed beside the value.
        fixed: keep the value.

    Raises:
        ModelError: a value is not finite, the bounds are no interval, or the start lies outside them.
    """

    start: float | None = None
    bounds: tuple[float, float] = (-math.inf, math.inf)
    unit: str = ""
    fixed: bool = False

    def __post_init__(self):
        low, high = self._checked_bounds()
        object.__setattr__(self, "bounds", (low, high))
        if self.start is None:
            if self.fixed:
                raise ModelError("a fixed parameter needs a value.")
            return
        if not is_number(self.start) or not math.isfinite(self.start):
            raise ModelError(f"start = {self.start!r} is not a finite number. Give one.")
        object.__setattr__(self, "start", float(self.start))
        if not low <= self.start <= high:
            raise ModelError(
                f"start = {self.start:g} lies outside its bounds [{low:g}, {high:g}]. "
                "Move the start or widen the bounds."
            )

    def _checked_bounds(self) -> tuple[float, float]:
        try:
            low, high = self.bounds
            low = -math.inf if low is None else low
            high = math.inf if high is None else high
        except (TypeError, ValueError):
            raise ModelError(f"bounds = {self.bounds!r} is no pair. Write two numbers, as in [0, 5].") from None
        if not (is_number(low) and is_number(high)) or math.isnan(low) or math.isnan(high) or not low < high:
            raise ModelError(f"bounds = [{low}, {high}] is no interval. The first must be below the second.")
        return float(low), float(high)

    @property
    def guess(self) -> float:
        """The start, or a plain value inside the bounds where none was given."""
        if self.start is not None:
            return self.start
        low, high = self.bounds
        if low < 1.0 < high:
            return 1.0
        if math.isfinite(low) and math.isfinite(high):
            return 0.5 * (low + high)
        return low + 1.0 if math.isfinite(low) else high - 1.0


def is_number(value) -> bool:
    """Whether the value is an int or float that float64 can hold."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    try:
        float(value)
    except OverflowError:  # an integer of more than 308 digits
        return False
    return True
