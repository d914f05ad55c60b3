"""`save`: a law from Python as a finished run, as a whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from udesys.assess.discovery import Discovery
from udesys.errors import UdesysError
from udesys.runs.files import remedy_for, to_json, versions
from udesys.runs.folder import LOG, RESULT, RunFolder, refuse_other_folders
from udesys.runs.keeping import fit_files, law_files, question_files
from udesys.runs.manifest import DONE, MANIFEST, Asked
from udesys.runs.tables import candidates_csv, equations_py, equations_tex, predictions_csv

SPEC = "spec.toml"


def finished_files(law: Discovery) -> dict[str, bytes | str]:
    """What a run has of its law: the files for people, and those from which it can be had again.

    Args:
        law: what was discovered.
    """
    return {
        "candidates.csv": candidates_csv(law),
        "predictions.csv": predictions_csv(law),
        "equations.tex": equations_tex(law),
        "equations.py": equations_py(law),
        RESULT: result_text(law),
        **law_files(law),
    }


def result_text(law: Discovery) -> str:
    """The text of result.json.

    Args:
        law: what was discovered.
    """
    return to_json({**law.to_dict(), "versions": versions(), "data_sha256": law.data.sha256}, indent=2) + "\n"


def save(
    law: Discovery,
    folder: str | Path,
    *,
    more: Mapping[str, bytes | str] | None = None,
    log: Iterable[Mapping] = (),
    overwrite: bool = False,
) -> Path:
    """Write a law and all that it stands on, its measurements included, into a run directory.

    Everything goes into a folder beside it first, which then takes its place: a failure leaves nothing.

    Args:
        law: what was discovered.
        folder: the run directory.
        more: further files, name -> content, such as figures.
        log: the progress events, in order.
        overwrite: replace a run that is there, figures included.

    Returns:
        The run directory.

    Raises:
        UdesysError: the folder holds a run already, or something else, or it cannot be written.
    """
    folder = Path(folder)
    refuse_other_folders(folder, overwrite=overwrite)
    target = Path(os.path.realpath(folder))
    if (target / MANIFEST).exists() and not overwrite:
        raise UdesysError(f"{folder} already holds a run. Name another folder, or replace it with overwrite=True.")
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        run = RunFolder(partial, Asked(spec={}, seed=law.seed, data_sha256=law.data.sha256))
        files = {**question_files(law.model, law.data, law.heldout), **finished_files(law)}
        files |= {} if law.fit is None else fit_files(law.fit)
        files[LOG] = "".join(to_json(event) + "\n" for event in log)
        run.put({**files, **(more or {})}, DONE)
        _put_in_place(partial, target)
    except OSError as error:
        raise UdesysError(f"{folder} cannot be written: {error.strerror or error}. {remedy_for(error)}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def _put_in_place(partial: Path, target: Path) -> None:
    """Rename the finished folder; what it replaces is deleted only after that."""
    old = target.with_name(f".{target.name}.{os.getpid()}.old")
    if target.exists():
        target.rename(old)
    try:
        partial.rename(target)
    except BaseException:
        if old.exists():
            old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)
