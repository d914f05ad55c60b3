"""The search tasks of fields on a grid: how the data respond to what a missing term adds at every point and time.

Along a reference, the fitted hybrid or a closed form, replacing a missing term u by columns c changes the fields by
d(t),

    d' = J d + B (c - u),        y - x = d + noise,

with J the reference's whole Jacobian, neighbours included. It is solved with the reference's own implicit steps and
their banded factors, for all columns at once; the parameters of the known law are projected out, but for those of
which a prior says where they are, and the fields at the first time are held where the reference has them.

Source: as for `search.weak_form`; here A is the whole Jacobian, because diffusion forgets in less than a sample.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from udesys.fit import FitResult
from udesys.fit.result import term_values, theta_covariance
from udesys.integrate import lattice
from udesys.integrate.radau import STAGES, C
from udesys.model import HybridODE
from udesys.model import tree as T
from udesys.model.along_grid import FormAlongGrid, GridLaw, HybridAlongGrid, follow_runs
from udesys.model.closed_form import ClosedForm
from udesys.model.program import Program
from udesys.model.runs_on_grid import driving_along, runs_of, steps_on_grid
from udesys.search.boundary import inward_of
from udesys.search.measurements import Measurements
from udesys.search.task import Task
from udesys.search.weak_form import basis_of


@dataclass(frozen=True)
class GridReference:
    """A course of all runs, about which the data's responses are linear.

    Attributes:
        law: the right side.
        courses: of every run.
        steps: for each run (times - 1,) steps of the implicit method.
        parameters: estimated parameter -> value.
        values: values(slot, output, arguments) -> what a network or its formula gives at arguments (points, arguments),
            and its standard deviation there or None, (points,) each.
        uncertain: whether there is one.
        nuisance: nuisance(term) -> places in the law's theta of what else is estimated.
    """

    law: GridLaw
    courses: tuple[lattice.Course, ...]
    steps: tuple[np.ndarray, ...]
    parameters: dict[str, float]
    values: Callable
    uncertain: bool
    nuisance: Callable


def about_fitted(fit: FitResult, data: Measurements) -> GridReference | None:
    """The fitted hybrid as reference."""
    problem, unknowns, model = fit.problem, fit.unknowns, fit.model
    law = HybridAlongGrid(problem.field, unknowns.theta)
    steps = steps_on_grid(model, data.t, data.segments, fit.steps)
    courses = _courses(law, data, unknowns.nodes[data.segments[0]], steps)
    if courses is None:
        return None
    covariance = theta_covariance(unknowns)

    def values(slot: int, output: int, arguments: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found, std = term_values(problem, unknowns, slot, arguments, covariance)
        return found[:, output], std[:, output]

    n, names = problem.field.n_weights, problem.field.parameters
    others = [n + k for k, name in enumerate(names) if model.parameters[name].prior is None]
    parameters = {name: value for name, (value, _) in fit.parameters.items()}
    return GridReference(law, *courses, parameters, values, True, lambda _: others)


def about_form(form: ClosedForm, data: Measurements, x0: np.ndarray, steps: np.ndarray) -> GridReference | None:
    """A closed form as reference, with steps (samples,); None where it is lost."""
    law, model = FormAlongGrid(form), form.model
    courses = _courses(law, data, x0, steps)
    if courses is None:
        return None

    def values(slot: int, output: int, arguments: np.ndarray) -> tuple[np.ndarray, None]:
        named = model.slots[slot]
        formula = form.formulas[named.terms[output]]
        program = Program([formula.tree], [*named.arguments, *formula.constants])
        found = program.run([*arguments.T, *formula.constants.values()])[0]
        return np.broadcast_to(np.asarray(found, float), len(arguments)), None

    def nuisance(term: str) -> list[int]:
        others = (k for k, name in enumerate(form.names) if not (isinstance(name, tuple) and name[0] == term))
        return [k for k in others if k >= len(model.estimated) or model.parameters[form.names[k]].prior is None]

    return GridReference(law, *courses, form.parameters, values, False, nuisance)


def _courses(law: GridLaw, data: Measurements, x0: np.ndarray, steps: np.ndarray):
    """The course and the steps of every run; None where one is lost."""
    followed = follow_runs(law, x0, data.t, data.segments, steps, data.pieces)
    found = [(course, own) for _, course, own, _ in followed]
    return None if any(course.lost for course, _ in found) else tuple(zip(*found, strict=True))


class GridForm:
    """Responses of the raw data to forcings of a reference; what `WeakForm` is without a grid."""

    def __init__(self, model: HybridODE, data: Measurements, reference: GridReference):
        self.model, self.data, self.reference = model, data, reference
        self.runs = runs_of(model, data.t, data.segments)
        self.law, self.n = reference.law, model.grid.n
        self.drivings = [driving_along(run, data.pieces, len(model.spatial)) for run in self.runs]
        self._prepare()

    def _prepare(self) -> None:
        """Points at all stages of all steps, and the factors of every step."""
        times, x, u, factors, lengths, by_theta = [], [], [], [], [], []
        for run, steps, course, driving in zip(
            self.runs, self.reference.steps, self.reference.courses, self.drivings, strict=True
        ):
            own, taken = [], 0
            for i, count in enumerate(steps.tolist()):
                h = (run.t[i + 1] - run.t[i]) / count
                for k in range(count):
                    s = k * h + h * C
                    stages = course.stages[taken]
                    known = None if driving is None else driving(i, s)
                    at = self.law(run.t[i] + s, stages, known, True)
                    own.append((i, h, self.law.lattice.factorised(h, at.by_points)))
                    by_theta.append(at.by_theta)
                    along = self.law.spatial(stages)
                    inputs = along if known is None else np.concatenate([known, along], 2)
                    times.append(np.repeat(run.t[i] + s, self.n))
                    x.append(stages.reshape(-1, self.law.d))
                    u.append(inputs.reshape(STAGES * self.n, -1))
                    taken += 1
            factors.append(own)
            lengths.append(taken)
        self.factors, self.lengths = factors, lengths
        self.t, self.x, self.u = np.concatenate(times), np.concatenate(x), np.concatenate(u)
        self.by_theta = np.concatenate(by_theta)  # (steps * stages, n, d, theta)

    # -------------------------------------------------------------- responses
    def respond(self, forcing: np.ndarray) -> np.ndarray:
        """(samples, d, columns) of the fields to forcings (points, d, columns) of their right sides."""
        data, d, columns = self.data, self.law.d, forcing.shape[-1]
        result = np.zeros((len(data.t), d, columns))
        each = forcing.reshape(-1, STAGES, self.n, d, columns) * self.law.moving[:, :, None]
        taken, by_start = 0, lattice.INVERSE.sum(1)
        for run, own in zip(self.runs, self.factors, strict=True):
            carried = np.zeros((self.n, d, columns))
            for i, h, factors in own:
                right = (by_start / h)[:, None, None, None] * carried + each[taken]
                carried = self.law.lattice.solve(factors, right)[-1]
                result[run.rows[i + 1]] = carried  # of an interval's steps the last one stays
                taken += 1
        return result

    def observed(self, response: np.ndarray) -> np.ndarray:
        """(samples, m, columns): of the fields; observables are left out."""
        m = self.data.y.shape[1]
        return np.concatenate([response, np.zeros((len(response), m - self.law.d, response.shape[2]))], 1)

    def misfit(self) -> np.ndarray:
        """(samples, m) measurements less the reference, of the fields."""
        nodes = np.zeros_like(self.data.y)
        for run, course in zip(self.runs, self.reference.courses, strict=True):
            nodes[run.rows, : self.law.d] = course.states
        return self.data.y - nodes

    def arguments(self, call) -> np.ndarray:
        """(points, arguments) of a network's call."""
        model = self.model
        trees = [T.substitute(a, model.fixed_values) for a in call.args]
        return self._run(Program(trees, [*model.states, *model.estimated, "t", *model.exogenous]))

    def _run(self, program: Program, more: Sequence[np.ndarray] = ()) -> np.ndarray:
        parameters = [self.reference.parameters[n] for n in self.model.estimated]
        values = program.run([*self.x.T, *parameters, *more, self.t, *self.u.T])
        return np.stack([np.broadcast_to(np.asarray(v, float), len(self.t)) for v in values], -1)

    def leverage(self, output: str, values: dict[str, np.ndarray]) -> np.ndarray:
        """df/d(output) (points, d)."""
        model = self.model
        trees = [T.derivative(T.substitute(r, model.fixed_values), output) for r in model.rhs]
        program = Program(trees, [*model.states, *model.estimated, *values, "t", *model.exogenous])
        return self._run(program, list(values.values()))

    def task(self, term: str) -> Task:
        """The search task of one term."""
        place, slot = next((k, s) for k, s in enumerate(self.model.slots) if term in s.terms)
        output = slot.terms.index(term)
        values: dict[str, np.ndarray] = {}
        for k, other in enumerate(self.model.slots):
            for call in other.calls:
                arguments = self.arguments(call)
                for j in range(other.n_outputs):
                    values[call.output_name(j)] = self.reference.values(k, j, arguments)[0]
        points = [self.arguments(call) for call in slot.calls]
        response = _GridResponse(self, term, slot, output, values)
        own = np.concatenate([values[call.output_name(output)] for call in slot.calls])
        std = np.concatenate([np.ones(len(p)) for p in points])
        if self.reference.uncertain:
            found = np.concatenate([self.reference.values(place, output, p)[1] for p in points])
            std = found if np.isfinite(found).all() else std
        std = np.maximum(std, 1e-6 * max(np.abs(own).max(), 1e-300))
        return Task(
            term=term,
            arguments=slot.arguments,
            points=np.concatenate(points),
            values=own,
            std=std,
            response=response,
            taken=frozenset((*self.model.states, *self.model.parameters, *self.model.exogenous)),
            vanishing=self.model.invariants.vanishing.get(term, ()),
            inward=inward_of(self.model, slot, output, self.x, self.reference.parameters, [self.t, *self.u.T]),
        )


