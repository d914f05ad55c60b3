"""One start run to its end: nodes and weights from the data, the stages, the substeps and the method they need."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from udesys.data import Dataset
from udesys.fit.correlation import effective_counts
from udesys.fit.disturbance import disturbed_evidence
from udesys.fit.evidence import FEASIBLE_DEFECT, INFEASIBLE, largest_defect, minus_twice_log_evidence
from udesys.fit.options import FitOptions
from udesys.fit.problem import ShootingProblem
from udesys.fit.stages import condensing, gradient_matching, load_stage, matrix_free, multiple_shooting
from udesys.fit.start import OUTLIER_TRUST, starting_point
from udesys.fit.unknowns import StageReport, Unknowns
from udesys.model import HybridODE
from udesys.model.field import HybridField

MOST_SUBSTEPS = 64
MOST_CHECKED = 1024  # substeps of an interval that a method with error control refutes, as where the law jumps
SUBSTEP_MARGIN = 0.1  # of the tolerance: where some interval needs more substeps, those near it get them too
MOST_RESUMED = 5  # times that the joint stage goes on because substeps changed
RESUMABLE = {"multiple shooting": multiple_shooting, "condensing": condensing, matrix_free.NAME: matrix_free}
DENSE = 1500  # weights and parameters up to which theta has a dense normal matrix
STIFF = 40.0  # decay rate times interval that MOST_SUBSTEPS explicit steps cannot follow
RESUMED_ROUNDS = (100.0, 1e4)  # weights of the defects after the substeps changed
STIFFNESS_SAMPLES = 2000  # nodes at which it is looked for
SELF_CONSISTENT = 1.05  # simulated RMSE over node RMSE that a fit may have and still be one solution
FOLLOWED = 0.3  # of a column's spread: largest error of a simulation that still follows the record


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What one attempt starts from.

    Attributes:
        activation: of the networks that leave it open.
        smoothed: nodes start at the smoothed data, else at the raw ones.
        seed: of the weights.
        weight_prior: of the weights at the start.
        method: "rk4" or "radau".
        loss: "gaussian" or "student".
        trust: (nodes, m) of the measurements at the start; None trusts all.
        pinned: given initial states are held.
    """

    activation: str
    smoothed: bool
    seed: int
    weight_prior: float
    method: str
    loss: str = "gaussian"
    trust: np.ndarray | None = None
    pinned: bool = True


class Attempt:
    """An attempt at its end.

    Attributes:
        setting: where it started, with the method it needed.
        problem, unknowns, stages: where it ended and how.
    """

    def __init__(self, setting: Setting, problem: ShootingProblem, unknowns: Unknowns, stages: tuple):
        self.setting, self.problem, self.unknowns, self.stages = setting, problem, unknowns, stages

    @cached_property
    def defect(self) -> float:
        """Largest jump between an interval's end and the next node, in units of the noise."""
        return largest_defect(self.problem, self.unknowns)

    @cached_property
    def checked_jumps(self) -> np.ndarray:
        """(intervals, d) jumps to the next node in units of the noise, by a method with error control.

        NaN where that finds no solution, as on a stiff system.
        """
        problem, unknowns = self.problem, self.unknowns
        sigma = unknowns.sigma[: problem.d]
        end = problem.checked_flow(unknowns.nodes, unknowns.theta, sigma)
        return np.abs((end - unknowns.nodes[problem.start + 1]) / sigma)

    @property
    def feasible(self) -> bool:
        return self.defect < FEASIBLE_DEFECT

    @cached_property
    def node_errors(self) -> np.ndarray:
        """(m,) RMSE of the fitted nodes."""
        return rmse(self.problem, self.unknowns.nodes, self.unknowns)

    @cached_property
    def simulated(self) -> np.ndarray | None:
        """(nodes, d) of one simulation from the starts; None where there is none to be had."""
        if not np.isfinite(self.unknowns.nodes).all():
            return None
        starts = self.unknowns.nodes[self.problem.first]
        return self.problem.shoot(starts, self.unknowns.theta, self.unknowns.nodes)

    @cached_property
    def simulated_errors(self) -> np.ndarray:
        """(m,) RMSE of that simulation; infinite without one."""
        if self.simulated is None:
            return np.full(self.problem.m, np.inf)
        return rmse(self.problem, self.simulated, self.unknowns)

    @property
    def consistent(self) -> bool:
        """One simulation from the starts is as near to the data as the nodes are."""
        floor = 1e-9 * self.unknowns.spread
        near = self.simulated_errors < SELF_CONSISTENT * self.node_errors + floor
        return self.feasible and bool(near[self.problem.measured].all())

    @cached_property
    def followed(self) -> bool:
        """One simulation is near the data, if not as near as the nodes: the record is not chaotic."""
        near = self.simulated_errors < FOLLOWED * self.unknowns.spread
        return bool(near[self.problem.measured].all())

    @cached_property
    def wanders(self) -> bool:
        """The simulation follows the record, but its errors are not white."""
        p, u = self.problem, self.unknowns
        if not self.followed:
            return False
        error = p.y - p.outputs(self.simulated, u.theta)
        counts = effective_counts(error, p.mask * (u.trust > OUTLIER_TRUST), p.segments)
        return bool((counts < p.counts - 0.5)[p.measured].any()) and u.loss == "gaussian"

    @cached_property
    def disturbed_evidence(self) -> float:
        """-2 log marginal likelihood with disturbed equations, for comparing laws whose errors wander."""
        if not self.feasible:
            return INFEASIBLE
        return disturbed_evidence(self.problem, self.unknowns)

    @property
    def score(self) -> float:
        """By which attempts on the same data are compared; lower is better."""
        return self.disturbed_evidence if self.wanders else self.evidence()

    def evidence(self, worth: np.ndarray | None = None) -> float:
        """-2 log marginal likelihood; lower is better."""
        return minus_twice_log_evidence(self.problem, self.unknowns, worth)

    def simulated_evidence(self, worth: np.ndarray | None = None) -> float:
        """The same with the errors of one simulation in place of the nodes' (infinite without one)."""
        share = self.unknowns.worth if worth is None else worth
        counts, measured = self.problem.counts * share, self.problem.measured
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = self.simulated_errors / np.maximum(self.node_errors, 1e-12 * self.unknowns.spread)
            worse = (2.0 * counts * np.log(np.maximum(ratio, 1.0)))[measured].sum()
        return self.evidence(worth) + float(worse) if np.isfinite(worse) else np.inf


