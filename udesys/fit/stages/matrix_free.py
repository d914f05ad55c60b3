"""Multiple shooting for networks too large for a dense normal matrix.

The cost is that of `multiple_shooting`. For every theta the nodes are solved for by Gauss-Newton, which needs a band
of small blocks only; what is left is a function of theta alone, whose gradient takes one backward pass through the
field at the stage states of all intervals. L-BFGS goes downhill on it. Memory grows with the samples and with the
weights, never with their product.

L-BFGS on nodes and theta together crawls: the stiff defects couple them, and at rho = 1e4 thousands of iterations
leave a fit of 101 rows a hundred times as far from the data as the noise, where this one takes some hundred.

Source: Bock (1981) for the cost; Golub & Pereyra, SIAM J. Numer. Anal. 10 (1973) 413 for the elimination; Nocedal &
Wright, Numerical Optimization (2006), sec. 7.2 for L-BFGS and 17.3 for the multipliers.
"""

from __future__ import annotations

import time

import numpy as np

from udesys.fit.elimination import shooting_equations
from udesys.fit.hyperparameters import Hyperparameters
from udesys.fit.problem import ShootingProblem
from udesys.fit.stages._descent import Best, lbfgs, measurement_errors, prior_gradient, update_noise
from udesys.fit.start import LEAST_POSITIVE, linear_errors
from udesys.fit.unknowns import StageReport, Unknowns

NAME = "matrix-free multiple shooting"
RHO = (1.0, 10.0, 100.0, 1e4)  # weight of the defects in units of 1/sigma^2, one round each
ITERATIONS = 300  # of one round
MULTIPLIER_ROUNDS = 6  # at the last weight, until the defects are closed
CLOSED = 0.02  # of the noise: a defect that counts as closed
CONVERGED, EARLY = 1e-3, 1e-2  # relative gain over ten iterations that ends the last rounds, and those before
SETTLED_NOISE = 0.1  # change of log sigma in an update
NODE_ITERATIONS = 30  # for one theta
NODE_TOLERANCE = 1e-4  # of the noise, over the root of rho: a step of the nodes that ends them
ROUNDING = 1e-3  # of the noise: a step of the nodes that may fail to lower the cost by rounding alone
HELD = 1e12  # weight that holds a node, in units of 1/sigma^2
LEAST_DAMPING = 1e-9  # of the nodes, in units of 1/sigma^2: for states that nothing determines


def run(
    problem: ShootingProblem,
    unknowns: Unknowns,
    rng: np.random.Generator,
    progress=None,
    *,
    given_noise: np.ndarray | None = None,
    rounds: tuple[float, ...] = RHO,
    converged: float = CONVERGED,
    iterations: int = ITERATIONS,
) -> StageReport:
    """Fit nodes and theta without a matrix over theta; `unknowns.prior` stays, and there is no `schur`.

    Args:
        rng: not used; the stage is deterministic.
        given_noise: (m,) states and observables whose `unknowns.sigma` stays as it is; none if None.
        rounds: weights of the defects, one round each.
        converged: relative gain over ten iterations below which a round ends.
        iterations: of one round at most.
    """
    began = time.perf_counter()
    unknowns.schur = unknowns.effective = None
    reduced, hyper = _Reduced(problem, unknowns), Hyperparameters(problem, unknowns, given_noise)
    best, count, stopped = Best(reduced.cost), 0, "the start has no finite solution between its nodes"
    first = reduced.misfit()

    def told(iteration, cost):
        if progress:
            progress(NAME, count + iteration, reduced.misfit())

    for k, reduced.rho in enumerate([*rounds, *[rounds[-1]] * MULTIPLIER_ROUNDS]):
        reduced.lowest = best.cost = np.inf  # the cost has changed
        best(reduced.theta)
        if np.isinf(best.cost):
            break
        done, stopped = lbfgs(best, *unknowns.bounds, iterations, converged if k >= len(rounds) - 1 else EARLY, told)
        count += done
        reduced.leave()
        defect = reduced.largest_defect()
        if k >= len(rounds) and defect < CLOSED and hyper.noise_change < SETTLED_NOISE:
            break
        if k >= 1 and defect < 1:
            update_noise(problem, unknowns, hyper)
        if k >= len(rounds) - 1:
            reduced.multiplier += reduced.defect
    return StageReport(
        name=NAME,
        iterations=count,
        before=first,
        after=reduced.misfit(),
        stopped=stopped,
        seconds=time.perf_counter() - began,
        samples=problem.n_nodes,
        notes=best.notes,
    )


