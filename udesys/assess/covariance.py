"""Standard errors and intervals of the constants of a closed form, from the Gauss-Newton normal matrix.

Source: Seber & Wild, Nonlinear Regression (1989), sec. 2.8 and 5.1.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np

from udesys.assess.estimate import Estimate
from udesys.assess.footing import Footing, at_optimum
from udesys.select.field_refit import FieldSystem
from udesys.select.refit import Refit, Refitter, replace_data

NULL = 1e-12  # share of the largest eigenvalue of the scaled normal matrix below which a direction is null
PART_OF_NULL = 0.1  # a value's weight in a null direction above which it is called not identifiable
AT_BOUND = 1e-6  # relative distance to a bound


@dataclass(frozen=True, kw_only=True)
class Covariance:
    """Joint covariance of a closed form's values and of every trajectory's initial values.

    What is held, at a bound or by the model, has zeros.

    Attributes:
        values: (unknowns, unknowns), in the order of the closed form's `names`.
        mixed: (trajectories, unknowns, d) of the values with the initial values.
        starts: (trajectories, d, d) of the initial values.
        determined: (trajectories, d) whether the data determine each initial value, where it is not held; None for a
            run of an older version.
    """

    values: np.ndarray
    mixed: np.ndarray
    starts: np.ndarray
    determined: np.ndarray | None = None

    @property
    def correlation(self) -> np.ndarray:
        """(unknowns, unknowns) of the values; NaN where one is held."""
        with np.errstate(invalid="ignore", divide="ignore"):
            errors = np.sqrt(np.diag(self.values))
            return self.values / np.outer(errors, errors)

    def joint(self, trajectory: int) -> np.ndarray:
        """(unknowns + d, unknowns + d) of the values and one trajectory's initial values.

        Args:
            trajectory: its place.
        """
        mixed = self.mixed[trajectory]
        return np.block([[self.values, mixed], [mixed.T, self.starts[trajectory]]])

    def of(self, trajectories) -> Covariance:
        """The same for some of the trajectories (places, or a mask)."""
        determined = None if self.determined is None else self.determined[trajectories]
        return Covariance(
            values=self.values,
            mixed=self.mixed[trajectories],
            starts=self.starts[trajectories],
            determined=determined,
        )


@dataclass(frozen=True, kw_only=True)
class Uncertainty:
    """How well the values of a refitted closed form are known.

    Attributes:
        estimates: unknown (a parameter's name or a (term, constant) pair) -> Estimate.
        covariance: of the values and the initial values.
        noise: (m,) standard deviation of the noise of each state and observable, by the residuals [data units]; NaN
            where unmeasured.
        footing: the measurements with the weights that all of this stands on.
    """

    estimates: dict
    covariance: Covariance
    noise: np.ndarray
    footing: Footing


def uncertainty(
    refitter: Refitter,
    refit: Refit,
    worth: np.ndarray,
    units: Mapping | None = None,
    given_noise: Collection[str] = (),
) -> Uncertainty:
    """Covariance of all values with the starts marginalised, as 95 % intervals of Student's t.

    Noise that was given weighs the columns against each other as it weighed them in the refit; how large it is, the
    residuals of all these columns say together, as is usual in regression with weights. A noise believed too small
    would else promise too much.

    Args:
        refitter: holds the data and the bounds.
        refit: the closed form at its optimum.
        worth: (m,) independent measurements each column amounts to; correlated residuals widen the intervals.
        units: unknown -> its unit, of those whose parameter has none.
        given_noise: columns whose noise was given; the refitter's data hold it.
    """
    data, names = refitter.data, refit.form.names
    counts = data.mask.sum(0)
    unknowns = len(names) + int(data.free.sum()) * len(data.segments[0])
    degrees = max(float(worth.sum()) - unknowns, 1.0)
    given = np.where(np.isin(refit.form.model.measurable, list(given_noise)), data.sigma, np.nan)
    wide = _noise(refit.weighted, counts, unknowns, given) * np.sqrt(counts / np.maximum(worth, 1e-300))
    sigma = np.where(counts > 0, np.maximum(wide, 1e-300), 1.0)
    noise = np.where(counts > 0, _noise(refit.squares, counts, unknowns, given), np.nan)
    footing = Footing(
        data=replace(data, sigma=sigma),
        nodes=refitter.nodes,
        steps=refitter.steps,
        x0=refit.x0,
        degrees=degrees,
        measured_noise=noise,
    )
    covariance, identifiable, known = joint_covariance(replace_data(refitter, footing.data), refit)
    at_bound = _bounds_reached(refitter, refit)
    errors = np.sqrt(np.diag(covariance.values))
    quantile = footing.quantile
    estimates = {}
    for k, name in enumerate(names):
        value = float(refit.form.values[k])
        error = float(errors[k]) if identifiable[k] and known[k] else float("nan")
        parameter = refit.form.model.parameters.get(name) if isinstance(name, str) else None
        estimates[name] = Estimate(
            value=value,
            stderr=error,
            interval=(value - quantile * error, value + quantile * error),
            identifiable=bool(identifiable[k]),
            unit=(parameter.unit if parameter else "") or (units or {}).get(name, ""),
            start=parameter.start if parameter else None,
            at_bound=at_bound[k],
        )
    return Uncertainty(estimates=estimates, covariance=covariance, noise=noise, footing=footing)


def joint_covariance(refitter: Refitter, refit: Refit) -> tuple[Covariance, np.ndarray, np.ndarray]:
    """Of the values of a refitted closed form and of all its starts.

    Args:
        refitter: of the measurements whose weights make squared errors a likelihood, such as a footing's.
        refit: the closed form at its optimum.

    Returns:
        The covariance; which values are identifiable (unknowns,); and which are free and have a standard error
        (unknowns,): none where the closed form cannot be linearised.
    """
    data, names = refitter.data, refit.form.names
    system = refitter.linearise(refit.form, at_optimum(refit, data), data.segments)
    free = np.array([k for k, b in enumerate(_bounds_reached(refitter, refit)) if b is None], dtype=int)
    covariance, identifiable = _covariance(system, free, len(names), refit.x0.shape)
    known = np.isin(np.arange(len(names)), free) & (system is not None)
    return covariance, identifiable, known


def _covariance(system, free, n_values: int, starts: tuple[int, int]) -> tuple[Covariance, np.ndarray]:
    """Of the values that are free and all starts, and which values are identifiable; zeros without a system."""
    count, d = starts
    values, identifiable = np.zeros((n_values, n_values)), np.ones(n_values, bool)
    mixed, of_starts, determined = np.zeros((count, n_values, d)), np.zeros((count, d, d)), np.zeros((count, d), bool)
    if system is not None:
        (schur, _, blocks), whole = system.reduced(), np.diag(system.hessian)
        if len(free):
            values[np.ix_(free, free)], identifiable[free] = _inverse(schur[np.ix_(free, free)], whole[free])
        if isinstance(system, FieldSystem):
            mixed, of_starts, determined = system.of_starts(values)
            return Covariance(values=values, mixed=mixed, starts=of_starts, determined=determined), identifiable
        pull = system.coupling @ blocks
        mixed = -values @ pull
        of_starts = blocks - np.swapaxes(pull, 1, 2) @ mixed
        own = schur + pull @ np.swapaxes(system.coupling, 1, 2)  # all starts but a trajectory's own eliminated
        for k, coupling in enumerate(system.coupling[:, free]):
            joint = np.block([[own[k][np.ix_(free, free)], coupling], [coupling.T, system.block[k]]])
            told = _inverse(joint, np.concatenate([whole[free], np.diag(system.block[k])]))[1]
            identifiable[free] &= told[: len(free)]
            determined[k] = told[len(free) :]
    return Covariance(values=values, mixed=mixed, starts=of_starts, determined=determined), identifiable


def _noise(squares: np.ndarray, counts: np.ndarray, unknowns: int, given: np.ndarray) -> np.ndarray:
    """Noise of each column; the degrees of freedom spent are shared in proportion to the measurements.

    Columns whose noise is given (NaN elsewhere) have one factor to it in common: the pooled residual variance.
    """
    left = max(1.0 - unknowns / counts.sum(), 1.0 / counts.sum())
    variance = squares / np.maximum(counts * left, 1e-300)
    pooled = np.isfinite(given) & (counts > 0)
    if pooled.any():
        factor = (squares[pooled] / given[pooled] ** 2).sum() / (counts[pooled].sum() * left)
        variance[pooled] = factor * given[pooled] ** 2
    return np.sqrt(variance)


def _bounds_reached(refitter: Refitter, refit: Refit) -> list[float | None]:
    reached = []
    for name, value in zip(refit.form.names, refit.form.values, strict=True):
        low, high = refitter.bounds.get(name, (-np.inf, np.inf)) if isinstance(name, str) else (-np.inf, np.inf)
        width = high - low if np.isfinite(high - low) else max(abs(value), 1.0)
        near = [b for b in (low, high) if abs(value - b) <= AT_BOUND * width]
        reached.append(float(near[0]) if near else None)
    return reached


def _inverse(matrix: np.ndarray, whole: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Inverse of a normal matrix, and which unknowns take no part in a null direction.

    It is NaN where rounding left no such matrix, as of a chaotic law that one long simulation is fitted by. `whole` is
    its diagonal before other unknowns were eliminated, beside which what is left of an unknown may be rounding alone.
    """
    scale = np.sqrt(np.maximum(np.diag(matrix), 1e-300))
    with np.errstate(all="ignore"):
        scaled = matrix / np.outer(scale, scale)
    if not np.isfinite(scaled).all():
        return np.full_like(matrix, np.nan), np.ones(len(matrix), bool)
    gone = np.diag(matrix) <= NULL * (np.diag(matrix) if whole is None else whole)
    scaled[gone], scaled[:, gone] = 0.0, 0.0
    values, vectors = np.linalg.eigh(scaled)
    null = values < NULL * max(values.max(), 1e-300)
    inverse = (vectors[:, ~null] / values[~null]) @ vectors[:, ~null].T / np.outer(scale, scale)
    share = (vectors[:, null] ** 2).sum(1)
    return inverse, share < PART_OF_NULL
