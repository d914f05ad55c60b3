"""Data and specs of the built-in systems."""

from __future__ import annotations

import csv
import functools
import importlib
import json
import pkgutil
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from udesys.data import Dataset, Trajectory, add_noise, parse_percent
from udesys.errors import DataError, ModelError, SolveError, UdesysError, did_you_mean
from udesys.model import tree as T
from udesys.model.grammar import parse_expression
from udesys.model.program import Program
from udesys.systems.base import System
from udesys.systems.exact import solve_exactly
from udesys.systems.exact_fields import solve_fields

RUN = "run"  # the column that separates runs, where there are several
INTERPOLATION = "cubic"  # of the inputs, which are smooth
MOST_STARTS = 3  # named in a spec
DIGITS = 10  # written to the table; the noise is far above them


@functools.cache
def _modules() -> Mapping[str, object]:
    """name -> module, for every file of this folder that has a system, or a table of them."""
    import udesys.systems as folder

    names = [m.name for m in pkgutil.iter_modules(folder.__path__)]
    modules = {name: importlib.import_module(f"udesys.systems.{name}") for name in sorted(names)}
    return {name: m for name, m in modules.items() if hasattr(m, "SYSTEM") or hasattr(m, "SYSTEMS")}


def list_systems(table: str | None = None) -> tuple[System, ...]:
    """Every built-in system that has a file of its own, by name; or those of a table, in its order.

    Args:
        table: its name, such as "odebench".

    Raises:
        ModelError: there is no such table.
    """
    if table is None:
        return tuple(module.SYSTEM for module in _modules().values() if hasattr(module, "SYSTEM"))
    if table not in list_tables():
        raise ModelError(f"there is no table of systems {table!r}. {did_you_mean(table, list_tables())}")
    return _modules()[table].SYSTEMS


def list_tables() -> tuple[str, ...]:
    """Names of the tables of systems."""
    return tuple(name for name, module in _modules().items() if hasattr(module, "SYSTEMS"))


def get_system(name: str) -> System:
    """A built-in system.

    Args:
        name: its name, as in "lotka_volterra", or a table and what its entry is called there, as in "odebench:24";
            dashes are read as underscores.

    Raises:
        ModelError: there is none of that name.
    """
    table, colon, _ = name.partition(":")
    systems = {s.name: s for s in (list_systems(table) if colon else list_systems())}
    found = systems.get(name if colon else name.replace("-", "_"))
    if found is None:
        raise ModelError(f"there is no system {name!r}. {did_you_mean(name, systems)}")
    return found


def simulate(system: System) -> Dataset:
    """All states and inputs of a system at its sample times, without noise.

    Args:
        system: what to simulate.

    Raises:
        SolveError: the integration of a run stops before the last time.
    """
    t = np.array(system.t)
    if system.grid is not None:
        return _simulate_fields(system, t)
    right_sides, drive = system.true_rhs(), _drive(system, t)
    runs = []
    for k, start in enumerate(system.starts):
        x0 = [start[state] for state in system.states]
        own = {name: float(values[k]) for name, values in system.covariates.items()}
        numbers = {name: T.Number(value) for name, value in own.items()}
        there = [T.substitute(right, numbers) for right in right_sides]
        try:
            done = solve_exactly(there, system.states, x0, (t[0], t[-1]), stiff=system.stiff)
        except SolveError as error:
            raise SolveError(f"{system.name} {error}") from None
        y = done.sol(t).T
        y[0] = x0
        runs.append(Trajectory(name=str(k), t=t, y=y, u=drive, covariates=np.array(list(own.values()))))
    return Dataset(
        columns=system.states,
        trajectories=tuple(runs),
        time="t",
        source=system.name,
        inputs=dict.fromkeys(system.inputs, INTERPOLATION),
        covariates=tuple(system.covariates),
    )


def _simulate_fields(system: System, t: np.ndarray) -> Dataset:
    """All fields of a system at its points and sample times."""
    grid = system.grid
    runs = {}
    for k, start in enumerate(system.starts):
        x0 = np.empty((grid.n, len(system.states)))
        for j, state in enumerate(system.states):
            (x0[:, j],) = Program([parse_expression(str(start[state]))], [grid.name]).run([np.array(grid.points)])
        try:
            y = solve_fields(system.true_model(), x0, t, lambda s: _drive(system, s), stiff=system.stiff)
        except SolveError as error:
            raise SolveError(f"{system.name} {error}") from None
        runs[str(k)] = {state: y[:, :, j] for j, state in enumerate(system.states)}
    return Dataset.from_fields(
        t,
        grid.points,
        runs if len(runs) > 1 else runs["0"],
        position=grid.name,
        inputs=dict(zip(system.inputs, _drive(system, t).T, strict=True)),
        interpolation=INTERPOLATION,
        source=system.name,
    )


def _drive(system: System, t: np.ndarray) -> np.ndarray:
    """(time, input)."""
    program = Program([parse_expression(text) for text in system.inputs.values()], ["t"])
    columns = [np.broadcast_to(np.asarray(column, float), t.shape) for column in program.run([t])]
    return np.stack(columns, 1) if columns else np.zeros((len(t), 0))


