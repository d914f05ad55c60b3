"""EMPS, a measured drive with friction: the friction force as a network of the velocity.

Janot, Gautier & Brunot (2019), Data Set and Reference Models of EMPS, Workshop on Nonlinear System Identification
Benchmarks. The tables are not part of this package; they have the columns t_s, q_m (position) and force_N, every fifth
sample of the published records. A constant offset of the force is one with the network, which holds it.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from udesys.data import Dataset

TITLE = "EMPS, a measured drive: the friction in q'' = (F - NN(q'))/M"
EXAMPLE = "udesys bench emps identification.csv test.csv"
EQUATIONS = "q'' = (F - NN(q'))/M"
MASS_START = 90.0  # kg
INTERPOLATION = "cubic"  # of the force; "linear" has the worse evidence on the identification record
N_START = 20  # samples that the benchmark leaves out of the error
PUBLISHED = {  # RMSE of the test record [mm]
    "dynoNet, a black box": 2.64,
    "Coulomb + viscous + offset, refitted": 4.93,
    "one-file prototype of this fit": 4.36,
}
PUBLISHED_MASS = 95.11  # kg, by IDIM-LS


@dataclass(frozen=True, kw_only=True)
class Result:
    """One fit of the identification record and its simulations.

    Attributes:
        seed: of the network.
        mass: (value, standard error) [kg].
        node_rmse: of the identification record, interval by interval [mm].
        train_rmse: of the identification record, simulated from its fitted start [mm].
        test_rmse: of the test record, simulated open loop [mm].
        evidence: -2 log evidence up to a constant; lower is better.
        converged: what the fit says of itself.
        warnings: of the fit.
        seconds: of the fit.
    """

    seed: int
    mass: tuple[float, float]
    node_rmse: float
    train_rmse: float
    test_rmse: float
    evidence: float
    converged: bool
    warnings: tuple[str, ...]
    seconds: float


def run(
    identification: Annotated[Path, typer.Argument(help="CSV of the identification record: t_s, q_m, force_N.")],
    test: Annotated[Path, typer.Argument(help="CSV of the test record, with the same columns.")],
    seeds: Annotated[int, typer.Option(min=1, help="Fits, each from weights of its own.")] = 1,
    json: Annotated[bool, typer.Option("--json", help="Print every fit as JSON.")] = False,
) -> None:
    """Fit the drive's friction by a network of the velocity and simulate the test record open loop."""
    known, unseen = read_record(identification), read_record(test)
    results = [fit_and_test(known, unseen, seed) for seed in range(seeds)]
    if json:
        import json as writer

        typer.echo(writer.dumps([asdict(r) for r in results], indent=1))
    else:
        typer.echo(report(results))


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


def fit_and_test(identification: Dataset, test: Dataset, seed: int = 0) -> Result:
    """Fit one record and simulate the other.

    Args:
        identification: to fit.
        test: to simulate; its first samples tell where it starts.
        seed: of the network.
    """
    import udesys as ud
    from udesys.bench._measured import rmse, simulate_open_loop

    mass = ud.Parameter(MASS_START, bounds=(0, None), unit="kg")
    start = {"q": "data", "q'": "data"}  # the drive starts near rest, and its encoder is exact to a micrometre
    model = ud.HybridODE(EQUATIONS, parameters={"M": mass}, inputs=("F",), initial=start)
    fit = ud.fit(model, identification, seed=seed)
    simulated = simulate_open_loop(fit, test, N_START)[:, 0]
    return Result(
        seed=seed,
        mass=fit.parameters["M"],
        node_rmse=1e3 * fit.node_error["q"],
        train_rmse=1e3 * fit.error["q"],
        test_rmse=1e3 * rmse(test.trajectories[0].y[N_START:, 0], simulated[N_START:]),
        evidence=float(fit.evidence),
        converged=fit.converged,
        warnings=fit.warnings,
        seconds=fit.seconds,
    )


def best_of(results: list[Result]) -> Result:
    """The converged fit of the best evidence; that of an open fit means nothing.

    Args:
        results: of several seeds; where none converged, the smallest simulated error decides.
    """
    converged = [r for r in results if r.converged]
    if converged:
        return min(converged, key=lambda r: r.evidence)
    return min(results, key=lambda r: r.train_rmse if math.isfinite(r.train_rmse) else math.inf)


def report(results: list[Result]) -> str:
    """Every fit, and the best one beside the published errors, as text.

    Args:
        results: of several seeds.
    """
    lines = ["seed      M, kg   +/-     nodes, mm   simulated, mm   test, mm     evidence   converged   seconds"]
    for r in results:
        lines.append(
            f"{r.seed:4d}   {r.mass[0]:8.3f}   {r.mass[1]:<6.2g}  {r.node_rmse:9.4f}   {r.train_rmse:13.3f}"
            f"   {r.test_rmse:8.3f}   {r.evidence:10.1f}   {'yes' if r.converged else 'no':<9}   {r.seconds:7.1f}"
        )
        lines += [f"       Warning: {w}" for w in r.warnings]
    best = best_of(results)
    lines.append("Open-loop RMSE of the test record, mm")
    for name, error in ({f"udesys, seed {best.seed}, the best of {len(results)}": best.test_rmse} | PUBLISHED).items():
        lines.append(f"  {name:<38} {error:.2f}")
    lines.append(f"M {best.mass[0]:.2f} kg, published {PUBLISHED_MASS} kg")
    return "\n".join(lines)
