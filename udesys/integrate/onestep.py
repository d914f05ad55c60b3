"""One-step methods on batches: Euler, Heun and the classical Runge-Kutta method, with their derivatives.

A step is a composition of the field with itself, so its derivative is exact and cheap: the stage states of
one pass serve a backward recursion over the stages.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass


@dataclass(frozen=True)
class Tableau:
    """Coefficients of an explicit Runge-Kutta method; `a[s]` weighs the stages before s."""

    name: str
    a: tuple[tuple[float, ...], ...]
    b: tuple[float, ...]
    c: tuple[float, ...]
    order: int


EULER = Tableau("euler", ((),), (1.0,), (0.0,), 1)
HEUN = Tableau("heun", ((), (1.0,)), (0.5, 0.5), (0.0, 1.0), 2)
RK4 = Tableau("rk4", ((), (0.5,), (0.0, 0.5), (0.0, 0.0, 1.0)), (1 / 6, 1 / 3, 1 / 3, 1 / 6), (0.0, 0.5, 0.5, 1.0), 4)
TABLEAUS = {t.name: t for t in (EULER, HEUN, RK4)}


def step(field, t, x, h, tableau: Tableau):
    """One step of length h from x at t.

    Args:
        field: f(t, x) -> dx/dt; x is (batch, state), t and h are (batch, 1) or numbers.

    Returns:
        x at t + h, and the stage states [(t_s, x_s), ...] at which the field was evaluated.
    """
    slopes, stages = [], []
    for row, c in zip(tableau.a, tableau.c, strict=True):
        x_s = x
        for weight, slope in zip(row, slopes, strict=True):
            if weight:
                x_s = x_s + (h * weight) * slope
        t_s = t + c * h
        stages.append((t_s, x_s))
        slopes.append(field(t_s, x_s))
    for weight, slope in zip(tableau.b, slopes, strict=True):
        if weight:
            x = x + (h * weight) * slope
    return x, stages


def stage_adjoints(jacobians, h, outer, tableau: Tableau):
    """Backward recursion through one step: how its end depends on every stage's slope and on its start.

    Args:
        jacobians: df/dx at the stage states, a list of (batch, state, state).
        h: (batch, 1, 1), the step.
        outer: (batch, rows, state), the derivative of what follows by the step's end.

    Returns:
        The derivative by the step's start (batch, rows, state), and by each stage's slope, a list of
        (batch, rows, state).
    """
    n = len(tableau.b)
    by_slope = [None] * n
    start = outer
    pulled = [None] * n  # by_slope[s] @ jacobians[s]
    for s in reversed(range(n)):
        total = (h * tableau.b[s]) * outer
        for r in range(s + 1, n):
            if tableau.a[r][s]:
                total = total + (h * tableau.a[r][s]) * pulled[r]
        by_slope[s] = total
        pulled[s] = total @ jacobians[s]
        start = start + pulled[s]
    return start, by_slope


def integrate_fixed(field, x0, t, tableau: Tableau, substeps: int):
    """States at all times by equal steps between samples: (batch, time, state), and the evaluations."""
    import torch

    states, x, evaluations = [x0], x0, 0
    times = t.tolist()
    for now, after in itertools.pairwise(times):
        h = (after - now) / substeps
        for k in range(substeps):
            x, stages = step(field, now + k * h, x, h, tableau)
            evaluations += len(stages)
        states.append(x)
    return torch.stack(states, dim=1), evaluations
