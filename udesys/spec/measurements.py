"""The section [data]: which columns are states, the held-out part and the noise."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from udesys.data import Dataset, parse_noise, split_holdout
from udesys.data.assemble import assemble
from udesys.data.cells import RawTable
from udesys.data.table import read_raw
from udesys.errors import did_you_mean, shortened
from udesys.model import HybridODE
from udesys.spec.section import Section

_SIMILAR = 0.75  # of difflib's ratio, from which a column is offered for a state without one


@dataclass(frozen=True, kw_only=True)
class Measurements:
    """What the section [data] says, read and checked.

    Attributes:
        path: the data file.
        columns: state -> column, of the measured states.
        train: the part to fit.
        heldout: the part kept aside, or None.
        noise: state -> standard deviation [data units], or None.
        warnings: what the user should know.
    """

    path: Path
    columns: dict[str, str]
    train: Dataset
    heldout: Dataset | None
    noise: dict[str, float] | None
    warnings: tuple[str, ...]


def read_measurements(section: Section, model: HybridODE, home: Path) -> Measurements:
    """Read the data file of a spec.

    Args:
        section: the section [data].
        model: its states are what may be measured.
        home: the folder that the file is relative to.

    Raises:
        ModelError: a column is mapped to no state, or no state is measured.
        DataError: the file, a column or a cell cannot be used.
    """
    roles = {"time": section.need("time", str), "trajectory": section.get("trajectory", str)}
    path = home / section.need("file", str)
    table = read_raw(path)
    columns = _choose_columns(section, model, table, {*roles.values()})
    whole = assemble(table, **roles, columns=columns)
    empty = [state for state, n in whole.n_measured.items() if not n]
    warnings = [f"{state} is taken as unmeasured: its column {columns[state]!r} is empty." for state in empty]
    if empty:
        columns = {state: column for state, column in columns.items() if state not in empty}
        if not columns:
            raise section.refuse(
                f"no state is measured: {shortened(empty)} of {table.source} "
                f"{'is' if len(empty) == 1 else 'are'} empty in every row."
            )
        whole = assemble(table, **roles, columns=columns)
    warnings += _similar_columns(model, table, columns, {*roles.values(), *columns.values()}, empty)
    with section.naming("[data] "):
        train, heldout = split_holdout(whole, section.table.get("holdout"))
    warnings += [f"{state} is measured only in the held-out part." for state, n in train.n_measured.items() if not n]
    noise = _noise(section, model, whole)
    return Measurements(path=path, columns=columns, train=train, heldout=heldout, noise=noise, warnings=tuple(warnings))


def _choose_columns(section: Section, model: HybridODE, table: RawTable, taken: set) -> dict[str, str]:
    """state -> column: the mapping of the spec, and equal names for the rest."""
    given = section.get("columns", dict, {})
    for state, column in given.items():
        if state not in model.states:
            hint = did_you_mean(state, model.states, listed="States are")
            raise section.refuse(f"columns in [data] names {state!r}, which is no state of the model. {hint}")
        section.typed(column, str, f"columns.{state} in [data]")
    taken = taken | set(given.values())
    named = {s: given.get(s, s) for s in model.states if s in given or (s in table.columns and s not in taken)}
    if named:
        return named
    pairs = _nearest(model.states, table.columns, taken)
    state, column = next(iter(pairs.items()), (model.states[0], "NAME"))
    raise section.refuse(
        f"no state is measured: the states are {shortened(model.states)}, the columns of {table.source} "
        f"{shortened(list(table.columns))}. {'Did you mean' if pairs else 'Map them with'}  "
        f'columns = {{ {_key(state)} = "{column}" }}  in [data]{"?" if pairs else "."}'
    )


def _similar_columns(model: HybridODE, table: RawTable, columns: dict, taken: set, empty: list[str]) -> list[str]:
    """A warning for each unmeasured state with a column of nearly its name."""
    open_ = [state for state in model.states if state not in columns and state not in empty]
    return [
        f"{state} is taken as unmeasured: {table.source} has no column of this name, but {column!r}. "
        f'If that is it, write  columns = {{ {_key(state)} = "{column}" }}  in [data].'
        for state, column in _nearest(open_, table.columns, taken).items()
    ]


def _nearest(states: Collection[str], header: Collection[str], taken: set) -> dict[str, str]:
    """state -> the free column whose name is nearly its own."""
    found = {}
    for state in states:
        free = {column.lower(): column for column in header if column not in taken}
        near = difflib.get_close_matches(state.lower(), free, n=1, cutoff=_SIMILAR)
        found |= {state: free[near[0]]} if near else {}
    return found


def _key(state: str) -> str:
    """A state as a TOML key."""
    return f'"{state}"' if state.endswith("'") else state


def _noise(section: Section, model: HybridODE, data: Dataset) -> dict[str, float] | None:
    given = section.get("noise", dict)
    if not given:
        return None
    values = np.concatenate([run.y for run in data.trajectories])
    noise = {}
    for state, level in given.items():
        if state not in model.states:
            hint = did_you_mean(state, model.states, listed="States are")
            raise section.refuse(f"noise in [data] names {state!r}, which is no state of the model. {hint}")
        if state not in data.columns:
            raise section.refuse(f"noise in [data] names {state!r}, which is not measured. Leave it out.")
        with section.naming("[data] "):
            noise[state] = parse_noise(level, values[:, data.columns.index(state)], state)
    return noise
