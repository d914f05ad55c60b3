"""The Silverbox, a measured electronic Duffing oscillator: the restoring force from input and output alone.

Wigren & Schoukens (2013), ECC, Three free data sets for development and benchmarking in nonlinear system
identification; the split of nonlinearbenchmark.org. The table is not part of this package; it has the columns V1 (the
input) and V2 (the output) in volts, 131,072 rows at 1e7/2^14 Hz. A constant offset would be one with the network, which
holds it.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from udesys.bench._parallel import attempt
from udesys.bench._record_law import shortfall
from udesys.bench._study import Jobs, Json, Keep, Part, Study, carry_out, markdown

if TYPE_CHECKING:
    import numpy as np

    from udesys.data import Dataset
    from udesys.model import HybridODE

TITLE = "Silverbox, a measured Duffing oscillator: x'' = gain*u - c*x' - NN(x)"
EXAMPLE = "udesys bench silverbox SNLS80mV.csv"
EQUATIONS = "x'' = gain*u - c*x' - NN(x)"
UNDAMPED = "x'' = gain*u - NN1(x) - NN2(x')"  # with a damping that is missing too
STARTS = {"gain": 1e5, "c": 50.0}  # orders of magnitude [1/s^2, 1/s]; the resonance is near 70 Hz
INTERPOLATION = "cubic"
SAMPLING_RATE = 1e7 / 2**14  # Hz
COLUMNS = {"u": "V1", "x": "V2"}
N_START = 50  # samples that the split leaves out of every error
PARTS = ("multisine", "arrow", "arrow, no extrapolation")
TESTS = tuple(f"RMSE {part}, mV" for part in PARTS)
RIVALS = {
    "GRU": dict(zip(TESTS, (1.49, 2.80, 0.95), strict=True)),
    "cubic oscillator by hand": dict(zip(TESTS, (0.35, 0.52, 0.36), strict=True)),
}
LIMITS = dict(zip(TESTS, ((0.31,), (0.36,), (0.31,)), strict=True))
HEADLINES = TESTS
LESS_IS_BETTER = HEADLINES


@dataclass(frozen=True)
class Split:
    """Which rows are for what.

    Attributes:
        multisine: first row, and the row after the last, of training and test.
        train_share: of the multisine rows; the rest is the first test.
        arrow: rows of the second test.
        no_extrapolation: its first rows, the third test.
    """

    multisine: tuple[int, int] = (40650, 127400)
    train_share: float = 0.75
    arrow: tuple[int, int] = (100, 40575)
    no_extrapolation: int = 32000


SPLIT = Split()


@dataclass(frozen=True, kw_only=True)
class Run:
    """One fit of the training part and its open-loop simulations.

    Attributes:
        rows: to train on, from the first on; None for all.
        seed: of the network.
        parameters: name -> (value, standard error).
        node_rmse: of the training part, interval by interval [mV].
        train_rmse: of the training part, simulated from its fitted start [mV].
        test_rmse: part -> RMSE of an open-loop simulation [mV].
        converged: what the fit says of itself.
        warnings: of the fit.
        seconds: of the fit.
        failure: what stopped it; empty where nothing did.
    """

    rows: int | None
    seed: int
    parameters: dict[str, tuple[float, float]] = field(default_factory=dict)
    node_rmse: float | None = None
    train_rmse: float | None = None
    test_rmse: dict[str, float] = field(default_factory=dict)
    converged: bool = False
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0
    failure: str = ""


def run(
    table_file: Annotated[
        Path, typer.Argument(metavar="TABLE", help="CSV with V1 (input) and V2 (output) [V], 131,072 rows.")
    ],
    rows: Annotated[int | None, typer.Option(min=10, help="Train on the first rows only.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the network.")] = 0,
    seeds: Annotated[int, typer.Option(min=1, help="So many seeds, from that one on.")] = 1,
    part: Part = "1/1",
    jobs: Jobs = 1,
    keep: Keep = None,
    json: Json = False,
) -> None:
    """Fit the Silverbox's restoring force by a network and simulate the three test parts open loop."""
    read_parts(table_file)
    tasks = [(table_file, rows, seed + k) for k in range(seeds)]
    runs, seconds = carry_out(fit_once, tasks, warm_up, part=part, jobs=jobs, keep=keep)
    Study(
        bench="silverbox",
        summary=summary(runs),
        rows=runs,
        published={},
        rivals=RIVALS,
        seconds=seconds,
        tables=table(runs),
    ).show(json)


def warm_up() -> None:
    """One thread a process."""
    import torch

    torch.set_num_threads(1)


def fit_once(table_file: Path, rows: int | None, seed: int) -> Run:
    """Fit the training part and simulate the test parts; what goes wrong is written down, not raised.

    Args:
        table_file: the table.
        rows: training rows used, from the first on; all where it is None.
        seed: of the network.
    """
    found, failure = attempt(lambda: _fitted(table_file, rows, seed))
    return found or Run(rows=rows, seed=seed, failure=failure)