def make_data(system: System, noise: float | str = 0.005, seed: int = 0) -> Dataset:
    """What is measured of a system, with noise; the inputs are as they were set.

    Args:
        system: what to measure.
        noise: standard deviation as a share of each state's mean magnitude over all runs, or of every value where the
            system says so, such as 0.05 or "5%".
        seed: of the noise.

    Raises:
        DataError: the noise is no share of the signal.
    """
    share = parse_percent(noise, name="noise")
    if share > 1:
        advice = 'Write a share, such as 0.05 or "5%".'
        raise DataError(f"noise = {noise} is {100 * share:g} % of the signal. {advice}")
    exact = simulate(system)
    chosen = [system.states.index(column) for column in system.columns]
    whole = np.concatenate([run.y[:, chosen] for run in exact.trajectories])
    rng = np.random.default_rng(seed)
    noisy = whole * (1.0 + share * rng.standard_normal(whole.shape)) if system.each else add_noise(whole, share, rng)
    parts = np.split(noisy, len(exact.trajectories))
    runs = tuple(replace(run, y=y) for run, y in zip(exact.trajectories, parts, strict=True))
    return replace(exact, columns=system.columns, trajectories=runs, sha256="")


def write_system(
    system: System,
    folder: str | Path,
    noise: float | str = 0.005,
    seed: int = 0,
    *,
    force: bool = False,
) -> tuple[Path, Path]:
    """Write a system's data and its spec.

    Args:
        system: what to write.
        folder: gets NAME.csv and NAME.toml, an underscore in place of a colon.
        noise: as `make_data`.
        seed: of the noise.
        force: replace files that are there.

    Returns:
        The table and the spec.

    Raises:
        UdesysError: a file is there already.
        DataError: the noise is no share of the signal.
    """
    folder = Path(folder)
    stem = system.name.replace(":", "_")  # no file may have a colon in its name everywhere
    table, spec = folder / f"{stem}.csv", folder / f"{stem}.toml"
    for path in (table, spec):
        if path.exists() and not force:
            raise UdesysError(f"{path} is there already. Name another folder, or replace it with --force.")
    data = make_data(system, noise, seed)
    text = _spec_text(system, table.name, parse_percent(noise, name="noise"), seed)
    folder.mkdir(parents=True, exist_ok=True)
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        several = len(data.runs) > 1
        writer.writerow([*([RUN] * several), data.time, *data.inputs, *data.covariates, *data.columns])
        for name, run in ((name, run) for name, parts in data.runs.items() for run in parts):
            for t, u, y in zip(run.t, run.u, run.y, strict=True):
                numbers = [f"{value:.{DIGITS}g}" for value in (t, *u, *run.covariates, *y)]
                writer.writerow([*([name] * several), *numbers])
    spec.write_text(text, encoding="utf-8", newline="\n")
    return table, spec


# ------------------------------------------------------------------ the spec's text
def _spec_text(system: System, table: str, noise: float, seed: int) -> str:
    own = zip(*system.covariates.values(), strict=True) if system.covariates else ((),) * len(system.starts)
    begun = [
        {**start, **dict(zip(system.covariates, v, strict=True))} for start, v in zip(system.starts, own, strict=True)
    ]
    starts = [
        ", ".join(f"{name} = {value if isinstance(value, str) else f'{value:g}'}" for name, value in start.items())
        for start in begun
    ]
    shown = [f"#   {start} at t = {system.t[0]:g}" for start in starts[:MOST_STARTS]]
    shown += [f"#   and {len(starts) - MOST_STARTS} more runs"] if len(starts) > MOST_STARTS else []
    entries = {"file": table, "time": "t"}
    if len(system.starts) > 1:
        entries["trajectory"] = RUN
    if system.inputs:
        entries["inputs"] = {name: {"column": name, "interpolation": INTERPOLATION} for name in system.inputs}
    if system.covariates:
        entries["covariates"] = list(system.covariates)
    if system.heldout:
        entries["holdout"] = {"trajectories": list(system.heldout)}
    about = "What is known; NN1, NN2, ... stand for what is not." if system.missing else "The coefficients are sought."
    whose = "every value" if system.each else "each state's mean"
    lines = [
        f"# {system.title[0].upper()}{system.title[1:]}.",
        f"# {system.source}.",
        f"# States and time: {system.states_line()}.",
        f"# Simulated with noise of {100 * noise:g} % of {whose}, seed {seed}.",
        "# What is behind the data, which udesys does not see:",
        *(f"#   {line}" for line in system.truth_lines()),
        *shown,
        "",
        "[data]",
        *_lines(entries),
        "",
        "[model]",
        f"# {about}",
        'equations = """',
        *(line.strip() for line in system.equations.strip().splitlines()),
        '"""',
        *([f"stays_zero = {_toml(system.stays_zero)}"] if system.stays_zero else []),
        "",
    ]
    if system.grid is not None:
        lines += ["[grid]", *_lines({"position": system.grid.name, "ends": system.grid.ends}), ""]
    if system.parameters:
        comment = "# A number is fixed; { start = 1.0, bounds = [0, 5] } is estimated, and so is what is not listed."
        lines += ["[parameters]", comment, *_lines(system.parameters), ""]
    return "\n".join(lines)


def _lines(table: Mapping) -> list[str]:
    return [f"{_key(name)} = {_toml(value)}" for name, value in table.items()]


def _toml(value) -> str:
    """A value as TOML writes it in one line."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(key)} = {_toml(inner)}" for key, inner in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(inner) for inner in value) + "]"
    return json.dumps(value)


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name)
