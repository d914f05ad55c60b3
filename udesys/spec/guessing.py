"""What the columns of an unknown table may be: guesses from their names and their numbers, with the reasons."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from udesys.data.cells import MISSING, RawTable, is_text, number_text, numbers, parse_cell
from udesys.errors import DataError, did_you_mean, shortened
from udesys.spec import derivatives
from udesys.spec.timing import rows_of_runs, time_and_runs
from udesys.spec.vocabulary import (
    DRIVING,
    OFFERED,
    PERHAPS_DRIVING,
    PLACES,
    Guess,
    columns_said,
    shown,
    time_score,
    words,
)

LEAST_ROWS = 5  # of a table; fewer show no law
LEAST_VALUES = 3  # measured ones of a column that is to be a state
MOST_COLUMNS = 6  # of numbers that all become states
FIRST_STATES = 4  # where there are more
MOST_DRIVERS = 3  # inputs, and covariates, that act in the starter
LINEAR = 1e-9  # of a column's spread, to which it follows another one exactly
MOST_LOOKED_AT = 1000  # columns
YOU_SAY_SO = "you say so"  # why a column is what it is


@np.errstate(over="ignore", invalid="ignore")  # differences of numbers near the largest
def guess_roles(table: RawTable, said: Mapping[str, str] | None = None) -> tuple[Guess, ...]:
    """Guess what every column of a table is.

    Args:
        table: its cells.
        said: column -> what the user says that it is: "time", "trajectory", "state", "input" or "left out".

    Returns:
        One guess for each column, in the order of the table.

    Raises:
        DataError: it can be no table of measurements: too few rows, no time, no state, or runs that nothing separates;
            or it cannot be what the user says.
    """
    said = dict(said or {})
    first = itertools.islice((c for c in table.columns if c not in said), MOST_LOOKED_AT)
    looked_at = {*said, *first}
    whole, table = table, replace(table, columns={c: v for c, v in table.columns.items() if c in looked_at})
    values, reasons = _read(table)
    _check_said(whole, said, reasons)
    _check_shape(table, values, reasons)
    time, runs, found = time_and_runs(table, values, reasons, said)
    t, rows = values[time], rows_of_runs(table, runs)
    found = {c: Guess(column=c, role="left out", why=why) for c, why in reasons.items()} | found
    found |= {c: Guess(column=c, role="left out", why=YOU_SAY_SO) for c in columns_said(said, "left out")}
    left = {c: v for c, v in values.items() if c not in found and c != time}
    for column, guess in _unchanging(table, t, rows, {c: v for c, v in left.items() if c not in said}).items():
        found.setdefault(column, guess)
    found |= _moving(t, rows, {c: v for c, v in left.items() if c not in found}, said)
    if not any(guess.role == "state" for guess in found.values()):
        raise _no_state(table, reasons, found, said)
    why = f"one of {len(whole.columns)} columns, of which the first {MOST_LOOKED_AT} are looked at"
    beyond = (Guess(column=column, role="left out", why=why) for column in whole.columns if column not in found)
    return (*(replace(found[column], said=column in said) for column in table.columns), *beyond)


def _check_said(table: RawTable, said: Mapping[str, str], reasons: Mapping[str, str]) -> None:
    """Raise DataError where a column is not there, or holds no numbers and cannot be what the user says."""
    unknown = next((column for column in said if column not in table.columns), None)
    if unknown is not None:
        known = did_you_mean(unknown, table.columns, listed="Its columns are")
        raise DataError(f"{table.source} has no column {shown(unknown)}. {known}", file=table.source, column=unknown)
    for role, named in (("time", "the time"), ("state", "a state"), ("input", "an input")):
        for column in columns_said(said, role):
            if column in reasons:
                why = {"text": "its cells hold text", "empty": "it is empty"}.get(reasons[column], reasons[column])
                raise DataError(f"{shown(column)} of {table.source} cannot be {named}: {why.rstrip('.')}.")


# ------------------------------------------------------------------ cells
def _read(table: RawTable) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The columns of numbers, and for the others why they are none."""
    values, reasons = {}, {}
    for column, cells in table.columns.items():
        if is_text(cells):
            filled = isinstance(cells, list) and any(cell.lower() not in MISSING for cell in cells)
            reasons[column] = "text" if filled else "empty"
            continue
        try:
            values[column] = numbers(table, column)
        except DataError as error:
            reasons[column] = str(error)
    return values, reasons


