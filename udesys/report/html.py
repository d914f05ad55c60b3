"""The report of a discovery: one page that needs nothing else, for a phone, a desk and paper."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from udesys.assess.summary import estimates_of, picked_of
from udesys.errors import ModelError
from udesys.model import mathml
from udesys.model.grammar import parse_expression
from udesys.model.invariants import describe
from udesys.model.runs_on_grid import counted
from udesys.report import asked_tables, captions, tables, words
from udesys.report.courses import Course, courses_of
from udesys.report.curves import call_text
from udesys.report.figures import (
    draw_along_time,
    draw_correlation,
    draw_fit,
    draw_front,
    draw_over_argument,
    draw_phase,
    draw_profiles,
    draw_suggestion,
    has_correlation,
    has_front,
    has_phase,
    safe_name,
)
from udesys.report.phase_figure import planes
from udesys.report.residual_figure import draw_residuals
from udesys.report.style import NARROW, WIDE, Picture
from udesys.report.support_figure import draw_support
from udesys.report.svg import inline_svg
from udesys.report.units import axis_units

FILE = "report.html"
RIVALS_IN_WORDS = 3
CANDIDATES_SHOWN = 12  # of the table; the others are folded away
RUNS_SHOWN = 12  # whose initial values are not
ROWS_SHOWN = 8  # of residuals, forms and terms that are not
MOST_ARGUMENTS = 6  # of a term, each with a figure


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A figure of the page.

    Attributes:
        pictures: class -> svg; several are the same figure for different widths.
        caption: below it.
    """

    pictures: dict[str, str]
    caption: str


def write_report(law, folder, **options) -> list[Path]:
    """Write the report of a discovery; equal discoveries give equal files.

    Args:
        law: a Discovery.
        folder: `report.html` is written into it.
        **options: see `report_html`.

    Returns:
        The files written.
    """
    path = Path(folder) / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(report_html(law, **options), encoding="utf-8", newline="\n")
    return [path]


def report_html(
    law,
    *,
    spec: str = "",
    command: str = "",
    versions: Mapping[str, str | None] | None = None,
    units: Mapping[str, str] | None = None,
    courses: tuple[list[Course], int] | None = None,
) -> str:
    """The report of a discovery as one page of HTML, without a script and without anything to load.

    Args:
        law: a Discovery.
        spec: the text of its spec, where there is one.
        command: the command that made it.
        versions: library -> version, None where it is not installed; those of this moment where it is not given.
        units: name -> unit, of columns, states, inputs and the time, for the axes.
        courses: from `courses_of`, where they are there already.
    """
    if versions is None:
        from udesys.runs import versions as present

        versions = present()
    units, courses = axis_units(law, units), courses or courses_of(law)
    page = {
        "law": law,
        "size": _size(law),
        "words": words,
        "equations": mathml.equation_pieces(law.closed_form),
        "asked": [*law.model.text.splitlines(), *_kept(law.model)],
        "terms": _terms(law, units),
        "rivals": words.rivals_of(law),
        "picked": picked_of(law) if law.candidates else None,
        "closest": _closest(law),
        "support": _support(law),
        "fit": _fit_figure(law, courses, units),
        "residuals": _residuals(law, units),
        "phase": _phase_figures(law, courses, units),
        "front": _front_figure(law),
        "correlation": _correlation_figure(law),
        "constants": tables.constants_table(law),
        "derived": tables.derived_table(law),
        "profiles": _profiles(law),
        "initial": tables.initial_table(law),
        "errors": tables.errors_table(law),
        "visited": tables.visited_table(law, units),
        "candidates": tables.candidates_table(law) if law.candidates and law.residuals else None,
        "next": _next(law, units),
        "has_constants": bool(estimates_of(law)),
        "spec": spec,
        "command": command,
        "versions": {name: version for name, version in versions.items() if version},
        "shown": {"candidates": CANDIDATES_SHOWN, "runs": RUNS_SHOWN, "rows": ROWS_SHOWN},
    }
    return _template().render(page)


@functools.cache
def _template():
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("udesys", "report")
    environment = Environment(
        loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined
    )
    environment.filters |= {"formula": _formula, "name": mathml.name_mathml}
    return environment.get_template("report.html.jinja")


@functools.lru_cache(maxsize=1024)
def _formula(text: str) -> list[str]:
    """The summands of a formula as `math` elements; nothing where its text cannot be read."""
    try:
        return mathml.summands(parse_expression(text), 6)
    except (ModelError, ArithmeticError):
        return []


def _closest(law) -> list:
    """The rivals nearest to the best law, with the terms in which they differ from the pick."""
    rivals = sorted(words.rivals_of(law), key=lambda c: c.delta)[:RIVALS_IN_WORDS]
    if not rivals:
        return []
    picked = picked_of(law).residuals
    found = []
    for rival in rivals:
        forms = {term: text for term, text in rival.residuals.items() if text != picked.get(term)}
        found.append((forms, words.difference(law, rival)))
    return found


