"""What is said of fields on a grid: how many points, what a learned stencil is, and initial values run by run."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from udesys.assess.field_runs import runs_in
from udesys.assess.layout import wrapped
from udesys.model import HybridODE
from udesys.model import tree as T
from udesys.model.grid import STENCIL, coefficient_names


@dataclass(frozen=True)
class RunCheck:
    """Residuals of a column in one run of fields, all points together.

    Attributes:
        column: measured.
        trajectory: the run's name.
        n: measurements.
        rmse, hybrid_rmse: of the closed form and of the hybrid [data units].
        outliers: residuals beyond what the largest of normal noise is.
    """

    column: str
    trajectory: str
    n: int
    rmse: float
    hybrid_rmse: float
    outliers: int


def grid_lines(law) -> list[str]:
    """On which points the fields are.

    Args:
        law: a Discovery of a model with a grid.
    """
    return wrapped("Fields on ", f"{law.model.grid}.")


def stencils(law) -> dict[str, dict]:
    """field -> its learned stencil: the coefficients `beta1`, `beta2` and `beta3`, and the three weights `theta`.

    Args:
        law: a Discovery.
    """
    model, found = law.model, {}
    if model.grid is None or not re.search(rf"\b{STENCIL}\(", model.text):
        return found
    for field in model.states:
        names = coefficient_names(field)
        if all(name in law.parameters for name in names):
            values = [law.parameters[name].value for name in names]
            found[field] = {"names": names, "values": values, "theta": model.grid.stencil(*values).tolist()}
    return found


def stencil_lines(law) -> list[str]:
    """Every learned stencil, in printed lines.

    Args:
        law: a Discovery of a model with a grid.
    """
    return [line for text in stencil_sentences(law) for line in wrapped("Stencil  ", text)]


def stencil_sentences(law) -> list[str]:
    """Of every learned stencil what its coefficients are of, and its weights.

    Args:
        law: a Discovery.
    """
    sentences = []
    for field, found in stencils(law).items():
        one, two, three = found["names"]
        h, weights = law.model.grid.spacing, ", ".join(f"{w:.4g}" for w in found["theta"])
        sentences.append(
            f"{STENCIL}({field}) = {one}*mean3({field}) + {two}*dx({field}) - {three}*dxx({field}), where mean3 "
            f"is (1, 2, 1)/4, dx is (-1, 0, 1)/(2 h), -dxx is (-1, 2, -1)/h^2 and h = {h:.6g}: diffusion is -{three} = "
            f"{-found['values'][2]:.4g}. Weights theta = ({weights})."
        )
    return sentences


def operators_of_terms(model: HybridODE) -> frozenset[str]:
    """The operators along the grid that missing terms depend on.

    Args:
        model: with a grid or without one.
    """
    arguments = (argument for slot in model.slots for call in slot.calls for argument in call.args)
    return frozenset(part.name for part in model.spatial) & {name for a in arguments for name in T.symbols(a)}


def visited_shown(law) -> dict[str, tuple[float, float]]:
    """The ranges that the data visited, without operators along the grid that no missing term depends on.

    Args:
        law: a Discovery.
    """
    hidden = {part.name for part in law.model.spatial} - operators_of_terms(law.model)
    return {name: ends for name, ends in law.visited.items() if name not in hidden}


# ------------------------------------------------------------------ result.json
def grid_plain(law) -> dict:
    """Plain values for JSON: the grid and the learned stencils.

    Args:
        law: a Discovery of a model with a grid.
    """
    grid = law.model.grid
    found = {
        field: {**dict(zip(stencil["names"], stencil["values"], strict=True)), "theta": stencil["theta"]}
        for field, stencil in stencils(law).items()
    }
    ends = {field: grid.ends_of(field) for field in law.model.states}
    named = {"position": grid.name, "points": list(grid.points), "ends": ends}
    return {"grid": named, **({"stencils": found} if found else {})}


def initial_plain(law) -> dict:
    """run -> field -> (n,) initial values and their standard errors, for JSON.

    Args:
        law: a Discovery of a model with a grid.
    """
    estimates = list(law.initial_estimates.values())
    values, errors = {}, {}
    for run, at in runs_in(law.model, law.data).items():
        values[run] = {s: [point[s].value for point in estimates[at]] for s in law.model.states}
        errors[run] = {s: [point[s].stderr for point in estimates[at]] for s in law.model.states}
    return {"initial": values, "initial_stderr": errors}


def checks_plain(law) -> list[dict]:
    """Residuals of every column and run, for JSON.

    Args:
        law: a Discovery of a model with a grid and with diagnostics.
    """
    return [vars(check) for check in run_checks(law)]


def run_checks(law) -> list[RunCheck]:
    """Of every column and run, how many residuals there are, their RMSE beside the hybrid's, and outliers.

    Args:
        law: a Discovery of a model with a grid and with diagnostics.
    """
    found, n = [], len(law.data.trajectories)
    for j, column in enumerate(law.data.columns):
        own = law.diagnostics.checks[j * n : (j + 1) * n]
        for run, at in runs_in(law.model, law.data).items():
            counts = np.array([check.n for check in own[at]], dtype=float)
            errors = (_rms(counts, [getattr(c, name) for c in own[at]]) for name in ("rmse", "hybrid_rmse"))
            outliers = sum(check.outliers for check in own[at])
            found.append(RunCheck(column, run, int(counts.sum()), *errors, outliers))
    return found


def _rms(counts: np.ndarray, errors: list[float]) -> float:
    seen = counts > 0
    squares = np.square(np.array(errors, dtype=float)[seen])
    return float(np.sqrt(counts[seen] @ squares / counts.sum())) if seen.any() else float("nan")
