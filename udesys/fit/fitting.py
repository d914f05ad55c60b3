"""`fit`: the hybrid fitted to a dataset, restarts and checks included."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping

import numpy as np

from udesys.data import Dataset
from udesys.errors import FitError
from udesys.fit.attempt import Attempt, Setting, attempt, checked, finish, given_mask, prepare, rmse
from udesys.fit.enough import check_enough
from udesys.fit.fields import fields_from, gauged
from udesys.fit.identifiability.findings import Identifiability
from udesys.fit.identifiability.of_hybrid import identifiability_of
from udesys.fit.inward import inward
from udesys.fit.options import FitOptions
from udesys.fit.outliers import are_outliers, outlying
from udesys.fit.profiles_on_grid import refuse_other_points, without_operators
from udesys.fit.result import FitResult, residual_terms, theta_covariance
from udesys.fit.start import WEIGHT_PRIOR
from udesys.fit.windows import windows_of
from udesys.model import HybridODE
from udesys.model.network import ACTIVATIONS
from udesys.progress import Portion

CHECKED_DEFECT = 0.1  # of the noise: largest defect that a method with error control may find
LARGEST_STATE = 1e6  # times the largest fitted one; beyond it a simulation has diverged
SELF_CONSISTENT = 1.5  # simulated RMSE over node RMSE above which a warning is due
BARE_STDERR = 1.0  # relative standard error of a parameter that the hybrid barely determines
STARTS = (  # activation, and weight of its prior at the start: noisy data ask for few weights, and find them from there
    ("tanh", 1.0),
    ("tanh", WEIGHT_PRIOR),
    ("softplus", WEIGHT_PRIOR),
    ("cubic", WEIGHT_PRIOR),
    ("cubic", 1.0),
)
FULL_ROUNDS = (10.0, 1e3, 1e4)  # weights of the defects on a long record, whose law is nearly known


def fit(
    model: HybridODE,
    data: Dataset,
    *,
    seed: int = 0,
    noise: Mapping[str, float] | None = None,
    options: FitOptions | None = None,
    progress: Callable | None = None,
) -> FitResult:
    """Fit a hybrid ODE to measurements by Gauss-Newton multiple shooting.

    Method, substeps, noise, regularisation, activation and loss are chosen from the data.

    Args:
        model: the known law with its networks.
        data: its columns are states or observables of the model; missing cells are NaN.
        seed: of the networks' random weights; the same seed gives the same fit.
        noise: column -> standard deviation of the measurement noise [data units]; estimated if not given.
        options: what is not to be chosen from the data.
        progress: called as progress(stage, iteration, cost).

    Returns:
        FitResult; a fit that did not converge says so in it.

    Raises:
        FitError: the data cannot determine anything (too few samples, no state measured), or no start led to
            finite states.

    Source: Bock (1981); Bock, Kostina & Schloeder, GAMM-Mitteilungen 30 (2007) 376; MacKay (1992).
    """
    began = time.perf_counter()
    options = options or FitOptions()
    _check_device(options.device)
    check_enough(model, data, noise)
    model = inward(model, data)
    if model.grid is not None:
        with one_thread(), np.errstate(all="ignore"):
            return _fit_fields(model, data, seed, noise, options, progress, began)
    with one_thread(), np.errstate(all="ignore"):  # what is not finite is looked for where it matters
        best = _search(model, data, seed, noise, options, progress)
        best = checked(best, options, given_mask(model, noise), progress)
        if not (np.isfinite(best.unknowns.nodes).all() and np.isfinite(best.unknowns.theta).all()):
            raise FitError(
                "no start led to finite states. Check the equations' units, give the parameters starts and bounds, "
                "or give initial values."
            )
        best.problem.hold_given(best.unknowns.nodes)
        return _result(best, seed, tuple(noise or ()), options, began)


def _fit_fields(model, data, seed, noise, options, progress, began: float) -> FitResult:
    """The fit of fields on a grid: points by themselves first, then all of them together."""
    refuse_other_points(model, data)
    if options.stages or options.solver == "rk4":
        raise FitError("fields on a grid are fitted by one way only. Leave stages and solver out of [fit].")
    model, data = gauged(model, data), without_operators(model, data)

    def start(part: Dataset) -> Attempt:
        loss = "student" if options.loss == "student" else "gaussian"
        return _race(model, part, seed, noise, options, progress, pinned=True, loss=loss, trust=None)

    given = given_mask(model, noise)
    problem, unknowns, stages, descent = fields_from(model, data, start, options, given, progress)
    if descent.nodes is None:
        raise FitError(
            "no start led to finite fields. Check the equations' units, and give the parameters starts and bounds "
            "(a diffusion must not be negative)."
        )
    stopped, errors = stages[-1].stopped, descent.node_errors()
    early = () if stopped == "converged" else (f"the fit stopped early: {stopped}.",)
    return _put_together(
        problem,
        unknowns,
        lambda parameters, open_: (*early, *_said_of(parameters, open_, model)),
        errors=errors,
        node_errors=errors,
        seed=seed,
        converged=stopped == "converged",
        given_noise=tuple(noise or ()),
        method="radau",
        evidence=descent.evidence(),
        largest_defect=0.0,
        stages=stages,
        options=options,
        steps=tuple(descent.steps),
        began=began,
    )


def _search(model, data, seed, noise, options, progress) -> Attempt:
    """The best attempt; a long record is searched on windows and then fitted whole from there."""
    short = windows_of(data)
    if short is None:
        return _best_of(model, data, seed, noise, options, progress, pinned=True)
    best = _best_of(model, short, seed, noise, options, progress, pinned=False)
    return _whole(best, model, data, noise, options, progress)


def _best_of(model, data, seed, noise, options, progress, *, pinned) -> Attempt:
    """The attempt the evidence prefers, under the loss that the outlier test asks for."""
    loss = "student" if options.loss == "student" else "gaussian"
    best = _race(model, data, seed, noise, options, progress, pinned=pinned, loss=loss, trust=None)
    if options.loss != "auto":
        return best
    far = outlying(best.problem, best.unknowns)
    if not are_outliers(far, best.problem):
        return best
    trust = np.where(far, 0.0, 1.0)
    robust = _race(model, data, seed, noise, options, progress, pinned=pinned, loss="student", trust=trust)
    return min((best, robust), key=lambda a: a.evidence())


def _race(model, data, seed, noise, options, progress, *, pinned, loss, trust) -> Attempt:
    """All starts, and the one that the evidence prefers."""
    method = "radau" if options.solver == "radau" else "rk4"
    attempts: list[Attempt] = []
    starts = _starts(model, options)
    for place, (activation, weight_prior, smoothed, k) in enumerate(starts):
        if progress:
            progress("fit", place, Portion(f"start {place + 1} of {len(starts)}", place / len(starts)))
        setting = Setting(
            activation=activation,
            weight_prior=weight_prior,
            smoothed=smoothed,
            seed=seed + k,
            method=attempts[-1].setting.method if attempts else method,
            loss=loss,
            trust=trust,
            pinned=pinned,
        )
        attempts.append(attempt(model, data, setting, options, noise, progress))
    followed = [a for a in attempts if a.followed]
    if len(followed) > 1 and all(a.wanders for a in followed):  # every law is a little wrong
        return min(followed, key=lambda a: a.disturbed_evidence)
    if followed:  # else the record is chaotic, or no start is good enough to tell
        worth = np.exp(np.mean([np.log(a.unknowns.worth) for a in followed], axis=0))
        return min(attempts, key=lambda a: a.simulated_evidence(worth))
    return min(attempts, key=lambda a: a.evidence())


def _starts(model: HybridODE, options: FitOptions) -> list[tuple[str, float, bool, int]]:
    """(activation, prior of the weights, smoothed, number) of every start."""
    if not model.slots:
        return [("", WEIGHT_PRIOR, True, 0), ("", WEIGHT_PRIOR, False, 0)]
    open_ = any(s.name not in model.networks or model.networks[s.name].activation is None for s in model.slots)
    kinds = STARTS if open_ else ((ACTIVATIONS[0], WEIGHT_PRIOR),)
    return [(*kind, k % 2 == 0, k) for kind in kinds for k in range(options.restarts or 1)]


def _whole(best: Attempt, model, data, noise, options, progress) -> Attempt:
    """The whole record from the law that its windows gave."""
    setting = Setting(
        activation=best.setting.activation,
        weight_prior=best.setting.weight_prior,
        smoothed=True,
        seed=best.setting.seed,
        method=best.setting.method,
        loss=best.setting.loss,
    )
    problem, unknowns, rng = prepare(model, data, setting, options, noise)
    known, field = best.unknowns, best.problem.field
    problem.field.scales = field.scales
    unknowns.theta, unknowns.prior, unknowns.sigma = known.theta.copy(), known.prior.copy(), known.sigma.copy()
    unknowns.effective = known.effective
    given = given_mask(model, noise)
    return finish(problem, unknowns, rng, setting, options, given, list(best.stages), progress, FULL_ROUNDS)


def _check_device(device: str) -> None:
    """Raise FitError where the device is not there."""
    if device == "cpu":
        return
    import torch

    index = int(device.partition(":")[2] or 0)
    if index >= torch.cuda.device_count():
        raise FitError(
            f'device = "{device}" is not there: torch sees {torch.cuda.device_count()} CUDA devices. Write "cpu", or '
            "install a CUDA build of torch."
        )


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


def _result(best: Attempt, seed, given_noise, options, began: float) -> FitResult:
    problem, simulated = best.problem, _simulated_errors(best)
    defect = max(best.defect, float(np.nanmax(best.checked_jumps, initial=0.0)))  # NaN: too stiff for the check
    return _put_together(
        problem,
        best.unknowns,
        lambda parameters, open_: _warnings(best, simulated, defect, parameters, open_),
        errors=simulated,
        node_errors=best.node_errors,
        seed=seed,
        converged=best.feasible and defect < CHECKED_DEFECT and best.stages[-1].stopped == "converged",
        given_noise=given_noise,
        method=problem.method,
        evidence=best.score,
        largest_defect=defect,
        stages=best.stages,
        options=options,
        began=began,
    )


def _put_together(problem, unknowns, warnings: Callable, *, errors, node_errors, began: float, **known) -> FitResult:
    """What a fit answers, from where it ended.

    Args:
        warnings: called as warnings(parameters, open_) -> what the user should know.
        errors, node_errors: (m,) RMSE of one simulation, and of the nodes.
        began: when.
        known: the other fields of the result that the end alone does not tell.
    """
    model, data = problem.model, problem.data
    columns = [(c, model.measurable.index(c)) for c in data.columns]
    parameters = _parameters(problem, unknowns)
    open_ = identifiability_of(problem, unknowns, {name: value for name, (value, _) in parameters.items()})
    pieces = tuple(unknowns.nodes[a:b].copy() for a, b in zip(*problem.segments, strict=True))
    result = FitResult(
        model=model,
        data=data,
        parameters=parameters,
        initial={
            tr.name: {s: float(v) for s, v in zip(model.states, x[0], strict=True)}
            for tr, x in zip(data.trajectories, pieces, strict=True)
        },
        noise={c: float(unknowns.sigma[j]) for c, j in columns},
        error={c: float(errors[j]) for c, j in columns},
        node_error={c: float(node_errors[j]) for c, j in columns},
        states=pieces,
        terms=residual_terms(problem, unknowns),
        activation=", ".join(dict.fromkeys(layout.activation for layout in problem.field.layouts)),
        loss=unknowns.loss,
        outliers=int((outlying(problem, unknowns)).sum()) if unknowns.loss == "student" else 0,
        effective_weights=float(unknowns.effective or 0.0),
        warnings=warnings(parameters, open_),
        seconds=time.perf_counter() - began,
        problem=problem,
        unknowns=unknowns,
        **known,
    )
    vars(result)["identifiability"] = open_  # the warnings have it; it is not looked for twice
    return result


def _parameters(problem, unknowns) -> dict[str, tuple[float, float]]:
    field, n = problem.field, problem.field.n_weights
    covariance = theta_covariance(unknowns)
    variance = np.full(len(field.parameters), np.nan) if covariance is None else np.diag(covariance)[n:]
    values = unknowns.theta[n:] * field.parameter_scale
    errors = np.sqrt(np.maximum(variance, 0.0)) * field.parameter_scale
    return {name: (float(v), float(e)) for name, v, e in zip(field.parameters, values, errors, strict=True)}


def _simulated_errors(best: Attempt) -> np.ndarray:
    """(m,) RMSE of one plain simulation of every trajectory from its start.

    Where a simulation ends early its last state is held, so that the error is a number.
    """
    problem, unknowns = best.problem, best.unknowns
    if best.simulated is not None:
        return best.simulated_errors
    starts = unknowns.nodes[problem.first]
    if problem.method == "rk4":
        states = problem.walk(starts, unknowns.theta)
    else:
        states = problem.simulate_all(starts, unknowns.theta, unknowns.accuracy)
    lost = ~(np.abs(states) < LARGEST_STATE * (1.0 + np.abs(unknowns.nodes).max(0))).all(1)
    for a, b in zip(*problem.segments, strict=True):
        if lost[a:b].any():
            reached = max(a + int(np.argmax(lost[a:b])) - 1, a)
            states[reached + 1 : b] = states[reached]
    return rmse(problem, states, unknowns)


def _warnings(best: Attempt, simulated, defect: float, parameters: dict, open_: Identifiability) -> tuple[str, ...]:
    warnings = []
    problem, names = best.problem, best.problem.model.measurable
    if not (best.feasible and defect < CHECKED_DEFECT):
        warnings.append(
            f"the fit did not close its intervals (largest jump {defect:.2g} noise sd); treat it as a start."
        )
    if best.stages[-1].stopped != "converged":
        warnings.append(f"the fit stopped early: {best.stages[-1].stopped}.")
    for j, name in enumerate(names):
        near = SELF_CONSISTENT * best.node_errors[j] + 1e-9 * best.unknowns.spread[j]
        if problem.measured[j] and not simulated[j] < near:
            warnings.append(
                f"one long simulation misses {name} (RMSE {simulated[j]:.3g}, interval by interval "
                f"{best.node_errors[j]:.3g}): the system is chaotic or the hybrid is unstable."
            )
    if best.unknowns.loss == "student":
        far = int(outlying(problem, best.unknowns).sum())
        warnings.append(
            f"{far} of {int(problem.counts.sum())} measured values are outliers; the fit used a robust loss."
        )
    return (*warnings, *_said_of(parameters, open_, problem.model))


def _said_of(parameters: dict, open_: Identifiability, model: HybridODE) -> tuple[str, ...]:
    """What the hybrid leaves open."""
    warnings = [*open_.sentences]
    for name, (value, stderr) in parameters.items():
        told = name in open_.names or model.parameters[name].prior is not None
        if model.slots and stderr > BARE_STDERR * abs(value) and not told:
            warnings.append(
                f"{name} is barely determined by the hybrid (its standard error, {stderr:.2g}, exceeds it); the closed "
                "form may tell it better."
            )
    return tuple(warnings)
