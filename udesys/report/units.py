"""Units of what stands on axes: those given, and those of velocities and missing terms that follow from them."""

from __future__ import annotations

from collections.abc import Mapping

from udesys.errors import SearchError


def axis_units(law, given: Mapping[str, str] | None) -> dict[str, str]:
    """Name -> unit, where that is known; the time's under the name of its column.

    Args:
        law: a Discovery.
        given: name of a column, state, input or the time -> its unit.
    """
    if not given:
        return {}
    from udesys.search.dimensions import model_units, term_units

    model, time, found = law.model, law.data.time, {}
    try:
        found = {name: str(unit) for name, unit in model_units(model, given, time).items()}
        for term, units in term_units(model, given, time).items():
            found |= {term: units[term]} if term in units else {}
    except SearchError:  # a unit of the user's own, which stands on its axis all the same
        pass
    found = {name: "" if unit == "1" else unit for name, unit in found.items()}
    return {**found, **({time: given["t"]} if "t" in given else {}), **given}
