"""Where states are zero: which formulas of a term would carry a positive one below.

At points that the data visited, put to where the state is zero, its right side must not be negative. Of one term that
is known before any law is put together where nothing else is left of the equation there; of a law it is known always.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from udesys.model import HybridODE
from udesys.model import tree as T
from udesys.model.closed_form import ClosedForm, Formula
from udesys.model.hybrid import Slot
from udesys.model.invariants import zero_with
from udesys.model.program import Program
from udesys.model.vanishing import NEAR_ZERO, vanishes

POINTS = 200  # of those that the data visited
ROUNDING = 1e-9  # of the right side's size: below zero by less is zero


@dataclass(frozen=True, kw_only=True)
class Inward:
    """What a term does to a positive state where that is zero.

    Attributes:
        state: the state.
        points: (points, arguments) of the term there.
        leverage: (points,) derivative of the state's right side by the term.
        visited: (points, arguments) of the term where the data went.
    """

    state: str
    points: np.ndarray
    leverage: np.ndarray
    visited: np.ndarray

    def objection(self, formula: Formula, arguments: tuple[str, ...]) -> str:
        """What of it a formula breaks, as the user said it; empty where nothing."""
        program = Program([formula.tree], (*arguments, *formula.constants))
        constants = list(map(np.float64, formula.constants.values()))
        with np.errstate(all="ignore"):
            there, usual = (self.leverage * program.run([*at.T, *constants])[0] for at in (self.points, self.visited))
        return said(self.state) if _is_outward(there, usual) else ""


def said(state: str) -> str:
    """As the user said it."""
    return f'positive = ["{state}"]'


def inward_of(
    model: HybridODE, slot: Slot, output: int, x: np.ndarray, parameters: Mapping[str, float], known: Sequence
) -> tuple[Inward, ...]:
    """What is known of one term by itself, an `Inward` for each state that it alone moves where that is zero.

    Args:
        model: the hybrid.
        slot, output: the term.
        x: (..., d) states that the data visited.
        parameters: estimated parameter -> value.
        known: the time, then every input and covariate, (...) each.
    """
    fixed, found = model.fixed_values, []
    names = {call.output_name(k): (s, call, k) for s in model.slots for call in s.calls for k in range(s.n_outputs)}
    columns = [np.broadcast_to(c, x.shape[:-1]).reshape(-1) for c in (*np.moveaxis(x, -1, 0), *known)]
    for state in model.invariants.inward:
        right = T.substitute(model.rhs[model.states.index(state)], fixed)
        present = [name for name in names if name in T.symbols(right)]
        if len(present) != 1 or names[present[0]][0].name != slot.name or names[present[0]][2] != output:
            continue
        try:
            rest = T.substitute(right, {present[0]: T.ZERO})
        except ArithmeticError:
            continue
        leverage, zero = T.derivative(right, present[0]), zero_with(model, state)
        if present[0] in T.symbols(leverage) or not vanishes(rest, zero):
            continue
        trees = [leverage, *(T.substitute(a, fixed) for a in names[present[0]][1].args)]
        program = Program(trees, [*model.states, *model.estimated, "t", *model.exogenous])
        estimated = [parameters[n] for n in model.estimated]
        there, usual = (_evaluate(program, at, model, estimated) for at in _at_zero_and_visited(model, zero, columns))
        fine = np.isfinite(there).all(1) & np.isfinite(usual).all(1)
        if fine.any():
            there, usual = there[fine], usual[fine]
            found.append(Inward(state=state, points=there[:, 1:], leverage=there[:, 0], visited=usual[:, 1:]))
    return tuple(found)


def outward_states(form: ClosedForm, nodes: np.ndarray, t: np.ndarray, u: np.ndarray | None) -> list[str]:
    """Positive states that would fall where they are zero, by a law, at the points that the data visited.

    Args:
        form: the law.
        nodes: (samples, d) states there.
        t: (samples,) times.
        u: (samples, k) inputs and covariates, None where there are none.
    """
    model, found = form.model, []
    for state in model.invariants.inward:
        place, columns = model.states.index(state), [*nodes.T, t, *(() if u is None else u.T)]
        there, usual = (
            _evaluate(form.program, at, model, form.values)[:, place]
            for at in _at_zero_and_visited(model, zero_with(model, state), columns)
        )
        if _is_outward(there, usual):
            found.append(state)
    return found


def _at_zero_and_visited(model: HybridODE, zero: frozenset[str], columns: list[np.ndarray]):
    """Some of the points that the data visited, as columns of states, t and what is known: at zero, and as they are.

    What is just above zero stands for zero, where x*log(x) is a number.
    """
    names = [*model.states, "t", *model.exogenous]
    rows = np.linspace(0, len(columns[0]) - 1, min(len(columns[0]), POINTS)).astype(int)
    visited = [column[rows] for column in columns]
    at_zero = [
        np.full(len(rows), NEAR_ZERO) if name in zero else column for name, column in zip(names, visited, strict=True)
    ]
    return at_zero, visited


def _evaluate(program: Program, columns: list[np.ndarray], model: HybridODE, values: Sequence[float]) -> np.ndarray:
    """(points, results) of a program over states, these values, t and what is known."""
    d = len(model.states)
    with np.errstate(all="ignore"):
        results = program.run([*columns[:d], *values, *columns[d:]])
    return np.stack([np.broadcast_to(np.asarray(r, float), len(columns[0])) for r in results], 1)


def _is_outward(pull, usual) -> bool:
    """Whether a right side is below zero somewhere, beside its usual size; where it is no number does not count."""
    pull, usual = np.asarray(pull, float), np.abs(np.asarray(usual, float))
    size = usual[np.isfinite(usual)].max(initial=0.0)
    return bool(pull[~np.isnan(pull)].min(initial=0.0) < -ROUNDING * size)
