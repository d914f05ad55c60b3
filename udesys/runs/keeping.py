"""A fit, a law and what was asked, as files of a run directory and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from fractions import Fraction

import numpy as np

from udesys.assess.covariance import Covariance
from udesys.assess.derived import Quantity
from udesys.assess.diagnostics import Diagnostics, ResidualCheck
from udesys.assess.discovery import Discovery, RankedModel, Residual
from udesys.assess.estimate import Estimate
from udesys.assess.footing import Footing, Rival
from udesys.assess.identifiability import LawIdentifiability
from udesys.assess.profile import Profile
from udesys.assess.suggest.suggestions import Suggestions
from udesys.assess.support import Support
from udesys.data import Dataset, Trajectory
from udesys.fit import FitResult
from udesys.fit.fields import gauged
from udesys.fit.inward import inward
from udesys.fit.keeping import put_together, taken_apart
from udesys.model import Grid, HybridODE, Network, Parameter
from udesys.model import tree as T
from udesys.model.closed_form import ClosedForm, Formula
from udesys.model.plain import from_plain, to_plain
from udesys.runs.files import from_exact_json, to_exact_json, to_json
from udesys.runs.manifest import FIT, WEIGHTS
from udesys.search.knowledge import TermKnowledge
from udesys.search.library import Library
from udesys.search.measurements import Measurements
from udesys.search.options import SearchOptions
from udesys.search.prior import Prior

LAW, ARRAYS = "law.json", "law.safetensors"
QUESTION, DATA = "question.json", "data.safetensors"
EXACT = 17  # digits that tell every number from every other
_COVARIANCES = tuple(part.name for part in fields(Covariance))
_MEASUREMENTS = tuple(f.name for f in fields(Measurements) if f.init and f.name not in ("segments", "stiff"))
_RESIDUALS = ("t", "closed", "hybrid")  # arrays of the diagnostics
_FOOTING = ("nodes", "steps", "x0", "measured_noise")
_AS_THEY_ARE = ("seed", "status", "initial", "noise", "error", "visited", "timing_s", "simpler_criterion")


# ------------------------------------------------------------------ the fit
def fit_files(fit: FitResult) -> dict[str, bytes | str]:
    """The files that keep a fit: its weights, and what was found.

    Args:
        fit: the fit.
    """
    arrays, plain = taken_apart(fit)
    about = {
        "equations": fit.model.text,
        "states": list(fit.model.states),
        "parameters": list(fit.problem.field.parameters),
        "networks": plain["networks"],
        "trajectories": [run.name for run in fit.data.trajectories],
        "method": fit.method,
        "inputs": list(fit.model.inputs),
        "covariates": list(fit.model.covariates),
        "observables": list(fit.model.observe),
    }
    arrays |= {"t": fit.problem.t, "first": fit.problem.first}
    return {FIT: to_exact_json(plain), WEIGHTS: _tensors(arrays, about)}


def fit_of(model: HybridODE, data: Dataset, plain: bytes, weights: bytes) -> FitResult:
    """The fit from its two files.

    Raises:
        KeyError, TypeError, ValueError: they are no fit of this model to these data.
    """
    return put_together(model, data, _arrays(weights), from_exact_json(plain))


# ------------------------------------------------------------------ the law
def law_files(law: Discovery) -> dict[str, bytes | str]:
    """The files from which a law can be had again, beside what was asked and its fit.

    Args:
        law: what was discovered.
    """
    plain = {name: getattr(law, name) for name in _AS_THEY_ARE}
    plain |= {
        **_form_plain(law.closed_form),
        "rivals": [{**_form_plain(r.closed_form), "criterion": r.criterion} for r in law.rivals],
        "degrees": None if law.footing is None else law.footing.degrees,
        "residuals": {
            term: {"expression": r.expression, "constants": {c: asdict(e) for c, e in r.constants.items()}}
            for term, r in law.residuals.items()
        },
        "parameters": {name: asdict(e) for name, e in law.parameters.items()},
        **({} if law.identifiability is None else {"identifiability": law.identifiability.to_dict()}),
        "quantities": {name: asdict(q) for name, q in law.quantities.items()},
        "profiles": {name: asdict(p) for name, p in law.profiles.items()},
        "suggestions": None if law.suggestions is None else law.suggestions.to_dict(),
        "support": None if law.support is None else law.support.to_dict(),
        "options": None if law.options is None else asdict(law.options),
        "diagnostics": None if law.diagnostics is None else _diagnostics_plain(law.diagnostics),
        "noise_profile": law.noise_profile,
        "simpler": [[name, str(value)] for name, value in law.simpler.items()],
        "candidates": [asdict(c) for c in law.candidates],
        "warnings": law.warnings,
        "engines": law.engines,
        "idle_engines": law.idle_engines,
    }
    parts = {} if law.covariance is None else {name: getattr(law.covariance, name) for name in _COVARIANCES}
    arrays = {name: part for name, part in parts.items() if part is not None}
    arrays |= {} if law.footing is None else _footing_arrays(law.footing)
    if law.diagnostics is not None:
        arrays |= {f"residuals.{name}": getattr(law.diagnostics, name) for name in _RESIDUALS}
    arrays |= {f"rival.{k}.x0": rival.x0 for k, rival in enumerate(law.rivals)}
    return {LAW: to_exact_json(plain), **({ARRAYS: _tensors(arrays)} if arrays else {})}


def _diagnostics_plain(found: Diagnostics) -> dict:
    plain = {f.name: getattr(found, f.name) for f in fields(Diagnostics) if f.name not in _RESIDUALS}
    return plain | {name: [asdict(check) for check in plain[name]] for name in ("checks", "pooled")}


def _diagnostics(kept: Mapping | None, arrays: Mapping[str, np.ndarray]) -> Diagnostics | None:
    if kept is None:
        return None
    lists = {name: tuple(value) if isinstance(value, list) else value for name, value in kept.items()}
    checks = {name: tuple(ResidualCheck(**c) for c in kept[name]) for name in ("checks", "pooled")}
    return Diagnostics(**{**lists, **checks}, **{name: arrays[f"residuals.{name}"] for name in _RESIDUALS})


def _form_plain(form: ClosedForm) -> dict:
    formulas = {
        term: {"tree": to_plain(f.tree), "constants": dict(f.constants)} for term, f in form.formulas.items()
    }  # fmt: skip
    return {"formulas": formulas, "values": form.parameters, **({"stiff": True} if form.stiff else {})}


def _form(model: HybridODE, kept: Mapping) -> ClosedForm:
    formulas = {term: Formula(from_plain(f["tree"]), f["constants"]) for term, f in kept["formulas"].items()}
    return ClosedForm(model, formulas, kept["values"], stiff=kept.get("stiff", False))


def _footing_arrays(footing: Footing) -> dict[str, np.ndarray]:
    data = footing.data
    arrays = {f"data.{name}": getattr(data, name) for name in _MEASUREMENTS if getattr(data, name) is not None}
    arrays |= {f"data.segments.{k}": ends for k, ends in enumerate(data.segments)}
    return arrays | {f"footing.{name}": getattr(footing, name) for name in _FOOTING}


def _footing(arrays: Mapping[str, np.ndarray], degrees: float, *, stiff: bool) -> Footing | None:
    if "footing.nodes" not in arrays:
        return None
    data = Measurements(
        **{name: arrays.get(f"data.{name}") for name in _MEASUREMENTS},
        segments=(arrays["data.segments.0"], arrays["data.segments.1"]),
        stiff=stiff,
    )
    return Footing(data=data, degrees=degrees, **{name: arrays[f"footing.{name}"] for name in _FOOTING})


def law_of(
    model: HybridODE,
    data: Dataset,
    heldout: Dataset | None,
    fit: FitResult | None,
    plain: bytes,
    tensors: bytes | None,
) -> Discovery:
    """The law from its files.

    Raises:
        KeyError, TypeError, ValueError, ModelError: they are no law of this model.
    """
    kept, arrays = from_exact_json(plain), {} if tensors is None else _arrays(tensors)
    model = gauged(inward(model, data), data)
    form = _form(model, kept)
    residuals = {
        term: Residual(
            expression=r["expression"], constants={c: _estimate(e) for c, e in r["constants"].items()}
        )
        for term, r in kept["residuals"].items()
    }  # fmt: skip
    rivals = tuple(
        Rival(closed_form=_form(model, r), x0=arrays[f"rival.{k}.x0"], criterion=r["criterion"])
        for k, r in enumerate(kept.get("rivals", ()))
    )
    return Discovery(
        **{name: kept[name] for name in _AS_THEY_ARE if name != "visited"},
        visited={name: tuple(ends) for name, ends in kept["visited"].items()},
        model=model,
        data=data,
        heldout=heldout,
        closed_form=form,
        residuals=residuals,
        parameters={name: _estimate(e) for name, e in kept["parameters"].items()},
        identifiability=_identifiability(kept.get("identifiability")),
        quantities={name: _quantity(q) for name, q in kept.get("quantities", {}).items()},
        profiles={name: _profile(p) for name, p in kept.get("profiles", {}).items()},
        suggestions=Suggestions.from_dict(kept["suggestions"]) if kept.get("suggestions") else None,
        support=Support.from_dict(kept["support"]) if kept.get("support") else None,
        options=_options(kept["options"]) if kept.get("options") else None,
        diagnostics=_diagnostics(kept.get("diagnostics"), arrays),
        noise_profile={name: tuple(parts) for name, parts in kept["noise_profile"].items()},
        simpler={tuple(n) if isinstance(n, list) else n: Fraction(value) for n, value in kept["simpler"]},
        candidates=tuple(RankedModel(**c) for c in kept["candidates"]),
        warnings=tuple(kept["warnings"]),
        engines=tuple(kept["engines"]),
        idle_engines=tuple(kept["idle_engines"]),
        covariance=Covariance(**{n: arrays[n] for n in _COVARIANCES if n in arrays}) if "values" in arrays else None,
        fit=fit,
        footing=_footing(arrays, kept.get("degrees"), stiff=form.stiff),
        rivals=rivals,
    )


def _identifiability(plain: Mapping | None) -> LawIdentifiability | None:
    return None if plain is None else LawIdentifiability.from_dict(plain)


def _estimate(plain: Mapping) -> Estimate:
    return replace(Estimate(**plain), interval=tuple(plain["interval"]))


def _quantity(plain: Mapping) -> Quantity:
    return Quantity(expression=plain["expression"], estimate=_estimate(plain["estimate"]))


def _options(plain: Mapping) -> SearchOptions:
    parts = {"library": Library(**plain["library"]), "prior": Prior(**plain["prior"])}
    terms = {term: TermKnowledge(**known) for term, known in plain["terms"].items()}
    return SearchOptions(**{**plain, **parts, "terms": terms})


def _profile(plain: Mapping) -> Profile:
    return Profile(**{name: tuple(value) if isinstance(value, list) else value for name, value in plain.items()})


# ------------------------------------------------------------------ what was asked, where no spec file says it
def question_files(model: HybridODE, data: Dataset, heldout: Dataset | None) -> dict[str, bytes | str]:
    """The model and the measurements of a law that was asked for in Python.

    Args:
        model, data, heldout: as of a Discovery.
    """
    plain = {
        "model": {
            "equations": model.text,
            "parameters": {name: asdict(p) for name, p in model.parameters.items()},
            "networks": {name: asdict(n) for name, n in model.networks.items()},
            "initial": dict(model.initial),
            "inputs": model.inputs,
            "covariates": model.covariates,
            "observe": {name: T.to_text(tree, EXACT) for name, tree in model.observe.items()},
            "positive": model.positive,
            **{key: kept for key in ("stays_zero", "conserved") if (kept := getattr(model, key))},
            **({} if model.grid is None else {"grid": {f.name: getattr(model.grid, f.name) for f in fields(Grid)}}),
        }
    }
    arrays = {}
    for part, dataset in (("data", data), ("heldout", heldout)):
        plain[part] = None if dataset is None else _described(dataset)
        for k, run in enumerate(() if dataset is None else dataset.trajectories):
            arrays |= {f"{part}.{k}.{name}": getattr(run, name) for name in ("t", "y", "u", "covariates")}
    return {QUESTION: to_exact_json(plain), DATA: _tensors(arrays)}


def question_of(plain: bytes, tensors: bytes) -> tuple[HybridODE, Dataset, Dataset | None]:
    """The model, the data and the held-out data from their files.

    Raises:
        KeyError, TypeError, ValueError, UdesysError: they are not what was written.
    """
    kept, arrays = from_exact_json(plain), _arrays(tensors)
    asked = dict(kept["model"])
    parameters = {name: Parameter(**p) for name, p in asked.pop("parameters").items()}
    networks = {name: Network(**n) for name, n in asked.pop("networks").items()}
    if "grid" in asked:
        asked["grid"] = Grid(**asked["grid"])
    model = HybridODE(asked.pop("equations"), parameters, networks, asked.pop("initial"), **asked)
    return model, *(_dataset(kept[part], arrays, part) for part in ("data", "heldout"))


def _described(data: Dataset) -> dict:
    plain = {name: getattr(data, name) for name in ("columns", "time", "source", "sha256", "inputs", "covariates")}
    plain |= {"position": data.position} if data.position else {}
    return {**plain, "trajectories": [run.name for run in data.trajectories]}


def _dataset(plain: Mapping | None, arrays: Mapping, part: str) -> Dataset | None:
    if plain is None:
        return None
    runs = tuple(
        Trajectory(name=name, **{key: arrays[f"{part}.{k}.{key}"] for key in ("t", "y", "u", "covariates")})
        for k, name in enumerate(plain["trajectories"])
    )
    return Dataset(**{**plain, "trajectories": runs})


# ------------------------------------------------------------------ tensors
def _tensors(arrays: Mapping[str, np.ndarray], about: Mapping | None = None) -> bytes:
    from safetensors.numpy import save

    # One entry of metadata: the library writes several in no fixed order.
    metadata = {} if about is None else {"udesys": to_json(about)}
    return save({name: np.ascontiguousarray(value) for name, value in arrays.items()}, metadata)


def _arrays(content: bytes) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        return load(content)
    except SafetensorError as error:
        raise ValueError(str(error)) from error
