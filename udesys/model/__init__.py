"""From equation text to a checked model: trees, parameters, networks, and their evaluators."""

from udesys.model.grid import Grid
from udesys.model.hybrid import HybridODE, Slot
from udesys.model.network import Network
from udesys.model.parameter import Parameter

__all__ = ["Grid", "HybridODE", "Network", "Parameter", "Slot"]
