"""Fitting and discovering into a run directory, stage by stage: what was stopped goes on where it was."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from udesys.assess.discovery import Discovery
from udesys.discover import recover
from udesys.errors import UdesysError
from udesys.fit import FitResult, fit
from udesys.runs.files import to_json, versions
from udesys.runs.folder import LOG, RESULT, RunFolder, hold, locked
from udesys.runs.keeping import ARRAYS, LAW, fit_files, fit_of, law_files, law_of
from udesys.runs.loading import Run, open_run
from udesys.runs.manifest import AGAIN, BEGUN, DONE, FIT, FITTED, FOUND, WEIGHTS, Asked
from udesys.runs.proposals import NAME as PROPOSALS
from udesys.runs.proposals import KeptProposals
from udesys.runs.saving import SPEC, finished_files, result_text
from udesys.spec import Spec

STOPPED = "stopped before there was anything to keep; nothing was written. The same command starts again."


@dataclass(frozen=True)
class Outcome:
    """What a command on a run directory came to.

    Attributes:
        found: the fit, or the law.
        there: it was there already, and nothing was changed.
    """

    found: FitResult | Discovery
    there: bool


def fit_into(
    folder: str | Path, spec: Spec, *, seed: int = 0, overwrite: bool = False, progress: Callable | None = None
) -> Outcome:
    """Fit the hybrid of a spec into a run directory.

    Args:
        folder: the run directory.
        spec: what is asked.
        seed: of everything random.
        overwrite: replace a finished run, or one about something else.
        progress: called as progress(stage, step, value).

    Raises:
        UdesysError: the run directory cannot be used, or the data cannot be fitted.
    """
    with hold(folder, _asked(spec, seed), overwrite=overwrite) as run, _stopping(folder, run):
        there = run.state != BEGUN
        return Outcome(_fitted(run, spec, progress), there)


def discover_into(
    folder: str | Path,
    spec: Spec,
    *,
    seed: int = 0,
    overwrite: bool = False,
    progress: Callable | None = None,
    illustrate: Callable[[Discovery], Mapping[str, bytes | str]] | None = None,
) -> Outcome:
    """Discover the law of a spec into a run directory.

    Args:
        folder: the run directory.
        spec: what is asked.
        seed: of everything random.
        overwrite: replace a finished run, or one about something else; its fit stays where only [search] differs.
        progress: called as progress(stage, step, value).
        illustrate: law -> further files of the run, such as its report.

    Raises:
        UdesysError: the run directory cannot be used, or no law is found.
    """
    with hold(folder, _asked(spec, seed), overwrite=overwrite) as run, _stopping(folder, run):
        there = run.state == DONE
        return Outcome(_recovered(run, spec, progress, illustrate), there)


def recover_into(
    folder: str | Path,
    *,
    engines: Sequence[str] = (),
    overwrite: bool = False,
    progress: Callable | None = None,
    illustrate: Callable[[Discovery], Mapping[str, bytes | str]] | None = None,
) -> Outcome:
    """The second half: from the fit in a run directory to the law.

    Args:
        folder: the run directory.
        engines: search engines in place of those of its spec.
        overwrite: replace the law that is there; the fit stays.
        progress, illustrate: as of `discover_into`.

    Raises:
        UdesysError: there is no fit, or no law is found.
    """
    there = open_run(folder)
    if there.state == BEGUN or there.spec is None:
        why = "has no fit" if there.spec is not None else "was saved from Python and has no spec"
        raise UdesysError(f"{folder} {why}. Make a fit with  udesys fit SPEC -o {folder}")
    spec = there.spec.with_engines(engines) if engines else there.spec
    was, now = (_asked(each, there.manifest["seed"]) for each in (there.spec, spec))
    with hold(folder, was) as run, _stopping(folder, run):
        if overwrite or now != was:
            if run.state == DONE and not overwrite:
                raise UdesysError(f"{folder} holds a law already, found with other engines. {AGAIN}")
            run.asked = now
            run.drop([name for name in run.files if name not in (FIT, WEIGHTS)], FITTED)
            run.put({SPEC: spec.to_toml(run.path)})
        there = run.state == DONE
        return Outcome(_recovered(run, spec, progress, illustrate), there)


def redraw(folder: str | Path, illustrate: Callable[[Discovery], Mapping[str, bytes | str]]) -> Discovery:
    """Make the report and the figures of a run with a law again.

    Args:
        folder: the run directory.
        illustrate: law -> the files.

    Returns:
        The law.

    Raises:
        UdesysError: there is no law, or another process holds the run.
    """
    there = open_run(folder)
    law = there.law()
    with locked(there.path, Path(folder)):
        _taken_up(there).put(illustrate(law))
    return law


def assess_into(
    folder: str | Path,
    assess: Callable[[Discovery], Discovery],
    illustrate: Callable[[Discovery], Mapping[str, bytes | str]],
) -> Discovery:
    """Add to the law of a run what takes longer to find out, such as profiles; nothing changes until that is done.

    Args:
        folder: the run directory.
        assess: law -> the law with more known about it.
        illustrate: law -> the files that show it, such as the report.

    Returns:
        The law with what was added.

    Raises:
        UdesysError: there is no law, another process holds the run, it was stopped, or what `assess` raises.
    """
    path = open_run(folder).path
    with locked(path, Path(folder)):
        there = open_run(folder)
        try:
            law = assess(there.law())
        except KeyboardInterrupt:
            raise UdesysError(f"stopped; nothing was changed in {folder}.") from None
        _taken_up(there).put({RESULT: result_text(law), **law_files(law), **illustrate(law)})
    return law


def _taken_up(there: Run) -> RunFolder:
    """A run that is there, to be written to."""
    return RunFolder(there.path, there.asked, there.state, there.files, there.manifest["versions"], taken_up=True)


# ------------------------------------------------------------------ the stages
def _fitted(run: RunFolder, spec: Spec, progress) -> FitResult:
    """The fit of a run, made where it is not there."""
    if SPEC not in run.files:
        run.put({SPEC: spec.to_toml(run.path)})
    if run.state != BEGUN:
        return fit_of(spec.model, spec.data, run.read(FIT), run.read(WEIGHTS))
    with _logged(run, progress) as told:
        found = fit(
            spec.model, spec.data, seed=run.asked.seed, noise=spec.noise, options=spec.fit_options, progress=told
        )
    run.put(fit_files(found), FITTED)
    return found


def _recovered(run: RunFolder, spec: Spec, progress, illustrate) -> Discovery:
    """The law of a run, found where it is not there, with the files that illustrate it."""
    fitted = _fitted(run, spec, progress)
    if run.state == FITTED:
        with _logged(run, progress) as told:
            law = recover(
                fitted, heldout=spec.heldout, options=spec.options, derived=spec.derived, progress=told,
                propose=KeptProposals(run),
            )  # fmt: skip
        law = replace(law, warnings=(*spec.warnings, *_other_versions(run), *law.warnings))
        run.put(finished_files(law), FOUND)
    else:
        tensors = run.read(ARRAYS) if ARRAYS in run.files else None
        law = law_of(spec.model, spec.data, spec.heldout, fitted, run.read(LAW), tensors)
    if run.state == FOUND:
        if progress is not None and illustrate is not None:
            progress("report", 0, "tables, figures and report.html")
        more = {} if illustrate is None else illustrate(law)
        log = run.path / LOG
        more = {**more, LOG: log.read_bytes() if log.exists() else ""}
        run.drop([PROPOSALS], FOUND)
        run.put(more, DONE)
    return law


def _asked(spec: Spec, seed: int) -> Asked:
    told = {**spec.raw, "data": {key: value for key, value in spec.raw["data"].items() if key != "file"}}
    return Asked(spec=json.loads(to_json(told)), seed=seed, data_sha256=spec.data.sha256)


def _other_versions(run: RunFolder) -> list[str]:
    changed = [f"{name} {old}" for name, old in run.made.items() if versions().get(name) != old]
    return [f"the fit was made by {', '.join(changed)}, the rest by other versions."] if changed else []


# ------------------------------------------------------------------ on the way
@contextlib.contextmanager
def _stopping(folder: str | Path, run: RunFolder) -> Iterator[None]:
    """Ctrl-C as a message that says what is kept."""
    try:
        yield
    except KeyboardInterrupt:
        if run.state == BEGUN:
            raise UdesysError(STOPPED) from None
        what = {FITTED: "the fit", FOUND: "the law"}.get(run.state, "the run")
        raise UdesysError(f"stopped; {what} is kept in {folder}. The same command goes on from there.") from None


@contextlib.contextmanager
def _logged(run: RunFolder, progress: Callable | None) -> Iterator[Callable]:
    """The progress function, which also writes every event into log.jsonl, with the seconds since this part began."""
    path, began = run.path / LOG, time.monotonic()
    with contextlib.suppress(OSError):
        if run.taken_up and path.exists():  # the last line may have been cut
            whole = [line for line in path.read_text("utf-8").splitlines(keepends=True) if line.endswith("\n")]
            path.write_text("".join(whole), "utf-8")
    with contextlib.ExitStack() as stack:
        file = None
        with contextlib.suppress(OSError):
            file = stack.enter_context(path.open("a", encoding="utf-8", buffering=1))

        def told(stage: str, step: int, value) -> None:
            if file is not None:
                with contextlib.suppress(OSError):  # a full disk is met where a stage is saved
                    seconds = round(time.monotonic() - began, 3)
                    event = {"stage": stage, "step": step, "value": value, "seconds": seconds}
                    file.write(to_json(event) + "\n")
            if progress is not None:
                progress(stage, step, value)

        yield told
