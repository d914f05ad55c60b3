"""Data and specs of the built-in systems."""

from __future__ import annotations

import csv
import functools
import importlib
import json
import pkgutil
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from udesys.data import Dataset, Trajectory, add_noise, parse_percent
from udesys.errors import DataError, ModelError, SolveError, UdesysError, did_you_mean
from udesys.model.program import Program
from udesys.systems.base import System

RTOL = 1e-12
ATOL = 1e-14  # of a state's initial magnitude, or of 1 where it starts at zero
DIGITS = 10  # written to the table; the noise is far above them


@functools.cache
def _systems() -> Mapping[str, System]:
    """name -> system, for every file of this folder that has one."""
    import udesys.systems as folder

    modules = [importlib.import_module(f"udesys.systems.{m.name}") for m in pkgutil.iter_modules(folder.__path__)]
    found = [module.SYSTEM for module in modules if hasattr(module, "SYSTEM")]
    return {system.name: system for system in sorted(found, key=lambda s: s.name)}


def list_systems() -> tuple[System, ...]:
    """Every built-in system, by name."""
    return tuple(_systems().values())


def get_system(name: str) -> System:
    """A built-in system.

    Args:
        name: its name; dashes are read as underscores.

    Raises:
        ModelError: there is none of that name.
    """
    found = _systems().get(name.replace("-", "_"))
    if found is None:
        raise ModelError(f"there is no system {name!r}. {did_you_mean(name, _systems())}")
    return found


def simulate(system: System) -> Dataset:
    """The states of a system at its sample times, without noise.

    Args:
        system: what to simulate.

    Raises:
        SolveError: the integration stops before the last time.

    Source: Hairer, Norsett & Wanner, Solving ODEs I (1993), sec. II.5: DOP853, through SciPy.
    """
    from scipy.integrate import solve_ivp

    program = Program(system.true_rhs(), [*system.states, "t"])
    x0 = np.array([system.x0[state] for state in system.states], dtype=float)
    atol = ATOL * np.where(x0 == 0, 1.0, np.abs(x0))
    t = np.array(system.t)
    done = solve_ivp(
        lambda now, x: np.array(program.run([*x, now]), dtype=float),
        (t[0], t[-1]),
        x0,
        method="DOP853",
        t_eval=t,
        rtol=RTOL,
        atol=atol,
    )
    if not done.success:
        raise SolveError(f"{system.name} cannot be simulated: {done.message}")
    run = Trajectory(name="0", t=t, y=done.y.T)
    return Dataset(columns=system.states, trajectories=(run,), time="t", source=system.name)


def make_data(system: System, noise: float | str = 0.005, seed: int = 0) -> Dataset:
    """The states of a system with measurement noise.

    Args:
        system: what to measure.
        noise: standard deviation as a share of each state's mean magnitude, such as 0.05 or "5%".
        seed: of the noise.

    Raises:
        DataError: the noise is no share of the signal.
    """
    share = parse_percent(noise, name="noise")
    if share > 1:
        advice = 'Write a share, such as 0.05 or "5%".'
        raise DataError(f"noise = {noise} is {100 * share:g} % of the signal. {advice}")
    exact = simulate(system)
    rng = np.random.default_rng(seed)
    runs = tuple(Trajectory(name=run.name, t=run.t, y=add_noise(run.y, share, rng)) for run in exact.trajectories)
    return Dataset(columns=exact.columns, trajectories=runs, time=exact.time, source=exact.source)


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
        folder: gets NAME.csv and NAME.toml.
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
    table, spec = folder / f"{system.name}.csv", folder / f"{system.name}.toml"
    for path in (table, spec):
        if path.exists() and not force:
            raise UdesysError(f"{path} is there already. Name another folder, or replace it with --force.")
    data = make_data(system, noise, seed)
    text = _spec_text(system, table.name, parse_percent(noise, name="noise"), seed)
    folder.mkdir(parents=True, exist_ok=True)
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([data.time, *data.columns])
        (run,) = data.trajectories
        writer.writerows([f"{value:.{DIGITS}g}" for value in (t, *y)] for t, y in zip(run.t, run.y, strict=True))
    spec.write_text(text, encoding="utf-8", newline="\n")
    return table, spec


# ------------------------------------------------------------------ the spec's text
def _spec_text(system: System, table: str, noise: float, seed: int) -> str:
    truth = [f"#   {state}' = {right}" for state, right in system.truth.items()]
    constants = ", ".join(f"{name} = {value:g}" for name, value in system.constants.items())
    start = ", ".join(f"{state} = {value!r}" for state, value in system.x0.items())
    parameters = [f"{_key(name)} = {_toml(value)}" for name, value in system.parameters.items()]
    return "\n".join(
        [
            f"# {system.title[0].upper()}{system.title[1:]}.",
            f"# {system.source}.",
            f"# Simulated with noise of {100 * noise:g} % of each state's mean, seed {seed}.",
            "# The law behind the data, which udesys does not see:",
            *truth,
            f"#   {constants}; {start} at t = {system.t[0]:g}",
            "",
            "[data]",
            f"file = {_toml(table)}",
            f"time = {_toml('t')}",
            "",
            "[model]",
            "# What is known; NN1, NN2, ... stand for what is not.",
            'equations = """',
            system.equations.strip(),
            '"""',
            "",
            "[parameters]",
            "# A number is fixed; { start = 1.0, bounds = [0, 5] } would be estimated.",
            *parameters,
            "",
        ]
    )


def _toml(value) -> str:
    """A value as TOML writes it in one line."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(key)} = {_toml(inner)}" for key, inner in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(inner) for inner in value) + "]"
    return json.dumps(value)


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name)
