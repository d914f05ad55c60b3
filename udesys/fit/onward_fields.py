"""Fields on a grid simulated along any times: the steps are doubled until they no longer matter."""

from __future__ import annotations

import numpy as np

from udesys.errors import SolveError
from udesys.integrate import lattice
from udesys.integrate.driving import Driving
from udesys.model.along_grid import GridLaw

AGREEMENT = 1e-6  # relative change on doubling the steps at which a simulation is accepted
MOST_STEPS = 256  # between two times


def simulate_fields(
    law: GridLaw, x0: np.ndarray, t0: float, t: np.ndarray, drivings: list[Driving] | None = None
) -> np.ndarray:
    """Fields (time, n, d) from x0 (n, d) at t0, the steps doubled until they no longer matter.

    Args:
        law: the right side.
        t: (time,) increasing from t0 on.
        drivings: the inputs and covariates of every point; None where there are none.

    Raises:
        SolveError: t does not increase from t0 on, or the fields leave the finite numbers.
    """
    times = FieldTimes(t0, t, drivings)
    return times.converged(law, x0)[0].states[times.rows]


class FieldTimes:
    """The times at which fields are wanted, with what drives them there; arguments as for `simulate_fields`."""

    def __init__(self, t0: float, t: np.ndarray, drivings: list[Driving] | None):
        if t.ndim != 1 or len(t) == 0 or not np.isfinite(t).all() or (np.diff(t) <= 0).any() or t[0] < t0:
            raise SolveError(f"t must be finite and increase from {t0:g} on, the time of the initial values. Sort it.")
        grid = np.unique(np.append(t, t0))
        self.grid = grid if drivings is None else drivings[0].grid(grid)
        self.rows, self.driving, gaps = np.searchsorted(self.grid, t), _along(drivings, self.grid), np.diff(self.grid)
        self.base = np.maximum(np.ceil(gaps / np.median(gaps)), 1).astype(np.int64) if len(gaps) else gaps.astype(int)

    def course(self, law: GridLaw, x0: np.ndarray, count: int, guess: np.ndarray | None = None) -> lattice.Course:
        """With so many times as many steps as one for a usual interval."""
        return lattice.simulate(law.lattice, law, x0, self.grid, count * self.base, self.driving, guess)

    def converged(self, law: GridLaw, x0: np.ndarray, agreement: float = AGREEMENT) -> tuple[lattice.Course, int]:
        """A course whose steps no longer matter, and how many that took.

        Raises:
            SolveError: the fields leave the finite numbers.
        """
        coarse, count = None, 1
        while count <= MOST_STEPS:
            fine = self.course(law, x0, count)
            fine = None if fine.lost else fine
            if fine is not None and coarse is not None:
                size = np.abs(fine.states).max((0, 1)) + 1e-300
                if (np.abs(fine.states - coarse.states).max((0, 1)) <= agreement * size).all():
                    return fine, count
            coarse, count = fine, 2 * count
        if coarse is None:
            raise SolveError(f"the fields leave the finite numbers before t = {self.grid[-1]:g}. Ask for less.")
        return coarse, count // 2


def _along(drivings: list[Driving] | None, grid: np.ndarray):
    """Inputs and covariates of all points between the times of a grid, as `integrate.lattice` asks for them."""
    if drivings is None:
        return None

    def values(interval: int, s: np.ndarray) -> np.ndarray:
        return np.stack([driving.values(grid[interval] + s) for driving in drivings], 1)

    return values
