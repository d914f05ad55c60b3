"""The client's side of the child process that runs PySR: it is started once, asked, waited for, and ended."""

from __future__ import annotations

import atexit
import collections
import contextlib
import csv
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from udesys.search._pysr.readiness import INSTALL

PROGRAM = Path(__file__).with_name("worker.py")
LOOK_EVERY = 0.2  # seconds; on Windows a wait in one piece would not hear Ctrl-C
WORDS_KEPT = 5  # last lines of what it printed, for the message when it crashes
LAST_WORDS = 1.0  # seconds that they may take to arrive
OTHERWISE = "Where this repeats, leave 'pysr' out with `engines`."


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How long the process is waited for [s].

    Attributes:
        start: from its start, or the first search of a kind, until everything is compiled.
        stop: beyond a search's own limit, since PySR looks at the clock between its cycles only.
        interrupt: after an interrupt, until it is killed.
    """

    start: float = 900.0
    stop: float = 15.0
    interrupt: float = 3.0


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a search came back with.

    Attributes:
        equations: formulas as Julia prints them, possibly of a search that was cut short.
        trouble: what went wrong and what to do; empty where nothing did.
    """

    equations: tuple[str, ...] = ()
    trouble: str = ""


class Lost(Exception):
    """The process is of no use any more; the text says why."""


