"""What an engine proposes: formulas for one missing term."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from udesys.model import tree as T
from udesys.model.closed_form import Formula


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One closed form for a missing term.

    Attributes:
        formula: tree over the term's arguments, with named constants and their values.
        parts: its additive terms without their coefficients, as (tree, coefficient's name) pairs.
        loss: weighted mean square of what it leaves of the task's target; one is the noise.
        score: the engine-independent order within a front; lower is better.
        prior: description length of the form (see `search.prior`).
        engine: who proposed it.
    """

    formula: Formula
    parts: tuple[tuple[T.Tree, str], ...]
    loss: float
    score: float
    prior: float
    engine: str

    @property
    def key(self) -> str:
        """The form with its constants left out; equal forms share it."""
        return " + ".join(sorted(T.to_text(part, 12) for part, _ in self.parts)) or "0"

    @property
    def complexity(self) -> int:
        """Nodes of the tree."""
        return sum(1 for _ in T.walk(self.formula.tree))

    @property
    def expression(self):
        """The formula as a SymPy expression with its constants as symbols."""
        from udesys.model.symbolic import to_sympy

        return to_sympy(self.formula.tree)

    def with_constants(self, values) -> Candidate:
        """The same form with other values of its constants, in their order."""
        constants = dict(zip(self.formula.constants, (float(v) for v in values), strict=True))
        return Candidate(
            formula=Formula(self.formula.tree, constants),
            parts=self.parts,
            loss=self.loss,
            score=self.score,
            prior=self.prior,
            engine=self.engine,
        )

    def __str__(self) -> str:
        values = {c: T.Number(v) for c, v in self.formula.constants.items()}
        return T.to_text(T.substitute(self.formula.tree, values), 4)


@dataclass(frozen=True)
class Front:
    """Candidates for one term, best score first."""

    term: str
    candidates: tuple[Candidate, ...]

    def __iter__(self) -> Iterator[Candidate]:
        return iter(self.candidates)

    def __len__(self) -> int:
        return len(self.candidates)

    def __str__(self) -> str:
        lines = [f"Front of {self.term}"]
        for place, candidate in enumerate(self.candidates):
            mark = ">>>>" if place == 0 else "    "
            lines.append(f"  {mark} {candidate.score:10.2f}  {candidate!s}")
        return "\n".join(lines)


def constant_names(count: int, taken: Iterable[str]) -> list[str]:
    """c0, c1, ..., or with another beginning where a taken name looks like one of these."""
    taken = list(taken)
    beginnings = itertools.chain("cka", ("c" + "_" * n for n in itertools.count(1)))
    free = next(b for b in beginnings if not any(re.fullmatch(rf"{b}\d+", name) for name in taken))
    return [f"{free}{k}" for k in range(count)]


def linear_candidate(
    terms, coefficients, *, loss: float, score: float, prior: float, engine: str, names: Sequence[str] = ()
) -> Candidate:
    """A sum of library terms with one constant each, named c0, c1, ... unless names are given."""
    names = list(names) or [f"c{k}" for k in range(len(terms))]
    tree = T.total([T.mul(T.Symbol(n), term) for n, term in zip(names, terms, strict=True)])
    constants = dict(zip(names, (float(c) for c in coefficients), strict=True))
    return Candidate(
        formula=Formula(tree, constants),
        parts=tuple(zip(terms, names, strict=True)),
        loss=loss,
        score=score,
        prior=prior,
        engine=engine,
    )


def without_part(candidate: Candidate, place: int) -> Candidate:
    """The candidate with one of its additive terms dropped."""
    kept = [p for k, p in enumerate(candidate.parts) if k != place]
    values = [candidate.formula.constants[name] for _, name in kept]
    from udesys.search.prior import description_length

    prior = description_length([part for part, _ in kept])
    return linear_candidate(
        [part for part, _ in kept],
        values,
        loss=candidate.loss,
        score=candidate.score,
        prior=prior,
        engine=candidate.engine,
        names=list(candidate.formula.constants)[: len(kept)],
    )
