"""Compiled trees: NumPy, torch and the machine give the numbers Python's and SciPy's functions give."""

import math

import numpy as np
import pytest
import scipy.special
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from udesys.integrate.machine import _run
from udesys.integrate.operations import OPERATIONS
from udesys.model import tree as T
from udesys.model.grammar import MAX_DEPTH, parse_expression
from udesys.model.program import Program, torch_functions

X, Y = T.Symbol("x"), T.Symbol("y")
GRID = np.array([-2.5, -1.0, -0.3, 0.0, 0.2, 1.0, 1.7, 4.0])
FUNCTIONS = {name: getattr(np, name) for name in "exp log sqrt sin cos tan tanh sinh cosh abs sign".split()}
FUNCTIONS |= {"sigmoid": scipy.special.expit, "min": np.minimum, "max": np.maximum}


def numpy_values(program, *columns):
    with np.errstate(all="ignore"):
        return [np.broadcast_to(v, columns[0].shape) for v in program.run(columns)]


def torch_values(program, *columns):
    values = program.run([torch.as_tensor(c) for c in columns], torch_functions())
    return [torch.as_tensor(v, dtype=torch.float64).expand(len(columns[0])).numpy() for v in values]


def machine_values(program, *columns):
    base = len(columns) + len(program.constants)
    rows = []
    for point in zip(*columns, strict=True):
        registers = np.zeros(base + len(program.code))
        registers[: len(columns)] = point
        registers[len(columns) : base] = program.constants
        _run(program.code, registers, base)
        rows.append(registers[program.outputs])
    return list(np.array(rows).T)


EVALUATORS = pytest.mark.parametrize("values", [numpy_values, torch_values, machine_values], ids=lambda f: f.__name__)


@EVALUATORS
@pytest.mark.parametrize("name", T.FUNCTIONS)
def test_a_function_is_the_one_of_that_name(values, name):
    args = [X, Y][: 2 if name in T.BINARY_FUNCTIONS else 1]
    program = Program([T.call(name, *args)], ["x", "y"])
    columns = [c.ravel() for c in np.meshgrid(GRID, GRID)]
    with np.errstate(all="ignore"):
        expected = FUNCTIONS[name](*columns[: len(args)])
    # Two libraries' functions may differ by a rounding; outside the domain all say NaN or infinity.
    np.testing.assert_allclose(values(program, *columns)[0], expected, rtol=1e-14, atol=1e-16)


@EVALUATORS
def test_a_choice_with_an_undefined_side_is_undefined(values):
    texts = ["min(1, log(x))", "min(log(x), 1)", "max(0, log(x))", "max(log(x), 0)"]
    program = Program([parse_expression(text) for text in texts], ["x"])
    assert np.isnan(values(program, np.array([-1.0]))).all()


@EVALUATORS
def test_integer_powers_of_negative_numbers_are_products(values):
    exponents = [-64, -7, -3, -2, -1, 2, 3, 7, 10, 63, 64, 65, 101]
    program = Program([T.power(X, T.Number(float(n))) for n in exponents], ["x"])
    for base in (-1.25, -1.0, -0.5, 0.75, 1.25):
        expected = [base**n for n in exponents]
        found = np.ravel(values(program, np.array([base])))
        # repeated squaring rounds at most twice a bit, and the error doubles with each
        np.testing.assert_allclose(found, expected, rtol=100 * np.finfo(float).eps)


@EVALUATORS
def test_other_powers_of_negative_numbers_are_undefined(values):
    program = Program([parse_expression("x^0.5"), parse_expression("x^y")], ["x", "y"])
    assert np.isnan(values(program, np.array([-2.0]), np.array([1.5]))).all()


@EVALUATORS
def test_a_power_with_a_changing_exponent_is_pythons(values):
    program = Program([parse_expression("x^y"), parse_expression("(-2)^y"), parse_expression("x^(-0.5)")], ["x", "y"])
    found = np.ravel(values(program, np.array([2.0]), np.array([-3.0])))
    np.testing.assert_allclose(found, [0.125, -0.125, 2**-0.5], rtol=1e-15)  # one rounding


