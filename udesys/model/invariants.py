"""What the user says that the equations keep: states that stay zero or above, and sums that stay what they are.

A sum is kept by putting one network as what the others leave of it; a state stays zero by multiplying the networks that
would move it with an argument that is zero where it is; a positive state does not fall where it is zero, as what of a
network pulls it down fades there (see `model.inward`). All hold exactly, whatever the weights.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from udesys.errors import ModelError, did_you_mean
from udesys.model import tree as T
from udesys.model.grammar import NetworkCall, parse_expression
from udesys.model.inward import Demand, Held, demands_of, held_by, program_of
from udesys.model.polynomial import expanded, linear_in, to_tree
from udesys.model.vanishing import Vanishing, vanishes

if TYPE_CHECKING:
    from udesys.model.hybrid import HybridODE, Slot


@dataclass(frozen=True, kw_only=True)
class Replaced:
    """A network that a conserved sum leaves no freedom.

    Attributes:
        name: its call in the equations.
        tree: what stands in its place.
        kept: the sum.
        text: the tree in the names of the equations.
    """

    name: str
    tree: T.Tree
    kept: str
    text: str = ""


@dataclass(frozen=True, kw_only=True)
class Invariants:
    """What the equations keep, and the equations that keep it.

    Attributes:
        rhs, slots: the right sides and networks with the replaced ones gone.
        sums: one for each conserved sum: state -> coefficient.
        replaced: what stands in place of a network.
        vanishing: term -> where it is zero.
        gates: term -> places of the arguments with which its network is multiplied.
        inward: positive states that a missing term could carry below zero.
        demands: what these demand of the terms.
        open: state of these -> why nothing.
        held: term -> how it is held to that; empty until the model meets data, which tell how large the states are.
    """

    rhs: tuple[T.Tree, ...]
    slots: tuple[Slot, ...]
    sums: tuple[dict[str, float], ...] = ()
    replaced: tuple[Replaced, ...] = ()
    vanishing: Mapping[str, tuple[Vanishing, ...]] = field(default_factory=dict)
    gates: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    inward: tuple[str, ...] = ()
    demands: tuple[Demand, ...] = ()
    open: Mapping[str, str] = field(default_factory=dict)
    held: Mapping[str, Held] = field(default_factory=dict)

    @property
    def acting_rhs(self) -> tuple[T.Tree, ...]:
        """The right sides over the bare networks."""
        if not self.gates and not self.held:
            return self.rhs
        values = {
            call.output_name(k): self.acting(term, T.Symbol(call.output_name(k)), call.args)
            for slot in self.slots
            for call in slot.calls
            for k, term in enumerate(slot.terms)
        }
        return tuple(T.substitute(right, values) for right in self.rhs)

    def acting(self, term: str, output: T.Tree, arguments: Sequence[T.Tree]) -> T.Tree:
        """What acts of a bare network's output: times the arguments that make it zero, and no more than it may."""
        output = gated(output, arguments, self.gates.get(term, ()))
        return self.held[term].tree(output, tuple(arguments)) if term in self.held else output

    def act(self, slot_index: int, arguments, values, slopes=None, functions: dict | None = None) -> None:
        """The same at points, in place.

        Args:
            slot_index: of the network.
            arguments: (points, arguments), of which the first are those of the call [data units].
            values: (points, outputs) of the bare network.
            slopes: (points, outputs, weights) their derivatives.
            functions: for tensors, see `Program.run`.
        """
        for k, term in enumerate(self.slots[slot_index].terms if self.gates or self.held else ()):
            if term in self.gates:
                gate = arguments[:, list(self.gates[term])].prod(1)
                values[:, k] *= gate
                if slopes is not None:
                    slopes[:, k] *= gate[:, None]
            if term in self.held:
                program = program_of(self.held[term], arguments.shape[1])
                output = 1.0 * values[:, k]  # by itself, as values change in place
                values[:, k], slope = program.run([*arguments.T, output], functions)
                if slopes is not None:
                    slopes[:, k] *= slope[:, None]


def gated(output: T.Tree, arguments: Sequence[T.Tree], places: Sequence[int]) -> T.Tree:
    """An output times some of its call's arguments."""
    for place in places:
        output = T.mul(arguments[place], output)
    return output


