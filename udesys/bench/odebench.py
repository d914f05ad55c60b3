"""Systems of which nothing is known, from one trajectory each, as in ODEBench, beside pysindy.

Every system of ODEBench's that are built in, or of a list (see `_system_list`), is trained on its first start alone:
with noise in proportion to the values, x*(1 + s*N(0, 1)), and with or without half of the samples dropped at random. A
law is judged where ODEBench judges it: R2 > 0.9 of a simulation from the first start (reconstruction) and from the
second one, which it has never seen (generalisation), both beside the exact solution; and whether its structure is the
true one. Rivals are judged by the same functions. Each counts with its better one of two derivatives: the one whose
model follows the data better.

Source: d'Ascoli, Becker, Mathis, Schwaller & Kilbertus, ODEFormer, arXiv:2310.05573.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from udesys.bench import _pysindy
from udesys.bench._odebench_tables import PUBLISHED, rivals_summary, summary, table
from udesys.bench._one_trajectory import better_model, judgement_of, measured, r_squared, timed_law, with_numbers
from udesys.bench._parallel import attempt
from udesys.bench._study import Jobs, Json, Keep, Part, Study, carry_out
from udesys.bench._verdict import FAILED
from udesys.errors import DataError
from udesys.model import tree as T

if TYPE_CHECKING:
    from udesys.bench._same_form import TrueTerm
    from udesys.data import Dataset
    from udesys.model.closed_form import Formula
    from udesys.systems import System

TITLE = "systems of which nothing is known, from one trajectory each, as in ODEBench, beside pysindy"
EXAMPLE = "udesys bench odebench --system 24 --noise 1% --dropped 0"
HEADLINES = ("*, no noise, %", "*, 5 % noise, half dropped, %", "median s")
LESS_IS_BETTER = ("median s",)
NOISES = (0.0, 0.01, 0.05)
DROPPED = 0.5  # share of the samples
Systems = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="A list of systems, in JSON; ODEBench's 43 that are built in otherwise."),
]


@dataclass(frozen=True, kw_only=True)
class Rival:
    """What a rival made of the same data.

    Attributes:
        setting: its name.
        reconstruction: R2 from the first start; None where the simulation does not reach the end.
        generalisation: R2 from the second start, likewise.
        exact: its model has the true structure.
        law: state -> right side.
        seconds: of both its fits and the choice between them.
        failure: why there is no model.
    """

    setting: str
    reconstruction: float | None = None
    generalisation: float | None = None
    exact: bool = False
    law: dict[str, str] = field(default_factory=dict)
    seconds: float
    failure: str = ""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One discovery.

    Attributes:
        system: its number in the list.
        noise: standard deviation of each value over the value.
        dropped: share of the samples that were left out.
        seed: of the noise, of what was dropped, and of the weights.
        outcome: one of `_verdict.OUTCOMES`.
        exact: the pick has the true structure.
        listed: the true structure is within reach of the lowest criterion.
        truth_delta: criterion of the true structure, refitted, less the lowest one; None where it was not scored.
        reconstruction: R2 from the first start; None where the simulation does not reach the end.
        generalisation: R2 from the second start, likewise.
        law: state -> right side.
        seconds: from the data to the law.
        steps: name of a step -> its seconds.
        failure: what stopped the discovery; empty where nothing did.
        rivals: in the same data.
    """

    system: int
    noise: float
    dropped: float
    seed: int
    outcome: str
    exact: bool = False
    listed: bool = False
    truth_delta: float | None = None
    reconstruction: float | None = None
    generalisation: float | None = None
    law: dict[str, str] = field(default_factory=dict)
    seconds: float
    steps: dict[str, float] = field(default_factory=dict)
    failure: str = ""
    rivals: tuple[Rival, ...] = ()


def run(
    systems: Systems = None,
    system: Annotated[list[int] | None, typer.Option(help="Only the system of this id; may be repeated.")] = None,
    noise: Annotated[list[str] | None, typer.Option(help="Only this level, such as 1%; may be repeated.")] = None,
    dropped: Annotated[
        list[str] | None, typer.Option(help="Only this share of dropped samples, such as 50%; may be repeated.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the noise, the dropped samples and the weights.")] = 0,
    no_rivals: Annotated[bool, typer.Option("--no-rivals", help="Leave pysindy out.")] = False,
    part: Part = "1/1",
    jobs: Jobs = 1,
    keep: Keep = None,
    json: Json = False,
) -> None:
    """Discover systems of a list from one trajectory each, and print how often their laws are found, beside pysindy.

    A list is JSON: {"systems": [{"id", "name", "equations", "constants", "initial", "t_end", "n_samples"}, ...]}, with
    equations over x_0, x_1, ... and c_0, c_1, ..., and two starts each.
    """
    numbers = chosen_systems(systems, system)
    levels = shares(noise, "noise") or NOISES
    rivals = not no_rivals and pysindy_or_notice()
    tasks = [
        (systems, number, level, share, seed, rivals)
        for level in levels
        for share in shares(dropped, "dropped", below=1.0) or (0.0, DROPPED)
        for number in numbers
    ]
    runs, seconds = carry_out(discover_once, tasks, warm_up, part=part, jobs=jobs, keep=keep)
    published = PUBLISHED if is_odebench(systems) else {}
    Study(
        bench="odebench",
        summary=summary(runs),
        rows=runs,
        published=published,
        rivals=rivals_summary(runs),
        packages=_pysindy.PACKAGES if rivals else (),
        seconds=seconds,
        tables=table(runs, published),
    ).show(json)


