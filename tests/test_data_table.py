"""read_table: what a file becomes, and what is refused with its file, row and column."""

import hashlib

import numpy as np
import pandas as pd
import pytest

from udesys.data import Dataset, read_table
from udesys.errors import DataError


@pytest.fixture
def write(tmp_path):
    """Write text or bytes to a file and return its path."""

    def writer(content, name="runs.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return writer


def test_hudson_bay_record_reads_as_published(data_dir):
    path = data_dir / "lynx_hare.csv"
    data = read_table(path, time="year")
    assert data.columns == ("hare", "lynx")
    (run,) = data.trajectories
    assert run.name == "0"
    np.testing.assert_array_equal(run.t, np.arange(1900, 1921))
    np.testing.assert_array_equal(run.y[[0, -1]], [[30, 4], [24.7, 8.6]])
    assert data.source == "lynx_hare.csv"
    assert data.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_interleaved_trajectories_are_grouped_in_file_order(write):
    path = write("t,run,x\n0,b,1\n0,a,10\n1,b,2\n1,a,20\n2,b,3\n")
    data = read_table(path, time="t", trajectory="run")
    assert [run.name for run in data.trajectories] == ["b", "a"]
    np.testing.assert_array_equal(data.trajectories[0].y[:, 0], [1, 2, 3])
    np.testing.assert_array_equal(data.trajectories[1].y[:, 0], [10, 20])


@pytest.mark.parametrize("seed", range(5))
def test_interleaving_changes_no_trajectory(write, seed):
    rng = np.random.default_rng(seed)
    rows = [(name, k, rng.standard_normal()) for name in "abc" for k in range(6)]
    order = list(rng.permutation([name for name, _, _ in rows]))
    waiting = {name: [row for row in rows if row[0] == name] for name in "abc"}
    mixed = [waiting[name].pop(0) for name in order]

    def text(table):
        return "run,t,x\n" + "".join(f"{name},{t},{x!r}\n" for name, t, x in table)

    plain = read_table(write(text(rows)), time="t", trajectory="run")
    shuffled = read_table(write(text(mixed)), time="t", trajectory="run").select(["a", "b", "c"])
    for one, other in zip(plain.trajectories, shuffled.trajectories, strict=True):
        np.testing.assert_array_equal(one.t, other.t)
        np.testing.assert_array_equal(one.y, other.y)


def test_empty_cells_and_na_are_missing(write):
    data = read_table(write("t,x,y\n0,,1\n1,NA,2\n2,NaN,\n3,nan,4\n4,5,5\n"), time="t")
    assert data.n_measured == {"x": 1, "y": 4}
    np.testing.assert_array_equal(np.isnan(data.trajectories[0].y[:, 0]), [True] * 4 + [False])


def test_columns_none_takes_every_column_of_numbers(write):
    data = read_table(write("t,note,x,run,void,y\n0,wet,1,1,,2\n1,dry,2,1,,3\n"), time="t", trajectory="run")
    assert data.columns == ("x", "y")


def test_notes_that_hold_digits_are_still_text(write):
    data = read_table(write("t,note,day,x\n0,dry,2024-01-01,1\n1,10 reps,2024-01-02,2\n"), time="t")
    assert data.columns == ("x",)


@pytest.mark.parametrize("cell", ["1,5", "1 234.5", "3 mm"])
def test_a_column_of_numbers_written_another_way_is_never_left_out_in_silence(write, cell):
    with pytest.raises(DataError, match=rf"'{cell}' is not a number \(runs.csv, row 2, column 'y'\)"):
        read_table(write(f"t;x;y\n0;1;{cell}\n1;2;{cell}\n"), time="t")


def test_a_long_cell_is_quoted_in_part(write):
    with pytest.raises(DataError, match=r"^'a{40}\.\.\.' is not a number"):
        read_table(write("t,x\n0,1\n1," + "a" * 5000), time="t")


def test_a_named_column_may_be_empty(write):
    data = read_table(write("t,x,void\n0,1,\n1,2,\n"), time="t", columns=["x", "void"])
    assert data.n_measured == {"x": 2, "void": 0}


def test_columns_maps_model_names_to_file_names(write):
    path = write("t,omega,Angle (rad)\n0,1,2\n1,3,4\n")
    data = read_table(path, time="t", columns={"theta": "Angle (rad)", "theta'": "omega"})
    assert data.columns == ("theta", "theta'")
    np.testing.assert_array_equal(data.trajectories[0].y, [[2, 1], [4, 3]])


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ("t,x\n0,1.5\n1,2\n", "a.csv"),
        ("t;x\n0;1.5\n1;2\n", "a.csv"),
        ("t\tx\n0\t1.5\n1\t2\n", "a.tsv"),
        ("t\tx\n0\t1.5\n1\t2\n", "a.txt"),
        ("t,x\n0,1.5\n1,2\n", "a.txt"),
        ("t,x\r\n0,1.5\r\n1,2\r\n", "a.CSV"),
        ("t,x\r0,1.5\r1,2\r", "a.csv"),
        (b"\xef\xbb\xbft,x\n0,1.5\n1,2\n", "a.csv"),
        ('"t", "x"\n"0", "1.5"\n1 , 2', "a.csv"),
        ("\nt,x\n0,1.5\n\n1,2\n,\n", "a.csv"),
        ("t,x,\n0,1.5,\n1,2,\n", "a.csv"),
        ("t,x\n0,1.5,\n1,2,\n", "a.csv"),
        (",t,x\n0,0,1.5\n1,1,2\n", "a.csv"),
        ("t,x\n0,1.5\n1,2\n", "a b é.csv"),
    ],
)
def test_separators_line_ends_and_marks_are_understood(write, content, name):
    data = read_table(write(content, name), time="t")
    assert data.columns == ("x",)
    np.testing.assert_array_equal(data.trajectories[0].t, [0, 1])
    np.testing.assert_array_equal(data.trajectories[0].y, [[1.5], [2]])


