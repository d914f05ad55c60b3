"""How often the law of the Lotka-Volterra study is recovered, beside the published rates.

The published study (Rackauckas et al., arXiv:2001.04385): p = (1.3, 0.9, 0.8, 1.8), 31 samples, Gaussian noise of
0.1 to 5 % of each state's mean, monomials to degree 5 and the two sines in the library. A run counts where every
missing term simplifies to a constant times prey*predator. Beside the rates: how far the constants of these runs spread,
over the Cramer-Rao bound of the true law, and where the time goes from the table on disk to the law.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal

import typer

from udesys.bench._parallel import attempt
from udesys.bench._study import Jobs, Json, Keep, Part, Study, carry_out, markdown

TITLE = "share of runs that recover the Lotka-Volterra law, by noise"
EXAMPLE = "udesys bench lotka-volterra --seeds 100"
SOURCE = "Rackauckas et al., arXiv:2001.04385"
PUBLISHED = {0.001: 75, 0.005: 72, 0.01: 58, 0.025: 29, 0.05: 18}  # % of runs
STEPS = 8  # solver steps a sample for the bound
HEADLINES = ("right at*", "largest spread*")
FIRST_SEED = 1000  # of the first run; the others count on


@dataclass(frozen=True, kw_only=True)
class Run:
    """One discovery: whether it was right, and how long it took.

    Attributes:
        level: noise as a share of each state's mean.
        seed: of the noise and the networks.
        estimate: alpha and delta were estimated.
        library: "published" or "default".
        right: every term is a constant times prey*predator.
        formulas: term -> formula.
        truth_delta: how far the true form is from the best, where it was ranked.
        inside: constants and estimated parameters whose 95 % interval holds the truth, by name.
        constants: of the right law, by name.
        seconds: from the table on disk to the law, without imports.
        steps: the same by step.
        failure: what stopped the run; empty where nothing did.
    """

    level: float
    seed: int
    estimate: bool
    library: str
    right: bool = False
    formulas: dict[str, str] = field(default_factory=dict)
    truth_delta: float | None = None
    inside: dict[str, bool] = field(default_factory=dict)
    seconds: float
    constants: dict[str, float] = field(default_factory=dict)
    steps: dict[str, float] = field(default_factory=dict)
    failure: str = ""


def run(
    seeds: Annotated[int, typer.Option(min=1, help="Runs at each noise level.")] = 20,
    estimate: Annotated[
        bool, typer.Option("--estimate", help="Estimate alpha and delta instead of giving them.")
    ] = False,
    library: Annotated[
        Literal["published", "default"], typer.Option(help="Monomials to degree 5 and sines, or udesys' own.")
    ] = "published",
    noise: Annotated[list[str] | None, typer.Option(help="Only this level, such as 1%; may be repeated.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the first run's noise and weights.")] = FIRST_SEED,
    part: Part = "1/1",
    jobs: Jobs = 1,
    keep: Keep = None,
    json: Json = False,
) -> None:
    """Recover the Lotka-Volterra law from noisy data many times and print the share of right forms."""
    from udesys.data import parse_percent

    levels = [parse_percent(n, name="noise") for n in noise] if noise else list(PUBLISHED)
    tasks = [(level, seed + k, estimate, library) for level in dict.fromkeys(levels) for k in range(seeds)]
    runs, seconds = carry_out(discover_once, tasks, _warm_up, part=part, jobs=jobs, keep=keep)
    Study(
        bench="lotka-volterra",
        summary=summary(runs),
        rows=runs,
        published={SOURCE: {_right(level): PUBLISHED[level] for level in _levels(runs) if level in PUBLISHED}},
        rivals={},
        seconds=seconds,
        tables=table(runs),
    ).show(json)


def _warm_up() -> None:
    """Imports and compilation, so that no run pays for them."""
    import torch

    torch.set_num_threads(1)
    discover_once(0.001, 0, False, "published")


def discover_once(level: float, seed: int, estimate: bool, library: str) -> Run:
    """One run of the study; what goes wrong is written down, not raised.

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
        law, failure = attempt(lambda: discover(model, data, seed=seed, options=SearchOptions(library=terms)))
        seconds = time.perf_counter() - began
    asked = {"level": level, "seed": seed, "estimate": estimate, "library": library}
    if failure:
        return Run(**asked, seconds=seconds, failure=failure)
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
        **asked,
        right=right,
        formulas={t: r.expression for t, r in law.residuals.items()},
        truth_delta=true_form[0].delta if true_form else None,
        inside=inside,
        seconds=seconds,
        constants=found,
        steps={"read": read - began, **{k: v for k, v in law.timing_s.items() if k != "total"}},
    )


