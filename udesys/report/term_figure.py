"""Figures of a missing term: what the network learned against the formula, where the data went."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from udesys.errors import FitError, ModelError, did_you_mean
from udesys.report.curves import (
    MOST_CURVE,
    argument_texts,
    call_text,
    formula_text,
    formula_values,
    kept_rows,
    learned_of,
    learned_times,
    spread,
)
from udesys.report.style import (
    BLUE,
    FAINT,
    INK,
    PANEL,
    SKY,
    VERMILLION,
    Picture,
    few_ticks,
    keep_near,
    labelled,
    plain,
    short,
    styled,
)

BAND = 2.0  # standard deviations on either side
MOST_BARS = 250  # error bars that stay apart
MOST_MARKS = 120  # of a network and of its formula, over one argument
MOST_PANELS = 4  # trajectories shown along time
MOST_TIME_TICKS = 6
MOST_VISITS = 300  # ticks of samples below a curve
DENSE = 400
PARITY_OVERSHOOT = 1.2  # of the network's range; values of the formula further away are not shown
TITLE_CHARACTERS = 11  # per inch
FORMULA_LINE = {"color": VERMILLION, "lw": 1.6, "ls": (0, (5, 2))}
FORMULA_MARK = {"ls": "", "color": VERMILLION, "marker": "x", "ms": 4.2, "mew": 1.3}
NETWORK_MARK = {"ls": "", "color": BLUE, "marker": "o", "ms": 4.6}


@styled
def draw_term(law, term: str) -> Picture:
    """Draw a network against the formula that took its place, over the region visited and no further.

    Args:
        law: a Discovery that holds its fit.
        term: name of the missing term, such as "NN1" or "NN[0]".

    Raises:
        FitError: the discovery does not hold its fit.
        ModelError: there is no such term.
    """
    learned = _learned(law, term)
    picture = _over_argument(law, learned, 5.6, None) if learned.points.shape[1] == 1 else _with_parity(law, learned)
    width = round(TITLE_CHARACTERS * picture.get_figwidth())
    title = textwrap.wrap(f"{call_text(law, term)} = {formula_text(law, term)}", width)
    picture.suptitle(plain("\n".join(title)), fontweight="bold")
    return picture


@styled
def draw_over_argument(law, term: str, argument: int, *, units: Mapping[str, str] | None = None) -> Picture:
    """Draw a network and its formula over one argument alone; the others are what they were along the data.

    Args:
        law, term: as for `draw_term`, which says what is raised too.
        argument: its place.
        units: name -> unit, of arguments and of the term.
    """
    learned = _learned(law, term)
    if learned.points.shape[1] == 1:
        return _over_argument(law, learned, PANEL, units)
    picture = Picture(PANEL, 3.2)
    panel = picture.subplots()
    x, formula = learned.points[:, argument], formula_values(law, term, learned.points)
    kept = kept_rows(learned.values, formula, most=MOST_MARKS)
    bars = BAND * _finite(learned.std)[kept]
    panel.errorbar(x[kept], learned.values[kept], yerr=bars, fmt="none", ecolor=SKY, elinewidth=1.4, zorder=1)
    panel.plot(x[kept], learned.values[kept], zorder=2, **NETWORK_MARK)
    panel.plot(x[kept], formula[kept], zorder=3, **FORMULA_MARK)
    _keep_near_network(panel.yaxis, learned)
    panel.set_xlabel(labelled(argument_texts(law, term)[argument], units))
    panel.set_ylabel(labelled(term, units))
    handles = [
        Line2D([], [], label="network", **NETWORK_MARK),
        Line2D([], [], color=SKY, lw=1.4, label=f"+/- {BAND:g} standard deviations"),
        Line2D([], [], label="formula", **FORMULA_MARK),
    ]
    picture.legend(handles=handles, loc="outside lower center", ncols=3, columnspacing=1.2, handletextpad=0.5)
    return picture


@styled
def draw_along_time(law, term: str, *, units: Mapping[str, str] | None = None) -> Picture:
    """Draw a network and its formula along the trajectories.

    Args:
        law, term: as for `draw_term`, which says what is raised too.
        units: name -> unit, of the term and of the time.
    """
    learned = _learned(law, term)
    shown = len(spread(law, MOST_PANELS))
    picture = Picture(PANEL, max(3.2, 0.9 + 1.2 * shown))
    panels = picture.subplots(shown, 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    _draw_along_time(list(panels), law, learned, formula_values(law, term, learned.points), units)
    picture.legend(handles=_handles(), loc="outside lower center", ncols=3, columnspacing=1.2)
    return picture


def _learned(law, term: str):
    """What a network learned."""
    if law.fit is None:
        raise FitError("the networks belong to the fit, which this discovery does not hold. Fit again.")
    if term not in law.fit.terms:
        raise ModelError(f"there is no missing term {term!r}. {did_you_mean(term, law.fit.terms)}")
    return learned_of(law, term)


def _over_argument(law, learned, width: float, units) -> Picture:
    picture = Picture(width, 0.7 * width)
    panel = picture.subplots()
    order = np.argsort(learned.points[:, 0], kind="stable")
    x = learned.points[order, 0]
    grid = np.linspace(x[0], x[-1], DENSE)
    _draw_band(panel, x, learned.values[order], learned.std[order])
    panel.plot(grid, formula_values(law, learned.name, grid[:, None]), **FORMULA_LINE)
    visits = x[:: max(1, len(x) // MOST_VISITS)]
    panel.plot(
        visits,
        np.zeros_like(visits),
        ls="",
        marker="|",
        ms=6,
        mew=0.7,
        color=INK,
        clip_on=False,
        transform=panel.get_xaxis_transform(),
    )
    _keep_near_network(panel.yaxis, learned)
    panel.set_xlabel(labelled(argument_texts(law, learned.name)[0], units))
    panel.set_ylabel(labelled(learned.name if units else call_text(law, learned.name), units))
    handles = [*_handles(), Line2D([], [], ls="", marker="|", ms=6, color=INK, label="samples")]
    columns = 4 if width > PANEL else 2
    picture.legend(handles=handles, loc="outside lower center", ncols=columns)
    return picture


def _with_parity(law, learned) -> Picture:
    shown = len(spread(law, MOST_PANELS))
    picture = Picture(8.4, max(4.2, 0.9 + 1.45 * shown))
    grid = picture.add_gridspec(shown, 2, width_ratios=(1, 1.25))
    formula = formula_values(law, learned.name, learned.points)
    _draw_parity(picture.add_subplot(grid[:, 0]), law, learned, formula)
    panels: list = []
    for k in range(shown):
        first = panels[0] if panels else None
        panels.append(picture.add_subplot(grid[k, 1], sharex=first, sharey=first))
    _draw_along_time(panels, law, learned, formula, None)
    picture.legend(handles=_handles(), loc="outside lower center", ncols=3)
    return picture


def _draw_along_time(panels: list, law, learned, formula: np.ndarray, units) -> None:
    runs = law.fit.data.trajectories
    times = learned_times(law, learned.name)
    ends = np.cumsum([len(t) for t in times])
    for k, (place, panel) in enumerate(zip(spread(law, MOST_PANELS), panels, strict=True)):
        run, t, end = runs[place], times[place], ends[place]
        part = np.arange(end - len(t), end)
        kept = kept_rows(learned.values[part], formula[part], most=MOST_CURVE)
        t, part = t[kept], part[kept]
        _draw_band(panel, t, learned.values[part], learned.std[part])
        panel.plot(t, formula[part], **FORMULA_LINE)
        if len(runs) > 1:
            panel.set_title(short(run.name), loc="right", color=INK, pad=3)
        panel.set_ylabel(labelled(learned.name, units))
        panel.tick_params(labelbottom=k == len(panels) - 1)
    points = "points" if law.model.grid is not None else "trajectories"
    few = "" if len(panels) == len(runs) else f"   ({len(panels)} of {len(runs)} {points})"
    panels[-1].set_xlabel(labelled(law.data.time, units) + few)
    few_ticks(panels[-1].xaxis, MOST_TIME_TICKS)
    _keep_near_network(panels[-1].yaxis, learned)


def _draw_band(panel, x, values, std) -> None:
    kept = kept_rows(values, most=MOST_CURVE)
    x, values, std = x[kept], values[kept], _finite(std)[kept]
    panel.fill_between(x, values - BAND * std, values + BAND * std, color=SKY, alpha=0.35, lw=0)
    panel.plot(x, values, color=BLUE, lw=1.6)


def _draw_parity(panel, law, learned, formula: np.ndarray) -> None:
    kept = kept_rows(learned.values, formula, most=MOST_BARS)
    t = np.concatenate(learned_times(law, learned.name))
    x, y, std, t = (values[kept] for values in (formula, learned.values, _finite(learned.std), t))
    panel.errorbar(x, y, yerr=BAND * std, fmt="none", ecolor=FAINT, elinewidth=0.8, zorder=1)
    points = panel.scatter(x, y, c=t, cmap="cividis", s=16, lw=0, zorder=3)
    for axis in (panel.xaxis, panel.yaxis):
        keep_near(axis, [learned.values], overshoot=PARITY_OVERSHOOT)
    low = min(panel.get_xlim()[0], panel.get_ylim()[0])
    high = max(panel.get_xlim()[1], panel.get_ylim()[1])
    panel.plot([low, high], [low, high], zorder=2, **FORMULA_LINE)
    panel.set(xlim=(low, high), ylim=(low, high), box_aspect=1, anchor="N")
    panel.set_xlabel("formula")
    panel.set_ylabel("network")
    place = panel.inset_axes((0.6, 0.07, 0.36, 0.03))  # points lie along the diagonal, so this corner is free
    bar = panel.figure.colorbar(points, cax=place, orientation="horizontal")
    bar.set_label(plain(law.data.time), fontsize=8)
    bar.outline.set_visible(False)
    place.xaxis.set_ticks_position("top")
    place.xaxis.set_label_position("top")
    few_ticks(place.xaxis, 3)
    place.tick_params(labelsize=7.5, length=2)


def _handles() -> list:
    return [
        Line2D([], [], color=BLUE, lw=1.6, label="network"),
        Patch(color=SKY, alpha=0.35, label=f"+/- {BAND:g} standard deviations"),
        Line2D([], [], label="formula", **FORMULA_LINE),
    ]


def _finite(std: np.ndarray) -> np.ndarray:
    """Standard deviations that are not known are drawn as none."""
    return np.where(np.isfinite(std), std, 0.0)


def _keep_near_network(axis, learned) -> None:
    std = _finite(learned.std)
    keep_near(axis, [learned.values - std, learned.values + std])
