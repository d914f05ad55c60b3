"""The tables of a report, as rows of cells that its template writes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from udesys.assess.diagnostics import LEAST_P, ResidualCheck
from udesys.assess.field_runs import runs_in
from udesys.assess.field_text import RunCheck, run_checks, visited_shown
from udesys.assess.profile_text import profile_cells
from udesys.assess.summary import (
    MISSING,
    RIVAL_DELTA,
    engines_of,
    error_text,
    estimate_cells,
    estimates_of,
    mark_of,
    noise_text,
    number_text,
    picked_of,
    rounded,
)

ERROR_TITLES = {
    "fit": "RMSE of the fit",
    "heldout": "RMSE held out",
    "heldout_hybrid": "of the hybrid with networks",
    "heldout_persistence": "of persistence",
}
TESTS = ("ljung_box", "hybrid_ljung_box", "normality", "heteroscedasticity")  # of a check
MOST_ERROR_COLUMNS = 4  # measured columns whose errors each candidate shows one by one


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table.

    Attributes:
        header: titles of the columns.
        rows: cells of every row, texts or `Forms`.
        marked: places of rows that stand out.
    """

    header: tuple[str, ...]
    rows: list[tuple]
    marked: tuple[int, ...] = ()


class Forms(dict):
    """A cell of formulas: term -> text; the template writes them in MathML, without the term where that is empty."""


def without_empty_columns(table: Table) -> Table:
    """The table without the columns that are empty in every row.

    Args:
        table: any.
    """
    kept = [k for k in range(len(table.header)) if any(row[k] for row in table.rows)]
    rows = [tuple(row[k] for k in kept) for row in table.rows]
    return Table(header=tuple(table.header[k] for k in kept), rows=rows, marked=table.marked)


# ------------------------------------------------------------------ constants
def constants_table(law) -> Table:
    """Parameters, then the constants of the formulas.

    Args:
        law: a Discovery.
    """
    rows, marked = [], []
    for k, (name, e) in enumerate(estimates_of(law).items()):
        value, half, interval, unit, start = estimate_cells(e)
        bounds = law.model.parameters[name].bounds if name in law.parameters else None
        mark = mark_of(e, bounds).lower()
        if mark:
            marked.append(k)
        stderr = "" if e.fixed else rounded(e.stderr, e.stderr, abs(e.value))
        half = "" if e.fixed else half
        repeated = _interval(law.support.intervals.get(name)) if law.support else ""
        known = (name, value, stderr, half, interval, repeated)
        rows.append((*known, unit, start, mark or ("given" if e.fixed else "estimated")))
    known = ("name", "value", "standard error", "± 95 %", "95 % interval", "95 % of repeats")
    header = (*known, "unit", "start", "status")
    return without_empty_columns(Table(header=header, rows=rows, marked=tuple(marked)))


def derived_table(law) -> Table:
    """Derived quantities with their intervals by the delta method.

    Args:
        law: a Discovery.
    """
    rows = [
        (name, *estimate_cells(q.estimate)[:3], q.expression, mark_of(q.estimate, None).lower())
        for name, q in law.quantities.items()
    ]
    header = ("derived quantity", "value", "± 95 %", "95 % interval", "expression", "status")
    return without_empty_columns(Table(header=header, rows=rows))


def profiles_table(law) -> Table:
    """The interval by the covariance beside that by the profile, and what is to be said of it.

    Args:
        law: a Discovery.
    """
    rows = [(p.name, *profile_cells(p), p.unit, " ".join(p.notes)) for p in law.profiles.values()]
    header = ("name", "value", "95 % by covariance", "95 % by profile", "unit", "note")
    marked = tuple(k for k, p in enumerate(law.profiles.values()) if p.open_low or p.open_high)
    return without_empty_columns(Table(header=header, rows=rows, marked=marked))


def _interval(ends: tuple[float, float] | None) -> str:
    if ends is None:
        return ""
    half, size = 0.5 * (ends[1] - ends[0]), max(map(abs, ends))
    return f"[{', '.join(rounded(end, half, size) for end in ends)}]"


def initial_table(law) -> Table:
    """Initial values of every trajectory, with the half widths of their 95 % intervals where they were estimated.

    Args:
        law: a Discovery.
    """
    if law.model.grid is not None:
        return _initial_profiles(law)
    start = {run.name: float(run.t[0]) for run in law.data.trajectories}
    states = law.model.states
    rows = [
        (run, f"{start[run]:.6g}", *(_start_text(estimates[s]) for s in states))
        for run, estimates in law.initial_estimates.items()
        if run in start
    ]
    return Table(header=("trajectory", law.data.time, *states), rows=rows)


def _initial_profiles(law) -> Table:
    """Of every run and field at the first time, where it is lowest and highest, and the median half width."""
    estimates, rows = list(law.initial_estimates.values()), []
    points = law.model.grid.points
    for run, at in runs_in(law.model, law.data).items():
        for field in law.model.states:
            own = [point[field] for point in estimates[at]]
            values = np.array([e.value for e in own])
            halves = np.array([0.5 * (e.interval[1] - e.interval[0]) for e in own])
            half = float(np.nanmedian(halves)) if np.isfinite(halves).any() else float("nan")
            ends = [f"{values[k]:.4g} at {points[k]:.4g}" for k in (values.argmin(), values.argmax())]
            first = f"{law.data.trajectories[at][0].t[0]:.6g}"
            rows.append((run, first, field, *ends, "" if np.isnan(half) else rounded(half, half)))
    header = ("run", law.data.time, "field", "lowest", "highest", "± 95 % (median)")
    return without_empty_columns(Table(header=header, rows=rows))


