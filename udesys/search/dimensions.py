"""Units through formulas: where they cannot match, and what they must be for them to match.

A constant of a formula is free and may have any unit, so a form is impossible only where no constant stands between:
a function of something with a unit, or a sum of unequal ones.
"""

from __future__ import annotations

from collections.abc import Mapping

from udesys.errors import SearchError
from udesys.model import HybridODE
from udesys.model import tree as T
from udesys.model.closed_form import ClosedForm
from udesys.search.units import NONE, Unit, parse_unit

_SUMS = frozenset({"add", "sub", "min", "max"})
_SAME = frozenset({"neg", "abs"})
Units = Mapping[str, Unit]


class UnitMismatch(SearchError):
    """Units that cannot match."""


def unit_of(tree: T.Tree, units: Units, *, loose: bool = False) -> Unit | None:
    """The unit of a tree; None where it depends on that of a constant.

    Args:
        tree: any.
        units: name -> its unit; names without one are constants and may have any.
        loose: numbers may have any, too, as those of an equation that a user wrote.

    Raises:
        UnitMismatch: whatever the constants are.
    """
    if isinstance(tree, T.Number):
        return None if loose else NONE
    if isinstance(tree, T.Symbol):
        return units.get(tree.name)
    if tree.op == "pow":
        return _unit_of_power(tree, units, loose)
    args = [unit_of(a, units, loose=loose) for a in tree.args]
    if tree.op in _SUMS:
        return _common(tree, *args)
    if tree.op in _SAME:
        return args[0]
    if tree.op in ("mul", "div"):
        left, right = args
        if left is None or right is None:
            return None
        return left * right if tree.op == "mul" else left / right
    if tree.op == "sqrt":
        return None if args[0] is None else args[0] ** 0.5
    if tree.op != "sign":
        _need_none(args[0], f"{T.to_text(tree)} is a function")
    return NONE


def _unit_of_power(tree: T.Operation, units: Units, loose: bool) -> Unit | None:
    base, exponent = tree.args
    unit = unit_of(base, units, loose=loose)
    if isinstance(exponent, T.Number):
        return None if unit is None else unit**exponent.value
    _need_none(unit_of(exponent, units, loose=loose), f"{T.to_text(tree)} has an exponent")
    if not T.symbols(exponent) & units.keys():  # a constant: the coefficient makes up for what it does to the unit
        return NONE if unit is not None and unit.plain else None
    _need_none(unit, f"{T.to_text(tree)} is a power")
    return NONE


def _common(tree: T.Tree, left: Unit | None, right: Unit | None) -> Unit | None:
    if left is None or right is None:
        return right if left is None else left
    if not left.matches(right):
        raise UnitMismatch(f"{T.to_text(tree)} puts {left} and {right} together")
    return left


def _need_none(unit: Unit | None, what: str) -> None:
    if unit is not None and not unit.plain:
        raise UnitMismatch(f"{what} of {unit}")


def without_log(tree: T.Tree, units: Units) -> T.Tree | None:
    """The term without a factor log(x) of something with a unit; None where there is no such factor.

    x*log(x) cannot stand alone, but c0*x + c1*x*log(x) = c1*x*log(x/K) can.
    """
    if not isinstance(tree, T.Operation):
        return None
    if tree.op == "log":
        unit = unit_of(tree.args[0], units)
        return T.ONE if unit is not None and not unit.plain else None
    for place, argument in enumerate(tree.args if tree.op == "mul" else tree.args[:1] if tree.op == "div" else ()):
        rest = without_log(argument, units)
        if rest is not None:
            return T.build(tree.op, *(rest if k == place else a for k, a in enumerate(tree.args)))
    return None


# ------------------------------------------------------------------ what units must be
def solve_units(tree: T.Tree, unit: Unit | None, units: Units, *, loose: bool = False) -> dict[str, Unit]:
    """Name without a unit -> the one it must have, where that follows.

    Args:
        tree: any.
        unit: what the tree has; None where that is not known.
        units, loose: see `unit_of`.

    Raises:
        UnitMismatch: units cannot match.
    """
    if isinstance(tree, T.Symbol):
        return {} if unit is None or tree.name in units else {tree.name: unit}
    if isinstance(tree, T.Number):
        return {}
    own = [unit_of(a, units, loose=loose) for a in tree.args]
    found: dict[str, Unit] = {}
    for argument, wanted in zip(tree.args, _wanted(tree, unit, own), strict=True):
        found = {**solve_units(argument, wanted, units, loose=loose), **found}
    return found


