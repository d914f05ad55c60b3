"""Fields on a line: one trajectory for each point of every run, from tables and from arrays."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from udesys.data.cells import RawTable, number_text
from udesys.data.positions import Line, WideTable, line_of, merged
from udesys.errors import DataError

if TYPE_CHECKING:
    from udesys.data.dataset import Dataset, Trajectory

SAME_TIME = 1e-12
"""Of the largest time, within which two times are one."""
SAME_INPUT = 1e-9
"""Of an input's value, by which it may differ between points."""


@dataclass(frozen=True, kw_only=True, eq=False)
class FieldRun:
    """Fields of one run.

    Args:
        name: of the run; empty where it is the only one and has none.
        t: (times,) [the data's time unit].
        y: (times, points, fields), NaN where a value is missing [data units].
        u: (times, k) inputs; those of tables are NaN where no cell has them.
    """

    name: str
    t: np.ndarray
    y: np.ndarray
    u: np.ndarray


def trajectories(run: FieldRun, line: Line, position: str, covariates: np.ndarray) -> list["Trajectory"]:
    """Return one trajectory for each point of a run, the position as the last covariate.

    Args:
        run: its fields, with its inputs complete.
        line: the points.
        position: its name.
        covariates: (c,), the others.
    """
    from udesys.data.dataset import Trajectory

    prefix = f"{run.name}, " if run.name else ""
    return [
        Trajectory(
            name=f"{prefix}{position} = {label}",
            t=run.t,
            y=run.y[:, k],
            u=run.u,
            covariates=np.append(covariates, line.points[k]),
        )
        for k, label in enumerate(line.labels)
    ]


# ------------------------------------------------------------------ from tables
def positions_of(table: RawTable, x: np.ndarray, position: str) -> Line:
    """Return the points of a long table.

    Args:
        table: for messages.
        x: (rows,) its column of positions.
        position: its name.

    Raises:
        DataError: a cell is empty, or the positions are not even.
    """
    if np.isnan(x).any():
        i = int(np.argmax(np.isnan(x)))
        message = f"the position is missing ({table.place(i, position)}). Fill the cell, or delete the row."
        raise table.error(message, i=i, column=position)
    return line_of(x, position, table.source)


def gather(
    table: RawTable,
    line: Line,
    t: np.ndarray,
    y: np.ndarray,
    u: np.ndarray,
    rows: np.ndarray,
    *,
    run: str,
    time: str,
    position: str,
    inputs: Mapping[str, str],
) -> FieldRun:
    """Return the rows of one run as fields.

    Args:
        table: for messages.
        line: the points; `places` has that of every row.
        t, y, u: (rows,), (rows, fields) and (rows, k), of the whole table.
        rows: those of this run.
        run: its name; empty where it has none.
        time, position: names.
        inputs: name -> column.

    Raises:
        DataError: a time does not increase at a point, or an input differs between points.
    """
    t, y, u, places = t[rows], y[rows], u[rows], line.places[rows]
    times, at = merged(t, SAME_TIME * np.abs(t).max())
    for key in (places * len(times) + at, places):  # first the same time twice, then times that do not increase
        order = np.argsort(key, kind="stable")
        stops = np.flatnonzero((np.diff(key[order]) == 0) & (np.diff(at[order]) <= 0))
        if stops.size:
            k = stops[np.argmin(rows[order[stops + 1]])]
            raise _not_increasing(table, line, t, rows, (order[k], order[k + 1]), time, position, run)
    values = np.full((len(times), len(line.points), y.shape[1]), np.nan)
    values[at, places] = y
    drive = np.full((len(times), u.shape[1]), np.nan)
    for j, (name, column) in enumerate(inputs.items()):
        known = np.flatnonzero(np.isfinite(u[:, j]))
        drive[at[known[::-1]], j] = u[known[::-1], j]  # the first of a time stays
        one = drive[at[known], j]
        odd = known[np.abs(u[known, j] - one) > SAME_INPUT * np.maximum(np.abs(one), np.abs(u[known, j]))]
        if odd.size:
            i = int(rows[odd[0]])
            message = f"input {name!r} differs between points at {time} = {number_text(t[odd[0]])} "
            message += f"({table.place(i, column)}). An input has one value for all points; what differs between them "
            raise table.error(f"{message}is a field, with an equation of its own.", i=i, column=column)
    return FieldRun(name=run, t=times, y=values, u=drive)


def _not_increasing(
    table: RawTable, line: Line, t: np.ndarray, rows: np.ndarray, pair: tuple, time: str, position: str, run: str
) -> DataError:
    """Return the error about two rows at one point of which the second is not later; `t` and `rows` of the run."""
    before, after = (int(rows[k]) for k in pair)
    wide = isinstance(table, WideTable)
    at = "" if wide else f" and {position} = {line.labels[line.places[after]]}"
    where = f"{table.source}, {table.row_word}s {table.rows[before]} and {table.rows[after]}"
    where += f", trajectory {run!r}" if run else ""
    advice = "" if run else ", or name the column that separates runs with `trajectory`"
    if np.isclose(*t[list(pair)], rtol=0, atol=SAME_TIME * np.abs(t).max()):
        message = f"two rows are for {time} = {number_text(t[pair[1]])}{at} ({where}). Keep one{advice}."
        return table.error(message, i=after, column=time)
    message = f"{time} must increase at each point, but {number_text(t[pair[1]])} follows {number_text(t[pair[0]])}"
    message += f" ({where}). Sort the rows by {time}{advice}."
    return table.error(message, i=after, column=time)


