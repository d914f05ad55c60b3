"""What a fit of the hybrid answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from udesys.data import Dataset
from udesys.errors import FitError, did_you_mean
from udesys.fit.elimination import symmetric_inverse
from udesys.fit.evaluations import SOLVERS, TOLERANCE, count_evaluations
from udesys.fit.identifiability.findings import Identifiability
from udesys.fit.identifiability.of_hybrid import identifiability_of
from udesys.fit.options import FitOptions
from udesys.fit.problem import ShootingProblem
from udesys.fit.unknowns import StageReport, Unknowns
from udesys.model import HybridODE
from udesys.model.runs_on_grid import counted

TERM_CHUNK = 4096  # points at which a term's band is evaluated at once


@dataclass(frozen=True, kw_only=True)
class ResidualTerm:
    """What a network learned, sampled where the fitted trajectories went.

    Attributes:
        name: the network, with its output where it has several.
        arguments: names of its arguments.
        points: (nodes, arguments) [data units].
        values: (nodes,) the missing term [data units per time unit].
        std: (nodes,) posterior standard deviation of the values.
    """

    name: str
    arguments: tuple[str, ...]
    points: np.ndarray
    values: np.ndarray
    std: np.ndarray


@dataclass(frozen=True, kw_only=True)
class FitResult:
    """A hybrid fitted to data: trajectories, parameters, noise and the residual terms with their uncertainty.

    Attributes:
        model: what was fitted.
        data: to what.
        seed: of the random weights.
        converged: the defects are closed and the fit stopped by itself.
        parameters: estimated parameter -> (value, standard error) [own unit].
        initial: trajectory -> state -> fitted initial value.
        noise: measured column -> standard deviation of the noise.
        given_noise: columns whose noise was given, not estimated.
        error: measured column -> RMSE of one plain simulation from the initial values.
        node_error: measured column -> RMSE of the fitted states; the same as `error` where one simulation follows
            the data.
        states: per trajectory (time, state), the fitted states at the sample times.
        terms: term name -> ResidualTerm.
        activation: the activation the evidence chose; empty without networks.
        loss: "gaussian", or "student" where an outlier test asked for a robust one.
        outliers: how many measurements it found.
        method: of the intervals, "rk4" or "radau" for a stiff system.
        evidence: -2 log marginal likelihood up to a constant; lower is better.
        effective_weights: how many weights the data determine.
        largest_defect: largest jump between intervals, in units of the noise.
        stages: what each stage did.
        warnings: what the user should know.
        seconds: wall time.
        options: what was not chosen from the data.
        steps: for each run of fields on a grid (times - 1,) steps of the implicit method; empty without a grid.
        problem: the data and the model as the fit arranged them.
        unknowns: nodes, weights and parameters at the end.
    """

    model: HybridODE
    data: Dataset
    seed: int
    converged: bool
    parameters: dict[str, tuple[float, float]]
    initial: dict[str, dict[str, float]]
    noise: dict[str, float]
    given_noise: tuple[str, ...]
    error: dict[str, float]
    node_error: dict[str, float]
    states: tuple[np.ndarray, ...]
    terms: dict[str, ResidualTerm]
    activation: str
    loss: str
    outliers: int
    method: str
    evidence: float
    effective_weights: float
    largest_defect: float
    stages: tuple[StageReport, ...]
    warnings: tuple[str, ...]
    seconds: float
    options: FitOptions = field(default_factory=FitOptions, repr=False)
    steps: tuple[np.ndarray, ...] = field(default=(), repr=False)
    problem: ShootingProblem = field(repr=False)
    unknowns: Unknowns = field(repr=False)

    @cached_property
    def evaluations(self) -> int | None:
        """Of the right side in one simulation of all runs from their initial values, counted when it is asked for.

        All runs are one batch, by dopri5, or by Radau for a stiff system, with error control to 1e-6 (see
        `udesys.fit.evaluations`). None where that gives up, and of fields, whose steps are another method's.
        """
        if self.model.grid is not None:
            return None
        return count_evaluations(self.problem, self.unknowns)

    @cached_property
    def identifiability(self) -> Identifiability:
        """What no such data tell of the hybrid's parameters and unmeasured states, and which combinations they do."""
        return identifiability_of(self.problem, self.unknowns, {name: v for name, (v, _) in self.parameters.items()})

    def simulate(self, t, trajectory: int = 0) -> np.ndarray:
        """States (time, state) of one adaptive simulation of the hybrid from a trajectory's fitted start.

        Args:
            t: (time,) increasing, from the trajectory's first time on [the data's time unit].
            trajectory: which trajectory's initial values to start from; of fields a point, which is simulated with all
                others of its run.
        """
        if self.model.grid is not None:
            from udesys.fit.simulating import simulate_point

            return simulate_point(self, np.asarray(t, float), trajectory)
        t0 = self.data.trajectories[trajectory].t[0]
        t = np.asarray(t, float)
        grid = t if t[0] == t0 else np.concatenate([[t0], t])
        start = self.unknowns.nodes[self.problem.first[trajectory]]
        states = self.problem.simulate(start, self.unknowns.theta, trajectory, grid, self.unknowns.accuracy)
        return states[len(grid) - len(t) :]

    def term(self, name: str, points) -> tuple[np.ndarray, np.ndarray]:
        """A missing term anywhere, with its posterior standard deviation.

        Args:
            name: as in `terms`.
            points: (n, arguments), or (n,) for one argument [data units].

        Returns:
            Values (n,) [data units per time unit], and standard deviations (n,).

        Raises:
            FitError: there is no such term, or the points have another number of arguments.
        """
        for k, slot in enumerate(self.model.slots):
            if name in slot.terms:
                points = np.asarray(points, float)
                points = points[:, None] if points.ndim == 1 else points
                if points.ndim != 2 or points.shape[1] != len(slot.arguments):
                    wanted = f"(n, {len(slot.arguments)}): {', '.join(slot.arguments)}"
                    raise FitError(f"points of {name} must be {wanted}, but are {points.shape}.")
                values, std = term_values(self.problem, self.unknowns, k, points, theta_covariance(self.unknowns))
                j = slot.terms.index(name)
                return values[:, j], std[:, j]
        raise FitError(f"there is no term {name!r}. {did_you_mean(name, self.model.terms)}")

    def simulate_data(self, data: Dataset, x0="first") -> list[np.ndarray]:
        """Simulate other data, with their own inputs and covariates, by the fitted hybrid.

        Args:
            data: gives the times, the inputs and the covariates; its columns may guide the solution.
            x0: (trajectories, d) states at the first samples [data units]; "first" takes the measured ones, with
                unmeasured velocities by the slope of the data.

        Returns:
            One (time, d) array for each trajectory; NaN where there is no finite solution.

        Raises:
            FitError: x0 has another shape.
        """
        from udesys.fit.simulating import simulate_data

        return simulate_data(self, data, x0)

    def to_dict(self) -> dict:
        """Plain values for JSON."""
        return {
            "seed": self.seed,
            "converged": self.converged,
            "parameters": {n: {"value": v, "stderr": s} for n, (v, s) in self.parameters.items()},
            "identifiability": self.identifiability.to_dict(),
            "initial": {run: dict(x0) for run, x0 in self.initial.items()},
            "noise": dict(self.noise),
            "error": {"fit": dict(self.error), "nodes": dict(self.node_error)},
            "activation": self.activation,
            "loss": self.loss,
            "outliers": self.outliers,
            "method": self.method,
            "evidence": self.evidence,
            "effective_weights": self.effective_weights,
            "largest_defect": self.largest_defect,
            "simulation": {
                "evaluations": self.evaluations,
                "solver": SOLVERS[self.method],
                "tolerance": TOLERANCE,
            },
            "stages": [{**vars(s), "notes": list(s.notes)} for s in self.stages],
            "warnings": list(self.warnings),
            "timing_s": self.seconds,
        }

    def __str__(self) -> str:
        end = "converged" if self.converged else "not converged"
        lines = [
            f"Fit  {self.data.source}   {counted(self.model, len(self.data.trajectories))}, "
            f"{len(self.problem.t)} samples, seed {self.seed}   {end} in {self.seconds:.1f} s"
        ]
        lines += ["  " + line for line in str(self.model).splitlines()[1:]]
        for name, (value, stderr) in self.parameters.items():
            lines.append(f"  {name:<12} {value:>12.5g} +/- {stderr:.2g}")
        lines.append("  Column          noise sd   RMSE simulated")
        for column, sd in self.noise.items():
            lines.append(f"  {column:<14} {sd:>9.4g}   {self.error[column]:>9.4g}")
        if self.evaluations is not None:
            by = f"{SOLVERS[self.method]}, tolerance {TOLERANCE:g}"
            lines.append(f"  One simulation: {self.evaluations} evaluations of the right side ({by})")
        for stage in self.stages:
            lines.append(
                f"  {stage.name}: {stage.iterations} iterations, cost {stage.before:.5g} -> {stage.after:.5g}, "
                f"{stage.stopped}"
            )
        if self.terms:
            lines.append(f"  Networks: {self.activation}, {self.effective_weights:.1f} weights determined by the data")
        lines += [f"  Warning: {w}" for w in self.warnings]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        import html

        return f"<pre>{html.escape(str(self))}</pre>"


