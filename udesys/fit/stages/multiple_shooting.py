"""Direct multiple shooting by Gauss-Newton: nodes, weights and parameters together.

    min  sum ((y - s) / sigma)^2 + rho * sum ((Phi(s_i; theta) - s_{i+1} + m_i) / sigma)^2 + sum lambda_g |w_g|^2

The weight rho of the defects grows; at the end multipliers m (augmented Lagrangian) close them without making
the problem stiffer. The noise sigma and the regularisation lambda of every layer come from the data.

Source: Bock (1981) for the shooting; Nocedal & Wright, Numerical Optimization (2006), sec. 17.3 for the
multipliers; MacKay, Neural Computation 4 (1992) 415 and Foresee & Hagan, ICNN (1997) for the evidence.
"""

from __future__ import annotations

import time

import numpy as np
from scipy.linalg import LinAlgError

from udesys.fit.elimination import NormalEquations
from udesys.fit.problem import ShootingProblem
from udesys.fit.unknowns import StageReport, Unknowns

RHO = (1.0, 10.0, 100.0, 1e4)  # weight of the defects in units of 1/sigma^2, one round each
ROUND_ITERATIONS, LAST_ITERATIONS = 12, 60
TRIALS = 10  # damped steps tried before an iteration gives up
CORRECTIONS = 3  # chord corrections of the nodes after a refused step
LEAST_NOISE = 1e-7  # of a state's spread: the floor of the noise estimate
LARGEST_CHANGE = 5.0  # of a regularisation weight in one update; faster collapses the network to a line
SETTLED_NOISE = 0.15  # the regularisation moves only when log sigma moves less than this
CONVERGED = 1e-3  # relative change of misfit and prior; four in a row end the fit


def run(
    problem: ShootingProblem,
    unknowns: Unknowns,
    rng: np.random.Generator,
    progress=None,
    *,
    given_noise: np.ndarray | None = None,
) -> StageReport:
    """Fit nodes and theta jointly.

    Args:
        rng: not used; the stage is deterministic.
        given_noise: (d,) states whose `unknowns.sigma` stays as it is; none if None.
    """
    began = time.perf_counter()
    descent = _Descent(problem, unknowns, given_noise)
    first = descent.misfit()
    iterations, stopped = 0, "iteration limit"
    for round_, rho in enumerate(RHO):
        last = round_ == len(RHO) - 1
        count, stopped = descent.round(rho, round_, last, progress, iterations)
        iterations += count
    return StageReport(
        name="multiple shooting",
        iterations=iterations,
        before=first,
        after=descent.misfit(),
        stopped=stopped,
        seconds=time.perf_counter() - began,
    )