# ------------------------------------------------------------------ from arrays
def from_arrays(
    t,
    x,
    fields,
    *,
    position: str,
    time: str,
    inputs,
    covariates,
    interpolation: str | Mapping[str, str],
    source: str,
) -> "Dataset":
    """Return the Dataset of `Dataset.from_fields`."""
    from udesys.data.dataset import Dataset

    x = _numbers(x, "x", source)
    if x.ndim != 1 or not x.size or not (np.diff(x) > 0).all():
        message = f"x must be (points,) and increase, but is {x.shape} ({source})."
        raise DataError(f"{message} Sort the columns of the fields by their positions.", file=source)
    line = line_of(x, position, source)
    runs = _runs(fields, source)
    names = list(runs)
    times, driving, constants = (_by_run(given, names) for given in (t, inputs, covariates))
    first = next(iter(runs.values()))
    driven, constant = list(driving[0] or ()), [n for n in constants[0] or () if n != position]
    made = []
    for k, (name, values) in enumerate(runs.items()):
        where = f"run {name!r} of {source}" if name else source
        at = _numbers(times[k], "t", where)
        for what, given, known in (("fields", values, first), ("inputs", driving[k] or {}, driven)):
            if set(given) != set(known):
                message = f"the {what} of {where} are {', '.join(given) or 'none'}, those of the first run "
                raise DataError(f"{message}{', '.join(known) or 'none'}. Give every run the same.", file=source)
        y = np.full((at.size, len(line.points), len(first)), np.nan)
        for j, field in enumerate(first):
            y[:, line.places, j] = _shaped(values[field], (at.size, x.size), f"{field} of {where}", "times, points")
        u = np.zeros((at.size, len(driven)))
        for j, name_of in enumerate(driven):
            u[:, j] = _shaped(driving[k][name_of], (at.size,), f"input {name_of} of {where}", "times")
        run = FieldRun(name=name, t=at, y=y, u=u)
        missing = [n for n in constant if n not in (constants[k] or {})]
        if missing:
            raise DataError(f"covariate {missing[0]!r} is missing in {where}. Give it to every run.", file=source)
        made += trajectories(run, line, position, np.array([float(constants[k][n]) for n in constant]))
    kinds = dict.fromkeys(driven, interpolation) if isinstance(interpolation, str) else interpolation
    return Dataset(
        columns=tuple(first),
        trajectories=tuple(made),
        time=time,
        source=source,
        inputs={name: kinds.get(name, "linear") for name in driven},
        covariates=(*constant, position),
        position=position,
    )


def _runs(fields, source: str) -> dict[str, Mapping]:
    """Return run -> field -> array; the only run of arrays that are given without runs has no name."""
    if isinstance(fields, Mapping) and fields and not any(isinstance(v, Mapping) for v in fields.values()):
        return {"": fields}
    several = dict(fields) if isinstance(fields, Mapping) else _listed(fields)
    if not several or not all(isinstance(v, Mapping) and v for v in several.values()):
        form = '{"u": array} for one run, [{"u": array}, ...] or {"A": {"u": array}, ...} for several'
        raise DataError(f"fields must be {form} ({source}).", file=source)
    return {str(name): run for name, run in several.items()}


def _listed(fields) -> dict[str, object]:
    return {str(k): run for k, run in enumerate(fields)} if isinstance(fields, list | tuple) else {}


def _by_run(given, names: Sequence[str]) -> list:
    """Return what is given for each run: one entry for each, or the same for all."""
    if isinstance(given, Mapping) and {str(name) for name in given} == set(names):
        return [next(v for n, v in given.items() if str(n) == name) for name in names]
    several = isinstance(given, list | tuple) and len(given) == len(names) and names != [""]
    if several and all(isinstance(v, Mapping | Iterable) for v in given):
        return list(given)
    return [given] * len(names)


def _numbers(values, what: str, where: str) -> np.ndarray:
    try:
        return np.array(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"{what} must hold numbers ({where}): {error}.") from error


def _shaped(values, shape: tuple[int, ...], what: str, axes: str) -> np.ndarray:
    array = _numbers(values, what, "an array")
    if array.shape != shape:
        turned = " Is it transposed?" if array.shape == shape[::-1] and len(shape) == 2 else ""
        raise DataError(f"{what} must be {shape}, ({axes}), but is {array.shape}.{turned}")
    return array


# ------------------------------------------------------------------ runs of a dataset
def runs_of(data: "Dataset", sole: str) -> dict[str, tuple["Trajectory", ...]]:
    """Return run -> its trajectories, one for each point.

    Args:
        data: with a position.
        sole: name of a run without one.
    """
    runs: dict[str, list] = {}
    for point in data.trajectories:
        name = point.name.rpartition(f"{data.position} = ")[0].removesuffix(", ") or sole
        runs.setdefault(name, []).append(point)
    return {name: tuple(points) for name, points in runs.items()}


def check_fields(data: "Dataset") -> None:
    """Raise DataError where trajectories are no points of runs: other positions, other times, or another order."""
    if data.position not in data.covariates:
        message = f"the position {data.position!r} is no covariate of {data.source}. Use Dataset.from_fields."
        raise DataError(message, file=data.source, column=data.position)
    at, runs = data.covariates.index(data.position), data.runs
    first = next(iter(runs.values()))
    points = [point.covariates[at] for point in first]
    in_order = [point for run in runs.values() for point in run]
    fits = (np.diff(points) > 0).all() and all(a is b for a, b in zip(in_order, data.trajectories, strict=True))
    for run in runs.values():
        fits = fits and [point.covariates[at] for point in run] == points
        fits = fits and all(np.array_equal(point.t, run[0].t) for point in run)
    if not fits:
        message = f"the trajectories of {data.source} are no fields: every run needs all points, by increasing "
        message += f"{data.position!r}, at the same times, and is named as in 'A, {data.position} = 0.5'."
        raise DataError(f"{message} Use Dataset.from_fields.", file=data.source, column=data.position)
