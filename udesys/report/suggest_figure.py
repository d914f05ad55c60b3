"""Figure of the best suggestion: what each law predicts, where to measure, and how much other places would tell."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping

import numpy as np
from matplotlib.lines import Line2D

from udesys.report.style import (
    BLACK,
    BLUE,
    FAINT,
    GREEN,
    INK,
    PURPLE,
    VERMILLION,
    Picture,
    few_ticks,
    keep_near,
    labelled,
    plain,
    short,
    styled,
)

LAW_COLOURS = (BLUE, VERMILLION, GREEN, PURPLE)
BAND = {"alpha": 0.2, "lw": 0, "zorder": 1}
MARKED = {"ls": "", "marker": "v", "ms": 6, "mfc": BLACK, "mec": BLACK, "zorder": 5, "clip_on": False}
NORMAL_95 = 1.959964  # 97.5 % quantile of the normal distribution
LAW_CHARACTERS, TITLE_CHARACTERS = 11, 10  # per inch: of a formula in the legend, of a panel's title
TICKS_PER_INCH = 1.5
SCORES = {
    "separation": "information about which\nlaw is true [nats]",
    "shrink": "share by which the\nintervals are narrower",
    "constants": "share by which the\nintervals are narrower",
}


@styled
def draw_suggestion(
    suggestions, law=None, *, width: float = 7.0, titled: bool = True, units: Mapping[str, str] | None = None
) -> Picture:
    """Draw the predictions of the laws that stand with their 95 % bands, and the suggested measurements.

    Args:
        suggestions: of a Discovery.
        law: the Discovery, whose measurements are drawn where a running trajectory is measured once more.
        width: of the picture [inches].
        titled: say on top what to measure.
        units: name -> unit, of columns and of the time.
    """
    curves = suggestions.best["curves"]
    strip, chart = suggestions.best.get("strip"), suggestions.best.get("map")
    columns, t = list(curves["columns"]), np.array(curves["t"])
    rows = len(columns) + bool(strip) + bool(chart)
    heights = [1.5] * len(columns) + [0.8] * bool(strip) + [2.0] * bool(chart)
    picture = Picture(width, 1.2 + 0.95 * sum(heights))
    panels = np.atleast_1d(picture.subplots(rows, 1, height_ratios=heights))
    for panel, column in zip(panels, columns, strict=False):
        _draw_column(panel, suggestions, law, column, t)
        panel.set_ylabel(labelled(column, units))
        panel.set_xlim(t[0], t[-1])
        few_ticks(panel.xaxis, min(10, round(TICKS_PER_INCH * panel.figure.get_figwidth())))
    for panel in panels[: len(columns) - 1 + bool(strip)]:
        panel.tick_params(labelbottom=False)
    if strip:
        _draw_strip(panels[len(columns)], suggestions, strip, t)
    panels[len(columns) - 1 + bool(strip)].set_xlabel(labelled(suggestions.time, units))
    if chart:
        _draw_map(panels[-1], suggestions, chart, units)
    picture.align_ylabels(panels)
    if titled:
        picture.suptitle(plain(_title(suggestions)), fontweight="bold")
    _legend(picture, suggestions, law)
    return picture


def _draw_column(panel, suggestions, law, column: str, t: np.ndarray) -> None:
    """Curves and bands of the laws, what was measured, and where to measure.

    The axis holds the law itself and what was measured, and of the others what is not far from these.
    """
    best, known = suggestions.items[0], []
    for colour, curve in zip(LAW_COLOURS, suggestions.best["curves"]["columns"][column].values(), strict=False):
        mean, sd = (np.array([np.nan if v is None else v for v in curve[part]], float) for part in ("mean", "sd"))
        least = 0.0 if law is not None and column in law.model.positive else -np.inf
        panel.fill_between(t, np.maximum(mean - NORMAL_95 * sd, least), mean + NORMAL_95 * sd, color=colour, **BAND)
        panel.plot(t, mean, color=colour, lw=1.6, zorder=3)
        known = known or [mean]
    run = None if law is None else next((r for r in law.data.trajectories if r.name == best.design.trajectory), None)
    if run is not None:
        y = run.y[:, law.data.columns.index(column)]
        panel.plot(run.t, y, ls="", marker="o", ms=4, mfc="white", mec=INK, mew=0.9, zorder=4)
        known.append(y)
    keep_near(panel.yaxis, known)
    if column in best.design.columns:
        if len(best.design.t) == 1:
            panel.axvline(best.design.t[0], color=BLACK, lw=0.9, ls=":", zorder=2)
        at = np.full(len(best.design.t), 1.0)
        panel.plot(best.design.t, at, transform=panel.get_xaxis_transform(), **MARKED)


def _draw_strip(panel, suggestions, strip, t: np.ndarray) -> None:
    """How much one more measurement would tell at each time."""
    score = np.array([np.nan if v is None else v for v in strip["score"]], float)
    panel.fill_between(strip["t"], 0.0, score, color=FAINT, lw=0)
    panel.plot(strip["t"], score, color=INK, lw=1.0)
    if len(suggestions.items[0].design.t) == 1:
        panel.axvline(suggestions.items[0].design.t[0], color=BLACK, lw=0.9, ls=":")
    panel.set(xlim=(t[0], t[-1]), ylim=(0.0, None))
    few_ticks(panel.xaxis, min(10, round(TICKS_PER_INCH * panel.figure.get_figwidth())))
    few_ticks(panel.yaxis, 3)
    _set_title(panel, f"by one measurement of {strip['column']}: {_score(suggestions)}")


def _draw_map(panel, suggestions, chart, units) -> None:
    """How much a new run would tell, by its start."""
    starts, states = np.array(chart["starts"], float), chart["states"]
    score = np.array([np.nan if v is None else v for v in chart["score"]], float)
    best = suggestions.items[0].design.start
    panel.set_xlabel(labelled(f"start of {states[0]}", None))
    _set_title(panel, "by linearised predictions; marked: the best by simulation")
    if len(states) == 1:
        order = np.argsort(starts[:, 0])
        panel.plot(starts[order, 0], score[order], color=INK, lw=1.0, marker="o", ms=2.5)
        panel.axvline(best[states[0]], color=BLACK, lw=0.9, ls=":")
        panel.plot([best[states[0]]], [1.0], transform=panel.get_xaxis_transform(), **MARKED)
        panel.set_ylabel(SCORES[suggestions.by])
        panel.set_ylim(0.0, None)
        return
    dots = panel.scatter(*starts.T, c=score, cmap="cividis", s=22, lw=0)
    panel.plot([best[states[0]]], [best[states[1]]], **{**MARKED, "mfc": "none", "marker": "o", "ms": 11, "mew": 1.6})
    panel.set_ylabel(labelled(f"start of {states[1]}", None))
    panel.figure.colorbar(dots, ax=panel, label=SCORES[suggestions.by])


def _set_title(panel, text: str) -> None:
    lines = textwrap.wrap(text, round(TITLE_CHARACTERS * panel.figure.get_figwidth()))
    panel.set_title(plain("\n".join(lines)), loc="left", color=INK)


def _title(suggestions) -> str:
    """What to do, in a line."""
    best = suggestions.items[0]
    if best.design.trajectory is None:
        return f"Next experiment: {suggestions.what()}"
    when = f"{suggestions.time} = {best.design.t[0]:.6g}"
    return f"Next experiment: {', '.join(best.design.columns)} at {when}, {suggestions.what()}"


def _score(suggestions) -> str:
    return SCORES[suggestions.by].replace("\n", " ")


def _legend(picture, suggestions, law) -> None:
    """Which colour is which law; what the marks are."""
    drawn = next(iter(suggestions.best["curves"]["columns"].values()))
    laws = {one.label: one for one in suggestions.laws}
    handles, longest = [], round(LAW_CHARACTERS * picture.get_figwidth())
    for colour, label in zip(LAW_COLOURS, drawn, strict=False):
        text = laws[label].text or "the law"
        text = text if len(text) <= longest else f"{text[: longest - 3]}..."
        handles.append(Line2D([], [], color=colour, lw=1.6, label=plain(f"{label}  {text}")))
    if law is not None and suggestions.items[0].design.trajectory is not None:
        run = short(suggestions.items[0].design.trajectory)
        dots = {"ls": "", "ms": 4.5, "marker": "o", "mec": INK, "mfc": "white"}
        handles.append(Line2D([], [], label=f"measured, {run}", **dots))
    handles.append(Line2D([], [], label="to be measured", **{**MARKED, "clip_on": True}))
    picture.legend(handles=handles, loc="outside lower center", ncols=1 if len(laws) > 1 else 3)
