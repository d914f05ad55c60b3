"""What a figure of the best suggestion shows: what each law predicts, and how much each place would tell."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from udesys.assess.suggest.predictions import Prediction, predict_new, predict_running
from udesys.integrate.driving import Driving

if TYPE_CHECKING:
    from udesys.assess.suggest.designs import NewRun, Running
    from udesys.assess.suggest.search import Suggesting

DENSE = 120  # times of a curve
MOST_DRAWN = 4  # laws


def picture_of(
    search: Suggesting, items, laws, place, trajectories: list[Running], fresh: NewRun | None
) -> dict[str, dict]:
    """The content of `Suggestions.best`.

    Args:
        search: what was looked at.
        items: the suggestions, the best first.
        laws: the laws that stand, as they are named.
        place: bundle of the best one, and its place there.
        trajectories: that were looked at.
        fresh: how new runs are measured, where any were looked at.

    Returns:
        `curves`: `t`, and for each column and law `mean` and `sd` of its prediction without the noise; `strip`: `t`,
        `column` and `separation` by the best column along the best trajectory; `map`: `states`, `starts` and
        `score`, over the bounds of new runs. What there is not is left out.
    """
    design, (bundle, _) = items[0].design, place
    drawn = [k for k, one in enumerate(laws) if one.group == one.label][:MOST_DRAWN]
    pair = [k for k, one in enumerate(laws) if one.label in items[0].pair]
    drawn = list(dict.fromkeys([0, *pair, *drawn]))[:MOST_DRAWN]
    found = {}
    if design.trajectory is not None:
        run = next(r for r in trajectories if r.segment == bundle.segment)
        t = _dense(run.t0, float(run.t[-1]), run.driving)
        predictions = [predict_running(search.laws[k], replace(run, t=t), search.spacing) for k in drawn]
        if search.by != "constants":
            found["strip"] = _strip(search, bundle.segment)
    else:
        run = replace(fresh, t=_dense(float(fresh.t[0]), float(fresh.t[-1]), fresh.driving))
        t, start = run.t, np.array([list(design.start.values())])
        exact = np.zeros(len(search.law.model.states))
        predictions = [predict_new(search.laws[k], run, start, exact, search.spacing) for k in drawn]
        if 1 <= fresh.open.sum() <= 2:
            found["map"] = _map(search, fresh)
    curves = {}
    for j, column in zip(search.places, search.columns, strict=True):
        curves[column] = {laws[k].label: _curve(p, j) for k, p in zip(drawn, predictions, strict=True)}
    return {"curves": {"t": t.tolist(), "columns": curves}, **found}


def _dense(first: float, last: float, driving: Driving | None) -> np.ndarray:
    t = np.linspace(first, last, DENSE)
    return t if driving is None or not driving.varying else np.minimum(t, max(last, first))


def _curve(p: Prediction, j: int) -> dict[str, list]:
    slopes = p.slopes[0, :, j]
    sd = np.sqrt(np.maximum(np.einsum("tk,kl,tl->t", slopes, p.covariance, slopes), 0.0))
    blown = ~np.isfinite(p.mean[0, :, j])
    mean, sd = (np.where(blown, np.nan, values) for values in (p.mean[0, :, j], sd))
    return {"mean": _plain(mean), "sd": _plain(sd)}


def _strip(search: Suggesting, segment: int) -> dict:
    """How well each time would tell the laws apart, by the column that does it best."""
    single = [b for b in search.bundles if b.segment == segment and len(b.designs[0].columns) == 1]
    best = max(single, key=lambda b: search.scores(b).max())
    order = np.argsort([d.t[0] for d in best.designs])
    values = np.where(np.isfinite(search.scores(best)), search.scores(best), np.nan)
    t = [best.designs[k].t[0] for k in order]
    return {"t": t, "column": best.designs[0].columns[0], "score": _plain(values[order])}


def _map(search: Suggesting, fresh: NewRun) -> dict:
    states = [s for s, chosen in zip(search.law.model.states, fresh.open, strict=True) if chosen]
    new = [b for b in search.bundles if b.segment is None]
    starts = [[d.start[s] for s in states] for b in new for d in b.designs]
    scores = np.concatenate([search.scores(b) for b in new])
    return {"states": states, "starts": starts, "score": _plain(np.where(np.isfinite(scores), scores, np.nan))}


def _plain(values: np.ndarray) -> list:
    return [float(v) if np.isfinite(v) else None for v in values]
