"""The section [data]: which columns are states, observables, inputs and covariates; the held-out part; the noise."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from udesys.data import Dataset, parse_noise, split_holdout
from udesys.data.assemble import assemble
from udesys.data.cells import RawTable, numbers
from udesys.data.roles import Input, parse_covariates, parse_inputs
from udesys.data.table import read_raw
from udesys.errors import NAMES_SHOWN, ModelError, did_you_mean, nearest, shortened
from udesys.model import HybridODE
from udesys.spec.section import Section

_SIMILAR = 0.75  # of difflib's ratio, from which a column is offered for a state without one


@dataclass(frozen=True, kw_only=True)
class Signals:
    """What the section [data] says about inputs and covariates, before the data are read.

    Attributes:
        inputs: name -> its column and interpolation.
        covariates: name -> column.
    """

    inputs: dict[str, Input]
    covariates: dict[str, str]

    @property
    def columns(self) -> set[str]:
        """The columns that are an input or a covariate, and no state."""
        return {*(entry.column for entry in self.inputs.values()), *self.covariates.values()}


@dataclass(frozen=True, kw_only=True)
class Measurements:
    """What the section [data] says, read and checked.

    Attributes:
        path: the data file.
        columns: state or observable -> column, of the measured ones.
        signals: the inputs and covariates.
        train: the part to fit.
        heldout: the part kept aside, or None.
        noise: state or observable -> standard deviation [data units], or None.
        warnings: what the user should know.
    """

    path: Path
    columns: dict[str, str]
    signals: Signals
    train: Dataset
    heldout: Dataset | None
    noise: dict[str, float] | None
    warnings: tuple[str, ...]


def read_signals(section: Section) -> Signals:
    """Read which names of the equations are inputs and covariates.

    Args:
        section: the section [data].

    Raises:
        DataError: an entry is not understood.
    """
    with section.naming("[data] "):
        return Signals(
            inputs=parse_inputs(section.table.get("inputs", {})),
            covariates=parse_covariates(section.table.get("covariates", ())),
        )


def read_measurements(
    section: Section, model: HybridODE, signals: Signals, home: Path, table: RawTable | None = None
) -> Measurements:
    """Read the data file of a spec.

    Args:
        section: the section [data].
        model: its states and observables are what may be measured.
        signals: the inputs and covariates to read.
        home: the folder that the file is relative to.
        table: its cells, where they were read for a grid.

    Raises:
        ModelError: a column is mapped to no state or observable, no state or observable is measured, or one
            observable is not.
        DataError: the file, a column or a cell cannot be used.
    """
    roles = {"time": section.need("time", str), "trajectory": _trajectory(section)}
    path = home / section.need("file", str)
    table = table or read_raw(path)
    taken = {roles["time"], *roles["trajectory"], *signals.columns}
    if model.grid is not None:
        taken.add(model.grid.name)
    columns = _choose_columns(section, model, table, taken)
    inputs = {name: asdict(entry) for name, entry in signals.inputs.items()}
    roles |= {"inputs": inputs, "covariates": signals.covariates}
    roles["position"] = None if model.grid is None else model.grid.name
    whole = assemble(table, **roles, columns=columns)
    empty = [name for name, n in whole.n_measured.items() if not n]
    warnings = [f"{name} is taken as unmeasured: its column {columns[name]!r} is empty." for name in empty]
    for name in model.observe:
        if name in empty and len(empty) < len(columns):
            what = f"{name!r} in observe of [model] is not measured: its column {columns[name]!r} of {table.source}"
            raise section.refuse(f"{what} is empty in every row. Leave it out.")
    if empty:
        columns = {name: column for name, column in columns.items() if name not in empty}
        if not columns:
            raise section.refuse(
                f"no {_kind(model)} is measured: {shortened(empty)} of {table.source} "
                f"{'is' if len(empty) == 1 else 'are'} empty in every row."
            )
        whole = assemble(table, **roles, columns=columns)
    warnings += _similar_columns(model, table, columns, {*taken, *columns.values()}, empty)
    warnings += _filled_gaps(signals, table, () if model.grid is None else (*roles["trajectory"], roles["time"]))
    with section.naming("[data] "):
        train, heldout = split_holdout(whole, section.table.get("holdout"))
    warnings += [f"{name} is measured only in the held-out part." for name, n in train.n_measured.items() if not n]
    return Measurements(
        path=path,
        columns=columns,
        signals=signals,
        train=train,
        heldout=heldout,
        noise=_noise(section, model, whole),
        warnings=tuple(warnings),
    )


def _trajectory(section: Section) -> tuple[str, ...]:
    """The columns that separate runs: none, one in quotes, or a list."""
    if isinstance(section.table.get("trajectory"), str):
        return (section.table["trajectory"],)
    return section.texts("trajectory")


def _choose_columns(section: Section, model: HybridODE, table: RawTable, taken: set) -> dict[str, str]:
    """State or observable -> column: the mapping of the spec, and equal names for the rest."""
    given = section.get("columns", dict, {})
    for name, column in given.items():
        _check_measurable(section, model, name, "columns")
        section.typed(column, str, f"columns.{name} in [data]")
    taken = taken | set(given.values())
    named = {n: given.get(n, n) for n in model.measurable if n in given or (n in table.columns and n not in taken)}
    if not named:
        what = f"no {_kind(model)} is measured: the {_kind(model, plural=True)} are {shortened(model.measurable)}"
        raise _lacking(section, table, taken, model.measurable, what)
    for name in model.observe:
        if name not in named:
            used = taken | set(named.values())
            raise _lacking(section, table, used, [name], f"{name!r} in observe of [model] is not measured")
    return named


def _lacking(section: Section, table: RawTable, taken: set, names: Sequence[str], what: str) -> ModelError:
    """The error about names without a column, with the mapping that may be meant."""
    pairs = _nearest(names[:NAMES_SHOWN], table.columns, taken)
    name, column = next(iter(pairs.items()), (names[0], "NAME"))
    return section.refuse(
        f"{what}; the columns of {table.source} are {shortened(list(table.columns))}. "
        f"{'Did you mean' if pairs else 'Map it with'}  "
        f'columns = {{ {_key(name)} = "{column}" }}  in [data]{"?" if pairs else "."}'
    )


def _similar_columns(model: HybridODE, table: RawTable, columns: dict, taken: set, empty: list[str]) -> list[str]:
    """A warning for each unmeasured state with a column of nearly its name."""
    open_ = [state for state in model.states if state not in columns and state not in empty][:NAMES_SHOWN]
    return [
        f"{state} is taken as unmeasured: {table.source} has no column of this name, but {column!r}. "
        f'If that is it, write  columns = {{ {_key(state)} = "{column}" }}  in [data].'
        for state, column in _nearest(open_, table.columns, taken).items()
    ]


def _filled_gaps(signals: Signals, table: RawTable, once_for: tuple[str, ...]) -> list[str]:
    """A warning for each input with empty cells; of fields it has to stand once for each run and time."""
    warnings = []
    for name, entry in signals.inputs.items():
        there = np.isfinite(numbers(table, entry.column)).tolist()
        if once_for:
            found: dict[tuple, bool] = {}
            for key, known in zip(zip(*(table.columns[c] for c in once_for), strict=True), there, strict=True):
                found[key] = found.get(key, False) or known
            there = list(found.values())
        gaps = there.count(False)
        if gaps:
            kind = "times" if once_for else "cells"
            cells = f"{gaps} of its {len(there)} {kind} {'is' if gaps == 1 else 'are'} empty"
            warnings.append(f"the input {name} is interpolated ({entry.interpolation}) where {cells}.")
    return warnings


def _nearest(names: Collection[str], header: Collection[str], taken: set) -> dict[str, str]:
    """Name -> the free column whose name is nearly its own."""
    found = {}
    for name in names:
        near = nearest(name, (column for column in header if column not in taken), cutoff=_SIMILAR)
        found |= {name: near[0]} if near else {}
    return found


def _key(state: str) -> str:
    """A state as a TOML key."""
    return f'"{state}"' if state.endswith("'") else state


def _kind(model: HybridODE, *, plural: bool = False) -> str:
    """What a column may be: a state, or an observable where the model has some."""
    if plural:
        return "states and observables" if model.observe else "states"
    return "state or observable" if model.observe else "state"


def _check_measurable(section: Section, model: HybridODE, name: str, key: str) -> None:
    if name not in model.measurable:
        hint = did_you_mean(name, model.measurable, listed=f"{_kind(model, plural=True).capitalize()} are")
        raise section.refuse(f"{key} in [data] names {name!r}, which is no {_kind(model)} of the model. {hint}")


def _noise(section: Section, model: HybridODE, data: Dataset) -> dict[str, float] | None:
    given = section.get("noise", dict)
    if not given:
        return None
    values = np.concatenate([run.y for run in data.trajectories])
    noise = {}
    for name, level in given.items():
        _check_measurable(section, model, name, "noise")
        if name not in data.columns:
            raise section.refuse(f"noise in [data] names {name!r}, which is not measured. Leave it out.")
        with section.naming("[data] "):
            noise[name] = parse_noise(level, values[:, data.columns.index(name)], name)
    return noise
