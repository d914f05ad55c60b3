"""Trees to SymPy and back, node by node: no text is parsed on the way."""

from __future__ import annotations

import math

from udesys.errors import ModelError
from udesys.model import tree as T


def to_sympy(tree: T.Tree, networks: dict | None = None):
    """The tree as a SymPy expression with real symbols.

    Args:
        networks: output symbol -> (term name, call), shown as undefined functions.
    """
    import sympy

    if isinstance(tree, T.Number):
        if tree.value == math.pi:
            return sympy.pi
        return sympy.Integer(int(tree.value)) if float(tree.value).is_integer() else sympy.Float(tree.value, 17)
    if isinstance(tree, T.Symbol):
        if networks and tree.name in networks:
            term, call = networks[tree.name]
            return sympy.Function(term, real=True)(*(to_sympy(a) for a in call.args))
        return sympy.Symbol(tree.name, real=True)
    args = [to_sympy(a, networks) for a in tree.args]
    return _to_sympy_table()[tree.op](*args)


def _to_sympy_table() -> dict:
    import sympy

    return {
        "add": lambda a, b: a + b,
        "sub": lambda a, b: a - b,
        "mul": lambda a, b: a * b,
        "div": lambda a, b: a / b,
        "pow": lambda a, b: a**b,
        "neg": lambda a: -a,
        "abs": sympy.Abs,
        "sigmoid": lambda a: 1 / (1 + sympy.exp(-a)),
        "less": lambda a, b: sympy.Piecewise((1, a < b), (0, True)),
        "min": sympy.Min,
        "max": sympy.Max,
        **{n: getattr(sympy, n) for n in "exp log sqrt sin cos tan tanh sinh cosh sign".split()},
    }


def from_sympy(expression) -> T.Tree:
    """A SymPy expression of the language's operations as a tree.

    Raises:
        ModelError: the expression holds something else.
    """
    import sympy

    if expression.is_Symbol:
        return T.Symbol(expression.name)
    if expression.is_number and not expression.free_symbols:
        value = complex(expression)
        if value.imag or not math.isfinite(value.real):
            raise ModelError(f"{expression} is not a finite real number.")
        return T.Number(value.real)
    args = [from_sympy(a) for a in expression.args]
    if expression.is_Add:
        return T.total(args)
    if expression.is_Mul:
        result: T.Tree = T.ONE
        for argument in args:
            result = T.mul(result, argument)
        return result
    if expression.is_Pow:
        return T.power(*args)
    names = {sympy.Abs: "abs", sympy.Min: "min", sympy.Max: "max"}
    name = names.get(expression.func, expression.func.__name__)
    if name in T.UNARY_FUNCTIONS and len(args) == 1:
        return T.call(name, *args)
    if name in T.BINARY_FUNCTIONS:
        result = args[0]
        for argument in args[1:]:
            result = T.call(name, result, argument)
        return result
    raise ModelError(f"{expression.func.__name__} is not part of the equation language.")
