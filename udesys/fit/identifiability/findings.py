"""Null directions in words: what is not determined, and the combination of it that is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from udesys.fit.identifiability.absorption import CHANGE
from udesys.fit.identifiability.combinations import (
    Block,
    Changes,
    blocks_of,
    constant_combinations,
    names_in,
    smallest_part,
)
from udesys.fit.identifiability.responses import (
    INVOLVED,
    NULL,
    Directions,
    Record,
    null_directions,
    windows_of,
)
from udesys.model import tree as T
from udesys.model.closed_form import ClosedForm

MOVED, TRIES = 0.04, 3  # share by which values are moved where a claim is checked again, and how often
BEFORE = " before a formula is found"
AS_ONE = 1e-5  # relative error of a state's change by which it is another scale, origin or power
_WHAT = {"mul": "product", "div": "ratio", "add": "sum", "sub": "difference"}


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Constants or unmeasured states that are not determined, and the combination of them that is.

    Attributes:
        names: parameters, constants such as `NN1.c0`, and unmeasured states.
        kind: "absorbed" by a network, "together" in one combination, "state" where an unmeasured state is free, or
            "unseen" where nothing measured depends on it.
        determined: the combinations that are determined, as text; empty where none was found.
        trees: the same as trees, a network's call as one symbol.
        networks: calls that could take up a change.
        words: a sentence.
    """

    names: tuple[str, ...]
    kind: str
    determined: tuple[str, ...]
    trees: tuple[T.Tree, ...] = field(repr=False)
    networks: tuple[str, ...] = ()
    words: str


@dataclass(frozen=True, kw_only=True)
class Identifiability:
    """What no amount of such data tells.

    Attributes:
        findings: one for each combination.
    """

    findings: tuple[Finding, ...] = ()

    @property
    def names(self) -> frozenset[str]:
        """Everything that is not determined."""
        return frozenset(name for finding in self.findings for name in finding.names)

    @property
    def sentences(self) -> tuple[str, ...]:
        """The findings in words."""
        return tuple(finding.words for finding in self.findings)

    def to_dict(self) -> list[dict]:
        """Plain values for JSON."""
        parts = ("names", "determined", "networks")
        return [
            {**{part: list(getattr(f, part)) for part in parts}, "kind": f.kind, "words": f.words}
            for f in self.findings
        ]


def look_for_nulls(
    form: ClosedForm,
    record: Record,
    trees: Sequence[T.Tree],
    calls: Mapping[str, tuple[T.Tree, frozenset[str]]],
    known: frozenset[str] = frozenset(),
) -> Identifiability:
    """What a record does not tell of a form's unknowns and states.

    Args:
        form: near the data.
        record: what is measured, and a solution to start from.
        trees: in which combinations are looked for, with a network's call as one symbol.
        calls: such a symbol -> what the form has in its place, and the names in the arguments.
        known: unknowns that are known from elsewhere, beside those with a prior.
    """
    windows = windows_of(form, record)
    if windows is None:
        return Identifiability()
    names = form.labels
    priors = {n for n, p in form.model.parameters.items() if p.prior is not None}
    held = np.array([n in priors or n in known for n in names], dtype=bool)
    found = _confirmed(form, record, windows, held)
    if not found:
        return Identifiability()
    put_in = {name: tree for name, (tree, _) in calls.items()} | form.model.fixed_values
    inside = {name: names for name, (_, names) in calls.items()}
    return _Reader(form, record, Changes(found, put_in), trees, inside).read()


def _confirmed(form: ClosedForm, record: Record, windows, held: np.ndarray) -> tuple[Directions, ...]:
    """Null directions about the form's values, and about others; nothing where these are not as many."""
    for level in NULL:
        first = null_directions(form, record, windows, held, form.values, level)
        if first is None or not len(first):
            return ()
        rng = np.random.default_rng(0)
        for _ in range(TRIES):
            away = MOVED * rng.uniform(0.3, 1.0, len(held)) * rng.choice((-1.0, 1.0), len(held))
            moved = np.where(form.values == 0, np.where(_hiding(form), 0.0, away), form.values * (1.0 + away))
            second = null_directions(form, record, windows, held, moved, level)
            if second is not None and len(second) == len(first):
                return first, second
    return ()


def _hiding(form: ClosedForm) -> np.ndarray:
    """(unknowns,) those that only stand for what a network could become."""
    return np.array([not isinstance(n, str) and n[1].startswith(f"{CHANGE} ") for n in form.names], dtype=bool)


