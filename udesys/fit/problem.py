"""The data and the model arranged for multiple shooting: nodes, intervals, and the one-interval flow."""

from __future__ import annotations

import copy
import itertools
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numba import njit

from udesys.data import Dataset, first_slope, signal_coefficients
from udesys.errors import FitError
from udesys.fit.observation import Observation
from udesys.integrate import onestep, radau
from udesys.integrate.flow import Intervals
from udesys.model import HybridODE
from udesys.model.compiled import CompiledField, is_wide
from udesys.model.field import HybridField

CHUNK = 8192  # points at which the field is evaluated at once; bounds the memory of the Jacobians
PIN_WEIGHT = 1e6  # weight of a given initial state, in units of 1/sigma^2
SLOPE_ROWS = 50  # samples that tell a velocity's given initial value
SHOOT_ITERATIONS = 30
CHECK_TOLERANCE, CHECK_STEPS = 1e-3, 300  # of the noise, and most steps in an interval, in the adaptive check
CHECK_AGREES = 0.04  # of the noise: what is farther off than this is looked at more closely
CHECK_CHUNKS = (CHUNK, 512, 32)  # intervals checked at once, at first and more closely
MOST_EVALUATIONS = 100_000  # of the right side in one stiff simulation
MOST_STEPS, LEAST_STEPS = 100_000, 1_000  # of an explicit one altogether, and between two of its times


@dataclass(frozen=True)
class _Batch:
    """Intervals that are integrated at once: equal substeps, tensors on the device."""

    which: np.ndarray
    start: object
    h: object  # (intervals, 1), one substep
    t: object  # (intervals, 1), starts
    signals: object  # (intervals, k, 4) or None
    substeps: int


