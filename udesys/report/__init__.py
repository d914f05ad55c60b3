"""Figures of a discovery. Its text is in `assess.summary`, where a discovery prints itself."""

from udesys.report.figures import draw_fit, draw_phase, draw_term, save_figures

__all__ = ["draw_fit", "draw_phase", "draw_term", "save_figures"]
