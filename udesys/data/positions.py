"""Positions on a line: where the points of fields are, in long tables and in wide ones."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from udesys.data.cells import RawTable, number_text, numbers, parse_cell
from udesys.errors import DataError, did_you_mean

AT = "@"
"""Between a field and a position in the name of a wide table's column."""
SAME = 1e-6
"""Of the mean spacing, within which two positions are one."""
EVEN = 2e-7
"""Of the spacing, by which a point may be off; a grid refuses spacings that differ by five times as much."""
ROUNDED = 0.1
"""Of the spacing, which the last written digit may be where positions are even but for rounding."""
MOST_LACKING = 0.25
"""Of the points of an even line, which a table may lack."""
MOST_DIGITS = 6
"""Of a position in a name, where they tell the points apart."""
TOLD_APART = 0.01
"""Of the spacing, by which such a name may be off."""
NEAR = 0.25
"""Of the spacing, within which positions of two fields are taken for one that is written differently."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Line:
    """Evenly spaced points on a line.

    Args:
        points: (n,), increasing [the position's unit].
        labels: the points as names have them.
        places: of every position that was given, the number of its point.
    """

    points: np.ndarray
    labels: tuple[str, ...]
    places: np.ndarray


@dataclass(frozen=True, kw_only=True, eq=False)
class WideTable(RawTable):
    """A wide table, u@0.00, u@0.04, ..., as a long one, which says of its cells where they stood.

    Args:
        sources: field -> its column at each point, None where it has none.
    """

    sources: Mapping[str, tuple[str | None, ...]] = field(default_factory=dict)

    @property
    def n_points(self) -> int:
        """Rows that one row of the wide table became."""
        return len(next(iter(self.sources.values())))

    def place(self, i: int, column: str) -> str:
        """Return where cell `i` of `column` is, for a message."""
        return super().place(i, self._source(i, column))

    def error(self, message: str, *, i: int, column: str) -> DataError:
        """Return the `DataError` about cell `i` of `column`."""
        return super().error(message, i=i, column=self._source(i, column))

    def _source(self, i: int, column: str) -> str:
        return self.sources[column][i % self.n_points] or column if column in self.sources else column


def merged(values: np.ndarray, tolerance: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the different ones among numbers, increasing, and the place of each number among them.

    Args:
        values: (n,), finite.
        tolerance: to the next lower one, within which a number is the same as that.
    """
    distinct, places = np.unique(values, return_inverse=True)
    new = np.concatenate([[True], np.diff(distinct) > tolerance])
    group = np.cumsum(new) - 1
    kept = [
        min(distinct[group == k].tolist(), key=lambda v: len(repr(v))) for k in np.flatnonzero(np.bincount(group) > 1)
    ]
    first = distinct[new]
    first[np.bincount(group) > 1] = kept
    return first, group[places.ravel()]


def line_of(values: np.ndarray, position: str, source: str) -> Line:
    """Return the even points that positions stand for.

    What is even but for the rounding of its written digits becomes even, and a few points that the positions skip are
    put in.

    Args:
        values: (n,), in any order, repeated or not [the position's unit].
        position: its name.
        source: what messages call the data.

    Raises:
        DataError: they are not even, or there is one only.
    """
    values = np.asarray(values, dtype=np.float64)
    if not np.isfinite(values).all():
        raise DataError(f"the positions {position!r} must be finite numbers ({source}).", file=source, column=position)
    distinct = np.unique(values)
    found, places = merged(values, SAME * np.ptp(distinct) / max(len(distinct) - 1, 1))
    if len(found) < 2:
        message = f"there is one position only, {position} = {number_text(found[0])} ({source})."
        raise DataError(f"{message} A field needs several; without `position` it is a state.", file=source)
    span, steps = found[-1] - found[0], np.diff(found)
    unit = 10.0 ** -min(_decimals(found), 300)
    for spacing in (span / len(steps), np.median(steps), steps.min()):
        intervals = round(span / spacing)
        if intervals + 1 - len(found) > MOST_LACKING * (intervals + 1):
            continue
        h = span / intervals
        index = np.rint((found - found[0]) / h).astype(int)
        off = np.abs(found - found[0] - index * h).max()
        if len(np.unique(index)) < len(index) or off > max(EVEN * h, unit if unit <= ROUNDED * h else 0.0):
            continue
        points = np.array([float(f"{p:.15g}") for p in found[0] + h * np.arange(intervals + 1)])
        written = points.copy()
        written[index] = found
        points = written if off <= EVEN * h else points
        points[[0, -1]] = found[[0, -1]]
        return Line(points=points, labels=_labels(written, h), places=index[places])
    usual = np.sort(steps)[len(steps) // 2]
    k = int(np.argmax(np.abs(steps - usual))) + 1
    message = f"positions must be evenly spaced, but {position} = {number_text(found[k])} follows {position} = "
    message += f"{number_text(found[k - 1])}, where {usual:.6g} is the usual distance ({source}). "
    advice = "Correct it, leave odd ones out, or interpolate the measurements to even positions."
    raise DataError(message + advice, file=source, column=position)


def long_form(table: RawTable, position: str) -> RawTable:
    """Return a table with a column of positions: as it is, or a wide one made long.

    Args:
        table: with the column `position`, or with columns such as u@0.5.
        position: its name.

    Raises:
        DataError: there are neither, or both, or the columns of fields do not fit together.
    """
    fields = wide_columns(table)
    if position in table.columns:
        if fields:
            first = next(iter(next(iter(fields.values()))))
            message = f"{table.source} has a column {position!r} and columns such as {first!r}. "
            advice = f"Rename {position!r}, or leave those columns out."
            raise DataError(message + advice, file=table.source, column=position)
        return table
    if not fields:
        hint = did_you_mean(position, table.columns, listed="Its columns are")
        message = f"{table.source} has no column {position!r} (`position`), and no columns of a field at a position"
        raise DataError(f"{message}, such as u{AT}0.5. {hint}", file=table.source, column=position)
    at, sources = _common_points(table, fields)
    n, n_rows = len(at), len(table.rows)
    taken = {column for found in fields.values() for column in found}
    columns = {name: _repeated(cells, n) for name, cells in table.columns.items() if name not in taken}
    for name in fields:
        if name in columns:
            message = f"{table.source} has a column {name!r} and columns such as {name}{AT}{at[0]:g}. Rename one."
            raise DataError(message, file=table.source, column=name)
    columns |= {position: np.tile(at, n_rows)} | {name: _interleaved(table, sources[name]) for name in fields}
    rows = [row for row in table.rows for _ in range(n)]
    return WideTable(
        source=table.source,
        columns=columns,
        rows=rows,
        row_word=table.row_word,
        sha256=table.sha256,
        sources=sources,
    )


def wide_columns(table: RawTable) -> dict[str, dict[str, float]]:
    """Return field -> its columns -> their positions, of the columns named like u@0.5.

    Args:
        table: its cells.

    Raises:
        DataError: a position is no number, or one field has it twice.
    """
    found: dict[str, dict[str, float | None]] = {}
    for column in table.columns:
        name, mark, text = column.rpartition(AT)
        if mark and name.strip() and text.strip():
            found.setdefault(name.strip(), {})[column] = parse_cell(text.strip())
    fields = {name: at for name, at in found.items() if any(v is not None for v in at.values())}
    for name, at in fields.items():
        seen: dict[float, str] = {}
        for column, value in at.items():
            if value is None or not np.isfinite(value):
                message = f"the position of column {column!r} is not a number ({table.source})."
                raise DataError(f"{message} Write it as in {name}{AT}0.5.", file=table.source, column=column)
            if value in seen:
                message = f"columns {seen[value]!r} and {column!r} of {table.source} are at the same position."
                raise DataError(f"{message} Keep one.", file=table.source, column=column)
            seen[value] = column
    return fields


def _common_points(
    table: RawTable, fields: dict[str, dict[str, float]]
) -> tuple[np.ndarray, dict[str, tuple[str | None, ...]]]:
    """Return the positions of all fields, and each field's column at each of them."""
    given = np.array([value for at in fields.values() for value in at.values()])
    distinct = np.unique(given)
    at, places = merged(given, SAME * np.ptp(distinct) / max(len(distinct) - 1, 1))
    sources, rest = {}, iter(places.tolist())
    for name, columns in fields.items():
        there = {next(rest): column for column in columns}
        sources[name] = tuple(there.get(k) for k in range(len(at)))
        if len(there) < len(columns):
            message = f"two columns of {name!r} in {table.source} are at nearly the same position. Keep one."
            raise DataError(message, file=table.source)
    usual = np.median([step for c in fields.values() for step in np.diff(np.sort(list(c.values())))] or [0.0])
    for k in range(1, len(at)):
        one, other = ([name for name in fields if sources[name][j]] for j in (k - 1, k))
        if at[k] - at[k - 1] < NEAR * usual and not set(one) & set(other):
            first, second = sources[one[0]][k - 1], sources[other[0]][k]
            message = f"the positions of columns {first!r} and {second!r} of {table.source} are nearly the same."
            raise DataError(f"{message} Write one position in one way.", file=table.source, column=second)
    return at, sources


def _repeated(cells: list[str] | np.ndarray, n: int) -> list[str] | np.ndarray:
    """Return every cell n times."""
    return np.repeat(cells, n) if isinstance(cells, np.ndarray) else [cell for cell in cells for _ in range(n)]


def _interleaved(table: RawTable, sources: Sequence[str | None]) -> list[str] | np.ndarray:
    """Return the cells of a field row by row, within a row by position; empty where it has no column."""
    parts = [None if column is None else table.columns[column] for column in sources]
    if all(part is None or isinstance(part, list) for part in parts):
        empty = [""] * len(table.rows)
        return [cell for row in zip(*(empty if part is None else part for part in parts), strict=True) for cell in row]
    nothing = np.full(len(table.rows), np.nan)
    return np.stack([nothing if c is None else numbers(table, c) for c in sources], 1).ravel()


def _decimals(values: np.ndarray) -> int:
    """Return how many digits after the point the numbers are written with."""
    return max(len(f"{v:.15g}".partition("e")[0].partition(".")[2]) + _exponent(f"{v:.15g}") for v in values.tolist())


def _exponent(text: str) -> int:
    return -int(text.partition("e")[2] or 0)


def _labels(points: np.ndarray, spacing: float) -> tuple[str, ...]:
    """Return the shortest texts that are the points, or tell them apart where they have many digits."""
    for digits in range(1, 18):
        labels = tuple(f"{float(f'{p:.{digits}g}') + 0.0:.15g}" for p in points.tolist())
        off = np.abs(np.array(labels, dtype=float) - points).max() / spacing
        if off <= SAME or (digits >= MOST_DIGITS and off <= TOLD_APART):
            return labels
    return labels
