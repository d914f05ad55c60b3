"""Figure of what the law leaves of the data: residuals along time, their correlations and their quantiles."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.lines import Line2D
from scipy.stats import norm

from udesys.assess.diagnostics import p_text
from udesys.assess.field_runs import runs_in
from udesys.assess.whiteness import Series, pieces_of
from udesys.report.curves import MOST_POINTS, MOST_TRAJECTORIES, kept_rows
from udesys.report.fit_figure import LEGEND_COLUMN, SMALL_SERIES, TICKS_PER_INCH, run_colours
from udesys.report.style import (
    BLACK,
    FAINT,
    INK,
    PANEL,
    TRAJECTORY_COLOURS,
    WIDE,
    Picture,
    few_ticks,
    labelled,
    plain,
    short,
    styled,
)

LINES = (-2.0, 2.0)  # between them are 95 % of normal noise
LEAST_HEIGHT = 3.5  # standard deviations shown on either side
LARGE = 12.0  # residuals from which the axis is logarithmic beyond LINEAR
LINEAR = 4.0
MOST_LAGS = 20
HYBRID = {"color": BLACK, "lw": 0.9, "ls": (0, (4, 2.5))}


@styled
def draw_residuals(law, *, width: float = WIDE, titled: bool = True, units: Mapping[str, str] | None = None) -> Picture:
    """Draw every column's residuals in units of the noise: along time, against each other, against normal noise.

    Points are the closed form's, broken lines the hybrid's. White normal noise leaves nineteen of twenty between the
    thin lines, correlations within theirs, and quantiles on the diagonal. Where residuals are large, the axis is
    logarithmic but for its middle.

    Args:
        law: a Discovery with diagnostics.
        width: of the picture [inches]; in a narrow one the time is across it, and the other two are below.
        titled: put the name of the data on top.
        units: name -> unit, of the time.
    """
    found, columns = law.diagnostics, law.data.columns
    picture = Picture(width, 0.9 + (1.75 if width > PANEL else 3.1) * max(len(columns), 1.3))
    panels = _panels(picture, len(columns))
    ends = np.cumsum(found.lengths)
    spans = [slice(b - n, b) for n, b in zip(found.lengths, ends, strict=True)]
    if law.model.grid is not None:  # a span for each run, all its points together
        n = law.model.grid.n
        spans = [slice(a.start, b.stop) for a, b in zip(spans[::n], spans[n - 1 :: n], strict=True)]
    for j, (column, row) in enumerate(zip(columns, panels, strict=True)):
        height = _height(found.closed[:, j])
        _draw_along_time(row[0], found, j, spans[:MOST_TRAJECTORIES], height, alone=law.model.grid is None)
        row[0].set_ylabel(plain(f"{short(column)} / noise"))
        row[0].set_title(_words(found.pooled[j]), loc="right", color=INK, pad=4)
        _draw_correlations(row[1], found, j, (ends - found.lengths, ends))
        _draw_quantiles(row[2], found, j, height)
    for row in panels[: 1 if width > PANEL else None]:
        row[1].set_title("autocorrelation", color=INK, pad=4)
        row[2].set_title("quantiles", color=INK, pad=4)
    for panel, text in zip(panels[-1], (labelled(law.data.time, units), "lag", "of normal noise"), strict=True):
        panel.set_xlabel(text)
    for panel in panels[:, 0]:
        few_ticks(panel.xaxis, round((0.55 if width > PANEL else 0.9) * TICKS_PER_INCH * width))
    picture.align_ylabels(panels[:, 0])
    _title_and_legends(picture, law, min(len(spans), MOST_TRAJECTORIES), titled=titled)
    return picture


def _panels(picture: Picture, n: int) -> np.ndarray:
    """(columns, 3) panels, three in a row, or the first above the other two."""
    if picture.get_figwidth() > PANEL:
        return picture.subplots(n, 3, squeeze=False, gridspec_kw={"width_ratios": (3.2, 1.0, 1.0)})
    grid = picture.add_gridspec(2 * n, 2)
    places = [(grid[2 * j, :], grid[2 * j + 1, 0], grid[2 * j + 1, 1]) for j in range(n)]
    return np.array([[picture.add_subplot(place) for place in row] for row in places])


def _height(closed: np.ndarray) -> float:
    """Standard deviations shown on either side."""
    largest = np.nanmax(np.abs(closed)) if np.isfinite(closed).any() else 0.0
    return max(1.15 * float(largest), LEAST_HEIGHT)


def _span(panel, height: float) -> None:
    """Limits of the residuals' axis."""
    if height > LARGE:
        panel.set_yscale("symlog", linthresh=LINEAR)
        powers = [10.0**k for k in range(1, int(np.log10(height)) + 1)]
        shown = [-p for p in reversed(powers)] + [0.0, *powers]
        panel.set_yticks(shown, [f"{p:g}" for p in shown])
        panel.minorticks_off()
    panel.set_ylim(-height, height)


