"""Trajectory and Dataset: measurements that have passed every check."""

import hashlib
import html
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from udesys.data.cells import first_repeated, number_text
from udesys.data.fields import check_fields, runs_of
from udesys.data.signals import check_interpolation
from udesys.errors import DataError, did_you_mean, shortened

if TYPE_CHECKING:
    import pandas as pd

SOLE_TRAJECTORY = "0"
"""The name of the only trajectory of a table without a trajectory column."""
_SUMMARY = ("column", "measured", "missing", "min", "max")


@dataclass(frozen=True, kw_only=True, eq=False)
class Trajectory:
    """One run: samples of the measured quantities at increasing times, and what drove the run.

    All arrays are kept as read-only copies.

    Args:
        name: what the run is called.
        t: (n,), finite and strictly increasing [the data's time unit].
        y: (n, m), NaN where a value is missing [the data's units].
        u: (n, k), the measured inputs at the samples, finite [the data's units]; None where there are none.
        covariates: (c,), numbers that hold for the whole run, finite [the data's units]; None where there are none.

    Raises:
        DataError: the shapes disagree, there is no sample, or a value is not allowed.
    """

    name: str
    t: np.ndarray
    y: np.ndarray
    u: np.ndarray | None = None
    covariates: np.ndarray | None = None

    def __post_init__(self):
        for name in ("t", "y", "u", "covariates"):
            given = getattr(self, name)
            if given is None and name in ("u", "covariates"):
                given = np.zeros((self.t.size, 0) if name == "u" else 0)
            try:
                values = np.array(given, dtype=np.float64)
            except (TypeError, ValueError) as error:
                raise DataError(f"{name} of trajectory {self.name!r} must hold numbers: {error}.") from error
            values.flags.writeable = False
            object.__setattr__(self, name, values)
        self._check_shapes()
        self._check_values()

    def rows(self, which: slice | np.ndarray, name: str | None = None) -> "Trajectory":
        """Return some of the samples as a run; the covariates stay.

        Args:
            which: slice, indices or Boolean mask of the samples, as NumPy takes them.
            name: what the part is called, if not as the whole.

        Raises:
            DataError: no sample is left, or their times do not increase in the order given.
        """
        t, y, u = (values[which] for values in (self.t, self.y, self.u))
        return replace(self, name=self.name if name is None else name, t=t, y=y, u=u)

    def _check_shapes(self) -> None:
        where = f"trajectory {self.name!r}"
        if self.t.ndim != 1 or not self.t.size:
            raise DataError(f"t must be (n,) with at least one sample, but is {self.t.shape} ({where}).")
        if self.y.ndim != 2 or len(self.y) != len(self.t):
            wanted = f"({len(self.t)}, m), one row for each time"
            raise DataError(f"y must be {wanted}, but is {self.y.shape} ({where}).")
        if self.u.ndim != 2 or len(self.u) != len(self.t):
            wanted = f"({len(self.t)}, k), one row for each time"
            raise DataError(f"u must be {wanted}, but is {self.u.shape} ({where}).")
        if self.covariates.ndim != 1:
            raise DataError(f"covariates must be (c,), but is {self.covariates.shape} ({where}).")

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
        for name, values in (("u", self.u), ("covariates", self.covariates)):
            if not np.isfinite(values).all():
                place = np.argwhere(~np.isfinite(values))[0]
                value = f"{name}[{', '.join(map(str, place))}] = {values[tuple(place)]}"
                advice = "read_table and Dataset.from_frame fill gaps." if name == "u" else "Give a number."
                raise DataError(f"{name} must be finite, but {value} ({where}). {advice}")


