"""`load_spec`: from a TOML file or a dict to a checked `Spec`."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path

from udesys.errors import ModelError, nearest
from udesys.fit.options import FitOptions
from udesys.model import Grid, HybridODE, Network, Parameter
from udesys.model.derived import check_expressions
from udesys.spec.grid import read_grid
from udesys.spec.measurements import Signals, read_measurements, read_signals
from udesys.spec.result import Spec, resolved
from udesys.spec.search import read_search, search_warnings
from udesys.spec.section import KEYS, NETWORK_KEYS, PARAMETER_KEYS, TOLERANCE_KEYS, Section, check_plain

MOST_BYTES = 65_536  # of a spec; a long one has some thousand, and the parser takes the square of odd ones
_TABLES = (".csv", ".tsv", ".parquet", ".pq")


def load_spec(spec: str | Path | Mapping, *, folder: str | Path | None = None) -> Spec:
    """Read a spec and everything it names.

    Args:
        spec: a TOML file, or a dict of the same shape.
        folder: the folder that the data file is relative to; the spec's own, or the current one for a dict.

    Returns:
        The checked spec, with its data read.

    Raises:
        ModelError: the spec cannot be read, a key is unknown, or the model is not well formed.
        DataError: the data file cannot be used.
        FitError: an option of the fit is not usable.
        SearchError: an option of the search is not usable.
    """
    if isinstance(spec, Mapping):
        return _build(dict(spec), "spec", "spec", Path(folder or "."))
    path = Path(spec)
    return _build(_read_toml(path), path.name, path.stem, Path(folder or path.parent))


def _read_toml(path: Path) -> dict:
    try:
        if path.is_dir():
            raise ModelError(f"{path} is a folder. Give the spec file in it.")
        if not path.exists():
            raise ModelError(f"there is no file {path}. {_nearby(path)}")
        if not path.is_file():
            raise ModelError(f"{path} is no plain file. A spec is a TOML file.")
        size = path.stat().st_size
    except OSError as error:  # a name that the system takes for none, or a folder that may not be read
        raise ModelError(f"{path} cannot be read: {error.strerror}.") from error
    if path.suffix.lower() in _TABLES:
        hint = f'A spec is a TOML file that names it: [data] file = "{path.name}".'
        raise ModelError(f"{path} is a table, not a spec. {hint}")
    if size > MOST_BYTES:
        raise ModelError(f"{path} is no spec: it has {size} bytes.")
    try:
        return tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise ModelError(f"{path} is not UTF-8 text (byte {error.start}). Save it as UTF-8.") from error
    except tomllib.TOMLDecodeError as error:
        raise ModelError(f"{path} is not valid TOML: {error}. {_toml_hint(str(error))}") from error
    except ValueError as error:  # from int(), for thousands of digits
        raise ModelError(f"{path} holds a number that is too long to be read.") from error
    except RecursionError as error:
        raise ModelError(f"{path} is no spec: its tables are nested too deep.") from error


def _nearby(path: Path) -> str:
    names = [p.name for p in path.parent.iterdir() if p.is_file()] if path.parent.is_dir() else []
    near = nearest(path.name, names, n=3, cutoff=0.7)
    return f"Similar files there: {', '.join(near)}." if near else "A spec is a TOML file."


def _toml_hint(message: str) -> str:
    if "scape" in message or "hex value" in message:
        return "Write paths with forward slashes, or in single quotes."
    return 'Text stands in "quotes", and several lines in """triple quotes""".'


def _build(content: dict, source: str, name: str, home: Path) -> Spec:
    """The spec from plain values: the names that the data bring, the model, then the data it is about."""
    check_plain(source, content)
    top = Section(source, "", content, tuple(KEYS))
    sections = {key: Section(source, key, top.table.get(key, {}), keys) for key, keys in KEYS.items()}
    signals = read_signals(sections["data"])
    grid, table = read_grid(sections["grid"], sections["data"], home) if "grid" in top.table else (None, None)
    model = _model(sections, signals, grid)
    measured = read_measurements(sections["data"], model, signals, home, table)
    time = measured.train.time
    fit_options, options = _fit_options(sections["fit"]), read_search(sections["search"], model, time)
    return Spec(
        source=source,
        name=name,
        data=measured.train,
        heldout=measured.heldout,
        model=model,
        noise=measured.noise,
        options=options,
        fit_options=fit_options,
        derived=_derived(sections["derived"], model),
        warnings=(*measured.warnings, *search_warnings(model, options, time)),
        raw=resolved(sections, measured, model, fit_options, options),
    )


def _model(sections: dict[str, Section], signals: Signals, grid: Grid | None) -> HybridODE:
    source = sections["model"]
    equations = source.need("equations", str)
    observe = source.get("observe", dict, {})
    for name, text in observe.items():
        source.typed(text, str, f"observe.{name} in [model]")
    parameters = {n: _parameter(source.source, n, v) for n, v in sections["parameters"].table.items()}
    networks = {n: _network(source.source, n, v) for n, v in sections["networks"].table.items()}
    with source.naming():
        return HybridODE(
            equations,
            parameters,
            networks,
            sections["initial"].table,
            inputs=tuple(signals.inputs),
            covariates=tuple(signals.covariates),
            observe=observe,
            positive=source.texts("positive"),
            stays_zero=source.texts("stays_zero"),
            conserved=source.texts("conserved"),
            grid=grid,
        )


def _parameter(source: str, name: str, value) -> Parameter:
    where = f"parameters.{name}"
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = {"value": value}
    if not isinstance(value, Mapping):
        raise ModelError(
            f"{source}: {where} = {value!r} is not understood. Write a number to fix it, or "
            "{ start = 0.5, bounds = [0, 5] } to estimate it."
        )
    section = Section(source, where, value, PARAMETER_KEYS)
    for key, kind in (("unit", str), ("bounds", list), ("fixed", bool), ("prior", list)):
        section.get(key, kind)
    given = dict(value)
    if "value" in given:
        for key in ("start", "bounds", "fixed", "prior"):
            if key in given:
                raise section.refuse(f"[{where}] has both 'value', which fixes it, and {key!r}. Keep one.")
        given |= {"start": given.pop("value"), "fixed": True}
    with section.naming(f"[{where}] "):
        return Parameter(**given)


def _network(source: str, name: str, value) -> Network:
    section = Section(source, f"networks.{name}", value, NETWORK_KEYS)
    with section.naming(f"[{section.name}] "):
        return Network(**value)


def _derived(section: Section, model: HybridODE) -> dict[str, str]:
    for name, text in section.table.items():
        section.typed(text, str, f"{name} in [derived]")
    with section.naming("[derived] "):
        check_expressions(model, section.table)
    return dict(section.table)


def _fit_options(section: Section) -> FitOptions:
    within = Section(section.source, "fit.tolerances", section.get("tolerances", dict, {}), TOLERANCE_KEYS)
    tolerances = {f"{key}_tolerance": value for key, value in within.table.items()}
    simple = {key: section.table[key] for key in ("solver", "loss", "restarts", "device") if key in section.table}
    with section.naming("[fit] "):
        return FitOptions(stages=section.texts("stages"), **simple, **tolerances)
