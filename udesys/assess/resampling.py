"""Data sets that a law might have given as well as the measured one: with its noise drawn anew, or its residuals moved.

Parametric: the law simulated, plus normal noise of the law's own size. Blocks: the law simulated, plus its residuals,
stretches of neighbouring rows put in other places; all columns move together, so that what correlates them stays, and
so does what repeats itself from row to row within a stretch. Both leave the times, the inputs, the covariates and the
missing cells as they are; what was left out as an outlier stays out.

Source: Efron & Tibshirani, An Introduction to the Bootstrap (1993), sec. 6.5 and 9.4; Kuensch, Ann. Stat. 17 (1989)
1217 (moving blocks); Politis & White, Econometric Reviews 23 (2004) 53, corrected by Patton, Politis & White, ibid. 28
(2009) 372 (length of the blocks).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from udesys.assess.derived import footing_of
from udesys.data import Dataset
from udesys.errors import UdesysError, did_you_mean
from udesys.fit.correlation import effective_counts

PARAMETRIC, BLOCKS = "parametric", "blocks"
KINDS = (PARAMETRIC, BLOCKS)
QUIET = 5  # lags in a row without a correlation that noise would not show, after which there is none
LARGEST_SHARE = 3  # of these, the longest trajectory has at least as many blocks


@dataclass(frozen=True, kw_only=True)
class Resampling:
    """What data sets like those of a law are drawn from.

    Attributes:
        data: the measurements.
        simulated: (samples, columns) of the law, from its own starts; where laws were compared over windows (chaos),
            from the start of every window.
        noise: (samples, columns) standard deviation of its noise.
        seen: (samples, columns) whether there is a measurement that the law was fitted to.
        residuals: (samples, columns) in units of `noise`, centred, as large as the errors behind them, NaN where
            nothing is seen; None draws normal ones.
        block_length: rows of a block; 0 without residuals.
    """

    data: Dataset
    simulated: np.ndarray
    noise: np.ndarray
    seen: np.ndarray
    residuals: np.ndarray | None = None
    block_length: int = 0

    @property
    def kind(self) -> str:
        """One of `KINDS`."""
        return PARAMETRIC if self.residuals is None else BLOCKS

    def draw(self, rng: np.random.Generator) -> Dataset:
        """One data set.

        Args:
            rng: what is random in it.
        """
        errors = rng.standard_normal(self.seen.shape) if self.residuals is None else self._moved(rng)
        y = np.where(self.seen, self.simulated + self.noise * errors, np.nan)
        ends = np.cumsum([len(run.t) for run in self.data.trajectories])
        pieces = np.split(y, ends[:-1])
        runs = tuple(replace(run, y=piece) for run, piece in zip(self.data.trajectories, pieces, strict=True))
        return replace(self.data, trajectories=runs, sha256="")

    def _moved(self, rng: np.random.Generator) -> np.ndarray:
        """(samples, columns) residuals in other places; where a block has a gap and there is none, one drawn alone."""
        lengths = [len(run.t) for run in self.data.trajectories]
        starts, rows = block_starts(lengths, self.block_length), []
        for length in lengths:
            chosen = rng.choice(starts, -(-length // self.block_length))
            rows.append((chosen[:, None] + np.arange(self.block_length)).ravel()[:length])
        moved = self.residuals[np.concatenate(rows)]
        for j, known in enumerate(self.residuals.T):
            gaps = self.seen[:, j] & np.isnan(moved[:, j])
            if gaps.any():
                moved[gaps, j] = rng.choice(known[self.seen[:, j]], gaps.sum())
        return moved


def resampling_of(law, kind: str | None = None) -> Resampling:
    """What data sets like a law's are drawn from.

    Args:
        law: a Discovery.
        kind: one of `KINDS`; None takes blocks where the residuals of the law are not white, and normal noise else.

    Raises:
        UdesysError: there is no such kind, an older version found the law, or it cannot be simulated any more.
    """
    if kind is not None and kind not in KINDS:
        raise UdesysError(f"kind = {kind!r} is unknown. {did_you_mean(str(kind), KINDS)}")
    footing, model = footing_of(law), law.model
    data, form = footing.data, law.closed_form
    columns = [model.measurable.index(c) for c in law.data.columns]
    states, _ = form.simulate(footing.x0, data.t, data.segments, footing.steps, pieces=data.pieces)
    if states is None or len(states) != law.data.n_samples:
        raise UdesysError("the law cannot be simulated along its own data. Discover it anew.")
    outputs, seen = form.outputs(data.t, states, data.u), data.mask > 0
    error = np.where(seen, data.y - outputs, 0.0)
    if kind is None:
        wandering = (effective_counts(error, data.mask, data.segments) < data.mask.sum(0) - 0.5).any()
        left = law.diagnostics is not None and law.diagnostics.structure
        kind = BLOCKS if wandering or left else PARAMETRIC
    found = Resampling(
        data=law.data,
        simulated=outputs[:, columns],
        noise=np.stack([_noise(law, c, outputs[:, j]) for c, j in zip(law.data.columns, columns, strict=True)], 1),
        seen=seen[:, columns],
    )
    if kind == PARAMETRIC:
        return found
    unknowns = len(form.names) + int(data.free.sum()) * len(data.segments[0])
    return with_residuals(found, error[:, columns], unknowns)


def _noise(law, column: str, simulated: np.ndarray) -> np.ndarray:
    """(samples,) standard deviation of a column's noise."""
    if column in law.noise_profile:
        absolute, relative = law.noise_profile[column]
        return np.sqrt(absolute**2 + (relative * simulated) ** 2)
    return np.full(len(simulated), max(law.noise[column], 1e-300))


