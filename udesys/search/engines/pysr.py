"""PySR's multi-population evolutionary search, in Julia, in a process of its own.

What the search is asked is fixed by a seed and a number of iterations, so that it repeats itself unless it is cut
short by its time limit. Its own choice among what it found is not used: all candidates meet in one pool.

Source: Cranmer, Interpretable machine learning for science with PySR and SymbolicRegression.jl,
arXiv:2305.01582 (2023).
"""

from __future__ import annotations

import math
import tempfile

import numpy as np

from udesys.model import tree as T
from udesys.search._pysr import readiness
from udesys.search._pysr.language import from_julia, operators, to_julia, unit_to_julia, variable_names
from udesys.search._pysr.process import shared_worker
from udesys.search.candidate import Candidate, Front
from udesys.search.normal_form import to_candidate
from udesys.search.options import SearchOptions
from udesys.search.task import Task

NAME = "pysr"
TIME_LIMIT = 60.0  # seconds for one term once everything is compiled
ITERATIONS = 40  # of 31 populations; they end before the time limit where a term has some hundred points
MOST_POINTS = 1000  # beyond, PySR would compare formulas on batches
MOST_GUESSES = 10
SMALLEST_SIZE = 7  # nodes; PySR refuses less
DIMENSION_PENALTY = 1000.0  # on the loss of a formula whose units do not agree; the values are of size one


def ready() -> str:
    """Empty where the engine can run, else why not and what to do."""
    return readiness.trouble()


def propose(task: Task, options: SearchOptions, seed: int = 0) -> Front:
    """The formulas on PySR's front, in our normal form, best score first.

    Whatever goes wrong in its process, or takes too long, costs formulas and is said in the front's notes.

    Args:
        seed: repeats the search, as long as it ends before its time limit.
    """
    limit = TIME_LIMIT if options.time_limit is None else options.time_limit
    if not any(operators(options.operators)):
        return Front(task.term, (), _note(task, "PySR was given no operator. Name some with `operators`."))
    # Julia may still write into the folder while it ends.
    with tempfile.TemporaryDirectory(prefix="udesys-pysr-", ignore_cleanup_errors=True) as folder:
        regressor = regressor_arguments(task, options, seed, limit=limit, folder=folder)
        answer = shared_worker().search(regressor, fit_arguments(task, seed), limit)
    return Front(task.term, candidates(answer.equations, task), _note(task, answer.trouble))


def _note(task: Task, text: str) -> tuple[str, ...]:
    return (f"{task.term}: {text}",) if text else ()


def regressor_arguments(task: Task, options: SearchOptions, seed: int, *, limit: float, folder: str) -> dict:
    """Keyword arguments of `PySRRegressor`; every text in them that Julia evaluates is one of ours."""
    binary, unary = operators(options.operators)
    arguments = {
        "binary_operators": binary,
        "unary_operators": unary,
        "maxsize": max(SMALLEST_SIZE, options.grown_complexity),
        "niterations": ITERATIONS,
        "timeout_in_seconds": float(limit),
        "batching": False,
        "precision": 64,
        "deterministic": True,
        "parallelism": "serial",
        "random_state": seed % 2**32,
        "progress": False,
        "verbosity": 0,
        "input_stream": "devnull",
        "output_directory": folder,
        "run_id": "front",
    }
    if "^" in binary:
        arguments["constraints"] = {"^": (-1, 1)}  # an exponent is a number or an argument
    if _units(task):
        arguments["dimensional_constraint_penalty"] = DIMENSION_PENALTY
    scale = T.Number(1.0 / _scale(task))
    guesses = [to_julia(T.mul(scale, g), task.arguments, [*binary, *unary]) for g in task.guesses]
    guesses = [g for g in dict.fromkeys(guesses) if g is not None][:MOST_GUESSES]
    return arguments | ({"guesses": guesses} if guesses else {})


def fit_arguments(task: Task, seed: int = 0) -> dict:
    """Keyword arguments of `PySRRegressor.fit`: values of size one, and a chance few of very many points."""
    rows = np.arange(len(task.values))
    if len(rows) > MOST_POINTS:
        rows = np.sort(np.random.default_rng(seed).choice(rows, MOST_POINTS, replace=False))
    scale = _scale(task)
    return {
        "X": task.points[rows].tolist(),
        "y": (task.values[rows] / scale).tolist(),
        "weights": ((scale / task.std[rows]) ** 2).tolist(),
        "variable_names": variable_names(task.arguments),
        **_units(task),
    }


def _scale(task: Task) -> float:
    """A power of ten near the values' size: PySR's constants start near one, and its penalties are absolute."""
    size = math.sqrt(float(np.mean(task.values**2)))
    return 10.0 ** round(math.log10(size)) if size > 0 else 1.0


def _units(task: Task) -> dict:
    """Units for `fit`; none where one of an argument's is missing or unknown to Julia."""
    units = task.units
    known = [unit_to_julia(units[name]) if name in units else None for name in task.arguments]
    if not known or None in known:
        return {}
    own = unit_to_julia(units[task.term]) if task.term in units else None
    return {"X_units": known} | ({} if own is None else {"y_units": own})


def candidates(equations, task: Task) -> tuple[Candidate, ...]:
    """Formulas as Julia printed them, as candidates with equal forms merged, best score first."""
    best: dict[str, Candidate] = {}
    for text in dict.fromkeys(equations):
        tree = from_julia(text, task.arguments)
        candidate = None if tree is None else to_candidate(T.mul(T.Number(_scale(task)), tree), task, engine=NAME)
        if candidate is not None and (candidate.key not in best or candidate.score < best[candidate.key].score):
            best[candidate.key] = candidate
    return tuple(sorted(best.values(), key=lambda c: c.score))
