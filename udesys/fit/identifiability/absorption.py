"""What the networks of a hybrid could become: formulas in their place, with the functions that could hide a constant.

A network's own weights span more functions than short data tell apart, and would absorb everything. So each network is
put as a formula near it, to which those functions of its arguments alone are added that could make up for a constant
or for another scale or origin of a state.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from udesys.model import tree as T
from udesys.model.closed_form import ClosedForm, Formula
from udesys.model.program import Program

CHANGE = (
    "change"  # with a space and a number, as no name of a formula's constant: how far a network becomes another one
)
POINTS = 120  # at which functions of the arguments alone are told from others
MOST_HIDDEN, MOST_NODES = 8, 400  # functions with a network's formula, and nodes of one
MOST_SQUARED = 6  # arguments whose squares and products are in the formula
BEND = 0.05  # of a network's spread: size of a cubic that keeps the formula from being special
ALONE = 1e-8  # of its slope: what a function of the arguments alone may have across them
NEAR = 0.05  # of its spread: what such a function may differ between points with nearly the same arguments
TOLD = 0.8  # of these points, beside singular ones, at which that is looked at


@dataclass(frozen=True)
class Surroundings:
    """Where a hybrid was looked at.

    Attributes:
        states: (samples, d).
        t: (samples,).
        u: (samples, k) inputs and covariates.
        terms: term -> (samples, arguments) arguments of its first call and (samples,) its values.
    """

    states: np.ndarray
    t: np.ndarray
    u: np.ndarray
    terms: dict[str, tuple[np.ndarray, np.ndarray]]


def stand_in(model, parameters: dict[str, float], around: Surroundings, unmeasured: frozenset[str], *, stiff=False):
    """The hybrid with a formula in place of every network, and functions that could hide something beside it.

    Their coefficients, named `CHANGE` and a number, are constants of the formulas, all zero.

    Args:
        model: the hybrid.
        parameters: estimated parameter -> value.
        around: where it was looked at.
        unmeasured: states without a column of their own.
        stiff: it is simulated by the implicit method.

    Returns:
        ClosedForm.
    """
    near = {term: _near(model, term, *around.terms[term]) for term in model.terms}
    plain = ClosedForm(model, {t: Formula(tree, {}) for t, tree in near.items()}, parameters)
    hidden = _hiding(model, plain, near, around, unmeasured)
    formulas = {}
    for slot in model.slots:
        for term in slot.terms:
            kept = model.invariants.vanishing.get(term, ())  # what does not vanish there, the term cannot hold
            functions = [f for f in hidden[term] if f != T.ZERO and all(where.of(f) for where in kept)]
            constants = {f"{CHANGE} {k}": 0.0 for k in range(len(functions))}
            added = [T.mul(T.Symbol(c), f) for c, f in zip(constants, functions, strict=True)]
            formulas[term] = Formula(T.total([near[term], *added]), constants)
    return ClosedForm(model, formulas, parameters, stiff=stiff)


def _near(model, term: str, points: np.ndarray, values: np.ndarray) -> T.Tree:
    """A polynomial near a network where it was looked at, with a small cubic so that it is not special."""
    slot = next(s for s in model.slots if term in s.terms)
    names = [T.Symbol(a) for a in slot.arguments]
    shift = np.median(points, 0)
    width = np.where(points.std(0) > 0, points.std(0), 1.0)
    z = (points - shift) / width
    scaled = [
        T.div(T.sub(a, T.Number(float(m))), T.Number(float(w))) for a, m, w in zip(names, shift, width, strict=True)
    ]
    n = len(names)
    few = itertools.combinations_with_replacement(range(n), 2) if n <= MOST_SQUARED else ((k, k) for k in range(n))
    powers = [(), *((k,) for k in range(n)), *few]
    columns = np.stack([np.prod(z[:, list(p)], axis=1) for p in powers], 1)
    fine = np.isfinite(columns).all(1) & np.isfinite(values)
    ridge = 1e-6 * np.sqrt(max(int(fine.sum()), 1)) * np.eye(len(powers))
    target = np.concatenate([values[fine], np.zeros(len(powers))])
    weights = np.linalg.lstsq(np.concatenate([columns[fine], ridge]), target, rcond=None)[0]
    spread = float(np.std(values[fine])) or float(np.abs(values[fine]).max(initial=0.0)) or 1.0
    terms = [
        T.mul(T.Number(float(w)), _product(scaled[k] for k in p))
        for w, p in zip(weights, powers, strict=True)
    ]  # fmt: skip
    bends = [T.mul(T.Number(BEND * spread / (3.0 + k)), T.power(s, T.Number(3.0))) for k, s in enumerate(scaled)]
    return T.total([*terms, *bends])


def _product(trees) -> T.Tree:
    result: T.Tree = T.ONE
    for tree in trees:
        result = T.mul(result, tree)
    return result


# ------------------------------------------------------------------ functions that could hide a constant
def _hiding(model, plain: ClosedForm, near: dict[str, T.Tree], around: Surroundings, unmeasured):
    """term -> functions of its arguments alone that make up for a change of something else, or of several.

    A network that changes so asks others to make up for it, as all do in a' = p - N(a), b' = N(a) - M(b).
    """
    in_place, fixed = _calls_in_place(model, near), model.fixed_values
    places = [(slot, call, k) for slot in model.slots for call in slot.calls for k in range(slot.n_outputs)]
    leverages = [
        {
            call.output_name(k): T.substitute(T.substitute(T.derivative(right, call.output_name(k)), in_place), fixed)
            for _, call, k in places
            if call.output_name(k) in T.symbols(right)
        }
        for right in model.rhs
    ]
    owed = [
        [*(T.derivative(right, name) for name in model.estimated), *_by_state(model, plain, i, unmeasured)]
        for i, right in enumerate(plain.rhs)
    ]
    tests = {call: _OfArguments(model, plain, call, around) for slot in model.slots for call in slot.calls}
    hidden: dict[str, list[T.Tree]] = {term: [tree] for term, tree in near.items()}
    newest = {term: list(functions) for term, functions in hidden.items()}
    for _ in range(len(model.slots) + 1):
        found: dict[str, list[T.Tree]] = {term: [] for term in near}
        for slot, call, k in places:
            term, output, test = slot.terms[k], call.output_name(k), tests[call]
            for by_output, slopes in zip(leverages, owed, strict=True):
                if by_output.get(output, T.ZERO) == T.ZERO:
                    continue
                wanted = slopes + [
                    T.mul(by_output[name], T.substitute(_at(f, other, at), fixed))
                    for other, at, m in places
                    if (name := at.output_name(m)) != output and by_output.get(name, T.ZERO) != T.ZERO
                    for f in newest[other.terms[m]]
                ]
                ratios = dict.fromkeys(_ratio(slope, by_output[output]) for slope in wanted if slope != T.ZERO)
                for function in test.functions([r for r in ratios if _nodes(r) <= MOST_NODES]):
                    fitting = _in_arguments(function, slot, test.arguments, test.moving)
                    room = len(hidden[term]) + len(found[term]) < MOST_HIDDEN
                    if fitting is not None and room and test.new(function, [*hidden[term], *found[term]], slot):
                        found[term].append(fitting)
        owed, newest = [[] for _ in owed], found
        for term, functions in found.items():
            hidden[term] += functions
        if not any(found.values()):
            break
    return hidden


def _nodes(tree: T.Tree) -> int:
    return sum(1 for _ in T.walk(tree))


def _at(function: T.Tree, slot, call) -> T.Tree:
    """A function of a network's arguments at a call."""
    return T.substitute(function, dict(zip(slot.arguments, call.args, strict=True)))


