"""The time of an unknown table, and the columns that separate its runs."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping

import numpy as np

from udesys.data.cells import RawTable, is_text, labels, number_text
from udesys.data.dataset import first_not_increasing
from udesys.errors import DataError
from udesys.spec.vocabulary import RUNS, Guess, columns_said, shown, time_score, words

LEAST_SAMPLES = 4  # of a run on average, as the fit asks
MOST_LABELS = 8  # columns that may separate runs, of which pairs are tried


def time_and_runs(
    table: RawTable, values: dict, reasons: dict, said: Mapping[str, str]
) -> tuple[str, tuple[str, ...], dict[str, Guess]]:
    """Find the time, and what separates runs.

    Args:
        table: its cells.
        values: column -> (rows,), of the columns of numbers.
        reasons: column -> why it is none, of the others.
        said: column -> role, of the columns that the user spoke of.

    Returns:
        The time column, the columns that separate runs, and the guesses about them.

    Raises:
        DataError: no column is a time, or the time restarts and nothing separates the runs.
    """
    chosen, asked = columns_said(said, "time"), tuple(columns_said(said, "trajectory"))
    ranked = chosen or sorted((c for c in values if c not in said), key=lambda column: -time_score(column))
    named = chosen or [column for column in ranked if time_score(column) > 0]
    for column in named or ranked:
        if np.isnan(values[column]).any():
            continue
        runs = _asked_runs(table, values[column], asked) if asked else _runs(table, values[column], column, said)
        if runs is not None:
            why = "its name, and it increases" if named else "the first column that increases"
            return column, runs, _guesses("it increases" if chosen else why, column, runs)
    raise _no_time(table, values, reasons, named, asked)


def _guesses(why: str, time: str, runs: tuple[str, ...]) -> dict[str, Guess]:
    found = {time: Guess(column=time, role="time", why=f"{why}{_within(runs)}")}
    whole = "the time increases while it stays" if len(runs) == 1 else "the time increases while they all stay"
    return found | {column: Guess(column=column, role="trajectory", why=whole) for column in runs}


def _within(runs: tuple[str, ...]) -> str:
    return f" within each {' and '.join(shown(column) for column in runs)}" if runs else ""


def _asked_runs(table: RawTable, t: np.ndarray, asked: tuple[str, ...]) -> tuple[str, ...] | None:
    """The columns that the user says separate runs; None where the time does not increase within them."""
    codes = _joint(_numbered(labels(table, column))[1] for column in asked)
    return asked if _increases_within(t, codes) else None


def _runs(table: RawTable, t: np.ndarray, time: str, said: Mapping[str, str]) -> tuple[str, ...] | None:
    """The columns within which a time increases: none where it does anyway, None where nothing separates the runs."""
    candidates = {column: codes for column, codes in _label_columns(table, time).items() if column not in said}
    if first_not_increasing(t) is None:
        stretches = [c for c, names in candidates.items() if _separates_stretches(c, names, table)]
        return tuple(stretches[:1])
    singles = [(c,) for c in candidates]
    pairs = list(itertools.combinations(list(candidates)[:MOST_LABELS], 2))
    for chosen in [*singles, *pairs]:
        codes = _joint(candidates[c] for c in chosen)
        if len(t) >= LEAST_SAMPLES * len(np.unique(codes)) and _increases_within(t, codes):
            return tuple(column for column in table.columns if column in chosen)
    return None


def _label_columns(table: RawTable, time: str) -> dict[str, np.ndarray]:
    """Columns that may name runs -> the number of each row's label; those with the name of one first, then text."""
    found = {}
    for column, cells in table.columns.items():
        if column == time:
            continue
        try:
            names = labels(table, column)
        except DataError:  # a cell is empty
            continue
        distinct, codes = _numbered(names)
        few = 2 <= len(distinct) <= len(names) / LEAST_SAMPLES
        if few and (is_text(cells) or all(re.fullmatch(r"-?\d+(\.0*)?", name) for name in distinct)):
            found[column] = codes
    order = sorted(found, key=lambda c: (not set(words(c)) & RUNS, not is_text(table.columns[c])))
    return {column: found[column] for column in order}


def _numbered(names: list[str]) -> tuple[list[str], np.ndarray]:
    """The distinct labels, and the number of each row's."""
    index: dict[str, int] = {}
    codes = np.array([index.setdefault(name, len(index)) for name in names])
    return list(index), codes


def _separates_stretches(column: str, codes: np.ndarray, table: RawTable) -> bool:
    """Whether labels that the time does not ask for name runs: text or so named, and each label one long stretch."""
    if not (is_text(table.columns[column]) or set(words(column)) & RUNS):
        return False
    starts = np.flatnonzero(np.diff(codes)) + 1
    lengths = np.diff([0, *starts, len(codes)])
    return len(lengths) == len(np.unique(codes)) and lengths.min() >= LEAST_SAMPLES


def _joint(columns) -> np.ndarray:
    """One number for each row, the same where all columns have the same label."""
    return np.unique(np.column_stack(list(columns)), axis=0, return_inverse=True)[1].ravel()


def _increases_within(t: np.ndarray, codes: np.ndarray) -> bool:
    order = np.argsort(codes, kind="stable")
    same = np.diff(codes[order]) == 0
    return bool((np.diff(t[order])[same] > 0).all())


def rows_of_runs(table: RawTable, runs: tuple[str, ...]) -> list[np.ndarray]:
    """Return the rows of every run.

    Args:
        table: its cells.
        runs: the columns that separate runs; none where there is one run.
    """
    if not runs:
        return [np.arange(len(table.rows))]
    codes = _joint(_numbered(labels(table, c))[1] for c in runs)
    return [np.flatnonzero(codes == code) for code in range(codes.max() + 1)]


def _no_time(table: RawTable, values: dict, reasons: dict, named: list[str], asked: tuple[str, ...]) -> DataError:
    """The error about a table without a time that increases."""
    source = table.source
    if named:
        column = named[0]
        t = values[column]
        if np.isnan(t).any():
            i = int(np.argmax(np.isnan(t)))
            message = f"the time is missing ({table.place(i, column)}). Fill the cell, or delete the row."
            return table.error(message, i=i, column=column)
        if asked:
            message = f"{column} does not increase{_within(asked)} of {source}."
            return DataError(f"{message} Sort the rows, or name another column of runs.", file=source, column=column)
        k = first_not_increasing(t)
        what = f"{column} restarts" if t[k] < t[k - 1] else f"{column} stays"
        message = f"{what} in row {table.rows[k]} of {source} ({number_text(t[k])} after {number_text(t[k - 1])})"
        remedy = "Sort the rows, or add a column that names the run of each row, such as  run  with 1, 1, ..., 2, 2."
        return table.error(f"{message}, and no column separates the runs. {remedy}", i=k, column=column)
    dated = next((c for c in reasons if time_score(c) > 0), None)
    advice = "Add a column of times to it, such as  t  with 0, 0.1, 0.2, ..."
    if dated is not None:
        advice = f"Is it {shown(dated)}? Write its times as numbers, such as the days since the start."
    return DataError(f"no column of {source} increases from row to row, as a time does. {advice}", file=source)
