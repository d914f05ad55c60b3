"""The errors a user can meet: `str()` says what is wrong, where, and what to do."""

import difflib
import itertools
from collections.abc import Iterable, Sequence

NAMES_SHOWN = 20
LONGEST_COMPARED, MOST_COMPARED = 80, 1000
"""Characters of a name, and the number of names, that are looked at for a similar one."""
MESSAGE_START, MESSAGE_END, LEAST_LEFT_OUT = 1200, 600, 100
"""Characters of a message that are kept where what it quotes is longer than anyone reads."""


class UdesysError(Exception):
    """Base of every error that udesys raises on purpose; its text is printable and not longer than a screen."""

    def __str__(self) -> str:
        return readable(super().__str__())


class DataError(UdesysError):
    """A table, frame or array cannot be used as it is.

    Args:
        message: what is wrong, where, and what to do.
        file: name of the file, or "frame".
        row: row as an editor numbers it (the header is row 1), or the index label of a frame.
        column: name of the column.
    """

    def __init__(self, message: str, *, file: str | None = None, row=None, column: str | None = None):
        super().__init__(message)
        self.file = file
        self.row = row
        self.column = column


class ModelError(UdesysError):
    """An equation, parameter or network is not well formed."""


class SolveError(UdesysError):
    """An integration cannot go on."""


class FitError(UdesysError):
    """A fit cannot start, or found nothing finite."""


class SearchError(UdesysError):
    """A search for formulas cannot start, or found nothing."""


def readable(text: str) -> str:
    """Return a text that a terminal can show: other characters than printable ones escaped, its middle left out.

    Args:
        text: anything, lone surrogates included; line feeds stay.
    """
    shown = (c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in _cut(text))
    return _cut("".join(shown))


def _cut(text: str) -> str:
    left_out = len(text) - MESSAGE_START - MESSAGE_END
    if left_out <= LEAST_LEFT_OUT:
        return text
    return f"{text[:MESSAGE_START]} ... ({left_out} characters) ... {text[-MESSAGE_END:]}"


def did_you_mean(name: str, known: Iterable[str], *, listed: str = "Known are") -> str:
    """Return the end of a message about an unknown name: the nearest known one, then the list of all.

    Args:
        name: the unknown name.
        known: the names to choose from.
        listed: the words before the list.
    """
    known = list(known)
    near = nearest(name, known)
    hint = f"Did you mean {near[0]!r}? " if near else ""
    return f"{hint}{listed} {shortened(known)}."


def nearest(name: str, known: Iterable[str], *, n: int = 1, cutoff: float = 0.6) -> list[str]:
    """Return the known names that are nearly the given one, the nearest first; upper case does not count.

    Names longer than anyone types, and those behind the first thousand, are not looked at: a comparison costs the
    product of two lengths.

    Args:
        name: the unknown name.
        known: the names to choose from.
        n: the most that are returned.
        cutoff: the least ratio of equal characters, as difflib counts it.
    """
    if len(name) > LONGEST_COMPARED:
        return []
    short = (other for other in known if len(other) <= LONGEST_COMPARED)
    by_lower = {other.lower(): other for other in itertools.islice(short, MOST_COMPARED)}
    return [by_lower[near] for near in difflib.get_close_matches(name.lower(), by_lower, n=n, cutoff=cutoff)]


def shortened(names: Sequence[str]) -> str:
    """Return names as a list for people: "a, b, c", or the first of them "and 7 more"."""
    if not names:
        return "none"
    shown = ", ".join(names[:NAMES_SHOWN])
    return shown if len(names) <= NAMES_SHOWN else f"{shown} and {len(names) - NAMES_SHOWN} more"
