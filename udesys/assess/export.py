"""A law as text for other programs: SBML, a Python module, LaTeX and SymPy."""

from __future__ import annotations

import re
from collections.abc import Callable

from udesys.assess.discovery import Discovery
from udesys.assess.field_runs import point_of
from udesys.assess.forecast import driving_along
from udesys.data import Trajectory
from udesys.errors import DataError, UdesysError, did_you_mean
from udesys.model.export import latex_equations, named_equations
from udesys.model.python_fields import field_module
from udesys.model.python_module import python_module
from udesys.model.sbml import sbml_text

TEX_HEADER = "% \\usepackage{amsmath}\n"
TEXT_DIGITS = 6


def export_text(law: Discovery, format: str, trajectory: str | None = None) -> str:
    """The text of a law in a format of `FORMATS`.

    Args:
        law: what was discovered.
        format: its name.
        trajectory: whose initial values and inputs go along; None takes the first in SBML, which holds one alone, and
            all in Python. LaTeX and SymPy hold none.

    Raises:
        UdesysError: the format or the trajectory is unknown, or cannot hold this law.
    """
    if format not in FORMATS:
        raise UdesysError(f"there is no format {format!r}. {did_you_mean(format, FORMATS)}")
    if law.model.grid is not None:
        if format == "sbml":
            raise UdesysError(
                "SBML core knows no space, so that it cannot hold a law of fields. Export it --to python or latex."
            )
        if trajectory is not None:
            point_of(law, trajectory)
    elif trajectory is not None:
        trajectory_place(law, trajectory)
    return FORMATS[format](law, trajectory)


def trajectory_place(law: Discovery, name: str) -> int:
    """Where a trajectory stands among those of the data.

    Raises:
        DataError: there is none of that name.
    """
    names = [run.name for run in law.data.trajectories]
    if name not in names:
        hint = did_you_mean(name, names, listed="The law was fitted to")
        raise DataError(f"there is no trajectory {name!r}. {hint}", file=law.data.source)
    return names.index(name)


def _sbml(law: Discovery, trajectory: str | None) -> str:
    run = law.data.trajectories[0 if trajectory is None else trajectory_place(law, trajectory)]
    driving = driving_along(law.model, law.data, law.heldout, run)
    several = len(law.data.trajectories) > 1
    return sbml_text(
        law.closed_form,
        law.initial[run.name],
        run.t[0],
        driving=driving,
        time=law.data.time,
        source=law.data.source,
        units=_units(law),
        notes=[f"The initial values are those of trajectory {run.name!r}."] * several,
    )


def _units(law: Discovery) -> dict[str, str]:
    """Parameter or constant, as the exports call it -> unit, where one is known."""
    keys = named_equations(law.closed_form)[1]
    units = {name: estimate.unit for name, estimate in law.parameters.items()}
    for term, residual in law.residuals.items():
        for name, estimate in residual.constants.items():
            units[f"{term}.{name}" if f"{term}.{name}" in keys else name] = estimate.unit
    return {name: unit for name, unit in units.items() if unit}


def _python(law: Discovery, trajectory: str | None) -> str:
    if law.model.grid is not None:
        return _fields_python(law, trajectory)
    runs = [run for run in law.data.trajectories if trajectory in (None, run.name)]
    exogenous = law.closed_form.model.exogenous
    return python_module(
        law.closed_form,
        {run.name: law.initial[run.name] for run in runs},
        {run.name: _sample_times(law, run) for run in runs},
        driving={run.name: driving_along(law.model, law.data, law.heldout, run) for run in runs} if exogenous else {},
        visited={name: law.visited[name] for name in law.closed_form.model.states if name in law.visited},
        time=law.data.time,
        source=law.data.source,
    )


def _fields_python(law: Discovery, trajectory: str | None) -> str:
    """The module of fields; a trajectory is a run, or the run of a point."""
    from udesys.assess.field_runs import drivings_along, field_runs, start_of

    own = None if trajectory is None else point_of(law, trajectory)[0].name
    runs = [run for run in field_runs(law) if run.at is not None and own in (None, run.name)]
    drivings = {run.name: drivings_along(law, run) for run in runs}
    return field_module(
        law.closed_form,
        {run.name: dict(zip(law.model.states, start_of(law, run).T.tolist(), strict=True)) for run in runs},
        {run.name: run.t.tolist() for run in runs},
        driving={name: points[0] for name, points in drivings.items() if points},
        visited={name: law.visited[name] for name in law.model.states if name in law.visited},
        time=law.data.time,
        source=law.data.source,
    )


def _sample_times(law: Discovery, run: Trajectory) -> list[float]:
    """Those of a trajectory, and of its held-out end."""
    held = [tr for tr in law.heldout.trajectories if tr.name == run.name] if law.heldout else []
    return [*run.t.tolist(), *(now for tr in held if tr.t[0] > run.t[-1] for now in tr.t.tolist())]


def _latex(law: Discovery, trajectory: str | None) -> str:
    return TEX_HEADER + latex_equations(law.closed_form)


def _sympy(law: Discovery, trajectory: str | None) -> str:
    """A module with the equations as SymPy's own constructors, which keep every digit, below their plain text."""
    from sympy import srepr

    from udesys.model.symbolic import to_sympy

    observed = {name: to_sympy(tree) for name, tree in law.closed_form.observed_in_place().items()}
    texts = {f"{state}'": text for state, text in law.closed_form.equation_texts(TEXT_DIGITS).items()}
    texts |= law.closed_form.observed_texts(TEXT_DIGITS)
    tables = {"equations": law.equations, **({"observables": observed} if observed else {})}
    body = []
    for table, entries in tables.items():
        body += ["", f"{table} = {{", *(f"    {name!r}: {srepr(e)}," for name, e in entries.items()), "}"]
    makers = {name for line in body for name in re.findall(r"\b(?:\w+(?=\()|pi\b)", _outside_quotes(line))}
    return "\n".join(
        [
            '"""A law that udesys found, for SymPy: equations[state] is the derivative of that state by time."""',
            "",
            f"from sympy import {', '.join(sorted(makers))}",
            "",
            *(f"# {name} = {text}" for name, text in texts.items()),
            *body,
            "",
        ]
    )


def _outside_quotes(line: str) -> str:
    return re.sub(r"'(?:[^'\\]|\\.)*'|\"[^\"]*\"", "", line)


FORMATS: dict[str, Callable[[Discovery, str | None], str]] = {
    "sbml": _sbml,
    "python": _python,
    "latex": _latex,
    "sympy": _sympy,
}
