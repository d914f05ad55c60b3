"""Trajectory and Dataset: measurements that have passed every check."""

import hashlib
import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from udesys.data.cells import first_repeated, number_text
from udesys.errors import DataError, did_you_mean, shortened

if TYPE_CHECKING:
    import pandas as pd

_SUMMARY = ("column", "measured", "missing", "min", "max")


@dataclass(frozen=True, kw_only=True, eq=False)
class Trajectory:
    """One run: samples of the measured quantities at increasing times.

    Args:
        name: what the run is called.
        t: (n,), finite and strictly increasing [the data's time unit]; kept as a read-only copy.
        y: (n, m), NaN where a value is missing [the data's units]; kept as a read-only copy.

    Raises:
        DataError: the shapes disagree, there is no sample, or a value is not allowed.
    """

    name: str
    t: np.ndarray
    y: np.ndarray

    def __post_init__(self):
        for field in ("t", "y"):
            try:
                values = np.array(getattr(self, field), dtype=np.float64)
            except (TypeError, ValueError) as error:
                raise DataError(f"{field} of trajectory {self.name!r} must hold numbers: {error}.") from error
            values.flags.writeable = False
            object.__setattr__(self, field, values)
        self._check_shapes()
        self._check_values()

    def _check_shapes(self) -> None:
        where = f"trajectory {self.name!r}"
        if self.t.ndim != 1 or not self.t.size:
            raise DataError(f"t must be (n,) with at least one sample, but is {self.t.shape} ({where}).")
        if self.y.ndim != 2 or len(self.y) != len(self.t):
            wanted = f"({len(self.t)}, m), one row for each time"
            raise DataError(f"y must be {wanted}, but is {self.y.shape} ({where}).")

    def _check_values(self) -> None:
        where = f"trajectory {self.name!r}"
        if not np.isfinite(self.t).all():
            i = int(np.argmin(np.isfinite(self.t)))
            raise DataError(f"t must be finite, but t[{i}] = {self.t[i]} ({where}).")
        k = first_not_increasing(self.t)
        if k is not None:
            follows = f"t[{k}] = {number_text(self.t[k])} follows t[{k - 1}] = {number_text(self.t[k - 1])}"
            advice = "Sort the samples, and keep one for each time."
            raise DataError(f"t must increase, but {follows} ({where}). {advice}")
        if np.isinf(self.y).any():
            i, j = np.argwhere(np.isinf(self.y))[0]
            advice = "Use NaN where a value is missing."
            raise DataError(f"y must not be infinite, but y[{i}, {j}] = {self.y[i, j]} ({where}). {advice}")


