"""The law of a measured record beside what is published of it: one row, its headline numbers and its text."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from udesys.bench._parallel import attempt
from udesys.bench._study import markdown

if TYPE_CHECKING:
    from udesys.discover import Discovery

RIVALS_SHOWN = 4
FORM, FORM_ALONE = "published form found, %", "published form and nothing beside it, %"

Figures = dict[str, float | None]


@dataclass(frozen=True, kw_only=True)
class Record:
    """What is known of a record before its law is sought.

    Attributes:
        form: missing term -> its additive terms as published, without their coefficients; empty without a
            published law.
        published: who -> figure -> value.
        rivals: the same of what others reach on this record without its law, and of refits of the published form.
        limits: figure -> what it is to be below; several where there are several laws to beat.
    """

    form: Mapping[str, Sequence[str]] = field(default_factory=dict)
    published: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    rivals: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    limits: Mapping[str, Sequence[float]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Run:
    """The law of one record.

    Attributes:
        record: its name.
        seed: of the networks.
        law: state -> right side.
        terms: missing term -> formula.
        rivals: other formulas that the data cannot tell from it.
        figures: what was measured of it -> value; None where the law has no such constant.
        form_found: every additive term of the published form is there; None without a published law.
        beside: additive terms that are no part of the published form.
        lacking: additive terms of the published form that are not there.
        warnings: of the discovery.
        seconds: of it.
        failure: what stopped it; empty where nothing did.
    """

    record: str
    seed: int
    law: dict[str, str] = field(default_factory=dict)
    terms: dict[str, str] = field(default_factory=dict)
    rivals: tuple[str, ...] = ()
    figures: dict[str, float | None] = field(default_factory=dict)
    form_found: bool | None = None
    beside: tuple[str, ...] = ()
    lacking: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0
    failure: str = ""


def law_of_record(name: str, record: Record, seed: int, discovered: Callable[[], tuple[Discovery, Figures]]) -> Run:
    """The row of a record; what goes wrong is written down, not raised.

    Args:
        name: of the record.
        record: what is known of it.
        seed: of the networks.
        discovered: called once; it returns the law and what was measured of it.
    """
    began = time.perf_counter()
    found, failure = attempt(discovered)
    seconds = time.perf_counter() - began
    if failure:
        return Run(record=name, seed=seed, form_found=False if record.form else None, seconds=seconds, failure=failure)
    law, figures = found
    beside, lacking = compared(additive_terms(law), record.form)
    picked = {term: residual.expression for term, residual in law.residuals.items()}
    rivals = [c.residuals for c in law.candidates if c.delta < 6 and c.residuals != picked]
    return Run(
        record=name,
        seed=seed,
        law=law.closed_form.equation_texts(5),
        terms=picked,
        rivals=tuple(", ".join(f"{term} = {text}" for term, text in forms.items()) for forms in rivals),
        figures=figures,
        form_found=not lacking if record.form else None,
        beside=beside,
        lacking=lacking,
        warnings=tuple(law.warnings),
        seconds=seconds,
    )


def additive_terms(law: Discovery) -> dict[str, dict[str, float]]:
    """Missing term -> additive term, without its coefficient, -> coefficient.

    A constant inside an additive term is `#0`, `#1`, ...

    Args:
        law: what was found.
    """
    from udesys.model import tree as T
    from udesys.search.normal_form import split

    found = {}
    for slot in law.model.slots:
        for term in slot.terms:
            constants = law.residuals[term].constants
            numbers = {name: T.Number(estimate.value) for name, estimate in constants.items()}
            trees, coefficients, _ = split(
                T.substitute(law.closed_form.formulas[term].tree, numbers), tuple(slot.arguments)
            )
            found[term] = dict(zip(map(T.to_text, trees), coefficients, strict=True))
    return found


def compared(
    found: Mapping[str, Mapping[str, float]], form: Mapping[str, Sequence[str]]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Additive terms beside the published form, and those of it that are lacking; nothing without a published form.

    Args:
        found: missing term -> additive term -> coefficient.
        form: missing term -> additive terms.
    """
    beside = [part for term, parts in form.items() for part in found[term] if part not in parts]
    lacking = [part for term, parts in form.items() for part in parts if part not in found[term]]
    return tuple(beside), tuple(lacking)


