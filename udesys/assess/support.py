"""Structure support: how often each form, and each term of a form, is found where a discovery is repeated.

A law is picked from one data set. Were the same law measured again, with other noise, the discovery might pick another
form; the share of such repeats that pick a form says how far these data support it, and how far they support the terms
that it is made of. Shares are of all repeats: one that found no law supports nothing.

Source: Efron & Tibshirani, An Introduction to the Bootstrap (1993), sec. 13.3 (percentile intervals) and 6.5;
Sauerbrei & Schumacher, Stat. Med. 11 (1992) 2093, and Heinz, Wallisch & Dunkler, Biom. J. 60 (2018) 431 (inclusion
frequencies of selected terms).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from udesys.assess.resampling import PARAMETRIC
from udesys.model import HybridODE
from udesys.model import tree as T
from udesys.model.closed_form import ClosedForm
from udesys.search.candidate import as_given, make_candidate

LEAST_DRAWS = 40  # resamples below which one of them stands for more than 2.5 %


@dataclass(frozen=True)
class Form:
    """A joint form of all missing terms, told from others by its key.

    Attributes:
        key: one text for each term, the same for equal forms however they are written.
        texts: one formula for each term, with named constants.
        summands: for each term, its additive terms as (key, formula).
    """

    key: tuple[str, ...]
    texts: tuple[str, ...]
    summands: tuple[tuple[tuple[str, str], ...], ...]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one repeat came to.

    Attributes:
        picked: the form of its law; None where it found none.
        near: the forms that its data cannot tell from the best, the picked one among them.
        values: (unknowns,) of the form of the law that is examined, refitted to its data; None where that failed.
        failure: why there is no law; empty where there is one.
    """

    picked: Form | None
    near: tuple[Form, ...] = ()
    values: tuple[float, ...] | None = None
    failure: str = ""


@dataclass(frozen=True, kw_only=True)
class FormShare:
    """How often a form was found.

    Attributes:
        residuals: term -> formula with named constants.
        picked: repeats that picked it.
        near: repeats in which it was within reach of the best, picked or not.
    """

    residuals: dict[str, str]
    picked: int
    near: int


@dataclass(frozen=True, kw_only=True)
class Support:
    """How often each form was found where the discovery was repeated on resampled data sets.

    Attributes:
        resamples: repeats.
        failed: of them, how many found no law.
        failures: why -> how often.
        kind: "parametric" (noise drawn anew) or "blocks" (residuals moved).
        block_length: rows of a block; 0 without blocks.
        seed: of the resampling.
        form: the law's own.
        forms: the others that were picked, or that the law's own data cannot tell from it; most often picked first.
        terms: missing term -> its formula -> repeats that picked it.
        summands: missing term -> additive term with its constants -> repeats whose pick has it.
        intervals: constant of the law, such as `alpha` or `NN1.c0` -> (2.5 %, 97.5 %) of the values that its form had
            when it was refitted to every resample; empty where there are too few to tell.
        seconds: wall time.
    """

    resamples: int
    failed: int
    failures: dict[str, int]
    kind: str
    block_length: int
    seed: int
    form: FormShare
    forms: tuple[FormShare, ...]
    terms: dict[str, dict[str, int]]
    summands: dict[str, dict[str, int]]
    intervals: dict[str, tuple[float, float]]
    seconds: float

    @property
    def share(self) -> float:
        """Of the law's own form among all picks."""
        return self.form.picked / self.resamples

    @property
    def within_reach(self) -> float:
        """Share of the repeats in which the law's own form was within reach of the best."""
        return self.form.near / self.resamples

    def lines(self) -> list[str]:
        """What is to be said of it beneath a printed law."""
        from udesys.assess.support_text import support_lines

        return support_lines(self)

    def __str__(self) -> str:
        from udesys.assess.support_text import support_table

        return "\n".join(line.rstrip() for line in support_table(self))

    def to_dict(self) -> dict:
        """Plain values for JSON: counts, and the two shares of the law's own form."""
        return {"share": self.share, "within_reach": self.within_reach, **asdict(self)}

    @classmethod
    def from_dict(cls, plain: Mapping) -> Support:
        """What `to_dict` wrote.

        Args:
            plain: that, perhaps by way of JSON.

        Raises:
            KeyError, TypeError: it is something else.
        """
        kept = {name: value for name, value in plain.items() if name not in ("share", "within_reach")}
        kept["form"] = FormShare(**kept["form"])
        kept["forms"] = tuple(FormShare(**form) for form in kept["forms"])
        kept["intervals"] = {name: tuple(ends) for name, ends in kept["intervals"].items()}
        return cls(**kept)


