"""PySR's words: what it is told it understands, and nothing that it prints is evaluated."""

import ast
import importlib.util
import json
from io import StringIO
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from pysr_tasks import product_task, with_more

from udesys.model import tree as T
from udesys.model.grammar import parse_expression
from udesys.search import SearchOptions
from udesys.search._pysr import language, process
from udesys.search._pysr import worker as program
from udesys.search.engines import pysr

OPTIONS = SearchOptions()


# --- what it is told ---------------------------------------------------------------------------------


def signature(method):
    """Names of the arguments of a method of the installed PySRRegressor, which is read and not imported."""
    path = Path(importlib.util.find_spec("pysr").origin).with_name("sr.py")
    (regressor,) = (
        node
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef) and node.name == "PySRRegressor"
    )
    (function,) = (n for n in regressor.body if isinstance(n, ast.FunctionDef) and n.name == method)
    return {a.arg for a in (*function.args.args, *function.args.kwonlyargs)} - {"self"}


def everything():
    """A task and options for which every keyword argument is passed."""
    units = {"S": "mol/L", "beta": "1/h", "NN": "mol/L/h"}
    task = with_more(product_task(), units=units, guesses=(parse_expression("0.7*S*beta"),))
    return task, SearchOptions(operators=("+", "*", "^", "sin"))


def test_pysr_has_every_argument_that_it_is_given():
    task, options = everything()
    given = pysr.regressor_arguments(task, options, 3, limit=9.0, folder="somewhere")
    assert set(given) == {
        *("binary_operators", "unary_operators", "constraints", "maxsize", "niterations", "timeout_in_seconds"),
        *("batching", "precision", "deterministic", "parallelism", "random_state", "guesses"),
        *("dimensional_constraint_penalty", "progress", "verbosity", "input_stream", "output_directory", "run_id"),
    }
    assert set(given) | set(program.WARM_UP) | {"fraction_replaced_guesses"} <= signature("__init__")
    fitted = pysr.fit_arguments(task)
    assert set(fitted) == {"X", "y", "weights", "variable_names", "X_units", "y_units"}
    assert set(fitted) <= signature("fit")
    json.dumps([given, fitted])


def test_the_search_is_fixed_by_the_seed_and_quiet():
    given = pysr.regressor_arguments(product_task(), OPTIONS, 3, limit=9.0, folder="somewhere")
    fixed = {"deterministic": True, "parallelism": "serial", "random_state": 3, "precision": 64, "batching": False}
    quiet = {"progress": False, "verbosity": 0, "input_stream": "devnull"}
    assert given.items() >= (fixed | quiet).items()
    assert given["timeout_in_seconds"] == 9.0 and given["maxsize"] == OPTIONS.grown_complexity
    small = pysr.regressor_arguments(
        product_task(), SimpleNamespace(operators=("+",), grown_complexity=3), -1, limit=1, folder=""
    )
    assert small["maxsize"] == 7 and 0 <= small["random_state"] < 2**32


def test_samples_count_by_their_inverse_variance_and_are_brought_to_size_one():
    plain, tiny = product_task(), product_task(size=1e-6)
    for task, scale in ((plain, 1.0), (tiny, 1e-6)):
        given = pysr.fit_arguments(task)
        assert given["y"] == pytest.approx(task.values / scale)
        assert given["weights"] == pytest.approx((task.std / scale) ** -2)
    assert pysr.fit_arguments(plain)["X"] == plain.points.tolist()
    (constant, *_) = pysr.candidates(["(v0 * v1) * 0.7"], tiny)[0].formula.constants.values()
    assert constant == pytest.approx(0.7e-6, rel=0.05)


def test_of_very_many_samples_a_chance_few_are_taken():
    task = product_task(5000)
    first, again, other = (pysr.fit_arguments(task, seed) for seed in (1, 1, 2))
    assert len(first["X"]) == len(first["y"]) == len(first["weights"]) == pysr.MOST_POINTS
    assert first == again and first != other


