"""Systems of which nothing is known, from one trajectory each, as in ODEBench.

Every system of a list (see `_system_list`) is trained on its first start alone: with noise in proportion to the values,
x*(1 + s*N(0, 1)), and with or without half of the samples dropped at random. A law is judged where ODEBench judges it:
R2 > 0.9 of a simulation from the first start (reconstruction) and from the second one, which it has never seen
(generalisation), both beside the exact solution; and whether its structure is the true one.

Source: d'Ascoli, Becker, Mathis, Schwaller & Kilbertus, ODEFormer, arXiv:2310.05573.
"""

from __future__ import annotations

import itertools
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from udesys.bench._parallel import attempt
from udesys.data import Trajectory
from udesys.errors import SolveError
from udesys.model import tree as T
from udesys.model.program import Program

NOISES = (0.0, 0.01, 0.05)
DROPPED = 0.5  # share of the samples
GOOD = 0.9  # R2
TOLERANCES = {"rtol": 1e-8, "atol": 1e-10}
MOST_CALLS = 500_000  # of a law's right side in a simulation


@dataclass(frozen=True, kw_only=True)
class Run:
    """One discovery.

    Attributes:
        system: its number in the list.
        noise: standard deviation of each value over the value.
        dropped: share of the samples that were left out.
        seed: of the noise, of what was dropped, and of the weights.
        exact: the pick has the true structure.
        reconstruction: R2 from the first start; None where the simulation does not reach the end.
    """

    system: int
    noise: float
    dropped: float
    seed: int
    outcome: str
    listed: bool = False
    truth_delta: float | None = None
    reconstruction: float | None = None
    generalisation: float | None = None
    law: dict[str, str] = field(default_factory=dict)
    seconds: float
    steps: dict[str, float] = field(default_factory=dict)
    failure: str = ""


def discover_once(systems: Path, number: int, noise: float, dropped: float, seed: int) -> Run:
    """One system's discovery from one trajectory; what goes wrong is written down, not raised."""
    import udesys as ud
    from udesys.bench._found import judge_terms, true_terms_of
    from udesys.bench._system_list import read_systems
    from udesys.bench._verdict import failed, judged
    from udesys.select import select
    from udesys.systems import simulate

    system = read_systems(systems)[number]
    exact, data = simulate(system), measured(system, noise, dropped, seed)
    kept = []

    def remembered(*arguments, **options):
        kept.append(select(*arguments, **options))
        return kept[-1]

    began = time.perf_counter()
    law, failure = attempt(lambda: ud.recover(ud.fit(system.hybrid(), data, seed=seed), select=remembered))
    seconds = time.perf_counter() - began
    setting = {"system": number, "noise": noise, "dropped": dropped, "seed": seed, "seconds": seconds}
    if failure:
        return Run(**setting, outcome=failed().outcome, failure=failure)
    right = judge_terms(system, law)["found"]
    verdict = judged(kept[0], true_terms_of(system), right=right)
    right_sides = list(law.closed_form.numbers_in_place().values())
    scores = [r_squared(right_sides, system.states, run) for run in exact.trajectories]
    return Run(
        **setting,
        outcome=verdict.outcome,
        listed=verdict.listed,
        truth_delta=verdict.truth_delta,
        reconstruction=scores[0],
        generalisation=scores[1],
        law={state: str(right_side) for state, right_side in law.equations.items()},
        steps=law.timing_s,
    )


def measured(system, noise: float, dropped: float, seed: int):
    """The first trajectory of a system, with noise in proportion to its values, and without what was dropped."""
    from udesys.systems import simulate

    exact = simulate(system)
    run, rng = exact.trajectories[0], np.random.default_rng(seed)
    y = run.y * (1 + noise * rng.standard_normal(run.y.shape))
    n = len(run.t)
    rows = np.sort(rng.permutation(n)[: n - round(dropped * n)])
    kept = replace(run, t=run.t[rows], y=y[rows], u=run.u[rows])
    return replace(exact, trajectories=(kept,), sha256="")


def r_squared(right_sides: Sequence[T.Tree], states: Sequence[str], run: Trajectory) -> float | None:
    """R2 of a law's simulation from the first row of an exact run, over all states together.

    Each state counts by its own variance. None where the simulation does not reach the last time.

    Args:
        right_sides: one tree for each state.
        states: names.
        run: exact states at its times.

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
