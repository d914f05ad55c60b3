"""A raw table to a Dataset: choose the columns, convert the cells, group the rows, check the times."""

from collections.abc import Mapping, Sequence

import numpy as np

from udesys.data.cells import RawTable, is_text, labels, number_text, numbers, parse_cell
from udesys.data.dataset import Dataset, Trajectory, first_not_increasing
from udesys.errors import DataError, did_you_mean, shortened

SOLE_TRAJECTORY = "0"
"""The name of the only trajectory of a table without a trajectory column."""


def assemble(
    table: RawTable,
    *,
    time: str,
    trajectory: str | None,
    columns: Mapping[str, str] | Sequence[str] | None,
) -> Dataset:
    """Turn a raw table into a checked Dataset.

    Args:
        table: the cells.
        time: the column of times.
        trajectory: the column that separates runs; their rows may be interleaved.
        columns: model name -> column, or names, or None for every column of numbers.

    Raises:
        DataError: a column is missing or used twice, a cell is refused, or a time does not increase.
    """
    if not len(table.rows):
        raise DataError(f"{table.source} has no rows of data.", file=table.source)
    _check_roles(table, time, trajectory)
    chosen = _choose(table, {time, trajectory}, columns)
    advice = " Or name the columns to use with `columns`." if columns is None else ""
    t = _times(table, time)
    y = np.column_stack([numbers(table, column, advice=advice) for column in chosen.values()])
    runs = _group(labels(table, trajectory)) if trajectory else {SOLE_TRAJECTORY: np.arange(len(t))}
    for name, rows in runs.items():
        _check_increasing(table, t, rows, time, run=name if trajectory else None)
    return Dataset(
        columns=tuple(chosen),
        trajectories=tuple(Trajectory(name=name, t=t[rows], y=y[rows]) for name, rows in runs.items()),
        time=time,
        source=table.source,
        sha256=table.sha256,
    )


def _check_roles(table: RawTable, time: str, trajectory: str | None) -> None:
    """Refuse a time or trajectory column that the table lacks, or one column as both."""
    _check_present(table, time, role="time")
    if trajectory is None:
        return
    _check_present(table, trajectory, role="trajectory")
    if trajectory == time:
        message = f"column {time!r} of {table.source} is given as `time` and as `trajectory`."
        raise DataError(f"{message} Choose two columns.", file=table.source, column=time)


def _check_present(table: RawTable, column: str, *, role: str) -> None:
    if column in table.columns:
        return
    known = list(table.columns)
    hint = did_you_mean(str(column), known, listed="Its columns are")
    message = f"{table.source} has no column {column!r} (`{role}`). {hint}"
    if all(parse_cell(name) is not None for name in known):
        message += " The first row must name the columns."
    elif len(known) == 1:
        message += " Separate columns with a comma or a semicolon, or with a tab in a .tsv or .txt file."
    raise DataError(message, file=table.source, column=str(column))


def _choose(table: RawTable, taken: set, columns: Mapping[str, str] | Sequence[str] | None) -> dict[str, str]:
    """Return model name -> column."""
    if columns is None:
        found = [name for name, cells in table.columns.items() if name not in taken and not is_text(cells)]
        if not found:
            message = f"{table.source} has no column of numbers beside the time."
            raise DataError(f"{message} Its columns are {shortened(list(table.columns))}.", file=table.source)
        return {name: name for name in found}
    pairs = _pairs(columns)
    used: dict[str, str] = {}
    for name, column in pairs:
        _check_present(table, column, role="columns")
        if column in taken:
            message = f"column {column!r} of {table.source} is the time or the trajectory."
            raise DataError(f"{message} Leave it out of `columns`.", file=table.source, column=column)
        if column in used:
            message = f"column {column!r} of {table.source} is used twice, for {used[column]!r} and {name!r}."
            raise DataError(f"{message} Keep one.", file=table.source, column=column)
        used[column] = name
    return dict(pairs)


def _pairs(columns: Mapping[str, str] | Sequence[str]) -> list[tuple[str, str]]:
    if isinstance(columns, str):
        raise DataError(
            f"columns must be a list or a mapping, not the text {columns!r}. Write [{columns!r}]."
        )
    pairs = list(columns.items()) if isinstance(columns, Mapping) else [(name, name) for name in columns]
    if not pairs:
        raise DataError("columns is empty. Name a column, or leave it out to use every column of numbers.")
    for name, column in pairs:
        if not (isinstance(name, str) and isinstance(column, str)):
            raise DataError(f"columns maps text to text, but holds {name!r}: {column!r}. Quote both names.")
    return pairs


def _times(table: RawTable, time: str) -> np.ndarray:
    t = numbers(table, time)
    if np.isnan(t).any():
        i = int(np.argmax(np.isnan(t)))
        message = f"the time is missing ({table.place(i, time)}). Fill the cell, or delete the row."
        raise table.error(message, i=i, column=time)
    return t


def _group(names: list[str]) -> dict[str, np.ndarray]:
    """Return trajectory name -> its rows, both in the order of the table."""
    rows: dict[str, list[int]] = {}
    for i, name in enumerate(names):
        rows.setdefault(name, []).append(i)
    return {name: np.array(indices) for name, indices in rows.items()}


def _check_increasing(
    table: RawTable, t: np.ndarray, rows: np.ndarray, time: str, *, run: str | None
) -> None:
    """Refuse a time that is not after the one before it in the same run."""
    k = first_not_increasing(t[rows])
    if k is None:
        return
    i = int(rows[k])
    follows = f"{time}[{k}] = {number_text(t[i])} follows {time}[{k - 1}] = {number_text(t[rows[k - 1]])}"
    where = f"{table.source}, {table.row_word} {table.rows[i]}"
    if run is None:
        advice = "Sort the rows, or name the column that separates runs with `trajectory`."
    else:
        where += f", trajectory {run!r}"
        advice = "Sort the rows of each trajectory, and keep one row for each time."
    raise table.error(f"{time} must increase, but {follows} ({where}). {advice}", i=i, column=time)
