"""The text of a first spec: TOML with comments that say what was guessed and what may be put in."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tomli_w

from udesys.data.cells import RawTable, numbers
from udesys.spec.vocabulary import Guess, shown

COMMENT_COLUMN = 36  # where the comment behind a setting starts
LONGEST_LINE = 120
MOST_LISTED = 20  # columns left out that are named one by one
ABOUT_STATES = (
    "# x' is the rate of change of x, x'' its acceleration. NN1(x, y) is an unknown term that may depend on",
    "# x and y: a small network first, a formula in the end. Take out arguments that it cannot depend on.",
)
ABOUT_FIELDS = (
    "# u' is the rate of change of u at every point. NN1(u, v) is an unknown term that may depend on u and v",
    "# there: a small network first, a formula in the end. Take out arguments that it cannot depend on.",
)
_HELD_OUT = ("val", "valid", "validation", "test", "holdout", "heldout")  # labels of runs that are meant to judge


def starter_text(
    table: RawTable, guesses: tuple[Guess, ...], names: Mapping[str, str], file: str, position: str = ""
) -> str:
    """Write a first spec.

    Args:
        table: the cells.
        guesses: one for each column.
        names: column -> its name in the equations.
        file: the data file, as the spec names it.
        position: of fields on a line, their position; else empty.
    """
    states = [g for g in guesses if g.role == "state"]
    drivers = [g for role in ("input", "covariate") for g in guesses if g.role == role]
    arguments = [names[g.column] for g in states] + [f"{names[g.column]}'" for g in states if g.second_order]
    called = ", ".join([*arguments, *(names[g.column] for g in drivers)])
    spread = [_diffusion(names[g.column], len(states)) if position else "" for g in states]
    equations = [
        f"{names[g.column]}{_primes(g)} = NN{number}({called}){more}"
        for number, (g, more) in enumerate(zip(states, spread, strict=True), start=1)
    ]
    lines = [
        f"# A first spec for {shown(table.source)[1:-1]}, guessed from its names and numbers. It runs as it is;",
        "# put in what you know, and ask again:",
        "#   udesys check SPEC        what was understood, and whether the data suffice",
        "#   udesys discover SPEC     the law",
        "",
        *_data(table, guesses, names, file),
        "",
        "[model]",
        *(ABOUT_FIELDS if position else ABOUT_STATES),
        'equations = """',
        *equations,
        '"""',
        *(
            _spreading(names[states[0].column], called)
            if position
            else _physics(names[states[0].column], called, second_order=states[0].second_order)
        ),
        *_positive(table, states, names),
        "",
        *(_grid(position, names[states[0].column]) if position else []),
        *_options(names[states[0].column], second_order=states[0].second_order),
    ]
    return "\n".join([*lines, ""])


def _primes(state: Guess) -> str:
    return "''" if state.second_order else "'"


def _data(table: RawTable, guesses: tuple[Guess, ...], names: Mapping[str, str], file: str) -> list[str]:
    """The section [data], and the columns that it leaves out."""
    time = next(g for g in guesses if g.role == "time")
    runs = [g.column for g in guesses if g.role == "trajectory"]
    one_or_more = _toml(runs[0] if len(runs) == 1 else runs)
    lines = ["[data]", f"file = {_toml(file)}", *_setting(f"time = {_toml(time.column)}", time.why)]
    if runs:
        lines += _setting(f"trajectory = {one_or_more}", "one run for each value; the time increases within it")
    else:
        lines += _setting('# trajectory = "run"', "the column that separates runs, if there were several")
    named = {names[g.column]: g.column for g in guesses if g.role in ("state", "velocity")}
    mapped = {name: column for name, column in named.items() if name != column}
    if mapped:
        lines += _setting(f"columns = {_inline(mapped)}", "the columns of names in the equations")
    lines += _drivers(guesses, names)
    return [
        *lines,
        *_setting(f"# noise = {_inline({next(iter(named)): '5%'})}", "where it is known; else it is estimated"),
        *_setting(f"# holdout = {_held_out(table, runs)}", "rows that are kept aside to judge the law"),
        *_left_out(guesses),
    ]


def _drivers(guesses: tuple[Guess, ...], names: Mapping[str, str]) -> list[str]:
    """The inputs, active or offered, and the covariates."""
    inputs, offered, covariates = (
        {names[g.column]: _driver(g) for g in guesses if g.role == role} for role in ("input", "offered", "covariate")
    )
    lines = []
    if inputs:
        lines += _setting(f"inputs = {_inline(inputs)}", "what drives the system, known in time")
    if offered:
        what = "if this drives it, give it to a network too"
        lines += _setting(f"# inputs = {_inline({**inputs, **offered})}", what)
    if covariates:
        same = all(name == column for name, column in covariates.items())
        value = _toml(list(covariates)) if same else _inline(covariates)
        lines += _setting(f"covariates = {value}", "one number for each run")
    return lines


def _driver(guess: Guess) -> str | dict:
    if guess.interpolation == "linear":
        return guess.column
    return {"column": guess.column, "interpolation": guess.interpolation}


def _held_out(table: RawTable, runs: list[str]) -> str:
    """The held-out part that is offered: runs that are called so, else the last rows."""
    if len(runs) == 1 and isinstance(table.columns[runs[0]], list):
        meant = [label for label in dict.fromkeys(table.columns[runs[0]]) if label.lower() in _HELD_OUT]
        if meant:
            return f"{{ trajectories = {_toml(meant)} }}"
    return '{ last = "20%" }'


