"""Cells to numbers: the one place that decides what a number is, what is missing, what is refused."""

import contextlib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from udesys.errors import DataError

MISSING = frozenset({"", "na", "n/a", "#n/a", "nan", "-nan", "null"})
"""Cells that stand for a missing value, in lower case; R, NumPy, C and spreadsheets write these."""
QUOTED_LENGTH = 40
LEAVE_EMPTY = "Leave the cell empty if the value is missing."

LONGEST_NUMBER = 100
"""Characters of a cell that may be a number in another notation; a longer one is not looked at."""

_NUMBER = r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?"
_THOUSANDS = re.compile(r"[+-]?\d{1,3}(?:[,_ '\u00a0\u202f]\d{3})+(?:\.\d*)?")
_DECIMAL_COMMA = re.compile(r"[+-]?(?:\d+,\d*|,\d+)(?:[eE][+-]?\d+)?")
_DATE = re.compile(r"\d{1,4}([-/.])\d{1,2}\1\d{1,4}.*|\d{1,2}:\d{2}.*")
_WITH_UNIT = re.compile(rf"({_NUMBER})\s*[^\d\s.,_].*")
_UNIT_AFTER_SPACE = re.compile(rf"{_NUMBER} \S{{1,6}}")


@dataclass(frozen=True, kw_only=True, eq=False)
class RawTable:
    """A table whose cells are not yet numbers; every reader makes one and `assemble` takes it.

    Args:
        source: what the user calls the table: the file name, or "frame".
        columns: column name -> its cells, as text (list of str) or as a numeric array (rows,).
        rows: what the user calls each row: line numbers of a file, index labels of a frame.
        row_word: the word before an entry of `rows`.
        sha256: of the raw file bytes; empty for a frame.
    """

    source: str
    columns: dict[str, list[str] | np.ndarray]
    rows: Sequence
    row_word: str = "row"
    sha256: str = ""

    def place(self, i: int, column: str) -> str:
        """Return where cell `i` of `column` is, for a message."""
        return f"{self.source}, {self.row_word} {self.rows[i]}, column {column!r}"

    def error(self, message: str, *, i: int, column: str) -> DataError:
        """Return the `DataError` about cell `i` of `column`."""
        return DataError(message, file=self.source, row=self.rows[i], column=column)


def parse_cell(cell: str) -> float | None:
    """Return the number a text cell holds, NaN where the value is missing, None where it is neither."""
    if "_" in cell:  # float() reads "1_000" as 1000, which is Python's habit and no table's
        return None
    try:
        return float(cell)
    except ValueError:
        return float("nan") if cell.lower() in MISSING else None


def numbers(table: RawTable, column: str, *, advice: str = "") -> np.ndarray:
    """Return one column as float64 (rows,), NaN where a value is missing.

    Args:
        table: the table.
        column: one of its columns.
        advice: a sentence to add to a refusal.

    Raises:
        DataError: a cell is neither a number nor missing, or is infinite.
    """
    cells = table.columns[column]
    if isinstance(cells, np.ndarray):
        values = cells.astype(np.float64)
    else:
        parsed = _parsed(cells)
        if None in parsed:
            i = parsed.index(None)
            message = (
                f"{_quoted(cells[i])} is not a number ({table.place(i, column)}). {_hint(cells[i])}{advice}"
            )
            raise table.error(message, i=i, column=column)
        values = np.array(parsed, dtype=np.float64)
    infinite = np.isinf(values)
    if infinite.any():
        i = int(np.argmax(infinite))
        message = f"{cells[i]} is infinite ({table.place(i, column)}). {LEAVE_EMPTY}{advice}"
        raise table.error(message, i=i, column=column)
    return values


def _parsed(cells: list[str]) -> list[float | None]:
    """Return `parse_cell` of each cell; where all are plain numbers, at a third of its cost."""
    if not any("_" in cell for cell in cells):
        with contextlib.suppress(ValueError):
            return list(map(float, cells))
    return [parse_cell(cell) for cell in cells]


def labels(table: RawTable, column: str) -> list[str]:
    """Return one column as trajectory names; whole numbers read "1", never "1.0".

    Raises:
        DataError: a cell is empty.
    """
    cells = table.columns[column]
    if isinstance(cells, np.ndarray):
        names = [_number_label(value) for value in cells.tolist()]
    else:
        names = cells
    if "" in names:
        i = names.index("")
        message = f"the trajectory is missing ({table.place(i, column)}). Fill the cell, or delete the row."
        raise table.error(message, i=i, column=column)
    return names


def is_text(cells: list[str] | np.ndarray) -> bool:
    """Return whether a column holds only words, or nothing.

    A column of numbers written in a way that is refused (decimal commas, "3 mm") is not text:
    leaving it out in silence would lose a measurement.
    """
    if isinstance(cells, np.ndarray):
        return bool(np.isnan(cells.astype(np.float64)).all())
    if any(cell.lower() not in MISSING and parse_cell(cell) is not None for cell in cells):
        return False
    filled = [cell for cell in cells if cell.lower() not in MISSING]
    return not filled or not all(_is_refused_number(cell) for cell in filled)


def first_repeated(names: Sequence[str]) -> str | None:
    """Return the first name that occurs again later, or None where all differ."""
    counts = Counter(names)
    return next((name for name in names if counts[name] > 1), None)


def number_text(value: float) -> str:
    """Return a number as a message shows it: 15 digits, so that neighbours stay distinct."""
    return f"{value:.15g}"


def _number_label(value: float) -> str:
    if value != value:
        return ""
    return str(int(value)) if float(value).is_integer() else repr(value)


def _is_refused_number(cell: str) -> bool:
    forms = (_THOUSANDS, _DECIMAL_COMMA, _UNIT_AFTER_SPACE)
    return len(cell) <= LONGEST_NUMBER and any(form.fullmatch(cell) for form in forms)


def _quoted(cell: str) -> str:
    return repr(cell if len(cell) <= QUOTED_LENGTH else cell[:QUOTED_LENGTH] + "...")


def _hint(cell: str) -> str:
    """Return what to do about a cell that is not a number."""
    if len(cell) > LONGEST_NUMBER:
        return LEAVE_EMPTY
    if _THOUSANDS.fullmatch(cell):
        return "Write numbers without thousands separators, and decimals with a point."
    if _DECIMAL_COMMA.fullmatch(cell):
        return f"Write decimals with a point: {cell.replace(',', '.')}."
    if _DATE.fullmatch(cell):
        return "Write dates and times as numbers, such as the days or seconds since the start."
    if with_unit := _WITH_UNIT.fullmatch(cell):
        return f"Write the number alone ({with_unit[1]}) and the unit in the header."
    return LEAVE_EMPTY
