"""Whether residuals are white: a portmanteau test for short, ragged and gappy records of several trajectories.

A lag counts pairs of measured samples so many rows apart in one trajectory. A missing cell takes its pairs with it, and
no pair reaches over a gap, an interval several times as long as those beside it: its rows are neighbours in the table
and strangers in time. Uneven sampling alone is no gap: independent errors are independent whatever the times.

Residuals of a fit are not independent even where the errors are. So the statistic's mean and variance are taken over
white noise that is put through the same linearised fit, and a scaled chi-square has both (Satterthwaite).

Source: Ljung & Box, Biometrika 65 (1978) 297; Stoffer & Toloi, Stat. Probab. Lett. 13 (1992) 391 (missing values);
Satterthwaite, Biometrics Bull. 2 (1946) 110.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2

MOST_LAGS, ROWS_A_LAG = 10, 5  # a tenth lag is asked of fifty samples
LEAST_ROWS = 10  # shorter series show nothing
GAP = 4.0  # times as long as the intervals beside it
DRAWS = 400  # of white noise: the spread of a statistic to a few per cent
MOST_CELLS = 20_000  # of all columns; from there on, the constants spend too little to matter
_SEED = 20


@dataclass(frozen=True)
class Series:
    """Where one column was measured.

    Attributes:
        rows: (n,) samples, trajectory after trajectory, missing ones among them.
        seen: (n,) whether there is a measurement.
        piece: (n,) which stretch without a gap a sample belongs to.
    """

    rows: np.ndarray
    seen: np.ndarray
    piece: np.ndarray

    @property
    def count(self) -> int:
        """Measurements."""
        return int(self.seen.sum())

    @property
    def lags(self) -> int:
        """Lags that are tested; none of a series that is too short."""
        return 0 if self.count < LEAST_ROWS else min(MOST_LAGS, self.count // ROWS_A_LAG)

    def correlations(self, values: np.ndarray, lags: int) -> tuple[np.ndarray, np.ndarray]:
        """Correlations at lags 1, 2, ..., and how many pairs each is made of.

        Args:
            values: (..., samples) residuals; anything where nothing is measured.
            lags: how many.

        Returns:
            (..., lags) and (lags,).
        """
        x = np.where(self.seen, values[..., self.rows], 0.0)
        power = np.maximum((x**2).sum(-1), 1e-300)
        found, pairs = np.zeros((*x.shape[:-1], lags)), np.zeros(lags)
        for k in range(1, min(lags, len(self.rows) - 1) + 1):
            counts = self.seen[k:] & self.seen[:-k] & (self.piece[k:] == self.piece[:-k])
            pairs[k - 1] = counts.sum()
            found[..., k - 1] = (x[..., k:] * x[..., :-k] * counts).sum(-1) / power
        return found, pairs

    def portmanteau(self, values: np.ndarray) -> np.ndarray:
        """Ljung and Box's statistic (...) of residuals (..., samples)."""
        r, pairs = self.correlations(values, self.lags)
        n = self.count
        return n * (n + 2) * (r**2 / np.maximum(pairs, 1.0)).sum(-1)

    def repeated(self, values: np.ndarray) -> float:
        """Mean product of neighbouring residuals (samples,): the variance of what repeats itself; noise has none."""
        r, pairs = self.correlations(values, 1)
        power = float((np.where(self.seen, values[self.rows], 0.0) ** 2).sum())
        return float(r[0]) * power / max(float(pairs[0]), 1.0)

    def p_value(self, values: np.ndarray, null: np.ndarray | None) -> float:
        """How likely white errors leave a statistic as large; NaN for a series that is too short.

        Args:
            values: (samples,) residuals.
            null: (draws, samples) residuals of white errors; None takes them for white themselves.
        """
        if not self.lags:
            return float("nan")
        statistic = float(self.portmanteau(values))
        if null is None:
            return float(chi2.sf(statistic, self.lags))
        under = self.portmanteau(null)
        scale = max(float(under.var() / (2.0 * under.mean())), 1e-300)
        return float(chi2.sf(statistic / scale, under.mean() / scale))


