"""How long a fit to the noise floor takes, beside torchdiffeq and diffrax on the same data and network.

The Lotka-Volterra study (Rackauckas et al., arXiv:2001.04385): p = (1.3, 0.9, 0.8, 1.8), 31 samples, noise of 0.5 % of
each state's mean, one tanh network 2-5-5-5-2 with a linear skip for both missing terms. A contestant is done when the
mean squared error of one simulation comes within 5 % of that of the true system. udesys counts with its whole `fit`,
and fits the start too; the rivals end the moment their loss is there, and start from the first row, as published.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass
from enum import StrEnum
from importlib import util
from typing import Annotated

import typer

from udesys.errors import UdesysError

TITLE = "seconds to the noise floor of Lotka-Volterra, beside torchdiffeq and diffrax"
EXAMPLE = "udesys bench fit-speed --seeds 1 --limit 60"
NOISE = 0.005
NEAR = 1.05  # times the noise floor counts as there
WARM_UP_SEED = 999  # of the fit before the one that counts
GRACE = 10.0  # seconds beyond the limit, for one evaluation that never ends
INSTALL = 'pip install "udesys[bench]"'
EQUATIONS = """
prey' = alpha*prey + NN(prey, predator)[0]
predator' = NN(prey, predator)[1] - delta*predator
"""
# XLA on one thread; its compiler may still use a second one.
XLA = {
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
    "JAX_PLATFORMS": "cpu",
    "JAX_ENABLE_X64": "1",
}
ROWS = {  # row of the table -> (contestant, with compilation)
    "udesys, the whole fit": ("udesys", True),
    "torchdiffeq, Adam then L-BFGS": ("torchdiffeq", True),
    "diffrax, Adam then BFGS, compiled": ("diffrax", False),
    "    with its compilation": ("diffrax", True),
}


class Rival(StrEnum):
    """Who else may run."""

    TORCHDIFFEQ = "torchdiffeq"
    DIFFRAX = "diffrax"


NEEDS = {Rival.TORCHDIFFEQ: ("torch", "torchdiffeq"), Rival.DIFFRAX: ("jax", "diffrax", "optax", "optimistix")}


@dataclass(frozen=True, kw_only=True)
class Run:
    """One contestant's fit of one noisy table.

    Attributes:
        contestant: udesys, torchdiffeq or diffrax.
        seed: of the noise and of the weights.
        reached: it came within 5 % of the noise floor.
        seconds: until then, or spent without coming there; without imports and compilation.
        compile_seconds: compilation beside them.
        loss: mean squared error at the end, in units of the noise floor; None where there is none.
        steps: evaluations of the loss in Adam, and after it.
        failure: why it never came there.
    """

    contestant: str
    seed: int
    reached: bool
    seconds: float
    compile_seconds: float = 0.0
    loss: float | None = None
    steps: tuple[int, int] = (0, 0)
    failure: str = ""


def run(
    seeds: Annotated[int, typer.Option(min=1, help="Noisy tables and starting weights.")] = 5,
    limit: Annotated[float, typer.Option(min=0.001, help="Seconds after which a rival's run is a failure.")] = 300.0,
    rivals: Annotated[list[Rival] | None, typer.Option(help="Only this one; may be repeated.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print every run as JSON instead of the table.")] = False,
) -> None:
    """Fit the Lotka-Volterra hybrid to its noise floor with udesys and two rivals, on one thread each."""
    contestants = ["udesys", *_installed(rivals)]
    tasks = [(name, seed) for seed in range(seeds) for name in contestants]
    runs: list[Run] = []
    for name, seed in tasks:
        typer.echo(f"\r{len(runs)} of {len(tasks)} runs, now {name:<12}", nl=False, err=True)
        runs.append(run_once(name, seed, limit))
    typer.echo("\r" + " " * 50 + "\r", nl=False, err=True)
    if json:
        import json as writer

        typer.echo(writer.dumps([asdict(r) for r in runs], indent=1))
    else:
        typer.echo(table(runs))


def _installed(rivals: list[Rival] | None) -> list[str]:
    """The rivals to run: those asked for, or all that are installed."""
    missing = {name: [m for m in NEEDS[name] if util.find_spec(m) is None] for name in rivals or NEEDS}
    lines = [
        f"{name} cannot run: {', '.join(m)} {'is' if len(m) == 1 else 'are'} not installed."
        for name, m in missing.items()
        if m
    ]
    if lines and rivals:
        raise UdesysError(f"{' '.join(lines)} Install what is missing: {INSTALL}")
    if lines:
        typer.echo(f"{' '.join(lines)} It is left out; install what is missing: {INSTALL}", err=True)
    return [name.value for name, m in missing.items() if not m]


def run_once(contestant: str, seed: int, limit: float) -> Run:
    """One fit in a process of its own.

    Args:
        contestant: udesys, torchdiffeq or diffrax.
        seed: of the noise and of the weights.
        limit: seconds, for a rival.
    """
    from udesys.bench._alone import run_alone

    hard = None if contestant == "udesys" else limit + GRACE
    ended = run_alone(_work, contestant, seed, limit, limit=hard, environment=XLA)
    if ended.failure:
        return Run(
            contestant=contestant,
            seed=seed,
            reached=False,
            seconds=min(ended.seconds, limit) if hard else ended.seconds,
            failure=ended.failure,
        )
    return ended.value


def _work(begin: Callable[[], None], contestant: str, seed: int, limit: float) -> Run:
    import torch

    from udesys.bench import _rivals

    torch.set_num_threads(1)
    case = make_case(seed)
    train = {"udesys": fit_udesys, "torchdiffeq": _rivals.train_torchdiffeq, "diffrax": _rivals.train_diffrax}
    done = train[contestant](case, seed, limit, begin)
    return Run(
        contestant=contestant,
        seed=seed,
        reached=done.reached,
        seconds=done.seconds,
        compile_seconds=done.compile_seconds,
        loss=done.loss / case.floor if math.isfinite(done.loss) else None,
        steps=done.steps,
        failure=done.failure,
    )


def make_case(seed: int):
    """The noisy table of a seed with its noise floor, as a `Case`."""
    from udesys.bench._rivals import Case
    from udesys.systems import get_system, make_data, simulate

    system = get_system("lotka_volterra")
    (noisy,) = make_data(system, NOISE, seed).trajectories
    (exact,) = simulate(system).trajectories
    floor = float(((noisy.y - exact.y) ** 2).mean())
    known = (system.constants["alpha"], -system.constants["delta"])
    return Case(t=noisy.t, y=noisy.y, floor=floor, target=NEAR * floor, known=known)


def make_model():
    """The hybrid as udesys takes it; the growth rates are given."""
    from udesys.bench._rivals import SIZES
    from udesys.model import HybridODE, Network
    from udesys.systems import get_system

    network = Network(hidden=SIZES[1:-1], activation="tanh", products=False)
    return HybridODE(EQUATIONS, parameters=get_system("lotka_volterra").parameters, networks={"NN": network})


def fit_udesys(case, seed: int, limit: float, begin: Callable[[], None]):
    """`fit` from beginning to end, then one simulation from its fitted start.

    Args:
        case: as `make_case`.
        seed: of the noise and of the weights.
        limit: not used; a fit ends by itself.
        begin: called after the warm-up.

    Returns:
        A `Training`.
    """
    import time

    from udesys.bench._rivals import Training
    from udesys.fit import fit
    from udesys.systems import get_system, make_data

    system, model = get_system("lotka_volterra"), make_model()
    fit(model, make_data(system, NOISE, WARM_UP_SEED), seed=WARM_UP_SEED)
    data = make_data(system, NOISE, seed)
    begin()
    began = time.perf_counter()
    fitted = fit(model, data, seed=seed)
    seconds = time.perf_counter() - began
    loss = float(((fitted.simulate(case.t) - case.y) ** 2).mean())
    reached = loss <= case.target
    failure = "" if reached else f"the fit ended there ({'' if fitted.converged else 'not '}converged)"
    return Training(reached=reached, seconds=seconds, loss=loss, failure=failure)


# ------------------------------------------------------------------ the table
@dataclass(frozen=True)
class _Time:
    """A time that may be known from below only."""

    seconds: float
    bound: bool = False

    def __str__(self) -> str:
        return f"{'>' if self.bound else ''}{_digits(self.seconds)}"


def _digits(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _spent(found: Run, compiled: bool) -> _Time:
    return _Time(found.seconds + compiled * found.compile_seconds, not found.reached)


def _median(times: list[_Time]) -> _Time:
    """The median, known from below where a run that failed could have moved it."""
    low = statistics.median(t.seconds for t in times)
    return _Time(low, low != statistics.median(math.inf if t.bound else t.seconds for t in times))


def _ratio(rival: _Time, own: _Time) -> str:
    if rival.bound and own.bound:
        return "-"
    mark = ">" if rival.bound else "<" if own.bound else ""
    return f"{mark}{_digits(rival.seconds / own.seconds)}"


def table(runs: list[Run]) -> str:
    """All contestants, and the runs that failed, as text."""
    seeds = len({r.seed for r in runs})
    lines = [
        f"Lotka-Volterra, 31 rows, {100 * NOISE:g} % noise, tanh network 2-5-5-5-2, {seeds} seeds, one thread each",
        "Seconds until the mean squared error of one simulation is within 5 % of the noise floor",
        f"{'':<36}{'median':>8}  {'min .. max':>16}  {'failures':>9}  {'times udesys':>12}",
    ]
    own = _median([_spent(r, True) for r in runs if r.contestant == "udesys"])
    for label, (contestant, compiled) in ROWS.items():
        times = [_spent(r, compiled) for r in runs if r.contestant == contestant]
        if not times:
            continue
        median, ordered = _median(times), sorted(times, key=lambda t: t.seconds)
        spread = f"{ordered[0]} .. {ordered[-1]}"
        failures = f"{sum(t.bound for t in times)} of {len(times)}"
        lines.append(f"{label:<36}{median!s:>8}  {spread:>16}  {failures:>9}  {_ratio(median, own):>12}")
    for r in runs:
        if not r.reached:
            where = "" if r.loss is None else f", at {r.loss:.3g} times the floor"
            lines.append(f"    failed, {r.contestant}, seed {r.seed}: {r.failure}{where}")
    if any(not r.reached for r in runs):
        lines.append("> the time spent without coming there: a lower bound")
    return "\n".join(lines)