def with_residuals(found: Resampling, error: np.ndarray, unknowns: int) -> Resampling:
    """The resampling that moves residuals in blocks, of the length that their correlation asks for.

    A fit leaves residuals that are smaller than the errors behind them, by the root of the share of the degrees of
    freedom it has left; they are stretched by that.

    Args:
        found: the resampling with normal noise.
        error: (samples, columns) measured less simulated [data units]; anything where nothing is seen.
        unknowns: numbers that were estimated.
    """
    seen, lengths = found.seen, [len(run.t) for run in found.data.trajectories]
    total = seen.sum()
    residuals = np.where(seen, error / found.noise, np.nan) * math.sqrt(total / max(total - unknowns, 1))
    length = block_length(residuals, lengths)
    starts = block_starts(lengths, length)
    weight = np.zeros(len(seen))
    np.add.at(weight, starts[:, None] + np.arange(length), 1.0)  # rows near an end are in fewer blocks
    weight = weight[:, None] * seen
    centre = np.nansum(weight * np.nan_to_num(residuals), 0) / np.maximum(weight.sum(0), 1e-300)
    return replace(found, residuals=residuals - centre, block_length=length)


def block_starts(lengths: list[int], block: int) -> np.ndarray:
    """Rows at which a block can start and end within its trajectory.

    Args:
        lengths: rows of every trajectory; one has as many as the block at least.
        block: rows of it.
    """
    firsts = np.cumsum([0, *lengths[:-1]])
    return np.concatenate([np.arange(a, a + max(n - block + 1, 0)) for a, n in zip(firsts, lengths, strict=True)])


def block_length(residuals: np.ndarray, lengths: list[int]) -> int:
    """Rows of a block: what the column that repeats itself longest asks for, the cube root of the rows at least.

    Args:
        residuals: (samples, columns), NaN where nothing is measured.
        lengths: rows of every trajectory.

    Source: Politis & White (2004), with the flat-top window of their sec. 3.2.
    """
    rows = max(lengths)
    asked = [round(rows ** (1 / 3)), *(_asked(column, lengths) for column in residuals.T)]
    return max(1, min(max(asked), rows // LARGEST_SHARE))


def _asked(column: np.ndarray, lengths: list[int]) -> int:
    """Politis and White's length for one column; 1 where nothing repeats itself."""
    rho = _correlations(column, lengths)
    n = int(np.isfinite(column).sum())
    if n < 2 * QUIET or len(rho) <= QUIET:
        return 1
    noticeable = np.abs(rho[1:]) > 2.0 * math.sqrt(math.log10(n) / n)
    quiet = [not noticeable[k : k + QUIET].any() for k in range(len(noticeable) - QUIET + 1)]
    last = quiet.index(True) if any(quiet) else len(noticeable)
    if last == 0:
        return 1
    reach = min(2 * last, len(rho) - 1)
    lags = np.arange(1, reach + 1)
    window = np.clip(2.0 * (1.0 - lags / (2 * last)), 0.0, 1.0) * rho[1 : reach + 1]
    slope, power = 2.0 * float((window * lags).sum()), 1.0 + 2.0 * float(window.sum())
    if not power > 0:
        return 1
    return math.ceil((2.0 * slope**2 / (4.0 / 3.0 * power**2)) ** (1 / 3) * max(lengths) ** (1 / 3))


def _correlations(column: np.ndarray, lengths: list[int]) -> np.ndarray:
    """Correlations at lags 0, 1, ... to a third of the longest trajectory, over pairs of measured rows."""
    x = column - np.nanmean(column) if np.isfinite(column).any() else column
    pieces = np.split(x, np.cumsum(lengths)[:-1])
    found = []
    for lag in range(max(lengths) // LARGEST_SHARE + 1):
        products = np.concatenate([p[lag:] * p[: len(p) - lag] for p in pieces if len(p) > lag])
        found.append(np.nansum(products))
    return np.array(found) / max(found[0], 1e-300)
