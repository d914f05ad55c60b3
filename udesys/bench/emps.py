"""EMPS, a measured drive with friction: the friction force as a network of the velocity.

Janot, Gautier & Brunot (2019), Data Set and Reference Models of EMPS, Workshop on Nonlinear System Identification
Benchmarks. The tables are not part of this package; they have the columns t_s, q_m (position) and force_N, every fifth
sample of the published records. A constant offset of the force is one with the network, which holds it.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from udesys.bench._parallel import attempt
from udesys.bench._record_law import shortfall
from udesys.bench._study import Jobs, Json, Keep, Part, Study, carry_out, markdown

if TYPE_CHECKING:
    from udesys.data import Dataset
    from udesys.model import HybridODE

TITLE = "EMPS, a measured drive: the friction in q'' = (F - NN(q'))/M"
EXAMPLE = "udesys bench emps identification.csv test.csv"
EQUATIONS = "q'' = (F - NN(q'))/M"
MASS_START = 90.0  # kg
INTERPOLATION = "cubic"  # of the force; "linear" has the worse evidence on the identification record
N_START = 20  # samples that the benchmark leaves out of the error
MASS, TEST = "M, kg", "RMSE q of the test record, mm"
IDIM, DYNONET = "Janot et al., IDIM-LS", "dynoNet, a black box, arXiv:2006.02250"
REFITTED = "Coulomb + viscous + offset, refitted"
PUBLISHED = {IDIM: {MASS: 95.11}}
RIVALS = {DYNONET: {TEST: 2.64}, REFITTED: {TEST: 4.93}}
LIMITS = {TEST: (4.9, 2.6)}  # the published form refitted, and the black box
HEADLINES = (TEST,)
LESS_IS_BETTER = HEADLINES


@dataclass(frozen=True, kw_only=True)
class Run:
    """One fit of the identification record and its simulations.

    Attributes:
        seed: of the network.
        mass: (value, standard error) [kg]; None where the fit failed, as the numbers below.
        node_rmse: of the identification record, interval by interval [mm].
        train_rmse: of the identification record, simulated from its fitted start [mm].
        test_rmse: of the test record, simulated open loop [mm].
        evidence: -2 log evidence up to a constant; lower is better.
        converged: what the fit says of itself.
        warnings: of the fit.
        seconds: of the fit.
        failure: what stopped it; empty where nothing did.
    """

    seed: int
    mass: tuple[float, float] | None = None
    node_rmse: float | None = None
    train_rmse: float | None = None
    test_rmse: float | None = None
    evidence: float | None = None
    converged: bool = False
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0
    failure: str = ""


def run(
    identification: Annotated[Path, typer.Argument(help="CSV of the identification record: t_s, q_m, force_N.")],
    test: Annotated[Path, typer.Argument(help="CSV of the test record, with the same columns.")],
    seed: Annotated[int, typer.Option(min=0, help="Seed of the network.")] = 0,
    seeds: Annotated[int, typer.Option(min=1, help="So many seeds, from that one on; the best evidence counts.")] = 1,
    part: Part = "1/1",
    jobs: Jobs = 1,
    keep: Keep = None,
    json: Json = False,
) -> None:
    """Fit the drive's friction by a network of the velocity and simulate the test record open loop."""
    for record in (identification, test):
        read_record(record)
    tasks = [(identification, test, seed + k) for k in range(seeds)]
    runs, seconds = carry_out(fit_once, tasks, warm_up, part=part, jobs=jobs, keep=keep)
    Study(
        bench="emps",
        summary=summary(runs),
        rows=runs,
        published=PUBLISHED,
        rivals=RIVALS,
        seconds=seconds,
        tables=table(runs),
    ).show(json)


def warm_up() -> None:
    """One thread a process."""
    import torch

    torch.set_num_threads(1)


def read_record(table: Path) -> Dataset:
    """One record with its force.

    Args:
        table: the file.

    Raises:
        DataError: the table cannot be read or lacks a column.
    """
    import udesys as ud

    force = {"column": "force_N", "interpolation": INTERPOLATION}
    return ud.read_table(table, time="t_s", columns={"q": "q_m"}, inputs={"F": force})