def test_a_comma_in_a_quoted_or_semicolon_separated_name_is_kept(write):
    assert read_table(write('t,"x, mm"\n0,1\n'), time="t").columns == ("x, mm",)
    assert read_table(write("t;x, mm\n0;1\n1;2\n"), time="t").columns == ("x, mm",)


def test_trajectory_labels_stay_text(write):
    data = read_table(write("t,run,x\n0,1,1\n0,01,1\n0,NA,1\n"), time="t", trajectory="run")
    assert [run.name for run in data.trajectories] == ["1", "01", "NA"]


def test_several_columns_separate_runs_together(write):
    path = write("ball,drop,t,x\nred,1,0,1\nred,1,1,2\nred,2,0,3\nred,2,1,4\nblue,1,0,5\nblue,1,1,6\n")
    data = read_table(path, time="t", trajectory=["ball", "drop"])
    assert [run.name for run in data.trajectories] == ["red, 1", "red, 2", "blue, 1"]
    assert data.columns == ("x",)
    indexed = Dataset.from_frame(pd.read_csv(path).set_index("drop"), time="t", trajectory=["ball", "drop"])
    assert str(indexed) == str(data).replace("runs.csv", "frame")
    with pytest.raises(DataError, match=r"t\[2\] = 0 follows t\[1\] = 1 \(runs.csv, row 4, trajectory 'red'\)"):
        read_table(path, time="t", trajectory="ball")


# --- inputs and covariates ---------------------------------------------------------------------------

DRIVEN = """\
run,t,x,F,valve,T
A,0,1,10,,20
A,1,2,,1,
A,2,3,30,,20
B,0,4,,0,
B,2,5,50,,35
"""


def test_inputs_and_covariates_are_read_beside_the_measured_columns(write):
    inputs = {"force": "F", "valve": {"interpolation": "hold"}}
    data = read_table(write(DRIVEN), time="t", trajectory="run", inputs=inputs, covariates={"temperature": "T"})
    assert data.columns == ("x",)
    assert data.inputs == {"force": "linear", "valve": "hold"}
    assert data.covariates == ("temperature",)
    a, b = data.trajectories
    np.testing.assert_array_equal(a.u, [[10, 1], [20, 1], [30, 1]])
    np.testing.assert_array_equal(b.u, [[50, 0], [50, 0]])
    assert (a.covariates.tolist(), b.covariates.tolist()) == ([20], [35])


def test_the_column_that_separates_runs_may_be_a_covariate(write):
    path = write("t,T,x\n0,20,1\n1,20,2\n0,35,3\n")
    data = read_table(path, time="t", trajectory="T", covariates=["T"])
    assert [(run.name, run.covariates.tolist()) for run in data.trajectories] == [("20", [20]), ("35", [35])]


