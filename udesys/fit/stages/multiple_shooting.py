"""Direct multiple shooting by Gauss-Newton: nodes, weights and parameters together.

    min  sum ((y - h(s)) / sigma)^2 + rho * sum ((Phi(s_i; theta) - s_{i+1} + m_i) / sigma)^2 + sum lambda_g |w_g|^2

For a stiff system the stage equations of an implicit method take the place of the flow Phi. The weight rho of the
defects grows; at the end multipliers m (augmented Lagrangian) close them without making the problem stiffer. The
noise sigma and the regularisation lambda of every layer come from the data.

Source: Bock (1981) for the shooting; Nocedal & Wright, Numerical Optimization (2006), sec. 17.3 for the
multipliers.
"""

from __future__ import annotations

import time

import numpy as np

from udesys.fit.defects import Collocation, Shooting, defects_of
from udesys.fit.hyperparameters import Hyperparameters
from udesys.fit.problem import ShootingProblem
from udesys.fit.start import LEAST_POSITIVE, linear_errors
from udesys.fit.unknowns import StageReport, Unknowns

RHO = (1.0, 10.0, 100.0, 1e4)  # weight of the defects in units of 1/sigma^2, one round each
ROUND_ITERATIONS, LAST_ITERATIONS = 12, 60
TRIALS = 10  # damped steps tried before an iteration gives up
CORRECTIONS = 3  # chord corrections of the nodes after a refused step
CONVERGED = 1e-3  # relative change of misfit and prior; four in a row end the fit
POLISHED, POLISH_DAMPING = 2, 1e-3  # steps after that, noise and regularisation being settled


def run(
    problem: ShootingProblem,
    unknowns: Unknowns,
    rng: np.random.Generator,
    progress=None,
    *,
    given_noise: np.ndarray | None = None,
    rounds: tuple[float, ...] = RHO,
    converged: float = CONVERGED,
) -> StageReport:
    """Fit nodes and theta jointly.

    Args:
        rng: not used; the stage is deterministic.
        given_noise: (m,) states and observables whose `unknowns.sigma` stays as it is; none if None.
        rounds: weights of the defects, one round each.
        converged: relative gain below which the fit ends.
    """
    began = time.perf_counter()
    descent = _Descent(problem, unknowns, defects_of(problem), given_noise, converged)
    first = descent.misfit()
    iterations, stopped = 0, "iteration limit"
    for round_, rho in enumerate(rounds):
        if not descent.at.finite:
            stopped = "the start has no finite solution between its nodes"
            break
        last = round_ == len(rounds) - 1
        count, stopped = descent.round(rho, round_, last, progress, iterations)
        iterations += count
    if stopped == "converged":
        iterations += descent.polish(progress, iterations)
    unknowns.nodes = descent.nodes[descent.defects.sample]
    return StageReport(
        name=descent.defects.name,
        iterations=iterations,
        before=first,
        after=descent.misfit(),
        stopped=stopped,
        seconds=time.perf_counter() - began,
        samples=problem.n_nodes,
    )


