"""The right side of fields on a grid at all points at once: of the hybrid with its networks, and of a closed form."""

from __future__ import annotations

import copy
from functools import cached_property

import numpy as np

from udesys.integrate.lattice import Lattice, Modes, Slopes, simulate
from udesys.integrate.machine import at_points
from udesys.model import tree as T
from udesys.model.closed_form import ClosedForm
from udesys.model.field import HybridField
from udesys.model.hybrid import HybridODE
from udesys.model.program import Program
from udesys.model.runs_on_grid import driving_along, runs_of


class GridLaw:
    """What every point does, given its state and its neighbours'.

    Args:
        model: with a grid.
    """

    def __init__(self, model: HybridODE):
        self.model, self.grid = model, model.grid
        self.n, self.d = self.grid.n, len(model.states)
        self.moving = np.stack([self.grid.moving(s) for s in model.states], 1)
        kinds: dict[bytes, np.ndarray] = {}
        for field in model.states:
            places = self.grid.neighbours(field)
            kinds.setdefault(places.tobytes(), places)
        self.neighbourhoods = tuple(kinds.values())
        self.operators = []
        fixed = model.fixed_values
        for part in model.spatial:
            places = self.grid.neighbours(part.field)
            kind = list(kinds).index(places.tobytes())
            tree = T.substitute(part.argument, fixed)
            program = Program([tree, *(T.derivative(tree, s) for s in model.states)], list(model.states))
            plain = model.states.index(tree.name) if isinstance(tree, T.Symbol) else None
            self.operators.append((places, kind, self.grid.weights(part.operator), program, plain))

    @cached_property
    def lattice(self) -> Lattice:
        """The coupling of the points."""
        return Lattice(self.n, self.d, self.neighbourhoods)

    def start_modes(self) -> Modes:
        """Changes of a start of all fields."""
        return Modes(self.n, self.d, ring=any(self.grid.ends_of(field) == "periodic" for field in self.model.states))

    def spatial(self, x: np.ndarray) -> np.ndarray:
        """(batch, n, operators) the operators along the grid at states (batch, n, d)."""
        return self._spatial(x)[0]

    def _spatial(self, x: np.ndarray):
        """Values, and of each operator its argument's derivatives (batch, n, d) by the states of its own point."""
        values, inner = np.empty((*x.shape[:2], len(self.operators))), []
        for k, (places, _, weights, program, plain) in enumerate(self.operators):
            if plain is None:
                argument, *slopes = (np.broadcast_to(v, x.shape[:2]) for v in program.run([*np.moveaxis(x, 2, 0)]))
                inner.append(np.stack(slopes, -1))
            else:
                argument = x[:, :, plain]
                inner.append(np.broadcast_to(np.eye(self.d)[plain], x.shape))
            values[:, :, k] = argument[:, places] @ weights
        return values, inner

    def __call__(self, t, x, u=None, slopes: bool = False) -> Slopes | np.ndarray:
        """dx/dt at times t (batch,) and states x (batch, n, d), with inputs and covariates u (batch, n, k).

        Returns:
            (batch, n, d), or with `slopes` also its derivatives.
        """
        b, n, d = x.shape
        values, inner = self._spatial(x)
        known = np.zeros((b, n, 0)) if u is None else u
        along = np.concatenate([known, values], 2).reshape(b * n, -1)
        point = (np.repeat(t, n), x.reshape(b * n, d), along)
        if not slopes:
            return self.moving * self.rates(*point).reshape(b, n, d)
        f, by_state, by_operator, by_theta = self.slopes(*point)
        by_points = [np.zeros((b, n, d, 3, d)) for _ in self.neighbourhoods]
        by_points[0][:, :, :, 1] = by_state.reshape(b, n, d, d)
        through = by_operator.reshape(b, n, d, -1)
        for k, (places, kind, weights, _, _) in enumerate(self.operators):
            for o in range(3):
                if weights[o]:
                    step = weights[o] * through[..., k, None] * inner[k][:, places[:, o], None, :]
                    by_points[kind][:, :, :, o] += step
        moving = self.moving[:, :, None]
        return Slopes(
            f=self.moving * f.reshape(b, n, d),
            by_points=tuple(part * moving[..., None] for part in by_points),
            by_theta=moving * by_theta.reshape(b, n, d, -1),
        )

    def rates(self, t, x, u) -> np.ndarray:
        """dx/dt (points, d) at points: t (points,), x (points, d), u (points, k) with the operators last."""
        raise NotImplementedError

    def slopes(self, t, x, u):
        """The same, by the states (points, d, d), by the operators (points, d, operators), and by theta."""
        raise NotImplementedError


