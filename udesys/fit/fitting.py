"""`fit`: the hybrid fitted to a dataset, restarts and checks included."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping

import numpy as np

from udesys.data import Dataset
from udesys.errors import FitError
from udesys.fit.evidence import FEASIBLE_DEFECT, largest_defect, minus_twice_log_evidence
from udesys.fit.problem import ShootingProblem
from udesys.fit.result import FitResult, residual_terms, theta_covariance
from udesys.fit.stages import gradient_matching, multiple_shooting
from udesys.fit.start import starting_point
from udesys.model import HybridODE
from udesys.model import tree as T
from udesys.model.field import HybridField
from udesys.model.network import ACTIVATIONS

LEAST_SAMPLES = 4  # rows of a trajectory on average; fewer hold no slope worth the name
MOST_SUBSTEPS = 16
CHECK_TOLERANCE = 1e-9  # of the smallest spread, in the final simulation
CHECK_STEPS = 500  # between two samples there
SUBSTEP_ERROR = 0.05  # of the noise: a larger error of the one-interval flow asks for more substeps
SELF_CONSISTENT = 1.5  # simulated RMSE over node RMSE above which a warning is due
NULL_STDERR = 1.0  # relative standard error of a parameter that the networks can absorb


def fit(
    model: HybridODE,
    data: Dataset,
    *,
    seed: int = 0,
    noise: Mapping[str, float] | None = None,
    progress: Callable | None = None,
) -> FitResult:
    """Fit a hybrid ODE to measurements by Gauss-Newton multiple shooting.

    Args:
        model: the known law with its networks.
        data: its columns are states of the model; missing cells are NaN.
        seed: of the networks' random weights; the same seed gives the same fit.
        noise: column -> standard deviation of the measurement noise [data units]; estimated if not given.
        progress: called as progress(stage, iteration, cost).

    Returns:
        FitResult; a fit that did not converge says so in it.

    Raises:
        FitError: the data cannot determine anything (too few samples, no state measured), or no start led to
            finite states.

    Source: Bock (1981); Bock, Kostina & Schloeder, GAMM-Mitteilungen 30 (2007) 376; MacKay (1992).
    """
    began = time.perf_counter()
    check_enough(model, data, noise)
    with one_thread(), np.errstate(all="ignore"):  # what is not finite is looked for where it matters
        attempts = [_attempt(model, data, seed, noise, start, progress) for start in _starts(model)]
        best = min(attempts, key=lambda a: a.evidence)
        if not (np.isfinite(best.unknowns.nodes).all() and np.isfinite(best.unknowns.theta).all()):
            raise FitError(
                "no start led to finite states. Check the equations' units, give the parameters starts and bounds, "
                "or give initial values."
            )
        return _result(best, model, data, seed, tuple(noise or ()), time.perf_counter() - began)


@contextlib.contextmanager
def one_thread():
    """Torch on one thread: the tensors are small, and threads that wait for each other cost tenfold under load."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def check_enough(model: HybridODE, data: Dataset, noise: Mapping[str, float] | None = None) -> None:
    """Raise FitError where the data cannot determine anything: too few samples, or nothing measured depends on it."""
    measured = [c for c in data.columns if c in model.states and data.n_measured[c] > 0]
    if not measured:
        raise FitError(
            f"no state is measured: the states are {', '.join(model.states)}, the columns "
            f"{', '.join(data.columns)}. Name the columns like the states, or map them with `columns`."
        )
    _refuse_unseen(model, measured)
    rows = sum(len(tr.t) for tr in data.trajectories)
    unknown = len(model.estimated) + sum(w == "free" for w in model.initial.values()) * len(data.trajectories)
    needed = max(LEAST_SAMPLES * len(data.trajectories), -(-(unknown + len(model.terms) + 1) // len(measured)))
    if rows < needed:
        raise FitError(
            f"{rows} samples are too few: this model needs at least {needed} rows (trajectories: "
            f"{len(data.trajectories)}, unknown parameters and initial values: {unknown}, missing terms: "
            f"{len(model.terms)}). Measure more, or fix parameters and initial values."
        )
    if min(len(tr.t) for tr in data.trajectories) < 2:
        short = next(tr.name for tr in data.trajectories if len(tr.t) < 2)
        raise FitError(f"trajectory {short!r} has one sample only. Remove it, or check the column that separates runs.")
    for column, sd in (noise or {}).items():
        if column not in data.columns:
            raise FitError(f"noise names {column!r}, which is no column. Columns are {', '.join(data.columns)}.")
        if not (np.isfinite(sd) and sd > 0):
            raise FitError(f"noise of {column} = {sd!r} must be a positive number [data units].")


def _refuse_unseen(model: HybridODE, measured: list[str]) -> None:
    """Raise FitError where a network acts on nothing that is measured, however indirectly."""
    needs = dict(zip(model.states, (set(T.symbols(right)) for right in model.rhs), strict=True))
    for slot in model.slots:
        for call in slot.calls:
            outputs = {call.output_name(k) for k in range(slot.n_outputs)}
            for names in needs.values():
                if names & outputs:
                    names |= {slot.name}.union(*map(T.symbols, call.args))
    seen, new = set(), set(measured)
    while new:
        seen |= new
        new = set().union(*(needs.get(name, ()) for name in new)) - seen
    for slot in model.slots:
        if slot.name not in seen:
            raise FitError(
                f"{slot.name} acts on nothing that is measured ({', '.join(measured)}). Measure a state that depends "
                f"on it, or take {slot.name} out."
            )


def _starts(model: HybridODE) -> list[tuple[str, bool]]:
    """(activation, smoothed) of every restart."""
    if not model.slots:
        return [("", True), ("", False)]
    open_ = any(s.name not in model.networks or model.networks[s.name].activation is None for s in model.slots)
    return [(a, True) for a in (ACTIVATIONS if open_ else ACTIVATIONS[:1])]


class _Attempt:
    """One restart, run to its end."""

    def __init__(self, problem, unknowns, stages, activation):
        self.problem, self.unknowns, self.stages, self.activation = problem, unknowns, stages, activation
        self.evidence = minus_twice_log_evidence(problem, unknowns)


def _attempt(model, data, seed, noise, start, progress) -> _Attempt:
    activation, smoothed = start
    field = HybridField(model, {slot.name: activation for slot in model.slots})
    problem = ShootingProblem(model, data, field)
    rng = np.random.default_rng(seed)
    unknowns = starting_point(problem, rng, smoothed=smoothed)
    given = np.array([state in (noise or {}) for state in model.states])
    for column, sd in (noise or {}).items():
        unknowns.sigma[model.states.index(column)] = sd
    stages = [gradient_matching.run(problem, unknowns, rng, progress)]
    refine_substeps(problem, unknowns)
    while True:
        stages.append(multiple_shooting.run(problem, unknowns, rng, progress, given_noise=given))
        if not refine_substeps(problem, unknowns):
            return _Attempt(problem, unknowns, tuple(stages), activation)


def refine_substeps(problem: ShootingProblem, unknowns) -> bool:
    """Double the substeps until doubling no longer matters beside the noise; True where they changed."""
    before = problem.substeps
    coarse = problem.flow(unknowns.nodes, unknowns.theta)
    while problem.substeps < MOST_SUBSTEPS:
        problem.substeps *= 2
        fine = problem.flow(unknowns.nodes, unknowns.theta)
        with np.errstate(invalid="ignore"):
            error = np.abs(fine - coarse) / unknowns.sigma
        if not np.isfinite(error).all() or error.max() < SUBSTEP_ERROR:
            problem.substeps //= 2
            break
        coarse = fine
    return problem.substeps != before


def _result(best: _Attempt, model, data, seed, given_noise, seconds) -> FitResult:
    problem, unknowns = best.problem, best.unknowns
    defect = largest_defect(problem, unknowns)
    columns = [(c, model.states.index(c)) for c in data.columns]
    simulated, nodes_rmse = _simulated_errors(problem, unknowns), _node_errors(problem, unknowns)
    parameters = _parameters(problem, unknowns)
    pieces = tuple(unknowns.nodes[a:b].copy() for a, b in zip(*problem.segments, strict=True))
    initial = {
        tr.name: {s: float(v) for s, v in zip(model.states, x[0], strict=True)}
        for tr, x in zip(data.trajectories, pieces, strict=True)
    }
    warnings = _warnings(best, defect, simulated, nodes_rmse, parameters)
    return FitResult(
        model=model,
        data=data,
        seed=seed,
        converged=defect < FEASIBLE_DEFECT and best.stages[-1].stopped == "converged",
        parameters=parameters,
        initial=initial,
        noise={c: float(unknowns.sigma[j]) for c, j in columns},
        given_noise=given_noise,
        error={c: float(simulated[j]) for c, j in columns},
        states=pieces,
        terms=residual_terms(problem, unknowns),
        activation=_chosen(best),
        effective_weights=float(unknowns.effective or 0.0),
        largest_defect=defect,
        stages=best.stages,
        warnings=warnings,
        seconds=seconds,
        problem=problem,
        unknowns=unknowns,
    )


def _chosen(best: _Attempt) -> str:
    return ", ".join(dict.fromkeys(layout.activation for layout in best.problem.field.layouts))


def _parameters(problem, unknowns) -> dict[str, tuple[float, float]]:
    field, n = problem.field, problem.field.n_weights
    variance = np.diag(theta_covariance(unknowns))[n:]
    values = unknowns.theta[n:] * field.parameter_scale
    errors = np.sqrt(np.maximum(variance, 0.0)) * field.parameter_scale
    return {name: (float(v), float(e)) for name, v, e in zip(field.parameters, values, errors, strict=True)}


def _rmse(problem, states) -> np.ndarray:
    squares = (problem.mask * (problem.y - states) ** 2).sum(0)
    return np.sqrt(squares / np.maximum(problem.counts, 1))


def _node_errors(problem, unknowns) -> np.ndarray:
    return _rmse(problem, unknowns.nodes)


def _simulated_errors(problem, unknowns) -> np.ndarray:
    """RMSE per state of one plain adaptive simulation of every trajectory from its start; NaN where it fails."""
    states = np.empty_like(unknowns.nodes)
    starts = unknowns.nodes[problem.first]
    atol = CHECK_TOLERANCE * float(unknowns.spread.min())
    for k, (a, b) in enumerate(zip(*problem.segments, strict=True)):
        solution = problem.simulate(starts, unknowns.theta, k, problem.t[a:b], atol=atol, max_steps=CHECK_STEPS)
        states[a:b] = solution.x[0].numpy()
    return _rmse(problem, states)


def _warnings(best, defect, simulated, nodes_rmse, parameters) -> tuple[str, ...]:
    warnings = []
    problem = best.problem
    if not defect < FEASIBLE_DEFECT:
        warnings.append(
            f"the fit did not close its intervals (largest jump {defect:.2g} noise sd); treat it as a start."
        )
    if best.stages[-1].stopped != "converged":
        warnings.append(f"the fit stopped early: {best.stages[-1].stopped}.")
    for j, name in enumerate(problem.model.states):
        if problem.measured[j] and not simulated[j] < SELF_CONSISTENT * nodes_rmse[j] + 1e-9 * best.unknowns.spread[j]:
            warnings.append(
                f"one long simulation misses {name} (RMSE {simulated[j]:.3g}, interval by interval "
                f"{nodes_rmse[j]:.3g}): the system is chaotic or the hybrid is unstable."
            )
    for name, (value, stderr) in parameters.items():
        if problem.model.slots and stderr > NULL_STDERR * abs(value):
            warnings.append(
                f"{name} is not determined by the hybrid (a network can absorb it); the closed form may tell it."
            )
    return tuple(warnings)
