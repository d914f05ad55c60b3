"""Lines of printed text: tables in columns, and sentences that go on under themselves."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

WIDTH = 106


def wrapped(head: str, text: str) -> list[str]:
    """Text after a head, gone on under itself.

    Args:
        head: what the first line begins with.
        text: the rest.
    """
    room = max(40, WIDTH - len(head))
    lines = textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False) or [""]
    return [head + lines[0], *(" " * len(head) + line for line in lines[1:])]


def aligned(header: Sequence[str], rows: Sequence[Sequence[str]], align: str) -> list[str]:
    """Lines of a table; a column that is empty in every row is left out.

    Args:
        header: titles of the columns.
        rows: cells likewise.
        align: "<" or ">" for each column.
    """
    kept = [k for k in range(len(header)) if k == 0 or any(row[k] for row in rows)]
    widths = {k: max(len(row[k]) for row in [header, *rows]) for k in kept}
    return ["   ".join(f"{row[k]:{align[k]}{widths[k]}}" for k in kept) for row in [header, *rows]]
