"""Structure support as text: the sentence beneath a printed law, and the whole table."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from udesys.assess.layout import WIDTH, aligned, wrapped
from udesys.assess.resampling import PARAMETRIC
from udesys.assess.summary import PICK, rounded

if TYPE_CHECKING:
    from udesys.assess.support import FormShare, Support

MOST_FORMS, MOST_TERMS = 10, 8  # shown; and additive terms of each missing one
ROOM = WIDTH - 40  # characters of a formula
NOTHING_MISSING = "the law as it was given"


def support_lines(support: Support) -> list[str]:
    """What is to be said of it beneath a printed law.

    Args:
        support: of its form.
    """
    own, n = support.form, support.resamples
    said = f"{_how(support)}: this form is picked in {_of(own.picked, n)} and within reach in {_of(own.near, n)}"
    next_best = [form for form in support.forms if form.picked]
    if next_best:
        said += f"; {form_text(next_best[0])} is picked in {_of(next_best[0].picked, n)}"
    if len(next_best) > 1:
        said += f", and {len(next_best) - 1} more {'forms' if len(next_best) > 2 else 'form'} in the rest"
    return wrapped("Support: ", f"{said}.{_lost(support)}")


def support_table(support: Support) -> list[str]:
    """Shares of the forms, of their additive terms, and the intervals of the constants.

    Args:
        support: of a law's form.
    """
    n = support.resamples
    lines = wrapped("Support  ", f"{_how(support)}, seed {support.seed}; done in {support.seconds:.0f} s")
    rows: list[tuple[str, ...]] = []
    shown = (support.form, *(form for form in support.forms[:MOST_FORMS] if form.near))
    for form in shown:
        first, *others = _form_lines(form)
        mark = PICK if form is support.form else " " * len(PICK)
        rows.append((mark + first, _percent(form.picked, n), _percent(form.near, n)))
        rows += [(" " * len(PICK) + line, "", "") for line in others]
    lines += aligned(("Forms", "picked", "within reach"), rows, "<>>")
    rest = [form for form in support.forms if form not in shown]
    if rest:
        picked = sum(form.picked for form in rest)
        lines.append(f"{'':{len(PICK)}}and {len(rest)} more, {f'picked in {picked}' if picked else 'never picked'}")
    terms = [
        (f"  {term}" if place == 0 else "", text, _percent(count, n))
        for term, counts in support.summands.items()
        for place, (text, count) in enumerate(list(counts.items())[:MOST_TERMS])
    ]
    if terms:
        lines += aligned(("Terms", "", "in the pick"), terms, "<<>")
    if support.intervals:
        header = ("Constants of the form, refitted to every resample", "95 % of them")
        lines += aligned(header, [(f"  {name}", _interval(*ends)) for name, ends in support.intervals.items()], "<<")
    return [*lines, *wrapped("", _lost(support).strip())] if support.failed else lines


def form_text(form: FormShare) -> str:
    """A joint form on one line.

    Args:
        form: with a formula for each missing term.
    """
    if not form.residuals:
        return NOTHING_MISSING
    if len(form.residuals) == 1:
        return next(iter(form.residuals.values()))
    return ", ".join(f"{term} = {text}" for term, text in form.residuals.items())


def _how(support: Support) -> str:
    what = "with noise drawn anew" if support.kind == PARAMETRIC else "of residuals in blocks"
    rows = f" of {support.block_length} rows" if support.block_length else ""
    return f"{support.resamples} resamples {what}{rows}"


def _lost(support: Support) -> str:
    if not support.failed:
        return ""
    why = "; ".join(f"{reason} ({count})" for reason, count in list(support.failures.items())[:3])
    return f" {support.failed} found no law: {why}"


def _of(count: int, n: int) -> str:
    return f"{count}" if n == 100 else f"{count} ({_percent(count, n)})"


def _percent(count: int, n: int) -> str:
    return f"{100 * count / n:.0f} %"


def _form_lines(form: FormShare) -> list[str]:
    """A line for each missing term; a long formula goes on on the next one."""
    lines: list[str] = []
    for term, text in form.residuals.items():
        whole = f"{term} = {text}" if len(form.residuals) > 1 else text
        lines += textwrap.wrap(whole, ROOM, subsequent_indent="    ") or [whole]
    return lines or [NOTHING_MISSING]


def _interval(low: float, high: float) -> str:
    half, size = 0.5 * (high - low), max(abs(low), abs(high))
    return f"[{rounded(low, half, size)}, {rounded(high, half, size)}]"
