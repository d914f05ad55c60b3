"""Trees compiled to straight-line programs with common subexpressions shared.

One program serves every evaluator: NumPy arrays, torch tensors and the compiled machine.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from udesys.integrate.operations import OPERATIONS
from udesys.model import tree as T

_NUMBER = {name: i for i, name in enumerate(OPERATIONS)}
_MAX_INTEGER_POWER = 64  # above it a power is left to the library's own function


class Program:
    """Instructions (op, a, b) that write one new register each.

    Registers are the inputs, then the constants, then one per instruction.

    Args:
        trees: what to compute; a tree may be shared, its parts are computed once.
        inputs: names of the symbols the trees may hold, in the order of the values given to `run`.

    Attributes:
        code: (instructions, 3) int32; for `powi` the last column is the exponent itself.
        constants: (constants,) float64.
        outputs: (len(trees),) int32, the registers of the results.
    """

    def __init__(self, trees: Sequence[T.Tree], inputs: Sequence[str]):
        self.inputs = tuple(inputs)
        self._numbers: dict[float, int] = {}
        for tree in trees:
            self._collect_numbers(tree)
        self._first = len(self.inputs) + len(self._numbers)
        self._known: dict[T.Tree, int] = {T.Symbol(name): i for i, name in enumerate(self.inputs)}
        self._instructions: dict[tuple[int, int, int], int] = {}
        self.outputs = np.array([self._register(tree) for tree in trees], dtype=np.int32)
        self.code = np.array(list(self._instructions), dtype=np.int32).reshape(-1, 3)
        self.constants = np.array(list(self._numbers), dtype=float)

    def _collect_numbers(self, tree: T.Tree) -> None:
        for node in T.walk(tree):
            if isinstance(node, T.Number):
                self._numbers.setdefault(node.value, len(self._numbers))

    def _register(self, tree: T.Tree) -> int:
        if isinstance(tree, T.Number):
            return len(self.inputs) + self._numbers[tree.value]
        if tree not in self._known:
            self._known[tree] = self._emit(tree)
        return self._known[tree]

    def _emit(self, tree: T.Tree) -> int:
        if isinstance(tree, T.Symbol):
            raise KeyError(f"{tree.name!r} is no input of this program")
        op, args = tree.op, tree.args
        exponent = args[1].value if op == "pow" and isinstance(args[1], T.Number) else 0.5
        if op == "pow" and float(exponent).is_integer() and abs(exponent) <= _MAX_INTEGER_POWER:
            instruction = (_NUMBER["powi"], self._register(args[0]), int(exponent))
        else:
            registers = list(map(self._register, args))  # no frame of its own: derivatives are deep
            if op in ("add", "mul"):
                registers.sort()  # one form for a*b and b*a
            instruction = (_NUMBER[op], registers[0], registers[-1])
        return self._instructions.setdefault(instruction, self._first + len(self._instructions))

    def run(self, values: Sequence, functions: dict | None = None) -> list:
        """Evaluate on arrays of one shape (or scalars), in the order of `inputs`.

        Args:
            values: one array, tensor or number per input.
            functions: meaning of the operations; NumPy's by default, `torch_functions()` for tensors.

        Returns:
            One value per tree, broadcast as the operations do; a constant tree gives a number.
        """
        table = _NUMPY if functions is None else functions
        number = np.float64 if functions is None else float  # Python's own raise where NumPy's overflow
        registers = [number(v) if isinstance(v, float) else v for v in (*values, *self.constants)]
        for op, a, b in self.code.tolist():
            name = OPERATIONS[op]
            if name == "powi":
                registers.append(registers[a] ** b)
            elif name in _BINARY:
                registers.append(table[name](registers[a], registers[b]))
            else:
                registers.append(table[name](registers[a]))
        return [registers[r] for r in self.outputs.tolist()]


_BINARY = frozenset({"add", "sub", "mul", "div", "pow", "less", "min", "max"})
_NUMPY = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "pow": lambda a, b: a**b,
    "neg": lambda a: -a,
    "abs": abs,
    "sign": np.sign,
    "sigmoid": lambda a: 0.5 * (1.0 + np.tanh(0.5 * a)),
    "less": lambda a, b: np.less(a, b).astype(float),
    "min": np.minimum,
    "max": np.maximum,
    **{name: getattr(np, name) for name in "exp log sqrt sin cos tan tanh sinh cosh".split()},
}


def torch_functions() -> dict:
    """The operations on float64 tensors; numbers pass through NumPy's."""
    import torch

    def unary(name):
        function = getattr(torch, name)
        return lambda a: function(a) if isinstance(a, torch.Tensor) else _NUMPY[name](a)

    def tensors(function):
        def apply(a, b):
            like = a if isinstance(a, torch.Tensor) else b
            return function(*(v if isinstance(v, torch.Tensor) else torch.full_like(like, v) for v in (a, b)))

        return apply

    names = "exp log sqrt sin cos tan tanh sinh cosh abs sign sigmoid".split()
    return {
        **_NUMPY,
        **{name: unary(name) for name in names},
        "less": tensors(lambda a, b: (a < b).to(a.dtype)),
        "min": tensors(torch.minimum),
        "max": tensors(torch.maximum),
    }
