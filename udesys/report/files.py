"""The report and the figures of a law as files of its run directory."""

from __future__ import annotations

import tempfile
import tomllib

from udesys.report.courses import courses_of
from udesys.report.figures import save_figures
from udesys.report.html import report_html
from udesys.runs import versions

REPORT = "report.html"


def drawn_files(law, *, spec: str = "") -> dict[str, bytes | str]:
    """Name -> content of `report.html` and of every figure.

    Args:
        law: a Discovery.
        spec: the text of its resolved spec, where there is one.
    """
    units = tomllib.loads(spec).get("search", {}).get("units", {})
    command = f"udesys discover spec.toml --seed {law.seed}" if spec else ""
    drawn = {"units": units, "courses": courses_of(law)}
    with tempfile.TemporaryDirectory() as folder:
        figures = {f"figures/{path.name}": path.read_bytes() for path in save_figures(law, folder, **drawn)}
    return {**figures, REPORT: report_html(law, spec=spec, command=command, versions=versions(), **drawn)}
