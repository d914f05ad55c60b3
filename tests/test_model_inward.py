"""Positive states where they are zero: networks that cannot pull them down, in every form in which they act."""

import copy

import numpy as np
import pytest
import torch
from laws import dataset, solution

import udesys as ud
from udesys.assess.bifurcation.varied import network_trees
from udesys.data import Dataset, Trajectory
from udesys.fit.inward import inward
from udesys.fit.problem import ShootingProblem
from udesys.model import Grid, HybridODE, Network, Parameter
from udesys.model.along_grid import HybridAlongGrid
from udesys.model.field import HybridField
from udesys.model.program import Program
from udesys.runs import load_run, open_run
from udesys.search import SearchOptions

ABOVE = Parameter(0.5, bounds=(0.0, None))
BATCH = "S' = -NN(S, X)\nX' = Y*NN(S, X) - k*X"
KINETICS = {"parameters": {"Y": ABOVE, "k": ABOVE}}
GONE = 100.0  # times what the states are
WASHED = "S' = D*(F - S) - y*NN(S, X)\nX' = NN(S, X) - D*X"


def measured(model, seed=0):
    """Numbers for everything that a model sees, none of them below zero."""
    rng, n = np.random.default_rng(seed), 8
    run = Trajectory(
        name="A",
        t=rng.uniform(0.05, 0.1, n).cumsum(),
        y=rng.uniform(0.2, 3.0, (n, len(model.states))),
        u=rng.uniform(0.5, 1.0, (n, len(model.inputs))),
        covariates=rng.uniform(0.5, 1.0, len(model.covariates)),
    )
    return Dataset(
        columns=model.states,
        trajectories=(run,),
        time="t",
        source="made",
        inputs=dict.fromkeys(model.inputs, "linear"),
        covariates=model.covariates,
    )


def random_field(model, seed=0):
    """A field of a model that has met data, with odd scales and weights."""
    field, rng = HybridField(inward(model, measured(model))), np.random.default_rng(seed)
    for scale in field.scales:
        n_in, n_out = len(scale.shift), len(scale.output)
        scale.shift, scale.width = rng.normal(size=n_in), rng.uniform(0.5, 2, n_in)
        scale.output = rng.uniform(0.5, 2, n_out)
    theta = rng.normal(size=field.n_theta)
    theta[field.n_weights :] = np.abs(theta[field.n_weights :])
    return field, torch.as_tensor(theta)


MODELS = [
    ("x' = a*x + NN1(x, y)\ny' = NN2(x, y) - d*y", {"positive": ["x", "y"]}),
    (BATCH, {"positive": ["S", "X"], **KINETICS}),  # one network, of which both demand
    (WASHED, {"positive": ["S", "X"], "inputs": ["F"], "parameters": {"D": ABOVE, "y": 2.0}}),
    ("x' = NN(y) - x\ny' = -NN(y)", {"positive": ["x", "y"]}),  # x tells nothing to the network
    ("x' = -x*NN1(x, y) + NN2(x, y)[1]*y\ny' = x - NN2(x, y)[0]", {"positive": ["x", "y"]}),
    ("x' = NN(x, y) - x\ny' = NN(y, x)*x^2", {"positive": ["x", "y"]}),
    ("S' = -NN1(S, I)\nI' = NN2(S, I) - I\nR' = I", {"positive": ["S", "I"], "conserved": ["S + I + R"]}),
    ("x' = y*NN(2*x, z) - x\ny' = -exp(z)*NN(x*y, z)\nz' = 1", {"positive": ["x", "y"]}),
    ("x' = -NN(x, y) - y*x\ny' = NN(x, y)", {"positive": ["x"], "stays_zero": ["y"]}),
]


@pytest.fixture(params=range(len(MODELS)))
def case(request):
    equations, said = MODELS[request.param]
    names = {name for name in ("NN", "NN1", "NN2") if f"{name}(" in equations}
    return random_field(HybridODE(equations, networks={name: Network((4,), "tanh") for name in names}, **said))


def points(field, n=1000):
    """Times, states that are not below zero and inputs."""
    rng, model = np.random.default_rng(2), field.model
    return rng.uniform(0, 2, n), rng.uniform(0, 3, (n, len(model.states))), rng.uniform(0, 2, (n, len(model.exogenous)))


def tensors(*arrays):
    return [torch.as_tensor(a) for a in arrays]


# --- the right side -----------------------------------------------------------------------------------


