"""The weak form: how a column over a missing term's arguments shows in the raw data.

About a reference solution x(t), replacing the missing term u by a sum of columns changes the solution by d(t),

    d' = A d + B (columns @ c - u) + F_p dp,      y - x = d + noise,

so the columns, integrated along the reference, are regressed on the raw data; no derivative of data is taken.
Long records are cut into windows with starts of their own, because errors of the reference add up along the way;
free starts and the parameters of the known law are projected out. About the fitted hybrid, A keeps
only x' = v (what the networks feed back is not known well enough); about a closed form, A is its Jacobian.
A stiff system forgets a forcing fast, and without what it feeds back would be taken to add it up: there A is the whole
Jacobian, the networks' included, and the steps of the implicit method (Radau IIA) take the place of the exponentials.
A measured observable h(x, p) shows dh/dx d + dh/dp dp, linearised about the reference too.

Source: Schaeffer & McCalla, Phys. Rev. E 96 (2017) 023302 (integral terms); Messenger & Bortz (2021).
"""

from __future__ import annotations

import numpy as np
from numba import njit

from udesys.integrate import radau
from udesys.model import HybridODE
from udesys.model import tree as T
from udesys.model.program import Program
from udesys.search.boundary import inward_of
from udesys.search.measurements import RADAU_STEPS, Measurements, windows
from udesys.search.reference import Reference, call_arguments
from udesys.search.task import Task

LONGEST = 64  # samples of a window; each is (first node, node after the last, first interval)
TAYLOR_NORM, TAYLOR_TERMS = 0.25, 12  # of a matrix, and terms of the exponential's series: they leave 2e-18
MOST_SQUARINGS = 60  # beyond, the exponential overflows