def hold(model: HybridODE, stays_zero: Sequence[str], conserved: Sequence[str]) -> Invariants:
    """The equations of a model that keep what is said.

    Args:
        model: as it is written, its names checked.
        stays_zero: states.
        conserved: sums of states as text.

    Raises:
        ModelError: the equations cannot keep it.
    """
    held = Invariants(rhs=model.rhs, slots=model.slots)
    for text in conserved:
        held = _conserving(held, model, text)
    for state in stays_zero:
        if state not in model.states:
            raise ModelError(f"stays_zero names {state!r}, which is no state. {did_you_mean(state, model.states)}")
        held = _staying_zero(held, model, state)
    inward = [s for s in model.positive if s not in stays_zero and _moved_by_term(held, model, s)]
    written = _outputs(Invariants(rhs=model.rhs, slots=model.slots))
    replaced = [replace(r, text=_written(r.tree, written)) for r in held.replaced]
    return _demanding(replace(held, inward=tuple(inward), replaced=tuple(replaced)), model, frozenset())


def held_inward(
    model: HybridODE, positive: Collection[str], size: Callable[[T.Tree], float], soft: float
) -> Invariants:
    """The invariants of a model whose networks are held to what its positive states demand.

    Args:
        model: the model.
        positive: inputs, covariates and the like that are never below zero.
        size: argument of a network -> its size, not above zero where that is not known.
        soft: part of the size of a state within which what pulls it down fades.
    """
    held = _demanding(model.invariants, model, frozenset(positive))
    sizes = {d.argument: size(d.argument) for d in held.demands if d.argument is not None}
    unknown = {d.state: d.argument for d in held.demands if d.argument is not None and not sizes[d.argument] > 0}
    why = {state: f"nothing tells how large {T.to_text(argument)} is" for state, argument in unknown.items()}
    demands = tuple(d for d in held.demands if d.state not in unknown)
    return replace(held, demands=demands, open={**held.open, **why}, held=held_by(demands, sizes, soft))


def describe(invariants: Invariants, stays_zero: Sequence[str], conserved: Sequence[str]) -> list[str]:
    """Lines that say what is kept, and how.

    Args:
        invariants: of the model.
        stays_zero, conserved: as they were asked for.
    """
    lines = []
    for state in stays_zero:
        terms = [term for term, places in invariants.vanishing.items() if any(p.state == state for p in places)]
        how = f"; {' and '.join(terms)} {'vanish' if len(terms) > 1 else 'vanishes'} with it" if terms else ""
        lines.append(f"stays zero once zero: {state}{how}")
    for text in conserved:
        lines.append(f"conserved: {text}")
        lines += [f"  so {r.name} is {r.text}" for r in invariants.replaced if r.kept == text]
    for state in invariants.inward:
        if why := invariants.open.get(state):
            lines.append(f"networks may carry {state} below zero between samples: {why}")
        elif terms := list(dict.fromkeys(d.term for d in invariants.demands if d.state == state)):
            lines.append(f"does not fall where it is zero: {state}; {' and '.join(terms)} cannot pull it down there")
    return lines


# ------------------------------------------------------------------ sums that stay what they are
def _conserving(held: Invariants, model: HybridODE, text: str) -> Invariants:
    """The equations with a network replaced, where the sum is not kept without."""
    weights = _weights(model, text)
    total = T.total([T.mul(T.Number(weight), held.rhs[model.states.index(state)]) for state, weight in weights.items()])
    held = replace(held, sums=(*held.sums, weights))
    try:
        rest = _rest(total, model)
    except ArithmeticError as error:
        raise ModelError(f"conserved = [{text!r}], but the equations cannot be added up: {error}") from None
    if not rest:
        return held
    outputs = _outputs(held)
    present = [name for name in reversed(outputs) if name in T.symbols(to_tree(rest))]
    changes = f"conserved = [{text!r}], but along the equations it changes by {_written(to_tree(rest), outputs)}"
    if not present:
        raise ModelError(f"{changes}. Correct the equations, or leave it out.")
    for name in present:
        found = _instead(rest, name, outputs, model, held)
        if found is not None:
            return _put(held, name, found, outputs, text)
    raise ModelError(
        f"{changes}, and none of its networks can make up for the rest: one that may depend on all that the others do, "
        "is called once, stands there by itself times a constant, and has no later output. Name more arguments, or "
        "leave it out."
    )


