"""A law of fields simulated on from its data, as a table in long form: a row for each time and point."""

from __future__ import annotations

import numpy as np

from udesys.assess.beside import last_values
from udesys.assess.discovery import Discovery
from udesys.assess.field_runs import FieldRun, band_along, field_runs, hybrid_along, law_along, point_of
from udesys.errors import DataError, SolveError


def runs_asked(law: Discovery, name: str | None) -> list[tuple[FieldRun, int | None]]:
    """The runs to forecast, each with the one point that is asked for, or None for all.

    Args:
        law: of fields.
        name: of a run or of a point; all runs if None.

    Raises:
        DataError: there is none of that name.
    """
    if name is not None:
        return [point_of(law, name)]
    return [(run, None) for run in field_runs(law) if run.at is not None]


def run_table(law: Discovery, run: FieldRun, point: int | None, t: np.ndarray, *, compare: bool):
    """The forecast of one run: all points are one simulation.

    Args:
        law: of fields.
        run: one of its fitted runs.
        point: the place of the only one that is asked for; None for all.
        t: (times,) increasing.
        compare: add the hybrid's, where the law has its fit, and persistence.

    Returns:
        A table of the time, the position, every field and observable with its band, and what is set beside them; and
        notes in words.
    """
    import pandas as pd

    names, grid = law.model.measurable, law.model.grid
    places = list(range(grid.n)) if point is None else [point]
    values, (low, high) = law_along(law, run, t), band_along(law, run, t)
    blocks = {"": values, " low": low, " high": high}
    notes: list[str] = []
    if compare:
        told = _hybrid(law, run, t, blocks)
        notes += [told] if told else []
    columns = {law.data.time: np.repeat(t, len(places)), grid.name: np.tile(np.array(grid.points)[places], len(t))}
    columns |= {
        f"{name}{end}": block[:, places, j].reshape(-1) for j, name in enumerate(names) for end, block in blocks.items()
    }
    frame = pd.DataFrame(columns)
    if compare:
        last = np.array([last_values(run.fitted[k], float(t[0])) for k in places])  # (places, columns)
        for j, name in enumerate(law.data.columns):
            frame[f"{name} persistence"] = np.tile(last[:, j], len(t))
    return frame, notes


def _hybrid(law: Discovery, run: FieldRun, t: np.ndarray, blocks: dict[str, np.ndarray]) -> str:
    """Adds what the hybrid forecasts; returns what is to be said of it."""
    if law.fit is None:
        return "the fit of the hybrid was not kept, so that there is nothing of it to compare."
    try:
        blocks[" hybrid"] = hybrid_along(law, run, t)
    except SolveError:
        return f"the hybrid leaves the finite numbers before {law.data.time} = {t[-1]:g}."
    return ""


def refuse_many(law: Discovery, rows: int, most: int) -> None:
    """Refuse a table of too many rows.

    Args:
        law: of fields.
        rows: times of all runs together.
        most: rows that it may have.

    Raises:
        DataError: it would have more.
    """
    rows *= law.model.grid.n
    if rows > most:
        raise DataError(
            f"the forecast would have {rows} rows, a row for each time and point, and at most {most} are "
            "written. Give a longer step, or one point."
        )