def _left_out(guesses: tuple[Guess, ...]) -> list[str]:
    left = [g for g in guesses if g.role == "left out"]
    if not left:
        return []
    lines = [f"#   {shown(g.column)}: {_comment(g.why)}" for g in left[:MOST_LISTED]]
    more = [f"#   and {len(left) - MOST_LISTED} more"] if len(left) > MOST_LISTED else []
    return ["# Columns that are not used:", *lines, *more]


def _physics(x: str, called: str, *, second_order: bool) -> list[str]:
    """Comments that show how known physics goes in, for a state of this table."""
    unknown = f"NN1({called})"
    known = (
        [
            ("gravity", f"{x}'' = -g + {unknown}"),
            ("a spring and damping", f"{x}'' = -k*{x} - c*{x}' + {unknown}"),
        ]
        if second_order
        else [
            ("growth", f"{x}' = growth*{x} + {unknown}"),
            ("supply and decay", f"{x}' = supply - decay*{x} + {unknown}"),
            ("a spring and damping", f"{x}'' = -k*{x} - c*{x}' + NN1({x}, {x}')"),
        ]
    )
    return [
        "# Known physics stands beside the unknown term, which then holds only what is missing:",
        *(f"#   {what + ':':<22} {text}" for what, text in known),
    ]


def _diffusion(u: str, n_fields: int) -> str:
    return f" + {'D' if n_fields == 1 else f'D_{u}'}*dxx({u})"


def _spreading(u: str, called: str) -> list[str]:
    """Comments that show what may stand in the equation of a field."""
    return [
        "# dx and dxx are the first and second derivative along the line, conv3 a stencil that is learned:",
        f"#   {'transport:':<22} {u}' = NN1({called}) - speed*dx({u}) + D*dxx({u})",
        f"#   {'a flow of its own:':<22} {u}' = NN1({called}) - dx({u}^2/2)",
        f"#   {'an unknown spreading:':<22} {u}' = NN1({called}) + conv3({u})",
    ]


def _grid(position: str, u: str) -> list[str]:
    """The section [grid]."""
    return [
        "[grid]",
        *_setting(f"position = {_toml(position)}", "of the points at which the states are fields"),
        *_setting('ends = "neumann"', 'no slope there; "periodic": a ring; "dirichlet": values stay'),
        *_setting(f"# ends = {_inline({u: 'dirichlet'})}", "of single fields"),
        "",
    ]


def _positive(table: RawTable, states: list[Guess], names: Mapping[str, str]) -> list[str]:
    """The offer to keep states above zero, where their columns are."""
    above = [names[g.column] for g in states if np.nanmin(numbers(table, g.column)) >= 0]
    if not above:
        return []
    first = [names[g.column] for g in states if names[g.column] in above and not g.second_order]
    again = _setting(f"# stays_zero = {_toml(first)}", "states that nothing brings back once they are zero")
    return [
        *_setting(f"# positive = {_toml(above)}", "states that can never go below zero"),
        *(again if first else []),
    ]


def _options(state: str, *, second_order: bool) -> list[str]:
    """The sections that the starter leaves as they are, with an example in each."""
    known, estimated = ("g", "k") if second_order else ("decay", "growth")
    return [
        "# [parameters]                      # of known physics; a name that is not listed is estimated",
        *_setting(f"# {known} = {'9.81' if second_order else '0.1'}", "a known number"),
        *_setting(f"# {estimated} = {{ start = 0.5, bounds = [0, 5] }}", "estimated from its start, inside its bounds"),
        "",
        "# [initial]",
        *_setting(f'# {state} = "data"', 'the first measurement; or "free", which is the default, or a number'),
        "",
        "# [search]                          # what is known before any formula is sought",
        *_setting("# max_terms = 4", "terms of a formula"),
        *_setting("# time_limit = 30", "seconds for an engine and term"),
        *_setting('# forbidden = ["sign"]', "functions that cannot occur"),
        "# [search.terms.NN1]",
        *_setting('# sign = "negative"', 'or "positive"'),
    ]


def _setting(text: str, comment: str) -> list[str]:
    """A line with its comment behind it, or above it where the line is long."""
    comment = f"# {_comment(comment)}"
    if len(text) + len(comment) + 2 > LONGEST_LINE:
        return [comment, text]
    return [f"{text:<{COMMENT_COLUMN - 2}}  {comment}"]


def _comment(text: str) -> str:
    """Text that a comment can hold: one line, without control characters."""
    return "".join(c if c.isprintable() else " " for c in text)


def _toml(value: str | list[str]) -> str:
    """A text or a list of them as TOML writes it in one line."""
    if isinstance(value, list):
        return f"[{', '.join(_toml(entry) for entry in value)}]"
    return tomli_w.dumps({"x": value}).removeprefix("x = ").rstrip("\n")


def _inline(table: Mapping[str, str | Mapping]) -> str:
    """A table as TOML writes it in one line."""
    entries = [
        f"{tomli_w.dumps({name: 0}).removesuffix(' = 0' + chr(10))} = "
        f"{_inline(value) if isinstance(value, Mapping) else _toml(value)}"
        for name, value in table.items()
    ]
    return f"{{ {', '.join(entries)} }}"
