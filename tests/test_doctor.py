"""The doctor: with and without each thing it says what is there, and the one line that adds what is not."""

import importlib.metadata
import io
import json
import sys
import types

import pytest
from test_cli import run

import udesys.doctor.engines as doctor_engines
from udesys import doctor
from udesys.doctor import Diagnosis, Finding, computer, libraries
from udesys.doctor.computer import look_at_compiled_code, look_at_devices, look_at_terminal
from udesys.doctor.engines import look_at_engines, look_at_julia
from udesys.doctor.libraries import look_at_extras, look_at_libraries
from udesys.doctor.trial import try_discovery
from udesys.search._pysr import readiness
from udesys.search.engines import operon


def found(look, name):
    """(state, text, remedy) of one finding."""
    (finding,) = [f for f in look() if f.name == name]
    return finding.state, finding.text, finding.remedy


# --- libraries ---------------------------------------------------------------------------------------


@pytest.fixture
def installed(monkeypatch):
    """What is installed: distribution -> version, in place of what is; udesys asks for four."""
    versions = {"numpy": "2.4.6", "scipy": "1.17.0"}
    asked = ["numpy>=2.4,<3", "scipy<2,>=1.17", "pysr>=2.7", 'numpy>=9; sys_platform == "none"']
    asked += ['json-lines>=1; extra == "sbml"', 'jax>=0.1; extra == "bench"', 'numpy>=2; extra == "bench"']

    def version(name):
        if name not in versions:
            raise importlib.metadata.PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(importlib.metadata, "requires", lambda name: asked)
    monkeypatch.setattr(importlib.metadata, "version", version)
    monkeypatch.setattr(importlib.metadata, "metadata", lambda name: {"Requires-Python": ">=3.11"})
    return versions


def test_libraries_are_named_with_their_versions_and_ranges(installed):
    findings = list(look_at_libraries())
    assert [(f.name, f.state) for f in findings] == [(n, "ok") for n in ("python", "udesys", "numpy", "scipy")]
    assert findings[2].text == "2.4.6 (>=2.4,<3)"


@pytest.mark.parametrize(
    ("version", "state", "text"),
    [
        (None, "missing", "not installed; >=1.17,<2 is needed."),
        ("1.9.0", "broken", "1.9.0 is installed; >=1.17,<2 is needed."),
        ("1.18.0rc1", "ok", "1.18.0rc1 (>=1.17,<2)"),
    ],
)
def test_a_library_out_of_its_range_is_named_with_the_line_that_adds_it(version, state, text, installed):
    installed.pop("scipy")
    if version:
        installed["scipy"] = version
    line = "" if state == "ok" else 'python -m pip install "scipy>=1.17,<2"'
    assert found(look_at_libraries, "scipy") == (state, text, line)


def test_a_library_that_does_not_load_is_broken(installed, monkeypatch):
    def load(name):
        raise ImportError("libblas.so.3: cannot open shared object file\nmore")

    monkeypatch.setattr(libraries.importlib, "import_module", load)
    state, text, line = found(look_at_libraries, "numpy")
    assert (state, text) == (
        "broken", "2.4.6 does not load: ImportError: libblas.so.3: cannot open shared object file",
    )  # fmt: skip
    assert line == 'python -m pip install --force-reinstall "numpy>=2.4,<3"'
    diagnosis = doctor.diagnose()
    assert not diagnosis.healthy
    assert {f.group for f in diagnosis.findings} == {"Needed", "Extras", "Other"}  # nothing that would load it too


def test_a_python_that_is_too_old_is_broken(installed, monkeypatch):
    monkeypatch.setattr(libraries.platform, "python_version", lambda: "3.9.2")
    state, text, _ = found(look_at_libraries, "python")
    assert state == "broken" and text.startswith("3.9.2 on ") and text.endswith("; udesys needs >=3.11.")


def test_udesys_that_is_not_installed_says_so(monkeypatch):
    def requires(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "requires", requires)
    state, _, line = found(look_at_libraries, "udesys")
    assert (state, line) == ("missing", "python -m pip install -e .")
    assert list(look_at_extras()) == []


def test_extras_name_what_they_lack(installed):
    assert found(look_at_extras, "sbml") == (
        "missing", "For `udesys export --to sbml`.", 'python -m pip install "json-lines>=1"',
    )  # fmt: skip
    installed |= {"json-lines": "1.2", "jax": "0.10"}
    assert found(look_at_extras, "sbml")[:2] == ("ok", "json-lines 1.2, for `udesys export --to sbml`.")
    assert found(look_at_extras, "bench")[0] == "ok"


def test_this_installation_asks_for_what_the_project_says():
    assert all(f.state == "ok" for f in look_at_libraries() if f.needed)


# --- engines -----------------------------------------------------------------------------------------