def _check_shape(table: RawTable, values: dict, reasons: dict[str, str]) -> None:
    source, names = table.source, list(table.columns)
    if len(names) < 2:
        message = f"{source} has one column, {shown(names[0])}," if names else f"{source} has no column with a name,"
        remedy = "Separate the cells with commas or semicolons, or with tabs in a .tsv or .txt file."
        raise DataError(f"{message} but a table of measurements has a time and at least one state. {remedy}")
    if all(parse_cell(name) is not None for name in names):
        raise DataError(f"the first row of {source} holds numbers. The first row must name the columns.", file=source)
    if len(table.rows) < LEAST_ROWS:
        message = f"{source} has {len(table.rows)} rows; fewer than {LEAST_ROWS} show no law."
        raise DataError(f"{message} Measure more.", file=source)
    if not values:
        refused = next((why for why in reasons.values() if why not in ("text", "empty")), "")
        raise DataError(f"{source} has no column of numbers. {refused}".rstrip(), file=source)


# ------------------------------------------------------------------ the other columns
def _unchanging(table: RawTable, t: np.ndarray, rows: list[np.ndarray], columns: dict) -> dict[str, Guess]:
    """Columns that do not follow a law of their own: constants, covariates, counters, copies of the time."""
    found, n_covariates = {}, 0
    for column, x in columns.items():
        known = x[np.isfinite(x)]
        levels = [x[run][np.isfinite(x[run])] for run in rows]
        if len(known) < LEAST_VALUES:
            why = f"has {len(known)} values only"
        elif np.ptp(known) == 0:
            why = f"is {number_text(known[0])} in every row; as a known number it may stand under [parameters]"
        elif len(rows) > 1 and all(part.size and np.ptp(part) == 0 for part in levels):
            n_covariates += 1
            if n_covariates <= MOST_DRIVERS:
                why = "holds for a whole run, differs between them"
                found[column] = Guess(column=column, role="covariate", why=why)
                continue
            why = "a covariate too; add it to `covariates` and to the arguments of a network"
        elif all(len(part) < 2 or (np.diff(part) == 1).all() for part in levels):
            why = "counts the rows"
        elif time_score(column) > 0 and all(derivatives.is_linear(t[run], x[run], LINEAR) for run in rows):
            why = "runs with the time"
        else:
            continue
        found[column] = Guess(column=column, role="left out", why=why)
    return found


