"""Warm start: weights and parameters alone, matched to the slopes between fixed nodes.

The one-interval flow from every node is compared with the next node, so the unknown law is matched to slopes
without ever differentiating the data. For a stiff system the flow with a law that is still wrong explodes; there the
law is integrated along the straight lines between the nodes, and long intervals count for less. So is, at first, a law
without networks whose parameters got no start: most are linear in it, and no guess of theirs can be far off.
"""

from __future__ import annotations

import time

import numpy as np
from scipy.linalg import LinAlgError

from udesys.fit.elimination import bounded_step, damped
from udesys.fit.problem import ShootingProblem
from udesys.fit.unknowns import StageReport, Unknowns

ITERATIONS = 20
PATH_ITERATIONS = 60
MOST_INTERVALS = 4000  # of a long record a random subset is enough for a start
LARGEST_SHARE = 1e3  # of a short interval, where the median one counts 1
ENOUGH = 1e-3  # relative gain below which an iteration is the last


def run(problem: ShootingProblem, unknowns: Unknowns, rng: np.random.Generator, progress=None) -> StageReport:
    """Lower the one-step defects in theta by Levenberg-Marquardt; nodes stay."""
    began = time.perf_counter()
    which = np.arange(problem.n_intervals)
    if len(which) > MOST_INTERVALS:
        which = np.sort(rng.choice(which, MOST_INTERVALS, replace=False))
    stiff = problem.method != "rk4"
    if not stiff and _only_guessed(problem):
        _improve(_Matching(problem, unknowns, which, along_path=True), None)
    match = _Matching(problem, unknowns, which, along_path=stiff)
    first = match.cost
    iterations, stopped = _improve(match, progress)
    return StageReport(
        name="gradient matching",
        iterations=iterations,
        before=first,
        after=match.cost,
        stopped=stopped,
        seconds=time.perf_counter() - began,
        samples=problem.n_nodes,
    )


def _improve(match: _Matching, progress) -> tuple[int, str]:
    """Steps until they gain too little, for good; how many, and what ended them."""
    iterations, stopped = 0, "iteration limit"
    for iterations in range(1, (PATH_ITERATIONS if match.along_path else ITERATIONS) + 1):
        gain = match.improve()
        if progress:
            progress("gradient matching", iterations, match.cost)
        if gain < ENOUGH:
            stopped = "converged" if gain > 0 else "no step lowers the defects"
            break
    match.unknowns.theta = match.theta
    return iterations, stopped


def _only_guessed(problem: ShootingProblem) -> bool:
    """Whether a law has no networks, and a parameter that nobody gave a start."""
    parameters = problem.model.parameters
    return not problem.field.n_weights and any(parameters[name].start is None for name in problem.field.parameters)


class _Matching:
    """Defects of the chosen intervals, in units of the noise; the variance is re-estimated as they shrink."""

    def __init__(self, problem: ShootingProblem, unknowns: Unknowns, which: np.ndarray, *, along_path: bool):
        self.problem, self.unknowns, self.which = problem, unknowns, which
        self.theta, self.damping, self.along_path = unknowns.theta.copy(), 1e-2, along_path
        h = problem.h[which][:, None]
        share = np.minimum(np.median(h) / h, LARGEST_SHARE) if self.along_path else np.ones_like(h)
        self.weight = share / unknowns.sigma[: problem.d]
        self.target = unknowns.nodes[problem.start[which] + 1]
        self._linearise()
        self.variance = max(float((self.defect**2).mean()), 1e-12)

    def _defects(self, theta):
        if self.along_path:
            end, _ = self.problem.path(self.unknowns.nodes, theta, self.which)
        else:
            end = self.problem.flow(self.unknowns.nodes, theta, which=self.which)
        return (end - self.target) * self.weight

    def _linearise(self) -> None:
        if self.along_path:
            end, by_theta = self.problem.path(self.unknowns.nodes, self.theta, self.which, by_theta=True)
        else:
            end, _, by_theta = self.problem.flow_jacobians(self.unknowns.nodes, self.theta, self.which)
        self.defect = (end - self.target) * self.weight
        self.slope = (by_theta * self.weight[:, :, None]).reshape(self.defect.size, len(self.theta))

    def _cost(self, defect, theta) -> float:
        with np.errstate(over="ignore", invalid="ignore"):
            return float((defect**2).sum() / self.variance + self.unknowns.penalty(theta))

    @property
    def cost(self) -> float:
        """Squared defects in units of their variance, and the prior."""
        return self._cost(self.defect, self.theta)

    def improve(self) -> float:
        """One accepted step; returns its relative gain, zero where none is found."""
        if not np.isfinite(self.slope).all() or not np.isfinite(self.defect).all():
            return 0.0
        before, prior = self.cost, self.unknowns.prior
        hessian = self.slope.T @ self.slope / self.variance
        hessian.reshape(-1)[:: len(prior) + 1] += prior
        gradient = self.slope.T @ self.defect.reshape(-1) / self.variance
        gradient += prior * (self.theta - self.unknowns.center)
        for _ in range(8):
            try:
                step = bounded_step(damped(hessian, self.damping), gradient, *(self.unknowns.bounds - self.theta))
            except LinAlgError:
                self.damping *= 10
                continue
            trial = self.unknowns.clip(self.theta + step)
            after = self._cost(self._defects(trial), trial)
            if np.isfinite(after) and after < before:
                self.theta, self.damping = trial, max(self.damping / 5, 1e-8)
                self._linearise()
                self.variance = max(0.5 * self.variance, float((self.defect**2).mean()), 1e-12)
                return (before - after) / before
            self.damping *= 5
        return 0.0
