"""One piece of work in a process of its own: its value, its limit and its failures."""

import os
import time

import pytest

from udesys.bench._alone import run_alone


def plain(begin, x):
    begin()
    return x, os.environ["OMP_NUM_THREADS"], os.environ["GREETING"]


def slow(begin):
    begin()
    time.sleep(60)


def broken(begin):
    begin()
    raise ValueError("no\nsense")


def gone(begin):
    begin()
    os._exit(3)


def test_work_alone_returns_its_value_on_one_thread():
    before = dict(os.environ)
    assert run_alone(plain, 7, environment={"GREETING": "hello"}).value == (7, "1", "hello")
    assert dict(os.environ) == before


@pytest.mark.parametrize(
    ("work", "limit", "failure"),
    [
        (slow, 0.1, "time limit"),
        (broken, None, "ValueError: no sense"),
        (gone, None, "its process ended with status 3"),
    ],
)
def test_work_alone_that_fails_says_why(work, limit, failure):
    ended = run_alone(work, limit=limit)
    assert (ended.value, ended.failure) == (None, failure)
    assert 0 < ended.seconds < 10
