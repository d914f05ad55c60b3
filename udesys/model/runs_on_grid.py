"""Fields on a grid among samples: a trajectory for each point, the points of a run in order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from udesys.errors import FitError
from udesys.integrate.driving import evaluate
from udesys.model.hybrid import HybridODE


@dataclass(frozen=True)
class Run:
    """The samples of one run among all samples.

    Attributes:
        t: (times,) of every point.
        rows: (times, n) the sample of a time and a point.
    """

    t: np.ndarray
    rows: np.ndarray


def runs_of(model: HybridODE, t: np.ndarray, segments: tuple[np.ndarray, np.ndarray]) -> tuple[Run, ...]:
    """The runs of samples whose trajectories are the points of a grid.

    Args:
        model: with a grid.
        t: (samples,) times, trajectory after trajectory.
        segments: (lo, hi) of the trajectories.

    Raises:
        FitError: the trajectories are not the grid's points, run after run, with the same times in a run.
    """
    lo, hi = segments
    n, runs = model.grid.n, []
    form = f"Fields are read with position={model.grid.name!r}: one trajectory for each of the {n} points of a run."
    if not len(lo) or len(lo) % n:
        raise FitError(f"{len(lo)} trajectories are no whole runs of fields on {n} points. {form}")
    for first in range(0, len(lo), n):
        times = [t[a:b] for a, b in zip(lo[first : first + n], hi[first : first + n], strict=True)]
        if any(len(own) != len(times[0]) or (own != times[0]).any() for own in times):
            raise FitError(f"the points of a run differ in their times. {form}")
        rows = lo[None, first : first + n] + np.arange(len(times[0]))[:, None]
        runs.append(Run(times[0], rows))
    return tuple(runs)


def steps_on_grid(model: HybridODE, t: np.ndarray, segments, steps: Sequence[np.ndarray]) -> np.ndarray:
    """(samples,) steps after each sample, from those of every run (times - 1,); arguments as for `runs_of`."""
    found = np.ones(len(t), dtype=np.int64)
    for run, own in zip(runs_of(model, t, segments), steps, strict=True):
        found[run.rows[:-1]] = own[:, None]
    return found


def counted(model: HybridODE, n: int) -> str:
    """So many trajectories in words: `3 trajectories`, or of fields `2 runs of 25 points`.

    Args:
        model: with a grid or without one.
        n: how many trajectories.
    """
    if model.grid is None:
        return f"{n} {'trajectory' if n == 1 else 'trajectories'}"
    runs = n // model.grid.n
    return f"{runs} {'run' if runs == 1 else 'runs'} of {model.grid.n} points"


def driving_along(run: Run, pieces: np.ndarray | None, n_operators: int):
    """Inputs and covariates of all points of a run, as `integrate.lattice` asks for them; None without any.

    Args:
        run: its samples.
        pieces: (samples, k, 4) cubics from every sample on, those of the operators along the grid last.
        n_operators: how many of them are.
    """
    if pieces is None or pieces.shape[1] <= n_operators:
        return None
    own = pieces[run.rows][:, :, : pieces.shape[1] - n_operators]  # (times, n, k, 4)

    def values(interval: int, s: np.ndarray) -> np.ndarray:
        return evaluate(own[interval][None], np.broadcast_to(s[:, None], (len(s), own.shape[1])))

    return values
