"""Quantities derived from a law's constants: an expression, its value, and its interval by the delta method.

Source: Seber & Wild, Nonlinear Regression (1989), sec. 5.1 (the delta method).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from udesys.assess.covariance import NULL, PART_OF_NULL
from udesys.assess.estimate import Estimate
from udesys.assess.footing import Footing
from udesys.errors import ModelError, UdesysError, did_you_mean
from udesys.model import tree as T
from udesys.model.closed_form import ClosedForm
from udesys.model.derived import no_constant, parse_derived
from udesys.model.program import Program

if TYPE_CHECKING:
    from udesys.assess.discovery import Discovery


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """A named expression of a law's constants.

    Attributes:
        expression: its text.
        estimate: its value, and its interval by the delta method.
    """

    expression: str
    estimate: Estimate

    def to_dict(self) -> dict:
        """Plain values for JSON; what is not known is None."""
        known = self.estimate.to_dict()
        return {"expression": self.expression, **{k: v for k, v in known.items() if k not in ("fixed", "unit")}}


@dataclass(frozen=True)
class Expression:
    """An expression of a law's estimated values, as a function with exact slopes.

    Attributes:
        text: as it was written.
        tree: over the labels of the values.
        labels: of all values, in their order.
    """

    text: str
    tree: T.Tree = field(repr=False)
    labels: tuple[str, ...] = field(repr=False)

    @cached_property
    def _program(self) -> Program:
        return Program([self.tree, *(T.derivative(self.tree, name) for name in self.labels)], self.labels)

    def __call__(self, values) -> tuple[float, np.ndarray]:
        """Its value, and its slopes (unknowns,), where the law's values (unknowns,) are these."""
        with np.errstate(all="ignore"):
            value, *slopes = self._program.run([np.float64(v) for v in values])
        return float(value), np.array(slopes, dtype=float)

    @property
    def place(self) -> int | None:
        """Which of the values it is; None where it is none of them alone."""
        alone = isinstance(self.tree, T.Symbol)
        return self.labels.index(self.tree.name) if alone else None


def expression_of(form: ClosedForm, text: str) -> Expression:
    """An expression of a law's constants from its text.

    Args:
        form: the law.
        text: over parameters and labels such as `NN1.c0`; fixed parameters are numbers.

    Raises:
        ModelError: the text is no expression, it holds a name that is no constant of the law, or nothing in it was
            estimated.
    """
    tree, labels, model = parse_derived(text), form.labels, form.model
    known = [*model.parameters, *(label for label in labels if label not in model.parameters)]
    for name in sorted(T.symbols(tree)):
        if name not in known:
            raise ModelError(f"{no_constant(model, name)}. {did_you_mean(name, known, listed='The constants are')}")
    if not T.symbols(tree) & set(labels):
        fixed = ", ".join(sorted(T.symbols(tree)))
        why = f"{fixed} was given, not estimated" if fixed else "there is no constant in it"
        raise ModelError(f"{text!r} has one value alone: {why}. Estimated are {', '.join(labels) or 'none'}.")
    try:
        made = Expression(str(text), T.substitute(tree, model.fixed_values), tuple(labels))
        value, slopes = made(form.values)
    except ArithmeticError as error:
        raise ModelError(f"{text!r} has no value, or no slope, at the law's constants: {error}") from None
    if not (np.isfinite(value) and np.isfinite(slopes).all()):
        raise ModelError(f"{text!r} is not finite at the law's constants: it is {value:g} there.")
    return made


def footing_of(law: Discovery) -> Footing:
    """The measurements as they were weighted, on which a law is refitted.

    Args:
        law: what was found.

    Raises:
        UdesysError: an older version found it, and did not keep them.
    """
    if law.footing is None:
        raise UdesysError(
            "this law was found by an older version, which kept no weights of its measurements, and cannot be refitted "
            "as it was. Discover it anew."
        )
    return law.footing


# ------------------------------------------------------------------ the delta method
def derive(law: Discovery, text: str) -> Estimate:
    """The value of an expression of a law's constants, with its interval by the delta method.

    It can be known where the constants in it are not, as their product may be when each can make up for the other.

    Args:
        law: what was found.
        text: the expression, such as `alpha/delta` or `-NN1.c0/alpha`.

    Returns:
        Estimate: its standard error is NaN where the data do not determine it, or only constants at their bounds
            are in it.

    Raises:
        ModelError: the text is no expression of the law's constants.
        UdesysError: the law was found by an older version and does not keep what it stands on.
    """
    footing, expression = footing_of(law), expression_of(law.closed_form, text)
    value, slopes = expression(law.closed_form.values)
    at_bound = [e.at_bound is not None for e in estimates_in_order(law)]
    error, identifiable = _delta_method(law, slopes, ~np.array(at_bound, dtype=bool))
    half = footing.quantile * error
    return Estimate(value=value, stderr=error, interval=(value - half, value + half), identifiable=identifiable)


def quantities_of(law: Discovery, expressions: Mapping[str, str]) -> tuple[dict[str, Quantity], list[str]]:
    """Named expressions of a law's constants, and what is to be said of those that this law does not have.

    Args:
        law: what was found.
        expressions: name -> expression.
    """
    found, warnings = {}, []
    for name, text in expressions.items():
        try:
            found[name] = Quantity(expression=text, estimate=derive(law, text))
        except ModelError as error:
            warnings.append(f"the derived quantity {name} is left out: {error}")
    return found, warnings


def estimates_in_order(law: Discovery) -> list[Estimate]:
    """The estimates of a law's values, in the order of its closed form's `names`."""
    return [
        law.parameters[name] if isinstance(name, str) else law.residuals[name[0]].constants[name[1]]
        for name in law.closed_form.names
    ]


def _delta_method(law: Discovery, slopes: np.ndarray, free: np.ndarray) -> tuple[float, bool]:
    """The standard error of what has these slopes, and whether the data determine it."""
    form, footing = law.closed_form, law.footing
    refitter = footing.refitter(form.model)
    at = refitter.descend(form, form.values, footing.x0, iterations=0)
    system = None if at is None else refitter.linearise(form, at, footing.data.segments)
    if system is None or not slopes[free].any():
        return float("nan"), True
    matrix = system.reduced()[0][np.ix_(free, free)]
    scale = np.sqrt(np.maximum(np.diag(matrix), 1e-300))
    with np.errstate(all="ignore"):
        scaled, direction = matrix / np.outer(scale, scale), slopes[free] / scale
    if not np.isfinite(scaled).all():
        return float("nan"), True
    values, vectors = np.linalg.eigh(scaled)
    parts = vectors.T @ direction
    null = values < NULL * max(values.max(), 1e-300)
    if (parts[null] ** 2).sum() >= PART_OF_NULL * (parts**2).sum():
        return float("nan"), False
    return float(np.sqrt((parts[~null] ** 2 / values[~null]).sum())), True
