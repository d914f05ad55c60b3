"""Which combinations of constants and states a null space leaves as they are: products, ratios, sums, parts of the law.

Every claim is checked about two sets of values, for about one, such as a = b = 1, a*b cannot be told from a + b.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce

import numpy as np

from udesys.fit.identifiability.responses import INVOLVED, Directions
from udesys.model import tree as T
from udesys.model.program import Program

UNCHANGED = 1e-5  # of its parts' changes, below which a combination does not change
LARGEST_EXPONENT, LARGEST_DENOMINATOR = 6, 4  # of a monomial that is named
MOST_PARTS = 6  # of a sum or product that are tried in every subset


class Changes:
    """How trees change in null directions, about two sets of values.

    Args:
        found: the directions about either set; both have as many.
        put_in: name in a tree -> what stands for it in the closed form, such as a network's call.
    """

    def __init__(self, found: Sequence[Directions], put_in: dict[str, T.Tree]):
        self.found, self.put_in = tuple(found), put_in
        self._known: dict[T.Tree, tuple] = {}

    def of(self, tree: T.Tree) -> tuple:
        """For either set: values (samples,), changes (directions, samples) and the sizes of their parts, likewise."""
        if tree not in self._known:
            self._known[tree] = tuple(self._about(k, tree) for k in range(len(self.found)))
        return self._known[tree]

    def _about(self, k: int, tree: T.Tree):
        found, calls = self.found[k], [n for n in self.put_in if n in T.symbols(tree)]
        form = found.form
        if isinstance(tree, T.Symbol) and calls:
            return self._about(k, self.put_in[tree.name])
        names = [*form.inputs[: form.d + len(form.names)], *calls]
        used = [name for name in names if name in T.symbols(tree)]
        within = [self.of(T.Symbol(name))[k] for name in calls]
        program = Program([tree, *(T.derivative(tree, name) for name in used)], [*form.inputs, *calls])
        driving = () if found.u is None else found.u.T
        with np.errstate(all="ignore"):
            values = program.run([*found.x.T, *form.values, found.t, *driving, *(value for value, *_ in within)])
        value, *slopes = (np.broadcast_to(np.asarray(v, float), found.t.shape) for v in values)
        change, size = np.zeros((2, len(found), len(found.t)))
        for name, slope in zip(used, slopes, strict=True):
            at = names.index(name)
            if at < form.d:
                own = found.states[:, :, at]
            elif at < form.d + len(form.names):
                own = found.values[:, at - form.d, None]
            else:
                own = within[calls.index(name)][1]
            change = change + slope * own
            size = size + np.abs(slope * own)
        return value, change, size

    def unchanged(self, tree: T.Tree) -> bool:
        """Whether a tree stays as it is in every direction."""
        return all(_nothing(change, size) for _, change, size in self.of(tree))

    def moves(self, tree: T.Tree) -> bool:
        """Whether its parts do change."""
        return any(bool((size > 0).any()) for _, _, size in self.of(tree))

    def sum_unchanged(self, terms: Sequence[tuple[int, T.Tree]]) -> bool:
        """Whether a sum of terms (sign, tree) stays."""
        for k in range(len(self.found)):
            parts = [(sign, *self.of(tree)[k]) for sign, tree in terms]
            if not _nothing(sum(s * change for s, _, change, _ in parts), sum(size for *_, size in parts)):
                return False
        return True

    def product_unchanged(self, factors: Sequence[tuple[int, T.Tree]]) -> bool:
        """Whether a product of factors (exponent, tree) stays."""
        for k in range(len(self.found)):
            with np.errstate(all="ignore"):
                parts = [(e, *self.of(tree)[k]) for e, tree in factors]
                change = sum(e * change / value for e, value, change, _ in parts)
                size = sum(size / np.abs(value) for _, value, _, size in parts)
            if not _nothing(change, size):
                return False
        return True


def _nothing(change, size) -> bool:
    fine = np.isfinite(change) & np.isfinite(size)
    change, size = np.where(fine, change, 0.0), np.where(fine, size, 0.0)
    return bool((np.linalg.norm(change, axis=1) <= UNCHANGED * np.linalg.norm(size, axis=1)).all())


# ------------------------------------------------------------------ parts of the law
def smallest_part(changes: Changes, trees: Sequence[T.Tree], of: str, inside: dict[str, frozenset[str]]):
    """The smallest part of the right sides that holds a name and is determined; None where there is none.

    Args:
        changes: in the null directions.
        trees: right sides, observables and arguments of networks, with a network's call as one symbol.
        of: the name.
        inside: symbol of a network's call -> the names in its arguments.
    """
    found = {part for tree in trees for part in _parts(changes, tree, of, inside)}
    return min(found, key=lambda part: (sum(1 for _ in T.walk(part)), T.to_text(part)), default=None)


def _parts(changes: Changes, tree: T.Tree, of: str, inside) -> Iterator[T.Tree]:
    """Determined parts of a tree that hold a name."""
    for node in T.walk(tree):
        if of not in names_in(node, inside):
            continue
        if isinstance(node, T.Symbol) and node.name not in inside:
            continue
        if changes.moves(node) and changes.unchanged(node):
            yield node
        for flat, stays, join in _chains(changes, node):
            moving = [part for part in flat if not changes.unchanged(part[1])]
            if len(moving) > MOST_PARTS:
                continue
            for count in range(2, len(moving) + 1):
                for chosen in itertools.combinations(moving, count):
                    if any(of in names_in(part, inside) for _, part in chosen) and stays(chosen):
                        yield join(chosen)


def _chains(changes: Changes, node: T.Tree):
    """A node as a sum or as a product, and as the product with each of its terms where one factor is a sum."""
    if not isinstance(node, T.Operation):
        return
    if node.op in ("add", "sub"):
        yield _terms(node), changes.sum_unchanged, _sum
    if node.op in ("mul", "div"):
        flat = _factors(node)
        yield flat, changes.product_unchanged, _product
        for k, (exponent, factor) in enumerate(flat):
            if exponent == 1 and isinstance(factor, T.Operation) and factor.op in ("add", "sub"):
                for _, term in _terms(factor):
                    yield [*_factors(term), *flat[:k], *flat[k + 1 :]], changes.product_unchanged, _product


def names_in(tree: T.Tree, inside: Mapping[str, frozenset[str]]) -> frozenset[str]:
    """Names in a tree, those in the arguments of its networks included."""
    own = T.symbols(tree)
    return own.union(*(inside[name] for name in own if name in inside))


def _terms(tree: T.Tree, sign: int = 1) -> list[tuple[int, T.Tree]]:
    """Terms (sign, tree) of a sum."""
    if isinstance(tree, T.Operation) and tree.op in ("add", "sub"):
        left, right = tree.args
        return [*_terms(left, sign), *_terms(right, sign if tree.op == "add" else -sign)]
    if isinstance(tree, T.Operation) and tree.op == "neg":
        return _terms(tree.args[0], -sign)
    return [(sign, tree)]


def _factors(tree: T.Tree, exponent: int = 1) -> list[tuple[int, T.Tree]]:
    """Factors (exponent, tree) of a product; its sign is left out."""
    if isinstance(tree, T.Operation) and tree.op in ("mul", "div"):
        left, right = tree.args
        return [*_factors(left, exponent), *_factors(right, exponent if tree.op == "mul" else -exponent)]
    if isinstance(tree, T.Operation) and tree.op == "neg":
        return _factors(tree.args[0], exponent)
    return [(exponent, tree)]


def _sum(terms: Sequence[tuple[int, T.Tree]]) -> T.Tree:
    """The tree of signed terms, a positive one first where there is one."""
    flip = -1 if all(sign < 0 for sign, _ in terms) else 1
    ordered = sorted(terms, key=lambda part: flip * part[0] < 0)
    first, *rest = (tree if flip * sign > 0 else T.neg(tree) for sign, tree in ordered)
    return reduce(lambda a, b: T.sub(a, b.args[0]) if _negative(b) else T.add(a, b), rest, first)


def _negative(tree: T.Tree) -> bool:
    return isinstance(tree, T.Operation) and tree.op == "neg"


def _product(factors: Sequence[tuple[int, T.Tree]]) -> T.Tree:
    """The tree of factors with exponents one and minus one, or of a monomial's powers."""
    above = [_power(tree, e) for e, tree in factors if e > 0]
    below = [_power(tree, -e) for e, tree in factors if e < 0]
    if not above:
        above, below = below, []
    top = reduce(T.mul, above)
    return T.div(top, reduce(T.mul, below)) if below else top


