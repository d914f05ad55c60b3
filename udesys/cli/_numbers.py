"""Numbers with names as they are written on a command line."""

from __future__ import annotations

from collections.abc import Sequence

from udesys.errors import ModelError


def given_numbers(texts: Sequence[str] | None) -> dict[str, float] | None:
    """Name -> number of an option that may be given again; None where it was not.

    Args:
        texts: what was written each time.

    Raises:
        ModelError: one is something else, or a name is there twice.
    """
    return parsed_numbers(",".join(texts)) if texts else None


def parsed_numbers(text: str) -> dict[str, float]:
    """Name -> number from a text such as `x=1, y=0.1`.

    Args:
        text: what was written.

    Raises:
        ModelError: it is something else, or names something twice.
    """
    found: dict[str, float] = {}
    for part in text.split(","):
        name, equals, number = (piece.strip() for piece in part.partition("="))
        try:
            value = float(number)
        except ValueError:
            equals = ""
        if not equals or not name:
            raise ModelError(f"{text!r} is not understood. Write NAME=NUMBER, several with commas, such as x=1, y=0.1.")
        if name in found:
            raise ModelError(f"{text!r} gives {name} twice. Leave one out.")
        found[name] = value
    return found
