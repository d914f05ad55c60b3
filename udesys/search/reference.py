"""Reference solutions about which the weak form is written: the fitted hybrid, or a closed form."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from udesys.fit import FitResult
from udesys.integrate import radau
from udesys.integrate.driving import evaluate, moved, sample_values
from udesys.model import HybridODE
from udesys.model import tree as T
from udesys.model.closed_form import ClosedForm
from udesys.model.program import Program

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(4)
GAUSS, GAUSS_WEIGHTS = (_NODES + 1) / 2, _WEIGHTS / 2  # 4 points an interval: exact to degree 7
RADAU_STEPS = 2  # of the implicit method in an interval of a stiff system
TRUSTED = 0.5  # weight under a robust loss from which a measurement is no outlier


@dataclass(frozen=True, kw_only=True)
class Measurements:
    """The raw data on one axis of samples.

    Attributes:
        t: (samples,) [the data's time unit].
        y: (samples, m) of the states, then of the observables; zero where missing.
        mask: (samples, m), 1 where measured.
        sigma: (m,) or (samples, m), standard deviation of the noise.
        segments: (lo, hi) arrays; trajectory k is lo[k]:hi[k].
        free: (d,) whether the initial value of a state is free.
        pieces: (samples, k, 4) cubics of the inputs and covariates from each sample on, as `integrate.machine` takes
            them; None without any.
        u: (samples, k) their values at the samples; None likewise.
        memory: (m, lags) of the errors of a simulation, see `fit.memory`; None where they are taken for white.
        profile: (samples, m) factors of sigma where the noise grows with what is measured; None where it does not.
        stiff: laws of them are simulated by the implicit method, and integrated at its stages.
        start: (intervals,) the sample where each interval starts.
        h: (intervals,) lengths of the intervals.
        gauss_t, gauss_u: (intervals, G) times of the Gauss points, and (intervals, G, k) inputs there, or None; of a
            stiff system they are the stages of `RADAU_STEPS` steps.
    """

    t: np.ndarray
    y: np.ndarray
    mask: np.ndarray
    sigma: np.ndarray
    segments: tuple[np.ndarray, np.ndarray]
    free: np.ndarray
    pieces: np.ndarray | None = None
    u: np.ndarray | None = None
    profile: np.ndarray | None = None
    memory: np.ndarray | None = None
    stiff: bool = False
    start: np.ndarray = field(init=False)
    h: np.ndarray = field(init=False)
    gauss_t: np.ndarray = field(init=False)
    gauss_u: np.ndarray | None = field(init=False)

    def __post_init__(self):
        start = np.concatenate([np.arange(a, b - 1) for a, b in zip(*self.segments, strict=True)])
        h = self.t[start + 1] - self.t[start]
        after = h[:, None] * self.shares
        driving = None if self.pieces is None else evaluate(self.pieces[start][:, None], after)
        made = {"start": start, "h": h, "gauss_t": self.t[start][:, None] + after, "gauss_u": driving}
        for name, value in made.items():
            object.__setattr__(self, name, value)

    @classmethod
    def of_fit(cls, fit: FitResult) -> Measurements:
        """The data of a fit with the noise it estimated; what a robust fit took for outliers counts as missing."""
        problem, unknowns = fit.problem, fit.unknowns
        trusted = 1.0 if fit.loss == "gaussian" else unknowns.trust >= TRUSTED
        pieces = u = None
        if problem.signals is not None:
            pieces = np.zeros((len(problem.t), *problem.signals.shape[1:]))
            pieces[problem.start] = problem.signals
            u = np.concatenate([sample_values(fit.data, run, fit.model.exogenous) for run in fit.data.trajectories])
        return cls(
            t=problem.t,
            y=problem.y,
            mask=problem.mask * trusted,
            sigma=unknowns.sigma.copy(),
            segments=problem.segments,
            free=np.array([fit.model.initial[s] == "free" for s in fit.model.states]),
            pieces=pieces,
            u=u,
            stiff=fit.method == "radau",
        )

    def part(self, pieces: tuple[np.ndarray, np.ndarray]) -> Measurements:
        """Windows (lo, hi) of the samples by themselves, each with a start of its own."""
        rows, lengths = rows_of(pieces), pieces[1] - pieces[0]
        ends = np.cumsum(lengths)
        kept = {n: getattr(self, n)[rows] for n in ("t", "y", "mask")}
        kept |= {n: None if getattr(self, n) is None else getattr(self, n)[rows] for n in ("pieces", "u", "profile")}
        free = np.ones_like(self.free)
        return Measurements(
            **kept, sigma=self.sigma, segments=(ends - lengths, ends), free=free, stiff=self.stiff
        )  # fmt: skip

    @property
    def shares(self) -> np.ndarray:
        """(G,) of an interval, at which the right side is looked at within it."""
        if not self.stiff:
            return GAUSS
        return np.concatenate([k + radau.C for k in range(RADAU_STEPS)]) / RADAU_STEPS

    @property
    def weights(self) -> np.ndarray:
        """(G,) of these points in an integral over an interval of length one."""
        return np.tile(radau.A[-1] / RADAU_STEPS, RADAU_STEPS) if self.stiff else GAUSS_WEIGHTS

    @property
    def noise(self) -> np.ndarray:
        """(samples, m) standard deviation of every measurement."""
        sigma = np.broadcast_to(self.sigma, self.y.shape)
        return sigma if self.profile is None else sigma * self.profile

    @property
    def gauss_inputs(self) -> list[np.ndarray]:
        """The time, then every input and covariate, (intervals, G) each: the last inputs of a program."""
        return [self.gauss_t, *(() if self.gauss_u is None else np.moveaxis(self.gauss_u, 2, 0))]


def rows_of(pieces: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Samples of windows (lo, hi), one after the other."""
    return np.concatenate([np.arange(a, b) for a, b in zip(*pieces, strict=True)])


def windows(segments: tuple[np.ndarray, np.ndarray], longest: int) -> tuple[np.ndarray, np.ndarray]:
    """Segments (lo, hi) cut into about equal ones, none with more samples than `longest`."""
    edges = [np.linspace(a, b, -(-(b - a) // longest) + 1).astype(np.int64) for a, b in zip(*segments, strict=True)]
    return np.concatenate([e[:-1] for e in edges]), np.concatenate([e[1:] for e in edges])


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
    stride = 1 + len(_inner_shares(data))
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
    shares = _inner_shares(data)
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


def _inner_shares(data: Measurements) -> np.ndarray:
    """Shares of an interval at which its Gauss points are, but for one at its end."""
    return data.shares[data.shares < 1.0]


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
