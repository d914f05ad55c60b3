"""The fit of a hybrid whose states are fields on a grid: one simulation of all points, by Gauss-Newton.

It begins with every point as a run of its own, whose neighbours are the smoothed measurements: that is an ordinary fit,
of a few dozen points, and tells what networks and constants look like. From there all points are simulated together
by an implicit method, and weights, constants and the fields at the first time are fitted to all measurements.

Source: Bock (1981) for the elimination of the starts; MacKay (1992) for noise and regularisation.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from scipy.linalg import LinAlgError

from udesys.data import Dataset, Trajectory
from udesys.fit.attempt import rmse
from udesys.fit.elimination import bounded_step
from udesys.fit.evidence import log_determinant
from udesys.fit.hyperparameters import Hyperparameters
from udesys.fit.options import FitOptions
from udesys.fit.outliers import are_outliers, outlying
from udesys.fit.problem import ShootingProblem
from udesys.fit.profiles_on_grid import profiles, with_operators
from udesys.fit.start import LEAST_POSITIVE, linear_errors
from udesys.fit.unknowns import StageReport, Unknowns
from udesys.integrate import lattice
from udesys.model import HybridODE, Parameter
from udesys.model import tree as T
from udesys.model.along_grid import HybridAlongGrid
from udesys.model.grid import coefficient_names
from udesys.model.runs_on_grid import driving_along, runs_of

NAME = "field shooting"
MOST_POINTS = 48  # trajectories on which a start is looked for
ITERATIONS = 60
TRIALS = 8
CONVERGED = 1e-3  # relative change of the cost; three in a row end the stage
MOST_SUBSTEPS = 64
LOST = 16  # steps with which an interval that no longer can be simulated is given up
MOST_REFINED = 6  # times that the steps are looked at
CARRIED = 0.001  # of a field in the time between two samples: what a stencil may do that a network says as well


def gauged(model: HybridODE, data: Dataset) -> HybridODE:
    """The model with a prior where a learned stencil and a network say the same.

    beta1 u of a stencil and a network of u in the same equation cannot be told apart: it is left to the network, and
    beta1 is held near zero.
    """
    if model.grid is None:
        return model
    spacing = float(np.median(np.concatenate([np.diff(run.t) for run in data.trajectories])))
    listed = dict(model.parameters)
    for field, right in zip(model.states, model.rhs, strict=True):
        one = coefficient_names(field)[0]
        inside = {
            argument.name
            for slot in model.slots
            for call in slot.calls
            for argument in call.args
            if hasattr(argument, "name") and _calls(right, call, slot.n_outputs)
        }
        parameter = listed.get(one)
        if parameter is not None and field in inside and parameter == Parameter():
            listed[one] = Parameter(0.0, prior=(0.0, CARRIED / spacing))
    if listed == model.parameters:
        return model
    return model.with_parameters(listed)


def _calls(right, call, outputs: int) -> bool:
    return any(call.output_name(k) in T.symbols(right) for k in range(outputs))


def fields_from(
    model: HybridODE,
    data: Dataset,
    start: Callable,
    options: FitOptions,
    given: np.ndarray,
    progress: Callable | None,
):
    """Problem, unknowns and stages of the best fit of all points.

    Args:
        model: with a grid.
        data: of every point, see `fit.profiles_on_grid`.
        start: called as start(data) -> the attempt that the ordinary fit prefers.
        options: of the fit.
        given: (m,) states and observables whose noise is given.
        progress: called as progress(stage, iteration, cost).
    """
    best, descent, report = _together(model, data, start, options, given, progress)
    reports = [*best.stages, report]
    far = outlying(descent.p, descent.u) if options.loss == "auto" and descent.nodes is not None else np.zeros(1)
    if are_outliers(far, descent.p):
        best, without, first = _together(model, _without(model, data, far), start, options, given, progress)
        if without.nodes is not None:
            problem = ShootingProblem(model, descent.p.data, best.problem.field, device=options.device)
            unknowns = replace(without.u, loss="student", trust=np.where(far, 0.0, 1.0))
            descent = FieldDescent(problem, unknowns, given, options)
            reports = [*best.stages, first, descent.run(progress)]
    unknowns = descent.u
    nodes = [unknowns.nodes[run.rows] for run in descent.runs]
    final = ShootingProblem(model, with_operators(model, data, nodes), descent.p.field, device=options.device)
    final.hold_given(unknowns.nodes)
    return final, unknowns, tuple(reports), descent


def _together(model, data, start, options, given, progress):
    """The attempt at points by themselves, the descent of all points from there, and what it did."""
    smoothed = profiles(model, data)
    known = with_operators(model, data, smoothed)
    best = start(replace(known, position="", trajectories=_some_points(model, known)))
    problem = ShootingProblem(model, known, best.problem.field, device=options.device)
    descent = FieldDescent(problem, _all_points(problem, best, smoothed), given, options)
    return best, descent, descent.run(progress)


def _without(model: HybridODE, data: Dataset, far: np.ndarray) -> Dataset:
    """The data with what is far (samples, m) missing."""
    places = [model.measurable.index(column) for column in data.columns]
    ends = np.cumsum([len(run.t) for run in data.trajectories])
    parts = np.split(far[:, places], ends[:-1])
    runs = zip(data.trajectories, parts, strict=True)
    return replace(data, trajectories=tuple(replace(run, y=np.where(gone, np.nan, run.y)) for run, gone in runs))


def _some_points(model: HybridODE, data: Dataset) -> tuple[Trajectory, ...]:
    """Points, evenly spread, that follow their equation and are measured."""
    moving = np.all([model.grid.moving(field) for field in model.states], axis=0)
    count = len(data.trajectories) // model.grid.n
    seen = [
        run for run, moves in zip(data.trajectories, np.tile(moving, count), strict=True) if moves and _measured(run)
    ]
    return tuple(seen[:: -(-len(seen) // MOST_POINTS)])


def _measured(run: Trajectory) -> bool:
    return bool(np.isfinite(run.y).any(1).sum() > 1)


def _all_points(problem: ShootingProblem, best, smoothed: list[np.ndarray]) -> Unknowns:
    """Nodes of all points at the smoothed fields, and the rest as the start has it."""
    u = best.unknowns
    nodes = np.concatenate([np.swapaxes(values, 0, 1).reshape(-1, problem.d) for values in smoothed])
    unmeasured = ~problem.measured[: problem.d]
    nodes[:, unmeasured] = u.nodes[:, unmeasured].mean(0)
    ones = np.ones_like(problem.y)
    return replace(u, nodes=nodes, trust=ones, schur=None, learned=None, worth=np.ones(problem.m))


class FieldDescent:
    """Levenberg-Marquardt on one simulation of every run.

    Attributes:
        law: the hybrid at all points; its theta moves.
        runs: of the data.
        steps: for each run (times - 1,) steps of the implicit method between two samples.
    """

    def __init__(self, problem: ShootingProblem, unknowns: Unknowns, given: np.ndarray, options: FitOptions):
        self.p, self.u, self.options, self.damping = problem, unknowns, options, 1e-3
        self.law = HybridAlongGrid(problem.field, unknowns.theta)
        self.runs = runs_of(problem.model, problem.t, problem.segments)
        pieces = problem.pieces
        self.driving = [driving_along(run, pieces, len(problem.model.spatial)) for run in self.runs]
        self.steps = [np.ones(len(run.t) - 1, dtype=np.int64) for run in self.runs]
        self.hyper = Hyperparameters(problem, unknowns, given)
        self.modes = self.law.start_modes()
        self.guesses: list = [None] * len(self.runs)
        self.nodes: np.ndarray | None = None
        positive = np.isin(problem.model.states, problem.model.positive)
        self.least = np.where(positive, LEAST_POSITIVE * unknowns.spread[: problem.d], -np.inf)

    # -------------------------------------------------------------- simulating
    def simulate(self, starts: list[np.ndarray], theta: np.ndarray):
        """Nodes (nodes, d) and the courses of all runs; (None, courses) where one is lost."""
        self.law.theta, nodes, courses = theta, np.empty((self.p.n_nodes, self.p.d)), []
        for k, run in enumerate(self.runs):
            guess = self.guesses[k]
            course = lattice.simulate(
                self.law.lattice, self.law, starts[k], run.t, self.steps[k], self.driving[k], guess
            )
            if course.lost:
                return None, None
            nodes[run.rows] = course.states
            courses.append(course)
        return nodes, courses

    def starts(self, nodes: np.ndarray) -> list[np.ndarray]:
        """Fields (n, d) at the first time of every run, positive ones above zero."""
        return [np.maximum(nodes[run.rows[0]], self.least) for run in self.runs]

    # -------------------------------------------------------------- the cost
    def _weight(self) -> np.ndarray:
        return (self.p.mask * self.u.trust + self.p.pin) / self.u.sigma**2

    def _error(self, nodes, theta) -> np.ndarray:
        return self.p.y - self.p.outputs(nodes, theta)

    def cost(self, nodes, theta) -> float:
        """Squared errors in units of the noise, and the prior."""
        return float((self._weight() * self._error(nodes, theta) ** 2).sum() + self.u.penalty(theta))

    # -------------------------------------------------------------- iterating
    def run(self, progress: Callable | None) -> StageReport:
        """Fit until nothing is gained, with steps that the noise asks for."""
        began, count, stopped = time.perf_counter(), 0, "no start of the fields can be simulated"
        self._begin()
        first = cost = np.nan if self.nodes is None else self.cost(self.nodes, self.u.theta)
        for _ in range(MOST_REFINED):
            if self.nodes is None:
                break
            more, stopped = self._descend(progress, count)
            count += more
            cost = self.cost(self.nodes, self.u.theta)
            refined = self._refined()
            if refined is None:
                stopped = "finer steps find no such fields"
            if not refined:
                break
        if self.nodes is not None:
            self.u.nodes = self.nodes
            at = self._linearise()  # where it ended; a step away, weights that do not matter widen the bands
            self.u.schur = self.u.schur if at is None else at.schur()
        return StageReport(
            name=NAME,
            iterations=count,
            before=float(first),
            after=float(cost),
            stopped=stopped,
            seconds=time.perf_counter() - began,
            samples=self.p.n_nodes,
        )

    def _begin(self) -> None:
        """The first simulation; with silent networks, or constants at their starts, where it is lost."""
        u, n = self.u, self.p.field.n_weights
        model, field = self.p.model, self.p.field
        guesses = np.array([model.parameters[name].guess for name in field.parameters]) / field.parameter_scale
        silent, plain = u.theta.copy(), u.theta.copy()
        silent[:n] = 0.0
        plain[:n], plain[n:] = 0.0, guesses
        for theta in (u.theta, np.concatenate([u.theta[:n], guesses]), silent, plain):
            nodes, courses = self.simulate(self.starts(u.nodes), theta)
            if nodes is not None and np.isfinite(self.cost(nodes, theta)):
                u.theta, self.nodes, self.courses = theta, nodes, courses
                self.guesses = [course.stages for course in courses]
                if self._refined() is not None:
                    return
                self.nodes, self.guesses = None, [None] * len(self.runs)

    def _descend(self, progress, before: int) -> tuple[int, str]:
        quiet = 0
        for iteration in range(1, ITERATIONS + 1):
            old, new = self._improve()
            gain = (old - new) / max(old, 1e-300)
            error = self._error(self.nodes, self.u.theta)
            self.hyper.update_trust(error)
            self.hyper.update_regularisation()
            if gain < 0.5:
                self.hyper.update_noise(error)
            if progress:
                progress(NAME, before + iteration, new)
            still = gain < CONVERGED and self.hyper.noise_change < 0.03
            quiet = quiet + 1 if still else 0
            if quiet >= 3 or (quiet >= 1 and gain <= 0):
                return iteration, "converged"
        return ITERATIONS, "iteration limit"

    def _improve(self) -> tuple[float, float]:
        """Try damped steps until one lowers the cost; returns the cost before and after."""
        u = self.u
        cost = self.cost(self.nodes, u.theta)
        at = self._linearise()
        if at is None:
            return cost, cost
        u.schur = at.schur()
        for trial in range(TRIALS):
            step = at.step(self.damping, u.bounds - u.theta)
            if step is not None:
                theta, starts = u.clip(u.theta + step[0]), self.starts(self.nodes)
                starts = [
                    np.maximum(x + move, self.least) for x, move in zip(starts, step[1], strict=True)
                ]
                nodes, courses = self.simulate(starts, theta)
                after = np.inf if nodes is None else self.cost(nodes, theta)
                if after < cost:
                    self.nodes, self.courses, u.theta = nodes, courses, theta
                    self.guesses = [course.stages for course in courses]
                    self.damping = max(self.damping / 5 if trial == 0 else self.damping, 1e-9)
                    return cost, after
            self.damping = max(self.damping * 6, 1e-7)
        return cost, cost

    def _linearise(self) -> _Normal | None:
        p, u = self.p, self.u
        self.law.theta = u.theta
        errors = linear_errors(p, self.nodes, u.theta, self._weight())
        normal = _Normal(u.prior, u.prior * (u.theta - u.center))
        for k, run in enumerate(self.runs):
            point = (self.law.lattice, self.law, self.courses[k], run.t, self.steps[k], self.driving[k])
            slopes = self.modes.sensitivities(*point)
            if not np.isfinite(slopes).all():
                return None
            if errors.by_state is not None:
                observed = np.einsum("tnod,tndc->tnoc", errors.by_state[run.rows], slopes)
                n = len(u.theta)
                observed[..., n - errors.p : n] += errors.by_parameter[run.rows]
                slopes = np.concatenate([slopes, observed], 2)
            normal.add(slopes, errors.weight[run.rows], errors.error[run.rows], self.modes)
        return normal

    def _refined(self) -> bool | None:
        """Double the steps of intervals where that still matters beside the noise.

        Returns:
            Whether some changed; None, and nothing changed, where finer steps find no such fields: what grows without
            limit as the grid's shortest waves do, coarse implicit steps only hide.
        """
        u, before = self.u, [steps.copy() for steps in self.steps]
        self.law.theta = u.theta
        for k, run in enumerate(self.runs):
            states = self.nodes[run.rows]
            for i in range(len(run.t) - 1):
                self.steps[k][i] = self._enough(k, i, states[i])
        if all((new == old).all() for new, old in zip(self.steps, before, strict=True)):
            return False
        guesses, self.guesses = self.guesses, [None] * len(self.runs)
        nodes, courses = self.simulate(self.starts(self.nodes), u.theta)
        if nodes is None or not np.isfinite(self.cost(nodes, u.theta)):
            self.steps, self.guesses = before, guesses
            return None
        self.nodes, self.courses, self.guesses = nodes, courses, [course.stages for course in courses]
        return True

    def _enough(self, k: int, i: int, x: np.ndarray) -> int:
        """Steps for an interval of a run that starts at x (n, d), at least as many as now."""
        sigma, steps = self.u.sigma[: self.p.d], int(self.steps[k][i])
        coarse = self._across(k, i, x, steps)
        while steps < MOST_SUBSTEPS:
            fine = self._across(k, i, x, 2 * steps)
            if coarse is not None and fine is not None:
                if np.abs((fine - coarse) / sigma).max() < self.options.flow_tolerance:
                    break
            elif fine is None and steps >= LOST:
                break
            steps, coarse = 2 * steps, fine
        return steps

    def _across(self, k: int, i: int, x: np.ndarray, steps: int) -> np.ndarray | None:
        """The fields (n, d) at the end of an interval of a run."""
        driving = None if self.driving[k] is None else lambda _, s: self.driving[k](i, s)
        course = lattice.simulate(self.law.lattice, self.law, x, self.runs[k].t[i : i + 2], np.array([steps]), driving)
        return None if course.lost else course.states[-1]

    # -------------------------------------------------------------- at the end
    def evidence(self) -> float:
        """-2 log marginal likelihood up to a constant; lower is better."""
        p, u, n = self.p, self.u, self.p.field.n_weights
        noise = (2.0 * p.counts * np.log(u.sigma))[p.measured].sum()
        value = self.cost(u.nodes, u.theta) + noise
        if u.schur is not None and u.schur.size:
            value += log_determinant(u.schur) - np.log(u.prior[:n]).sum()
        return float(value)

    def node_errors(self) -> np.ndarray:
        """(m,) RMSE of the fields."""
        return rmse(self.p, self.u.nodes, self.u)


class _Normal:
    """Normal equations of theta and of every run's start."""

    def __init__(self, prior: np.ndarray, prior_gradient: np.ndarray):
        self.matrix, self.gradient = np.diag(prior), prior_gradient.copy()
        self.own: list = []

    def add(self, slopes: np.ndarray, weight: np.ndarray, error: np.ndarray, modes: lattice.Modes) -> None:
        """A run: slopes (times, n, m, theta + changes of the start), weights and errors (times, n, m)."""
        n = len(self.gradient)
        first = np.where(weight[0] > 0, error[0], 0.0)[:, : modes.d]
        rows, weight = slopes.reshape(-1, slopes.shape[-1]), weight.reshape(-1)
        seen = weight > 0
        root = np.sqrt(weight[seen])
        rows = rows[seen] * root[:, None]
        whole, gradient = rows.T @ rows, -rows.T @ (root * error.reshape(-1)[seen])
        self.matrix += whole[:n, :n]
        self.gradient += gradient[:n]
        self.own.append((whole[:n, n:], whole[n:, n:], gradient[n:], modes.changes, modes.rest(first)))

    def schur(self) -> np.ndarray:
        """theta's matrix with the starts eliminated."""
        schur = self.matrix.copy()
        for coupling, own, *_ in self.own:
            least = 1e-12 * np.diag(np.diag(own) + 1e-300)
            schur -= coupling @ np.linalg.lstsq(own + least, coupling.T, rcond=None)[0]
        return 0.5 * (schur + schur.T)

    def step(self, damping: float, limits):
        """Steps of theta and of every run's start (n, d); None where the matrix is singular.

        What of a start no later state shows moves towards its own measurements.
        """
        schur, gradient, kept = self.matrix.copy(), self.gradient.copy(), []
        try:
            for coupling, own, pull, *_ in self.own:
                damped = own + (damping + 1e-12) * np.diag(np.diag(own) + 1e-300)
                solved = np.linalg.solve(damped, np.column_stack([coupling.T, pull]))
                schur -= coupling @ solved[:, :-1]
                gradient -= coupling @ solved[:, -1]
                kept.append(solved)
            damped = schur + damping * np.diag(np.maximum(np.diag(schur), 1e-12))
            theta = bounded_step(damped, gradient, *limits)
        except (LinAlgError, np.linalg.LinAlgError, ValueError):
            return None
        starts = [
            (changes @ -(solved[:, -1] + solved[:, :-1] @ theta)).reshape(rest.shape) + rest / (1.0 + damping)
            for solved, (*_, changes, rest) in zip(kept, self.own, strict=True)
        ]
        return theta, starts
