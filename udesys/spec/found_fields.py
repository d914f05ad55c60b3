"""Whether an unknown table holds fields on a line, and one point of it, from which its columns are guessed."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from udesys.data.cells import RawTable, is_text, numbers
from udesys.data.positions import line_of, long_form, wide_columns
from udesys.errors import DataError
from udesys.model.grid import LEAST_POINTS
from udesys.spec.guessing import guess_roles
from udesys.spec.vocabulary import POSITIONS, Guess, columns_said, shown, time_score, words

EVERYWHERE = "at every position"
COORDINATE = "x"  # of wide tables, unless a column is called so


@dataclass(frozen=True, kw_only=True)
class FoundFields:
    """Fields in a table.

    Attributes:
        position: the column of positions, or the coordinate's name.
        n_points: how many there are.
        whole: the table in long form.
        sample: the rows of one point, without the position.
        fields: columns that differ between points and change in time -> where they stand, in words.
        in_columns: the table is a wide one.
    """

    position: str
    n_points: int
    whole: RawTable
    sample: RawTable
    fields: Mapping[str, str]
    in_columns: bool

    def guesses(self, said: Mapping[str, str]) -> tuple[Guess, ...]:
        """What the columns are, from what they are at one point.

        Args:
            said: column -> what the user says that it is.

        Raises:
            DataError: as `guess_roles`.
        """
        known = {name: "state" for name in self.fields if name in self.sample.columns} | dict(said)
        made = []
        for guess in guess_roles(self.sample, known):
            if guess.column in self.fields and guess.column not in said:
                guess = replace(guess, why=f"changes in time, {self.fields[guess.column]}", said=False)
            elif guess.role in ("state", "velocity") and guess.column not in said:
                guess = replace(guess, role="left out", why="changes in time, but is the same at all positions")
            made.append(replace(guess, second_order=False))
        if not self.in_columns:
            why = f"its name, and every time has the same {self.n_points}"
            made.append(Guess(column=self.position, role="position", why=why))
        return tuple(made)


def find_fields(table: RawTable, said: Mapping[str, str]) -> FoundFields | None:
    """Look for columns such as u@0.5, or for a column of positions.

    Args:
        table: its cells.
        said: column -> what the user says that it is.

    Returns:
        The fields, or None where the table holds none.

    Raises:
        DataError: there are columns such as u@0.5 that do not fit together.
    """
    wide = wide_columns(table)
    if wide:
        position = next(n for n in (COORDINATE, "position", "position_on_line") if n not in {*table.columns, *wide})
    else:
        position = _position(table, said)
        if position is None:
            return None
    whole = long_form(table, position)
    line = line_of(numbers(whole, position), position, table.source)
    spread = _spread(whole, line.places, position)
    if wide:
        fields = {name: f"in {len(at)} columns {_first_and_last(at)}" for name, at in wide.items()}
    else:
        fields = dict.fromkeys((c for c in spread if spread[c].any() and _differs(whole, line.places, c)), EVERYWHERE)
    moved = sum(part / (part.max() or 1.0) for name, part in spread.items() if name in fields)
    rows = np.flatnonzero(line.places == np.argmax(moved))
    cells = {name: _taken(column, rows) for name, column in whole.columns.items() if name != position}
    sample = replace(table, columns=cells, rows=[whole.rows[i] for i in rows])
    given = {"position": position, "n_points": len(line.points), "whole": whole, "sample": sample}
    return FoundFields(**given, fields=fields, in_columns=bool(wide))


def _first_and_last(at: Mapping[str, float]) -> str:
    ordered = sorted(at, key=at.__getitem__)
    return f"{shown(ordered[0])[1:-1]} to {shown(ordered[-1])[1:-1]}"


def _spread(table: RawTable, places: np.ndarray, position: str) -> dict[str, np.ndarray]:
    """Column of numbers -> (points,) by how much it changes at each point."""
    found = {}
    for column in table.columns:
        if column == position or is_text(table.columns[column]):
            continue
        with contextlib.suppress(DataError):
            x = numbers(table, column)
            found[column] = np.zeros(places.max() + 1)
            for k in np.unique(places[np.isfinite(x)]):
                found[column][k] = np.ptp(x[np.isfinite(x) & (places == k)])
    return found


def _differs(table: RawTable, places: np.ndarray, column: str) -> bool:
    """Whether a column of a table, whose points have the same times, is not the same at all of them."""
    x = numbers(table, column)
    first = x[places == 0]
    return any((np.abs(x[places == k] - first) > 0).any() for k in np.unique(places))


def _taken(cells: list[str] | np.ndarray, rows: np.ndarray) -> list[str] | np.ndarray:
    return cells[rows] if isinstance(cells, np.ndarray) else [cells[i] for i in rows]


def _position(table: RawTable, said: Mapping[str, str]) -> str | None:
    """The column that is named like a position and has the same even values at each time."""
    asked = columns_said(said, "time")
    times = asked or [c for c in table.columns if time_score(c) > 0]
    for column in table.columns:
        if column in said or column in times or not set(words(column)) & POSITIONS or is_text(table.columns[column]):
            continue
        try:
            x, t = numbers(table, column), numbers(table, times[0]) if times else None
            places = line_of(x, column, table.source).places
        except DataError:
            continue
        if t is None or np.isnan(t).any() or len(np.unique(places)) < LEAST_POINTS:
            continue
        ordered = [t[places == place] for place in np.unique(places)]
        several = len(ordered[0]) > 1 and np.ptp(ordered[0]) > 0
        if several and all(np.array_equal(part, ordered[0]) for part in ordered):
            return column
    return None
