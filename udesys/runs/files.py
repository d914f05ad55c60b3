"""Files that are written whole or not at all, and plain values as JSON."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import math
import os
import platform
from collections.abc import Mapping
from pathlib import Path

from udesys.errors import UdesysError

LIBRARIES = ("torch", "numpy", "scipy", "sympy", "numba")
PARTIAL = ".part"  # ending of a file that is not whole yet


def write_whole(path: Path, content: bytes | str) -> str:
    """Write a file beside its place first, and put it there only when it is on the disk.

    Args:
        path: the file.
        content: its bytes, or its text.

    Returns:
        Its SHA-256.

    Raises:
        UdesysError: it cannot be written; what was there stays.
    """
    content = content.encode("utf-8") if isinstance(content, str) else content
    partial = path.with_name(f".{path.name}.{os.getpid()}{PARTIAL}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise UdesysError(f"{path} cannot be written: {error.strerror or error}. {remedy_for(error)}") from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
    return sha256(content)


def write_new(path: Path, content: bytes | str, *, force: bool = False, again: str = "--force") -> None:
    """Write a file of the user's own choice whole; one that is there stays unless `force`.

    Args:
        path: the file.
        content: its bytes, or its text.
        force: replace it.
        again: how to ask for that.

    Raises:
        UdesysError: it is there already, or cannot be written.
    """
    refuse_present(path, force=force, again=again)
    write_whole(path, content)


def refuse_present(path: Path | None, *, force: bool = False, again: str = "--force") -> None:
    """Refuse a file that is there before the work for it is done.

    Args:
        path: the file; None where none was asked for.
        force: it may be there.
        again: how to ask for that.

    Raises:
        UdesysError: it is there.
    """
    if path is not None and path.exists() and not force:
        raise UdesysError(f"{path} is there already. Name another file, or replace it with {again}.")


def remedy_for(error: OSError) -> str:
    """What to do about a file or folder that cannot be written."""
    import errno

    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "Free some space; what was saved is kept, and the same command goes on from there."
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "Name another folder, or ask for the right to write there."
    return "Name another folder."


def sha256(content: bytes) -> str:
    """Hash of some bytes, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def versions() -> dict[str, str | None]:
    """The versions of udesys, Python and the libraries a result depends on."""
    from udesys import __version__

    found = {"udesys": __version__, "python": platform.python_version()}
    for library in LIBRARIES:
        try:
            found[library] = importlib.metadata.version(library)
        except importlib.metadata.PackageNotFoundError:
            found[library] = None
    return found


def to_json(value, indent: int | None = None) -> str:
    """A value as JSON; numbers that are not finite become null."""
    return json.dumps(plain(value), indent=indent, ensure_ascii=False, allow_nan=False)


def plain(value, *, lost=lambda number: None):
    """What JSON can hold: NumPy's values become Python's, numbers that are not finite what `lost` makes of them."""
    if isinstance(value, Mapping):
        return {str(key): plain(inner, lost=lost) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner, lost=lost) for inner in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist(), lost=lost)
    if isinstance(value, float):
        return value if math.isfinite(value) else lost(value)
    return value if value is None or isinstance(value, bool | int | str) else str(value)


def to_exact_json(value) -> str:
    """A value as JSON from which `from_exact_json` makes the same numbers, infinities and NaN included."""
    return json.dumps(plain(value, lost=lambda number: {"float": repr(number)}), ensure_ascii=False, allow_nan=False)


def from_exact_json(text: str | bytes):
    """What `to_exact_json` wrote.

    Raises:
        ValueError, RecursionError: it is no such JSON.
    """
    return json.loads(text, object_hook=lambda table: float(table["float"]) if list(table) == ["float"] else table)
