"""What a law's form made identifiable, and which of its constants still appear together only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from udesys.assess.derived import derive, estimates_in_order
from udesys.assess.estimate import Estimate
from udesys.assess.summary import estimate_cells
from udesys.errors import UdesysError
from udesys.fit.identifiability.findings import Finding, Identifiability, look_for_nulls
from udesys.fit.identifiability.responses import Record
from udesys.model import tree as T

if TYPE_CHECKING:
    from udesys.assess.discovery import Discovery

BARELY = 1.0  # relative half width of an interval from which a constant is called barely determined


@dataclass(frozen=True, kw_only=True)
class Together:
    """Constants or states that the law leaves undetermined, and a combination of them that is determined.

    Attributes:
        names: as `alpha`, `NN1.c0`, or an unmeasured state.
        combination: its text; empty where none was found.
        value, stderr, interval: of the combination, by the delta method; NaN where a state is in it.
        words: a sentence.
    """

    names: tuple[str, ...]
    combination: str = ""
    value: float = float("nan")
    stderr: float = float("nan")
    interval: tuple[float, float] = (float("nan"), float("nan"))
    words: str


@dataclass(frozen=True, kw_only=True)
class LawIdentifiability:
    """What became identifiable when formulas took the networks' places, and what did not.

    Attributes:
        resolved: parameter that the hybrid left open and the law determines -> a sentence with its interval.
        together: what is still not determined by itself.
    """

    resolved: Mapping[str, str]
    together: tuple[Together, ...]

    @property
    def names(self) -> frozenset[str]:
        """Everything that is not determined."""
        return frozenset(name for part in self.together for name in part.names)

    @property
    def sentences(self) -> tuple[str, ...]:
        """What is to be said, each once."""
        return tuple(dict.fromkeys([*self.resolved.values(), *(part.words for part in self.together)]))

    def to_dict(self) -> dict:
        """Plain values, from which `from_dict` makes it again."""
        return {"resolved": dict(self.resolved), "together": [asdict(part) for part in self.together]}

    @classmethod
    def from_dict(cls, plain: Mapping) -> LawIdentifiability:
        """From what `to_dict` gave."""
        parts = [{**p, "names": tuple(p["names"]), "interval": tuple(p["interval"])} for p in plain["together"]]
        return cls(resolved=plain["resolved"], together=tuple(Together(**p) for p in parts))


def with_identifiability(law: Discovery) -> Discovery:
    """A law with what it makes identifiable and what it does not, its warnings consistent with that.

    Args:
        law: what was found, with its fit and its footing.
    """
    if law.footing is None:
        return law
    left = _left_open(law)
    together = tuple(part for finding in left.findings for part in _parts(law, finding))
    found = LawIdentifiability(resolved=_resolved(law, left.names), together=together)
    labels = dict(zip(law.closed_form.labels, law.closed_form.names, strict=True))
    said = {_warned(labels[name]) for name in found.names if name in labels}
    warnings = tuple(w for w in law.warnings if not any(w.startswith(start) for start in said))
    return replace(law, identifiability=found, warnings=warnings)


def _warned(name) -> str:
    """How the warning on an unknown that is not identifiable begins."""
    return f"{name if isinstance(name, str) else f'{name[1]} of {name[0]}'} is not identifiable:"


def _left_open(law: Discovery) -> Identifiability:
    """What the data do not tell of the law's constants and states."""
    form, footing = law.closed_form, law.footing
    data, model = footing.data, law.model
    nodes = footing.nodes.copy()
    nodes[data.segments[0]] = footing.x0
    record = Record(
        t=data.t,
        nodes=nodes,
        mask=data.mask,
        segments=data.segments,
        free=data.free,
        steps=footing.steps,
        pieces=data.pieces,
        u=data.u,
    )
    formulas = {}
    for term, formula in form.formulas.items():
        own = {c: T.Symbol(f"{term}.{c}") for c in formula.constants}
        formulas[term] = T.substitute(formula.tree, own)
    trees = [*model.with_formulas(formulas), *model.observe.values()]
    estimates = zip(form.labels, estimates_in_order(law), strict=True)
    held = frozenset(label for label, estimate in estimates if estimate.at_bound is not None)
    try:
        with np.errstate(all="ignore"):
            return look_for_nulls(form, record, trees, {}, held)
    except (ArithmeticError, ValueError, np.linalg.LinAlgError):
        return Identifiability()


def _parts(law: Discovery, finding: Finding) -> list[Together]:
    """A finding with the values of its combinations; they share its sentence."""
    values = [_value(law, tree) for tree in finding.trees]
    told = [
        f"{text} = {_written(estimate)}."
        for text, estimate in zip(finding.determined, values, strict=True)
        if estimate is not None
    ]
    words = " ".join([finding.words, *told])
    if not finding.trees:
        return [Together(names=finding.names, words=words)]
    parts = []
    for text, estimate in zip(finding.determined, values, strict=True):
        known = {} if estimate is None else {n: getattr(estimate, n) for n in ("value", "stderr", "interval")}
        parts.append(Together(names=finding.names, combination=text, words=words, **known))
    return parts


def _value(law: Discovery, tree: T.Tree) -> Estimate | None:
    """A combination's value and interval; None where a state is in it, or they are not to be had."""
    if not T.symbols(tree) <= {*law.closed_form.labels, *law.model.fixed_values}:
        return None
    try:
        estimate = derive(law, T.to_text(tree, 17))
    except UdesysError:
        return None
    return estimate if np.isfinite(estimate.stderr) else None


def _written(estimate: Estimate) -> str:
    value, _, interval, *_ = estimate_cells(estimate)
    return f"{value}, 95 % interval {interval}"


def _resolved(law: Discovery, still: frozenset[str]) -> dict[str, str]:
    """Parameters that the hybrid left open and the form found determines."""
    resolved = {}
    for finding in () if law.fit is None else law.fit.identifiability.findings:
        for name in finding.names:
            estimate = law.parameters.get(name)
            if estimate is None or name in still or not estimate.identifiable or not np.isfinite(estimate.stderr):
                continue
            networks = " or ".join(finding.networks)
            could = f"which {networks} could absorb" if networks else "which the hybrid left open"
            half = estimate.interval[1] - estimate.value
            how = "barely determined" if half > BARELY * abs(estimate.value) else "determined"
            resolved[name] = f"{name}, {could}, is {how} by the form found: {_written(estimate)}."
    return resolved
