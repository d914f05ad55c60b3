"""All figures of a discovery, and their files."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from udesys.report.correlation_figure import MOST_CONSTANTS, draw_correlation
from udesys.report.courses import courses_of
from udesys.report.fit_figure import draw_fit
from udesys.report.front_figure import draw_front, ranked
from udesys.report.phase_figure import draw_phase
from udesys.report.profile_figure import draw_profiles
from udesys.report.residual_figure import draw_residuals
from udesys.report.suggest_figure import draw_suggestion
from udesys.report.support_figure import draw_support
from udesys.report.term_figure import draw_along_time, draw_over_argument, draw_term
from udesys.report.units import axis_units

__all__ = [
    "draw_along_time",
    "draw_correlation",
    "draw_fit",
    "draw_front",
    "draw_over_argument",
    "draw_phase",
    "draw_profiles",
    "draw_residuals",
    "draw_suggestion",
    "draw_support",
    "draw_term",
    "has_correlation",
    "has_front",
    "has_phase",
    "save_figures",
]


def save_figures(law, folder, *, units=None, courses=None) -> list[Path]:
    """Write the figures of a discovery as PNG files; equal discoveries give equal files.

    Args:
        law: a Discovery.
        folder: `figures/fit.png`, `figures/term_<name>.png`, `figures/phase.png`, `figures/front.png`,
            `figures/correlation.png`, `figures/profiles.png`, `figures/support.png`, `figures/suggestion.png` and
            `figures/residuals.png` are written into it, as far as there is something to draw.
        units: name -> unit, of columns, states and the time.
        courses: from `courses_of`, where they are there already.

    Returns:
        The files written.
    """
    target = Path(folder) / "figures"
    target.mkdir(parents=True, exist_ok=True)
    units, courses = axis_units(law, units), courses or courses_of(law)
    pictures = {"fit": draw_fit(law, courses=courses, units=units)}
    for term in {} if law.fit is None else law.fit.terms:
        pictures[_free_name(f"term_{safe_name(term)}", pictures)] = draw_term(law, term)
    if has_phase(law):
        pictures["phase"] = draw_phase(law, courses=courses, units=units)
    if has_front(law):
        pictures["front"] = draw_front(law)
    if has_correlation(law):
        pictures["correlation"] = draw_correlation(law)
    if law.profiles:
        pictures["profiles"] = draw_profiles(list(law.profiles.values()))
    if law.support is not None:
        pictures["support"] = draw_support(law.support)
    if law.suggestions is not None and law.suggestions.items:
        pictures["suggestion"] = draw_suggestion(law.suggestions, law, units=units)
    if law.diagnostics is not None:
        pictures["residuals"] = draw_residuals(law, units=units)
    files = []
    for name, picture in pictures.items():
        files.append(target / f"{name}.png")
        files[-1].write_bytes(picture.to_png())
    return files


def has_front(law) -> bool:
    """Whether there are candidates to compare.

    Args:
        law: a Discovery.
    """
    return len(ranked(law)) > 1


def has_phase(law) -> bool:
    """Whether there is a plane of two states to draw; fields would fill it.

    Args:
        law: a Discovery.
    """
    return len(law.model.states) > 1 and law.model.grid is None


def has_correlation(law) -> bool:
    """Whether two constants or more have correlations, and a matrix of them can be read.

    Args:
        law: a Discovery.
    """
    names, values = law.correlation
    return 2 <= np.isfinite(np.diag(values)).sum() and len(names) <= MOST_CONSTANTS


def safe_name(term: str) -> str:
    """The name of a term as a part of a file name: `NN[0]` becomes `NN_0`.

    Args:
        term: its name.
    """
    return re.sub(r"\W+", "_", term, flags=re.ASCII).strip("_")


def _free_name(name: str, taken) -> str:
    while name in taken:
        name += "_"
    return name
