"""`Spec`: what a spec file says, read and checked."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from udesys.data import Dataset
from udesys.model import HybridODE, Network, Parameter
from udesys.search.options import SearchOptions

if TYPE_CHECKING:
    from udesys.spec.measurements import Measurements
    from udesys.spec.section import Section


@dataclass(frozen=True, kw_only=True)
class Spec:
    """A spec that has passed every check.

    Attributes:
        source: name of the file, or "spec".
        name: the file's name without its ending.
        data: the measurements to fit; its columns are states of the model.
        heldout: the measurements kept aside, or None.
        model: the hybrid.
        noise: state -> standard deviation of its measurements [data units], or None to estimate it.
        options: how formulas are searched for.
        warnings: what the user should know.
        raw: the spec fully resolved: every column, parameter, initial value and network written out.
    """

    source: str
    name: str
    data: Dataset
    heldout: Dataset | None
    model: HybridODE
    noise: dict[str, float] | None
    options: SearchOptions
    warnings: tuple[str, ...]
    raw: dict = field(repr=False)

    def with_engines(self, engines: Sequence[str]) -> Spec:
        """The same spec with other search engines.

        Args:
            engines: their names.

        Raises:
            SearchError: an engine is unknown or not ready.
        """
        from udesys.search import chosen_engines

        options = replace(self.options, engines=tuple(engines))
        chosen_engines(options)
        raw = {**self.raw, "search": {**self.raw["search"], "engines": list(engines)}}
        return replace(self, options=options, raw=raw)

    def to_toml(self, folder: str | Path | None = None) -> str:
        """The resolved spec as TOML, which `load_spec` reads back.

        Args:
            folder: the folder it is meant for; the data file is named relative to it.
        """
        import tomli_w

        file = self.raw["data"]["file"]
        if folder is not None:
            with contextlib.suppress(ValueError):  # another drive has no relative path
                file = Path(os.path.relpath(file, os.path.realpath(folder))).as_posix()
        return tomli_w.dumps({**self.raw, "data": {**self.raw["data"], "file": file}}, multiline_strings=True)

    def __str__(self) -> str:
        lines = [f"Spec  {self.source}", str(self.data)]
        unmeasured = [s for s in self.model.states if s not in self.data.columns]
        if unmeasured:
            lines.append(f"  unmeasured: {', '.join(unmeasured)}")
        if self.heldout is not None:
            runs = ", ".join(f"{run.name} ({len(run.t)})" for run in self.heldout.trajectories)
            lines.append(f"  held out: {self.heldout.n_samples} samples, by trajectory: {runs}")
        lines += ["Model", *(f"  {equation}" for equation in self.model.equation_of.values())]
        lines += _describe_parameters(self.model)
        lines += _describe_networks(self.model, sum(self.data.n_measured.values()))
        lines.append(f"Noise  {_describe_noise(self.noise, self.data)}")
        engines = ", ".join(self.options.engines) or "all engines that are ready"
        lines.append(f"Search  {engines}; formulas of at most {self.options.max_terms} terms")
        return "\n".join([*lines, *(f"Warning: {w}" for w in self.warnings)])


def resolved(section: Section, measured: Measurements, model: HybridODE, options: SearchOptions) -> dict:
    """The spec with everything written out, in the shape of the file."""
    keep = {key: section.table[key] for key in ("noise", "holdout") if key in section.table}
    data = {"file": Path(os.path.realpath(measured.path)).as_posix(), "time": section.table["time"]}
    data |= {"trajectory": section.table["trajectory"]} if "trajectory" in section.table else {}
    networks = {}
    for slot in model.slots:
        network = model.networks.get(slot.name, Network())
        networks[slot.name] = {"hidden": list(network.hidden)}
        networks[slot.name] |= {"activation": network.activation} if network.activation else {}
    library = {} if options.library.degree is None else {"degree": options.library.degree}
    library |= {"functions": list(options.library.functions), "terms": list(options.library.terms)}
    search = {"engines": list(options.engines), "max_terms": options.max_terms, "library": library}
    return {
        "data": {**data, "columns": measured.columns, **keep},
        "model": {"equations": model.text + "\n"},
        "parameters": {name: _resolved_parameter(p) for name, p in model.parameters.items()},
        "initial": dict(model.initial),
        "networks": networks,
        "search": search,
    }


def _resolved_parameter(parameter: Parameter) -> dict | float:
    unit = {"unit": parameter.unit} if parameter.unit else {}
    if parameter.fixed:
        return {"value": parameter.start, **unit} if unit else parameter.start
    start = {} if parameter.start is None else {"start": parameter.start}
    free = parameter.bounds == (-math.inf, math.inf)
    return start | ({} if free else {"bounds": list(parameter.bounds)}) | unit


# ------------------------------------------------------------------ the printed text
def _describe_parameters(model: HybridODE) -> list[str]:
    rows = []
    for name, p in model.parameters.items():
        unit = f" {p.unit}" if p.unit else ""
        if p.fixed:
            rows.append(f"  {name} = {p.start:g}{unit}, fixed")
            continue
        low, high = p.bounds
        bounds = "" if (low, high) == (-math.inf, math.inf) else f", between {low:g} and {high:g}"
        start = "start found by the fit" if p.start is None else f"start {p.start:g}{unit}"
        rows.append(f"  {name} estimated, {start}{bounds}")
    initial = [
        f"{s} = {v:g}" if isinstance(v, float) else f"{s} from the data"
        for s, v in model.initial.items()
        if v != "free"
    ]
    rest = "; others estimated" if len(initial) < len(model.states) else ""
    head = ["Parameters"] if rows else []
    return [*head, *rows, *([f"Initial  {', '.join(initial)}{rest}"] if initial else [])]


def _describe_networks(model: HybridODE, values: int) -> list[str]:
    from udesys.model.network import Layout

    rows, total = [], 0
    for slot in model.slots:
        network = model.networks.get(slot.name, Network())
        n = Layout((len(slot.arguments), *network.hidden, slot.n_outputs)).n_weights
        total += n
        hidden = "-".join(map(str, network.hidden))
        kind = network.activation or "activation chosen by the fit"
        rows.append(f"  {slot.name}({', '.join(slot.arguments)}): {hidden} hidden units, {kind}, {n} weights")
    if not rows:
        return ["Networks  none; only constants are estimated"]
    return [f"Networks  {total} weights, regularised, for {values} measured values", *rows]


def _describe_noise(noise: dict[str, float] | None, data: Dataset) -> str:
    if not noise:
        return "estimated from the data"
    given = ", ".join(f"{state} {sd:.4g}" for state, sd in noise.items())
    return given if len(noise) == len(data.columns) else f"{given}; others estimated from the data"
