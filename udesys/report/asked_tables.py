"""The tables of what was asked of a law after it was found: the support of its form, and the next experiment."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np

from udesys.assess.summary import MISSING
from udesys.report.tables import Forms, Table, without_empty_columns
from udesys.report.words import when

LARGE = 1000.0  # expected differences of criteria above it say no more


def support_table(law) -> Table:
    """How often each form was picked and within reach, the law's own first.

    Args:
        law: a Discovery with support.
    """
    n, own = law.support.resamples, law.support.form
    forms = [own, *(form for form in law.support.forms if form.near)]
    rows = [(Forms(form.residuals), _percent(form.picked / n), _percent(form.near / n)) for form in forms]
    return Table(header=("form", "picked", "within reach"), rows=rows, marked=(0,))


def summands_table(law) -> Table:
    """How often each additive term was in the form that was picked.

    Args:
        law: a Discovery with support.
    """
    n, counts = law.support.resamples, law.support.summands.items()
    rows = [(term, Forms({"": text}), _percent(k / n)) for term, those in counts for text, k in those.items()]
    return Table(header=("missing term", "with the term", "in the pick"), rows=rows)


def standing_table(law) -> Table:
    """The laws that experiments are to tell apart, with the letters that stand for them.

    Args:
        law: a Discovery with suggestions.
    """
    laws = law.suggestions.laws
    rows = []
    for one in laws:
        if one.group == one.label:
            alike = ", ".join(other.label for other in laws if other.group == one.label and other is not one)
            rows.append((one.label, _forms(one.text, law.residuals) or "the law", _percent(one.weight), alike))
    return without_empty_columns(Table(header=("", "law", "weight", "not told from it by any"), rows=rows))


def _forms(text: str, terms: Iterable[str]) -> Forms:
    """Formulas from the name of a law, such as `NN1 = c0*x, NN2 = c0*y`."""
    heads = "|".join(re.escape(term) for term in terms)
    parts = re.split(rf"(?:^|, )({heads}) = ", text)[1:] if heads else []
    return Forms(zip(parts[::2], parts[1::2], strict=True))


def suggestions_table(law) -> Table:
    """Suggested experiments, the best first.

    Args:
        law: a Discovery with suggestions, one at least.
    """
    rows, asked = [], law.suggestions
    for k, one in enumerate(asked.items):
        row = [("", str(k + 1)), ("experiment", asked.what(k)), (asked.time, when(one.design.t))]
        row.append(("columns", ", ".join(one.design.columns)))
        if one.pair:
            row += [("separation", f"{_large(one.separation)} ({'-'.join(one.pair)})"), ("delta", _large(one.delta))]
            row += [("settles", _percent(one.settles)), ("told", _percent(one.told))]
        row += [(f"{name} narrower", _percent(1.0 - after / before)) for name, (before, after) in one.narrowing.items()]
        rows.append([*row, ("inside", "yes" if one.inside else "no")])
    header = tuple(title for title, _ in rows[0])
    return Table(header=header, rows=[tuple(text for _, text in row) for row in rows], marked=(0,))


def _large(value: float) -> str:
    return MISSING if not np.isfinite(value) else f"{value:.1f}" if abs(value) < LARGE else f"over {LARGE:g}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if np.isfinite(share) else MISSING
