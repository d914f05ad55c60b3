"""The tests of residuals: those of the closed form beside those of the hybrid, on the footing of the law's refit.

Source: Seber & Wild, Nonlinear Regression (1989), ch. 6, for residuals of fits; Cleveland & Devlin, J. Am. Stat. Assoc.
83 (1988) 596, for two fits whose degrees of freedom are effective ones; Shapiro & Wilk, Biometrika 52 (1965) 591, and
D'Agostino & Pearson, Biometrika 60 (1973) 613, for normality; Cook & Weisberg, Residuals and Influence in Regression
(1982), sec. 2.2, for outliers; `udesys.assess.whiteness` for the Ljung-Box test.
"""

from __future__ import annotations

import numpy as np
from scipy import stats

from udesys.assess.diagnostics import LEVEL, Diagnostics, ResidualCheck, odd_words, structure_words
from udesys.assess.whiteness import Fitted, Series, holm, pieces_of, white_residuals
from udesys.assess.whiteness_fields import FittedFields
from udesys.fit import FitResult
from udesys.fit.memory import whitened
from udesys.select import Refit, Selection

NOTHING = 1e-5  # of a column's mean magnitude: smaller residuals are the integrator's, not the measurements'
EXPLAINED = 0.5  # share of what repeats itself from sample to sample, below which the hybrid does not leave it
MOST_SHAPIRO = 5000  # samples for which Shapiro and Wilk's test is known (Royston, Appl. Stat. 44 (1995) 547)
LEAST_NORMAL = 8
TAKEN = 0.9  # share of an error that the fit takes up, from which what is left tells nothing of its size
STRETCH = 0.4  # of the record; structure of which half lies in less has a place that is told


def diagnose(fitted: FitResult, selection: Selection, final: Refit) -> Diagnostics:
    """Look at what a law and the hybrid leave of the measurements that the law was refitted to.

    Residuals are weighed as the refit weighs them: by the noise profile, and filtered by their memory where they have
    one.

    Args:
        fitted: the hybrid.
        selection: the laws, their data and weights.
        final: the law, refitted.
    """
    return _Residuals(fitted, selection, final).diagnostics()


