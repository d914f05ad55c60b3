"""Simple rational constants: offered where an interval holds one that would be there by chance only rarely."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from udesys.assess.estimate import Estimate
from udesys.model import tree as T
from udesys.model.closed_form import ClosedForm, Formula
from udesys.select import Refit, Refitter
from udesys.select.refit import replace_data

LARGEST_DENOMINATOR = 6
BY_CHANCE = 0.2  # fractions as simple as the one offered that an interval of that width holds on average


@dataclass(frozen=True)
class Simplification:
    """Constants that may be simple fractions.

    Attributes:
        values: parameter or (term, constant) -> the fraction.
        criterion: change of the selection criterion with all of them fixed there and the rest refitted; below zero.
    """

    values: dict
    criterion: float


def simplify(
    refitter: Refitter, final: Refit, estimates: Mapping[object, Estimate], worth: np.ndarray
) -> Simplification | None:
    """Simple fractions inside the intervals, if the law with them is no worse; None where there are none.

    Args:
        refitter: holds the data and the bounds.
        final: the law at its optimum.
        estimates: unknown -> estimate.
        worth: (m,) independent measurements that each column's amount to.
    """
    values = {name: simple_fraction(*e.interval) for name, e in estimates.items() if e.identifiable and not e.fixed}
    values = {name: value for name, value in values.items() if value is not None}
    if not values:
        return None
    fixed = replace_data(refitter, refitter.data)
    fixed.bounds = refitter.bounds | {n: (float(v), float(v)) for n, v in values.items() if isinstance(n, str)}
    simpler = fixed.refit(_with_fractions(final.form, values), final.x0)
    if simpler is None:
        return None
    seen = refitter.data.mask.sum(0) > 0
    with np.errstate(divide="ignore"):
        misfit = (worth[seen] * np.log(simpler.weighted[seen] / final.weighted[seen])).sum()
    change = float(misfit) - len(values) * math.log(worth.sum())
    return Simplification(values, change) if change < 0 else None


def simple_fraction(low: float, high: float) -> Fraction | None:
    """The fraction of the smallest denominator in an interval, where few as simple would be there by chance."""
    if not (math.isfinite(low) and math.isfinite(high)) or low <= 0 <= high:
        return None
    as_simple = 0
    for denominator in range(1, LARGEST_DENOMINATOR + 1):
        as_simple += sum(math.gcd(k, denominator) == 1 for k in range(1, denominator + 1))
        first, last = math.ceil(low * denominator), math.floor(high * denominator)
        if first <= last:
            middle = min(max(round(0.5 * (low + high) * denominator), first), last)
            return Fraction(middle, denominator) if (high - low) * as_simple <= BY_CHANCE else None
    return None


def _with_fractions(form: ClosedForm, values: Mapping) -> ClosedForm:
    """The law with fractions in place of the constants of its formulas."""
    formulas = {}
    for term, formula in form.formulas.items():
        put = {c: float(values[term, c]) for c in formula.constants if (term, c) in values}
        tree = T.substitute(formula.tree, {c: T.Number(v) for c, v in put.items()})
        formulas[term] = Formula(tree, {c: v for c, v in formula.constants.items() if c not in put})
    parameters = {n: float(values.get(n, v)) for n, v in form.parameters.items()}
    return ClosedForm(form.model, formulas, parameters, stiff=form.stiff)