def test_a_table_without_trajectories_is_one_run_for_its_covariates(write):
    data = read_table(write("t,x,T\n0,1,20\n1,2,\n"), time="t", covariates=["T"])
    assert data.trajectories[0].covariates.tolist() == [20]


def test_a_covariate_that_changes_within_a_run_is_named_with_its_row(write):
    path = write("run,t,x,T\nA,0,1,20\nB,0,1,30\nA,1,2,20.5\n")
    message = (
        r"^covariate 'temperature' changes within trajectory 'A': 20, then 20.5 \(runs.csv, row 4, column 'T'\). "
        r"A covariate is one number for each trajectory; name what changes in time under `inputs`.$"
    )
    with pytest.raises(DataError, match=message) as refusal:
        read_table(path, time="t", trajectory="run", covariates={"temperature": "T"})
    assert (refusal.value.file, refusal.value.row, refusal.value.column) == ("runs.csv", 4, "T")
    with pytest.raises(DataError, match="or the column that separates runs with `trajectory`"):
        read_table(write("t,x,T\n0,1,20\n1,2,30\n"), time="t", covariates=["T"])


@pytest.mark.parametrize(
    ("role", "message"),
    [
        ({"inputs": {"force": "F"}}, r"input 'force' has no value in trajectory 'B' \(runs.csv, column 'F'\). Fill"),
        ({"covariates": ["F"]}, r"covariate 'F' has no value in trajectory 'B' \(runs.csv, column 'F'\)"),
    ],
)
def test_a_run_without_any_value_of_an_input_or_a_covariate_is_refused(write, role, message):
    path = write("run,t,x,F\nA,0,1,20\nB,0,1,\nB,1,2,\n")
    with pytest.raises(DataError, match=message) as refusal:
        read_table(path, time="t", trajectory="run", **role)
    assert refusal.value.column == "F"


@pytest.mark.parametrize(
    ("roles", "message"),
    [
        ({"inputs": {"force": "FF"}}, r"runs.csv has no column 'FF' \(`inputs`\). Did you mean 'F'\?"),
        ({"inputs": {"f": {"column": "F", "interpolate": "hold"}}}, r"input 'f' has no entry 'interpolate'. Did you"),
        ({"inputs": {"f": {"column": "F", "interpolation": "spline"}}}, r"= 'spline' of input 'f' is unknown"),
        ({"inputs": {"f": 3}}, r"inputs maps text to text, but holds 'f': 3. Write \{ force = \"F\" \}"),
        ({"inputs": ["F"]}, r"inputs must be a mapping, not \['F'\]. Write"),
        ({"inputs": {"f": "t"}}, r"column 't' of runs.csv is the time or the trajectory. Leave it out of `inputs`"),
        ({"inputs": {"f": "run"}}, r"column 'run' of runs.csv is the time or the trajectory"),
        ({"inputs": {"f": "F", "g": "F"}}, r"column 'F' of runs.csv is used twice, for 'f' and 'g'"),
        ({"inputs": {"f": "F"}, "columns": ["x", "F"]}, r"column 'F' of runs.csv is used twice, for 'F' and 'f'"),
        ({"inputs": {"x": "F"}, "columns": ["x"]}, r"column 'x' is given twice \(runs.csv\)"),
        ({"inputs": {"f": "valve"}}, r"'open' is not a number \(runs.csv, row 2, column 'valve'\)"),
        ({"covariates": ["TT"]}, r"runs.csv has no column 'TT' \(`covariates`\). Did you mean 'T'\?"),
        ({"covariates": "T"}, r"covariates must be a list or a mapping, not the text 'T'. Write \['T'\]"),
        ({"covariates": 3}, r"covariates must be a list or a mapping, not 3"),
        ({"covariates": [3]}, r"covariates maps text to text, but holds 3: 3"),
        ({"covariates": ["T", "T"]}, r"covariates names 'T' twice. Keep one"),
        ({"covariates": ["t"]}, r"column 't' of runs.csv is the time or the trajectory. Leave it out of `covariates`"),
        ({"covariates": ["F"], "inputs": {"f": "F"}}, r"column 'F' of runs.csv is used twice, for 'f' and 'F'"),
    ],
)
def test_inputs_and_covariates_that_cannot_be_used_are_refused(write, roles, message):
    path = write("run,t,x,F,T,valve\nA,0,1,2,3,open\nA,1,2,3,3,shut\n")
    with pytest.raises(DataError, match=message):
        read_table(path, time="t", trajectory="run", **roles)