def _fitted(table_file: Path, rows: int | None, seed: int) -> Run:
    import udesys as ud
    from udesys.bench._measured import first_rows, simulate_open_loop

    train, tests = read_parts(table_file)
    fit = ud.fit(hybrid(), train if rows is None else first_rows(train, rows), seed=seed)
    errors, failure = attempt(lambda: test_errors(tests, lambda data: simulate_open_loop(fit, data, N_START)))
    return Run(
        rows=rows,
        seed=seed,
        parameters=dict(fit.parameters),
        node_rmse=1e3 * fit.node_error["x"],
        train_rmse=1e3 * fit.error["x"],
        test_rmse=errors or {},
        converged=fit.converged,
        warnings=fit.warnings,
        seconds=fit.seconds,
        failure=failure,
    )


def hybrid(equations: str = EQUATIONS) -> HybridODE:
    """The oscillator with a network for what is not known of it.

    Args:
        equations: `EQUATIONS` or `UNDAMPED`.
    """
    import udesys as ud

    parameters = {name: ud.Parameter(start, bounds=(0, None)) for name, start in STARTS.items() if name in equations}
    return ud.HybridODE(equations, parameters=parameters, inputs=("u",))


def test_errors(tests: dict[str, Dataset], simulated: Callable[[Dataset], np.ndarray]) -> dict[str, float]:
    """Part -> RMSE of an open-loop simulation [mV].

    Args:
        tests: the two records of the tests, as `read_parts` gives them.
        simulated: record -> states (time, 2).
    """
    from udesys.bench._measured import rmse

    errors = {}
    for name, data in tests.items():
        x, measured = simulated(data)[:, 0], data.trajectories[0].y[:, 0]
        errors[name] = 1e3 * rmse(measured[N_START:], x[N_START:])
        if name == "arrow":
            n = SPLIT.no_extrapolation
            errors[PARTS[2]] = 1e3 * rmse(measured[N_START:n], x[N_START:n])
    return errors


def read_parts(table: Path) -> tuple[Dataset, dict[str, Dataset]]:
    """The training part, and the two records of the tests.

    Args:
        table: the file.

    Raises:
        DataError: it lacks a column or has too few rows.
    """
    from udesys.data.cells import numbers
    from udesys.data.table import read_raw
    from udesys.errors import DataError, shortened

    raw = read_raw(table)
    for column in COLUMNS.values():
        if column not in raw.columns:
            has = shortened(list(raw.columns))
            message = f"{raw.source} has no column {column!r}; it has {has}."
            raise DataError(f"{message} Give the Silverbox table SNLS80mV.csv.", file=raw.source, column=column)
    first, end = SPLIT.multisine
    if len(raw.rows) < end:
        message = f"{raw.source} has {len(raw.rows)} rows of data, but the split needs {end}."
        raise DataError(f"{message} Give the whole Silverbox table SNLS80mV.csv.", file=raw.source)
    values = {name: numbers(raw, column) for name, column in COLUMNS.items()}
    cut = first + int(SPLIT.train_share * (end - first))
    test = {PARTS[0]: (cut, end), PARTS[1]: SPLIT.arrow}
    return _record(values, "training", (first, cut)), {n: _record(values, n, part) for n, part in test.items()}


def _record(values: dict[str, np.ndarray], name: str, rows: tuple[int, int]) -> Dataset:
    """Some rows as a dataset of one trajectory, its time in seconds from the first of them."""
    import numpy as np

    from udesys.data import Dataset, Trajectory

    part = slice(*rows)
    t = np.arange(rows[1] - rows[0]) / SAMPLING_RATE
    run = Trajectory(name=name, t=t, y=values["x"][part, None], u=values["u"][part, None])
    return Dataset(columns=("x",), trajectories=(run,), time="s", source="Silverbox", inputs={"u": INTERPOLATION})


def summary(runs: Sequence[Run]) -> dict[str, float]:
    """The test errors, the median of the seeds.

    Args:
        runs: of one seed or several.
    """
    return {
        name: statistics.median(r.test_rmse.get(part, math.inf) for r in runs)
        for part, name in zip(PARTS, TESTS, strict=True)
    }


def table(runs: Sequence[Run]) -> str:
    """Every fit with its test errors, and those of others, as Markdown.

    Args:
        runs: of one seed or several.
    """
    head = ["fit", "intervals, mV", "simulated, mV", "converged", "s"]
    rows = [
        [
            f"seed {r.seed}, {'all' if r.rows is None else r.rows} rows",
            _number(r.node_rmse),
            _number(r.train_rmse),
            "yes" if r.converged else "no",
            f"{r.seconds:.1f}",
        ]
        for r in runs
    ]
    notes = [f"- seed {r.seed}: {name} {v:.6g} +/- {e:.2g}" for r in runs for name, (v, e) in r.parameters.items()]
    notes += [f"- seed {r.seed}: {note}" for r in runs for note in (r.failure, *r.warnings) if note]
    found = summary(runs)
    cells = [[f"udesys, seed {r.seed}", *(_number(r.test_rmse.get(part)) for part in PARTS)] for r in runs]
    cells += [[who, *(_number(figures[name]) for name in TESTS)] for who, figures in RIVALS.items()]
    said = [f"{name}: {shortfall(found[name], LIMITS[name])}." for name in TESTS]
    return "\n\n".join(
        [markdown(head, rows), "\n".join(notes), markdown(["simulated open loop", *TESTS], cells), "\n".join(said)]
    )


def _number(value: float | None) -> str | None:
    return None if value is None else f"{value:.3f}"
