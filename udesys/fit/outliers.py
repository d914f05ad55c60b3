"""An outlier test: do a few measurements lie farther off than noise of one size can explain?"""

from __future__ import annotations

import numpy as np

from udesys.fit.noise_profile import noise_profile
from udesys.fit.problem import ShootingProblem
from udesys.fit.unknowns import Unknowns

FAR = 4.5  # robust standard deviations; one Gaussian error in 150,000 is as far
MAD = 1.4826  # of a Gaussian: standard deviation over median absolute deviation
LEAST_SHARE = 0.003  # of the measurements that must be far, beside
LEAST_COUNT = 2
LEAST_OFF = 1e-4  # of a column's spread: nearer than this, a smooth fit's own errors look like outliers
LEAST_CELLS = 10  # of a column; fewer have no robust spread


def outlying(problem: ShootingProblem, unknowns: Unknowns) -> np.ndarray:
    """(nodes, m) True where a measurement is far from the fitted nodes beside the others of its column.

    Where the noise grows with what is measured, an error is far for its size.
    """
    outputs = problem.outputs(unknowns.nodes, unknowns.theta)
    error = problem.y - outputs
    far = np.zeros(error.shape, dtype=bool)
    for j in np.flatnonzero(problem.counts >= LEAST_CELLS):
        seen = problem.mask[:, j] > 0
        profile = noise_profile(error[:, j], outputs[:, j], problem.mask[:, j])
        if profile is not None:
            error[:, j] /= profile.factors
        centre = np.median(error[seen, j])
        spread = MAD * np.median(np.abs(error[seen, j] - centre))
        if spread > 0:
            off = max(FAR * spread, LEAST_OFF * np.std(problem.y[seen, j]))
            far[:, j] = seen & (np.abs(error[:, j] - centre) > off)
    return far


def are_outliers(far: np.ndarray, problem: ShootingProblem) -> bool:
    """Whether the far measurements are too many for Gaussian noise."""
    return bool(far.sum() >= max(LEAST_COUNT, LEAST_SHARE * problem.counts.sum()))
