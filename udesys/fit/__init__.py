"""Fitting a hybrid to data: one training stage per file in `stages`, and `fit` that runs them.

What the names below need is loaded when they are first used: options and checks do not wait for the compiled parts.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from udesys.fit.enough import check_enough
    from udesys.fit.fitting import fit
    from udesys.fit.options import FitOptions
    from udesys.fit.result import FitResult, ResidualTerm

_HOME = {
    "check_enough": "enough",
    "fit": "fitting",
    "FitOptions": "options",
    "FitResult": "result",
    "ResidualTerm": "result",
}

__all__ = ["FitOptions", "FitResult", "ResidualTerm", "check_enough", "fit"]


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value