def pieces_of(t: np.ndarray, segments) -> np.ndarray:
    """(samples,) numbers of the stretches without a gap; another trajectory is another stretch.

    Args:
        t: (samples,) times.
        segments: (lo, hi) arrays of the trajectories.
    """
    begins = np.zeros(len(t), dtype=np.int64)
    for a, b in zip(*segments, strict=True):
        begins[a] = 1
        h = np.diff(t[a:b])
        if len(h) > 1:
            before, after = np.append(h[1], h[:-1]), np.append(h[1:], h[-2])
            begins[a + 1 : b] = h > GAP * np.maximum(before, after)
    return np.cumsum(begins)


class Fitted:
    """What a linearised fit leaves of errors: they are projected off the slopes of everything that was estimated.

    Args:
        slopes: (samples, m, values + d) weighted sensitivities, by the values and by the segment's own start.
        segments: (lo, hi) arrays.
        free: (segments, d) whether a start is estimated.

    Attributes:
        leverage: (samples, m) share of an error that the fit takes up.
        rank: how many numbers the data estimate.

    Source: Seber & Wild, Nonlinear Regression (1989), sec. 2.1 and 4.2.
    """

    def __init__(self, slopes: np.ndarray, segments, free: np.ndarray):
        self.segments, shape = segments, slopes.shape[:2]
        shared, starts = slopes[:, :, : -free.shape[1]], slopes[:, :, -free.shape[1] :]
        self.starts = [basis_of((starts[a:b] * f).reshape(-1, f.size)) for a, b, f in zip(*segments, free, strict=True)]
        self.shared = basis_of(self._off_starts(np.moveaxis(shared, 2, 0)).reshape(shared.shape[2], np.prod(shape)).T)
        leverage = (self.shared**2).sum(1).reshape(shape)
        for a, b, basis in zip(*segments, self.starts, strict=True):
            leverage[a:b] += (basis**2).sum(1).reshape(-1, shape[1])
        self.leverage = np.minimum(leverage, 1.0 - 1e-9)
        self.rank = self.shared.shape[1] + sum(basis.shape[1] for basis in self.starts)

    def left(self, errors: np.ndarray) -> np.ndarray:
        """(draws, samples, m) of errors likewise, as the fit leaves them."""
        errors = self._off_starts(errors)
        flat = errors.reshape(len(errors), len(self.shared))
        return (flat - (flat @ self.shared) @ self.shared.T).reshape(errors.shape)

    def _off_starts(self, errors: np.ndarray) -> np.ndarray:
        left = errors.copy()
        for a, b, basis in zip(*self.segments, self.starts, strict=True):
            flat = left[:, a:b].reshape(len(left), len(basis))
            left[:, a:b] = (flat - (flat @ basis) @ basis.T).reshape(left[:, a:b].shape)
        return left


def white_residuals(mask: np.ndarray, fitted: Fitted) -> np.ndarray | None:
    """(draws, samples, m) of residuals that white errors leave; None of a record so long that it does not matter.

    Args:
        mask: (samples, m), 1 where measured.
        fitted: the fit.
    """
    if mask.size > MOST_CELLS:
        return None
    noise = np.random.default_rng(_SEED).standard_normal((DRAWS, *mask.shape))
    return fitted.left(noise * mask)


def basis_of(columns: np.ndarray) -> np.ndarray:
    """Orthonormal columns that span those given (rows, k)."""
    sizes = np.sqrt((columns**2).sum(0))
    used = columns[:, sizes > 0] / sizes[sizes > 0]
    if not used.size:
        return np.zeros((len(columns), 0))
    u, s, _ = np.linalg.svd(used, full_matrices=False)
    return u[:, s > 1e-9 * s[0]]


def holm(p: np.ndarray) -> np.ndarray:
    """p-values corrected for their number; NaN where there was no test.

    Args:
        p: (tests,).

    Source: Holm, Scand. J. Stat. 6 (1979) 65.
    """
    adjusted = np.full(len(p), np.nan)
    tested = np.flatnonzero(np.isfinite(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    steps = p[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted
