"""Residuals that remember: an autoregressive model of simulated errors that wander, and its filter.

A law that is nearly right, simulated over a long record, drifts off and comes back; its errors repeat each other from
row to row. Filtered by their own memory they are nearly white: every row then counts, and constants are estimated by
generalised least squares.

A memory nearly as long as the record is not told from a unit root: errors that only drift, whose filter takes
differences and with them all that is slow in the law. Such errors are left as they are.

Source: Cochrane & Orcutt, J. Am. Stat. Assoc. 44 (1949) 32; Schwarz (1978) for the order; Dickey & Fuller, J. Am.
Stat. Assoc. 74 (1979) 427, for roots near one: of n errors about their mean, n (1 - root) exceeds 21 in one series of
a hundred that have a unit root.
"""

from __future__ import annotations

import numpy as np

ORDERS = (1, 2)  # an error of velocities and one of forces, integrated; more would filter the law itself away
LEAST_ROWS = 200  # of a column, to tell its memory
LEAST_LENGTHS = 20  # of a memory in the record, rows times (1 - largest root): fewer are not told from a unit root
UNEVEN = 0.01  # relative spread of the sampling interval beyond which lags mean nothing


def memory_of(errors: np.ndarray, mask: np.ndarray, t: np.ndarray, segments) -> np.ndarray:
    """(m, lags) autoregressive coefficients of each column's errors; zeros for columns that are short, ragged or drift.

    Args:
        errors: (samples, m).
        mask: (samples, m), 1 where measured.
        t: (samples,) times.
        segments: (lo, hi) arrays.
    """
    inside = np.concatenate([np.arange(a, b) for a, b in zip(*segments, strict=True)])
    steps = np.concatenate([np.diff(t[a:b]) for a, b in zip(*segments, strict=True)])
    found = np.zeros((errors.shape[1], max(ORDERS)))
    if len(inside) < LEAST_ROWS or np.ptp(steps) > UNEVEN * np.median(steps):
        return found
    for j in range(errors.shape[1]):
        if mask[inside, j].all() and np.isfinite(errors[inside, j]).all():
            order, coefficients = _best_order(errors[:, j], segments)
            if len(inside) * (1 - _largest_root(coefficients)) >= LEAST_LENGTHS:
                found[j, :order] = coefficients
    return found


def whitened(values: np.ndarray, memory: np.ndarray | None, segments) -> np.ndarray:
    """Values (samples, m, ...) less what their memory predicts; zero in the first rows of a segment, which lack it."""
    if memory is None:
        return values
    result = values.copy()
    shape = (-1, *[1] * (values.ndim - 2))
    for a, b in zip(*segments, strict=True):
        for lag in range(1, memory.shape[1] + 1):
            if memory[:, lag - 1].any():
                result[a + lag : b] -= memory[:, lag - 1].reshape(shape) * values[a : b - lag]
        for j in np.flatnonzero(memory.any(1)):
            result[a : min(b, a + int(np.flatnonzero(memory[j]).max()) + 1), j] = 0.0
    return result


def _best_order(series: np.ndarray, segments) -> tuple[int, np.ndarray]:
    """The order of the lowest Bayesian information criterion, all compared on the same rows, and its coefficients."""
    lags = max(ORDERS)
    pieces = [(a, b) for a, b in zip(*segments, strict=True) if b - a > 2 * lags]
    if not pieces:
        return 0, np.zeros(0)
    target = np.concatenate([series[a + lags : b] for a, b in pieces])
    lagged = ([series[a + lags - k : b - k] for a, b in pieces] for k in range(1, lags + 1))
    design = np.stack([np.concatenate(columns) for columns in lagged], 1)
    best = (np.inf, 0, np.zeros(0))
    for order in ORDERS:
        coefficients = np.linalg.lstsq(design[:, :order], target, rcond=None)[0]
        rest = target - design[:, :order] @ coefficients
        value = len(target) * np.log(float(rest @ rest) + 1e-300) + order * np.log(len(target))
        if value < best[0]:
            best = (value, order, coefficients)
    return best[1], best[2]


def _largest_root(coefficients: np.ndarray) -> float:
    """The modulus of the slowest root of z^p = c1 z^(p-1) + ... + cp: what is left of an error a row later."""
    return float(np.abs(np.roots(np.concatenate([[1.0], -coefficients]))).max(initial=0.0))
