"""The numbers behind the figures: trajectories, simulated curves and the values of formulas."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from udesys.assess.forecast import driving_along, first_state, is_rest
from udesys.fit.onward import hybrid_outputs, simulate_on
from udesys.integrate.driving import driving_of
from udesys.model import tree as T
from udesys.model.program import Program

MOST_TRAJECTORIES = 6  # as many as there are colours that everyone tells apart
MOST_POINTS = 900  # markers of one panel; more only blacken a picture
LEAST_POINTS = 120  # of one trajectory, however many share the panel
MOST_CURVE = 2000  # points of a curve as it is drawn
PLANE_CELLS = 160  # on either side of a plane, within which a curve is drawn once
DENSE = 600  # points of a curve, at least
DENSE_HYBRID = 200  # as many for the hybrid, whose steps are dearer
MOST_HYBRID = 2000  # held-out samples that the hybrid is simulated through
STEPS = 2400  # integration steps of a curve, at least
EFFORTS = (1, 4, 16)  # times as many steps, tried before a curve counts as diverged


@dataclass(frozen=True, kw_only=True)
class Run:
    """One trajectory to draw.

    Attributes:
        name: of the trajectory.
        t, y: measurements the law was fitted to; empty where all of it is held out.
        held_t, held_y: measurements kept aside; empty without any.
        index: its place among the fitted trajectories, or None.
    """

    name: str
    t: np.ndarray
    y: np.ndarray
    held_t: np.ndarray
    held_y: np.ndarray
    index: int | None

    @property
    def span(self) -> tuple[float, float]:
        """First and last time."""
        times = np.concatenate([self.t, self.held_t])
        return float(times.min()), float(times.max())

    @property
    def continues(self) -> bool:
        """The held-out part follows the fitted part."""
        return bool(len(self.t) and len(self.held_t) and self.held_t[0] > self.t[-1])


def runs_of(law) -> tuple[list[Run], int]:
    """The trajectories to draw, and how many there are; some held-out ones are always among them."""
    fitted, whole = [fitted_run(law, k) for k in range(len(law.data.trajectories))], []
    continued = {run.name for run in fitted if len(run.held_t)}
    empty = np.empty(0), np.empty((0, len(law.data.columns)))
    for run in () if law.heldout is None else law.heldout.trajectories:
        if run.name not in continued:
            whole.append(Run(name=run.name, t=empty[0], y=empty[1], held_t=run.t, held_y=run.y, index=None))
    kept = whole[: max(2, MOST_TRAJECTORIES - len(fitted))]
    drawn = [*fitted[: MOST_TRAJECTORIES - len(kept)], *kept]
    return drawn, len(fitted) + len(whole)


def fitted_run(law, index: int) -> Run:
    """A trajectory that was fitted, with its held-out rest.

    Args:
        law: a Discovery.
        index: its place.
    """
    run, others = law.data.trajectories[index], () if law.heldout is None else law.heldout.trajectories
    rest = next((held for held in others if held.name == run.name and is_rest(law.model, run, held)), None)
    held_t, held_y = (np.empty(0), np.empty((0, len(law.data.columns)))) if rest is None else (rest.t, rest.y)
    return Run(name=run.name, t=run.t, y=run.y, held_t=held_t, held_y=held_y, index=index)


def kept_rows(*columns: np.ndarray, most: int = MOST_POINTS) -> np.ndarray:
    """Rows that stand for a long series: some in equal steps, and of every stretch the extremes of each column.

    Args:
        *columns: (n,) each; NaNs are never the lowest or highest.
        most: how many rows may be left, about.

    Returns:
        Places in order, the first and the last among them; all of them where they are few.
    """
    n = len(columns[0])
    if n <= most:
        return np.arange(n)
    edges = np.linspace(0, n, max(1, most // (4 * len(columns))) + 1).astype(int)
    kept = {*range(0, n, -(-2 * n // most)), n - 1}
    for values in columns:
        low, high = (np.where(np.isfinite(values), values, sign * np.inf) for sign in (1, -1))
        for a, b in pairwise(edges.tolist()):
            kept |= {a + int(low[a:b].argmin()), a + int(high[a:b].argmax())}
    return np.array(sorted(kept))


def inked(x: np.ndarray, y: np.ndarray, cells: int = PLANE_CELLS) -> tuple[np.ndarray, np.ndarray]:
    """A long curve in a plane without what it would draw over itself; NaNs part its pieces.

    Args:
        x, y: (n,) its points.
        cells: on either side of the plane; a stretch that stays in cells passed before is left out.
    """
    if len(x) <= MOST_CURVE or not (np.isfinite(x).all() and np.isfinite(y).all()):
        return x, y
    i, j = ((cells * (v - v.min()) / (np.ptp(v) or 1.0)).astype(int) for v in (x, y))
    _, first = np.unique(i * (cells + 1) + j, return_index=True)
    new = np.zeros(len(x), bool)
    new[first] = True
    new[[0, -1]] = True
    shown = new | np.append(new[1:], False) | np.insert(new[:-1], 0, False)
    rows = np.flatnonzero(shown)
    gaps = np.flatnonzero(np.diff(rows) > 1) + 1
    return np.insert(x[rows], gaps, np.nan), np.insert(y[rows], gaps, np.nan)


def most_points(n_runs: int) -> int:
    """Markers that each of the trajectories in a panel may have."""
    return max(LEAST_POINTS, MOST_POINTS // n_runs)


# ------------------------------------------------------------------ simulated curves
def dense_times(run: Run, least: int = DENSE) -> np.ndarray:
    """Sample times of a run with equal parts put between them where they are few."""
    times = np.unique(np.concatenate([run.t, run.held_t]))
    if len(times) < 2:
        return times
    parts = np.ceil(least * np.diff(times) / (times[-1] - times[0])).astype(int)
    gaps = zip(times[:-1], times[1:], parts, strict=True)
    pieces = [np.linspace(a, b, n, endpoint=False) for a, b, n in gaps]
    return np.concatenate([*pieces, times[-1:]])


def start_of(law, run: Run) -> np.ndarray | None:
    """(d,) where the simulation of a run starts, as its held-out error takes it; None where that is not known."""
    states = law.model.states
    known = law.initial.get(run.name, {})
    x0 = np.array([known.get(s, np.nan) for s in states], dtype=float)
    if run.index is None and law.initial:
        guess = np.mean([list(start.values()) for start in law.initial.values()], axis=0)
        x0 = first_state(law.closed_form, law.heldout, _held_out(law, run), guess)[0]
    return x0 if np.isfinite(x0).all() else None


def closed_form_curve(law, run: Run) -> tuple[np.ndarray, np.ndarray]:
    """Times, and states and observables (time, m), of the closed form, as far as its simulation stays finite."""
    t, x0 = dense_times(run), start_of(law, run)
    if x0 is None or len(t) < 2:
        return t[:0], np.empty((0, len(law.model.measurable)))
    driving = driving_of_run(law, run)
    u = None if driving is None else driving.values(t)

    def outputs(n: int, effort: int) -> np.ndarray | None:
        states = _simulated(law, x0, t[:n], effort, driving)
        return states if states is None else law.closed_form.outputs(t[:n], states, u if u is None else u[:n])

    for effort in EFFORTS:
        found = outputs(len(t), effort)
        if found is not None:
            return t, found
    good, bad = 1, len(t)  # the longest beginning that can be simulated, by halving
    while bad - good > max(1, len(t) // DENSE):
        middle = (good + bad) // 2
        good, bad = (middle, bad) if outputs(middle, 1) is not None else (good, middle)
    return t[:good], outputs(good, 1)


def _simulated(law, x0, t, effort: int, driving) -> np.ndarray | None:
    segments = np.zeros(1, np.int64), np.array([len(t)], np.int64)
    steps = np.full(len(t), effort * -(-STEPS // len(t)), np.int64)
    t = np.ascontiguousarray(t)
    pieces = None if driving is None else driving.along(t)
    states, _ = law.closed_form.simulate(x0[None], t, segments, steps, pieces=pieces)
    return states if states is not None and np.isfinite(states).all() else None


def driving_of_run(law, run: Run):
    """The inputs and covariates of a run, held-out part included; None without any."""
    if run.index is None:
        return driving_of(law.heldout, _held_out(law, run), law.model.exogenous)
    return driving_along(law.model, law.data, law.heldout, law.data.trajectories[run.index])


def _held_out(law, run: Run):
    """The trajectory of a run that is held out whole."""
    return law.heldout.select(run.name).trajectories[0]


def hybrid_curve(law, run: Run) -> tuple[np.ndarray, np.ndarray] | None:
    """Times, and states and observables (time, m), of the fitted hybrid; None for a run that it was not fitted to."""
    if law.fit is None or run.index is None:
        return None
    fitted, driving = law.fit.states[run.index], driving_of_run(law, run)
    if len(run.t) < DENSE_HYBRID:
        t = dense_times(run, DENSE_HYBRID)
        x = simulate_on(law.fit, fitted[0], t, driving)
    elif run.continues and len(run.held_t) <= MOST_HYBRID:  # the fitted states are dense enough
        t = np.concatenate([run.t, run.held_t])
        x = np.concatenate([fitted, simulate_on(law.fit, fitted[-1], t[len(run.t) - 1 :], driving)[1:]])
    else:
        t, x = run.t, fitted
    finite = np.isfinite(x).all(axis=1)
    end = len(t) if finite.all() else int(np.argmin(finite))
    return t[:end], hybrid_outputs(law.fit, t[:end], x[:end], driving)


# ------------------------------------------------------------------ terms
def learned_of(law, term: str):
    """What a network learned, to be drawn.

    Operators along a grid are what noise there is in the fields at the first time many times over: where a term depends
    on them, that time is left out.
    """
    learned = law.fit.terms[term]
    kept = np.concatenate([np.arange(len(t)) >= hidden for t, hidden in _times_of(law, term)])
    parts = {name: getattr(learned, name)[kept] for name in ("points", "values", "std")}
    return learned if kept.all() else replace(learned, **parts)


def learned_times(law, term: str) -> list[np.ndarray]:
    """The times of what a network learned, trajectory by trajectory, as `learned_of` has it."""
    return [t[hidden:] for t, hidden in _times_of(law, term)]


def _times_of(law, term: str) -> list[tuple[np.ndarray, int]]:
    """Times of every trajectory, and how many of the first are left out."""
    noisy = {name for argument in slot_of(law, term).calls[0].args for name in T.symbols(argument)}
    hidden = int(bool(noisy & {part.name for part in law.model.spatial}))
    return [(run.t, hidden if len(run.t) > 1 else 0) for run in law.fit.data.trajectories]


def spread(law, most: int) -> list[int]:
    """Trajectories that stand for all: the first ones, or of fields points apart from each other in the first run."""
    if law.model.grid is None:
        return list(range(min(len(law.data.trajectories), most)))
    n = law.model.grid.n
    return sorted({int((k + 0.5) * n / most) for k in range(most)})


# ------------------------------------------------------------------ formulas
def formula_values(law, term: str, points: np.ndarray) -> np.ndarray:
    """(points,) a recovered formula at arguments (points, arguments); NaN where it is not defined."""
    formula, slot = law.closed_form.formulas[term], slot_of(law, term)
    program = Program([formula.tree], [*slot.arguments, *formula.constants])
    columns = [points[:, k] for k in range(points.shape[1])]
    with np.errstate(all="ignore"):
        values = program.run([*columns, *map(float, formula.constants.values())])[0]
    return np.array(np.broadcast_to(values, len(points)), dtype=float)


def formula_text(law, term: str) -> str:
    """A recovered formula with its numbers in place."""
    formula = law.closed_form.formulas[term]
    try:
        numbers = {name: T.Number(float(value)) for name, value in formula.constants.items()}
        return law.model.formula_text(term, T.substitute(formula.tree, numbers), 4)
    except ArithmeticError:  # a number that a function does not accept, such as the logarithm of zero
        return law.closed_form.residual_text(term, 4)


def slot_of(law, term: str):
    """The network of a term."""
    return next(slot for slot in law.model.slots if term in slot.terms)


def call_text(law, term: str) -> str:
    """The term as the equations write it: `NN1(prey, predator)`, `NN(x)[1]`."""
    slot = slot_of(law, term)
    return f"{slot.name}({', '.join(argument_texts(law, term))}){term.removeprefix(slot.name)}"


def argument_texts(law, term: str) -> list[str]:
    """The arguments as the equations write them."""
    return [T.to_text(argument, 4) for argument in slot_of(law, term).calls[0].args]
