"""Simulating other data by a fitted hybrid: all intervals at once, or sample by sample where that fails."""

from __future__ import annotations

import numpy as np

from udesys.data import Dataset
from udesys.errors import FitError
from udesys.fit.attempt import refine_substeps
from udesys.fit.problem import ShootingProblem
from udesys.fit.result import FitResult
from udesys.fit.start import curves_through


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
    typical = np.maximum(1, np.bincount(fit.problem.substeps).argmax())
    problem.substeps[:] = typical
    with np.errstate(all="ignore"):
        nodes = problem.shoot(starts, fit.unknowns.theta, guess)
        if nodes is not None:
            unknowns = fit.unknowns
            known = type(unknowns)(**{**vars(unknowns), "nodes": nodes})
            if refine_substeps(problem, known, TOLERANCE):
                nodes = problem.shoot(starts, unknowns.theta, nodes)
    if nodes is None:
        nodes = _one_by_one(problem, fit, starts)
    return [nodes[a:b] for a, b in zip(*problem.segments, strict=True)]


TOLERANCE = 0.05  # error of one interval's solution, in units of the noise


def _one_by_one(problem: ShootingProblem, fit: FitResult, starts: np.ndarray) -> np.ndarray:
    nodes = np.full((problem.n_nodes, problem.d), np.nan)
    atol = 1e-9 * float(fit.unknowns.spread.min())
    for k, (a, b) in enumerate(zip(*problem.segments, strict=True)):
        nodes[a] = starts[k]
        if b - a > 1:
            nodes[a:b] = problem.simulate(starts, fit.unknowns.theta, k, problem.t[a:b], atol=atol).x[0].numpy()
    return nodes
