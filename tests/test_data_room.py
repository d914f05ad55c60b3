"""The room as a whole: its errors, and what importing it costs."""

import ast
import pickle
from pathlib import Path

import pytest

import udesys.data
from udesys import errors


@pytest.mark.parametrize("kind", ["DataError", "ModelError", "SolveError", "FitError", "SearchError"])
def test_every_error_is_a_udesys_error_and_prints_its_message(kind):
    error = getattr(errors, kind)("what is wrong. What to do.")
    assert isinstance(error, errors.UdesysError)
    assert str(error) == "what is wrong. What to do."


def test_a_data_error_keeps_its_place_through_pickling():
    error = pickle.loads(pickle.dumps(errors.DataError("wrong.", file="a.csv", row=3, column="x")))
    assert (str(error), error.file, error.row, error.column) == ("wrong.", "a.csv", 3, "x")


def test_unknown_names_are_answered_with_the_nearest_known_one():
    assert errors.did_you_mean("Hare", ["lynx", "hare"]) == "Did you mean 'hare'? Known are lynx, hare."
    assert errors.did_you_mean("q", ["hare"], listed="It has") == "It has hare."
    assert errors.did_you_mean("q", []) == "Known are none."
    assert errors.did_you_mean("q", [f"x{i}" for i in range(30)]).endswith("x19 and 10 more.")


@pytest.mark.parametrize("path", sorted(Path(udesys.data.__file__).parent.glob("*.py")), ids=lambda p: p.name)
def test_pandas_and_pyarrow_are_imported_only_when_used(path):
    imported = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module.split(".")[0])
    assert not imported & {"pandas", "pyarrow", "pickle"}