@dataclass(frozen=True, kw_only=True, eq=False)
class Dataset:
    """Measurements of the same quantities along one or more trajectories.

    Args:
        columns: names of the measured quantities, as the model writes them ("prey", "theta'").
        trajectories: the runs; every `y` has one column for each of `columns`.
        time: name of the time column.
        source: name of the file, or "frame".
        sha256: of the raw file; taken from the arrays where it is empty.
        inputs: name -> "linear", "hold" or "cubic", how each measured input runs between its samples; in the order
            of the columns of every `u`.
        covariates: names of the numbers that hold for a whole run, in the order of every `covariates`.
        position: where the columns are fields on a line, the covariate that is the position. Every run then has one
            trajectory for each point, by increasing position, all with the same times; else empty.

    Raises:
        DataError: a name is used twice, nothing is measured, an interpolation is unknown, a trajectory has another
            width, or those of a run are no fields.
    """

    columns: tuple[str, ...]
    trajectories: tuple[Trajectory, ...]
    time: str
    source: str
    sha256: str = ""
    inputs: Mapping[str, str] = field(default_factory=dict)
    covariates: tuple[str, ...] = ()
    position: str = ""

    def __post_init__(self):
        for name, kind in (("columns", tuple), ("trajectories", tuple), ("inputs", dict), ("covariates", tuple)):
            object.__setattr__(self, name, kind(getattr(self, name)))
        _check_names(self.columns, "column", self.source)
        _check_names((*self.columns, *self.inputs, *self.covariates), "column", self.source)
        _check_names([run.name for run in self.trajectories], "trajectory", self.source)
        for name, interpolation in self.inputs.items():
            check_interpolation(interpolation, name)
        for run in self.trajectories:
            self._check_width(run, run.y.shape[1], self.columns, "columns of values")
            self._check_width(run, run.u.shape[1], self.inputs, "inputs")
            self._check_width(run, len(run.covariates), self.covariates, "covariates")
        if self.position:
            check_fields(self)
        if not self.sha256:
            object.__setattr__(self, "sha256", _hash_arrays(self.trajectories))

    def _check_width(self, run: Trajectory, width: int, names: Collection[str], what: str) -> None:
        if width != len(names):
            wanted = f"the dataset has {len(names)}{': ' * bool(names)}{', '.join(names)}"
            message = f"trajectory {run.name!r} has {width} {what}, but {wanted} ({self.source})."
            raise DataError(message, file=self.source)

    @property
    def n_samples(self) -> int:
        """The number of rows over all trajectories."""
        return sum(len(run.t) for run in self.trajectories)

    @property
    def points(self) -> tuple[float, ...]:
        """Of fields, the positions, evenly spaced: `Grid(data.points, ends, data.position)`; else none."""
        if not self.position:
            return ()
        at = self.covariates.index(self.position)
        return tuple(float(point.covariates[at]) for point in next(iter(self.runs.values())))

    @property
    def runs(self) -> dict[str, tuple[Trajectory, ...]]:
        """Run -> its trajectory, or of fields its trajectories, one for each point."""
        if self.position:
            return runs_of(self, SOLE_TRAJECTORY)
        return {run.name: (run,) for run in self.trajectories}

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
        trajectory: str | Sequence[str] | None = None,
        columns: Mapping[str, str] | Sequence[str] | None = None,
        inputs: Mapping[str, str | Mapping[str, str]] | None = None,
        covariates: Mapping[str, str] | Sequence[str] | None = None,
        position: str | None = None,
        source: str = "frame",
    ) -> "Dataset":
        """Read a pandas frame.

        Args:
            df: one row for each sample; the time or the trajectory may be a level of its index.
            time: the column of times.
            trajectory: the column, or columns, that separate runs; their rows may be interleaved.
            columns: model name -> column, or names, or None for every other column of numbers.
            inputs: name -> column, or name -> {"column": ..., "interpolation": "linear", "hold" or "cubic"}, of the
                measured inputs.
            covariates: name -> column, or names, of the numbers that hold for a whole trajectory.
            position: of fields on a line, the column of positions, or what those in columns such as u@0.5 are called.
            source: what messages and reports call the frame.

        Raises:
            DataError: as `read_table`; rows are named by their index label.
        """
        from udesys.data.assemble import assemble
        from udesys.data.frame import raw_frame
        from udesys.data.roles import trajectory_columns

        table = raw_frame(df, source=source, levels=(time, position, *trajectory_columns(trajectory)))
        roles = {"time": time, "trajectory": trajectory, "columns": columns}
        return assemble(table, **roles, inputs=inputs, covariates=covariates, position=position)

    @classmethod
    def from_fields(
        cls,
        t: Sequence,
        x: Sequence[float],
        fields: Mapping | Sequence[Mapping],
        *,
        position: str = "x",
        time: str = "t",
        inputs: Mapping | Sequence[Mapping] | None = None,
        covariates: Mapping | Sequence[Mapping] | None = None,
        interpolation: str | Mapping[str, str] = "linear",
        source: str = "arrays",
    ) -> "Dataset":
        """Return fields on a line, given as arrays.

        Of one run `fields` is {"u": array, ...}; of several it is a list of these, or {"A": {"u": array}, ...}. Then
        `t`, `inputs` and `covariates` are lists or mappings of the same kind too, or one for all runs.

        Args:
            t: (times,), strictly increasing [the data's time unit].
            x: (points,), evenly spaced and increasing; a few may be left out [the position's unit].
            fields: name -> (times, points), NaN where a value is missing [data units].
            position: name of `x`.
            time: name of `t`.
            inputs: name -> (times,), what drives a run at all its points [data units].
            covariates: name -> number that holds for a whole run [data units].
            interpolation: "linear", "hold" or "cubic", of every input; or input -> one.
            source: what messages and reports call the data.

        Raises:
            DataError: shapes disagree, runs have different fields, or the points are not even.
        """
        from udesys.data.fields import from_arrays

        named = {"position": position, "time": time, "source": source, "interpolation": interpolation}
        return from_arrays(t, x, fields, inputs=inputs, covariates=covariates, **named)

    def to_frame(self, trajectory_column: str = "trajectory") -> "pd.DataFrame":
        """Return a pandas frame: the run's name, the time, then the columns, the inputs and the covariates.

        Fields are in long form, with a row for each time and point.

        Args:
            trajectory_column: the column of names.

        Raises:
            DataError: `trajectory_column` is the name of another column.
        """
        import pandas as pd

        named = (*self.columns, *self.inputs, *self.covariates)
        if trajectory_column in (self.time, *named):
            message = f"{trajectory_column!r} is already a column. Choose another `trajectory_column`."
            raise DataError(message, file=self.source, column=trajectory_column)
        names = [name for name, parts in self.runs.items() for part in parts for _ in part.t]
        blocks = [(run.y, run.u, np.tile(run.covariates, (len(run.t), 1))) for run in self.trajectories]
        frame = pd.DataFrame(np.concatenate([np.hstack(block) for block in blocks]), columns=list(named))
        frame.insert(0, self.time, np.concatenate([run.t for run in self.trajectories]))
        frame.insert(0, trajectory_column, names)
        return frame

    def select(self, names: str | Iterable[str]) -> "Dataset":
        """Return the dataset of the named trajectories alone, or of fields the named runs, in the order given.

        Args:
            names: of trajectories; of runs where they are fields.

        Raises:
            DataError: a name is unknown or given twice, or none is given.
        """
        runs = self.runs
        wanted = [names] if isinstance(names, str) else [str(name) for name in names]
        for name in wanted:
            if name not in runs:
                hint = did_you_mean(name, runs, listed="Its trajectories are")
                raise DataError(f"{self.source} has no trajectory {name!r}. {hint}", file=self.source)
        return replace(self, trajectories=tuple(part for name in wanted for part in runs[name]))

    def __str__(self) -> str:
        rows = [_SUMMARY, *self._summary()]
        widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
        lines = [self._headline()]
        runs = self.runs
        if len(runs) > 1:
            shown = [f"{name} ({len(parts[0].t)})" for name, parts in runs.items()]
            lines.append(f"  {'runs (times)' if self.position else 'trajectories (samples)'}: {shortened(shown)}")
        for name, *cells in rows:
            padded = [cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True)]
            lines.append("  " + "   ".join([name.ljust(widths[0]), *padded]))
        return "\n".join([*lines, *(f"  {line}" for line in self._drivers())])

    def _repr_html_(self) -> str:
        import pandas as pd

        table = pd.DataFrame(self._summary(), columns=list(_SUMMARY)).to_html(index=False, border=0)
        drivers = "".join(f"\n<p>{html.escape(line)}</p>" for line in self._drivers())
        return f"<p><b>{html.escape(self._headline())}</b></p>\n{table}{drivers}"

    def _headline(self) -> str:
        n = len(self.runs)
        first = min(run.t[0] for run in self.trajectories)
        last = max(run.t[-1] for run in self.trajectories)
        runs = f"{n} {'trajectory' if n == 1 else 'trajectories'}"
        if self.position:
            points = self.points
            where = f"{len(points)} points of {self.position} from {points[0]:.6g} to {points[-1]:.6g}"
            runs = f"{n} {'run' if n == 1 else 'runs'} on {where}"
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

    def _drivers(self) -> list[str]:
        """Return a line on the inputs, one on the covariates and one on points without values, where there are any."""
        lines = []
        if self.inputs:
            u = np.concatenate([run.u for run in self.trajectories]).T
            shown = [f"{n} ({kind}, {_span(values)})" for (n, kind), values in zip(self.inputs.items(), u, strict=True)]
            lines.append(f"inputs: {', '.join(shown)}")
        values = np.array([run.covariates for run in self.trajectories]).T
        named = zip(self.covariates, values, strict=True)
        shown = [f"{name} ({_span(column)})" for name, column in named if name != self.position]
        lines += [f"covariates: {', '.join(shown)}"] if shown else []
        unseen = [run.name for run in self.trajectories if self.position and not np.isfinite(run.y).any()]
        return lines + ([f"without values: {shortened(unseen)}"] if unseen else [])


def _span(values: np.ndarray) -> str:
    """Return the range of finite values: "-1 to 1", or the value itself where it is the only one."""
    low, high = values.min(), values.max()
    return f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}"


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
        digest.update(run.u.tobytes())  # nothing where there is none: the hash of data without inputs stays
        digest.update(run.covariates.tobytes())
    return digest.hexdigest()
