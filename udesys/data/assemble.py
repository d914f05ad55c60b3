"""A raw table to a Dataset: convert the cells, group the rows, check the times, complete the inputs."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from udesys.data.cells import RawTable, labels, number_text, numbers
from udesys.data.dataset import SOLE_TRAJECTORY, Dataset, Trajectory, first_not_increasing
from udesys.data.fields import gather, positions_of, trajectories
from udesys.data.positions import WideTable, long_form
from udesys.data.roles import Roles, choose_roles, parse_covariates
from udesys.data.signals import fill_gaps
from udesys.errors import DataError


def assemble(
    table: RawTable,
    *,
    time: str,
    trajectory: str | Sequence[str] | None,
    columns: Mapping[str, str] | Sequence[str] | None,
    inputs: Mapping[str, str | Mapping[str, str]] | None = None,
    covariates: Mapping[str, str] | Sequence[str] | None = None,
    position: str | None = None,
) -> Dataset:
    """Turn a raw table into a checked Dataset.

    Args:
        table: the cells.
        time: the column of times.
        trajectory: the column, or columns, that separate runs; their rows may be interleaved.
        columns: model name -> column, or names, or None for every other column of numbers.
        inputs: name -> column, or name -> {"column": ..., "interpolation": ...}, of the measured inputs.
        covariates: name -> column, or names, of the numbers that hold for a whole trajectory.
        position: of fields on a line, the column of positions, or the name of those in columns such as u@0.5.

    Raises:
        DataError: a column is missing or used twice, a cell is refused, a time does not increase, or an input or a
            covariate has no value in a trajectory, or a covariate several; or positions are not even.
    """
    if not len(table.rows):
        raise DataError(f"{table.source} has no rows of data.", file=table.source)
    given = {"columns": columns, "inputs": inputs, "covariates": covariates}
    if position is not None:
        table = long_form(table, position)
        constant = {} if covariates is None else parse_covariates(covariates)
        given["covariates"] = {n: c for n, c in constant.items() if c != position} | {position: position}
    roles = choose_roles(table, time=time, trajectory=trajectory, **given)
    advice = " Or name the columns to use with `columns`." if columns is None else ""
    t = _times(table, time)
    y = _matrix(table, roles.columns.values(), advice=advice)
    runs = _group(_run_names(table, roles.trajectory)) if roles.trajectory else {SOLE_TRAJECTORY: np.arange(len(t))}
    u = _matrix(table, [entry.column for entry in roles.inputs.values()])
    if position is None:
        for name, rows in runs.items():
            _check_increasing(table, t, rows, time, run=name if roles.trajectory else None)
        constants = _covariates(table, roles, runs)
        made = []
        for name, rows in runs.items():
            driving = _filled(table, roles, t[rows], u[rows], name)
            made.append(Trajectory(name=name, t=t[rows], y=y[rows], u=driving, covariates=constants[name]))
    else:
        made = _fields(table, roles, t, y, u, runs, position)
    return Dataset(
        columns=tuple(roles.columns),
        trajectories=tuple(made),
        time=time,
        source=table.source,
        sha256=table.sha256,
        inputs={name: entry.interpolation for name, entry in roles.inputs.items()},
        covariates=tuple(roles.covariates),
        position=position or "",
    )


def _fields(
    table: RawTable,
    roles: Roles,
    t: np.ndarray,
    y: np.ndarray,
    u: np.ndarray,
    runs: dict[str, np.ndarray],
    position: str,
) -> list[Trajectory]:
    """Return the points of every run as trajectories; `roles` has the position as the last covariate."""
    if isinstance(table, WideTable):
        for column in roles.columns.values():
            if column not in table.sources:
                message = f"column {column!r} of {table.source} is at no position, as {column}@0.5 would be. "
                message += "Name the fields to use with `columns`, and what drives them under `inputs`."
                raise DataError(message, file=table.source, column=column)
    line = positions_of(table, numbers(table, position), position)
    others = {name: column for name, column in roles.covariates.items() if name != position}
    constants = _covariates(table, replace(roles, covariates=others), runs)
    columns = {name: entry.column for name, entry in roles.inputs.items()}
    made = []
    for name, rows in runs.items():
        shown = name if roles.trajectory else ""
        names = {"run": shown, "time": roles.time, "position": position, "inputs": columns}
        run = gather(table, line, t, y, u, rows, **names)
        run = replace(run, u=_filled(table, roles, run.t, run.u, name))
        made += trajectories(run, line, position, constants[name])
    return made


def _matrix(table: RawTable, columns, *, advice: str = "") -> np.ndarray:
    """Return the cells of columns as (rows, columns), NaN where a value is missing."""
    found = [numbers(table, column, advice=advice) for column in columns]
    return np.column_stack(found) if found else np.zeros((len(table.rows), 0))


def _times(table: RawTable, time: str) -> np.ndarray:
    t = numbers(table, time)
    if np.isnan(t).any():
        i = int(np.argmax(np.isnan(t)))
        message = f"the time is missing ({table.place(i, time)}). Fill the cell, or delete the row."
        raise table.error(message, i=i, column=time)
    return t


def _run_names(table: RawTable, trajectory: tuple[str, ...]) -> list[str]:
    """Return the name of each row's run: the labels of the columns that separate runs, joined."""
    return [", ".join(parts) for parts in zip(*(labels(table, column) for column in trajectory), strict=True)]


def _group(names: list[str]) -> dict[str, np.ndarray]:
    """Return trajectory name -> its rows, both in the order of the table."""
    rows: dict[str, list[int]] = {}
    for i, name in enumerate(names):
        rows.setdefault(name, []).append(i)
    return {name: np.array(indices) for name, indices in rows.items()}


def _check_increasing(table: RawTable, t: np.ndarray, rows: np.ndarray, time: str, *, run: str | None) -> None:
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


def _filled(table: RawTable, roles: Roles, t: np.ndarray, u: np.ndarray, run: str) -> np.ndarray:
    """Return the inputs (times, inputs) of a run with their gaps filled."""
    u = u.copy()
    for j, (name, entry) in enumerate(roles.inputs.items()):
        _check_any(table, u[:, j], f"input {name!r}", entry.column, run)
        u[:, j] = fill_gaps(t, u[:, j], entry.interpolation)
    return u


def _covariates(table: RawTable, roles: Roles, runs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return trajectory name -> its covariates."""
    values = _matrix(table, roles.covariates.values())
    made = {run: np.zeros(len(roles.covariates)) for run in runs}
    for j, (name, column) in enumerate(roles.covariates.items()):
        for run, rows in runs.items():
            _check_any(table, values[rows, j], f"covariate {name!r}", column, run)
            known = rows[np.isfinite(values[rows, j])]
            first = made[run][j] = values[known[0], j]
            others = known[values[known, j] != first]
            if others.size:
                i = int(others[0])
                message = f"covariate {name!r} changes within trajectory {run!r}: {number_text(first)}, then "
                message += f"{number_text(values[i, j])} ({table.place(i, column)}). A covariate is one number for "
                message += "each trajectory; name what changes in time under `inputs`"
                message += "." if roles.trajectory else ", or the column that separates runs with `trajectory`."
                raise table.error(message, i=i, column=column)
    return made


def _check_any(table: RawTable, values: np.ndarray, what: str, column: str, run: str) -> None:
    if np.isfinite(values).any():
        return
    where = f"{table.source}, column {column!r}"
    message = f"{what} has no value in trajectory {run!r} ({where}). Fill its cells, or leave the trajectory out."
    raise DataError(message, file=table.source, column=column)