class _Descent:
    """The state of the joint minimisation."""

    def __init__(self, problem: ShootingProblem, unknowns: Unknowns, given_noise: np.ndarray | None):
        self.p, self.u = problem, unknowns
        self.sought = problem.measured & ~(np.zeros(problem.d, bool) if given_noise is None else given_noise)
        self.damping, self.rho = 1e-2, RHO[0]
        self.multiplier = np.zeros((problem.n_intervals, problem.d))
        self.noise_change = 1.0 if self.sought.any() else 0.0
        layouts = problem.field.layouts
        offsets = np.cumsum([0] + [lay.groups.max() + 1 for lay in layouts])
        groups = [lay.groups + o for lay, o in zip(layouts, offsets[:-1], strict=True)]
        self.groups = np.concatenate(groups) if groups else np.zeros(0, int)
        self._linearise()

    # ---------------------------------------------------------- the cost
    def _linearise(self) -> None:
        self.end, self.by_node, self.by_theta = self.p.flow_jacobians(self.u.nodes, self.u.theta)

    def _weight(self) -> np.ndarray:
        return (self.p.mask + self.p.pin) / self.u.sigma**2

    def _defect(self, nodes, end) -> np.ndarray:
        return end - nodes[self.p.start + 1]

    def _cost(self, nodes, theta, end) -> float:
        with np.errstate(over="ignore", invalid="ignore"):
            error = (self._weight() * (self.p.y - nodes) ** 2).sum()
            defect = (self._defect(nodes, end) + self.multiplier) / self.u.sigma
            return float(error + self.rho * (defect**2).sum() + self.u.penalty(theta))

    def misfit(self) -> float:
        """Squared errors in units of the noise, and the prior: what is left once the defects are closed."""
        return float((self._weight() * (self.p.y - self.u.nodes) ** 2).sum() + self.u.penalty(self.u.theta))

    def largest_defect(self) -> float:
        """In units of the noise."""
        return float(np.abs(self._defect(self.u.nodes, self.end) / self.u.sigma).max())

    # ---------------------------------------------------------- iterating
    def round(self, rho, round_, last, progress, before):
        """Iterate at one weight of the defects; returns the iterations and why it stopped."""
        self.rho, self.damping = rho, min(max(self.damping, 1e-4), 1e-1)
        quiet, previous, stopped = 0, np.inf, "iteration limit"
        limit = LAST_ITERATIONS if last else ROUND_ITERATIONS
        for iteration in range(1, limit + 1):
            cost = self._cost(self.u.nodes, self.u.theta, self.end)
            after = self._step(cost)
            gain = (cost - after) / max(cost, 1e-300)
            accepted = after < cost
            if round_ >= 1:
                self._update_regularisation(gain, iteration)
                self._update_noise(gain, last)
            if last and accepted and gain < 1e-2 and self.largest_defect() < 0.3:
                self.multiplier += self._defect(self.u.nodes, self.end)
            if progress:
                progress("multiple shooting", before + iteration, self.misfit())
            if last:
                misfit = self.misfit()
                still = abs(misfit - previous) < CONVERGED * max(misfit, 1.0) and self.noise_change < 0.03
                quiet, previous = (quiet + 1 if still or not accepted else 0), misfit
                if quiet >= 4 or (not accepted and quiet >= 2):
                    return iteration, "converged" if accepted or still else "no step lowers the cost"
            elif gain < 1e-2:
                return iteration, "round done"
            if not accepted:
                self.damping = 1e-2
        return limit, stopped

    def _step(self, cost: float) -> float:
        """Try damped steps until one lowers the cost; returns the cost after."""
        p, u = self.p, self.u
        equations = NormalEquations(
            p.start,
            self._weight(),
            p.y - u.nodes,
            self.rho / u.sigma**2,
            self._defect(u.nodes, self.end) + self.multiplier,
            self.by_node,
            self.by_theta,
            u.prior,
            u.prior * (u.theta - u.center),
        )
        reference = np.where(p.measured, 1.0, 0.01) / u.sigma**2
        for trial in range(TRIALS):
            step = equations.step(self.damping, (self.damping + 1e-9) * reference, u.bounds - u.theta)
            if step is None:
                self.damping = max(self.damping * 10, 1e-7)
                continue
            u.schur = step.schur
            nodes, theta = u.nodes + step.nodes, u.clip(u.theta + step.theta)
            flow = p.flow_jacobians(nodes, theta)
            after = self._cost(nodes, theta, flow[0])
            if np.isfinite(after) and not after < cost:
                nodes, flow, after = self._restore(step, nodes, theta, flow, after, cost)
            if np.isfinite(after) and after < cost and all(np.isfinite(f).all() for f in flow):
                u.nodes, u.theta, (self.end, self.by_node, self.by_theta) = nodes, theta, flow
                self.damping = max(self.damping / 5 if trial == 0 else self.damping, 1e-9)
                return after
            self.damping = max(self.damping * 5, 1e-7)
        return cost

    def _restore(self, step, nodes, theta, flow, after, cost):
        """Chord Newton corrections of the nodes: a step refused only for its defects is worth saving."""
        for _ in range(CORRECTIONS):
            end, by_node, _ = flow
            pull = self.rho / self.u.sigma**2 * (self._defect(nodes, end) + self.multiplier)
            gradient = -self._weight() * (self.p.y - nodes)
            gradient[self.p.start] += (np.swapaxes(by_node, 1, 2) @ pull[:, :, None])[:, :, 0]
            gradient[self.p.start + 1] -= pull
            moved = nodes + step.restore(gradient)
            moved_flow = self.p.flow_jacobians(moved, theta)
            moved_after = self._cost(moved, theta, moved_flow[0])
            if not (np.isfinite(moved_after) and moved_after < after):
                break
            nodes, flow, after = moved, moved_flow, moved_after
            if after < cost:
                break
        return nodes, flow, after

    # ---------------------------------------------------------- what comes from the data
    def _update_regularisation(self, gain: float, iteration: int) -> None:
        u, n = self.u, self.p.field.n_weights
        settled = self.noise_change < SETTLED_NOISE
        if n == 0 or u.schur is None or not settled or not (gain < 0.02 or iteration % 6 == 0):
            return
        try:
            diagonal = np.diag(np.linalg.inv(u.schur))[:n]
        except LinAlgError:
            return
        total = 0.0
        for group in range(self.groups.max() + 1):
            members = np.flatnonzero(self.groups == group)
            old = u.prior[members[0]]
            effective = max(len(members) - old * diagonal[members].sum(), 1e-3)
            total += effective
            size = u.theta[members] @ u.theta[members]
            new = np.clip((effective + 0.5) / (size + 0.5e-2), 1e-4, 1e4)  # Gamma hyperprior, nearly flat
            u.prior[members] = np.clip(new, old / LARGEST_CHANGE, old * LARGEST_CHANGE)
        u.effective = total

    def _update_noise(self, gain: float, last: bool) -> None:
        u, p = self.u, self.p
        if not self.sought.any() or gain >= 0.2 or not self.largest_defect() < 1:
            return
        old = u.sigma.copy()
        total = p.mask.sum()
        weights = u.effective if u.effective is not None else min(p.field.n_weights, 0.3 * total)
        spent = weights + len(p.field.parameters) + p.d * len(p.first)
        free = max(1.0 - spent / total, 0.2)
        squares = (p.mask * (p.y - u.nodes) ** 2).sum(0)
        new = np.sqrt(squares / np.maximum(p.counts, 1) / free)
        new = np.maximum(np.clip(new, old / 4, old * 4), LEAST_NOISE * u.spread)
        u.sigma = np.where(self.sought, new, old)
        change = (u.sigma / old)[self.sought]
        u.sigma[~p.measured] *= np.median(change)
        self.noise_change = float(np.abs(np.log(change)).max())
