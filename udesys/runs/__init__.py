"""The run directory: what a discovery leaves on disk, stage by stage, and how it is taken up again."""

from udesys.runs.files import versions
from udesys.runs.folder import RunFolder, hold
from udesys.runs.going_on import assess_into, discover_into, fit_into, recover_into, redraw
from udesys.runs.loading import Run, load_result, load_run, open_run
from udesys.runs.saving import result_text, save

__all__ = [
    "Run",
    "RunFolder",
    "assess_into",
    "discover_into",
    "fit_into",
    "hold",
    "load_result",
    "load_run",
    "open_run",
    "recover_into",
    "redraw",
    "result_text",
    "save",
    "versions",
]
