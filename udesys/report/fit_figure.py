"""Figures of the law against the measurements: along time, and in the plane of two states."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from udesys.errors import ModelError
from udesys.report.curves import Run, closed_form_curve, hybrid_curve, runs_of, stride_of, thin
from udesys.report.style import (
    BLACK,
    INK,
    SHADE,
    TRAJECTORY_COLOURS,
    Picture,
    few_ticks,
    keep_near,
    plain,
    short,
    styled,
)

STATES_IN_PLANE = 3  # more states would need more pairs than a reader looks at
SMALL_SERIES = 80  # samples; longer series get smaller markers
LONG_SERIES = 1500  # samples; longer series get thinner lines
MOST_TIME_TICKS = 10
TIME_MARGIN = 0.02  # of the time span, kept free beside it
HYBRID_LINE = {"color": BLACK, "lw": 0.9, "ls": (0, (4, 2.5))}
START_MARK = {"ls": "", "marker": "s", "ms": 5.5, "mec": "white", "mew": 0.8}


@styled
def draw_fit(law) -> Picture:
    """Draw every measured column along time: measurements, closed form, hybrid and what was held out.

    Args:
        law: a Discovery.
    """
    runs, n_runs = runs_of(law)
    columns = law.data.columns
    picture = Picture(7.0, 0.9 + 1.75 * max(len(columns), 1.3))
    panels = np.atleast_1d(picture.subplots(len(columns), 1, sharex=True))
    curves = [(closed_form_curve(law, run), hybrid_curve(law, run)) for run in runs]
    for j, (column, panel) in enumerate(zip(columns, panels, strict=True)):
        place = law.model.measurable.index(column)
        for k, (run, (closed, hybrid)) in enumerate(zip(runs, curves, strict=True)):
            _draw_run(panel, run, j, _colours(k, len(runs)), closed, hybrid, place)
        keep_near(panel.yaxis, [part[:, j] for run in runs for part in (run.y, run.held_y)])
        panel.set_ylabel(plain(column))
        panel.set_title(_errors_text(law, column), loc="right", color=INK, pad=4)
    low, high = min(run.span[0] for run in runs), max(run.span[1] for run in runs)
    pad = TIME_MARGIN * ((high - low) or 1.0)
    panels[0].set_xlim(low - pad, high + pad)
    _shade_held_out(panels, runs, high + pad)
    panels[-1].set_xlabel(plain(law.data.time))
    few_ticks(panels[-1].xaxis, MOST_TIME_TICKS)
    picture.align_ylabels(panels)
    styles = [*_measured_handles(runs), *_curve_handles(runs)]
    if any(hybrid is not None for _, hybrid in curves):
        styles.append(Line2D([], [], label="hybrid with networks", **HYBRID_LINE))
    _title_and_legends(picture, law, runs, n_runs, styles, rows=1)
    return picture


@styled
def draw_phase(law) -> Picture:
    """Draw the plane of every two of the first states: where the data went, and the closed form.

    Args:
        law: a Discovery with at least two states.

    Raises:
        ModelError: there is one state only.
    """
    states = law.model.states
    if len(states) < 2:
        raise ModelError(f"a phase plane needs two states, but {states[0]} is the only one. Use draw_fit.")
    runs, n_runs = runs_of(law)
    drawn = [(run, closed_form_curve(law, run)[1]) for run in runs]
    pairs = list(combinations(range(min(len(states), STATES_IN_PLANE)), 2))
    measured = [pair for pair in pairs if all(states[k] in law.data.columns for k in pair)]
    drawn = [(run, curve) for run, curve in drawn if measured or len(curve)]
    runs = [run for run, _ in drawn]
    picture = Picture(*((5.0, 4.6) if len(pairs) == 1 else (9.6, 3.8)))
    for pair, panel in zip(pairs, np.atleast_1d(picture.subplots(1, len(pairs))), strict=True):
        for k, (run, curve) in enumerate(drawn):
            _draw_plane(panel, law, run, pair, curve, _colours(k, len(runs)), pair in measured)
        for axis, k in zip((panel.xaxis, panel.yaxis), pair, strict=True):
            keep_near(axis, _known_values(law, runs, k, pair in measured))
            axis.set_label_text(plain(states[k]))
    styles = [*(_measured_handles(runs) if measured else []), *_curve_handles(runs)]
    line = _style_colours(runs)[0]
    if law.fit is not None:
        styles.append(Patch(color=line, alpha=0.16, label="visited"))
    styles.append(Line2D([], [], color=line, label="start", **START_MARK))
    _title_and_legends(picture, law, runs, n_runs, styles, rows=2 if len(pairs) == 1 else 1)
    return picture


# ------------------------------------------------------------------ one trajectory
def _colours(k: int, n_runs: int) -> tuple[str, str]:
    """Colours of the curve and of the measurements; one trajectory alone has grey points."""
    colour = TRAJECTORY_COLOURS[k % len(TRAJECTORY_COLOURS)]
    return colour, (INK if n_runs == 1 else colour)


def _draw_points(panel, x, y, colour: str, *, held_out: bool, n: int) -> None:
    size, edge = (4.0, 0.9) if n <= SMALL_SERIES else (2.2, 0.6)
    x, y = thin(x, y)
    marker, fill = ("D", colour) if held_out else ("o", "white")
    panel.plot(x, y, ls="", marker=marker, ms=size, mfc=fill, mec=colour, mew=edge, zorder=3)


def _draw_run(panel, run: Run, j: int, colours, closed, hybrid, place: int) -> None:
    line, point = colours
    n = len(run.t) + len(run.held_t)
    _draw_points(panel, run.t, run.y[:, j], point, held_out=False, n=n)
    _draw_points(panel, run.held_t, run.held_y[:, j], point, held_out=True, n=n)
    t, x = closed
    panel.plot(t, x[:, place], color=line, lw=1.7 if n <= LONG_SERIES else 1.0, zorder=4)
    if len(t) and t[-1] < run.span[1]:
        panel.axvline(t[-1], color=line, lw=0.8, ls=":", zorder=2)
        panel.annotate(f"diverges at {t[-1]:.4g}", (t[-1], 0.86), (4, 0), xycoords=("data", "axes fraction"),
                       textcoords="offset points", va="top", color=line, fontsize=8)
    if hybrid is not None:
        t, x = hybrid
        panel.plot(t, x[:, place], zorder=5, **HYBRID_LINE)


def _draw_plane(panel, law, run: Run, pair: tuple[int, int], closed, colours, measured: bool) -> None:
    a, b = pair
    line, point = colours
    if law.fit is not None and run.index is not None:
        x = law.fit.states[run.index]
        panel.plot(x[:, a], x[:, b], color=line, lw=7, alpha=0.16, solid_capstyle="round", zorder=1)
    if measured:
        i, j = (law.data.columns.index(law.model.states[k]) for k in pair)
        n = len(run.t) + len(run.held_t)
        _draw_points(panel, run.y[:, i], run.y[:, j], point, held_out=False, n=n)
        _draw_points(panel, run.held_y[:, i], run.held_y[:, j], point, held_out=True, n=n)
    panel.plot(closed[:, a], closed[:, b], color=line, lw=1.5, zorder=4)
    panel.plot(closed[:1, a], closed[:1, b], color=line, zorder=5, **START_MARK)


def _known_values(law, runs: list[Run], state: int, measured: bool) -> list[np.ndarray]:
    known = []
    if measured:
        j = law.data.columns.index(law.model.states[state])
        known += [part[:, j] for run in runs for part in (run.y, run.held_y)]
    if law.fit is not None:
        known += [law.fit.states[run.index][:, state] for run in runs if run.index is not None]
    return known


def _shade_held_out(panels, runs: list[Run], end: float) -> None:
    """Shade the times that were held out, where no trajectory drawn was fitted to them."""
    continued = [run for run in runs if run.continues]
    if not continued:
        return
    last_fitted = max(float(run.t[-1]) for run in runs if len(run.t))
    first_held = min(float(run.held_t[0]) for run in continued)
    if first_held <= last_fitted:
        return
    begin = 0.5 * (last_fitted + first_held)
    for panel in panels:
        panel.axvspan(begin, end, color=SHADE, lw=0, zorder=0)
    panels[0].annotate("held out", (begin, 0.97), (4, 0), xycoords=("data", "axes fraction"),
                       textcoords="offset points", va="top", color=INK, fontsize=8)


# ------------------------------------------------------------------ words
def _errors_text(law, column: str) -> str:
    parts = []
    for key, word in (("fit", "fit"), ("heldout", "held out")):
        value = law.error.get(key, {}).get(column)
        if value is not None:
            parts.append(f"{word} {value:.3g}" if np.isfinite(value) else f"{word} diverged")
    return f"RMSE {', '.join(parts)}" if parts else ""


def _style_colours(runs: list[Run]) -> tuple[str, str]:
    """Colours that stand for every trajectory in a legend."""
    return _colours(0, 1) if len(runs) == 1 else (INK, INK)


def _measured_handles(runs: list[Run]) -> list:
    point = _style_colours(runs)[1]
    dots = {"ls": "", "ms": 4.5, "marker": "o", "mec": point, "mfc": "white"}
    diamonds = {**dots, "marker": "D", "mfc": point}
    fitted, held = max(len(run.t) for run in runs), max(len(run.held_t) for run in runs)
    handles = []
    if fitted:
        handles.append(Line2D([], [], label=f"measured{_every(fitted)}", **dots))
    if held:
        handles.append(Line2D([], [], label=f"measured, held out{_every(held)}", **diamonds))
    return handles


def _every(n: int) -> str:
    return f" (1 in {stride_of(n)} drawn)" if stride_of(n) > 1 else ""


def _curve_handles(runs: list[Run]) -> list:
    return [Line2D([], [], color=_style_colours(runs)[0], lw=1.7, label="closed form")]


def _title_and_legends(picture, law, runs: list[Run], n_runs: int, styles: list, *, rows: int) -> None:
    drawn = "" if n_runs == len(runs) else f"   {len(runs)} of {n_runs} trajectories"
    picture.suptitle(f"{plain(law.data.source)}{drawn}", fontweight="bold")
    picture.legend(handles=styles, loc="outside lower center", ncols=-(-len(styles) // rows))
    if len(runs) > 1:
        names = [Patch(color=_colours(k, len(runs))[0], label=short(run.name)) for k, run in enumerate(runs)]
        picture.legend(handles=names, loc="outside right upper", handlelength=1.2)
