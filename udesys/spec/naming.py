"""Names for the equations, from whatever the columns of a table are called."""

from __future__ import annotations

import builtins
import keyword
import re
import unicodedata
from collections.abc import Collection, Iterable

from udesys.model.grammar import RESERVED

LONGEST_NAME = 30  # characters; longer ones make no readable equation
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_UNIT = re.compile(r"\s*(\([^()]*\)|\[[^][]*\])")  # "(mm)", "[rad/s]"
_SYMBOL = 2  # characters up to which the case of a name is kept: V1 and v1 are not the same to everybody
_GREEK = re.compile(r"GREEK (?:SMALL|CAPITAL) LETTER (\w+)")


def model_names(columns: Iterable[str], taken: Collection[str] = ()) -> dict[str, str]:
    """Return column -> the name it gets in the equations, all of them different.

    A column whose name the equations can hold keeps it. Of others the unit in brackets goes, accents and Greek letters
    are spelled out, and what is no letter or digit becomes an underscore.

    Args:
        columns: names of columns.
        taken: names that are in use already.
    """
    names: dict[str, str] = {}
    for column in columns:
        used = {*taken, *names.values()}
        name = column if _usable(column) and len(column) <= LONGEST_NAME else _sanitised(column)
        names[column] = name if name not in used else _numbered(name, used)
    return names


def _usable(name: str) -> bool:
    """Whether the equations, and a Python module written from them, can hold the name."""
    reserved = name in RESERVED or keyword.iskeyword(name) or hasattr(builtins, name)
    return bool(_IDENTIFIER.fullmatch(name)) and not reserved and not name.startswith(("NN", "__"))


def _sanitised(column: str) -> str:
    bare = _UNIT.sub("", column) or column
    text = "".join(_spelled(character) for character in unicodedata.normalize("NFKD", bare))
    name = re.sub(r"[^A-Za-z0-9]+", "_", text).strip("_")[:LONGEST_NAME].strip("_")
    name = name if len(name) <= _SYMBOL else name.lower()
    if not name:
        return "x"
    if name[0].isdigit():
        name = f"x{name}"
    return name if _usable(name) else f"x_{name}"


def _spelled(character: str) -> str:
    """An ASCII spelling of a character; nothing for an accent, a space for what has none."""
    if character.casefold().isascii():  # the sharp s is two of them
        return character if character.isascii() else character.casefold()
    greek = _GREEK.match(unicodedata.name(character, ""))
    if greek:
        return greek[1].lower()
    return "" if unicodedata.combining(character) else " "


def _numbered(name: str, used: Collection[str]) -> str:
    number = 2
    while f"{name}_{number}" in used:
        number += 1
    return f"{name}_{number}"
