"""The noise profile: measurements whose noise grows with what is measured, sigma^2 = a^2 + b^2 x^2.

Source: Currie, Anal. Chem. 40 (1968) 586, for the two parts; the choice between one part and two by likelihood.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar

LEAST_GAIN = 6.0  # of the log likelihood by one more number, to believe in it
LEAST_ERROR = 1e-4  # of a column's mean magnitude: smaller errors are not the measurements'
LEAST_COUNT = 12  # measurements of a column
LARGEST_LOGIT = 14.0  # a share of relative noise within 1e-6 of none or all


@dataclass(frozen=True)
class Profile:
    """How the noise of one column depends on what is measured.

    Attributes:
        absolute: a [data units].
        relative: b.
        factors: (samples,) standard deviation over its geometric mean.
    """

    absolute: float
    relative: float
    factors: np.ndarray


def noise_profile(error: np.ndarray, value: np.ndarray, mask: np.ndarray) -> Profile | None:
    """The profile of a column's noise; None where one size explains the errors as well.

    Args:
        error: (samples,) measured less simulated [data units].
        value: (samples,) simulated.
        mask: (samples,) 1 where measured.
    """
    seen = mask > 0
    if seen.sum() < LEAST_COUNT:
        return None
    square, size = error[seen] ** 2, value[seen] ** 2
    largest, mean = float(np.mean(size)), float(np.mean(np.abs(value[seen])))
    if not largest > 0 or math.sqrt(np.mean(square)) < LEAST_ERROR * mean:
        return None

    def cost(logit: float) -> float:
        """-log likelihood, the noise's size eliminated."""
        share = 1.0 / (1.0 + math.exp(-logit))
        shape = (1.0 - share) + share * size / largest
        return 0.5 * np.log(shape).sum() + 0.5 * len(square) * math.log(np.mean(square / shape))

    grid = np.linspace(-LARGEST_LOGIT, LARGEST_LOGIT, 29)
    best = float(grid[int(np.argmin([cost(g) for g in grid]))])
    found = minimize_scalar(cost, bounds=(best - 1.0, best + 1.0), method="bounded")
    constant = 0.5 * len(square) * math.log(np.mean(square))
    if constant - found.fun < LEAST_GAIN:
        return None
    share = 1.0 / (1.0 + math.exp(-found.x))
    shape = (1.0 - share) + share * value**2 / largest
    scale = float(np.mean(square / shape[seen]))
    factors = np.sqrt(shape / math.exp(np.mean(np.log(shape[seen]))))
    return Profile(math.sqrt((1.0 - share) * scale), math.sqrt(share * scale / largest), factors)
