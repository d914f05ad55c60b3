"""The errors a user can meet: `str()` says what is wrong, where, and what to do."""

import difflib
from collections.abc import Iterable, Sequence

NAMES_SHOWN = 20


class UdesysError(Exception):
    """Base of every error that udesys raises on purpose."""


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


def did_you_mean(name: str, known: Iterable[str], *, listed: str = "Known are") -> str:
    """Return the end of a message about an unknown name: the nearest known one, then the list of all.

    Args:
        name: the unknown name.
        known: the names to choose from.
        listed: the words before the list.
    """
    known = list(known)
    by_lower = {other.lower(): other for other in known}
    near = difflib.get_close_matches(name.lower(), by_lower, n=1)
    hint = f"Did you mean {by_lower[near[0]]!r}? " if near else ""
    return f"{hint}{listed} {shortened(known)}."


def shortened(names: Sequence[str]) -> str:
    """Return names as a list for people: "a, b, c", or the first of them "and 7 more"."""
    if not names:
        return "none"
    shown = ", ".join(names[:NAMES_SHOWN])
    return shown if len(names) <= NAMES_SHOWN else f"{shown} and {len(names) - NAMES_SHOWN} more"
