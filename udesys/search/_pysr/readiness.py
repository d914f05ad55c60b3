"""Whether Julia and PySR's packages are there, told without importing PySR, which would start or download them."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
from pathlib import Path

INSTALL = 'python -c "import pysr"'  # juliapkg then resolves: it downloads Julia and compiles the packages
REPAIR = 'python -c "import juliapkg; juliapkg.resolve(force=True)"'
PACKAGES = ("PythonCall", "SymbolicRegression")

_found = False  # once there they stay; where they are missing, it is looked again


def trouble() -> str:
    """Empty where PySR can run, else what is missing and the one command that installs it."""
    global _found
    if _found:
        return ""
    missing = _missing()
    _found = not missing
    return missing


def _missing() -> str:
    if importlib.util.find_spec("pysr") is None:
        return "PySR is not installed. Install it with `pip install pysr`, then Julia with `" + INSTALL + "`."
    program, project = os.environ.get("PYTHON_JULIACALL_EXE"), os.environ.get("PYTHON_JULIACALL_PROJECT")
    if program and project:  # juliacall then does not ask juliapkg
        if shutil.which(program) is None:
            return f"PYTHON_JULIACALL_EXE = {program} is no program. Name Julia's, or unset it and run `{INSTALL}`."
        return _missing_packages(Path(project))
    try:
        from juliapkg.deps import can_skip_resolve
        from juliapkg.state import STATE
    except Exception as error:  # a setting that it refuses, or it is not installed
        return f"PySR's Julia cannot be looked for: {error}. Correct that setting, then run `{INSTALL}`."
    project, offline = Path(STATE["project"]), STATE["offline"]
    unset = "unset PYTHON_JULIAPKG_OFFLINE and " if offline else ""
    if not Path(STATE["meta"]).is_file():  # asked first, since juliapkg.resolve makes the folder even in a dry run
        where = f"Julia and PySR's packages are not installed in {project}."
        return f"{where} To download and compile them once, which takes minutes, {unset}run `{INSTALL}`."
    try:
        resolved = can_skip_resolve()
    except Exception as error:
        return f"Julia's project in {project} cannot be read: {error!r}. To make it anew, {unset}run `{REPAIR}`."
    if not resolved:
        where = f"Julia in {project} is gone or no longer what PySR needs."
        return f"{where} To bring it up to date, {unset}run `{INSTALL}`."
    return _missing_packages(project, unset)


def _missing_packages(project: Path, unset: str = "") -> str:
    """What the project's manifests lack: an offline resolve claims success and installs nothing."""
    listed: set[str] = set()
    for manifest in project.glob("*Manifest*.toml"):
        text = manifest.read_text(encoding="utf-8", errors="replace")
        listed.update(re.findall(r"^\[\[(?:deps\.)?(\w+)\]\]", text, flags=re.MULTILINE))
    missing = [name for name in PACKAGES if name not in listed]
    if not missing:
        return ""
    return f"Julia's project {project} lacks {' and '.join(missing)}. To install them, {unset}run `{REPAIR}`."
