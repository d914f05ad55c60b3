"""Figure of the law in the plane of two states, with the region that the data visited."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from udesys.errors import ModelError
from udesys.report.courses import Course, courses_of
from udesys.report.curves import Run, inked, kept_rows, most_points
from udesys.report.fit_figure import (
    curve_handles,
    draw_points,
    measured_handles,
    run_colours,
    style_colours,
    title_and_legends,
)
from udesys.report.style import PANEL, Picture, keep_near, labelled, styled

STATES_IN_PLANE = 3  # more states would need more pairs than a reader looks at
VISITED_CELLS = 60  # on either side of the plane: what was visited is drawn with a broad line
START_MARK = {"ls": "", "marker": "s", "ms": 5.5, "mec": "white", "mew": 0.8}
VISITED = {"lw": 7, "alpha": 0.16, "solid_capstyle": "round", "zorder": 1}


def planes(law) -> list[tuple[int, int]]:
    """Pairs of states whose planes are drawn.

    Args:
        law: a Discovery.
    """
    return list(combinations(range(min(len(law.model.states), STATES_IN_PLANE)), 2))


@styled
def draw_phase(
    law,
    *,
    pair: tuple[int, int] | None = None,
    courses: tuple[list[Course], int] | None = None,
    titled: bool = True,
    units: Mapping[str, str] | None = None,
) -> Picture:
    """Draw the plane of every two of the first states: where the data went, and the closed form.

    Args:
        law: a Discovery with at least two states.
        pair: draw this plane alone.
        courses: from `courses_of`, where they are there already.
        titled: put the name of the data on top.
        units: state -> unit.

    Raises:
        ModelError: there is one state only.
    """
    states = law.model.states
    if len(states) < 2:
        raise ModelError(f"a phase plane needs two states, but {states[0]} is the only one. Use draw_fit.")
    drawn, n_runs = courses or courses_of(law)
    pairs = planes(law) if pair is None else [pair]
    measured = [pair for pair in pairs if all(states[k] in law.data.columns for k in pair)]
    drawn = [course for course in drawn if measured or len(course.closed[0])]
    runs = [course.run for course in drawn]
    picture = Picture(*((PANEL + 0.4 * titled, PANEL) if len(pairs) == 1 else (9.6, 3.8)))
    for pair, panel in zip(pairs, np.atleast_1d(picture.subplots(1, len(pairs))), strict=True):
        for k, course in enumerate(drawn):
            _draw_plane(panel, law, course, pair, run_colours(k, len(runs)), pair in measured, most_points(len(runs)))
        for axis, k in zip((panel.xaxis, panel.yaxis), pair, strict=True):
            keep_near(axis, _known_values(law, runs, k, pair in measured))
            axis.set_label_text(labelled(states[k], units))
    styles = [*(measured_handles(runs) if measured else []), *curve_handles(runs)] if runs else []
    if runs:
        line = style_colours(runs)[0]
        if law.fit is not None:
            styles.append(Patch(color=line, alpha=VISITED["alpha"], label="visited"))
        styles.append(Line2D([], [], color=line, label="start", **START_MARK))
        title_and_legends(picture, law, runs, n_runs, styles, titled=titled)
    return picture


def _draw_plane(panel, law, course: Course, pair: tuple[int, int], colours, measured: bool, most: int) -> None:
    (a, b), (line, point), run = pair, colours, course.run
    if law.fit is not None and run.index is not None:
        x = law.fit.states[run.index]
        panel.plot(*inked(x[:, a], x[:, b], VISITED_CELLS), color=line, **VISITED)
    if measured:
        i, j = (law.data.columns.index(law.model.states[k]) for k in pair)
        n = len(run.t) + len(run.held_t)
        for y, held_out in ((run.y, False), (run.held_y, True)):
            kept = kept_rows(y[:, i], y[:, j], most=most)
            draw_points(panel, y[kept, i], y[kept, j], point, held_out=held_out, n=n)
    closed = course.closed[1]
    panel.plot(*inked(closed[:, a], closed[:, b]), color=line, lw=1.5, zorder=4)
    panel.plot(closed[:1, a], closed[:1, b], color=line, zorder=5, **START_MARK)


def _known_values(law, runs: list[Run], state: int, measured: bool) -> list[np.ndarray]:
    known = []
    if measured:
        j = law.data.columns.index(law.model.states[state])
        known += [part[:, j] for run in runs for part in (run.y, run.held_y)]
    if law.fit is not None:
        known += [law.fit.states[run.index][:, state] for run in runs if run.index is not None]
    return known