# ------------------------------------------------------------------ figures
def _figure(name: str, about: tuple[str, str], **pictures) -> Figure:
    caption, text = about
    return Figure(
        pictures={kind: inline_svg(picture, f"{name}-{kind}", text) for kind, picture in pictures.items()},
        caption=caption,
    )


def _across(name: str, about: tuple[str, str], draw: Callable[[float], Picture]) -> Figure:
    """A figure across the page, drawn once for a desk and once for a phone."""
    return _figure(name, about, wide=draw(WIDE), narrow=draw(NARROW))


def _fit_figure(law, courses, units) -> Figure:
    drawn = {"courses": courses, "titled": False, "units": units}
    return _across("fit", captions.fit_caption(law, *courses), lambda width: draw_fit(law, width=width, **drawn))


def _residuals(law, units) -> dict | None:
    """Figure and table of the residuals."""
    if law.diagnostics is None:
        return None
    draw = functools.partial(draw_residuals, law, titled=False, units=units)
    figure = _across("residuals", captions.residual_caption(law), lambda width: draw(width=width))
    return {"figure": figure, "table": tables.residuals_table(law)}


def _support(law) -> dict | None:
    """Figure and tables of the support."""
    if law.support is None:
        return None
    figure = _across("support", captions.support_caption(law), lambda width: draw_support(law.support, width=width))
    return {"figure": figure, "forms": asked_tables.support_table(law), "terms": asked_tables.summands_table(law)}


def _profiles(law) -> dict | None:
    """Figure and table of the profiles; one profile alone does not go across the page."""
    if not law.profiles:
        return None
    about, those = captions.profiles_caption(law), list(law.profiles.values())
    alone = len(those) == 1
    figure = (
        _figure("profiles", about, panel=draw_profiles(those))
        if alone
        else _across("profiles", about, lambda width: draw_profiles(those, width=width))
    )
    return {"figure": figure, "alone": alone, "table": tables.profiles_table(law)}


def _size(law) -> str:
    """How many trajectories there are, or runs of fields."""
    n = len(law.data.trajectories)
    return words.count(n, "trajectory", "trajectories") if law.model.grid is None else counted(law.model, n)


def _kept(model) -> list[str]:
    """What was said that the equations keep, in lines below them."""
    positive = [f"never below zero: {', '.join(model.positive)}"] if model.positive else []
    positive += [] if model.grid is None else [f"fields on {model.grid}"]
    return [*positive, *describe(model.invariants, model.stays_zero, model.conserved)]


def _next(law, units) -> dict | None:
    """Figure and tables of the suggested experiments."""
    asked = law.suggestions
    if asked is None or not asked.items:
        return None
    draw = functools.partial(draw_suggestion, asked, law, titled=False, units=units)
    figure = _across("next", captions.suggestion_caption(law), lambda width: draw(width=width))
    laws = asked_tables.standing_table(law) if len(asked.laws) > 1 else None
    return {"figure": figure, "laws": laws, "table": asked_tables.suggestions_table(law)}


def _terms(law, units) -> list[dict]:
    """Every missing term with its formula and figures."""
    found = []
    for k, (term, residual) in enumerate(law.residuals.items()):
        figures = [] if law.fit is None else _term_figures(law, term, f"term{k}-{safe_name(term)}", units)
        found.append({"name": term, "call": call_text(law, term), "residual": residual, "figures": figures})
    return found


def _term_figures(law, term: str, name: str, units) -> list[Figure]:
    n = law.fit.terms[term].points.shape[1]
    figures = []
    for k in range(min(n, MOST_ARGUMENTS)):
        about = captions.over_argument_caption(law, term, k)
        figures.append(_figure(f"{name}-{k}", about, panel=draw_over_argument(law, term, k, units=units)))
    about = captions.along_time_caption(law, term)
    return [*figures, _figure(f"{name}-t", about, panel=draw_along_time(law, term, units=units))]


def _phase_figures(law, courses, units) -> list[Figure]:
    if not has_phase(law):
        return []
    figures = []
    for a, b in planes(law):
        picture = draw_phase(law, pair=(a, b), courses=courses, titled=False, units=units)
        figures.append(_figure(f"phase-{a}-{b}", captions.phase_caption(law, (a, b)), panel=picture))
    return figures


def _front_figure(law) -> Figure | None:
    return _figure("front", captions.front_caption(law), panel=draw_front(law)) if has_front(law) else None


def _correlation_figure(law) -> Figure | None:
    if not has_correlation(law):
        return None
    return _figure("correlation", captions.correlation_caption(law), panel=draw_correlation(law))
