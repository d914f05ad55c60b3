"""Roles: which column of a table is the time, the run, a measured quantity, an input or a covariate."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from udesys.data.cells import RawTable, first_repeated, is_text, parse_cell
from udesys.data.signals import check_interpolation
from udesys.errors import DataError, did_you_mean, shortened

_INPUT_KEYS = ("column", "interpolation")


@dataclass(frozen=True, kw_only=True)
class Input:
    """Where a measured input stands, and how it runs between the samples.

    Args:
        column: its column.
        interpolation: "linear", "hold" or "cubic".
    """

    column: str
    interpolation: str = "linear"


@dataclass(frozen=True, kw_only=True)
class Roles:
    """What the columns of a table are.

    Args:
        time: the column of times.
        trajectory: the columns that separate runs; none where there is one run.
        columns: model name -> column, of the measured quantities.
        inputs: name -> where it stands.
        covariates: name -> column.
    """

    time: str
    trajectory: tuple[str, ...]
    columns: dict[str, str]
    inputs: dict[str, Input]
    covariates: dict[str, str]


def choose_roles(
    table: RawTable,
    *,
    time: str,
    trajectory: str | Sequence[str] | None,
    columns: Mapping[str, str] | Sequence[str] | None,
    inputs: Mapping[str, str | Mapping[str, str]] | None,
    covariates: Mapping[str, str] | Sequence[str] | None,
) -> Roles:
    """Give every column that is used its role.

    Args:
        table: the cells.
        time: the column of times.
        trajectory: the column, or columns, that separate runs; each may be a covariate too.
        columns: model name -> column, or names, or None for every other column of numbers.
        inputs: as `parse_inputs` takes them, or None.
        covariates: as `parse_covariates` takes them, or None.

    Raises:
        DataError: a column is missing or used twice.
    """
    _check_present(table, time, role="time")
    runs = trajectory_columns(trajectory)
    for column in runs:
        _check_present(table, column, role="trajectory")
    if time in runs:
        message = f"column {time!r} of {table.source} is given as `time` and as `trajectory`."
        raise DataError(f"{message} Choose two columns.", file=table.source, column=time)
    driving = {} if inputs is None else parse_inputs(inputs)
    constant = {} if covariates is None else parse_covariates(covariates)
    named = {
        "columns": [] if columns is None else _pairs(columns, "columns"),
        "inputs": [(name, entry.column) for name, entry in driving.items()],
        "covariates": list(constant.items()),
    }
    used: dict[str, str] = {}
    for role, pairs in named.items():
        taken = {time} if role == "covariates" else {time, *runs}
        for name, column in pairs:
            _check_present(table, column, role=role)
            if column in taken:
                message = f"column {column!r} of {table.source} is the time or the trajectory."
                raise DataError(f"{message} Leave it out of `{role}`.", file=table.source, column=column)
            if column in used:
                message = f"column {column!r} of {table.source} is used twice, for {used[column]!r} and {name!r}."
                raise DataError(f"{message} Keep one.", file=table.source, column=column)
            used[column] = name
    measured = named["columns"] if columns is not None else _numeric_columns(table, {time, *runs, *used})
    return Roles(time=time, trajectory=runs, columns=dict(measured), inputs=driving, covariates=constant)


def trajectory_columns(trajectory: str | Sequence[str] | None) -> tuple[str, ...]:
    """Return the columns that separate runs.

    Args:
        trajectory: one column, several, or None.

    Raises:
        DataError: it is no column name and no list of different ones.
    """
    if trajectory is None:
        return ()
    names = [trajectory] if isinstance(trajectory, str) else trajectory
    if not isinstance(names, Sequence) or not all(isinstance(name, str) for name in names):
        raise DataError(f'trajectory must be a column or a list of columns, such as ["subject", "day"], not {names!r}.')
    repeated = first_repeated(names)
    if repeated is not None:
        raise DataError(f"trajectory names {repeated!r} twice. Keep one.", column=repeated)
    return tuple(names)


def parse_inputs(inputs: Mapping[str, str | Mapping[str, str]]) -> dict[str, Input]:
    """Read what a user says about measured inputs.

    Args:
        inputs: name -> column, or name -> {"column": ..., "interpolation": ...}; the column is called like the input
            where none is named.

    Raises:
        DataError: it is no such mapping, or an interpolation is unknown.
    """
    form = 'Write { force = "F" } or { force = { column = "F", interpolation = "linear" } }.'
    if not isinstance(inputs, Mapping):
        raise DataError(f"inputs must be a mapping, not {inputs!r}. {form}")
    parsed = {}
    for name, entry in inputs.items():
        given = {"column": name, **entry} if isinstance(entry, Mapping) else {"column": entry}
        for key in given:
            if key not in _INPUT_KEYS:
                raise DataError(f"input {name!r} has no entry {key!r}. {did_you_mean(str(key), _INPUT_KEYS)}")
        if not (isinstance(name, str) and isinstance(given["column"], str)):
            raise DataError(f"inputs maps text to text, but holds {name!r}: {given['column']!r}. {form}")
        parsed[name] = Input(**given)
        check_interpolation(parsed[name].interpolation, name)
    return parsed


def parse_covariates(covariates: Mapping[str, str] | Sequence[str]) -> dict[str, str]:
    """Read what a user says about covariates.

    Args:
        covariates: name -> column, or names.

    Returns:
        name -> column.

    Raises:
        DataError: it is neither, or holds what is no text.
    """
    pairs = _pairs(covariates, "covariates")
    repeated = first_repeated([name for name, _ in pairs])
    if repeated is not None:
        raise DataError(f"covariates names {repeated!r} twice. Keep one.", column=repeated)
    return dict(pairs)


def _pairs(columns: Mapping[str, str] | Sequence[str], role: str) -> list[tuple[str, str]]:
    """Return (name, column) of each entry."""
    if isinstance(columns, str) or not isinstance(columns, Iterable):
        shown = f"the text {columns!r}. Write [{columns!r}]" if isinstance(columns, str) else repr(columns)
        raise DataError(f"{role} must be a list or a mapping, not {shown}.")
    pairs = list(columns.items()) if isinstance(columns, Mapping) else [(name, name) for name in columns]
    if not pairs and role == "columns":
        raise DataError("columns is empty. Name a column, or leave it out to use every column of numbers.")
    for name, column in pairs:
        if not (isinstance(name, str) and isinstance(column, str)):
            raise DataError(f"{role} maps text to text, but holds {name!r}: {column!r}. Quote both names.")
    return pairs


def _numeric_columns(table: RawTable, taken: set) -> list[tuple[str, str]]:
    found = [name for name, cells in table.columns.items() if name not in taken and not is_text(cells)]
    if not found:
        message = f"{table.source} has no column of numbers beside the time."
        raise DataError(f"{message} Its columns are {shortened(list(table.columns))}.", file=table.source)
    return [(name, name) for name in found]


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
