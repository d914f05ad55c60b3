"""Figure of the law against the measurements along time, with what was held out or is forecast."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from udesys.report.courses import Course, courses_of
from udesys.report.curves import MOST_CURVE, Run, kept_rows, most_points
from udesys.report.field_figure import draw_fields
from udesys.report.style import (
    BLACK,
    INK,
    ORANGE,
    PANEL,
    SHADE,
    TRAJECTORY_COLOURS,
    WIDE,
    Picture,
    few_ticks,
    keep_near,
    labelled,
    plain,
    short,
    styled,
)

WIDTH = 7.0  # inches, of the picture by itself
SMALL_SERIES = 80  # samples; longer series get smaller markers
LONG_SERIES = 1500  # samples; longer series get thinner lines
TICKS_PER_INCH = 1.5
TIME_MARGIN = 0.02  # of the time span, kept free beside it
LEGEND_COLUMN = 1.6  # inches
BAND = {"alpha": 0.25, "lw": 0, "zorder": 1}
HYBRID_LINE = {"color": BLACK, "lw": 0.9, "ls": (0, (4, 2.5))}
FORECAST_LINE = (0, (1.2, 1.2))
OUTSIDE = {"color": ORANGE, "lw": 5.0, "alpha": 0.45, "zorder": 2, "solid_capstyle": "butt"}


@styled
def draw_fit(
    law,
    *,
    courses: tuple[list[Course], int] | None = None,
    width: float | None = None,
    titled: bool = True,
    units: Mapping[str, str] | None = None,
) -> Picture:
    """Draw every measured column along time: measurements, closed form, hybrid, what was held out, and a forecast.

    Fields on a grid are drawn over time and position, see `draw_fields`.

    Args:
        law: a Discovery.
        courses: from `courses_of`, where they are there already.
        width: of the picture [inches]; what suits it if None.
        titled: put the name of the data on top.
        units: name -> unit, of columns and of the time.
    """
    if law.model.grid is not None:
        return draw_fields(law, courses=courses, width=width or WIDE, titled=titled, units=units)
    width, (drawn, n_runs) = width or WIDTH, courses or courses_of(law)
    columns, runs = law.data.columns, [course.run for course in drawn]
    legend_on_top = 0.55 * (not titled and width <= PANEL and len(drawn) > 1)
    picture = Picture(width, 0.9 + legend_on_top + 1.75 * max(len(columns), 1.3))
    panels = np.atleast_1d(picture.subplots(len(columns), 1, sharex=True))
    for j, (column, panel) in enumerate(zip(columns, panels, strict=True)):
        place = law.model.measurable.index(column)
        for k, course in enumerate(drawn):
            _draw_course(panel, course, j, run_colours(k, len(drawn)), place, most_points(len(drawn)))
        keep_near(panel.yaxis, [part[:, j] for run in runs for part in (run.y, run.held_y)])
        panel.set_ylabel(labelled(column, units))
        panel.set_title(_errors_text(law, column), loc="right", color=INK, pad=4)
    low, high = min(run.span[0] for run in runs), max(course.end for course in drawn)
    pad = TIME_MARGIN * ((high - low) or 1.0)
    panels[0].set_xlim(low - pad, high + pad)
    _shade_what_is_not_fitted(panels, drawn, high + pad)
    panels[-1].set_xlabel(labelled(law.data.time, units))
    few_ticks(panels[-1].xaxis, round(TICKS_PER_INCH * width))
    picture.align_ylabels(panels)
    title_and_legends(picture, law, runs, n_runs, _handles(drawn), titled=titled)
    return picture


# ------------------------------------------------------------------ one trajectory
def run_colours(k: int, n_runs: int) -> tuple[str, str]:
    """Colours of the curve and of the measurements; one trajectory alone has grey points."""
    colour = TRAJECTORY_COLOURS[k % len(TRAJECTORY_COLOURS)]
    return colour, (INK if n_runs == 1 else colour)


def draw_points(panel, x, y, colour: str, *, held_out: bool, n: int) -> None:
    """Draw measurements of a series of n samples."""
    size, edge = (4.0, 0.9) if n <= SMALL_SERIES else (2.2, 0.6)
    marker, fill = ("D", colour) if held_out else ("o", "white")
    panel.plot(x, y, ls="", marker=marker, ms=size, mfc=fill, mec=colour, mew=edge, zorder=3)


def _draw_course(panel, course: Course, j: int, colours, place: int, most: int) -> None:
    (line, point), run = colours, course.run
    n = len(run.t) + len(run.held_t)
    for t, y, held_out in ((run.t, run.y, False), (run.held_t, run.held_y, True)):
        kept = kept_rows(y[:, j], most=most)
        draw_points(panel, t[kept], y[kept, j], point, held_out=held_out, n=n)
    t, x = course.closed
    shown = kept_rows(x[:, place], most=MOST_CURVE) if len(t) else slice(0)
    width = 1.7 if n <= LONG_SERIES else 1.0
    panel.plot(t[shown], x[shown, place], color=line, lw=width, zorder=4)
    _mark_outside(panel, course, place, shown)
    if len(t) and t[-1] < run.span[1]:
        panel.axvline(t[-1], color=line, lw=0.8, ls=":", zorder=2)
        panel.annotate(
            f"diverges at {t[-1]:.4g}",
            (t[-1], 0.86),
            (4, 0),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            va="top",
            color=line,
            fontsize=8,
        )
    if course.beyond is not None:
        panel.plot(course.beyond[0], course.beyond[1][:, place], color=line, lw=width, ls=FORECAST_LINE, zorder=4)
        shown = np.concatenate([shown, len(t) + np.arange(len(course.beyond[0]))])
        t = np.concatenate([t, course.beyond[0]])
    if course.band is not None:
        panel.fill_between(t[shown], *(edge[shown, place] for edge in course.band), color=line, **BAND)
    if course.hybrid is not None:
        t, x = course.hybrid
        shown = kept_rows(x[:, place], most=MOST_CURVE)
        panel.plot(t[shown], x[shown, place], zorder=5, **HYBRID_LINE)


def _mark_outside(panel, course: Course, place: int, shown) -> None:
    """A line along what of the law is outside of what the data visited, wider than the law's own and behind it."""
    (t, x), rows = course.closed, np.arange(len(course.closed[0]))[shown]
    if course.beyond is not None:
        rows = np.concatenate([rows, len(t) + np.arange(len(course.beyond[0]))])
        t, x = map(np.concatenate, zip(course.closed, course.beyond, strict=True))
    if course.outside[rows].any():
        panel.plot(t[rows], np.where(course.outside, x[:, place], np.nan)[rows], **OUTSIDE)


