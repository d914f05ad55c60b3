"""What the stages share that follow plain gradients: the errors' gradient, L-BFGS, and the noise."""

from __future__ import annotations

import numpy as np

from udesys.fit.hyperparameters import Hyperparameters
from udesys.fit.problem import ShootingProblem
from udesys.fit.start import linear_errors
from udesys.fit.unknowns import Unknowns

PAIRS = 20  # steps that L-BFGS remembers
WINDOW = 10  # iterations over which its gain is looked at; one alone may be small by chance


def measurement_errors(problem: ShootingProblem, unknowns: Unknowns, nodes: np.ndarray, theta: np.ndarray):
    """Squared errors in units of the noise, pins included.

    Returns:
        The sum, and its gradient by the nodes (nodes, d) and by theta (n_theta,).
    """
    weight = (problem.mask * unknowns.trust + problem.pin) / unknowns.sigma**2
    errors = linear_errors(problem, nodes, theta, weight)
    by_theta = np.zeros(len(theta))
    if errors.by_parameter is not None and errors.by_parameter.shape[2]:
        pull = (errors.weight * errors.error)[:, errors.d :, None]
        by_theta[-errors.by_parameter.shape[2] :] = -2.0 * (errors.by_parameter * pull).sum((0, 1))
    return float((weight * errors.error**2).sum()), 2.0 * errors.node_gradient(), by_theta


def prior_gradient(unknowns: Unknowns, theta: np.ndarray) -> np.ndarray:
    """Gradient (n_theta,) of the prior's share of the cost."""
    return 2.0 * unknowns.prior * (theta - unknowns.center)


def update_noise(problem: ShootingProblem, unknowns: Unknowns, hyper: Hyperparameters) -> float:
    """Re-estimate sigma of the columns without a given one, and the trust of a robust loss, from the nodes' errors.

    Returns:
        The largest change of log sigma.
    """
    error = problem.y - problem.outputs(unknowns.nodes, unknowns.theta)
    hyper.update_trust(error)
    hyper.update_noise(error)
    return hyper.noise_change


class Best:
    """A cost function of a flat vector that remembers the best point it saw and how often it had no value.

    Args:
        function: z -> cost and gradient; not finite where there is no solution.
    """

    def __init__(self, function):
        self.function, self.cost, self.failures = function, np.inf, 0
        self.z = self.gradient = None

    def renew(self) -> None:
        """Evaluate the best point again: the cost has changed."""
        self.cost = np.inf
        self(self.z)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a report should say of it."""
        return (f"stepped back from {self.failures} points without a solution",) if self.failures else ()

    def __call__(self, z: np.ndarray):
        cost, gradient = self.function(z)
        if not (np.isfinite(cost) and np.isfinite(gradient).all()):
            self.failures += 1
            return np.inf, np.zeros_like(z)
        if cost < self.cost:
            self.z, self.cost, self.gradient = z.copy(), cost, gradient.copy()
        return cost, gradient


def lbfgs(best: Best, low: np.ndarray, high: np.ndarray, iterations: int, converged: float, told):
    """L-BFGS between bounds from the best point of a cost function; the end is in `best` again.

    Where there is no solution the line search sees a parabola that makes it step back to a quarter.

    Args:
        low, high: bounds of z.
        iterations: at most.
        converged: relative gain over ten iterations below which it ends.
        told: called as told(iteration, cost).

    Returns:
        The iterations, and why it stopped.

    Source: Byrd, Lu, Nocedal & Zhu, SIAM J. Sci. Comput. 16 (1995) 1190, as SciPy has it.
    """
    from scipy.optimize import minimize

    if not len(best.z):
        return 0, "converged"
    costs, stopped = [best.cost], "iteration limit"

    def cost_and_gradient(z):
        cost, gradient = best(z)
        if np.isinf(cost):
            cost = best.cost + abs(best.gradient @ (z - best.z)) + 1e-12 * abs(best.cost)
        return cost, gradient

    def after_each(z):
        nonlocal stopped
        costs.append(best.cost)
        told(len(costs) - 1, best.cost)
        if len(costs) > WINDOW and costs[-1 - WINDOW] - best.cost < converged * max(abs(best.cost), 1.0):
            stopped = "converged"
            raise StopIteration

    options = {"maxiter": iterations, "maxfun": 20 * iterations, "maxcor": PAIRS, "ftol": 0.0, "gtol": 1e-10}
    bounds = np.stack([low, high], 1)
    done = minimize(
        cost_and_gradient,
        best.z.copy(),
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        callback=after_each,
        options=options,
    )
    if stopped != "converged" and len(costs) - 1 < iterations:
        flat = costs[max(0, len(costs) - 2)] - best.cost < converged * max(abs(best.cost), 1.0)
        stopped = "converged" if done.status == 0 or flat else "no step lowers the cost"
    return len(costs) - 1, stopped
