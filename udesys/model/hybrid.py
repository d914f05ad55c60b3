"""HybridODE: the known law with its network slots, checked and ready to be evaluated."""

from __future__ import annotations

import copy
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from udesys.errors import ModelError, did_you_mean, nearest
from udesys.model import tree as T
from udesys.model.grammar import RESERVED, NetworkCall, parse_equations, parse_expression
from udesys.model.grid import Grid, Spatial, is_spatial, spatial_parts
from udesys.model.invariants import describe, hold
from udesys.model.network import Network
from udesys.model.parameter import Parameter, is_number


@dataclass(frozen=True)
class Slot:
    """One network of the model: its calls in the equations and how many outputs they use.

    Attributes:
        name: the network's name.
        calls: its distinct calls; the first gives the arguments their names in formulas.
        n_outputs: outputs used, at least one.
        arguments: names of the arguments in formulas: the symbol itself where an argument of the first call
            is one, otherwise `NN_1`, `NN_2`, ... after the network's name.
    """

    name: str
    calls: tuple[NetworkCall, ...]
    n_outputs: int

    @property
    def arguments(self) -> tuple[str, ...]:
        first = self.calls[0].args
        plain = [a.name if isinstance(a, T.Symbol) else "" for a in first]
        return tuple(p if p and plain.count(p) == 1 else f"{self.name}_{k}" for k, p in enumerate(plain, start=1))

    @property
    def terms(self) -> tuple[str, ...]:
        """One name per output: `NN1`, or `NN1[0]`, `NN1[1]` where there are several."""
        return (self.name,) if self.n_outputs == 1 else tuple(f"{self.name}[{k}]" for k in range(self.n_outputs))