def _shade_what_is_not_fitted(panels, drawn: list[Course], end: float) -> None:
    """Shade the times after the last one that any trajectory drawn was fitted to."""
    fitted = [float(course.run.t[-1]) for course in drawn if len(course.run.t)]
    later = [float(course.run.held_t[0]) for course in drawn if course.run.continues]
    later += [float(course.run.span[1]) for course in drawn if course.beyond is not None]
    if not (fitted and later) or min(later) < max(fitted):
        return
    begin = 0.5 * (max(fitted) + min(later))
    for panel in panels:
        panel.axvspan(begin, end, color=SHADE, lw=0, zorder=0)
    word = "held out" if any(course.run.continues for course in drawn) else "forecast"
    panels[0].annotate(
        word,
        (begin, 0.97),
        (4, 0),
        xycoords=("data", "axes fraction"),
        textcoords="offset points",
        va="top",
        color=INK,
        fontsize=8,
    )


# ------------------------------------------------------------------ words
def _errors_text(law, column: str) -> str:
    parts = []
    for key, word in (("fit", "fit"), ("heldout", "held out")):
        value = law.error.get(key, {}).get(column)
        if value is not None:
            parts.append(f"{word} {value:.3g}" if np.isfinite(value) else f"{word} diverged")
    return f"RMSE {', '.join(parts)}" if parts else ""


def style_colours(runs: list[Run]) -> tuple[str, str]:
    """Colours that stand for every trajectory in a legend."""
    return run_colours(0, 1) if len(runs) == 1 else (INK, INK)


def measured_handles(runs: list[Run]) -> list:
    """Of the measurements in a legend; where not all are drawn, that says so."""
    point, most = style_colours(runs)[1], most_points(len(runs))
    dots = {"ls": "", "ms": 4.5, "marker": "o", "mec": point, "mfc": "white"}
    diamonds = {**dots, "marker": "D", "mfc": point}
    fitted, held = max(len(run.t) for run in runs), max(len(run.held_t) for run in runs)
    handles = []
    if fitted:
        handles.append(Line2D([], [], label=f"measured{' (thinned)' * (fitted > most)}", **dots))
    if held:
        handles.append(Line2D([], [], label=f"measured, held out{' (thinned)' * (held > most)}", **diamonds))
    return handles


def curve_handles(runs: list[Run]) -> list:
    """Of the law in a legend."""
    return [Line2D([], [], color=style_colours(runs)[0], lw=1.7, label="closed form")]


def _handles(drawn: list[Course]) -> list:
    runs = [course.run for course in drawn]
    colour, handles = style_colours(runs)[0], [*measured_handles(runs), *curve_handles(runs)]
    if any(course.band is not None for course in drawn):
        handles.append(Patch(color=colour, label="95 % band", **BAND))
    if any(course.beyond is not None for course in drawn):
        handles.append(Line2D([], [], color=colour, lw=1.7, ls=FORECAST_LINE, label="forecast"))
    if any(course.outside.any() for course in drawn):
        handles.append(Line2D([], [], label="outside of what the data visited", **OUTSIDE))
    if any(course.hybrid is not None for course in drawn):
        handles.append(Line2D([], [], label="hybrid with networks", **HYBRID_LINE))
    return handles


def title_and_legends(picture, law, runs: list[Run], n_runs: int, styles: list, *, titled: bool) -> None:
    """Put the name of the data on top, what the lines are below, and which trajectory is which beside or above."""
    drawn = "" if n_runs == len(runs) else f"   {len(runs)} of {n_runs} trajectories"
    if titled:
        picture.suptitle(f"{plain(law.data.source)}{drawn}", fontweight="bold")
    columns = max(2, int(picture.get_figwidth() / LEGEND_COLUMN))
    rows = -(-len(styles) // columns)
    picture.legend(handles=styles, loc="outside lower center", ncols=-(-len(styles) // rows))
    if len(runs) > 1:
        names = [Patch(color=run_colours(k, len(runs))[0], label=short(run.name)) for k, run in enumerate(runs)]
        beside = titled or picture.get_figwidth() > PANEL
        place = {"loc": "outside right upper"} if beside else {"loc": "outside upper center", "ncols": 3}
        picture.legend(handles=names, handlelength=1.2, title="trajectory", title_fontsize=8.5, **place)
