"""The engines that search formulas, and Julia for the one that needs it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from udesys.doctor.findings import Finding

GROUP = "Engines"
PATIENCE = 20  # seconds for Julia to tell its version


def look_at_engines() -> Iterator[Finding]:
    """Which engines are ready, and what the others lack."""
    from udesys.search.engines import engines

    for name, engine in engines().items():
        trouble = engine.ready()
        if not trouble:
            summary = (engine.__doc__ or "").strip().partition("\n")[0]
            yield Finding(group=GROUP, name=name, state="ok", text=f"ready: {summary}", needed=name == "sparse")
            continue
        remedy = commands_in(trouble) or getattr(engine, "INSTALL", "")
        yield Finding(group=GROUP, name=name, state="missing", text=_without(trouble, remedy), remedy=remedy)


def look_at_julia() -> Iterator[Finding]:
    """Where Julia is, which `pysr` runs in."""
    from udesys.search._pysr.readiness import INSTALL

    program = _julia()
    if program is None:
        text = "not found; the engine pysr runs in it, and brings it: a download, and minutes of compiling, once."
        yield Finding(group=GROUP, name="julia", state="missing", text=text, remedy=INSTALL)
        return
    try:
        done = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=PATIENCE, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        text = f"{program} does not answer: {error}"
        yield Finding(group=GROUP, name="julia", state="broken", text=text, remedy=INSTALL)
    else:
        version = done.stdout.strip().removeprefix("julia version ")
        yield Finding(group=GROUP, name="julia", state="ok", text=f"{version}, {program}")


def commands_in(text: str) -> str:
    """The commands that a message names between backticks, as one line."""
    return " && ".join(re.findall(r"`([^`]+)`", text))


def _without(text: str, remedy: str) -> str:
    """A message without its last sentence where that only names the remedy."""
    head, _, last = text.rpartition(". ")
    return f"{head}." if head and remedy and remedy.split(" && ")[-1] in last else text


def _julia() -> str | None:
    """The program that PySR would run: that of its settings, of its own installer, or of the path."""
    named = os.environ.get("PYTHON_JULIACALL_EXE")
    if named:
        return shutil.which(named)
    try:
        from juliapkg.state import STATE

        installed = json.loads(Path(STATE["meta"]).read_text(encoding="utf-8"))["executable"]
    except Exception:  # not installed, a setting that it refuses, or nothing resolved yet
        installed = ""
    return shutil.which(installed) or shutil.which("julia")
