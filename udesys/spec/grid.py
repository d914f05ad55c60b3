"""The section [grid]: the position of fields on a line, and what holds at its ends."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from udesys.data.cells import RawTable, numbers
from udesys.data.fields import positions_of
from udesys.data.positions import long_form
from udesys.data.table import read_raw
from udesys.model import Grid
from udesys.spec.section import Section


def read_grid(section: Section, data: Section, home: Path) -> tuple[Grid, RawTable]:
    """Read the section, and the points from the data file.

    Args:
        section: the section [grid].
        data: the section [data].
        home: the folder that the file is relative to.

    Returns:
        The grid, and the table in long form.

    Raises:
        ModelError: a key is missing or of the wrong kind, the ends are unknown, or the points are too few.
        DataError: the file cannot be read, or holds no evenly spaced positions.
    """
    position = section.need("position", str)
    ends = section.table.get("ends", "periodic")
    if not isinstance(ends, str):
        ends = dict(section.typed(ends, dict, "ends in [grid], where it is no text,"))
        for field, kind in ends.items():
            section.typed(kind, str, f"ends.{field} in [grid]")
    with section.naming("[grid] "):
        table = long_form(read_raw(home / data.need("file", str)), position)
        points = positions_of(table, numbers(table, position), position).points
        return Grid(tuple(points.tolist()), ends, position), table


def resolved_grid(grid: Grid) -> dict:
    """The section with everything written out.

    Args:
        grid: as it was read.
    """
    return {"position": grid.name, "ends": dict(grid.ends) if isinstance(grid.ends, Mapping) else grid.ends}
