"""Trajectory and Dataset: what they hold, refuse and print."""

import hashlib

import numpy as np
import pandas as pd
import pytest

from udesys.data import Dataset, Trajectory
from udesys.errors import DataError


def two_runs():
    a = Trajectory(name="a", t=[0, 1, 2], y=[[1, 10], [np.nan, 20], [3, 30]])
    b = Trajectory(name="b", t=[5, 6], y=[[4, 40], [5, 50]])
    return Dataset(columns=("x", "x'"), trajectories=(a, b), time="t", source="runs.csv")


def driven_runs():
    a = Trajectory(name="a", t=[0, 1, 2], y=[[1], [2], [3]], u=[[5, 0], [6, 0], [7, 0.5]], covariates=[20])
    b = Trajectory(name="b", t=[5, 6], y=[[4], [5]], u=[[8, 1], [9, 1]], covariates=[35])
    drivers = {"inputs": {"force": "linear", "valve": "hold"}, "covariates": ("temperature",)}
    return Dataset(columns=("x",), trajectories=(a, b), time="t", source="runs.csv", **drivers)


def test_arrays_are_read_only_copies():
    t, y = np.arange(3.0), np.zeros((3, 1))
    run = Trajectory(name="a", t=t, y=y)
    y[0] = 7
    assert run.y[0, 0] == 0
    with pytest.raises(ValueError, match="read-only"):
        run.t[0] = 1
    with pytest.raises(ValueError, match="read-only"):
        run.y[0] = 1
    with pytest.raises(ValueError, match="read-only"):
        driven_runs().trajectories[0].u[0] = 1
    with pytest.raises(ValueError, match="read-only"):
        driven_runs().trajectories[0].covariates[0] = 1


def test_a_run_that_nothing_drives_has_no_inputs_and_no_covariates():
    run = Trajectory(name="a", t=[0, 1, 2], y=[[0], [1], [2]])
    assert (run.u.shape, run.covariates.shape) == ((3, 0), (0,))
    assert (two_runs().inputs, two_runs().covariates) == ({}, ())


@pytest.mark.parametrize(
    ("which", "kept"),
    [
        (slice(1), [0]),
        (slice(1, None), [1, 2]),
        (slice(None, None, 2), [0, 2]),
        (np.array([0, 2]), [0, 2]),
        (np.array([False, True, True]), [1, 2]),
    ],
)
def test_some_rows_of_a_run_keep_their_values_inputs_and_covariates(which, kept):
    run = driven_runs().trajectories[0]
    part = run.rows(which)
    assert part.name == "a" and part.covariates.tolist() == [20]
    assert part.t.tolist() == [[0, 1, 2][k] for k in kept]
    assert part.y.tolist() == [[[1], [2], [3]][k] for k in kept]
    assert part.u.tolist() == [[[5, 0], [6, 0], [7, 0.5]][k] for k in kept]
    assert not part.t.flags.writeable and run.t.tolist() == [0, 1, 2]


def test_some_rows_may_have_a_name_of_their_own():
    run = two_runs().trajectories[0].rows(slice(1, 3), name="a 1:3")
    assert run.name == "a 1:3" and run.t.tolist() == [1, 2]
    np.testing.assert_array_equal(run.y, [[np.nan, 20], [3, 30]])
    assert (run.u.shape, run.covariates.shape) == ((2, 0), (0,))


def test_no_rows_and_rows_out_of_order_are_refused():
    run = two_runs().trajectories[0]
    with pytest.raises(DataError, match=r"at least one sample, but is \(0,\) \(trajectory 'a'\)"):
        run.rows(slice(3, None))
    with pytest.raises(DataError, match=r"t must increase, but t\[1\] = 0 follows t\[0\] = 2 \(trajectory 'a'\)"):
        run.rows(np.array([2, 0]))


def test_samples_and_measured_cells_are_counted():
    data = two_runs()
    assert data.n_samples == 5
    assert data.n_measured == {"x": 4, "x'": 5}