def test_names_of_the_user_never_reach_julia():
    task, options = everything()
    regressor = pysr.regressor_arguments(task, options, 3, limit=9.0, folder="somewhere")
    text = json.dumps([regressor, pysr.fit_arguments(task)])
    assert "beta" not in text and pysr.fit_arguments(task)["variable_names"] == ["v0", "v1"]


def test_every_operator_of_ours_has_one_of_pysr():
    binary, unary = language.operators(("+", "-", "*", "/", "^", *T.UNARY_FUNCTIONS))
    assert binary == ["+", "-", "*", "/", "^"]
    assert unary == ["exp", "log", "sqrt", "sin", "cos", "tan", "tanh", "sinh", "cosh", "abs", "sign"]
    tree = ast.parse(Path(importlib.util.find_spec("pysr").origin).with_name("export_sympy.py").read_text())
    (known,) = (n.value for n in tree.body if isinstance(n, ast.Assign) and n.targets[0].id == "sympy_mappings")
    assert set(unary) <= {key.value for key in known.keys}
    assert language.operators(("sigmoid", "system", "run(`ls`)")) == ([], ["tanh"])


def test_an_exponent_is_kept_simple():
    given = pysr.regressor_arguments(product_task(), SearchOptions(operators=("*", "^")), 3, limit=9.0, folder="")
    options, data, _ = program.arguments(
        {"regressor": json.loads(json.dumps(given)), "fit": pysr.fit_arguments(product_task())}
    )
    assert options["constraints"] == {"^": (-1, 1)}  # a pair, as PySR wants it, after its way through JSON
    assert data["X"].shape == (60, 2) and data["weights"].dtype == np.float64


@pytest.mark.parametrize(
    ("formula", "operators", "julia"),
    [
        ("-0.9*S*beta", "* -", "(((-0.9) * v0) * v1)"),
        ("S - beta/(1e-7 + S)", "+ - /", "(v0 - (v1 / (1e-07 + v0)))"),
        ("-S", "*", "((-1.0) * v0)"),
        ("S**3", "*", "((v0 * v0) * v0)"),
        ("S**3", "* ^", "(v0 ^ 3.0)"),
        ("S**-2", "* /", "(1.0 / (v0 * v0))"),
        ("S**0.5", "* sqrt", "sqrt(v0)"),
        ("sigmoid(S)", "+ * tanh", "(0.5 * (1.0 + tanh((0.5 * v0))))"),
        ("exp(-beta)", "* exp", "exp(((-1.0) * v1))"),
        ("S/beta", "* +", None),
        ("S**0.3", "* + /", None),
        ("sin(S)", "* +", None),
        ("min(S, beta)", "* +", None),
        ("S*other", "*", None),
    ],
)
def test_a_formula_to_start_from_is_written_with_the_operators_there_are(formula, operators, julia):
    assert language.to_julia(parse_expression(formula), ("S", "beta"), operators.split()) == julia


def test_guesses_are_scaled_as_the_values_are():
    task = with_more(product_task(size=100.0), guesses=(parse_expression("70*S*beta"), parse_expression("log(S)")))
    given = pysr.regressor_arguments(task, SearchOptions(operators=("*",)), 3, limit=9.0, folder="")
    assert given["guesses"] == ["(0.01 * ((70.0 * v0) * v1))"]
    assert "guesses" not in pysr.regressor_arguments(product_task(), OPTIONS, 3, limit=9.0, folder="")


@pytest.mark.parametrize(
    ("unit", "julia"),
    [
        ("", ""),
        ("1", ""),
        ("kg", "kg"),
        ("1/min", "(1 / min)"),
        ("m/s^2", "(m / (s ^ 2))"),
        ("m*s**-2", "(m * (s ^ -2))"),
        ("mol/(L*h)", "(mol / (L * h))"),
        ("1/year", "(1 / yr)"),
        ("µg·m", "(ug * m)"),
        ("prey", None),
        ("m + s", None),
        ("m^s", None),
        ("run(`ls`)", None),
        ("kg)", None),
    ],
)
def test_a_unit_is_passed_on_only_where_julia_knows_it(unit, julia):
    assert language.unit_to_julia(unit) == julia


