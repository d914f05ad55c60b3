"""Closed forms as a Python module that simulates them with nothing but Python."""

from __future__ import annotations

import json
import keyword
import math
import textwrap
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import TYPE_CHECKING

from udesys.model import tree as T
from udesys.model.closed_form import ClosedForm
from udesys.model.export import named_equations

if TYPE_CHECKING:
    from udesys.integrate.driving import Driving

_OPERATORS = {"add": (" + ", 1), "sub": (" - ", 1), "mul": ("*", 2), "div": ("/", 2)}
_NEGATIVE, _POWER, _ATOM = 3, 4, 5
_CALLS = {"abs": "abs", "min": "min", "max": "max", "sign": "_sign", "sigmoid": "_sigmoid"}
_HELPERS = {
    "sign": "def _sign(a):\n    return float((a > 0) - (a < 0))",
    "sigmoid": "def _sigmoid(a):\n    return 0.5 * (1.0 + math.tanh(0.5 * a))",
}
_TAKEN = frozenset({"t", "x", "u", "math", "abs", "min", "max", "float", "callable", "parameters", "PARAMETERS"})
_TAKEN |= {"_sign", "_sigmoid"}
MOST_INLINE, WIDTH, INDENT = 90, 120, " " * 8  # characters of a list that stands in one line, and of lines
_BETWEEN = "\n\n\n"  # functions
_SHARED = ("def _along(", "def _signals_from(")  # by the explicit and the implicit method
_SLOPES = ("rhs(now, x, {u}parameters)", "(rhs(now, x, {u}parameters), jacobian(now, x, {u}parameters))")
_COPIED = "# ------------------------------------------------------------------ copied from here on\n"

_SIMULATE = '''
def simulate(t, x0, {u}parameters=PARAMETERS, rtol=RTOL):
    """States at the increasing times t, from x0 at t[0]: a list for each, in the order of STATES."""

    def slopes(now, x):
        return {slopes}

    return _along(lambda begin: slopes, list(t), x0, _sizes(x0), rtol)


def _sizes(x0):
    """How large each state is where the law was found, below which errors do not matter."""
    seen = [max(map(abs, VISITED.get(state, (value,)))) for state, value in zip(STATES, x0)]
    return [size or 1.0 for size in seen]


def predict(trajectory, t=None, parameters=PARAMETERS, rtol=RTOL):
    """States{and_observables} of a trajectory from its initial values{and_driven}, in the order of {columns}.

    They are those at the times of its data, or at the increasing times t.
    """
    t = TIMES[trajectory] if t is None else list(t)
    start, x0 = START[trajectory], [INITIAL[trajectory][state] for state in STATES]
    if not t or t[0] < start or any(b <= a for a, b in zip(t, t[1:])):
        raise ValueError("t must increase, from %r on." % start)
'''
_ALONG_RECORD = """    record = INPUTS_ALONG[trajectory]
    times = [row[0] for row in record]
    stops = sorted({{start, *t, *(now for now in times if start < now < t[-1])}})

    def slopes_from(begin):
        signals = _signals_from(record, times, begin)
        return lambda now, x: {slopes}

    states = dict(zip(stops, _along(slopes_from, stops, x0, _sizes(x0), rtol)))
"""
_ALONG = """    stops = t if t[0] == start else [start, *t]
    states = dict(zip(stops, simulate(stops, x0, parameters, rtol)))
"""
_OBSERVED = """    return [states[now] + _observed(now, states[now], {signals}parameters) for now in t]


def _observed(t, x, {u}parameters):
    try:
        return observe(t, x, {u}parameters)
    except (ArithmeticError, ValueError, TypeError):
        return [math.nan] * len(OBSERVABLES)
"""
_STATES_ALONE = "    return [states[now] for now in t]\n"
_INPUTS = '''

def inputs(trajectory):
    """The function of t that gives what a trajectory's INPUTS were; they keep their last values after the record."""
    record = INPUTS_ALONG[trajectory]
    times = [row[0] for row in record]
    return lambda t: _signals_from(record, times, t)(t)
'''
_MAIN = """
if __name__ == "__main__":
    import csv
    import sys

    table = csv.writer(sys.stdout, lineterminator="\\n")
    table.writerow(["trajectory", TIME, *("predicted." + name for name in {columns})])
    for name in INITIAL:
        for now, row in zip(TIMES[name], predict(name)):
            table.writerow([name, now, *(value if math.isfinite(value) else "" for value in row)])
"""


def to_python(tree: T.Tree, names: Mapping[str, str]) -> str:
    """The tree as a Python expression that needs only `math` (and `_sign`, `_sigmoid` where they occur).

    Args:
        tree: what to write; numbers keep every digit.
        names: symbol -> identifier.
    """
    return _python(tree, names)[0]


