"""Comparing laws that are not quite right: their unknown equations pushed by white noise of unknown strength.

A law that is slightly wrong everywhere leaves simulated errors that wander. Rows then repeat each other and tell
little of which law is nearer. Noise in the equations takes the wandering up, interval by interval; what is left of
one interval is nearly independent of the next, and every row counts. The nodes are integrated out by the band of
normal equations that multiple shooting uses.

Source: Kristensen, Madsen & Jorgensen, Automatica 40 (2004) 225, for noise in the equations; Bell, SIAM J. Optim. 4
(1994) 626, for the smoother as Gauss-Newton.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize_scalar

from udesys.fit.elimination import shooting_equations
from udesys.fit.problem import ShootingProblem
from udesys.fit.start import OUTLIER_TRUST, curves_through, linear_errors, unknown_equations
from udesys.fit.unknowns import Unknowns

DECADES = np.arange(-7.0, 1.0)  # log10 of the strength of the disturbance, at first
KNOWN_SHARE = 1e-3  # of that, in an equation without a network
LEAST_NOISE = 1e-12  # of a spread
ITERATIONS = 20
NONE = 1e12  # of an evidence that rounding leaves without a number
CONVERGED = 1e-5  # relative gain of a smoothing step


def disturbed_evidence(problem: ShootingProblem, unknowns: Unknowns) -> float:
    """-2 log marginal likelihood up to a constant, of the law with disturbed equations; lower is better.

    The strength of the disturbance and the scale of the noise are those of the highest likelihood.
    """
    law = DisturbedLaw(problem, unknowns)

    def of_data(log_strength):
        return min(law.evidence_of_data(log_strength), NONE)  # the search takes differences

    middle = DECADES[int(np.argmin([of_data(k) for k in DECADES]))]
    best = minimize_scalar(of_data, bounds=(middle - 1.0, middle + 1.0), method="bounded", options={"xatol": 0.02})
    value = law.evidence_of_data(best.x) + law.evidence_of_weights(best.x)
    return float(value) if np.isfinite(value) else np.inf


class DisturbedLaw:
    """A fitted law whose unknown equations are pushed by white noise, the initial states being free.

    Attributes:
        noise: (m,) standard deviation of each column's measurements [data units], from the smoothed data, so that it
            is the same for every fit of them; all of it and of the disturbance is scaled together.
        share: (d,) disturbance of each state in an interval, at strength 1 [data units].
        nodes: (nodes, d) most likely states at the strength that was asked for last.
        scale: of all variances at that strength.
    """

    def __init__(self, problem: ShootingProblem, unknowns: Unknowns):
        self.p, self.u, d = problem, unknowns, problem.d
        noise = curves_through(problem, smoothed=True, trusted=unknowns.trust > OUTLIER_TRUST)[1]
        self.noise = np.maximum(np.where(problem.measured, noise, 1.0), LEAST_NOISE * unknowns.spread)
        unknown = unknown_equations(problem, unknowns.nodes, unknowns.theta)[1]
        self.share = np.where(unknown, 1.0, KNOWN_SHARE) * unknowns.spread[:d]
        self.nodes = np.where(problem.mask[:, :d] > 0, problem.y[:, :d], unknowns.nodes)
        self.rows = max(problem.mask.sum() - d * len(problem.first), 1.0)
        self.weight = (problem.mask * unknowns.trust + problem.pin) / self.noise**2
        self.scale = 1.0

    def evidence_of_data(self, log_strength: float) -> float:
        """-2 log marginal likelihood of the measurements at log10 of a strength, without n log(2 pi)."""
        penalty = self._penalty(log_strength)
        self.scale = self._smooth(penalty) / self.rows
        determinant = self._equations(self.weight, penalty, by_theta=False).log_determinant()
        determinant -= self.p.n_intervals * np.log(penalty).sum()
        determinant += 2.0 * (self.p.mask * np.log(self.noise)).sum()
        return determinant + self.rows * (1.0 + np.log(self.scale))

    def evidence_of_weights(self, log_strength: float) -> float:
        """What the networks' weights and the parameters add: their prior, and how narrowly the data hold them."""
        penalty, u, n = self._penalty(log_strength), self.u, self.p.field.n_weights
        equations = self._equations(self.weight / self.scale, penalty / self.scale, by_theta=True)
        step = equations.step(0.0, np.zeros(self.p.d))
        if step is None:
            return np.inf
        sign, determinant = np.linalg.slogdet(step.schur)
        return u.penalty(u.theta) + determinant - np.log(u.prior[:n]).sum() if sign > 0 else np.inf

    def _penalty(self, log_strength: float) -> np.ndarray:
        """(d,) weight of a squared jump."""
        return (10.0**log_strength * self.share) ** -2.0

    def _equations(self, weight, penalty, *, by_theta: bool):
        p, u = self.p, self.u
        end, by_node, slopes = p.flow_jacobians(self.nodes, u.theta, by_theta=by_theta)
        errors = linear_errors(p, self.nodes, u.theta, weight, by_parameter=by_theta)
        prior = u.prior if by_theta else np.zeros(0)
        slopes = slopes if by_theta else np.zeros((p.n_intervals, p.d, 0))
        jump = end - self.nodes[p.start + 1]
        return shooting_equations(p.start, errors, penalty, jump, by_node, slopes, prior, np.zeros(len(prior)))

    def _cost(self, nodes, penalty) -> float:
        p, theta = self.p, self.u.theta
        jump = p.flow(nodes, theta) - nodes[p.start + 1]
        return float((self.weight * (p.y - p.outputs(nodes, theta)) ** 2).sum() + (penalty * jump**2).sum())

    def _smooth(self, penalty) -> float:
        """Move the nodes to the least cost, by Gauss-Newton steps; returns it."""
        cost, damping, least = self._cost(self.nodes, penalty), 0.0, self.u.spread[: self.p.d] ** -2.0
        for _ in range(ITERATIONS):
            step = self._equations(self.weight, penalty, by_theta=False).step(0.0, damping * least)
            nodes = self.nodes if step is None else self.nodes + step.nodes
            after = np.inf if step is None else self._cost(nodes, penalty)
            if after < cost:
                gain, self.nodes, cost, damping = cost - after, nodes, after, damping / 10
                if gain < CONVERGED * cost:
                    break
            elif after < cost * (1.0 + CONVERGED):
                break
            else:
                damping = max(10.0 * damping, 1.0)
        return cost
