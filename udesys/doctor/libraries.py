"""Python, the libraries and the optional extras, beside the versions that the project asks for."""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import platform
import sys
from collections.abc import Iterator

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from udesys import __version__
from udesys.doctor.findings import Finding

NEEDED, EXTRAS = "Needed", "Extras"
OF_ENGINES = {"pyoperon", "pysr"}  # their engines say what is the matter with them
USES = {
    "sbml": "`udesys export --to sbml`",
    "bench": "the rivals of `udesys bench fit-speed` and `odebench`",
    "notebook": "the notebooks",
}


def look_at_libraries() -> Iterator[Finding]:
    """Python, udesys and every library that it needs; each is loaded."""
    wanted = _requirements()
    yield _python()
    yield _itself(wanted)
    for requirement in wanted or ():
        if requirement.name not in OF_ENGINES and _applies(requirement):
            yield _library(requirement)


def look_at_extras() -> Iterator[Finding]:
    """The optional extras that a user may want."""
    wanted = _requirements() or []
    for extra, use in USES.items():
        parts = [r for r in wanted if r.marker and _applies(r, extra) and not _applies(r)]
        missing = [r for r in parts if _trouble(r)]
        if not parts:
            continue
        if missing:
            yield Finding(group=EXTRAS, name=extra, state="missing", text=f"For {use}.", remedy=_install(*missing))
        else:
            found = ", ".join(f"{r.name} {importlib.metadata.version(r.name)}" for r in parts)
            yield Finding(group=EXTRAS, name=extra, state="ok", text=f"{found}, for {use}.")


def _requirements() -> list[Requirement] | None:
    """What the installed project asks for; None where it is not installed."""
    try:
        return [Requirement(text) for text in importlib.metadata.requires("udesys") or []]
    except importlib.metadata.PackageNotFoundError:
        return None


def _python() -> Finding:
    wanted = ""
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        wanted = importlib.metadata.metadata("udesys").get("Requires-Python") or ""
    version = platform.python_version()
    here = f"{version} on {platform.system()} {platform.machine()}, {sys.executable}"
    if SpecifierSet(wanted).contains(version, prereleases=True):
        return Finding(group=NEEDED, name="python", state="ok", text=here, needed=True)
    text, remedy = f"{here}; udesys needs {wanted}.", "make setup PYTHON=python3.11"
    return Finding(group=NEEDED, name="python", state="broken", text=text, remedy=remedy, needed=True)


def _itself(wanted: list[Requirement] | None) -> Finding:
    if wanted is None:
        text = f"{__version__}, run from its folder: what it needs cannot be compared."
        return Finding(group=NEEDED, name="udesys", state="missing", text=text, remedy="python -m pip install -e .")
    return Finding(group=NEEDED, name="udesys", state="ok", text=__version__, needed=True)


def _library(requirement: Requirement) -> Finding:
    about = {"group": NEEDED, "name": requirement.name, "needed": True}
    trouble = _trouble(requirement)
    if not trouble:
        try:
            importlib.import_module(requirement.name.replace("-", "_"))
        except Exception as error:  # whatever a damaged library does
            line = str(error).strip().partition("\n")[0]
            remedy = _install(requirement, options="--force-reinstall ")
            text = f"{_version(requirement)} does not load: {type(error).__name__}: {line}"
            return Finding(state="broken", text=text, remedy=remedy, **about)
        return Finding(state="ok", text=f"{_version(requirement)} ({_range(requirement)})", **about)
    state = "broken" if _version(requirement) else "missing"
    return Finding(state=state, text=trouble, remedy=_install(requirement), **about)


def _trouble(requirement: Requirement) -> str:
    """Empty where the library is there in a version that is asked for."""
    version = _version(requirement)
    if not version:
        return f"not installed; {_range(requirement)} is needed."
    if not requirement.specifier.contains(version, prereleases=True):
        return f"{version} is installed; {_range(requirement)} is needed."
    return ""


def _version(requirement: Requirement) -> str:
    try:
        return importlib.metadata.version(requirement.name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _range(requirement: Requirement) -> str:
    """Its specifiers, the lower end first."""
    return ",".join(sorted(map(str, requirement.specifier), reverse=True))


def _applies(requirement: Requirement, extra: str = "") -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def _install(*requirements: Requirement, options: str = "") -> str:
    return f"python -m pip install {options}" + " ".join(f'"{r.name}{_range(r)}"' for r in requirements)
