"""The weak form: how a column over a missing term's arguments shows in the raw data.

About a reference solution x(t), replacing the missing term u by a sum of columns changes the solution by d(t),

    d' = A d + B (columns @ c - u) + F_p dp,      y - x = d + noise,

so the columns, integrated along the reference, are regressed on the raw data; no derivative of data is taken.
The free initial values and the parameters of the known law are projected out. About the fitted hybrid, A keeps
only x' = v (what the networks feed back is not known well enough); about a closed form, A is its Jacobian.

Source: Schaeffer & McCalla, Phys. Rev. E 96 (2017) 023302 (integral terms); Messenger & Bortz (2021).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.linalg import expm

from udesys.fit import FitResult
from udesys.model import HybridODE
from udesys.model import tree as T
from udesys.model.closed_form import ClosedForm
from udesys.model.program import Program
from udesys.search.task import Task

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(4)
GAUSS, GAUSS_WEIGHTS = (_NODES + 1) / 2, _WEIGHTS / 2  # 4 points an interval: exact to degree 7


@dataclass(frozen=True, kw_only=True)
class Measurements:
    """The raw data on one axis of samples.

    Attributes:
        t: (samples,) [the data's time unit].
        y: (samples, d), zero where missing.
        mask: (samples, d), 1 where measured.
        sigma: (d,) or (samples, d), standard deviation of the noise.
        segments: (lo, hi) arrays; trajectory k is lo[k]:hi[k].
        free: (d,) whether the initial value of a state is free.
    """

    t: np.ndarray
    y: np.ndarray
    mask: np.ndarray
    sigma: np.ndarray
    segments: tuple[np.ndarray, np.ndarray]
    free: np.ndarray
    start: np.ndarray = field(init=False)
    h: np.ndarray = field(init=False)
    gauss_t: np.ndarray = field(init=False)

    def __post_init__(self):
        start = np.concatenate([np.arange(a, b - 1) for a, b in zip(*self.segments, strict=True)])
        h = self.t[start + 1] - self.t[start]
        for name, value in (("start", start), ("h", h), ("gauss_t", self.t[start][:, None] + h[:, None] * GAUSS)):
            object.__setattr__(self, name, value)

    @classmethod
    def of_fit(cls, fit: FitResult) -> Measurements:
        """The data of a fit with the noise it estimated."""
        problem = fit.problem
        free = np.array([fit.model.initial[s] == "free" for s in fit.model.states])
        return cls(t=problem.t, y=problem.y, mask=problem.mask, sigma=fit.unknowns.sigma.copy(),
                   segments=problem.segments, free=free)


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A solution about which the weak form is written; G Gauss points in each interval.

    Attributes:
        nodes: (samples, d) states at the samples.
        x: (intervals, G, d) states at the Gauss points.
        parameters: estimated parameter -> value.
        outputs: term -> one (intervals, G) array of values per call of its network.
        feedback: (intervals, d, d), A.
        by_parameter: (intervals, G, d, parameters), df/dp.
        by_constant: term -> (intervals, G, d, constants), df/dc; empty about a fit.
        std: term -> (intervals, G) standard deviation of the values of the first call; None where unknown.
    """

    nodes: np.ndarray
    x: np.ndarray
    parameters: dict[str, float]
    outputs: dict[str, list[np.ndarray]]
    feedback: np.ndarray
    by_parameter: np.ndarray
    by_constant: dict[str, np.ndarray]
    std: dict[str, np.ndarray]


def about_fit(fit: FitResult, data: Measurements) -> Reference:
    """The fitted hybrid as reference."""
    import torch

    problem, unknowns = fit.problem, fit.unknowns
    x = np.stack([problem.flow(unknowns.nodes, unknowns.theta, share=g) for g in GAUSS], axis=1)
    n, g, d = x.shape
    flat, t = torch.as_tensor(x.reshape(n * g, d)), torch.as_tensor(data.gauss_t.reshape(-1))
    theta = torch.as_tensor(unknowns.theta)
    outputs: dict[str, list[np.ndarray]] = {term: [] for term in fit.model.terms}
    with torch.inference_mode():
        jacobians = problem.field.jacobians(t, flat, theta)
        for k, call in problem.field.calls:
            slot = fit.model.slots[k]
            arguments = _arguments(fit.model, call, x, data.gauss_t, _parameter_values(fit))
            values = problem.field.term(k, torch.as_tensor(arguments.reshape(n * g, -1)), theta).numpy()
            for j, term in enumerate(slot.terms):
                outputs[term].append(values[:, j].reshape(n, g))
    scale = problem.field.parameter_scale
    by_parameter = jacobians.by_parameter.numpy().reshape(n, g, d, -1) / scale
    std = {name: np.repeat(term.std[problem.start][:, None], g, 1) for name, term in fit.terms.items()}
    return Reference(nodes=unknowns.nodes, x=x, parameters=_parameter_values(fit), outputs=outputs,
                     feedback=np.broadcast_to(_kinematics(fit.model), (n, d, d)), by_parameter=by_parameter,
                     by_constant={}, std=std)


def _parameter_values(fit: FitResult) -> dict[str, float]:
    return {name: value for name, (value, _) in fit.parameters.items()}


def _kinematics(model: HybridODE) -> np.ndarray:
    """One where an equation is x' = another state."""
    matrix = np.zeros((len(model.states),) * 2)
    for i, right in enumerate(model.rhs):
        if isinstance(right, T.Symbol) and right.name in model.states:
            matrix[i, model.states.index(right.name)] = 1.0
    return matrix


def about_closed_form(form: ClosedForm, data: Measurements, x0: np.ndarray, steps: np.ndarray) -> Reference | None:
    """A closed form's simulation as reference; None where it diverges."""
    grid, lo, hi = _merged_grid(data)
    fine_steps = np.ones(len(grid), dtype=np.int64) * max(1, int(steps.max()) // 2)
    states, _ = form.simulate(x0, grid, (lo, hi), fine_steps)
    if states is None:
        return None
    at_sample = np.concatenate([np.arange(b - a) * 5 + first for (a, b), first in
                                zip(zip(*data.segments, strict=True), lo, strict=True)])
    at_start = at_sample[np.isin(np.arange(len(data.t)), data.start)]
    x = states[at_start[:, None] + np.arange(1, 5)]
    n, g, d = x.shape
    model, names = form.model, form.names
    columns = [*np.moveaxis(x, 2, 0), *form.values, data.gauss_t]
    values = [np.broadcast_to(v, (n, g)) for v in form.sensitive_program.run(columns)]
    by_state = np.stack(values[d : d + d * d], -1).reshape(n, g, d, d)
    by_unknown = np.stack(values[d + d * d :], -1).reshape(n, g, d, len(names)) if names else np.zeros((n, g, d, 0))
    places = {term: [k for k, name in enumerate(names) if isinstance(name, tuple) and name[0] == term]
              for term in model.terms}
    outputs = {term: [] for term in model.terms}
    for slot in model.slots:
        for call in slot.calls:
            arguments = _arguments(model, call, x, data.gauss_t, form.parameters)
            for term in slot.terms:
                outputs[term].append(_formula_values(form, term, slot.arguments, arguments))
    return Reference(
        nodes=states[at_sample], x=x, parameters=form.parameters, outputs=outputs, feedback=by_state.mean(1),
        by_parameter=by_unknown[..., : len(model.estimated)],
        by_constant={term: by_unknown[..., k] for term, k in places.items()}, std={},
    )


def _merged_grid(data: Measurements):
    """Samples with the Gauss points of each interval between them, and the segments on that grid."""
    pieces, lo, hi, length, interval = [], [], [], 0, 0
    for a, b in zip(*data.segments, strict=True):
        inner = data.gauss_t[interval : interval + b - a - 1]
        interval += b - a - 1
        piece = np.append(np.column_stack([data.t[a : b - 1], inner]).ravel(), data.t[b - 1])
        pieces.append(piece)
        lo.append(length)
        length += len(piece)
        hi.append(length)
    return np.concatenate(pieces), np.array(lo, dtype=np.int64), np.array(hi, dtype=np.int64)


def _formula_values(form: ClosedForm, term: str, names, arguments: np.ndarray) -> np.ndarray:
    formula = form.formulas[term]
    program = Program([formula.tree], [*names, *formula.constants])
    value = program.run([*np.moveaxis(arguments, -1, 0), *formula.constants.values()])[0]
    return np.broadcast_to(value, arguments.shape[:-1])


def _arguments(model: HybridODE, call, x: np.ndarray, t: np.ndarray, parameters: dict) -> np.ndarray:
    """(intervals, G, arguments) of one network call."""
    trees = [T.substitute(a, model.fixed_values) for a in call.args]
    program = Program(trees, [*model.states, *model.estimated, "t"])
    values = program.run([*np.moveaxis(x, 2, 0), *(parameters[n] for n in model.estimated), t])
    return np.stack([np.broadcast_to(np.asarray(v, float), t.shape) for v in values], axis=-1)


class WeakForm:
    """Responses of the raw data to forcings of the reference's right side."""

    def __init__(self, model: HybridODE, data: Measurements, reference: Reference):
        self.model, self.data, self.reference = model, data, reference
        h, a = data.h[:, None, None], reference.feedback
        self.coupled = bool(np.any(a))
        self.carry = _exponential(a * h)
        self.to_end = np.stack([_exponential(a * h * (1 - g)) for g in GAUSS], 1)
        sigma = np.broadcast_to(data.sigma, data.y.shape)
        self.weight = data.mask / sigma

    def respond(self, forcing: np.ndarray) -> np.ndarray:
        """(samples, d, columns) from forcings integrated over each interval (intervals, d, columns)."""
        n, d = self.data.y.shape
        result = np.zeros((n, d, forcing.shape[2]))
        first = 0
        for a, b in zip(*self.data.segments, strict=True):
            piece = forcing[first : first + b - a - 1]
            if self.coupled:
                for i in range(b - a - 1):
                    result[a + i + 1] = self.carry[first + i] @ result[a + i] + piece[i]
            else:
                np.cumsum(piece, axis=0, out=result[a + 1 : b])
            first += b - a - 1
        return result

    def integrated(self, columns: np.ndarray) -> np.ndarray:
        """Forcings (intervals, G, d, columns) carried to the end of their interval and summed."""
        carried = self.to_end @ columns
        return self.data.h[:, None, None] * np.einsum("g,ngdp->ndp", GAUSS_WEIGHTS, carried)

    def starts(self) -> np.ndarray:
        """(samples, d, free states) response to the initial value of the sample's own trajectory."""
        n, d = self.data.y.shape
        result = np.zeros((n, d, d))
        first = 0
        for a, b in zip(*self.data.segments, strict=True):
            result[a] = np.eye(d)
            for i in range(b - a - 1):
                result[a + i + 1] = self.carry[first + i] @ result[a + i]
            first += b - a - 1
        return result[:, :, self.data.free]

    def task(self, term: str) -> Task:
        """The search task of one term."""
        model_slot, output = self._slot(term)
        calls = [(self._leverage(call.output_name(output)), call) for call in model_slot.calls]
        response = _Response(self, calls, term)
        points = np.concatenate([p.reshape(-1, p.shape[-1]) for p in response.arguments])
        values = np.concatenate([u.reshape(-1) for u in self.reference.outputs[term]])
        std = self.reference.std.get(term)
        std = np.ones_like(values) if std is None else np.tile(std.reshape(-1), len(calls))
        std = np.maximum(std, 1e-6 * max(np.abs(values).max(), 1e-300))
        return Task(term=term, arguments=model_slot.arguments, points=points, values=values, std=std, response=response)

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
        program = Program(trees, [*model.states, *model.estimated, *names, "t"])
        inputs = [*np.moveaxis(reference.x, 2, 0), *(reference.parameters[n] for n in model.estimated), *values,
                  self.data.gauss_t]
        shape = self.data.gauss_t.shape
        return np.stack([np.broadcast_to(np.asarray(v, float), shape) for v in program.run(inputs)], -1)


class _Response:
    """Maps columns over a term's points to whitened rows with starts and nuisance projected out."""

    def __init__(self, form: WeakForm, calls, term: str):
        self.form, data, reference = form, form.data, form.reference
        self.arguments = [
            _arguments(form.model, call, reference.x, data.gauss_t, reference.parameters) for _, call in calls
        ]
        weights = data.h[:, None, None] * GAUSS_WEIGHTS[None, :, None]
        self.pull = [weights * (form.to_end @ leverage[..., None])[..., 0] for leverage, _ in calls]
        own = self._respond(np.concatenate([u[..., None] for u in reference.outputs[term]], axis=1))
        touched = np.abs(self._respond(np.ones((len(data.h), len(calls) * len(GAUSS), 1)))).max((0, 2)) > 0
        self.rows = (data.mask > 0) & touched[None, :]
        self.trajectory = np.repeat(np.arange(len(data.segments[0])), data.segments[1] - data.segments[0])
        self.owner = np.broadcast_to(self.trajectory[:, None], self.rows.shape)[self.rows]
        self.start_basis = self._start_basis()
        self.nuisance = np.zeros((int(self.rows.sum()), 0))
        others = [v for t, v in reference.by_constant.items() if t != term]
        columns = np.concatenate([reference.by_parameter, *others], axis=-1)
        if columns.shape[-1]:
            self.nuisance = _basis(self._clean(form.respond(form.integrated(columns))))
        self.target = self._clean((data.y - reference.nodes)[..., None] + own)[:, 0]

    def apply(self, columns: np.ndarray) -> np.ndarray:
        """(rows, terms) of columns (points, terms)."""
        n, g = self.form.data.gauss_t.shape
        stacked = columns.reshape(len(self.pull), n, g, -1)
        joined = np.concatenate(list(stacked), axis=1)
        return self._clean(self._respond(joined))

    def _respond(self, columns: np.ndarray) -> np.ndarray:
        """columns (intervals, calls * G, terms) -> (samples, d, terms)."""
        pull = np.concatenate(self.pull, axis=1)
        return self.form.respond(np.swapaxes(pull, 1, 2) @ columns)

    def _whiten(self, response: np.ndarray) -> np.ndarray:
        return (response * self.form.weight[..., None])[self.rows]

    def _start_basis(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """(rows, orthonormal columns) of every trajectory's free initial values."""
        columns = self._whiten(self.form.starts())
        groups = [np.flatnonzero(self.owner == k) for k in range(len(self.form.data.segments[0]))]
        return [(rows, _basis(columns[rows])) for rows in groups if len(rows)]

    def _clean(self, response: np.ndarray) -> np.ndarray:
        columns = self._whiten(response)
        for _ in range(2):  # twice is enough (Kahan): what is projected out is out to rounding
            for rows, basis in self.start_basis:
                columns[rows] -= basis @ (basis.T @ columns[rows])
            nuisance = getattr(self, "nuisance", None)
            if nuisance is not None and nuisance.shape[1]:
                columns = columns - nuisance @ (nuisance.T @ columns)
        return columns


def _basis(columns: np.ndarray) -> np.ndarray:
    """Orthonormal basis of the columns' span."""
    norms = np.linalg.norm(columns, axis=0)
    columns = columns[:, norms > 0] / norms[norms > 0]
    if columns.shape[1] == 0 or columns.shape[0] == 0:
        return np.zeros((len(columns), 0))
    left, singular, _ = np.linalg.svd(columns, full_matrices=False)
    return left[:, singular > 1e-10 * singular[0]]


def _exponential(a: np.ndarray) -> np.ndarray:
    """Matrix exponentials of a batch of small matrices."""
    return expm(a) if np.any(a) else np.broadcast_to(np.eye(a.shape[-1]), a.shape)