class _Reduced:
    """The joint cost as a function of theta alone, the nodes being at their best for it.

    Attributes:
        theta, nodes, defect: (n_theta,), (nodes, d) and (intervals, d) at the lowest cost so far, where the next
            search for the nodes starts.
    """

    def __init__(self, problem: ShootingProblem, unknowns: Unknowns):
        self.p, self.u, self.rho = problem, unknowns, RHO[0]
        self.theta, self.nodes, self.defect = unknowns.clip(unknowns.theta), unknowns.nodes, None
        self.multiplier, self.lowest = np.zeros((problem.n_intervals, problem.d)), np.inf
        self.least = np.full(problem.d, -np.inf)
        for name in problem.model.positive:
            j = problem.model.states.index(name)
            self.least[j] = LEAST_POSITIVE * unknowns.spread[j]

    def misfit(self) -> float:
        """Squared errors in units of the noise, and the prior: what is left once the defects are closed."""
        return measurement_errors(self.p, self.u, self.nodes, self.theta)[0] + self.u.penalty(self.theta)

    def largest_defect(self) -> float:
        """In units of the noise."""
        return float(np.abs(self.defect / self.u.sigma[: self.p.d]).max())

    def leave(self) -> None:
        """Take the lowest point over into the unknowns."""
        self.u.nodes, self.u.theta = self.nodes.copy(), self.theta.copy()

    def cost(self, theta: np.ndarray):
        """Cost and gradient; not a number where there are no nodes for theta."""
        solved = self._solve(theta)
        if solved is None:
            return np.nan, np.full_like(theta, np.nan)
        nodes, defect, cost = solved
        if cost < self.lowest:
            self.theta, self.nodes, self.defect, self.lowest = theta.copy(), nodes, defect, cost
        gradient = measurement_errors(self.p, self.u, nodes, theta)[2] + prior_gradient(self.u, theta)
        return cost, gradient + self._pull(nodes, theta, 2.0 * self._stiffness() * (defect + self.multiplier))

    # ---------------------------------------------------------- the nodes
    def _stiffness(self) -> np.ndarray:
        """(d,) weight of a squared defect."""
        return self.rho / self.u.sigma[: self.p.d] ** 2

    def _linearise(self, nodes, theta):
        """Cost, defects, and the flow's derivative by the nodes; the cost is infinite where there is no flow."""
        end, by_node, _ = self.p.flow_jacobians(nodes, theta, by_theta=False)
        defect = end - nodes[self.p.start + 1]
        errors = measurement_errors(self.p, self.u, nodes, theta)[0]
        cost = errors + (self._stiffness() * (defect + self.multiplier) ** 2).sum() + self.u.penalty(theta)
        return cost if np.isfinite(cost) and np.isfinite(by_node).all() else np.inf, defect, by_node

    def _step(self, nodes, theta, defect, by_node, damping):
        """Nodes after a damped Gauss-Newton step; a positive state that would go below its least is held there."""
        p, u, nothing = self.p, self.u, np.zeros((self.p.n_intervals, self.p.d, 0))
        errors = linear_errors(p, nodes, theta, (p.mask * u.trust + p.pin) / u.sigma**2, by_parameter=False)
        pulled, no_prior = defect + self.multiplier, np.zeros(0)

        def equations():
            return shooting_equations(p.start, errors, self._stiffness(), pulled, by_node, nothing, no_prior, no_prior)

        made = equations()
        held = (nodes <= self.least) & (made.node_gradient > 0)
        if held.any():
            errors.weight[:, : p.d][held] = HELD / u.sigma[: p.d].min() ** 2
            errors.error[:, : p.d][held] = 0.0
            made = equations()
        step = made.step(0.0, (damping + LEAST_DAMPING) / u.sigma[: p.d] ** 2)
        return None if step is None else np.maximum(nodes + step.nodes, self.least)

    def _solve(self, theta):
        """Nodes, defects and cost at their best for theta; None where Gauss-Newton does not get there."""
        nodes, damping = self.nodes, 0.0
        cost, defect, by_node = self._linearise(nodes, theta)
        if np.isinf(cost):
            return None
        for _ in range(NODE_ITERATIONS):
            moved = self._step(nodes, theta, defect, by_node, damping)
            at = (np.inf, None, None) if moved is None else self._linearise(moved, theta)
            size = np.inf if moved is None else np.abs((moved - nodes) / self.u.sigma[: self.p.d]).max()
            if at[0] <= cost:
                nodes, (cost, defect, by_node), damping = moved, at, damping / 10
            elif size > ROUNDING:
                damping = max(10.0 * damping, 1e-2)
            if size < NODE_TOLERANCE / np.sqrt(self.rho):
                return nodes, defect, cost
        return (nodes, defect, cost) if size < ROUNDING else None

    # ---------------------------------------------------------- theta
    def _pull(self, nodes, theta, weight) -> np.ndarray:
        """sum of weight (intervals, d) times the derivative of the flow by theta, (n_theta,)."""
        import torch

        p, total = self.p, np.zeros(len(theta))
        for batch in p._batches():
            with torch.inference_mode():
                _, stages = p._flow(batch, nodes, theta, 1.0)
                n, s = len(batch.which), len(stages)
                t = torch.stack([t.expand(n, 1) for t, _ in stages], 1)  # (intervals, stages, 1)
                x = torch.stack([x for _, x in stages], 1).reshape(n * s, p.d)
                u = None
                if batch.signals is not None:
                    u = torch.stack([p._inputs(batch, c) for c in t.unbind(1)], 1).reshape(n * s, -1)
                by_state = p.field.jacobians(t.reshape(-1), x, p.tensor(theta), u).by_state
                _, by_slope = p._pull_back(by_state.reshape(n, s, p.d, p.d), batch.h)
                slopes = p.tensor(weight[batch.which])[:, None, None] @ torch.stack(by_slope, 1)
            t, x, slopes, u = (None if v is None else v.clone() for v in (t.reshape(-1), x, slopes, u))
            w = p.tensor(theta).requires_grad_()
            f = p.field(t, x, w, u)
            if f.requires_grad:
                (by_theta,) = torch.autograd.grad(f, w, slopes.reshape(n * s, p.d))
                total += by_theta.cpu().numpy()
        return total
