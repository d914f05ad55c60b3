"""What a fit estimates, and the running record of how."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

ACCURACY = 1e-9  # of the smallest spread, asked of a plain simulation


@dataclass
class Unknowns:
    """The estimate as it stands; the stages change it in place.

    Attributes:
        nodes: (nodes, d) states at the sample times [data units].
        theta: (n_theta,) network weights, then scaled parameters.
        sigma: (m,) standard deviation of the measurement noise, states first [data units]; for an unmeasured
            state a comparable share of its spread.
        spread: (m,) standard deviation of each state and observable along the data [data units].
        prior: (n_theta,) weight of each squared deviation of theta from `center`.
        center: (n_theta,) zero for weights; the prior's mean, or the start, for parameters.
        bounds: (2, n_theta) lowest and highest theta.
        trust: (nodes, m) weight of each measurement beside the others: 1, less for an outlier under a robust loss.
        loss: "gaussian" or "student".
        worth: (m,) share of a column's measurements that count as independent; 1 unless its residuals wander.
        schur: (n_theta, n_theta) normal matrix of theta with the nodes eliminated.
        learned: theta and its `schur` as multiple shooting left them, once a simulation is fitted; else None.
        effective: how many weights the data determine.
    """

    nodes: np.ndarray
    theta: np.ndarray
    sigma: np.ndarray
    spread: np.ndarray
    prior: np.ndarray
    center: np.ndarray
    bounds: np.ndarray
    trust: np.ndarray
    worth: np.ndarray
    loss: str = "gaussian"
    schur: np.ndarray | None = None
    learned: tuple[np.ndarray, np.ndarray | None] | None = None
    effective: float | None = None

    @property
    def accuracy(self) -> float:
        """Absolute accuracy asked of a plain simulation [data units]."""
        return ACCURACY * float(self.spread.min())

    def clip(self, theta: np.ndarray) -> np.ndarray:
        """theta inside its bounds."""
        return np.clip(theta, self.bounds[0], self.bounds[1])

    def penalty(self, theta: np.ndarray) -> float:
        """The prior's share of the cost."""
        away = theta - self.center
        return float(self.prior @ (away * away))


@dataclass(frozen=True, kw_only=True)
class StageReport:
    """What one stage did.

    Attributes:
        name: the stage.
        iterations: accepted and refused steps.
        before: cost at its start (chi-square units).
        after: cost at its end.
        stopped: why it ended, in words.
        seconds: wall time.
        samples: that the stage worked on; fewer than all on the windows of a long record.
        notes: what the reader should know of it.
    """

    name: str
    iterations: int
    before: float
    after: float
    stopped: str
    seconds: float = 0.0
    samples: int = 0
    notes: tuple[str, ...] = ()
