"""States that stay zero and sums that stay what they are: how the equations keep them, and which cannot."""

import copy

import numpy as np
import pytest
import torch

from udesys.data import Dataset, Trajectory
from udesys.errors import ModelError
from udesys.fit.problem import ShootingProblem
from udesys.model import Grid, HybridODE, Network, Parameter
from udesys.model.field import HybridField
from udesys.model.grammar import parse_expression
from udesys.model.polynomial import expanded, to_tree
from udesys.model.program import Program
from udesys.model.vanishing import vanishes

PREY = "x' = a*x + NN1(x, y)\ny' = NN2(x, y) - d*y"
EPIDEMIC = "S' = -NN1(S, I)\nI' = NN2(S, I) - g*I\nR' = g*I"
SHARED = "x' = NN(x, y) - a*x\ny' = NN(y, x)*x + NN(x + y, x*y)*y"


def random_field(model, seed=0):
    """A field with odd scales and weights, and points to read it at."""
    field, rng = HybridField(model), np.random.default_rng(seed)
    for scale in field.scales:
        n_in, n_out = len(scale.shift), len(scale.output)
        scale.shift, scale.width = rng.normal(size=n_in), rng.uniform(0.5, 2, n_in)
        scale.output = rng.uniform(0.5, 2, n_out)
    t, x = rng.uniform(0, 2, 8), rng.normal(size=(8, len(model.states)))
    return field, torch.as_tensor(t), torch.as_tensor(x), torch.as_tensor(rng.normal(size=field.n_theta))


# --- zero or not --------------------------------------------------------------------------------------

AT_ZERO = [
    ("x*y", True),
    ("x + y", False),
    ("y*(x - y) + y^2", True),  # what cancels is seen to
    ("y/(1 + x) - y", True),
    ("y*exp(-k*x) - y", True),
    ("exp(-k*x)", False),
    ("x^n/(K^n + x^n)", True),  # whatever the constants
    ("K/(K + x)", False),
    ("x*log(x/K)", True),  # its limit
    ("log(x)", False),
    ("sqrt(x)*y", True),
    ("1/x", False),
    ("x*y/x", False),
    ("sin(y)^2*x + cos(y)^2*x", True),
    ("sin(y)^2 + cos(y)^2 - 1 + x", True),
    ("1e-9*y", False),
    ("1e-9*exp(y) + x", False),
    ("0", True),
]


@pytest.mark.parametrize(("text", "zero"), AT_ZERO)
def test_a_tree_is_zero_where_a_symbol_is_or_it_is_not(text, zero):
    assert vanishes(parse_expression(text), frozenset({"x"})) is zero


@pytest.mark.parametrize(
    "text",
    ["(x + y)^3 - x*(y - 2)", "(x + y)/(x*(1 + y))", "2*x/(4*y) - (x + 1)^-2", "sin(x*(y + 1))*sqrt(x + x)", "x^0.5*x"],
)
def test_a_tree_multiplied_out_is_what_it_was(text):
    tree = parse_expression(text)
    points = np.random.default_rng(0).uniform(0.3, 2.0, (2, 5))
    before, after = Program([tree, to_tree(expanded(tree))], ["x", "y"]).run(list(points))
    np.testing.assert_allclose(after, before, rtol=1e-12)  # of a few terms, summed in another order


def test_what_cancels_is_gone():
    assert expanded(parse_expression("(a + b)*(a - b) - a^2 + b*b + 0.1*c + 0.2*c - 0.3*c")) == {}


# --- states that stay zero ----------------------------------------------------------------------------


def test_the_right_side_of_a_state_that_stays_zero_is_zero_there_whatever_the_weights():
    field, t, x, theta = random_field(HybridODE(PREY, stays_zero=["x", "y"]))
    free, *_ = random_field(HybridODE(PREY))
    for k in range(2):
        at_zero = x.clone()
        at_zero[:, k] = 0.0
        assert (field(t, at_zero, theta)[:, k] == 0).all() and (free(t, at_zero, theta)[:, k] != 0).all()
        assert (field(t, at_zero, theta)[:, 1 - k] != 0).all()


