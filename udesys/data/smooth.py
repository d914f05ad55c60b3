"""A smooth curve through one measured column: the first guess of values, slopes and noise."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from udesys.errors import DataError

if TYPE_CHECKING:
    from scipy.interpolate import CubicSpline

SPLINE_SAMPLES = (10, 1500)
"""Where the spline is used: below, cross-validation is a lottery; above, it costs over a second."""
NOISE_SHARE = 0.05
"""The largest noise, as a share of the column's standard deviation, that interpolation claims."""
SPLINE_FREEDOM = 1.3
"""Typical n / (n - degrees of freedom) of the spline, by which residuals understate the variance."""
LARGEST_SPACING = 1e4
"""Largest over smallest spacing of a spline's knots; beyond, its equations are lost to rounding."""
THIRD_DIFFERENCE_VARIANCE = 20.0
"""Variance of a third difference of unit white noise: 1 + 9 + 9 + 1."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Smoothed:
    """A column made smooth.

    Args:
        values: (n,), at every time [data units].
        slope: (n,), time derivative at every time [data units per time unit].
        noise: estimated standard deviation of the noise [data units].
    """

    values: np.ndarray
    slope: np.ndarray
    noise: float


def smooth(t: np.ndarray, y: np.ndarray) -> Smoothed:
    """Smooth one column by a cubic spline whose stiffness generalised cross-validation chooses.

    Short, long or constant columns are interpolated linearly instead. Before the first and after the
    last measured value the curve is held constant. A column without any value stays NaN.

    Args:
        t: (n,), strictly increasing [the data's time unit].
        y: (n,), NaN where a value is missing [data units].

    Raises:
        DataError: the shapes disagree, or a value is infinite.

    Source: Craven & Wahba, Smoothing noisy data with spline functions, Numer. Math. 31 (1979);
        the noise of interpolated columns from third differences, Gasser, Sroka & Jennen-Steinmetz,
        Residual variance and residual pattern in nonlinear regression, Biometrika 73 (1986).
    """
    t, y = np.asarray(t, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if t.ndim != 1 or y.shape != t.shape:
        raise DataError(f"t and y must be (n,), but are {t.shape} and {y.shape}.")
    if np.isinf(y).any():
        raise DataError("y must not be infinite. Use NaN where a value is missing.")
    seen = np.isfinite(y)
    if not seen.any():
        return Smoothed(values=y.copy(), slope=y.copy(), noise=float("nan"))

    # In units of the mean spacing and the largest value's power of two (exact), no unit of t or y matters.
    spacing = (t[seen][-1] - t[seen][0]) / (seen.sum() - 1) if seen.sum() > 1 else 1.0
    size = 2.0 ** (math.frexp(np.abs(y[seen]).max())[1] - 1)
    u, v = (t - t[seen][0]) / spacing, y / size
    values, slope, noise = _spline(u, v, seen) or _interpolation(u, v, seen)
    return Smoothed(values=values * size, slope=slope * size / spacing, noise=noise * size)


def first_slope(t: np.ndarray, y: np.ndarray) -> float:
    """Slope of a column at its first time [data units per time unit]; arguments as for `smooth`.

    A natural spline has no curvature at its ends. What it shows just behind the first is taken out of the data before
    they are smoothed again, which leaves the slope at the first time alone.
    """
    slope, since = smooth(t, y).slope, t - t[0]
    if np.isfinite(y).sum() >= SPLINE_SAMPLES[0]:
        curvature = (slope[2] - slope[0]) / (t[2] - t[0])
        slope = smooth(t, y - 0.5 * curvature * since**2).slope
    return float(slope[0])


def _spline(u: np.ndarray, v: np.ndarray, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray, float] | None:
    """Return values, slopes and noise of the smoothing spline, or None where it cannot be used."""
    knots, data = u[seen], v[seen]
    few, many = SPLINE_SAMPLES
    if not few <= len(data) <= many or np.ptp(data) == 0:
        return None
    centre, spread = data.mean(), data.std()
    try:
        curve = smoothing_spline(knots, (data - centre) / spread)
    except (ValueError, ArithmeticError, np.linalg.LinAlgError):
        return None
    inside = np.clip(u, knots[0], knots[-1])
    values = centre + spread * curve(inside)
    slope = np.where(inside == u, spread * curve(inside, 1), 0.0)
    if not (np.isfinite(values).all() and np.isfinite(slope).all()):
        return None
    noise = np.sqrt(SPLINE_FREEDOM) * np.std(data - values[seen])
    return values, slope, float(noise)


def smoothing_spline(x: np.ndarray, y: np.ndarray) -> CubicSpline:
    """The natural cubic spline with the least sum of (y - f)^2 + lam * (integral of f''^2).

    It is SciPy's `make_smoothing_spline`, with lam between 0 and n by generalised cross-validation, in a basis where
    trying a lam costs n operations: a tenth of the time for short columns.

    Args:
        x: (n,), strictly increasing.
        y: (n,).

    Raises:
        ValueError: the spacings differ too much.

    Source: Demmler & Reinsch, Oscillation matrices with spline smoothing, Numer. Math. 24 (1975).
    """
    from scipy.interpolate import CubicSpline
    from scipy.optimize import minimize_scalar

    h = np.diff(x)
    if h.max() > LARGEST_SPACING * h.min():
        raise ValueError("the knots are too uneven for one stiffness")
    bending, modes = _bending_modes(x.tobytes())
    seen = modes.T @ y

    def cross_validation(lam):
        left = lam * bending / (1.0 + lam * bending)
        return ((left * seen) ** 2).sum() / left.sum() ** 2

    lam = minimize_scalar(cross_validation, bounds=(0, len(x)), method="bounded").x
    return CubicSpline(x, modes @ (seen / (1.0 + lam * bending)), bc_type="natural")


@lru_cache(maxsize=4)
def _bending_modes(knots: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues (n,) and eigenvectors (n, n) of the integral of f''^2, a quadratic form of f at the knots."""
    h = np.diff(np.frombuffer(knots))
    i = np.arange(len(h) - 1)
    second = np.zeros((len(h) + 1, len(h) - 1))  # differences of the slopes
    second[i, i], second[i + 1, i], second[i + 2, i] = 1.0 / h[:-1], -1.0 / h[:-1] - 1.0 / h[1:], 1.0 / h[1:]
    off = h[1:-1] / 6.0
    overlap = np.diag((h[:-1] + h[1:]) / 3.0) + np.diag(off, 1) + np.diag(off, -1)
    values, modes = np.linalg.eigh(second @ np.linalg.solve(overlap, second.T))
    values[:2] = 0.0  # straight lines
    return values, modes


def _interpolation(u: np.ndarray, v: np.ndarray, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Return values, slopes and noise of the linear interpolation."""
    data = v[seen]
    values = np.interp(u, u[seen], data)
    slope = np.gradient(values, u) if len(u) > 1 else np.zeros_like(values)
    noise = NOISE_SHARE * data.std()
    if len(data) > 3:
        third = np.diff(data, 3)
        # The mean square, not the variance: a smooth curve has third differences near zero.
        noise = min(noise, np.sqrt(np.mean(third**2) / THIRD_DIFFERENCE_VARIANCE))
    return values, slope, float(noise)
