"""What networks must not do so that a positive state does not fall where it is zero, and how they are held to it.

On x = 0 the right side of a positive x must not be negative. Where networks stand in it by themselves, times what has a
known sign, and the known rest is not negative either, it is enough that no network pulls x down there. Of an output o
that would, what is below zero then acts times x/(x + eps), which is zero with x and hardly matters elsewhere.

Source: Nagumo, Proc. Phys.-Math. Soc. Japan 24 (1942) 551, for the condition: with it no solution crosses x = 0.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache

from udesys.model import tree as T
from udesys.model.grammar import NetworkCall
from udesys.model.polynomial import Product, Sum, expanded, linear_in, to_tree
from udesys.model.program import Program
from udesys.model.vanishing import vanishes

OUTPUT = "[]"  # no name in equations: a network's output by itself
NEVER_NEGATIVE = ("exp", "cosh", "abs", "sqrt", "sigmoid")
ODD = ("tanh", "sinh", "sign")  # of the sign of their argument


@dataclass(frozen=True, kw_only=True)
class Demand:
    """That an output does not pull a state down where that is zero.

    Attributes:
        state: the state.
        term: the output.
        sign: of what the output has there; with a negative one it must not be above zero.
        place: of the argument that is zero there; None where no argument tells.
        argument: its tree.
    """

    state: str
    term: str
    sign: int
    place: int | None = None
    argument: T.Tree | None = None


@dataclass(frozen=True)
class Held:
    """An output of which a part is less where arguments are zero.

    Attributes:
        above: (place, eps) of the arguments with which what is above zero vanishes; None where none of it acts.
        below: of what is below zero.
    """

    above: tuple[tuple[int, float], ...] | None = ()
    below: tuple[tuple[int, float], ...] | None = ()

    def tree(self, output: T.Tree, arguments: tuple[T.Tree, ...]) -> T.Tree:
        """What acts.

        A silent network is followed from the side that acts, so that its weights have slopes.
        """
        above, below = _share(self.above, arguments), _share(self.below, arguments)
        first, second, other = (below, above, "max") if above == T.ZERO else (above, below, "min")
        return T.sub(T.mul(first, output), T.mul(T.sub(first, second), T.call(other, output, T.ZERO)))


@lru_cache(maxsize=100)
def program_of(held: Held, count: int) -> Program:
    """What acts and its derivative by the output, over so many arguments and the output."""
    names = [f"[{k}]" for k in range(count)]
    tree = held.tree(T.Symbol(OUTPUT), tuple(map(T.Symbol, names)))
    return Program([tree, T.derivative(tree, OUTPUT)], [*names, OUTPUT])


def _share(places: tuple[tuple[int, float], ...] | None, arguments: tuple[T.Tree, ...]) -> T.Tree:
    """x/(x + eps) of some arguments."""
    if places is None:
        return T.ZERO
    result: T.Tree = T.ONE
    for place, eps in places:
        size = T.call("max", arguments[place], T.ZERO)
        result = T.mul(result, T.div(size, T.add(size, T.Number(eps))))
    return result


def held_by(demands: Collection[Demand], sizes: Mapping[T.Tree, float], soft: float) -> dict[str, Held]:
    """term -> how it is held.

    Args:
        demands: on all terms.
        sizes: of the arguments that are zero there.
        soft: eps in units of them.
    """
    found = {}
    for term in dict.fromkeys(d.term for d in demands):
        parts = []
        for sign in (-1, 1):
            own = [d for d in demands if d.term == term and d.sign == sign]
            least: dict[int, float] = {}
            for d in own:
                if d.place is not None:
                    eps = soft * sizes[d.argument]
                    least[d.place] = min(least.get(d.place, eps), eps)
            parts.append(None if any(d.place is None for d in own) else tuple(sorted(least.items())))
        found[term] = Held(*parts)
    return found


def demands_of(
    state: str, right: T.Tree, zero: frozenset[str], outputs: Mapping, signs: frozenset[str], text: Callable
) -> tuple[list[Demand], str]:
    """What a positive state demands of the networks, and why nothing where it cannot be said.

    Args:
        state: the state.
        right: its right side.
        zero: names that are zero with it.
        outputs: name -> slot, call and place of every output.
        signs: names that are never below zero.
        text: tree -> as the user would write it.
    """
    try:
        rest = expanded(T.substitute(right, dict.fromkeys(zero, T.ZERO)))
    except ArithmeticError:
        return [], f"its equation is no number where {state} is zero"
    found, present = [], [name for name in outputs if name in T.symbols(to_tree(rest))]
    for name in present:
        parts = linear_in(rest, name)
        if parts is None or T.symbols(to_tree(parts[0])) & outputs.keys():
            return [], f"{text(T.Symbol(name))} does not stand there by itself"
        leverage, rest = parts
        sign = sign_of_sum(leverage, signs)
        if not sign:
            return [], f"nothing says which sign {text(to_tree(leverage))} has"
        slot, call, k = outputs[name]
        place, why = _place(state, call, zero, signs, text)
        if why:
            return [], f"{text(T.Symbol(name))} {why}"
        argument = None if place is None else call.args[place]
        found.append(Demand(state=state, term=slot.terms[k], sign=sign, place=place, argument=argument))
    if rest and sign_of_sum(rest, signs) != 1:
        return [], f"nothing says that {text(to_tree(rest))} is not below zero"
    blind = next((name for name, d in zip(present, found, strict=True) if d.place is None), "")
    if blind and (rest or len(found) > 1):
        return [], f"{text(T.Symbol(blind))} does not depend on {state}, and is not all that moves it"
    return found, ""


def _place(state: str, call: NetworkCall, zero, signs: frozenset[str], text: Callable) -> tuple[int | None, str]:
    """Place of the argument that tells that a state is zero, None where none holds it; and why it cannot be said."""
    seen = [place for place, tree in enumerate(call.args) if T.symbols(tree) & zero]
    if not seen:
        return None, ""
    if (alone := T.Symbol(state)) in call.args:
        return call.args.index(alone), ""
    for place in seen:
        if vanishes(call.args[place], zero) and sign_of(call.args[place], signs) == 1:
            return place, ""
    return None, f"sees {state} in {text(call.args[seen[0]])} alone"


# ------------------------------------------------------------------ signs
def sign_of(tree: T.Tree, positive: frozenset[str]) -> int:
    """1 where a tree is never below zero, -1 where never above, 0 where that is not known.

    Args:
        tree: multiplied out, so that what cancels is gone.
        positive: names that are never below zero.
    """
    try:
        return sign_of_sum(expanded(tree), positive)
    except ArithmeticError:
        return 0


def sign_of_sum(sums: Sum, positive: frozenset[str]) -> int:
    """`sign_of` of what was multiplied out; 0 where that is zero."""
    signs = {_sign_of_product(product, positive) * (1 if c > 0 else -1) for product, c in sums.items()}
    return signs.pop() if len(signs) == 1 else 0


def _sign_of_product(product: Product, positive: frozenset[str]) -> int:
    result = 1
    for base, exponent in product:
        if exponent % 2:
            own = _sign_of_base(base, positive)
            result *= own if exponent == int(exponent) else max(own, 0)
    return result


def _sign_of_base(base: T.Tree, positive: frozenset[str]) -> int:
    if isinstance(base, T.Symbol):
        return int(base.name in positive)
    if isinstance(base, T.Number):
        return 1 if base.value >= 0 else -1
    op, args = base.op, base.args
    if op in NEVER_NEGATIVE:
        return 1
    if op in ODD:
        return sign_of(args[0], positive)
    if op in ("max", "min"):
        signs, most = [_sign_with_zero(a, positive) for a in args], 1 if op == "max" else -1
        return most if most in signs else (-most if signs == [-most, -most] else 0)
    if op == "pow":  # by what is no number
        return int(sign_of(args[0], positive) == 1)
    return sign_of(base, positive) if op in ("add", "sub", "neg") else 0


def _sign_with_zero(tree: T.Tree, positive: frozenset[str]) -> int:
    return 1 if tree == T.ZERO else sign_of(tree, positive)