def test_no_positive_state_falls_where_it_is_zero_whatever_the_weights(case):
    field, _ = case
    model, (t, x, u) = field.model, points(field)
    problem = ShootingProblem(model, measured(model), field)
    assert model.invariants.inward and not model.invariants.open and problem.compiled is not None
    bare = copy.copy(model)
    bare.invariants = copy.copy(model.invariants)
    object.__setattr__(bare.invariants, "held", {})
    free, fell = HybridField(bare), 0
    free.scales = field.scales
    for seed in range(5):
        theta = np.random.default_rng(seed).normal(size=field.n_theta)
        theta[field.n_weights :] = np.abs(theta[field.n_weights :])
        for state in model.invariants.inward:
            k, there = model.states.index(state), x.copy()
            there[:, k] = 0.0
            assert (field(*tensors(t, there, theta, u))[:, k] >= 0).all()
            assert (problem.compiled.right_side(t, there, u, theta)[:, k] >= 0).all()
            fell += int((free(*tensors(t, there, theta, u))[:, k] < 0).sum())
    assert fell > 0  # or there was nothing to hold


def test_its_derivatives_are_autograds(case):
    field, theta = case
    t, x, u = tensors(*points(field, 8))
    jacobian = torch.autograd.functional.jacobian
    found = field.jacobians(t, x, theta, u)
    by_state = jacobian(lambda x: field(t, x, theta, u).sum(0), x).transpose(0, 1)
    by_theta = jacobian(lambda w: field(t, x, w, u), theta)
    rounding = {"rtol": 1e-12, "atol": 1e-12}  # of a few hundred terms summed in another order
    torch.testing.assert_close(found.by_state, by_state, **rounding)
    d = len(field.model.states)
    contraction = torch.eye(d, dtype=x.dtype).expand(len(x), 1, d, d)
    torch.testing.assert_close(field.theta_contraction(found, contraction), by_theta, **rounding)
    for k, piece in enumerate(field.weights_of):
        arguments = field.arguments(k, t, x, theta, u)[:, : len(field.model.slots[k].arguments)]
        _, by_weights = field.term(k, arguments, theta, jacobian=True)
        expected = jacobian(lambda w: field.term(k, arguments, w), theta)  # noqa: B023
        torch.testing.assert_close(by_weights, expected[:, :, piece], **rounding)


def test_compiled_code_and_formulas_say_what_tensors_say(case):
    field, theta = case
    rng, model = np.random.default_rng(1), field.model
    problem = ShootingProblem(model, measured(model), field)
    plain = copy.copy(problem)
    plain.compiled = None
    theta, x = 0.3 * theta.numpy(), rng.uniform(0.05, 3, (problem.n_nodes, problem.d))
    for found, expected in zip(problem.flow_jacobians(x, theta), plain.flow_jacobians(x, theta), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-11)
    found, expected = (p.linearise(x, theta) for p in (problem, plain))
    for one, other in zip([*found[0], *found[1:]], [*expected[0], *expected[1:]], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-11)
    for k, slot in enumerate(model.slots):
        at = rng.normal(size=(5, len(slot.arguments)))
        values, slopes = problem.term(k, at, theta)
        for one, other in zip((values, slopes), plain.term(k, at, theta), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-11)
        written = Program(network_trees(field, k, theta), slot.arguments).run([*at.T])
        np.testing.assert_allclose(values, np.stack(written, 1), rtol=1e-11, atol=1e-11)


def test_what_pushes_a_state_up_is_left_as_it_is_and_what_pulls_fades_with_it():
    model = HybridODE("x' = NN(x)", positive=["x"], networks={"NN": Network((4,), "tanh")})
    field, theta = random_field(model)
    free, _ = random_field(HybridODE("x' = NN(x)", networks={"NN": Network((4,), "tanh")}))
    x = torch.linspace(-1, 3, 200, dtype=torch.float64)[:, None]
    acts, bare = field.term(0, x, theta), free.term(0, x, theta)
    up = bare >= 0
    assert 10 < int(up.sum()) < 190
    torch.testing.assert_close(acts[up], bare[up], rtol=0, atol=0)
    size = x.clamp(min=0)
    share = size / (size + 0.05 * measured(model).trajectories[0].y.mean())
    torch.testing.assert_close(acts[~up], (share * bare)[~up], rtol=1e-12, atol=0)


def test_a_silent_network_can_be_woken():
    for equations in ("x' = NN(y) - x\ny' = 0", "x' = y - x\ny' = -NN(y, x)", BATCH):
        model = HybridODE(equations, positive=[line[0] for line in equations.splitlines()])
        field, theta = random_field(model)
        at = torch.ones((3, len(field.model.slots[0].arguments)), dtype=torch.float64)
        assert (field.term(0, at, torch.zeros_like(theta), jacobian=True)[1].abs().amax(2) > 0.1).all()


