"""Figure of structure support: how often repeats of a discovery picked each form, and each additive term."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from udesys.assess.support import FormShare, Support
from udesys.assess.support_text import form_text
from udesys.report.style import BLUE, INK, PANEL, SKY, VERMILLION, WIDE, Picture, plain, styled

MOST_FORMS, MOST_TERMS = 10, 6  # bars; and of each missing term
MOST_UNPICKED = 3  # forms that were within reach alone
LONGEST_LINE, LEAST_LINE = 46, 26  # characters of a formula on one line, across a page and across a phone
LINE, BAR, AROUND = 0.165, 0.13, 0.9  # inches: a line of text, between two bars, and around the panel
THICK, NUMBER = 0.62, 9.0  # of a bar, in its room; and how far its number reaches [% of all across a page]
REACH_MARK = {"ls": "", "marker": "|", "ms": 10, "mew": 1.6, "color": INK}


@styled
def draw_support(support: Support, *, width: float = WIDE) -> Picture:
    """Draw the shares of the forms, a mark where each was within reach, and those of the additive terms.

    Args:
        support: of a law's form; the ten forms picked most often, its own among them, are drawn.
        width: of the picture [inches].
    """
    line = LONGEST_LINE if width > PANEL else LEAST_LINE
    picked = [support.form, *(form for form in support.forms if form.picked)]
    near = [form for form in support.forms if form.near and not form.picked]
    forms = [*picked, *near[:MOST_UNPICKED]][:MOST_FORMS]
    names = [_name(form, line) for form in forms]
    terms = [(term, text, n) for term, counts in support.summands.items() for text, n in _most(counts)]
    several = len(support.summands) > 1
    labels = [_broken(f"{term}: {text}" if several else text, line) for term, text, _ in terms]
    heights = [_height(names), _height(labels)]
    picture = Picture(width, AROUND + sum(heights) + (AROUND if terms else 0.0))
    panels = picture.subplots(2 if terms else 1, 1, squeeze=False, height_ratios=heights if terms else None)[:, 0]
    share = 100.0 / support.resamples
    colours = [VERMILLION, *[BLUE] * (len(forms) - 1)]
    near = [share * form.near for form in forms]
    places = _bars(panels[0], names, [share * form.picked for form in forms], colours, near)
    panels[0].plot(near, places, clip_on=False, zorder=3, **REACH_MARK)
    panels[0].set_xlabel(f"% of {support.resamples} repeats that picked the form")
    if terms:
        _bars(panels[1], labels, [share * n for *_, n in terms], [SKY] * len(terms))
        panels[1].set_xlabel("% of repeats whose form has the term")
    handles = [
        Patch(color=VERMILLION, label="the law's form"),
        *([Patch(color=BLUE, label="other forms")] if len(forms) > 1 else []),
        Line2D([], [], label="within reach of the best", **REACH_MARK),
    ]
    picture.legend(handles=handles, loc="outside upper center", ncols=len(handles) if width > PANEL else 2)
    return picture


def _bars(panel, names: list[str], shares: list[float], colours: list[str], marks: Sequence[float] = ()):
    """Horizontal bars from the top down, each as much room as its name has lines; their places.

    The number of a bar stands behind it, and behind its mark where that would cross it.
    """
    places, at = [], 0.0
    for name in names:
        lines = 1 + name.count("\n")
        places.append(at + 0.5 * (lines * LINE + BAR))
        at += lines * LINE + BAR
    panel.barh(places, shares, height=THICK * (LINE + BAR), color=colours, zorder=2)
    room = NUMBER * WIDE / panel.figure.get_figwidth()
    for place, value, mark in zip(places, shares, marks or shares, strict=True):
        after = 1.0 + (mark if mark < value + room else value)
        panel.text(after, place, f"{value:.0f} %", va="center", fontsize=8.5, color=INK, zorder=4)
    panel.set(xlim=(0, 108), ylim=(at, 0))
    panel.set_xticks(range(0, 101, 20))
    panel.set_yticks(places, [plain(name) for name in names])
    panel.tick_params(axis="y", length=0)
    return places


def _name(form: FormShare, line: int) -> str:
    if len(form.residuals) < 2:
        return _broken(form_text(form), line)
    return "\n".join(_broken(f"{term} = {text}", line) for term, text in form.residuals.items())


def _broken(text: str, line: int) -> str:
    return "\n".join(textwrap.wrap(text, line, subsequent_indent="   ")) or text


def _most(counts: dict[str, int]) -> list[tuple[str, int]]:
    return list(counts.items())[:MOST_TERMS]


def _height(names: list[str]) -> float:
    return sum((1 + name.count("\n")) * LINE + BAR for name in names)
