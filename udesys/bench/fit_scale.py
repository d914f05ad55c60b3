"""What a fit costs as the data grow: time of an iteration and peak memory, by samples and by trajectories.

An iteration is one of multiple shooting on the whole record. How much longer it takes than the one of the row before
is told per decade too: what tenfold samples would cost at that rate of growth.

Lotka-Volterra (Rackauckas et al., arXiv:2001.04385, its constants) goes round a closed orbit, so a record of any
length stays bounded: 1 % noise, a sample every 0.1, two tanh networks of the default size. Every fit runs alone in a
process of its own on one thread.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer

TITLE = "time of an iteration and peak memory of a fit, by samples and trajectories"
EXAMPLE = "udesys bench fit-scale --samples 10000"
SAMPLES = (100, 1_000, 10_000, 100_000)  # of one trajectory
TRAJECTORIES = (1, 10, 100, 300)
EACH = 30  # samples of every one of several trajectories
DT = 0.1
NOISE = 0.01
TOLERANCE = 1e-10  # of the data, far below the noise
SPREAD = 0.5  # the starts of several trajectories are scaled by up to exp(+-SPREAD)
LEAST_MIB = 1.0  # less than this is hidden by the small fit before, and no ratio is taken to it
STAGE = "multiple shooting"
HIGH_WATER = Path("/proc/self/status")


@dataclass(frozen=True, kw_only=True)
class Cost:
    """One fit and what it cost.

    Attributes:
        trajectories: how many.
        samples: rows in all.
        iterations: of multiple shooting on the whole record, without those on the windows that a long one starts from.
        iteration_seconds: one of them, on average.
        seconds: the whole fit.
        peak_mib: peak memory, beyond what the process had needed before it saw the data.
        converged: the fit says so.
        failure: why there are no figures.
    """

    trajectories: int
    samples: int
    iterations: int = 0
    iteration_seconds: float = 0.0
    seconds: float = 0.0
    peak_mib: float = 0.0
    converged: bool = False
    failure: str = ""


def run(
    samples: Annotated[
        list[int] | None, typer.Option(min=10, help="Only this many samples of one trajectory; may be repeated.")
    ] = None,
    trajectories: Annotated[
        list[int] | None, typer.Option(min=1, help="Only this many trajectories of 30 samples; may be repeated.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the noise and of the networks.")] = 0,
    json: Annotated[bool, typer.Option("--json", help="Print every fit as JSON instead of the table.")] = False,
) -> None:
    """Fit ever longer records and ever more trajectories, and print what an iteration costs."""
    if not samples and not trajectories:
        samples, trajectories = list(SAMPLES), list(TRAJECTORIES)
    blocks = {
        "One trajectory": [(1, n) for n in samples or ()],
        f"Trajectories of {EACH} samples": [(k, EACH) for k in trajectories or ()],
    }
    costs: list[Cost] = []
    for title, sizes in blocks.items():
        if sizes and not json:
            typer.echo(f"{title}\n{HEADER}")
        before = None
        for count, each in sizes:
            costs.append(measure_alone(count, each, seed))
            if not json:
                typer.echo(row(costs[-1], before))
            before = before if costs[-1].failure else costs[-1]
    if json:
        import json as writer

        typer.echo(writer.dumps([asdict(c) for c in costs], indent=1))


def measure_alone(trajectories: int, each: int, seed: int) -> Cost:
    """One fit in a process of its own.

    Args:
        trajectories: how many.
        each: samples of every trajectory.
        seed: of the noise and of the networks.
    """
    from udesys.bench._alone import run_alone

    typer.echo(f"\rfitting {trajectories * each} samples", nl=False, err=True)
    ended = run_alone(measure, trajectories, each, seed)
    typer.echo("\r" + " " * 30 + "\r", nl=False, err=True)
    if ended.failure:
        samples = trajectories * each
        return Cost(trajectories=trajectories, samples=samples, seconds=ended.seconds, failure=ended.failure)
    return ended.value


def measure(begin: Callable[[], None], trajectories: int, each: int, seed: int) -> Cost:
    """One fit in this process, after a small one that loads and compiles everything.

    Args:
        begin: called before the data are made.
        trajectories: how many.
        each: samples of every trajectory.
        seed: of the noise and of the networks.
    """
    from udesys.fit import fit

    model = make_model()
    fit(model, make_data(1, EACH, seed), seed=seed)
    before = peak_mib()
    begin()
    data = make_data(trajectories, each, seed)
    done, samples = fit(model, data, seed=seed), trajectories * each
    stages = [s for s in done.stages if s.name == STAGE and s.samples == samples]
    iterations = sum(s.iterations for s in stages)
    return Cost(
        trajectories=trajectories,
        samples=samples,
        iterations=iterations,
        iteration_seconds=sum(s.seconds for s in stages) / max(iterations, 1),
        seconds=done.seconds,
        peak_mib=peak_mib() - before,
        converged=done.converged,
    )


def make_model():
    """Lotka-Volterra without its two interactions; one activation, so that one restart is the whole fit."""
    from udesys.model import HybridODE, Network
    from udesys.systems import get_system

    system = get_system("lotka_volterra")
    networks = {name: Network(activation="tanh") for name in ("NN1", "NN2")}
    return HybridODE(system.equations, parameters=system.parameters, networks=networks)


def make_data(trajectories: int, each: int, seed: int):
    """Noisy Lotka-Volterra: one record from the study's start, or several from starts about it.

    Args:
        trajectories: how many.
        each: samples of every trajectory.
        seed: of the starts and of the noise.

    Returns:
        A `Dataset`.
    """
    import numpy as np
    from scipy.integrate import odeint

    from udesys.data import Dataset, Trajectory, add_noise
    from udesys.systems import get_system

    system, rng = get_system("lotka_volterra"), np.random.default_rng(seed)
    alpha, beta, gamma, delta = (system.constants[name] for name in ("alpha", "beta", "gamma", "delta"))

    def slope(x, t):
        return alpha * x[0] - beta * x[0] * x[1], gamma * x[0] * x[1] - delta * x[1]

    t, first, runs = DT * np.arange(each), np.array([system.starts[0][state] for state in system.states]), []
    for k in range(trajectories):
        scale = np.exp(rng.uniform(-SPREAD, SPREAD, len(first))) if trajectories > 1 else 1.0
        exact = odeint(slope, scale * first, t, rtol=TOLERANCE, atol=TOLERANCE)  # a tenth of `simulate`'s time
        runs.append(Trajectory(name=str(k), t=t, y=add_noise(exact, NOISE, rng)))
    return Dataset(columns=system.states, trajectories=tuple(runs), time="t", source=system.name)


def peak_mib() -> float:
    """Most memory this process has held so far [MiB].

    Linux keeps getrusage's figure over exec, so that of a process started by a large one begins with the starter's;
    /proc has the process' own.
    """
    if HIGH_WATER.exists():
        (line,) = (line for line in HIGH_WATER.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) / 1024
    import resource
    import sys

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / 2**20 if sys.platform == "darwin" else most / 1024


HEADER = (
    "samples  trajectories  iterations  s/iteration   total s  peak MiB   "
    "beside the row before: samples     time  per decade   memory"
)


def row(cost: Cost, before: Cost | None) -> str:
    """One fit as text, beside the one before it.

    Args:
        cost: the fit.
        before: the last one that has figures; None for the first.
    """
    line = f"{cost.samples:>7}  {cost.trajectories:>12}  "
    if cost.failure:
        return f"{line}failed after {cost.seconds:.1f} s: {cost.failure}"
    line += f"{cost.iterations:>10}  {cost.iteration_seconds:>11.3g}  {cost.seconds:>8.4g}  {cost.peak_mib:>8.0f}"
    if before:
        samples = cost.samples / before.samples
        time = _ratio(cost.iteration_seconds, before.iteration_seconds, 1e-9)
        decade = time ** (1 / math.log10(samples)) if time and samples > 1 else None
        memory = _ratio(cost.peak_mib, before.peak_mib, LEAST_MIB)
        ratios = ("-" if r is None else f"x{r:.3g}" for r in (samples, time, decade, memory))
        line += "{:>33}{:>9}{:>12}{:>9}".format(*ratios)
    return line if cost.converged else f"{line}  not converged"


def _ratio(now: float, before: float, least: float) -> float | None:
    """Of two figures; None where the one before is less than `least`."""
    return now / before if before >= least else None
