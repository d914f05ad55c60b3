"""Fields on a line, from their measurements to the law: what is missing, and the constants beside it.

Fisher-KPP as in the reaction-diffusion study of arXiv:2001.04385 (bump, D = 0.01, r = 1, on a ring), its spatial part
a learned stencil and its reaction a network, on 25 points and on 400; Burgers' equation with its transport unknown;
the Brusselator with diffusion, its autocatalytic step unknown and shared by both equations. The hybrid with its
network and the law recovered from it stand side by side.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

import typer

from udesys.bench._beside import WHOSE, cases_of, spread
from udesys.bench._parallel import attempt
from udesys.bench._study import Jobs, Json, Keep, Part, Study, carry_out, markdown
from udesys.errors import DataError, did_you_mean

if TYPE_CHECKING:
    from udesys.systems import System

TITLE = "fields on a line: reaction, transport and a learned stencil found from their measurements"
EXAMPLE = "udesys bench fields --case fisher-kpp --seeds 5"
HEADLINES = ("right, %", "*largest error*", "seconds, *")
LESS_IS_BETTER = ("*largest error*", "seconds*")
COARSE, FINE = "fisher-kpp", "fisher-kpp-400"
RATIO = "seconds, 400 points over 25"


@dataclass(frozen=True)
class Case:
    """What is measured.

    Attributes:
        noise: as a share of each field's mean magnitude.
        constants: label -> true value, of the law as it is recovered; the network's are the formula's.
        aims: label -> largest error [%]; where the truth is zero, its interval is to hold it.
        system: name of the built-in system, or "" for Fisher-KPP with a stencil.
        points: of the grid.
    """

    noise: float
    constants: Mapping[str, float]
    aims: Mapping[str, float]
    system: str = ""
    points: int = 0


_STENCIL = {"beta1_u": 0.0, "beta2_u": 0.0, "beta3_u": -0.01, "r": 1.0}
_WITHIN = {"beta3_u": 5.0, "r": 2.0}
CASES = {
    COARSE: Case(0.005, _STENCIL, _WITHIN, points=25),
    FINE: Case(0.005, _STENCIL, _WITHIN, points=400),
    "burgers": Case(0.01, {"nu": 0.1, "c": 1.0}, {"nu": 5.0, "c": 5.0}, system="burgers"),
    "brusselator": Case(0.01, {"D": 0.02, "k": 1.0}, {"D": 5.0, "k": 5.0}, system="brusselator_field"),
}
# Which constant of the formula, written as a sum of monomials, is a true one, and its sign there.
MONOMIALS = {"r": {"u": 1.0, "u**2": -1.0}, "c": {"dx(u)*u": -1.0}, "k": {"u**2*v": 1.0}}


@dataclass(frozen=True, kw_only=True)
class Run:
    """One table of fields, its hybrid and its law.

    Attributes:
        case: its name.
        points: of the grid.
        seed: of the noise and the networks.
        right: the law's formula is the true one.
        formula: of the law.
        hybrid, law: label -> value.
        inside: label -> whether the law's 95 % interval holds the truth.
        term: "hybrid" and "law" -> relative L2 error of the missing term along the true fields.
        fit_seconds, seconds: of the hybrid's fit, and of all until the law.
        failure: what stopped the run; empty where nothing did.
    """

    case: str
    points: int
    seed: int
    right: bool = False
    formula: str = ""
    hybrid: dict[str, float] = field(default_factory=dict)
    law: dict[str, float] = field(default_factory=dict)
    inside: dict[str, bool] = field(default_factory=dict)
    term: dict[str, float] = field(default_factory=dict)
    fit_seconds: float = math.nan
    seconds: float = math.nan
    failure: str = ""

    def error(self, whose: str, label: str) -> float:
        """In % of the truth; where that is zero, the value itself; infinite where there is none."""
        truth, found = CASES[self.case].constants[label], getattr(self, whose).get(label, math.inf)
        return 100 * abs(found / truth - 1) if truth else abs(found)


def run(
    case: Annotated[list[str] | None, typer.Option(help="Only this case; may be repeated.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Tables of each case.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the first; the others' follow it.")] = 0,
    part: Part = "1/1",
    jobs: Jobs = 1,
    keep: Keep = None,
    json: Json = False,
) -> None:
    """Fit the hybrids of fields, recover their laws, and print the constants of both beside the true ones."""
    for name in case or ():
        if name not in CASES:
            raise DataError(f"there is no case {name!r}. {did_you_mean(name, CASES)}")
    tasks = [(name, seed + k) for name in case or CASES for k in range(seeds)]
    runs, seconds = carry_out(find_once, tasks, _warm_up, part=part, jobs=jobs, keep=keep)
    Study(
        bench="fields",
        summary=summary(runs),
        rows=runs,
        published={},
        rivals={"its hybrid": largest(runs, "hybrid")},
        seconds=seconds,
        tables=table(runs),
    ).show(json)


def _warm_up() -> None:
    """Imports and compilation, so that no run pays for them."""
    import torch

    torch.set_num_threads(1)
    find_once(COARSE, 1000)


def system_of(case: str) -> System:
    """The system that a case measures."""
    from udesys.model import Grid
    from udesys.systems import System, get_system
    from udesys.systems.base import sampled

    about = CASES[case]
    if about.system:
        return get_system(about.system)
    width = 1.0 / about.points
    return System(
        name=case,
        title="the Fisher-KPP equation with a learned stencil",
        units={"u": ""},
        equations="u' = conv3(u) + NN(u)",
        missing={"NN(u)": "r*u*(1 - u)"},
        parameters={},
        constants=dict(about.constants),
        starts=({"u": "(tanh((x - 0.25)/0.05) - tanh((x - 0.75)/0.05))/2"},),
        t=sampled(5.0, 0.5),
        grid=Grid(tuple(width * k for k in range(about.points))),
        free=(2,),
        stiff=True,
        source="arXiv:2001.04385, FisherKPP",
    )


# ------------------------------------------------------------------ one run
def find_once(case: str, seed: int) -> Run:
    """One table of fields, its hybrid and its law; what goes wrong is written down, not raised.

    Args:
        case: its name.
        seed: of the noise and the networks.
    """
    found, failure = attempt(lambda: _find(case, seed))
    return Run(case=case, points=CASES[case].points, seed=seed, failure=failure) if failure else found


def _find(case: str, seed: int) -> Run:
    from udesys.bench._found import error_along, judge_terms, true_terms_of, visited_points
    from udesys.discover import recover
    from udesys.fit import fit
    from udesys.systems import make_data

    about, system = CASES[case], system_of(case)
    data = make_data(system, about.noise, seed)
    began = time.perf_counter()
    fitted = fit(system.hybrid(), data, seed=seed)
    fit_seconds = time.perf_counter() - began
    law = recover(fitted)
    seconds = time.perf_counter() - began
    ((term, truth),) = (truths := true_terms_of(system)).items()
    judged = judge_terms(system, law, truths)
    seen = [truth.arguments.index(name) for name in fitted.terms[term].arguments]
    network, _ = fitted.term(term, visited_points(truth)[:, seen])
    hybrid = {name: value for name, (value, _) in fitted.parameters.items() if name in about.constants}
    values, inside = _constants(law, term, about)
    return Run(
        case=case,
        points=system.grid.n,
        seed=seed,
        right=judged["found"],
        formula=judged["answer"][term],
        hybrid=hybrid,
        law=values,
        inside=inside,
        term={"hybrid": error_along(truth, network), "law": judged["error"][term]},
        fit_seconds=fit_seconds,
        seconds=seconds,
    )


def _constants(law, term: str, about: Case) -> tuple[dict[str, float], dict[str, bool]]:
    """label -> value in the law, and whether its interval holds the truth.

    Of a constant that stands before several monomials the coefficient that is farthest off counts.
    """
    values = {name: e.value for name, e in law.parameters.items() if name in about.constants}
    inside = {
        name: e.interval[0] <= about.constants[name] <= e.interval[1]
        for name, e in law.parameters.items()
        if name in about.constants
    }
    found = _monomials(law, term)
    for label, signs in MONOMIALS.items():
        if label not in about.constants or found is None or found.keys() != signs.keys():
            continue
        truth = about.constants[label]
        several = [(sign * found[name][0], [sign * end for end in found[name][1]]) for name, sign in signs.items()]
        value, _ = max(several, key=lambda pair: abs(pair[0] - truth))
        values[label] = value
        inside[label] = all(min(ends) <= truth <= max(ends) for _, ends in several)
    return values, inside


def _monomials(law, term: str) -> dict[str, tuple[float, tuple[float, float]]] | None:
    """Monomial -> its coefficient and interval, where the formula is a sum of constants times monomials."""
    import sympy

    from udesys.model.grammar import parse_expression
    from udesys.model.symbolic import to_sympy

    residual, found = law.residuals[term], {}
    expanded = sympy.expand(to_sympy(parse_expression(residual.expression)))
    for part in sympy.Add.make_args(expanded):
        names = [name for name in residual.constants if part.has(sympy.Symbol(name, real=True))]
        if len(names) != 1:
            return None
        constant = sympy.Symbol(names[0], real=True)
        rest = sympy.cancel(part / constant)
        sign = -1 if rest.could_extract_minus_sign() else 1
        estimate = residual.constants[names[0]]
        ends = (sign * estimate.interval[0], sign * estimate.interval[1])
        powers = sorted((str(base), int(n)) for base, n in (sign * rest).as_powers_dict().items() if base != 1)
        key = "*".join(base if n == 1 else f"{base}**{n}" for base, n in powers)
        if rest.has(constant) or key in found:
            return None
        found[key] = (sign * estimate.value, ends)
    return found


# ------------------------------------------------------------------ figures
def summary(runs: Sequence[Run]) -> dict[str, object]:
    """The headline numbers: laws that are right, the largest error of each of their constants, and seconds.

    Args:
        runs: of one case or several.
    """
    if not runs:
        return {}
    numbers: dict[str, object] = {"right, %": 100 * sum(r.right for r in runs) / len(runs)} | largest(runs, "law")
    for case in cases_of(runs):
        numbers[f"seconds: {case}"] = statistics.median(r.seconds for r in runs if r.case == case)
    ratio = ratio_of(runs)
    return numbers | ({} if ratio is None else {RATIO: ratio})


def largest(runs: Sequence[Run], whose: str) -> dict[str, float]:
    """Largest error of each constant that has an aim; of a hybrid without those inside its network.

    Args:
        runs: of one case or several.
        whose: "hybrid" or "law".
    """
    numbers = {}
    for case in cases_of(runs):
        at = [r for r in runs if r.case == case]
        for label in CASES[case].aims:
            if whose == "law" or any(label in r.hybrid for r in at):
                numbers[f"{case}, {label}, largest error, %"] = max(r.error(whose, label) for r in at)
    return numbers


def ratio_of(runs: Sequence[Run]) -> float | None:
    """Seconds that 400 points take beside those of 25, in one study; None without both."""
    times = {name: [r.seconds for r in runs if r.case == name and not r.failure] for name in (COARSE, FINE)}
    if not all(times.values()):
        return None
    return statistics.median(times[FINE]) / statistics.median(times[COARSE])


# ------------------------------------------------------------------ text
def table(runs: Sequence[Run]) -> str:
    """The runs as Markdown: a row for each constant, hybrid and law side by side, then each case's laws.

    Args:
        runs: of one case or several.
    """
    if not runs:
        return "No runs."
    rows, said = [], []
    for case in cases_of(runs):
        at = [r for r in runs if r.case == case]
        rows += [_row(case, label, truth, at) for label, truth in CASES[case].constants.items()]
        errors = (spread([100 * r.term.get(w, math.inf) for r in at]) for w in WHOSE)
        rows.append([case, "missing term", None, None, None, *errors, None])
        said.append(_laws(case, at))
    head = ["case", "constant", "truth", "hybrid", "law", "hybrid's error", "law's error", "in the law's interval"]
    ratio = ratio_of(runs)
    said += [] if ratio is None else [f"400 points take {ratio:.1f} times as long as 25."]
    failed = [f"{r.case}, seed {r.seed}: {r.failure}" for r in runs if r.failure]
    title = "Fields on a line: median over the tables, and the largest error"
    return "\n\n".join([title, markdown(head, rows, left=2), *said, *failed])


def _row(case: str, label: str, truth: float, at: Sequence[Run]) -> list[object]:
    cells: list[object] = [case, label, f"{truth:g}"]
    for whose in WHOSE:
        found = [getattr(r, whose)[label] for r in at if label in getattr(r, whose)]
        cells.append(f"{statistics.median(found):.4g}" if found else None)
    for whose in WHOSE:
        known = whose == "law" or any(label in r.hybrid for r in at)
        cells.append(spread([r.error(whose, label) for r in at], " %" if truth else "") if known else None)
    return [*cells, f"{sum(r.inside.get(label, False) for r in at)} of {len(at)}"]


def _laws(case: str, at: Sequence[Run]) -> str:
    made, aims = [r for r in at if not r.failure], CASES[case].aims
    line = f"{case}: the right formula in {sum(r.right for r in at)} of {len(at)}"
    within = sum(all(r.error("law", label) <= aim for label, aim in aims.items()) for r in at)
    said = ", ".join(f"{label} {aim:g} %" for label, aim in aims.items())
    line += f"; its constants within the aim ({said}) in {within}"
    if made:
        fit, whole = (statistics.median(getattr(r, name) for r in made) for name in ("fit_seconds", "seconds"))
        line += f"; median {fit:.1f} s to the hybrid, {whole:.1f} s to the law"
    return f"{line}. {'; '.join(f'`{text}`' for text in dict.fromkeys(r.formula for r in made))}"
