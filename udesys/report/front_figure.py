"""Figure of the candidates: how well each law describes the data against how many constants it has."""

from __future__ import annotations

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from udesys.assess.summary import RIVAL_DELTA, picked_of
from udesys.report.style import BLUE, INK, PANEL, SHADE, VERMILLION, Picture, styled

LINEAR = 10.0  # criterion above the lowest up to which the axis is linear; logarithmic above
FRONT_LINE = {"color": INK, "lw": 1.0, "ls": (0, (4, 2))}
PICK_MARK = {"ls": "", "marker": "*", "ms": 14, "mfc": VERMILLION, "mec": INK, "mew": 0.7}
RIVAL_MARK = {"ls": "", "marker": "o", "ms": 5.5, "mfc": BLUE, "mec": BLUE}
OTHER_MARK = {"ls": "", "marker": "o", "ms": 5.0, "mfc": "white", "mec": INK, "mew": 0.9}


def front_of(law) -> list:
    """Candidates that no other one with as few constants beats, the fewest constants first.

    Args:
        law: a Discovery.
    """
    found: list = []
    for candidate in sorted(ranked(law), key=lambda c: (c.n_constants, c.delta)):
        if not found or candidate.delta < found[-1].delta:
            found.append(candidate)
    return found


def ranked(law) -> list:
    """Candidates that have a criterion.

    Args:
        law: a Discovery.
    """
    return [c for c in law.candidates if not c.diverged and np.isfinite(c.delta)]


@styled
def draw_front(law) -> Picture:
    """Draw the criterion above the lowest against the number of constants, the pick marked.

    Args:
        law: a Discovery with candidates.
    """
    picture = Picture(PANEL, 3.6)
    panel = picture.subplots()
    panel.set_yscale("symlog", linthresh=LINEAR, linscale=1.5)
    panel.axhspan(0, RIVAL_DELTA, color=SHADE, lw=0, zorder=0)
    front, pick = front_of(law), picked_of(law)
    panel.plot([c.n_constants for c in front], [c.delta for c in front], zorder=2, **FRONT_LINE)
    others = [c for c in ranked(law) if c is not pick]
    for near, mark in ((False, OTHER_MARK), (True, RIVAL_MARK)):
        those = [c for c in others if (c.delta < RIVAL_DELTA) == near]
        panel.plot([c.n_constants for c in those], [c.delta for c in those], zorder=3, **mark)
    panel.plot([pick.n_constants], [pick.delta], zorder=4, clip_on=False, **PICK_MARK)
    counts = [c.n_constants for c in ranked(law)]
    highest = max(c.delta for c in ranked(law))
    panel.set(xlim=(min(counts) - 0.6, max(counts) + 0.6), ylim=(-0.8, max(1.4 * highest, 1.3 * LINEAR)))
    panel.set_yticks([tick for tick in (0, 2, 4, 6, 8, 10, 100, 1000, 10**4, 10**5) if tick <= 1.4 * max(highest, 10)])
    panel.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    panel.yaxis.set_minor_locator(MaxNLocator(1))
    panel.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    panel.set_xlabel("number of constants")
    panel.set_ylabel("criterion above the lowest")
    picture.legend(handles=_handles(any(c.delta < RIVAL_DELTA for c in others)), loc="outside lower center", ncols=2)
    return picture


def _handles(rivals: bool) -> list:
    return [
        Line2D([], [], label="picked", **PICK_MARK),
        *([Line2D([], [], label="its rivals", **RIVAL_MARK)] if rivals else []),
        Line2D([], [], label="out of reach", **OTHER_MARK),
        Patch(color=SHADE, label=f"the data cannot tell (below {RIVAL_DELTA:g})"),
    ]
