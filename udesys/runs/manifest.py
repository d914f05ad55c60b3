"""run.json: what a run is about, how far it is, and what each of its finished files must be."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from udesys.errors import UdesysError
from udesys.runs.files import sha256, to_json

MANIFEST = "run.json"
SCHEMA = 1
BEGUN, FITTED, FOUND, DONE = "begun", "fitted", "found", "done"  # how far a run is; done with its report
AGAIN = "Name another folder with -o, or replace what is there with --overwrite."
SHOWN_DIFFERENCES = 4
FIT, WEIGHTS = "fit.json", "model.safetensors"  # the fit's files


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a run is about; the same again is the same run.

    Attributes:
        spec: the resolved spec, without the place of its data file.
        seed: of everything random.
        data_sha256: hash of the data file.
    """

    spec: dict
    seed: int
    data_sha256: str

    def has_fit_of(self, other: Asked) -> bool:
        """Whether another's fit is this one's too: only the search, or what is derived from the law, differs."""
        after = ("search", "derived")
        mine, theirs = ({k: v for k, v in asked.spec.items() if k not in after} for asked in (self, other))
        return (mine, self.seed, self.data_sha256) == (theirs, other.seed, other.data_sha256)

    def differences(self, other: Asked) -> list[str]:
        """What is not the same in another, in words; empty where all is."""
        found = []
        if self.data_sha256 != other.data_sha256:
            found.append(f"the data (SHA-256 {other.data_sha256[:12]}... there, {self.data_sha256[:12]}... now)")
        if self.seed != other.seed:
            found.append(f"the seed ({other.seed} there, {self.seed} now)")
        mine, theirs = dict(_leaves(self.spec)), dict(_leaves(other.spec))
        changed = [key for key in {**mine, **theirs} if mine.get(key) != theirs.get(key)]
        return [*found, *(f"[{section}] {key}" for section, key in changed[:SHOWN_DIFFERENCES])]


def _leaves(table: Mapping, section: str = "") -> Iterator[tuple[tuple[str, str], object]]:
    """((section, key), value) of everything in a spec."""
    for key, value in table.items():
        if isinstance(value, Mapping) and not (section and not value):
            yield from _leaves(value, f"{section}.{key}" if section else key)
        else:
            yield (section, key), value


# ------------------------------------------------------------------ writing and reading
def manifest_text(asked: Asked, state: str, files: Mapping[str, str], made: Mapping[str, str | None]) -> str:
    """The text of run.json, its own hash included.

    Args:
        asked: what the run is about.
        state: how far it is.
        files: name -> SHA-256 of every finished file.
        made: versions of what made it.
    """
    content = {
        "schema": SCHEMA,
        "state": state,
        "seed": asked.seed,
        "data_sha256": asked.data_sha256,
        "versions": made,
        "files": dict(sorted(files.items())),
        "spec": asked.spec,
    }
    digest = sha256(to_json(content, indent=1).encode())
    return to_json({**content, "sha256": digest}, indent=1) + "\n"


def read_manifest(path: Path) -> dict:
    """The checked content of a run's run.json.

    Args:
        path: the run directory.

    Raises:
        UdesysError: it is not there, damaged, or of another version.
    """
    file = path / MANIFEST
    damaged = f"{file} is damaged"
    try:
        content = json.loads(file.read_bytes())
    except FileNotFoundError:
        remedy = f"Make one with  udesys discover SPEC -o {path}"
        raise UdesysError(f"there is no run in {path}: {MANIFEST} is missing. {remedy}") from None
    except OSError as error:
        raise UdesysError(f"{file} cannot be read: {error.strerror or error}.") from error
    except (ValueError, RecursionError):
        raise UdesysError(f"{damaged}: it is no JSON. {AGAIN}") from None
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        found = content.get("schema") if isinstance(content, dict) else None
        raise UdesysError(f"{file} has schema {found!r}, not {SCHEMA}: another version of udesys wrote it. {AGAIN}")
    digest = content.pop("sha256", None)
    if digest != sha256(to_json(content, indent=1).encode()):
        raise UdesysError(f"{damaged}: it is not what was written (its SHA-256 differs). {AGAIN}")
    return content


def read_entered(path: Path, name: str, files: Mapping[str, str]) -> bytes:
    """Content of a file that a run has entered.

    Raises:
        UdesysError: it is not entered, not there, or not what was written.
    """
    if name not in files:
        raise UdesysError(f"{path} has no {name} yet.")
    try:
        content = (path / name).read_bytes()
    except FileNotFoundError:
        raise UdesysError(f"{path / name} is missing, though the run wrote it. Put it back. {AGAIN}") from None
    except OSError as error:
        raise UdesysError(f"{path / name} cannot be read: {error.strerror or error}.") from error
    if sha256(content) != files[name]:
        raise UdesysError(
            f"{path / name} is not what the run wrote (its SHA-256 differs): it was changed, cut short, or is another "
            f"run's. Put the right one back. {AGAIN}"
        )
    return content


def check_all(path: Path, files: Mapping[str, str]) -> None:
    """Refuse a run of which a finished file is missing or not what was written.

    Raises:
        UdesysError: the first such file.
    """
    for name in files:
        read_entered(path, name, files)