def _wanted(tree: T.Operation, unit: Unit | None, own: list[Unit | None]) -> list[Unit | None]:
    """What each argument must have, from what the whole has and what the others have."""
    if tree.op in _SUMS:
        known = next((u for u in (unit, *own) if u is not None), None)
        return [known] * len(own)
    if tree.op in _SAME:
        return [unit]
    if tree.op == "sqrt":
        return [own[0] if unit is None else unit**2.0]
    if tree.op == "pow":
        exponent = tree.args[1]
        fixed = isinstance(exponent, T.Number) and exponent.value
        return [unit ** (1.0 / fixed) if own[0] is None and unit is not None and fixed else own[0], NONE]
    if tree.op not in ("mul", "div"):
        return [own[0] if tree.op == "sign" else NONE]
    left, right = own
    if unit is not None and left is None and right is not None:
        left = unit / right if tree.op == "mul" else unit * right
    elif unit is not None and right is None and left is not None:
        right = unit / left if tree.op == "mul" else left / unit
    return [left, right]


# ------------------------------------------------------------------ of a model
def model_units(model: HybridODE, given: Mapping[str, str], time: str) -> dict[str, Unit]:
    """Name of the equations -> its unit, velocities and `t` among them; what is not known is left out.

    Args:
        model: the hybrid; its parameters may have units.
        given: name, or that of the time column -> unit as text.
        time: name of the time column.

    Raises:
        SearchError: a unit cannot be read.
    """
    read = {name: parse_unit(text, name) for name, text in given.items()}
    units = {name: unit for name, unit in read.items() if name in (*model.states, *model.exogenous)}
    units |= {n: parse_unit(p.unit, n) for n, p in model.parameters.items() if p.unit}
    if time in read or "t" in read:
        units["t"] = read[time] if time in read else read["t"]
        for state, velocity in model.velocity_of.items():
            if state in units:
                units.setdefault(velocity, units[state] / units["t"])
    return units


def equation_units(model: HybridODE, units: Units) -> tuple[dict[str, Unit], list[str]]:
    """What the equations demand of the networks' outputs and of parameters without a unit, and where they are wrong.

    Args:
        model: the hybrid.
        units: see `model_units`.

    Returns:
        Name -> unit, and a sentence for each equation that cannot be right; nothing is concluded from that one.
    """
    found: dict[str, list[Unit]] = {}
    wrong = []
    for state, right in zip(model.states, model.rhs, strict=True):
        wanted = units[state] / units["t"] if {state, "t"} <= units.keys() else None
        try:
            own = unit_of(right, units, loose=True)
            if own is not None and wanted is not None and not own.matches(wanted):
                raise UnitMismatch(f"the right side has {own}, the left side {wanted}")
            solved = solve_units(right, wanted, units, loose=True)
        except UnitMismatch as error:
            wrong.append(f"the units in the equation of {state} do not match: {error}.")
            continue
        for name, unit in solved.items():
            found.setdefault(name, []).append(unit)
    return {name: those[0] for name, those in found.items() if all(u.matches(those[0]) for u in those)}, wrong


def term_units(model: HybridODE, given: Mapping[str, str], time: str) -> dict[str, dict[str, str]]:
    """Missing term -> units of its arguments and, under its own name, of itself, where these are known.

    Args:
        model, given, time: see `model_units`.

    Raises:
        SearchError: a unit cannot be read.
    """
    if not given:
        return {}
    units = model_units(model, given, time)
    outputs, found = equation_units(model, units)[0], {}
    for slot in model.slots:
        inside = {}
        for name, *trees in zip(slot.arguments, *(call.args for call in slot.calls), strict=True):
            try:
                each = [unit_of(tree, units, loose=True) for tree in trees]
            except UnitMismatch:
                continue
            if None not in each and all(u.matches(each[0]) for u in each):
                inside[name] = each[0]
        for k, term in enumerate(slot.terms):
            own = [outputs[n] for n in (call.output_name(k) for call in slot.calls) if n in outputs]
            known = inside | ({term: own[0]} if own and all(u.matches(own[0]) for u in own) else {})
            found[term] = {name: str(unit) for name, unit in known.items()}
    return found


def law_units(form: ClosedForm, given: Mapping[str, str], time: str) -> dict[str | tuple[str, str], str]:
    """Parameter without a unit, or (term, constant), of a closed form -> its unit, where that follows.

    Args:
        form: the closed form.
        given, time: see `model_units`.
    """
    if not given:
        return {}
    model = form.model
    demanded = equation_units(model, model_units(model, given, time))[0]
    found: dict = {name: str(unit) for name, unit in demanded.items() if name in model.parameters}
    for term, texts in term_units(model, given, time).items():
        known = {name: parse_unit(text, name) for name, text in texts.items()}
        try:
            solved = solve_units(form.formulas[term].tree, known.pop(term, None), known)
        except UnitMismatch:
            continue
        found |= {(term, name): str(unit) for name, unit in solved.items()}
    return found
