"""What the data say about the fit itself: noise, regularisation of every layer, and the trust in each measurement.

Source: MacKay, Neural Computation 4 (1992) 415 and Foresee & Hagan, ICNN (1997) for the evidence; Lange, Little &
Taylor, JASA 84 (1989) 881 for Student's t.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import LinAlgError

from udesys.fit.correlation import effective_counts
from udesys.fit.elimination import inverse_diagonal
from udesys.fit.problem import ShootingProblem
from udesys.fit.unknowns import Unknowns

LEAST_NOISE = 1e-7  # of a state's spread: the floor of the noise estimate
LARGEST_CHANGE = 5.0  # of a regularisation weight in one update; faster collapses the network to a line
SETTLED_NOISE = 0.15  # the regularisation moves only when log sigma moves less than this
ROWS_PER_WEIGHT = 10.0  # that count at least for every weight the data determine
STUDENT = 4.0  # degrees of freedom of the robust loss


class Hyperparameters:
    """Re-estimates `unknowns.sigma`, `.prior` and `.trust` as a stage goes on.

    Args:
        given_noise: (m,) states and observables whose sigma stays as it is; none if None.

    Attributes:
        noise_change: largest change of log sigma in the last update.
    """

    def __init__(self, problem: ShootingProblem, unknowns: Unknowns, given_noise: np.ndarray | None):
        self.p, self.u = problem, unknowns
        self.sought = problem.measured & ~(np.zeros(problem.m, bool) if given_noise is None else given_noise)
        self.noise_change = 1.0 if self.sought.any() else 0.0
        self.groups = _groups(problem.field.layouts)

    def update_trust(self, error: np.ndarray) -> None:
        """Weights of the Student-t loss: a measurement far off counts for less (EM)."""
        if self.u.loss == "student":
            self.u.trust = (STUDENT + 1.0) / (STUDENT + (error / self.u.sigma) ** 2)

    def update_worth(self, error: np.ndarray) -> None:
        """How many rows count, where the errors (nodes, m) of one simulation wander."""
        p, u = self.p, self.u
        counts = effective_counts(error, p.mask * (u.trust > 0.5), p.segments)
        least = ROWS_PER_WEIGHT * (1.0 + (u.effective or 0.0))  # errors that repeat forever are not worth nothing
        u.worth = np.clip(np.maximum(counts, least) / np.maximum(p.counts, 1), 0.0, 1.0)

    def update_regularisation(self) -> None:
        """lambda of every layer from its effective number of weights."""
        u, n = self.u, self.p.field.n_weights
        if n == 0 or u.schur is None or not self.noise_change < SETTLED_NOISE:
            return
        try:
            diagonal = inverse_diagonal(u.schur)[:n]
        except LinAlgError:
            return
        groups, weights = self.groups, u.theta[:n]
        first = np.unique(groups, return_index=True)[1]
        old = u.prior[first]  # one of every group
        effective = np.maximum(np.bincount(groups) - old * np.bincount(groups, diagonal), 1e-3)
        size = np.bincount(groups, weights * weights)
        new = np.clip((effective + 0.5) / (size + 0.5e-2), 1e-4, 1e4)  # Gamma hyperprior, nearly flat
        u.prior[:n] = np.clip(new, old / LARGEST_CHANGE, old * LARGEST_CHANGE)[groups]
        u.effective = float(effective.sum())

    def update_noise(self, error: np.ndarray) -> None:
        """sigma of every column whose noise is not given, from the errors (nodes, m)."""
        u, p = self.u, self.p
        if not self.sought.any():
            return
        old = u.sigma.copy()
        total = (u.worth * p.counts).sum()
        weights = u.effective if u.effective is not None else min(p.field.n_weights, 0.3 * total)
        spent = weights + len(p.field.parameters) + p.d * len(p.first)
        free = max(1.0 - spent / total, 0.2)
        squares = (p.mask * u.trust * error**2).sum(0)
        new = np.sqrt(squares / np.maximum(p.counts, 1) / free)
        new = np.maximum(np.clip(new, old / 4, old * 4), LEAST_NOISE * u.spread)
        u.sigma = np.where(self.sought, new, old)
        change = (u.sigma / old)[self.sought]
        u.sigma[~p.measured] *= np.median(change)
        self.noise_change = float(np.abs(np.log(change)).max())


def _groups(layouts) -> np.ndarray:
    """Group of every weight; networks with as many layers share theirs, for few data tell few numbers."""
    first: dict[int, int] = {}
    groups, used = [np.zeros(0, int)], 0
    for layout in layouts:
        depth = len(layout.sizes)
        if depth not in first:
            first[depth], used = used, used + int(layout.groups.max()) + 1
        groups.append(layout.groups + first[depth])
    return np.concatenate(groups)
