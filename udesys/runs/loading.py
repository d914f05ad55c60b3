"""A run directory that is there: what was asked, its fit and its law, checked against what was written."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from udesys.assess.discovery import SCHEMA, Discovery
from udesys.data import Dataset
from udesys.errors import UdesysError
from udesys.fit import FitResult
from udesys.model import HybridODE
from udesys.runs.folder import RESULT
from udesys.runs.keeping import ARRAYS, DATA, LAW, QUESTION, fit_of, law_of, question_of
from udesys.runs.manifest import (
    AGAIN,
    BEGUN,
    DONE,
    FIT,
    FITTED,
    FOUND,
    WEIGHTS,
    Asked,
    check_all,
    read_entered,
    read_manifest,
)
from udesys.runs.saving import SPEC
from udesys.spec import Spec, load_spec

DRAWN = ("report.html", "figures/")  # what `udesys report` makes again, whatever became of it
UNFINISHED = {
    BEGUN: "it was stopped before its fit",
    FITTED: "it has a fit, but no law yet. Go on with  udesys recover {0}",
}


@dataclass(frozen=True)
class Run:
    """A run directory, opened to be read.

    Attributes:
        path: the directory.
        manifest: the content of its run.json.
    """

    path: Path
    manifest: dict

    @property
    def state(self) -> str:
        """How far it is: "begun", "fitted", "found" or "done"."""
        return self.manifest["state"]

    @property
    def files(self) -> dict[str, str]:
        """Name -> SHA-256 of every finished file."""
        return self.manifest["files"]

    @property
    def asked(self) -> Asked:
        """What it is about."""
        return Asked(**{name: self.manifest[name] for name in ("spec", "seed", "data_sha256")})

    def read(self, name: str) -> bytes:
        """Content of a finished file.

        Raises:
            UdesysError: it is not there, or not what was written.
        """
        return read_entered(self.path, name, self.files)

    @cached_property
    def spec(self) -> Spec | None:
        """The spec, with the data read again; None for a run that was saved from Python.

        Raises:
            UdesysError: the spec or the data are not what they were.
        """
        if SPEC not in self.files:
            return None
        self.read(SPEC)
        spec = load_spec(self.path / SPEC)
        self._refuse_other_data(spec.data)
        return spec

    @cached_property
    def question(self) -> tuple[HybridODE, Dataset, Dataset | None]:
        """The model, the measurements, and those kept aside.

        Raises:
            UdesysError: they are not what they were.
        """
        if self.spec is not None:
            return self.spec.model, self.spec.data, self.spec.heldout
        try:
            return question_of(self.read(QUESTION), self.read(DATA))
        except (ValueError, TypeError, KeyError) as error:
            raise self._no(QUESTION, error) from error

    def fit(self) -> FitResult:
        """The fitted hybrid.

        Raises:
            UdesysError: there is none, or it is not what was written.
        """
        plain, weights = self.read(FIT), self.read(WEIGHTS)
        try:
            return fit_of(*self.question[:2], plain, weights)
        except (ValueError, TypeError, KeyError) as error:
            raise self._no(FIT, error) from error

    def law(self, *, with_fit: bool = True) -> Discovery:
        """The law.

        Args:
            with_fit: with the fitted hybrid, where the run has one.

        Raises:
            UdesysError: there is none yet, or it is not what was written.
        """
        if self.state not in (FOUND, DONE):
            why = UNFINISHED[self.state].format(self.path)
            raise UdesysError(f"there is no law in {self.path}: {why}.")
        fit = self.fit() if with_fit and FIT in self.files else None
        tensors = self.read(ARRAYS) if ARRAYS in self.files else None
        plain = self.read(LAW)
        try:
            return law_of(*self.question, fit, plain, tensors)
        except (ValueError, TypeError, KeyError) as error:
            raise self._no(LAW, error) from error

    def _refuse_other_data(self, data: Dataset) -> None:
        if data.sha256 != self.manifest["data_sha256"]:
            raise UdesysError(
                f"{data.source} is not the data of the run in {self.path}: its SHA-256 is {data.sha256[:12]}..., and "
                f"was {self.manifest['data_sha256'][:12]}... Put the old file back, or discover anew."
            )

    def _no(self, name: str, error: Exception) -> UdesysError:
        return UdesysError(f"{self.path / name} does not belong to this run ({error}). {AGAIN}")


def open_run(folder: str | Path) -> Run:
    """Open a run directory to read it; every finished file but the report and its figures is checked.

    Args:
        folder: the run directory.

    Raises:
        UdesysError: there is no run, or a file is not what the run wrote.
    """
    path = Path(folder)
    if path.exists() and not path.is_dir():
        raise UdesysError(f"{folder} is a file, not a run directory.")
    manifest = read_manifest(path)
    check_all(path, {name: known for name, known in manifest["files"].items() if not name.startswith(DRAWN)})
    return Run(path, manifest)


def load_run(folder: str | Path) -> Discovery:
    """The law of a finished run, its fit included.

    Args:
        folder: the run directory.

    Raises:
        UdesysError: there is no run, it has no law yet, or a file is not what the run wrote.
    """
    return open_run(folder).law()


def load_result(folder: str | Path) -> dict:
    """The content of a run's result.json.

    Args:
        folder: the run directory.

    Raises:
        UdesysError: there is no run, or its result is not what was written.
    """
    content = Path(folder) / RESULT
    run = open_run(folder)
    if RESULT not in run.files:
        raise UdesysError(f"there is no law in {folder}: {UNFINISHED[run.state].format(folder)}.")
    result = json.loads(run.read(RESULT))
    if result.get("schema") != SCHEMA:
        raise UdesysError(f"{content} has schema {result.get('schema')!r}, not {SCHEMA}. {AGAIN}")
    return result
