"""How measurements respond to every constant of a closed form, and the directions in which they do not respond."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import numpy as np

from udesys.model.closed_form import ClosedForm

MOST_SAMPLES, LONGEST, LEAST = 3000, 500, 6  # samples looked at, of the longest window, and of the shortest
MOST_SENSITIVITIES = 4000  # entries of one sample's sensitivities; beyond it nothing is looked for
BEYOND = 1.0  # spans outside of the visited box at which a simulation no longer counts
LARGEST_GROWTH = 1e4  # of a disturbance of the start, in spans; beyond it a chaotic record is cut
CUTS = 4  # times that windows are cut and begun again at the fitted states
NULL = (1e-8, 1e-11)  # singular values, of columns of length one, below which nothing responds; the second in doubt
START_NULL = 1e-11  # the same among the responses to one window's start
INVOLVED = 1e-5  # share of a null direction, or of a span, from which something takes part in it


@dataclass(frozen=True, kw_only=True)
class Record:
    """What was measured, and a solution that follows it.

    Attributes:
        t: (samples,) [the data's time unit].
        nodes: (samples, d) states of the solution.
        mask: (samples, m) whether a state or an observable is measured.
        segments: (lo, hi) arrays; run k is lo[k]:hi[k].
        free: (d,) whether a state's initial value is free.
        steps: (samples,) solver steps between a sample and the next.
        pieces, u: as in `search.measurements`; None without inputs.
    """

    t: np.ndarray
    nodes: np.ndarray
    mask: np.ndarray
    segments: tuple[np.ndarray, np.ndarray]
    free: np.ndarray
    steps: np.ndarray
    pieces: np.ndarray | None = None
    u: np.ndarray | None = None


@dataclass(frozen=True, kw_only=True)
class Windows:
    """Parts of a record that are simulated from the fitted states on.

    Attributes:
        pieces: (windows, 2) first sample and the one after the last.
        first: (windows,) whether it begins a run, whose given initial values are known.
    """

    pieces: np.ndarray
    first: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Directions:
    """Changes that no measurement sees: a null space, with what it does to the states.

    Attributes:
        form: the closed form about which it was found.
        values: (directions, unknowns) of its unknowns.
        parts: (directions, unknowns) the same in units of the columns' lengths, so that they compare.
        states: (directions, samples, d) of the states.
        x, t, u: states (samples, d), times (samples,) and inputs (samples, k) or None there.
        silent: (unknowns,) whether nothing measured responds to an unknown at all.
    """

    form: ClosedForm
    values: np.ndarray
    parts: np.ndarray
    states: np.ndarray
    x: np.ndarray
    t: np.ndarray
    u: np.ndarray | None
    silent: np.ndarray

    def __len__(self) -> int:
        return len(self.values)

    def at_rest(self) -> Directions:
        """Those of them, and their sums, in which no state changes."""
        span = np.maximum(np.abs(self.x).max(0, initial=0.0), 1e-300)
        return self._without((self.states / span).reshape(len(self), -1))

    def still(self, unknowns: np.ndarray) -> Directions:
        """Those of them, and their sums, in which none of these unknowns changes.

        Args:
            unknowns: (unknowns,) which.
        """
        return self._without(self.parts[:, unknowns])

    def _without(self, moves: np.ndarray) -> Directions:
        """Sums of the directions in which these moves (directions, any number) cancel."""
        length = np.maximum(np.abs(self.parts).max(1, initial=0.0), np.abs(moves).max(1, initial=0.0))
        length = np.where(length > 0, length, 1.0)
        left, singular, _ = np.linalg.svd(moves / length[:, None], full_matrices=True)
        size = np.pad(singular, (0, len(left) - len(singular))) / np.sqrt(max(moves.shape[1], 1))
        mix = left[:, size < INVOLVED].T / length
        return replace(self, **{n: np.tensordot(mix, getattr(self, n), 1) for n in ("values", "parts", "states")})


def windows_of(form: ClosedForm, record: Record) -> Windows | None:
    """Windows over which a form follows the record: long ones, cut where it leaves the visited box or is chaotic.

    None where there are none, or the form is too large to be looked at.
    """
    if form.d * (len(form.names) + form.d) > MOST_SENSITIVITIES:
        return None
    windows = _spread(record)
    low, high = record.nodes.min(0), record.nodes.max(0)
    span = np.where(high > low, high - low, np.maximum(np.abs(high), 1e-300))
    for _ in range(CUTS):
        states, sens, lengths = _simulated(form, record, windows, form.values)
        if states is None:
            return None
        with np.errstate(all="ignore"):
            inside = (states > low - BEYOND * span) & (states < high + BEYOND * span)
            growth = np.abs(sens[:, :, len(form.names) :]) * span / span[:, None]
            fine = inside.all(1) & (growth.max((1, 2)) < LARGEST_GROWTH) & np.isfinite(sens).all((1, 2))
        pieces, first, cut = [], [], False
        for (a, b), at_first, lo in zip(windows.pieces, windows.first, np.cumsum(lengths) - lengths, strict=True):
            good = fine[lo : lo + b - a]
            end = b if good.all() else a + int(np.argmin(good))
            cut |= end < b
            pieces += [(a, end), (max(end, a + 1), b)]
            first += [at_first, False]
        kept = [k for k, (a, b) in enumerate(pieces) if b - a >= LEAST]
        windows = Windows(
            pieces=np.array([pieces[k] for k in kept], dtype=np.int64).reshape(-1, 2),
            first=np.array([first[k] for k in kept], dtype=bool),
        )
        if not cut or not kept:
            break
    return windows if len(windows.pieces) else None


def _spread(record: Record) -> Windows:
    """Windows from the start of every run, and further on where samples are left to look at."""
    lo, hi = record.segments
    runs = len(lo)
    length = min(LONGEST, max(4 * LEAST, MOST_SAMPLES // runs))
    chosen = np.unique(np.linspace(0, runs - 1, min(runs, max(1, MOST_SAMPLES // length))).round().astype(int))
    starts = [(int(lo[k]), int(min(lo[k] + length, hi[k]))) for k in chosen]
    later = [
        (a, b)
        for k in chosen
        for a, b in itertools.pairwise(range(int(lo[k]) + length, int(hi[k]) + length, length))
        if a + LEAST <= hi[k]
    ]
    left = (MOST_SAMPLES - sum(b - a for a, b in starts)) // length
    if later and left > 0:
        places = np.unique(np.linspace(0, len(later) - 1, min(left, len(later))).round().astype(int))
        run = {k: np.searchsorted(lo, later[k][0], side="right") - 1 for k in places}
        more = [(later[k][0], int(min(later[k][1], hi[run[k]]))) for k in places]
    else:
        more = []
    pieces = np.array([*starts, *more], dtype=np.int64)
    return Windows(pieces=pieces, first=np.arange(len(pieces)) < len(starts))


def _rows(windows: Windows) -> np.ndarray:
    return np.concatenate([np.arange(a, b) for a, b in windows.pieces])


def _simulated(form: ClosedForm, record: Record, windows: Windows, values):
    """States (samples, d) and sensitivities (samples, d, unknowns + d) of all windows, and their lengths."""
    rows = _rows(windows)
    lengths = windows.pieces[:, 1] - windows.pieces[:, 0]
    ends = np.cumsum(lengths)
    states, sens = form.pointwise().simulate(
        record.nodes[windows.pieces[:, 0]],
        record.t[rows],
        ((ends - lengths).astype(np.int64), ends.astype(np.int64)),
        record.steps[rows],
        pieces=None if record.pieces is None else record.pieces[rows],
        values=values,
        sensitivities=True,
        partial=True,
    )
    return states, sens, lengths


def null_directions(
    form: ClosedForm, record: Record, windows: Windows, known: np.ndarray, values: np.ndarray, level: float = NULL[0]
) -> Directions | None:
    """Changes of a form's unknowns and of the windows' starts that leave every measurement as it is.

    The responses follow from the exact sensitivities of the discrete solution, which shares the scale and shift
    symmetries of the equations, so that a structural null direction is one to rounding.

    Args:
        form: what is simulated.
        record: what is measured of it.
        windows: where.
        known: (unknowns,) which are known from elsewhere, and stay.
        values: (unknowns,) about which.
        level: singular value, of columns of length one, below which nothing responds.

    Returns:
        The directions; None where there is no solution, or fewer measurements than unknowns.

    Source: Rothenberg, Econometrica 39 (1971) 577: local identifiability by the rank of the responses.
    """
    rows, n = _rows(windows), len(form.names)
    u = None if record.u is None else record.u[rows]
    states, sens, lengths = _simulated(form, record, windows, values)
    if states is None:
        return None
    with np.errstate(all="ignore"):
        responses = form.output_sensitivities(record.t[rows], states, sens, u, values=values)
        outputs = form.outputs(record.t[rows], states, u, values=values)
    fine = np.isfinite(states).all(1) & np.isfinite(sens).all((1, 2))
    seen = (record.mask[rows] > 0) & fine[:, None] & np.isfinite(responses).all(2)
    size = np.array([np.std(outputs[s, j]) + 1e-9 * np.abs(outputs[s, j]).max() if s.any() else 1.0
                     for j, s in enumerate(seen.T)])  # fmt: skip
    responses = np.where(seen[..., None], responses, 0.0) / np.maximum(size, 1e-300)[:, None]
    responses[:, :, :n][:, :, known] = 0.0
    bounds = list(zip(np.cumsum(lengths) - lengths, np.cumsum(lengths), strict=True))
    parts, starts = [], []
    for (a, b), first in zip(bounds, windows.first, strict=True):
        free = record.free if first else np.ones(form.d, dtype=bool)
        own, pull, lost = _without_start(responses[a:b][seen[a:b]], n, free)
        parts.append(own)
        starts.append((pull, lost))
    own = np.concatenate(parts)
    open_ = np.flatnonzero(~known)
    counts = len(own) - sum(len(pull) for pull, _ in starts)
    if counts < len(open_) or not len(own):
        return None
    length = np.linalg.norm(np.concatenate([responses[a:b][seen[a:b]] for a, b in bounds]), axis=0)[:n]
    silent = (length == 0) & ~known
    length = np.where(length > 0, length, 1.0)
    with np.errstate(all="ignore"):
        _, singular, right = np.linalg.svd(own[:, open_] / length[open_], full_matrices=len(own) < len(open_))
    null = right[np.pad(singular, (0, len(right) - len(singular))) < level]
    in_parts = np.zeros((len(null), n))
    in_parts[:, open_] = null
    found = in_parts / length
    change = np.zeros((len(null), len(rows), form.d))
    alone = []
    for (a, b), (pull, lost), first in zip(bounds, starts, windows.first, strict=True):
        free = record.free if first else np.ones(form.d, dtype=bool)
        by_start = sens[a:b, :, n:][:, :, free]
        moved = -found @ pull.T
        change[:, a:b] = np.einsum("rdp,kp->krd", sens[a:b, :, :n], found)
        change[:, a:b] += np.einsum("rds,ks->krd", by_start, moved)
        for vector in lost:
            only = np.zeros((len(rows), form.d))
            only[a:b] = by_start @ vector
            alone.append(only)
    if alone:
        change = np.concatenate([change, np.stack(alone)])
        nothing = np.zeros((len(alone), n))
        found, in_parts = np.concatenate([found, nothing]), np.concatenate([in_parts, nothing])
    return Directions(
        form=form if values is form.values else form.with_values(values),
        values=found, parts=in_parts, states=change[:, fine],
        x=states[fine], t=record.t[rows][fine], u=None if u is None else u[fine], silent=silent,
    )  # fmt: skip


def _without_start(rows: np.ndarray, n: int, free: np.ndarray):
    """Responses to the unknowns with those to the window's start projected out.

    Returns:
        (rows, unknowns), the start's least-squares answer to them (free, unknowns), and starts that nothing sees
        (number, free).
    """
    own, by_start = rows[:, :n].copy(), rows[:, n:][:, free]
    length = np.linalg.norm(by_start, axis=0)
    scale = np.where(length > 0, length, 1.0)
    left, singular, right = np.linalg.svd(by_start / scale, full_matrices=False)
    if not len(singular):
        return own, np.zeros((by_start.shape[1], n)), np.zeros((0, by_start.shape[1]))
    held = singular > START_NULL
    basis = left[:, held]
    pull = (right[held].T / singular[held]) @ (basis.T @ own) / scale[:, None]
    for _ in range(2):  # twice is enough (Kahan)
        own -= basis @ (basis.T @ own)
    rest = np.eye(by_start.shape[1]) - right[held].T @ right[held]
    values, vectors = np.linalg.eigh(rest)
    return own, pull, vectors[:, values > 0.5].T / scale