class _Reader:
    """Turns null directions into findings.

    Attributes:
        states: the unmeasured states that are not determined.
    """

    def __init__(self, form: ClosedForm, record: Record, changes: Changes, trees, inside: Mapping[str, frozenset[str]]):
        self.form, self.changes, self.trees, self.inside = form, changes, trees, inside
        self.first, self.names, self.hiding = changes.found[0], form.labels, _hiding(form)
        measured = (record.mask > 0).any(0)[: form.d]
        span = np.ptp(record.nodes, axis=0)
        self.span = np.where(span > 0, span, np.maximum(np.abs(record.nodes).max(0), 1e-300))
        size = np.abs(self.first.states).max(1, initial=0.0) / self.span  # (directions, d)
        least = np.abs(self.first.parts).max(1, initial=0.0) / np.sqrt(max(record.mask.sum(), 1.0))
        least = np.where(least > 0, least, size.max(1, initial=0.0))  # of starts alone
        self.moving = size > INVOLVED * least[:, None]
        free = self.moving.any(0) & ~measured
        self.states = [s for k, s in enumerate(form.model.states) if free[k]]

    @cached_property
    def at_rest(self) -> Changes:
        """Changes in the directions in which no state changes."""
        return Changes([found.at_rest() for found in self.changes.found], self.changes.put_in)

    def read(self) -> Identifiability:
        findings: list[Finding] = []
        alone: list[str] = []
        for block in blocks_of(self.first):
            places = tuple(k for k in block.places if not self.hiding[k])
            together, combined = [self.names[k] for k in places], ()
            if len(places) > 1:
                combined = constant_combinations(self.changes.found, Block(places, self._rank(places)))
            named = frozenset().union(*map(T.symbols, combined))
            if combined:
                whole = len(combined) == len(places) - self._rank(places)
                findings.append(self._together([n for n in together if n in named], combined, whole))
            alone += [n for n in together if n not in named]
        return Identifiability(findings=(*findings, *self._by_parts(alone)))

    def _rank(self, places: Sequence[int]) -> int:
        singular = np.linalg.svd(self.first.parts[:, places], compute_uv=False)
        return int((singular > INVOLVED).sum())

    def _by_parts(self, alone: Sequence[str]) -> list[Finding]:
        """Findings by the smallest part of the law that is determined, one for all names with the same."""
        groups: dict[tuple, list[str]] = {}
        for name in [*alone, *self.states]:
            unseen = name not in self.states and self._unseen([name])
            part = None if unseen else smallest_part(self.changes, self.trees, name, self.inside)
            relative = False
            if part is None and not unseen and name not in self.states:
                part = smallest_part(self.at_rest, self.trees, name, self.inside)
                relative = part is not None
            calls = [] if part is None else self._calls(part)
            groups.setdefault((part, relative, bool(calls) and name in self.states), []).append(name)
        return [self._finding(part, relative, names) for (part, relative, _), names in groups.items()]

    def _calls(self, tree: T.Tree) -> list[str]:
        return [call for call in self.inside if call in T.symbols(tree)]

    # -------------------------------------------------------------- words
    def _finding(self, part: T.Tree | None, relative: bool, names: list[str]) -> Finding:
        calls = [] if part is None else self._calls(part)
        states = [n for n in names if n in self.states]
        constants = [n for n in names if n not in states]
        if part is None and constants and self._unseen(constants):
            kind, words = "unseen", f"{_not_determined(names)}: nothing that is measured depends on {_it(names)}."
        elif states and not constants:
            kind, words = "state", self._of_states(part, states, calls)
        elif states or (part is not None and not calls and self._free_in(part)):
            kind, words = "state", self._of_constants_and_states(part, constants, states)
        elif calls:
            kind, words = "absorbed", self._absorbed(part, relative, names, calls)
        else:
            only = "other changes make up for any value" if part is None else f"only {T.to_text(part)} is"
            kind, words = "together", f"{_not_determined(names, self._before(names))}: {only}."
        parts = () if part is None else (part,)
        return Finding(
            names=tuple(names),
            kind=kind,
            determined=tuple(map(T.to_text, parts)),
            trees=parts,
            networks=tuple(calls),
            words=words,
        )

    def _together(self, names: list[str], combined: Sequence[T.Tree], whole: bool) -> Finding:
        texts, what = tuple(map(T.to_text, combined)), _WHAT.get(_only_operation(combined[0]), "")
        before, none = self._before(names), "neither" if len(names) == 2 else "none of them"
        if len(texts) > 1:
            told = f"{listed(texts)} are"
        else:
            told = f"their {what} {texts[0]} is" if what else f"{texts[0]} is"
        if before or not whole:
            words = f"{_not_determined(names, before)}: {'only ' if whole else ''}{told}."
        else:
            words = f"{listed(names)} appear together only: {told} determined, {none} by itself."
        return Finding(
            names=tuple(names), kind="together", determined=texts, trees=tuple(combined), words=words
        )  # fmt: skip

    def _absorbed(self, part: T.Tree, relative: bool, names: list[str], calls: list[str]) -> str:
        own = [t for t in _summands(part) if names_in(t, self.inside) & set(names)]
        apart = len(own) < len(_summands(part)) and not any(self._calls(t) for t in own)
        what = listed([T.to_text(t) for t in own]) if apart else _it(names)
        their = "their sum " if apart and len(_summands(part)) == 2 and part.op == "add" else ""
        free = _and(f"the {self._freedom(s)} of {s}" for s in self.states)
        after = f", up to {free}" if relative else ""
        only = f"only {their}{T.to_text(part)} is{after}"
        return f"{_not_determined(names, BEFORE)}: {listed(calls)} can absorb {what}; {only}."

    def _of_states(self, part: T.Tree | None, states: list[str], calls: list[str]) -> str:
        free = self._free_states(states)
        if part is None:
            return f"{free}: no measurement tells {_it(states)}."
        if calls:
            return f"{free} before a formula is found: {listed(calls)} can make up for {_it(states)}."
        return f"{free}: {T.to_text(part)} is determined, not {listed(states)} by {_itself(states)}."

    def _of_constants_and_states(self, part: T.Tree, constants: list[str], states: list[str]) -> str:
        free, before = self._free_states(states or self._free_in(part)), self._before(constants)
        text = T.to_text(part)
        if len(constants) == len(states) == 1 and not before:
            return f"{free}: {text} is determined, neither {constants[0]} nor {states[0]} by itself."
        return f"{_not_determined(constants, before)}: {free}; only {text} is determined."

    def _free_states(self, states: Sequence[str]) -> str:
        return _and(f"{s} is not measured and its {self._freedom(s)} {self._is(s)} free" for s in states)

    def _free_in(self, tree: T.Tree) -> list[str]:
        return [s for s in self.states if s in T.symbols(tree)]

    def _is(self, state: str) -> str:
        return "are" if " and " in self._freedom(state) else "is"

    def _freedom(self, state: str) -> str:
        """What is free about an unmeasured state: its scale, its origin, or its power."""
        k = self.form.model.states.index(state)
        changes, x = self.first.states[:, :, k], self.first.x[:, k]
        with np.errstate(all="ignore"):
            kinds = {"scale": x, "origin": np.ones_like(x), "power": x * np.log(np.abs(x))}
        free = [what for what, wanted in kinds.items() if np.isfinite(wanted).all() and _spanned(changes, wanted)]
        return listed(free) if free else "size"

    def _unseen(self, names: Sequence[str]) -> bool:
        return all(self.first.silent[self.names.index(n)] for n in names)

    def _before(self, names: Sequence[str]) -> str:
        """That a formula may help, where a network takes part in what frees these constants."""
        places = [self.names.index(n) for n in names]
        moved = np.abs(self.first.still(self.hiding).parts[:, places]) > INVOLVED
        return "" if moved.any(0).all() else BEFORE


