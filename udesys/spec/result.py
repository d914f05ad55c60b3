"""`Spec`: what a spec file says, read and checked."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from udesys.data import Dataset
from udesys.fit.inward import inward
from udesys.fit.options import FitOptions
from udesys.model import HybridODE, Network, Parameter
from udesys.model import tree as T
from udesys.model.invariants import describe
from udesys.search.options import SearchOptions
from udesys.spec.grid import resolved_grid
from udesys.spec.search import describe_search, resolved_search

if TYPE_CHECKING:
    from udesys.spec.measurements import Measurements
    from udesys.spec.section import Section


@dataclass(frozen=True, kw_only=True)
class Spec:
    """A spec that has passed every check.

    Attributes:
        source: name of the file, or "spec".
        name: the file's name without its ending.
        data: the measurements to fit; its columns are states and observables of the model.
        heldout: the measurements kept aside, or None.
        model: the hybrid.
        noise: column -> standard deviation of its noise [data units], or None to estimate it.
        options: how formulas are searched for.
        fit_options: how the hybrid is fitted.
        derived: name -> expression of the law's constants that is asked for.
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
    fit_options: FitOptions
    derived: dict[str, str]
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

    def to_dict(self) -> dict:
        """What was understood, as plain values for JSON."""
        return {
            "source": self.source,
            "states": list(self.model.states),
            "terms": list(self.model.terms),
            "estimated": list(self.model.estimated),
            "measured": self.data.n_measured,
            "trajectories": _lengths(self.data),
            "heldout": {} if self.heldout is None else _lengths(self.heldout),
            "warnings": list(self.warnings),
            "data_sha256": self.data.sha256,
            "spec": self.raw,
        }

    def __str__(self) -> str:
        lines = [f"Spec  {self.source}", str(self.data)]
        unmeasured = [s for s in self.model.states if s not in self.data.columns]
        if unmeasured:
            lines.append(f"  unmeasured: {', '.join(unmeasured)}")
        if self.heldout is not None:
            runs = ", ".join(f"{name} ({n})" for name, n in _lengths(self.heldout).items())
            each = "times of each run" if self.heldout.position else "by trajectory"
            lines.append(f"  held out: {self.heldout.n_samples} samples, {each}: {runs}")
        lines += ["Model", *(f"  {equation}" for equation in self.model.equation_of.values())]
        lines += [f"  {name} = {T.to_text(tree)}, measured" for name, tree in self.model.observe.items()]
        lines += [] if self.model.grid is None else [f"  fields on {self.model.grid}"]
        if self.model.positive:
            lines.append(f"  never below zero: {', '.join(self.model.positive)}")
        kept = inward(self.model, self.data).invariants
        lines += [f"  {line}" for line in describe(kept, self.model.stays_zero, self.model.conserved)]
        lines += _describe_parameters(self.model)
        lines += _describe_networks(self.model, sum(self.data.n_measured.values()))
        lines.append(f"Noise  {_describe_noise(self.noise, self.data)}")
        lines.append(f"Fit  {_describe_fit(self.fit_options)}")
        lines += describe_search(self.options)
        lines += ["Derived", *(f"  {name} = {text}" for name, text in self.derived.items())] if self.derived else []
        return "\n".join([*lines, *(f"Warning: {w}" for w in self.warnings)])


def resolved(
    sections: Mapping[str, Section],
    measured: Measurements,
    model: HybridODE,
    fit_options: FitOptions,
    options: SearchOptions,
) -> dict:
    """The spec with everything written out, in the shape of the file."""
    networks = {}
    for slot in model.slots:
        network = model.networks.get(slot.name, Network())
        networks[slot.name] = {"hidden": list(network.hidden)}
        networks[slot.name] |= {"activation": network.activation} if network.activation else {}
        networks[slot.name] |= {} if network.products else {"products": False}
    return {
        "data": _resolved_data(sections["data"].table, measured),
        "model": _resolved_model(sections["model"].table, model),
        **({} if model.grid is None else {"grid": resolved_grid(model.grid)}),
        "parameters": {name: _resolved_parameter(p) for name, p in model.parameters.items()},
        "initial": dict(model.initial),
        "networks": networks,
        "fit": _resolved_fit(fit_options),
        "search": resolved_search(options),
        **({"derived": dict(sections["derived"].table)} if sections["derived"].table else {}),
    }


def _lengths(data: Dataset) -> dict[str, int]:
    """Run -> its number of times."""
    return {name: len(parts[0].t) for name, parts in data.runs.items()}


