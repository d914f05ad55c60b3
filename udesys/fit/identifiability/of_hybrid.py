"""What data cannot tell of a hybrid's constants and states whatever their noise, and what of them they do tell.

Before any formula is found, a network can absorb a constant: in alpha*x + NN(x, y) any alpha will do. Other constants
only ever act together, as in a*b*x, and a state without a column may have a free scale. All of these are null
directions of one matrix, that of the responses of the measurements to constants, starts, and changes of the networks.
"""

from __future__ import annotations

import numpy as np

from udesys.fit.identifiability.absorption import Surroundings, stand_in
from udesys.fit.identifiability.findings import Identifiability, look_for_nulls
from udesys.fit.identifiability.responses import Record
from udesys.model import HybridODE
from udesys.model import tree as T
from udesys.model.closed_form import ClosedForm

MOST_POINTS = 600  # at which a network is looked at


def identifiability_of(problem, unknowns, parameters: dict[str, float]) -> Identifiability:
    """What a fitted hybrid leaves open; nothing where that cannot be computed.

    Args:
        problem: the data and the model as the fit arranged them.
        unknowns: nodes and weights at its end.
        parameters: estimated parameter -> value.
    """
    model = problem.model
    unmeasured = frozenset(s for s, seen in zip(model.states, problem.measured, strict=False) if not seen)
    if not unmeasured and all(model.parameters[name].prior is not None for name in model.estimated):
        return Identifiability()
    try:
        with np.errstate(all="ignore"):
            around = _surroundings(problem, unknowns)
            form = stand_in(model, parameters, around, unmeasured, stiff=problem.method == "radau")
            return look_for_nulls(form, _record(problem, unknowns), _trees_of(model), _calls_of(form))
    except (ArithmeticError, ValueError, np.linalg.LinAlgError):
        return Identifiability()


def _surroundings(problem, unknowns) -> Surroundings:
    at = np.unique(np.linspace(0, problem.n_nodes - 1, min(problem.n_nodes, MOST_POINTS)).round().astype(int))
    terms = {}
    if problem.model.slots:
        arguments, _, _ = problem.linearise(unknowns.nodes, unknowns.theta, at)
        for k, (slot, points) in enumerate(zip(problem.model.slots, arguments, strict=True)):
            points = points[:, : len(slot.arguments)]
            values, _ = problem.term(k, points, unknowns.theta)
            terms |= {term: (points, values[:, j]) for j, term in enumerate(slot.terms)}
    return Surroundings(unknowns.nodes[at], problem.t[at], problem.u[at], terms)


def _record(problem, unknowns) -> Record:
    steps = np.ones(problem.n_nodes, dtype=np.int64)
    steps[problem.start] = problem.substeps
    pieces = problem.pieces
    return Record(
        t=problem.t,
        nodes=unknowns.nodes,
        mask=problem.mask,
        segments=problem.segments,
        free=np.array([problem.model.initial[s] == "free" for s in problem.model.states]),
        steps=steps,
        pieces=pieces,
        u=None if pieces is None else problem.u,
    )


def _trees_of(model: HybridODE) -> list[T.Tree]:
    """Right sides, observables and arguments of the networks, a call being a symbol such as `NN1(x, y)`."""
    names = {output: T.Symbol(shown) for output, shown in _shown_calls(model).items()}
    arguments = [a for slot in model.slots for call in slot.calls for a in call.args]
    return [*(T.substitute(right, names) for right in model.rhs), *model.observe.values(), *arguments]


def _shown_calls(model: HybridODE) -> dict[str, str]:
    """Output of a call in the equations -> how it is written to a reader."""
    shown = {}
    for slot in model.slots:
        for call in slot.calls:
            arguments = ", ".join(T.to_text(a) for a in call.args)
            for k in range(slot.n_outputs):
                place = f"[{k}]" if slot.n_outputs > 1 else ""
                shown[call.output_name(k)] = f"{slot.name}({arguments}){place}"
    return shown


def _calls_of(form: ClosedForm) -> dict[str, tuple[T.Tree, frozenset[str]]]:
    """A call as it is shown -> the formula in its place, and the names in its arguments."""
    model, shown, calls = form.model, _shown_calls(form.model), {}
    for slot in model.slots:
        for call in slot.calls:
            arguments = dict(zip(slot.arguments, call.args, strict=True))
            inside = frozenset().union(*map(T.symbols, call.args))
            for k, term in enumerate(slot.terms):
                own = {c: T.Symbol(f"{term}.{c}") for c in form.formulas[term].constants}
                tree = T.substitute(T.substitute(form.formulas[term].tree, own), arguments)
                calls[shown[call.output_name(k)]] = (T.substitute(tree, model.fixed_values), inside)
    return calls
