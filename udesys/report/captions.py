"""What every figure shows, in words and numbers: its caption, and its text for those who do not see it."""

from __future__ import annotations

import numpy as np

from udesys.assess.diagnostics import p_text
from udesys.assess.profile_text import profile_cells
from udesys.assess.summary import RIVAL_DELTA, number_text, picked_of
from udesys.assess.support_text import form_text
from udesys.report.courses import Course
from udesys.report.curves import (
    argument_texts,
    formula_text,
    formula_values,
    learned_of,
    most_points,
    spread,
)
from udesys.report.field_figure import fields_caption
from udesys.report.front_figure import front_of, ranked
from udesys.report.profile_figure import MOST_PANELS as PROFILES_DRAWN
from udesys.report.term_figure import BAND, MOST_PANELS
from udesys.report.words import count, listed, residual_sentence, rivals_of, strongest_correlations, suggestion_sentence

NOT_TOLD = "too short a series to tell"
LONG_LIST = 8  # entries named one by one


def fit_caption(law, drawn: list[Course], n_runs: int) -> tuple[str, str]:
    """Caption and text of the data with the law along time.

    Args:
        law: a Discovery.
        drawn, n_runs: from `courses_of`.
    """
    if law.model.grid is not None:
        return fields_caption(law, drawn, n_runs)
    shown = count(n_runs, "trajectory", "trajectories")
    shown = shown if len(drawn) == n_runs else f"{len(drawn)} of {shown}"
    parts = ["Measurements", "the closed form from its initial values"]
    if any(course.band is not None for course in drawn):
        parts.append("the band that 95 % of the laws within the errors of the constants and initial values stay in")
    if any(course.hybrid is not None for course in drawn):
        parts.append("the hybrid with networks")
    most = most_points(len(drawn))
    thinned = any(max(len(c.run.t), len(c.run.held_t)) > most for c in drawn)
    long = " Not all measurements are drawn, but their extremes are." if thinned else ""
    left = " Nothing is claimed where the law is marked broadly: it is outside of what the data visited there."
    marked = left if any(course.outside.any() for course in drawn) else ""
    caption = f"{listed(parts)}. {_what_lies_beyond(law, drawn)}".strip() + marked + long
    low, high = min(c.run.span[0] for c in drawn), max(c.run.span[1] for c in drawn)
    text = f"{listed(list(law.data.columns))} against {law.data.time} from {low:.6g} to {high:.6g}, {shown}."
    for j, column in enumerate(law.data.columns):
        text += f" {column}: {_measured_range(drawn, j)}{_missed(law, column)}."
    return caption, f"{text}{_forecast_numbers(law, drawn)}"


def _what_lies_beyond(law, drawn: list[Course]) -> str:
    whole = [course.run.name for course in drawn if course.run.index is None]
    what = "Trajectory {} was" if len(whole) == 1 else "Trajectories {} were"
    apart = f" {what.format(listed(whole))} held out as a whole." if whole else ""
    if any(course.run.continues for course in drawn):
        return f"What is shaded was held out: the law has not seen it.{apart}"
    ends = [course.end for course in drawn if course.beyond is not None]
    return (f"What is dotted, to {law.data.time} {max(ends):.6g}, is a forecast." if ends else "") + apart


def _measured_range(drawn: list[Course], j: int) -> str:
    values = np.concatenate([part[:, j] for c in drawn for part in (c.run.y, c.run.held_y)])
    values = values[np.isfinite(values)]
    return f"measured {values.min():.4g} to {values.max():.4g}" if len(values) else "not measured"


def _missed(law, column: str) -> str:
    errors = [("RMSE of the fit", law.error.get("fit")), ("on what was held out", law.error.get("heldout"))]
    known = [f"{what} {number_text(error[column])}" for what, error in errors if error and column in error]
    return f", {', '.join(known)}" if known else ""


def _forecast_numbers(law, drawn: list[Course]) -> str:
    course = next((c for c in drawn if c.beyond is not None), None)
    if course is None:
        return ""
    values = []
    for name in law.data.columns:
        k = law.model.measurable.index(name)
        value = f"{name} {course.beyond[1][-1, k]:.4g}"
        if course.band is not None:
            value += f" (between {course.band[0][-1, k]:.4g} and {course.band[1][-1, k]:.4g})"
        values.append(value)
    return f" Forecast of {course.run.name} for {law.data.time} {course.end:.6g}: {listed(values)}."


