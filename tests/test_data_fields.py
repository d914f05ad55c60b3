"""Fields on a line: long and wide tables and arrays become one trajectory for each point, and what is refused."""

import numpy as np
import pandas as pd
import pytest

from udesys.data import Dataset, Trajectory, read_table, split_holdout
from udesys.errors import DataError

T, X = (0.0, 0.5, 1.5), (0.0, 0.04, 0.08, 0.12)
VALUES = np.array([[1.0, 2.0, 3.0, 4.0], [1.5, 2.5, 3.5, 4.5], [1.25, 2.25, 3.25, 4.25]])  # (times, points)


@pytest.fixture
def write(tmp_path):
    """Write text to a file and return its path."""

    def writer(text, name="field.csv"):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return writer


def long_rows(values=VALUES, t=T, x=X, order="t", before=""):
    pairs = [(i, k) for i in range(len(t)) for k in range(len(x))]
    pairs = pairs if order == "t" else sorted(pairs, key=lambda pair: pair[::-1])
    return "".join(f"{before}{t[i]},{x[k]},{values[i, k]}\n" for i, k in pairs)


def wide(values=VALUES, t=T, x=X, name="u"):
    header = ",".join(["t", *(f"{name}@{a:.2f}" for a in x)])
    return "\n".join([header, *(",".join(map(str, (now, *row))) for now, row in zip(t, values, strict=True))]) + "\n"


def assert_is_the_field(data, values=VALUES, t=T, x=X):
    assert data.columns == ("u",)
    assert (data.position, data.covariates[-1]) == ("x", "x")
    np.testing.assert_allclose(data.points, x, rtol=1e-12)
    assert len(data.trajectories) == len(x)
    for k, point in enumerate(data.trajectories):
        assert point.covariates[-1] == data.points[k]
        np.testing.assert_array_equal(point.t, t)
        np.testing.assert_array_equal(point.y[:, 0], values[:, k])


# ------------------------------------------------------------------ what tables become
@pytest.mark.parametrize("order", ["t", "x"])
def test_a_long_table_becomes_a_trajectory_for_each_point_in_either_order(write, order):
    data = read_table(write("t,x,u\n" + long_rows(order=order)), time="t", position="x")
    assert_is_the_field(data)
    assert [point.name for point in data.trajectories] == ["x = 0", "x = 0.04", "x = 0.08", "x = 0.12"]


def test_a_wide_table_is_the_same_field(write):
    data = read_table(write(wide()), time="t", position="x")
    assert_is_the_field(data)
    assert [point.name for point in data.trajectories] == ["x = 0", "x = 0.04", "x = 0.08", "x = 0.12"]


def test_columns_of_a_wide_table_stand_in_any_order_and_two_fields_may_have_different_points(write):
    header = "t,v@0.1,u@0.3,u@0.1,u@0.2,u@0,v@0.30,v@.2"
    data = read_table(write(f"{header}\n0,10,3,1,2,0,30,20\n1,11,4,2,3,1,31,21\n"), time="t", position="x")
    assert data.columns == ("v", "u")
    np.testing.assert_allclose(data.points, [0, 0.1, 0.2, 0.3])
    first = np.array([point.y[0] for point in data.trajectories])
    np.testing.assert_array_equal(first, [[np.nan, 0], [10, 1], [20, 2], [30, 3]])


def test_a_frame_is_read_as_a_file_is(write):
    rows = [(now, a, VALUES[i, k]) for i, now in enumerate(T) for k, a in enumerate(X)]
    frame = pd.DataFrame(rows, columns=["t", "x", "u"])
    assert_is_the_field(Dataset.from_frame(frame, time="t", position="x"))
    assert_is_the_field(Dataset.from_frame(frame.set_index(["t", "x"]), time="t", position="x"))
    pivot = frame.pivot(index="t", columns="x", values="u")
    pivot.columns = [f"u@{a}" for a in pivot.columns]
    assert_is_the_field(Dataset.from_frame(pivot, time="t", position="x"))


def test_runs_follow_each_other_and_have_their_own_times(write):
    text = "run,t,x,u\n" + long_rows(before="B,") + long_rows(VALUES[:2] + 10, t=(0.0, 2.0), before="A,")
    data = read_table(write(text), time="t", trajectory="run", position="x")
    assert [point.name for point in data.trajectories][:5] == [
        "B, x = 0", "B, x = 0.04", "B, x = 0.08", "B, x = 0.12", "A, x = 0",
    ]  # fmt: skip
    assert {name: len(points) for name, points in data.runs.items()} == {"B": 4, "A": 4}
    assert_is_the_field(data.select("B"))
    assert_is_the_field(data.select("A"), VALUES[:2] + 10, t=(0.0, 2.0))


