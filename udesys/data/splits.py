"""Splits: what a fit sees and what is kept to judge its forecast."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from udesys.data.dataset import Dataset
from udesys.data.noise import parse_percent
from udesys.errors import DataError, did_you_mean

_KEYS = ("last", "trajectories")
_FEWEST_ROWS = 2  # one sample says nothing about a rate of change


def split_holdout(
    dataset: Dataset, holdout: Mapping[str, str | float | Sequence[str]] | None
) -> tuple[Dataset, Dataset | None]:
    """Return the part to fit and the part held out.

    Args:
        dataset: the measurements.
        holdout: None; {"last": "20%"}, the last share of the rows of every trajectory, rounded and at
            least one row; or {"trajectories": ["B"]}, whole runs by name. Fields are cut at one time, at all points.

    Returns:
        (train, heldout); heldout is None where `holdout` is None.

    Raises:
        DataError: the request is unknown, names an unknown trajectory, or leaves nothing to fit.
    """
    if holdout is None:
        return dataset, None
    key, value = _only_item(holdout)
    return _split_last(dataset, value) if key == "last" else _split_trajectories(dataset, value)


def _only_item(holdout: Mapping) -> tuple[str, object]:
    forms = 'Write { last = "20%" } or { trajectories = ["B"] }.'
    if not isinstance(holdout, Mapping):
        raise DataError(f"holdout must be a table with one entry, not {holdout!r}. {forms}")
    for key in holdout:
        if key not in _KEYS:
            raise DataError(f"holdout has no entry {key!r}. {did_you_mean(str(key), _KEYS)} {forms}")
    if len(holdout) != 1:
        raise DataError(f"holdout must have one entry, but has {len(holdout)}. {forms}")
    return next(iter(holdout.items()))


def _split_last(dataset: Dataset, share: str | float) -> tuple[Dataset, Dataset]:
    fraction = parse_percent(share, name="holdout.last")
    if not 0 < fraction < 1:
        raise DataError(f"holdout.last must lie between 0 and 1 (0% and 100%), but is {share!r}.")
    train, heldout = [], []
    for run in dataset.trajectories:
        n = len(run.t)
        kept = n - max(1, round(fraction * n))
        if kept < _FEWEST_ROWS:
            message = f"holding out the last {share} of the {n} rows of {run.name!r} leaves nothing to fit."
            raise DataError(f"{message} Hold out less, or whole trajectories.", file=dataset.source)
        for part, rows in ((train, slice(None, kept)), (heldout, slice(kept, None))):
            part.append(run.rows(rows))
    return replace(dataset, trajectories=tuple(train)), replace(dataset, trajectories=tuple(heldout))


def _split_trajectories(dataset: Dataset, names: str | Sequence[str]) -> tuple[Dataset, Dataset]:
    if not isinstance(names, str | list | tuple):
        raise DataError(f'holdout.trajectories must be a list of names, such as ["B"], not {names!r}.')
    if not names:
        raise DataError("holdout.trajectories is empty. Name a trajectory, or leave `holdout` out.")
    heldout = dataset.select(names)
    kept = [name for name in dataset.runs if name not in heldout.runs]
    if not kept:
        message = "holdout.trajectories names every trajectory, which leaves nothing to fit."
        raise DataError(f"{message} Keep at least one.", file=dataset.source)
    return dataset.select(kept), heldout
