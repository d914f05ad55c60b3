"""The Silverbox, a measured electronic Duffing oscillator: the restoring force from input and output alone.

Wigren & Schoukens (2013), ECC, Three free data sets for development and benchmarking in nonlinear system
identification; the split of nonlinearbenchmark.org. The table is not part of this package; it has the columns V1 (the
input) and V2 (the output) in volts, 131,072 rows at 1e7/2^14 Hz. A constant offset would be one with the network, which
holds it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import numpy as np

    from udesys.data import Dataset

TITLE = "Silverbox, a measured Duffing oscillator: x'' = gain*u - c*x' - NN(x)"
EXAMPLE = "udesys bench silverbox SNLS80mV.csv"
EQUATIONS = "x'' = gain*u - c*x' - NN(x)"
STARTS = {"gain": 1e5, "c": 50.0}  # orders of magnitude [1/s^2, 1/s]; the resonance is near 70 Hz
INTERPOLATION = "cubic"
SAMPLING_RATE = 1e7 / 2**14  # Hz
COLUMNS = {"u": "V1", "x": "V2"}
N_START = 50  # samples that the split leaves out of every error
PARTS = ("multisine", "arrow", "arrow, no extrapolation")
PUBLISHED = {  # RMSE of the parts [mV]
    "GRU": (1.49, 2.80, 0.95),
    "cubic oscillator by hand": (0.35, 0.52, 0.36),
    "one-file prototype of this fit": (0.304, 0.350, 0.304),
}


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
class Result:
    """One fit of the training part and its open-loop simulations.

    Attributes:
        rows: trained on.
        seed: of the network.
        parameters: name -> (value, standard error).
        node_rmse: of the training part, interval by interval [mV].
        train_rmse: of the training part, simulated from its fitted start [mV].
        test_rmse: part -> RMSE of an open-loop simulation [mV].
        converged: what the fit says of itself.
        warnings: of the fit.
        seconds: of the fit.
    """

    rows: int
    seed: int
    parameters: dict[str, tuple[float, float]]
    node_rmse: float
    train_rmse: float
    test_rmse: dict[str, float]
    converged: bool
    warnings: tuple[str, ...]
    seconds: float


def run(
    table: Annotated[Path, typer.Argument(help="CSV with V1 (input) and V2 (output) [V], 131,072 rows.")],
    rows: Annotated[int | None, typer.Option(min=10, help="Train on the first rows only.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the network.")] = 0,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Fit the Silverbox's restoring force by a network and simulate the three test parts open loop."""
    result = fit_and_test(table, rows, seed)
    if json:
        import json as writer

        typer.echo(writer.dumps(asdict(result), indent=1))
    else:
        typer.echo(report(result))


def fit_and_test(table: Path, rows: int | None = None, seed: int = 0) -> Result:
    """Fit the training part and simulate the test parts.

    Args:
        table: the file.
        rows: training rows used, from the first on; all where it is None.
        seed: of the network.

    Raises:
        DataError: the table is not the Silverbox's.
    """
    import udesys as ud
    from udesys.bench._measured import first_rows, rmse, simulate_open_loop

    train, tests = read_parts(table)
    train = train if rows is None else first_rows(train, rows)
    model = ud.HybridODE(
        EQUATIONS,
        parameters={name: ud.Parameter(start, bounds=(0, None)) for name, start in STARTS.items()},
        inputs=("u",),
    )
    fit = ud.fit(model, train, seed=seed)
    errors = {}
    for name, data in tests.items():
        simulated, measured = simulate_open_loop(fit, data, N_START)[:, 0], data.trajectories[0].y[:, 0]
        errors[name] = 1e3 * rmse(measured[N_START:], simulated[N_START:])
        if name == "arrow":
            n = SPLIT.no_extrapolation
            errors[PARTS[2]] = 1e3 * rmse(measured[N_START:n], simulated[N_START:n])
    return Result(
        rows=train.n_samples,
        seed=seed,
        parameters=dict(fit.parameters),
        node_rmse=1e3 * fit.node_error["x"],
        train_rmse=1e3 * fit.error["x"],
        test_rmse=errors,
        converged=fit.converged,
        warnings=fit.warnings,
        seconds=fit.seconds,
    )


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


def report(result: Result) -> str:
    """The errors beside the published ones, as text.

    Args:
        result: of a fit.
    """
    end = "converged" if result.converged else "not converged"
    lines = [f"Silverbox  trained on {result.rows} rows, seed {result.seed}   {end} in {result.seconds:.1f} s"]
    lines += [f"  {name:<6} {value:>10.6g} +/- {error:.2g}" for name, (value, error) in result.parameters.items()]
    lines.append(
        f"  training part: RMSE {result.node_rmse:.3f} mV interval by interval, {result.train_rmse:.3f} mV simulated"
    )
    lines.append(f"{'Open-loop RMSE, mV':<32}" + "".join(f"{part:>{len(part) + 3}}" for part in PARTS))
    found = {"udesys": tuple(result.test_rmse[part] for part in PARTS)}
    for name, errors in (found | PUBLISHED).items():
        cells = (f"{error:>{len(part) + 3}.3f}" for part, error in zip(PARTS, errors, strict=True))
        lines.append(f"  {name:<30}" + "".join(cells))
    return "\n".join([*lines, *(f"  Warning: {w}" for w in result.warnings)])
