"""A law or a hybrid as a function of its states and of one number that is varied, with exact derivatives."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from udesys.errors import ModelError, did_you_mean
from udesys.integrate.adaptive_machine import evaluate
from udesys.model import tree as T
from udesys.model.closed_form import ClosedForm
from udesys.model.hybrid import HybridODE
from udesys.model.program import Program

if TYPE_CHECKING:
    from udesys.fit import FitResult
    from udesys.model.field import HybridField

LAW, HYBRID, MODEL = "law", "hybrid", "model"
MOST_PATHS = 20_000  # from arguments to outputs of a network: each is a part of its formula


@dataclass(frozen=True)
class Numbers:
    """The right sides over states and names, and what the names stand for.

    Attributes:
        of: "law", "hybrid" or "model".
        states: names of the states.
        trees: one right side for each, over states, names and t.
        values: name -> value; NaN where nothing says one.
        kinds: name -> "parameter", "constant", "input" or "covariate".
        stiff: simulate by the implicit method.
    """

    of: str
    states: tuple[str, ...]
    trees: tuple[T.Tree, ...]
    values: Mapping[str, float]
    kinds: Mapping[str, str]
    stiff: bool = False


def numbers_of_form(form: ClosedForm) -> Numbers:
    """Those of a closed form: its parameters, and the constants of its formulas as they are printed.

    Args:
        form: the closed form.
    """
    model, trees, values, kinds = form.model, {}, _fixed(form.model), {}
    values |= form.parameters
    kinds |= dict.fromkeys(values, "parameter")
    for term in model.terms:
        formula = form.formulas[term]
        names = {name: f"{term}.{name}" for name in formula.constants}
        trees[term] = T.substitute(formula.tree, {name: T.Symbol(label) for name, label in names.items()})
        values |= {label: float(formula.constants[name]) for name, label in names.items()}
        kinds |= dict.fromkeys(names.values(), "constant")
    return _numbers(LAW, model, trees, values, kinds, form.stiff)


def numbers_of_fit(fit: FitResult) -> Numbers:
    """Those of a fitted hybrid, its networks written out: exact derivatives as a formula has them.

    Args:
        fit: the fitted hybrid.

    Raises:
        ModelError: a network is too large to be written out.
    """
    model, field, theta = fit.model, fit.problem.field, fit.unknowns.theta
    trees = {}
    for k, slot in enumerate(model.slots):
        for term, tree in zip(slot.terms, network_trees(field, k, theta), strict=True):
            trees[term] = tree
    values = _fixed(model) | dict(zip(field.parameters, map(float, field.parameter_values(theta)), strict=True))
    stiff = fit.problem.method != "rk4"
    return _numbers(HYBRID, model, trees, values, dict.fromkeys(values, "parameter"), stiff)


def numbers_of_model(model: HybridODE) -> Numbers:
    """Those of a model without networks, every parameter at the value it is given or starts from.

    Args:
        model: the equations.

    Raises:
        ModelError: it has a network.
    """
    if model.slots:
        raise ModelError(
            f"the model has the network {model.slots[0].name}, and nothing says what it is. Fit it first, or write "
            "its term as a formula."
        )
    values = {name: float(p.guess) for name, p in model.parameters.items()}
    return _numbers(MODEL, model, {}, values, dict.fromkeys(values, "parameter"), False)


def _fixed(model: HybridODE) -> dict[str, float]:
    return {name: tree.value for name, tree in model.fixed_values.items()}


def _numbers(of: str, model: HybridODE, trees, values, kinds, stiff: bool) -> Numbers:
    kinds = kinds | dict.fromkeys(model.inputs, "input") | dict.fromkeys(model.covariates, "covariate")
    values = values | dict.fromkeys(model.exogenous, math.nan)
    return Numbers(of, tuple(model.states), model.with_formulas(trees), values, kinds, stiff)


def network_trees(field: HybridField, slot: int, theta: np.ndarray) -> list[T.Tree]:
    """A network's outputs as formulas over its argument names.

    Args:
        field: the hybrid's right side.
        slot: which network.
        theta: (n_theta,) weights of all networks, then the parameters.

    Raises:
        ModelError: it is too large.
    """
    layout, scale, of = field.layouts[slot], field.scales[slot], field.model.slots[slot]
    if math.prod(layout.sizes) > MOST_PATHS * layout.sizes[-1]:
        sizes = "-".join(map(str, layout.sizes))
        raise ModelError(
            f"the network {of.name} ({sizes}) is too large to be followed. Vary the recovered law instead."
        )
    layers, skip = layout.matrices(np.asarray(theta, float)[field.weights_of[slot]])
    plain: list[T.Tree] = [T.Symbol(name) for name in of.arguments]
    plain += [T.mul(plain[i], plain[j]) for i, j in layout.pairs]
    seen = [
        T.div(T.sub(a, T.Number(float(shift))), T.Number(float(width)))
        for a, shift, width in zip(plain, scale.shift, scale.width, strict=True)
    ]
    units = seen
    for matrix, bias in layers[:-1]:
        units = [_ACTIVATIONS[layout.activation](a) for a in _affine(matrix, bias, units)]
    matrix, bias = layers[-1]
    outputs = [T.add(a, b) for a, b in zip(_affine(matrix, bias, units), _affine(skip, 0.0 * bias, seen), strict=True)]
    outputs = [T.mul(T.Number(float(size)), a) for size, a in zip(scale.output, outputs, strict=True)]
    terms = zip(of.terms, outputs, strict=True)
    return [field.model.invariants.acting(term, output, plain) for term, output in terms]


def _affine(matrix: np.ndarray, bias: np.ndarray, units: list[T.Tree]) -> list[T.Tree]:
    rows = zip(matrix.tolist(), bias.tolist(), strict=True)
    return [
        T.total([T.Number(b), *(T.mul(T.Number(w), u) for w, u in zip(row, units, strict=True))]) for row, b in rows
    ]


def _cubic(z: T.Tree) -> T.Tree:
    return T.mul(z, T.add(T.ONE, T.div(T.power(z, T.Number(2.0)), T.Number(6.0))))


def _softplus(z: T.Tree) -> T.Tree:
    """log(1 + exp(z)) as max(z, 0) + log(1 + exp(-|z|)), which does not overflow."""
    rest = T.call("log", T.add(T.ONE, T.call("exp", T.neg(T.call("abs", z)))))
    return T.add(T.call("max", z, T.ZERO), rest)


_ACTIVATIONS = {"tanh": lambda z: T.call("tanh", z), "softplus": _softplus, "cubic": _cubic}


class Varied:
    """dx/dt over the states and one name, everything else in place.

    Args:
        numbers: the right sides and what their names stand for.
        name: what is varied.
        at: name -> value, in place of its own.

    Attributes:
        value: what the name stands for by itself; NaN where nothing says that.
        held: name -> value of the inputs and covariates that stay.

    Raises:
        ModelError: a name is unknown, has no value, or the right sides depend on time.
    """

    def __init__(self, numbers: Numbers, name: str, at: Mapping[str, float] | None = None):
        refuse_unknown(numbers, name, "to vary")
        for other in at or {}:
            refuse_unknown(numbers, other, "to hold")
        self.states, self.d, self.name, self.stiff = numbers.states, len(numbers.states), name, numbers.stiff
        self.value = float(numbers.values[name])
        values = {n: float(v) for n, v in {**numbers.values, **(at or {})}.items() if n != name}
        held = {n: T.Number(v) for n, v in values.items() if math.isfinite(v)}
        try:
            self.trees = tuple(T.substitute(tree, held) for tree in numbers.trees)
        except ArithmeticError as error:
            raise ModelError(f"with the values in place: {error} Hold another value.") from None
        used = set().union(*map(T.symbols, self.trees))
        self._refuse_open(used, numbers)
        self.held = {n: v for n, v in values.items() if numbers.kinds[n] in ("input", "covariate") or n in (at or {})}

    def _refuse_open(self, used: set[str], numbers: Numbers) -> None:
        if "t" in used:
            state = next(s for s, tree in zip(self.states, self.trees, strict=True) if "t" in T.symbols(tree))
            raise ModelError(
                f"the right side of {state} depends on t, so that it has no equilibria and no cycles of its own. "
                "Make what varies in time an input, which is held."
            )
        if self.name not in used:
            raise ModelError(f"{self.name} does not occur in the right sides as they are, so that nothing varies.")
        for name in sorted(used - {*self.states, self.name}):
            raise ModelError(f"the {numbers.kinds[name]} {name} has no value. Give it one with at.")

    @cached_property
    def program(self) -> Program:
        """dx/dt over states and name."""
        return Program(self.trees, [*self.states, self.name])

    @cached_property
    def implicit_program(self) -> Program:
        """dx/dt, then df/dx by rows, over states, name and t."""
        return Program([*self.trees, *self._by_state], [*self.states, self.name, "t"])

    @cached_property
    def _by_state(self) -> list[T.Tree]:
        return [T.derivative(tree, state) for tree in self.trees for state in self.states]

    @cached_property
    def _linear(self) -> Program:
        by_name = [T.derivative(tree, self.name) for tree in self.trees]
        return Program([*self.trees, *self._by_state, *by_name], [*self.states, self.name])

    def linearise(self, x: np.ndarray, p: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The right side with its exact derivatives at points x (n, d), p (n,).

        Returns:
            f (n, d), df/dx (n, d, d), df/dp (n, d); not finite where it is not defined.
        """
        n, d = x.shape
        found = evaluate(self._linear, np.column_stack([x, p]))
        return found[:, :d], found[:, d : d + d * d].reshape(n, d, d), found[:, d + d * d :]


def refuse_unknown(numbers: Numbers, name: str, what: str) -> None:
    """Refuse a name that is no number of the model.

    Args:
        numbers: of the model.
        name: the name.
        what: is asked of it.

    Raises:
        ModelError: it is a state, the time, or unknown.
    """
    if name in numbers.states:
        raise ModelError(
            f"{name} is a state: it moves by itself, and there is nothing {what}. Name a covariate, an input, a "
            f"parameter or a constant: {', '.join(numbers.kinds) or 'the model has none'}."
        )
    if name not in numbers.kinds:
        raise ModelError(f"the {numbers.of} has no number {name!r} {what}. {did_you_mean(name, numbers.kinds)}")