class _Descent:
    """The state of the joint minimisation."""

    def __init__(
        self,
        problem: ShootingProblem,
        unknowns: Unknowns,
        defects: Shooting | Collocation,
        given_noise: np.ndarray | None,
        converged: float,
    ):
        self.p, self.u, self.defects, self.converged = problem, unknowns, defects, converged
        self.hyper = Hyperparameters(problem, unknowns, given_noise)
        self.damping, self.rho = 1e-2, RHO[0]
        self.positive = [problem.model.states.index(name) for name in problem.model.positive]
        self.nodes = defects.spread_out(unknowns.nodes)
        self.at, self.spare = defects.linearise(self.nodes, unknowns.theta), None
        self.multiplier = np.zeros_like(self.at.residual)

    # ---------------------------------------------------------- the cost
    def _weight(self) -> np.ndarray:
        return (self.p.mask * self.u.trust + self.p.pin) / self.u.sigma**2

    def _error(self, nodes, theta) -> np.ndarray:
        return self.p.y - self.p.outputs(nodes[self.defects.sample], theta)

    def _in_noise(self, residual) -> np.ndarray:
        """Residuals in units of the noise, (steps * rows / d, d)."""
        return residual.reshape(-1, self.p.d) / self.u.sigma[: self.p.d]

    def _cost(self, nodes, theta, residual, weight) -> float:
        error, defect = self._error(nodes, theta), self._in_noise(residual + self.multiplier)
        return float(np.vdot(weight, error * error) + self.rho * np.vdot(defect, defect) + self.u.penalty(theta))

    def misfit(self) -> float:
        """Squared errors in units of the noise, and the prior: what is left once the defects are closed."""
        error = self._error(self.nodes, self.u.theta)
        return float((self._weight() * error**2).sum() + self.u.penalty(self.u.theta))

    def largest_defect(self) -> float:
        """In units of the noise."""
        return float(np.abs(self._in_noise(self.at.residual)).max())

    # ---------------------------------------------------------- iterating
    def round(self, rho, round_, last, progress, before):
        """Iterate at one weight of the defects; returns the iterations and why it stopped."""
        self.rho, self.damping = rho, min(max(self.damping, 1e-4), 1e-1)
        quiet, previous, stopped = 0, np.inf, "iteration limit"
        limit = LAST_ITERATIONS if last else ROUND_ITERATIONS
        for iteration in range(1, limit + 1):
            cost, after = self._step()
            gain = (cost - after) / max(cost, 1e-300)
            accepted = after < cost
            if round_ >= 1:
                error = self._error(self.nodes, self.u.theta)
                self.hyper.update_trust(error)
                if gain < 0.02 or iteration % 6 == 0:
                    self.hyper.update_regularisation()
                if gain < 0.2 and self.largest_defect() < 1:
                    self.hyper.update_noise(error)
            if last and accepted and gain < 1e-2 and self.largest_defect() < 0.3:
                self.multiplier += self.at.residual
            if progress:
                progress(self.defects.name, before + iteration, self.misfit())
            if last:
                misfit = self.misfit()
                still = abs(misfit - previous) < self.converged * max(misfit, 1.0) and self.hyper.noise_change < 0.03
                quiet, previous = (quiet + 1 if still or not accepted else 0), misfit
                if quiet >= 4 or (not accepted and quiet >= 2):
                    return iteration, "converged" if accepted or still else "no step lowers the cost"
            elif gain < 1e-2:
                return iteration, "round done"
            if not accepted:
                self.damping = 1e-2
        return limit, stopped

    def polish(self, progress, before: int) -> int:
        """A few steps at one noise and regularisation; returns how many."""
        for count in range(1, POLISHED + 1):
            self.damping = min(self.damping, POLISH_DAMPING)
            cost, after = self._step()
            if progress:
                progress(self.defects.name, before + count, self.misfit())
            if not cost - after > self.converged * cost:
                break
        return count

    def _step(self) -> tuple[float, float]:
        """Try damped steps until one lowers the cost; returns the cost before and after."""
        p, u, sample = self.p, self.u, self.defects.sample
        weight = self._weight()
        cost = self._cost(self.nodes, u.theta, self.at.residual, weight)
        equations = self.defects.equations(
            self.at,
            self.at.residual + self.multiplier,
            linear_errors(p, self.nodes[sample], u.theta, weight),
            self.rho / u.sigma[: p.d] ** 2,
            u.prior,
            u.prior * (u.theta - u.center),
        )
        reference = np.where(p.measured, 1.0, 0.01)[: p.d] / u.sigma[: p.d] ** 2
        for trial in range(TRIALS):
            step = equations.step(self.damping, (self.damping + 1e-9) * reference, u.bounds - u.theta)
            if step is None:
                self.damping = max(self.damping * 10, 1e-7)
                continue
            if trial == 0 or u.schur is None:  # a refused step is damped until it says nothing of the curvature
                u.schur = step.schur
            nodes, theta = self._allowed(self.nodes + step.nodes), u.clip(u.theta + step.theta)
            residual = self.defects.residual(nodes, theta)
            after = self._cost(nodes, theta, residual, weight)
            if np.isfinite(after) and not after < cost:
                nodes, after = self._restore(step, nodes, theta, residual, weight, after, cost)
            if np.isfinite(after) and after < cost and self._linearise(nodes, theta):
                self.damping = max(self.damping / 5 if trial == 0 else self.damping, 1e-9)
                return cost, after
            self.damping = max(self.damping * 5, 1e-7)
        return cost, cost

    def _linearise(self, nodes, theta) -> bool:
        """Move to a point; False, and no move, where its derivatives are not finite."""
        at = self.defects.linearise(nodes, theta, self.spare)
        if at.finite:
            self.nodes, self.u.theta, self.at, self.spare = nodes, theta, at, self.at
        return at.finite

    def _allowed(self, nodes: np.ndarray) -> np.ndarray:
        """Nodes with positive states kept above zero."""
        for j in self.positive:
            nodes[:, j] = np.maximum(nodes[:, j], LEAST_POSITIVE * self.u.spread[j])
        return nodes

    def _restore(self, step, nodes, theta, residual, weight, after, cost):
        """Chord Newton corrections of the nodes: a step refused only for its defects is worth saving."""
        sample, penalty = self.defects.sample, self.rho / self.u.sigma[: self.p.d] ** 2
        for _ in range(CORRECTIONS):
            gradient = linear_errors(self.p, nodes[sample], theta, weight).node_gradient()
            correction = self.defects.correct(step, self.at, residual + self.multiplier, penalty, gradient)
            moved = self._allowed(nodes + correction)
            moved_residual = self.defects.residual(moved, theta)
            moved_after = self._cost(moved, theta, moved_residual, weight)
            if not (np.isfinite(moved_after) and moved_after < after):
                break
            nodes, residual, after = moved, moved_residual, moved_after
            if after < cost:
                break
        return nodes, after
