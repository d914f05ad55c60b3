"""How well an experiment tells laws apart, and how much it narrows what is known, by their linearised predictions.

Every law's prediction of an experiment is Gaussian: the noise, and how well its constants and the start are known.

Source: Box & Hill, Technometrics 9 (1967) 57 (the expected ratio of likelihoods); Buzzi-Ferraris & Forzatti, Chem. Eng.
Sci. 38 (1983) 225 (uncertain predictions); Kolchinsky & Tracey, Entropy 19 (2017) 361 (information about which).
"""

from __future__ import annotations

import numpy as np

RIDGE = 1e-12  # of a variance, below which rounding decides


def expected_ratios(mean: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Expected 2 ln of the ratio of likelihoods of every law over every other, where it is the true one.

    Twice the Kullback-Leibler divergence of Gaussians.

    Args:
        mean: (laws, designs, q) predictions; NaN where a law blows up.
        covariance: (laws, designs, q, q) of a measurement about them, noise included.

    Returns:
        (laws, laws, designs): true law, other law; zero where one of the two blows up.
    """
    covariance, lost, mean = _usable(mean, covariance)
    inverse, logdet = np.linalg.inv(covariance), np.linalg.slogdet(covariance)[1]
    ratio = np.zeros((len(mean), *mean.shape[:2]))
    for m in range(len(mean)):
        apart = mean[m] - mean
        spread = np.einsum("ldij,dji->ld", inverse, covariance[m])
        moved = np.einsum("ldi,ldij,ldj->ld", apart, inverse, apart)
        ratio[m] = spread + moved - mean.shape[2] + logdet - logdet[m]
    ratio[lost[:, None] | lost[None, :]] = 0.0
    return np.maximum(ratio, 0.0)


def overlaps(mean: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Bhattacharyya coefficients (laws, laws, designs) of predictions as in `expected_ratios`; 1 is no difference."""
    covariance, lost, mean = _usable(mean, covariance)
    logdet = np.linalg.slogdet(covariance)[1]
    overlap = np.ones((len(mean), *mean.shape[:2]))
    for m in range(len(mean)):
        between, apart = 0.5 * (covariance[m:] + covariance[m]), (mean[m:] - mean[m])[..., None]
        moved = (apart * np.linalg.solve(between, apart)).sum((-2, -1))
        bent = np.linalg.slogdet(between)[1] - 0.5 * (logdet[m:] + logdet[m])
        overlap[m, m:] = overlap[m:, m] = np.exp(-np.maximum(moved / 8.0 + bent / 2.0, 0.0))
    overlap[lost[:, None] | lost[None, :]] = 1.0
    return overlap


def information(weights: np.ndarray, overlap: np.ndarray) -> np.ndarray:
    """At least so much is to be learnt about which law is the true one, (designs,) [nats].

    Args:
        weights: (laws,) their probabilities.
        overlap: (laws, laws, designs) from `overlaps`.
    """
    return -np.einsum("l,ld->d", weights, np.log(np.einsum("k,lkd->ld", weights, overlap)))


def variance_after(
    slopes: np.ndarray, unknown: np.ndarray, covariance: np.ndarray, directions: np.ndarray
) -> np.ndarray:
    """Covariance (designs, n, n) of n combinations of the unknowns once an experiment is added to the data.

    Args:
        slopes: (designs, q, unknowns) of what is measured.
        unknown: (unknowns, unknowns) their covariance before.
        covariance: (designs, q, q) of a measurement about its prediction, noise included.
        directions: (n, unknowns) the combinations.
    """
    seen = slopes @ unknown @ directions.T
    gained = np.swapaxes(seen, 1, 2) @ np.linalg.solve(covariance, seen)
    return directions @ unknown @ directions.T - gained


def _usable(mean, covariance):
    """Covariances and means without NaNs, and which (laws, designs) had them."""
    lost = ~(np.isfinite(mean).all(-1) & np.isfinite(covariance).all((-2, -1)))
    q = mean.shape[2]
    covariance = np.where(lost[..., None, None], np.eye(q), covariance)
    variance = np.diagonal(covariance, axis1=-2, axis2=-1)
    covariance = covariance + RIDGE * variance[..., None] * np.eye(q)
    return covariance, lost, np.where(lost[..., None], 0.0, mean)
