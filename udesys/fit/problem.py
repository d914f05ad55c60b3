"""The data and the model arranged for multiple shooting: nodes, intervals, and the one-interval flow."""

from __future__ import annotations

import numpy as np

from udesys.data import Dataset
from udesys.errors import FitError
from udesys.integrate.onestep import RK4, stage_adjoints, step
from udesys.model import HybridODE
from udesys.model.field import HybridField

CHUNK = 2048  # intervals integrated at once; bounds the memory of the Jacobians
PIN_WEIGHT = 1e6  # weight of a given initial state, in units of 1/sigma^2


class ShootingProblem:
    """All trajectories of a dataset as one batch of intervals between neighbouring samples.

    Args:
        model: its states are matched to the dataset's columns by name.
        data: the measurements.
        field: the model's right side; its scales are set by the fit.

    Attributes:
        t: (nodes,) sample times, trajectory after trajectory [the data's time unit].
        y: (nodes, d) measurements, zero where missing [data units].
        mask: (nodes, d), 1 where measured.
        measured: (d,) whether a state has any measurement.
        start: (intervals,) node where each interval starts.
        h: (intervals,) lengths of the intervals.
        first: (trajectories,) first node of each trajectory.
        pin: (nodes, d) weight of given initial states, in units of 1/sigma^2.
        substeps: equal RK4 steps in each interval.
    """

    def __init__(self, model: HybridODE, data: Dataset, field: HybridField, substeps: int = 1):
        self.model, self.data, self.field, self.substeps = model, data, field, substeps
        self.d = len(model.states)
        self._gather(model, data)
        lengths = [len(tr.t) for tr in data.trajectories]
        ends = np.cumsum(lengths)
        self.first = ends - lengths
        self.segments = (self.first.astype(np.int64), ends.astype(np.int64))
        self.start = np.concatenate([np.arange(a, b - 1) for a, b in zip(self.first, ends, strict=True)])
        self.h = self.t[self.start + 1] - self.t[self.start]
        self.n_nodes, self.n_intervals = len(self.t), len(self.start)
        self._pin_initial(model)

    def _gather(self, model: HybridODE, data: Dataset) -> None:
        self.t = np.concatenate([tr.t for tr in data.trajectories])
        values = np.concatenate([tr.y for tr in data.trajectories])
        y = np.full((len(self.t), self.d), np.nan)
        for j, name in enumerate(data.columns):
            if name not in model.states:
                raise FitError(f"column {name!r} is no state of the model. States are {', '.join(model.states)}.")
            y[:, model.states.index(name)] = values[:, j]
        self.mask = np.isfinite(y).astype(float)
        self.y = np.where(self.mask > 0, y, 0.0)
        self.measured = self.mask.any(0)
        self.counts = self.mask.sum(0)

    def _pin_initial(self, model: HybridODE) -> None:
        self.pin = np.zeros_like(self.y)
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

    # -------------------------------------------------------------- the flow
    def flow(self, nodes: np.ndarray, theta: np.ndarray, *, share: float = 1.0, which=None) -> np.ndarray:
        """States (intervals, d) a share of every interval after its start node."""
        which = np.arange(self.n_intervals) if which is None else which
        parts = [self._flow(nodes, theta, which[a : a + CHUNK], share)[0] for a in range(0, len(which), CHUNK)]
        return np.concatenate(parts)

    def flow_jacobians(self, nodes: np.ndarray, theta: np.ndarray, which=None):
        """Ends of the intervals and their exact derivatives.

        Returns:
            (intervals, d), by the start node (intervals, d, d), and by theta (intervals, d, n_theta).
        """
        which = np.arange(self.n_intervals) if which is None else which
        parts = [self._flow_jacobians(nodes, theta, which[a : a + CHUNK]) for a in range(0, len(which), CHUNK)]
        return tuple(np.concatenate(column) for column in zip(*parts, strict=True))

    def _flow(self, nodes, theta, which, share):
        import torch

        with torch.inference_mode():
            theta = torch.as_tensor(theta)
            x = torch.as_tensor(nodes[self.start[which]])
            h = torch.as_tensor(self.h[which] * (share / self.substeps))[:, None]
            now = torch.as_tensor(self.t[self.start[which]])[:, None]
            stages = []
            for k in range(self.substeps):
                x, visited = step(lambda t, x: self.field(t[:, 0], x, theta), now + k * h, x, h, RK4)
                stages += visited
            return x.numpy(), stages

    def _flow_jacobians(self, nodes, theta, which):
        import torch

        with torch.inference_mode():
            end, stages = self._flow(nodes, theta, which, 1.0)
            n, s, d = len(which), len(stages), self.d
            x = torch.stack([x for _, x in stages], 1).reshape(n * s, d)
            t = torch.stack([t.expand(n, 1)[:, 0] for t, _ in stages], 1).reshape(n * s)
            jacobians = self.field.jacobians(t, x, torch.as_tensor(theta))
            by_stage = jacobians.by_state.reshape(n, s, d, d).unbind(1)
            h = torch.as_tensor(self.h[which] / self.substeps)[:, None, None]
            outer = torch.eye(d, dtype=torch.float64).expand(n, d, d)
            by_slope, per_step = [None] * s, len(RK4.b)
            for first in range(s - per_step, -1, -per_step):
                outer, slopes = stage_adjoints(by_stage[first : first + per_step], h, outer, RK4)
                by_slope[first : first + per_step] = slopes
            by_theta = self.field.theta_contraction(jacobians, torch.stack(by_slope, 1))
            return end, outer.numpy(), by_theta.numpy()

    def simulate(self, starts: np.ndarray, theta: np.ndarray, trajectory: int, t: np.ndarray, **options):
        """One plain simulation of a trajectory from its start through the times t; options as for `solve`."""
        import torch

        from udesys.integrate import solve

        with torch.inference_mode():
            theta = torch.as_tensor(theta)
            x0 = torch.as_tensor(starts[trajectory])[None]
            return solve(
                lambda t, x: self.field(torch.as_tensor(t).expand(len(x)), x, theta), x0, torch.tensor(t), **options
            )
