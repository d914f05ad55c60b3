"""A law as a notebook shows it: the equations laid out, its constants, then the printed text to unfold."""

from __future__ import annotations

import html

from udesys.assess.summary import estimate_cells, estimates_of
from udesys.model.mathml import equation_pieces


def law_html(law) -> str:
    """The law as HTML without scripts or styles of its own.

    Args:
        law: a Discovery.
    """
    rows = [
        f"<tr><td style='text-align:right'>{left}</td><td style='text-align:left'>{''.join(pieces)}</td></tr>"
        for left, pieces in equation_pieces(law.closed_form).values()
    ]
    head = "".join(f"<th>{title}</th>" for title in ("constant", "value", "+/- 95 %", "95 % interval", "unit"))
    constants = [
        "<tr><td style='text-align:left'>" + "</td><td>".join(map(html.escape, (name, *cells[:4]))) + "</td></tr>"
        for name, cells in ((name, estimate_cells(e)) for name, e in estimates_of(law).items())
    ]
    warnings = [f"<p><b>Warning:</b> {html.escape(w)}</p>" for w in law.warnings]
    return "\n".join(
        [
            *warnings,
            "<table>",
            *rows,
            "</table>",
            *(["<table>", f"<tr>{head}</tr>", *constants, "</table>"] if constants else []),
            "<details><summary>all that is known</summary>",
            f"<pre>{html.escape(str(law))}</pre>",
            "</details>",
        ]
    )
