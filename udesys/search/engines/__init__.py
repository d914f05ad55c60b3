"""Symbolic-regression engines, one per file, found by listing the folder.

An engine has `NAME`, `ready() -> str` (empty where it can run, else why not and what to do) and
`propose(task, options, seed) -> Front`; with `LINEARISED = True` it reads `task.response` and is asked again about
the best law so far.
"""

import importlib
import pkgutil


def engines() -> dict:
    """name -> module of every engine in this folder; the fast one first, whose best the others may start from."""
    found = (importlib.import_module(f"{__name__}.{m.name}") for m in pkgutil.iter_modules(__path__))
    return {module.NAME: module for module in sorted(found, key=lambda m: (m.NAME != "sparse", m.NAME))}
