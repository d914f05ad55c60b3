"""How long a fit to the noise floor takes, beside torchdiffeq and diffrax on the same data and network.

The Lotka-Volterra study (Rackauckas et al., arXiv:2001.04385): p = (1.3, 0.9, 0.8, 1.8), 31 samples, noise of 0.5 % of
each state's mean, one tanh network 2-5-5-5-2 with a linear skip for both missing terms. A contestant is done when the
mean squared error of one simulation comes within 5 % of that of the true system. udesys counts with its whole `fit`,
and fits the start too; the rivals end the moment their loss is there, and start from the first row, as published.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from importlib import util
from typing import Annotated

import typer

from udesys.bench._study import Json, Keep, Part, Study, carry_out, markdown
from udesys.errors import UdesysError

TITLE = "seconds to the noise floor of Lotka-Volterra, beside torchdiffeq and diffrax"
EXAMPLE = "udesys bench fit-speed --seeds 1 --limit 60"
HEADLINES = ("median s*", "times faster*")
LESS_IS_BETTER = HEADLINES[:1]
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
OWN = "udesys, the whole fit"
ROWS = {  # row of the table -> (contestant, with compilation, its name where times are told)
    OWN: ("udesys", True, "udesys"),
    "torchdiffeq, Adam then L-BFGS": ("torchdiffeq", True, "torchdiffeq"),
    "diffrax, Adam then BFGS": ("diffrax", True, "diffrax"),
    "diffrax, Adam then BFGS, once compiled": ("diffrax", False, "diffrax once compiled"),
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
    seed: Annotated[int, typer.Option(min=0, help="Of the first table and its weights; the others count on.")] = 0,
    part: Part = "1/1",
    keep: Keep = None,
    json: Json = False,
) -> None:
    """Fit the Lotka-Volterra hybrid to its noise floor with udesys and two rivals, one at a time on one thread each."""
    contestants = ["udesys", *_installed(rivals)]
    tasks = [(name, seed + k, limit) for k in range(seeds) for name in contestants]
    runs, seconds = carry_out(run_once, tasks, None, part=part, keep=keep, here=True)
    Study(
        bench="fit-speed",
        summary=summary(runs),
        rows=runs,
        published={},
        rivals={label: _numbers(times) for label, times in _times(runs).items() if label != OWN},
        packages=sorted({package for packages in NEEDS.values() for package in packages}),
        seconds=seconds,
        tables=table(runs),
    ).show(json)


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


# ------------------------------------------------------------------ times
@dataclass(frozen=True)
class _Time:
    """A time, or a ratio of two, that may be known from one side only: ">" from below, "<" from above."""

    value: float
    side: str = ""

    def __str__(self) -> str:
        return f"{self.side}{_digits(self.value)}"

    def named(self, name: str) -> dict[str, object]:
        """It by its name, which says where it is known from one side only."""
        return {name + {"": "", ">": ", at least", "<": ", at most"}[self.side]: self.value}


def _digits(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _times(runs: Sequence[Run]) -> dict[str, list[_Time]]:
    """Row of the table -> its contestant's times, for every contestant that ran."""

    def spent(run: Run, compiled: bool) -> _Time:
        return _Time(run.seconds + compiled * run.compile_seconds, "" if run.reached else ">")

    found = {
        label: [spent(r, compiled) for r in runs if r.contestant == contestant]
        for label, (contestant, compiled, _) in ROWS.items()
    }
    return {label: times for label, times in found.items() if times}


def _median(times: Sequence[_Time]) -> _Time:
    """The median, known from below where a run that failed could have moved it."""
    low = statistics.median(t.value for t in times)
    return _Time(low, "" if low == statistics.median(math.inf if t.side else t.value for t in times) else ">")


def _ratio(rival: _Time, own: _Time) -> _Time | None:
    """How many times longer a rival takes; None where nothing is known of it."""
    if rival.side and own.side:
        return None
    return _Time(rival.value / own.value, rival.side or ("<" if own.side else ""))


# ------------------------------------------------------------------ figures
def summary(runs: Sequence[Run]) -> dict[str, object]:
    """The headline numbers: udesys' time, how often it came to the noise floor, and how many times faster it is.

    A number that is a bound, as a rival did not come to the noise floor, has that in its name.

    Args:
        runs: of any contestants.
    """
    times = _times(runs)
    if OWN not in times:
        return {}
    found, own = _numbers(times[OWN]), _median(times[OWN])
    for label, spent in times.items():
        ratio = None if label == OWN else _ratio(_median(spent), own)
        found |= ratio.named(f"times faster than {ROWS[label][2]}") if ratio else {}
    return found


def _numbers(times: Sequence[_Time]) -> dict[str, object]:
    reached = 100 * sum(not t.side for t in times) / len(times)
    return {**_median(times).named("median s"), "at the noise floor, % of runs": reached}


def table(runs: Sequence[Run]) -> str:
    """All contestants, and the runs that failed, as Markdown."""
    if not runs:
        return "no runs"
    seeds = len({r.seed for r in runs})
    times = _times(runs)
    own = _median(times[OWN]) if OWN in times else None
    rows = []
    for label, spent in times.items():
        ordered = sorted(spent, key=lambda t: t.value)
        failures = f"{sum(bool(t.side) for t in spent)} of {len(spent)}"
        ratio = own and _ratio(_median(spent), own)
        rows.append([label, _median(spent), f"{ordered[0]} to {ordered[-1]}", failures, ratio])
    lines = [
        f"Lotka-Volterra, 31 rows, {100 * NOISE:g} % noise, tanh network 2-5-5-5-2, {seeds} seeds, one thread each:",
        "seconds until the mean squared error of one simulation is within 5 % of the noise floor.",
        "",
        markdown(("contestant", "median s", "from, to", "failures", "times udesys"), rows),
    ]
    failed = [r for r in runs if not r.reached]
    if failed:
        lines += ["", "Times with > were spent without coming there: a lower bound.", ""]
    for r in failed:
        where = "" if r.loss is None else f", at {r.loss:.3g} times the floor"
        lines.append(f"- failed, {r.contestant}, seed {r.seed}: {r.failure}{where}")
    return "\n".join(lines)