def residual_terms(problem: ShootingProblem, unknowns: Unknowns) -> dict[str, ResidualTerm]:
    """Every missing term along the nodes, with the posterior standard deviation of its values."""
    if not problem.model.slots:
        return {}
    covariance = theta_covariance(unknowns)
    terms: dict[str, ResidualTerm] = {}
    arguments, _, _ = problem.linearise(unknowns.nodes, unknowns.theta)
    for k, (slot, points) in enumerate(zip(problem.model.slots, arguments, strict=True)):
        points = points[:, : len(slot.arguments)]
        values, std = term_values(problem, unknowns, k, points, covariance)
        for j, term in enumerate(slot.terms):
            terms[term] = ResidualTerm(
                name=term, arguments=slot.arguments, points=points, values=values[:, j], std=std[:, j]
            )
    return terms


def term_values(problem: ShootingProblem, unknowns: Unknowns, slot: int, points: np.ndarray, covariance):
    """Values (n, outputs) of a slot's network at points (n, arguments), and their posterior standard deviations.

    The latter are NaN where there is no covariance.
    """
    if covariance is None:
        import torch

        with torch.inference_mode():
            value = problem.field.term(slot, torch.as_tensor(points), torch.as_tensor(unknowns.theta)).numpy()
        return value, np.full_like(value, np.nan)
    values, std, weights = [], [], problem.field.weights_of[slot]
    block = covariance[weights, weights]
    for a in range(0, len(points), TERM_CHUNK):
        value, slopes = problem.term(slot, points[a : a + TERM_CHUNK], unknowns.theta)
        values.append(value)
        std.append(np.sqrt(np.maximum(((slopes @ block) * slopes).sum(2), 0.0)))
    return np.concatenate(values), np.concatenate(std)


def theta_covariance(unknowns: Unknowns) -> np.ndarray | None:
    """Posterior covariance (n_theta, n_theta): the inverse Schur complement (Laplace approximation).

    None where the stages left none, as for networks too large for a dense matrix.
    """
    if unknowns.schur is None:
        return None
    return symmetric_inverse(unknowns.schur)
