"""Laws drawn about a closed form, as often as the measurements make them likely.

They are proposed by the covariance and weighed by how much more they miss the measurements than the law does. Where
the covariance is narrow, all weights are about one; where it is so wide that most proposals contradict the data, the
proposals are adapted to those that do not. Jeffreys' prior makes the draws those of the law, however its constants are
written, and keeps them from running off along a constant that the data bound on one side only.

Source: Geweke, Econometrica 57 (1989) 1317 (importance sampling with Student's t); Cappé, Guillin, Marin & Robert,
J. Comput. Graph. Stat. 13 (2004) 907 (adapted proposals); Jeffreys, Proc. R. Soc. A 186 (1946) 453.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from udesys.assess.footing import Footing
from udesys.assess.forecast import IMPLICIT
from udesys.model.closed_form import ClosedForm
from udesys.select.refit import Point

SEED = 0
STICKING = 40  # times as long as another step one takes that sticks at a jump, as measured
PROBED = 60  # draws by the covariance whose weights tell whether it is narrow
NARROW = 0.9  # share of the draws that the weighed ones are worth, from which the covariance is taken as it is
EXACT = 1e-6  # of a value: standard deviations below which errors of the solver tell laws apart, not the measurements
PROPOSED = 3  # proposals for each draw where it is not
LEAST_PROPOSED = 200  # in a round; a record for which that takes too many steps is drawn by the covariance alone
STEPS = 1_000_000  # of the solver for all proposals: a few seconds
ROUNDS = 6  # of proposals, at most
ENOUGH = 0.15  # share as above, from which proposals are not adapted any more
TEMPERED = 0.1  # the same while they are adapted
HEAVY = 5.0  # degrees of freedom of adapted proposals, whose tails must not be lighter than what they stand for
NEGLIGIBLE = 12.0  # nats below the likeliest proposal
HALVINGS = 30  # in search of the temper
ROUNDING = 1e-9  # of a bound


class Likelihood:
    """How likely the measurements make other values and starts of a closed form, the size of the noise unknown.

    The starts of other trajectories follow the values as the linearised law has it.

    Args:
        footing: the measurements.
        form: the closed form at its optimum.
        segment: of the measurements, that begins with the trajectory whose start is drawn.

    Attributes:
        degrees: of freedom of the residuals.
    """

    def __init__(self, footing: Footing, form: ClosedForm, segment: int):
        self.degrees, self._footing, self._form, self._segment = footing.degrees, footing, form, segment
        self._refitter = footing.refitter(form.model)
        self._best = self._refitter.descend(form, form.values, footing.x0, iterations=0)
        self._system = self._best and self._refitter.linearise(form, self._best, footing.data.segments)
        if self._system is not None:
            self._follow = self._system.reduced()[2] @ np.swapaxes(self._system.coupling, 1, 2)

    def affordable(self, n: int) -> int:
        """How many of n laws can be weighed; none where the law itself cannot be linearised."""
        if self._system is None:
            return 0
        cost = int(self._footing.steps.sum()) * (IMPLICIT if self._form.stiff else 1)
        return min(n, STEPS // (cost * (STICKING if self._form.jumps else 1)))

    def weights(self, points: np.ndarray, density: np.ndarray, axes: np.ndarray, *, probe: bool = False) -> np.ndarray:
        """Logarithms (n,) of likelihood times Jeffreys' prior over the density of the proposal, but for a constant.

        Args:
            points: (n, unknowns + d) values, then the start.
            density: (n,) logarithms.
            axes: (unknowns + d, r) the directions that are free.
            probe: leave out the prior, which takes most of the time.
        """
        found = [self._at(point) for point in points]
        excess = np.array([np.inf if at is None else max(at.cost - self._best.cost, 0.0) for at in found])
        logs = -0.5 * (self.degrees + axes.shape[1]) * np.log1p(excess / self.degrees) - density
        if not probe:
            for k in np.flatnonzero(logs > logs.max(initial=-np.inf) - NEGLIGIBLE):
                logs[k] += self._prior(found[k], axes)
            logs[logs <= logs.max(initial=-np.inf) - NEGLIGIBLE] = -np.inf
        return logs

    def _at(self, point: np.ndarray) -> Point | None:
        values, start = np.split(point, [len(self._form.values)])
        x0 = self._footing.x0 - self._follow @ (values - self._form.values)
        x0[self._segment] = start
        return self._refitter.descend(self._form, values, x0, iterations=0)

    def _prior(self, at: Point, axes: np.ndarray) -> float:
        """Logarithm of Jeffreys' prior; minus infinity where the law cannot be linearised."""
        system = self._refitter.linearise(self._form, at, self._footing.data.segments)
        if system is None:
            return -np.inf
        sign, information = np.linalg.slogdet(axes.T @ self._information(system) @ axes)
        return 0.5 * information if sign > 0 else -np.inf

    def _information(self, system) -> np.ndarray:
        """(unknowns + d, unknowns + d) of the values and the drawn start, the other starts eliminated."""
        schur, _, blocks = system.reduced()
        mixed, block = system.coupling[self._segment], system.block[self._segment]
        return np.block([[schur + mixed @ blocks[self._segment] @ mixed.T, mixed], [mixed.T, block]])


