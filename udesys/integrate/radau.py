"""Radau IIA of order 5 on batches: the implicit method for stiff systems, with its exact derivatives.

The three stage states of a step solve X_i = x + h sum_j a_ij f(X_j); the last one is the step's end. The implicit
function theorem gives the step's derivatives from df/dx at the stages alone, where a Rosenbrock step, which has
df/dx inside, would need second derivatives.

Source: Hairer & Wanner, Solving ODEs II (1996), sec. IV.5 and IV.8.
"""

from __future__ import annotations

import numpy as np

_R = np.sqrt(6.0)
A = np.array(
    [
        [(88 - 7 * _R) / 360, (296 - 169 * _R) / 1800, (-2 + 3 * _R) / 225],
        [(296 + 169 * _R) / 1800, (88 + 7 * _R) / 360, (-2 - 3 * _R) / 225],
        [(16 - _R) / 36, (16 + _R) / 36, 1 / 9],
    ]
)
C = np.array([(4 - _R) / 10, (4 + _R) / 10, 1.0])
STAGES = 3
NEWTON_ITERATIONS = 12
NEWTON_TOLERANCE = 1e-10  # relative change of the stage states that ends the iteration


def step(slopes, x, h, size, guess):
    """Stage states of one step, by Newton's method.

    Args:
        slopes: X (batch * 3, state) -> f and df/dx there, stages running fastest.
        x: (batch, state) tensor.
        h: (batch, 1) step lengths.
        size: (state,) sizes that count as zero.
        guess: (batch, 3, state), where Newton's method starts.

    Returns:
        (batch, 3, state); NaN where Newton's method found no solution.
    """
    import torch

    n, d = x.shape
    a = torch.as_tensor(A, device=x.device)
    stages, start = guess, x[:, None]
    lost = torch.zeros(n, dtype=torch.bool, device=x.device)
    change = torch.full((n,), torch.inf, dtype=x.dtype, device=x.device)
    for _ in range(NEWTON_ITERATIONS):
        f, by_state = slopes(stages.reshape(n * STAGES, d))
        residual = stages - start - h[:, :, None] * (a @ f.reshape(n, STAGES, d))
        matrix = stage_matrix(by_state.reshape(n, STAGES, d, d), h)
        lost |= ~(torch.isfinite(matrix).all(-1).all(-1) & torch.isfinite(residual).all(-1).all(-1))
        matrix = torch.where(lost[:, None, None], torch.eye(STAGES * d, dtype=x.dtype, device=x.device), matrix)
        move, failed = torch.linalg.solve_ex(matrix, residual.reshape(n, -1, 1))
        move = torch.where((lost | (failed != 0))[:, None, None], 0.0, move.reshape(n, STAGES, d))
        lost |= failed != 0
        stages = stages - move
        change = (move.abs() / (size + stages.abs())).amax((1, 2))
        if bool((change < NEWTON_TOLERANCE).all()):
            break
    lost |= ~(change < 1e-6)
    return torch.where(lost[:, None, None], torch.nan, stages)


def stage_matrix(by_state, h):
    """I - h A (x) df/dx (batch, 3 d, 3 d), the derivative of the stage equations.

    Args:
        by_state: df/dx at the stages (batch, 3, d, d).
        h: (batch, 1).
    """
    import torch

    n, s, d, _ = by_state.shape
    a = torch.as_tensor(A, device=by_state.device)
    blocks = (h[:, :, None, None, None] * a[:, :, None, None]) * by_state[:, None]  # (batch, i, j, d, d)
    eye = torch.eye(s * d, dtype=by_state.dtype, device=by_state.device)
    return eye - blocks.permute(0, 1, 3, 2, 4).reshape(n, s * d, s * d)


def stage_adjoints(by_state, h, outer):
    """Backward through one step: how its end depends on its start and on every stage's slope.

    Args:
        by_state: df/dx at the stages (batch, 3, d, d).
        h: (batch, 1).
        outer: (batch, rows, d), the derivative of what follows by the step's end.

    Returns:
        The derivative by the step's start (batch, rows, d), and by each stage's slope, a list of three
        (batch, rows, d); NaN where the stage equations are singular.
    """
    import torch

    n, s, d, _ = by_state.shape
    a = torch.as_tensor(A, device=by_state.device)
    end = torch.zeros((n, s * d, outer.shape[1]), dtype=outer.dtype, device=outer.device)
    end[:, (s - 1) * d :] = outer.transpose(1, 2)
    matrix = stage_matrix(by_state, h).transpose(1, 2)
    fine = torch.isfinite(matrix).all(-1).all(-1)
    matrix = torch.where(fine[:, None, None], matrix, torch.eye(s * d, dtype=matrix.dtype, device=matrix.device))
    solved, failed = torch.linalg.solve_ex(matrix, end)
    solved = torch.where((fine & (failed == 0))[:, None, None], solved, torch.nan)
    by_stage = solved.transpose(1, 2).reshape(n, -1, s, d)  # outer @ d end / d (residual of each stage)
    by_slope = torch.einsum("brcd,cj->bjrd", by_stage, a) * h[:, :, None, None]
    return by_stage.sum(2), list(by_slope.unbind(1))