def rmse(problem: ShootingProblem, nodes: np.ndarray, unknowns: Unknowns) -> np.ndarray:
    """(m,) root mean square error of states and observables, outliers weighted down."""
    weight = problem.mask * (unknowns.trust if unknowns.loss == "student" else 1.0)
    squares = (weight * (problem.y - problem.outputs(nodes, unknowns.theta)) ** 2).sum(0)
    return np.sqrt(squares / np.maximum(problem.counts, 1))


def attempt(
    model: HybridODE,
    data: Dataset,
    setting: Setting,
    options: FitOptions,
    noise: Mapping[str, float] | None,
    progress: Callable | None,
) -> Attempt:
    """Run one start to its end; a system that turns out stiff is started again with the implicit method."""
    problem, unknowns, rng = prepare(model, data, setting, options, noise)
    if setting.method == "rk4" and options.solver == "auto" and is_stiff(problem, unknowns):
        setting = replace(setting, method="radau")
        problem, unknowns, rng = prepare(model, data, setting, options, noise)
    given = given_mask(model, noise)
    if options.stages or problem.field.n_theta > DENSE:
        return _run_stages(problem, unknowns, rng, setting, options, given, progress)
    stages: list[StageReport] = [gradient_matching.run(problem, unknowns, rng, progress)]
    if setting.method == "rk4" and options.solver == "auto" and is_stiff(problem, unknowns):
        return attempt(model, data, replace(setting, method="radau"), options, noise, progress)
    return finish(problem, unknowns, rng, setting, options, given, stages, progress)


def _run_stages(problem, unknowns, rng, setting, options, given, progress) -> Attempt:
    """The stages that the options name in turn, or the one for networks too large for a dense normal matrix."""
    reports: list[StageReport] = []
    for name in options.stages or ("matrix_free",):
        if problem.method == "rk4":
            refine_substeps(problem, unknowns, options.flow_tolerance)
        more = {} if name == "gradient_matching" else {"given_noise": given, "converged": options.gain_tolerance}
        reports.append(load_stage(name).run(problem, unknowns, rng, progress, **more))
    return Attempt(setting, problem, unknowns, tuple(reports))


def finish(problem, unknowns, rng, setting, options, given, stages, progress, rounds=multiple_shooting.RHO) -> Attempt:
    """The joint stages, until the substeps suffice."""
    if problem.method == "rk4":
        refine_substeps(problem, unknowns, options.flow_tolerance)
    for _ in range(1 + MOST_RESUMED):
        stages.append(
            multiple_shooting.run(
                problem,
                unknowns,
                rng,
                progress,
                given_noise=given,
                rounds=rounds,
                converged=options.gain_tolerance,
            )
        )
        rounds = RESUMED_ROUNDS
        if not refine_substeps(problem, unknowns, options.flow_tolerance):
            break
    result = Attempt(setting, problem, unknowns, tuple(stages))
    if problem.method != "rk4" or not result.followed or (result.consistent and not result.wanders):
        return result
    for _ in range(1 + MOST_RESUMED):
        result = resume(result, condensing, options, given, progress)
        if not refine_substeps(problem, unknowns, options.flow_tolerance):
            break
    return result