class WeakForm:
    """Responses of the raw data to forcings of the reference's right side."""

    def __init__(self, model: HybridODE, data: Measurements, reference: Reference):
        self.model, self.data, self.reference = model, data, reference
        h, a = data.h[:, None, None], reference.feedback
        self.coupled = bool(np.any(a))
        if data.stiff:
            carry, self.to_end = _implicit_steps(a, data.h)
            self.carry = np.ascontiguousarray(carry)
        else:
            self.carry = np.ascontiguousarray(_exponential(a * h))
            self.to_end = np.stack([_exponential(a * h * (1 - g)) for g in data.shares], 1)
        self.mask = data.mask
        if reference.observed is not None:
            known = np.concatenate([np.ones_like(reference.nodes), reference.observed.known], 1)
            self.mask = data.mask * known
        self.weight = self.mask / data.noise
        pieces = zip(*windows(data.segments, LONGEST), strict=True)
        bounds = [(a, b, int(np.searchsorted(data.start, a))) for a, b in pieces]
        self.windows = np.array(bounds, dtype=np.int64).reshape(-1, 3)

    def respond(self, forcing: np.ndarray) -> np.ndarray:
        """(samples, d, columns) from forcings integrated over each interval (intervals, d, columns)."""
        n, d = self.reference.nodes.shape
        result = np.zeros((n, d, forcing.shape[2]))
        _carry(np.ascontiguousarray(forcing), self.carry, self.coupled, self.windows, result)
        return result

    def respond_to(self, pull: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """(samples, d, columns) from what columns over the calls' points add to each interval.

        Args:
            pull: (calls, intervals, G, d) what one unit at a point adds at the interval's end.
            columns: (calls, intervals, G, columns).
        """
        forcing = np.zeros((len(self.data.h), self.reference.nodes.shape[1], columns.shape[3]))
        _force(pull, np.ascontiguousarray(columns), forcing)
        return self.respond(forcing)

    def integrated(self, columns: np.ndarray) -> np.ndarray:
        """Forcings (intervals, G, d, columns) carried to the end of their interval and summed."""
        carried = self.to_end @ columns
        return self.data.h[:, None, None] * np.einsum("g,ngdp->ndp", self.data.weights, carried)

    def observed(self, response: np.ndarray) -> np.ndarray:
        """(samples, m, columns) of states and observables from the states' (samples, d, columns)."""
        if self.reference.observed is None:
            return response
        return np.concatenate([response, self.reference.observed.by_state @ response], 1)

    def misfit(self) -> np.ndarray:
        """(samples, m) measurements less what the reference says."""
        reference = self.reference
        if reference.observed is None:
            return self.data.y - reference.nodes
        return self.data.y - np.concatenate([reference.nodes, reference.observed.values], 1)

    def by_unknown(self, others: list[np.ndarray]) -> np.ndarray:
        """(samples, m, unknowns) response to the known law's parameters, then to other slopes of its right side."""
        reference = self.reference
        columns = np.concatenate([reference.by_parameter, *others], axis=-1)
        response = self.observed(self.respond(self.integrated(columns)))
        if reference.observed is not None:
            direct = reference.observed.by_parameter
            response[:, reference.nodes.shape[1] :, : direct.shape[2]] += direct
        return response

    def starts(self) -> np.ndarray:
        """(samples, d, d) response to the value at the start of the sample's own window."""
        n, d = self.reference.nodes.shape
        result = np.zeros((n, d, d))
        for a, b, first in self.windows:
            result[a] = np.eye(d)
            for i in range(b - a - 1):
                result[a + i + 1] = self.carry[first + i] @ result[a + i]
        return result

    def task(self, term: str) -> Task:
        """The search task of one term."""
        model_slot, output = self._slot(term)
        calls = [(self._leverage(call.output_name(output)), call) for call in model_slot.calls]
        response = _Response(self, calls, term)
        points = np.concatenate([p.reshape(-1, p.shape[-1]) for p in response.arguments])
        values = np.concatenate([u.reshape(-1) for u in self.reference.outputs[term]])
        std = self.reference.std.get(term)
        unknown = std is None or not np.isfinite(std).all()
        std = np.ones_like(values) if unknown else np.tile(std.reshape(-1), len(calls))
        std = np.maximum(std, 1e-6 * max(np.abs(values).max(), 1e-300))
        return Task(
            term=term,
            arguments=model_slot.arguments,
            points=points,
            values=values,
            std=std,
            response=response,
            taken=frozenset((*self.model.states, *self.model.parameters, *self.model.exogenous)),
            vanishing=self.model.invariants.vanishing.get(term, ()),
            inward=inward_of(
                self.model, model_slot, output, self.reference.x, self.reference.parameters, self.data.gauss_inputs
            ),
        )

    def _slot(self, term: str):
        for slot in self.model.slots:
            if term in slot.terms:
                return slot, slot.terms.index(term)
        raise KeyError(term)

    def _leverage(self, output: str) -> np.ndarray:
        """df/d(output) (intervals, G, d) at the reference."""
        model, reference = self.model, self.reference
        names, values = [], []
        for slot in model.slots:
            for c, call in enumerate(slot.calls):
                for k, term in enumerate(slot.terms):
                    names.append(call.output_name(k))
                    values.append(reference.outputs[term][c])
        trees = [T.derivative(T.substitute(r, model.fixed_values), output) for r in model.rhs]
        program = Program(trees, [*model.states, *model.estimated, *names, "t", *model.exogenous])
        inputs = [
            *np.moveaxis(reference.x, 2, 0),
            *(reference.parameters[n] for n in model.estimated),
            *values,
            *self.data.gauss_inputs,
        ]
        shape = self.data.gauss_t.shape
        return np.stack([np.broadcast_to(np.asarray(v, float), shape) for v in program.run(inputs)], -1)


class _Response:
    """Maps columns over a term's points to whitened rows with starts and nuisance projected out."""

    def __init__(self, form: WeakForm, calls, term: str):
        self.form, data, reference = form, form.data, form.reference
        self.arguments = [
            call_arguments(form.model, call, reference.x, data, reference.parameters) for _, call in calls
        ]
        weights = data.h[:, None, None] * data.weights[None, :, None]
        self.pull = np.stack([weights * (form.to_end @ leverage[..., None])[..., 0] for leverage, _ in calls])
        own = self._respond(np.stack([u[..., None] for u in reference.outputs[term]]))
        touched = np.abs(self._respond(np.ones((*self.pull.shape[:3], 1)))).max((0, 2)) > 0
        self.rows = (form.mask > 0) & touched[None, :]
        window = np.repeat(np.arange(len(form.windows)), [b - a for a, b, _ in form.windows])
        self.owner = np.broadcast_to(window[:, None], self.rows.shape)[self.rows]
        self.start_basis = self._start_basis()
        self.nuisance = np.zeros((int(self.rows.sum()), 0))
        others = [v for t, v in reference.by_constant.items() if t != term]
        if sum(v.shape[-1] for v in (reference.by_parameter, *others)):
            self.nuisance = basis_of(self._clean(form.by_unknown(others)))
        self.target = self._clean(form.misfit()[..., None] + own)[:, 0]

    def apply(self, columns: np.ndarray) -> np.ndarray:
        """(rows, terms) of columns (points, terms)."""
        return self._clean(self._respond(columns.reshape(*self.pull.shape[:3], -1)))

    def _respond(self, columns: np.ndarray) -> np.ndarray:
        """columns (calls, intervals, G, terms) -> (samples, m, terms)."""
        return self.form.observed(self.form.respond_to(self.pull, columns))

    def _whiten(self, response: np.ndarray) -> np.ndarray:
        return (response * self.form.weight[..., None])[self.rows]

    def _start_basis(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """(rows, orthonormal columns) of every window's free start."""
        columns, data, found = self._whiten(self.form.observed(self.form.starts())), self.form.data, []
        for k, (a, _, _) in enumerate(self.form.windows):
            free = data.free if a in data.segments[0] else np.ones_like(data.free)
            rows = np.flatnonzero(self.owner == k)
            if len(rows):
                found.append((rows, basis_of(columns[rows][:, free])))
        return found

    def _clean(self, response: np.ndarray) -> np.ndarray:
        columns = self._whiten(response)
        for _ in range(2):  # twice is enough (Kahan): what is projected out is out to rounding
            for rows, basis in self.start_basis:
                columns[rows] -= basis @ (basis.T @ columns[rows])
            if self.nuisance.shape[1]:
                columns = columns - self.nuisance @ (self.nuisance.T @ columns)
        return columns


@njit(cache=True)
def _force(pull, columns, forcing):
    """Add to forcing (intervals, d, terms) what columns (calls, intervals, G, terms) come to at the intervals' ends."""
    calls, n, points, d = pull.shape
    for c in range(calls):
        for i in range(n):
            for g in range(points):
                for j in range(d):
                    share = pull[c, i, g, j]
                    if share != 0.0:
                        for k in range(columns.shape[3]):
                            forcing[i, j, k] += share * columns[c, i, g, k]


@njit(cache=True)
def _carry(forcing, carry, coupled, windows, result):
    """Fill result (samples, d, terms) with forcings (intervals, d, terms), carried on by (intervals, d, d)."""
    d, terms = forcing.shape[1], forcing.shape[2]
    for w in range(windows.shape[0]):
        a, b, first = windows[w]
        for i in range(b - a - 1):
            for j in range(d):
                for k in range(terms):
                    result[a + i + 1, j, k] = forcing[first + i, j, k]
                if not coupled:
                    for k in range(terms):
                        result[a + i + 1, j, k] += result[a + i, j, k]
                    continue
                for q in range(d):
                    share = carry[first + i, j, q]
                    if share != 0.0:
                        for k in range(terms):
                            result[a + i + 1, j, k] += share * result[a + i, q, k]


def basis_of(columns: np.ndarray) -> np.ndarray:
    """Orthonormal basis of the columns' span."""
    norms = np.linalg.norm(columns, axis=0)
    columns = columns[:, norms > 0] / norms[norms > 0]
    if columns.shape[1] == 0 or columns.shape[0] == 0:
        return np.zeros((len(columns), 0))
    left, singular, _ = np.linalg.svd(columns, full_matrices=False)
    return left[:, singular > 1e-10 * singular[0]]


def _implicit_steps(by_state: np.ndarray, h: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What a disturbance becomes in an interval (intervals, d, d), and a forcing at each stage (intervals, G, d, d).

    Args:
        by_state: (intervals, G, d, d) df/dx at the stages of `RADAU_STEPS` steps.
        h: (intervals,) lengths of the intervals.
    """
    n, _, d, _ = by_state.shape
    s, eye = radau.STAGES, np.eye(d)
    carry, to_end = np.broadcast_to(eye, (n, d, d)), []
    for k in reversed(range(RADAU_STEPS)):
        slopes = by_state[:, k * s : (k + 1) * s]
        blocks = (h[:, None, None, None, None] / RADAU_STEPS * radau.A[:, :, None, None]) * slopes[:, None]
        matrix = np.eye(s * d) - blocks.transpose(0, 1, 3, 2, 4).reshape(n, s * d, s * d)
        last = np.zeros((s * d, d))
        last[-d:] = eye
        solved = np.linalg.solve(np.swapaxes(matrix, 1, 2), np.broadcast_to(last, (n, s * d, d)))
        by_stage = carry[:, None] @ np.swapaxes(solved, 1, 2).reshape(n, d, s, d).transpose(0, 2, 1, 3)
        to_end.insert(0, np.einsum("nidc,ij->njdc", by_stage, radau.A / radau.A[-1]))
        carry = by_stage.sum(1)
    return carry, np.concatenate(to_end, 1)


def _exponential(a: np.ndarray) -> np.ndarray:
    """Matrix exponentials of a batch of small matrices: Taylor's series of a share, squared up, all at once.

    SciPy's `expm` takes them one by one, and its linear algebra in threads costs a millisecond each on a busy machine.

    Source: Moler & Van Loan, SIAM Review 45 (2003) 3, method 3.
    """
    eye = np.eye(a.shape[-1])
    norms = np.abs(a).sum(-1).max(-1, initial=0.0)
    largest = norms[np.isfinite(norms)].max(initial=0.0)
    if largest == 0.0 and np.isfinite(norms).all():
        return np.broadcast_to(eye, a.shape)
    squarings = int(np.clip(np.ceil(np.log2(max(largest, 1e-300) / TAYLOR_NORM)), 0, MOST_SQUARINGS))
    with np.errstate(all="ignore"):
        share = a / 2.0**squarings
        result = eye + share / TAYLOR_TERMS
        for k in range(TAYLOR_TERMS - 1, 0, -1):
            result = eye + share @ result / k
        for _ in range(squarings):
            result = result @ result
    return result
