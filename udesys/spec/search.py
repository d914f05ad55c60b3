"""The section [search]: engines, library, and what is known of the missing terms before any formula is sought."""

from __future__ import annotations

from dataclasses import asdict, fields

from udesys.model import HybridODE
from udesys.model import tree as T
from udesys.model.grammar import parse_expression
from udesys.search.dimensions import equation_units, model_units
from udesys.search.knowledge import TermKnowledge, for_model
from udesys.search.library import Library
from udesys.search.options import SearchOptions
from udesys.search.prior import Prior
from udesys.search.templates import BUILT_IN
from udesys.spec.section import Section

_PLAIN = ("max_terms", "max_complexity", "time_limit")
_LISTS = ("engines", "operators", "forbidden")


def read_search(section: Section, model: HybridODE, time: str) -> SearchOptions:
    """Read the section.

    Args:
        section: the section [search].
        model: the hybrid; its terms and names are what may be known of.
        time: name of the time column.

    Raises:
        ModelError: a key is unknown, or a value of the wrong kind.
        SearchError: an option is not usable.
    """
    from udesys.search import chosen_engines

    given = {key: section.table[key] for key in _PLAIN if key in section.table}
    given |= {key: section.texts(key) for key in _LISTS if key in section.table}
    given["library"] = _library(section)
    given["terms"] = {
        name: _known(section.source, name, table) for name, table in section.get("terms", dict, {}).items()
    }
    given["units"] = section.get("units", dict, {})
    for name, unit in given["units"].items():
        section.typed(unit, str, f"units.{name} in [search]")
    prior = Section(section.source, "search.prior", section.get("prior", dict, {}), _names(Prior))
    with prior.naming("[search.prior] "):
        given["prior"] = Prior(**prior.table)
    with section.naming("[search] "):
        options = SearchOptions(**given)
        for_model(options, model, time)
        model_units(model, options.units, time)
        if options.engines:
            chosen_engines(options)
    return options


def _library(section: Section) -> Library:
    library = Section(section.source, "search.library", section.get("library", dict, {}), _names(Library))
    lists = {key: library.texts(key) for key in ("functions", "templates", "terms") if key in library.table}
    for term in lists.get("terms", ()):
        with library.naming(f"[search.library] term {term!r}: "):
            parse_expression(term)
    with library.naming("[search.library] "):
        return Library(**{**library.table, **lists})


def _known(source: str, name: str, table) -> TermKnowledge:
    section = Section(source, f"search.terms.{name}", table, _names(TermKnowledge))
    lists = {key: section.texts(key) for key in ("increasing", "decreasing", "depends_on") if key in section.table}
    if "guess" in section.table and not isinstance(section.table["guess"], str):
        lists["guess"] = section.texts("guess")
    if "sign" in section.table:
        section.get("sign", str)
    with section.naming(f"[{section.name}] "):
        return TermKnowledge(**{**section.table, **lists})


def _names(kind: type) -> tuple[str, ...]:
    return tuple(entry.name for entry in fields(kind))


def search_warnings(model: HybridODE, options: SearchOptions, time: str) -> list[str]:
    """What of the section says nothing, or contradicts the equations."""
    own = [text for text in options.library.templates if text not in BUILT_IN]
    warnings = [
        f"the library's term {term!r} fits no network: its names must be among one network's arguments."
        for term in options.library.terms
        if not any(T.symbols(parse_expression(term)) <= set(slot.arguments) for slot in model.slots)
    ]
    warnings += [
        f"the library's template {text!r} fits no network: it has no argument of any."
        for text in own
        if not any(T.symbols(parse_expression(text)) & set(slot.arguments) for slot in model.slots)
    ]
    if options.units:
        warnings += equation_units(model, model_units(model, options.units, time))[1]
    return warnings


# ------------------------------------------------------------------ written out
def resolved_search(options: SearchOptions) -> dict:
    """The section with everything written out."""
    made: dict = {key: list(getattr(options, key)) for key in ("engines", "operators")}
    made |= {key: getattr(options, key) for key in _PLAIN if getattr(options, key) is not None}
    made |= {"forbidden": list(options.forbidden)} if options.forbidden else {}
    made |= {"units": dict(options.units)} if options.units else {}
    made["library"] = _said(asdict(options.library), empty=True)
    made["prior"] = asdict(options.prior)
    terms = {name: _said(asdict(known)) for name, known in options.terms.items()}
    return made | ({"terms": terms} if terms else {})


def _said(table: dict, *, empty: bool = False) -> dict:
    """A table as TOML can hold it, without what was not said."""
    plain = {key: list(value) if isinstance(value, tuple) else value for key, value in table.items()}
    return {key: value for key, value in plain.items() if value is not None and (empty or value != [])}


def describe_search(options: SearchOptions) -> list[str]:
    """Lines for `udesys check`."""
    engines = ", ".join(options.engines) or "all engines that are ready"
    size = f"formulas of at most {_terms(options.max_terms)}"
    size += "" if options.max_complexity is None else f" and {options.max_complexity} nodes"
    limit = "" if options.time_limit is None else f"; {options.time_limit:g} s for an engine and term"
    lines = [f"Search  {engines}; {size}{limit}"]
    if options.forbidden:
        lines.append(f"  forbidden: {', '.join(options.forbidden)}")
    if options.units:
        lines.append(f"  units: {', '.join(f'{name} {unit}' for name, unit in options.units.items())}")
    if options.prior != Prior():
        plain = asdict(Prior())
        changed = (f"{key} {value:g}" for key, value in asdict(options.prior).items() if value != plain[key])
        lines.append(f"  prior: {', '.join(changed)}")
    return [*lines, *(f"  {term}: {_describe_term(known)}" for term, known in options.terms.items())]


def _terms(count: int) -> str:
    return "1 term" if count == 1 else f"{count} terms"


def _describe_term(known: TermKnowledge) -> str:
    said = [{"positive": "never negative", "negative": "never positive"}[known.sign]] if known.sign else []
    said += [f"increasing in {', '.join(known.increasing)}"] if known.increasing else []
    said += [f"decreasing in {', '.join(known.decreasing)}"] if known.decreasing else []
    said += [f"depends on {', '.join(known.depends_on)} alone"] if known.depends_on else []
    said += [f"at most {_terms(known.max_terms)}"] if known.max_terms else []
    said += [f"guess {text}" for text in known.guess]
    return "; ".join(said) or "nothing known"
