"""Independent tasks on several processes, each on one thread."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed

import typer

from udesys.errors import DataError

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def run_tasks(function: Callable, tasks: Sequence[tuple], jobs: int, warm_up: Callable[[], None]) -> list:
    """Results of all tasks in their order, with the count of finished ones on stderr.

    Args:
        function: of a module, called with a task's values; what it raises ends everything.
        tasks: arguments of every call.
        jobs: processes at a time.
        warm_up: of a module, called once in every process before its first task.
    """
    results: dict[int, object] = {}
    context = multiprocessing.get_context("spawn")
    with one_thread_each(), ProcessPoolExecutor(jobs, mp_context=context, initializer=warm_up) as pool:
        place = {pool.submit(function, *task): k for k, task in enumerate(tasks)}
        try:
            for done in as_completed(place):
                results[place[done]] = done.result()
                typer.echo(f"\r{len(results)} of {len(tasks)} runs", nl=False, err=True)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)  # else leaving the pool runs what is still waiting
            raise
    typer.echo("\r" + " " * 30 + "\r", nl=False, err=True)
    return [results[k] for k in range(len(tasks))]


def share_of(tasks: Sequence, part: str) -> list:
    """The tasks of one part, such as "2/4": every fourth task, from the second on.

    Args:
        tasks: all of them.
        part: which part / how many there are.

    Raises:
        DataError: the text names no part.
    """
    which, _, count = part.partition("/")
    if not (which.isdecimal() and count.isdecimal() and 1 <= int(which) <= int(count)):
        raise DataError(f"part = {part!r} is no part. Write which and how many, from 1/4 to 4/4.")
    return list(tasks[int(which) - 1 :: int(count)])


def attempt(function: Callable) -> tuple[object, str]:
    """What a function returns, or None with the kind and the text of the exception it raised, in one line.

    Args:
        function: called without arguments.
    """
    try:
        return function(), ""
    except Exception as failure:
        return None, " ".join(f"{type(failure).__name__}: {failure}".split())


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
