"""What a fit costs as the data grow: time of an iteration and peak memory, by samples and by trajectories.

An iteration is one of multiple shooting on the whole record. How much longer it takes than the one of the row before
is told per decade too: what tenfold samples would cost at that rate of growth.

Lotka-Volterra (Rackauckas et al., arXiv:2001.04385, its constants) goes round a closed orbit, so a record of any
length stays bounded: 1 % noise, a sample every 0.1, two tanh networks of the default size. Every fit runs alone in a
process of its own on one thread.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from udesys.bench._study import Json, Keep, Part, Study, carry_out, markdown

TITLE = "time of an iteration and peak memory of a fit, by samples and trajectories"
EXAMPLE = "udesys bench fit-scale --samples 10000"
HEADLINES = (
    "s per iteration, 10000 samples",
    *(f"{what}, 100000 samples" for what in ("s per iteration", "s", "peak MiB")),
)
LESS_IS_BETTER = HEADLINES
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
class Run:
    """One fit and what it cost.

    Attributes:
        trajectories: how many.
        samples: rows in all.
        seed: of the noise and of the networks.
        iterations: of multiple shooting on the whole record, without those on the windows that a long one starts from.
        iteration_seconds: one of them, on average.
        seconds: the whole fit.
        peak_mib: peak memory, beyond what the process had needed before it saw the data.
        converged: the fit says so.
        failure: why there are no figures.
    """

    trajectories: int
    samples: int
    seed: int
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
    part: Part = "1/1",
    keep: Keep = None,
    json: Json = False,
) -> None:
    """Fit ever longer records and ever more trajectories, one at a time, and print what an iteration costs."""
    if not samples and not trajectories:
        samples, trajectories = list(SAMPLES), list(TRAJECTORIES)
    sizes = [*((1, n) for n in samples or ()), *((k, EACH) for k in trajectories or ())]
    tasks = [(count, each, seed) for count, each in dict.fromkeys(sizes)]
    runs, seconds = carry_out(measure_alone, tasks, None, part=part, keep=keep, here=True)
    Study(
        bench="fit-scale",
        summary=summary(runs),
        rows=runs,
        published={},
        rivals={},
        seconds=seconds,
        tables=table(runs),
    ).show(json)


def measure_alone(trajectories: int, each: int, seed: int) -> Run:
    """One fit in a process of its own.

    Args:
        trajectories: how many.
        each: samples of every trajectory.
        seed: of the noise and of the networks.
    """
    from udesys.bench._alone import run_alone

    ended = run_alone(measure, trajectories, each, seed)
    if ended.failure:
        samples = trajectories * each
        return Run(trajectories=trajectories, samples=samples, seed=seed, seconds=ended.seconds, failure=ended.failure)
    return ended.value


def measure(begin: Callable[[], None], trajectories: int, each: int, seed: int) -> Run:
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
    return Run(
        trajectories=trajectories,
        samples=samples,
        seed=seed,
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


# ------------------------------------------------------------------ figures
def summary(runs: Sequence[Run]) -> dict[str, object]:
    """The headline numbers of every size: seconds of an iteration and of the fit, and peak memory; None if it failed.

    Args:
        runs: of any sizes.
    """
    found: dict[str, object] = {}
    for run in runs:
        size = f"{run.samples} samples"
        if _of_many(run):
            size = f"{run.trajectories} trajector{'y' if run.trajectories == 1 else 'ies'} of {EACH} samples"
        figures = (run.iteration_seconds, run.seconds, run.peak_mib) if not run.failure else (None, None, None)
        found |= {f"{what}, {size}": v for what, v in zip(("s per iteration", "s", "peak MiB"), figures, strict=True)}
    return found


def table(runs: Sequence[Run]) -> str:
    """One trajectory that grows, then ever more of them, each size beside the one before, as Markdown.

    Args:
        runs: of any sizes.
    """
    head = ("samples", "trajectories", "iterations", "s/iteration", "total s", "peak MiB")
    beside = ("times the samples", "the time", "per decade", "the memory")
    parts = []
    for title, many in (("One trajectory", False), (f"Trajectories of {EACH} samples", True)):
        rows, notes, before = [], [], None
        for run in (r for r in runs if _of_many(r) == many):
            rows.append(_row(run, before))
            if run.failure:
                notes.append(f"- {run.samples} samples failed after {run.seconds:.1f} s: {run.failure}")
                continue
            before = run
            if not run.converged:
                notes.append(f"- {run.samples} samples: the fit did not converge.")
        if rows:
            whole = f"{title}, and what each costs beside the size before\n\n{markdown([*head, *beside], rows)}"
            parts.append("\n".join([whole, *(["", *notes] if notes else [])]))
    return "\n\n".join(parts) or "no runs"


def _of_many(run: Run) -> bool:
    """Whether it is one of the sizes that grow by trajectories."""
    return run.samples == EACH * run.trajectories


def _row(run: Run, before: Run | None) -> list[object]:
    """One fit beside the last one before it that has figures."""
    size = [run.samples, run.trajectories]
    if run.failure:
        return [*size, *[None] * 8]
    ratios: list[float | None] = [None] * 4
    if before:
        samples = run.samples / before.samples
        time = _ratio(run.iteration_seconds, before.iteration_seconds, 1e-9)
        decade = time ** (1 / math.log10(samples)) if time and samples > 1 else None
        ratios = [samples, time, decade, _ratio(run.peak_mib, before.peak_mib, LEAST_MIB)]
    figures = (f"{run.iteration_seconds:.3g}", f"{run.seconds:.4g}", f"{run.peak_mib:.0f}")
    return [*size, run.iterations, *figures, *(None if r is None else f"x{r:.3g}" for r in ratios)]


def _ratio(now: float, before: float, least: float) -> float | None:
    """Of two figures; None where the one before is less than `least`."""
    return now / before if before >= least else None