class _GridResponse:
    """Maps columns over a term's points to whitened rows with the nuisance projected out."""

    def __init__(self, form: GridForm, term: str, slot, output: int, values: dict[str, np.ndarray]):
        self.form, data = form, form.data
        names = [call.output_name(output) for call in slot.calls]
        self.leverages = [form.leverage(name, values) for name in names]
        self.rows = data.mask > 0
        self.weight = (data.mask / data.noise)[self.rows]
        self.nuisance = np.zeros((int(self.rows.sum()), 0))
        places = list(form.reference.nuisance(term))
        if places:
            by_theta = form.by_theta[..., places]
            whole = self._rows(form.respond(by_theta.reshape(-1, form.law.d, len(places))))
            self.nuisance = basis_of(whole)
        own = self._respond(np.stack([values[name] for name in names])[:, :, None])
        target = (form.misfit()[self.rows] * self.weight)[:, None] + own
        self.target = self._clean(target)[:, 0]

    def apply(self, columns: np.ndarray) -> np.ndarray:
        """(rows, terms) of columns (points, terms)."""
        return self._clean(self._respond(columns.reshape(len(self.leverages), -1, columns.shape[-1])))

    def _respond(self, columns: np.ndarray) -> np.ndarray:
        """columns (calls, points, terms) -> weighted rows (rows, terms)."""
        forcing = sum(
            leverage[:, :, None] * column[:, None, :] for leverage, column in zip(self.leverages, columns, strict=True)
        )
        return self._rows(self.form.respond(forcing))

    def _rows(self, response: np.ndarray) -> np.ndarray:
        return self.form.observed(response)[self.rows] * self.weight[:, None]

    def _clean(self, rows: np.ndarray) -> np.ndarray:
        for _ in range(2 if self.nuisance.shape[1] else 0):
            rows = rows - self.nuisance @ (self.nuisance.T @ rows)
        return rows
