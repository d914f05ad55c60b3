"""All constants, parameters and initial values of a closed form refitted on the raw data by simulation.

Levenberg-Marquardt with exact sensitivities; each trajectory's initial values are eliminated, so a step costs
the same however many trajectories there are.

Source: Golub & Pereyra, Inverse Problems 19 (2003) R1 (elimination); Moré (1978) for the damping.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from udesys.fit.memory import whitened
from udesys.model.closed_form import ClosedForm
from udesys.search.measurements import Measurements

ITERATIONS = 15
TRIALS = 8
CONVERGED = 1e-7  # relative gain; two in a row end a refit
PATIENCE, SLOW = 3, 0.05  # iterations, then relative gain, before a hopeless descent is given up
WINDOWS = 10  # pieces with free starts from which a refit that fails is started again
HORIZONS = (0.25, 0.5)  # shares of the record fitted on the way from the windows to the whole
TEMPERED = (0.3, 0.1)  # of the proposed constants, tried where the law blows up with them in full
LEAST_WINDOW = 4  # samples
LARGEST = 1e50  # of a constant, whose powers have to be numbers too


@dataclass(frozen=True)
class Refit:
    """A closed form with refitted values.

    Attributes:
        form: the closed form.
        x0: (trajectories, d) initial values.
        squares: (m,) residual sums of squares of states and observables [data units squared].
        cost: squared errors in units of the noise, `penalty` included.
        states: (samples, d) its simulation.
        outputs: (samples, m) its states, then its observables.
        penalty: squared deviations of parameters from their priors, in units of these.
        weighted: (m,) residual sums of squares as the noise profile weighs them and their memory leaves them.
    """

    form: ClosedForm
    x0: np.ndarray
    squares: np.ndarray
    cost: float
    states: np.ndarray
    outputs: np.ndarray
    penalty: float = 0.0
    weighted: np.ndarray | None = None

    def __post_init__(self):
        if self.weighted is None:
            object.__setattr__(self, "weighted", self.squares)


@dataclass
class Point:
    """Values and starts with their residuals."""

    values: np.ndarray
    x0: np.ndarray
    cost: float
    residual: np.ndarray
    states: np.ndarray
    outputs: np.ndarray


@dataclass(frozen=True)
class Pull:
    """A wish for a function of the values, as one more squared error: ((function - target) / width)^2.

    Attributes:
        function: values (unknowns,) -> its value, and its slopes (unknowns,).
        target: where it is pulled to.
        width: how far from there costs one.
    """

    function: Callable
    target: float
    width: float

    def error(self, values) -> tuple[float, np.ndarray]:
        """The deviation in units of the width, and its slopes (unknowns,)."""
        value, slopes = self.function(values)
        return (value - self.target) / self.width, slopes / self.width


class Refitter:
    """Refits closed forms to one set of measurements.

    Args:
        data: the measurements; `data.free` tells which initial values are estimated.
        nodes: (samples, d) states of the hybrid fit, from which windows start.
        bounds: parameter -> (low, high).
        steps: (samples,) solver steps between a sample and the next.
        priors: parameter -> (mean, standard deviation).
        frozen: keep the values and fit the starts alone.
        pull: a further squared error; None without one.
    """

    def __init__(
        self,
        data: Measurements,
        nodes: np.ndarray,
        bounds: dict,
        steps: np.ndarray,
        *,
        priors: dict | None = None,
        frozen: bool = False,
        pull: Pull | None = None,
    ):
        self.data, self.nodes, self.bounds, self.steps, self.frozen = data, nodes, bounds, steps, frozen
        self.priors, self.pull = priors or {}, pull

    def on(self, data: Measurements, **more) -> Refitter:
        """The same refitter on other measurements, or with other settings."""
        own = {"priors": self.priors, "frozen": self.frozen, "pull": self.pull}
        return Refitter(data, self.nodes, self.bounds, self.steps, **(own | more))

    def freed(self) -> Refitter:
        """The refitter for the last refit: itself."""
        return self

    def refit(
        self,
        form: ClosedForm,
        x0: np.ndarray,
        *,
        iterations: int = ITERATIONS,
        robust: bool = False,
        hopeless: float | None = None,
    ) -> Refit | None:
        """Values that simulate the data best; None where no start gives a finite simulation, or where one overflows.

        Args:
            x0: (trajectories, d) starts.
            robust: also go through the windows, unless the direct way ends below `hopeless`, and keep the better.
            hopeless: cost above which a descent that has slowed down is given up; never if None.
        """
        direct = self._descend(form, form.values, x0, self.data.segments, iterations, hopeless)
        near = direct is not None and hopeless is not None and direct.cost <= hopeless
        if direct is not None and (near or not robust):
            return self._done(form, direct)
        found = [direct, self._through_windows(form, iterations, hopeless)]
        if not any(found):
            constants = np.array([not isinstance(name, str) for name in form.names], dtype=bool)
            tempered = (np.where(constants, share * form.values, form.values) for share in TEMPERED)
            found = [self._descend(form, values, x0, self.data.segments, iterations, hopeless) for values in tempered]
        found = [p for p in found if p is not None]
        return self._done(form, min(found, key=lambda p: p.cost)) if found else None

    def descend(self, form: ClosedForm, values, x0, *, iterations: int = ITERATIONS) -> Point | None:
        """The nearest optimum downhill from some values; None where these do not simulate.

        Args:
            values: (unknowns,) where to begin.
            x0: (trajectories, d) starts, likewise.
            iterations: at most.
        """
        return self._descend(form, values, x0, self.data.segments, iterations)

    def _done(self, form: ClosedForm, point: Point) -> Refit | None:
        if not (np.abs(point.values) < LARGEST).all():
            return None
        error = self._errors(point.states, point.outputs)
        profile = 1.0 if self.data.profile is None else self.data.profile
        squares = (error**2).sum(0)
        weighted = (whitened(error / profile, self.data.memory, self.data.segments) ** 2).sum(0)
        penalty = float((self._prior_errors(form, point.values)[0] ** 2).sum())
        found = form.with_values(point.values)
        return Refit(found, point.x0, squares, point.cost, point.states, point.outputs, penalty, weighted)

    def _through_windows(self, form: ClosedForm, iterations: int, hopeless: float | None) -> Point | None:
        """Short windows from the fitted nodes, then growing horizons: for starts that one long solve rejects.

        A law that does not even follow the windows, each with a start of its own, is given up.
        """
        lo, hi = self.data.segments
        windows = [_split(a, b) for a, b in zip(lo, hi, strict=True)]
        pieces = np.array([w for group in windows for w in group], dtype=np.int64)
        point = self._descend(
            form, form.values, self.nodes[pieces[:, 0]], (pieces[:, 0].copy(), pieces[:, 1].copy()), 8
        )
        if point is None or (hopeless is not None and point.cost > hopeless):
            return None
        firsts = np.cumsum([0] + [len(w) for w in windows[:-1]])
        values, x0 = point.values, point.x0[firsts]
        for share in (*HORIZONS, 1.0):
            end = np.minimum(hi, lo + np.maximum(LEAST_WINDOW, ((hi - lo) * share).astype(np.int64)))
            point = self._descend(form, values, x0, (lo, end), iterations if share == 1.0 else 6)
            if point is None:
                return None
            values, x0 = point.values, point.x0
        return point

    def simulate(self, refit: Refit, steps: np.ndarray) -> np.ndarray | None:
        """(samples, m) states and observables of a refitted form with other steps; None where it diverges."""
        data, form = self.data, refit.form
        states, _ = form.simulate(refit.x0, data.t, data.segments, steps, pieces=data.pieces)
        return None if states is None else form.outputs(data.t, states, data.u)

    # -------------------------------------------------------------- Levenberg-Marquardt
    def _evaluate(self, form, values, x0, segments) -> Point | None:
        data = self.data
        states, _ = form.simulate(x0, data.t, segments, self.steps, pieces=data.pieces, values=values)
        if states is None:
            return None
        outputs = form.outputs(data.t, states, data.u, values=values)
        residual = whitened(data.mask / data.noise * self._errors(states, outputs), data.memory, segments)
        cost = float((residual**2).sum() + (self._added_errors(form, values)[0] ** 2).sum())
        return Point(values, x0, cost, residual, states, outputs) if np.isfinite(cost) else None

    def _errors(self, states, outputs) -> np.ndarray:
        """(samples, m) what a simulation misses [data units]; zero where nothing is measured or simulated."""
        return np.where(self._counted(states), outputs - self.data.y, 0.0)

    def _prior_errors(self, form: ClosedForm, values) -> tuple[np.ndarray, np.ndarray]:
        """(priors,) deviations from the priors in their standard deviations, and their slopes (priors, unknowns)."""
        known = [k for k, name in enumerate(form.names) if name in self.priors]
        mean, sd = np.array([self.priors[form.names[k]] for k in known], dtype=float).reshape(-1, 2).T
        return (values[known] - mean) / sd, np.eye(len(values))[known] / sd[:, None]

    def _added_errors(self, form: ClosedForm, values) -> tuple[np.ndarray, np.ndarray]:
        """What counts beside the data: deviations from the priors, then the pull's, and their slopes likewise."""
        errors, slopes = self._prior_errors(form, values)
        if self.pull is None:
            return errors, slopes
        error, slope = self.pull.error(values)
        return np.append(errors, error), np.vstack([slopes, slope])

    def _counted(self, states) -> np.ndarray:
        return (self.data.mask > 0) & np.isfinite(states).all(1, keepdims=True)

    def _descend(self, form, values, x0, segments, iterations, hopeless=None) -> Point | None:
        low, high = self._limits(form)
        least = np.array([0.0 if name in form.model.positive else -np.inf for name in form.model.states])
        point = self._evaluate(form, np.clip(values, low, high), np.maximum(x0, least), segments)
        if point is None:
            return None
        damping, quiet = 1e-3, 0
        for iteration in range(iterations):
            system = self.linearise(form, point, segments)
            if system is None:
                break
            accepted = None
            for _ in range(TRIALS):
                step = system.step(damping, point.values, low, high)
                if step is not None:
                    moved, starts = np.clip(point.values + step[0], low, high), point.x0 + step[1]
                    trial = self._evaluate(form, moved, np.maximum(starts, least), segments)
                    if trial is not None and trial.cost < point.cost:
                        accepted = trial
                        break
                damping = max(damping * 8, 1e-6)
            if accepted is None:
                break
            gain = (point.cost - accepted.cost) / max(point.cost, 1e-300)
            point, damping = accepted, max(damping / 8, 1e-12)
            quiet = quiet + 1 if gain < CONVERGED else 0
            slow = iteration >= PATIENCE and gain < SLOW
            if quiet >= 2 or (hopeless is not None and slow and point.cost > hopeless):
                break
        return point

    def _limits(self, form: ClosedForm):
        if self.frozen:
            return form.values, form.values
        pairs = [self.bounds.get(n, (-np.inf, np.inf)) if isinstance(n, str) else (-np.inf, np.inf) for n in form.names]
        limits = np.array(pairs, dtype=float).reshape(-1, 2)
        return limits[:, 0], limits[:, 1]

    def linearise(self, form: ClosedForm, point: Point, segments) -> EliminatedSystem | None:
        """Normal equations of the residuals in the values, with the starts eliminated; None where not finite."""
        data, values = self.data, point.values
        simulation = form.simulate(
            point.x0, data.t, segments, self.steps, pieces=data.pieces, values=values, sensitivities=True
        )
        if simulation[1] is None or not np.isfinite(simulation[1]).all():
            return None
        sens = form.output_sensitivities(data.t, *simulation, data.u, values=values)
        if form.observed:
            sens = np.where(self._counted(simulation[0])[..., None], sens, 0.0)
        weight = data.mask / data.noise
        at_start = np.isin(segments[0], data.segments[0])  # a window further on starts free
        free = np.where(at_start[:, None], data.free, True)
        rows = whitened(sens * weight[..., None], data.memory, segments)
        system = EliminatedSystem(rows, point.residual, segments, len(values), free)
        errors, slopes = self._added_errors(form, values)
        system.hessian += slopes.T @ slopes
        system.gradient += slopes.T @ errors
        return system if system.finite else None