def test_missing_cells_rows_and_points_are_nan(write):
    lines = ("t,x,u\n" + long_rows()).splitlines()
    lines[2] = lines[2].rpartition(",")[0] + ","  # u at t = 0, x = 0.04
    del lines[12]  # t = 1.5, x = 0.12
    wanted = VALUES.copy()
    wanted[0, 1] = wanted[2, 3] = np.nan
    assert_is_the_field(read_table(write("\n".join(lines)), time="t", position="x"), wanted)


def test_a_point_that_the_table_skips_has_no_values(write):
    x = (0.0, 0.1, 0.2, 0.4, 0.5)
    data = read_table(write("t,x,u\n" + long_rows(np.ones((3, 5)), x=x)), time="t", position="x")
    np.testing.assert_allclose(data.points, np.arange(6) / 10, rtol=1e-12)
    assert np.isnan(data.trajectories[3].y).all()
    assert "without values: x = 0.3" in str(data)


def test_positions_that_are_rounded_to_their_digits_are_even(write):
    exact = np.arange(30) / 29
    x = np.round(exact, 3)
    data = read_table(write("t,x,u\n" + long_rows(np.ones((3, 30)), x=x)), time="t", position="x")
    np.testing.assert_allclose(data.points, exact, rtol=1e-12)
    assert data.trajectories[1].name == "x = 0.034"


def test_positions_and_times_equal_within_rounding_are_the_same():
    frame = pd.DataFrame({"t": [0, 0, 0, 0.3, 0.1 + 0.2, 0.3], "x": [0.0, 0.3, 0.6, 0.0, 0.1 + 0.2, 0.6], "u": 1.0})
    data = Dataset.from_frame(frame, time="t", position="x")
    assert data.points == (0.0, 0.3, 0.6)
    assert [point.t.tolist() for point in data.trajectories] == [[0, 0.3]] * 3


def test_times_of_very_different_sizes_stay_different():
    t = [0.0, 1e-8, 1e-4, 1e3]
    data = Dataset.from_fields(t, X, {"u": np.ones((4, 4))})
    frame = Dataset.from_frame(data.to_frame().drop(columns="trajectory"), time="t", position="x")
    np.testing.assert_array_equal(frame.trajectories[0].t, t)


def test_names_tell_points_apart_without_needless_digits():
    for x, names in {
        (0.25, 0.5, 0.75): ["0.25", "0.5", "0.75"],
        (100.0, 100.04, 100.08): ["100", "100.04", "100.08"],
        (0.0, 1 / 3, 2 / 3): ["0", "0.333333", "0.666667"],
        (-10.0, 0.0, 10.0): ["-10", "0", "10"],
        (1e6, 1e6 + 0.125, 1e6 + 0.25): ["1000000", "1000000.125", "1000000.25"],
    }.items():
        data = Dataset.from_fields([0, 1], x, {"u": np.ones((2, 3))})
        assert [point.name for point in data.trajectories] == [f"x = {name}" for name in names]


# ------------------------------------------------------------------ inputs and covariates
def test_an_input_may_stand_in_some_rows_of_a_time_and_is_filled_at_all_points(write):
    rows = [(now, a) for now in (0, 1, 2) for a in (0, 1, 2)]
    cells = ["5", "", "5", "", "", "", "", "9", ""]
    text = "t,x,u,F,k\n" + "".join(f"{t},{x},1,{f},3\n" for (t, x), f in zip(rows, cells, strict=True))
    data = read_table(write(text), time="t", position="x", inputs={"force": "F"}, covariates={"stiffness": "k"})
    assert data.columns == ("u",)
    assert data.covariates == ("stiffness", "x")
    for point in data.trajectories:
        np.testing.assert_array_equal(point.u[:, 0], [5, 7, 9])
        assert point.covariates[0] == 3


def test_a_wide_table_has_inputs_too(write):
    data = read_table(write("t,F,u@0,u@1\n0,1,2,3\n1,,4,5\n2,3,6,7\n"), time="t", position="x", inputs={"F": "F"})
    np.testing.assert_array_equal(data.trajectories[1].u[:, 0], [1, 2, 3])


# ------------------------------------------------------------------ arrays
def test_arrays_of_one_run_are_the_field():
    assert_is_the_field(Dataset.from_fields(T, X, {"u": VALUES}))


