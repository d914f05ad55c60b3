"""Closed forms as SBML, the exchange format of systems biology's simulators (COPASI, Tellurium, SimBiology, ...).

States are parameters with rate rules: they may be negative and need no compartment. Level 3 Version 1 has all that
is needed, and readers of Version 2 read it too.

Source: Hucka et al., SBML Level 3 Version 1 Core, J. Integr. Bioinform. 15 (2018) 20170081.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from udesys.errors import ModelError, UdesysError
from udesys.model import tree as T
from udesys.model.closed_form import ClosedForm
from udesys.model.export import named_equations

if TYPE_CHECKING:
    from udesys.integrate.driving import Driving

INSTALL = 'python -m pip install "python-libsbml>=5.20,<6"'
LEVEL, VERSION = 3, 1
MOST_PIECES = 2000  # of all inputs together: a simulator compiles them, a second for each thousand
TIME = "t"  # the equations' name for time

# Names that simulators and infix formulas keep for themselves; an id may not be one.
_TAKEN = frozenset(
    "time avogadro pi exponentiale e infinity inf notanumber nan true false abs acos acosh arccos arcsin arctan asin "
    "atan ceil ceiling cos cosh cot csc delay exp factorial floor gt geq lt leq eq neq and or not xor ln log log10 max "
    "min piecewise plus minus times divide power pow rateOf root sec sin sinh sqr sqrt tan tanh default law".split()
)
_BINARY = {"add": "AST_PLUS", "sub": "AST_MINUS", "mul": "AST_TIMES", "div": "AST_DIVIDE", "pow": "AST_POWER"}
_UNARY = {name: f"AST_FUNCTION_{name.upper()}" for name in "exp sin cos tan tanh sinh cosh abs".split()} | {
    "neg": "AST_MINUS",
    "log": "AST_FUNCTION_LN",
}
_COMPARED = {"less": "AST_RELATIONAL_LT", "min": "AST_RELATIONAL_LT", "max": "AST_RELATIONAL_GT"}


def sbml_text(
    form: ClosedForm,
    initial: Mapping[str, float],
    start: float,
    *,
    driving: Driving | None = None,
    time: str = TIME,
    source: str = "",
    units: Mapping[str, str] | None = None,
    notes: Sequence[str] = (),
) -> str:
    """The text of an SBML document with a closed form, its constants and the initial values of one trajectory.

    A simulator of SBML begins at time 0, which is the trajectory's start; where that is another time of the data, or
    the equations hold time, the parameter `t` is time in the data. Every name of the equations that is no SBML id is
    kept as a `name`.

    Args:
        form: the closed form.
        initial: state -> value at the start.
        start: time of the initial values [the data's time unit].
        driving: inputs and covariates along the trajectory; needed where the model has any.
        time: name of the time in the data.
        source: what the law was found in.
        units: state, parameter or constant (as in `named_equations`) -> unit, written into its notes.
        notes: more sentences about the model.

    Raises:
        UdesysError: python-libsbml is not installed.
        ModelError: the inputs have too many samples for formulas.
    """
    model = _Writer(form, start, units or {}, time)
    model.describe(source, driving is not None and bool(driving.varying), notes)
    for state in form.model.states:
        model.parameter(state, initial[state], constant=False)
    right, values = named_equations(form)
    for name, value in values.items():
        model.parameter(name, value)
    if driving is not None:
        model.drive(driving)
    for name, tree in form.model.observe.items():
        model.parameter(name, None, constant=False)
        model.assign(name, model.math(tree))
    for state, tree in zip(form.model.states, right, strict=True):
        model.rate(state, model.math(tree))
    return model.text()


def _libsbml():
    try:
        import libsbml
    except ImportError as error:
        raise UdesysError(f"SBML is written by python-libsbml, which is not installed. Add it:  {INSTALL}") from error
    return libsbml


class _Writer:
    """A document in the making."""

    def __init__(self, form: ClosedForm, start: float, units: Mapping[str, str], time: str):
        self.sbml, self.form, self.start, self.units = _libsbml(), form, float(start), units
        self.document = self.sbml.SBMLDocument(LEVEL, VERSION)
        self.model = self.document.createModel()
        self.model.setId("law")
        names = [*form.model.states, *named_equations(form)[1], *form.model.exogenous, *form.model.observe]
        self.ids = sbml_ids([TIME, *names])
        used = {name for tree in (*form.rhs, *form.observed) for name in T.symbols(tree)}
        if self.start or TIME in used:
            self.parameter(TIME, None, constant=False, name=time)
            self.assign(TIME, self.node("AST_PLUS", self.node("AST_NAME_TIME"), self.number(self.start)))

    def describe(self, source: str, driven: bool, notes: Sequence[str]) -> None:
        self.model.setName(f"law of {source}" if source else "law")
        lines = [f"A law that udesys found{f' in {source}' if source else ''}, with the constants it estimated."]
        if self.start:
            lines.append(f"Time 0 here is {self.start!r} in the data; the parameter t is time in the data.")
        if driven:
            lines.append("Inputs follow their measured record, and keep its last value after it.")
        self.note(self.model, [*lines, *notes])

    def note(self, what, lines: list[str]) -> None:
        inside = "".join(f"<p>{html.escape(line)}</p>" for line in lines)
        what.setNotes(f'<body xmlns="http://www.w3.org/1999/xhtml">{inside}</body>')

    def parameter(self, key: str, value: float | None, *, constant: bool = True, name: str = "") -> None:
        made = self.model.createParameter()
        made.setId(self.ids[key])
        made.setConstant(constant)
        if value is not None:
            made.setValue(float(value))
        if (name or key) != self.ids[key]:
            made.setName(name or key)
        if self.units.get(key):
            self.note(made, [f"Unit: {self.units[key]}"])

    def assign(self, key: str, math) -> None:
        rule = self.model.createAssignmentRule()
        rule.setVariable(self.ids[key])
        rule.setMath(math)

    def rate(self, key: str, math) -> None:
        rule = self.model.createRateRule()
        rule.setVariable(self.ids[key])
        rule.setMath(math)

    def text(self) -> str:
        return self.sbml.writeSBMLToString(self.document)

    # -------------------------------------------------------------- what drives it
    def drive(self, driving: Driving) -> None:
        """Inputs as assignment rules, covariates as constants."""
        begin, last = driving.values([self.start])[0], driving.values([driving.t[-1]])[0]
        records = {}
        for j, name in enumerate(driving.names):
            if name in driving.varying:
                pieces = zip(driving.t[:-1].tolist(), driving.pieces[:, j].tolist(), strict=True)
                held = (float(driving.t[-1]), [float(last[j]), 0.0, 0.0, 0.0])
                records[name] = _merged([*pieces, held])
            else:
                self.parameter(name, begin[j])
        self._check_length(records)
        for name, record in records.items():
            self.parameter(name, None, constant=False)
            self.assign(name, self._chosen(record))

    def _check_length(self, records: Mapping[str, list]) -> None:
        count = sum(map(len, records.values()))
        if count > MOST_PIECES:
            raise ModelError(
                f"{', '.join(records)} run through {count} pieces, and SBML would hold each as a formula: more than "
                f"{MOST_PIECES} are too many for its readers. Export to Python, which holds the record as a table, or "
                "discover the law of a thinned record."
            )

    def _chosen(self, record: list):
        """The piece in force, found by halving: a flat list of thousands takes a simulator minutes to compile."""
        if len(record) == 1:
            return self._cubic(*record[0])
        middle = len(record) // 2
        border = self.number(record[middle][0] - self.start)
        before = self.node("AST_RELATIONAL_LT", self.node("AST_NAME_TIME"), border)
        return self.node("AST_FUNCTION_PIECEWISE", self._chosen(record[:middle]), before, self._chosen(record[middle:]))

    def _cubic(self, begin: float, coefficients: list[float]):
        """c0 + s*(c1 + s*(c2 + s*c3)), s the time since the piece began."""
        *lower, result = [self.number(c) for c in _trimmed(coefficients)]
        for coefficient in reversed(lower):
            since = self.node("AST_MINUS", self.node("AST_NAME_TIME"), self.number(begin - self.start))
            result = self.node("AST_PLUS", coefficient, self.node("AST_TIMES", since, result))
        return result

    # -------------------------------------------------------------- formulas
    def node(self, kind: str, *children):
        made = self.sbml.ASTNode(getattr(self.sbml, kind))
        if kind == "AST_NAME_TIME":
            made.setName("time")
        for child in children:
            made.addChild(child)
        return made

    def number(self, value: float):
        if value == math.pi:
            return self.node("AST_CONSTANT_PI")
        made = self.sbml.ASTNode(self.sbml.AST_REAL)
        made.setValue(float(value))
        return made

    def math(self, tree: T.Tree):
        """The tree as MathML; a choice is a piecewise, and what is chosen from is written twice."""
        if isinstance(tree, T.Number):
            return self.number(tree.value)
        if isinstance(tree, T.Symbol):
            made = self.sbml.ASTNode(self.sbml.AST_NAME)
            made.setName(self.ids[tree.name])
            return made
        op, args = tree.op, tree.args
        if op in _UNARY:
            return self.node(_UNARY[op], self.math(args[0]))
        if op in _BINARY:
            return self.node(_BINARY[op], *map(self.math, args))
        if op == "sqrt":
            return self.node("AST_POWER", self.math(args[0]), self.number(0.5))
        if op == "sigmoid":
            half = T.Number(0.5)
            return self.math(T.mul(half, T.add(T.ONE, T.call("tanh", T.mul(half, args[0])))))
        if op == "sign":
            return self._sign(args[0])
        return self._choice(op, args)

    def _sign(self, tree: T.Tree):
        kinds = (1.0, "AST_RELATIONAL_GT"), (-1.0, "AST_RELATIONAL_LT")
        cases = [(self.number(v), self.node(kind, self.math(tree), self.number(0.0))) for v, kind in kinds]
        return self.node("AST_FUNCTION_PIECEWISE", *(part for case in cases for part in case), self.number(0.0))

    def _choice(self, op: str, args: tuple[T.Tree, ...]):
        chosen = (T.ONE, T.ZERO) if op == "less" else args
        condition = self.node(_COMPARED[op], *map(self.math, args))
        return self.node("AST_FUNCTION_PIECEWISE", self.math(chosen[0]), condition, self.math(chosen[1]))


def sbml_ids(names: list[str]) -> dict[str, str]:
    """name -> an SBML id of its own: `theta'` becomes theta_dot, `NN1.c0` becomes NN1_c0.

    Args:
        names: of states, constants, inputs and observables.
    """
    found: dict[str, str] = {}
    for name in names:
        text = re.sub(r"[^A-Za-z0-9_]", "_", name.replace("'", "_dot"))
        text = text if re.match(r"[A-Za-z_]", text) else f"_{text}"
        while text in _TAKEN or text in found.values():
            text += "_"
        found[name] = text
    return found


def _merged(record: list) -> list:
    """The record without pieces that only go on with a constant."""
    kept = record[:1]
    for piece in record[1:]:
        if len(_trimmed(piece[1])) > 1 or piece[1] != kept[-1][1]:
            kept.append(piece)
    return kept


def _trimmed(coefficients: list[float]) -> list[float]:
    """Without zeros at the end; c0 stays."""
    n = len(coefficients)
    while n > 1 and coefficients[n - 1] == 0.0:
        n -= 1
    return coefficients[:n]
