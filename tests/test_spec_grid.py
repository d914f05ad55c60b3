"""The section [grid]: fields on a line in a spec, what it resolves to, and what is refused."""

import numpy as np
import pytest

from udesys.data import Dataset
from udesys.errors import DataError, ModelError
from udesys.model import Grid, HybridODE
from udesys.runs.keeping import question_files, question_of
from udesys.spec import load_spec

X, T = np.round(np.arange(25) * 0.04, 2), np.arange(6) * 0.5
U = np.exp(-T)[:, None] * (2 + np.sin(2 * np.pi * X))


@pytest.fixture
def folder(tmp_path):
    """A folder with the same two fields as a long table of two runs, and as a wide one of the first."""
    rows = [f"{run},{t},{x},{f * U[i, k]},{U[i, k] ** 2},{t},{f}"
            for f, run in ((1, "A"), (3, "B")) for i, t in enumerate(T) for k, x in enumerate(X)]  # fmt: skip
    (tmp_path / "long.csv").write_text("\n".join(["run,t,x,u,v,F,k", *rows]) + "\n")
    header = ",".join(["t", "F", *(f"{name}@{x:.2f}" for name in "uv" for x in X)])
    lines = [",".join(map(str, (t, t, *row, *row**2))) for t, row in zip(T, U, strict=True)]
    (tmp_path / "wide.csv").write_text("\n".join([header, *lines]) + "\n")
    return tmp_path


def spec(file="wide.csv", equations="u' = NN(u, v) + D*dxx(u)\nv' = -k0*v", data=None, **sections):
    run = {"trajectory": "run"} if file == "long.csv" else {}
    return {
        "data": {"file": file, "time": "t", **run, **(data or {})},
        "model": {"equations": equations},
        "grid": {"position": "x"},
        **sections,
    }


def test_the_points_come_from_the_table_and_the_ends_from_the_section(folder):
    read = load_spec(spec(grid={"position": "x", "ends": {"u": "neumann", "v": "dirichlet"}}), folder=folder)
    assert read.model.grid == Grid(tuple(X.tolist()), {"u": "neumann", "v": "dirichlet"}, "x")
    assert read.data.points == read.model.grid.points
    np.testing.assert_array_equal(read.data.trajectories[3].y, np.stack([U[:, 3], U[:, 3] ** 2], 1))
    assert load_spec(spec(), folder=folder).model.grid.ends == "periodic"


def test_long_and_wide_tables_are_read_the_same(folder):
    long, wide = (load_spec(spec(file), folder=folder) for file in ("long.csv", "wide.csv"))
    first = long.data.select("A")
    for one, other in zip(first.trajectories, wide.data.trajectories, strict=True):
        np.testing.assert_array_equal(one.t, other.t)
        np.testing.assert_allclose(one.y, other.y, rtol=1e-15)
        np.testing.assert_array_equal(one.covariates, other.covariates)


def test_columns_with_other_names_inputs_covariates_and_noise(folder):
    equations = "a' = NN(a, F, k, x) + dxx(a)"
    given = {"columns": {"a": "u"}, "inputs": {"F": {"column": "F"}}, "covariates": ["k"], "noise": {"a": "5%"}}
    read = load_spec(spec("long.csv", equations, data=given), folder=folder)
    assert read.data.columns == ("a",)
    assert read.model.covariates == read.data.covariates == ("k", "x")
    assert read.noise == {"a": pytest.approx(0.05 * 2 * U.mean(), rel=1e-12)}  # of both runs, once and three times U
    wide = load_spec(spec(equations="b' = NN(b)", data={"columns": {"b": "u"}}), folder=folder)
    np.testing.assert_array_equal(wide.data.trajectories[0].y[:, 0], U[:, 0])


def test_the_last_share_is_held_out_at_all_points_and_runs_by_name(folder):
    read = load_spec(spec("long.csv", data={"holdout": {"last": "20%"}}), folder=folder)
    assert {len(point.t) for point in read.data.trajectories} == {5}
    assert {point.t[0] for point in read.heldout.trajectories} == {2.5}
    assert "held out: 50 samples, times of each run: A (1), B (1)" in str(read)
    read = load_spec(spec("long.csv", data={"holdout": {"trajectories": ["B"]}}), folder=folder)
    assert (list(read.data.runs), list(read.heldout.runs)) == (["A"], ["B"])
    assert read.to_dict()["trajectories"] == {"A": 6}


def test_a_check_says_the_grid(folder):
    text = str(load_spec(spec("long.csv"), folder=folder))
    assert "  fields on 25 points of x from 0 to 0.96, periodic ends\n" in text
    assert "2 runs on 25 points of x from 0 to 0.96, 300 samples" in text
    assert "  runs (times): A (6), B (6)\n" in text


