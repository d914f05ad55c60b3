"""The equation language: Python's own precedence decides what a text means, and all else is refused in place."""

import ast
import math
import operator
import time

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from udesys.errors import ModelError
from udesys.model import tree as T
from udesys.model.grammar import MAX_DEPTH, MAX_EQUATION_LENGTH, parse_equations, parse_expression

QUICK = 5.0  # s of the processor: far above what it takes, far below what it took without bounds

# The meaning of the functions, from Python's library.
MEANING = {name: getattr(math, name) for name in "exp log sqrt sin cos tan tanh sinh cosh".split()}
MEANING |= {"abs": abs, "min": min, "max": max, "sign": lambda a: float((a > 0) - (a < 0))}
MEANING |= {"sigmoid": lambda a: 0.5 * (1.0 + math.tanh(0.5 * a))}
SIGNS = {"add": operator.add, "sub": operator.sub, "mul": operator.mul, "div": operator.truediv}
MEANING |= SIGNS | {"pow": operator.pow, "neg": operator.neg}
PYTHON = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.Pow: operator.pow, ast.USub: operator.neg, ast.UAdd: operator.pos,
}


class OutsideTheReals(Exception):
    """Python's arithmetic leaves the finite real numbers."""


def real(function, *args):
    try:
        result = function(*args)
    except (ArithmeticError, ValueError):
        raise OutsideTheReals from None
    if isinstance(result, complex) or not math.isfinite(result):
        raise OutsideTheReals
    return result


def as_python_reads_it(text, names):
    """The value of a text whose structure Python's own parser finds."""

    def value(node):
        if isinstance(node, ast.Constant):
            return float(node.value)
        if isinstance(node, ast.Name):
            return names[node.id]
        if isinstance(node, ast.UnaryOp):
            return real(PYTHON[type(node.op)], value(node.operand))
        if isinstance(node, ast.BinOp):
            return real(PYTHON[type(node.op)], value(node.left), value(node.right))
        return real(MEANING[node.func.id], *map(value, node.args))

    return value(ast.parse(text.replace("^", "**").strip(), mode="eval").body)


def value_of(tree, names):
    """The value of our tree, by the same functions in the tree's order."""
    if isinstance(tree, T.Number):
        return tree.value
    if isinstance(tree, T.Symbol):
        return names[tree.name]
    return real(MEANING[tree.op], *(value_of(a, names) for a in tree.args))


@st.composite
def flat_texts(draw, depth=3):
    """Operands in a row with operators between them: only precedence tells what they mean."""
    parts = []
    for place in range(draw(st.integers(1, 4))):
        if place:
            sign = draw(st.sampled_from(["+", "-", "*", "/", "**", "^"]))
            space = draw(st.sampled_from(["", " ", "\t"]))
            parts.append(f"{space}{sign}{space}")
        parts.append("".join(draw(st.lists(st.sampled_from("-+"), max_size=2))))
        parts.append(draw(operands(depth)))
    return "".join(parts)


@st.composite
def operands(draw, depth):
    if depth == 0 or draw(st.booleans()):
        # no leading zeros, which Python forbids before other digits
        return draw(st.sampled_from(["x", "y", "1", "2", "3.", ".5", "0.25", "1e1", "2.5E-1", "7e+0", "1.75"]))
    inner = draw(flat_texts(depth - 1))
    name = draw(st.sampled_from(["", "", *T.FUNCTIONS]))
    if name in T.BINARY_FUNCTIONS:
        inner = f"{inner}, {draw(flat_texts(depth - 1))}"
    return f"{name}({inner})"


@settings(deadline=None)
@given(flat_texts(), st.floats(-3, 3), st.floats(0.1, 3))
def test_a_text_means_what_python_says_it_means(text, x, y):
    names = {"x": x, "y": y}
    try:
        expected = as_python_reads_it(text, names)
    except OutsideTheReals:
        assume(False)
    # Exactly: the same operations in the same order. Folding and x*0 = 0 change no finite value.
    assert value_of(parse_expression(text), names) == expected


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("-2**2", -4), ("(-2)**2", 4), ("2**-1", 0.5), ("2**3**2", 512), ("2^3^2", 512), ("(2**3)**2", 64),
        ("8/4/2", 1), ("8/4*2", 4), ("1-2-3", -4), ("1--2", 3), ("--2", 2), ("-+-2", 2), ("2*-3", -6),
        ("-2*3", -6), ("2-3*4", -10), ("2**-2**2", 2**-4), ("1e-3", 0.001), (".5", 0.5), ("3.", 3),
    ],
)  # fmt: skip
def test_constants_are_folded_to_the_number_arithmetic_gives(text, value):
    assert parse_expression(text) == T.Number(value)


