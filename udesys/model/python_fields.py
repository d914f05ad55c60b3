"""Closed forms of fields on a grid as a Python module that simulates them with nothing but Python."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from udesys.model import python_module as module
from udesys.model import tree as T
from udesys.model.closed_form import ClosedForm
from udesys.model.export import named_equations

if TYPE_CHECKING:
    from udesys.integrate.driving import Driving

_HEADING = '''"""A law of fields that udesys found: dx/dt = rhs(t, x{u}). It needs nothing but Python.

x holds the first of STATES at all POINTS, then the next: x[k * len(POINTS) + i] is STATES[k] at POINTS[i].
simulate(t, x0{u}) goes from any such x, predict(trajectory) from where the data began; run as a program it prints what
the law predicts at the times of the data, as CSV with a row for each time and point."""
'''
_GRID = """
_N, _D = len(POINTS), len(STATES)
ORDER = [k * _N + i for i in range(_N) for k in range(_D)]  # of the elimination: point after point


def _neighbours(ends):
    \"\"\"The places before, at and after every point; beyond an end without slope is the mirror image.\"\"\"
    places = [[i - 1, i, i + 1] for i in range(_N)]
    periodic = ends == "periodic"
    places[0][0], places[-1][2] = (_N - 1, 0) if periodic else (1, _N - 2)
    return places


NEIGHBOURS = {{name: _neighbours(ends) for name, ends in ENDS.items()}}
MOVING = [[0.0 if ENDS[name] == "dirichlet" and i in (0, _N - 1) else 1.0 for i in range(_N)] for name in STATES]
"""
_RHS = '''
def rhs(t, x, {u}parameters=PARAMETERS):
    """dx/dt at time t and state x, in the order of x.{about}"""
{called}    rows = _apart(x)
    rates = [
        point(t, at, row, along, {own}, parameters) for at, row, along in zip(POINTS, rows, operators(rows))
    ]
    return [rates[i][k] * MOVING[k][i] for k in range(_D) for i in range(_N)]


def operators(rows):
    """The values of OPERATORS at every point, from those of STATES at every point."""
    inner = [arguments(row) for row in rows]
    return [
        [
            sum(w * inner[j][k][0] for w, j in zip(WEIGHTS[kind], NEIGHBOURS[field][i]))
            for k, (kind, field) in enumerate(OPERATORS.values())
        ]
        for i in range(_N)
    ]


def jacobian(t, x, {u}parameters=PARAMETERS):
    """Derivatives of rhs by x: a dict of column and value for each row of it."""
{called}    rows = _apart(x)
    inner, found = [arguments(row) for row in rows], [{{}} for _ in x]
    for i, (at, row, along) in enumerate(zip(POINTS, rows, operators(rows))):
        for k, slopes in enumerate(point_slopes(t, at, row, along, {own}, parameters)):
            if not MOVING[k][i]:
                continue
            own = found[k * _N + i]
            for m in range(_D):
                own[m * _N + i] = own.get(m * _N + i, 0.0) + slopes[m]
            for slope, (kind, field), o in zip(slopes[_D:], OPERATORS.values(), range(len(OPERATORS))):
                for w, j in zip(WEIGHTS[kind], NEIGHBOURS[field][i]):
                    for m in range(_D):
                        value = slope * w * inner[j][o][1][m]
                        if value:
                            own[m * _N + j] = own.get(m * _N + j, 0.0) + value
    return found


def _apart(x):
    """The values of STATES at every point."""
    return [[x[k * _N + i] for k in range(_D)] for i in range(_N)]
'''
_OBSERVE = '''
def observe(t, x, {u}parameters=PARAMETERS):
    """What is measured of the state x at time t: the first of OBSERVABLES at all POINTS, then the next."""
{called}    found = [_observed(t, at, row, {own}, parameters) for at, row in zip(POINTS, _apart(x))]
    return [row[k] for k in range(len(OBSERVABLES)) for row in found]


def _observed(t, at, row, u, parameters):
    try:
        return observe_point(t, at, row, [math.nan] * len(OPERATORS), u, parameters)
    except (ArithmeticError, ValueError, TypeError):
        return [math.nan] * len(OBSERVABLES)
'''
_CALLED = "    u = u(t) if callable(u) else u\n"
_SIMULATE = '''
def simulate(t, x0, {u}parameters=PARAMETERS, rtol=RTOL):
    """States at the increasing times t, from x0 at t[0]: an x for each."""
    return _along(lambda begin: _both({u}parameters), list(t), x0, _sizes(x0), rtol)


def _both({u}parameters):
    def both(now, x, slopes=False):
        return (jacobian if slopes else rhs)(now, x, {u}parameters)

    return both


def _sizes(x0):
    """How large each field is where the law was found, below which errors do not matter."""
    found = []
    for k, name in enumerate(STATES):
        seen = max(map(abs, VISITED.get(name, x0[k * _N : (k + 1) * _N])))
        found += [seen or 1.0] * _N
    return found


def predict(trajectory, t=None, parameters=PARAMETERS, rtol=RTOL):
    """A run from its initial profiles{driven}: at each time {columns} at all POINTS, one after the other.

    The times are those of its data, or the increasing times t.
    """
    t = TIMES[trajectory] if t is None else list(t)
    start, x0 = START[trajectory], [value for name in STATES for value in INITIAL[trajectory][name]]
    if not t or t[0] < start or any(b <= a for a, b in zip(t, t[1:])):
        raise ValueError("t must increase, from %r on." % start)
'''
_ALONE = """    stops = t if t[0] == start else [start, *t]
    states = dict(zip(stops, simulate(stops, x0, parameters, rtol)))
