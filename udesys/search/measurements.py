"""The measurements on which laws are compared, and the points between them at which right sides are integrated."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from udesys.fit import FitResult
from udesys.integrate import radau
from udesys.integrate.driving import evaluate, sample_values

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
        pieces, u = problem.pieces, None
        if pieces is not None:
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
    def inner_shares(self) -> np.ndarray:
        """`shares` but for one at the interval's end."""
        return self.shares[self.shares < 1.0]

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
