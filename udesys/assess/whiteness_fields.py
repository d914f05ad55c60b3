"""What a linearised fit of fields leaves of errors: a measurement depends on where all points of its run started.

Long waves of the start reach later measurements; the short ones, of which a fine grid has most, are gone before the
second time and take up a part of the errors at the first time alone.

Source: as for `whiteness.Fitted`.
"""

from __future__ import annotations

import numpy as np

from udesys.assess.whiteness import basis_of
from udesys.integrate.lattice import simulate
from udesys.model.along_grid import FormAlongGrid
from udesys.model.closed_form import ClosedForm
from udesys.model.runs_on_grid import driving_along, runs_of
from udesys.search.measurements import Measurements


class FittedFields:
    """What `whiteness.Fitted` is for trajectories that do not depend on each other; attributes likewise.

    Args:
        form: the law.
        data: of all points.
        steps: (samples,) of the implicit method.
        x0: (trajectories, d).
        mask: (samples, m), 1 where a residual counts.
    """

    def __init__(self, form: ClosedForm, data: Measurements, steps: np.ndarray, x0: np.ndarray, mask: np.ndarray):
        weight, p, n = data.mask / data.noise, len(form.values), form.model.grid.n
        shape, free = mask.shape, np.broadcast_to(data.free, (form.d,))
        law, self.runs, shared = FormAlongGrid(form), [], np.zeros((*shape, p))
        for k, run in enumerate(runs_of(form.model, data.t, data.segments)):
            driving, own = driving_along(run, data.pieces, len(form.model.spatial)), steps[run.rows[:-1]].max(1)
            course = simulate(law.lattice, law, x0[k * n : (k + 1) * n], run.t, own, driving)
            if course.lost:
                continue
            modes = law.start_modes()
            along = modes.sensitivities(law.lattice, law, course, run.t, own, driving)
            taken = modes.changes.shape[1]
            short = _beside(modes.changes)  # (n * d, ...) changes of the start that later times do not see
            start = np.concatenate([np.zeros((n, form.d, p)), short.reshape(n, form.d, short.shape[1])], 2)
            flat, first = run.rows.reshape(-1), run.rows[0]
            whole = self._weighted(form, data, flat, course.states.reshape(-1, form.d), along, weight, mask)
            ends = self._weighted(form, data, first, course.states[0], start[None], weight, mask)[:, :, p:]
            shared[flat] = whole[:, :, :p]
            held = np.tile(free, n)
            basis = basis_of(ends.reshape(n * shape[1], short.shape[1])[:, self._moving(short, held)])
            long = whole[:, :, p:].reshape(len(flat) * shape[1], taken)[:, self._moving(modes.changes, held)]
            long[: len(basis)] -= basis @ (basis.T @ long[: len(basis)])
            self.runs.append((flat, basis, basis_of(long)))
        self.shape = shape
        self.shared = basis_of(self._off_starts(np.moveaxis(shared, 2, 0)).reshape(p, -1).T)
        leverage = (self.shared**2).sum(1).reshape(shape)
        for flat, basis, long in self.runs:
            taken_up = (long**2).sum(1)
            taken_up[: len(basis)] += (basis**2).sum(1)
            leverage[flat] += taken_up.reshape(len(flat), -1)
        self.leverage = np.minimum(leverage, 1.0 - 1e-9)
        self.rank = self.shared.shape[1] + sum(b.shape[1] + w.shape[1] for _, b, w in self.runs)

    @staticmethod
    def _moving(changes: np.ndarray, free: np.ndarray) -> np.ndarray:
        """Which changes of the start are of fields whose start is estimated."""
        return (np.abs(changes[~free]) < 1e-12).all(0)

    @staticmethod
    def _weighted(form, data: Measurements, rows, states, slopes, weight, mask) -> np.ndarray:
        """(rows, m, columns) of what is measured, weighted, from slopes (times, n, d, columns) of the fields."""
        u = None if data.u is None else data.u[rows]
        found = slopes.reshape(len(rows), form.d, slopes.shape[-1])
        if form.observed:
            found = form.output_sensitivities(data.t[rows], states, found, u)
        return found * (weight * mask)[rows][:, :, None]

    def left(self, errors: np.ndarray) -> np.ndarray:
        """(draws, samples, m) of errors likewise, as the fit leaves them."""
        errors = self._off_starts(errors)
        flat = errors.reshape(len(errors), -1)
        return (flat - (flat @ self.shared) @ self.shared.T).reshape(errors.shape)

    def _off_starts(self, errors: np.ndarray) -> np.ndarray:
        left = errors.copy()
        for flat, basis, long in self.runs:
            own = left[:, flat].reshape(len(left), -1)
            begun = own[:, : len(basis)]
            own[:, : len(basis)] = begun - (begun @ basis) @ basis.T
            own -= (own @ long) @ long.T
            left[:, flat] = own.reshape(len(left), len(flat), -1)
        return left


def _beside(changes: np.ndarray) -> np.ndarray:
    """Orthonormal columns beside orthonormal ones, (rows, rows - columns)."""
    rows, columns = changes.shape
    if rows == columns:
        return np.zeros((rows, 0))
    return np.linalg.qr(changes, mode="complete")[0][:, columns:]