"""
_DRIVEN = """    record = INPUTS_ALONG[trajectory]
    times = [row[0] for row in record]
    stops = sorted({start, *t, *(now for now in times if start < now < t[-1])})

    def slopes_from(begin):
        return _both(_signals_from(record, times, begin), parameters)

    states = dict(zip(stops, _along(slopes_from, stops, x0, _sizes(x0), rtol)))
"""
_MAIN = """
if __name__ == "__main__":
    import csv
    import sys

    table = csv.writer(sys.stdout, lineterminator="\\n")
    names = {columns}
    table.writerow(["trajectory", TIME, POSITION, *("predicted." + name for name in names)])
    for run in INITIAL:
        for now, row in zip(TIMES[run], predict(run)):
            for i, at in enumerate(POINTS):
                values = [row[k * _N + i] for k in range(len(names))]
                table.writerow([run, now, at, *(value if math.isfinite(value) else "" for value in values)])
"""
_POINT = "values of STATES at the position `at`, and values of OPERATORS there"


def field_module(
    form: ClosedForm,
    initial: Mapping[str, Mapping[str, Sequence[float]]],
    times: Mapping[str, Sequence[float]],
    *,
    driving: Mapping[str, Driving] | None = None,
    visited: Mapping[str, Sequence[float]] | None = None,
    time: str = "t",
    source: str = "",
) -> str:
    """A Python module with `rhs(t, x)` of all points of a law of fields, its Jacobian, and what simulates it.

    With inputs or covariates other than the position it is `rhs(t, x, u)`; with observables there is `observe` too.

    Args:
        form: of a model with a grid.
        initial: run -> field -> (n,) values at the first time.
        times: run -> times of its samples [the data's time unit].
        driving: run -> its inputs and covariates, which are the same at all points but for the position.
        visited: field -> (lowest, highest) in the data.
        time: name of the time in the data.
        source: what the law was found in.
    """
    model, grid = form.model, form.model.grid
    operators, observables = [part.name for part in model.spatial], tuple(model.observe)
    known = [name for name in (*model.inputs, *model.covariates) if name != grid.name]
    right, values = named_equations(form)
    names = module._identifiers([*model.states, *known, *operators, *values])
    names |= {"t": "t", grid.name: names.get(grid.name, "at")}
    driven = bool(known)
    fill = {
        "u": "u, " * driven,
        "own": "u" if driven else "None",
        "called": _CALLED * driven,
        "about": " u holds the values of INPUTS, or is a function of t." * driven,
    }
    slopes = [[T.derivative(tree, s) for s in (*model.states, *operators)] for tree in right]
    inner = [T.substitute(part.argument, model.fixed_values) for part in model.spatial]
    trees = (*right, *model.observe.values())
    used = {node.op for tree in trees for node in T.walk(tree) if isinstance(node, T.Operation)}
    point = functools.partial(_pointwise, unpacked=(model.states, known, operators), values=values, names=names)
    kinds = dict.fromkeys(part.operator for part in model.spatial)
    whole = {run: [float(now) for now in along] for run, along in times.items()}
    parts = [
        f"{_HEADING.format(u=', u' * driven)}\n{'import bisect' + chr(10) if driven else ''}import math",
        "\n".join(
            [
                f"SOURCE = {module._quoted(source)}",
                f"TIME = {module._quoted(time)}",
                f"POSITION = {module._quoted(grid.name)}",
                f"STATES = {module._tuple(model.states)}",
                *([f"INPUTS = {module._tuple(known)}"] if driven else []),
                *([f"OBSERVABLES = {module._tuple(observables)}"] if observables else []),
                module._assigned("PARAMETERS", values),
                f"POINTS = {module._literal(list(grid.points))}",
                _texts("ENDS", {state: grid.ends_of(state) for state in model.states}),
                _texts("OPERATORS", {part.name: (part.operator, part.field) for part in model.spatial}),
                module._assigned("WEIGHTS", {kind: tuple(grid.weights(kind).tolist()) for kind in kinds}),
                module._assigned("START", {run: along[0] for run, along in whole.items()}),
                module._assigned("INITIAL", {run: {s: list(v) for s, v in x0.items()} for run, x0 in initial.items()}),
                module._assigned("VISITED", {name: tuple(ends) for name, ends in (visited or {}).items()}),
                f"TIME_MATTERS = {driven or any('t' in T.symbols(tree) for tree in right)}",
                _GRID.format(),
            ]
        ),
        *(text for op, text in module._HELPERS.items() if op in used),
        point("point", f"dx/dt from x, {_POINT}.", right),
        point("point_slopes", f"Derivatives of it by STATES, then OPERATORS, from x, {_POINT}.", slopes),
        _arguments(model, inner, names),
        _RHS.format(**fill),
    ]
    if observables:
        trees = tuple(model.observe.values())
        what = f"What is measured, from x, {_POINT}."
        parts += [
            point("observe_point", what, trees),
            _OBSERVE.format(**fill),
        ]
    columns = "STATES + OBSERVABLES" if observables else "STATES"
    parts += [_simulator(driven, bool(observables), columns), module._assigned("TIMES", whole)]
    if driven:
        record = {run: _record_of(along, known) for run, along in (driving or {}).items()}
        parts.append(module._assigned("INPUTS_ALONG", record))
    parts.append(_MAIN.format(columns=columns))
    return "\n\n\n".join(part.strip("\n") for part in parts) + "\n"


def _simulator(driven: bool, observing: bool, columns: str) -> str:
    shared = [b for b in module._copied("standalone.py").split(module._BETWEEN) if b.startswith(module._SHARED)]
    if not driven:
        shared = [block for block in shared if not block.startswith("def _signals_from(")]
    copied = module._BETWEEN.join([module._copied("standalone_fields.py"), *shared])
    text = _SIMULATE.format(u="u, " * driven, driven=", driven as it was" * driven, columns=columns)
    text += _DRIVEN if driven else _ALONE
    signals = "_signals_from(record, times, now)(now), " * driven
    text += (
        f"    return [states[now] + observe(now, states[now], {signals}parameters) for now in t]\n"
        if observing
        else module._STATES_ALONE
    )
    return f"{copied}\n\n{text}"


def _pointwise(name: str, what: str, trees, *, unpacked, values, names) -> str:
    """The text of a function of one point."""
    states, known, operators = unpacked
    reads = [f"    {module._unpacked(states, names)} = x"]
    reads += [f"    {module._unpacked(known, names)} = u"] if known else []
    reads += [f"    {module._unpacked(operators, names)} = along"] if operators else []
    lines = [
        f"def {name}(t, at, x, along, u, parameters=PARAMETERS):",
        f'    """{what}"""',
        *reads,
        *(f"    {names[key]} = parameters[{module._quoted(key)}]" for key in values),
        "    return [",
        *(line for tree in trees for line in module._lines(tree, names)),
        "    ]",
    ]
    return "\n".join(lines)


def _arguments(model, inner, names) -> str:
    """The text of the function that gives what every operator is applied to."""
    rows = []
    for tree in inner:
        slopes = [module.to_python(T.derivative(tree, s), names) for s in model.states]
        rows.append(f"        ({module.to_python(tree, names)}, ({', '.join(slopes)},)),")
    return "\n".join(
        [
            "def arguments(x):",
            '    """What each of OPERATORS is applied to at a point, and its derivatives by STATES."""',
            f"    {module._unpacked(model.states, names)} = x",
            *(["    return [", *rows, "    ]"] if rows else ["    return []"]),
        ]
    )


def _texts(name: str, values: Mapping[str, str | tuple[str, ...]]) -> str:
    rows = [
        f"    {module._quoted(key)}: {module._tuple(v) if isinstance(v, tuple) else module._quoted(v)},"
        for key, v in values.items()
    ]
    return "\n".join([f"{name} = {{", *rows, "}"]) if rows else f"{name} = {{}}"


def _record_of(driving: Driving, known: Sequence[str]) -> list[tuple]:
    """The record of a run without its position."""
    kept = [0, *(1 + driving.names.index(name) for name in known)]
    return [tuple(row[k] for k in kept) for row in module._record(driving)]