@st.composite
def smooth_trees(draw, depth=4):
    """Random trees without poles near the points they are read at."""
    if depth == 0 or draw(st.integers(0, 4)) == 0:
        return draw(st.sampled_from([X, Y]) | st.sampled_from([0.5, -1.5, 2.0, 3.0, math.pi]).map(T.Number))
    first, second = (draw(smooth_trees(depth - 1)) for _ in range(2))
    op = draw(st.sampled_from("add sub mul div pow neg sin tanh sigmoid min max abs".split()))
    if op == "div":
        return T.div(first, T.add(T.Number(1.5), T.mul(second, second)))
    if op == "pow":
        return T.power(T.call("sin", first), T.Number(draw(st.sampled_from([2.0, 3.0]))))
    return T.build(op, *([first, second] if op in ("add", "sub", "mul", "min", "max") else [first]))


@settings(deadline=None)
@given(st.lists(smooth_trees(), min_size=1, max_size=3), st.randoms(use_true_random=False))
def test_numpy_torch_and_the_machine_agree_on_random_programs(trees, random):
    program = Program([*trees, *(T.derivative(tree, "x") for tree in trees)], ["x", "y"])
    x, y = (np.array([random.uniform(-2, 2) for _ in range(4)]) for _ in range(2))
    reference = numpy_values(program, x, y)
    # The same operations in the same order; the libraries' functions differ by roundings, which products
    # of products (at most a few thousand) carry on.
    np.testing.assert_allclose(torch_values(program, x, y), reference, rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(machine_values(program, x, y), reference, rtol=1e-11, atol=1e-11)


def test_a_common_part_is_computed_once():
    program = Program([parse_expression("x*y + exp(x*y) - y*x")], ["x", "y"])
    assert [OPERATIONS[op] for op in program.code[:, 0]] == ["mul", "exp", "add", "sub"]


def test_trees_of_one_program_share_their_parts():
    texts = ["exp(-x/y)", "1 + exp(-x/y)", "exp(-x/y)^2"]
    alone = [len(Program([parse_expression(t)], ["x", "y"]).code) for t in texts]
    together = Program([parse_expression(t) for t in texts], ["x", "y"])
    assert alone == [3, 4, 4]
    assert len(together.code) == 5
    np.testing.assert_allclose(together.run([1.0, 2.0]), [math.exp(-0.5), 1 + math.exp(-0.5), math.exp(-1)], rtol=1e-15)


def test_an_integer_power_is_one_instruction_with_its_exponent_inside():
    program = Program([parse_expression("x^3")], ["x"])
    assert program.code.tolist() == [[OPERATIONS.index("powi"), 0, 3]]


def test_equal_constants_share_a_register():
    assert Program([parse_expression("2*x + sin(2*y) + 3")], ["x", "y"]).constants.tolist() == [3.0, 2.0]


def test_inputs_and_constants_need_no_instruction():
    program = Program([X, T.Number(4.0)], ["x", "y"])
    assert program.code.shape == (0, 3)
    assert program.run([np.array([1.0, 2.0]), 0.0])[1] == 4.0


def test_gradients_flow_through_the_torch_functions():
    program = Program([parse_expression("min(x, 2)*sigmoid(x) + max(1, x^2) + abs(x)*sign(x)")], ["x"])
    x = torch.tensor([0.5, 1.5], dtype=torch.float64, requires_grad=True)
    program.run([x], torch_functions())[0].sum().backward()
    s = scipy.special.expit(np.array([0.5, 1.5]))
    by_hand = s + np.array([0.5, 1.5]) * s * (1 - s) + np.array([0.0, 3.0]) + 1.0
    np.testing.assert_allclose(x.grad.numpy(), by_hand, rtol=1e-14)  # a few roundings


def test_the_deepest_derivative_can_be_compiled():
    deep = X
    for _ in range(2 * MAX_DEPTH + 10):
        deep = T.Operation("sin", (deep,))
    assert len(Program([deep], ["x"]).code) == 2 * MAX_DEPTH + 10


def test_a_symbol_that_is_no_input_is_named():
    with pytest.raises(KeyError, match="'z' is no input of this program"):
        Program([parse_expression("x + z")], ["x"])


def test_a_number_that_overflows_is_infinite_as_in_numpy():
    program = Program([parse_expression("x^4/(K^4 + x^4)"), parse_expression("1/(K - K)")], ["x", "K"])
    with np.errstate(all="ignore"):
        values = program.run([np.array([1.0, 2.0]), 1e90])
    assert (values[0] == 0.0).all() and values[1] == np.inf