class HybridODE:
    """An ordinary differential equation with known terms and networks for the missing ones.

    Args:
        equations: one equation a line in the equation language, such as
            `prey' = alpha*prey + NN1(prey, predator)`; `x'' = ...` brings the state `x'` too.
        parameters: name -> `Parameter`, or a number for a fixed one; a name in the equations that is
            neither a state nor listed is estimated.
        networks: name -> `Network` where its size or activation matters.
        initial: state -> "free", "data" or a number [the state's unit]; "data" is the first measurement, and for a
            velocity that is not measured the first slope of its smoothed state.
        inputs: names of known functions of time, measured with the data (a force, a dose).
        covariates: names of known numbers that differ between trajectories (a temperature).
        observe: name -> expression over states, parameters, t, inputs and covariates: a measured quantity that
            is a function of the state.
        positive: states that are never below zero: no fitted state at a sample is, and no formula is taken with which
            such a state would fall where it is zero, at points that the data visited. From when the model meets data,
            what of a network would pull it down fades with it, where the signs of what else is there are known; `str`
            says where not. Bounds of parameters tell signs, inputs and covariates theirs.
        stays_zero: states that do not leave zero: what networks add to their equations vanishes where they do.
        conserved: sums of states, with numbers before them, that stay what they are, such as "S + I + R". Where the
            networks leave them free, one of these is put as what the others leave of it.
        grid: where every state is a field on a line, its points and ends; the equations then hold at every point, and
            may apply dx, dxx, laplace and conv3 to fields. The position may stand in them by the grid's name.

    Attributes:
        states: names of the states; a second-order state is followed by its velocity.
        spatial: the operators along the grid in the equations.
        rhs: one tree per state; network outputs are symbols.
        parameters: name -> Parameter in order of appearance.
        slots: the networks.
        observe: name -> tree.
        invariants: how `positive`, `stays_zero` and `conserved` are kept.

    Raises:
        ModelError: an equation cannot be read, or a name is unknown or used twice.
    """

    def __init__(
        self,
        equations: str,
        parameters: Mapping | None = None,
        networks: Mapping | None = None,
        initial: Mapping | None = None,
        *,
        inputs: Sequence[str] = (),
        covariates: Sequence[str] = (),
        observe: Mapping[str, str] | None = None,
        positive: Sequence[str] = (),
        stays_zero: Sequence[str] = (),
        conserved: Sequence[str] = (),
        grid: Grid | None = None,
    ):
        self.text = "\n".join(line.strip() for line in str(equations).strip().splitlines())
        self.networks = {n: _network(n, v) for n, v in (networks or {}).items()}
        parsed = parse_equations(equations, self.networks)
        self.equation_of = {e.state + "'" * (e.order - 1): e.text for e in parsed}
        self.states, self.rhs = _first_order(parsed)
        self.velocity_of = {e.state: f"{e.state}'" for e in parsed if e.order == 2}
        self.slots = _slots(parsed)
        self.inputs, self.covariates = _names("inputs", inputs), _names("covariates", covariates)
        self.grid = self._check_grid(grid)
        self.spatial = self._spatial(parsed)
        if grid is not None and grid.name in _names_in(parsed) and grid.name not in (*self.states, *self.exogenous):
            self.covariates = (*self.covariates, grid.name)
        listed = {n: _parameter(n, v) for n, v in (parameters or {}).items()}
        self._check_names(listed)
        self.observe = self._parse_observe(observe or {}, listed)
        self.parameters = self._name_parameters(parsed, listed)
        self._check_fixed_values(parsed)
        self.initial = self._check_initial(initial or {})
        self.positive = self._check_positive(positive)
        _refuse_unused(self.networks, [s.name for s in self.slots], "network")
        self.stays_zero, self.conserved = _names("stays_zero", stays_zero), _names("conserved", conserved)
        self.invariants = hold(self, self.stays_zero, self.conserved)
        self.rhs, self.slots = self.invariants.rhs, self.invariants.slots

    # -------------------------------------------------------------- checking
    def _check_names(self, listed: Mapping) -> None:
        """Refuse a name that stands for two things."""
        taken = dict.fromkeys(RESERVED, "a reserved name") | dict.fromkeys(self.states, "a state")
        groups = (("parameter", listed), ("input", self.inputs), ("covariate", self.covariates))
        for what, names in groups:
            for name in names:
                if name in taken:
                    raise ModelError(f"{what} {name!r} is {taken[name]}. Choose another name.")
                taken[name] = f"{'an' if what == 'input' else 'a'} {what}"

    def _check_grid(self, grid) -> Grid | None:
        if grid is None:
            return None
        if not isinstance(grid, Grid):
            raise ModelError(f"grid = {grid!r} is not understood. Give a udesys.Grid.")
        for name in grid.ends if isinstance(grid.ends, Mapping) else ():
            if name not in self.states:
                raise ModelError(f"the grid's ends name {name!r}, which is no field. {did_you_mean(name, self.states)}")
        if grid.name in self.states:
            raise ModelError(f"{grid.name!r} is a field and the position too. Rename one of them.")
        return grid

    def _spatial(self, parsed) -> tuple[Spatial, ...]:
        """Every operator along the grid, in the order of the equations."""
        found: dict[str, Spatial] = {}
        for equation in parsed:
            trees = (equation.right, *(a for call, _ in equation.calls for a in call.args))
            for symbol in (name for tree in trees for name in _in_order(tree) if is_spatial(name)):
                if self.grid is None:
                    raise ModelError(
                        f"equation {equation.line}: {symbol} is taken along a line, but no grid is given. Add the grid "
                        f"on which its states are fields ([grid] in a spec, grid=Grid(...) in Python).\n"
                        f"    {equation.text}"
                    )
                if symbol not in found:
                    found[symbol] = self._spatial_of(symbol, equation)
        return tuple(found.values())

    def _spatial_of(self, symbol: str, equation) -> Spatial:
        operator, text = spatial_parts(symbol)
        argument = parse_expression(text)
        names = _in_order(argument)
        for name in names:
            if name not in self.states:
                raise ModelError(
                    f"equation {equation.line}: {symbol} is not of fields alone: {name} is none. "
                    f"{did_you_mean(name, self.states)} Constants and coefficients go before the operator.\n"
                    f"    {equation.text}"
                )
        if not names:
            raise ModelError(f"equation {equation.line}: {symbol} holds no field.\n    {equation.text}")
        if len({self.grid.ends_of(name) for name in names}) > 1:
            raise ModelError(f"equation {equation.line}: the fields of {symbol} have different ends.")
        return Spatial(symbol, operator, argument, names[0])

    def _parse_observe(self, observe: Mapping, listed: Mapping) -> dict[str, T.Tree]:
        taken = {*self.states, *self.exogenous, *listed, *RESERVED}
        trees = {}
        for name, text in observe.items():
            if not isinstance(name, str) or name in taken:
                raise ModelError(f"observe names {name!r}, which is a name of the model already. Choose another name.")
            if not isinstance(text, str):
                raise ModelError(f"observe {name} = {text!r} is not understood. Write an expression of the states.")
            try:
                trees[name] = parse_expression(text)
            except ModelError as error:
                raise ModelError(f"observe {name}: {error}") from None
            along = [symbol for symbol in _in_order(trees[name]) if is_spatial(symbol)]
            if along:
                raise ModelError(f"observe {name}: {along[0]} is taken along the grid; what is measured is at a point.")
            if not T.symbols(trees[name]) & set(self.states):
                raise ModelError(f"observe {name} = {text!r} holds no state. States are {', '.join(self.states)}.")
        return trees

    def _name_parameters(self, parsed, listed: dict[str, Parameter]) -> dict[str, Parameter]:
        known = {*self.states, *self.exogenous, "t"}
        found: dict[str, Parameter] = {}
        seen: set[str] = set()
        for equation in parsed:
            for symbol in _in_order(equation.right):
                seen.add(symbol)
                if symbol.endswith("]") or symbol in known:
                    continue
                self._refuse_odd_name(symbol, equation)
                found.setdefault(symbol, listed.get(symbol, Parameter()))
        for slot in self.slots:
            for call in slot.calls:
                for argument in call.args:
                    seen |= T.symbols(argument)
                    self._check_argument(slot.name, argument, listed, found)
        for name, tree in self.observe.items():
            for symbol in _in_order(tree):
                seen.add(symbol)
                if symbol not in known and (symbol.startswith("NN") or symbol.endswith("'")):
                    raise ModelError(f"observe {name}: {symbol} is no state and no parameter.")
                if symbol not in known:
                    found.setdefault(symbol, listed.get(symbol, Parameter()))
        _refuse_unused(listed, list(found), "parameter")
        for what, names in (("input", self.inputs), ("covariate", self.covariates)):
            _refuse_unused(dict.fromkeys(names), sorted(n for n in seen if not n.endswith("]")), what)
        return found

    def _refuse_odd_name(self, symbol: str, equation) -> None:
        if symbol.startswith("NN") or symbol in self.networks:
            raise ModelError(
                f"equation {equation.line}: the network {symbol} has no argument. Name what the missing term may "
                f"depend on, as in {symbol}({', '.join(self.states)}).\n    {equation.text}"
            )
        if symbol.endswith("'"):
            raise ModelError(
                f"equation {equation.line}: {symbol} is no state. Only a second-order state has a velocity on the "
                f"right; its own equation starts with  {symbol}' = ...\n    {equation.text}"
            )

    def _check_argument(self, network: str, argument: T.Tree, listed: dict, found: dict) -> None:
        for symbol in _in_order(argument):
            if symbol == "t" or symbol in self.states or symbol in self.exogenous:
                continue
            if symbol not in listed and symbol not in found:
                close = nearest(symbol, [*self.states, *listed])
                hint = f"Did you mean {close[0]!r}? " if close else ""
                raise ModelError(
                    f"{network} depends on {symbol!r}, which has no equation and is no parameter. {hint}"
                    f"Write its equation ({symbol}' = ...), or list it under parameters. "
                    f"States are {', '.join(self.states)}."
                )
            found.setdefault(symbol, listed.get(symbol, Parameter()))
        if not T.symbols(argument) & {"t", *self.states, *self.exogenous}:
            raise ModelError(f"{network} has the argument {T.to_text(argument)!r}, which never changes. Remove it.")

    def _check_fixed_values(self, parsed) -> None:
        """Refuse values that make a term infinite or undefined, such as log(k) with k = -1."""
        for name, tree in self.observe.items():
            try:
                T.substitute(tree, self.fixed_values)
            except ArithmeticError as error:
                raise ModelError(f"observe {name}, with the fixed values in place: {error} Correct it.") from None
        for equation in parsed:
            for tree in (equation.right, *(argument for call, _ in equation.calls for argument in call.args)):
                try:
                    T.substitute(tree, self.fixed_values)
                except ArithmeticError as error:
                    raise ModelError(
                        f"equation {equation.line}, with the fixed values in place: {error} Correct the value or the "
                        f"term.\n    {equation.text}"
                    ) from None

    def _check_initial(self, initial: Mapping) -> dict[str, str | float]:
        checked: dict[str, str | float] = dict.fromkeys(self.states, "free")
        for name, value in initial.items():
            if name not in checked:
                raise ModelError(f"initial names {name!r}, which is no state. {did_you_mean(name, self.states)}")
            number = is_number(value) and math.isfinite(value)
            if value not in ("free", "data") and not number:
                raise ModelError(f'initial {name} = {value!r} is not understood. Write "free", "data" or a number.')
            checked[name] = float(value) if number else value
        return checked

    def _check_positive(self, positive: Sequence[str]) -> tuple[str, ...]:
        names = _names("positive", positive)
        for name in names:
            if name not in self.states:
                raise ModelError(f"positive names {name!r}, which is no state. {did_you_mean(name, self.states)}")
            value = self.initial[name]
            if isinstance(value, float) and value < 0:
                raise ModelError(f"initial {name} = {value:g} is negative, but {name} is listed as positive.")
        return names

    # -------------------------------------------------------------- reading
    @property
    def exogenous(self) -> tuple[str, ...]:
        """Names of what is known beside the states: inputs, covariates, and operators along the grid."""
        return (*self.inputs, *self.covariates, *(part.name for part in self.spatial))

    @property
    def measurable(self) -> tuple[str, ...]:
        """Names that a column of data may have: states, then observables."""
        return (*self.states, *self.observe)

    @property
    def estimated(self) -> tuple[str, ...]:
        """Names of the parameters that are estimated."""
        return tuple(n for n, p in self.parameters.items() if not p.fixed)

    @property
    def fixed_values(self) -> dict[str, T.Tree]:
        """Fixed parameters as numbers to put in place."""
        return {n: T.Number(p.start) for n, p in self.parameters.items() if p.fixed}

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of all missing terms, network by network."""
        return tuple(term for slot in self.slots for term in slot.terms)

    def pointwise(self) -> HybridODE:
        """What holds at one point of the grid by itself, its operators along the grid known as covariates are."""
        other = copy.copy(self)
        other.grid, other.spatial = None, ()
        other.covariates = (*self.covariates, *(part.name for part in self.spatial))
        return other

    def with_parameters(self, parameters: Mapping[str, Parameter]) -> HybridODE:
        """The same model with other starts, bounds and priors of the parameters it has."""
        other = copy.copy(self)
        other.parameters = {name: parameters.get(name, own) for name, own in self.parameters.items()}
        return other

    def with_formulas(self, formulas: Mapping[str, T.Tree]) -> tuple[T.Tree, ...]:
        """The right sides with a formula in place of every network output.

        Args:
            formulas: term name (see `terms`) -> tree over the slot's argument names and its constants.
        """
        values: dict[str, T.Tree] = {}
        for slot in self.slots:
            for call in slot.calls:
                arguments = dict(zip(slot.arguments, call.args, strict=True))
                for k, term in enumerate(slot.terms):
                    values[call.output_name(k)] = T.substitute(formulas[term], arguments)
        return tuple(T.substitute(right, values) for right in self.rhs)

    def formula_text(self, term: str, formula: T.Tree, digits: int = 6) -> str:
        """A formula in the names of the equations: arguments of the first call put in place."""
        slot = next(s for s in self.slots if term in s.terms)
        arguments = dict(zip(slot.arguments, slot.calls[0].args, strict=True))
        return T.to_text(T.substitute(formula, arguments), digits)

    def to_sympy(self) -> dict:
        """state -> SymPy expression of its derivative; networks are undefined functions."""
        from udesys.model.symbolic import to_sympy

        return {s: to_sympy(right, self._calls_by_output()) for s, right in zip(self.states, self.rhs, strict=True)}

    def _calls_by_output(self) -> dict[str, tuple[str, NetworkCall]]:
        return {
            call.output_name(k): (term, call)
            for slot in self.slots
            for call in slot.calls
            for k, term in enumerate(slot.terms)
        }

    def __str__(self) -> str:
        width = max(map(len, self.equation_of)) + 2
        lines = ["HybridODE"]
        for text in self.equation_of.values():
            left, _, right = text.partition("=")
            lines.append(f"  {left.strip():<{width}} = {right.strip()}")
        fixed = [f"{n} = {p.start:g}" for n, p in self.parameters.items() if p.fixed]
        if self.estimated:
            lines.append(f"  estimated: {', '.join(self.estimated)}")
        if fixed:
            lines.append(f"  fixed: {', '.join(fixed)}")
        lines += [f"  measured: {name} = {T.to_text(tree)}" for name, tree in self.observe.items()]
        if self.grid is not None:
            lines.append(f"  fields on {self.grid}")
        if self.inputs or self.covariates:
            lines.append(f"  known along the data: {', '.join((*self.inputs, *self.covariates))}")
        lines += [f"  {line}" for line in describe(self.invariants, self.stays_zero, self.conserved)]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        import html

        return f"<pre>{html.escape(str(self))}</pre>"

    def _repr_latex_(self) -> str:
        import sympy

        rows = [f"\\dot{{{sympy.latex(sympy.Symbol(s))}}} &= {sympy.latex(e)}" for s, e in self.to_sympy().items()]
        return "$$\\begin{aligned}" + " \\\\ ".join(rows) + "\\end{aligned}$$"


def _names_in(parsed) -> set[str]:
    """All names of the equations, those in arguments of networks included."""
    trees = (tree for e in parsed for tree in (e.right, *(a for call, _ in e.calls for a in call.args)))
    return {name for tree in trees for name in T.symbols(tree)}


def _in_order(tree: T.Tree) -> list[str]:
    """Symbols of a tree from left to right."""
    found: dict[str, None] = {}
    stack = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, T.Symbol):
            found.setdefault(node.name)
        elif isinstance(node, T.Operation):
            stack.extend(reversed(node.args))
    return list(found)


def _first_order(parsed) -> tuple[tuple[str, ...], tuple[T.Tree, ...]]:
    states: dict[str, T.Tree] = {}
    for equation in parsed:
        new = {equation.state: equation.right}
        if equation.order == 2:
            velocity = f"{equation.state}'"
            new = {equation.state: T.Symbol(velocity), velocity: equation.right}
        for name, right in new.items():
            if name in states:
                raise ModelError(
                    f"equation {equation.line} gives {name} a second equation. Keep one.\n    {equation.text}"
                )
            states[name] = right
    return tuple(states), tuple(states.values())


def _slots(parsed) -> tuple[Slot, ...]:
    calls: dict[str, dict[NetworkCall, None]] = {}
    outputs: dict[str, int] = {}
    for equation in parsed:
        for call, output in equation.calls:
            seen = calls.setdefault(call.network, {})
            first = next(iter(seen), call)
            if len(call.args) != len(first.args):
                raise ModelError(
                    f"equation {equation.line}: {call.network} is called with {len(call.args)} arguments, before with "
                    f"{len(first.args)}. One network has one list of arguments; use another name, such as "
                    f"{call.network}b, for another network.\n    {equation.text}"
                )
            seen.setdefault(call)
            outputs[call.network] = max(outputs.get(call.network, 0), output + 1)
    return tuple(Slot(name, tuple(c), outputs[name]) for name, c in calls.items())


def _names(what: str, names) -> tuple[str, ...]:
    if isinstance(names, str) or not isinstance(names, Sequence) or not all(isinstance(n, str) for n in names):
        raise ModelError(f'{what} = {names!r} must be a list of names, such as ["force"].')
    if len(set(names)) < len(names):
        counts = Counter(names)
        repeated = next(n for n in names if counts[n] > 1)
        raise ModelError(f"{what} names {repeated!r} twice. Keep one.")
    return tuple(names)


def _parameter(name: str, value) -> Parameter:
    try:
        if isinstance(value, Parameter):
            return value
        if isinstance(value, int | float) and not isinstance(value, bool):
            return Parameter(start=value, fixed=True)
    except ModelError as error:
        raise ModelError(f"parameter {name}: {error}") from None
    raise ModelError(f"parameter {name} = {value!r} is not understood. Give a number or a Parameter.")


def _network(name: str, value) -> Network:
    if isinstance(value, Network):
        return value
    raise ModelError(f"network {name} = {value!r} is not understood. Give a Network.")


def _refuse_unused(given: Mapping, used: list[str], kind: str) -> None:
    for name in given:
        if name not in used:
            raise ModelError(f"{kind} {name!r} does not occur in the equations. {did_you_mean(name, used)}")