def _python(tree: T.Tree, names: Mapping[str, str]) -> tuple[str, int]:
    """Text and binding strength of its outermost operator."""
    if isinstance(tree, T.Symbol):
        return names[tree.name], _ATOM
    if isinstance(tree, T.Number):
        if tree.value == math.pi:
            return "math.pi", _ATOM
        return repr(tree.value), _ATOM if math.copysign(1.0, tree.value) > 0 else _NEGATIVE
    parts = [_python(a, names) for a in tree.args]
    if tree.op in _OPERATORS:
        sign, level = _OPERATORS[tree.op]
        right = _bracketed(parts[1], level + (tree.op in ("sub", "div")))
        return f"{_bracketed(parts[0], level)}{sign}{right}", level
    if tree.op == "neg":
        return f"-{_bracketed(parts[0], _NEGATIVE)}", _NEGATIVE
    if tree.op == "pow" and _is_whole(tree.args[1]):
        return f"{_bracketed(parts[0], _ATOM)}**{int(tree.args[1].value)}", _POWER
    inside = ", ".join(text for text, _ in parts)
    if tree.op == "less":
        return f"float({_bracketed(parts[0], 1)} < {_bracketed(parts[1], 1)})", _ATOM
    return f"{_CALLS.get(tree.op, f'math.{tree.op}')}({inside})", _ATOM


def _bracketed(part: tuple[str, int], level: int) -> str:
    text, strength = part
    return text if strength >= level else f"({text})"


def _is_whole(tree: T.Tree) -> bool:
    return isinstance(tree, T.Number) and float(tree.value).is_integer()


def python_module(
    form: ClosedForm,
    initial: Mapping[str, Mapping[str, float]],
    times: Mapping[str, Sequence[float]],
    *,
    driving: Mapping[str, Driving] | None = None,
    visited: Mapping[str, Sequence[float]] | None = None,
    time: str = "t",
    source: str = "",
) -> str:
    """A Python module with `rhs(t, x)` of a closed form, its constants, its initial values, and what simulates it.

    Where the model has inputs or covariates it is `rhs(t, x, u)`, and where it has observables there is `observe`
    with the same arguments. `simulate(t, x0)` starts anywhere, `predict(trajectory)` where the data did; run as a
    program it prints the predictions as CSV. A stiff law has its `jacobian(t, x)` too, and an implicit method.

    Args:
        form: the closed form.
        initial: trajectory -> state -> value.
        times: trajectory -> times of its samples; the initial values are at the first [the data's time unit].
        driving: trajectory -> its inputs and covariates; needed where the model has any.
        visited: state -> (lowest, highest) in the data.
        time: name of the time in the data.
        source: what the law was found in.
    """
    states, inputs, observables = form.model.states, form.model.exogenous, tuple(form.model.observe)
    right, values = named_equations(form)
    observed = tuple(form.model.observe.values())
    names = _identifiers([*states, *inputs, *values])
    names["t"] = "t"
    used = {node.op for tree in (*right, *observed) for node in T.walk(tree) if isinstance(node, T.Operation)}
    times = {run: [float(now) for now in along] for run, along in times.items()}
    parts = [
        _heading(bool(inputs), form.stiff),
        "\n".join(
            [
                f"SOURCE = {_quoted(source)}",
                f"TIME = {_quoted(time)}",
                f"STATES = {_tuple(states)}",
                *([f"INPUTS = {_tuple(inputs)}"] if inputs else []),
                *([f"OBSERVABLES = {_tuple(observables)}"] if observables else []),
                _assigned("PARAMETERS", values),
                _assigned("START", {run: along[0] for run, along in times.items()}),
                _assigned("INITIAL", {run: dict(x0) for run, x0 in initial.items()}),
                _assigned("VISITED", {name: tuple(ends) for name, ends in (visited or {}).items()}),
            ]
        ),
        *(text for op, text in _HELPERS.items() if op in used),
        _function("rhs", "dx/dt at time t and state x, in the order of STATES.", right, form, values, names),
    ]
    if form.stiff:
        what = "Derivatives of rhs by the states at time t and state x: a list for each row of it."
        slopes = [[T.derivative(tree, state) for state in states] for tree in right]
        parts.append(_function("jacobian", what, slopes, form, values, names))
    if observables:
        what = "What is measured of the state x at time t, in the order of OBSERVABLES."
        parts.append(_function("observe", what, observed, form, values, names))
    parts += [_simulator(bool(inputs), bool(observables), form.stiff), _assigned("TIMES", times)]
    if inputs:
        parts.append(_assigned("INPUTS_ALONG", {run: _record(along) for run, along in (driving or {}).items()}))
    columns = "STATES + OBSERVABLES" if observables else "STATES"
    parts.append(_MAIN.format(columns=columns))
    return "\n\n\n".join(part.strip("\n") for part in parts) + "\n"


def _heading(driven: bool, stiff: bool) -> str:
    u = ", u" * driven
    about = [f"It is stiff: jacobian(t, x{u}) is for implicit methods, of which simulate has one (Radau IIA).", ""]
    lines = [
        f'"""A law that udesys found: dx/dt = rhs(t, x{u}). It needs nothing but Python.',
        "",
        *(about if stiff else []),
        f"simulate(t, x0{u}) goes from any state, predict(trajectory) from where the data began; run as a program it",
        'prints what the law predicts at the times of the data, as CSV."""',
        "",
        *(["import bisect"] * driven),
        "import math",
    ]
    return "\n".join(lines)


