"""A law simulated on from its data, as a table with bands that says where it leaves what the data visited."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from udesys.assess.ahead_fields import refuse_many, run_table, runs_asked
from udesys.assess.beside import hybrid_course, last_values
from udesys.assess.discovery import Discovery
from udesys.assess.forecast import driving_along
from udesys.assess.new_run import NewRun, forecast_new
from udesys.assess.summary import estimates_of
from udesys.errors import DataError, SolveError, did_you_mean
from udesys.integrate.driving import Driving

if TYPE_CHECKING:
    import pandas as pd

MOST_ROWS = 1_000_000
INSIDE = "inside"  # column: every state lies where the data were
ENDS = ("", " low", " high", " hybrid", " persistence")  # of the names of columns
MARGIN = 0.01  # of a visited range, that counts as inside: between two samples states go a little further than at them


def forecast_table(
    law: Discovery,
    until: float,
    *,
    start: float | None = None,
    step: float | None = None,
    trajectory: str | None = None,
    compare: bool = False,
    new: NewRun | None = None,
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Forecast a law to a time, for one trajectory or all, or for a run that was never made.

    Args:
        law: what was discovered.
        until: the last time [the data's time unit].
        start: the first time; the last fitted sample if None, of a new run the first sample of the data.
        step: between two times; the median of the samples' if None.
        trajectory: its name, of fields that of a run or of one point; all if None.
        compare: add what the hybrid with its networks forecasts, where the law has its fit, and persistence.
        new: a run that was never made, which is forecast and none of the data.

    Returns:
        A table of the trajectory (where there are several), the time, every state and observable with the ends
        `NAME low` and `NAME high` of its 95 % band, and `inside`, false where a state is outside of what the data
        visited; and notes in words. To compare there are `NAME hybrid` too, and `NAME persistence` of what is
        measured: the last value before the forecast, of a new run its first. Of fields there is a row for each time
        and point, with its position, and the trajectory is the run.

    Raises:
        DataError: there is no such trajectory, it is asked for with a new run, or the times are not usable.
        SolveError: the law blows up before `until`.
    """
    import pandas as pd

    if new is not None:
        return _new_table(law, new, until, start, step, trajectory, compare)
    if law.model.grid is not None:
        return _field_table(law, until, start, step, trajectory, compare)
    runs = law.data.trajectories
    places = range(len(runs)) if trajectory is None else [place_of(law, trajectory)]
    frames, notes = [], []
    for place in places:
        t = times_of(law, place, until, start, step)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            frame, bands = law.forecast(t, place), law.bands(t, place)
        notes += [str(w.message) for w in caught]
        beside, told = _beside(law, t, place) if compare else ({}, [])
        frame, notes = _joined(law, frame, bands, beside), [*notes, *told]
        name = runs[place].name if len(runs) > 1 else None
        notes += [*_left(law, frame, name), *_wide(law, frame, name)]
        frames.append(frame if len(runs) == 1 else frame.assign(trajectory=runs[place].name))
    table = pd.concat(frames, ignore_index=True)
    if len(runs) > 1:
        table.insert(0, "trajectory", table.pop("trajectory"))
    return table, tuple(dict.fromkeys([*notes, *_held(law)]))


def _new_table(law: Discovery, new: NewRun, until: float, start, step, name: str | None, compare: bool):
    """The same of a run that was never made."""
    if name is not None:
        raise DataError(f"a new run has its own start, not that of trajectory {name!r}. Leave one of them out.")
    t = new_times(law, until, start, step)
    frame, bands, beside, told = forecast_new(law, t, new), law.bands(t, start=new.start, at=new.at), {}, []
    if compare:
        beside, told = _hybrid(law, new.x0[0], float(t[0]), t, new.driving(float(t[0])))
        beside |= {f"{name} persistence": np.full(len(t), frame[name][0]) for name in law.data.columns}
    table = _joined(law, frame, bands, beside)
    return table, tuple([*new.notes, *told, *_left(law, table, None), *_wide(law, table, None), *_held(law)])


