"""What the columns of an unknown table may be: guesses from their names and their numbers, with the reasons."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, replace

import numpy as np

from udesys.data.cells import MISSING, RawTable, is_text, labels, number_text, numbers, parse_cell
from udesys.data.dataset import first_not_increasing
from udesys.errors import DataError, shortened
from udesys.spec import derivatives

LEAST_ROWS = 5  # of a table; fewer show no law
LEAST_SAMPLES = 4  # of a run on average, as the fit asks
LEAST_VALUES = 3  # measured ones of a column that is to be a state
MOST_COLUMNS = 6  # of numbers that all become states
FIRST_STATES = 4  # where there are more
MOST_DRIVERS = 3  # inputs, and covariates, that act in the starter
MOST_LABELS = 8  # columns that may separate runs, of which pairs are tried
LINEAR = 1e-9  # of a column's spread, to which it follows another one exactly
MOST_LOOKED_AT = 1000  # columns
SHOWN = 50  # characters of a name

_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_TIMES = frozenset("t time times zeit temps tiempo tempo elapsed timestamp".split())
_CALENDAR = frozenset(
    "year years yr month months week weeks day days hour hours hr hrs h minute minutes min mins sec secs second "
    "seconds s ms date datetime age".split()
)
_COUNTERS = frozenset("index idx row rows no nr number id sample samples obs observation n".split())
_RUNS = frozenset(
    "run runs trajectory traj experiment exp trial subject id patient batch series replicate rep group case animal "
    "session segment split set drop condition sim simulation episode plate well station site individual dataset".split()
)
_DRIVING = frozenset(
    "u input inputs force forcing dose dosing insulin stimulus stim command cmd control torque drive excitation "
    "feed heater pump valve".split()
)
_PERHAPS_DRIVING = frozenset("voltage volt volts vin current power ref reference setpoint target light rain".split())
_PLACES = frozenset(
    "q theta phi psi angle position pos displacement deflection height altitude elongation distance".split()
)
_OFFERED = frozenset("ref reference setpoint target".split())  # act on a controller, not on what is measured


@dataclass(frozen=True, kw_only=True)
class Guess:
    """What one column was taken for.

    Attributes:
        column: its name in the table.
        role: "time", "trajectory", "state", "velocity", "input", "offered", "covariate" or "left out".
        why: the reason, in words.
        of: for a velocity, the column it is the rate of change of.
        interpolation: how an input runs between its samples.
        second_order: a state whose acceleration is what a law tells.
    """

    column: str
    role: str
    why: str
    of: str = ""
    interpolation: str = "linear"
    second_order: bool = False


@np.errstate(over="ignore", invalid="ignore")  # differences of numbers near the largest
def guess_roles(table: RawTable) -> tuple[Guess, ...]:
    """Guess what every column of a table is.

    Args:
        table: its cells.

    Returns:
        One guess for each column, in the order of the table.

    Raises:
        DataError: it can be no table of measurements: too few rows, no time, no state, or runs that nothing separates.
    """
    whole, table = table, replace(table, columns=dict(itertools.islice(table.columns.items(), MOST_LOOKED_AT)))
    values, reasons = _read(table)
    _check_shape(table, values, reasons)
    time, runs, found = _time_and_runs(table, values, reasons)
    t, rows = values[time], _rows(table, runs)
    found = {c: Guess(column=c, role="left out", why=why) for c, why in reasons.items()} | found
    left = {c: v for c, v in values.items() if c not in found and c != time}
    for column, guess in _unchanging(table, t, rows, left).items():
        found.setdefault(column, guess)
    found |= _moving(t, rows, {c: v for c, v in left.items() if c not in found})
    if not any(guess.role == "state" for guess in found.values()):
        raise _no_state(table, reasons, found)
    why = f"one of {len(whole.columns)} columns, of which the first {MOST_LOOKED_AT} are looked at"
    beyond = (Guess(column=column, role="left out", why=why) for column in whole.columns if column not in found)
    return (*(found[column] for column in table.columns), *beyond)


def words(name: str) -> list[str]:
    """The words of a column's name in lower case: `q_refVelocity2` has q, ref and velocity."""
    return [word.lower() for word in _WORD.findall(name)]


