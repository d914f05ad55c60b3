"""Comparisons as independent tasks on several processes, with the count of finished ones on stderr."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import typer

from udesys import processes
from udesys.errors import DataError
from udesys.processes import one_thread_each

__all__ = ["attempt", "one_thread_each", "run_tasks", "share_of"]


def run_tasks(function: Callable, tasks: Sequence[tuple], jobs: int, warm_up: Callable[[], None]) -> list:
    """Results of all tasks in their order, with the count of finished ones on stderr.

    Args:
        function: of a module, called with a task's values; what it raises ends everything.
        tasks: arguments of every call.
        jobs: processes at a time.
        warm_up: of a module, called once in every process before its first task.
    """

    def told(count: int) -> None:
        typer.echo(f"\r{count} of {len(tasks)} runs", nl=False, err=True)

    results = processes.run_tasks(function, tasks, jobs, warm_up, done=told)
    typer.echo("\r" + " " * 30 + "\r", nl=False, err=True)
    return results


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
