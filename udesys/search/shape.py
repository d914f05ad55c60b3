"""Whether a formula has what is known of its term: sign and slopes where the data went, and what it does at zero."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from udesys.model import tree as T
from udesys.model.closed_form import Formula
from udesys.model.program import Program
from udesys.model.vanishing import Vanishing
from udesys.search.boundary import Inward
from udesys.search.knowledge import TermKnowledge

SLACK = 0.01  # of the largest value, or of all rises and falls: how far a formula may stray, as noise moves the points
ROUNDING = 1e-12  # of a value: a difference of two that is none


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Sign and slopes of a term at points, and what it does where states are zero.

    Attributes:
        arguments: its arguments' names.
        points: (points, arguments).
        sign: 1 or -1; 0 where not known.
        slopes: argument -> 1 where the term never falls in it, -1 where it never rises.
        vanishing: where it is zero, whatever its constants.
        inward: what it must not do where positive states are zero.
    """

    arguments: tuple[str, ...]
    points: np.ndarray
    sign: int
    slopes: Mapping[str, int]
    vanishing: tuple[Vanishing, ...] = ()
    inward: tuple[Inward, ...] = ()

    @classmethod
    def of(cls, known: TermKnowledge, arguments: Sequence[str], points: np.ndarray) -> Shape:
        """The shape that is known.

        Args:
            known: what a user said, arguments named as in formulas.
            arguments: their names.
            points: (points, arguments).
        """
        slopes = dict.fromkeys(known.increasing, 1) | dict.fromkeys(known.decreasing, -1)
        sign = {"positive": 1, "negative": -1}.get(known.sign, 0)
        return cls(arguments=tuple(arguments), points=points, sign=sign, slopes=slopes)

    def __bool__(self) -> bool:
        return bool(self.sign or self.slopes or self.vanishing or self.inward)

    def at_zero(self, vanishing: tuple[Vanishing, ...], inward: tuple[Inward, ...]) -> Shape:
        """The shape with what is known where states are zero."""
        return replace(self, vanishing=vanishing, inward=inward)

    def objection(self, formula: Formula) -> str:
        """What of the shape a formula has not, as the user would say it; empty where it has all.

        Points at which it is not finite do not count.
        """
        if not self:
            return ""
        for where in self.vanishing:  # whatever the constants, and with these: x**c vanishes for no c below zero
            values = {name: T.Number(value) for name, value in formula.constants.items()}
            if not (where.of(formula.tree) and where.of(T.substitute(formula.tree, values))):
                return where.said
        for where in self.inward:
            if broken := where.objection(formula, self.arguments):
                return broken
        program = Program([formula.tree], (*self.arguments, *formula.constants))
        values = self._values(program, formula, self.points)
        finite = self.sign * values[np.isfinite(values)]
        if finite.min(initial=0.0) < -SLACK * np.abs(finite).max(initial=0.0):
            return f'sign = "{"positive" if self.sign > 0 else "negative"}"'
        for name, direction in self.slopes.items():
            rises = direction * self._rises(program, formula, self.arguments.index(name))
            if -rises[rises < 0].sum() > SLACK * np.abs(rises).sum():
                return f'{"increasing" if direction > 0 else "decreasing"} = ["{name}"]'
        return ""

    def _rises(self, program: Program, formula: Formula, place: int) -> np.ndarray:
        """What the formula rises from each value of an argument to the next, the others kept."""
        here = self.points[np.argsort(self.points[:, place], kind="stable")][:-1]
        there = here.copy()
        there[:, place] = np.sort(self.points[:, place])[1:]
        before, after = (self._values(program, formula, points) for points in (here, there))
        finite = np.isfinite(before) & np.isfinite(after)
        rises = (after - before)[finite]
        return np.where(np.abs(rises) > ROUNDING * np.abs(before[finite]).max(initial=0.0), rises, 0.0)

    def _values(self, program: Program, formula: Formula, points: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):
            values = program.run([*points.T, *map(np.float64, formula.constants.values())])[0]
        return np.broadcast_to(np.asarray(values, float), len(points))
