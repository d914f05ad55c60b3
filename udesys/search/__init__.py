"""Symbolic regression: engines that propose formulas for a missing term, and what they share."""

from udesys.search.candidate import Candidate, Front
from udesys.search.library import Library
from udesys.search.options import SearchOptions
from udesys.search.proposing import chosen_engines, idle_engines, linearised_engines, propose
from udesys.search.task import Task

__all__ = [
    "Candidate",
    "Front",
    "Library",
    "SearchOptions",
    "Task",
    "chosen_engines",
    "idle_engines",
    "linearised_engines",
    "propose",
]
