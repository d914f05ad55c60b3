"""Operon's genetic programming: formulas grown from operators, in compiled code, in a fraction of a second.

Two short runs go side by side: one grows arithmetic over the arguments and their squares, one all operators over the
arguments and their inverses, which is where rate laws such as x**2/(K**2 + x**2) and exp(-E/x) are near. The budget is
a number of evaluations, so that the same seed gives the same formulas.

Source: Burlacu, Kronberger & Kommenda, Operon C++, GECCO Companion (2020) 1562.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import math
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from udesys.errors import SearchError
from udesys.model import tree as T
from udesys.search.candidate import Candidate, Front
from udesys.search.normal_form import to_candidate
from udesys.search.options import SearchOptions
from udesys.search.task import Task

NAME = "operon"
INSTALL = 'python -m pip install "pyoperon>=0.6,<0.7"'
EVALUATIONS = 50_000  # of each run: a quarter of a second; 30,000 find two thirds of the harder forms
POPULATION, OPTIMISED = 300, 10  # formulas, and steps of Levenberg-Marquardt for the constants of each
TOURNAMENT, INTERNAL, MUTATED, EPSILON = 5, 0.9, 0.25, 1e-5
DEEPEST, FIRST_LENGTH = 10, 10  # levels of a formula, and nodes of the first ones
LONGEST = 100  # seconds of a run, far above what its evaluations take
MOST_ROWS = 300
LARGEST_WEIGHT = 20.0  # times the median's: no row may crowd out the others
LEAST_NOISE = 1e-3  # of the values' size: single precision tells no more
NEAR_ZERO = 0.02  # of an argument's mean magnitude: nearer, its inverse is not offered
_NAMES = {"+": "add", "-": "sub", "*": "mul", "/": "div", "^": "pow"}
_ARITHMETIC = ("add", "sub", "mul", "div")
_LEAVES = ("constant", "variable")
_FUNCTIONS = ("exp", "log", "sqrt", "sin", "cos", "tan", "tanh", "sinh", "cosh", "abs")  # Operon's Exp, Log, ...


def ready() -> str:
    """Empty where the engine can run, else why not and what to do."""
    if importlib.util.find_spec("pyoperon") is None:
        return f"pyoperon is not installed; it has wheels for Linux x86_64 and macOS arm64. Install it with  {INSTALL}"
    version = importlib.metadata.version("pyoperon")
    return "" if version.startswith("0.6.") else f"pyoperon {version} has other names. Install 0.6 with  {INSTALL}"


def propose(task: Task, options: SearchOptions, seed: int = 0) -> Front:
    """The formulas on the front of size and error, constants refitted in double precision, best score first.

    Args:
        seed: repeats the search.

    Raises:
        SearchError: Operon cannot be loaded, or failed.
    """
    known = (o for o in options.operators if o in _NAMES or o in _FUNCTIONS)
    names = list(dict.fromkeys(_NAMES.get(o, o) for o in known))
    rows = _rows(task, seed)
    largest = float(np.abs(task.values[rows]).max())
    if not names or not task.arguments or largest == 0.0:
        return Front(task.term, ())
    size = largest * math.sqrt(float(np.mean((task.values[rows] / largest) ** 2)))
    noise = max(float(np.median(task.std[rows])) / size, LEAST_NOISE)
    arithmetic = [n for n in names if n in _ARITHMETIC]
    runs = [(arithmetic, 2)] if arithmetic else []
    runs += [(names, -1)] if len(names) > len(arithmetic) else []
    seconds = LONGEST if options.time_limit is None else max(1, int(options.time_limit / len(runs)))
    best: dict[str, Candidate] = {}
    for place, (symbols, power) in enumerate(runs):
        features = _features(task, power, symbols)
        columns = np.stack([values for _, values in features], 1)[rows]
        budget = _Budget(noise=noise, longest=options.grown_complexity, seconds=seconds, seed=(seed + place) % 2**31)
        for tree in _grown(columns, task.values[rows] / size, symbols, budget):
            formula = _formula(tree, [feature for feature, _ in features], size)
            candidate = None if formula is None else to_candidate(formula, task, engine=NAME)
            if candidate is not None and (candidate.key not in best or candidate.score < best[candidate.key].score):
                best[candidate.key] = candidate
    return Front(task.term, tuple(sorted(best.values(), key=lambda c: c.score)))


def _rows(task: Task, seed: int) -> np.ndarray:
    """Rows drawn by their weight, since Operon knows none; all of them where they weigh the same.

    Source: systematic resampling, Kitagawa, J. Comput. Graph. Stat. 5 (1996) 1: each row comes as often as its weight
    says, to within one.
    """
    weight = np.minimum((np.median(task.std) / task.std) ** 2, LARGEST_WEIGHT)
    if np.ptp(weight) < 1e-9 * weight.max():
        return np.linspace(0, len(weight) - 1, min(len(weight), MOST_ROWS)).astype(int)
    ends = np.cumsum(weight)
    places = (np.arange(MOST_ROWS) + np.random.default_rng(seed).random()) / MOST_ROWS
    return np.searchsorted(ends / ends[-1], places)


def _features(task: Task, power: int, symbols: Collection[str]) -> list[tuple[T.Tree, np.ndarray]]:
    """Each argument over its mean magnitude, and a power of it; as trees over the arguments, and as values.

    A power is offered where the symbols can say it too.
    """
    found, offered = [], not {"pow", "mul" if power > 0 else "div"}.isdisjoint(symbols)
    for name, column in zip(task.arguments, task.points.T, strict=True):
        size = float(np.abs(column).mean()) or 1.0
        scaled = T.div(T.Symbol(name), T.Number(size))
        found.append((scaled, column / size))
        if offered and (power > 0 or np.abs(column).min() > NEAR_ZERO * size):
            found.append((T.power(scaled, T.Number(float(power))), (column / size) ** power))
    return found


@dataclass(frozen=True, kw_only=True)
class _Budget:
    """What one run may do: the values' noise, nodes of a formula, seconds beside its evaluations, and its seed."""

    noise: float
    longest: int
    seconds: int
    seed: int


