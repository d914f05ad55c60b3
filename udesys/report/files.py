"""The report and the figures of a law as files of its run directory."""

from __future__ import annotations

import tempfile
from pathlib import Path

from udesys.report.figures import save_figures
from udesys.report.html import report_html
from udesys.runs import versions

REPORT = "report.html"


def drawn_files(law, *, spec: str = "", command: str = "") -> dict[str, bytes | str]:
    """Name -> content of `report.html` and of every figure.

    Args:
        law: a Discovery.
        spec: the text of its spec, where there is one.
        command: that made it.
    """
    with tempfile.TemporaryDirectory() as folder:
        figures = {f"figures/{path.name}": path.read_bytes() for path in save_figures(law, folder)}
    return {**figures, REPORT: report_html(law, spec=spec, command=command, versions=versions())}
