"""Figure of a forecast: the law with its band, what it is set beside, and where it leaves what the data visited."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from udesys.assess.ahead import INSIDE, forecast_table, new_times, place_of, times_of
from udesys.assess.beside import last_values
from udesys.assess.field_runs import field_runs, point_of
from udesys.assess.new_run import NewRun
from udesys.report.curves import Run, fitted_run, kept_rows, spread
from udesys.report.fit_figure import BAND, HYBRID_LINE, draw_points
from udesys.report.style import (
    BLUE,
    INK,
    SHADE,
    VERMILLION,
    Picture,
    few_ticks,
    keep_near,
    labelled,
    plain,
    short,
    styled,
)

MOST_RUNS = 3  # trajectories side by side
ROWS, MOST_ROWS = 400, 3000  # times at which a forecast is drawn
FIELD_ROWS = 80  # at least of fields, whose steps are dearer
PER_SAMPLE = 3  # of them between two samples
OUTSIDE = {"color": VERMILLION, "lw": 1.7, "ls": (0, (1.4, 0.8)), "zorder": 4}  # of what the data visited
VISITED = {"color": SHADE, "lw": 0, "zorder": 0}
PERSISTENCE = {"color": INK, "lw": 0.8, "ls": ":", "zorder": 2}
TICKS_PER_INCH = 1.4
LEGEND_COLUMN = 1.9  # inches


@styled
def draw_forecast(
    law,
    until: float,
    *,
    start: float | None = None,
    trajectory: str | None = None,
    width: float | None = None,
    units: Mapping[str, str] | None = None,
    new: NewRun | None = None,
) -> Picture:
    """Draw a law's forecast: measurements, law and band, hybrid, persistence, and what the data visited.

    From the start of the forecast on, the law is drawn in another colour and style where any state is outside of what
    the data visited.

    Args:
        law: a Discovery.
        until: the last time [the data's time unit].
        start: where the forecast starts; the last fitted sample if None, of a new run the first sample of the data.
        trajectory: its name; the first three if None, or of fields three points apart in the first run.
        width: of the picture [inches].
        units: name -> unit, of columns, states and the time.
        new: a run that was never made, which is drawn and none of the data.

    Raises:
        DataError: there is no such trajectory, it is asked for with a new run, or the times are not usable.
        SolveError: the law blows up before `until`.
    """
    runs = [None] if new is not None else [fitted_run(law, k) for k in _places(law, trajectory)]
    names = law.model.measurable
    width = width or (7.0 if len(runs) == 1 else 3.6 * len(runs))
    picture = Picture(width, 1.1 + 1.75 * max(len(names), 1.3))
    panels = picture.subplots(len(names), len(runs), sharex="col", sharey="row", squeeze=False)
    shown: dict[str, object] = {}
    for column, run in zip(panels.T, runs, strict=True):
        if run is None:
            t = new_times(law, until, start, None)
            begin, frame = float(t[0]), _frame(law, t, until, trajectory=trajectory, new=new)
        else:
            begin = float(run.t[-1]) if start is None else start
            times_of(law, run.index, until, start, None)  # refuses what is not usable
            frame = _frame(law, run.t, until, trajectory=run.name)
        for panel, name in zip(column, names, strict=True):
            shown |= _draw_panel(panel, law, run, name, frame, begin)
        column[0].annotate("forecast", (begin, 0.98), (4, 0), xycoords=("data", "axes fraction"),
                           textcoords="offset points", va="top", color=INK, fontsize=8)  # fmt: skip
        column[0].set_title(short(run.name) if len(runs) > 1 else "", loc="left")
        column[-1].set_xlabel(labelled(law.data.time, units))
        few_ticks(column[-1].xaxis, max(3, round(TICKS_PER_INCH * width / len(runs))))
    for panel, name in zip(panels[:, 0], names, strict=True):
        panel.set_ylabel(labelled(name, units))
    picture.align_ylabels(panels[:, 0])
    picture.suptitle(_title(law, until, len(runs), new), fontweight="bold")
    columns = min(len(shown), max(2, int(width / LEGEND_COLUMN)))
    picture.legend(handles=list(shown.values()), loc="outside lower center", ncols=columns)
    return picture


def _title(law, until: float, n_runs: int, new: NewRun | None) -> str:
    source, end = plain(law.data.source), f"to {plain(law.data.time)} {until:g}"
    if new is not None:
        return f"{source}   a new run {', '.join([end, *(f'{plain(n)} = {v:.5g}' for n, v in new.at.items())])}"
    count, what = len(law.data.trajectories), "points" if law.model.grid is not None else "trajectories"
    return f"{source}   {end}{f', {n_runs} of {count} {what}' if n_runs < count else ''}"


def _places(law, name: str | None) -> list[int]:
    """The trajectories that are drawn; of a run of fields some of its points."""
    if law.model.grid is None:
        return list(range(len(law.data.trajectories))[:MOST_RUNS]) if name is None else [place_of(law, name)]
    run, point = (field_runs(law)[0], None) if name is None else point_of(law, name)
    return [run.at.start + k for k in (spread(law, MOST_RUNS) if point is None else [point])]


def _frame(law, t: np.ndarray, until: float, **asked):
    """The forecast's table from the first of some times on, at times close enough for a curve."""
    first = float(t[0])
    spacing = float(np.median(np.diff(t))) / PER_SAMPLE if len(t) > 1 else until - first
    least, most = (ROWS, MOST_ROWS) if law.model.grid is None else (FIELD_ROWS, ROWS)
    rows = float(np.clip((until - first) / spacing, least, most))
    step = (until - first) / rows
    return forecast_table(law, until, start=first, step=step, compare=True, **asked)[0]


def _draw_panel(panel, law, run: Run | None, name: str, frame, begin: float) -> dict[str, object]:
    """Draw one quantity, of a new run without any measurements; label -> handle of what was drawn."""
    shown, t, x = {}, frame[law.data.time].to_numpy(), frame[name].to_numpy()
    known, later = [x], t >= begin
    if name in law.visited:
        known.append(np.array(law.visited[name]))
        panel.axhspan(*law.visited[name], **VISITED)
        shown["what the data visited"] = Patch(label="what the data visited", **VISITED)
    if name in law.data.columns:
        value = x[0]
        if run is not None:
            known += _draw_measured(panel, law, run, name, shown)
            value = last_values(law.data.trajectories[run.index], begin)[law.data.columns.index(name)]
        _draw_line(panel, t[later], np.full(later.sum(), value), "persistence", PERSISTENCE, shown)
    band = {"color": BLUE, **BAND}
    low, high = (frame[f"{name} {end}"].to_numpy() for end in ("low", "high"))
    if not np.isnan(low).all():
        panel.fill_between(t, low, high, **band)
        shown["95 % band"] = Patch(label="95 % band", **band)
    if f"{name} hybrid" in frame:
        _draw_line(panel, t, frame[f"{name} hybrid"].to_numpy(), "hybrid with networks", HYBRID_LINE, shown)
    outside = later & ~frame[INSIDE].to_numpy()
    _draw_line(panel, t, _where(x, ~outside), "law", {"color": BLUE, "lw": 1.7, "zorder": 4}, shown)
    if outside.any():
        _draw_line(panel, t, _where(x, outside), "law, outside of what the data visited", OUTSIDE, shown)
    panel.axvline(begin, color=INK, lw=0.8, zorder=1)
    keep_near(panel.yaxis, known)
    return shown


def _draw_line(panel, t, x, label: str, style: Mapping, shown: dict) -> None:
    panel.plot(t, x, **style)
    shown[label] = Line2D([], [], label=label, **style)


def _draw_measured(panel, law, run: Run, name: str, shown: dict) -> list[np.ndarray]:
    """Draw the measurements of a column; returns them."""
    j, n = law.data.columns.index(name), len(run.t) + len(run.held_t)
    parts = ((run.t, run.y, False, "measured"), (run.held_t, run.held_y, True, "measured, held out"))
    for t, y, held_out, label in parts:
        if len(t):
            kept = kept_rows(y[:, j])
            draw_points(panel, t[kept], y[kept, j], INK, held_out=held_out, n=n)
            fill = INK if held_out else "white"
            shown[label] = Line2D(
                [], [], ls="", marker="D" if held_out else "o", ms=4.5, mec=INK, mfc=fill, label=label
            )
    return [y[:, j] for _, y, _, _ in parts]


def _where(x: np.ndarray, those: np.ndarray) -> np.ndarray:
    """The pieces of a curve on which a condition holds, each with the point before and after it; NaN elsewhere."""
    wider = those | np.append(those[1:], False) | np.insert(those[:-1], 0, False)
    return np.where(wider, x, np.nan)