def _grown(columns, values, symbols: list[str], budget: _Budget) -> list:
    """Trees of the front, with what tells their variables apart.

    The classes below pyoperon's scikit-learn face are used: that one fails where a single formula of the front is not
    finite somewhere.
    """
    try:
        import pyoperon as op

        return _run(op, columns, values, symbols, budget)
    except (ImportError, OSError) as error:
        raise SearchError(f"pyoperon cannot be loaded: {error}. Install it anew with  {INSTALL}") from error
    except Exception as error:
        raise SearchError(f"Operon failed: {type(error).__name__}: {error}.") from error


def _run(op, columns, values, symbols: list[str], budget: _Budget) -> list:
    """NSGA-II on the likelihood and the length of the formulas."""
    data = op.Dataset(np.asfortranarray(np.column_stack((columns, values))))
    variables = sorted(data.Variables, key=lambda v: v.Index)
    inputs = [v.Hash for v in variables[:-1]]
    problem = op.Problem(data)
    problem.TrainingRange, problem.TestRange = op.Range(0, data.Rows), op.Range(data.Rows - 1, data.Rows)
    problem.Target, problem.InputHashes = variables[-1], inputs
    problem.ConfigurePrimitiveSet(sum(int(getattr(op.NodeType, s.capitalize())) for s in (*symbols, *_LEAVES)))
    primitives, longest = problem.PrimitiveSet, budget.longest
    creator = op.BalancedTreeCreator(primitives, inputs, 0.0)
    numbers = op.NormalCoefficientInitializer()
    numbers.ParameterizeDistribution(0, 1)
    table = op.DispatchTable()
    optimiser = op.LMOptimizer(table, problem, OPTIMISED, 0)
    likelihood, length = op.GaussianLikelihoodEvaluator(problem, table), op.LengthEvaluator(problem)
    likelihood.Sigma = [budget.noise]
    evaluator = op.MultiEvaluator(problem)
    evaluator.Add(likelihood)
    evaluator.Add(length)
    likelihood.Budget = length.Budget = evaluator.Budget = EVALUATIONS
    order = op.CrowdedComparison()
    females, males = op.TournamentSelector(order), op.TournamentSelector(order)
    females.TournamentSize = males.TournamentSize = TOURNAMENT
    reinserter, crossover = op.KeepBestReinserter(order), op.SubtreeCrossover(INTERNAL, DEEPEST, longest)
    one, many = op.NormalOnePointMutation(), op.NormalMultiPointMutation()
    one.ParameterizeDistribution(0, 1)
    many.ParameterizeDistribution(0, 1)
    mutations = [
        one,
        many,
        op.ChangeVariableMutation(inputs),
        op.ChangeFunctionMutation(primitives),
        op.InsertSubtreeMutation(creator, numbers, DEEPEST, longest),
        op.ReplaceSubtreeMutation(creator, numbers, DEEPEST, longest),
        op.RemoveSubtreeMutation(primitives),
    ]
    mutation = op.MultiMutation()
    for kind in mutations:
        mutation.Add(kind, 1.0)
    coefficients = op.CoefficientOptimizer(optimiser)
    offspring = op.BasicOffspringGenerator(evaluator, crossover, mutation, females, males, coefficients)
    trees = op.UniformLengthTreeInitializer(creator)
    trees.ParameterizeDistribution(primitives.FunctionArityLimits()[0] + 1, min(FIRST_LENGTH, longest))
    trees.MinDepth, trees.MaxDepth = 1, 1000
    config = op.GeneticAlgorithmConfig(
        generations=100_000,
        max_evaluations=EVALUATIONS,
        local_iterations=OPTIMISED,
        population_size=POPULATION,
        pool_size=POPULATION,
        p_crossover=1.0,
        p_mutation=MUTATED,
        p_local=1.0,
        p_lamarck=1.0,
        epsilon=EPSILON,
        seed=budget.seed,
        max_time=budget.seconds,
    )
    sorter, random = op.RankSorter(), op.RandomGenerator(np.uint64(config.Seed))  # named: Operon keeps no reference
    algorithm = op.NSGA2Algorithm(config, problem, trees, numbers, offspring, reinserter, sorter)
    algorithm.Run(random, None, 1, False)
    return [_nodes(individual.Genotype.Nodes, inputs) for individual in algorithm.BestFront]