def fit_once(identification: Path, test: Path, seed: int) -> Run:
    """Fit one record and simulate the other; what goes wrong is written down, not raised.

    Args:
        identification: the table to fit.
        test: the table to simulate; its first samples tell where it starts.
        seed: of the network.
    """
    found, failure = attempt(lambda: _fitted(identification, test, seed))
    return found or Run(seed=seed, failure=failure)


def _fitted(identification: Path, test: Path, seed: int) -> Run:
    import udesys as ud
    from udesys.bench._measured import rmse, simulate_open_loop

    unseen = read_record(test)
    fit = ud.fit(hybrid(), read_record(identification), seed=seed)
    simulated, failure = attempt(lambda: simulate_open_loop(fit, unseen, N_START)[:, 0])
    measured = unseen.trajectories[0].y[:, 0]
    return Run(
        seed=seed,
        mass=fit.parameters["M"],
        node_rmse=1e3 * fit.node_error["q"],
        train_rmse=1e3 * fit.error["q"],
        test_rmse=None if failure else 1e3 * rmse(measured[N_START:], simulated[N_START:]),
        evidence=float(fit.evidence),
        converged=fit.converged,
        warnings=fit.warnings,
        seconds=fit.seconds,
        failure=failure,
    )


def hybrid() -> HybridODE:
    """The drive with a network for its friction; it starts near rest, and its encoder is exact to a micrometre."""
    import udesys as ud

    mass = ud.Parameter(MASS_START, bounds=(0, None), unit="kg")
    return ud.HybridODE(EQUATIONS, parameters={"M": mass}, inputs=("F",), initial={"q": "data", "q'": "data"})


def best_of(runs: Sequence[Run]) -> Run | None:
    """The converged fit of the best evidence; that of an open fit means nothing. None where all failed.

    Args:
        runs: of several seeds; where none converged, the smallest simulated error decides.
    """
    made = [r for r in runs if not r.failure]
    converged = [r for r in made if r.converged]
    if converged:
        return min(converged, key=lambda r: r.evidence)
    return min(made, key=lambda r: r.train_rmse if math.isfinite(r.train_rmse) else math.inf, default=None)


def summary(runs: Sequence[Run]) -> dict[str, float]:
    """The mass and the test error of the best fit, and the median and the largest test error of all.

    Args:
        runs: of several seeds.
    """
    best = best_of(runs)
    if best is None:
        return {}
    errors = [math.inf if r.test_rmse is None else r.test_rmse for r in runs]
    return {
        TEST: best.test_rmse,
        MASS: best.mass[0],
        "RMSE q of the test record, median of the seeds, mm": statistics.median(errors),
        "RMSE q of the test record, largest of the seeds, mm": max(errors),
    }


def table(runs: Sequence[Run]) -> str:
    """Every fit, and the best one beside the published errors, as Markdown.

    Args:
        runs: of several seeds.
    """
    head = ["seed", MASS, "+/-", "intervals, mm", "simulated, mm", "test, mm", "evidence", "converged", "s"]
    rows = [
        [r.seed, *(("failed",) + (None,) * 7)]
        if r.mass is None
        else [
            r.seed,
            f"{r.mass[0]:.3f}",
            f"{r.mass[1]:.2g}",
            f"{r.node_rmse:.4f}",
            f"{r.train_rmse:.3f}",
            None if r.test_rmse is None else f"{r.test_rmse:.3f}",
            f"{r.evidence:.1f}",
            "yes" if r.converged else "no",
            f"{r.seconds:.1f}",
        ]
        for r in runs
    ]
    parts = [markdown(head, rows)]
    notes = [f"- seed {r.seed}: {note}" for r in runs for note in (r.failure, *r.warnings) if note]
    parts += ["\n".join(notes)] if notes else []
    found = summary(runs)
    if found:
        best = best_of(runs)
        others = {f"udesys, seed {best.seed}, the best of {len(runs)}": found, **PUBLISHED, **RIVALS}
        cells = [[who, _cell(figures.get(TEST)), _cell(figures.get(MASS))] for who, figures in others.items()]
        parts += [markdown(["", TEST, MASS], cells), f"{TEST}: {shortfall(found[TEST], LIMITS[TEST])}."]
    return "\n\n".join(parts)


def _cell(value: float | None) -> str | None:
    return None if value is None else f"{value:.2f}"