def test_fields_on_a_grid_do_not_fall_where_they_are_zero():
    grid = Grid(tuple(np.linspace(0.0, 1.0, 9)), "neumann")
    model = HybridODE("u' = D*dxx(u) + NN(u, dx(u))", {"D": ABOVE}, positive=["u"], grid=grid)
    rng = np.random.default_rng(0)
    runs = tuple(
        Trajectory(name=f"A@{x:g}", t=np.arange(4.0), y=rng.uniform(0, 2, (4, 1)), covariates=[x]) for x in grid.points
    )
    data = Dataset(columns=("u",), trajectories=runs, time="t", source="made", covariates=("x",), position="x")
    free, held = HybridField(model), HybridField(inward(model, data))
    theta, values = rng.normal(size=free.n_theta), rng.uniform(0, 2, (50, 9, 1))
    theta[-1] = 1e-3
    values[:, ::3] = 0.0
    there = values == 0
    found, before = (HybridAlongGrid(f, theta)(np.zeros(50), values)[there] for f in (held, free))
    assert found.min() >= 0 > before.min()


# --- what is said -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("equations", "said", "why"),
    [
        ("x' = D*F - D*x - NN(x)", {}, "nothing says that D*F is not below zero"),
        ("x' = q*NN(x) - x", {}, "nothing says which sign q has"),
        ("x' = NN1(x)*NN2(x)", {}, r"NN1(x) does not stand there by itself"),
        ("x' = exp(NN(x)) - 1", {}, r"NN(x) does not stand there by itself"),
        ("x' = -NN(x - y)\ny' = NN(x - y)", {}, "NN(x - y) sees x in x - y alone"),
        ("x' = NN(x*y)\ny' = -1", {}, "NN(x*y) sees x in x*y alone"),
        ("x' = y^2 + NN(y)\ny' = -1", {}, "NN(y) does not depend on x, and is not all that moves it"),
        ("x' = NN(y)\nz' = -NN(y)\ny' = -1", {"positive": ["x", "z"]}, "NN would have to be zero everywhere"),
        ("x' = y*log(x) + NN(x)\ny' = -1", {}, "its equation is no number where x is zero"),
    ],
)
def test_where_signs_are_not_known_networks_are_left_as_they_are(equations, said, why):
    model = HybridODE(equations, **{"positive": ["x"], **said})
    assert f"  networks may carry x below zero between samples: {why}" in str(model).splitlines()
    held = inward(model, measured(model))
    assert held.invariants.acting_rhs is held.rhs and held.invariants.open["x"] == why


def test_bounds_and_data_tell_signs():
    plain = "x' = D*F - D*x - NN(x)"
    bounded = HybridODE(plain, {"D": ABOVE, "F": ABOVE}, positive=["x"])
    assert "  does not fall where it is zero: x; NN cannot pull it down there" in str(bounded).splitlines()
    driven = HybridODE(plain, {"D": ABOVE}, positive=["x"], inputs=["F"])
    assert driven.invariants.open and inward(driven, measured(driven)).invariants.held
    below = measured(driven)
    run = below.trajectories[0]
    run = Trajectory(name="A", t=run.t, y=run.y, u=-run.u)
    below = Dataset(columns=("x",), trajectories=(run,), time="t", source="made", inputs={"F": "linear"})
    assert not inward(driven, below).invariants.held


def test_a_state_of_unknown_size_is_left_and_a_start_tells_one():
    t = np.arange(6.0)
    data = dataset(("y",), (t, 1 + t[:, None]))
    model = HybridODE("x' = -NN(x, y)\ny' = x", positive=["x"])
    found = inward(model, data).invariants
    assert found.open == {"x": "nothing tells how large x is"} and not found.held
    told = HybridODE("x' = -NN(x, y)\ny' = x", positive=["x"], initial={"x": 2.0})
    assert inward(told, data).invariants.held["NN"].above == ((0, pytest.approx(0.05 * 2.0)),)


def test_without_positive_states_that_networks_move_the_model_is_itself():
    for model in (HybridODE(BATCH), HybridODE("x' = x*NN(x)", positive=["x"])):
        assert inward(model, measured(model)) is model and model.invariants.acting_rhs is model.rhs


# --- fits ---------------------------------------------------------------------------------------------


