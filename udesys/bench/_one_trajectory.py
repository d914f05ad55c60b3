"""One trajectory of a system: measured, turned into a law by udesys or a rival, and how a law is judged beside it.

Both are judged by the same functions: by R2 of a simulation, and by whether the structure is the true one.
"""

from __future__ import annotations

import itertools
import math
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from udesys.bench._parallel import attempt
from udesys.data import Trajectory
from udesys.errors import SolveError
from udesys.model import tree as T
from udesys.model.program import Program

if TYPE_CHECKING:
    from udesys.bench._same_form import TrueTerm
    from udesys.data import Dataset
    from udesys.discover import Discovery
    from udesys.model.closed_form import Formula
    from udesys.select import Selection
    from udesys.systems import System

TOLERANCES = {"rtol": 1e-8, "atol": 1e-10}
MOST_CALLS = 500_000  # of a law's right side in a simulation


def measured(system: System, noise: float, dropped: float, seed: int) -> Dataset:
    """The first trajectory of a system, with noise in proportion to its values, and without what was dropped."""
    from udesys.systems import simulate

    exact = simulate(system)
    run, rng = exact.trajectories[0], np.random.default_rng(seed)
    y = run.y * (1 + noise * rng.standard_normal(run.y.shape))
    n = len(run.t)
    rows = np.sort(rng.permutation(n)[: n - round(dropped * n)])
    kept = replace(run, t=run.t[rows], y=y[rows], u=run.u[rows])
    return replace(exact, trajectories=(kept,), sha256="")


def timed_law(system: System, data: Dataset, seed: int) -> tuple[Discovery | None, Selection | None, float, str]:
    """The law of a system's hybrid, what it was picked from, the seconds it took, and what stopped it.

    Args:
        system: with missing terms.
        data: measured.
        seed: of the weights.
    """
    import udesys as ud
    from udesys.select import select

    kept = []

    def remembered(*arguments, **options):
        kept.append(select(*arguments, **options))
        return kept[-1]

    began = time.perf_counter()
    law, failure = attempt(lambda: ud.recover(ud.fit(system.hybrid(), data, seed=seed), select=remembered))
    return law, kept[0] if kept else None, time.perf_counter() - began, failure


def judgement_of(system: System, law: Discovery, selection: Selection, truths: Mapping[str, TrueTerm]) -> dict:
    """Whether a law is the true one, and what stood in the way where it is not: fields of a run.

    Args:
        system: whose law is known.
        law: what was found.
        selection: what it was picked from.
        truths: the true terms by name.
    """
    from udesys.bench._found import judge_terms
    from udesys.bench._verdict import judged

    right = judge_terms(system, law)["found"]
    verdict = judged(selection, dict(truths), right=right)
    return {
        "outcome": verdict.outcome,
        "exact": right,
        "listed": verdict.listed,
        "truth_delta": verdict.truth_delta,
    }


def better_model(
    model: Callable[[bool], list[Formula]],
    right_sides: Callable[[list[Formula]], list[T.Tree]],
    states: Sequence[str],
    run: Trajectory,
) -> tuple[list[Formula] | None, str]:
    """Of the models by derivatives of the data as they are and smoothed, the one that follows the data better.

    Args:
        model: of smoothed data or not.
        right_sides: of the whole system, with a model.
        states: names.
        run: the data.

    Returns:
        The model, and what failed where there is none.
    """

    def scored(smooth: bool) -> tuple[float, list[Formula]]:
        formulas = model(smooth)
        score = r_squared(right_sides(formulas), states, run)
        return -math.inf if score is None else score, formulas

    found = [attempt(lambda smooth=smooth: scored(smooth)) for smooth in (False, True)]
    models = [made for made, failure in found if not failure]
    return (max(models, key=lambda made: made[0])[1], "") if models else (None, found[0][1])


def with_numbers(formula: Formula) -> T.Tree:
    """A formula's tree with the values of its constants in place."""
    return T.substitute(formula.tree, {name: T.Number(value) for name, value in formula.constants.items()})


def r_squared(right_sides: Sequence[T.Tree], states: Sequence[str], run: Trajectory) -> float | None:
    """R2 of a law's simulation from the first row of a run, over all states together.

    Each state counts by its own variance. None where the simulation does not reach the last time.

    Args:
        right_sides: one tree for each state.
        states: names.
        run: states at its times, exact or measured.

    Source: scikit-learn's r2_score with multioutput="variance_weighted", which ODEBench takes.
    """
    from scipy.integrate import solve_ivp

    program, calls = Program(right_sides, states), itertools.count()

    def field(t, x):
        if next(calls) > MOST_CALLS or not np.isfinite(x).all():
            raise SolveError("it blows up")
        return [float(value) for value in program.run(list(x))]

    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what stops before the end is known by its length
        span = (run.t[0], run.t[-1])
        done, failure = attempt(lambda: solve_ivp(field, span, run.y[0], t_eval=run.t, method="LSODA", **TOLERANCES))
        if failure or done.y.shape[1] < len(run.t) or not np.isfinite(done.y).all():
            return None
        errors, spread = (run.y - done.y.T) ** 2, (run.y - run.y.mean(0)) ** 2
        return float(1 - errors.sum() / spread.sum())
