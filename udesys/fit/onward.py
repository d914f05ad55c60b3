"""A fitted hybrid simulated along any times, by steps as long as those of the fit.

Their cost is known beforehand; a method with error control may take millions where a network turns stiff past its data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from udesys.integrate.driving import evaluate
from udesys.integrate.flow import Intervals

if TYPE_CHECKING:
    from udesys.fit.result import FitResult


def simulate_on(fit: FitResult, x0: np.ndarray, t: np.ndarray, driving=None) -> np.ndarray:
    """States (time, d) of the hybrid from x0 at t[0]; NaN from where they end.

    Args:
        fit: the fitted hybrid.
        x0: (d,) [data units].
        t: (time,) increasing.
        driving: the inputs and covariates along the times; None without any.
    """
    steps = steps_like_the_fit(fit, t)
    pieces = np.zeros((len(t), 0, 4)) if driving is None else driving.along(t)
    states = np.full((len(t), len(x0)), np.nan)
    states[0] = x0
    advance = _compiled_flow if fit.problem.compiled is not None else _tensor_flow
    if fit.method == "radau":
        advance = _implicit_flow
    with np.errstate(all="ignore"):
        for i in range(len(t) - 1):
            states[i + 1] = advance(fit, states[i], t[i], t[i + 1] - t[i], pieces[i], steps[i])
            if not np.isfinite(states[i + 1]).all():
                break
    return states


def hybrid_outputs(fit: FitResult, t: np.ndarray, x: np.ndarray, driving=None) -> np.ndarray:
    """(time, m) states, then observables, of the hybrid at its states x (time, d)."""
    u = np.zeros((len(t), 0)) if driving is None else driving.values(t)
    return np.concatenate([x, fit.problem.observation.values(t, x, fit.unknowns.theta, u)], 1)


def steps_like_the_fit(fit: FitResult, t: np.ndarray) -> np.ndarray:
    """(time - 1,) steps between neighbouring times: those of the fit's interval there, or of the last one after it."""
    problem = fit.problem
    start, lengths = problem.t[problem.start], problem.h / problem.substeps
    order = np.argsort(start, kind="stable")
    place = order[np.clip(np.searchsorted(start[order], t[:-1], side="right") - 1, 0, len(order) - 1)]
    return np.maximum(np.ceil(np.diff(t) / lengths[place] - 1e-9), 1).astype(np.int64)


def _compiled_flow(fit, x: np.ndarray, t: float, h: float, pieces: np.ndarray, steps: int) -> np.ndarray:
    """The state (d,) after an interval, by compiled code."""
    interval = Intervals(np.zeros(1, np.int64), np.array([t]), np.array([h]), pieces[None])
    theta = fit.unknowns.theta
    return fit.problem.compiled.flow(interval, np.stack([x, x]), theta, np.array([steps]), np.zeros(1, np.int64))[0]


def _tensor_flow(fit, x: np.ndarray, t: float, h: float, pieces: np.ndarray, steps: int) -> np.ndarray:
    """The same by tensors, for what is not compiled."""
    import torch

    from udesys.integrate.onestep import RK4, step

    def slope(time, x):
        u = torch.as_tensor(evaluate(pieces, time - t))[None] if pieces.size else None
        return fit.problem.field(torch.full((1,), time, dtype=x.dtype), x, theta, u)

    with torch.inference_mode():
        theta, now = torch.as_tensor(fit.unknowns.theta), torch.as_tensor(x)[None]
        for k in range(steps):
            now, _ = step(slope, t + k * h / steps, now, h / steps, RK4)
        return now[0].numpy()


def _implicit_flow(fit, x: np.ndarray, t: float, h: float, pieces: np.ndarray, steps: int) -> np.ndarray:
    """The same of a stiff system; NaN where a step finds no solution."""
    import torch

    from udesys.integrate import radau

    problem, length = fit.problem, torch.full((1, 1), h / steps, dtype=torch.float64)
    with torch.inference_mode():
        theta, size = torch.as_tensor(fit.unknowns.theta), torch.as_tensor(fit.unknowns.accuracy * np.ones(len(x)))
        now = torch.as_tensor(x)[None]
        for k in range(steps):
            at = k * h / steps + radau.C * h / steps
            u = torch.as_tensor(evaluate(pieces, at)) if pieces.size else None
            times = torch.as_tensor(t + at)

            def slopes(stages, times=times, u=u):
                return problem.field(times, stages, theta, u), problem.field.jacobians(times, stages, theta, u).by_state

            now = radau.step(slopes, now, length, size, now[:, None].expand(1, radau.STAGES, len(x)))[:, -1]
        return now[0].numpy()
