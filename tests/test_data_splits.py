"""Held-out splits: which rows a fit sees."""

import numpy as np
import pytest

from udesys.data import Dataset, Trajectory, split_holdout
from udesys.errors import DataError


def runs(**lengths):
    trajectories = [Trajectory(name=k, t=np.arange(n), y=np.arange(n)[:, None]) for k, n in lengths.items()]
    return Dataset(columns=("x",), trajectories=trajectories, time="t", source="runs.csv")


def test_nothing_is_held_out_unless_asked():
    data = runs(A=5)
    assert split_holdout(data, None) == (data, None)


@pytest.mark.parametrize("share", ["20%", 0.2, "0.2"])
def test_the_last_share_of_every_trajectory_is_held_out(share):
    train, heldout = split_holdout(runs(A=21, B=10, C=3), {"last": share})
    assert [len(run.t) for run in train.trajectories] == [17, 8, 2]
    assert [len(run.t) for run in heldout.trajectories] == [4, 2, 1]
    assert [run.name for run in heldout.trajectories] == ["A", "B", "C"]
    for before, after in zip(train.trajectories, heldout.trajectories, strict=True):
        np.testing.assert_array_equal(
            np.concatenate([before.y, after.y])[:, 0], np.arange(len(before.t) + len(after.t))
        )


def test_whole_trajectories_are_held_out_by_name():
    train, heldout = split_holdout(runs(A=3, B=4, C=5), {"trajectories": ["B"]})
    assert [run.name for run in train.trajectories] == ["A", "C"]
    assert [run.name for run in heldout.trajectories] == ["B"]


def test_both_parts_keep_the_source_and_hash_of_the_whole():
    data = runs(A=10)
    for part in split_holdout(data, {"last": "20%"}):
        assert (part.source, part.sha256) == (data.source, data.sha256)


@pytest.mark.parametrize("holdout", [{"last": "40%"}, {"trajectories": ["B"]}])
def test_inputs_and_covariates_stay_with_their_rows(holdout):
    t = np.arange(10.0)
    trajectories = [
        Trajectory(name=name, t=t, y=t[:, None], u=np.column_stack([t + shift, -t]), covariates=[shift])
        for name, shift in (("A", 100.0), ("B", 200.0))
    ]
    data = Dataset(
        columns=("x",),
        trajectories=trajectories,
        time="t",
        source="runs.csv",
        inputs={"force": "hold", "heat": "linear"},
        covariates=("shift",),
    )
    for part in split_holdout(data, holdout):
        assert (part.inputs, part.covariates) == ({"force": "hold", "heat": "linear"}, ("shift",))
        for run in part.trajectories:
            np.testing.assert_array_equal(run.covariates, [{"A": 100.0, "B": 200.0}[run.name]])
            np.testing.assert_array_equal(run.u, np.column_stack([run.t + run.covariates[0], -run.t]))


@pytest.mark.parametrize(
    ("holdout", "message"),
    [
        ({"lats": "20%"}, r"holdout has no entry 'lats'. Did you mean 'last'\? Known are last, trajectories"),
        ({}, r"holdout must have one entry, but has 0"),
        ({"last": "20%", "trajectories": ["B"]}, r"holdout must have one entry, but has 2"),
        ("20%", r"holdout must be a table with one entry, not '20%'"),
        ({"last": "0%"}, r"holdout.last must lie between 0 and 1 \(0% and 100%\), but is '0%'"),
        ({"last": 20}, r"holdout.last must lie between 0 and 1 .*but is 20"),
        ({"last": "-5%"}, r"holdout.last must not be negative, but is '-5%'"),
        ({"last": "some"}, r"holdout.last is not a number: 'some'"),
        ({"last": "90%"}, r"holding out the last 90% of the 10 rows of 'A' leaves nothing to fit"),
        ({"trajectories": ["D"]}, r"runs.csv has no trajectory 'D'. Its trajectories are A, B"),
        ({"trajectories": ["A", "B"]}, r"names every trajectory, which leaves nothing to fit"),
        ({"trajectories": []}, r"holdout.trajectories is empty"),
        ({"trajectories": 1}, r"holdout.trajectories must be a list of names"),
    ],
)
def test_a_holdout_that_cannot_be_made_is_refused(holdout, message):
    with pytest.raises(DataError, match=message):
        split_holdout(runs(A=10, B=10), holdout)
