"""Gauss-Newton on one simulation per trajectory: theta and the starts alone, every interval exactly closed.

Over an integrator, tiny defects add up: nodes may follow the data while no single simulation does. Here the nodes are
the simulation. What multiple shooting learned of theta from interval to interval stands beside the data as a Gaussian
prior with its own normal matrix, and rows whose simulated errors wander count only for what they are worth, so that no
network bends to follow what the law does not explain: the simulation settles what the intervals leave open. It is
solved on all intervals at once, from where the last step left it, and its sensitivities are condensed along the
trajectories from the Jacobians of the intervals.

Source: Bock (1981) for condensing; Golub & Pereyra, Inverse Problems 19 (2003) R1 for the elimination of the starts.
"""

from __future__ import annotations

import time

import numpy as np
from numba import njit
from scipy.linalg import LinAlgError

from udesys.fit.elimination import bounded_step
from udesys.fit.evidence import common_share
from udesys.fit.hyperparameters import Hyperparameters
from udesys.fit.problem import ShootingProblem
from udesys.fit.start import linear_errors
from udesys.fit.unknowns import StageReport, Unknowns

ITERATIONS = 60
TRIALS = 8
CONVERGED = 1e-3  # relative change of the cost; four in a row end the stage


def run(
    problem: ShootingProblem,
    unknowns: Unknowns,
    rng: np.random.Generator,
    progress=None,
    *,
    given_noise: np.ndarray | None = None,
    converged: float = CONVERGED,
) -> StageReport:
    """Fit theta and the starts by one simulation of every trajectory; leaves all as it is where there is none.

    Args:
        rng: not used; the stage is deterministic.
        given_noise: (m,) states and observables whose `unknowns.sigma` stays as it is; none if None.
        converged: relative gain below which the stage ends.
    """
    began = time.perf_counter()
    descent = _Descent(problem, unknowns, given_noise)
    first = cost = descent.cost(descent.nodes, unknowns.theta) if descent.nodes is not None else np.nan
    iterations, quiet, stopped = 0, 0, "iteration limit"
    for iterations in range(1, ITERATIONS + 1):
        if descent.nodes is None:
            stopped = "one simulation does not follow the data"
            break
        before = cost
        cost = descent.improve()
        gain = (before - cost) / max(before, 1e-300)
        descent.update(gain)
        if progress:
            progress("condensing", iterations, cost)
        still = gain < converged and descent.hyper.noise_change < 0.03
        quiet = quiet + 1 if still else 0
        if quiet >= 4 or (quiet >= 2 and gain <= 0):
            stopped = "converged"
            break
        cost = descent.cost(descent.nodes, unknowns.theta)
    descent.leave()
    return StageReport(
        name="condensing",
        iterations=iterations,
        before=float(first),
        after=float(cost),
        stopped=stopped,
        seconds=time.perf_counter() - began,
        samples=problem.n_nodes,
    )


class _Descent:
    """The state of the minimisation."""

    def __init__(self, problem: ShootingProblem, unknowns: Unknowns, given_noise: np.ndarray | None):
        self.p, self.u, self.damping = problem, unknowns, 1e-3
        if unknowns.learned is None:
            unknowns.learned = unknowns.theta.copy(), unknowns.schur
        self.center, held = unknowns.learned
        self.matrix = np.diag(unknowns.prior) if held is None else 0.5 * (held + held.T)
        unknowns.worth = np.ones(problem.m)
        self.hyper = Hyperparameters(problem, unknowns, given_noise)
        self.nodes = problem.shoot(unknowns.nodes[problem.first], unknowns.theta, unknowns.nodes)
        if self.nodes is not None:
            self.hyper.update_worth(self._error(self.nodes, unknowns.theta))

    def _weight(self) -> np.ndarray:
        """What each measurement counts: one share for all columns, whose balance is that of their noise."""
        share = common_share(self.p, self.u.worth)
        return (self.p.mask * self.u.trust * share + self.p.pin) / self.u.sigma**2

    def _error(self, nodes, theta) -> np.ndarray:
        return self.p.y - self.p.outputs(nodes, theta)

    def cost(self, nodes, theta) -> float:
        """Squared errors in units of the noise, as they count, and what holds theta where multiple shooting left it."""
        away = theta - self.center
        return float((self._weight() * self._error(nodes, theta) ** 2).sum() + away @ self.matrix @ away)

    def improve(self) -> float:
        """Try damped steps until one lowers the cost; returns the cost after."""
        p, u = self.p, self.u
        cost = self.cost(self.nodes, u.theta)
        at = self._linearise()
        if at is None:
            return cost
        for trial in range(TRIALS):
            step = at.step(self.damping, u.bounds - u.theta)
            if step is not None:
                d_theta, d_starts = step
                theta = u.clip(u.theta + d_theta)
                starts = self.nodes[p.first] + d_starts
                guess = self.nodes + at.predict(d_theta, d_starts)
                nodes = p.shoot(starts, theta, guess) if np.isfinite(guess).all() else None
                after = self.cost(nodes, theta) if nodes is not None else np.inf
                if after < cost:
                    self.nodes, u.theta = nodes, theta
                    self.damping = max(self.damping / 5 if trial == 0 else self.damping, 1e-9)
                    return after
            self.damping = max(self.damping * 8, 1e-7)
        return cost

    def update(self, gain: float) -> None:
        """Trust, worth and noise from the errors as they are now."""
        error = self._error(self.nodes, self.u.theta)
        self.hyper.update_trust(error)
        if gain < 0.2:
            self.hyper.update_worth(error)
            self.hyper.update_noise(error)

    def _linearise(self) -> _Linearised | None:
        p, u = self.p, self.u
        _, by_node, by_theta = p.flow_jacobians(self.nodes, u.theta)
        lo, hi = p.segments
        sensitivity = np.zeros((p.n_nodes, p.d, u.theta.size + p.d))
        _condense(lo, hi, by_node, by_theta, sensitivity)
        if not np.isfinite(sensitivity).all():
            return None
        errors = linear_errors(p, self.nodes, u.theta, self._weight())
        return _Linearised(p, sensitivity, errors, self.matrix, self.matrix @ (u.theta - self.center))

    def leave(self) -> None:
        """Write the simulation back as the fit's nodes, and what its rows say into theta's matrix."""
        if self.nodes is None:
            return
        self.u.nodes = self.nodes
        self.hyper.update_worth(self._error(self.nodes, self.u.theta))
        at = self._linearise()
        whole = at.schur() if at is not None else None
        if whole is not None:
            self.u.schur = whole - self.matrix + np.diag(self.u.prior)