def resume(found: Attempt, stage, options, given, progress) -> Attempt:
    """An attempt gone on with by a stage, after its substeps changed."""
    problem, unknowns = found.problem, found.unknowns
    more = {"given_noise": given, "converged": options.gain_tolerance}
    if stage is not condensing:
        more["rounds"] = RESUMED_ROUNDS
    report = stage.run(problem, unknowns, np.random.default_rng(found.setting.seed), progress, **more)
    return Attempt(found.setting, problem, unknowns, (*found.stages, report))


def checked(found: Attempt, options, given, progress) -> Attempt:
    """An attempt whose every interval a method with error control confirms; more substeps where it does not.

    Where the law all but jumps, doubling the substeps shows by chance how far off they are, or not.
    """
    for _ in range(MOST_RESUMED):
        problem, stage = found.problem, RESUMABLE.get(found.stages[-1].name)
        if problem.method != "rk4" or not found.feasible or stage is None:
            break
        far = (found.checked_jumps.max(1) > options.flow_tolerance) & (problem.substeps < MOST_CHECKED)
        if not far.any():
            break
        problem.substeps[far] *= 4
        found = resume(found, stage, options, given, progress)
    return found


def prepare(model, data, setting: Setting, options: FitOptions, noise):
    """Problem, unknowns and random numbers of an attempt at its start."""
    field = HybridField(model, {slot.name: setting.activation for slot in model.slots})
    problem = ShootingProblem(model, data, field, method=setting.method, device=options.device, pinned=setting.pinned)
    rng = np.random.default_rng(setting.seed)
    unknowns = starting_point(
        problem, rng, smoothed=setting.smoothed, trust=setting.trust, weight_prior=setting.weight_prior
    )
    unknowns.loss = setting.loss
    if setting.loss == "gaussian":
        unknowns.trust = np.ones_like(problem.y)
    for column, sd in (noise or {}).items():
        unknowns.sigma[model.measurable.index(column)] = sd
    return problem, unknowns, rng


def given_mask(model: HybridODE, noise: Mapping[str, float] | None) -> np.ndarray:
    """(m,) states and observables whose noise is given."""
    return np.array([name in (noise or {}) for name in model.measurable])


def is_stiff(problem: ShootingProblem, unknowns: Unknowns) -> bool:
    """Whether some interval holds a decay so fast that explicit steps cannot follow it."""
    which = np.arange(problem.n_intervals)
    which = which[:: max(1, len(which) // STIFFNESS_SAMPLES)]
    _, by_state, _ = problem.linearise(unknowns.nodes, unknowns.theta, at=problem.start[which])
    fine = np.isfinite(by_state).all((1, 2))
    if not fine.any():
        return False
    values = np.linalg.eigvals(by_state[fine]) * problem.h[which[fine], None]
    return bool((-values.real).max() > STIFF)


def refine_substeps(problem: ShootingProblem, unknowns: Unknowns, tolerance: float) -> bool:
    """Double each interval's substeps until doubling no longer matters beside the noise; True where one changed.

    Two solutions with n and 2n steps tell the error of the very method in use, which an embedded formula of lower
    order only bounds.
    """
    before, sigma = problem.substeps.copy(), unknowns.sigma[: problem.d]
    open_ = np.flatnonzero(problem.substeps < MOST_SUBSTEPS)
    coarse = problem.flow(unknowns.nodes, unknowns.theta, which=open_)
    while len(open_):
        problem.substeps[open_] *= 2
        fine = problem.flow(unknowns.nodes, unknowns.theta, which=open_)
        with np.errstate(invalid="ignore"):
            error = np.abs((fine - coarse) / sigma).max(1)
            if problem.method != "rk4":  # the stage closed the nodes, but a step too long has other solutions, or none
                jump = np.abs((coarse - unknowns.nodes[problem.start[open_] + 1]) / sigma).max(1)
                error = np.where(jump < FEASIBLE_DEFECT, error, np.inf)
            far = error >= tolerance * (SUBSTEP_MARGIN if (error >= tolerance).any() else 1.0)
        problem.substeps[open_[~far]] //= 2
        far &= problem.substeps[open_] < MOST_SUBSTEPS
        if problem.method != "rk4":
            break
        open_, coarse = open_[far], fine[far]
    return bool((problem.substeps != before).any())