class Worker:
    """A child process that runs one search after the other.

    Args:
        program: the script that it runs.
        limits: how long it is waited for.
    """

    def __init__(self, program: Path = PROGRAM, limits: Limits | None = None):
        self.program, self.limits = program, limits or Limits()
        self.process: subprocess.Popen | None = None
        self._lock = threading.Lock()
        self._number = 0  # of the last request
        self._served = False  # a process of this session came as far as to search
        self._no_start = ""  # why none did; then it is not tried again
        self.owner = os.getpid()

    def search(self, regressor: dict, fit: dict, limit: float) -> Answer:
        """Run one search; whatever happens to the process costs formulas and no more.

        Args:
            regressor: keyword arguments of `PySRRegressor`, `output_directory` and `run_id` among them.
            fit: keyword arguments of its `fit`, arrays as lists.
            limit: seconds after which an unfinished search is cut short, everything compiled.

        Raises:
            KeyboardInterrupt: Ctrl-C was pressed; the process is ended first.
        """
        with self._lock:
            if self._no_start:
                return Answer(trouble=self._no_start)
            run = Path(regressor["output_directory"]) / regressor["run_id"]
            try:
                return self._answer({"regressor": regressor, "fit": fit}, run, limit)
            except Lost as lost:
                self.close()
                if not self._served:
                    self._no_start = f"{lost} It is not started again in this session."
                    return Answer(trouble=self._no_start)
                equations = read_front(run)
                kept = f" The {len(equations)} formulas that it had written down are used." if equations else ""
                return Answer(equations=equations, trouble=f"{lost}{kept} {OTHERWISE}")
            except BaseException:  # Ctrl-C; a second one must not leave the process behind
                try:
                    self._interrupt()
                finally:
                    self.close()
                raise

    def close(self) -> None:
        """End the process, if there is one, with whatever it started."""
        process, self.process = self.process, None
        if process is None or self.owner != os.getpid():  # after a fork it is the other process's
            return
        if os.name == "posix":
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
        process.wait()
        with contextlib.suppress(OSError):  # the threads that read the other pipes close them at their ends
            process.stdin.close()

    # -------------------------------------------------------------- one search
    def _answer(self, request: dict, run: Path, limit: float) -> Answer:
        self._start()
        self._number += 1
        line = json.dumps({"number": self._number, **request}).encode() + b"\n"
        _in_background(_write, self.process.stdin, line)  # a process that hangs does not read either
        answer = self._wait(("compiled", "failed"), self.limits.start)
        if answer is None:
            raise Lost(f"PySR was not ready to search after {self.limits.start:g} s and was ended.")
        if answer["event"] == "compiled":
            answer = self._wait(("done", "failed"), limit + self.limits.stop) or self._interrupt()
        if answer is None:
            raise Lost(f"PySR did not stop at its limit of {limit:g} s and was ended.")
        if answer["event"] == "failed":
            return Answer(equations=read_front(run), trouble=f"PySR failed: {answer.get('error')}. {OTHERWISE}")
        return Answer(equations=tuple(map(str, answer.get("equations", ()))), trouble=answer.get("note", ""))

    def _start(self) -> None:
        if self.process is not None and self.process.poll() is not None:
            self.close()
        if self.process is not None:
            return
        self.process = subprocess.Popen(
            [sys.executable, "-P", str(self.program)],  # -P: its own folder holds no modules for it
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(),
            start_new_session=os.name == "posix",  # a terminal's Ctrl-C is ours to pass on
        )
        self._answers: queue.SimpleQueue = queue.SimpleQueue()
        self._words: collections.deque[str] = collections.deque(maxlen=WORDS_KEPT)
        _in_background(_read_answers, self.process.stdout, self._answers)
        self._listener = _in_background(_read_words, self.process.stderr, self._words)

    def _wait(self, events: tuple[str, ...], seconds: float) -> dict | None:
        """The first answer to the last request that is one of the events; None after some seconds without."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            try:
                answer = self._answers.get(timeout=min(left, LOOK_EVERY))
            except queue.Empty:
                continue
            if answer is None:
                raise Lost(self._how_it_ended())
            if answer["event"] == "unavailable":
                raise Lost(f"PySR could not start Julia: {answer.get('error')}. See what `{INSTALL}` says.")
            self._served = self._served or answer["event"] == "compiled"
            if answer["event"] in events and answer.get("number") == self._number:
                return answer
        return None

    def _interrupt(self) -> dict | None:
        """Ask for an end as Ctrl-C does and wait a little: PySR answers with what it has."""
        if self.process is None or os.name != "posix":
            return None
        with contextlib.suppress(Lost):
            self.process.send_signal(signal.SIGINT)
            return self._wait(("done", "failed"), self.limits.interrupt)
        return None

    def _how_it_ended(self) -> str:
        try:
            status = f"with exit status {self.process.wait(LAST_WORDS)}"
        except subprocess.TimeoutExpired:
            status = "without an answer"
        self._listener.join(LAST_WORDS)
        words = " ".join(" ".join(self._words).split())[-300:]
        return f"The process of PySR ended {status}{f', saying: {words}' if words else ''}."


def environment() -> dict[str, str]:
    """The environment that Julia needs in the child; where Julia and its packages are is the user's to say.

    Without the first, Julia's threads and Python's signals end in segmentation faults (PythonCall.jl, FAQ).
    """
    fixed = {"PYTHON_JULIACALL_HANDLE_SIGNALS": "yes", "PYTHON_JULIACALL_AUTOLOAD_IPYTHON_EXTENSION": "no"}
    return {"PYTHON_JULIACALL_THREADS": "auto", **os.environ, **fixed}


def read_front(run: Path) -> tuple[str, ...]:
    """The formulas in the files that PySR keeps while it runs; it writes each twice, so one of them is whole."""
    found: dict[str, None] = {}
    for name in ("hall_of_fame.csv", "hall_of_fame.csv.bak"):
        with (
            contextlib.suppress(OSError, csv.Error),
            open(run / name, encoding="utf-8", errors="replace", newline="") as file,
        ):
            for row in csv.DictReader(file, strict=True):  # strict: text cut off within its quotes is an error
                found.setdefault((row.get("Equation") or "").strip())
    return tuple(text for text in found if text)


def _read_answers(pipe, answers: queue.SimpleQueue) -> None:
    """Every answer on the pipe, then None; what is no answer is passed over."""
    for line in _lines(pipe):
        with contextlib.suppress(ValueError):
            answer = json.loads(line)
            if isinstance(answer, dict) and isinstance(answer.get("event"), str):
                answers.put(answer)
    answers.put(None)


def _read_words(pipe, words: collections.deque) -> None:
    words.extend(line for line in _lines(pipe) if line.strip())


def _lines(pipe) -> Iterator[str]:
    with contextlib.suppress(OSError), pipe:
        for line in pipe:
            yield line.decode(errors="replace")


def _write(pipe, line: bytes) -> None:
    with contextlib.suppress(OSError, ValueError):  # ValueError: it was closed meanwhile
        pipe.write(line)
        pipe.flush()


def _in_background(function, *args) -> threading.Thread:
    thread = threading.Thread(target=function, args=args, daemon=True)
    thread.start()
    return thread


_shared: Worker | None = None


def shared_worker() -> Worker:
    """The one process of this Python process, ended with it."""
    global _shared
    if _shared is None or _shared.owner != os.getpid():
        _shared = Worker()
        atexit.register(_shared.close)
    return _shared