def replace_data(refitter: Refitter, data: Measurements) -> Refitter:
    """The same refitter on other measurements or weights."""
    return refitter.on(data)


def with_pull(refitter: Refitter, pull: Pull | None) -> Refitter:
    """The same refitter with another pull, or without one."""
    return refitter.on(refitter.data, pull=pull)


class EliminatedSystem:
    """J^T J and J^T r over the shared values, each segment's free start eliminated.

    Args:
        jacobian: (samples, m, values + d) weighted sensitivities, by the values and by the segment's own start.
        residual: (samples, m) weighted residuals.
        segments: (lo, hi) arrays.
        n_values: number of shared values.
        free: (segments, d) whether a start is estimated.
    """

    def __init__(self, jacobian, residual, segments, n_values: int, free: np.ndarray):
        d = free.shape[1]
        self.n, count = n_values, len(free)
        self.hessian, self.gradient = np.zeros((n_values, n_values)), np.zeros(n_values)
        self.coupling, self.block = np.zeros((count, n_values, d)), np.zeros((count, d, d))
        self.slope = np.zeros((count, d))
        for k, (a, b) in enumerate(zip(*segments, strict=True)):
            rows = jacobian[a:b].reshape(-1, n_values + d)
            js, jx, r = rows[:, :n_values], rows[:, n_values:] * free[k], residual[a:b].reshape(-1)
            self.hessian += js.T @ js
            self.gradient += js.T @ r
            self.coupling[k], self.block[k], self.slope[k] = js.T @ jx, jx.T @ jx, jx.T @ r

    @property
    def finite(self) -> bool:
        """Whether the system can be solved at all."""
        return bool(np.isfinite(self.hessian).all() and np.isfinite(self.block).all())

    def reduced(self, damping: float = 0.0):
        """The Schur complement over the values, its gradient, and the starts' inverse blocks."""
        schur, damped = self.hessian.copy(), self.block.copy()
        schur[np.diag_indices(self.n)] *= 1.0 + damping
        places = np.arange(damped.shape[1])
        damped[:, places, places] *= 1.0 + damping
        size = np.sqrt(damped[:, places, places])
        size = np.where(size > 0, size, 1.0)  # a start that is not free has a zero row
        outer = size[:, :, None] * size[:, None, :]
        inverse = np.linalg.pinv(damped / outer, hermitian=True) / outer
        carried = self.coupling @ inverse
        schur -= (carried @ np.swapaxes(self.coupling, 1, 2)).sum(0)
        gradient = self.gradient - (carried @ self.slope[:, :, None])[:, :, 0].sum(0)
        return schur, gradient, inverse

    def following(self, values: np.ndarray, inverse: np.ndarray) -> np.ndarray:
        """(trajectories, d) how the starts follow a move of the values, with their inverse blocks."""
        return -(inverse @ (np.swapaxes(self.coupling, 1, 2) @ values)[:, :, None])[:, :, 0]

    def step(self, damping: float, values, low, high):
        """(values' step, starts' step); values held at a bound that the step would cross stay there."""
        try:
            schur, gradient, inverse = self.reduced(damping)
            if not (np.isfinite(schur).all() and np.isfinite(gradient).all()):
                return None
            step = step_within(schur, gradient, np.diag(self.hessian), values, low, high)
        except np.linalg.LinAlgError:
            return None
        pull = self.slope + (np.swapaxes(self.coupling, 1, 2) @ step)
        starts = -(inverse @ pull[:, :, None])[:, :, 0]
        return (step, starts) if np.isfinite(step).all() and np.isfinite(starts).all() else None


def step_within(schur, gradient, diagonal, values, low, high) -> np.ndarray:
    """The values' Gauss-Newton step (values,); those at a bound that it would cross stay there.

    Args:
        schur: (values, values) damped normal matrix with all else eliminated.
        gradient: (values,) likewise.
        diagonal: (values,) of the normal matrix before that, which tells the values' sizes.
        values, low, high: (values,) where they are and may be.

    Raises:
        LinAlgError: it cannot be solved.
    """
    held = ((values <= low) & (gradient > 0)) | ((values >= high) & (gradient < 0))
    move, step = np.flatnonzero(~held), np.zeros(len(values))
    if len(move):
        scale = np.sqrt(np.maximum(diagonal[move], 1e-300))
        matrix = schur[np.ix_(move, move)] / np.outer(scale, scale)
        step[move] = -np.linalg.lstsq(matrix, gradient[move] / scale, rcond=1e-13)[0] / scale
    return step


def _split(a: int, b: int) -> list[tuple[int, int]]:
    """About ten windows of a:b that share their ends."""
    length = max(LEAST_WINDOW, (b - a) // WINDOWS)
    edges = list(range(a, b - 1, length))
    return [(e, min(b, e + length + 1)) for e in edges]