def test_a_network_is_multiplied_with_the_state_alone():
    field, t, x, theta = random_field(HybridODE(PREY, stays_zero=["x"]))
    free, *_ = random_field(HybridODE(PREY))
    term, bare = (f.term(0, x, theta) for f in (field, free))
    torch.testing.assert_close(term, x[:, :1] * bare, rtol=1e-14, atol=0)  # one product
    torch.testing.assert_close(field.term(1, x, theta), free.term(1, x, theta), rtol=0, atol=0)
    right = field(t, x, theta)
    a = theta[field.n_weights]  # its guess is one
    torch.testing.assert_close(right[:, 0], a * x[:, 0] + term[:, 0], rtol=1e-13, atol=1e-13)


MODELS = [
    (PREY, {"stays_zero": ["x", "y"]}),
    (SHARED, {"stays_zero": ["x"]}),
    (EPIDEMIC, {"stays_zero": ["S"], "conserved": ["S + I + R"]}),
    ("x' = x*y - NN(x, y)[1]\ny' = NN(x, y)[0]*NN(x, y)[1]", {"stays_zero": ["x"]}),
    ("x' = NN(x/k, x*y)*k\ny' = -y", {"stays_zero": ["x"], "parameters": {"k": Parameter(2.0)}}),
]


@pytest.fixture(params=range(len(MODELS)))
def case(request):
    equations, said = MODELS[request.param]
    names = {name for name in ("NN", "NN1", "NN2") if f"{name}(" in equations}
    networks = {name: Network((4,), "tanh") for name in names}
    return random_field(HybridODE(equations, networks=networks, **said))


def test_its_derivatives_are_autograds(case):
    field, t, x, theta = case
    jacobian = torch.autograd.functional.jacobian
    found = field.jacobians(t, x, theta)
    by_state = jacobian(lambda x: field(t, x, theta).sum(0), x).transpose(0, 1)
    by_theta = jacobian(lambda w: field(t, x, w), theta)
    rounding = {"rtol": 1e-12, "atol": 1e-12}  # of a few hundred terms summed in another order
    torch.testing.assert_close(found.by_state, by_state, **rounding)
    d = len(field.model.states)
    contraction = torch.eye(d, dtype=x.dtype).expand(len(x), 1, d, d)
    torch.testing.assert_close(field.theta_contraction(found, contraction), by_theta, **rounding)
    for k, piece in enumerate(field.weights_of):
        arguments = field.arguments(k, t, x, theta)[:, : len(field.model.slots[k].arguments)]
        _, by_weights = field.term(k, arguments, theta, jacobian=True)
        expected = jacobian(lambda w: field.term(k, arguments, w), theta)  # noqa: B023
        torch.testing.assert_close(by_weights, expected[:, :, piece], **rounding)