def _joined(law: Discovery, frame: pd.DataFrame, bands: pd.DataFrame, beside: Mapping) -> pd.DataFrame:
    """One trajectory's table, its columns in order."""
    frame = frame.join(bands[[c for c in bands if c != law.data.time]]).assign(**beside)
    ends = [end for end in ENDS if any(f"{name}{end}" in frame for name in law.model.measurable)]
    ordered = [f"{name}{end}" for name in law.model.measurable for end in ends if f"{name}{end}" in frame]
    return frame[[law.data.time, *ordered]].assign(**{INSIDE: inside_visited(law, frame)})


def _field_table(law: Discovery, until: float, start, step, name: str | None, compare: bool):
    """The same of fields: every run is simulated once."""
    import pandas as pd

    asked, frames, notes = runs_asked(law, name), [], []
    times = [times_of(law, run.at.start, until, start, step) for run, _ in asked]
    refuse_many(law, sum(map(len, times)), MOST_ROWS)
    several = len(runs_asked(law, None)) > 1
    for (run, point), t in zip(asked, times, strict=True):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            frame, told = run_table(law, run, point, t, compare=compare)
        notes += [*(str(w.message) for w in caught), *told]
        ends = [end for end in ENDS if any(f"{name}{end}" in frame for name in law.model.measurable)]
        ordered = [f"{name}{end}" for name in law.model.measurable for end in ends if f"{name}{end}" in frame]
        columns = [law.data.time, law.model.grid.name, *ordered]
        frame = frame[columns].assign(**{INSIDE: inside_visited(law, frame)})
        called = run.name if several else None
        notes += [*_left(law, frame, called), *_wide(law, frame, called)]
        if several:
            frame.insert(0, "trajectory", run.name)
        frames.append(frame)
    return pd.concat(frames, ignore_index=True), tuple(dict.fromkeys([*notes, *_held(law)]))


def table_json(table: pd.DataFrame) -> str:
    """A table as a JSON list of one object for each row.

    Args:
        table: of numbers and names.
    """
    return table.to_json(orient="records", double_precision=15, indent=1) + "\n"


def place_of(law: Discovery, name: str) -> int:
    """The place of a fitted trajectory.

    Raises:
        DataError: there is none of that name.
    """
    names = [run.name for run in law.data.trajectories]
    if name not in names:
        raise DataError(f"there is no trajectory {name!r}. {did_you_mean(name, names, listed='The law was fitted to')}")
    return names.index(name)


def times_of(law: Discovery, place: int, until: float, start: float | None, step: float | None) -> np.ndarray:
    """Equal steps from the start on, the last one cut to end at `until`; arguments as for `forecast_table`.

    Raises:
        DataError: the times are not usable.
    """
    run = law.data.trajectories[place]
    start = float(run.t[-1]) if start is None else start
    step = float(np.median(np.diff(run.t))) if step is None else step
    where = f"trajectory {run.name!r}, {law.data.time} = {run.t[0]:g} to {run.t[-1]:g}"
    if start < run.t[0]:
        raise DataError(f"from = {start:g} is before {run.t[0]:g}, the first sample ({where}).")
    return _equal_steps(start, until, step, where)


def new_times(law: Discovery, until: float, start: float | None, step: float | None) -> np.ndarray:
    """The same of a run that was never made, which may start before the data do.

    Raises:
        DataError: the times are not usable.
    """
    runs = law.data.trajectories
    start = min(float(run.t[0]) for run in runs) if start is None else start
    step = float(np.median(np.concatenate([np.diff(run.t) for run in runs]))) if step is None else step
    return _equal_steps(start, until, step, "a new run")


def _equal_steps(start: float, until: float, step: float, where: str) -> np.ndarray:
    if not (math.isfinite(start) and math.isfinite(until) and until > start):
        raise DataError(f"until = {until:g} must be after {start:g}, where the forecast starts ({where}).")
    if not (math.isfinite(step) and step > 0) or (until - start) / step > MOST_ROWS:
        raise DataError(f"step = {step:g} must be positive and give at most {MOST_ROWS} rows ({where}).")
    count = math.ceil((until - start) / step - 1e-9)
    return np.append(start + step * np.arange(count), until)