def _power(tree: T.Tree, exponent) -> T.Tree:
    return tree if exponent == 1 else T.power(tree, T.Number(float(exponent)))


# ------------------------------------------------------------------ combinations of constants alone
@dataclass(frozen=True)
class Block:
    """Constants that are undetermined together.

    Attributes:
        places: of the unknowns.
        rank: of what the null space does to them; as many as there are where none of their combinations is determined.
    """

    places: tuple[int, ...]
    rank: int


def blocks_of(found: Directions) -> list[Block]:
    """The undetermined unknowns, those in one block that depend on each other."""
    parts = np.where(np.abs(found.parts) > INVOLVED, found.parts, 0.0)
    moved = np.flatnonzero(parts.any(0))
    if not len(moved):
        return []
    rows = _reduced(found.parts[:, moved])
    left, blocks = set(range(len(moved))), []
    while left:
        members, grown = {min(left)}, True
        while grown:
            touching = [set(np.flatnonzero(row)) for row in rows if members & set(np.flatnonzero(row))]
            joined = members.union(*touching)
            grown, members = joined != members, joined
        rank = sum(bool(members & set(np.flatnonzero(row))) for row in rows)
        blocks.append(Block(tuple(int(moved[k]) for k in sorted(members)), rank))
        left -= members
    return blocks


