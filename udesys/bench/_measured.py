"""What the comparisons on measured records share: an open-loop simulation and its error."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from udesys.data import Dataset
from udesys.errors import SolveError

if TYPE_CHECKING:
    from udesys.discover import Discovery
    from udesys.fit import FitResult

Simulator = Callable[[Dataset, np.ndarray], np.ndarray]

DIFFERENCE = 1e-3  # of a start's scale, for the derivatives by its values


def simulate_open_loop(fit: FitResult, data: Dataset, n_start: int) -> np.ndarray:
    """States (time, state) of one simulation of another record; only its first samples tell where it starts.

    Args:
        fit: the fitted hybrid, which stays as it is; its first state is the measured one, its second the velocity.
        data: one trajectory with its inputs.
        n_start: samples from which the initial state is estimated; they should be left out of the error.

    Raises:
        SolveError: the hybrid cannot be simulated over the record's first samples.
    """
    simulate = _simulator(fit)
    return simulate(data, estimate_start(simulate, first_rows(data, n_start)))


def simulate_law_open_loop(law: Discovery, data: Dataset, n_start: int) -> np.ndarray:
    """The same for a law in closed form.

    Args:
        law: what was discovered; its first state is the measured one, its second the velocity.
        data: one trajectory with its inputs.
        n_start: samples from which the initial state is estimated.

    Raises:
        SolveError: the law cannot be simulated over the record.
    """
    from udesys.assess.forecast import simulate_law
    from udesys.integrate.driving import driving_of

    def simulate(record: Dataset, x0: np.ndarray) -> np.ndarray:
        (run,) = record.trajectories
        driving = driving_of(record, run, law.model.exogenous)
        return simulate_law(law.closed_form, x0[None], run.t[0], run.t, driving)

    return simulate(data, estimate_start(simulate, first_rows(data, n_start)))


def estimate_start(simulate: Simulator, data: Dataset) -> np.ndarray:
    """Initial state (2,) with which a law follows a short record best, by least squares.

    Args:
        simulate: simulate(record, start) -> states (time, state), the measured one first, then the velocity.
        data: one short trajectory with its inputs.

    Raises:
        SolveError: the law cannot be simulated over it.
    """
    from scipy.optimize import least_squares

    (run,) = data.trajectories
    measured, slopes = run.y[:, 0], np.gradient(run.y[:, 0], run.t)
    guess = np.array([measured[0], slopes[0]])
    scale = np.array([np.ptp(measured), np.ptp(slopes)]) + np.finfo(float).tiny

    def mismatch(z):
        simulated = simulate(data, guess + scale * z)[:, 0]
        if not np.isfinite(simulated).all():
            raise SolveError(f"the law cannot be simulated over the first {len(run.t)} samples of {run.name}.")
        return (simulated - measured) / scale[0]

    def slopes_of_mismatch(z):
        steps = DIFFERENCE * np.eye(len(z))
        return np.stack([(mismatch(z + s) - mismatch(z - s)) / (2 * DIFFERENCE) for s in steps], 1)

    return guess + scale * least_squares(mismatch, np.zeros(2), jac=slopes_of_mismatch).x


def first_rows(data: Dataset, n: int) -> Dataset:
    """The first samples of a dataset of one trajectory.

    Args:
        data: one trajectory.
        n: how many samples to keep.
    """
    (run,) = data.trajectories
    return replace(data, trajectories=(run.rows(slice(n)),), sha256="")


def rmse(measured: np.ndarray, simulated: np.ndarray) -> float:
    """Root mean square of the difference over what was measured.

    Args:
        measured: (n,), NaN where a value is missing.
        simulated: (n,).
    """
    known = np.isfinite(measured)
    return float(np.sqrt(np.mean((measured[known] - simulated[known]) ** 2)))


def _simulator(fit: FitResult) -> Simulator:
    def simulate(data: Dataset, x0: np.ndarray) -> np.ndarray:
        (states,) = fit.simulate_data(data, x0=x0[None])
        return np.asarray(states)

    return simulate
