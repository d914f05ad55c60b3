"""The run directory: what a discovery leaves on disk, written as a whole or not at all."""

from __future__ import annotations

import contextlib
import csv
import importlib.metadata
import json
import math
import os
import platform
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from udesys.errors import SolveError, UdesysError

if TYPE_CHECKING:
    from udesys.discover import Discovery
    from udesys.spec import Spec

RESULT = "result.json"
LIBRARIES = ("torch", "numpy", "scipy", "sympy", "numba")


def save(
    law: Discovery,
    folder: str | Path,
    *,
    spec: Spec | None = None,
    log: Iterable[Mapping] = (),
    overwrite: bool = False,
) -> Path:
    """Write a discovery into a run directory.

    Everything goes into a folder beside it first, which then takes its place: a failure leaves nothing.

    Args:
        law: what was discovered.
        folder: the run directory.
        spec: the spec it came from, written fully resolved.
        log: the progress events, in order.
        overwrite: replace a run that is there, figures included.

    Returns:
        The run directory.

    Raises:
        UdesysError: the folder holds a run already, or something else.
    """
    folder = Path(folder)
    check_folder(folder, overwrite=overwrite)
    target = Path(os.path.realpath(folder))
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir()
        _write(law, partial, target, spec, log)
        _put_in_place(partial, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def check_folder(folder: str | Path, *, overwrite: bool = False) -> None:
    """Refuse a run directory that must not be written to.

    Args:
        folder: the run directory.
        overwrite: a run that is there may be replaced.

    Raises:
        UdesysError: the folder holds a run already, or something else.
    """
    folder = Path(folder)
    if not folder.exists():
        return
    if not folder.is_dir():
        raise UdesysError(f"{folder} is a file, not a folder. Name another run directory.")
    if (folder / RESULT).is_file():
        if not overwrite:
            remedy = "Name another folder, or replace it with --overwrite (overwrite=True in Python)."
            raise UdesysError(f"{folder} already holds a run. {remedy}")
    elif any(folder.iterdir()):
        raise UdesysError(f"{folder} holds files that are no run. Name a new or an empty folder.")


def load_result(folder: str | Path) -> dict:
    """Read the result.json of a run directory.

    Args:
        folder: the run directory.

    Raises:
        UdesysError: there is no run, or its result cannot be read.
    """
    from udesys.assess.discovery import SCHEMA

    path = Path(folder) / RESULT
    if not path.is_file():
        remedy = f"Make one with  udesys discover SPEC -o {folder}"
        raise UdesysError(f"there is no run in {folder}: {RESULT} is missing. {remedy}")
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise UdesysError(f"{path} is no JSON: {error}. Run the discovery again.") from error
    schema = result.get("schema") if isinstance(result, dict) else None
    if schema != SCHEMA:
        raise UdesysError(f"{path} has schema {schema!r}, not {SCHEMA}. Run the discovery again.")
    return result


def result_text(law: Discovery) -> str:
    """The text of result.json.

    Args:
        law: what was discovered.
    """
    return _json({**law.to_dict(), "versions": versions(), "data_sha256": law.data.sha256}, indent=2) + "\n"


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


# ------------------------------------------------------------------ the files
def _write(law: Discovery, folder: Path, target: Path, spec: Spec | None, log: Iterable[Mapping]) -> None:
    from udesys.integrate.driving import sample_values
    from udesys.model.export import latex_equations, python_module

    if spec is not None:
        _write_text(folder / "spec.toml", spec.to_toml(target))
    _write_candidates(law, folder / "candidates.csv")
    _write_predictions(law, folder / "predictions.csv")
    _write_text(folder / "equations.tex", f"% \\usepackage{{amsmath}}\n{latex_equations(law.closed_form)}")
    start = {run.name: run.t[0] for run in law.data.trajectories}
    names = law.closed_form.model.exogenous
    first = {run.name: sample_values(law.data, run, names)[0].tolist() for run in law.data.trajectories}
    driving = {run: dict(zip(names, values, strict=True)) for run, values in first.items()}
    module = python_module(law.closed_form, law.initial, start, driving=driving, source=law.data.source)
    _write_text(folder / "equations.py", module)
    if law.fit is not None:
        _write_weights(law.fit, folder / "model.safetensors")
    _write_text(folder / "log.jsonl", "".join(_json(event) + "\n" for event in log))
    _write_text(folder / RESULT, result_text(law))


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")


def _write_candidates(law: Discovery, path: Path) -> None:
    """One row for each ranked model, best first."""
    terms = list(law.residuals)
    columns = list(law.data.columns)
    header = [
        "rank",
        *terms,
        "criterion",
        "delta",
        "n_constants",
        "complexity",
        *(f"engine.{t}" for t in terms),
        "diverged",
    ]
    header += [f"error.{c}" for c in columns] + [f"heldout_error.{c}" for c in columns]
    rows = [
        [
            rank,
            *(model.residuals.get(term, "") for term in terms),
            model.criterion,
            model.delta,
            model.n_constants,
            model.complexity,
            *(model.engines.get(term, "") for term in terms),
            model.diverged,
            *(model.error.get(c) for c in columns),
            *(model.heldout_error.get(c) for c in columns),
        ]
        for rank, model in enumerate(law.candidates, start=1)
    ]
    _write_csv(path, header, rows)


def _write_predictions(law: Discovery, path: Path) -> None:
    """Measured values and the closed form's states and observables at every sample time, held-out ends included."""
    import numpy as np

    columns = list(law.data.columns)
    predictable = law.closed_form.model.measurable
    header = ["trajectory", "part", law.data.time, *columns, *(f"predicted.{name}" for name in predictable)]
    held = {run.name: run for run in law.heldout.trajectories} if law.heldout else {}
    rows: list[list] = []
    for k, run in enumerate(law.data.trajectories):
        parts = [("fit", run)]
        if run.name in held and held[run.name].t[0] > run.t[-1]:
            parts.append(("heldout", held[run.name]))
        t = np.concatenate([part.t for _, part in parts])
        predicted = _predicted(law, t, k, len(run.t))
        measured = [(name, now, y) for name, part in parts for now, y in zip(part.t, part.y, strict=True)]
        rows += [[run.name, name, now, *y, *x] for (name, now, y), x in zip(measured, predicted, strict=True)]
    _write_csv(path, header, rows)


def _predicted(law: Discovery, t, trajectory: int, n_fit: int):
    """The law's states and observables (time, m); NaN in the held-out part, or everywhere, where it blows up there."""
    import numpy as np

    names = list(law.closed_form.model.measurable)
    predicted = np.full((len(t), len(names)), np.nan)
    for n in (len(t), n_fit):
        with contextlib.suppress(SolveError):
            predicted[:n] = law.forecast(t[:n], trajectory=trajectory)[names].to_numpy()
            break
    return predicted


def _write_csv(path: Path, header: list[str], rows: Iterable[list]) -> None:
    """A table whose numbers keep every digit and whose missing values are empty cells."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows([_cell(value) for value in row] for row in rows)


def _cell(value) -> str:
    value = _plain(value)
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _write_weights(fit, path: Path) -> None:
    """The fitted hybrid: theta, the scales around each network, the node states; no pickle."""
    import numpy as np
    from safetensors.numpy import save as to_bytes

    field = fit.problem.field
    tensors = {
        "theta": fit.unknowns.theta,
        "parameter_scale": field.parameter_scale,
        "nodes": fit.unknowns.nodes,
        "t": fit.problem.t,
        "first": fit.problem.first,
        "substeps": fit.problem.substeps,
    }
    networks = {}
    for slot, layout, scale in zip(fit.model.slots, field.layouts, field.scales, strict=True):
        networks[slot.name] = {"sizes": [int(n) for n in layout.sizes], "activation": layout.activation}
        for part in ("shift", "width", "output"):
            tensors[f"{slot.name}.{part}"] = getattr(scale, part)
    about = {
        "equations": fit.model.text,
        "states": list(fit.model.states),
        "parameters": list(field.parameters),
        "networks": networks,
        "trajectories": [run.name for run in fit.data.trajectories],
        "method": fit.method,
        "inputs": list(fit.model.inputs),
        "covariates": list(fit.model.covariates),
        "observables": list(fit.model.observe),
    }
    # One entry of metadata: the library writes several in no fixed order.
    arrays = {name: np.ascontiguousarray(v) for name, v in tensors.items()}
    path.write_bytes(to_bytes(arrays, {"udesys": _json(about)}))


def _json(value, indent: int | None = None) -> str:
    return json.dumps(_plain(value), indent=indent, ensure_ascii=False, allow_nan=False)


def _plain(value):
    """What JSON can hold: numbers that are not finite become null, NumPy's become Python's."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int | str) else str(value)


# ------------------------------------------------------------------ putting it in place
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