def over_argument_caption(law, term: str, argument: int) -> tuple[str, str]:
    """Caption and text of a network and its formula over one argument.

    Args:
        law: a Discovery with its fit.
        term: its name.
        argument: the argument's place.
    """
    learned, name = learned_of(law, term), argument_texts(law, term)[argument]
    alone = learned.points.shape[1] == 1
    others = "" if alone else " The other arguments are what they were along the data."
    x = learned.points[:, argument]
    lines = f"network with {BAND:g} standard deviations, and formula"
    caption = f"{term} over {name}, where the data went: {lines}.{others}"
    return caption, f"{term} over {name} from {x.min():.4g} to {x.max():.4g}. {_agreement(law, term)}"


def along_time_caption(law, term: str) -> tuple[str, str]:
    """Caption and text of a network and its formula along the trajectories.

    Args:
        law: a Discovery with its fit.
        term: its name.
    """
    runs = law.fit.data.trajectories
    some = f" in the first {MOST_PANELS} of {len(runs)} trajectories" if len(runs) > MOST_PANELS else ""
    if law.model.grid is not None:
        some = f" at {len(spread(law, MOST_PANELS))} of the points"
    caption = f"{term} along {law.data.time}{some}: network with {BAND:g} standard deviations, and formula."
    return caption, f"{term} along {law.data.time}{some}. {_agreement(law, term)}"


def _agreement(law, term: str) -> str:
    """How the formula and the network agree over all samples."""
    learned = learned_of(law, term)
    formula = formula_values(law, term, learned.points)
    away = np.abs(formula - learned.values)
    known = np.isfinite(learned.std) & np.isfinite(away)
    words = [
        f"The network runs from {learned.values.min():.4g} to {learned.values.max():.4g}",
        f"the formula {formula_text(law, term)} is {_rms(away):.3g} away from it (RMS)",
    ]
    if known.any():
        inside = int((away[known] <= BAND * learned.std[known]).sum())
        words.append(f"and inside its band at {inside} of {count(int(known.sum()), 'sample')}")
    return f"{', '.join(words)}."


def _rms(values: np.ndarray) -> float:
    values = values[np.isfinite(values)]
    return float(np.sqrt((values**2).mean())) if len(values) else float("nan")


def phase_caption(law, pair: tuple[int, int]) -> tuple[str, str]:
    """Caption and text of the plane of two states.

    Args:
        law: a Discovery.
        pair: places of the two states.
    """
    a, b = (law.model.states[k] for k in pair)
    caption = f"{b} against {a}: the closed form{', and the region that the data visited' if law.fit else ''}."
    ranges = [f"{n} {law.visited[n][0]:.4g} to {law.visited[n][1]:.4g}" for n in (a, b) if n in law.visited]
    visited = f" The data visited {listed(ranges)}." if ranges else ""
    starts = [f"{x0[a]:.4g}, {x0[b]:.4g}" for x0 in law.initial.values() if a in x0 and b in x0]
    where = f" The law starts at ({'), ('.join(starts[:LONG_LIST])})" if starts else ""
    more = f" and {len(starts) - LONG_LIST} other places" if len(starts) > LONG_LIST else ""
    return caption, f"{caption}{visited}{where}{more}{'.' if starts else ''}"


def front_caption(law) -> tuple[str, str]:
    """Caption and text of the criterion against the number of constants.

    Args:
        law: a Discovery with candidates.
    """
    those, picked, rivals = ranked(law), picked_of(law), len(rivals_of(law))
    left_out = len(law.candidates) - len(those)
    lost = f" {count(left_out, 'law')} without a criterion (diverged, or refused) not drawn." if left_out else ""
    rule = f"Picked is the law with the fewest constants within {RIVAL_DELTA:g} of the lowest criterion."
    caption = f"Every law tried that is listed: a lower criterion is better, fewer constants are simpler. {rule}{lost}"
    counts = [c.n_constants for c in those]
    best = [f"{c.n_constants} constants {c.delta:.1f}" for c in front_of(law)]
    text = (
        f"Criterion above the lowest against the number of constants, for {count(len(those), 'law')} of {min(counts)} "
        f"to {max(counts)} constants. The pick has {picked.n_constants} and lies {picked.delta:.1f} above the lowest; "
        f"{count(rivals, 'other is', 'others are')} within {RIVAL_DELTA:g}. On the front: {'; '.join(best)}."
    )
    return caption, text


