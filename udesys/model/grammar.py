"""The equation language: text to trees by a grammar, and nothing else.

Nothing from a file is evaluated as code: lark's LALR parser knows the handful of rules below, and
every name is checked later against the model's own.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Collection
from dataclasses import dataclass

from udesys.errors import ModelError, nearest
from udesys.model import tree as T
from udesys.model.grid import OPERATORS, SAME, STENCIL, coefficient_names, is_spatial

GRAMMAR = r"""
?start: sum
?sum: product | sum "+" product -> add | sum "-" product -> sub
?product: unary | product "*" unary -> mul | product "/" unary -> div
?unary: "-" unary -> neg | "+" unary -> plus | power
?power: atom | atom ("**" | "^") unary -> pow
?atom: NUMBER -> number
     | NAME -> name
     | NAME "(" [sum ("," sum)*] ")" -> call
     | NAME "(" [sum ("," sum)*] ")" "[" NUMBER "]" -> indexed_call
     | "(" sum ")"
NAME: /[A-Za-z_][A-Za-z0-9_]*'?/
NUMBER: /([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?/
%ignore /[ \t]+/
"""

MAX_EQUATION_LENGTH = 10_000  # characters; longer text is a mistake, not a law
MAX_OUTPUT = 9  # the highest output of a network
MAX_DEPTH = 150  # nodes on a path; keeps every later recursion far from Python's limit

_LEFT_SIDE = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_]*)('{0,3})\s*\Z")
RESERVED = frozenset({"t", "pi", *T.FUNCTIONS})


@dataclass(frozen=True)
class NetworkCall:
    """A network applied to argument trees; `NetworkCall.output_name(k)` is its k-th output's symbol."""

    network: str
    args: tuple[T.Tree, ...]

    def output_name(self, output: int) -> str:
        """Name under which the equations see an output of this call."""
        args = ", ".join(T.to_text(a, 17) for a in self.args)
        return f"{self.network}({args})[{output}]"


@dataclass(frozen=True)
class Equation:
    """One parsed line: `state' = right` (order 1) or `state'' = right` (order 2)."""

    state: str
    order: int
    right: T.Tree
    calls: tuple[tuple[NetworkCall, int], ...]
    text: str
    line: int


@functools.cache
def _lark():
    from lark import Lark

    return Lark(GRAMMAR, parser="lalr")


def parse_equations(text: str, networks: Collection[str] = ()) -> list[Equation]:
    """Parse lines such as `x' = a*x + NN(x, y)`.

    Args:
        text: one equation a line; empty lines and what follows `#` are skipped.
        networks: names of networks besides those that start with NN.

    Raises:
        ModelError: a line is no equation; the message tells the line and the place in it.
    """
    equations = []
    for number, raw in enumerate(str(text).splitlines(), start=1):
        line = raw.split("#", 1)[0].rstrip()
        if line.strip():
            equations.append(_Line(line, number, frozenset(networks)).equation())
    if not equations:
        raise ModelError("there is no equation. Write at least one, such as  x' = a*x + NN(x).")
    return equations


def parse_expression(text: str) -> T.Tree:
    """Parse one expression without networks, such as a library term `x*exp(-y)`.

    Raises:
        ModelError: the text is no expression of the language.
    """
    line = _Line(str(text), 1, frozenset())
    line.check_length_and_brackets()
    parsed = line.expression(0)
    if line.calls:
        raise ModelError(f"{line.calls[0][0].network!r} in {text!r} is a network; only known functions may stand here.")
    return parsed


class _Line:
    """One line of text on its way to a tree; it knows how to point at a place in itself."""

    def __init__(self, text: str, number: int, networks: frozenset[str]):
        self.text, self.number, self.networks = text, number, networks
        self.calls: list[tuple[NetworkCall, int]] = []

    def refuse(self, what: str, place: int, remedy: str) -> ModelError:
        """The error that names the place (0-based) and shows it under the line."""
        shown, shift = self.text, 0
        if len(shown) > 90:  # a window around the place keeps the caret on the screen
            shift = max(0, place - 40)
            shown = self.text[shift : shift + 90]
        shown = "".join(c if c.isprintable() else " " for c in shown)  # a tab would move the caret
        caret = " " * (place - shift) + "^"
        return ModelError(f"equation {self.number}, column {place + 1}: {what}. {remedy}\n    {shown}\n    {caret}")

    def equation(self) -> Equation:
        self.check_length()
        left, equals, right = self.text.partition("=")
        if not equals:
            raise self.refuse("there is no '='", len(self.text), "Write  state' = expression.")
        match = _LEFT_SIDE.match(left)
        if not match or match[2] not in ("'", "''"):
            hint = "The left side is a state with one or two primes, as in  x' = ...  or  x'' = ..."
            raise self.refuse(f"the left side {left.strip()!r} is no derivative", 0, hint)
        if match[1] in RESERVED:
            raise self.refuse(f"{match[1]!r} is a reserved name", 0, "Choose another name for the state.")
        if not right.strip():
            raise self.refuse("the right side is empty", len(left) + 1, "Write the known terms or a network.")
        self.check_length_and_brackets()
        parsed = self.expression(len(left) + 1)
        return Equation(match[1], len(match[2]), parsed, tuple(self.calls), self.text.strip(), self.number)

    def check_length(self) -> None:
        if len(self.text) > MAX_EQUATION_LENGTH:
            raise ModelError(
                f"equation {self.number} has {len(self.text)} characters; at most {MAX_EQUATION_LENGTH} are read. "
                "Split the law into several states or shorten it."
            )

    def check_length_and_brackets(self) -> None:
        self.check_length()
        pairs, stack = {")": "(", "]": "["}, []
        for place, character in enumerate(self.text):
            if character in "([":
                stack.append((character, place))
                if len(stack) > MAX_DEPTH:
                    raise self.too_deep()
            elif character in pairs:
                if not stack or stack[-1][0] != pairs[character]:
                    remedy = f"Remove it or add the missing '{pairs[character]}'."
                    raise self.refuse(f"'{character}' closes nothing", place, remedy)
                stack.pop()
        if stack:
            raise self.refuse(f"'{stack[-1][0]}' is never closed", stack[-1][1], "Add the missing bracket.")

    def too_deep(self) -> ModelError:
        return ModelError(f"equation {self.number} is nested more than {MAX_DEPTH} levels deep. Write it flatter.")

    def expression(self, offset: int) -> T.Tree:
        """The tree of what stands from `offset` on."""
        from lark.exceptions import UnexpectedCharacters, UnexpectedToken

        try:
            root = _lark().parse(self.text[offset:])
        except UnexpectedCharacters as error:
            place = offset + error.pos_in_stream
            what = f"the character {self.text[place]!r} has no meaning in an equation"
            raise self.refuse(what, place, self.character_hint(place)) from None
        except UnexpectedToken as error:
            if error.token.type == "$END":
                remedy = "Something is missing after the last sign."
                raise self.refuse("the expression ends too early", len(self.text), remedy) from None
            place = offset + error.token.start_pos
            remedy = "Is an operator missing before it?"
            raise self.refuse(f"{str(error.token)!r} is not expected here", place, remedy) from None
        parsed = self.build(root, offset)
        if T.depth(parsed) > MAX_DEPTH:
            raise self.too_deep()
        return parsed

    def character_hint(self, place: int) -> str:
        character = self.text[place]
        if character == ".":
            return "Attributes do not exist here; decimal points stand between digits."
        if self.text[: place + 1].endswith("''"):
            return "A second derivative stands only on the left side."
        if character in "'\"":
            return "Text in quotes does not exist here; a prime follows a state's name directly, as in x'."
        if character == "=":
            return "One equation a line, with one '='."
        return "Use names, numbers, + - * / ** ^ ( ) and the functions " + ", ".join(T.FUNCTIONS) + "."

    def build(self, root, offset: int) -> T.Tree:
        """Our tree from lark's, bottom-up without recursion; network calls are collected on the way."""
        results: dict[int, T.Tree] = {}
        for node in root.iter_subtrees():  # children come before their parents
            children = [results.get(id(c), c) for c in node.children]
            try:
                results[id(node)] = self.convert(node.data, children, offset)
            except ArithmeticError as error:
                raise ModelError(f"equation {self.number}: {error}\n    {self.text}") from None
        return results[id(root)]

    def convert(self, rule: str, children: list, offset: int) -> T.Tree:
        if rule in _BINARY:
            return _BINARY[rule](*children)
        if rule == "neg":
            return T.neg(children[0])
        if rule == "plus":
            return children[0]
        place = offset + children[0].start_pos
        if rule == "number":
            if not math.isfinite(float(children[0])):
                raise self.refuse(f"{children[0]} is not a finite number", place, "Write a smaller one.")
            return T.Number(float(children[0]))
        name = str(children[0])
        if rule == "name":
            if name in T.FUNCTIONS:
                raise self.refuse(f"the function {name!r} has no argument", place, f"Write it as in {name}(x).")
            return T.Number(math.pi) if name == "pi" else T.Symbol(name)
        args = [c for c in children[1:] if isinstance(c, T.Tree)]
        if rule == "call" and name in T.FUNCTIONS:
            return self.function(name, args, place)
        if rule == "call" and name in (*OPERATORS, *SAME, STENCIL) and name not in self.networks:
            return self.along_the_grid(name, args, place)
        output = self.output_index(children[-1], offset) if rule == "indexed_call" else 0
        return self.network(name, args, output, place)

    def function(self, name: str, args: list[T.Tree], place: int) -> T.Tree:
        wanted = 2 if name in T.BINARY_FUNCTIONS else 1
        if len(args) != wanted:
            what = f"{name}() takes {wanted} argument{'s' * (wanted > 1)}, not {len(args)}"
            raise self.refuse(what, place, "Correct the call.")
        return T.call(name, *args)

    def along_the_grid(self, name: str, args: list[T.Tree], place: int) -> T.Tree:
        """The symbol of an operator along the grid, or what a learned stencil comes to."""
        if len(args) != 1:
            raise self.refuse(f"{name}() takes 1 argument, not {len(args)}", place, f"Write it as in {name}(u).")
        (argument,) = args
        if any(symbol.endswith("]") or is_spatial(symbol) for symbol in T.symbols(argument)):
            what = f"{name}() is applied to a network or to another operator"
            raise self.refuse(what, place, "Apply it to a field or to an expression of fields; dxx(u) is dx of dx(u).")
        text = T.to_text(argument, 17)
        if name != STENCIL:
            return T.Symbol(f"{SAME.get(name, name)}({text})")
        if not isinstance(argument, T.Symbol):
            raise self.refuse(f"{name}() takes a field, not {text!r}", place, f"Write it as in {name}(u).")
        mean, first, second = (T.Symbol(f"{operator}({text})") for operator in ("mean3", "dx", "dxx"))
        one, two, three = (T.Symbol(beta) for beta in coefficient_names(text))
        return T.sub(T.add(T.mul(one, mean), T.mul(two, first)), T.mul(three, second))

    def output_index(self, token, offset: int) -> int:
        digits = str(token).lstrip("0") or "0"  # int() refuses thousands of them
        if not digits.isdigit() or len(digits) > len(str(MAX_OUTPUT)) or int(digits) > MAX_OUTPUT:
            remedy = f"Outputs are counted [0], [1], ... up to [{MAX_OUTPUT}]."
            raise self.refuse(f"[{token}] is no output of a network", offset + token.start_pos, remedy)
        return int(digits)

    def network(self, name: str, args: list[T.Tree], output: int, place: int) -> T.Tree:
        if name in T.FUNCTIONS:
            raise self.refuse(f"the function {name!r} has one value", place, "Remove the square brackets.")
        if not name.startswith("NN") and name not in self.networks:
            close = nearest(name, T.FUNCTIONS)
            remedy = f"Did you mean {close[0]!r}? " if close else ""
            remedy += "A network's name starts with NN; functions are " + ", ".join(T.FUNCTIONS) + "."
            raise self.refuse(f"{name!r} is no known function", place, remedy)
        if not args:
            remedy = f"Name what the missing term may depend on, as in {name}(x, y)."
            raise self.refuse(f"{name}() has no argument", place, remedy)
        if any(symbol.endswith("]") for a in args for symbol in T.symbols(a)):
            remedy = "Give it states, inputs or expressions of them."
            raise self.refuse(f"{name} has a network among its arguments", place, remedy)
        if any(T.depth(a) > MAX_DEPTH for a in args):
            raise self.too_deep()
        made = NetworkCall(name, tuple(args))
        self.calls.append((made, output))
        return T.Symbol(made.output_name(output))


_BINARY = {"add": T.add, "sub": T.sub, "mul": T.mul, "div": T.div, "pow": T.power}
