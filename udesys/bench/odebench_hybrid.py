"""Systems of which one additive term is unknown, from one trajectory each, beside pysindy.

Of every system of ODEBench's that are built in, or of a list (see `_system_list`), one term of one right side is
hidden: all right sides are multiplied out into sums, as `_system_list.constants_needed` does, and a seeded draw picks
among all their terms, whatever they are. Several seeds make several draws, for how hard a system is depends on which
term is hidden. A network of all states stands in its place, and the rest of the law is given with its constants.
pysindy is given as much: it regresses the derivative of the data less the known part, once with the derivative that it
takes as it comes, and once with that or the one of smoothed data, whichever law simulates the data better: a choice of
ours, and a stronger rival. All are judged by the same functions.

Source of the systems: d'Ascoli, Becker, Mathis, Schwaller & Kilbertus, ODEFormer, arXiv:2310.05573.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from udesys.bench import _pysindy
from udesys.bench._odebench_tables import BEST_OR_TIED, of_rival, said
from udesys.bench._one_trajectory import better_model, judgement_of, measured, timed_law, with_numbers
from udesys.bench._parallel import attempt
from udesys.bench._study import Jobs, Json, Keep, Part, Study, carry_out, markdown
from udesys.bench._verdict import FAILED, OUTCOMES
from udesys.bench.odebench import NOISES, Systems, chosen_systems, pysindy_or_notice, shares
from udesys.model import tree as T
from udesys.model.program import Program

if TYPE_CHECKING:
    from udesys.bench._same_form import TrueTerm
    from udesys.data import Dataset
    from udesys.model.closed_form import Formula
    from udesys.systems import System

TITLE = "the same systems with one additive term unknown and the rest known, beside pysindy"
EXAMPLE = "udesys bench odebench-hybrid --system 24 --noise 1%"
AIMS = {0.0: 90, 0.01: 85, 0.05: 65}  # % exact, by noise
TIMES_THE_RIVAL = {0.01: 2.0, 0.05: 2.0}  # exact ones, over pysindy's best setting
CHOSEN = ", derivative chosen"  # of a rival's name: which derivative it takes was chosen by simulation
HEADLINES = ("exact, *", "exact over*[1-9] % noise", "median s")
LESS_IS_BETTER = ("median*",)
MEASURES = ("exact", "exact where the truth is best or tied")
DIGITS = 17  # of the known constants, so that none is rounded


@dataclass(frozen=True, kw_only=True)
class Rival:
    """What a rival made of the same data and the same known part.

    Attributes:
        setting: its name; with `CHOSEN` at its end where its derivative was chosen.
        exact: its term has the true structure.
        error: relative L2 error of its term along the true trajectory; None where there is none.
        law: its term.
        seconds: of its fit, or of two and the choice between them.
        failure: why there is no term.
    """

    setting: str
    exact: bool = False
    error: float | None = None
    law: str = ""
    seconds: float
    failure: str = ""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One discovery of a hidden term.

    Attributes:
        system: its number in the list.
        noise: standard deviation of each value over the value.
        seed: of the draw of the term, of the noise, and of the weights.
        hidden: the term, and the state in whose right side it is.
        outcome: one of `_verdict.OUTCOMES`.
        exact: the pick has the true structure.
        listed: the true structure is within reach of the lowest criterion.
        truth_delta: criterion of the true structure, refitted, less the lowest one; None where it was not scored.
        error: relative L2 error of the term along the true trajectory; None where there is none.
        law: the term that was found.
        seconds: from the data to the law.
        steps: name of a step -> its seconds.
        failure: what stopped the discovery; empty where nothing did.
        rivals: with the same data and the same known part.
    """

    system: int
    noise: float
    seed: int
    hidden: str = ""
    outcome: str
    exact: bool = False
    listed: bool = False
    truth_delta: float | None = None
    error: float | None = None
    law: str = ""
    seconds: float
    steps: dict[str, float] = field(default_factory=dict)
    failure: str = ""
    rivals: tuple[Rival, ...] = ()