def _draw_along_time(panel, found, j: int, spans, height: float, *, alone: bool) -> None:
    """Residuals of the spans; with a line of the hybrid's where each is a trajectory `alone`."""
    panel.axhline(0.0, color=INK, lw=0.8, zorder=1)
    for level in LINES:
        panel.axhline(level, color=FAINT, lw=0.8, zorder=1)
    most = max(MOST_POINTS // len(spans), 1)
    size, edge = (4.0, 0.9) if max(s.stop - s.start for s in spans) <= SMALL_SERIES else (2.2, 0.6)
    for k, span in enumerate(spans):
        line, colour = run_colours(k, len(spans))
        t, closed, hybrid = found.t[span], found.closed[span, j], found.hybrid[span, j]
        rows = kept_rows(closed, most=most)
        colour = line if len(spans) == 1 else colour
        panel.plot(t[rows], closed[rows], ls="", marker="o", ms=size, mfc="white", mec=colour, mew=edge, zorder=3)
        if not alone:
            continue
        shown = kept_rows(hybrid, most=most)
        shown = shown[np.isfinite(hybrid[shown])]
        own = {**HYBRID, "color": BLACK if len(spans) == 1 else line}
        panel.plot(t[shown], hybrid[shown], zorder=2, alpha=0.8, **own)
    _span(panel, height)


def _draw_correlations(panel, found, j: int, segments) -> None:
    """Correlations at the first lags, of all trajectories together; one in twenty is beyond the lines by chance."""
    seen = np.isfinite(found.closed[:, j])
    series = Series(np.arange(len(found.t)), seen, pieces_of(found.t, segments))
    lags = min(MOST_LAGS, max(found.lengths) // 2)
    if series.count < 2 or lags < 1:
        return
    panel.axhline(0.0, color=INK, lw=0.8, zorder=1)
    places = np.arange(1, lags + 1)
    closed, pairs = series.correlations(found.closed[:, j], lags)
    panel.bar(places, closed, width=0.55, color=TRAJECTORY_COLOURS[0], zorder=2)
    hybrid, _ = series.correlations(found.hybrid[:, j], lags)
    panel.plot(places, hybrid, zorder=3, **HYBRID)
    bound = 1.96 * np.sqrt(pairs) / series.count
    for sign in (-1.0, 1.0):
        panel.plot(places, sign * bound, color=FAINT, lw=0.8, zorder=1)
    largest = max(0.5, *np.abs(closed), *np.abs(hybrid))
    panel.set(ylim=(-1.1 * largest, 1.1 * largest))
    few_ticks(panel.xaxis, 4)


def _draw_quantiles(panel, found, j: int, height: float) -> None:
    for values, style in (
        (found.closed[:, j], {"ls": "", "marker": "o", "ms": 2.6, "mfc": "white", "mec": TRAJECTORY_COLOURS[0]}),
        (found.hybrid[:, j], HYBRID),
    ):
        ordered = np.sort(values[np.isfinite(values)])
        n = len(ordered)
        if not n:
            continue
        expected = norm.ppf((np.arange(1, n + 1) - 0.375) / (n + 0.25))  # Blom (1958)
        rows = np.unique(np.linspace(0, n - 1, min(n, MOST_POINTS)).astype(int))
        panel.plot(expected[rows], ordered[rows], zorder=3, **style)
    reach = panel.get_xlim()
    straight = np.linspace(*reach, 50)
    panel.plot(straight, straight, color=FAINT, lw=0.8, zorder=1)
    panel.set_xlim(reach)
    _span(panel, height)


def _words(check) -> str:
    """How the residuals repeat themselves, and by how much they are larger than the hybrid's."""
    parts = [f"Ljung-Box {p_text(check.ljung_box)}"] if np.isfinite(check.ljung_box) else []
    if check.hybrid_rmse > 0:
        parts.append(f"RMSE {check.rmse / check.hybrid_rmse:.2g} times the hybrid's")
    return ", ".join(parts)


def _title_and_legends(picture: Picture, law, drawn: int, *, titled: bool) -> None:
    names, what = [run.name for run in law.data.trajectories], "trajectories"
    if law.model.grid is not None:
        names, what = list(runs_in(law.model, law.data)), "runs"
    some = "" if drawn == len(names) else f"   {drawn} of {len(names)} {what} along time"
    if titled:
        picture.suptitle(f"{plain(law.data.source)}: residuals{some}", fontweight="bold")
    colour = TRAJECTORY_COLOURS[0] if drawn == 1 else INK
    handles = [
        Line2D([], [], ls="", marker="o", ms=4.5, mec=colour, mfc="white", label="closed form"),
        Line2D([], [], label="hybrid with networks", **HYBRID),
        Line2D([], [], color=FAINT, lw=0.8, label="95 % of white normal noise"),
    ]
    if drawn > 1:
        handles += [
            Line2D([], [], ls="", marker="s", color=run_colours(k, drawn)[0], label=short(name))
            for k, name in enumerate(names[:drawn])
        ]
    picture.legend(
        handles=handles, loc="outside lower center", ncols=max(2, int(picture.get_figwidth() / LEGEND_COLUMN))
    )