def inside_visited(law: Discovery, frame: Mapping) -> np.ndarray:
    """(rows,) whether every state lies where the data were.

    Args:
        law: what was discovered.
        frame: state -> (rows,) values, such as a table of them.
    """
    return ~np.any([_outside(law, state, np.asarray(frame[state])) for state in law.model.states], axis=0)


def _outside(law: Discovery, state: str, values):
    low, high = law.visited[state]
    margin = MARGIN * (high - low)
    return ~((values >= low - margin) & (values <= high + margin))


def _beside(law: Discovery, t: np.ndarray, place: int) -> tuple[dict[str, np.ndarray], list[str]]:
    """Columns of the hybrid and of persistence, and what is to be said of them."""
    run = law.data.trajectories[place]
    last = dict(zip(law.data.columns, last_values(run, float(t[0])), strict=True))
    columns = {f"{name} persistence": np.full(len(t), value) for name, value in last.items()}
    start = None if law.fit is None else law.fit.states[place][0]
    found, told = _hybrid(law, start, float(run.t[0]), t, driving_along(law.model, law.data, law.heldout, run))
    return columns | found, told


def _hybrid(law: Discovery, start: np.ndarray | None, t0: float, t: np.ndarray, driving: Driving | None):
    """Columns of the hybrid from its state (d,) at t0, and what is to be said of them."""
    if law.fit is None:
        return {}, ["the fit of the hybrid was not kept, so that there is nothing of it to compare."]
    try:
        course = hybrid_course(law.fit, start, t0, t, driving)
    except SolveError as error:
        return {}, [str(error)]
    columns = {f"{name} hybrid": values for name, values in zip(law.model.measurable, course.T, strict=True)}
    lost = ~np.isfinite(course).all(1)
    if not lost.any():
        return columns, []
    return columns, [f"the hybrid diverges at {law.data.time} = {t[int(lost.argmax())]:g}."]


def _left(law: Discovery, frame: pd.DataFrame, name: str | None) -> Sequence[str]:
    """A note where the forecast leaves the visited region."""
    outside = ~frame[INSIDE].to_numpy()
    if not outside.any():
        return []
    first = frame.iloc[int(outside.argmax())]
    states = [s for s in law.model.states if _outside(law, s, first[s])]
    return [
        f"{_whose(name)}at {law.data.time} = {first[law.data.time]:g} the law leaves what the data visited "
        f"({', '.join(f'{s} = {first[s]:.4g}' for s in states)}); nothing is claimed there "
        f"({int(outside.sum())} of {len(frame)} rows)."
    ]


def _wide(law: Discovery, frame: pd.DataFrame, name: str | None) -> Sequence[str]:
    """A note for every state from where on its band is wider than all that the data visited."""
    notes = []
    for state in law.model.states:
        low, high = law.visited[state]
        wide = (frame[f"{state} high"] - frame[f"{state} low"]).to_numpy() > high - low
        if wide.any():
            notes.append(
                f"{_whose(name)}at {law.data.time} = {frame[law.data.time].iloc[int(wide.argmax())]:g} the band of "
                f"{state} gets wider than all that the data visited ({low:.4g} to {high:.4g}): the forecast of "
                f"{state} says little there ({int(wide.sum())} of {len(frame)} rows)."
            )
    return notes


def _whose(name: str | None) -> str:
    return "" if name is None else f"trajectory {name!r}: "


def _held(law: Discovery) -> Sequence[str]:
    """A note on constants that the bands keep where they are."""
    held = [n for n, e in estimates_of(law).items() if not e.fixed and (not e.identifiable or e.at_bound is not None)]
    if not held:
        return []
    return [f"the bands keep {', '.join(held)} where it is: the data do not tell how far it may be from there."]