# ------------------------------------------------------------------ figures
def summary(runs: Sequence[Run]) -> dict[str, float]:
    """How often the published form is found, and every record's figures, the median where there are several seeds.

    Args:
        runs: of any records.
    """
    judged, found = [r for r in runs if r.form_found is not None], {}
    if judged:
        found[FORM] = 100 * sum(bool(r.form_found) for r in judged) / len(judged)
        found[FORM_ALONE] = 100 * sum(bool(r.form_found) and not r.beside for r in judged) / len(judged)
    for name in dict.fromkeys(r.record for r in runs):
        of_record = [r for r in runs if r.record == name]
        for figure in dict.fromkeys(figure for r in of_record for figure in r.figures):
            known = [r.figures[figure] for r in of_record if r.figures.get(figure) is not None]
            if known:
                found[f"{name}: {figure}"] = statistics.median(known)
    return found


def named_figures(records: Mapping[str, Record], runs: Sequence[Run], which: str) -> dict[str, dict[str, float]]:
    """Who -> the figures of others under the names that `summary` has, of the records that were run.

    Args:
        records: by name.
        runs: of any records.
        which: "published" or "rivals".
    """
    found: dict[str, dict[str, float]] = {}
    for name in dict.fromkeys(r.record for r in runs):
        for who, figures in getattr(records[name], which).items():
            found.setdefault(who, {}).update({f"{name}: {figure}": value for figure, value in figures.items()})
    return found


def shortfall(value: float | None, limits: Sequence[float]) -> str:
    """A figure beside what it is to be below, in words.

    Args:
        value: None where it is not known.
        limits: one or several.
    """
    said = []
    for limit in limits:
        if value is None or not math.isfinite(value):
            said.append(f"short of {limit:g}")
        elif value < limit:
            said.append(f"below {limit:g}")
        else:
            said.append(f"short of {limit:g} by {value - limit:.2g}")
    return ", ".join(said)


# ------------------------------------------------------------------ text
def table(runs: Sequence[Run], records: Mapping[str, Record]) -> str:
    """Markdown: all laws in a line each, then every law with its figures beside those of others.

    Args:
        runs: of any records.
        records: by name.
    """
    head = ["record", "seed", "published form", "short of", "seconds"]
    rows = [[r.record, r.seed, form_in_words(r), _count_short(r, records[r.record]), f"{r.seconds:.0f}"] for r in runs]
    parts = [markdown(head, rows)]
    for r in runs:
        parts += [f"{r.record}, seed {r.seed}", _law_text(r)]
        if r.figures:
            parts.append(_figures(r, records[r.record]))
    return "\n\n".join(parts)


def form_in_words(run: Run) -> str:
    """Whether a law has the published form, and what it has beside it or lacks.

    Args:
        run: of a record.
    """
    if run.failure:
        return "failed"
    if run.form_found is None:
        return "none"
    if run.form_found:
        return f"found, and {', '.join(run.beside)}" if run.beside else "found"
    others = f", with {', '.join(run.beside)}" if run.beside else ""
    return f"without {', '.join(run.lacking)}{others}"


def _count_short(run: Run, record: Record) -> str | None:
    told = [shortfall(run.figures.get(figure), [limit]) for figure, ls in record.limits.items() for limit in ls]
    return f"{sum(text.startswith('short') for text in told)} of {len(told)}" if told else None


def _law_text(run: Run) -> str:
    if run.failure:
        return f"Failed: {run.failure}"
    lines = [f"    {state}' = {right}" for state, right in run.law.items()]
    if run.rivals:
        more = f" and {len(run.rivals) - RIVALS_SHOWN} more" if len(run.rivals) > RIVALS_SHOWN else ""
        lines += ["", f"Not told apart from: {'; '.join(run.rivals[:RIVALS_SHOWN])}{more}."]
    return "\n".join([*lines, *(f"\nWarning: {warning}" for warning in run.warnings)])


def _figures(run: Run, record: Record) -> str:
    others = {**record.published, **record.rivals}
    rows = [
        [name, _number(value), *(_number(figures.get(name)) for figures in others.values()), told or None]
        for name, value in run.figures.items()
        for told in [shortfall(value, record.limits.get(name, ()))]
    ]
    return markdown(["figure", "udesys", *others, "limits"], rows)


def _number(value: float | None) -> str | None:
    return None if value is None else f"{value:.4g}"