def _nodes(nodes, inputs) -> list[tuple[str, int, float, int]]:
    """(kind, number of arguments, value, place of the variable) of every node, in postfix order."""
    places = {value: place for place, value in enumerate(inputs)}
    return [(str(n.Type).rpartition(".")[2], int(n.Arity), float(n.Value), places.get(n.HashValue, -1)) for n in nodes]


def _formula(nodes, features: list[T.Tree], size: float) -> T.Tree | None:
    """Nodes in postfix order as one of our trees, over the arguments; None where it holds something else or no number.

    The first argument of a node stands right before it.
    """
    stack: list[T.Tree] = []
    try:
        for kind, arity, value, place in nodes:
            arguments = [stack.pop() for _ in range(arity)]
            if kind == "Variable":
                stack.append(T.mul(T.Number(value), features[place]))
            elif kind == "Constant":
                stack.append(T.Number(value))
            elif kind.lower() in _FUNCTIONS:
                stack.append(T.call(kind.lower(), *arguments))
            elif kind in ("Add", "Sub", "Mul", "Div", "Pow"):
                stack.append(_folded(kind.lower(), arguments))
            else:
                return None
        return T.mul(T.Number(size), stack[0])
    except (ArithmeticError, ValueError):
        return None


def _folded(op: str, arguments: list[T.Tree]) -> T.Tree:
    """An operator of any number of arguments; of one, a difference is its negative and a quotient its inverse."""
    first, *others = arguments
    if not others:
        return {"sub": T.neg, "div": lambda a: T.div(T.ONE, a)}.get(op, lambda a: a)(first)
    for argument in others:
        first = T.build(op, first, argument)
    return first
