"""A law simulated on from its data, as a table with bands that says where it leaves what the data visited."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from udesys.assess.discovery import Discovery
from udesys.errors import DataError, did_you_mean

if TYPE_CHECKING:
    import pandas as pd

MOST_ROWS = 1_000_000
INSIDE = "inside"  # column: every state lies where the data were


def forecast_table(
    law: Discovery,
    until: float,
    *,
    start: float | None = None,
    step: float | None = None,
    trajectory: str | None = None,
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Forecast a law to a time, for one trajectory or all.

    Args:
        law: what was discovered.
        until: the last time [the data's time unit].
        start: the first time; the last fitted sample if None.
        step: between two times; the median of the samples' if None.
        trajectory: its name; all if None.

    Returns:
        A table of the trajectory (where there are several), the time, every state and observable with the ends
        `NAME low` and `NAME high` of its 95 % band, and `inside`, false where a state is outside of what the data
        visited; and notes in words.

    Raises:
        DataError: there is no such trajectory, or the times are not usable.
        SolveError: the law blows up before `until`.
    """
    import pandas as pd

    runs = law.data.trajectories
    places = range(len(runs)) if trajectory is None else [_place(law, trajectory)]
    frames, notes = [], []
    for place in places:
        t = _times(law, place, until, start, step)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            frame, bands = law.forecast(t, place), law.bands(t, place)
        notes += [str(w.message) for w in caught]
        frame = frame.join(bands[[c for c in bands if c != law.data.time]])
        ordered = [law.data.time] + [f"{n}{end}" for n in law.model.measurable for end in ("", " low", " high")]
        frame = frame[ordered].assign(**{INSIDE: _inside(law, frame)})
        notes += _left(law, frame, runs[place].name if len(runs) > 1 else None)
        frames.append(frame if len(runs) == 1 else frame.assign(trajectory=runs[place].name))
    table = pd.concat(frames, ignore_index=True)
    if len(runs) > 1:
        table.insert(0, "trajectory", table.pop("trajectory"))
    return table, tuple(dict.fromkeys(notes))


def table_json(table: pd.DataFrame) -> str:
    """A table as a JSON list of one object for each row.

    Args:
        table: of numbers and names.
    """
    return table.to_json(orient="records", double_precision=15, indent=1) + "\n"


def _place(law: Discovery, name: str) -> int:
    names = [run.name for run in law.data.trajectories]
    if name not in names:
        raise DataError(f"there is no trajectory {name!r}. {did_you_mean(name, names, listed='The law was fitted to')}")
    return names.index(name)


def _times(law: Discovery, place: int, until: float, start: float | None, step: float | None) -> np.ndarray:
    """Equal steps from the start on, the last one cut to end at `until`."""
    run = law.data.trajectories[place]
    start = float(run.t[-1]) if start is None else start
    step = float(np.median(np.diff(run.t))) if step is None else step
    where = f"trajectory {run.name!r}, {law.data.time} = {run.t[0]:g} to {run.t[-1]:g}"
    if not (math.isfinite(until) and until > start):
        raise DataError(f"until = {until:g} must be after {start:g}, where the forecast starts ({where}).")
    if start < run.t[0]:
        raise DataError(f"from = {start:g} is before {run.t[0]:g}, the first sample ({where}).")
    if not (math.isfinite(step) and step > 0) or (until - start) / step > MOST_ROWS:
        raise DataError(f"step = {step:g} must be positive and give at most {MOST_ROWS} rows ({where}).")
    count = math.ceil((until - start) / step - 1e-9)
    return np.append(start + step * np.arange(count), until)


def _inside(law: Discovery, frame: pd.DataFrame) -> np.ndarray:
    fine = np.ones(len(frame), bool)
    for state in law.model.states:
        low, high = law.visited[state]
        fine &= ((frame[state] >= low) & (frame[state] <= high)).to_numpy()
    return fine


def _left(law: Discovery, frame: pd.DataFrame, name: str | None) -> Sequence[str]:
    """A note where the forecast leaves the visited region."""
    outside = ~frame[INSIDE].to_numpy()
    if not outside.any():
        return []
    first = frame.iloc[int(outside.argmax())]
    states = [s for s in law.model.states if not law.visited[s][0] <= first[s] <= law.visited[s][1]]
    whose = "" if name is None else f"trajectory {name!r}: "
    return [
        f"{whose}at {law.data.time} = {first[law.data.time]:g} the law leaves what the data visited "
        f"({', '.join(f'{s} = {first[s]:.4g}' for s in states)}); nothing is claimed there "
        f"({int(outside.sum())} of {len(frame)} rows)."
    ]