class ShootingProblem:
    """All trajectories of a dataset as one batch of intervals between neighbouring samples.

    Args:
        model: its states and observables are matched to the dataset's columns by name.
        data: the measurements.
        field: the model's right side; its scales are set by the fit.
        method: "rk4", or "radau" for stiff systems.
        device: where the flow is evaluated, "cpu" or "cuda".
        pinned: hold initial states that the model gives; not where the data are cut into windows.

    Attributes:
        t: (nodes,) sample times, trajectory after trajectory [the data's time unit].
        u: (nodes, k) inputs and covariates at the samples.
        y: (nodes, m) measurements of the states, then of the observables, zero where missing [data units].
        mask: (nodes, m), 1 where measured.
        measured: (m,) whether there is any measurement.
        d: number of states.
        start: (intervals,) node where each interval starts.
        h: (intervals,) lengths of the intervals.
        first: (trajectories,) first node of each trajectory.
        pin: (nodes, m) weight of given initial states, in units of 1/sigma^2.
        substeps: (intervals,) equal steps taken in each interval.
    """

    def __init__(
        self,
        model: HybridODE,
        data: Dataset,
        field: HybridField,
        *,
        method: str = "rk4",
        device: str = "cpu",
        pinned: bool = True,
    ):
        self.model, self.data, self.field, self.method, self.device = model, data, field, method, device
        self.d, self.m = len(model.states), len(model.measurable)
        self._gather(model, data)
        lengths = [len(tr.t) for tr in data.trajectories]
        ends = np.cumsum(lengths)
        self.first = ends - lengths
        self.segments = (self.first.astype(np.int64), ends.astype(np.int64))
        self.start = np.concatenate([np.arange(a, b - 1) for a, b in zip(self.first, ends, strict=True)])
        self.h = self.t[self.start + 1] - self.t[self.start]
        self.n_nodes, self.n_intervals = len(self.t), len(self.start)
        self.signals = signal_coefficients(data, model.exogenous) if model.exogenous else None
        self.u = self._node_signals()
        self.observation = Observation(field)
        self.substeps = np.ones(self.n_intervals, dtype=np.int64)
        self.pin = np.zeros_like(self.y)
        if pinned:
            self._pin_initial(model)
        self._plans: dict = {}

    def _gather(self, model: HybridODE, data: Dataset) -> None:
        self.t = np.concatenate([tr.t for tr in data.trajectories])
        values = np.concatenate([tr.y for tr in data.trajectories])
        y = np.full((len(self.t), self.m), np.nan)
        for j, name in enumerate(data.columns):
            if name not in model.measurable:
                raise FitError(
                    f"column {name!r} is no state of the model. States are {', '.join(model.states)}."
                    + (f" Observables are {', '.join(model.observe)}." if model.observe else "")
                )
            y[:, model.measurable.index(name)] = values[:, j]
        self.mask = np.isfinite(y).astype(float)
        self.y = np.where(self.mask > 0, y, 0.0)
        self.measured = self.mask.any(0)
        self.counts = self.mask.sum(0)

    def _pin_initial(self, model: HybridODE) -> None:
        for j, name in enumerate(model.states):
            wish = model.initial[name]
            if wish == "free":
                continue
            for a, b in zip(*self.segments, strict=True):
                if wish != "data":
                    self.y[a, j], self.mask[a, j] = wish, 0.0
                elif not self.mask[a, j]:
                    self.y[a, j] = self._first_slope(j, slice(a, min(b, a + SLOPE_ROWS)))
                self.pin[a, j] = PIN_WEIGHT

    def hold_given(self, nodes: np.ndarray) -> None:
        """Put initial states that the model gives into nodes (nodes, d), from which their weights let them stray."""
        given = self.pin[:, : self.d] > 0
        nodes[given] = self.y[:, : self.d][given]

    def _first_slope(self, j: int, rows: slice) -> float:
        """Slope, at the first of these samples, of the measured state whose derivative state j is."""
        name, states = self.model.states[j], self.model.states
        of = states.index(name[:-1]) if name.endswith("'") and name[:-1] in states else j
        if not self.mask[rows.start, of]:
            raise FitError(
                f'initial {name} = "data", but the first {states[of]} of a trajectory is missing. '
                'Write "free" or a number.'
            )
        column = np.where(self.mask[rows, of] > 0, self.y[rows, of], np.nan)
        return first_slope(self.t[rows], column)

    def _node_signals(self) -> np.ndarray:
        """Inputs and covariates at the samples: each interval's start, and the end of a trajectory's last."""
        u = np.zeros((self.n_nodes, len(self.model.exogenous)))
        if self.signals is not None:
            u[self.start] = self.signals[:, :, 0]
            last = np.flatnonzero(~np.isin(np.arange(self.n_nodes), self.start))
            interval = np.searchsorted(self.start, last - 1)
            s = self.h[interval][:, None, None] ** np.arange(4)
            u[last] = (self.signals[interval] * s).sum(2)
        return u

    @property
    def pieces(self) -> np.ndarray | None:
        """(nodes, k, 4) cubics of the inputs and covariates from every sample on; None without any."""
        if self.signals is None:
            return None
        pieces = np.zeros((self.n_nodes, *self.signals.shape[1:]))
        pieces[self.start] = self.signals
        return pieces

    # -------------------------------------------------------------- what is measured
    def outputs(self, nodes: np.ndarray, theta: np.ndarray) -> np.ndarray:
        """(nodes, m): the states, then the observables."""
        if not self.observation.n:
            return nodes
        return np.concatenate([nodes, self.observation.values(self.t, nodes, theta, self.u)], 1)

    # -------------------------------------------------------------- the flow
    @cached_property
    def compiled(self) -> CompiledField | None:
        """The field in compiled code where that is faster than tensors, else None."""
        return CompiledField(self.field) if self.device == "cpu" and not is_wide(self.field) else None

    @cached_property
    def intervals(self) -> Intervals:
        """All intervals, for the compiled flow."""
        signals = np.zeros((self.n_intervals, 0, 4)) if self.signals is None else self.signals
        return Intervals(self.start, self.t[self.start], self.h, signals)

    def tensor(self, values):
        """Values as a tensor on the device."""
        import torch

        return torch.as_tensor(values, device=self.device)

    def _batches(self, which=None) -> list[_Batch]:
        """The intervals (all, or those named) in groups of equal substeps, none too large for the memory."""
        key = (self.method, self.substeps.tobytes()) if which is None else None
        if key is not None and key in self._plans:
            return self._plans[key]
        which = np.arange(self.n_intervals) if which is None else which
        stages, batches = (4 if self.method == "rk4" else radau.STAGES), []
        for k in np.unique(self.substeps[which]).tolist():
            group = which[self.substeps[which] == k]
            size = max(64, CHUNK // (stages * k))
            batches += [self._batch(group[a : a + size], k) for a in range(0, len(group), size)]
        if key is not None:
            self._plans = {key: batches}
        return batches

    def _batch(self, which: np.ndarray, substeps: int) -> _Batch:
        return _Batch(
            which=which,
            start=self.start[which],
            h=self.tensor(self.h[which] / substeps)[:, None],
            t=self.tensor(self.t[self.start[which]])[:, None],
            signals=None if self.signals is None else self.tensor(self.signals[which]),
            substeps=substeps,
        )

    def flow(self, nodes: np.ndarray, theta: np.ndarray, *, share: float = 1.0, which=None) -> np.ndarray:
        """States (intervals, d) a share of every interval after its start node; NaN where there is no solution."""
        if self.method == "rk4" and self.compiled is not None:
            return self.compiled.flow(self.intervals, nodes, theta, self.substeps, which, share=share)
        n = self.n_intervals if which is None else len(which)
        end = np.empty((n, self.d))
        for batch in self._batches(which):
            rows = batch.which if which is None else np.searchsorted(which, batch.which)
            end[rows] = self._flow(batch, nodes, theta, share)[0].cpu().numpy()
        return end

    def flow_jacobians(self, nodes: np.ndarray, theta: np.ndarray, which=None, *, by_theta: bool = True):
        """Ends of the intervals and their exact derivatives.

        Args:
            which: the intervals, increasing; None takes all.
            by_theta: also the derivative by theta; else None in its place.

        Returns:
            (intervals, d), by the start node (intervals, d, d), and by theta (intervals, d, n_theta).
        """
        if self.method == "rk4" and self.compiled is not None:
            return self.compiled.flow_jacobians(self.intervals, nodes, theta, self.substeps, which, by_theta=by_theta)
        n = self.n_intervals if which is None else len(which)
        end, by_node = np.empty((n, self.d)), np.empty((n, self.d, self.d))
        slopes = np.empty((n, self.d, self.field.n_theta)) if by_theta else None
        for batch in self._batches(which):
            rows = batch.which if which is None else np.searchsorted(which, batch.which)
            parts = self._flow_jacobians(batch, nodes, theta, by_theta)
            end[rows], by_node[rows] = parts[0].cpu().numpy(), parts[1].cpu().numpy()
            if by_theta:
                slopes[rows] = parts[2].cpu().numpy()
        return end, by_node, slopes

    def linearise(self, nodes: np.ndarray, theta: np.ndarray, at=slice(None)):
        """The right side at nodes `at`.

        Returns:
            Arguments of each network's first call, a list of (points, arguments) [data units], df/dx (points, d, d),
            and the derivative of f by the outputs of all calls in turn (points, d, outputs).
        """
        t, x, u = self.t[at], nodes[at], self.u[at]
        if self.compiled is not None:
            return self.compiled.linearise(t, x, u, theta)
        import torch

        with torch.inference_mode():
            point = tuple(map(torch.as_tensor, (t, x, theta, u)))
            arguments = [self.field.arguments(k, *point).numpy() for k in range(len(self.model.slots))]
            jacobians = self.field.jacobians(*point)
            return arguments, jacobians.by_state.numpy(), jacobians.by_output.numpy()

    def term(self, slot: int, arguments: np.ndarray, theta: np.ndarray):
        """Values (points, outputs) of a network at arguments (points, arguments) [data units], and by its weights."""
        if self.compiled is not None:
            return self.compiled.term(slot, arguments, theta)
        import torch

        with torch.inference_mode():
            values, slopes = self.field.term(slot, torch.as_tensor(arguments), torch.as_tensor(theta), jacobian=True)
            return values.numpy(), slopes.numpy()

    def _right_side(self, batch: _Batch, theta):
        """f(t, x) of the intervals of a batch; t is (intervals, 1)."""
        return lambda t, x: self.field(t[:, 0], x, theta, self._inputs(batch, t))

    def _inputs(self, batch: _Batch, t):
        """Inputs (intervals, k) at times t (intervals, 1)."""
        return None if batch.signals is None else horner(batch.signals, t - batch.t)

    def _flow(self, batch: _Batch, nodes, theta, share):
        """Ends, and the stage states [(t, x), ...] on the way."""
        import torch

        with torch.inference_mode():
            theta, x = self.tensor(theta), self.tensor(nodes[batch.start])
            h, stages = batch.h * share, []
            target = x + share * (self.tensor(nodes[batch.start + 1]) - x)
            size = 1e-9 * x.abs().amax(0) + 1e-300  # of the starts: an interval that is lost on the way has none
            for k in range(batch.substeps):
                now = batch.t + k * h
                if self.method == "rk4":
                    x, visited = onestep.step(self._right_side(batch, theta), now, x, h, onestep.RK4)
                    stages += visited
                else:
                    line = (target - x) / (batch.substeps - k)
                    inner = self._radau(batch, theta, now, x, h, line, size)
                    stages += [(now + c * h, inner[:, i]) for i, c in enumerate(radau.C.tolist())]
                    x = inner[:, -1]
            return x, stages

    def _radau(self, batch: _Batch, theta, now, x, h, line, size):
        """Stage states of one implicit step; Newton's method starts on the line towards the next node."""
        import torch

        t = torch.cat([now + c * h for c in radau.C.tolist()], 1).reshape(-1)
        u = None
        if batch.signals is not None:
            signals = batch.signals.repeat_interleave(radau.STAGES, 0)
            u = horner(signals, (t - batch.t.repeat_interleave(radau.STAGES, 0)[:, 0])[:, None])

        def slopes(x):
            return self.field(t, x, theta, u), self.field.jacobians(t, x, theta, u).by_state

        guess = x[:, None] + self.tensor(radau.C)[:, None] * line[:, None]
        return radau.step(slopes, x, h, size, guess)

    def _flow_jacobians(self, batch: _Batch, nodes, theta, by_theta):
        import torch

        with torch.inference_mode():
            end, stages = self._flow(batch, nodes, theta, 1.0)
            n, s, d = len(batch.which), len(stages), self.d
            x = torch.stack([x for _, x in stages], 1).reshape(n * s, d)
            t = torch.stack([t.expand(n, 1)[:, 0] for t, _ in stages], 1)
            u = None
            if batch.signals is not None:
                u = torch.stack([self._inputs(batch, c[:, None]) for c in t.unbind(1)], 1).reshape(n * s, -1)
            jacobians = self.field.jacobians(t.reshape(n * s), x, self.tensor(theta), u)
            by_stage = jacobians.by_state.reshape(n, s, d, d)
            outer, by_slope = self._pull_back(by_stage, batch.h)
            slopes = self.field.theta_contraction(jacobians, torch.stack(by_slope, 1)) if by_theta else None
            return end, outer, slopes

    def _pull_back(self, by_stage, h):
        """Derivative of the ends by the starts, and by every stage's slope, a list of (intervals, d, d)."""
        import torch

        n, s, d, _ = by_stage.shape
        outer = torch.eye(d, dtype=by_stage.dtype, device=by_stage.device).expand(n, d, d)
        per_step = 4 if self.method == "rk4" else radau.STAGES
        by_slope = [None] * s
        for first in range(s - per_step, -1, -per_step):
            now = by_stage[:, first : first + per_step]
            if self.method == "rk4":
                outer, slopes = onestep.stage_adjoints(now.unbind(1), h[:, :, None], outer, onestep.RK4)
            else:
                outer, slopes = radau.stage_adjoints(now, h, outer)
            by_slope[first : first + per_step] = slopes
        return outer, by_slope

    def path(self, nodes: np.ndarray, theta: np.ndarray, which: np.ndarray | None = None, *, by_theta: bool = False):
        """Start node plus the integral of f along the straight line to the next node: no equation is solved.

        Returns:
            (intervals, d), and its derivative by theta (intervals, d, n_theta) or None.
        """
        import torch

        which = np.arange(self.n_intervals) if which is None else which
        n, s, d = len(which), radau.STAGES, self.d
        end, slopes = np.empty((n, d)), np.empty((n, d, self.field.n_theta)) if by_theta else None
        with torch.inference_mode():
            parameters, weight = self.tensor(theta), self.tensor(radau.A[-1])
            for a in range(0, n, CHUNK // s):
                batch = self._batch(which[a : a + CHUNK // s], 1)
                start = self.tensor(nodes[batch.start])[:, None]
                line = self.tensor(nodes[batch.start + 1])[:, None] - start
                c = self.tensor(radau.C)[:, None]
                x, t = (start + c * line).reshape(-1, d), (batch.t + batch.h * c[:, 0]).reshape(-1)
                u = None
                if batch.signals is not None:
                    signals = batch.signals.repeat_interleave(s, 0)
                    u = horner(signals, (batch.h * c[:, 0]).reshape(-1, 1))
                share = batch.h * weight  # (intervals, 3)
                f = self.field(t, x, parameters, u).reshape(-1, s, d)
                rows = slice(a, a + len(batch.which))
                end[rows] = (start[:, 0] + (share[:, :, None] * f).sum(1)).cpu().numpy()
                if by_theta:
                    eye = torch.eye(d, dtype=x.dtype, device=x.device)
                    jacobians = self.field.jacobians(t, x, parameters, u)
                    by_slope = share[:, :, None, None] * eye
                    slopes[rows] = self.field.theta_contraction(jacobians, by_slope).cpu().numpy()
        return end, slopes

    # -------------------------------------------------------------- simulating
    def shoot(self, starts: np.ndarray, theta: np.ndarray, guess: np.ndarray):
        """The discrete solution (nodes, d) from the starts: Newton on all intervals at once.

        Args:
            starts: (trajectories, d).
            guess: (nodes, d), such as the fitted nodes, from which two or three iterations are enough.

        Returns:
            The nodes; None where Newton's method does not get there, as on a chaotic record.
        """
        nodes = guess.copy()
        nodes[self.first] = starts
        size = np.abs(guess).max(0) + 1e-300
        for iteration in range(SHOOT_ITERATIONS):
            end, by_node, _ = self.flow_jacobians(nodes, theta, by_theta=False)
            jump = np.zeros_like(nodes)
            jump[self.start + 1] = end - nodes[self.start + 1]
            move = _accumulate(self.start, by_node, jump)
            largest = np.abs(move / size).max()
            if not np.isfinite(largest):
                return None
            nodes = nodes + move * (min(1.0, 1.0 / largest) if iteration < SHOOT_ITERATIONS // 2 else 1.0)
            if largest < 1e-9:
                return nodes
        return None

    def checked_flow(self, nodes: np.ndarray, theta: np.ndarray, sigma: np.ndarray) -> np.ndarray:
        """The ends of all intervals (intervals, d) by a method with error control, far below the noise sigma (d,).

        Every interval is one row of a batch on a common clock from 0 to 1 that torchdiffeq's dopri5 follows. Its error
        control sees the mean over a batch, so those that end elsewhere than at the next node are solved again among
        fewer. A stiff system is solved by the implicit method again with twice the substeps. NaN where that fails.
        """
        if self.method != "rk4":
            finer = copy.copy(self)
            finer.substeps, finer._plans = self.substeps * 2, {}
            return finer.flow(nodes, theta)
        end, which = np.empty((self.n_intervals, self.d)), np.arange(self.n_intervals)
        for size in CHECK_CHUNKS:
            for a in range(0, len(which), size):
                at = which[a : a + size]
                end[at] = self._controlled_flow(at, nodes, theta, sigma)
            near = np.abs((end - nodes[self.start + 1]) / sigma).max(1) < CHECK_AGREES
            which = np.flatnonzero(~near)
        return end

    def _controlled_flow(self, which, nodes, theta, sigma) -> np.ndarray:
        """The ends of some intervals (intervals, d) by torchdiffeq's dopri5; NaN where it gives up on one of them."""
        import torch

        from udesys.integrate import solve

        batch, clock = self._batch(which, 1), torch.tensor([0.0, 1.0], dtype=torch.float64)
        with torch.inference_mode():
            unit = self.tensor(sigma)
            if self.compiled is None:
                field = self._right_side(batch, self.tensor(theta))
            else:

                def field(t, x):
                    u = np.empty((len(x), 0)) if batch.signals is None else self._inputs(batch, t).numpy()
                    return torch.from_numpy(self.compiled.right_side(t[:, 0].numpy(), x.numpy(), u, theta))

            def scaled(share, z):
                return batch.h * field(batch.t + share * batch.h, z * unit) / unit

            start = self.tensor(nodes[batch.start]) / unit
            solution = solve(
                scaled, start, clock, rtol=1e-9, atol=CHECK_TOLERANCE, max_steps=CHECK_STEPS, first_step=1.0
            )
            return (solution.x[:, -1] * unit).cpu().numpy()

    def walk(self, starts: np.ndarray, theta: np.ndarray) -> np.ndarray:
        """The discrete solution (nodes, d) from the starts, interval after interval; NaN from where it ends."""
        nodes = np.full((self.n_nodes, self.d), np.nan)
        nodes[self.first] = starts
        for i, node in enumerate(self.start):
            if np.isfinite(nodes[node]).all():
                nodes[node + 1] = self.flow(nodes, theta, which=np.array([i]))[0]
        return nodes

    def simulate_all(self, starts: np.ndarray, theta: np.ndarray, atol: float) -> np.ndarray:
        """Every trajectory by `simulate`, (nodes, d)."""
        nodes = starts[np.repeat(np.arange(len(starts)), self.segments[1] - self.segments[0])]
        for k, (a, b) in enumerate(zip(*self.segments, strict=True)):
            if b - a > 1:
                nodes[a:b] = self.simulate(starts[k], theta, k, self.t[a:b], atol)
        return nodes

    def simulate(self, start: np.ndarray, theta: np.ndarray, trajectory: int, t: np.ndarray, atol: float) -> np.ndarray:
        """One plain simulation (time, d) from t[0] through all of t by a method with error control.

        Args:
            start: (d,).
            theta: (n_theta,).
            trajectory: whose inputs and covariates act.
            t: (time,) increasing.
            atol: absolute error allowed a step [data units].

        Returns:
            The states; NaN from where the method gave up.
        """
        import torch

        from udesys.integrate import solve

        if self.method != "rk4":
            return self._simulate_stiff(start, theta, trajectory, t, atol)
        with torch.inference_mode():
            theta, inputs = torch.as_tensor(theta), self.input_function(trajectory)
            solution = solve(
                lambda t, x: self.field(torch.as_tensor(t).expand(len(x)), x, theta, inputs(t, len(x))),
                torch.tensor(start)[None],
                torch.tensor(t),
                atol=atol,
                max_steps=max(LEAST_STEPS, MOST_STEPS // len(t)),
            )
            return solution.x[0].numpy()

    def _simulate_stiff(self, start, theta, trajectory, t, atol) -> np.ndarray:
        """The same by SciPy's Radau with the exact Jacobian."""
        import torch
        from scipy.integrate import solve_ivp

        theta, inputs, left = torch.as_tensor(theta), self.input_function(trajectory), MOST_EVALUATIONS

        def point(t, x):
            nonlocal left
            left -= 1
            if left < 0:
                raise OverflowError
            return torch.tensor([t], dtype=torch.float64), torch.as_tensor(x)[None], theta, inputs(t, 1)

        def slopes(t, x):
            return self.field(*point(t, x))[0].numpy()

        def jacobian(t, x):
            return self.field.jacobians(*point(t, x)).by_state[0].numpy()

        states = np.full((len(t), self.d), np.nan)
        states[0] = start
        for i, (now, after) in enumerate(itertools.pairwise(t)):  # sample by sample, so that what was reached is kept
            try:
                with torch.inference_mode():
                    piece = solve_ivp(
                        slopes, (now, after), states[i], method="Radau", jac=jacobian, rtol=1e-6, atol=atol
                    )
            except (OverflowError, ValueError, np.linalg.LinAlgError):
                break
            if not (piece.success and np.isfinite(piece.y[:, -1]).all()):
                break
            states[i + 1] = piece.y[:, -1]
        return states

    def input_function(self, trajectory: int):
        """(t, points) -> inputs (points, k) of a trajectory at one time; None without inputs."""
        import torch

        if self.signals is None:
            return lambda t, n: None
        a, b = self.segments[0][trajectory], self.segments[1][trajectory]
        times, first = self.t[a:b], int(np.searchsorted(self.start, a))
        signals = torch.as_tensor(self.signals[first : first + b - a - 1])

        def inputs(t, n):
            i = min(max(int(np.searchsorted(times, float(t), side="right")) - 1, 0), b - a - 2)
            offset = torch.full((n, 1), float(t) - times[i], dtype=torch.float64)
            return horner(signals[i].expand(n, *signals.shape[1:]), offset)

        return inputs


def horner(signals, offset):
    """Piecewise polynomials (points, k, 4) at offsets (points, 1)."""
    value = signals[..., 3]
    for power in (2, 1, 0):
        value = value * offset + signals[..., power]
    return value


@njit(cache=True)
def _accumulate(start, by_node, jump):
    """Solve move[i + 1] = by_node[i] move[i] + jump[i + 1] along every trajectory."""
    move = jump.copy()
    for k in range(len(start)):
        for i in range(jump.shape[1]):
            for j in range(jump.shape[1]):
                move[start[k] + 1, i] += by_node[k, i, j] * move[start[k], j]
    return move
