"""How many evaluations of its right side one adaptive simulation of a fitted hybrid takes."""

from __future__ import annotations

import numpy as np

from udesys.fit.problem import ShootingProblem, horner
from udesys.fit.unknowns import Unknowns

SOLVERS = {"rk4": "dopri5", "radau": "Radau"}  # method of the intervals -> torchdiffeq's or SciPy's with error control
TOLERANCE = 1e-6  # error allowed a step, relative to a state and to its spread along the data
# A law that switches, or a held input, can ask for any number of steps: a record of 240 held samples for 3,500, which
# take ten times as long as its fit.
SPARE_STEPS, STEPS_A_SAMPLE, MOST_STEPS = 200, 3, 4000


def count_evaluations(problem: ShootingProblem, unknowns: Unknowns) -> int | None:
    """Evaluations of one adaptive simulation from the fitted starts to the last samples.

    All runs are one batch on a common clock from 0 to 1, and one evaluation is one of all of them. The steps are those
    that the batch needs in the root mean square of its errors. Jacobians of the implicit method are not counted.

    Args:
        problem: the data and the model; its method chooses the solver.
        unknowns: the starts, theta, and the spread of the states.

    Returns:
        The number; None where the solver gives up, or needs far more steps than there are samples.
    """
    batch = _Runs(problem, unknowns)
    return _by_radau(batch) if problem.method == "radau" else _by_dopri5(batch)


class _Runs:
    """All runs of more than one sample, their states in units of the spread and their times as shares of their length.

    Args:
        problem, unknowns: as for `count_evaluations`.

    Attributes:
        start: (runs, d) where they begin.
        most_steps: after which a solver gives up.
    """

    def __init__(self, problem: ShootingProblem, unknowns: Unknowns):
        self.problem, self.theta = problem, unknowns.theta
        ends = [(a, b) for a, b in zip(*problem.segments, strict=True) if b - a > 1]
        self.first, self.end = (np.array([pair[i] for pair in ends], dtype=int) for i in (0, 1))
        self.begin, self.unit = problem.t[self.first], unknowns.spread[: problem.d]
        self.length = problem.t[self.end - 1] - self.begin
        self.start = unknowns.nodes[self.first] / self.unit
        longest = int((self.end - self.first).max())
        self.most_steps = min(SPARE_STEPS + STEPS_A_SAMPLE * longest, MOST_STEPS)

    def rate(self, share: float, z: np.ndarray) -> np.ndarray:
        """dz/d(share) (runs, d) at z (runs, d)."""
        import torch

        t, x, u = self._point(share, z)
        if self.problem.compiled is not None:
            f = self.problem.compiled.right_side(t, x, u, self.theta)
        else:
            f = self.problem.field(*map(torch.from_numpy, (t, x, self.theta, u))).numpy()
        return self.length[:, None] * f / self.unit

    def jacobian(self, share: float, z: np.ndarray) -> np.ndarray:
        """The derivative of the rate by z, (runs, d, d)."""
        import torch

        t, x, u = self._point(share, z)
        by_state = self.problem.field.jacobians(*map(torch.from_numpy, (t, x, self.theta, u))).by_state.numpy()
        return self.length[:, None, None] * by_state * self.unit / self.unit[:, None]

    def _point(self, share: float, z: np.ndarray):
        """Times (runs,), states (runs, d) and inputs (runs, k) [data units]."""
        t, problem = self.begin + share * self.length, self.problem
        if problem.signals is None:
            return t, z * self.unit, np.empty((len(t), 0))
        runs = zip(self.first, self.end, t, strict=True)
        node = np.array([a + np.searchsorted(problem.t[a + 1 : b - 1], now, "right") for a, b, now in runs])
        signals = problem.signals[np.searchsorted(problem.start, node)]
        return t, z * self.unit, horner(signals, (t - problem.t[node])[:, None])


def _by_dopri5(batch: _Runs) -> int | None:
    import torch

    from udesys.integrate import solve

    def rate(share, z):
        return torch.from_numpy(batch.rate(float(share), z.numpy()))

    with torch.inference_mode():
        clock, start = torch.tensor([0.0, 1.0], dtype=torch.float64), torch.from_numpy(batch.start)
        found = solve(rate, start, clock, method="dopri5", rtol=TOLERANCE, atol=TOLERANCE, max_steps=batch.most_steps)
    return found.n_evaluations if found.success else None


def _by_radau(batch: _Runs) -> int | None:
    import torch
    from scipy.integrate import Radau
    from scipy.sparse import block_diag

    def rate(share, z):
        return batch.rate(share, z.reshape(batch.start.shape)).ravel()

    def jacobian(share, z):
        return block_diag(batch.jacobian(share, z.reshape(batch.start.shape)), format="csc")

    try:
        with torch.inference_mode():
            solver = Radau(rate, 0.0, batch.start.ravel(), 1.0, jac=jacobian, rtol=TOLERANCE, atol=TOLERANCE)
            for _ in range(batch.most_steps):
                solver.step()
                if solver.status != "running":
                    break
    except (ValueError, RuntimeError, np.linalg.LinAlgError):  # of the linear algebra, where a number is not finite
        return None
    return int(solver.nfev) if solver.status == "finished" else None
