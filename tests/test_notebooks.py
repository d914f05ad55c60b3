"""The notebooks run from top to bottom, and are saved with what they print and draw."""

import json
import re
import shutil
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
MOST_BYTES = 1_500_000  # of a saved notebook: what a reader waits for and every clone carries
LONGEST_CELL = 300  # seconds; the longest takes a few, on a busy machine several times as many
A_PLACE = re.compile(r"/home/|/Users/|/root/|/tmp/|\bC:")  # of one machine

pytestmark = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


@pytest.fixture
def kernel(tmp_path, monkeypatch):
    """A kernel of this very interpreter, which sees this package and none of the user's settings."""
    name = "udesys-tests"
    folder = tmp_path / "jupyter" / "kernels" / name
    folder.mkdir(parents=True)
    spec = {
        "argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": name,
        "language": "python",
        "env": {
            "PYTHONPATH": str(ROOT),
            "IPYTHONDIR": str(tmp_path / "ipython"),
            "MPLBACKEND": "module://matplotlib_inline.backend_inline",
            "UDESYS_NOTEBOOK_FAST": "1",
        },
    }
    (folder / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    return name


def test_runs_from_top_to_bottom_and_is_saved_with_all_it_shows(path, kernel, tmp_path):
    saved = nbformat.read(path, as_version=4)
    copy = tmp_path / "project" / "notebooks"
    copy.mkdir(parents=True)
    shutil.copytree(ROOT / "data", copy.parent / "data")
    ran = nbformat.from_dict(saved)
    for cell in code_cells(ran):
        cell.outputs, cell.execution_count = [], None
    client = NotebookClient(ran, timeout=LONGEST_CELL, kernel_name=kernel, resources={"metadata": {"path": str(copy)}})
    client.execute()  # raises CellExecutionError with the cell and its traceback
    for place, (now, before) in enumerate(zip(code_cells(ran), code_cells(saved), strict=True), start=1):
        assert "stderr" not in kinds(now), f"code cell {place} warns: {now.outputs}"
        stale = f"code cell {place} of {path.name} was saved with other outputs. Run all of it and save it again"
        assert kinds(before) == kinds(now), f"{stale}:\n{now.source}"



def test_is_saved_as_it_ran_in_one_go(path):
    saved = nbformat.read(path, as_version=4)
    nbformat.validate(saved)
    counts = [cell.execution_count for cell in code_cells(saved)]
    assert counts == list(range(1, len(counts) + 1))
    assert not any("error" in kinds(cell) for cell in code_cells(saved))
    assert any(cell.outputs for cell in code_cells(saved))


def test_is_small_and_says_nothing_about_the_machine(path):
    text = path.read_text(encoding="utf-8")
    assert len(text) < MOST_BYTES
    notebook = json.loads(text)
    assert not [cell for cell in notebook["cells"] if "execution" in cell["metadata"]], "it holds times of execution"
    for cell in notebook["cells"]:
        for output in cell.get("outputs", ()):
            output.get("data", {}).pop("image/png", None)
        assert not (found := A_PLACE.search(json.dumps(cell))), f"{found.group()} in {cell['source']}"


# ------------------------------------------------------------------ helpers
def code_cells(notebook) -> list:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def kinds(cell) -> list[str]:
    """What a cell shows, in words that do not depend on numbers."""
    shown = set()
    for output in cell.outputs:
        shown |= {output.name} if output.output_type == "stream" else set(output.get("data", {"error": ""}))
    return sorted(shown)