@dataclass(frozen=True, kw_only=True, eq=False)
class Dataset:
    """Measurements of the same quantities along one or more trajectories.

    Args:
        columns: names of the measured quantities, as the model writes them ("prey", "theta'").
        trajectories: the runs; every `y` has one column for each of `columns`.
        time: name of the time column.
        source: name of the file, or "frame".
        sha256: of the raw file; taken from the arrays where it is empty.

    Raises:
        DataError: a name is used twice, nothing is measured, or a trajectory has another width.
    """

    columns: tuple[str, ...]
    trajectories: tuple[Trajectory, ...]
    time: str
    source: str
    sha256: str = ""

    def __post_init__(self):
        object.__setattr__(self, "columns", tuple(self.columns))
        object.__setattr__(self, "trajectories", tuple(self.trajectories))
        _check_names(self.columns, "column", self.source)
        _check_names([run.name for run in self.trajectories], "trajectory", self.source)
        for run in self.trajectories:
            if run.y.shape[1] != len(self.columns):
                has = f"trajectory {run.name!r} has {run.y.shape[1]} columns of values"
                wanted = f"the dataset has {len(self.columns)}: {', '.join(self.columns)}"
                raise DataError(f"{has}, but {wanted} ({self.source}).", file=self.source)
        if not self.sha256:
            object.__setattr__(self, "sha256", _hash_arrays(self.trajectories))

    @property
    def n_samples(self) -> int:
        """The number of rows over all trajectories."""
        return sum(len(run.t) for run in self.trajectories)

    @property
    def n_measured(self) -> dict[str, int]:
        """Column -> its number of values that are not missing."""
        counts = np.sum([np.isfinite(run.y).sum(axis=0) for run in self.trajectories], axis=0)
        return dict(zip(self.columns, counts.tolist(), strict=True))

    @classmethod
    def from_frame(
        cls,
        df: "pd.DataFrame",
        *,
        time: str,
        trajectory: str | None = None,
        columns: Mapping[str, str] | Sequence[str] | None = None,
        source: str = "frame",
    ) -> "Dataset":
        """Read a pandas frame.

        Args:
            df: one row for each sample; the time or the trajectory may be a level of its index.
            time: the column of times.
            trajectory: the column that separates runs; their rows may be interleaved.
            columns: model name -> column, or names, or None for every other column of numbers.
            source: what messages and reports call the frame.

        Raises:
            DataError: as `read_table`; rows are named by their index label.
        """
        from udesys.data.assemble import assemble
        from udesys.data.frame import raw_frame

        table = raw_frame(df, source=source, levels=(time, trajectory))
        return assemble(table, time=time, trajectory=trajectory, columns=columns)

    def to_frame(self, trajectory_column: str = "trajectory") -> "pd.DataFrame":
        """Return a pandas frame: the trajectory's name, the time, then the columns.

        Raises:
            DataError: `trajectory_column` is the name of another column.
        """
        import pandas as pd

        if trajectory_column in (self.time, *self.columns):
            message = f"{trajectory_column!r} is already a column. Choose another `trajectory_column`."
            raise DataError(message, file=self.source, column=trajectory_column)
        names = [run.name for run in self.trajectories for _ in run.t]
        frame = pd.DataFrame(np.concatenate([run.y for run in self.trajectories]), columns=list(self.columns))
        frame.insert(0, self.time, np.concatenate([run.t for run in self.trajectories]))
        frame.insert(0, trajectory_column, names)
        return frame

    def select(self, names: str | Iterable[str]) -> "Dataset":
        """Return the dataset of the named trajectories alone, in the order given.

        Raises:
            DataError: a name is unknown or given twice, or none is given.
        """
        runs = {run.name: run for run in self.trajectories}
        wanted = [names] if isinstance(names, str) else [str(name) for name in names]
        for name in wanted:
            if name not in runs:
                hint = did_you_mean(name, runs, listed="Its trajectories are")
                raise DataError(f"{self.source} has no trajectory {name!r}. {hint}", file=self.source)
        return replace(self, trajectories=tuple(runs[name] for name in wanted))

    def __str__(self) -> str:
        rows = [_SUMMARY, *self._summary()]
        widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
        lines = [self._headline()]
        if len(self.trajectories) > 1:
            runs = [f"{run.name} ({len(run.t)})" for run in self.trajectories]
            lines.append(f"  trajectories (samples): {shortened(runs)}")
        for name, *cells in rows:
            padded = [cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True)]
            lines.append("  " + "   ".join([name.ljust(widths[0]), *padded]))
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        import pandas as pd

        table = pd.DataFrame(self._summary(), columns=list(_SUMMARY)).to_html(index=False, border=0)
        return f"<p><b>{html.escape(self._headline())}</b></p>\n{table}"

    def _headline(self) -> str:
        n = len(self.trajectories)
        first = min(run.t[0] for run in self.trajectories)
        last = max(run.t[-1] for run in self.trajectories)
        runs = f"{n} {'trajectory' if n == 1 else 'trajectories'}"
        samples = f"{self.n_samples} {'sample' if self.n_samples == 1 else 'samples'}"
        return f"Dataset  {self.source}   {runs}, {samples}   {self.time} {first:.6g} to {last:.6g}"

    def _summary(self) -> list[tuple[str, ...]]:
        """Return the cells of the printed table, one row for each column."""
        y = np.concatenate([run.y for run in self.trajectories])
        rows = []
        for name, values in zip(self.columns, y.T, strict=True):
            finite = values[np.isfinite(values)]
            ends = (f"{finite.min():.4g}", f"{finite.max():.4g}") if finite.size else ("n/a", "n/a")
            rows.append((name, str(finite.size), str(values.size - finite.size), *ends))
        return rows


def first_not_increasing(t: np.ndarray) -> int | None:
    """Return the first k with t[k] <= t[k - 1], or None where t increases."""
    stops = np.flatnonzero(~(t[1:] > t[:-1]))
    return int(stops[0]) + 1 if stops.size else None


def _check_names(names: Sequence[str], what: str, source: str) -> None:
    if not names:
        raise DataError(f"{source} needs at least one {what}.", file=source)
    for name in names:
        if not isinstance(name, str):
            raise DataError(f"a {what} is named by text, not by {name!r} ({source}).", file=source)
    repeated = first_repeated(names)
    if repeated is not None:
        raise DataError(f"{what} {repeated!r} is given twice ({source}). Keep one.", file=source)


def _hash_arrays(trajectories: Iterable[Trajectory]) -> str:
    digest = hashlib.sha256()
    for run in trajectories:
        digest.update(run.t.tobytes())
        digest.update(run.y.tobytes())
    return digest.hexdigest()