class _Linearised:
    """Normal equations of theta and each trajectory's start, about one simulation."""

    def __init__(self, problem, sensitivity, errors, prior, prior_gradient):
        d, n = problem.d, len(prior)
        self.d, self.sensitivity, self.segments = d, sensitivity, problem.segments
        slope, error, weight = sensitivity, errors.error, errors.weight
        if errors.by_state is not None:
            observed = errors.by_state @ sensitivity
            n_p = errors.by_parameter.shape[2]
            observed[:, :, n - n_p : n] += errors.by_parameter
            slope = np.concatenate([sensitivity, observed], 1)
        self.matrix, self.gradient, self.coupling, self.own = prior.copy(), prior_gradient.copy(), [], []
        for a, b in zip(*self.segments, strict=True):
            rows = slope[a:b].reshape(-1, n + d)
            weighted = rows * weight[a:b].reshape(-1, 1)
            gradient = -weighted.T @ error[a:b].reshape(-1)
            whole = weighted.T @ rows
            self.matrix = self.matrix + whole[:n, :n]
            self.gradient += gradient[:n]
            self.coupling.append(whole[:n, n:])
            self.own.append((whole[n:, n:], gradient[n:]))

    def schur(self) -> np.ndarray | None:
        """theta's matrix with the starts eliminated; None where that is singular."""
        schur = self.matrix.copy()
        for coupling, (own, _) in zip(self.coupling, self.own, strict=True):
            try:
                schur -= coupling @ np.linalg.solve(own + 1e-12 * np.diag(np.diag(own) + 1e-300), coupling.T)
            except np.linalg.LinAlgError:
                return None
        return schur

    def step(self, damping: float, limits):
        """Steps of theta and of the starts (trajectories, d); None where the matrix is singular."""
        schur, gradient, inverses = self.matrix.copy(), self.gradient.copy(), []
        try:
            for coupling, (own, pull) in zip(self.coupling, self.own, strict=True):
                inverse = np.linalg.inv(own + (damping + 1e-12) * np.diag(np.diag(own) + 1e-300))
                schur -= coupling @ inverse @ coupling.T
                gradient -= coupling @ inverse @ pull
                inverses.append(inverse)
            damped = schur + damping * np.diag(np.maximum(np.diag(schur), 1e-12))
            theta = bounded_step(damped, gradient, *limits)
        except (LinAlgError, np.linalg.LinAlgError, ValueError):
            return None
        starts = [
            -inverse @ (pull + coupling.T @ theta)
            for inverse, coupling, (_, pull) in zip(inverses, self.coupling, self.own, strict=True)
        ]
        return theta, np.array(starts)

    def predict(self, theta: np.ndarray, starts: np.ndarray) -> np.ndarray:
        """The first-order change of all nodes (nodes, d)."""
        n = len(theta)
        change = self.sensitivity[:, :, :n] @ theta
        for (a, b), start in zip(zip(*self.segments, strict=True), starts, strict=True):
            change[a:b] += self.sensitivity[a:b, :, n:] @ start
        return change


@njit(cache=True)
def _condense(lo, hi, by_node, by_theta, result):
    """result[i] = d node_i / d (theta, start), by the chain rule along every trajectory."""
    d, n = by_theta.shape[1], by_theta.shape[2]
    interval = 0
    for segment in range(len(lo)):
        first = lo[segment]
        for j in range(d):
            result[first, j, n + j] = 1.0
        for i in range(first + 1, hi[segment]):
            for r in range(d):
                for q in range(n):
                    result[i, r, q] = by_theta[interval, r, q]
                for k in range(d):
                    slope = by_node[interval, r, k]
                    for q in range(n + d):
                        result[i, r, q] += slope * result[i - 1, k, q]
            interval += 1
