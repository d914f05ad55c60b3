"""Networks held to positive states, as the data tell how large these are."""

from __future__ import annotations

import copy

import numpy as np

from udesys.data import Dataset
from udesys.model import HybridODE
from udesys.model import tree as T
from udesys.model.invariants import held_inward
from udesys.model.program import Program

SOFT = 0.05  # of the mean size of a state: within that of zero, what pulls it down fades; with 0.02 it turns stiff


def inward(model: HybridODE, data: Dataset) -> HybridODE:
    """The model whose networks do not carry positive states below zero.

    Args:
        model: the hybrid; itself where no network could.
        data: measurements, that tell how large states are and which inputs and covariates are never below zero.
    """
    if not model.invariants.inward:
        return model
    columns = {name: c for name, c in _columns(data).items() if name in (*model.states, *model.exogenous, "t")}
    positive = [name for name in (*model.exogenous, "t") if name in columns and columns[name].min() >= 0]
    known = {**columns, **{name: np.float64(p.guess) for name, p in model.parameters.items()}}

    def size(argument: T.Tree) -> float:
        if T.symbols(argument) <= known.keys():
            with np.errstate(all="ignore"):
                found = np.abs(Program([argument], list(known)).run(list(known.values()))[0])
            return float(found[np.isfinite(found)].mean()) if np.isfinite(found).any() else 0.0
        start = model.initial.get(argument.name) if isinstance(argument, T.Symbol) else None
        return start if isinstance(start, float) else 0.0

    other = copy.copy(model)
    other.invariants = held_inward(model, positive, size, SOFT)
    return other


def _columns(data: Dataset) -> dict[str, np.ndarray]:
    """(samples,) of everything in the data, all trajectories in turn."""
    runs = data.trajectories
    values = [np.concatenate([run.t for run in runs])]
    values += [*np.concatenate([run.y for run in runs]).T, *np.concatenate([run.u for run in runs]).T]
    values += [
        np.concatenate([np.full(len(run.t), run.covariates[k]) for run in runs]) for k in range(len(data.covariates))
    ]
    return dict(zip(("t", *data.columns, *data.inputs, *data.covariates), values, strict=True))
