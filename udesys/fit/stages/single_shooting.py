"""The classical training: one simulation of every trajectory from its start, by an adaptive solver and its adjoint.

Adam first, then L-BFGS, on starts, weights and parameters. It is slow, and a law that is still wrong may have no
simulation at all, which is why multiple shooting is the rule; this is its independent check.

Source: Chen, Rubanova, Bettencourt & Duvenaud, NeurIPS (2018) for the adjoint; Kidger, Chen & Lyons, ICML (2021) for
its error control; Kingma & Ba, ICLR (2015) for Adam.
"""

from __future__ import annotations

import time

import numpy as np

from udesys.fit.hyperparameters import Hyperparameters
from udesys.fit.problem import ShootingProblem
from udesys.fit.stages._descent import Best, lbfgs, measurement_errors, prior_gradient, update_noise
from udesys.fit.start import LEAST_POSITIVE
from udesys.fit.unknowns import StageReport, Unknowns

NAME = "single shooting"
ADAM_STEPS, RATE, MEMORY = 200, 0.05, (0.9, 0.99)
LEAST_RATE = 1e-3  # of RATE: where that fails too, Adam ends
ITERATIONS = 300  # of L-BFGS after each estimate of the noise
NOISE_ROUNDS, SETTLED_NOISE = 4, 0.1  # estimates of the noise; the change of log sigma that ends them
CONVERGED = 1e-3
TOLERANCE = 1e-3  # of one solver step, in units of the smallest noise
FINEST, COARSEST = 1e-9, 1e-4  # the same in units of the spread, whatever the noise
FIRST_STEPS = (1.0, 1e-3)  # shares of the way between two samples, the second where the first one fails
MOST_STEPS = 200  # of the solver between two samples
BLOW_UP = 1e4  # largest state beside the largest at the start beyond which a solve has failed


def run(
    problem: ShootingProblem,
    unknowns: Unknowns,
    rng: np.random.Generator,
    progress=None,
    *,
    given_noise: np.ndarray | None = None,
    converged: float = CONVERGED,
    adam_steps: int = ADAM_STEPS,
    iterations: int = ITERATIONS,
) -> StageReport:
    """Lower the errors of one simulation in starts and theta; the nodes become that simulation.

    A solve that fails is stepped back from; nothing is raised. `unknowns.schur` stays as it is.

    Args:
        rng: not used; the stage is deterministic.
        given_noise: (m,) states and observables whose `unknowns.sigma` stays as it is; none if None.
        converged: relative gain below which L-BFGS ends.
        adam_steps: steps of Adam before L-BFGS.
        iterations: of L-BFGS at most, after each estimate of the noise.
    """
    began = time.perf_counter()
    shot = _Shot(problem, unknowns)
    best = Best(shot.cost)
    best(shot.start)
    first, count, stopped = best.cost, 0, "no simulation from the start is finite"
    after = first
    told = (lambda i, cost: progress(NAME, i, cost)) if progress else (lambda i, cost: None)
    if np.isfinite(first):
        count, stopped = _adam(best, *shot.bounds, adam_steps if len(shot.start) else 0, told), "iteration limit"
        hyper = Hyperparameters(problem, unknowns, given_noise)
        for _ in range(NOISE_ROUNDS):
            done, stopped = lbfgs(best, *shot.bounds, iterations, converged, lambda i, c, k=count: told(k + i, c))
            count += done
            after = best.cost
            shot.leave()
            if update_noise(problem, unknowns, hyper) < SETTLED_NOISE:
                break
            shot.lowest = np.inf  # the cost has changed
            best.renew()
    return StageReport(
        name=NAME,
        iterations=count,
        before=first,
        after=after,
        stopped=stopped,
        seconds=time.perf_counter() - began,
        samples=problem.n_nodes,
        notes=best.notes,
    )


def _adam(best: Best, low, high, steps: int, told) -> int:
    """Adam on the logarithm of the cost, which falls by orders of magnitude; returns the steps.

    Its rate falls to zero along half a cosine, and is halved after a failed solve, from the best point on.
    """
    z, slope = best.z, best.gradient / max(best.cost, 1e-300)
    mean, square, k, rate = np.zeros_like(z), np.zeros_like(z), 0, RATE
    for step in range(1, steps + 1):
        k += 1
        mean = MEMORY[0] * mean + (1 - MEMORY[0]) * slope
        square = MEMORY[1] * square + (1 - MEMORY[1]) * slope**2
        move = mean / (1 - MEMORY[0] ** k) / (np.sqrt(square / (1 - MEMORY[1] ** k)) + 1e-12)
        trial = np.clip(z - 0.5 * rate * (1 + np.cos(np.pi * (step - 1) / steps)) * move, low, high)
        cost, gradient = best(trial)
        if np.isfinite(cost):
            z, slope = trial, gradient / max(cost, 1e-300)
        else:
            z, slope, rate, k = best.z, best.gradient / max(best.cost, 1e-300), rate / 2, 0
            mean, square = np.zeros_like(z), np.zeros_like(z)
        told(step, best.cost)
        if rate < LEAST_RATE * RATE:
            return step
    return steps