def test_operon_is_ready_or_named_with_the_line_that_adds_it(monkeypatch):
    monkeypatch.setattr(operon.importlib.util, "find_spec", lambda name: None if name == "pyoperon" else object())
    state, text, line = found(look_at_engines, "operon")
    assert (state, line) == ("missing", 'python -m pip install "pyoperon>=0.6,<0.7"')
    assert text == "pyoperon is not installed; it has wheels for Linux x86_64 and macOS arm64."
    monkeypatch.setattr(operon.importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(operon.importlib.metadata, "version", lambda name: "0.6.2")
    state, text, line = found(look_at_engines, "operon")
    assert (state, line) == ("ok", "") and text.startswith("ready: Operon's genetic programming")


@pytest.mark.parametrize(
    ("trouble", "text", "line"),
    [
        ("", "ready: PySR's multi-population evolutionary search", ""),
        (
            "Julia is not there. To download it, run `python -c \"import pysr\"`.",
            "Julia is not there.",
            'python -c "import pysr"',
        ),
        (
            "PySR is not installed. Install it with `pip install pysr`, then Julia with `python -c \"import pysr\"`.",
            "PySR is not installed.",
            'pip install pysr && python -c "import pysr"',
        ),
    ],
)
def test_pysr_is_ready_or_named_with_the_line_that_adds_it(trouble, text, line, monkeypatch):
    monkeypatch.setattr(readiness, "trouble", lambda: trouble)
    state, said, remedy = found(look_at_engines, "pysr")
    assert (state, remedy) == ("missing" if trouble else "ok", line)
    assert said.startswith(text)


def test_sparse_is_always_ready_and_needed():
    (sparse,) = [f for f in look_at_engines() if f.name == "sparse"]
    assert (sparse.state, sparse.needed) == ("ok", True)


@pytest.fixture
def no_julia(monkeypatch, tmp_path):
    monkeypatch.delenv("PYTHON_JULIACALL_EXE", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    state = types.SimpleNamespace(STATE={"meta": str(tmp_path / "meta.json")})
    monkeypatch.setitem(sys.modules, "juliapkg.state", state)
    return tmp_path


def julia(path, answer="julia version 1.11.3", status=0):
    path.write_text(f"#!/bin/sh\necho '{answer}'\nexit {status}\n")
    path.chmod(0o755)
    return str(path)


def test_without_julia_the_line_that_brings_it_is_named(no_julia):
    state, text, line = found(look_at_julia, "julia")
    assert (state, line) == ("missing", 'python -c "import pysr"')
    assert "the engine pysr runs in it" in text


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in for Julia is a shell script")
@pytest.mark.parametrize("place", ["setting", "installer", "path"])
def test_julia_is_found_where_pysr_would_find_it(place, no_julia, monkeypatch):
    program = julia(no_julia / ("julia" if place == "path" else "other"))
    if place == "setting":
        monkeypatch.setenv("PYTHON_JULIACALL_EXE", program)
    if place == "installer":
        (no_julia / "meta.json").write_text(json.dumps({"executable": program}))
    assert found(look_at_julia, "julia") == ("ok", f"1.11.3, {program}", "")


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in for Julia is a shell script")
def test_a_julia_that_does_not_answer_is_broken(no_julia):
    julia(no_julia / "julia", status=1)
    state, text, _ = found(look_at_julia, "julia")
    assert state == "broken" and "does not answer" in text
    assert doctor_engines.commands_in("run `a` or `b c`") == "a && b c"


# --- devices -----------------------------------------------------------------------------------------


class Card:
    """What torch says of its graphics cards."""

    def __init__(self, count, failure=None):
        self.count, self.failure = count, failure

    def is_available(self):
        return self.count > 0

    def device_count(self):
        return self.count

    def get_device_name(self, k):
        return f"Card {k}"

    def get_device_properties(self, k):
        return types.SimpleNamespace(total_memory=80 * 2**30)


@pytest.fixture
def cards(monkeypatch):
    """Put another torch in place: how many cards it sees, its CUDA, what it fails with, and the driver."""

    def put(count, cuda, *, driver, failure=None):
        def ones(*_, **__):
            if failure:
                raise RuntimeError(failure)
            return types.SimpleNamespace(sum=lambda: types.SimpleNamespace(item=lambda: 2.0))

        fake = types.SimpleNamespace(
            __version__="2.13.0+cu130" if cuda else "2.13.0+cpu",
            version=types.SimpleNamespace(cuda=cuda),
            cuda=Card(count),
            ones=ones,
            float64="float64",
            get_num_threads=lambda: 4,
        )
        monkeypatch.setitem(sys.modules, "torch", fake)
        monkeypatch.setattr(computer, "DRIVER", types.SimpleNamespace(exists=lambda: driver))
        monkeypatch.setattr(computer.shutil, "which", lambda name: None)
        return found(look_at_devices, "gpu")

    return put


LINE = 'python -m pip install --force-reinstall "torch==2.13.0"'


def test_a_card_is_named_with_its_memory(cards):
    state, text, line = cards(2, "13.0", driver=True)
    assert (state, line) == ("ok", "")
    assert text == 'Card 0 with 80 GiB, Card 1 with 80 GiB, CUDA 13.0; a spec asks for it by  [fit] device = "cuda"'


@pytest.mark.skipif(sys.platform == "win32", reason="another line there")
def test_without_a_card_or_its_torch_the_line_that_adds_it_is_named(cards):
    state, text, line = cards(0, None, driver=True)
    assert (state, line) == ("missing", LINE)
    assert text == "an NVIDIA card is there, but torch 2.13.0+cpu is built without CUDA."
    state, text, line = cards(0, None, driver=False)
    assert (state, line) == ("missing", LINE) and text.startswith("none found, and torch 2.13.0+cpu")
    assert cards(0, "13.0", driver=False) == ("missing", "no NVIDIA card found; everything runs on the processor.", "")


def test_a_card_that_does_not_answer_or_compute_is_broken(cards):
    state, text, line = cards(0, "13.0", driver=True)
    assert state == "broken" and "does not answer" in text and line.startswith("nvidia-smi")
    state, text, line = cards(1, "13.0", driver=True, failure="no kernel image is available\nmore")
    assert (state, text) == ("broken", "Card 0 does not compute: no kernel image is available")
    assert line.startswith(LINE)


def test_cores_and_threads_are_named():
    state, text, _ = found(look_at_devices, "cpu")
    assert state == "ok" and "cores for this process" in text and "threads in torch" in text


# --- other -------------------------------------------------------------------------------------------


def test_a_cache_that_cannot_be_written_is_named_with_another_place(monkeypatch):
    assert found(look_at_compiled_code, "numba cache")[0] == "ok"
    monkeypatch.setattr(computer.os, "access", lambda place, mode: False)
    state, text, line = found(look_at_compiled_code, "numba cache")
    assert state == "broken" and "compiled anew each time" in text and "NUMBA_CACHE_DIR=" in line


def test_a_simulator_that_does_not_load_is_broken(monkeypatch):
    import udesys.integrate

    monkeypatch.setattr(udesys.integrate, "machine", types.SimpleNamespace())
    (finding,) = look_at_compiled_code()
    assert (finding.state, finding.needed) == ("broken", True)


def test_a_terminal_without_unicode_is_named(monkeypatch):
    assert found(look_at_terminal, "terminal")[0] == "ok"
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    state, text, line = found(look_at_terminal, "terminal")
    assert state == "broken" and "ascii" in text and text.isascii() and line.endswith("PYTHONUTF8=1")


def test_the_self_test_discovers_a_law(monkeypatch):
    state, text, _ = found(try_discovery, "discovery")
    assert state == "ok" and text.startswith("NN1 = c0*prey*predator, NN2 = c0*prey*predator in ")
    monkeypatch.setattr("udesys.doctor.trial._discovered", lambda: {"NN1": "c0*prey"})
    state, text, _ = found(try_discovery, "discovery")
    assert state == "broken" and "not c0*prey*predator" in text
    monkeypatch.setattr("udesys.doctor.trial._discovered", lambda: 1 / 0)
    assert found(try_discovery, "discovery")[:2] == ("broken", "failed with ZeroDivisionError: division by zero")


# --- the command -------------------------------------------------------------------------------------

OK = Finding(group="Needed", name="numpy", state="ok", text="2.4.6", needed=True)
ABSENT = Finding(group="Engines", name="pysr", state="missing", text="no Julia.", remedy="add")
DAMAGED = Finding(group="Needed", name="scipy", state="broken", text="gone " * 40, remedy="mend", needed=True)


@pytest.mark.parametrize(
    ("findings", "status", "verdict"),
    [
        ([OK], 0, "All that is needed works."),
        ([OK, ABSENT], 0, "All that is needed works. It does without: pysr."),
        ([OK, DAMAGED, ABSENT], 1, "udesys cannot work before this is repaired: scipy."),
    ],
)
def test_the_status_tells_whether_what_is_needed_works(findings, status, verdict, monkeypatch):
    monkeypatch.setattr(doctor, "diagnose", lambda trial: Diagnosis(findings=tuple(findings)))
    done = run("doctor")
    assert (done.exit_code, done.stdout.splitlines()[-1]) == (status, verdict)
    as_json = run("doctor", "--json")
    assert as_json.exit_code == status
    content = json.loads(as_json.stdout)
    assert (content["healthy"], len(content["findings"])) == (status == 0, len(findings))


def test_findings_are_printed_under_their_groups_with_the_line():
    lines = str(Diagnosis(findings=(OK, ABSENT, DAMAGED))).splitlines()
    assert lines[:3] == ["Needed", "  ok       numpy        2.4.6", "  broken   scipy        " + ("gone " * 17).strip()]
    assert lines[5].strip() == "repair:  mend"
    assert lines[6:9] == ["Engines", "  missing  pysr         no Julia.", " " * 24 + "add it:  add"]


def test_the_doctor_itself_answers_here():
    done = run("doctor", "--json")
    names = [finding["name"] for finding in json.loads(done.stdout)["findings"]]
    expected = {"python", "torch", "sparse", "operon", "pysr", "julia", "cpu", "gpu", "numba cache", "terminal"}
    assert expected <= set(names)
    assert done.exit_code == 0