def _resolved_data(table: Mapping, measured: Measurements) -> dict:
    data = {"file": Path(os.path.realpath(measured.path)).as_posix(), "time": table["time"]}
    data |= {"trajectory": table["trajectory"]} if "trajectory" in table else {}
    data["columns"] = measured.columns
    if measured.signals.inputs:
        data["inputs"] = {name: asdict(entry) for name, entry in measured.signals.inputs.items()}
    if measured.signals.covariates:
        data["covariates"] = measured.signals.covariates
    return data | {key: table[key] for key in ("noise", "holdout") if key in table}


def _resolved_model(table: Mapping, model: HybridODE) -> dict:
    made: dict = {"equations": model.text + "\n"}
    if model.observe:
        made["observe"] = {name: table["observe"][name] for name in model.observe}
    kept = {key: list(getattr(model, key)) for key in ("positive", "stays_zero", "conserved")}
    return made | {key: names for key, names in kept.items() if names}


def _resolved_fit(options: FitOptions) -> dict:
    made = {"stages": list(options.stages), "solver": options.solver, "loss": options.loss}
    made |= {} if options.restarts is None else {"restarts": options.restarts}
    return made | {
        "device": options.device,
        "tolerances": {"flow": options.flow_tolerance, "gain": options.gain_tolerance},
    }


def _resolved_parameter(parameter: Parameter) -> dict | float:
    unit = {"unit": parameter.unit} if parameter.unit else {}
    if parameter.fixed:
        return {"value": parameter.start, **unit} if unit else parameter.start
    start = {} if parameter.start is None else {"start": parameter.start}
    free = parameter.bounds == (-math.inf, math.inf)
    prior = {"prior": list(parameter.prior)} if parameter.prior else {}
    return start | ({} if free else {"bounds": list(parameter.bounds)}) | unit | prior


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
        start = "start found by the fit" if p.start is None and p.prior is None else f"start {p.guess:g}{unit}"
        prior = f", prior {p.prior[0]:g} +/- {p.prior[1]:g}" if p.prior else ""
        rows.append(f"  {name} estimated, {start}{bounds}{prior}")
    initial = [
        f"{s} = {v:g}" if isinstance(v, float) else f"{s} from the data"
        for s, v in model.initial.items()
        if v != "free"
    ]
    rest = "; others estimated" if len(initial) < len(model.states) else ""
    head = ["Parameters"] if rows else []
    return [*head, *rows, *([f"Initial  {', '.join(initial)}{rest}"] if initial else [])]


def _describe_networks(model: HybridODE, values: int) -> list[str]:
    from udesys.model.network import Layout, product_pairs

    rows, total = [], 0
    for slot in model.slots:
        network = model.networks.get(slot.name, Network())
        n_in = len(slot.arguments)
        n_in += len(product_pairs(n_in, network.products))
        n = Layout((n_in, *network.hidden, slot.n_outputs)).n_weights
        total += n
        hidden = "-".join(map(str, network.hidden))
        kind = network.activation or "activation chosen by the fit"
        rows.append(f"  {slot.name}({', '.join(slot.arguments)}): {hidden} hidden units, {kind}, {n} weights")
    if not rows:
        return ["Networks  none; only constants are estimated"]
    return [f"Networks  {total} weights, regularised, for {values} measured values", *rows]


def _describe_fit(options: FitOptions) -> str:
    """What was asked for, where it is not what the fit does anyway."""
    plain, said = FitOptions(), []
    if options.stages:
        said.append(f"stages {', '.join(options.stages)}")
    said += [f"{key} {getattr(options, key)}" for key in ("solver", "loss") if getattr(options, key) != "auto"]
    if options.restarts is not None:
        said.append("1 restart" if options.restarts == 1 else f"{options.restarts} restarts")
    if options.device != plain.device:
        said.append(f"on {options.device}")
    for key in ("flow", "gain"):
        value = getattr(options, f"{key}_tolerance")
        if value != getattr(plain, f"{key}_tolerance"):
            said.append(f"{key} tolerance {value:g}")
    return "; ".join(said) or "stages, solver, loss and restarts chosen by the fit"


def _describe_noise(noise: dict[str, float] | None, data: Dataset) -> str:
    if not noise:
        return "estimated from the data"
    given = ", ".join(f"{name} {sd:.4g}" for name, sd in noise.items())
    return given if len(noise) == len(data.columns) else f"{given}; others estimated from the data"