REFUSED_CELLS = [
    ("t,x\n0,1\n1,abc\n", r"'abc' is not a number \(runs.csv, row 3, column 'x'\). Leave the cell empty", 3),
    ("t;x\n0;1,5\n", r"'1,5' is not a number .*row 2.*Write decimals with a point: 1.5\.", 2),
    ("t;x\n0;1,234.5\n", r"'1,234.5' is not a number .*thousands separators", 2),
    ("t,x\n0,1_000\n", r"'1_000' is not a number .*thousands separators", 2),
    ("t,x\n0,3 mm\n", r"'3 mm' is not a number .*Write the number alone \(3\) and the unit in the header", 2),
    ("t,x\n0,5%\n1,2\n", r"'5%' is not a number .*Write the number alone \(5\)", 2),
    ("t,x\n0,1\n1,inf\n", r"inf is infinite \(runs.csv, row 3, column 'x'\). Leave the cell empty", 3),
    ("t,x\n0,1\n1,1e999\n", r"1e999 is infinite \(runs.csv, row 3, column 'x'\)", 3),
    ("t,x\n0,2\n\n2,oops\n", r"'oops' is not a number \(runs.csv, row 4, column 'x'\)", 4),
    ('t,note,x\n0,"two\nlines",1\n2,a,oops\n', r"'oops' is not a number \(runs.csv, row 4, column 'x'\)", 4),
]


@pytest.mark.parametrize(("content", "message", "row"), REFUSED_CELLS)
def test_a_refused_cell_is_named_with_its_row_and_column(write, content, message, row):
    with pytest.raises(DataError, match=message) as refusal:
        read_table(write(content), time="t")
    assert (refusal.value.file, refusal.value.row, refusal.value.column) == ("runs.csv", row, "x")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("t,x\n2024-01-01,1\n", r"'2024-01-01' is not a number .*row 2, column 't'.*seconds since the start"),
        ("t,x\n12:30:00,1\n", r"'12:30:00' is not a number .*seconds since the start"),
        ("t,x\n0,1\n,2\n", r"the time is missing \(runs.csv, row 3, column 't'\)"),
        ("t,x\n0,1\nNA,2\n", r"the time is missing \(runs.csv, row 3, column 't'\)"),
        ("t,x\n0,1\ninf,2\n", r"inf is infinite \(runs.csv, row 3, column 't'\)"),
    ],
)
def test_a_refused_time_is_named_with_its_row(write, content, message):
    with pytest.raises(DataError, match=message):
        read_table(write(content), time="t")


def test_a_time_that_decreases_is_refused(write):
    message = (
        r"^t must increase, but t\[2\] = 0.5 follows t\[1\] = 1 \(runs.csv, row 4\). "
        r"Sort the rows, or name the column that separates runs with `trajectory`.$"
    )
    with pytest.raises(DataError, match=message):
        read_table(write("t,x\n0,1\n1,2\n0.5,3\n"), time="t")


def test_a_time_given_twice_in_one_trajectory_is_refused(write):
    path = write("run,t,x\na,0,1\nb,0,1\na,1,2\na,1,3\n")
    message = r"t\[2\] = 1 follows t\[1\] = 1 \(runs.csv, row 5, trajectory 'a'\). Sort the rows of each"
    with pytest.raises(DataError, match=message):
        read_table(path, time="t", trajectory="run")