class _Shot:
    """One simulation of every trajectory, as a function of the free starts and theta.

    All trajectories go from sample to sample together, each in its own time; the solver's time is the share of the
    way between two samples.

    Attributes:
        start: (unknowns,) where the descent starts: free starts in units of their spread, then theta.
        bounds: lowest and highest.
        theta, nodes: (n_theta,) and (nodes, d) [data units] at the lowest cost so far.
    """

    def __init__(self, problem: ShootingProblem, unknowns: Unknowns):
        self.p, self.u, d = problem, unknowns, problem.d
        self.spread = unknowns.spread[:d]
        self.free = problem.pin[problem.first, :d] == 0
        self.given = np.where(self.free, unknowns.nodes[problem.first], problem.y[problem.first, :d]) / self.spread
        self.n_free = int(self.free.sum())
        self.start = np.concatenate([self.given[self.free], unknowns.clip(unknowns.theta)])
        lowest = np.full((len(self.given), d), -np.inf)
        lowest[:, [problem.model.states.index(name) for name in problem.model.positive]] = LEAST_POSITIVE
        self.bounds = (
            np.concatenate([lowest[self.free], unknowns.bounds[0]]),
            np.concatenate([np.full(self.n_free, np.inf), unknowns.bounds[1]]),
        )
        self.start, self.lowest = np.clip(self.start, *self.bounds), np.inf
        self.theta, self.nodes = unknowns.theta, unknowns.nodes
        self.limit = BLOW_UP * max(1.0, float(np.abs(unknowns.nodes / self.spread).max()))
        self._arrange()

    def _arrange(self) -> None:
        """Runs by length, the longest first; the intervals of all runs that are `k` samples under way."""
        problem = self.p
        lengths = problem.segments[1] - problem.segments[0]
        self.order = np.argsort(-lengths, kind="stable")
        first, self.batches, row = problem.first - np.arange(len(lengths)), [], np.empty(problem.n_nodes, dtype=int)
        row[problem.first[self.order]] = np.arange(len(lengths))
        done = len(lengths)
        for k in range(lengths.max() - 1):
            runs = self.order[lengths[self.order] > k + 1]
            self.batches.append(problem._batch(first[runs] + k, 1))
            row[problem.first[runs] + k + 1] = done + np.arange(len(runs))
            done += len(runs)
        self.row = problem.tensor(row)  # of each node among the states as they are simulated

    def leave(self) -> None:
        """Take the lowest point over into the unknowns."""
        self.u.theta, self.u.nodes = self.theta, self.nodes

    def cost(self, z: np.ndarray):
        """Cost and gradient; not a number where a solve fails."""
        for first_step in FIRST_STEPS:
            try:
                cost, gradient = self._cost(z, first_step)
            except AssertionError:  # torchdiffeq's word for a step that shrank to nothing or too many steps
                continue
            if np.isfinite(cost) and np.isfinite(gradient).all():
                return cost, gradient
        return np.nan, np.full_like(z, np.nan)

    def _cost(self, z: np.ndarray, first_step: float):
        point = self.p.tensor(z).requires_grad_()
        states = self._simulate(*self._split(point), first_step)
        if states is None:
            return np.nan, np.full_like(z, np.nan)
        theta, nodes = z[self.n_free :].copy(), states.detach().cpu().numpy() * self.spread
        errors, by_nodes, by_theta = measurement_errors(self.p, self.u, nodes, theta)
        states.backward(self.p.tensor(by_nodes * self.spread))
        gradient, cost = point.grad.cpu().numpy().copy(), errors + self.u.penalty(theta)
        gradient[self.n_free :] += by_theta + prior_gradient(self.u, theta)
        if cost < self.lowest and np.isfinite(gradient).all():
            self.theta, self.nodes, self.lowest = theta, nodes, cost
        return cost, gradient

    def _split(self, point):
        """Starts (trajectories, d), longest run first, in units of the spread, and theta."""
        start = self.p.tensor(self.given).clone()
        start[self.p.tensor(self.free)] = point[: self.n_free]
        return start[self.p.tensor(self.order)], point[self.n_free :]

    def _simulate(self, start, theta, first_step):
        """States (nodes, d) in units of the spread; None where they leave any reasonable size."""
        import torch

        states = [start]
        for batch in self.batches:
            x = self._advance(states[-1][: len(batch.which)], theta, batch, first_step)
            if not bool((x.abs() < self.limit).all()):
                return None
            states.append(x)
        return torch.cat(states)[self.row]

    def _advance(self, x, theta, batch, first_step):
        """From one sample to the next, by error control; the first step tried is a share of the way."""
        from torchdiffeq import odeint_adjoint

        spread, field = self.p.tensor(self.spread), self.p._right_side(batch, theta)
        way = self.p.tensor(np.array([0.0, 1.0]))

        def slope(share, x):
            return batch.h * field(batch.t + share * batch.h, x * spread) / spread

        tolerance = float(np.clip(TOLERANCE * (self.u.sigma[: self.p.d] / self.spread).min(), FINEST, COARSEST))
        options = {"first_step": first_step, "max_num_steps": MOST_STEPS, "step_t": way}  # which no step goes beyond
        return odeint_adjoint(
            slope,
            x,
            way,
            rtol=tolerance,
            atol=tolerance,
            method="dopri5",
            options=options,
            adjoint_options={**options, "norm": "seminorm"},
            adjoint_params=(theta,) if len(theta) else (),
        )[1]