def test_units_are_left_out_where_one_of_an_argument_is_unknown():
    known = {"S": "mol/L", "beta": ""}
    assert pysr.fit_arguments(with_more(product_task(), units=known))["X_units"] == ["(mol / L)", ""]
    assert "y_units" not in pysr.fit_arguments(with_more(product_task(), units=known))
    for units in ({}, {}, {"S": "mol/L"}, {"S": "mol/L", "beta": "prey"}):
        task = with_more(product_task(), units=units)
        assert "X_units" not in pysr.fit_arguments(task)
        given = pysr.regressor_arguments(task, OPTIONS, 3, limit=9.0, folder="")
        assert "dimensional_constraint_penalty" not in given


# --- what comes back ---------------------------------------------------------------------------------


def frame(*equations):
    """A frame like PySR's `equations_`, with the column as pandas reads it from the file."""
    lines = [f'{k},{1 / (k + 1)},"{text}"' for k, text in enumerate(equations, 1)]
    read = pd.read_csv(StringIO("\n".join(["complexity,loss,equation", *lines])))
    return read.assign(score=0.0, sympy_format=None, lambda_format=None)


def test_rows_that_are_all_bare_numbers_are_read_though_pandas_makes_them_floats():
    read = frame("0.75", "-1.0e-5")
    assert read["equation"].dtype == np.float64
    texts = program.equation_texts(read)
    trees = [language.from_julia(text, ("S", "beta")) for text in texts]
    assert trees == [T.Number(0.75), T.Number(-1e-5)]
    assert len(pysr.candidates(texts, product_task())) == 1  # both are a constant


def test_of_several_outputs_the_first_is_read():
    assert program.equation_texts([frame("v0 * v1", "v0"), frame("v1", "v0")]) == ["v0 * v1", "v0"]


@pytest.mark.parametrize(
    ("julia", "ours"),
    [
        ("(v0 * v1) * -0.5", "S*beta*(-0.5)"),
        ("v1 / (v0 + 1.0e-5)", "beta/(S + 1e-5)"),
        ("(v0 ^ -2.0) - sin(v1 * 1.5f-3)", "S**(-2) - sin(beta*1.5e-3)"),
        ("-0.5 ^ v0", "(-0.5)**S"),
        ("(v0 - 1.5e-5 ^ v0)", "S - 1.5e-5**S"),
        ("exp(tanh(abs(sign(v0))))", "exp(tanh(abs(sign(S))))"),
    ],
)
def test_a_formula_as_julia_prints_it_is_read_by_our_own_grammar(julia, ours):
    assert language.from_julia(julia, ("S", "beta")) == parse_expression(ours)


@pytest.mark.parametrize(
    "text", ["", "v2", "S", "Inf", "NaN * v0", "v0 *", "__import__('os').getcwd()", "square(v0)", "v0; exit()", "1/0"]
)
def test_a_text_that_is_no_formula_of_ours_is_passed_over(text):
    assert language.from_julia(text, ("S", "beta")) is None
    assert pysr.candidates([text], product_task()) == ()


def test_the_files_of_a_search_cut_short_are_read_together(tmp_path):
    (tmp_path / "hall_of_fame.csv").write_text('Complexity,Loss,Equation\n1,0.5,"0.75"\n3,0.1,"v0 * v1"\n5,0.0,"(v0 *')
    (tmp_path / "hall_of_fame.csv.bak").write_text('Complexity,Loss,Equation\n1,0.5,"0.75"\n4,0.2,"sin(v0)"\n6')
    assert process.read_front(tmp_path) == ("0.75", "v0 * v1", "sin(v0)")
    assert process.read_front(tmp_path / "nowhere") == ()
