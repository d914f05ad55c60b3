"""What long work tells of itself on the way: progress(stage, step, value)."""

from __future__ import annotations


class Portion(str):
    """A text about a stage that also says how much of it is done at most.

    Attributes:
        share: from 0 to 1; a stage may end sooner, never later.
    """

    share: float

    def __new__(cls, text: str, share: float) -> Portion:
        portion = super().__new__(cls, text)
        portion.share = min(max(float(share), 0.0), 1.0)
        return portion