def _by_state(model, plain: ClosedForm, i: int, unmeasured: frozenset[str]) -> list[T.Tree]:
    """What another scale, origin or power of each unmeasured state changes in equation i."""
    needed = []
    for state in model.states:
        if state not in unmeasured:
            continue
        x, slope = T.Symbol(state), T.derivative(plain.rhs[i], state)
        logarithm = T.call("log", T.call("abs", x))
        for change, by_itself in ((x, T.ONE), (T.ONE, T.ZERO), (T.mul(x, logarithm), T.add(logarithm, T.ONE))):
            own = T.mul(by_itself, plain.rhs[i]) if model.states[i] == state else T.ZERO
            needed.append(T.sub(T.mul(change, slope), own))
    return needed


def _calls_in_place(model, near: dict[str, T.Tree]) -> dict[str, T.Tree]:
    """A network's output at a call -> the formula near it."""
    return {
        call.output_name(k): _at(near[term], slot, call)
        for slot in model.slots
        for call in slot.calls
        for k, term in enumerate(slot.terms)
    }


def _ratio(slope: T.Tree, leverage: T.Tree) -> T.Tree:
    return T.ONE if slope == leverage else T.div(slope, leverage)


def _in_arguments(function: T.Tree, slot, arguments: list[T.Tree], moving: frozenset[str]) -> T.Tree | None:
    """A function of a call's arguments in their names; None where it cannot be written so and other calls ask for it.

    A network that is called once may keep it in states, of which its formula is in any case.
    """
    apart = [T.Symbol(f"argument {k}") for k in range(len(arguments))]  # no name of a state
    written = T.replace(function, dict(zip(arguments, apart, strict=True)))
    if not T.symbols(written) & moving:
        return T.substitute(written, {a.name: T.Symbol(n) for a, n in zip(apart, slot.arguments, strict=True)})
    return function if len(slot.calls) == 1 else None