def shown(name: str) -> str:
    """A name as a message or a comment shows it."""
    return repr(name if len(name) <= SHOWN else f"{name[:SHOWN]}...")


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


# ------------------------------------------------------------------ time and runs
def _time_and_runs(table: RawTable, values: dict, reasons: dict) -> tuple[str, tuple[str, ...], dict[str, Guess]]:
    """The time column, the columns that separate runs, and the guesses about them."""
    ranked = sorted((column for column in values), key=lambda column: -_time_score(column))
    named = [column for column in ranked if _time_score(column) > 0]
    for column in named or ranked:
        if np.isnan(values[column]).any():
            continue
        runs = _runs(table, values[column], column)
        if runs is not None:
            why = "its name, and it increases" if named else "the first column that increases"
            return column, runs, _said(column, why, runs)
    raise _no_time(table, values, reasons, named)


def _said(time: str, why: str, runs: tuple[str, ...]) -> dict[str, Guess]:
    within = f" within each {' and '.join(shown(column) for column in runs)}" if runs else ""
    found = {time: Guess(column=time, role="time", why=f"{why}{within}")}
    whole = "the time increases while it stays" if len(runs) == 1 else "the time increases while they all stay"
    return found | {column: Guess(column=column, role="trajectory", why=whole) for column in runs}


def _time_score(column: str) -> int:
    """3 for a name like "t_s" or "Time (h)", 2 for "day", 1 where time is among its words, -1 for a counter."""
    found = words(column)
    if not found or column.strip() == "T":  # a temperature, as often as not
        return 0
    if found[0] in _TIMES:
        return 3
    if found[0] in _CALENDAR:
        return 2
    if _TIMES - {"t"} & set(found):
        return 1
    return -1 if found[0] in _COUNTERS else 0


def _runs(table: RawTable, t: np.ndarray, time: str) -> tuple[str, ...] | None:
    """The columns within which a time increases: none where it does anyway, None where nothing separates the runs."""
    candidates = _label_columns(table, time)
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
    order = sorted(found, key=lambda c: (not set(words(c)) & _RUNS, not is_text(table.columns[c])))
    return {column: found[column] for column in order}


def _numbered(names: list[str]) -> tuple[list[str], np.ndarray]:
    """The distinct labels, and the number of each row's."""
    index: dict[str, int] = {}
    codes = np.array([index.setdefault(name, len(index)) for name in names])
    return list(index), codes


def _separates_stretches(column: str, codes: np.ndarray, table: RawTable) -> bool:
    """Whether labels that the time does not ask for name runs: text or so named, and each label one long stretch."""
    if not (is_text(table.columns[column]) or set(words(column)) & _RUNS):
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


def _rows(table: RawTable, runs: tuple[str, ...]) -> list[np.ndarray]:
    """The rows of every run."""
    if not runs:
        return [np.arange(len(table.rows))]
    codes = _joint(_numbered(labels(table, c))[1] for c in runs)
    return [np.flatnonzero(codes == code) for code in range(codes.max() + 1)]


def _no_time(table: RawTable, values: dict, reasons: dict, named: list[str]) -> DataError:
    """The error about a table without a time that increases."""
    source = table.source
    if named:
        column = named[0]
        t = values[column]
        if np.isnan(t).any():
            i = int(np.argmax(np.isnan(t)))
            message = f"the time is missing ({table.place(i, column)}). Fill the cell, or delete the row."
            return table.error(message, i=i, column=column)
        k = first_not_increasing(t)
        what = f"{column} restarts" if t[k] < t[k - 1] else f"{column} stays"
        message = f"{what} in row {table.rows[k]} of {source} ({number_text(t[k])} after {number_text(t[k - 1])})"
        remedy = "Sort the rows, or add a column that names the run of each row, such as  run  with 1, 1, ..., 2, 2."
        return table.error(f"{message}, and no column separates the runs. {remedy}", i=k, column=column)
    dated = next((c for c in reasons if _time_score(c) > 0), None)
    advice = "Add a column of times to it, such as  t  with 0, 0.1, 0.2, ..."
    if dated is not None:
        advice = f"Is it {shown(dated)}? Write its times as numbers, such as the days since the start."
    return DataError(f"no column of {source} increases from row to row, as a time does. {advice}", file=source)


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
        elif _time_score(column) > 0 and all(derivatives.is_linear(t[run], x[run], LINEAR) for run in rows):
            why = "runs with the time"
        else:
            continue
        found[column] = Guess(column=column, role="left out", why=why)
    return found


