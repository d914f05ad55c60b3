"""Tasks on several processes: their order, what they raise, and what becomes of a process that dies."""

import math
import multiprocessing
import os
import subprocess
import sys
import time

import pytest

from udesys.processes import Died, available, one_thread_each, run_tasks

SCRIPT = """
import math
from udesys.processes import run_tasks
print("begun")
print(run_tasks(math.factorial, [(k,) for k in range(5)], 2))
"""


def test_results_come_in_the_order_of_the_tasks_and_are_counted():
    counts = []
    assert run_tasks(math.factorial, [(k,) for k in (3, 5, 2, 4)], 3, done=counts.append) == [6, 120, 2, 24]
    assert counts == [1, 2, 3, 4]


def test_each_result_is_told_with_its_place_as_soon_as_it_is_there():
    told = []
    results = run_tasks(math.factorial, [(k,) for k in (3, 5, 2, 4)], 2, each=lambda *pair: told.append(pair))
    assert sorted(told) == list(enumerate(results)) == [(0, 6), (1, 120), (2, 2), (3, 24)]

    def stop(place, result):
        told.append((place, result))
        raise KeyboardInterrupt

    told.clear()
    with pytest.raises(KeyboardInterrupt):  # told before the second, which takes ten minutes, is there
        run_tasks(time.sleep, [(0.0,), (600.0,)], 2, each=stop)
    assert told == [(0, None)] and not multiprocessing.active_children()


def test_the_place_of_a_process_that_died_is_told_with_what_stands_for_its_result():
    told = []
    run_tasks(os._exit, [(3,)], 1, died=lambda task, how: "died", each=lambda *pair: told.append(pair))
    assert told == [(0, "died")]


def test_what_a_task_raises_ends_everything():
    with pytest.raises(ValueError, match=r"math domain error|nonnegative"):
        run_tasks(math.sqrt, [(1.0,), (-1.0,), (4.0,)], 2)


def test_a_process_that_dies_is_told_by_its_task_and_the_others_go_on():
    found = run_tasks(os._exit, [(3,), (4,), (5,)], 2, died=lambda task, how: (task, how))
    assert found == [((k,), f"its process ended with exit status {k}") for k in (3, 4, 5)]
    with pytest.raises(Died, match="exit status 7"):
        run_tasks(os._exit, [(7,)], 1)


def test_an_interruption_ends_all_processes():
    def stop(count):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_tasks(time.sleep, [(0.0,), (600.0,)], 2, done=stop)
    assert not multiprocessing.active_children()


def test_every_process_is_warmed_up_with_what_all_tasks_share():
    tasks = [("UDESYS_TEST_OF_PROCESSES",)] * 4
    given = ("UDESYS_TEST_OF_PROCESSES", "shared")
    assert run_tasks(os.getenv, tasks, 2, os.putenv, given=given) in ([None] * 4, ["shared"] * 4)
    assert run_tasks(os.getenv, [("OMP_NUM_THREADS",)], 1) == ["1"]


def test_a_script_without_a_guard_starts_nothing_twice(tmp_path):
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)
    done = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.split("\n")[:2] == ["begun", "[1, 1, 2, 6, 24]"]
    assert not done.stderr


def test_threads_are_limited_for_the_processes_alone(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    with one_thread_each({"ANOTHER": "x"}):
        assert (os.environ["OMP_NUM_THREADS"], os.environ["MKL_NUM_THREADS"], os.environ["ANOTHER"]) == ("1", "1", "x")
    assert os.environ["OMP_NUM_THREADS"] == "5"
    assert not {"MKL_NUM_THREADS", "ANOTHER"} & os.environ.keys()
    assert available() >= 1
