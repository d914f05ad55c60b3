"""How figures look: colours, sizes, and a figure that needs no display and leaves no global state."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Mapping

import numpy as np
from matplotlib import style
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

# Okabe & Ito, Color Universal Design (2008): told apart by colour-blind readers too
BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
BLUE, VERMILLION, PURPLE = "#0072B2", "#D55E00", "#CC79A7"
TRAJECTORY_COLOURS = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY)
INK, SHADE, FAINT = "#404040", "#EFEFEF", "#B0B0B0"

DPI = 150
WIDE, NARROW, PANEL = 9.2, 4.3, 4.6  # inches: across a page, across a phone, and beside another one
LONGEST_NAME = 24
MARGIN = 0.08  # of the range of the numbers that matter, kept free beside it
OVERSHOOT = 0.6  # of that range; what is drawn further away is cut
_LOOK = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib, so that pictures are the same everywhere
    "font.size": 9.0,
    "axes.titlesize": 9.0,
    "axes.labelsize": 9.0,
    "axes.edgecolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.formatter.useoffset": False,
    "axes.axisbelow": True,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelcolor": BLACK,
    "ytick.labelcolor": BLACK,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "figure.titlesize": 10.0,
    "figure.dpi": 100.0,
    "savefig.dpi": DPI,
}


def styled(function: Callable) -> Callable:
    """Run a drawing function under the package's look, whatever the user's settings, and put those back."""

    @functools.wraps(function)
    def inside(*args, **kwargs):
        with style.context(_LOOK, after_reset=True):
            return function(*args, **kwargs)

    return inside


class Picture(Figure):
    """A figure with its own canvas, which a notebook shows by itself."""

    def __init__(self, width: float, height: float):
        super().__init__(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(self)

    @styled
    def to_png(self) -> bytes:
        """The picture as a PNG file without date or software, so that equal results give equal files."""
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
        return buffer.getvalue()

    def _repr_png_(self) -> bytes:
        return self.to_png()


def plain(text: str) -> str:
    """Text that matplotlib does not read as mathematics."""
    return text.replace("$", r"\$")


def labelled(name: str, units: Mapping[str, str] | None = None) -> str:
    """The label of an axis: a name, and its unit where that is known."""
    unit = (units or {}).get(name, "")
    return plain(f"{name} [{unit}]" if unit else name)


def short(name: str) -> str:
    """A name that fits into a legend."""
    return plain(name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 3]}...")


def few_ticks(axis, most: int) -> None:
    """At most so many round ticks, so that years and long numbers do not run into each other."""
    axis.set_major_locator(MaxNLocator(most, steps=[1, 2, 5, 10]))


def keep_near(axis, known: list[np.ndarray], overshoot: float = OVERSHOOT) -> None:
    """Limit an axis to the numbers that matter and a little beyond, however far a curve leaves them.

    Args:
        axis: `panel.xaxis` or `panel.yaxis`, on which everything is drawn.
        known: the numbers that matter; NaNs are ignored.
        overshoot: how much further the axis may reach where something is drawn there.
    """
    values = np.concatenate([np.empty(0), *known])
    values = values[np.isfinite(values)]
    if not values.size:
        return
    low, high = float(values.min()), float(values.max())
    span = (high - low) or abs(high) or 1.0
    drawn = [v if np.isfinite(v) else k for v, k in zip(axis.get_data_interval(), (low, high), strict=True)]
    lowest = max(min(low, drawn[0]) - MARGIN * span, low - overshoot * span)
    highest = min(max(high, drawn[1]) + MARGIN * span, high + overshoot * span)
    axis.axes.set(**{f"{axis.axis_name}lim": (lowest, highest)})
