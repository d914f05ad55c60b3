"""Systems whose whole law is unknown to the search: ODEBench's that are built in, or a list in its format.

The list is JSON: {"systems": [{"id", "name", "equations": [text, ...], "constants": [number, ...], "initial":
[[number, ...], ...], "t_end", "n_samples"}, ...]}, with equations over x_0, x_1, ... and c_0, c_1, ...; times start at
zero.

Source: d'Ascoli, Becker, Mathis, Schwaller & Kilbertus, ODEFormer, arXiv:2310.05573, whose benchmark has this format.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np

from udesys.errors import DataError, ModelError
from udesys.model import tree as T
from udesys.model.grammar import parse_expression
from udesys.systems import System

REQUIRED = ("id", "name", "equations", "constants", "initial", "t_end", "n_samples")
STARTS = 2  # the first is trained on, the second is where a law is judged besides
LEAST_SAMPLES = 10
_COTANGENT = re.compile(r"(?<![A-Za-z0-9_])cot\(")


def read_systems(path: Path | None) -> dict[int, System]:
    """Number -> system, in the order of a list.

    Args:
        path: of the list; the built-in systems of ODEBench, as a list in its format would have them, if None.

    Raises:
        DataError: the file cannot be read, or an entry is no system; the message names it.
    """
    entries, where = (_entries(path), path) if path else (_built_in(), "ODEBench")
    systems = [_system(entry, f"{where}, entry {place}") for place, entry in enumerate(entries, start=1)]
    numbers = [number for number, _ in systems]
    if not systems or len(set(numbers)) < len(numbers):
        raise DataError(f"{where} must have systems, each with an id of its own.")
    return dict(systems)


def _entries(path: Path) -> list:
    try:
        return list(json.loads(Path(path).read_text(encoding="utf-8"))["systems"])
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from None
    except (ValueError, KeyError, TypeError):
        raise DataError(f'{path} is no list of systems. It must be JSON: {{"systems": [...]}}.') from None


def _built_in() -> list[dict]:
    """The built-in systems of ODEBench as entries of a list."""
    from udesys.systems.odebench import SYSTEMS

    entries = []
    for system in SYSTEMS:
        names = {name: T.Symbol(f"x_{k}") for k, name in enumerate(system.states)}
        names |= {name: T.Symbol(f"c_{k}") for k, name in enumerate(system.constants)}
        right_sides = (T.substitute(parse_expression(text), names) for text in system.missing.values())
        entries.append(
            {
                "id": int(system.name.rpartition(":")[2]),
                "name": system.title,
                "equations": [T.to_text(right_side) for right_side in right_sides],
                "constants": list(system.constants.values()),
                "initial": [[start[state] for state in system.states] for start in system.starts],
                "t_end": system.t[-1],
                "n_samples": len(system.t),
                "source": system.source,
            }
        )
    return entries


def _system(entry: Mapping, where: str) -> tuple[int, System]:
    missing = [key for key in REQUIRED if not isinstance(entry, Mapping) or key not in entry]
    if missing:
        raise DataError(f"{where} has no {', '.join(missing)}.")
    try:
        number, samples, until = int(entry["id"]), int(entry["n_samples"]), float(entry["t_end"])
        states = tuple(f"x_{k}" for k in range(len(entry["equations"])))
        constants = {f"c_{k}": float(value) for k, value in enumerate(entry["constants"])}
        starts = [dict(zip(states, map(float, start), strict=True)) for start in entry["initial"]]
    except (TypeError, ValueError):
        raise DataError(f"{where} has a value that is no number, or a start of the wrong length.") from None
    if len(starts) < STARTS or samples < LEAST_SAMPLES or not 0 < until < math.inf:
        raise DataError(f"{where} needs {STARTS} starts, {LEAST_SAMPLES} samples or more and t_end > 0.")
    right_sides = [_with_sines(str(text)) for text in entry["equations"]]
    for text in right_sides:
        try:
            unknown = T.symbols(parse_expression(text)) - {*states, *constants}
        except ModelError as error:
            raise DataError(f"{where}: {text!r} cannot be read: {error}") from None
        if unknown:
            raise DataError(f"{where}: {text!r} has {', '.join(sorted(unknown))}, which is no state and no constant.")
    terms = [f"NN{k + 1}({', '.join(states)})" for k in range(len(states))]
    return number, System(
        name=str(number),
        title=str(entry["name"]),
        units=dict.fromkeys(states, ""),
        equations="\n".join(f"{state}' = {term}" for state, term in zip(states, terms, strict=True)),
        missing=dict(zip(terms, right_sides, strict=True)),
        constants=constants,
        starts=tuple(starts[:STARTS]),
        t=tuple(until * k / (samples - 1) for k in range(samples)),
        free=tuple(constants_needed(parse_expression(text), constants) for text in right_sides),
        source=str(entry.get("source", "")),
    )


def _with_sines(text: str) -> str:
    """Cotangents, which the equation language does not have, as cos/sin."""
    while found := _COTANGENT.search(text):
        depth, end = 1, found.end()
        while depth and end < len(text):
            depth += {"(": 1, ")": -1}.get(text[end], 0)
            end += 1
        inside = text[found.end() : end - 1]
        text = f"{text[: found.start()]}(cos({inside})/sin({inside})){text[end:]}"
    return text


# ------------------------------------------------------------------ how many constants a form needs
def constants_needed(tree: T.Tree, constants: Collection[str]) -> int:
    """How many constants a formula needs where all of its coefficients have to be found: 4 of r*x - x^2/(1 + x^2) - k.

    The sum is multiplied out. Every number but an exponent counts as unknown, as every named constant does.

    Args:
        tree: over arguments and named constants.
        constants: their names.
    """
    from udesys.search.normal_form import split

    rng = np.random.default_rng(0)
    generic = _generic(T.substitute(tree, {name: T.Number(rng.uniform(0.5, 1.5)) for name in sorted(constants)}), rng)
    terms, _, inner = split(generic)
    return len(terms) + len(inner)


def _generic(tree: T.Tree, rng: np.random.Generator) -> T.Tree:
    """The tree with every number but the exponents moved, so that none is special."""
    if isinstance(tree, T.Number):
        return T.Number(tree.value * rng.uniform(0.5, 1.5))
    if not isinstance(tree, T.Operation):
        return tree
    if tree.op == "pow" and isinstance(tree.args[1], T.Number):
        return T.power(_generic(tree.args[0], rng), tree.args[1])
    return T.build(tree.op, *(_generic(argument, rng) for argument in tree.args))