class _Residuals:
    """The residuals of the closed form and of the hybrid on one footing: weighted, in the samples of the data."""

    def __init__(self, fitted: FitResult, selection: Selection, final: Refit):
        self.fitted, self.final = fitted, final
        self.model, data = fitted.model, selection.data
        self.columns = {c: self.model.measurable.index(c) for c in fitted.data.columns}
        self.segments = fitted.problem.segments
        self.names = [run.name for run in fitted.data.trajectories]
        self.t, self.simulated = data.t, final.outputs
        self.hybrid_simulated = fitted.problem.outputs(fitted.unknowns.nodes, fitted.unknowns.theta)
        self.mask = data.mask * np.isfinite(final.outputs) * _remembering(data)
        self.closed, self.hybrid = (self._weighted(data, x) for x in (final.outputs, self.hybrid_simulated))
        self.fit = self._fitted(selection)
        self.null = white_residuals(self.mask, self.fit)
        alone = self.model.grid is None  # of fields on a fine grid the first ones are fitted nearly cell by cell
        self.telling = np.full(self.mask.shape, True) if alone else self.fit.leverage < TAKEN
        self.piece = pieces_of(self.t, self.segments)
        self.excluded = fitted.problem.mask - data.mask > 0
        starts = float(data.free.sum() * len(self.segments[0]))
        self.spent = float(self.fit.rank), fitted.effective_weights + len(self.model.estimated) + starts
        self.unit = self._unit()
        counts = np.maximum(self.mask.sum(0), 1.0)
        error, size = ((self.mask * x**2).sum(0) / counts for x in (data.y - final.outputs, data.y))
        self.exact = ~(error > NOTHING**2 * size)  # followed more closely than anything is measured

    def _weighted(self, data, outputs: np.ndarray) -> np.ndarray:
        error = np.where(data.mask * np.isfinite(outputs) > 0, data.y - outputs, 0.0) / data.noise
        return whitened(error, data.memory, data.segments) * (self.mask > 0)

    def _fitted(self, selection: Selection) -> Fitted | FittedFields:
        """What the linearised refit takes up of errors."""
        if self.model.grid is not None:
            point = (self.final.form, selection.data, selection.refitter.steps, self.final.x0)
            return FittedFields(*point, self.mask)
        return Fitted(*self._slopes(selection))

    def _slopes(self, selection: Selection):
        """Weighted sensitivities of the law (samples, m, values + d), their segments, and which starts are free."""
        data, form, steps = selection.data, self.final.form, selection.refitter.steps
        x0 = self.final.x0
        states, slopes = form.simulate(x0, data.t, data.segments, steps, pieces=data.pieces, sensitivities=True)
        n, d = len(data.t), form.d
        if slopes is None or not np.isfinite(slopes).all():
            slopes = np.zeros((n, d, len(form.names) + d))
            states = self.final.states
        slopes = form.output_sensitivities(data.t, states, slopes, data.u)
        rows = whitened(np.nan_to_num(slopes) * (data.mask / data.noise)[..., None], data.memory, data.segments)
        return rows * self.mask[..., None], data.segments, np.tile(data.free, (len(data.segments[0]), 1))

    # -------------------------------------------------------------- the tests
    def diagnostics(self) -> Diagnostics:
        whole = slice(0, len(self.t))
        spans = [slice(a, b) for a, b in zip(*self.segments, strict=True)]
        pooled = tuple(self._check(c, "", whole) for c in self.columns)
        checks = tuple(self._check(c, name, s) for c in self.columns for name, s in zip(self.names, spans, strict=True))
        lack = self._lack_of_fit(pooled)
        structure = self._structure(pooled, checks, lack)
        used = list(self.columns.values())
        scale = np.where(self.mask[:, used] > 0, 1.0, np.nan) / self.unit[used]
        return Diagnostics(
            checks=checks,
            pooled=pooled,
            lack_of_fit=lack,
            degrees=self.spent,
            structure=structure,
            warnings=structure_words([(c, self._where(c.column)) for c in pooled if c.column in structure], lack),
            remarks=(*self._odd([c for c in pooled if c.column not in structure]), *self._left_out()),
            t=self.t,
            lengths=tuple(int(b - a) for a, b in zip(*self.segments, strict=True)),
            closed=self.closed[:, used] * scale,
            hybrid=self.hybrid[:, used] * scale,
        )

    def _odd(self, checks: list[ResidualCheck]) -> tuple[str, ...]:
        return odd_words(checks, networks=bool(self.model.terms))

    def _unit(self) -> np.ndarray:
        """(m,) noise in the units of the weighted residuals: of the closed form or the hybrid, which follows better."""
        left = [1.0 - spent / max(self.mask.sum(), 1.0) for spent in self.spent]
        counts = np.maximum(self.mask.sum(0), 1.0)
        errors = zip((self.closed, self.hybrid), left, strict=True)
        sizes = [np.sqrt((e**2).sum(0) / counts / max(share, 1.0 / counts.max())) for e, share in errors]
        return np.maximum(np.minimum(*sizes), 1e-300)

    def _check(self, column: str, trajectory: str, rows: slice) -> ResidualCheck:
        j = self.columns[column]
        seen = self.mask[rows, j] > 0
        places = np.arange(rows.start, rows.stop)
        series = Series(places, seen, self.piece[rows])
        null = None if self.null is None else self.null[:, :, j]
        closed, hybrid, n = self.closed[:, j], self.hybrid[:, j], int(seen.sum())
        told = seen & self.telling[rows, j]
        size = self._studentised(j)[places[told]]
        measured = self.fitted.problem.y[places[seen], j]
        errors = (measured - s[places[seen], j] for s in (self.simulated, self.hybrid_simulated))
        rmse, hybrid_rmse = (float(np.sqrt((e**2).mean())) if n else float("nan") for e in errors)
        exact = self.exact[j]
        return ResidualCheck(
            column=column,
            trajectory=trajectory,
            n=n,
            rmse=rmse,
            hybrid_rmse=hybrid_rmse,
            lags=series.lags,
            ljung_box=float("nan") if exact else series.p_value(closed, null),
            hybrid_ljung_box=series.p_value(hybrid, None),
            repeated=series.repeated(closed) / float(self.unit[j]) ** 2,
            hybrid_repeated=series.repeated(hybrid) / float(self.unit[j]) ** 2,
            normality=float("nan") if exact else _normality(size),
            heteroscedasticity=float("nan") if exact else _uneven(size, self.simulated[places[told], j], places[told]),
            outliers=0 if exact else self._outliers(size),
        )

    def _studentised(self, j: int) -> np.ndarray:
        """(samples,) closed-form residuals of a column, each by its own standard deviation, itself left out."""
        seen = self.mask[:, j] > 0
        kept = 1.0 - self.fit.leverage[:, j]
        degrees = max(float(kept[seen].sum()), 2.0)
        scale = np.sqrt((self.closed[seen, j] ** 2).sum() / degrees)
        inner = self.closed[:, j] / np.sqrt(np.maximum(kept, 1e-9)) / max(scale, 1e-300)
        return inner * np.sqrt((degrees - 1.0) / np.maximum(degrees - inner**2, 1e-9))

    def _outliers(self, size: np.ndarray) -> int:
        cells, degrees = max(self.mask.sum(), 1.0), max(self.mask.sum() - self.spent[0] - 1.0, 1.0)
        return int((np.abs(size) > stats.t.isf(0.5 * LEVEL / cells, degrees)).sum())

    def _left_out(self) -> tuple[str, ...]:
        """Columns whose outliers, left out of the refit, follow each other as gross errors do not."""
        odd = []
        for column, j in self.columns.items():
            out, pairs = self.excluded[:, j], 0
            for a, b in zip(*self.segments, strict=True):
                pairs += int((out[a + 1 : b] & out[a : b - 1]).sum())
            by_chance = out.sum() ** 2 / max(self.fitted.problem.mask[:, j].sum(), 1.0)
            if stats.poisson.sf(pairs - 1, by_chance) < LEVEL / len(self.columns):
                odd.append(column)
        return (f"the values of {', '.join(odd)} that were left out follow each other: a course, no outliers",) * bool(
            odd
        )

    def _lack_of_fit(self, pooled) -> float:
        """p-value of the gain of the hybrid on the closed form, every column by its own noise.

        NaN without a network, and where even the hybrid's residuals are correlated: their number then says nothing of
        their degrees of freedom.
        """
        correlated = holm(np.array([c.hybrid_ljung_box if c.hybrid_repeated > 0 else np.nan for c in pooled]))
        counts = self.mask.sum(0)
        used = [j for j in self.columns.values() if counts[j] and not self.exact[j]]
        total, (closed, hybrid) = counts[used].sum(), self.spent
        degrees, left = max(hybrid - closed, 2.0, float(len(self.model.terms))), total - hybrid
        if not self.model.terms or left < 1.0 or (correlated < LEVEL).any():
            return float("nan")
        squares = [(e[:, used] ** 2).sum(0) for e in (self.closed, self.hybrid)]
        noise = np.maximum(squares[1] / (counts[used] * left / total), 1e-300)
        gain = float(((squares[0] - squares[1]) / noise).sum()) / degrees
        return float(stats.f.sf(max(gain, 0.0), degrees, left))

    # -------------------------------------------------------------- structure
    def _structure(self, pooled, checks, lack: float) -> tuple[str, ...]:
        """Columns in which the closed form leaves structure and the hybrid does not."""
        together = holm(np.array([lack, *(c.ljung_box for c in pooled)]))
        apart = holm(np.array([c.ljung_box for c in checks])) if len(self.names) > 1 else np.full(len(checks), np.nan)
        level = LEVEL / (2 if len(self.names) > 1 else 1)
        found = [c for c, p in zip((*pooled, *checks), (*together[1:], *apart), strict=True) if p < level]
        columns = {c.column for c in found if c.repeated > 0 and c.hybrid_repeated < EXPLAINED * c.repeated}
        if together[0] < level:
            columns |= self._worse(pooled)
        return tuple(c for c in self.columns if c in columns)

    def _worse(self, pooled) -> set[str]:
        """Columns that the hybrid follows noticeably better; one at least, where all of them together tell."""
        total = self.mask.sum()
        shares = [max(total - spent, 1.0) / total for spent in self.spent]
        gains = {}
        for check in pooled:
            ratio = check.rmse / max(check.hybrid_rmse, 1e-300)
            gains[check.column] = check.n * (ratio**2 * shares[1] / shares[0] - 1.0)
        clear = stats.chi2.isf(LEVEL, max(self.spent[1] - self.spent[0], 1.0))
        return {name for name, gain in gains.items() if gain > clear} or {max(gains, key=gains.get)}

    def _where(self, column: str) -> str:
        """The shortest stretch that holds half of the structure, in words; nothing where it is long."""
        j, best = self.columns[column], None
        square = np.nan_to_num((self.simulated[:, j] - self.hybrid_simulated[:, j]) ** 2)
        summed = np.concatenate([[0.0], np.cumsum(square)])
        for a, b in zip(*self.segments, strict=True):
            ends = np.searchsorted(summed[a : b + 1], summed[a:b] + 0.5 * summed[-1]) + a
            for first in np.flatnonzero(ends <= b) + a:
                last = int(ends[first - a]) - 1
                if best is None or last - first < best[1] - best[0]:
                    best = int(first), last
        if best is None or best[1] - best[0] + 1 > STRETCH * len(self.t):
            return ""
        (first, last), time = best, self.fitted.data.time
        run = next(n for n, end in zip(self.names, self.segments[1], strict=True) if first < end)
        inside = f"in trajectory {run} " if len(self.names) > 1 else ""
        span = f"from {time} = {self.t[first]:.4g} to {self.t[last]:.4g}"
        return f"half of it {inside}{span if last > first else f'at {time} = {self.t[first]:.4g}'}"


def _remembering(data) -> np.ndarray:
    """(samples, m) 0 in the first rows of a segment, which are too few to be filtered by a memory; 1 elsewhere."""
    kept = np.ones_like(data.y)
    if data.memory is not None:
        for j in np.flatnonzero(data.memory.any(1)):
            order = int(np.flatnonzero(data.memory[j]).max()) + 1
            for a in data.segments[0]:
                kept[a : a + order, j] = 0.0
    return kept


def _normality(size: np.ndarray) -> float:
    if len(size) < LEAST_NORMAL or not np.ptp(size) > 0:
        return float("nan")
    return float((stats.shapiro if len(size) <= MOST_SHAPIRO else stats.normaltest)(size).pvalue)


def _uneven(size: np.ndarray, simulated: np.ndarray, places: np.ndarray) -> float:
    """p-value of |size| going with the size of what is simulated, or with the place in the record."""
    if len(size) < LEAST_NORMAL:
        return float("nan")
    against = [x for x in (np.abs(simulated), places) if np.ptp(x) > 0]
    p = min(float(stats.spearmanr(np.abs(size), x).pvalue) for x in against)
    return min(1.0, len(against) * p)