def test_pi_is_a_number_and_t_a_name():
    assert parse_expression("pi") == T.Number(math.pi)
    assert parse_expression("t") == T.Symbol("t")


def test_spaces_tabs_empty_lines_and_comments_mean_nothing():
    plain = parse_equations("x'=a*x\ny'=-y")
    wide = parse_equations("# a law\n\n  x' =\ta * x  # growth = birth\r\n   # nothing\n y' = - y #")
    assert [(e.state, e.order, e.right) for e in plain] == [(e.state, e.order, e.right) for e in wide]
    assert [e.line for e in wide] == [3, 5]
    assert wide[0].text == "x' =\ta * x"


def test_two_primes_make_a_second_order_equation_and_one_prime_is_a_name_on_the_right():
    (equation,) = parse_equations("theta'' = -theta - 0.1*theta'")
    assert (equation.state, equation.order) == ("theta", 2)
    assert T.symbols(equation.right) == {"theta", "theta'"}


def test_a_network_is_one_symbol_for_each_output_and_each_list_of_arguments():
    (equation,) = parse_equations("x' = NN1(x, 2*y) + NN1(x, 2*y)[0] - NN1(x, 2*y)[3] + NN2( x )")
    assert T.symbols(equation.right) == {"NN1(x, 2*y)[0]", "NN1(x, 2*y)[3]", "NN2(x)[0]"}
    assert [(call.network, output) for call, output in equation.calls] == [
        ("NN1", 0), ("NN1", 0), ("NN1", 3), ("NN2", 0),
    ]  # fmt: skip
    assert equation.calls[0][0].args == (T.Symbol("x"), parse_expression("2*y"))


def test_a_listed_network_needs_no_nn_in_its_name():
    (equation,) = parse_equations("x' = growth(x)", networks=["growth"])
    assert equation.calls[0][0].network == "growth"
    with pytest.raises(ModelError, match="'growth' is no known function"):
        parse_equations("x' = growth(x)")


