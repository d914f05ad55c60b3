"""The table of results in the README, made from the studies that `udesys bench NAME --json` wrote.

A comparison's module may say which of its headline numbers are worth a line (`HEADLINES`, all where it is absent) and
of which of them less is better (`LESS_IS_BETTER`; where it is absent, all rivals are shown in place of the best one).
Both are tuples of names as in its summary; one with * stands for all that it matches.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from udesys.bench._study import markdown
from udesys.errors import DataError, did_you_mean

BEGIN, END = "<!-- benchmarks: begin -->", "<!-- benchmarks: end -->"
HEAD = ("bench", "what it is", "udesys", "published (who)", "best rival (who)")
PARTS = {
    "bench": str,
    "command": str,
    "summary": dict,
    "rows": list,
    "published": dict,
    "rivals": dict,
    "versions": dict,
}


# ------------------------------------------------------------------ files
def read_studies(folder: Path, modules: Mapping[str, object]) -> dict[str, dict[str, Any]]:
    """File's name without its ending -> study, of all JSON files of a folder by name.

    Args:
        folder: with what `udesys bench NAME --json` printed.
        modules: comparison -> its module.

    Raises:
        DataError: there is no such folder, no study in it, or a file is none.
    """
    if not folder.is_dir():
        raise DataError(
            f"{folder} is no folder. Name one with studies, as `udesys bench NAME --json > FILE` writes them."
        )
    paths = sorted(folder.glob("*.json"))
    if not paths:
        raise DataError(f"{folder} has no JSON file. Write one with `udesys bench NAME --json > {folder}/NAME.json`.")
    return {path.stem: _read(path, modules) for path in paths}


def _read(path: Path, modules: Mapping[str, object]) -> dict[str, Any]:
    try:
        study = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise _no_study(path, f"it is no JSON ({error})") from None
    if not isinstance(study, dict):
        raise _no_study(path, "it is no JSON object")
    for name, kind in PARTS.items():
        if not isinstance(study.get(name), kind):
            raise _no_study(
                path, f"its {name!r} is missing" if name not in study else f"its {name!r} is no {WORDS[kind]}"
            )
    for name in ("published", "rivals"):
        for who, numbers in study[name].items():
            if not isinstance(numbers, dict):
                raise _no_study(path, f"its {name!r} has no object for {who!r}")
    if study["bench"] not in modules:
        raise _no_study(path, f"there is no comparison {study['bench']!r}", did_you_mean(study["bench"], modules))
    return study


WORDS = {str: "text", dict: "object", list: "list"}


def _no_study(path: Path, why: str, remedy: str = "") -> DataError:
    remedy = remedy or "Write it again with `udesys bench NAME --json`, or take it out of the folder."
    return DataError(f"{path} is no study: {why}. {remedy}", file=path.name)


def put_between(text: str, new: str, file: str) -> str:
    """A text with what stands between its two marker lines replaced.

    Args:
        text: of a Markdown file.
        new: without an empty line at either end.
        file: its name, for messages.

    Raises:
        DataError: a marker is missing, there more than once, or they are in the wrong order.
    """
    lines = text.splitlines(keepends=True)
    places = []
    for marker in (BEGIN, END):
        found = [k for k, line in enumerate(lines) if line.strip() == marker]
        if not found:
            raise DataError(
                f"{file} has no line {marker}. Put {BEGIN} and {END} on lines of their own where the table is to stand."
            )
        if len(found) > 1:
            numbers = " and ".join(str(k + 1) for k in found)
            raise DataError(f"{file} has {marker} on lines {numbers}. Leave one of them.")
        places += found
    begin, end = places
    if end < begin:
        raise DataError(f"{file} has {END} (line {end + 1}) before {BEGIN} (line {begin + 1}). Exchange them.")
    newline = "\r\n" if lines[begin].endswith("\r\n") else "\n"
    between = newline.join(["", *new.splitlines(), "", ""])
    return "".join([*lines[: begin + 1], between, *lines[end:]])


# ------------------------------------------------------------------ text
def results_text(studies: Mapping[str, Mapping[str, Any]], modules: Mapping[str, object]) -> str:
    """The table of results, and below it what made each of its studies.

    Args:
        studies: file's name without its ending -> study.
        modules: comparison -> its module.
    """
    rows = [row for name, study in studies.items() for row in _rows(name, study, modules[study["bench"]])]
    common = _common([study["versions"] for study in studies.values()])
    made = [f"- {_made_by(name, study, common)}" for name, study in studies.items()]
    return "\n".join([markdown(HEAD, rows, left=2), "", *made, *(["", f"All with {_said(common)}."] if common else [])])


def _rows(name: str, study: Mapping[str, Any], module: object) -> list[list[object]]:
    """A line for each headline number; a study's name stands on the first of them."""
    less = getattr(module, "LESS_IS_BETTER", None)
    rows = []
    for what in headlines(study["summary"], getattr(module, "HEADLINES", None)):
        published = _figures(study["published"], what)
        rivals = _figures(study["rivals"], what)
        if less is not None and rivals:
            best = (min if _named(what, less) else max)(rivals, key=rivals.__getitem__)
            rivals = {best: rivals[best]}
        number = _number(study["summary"][what])
        rows.append(["" if rows else name, _line(what), number, _people(published), _people(rivals)])
    return rows


