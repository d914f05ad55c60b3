"""Figure of how the estimates of the constants go together: a labelled matrix of their correlations."""

from __future__ import annotations

import numpy as np
from matplotlib.patches import Rectangle

from udesys.report.style import BLACK, BLUE, PANEL, VERMILLION, Picture, short, styled

MOST_CONSTANTS = 24  # in a matrix that can be read
MOST_NUMBERED = 9  # in one whose cells have room for a number
STRONGEST = 0.7  # opacity of a correlation of one; a number in the cell stays legible


@styled
def draw_correlation(law) -> Picture:
    """Draw the correlations of the estimated constants, blue where negative and orange where positive.

    Args:
        law: a Discovery with at least two estimated constants.
    """
    names, values = law.correlation
    n = len(names)
    picture = Picture(PANEL, min(PANEL, 1.6 + 0.45 * n))
    panel = picture.subplots()
    for i, j in np.ndindex(n, n):
        r = values[i, j]
        if not np.isfinite(r):
            panel.text(j, i, "–", ha="center", va="center", fontsize=8, color=BLACK)
            continue
        strength = STRONGEST * min(abs(float(r)), 1.0)
        colour = VERMILLION if r > 0 else BLUE
        panel.add_patch(Rectangle((j - 0.47, i - 0.47), 0.94, 0.94, fc=colour, alpha=strength, lw=0))
        if n <= MOST_NUMBERED:
            panel.text(j, i, f"{r:.2f}", ha="center", va="center", fontsize=8, color=BLACK)
    panel.set(xlim=(-0.5, n - 0.5), ylim=(n - 0.5, -0.5), aspect="equal")
    turned = {"rotation": 45, "ha": "left", "rotation_mode": "anchor"}
    panel.set_xticks(range(n), [short(name) for name in names], **turned)
    panel.set_yticks(range(n), [short(name) for name in names])
    panel.xaxis.tick_top()
    panel.tick_params(length=0, labelsize=8.5 if n <= MOST_NUMBERED else 7)
    panel.spines[:].set_visible(False)
    return picture