def test_a_missing_trajectory_label_is_refused(write):
    with pytest.raises(DataError, match=r"the trajectory is missing \(runs.csv, row 3, column 'run'\)"):
        read_table(write("run,t,x\na,0,1\n,1,2\n"), time="t", trajectory="run")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"time": "T"},
            r"runs.csv has no column 'T' \(`time`\). Did you mean 't'\? Its columns are t, x, y\.",
        ),
        ({"time": "t", "trajectory": "run"}, r"no column 'run' \(`trajectory`\). Its columns are t, x, y"),
        ({"time": "t", "columns": ["xx"]}, r"no column 'xx' \(`columns`\). Did you mean 'x'\?"),
        ({"time": "t", "columns": {"a": "x", "b": "x"}}, r"'x' of runs.csv is used twice, for 'a' and 'b'"),
        ({"time": "t", "columns": ["x", "x"]}, r"'x' of runs.csv is used twice"),
        ({"time": "t", "columns": ["t"]}, r"'t' of runs.csv is the time or the trajectory"),
        ({"time": "t", "trajectory": "t"}, r"'t' of runs.csv is given as `time` and as `trajectory`"),
        ({"time": "t", "trajectory": 5}, r"trajectory must be a column or a list of columns, .* not 5"),
        ({"time": "t", "trajectory": ["x", "x"]}, r"trajectory names 'x' twice"),
        ({"time": "t", "trajectory": ["x", "run"]}, r"no column 'run' \(`trajectory`\)"),
        ({"time": "t", "columns": "x"}, r"columns must be a list or a mapping, not the text 'x'"),
        ({"time": "t", "columns": []}, r"columns is empty"),
        ({"time": "t", "columns": {"a": 1}}, r"columns maps text to text, but holds 'a': 1"),
    ],
)
def test_a_column_that_cannot_be_used_is_refused(write, options, message):
    with pytest.raises(DataError, match=message):
        read_table(write("t,x,y\n0,1,2\n1,2,3\n"), **options)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"runs.csv is empty"),
        (" \n\n", r"runs.csv is empty"),
        (b"\xef\xbb\xbf", r"runs.csv is empty"),
        (",,\n,,\n", r"runs.csv is empty"),
        ("t,x\n", r"runs.csv has a header but no rows"),
        ("t,x,x\n0,1,2\n", r"column 'x' appears twice in the header \(runs.csv, row 1\). Rename one"),
        ("0,1,1\n1,2,3\n", r"column '1' appears twice in the header .*The first row must name the columns"),
        ("t,x\n0,1\n1,2,3\n", r"the row has 3 cells, but the header has 2 \(runs.csv, row 3\)"),
        ("t,x,y\n0,1,2\n1,2\n", r"the row has 2 cells, but the header has 3 \(runs.csv, row 3\)"),
        ('t,x\n0,"1\n1,2\n', r"cannot be told apart \(runs.csv, from row 2 on\).*quotation marks"),
        ("t,x\n0,1\n".encode("utf-16"), r"runs.csv is UTF-16 text. Save it as UTF-8"),
        ("t,x\n0,1\n".encode("utf-16-le"), r"holds a NUL byte in row 1"),
        ("t,x\n0,1\n1,\0\n", r"holds a NUL byte in row 3"),
        ("t,größe\n0,1\n".encode("latin-1"), r"not UTF-8 text: byte 0xf6 in row 1. Save it as UTF-8"),
        ("t,a;b\n0,1;2\n", r"commas and semicolons in its header"),
        ("t,note\n0,wet\n", r"no column of numbers beside the time. Its columns are t, note"),
        ("0,1\n1,2\n", r"no column 't'.*The first row must name the columns"),
        ("t x\n0 1\n", r"no column 't'.*Separate columns with a comma"),
        ("t,x,note\n0,1,5\n1,2,bad\n", r"'bad' is not a number.*Or name the columns to use with `columns`"),
    ],
)
def test_a_file_that_is_no_table_is_refused(write, content, message):
    with pytest.raises(DataError, match=message):
        read_table(write(content), time="t")


def test_a_missing_file_is_refused_with_its_neighbours(write):
    path = write("t,x\n0,1\n", "hare_lynx.csv")
    with pytest.raises(
        DataError, match=r"there is no file .*hare-lynx.csv. Similar files there: hare_lynx.csv"
    ):
        read_table(path.with_name("hare-lynx.csv"), time="t")
    with pytest.raises(DataError, match=r"the folder .*nowhere does not exist"):
        read_table(path.parent / "nowhere" / "a.csv", time="t")


def test_a_path_that_the_system_takes_for_no_file_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"(?s)a{30}.*cannot be read: File name too long"):
        read_table(tmp_path / f"{'a' * 5000}.csv", time="t")
    (tmp_path / "endless.csv").symlink_to("/dev/zero")
    with pytest.raises(DataError, match=r"endless.csv is no plain file"):
        read_table(tmp_path / "endless.csv", time="t")


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(DataError, match="is a folder"):
        read_table(tmp_path, time="t")


def test_another_kind_of_file_is_refused(write):
    with pytest.raises(
        DataError, match=r"a.xlsx is of no kind that can be read \(.csv, .tsv.*Save the table as CSV"
    ):
        read_table(write("t,x\n0,1\n", "a.xlsx"), time="t")


def test_nothing_in_a_file_is_evaluated(write):
    with pytest.raises(DataError, match="is not a number"):
        read_table(write("t,x\n0,1\n1,__import__('os')\n"), time="t")
