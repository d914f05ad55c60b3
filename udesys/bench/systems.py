"""The built-in systems from their own data and spec to the law: what `udesys discover` finds of each.

A missing term is found where the formula is the true function for some choice of its constants and has no more of them
than the truth; a constant inside a function that the law itself offers as a simple fraction, as the 2 of sin(2*x), is
not counted. Coefficients are found where each lies within 5 % of its true value.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from udesys.bench._parallel import attempt, run_tasks, share_of
from udesys.bench._same_form import IN_BOX, TrueTerm, linear_constants, true_term
from udesys.errors import DataError
from udesys.model import tree as T
from udesys.model.closed_form import Formula
from udesys.model.grammar import parse_expression
from udesys.model.program import Program
from udesys.systems import System, get_system, list_systems, simulate, write_system

if TYPE_CHECKING:
    from udesys.discover import Discovery

TITLE = "what is found of the built-in systems, each from its own data and spec"
EXAMPLE = "udesys bench systems --noise 1% --name pendulum"
AIM = 0.8  # share of the systems that are found
CLOSE = 0.05  # relative error of a coefficient that is found
RIVAL = 6.0  # of the criterion, within which the data cannot tell
MOST_POINTS = 2000  # of the true trajectories, at which formulas are compared


@dataclass(frozen=True, kw_only=True)
class Run:
    """One system's discovery.

    Attributes:
        name: of the system.
        noise: as a share of each state's mean magnitude.
        seed: of the noise and the weights.
        found: every missing term has its true form, every coefficient its value.
        listed: the true forms are among the laws within reach of the lowest criterion.
        answer: missing term -> formula, or coefficient -> value, as text.
        error: missing term -> relative L2 error of its formula along the true trajectory; coefficient -> relative
            error.
        seconds: from the files to the law, without imports.
        failure: what stopped the run; empty where nothing did.
    """

    name: str
    noise: float
    seed: int
    found: bool = False
    listed: bool = False
    answer: dict[str, str]
    error: dict[str, float]
    seconds: float
    failure: str = ""


def run(
    name: Annotated[list[str] | None, typer.Option(help="Only this system; may be repeated.")] = None,
    table_name: Annotated[
        str | None, typer.Option("--table", help="The systems of this table, such as odebench, instead.")
    ] = None,
    noise: Annotated[str, typer.Option(help="Noise, as a share of each state's mean.")] = "1%",
    seed: Annotated[int, typer.Option(min=0, help="Seed of the noise and the weights.")] = 0,
    part: Annotated[str, typer.Option(help="Only this part of the systems, such as 1/4.")] = "1/1",
    jobs: Annotated[int, typer.Option(min=1, help="Processes; each uses one core.")] = 1,
    json: Annotated[bool, typer.Option("--json", help="Print every run as JSON instead of the table.")] = False,
) -> None:
    """Write every built-in system's data and spec, discover its law from them, and print what was found, how fast."""
    from udesys.data import parse_percent

    if name and table_name:
        raise DataError("name and table exclude each other. Leave one out.")
    names = [get_system(n).name for n in name] if name else [system.name for system in list_systems(table_name)]
    level = parse_percent(noise, name="noise")
    runs = run_tasks(discover_system, [(n, level, seed) for n in share_of(names, part)], jobs, warm_up)
    if json:
        import json as writer

        typer.echo(writer.dumps([asdict(r) for r in runs], indent=1))
    else:
        typer.echo(table(runs))


def warm_up() -> None:
    """Imports and compilation, so that no run pays for them."""
    import torch

    torch.set_num_threads(1)
    discover_system("lotka_volterra", 0.005, 0)


# ------------------------------------------------------------------ one run
def discover_system(name: str, noise: float, seed: int) -> Run:
    """Write a system's files and discover its law from them; what goes wrong is written down, not raised.

    Args:
        name: of the system.
        noise: as a share of each state's mean magnitude.
        seed: of the noise and the weights.
    """
    from udesys.discover import discover
    from udesys.spec import load_spec

    system = get_system(name)
    with tempfile.TemporaryDirectory() as folder:
        _, path = write_system(system, folder, noise, seed)
        began = time.perf_counter()
        spec = load_spec(path)
        law, failure = attempt(
            lambda: discover(
                spec.model,
                spec.data,
                seed=seed,
                heldout=spec.heldout,
                noise=spec.noise,
                options=spec.options,
                fit_options=spec.fit_options,
            )
        )
        seconds = time.perf_counter() - began
    if failure:
        return Run(name=name, noise=noise, seed=seed, answer={}, error={}, seconds=seconds, failure=failure)
    judged = judge_terms(system, law) if system.missing else judge_coefficients(system, law)
    return Run(name=name, noise=noise, seed=seed, seconds=seconds, **judged)


