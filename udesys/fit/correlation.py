"""How many independent measurements the residuals amount to.

A likelihood that counts every row as independent is right only where the residuals are white. A record sampled a
hundred times faster than it drifts, or a law that is slightly wrong everywhere, leaves residuals that wander: rows
then repeat each other, and small systematic errors pass for overwhelming evidence. Where residuals refute whiteness,
the fit and the criterion count the rows they are worth. Residuals that alternate are another matter: those of a
network that follows short data closely do, and every row of them counts.

Source: Ljung & Box, Biometrika 65 (1978) 297 (the test); Bartlett, J. R. Stat. Soc. Suppl. 8 (1946) 27: the mean
squares of correlated series a and b covary as the sum over all lags of rho_ab(k)^2, which is one for a white
series with itself; a column's rows are worth n over that sum, taken over all correlated columns, because two
columns that wander together tell the same thing twice.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import chi2

REFUTED = 1e-3  # p-value below which residuals are taken for correlated
MOST_TEST_LAGS = 10
LEAST_ROWS = 16  # shorter columns cannot refute anything


def effective_counts(residuals: np.ndarray, mask: np.ndarray, segments) -> np.ndarray:
    """Rows of each column that count as independent.

    Args:
        residuals: (samples, d), anything where `mask` is zero.
        mask: (samples, d), 1 where measured.
        segments: (lo, hi) arrays of the trajectories.

    Returns:
        (d,) the number of measurements, or less where they are correlated.
    """
    counts = mask.sum(0)
    series = np.where(mask > 0, residuals, 0.0)
    series = series / np.maximum(np.sqrt((series**2).sum(0)), 1e-300)
    wandering = [j for j in range(series.shape[1]) if _refuted(series[:, j], counts[j], segments)]
    worth = counts.astype(float)
    for j in wandering:
        total = 0.0
        for other in wandering:
            rho = _correlation(series[:, j], series[:, other], segments)
            noticeable = rho**2 > 4.0 / min(counts[j], counts[other])  # two standard errors of white series
            total += (rho[noticeable] ** 2).sum()
        worth[j] = counts[j] / max(total, 1.0)
    return worth


def _refuted(series: np.ndarray, n: float, segments) -> bool:
    """Whether neighbours repeat each other and the Ljung-Box test refutes that a normalised series is white."""
    if n < LEAST_ROWS:
        return False
    rho = _correlation(series, series, segments)
    middle = len(rho) // 2
    if rho[middle + 1] <= 0:
        return False
    lags = np.arange(1, max(1, min(MOST_TEST_LAGS, int(n) // 5, middle)) + 1)
    statistic = n * (n + 2) * (rho[middle + lags] ** 2 / (n - lags)).sum()
    return bool(chi2.sf(statistic, len(lags)) < REFUTED)


def _correlation(a: np.ndarray, b: np.ndarray, segments) -> np.ndarray:
    """Correlations of two normalised series at all lags to half the longest trajectory, lag zero in the middle."""
    reach = max(1, max(hi - lo for lo, hi in zip(*segments, strict=True)) // 2)
    total = np.zeros(2 * reach + 1)
    for lo, hi in zip(*segments, strict=True):
        n = hi - lo
        product = np.fft.irfft(np.fft.rfft(a[lo:hi], 2 * n) * np.conj(np.fft.rfft(b[lo:hi], 2 * n)), 2 * n)
        lags = np.arange(-min(reach, n - 1), min(reach, n - 1) + 1)
        total[reach + lags] += product[lags]
    return total
