"""Best-subset regression over a library of terms: every small sum is tried.

The library's columns are carried through the task's response to the raw data, orthogonalised against what the
known law explains, and all subsets of up to three plain terms are solved at once from their Gram matrix; larger ones
grow from the best by one term at a time. Templates stand beside the plain terms at every value of their grids, and
the best of these sums are refined by variable projection. Nothing is thresholded and nothing is greedy where it
matters.

Source: Hocking & Leslie, Technometrics 9 (1967) 531 (best subsets); Messenger & Bortz, Multiscale Model.
Simul. 19 (2021) 1474 (weak form).
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from udesys.errors import SearchError
from udesys.model import tree as T
from udesys.model.program import Program
from udesys.search.candidate import Candidate, Front, make_candidate
from udesys.search.options import SearchOptions
from udesys.search.prior import term_length
from udesys.search.projection import project, scored
from udesys.search.subsets import GridColumns, PlainSubsets, TemplateSubsets
from udesys.search.task import Task
from udesys.search.templates import Template

NAME = "sparse"
LINEARISED = True  # works on the response to the raw data, so it can propose again about a law
KEPT_SINGLE, KEPT = 24, 8  # sums of plain terms handed on of one term, and of each larger size
REFINED, KEPT_WITH_TEMPLATE = 20, 10  # sums with a template that are refined, and handed on, of each size
PATIENCE = 2  # sizes without a gain after which larger sums are not tried
LARGEST = 1e100  # of a column, beyond which it is of no use
SAME = 1e-7  # relative difference of two sums of squares that are the same fit


def ready() -> str:
    """Empty where the engine can run, else why not and what to do."""
    return ""


def propose(task: Task, options: SearchOptions, seed: int = 0) -> Front:
    """The best sums of library terms, a few of each size.

    Args:
        seed: not used; the search is exhaustive or deterministic.

    Raises:
        SearchError: no library term can be evaluated on the task's points, or none shows in the data.
    """
    if not len(task.response.target):
        raise SearchError(f"{task.term} does not show in the measurements about this law.")
    terms = task.allowed(options.library.for_arguments(task.arguments, task.points))
    terms, columns = _evaluate(terms, task)
    zero = frozenset().union(*(where.arguments for where in task.vanishing))
    templates = options.library.templates_for(task.arguments, task.points, task.taken, zero)
    templates = task.allowed(templates, lambda template: template.tree)
    if not terms and not templates:
        raise SearchError(f"{task.term}: no library term is finite where the data went. Extend the library.")
    scale = np.abs(columns).max(0)  # x**4 may be 1e12 times x; only what the known law leaves of each counts
    each = math.log(max(len(task.response.target), 2))
    costs = np.array([2.0 * term_length(t, task.prior) + each for t in terms])
    plain = PlainSubsets(task.respond(columns / scale), task.response.target, costs)
    templates, grids = _grid_columns(templates, task, each)
    mixed = TemplateSubsets(plain, grids)
    found: list[Candidate] = []
    lowest: list[float] = []
    for size in range(1, options.max_terms + 1):
        if len(lowest) > PATIENCE and min(lowest[-PATIENCE:]) >= min(lowest[:-PATIENCE]):
            break
        before = len(found)
        kept = task.spare * (KEPT if size > 1 else KEPT_SINGLE)
        for chosen, score, loss, coefficients in plain.best_of_size(size, kept):
            found.append(
                make_candidate(
                    [terms[j] for j in chosen],
                    coefficients / scale[chosen],
                    taken=task.names,
                    loss=loss,
                    score=score,
                    engine=NAME,
                    prior=task.prior,
                )
            )
        found += _refined(mixed.best_of_size(size, task.spare * REFINED), terms, templates, task)
        lowest += [min((c.score for c in found[before:]), default=math.inf)]
    if not found:
        raise SearchError(
            f"{task.term}: none of {len(terms) + len(templates)} library terms shows in the data beside the known "
            "law. Measure more, or give more known terms."
        )
    found.sort(key=lambda c: c.score)
    best: dict[str, Candidate] = {}
    for candidate in found:
        best.setdefault(candidate.key, candidate)
    return Front(task.term, tuple(best.values()))


def _evaluate(terms: list[T.Tree], task: Task):
    """The terms that are finite at all points, and their columns (points, terms)."""
    with np.errstate(all="ignore"):
        values = Program(terms, task.arguments).run(list(task.points.T))
    if not terms:
        return [], np.empty((len(task.points), 0))
    columns = np.stack([np.broadcast_to(np.asarray(v, float), len(task.points)) for v in values], axis=1)
    largest = np.abs(columns).max(0)
    fine = np.isfinite(columns).all(0) & (largest > 0) & (largest < LARGEST)
    return [t for t, keep in zip(terms, fine, strict=True) if keep], columns[:, fine]


# ------------------------------------------------------------------ templates
@lru_cache(maxsize=1024)
def _with_slopes(tree: T.Tree, inner: tuple[str, ...], arguments: tuple[str, ...]) -> Program:
    return Program([tree, *(T.derivative(tree, name) for name in inner)], [*arguments, *inner])


def _grid_columns(templates: list[Template], task: Task, each: float) -> tuple[list[Template], list[GridColumns]]:
    """The templates that can be evaluated somewhere on their grids, with their responses there."""
    kept, grids = [], []
    for template in templates:
        grid, columns = _over_grid(template, task)
        if len(grid):
            width = columns.shape[2]
            response = task.respond(columns.reshape(len(task.points), -1)).reshape(-1, len(grid), width)
            kept.append(Template(template.tree, template.inner, grid))
            grids.append(GridColumns(response, 2.0 * term_length(template.tree, task.prior) + width * each))
    return kept, grids


def _over_grid(template: Template, task: Task) -> tuple[np.ndarray, np.ndarray]:
    """The usable values of the grid, and (points, values, 1 + constants) of the term and its relative slopes."""
    program = _with_slopes(template.tree, template.inner, tuple(task.arguments))
    inputs = [*task.points.T[:, :, None], *template.grid.T[:, None, :]]
    shape = (len(task.points), len(template.grid))
    with np.errstate(all="ignore"):
        values = [np.broadcast_to(v, shape) for v in program.run(inputs)]
        columns = np.stack([values[0], *(v * k for v, k in zip(values[1:], template.grid.T, strict=True))], 2)
        largest = np.abs(columns).max(0)
        fine = np.isfinite(columns).all((0, 2)) & (largest[:, 0] > 0) & (largest < LARGEST).all(1)
        scaled = columns[:, fine] / np.maximum(largest[fine], 1e-300)
    return template.grid[fine], scaled


def _refined(chosen, terms: list[T.Tree], templates: list[Template], task: Task) -> list[Candidate]:
    """Sums with a template, their constants refined, the best of different fits."""
    found = []
    for _, places, which, node in chosen:
        template = templates[which]
        trees = [template.tree, *(terms[j] for j in places)]
        inner = dict(zip(template.inner, template.grid[node], strict=True))
        fit = project(trees, inner, task)
        if fit is not None:
            found.append(scored(trees, fit, task, NAME))
    found.sort(key=lambda c: c.score)
    different: list[Candidate] = []
    for candidate in found:
        if all(abs(candidate.loss - other.loss) > SAME * other.loss for other in different):
            different.append(candidate)
    return different[: task.spare * KEPT_WITH_TEMPLATE]
