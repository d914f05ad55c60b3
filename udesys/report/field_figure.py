"""Figure of fields on a grid: what was measured and the law over time and position, and profiles at a few times."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from udesys.report.curves import kept_rows
from udesys.report.field_courses import FieldCourse, field_courses
from udesys.report.style import (
    BLACK,
    BLUE,
    FAINT,
    INK,
    TRAJECTORY_COLOURS,
    VERMILLION,
    WIDE,
    Picture,
    few_ticks,
    keep_near,
    labelled,
    plain,
    short,
    styled,
)

IN_A_ROW = 8.0  # inches, from which all four panels of a field are in a row
HEIGHT = 1.9  # inches, of a row of panels
FIELD_COLOURS = "viridis"  # told apart by colour-blind readers; without the grey of what is not measured
AWAY = LinearSegmentedColormap.from_list("away", [BLUE, "#FFFFFF", VERMILLION])  # blue is negative, as elsewhere
LEAST_AWAY = 3.0  # standard deviations of the noise that the colours reach at least
MOST_AWAY = 99.5  # percentile of the differences that they reach
MOST_MARKS = 120  # of a profile
LEGEND_COLUMN = 1.5  # inches
BAND = {"alpha": 0.25, "lw": 0, "zorder": 1}
DIVIDE = ({"color": BLACK, "lw": 2.2}, {"color": "white", "lw": 1.0, "ls": (0, (3, 2))})


@styled
def draw_fields(
    law,
    *,
    courses: tuple[list[FieldCourse], int] | None = None,
    width: float = WIDE,
    titled: bool = True,
    units: Mapping[str, str] | None = None,
) -> Picture:
    """Draw every field over time and position: measured, by the law, and their difference in units of the noise.

    Beside these are profiles at a few times: measurements, and the law with its band. Missing cells are grey.

    Args:
        law: a Discovery of a model with a grid.
        courses: from `courses_of`, where they are there already.
        width: of the picture [inches].
        titled: put the name of the data on top.
        units: name -> unit, of columns, of the position and of the time.
    """
    drawn, n_runs = courses or field_courses(law)
    columns, across = law.data.columns, 4 if width >= IN_A_ROW else 2
    blocks = [(course, j) for course in drawn for j in range(len(columns))]
    rows = len(blocks) * 4 // across
    picture = Picture(width, 0.9 + HEIGHT * rows)
    panels = np.atleast_2d(picture.subplots(rows, across, squeeze=False)).reshape(len(blocks), 4)
    same = all(np.array_equal(c.run.t[c.places], drawn[0].run.t[drawn[0].places]) for c in drawn)
    for (course, j), four in zip(blocks, panels, strict=True):
        name = f"{columns[j]}, {short(course.run.name)}" if len(drawn) > 1 else columns[j]
        _draw_maps(picture, four[:3], law, course, j, name, units)
        _draw_profiles(four[3], law, course, j, name, told=not same)
    for four in panels if across == 2 else panels[-1:]:
        for panel in four[:3]:
            panel.set_xlabel(labelled(law.data.time, units))
        four[3].set_xlabel(labelled(law.model.grid.name, units))
    if titled:
        some = "" if n_runs == len(drawn) else f"   {len(drawn)} of {n_runs} runs"
        picture.suptitle(f"{plain(law.data.source)}{some}", fontweight="bold")
    handles = _handles(law, drawn, same)
    columns = max(2, int(width / LEGEND_COLUMN))
    picture.legend(handles=handles, loc="outside lower center", ncols=-(-len(handles) // -(-len(handles) // columns)))
    return picture


# ------------------------------------------------------------------ over time and position
def _draw_maps(picture, panels, law, course: FieldCourse, j: int, name: str, units) -> None:
    column, run = law.data.columns[j], course.run
    measured, found = run.y[:, :, j], course.law[:, :, law.model.measurable.index(column)]
    edges = edges_of(run.t), edges_of(np.array(law.model.grid.points))
    known = measured[np.isfinite(measured)]
    known = known if known.size else found[np.isfinite(found)]
    scale = Normalize(known.min(), known.max()) if known.size else Normalize(0, 1)
    for panel, values in zip(panels[:2], (measured, found), strict=True):
        mesh = _draw_map(panel, edges, values, scale, FIELD_COLOURS)
    _bar(picture, mesh, list(panels[:2]), _beyond(found, scale))
    away = (measured - found) / law.noise[column]
    seen = np.abs(away[np.isfinite(away)])
    reach = max(LEAST_AWAY, float(np.percentile(seen, MOST_AWAY))) if seen.size else LEAST_AWAY
    scale = Normalize(-reach, reach)
    mesh = _draw_map(panels[2], edges, away, scale, AWAY)
    _bar(picture, mesh, [panels[2]], _beyond(away, scale))
    for panel, what in zip(panels, ("measured", "law", "difference / noise"), strict=True):
        panel.set_title(f"{plain(name)}: {what}" if what == "measured" else what, loc="left", pad=4)
        few_ticks(panel.xaxis, 4)
        few_ticks(panel.yaxis, 4)
        if course.begin is not None:
            for style in DIVIDE:
                panel.axvline(course.begin, **style)
    panels[0].set_ylabel(labelled(law.model.grid.name, units))
    for panel in panels[1:]:
        panel.tick_params(labelleft=panel.get_subplotspec().colspan.start == 0)


def _draw_map(panel, edges, values: np.ndarray, scale: Normalize, colours):
    colours = (colormaps[colours] if isinstance(colours, str) else colours).with_extremes(bad=FAINT)
    mesh = panel.pcolormesh(*edges, np.ma.masked_invalid(values.T), norm=scale, cmap=colours, rasterized=True)
    panel.spines[:].set_visible(False)
    return mesh


def _bar(picture, mesh, panels, extend: str) -> None:
    bar = picture.colorbar(mesh, ax=panels, pad=0.02, aspect=18, extend=extend)
    bar.outline.set_visible(False)
    few_ticks(bar.ax.yaxis, 5)
    bar.ax.tick_params(labelsize=8, length=2)


def _beyond(values: np.ndarray, scale: Normalize) -> str:
    """On which sides of the colours there are values."""
    seen, margin = values[np.isfinite(values)], 1e-9 * (scale.vmax - scale.vmin)
    low, high = bool((seen < scale.vmin - margin).any()), bool((seen > scale.vmax + margin).any())
    return {(False, False): "neither", (True, False): "min", (False, True): "max", (True, True): "both"}[low, high]


def edges_of(centres: np.ndarray) -> np.ndarray:
    """(n + 1,) edges of cells about increasing numbers, half-way between them.

    Args:
        centres: (n,).
    """
    if len(centres) == 1:
        return centres[0] + np.array([-0.5, 0.5])
    middle = 0.5 * (centres[1:] + centres[:-1])
    return np.concatenate([[2 * centres[0] - middle[0]], middle, [2 * centres[-1] - middle[-1]]])


# ------------------------------------------------------------------ profiles
def _draw_profiles(panel, law, course: FieldCourse, j: int, name: str, *, told: bool) -> None:
    column, x = law.data.columns[j], np.array(law.model.grid.points)
    place, size = law.model.measurable.index(column), (3.4, 0.8) if len(x) <= 40 else (2.0, 0.5)
    for k, at in enumerate(course.places):
        colour, y = TRAJECTORY_COLOURS[k], course.run.y[at, :, j]
        kept = kept_rows(y, most=MOST_MARKS)
        panel.plot(x[kept], y[kept], ls="", marker="o", ms=size[0], mew=size[1], mfc="white", mec=colour, zorder=3)
        label = f"{plain(law.data.time)} = {course.run.t[at]:.4g}"
        panel.plot(x, course.law[at, :, place], color=colour, lw=1.4, zorder=4, label=label)
        if course.band is not None:
            low, high = (edge[k, :, place] for edge in course.band)
            panel.fill_between(x, low, high, color=colour, **BAND)
    keep_near(panel.yaxis, [course.run.y[course.places, :, j].reshape(-1)])
    panel.set_title(f"{plain(name)}: profiles", loc="left", pad=4)
    few_ticks(panel.xaxis, 4)
    few_ticks(panel.yaxis, 5)
    if told:
        panel.legend(fontsize=7, handlelength=1.2)


def _handles(law, drawn: list[FieldCourse], same: bool) -> list:
    handles = [Line2D([], [], ls="", marker="o", ms=4.5, mec=INK, mfc="white", label="measured")]
    if same:
        times = drawn[0].run.t[drawn[0].places]
        label = plain(law.data.time)
        handles += [
            Line2D([], [], color=TRAJECTORY_COLOURS[k], lw=1.4, label=f"law at {label} = {now:.4g}")
            for k, now in enumerate(times)
        ]
    else:
        handles.append(Line2D([], [], color=INK, lw=1.4, label="law"))
    if any(course.band is not None for course in drawn):
        handles.append(Patch(color=INK, label="95 % band", **BAND))
    if any(course.begin is not None for course in drawn):
        handles.append(Line2D([], [], color=INK, lw=1.4, ls=(0, (3, 2)), label="held out from here"))
    if any(not np.isfinite(course.run.y).all() for course in drawn):
        handles.append(Patch(color=FAINT, label="not measured"))
    return handles


def fields_caption(law, drawn: list[FieldCourse], n_runs: int) -> tuple[str, str]:
    """Caption and text of the figure.

    Args:
        law: a Discovery of a model with a grid.
        drawn, n_runs: from `courses_of`.
    """
    columns, grid = ", ".join(law.data.columns), law.model.grid
    runs = f"{len(drawn)} of {n_runs} runs" if len(drawn) < n_runs else f"{n_runs} run{'s' * (n_runs > 1)}"
    band = ", with the band that 95 % of the laws within the errors of the constants and initial values stay in"
    band = band if any(course.band is not None for course in drawn) else ""
    held = " What is right of the broken line was held out." * any(course.begin is not None for course in drawn)
    whole = [course.run.name for course in drawn if course.run.at is None]
    held += f" Run {', '.join(whole)} was held out as a whole." if whole else ""
    gaps = " Grey is not measured." * any(not np.isfinite(course.run.y).all() for course in drawn)
    caption = (
        f"{columns} over {law.data.time} and {grid.name} in {runs}: measured, the law from its initial profile, and "
        f"measured less law in standard deviations of the noise (blue: the law is higher). Profiles at a few times: "
        f"measurements (points) and the law (lines){band}.{held}{gaps}"
    )
    text = f"Fields on {grid}, {runs}, {law.data.time} {drawn[0].run.t[0]:.4g} to {drawn[0].run.t[-1]:.4g}."
    for j, column in enumerate(law.data.columns):
        values = np.concatenate([course.run.y[:, :, j].reshape(-1) for course in drawn])
        values = values[np.isfinite(values)]
        text += f" {column}: measured {values.min():.4g} to {values.max():.4g}" if values.size else f" {column}"
        for kind, what in (("fit", "RMSE of the fit"), ("heldout", "on what was held out")):
            error = law.error.get(kind, {}).get(column)
            text += "" if error is None else f", {what} {error:.4g}"
        text += "."
    return caption, text
