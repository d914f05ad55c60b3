"""Refits of closed forms whose states are fields on a grid: all points of a run are one simulation.

The fields at the first time are as many unknowns as there are points. Where laws are compared they are held where the
hybrid has them, which costs a refit nothing for being on a fine grid; what is near the best is refitted with them free.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from udesys.integrate import lattice
from udesys.model import HybridODE
from udesys.model.along_grid import FormAlongGrid, follow_runs
from udesys.model.closed_form import ClosedForm
from udesys.search.measurements import Measurements
from udesys.select.refit import Point, Refit, Refitter, step_within

NOTHING = 1e-3  # of a prior's standard deviation


@dataclass
class FieldPoint(Point):
    """A point with the courses that its residuals are of."""

    courses: list


class FieldRefitter(Refitter):
    """Refits closed forms to fields; arguments as for `Refitter`, and

    Args:
        held: keep the fields at the first time.
    """

    def __init__(self, data: Measurements, nodes: np.ndarray, bounds: dict, steps: np.ndarray, *, held=True, **more):
        super().__init__(data, nodes, bounds, steps, **more)
        self.held = held
        self._guess: list[np.ndarray] | None = None
        self._modes: lattice.Modes | None = None

    def freed(self) -> FieldRefitter:
        """The same with the fields at the first time estimated too."""
        return self.on(self.data, held=False)

    def on(self, data: Measurements, **more) -> FieldRefitter:
        """The same refitter on other measurements, or with other settings."""
        own = {"priors": self.priors, "frozen": self.frozen, "pull": self.pull, "held": self.held}
        return FieldRefitter(data, self.nodes, self.bounds, self.steps, **(own | more))

    # -------------------------------------------------------------- simulating
    def _courses(self, form: ClosedForm, values, x0, steps, guesses=None):
        """The courses of all runs, and what they were made of; None where one is lost."""
        data, law, found = self.data, FormAlongGrid(form, values), []
        for run, course, own, driving in follow_runs(law, x0, data.t, data.segments, steps, data.pieces, guesses):
            if course.lost:
                return None
            found.append((run, law, course, own, driving))
        return found

    def _states(self, form: ClosedForm, courses) -> np.ndarray:
        states = np.empty((len(self.data.t), len(form.model.states)))
        for run, _, course, _, _ in courses:
            states[run.rows] = course.states
        return states

    def _evaluate(self, form, values, x0, segments) -> Point | None:
        data = self.data
        courses = self._courses(form, values, x0, self.steps, self._guess)
        if courses is None:
            return None
        states = self._states(form, courses)
        outputs = form.outputs(data.t, states, data.u, values=values)
        residual = data.mask / data.noise * self._errors(states, outputs)
        cost = float((residual**2).sum() + (self._added_errors(form, values)[0] ** 2).sum())
        if not np.isfinite(cost):
            return None
        point = FieldPoint(values, x0, cost, residual, states, outputs, courses)
        self._guess = [course.stages for _, _, course, _, _ in courses]
        return point

    def simulate(self, refit: Refit, steps: np.ndarray) -> np.ndarray | None:
        data, form = self.data, refit.form
        courses = self._courses(form, form.values, refit.x0, steps)
        return None if courses is None else form.outputs(data.t, self._states(form, courses), data.u)

    def _done(self, form: ClosedForm, point: Point) -> Refit | None:
        """What a prior holds at zero is zero, where it came to next to nothing."""
        priors = [self.priors.get(name, (np.nan, np.nan)) for name in form.names]
        mean, sd = np.array(priors, dtype=float).reshape(-1, 2).T
        nothing = (mean == 0) & (np.abs(point.values) < NOTHING * sd)
        return super()._done(form, replace(point, values=np.where(nothing, 0.0, point.values)))

    def _through_windows(self, form, iterations, hopeless):
        """Fields have no windows: a law that one simulation rejects is given up."""
        return None

    # -------------------------------------------------------------- linearised
    def linearise(self, form: ClosedForm, point: Point, segments) -> FieldSystem | None:
        data, values = self.data, point.values
        courses = getattr(point, "courses", None) or self._courses(form, values, point.x0, self.steps, self._guess)
        if courses is None:
            return None
        weight, p = data.mask / data.noise, len(values)
        free = np.broadcast_to(data.free, (form.model.grid.n, len(form.model.states)))
        system = FieldSystem(p, len(data.segments[0]), len(form.model.states), held=self.held)
        for run, law, course, own, driving in courses:
            modes = None if self.held else (self._modes or law.start_modes())
            self._modes = modes
            slopes = (modes or lattice).sensitivities(law.lattice, law, course, run.t, own, driving)
            if not np.isfinite(slopes).all():
                return None
            if form.observed:
                flat, u = run.rows.reshape(-1), None if data.u is None else data.u[run.rows.reshape(-1)]
                whole = slopes.reshape(len(flat), law.d, -1)
                states = course.states.reshape(-1, law.d)
                whole = form.output_sensitivities(data.t[flat], states, whole, u, values=values)
                slopes = whole.reshape(*run.rows.shape, *whole.shape[1:])
            system.add(slopes, weight[run.rows], point.residual[run.rows], free, modes)
        errors, slopes = self._added_errors(form, values)
        system.hessian += slopes.T @ slopes
        system.gradient += slopes.T @ errors
        return system if system.finite else None


class FieldSystem:
    """J^T J and J^T r over the shared values, the fields at the first time of every run eliminated.

    Args:
        n_values: shared values.
        count: trajectories, those of all runs.
        d: fields.
        held: the fields at the first time are no unknowns.
    """

    def __init__(self, n_values: int, count: int, d: int, *, held: bool):
        self.n, self.shape, self.held = n_values, (count, d), held
        self.hessian, self.gradient = np.zeros((n_values, n_values)), np.zeros(n_values)
        self.runs: list = []
        self.starts: list = []

    def add(self, slopes, weight, residual, free, modes: lattice.Modes | None) -> None:
        """A run: slopes (times, n, m, values + changes of the start), weights and weighted residuals (times, n, m).

        Args:
            free: (n, d) whether a start is estimated.
            modes: the changes of the start; None where it is held.
        """
        seen = weight.reshape(-1) > 0
        rows = slopes.reshape(weight.size, slopes.shape[-1])[seen] * weight.reshape(-1)[seen, None]
        if modes is not None:
            rows[:, self.n :] *= np.resize(free[0], rows.shape[1] - self.n)
        whole, pull = rows.T @ rows, rows.T @ residual.reshape(-1)[seen]
        self.hessian += whole[: self.n, : self.n]
        self.gradient += pull[: self.n]
        if modes is not None:
            first = np.where(weight[0] > 0, residual[0] / np.maximum(weight[0], 1e-300), 0.0)[:, : modes.d]
            rest = -modes.rest(first) * free
            told = np.where(weight[0] > 0, weight[0], 0.0)[:, : modes.d] * free
            self.runs.append((whole[: self.n, self.n :], whole[self.n :, self.n :], pull[self.n :]))
            self.starts.append((modes.changes, rest, told))

    def _spread(self, amounts: Sequence[np.ndarray]) -> np.ndarray:
        """(trajectories, d) from amounts of the changes of every run's start."""
        changed = [changes @ amount for (changes, _, _), amount in zip(self.starts, amounts, strict=True)]
        return np.concatenate(changed).reshape(self.shape) if changed else np.zeros(self.shape)

    @property
    def finite(self) -> bool:
        """Whether the system can be solved at all."""
        return bool(np.isfinite(self.hessian).all() and all(np.isfinite(own).all() for _, own, _ in self.runs))

    def _inverses(self, damping: float = 0.0) -> list[np.ndarray]:
        made = []
        for _, own, _ in self.runs:
            size = np.sqrt(np.diag(own) * (1.0 + damping))
            size = np.where(size > 0, size, 1.0)
            scaled = own / np.outer(size, size)
            scaled[np.diag_indices(len(size))] *= 1.0 + damping
            made.append(np.linalg.pinv(scaled, hermitian=True) / np.outer(size, size))
        return made

    def reduced(self, damping: float = 0.0):
        """The Schur complement over the values, its gradient, and the starts' inverses, one for a run."""
        schur, gradient = self.hessian.copy(), self.gradient.copy()
        schur[np.diag_indices(self.n)] *= 1.0 + damping
        inverses = self._inverses(damping)
        for (coupling, _, pull), inverse in zip(self.runs, inverses, strict=True):
            carried = coupling @ inverse
            schur -= carried @ coupling.T
            gradient -= carried @ pull
        return schur, gradient, inverses

    def following(self, values: np.ndarray, inverses: list[np.ndarray]) -> np.ndarray:
        """(trajectories, d) how the starts follow a move of the values, with the inverses of every run."""
        pairs = zip(self.runs, inverses, strict=True)
        return self._spread([-inverse @ (coupling.T @ values) for (coupling, _, _), inverse in pairs])

    def step(self, damping: float, values, low, high):
        """(values' step, starts' step); values held at a bound that the step would cross stay there."""
        try:
            schur, gradient, inverses = self.reduced(damping)
            if not (np.isfinite(schur).all() and np.isfinite(gradient).all()):
                return None
            step = step_within(schur, gradient, np.diag(self.hessian), values, low, high)
        except np.linalg.LinAlgError:
            return None
        pairs = zip(self.runs, inverses, strict=True)
        starts = self._spread([-inverse @ (pull + coupling.T @ step) for (coupling, _, pull), inverse in pairs])
        if self.starts:
            starts += np.concatenate([rest for _, rest, _ in self.starts]) / (1.0 + damping)
        return (step, starts) if np.isfinite(step).all() and np.isfinite(starts).all() else None

    def of_starts(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Covariances with and of the initial values, from that of the values (values, values).

        Returns:
            mixed (trajectories, values, d), own (trajectories, d, d), and whether each is determined
            (trajectories, d).
        """
        mixed, own, told = [], [], []
        for (coupling, _, _), inverse, (changes, _, weight) in zip(
            self.runs, self._inverses(), self.starts, strict=True
        ):
            changes, pull = changes.reshape(*weight.shape, -1), coupling @ inverse
            between = -values @ pull
            whole = inverse - pull.T @ between
            mixed.append(np.einsum("ndc,pc->npd", changes, between))
            known = np.einsum("nic,ce,nje->nij", changes, whole, changes, optimize=True)
            taken = (changes**2).sum(2)  # share of a point's own start that the changes hold
            left = (1.0 - taken) / np.where(weight > 0, weight, np.inf) ** 2
            places = np.arange(weight.shape[1])
            known[:, places, places] += np.maximum(left, 0.0)
            own.append(known)
            told.append(np.diagonal(known, axis1=1, axis2=2) > 0)
        if not mixed:
            count, d = self.shape
            return np.zeros((count, self.n, d)), np.zeros((count, d, d)), np.zeros((count, d), bool)
        return np.concatenate(mixed), np.concatenate(own), np.concatenate(told)


def refitter_of(model: HybridODE, data: Measurements, nodes: np.ndarray, steps: np.ndarray) -> Refitter:
    """The refitter that suits a model, with the bounds and the priors of its parameters.

    Args:
        data: the measurements.
        nodes: (samples, d) states of the hybrid there.
        steps: (samples,) solver steps between a sample and the next.
    """
    bounds = {n: p.bounds for n, p in model.parameters.items()}
    priors = {n: p.prior for n, p in model.parameters.items() if p.prior}
    kind = Refitter if model.grid is None else FieldRefitter
    return kind(data, nodes, bounds, steps, priors=priors)