def _spanned(rows: np.ndarray, wanted: np.ndarray) -> bool:
    """Whether a state's changes (directions, samples) hold the wanted one (samples,)."""
    length = np.linalg.norm(rows, axis=1)
    kept = rows[length > INVOLVED * length.max(initial=0.0)]
    if not len(kept):
        return False
    kept = kept / np.linalg.norm(kept, axis=1, keepdims=True)
    weights = np.linalg.lstsq(kept.T, wanted, rcond=1e-8)[0]
    return bool(np.linalg.norm(wanted - weights @ kept) < AS_ONE * np.linalg.norm(wanted))


def _summands(tree: T.Tree) -> list[T.Tree]:
    if isinstance(tree, T.Operation) and tree.op in ("add", "sub"):
        return [*_summands(tree.args[0]), *_summands(tree.args[1])]
    return [tree]


def _only_operation(tree: T.Tree) -> str:
    """The operation of a tree that has no other one."""
    operations = {node.op for node in T.walk(tree) if isinstance(node, T.Operation)}
    return operations.pop() if len(operations) == 1 else ""


def listed(names: Sequence[str]) -> str:
    """Names as English lists them."""
    names = list(names)
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _and(phrases) -> str:
    return " and ".join(phrases)


def _not_determined(names: Sequence[str], before: str = "") -> str:
    return f"{listed(names)} {'is' if len(names) == 1 else 'are'} not determined{before}"


def _it(names: Sequence[str]) -> str:
    return "it" if len(names) == 1 else "them"


def _itself(names: Sequence[str]) -> str:
    return "itself" if len(names) == 1 else "themselves"
