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

from udesys.fit.elimination import Errors, SaddlePoint, Step, add_pull, shooting_equations
from udesys.fit.problem import ShootingProblem, horner
from udesys.integrate import radau

AT_ONCE = 4096  # intervals or steps whose derivatives are computed at once, which bounds what stands beside them


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

    def residual(self, nodes, theta) -> np.ndarray:
        """(intervals, d)."""
        return self.problem.flow(nodes, theta) - nodes[self.problem.start + 1]

    def linearise(self, nodes, theta, spare: Linearised | None = None) -> Linearised:
        """Residuals and their exact derivatives.

        Args:
            spare: a linearisation that is no longer needed; on a long record its memory is written over, for fresh
                memory costs a third of what is computed into it.
        """
        p, n, d = self.problem, self.problem.n_intervals, self.problem.d
        if n <= AT_ONCE:
            end, by_node, by_theta = p.flow_jacobians(nodes, theta)
        else:
            end, by_node = np.empty((n, d)), np.empty((n, d, d))
            by_theta = np.empty((n, d, len(theta))) if spare is None else spare.by_theta
            for a in range(0, n, AT_ONCE):
                at = slice(a, min(a + AT_ONCE, n))
                end[at], by_node[at], by_theta[at] = p.flow_jacobians(nodes, theta, np.arange(at.start, at.stop))
        return Linearised(end - nodes[p.start + 1], by_node, by_theta)

    def equations(self, at: Linearised, residual, errors: Errors, penalty, prior, prior_gradient):
        """Normal equations with these residuals in place of the linearisation's."""
        start = self.problem.start
        return shooting_equations(start, errors, penalty, residual, at.by_nodes, at.by_theta, prior, prior_gradient)

    def correct(self, step: Step, at: Linearised, residual, penalty, error_gradient) -> np.ndarray:
        """A chord correction (nodes, d) after a step from `at` that left these residuals and gradient of the errors."""
        gradient = error_gradient.copy()
        add_pull(gradient, self.problem.start, penalty * residual, at.by_nodes)
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

    def residual(self, nodes, theta) -> np.ndarray:
        """(steps, 3 * d)."""
        import torch

        with torch.inference_mode():
            parts = [self._residual(*self._points(nodes, theta, at)).cpu().numpy() for at in self._pieces()]
            return np.concatenate(parts)

    def linearise(self, nodes, theta, spare: Linearised | None = None) -> Linearised:
        """Residuals and their exact derivatives; `spare` is left alone."""
        import torch

        n, width, d = len(self.first), radau.STAGES + 1, self.problem.d
        residual, by_nodes = np.empty((n, self.rows)), np.empty((n, self.rows, width * d))
        by_theta = np.empty((n, self.rows, len(theta)))
        with torch.inference_mode():
            for at in self._pieces():
                points = self._points(nodes, theta, at)
                residual[at] = self._residual(*points).cpu().numpy()
                by_nodes[at], by_theta[at] = (part.cpu().numpy() for part in self._derivatives(*points))
        return Linearised(residual, by_nodes, by_theta)

    def _pieces(self) -> list[slice]:
        """The steps in pieces."""
        return [slice(a, a + AT_ONCE) for a in range(0, len(self.first), AT_ONCE)]

    def _points(self, nodes, theta, at: slice):
        """Of some steps: nodes (steps, 4, d), lengths (steps, 1), and the field's arguments at their stages."""
        p, s = self.problem, radau.STAGES
        x = p.tensor(nodes[self.nodes_of[at]])
        t = (self.t[at, None] + self.h[at, None] * radau.C).reshape(-1)
        u = None
        if p.signals is not None:
            offset = p.tensor(t - np.repeat(self.begin[at], s))[:, None]
            u = horner(p.tensor(p.signals[np.repeat(self.interval[at], s)]), offset)
        return x, p.tensor(self.h[at])[:, None], (p.tensor(t), x[:, 1:].reshape(-1, p.d), p.tensor(theta), u)

    def _residual(self, x, h, stages):
        p = self.problem
        f = p.field(*stages).reshape(-1, radau.STAGES, p.d)
        return (x[:, 1:] - x[:, :1] - h[:, :, None] * (p.tensor(radau.A) @ f)).reshape(-1, self.rows)

    def _derivatives(self, x, h, stages):
        """By the nodes (steps, 3 * d, 4 * d) and by theta (steps, 3 * d, n_theta)."""
        import torch

        p, n, s, d = self.problem, len(x), radau.STAGES, self.problem.d
        jacobians = p.field.jacobians(*stages)
        matrix = radau.stage_matrix(jacobians.by_state.reshape(n, s, d, d), h)
        eye = torch.eye(d, dtype=x.dtype, device=x.device)
        start = -eye.repeat(s, 1).expand(n, s * d, d)
        weights = -(h[:, :, None, None, None] * p.tensor(radau.A).T[:, :, None, None] * eye)  # (steps, j, i, d, d)
        by_theta = p.field.theta_contraction(jacobians, weights.reshape(n, s, s * d, d))
        return torch.cat([start, matrix], 2), by_theta

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
        """A chord correction (nodes, d) after a step from `at` that left these residuals and gradient of the errors."""
        gradient = np.zeros((self.n_nodes, self.problem.d))
        gradient[self.sample] = error_gradient
        return step.correct(residual, gradient)
