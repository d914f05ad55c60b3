"""Parquet files: the same Dataset as from text, and their own refusals."""

import sys

import numpy as np
import pandas as pd
import pytest

from udesys.data import read_table
from udesys.errors import DataError


def written(path, text):
    path.write_text(text)
    return path


def test_parquet_round_trip_keeps_values_labels_and_gaps(tmp_path):
    frame = pd.DataFrame(
        {"t": [0.0, 0.1, 0.0], "run": [1, 1, 2], "x": [1.0, np.nan, 1 / 3], "note": list("abc")}
    )
    path = tmp_path / "runs.parquet"
    frame.to_parquet(path)
    data = read_table(path, time="t", trajectory="run")
    assert [run.name for run in data.trajectories] == ["1", "2"]
    back = data.to_frame("run").astype({"run": "int64"})
    pd.testing.assert_frame_equal(back[["t", "run", "x"]], frame[["t", "run", "x"]])


def test_parquet_index_is_a_column_when_it_has_a_name(tmp_path):
    frame = pd.DataFrame({"x": [1.0, 2.0]}, index=pd.Index([0.5, 1.0], name="t"))
    frame.to_parquet(tmp_path / "runs.parquet")
    np.testing.assert_array_equal(read_table(tmp_path / "runs.parquet", time="t").trajectories[0].t, [0.5, 1])


def test_parquet_without_pyarrow_says_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(
        DataError, match=r"a\.parquet needs pyarrow to be read\. Install it: pip install pyarrow"
    ):
        read_table(written(tmp_path / "a.parquet", "PAR1"), time="t")


def test_a_broken_parquet_file_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"a\.parquet is not a Parquet file that can be read"):
        read_table(written(tmp_path / "a.parquet", "PAR1 and then nothing"), time="t")


def test_parquet_rows_are_counted_from_one(tmp_path):
    path = tmp_path / "runs.parquet"
    pd.DataFrame({"t": [0.0, 1.0], "x": [1.0, np.inf]}).to_parquet(path)
    with pytest.raises(DataError, match=r"inf is infinite \(runs.parquet, row 2, column 'x'\)"):
        read_table(path, time="t")