@pytest.mark.parametrize(
    ("t", "y", "message"),
    [
        (
            [],
            np.zeros((0, 1)),
            r"t must be \(n,\) with at least one sample, but is \(0,\) \(trajectory 'a'\)",
        ),
        ([[0, 1]], [[0]], r"t must be \(n,\)"),
        ([0, 1], [0, 1], r"y must be \(2, m\), one row for each time, but is \(2,\)"),
        ([0, 1], [[0]], r"y must be \(2, m\)"),
        ([0, np.nan], [[0], [1]], r"t must be finite, but t\[1\] = nan \(trajectory 'a'\)"),
        (
            [0, 1, 1],
            [[0], [1], [2]],
            r"t must increase, but t\[2\] = 1 follows t\[1\] = 1 \(trajectory 'a'\)",
        ),
        ([0, 1], [[0], [-np.inf]], r"y must not be infinite, but y\[1, 0\] = -inf \(trajectory 'a'\)"),
        ([0, 1], [["b"], ["c"]], r"y of trajectory 'a' must hold numbers"),
    ],
)
def test_a_trajectory_refuses_what_no_fit_can_use(t, y, message):
    with pytest.raises(DataError, match=message):
        Trajectory(name="a", t=t, y=y)


@pytest.mark.parametrize(
    ("drivers", "message"),
    [
        ({"u": [1, 2]}, r"u must be \(2, k\), one row for each time, but is \(2,\) \(trajectory 'a'\)"),
        ({"u": [[1], [2], [3]]}, r"u must be \(2, k\), one row for each time, but is \(3, 1\)"),
        ({"u": [[1], [np.nan]]}, r"u must be finite, but u\[1, 0\] = nan \(trajectory 'a'\). read_table .*fill gaps"),
        ({"u": [[1], [np.inf]]}, r"u must be finite, but u\[1, 0\] = inf"),
        ({"u": [["on"], ["off"]]}, r"u of trajectory 'a' must hold numbers"),
        ({"covariates": 20}, r"covariates must be \(c,\), but is \(\) \(trajectory 'a'\)"),
        ({"covariates": [1, np.nan]}, r"covariates must be finite, but covariates\[1\] = nan .*Give a number"),
    ],
)
def test_a_trajectory_refuses_inputs_and_covariates_with_holes_or_of_another_shape(drivers, message):
    with pytest.raises(DataError, match=message):
        Trajectory(name="a", t=[0, 1], y=[[0], [1]], **drivers)


@pytest.mark.parametrize(
    ("drivers", "message"),
    [
        ({"inputs": {"force": "linear"}}, r"'a' has 2 inputs, but the dataset has 1: force \(runs.csv\)"),
        ({"inputs": {"force": "linear", "x": "hold"}}, r"column 'x' is given twice \(runs.csv\)"),
        ({"covariates": ("force",)}, r"column 'force' is given twice"),
        ({"covariates": ()}, r"'a' has 1 covariates, but the dataset has 0 \(runs.csv\)"),
        ({"covariates": (1,)}, r"a column is named by text, not by 1"),
        (
            {"inputs": {"force": "linaer", "valve": "hold"}},
            r"interpolation = 'linaer' of input 'force' is unknown. Did you mean 'linear'\? Known are linear, hold",
        ),
    ],
)
def test_a_dataset_refuses_inputs_and_covariates_that_do_not_fit(drivers, message):
    given = {"inputs": {"force": "linear", "valve": "hold"}, "covariates": ("temperature",), **drivers}
    with pytest.raises(DataError, match=message):
        Dataset(columns=("x",), trajectories=driven_runs().trajectories, time="t", source="runs.csv", **given)


def test_a_dataset_refuses_names_given_twice_and_other_widths():
    run = Trajectory(name="a", t=[0, 1], y=[[0], [1]])
    names = {"time": "t", "source": "runs.csv"}
    with pytest.raises(DataError, match=r"trajectory 'a' is given twice \(runs.csv\)"):
        Dataset(columns=("x",), trajectories=(run, run), **names)
    with pytest.raises(DataError, match=r"column 'x' is given twice \(runs.csv\)"):
        Dataset(columns=("x", "x"), trajectories=(run,), **names)
    with pytest.raises(DataError, match=r"'a' has 1 columns of values, but the dataset has 2: x, y \(runs.csv\)"):
        Dataset(columns=("x", "y"), trajectories=(run,), **names)
    with pytest.raises(DataError, match=r"runs.csv needs at least one trajectory"):
        Dataset(columns=("x",), trajectories=(), **names)
    with pytest.raises(DataError, match=r"a trajectory is named by text, not by 1"):
        Dataset(columns=("x",), trajectories=(Trajectory(name=1, t=[0], y=[[0]]),), **names)


