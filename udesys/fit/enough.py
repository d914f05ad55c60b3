"""Whether data can determine anything of a model, seen before anything is fitted."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from udesys.data import Dataset
from udesys.errors import FitError
from udesys.model import HybridODE
from udesys.model import tree as T

LEAST_SAMPLES = 4  # rows of a trajectory on average; fewer hold no slope worth the name
LEAST_PROFILES = 3  # the same of fields on a grid, whose points tell of each other


def check_enough(model: HybridODE, data: Dataset, noise: Mapping[str, float] | None = None) -> None:
    """Raise FitError where the data cannot determine anything: too few samples, or nothing measured depends on it."""
    measured = [c for c in data.columns if c in model.measurable and data.n_measured[c] > 0]
    if not measured:
        raise FitError(
            f"no state is measured: the states are {', '.join(model.measurable)}, the columns "
            f"{', '.join(data.columns)}. Name the columns like the states, or map them with `columns`."
        )
    _refuse_unseen(model, measured)
    rows = sum(len(tr.t) for tr in data.trajectories)
    unknown = len(model.estimated) + sum(w == "free" for w in model.initial.values()) * len(data.trajectories)
    least = LEAST_SAMPLES if model.grid is None else LEAST_PROFILES
    needed = max(least * len(data.trajectories), -(-(unknown + len(model.terms) + 1) // len(measured)))
    if rows < needed:
        raise FitError(
            f"{rows} samples are too few: this model needs at least {needed} rows (trajectories: "
            f"{len(data.trajectories)}, unknown parameters and initial values: {unknown}, missing terms: "
            f"{len(model.terms)}). Measure more, or fix parameters and initial values."
        )
    if min(len(tr.t) for tr in data.trajectories) < 2:
        short = next(tr.name for tr in data.trajectories if len(tr.t) < 2)
        raise FitError(f"trajectory {short!r} has one sample only. Remove it, or check the column that separates runs.")
    _refuse_unchanging(data, measured)
    for column, sd in (noise or {}).items():
        if column not in data.columns:
            raise FitError(f"noise names {column!r}, which is no column. Columns are {', '.join(data.columns)}.")
        if not (np.isfinite(sd) and sd > 0):
            raise FitError(f"noise of {column} = {sd!r} must be a positive number [data units].")


def _refuse_unchanging(data: Dataset, measured: list[str]) -> None:
    """Raise FitError where a column holds one number: it has no spread to measure errors by, and no rate to explain."""
    for column in measured:
        values = np.concatenate([tr.y[:, data.columns.index(column)] for tr in data.trajectories])
        values = values[np.isfinite(values)]
        if len(values) > 1 and values.min() == values.max():
            raise FitError(
                f"{column} is {values[0]:g} in every row, which tells nothing of a law. Give it as a parameter, "
                f"{column} = {values[0]:g}, in place of its equation."
            )


def _refuse_unseen(model: HybridODE, measured: list[str]) -> None:
    """Raise FitError where a network acts on nothing that is measured, however indirectly."""
    needs = dict(zip(model.states, (set(T.symbols(right)) for right in model.rhs), strict=True))
    for slot in model.slots:
        for call in slot.calls:
            outputs = {call.output_name(k) for k in range(slot.n_outputs)}
            for names in needs.values():
                if names & outputs:
                    names |= {slot.name}.union(*map(T.symbols, call.args))
    seen, new = set(), set(measured).union(*(T.symbols(model.observe[n]) for n in measured if n in model.observe))
    while new:
        seen |= new
        new = set().union(*(needs.get(name, ()) for name in new)) - seen
    for slot in model.slots:
        if slot.name not in seen:
            raise FitError(
                f"{slot.name} acts on nothing that is measured ({', '.join(measured)}). Measure a state that depends "
                f"on it, or take {slot.name} out."
            )
