"""A bifurcation analysis as lines of text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from udesys.assess.layout import aligned, wrapped

if TYPE_CHECKING:
    from udesys.assess.bifurcation.ends import End
    from udesys.assess.bifurcation.equilibria import Branch, Point
    from udesys.assess.bifurcation.result import Bifurcation
    from udesys.assess.bifurcation.sweeps import Sweep, Threshold

MISSING = "n/a"
OUTSIDE = "outside"
DIGITS = 8  # of points that are solved for
NOTHING = 1e-5  # of what was visited
ALIKE = 0.05  # of the range, within which points of two analyses are one


def lines(found: Bifurcation) -> list[str]:
    """What was found, for a reader.

    Args:
        found: the analysis.
    """
    time = f"   simulated to {found.time} = {found.until:g}"
    head = f"Bifurcation  {found.source}   the {found.of}, {found.name} from {found.low:g} to {found.high:g}{time}"
    out = [head]
    if found.held:
        out += wrapped("  held: ", ", ".join(f"{name} = {value:.6g}" for name, value in found.held.items()))
    out += [f"  {line}" for line in _branch_lines(found)]
    out += _point_lines(found)
    out += _cycle_lines(found)
    out += _threshold_lines(found)
    out += wrapped("Trained: ", trained_text(found))
    for note in found.notes:
        out += wrapped("Warning: ", note)
    return [line.rstrip() for line in out]


def trained_text(found: Bifurcation) -> str:
    """Where the data were, and that nothing is claimed elsewhere.

    Args:
        found: the analysis.
    """
    low, high = found.trained
    if not math.isfinite(low):
        at = "on no data"
    elif low == high:
        known = (
            f" (95 % {found.interval[0]:.5g} to {found.interval[1]:.5g})" if np.isfinite(found.interval).all() else ""
        )
        at = f"{found.name} = {low:.6g}{known}"
    else:
        at = f"{found.name} {low:.4g} to {high:.4g}"
    states = ", ".join(f"{s} {a:.4g} to {b:.4g}" for s, (a, b) in found.visited.items() if s in found.states)
    return f"{at}; {states} (no claim outside)"


def _branch_lines(found: Bifurcation) -> list[str]:
    if not found.branches:
        return ["no equilibrium was found in and about what was visited"]
    count = len(found.branches)
    out = [f"{count} branch{'es' if count > 1 else ''} of equilibria"]
    rows = []
    for k, branch in enumerate(found.branches, start=1):
        pieces = [f"{_stability(branch, piece)} {_range(branch.value[piece])}" for piece in branch.pieces]
        rows += [(str(k) if n == 0 else "", piece) for n, piece in enumerate(pieces)]
    return out + [f"  {number:>2}  {piece}" for number, piece in rows]


def _stability(branch: Branch, piece: slice) -> str:
    k = piece.stop - 1  # its first point may be its neighbour's
    if branch.stable[k]:
        return "stable  "
    return "unstable" if branch.unstable[k] else "neutral "


def _range(values: np.ndarray) -> str:
    low, high = values.min(), values.max()
    ends = f"from {values[0]:.5g} to {values[-1]:.5g}"
    beyond = []
    if low < min(values[0], values[-1]):
        beyond.append(f"by {low:.5g}")
    if high > max(values[0], values[-1]):
        beyond.append(f"by {high:.5g}")
    return f"{ends} {' and '.join(beyond)}".rstrip()


def _point_lines(found: Bifurcation) -> list[str]:
    if not found.points:
        return ["No point where the stability of an equilibrium changes was met."]
    header = ("Points", found.name, *found.states, "period", "branch", "")
    rows = [
        (
            f"  {point.kind}",
            f"{point.value:.{DIGITS}g}",
            *(_number(point.x[s]) for s in found.states),
            f"{point.period:.6g}" if math.isfinite(point.period) else "",
            str(point.branch + 1),
            _where(found, point),
        )
        for point in found.points
    ]
    return aligned(header, rows, "<" + ">" * (len(header) - 2) + "<")


def _where(found: Bifurcation, point: Point) -> str:
    parts = [] if found.trained_at(point.value) else [f"{found.name} {OUTSIDE}"]
    return ", ".join(parts + ([] if point.inside else [f"states {OUTSIDE}"]))


def _number(value: float) -> str:
    return f"{0.0 if abs(value) < 1e-12 else value:.6g}"


def _cycle_lines(found: Bifurcation) -> list[str]:
    """Stretches of every sweep on which the kind of end is the same."""
    rows: list[tuple[str, ...]] = []
    shown = set()
    for sweep in found.sweeps:
        if sweep.direction == "fresh":
            continue
        for first, last in _stretches(sweep):
            a, b = sweep.ends[first], sweep.ends[last]
            cells = (
                f"  {sweep.direction}",
                f"{sweep.value[first]:.5g} to {sweep.value[last]:.5g}",
                kind_text(a),
                _period(a, b),
                *(_extremes(found, a, b, k) for k in range(len(found.states))),
            )
            if cells not in shown:
                shown.add(cells)
                rows.append(cells)
    if not rows:
        return []
    header = ("Simulated", found.name, "ends in", "period", *found.states)
    return aligned(header, rows, "<" * len(header))


def kind_text(end: End) -> str:
    """What a simulation came to, without its numbers.

    Args:
        end: what it came to.
    """
    from udesys.assess.bifurcation.ends import WORDS

    if end.kind == "left":
        return end.words
    return f"{WORDS[end.kind]}, {', '.join(end.zero)} at zero" if end.zero else WORDS[end.kind]


def _stretches(sweep: Sweep) -> list[tuple[int, int]]:
    names = [kind_text(end) for end in sweep.ends]
    cuts = [0, *(k for k in range(1, len(names)) if names[k] != names[k - 1]), len(names)]
    return [(a, b - 1) for a, b in pairwise(cuts)]


def _period(a: End, b: End) -> str:
    return f"{a.period:.5g} to {b.period:.5g}" if math.isfinite(a.period) and math.isfinite(b.period) else ""


def _extremes(found: Bifurcation, a: End, b: End, k: int) -> str:
    """Extremes of a state at the two ends of a stretch."""
    low, high = found.visited[found.states[k]]
    size = max(high - low, 1e-9 * max(abs(low), abs(high)))
    ends = [_pair(end, k, size) for end in (a, b)]
    return ends[0] if ends[0] == ends[1] else f"{ends[0]} .. {ends[1]}"


def _pair(end: End, k: int, size: float) -> str:
    if not math.isfinite(end.low[k]):
        return MISSING
    low, high = (0.0 if abs(v) < NOTHING * size else v for v in (end.low[k], end.high[k]))
    return f"{0.5 * (low + high):.4g}" if high - low < 10 * NOTHING * size else f"({low:.4g}, {high:.4g})"


def _threshold_lines(found: Bifurcation) -> list[str]:
    if not found.thresholds:
        return ["From no start does the end jump."] if found.sweeps else []
    header = ("Thresholds", found.name, "from", "below -> above", "")
    rows = [
        (
            f"  {threshold.kind}",
            f"{threshold.value:.6g}",
            start_text(threshold.start),
            threshold.what,
            _threshold_where(found, threshold),
        )
        for threshold in found.thresholds
    ]
    return aligned(header, rows, "<><<<")


def _threshold_where(found: Bifurcation, threshold: Threshold) -> str:
    parts = [] if found.trained_at(threshold.value) else [f"{found.name} {OUTSIDE}"]
    return ", ".join(parts + ([] if threshold.inside else [f"start {OUTSIDE}"]))


def start_text(start: dict[str, float]) -> str:
    """A start as it is written.

    Args:
        start: state -> value.
    """
    return ", ".join(f"{state}={value:.4g}" for state, value in start.items())


def side_by_side(answers: Sequence[Bifurcation]) -> list[str]:
    """The points and thresholds of several analyses in one table, a column each.

    Args:
        answers: of the law and of the hybrid, along the same number.
    """
    reach = ALIKE * (answers[0].high - answers[0].low)
    groups: list[tuple[str, list[float | None]]] = []
    for k, found in enumerate(answers):
        events = [(point.kind, point.value) for point in found.points]
        for threshold in found.thresholds:
            events.append((f"{threshold.kind} from {start_text(threshold.start)}", threshold.value))
        for kind, value in events:
            near = [g for g in groups if g[0] == kind and g[1][k] is None and abs(_known(g[1]) - value) < reach]
            if near:
                min(near, key=lambda g: abs(_known(g[1]) - value))[1][k] = value
            else:
                groups.append((kind, [value if j == k else None for j in range(len(answers))]))
    groups.sort(key=lambda group: _known(group[1]))
    header = (f"At {answers[0].name} =", *(found.of for found in answers), "difference")
    rows = [
        (f"  {kind}", *(MISSING if v is None else f"{v:.{DIGITS}g}" for v in values), _difference(values))
        for kind, values in groups
    ]
    return aligned(header, rows, "<" + ">" * (len(header) - 1)) if rows else ["Neither has a point or a threshold."]


def _known(values: list[float | None]) -> float:
    return next(v for v in values if v is not None)


def _difference(values: list[float | None]) -> str:
    return "" if None in values else f"{values[-1] - values[0]:+.2g}"