def test_frame_round_trip_keeps_every_cell():
    data = two_runs()
    frame = data.to_frame("run")
    assert list(frame.columns) == ["run", "t", "x", "x'"]
    back = Dataset.from_frame(frame, time="t", trajectory="run")
    assert back.columns == data.columns
    assert back.source == "frame"
    assert back.sha256 == data.sha256
    for one, other in zip(data.trajectories, back.trajectories, strict=True):
        assert one.name == other.name
        np.testing.assert_array_equal(one.t, other.t)
        np.testing.assert_array_equal(one.y, other.y)


def test_the_hash_of_a_frame_follows_its_values():
    frame = pd.DataFrame({"t": [0, 1], "x": [1.0, 2.0]})
    other = frame.assign(x=[1.0, 2.5])
    assert Dataset.from_frame(frame, time="t").sha256 == Dataset.from_frame(frame.copy(), time="t").sha256
    assert Dataset.from_frame(frame, time="t").sha256 != Dataset.from_frame(other, time="t").sha256


def test_the_frame_of_driven_runs_reads_back():
    data = driven_runs()
    frame = data.to_frame("run")
    assert list(frame.columns) == ["run", "t", "x", "force", "valve", "temperature"]
    np.testing.assert_array_equal(frame["temperature"], [20, 20, 20, 35, 35])
    drivers = {
        "inputs": {"force": "force", "valve": {"column": "valve", "interpolation": "hold"}},
        "covariates": ["temperature"],
    }
    back = Dataset.from_frame(frame, time="t", trajectory="run", **drivers)
    assert (back.columns, back.inputs, back.covariates) == (data.columns, data.inputs, data.covariates)
    assert back.sha256 == data.sha256
    for one, other in zip(data.trajectories, back.trajectories, strict=True):
        np.testing.assert_array_equal(one.u, other.u)
        np.testing.assert_array_equal(one.covariates, other.covariates)
    with pytest.raises(DataError, match="'force' is already a column"):
        data.to_frame("force")


def test_the_hash_follows_inputs_and_covariates_and_stays_what_it_was_without_them():
    runs = two_runs().trajectories
    plain = hashlib.sha256(b"".join(run.t.tobytes() + run.y.tobytes() for run in runs)).hexdigest()
    assert two_runs().sha256 == plain
    hashes = set()
    for u, covariate in ((1.0, 1.0), (2.0, 1.0), (1.0, 2.0)):
        run = Trajectory(name="a", t=[0], y=[[0]], u=[[u]], covariates=[covariate])
        named = {"inputs": {"force": "linear"}, "covariates": ("temperature",)}
        hashes.add(Dataset(columns=("x",), trajectories=(run,), time="t", source="a", **named).sha256)
    assert len(hashes) == 3


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (np.array([1, 1, 2]), ["1", "2"]),
        ([1.0, 1.0, 2.0], ["1", "2"]),
        (["a", "a", "b"], ["a", "b"]),
        (pd.array([1, 1, 2], dtype="Int64"), ["1", "2"]),
        (pd.Categorical(["u", "u", "v"]), ["u", "v"]),
        ([0.5, 0.5, 1.0], ["0.5", "1"]),
        (
            np.array([2**63 + 1, 2**63 + 1, 2**63 + 3], dtype=np.uint64),
            ["9223372036854775809", "9223372036854775811"],
        ),
    ],
)
def test_trajectory_labels_become_text(labels, names):
    frame = pd.DataFrame({"run": labels, "t": [0, 1, 0], "x": [1, 2, 3]})
    data = Dataset.from_frame(frame, time="t", trajectory="run")
    assert [run.name for run in data.trajectories] == names


