"""What ties neighbouring nodes together: the defects of multiple shooting, or of collocation for stiff systems.

Both give the residuals of the equations between the nodes, their derivatives, and the normal equations with the
nodes to eliminate. Shooting has one node at each sample. Collocation has the stage states of every implicit step
as nodes too, so no equation is solved on the way and nothing can blow up: a law that is still wrong has residuals,
not infinities.

Source: Bock (1981) for shooting; Ascher, Mattheij & Russell, Numerical Solution of BVPs (1995), ch. 5 for
collocation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from udesys.fit.elimination import Errors, SaddlePoint, Step, shooting_equations
from udesys.fit.problem import ShootingProblem, horner
from udesys.integrate import radau


@dataclass(frozen=True)
class Linearised:
    """Residuals (steps, rows), by the nodes of a step (steps, rows, nodes * d) and by theta (steps, rows, n_theta)."""

    residual: np.ndarray
    by_nodes: np.ndarray
    by_theta: np.ndarray

    @property
    def finite(self) -> bool:
        return all(np.isfinite(a).all() for a in (self.residual, self.by_nodes, self.by_theta))


def defects_of(problem: ShootingProblem) -> Shooting | Collocation:
    """The defects that suit the problem's method."""
    return Shooting(problem) if problem.method == "rk4" else Collocation(problem)


class Shooting:
    """End of every interval minus the next node."""

    name = "multiple shooting"

    def __init__(self, problem: ShootingProblem):
        self.problem, self.n_nodes = problem, problem.n_nodes
        self.sample = np.arange(problem.n_nodes)
        self.rows = problem.d

    def spread_out(self, nodes: np.ndarray) -> np.ndarray:
        """Nodes of the stage from those at the samples."""
        return nodes

    def linearise(self, nodes, theta) -> Linearised:
        """Residuals and their exact derivatives."""
        end, by_node, by_theta = self.problem.flow_jacobians(nodes, theta)
        return Linearised(end - nodes[self.problem.start + 1], by_node, by_theta)

    def equations(self, at: Linearised, residual, errors: Errors, penalty, prior, prior_gradient):
        """Normal equations with these residuals in place of the linearisation's."""
        start = self.problem.start
        return shooting_equations(start, errors, penalty, residual, at.by_nodes, at.by_theta, prior, prior_gradient)

    def correct(self, step: Step, at: Linearised, residual, penalty, error_gradient) -> np.ndarray:
        """A chord correction (nodes, d) after a step that left these residuals and gradient of the errors."""
        pull = penalty * residual
        gradient = error_gradient.copy()
        gradient[self.problem.start] += (np.swapaxes(at.by_nodes, 1, 2) @ pull[:, :, None])[:, :, 0]
        gradient[self.problem.start + 1] -= pull
        return step.correct(gradient)


class Collocation:
    """Stage equations X_i = x + h sum_j a_ij f(X_j) of Radau IIA; the stages' states are nodes."""

    name = "collocation"

    def __init__(self, problem: ShootingProblem):
        self.problem, d = problem, problem.d
        counts = problem.substeps * radau.STAGES  # nodes that an interval adds, its end included
        added = np.ones(problem.n_nodes, dtype=np.int64)
        added[problem.start + 1] = counts
        self.sample = np.cumsum(added) - 1
        self.n_nodes = int(self.sample[-1]) + 1
        self.interval = np.repeat(np.arange(problem.n_intervals), problem.substeps)  # of each step
        within = np.concatenate([np.arange(k) for k in problem.substeps])
        self.first = self.sample[problem.start[self.interval]] + radau.STAGES * within
        self.h = (problem.h / problem.substeps)[self.interval]
        self.begin = problem.t[problem.start[self.interval]]
        self.t = self.begin + within * self.h
        self.rows = radau.STAGES * d
        self.nodes_of = self.first[:, None] + np.arange(radau.STAGES + 1)  # (steps, 4)

    def spread_out(self, nodes: np.ndarray) -> np.ndarray:
        """Stage states on straight lines between the samples."""
        t = np.empty(self.n_nodes)
        t[self.sample] = self.problem.t
        t[self.nodes_of[:, 1:]] = self.t[:, None] + self.h[:, None] * radau.C
        result = np.empty((self.n_nodes, self.problem.d))
        for a, b in zip(*self.problem.segments, strict=True):
            inside = slice(self.sample[a], self.sample[b - 1] + 1)
            for j in range(self.problem.d):
                result[inside, j] = np.interp(t[inside], self.problem.t[a:b], nodes[a:b, j])
        result[self.sample] = nodes
        return result

    def linearise(self, nodes, theta) -> Linearised:
        """Residuals and their exact derivatives."""
        import torch

        p, n, s, d = self.problem, len(self.first), radau.STAGES, self.problem.d
        with torch.inference_mode():
            x = p.tensor(nodes[self.nodes_of])
            stages = x[:, 1:].reshape(n * s, d)
            t = (self.t[:, None] + self.h[:, None] * radau.C).reshape(-1)
            u = None
            if p.signals is not None:
                offset = p.tensor(t - np.repeat(self.begin, s))[:, None]
                u = horner(p.tensor(p.signals[np.repeat(self.interval, s)]), offset)
            theta, t, h = p.tensor(theta), p.tensor(t), p.tensor(self.h)[:, None]
            f = p.field(t, stages, theta, u).reshape(n, s, d)
            a = p.tensor(radau.A)
            residual = x[:, 1:] - x[:, :1] - h[:, :, None] * (a @ f)
            jacobians = p.field.jacobians(t, stages, theta, u)
            matrix = radau.stage_matrix(jacobians.by_state.reshape(n, s, d, d), h)
            eye = torch.eye(d, dtype=x.dtype, device=x.device)
            start = -eye.repeat(s, 1).expand(n, s * d, d)
            weights = -(h[:, :, None, None, None] * a.T[:, :, None, None] * eye)  # (steps, j, i, d, d)
            by_theta = p.field.theta_contraction(jacobians, weights.reshape(n, s, s * d, d))
            by_nodes = torch.cat([start, matrix], 2)
            return Linearised(residual.reshape(n, s * d).cpu().numpy(), by_nodes.cpu().numpy(), by_theta.cpu().numpy())

    def equations(self, at: Linearised, residual, errors: Errors, penalty, prior, prior_gradient):
        """Normal equations with these residuals in place of the linearisation's."""
        penalty = np.tile(penalty, radau.STAGES)
        return SaddlePoint(
            self.nodes_of,
            self.sample,
            self.n_nodes,
            errors,
            penalty,
            residual,
            at.by_nodes,
            at.by_theta,
            prior,
            prior_gradient,
        )

    def correct(self, step: Step, at: Linearised, residual, penalty, error_gradient) -> np.ndarray:
        """A chord correction (nodes, d) after a step that left these residuals and gradient of the errors."""
        gradient = np.zeros((self.n_nodes, self.problem.d))
        gradient[self.sample] = error_gradient
        return step.correct(residual, gradient)
