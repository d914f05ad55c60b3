"""Built-in systems with a known truth: one file each, found by listing this folder."""

from udesys.systems.base import System
from udesys.systems.generate import get_system, list_systems, list_tables, make_data, simulate, write_system

__all__ = ["System", "get_system", "list_systems", "list_tables", "make_data", "simulate", "write_system"]
