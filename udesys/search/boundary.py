"""Where states are zero: which formulas of a term would carry a positive one below.

At points that the data visited, put to where the state is zero, its right side must not be negative. Of one term that
is known before any law is put together where nothing else is left of the equation there; of a law it is known always.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from udesys.model import HybridODE
from udesys.model import tree as T
from udesys.model.closed_form import ClosedForm, Formula
from udesys.model.hybrid import Slot
from udesys.model.program import Program
from udesys.model.vanishing import vanishes

POINTS = 200  # of those that the data visited
ROUNDING = 1e-9  # of the right side's size: below zero by less is zero


@dataclass(frozen=True, kw_only=True)
class Inward:
    """What a term does to a positive state where that is zero.

    Attributes:
        state: the state.
        points: (points, arguments) of the term there.
        leverage: (points,) derivative of the state's right side by the term.
    """

    state: str
    points: np.ndarray
    leverage: np.ndarray

    def objection(self, formula: Formula, arguments: tuple[str, ...]) -> str:
        """What of it a formula breaks, as the user said it; empty where nothing."""
        program = Program([formula.tree], (*arguments, *formula.constants))
        with np.errstate(all="ignore"):
            values = program.run([*self.points.T, *map(np.float64, formula.constants.values())])[0]
            pull = self.leverage * values
        return said(self.state) if _is_outward(pull, np.abs(pull)) else ""


def said(state: str) -> str:
    """As the user said it."""
    return f'positive = ["{state}"]'


def inward_of(model: HybridODE, slot: Slot, output: int, x: np.ndarray, parameters: Mapping, known: list) -> tuple:
    """What is known of one term by itself, an `Inward` for each state that it alone moves where that is zero.

    Args:
        slot, output: the term.
        x: (..., d) states that the data visited.
        parameters: estimated parameter -> value.
        known: the time, then every input and covariate, (...) each.
    """
    fixed, found = model.fixed_values, []
    names = {call.output_name(k): (s, call, k) for s in model.slots for call in s.calls for k in range(s.n_outputs)}
    for state in model.invariants.inward:
        right = T.substitute(model.rhs[model.states.index(state)], fixed)
        present = [name for name in names if name in T.symbols(right)]
        if len(present) != 1 or names[present[0]][0].name != slot.name or names[present[0]][2] != output:
            continue
        try:
            rest = T.substitute(right, {present[0]: T.ZERO})
        except ArithmeticError:
            continue
        leverage = T.derivative(right, present[0])
        if present[0] in T.symbols(leverage) or not vanishes(rest, frozenset({state})):
            continue
        trees = [leverage, *(T.substitute(a, fixed) for a in names[present[0]][1].args)]
        values = _at_zero(model, state, trees, x, parameters, known)
        if len(values):
            found.append(Inward(state=state, points=values[:, 1:], leverage=values[:, 0]))
    return tuple(found)


def _at_zero(model: HybridODE, state: str, trees, x: np.ndarray, parameters: Mapping, known: list) -> np.ndarray:
    """(points, trees) at some of the points, the state put to zero; those that are finite."""
    flat, rest = x.reshape(-1, x.shape[-1]), [np.broadcast_to(k, x.shape[:-1]).reshape(-1) for k in known]
    rows = np.linspace(0, len(flat) - 1, min(len(flat), POINTS)).astype(int)
    states = flat[rows].copy()
    states[:, model.states.index(state)] = 0.0
    program = Program(trees, [*model.states, *model.estimated, "t", *model.exogenous])
    with np.errstate(all="ignore"):
        values = program.run([*states.T, *(parameters[n] for n in model.estimated), *(r[rows] for r in rest)])
    values = np.stack([np.broadcast_to(np.asarray(v, float), len(rows)) for v in values], 1)
    return values[np.isfinite(values).all(1)]


def outward_states(form: ClosedForm, nodes: np.ndarray, t: np.ndarray, u: np.ndarray | None) -> list[str]:
    """Positive states that would fall where they are zero, by a law, at the points that the data visited.

    Args:
        form: the law.
        nodes: (samples, d) states there.
        t: (samples,) times.
        u: (samples, k) inputs and covariates, None where there are none.
    """
    rows = np.linspace(0, len(nodes) - 1, min(len(nodes), POINTS)).astype(int)
    known, found = [t[rows], *(() if u is None else u[rows].T)], []
    for state in form.model.invariants.inward:
        place = form.model.states.index(state)
        there = nodes[rows].copy()
        there[:, place] = 0.0
        with np.errstate(all="ignore"):
            pull, usual = (
                np.broadcast_to(np.asarray(form.program.run([*x.T, *form.values, *known])[place], float), len(rows))
                for x in (there, nodes[rows])
            )
        if _is_outward(pull, usual):
            found.append(state)
    return found


def _is_outward(pull, usual) -> bool:
    """Whether a right side is below zero somewhere, beside its usual size; where it is no number does not count."""
    pull, usual = np.asarray(pull, float), np.abs(np.asarray(usual, float))
    size = usual[np.isfinite(usual)].max(initial=0.0)
    return bool(pull[~np.isnan(pull)].min(initial=0.0) < -ROUNDING * size)
