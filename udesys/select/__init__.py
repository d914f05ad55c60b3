"""The joint choice of formulas by re-simulation and refit on the raw data."""

from udesys.select.criterion import RIVAL, criterion
from udesys.select.ranking import select
from udesys.select.refit import Refit, Refitter
from udesys.select.selection import Ranked, Selection

__all__ = ["RIVAL", "Ranked", "Refit", "Refitter", "Selection", "criterion", "select"]
