"""PySR's process: it costs formulas at worst, leaves nothing running, and is missed in words where Julia is."""

import ast
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from pysr_tasks import product_task, with_more

from udesys.model.grammar import parse_expression
from udesys.search import SearchOptions
from udesys.search._pysr import process, readiness
from udesys.search._pysr import worker as program
from udesys.search._pysr.process import Limits, Worker
from udesys.search.engines import pysr

ROOT = Path(__file__).resolve().parent.parent
STAND_IN = ROOT / "tests" / "fixtures" / "pysr_stand_in"
OPTIONS = SearchOptions()
needs_julia = pytest.mark.skipif(bool(pysr.ready()), reason=pysr.ready())
needs_signals = pytest.mark.skipif(os.name != "posix", reason="Windows sends no SIGINT to one process")


class Child:
    """The real child process with a module in PySR's place, and what that module heard."""

    def __init__(self, monkeypatch, folder, mode, **limits):
        self.log = folder / "calls.jsonl"
        monkeypatch.setenv("PYTHONPATH", str(STAND_IN))
        monkeypatch.setenv("STAND_IN", mode)
        monkeypatch.setenv("STAND_IN_LOG", str(self.log))
        self.worker = Worker(limits=Limits(**{"start": 20.0, "stop": 0.2, "interrupt": 0.2} | limits))
        monkeypatch.setattr(pysr, "shared_worker", lambda: self.worker)

    @property
    def calls(self):
        return [json.loads(line) for line in self.log.read_text().splitlines()] if self.log.exists() else []

    @property
    def searches(self):
        return [c for c in self.calls if c.get("options", {}).get("run_id") == "front"]


@pytest.fixture
def child(monkeypatch, tmp_path):
    made = []

    def make(mode, **limits):
        made.append(Child(monkeypatch, tmp_path, mode, **limits))
        return made[-1]

    yield make
    for one in made:
        one.worker.close()


def propose(task=None, options=OPTIONS):
    """The front and its notes."""
    front = pysr.propose(task or product_task(), options, 3)
    return front, list(front.notes)


def alive(pid):
    if os.name != "posix":
        pytest.skip("processes are looked up as POSIX does")
    try:
        os.kill(pid, 0)
        # One that has ended and that nobody has asked about is still in the list, as a zombie.
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except ProcessLookupError:
        return False
    except FileNotFoundError:
        return not Path("/proc/self").exists()


def gone(pid, seconds=5.0):
    deadline = time.monotonic() + seconds
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not alive(pid)


# --- an ordinary search ------------------------------------------------------------------------------


def test_what_it_finds_comes_in_normal_form_with_equal_forms_merged(child):
    child("answers")
    front, warned = propose()
    assert not warned
    assert front.term == "NN" and {c.engine for c in front} == {"pysr"}
    assert [c.score for c in front] == sorted(c.score for c in front)
    assert sorted(c.key for c in front) == sorted({c.key for c in front})
    # 30 samples of values near 1 known to 2 %: the constant to 0.5 %.
    assert front.candidates[0].key == "S*beta"
    assert list(front.candidates[0].formula.constants.values()) == pytest.approx([0.7], abs=0.02)


def test_one_process_serves_all_searches_and_compiles_once(child):
    one = child("answers")
    propose()
    propose()
    assert len({call["pid"] for call in one.calls}) == 1 and alive(one.calls[0]["pid"])
    assert [call["options"]["run_id"] for call in one.calls] == ["warm_up", "front", "front"]
    assert not any(call["torch"] for call in one.calls)


def test_without_a_limit_of_the_user_it_has_its_own(child):
    one = child("answers")
    propose()
    assert one.searches[0]["options"]["timeout_in_seconds"] == pysr.TIME_LIMIT
    assert one.searches[0]["shapes"] == [[60, 2], [60], [60]]


def test_its_folder_is_removed_afterwards(child):
    one = child("answers")
    propose()
    assert not Path(one.searches[0]["options"]["output_directory"]).exists()


def test_garbage_on_its_output_hurts_nothing(child):
    child("prints garbage")
    front, warned = propose()
    assert not warned and front.candidates[0].key == "S*beta"