def test_frames_of_nullable_and_object_numbers_are_read():
    frame = pd.DataFrame(
        {
            "t": [0, 1, 2],
            "i": pd.array([1, None, 3], dtype="Int64"),
            "o": ["1.5", None, 2],
            "b": [True, False, True],
        }
    )
    (run,) = Dataset.from_frame(frame, time="t").trajectories
    np.testing.assert_array_equal(run.y, [[1, 1.5, 1], [np.nan, np.nan, 0], [3, 2, 1]])


def test_time_and_trajectory_may_stand_in_the_index():
    index = pd.MultiIndex.from_tuples([("a", 0.0), ("a", 1.0), ("b", 0.0)], names=["run", "t"])
    frame = pd.DataFrame({"x": [1.0, 2.0, 3.0]}, index=index)
    data = Dataset.from_frame(frame, time="t", trajectory="run")
    assert [run.name for run in data.trajectories] == ["a", "b"]
    assert data.columns == ("x",)


def test_a_refused_cell_of_a_frame_is_named_by_its_index():
    frame = pd.DataFrame({"t": [0, 1], "x": [1.0, np.inf]}, index=["first", "second"])
    with pytest.raises(DataError, match=r"inf is infinite \(frame, index second, column 'x'\)"):
        Dataset.from_frame(frame, time="t")


def test_frames_that_cannot_be_used_are_refused():
    with pytest.raises(DataError, match="takes a pandas DataFrame, not list"):
        Dataset.from_frame([1, 2], time="t")
    with pytest.raises(DataError, match="column 'x' appears twice"):
        Dataset.from_frame(pd.DataFrame([[0, 1, 2]], columns=["t", "x", "x"]), time="t")
    with pytest.raises(DataError, match="frame has no rows"):
        Dataset.from_frame(pd.DataFrame({"t": [], "x": []}), time="t")
    stamps = pd.DataFrame({"t": pd.to_datetime(["2024-01-01", "2024-01-02"]), "x": [1, 2]})
    with pytest.raises(DataError, match=r"'2024-01-01 00:00:00' is not a number .*seconds since the start"):
        Dataset.from_frame(stamps, time="t")
    with pytest.raises(DataError, match=r"the trajectory is missing \(frame, index 1, column 'run'\)"):
        Dataset.from_frame(pd.DataFrame({"t": [0, 1], "x": 1.0, "run": [1, None]}), time="t", trajectory="run")
    with pytest.raises(DataError, match="'x' is already a column"):
        two_runs().to_frame("x")


def test_select_keeps_the_named_trajectories_in_the_order_given():
    data = two_runs()
    assert [run.name for run in data.select(["b", "a"]).trajectories] == ["b", "a"]
    assert [run.name for run in data.select("b").trajectories] == ["b"]
    assert data.select("b").sha256 == data.sha256
    with pytest.raises(DataError, match=r"no trajectory 'B'. Did you mean 'b'\? Its trajectories are a, b\."):
        data.select(["B"])
    with pytest.raises(DataError, match="trajectory 'a' is given twice"):
        data.select(["a", "a"])
    with pytest.raises(DataError, match="needs at least one trajectory"):
        data.select([])


def test_the_printed_summary_is_aligned_and_complete():
    assert str(two_runs()).splitlines() == [
        "Dataset  runs.csv   2 trajectories, 5 samples   t 0 to 6",
        "  trajectories (samples): a (3), b (2)",
        "  column   measured   missing   min   max",
        "  x               4         1     1     5",
        "  x'              5         0    10    50",
    ]


def test_the_summary_tells_inputs_and_covariates():
    assert str(driven_runs()).splitlines()[-2:] == [
        "  inputs: force (linear, 5 to 9), valve (hold, 0 to 1)",
        "  covariates: temperature (20 to 35)",
    ]
    assert str(driven_runs().select("a")).splitlines()[-1] == "  covariates: temperature (20)"
    assert "<p>inputs: force (linear, 5 to 9), valve (hold, 0 to 1)</p>" in driven_runs()._repr_html_()


def test_the_html_summary_escapes_names():
    run = Trajectory(name="a", t=[0], y=[[np.nan]])
    shown = Dataset(columns=("<x>",), trajectories=(run,), time="t", source="<b>.csv")._repr_html_()
    assert "&lt;x&gt;" in shown
    assert "&lt;b&gt;.csv" in shown
    assert "n/a" in shown