class _OfArguments:
    """Tells functions of a call's arguments alone, at points drawn from the visited box.

    Attributes:
        moving: names of what changes along a run or between runs: states, time, inputs and covariates.
    """

    def __init__(self, model, plain: ClosedForm, call, around: Surroundings):
        self.names = [*model.states, "t", *model.exogenous]
        self.moving, self.form = frozenset(self.names), plain
        self.arguments = [T.substitute(a, model.fixed_values) for a in call.args]
        self.plain = frozenset(a.name for a in self.arguments if isinstance(a, T.Symbol))
        rng = np.random.default_rng(0)
        seen = np.column_stack([around.states, around.t, around.u])
        low, high = seen.min(0), seen.max(0)
        points = rng.uniform(low, high, (POINTS, len(low)))
        d = plain.d
        self.inputs = [*points.T[:d], *plain.values, *points.T[d:]]
        slopes = self._run([T.derivative(a, n) for a in self.arguments for n in self.names])
        slopes = slopes.reshape(len(self.arguments), len(self.names), POINTS).transpose(2, 0, 1)
        self.span = high - low
        self.scale = np.where(self.span > 0, self.span, np.maximum(np.abs(high), 1e-300))
        self.slopes = slopes * self.scale
        self.values = self._run(self.arguments)

    def _run(self, trees) -> np.ndarray:
        """(trees, points)."""
        with np.errstate(all="ignore"):
            values = Program(trees, self.form.inputs).run(self.inputs)
        return np.stack([np.broadcast_to(np.asarray(v, float), POINTS) for v in values])

    def new(self, function: T.Tree, known: list[T.Tree], slot) -> bool:
        """Whether a function is no sum of known ones, these in the slot's names, at this call."""
        fixed, at = self.form.model.fixed_values, dict(zip(slot.arguments, self.arguments, strict=True))
        columns = self._run([function, *(T.substitute(T.substitute(f, at), fixed) for f in known)]).T
        columns = columns[np.isfinite(columns).all(1)]
        size = np.linalg.norm(columns, axis=0)
        if size[0] == 0:
            return False
        target, basis = columns[:, 0] / size[0], columns[:, 1:][:, size[1:] > 0] / size[1:][size[1:] > 0]
        rest = target - basis @ np.linalg.lstsq(basis, target, rcond=1e-12)[0]
        return bool(np.linalg.norm(rest) > ALONE)

    def functions(self, ratios: list[T.Tree]) -> list[T.Tree]:
        """Those of the ratios that are functions of the arguments alone, then such sums of the others."""
        found = [r for r in ratios if T.symbols(r) & self.moving <= self.plain]
        rest = [r for r in ratios if r not in found]
        if not rest:
            return found
        values, slopes = self._run(rest), self._run([T.derivative(r, n) for r in rest for n in self.names])
        slopes = slopes.reshape(len(rest), len(self.names), POINTS).transpose(2, 0, 1) * self.scale
        fine = np.isfinite(slopes).all((1, 2)) & np.isfinite(self.slopes).all((1, 2)) & np.isfinite(values).all(0)
        if fine.sum() < POINTS // 4:
            return found
        across = _across(slopes[fine], self.slopes[fine])  # (points, ratios, names)
        size = np.sqrt((slopes[fine] ** 2).sum((0, 2)))
        size = np.where(size > 0, size, 1.0)
        matrix = across.transpose(0, 2, 1).reshape(-1, len(rest)) / size
        _, singular, right = np.linalg.svd(matrix, full_matrices=matrix.shape[0] < len(rest))
        singular = np.pad(singular, (0, len(right) - len(singular)))
        for weights in _sparse(right[singular < ALONE]):
            weights = weights / size
            if self._one_valued(weights @ values[:, fine], fine, np.einsum("k,nkj->nj", weights, slopes[fine])):
                used = [(float(w), r) for w, r in zip(weights, rest, strict=True) if w]
                sized = [T.mul(T.Number(w), r) for w, r in used]
                found.append(used[0][1] if len(used) == 1 else T.total(sized))
        return found

    def _one_valued(self, values: np.ndarray, fine: np.ndarray, slopes: np.ndarray) -> bool:
        """Whether points with nearly the same arguments have nearly the same value, as x has not for x*x."""
        spread = np.ptp(values)
        if spread <= ALONE * np.abs(values).max():
            return True
        arguments, by = self.values[:, fine].T, self.slopes[fine]
        width = np.ptp(arguments, axis=0)
        at = arguments / np.where(width > 0, width, 1.0)
        apart = ((at[:, None] - at) ** 2).sum(2)
        np.fill_diagonal(apart, np.inf)
        other = apart.argmin(1)
        along = np.einsum("nj,nja->na", slopes, np.linalg.pinv(by))  # by the arguments
        told = (0.5 * (along + along[other]) * (arguments[other] - arguments)).sum(1)
        off = np.abs(values[other] - values - told)
        return bool(np.quantile(off, TOLD) <= NEAR * spread)


def _across(slopes: np.ndarray, arguments: np.ndarray) -> np.ndarray:
    """Slopes (points, functions, names) less their part in the span of the arguments' (points, arguments, names)."""
    basis = np.linalg.pinv(arguments) @ arguments
    return slopes - slopes @ basis


def _sparse(null: np.ndarray) -> np.ndarray:
    """Rows that span a null space with as few entries as elimination gives."""
    rows, pivots = null.copy(), []
    for k in range(len(rows)):
        rest = np.abs(rows[k:]).copy()
        rest[:, pivots] = 0.0
        at = np.unravel_index(np.argmax(rest), rest.shape)
        rows[[k, k + at[0]]] = rows[[k + at[0], k]]
        rows[k] /= rows[k, at[1]]
        others = np.arange(len(rows)) != k
        rows[others] -= np.outer(rows[others, at[1]], rows[k])
        pivots.append(at[1])
    return np.where(np.abs(rows) > 1e-6, rows, 0.0)