def _weights(model: HybridODE, text: str) -> dict[str, float]:
    """state -> coefficient of a sum."""
    example = f'Write a sum of states, such as "{" + ".join(model.states[:3])}".'
    try:
        sums = expanded(parse_expression(text))
    except (ModelError, ArithmeticError) as error:
        raise ModelError(f"conserved {text!r} cannot be read: {error}") from None
    weights = {}
    for product, coefficient in sums.items():
        base, exponent = product[0] if len(product) == 1 else (None, 0)
        if not isinstance(base, T.Symbol) or exponent != 1:
            raise ModelError(f"conserved {text!r} is no sum of states with numbers before them. {example}")
        if base.name not in model.states:
            raise ModelError(
                f"conserved {text!r} names {base.name!r}, which is no state. {did_you_mean(base.name, model.states)}"
            )
        weights[base.name] = coefficient
    if len(weights) < 2:
        raise ModelError(f"conserved {text!r} has fewer than two states. {example}")
    return {state: weights[state] for state in model.states if state in weights}


def _rest(total: T.Tree, model: HybridODE) -> dict:
    """What a sum changes by, multiplied out; empty where it does not, be it with the fixed values in place alone."""
    rest = expanded(total)
    if rest and (not expanded(T.substitute(to_tree(rest), model.fixed_values)) or vanishes(total, frozenset())):
        return {}
    return rest


def _outputs(held: Invariants) -> dict[str, tuple[Slot, NetworkCall, int]]:
    return {
        call.output_name(k): (slot, call, k)
        for slot in held.slots
        for call in slot.calls
        for k in range(slot.n_outputs)
    }


def _instead(rest: dict, name: str, outputs: Mapping, model: HybridODE, held: Invariants) -> T.Tree | None:
    """What a network's output must be so that the rest is zero; None where it cannot be that."""
    slot, call, k = outputs[name]
    parts = linear_in(rest, name)
    if parts is None or len(slot.calls) > 1 or k < slot.n_outputs - 1:
        return None
    leverage, others = parts
    if len(leverage) != 1 or not T.symbols(to_tree(leverage)) <= set(model.parameters):
        return None
    if not expanded(T.substitute(to_tree(leverage), model.fixed_values)):
        return None
    seen = frozenset().union(*map(T.symbols, call.args))
    needed = T.symbols(to_tree(others))
    for other in needed & outputs.keys():
        needed |= frozenset().union(*map(T.symbols, outputs[other][1].args))
    if needed - seen - outputs.keys() - model.parameters.keys():
        return None
    remaining = frozenset().union(*map(T.symbols, held.rhs)) | needed
    if seen & set(model.estimated) - remaining:
        return None
    return to_tree(expanded(T.neg(T.div(to_tree(others), to_tree(leverage)))))


def _put(held: Invariants, name: str, tree: T.Tree, outputs: Mapping, kept: str) -> Invariants:
    """The equations with a tree in place of an output, and without its network where that was its only one."""
    slot, call, k = outputs[name]
    slots = [s if s is not slot else replace(s, n_outputs=k) for s in held.slots]
    called = f"{slot.name}({', '.join(T.to_text(a) for a in call.args)})" + (f"[{k}]" if slot.n_outputs > 1 else "")
    before = [replace(r, tree=to_tree(expanded(T.substitute(r.tree, {name: tree})))) for r in held.replaced]
    return replace(
        held,
        rhs=tuple(T.substitute(right, {name: tree}) for right in held.rhs),
        slots=tuple(s for s in slots if s.n_outputs),
        replaced=(*before, Replaced(name=called, tree=tree, kept=kept)),
    )


def _written(tree: T.Tree, outputs: Mapping[str, tuple[Slot, NetworkCall, int]]) -> str:
    """A tree as the user would write it: outputs by their calls, and by number where there are several."""
    shown = {}
    for name, (slot, call, k) in outputs.items():
        arguments = ", ".join(T.to_text(a) for a in call.args)
        shown[name] = T.Symbol(f"{slot.name}({arguments})" + (f"[{k}]" if slot.n_outputs > 1 else ""))
    return T.to_text(T.substitute(tree, shown))


