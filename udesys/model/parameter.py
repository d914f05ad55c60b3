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
        prior: (mean, standard deviation) of what is known of the value from elsewhere [own unit]; None where nothing
            is. The estimate weighs it against the data.

    Raises:
        ModelError: a value is not finite, the bounds are no interval, the start lies outside them, or the prior is
            no mean and standard deviation.
    """

    start: float | None = None
    bounds: tuple[float, float] = (-math.inf, math.inf)
    unit: str = ""
    fixed: bool = False
    prior: tuple[float, float] | None = None

    def __post_init__(self):
        low, high = self._checked_bounds()
        object.__setattr__(self, "bounds", (low, high))
        object.__setattr__(self, "prior", self._checked_prior())
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

    def _checked_prior(self) -> tuple[float, float] | None:
        if self.prior is None:
            return None
        form = "Write its mean and standard deviation, as in [1.2, 0.1]."
        try:
            mean, sd = self.prior
        except (TypeError, ValueError):
            raise ModelError(f"prior = {self.prior!r} is no pair. {form}") from None
        for value in (mean, sd):
            if not is_number(value) or not math.isfinite(value):
                raise ModelError(f"prior = [{mean!r}, {sd!r}] holds {value!r}, which is no finite number. {form}")
        if not sd > 0:
            raise ModelError(f"prior = [{mean:g}, {sd:g}] has a standard deviation that is not positive. {form}")
        if self.fixed:
            raise ModelError("a fixed parameter has no prior: its value is known. Remove the prior, or do not fix it.")
        return float(mean), float(sd)

    @property
    def guess(self) -> float:
        """The start; the prior's mean, moved into the bounds, or a plain value inside them where none was given."""
        if self.start is not None:
            return self.start
        low, high = self.bounds
        if self.prior is not None:
            return min(max(self.prior[0], low), high)
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
