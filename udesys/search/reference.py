"""Reference solutions about which the weak form is written: the fitted hybrid, or a closed form."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from udesys.fit import FitResult
from udesys.integrate.driving import moved
from udesys.model import HybridODE
from udesys.model import tree as T
from udesys.model.closed_form import ClosedForm
from udesys.model.program import Program
from udesys.search.measurements import Measurements, rows_of


@dataclass(frozen=True, kw_only=True)
class Observed:
    """Observables of a reference at the samples, linearised about it; zeros where they are not finite.

    Attributes:
        values: (samples, observables).
        by_state: (samples, observables, d).
        by_parameter: (samples, observables, parameters).
        known: (samples, observables) whether all of that is finite.
    """

    values: np.ndarray
    by_state: np.ndarray
    by_parameter: np.ndarray
    known: np.ndarray = field(init=False)

    def __post_init__(self):
        slopes = np.concatenate([self.by_state, self.by_parameter], 2)
        known = np.isfinite(self.values) & np.isfinite(slopes).all(2)
        object.__setattr__(self, "known", known)
        for name in ("values", "by_state", "by_parameter"):
            value = getattr(self, name)
            object.__setattr__(self, name, np.where(known if value.ndim == 2 else known[..., None], value, 0.0))


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A solution about which the weak form is written; G Gauss points in each interval.

    Attributes:
        nodes: (samples, d) states at the samples.
        x: (intervals, G, d) states at the Gauss points.
        parameters: estimated parameter -> value.
        outputs: term -> one (intervals, G) array of values per call of its network.
        feedback: (intervals, d, d), A; of a stiff system (intervals, G, d, d).
        by_parameter: (intervals, G, d, parameters), df/dp.
        by_constant: term -> (intervals, G, d, constants), df/dc; empty about a fit.
        std: term -> (intervals, G) standard deviation of the values of the first call; None where unknown.
        observed: the observables there; None where the model has none.
    """

    nodes: np.ndarray
    x: np.ndarray
    parameters: dict[str, float]
    outputs: dict[str, list[np.ndarray]]
    feedback: np.ndarray
    by_parameter: np.ndarray
    by_constant: dict[str, np.ndarray]
    std: dict[str, np.ndarray]
    observed: Observed | None = None


def about_fit(fit: FitResult, data: Measurements, pieces: tuple[np.ndarray, np.ndarray] | None = None) -> Reference:
    """The fitted hybrid as reference.

    Args:
        fit: the fitted hybrid.
        data: its measurements.
        pieces: windows (lo, hi) of the fit's samples to which the data are reduced; None where they are not.
    """
    import torch

    problem, unknowns = fit.problem, fit.unknowns
    rows, inside = slice(None), slice(None)
    if pieces is not None:
        starts = np.concatenate([np.arange(a, b - 1) for a, b in zip(*pieces, strict=True)])
        rows, inside = rows_of(pieces), np.searchsorted(problem.start, starts)
    x = np.stack([problem.flow(unknowns.nodes, unknowns.theta, share=g)[inside] for g in data.shares], axis=1)
    n, g, d = x.shape
    flat, t = torch.as_tensor(x.reshape(n * g, d)), torch.as_tensor(data.gauss_t.reshape(-1))
    theta = torch.as_tensor(unknowns.theta)
    u = None if data.gauss_u is None else torch.as_tensor(data.gauss_u.reshape(n * g, -1))
    outputs: dict[str, list[np.ndarray]] = {term: [] for term in fit.model.terms}
    with torch.inference_mode():
        jacobians = problem.field.jacobians(t, flat, theta, u)
        for k, call in problem.field.calls:
            slot = fit.model.slots[k]
            arguments = call_arguments(fit.model, call, x, data, _parameter_values(fit))
            values = problem.field.term(k, torch.as_tensor(arguments.reshape(n * g, -1)), theta).numpy()
            for j, term in enumerate(slot.terms):
                outputs[term].append(values[:, j].reshape(n, g))
    scale = problem.field.parameter_scale
    by_parameter = jacobians.by_parameter.numpy().reshape(n, g, d, -1) / scale
    by_state = jacobians.by_state.numpy().reshape(n, g, d, d)
    feedback = by_state if data.stiff else np.where(_known_feedback(fit), by_state.mean(1), 0.0)
    std = {name: np.repeat(term.std[problem.start][inside, None], g, 1) for name, term in fit.terms.items()}
    return Reference(
        nodes=unknowns.nodes[rows],
        x=x,
        parameters=_parameter_values(fit),
        outputs=outputs,
        feedback=feedback,
        by_parameter=by_parameter,
        by_constant={},
        std=std,
        observed=_observed_by_fit(fit, rows),
    )


def _observed_by_fit(fit: FitResult, rows) -> Observed | None:
    problem, unknowns = fit.problem, fit.unknowns
    if not fit.model.observe:
        return None
    point = (problem.t, unknowns.nodes, unknowns.theta, problem.u)
    with np.errstate(all="ignore"):
        values, (by_state, by_theta) = problem.observation.values(*point), problem.observation.jacobians(*point)
    by_parameter = by_theta[rows] / problem.field.parameter_scale
    return Observed(values=values[rows], by_state=by_state[rows], by_parameter=by_parameter)


def _parameter_values(fit: FitResult) -> dict[str, float]:
    return {name: value for name, (value, _) in fit.parameters.items()}