def _moving(
    t: np.ndarray, rows: list[np.ndarray], columns: dict[str, np.ndarray], said: Mapping[str, str]
) -> dict[str, Guess]:
    """States, velocities and inputs among the columns that change in time."""
    driving, rest = _split_driving(list(columns), said)
    found = _inputs(rows, {c: columns[c] for c in driving}, said)
    copies = derivatives.copies({c: columns[c] for c in rest[: 4 * MOST_COLUMNS] if c not in said}, LINEAR)
    for column, other in copies.items():
        found[column] = Guess(column=column, role="left out", why=f"is a multiple of {shown(other)}, up to a constant")
    rest = [c for c in rest if c not in copies]
    asked = columns_said(said, "state")
    first = [c for c in rest if c not in asked][: max(0, FIRST_STATES - len(asked))]
    kept = rest if len(rest) <= MOST_COLUMNS else [c for c in rest if c in asked or c in first]
    for column in (c for c in rest if c not in kept):
        why = f"one of {len(rest)} columns of numbers; give it an equation of its own, {column}' = ..., to use it"
        found[column] = Guess(column=column, role="left out", why=why)
    rates = derivatives.measured_rates(t, rows, {c: columns[c] for c in kept})
    rates = {column: of for column, of in rates.items() if column not in asked}
    for column in kept:
        if column in asked:
            found[column] = Guess(column=column, role="state", why=YOU_SAY_SO)
        elif column in rates and rates[column] in rates:
            why = f"is numerically the rate of change of {shown(rates[column])}, a velocity; the law tells it"
            found[column] = Guess(column=column, role="left out", why=why)
        elif column in rates:
            why = f"is numerically the rate of change of {shown(rates[column])}"
            found[column] = Guess(column=column, role="velocity", why=why, of=rates[column])
        else:
            found[column] = Guess(column=column, role="state", why="changes in time")
    states = [c for c in kept if found[c].role == "state"]
    for column in set(rates.values()) & set(states):
        found[column] = _of_second_order(found[column], "its rate of change is measured too")
    if len(states) == 1 and not found[states[0]].second_order:
        inputs = [columns[c] for c in driving if found[c].role == "input"]
        place = bool(set(words(states[0])) & PLACES)
        if derivatives.needs_velocity(t, rows, columns[states[0]], inputs, place=place):
            found[states[0]] = _of_second_order(found[states[0]], "moves as what has a velocity")
    return found


def _of_second_order(state: Guess, because: str) -> Guess:
    return replace(state, why=f"{state.why}, and {because}", second_order=True)


def _split_driving(columns: list[str], said: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """Columns that drive the system, or are named like it, and the rest, which is empty only where the user says so."""
    asked = columns_said(said, "input")
    open_ = [c for c in columns if c not in said]
    surely = [c for c in open_ if set(words(c)) & DRIVING]
    perhaps = [c for c in open_ if set(words(c)) & PERHAPS_DRIVING and c not in surely]
    for driving in (asked + surely + perhaps, asked + surely, asked):
        rest = [c for c in columns if c not in driving]
        if rest:
            return [c for c in columns if c in driving], rest
    return columns, []


def _inputs(rows: list[np.ndarray], columns: dict[str, np.ndarray], said: Mapping[str, str]) -> dict[str, Guess]:
    found, active = {}, sum(column in said for column in columns)
    alone = len(columns) == 1
    for column, x in columns.items():
        whole = all(np.isfinite(x[run]).any() for run in rows)
        steps = np.diff(x[np.isfinite(x)])
        interpolation = "hold" if np.mean(steps == 0) > 0.5 else "linear"
        if column in said:
            if not whole:
                message = f"{shown(column)} cannot be an input: it is empty in a whole run."
                raise DataError(f"{message} Fill it, or leave those rows out.", column=column)
            found[column] = Guess(column=column, role="input", why=YOU_SAY_SO, interpolation=interpolation)
            continue
        aside = not whole or active >= MOST_DRIVERS or (set(words(column)) & OFFERED and not alone)
        active += not aside
        why = "named like something that drives the system"
        if aside:
            why += "; offered only" if whole else ", but empty in a whole run"
        role = "left out" if not whole else "offered" if aside else "input"
        found[column] = Guess(column=column, role=role, why=why, interpolation=interpolation)
    return found


def _no_state(table: RawTable, reasons: dict[str, str], found: dict[str, Guess], said: Mapping[str, str]) -> DataError:
    refused = next((why for why in reasons.values() if why not in ("text", "empty")), None)
    if refused:
        return DataError(refused, file=table.source)
    seen = [f"{shown(c)} ({g.role if g.role != 'left out' or c in said else g.why})" for c, g in found.items()]
    message = f"{table.source} has no column that could be a state beside the time: {shortened(seen)}."
    return DataError(f"{message} Measure something that changes in time.", file=table.source)
