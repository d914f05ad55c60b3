"""What every message has in common: it can be printed, it ends, and its suggestions cost no time."""

import time

from udesys.errors import DataError, ModelError, nearest, readable


def test_a_message_is_printable_and_ends():
    assert str(ModelError("first\nsecond \0 \x1b[31m \ud800 é\r")) == "first\nsecond \\x00 \\x1b[31m \\ud800 é\\r"
    long = str(DataError("start " + "x" * 100_000 + " end", file="a.csv"))
    assert long.startswith("start xxx") and long.endswith("xxx end") and "... (98210 characters) ..." in long
    assert len(long) < 2000 and len(readable("\U0010ffff" * 100_000)) < 2000


def test_a_message_that_can_be_printed_stays_as_it_is():
    for text in ("", "x' = 1\n    ^", "größer als 5 %"):
        assert readable(text) == text


def test_the_nearest_names_come_first_whatever_their_case():
    assert nearest("hair", ["lynx", "Hare", "hairs"], n=2) == ["hairs", "Hare"]
    assert nearest("hare", ["lynx"]) == []


def test_long_and_many_names_are_not_compared():
    began = time.process_time()
    assert nearest("ab" * 50_000, ["ba" * 50_000]) == []
    assert nearest("ab", ["ab" * 50_000, "abc"]) == ["abc"]
    assert nearest("x100001", (f"x{k}" for k in range(200_000))) == ["x101"]
    assert time.process_time() - began < 10  # some 30 ms; without bounds it takes minutes
