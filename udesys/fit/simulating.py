"""Simulating other data by a fitted hybrid: all intervals at once, or sample by sample where that fails."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from udesys.data import Dataset
from udesys.errors import FitError
from udesys.fit.attempt import refine_substeps
from udesys.fit.problem import ShootingProblem
from udesys.fit.result import FitResult
from udesys.fit.start import curves_through

TOLERANCE = 0.01  # of the noise: error of one interval's solution; along a trajectory it adds up


def simulate_data(fit: FitResult, data: Dataset, x0) -> list[np.ndarray]:
    """See `FitResult.simulate_data`."""
    problem = ShootingProblem(fit.model, data, fit.problem.field, method=fit.problem.method, pinned=False)
    guess = curves_through(problem, smoothed=True, trusted=problem.mask > 0)[0]
    starts = guess[problem.first].copy()
    if not isinstance(x0, str):
        starts = np.asarray(x0, float)
        if starts.shape != (len(problem.first), problem.d):
            wanted = f"({len(problem.first)}, {problem.d}), one row for each trajectory: {', '.join(fit.model.states)}"
            raise FitError(f"x0 must be {wanted}, but is {starts.shape}.")
    elif x0 != "first":
        raise FitError(f'x0 = {x0!r} is not understood. Write "first", or give an array of starts.')
    guess[problem.first] = starts
    problem.substeps[:] = np.bincount(fit.problem.substeps).argmax()  # the usual number
    unknowns = fit.unknowns
    with np.errstate(all="ignore"):
        nodes = problem.shoot(starts, unknowns.theta, guess)
        if nodes is not None and refine_substeps(problem, replace(unknowns, nodes=nodes), TOLERANCE):
            nodes = problem.shoot(starts, unknowns.theta, nodes)
        if nodes is None:
            nodes = problem.simulate_all(starts, unknowns.theta, unknowns.accuracy)
    return [nodes[a:b] for a, b in zip(*problem.segments, strict=True)]
