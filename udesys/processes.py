"""Independent tasks on several processes of this computer, each on one thread.

Every process is started anew (spawned), so that it is the same on every system, and loads only the modules that its
function needs. It does not run the script that started it again, so that a script needs no `if __name__ == "__main__"`.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing.connection import wait

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
PATIENCE = 2.0  # s until a process that is told to end is ended


class Died(RuntimeError):
    """A process ended in the middle of a task, as where memory ran out."""


def available() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_tasks(
    function: Callable,
    tasks: Sequence[tuple],
    jobs: int,
    warm_up: Callable[..., None] | None = None,
    *,
    given: tuple = (),
    done: Callable[[int], None] | None = None,
    each: Callable[[int, object], None] | None = None,
    died: Callable[[tuple, str], object] | None = None,
) -> list:
    """Results of all tasks in their order.

    An interruption, by Ctrl-C or any exception, ends all processes.

    Args:
        function: of a module, called with a task's values; what it raises ends everything.
        tasks: arguments of every call.
        jobs: processes at a time.
        warm_up: of a module, called once in every process before its first task.
        given: arguments of that call, sent to every process once.
        done: called with the count of finished tasks.
        each: called with a task's place and its result as soon as it has one.
        died: called with a task whose process ended in it and with how that ended, gives the result in its place;
            another process goes on with the rest.

    Raises:
        Died: a process ended in a task, and there is no `died`.
    """
    results: dict[int, object] = {}
    waiting = list(enumerate(tasks))[::-1]
    workers: dict = {}
    try:
        with one_thread_each():
            while len(results) < len(tasks):
                while waiting and len(workers) < jobs:
                    worker = _Worker(function, warm_up, given)
                    workers[worker.connection] = worker
                    worker.take(waiting.pop())
                for connection in wait(list(workers)):
                    worker = workers[connection]
                    place, outcome = worker.place, worker.outcome()
                    if isinstance(outcome, Died):
                        workers.pop(connection).end()
                        if died is None:
                            raise outcome
                        outcome = died(tasks[place], str(outcome))
                    elif waiting:
                        worker.take(waiting.pop())
                    else:
                        workers.pop(connection).end()
                    results[place] = outcome
                    if each is not None:
                        each(place, outcome)
                    if done is not None:
                        done(len(results))
    finally:
        for worker in workers.values():
            worker.end(at_once=True)
    return [results[k] for k in range(len(tasks))]


class _Worker:
    """A process, the pipe to it, and the place of the task it has."""

    def __init__(self, function: Callable, warm_up: Callable | None, given: tuple):
        context = multiprocessing.get_context("spawn")
        self.connection, far = context.Pipe()
        self.process = context.Process(target=_serve, args=(far, function, warm_up, given), daemon=True)
        with _no_script():
            self.process.start()
        far.close()
        self.place = -1

    def take(self, task: tuple[int, tuple]) -> None:
        """Start a task."""
        self.place, values = task
        with contextlib.suppress(OSError):  # it has ended, which is met where its outcome is read
            self.connection.send(values)

    def outcome(self):
        """What the function returned, or Died.

        Raises:
            Exception: what the function raised.
        """
        try:
            value, failure = self.connection.recv()
        except (EOFError, OSError):
            self.process.join(PATIENCE)
            return Died(f"its process ended with exit status {self.process.exitcode}")
        if failure is not None:
            raise failure
        return value

    def end(self, *, at_once: bool = False) -> None:
        """Let it end, or end it."""
        self.connection.close()
        if not at_once:
            self.process.join(PATIENCE)
        if self.process.is_alive():
            self.process.terminate()
        self.process.join()


def _serve(connection, function: Callable, warm_up: Callable | None, given: tuple) -> None:
    """What a process does: the tasks that come, until no more do."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the first one ends the others
    prepared = False
    while True:
        try:
            task = connection.recv()
        except (EOFError, OSError):
            return
        try:
            if warm_up is not None and not prepared:
                warm_up(*given)
            prepared = True
            answer = function(*task), None
        except Exception as failure:
            failure.__traceback__ = None
            answer = None, failure
        _send(connection, answer)


def _send(connection, answer: tuple) -> None:
    try:
        connection.send(answer)
    except (BrokenPipeError, ConnectionError):
        return
    except Exception as error:  # what cannot be sent
        what = answer[0] if answer[1] is None else answer[1]
        connection.send((None, RuntimeError(f"{type(what).__name__}: {what} ({error})")))


@contextlib.contextmanager
def _no_script() -> Iterator[None]:
    """Processes that are started here do not run the script or the notebook of this one.

    Spawning runs the file of `__main__` again, under another name, so that its functions can be found. Ours are in
    modules, and a script without a guard would start everything once more.
    """
    script = sys.modules["__main__"]
    names = ("__file__", "__spec__")
    before = {name: script.__dict__[name] for name in names if name in script.__dict__}
    try:
        script.__dict__.pop("__file__", None)
        script.__dict__["__spec__"] = None
        yield
    finally:
        script.__dict__.pop("__spec__", None)
        script.__dict__.update(before)


@contextlib.contextmanager
def one_thread_each(environment: Mapping[str, str] | None = None) -> Iterator[None]:
    """The numeric libraries of processes started here use one thread.

    Args:
        environment: further variables of those processes.
    """
    wanted = {**dict.fromkeys(THREADS, "1"), **(environment or {})}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)  # read by the processes when they start
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)