# ------------------------------------------------------------------ states that stay zero
def _staying_zero(held: Invariants, model: HybridODE, state: str) -> Invariants:
    """The networks that must vanish so that a state stays zero."""
    outputs, zero = _outputs(held), zero_with(model, state)
    right = T.substitute(held.rhs[model.states.index(state)], model.fixed_values)
    needed = [name for name in outputs if name in T.symbols(right)]
    known = _without(right, needed)
    if known is None or not vanishes(known, zero):
        left, apart = _left(right if known is None else known, zero, outputs), ", its networks apart" if needed else ""
        raise ModelError(
            f'stays_zero = ["{state}"], but where {state} is zero its equation is not: it has {left} there{apart}. '
            "Correct the equation, or leave it out."
        )
    with_it = {
        name: [place for place, tree in enumerate(outputs[name][1].args) if vanishes(tree, zero)] for name in needed
    }
    for name in sorted(reversed(needed), key=lambda n: bool(with_it[n])):  # only those without which it does not
        fewer = [n for n in needed if n != name]
        trial = _without(right, fewer)
        if trial is not None and vanishes(trial, zero):
            needed = fewer
    vanishing, gates = dict(held.vanishing), dict(held.gates)
    for name in needed:
        slot, call, k = outputs[name]
        term = slot.terms[k]
        places = with_it[name]
        if not places:
            shown = ", ".join(T.to_text(a) for a in call.args)
            raise ModelError(
                f'stays_zero = ["{state}"], but {slot.name}({shown}) does not depend on {state}, so only zero would '
                f"do. Write {slot.name}({state}, {shown})."
            )
        place = next((p for p in places if call.args[p] == T.Symbol(state)), places[0])
        where = Vanishing(state=state, arguments=frozenset(slot.arguments[p] for p in places))
        vanishing[term] = tuple(dict.fromkeys((*vanishing.get(term, ()), where)))
        gates[term] = tuple(sorted({*gates.get(term, ()), place}))
    return replace(held, vanishing=vanishing, gates=gates)


def _without(tree: T.Tree, outputs: Collection[str]) -> T.Tree | None:
    """A tree with outputs zero; None where it is no number then."""
    try:
        return T.substitute(tree, dict.fromkeys(outputs, T.ZERO))
    except ArithmeticError:
        return None


def zero_with(model: HybridODE, state: str) -> frozenset[str]:
    """A state, and what is taken of it along a grid: a field that is zero everywhere has no slopes."""
    alone = frozenset({state})
    return alone | {part.name for part in model.spatial if vanishes(part.argument, alone)}


def _left(tree: T.Tree, zero: frozenset[str], outputs: Mapping) -> str:
    """What a right side is where a state is zero, as text."""
    try:
        tree = to_tree(expanded(T.substitute(tree, dict.fromkeys(zero, T.ZERO))))
    except ArithmeticError:
        pass
    return _written(tree, outputs)


def _moved_by_term(held: Invariants, model: HybridODE, state: str) -> bool:
    """Whether a missing term is in a state's equation where that state is zero."""
    right = held.rhs[model.states.index(state)]
    try:
        right = T.substitute(T.substitute(right, model.fixed_values), {state: T.ZERO})
    except ArithmeticError:
        pass
    return bool(T.symbols(right) & _outputs(held).keys())


# ------------------------------------------------------------------ positive states
def _demanding(held: Invariants, model: HybridODE, positive: frozenset[str]) -> Invariants:
    """The invariants with what positive states demand of the networks."""
    outputs, demands, why = _outputs(held), {}, {}
    bounded = {name for name, p in model.parameters.items() if not p.fixed and p.bounds[0] >= 0}
    signs = positive | bounded | {*model.positive}
    for state in held.inward:
        right = T.substitute(held.rhs[model.states.index(state)], model.fixed_values)
        text = partial(_written, outputs=outputs)
        demands[state], why[state] = demands_of(state, right, zero_with(model, state), outputs, signs, text)
    blind = {(d.term, d.sign) for own in demands.values() for d in own if d.place is None}
    for state, own in demands.items():
        nothing = next((d.term for d in own if d.place is None and (d.term, -d.sign) in blind), "")
        if nothing:
            why[state] = f"{nothing} would have to be zero everywhere"
    demands = tuple(d for state, own in demands.items() if not why[state] for d in own)
    return replace(held, demands=demands, open={state: reason for state, reason in why.items() if reason}, held={})