REFUSED = {
    # text: (column, what, what to do)
    "x = 2": (1, "the left side 'x' is no derivative", "one or two primes"),
    "2x' = 1": (1, "the left side \"2x'\" is no derivative", "one or two primes"),
    "x''' = 1": (1, "the left side \"x'''\" is no derivative", "one or two primes"),
    "x y' = 1": (1, "the left side \"x y'\" is no derivative", "one or two primes"),
    "x.y' = 1": (1, "the left side \"x.y'\" is no derivative", "one or two primes"),
    "dx/dt = 1": (1, "the left side 'dx/dt' is no derivative", "x' = ..."),
    "= 1": (1, "the left side '' is no derivative", "one or two primes"),
    "x' 2": (5, "there is no '='", "state' = expression"),
    "x' =": (5, "the right side is empty", "known terms or a network"),
    "x' =   # later": (5, "the right side is empty", "known terms or a network"),
    "sin' = 1": (1, "'sin' is a reserved name", "Choose another name"),
    "t' = 1": (1, "'t' is a reserved name", "Choose another name"),
    "pi'' = 1": (1, "'pi' is a reserved name", "Choose another name"),
    "x' = (x": (6, "'(' is never closed", "Add the missing bracket"),
    "x' = ((x) + (y": (13, "'(' is never closed", "Add the missing bracket"),
    "x' = NN(x)[0": (11, "'[' is never closed", "Add the missing bracket"),
    "x' = x)": (7, "')' closes nothing", "Remove it or add the missing '('"),
    "x' = (x]": (8, "']' closes nothing", "add the missing '['"),
    "x' = 1 +": (9, "the expression ends too early", "missing after the last sign"),
    "x' = * x": (6, "'*' is not expected here", "operator missing"),
    "x' = 2x": (7, "'x' is not expected here", "operator missing"),
    "x' = x y": (8, "'y' is not expected here", "operator missing"),
    "x' = x, y": (7, "',' is not expected here", "operator missing"),
    "x' = ()": (7, "')' is not expected here", "operator missing"),
    "x' = x[0]": (7, "'[' is not expected here", "operator missing"),
    "x' = x = y": (8, "the character '=' has no meaning", "one '='"),
    "x' = x == y": (8, "the character '=' has no meaning", "one '='"),
    "x' = x''": (8, "the character \"'\" has no meaning", "only on the left side"),
    "x' = 'x'": (6, "the character \"'\" has no meaning", "Text in quotes does not exist"),
    'x\' = "x"': (6, "the character '\"' has no meaning", "Text in quotes does not exist"),
    "x' = x.real": (7, "the character '.' has no meaning", "Attributes do not exist"),
    "x' = (1).__class__": (9, "the character '.' has no meaning", "Attributes do not exist"),
    "x' = a; y' = b": (7, "the character ';' has no meaning", "Use names, numbers"),
    "x' = a if b else c": (8, "'if' is not expected here", "operator missing"),
    "x' = lambda: 0": (12, "the character ':' has no meaning", "Use names, numbers"),
    "x' = x % 2": (8, "the character '%' has no meaning", "Use names, numbers"),
    "x' = x\0y": (7, "the character '\\x00' has no meaning", "Use names, numbers"),
    "x' = x\x1b[2J]": (7, "the character '\\x1b' has no meaning", "Use names, numbers"),
    "x' = 2×x": (7, "the character '×' has no meaning", "Use names, numbers"),
    "x' = α*x": (6, "the character 'α' has no meaning", "Use names, numbers"),
    "x' = ٣*x": (6, "the character '٣' has no meaning", "Use names, numbers"),
    "x' = x\u00a0+ 1": (7, "the character '\\xa0' has no meaning", "Use names, numbers"),
    "x' = x\u202e + 1": (7, "the character '\\u202e' has no meaning", "Use names, numbers"),
    "x' = sinn(x)": (6, "'sinn' is no known function", "Did you mean 'sin'?"),
    "x' = 1 + sqr(x)": (10, "'sqr' is no known function", "Did you mean 'sqrt'?"),
    "x' = foo(x)": (6, "'foo' is no known function", "A network's name starts with NN"),
    "x' = x(1 + y)": (6, "'x' is no known function", "A network's name starts with NN"),
    "x' = eval(x)": (6, "'eval' is no known function", "functions are exp, log"),
    "x' = 2*sin": (8, "the function 'sin' has no argument", "sin(x)"),
    "x' = sin(x)[0]": (6, "the function 'sin' has one value", "square brackets"),
    "x' = sinh(x, y)": (6, "sinh() takes 1 argument, not 2", "Correct the call"),
    "x' = 3 + min(x)": (10, "min() takes 2 arguments, not 1", "Correct the call"),
    "x' = exp()": (6, "exp() takes 1 argument, not 0", "Correct the call"),
    "x' = NN()": (6, "NN() has no argument", "NN(x, y)"),
    "x' = NN1()[1]": (6, "NN1() has no argument", "NN1(x, y)"),
    "x' = NN(x + NN2(x))": (6, "NN has a network among its arguments", "states, inputs or expressions"),
    "x' = NN(x)[10]": (12, "[10] is no output of a network", "up to [9]"),
    "x' = NN(x)[1.5]": (12, "[1.5] is no output of a network", "up to [9]"),
    "x' = NN(x)[y]": (12, "'y' is not expected here", "operator missing"),
    "x' = NN(x)[-1]": (12, "'-' is not expected here", "operator missing"),
    "x' = 1e999": (6, "1e999 is not a finite number", "Write a smaller one"),
}


@pytest.mark.parametrize("text", REFUSED, ids=ascii)
def test_what_is_no_equation_is_refused_with_its_place_and_a_remedy(text):
    column, what, remedy = REFUSED[text]
    with pytest.raises(ModelError, match=r"^equation 2, column") as refusal:
        parse_equations(f"first' = 1\n{text}")
    message, shown, caret = str(refusal.value).split("\n")
    assert message.startswith(f"equation 2, column {column}: {what}")
    assert remedy in message
    assert caret == " " * (4 + column - 1) + "^", "the caret stands under the column"
    read = text.split("#")[0].rstrip()
    assert shown == "    " + "".join(c if c.isprintable() else " " for c in read)


def test_the_caret_stays_on_the_screen_in_a_long_line():
    text = "x' = " + "abc + " * 60 + "$ + " + "abc + " * 60 + "1"
    with pytest.raises(ModelError, match=f"column {text.index('$') + 1}: the character '\\$'") as refusal:
        parse_equations(text)
    _, shown, caret = str(refusal.value).split("\n")
    assert len(shown) < 100
    assert shown[caret.index("^")] == "$"


def test_a_tab_before_the_mistake_does_not_move_the_caret():
    with pytest.raises(ModelError, match="column 9") as refusal:
        parse_equations("x'\t=\ta\t+$")
    _, shown, caret = str(refusal.value).split("\n")
    assert shown[caret.index("^")] == "$"
    assert "\t" not in shown


