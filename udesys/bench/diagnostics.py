"""Whether the residual diagnostics tell a law that lacks a term from one that does not.

Known laws, 1 % noise. Of every law each additive term of its missing formulas is removed in turn, the rest is refitted
as discovery refits any law, and the warnings are read; so are those of the right form. Which removals count is settled
on data without noise, before any run: the rest, refitted to them, must miss some column by more than the noise (root
mean square). What a refit makes up for to within the noise is no structure, and what cannot be simulated at all is no
law; both are listed and not counted.

Then whole discoveries: from the default library, in which the truth is, and from polynomials one degree too low for it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated

import typer

from udesys.bench._parallel import attempt
from udesys.bench._removals import NOISE, cases, costs_of, counts, known_case, removals, right_form, system_of
from udesys.bench._study import Jobs, Json, Keep, Part, Study, carry_out, markdown

if TYPE_CHECKING:
    from udesys.search import Candidate

TITLE = "how often the residual diagnostics flag a law without one of its terms, and the right one"
EXAMPLE = "udesys bench diagnostics --seeds 20"
FIRST_SEED = 3000  # the runs' noise and weights are seeded FIRST_SEED + k
GIVEN, DEFAULT, LOW = "forms given", "default library", "polynomials one degree too low"  # what a run does
HEADLINES = ("right forms silent, %", "laws without a term flagged, %")
TOO_LOW = {"brusselator": 2, "duffing": 2, "fitzhugh_nagumo": 2, "lotka_volterra": 1, "pendulum": 1, "van_der_pol": 2}


@dataclass(frozen=True, kw_only=True)
class Run:
    """One table of one law, at 1 % noise: its right form and the removals, or one whole discovery.

    Attributes:
        case: the law.
        seed: of the noise and the networks.
        search: the forms are given, or they are sought in the default library or among polynomials.
        costs: removed term -> what that costs on data without noise, see `costs_of`; of given forms.
        law: term -> formula, where it was sought.
        warnings: of the diagnostics about the right form, or the law that was found.
        removed: term that was removed -> warnings of the diagnostics; of those that count.
        failure: what stopped the run; empty where nothing did.
        failures: what stopped a single removal, by its term; it counts as not flagged.
        seconds: for all of it.
    """

    case: str
    seed: int
    search: str
    costs: dict[str, float | None] = field(default_factory=dict)
    law: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    removed: dict[str, list[str]] = field(default_factory=dict)
    failure: str = ""
    failures: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0


def run(
    seeds: Annotated[int, typer.Option(min=1, help="Tables of every law.")] = 20,
    name: Annotated[list[str] | None, typer.Option(help="Only this law; may be repeated.")] = None,
    discoveries: Annotated[
        int, typer.Option(min=0, help="Tables of every law for whole discoveries from a library with or without it.")
    ] = 2,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the first table; the others' follow it.")] = FIRST_SEED,
    part: Part = "1/1",
    jobs: Jobs = 1,
    keep: Keep = None,
    json: Json = False,
) -> None:
    """Remove a term of known laws on purpose, refit the rest to noisy data, and count what the diagnostics flag."""
    chosen = list(cases()) if not name else [known_case(n) for n in name]
    tasks = [(case, seed + k, GIVEN) for case in chosen for k in range(seeds)]
    known = [case for case in chosen if case in TOO_LOW]
    tasks += [(case, seed + k, search) for case in known for k in range(discoveries) for search in (DEFAULT, LOW)]
    runs, seconds = carry_out(check_once, tasks, _warm_up, part=part, jobs=jobs, keep=keep)
    Study(
        bench="diagnostics",
        summary=summary(runs),
        rows=runs,
        published={},
        rivals={},
        seconds=seconds,
        tables=table(runs),
    ).show(json)


def _warm_up() -> None:
    """Imports and compilation, so that no run pays for them."""
    import torch

    torch.set_num_threads(1)
    check_once("lotka_volterra", 0, GIVEN)


# ------------------------------------------------------------------ runs
def check_once(case: str, seed: int, search: str) -> Run:
    """One table of one law; what fails is written down, not raised.

    Args:
        case: the law.
        seed: of the noise and the networks.
        search: GIVEN, DEFAULT or LOW.
    """
    began = time.perf_counter()
    found, failure = attempt(lambda: remove_each(case, seed) if search == GIVEN else discover_once(case, seed, search))
    run = found or Run(case=case, seed=seed, search=search, failure=failure)
    return replace(run, seconds=time.perf_counter() - began)


def remove_each(case: str, seed: int) -> Run:
    """The right form, and the law without each term that counts.

    Args:
        case: the law.
        seed: of the noise and the networks.

    Raises:
        UdesysError: the fit fails, or what comes of the right form.
    """
    from udesys.fit import fit
    from udesys.systems import make_data

    system, costs = system_of(case), costs_of(case)
    fitted = fit(system.hybrid(), make_data(system, NOISE, seed), seed=seed)
    right = right_form(system)
    warnings, removed, failures = _warnings_of(fitted, right), {}, {}
    for text, forms in removals(right).items():
        if counts(costs[text]):
            told, failure = attempt(lambda forms=forms: _warnings_of(fitted, forms))
            removed[text] = told or []
            if failure:
                failures[text] = failure
    return Run(
        case=case, seed=seed, search=GIVEN, costs=dict(costs), warnings=warnings, removed=removed, failures=failures
    )  # fmt: skip


def _warnings_of(fitted, forms: Mapping[str, Candidate]) -> list[str]:
    """What the diagnostics say of the law that has these forms."""
    from udesys.discover import recover
    from udesys.search.candidate import Front

    def propose(task, options, seed=0, engines=None):
        return Front(task.term, (forms[task.term],))

    law = recover(fitted, propose=propose)
    return [w for w in law.diagnostics.warnings if w in law.warnings]


def discover_once(name: str, seed: int, search: str) -> Run:
    """A whole discovery, as a user would meet it.

    Args:
        name: of a system.
        seed: of the noise and the networks.
        search: DEFAULT or LOW.

    Raises:
        UdesysError: the discovery fails.
    """
    from udesys.discover import discover
    from udesys.search import Library, SearchOptions
    from udesys.systems import make_data

    system = system_of(name)
    polynomials = {"functions": (), "products": False, "templates": ()}
    library = Library() if search == DEFAULT else Library(degree=TOO_LOW[name], **polynomials)
    options = SearchOptions(library=library, engines=("sparse",))
    law = discover(system.hybrid(), make_data(system, NOISE, seed), seed=seed, options=options)
    warnings = [w for w in law.diagnostics.warnings if w in law.warnings]
    found = {term: residual.expression for term, residual in law.residuals.items()}
    return Run(case=name, seed=seed, search=search, law=found, warnings=warnings)


# ------------------------------------------------------------------ figures
def summary(runs: Sequence[Run]) -> dict[str, float]:
    """The shares of right forms that are silent and of laws without a term that are flagged.

    Args:
        runs: of any laws; those that failed are left out.
    """
    answers: dict[str, list[bool]] = {}
    for r in runs:
        if r.failure:
            continue
        name = {GIVEN: "right forms silent, %", DEFAULT: f"laws from the {DEFAULT} silent, %"}.get(r.search)
        if name:
            answers.setdefault(name, []).append(not r.warnings)
        if r.search == GIVEN:
            answers.setdefault("laws without a term flagged, %", []).extend(map(bool, r.removed.values()))
        if r.search == LOW:
            answers.setdefault(f"laws from {LOW} flagged, %", []).append(bool(r.warnings))
    return {name: 100 * sum(told) / len(told) for name, told in answers.items() if told}


# ------------------------------------------------------------------ text
def table(runs: Sequence[Run]) -> str:
    """In how many runs the right form and those without a term were flagged, as Markdown.

    Args:
        runs: of any laws.
    """
    given, rows = [r for r in runs if r.search == GIVEN and not r.failure], []
    for case in dict.fromkeys(r.case for r in given):
        at = [r for r in given if r.case == case]
        rows.append([case, "nothing", None, _share([bool(r.warnings) for r in at])])
        for text, cost in at[0].costs.items():
            told = [bool(r.removed[text]) for r in at if counts(cost)]
            why = "cannot be simulated" if cost is None else "made up for"
            rows.append(["", text, cost and f"{cost:.3g}", _share(told) if counts(cost) else f"{why}, not counted"])
    silent, flagged = [not r.warnings for r in given], [bool(w) for r in given for w in r.removed.values()]
    said = [f"Right forms silent in {_share(silent)}; without a term flagged in {_share(flagged)}."] if given else []
    for search, words in ((DEFAULT, "silent"), (LOW, "flagged")):
        part = [r for r in runs if r.search == search and not r.failure]
        for case in dict.fromkeys(r.case for r in part):
            at = [r for r in part if r.case == case]
            good = [bool(r.warnings) == (words == "flagged") for r in at]
            law = "; ".join(f"{term} = {text}" for term, text in at[0].law.items())
            said.append(f"{case}, {search}: {words} in {_share(good)}, such as {law}.")
    said += [f"{r.case}, {r.search}, seed {r.seed}: {r.failure}" for r in runs if r.failure]
    said += [f"{r.case}, without {t}, seed {r.seed}: {why}" for r in runs for t, why in r.failures.items()]
    title = f"Residual diagnostics at {100 * NOISE:g} % noise; costs of a removal in standard deviations of it"
    return "\n\n".join([title, *([markdown(["law", "without", "costs", "flagged"], rows)] if rows else []), *said])


def _share(answers: Sequence[bool]) -> str:
    return f"{sum(answers)} of {len(answers)}"
