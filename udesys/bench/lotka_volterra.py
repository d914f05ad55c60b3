"""How often the law of the Lotka-Volterra study is recovered, beside the published rates.

The published study (Rackauckas et al., arXiv:2001.04385): p = (1.3, 0.9, 0.8, 1.8), 31 samples, Gaussian noise of
0.1 to 5 % of each state's mean, monomials to degree 5 and the two sines in the library. A run counts where every
missing term simplifies to a constant times prey*predator. Beside the rates: how far the constants of these runs spread,
over the Cramer-Rao bound of the true law, and where the time goes from the table on disk to the law.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Annotated, Literal

import typer

from udesys.bench._parallel import run_tasks

TITLE = "share of runs that recover the Lotka-Volterra law, by noise"
EXAMPLE = "udesys bench lotka-volterra --seeds 100"
PUBLISHED = {0.001: 75, 0.005: 72, 0.01: 58, 0.025: 29, 0.05: 18}  # % of runs, arXiv:2001.04385
STEPS = 8  # solver steps a sample for the bound
FIRST_SEED = 1000  # the runs' noise and weights are seeded FIRST_SEED + k


@dataclass(frozen=True, kw_only=True)
class Run:
    """One discovery: whether it was right, and how long it took.

    Attributes:
        right: every term is a constant times prey*predator.
        formulas: term -> formula.
        truth_delta: how far the true form is from the best, where it was ranked.
        inside: constants and estimated parameters whose 95 % interval holds the truth, by name.
        constants: of the right law, by name.
        seconds: from the table on disk to the law, without imports.
        steps: the same by step.
    """

    level: float
    seed: int
    right: bool
    formulas: dict[str, str]
    truth_delta: float | None
    inside: dict[str, bool]
    seconds: float
    constants: dict[str, float] = field(default_factory=dict)
    steps: dict[str, float] = field(default_factory=dict)


def run(
    seeds: Annotated[int, typer.Option(min=1, help="Runs at each noise level.")] = 20,
    estimate: Annotated[
        bool, typer.Option("--estimate", help="Estimate alpha and delta instead of giving them.")
    ] = False,
    library: Annotated[
        Literal["published", "default"], typer.Option(help="Monomials to degree 5 and sines, or udesys' own.")
    ] = "published",
    noise: Annotated[list[str] | None, typer.Option(help="Only this level, such as 1%; may be repeated.")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Processes; each uses one core.")] = 1,
    json: Annotated[bool, typer.Option("--json", help="Print every run as JSON instead of the table.")] = False,
) -> None:
    """Recover the Lotka-Volterra law from noisy data many times and print the share of right forms."""
    from udesys.data import parse_percent

    levels = [parse_percent(n, name="noise") for n in noise] if noise else list(PUBLISHED)
    tasks = [(level, FIRST_SEED + k, estimate, library) for level in levels for k in range(seeds)]
    runs = run_tasks(discover_once, tasks, jobs, _warm_up)
    if json:
        import json as writer

        typer.echo(writer.dumps([asdict(r) for r in runs], indent=1))
    else:
        typer.echo(table(runs, estimate, library, jobs))


def _warm_up() -> None:
    """Imports and compilation, so that no run pays for them."""
    import torch

    torch.set_num_threads(1)
    discover_once(0.001, 0, False, "published")


def discover_once(level: float, seed: int, estimate: bool, library: str) -> Run:
    """One run of the study.

    Args:
        level: noise as a share of each state's mean.
        seed: of the noise and the networks.
        estimate: estimate alpha and delta.
        library: "published" or "default".
    """
    import tempfile
    import time

    from udesys.data import read_table
    from udesys.discover import discover
    from udesys.model import HybridODE
    from udesys.search import Library, SearchOptions
    from udesys.systems import get_system, write_system

    system = get_system("lotka_volterra")
    model = HybridODE(system.equations, parameters={} if estimate else system.parameters)
    terms = Library(degree=5, functions=("sin",), products=False, templates=()) if library == "published" else Library()
    with tempfile.TemporaryDirectory() as folder:
        csv, _ = write_system(system, folder, level, seed)
        began = time.perf_counter()
        data = read_table(csv, time="t")
        read = time.perf_counter()
        law = discover(model, data, seed=seed, options=SearchOptions(library=terms))
        seconds = time.perf_counter() - began
    true_form = [c for c in law.candidates if all(is_product(f) for f in c.residuals.values())]
    right = all(is_product(r.expression) for r in law.residuals.values())
    inside = {name: system.constants[name] in e for name, e in law.parameters.items() if not e.fixed}
    found: dict[str, float] = {}
    if right:
        constants = {"NN1": -system.constants["beta"], "NN2": system.constants["gamma"]}
        estimates = {term: law.residuals[term].constants["c0"] for term in constants}
        inside |= {term: constants[term] in estimate for term, estimate in estimates.items()}
        found = {n: e.value for n, e in law.parameters.items() if not e.fixed}
        found |= {term: estimate.value for term, estimate in estimates.items()}
    return Run(
        level=level,
        seed=seed,
        right=right,
        formulas={t: r.expression for t, r in law.residuals.items()},
        truth_delta=true_form[0].delta if true_form else None,
        inside=inside,
        seconds=seconds,
        constants=found,
        steps={"read": read - began, **{k: v for k, v in law.timing_s.items() if k != "total"}},
    )


def cramer_rao(level: float, estimate: bool) -> dict[str, float]:
    """Least standard deviation of every constant, the starts unknown too, from the sensitivities of the true law.

    Args:
        level: noise as a share of each state's mean.
        estimate: alpha and delta are unknown.

    Source: Seber & Wild, Nonlinear Regression (1989), sec. 2.1.
    """
    import numpy as np

    from udesys.model import HybridODE
    from udesys.model.closed_form import ClosedForm, Formula
    from udesys.model.grammar import parse_expression
    from udesys.systems import get_system, make_data

    system = get_system("lotka_volterra")
    model = HybridODE(system.equations, parameters={} if estimate else system.parameters)
    product = parse_expression("c0*prey*predator")
    true = {"NN1": -system.constants["beta"], "NN2": system.constants["gamma"]}
    form = ClosedForm(model, {t: Formula(product, {"c0": v}) for t, v in true.items()}, system.constants)
    t = np.array(system.t)
    whole = (np.array([0]), np.array([len(t)]))
    x0 = np.array([list(system.starts[0].values())])
    _, slopes = form.simulate(x0, t, whole, np.full(len(t), STEPS), sensitivities=True)
    sigma = level * np.abs(make_data(system, 0.0, 0).trajectories[0].y).mean(0)
    rows = (slopes / sigma[:, None]).reshape(-1, slopes.shape[2])
    bound = np.sqrt(np.diag(np.linalg.inv(rows.T @ rows)))
    names = [name if isinstance(name, str) else name[0] for name in form.names]
    return dict(zip(names, bound[: len(names)].tolist(), strict=True))


def spread(runs: list[Run], level: float, estimate: bool) -> dict[str, float]:
    """Standard deviation of the constants of the right laws over the Cramer-Rao bound.

    Args:
        runs: at one noise level.
        level: that level.
        estimate: alpha and delta were estimated.
    """
    import statistics

    found = [r.constants for r in runs if r.right and r.constants]
    if len(found) < 2:
        return {}
    bound = cramer_rao(level, estimate)
    return {name: statistics.stdev(c[name] for c in found) / bound[name] for name in bound}


def is_product(formula: str) -> bool:
    """Whether a formula simplifies to a constant times prey*predator.

    Args:
        formula: its text, over prey, predator and the names of constants.
    """
    import sympy

    from udesys.model.grammar import parse_expression
    from udesys.model.symbolic import to_sympy

    prey, predator = sympy.Symbol("prey", real=True), sympy.Symbol("predator", real=True)
    share = sympy.simplify(to_sympy(parse_expression(formula)) / (prey * predator))
    return share != 0 and not share.free_symbols & {prey, predator}


def table(runs: list[Run], estimate: bool, library: str, jobs: int) -> str:
    """The runs beside the published rates, as text."""
    import statistics

    given = "estimated" if estimate else "given"
    lines = [
        f"Lotka-Volterra, alpha and delta {given}, {library} library",
        "noise    right form         published    true constants inside their 95 % interval    median s",
    ]
    for level in dict.fromkeys(r.level for r in runs):
        at = [r for r in runs if r.level == level]
        right = sum(r.right for r in at)
        names = list(dict.fromkeys(n for r in at for n in r.inside))
        inside = "  ".join(
            f"{n} {sum(r.inside.get(n, False) for r in at)}/{sum(n in r.inside for r in at)}" for n in names
        )
        published = f"{PUBLISHED[level]} %" if level in PUBLISHED else "-"
        lines.append(
            f"{100 * level:4.3g} %   {right:3d} of {len(at):3d}  {100 * right / len(at):3.0f} %   {published:>9}"
            f"    {inside:<42}   {statistics.median(r.seconds for r in at):.2f}"
        )
        lines += [
            f"    missed, seed {r.seed}: {r.formulas}, the true form "
            + ("was not ranked" if r.truth_delta is None else f"at delta {r.truth_delta:.1f}")
            for r in at
            if not r.right
        ]
    for level in dict.fromkeys(r.level for r in runs):
        ratios = spread([r for r in runs if r.level == level], level, estimate)
        if ratios:
            text = "  ".join(f"{name} {ratio:.2f}" for name, ratio in ratios.items())
            lines.append(f"{100 * level:4.3g} %   spread of the constants over the Cramer-Rao bound: {text}")
    names = list(runs[0].steps)
    if names:
        text = ", ".join(f"{name} {statistics.median(r.steps[name] for r in runs):.2f}" for name in names)
        lines.append(f"Median seconds by step: {text}")
    median = statistics.median(r.seconds for r in runs)
    lines.append(f"Median time of a discovery, {len(runs)} runs, {jobs} at a time on one core each: {median:.2f} s")
    return "\n".join(lines)