def _start_text(estimate) -> str:
    """An initial value with its half width, or why it has none."""
    value, half, *_ = estimate_cells(estimate)
    if estimate.fixed:
        return f"{value} (given)"
    why = mark_of(estimate, None).lower()
    return f"{value} ± {half}" if half != MISSING else f"{value} ({why})" if why else value


# ------------------------------------------------------------------ errors and regions
def errors_table(law) -> Table:
    """Noise and errors of every measured column; on what was held out, those of the hybrid and persistence beside.

    Args:
        law: a Discovery.
    """
    kinds, counts = [key for key in ERROR_TITLES if law.error.get(key)], law.data.n_measured
    rows = [
        (column, f"{counts[column]:,}", noise_text(law, column), *(error_text(law.error[k].get(column)) for k in kinds))
        for column in law.data.columns
    ]
    header = ("column", "measured", "noise (standard deviation)", *(ERROR_TITLES[key] for key in kinds))
    return without_empty_columns(Table(header=header, rows=rows))


def visited_table(law, units: Mapping[str, str]) -> Table:
    """The range of every state, input and covariate along the data.

    Args:
        law: a Discovery.
        units: name -> unit.
    """
    kinds = dict.fromkeys(law.model.inputs, "input") | dict.fromkeys(law.model.covariates, "covariate")
    kinds |= dict.fromkeys((part.name for part in law.model.spatial), "along the grid")
    rows = [
        (name, kinds.get(name, "state"), number_text(low), number_text(high), units.get(name, ""))
        for name, (low, high) in visited_shown(law).items()
    ]
    return without_empty_columns(Table(header=("name", "kind", "lowest", "highest", "unit"), rows=rows))


def residuals_table(law) -> Table:
    """Tests of what the law leaves of each column, of all trajectories together and of each.

    Args:
        law: a Discovery with diagnostics.
    """
    found = law.diagnostics
    several = len(found.lengths) > 1 if law.model.grid is None else len(runs_in(law.model, law.data)) > 1
    apart = found.checks if law.model.grid is None else run_checks(law)
    checks = [*found.pooled, *(apart if several else ())]
    header = (
        "column", "trajectory", "residuals", "RMSE", "hybrid's RMSE", "white (p)", "hybrid's (p)", "normal (p)",
        "of one size (p)", "outliers",
    )  # fmt: skip
    rows = [_check_cells(check, several) for check in checks]
    marked = tuple(k for k, check in enumerate(found.pooled) if check.column in found.structure)
    return without_empty_columns(Table(header=header, rows=rows, marked=marked))


def _check_cells(check: ResidualCheck | RunCheck, several: bool) -> tuple:
    tests = (getattr(check, name, math.nan) for name in TESTS)
    errors = tuple(number_text(error) if np.isfinite(error) else "" for error in (check.rmse, check.hybrid_rmse))
    trajectory = (check.trajectory or "all") if several else ""
    return (check.column, trajectory, f"{check.n:,}", *errors, *map(_p_cell, tests), str(check.outliers))


def _p_cell(p: float) -> str:
    return "" if not np.isfinite(p) else f"{p:.2g}" if p >= float(LEAST_P) else f"< {LEAST_P}"


# ------------------------------------------------------------------ candidates
def candidates_table(law) -> Table:
    """All candidates, the pick first.

    Args:
        law: a Discovery.
    """
    picked = picked_of(law)
    titles, cells = _error_columns(law)
    ordered = [picked, *(c for c in law.candidates if c is not picked)]
    rows = []
    for c in ordered:
        known = np.isfinite(c.criterion)
        mark = "picked" if c is picked else "rival" if c.delta < RIVAL_DELTA and not c.diverged else ""
        criterion = (f"{c.criterion:.1f}", f"{c.delta:.1f}") if known else (MISSING, MISSING)
        size = (str(c.n_constants) if known else "", str(c.complexity or ""))
        rows.append((mark, Forms(c.residuals), *size, *criterion, *cells(c), engines_of(c)))
    header = ("", "missing terms", "constants", "nodes", "criterion", "delta", *titles, "engine")
    marked = tuple(k for k, row in enumerate(rows) if row[0] == "picked")
    return Table(header=header, rows=rows, marked=marked)


def _error_columns(law):
    """Titles, and candidate -> cells: RMSE by column, or one in units of the noise where there are many columns."""
    kinds = {"error": "RMSE"} | ({"heldout_error": "held out"} if law.error.get("heldout") else {})
    columns = law.data.columns
    each = len(columns) <= MOST_ERROR_COLUMNS
    titles = [f"{kind} {column}" for kind in kinds.values() for column in columns]
    titles = titles if each else [f"{kind} / noise" for kind in kinds.values()]

    def cells(candidate) -> list[str]:
        found: list[str] = []
        for field in kinds:
            errors = getattr(candidate, field)
            if candidate.diverged:
                found += ["diverged"] * (len(columns) if each else 1)
            elif each:
                found += [number_text(errors[c]) if c in errors else "" for c in columns]
            else:
                found.append(_in_noise(errors, law.noise))
        return found

    return titles, cells


def _in_noise(errors: Mapping[str, float], noise: Mapping[str, float]) -> str:
    ratios = [errors[c] / noise[c] for c in errors if noise.get(c)]
    return number_text(float(np.sqrt(np.mean(np.square(ratios))))) if ratios else ""
