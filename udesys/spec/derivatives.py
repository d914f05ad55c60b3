"""Which columns are numerically copies or derivatives of others, and which have a velocity that nobody measured."""

from __future__ import annotations

import itertools

import numpy as np

from udesys.data import smooth

WINDOW = 600  # rows of a run that are looked at; a law shows in them, and a spline costs the cube of them
HARDLY = 0.01  # of twice the variance: what neighbouring rows of the window differ by at most
MOST_RUNS = 6
LEAST_FOR_VELOCITY = 40  # rows; fewer have no neighbours worth the name
NEIGHBOURS = 5
APART = 20  # neighbours in state are no neighbours in time: they are at least 1/20 of a run apart
EXPLAINED = 0.5  # share of the variance, from which a rate is a function of what it was compared with
RATE_MISSED = 0.05  # share of a column's variance that the integral of its rate may miss
RATE_SCALE = 0.1  # by which the integral's own factor may differ from 1


def is_linear(x: np.ndarray, y: np.ndarray, tolerance: float) -> bool:
    """Whether y is a + b*x wherever both are measured, to a share of its spread."""
    known = np.isfinite(x) & np.isfinite(y)
    if known.sum() < 3 or not np.ptp(x[known]):
        return False
    x, y = (_unit_sized(values[known]) for values in (x, y))
    x, y = x - x.mean(), y - y.mean()
    slope = (x @ y) / (x @ x) if x @ x > 0 else 0.0
    return bool(np.abs(y - slope * x).max() <= tolerance * max(np.abs(y).max(), np.finfo(float).tiny))


def _unit_sized(values: np.ndarray) -> np.ndarray:
    """The values in units of the largest, so that their squares do not overflow."""
    return values / max(np.abs(values).max(), np.finfo(float).tiny)


def copies(columns: dict[str, np.ndarray], tolerance: float) -> dict[str, str]:
    """Return column -> an earlier one that it follows exactly but for a factor and a constant."""
    found: dict[str, str] = {}
    for first, second in itertools.combinations(columns, 2):
        if first not in found and second not in found and is_linear(columns[first], columns[second], tolerance):
            found[second] = first
    return found


def measured_rates(t: np.ndarray, rows: list[np.ndarray], columns: dict[str, np.ndarray]) -> dict[str, str]:
    """Return column -> the column that it is the rate of change of, by integrals over each run.

    Args:
        t: (n,), times; they increase within a run.
        rows: the rows of each run.
        columns: name -> (n,), NaN where a value is missing.
    """
    found: dict[str, str] = {}
    for rate, column in itertools.permutations(columns, 2):
        taken = rate in found or column in found.values() or found.get(column) == rate
        if not taken and _is_rate(t, rows, columns[column], columns[rate]):
            found[rate] = column
    return found


def _is_rate(t: np.ndarray, rows: list[np.ndarray], x: np.ndarray, v: np.ndarray) -> bool:
    moved, travelled = [], []
    for run in rows:
        run = run[np.isfinite(x[run]) & np.isfinite(v[run])]
        if len(run) < 4:
            continue
        with np.errstate(over="ignore", invalid="ignore"):
            integral = np.concatenate([[0.0], np.cumsum(0.5 * (v[run][1:] + v[run][:-1]) * np.diff(t[run]))])
            moved.append(x[run] - x[run].mean())
            travelled.append(integral - integral.mean())
    if not moved:
        return False
    x, v = np.concatenate(moved), np.concatenate(travelled)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        missed = ((x - v) ** 2).sum() / (x**2).sum()
        factor = (x @ v) / (v @ v)
    return bool(missed < RATE_MISSED and abs(factor - 1.0) < RATE_SCALE)


def needs_velocity(
    t: np.ndarray, rows: list[np.ndarray], x: np.ndarray, inputs: list[np.ndarray], *, place: bool
) -> bool:
    """Whether the rate of a lone state is no function of it and the inputs, but its acceleration is one with the rate.

    Args:
        t: (n,), times; they increase within a run.
        rows: the rows of each run.
        x: (n,), the state, NaN where it is missing.
        inputs: (n,) each.
        place: it is named like a place or an angle, which has inertia; then it is enough that the acceleration is one.
    """
    parts = [_curves(t[run], x[run], [u[run] for u in inputs]) for run in (_seen(x, r) for r in rows[:MOST_RUNS])]
    parts = [part for part in parts if part is not None]
    if not parts:
        return False
    x, rate, bend, *driven = (np.concatenate(values) for values in zip(*parts, strict=True))
    run = np.repeat(np.arange(len(parts)), [len(part[0]) for part in parts])
    if not all(np.isfinite(values).all() for values in (x, rate, bend)):
        return False
    x, rate, bend, *driven = (_unit_sized(values) for values in (x, rate, bend, *driven))
    if not all(np.ptp(values) > 0 for values in (x, rate, bend)):
        return False
    second = _explained([x, rate, *driven], bend, run)
    return second > EXPLAINED and (place or _explained([x, *driven], rate, run) < EXPLAINED)


def _seen(x: np.ndarray, run: np.ndarray) -> np.ndarray:
    """The first rows of a run, every k-th of them where the state hardly changes over k."""
    known = run[np.isfinite(x[run])]
    values = _unit_sized(x[known]) if len(known) else x[known]
    stride = 1
    while len(known) > 2 * stride * WINDOW:
        moved = np.mean((values[2 * stride :] - values[: -2 * stride]) ** 2)
        if moved > HARDLY * 2.0 * values.var():
            break
        stride *= 2
    return known[::stride][:WINDOW]


def _curves(t: np.ndarray, x: np.ndarray, inputs: list[np.ndarray]) -> tuple[np.ndarray, ...] | None:
    """A run's state, its rate and its acceleration, and the inputs, where all are measured."""
    known = np.isfinite(x) & np.all([np.isfinite(u) for u in inputs] or [np.ones(len(x), bool)], axis=0)
    if known.sum() < LEAST_FOR_VELOCITY:
        return None
    t, x = t[known], x[known]
    with np.errstate(all="ignore"):
        curve = smooth(t, x)
        return curve.values, curve.slope, smooth(t, curve.slope).slope, *(u[known] for u in inputs)


def _explained(arguments: list[np.ndarray], y: np.ndarray, run: np.ndarray) -> float:
    """Share of y's variance that a line through the arguments tells, or neighbours in them far apart in time."""
    from scipy.spatial import cKDTree

    spread = [values.std() or 1.0 for values in arguments]
    points = np.column_stack([values / s for values, s in zip(arguments, spread, strict=True)])
    apart = max(3, len(y) // (APART * (run[-1] + 1)))
    near = min(len(y), 2 * apart + 1 + NEIGHBOURS)
    who = cKDTree(points).query(points, k=near)[1]
    here = np.arange(len(y))[:, None]
    far = (np.abs(who - here) > apart) | (run[who] != run[here])
    rank = np.cumsum(far, axis=1)
    used = far & (rank <= NEIGHBOURS)
    guess = (y[who] * used).sum(axis=1) / np.maximum(used.sum(axis=1), 1)
    line = np.column_stack([*points.T, np.ones(len(y))])
    line = line @ np.linalg.lstsq(line, y, rcond=None)[0]
    return 1.0 - min(np.mean((y - guess) ** 2), np.mean((y - line) ** 2)) / np.var(y)
