"""The laws of `udesys bench diagnostics`, and each of them without one of its terms.

Which removals count is settled on data without noise: the rest, refitted to them, must miss some column by more than
the noise (root mean square).
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from udesys.search import Candidate
    from udesys.systems import System

NOISE = 0.01  # of each state's mean magnitude
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


@functools.cache
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
