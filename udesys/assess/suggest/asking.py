"""Where to measure next: experiments ranked by how well they tell the laws apart that the data cannot.

predict every experiment by every law that stands -> rank by linearised predictions -> keep the best that differ ->
simulate each from every law, refit the others -> rank by what that does to their criteria
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from udesys.assess.suggest.designs import new_run, running
from udesys.assess.suggest.picture import picture_of
from udesys.assess.suggest.search import Suggesting
from udesys.assess.suggest.suggestions import Suggestions
from udesys.errors import DataError, UdesysError

if TYPE_CHECKING:
    from udesys.assess.discovery import Discovery


def suggest(
    law: Discovery,
    *,
    initial: Mapping[str, object] | None = None,
    until: float | None = None,
    columns: Sequence[str] | None = None,
    shrink: Sequence[str] = (),
    samples: int | None = None,
    every: float | None = None,
    most: int = 10,
    seed: int = 0,
) -> Suggestions:
    """Rank experiments that could be made next.

    One more measurement of a running trajectory, between its samples or ahead of them; and, where initial values are
    given, a new run that is measured as the present ones were. Leaving what the data visited is often the point of an
    experiment, and the table says where one does.

    Args:
        law: what was discovered.
        initial: state -> (low, high) of a new run's start, or one number; without it no new run is suggested.
        until: last time of a measurement of a running trajectory; if None as long again as the record.
        columns: what may be measured; all of the data's columns if None.
        shrink: parameters, constants such as "NN1.c0", derived quantities or expressions such as "alpha/delta" whose
            intervals should become narrower; the experiments are ranked by that then.
        samples, every: of a new run; as the median trajectory was measured if None.
        most: experiments in the answer.
        seed: of the starts that are looked at.

    Raises:
        DataError: a state or column is unknown, or bounds are not usable.
        ModelError: something to narrow is no expression of the law's constants.
        UdesysError: the law is of fields, or was found by an older version and does not keep what it stands on.
    """
    if law.model.grid is not None:
        raise UdesysError(
            "where to measure next is not suggested for fields on a grid: experiments of a single place are compared "
            "alone. See where the law and its rivals differ with  udesys forecast."
        )
    if most < 1:
        raise DataError(f"most = {most} must be at least 1.")
    search = Suggesting(law, columns, shrink, seed)
    trajectories, notes = running(law, until)
    fresh, more = new_run(law, initial or {}, samples, every)
    search.notes += [*notes, *more]
    for run in trajectories:
        search.add_running(run)
    if fresh is not None:
        search.search_new(fresh)
    if not search.bundles:
        raise DataError("there is no time left at which to measure. Give a later `until`, or initial values.")
    items, laws, places = search.suggestions(most)
    if not items:
        raise DataError("the law blows up in every experiment looked at. Give an earlier `until` or other starts.")
    if not fresh:
        states = ", ".join(law.model.states)
        search.notes.append(f"New runs are suggested between bounds of their starts alone ({states}).")
    named = {s: law.model.states.index(s) for s in initial or {}}
    best = picture_of(search, items, laws, places[0], trajectories, fresh)
    return Suggestions(
        source=law.data.source,
        time=law.data.time,
        by=search.by,
        laws=laws,
        items=items,
        initial={} if fresh is None else {s: (float(fresh.low[k]), float(fresh.high[k])) for s, k in named.items()},
        notes=tuple(search.notes),
        seed=seed,
        best=best,
    )
