"""Whether the residual diagnostics tell a law that lacks a term from one that does not.

Known laws, 1 % noise. Of every law each additive term of its missing formulas is removed in turn, the rest is refitted
as discovery refits any law, and the warnings are read; so are those of the right form. Which removals count is settled
on data without noise, before any run: the rest, refitted to them, must miss some column by more than the noise (root
mean square). What a refit makes up for to within the noise is no structure, and what cannot be simulated at all is no
law; both are listed and not counted.

Then whole discoveries: from the default library, in which the truth is, and from polynomials one degree too low for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Annotated

import typer

from udesys.bench._parallel import attempt, run_tasks

if TYPE_CHECKING:
    from udesys.search import Candidate
    from udesys.systems import System

TITLE = "how often the residual diagnostics flag a law without one of its terms, and the right one"
EXAMPLE = "udesys bench diagnostics --seeds 20"
NOISE = 0.01  # of each state's mean magnitude
FIRST_SEED = 3000  # the runs' noise and weights are seeded FIRST_SEED + k
STRUCTURE = 1.0  # noise standard deviations that a removal has to cost some column on data without noise
STEPS = 8  # solver steps a sample on data without noise
SYSTEMS = (
    "brusselator",
    "duffing",
    "fitzhugh_nagumo",
    "hopf",
    "lotka_volterra",
    "lotka_volterra_lecture",
    "neural_ode",
    "pendulum",
    "predator_prey_collapse",
    "seir",
    "sir",
    "van_der_pol",
)
# Nothing known of the law: system -> (equations, call of a network -> its true formula, the constants that this adds).
UNKNOWN = {
    "brusselator": (
        "x' = NN1(x, y)\ny' = NN2(x, y)",
        {"NN1(x, y)": "A - C*x + k*x^2*y", "NN2(x, y)": "B*x - k2*x^2*y"},
        {"C": 4.0, "k2": 1.0},
    ),
    "lotka_volterra": (
        "prey' = NN1(prey, predator)\npredator' = NN2(prey, predator)",
        {
            "NN1(prey, predator)": "alpha*prey - beta*prey*predator",
            "NN2(prey, predator)": "gamma*prey*predator - delta*predator",
        },
        {},
    ),
}
WHOLE = ", nothing known"
TOO_LOW = {"brusselator": 2, "duffing": 2, "fitzhugh_nagumo": 2, "lotka_volterra": 1, "pendulum": 1, "van_der_pol": 2}


@dataclass(frozen=True, kw_only=True)
class Run:
    """One table of one law, at 1 % noise.

    Attributes:
        case: the law.
        seed: of the noise and the networks.
        right: warnings of the diagnostics about the right form.
        removed: term that was removed -> warnings of the diagnostics.
        failures: what stopped a law, by the term that was removed; "" is the right form.
        seconds: for all of it.
    """

    case: str
    seed: int
    right: list[str]
    removed: dict[str, list[str]]
    failures: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Found:
    """One whole discovery.

    Attributes:
        case: the system.
        seed: of the noise and the networks.
        degree: of the library's polynomials; None is the default library.
        law: term -> formula.
        warnings: of the diagnostics.
        failure: what stopped it; empty where nothing did.
    """

    case: str
    seed: int
    degree: int | None
    law: dict[str, str]
    warnings: list[str]
    failure: str = ""


def run(
    seeds: Annotated[int, typer.Option(min=1, help="Tables of every law.")] = 20,
    name: Annotated[list[str] | None, typer.Option(help="Only this law; may be repeated.")] = None,
    discoveries: Annotated[
        int, typer.Option(min=0, help="Tables of every law for whole discoveries from a library with or without it.")
    ] = 2,
    jobs: Annotated[int, typer.Option(min=1, help="Processes; each uses one core.")] = 1,
    json: Annotated[bool, typer.Option("--json", help="Print every run as JSON instead of the table.")] = False,
) -> None:
    """Remove a term of known laws on purpose, refit the rest to noisy data, and count what the diagnostics flag."""
    chosen = list(cases()) if not name else [known_case(n) for n in name]
    costs = dict(zip(chosen, run_tasks(costs_of, [(case,) for case in chosen], jobs, _warm_up), strict=True))
    counted = {case: tuple(t for t, cost in costs[case].items() if counts(cost)) for case in chosen}
    tasks = [(case, FIRST_SEED + k, counted[case]) for case in chosen for k in range(seeds)]
    runs = run_tasks(remove_each, tasks, jobs, _warm_up)
    systems = [case for case in chosen if case in TOO_LOW]
    wholes = [(c, FIRST_SEED + k, d) for c in systems for k in range(discoveries) for d in (None, TOO_LOW[c])]
    found = run_tasks(discover_once, wholes, jobs, _warm_up) if wholes else []
    if json:
        import json as writer

        plain = {"costs": costs, "runs": [asdict(r) for r in runs], "discoveries": [asdict(f) for f in found]}
        typer.echo(writer.dumps(plain, indent=1))
    else:
        typer.echo(table(costs, runs, found))


def cases() -> tuple[str, ...]:
    """Names of all laws."""
    return (*SYSTEMS, *(name + WHOLE for name in UNKNOWN))


def known_case(name: str) -> str:
    """The name of a law.

    Raises:
        DataError: there is none of that name.
    """
    from udesys.errors import DataError, did_you_mean

    if name not in cases():
        raise DataError(f"there is no law {name!r} in this comparison. {did_you_mean(name, cases())}")
    return name


def _warm_up() -> None:
    """Imports and compilation, so that no run pays for them."""
    import torch

    torch.set_num_threads(1)
    remove_each("lotka_volterra", 0, ())


# ------------------------------------------------------------------ laws
def system_of(case: str) -> System:
    """The system of a case, its hybrid as the case has it."""
    from udesys.systems import get_system

    system = get_system(case.removesuffix(WHOLE))
    if not case.endswith(WHOLE):
        return system
    equations, missing, more = UNKNOWN[system.name]
    return replace(
        system, equations=equations, missing=missing, parameters={}, constants={**system.constants, **more}
    )  # fmt: skip


def right_form(system: System) -> dict[str, Candidate]:
    """term -> its true formula, with the true constants to start from."""
    from udesys.model import tree as T
    from udesys.model.closed_form import Formula
    from udesys.model.grammar import parse_expression
    from udesys.search.candidate import as_given

    forms = {}
    for term, text in zip(system.hybrid().terms, system.missing.values(), strict=True):
        tree = parse_expression(text)
        names = [name for name in system.constants if name in T.symbols(tree)]
        forms[term] = as_given(Formula(tree, {name: system.constants[name] for name in names}))
    return forms


def removals(forms: Mapping[str, Candidate]) -> dict[str, dict[str, Candidate]]:
    """What is removed, as text -> the forms without it."""
    from udesys.model import tree as T
    from udesys.search.candidate import without_part

    return {
        f"{T.to_text(part)} in {term}": {**forms, term: without_part(form, place)}
        for term, form in forms.items()
        for place, (part, _) in enumerate(form.parts)
    }


def counts(cost: float | None) -> bool:
    """Whether a removal leaves structure: what it costs is known and more than the noise."""
    return cost is not None and cost > STRUCTURE


def costs_of(case: str) -> dict[str, float | None]:
    """Removed term -> how far the rest, refitted to data without noise, misses the worst column.

    Args:
        case: the law.

    Returns:
        Root mean square errors in standard deviations of 1 % noise; None where the rest cannot be simulated.
    """
    import numpy as np

    from udesys.model.closed_form import ClosedForm
    from udesys.search.measurements import Measurements
    from udesys.select import Refitter
    from udesys.systems import simulate

    system = system_of(case)
    model, exact = system.hybrid(), simulate(system)
    order = [exact.columns.index(state) for state in model.states]
    y = np.concatenate([run.y for run in exact.trajectories])[:, order]
    ends = np.cumsum([len(run.t) for run in exact.trajectories])
    lo = np.append(0, ends[:-1])
    mask = np.zeros_like(y)
    mask[:, [model.states.index(column) for column in system.columns]] = 1.0
    sigma = NOISE * np.abs(y).mean(0)
    data = Measurements(
        t=np.concatenate([run.t for run in exact.trajectories]),
        y=y,
        mask=mask,
        sigma=sigma,
        segments=(lo, ends),
        free=np.ones(len(model.states), bool),
    )
    bounds = {name: parameter.bounds for name, parameter in model.parameters.items()}
    refitter = Refitter(data, y, bounds, np.full(len(y), STEPS, dtype=np.int64))
    known = {name: system.constants[name] for name in model.estimated}
    costs = {}
    for text, forms in removals(right_form(system)).items():
        form = ClosedForm(model, {term: c.formula for term, c in forms.items()}, known)
        with np.errstate(all="ignore"):
            refit = refitter.refit(form, y[lo], iterations=100, robust=True)
        missed = None if refit is None else np.sqrt(refit.squares / np.maximum(mask.sum(0), 1.0)) / sigma
        costs[text] = None if missed is None or not np.isfinite(missed).all() else float(missed.max())
    return costs


# ------------------------------------------------------------------ runs
def remove_each(case: str, seed: int, removed: Sequence[str]) -> Run:
    """One table: the right form, and the law without each of these terms.

    Args:
        case: the law.
        seed: of the noise and the networks.
        removed: as `removals` names them.
    """
    import time

    from udesys.discover import recover
    from udesys.fit import fit
    from udesys.search.candidate import Front
    from udesys.systems import make_data

    began = time.perf_counter()
    system = system_of(case)
    fitted = fit(system.hybrid(), make_data(system, NOISE, seed), seed=seed)
    right = right_form(system)
    laws, said, failures = {"": right, **{t: f for t, f in removals(right).items() if t in removed}}, {}, {}
    for text, forms in laws.items():

        def propose(task, options, seed=0, engines=None, forms=forms):
            return Front(task.term, (forms[task.term],))

        law, failure = attempt(lambda propose=propose: recover(fitted, propose=propose))
        said[text] = [] if failure else [w for w in law.diagnostics.warnings if w in law.warnings]
        if failure:
            failures[text] = failure
    seconds = time.perf_counter() - began
    return Run(case=case, seed=seed, right=said.pop(""), removed=said, failures=failures, seconds=seconds)


def discover_once(name: str, seed: int, degree: int | None) -> Found:
    """A whole discovery, as a user would meet it.

    Args:
        name: of a system.
        seed: of the noise and the networks.
        degree: of a library of polynomials alone; None is the default library.
    """
    from udesys.discover import discover
    from udesys.search import Library, SearchOptions
    from udesys.systems import make_data

    system = system_of(name)
    library = Library() if degree is None else Library(degree=degree, functions=(), products=False, templates=())
    options = SearchOptions(library=library, engines=("sparse",))
    data = make_data(system, NOISE, seed)
    law, failure = attempt(lambda: discover(system.hybrid(), data, seed=seed, options=options))
    if failure:
        return Found(case=name, seed=seed, degree=degree, law={}, warnings=[], failure=failure)
    warnings = [w for w in law.diagnostics.warnings if w in law.warnings]
    found = {term: residual.expression for term, residual in law.residuals.items()}
    return Found(case=name, seed=seed, degree=degree, law=found, warnings=warnings)


# ------------------------------------------------------------------ text
def table(costs: Mapping[str, Mapping[str, float | None]], runs: Sequence[Run], found: Sequence[Found]) -> str:
    """Per law, in how many runs the right form and those without a term were flagged.

    Args:
        costs: law -> removed term -> what it costs on data without noise.
        runs: of all laws.
        found: whole discoveries.
    """
    lines = [f"Residual diagnostics at {100 * NOISE:g} % noise; costs in standard deviations of it"]
    silent, flagged, of_right, of_removed = 0, 0, 0, 0
    for case, removed in costs.items():
        at = [r for r in runs if r.case == case and "" not in r.failures]
        quiet = sum(not r.right for r in at)
        silent, of_right = silent + quiet, of_right + len(at)
        lines.append(f"{case}: the right form silent in {quiet} of {len(at)}")
        for text, cost in removed.items():
            if not counts(cost):
                why = "cannot be simulated" if cost is None else f"costs {cost:.2g}: made up for"
                lines.append(f"    without {text}: {why}, not counted")
                continue
            told = sum(bool(r.removed[text]) for r in at)
            flagged, of_removed = flagged + told, of_removed + len(at)
            lines.append(f"    without {text}: costs {cost:.3g}, flagged in {told} of {len(at)}")
        lines += [f"    seed {r.seed}: {why}" for r in runs if r.case == case for why in r.failures.values()]
    lines.append(f"Right forms silent in {silent} of {of_right}; without a term flagged in {flagged} of {of_removed}")
    for degree_known, words in ((True, "default library: silent"), (False, "polynomials one degree too low: flagged")):
        part = [f for f in found if (f.degree is None) == degree_known and not f.failure]
        for case in dict.fromkeys(f.case for f in part):
            at = [f for f in part if f.case == case]
            good = sum(bool(f.warnings) != degree_known for f in at)
            law = "; ".join(f"{term} = {text}" for term, text in at[0].law.items())
            lines.append(f"{case}, {words} in {good} of {len(at)}, such as {law}")
    lines += [f"{f.case}, seed {f.seed}: {f.failure}" for f in found if f.failure]
    return "\n".join(lines)