def run(
    systems: Systems = None,
    system: Annotated[list[int] | None, typer.Option(help="Only the system of this id; may be repeated.")] = None,
    noise: Annotated[list[str] | None, typer.Option(help="Only this level, such as 1%; may be repeated.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the hidden terms, the noise and the weights.")] = 0,
    seeds: Annotated[int, typer.Option(min=1, help="So many draws of hidden terms, from that seed on.")] = 3,
    no_rivals: Annotated[bool, typer.Option("--no-rivals", help="Leave pysindy out.")] = False,
    part: Part = "1/1",
    jobs: Jobs = 1,
    keep: Keep = None,
    json: Json = False,
) -> None:
    """Hide a term of every system of a list, and print how often it is found, beside pysindy.

    A list has the form of that of `udesys bench odebench`.
    """
    numbers = chosen_systems(systems, system)
    rivals = not no_rivals and pysindy_or_notice()
    levels, draws = shares(noise, "noise") or NOISES, range(seed, seed + seeds)
    tasks = [(systems, number, level, draw, rivals) for level in levels for draw in draws for number in numbers]
    runs, seconds = carry_out(discover_once, tasks, warm_up, part=part, jobs=jobs, keep=keep)
    Study(
        bench="odebench-hybrid",
        summary=summary(runs),
        rows=runs,
        published={},
        rivals=rivals_summary(runs),
        packages=_pysindy.PACKAGES if rivals else (),
        seconds=seconds,
        tables=table(runs),
    ).show(json)


def warm_up() -> None:
    """Imports and compilation, so that no run pays for them."""
    import torch

    import udesys as ud
    from udesys.systems import get_system

    torch.set_num_threads(1)
    system = hide_a_term(get_system("odebench:24"), 0)
    attempt(lambda: ud.discover(system.hybrid(), measured(system, 0.01, 0.0, 0), seed=0))


# ------------------------------------------------------------------ the hidden term
def hide_a_term(system: System, seed: int) -> System:
    """A system with one additive term unknown, drawn from all terms of all right sides, and all else known.

    Nothing is left out of the draw: a bare constant and a rate times one state are terms of laws as others are.

    Args:
        system: of which nothing is known.
        seed: of the draw, with the system's number.
    """
    from udesys.bench._system_list import constants_needed

    right_sides = [additive_terms(right_side) for right_side in system.true_rhs()]
    every = [(state, k) for state, terms in enumerate(right_sides) for k in range(len(terms))]
    number = int(system.name.rpartition(":")[2])
    place, which = every[np.random.default_rng((seed, number)).integers(len(every))]
    hidden = right_sides[place].pop(which)
    known = [T.to_text(T.total([with_numbers(term) for term in terms]), DIGITS) for terms in right_sides]
    network = f"NN({', '.join(system.states)})"
    known[place] = network if known[place] == "0" else f"{known[place]} + {network}"
    return replace(
        system,
        equations="\n".join(f"{state}' = {text}" for state, text in zip(system.states, known, strict=True)),
        missing={network: T.to_text(hidden.tree, DIGITS)},
        constants=dict(hidden.constants),
        free=(constants_needed(hidden.tree, hidden.constants),),
    )


def additive_terms(right_side: T.Tree) -> list[Formula]:
    """The terms of a right side that is multiplied out, with names for their numbers: c0, the coefficient, c1, ...

    Args:
        right_side: over the states, with the values of its constants in place.
    """
    from udesys.model.closed_form import Formula
    from udesys.search.normal_form import split

    terms, coefficients, inner = split(right_side)
    found = []
    for term, coefficient in zip(terms, coefficients, strict=True):
        constants = {"c0": coefficient}
        form = _with_names(with_numbers(Formula(term, inner)), constants)
        found.append(Formula(T.mul(T.Symbol("c0"), form), constants))
    return found


def _with_names(tree: T.Tree, constants: dict[str, float]) -> T.Tree:
    """The tree with names for its numbers, which are put among the constants; exponents and ones stay."""
    if isinstance(tree, T.Number) and abs(tree.value) != 1:
        name = f"c{len(constants)}"
        constants[name] = tree.value
        return T.Symbol(name)
    if not isinstance(tree, T.Operation):
        return tree
    if tree.op == "pow" and isinstance(tree.args[1], T.Number):
        return T.power(_with_names(tree.args[0], constants), tree.args[1])
    return T.build(tree.op, *(_with_names(argument, constants) for argument in tree.args))


def known_part(system: System) -> tuple[list[T.Tree], int]:
    """The right sides without the hidden term, one tree for each state, and the place of the one that has it.

    Args:
        system: with a hidden term.
    """
    model = system.hybrid()
    (term,) = model.terms
    known = list(model.with_formulas({term: T.ZERO}))
    return known, next(k for k, (a, b) in enumerate(zip(known, model.rhs, strict=True)) if a != b)