def culture(seed):
    """14 samples of bacteria that use up their food, S' = -1.2 S X/(0.3 + S), at 5 % noise, and the rest of the course.

    Returns:
        The data, later times and the states there.
    """

    def rhs(t, x):
        up = 1.2 * x[0] * x[1] / (0.3 + x[0])
        return [-up, 0.6 * up - 0.1 * x[1]]

    t = np.linspace(0, 12, 40)
    y = solution(rhs, [2.0, 0.4], t)
    seen = y[:14] + 0.05 * y[:14].mean(0) * np.random.default_rng(seed).standard_normal((14, 2))
    return dataset(("S", "X"), (t[:14], seen)), t, y


def course(fit, x0, t, steps=100):
    """States of a hybrid by the classical Runge-Kutta method, held where they leave all bounds."""
    compiled, theta, none = fit.problem.compiled, fit.unknowns.theta, np.zeros((1, 0))

    def rhs(x):
        return compiled.right_side(np.zeros(1), x[None], none, theta)[0] * (np.abs(x).max() < GONE)

    found, x = [x0], np.array(x0, float)
    for h in np.repeat(np.diff(t) / steps, steps):
        a = rhs(x)
        b = rhs(x + h / 2 * a)
        c = rhs(x + h / 2 * b)
        x = x + h / 6 * (a + 2 * b + 2 * c + rhs(x + h * c))
        found.append(x)
    return np.array(found[::steps])


@pytest.fixture(scope="module")
def fits():
    """Of three records, without and with a word."""
    found = []
    for seed in range(3):
        data, *_ = culture(seed)
        found.append([ud.fit(HybridODE(BATCH, positive=p, **KINETICS), data, seed=0) for p in ([], ["S", "X"])])
    return found


def test_food_that_is_used_up_is_not_below_zero_where_the_free_hybrid_goes(fits):
    _, t, y = culture(0)
    lowest, errors = [], []
    for pair in fits:
        with np.errstate(over="ignore"):
            courses = [course(f, y[0], t) for f in pair]
        lowest.append([c[:, 0].min() for c in courses])
        errors.append([np.abs(c - y).max() for c in courses])
    free, held = np.transpose(lowest)
    assert (free < -0.01).any() and (held > -1e-6).all()  # of the steps
    free, held = np.transpose(errors)
    assert np.median(free) > 1 > np.median(held)


def test_it_fits_no_worse(fits):
    for free, held in fits:
        assert held.converged
        assert all(held.error[name] < 1.5 * free.error[name] for name in held.error)


def test_a_saved_hybrid_is_the_same_function(fits, tmp_path):
    fit = fits[0][1]
    law = ud.recover(fit, options=SearchOptions(engines=["sparse"]))
    assert law.residuals["NN"].expression == "c0*X*S/(c1 + S)"
    law.save(tmp_path / "run")
    again = load_run(tmp_path / "run").fit
    assert again.model.invariants == fit.model.invariants and again.model.invariants.held
    x, theta = tensors(np.random.default_rng(0).uniform(0, 2, (20, 2)), fit.unknowns.theta)
    t = torch.zeros(20, dtype=x.dtype)
    torch.testing.assert_close(again.problem.field(t, x, theta), fit.problem.field(t, x, theta), rtol=0, atol=0)
    for name, term in fit.terms.items():
        np.testing.assert_array_equal(again.terms[name].values, term.values)
        np.testing.assert_array_equal(again.terms[name].std, term.std)
    assert "NN cannot pull it down there" in (tmp_path / "run" / "report.html").read_text()
    assert open_run(tmp_path / "run").fit().error == fit.error


def test_a_birth_that_does_not_see_its_state_is_found():
    def rhs(t, x):
        return [0.8 * x[1] - 0.5 * x[0], -0.8 * x[1]]

    t = np.linspace(0, 6, 25)
    y = solution(rhs, [0.1, 2.0], t)
    y = y + 0.01 * np.random.default_rng(0).standard_normal(y.shape)
    model = HybridODE("x' = NN(y) - d*x\ny' = -NN(y)", {"d": ABOVE}, positive=["x", "y"])
    fit = ud.fit(model, dataset(("x", "y"), (t, y)), seed=0)
    at = np.linspace(0.2, 1.9, 20)[:, None]
    assert fit.converged
    np.testing.assert_allclose(fit.term("NN", at)[0], 0.8 * at[:, 0], atol=0.05)  # noise over the time of decay
    assert fit.term("NN", np.zeros((1, 1)))[0][0] == 0.0
