"""Simulating other data by a fitted hybrid: all intervals at once, or sample by sample where that fails."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from udesys.data import Dataset
from udesys.errors import FitError
from udesys.fit.attempt import refine_substeps
from udesys.fit.onward_fields import simulate_fields
from udesys.fit.problem import ShootingProblem
from udesys.fit.result import FitResult
from udesys.fit.start import curves_through
from udesys.integrate.driving import driving_of
from udesys.model.along_grid import HybridAlongGrid

TOLERANCE = 0.01  # of the noise: error of one interval's solution; along a trajectory it adds up


def simulate_point(fit: FitResult, t: np.ndarray, trajectory: int) -> np.ndarray:
    """States (time, d) of one point of fields, simulated with all points of its run; see `FitResult.simulate`."""
    model, (run, point) = fit.model, divmod(trajectory, fit.model.grid.n)
    at = slice(run * model.grid.n, (run + 1) * model.grid.n)
    names, points = (*model.inputs, *model.covariates), fit.data.trajectories[at]
    drivings = [driving_of(fit.data, own, names) for own in points] if names else None
    law, start = HybridAlongGrid(fit.problem.field, fit.unknowns.theta), fit.unknowns.nodes[fit.problem.first[at]]
    return simulate_fields(law, start, float(points[0].t[0]), t, drivings)[:, point]


def simulate_data(fit: FitResult, data: Dataset, x0) -> list[np.ndarray]:
    """See `FitResult.simulate_data`."""
    if fit.model.grid is not None:
        raise FitError("other data of fields are not simulated by a fit. Discover the law, and forecast that.")
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
