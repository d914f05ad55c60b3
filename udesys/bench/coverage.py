"""How often the 95 % intervals of the constants hold the truth: by the covariance, and by the profile likelihood.

The Lotka-Volterra study (arXiv:2001.04385) with alpha and delta estimated too: 31 samples, Gaussian noise. Every table
is used twice. First its law is discovered, both interactions unknown, by `sparse` from the published library; the
intervals of the runs whose form is right are counted. They are a selection: where a constant happens to look small, a
form without it is taken. Then the form is given and the four constants are estimated, in every run, so that nothing is
selected.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

import typer

from udesys.bench._parallel import attempt
from udesys.bench._study import Jobs, Json, Keep, Part, Study, carry_out, markdown
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
FORMS = ("given", "discovered")
NOMINAL = 95.0  # % of intervals that are to hold the truth
HEADLINES = ("right forms*", "form given*", "form discovered: truth in profile*")

Held = dict[str, tuple[bool, bool]]  # constant -> whether its interval, by covariance and by profile, holds the truth


@dataclass(frozen=True, kw_only=True)
class Run:
    """One table: which intervals held the truth.

    Attributes:
        level: of the noise, as a share of each state's mean.
        seed: of the noise and the networks.
        right: the discovered terms are constants times prey*predator.
        formulas: term -> discovered formula.
        discovered: constant -> (by covariance, by profile) whether its interval holds the truth; empty if not right.
        given: the same of the law whose form was given; empty where its fit failed.
        notes: what the profiles said.
        seconds: for all of it.
        failure: what stopped the discovery, or the fit of the given form; empty where nothing did.
    """

    level: float
    seed: int
    right: bool
    formulas: dict[str, str]
    discovered: Held
    given: Held
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0
    failure: str = ""


def run(
    seeds: Annotated[int, typer.Option(min=1, help="Tables at each noise level.")] = 200,
    noise: Annotated[list[str] | None, typer.Option(help="Only this level, such as 1%; may be repeated.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the first table; the others' follow it.")] = FIRST_SEED,
    part: Part = "1/1",
    jobs: Jobs = 1,
    keep: Keep = None,
    json: Json = False,
) -> None:
    """Estimate the constants of the Lotka-Volterra law from noisy data many times and count the intervals."""
    from udesys.data import parse_percent

    levels = [parse_percent(n, name="noise") for n in noise] if noise else list(LEVELS)
    tasks = [(level, seed + k) for level in levels for k in range(seeds)]
    runs, seconds = carry_out(cover_once, tasks, _warm_up, part=part, jobs=jobs, keep=keep)
    numbers = summary(runs)
    Study(
        bench="coverage",
        summary=numbers,
        rows=runs,
        published={"nominal": {name: NOMINAL for name in numbers if name.startswith("form ")}},
        rivals={},
        seconds=seconds,
        tables=table(runs),
    ).show(json)


def _warm_up() -> None:
    """Imports and compilation, so that no run pays for them."""
    import torch

    torch.set_num_threads(1)
    cover_once(0.01, 0)


def cover_once(level: float, seed: int) -> Run:
    """One table of the study; a discovery or a fit that fails is written down, not raised.

    Args:
        level: noise as a share of each state's mean.
        seed: of the noise and the networks.
    """
    from udesys.discover import discover
    from udesys.model import HybridODE
    from udesys.search import Library, SearchOptions
    from udesys.systems import get_system, make_data

    began = time.perf_counter()
    system = get_system("lotka_volterra")
    library = Library(degree=5, functions=("sin",), products=False, templates=())
    options = SearchOptions(library=library, engines=("sparse",))
    truth = {PRINTED[name]: system.constants[name] for name in CONSTANTS}
    truth["NN1.c0"] *= -1
    notes: list[str] = []

    law, no_law = attempt(
        lambda: discover(HybridODE(system.equations), make_data(system, level, seed), seed=seed, options=options)
    )
    formulas = {} if no_law else {term: residual.expression for term, residual in law.residuals.items()}
    right = bool(formulas) and all(map(is_product, formulas.values()))
    discovered, no_profile = attempt(lambda: _inside(law, truth, notes)) if right else ({}, "")
    given, no_fit = attempt(lambda: given_once(level, seed, notes))
    return Run(
        level=level,
        seed=seed,
        right=right,
        formulas=formulas,
        discovered=discovered or {},
        given=given or {},
        notes=notes,
        seconds=time.perf_counter() - began,
        failure="; ".join(filter(None, (no_law, no_profile, no_fit))),
    )


def given_once(level: float, seed: int, notes: list[str] | None = None) -> Held:
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


def _inside(law: Discovery, truth: dict[str, float], notes: list[str]) -> Held:
    """Constant -> whether the interval by covariance, and that by profile, holds the truth."""
    held = {}
    for name, (label, value) in zip(CONSTANTS, truth.items(), strict=True):
        profile = law.profile(label)
        low, high = profile.covariance_interval
        held[name] = (low <= value <= high, value in profile)
        notes += [f"{label}: {note}" for note in profile.notes]
    return held


# ------------------------------------------------------------------ figures
def shares(held: Sequence[Held]) -> dict[str, tuple[float, float]]:
    """Constant -> share of the runs whose interval, by covariance and by profile, holds the truth.

    Args:
        held: of every run; empty ones are left out.
    """
    counted = [h for h in held if h]
    return {name: tuple(sum(h[name][way] for h in counted) / len(counted) for way in (0, 1)) for name in CONSTANTS}


def summary(runs: Sequence[Run]) -> dict[str, float]:
    """The share of right forms and of intervals that hold the truth, over all four constants, at each noise.

    Args:
        runs: of one noise level or several.
    """
    numbers = {}
    for level in dict.fromkeys(r.level for r in runs):
        at, noise = [r for r in runs if r.level == level], f"{100 * level:g} % noise"
        numbers[f"right forms at {noise}, %"] = 100 * sum(r.right for r in at) / len(at)
        for form in FORMS:
            held = [h for r in at if (h := getattr(r, form))]
            for way, name in enumerate(WAYS) if held else ():
                share = statistics.mean(both[way] for both in shares(held).values())
                numbers[f"form {form}: truth in {name} intervals at {noise}, %"] = 100 * share
    return numbers


# ------------------------------------------------------------------ text
def table(runs: Sequence[Run]) -> str:
    """The runs as Markdown.

    Args:
        runs: of one noise level or several.
    """
    if not runs:
        return "No runs."
    rows, said = [], []
    for level in dict.fromkeys(r.level for r in runs):
        at = [r for r in runs if r.level == level]
        for form in FORMS[::-1]:
            held = [h for r in at if (h := getattr(r, form))]
            counted = shares(held) if held else {}
            for way, named in enumerate(WAYS):
                cells = [f"{100 * counted[name][way]:.1f}" if held else None for name in CONSTANTS]
                rows.append([f"{100 * level:g} %", form, len(held), named, *cells])
        said.append(f"At {100 * level:g} % the form found is the right one in {sum(r.right for r in at)} of {len(at)}.")
    noted, median = sum(bool(r.notes) for r in runs), statistics.median(r.seconds for r in runs)
    said.append(
        f"Profiles have an open end or another note in {noted} of {len(runs)} runs; median {median:.2f} s a run."
    )
    said += [f"{100 * r.level:g} %, seed {r.seed}: {r.failure}" for r in runs if r.failure]
    return "\n\n".join(
        [
            "Lotka-Volterra, alpha, beta, gamma and delta estimated: 95 % intervals that hold the truth, in %",
            markdown(["noise", "form", "runs", "interval", *CONSTANTS], rows),
            *said,
        ]
    )