def _simulator(driven: bool, observing: bool, stiff: bool) -> str:
    """`simulate`, `predict` and what they need, for a law with or without inputs and observables."""
    method = [_copied("standalone.py")]
    if stiff:
        shared = [block for block in method[0].split(_BETWEEN) if block.startswith(_SHARED)]
        method = [_copied("standalone_stiff.py"), *shared]
    copied = _BETWEEN.join(method)
    if not driven:
        copied = copied.partition(f"{_BETWEEN}def _signals_from(")[0]
    u, along = "u, " * driven, "signals, " * driven
    text = _SIMULATE.format(
        u=u,
        slopes=_SLOPES[stiff].format(u=u),
        and_observables=" and observables" * observing,
        and_driven=", driven as it was" * driven,
        columns="STATES, then OBSERVABLES" if observing else "STATES",
    )
    text += _ALONG_RECORD.format(slopes=_SLOPES[stiff].format(u=along)) if driven else _ALONG
    signals = "_signals_from(record, times, now), " * driven
    text += _OBSERVED.format(u=u, signals=signals) if observing else _STATES_ALONE
    return f"{copied}\n\n{text}{_INPUTS * driven}"


def _copied(name: str) -> str:
    """The part of a module that is copied."""
    return files("udesys.model").joinpath(name).read_text("utf-8").partition(_COPIED)[2].strip("\n")


def _record(driving: Driving) -> list[tuple]:
    """Rows of a time and, for each input, the coefficients of its polynomial from then on; the last row holds on."""
    last = [(value,) for value in driving.last.tolist()]
    rows = [[_trimmed(c) for c in row] for row in driving.pieces.tolist()]
    return [(now, *row) for now, row in zip(driving.t.tolist(), [*rows, last], strict=True)]


def _trimmed(coefficients: Sequence[float]) -> tuple[float, ...]:
    """Without zeros at the end; the first stays."""
    n = len(coefficients)
    while n > 1 and coefficients[n - 1] == 0.0:
        n -= 1
    return tuple(coefficients[:n])


def _function(name: str, what: str, trees, form: ClosedForm, values, names: Mapping[str, str]) -> str:
    """The text of a function of time, state and, where there are any, inputs; of a list of trees or of such lists."""
    states, inputs = form.model.states, form.model.exogenous
    about = [f'    """{what}"""']
    reads = [f"    {_unpacked(states, names)} = x"]
    if inputs:
        about = [
            f'    """{what}',
            "",
            "    u holds the values of INPUTS at time t, or is a function of t that gives them.",
            '    """',
        ]
        reads.append(f"    {_unpacked(inputs, names)} = u(t) if callable(u) else u")
    lines = [
        f"def {name}(t, x, {'u, ' * bool(inputs)}parameters=PARAMETERS):",
        *about,
        *reads,
        *(f"    {names[key]} = parameters[{_quoted(key)}]" for key in values),
        "    return [",
        *(line for tree in trees for line in _lines(tree, names)),
        "    ]",
    ]
    return "\n".join(lines)


def _lines(tree, names: Mapping[str, str]) -> list[str]:
    """An entry of a list that a function returns: a tree, or a list of trees."""
    if isinstance(tree, list):
        return [f"{INDENT}[", *(f"{INDENT}    {to_python(inner, names)}," for inner in tree), f"{INDENT}],"]
    return [f"{INDENT}{to_python(tree, names)},"]


def _unpacked(keys, names: Mapping[str, str]) -> str:
    return ", ".join(names[key] for key in keys) + "," * (len(keys) == 1)


def _tuple(keys) -> str:
    return f"({', '.join(map(_quoted, keys))}{',' * (len(keys) == 1)})"


def _identifiers(names: list[str]) -> dict[str, str]:
    """name -> a Python identifier of its own: `theta'` becomes theta_dot, `lambda` becomes lambda_."""
    found: dict[str, str] = {}
    for name in names:
        text = "".join(c if c.isalnum() else "_" for c in name.replace("'", "_dot"))
        while text in _TAKEN or keyword.iskeyword(text) or text in found.values():
            text += "_"
        found[name] = text
    return found


def _assigned(name: str, values: Mapping) -> str:
    rows = [f"    {_quoted(key)}: {_literal(value)}," for key, value in values.items()]
    return "\n".join([f"{name} = {{", *rows, "}"]) if rows else f"{name} = {{}}"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)  # JSON's escapes are Python's too


def _literal(value) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_quoted(k)}: {_literal(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        inside = ", ".join(map(_literal, value))
        if len(inside) <= MOST_INLINE:
            return f"[{inside}]"
        if isinstance(value[0], tuple):
            return "\n".join(["[", *(f"        {_literal(row)}," for row in value), "    ]"])
        return f"[\n{textwrap.fill(inside, WIDTH, initial_indent=INDENT, subsequent_indent=INDENT)},\n    ]"
    if isinstance(value, tuple):
        return "(" + ", ".join(map(_literal, value)) + "," * (len(value) == 1) + ")"
    value = float(value)
    return repr(value) if math.isfinite(value) else f'float("{value}")'
