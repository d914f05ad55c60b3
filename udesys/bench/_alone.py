"""One piece of work at a time, each in a fresh process on one thread."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from udesys.bench._parallel import attempt
from udesys.processes import one_thread_each

START_LIMIT = 600.0  # seconds for imports and warm-up, before the work begins


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a piece of work in a process of its own ended.

    Attributes:
        value: what it returned; None where it failed.
        seconds: from the moment it began until it ended or was ended; zero where it never began.
        failure: why there is no value, in words.
    """

    value: object = None
    seconds: float = 0.0
    failure: str = ""


def run_alone(
    work: Callable, *arguments: object, limit: float | None = None, environment: Mapping[str, str] | None = None
) -> Ended:
    """Call work(begin, *arguments) in a spawned process and wait for its end.

    Args:
        work: of a module; it calls begin() once its imports and its warm-up are done, and again wherever the limit
            shall count anew.
        *arguments: plain values for it.
        limit: seconds that it may run after begin(); the process is ended then.
        environment: variables of the process, beside those that keep libraries on one thread.
    """
    context = multiprocessing.get_context("spawn")
    answers, sender = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(sender, work, arguments), daemon=True)
    try:
        with one_thread_each(environment):
            process.start()
        sender.close()
        return _ending(answers, process, limit)
    finally:
        if process.is_alive():
            process.kill()
        process.join()
        answers.close()


def _child(sender, work: Callable, arguments: tuple) -> None:
    value, failure = attempt(lambda: work(lambda: sender.send(("begun", None)), *arguments))
    sender.send(("failed", failure) if failure else ("done", value))


def _ending(answers, process, limit: float | None) -> Ended:
    began, since, allowed = False, time.perf_counter(), START_LIMIT
    while True:
        left = None if allowed is None else max(since + allowed - time.perf_counter(), 0.0)
        kind, value = "failed", "time limit"
        if answers.poll(left):
            try:
                kind, value = answers.recv()
            except EOFError:
                process.join()
                value = f"its process ended with status {process.exitcode}"
        if kind == "begun":
            began, since, allowed = True, time.perf_counter(), limit
            continue
        seconds = time.perf_counter() - since if began else 0.0
        return Ended(value=value, seconds=seconds) if kind == "done" else Ended(seconds=seconds, failure=value)