@pytest.mark.parametrize("ends", ["neumann", {"u": "dirichlet"}])
@pytest.mark.parametrize("file", ["long.csv", "wide.csv"])
def test_a_resolved_spec_reads_back_as_itself(folder, file, ends):
    equations = "u' = NN(u, x) + conv3(u)\nv' = -k0*v + D*dx(v^2/2)"
    read = load_spec(spec(file, equations, grid={"position": "x", "ends": ends}), folder=folder)
    (folder / "run").mkdir()
    (folder / "run" / "spec.toml").write_text(read.to_toml(folder / "run"))
    again = load_spec(folder / "run" / "spec.toml")
    assert again.raw == read.raw
    assert again.raw["grid"] == {"position": "x", "ends": ends}
    assert again.model.grid == read.model.grid
    assert [part.name for part in again.model.spatial] == [part.name for part in read.model.spatial]
    assert again.data.sha256 == read.data.sha256


def test_a_question_from_python_keeps_its_grid():
    data = Dataset.from_fields(T, X, {"u": U})
    model = HybridODE("u' = NN(u, x) + conv3(u)", grid=Grid(data.points, {"u": "neumann"}, data.position))
    files = question_files(model, data, None)
    again, kept, heldout = question_of(*files.values())
    assert (again.grid, again.text, again.covariates) == (model.grid, model.text, model.covariates)
    assert [part.name for part in again.spatial] == [part.name for part in model.spatial]
    assert (kept.position, kept.points, kept.sha256, heldout) == (data.position, data.points, data.sha256, None)
    assert question_files(again, kept, None) == files


def test_an_input_that_stands_once_for_a_time_has_no_gap(folder):
    rows = [(t, x) for t in (0, 1, 2) for x in range(4)]
    cells = ["1", "", "", "", "", "2", "", "", "", "", "", ""]
    text = "t,x,u,F\n" + "".join(f"{t},{x},{t + x},{f}\n" for (t, x), f in zip(rows, cells, strict=True))
    (folder / "once.csv").write_text(text)
    given = spec("once.csv", "u' = NN(u, F)", data={"inputs": {"F": "F"}})
    warning = "the input F is interpolated (linear) where 1 of its 3 times is empty."
    assert load_spec(given, folder=folder).warnings == (warning,)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"grid": {}}, r"spec: \[grid\] lacks 'position'. Add  position = \"x\""),
        ({"grid": {"position": 1}}, r"position in \[grid\] must be text in quotes"),
        ({"grid": {"position": "x", "end": "neumann"}}, r"unknown key 'end' in \[grid\]. Did you mean 'ends'"),
        ({"grd": {"position": "x"}}, r"unknown section 'grd'. Did you mean 'grid'"),
        ({"grid": {"position": "x", "ends": "periodc"}}, r"\[grid\] ends = 'periodc' .* Did you mean 'periodic'"),
        ({"grid": {"position": "x", "ends": 0}}, r"ends in \[grid\], where it is no text, must be a table"),
        ({"grid": {"position": "x", "ends": {"u": 0}}}, r"ends.u in \[grid\] must be text in quotes"),
        ({"grid": {"position": "x", "ends": {"w": "neumann"}}}, r"the grid's ends name 'w', which is no field"),
        ({"equations": "x' = NN(x)"}, r"'x' is a field and the position too"),
        ({"equations": "u' = NN(u) + dxx(w)"}, r"dxx\(w\) is not of fields alone"),
        (
            {"equations": "w' = NN(w)"},
            r"no state is measured: the states are w; the columns of wide.csv are t, F, x, u",
        ),
        ({"file": "few.csv"}, r"\[grid\] a grid needs at least 4 points"),
        ({"file": "three.csv"}, r"\[grid\] the position is missing \(three.csv, row 3, column 'x'\)"),
        ({"file": "none.csv"}, r"\[grid\] none.csv has no column 'x' .* Did you mean 'xx'"),
        ({"file": "uneven.csv"}, r"\[grid\] positions must be evenly spaced, but x = 3.5 follows x = 2"),
    ],
)
def test_sections_that_make_no_grid_are_refused(folder, given, message):
    (folder / "few.csv").write_text("t,u@0,u@1,u@2,v@0\n0,1,2,3,0\n1,2,3,4,0\n")
    (folder / "three.csv").write_text("t,x,u\n0,1,2\n1,,3\n")
    (folder / "none.csv").write_text("t,xx,u\n0,1,2\n1,1,3\n")
    (folder / "uneven.csv").write_text("t,x,u\n" + "".join(f"0,{x},1\n" for x in (0, 1, 2, 3.5, 4, 5)))
    with pytest.raises((ModelError, DataError), match=message):
        load_spec(spec(**given), folder=folder)


def test_operators_need_the_section(folder):
    given = spec()
    del given["grid"]
    with pytest.raises(ModelError, match=r"no grid is given. Add the grid .* \(\[grid\] in a spec"):
        load_spec(given, folder=folder)
