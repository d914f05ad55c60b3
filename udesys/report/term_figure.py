"""Figures of a missing term: what the network learned against the formula, where the data went."""

from __future__ import annotations

import textwrap

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from udesys.errors import FitError, ModelError, did_you_mean
from udesys.report.curves import argument_texts, call_text, formula_text, formula_values, thin
from udesys.report.style import BLUE, INK, SKY, VERMILLION, Picture, few_ticks, keep_near, plain, short, styled

BAND = 2.0  # standard deviations on either side
MOST_BARS = 250  # error bars that stay apart
MOST_PANELS = 4  # trajectories shown along time
MOST_TIME_TICKS = 6
DENSE = 400
PARITY_OVERSHOOT = 1.2  # of the network's range; values of the formula further away are not shown
TITLE_CHARACTERS = 11  # per inch
FORMULA_LINE = {"color": VERMILLION, "lw": 1.6, "ls": (0, (5, 2))}


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
    if law.fit is None:
        raise FitError("the networks belong to the fit, which this discovery does not hold. Fit again.")
    if term not in law.fit.terms:
        raise ModelError(f"there is no missing term {term!r}. {did_you_mean(term, law.fit.terms)}")
    learned = law.fit.terms[term]
    picture = _over_argument(law, learned) if learned.points.shape[1] == 1 else _over_time(law, learned)
    width = round(TITLE_CHARACTERS * picture.get_figwidth())
    title = textwrap.wrap(f"{call_text(law, term)} = {formula_text(law, term)}", width)
    picture.suptitle(plain("\n".join(title)), fontweight="bold")
    return picture


def _over_argument(law, learned) -> Picture:
    picture = Picture(5.6, 3.9)
    panel = picture.subplots()
    order = np.argsort(learned.points[:, 0], kind="stable")
    x = learned.points[order, 0]
    grid = np.linspace(x[0], x[-1], DENSE)
    _draw_band(panel, x, learned.values[order], learned.std[order])
    panel.plot(grid, formula_values(law, learned.name, grid[:, None]), **FORMULA_LINE)
    (visits,) = thin(x)
    panel.plot(visits, np.zeros_like(visits), ls="", marker="|", ms=6, mew=0.7, color=INK, clip_on=False,
               transform=panel.get_xaxis_transform())
    _keep_near_network(panel.yaxis, learned)
    panel.set_xlabel(plain(argument_texts(law, learned.name)[0]))
    panel.set_ylabel(plain(call_text(law, learned.name)))
    handles = [*_handles(), Line2D([], [], ls="", marker="|", ms=6, color=INK, label="samples")]
    picture.legend(handles=handles, loc="outside lower center", ncols=4)
    return picture


def _over_time(law, learned) -> Picture:
    runs = law.fit.data.trajectories
    ends = np.cumsum([len(run.t) for run in runs])
    shown = min(len(runs), MOST_PANELS)
    picture = Picture(8.4, max(4.2, 0.9 + 1.45 * shown))
    grid = picture.add_gridspec(shown, 2, width_ratios=(1, 1.25))
    formula = formula_values(law, learned.name, learned.points)
    _draw_parity(picture.add_subplot(grid[:, 0]), law, learned, formula)
    first = None
    for k, (run, end) in enumerate(zip(runs[:shown], ends, strict=False)):
        part = slice(end - len(run.t), end)
        panel = picture.add_subplot(grid[k, 1], sharex=first, sharey=first)
        first = first or panel
        _draw_band(panel, run.t, learned.values[part], learned.std[part])
        panel.plot(run.t, formula[part], **FORMULA_LINE)
        if len(runs) > 1:
            panel.set_title(short(run.name), loc="right", color=INK, pad=3)
        panel.set_ylabel(plain(learned.name))
        panel.tick_params(labelbottom=k == shown - 1)
    few = "" if shown == len(runs) else f"   ({shown} of {len(runs)} trajectories)"
    panel.set_xlabel(plain(law.data.time) + few)
    few_ticks(panel.xaxis, MOST_TIME_TICKS)
    _keep_near_network(panel.yaxis, learned)
    picture.legend(handles=_handles(), loc="outside lower center", ncols=3)
    return picture


def _draw_band(panel, x, values, std) -> None:
    std = _finite(std)
    panel.fill_between(x, values - BAND * std, values + BAND * std, color=SKY, alpha=0.35, lw=0)
    panel.plot(x, values, color=BLUE, lw=1.6)


def _draw_parity(panel, law, learned, formula: np.ndarray) -> None:
    t = np.concatenate([run.t for run in law.fit.data.trajectories])
    x, y, std, t = thin(formula, learned.values, _finite(learned.std), t, most=MOST_BARS)
    panel.errorbar(x, y, yerr=BAND * std, fmt="none", ecolor="#B0B0B0", elinewidth=0.8, zorder=1)
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
