"""The criterion that ranks refitted laws: fit, constants and the prior over forms.

    criterion = sum_d n_d ln(RSS_d / n_d + floor_d^2) + k ln n + 2 prior

The first two terms are the Bayesian information criterion for Gaussian noise of unknown size per column; the
prior is the description length of the form in nats. Two laws within six of each other are rivals: a posterior
odds ratio below twenty.

Source: Schwarz, Ann. Statist. 6 (1978) 461; Kass & Raftery, JASA 90 (1995) 773 (the scale of evidence).
"""

from __future__ import annotations

import math

import numpy as np

RIVAL = 6.0  # 2 ln(20): closer than that the data do not decide
FLOOR = 1e-6  # of a column's mean magnitude: a smaller error is the integrator's


def criterion(
    squares: np.ndarray, counts: np.ndarray, worth: np.ndarray, floor: np.ndarray, n_constants: int, prior: float
) -> float:
    """Lower is better.

    Args:
        squares: (m,) residual sum of squares of each state and observable [data units squared].
        counts: (m,) measurements of each.
        worth: (m,) independent measurements they amount to, n_d above (see `fit.correlation`).
        floor: (m,) error below which nothing is told apart [data units].
        n_constants: estimated constants and parameters.
        prior: description length of the forms [nats].
    """
    measured = counts > 0
    squares, counts, floor = squares[measured], counts[measured], floor[measured]
    fit = (worth[measured] * np.log(squares / counts + floor**2)).sum()
    return float(fit + n_constants * math.log(worth.sum()) + 2.0 * prior)