def _reduced(matrix: np.ndarray) -> np.ndarray:
    """Rows in reduced echelon form with the largest pivots; what is zero to rounding is zero."""
    rows, done, pivots = matrix.copy(), 0, []
    scale = np.abs(matrix).max(initial=0.0)
    while done < len(rows):
        rest = np.abs(rows[done:]).copy()
        rest[:, pivots] = 0.0
        at = np.unravel_index(np.argmax(rest), rest.shape)
        if rest[at] <= INVOLVED * scale:
            break
        k, pivot = done + at[0], at[1]
        rows[[done, k]] = rows[[k, done]]
        rows[done] /= rows[done, pivot]
        others = np.arange(len(rows)) != done
        rows[others] -= np.outer(rows[others, pivot], rows[done])
        pivots.append(pivot)
        done += 1
    rows = rows[:done]
    return np.where(np.abs(rows) > 10 * INVOLVED, rows, 0.0)


def constant_combinations(found: Sequence[Directions], block: Block) -> list[T.Tree]:
    """Monomials, then sums, of a block's constants that are determined, as far as there are such.

    Args:
        found: the null directions about two sets of values.
        block: of the first of them.
    """
    names = [found[0].form.labels[k] for k in block.places]
    moved = [np.asarray(f.values[:, block.places]) for f in found]
    with np.errstate(all="ignore"):
        relative = [m / f.form.values[list(block.places)] for m, f in zip(moved, found, strict=True)]
    combined: list[T.Tree] = []
    for matrices, join in ((relative, _monomial), (moved, _integer_sum)):
        if len(combined) < len(names) - block.rank:
            combined += [join(names, row) for row in _small_rationals(matrices)]
    return combined


def _small_rationals(matrices: Sequence[np.ndarray]) -> list[list[Fraction]]:
    """Rows of small rationals that are orthogonal to the rows of all matrices, in the simplest basis there is."""
    stacked = np.concatenate(matrices)
    if not np.isfinite(stacked).all():
        return []
    length = np.linalg.norm(stacked, axis=1)
    stacked = stacked[length > INVOLVED * length.max(initial=0.0)]
    stacked = stacked / np.linalg.norm(stacked, axis=1, keepdims=True)
    _, singular, right = np.linalg.svd(stacked)
    space = right[np.pad(singular, (0, len(right) - len(singular))) < INVOLVED]
    n, found = len(right), []
    bases = itertools.combinations(range(n), len(space)) if n <= MOST_PARTS else [tuple(range(len(space)))]
    for pivots in bases if len(space) else ():
        corner = space[:, list(pivots)]
        if np.linalg.cond(corner) > 1e4:
            continue
        exact = np.linalg.solve(corner, space)
        rows = [[Fraction(float(v)).limit_denominator(LARGEST_DENOMINATOR) for v in row] for row in exact]
        exact = np.array(rows, dtype=float)
        size = np.abs(stacked) @ np.abs(exact).T
        if np.abs(exact).max() <= LARGEST_EXPONENT and (np.abs(stacked @ exact.T) <= UNCHANGED * size).all():
            found.append([_whole(row) for row in rows])
    return min(found, key=lambda rows: sum(map(_size, rows)), default=[])


def _size(row: Sequence[Fraction]) -> float:
    """By which combinations are compared: few constants, small exponents, and rather products than ratios."""
    return float(sum(abs(e) + Fraction(e < 0) / 4 for e in row))


def _whole(fractions: Sequence[Fraction]) -> list[Fraction]:
    """Multiplied to whole numbers, the first of them positive."""
    common = np.lcm.reduce([f.denominator for f in fractions])
    whole = [f * int(common) for f in fractions]
    divisor = np.gcd.reduce([abs(int(f)) for f in whole])
    sign = 1 if next(f for f in whole if f) > 0 else -1
    return [sign * f / int(divisor) for f in whole]


def _monomial(names: list[str], exponents: list[Fraction]) -> T.Tree:
    return _product([(int(e), T.Symbol(n)) for n, e in zip(names, exponents, strict=True) if e])


def _integer_sum(names: list[str], weights: list[Fraction]) -> T.Tree:
    terms = []
    for name, weight in zip(names, weights, strict=True):
        if weight:
            terms.append((1 if weight > 0 else -1, T.mul(T.Number(abs(float(weight))), T.Symbol(name))))
    return _sum(terms)
