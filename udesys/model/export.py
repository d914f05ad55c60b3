"""Closed forms for other programs: a Python module without dependencies, and LaTeX."""

from __future__ import annotations

import json
import keyword
import math
from collections.abc import Mapping

from udesys.model import tree as T
from udesys.model.closed_form import ClosedForm

TEX_DIGITS = 6

_OPERATORS = {"add": (" + ", 1), "sub": (" - ", 1), "mul": ("*", 2), "div": ("/", 2)}
_NEGATIVE, _POWER, _ATOM = 3, 4, 5
_CALLS = {"abs": "abs", "min": "min", "max": "max", "sign": "_sign", "sigmoid": "_sigmoid"}
_HELPERS = {
    "sign": "def _sign(a):\n    return float((a > 0) - (a < 0))",
    "sigmoid": "def _sigmoid(a):\n    return 0.5 * (1.0 + math.tanh(0.5 * a))",
}
_TAKEN = frozenset(
    {"t", "x", "u", "math", "abs", "min", "max", "float", "callable", "rhs", "observe", "parameters", "_sign"}
    | {"_sigmoid", "SOURCE", "STATES", "INPUTS", "OBSERVABLES", "PARAMETERS", "START", "INITIAL", "INPUTS_AT_START"}
)
_GREEK = frozenset(
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau upsilon "
    "phi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega".split()
)


# ------------------------------------------------------------------ Python
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
    start: Mapping[str, float],
    *,
    driving: Mapping[str, Mapping[str, float]] | None = None,
    source: str = "",
) -> str:
    """A Python module with `rhs(t, x)` of a closed form, its constants and its initial values.

    Where the model has inputs or covariates it is `rhs(t, x, u)`, and where it has observables there is `observe`
    with the same arguments.

    Args:
        form: the closed form.
        initial: trajectory -> state -> value.
        start: trajectory -> time of its initial value [the data's time unit].
        driving: trajectory -> input or covariate -> value at that time; needed where the model has any.
        source: what the law was found in.
    """
    states, inputs, observables = form.model.states, form.model.exogenous, tuple(form.model.observe)
    right, values = named_equations(form)
    observed = tuple(form.model.observe.values())
    names = _identifiers([*states, *inputs, *values])
    names["t"] = "t"
    used = {node.op for tree in (*right, *observed) for node in T.walk(tree) if isinstance(node, T.Operation)}
    helpers = [text for op, text in _HELPERS.items() if op in used]
    body = _function("rhs", "dx/dt at time t and state x, in the order of STATES.", right, form, values, names)
    if observables:
        what = "What is measured of the state x at time t, in the order of OBSERVABLES."
        body += ["", "", *_function("observe", what, observed, form, values, names)]
    slopes = "rhs(START[name], [x0[state] for state in STATES]"
    slopes += ", [INPUTS_AT_START[name][key] for key in INPUTS])" if inputs else ")"
    return "\n".join(
        [
            f'"""A law that udesys found: dx/dt = rhs(t, x{", u" * bool(inputs)}). It needs nothing but Python."""',
            "",
            "import math",
            "",
            f"SOURCE = {_quoted(source)}",
            f"STATES = {_tuple(states)}",
            *([f"INPUTS = {_tuple(inputs)}"] if inputs else []),
            *([f"OBSERVABLES = {_tuple(observables)}"] if observables else []),
            _assigned("PARAMETERS", values),
            _assigned("START", start),
            _assigned("INITIAL", {run: dict(x0) for run, x0 in initial.items()}),
            *([_assigned("INPUTS_AT_START", driving or {})] if inputs else []),
            "",
            "",
            *("\n" + text + "\n\n" for text in helpers),
            *body,
            "",
            "",
            'if __name__ == "__main__":',
            "    for name, x0 in INITIAL.items():",
            f"        slopes = {slopes}",
            '        print(f"{name}: dx/dt at the start", dict(zip(STATES, slopes)))',
            "",
        ]
    ).replace("\n\n\n\n", "\n\n\n")


def _function(name: str, what: str, trees, form: ClosedForm, values, names: Mapping[str, str]) -> list[str]:
    """The lines of a function of time, state and, where there are any, inputs."""
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
    return [
        f"def {name}(t, x, {'u, ' * bool(inputs)}parameters=PARAMETERS):",
        *about,
        *reads,
        *(f"    {names[key]} = parameters[{_quoted(key)}]" for key in values),
        "    return [",
        *(f"        {to_python(tree, names)}," for tree in trees),
        "    ]",
    ]


def _unpacked(keys, names: Mapping[str, str]) -> str:
    return ", ".join(names[key] for key in keys) + "," * (len(keys) == 1)


def _tuple(keys) -> str:
    return f"({', '.join(map(_quoted, keys))}{',' * (len(keys) == 1)})"


def named_equations(form: ClosedForm) -> tuple[tuple[T.Tree, ...], dict[str, float]]:
    """The right sides with every parameter and constant as a symbol, and the values of these symbols.

    A constant keeps its name where only one term has it, and is called `NN1.c0` otherwise.
    """
    model = form.model
    found = [c for term in model.terms for c in form.formulas[term].constants]
    crowded = {c for c in found if found.count(c) > 1} | {*model.parameters, *model.states, *model.exogenous}
    values = {n: p.start for n, p in model.parameters.items() if p.fixed} | form.parameters
    values = {n: float(values[n]) for n in model.parameters}
    formulas = {}
    for term in model.terms:
        formula = form.formulas[term]
        keys = {c: f"{term}.{c}" if c in crowded else c for c in formula.constants}
        values |= {keys[c]: float(v) for c, v in formula.constants.items()}
        formulas[term] = T.substitute(formula.tree, {c: T.Symbol(key) for c, key in keys.items()})
    return model.with_formulas(formulas), values


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
    value = float(value)
    return repr(value) if math.isfinite(value) else f'float("{value}")'


