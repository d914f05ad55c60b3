"""Long simulations with error control in compiled code, for right sides that do not depend on time.

Where a system ends after hundreds of turns is asked for a hundred values of a parameter, and neither how many steps
that takes nor whether it gets there is known before. So the steps are chosen by the error of each, the register
machine computes the right side, and a solution that goes astray ends the call with a word for it instead of an error.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from scipy.integrate import RK45

from udesys.integrate.machine import _run

# Dormand & Prince, order 5 with an error of order 4 (Hairer, Norsett & Wanner 1993, sec. II.5)
_A = np.ascontiguousarray(RK45.A)
_B = np.ascontiguousarray(RK45.B)
_E = np.ascontiguousarray(RK45.E)
DONE, LEFT, TIRED, FULL = range(4)  # how a simulation ended
MOST_STEPS = 500_000
SHORTEST = 1e-13  # of the time asked for: a step that has to be shorter means a blow-up
FIRST, SLOWEST, FASTEST, SAFETY = 0.01, 0.1, 5.0, 0.9  # of the control of steps


@dataclass(frozen=True, kw_only=True)
class Steps:
    """Where a simulation went, step after step, from the time on at which it was to be kept.

    Attributes:
        ended: DONE, LEFT (a state left its bounds or the finite numbers), TIRED (too many steps), or FULL (more steps
            were to be kept than there was room).
        t: (steps,) times.
        x: (steps, d) states.
        slope: (steps, d) dx/dt.
        at: (d,) the last state.
        time: of the last state.
    """

    ended: int
    t: np.ndarray
    x: np.ndarray
    slope: np.ndarray
    at: np.ndarray
    time: float


@njit(cache=True, error_model="numpy")
def _slope(code, reg, base, out, d, x, dx):
    for j in range(d):
        reg[j] = x[j]
    _run(code, reg, base)
    for j in range(d):
        dx[j] = reg[out[j]]


@njit(cache=True, error_model="numpy")
def _follow(code, constants, out, d, p, x, skip, until, rtol, atol, low, high, most, times, states, slopes, A, B, E):
    base = d + p.shape[0] + constants.shape[0]
    reg = np.zeros(base + code.shape[0])
    reg[d : d + p.shape[0]] = p
    reg[d + p.shape[0] : base] = constants
    n_stages = B.shape[0]
    k = np.zeros((n_stages + 1, d))
    z, after = np.zeros(d), np.zeros(d)
    _slope(code, reg, base, out, d, x, k[0])
    t, kept = 0.0, 0
    speed = 0.0
    for j in range(d):
        speed = max(speed, abs(k[0, j]) / (atol[j] / rtol + abs(x[j])))
    h = FIRST * min(until, 1.0 / speed) if speed > 0.0 else FIRST * until
    for _ in range(most):
        if t >= skip:
            if kept == times.shape[0]:
                return FULL, kept, t
            times[kept] = t
            states[kept] = x
            slopes[kept] = k[0]
            kept += 1
        if t >= until:
            return DONE, kept, t
        while True:
            target = skip if t < skip else until
            h = min(h, target - t)
            for s in range(1, n_stages + 1):
                for j in range(d):
                    v = 0.0
                    for r in range(s):
                        v += (A[s, r] if s < n_stages else B[r]) * k[r, j]
                    z[j] = x[j] + h * v
                _slope(code, reg, base, out, d, z, k[s])
            error = 0.0
            for j in range(d):
                after[j] = z[j]
                v = 0.0
                for r in range(n_stages + 1):
                    v += E[r] * k[r, j]
                share = abs(h * v) / (atol[j] + rtol * max(abs(x[j]), abs(z[j])))
                if not share <= error:  # a NaN too
                    error = share
            if error <= 1.0:
                break
            h *= max(SLOWEST, SAFETY * error**-0.2) if error < np.inf else SLOWEST
            if not h > SHORTEST * until:
                return LEFT, kept, t
        t = target if h >= target - t else t + h
        h *= min(FASTEST, SAFETY * max(error, 1e-8) ** -0.2)
        x[:] = after
        k[0] = k[n_stages]
        for j in range(d):
            if not (low[j] <= x[j] <= high[j]):
                return LEFT, kept, t
    return TIRED, kept, t


@njit(cache=True, error_model="numpy")
def _evaluate(code, constants, out, points, results):
    width = points.shape[1]
    base = width + constants.shape[0]
    reg = np.zeros(base + code.shape[0])
    reg[width:base] = constants
    for i in range(points.shape[0]):
        reg[:width] = points[i]
        _run(code, reg, base)
        for j in range(out.shape[0]):
            results[i, j] = reg[out[j]]


def evaluate(program, points: np.ndarray) -> np.ndarray:
    """Results (n, results) of a program at points (n, inputs); not finite where one is not defined.

    Args:
        program: a `model.program.Program`.
        points: the values of its inputs, in their order.
    """
    results = np.empty((len(points), len(program.outputs)))
    _evaluate(program.code, program.constants, program.outputs, np.ascontiguousarray(points, float), results)
    return results


def follow(program, p, x0, skip: float, until: float, *, rtol, atol, bounds, room: int = 200_000) -> Steps:
    """Simulate from x0 for a time, and keep the steps of its last part.

    Args:
        program: a `model.program.Program` of dx/dt over the states, then the parameters.
        p: (n_p,) parameters.
        x0: (d,) start.
        skip: time from the start on that is not kept.
        until: time from the start on at which it ends.
        rtol: relative error allowed a step.
        atol: (d,) absolute error allowed a step.
        bounds: (low, high), (d,) each: a state beyond them ends the simulation.
        room: steps that are kept at most.
    """
    x = np.array(x0, float)
    d = len(x)
    times, states, slopes = np.empty(room), np.empty((room, d)), np.empty((room, d))
    ended, kept, time = _follow(
        program.code,
        program.constants,
        program.outputs,
        d,
        np.asarray(p, float),
        x,
        float(skip),
        float(until),
        float(rtol),
        np.asarray(atol, float),
        np.asarray(bounds[0], float),
        np.asarray(bounds[1], float),
        MOST_STEPS,
        times,
        states,
        slopes,
        _A,
        _B,
        _E,
    )
    kept_now = (times[:kept].copy(), states[:kept].copy(), slopes[:kept].copy())
    return Steps(ended=ended, t=kept_now[0], x=kept_now[1], slope=kept_now[2], at=x, time=time)