def headlines(summary: Mapping[str, object], wanted: Sequence[str] | None) -> list[str]:
    """The names of a summary that are worth a line, in its order.

    Args:
        summary: name -> number.
        wanted: names, or patterns with *; all if None, or where the summary has none of them.
    """
    chosen = [name for name in summary if wanted is None or _named(name, wanted)]
    return chosen or list(summary)


def _named(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, p) for p in patterns)


def _figures(of: Mapping[str, Mapping[str, object]], what: str) -> dict[str, float]:
    """Who -> number, of those who have a finite one."""
    found = {who: numbers.get(what) for who, numbers in of.items()}
    return {who: value for who, value in found.items() if isinstance(value, int | float) and math.isfinite(value)}


def _people(figures: Mapping[str, object]) -> str | None:
    return ", ".join(f"{_number(value)} ({_line(who)})" for who, value in figures.items()) or None


def _number(value: object) -> str | None:
    """A number to four digits; None where there is none, as of what diverged."""
    if isinstance(value, float):
        whole = 1e4 <= abs(value) < 1e7
        return (f"{value:.0f}" if whole else f"{value:.4g}") if math.isfinite(value) else None
    return None if value is None else _line(str(value))


def _line(text: str) -> str:
    return " ".join(text.split())


# ------------------------------------------------------------------ provenance
def _made_by(name: str, study: Mapping[str, Any], common: Mapping[str, str]) -> str:
    seeds = _seeds(study)
    runs = f"{len(study['rows'])} run{'s' * (len(study['rows']) != 1)}"
    own = {package: version for package, version in study["versions"].items() if package not in common}
    said = [f"`{name}.json`: `{_line(study['command'])}`", runs, *([seeds] if seeds else [])]
    return ", ".join(said) + (f"; with {_said(own)}" if own else "")


def _seeds(study: Mapping[str, Any]) -> str:
    """The seeds of the runs, or that of the command where they have none: "seeds 0, 3 to 5"."""
    of_rows = {row["seed"] for row in study["rows"] if isinstance(row, dict) and type(row.get("seed")) is int}
    given = re.search(r"--seed[ =](\d+)", study["command"])
    seeds = sorted(of_rows or ({int(given[1])} if given else ()))
    spans: list[list[int]] = []
    for seed in seeds:
        if spans and seed == spans[-1][1] + 1:
            spans[-1][1] = seed
        else:
            spans.append([seed, seed])
    said = ", ".join(f"{first}" if first == last else f"{first} to {last}" for first, last in spans)
    return said and f"seed{'s' * (len(seeds) > 1)} {said}"


def _common(versions: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """The versions that all studies have."""
    return {name: version for name, version in versions[0].items() if all(v.get(name) == version for v in versions)}


def _said(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())
