"""Figure of profile likelihoods: a panel for each quantity with its misfit over its value, and its interval."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from udesys.assess.profile import Profile
from udesys.report.style import (
    BLACK,
    BLUE,
    FAINT,
    INK,
    NARROW,
    SHADE,
    VERMILLION,
    WIDE,
    Picture,
    few_ticks,
    labelled,
    styled,
)

MOST_PANELS = 12
ACROSS, LEAST_ACROSS = 3, 2.0  # panels in a row, and inches that one needs
TALL = 2.3  # inches, of a row
HIGHEST = 2.2  # thresholds that are shown
WIDEST = 3.0  # intervals that a panel shows at most, on either side, where a profile goes on and on
CURVE_POINTS = 200
TICKS, FEWER_TICKS = 5, 3
DECADES = 30.0  # ratio of the ends, or of the value and an end, from which the axis is logarithmic
LONG_NUMBERS = 0.01  # size of numbers below which they are long


@styled
def draw_profiles(profiles: Sequence[Profile], *, width: float = WIDE) -> Picture:
    """Draw profiles: points and curve, dashed the parabola of the covariance, shaded the 95 % interval.

    An arrow points out of a panel on the side where an interval is open.

    Args:
        profiles: the first twelve are drawn.
        width: of the picture [inches]; one panel alone is no wider than a phone.
    """
    drawn = list(profiles)[:MOST_PANELS]
    across = min(ACROSS, len(drawn), max(1, int(width / LEAST_ACROSS)))
    down = math.ceil(len(drawn) / across)
    picture = Picture(width if len(drawn) > 1 else min(width, NARROW), 0.35 + TALL * down)
    panels = picture.subplots(down, across, squeeze=False)
    for panel, profile in zip(panels.flat, drawn, strict=False):
        _draw(panel, profile)
        if _decades(profile):
            panel.set_xscale("log")
        else:
            most = FEWER_TICKS if width <= NARROW or max(map(abs, panel.get_xlim())) < LONG_NUMBERS else TICKS
            few_ticks(panel.xaxis, most)
    for panel in panels.flat[len(drawn) :]:
        panel.set_visible(False)
    for row in panels:
        row[0].set_ylabel("misfit over its threshold")
    entries: dict = {}
    for panel in panels.flat[: len(drawn)]:
        for handle, name in zip(*panel.get_legend_handles_labels(), strict=True):
            entries.setdefault(name, handle)
    picture.legend(entries.values(), entries.keys(), loc="outside upper center", ncols=len(entries))
    return picture


def _draw(panel, profile: Profile) -> None:
    values, heights = np.array(profile.values), np.array(profile.costs) / profile.threshold
    low, high = _limits(profile)
    ends = [low if profile.open_low else profile.interval[0], high if profile.open_high else profile.interval[1]]
    panel.axvspan(*ends, color=SHADE, lw=0, label="95 % interval")
    panel.axhline(1.0, color=FAINT, lw=0.8)
    wide = _decades(profile)
    first, last = max(low, values.min()), min(high, values.max())
    smooth = (np.geomspace if wide else np.linspace)(first, last, CURVE_POINTS)
    course = _curve(*((np.log(v) if wide else v) for v in (values, profile.value, smooth)), heights)
    panel.plot(smooth, course, color=BLUE, lw=1.6, label="profile")
    panel.plot(values, heights, "o", color=BLUE, ms=3, mew=0)
    known = np.isfinite(profile.covariance_interval).all()
    if known:
        centre, half = np.mean(profile.covariance_interval), 0.5 * np.ptp(profile.covariance_interval)
        whole = np.linspace(low, high, CURVE_POINTS)
        panel.plot(whole, ((whole - centre) / half) ** 2, "--", color=VERMILLION, lw=1.0, label="covariance")
    for is_open, edge, inward in ((profile.open_low, 0.0, 1), (profile.open_high, 1.0, -1)):
        if is_open:
            arrow = {"arrowstyle": "->", "color": BLACK, "lw": 1.2}
            at = {"xycoords": "axes fraction", "textcoords": "axes fraction"}
            panel.annotate("", (edge, 0.5), (edge + 0.12 * inward, 0.5), arrowprops=arrow, **at)
            side = "left" if inward > 0 else "right"
            panel.text(edge + 0.03 * inward, 0.54, "open", transform=panel.transAxes, ha=side, fontsize=8, color=INK)
    panel.set(xlim=(low, high), ylim=(0, HIGHEST))
    panel.set_xlabel(labelled(profile.name, {profile.name: profile.unit}))


def _decades(profile: Profile) -> bool:
    """Whether a profile goes over orders of magnitude of a positive value."""
    ends = [profile.value, *(end for end in profile.interval if np.isfinite(end))]
    return min(profile.values) > 0 and max(ends) > DECADES * min(ends)


def _limits(profile: Profile) -> tuple[float, float]:
    """Of a panel: the interval and a little more; where it is open, as far as says that."""
    value = profile.value
    if _decades(profile):
        low, high = profile.interval
        low = min(profile.values) if profile.open_low else 0.5 * low
        return low, max(profile.values) if profile.open_high else 2.0 * high
    ends = [end for end in (*profile.interval, *profile.covariance_interval) if np.isfinite(end)]
    reach = max((abs(end - value) for end in ends), default=0.0) or max(np.ptp(profile.values), abs(value), 1e-300) / 3

    def edge(end: float, furthest: float, sign: int) -> float:
        if np.isfinite(end):
            return end + sign * 0.25 * max(abs(end - value), 0.2 * reach)
        return value + sign * min(max(abs(furthest - value), 0.3 * reach), WIDEST * reach)

    return edge(profile.interval[0], min(profile.values), -1), edge(profile.interval[1], max(profile.values), 1)


def _curve(values: np.ndarray, lowest: float, at: np.ndarray, heights: np.ndarray) -> np.ndarray:
    """Heights between the points: the signed root is nearly a straight line, and is what is interpolated."""
    from scipy.interpolate import PchipInterpolator

    if len(values) < 2:
        return np.zeros_like(at)
    roots = np.sqrt(heights) * np.sign(values - lowest)
    return PchipInterpolator(values, roots)(at) ** 2
