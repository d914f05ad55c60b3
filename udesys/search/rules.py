"""What a user knows, applied to one term: what its engines are asked, and which of their formulas are left out."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np

from udesys.errors import SearchError
from udesys.model import tree as T
from udesys.model.program import Program
from udesys.search.candidate import Candidate, free_names, in_place
from udesys.search.dimensions import UnitMismatch, unit_of, without_log
from udesys.search.forbidden import parse_forbidden
from udesys.search.knowledge import knowledge_of, read
from udesys.search.options import SearchOptions
from udesys.search.prior import form_name
from udesys.search.shape import Shape
from udesys.search.task import Task
from udesys.search.units import Unit, parse_unit

UNITS = "units"


class Rules:
    """What is known of one term.

    Args:
        task: the term.
        options: of the search, arguments named as the task names them (see `knowledge.for_model`).

    Attributes:
        given: the term's task under the prior asked for.
        task: what engines are asked, over the expressions on which alone the term depends.
        options: the options for them.
        known, shape: what is known of this term alone, and of its sign and slopes.
        excluded: form or formula that was left out -> by what.

    Raises:
        SearchError: an expression is not finite where the data went.
    """

    def __init__(self, task: Task, options: SearchOptions):
        self.known = known = knowledge_of(task.term, options)
        self.shape = shape_of(task, options)
        self.forbidden = [parse_forbidden(text) for text in options.forbidden]
        self.units = {name: parse_unit(text, name) for name, text in task.units.items() if name != task.term}
        self.excluded: dict[str | T.Tree, str] = {}
        never = {f.first for f in self.forbidden if not f.inside and not f.beside}
        self.options = replace(
            options,
            max_terms=known.max_terms or options.max_terms,
            operators=[name for name in options.operators if name not in never],
        )
        self.given = replace(task, prior=options.prior)
        self.back: dict[str, T.Tree] = {}
        self.task = replace(
            self._reduced(self.given),
            allows=self._allows if self.forbidden or self.units or task.vanishing else None,
        )

    def _reduced(self, task: Task) -> Task:
        """The task over the expressions that are known to matter."""
        trees = list(dict.fromkeys(read(text, "depends_on") for text in self.known.depends_on))
        if not trees:
            return task
        fresh = iter(free_names(len(trees), task.names, "zwv"))
        named = {tree.name if isinstance(tree, T.Symbol) else next(fresh): tree for tree in trees}
        self.back = {name: tree for name, tree in named.items() if tree != T.Symbol(name)}
        with np.errstate(all="ignore"):
            columns = Program(trees, task.arguments).run(list(task.points.T))
        points = np.stack([np.broadcast_to(np.asarray(c, float), len(task.points)) for c in columns], 1)
        for tree, column in zip(trees, points.T, strict=True):
            if not np.isfinite(column).all():
                text = T.to_text(tree)
                raise SearchError(f"{task.term}: depends_on {text!r} is not finite where the data went. Leave it out.")
        own = {task.term: task.units[task.term]} if task.term in task.units else {}
        for name, tree in named.items():
            unit = _unit_or_none(tree, self.units)
            if unit is not None:
                self.units[name], own[name] = unit, str(unit)
        return replace(task, arguments=tuple(named), points=points, units=own, guesses=())

    # -------------------------------------------------------------- what is left out
    def _allows(self, form: T.Tree) -> bool:
        """Whether an additive form may stand in a formula over the task's arguments."""
        reason = self._objection(form)
        if reason == UNITS and self._with_log(form) is not None:
            reason = ""
        self.excluded |= {form: reason} if reason else {}
        return not reason

    def _objection(self, form: T.Tree) -> str:
        whole = T.substitute(form, self.back) if self.back else form
        for combination in self.forbidden:
            if combination.occurs_in(whole):
                return f'forbidden = ["{combination.text}"]'
        for where in self.given.vanishing:
            if not where.of(whole):
                return where.said
        try:
            unit_of(form, self.units)
        except UnitMismatch:
            return UNITS
        return ""

    def _with_log(self, form: T.Tree) -> T.Tree | None:
        """What must stand beside a term with the logarithm of something with a unit; None for any other term."""
        try:
            rest = without_log(form, self.units)
            if rest is not None:
                unit_of(rest, self.units)
            return rest
        except UnitMismatch:
            return None

    def admitted(self, candidate: Candidate, *, limited: bool = True) -> Candidate | None:
        """The candidate over the term's own arguments, or None where what is known leaves it out.

        Args:
            candidate: over the task's arguments.
            limited: by size, too.
        """
        whole = in_place(candidate, self.back, self.options.prior) if self.back else candidate
        reason = self.objection(candidate, whole, limited=limited)
        self.excluded |= {whole.key: reason} if reason else {}
        return None if reason else whole

    def objection(self, candidate: Candidate, whole: Candidate, *, limited: bool = True) -> str:
        """What leaves a candidate out, as the user said it; empty where nothing does."""
        for form in candidate.forms if self.task.allows else ():
            reason = self._objection(form)
            beside = self._with_log(form) if reason == UNITS else None
            if reason and (beside is None or form_name(beside) not in map(form_name, candidate.forms)):
                return reason
        if limited and len(candidate.parts) > self.options.max_terms:
            return f"max_terms = {self.options.max_terms}"
        most = self.options.max_complexity
        if limited and most is not None and whole.complexity > most:
            return f"max_complexity = {most}"
        return self.shape.objection(whole.formula)

    def explanation(self) -> str:
        """Why nothing is left; empty where nothing was left out."""
        if not self.excluded:
            return ""
        counts = ", ".join(f"{reason} ({count})" for reason, count in Counter(self.excluded.values()).most_common())
        return (
            f"{self.task.term}: what is known leaves no formula. Left out were terms and sums of them by {counts}. "
            "Loosen it, or extend the library."
        )


def shape_of(task: Task, options: SearchOptions) -> Shape:
    """What is known of the sign and slopes of a term where its task's points are, and of it where states are zero."""
    shape = Shape.of(knowledge_of(task.term, options), task.arguments, task.points)
    return shape.at_zero(task.vanishing, task.inward)


def _unit_or_none(tree: T.Tree, units: dict[str, Unit]) -> Unit | None:
    try:
        return unit_of(tree, units, loose=True)
    except UnitMismatch:
        return None
