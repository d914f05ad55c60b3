"""What a fit estimates, and the running record of how."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass
class Unknowns:
    """The estimate as it stands; the stages change it in place.

    Attributes:
        nodes: (nodes, d) states at the sample times [data units].
        theta: (n_theta,) network weights, then scaled parameters.
        sigma: (d,) standard deviation of the measurement noise [data units]; for an unmeasured state a
            comparable share of its spread.
        spread: (d,) standard deviation of each state along the data [data units].
        prior: (n_theta,) weight of each squared deviation of theta from `center`.
        center: (n_theta,) zero for weights, the start for parameters.
        bounds: (2, n_theta) lowest and highest theta.
    """

    nodes: np.ndarray
    theta: np.ndarray
    sigma: np.ndarray
    spread: np.ndarray
    prior: np.ndarray
    center: np.ndarray
    bounds: np.ndarray
    schur: np.ndarray | None = None
    effective: float | None = None

    def clip(self, theta: np.ndarray) -> np.ndarray:
        """theta inside its bounds."""
        return np.clip(theta, self.bounds[0], self.bounds[1])

    def penalty(self, theta: np.ndarray) -> float:
        """The prior's share of the cost."""
        return float((self.prior * (theta - self.center) ** 2).sum())


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
    """

    name: str
    iterations: int
    before: float
    after: float
    stopped: str
    seconds: float = 0.0
    notes: tuple[str, ...] = field(default=())