# ------------------------------------------------------------------ the bound
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


def spread(runs: Sequence[Run]) -> dict[str, float]:
    """Standard deviation of the constants of the right laws over the Cramer-Rao bound, by name.

    Args:
        runs: at one noise level, alpha and delta estimated in all or in none.
    """
    found = [r.constants for r in runs if r.right and r.constants]
    if len(found) < 2:
        return {}
    bound = cramer_rao(runs[0].level, runs[0].estimate)
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


# ------------------------------------------------------------------ figures
def summary(runs: Sequence[Run]) -> dict[str, object]:
    """The headline numbers by noise: right forms, true constants inside their intervals, the spread over its bound.

    Args:
        runs: with alpha and delta estimated in all or in none.
    """
    levels = [(_percent(level), [r for r in runs if r.level == level]) for level in _levels(runs)]
    found: dict[str, object] = {_right(at[0].level): 100 * sum(r.right for r in at) / len(at) for _, at in levels}
    for level, at in levels:
        inside = [held for r in at for held in r.inside.values()]
        if inside:
            found[f"true constants inside their 95 % interval at {level}, %"] = 100 * sum(inside) / len(inside)
    for level, at in levels:
        if ratios := spread(at):
            found[f"largest spread of a constant over the Cramer-Rao bound at {level}"] = max(ratios.values())
    if runs:
        found |= {"failed runs": sum(bool(r.failure) for r in runs), "median s": _median(runs)}
    return found


def table(runs: Sequence[Run]) -> str:
    """The runs beside the published rates, every miss, and where the time goes, as Markdown.

    Args:
        runs: with alpha and delta estimated in all or in none, and one library.
    """
    if not runs:
        return "no runs"
    head = ("noise", "right form", "right", "published", "true constants inside their 95 % interval")
    rows = [_row([r for r in runs if r.level == level]) for level in _levels(runs)]
    given = "estimated" if runs[0].estimate else "given"
    lines = [f"Lotka-Volterra, alpha and delta {given}, {runs[0].library} library", ""]
    lines += [markdown([*head, "spread over the Cramer-Rao bound", "median s"], rows), ""]
    if missed := [_miss(r) for r in runs if not r.right]:
        lines += [*missed, ""]
    if steps := next((r.steps for r in runs if r.steps), {}):
        medians = {name: statistics.median(r.steps[name] for r in runs if r.steps) for name in steps}
        lines.append(f"Median seconds by step: {', '.join(f'{name} {value:.2f}' for name, value in medians.items())}.")
    lines.append(f"Median time of a discovery, {len(runs)} runs: {_median(runs):.2f} s.")
    return "\n".join(lines)


def _row(at: Sequence[Run]) -> list[object]:
    """Of the runs at one noise level."""
    right, level = sum(r.right for r in at), at[0].level
    names = dict.fromkeys(n for r in at for n in r.inside)
    inside = [f"{n} {sum(r.inside.get(n, False) for r in at)}/{sum(n in r.inside for r in at)}" for n in names]
    return [
        _percent(level),
        f"{right} of {len(at)}",
        f"{100 * right / len(at):.0f} %",
        f"{PUBLISHED[level]} %" if level in PUBLISHED else None,
        ", ".join(inside) or None,
        ", ".join(f"{name} {ratio:.2f}" for name, ratio in spread(at).items()) or None,
        f"{_median(at):.2f}",
    ]


def _miss(run: Run) -> str:
    where = f"- missed, {_percent(run.level)}, seed {run.seed}: "
    if run.failure:
        return where + run.failure
    found = "; ".join(f"`{term} = {formula}`" for term, formula in run.formulas.items())
    truth = "was not ranked" if run.truth_delta is None else f"at delta {run.truth_delta:.1f}"
    return f"{where}{found}, the true form {truth}"


def _levels(runs: Sequence[Run]) -> list[float]:
    return list(dict.fromkeys(r.level for r in runs))


def _right(level: float) -> str:
    return f"right at {_percent(level)}, %"


def _percent(level: float) -> str:
    return f"{100 * level:.3g} %"


def _median(runs: Sequence[Run]) -> float:
    return statistics.median(r.seconds for r in runs)