def _known_feedback(fit: FitResult) -> np.ndarray:
    """(d, d) where df_i/dx_j is used: x' = another state, and what an unmeasured state does outside the networks."""
    model, measured = fit.model, fit.problem.measured[: fit.problem.d]
    inside = {
        call.output_name(k): frozenset().union(*map(T.symbols, call.args))
        for slot in model.slots
        for call in slot.calls
        for k in range(slot.n_outputs)
    }
    known = np.zeros((len(model.states),) * 2, dtype=bool)
    for i, right in enumerate(model.rhs):
        through = frozenset().union(*(inside.get(name, ()) for name in T.symbols(right)))
        for j, state in enumerate(model.states):
            copied = right == T.Symbol(state)
            known[i, j] = copied or (not measured[j] and state not in through)
    return known


def about_closed_form(form: ClosedForm, data: Measurements, x0: np.ndarray, steps: np.ndarray) -> Reference | None:
    """A closed form's simulation as reference; None where it diverges."""
    grid, lo, hi, pieces = _merged_grid(data)
    stride = 1 + len(data.inner_shares)
    count = int(steps.max()) if form.stiff else max(1, int(steps.max()) // 2)  # they set the implicit steps' error
    fine_steps = np.full(len(grid), count, dtype=np.int64)
    states, _ = form.simulate(x0, grid, (lo, hi), fine_steps, pieces=pieces)
    if states is None:
        return None
    at_sample = np.concatenate(
        [np.arange(b - a) * stride + first for (a, b), first in zip(zip(*data.segments, strict=True), lo, strict=True)]
    )
    at_start = at_sample[np.isin(np.arange(len(data.t)), data.start)]
    x = states[at_start[:, None] + np.arange(1, len(data.shares) + 1)]
    n, g, d = x.shape
    model, names = form.model, form.names
    columns = [*np.moveaxis(x, 2, 0), *form.values, *data.gauss_inputs]
    values = [np.broadcast_to(v, (n, g)) for v in form.sensitive_program.run(columns)]
    by_state = np.stack(values[d : d + d * d], -1).reshape(n, g, d, d)
    by_unknown = np.stack(values[d + d * d :], -1).reshape(n, g, d, len(names)) if names else np.zeros((n, g, d, 0))
    places = {
        term: [k for k, name in enumerate(names) if isinstance(name, tuple) and name[0] == term] for term in model.terms
    }
    outputs = {term: [] for term in model.terms}
    for slot in model.slots:
        for call in slot.calls:
            arguments = call_arguments(model, call, x, data, form.parameters)
            for term in slot.terms:
                outputs[term].append(_formula_values(form, term, slot.arguments, arguments))
    return Reference(
        nodes=states[at_sample],
        x=x,
        parameters=form.parameters,
        outputs=outputs,
        feedback=by_state if data.stiff else by_state.mean(1),
        by_parameter=by_unknown[..., : len(model.estimated)],
        by_constant={term: by_unknown[..., k] for term, k in places.items()},
        std={},
        observed=_observed_by_form(form, data, states[at_sample]),
    )


def _observed_by_form(form: ClosedForm, data: Measurements, nodes: np.ndarray) -> Observed | None:
    if not form.observed:
        return None
    by_state, by_unknown = form.output_slopes(data.t, nodes, data.u)
    return Observed(
        values=form.outputs(data.t, nodes, data.u)[:, form.d :],
        by_state=by_state,
        by_parameter=by_unknown[..., : len(form.model.estimated)],
    )


def _merged_grid(data: Measurements):
    """Samples with the Gauss points of each interval between them, the segments on that grid, and its inputs."""
    parts, lo, hi, length, interval, at_start = [], [], [], 0, 0, []
    shares = data.inner_shares
    for a, b in zip(*data.segments, strict=True):
        inner = data.gauss_t[interval : interval + b - a - 1, : len(shares)]
        interval += b - a - 1
        part = np.append(np.column_stack([data.t[a : b - 1], inner]).ravel(), data.t[b - 1])
        parts.append(part)
        lo.append(length)
        at_start.append(length + (len(shares) + 1) * np.arange(b - a - 1))
        length += len(part)
        hi.append(length)
    pieces = None
    if data.pieces is not None:
        after = data.h[:, None] * np.append(0.0, shares)
        pieces = np.zeros((length, *data.pieces.shape[1:]))
        rows = np.concatenate(at_start)[:, None] + np.arange(len(shares) + 1)
        pieces[rows] = moved(data.pieces[data.start][:, None], after)
    return np.concatenate(parts), np.array(lo, dtype=np.int64), np.array(hi, dtype=np.int64), pieces


def _formula_values(form: ClosedForm, term: str, names, arguments: np.ndarray) -> np.ndarray:
    formula = form.formulas[term]
    program = Program([formula.tree], [*names, *formula.constants])
    value = program.run([*np.moveaxis(arguments, -1, 0), *formula.constants.values()])[0]
    return np.broadcast_to(value, arguments.shape[:-1])


def call_arguments(model: HybridODE, call, x: np.ndarray, data: Measurements, parameters: dict) -> np.ndarray:
    """(intervals, G, arguments) of one network call at states x (intervals, G, d) of the Gauss points."""
    trees = [T.substitute(a, model.fixed_values) for a in call.args]
    program = Program(trees, [*model.states, *model.estimated, "t", *model.exogenous])
    values = program.run([*np.moveaxis(x, 2, 0), *(parameters[n] for n in model.estimated), *data.gauss_inputs])
    return np.stack([np.broadcast_to(np.asarray(v, float), data.gauss_t.shape) for v in values], axis=-1)
