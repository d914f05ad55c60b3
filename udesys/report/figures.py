"""All figures of a discovery, and their files."""

from __future__ import annotations

import re
from pathlib import Path

from udesys.report.fit_figure import draw_fit, draw_phase
from udesys.report.term_figure import draw_term

__all__ = ["draw_fit", "draw_phase", "draw_term", "save_figures"]


def save_figures(law, folder) -> list[Path]:
    """Write the figures of a discovery as PNG files; equal discoveries give equal files.

    Args:
        law: a Discovery.
        folder: `figures/fit.png`, `figures/term_<name>.png` and `figures/phase.png` are written into it.

    Returns:
        The files written.
    """
    target = Path(folder) / "figures"
    target.mkdir(parents=True, exist_ok=True)
    pictures = {"fit": draw_fit(law)}
    for term in {} if law.fit is None else law.fit.terms:
        pictures[_free_name(f"term_{_safe(term)}", pictures)] = draw_term(law, term)
    if len(law.model.states) > 1:
        pictures["phase"] = draw_phase(law)
    files = []
    for name, picture in pictures.items():
        files.append(target / f"{name}.png")
        files[-1].write_bytes(picture.to_png())
    return files


def _safe(term: str) -> str:
    """The name of a term as a part of a file name: `NN[0]` becomes `NN_0`."""
    return re.sub(r"\W+", "_", term, flags=re.ASCII).strip("_")


def _free_name(name: str, taken) -> str:
    while name in taken:
        name += "_"
    return name