# ------------------------------------------------------------------ LaTeX
_LATEX_CALLS = {name: f"\\{name}" for name in "sin cos tan tanh sinh cosh min max".split()} | {
    "log": r"\ln",
    "sign": r"\operatorname{sign}",
    "sigmoid": r"\operatorname{sigmoid}",
}


def to_latex(tree: T.Tree, digits: int = TEX_DIGITS) -> str:
    """The tree in LaTeX's math mode, in the order it was written in.

    Args:
        tree: what to write.
        digits: significant digits of its numbers.
    """
    return _latex(tree, digits)[0]


def _latex(tree: T.Tree, digits: int) -> tuple[str, int]:
    """Text and binding strength of its outermost operator."""
    if isinstance(tree, T.Symbol):
        return latex_name(tree.name), _ATOM
    if isinstance(tree, T.Number):
        return _latex_number(tree.value, digits)
    parts = [_latex(a, digits) for a in tree.args]
    texts = [text for text, _ in parts]
    if tree.op in ("add", "sub"):
        minus, right = tree.op == "sub", texts[1]
        if right.startswith("-") and parts[1][1] >= 1 + minus:
            minus, right = not minus, right[1:]
        elif minus:
            right = _enclosed(parts[1], 2)
        return f"{texts[0]} {'-' if minus else '+'} {right}", 1
    if tree.op == "mul":
        right = _enclosed(parts[1], _POWER if texts[1].startswith("-") else 2)
        return f"{_enclosed(parts[0], 2)} \\, {right}", 2
    if tree.op == "neg":
        return f"-{_enclosed(parts[0], 2)}", 2
    if tree.op == "div":
        return rf"\frac{{{texts[0]}}}{{{texts[1]}}}", _NEGATIVE
    if tree.op == "pow":
        return f"{_enclosed(parts[0], _ATOM)}^{{{texts[1]}}}", _POWER
    return _latex_call(tree.op, texts)


def _latex_call(name: str, texts: list[str]) -> tuple[str, int]:
    if name == "exp":
        return f"e^{{{texts[0]}}}", _POWER
    if name == "sqrt":
        return rf"\sqrt{{{texts[0]}}}", _ATOM
    if name == "abs":
        return rf"\left|{texts[0]}\right|", _ATOM
    if name == "less":
        return rf"\left[{' < '.join(texts)}\right]", _ATOM
    return rf"{_LATEX_CALLS[name]}\left({', '.join(texts)}\right)", _ATOM


def _latex_number(value: float, digits: int) -> tuple[str, int]:
    if value == math.pi:
        return r"\pi", _ATOM
    mantissa, _, exponent = f"{value:.{digits}g}".partition("e")
    text = rf"{mantissa} \cdot 10^{{{int(exponent)}}}" if exponent else mantissa
    return text, 2 if exponent or value < 0 else _ATOM


def _enclosed(part: tuple[str, int], level: int) -> str:
    text, strength = part
    return text if strength >= level else rf"\left({text}\right)"


def latex_name(name: str) -> str:
    r"""A name of the equations in math mode: `k_on` is `k_{\mathrm{on}}`, `theta'` is `\dot{\theta}`."""
    if name.endswith("'"):
        return rf"\dot{{{latex_name(name[:-1])}}}"
    base, _, rest = name.strip("_").partition("_")
    stem = base.rstrip("0123456789")
    if stem and stem != base:
        base, rest = stem, f"{base[len(stem) :]}_{rest}" if rest else base[len(stem) :]
    words = [word for word in rest.split("_") if word]
    below = ",".join(word if word.isdigit() else rf"\mathrm{{{word}}}" for word in words)
    return _latex_word(base) + (f"_{{{below}}}" if below else "")


def _latex_word(word: str) -> str:
    if word in _GREEK:
        return f"\\{word}"
    if len(word) <= 1:
        return word or r"\_"
    return rf"\mathrm{{{word}}}"


def latex_equations(form: ClosedForm, digits: int = TEX_DIGITS) -> str:
    """An align environment with the closed form, numbers in place; it needs the package amsmath."""
    rows = []
    velocity_of = form.model.velocity_of
    for state, tree in form.numbers_in_place().items():
        if state in velocity_of:
            continue
        second = state in velocity_of.values()
        name = latex_name(state.rstrip("'"))
        left = (
            rf"\frac{{\mathrm{{d}}^{{2}} {name}}}{{\mathrm{{d}} t^{{2}}}}"
            if second
            else (rf"\frac{{\mathrm{{d}} {name}}}{{\mathrm{{d}} t}}")
        )
        rows.append(f"  {left} &= {to_latex(tree, digits)}")
    for name, tree in form.observed_in_place().items():
        rows.append(f"  {latex_name(name)} &= {to_latex(tree, digits)}")
    return "\\begin{align}\n" + " \\\\\n".join(rows) + "\n\\end{align}\n"