def _moving(t: np.ndarray, rows: list[np.ndarray], columns: dict[str, np.ndarray]) -> dict[str, Guess]:
    """States, velocities and inputs among the columns that change in time."""
    driving, rest = _split_driving(list(columns))
    found = _inputs(rows, {c: columns[c] for c in driving})
    copies = derivatives.copies({c: columns[c] for c in rest[: 4 * MOST_COLUMNS]}, LINEAR)
    for column, other in copies.items():
        found[column] = Guess(column=column, role="left out", why=f"is a multiple of {shown(other)}, up to a constant")
    rest = [c for c in rest if c not in copies]
    kept = rest if len(rest) <= MOST_COLUMNS else rest[:FIRST_STATES]
    for column in rest[len(kept) :]:
        why = f"one of {len(rest)} columns of numbers; give it an equation of its own, {column}' = ..., to use it"
        found[column] = Guess(column=column, role="left out", why=why)
    rates = derivatives.measured_rates(t, rows, {c: columns[c] for c in kept})
    for column in kept:
        if column in rates and rates[column] in rates:
            why = f"is numerically the rate of change of {shown(rates[column])}, a velocity; the law tells it"
            found[column] = Guess(column=column, role="left out", why=why)
        elif column in rates:
            why = f"is numerically the rate of change of {shown(rates[column])}"
            found[column] = Guess(column=column, role="velocity", why=why, of=rates[column])
        else:
            found[column] = Guess(column=column, role="state", why="a column of numbers that changes in time")
    states = [c for c in kept if found[c].role == "state"]
    for column in set(rates.values()) & set(states):
        why = "changes in time, and its rate of change is measured too"
        found[column] = Guess(column=column, role="state", why=why, second_order=True)
    if len(states) == 1 and not found[states[0]].second_order:
        inputs = [columns[c] for c in driving if found[c].role == "input"]
        place = bool(set(words(states[0])) & _PLACES)
        if derivatives.needs_velocity(t, rows, columns[states[0]], inputs, place=place):
            why = "changes in time, and moves as what has a velocity"
            found[states[0]] = Guess(column=states[0], role="state", why=why, second_order=True)
    return found


def _split_driving(columns: list[str]) -> tuple[list[str], list[str]]:
    """Columns that are named like what drives a system, and the rest, which is never empty where there is a column."""
    surely = [c for c in columns if set(words(c)) & _DRIVING]
    perhaps = [c for c in columns if set(words(c)) & _PERHAPS_DRIVING and c not in surely]
    for driving in (surely + perhaps, surely):
        rest = [c for c in columns if c not in driving]
        if rest:
            return [c for c in columns if c in driving], rest
    return [], columns


def _inputs(rows: list[np.ndarray], columns: dict[str, np.ndarray]) -> dict[str, Guess]:
    found, active = {}, 0
    alone = len(columns) == 1
    for column, x in columns.items():
        whole = all(np.isfinite(x[run]).any() for run in rows)
        steps = np.diff(x[np.isfinite(x)])
        interpolation = "hold" if np.mean(steps == 0) > 0.5 else "linear"
        aside = not whole or active >= MOST_DRIVERS or (set(words(column)) & _OFFERED and not alone)
        active += not aside
        why = "named like something that drives the system"
        if aside:
            why += "; offered only" if whole else ", but empty in a whole run"
        role = "left out" if not whole else "offered" if aside else "input"
        found[column] = Guess(column=column, role=role, why=why, interpolation=interpolation)
    return found


def _no_state(table: RawTable, reasons: dict[str, str], found: dict[str, Guess]) -> DataError:
    refused = next((why for why in reasons.values() if why not in ("text", "empty")), None)
    if refused:
        return DataError(refused, file=table.source)
    seen = [f"{shown(c)} ({g.role if g.role != 'left out' else g.why})" for c, g in found.items()]
    message = f"{table.source} has no column that could be a state beside the time: {shortened(seen)}."
    return DataError(f"{message} Measure something that changes in time.", file=table.source)
