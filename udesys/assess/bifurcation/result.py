"""What a bifurcation analysis answers: branches, points, cycles and thresholds, which print themselves."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from udesys.assess.bifurcation.ends import End
from udesys.assess.bifurcation.equilibria import Branch, Point
from udesys.assess.bifurcation.sweeps import Sweep, Threshold

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True)
class Bifurcation:
    """What a law does along one of its numbers.

    Attributes:
        of: "law", "hybrid", or "model" for equations that were given.
        source: of the data.
        time: name of the time.
        name: what is varied.
        kind: "parameter", "constant", "input" or "covariate".
        low, high: between which values.
        states: their names.
        branches: curves of equilibria.
        points: where the stability of an equilibrium changes, by value.
        sweeps: ends of simulations along the values, up and down from every start, and afresh ("fresh").
        thresholds: where what a start leads to jumps, by value.
        trained: (lowest, highest) value in the data; of a parameter its estimate, twice; NaNs without data.
        interval: 95 % interval of an estimated parameter; NaNs otherwise.
        visited: state -> (lowest, highest) in the data.
        held: what else was set, and the inputs and covariates as they were held.
        until: length of a simulation.
        seed: of the scattered starts.
        notes: what a reader should know.
    """

    of: str
    source: str
    time: str
    name: str
    kind: str
    low: float
    high: float
    states: tuple[str, ...]
    branches: tuple[Branch, ...]
    points: tuple[Point, ...]
    sweeps: tuple[Sweep, ...]
    thresholds: tuple[Threshold, ...]
    trained: tuple[float, float]
    interval: tuple[float, float]
    visited: dict[str, tuple[float, float]]
    held: dict[str, float]
    until: float
    seed: int
    notes: tuple[str, ...] = field(default=())

    def of_kind(self, kind: str) -> tuple[Point, ...]:
        """The points of one kind.

        Args:
            kind: "fold", "Hopf", "transcritical", "pitchfork" or "branch point".
        """
        return tuple(point for point in self.points if point.kind.lower() == kind.lower())

    @property
    def collapses(self) -> tuple[Threshold, ...]:
        """The thresholds on one side of which a state goes to zero or leaves."""
        return tuple(threshold for threshold in self.thresholds if threshold.collapse)

    def trained_at(self, value: float) -> bool:
        """Whether the data had this value of what is varied; without data every one counts."""
        low, high = self.trained
        if not np.isfinite(low):
            return True
        return low - 1e-9 * abs(low) <= value <= high + 1e-9 * abs(high)

    @property
    def table(self) -> pd.DataFrame:
        """Every equilibrium and every end of a simulation as a row of a pandas DataFrame.

        Columns: what ("equilibrium", or a sweep's direction), which (place of the branch, or of the sweep), the varied
        number, every state with `low` and `high` (equal at rest), kind, period, stable, unstable (eigenvalues to the
        right), inside.
        """
        import pandas as pd

        rows = [row for k, branch in enumerate(self.branches) for row in self._branch_rows(k, branch)]
        rows += [row for k, sweep in enumerate(self.sweeps) for row in self._sweep_rows(k, sweep)]
        names = [f"{state} {end}" for state in self.states for end in ("low", "high")]
        columns = ["what", "which", self.name, *names, "kind", "period", "stable", "unstable", "inside"]
        return pd.DataFrame(rows, columns=columns)

    def _branch_rows(self, k: int, branch: Branch) -> list[tuple]:
        rows = []
        for value, x, stable, unstable in zip(branch.value, branch.x, branch.stable, branch.unstable, strict=True):
            inside = self._inside(x, x) and self.trained_at(value)
            rows.append(
                ("equilibrium", k, value, *np.repeat(x, 2), "point", np.nan, bool(stable), int(unstable), inside)
            )
        return rows

    def _sweep_rows(self, k: int, sweep: Sweep) -> list[tuple]:
        rows = []
        for value, end in zip(sweep.value, sweep.ends, strict=True):
            inside = self._inside(end.low, end.high) and self.trained_at(value)
            both = np.column_stack([end.low, end.high]).ravel()
            rows.append((sweep.direction, k, value, *both, end.kind, end.period, None, None, inside))
        return rows

    def _inside(self, low: np.ndarray, high: np.ndarray) -> bool:
        ends = [self.visited[state] for state in self.states]
        margin = [0.01 * (b - a) for a, b in ends]
        fine = [
            a - m <= x and y <= b + m for (a, b), m, x, y in zip(ends, margin, low.tolist(), high.tolist(), strict=True)
        ]
        return all(fine)

    def to_dict(self) -> dict:
        """Plain values for JSON; what is not finite becomes null there."""
        return {
            "of": self.of,
            "source": self.source,
            "varied": self.name,
            "kind": self.kind,
            "from": self.low,
            "to": self.high,
            "trained": list(self.trained),
            "interval": list(self.interval),
            "visited": {name: list(ends) for name, ends in self.visited.items()},
            "held": self.held,
            "until": self.until,
            "seed": self.seed,
            "points": [_point(point) for point in self.points],
            "thresholds": [_threshold(threshold, self.states) for threshold in self.thresholds],
            "branches": [_branch(branch, self.states) for branch in self.branches],
            "sweeps": [_sweep(sweep, self.states) for sweep in self.sweeps],
            "notes": list(self.notes),
        }

    def __str__(self) -> str:
        from udesys.assess.bifurcation.text import lines

        return "\n".join(lines(self))

    def _repr_html_(self) -> str:
        import html

        return f"<pre>{html.escape(str(self))}</pre>"


def _point(point: Point) -> dict:
    return {
        "kind": point.kind,
        "value": point.value,
        "x": point.x,
        "eigenvalues": _complex(point.eigenvalues),
        "period": point.period,
        "branch": point.branch,
        "inside": point.inside,
    }


def _threshold(threshold: Threshold, states: tuple[str, ...]) -> dict:
    return {
        "value": threshold.value,
        "interval": list(threshold.interval),
        "start": threshold.start,
        "kind": threshold.kind,
        "below": _end(threshold.below, states),
        "above": _end(threshold.above, states),
        "inside": threshold.inside,
    }


def _branch(branch: Branch, states: tuple[str, ...]) -> dict:
    return {
        "value": branch.value.tolist(),
        "x": dict(zip(states, branch.x.T.tolist(), strict=True)),
        "eigenvalues": [_complex(row) for row in branch.eigenvalues],
        "stable": branch.stable.tolist(),
        "ends": list(branch.ends),
    }


def _sweep(sweep: Sweep, states: tuple[str, ...]) -> dict:
    return {
        "direction": sweep.direction,
        "start": sweep.start,
        "value": sweep.value.tolist(),
        "ends": [_end(end, states) for end in sweep.ends],
    }


def _end(end: End, states: tuple[str, ...]) -> dict:
    return {
        "kind": end.kind,
        "low": dict(zip(states, end.low.tolist(), strict=True)),
        "high": dict(zip(states, end.high.tolist(), strict=True)),
        "period": end.period,
        "turns": end.turns,
        "zero": list(end.zero),
        "gone": list(end.gone),
    }


def _complex(values: np.ndarray) -> list[list[float]]:
    """Real and imaginary parts."""
    return [[float(v.real), float(v.imag)] for v in values]