# ------------------------------------------------------------------ one run
def discover_once(systems: Path | None, number: int, noise: float, seed: int, rivals: bool = False) -> Run:
    """One hidden term's discovery from one trajectory; what goes wrong is written down, not raised.

    Args:
        systems: the list; the built-in systems of ODEBench if None.
        number: of the system there.
        noise: standard deviation of each value over the value.
        seed: of the draw of the term, of the noise, and of the weights.
        rivals: let pysindy work on the same data.
    """
    from udesys.bench._found import true_terms_of
    from udesys.bench._system_list import read_systems
    from udesys.systems import simulate

    def prepared():
        system = hide_a_term(read_systems(systems)[number], seed)
        return system, simulate(system), measured(system, noise, 0.0, seed), true_terms_of(system)

    setting = {"system": number, "noise": noise, "seed": seed}
    made, failure = attempt(prepared)
    if failure:
        return Run(**setting, seconds=0.0, outcome=FAILED, failure=failure)
    system, exact, data, truths = made
    (truth,) = truths.values()
    hidden = f"{T.to_text(with_numbers(truth.formula))} in {system.states[known_part(system)[1]]}'"
    found = _discovered(system, exact, data, truths, seed)
    names = _pysindy.SETTINGS if rivals else ()
    ways = [(name, chosen) for chosen in (False, True) for name in names]
    of_rivals = tuple(rival(name, system, exact, data, truths, chosen) for name, chosen in ways)
    return Run(**setting, hidden=hidden, **found, rivals=of_rivals)


def _discovered(system: System, exact: Dataset, data: Dataset, truths: dict[str, TrueTerm], seed: int) -> dict:
    """What a run has of udesys' own term."""
    law, selection, seconds, failure = timed_law(system, data, seed)
    if not failure:
        judgement, failure = attempt(lambda: judgement_of(system, law, selection, truths))
    if failure:
        return {"seconds": seconds, "outcome": FAILED, "failure": failure}
    ((name, truth),) = truths.items()
    formula = law.closed_form.formulas[name]
    return {
        **judgement,
        "seconds": seconds,
        "error": term_error(formula, truth, exact),
        "law": T.to_text(with_numbers(formula)),
        "steps": law.timing_s,
    }


def rival(
    name: str, system: System, exact: Dataset, data: Dataset, truths: dict[str, TrueTerm], chosen: bool = False
) -> Rival:
    """What pysindy makes of the derivative of the data less the known part, in one setting.

    Args:
        name: of the setting.
        system: with a hidden term.
        exact: the runs that it is judged by.
        data: what it is given.
        truths: the true term.
        chosen: smooth the data before the derivative is taken, where that gives the law that follows them better.
    """
    (run,), (truth,) = data.trajectories, truths.values()
    known, place = known_part(system)

    def model(smooth: bool) -> list[Formula]:
        x, slopes = _pysindy.derivatives(run.t, run.y, smooth=smooth)
        target = slopes[:, place] - _values(known[place], system.states, x)
        return _pysindy.regressed(_pysindy.SETTINGS[name], system.states, x, target[:, None])

    def right_sides(formulas: Sequence[Formula]) -> list[T.Tree]:
        whole = T.add(known[place], with_numbers(formulas[0]))
        return [whole if k == place else right_side for k, right_side in enumerate(known)]

    setting, began = name + CHOSEN * chosen, time.perf_counter()
    if chosen:
        formulas, failure = better_model(model, right_sides, system.states, run)
    else:
        formulas, failure = attempt(lambda: model(False))
    seconds = time.perf_counter() - began
    if failure:
        return Rival(setting=setting, seconds=seconds, failure=failure)
    right, failure = attempt(lambda: truth.has_form(formulas[0]))
    return Rival(
        setting=setting,
        exact=bool(right),
        error=term_error(formulas[0], truth, exact),
        law=T.to_text(with_numbers(formulas[0])),
        seconds=seconds,
        failure=failure,
    )


def term_error(formula: Formula, truth: TrueTerm, exact: Dataset) -> float | None:
    """Relative L2 error of a term along the true trajectory that was measured; None where it is not finite.

    Args:
        formula: of the term.
        truth: the true one.
        exact: the runs without noise, the measured one first.
    """
    points = exact.trajectories[0].y
    found, true = (_values(with_numbers(f), truth.arguments, points) for f in (formula, truth.formula))
    with np.errstate(all="ignore"):
        error = float(np.linalg.norm(found - true) / np.linalg.norm(true))
    return error if math.isfinite(error) else None


def _values(tree: T.Tree, names: Sequence[str], points: np.ndarray) -> np.ndarray:
    """(n,) of a tree at points (n, names)."""
    with np.errstate(all="ignore"):
        (values,) = Program([tree], names).run(list(points.T))
    return np.broadcast_to(np.asarray(values, float), len(points))


# ------------------------------------------------------------------ headline numbers
def summary(runs: Sequence[Run]) -> dict[str, float | None]:
    """The shares in percent at every noise level, the errors, the time, and the exact ones over pysindy's best.

    Args:
        runs: of any systems and levels.
    """
    if not runs:
        return {}
    numbers, others = _numbers(runs), rivals_summary(runs)
    for level in _levels(runs) if others else ():
        name = f"exact, {said(level, 0.0)}, %"
        for chosen in (False, True):
            shares_found = (other[name] or 0 for who, other in others.items() if who.endswith(CHOSEN) == chosen)
            best = max(shares_found, default=0)
            numbers[over(level, chosen)] = round(numbers[name] / best, 2) if best else None
    return numbers