def test_the_child_imports_neither_torch_nor_udesys():
    imported = {
        name.split(".")[0]
        for node in ast.walk(ast.parse(Path(program.__file__).read_text()))
        for name in ([a.name for a in node.names] if isinstance(node, ast.Import) else [getattr(node, "module", "")])
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    assert imported <= {"json", "os", "queue", "sys", "threading", "numpy", "pysr"}


def test_the_child_has_the_environment_that_julia_needs(monkeypatch):
    monkeypatch.setenv("PYTHON_JULIACALL_HANDLE_SIGNALS", "no")
    monkeypatch.setenv("PYTHON_JULIACALL_THREADS", "2")
    monkeypatch.setenv("JULIA_DEPOT_PATH", "/somewhere")
    made = process.environment()
    assert made["PYTHON_JULIACALL_HANDLE_SIGNALS"] == "yes"
    assert made["PYTHON_JULIACALL_THREADS"] == "2" and made["JULIA_DEPOT_PATH"] == "/somewhere"
    monkeypatch.delenv("PYTHON_JULIACALL_THREADS")
    assert process.environment()["PYTHON_JULIACALL_THREADS"] == "auto"


# --- what may go wrong -------------------------------------------------------------------------------


def test_a_crash_costs_a_warning_and_keeps_what_was_written_down(child):
    one = child("crashes")
    front, warned = propose()
    (text,) = warned
    assert text.startswith("NN: The process of PySR ended with exit status")
    assert "Segmentation fault" in text and "3 formulas that it had written down are used" in text
    assert "leave 'pysr' out with `engines`" in text
    assert "S*beta" in [c.key for c in front]
    assert gone(one.calls[0]["pid"])
    propose()
    assert len({call["pid"] for call in one.searches}) == 2  # the next search has a process again


def test_a_hang_is_ended_at_the_limit_and_keeps_what_was_written_down(child):
    one = child("hangs")
    started = time.monotonic()
    front, warned = propose(options=SearchOptions(time_limit=0.3))
    assert time.monotonic() - started < 20.0  # 0.3 + 0.2 + 0.2 s and the start of a process; it sleeps for 60
    assert warned[0].startswith("NN: PySR did not stop at its limit of 0.3 s and was ended. The 3 formulas")
    assert len(warned) == 1 and "S*beta" in [c.key for c in front]
    assert gone(one.calls[0]["pid"])


@needs_signals
def test_beyond_its_limit_it_is_first_asked_to_stop_and_lives_on(child):
    one = child("stops when asked", interrupt=5.0)
    front, warned = propose(options=SearchOptions(time_limit=0.1))
    assert one.calls[-1].get("interrupted") and alive(one.calls[0]["pid"])
    assert not warned and front.candidates[0].key == "S*beta"


def test_without_julia_it_says_so_once_and_is_not_started_again(child):
    one = child("without Julia")
    front, warned = propose()
    assert len(front) == 0 and len(warned) == 1
    assert "could not start Julia: Exception: could not find Julia" in warned[0]
    assert 'python -c "import pysr"' in warned[0] and "not started again in this session" in warned[0]
    assert one.worker.process is None
    assert propose()[1] == warned and one.worker.process is None


def test_a_start_without_end_is_ended(child):
    one = child("hangs at the start", start=0.3)
    front, warned = propose()
    assert len(front) == 0 and one.worker.process is None
    assert "PySR was not ready to search after 0.3 s and was ended. It is not started again" in warned[0]


def test_an_error_of_pysr_is_told_and_its_process_lives_on(child):
    one = child("fails")
    front, warned = propose()
    assert len(front) == 0 and alive(one.calls[0]["pid"])
    assert "NN: PySR failed: RuntimeError: Couldn't find equation file!" in warned[0] and len(warned) == 1


def test_guesses_that_pysr_refuses_are_left_out(child):
    one = child("refuses guesses")
    front, warned = propose(with_more(product_task(), guesses=(parse_expression("0.5*S"),)))
    assert [c["options"].get("guesses") for c in one.searches] == [["(0.5 * v0)"], None]
    assert "searched without the guesses given: ValueError: Unrecognized operator" in warned[0]
    assert front.candidates[0].key == "S*beta"


def pressed_while_it_searches(one, times):
    """Propose, and press Ctrl-C while the child searches; the handler is put back."""

    def press():
        while not (one.calls and one.calls[-1].get("waiting")):
            time.sleep(0.02)
        for _ in range(times):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.3)

    pressing = threading.Thread(target=press)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            pressing.start()
            propose()
    finally:
        pressing.join()
        signal.signal(signal.SIGINT, before)


@needs_signals
def test_ctrl_c_reaches_the_search_then_the_caller_and_leaves_nothing_running(child):
    one = child("stops when asked", interrupt=5.0)
    pressed_while_it_searches(one, 1)
    assert one.calls[-1].get("interrupted")
    assert one.worker.process is None and gone(one.calls[0]["pid"])
    assert not Path(one.searches[0]["options"]["output_directory"]).exists()


@needs_signals
def test_a_second_ctrl_c_ends_a_search_that_does_not_hear_the_first(child):
    one = child("hangs", interrupt=60.0)
    pressed_while_it_searches(one, 2)
    assert one.worker.process is None and gone(one.calls[0]["pid"])


START_AND_WAIT = """
import sys
from udesys.search._pysr.process import shared_worker
data = {"X": [[1]], "y": [1], "weights": [1]}
answer = shared_worker().search({"output_directory": sys.argv[1], "run_id": "front"}, data, 9)
assert not answer.trouble, answer
print(shared_worker().process.pid, flush=True)
"""


