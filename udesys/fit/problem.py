"""The data and the model arranged for multiple shooting: nodes, intervals, and the one-interval flow."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from udesys.data import Dataset, signal_coefficients
from udesys.errors import FitError
from udesys.fit.observation import Observation
from udesys.integrate import onestep, radau
from udesys.model import HybridODE
from udesys.model.field import HybridField

CHUNK = 8192  # points at which the field is evaluated at once; bounds the memory of the Jacobians
PIN_WEIGHT = 1e6  # weight of a given initial state, in units of 1/sigma^2
SHOOT_ITERATIONS = 30


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
            for node in self.first:
                if wish == "data":
                    if not self.mask[node, j]:
                        raise FitError(
                            f'initial {name} = "data", but the first {name} of a trajectory is missing. '
                            'Write "free" or a number.'
                        )
                    self.pin[node, j] = PIN_WEIGHT
                elif wish != "free":
                    self.y[node, j], self.mask[node, j], self.pin[node, j] = wish, 0.0, PIN_WEIGHT

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

    # -------------------------------------------------------------- what is measured
    def outputs(self, nodes: np.ndarray, theta: np.ndarray) -> np.ndarray:
        """(nodes, m): the states, then the observables."""
        if not self.observation.n:
            return nodes
        return np.concatenate([nodes, self.observation.values(self.t, nodes, theta, self.u)], 1)

    # -------------------------------------------------------------- the flow
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
            for k in range(batch.substeps):
                now = batch.t + k * h
                if self.method == "rk4":
                    x, visited = onestep.step(self._right_side(batch, theta), now, x, h, onestep.RK4)
                    stages += visited
                else:
                    line = (target - x) / (batch.substeps - k)
                    inner = self._radau(batch, theta, now, x, h, line)
                    stages += [(now + c * h, inner[:, i]) for i, c in enumerate(radau.C.tolist())]
                    x = inner[:, -1]
            return x, stages

    def _radau(self, batch: _Batch, theta, now, x, h, line):
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
        return radau.step(slopes, x, h, 1e-9 * x.abs().amax(0) + 1e-300, guess)

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

    def simulate(self, starts: np.ndarray, theta: np.ndarray, trajectory: int, t: np.ndarray, **options):
        """One plain adaptive simulation of a trajectory from its start through the times t; options as for `solve`."""
        import torch

        from udesys.integrate import solve

        with torch.inference_mode():
            theta, x0 = torch.as_tensor(theta), torch.as_tensor(starts[trajectory])[None]
            inputs = self.input_function(trajectory)
            return solve(
                lambda t, x: self.field(torch.as_tensor(t).expand(len(x)), x, theta, inputs(t, len(x))),
                x0,
                torch.as_tensor(t),
                **options,
            )

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


def _accumulate(start: np.ndarray, by_node: np.ndarray, jump: np.ndarray) -> np.ndarray:
    """Solve move[i + 1] = by_node[i] move[i] + jump[i + 1] along every trajectory."""
    from scipy.linalg import LinAlgError, solve_banded

    n, d = jump.shape
    band = np.zeros((2 * d, n * d))
    band[0] = 1.0
    for i in range(d):
        for j in range(d):
            band[d + i - j, start * d + j] = -by_node[:, i, j]
    if not (np.isfinite(band).all() and np.isfinite(jump).all()):
        return np.full_like(jump, np.nan)
    try:
        move = solve_banded((2 * d - 1, 0), band, jump.reshape(-1), overwrite_ab=True, check_finite=False)
    except LinAlgError:  # an overflow on the way
        return np.full_like(jump, np.nan)
    return move.reshape(n, d)