@pytest.mark.parametrize("keyed", [True, False])
def test_arrays_of_several_runs_have_their_own_times_inputs_and_covariates(keyed):
    fields = {"A": {"u": VALUES, "v": -VALUES}, "B": {"v": VALUES[:2], "u": 2 * VALUES[:2]}}
    t, inputs = {"A": T, "B": (0, 3)}, {"A": {"F": (1, 2, 3)}, "B": {"F": (4, 5)}}
    covariates = {"A": {"k": 1}, "B": {"k": 2}}
    if not keyed:
        fields, t, inputs, covariates = (list(part.values()) for part in (fields, t, inputs, covariates))
    data = Dataset.from_fields(t, X, fields, inputs=inputs, covariates=covariates, interpolation={"F": "hold"})
    assert list(data.runs) == (["A", "B"] if keyed else ["0", "1"])
    assert (data.inputs, data.covariates) == ({"F": "hold"}, ("k", "x"))
    last = data.trajectories[-1]
    np.testing.assert_array_equal(last.t, [0, 3])
    np.testing.assert_array_equal(last.y, np.stack([2 * VALUES[:2, 3], VALUES[:2, 3]], 1))
    np.testing.assert_array_equal(last.u[:, 0], [4, 5])
    np.testing.assert_array_equal(last.covariates, [2, 0.12])


def test_one_time_axis_and_one_covariate_may_serve_all_runs():
    data = Dataset.from_fields(T, X, [{"u": VALUES}, {"u": VALUES}, {"u": VALUES}], covariates={"k": 4.0})
    assert [point.covariates[0] for point in data.trajectories] == [4.0] * 12
    np.testing.assert_array_equal(data.trajectories[-1].t, T)


def test_the_frame_of_a_dataset_is_its_long_form(write):
    runs = {"A": {"u": VALUES}, "B": {"u": 2 * VALUES}}
    data = Dataset.from_fields(T, X, runs, inputs={"F": [1, 2, 4]}, covariates={"A": {"k": 1}, "B": {"k": 2}})
    roles = {"time": "t", "trajectory": "trajectory", "inputs": {"F": "F"}, "covariates": ["k"]}
    again = Dataset.from_frame(data.to_frame(), **roles, position="x")
    assert again.sha256 == data.sha256  # of all arrays, in their order
    assert [point.name for point in again.trajectories] == [point.name for point in data.trajectories]


# ------------------------------------------------------------------ splits and text
def test_the_last_share_is_cut_at_one_time_at_all_points():
    data = Dataset.from_fields([np.arange(10.0), np.arange(5.0)], X, [{"u": np.ones((n, 4))} for n in (10, 5)])
    train, heldout = split_holdout(data, {"last": "20%"})
    assert [len(point.t) for point in train.trajectories] == [8] * 4 + [4] * 4
    assert [point.t[0] for point in heldout.trajectories] == [8] * 4 + [4] * 4
    assert train.position == heldout.position == "x"


def test_held_out_trajectories_are_runs():
    data = Dataset.from_fields(T, X, {"A": {"u": VALUES}, "B": {"u": VALUES}, "C": {"u": VALUES}})
    train, heldout = split_holdout(data, {"trajectories": ["B"]})
    assert (list(train.runs), list(heldout.runs)) == (["A", "C"], ["B"])
    with pytest.raises(DataError, match=r"no trajectory 'B, x = 0'. Its trajectories are A, B, C"):
        split_holdout(data, {"trajectories": ["B, x = 0"]})


def test_many_points_print_as_a_line_with_the_grid_and_the_runs():
    x, t = np.arange(200) / 200, np.arange(5)
    data = Dataset.from_fields(t, x, {"A": {"u": np.ones((5, 200))}, "B": {"u": np.ones((5, 200))}}, source="a.csv")
    assert str(data).splitlines() == [
        "Dataset  a.csv   2 runs on 200 points of x from 0 to 0.995, 2000 samples   t 0 to 4",
        "  runs (times): A (5), B (5)",
        "  column   measured   missing   min   max",
        "  u            2000         0     1     1",
    ]
    assert str(Dataset.from_fields(t, x, {"u": np.ones((5, 200))})).startswith(
        "Dataset  arrays   1 run on 200 points of x from 0 to 0.995, 1000 samples   t 0 to 4\n"
    )


def test_data_without_positions_have_no_points():
    data = Dataset(
        columns=("u",), time="t", source="a", trajectories=[Trajectory(name="A", t=np.arange(3.0), y=np.ones((3, 1)))]
    )
    assert (data.position, data.points, list(data.runs)) == ("", (), ["A"])