class HybridAlongGrid(GridLaw):
    """The hybrid with its networks.

    Args:
        field: of a model with a grid; its scales are this law's too.
        theta: (n_theta,) weights and scaled parameters.
    """

    def __init__(self, field: HybridField, theta: np.ndarray):
        super().__init__(field.model)
        self.wide = HybridField(operators_as_states(field.model), _activations(field))
        self.wide.scales, self.theta = field.scales, theta

    def rates(self, t, x, u):
        import torch

        with torch.inference_mode():
            return self.wide(*self._point(t, x, u)).numpy()[:, : self.d]

    def slopes(self, t, x, u):
        import torch

        d, wide = self.d, self.wide
        with torch.inference_mode():
            point = self._point(t, x, u)
            f = wide(*point)
            jacobians = wide.jacobians(*point)
            pick = torch.eye(d, f.shape[1], dtype=f.dtype).expand(len(f), 1, d, f.shape[1])
            by_theta = wide.theta_contraction(jacobians, pick)
            by_state = jacobians.by_state.numpy()[:, :d]
            return f.numpy()[:, :d], by_state[:, :, :d], by_state[:, :, d:], by_theta.numpy()

    def _point(self, t, x, u):
        import torch

        n_operators = len(self.operators)
        driving = u[:, : u.shape[1] - n_operators]
        wide = np.concatenate([x, u[:, u.shape[1] - n_operators :]], 1)
        point = tuple(map(torch.as_tensor, (t, wide, self.theta)))
        return (*point, torch.as_tensor(np.ascontiguousarray(driving)) if driving.shape[1] else None)


class FormAlongGrid(GridLaw):
    """A closed form.

    Args:
        form: of a model with a grid.
        values: (unknowns,); None takes the form's own.
    """

    def __init__(self, form: ClosedForm, values: np.ndarray | None = None):
        super().__init__(form.model)
        self.form, self.values = form, np.asarray(form.values if values is None else values, float)

    def _run(self, program: Program, t, x, u) -> np.ndarray:
        made = program.code, program.constants, program.outputs
        return at_points(*made, np.ascontiguousarray(x), self.values, t, np.ascontiguousarray(u))

    def rates(self, t, x, u):
        return self._run(self.form.program, t, x, u)

    def slopes(self, t, x, u):
        d, p = self.d, len(self.values)
        whole = self._run(self.form.spatial_program, t, x, u)
        f, by_state, by_operator, by_theta = np.split(whole, np.cumsum([d, d * d, d * len(self.operators)]), 1)
        shape = (len(x), d, -1) if len(x) else (0, d, 0)
        by_operator = by_operator.reshape(len(x), d, len(self.operators))
        return f, by_state.reshape(shape), by_operator, by_theta.reshape(len(x), d, p)


def follow_runs(law: GridLaw, x0, t, segments, steps, pieces=None, guesses=None):
    """Simulate every run in turn.

    Args:
        law: the right side.
        x0: (trajectories, d), point after point, run after run.
        t: (samples,) of all trajectories.
        segments: (lo, hi) of the trajectories.
        steps: (samples,) implicit steps from a sample to the next; of a run's points the most count.
        pieces: (samples, k, 4) cubics of inputs, covariates and operators; the operators' are not looked at.
        guesses: `Course.stages` of a near solution for each run.

    Yields:
        The run, its `Course`, its steps (times - 1,), and what drives it.
    """
    for k, run in enumerate(runs_of(law.model, t, segments)):
        driving, own = driving_along(run, pieces, len(law.operators)), steps[run.rows[:-1]].max(1)
        guess = guesses[k] if guesses is not None and len(guesses[k]) == own.sum() else None
        first = x0[k * law.n : (k + 1) * law.n]
        yield run, simulate(law.lattice, law, first, run.t, own, driving, guess), own, driving


def simulate_form(form: ClosedForm, values, x0, t, segments, steps, *, pieces=None, sensitivities=False, partial=False):
    """Simulate whole runs of a closed form of fields.

    Args:
        values: (unknowns,).
        x0, t, segments, steps, pieces: as for `follow_runs`.
        partial: keep what was simulated of a run that is lost.

    Returns:
        States (samples, d), None where a run is lost, unless `partial`; and with `sensitivities` the derivatives
        (samples, d, unknowns + d) by the values and by the trajectory's own start.
    """
    law, found = FormAlongGrid(form, values), np.full((len(t), len(form.model.states)), np.nan)
    n, d, p = law.n, law.d, len(values)
    slopes = np.zeros((len(t), d, p + d)) if sensitivities else None
    for run, course, own, driving in follow_runs(law, x0, t, segments, steps, pieces):
        if course.lost and not partial:
            return None, None
        found[run.rows] = course.states
        if sensitivities and not course.lost:
            modes = law.start_modes()
            whole = modes.sensitivities(law.lattice, law, course, run.t, own, driving)
            slopes[run.rows, :, :p] = whole[..., :p]
            changes = modes.changes.reshape(n, d, -1)
            slopes[run.rows, :, p:] = np.einsum("tnic,njc->tnij", whole[..., p:], changes)
            slopes[run.rows[0], :, p:] = np.eye(d)
    return found, slopes


def operators_as_states(model: HybridODE) -> HybridODE:
    """The model with its operators along the grid as further states: derivatives by them come with the others."""
    wide = copy.copy(model)
    wide.states, wide.spatial = (*model.states, *(part.name for part in model.spatial)), ()
    return wide


def _activations(field: HybridField) -> dict[str, str]:
    slots = zip(field.model.slots, field.layouts, strict=True)
    return {slot.name: layout.activation for slot, layout in slots}
