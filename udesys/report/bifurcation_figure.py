"""Figure of a bifurcation analysis: states over the varied number, their stability, cycles, and where they end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from udesys.assess.bifurcation.ends import End
from udesys.assess.bifurcation.result import Bifurcation
from udesys.report.style import (
    BLACK,
    BLUE,
    GREEN,
    INK,
    ORANGE,
    PURPLE,
    SHADE,
    SKY,
    VERMILLION,
    Picture,
    few_ticks,
    keep_near,
    labelled,
    plain,
    styled,
)

TALL, ACROSS = 2.0, 6.4  # inches: of a panel, and of one analysis
TICKS = 6
STABLE = {"color": BLUE, "lw": 1.8, "zorder": 3}
UNSTABLE = {"color": BLUE, "lw": 1.1, "ls": (0, (4, 2)), "zorder": 3}
NEUTRAL = {"color": BLUE, "lw": 1.1, "ls": (0, (1, 1)), "zorder": 3}
CYCLE = {"color": GREEN, "ls": "", "marker": ".", "ms": 3.2, "zorder": 2}
IRREGULAR = {"color": SKY, "ls": "", "marker": ".", "ms": 2.4, "zorder": 2}
COLLAPSE = {"color": VERMILLION, "lw": 1.2, "ls": (0, (5, 1.5, 1, 1.5)), "zorder": 1}
OTHER_END = {"color": INK, "lw": 0.9, "ls": ":", "zorder": 1}
TRAINED = {"color": SHADE, "lw": 0, "zorder": 0}
TRAINED_LINE = {"color": INK, "lw": 0.8, "zorder": 1}
VISITED = {"color": INK, "lw": 0.5, "ls": "--", "zorder": 1}
MARKS = {
    "fold": ("D", ORANGE),
    "Hopf": ("o", PURPLE),
    "transcritical": ("s", SKY),
    "pitchfork": ("^", GREEN),
    "branch point": ("v", BLACK),
}
MARK = {"ls": "", "ms": 6, "mec": "white", "mew": 0.7, "zorder": 5}


@styled
def draw_bifurcation(answers: Sequence[Bifurcation], *, units: Mapping[str, str] | None = None) -> Picture:
    """Draw analyses side by side, a panel for every state.

    Equilibria are solid where they are stable, dashed where not, and dotted where linearisation does not tell; dots are
    extremes of cycles and of irregular motion. Shaded is the varied number's range in the data, or the 95 % interval
    of an estimated one, and dashed lines bound what a state visited.

    Args:
        answers: one, or those of law and hybrid along the same number.
        units: name -> unit.
    """
    states = answers[0].states
    picture = Picture(ACROSS * len(answers) ** 0.75, 1.1 + TALL * max(len(states), 1.4))
    panels = picture.subplots(len(states), len(answers), sharex=True, sharey="row", squeeze=False)
    shown: dict[str, object] = {}
    for column, found in zip(panels.T, answers, strict=True):
        for k, panel in enumerate(column):
            shown |= _draw(panel, found, k)
        column[0].set_title(f"the {found.of}" if len(answers) > 1 else "", loc="left")
        column[-1].set_xlabel(labelled(found.name, units))
        column[-1].set_xlim(found.low, found.high)
        few_ticks(column[-1].xaxis, TICKS)
    for k, panel in enumerate(panels[:, 0]):
        panel.set_ylabel(labelled(states[k], units))
        keep_near(panel.yaxis, [_heights(found, k) for found in answers])
    picture.align_ylabels(panels[:, 0])
    picture.suptitle(f"{plain(answers[0].source)}   along {plain(answers[0].name)}", fontweight="bold")
    columns = min(len(shown), 3 if len(answers) == 1 else 5)
    picture.legend(handles=list(shown.values()), loc="outside lower center", ncols=max(1, columns))
    return picture


def _draw(panel, found: Bifurcation, k: int) -> dict[str, object]:
    """Draw one state of one analysis; label -> handle of what was drawn."""
    shown = _draw_trained(panel, found, k)
    for branch in found.branches:
        for piece in branch.pieces:
            at = piece.stop - 1
            stable, tells = branch.stable[at], branch.unstable[at] > 0
            look, name = (STABLE, "stable") if stable else (UNSTABLE, "unstable") if tells else (NEUTRAL, "neutral")
            panel.plot(branch.value[piece], branch.x[piece, k], **look)
            shown[name] = Line2D([], [], label=f"equilibrium, {name}", **look)
    for kinds, look, name in ((("cycle",), CYCLE, "cycle"), (("irregular", "slow"), IRREGULAR, "irregular motion")):
        values, ends = _ends(found, kinds)
        if len(values):
            panel.plot(values, [e.low[k] for e in ends], **look)
            panel.plot(values, [e.high[k] for e in ends], **look)
            shown[name] = Line2D([], [], label=f"{name}: extremes", **look)
    for point in found.points:
        marker, colour = MARKS[point.kind]
        look = {"marker": marker, "color": colour, **MARK}
        panel.plot([point.value], [point.x[found.states[k]]], **look)
        shown[point.kind] = Line2D([], [], label=point.kind, **look)
    for threshold in found.thresholds:
        look = COLLAPSE if threshold.collapse else OTHER_END
        panel.axvline(threshold.value, **look)
        name = "collapse from a start" if threshold.collapse else "other end from a start"
        shown[name] = Line2D([], [], label=name, **look)
    return shown


def _draw_trained(panel, found: Bifurcation, k: int) -> dict[str, object]:
    shown: dict[str, object] = {}
    low, high = found.trained
    if np.isfinite(low) and low == high:
        if np.isfinite(found.interval).all():
            panel.axvspan(*found.interval, **TRAINED)
            shown["interval"] = Patch(label="its 95 % interval", **TRAINED)
        panel.axvline(low, **TRAINED_LINE)
        shown["trained"] = Line2D([], [], label="value in the data", **TRAINED_LINE)
    elif np.isfinite(low):
        panel.axvspan(low, high, **TRAINED)
        shown["trained"] = Patch(label="range in the data", **TRAINED)
    for end in found.visited[found.states[k]]:
        panel.axhline(end, **VISITED)
    shown["visited"] = Line2D([], [], label="bounds of what was visited", **VISITED)
    return shown


def _ends(found: Bifurcation, kinds: Sequence[str]) -> tuple[np.ndarray, list[End]]:
    """Values and ends of the simulations that came to one of these kinds."""
    pairs = [
        (value, end)
        for sweep in found.sweeps
        for value, end in zip(sweep.value.tolist(), sweep.ends, strict=True)
        if end.kind in kinds
    ]
    return np.array([value for value, _ in pairs]), [end for _, end in pairs]


def _heights(found: Bifurcation, k: int) -> np.ndarray:
    """Values of a state that have to be seen."""
    moving = [end for sweep in found.sweeps for end in sweep.ends if np.isfinite(end.low).all()]
    parts = [np.array(found.visited[found.states[k]]), np.array([p.x[found.states[k]] for p in found.points])]
    return np.concatenate([*parts, [e.low[k] for e in moving], [e.high[k] for e in moving]])
