"""How often the 95 % intervals of the constants hold the truth: by the covariance, and by the profile likelihood.

The Lotka-Volterra study (arXiv:2001.04385) with alpha and delta estimated too: 31 samples, Gaussian noise. Every table
is used twice. First its law is discovered, both interactions unknown, by `sparse` from the published library; the
intervals of the runs whose form is right are counted. They are a selection: where a constant happens to look small, a
form without it is taken. Then the form is given and the four constants are estimated, in every run, so that nothing is
selected.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Annotated

import typer

from udesys.bench._parallel import run_tasks
from udesys.bench.lotka_volterra import FIRST_SEED, is_product

if TYPE_CHECKING:
    from udesys.discover import Discovery

TITLE = "how often the 95 % intervals of the constants hold the truth"
EXAMPLE = "udesys bench coverage --seeds 200 --noise 1%"
LEVELS = (0.01, 0.05)
CONSTANTS = ("alpha", "beta", "gamma", "delta")
GIVEN = "prey' = alpha*prey - beta*prey*predator\npredator' = gamma*prey*predator - delta*predator"
PRINTED = {"alpha": "alpha", "beta": "NN1.c0", "gamma": "NN2.c0", "delta": "delta"}  # in the discovered law
WAYS = ("covariance", "profile")


@dataclass(frozen=True, kw_only=True)
class Run:
    """One table: which intervals held the truth.

    Attributes:
        level: of the noise, as a share of each state's mean.
        seed: of the noise and the networks.
        right: the discovered terms are constants times prey*predator.
        formulas: term -> discovered formula.
        discovered: constant -> (by covariance, by profile) whether its interval holds the truth; empty if not right.
        given: the same of the law whose form was given.
        notes: what the profiles said.
        seconds: for all of it.
    """

    level: float
    seed: int
    right: bool
    formulas: dict[str, str]
    discovered: dict[str, tuple[bool, bool]]
    given: dict[str, tuple[bool, bool]]
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0


def run(
    seeds: Annotated[int, typer.Option(min=1, help="Tables at each noise level.")] = 200,
    noise: Annotated[list[str] | None, typer.Option(help="Only this level, such as 1%; may be repeated.")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Processes; each uses one core.")] = 1,
    json: Annotated[bool, typer.Option("--json", help="Print every run as JSON instead of the table.")] = False,
) -> None:
    """Estimate the constants of the Lotka-Volterra law from noisy data many times and count the intervals."""
    from udesys.data import parse_percent

    levels = [parse_percent(n, name="noise") for n in noise] if noise else list(LEVELS)
    tasks = [(level, FIRST_SEED + k) for level in levels for k in range(seeds)]
    runs = run_tasks(cover_once, tasks, jobs, _warm_up)
    if json:
        import json as writer

        typer.echo(writer.dumps([asdict(r) for r in runs], indent=1))
    else:
        typer.echo(table(runs))


def _warm_up() -> None:
    """Imports and compilation, so that no run pays for them."""
    import torch

    torch.set_num_threads(1)
    cover_once(0.01, 0)


def cover_once(level: float, seed: int) -> Run:
    """One table of the study.

    Args:
        level: noise as a share of each state's mean.
        seed: of the noise and the networks.
    """
    import time

    from udesys.discover import discover
    from udesys.model import HybridODE
    from udesys.search import Library, SearchOptions
    from udesys.systems import get_system, make_data

    began = time.perf_counter()
    system = get_system("lotka_volterra")
    library = Library(degree=5, functions=("sin",), products=False, templates=())
    options = SearchOptions(library=library, engines=("sparse",))
    found = discover(HybridODE(system.equations), make_data(system, level, seed), seed=seed, options=options)
    right = all(is_product(r.expression) for r in found.residuals.values())
    truth = {PRINTED[name]: system.constants[name] for name in CONSTANTS}
    truth["NN1.c0"] *= -1
    notes: list[str] = []
    return Run(
        level=level,
        seed=seed,
        right=right,
        formulas={term: r.expression for term, r in found.residuals.items()},
        discovered=_inside(found, truth, notes) if right else {},
        given=given_once(level, seed, notes),
        notes=notes,
        seconds=time.perf_counter() - began,
    )


def given_once(level: float, seed: int, notes: list[str] | None = None) -> dict[str, tuple[bool, bool]]:
    """Constant -> whether its intervals, by covariance and by profile, hold the truth, where the form is given.

    Args:
        level: noise as a share of each state's mean.
        seed: of the noise and the fit.
        notes: what the profiles say is added to it.
    """
    from udesys.discover import discover
    from udesys.model import HybridODE
    from udesys.systems import get_system, make_data

    system = get_system("lotka_volterra")
    law = discover(HybridODE(GIVEN), make_data(system, level, seed), seed=seed)
    return _inside(law, {name: system.constants[name] for name in CONSTANTS}, [] if notes is None else notes)


def _inside(law: Discovery, truth: dict[str, float], notes: list[str]) -> dict[str, tuple[bool, bool]]:
    """Constant -> whether the interval by covariance, and that by profile, holds the truth."""
    held = {}
    for name, (label, value) in zip(CONSTANTS, truth.items(), strict=True):
        profile = law.profile(label)
        low, high = profile.covariance_interval
        held[name] = (low <= value <= high, value in profile)
        notes += [f"{label}: {note}" for note in profile.notes]
    return held


def shares(held: list[dict[str, tuple[bool, bool]]]) -> dict[str, tuple[float, float]]:
    """Constant -> share of the runs whose interval, by covariance and by profile, holds the truth.

    Args:
        held: of every run; empty ones are left out.
    """
    counted = [h for h in held if h]
    return {name: tuple(sum(h[name][way] for h in counted) / len(counted) for way in (0, 1)) for name in CONSTANTS}


def table(runs: list[Run]) -> str:
    """The runs as text."""
    import statistics

    lines = [
        "Lotka-Volterra, alpha, beta, gamma and delta estimated: 95 % intervals that hold the truth, in %",
        f"noise    form         runs   interval     {'  '.join(f'{name:>6}' for name in CONSTANTS)}",
    ]
    for level in dict.fromkeys(r.level for r in runs):
        at = [r for r in runs if r.level == level]
        for form, held in (("discovered", [r.discovered for r in at]), ("given", [r.given for r in at])):
            n = sum(map(bool, held))
            counted = shares(held) if n else {}
            for way, named in enumerate(WAYS):
                cells = "  ".join(f"{100 * counted[name][way]:6.1f}" if n else f"{'-':>6}" for name in CONSTANTS)
                head = f"{100 * level:4.3g} %   {form:<10}   {n:4d}" if way == 0 else " " * 26
                lines.append(f"{head}   {named:<10}   {cells}")
        lines.append(
            f"{100 * level:4.3g} %   the form found is the right one in {sum(r.right for r in at)} of {len(at)}"
        )
    noted = sum(bool(r.notes) for r in runs)
    median = statistics.median(r.seconds for r in runs)
    lines.append(
        f"Profiles with an open end or another note in {noted} of {len(runs)} runs; median {median:.2f} s a run"
    )
    return "\n".join(lines)