@pytest.mark.parametrize("end", ["exit", "kill"])
def test_it_ends_with_the_python_that_started_it(child, tmp_path, end):
    child("answers")  # for the environment
    wait = "" if end == "exit" else "import time; time.sleep(60)"
    script = [sys.executable, "-c", START_AND_WAIT + wait, str(tmp_path)]
    with subprocess.Popen(script, stdout=subprocess.PIPE, text=True, cwd=ROOT) as parent:
        pid = int(parent.stdout.readline())
        if end == "kill":
            assert alive(pid)
            parent.kill()
    assert gone(pid)


def test_a_fork_leaves_the_process_to_its_owner(child):
    one = child("answers")
    propose()
    one.worker.owner = -1  # as a forked process sees it
    kept = one.worker.process
    one.worker.close()
    assert alive(kept.pid)
    one.worker.owner, one.worker.process = os.getpid(), kept


def test_without_operators_nothing_is_started(child):
    one = child("answers")
    front, warned = propose(options=SearchOptions(operators=()))
    assert len(front) == 0 and one.worker.process is None
    assert warned == ["NN: PySR was given no operator. Name some with `operators`."]


# --- is Julia there ----------------------------------------------------------------------------------


@pytest.fixture
def julia(monkeypatch, tmp_path):
    """Where juliapkg looks for its project; nothing is there."""
    from juliapkg.state import STATE

    project = tmp_path / "julia_env"
    for name, value in (("project", project), ("meta", project / "pyjuliapkg" / "meta.json"), ("offline", False)):
        monkeypatch.setitem(STATE, name, value if name == "offline" else str(value))
    for name in ("PYTHON_JULIACALL_EXE", "PYTHON_JULIACALL_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(readiness, "_found", False)
    return project


def resolved(monkeypatch, project, answer, *packages):
    """Put the project there, as juliapkg finds it, with a manifest of packages."""
    (project / "pyjuliapkg").mkdir(parents=True)
    (project / "pyjuliapkg" / "meta.json").write_text("{}")
    (project / "Manifest.toml").write_text("".join(f'[[deps.{p}]]\nversion = "1"\n' for p in packages))
    monkeypatch.setattr("juliapkg.deps.can_skip_resolve", lambda: answer)


def test_where_julia_is_missing_the_one_command_is_named_and_no_folder_left(julia):
    text = pysr.ready()
    assert text.startswith("Julia and PySR's packages are not installed in ")
    assert text.endswith('run `python -c "import pysr"`.')
    assert not julia.exists()


def test_what_was_resolved_offline_and_not_installed_is_not_ready(julia, monkeypatch):
    resolved(monkeypatch, julia, {"offline": True}, "PythonCall")
    assert 'lacks SymbolicRegression. To install them, run `python -c "import juliapkg; ' in pysr.ready()
    monkeypatch.setitem(sys.modules["juliapkg.state"].STATE, "offline", True)
    assert "unset PYTHON_JULIAPKG_OFFLINE and run" in pysr.ready()


def test_a_julia_that_is_gone_is_not_ready(julia, monkeypatch):
    resolved(monkeypatch, julia, False, "PythonCall", "SymbolicRegression")
    assert "is gone or no longer what PySR needs" in pysr.ready()


def test_a_julia_with_both_packages_is_ready_and_not_looked_for_again(julia, monkeypatch):
    resolved(monkeypatch, julia, {"executable": "julia"}, "PythonCall", "SymbolicRegression", "Zlib_jll")
    assert pysr.ready() == ""
    monkeypatch.setattr(readiness, "_missing", lambda: pytest.fail("looked again"))
    assert pysr.ready() == ""


def test_a_julia_that_the_user_named_is_looked_at_instead(julia, monkeypatch):
    monkeypatch.setenv("PYTHON_JULIACALL_PROJECT", str(julia))
    monkeypatch.setenv("PYTHON_JULIACALL_EXE", "no-such-julia")
    assert "PYTHON_JULIACALL_EXE = no-such-julia is no program" in pysr.ready()
    monkeypatch.setenv("PYTHON_JULIACALL_EXE", sys.executable)
    assert "lacks PythonCall and SymbolicRegression" in pysr.ready()
    resolved(monkeypatch, julia, False, "PythonCall", "SymbolicRegression")
    assert pysr.ready() == ""


def test_pysr_is_not_imported_to_tell_whether_it_is_ready():
    script = """
import sys
from udesys.search.engines import pysr
pysr.ready()
assert not {"pysr", "juliacall"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT, timeout=60)


@needs_julia
def test_the_real_pysr_finds_a_product_and_repeats_itself():
    first, again = (propose(options=SearchOptions(operators=("+", "*", "sin"), max_complexity=8)) for _ in range(2))
    assert first[1] == again[1] == []
    assert first[0].candidates[0].key == "S*beta"
    assert [c.formula for c in first[0]] == [c.formula for c in again[0]]
