"""What the law leaves of the data, in words: whether its residuals are noise, and whether the hybrid leaves less.

Noise is white, of one size and normal; a law that lacks something leaves more than that. The hybrid with its networks
is the yardstick: what it explains and the closed form does not is structure that a formula could have had; what
neither explains is in the measurements, or acts on the system and stands in no column.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from udesys.assess.whiteness import holm

LEVEL = 0.01  # of a false alarm, all tests of a kind together
SAID = 0.05  # a larger p-value of one test is not told where another one found structure
LEAST_P = "1e-9"  # smaller p-values are told as that: the tails are not known so far out


@dataclass(frozen=True, kw_only=True)
class ResidualCheck:
    """Tests of one column's residuals in one trajectory, or in all of them.

    A p-value is how likely noise alone leaves residuals that are as odd; NaN where a series is too short to tell.

    Attributes:
        column: measured.
        trajectory: its name; empty for all trajectories together.
        n: measurements.
        rmse: of the closed form [data units].
        hybrid_rmse: of the hybrid [data units].
        lags: of the Ljung-Box test.
        ljung_box: p-value of the closed form's residuals being white.
        hybrid_ljung_box: the same of the hybrid's.
        repeated: part of the closed form's residual variance that repeats itself from a sample to the next, in
            variances of the noise; the noise itself has none.
        hybrid_repeated: the same of the hybrid's.
        normality: p-value of Shapiro and Wilk's test, of D'Agostino and Pearson's for long series.
        heteroscedasticity: p-value of their size changing with what is measured, or along time (Spearman's rank
            correlation; both tests together).
        outliers: residuals beyond what the largest of normal noise is, by their studentised size.
    """

    column: str
    trajectory: str
    n: int
    rmse: float
    hybrid_rmse: float
    lags: int
    ljung_box: float
    hybrid_ljung_box: float
    repeated: float
    hybrid_repeated: float
    normality: float
    heteroscedasticity: float
    outliers: int


@dataclass(frozen=True, kw_only=True)
class Diagnostics:
    """The residuals of a law beside the hybrid's.

    Attributes:
        checks: one for each measured column and trajectory.
        pooled: one for each measured column, its trajectories together.
        lack_of_fit: p-value of the closed form following the data as well as the hybrid, by their residual sums of
            squares and degrees of freedom.
        degrees: effective numbers that the closed form and the hybrid have spent.
        structure: columns in which the closed form leaves structure that the hybrid does not.
        warnings: that in words; empty where there is none.
        remarks: what else is odd about the residuals, in words.
        t: (samples,) times, trajectory after trajectory.
        lengths: samples of each trajectory.
        closed, hybrid: (samples, columns) residuals, measured less simulated, in standard deviations of the noise; NaN
            where nothing is measured, or an outlier was left out.

    Its text is one line where all is well.
    """

    checks: tuple[ResidualCheck, ...]
    pooled: tuple[ResidualCheck, ...]
    lack_of_fit: float
    degrees: tuple[float, float]
    structure: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    t: np.ndarray = field(repr=False)
    lengths: tuple[int, ...]
    closed: np.ndarray = field(repr=False)
    hybrid: np.ndarray = field(repr=False)

    def __str__(self) -> str:
        parts = []
        if self.structure:
            parts.append(f"those of {', '.join(self.structure)} have structure that the hybrid explains")
        parts += self.remarks
        if not parts:
            n = sum(check.n for check in self.pooled)
            told = ", and no larger than the hybrid's" if np.isfinite(self.lack_of_fit) else ""
            parts = [f"{n} in all, white, normal, of one size, without outliers{told}"]
        return "; ".join(parts) + "."

    def to_dict(self) -> dict:
        """Plain values for JSON, without the residuals themselves."""
        return {
            "lack_of_fit": self.lack_of_fit,
            "degrees": list(self.degrees),
            "structure": list(self.structure),
            "remarks": list(self.remarks),
            "columns": [_without(c, "trajectory") for c in self.pooled],
            "trajectories": [vars(c) for c in self.checks],
        }


def _without(check: ResidualCheck, name: str) -> dict:
    return {key: value for key, value in vars(check).items() if key != name}


# ------------------------------------------------------------------ words
def structure_words(told: Sequence[tuple[ResidualCheck, str]], lack_of_fit: float) -> tuple[str, ...]:
    """The warning of structure that the closed form leaves and the hybrid does not; none where there is none.

    Args:
        told: of every column with structure, its check and where most of it lies, in words.
        lack_of_fit: p-value of the sums of squares, told where no column alone is sure.
    """
    if not told:
        return ()
    columns = "; ".join(_told(check, where) for check, where in told)
    left = any(check.hybrid_ljung_box < LEVEL and check.hybrid_repeated > 0 for check, _ in told)
    which = "of which the hybrid leaves less" if left else "that the hybrid does not"
    alone = any(check.ljung_box < SAID for check, _ in told)
    columns += "" if alone else f"; sums of squares, F test {p_text(lack_of_fit)}"
    return (f"the closed form leaves structure {which}: {columns}. A term is missing, or its form was not in reach.",)


def _told(check: ResidualCheck, where: str) -> str:
    """One column's structure: how sure, how much, and where."""
    sure = f"Ljung-Box {p_text(check.ljung_box)}" if check.ljung_box < SAID else ""
    ratio = check.rmse / max(check.hybrid_rmse, 1e-300)
    if ratio < 1.1:
        much = f"RMSE {100 * (ratio - 1):.2g} % above the hybrid's"
    else:
        much = f"RMSE {ratio:.0f} times the hybrid's" if ratio >= 10 else f"RMSE {ratio:.2g} times the hybrid's"
    return f"{check.column} ({', '.join(filter(None, (sure, much, where)))})"


def p_text(p: float) -> str:
    """A p-value to one digit."""
    return f"p = {p:.1g}" if p >= float(LEAST_P) else f"p < {LEAST_P}"


def odd_words(checks: Sequence[ResidualCheck], *, networks: bool = True) -> tuple[str, ...]:
    """What is odd about residuals, beside structure that the hybrid explains.

    Args:
        checks: of the columns without such structure.
        networks: the hybrid has any; else it is the law itself.
    """
    either = ", which the hybrid does not explain either" if networks else ""
    kinds = {
        f"repeat themselves from sample to sample{either}": [c.ljung_box if c.repeated > 0 else 1.0 for c in checks],
        "are not normal": [c.normality for c in checks],
        "change their size along time or with what is measured": [c.heteroscedasticity for c in checks],
    }
    found = []
    for words, values in kinds.items():
        corrected = holm(np.array(values))
        odd = [(c.column, p) for c, p, q in zip(checks, values, corrected, strict=True) if q < LEVEL]
        if odd:
            found.append(f"those of {', '.join(f'{name} ({p_text(p)})' for name, p in odd)} {words}")
    outliers = [f"{c.outliers} of {c.column}" for c in checks if c.outliers]
    are = "is an outlier" if sum(c.outliers for c in checks) == 1 else "are outliers"
    return (*found, *([f"{', '.join(outliers)} {are}"] if outliers else []))