@pytest.mark.parametrize("text", ["", " \n\t\n", "# only a comment", "\n# x' = 1\n"])
def test_a_text_without_an_equation_is_refused(text):
    with pytest.raises(ModelError, match=r"there is no equation\. Write at least one"):
        parse_equations(text)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("9**9**9", r"pow\(9, 3.8742e\+08\) is not a finite number"),
        ("2^" * 3000 + "2", r"pow\(2, 65536\) is not a finite number"),
        ("exp(1000)", r"exp\(1000\) is not a finite number"),
        ("log(-1)", r"log\(-1\) is not a finite number"),
        ("(-8)**(1/3)", r"pow\(-8, 0.333333\) is not a finite number"),
        ("1/0", r"div\(1, 0\) is not a finite number"),
        ("0**-1", r"pow\(0, -1\) is not a finite number"),
        ("sqrt(-1)", r"sqrt\(-1\) is not a finite number"),
        ("1e200*1e200", r"mul\(1e\+200, 1e\+200\) is not a finite number"),
        ("(" * 10_000 + "x" + ")" * 10_000, rf"has 20001 characters; at most {MAX_EQUATION_LENGTH} are read"),
        ("(" * 4_000 + "x" + ")" * 4_000, rf"nested more than {MAX_DEPTH} levels deep. Write it flatter"),
        ("exp(" * 1_000 + "x" + ")" * 1_000, rf"nested more than {MAX_DEPTH} levels deep"),
        ("x^" * 3_000 + "x", rf"nested more than {MAX_DEPTH} levels deep"),
        ("x+" * 4_000 + "x", rf"nested more than {MAX_DEPTH} levels deep"),
        ("(" * 10_001, rf"at most {MAX_EQUATION_LENGTH} are read"),
        ("(" * 5_000, rf"nested more than {MAX_DEPTH} levels deep"),
        (")" * 9_000, "column 1: '\\)' closes nothing"),
        ("x*" * 4_000, "ends too early"),
    ],
    ids=range(18),
)
def test_numbers_beyond_float64_and_endless_texts_are_refused_quickly(text, match):
    started = time.process_time()
    with pytest.raises(ModelError, match=match):
        parse_expression(text)
    assert time.process_time() - started < QUICK


@pytest.mark.parametrize("argument", ["x+" * 3_000 + "x", "x*" * 600 + "x", "(" * 200 + "x" + ")" * 200], ids=range(3))
def test_endless_arguments_of_a_network_are_refused_quickly(argument):
    started = time.process_time()
    with pytest.raises(ModelError, match=f"equation 1 is nested more than {MAX_DEPTH} levels deep"):
        parse_equations(f"x' = NN({argument})")
    assert time.process_time() - started < QUICK


def test_ten_thousand_signs_are_read_quickly():
    started = time.process_time()
    assert parse_expression("-" * 9_998 + "x") == T.Symbol("x")
    assert parse_expression("(" * MAX_DEPTH + "x" + ")" * MAX_DEPTH) == T.Symbol("x")
    assert time.process_time() - started < QUICK


@pytest.mark.parametrize(
    "attack",
    [
        "__import__('os').system('touch {place}')",
        '__import__("pathlib").Path("{place}").touch()',
        "open('{place}', 'w')",
        "exec('open(\"{place}\", \"w\")')",
        "().__class__.__base__.__subclasses__()",
        "[open('{place}', 'w') for x in (1,)]",
        "x if open('{place}', 'w') else x",
        "(y := open('{place}', 'w'))",
        "f'{{open(\"{place}\", \"w\")}}'",
        "__builtins__['open']('{place}', 'w')",
        "sympify('1')",
        "!touch {place}",
        "`touch {place}`",
        "{{x: 1}}",
        "@x",
        "x\\\n",
    ],
)
def test_code_is_never_executed(attack, tmp_path):
    started = time.process_time()
    text = attack.format(place=tmp_path / "made")
    with pytest.raises(ModelError, match="equation 1, column"):
        parse_equations(f"x' = {text}")
    with pytest.raises(ModelError, match="equation 1, column"):
        parse_expression(text)
    assert not list(tmp_path.iterdir())
    assert time.process_time() - started < QUICK


@settings(deadline=None)
@given(st.text(max_size=60) | st.text("xy'=+-*/^().,[]# \tNN01e", max_size=60))
def test_any_text_is_read_or_refused_and_never_breaks(text):
    for attempt in (parse_expression, parse_equations, lambda text: parse_equations(f"x' = {text}")):
        try:
            attempt(text)
        except ModelError as refusal:
            assert str(refusal)


def test_a_library_term_holds_no_network():
    with pytest.raises(ModelError, match="'NN' in 'NN\\(x\\)' is a network; only known functions may stand here"):
        parse_expression("NN(x)")