def form_of(law: ClosedForm) -> Form:
    """The joint form of a law, its constants left out.

    Args:
        law: the law.
    """
    given = [as_given(law.formulas[term]) for term in law.model.terms]
    summands = [
        tuple(_summand(law.model, term, part, one.formula.constants) for part, _ in one.parts)
        for term, one in zip(law.model.terms, given, strict=True)
    ]
    texts = tuple(law.residual_text(term) for term in law.model.terms)
    return Form(tuple(one.key for one in given), texts, tuple(summands))


def _summand(model: HybridODE, term: str, part: T.Tree, constants: Mapping[str, float]) -> tuple[str, str]:
    """Key and formula of one additive term, its constants counted from c0."""
    inner = {name: value for name, value in constants.items() if name in T.symbols(part)}
    alone = make_candidate([part], [1.0], inner, loss=np.nan, score=np.inf, engine="")
    return alone.key, model.formula_text(term, alone.formula.tree)


def support_of(
    own: Form,
    rivals: Sequence[Form],
    outcomes: Sequence[Outcome],
    *,
    model: HybridODE,
    names: Sequence[str],
    kind: str = PARAMETRIC,
    block_length: int = 0,
    seed: int = 0,
    seconds: float = 0.0,
) -> Support:
    """Count what the repeats of a discovery came to.

    Args:
        own: the form of the law that is examined.
        rivals: the forms that its own data cannot tell from it.
        outcomes: one for each repeat.
        model: the hybrid, which names the terms.
        names: of the law's unknowns, in the order of `Outcome.values`.
        kind, block_length, seed, seconds: see `Support`.
    """
    found = [outcome for outcome in outcomes if outcome.picked is not None]
    picked = Counter(outcome.picked.key for outcome in found)
    near = Counter(key for outcome in found for key in {form.key for form in outcome.near})
    known = {form.key: form for outcome in reversed(found) for form in (outcome.picked,)}
    known = {**{form.key: form for form in rivals}, **known, own.key: own}

    def counted(form: Form) -> FormShare:
        residuals = dict(zip(model.terms, form.texts, strict=True))
        return FormShare(residuals=residuals, picked=picked[form.key], near=near[form.key])

    others = sorted((counted(form) for key, form in known.items() if key != own.key), key=_often)
    values = np.array([outcome.values for outcome in found if outcome.values is not None])
    intervals = {}
    if len(values) >= LEAST_DRAWS:
        ends = np.quantile(values, (0.025, 0.975), axis=0)
        intervals = {name: (float(low), float(high)) for name, low, high in zip(names, *ends, strict=True)}
    return Support(
        resamples=len(outcomes),
        failed=len(outcomes) - len(found),
        failures=dict(Counter(o.failure for o in outcomes if o.picked is None).most_common()),
        kind=kind,
        block_length=block_length,
        seed=seed,
        form=counted(own),
        forms=tuple(others),
        terms={term: _terms(found, k) for k, term in enumerate(model.terms)},
        summands={term: _summands(found, k) for k, term in enumerate(model.terms)},
        intervals=intervals,
        seconds=seconds,
    )


def _often(form: FormShare) -> tuple:
    return -form.picked, -form.near, sum(map(len, form.residuals.values())), tuple(form.residuals.values())


def _terms(found: Sequence[Outcome], place: int) -> dict[str, int]:
    """Formula of one term -> how often it was picked."""
    return _counted([(o.picked.key[place], o.picked.texts[place]) for o in found])


def _summands(found: Sequence[Outcome], place: int) -> dict[str, int]:
    """Additive term -> how many picks have it."""
    return _counted([pair for o in found for pair in dict(o.picked.summands[place]).items()])


def _counted(pairs: list[tuple[str, str]]) -> dict[str, int]:
    """Text -> count of the (key, text) pairs, most often first; the text that was met first stands for its key."""
    texts: dict[str, str] = {}
    for key, text in pairs:
        texts.setdefault(key, text)
    counts = Counter(key for key, _ in pairs)
    return {texts[key]: n for key, n in sorted(counts.items(), key=lambda item: (-item[1], texts[item[0]]))}
