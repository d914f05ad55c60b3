"""Measured fields as the fit begins with them: profiles made smooth, and operators along the grid as inputs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from udesys.data import Dataset, smooth
from udesys.errors import FitError
from udesys.model import HybridODE
from udesys.model.along_grid import GridLaw
from udesys.model.grid import EVEN
from udesys.model.runs_on_grid import Run, runs_of

LEAST_SMOOTHED = 10  # points from which a profile is smoothed; fewer are joined by lines


def runs_of_data(model: HybridODE, data: Dataset) -> tuple[Run, ...]:
    """The runs of a dataset; see `runs_of`."""
    lengths = [len(run.t) for run in data.trajectories]
    ends = np.cumsum(lengths)
    return runs_of(model, np.concatenate([run.t for run in data.trajectories]), (ends - lengths, ends))


def refuse_other_points(model: HybridODE, data: Dataset) -> None:
    """Refuse fields that were measured at other positions than the model's grid has.

    Args:
        model: with a grid.
        data: of its points; where it does not name its position, nothing can be told.

    Raises:
        FitError: it has more or fewer points, or others.
    """
    points, grid = np.array(data.points), model.grid
    if not len(points):
        return
    own = np.array(grid.points)
    if len(points) == len(own) and (np.abs(points - own) <= EVEN * grid.spacing * len(own)).all():
        return
    there = f"{len(points)} points of {data.position} from {points[0]:g} to {points[-1]:g}"
    raise FitError(
        f"the model's grid has {grid.n} points of {grid.name} from {own[0]:g} to {own[-1]:g}, but {data.source} has "
        f"{there}. Take them from the data: Grid(data.points, ends, data.position)."
    )


def profiles(model: HybridODE, data: Dataset) -> list[np.ndarray]:
    """Fields (times, n, d) of every run, smoothed along the grid; zero where a field is not measured at all."""
    x, found = np.array(model.grid.points), []
    y = np.concatenate([run.y for run in data.trajectories])
    for run in runs_of_data(model, data):
        values = np.zeros((*run.rows.shape, len(model.states)))
        for j, field in enumerate(model.states):
            if field in data.columns:
                columns = y[run.rows, data.columns.index(field)]
                values[:, :, j] = _smoothed(columns, run.t, x, ring=model.grid.ends_of(field) == "periodic")
        found.append(values)
    return found


def _smoothed(columns: np.ndarray, t: np.ndarray, x: np.ndarray, *, ring: bool) -> np.ndarray:
    """(times, n) profiles made smooth; times without any measurement lie between their neighbours."""
    n, made = len(x), np.full_like(columns, np.nan)
    pad = n // 2 if ring else 0
    around = np.arange(-pad, n + pad)
    places = x[0] + (x[1] - x[0]) * around
    for k, profile in enumerate(columns):
        known = np.isfinite(profile)
        if known.sum() >= LEAST_SMOOTHED:
            made[k] = smooth(places, profile[around % n]).values[pad : pad + n]
        elif known.any():
            made[k] = np.interp(x, x[known], profile[known], period=n * (x[1] - x[0]) if ring else None)
    seen = np.isfinite(made).all(1)
    if not seen.any():
        return np.zeros_like(columns)
    for c in range(n):
        made[:, c] = np.interp(t, t[seen], made[seen, c])
    return made


def with_operators(model: HybridODE, data: Dataset, fields: list[np.ndarray]) -> Dataset:
    """The data with the operators along the grid as inputs, taken from fields (times, n, d) of every run.

    Every point is then a run of its own with known neighbours.
    """
    law, names = GridLaw(model), tuple(part.name for part in model.spatial)
    kept = [k for k, name in enumerate(data.inputs) if name not in names]
    along = [law.spatial(values) for values in fields]
    trajectories = []
    for place, own in enumerate(data.trajectories):
        run, point = divmod(place, model.grid.n)
        trajectories.append(replace(own, u=np.concatenate([own.u[:, kept], along[run][:, point]], 1)))
    inputs = {name: kind for name, kind in data.inputs.items() if name not in names} | dict.fromkeys(names, "linear")
    return replace(data, trajectories=tuple(trajectories), inputs=inputs)


def without_operators(model: HybridODE, data: Dataset) -> Dataset:
    """The data as they were read."""
    names = tuple(part.name for part in model.spatial)
    if not set(names) & set(data.inputs):
        return data
    kept = [k for k, name in enumerate(data.inputs) if name not in names]
    runs = tuple(replace(run, u=run.u[:, kept]) for run in data.trajectories)
    return replace(data, trajectories=runs, inputs={n: k for n, k in data.inputs.items() if n not in names})