def drawn_laws(
    form: ClosedForm, x0: np.ndarray, covariance: np.ndarray, n: int, likelihood: Likelihood | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Values (n, unknowns) and starts (n, d) of laws, equally likely, inside the bounds of their parameters.

    Args:
        form: the closed form at its optimum.
        x0: (1, d), its start.
        covariance: (unknowns + d, unknowns + d) of the values and the start; zero where one is held.
        n: how many.
        likelihood: of the measurements; None draws by the covariance alone, as the normal distribution has it.
    """
    rng, optimum, axes = np.random.default_rng(SEED), np.concatenate([form.values, x0[0]]), _axes(covariance)
    low, high = _bounds(form)
    proposal = _Proposal.unit(axes.shape[1], np.inf if likelihood is None else likelihood.degrees)
    weighed = likelihood is not None and _is_wide(likelihood, proposal, optimum, axes)
    proposed = likelihood.affordable(ROUNDS * PROPOSED * n) // ROUNDS if weighed else 0
    weighed = weighed and proposed >= LEAST_PROPOSED
    best, points, weights = 0.0, optimum + np.zeros((n, 1)), np.ones(n)
    for _ in range(ROUNDS if weighed else 1):
        moved, density = proposal.draw(rng, proposed if weighed else PROPOSED * n)
        tried = optimum + moved @ axes.T
        inside = ((tried >= low) & (tried <= high)).all(1)
        logs = np.where(inside, 0.0, -np.inf)
        if weighed:
            logs[inside] = likelihood.weights(tried[inside], density[inside], axes)
        share = _worth(logs)
        if share > best:
            best, points, weights = share, tried, np.exp(logs - logs.max())
        if share >= ENOUGH or share == 0:
            break
        proposal = _adapted(moved, logs)
    return np.split(_resampled(rng, points, weights, n), [len(form.values)], axis=1)


def _is_wide(likelihood: Likelihood, proposal: _Proposal, optimum: np.ndarray, axes: np.ndarray) -> bool:
    """Whether draws by the covariance miss the measurements otherwise than it says."""
    exact = (np.linalg.norm(axes, axis=1) <= EXACT * np.abs(optimum)).all()
    if exact or likelihood.affordable(PROBED) < PROBED:
        return False
    moved, density = proposal.draw(np.random.default_rng(SEED), PROBED)
    return _worth(likelihood.weights(optimum + moved @ axes.T, density, axes, probe=True)) < NARROW


@dataclass(frozen=True)
class _Proposal:
    """Student's t over the r free directions, in units of their standard deviations."""

    centre: np.ndarray
    spread: np.ndarray
    degrees: float

    @classmethod
    def unit(cls, rank: int, degrees: float) -> _Proposal:
        """Of mean zero, as the covariance has it."""
        return cls(np.zeros(rank), np.eye(rank), degrees)

    def draw(self, rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Points (n, r), and the logarithms of their densities but for a constant."""
        z = rng.standard_normal((n, len(self.centre)))
        if np.isinf(self.degrees):
            return self.centre + z @ self.spread.T, -0.5 * (z**2).sum(1)
        z /= np.sqrt(rng.chisquare(self.degrees, (n, 1)) / self.degrees)
        log_density = -0.5 * (self.degrees + z.shape[1]) * np.log1p((z**2).sum(1) / self.degrees)
        return self.centre + z @ self.spread.T, log_density


def _adapted(moved: np.ndarray, logs: np.ndarray) -> _Proposal:
    """About the points by their weights, these tempered where few points have all of the weight."""
    low, high = 0.0, 1.0
    if _worth(logs) < TEMPERED:
        for _ in range(HALVINGS):
            middle = 0.5 * (low + high)
            low, high = (middle, high) if _worth(middle * logs) >= TEMPERED else (low, middle)
    weights = np.exp(high * (logs - logs.max()))
    weights /= weights.sum()
    centre = weights @ moved
    away = moved - centre
    size = away.T @ (away * weights[:, None])
    return _Proposal(centre, np.linalg.cholesky(size + ROUNDING * np.eye(len(size))), HEAVY)


def _worth(logs: np.ndarray) -> float:
    """Share of the points that weights amount to (Kish): one where all are equal, zero where there are none."""
    if not np.isfinite(logs).any():
        return 0.0
    weights = np.exp(logs - logs.max())
    return float(weights.sum() ** 2 / (weights**2).sum() / len(weights))


def _resampled(rng: np.random.Generator, points: np.ndarray, weights: np.ndarray, n: int) -> np.ndarray:
    """n of the points, as often as their weights say; nearly equal weights take none twice."""
    places = np.cumsum(weights) / weights.sum()
    return points[np.minimum(np.searchsorted(places, (rng.random() + np.arange(n)) / n), len(points) - 1)]


def _axes(covariance: np.ndarray) -> np.ndarray:
    """(unknowns + d, r) standard deviations along the free directions."""
    sd = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    free = np.flatnonzero(sd > 0)
    scale = sd[free]
    size, axes = np.linalg.eigh(covariance[np.ix_(free, free)] / np.outer(scale, scale))
    kept = size > 0
    spread = np.zeros((len(covariance), int(kept.sum())))
    spread[free] = scale[:, None] * axes[:, kept] * np.sqrt(size[kept])
    return spread


def _bounds(form: ClosedForm) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest (unknowns + d,) of values and start, a little wider by rounding."""
    pairs = [form.model.parameters[name].bounds if isinstance(name, str) else (-np.inf, np.inf) for name in form.names]
    pairs += [(0.0 if state in form.model.positive else -np.inf, np.inf) for state in form.model.states]
    low, high = np.array(pairs, dtype=float).T
    slack = [np.where(np.isfinite(end), ROUNDING * np.abs(end), 0.0) for end in (low, high)]
    return low - slack[0], high + slack[1]