def test_compiled_code_says_what_tensors_say(case):
    field, _, x, theta = case
    rng = np.random.default_rng(1)
    run = Trajectory(name="A", t=rng.uniform(0.05, 0.1, 8).cumsum(), y=x.numpy())
    data = Dataset(columns=field.model.states, trajectories=(run,), time="t", source="made")
    problem = ShootingProblem(field.model, data, field)
    tensors = copy.copy(problem)
    tensors.compiled = None
    theta, x = 0.3 * theta.numpy(), x.numpy()
    for found, expected in zip(problem.flow_jacobians(x, theta), tensors.flow_jacobians(x, theta), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(
        problem.compiled.right_side(problem.t, x, problem.u, theta),
        field(torch.as_tensor(problem.t), torch.as_tensor(x), torch.as_tensor(theta)).numpy(),
        rtol=1e-11,
        atol=1e-11,
    )
    found, expected = (p.linearise(x, theta) for p in (problem, tensors))
    for one, other in zip([*found[0], *found[1:]], [*expected[0], *expected[1:]], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-11)
    for k, slot in enumerate(field.model.slots):
        points = rng.normal(size=(5, len(slot.arguments)))
        for found, expected in zip(problem.term(k, points, theta), tensors.term(k, points, theta), strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(
    ("equations", "said", "vanishing"),
    [
        (PREY, ["x"], {"NN1": [{"x"}]}),
        ("x' = NN(x, y)\ny' = -NN(x, y)", ["x", "y"], {"NN": [{"x"}, {"y"}]}),  # one network, wherever it is needed
        ("x' = x*NN(x, y)\ny' = NN(x, y)", ["x"], {}),  # vanishes by itself
        ("x' = NN1(x)*NN2(y)\ny' = 1", ["x"], {"NN1": [{"x"}]}),  # one factor is enough
        ("x' = NN(y, 2*x)\ny' = 1", ["x"], {"NN": [{"NN_2"}]}),
        ("x' = a*x^2/(k + x)*y + NN(x, x*y)\ny' = 1", ["x"], {"NN": [{"x", "NN_2"}]}),
        ("x' = NN(x)[1] + NN(x)[0]*x", ["x"], {"NN[1]": [{"x"}]}),
    ],
)
def test_the_terms_that_vanish_are_those_that_must(equations, said, vanishing):
    found = HybridODE(equations, stays_zero=said).invariants.vanishing
    assert {term: [set(where.arguments) for where in places] for term, places in found.items()} == vanishing


def test_a_field_that_is_zero_everywhere_stays_so():
    grid = Grid(tuple(np.linspace(0.0, 1.0, 9)), "neumann")
    model = HybridODE("u' = D*dxx(u) - v*dx(u) + NN(u, dx(u))", grid=grid, stays_zero=["u"])
    assert model.invariants.gates == {"NN": (0,)}
    with pytest.raises(ModelError, match=r"it has D\*dxx\(w\) there"):
        HybridODE("u' = D*dxx(w) + NN(u)\nw' = 0", grid=grid, stays_zero=["u"])


# --- conserved sums -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("equations", "conserved", "replaced", "terms"),
    [
        (EPIDEMIC, ["S + I + R"], {"NN2(S, I)": "NN1(S, I)"}, ("NN1",)),
        (
            "S' = -NN(S, I)[0]\nI' = NN(S, I)[1] - g*I\nR' = g*I", ["R + S + I"],
            {"NN(S, I)[1]": "NN(S, I)[0]"}, ("NN",),
        ),
        ("x' = -2*NN1(x, y)\ny' = NN2(x, y) + k*x", ["x + 2*y"], {"NN2(x, y)": "NN1(x, y) - k*x"}, ("NN1",)),
        ("x' = NN1(x)\ny' = NN2(x, y)", ["x + y"], {"NN2(x, y)": "-NN1(x)"}, ("NN1",)),
        ("x' = NN1(x, y)\ny' = NN2(x)", ["x + y"], {"NN1(x, y)": "-NN2(x)"}, ("NN2",)),
        ("x' = -b*x*y\ny' = NN(x, y)", ["x + y"], {"NN(x, y)": "b*x*y"}, ()),
        ("a' = NN1(a, b)\nb' = NN2(a, b)\nc' = NN3(a, b)\nd' = -NN3(a, b)", ["a + b", "c + d"],
         {"NN2(a, b)": "-NN1(a, b)"}, ("NN1", "NN3")),
        ("a' = NN1(a, b)\nb' = NN2(a, b)\nc' = NN3(a, b)", ["a + b + c", "b - c"],
         {"NN3(a, b)": "-0.5*NN1(a, b)", "NN2(a, b)": "-0.5*NN1(a, b)"}, ("NN1",)),
        ("x' = -x*y\ny' = x*y", ["x + y"], {}, ()),
        ("x' = -NN(x, y)\ny' = NN(x, y)", ["x + y"], {}, ("NN",)),
    ],
)  # fmt: skip
def test_one_network_is_what_the_others_leave_of_the_sum(equations, conserved, replaced, terms):
    model = HybridODE(equations, conserved=conserved)
    assert {r.name: r.text for r in model.invariants.replaced} == replaced
    assert model.terms == terms
    field, t, x, theta = random_field(model)
    right = field(t, x, theta)
    for weights in model.invariants.sums:
        total = sum(weight * right[:, model.states.index(state)] for state, weight in weights.items())
        assert total.abs().max() <= 1e-12 * right.abs().max()


def test_fixed_values_may_be_what_makes_a_sum_stay():
    equations = "x' = -k*x\ny' = 2*x"
    HybridODE(equations, {"k": 2.0}, conserved=["x + y"])
    with pytest.raises(ModelError, match=r"along the equations it changes by 2\*x - k\*x\. Correct"):
        HybridODE(equations, conserved=["x + y"])


def test_the_hybrid_says_what_it_keeps_and_how():
    lines = str(HybridODE(EPIDEMIC, conserved=["S + I + R"], stays_zero=["S", "R"][:1])).splitlines()
    assert lines[-3:] == [
        "  stays zero once zero: S; NN1 vanishes with it",
        "  conserved: S + I + R",
        "    so NN2(S, I) is NN1(S, I)",
    ]


def test_a_positive_state_is_looked_at_where_a_term_could_carry_it_below_zero():
    assert HybridODE(PREY, positive=["x", "y"]).invariants.inward == ("x", "y")
    assert HybridODE(PREY, positive=["x", "y"], stays_zero=["y"]).invariants.inward == ("x",)
    assert HybridODE("x' = x*NN(x, y)\ny' = NN(x, y)", positive=["x", "y"]).invariants.inward == ("y",)


def test_a_model_of_which_nothing_is_said_is_as_it_was():
    model = HybridODE(PREY)
    assert model.invariants.acting_rhs is model.rhs and not model.invariants.gates and not model.invariants.held
    assert (model.stays_zero, model.conserved, model.invariants.inward) == ((), (), ())


# --- refusals -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("equations", "said", "message"),
    [
        (PREY, {"stays_zero": ["z"]}, r"stays_zero names 'z', which is no state\. .*x, y"),
        (PREY, {"stays_zero": "x"}, r"stays_zero = 'x' must be a list of names"),
        (PREY, {"stays_zero": ["x", "x"]}, "stays_zero names 'x' twice"),
        (
            "x' = s - x + NN(x)",
            {"stays_zero": ["x"]},
            r"its equation is not: it has s there, its networks apart\. Correct",
        ),
        ("x' = y*cos(x) + NN(x)\ny' = 1", {"stays_zero": ["x"]}, r"it has y there"),
        ("x' = NN1(y)\ny' = 1", {"stays_zero": ["x"]}, r"NN1\(y\) does not depend on x, .* Write NN1\(x, y\)\."),
        ("x' = x/NN1(x, y)\ny' = exp(NN1(x, y))", {"stays_zero": ["y"]}, r"it has 1 there, its networks apart\. "),
        ("x'' = -k*x + NN(x)", {"stays_zero": ["x"]}, r"it has x' there"),
        (EPIDEMIC, {"conserved": ["S + J"]}, r"conserved 'S \+ J' names 'J', which is no state"),
        (EPIDEMIC, {"conserved": ["S*I"]}, r"'S\*I' is no sum of states with numbers before them\. Write .*\"S \+ I"),
        (EPIDEMIC, {"conserved": ["S + 2"]}, r"is no sum of states"),
        (EPIDEMIC, {"conserved": ["S"]}, r"has fewer than two states"),
        (EPIDEMIC, {"conserved": ["S + S - 2*S"]}, r"has fewer than two states"),
        (EPIDEMIC, {"conserved": ["S +"]}, r"conserved 'S \+' cannot be read"),
        (EPIDEMIC, {"conserved": ["S", "S"]}, "conserved names 'S' twice"),
        ("S' = -b*S*I\nI' = b*S*I - g*I\nR' = 0.9*g*I", {"conserved": ["S + I + R"]}, r"changes by -0\.1\*I\*g\. "),
        ("x' = (2*x)^5000\ny' = -x", {"conserved": ["x + y"]}, "the equations cannot be added up: pow"),
        ("x' = NN1(x)\ny' = NN2(y)", {"conserved": ["x + y"]}, r"changes by NN1\(x\) \+ NN2\(y\), and none of its"),
        ("x' = NN(x, y)\ny' = 2*NN(x, y) + NN(y, x)", {"conserved": ["x + y"]}, "is called once"),
        ("x' = y*NN(x, y)\ny' = -x", {"conserved": ["x + y"]}, "stands there by itself times a constant"),
    ],
)
def test_what_the_equations_cannot_keep_is_refused(equations, said, message):
    with pytest.raises(ModelError, match=message):
        HybridODE(equations, **said)
