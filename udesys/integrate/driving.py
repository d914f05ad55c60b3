"""What drives a run from outside: its measured inputs and covariates, between the samples and after the last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from udesys.data import Dataset, Trajectory, signal_coefficients


@dataclass(frozen=True, kw_only=True)
class Driving:
    """Known functions of time along one run: piecewise cubics between the samples, the last value afterwards.

    Attributes:
        names: of the inputs and covariates.
        t: (n,) times of the samples [the data's time unit].
        pieces: (n - 1, k, 4), c0 to c3 of c0 + c1 s + c2 s^2 + c3 s^3 at s after a sample.
        last: (k,) values at the last sample.
        varying: of the names, those that change along the run: the inputs.
    """

    names: tuple[str, ...]
    t: np.ndarray
    pieces: np.ndarray
    last: np.ndarray
    varying: tuple[str, ...]

    def values(self, t: np.ndarray) -> np.ndarray:
        """(time, k) at times t (time,); a held input has its new value at a sample."""
        return evaluate(*self._pieces_at(np.asarray(t, float)))

    def grid(self, t: np.ndarray) -> np.ndarray:
        """Times t with the samples between the first and the last of them: no piece changes between two of these."""
        inside = self.t[(self.t > t[0]) & (self.t < t[-1])]
        return np.union1d(t, inside)

    def along(self, grid: np.ndarray) -> np.ndarray:
        """(time, k, 4) pieces that start at the times of a grid, from `grid`; the last holds on."""
        return moved(*self._pieces_at(grid))

    def _pieces_at(self, t: np.ndarray):
        """Pieces (time, k, 4) in force from the times on, and how far into them the times are (time,)."""
        held = np.zeros((1, len(self.names), 4))
        held[0, :, 0] = self.last
        k = np.clip(np.searchsorted(self.t, t, side="right") - 1, 0, len(self.t) - 1)
        return np.concatenate([self.pieces, held])[k], t - self.t[k]


def evaluate(pieces: np.ndarray, s: np.ndarray) -> np.ndarray:
    """Values (..., k) of pieces (..., k, 4) at s (...,) after their start."""
    s = np.asarray(s)[..., None]
    return pieces[..., 0] + s * (pieces[..., 1] + s * (pieces[..., 2] + s * pieces[..., 3]))


def moved(pieces: np.ndarray, s: np.ndarray) -> np.ndarray:
    """The same cubics (..., k, 4) written about s (...,) after their start."""
    s = np.asarray(s)[..., None]
    c1, c2, c3 = pieces[..., 1], pieces[..., 2], pieces[..., 3]
    found = evaluate(pieces, s[..., 0]), c1 + s * (2.0 * c2 + 3.0 * s * c3), c2 + 3.0 * s * c3, c3
    return np.stack(np.broadcast_arrays(*found), -1)


def driving_of(
    data: Dataset, run: Trajectory, names: Sequence[str], rest: tuple[Dataset, Trajectory] | None = None
) -> Driving | None:
    """The inputs and covariates of one run; None where the names are none.

    Args:
        data: tells how each input runs between its samples.
        run: a trajectory of `data`.
        names: of inputs and covariates.
        rest: another dataset and the trajectory in it that goes on where `run` ends.

    Raises:
        DataError: a name is no input and no covariate of the data.
    """
    if not names:
        return None
    pieces = signal_coefficients(replace(data, trajectories=(run,)), names)
    t, values = run.t, sample_values(data, run, names)
    if rest is not None and rest[1].t[-1] > t[-1]:
        t, values = _continued(t, values, names, rest)
        joined = Trajectory(name=run.name, t=t, y=np.full((len(t), 1), np.nan), u=values)
        kinds = {name: data.inputs.get(name, "hold") for name in names}
        whole = Dataset(columns=("",), trajectories=(joined,), time=data.time, source=data.source, inputs=kinds)
        pieces = np.concatenate([pieces, signal_coefficients(whole, names)[len(pieces) :]])
    varying = tuple(name for name in names if name in data.inputs)
    return Driving(names=tuple(names), t=t, pieces=pieces, last=values[-1], varying=varying)


def _continued(t: np.ndarray, values: np.ndarray, names: Sequence[str], rest: tuple[Dataset, Trajectory]):
    """Times and values of one run with those samples of another that come after its last."""
    data, run = rest
    signal_coefficients(replace(data, trajectories=(run,)), names)  # refuses a name that the data lack
    later = run.t > t[-1]
    return np.concatenate([t, run.t[later]]), np.concatenate([values, sample_values(data, run, names)[later]])


def sample_values(data: Dataset, run: Trajectory, names: Sequence[str]) -> np.ndarray:
    """(n, k) inputs and covariates of a run as they were measured at its samples."""
    known = dict(zip((*data.inputs, *data.covariates), (*run.u.T, *run.covariates), strict=True))
    columns = [np.broadcast_to(known[name], len(run.t)) for name in names]
    return np.stack(columns, 1) if columns else np.zeros((len(run.t), 0))
