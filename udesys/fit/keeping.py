"""A fit as arrays and plain values, and back: what a run directory keeps of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields

import numpy as np

from udesys.data import Dataset
from udesys.fit.fields import gauged
from udesys.fit.inward import inward
from udesys.fit.options import FitOptions
from udesys.fit.problem import ShootingProblem
from udesys.fit.profiles_on_grid import runs_of_data, with_operators, without_operators
from udesys.fit.result import FitResult, residual_terms
from udesys.fit.unknowns import StageReport, Unknowns
from udesys.model import HybridODE
from udesys.model.field import HybridField, NetworkScale

_SCALE_PARTS = tuple(part.name for part in fields(NetworkScale))
_PLAIN_UNKNOWNS = ("loss", "effective")
_MADE_AGAIN = ("model", "data", "states", "terms", "problem", "unknowns")


def taken_apart(fit: FitResult) -> tuple[dict[str, np.ndarray], dict]:
    """Everything in a fit that its model and its data do not tell.

    Args:
        fit: the fit.

    Returns:
        Arrays by name (the unknowns, the substeps, the scales around each network), and plain values for JSON.
    """
    problem, unknowns = fit.problem, fit.unknowns
    arrays = {"substeps": problem.substeps, "parameter_scale": problem.field.parameter_scale}
    for entry in fields(Unknowns):
        value = getattr(unknowns, entry.name)
        if isinstance(value, np.ndarray):
            arrays[entry.name] = value
    for slot, scale in zip(fit.model.slots, problem.field.scales, strict=True):
        arrays |= {f"{slot.name}.{part}": getattr(scale, part) for part in _SCALE_PARTS}
    plain = {entry.name: getattr(fit, entry.name) for entry in fields(FitResult) if entry.name not in _MADE_AGAIN}
    plain["stages"] = [asdict(stage) for stage in fit.stages]
    plain["options"] = asdict(fit.options)
    plain["device"] = problem.device
    plain["held"] = list(fit.model.invariants.held)
    plain["unknowns"] = {name: getattr(unknowns, name) for name in _PLAIN_UNKNOWNS}
    layouts = zip(fit.model.slots, problem.field.layouts, strict=True)
    plain["networks"] = {
        slot.name: {"sizes": [int(n) for n in layout.sizes], "activation": layout.activation}
        for slot, layout in layouts
    }
    return arrays, plain


def put_together(model: HybridODE, data: Dataset, arrays: Mapping[str, np.ndarray], plain: Mapping) -> FitResult:
    """The fit that was taken apart, to the last bit.

    Args:
        model: what was fitted.
        data: to what.
        arrays, plain: from `taken_apart`.

    Raises:
        KeyError, TypeError, ValueError: they are no fit of this model to these data.
    """
    known = {e.name: np.array(arrays[e.name]) for e in fields(Unknowns) if e.name in arrays}
    model = inward(model, data) if plain.get("held") else model  # older versions held none
    model, data = gauged(model, data), _along_grid(model, data, known["nodes"])
    problem = _problem(model, data, arrays, plain)
    unknowns = Unknowns(**known, **{name: plain["unknowns"][name] for name in _PLAIN_UNKNOWNS})
    if unknowns.nodes.shape != (problem.n_nodes, problem.d) or unknowns.theta.shape != (problem.field.n_theta,):
        raise ValueError(f"nodes {unknowns.nodes.shape} and theta {unknowns.theta.shape} are of another problem")
    plain = {"options": {}, "steps": (), **plain}  # which older versions did not keep
    kept = {e.name: plain[e.name] for e in fields(FitResult) if e.name not in _MADE_AGAIN}
    kept["options"] = FitOptions(**kept["options"])
    kept["parameters"] = {name: tuple(pair) for name, pair in kept["parameters"].items()}
    kept["stages"] = tuple(StageReport(**{**stage, "notes": tuple(stage["notes"])}) for stage in kept["stages"])
    kept |= {name: tuple(kept[name]) for name in ("given_noise", "warnings")}
    kept["steps"] = tuple(np.array(steps, dtype=np.int64) for steps in kept["steps"])
    return FitResult(
        **kept,
        model=model,
        data=data,
        states=tuple(unknowns.nodes[a:b].copy() for a, b in zip(*problem.segments, strict=True)),
        terms=residual_terms(problem, unknowns),
        problem=problem,
        unknowns=unknowns,
    )


def _along_grid(model: HybridODE, data: Dataset, nodes: np.ndarray) -> Dataset:
    """The data, of fields with the operators along the fitted ones as inputs, as the fit leaves them."""
    if model.grid is None:
        return data
    data = without_operators(model, data)
    return with_operators(model, data, [nodes[run.rows] for run in runs_of_data(model, data)])


def _problem(model, data, arrays, plain) -> ShootingProblem:
    networks = plain["networks"]
    field = HybridField(model, {name: network["activation"] for name, network in networks.items()})
    for slot, layout in zip(model.slots, field.layouts, strict=True):
        if list(layout.sizes) != networks[slot.name]["sizes"]:
            raise ValueError(f"network {slot.name} has sizes {list(layout.sizes)}")
    field.scales = [NetworkScale(*(np.array(arrays[f"{s.name}.{p}"]) for p in _SCALE_PARTS)) for s in model.slots]
    problem = ShootingProblem(model, data, field, method=plain["method"], device=plain["device"])
    problem.substeps = np.array(arrays["substeps"])
    return problem