# ------------------------------------------------------------------ options
def chosen_systems(path: Path | None, numbers: Sequence[int] | None) -> list[int]:
    """The systems of a list that were asked for; all where none was.

    Args:
        path: of the list; the built-in systems of ODEBench if None.
        numbers: ids.

    Raises:
        DataError: the list cannot be read, or it has no system of that number.
    """
    from udesys.bench._system_list import read_systems

    known = list(read_systems(path))
    unknown = [number for number in numbers or () if number not in known]
    if unknown:
        there = path or "the built-in table of ODEBench"
        raise DataError(f"{there} has no system {unknown[0]}. It has {', '.join(map(str, known))}.")
    return list(dict.fromkeys(numbers)) if numbers else known


def is_odebench(path: Path | None) -> bool:
    """Whether a list has the laws and starts of ODEBench's systems, for which alone its figures are published.

    Args:
        path: of the list; the built-in systems of ODEBench if None.
    """
    from udesys.bench._system_list import read_systems

    def laws(path: Path | None) -> list:
        return [(system.true_rhs(), system.starts) for system in read_systems(path).values()]

    return path is None or laws(path) == laws(None)


def shares(texts: Sequence[str] | None, name: str, *, below: float = math.inf) -> list[float]:
    """Percentages that were asked for as fractions, each once; none where nothing was.

    Args:
        texts: such as "5%".
        name: of the option.
        below: what each has to be.

    Raises:
        DataError: one is no share.
    """
    from udesys.data import parse_percent

    found = list(dict.fromkeys(parse_percent(text, name=name) for text in texts or ()))
    if any(share >= below for share in found):
        raise DataError(f"{name} must be below {100 * below:g} %, but is {100 * max(found):g} %.")
    return found


def pysindy_or_notice() -> bool:
    """Whether pysindy can run; how to install it is told where it cannot."""
    if not _pysindy.is_installed():
        typer.echo(f"pysindy is not installed, and is left out. Install it: {_pysindy.INSTALL}", err=True)
    return _pysindy.is_installed()


def warm_up() -> None:
    """Imports and compilation, so that no run pays for them."""
    import torch

    import udesys as ud
    from udesys.systems import get_system

    torch.set_num_threads(1)
    system = get_system("odebench:24")
    attempt(lambda: ud.discover(system.hybrid(), measured(system, 0.01, DROPPED, 0), seed=0))


# ------------------------------------------------------------------ one run
def discover_once(
    systems: Path | None, number: int, noise: float, dropped: float, seed: int, rivals: bool = False
) -> Run:
    """One system's discovery from one trajectory; what goes wrong is written down, not raised.

    Args:
        systems: the list; the built-in systems of ODEBench if None.
        number: of the system there.
        noise: standard deviation of each value over the value.
        dropped: share of the samples that are left out.
        seed: of the noise, of what is dropped, and of the weights.
        rivals: let pysindy work on the same data.
    """
    from udesys.bench._found import true_terms_of
    from udesys.bench._system_list import read_systems
    from udesys.systems import simulate

    system = read_systems(systems)[number]
    setting = {"system": number, "noise": noise, "dropped": dropped, "seed": seed}
    made, failure = attempt(lambda: (simulate(system), measured(system, noise, dropped, seed), true_terms_of(system)))
    if failure:
        return Run(**setting, seconds=0.0, outcome=FAILED, failure=failure)
    exact, data, truths = made
    found = _discovered(system, exact, data, truths, seed)
    of_rivals = ()
    if rivals:
        of_rivals = tuple(rival(name, system.states, exact, data, truths) for name in _pysindy.SETTINGS)
    return Run(**setting, **found, rivals=of_rivals)


def _discovered(system: System, exact: Dataset, data: Dataset, truths: Mapping[str, TrueTerm], seed: int) -> dict:
    """What a run has of udesys' own law."""
    law, selection, seconds, failure = timed_law(system, data, seed)
    if not failure:
        judgement, failure = attempt(lambda: judgement_of(system, law, selection, truths))
    if failure:
        return {"seconds": seconds, "outcome": FAILED, "failure": failure}
    right_sides = list(law.closed_form.numbers_in_place().values())
    scores = [r_squared(right_sides, system.states, run) for run in exact.trajectories]
    return {
        **judgement,
        "seconds": seconds,
        "reconstruction": scores[0],
        "generalisation": scores[1],
        "law": {state: T.to_text(tree) for state, tree in zip(system.states, right_sides, strict=True)},
        "steps": law.timing_s,
    }


def rival(name: str, states: Sequence[str], exact: Dataset, data: Dataset, truths: Mapping[str, TrueTerm]) -> Rival:
    """What pysindy makes of the data in one setting.

    Args:
        name: of the setting.
        states: names.
        exact: the runs that it is judged by.
        data: what it is given.
        truths: the true right sides, in the order of the states.
    """
    (run,) = data.trajectories

    def model(smooth: bool) -> list[Formula]:
        return _pysindy.regressed(_pysindy.SETTINGS[name], states, *_pysindy.derivatives(run.t, run.y, smooth=smooth))

    def right_sides(formulas: Sequence[Formula]) -> list[T.Tree]:
        return [with_numbers(formula) for formula in formulas]

    began = time.perf_counter()
    formulas, failure = better_model(model, right_sides, states, run)
    seconds = time.perf_counter() - began
    if failure:
        return Rival(setting=name, seconds=seconds, failure=failure)
    trees = right_sides(formulas)
    scores = [r_squared(trees, states, one) for one in exact.trajectories]
    right, failure = attempt(lambda: all(t.has_form(f) for t, f in zip(truths.values(), formulas, strict=True)))
    return Rival(
        setting=name,
        reconstruction=scores[0],
        generalisation=scores[1],
        exact=bool(right),
        law={state: T.to_text(tree) for state, tree in zip(states, trees, strict=True)},
        seconds=seconds,
        failure=failure,
    )
