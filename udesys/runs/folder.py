"""A run directory in the hands of one process: its lock, its stages, and what each of its files must be.

`run.json` says what was asked (spec, seed, hash of the data), how far the run is, and the SHA-256 of every file that
is finished. A file is written whole, then entered there; a file that is not entered does not count. So a process may
die at any moment, and the next one goes on from the last stage that was entered.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from udesys.errors import UdesysError
from udesys.runs.files import PARTIAL, remedy_for, versions, write_whole
from udesys.runs.manifest import (
    AGAIN,
    BEGUN,
    DONE,
    FIT,
    FITTED,
    MANIFEST,
    WEIGHTS,
    Asked,
    check_all,
    manifest_text,
    read_entered,
    read_manifest,
)

LOCK, RESULT, LOG = ".lock", "result.json", "log.jsonl"


@dataclass
class RunFolder:
    """A run directory that this process holds.

    Attributes:
        path: the directory.
        asked: what the run is about.
        state: "begun", "fitted", "found" or "done".
        files: name -> SHA-256 of every finished file.
        made: versions of what made it.
        taken_up: the run was there before.
    """

    path: Path
    asked: Asked
    state: str = BEGUN
    files: dict[str, str] = field(default_factory=dict)
    made: dict = field(default_factory=versions)
    taken_up: bool = False

    def put(self, files: Mapping[str, bytes | str], state: str | None = None) -> None:
        """Write files whole, then enter them all at once.

        Args:
            files: name, which may have folders -> content.
            state: how far the run is with them; as before if None.

        Raises:
            UdesysError: one cannot be written; none is entered then.
        """
        replaced = self.files.keys() & files.keys()
        if replaced:  # a file in the middle of being replaced is entered nowhere
            self.files = {name: known for name, known in self.files.items() if name not in replaced}
            self._enter()
        made = {name: write_whole(self.path / name, content) for name, content in files.items()}
        self.files |= made
        self.state = state or self.state
        self._enter()

    def drop(self, names, state: str) -> None:
        """Forget files and delete them.

        Args:
            names: of the files.
            state: how far the run is without them.
        """
        self.files, gone = {n: h for n, h in self.files.items() if n not in names}, list(names)
        self.state = state
        self._enter()
        for name in gone:
            with contextlib.suppress(OSError):
                (self.path / name).unlink(missing_ok=True)

    def read(self, name: str) -> bytes:
        """Content of a finished file.

        Raises:
            UdesysError: it is not there, or not what was written.
        """
        return read_entered(self.path, name, self.files)

    def _enter(self) -> None:
        write_whole(self.path / MANIFEST, manifest_text(self.asked, self.state, self.files, self.made))


@contextlib.contextmanager
def hold(folder: str | Path, asked: Asked, *, overwrite: bool = False) -> Iterator[RunFolder]:
    """A run directory for what is asked, new or taken up, that no other process can hold meanwhile.

    Where nothing could be saved in a new one, it is gone afterwards.

    Args:
        folder: the run directory.
        asked: what the run is to be about.
        overwrite: put a finished run, and a run about something else, aside; it is deleted when the new one ends. A fit
            stays where only the search differs.

    Raises:
        UdesysError: another process holds it, it is about something else, or it cannot be read or written.
    """
    folder = Path(folder)
    path = Path(os.path.realpath(folder))
    new = [p for p in (path, *path.parents) if not p.exists()]
    refuse_other_folders(folder, overwrite=overwrite)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UdesysError(f"{folder} cannot be made: {error.strerror or error}. {remedy_for(error)}") from error
    with locked(path, folder):
        _sweep(path)
        run, kept = _taken_up(path, folder, asked, overwrite)
        try:
            if not run.taken_up:
                run.put({})
                if kept:
                    run.put(kept, FITTED)
            yield run
        except BaseException:
            if run.state == BEGUN:
                _clear(path, new)
            raise
        shutil.rmtree(_aside(path), ignore_errors=True)


@contextlib.contextmanager
def locked(path: Path, folder: Path) -> Iterator[None]:
    """Hold a run directory against other processes; a process that dies lets go of it.

    Raises:
        UdesysError: another one holds it.
    """
    import filelock

    lock = filelock.FileLock(path / LOCK, timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise UdesysError(
            f"{folder} is in use by another udesys process. Wait for it to end, or name another folder with -o."
        ) from None
    except OSError as error:
        raise UdesysError(f"{folder} cannot be written: {error.strerror or error}. {remedy_for(error)}") from error
    try:
        yield
    finally:
        lock.release()


def refuse_other_folders(folder: Path, *, overwrite: bool = False) -> None:
    """Refuse a place that is no run directory and not free for one.

    Args:
        folder: the run directory.
        overwrite: a run of another version may be replaced.

    Raises:
        UdesysError: it is a file, or a folder with other things in it.
    """
    if folder.is_symlink() and not folder.exists():
        raise UdesysError(f"{folder} is a link to nothing. Name another run directory.")
    if not folder.exists():
        return
    if not folder.is_dir():
        raise UdesysError(f"{folder} is a file, not a folder. Name another run directory.")
    try:
        names = {p.name for p in folder.iterdir()}
    except OSError as error:
        raise UdesysError(f"{folder} cannot be read: {error.strerror or error}. {remedy_for(error)}") from error
    if MANIFEST in names or not {n for n in names if n != LOCK and not n.endswith(PARTIAL)}:
        return
    if RESULT not in names:
        raise UdesysError(f"{folder} holds files that are no run. Name a new or an empty folder.")
    if not overwrite:
        raise UdesysError(f"{folder} holds a run without its {MANIFEST}. {AGAIN}")


# ------------------------------------------------------------------ taking up and clearing
def _taken_up(path: Path, folder: Path, asked: Asked, overwrite: bool) -> tuple[RunFolder, dict[str, bytes]]:
    """The run that is there, checked, or a new one with the files of a fit that it can keep."""
    new = RunFolder(path, asked)
    if not (path / MANIFEST).exists():
        if _parts(path):
            _set_aside(path)
        return new, {}
    try:
        content = read_manifest(path)
        there = Asked(**{name: content[name] for name in ("spec", "seed", "data_sha256")})
        differences = asked.differences(there)
        if differences:
            raise UdesysError(f"{folder} holds a run of something else: {', '.join(differences)}. {AGAIN}")
        check_all(path, content["files"])
    except UdesysError:
        if not overwrite:
            raise
        kept = _fit_files(path, asked)
        _set_aside(path)
        return new, kept
    if overwrite and content["state"] == DONE:
        _set_aside(path)
        return new, {}
    return RunFolder(path, asked, content["state"], content["files"], content["versions"], taken_up=True), {}


def _fit_files(path: Path, asked: Asked) -> dict[str, bytes]:
    """The fit of a run that differs in its search alone; nothing where it is damaged or of other versions."""
    try:
        content = read_manifest(path)
        there = Asked(**{name: content[name] for name in ("spec", "seed", "data_sha256")})
        if not asked.has_fit_of(there) or content["versions"] != versions() or content["state"] == BEGUN:
            return {}
        return {name: read_entered(path, name, content["files"]) for name in (FIT, WEIGHTS)}
    except UdesysError:
        return {}


def _aside(path: Path) -> Path:
    """Where the run that is being replaced is kept until the new one ends."""
    return path.with_name(f".{path.name}.replaced")


def _set_aside(path: Path) -> None:
    """Move everything in a run directory, but for the lock, to where it is kept meanwhile."""
    kept = _aside(path)
    if kept.exists():  # the run that was replacing it has not ended either
        _empty(path)
        return
    kept.mkdir()
    for part in _parts(path):
        part.rename(kept / part.name)


def _sweep(path: Path) -> None:
    """Delete what a process that died left half written."""
    for part in path.rglob(f".*{PARTIAL}"):
        with contextlib.suppress(OSError):
            part.unlink()


def _clear(path: Path, new: list[Path]) -> None:
    """Delete what is in a run directory, and the folders that are `new`; or put back what it was to replace."""
    _empty(path)
    kept = _aside(path)
    if kept.exists():
        for part in list(kept.iterdir()):
            part.rename(path / part.name)
        kept.rmdir()
    elif new:
        with contextlib.suppress(OSError):
            (path / LOCK).unlink(missing_ok=True)
            for folder in new:
                folder.rmdir()


def _empty(path: Path) -> None:
    for part in _parts(path):
        with contextlib.suppress(OSError):
            shutil.rmtree(part) if part.is_dir() and not part.is_symlink() else part.unlink()


def _parts(path: Path) -> list[Path]:
    return [part for part in path.iterdir() if part.name != LOCK]