# ------------------------------------------------------------------ refusals
LONG = "t,x,u\n" + long_rows()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("t,pos,u\n0,0,1\n", r"no column 'x' \(`position`\), and no columns of a field .* such as u@0.5"),
        ("t,xx,u\n0,0,1\n", r"no column 'x' .* Did you mean 'xx'"),
        (
            LONG + "0.5,0.04,7\n",
            r"two rows are for t = 0.5 and x = 0.04 \(field.csv, rows 7 and 14\). Keep one, or name",
        ),
        (LONG + "0.7,0.04,7\n", r"t must increase at each point, but 0.7 follows 1.5 \(field.csv, rows 11 and 14\)"),
        (LONG + "2,0.05,7\n", r"evenly spaced, but x = 0.05 follows x = 0.04, where 0.04 is the usual distance"),
        (LONG + "2,,7\n", r"the position is missing \(field.csv, row 14, column 'x'\)"),
        (LONG + "2,left,7\n", r"'left' is not a number \(field.csv, row 14, column 'x'\)"),
        ("t,x,u\n0,1,1\n1,1,2\n", r"one position only, x = 1"),
        ("t,x,u,u@0.5\n0,1,1,1\n", r"has a column 'x' and columns such as 'u@0.5'"),
        ("t,u@0,u@left,u@1\n0,1,1,1\n", r"the position of column 'u@left' is not a number"),
        ("t,u@0.1,u@0.10,u@1\n0,1,1,1\n", r"columns 'u@0.1' and 'u@0.10' of field.csv are at the same position"),
        (
            "t,u@0,u@0.25,u@0.5,v@0,v@0.254,v@0.5\n0,1,1,1,1,1,1\n",
            r"columns 'u@0.25' and 'v@0.254' of field.csv are nearly the same. Write one position in one way",
        ),
        ("t,u@0,u@1,u\n0,1,1,1\n", r"has a column 'u' and columns such as u@0"),
        ("t,u@0,u@1,w\n0,1,1,1\n", r"column 'w' of field.csv is at no position"),
        ("t,u@0,u@1\n0,1,1\n0,2,2\n", r"two rows are for t = 0 \(field.csv, rows 2 and 3\)"),
        ("t,u@0,u@1\n0,1,1\n1,2,two\n", r"'two' is not a number \(field.csv, row 3, column 'u@1'\)"),
    ],
)
def test_tables_that_hold_no_fields_are_refused(write, text, message):
    with pytest.raises(DataError, match=message):
        read_table(write(text), time="t", position="x")


def test_an_input_that_differs_between_points_is_refused(write):
    path = write("t,x,u,F\n0,0,1,1\n0,1,1,2\n1,0,1,1\n1,1,1,1\n")
    with pytest.raises(DataError, match=r"'F' differs between points at t = 0 \(field.csv, row 3, column 'F'\)"):
        read_table(path, time="t", position="x", inputs={"F": "F"})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"fields": {"u": VALUES.T}}, r"u of arrays must be \(3, 4\), \(times, points\), .* Is it transposed\?"),
        ({"fields": {}}, r'fields must be {"u": array} for one run'),
        (
            {"fields": [{"u": VALUES}, {"v": VALUES}]},
            r"the fields of run '1' of arrays are v, those of the first run u",
        ),
        ({"x": (0, 2, 1, 3)}, r"x must be \(points,\) and increase"),
        ({"x": (0, 1, 1.5, 3)}, "positions must be evenly spaced"),
        ({"t": (0, 2, 1)}, r"t must increase, but t\[2\] = 1 follows t\[1\] = 2"),
        ({"inputs": {"F": [1, 2]}}, r"input F of arrays must be \(3,\), \(times\)"),
        ({"fields": [{"u": VALUES}] * 2, "covariates": [{"k": 1}, {}]}, "covariate 'k' is missing in run '1'"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(given, message):
    arguments = {"t": T, "x": X, "fields": {"u": VALUES}} | given
    with pytest.raises(DataError, match=message):
        Dataset.from_fields(**arguments)


def test_trajectories_that_are_no_fields_are_refused():
    points = Dataset.from_fields(T, X, {"A": {"u": VALUES}, "B": {"u": VALUES}}).trajectories
    given = {"columns": ("u",), "time": "t", "source": "made", "covariates": ("x",), "position": "x"}
    for wrong in (points[::-1], points[:-1], [points[k] for k in (0, 4, 1, 5, 2, 6, 3, 7)]):
        with pytest.raises(DataError, match=r"the trajectories of made are no fields: every run needs all points"):
            Dataset(trajectories=wrong, **given)
    with pytest.raises(DataError, match="the position 'y' is no covariate of made"):
        Dataset(trajectories=points, **{**given, "position": "y"})
