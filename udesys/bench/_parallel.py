"""The tasks of a part of a comparison, and what a task that fails comes to."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from udesys.errors import DataError


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
