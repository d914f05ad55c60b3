"""Long records are first fitted on windows spread over them, where restarts and activations are cheap."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np

from udesys.data import Dataset

LONG = 6000  # samples above which a record is first fitted on windows
WINDOW = 500  # samples of a window
ENOUGH = 4000  # samples of all windows together


def windows_of(data: Dataset) -> Dataset | None:
    """Windows spread evenly over a long dataset, as trajectories of their own; None for a short one."""
    if data.n_samples <= LONG:
        return None
    pieces = []
    for run in data.trajectories:
        edges = np.linspace(0, len(run.t), -(-len(run.t) // WINDOW) + 1).astype(int)
        pieces += [(run, a, b) for a, b in itertools.pairwise(edges) if b - a > 1]
    wanted = max(1, round(ENOUGH * len(pieces) / data.n_samples))
    chosen = np.unique(np.linspace(0, len(pieces) - 1, wanted).round().astype(int))
    runs = []
    for k in chosen:
        run, a, b = pieces[k]
        if np.isfinite(run.y[a:b]).any():
            runs.append(run.rows(slice(a, b), name=f"{run.name} {a}:{b}"))
    return replace(data, trajectories=tuple(runs), sha256="") if runs else None