def over(level: float, chosen: bool) -> str:
    """What the exact ones over those of pysindy's best setting are called.

    Args:
        level: of noise.
        chosen: over those whose derivative was chosen.
    """
    return f"exact over pysindy's best{CHOSEN * chosen}, {said(level, 0.0)}"


def rivals_summary(runs: Sequence[Run]) -> dict[str, dict[str, float | None]]:
    """Setting of pysindy -> the same numbers.

    Args:
        runs: of any systems and levels.
    """
    names = dict.fromkeys(rival.setting for r in runs for rival in r.rivals)
    return {name: _numbers(runs, name) for name in names}


def _numbers(runs: Sequence[Run], rival: str = "") -> dict[str, float | None]:
    numbers: dict[str, float | None] = {}
    for level in _levels(runs):
        here = [r for r in runs if r.noise == level]
        for measure in MEASURES:
            numbers[f"{measure}, {said(level, 0.0)}, %"] = _share(here, measure, rival)
        numbers[f"median error, {said(level, 0.0)}"] = _median_error(of_rival(here, rival))
    numbers["median s"] = round(statistics.median(one.seconds for one in of_rival(runs, rival)), 2)
    return numbers


def _share(runs: Sequence[Run], measure: str, rival: str) -> float | None:
    among = runs if measure == MEASURES[0] else [r for r in runs if r.outcome in BEST_OR_TIED]
    found = [one.exact for one in of_rival(among, rival)]
    return round(100 * sum(found) / len(found), 1) if found else None


def _median_error(found: Sequence[Run | Rival]) -> float | None:
    """None where half of the terms or more have none."""
    median = statistics.median(math.inf if one.error is None else one.error for one in found) if found else math.inf
    return float(f"{median:.3g}") if math.isfinite(median) else None


def _levels(runs: Sequence[Run]) -> list[float]:
    return sorted({r.noise for r in runs})


# ------------------------------------------------------------------ text
def table(runs: Sequence[Run]) -> str:
    """The shares at every noise level beside the rivals' and the aims, what misses are due to, and every miss.

    Args:
        runs: of any systems and levels.
    """
    if not runs:
        return "no runs"
    levels = _levels(runs)
    parts = [_of_level([r for r in runs if r.noise == level], level) for level in levels]
    counts = [[o, *(sum(r.outcome == o for r in runs if r.noise == level) for level in levels)] for o in OUTCOMES]
    parts.append(markdown(["terms by outcome", *(said(level, 0.0) for level in levels)], counts))
    missed = [_miss(r) for level in levels for r in runs if r.noise == level and not r.exact]
    return "\n\n".join([*parts, "\n".join(missed)] if missed else parts)


def _of_level(runs: Sequence[Run], level: float) -> str:
    rows = []
    for name in ("", *dict.fromkeys(rival.setting for r in runs for rival in r.rivals)):
        found, shares_found = of_rival(runs, name), [_share(runs, measure, name) for measure in MEASURES]
        cells = [None if share is None else f"{share:.0f} %" for share in shares_found]
        median = statistics.median(one.seconds for one in found)
        rows.append([name or "udesys", *cells, _median_error(found), f"{median:.2f}"])
    if level in AIMS:
        rows.append(["aim", f"{AIMS[level]} %", None, None, None])
    setting, best = said(level, 0.0), sum(r.outcome in BEST_OR_TIED for r in runs)
    terms = f"{len(runs)} terms of {len({r.system for r in runs})} systems"
    text = f"{setting[0].upper()}{setting[1:]}: {terms}; the truth is best or tied for {best}."
    numbers = summary(runs)
    if numbers.get(over(level, False)) is not None and level in TIMES_THE_RIVAL:
        times, chosen = numbers[over(level, False)], numbers[over(level, True)]
        text += f" Exact ones over pysindy's best: {times:g} (aim {TIMES_THE_RIVAL[level]:g})"
        text += "." if chosen is None else f"; {chosen:g} with the derivative chosen."
    return f"{text}\n\n{markdown(['', *MEASURES, 'median error', 'median s'], rows)}"


def _miss(run: Run) -> str:
    where = f"- {run.system}, {said(run.noise, 0.0)}, seed {run.seed}: {run.outcome}"
    if run.failure:
        return f"{where}: {run.failure}"
    delta = "" if run.truth_delta is None else f", the truth at delta {run.truth_delta:+.1f}"
    error = "" if run.error is None else f", error {run.error:.2g}"
    return f"{where}{delta}{error}: {run.law} for {run.hidden}"