def correlation_caption(law) -> tuple[str, str]:
    """Caption and text of the matrix of correlations.

    Args:
        law: a Discovery.
    """
    strongest = listed(strongest_correlations(law))
    caption = f"Correlations of the estimates: the strongest are {strongest}. Blue is negative, orange positive."
    return caption, f"Correlations of {listed(list(law.correlation[0]))}. The strongest are {strongest}."


def residual_caption(law) -> tuple[str, str]:
    """Caption and text of the residuals.

    Args:
        law: a Discovery with diagnostics.
    """
    points = ", all points together" if law.model.grid is not None else ""
    caption = (
        "What the law leaves of the data, in standard deviations of the noise (points), and what the hybrid leaves "
        f"(broken): along time{points}, its correlation with itself so many samples later, and its quantiles "
        "against those of normal noise. White normal noise stays between the thin lines nineteen times of twenty, and "
        "on the diagonal."
    )
    told = []
    for check in law.diagnostics.pooled:
        white = p_text(check.ljung_box) if np.isfinite(check.ljung_box) else NOT_TOLD
        normal = p_text(check.normality) if np.isfinite(check.normality) else NOT_TOLD
        told.append(f"{check.column}: {count(check.n, 'residual')}, white {white}, normal {normal}")
    return caption, f"Residuals of the law. {'; '.join(told)}. {residual_sentence(law)}"


def profiles_caption(law) -> tuple[str, str]:
    """Caption and text of the profiles.

    Args:
        law: a Discovery with profiles.
    """
    all_drawn = len(law.profiles) <= PROFILES_DRAWN
    some = "" if all_drawn else f" The first {PROFILES_DRAWN} of {len(law.profiles)} are drawn."
    caption = (
        "Profile likelihoods: how the misfit rises as one value is moved and all else follows (points are refits); at "
        "1 the 95 % interval ends, which is shaded. Broken: the parabola that the covariance takes it for. Where the "
        f"two agree, the interval by the covariance can be trusted.{some}"
    )
    found = [(p.name, *profile_cells(p)) for p in law.profiles.values()]
    told = [f"{name} {value}, by profile {profile}, by covariance {plain}" for name, value, plain, profile in found]
    return caption, f"Profile likelihoods and 95 % intervals. {'; '.join(told)}."


def support_caption(law) -> tuple[str, str]:
    """Caption and text of the shares of forms and terms.

    Args:
        law: a Discovery with support.
    """
    found = law.support
    caption = (
        f"Above, how many of {count(found.resamples, 'repeat')} picked each form (bars), and in how many it was within "
        "reach of the best (marks); of those never picked a few are drawn. Below, how many picked a form with each of "
        "these terms."
    )
    forms = [found.form, *(form for form in found.forms if form.picked)][:LONG_LIST]
    told = [f"{form_text(form) or 'the law'}: picked in {form.picked}, within reach in {form.near}" for form in forms]
    return caption, f"Structure support from {count(found.resamples, 'repeat')}. {'; '.join(told)}."


def suggestion_caption(law) -> tuple[str, str]:
    """Caption and text of the best suggested experiment.

    Args:
        law: a Discovery with suggestions.
    """
    best = law.suggestions.best
    parts = ["What each law predicts, with 95 % bands, and where to measure (triangles)"]
    parts += ["how much one more measurement would tell at each time"] if best.get("strip") else []
    parts += ["how much a new run would tell, by its start"] if best.get("map") else []
    curves = next(iter(best["curves"]["columns"].values()))
    laws = [f"{one.label} {one.text or 'the law'}" for one in law.suggestions.laws if one.label in curves]
    return f"{'; '.join(parts)}.", f"{suggestion_sentence(law)} Drawn are the predictions of {listed(laws)}."