def judge_coefficients(system: System, law: Discovery) -> dict:
    """Every estimated coefficient beside its true value.

    Args:
        system: whose law is known.
        law: what was found.
    """
    estimates = {name: e.value for name, e in law.parameters.items() if not e.fixed}
    error = {name: abs(value / system.constants[name] - 1) for name, value in estimates.items()}
    found = max(error.values()) <= CLOSE
    answer = {name: f"{value:.4g}" for name, value in estimates.items()}
    return {"found": found, "listed": found, "answer": answer, "error": error}


def judge_terms(system: System, law: Discovery) -> dict:
    """Every missing term's formula beside its true one.

    Args:
        system: whose law is known.
        law: what was found.
    """
    truths = true_terms_of(system)
    answer = {term: law.residuals[term].expression for term in truths}
    values = {term: {name: e.value for name, e in law.residuals[term].constants.items()} for term in truths}
    winner = {term: Formula(parse_expression(text), values[term]) for term, text in answer.items()}
    error = {term: _error(truth, winner[term]) for term, truth in truths.items()}
    offered = {term: _with_fractions(formula, term, law.simpler) for term, formula in winner.items()}
    found = all(truth.has_form(winner[term]) or truth.has_form(offered[term]) for term, truth in truths.items())
    within_reach = [c.residuals for c in law.candidates if c.delta < RIVAL and not c.diverged]
    listed = found or any(_all_true(truths, _with_some_constants(truths, texts)) for texts in within_reach)
    return {"found": found, "listed": listed, "answer": answer, "error": error}


def true_terms_of(system: System) -> dict[str, TrueTerm]:
    """The missing terms of a system as they truly are, by name, along its runs.

    Args:
        system: whose law is known.
    """
    exact = simulate(system)
    model, names = system.hybrid(), (*exact.columns, *exact.inputs)
    visited = np.concatenate([np.hstack([run.y, run.u]) for run in exact.trajectories])
    visited = visited[:: max(1, len(visited) // MOST_POINTS)]
    counts = system.free or [None] * len(system.missing)
    return {
        term: true_term(parse_expression(text), system.constants, names, visited, count)
        for term, text, count in zip(model.terms, system.missing.values(), counts, strict=True)
    }


def _with_fractions(formula: Formula, term: str, simpler) -> Formula:
    """A formula with the fractions that the law offers for the constants inside its functions."""
    inner = {n: simpler[term, n] for n in formula.constants.keys() - linear_constants(formula) if (term, n) in simpler}
    numbers = {name: T.Number(float(fraction)) for name, fraction in inner.items()}
    rest = {name: value for name, value in formula.constants.items() if name not in inner}
    return Formula(T.substitute(formula.tree, numbers), rest)


def _with_some_constants(truths, texts: dict[str, str]) -> dict[str, Formula]:
    """Formulas whose constants' values are not known: those of the truth's size are as good as any."""
    formulas = {}
    for term, truth in truths.items():
        tree = parse_expression(texts[term])
        names = sorted(T.symbols(tree) - set(truth.arguments))
        formulas[term] = Formula(tree, dict.fromkeys(names, 1.0))
    return formulas


def _all_true(truths: dict[str, TrueTerm], formulas: dict[str, Formula]) -> bool:
    return all(truth.has_form(formulas[term]) for term, truth in truths.items())


def _error(truth: TrueTerm, formula: Formula) -> float:
    """Relative L2 error of a formula over the visited half of the true term's points."""
    n = len(truth.points) - IN_BOX
    with np.errstate(all="ignore"):
        (values,) = Program([formula.tree], [*truth.arguments, *formula.constants]).run(
            [*truth.points[:n].T, *formula.constants.values()]
        )
    true = truth.values[:n]
    return float(np.linalg.norm(values - true) / np.linalg.norm(true))


# ------------------------------------------------------------------ text
def table(runs: Sequence[Run]) -> str:
    """A line for each system, then how many were found.

    Args:
        runs: one for each.
    """
    width = max([len(r.name) for r in runs], default=0)
    lines = [f"Built-in systems at {100 * runs[0].noise:g} % noise, seed {runs[0].seed}"] if runs else ["no runs"]
    lines.append(f"{'system':<{width}}  {'outcome':<12}  {'s':>6}  {'error':>8}  answer")
    lines += [_line(r, width) for r in runs]
    found = sum(r.found for r in runs)
    lines.append(f"found {found} of {len(runs)}, {100 * found / max(len(runs), 1):.0f} %; aim: {100 * AIM:.0f} %")
    return "\n".join(lines)


def _line(run: Run, width: int) -> str:
    outcome = "failed" if run.failure else "found" if run.found else "listed" if run.listed else "missed"
    worst = f"{100 * max(run.error.values()):.2g} %" if run.error else "-"
    answer = run.failure or "; ".join(f"{name} = {text}" for name, text in run.answer.items())
    return f"{run.name:<{width}}  {outcome:<12}  {run.seconds:6.1f}  {worst:>8}  {answer}"
