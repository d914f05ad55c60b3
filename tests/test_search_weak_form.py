"""The weak form: what a change of the law does to the data, against exact solutions and simulated changes."""

from dataclasses import replace

import numpy as np
import pytest
from laws import EXACT, TRUTH, fitted, half_known, lotka_volterra_rhs, solution
from scipy.linalg import expm

from udesys.data import Dataset, Trajectory
from udesys.integrate import radau
from udesys.integrate.driving import driving_of
from udesys.model import HybridODE, Parameter
from udesys.model.closed_form import ClosedForm, Formula
from udesys.model.grammar import parse_expression
from udesys.model.program import Program
from udesys.search import SearchOptions
from udesys.search.engines import sparse
from udesys.search.measurements import GAUSS, GAUSS_WEIGHTS, Measurements
from udesys.search.reference import Observed, Reference, about_closed_form, about_fit
from udesys.search.weak_form import LONGEST, WeakForm, _exponential, _implicit_steps


def measurements(times, states, *, sigma=0.01, free=None, mask=None):
    """Noise-free data of one or more runs."""
    ends = np.cumsum([len(t) for t in times])
    y = np.concatenate(states)
    return Measurements(
        t=np.concatenate(times),
        y=y,
        mask=np.ones_like(y) if mask is None else mask,
        sigma=np.full(y.shape[1], sigma),
        segments=(np.array([0, *ends[:-1]]), ends),
        free=np.ones(y.shape[1], bool) if free is None else np.array(free),
    )


def true_reference(model, data, rhs, starts, outputs, *, feedback=None, by_parameter=None):
    """The true solution as reference.

    Args:
        outputs: term -> one function of the states (d, ...) for each call.
    """
    d, n = data.y.shape[1], len(data.h)
    nodes, x, first = [], [], 0
    for x0, a, b in zip(starts, *data.segments, strict=True):
        grid = np.append(
            np.column_stack([data.t[a : b - 1], data.gauss_t[first : first + b - a - 1]]).ravel(), data.t[b - 1]
        )
        states = solution(rhs, x0, grid)
        first += b - a - 1
        nodes.append(states[::5])
        x.append(states[:-1].reshape(-1, 5, d)[:, 1:])
    x = np.concatenate(x)
    values = {term: [f(np.moveaxis(x, 2, 0)) for f in functions] for term, functions in outputs.items()}
    return Reference(
        nodes=np.concatenate(nodes),
        x=x,
        parameters={n: p.guess for n, p in model.parameters.items() if not p.fixed},
        outputs=values,
        feedback=np.zeros((n, d, d)) if feedback is None else np.broadcast_to(feedback, (n, d, d)),
        by_parameter=np.zeros((n, len(GAUSS), d, 0)) if by_parameter is None else by_parameter(x),
        by_constant={},
        std={},
    )


def columns(texts, task):
    values = Program([parse_expression(t) for t in texts], task.arguments).run(list(task.points.T))
    return np.stack([np.broadcast_to(np.asarray(v, float), len(task.points)) for v in values], 1)


def misfit(task, text, coefficient):
    """Norm of what a term leaves of the target, as a share of it."""
    left = task.response.target - coefficient * task.response.apply(columns([text], task))[:, 0]
    return np.linalg.norm(left) / np.linalg.norm(task.response.target)


def lotka_volterra_law(beta=0.9, gamma=0.8, **estimated):
    model = HybridODE(
        "prey' = alpha*prey + NN1(prey, predator)\npredator' = NN2(prey, predator) - delta*predator",
        parameters={n: Parameter(TRUTH[n]) if n in estimated else TRUTH[n] for n in ("alpha", "delta")},
    )
    tree = parse_expression("c0*prey*predator")
    formulas = {"NN1": Formula(tree, {"c0": -beta}), "NN2": Formula(tree, {"c0": gamma})}
    return ClosedForm(model, formulas, {n: v for n, v in {**TRUTH, **estimated}.items() if n in estimated})


def steps(data, n=4):
    return np.full(len(data.t), n, dtype=np.int64)


EATEN = {"NN1": [lambda x: -0.9 * x[0] * x[1]], "NN2": [lambda x: 0.8 * x[0] * x[1]]}


# --- quadrature and responses ------------------------------------------------------------------------


def test_the_gauss_points_integrate_polynomials_to_degree_seven():
    assert [GAUSS_WEIGHTS @ GAUSS**k for k in range(8)] == pytest.approx([1 / (k + 1) for k in range(8)])


def test_the_stages_of_a_stiff_system_integrate_polynomials_to_degree_four():
    t = np.array([0.0, 1.0, 3.0])
    data = replace(measurements([t], [np.zeros((3, 1))]), stiff=True)
    for k in range(5):
        found = data.h * (data.gauss_t**k @ data.weights)
        assert found == pytest.approx(np.diff(t ** (k + 1)) / (k + 1), rel=1e-13)


def test_implicit_steps_respond_as_the_exponentials_do_and_forget_what_a_stiff_system_forgets():
    slow, fast = np.array([[-0.3, 0.8], [-0.5, 0.1]]), np.array([[-1e8, 1e8], [0.0, -0.2]])
    h, weights = np.array([0.4, 0.5]), np.tile(radau.A[-1] / 2, 2)
    by_state = np.stack([np.broadcast_to(a, (6, 2, 2)) for a in (slow, fast)])
    carry, to_end = _implicit_steps(by_state, h)
    forced = h[:, None, None] * np.einsum("g,ngij->nij", weights, to_end)  # by a force that holds
    for a, length, found, response in zip((slow, fast), h, carry, forced, strict=True):
        exact = expm(a * length)
        np.testing.assert_allclose(found, exact, rtol=0, atol=1e-6)  # order five at half of 0.4 and of 0.5
        np.testing.assert_allclose(response, np.linalg.solve(a, exact - np.eye(2)), rtol=0, atol=1e-6)


def test_the_whole_slope_integrates_to_the_way_of_the_states():
    data = measurements([EXACT.t], [EXACT.y])
    reference = true_reference(half_known(), data, lotka_volterra_rhs, [EXACT.y[0]], EATEN)
    form = WeakForm(half_known(), data, reference)
    slope = np.stack(lotka_volterra_rhs(0.0, np.moveaxis(reference.x, 2, 0)), -1)[..., None]
    # Order 8 over intervals of 0.1: 1e-9.
    assert form.respond(form.integrated(slope))[..., 0] == pytest.approx(EXACT.y - EXACT.y[0], abs=1e-9)


def test_a_force_on_a_velocity_moves_the_place_by_the_double_integral():
    model = HybridODE("x'' = NN(x)")
    t = np.array([0.0, 0.4, 0.5, 1.1, 1.6])
    data = measurements([t], [np.zeros((5, 2))])
    kinematics = np.array([[0.0, 1.0], [0.0, 0.0]])
    reference = true_reference(
        model, data, lambda t, x: [x[1], 0.0], [[1.0, 0.0]], {"NN": [lambda x: 0 * x[0]]}, feedback=kinematics
    )
    form = WeakForm(model, data, reference)
    force = np.zeros((4, 4, 2, 1))
    force[:, :, 1, 0] = data.gauss_t  # x'' = t: v = t**2/2, x = t**3/6
    assert form.respond(form.integrated(force))[..., 0] == pytest.approx(np.stack([t**3 / 6, t**2 / 2], 1), abs=1e-14)
    starts = form.starts()
    assert starts[:, 0, :] == pytest.approx(np.stack([np.ones(5), t], 1)) and starts[:, 1, 1] == pytest.approx(
        np.ones(5)
    )


def test_runs_do_not_respond_to_each_other():
    times = [np.linspace(0, 1, 6), np.linspace(3, 4, 9)]
    data = measurements(
        times, [solution(lotka_volterra_rhs, x0, t) for x0, t in zip(([1, 1], [2, 1]), times, strict=True)]
    )
    form = WeakForm(half_known(), data, true_reference(half_known(), data, lotka_volterra_rhs, [[1, 1], [2, 1]], EATEN))
    forcing = np.zeros((13, 2, 1))
    forcing[2] = 1.0
    response = form.respond(forcing)[:, 0, 0]
    assert response.tolist() == [0.0] * 3 + [1.0] * 3 + [0.0] * 9


# --- about the true hybrid ---------------------------------------------------------------------------


@pytest.mark.parametrize(("term", "coefficient"), [("NN1", -0.9), ("NN2", 0.8)])
def test_the_true_term_reproduces_the_target_about_the_true_hybrid(term, coefficient):
    times = [EXACT.t, np.linspace(1, 3, 17)]
    starts = [EXACT.y[0], [1.5, 0.7]]
    data = measurements(times, [solution(lotka_volterra_rhs, x0, t) for x0, t in zip(starts, times, strict=True)])
    task = WeakForm(half_known(), data, true_reference(half_known(), data, lotka_volterra_rhs, starts, EATEN)).task(
        term
    )
    assert task.arguments == ("prey", "predator") and task.taken == {"prey", "predator", "alpha", "delta"}
    assert misfit(task, "prey*predator", coefficient) < 1e-9  # only the reference's own solver
    assert misfit(task, "prey*predator**2", coefficient) > 0.1


def test_the_true_term_nearly_reproduces_the_target_about_a_fit():
    result = fitted(0.005, 0)
    data = Measurements.of_fit(result)
    exact = Measurements(t=data.t, y=EXACT.y, mask=data.mask, sigma=data.sigma, segments=data.segments, free=data.free)
    form = WeakForm(result.model, exact, about_fit(result, data))
    # The reference is half a noise sd from the truth, which is a percent of the term; feedback is left out.
    assert misfit(form.task("NN1"), "prey*predator", -0.9) < 0.03
    assert misfit(form.task("NN2"), "prey*predator", 0.8) < 0.03


def test_initial_values_that_are_free_are_projected_out():
    shifted = EXACT.y + [0.3, -0.2]  # about a reference without feedback an initial value stays what it is

    def target(y, free):
        data = measurements([EXACT.t], [y], free=free)
        reference = true_reference(half_known(), data, lotka_volterra_rhs, [EXACT.y[0]], EATEN)
        return WeakForm(half_known(), data, reference).task("NN1").response.target

    size = np.linalg.norm(target(EXACT.y, [True, True]))
    assert target(shifted, [True, True]) == pytest.approx(target(EXACT.y, [True, True]), abs=1e-9 * size)
    assert np.linalg.norm(target(shifted, [False, True]) - target(EXACT.y, [False, True])) > 0.1 * size


def test_estimated_parameters_are_projected_out():
    model = half_known(alpha=Parameter(1.3))
    data = measurements([EXACT.t], [EXACT.y])

    def by_parameter(x):
        return np.stack([x[..., 0], np.zeros_like(x[..., 0])], -1)[..., None]  # df/dalpha = (prey, 0)

    reference = true_reference(model, data, lotka_volterra_rhs, [EXACT.y[0]], EATEN, by_parameter=by_parameter)
    form = WeakForm(model, data, reference)
    moved = measurements([EXACT.t], [EXACT.y + 0.1 * form.respond(form.integrated(by_parameter(reference.x)))[..., 0]])
    one, other = form.task("NN1"), WeakForm(model, moved, reference).task("NN1")
    assert other.response.target == pytest.approx(one.response.target, abs=1e-9 * np.linalg.norm(one.response.target))
    # A term that the parameter explains already leaves nothing.
    left = np.linalg.norm(one.response.apply(columns(["prey", "predator"], one)), axis=0)
    assert left[0] < 1e-9 * left[1]


def test_missing_cells_have_no_row():
    mask = np.ones_like(EXACT.y)
    mask[3:9, 0] = 0.0
    data = measurements([EXACT.t], [np.where(mask > 0, EXACT.y, 1e6)], mask=mask)
    task = WeakForm(
        half_known(), data, true_reference(half_known(), data, lotka_volterra_rhs, [EXACT.y[0]], EATEN)
    ).task("NN1")
    assert len(task.response.target) == 31 - 6  # of prey alone: NN1 acts on nothing else without feedback
    assert misfit(task, "prey*predator", -0.9) < 1e-9


def test_long_records_are_cut_into_windows_with_starts_of_their_own():
    t = np.linspace(0, 9, 3 * LONGEST)
    data = measurements([t], [solution(lotka_volterra_rhs, EXACT.y[0], t)])
    form = WeakForm(half_known(), data, true_reference(half_known(), data, lotka_volterra_rhs, [EXACT.y[0]], EATEN))
    lengths = [b - a for a, b, _ in form.windows]
    assert sum(lengths) == len(t) and max(lengths) <= LONGEST
    assert misfit(form.task("NN1"), "prey*predator", -0.9) < 1e-9


# --- networks called at several places ---------------------------------------------------------------


def test_a_flow_from_one_state_to_another_counts_with_both_signs():
    def rhs(t, x):
        return [-0.5 * x[0] ** 2, 0.5 * x[0] ** 2]

    model, t = HybridODE("a' = -NN(a)\nb' = NN(a)"), np.linspace(0, 4, 21)
    data = measurements([t], [solution(rhs, [2.0, 0.1], t)])
    task = WeakForm(
        model, data, true_reference(model, data, rhs, [[2.0, 0.1]], {"NN": [lambda x: 0.5 * x[0] ** 2]})
    ).task("NN")
    assert len(task.points) == 20 * 4 and len(task.response.target) == 2 * 21
    assert misfit(task, "a**2", 0.5) < 1e-9
    best = next(iter(sparse.propose(task, SearchOptions())))
    assert best.key == "a**2" and best.formula.constants["c0"] == pytest.approx(0.5)


def test_a_network_of_two_arguments_in_turn_is_one_term():
    def rhs(t, x):
        return [-0.5 * x[0] ** 2, 0.3 - 0.5 * x[1] ** 2]

    model, t = HybridODE("a' = -NN(a)\nb' = 0.3 - NN(b)"), np.linspace(0, 4, 21)
    data = measurements([t], [solution(rhs, [2.0, 0.1], t)])
    outputs = {"NN": [lambda x: 0.5 * x[0] ** 2, lambda x: 0.5 * x[1] ** 2]}
    task = WeakForm(model, data, true_reference(model, data, rhs, [[2.0, 0.1]], outputs)).task("NN")
    assert task.arguments == ("a",) and len(task.points) == 2 * 20 * 4
    assert misfit(task, "a**2", 0.5) < 1e-9


def test_an_acceleration_is_found_from_places_alone():
    def rhs(t, x):
        return [x[1], -4 * np.sin(x[0])]

    model, t = HybridODE("theta'' = NN(theta)"), np.linspace(0, 4, 41)
    states = solution(rhs, [1.5, 0.0], t)
    mask = np.stack([np.ones(41), np.zeros(41)], 1)
    data = measurements([t], [states * mask], mask=mask)
    reference = true_reference(
        model,
        data,
        rhs,
        [[1.5, 0.0]],
        {"NN": [lambda x: -4 * np.sin(x[0])]},
        feedback=np.array([[0.0, 1.0], [0.0, 0.0]]),
    )
    task = WeakForm(model, data, reference).task("NN")
    assert misfit(task, "sin(theta)", -4.0) < 1e-9
    best = next(iter(sparse.propose(task, SearchOptions())))
    assert best.key == "sin(theta)" and best.formula.constants["c0"] == pytest.approx(-4.0)


# --- what is measured of the states, and what drives them --------------------------------------------


def observed_task(gone=(), offset=0.0, estimated=False):
    """NN2's task where the predator is seen through signal = 2*predator^2 + s, about a law whose gamma is 1 % off."""
    text = "prey' = 1.3*prey + NN1(prey, predator)\npredator' = NN2(prey, predator) - 1.8*predator"
    model = HybridODE(
        text,
        {"s": Parameter(0.0)} if estimated else {},
        observe={"signal": "2*predator^2 + s"} if estimated else {"signal": "2*predator^2"},
    )
    tree = parse_expression("c0*prey*predator")
    formulas = {"NN1": Formula(tree, {"c0": -0.9}), "NN2": Formula(tree, {"c0": 0.8 * 1.001})}
    law = ClosedForm(model, formulas, {"s": 0.0} if estimated else {})
    t = np.linspace(0, 3, 61)
    exact = solution(lotka_volterra_rhs, EXACT.y[0], t)
    y = np.column_stack([exact[:, 0], np.zeros(61), 2 * exact[:, 1] ** 2 + offset])
    mask = np.column_stack([np.ones(61), np.zeros(61), ~np.isin(np.arange(61), gone)]).astype(float)
    data = measurements([t], [y * mask], mask=mask, free=[True, True])
    return WeakForm(model, data, about_closed_form(law, data, EXACT.y[:1], steps(data))).task("NN2")


def test_the_true_term_reproduces_the_target_through_an_observable():
    task = observed_task()
    assert len(task.response.target) == 2 * 61  # of prey and of the signal, none of the predator itself
    column, target = task.response.apply(columns(["prey*predator"], task))[:, 0], task.response.target
    # Linearised about a law 0.1 % off, with a Jacobian averaged over an interval: see below.
    assert column @ target / (column @ column) == pytest.approx(0.8, rel=2e-4)
    assert len(observed_task(gone=(3, 7)).response.target) == 2 * 61 - 2


def test_a_parameter_of_an_observable_is_projected_out():
    plain, shifted = observed_task(estimated=True), observed_task(offset=5.0, estimated=True)
    size = np.linalg.norm(plain.response.target)
    assert shifted.response.target == pytest.approx(plain.response.target, abs=1e-9 * size)
    assert np.linalg.norm(observed_task(offset=5.0).response.target - observed_task().response.target) > size


def test_slopes_of_an_observable_that_are_not_finite_count_as_missing():
    by_state = np.ones((3, 1, 2))
    by_state[1, 0, 0] = np.inf
    seen = Observed(values=np.array([[1.0], [2.0], [np.nan]]), by_state=by_state, by_parameter=np.ones((3, 1, 0)))
    assert seen.known.tolist() == [[True], [False], [False]]
    assert seen.values.tolist() == [[1.0], [0.0], [0.0]] and seen.by_state[1:].tolist() == [[[0.0, 0.0]]] * 2


@pytest.mark.parametrize("kind", ["linear", "hold", "cubic"])
def test_inputs_and_covariates_are_arguments_of_a_term(kind):
    t, k = np.linspace(0, 3, 41), 0.7
    u = np.sin(3 * t)
    run = Trajectory(name="A", t=t, y=np.zeros((41, 1)), u=u[:, None], covariates=[k])
    made = Dataset(columns=("x",), trajectories=(run,), time="t", source="made", inputs={"F": kind}, covariates=["k"])
    model = HybridODE("x' = NN(x, F, k) - F", inputs=["F"], covariates=["k"])
    truth = ClosedForm(model, {"NN": Formula(parse_expression("c0*x*k + c1*F^2"), {"c0": -1.0, "c1": 0.5})}, {})
    driving = driving_of(made, run, model.exogenous)
    pieces, segment = driving.along(t), (np.array([0]), np.array([41]))
    states, _ = truth.simulate([[1.0]], t, segment, np.full(41, 4), pieces=pieces)
    mask = np.ones((41, 1))
    data = Measurements(
        t=t,
        y=states,
        mask=mask,
        sigma=np.array([0.01]),
        segments=segment,
        free=np.array([True]),
        pieces=pieces,
        u=driving.values(t),
    )
    near = ClosedForm(model, {"NN": Formula(truth.formulas["NN"].tree, {"c0": -1.001, "c1": 0.5})}, {})
    form = WeakForm(model, data, about_closed_form(near, data, np.array([[1.0]]), np.full(41, 4)))
    task = form.task("NN")
    assert task.arguments == ("x", "F", "k") and {"F", "k"} <= task.taken
    assert task.points[:, 1] == pytest.approx(driving.values(data.gauss_t.ravel())[:, 0])
    found = np.linalg.lstsq(task.response.apply(columns(["x*k", "F^2", "F*x"], task)), task.response.target)[0]
    assert found == pytest.approx([-1.0, 0.5, 0.0], abs=2e-4)  # of second order in the law's error, and in the interval


def test_exponentials_are_scipys_for_matrices_of_all_sizes():
    rng = np.random.default_rng(0)
    for size in (1e-4, 0.3, 3.0, 20.0):
        a = size * rng.standard_normal((20, 3, 3))
        exact = expm(a)
        # the series leaves rounding, and every squaring doubles it
        assert np.abs(_exponential(a) - exact).max() < 1e-13 * max(1.0, 10 * size) * np.abs(exact).max()
    assert _exponential(np.zeros((2, 3, 3))).tolist() == [np.eye(3).tolist()] * 2
    assert np.isnan(_exponential(np.full((1, 2, 2), np.nan))).all()


# --- about a closed form -----------------------------------------------------------------------------


@pytest.mark.parametrize("unknown", [0, 1, 2])
def test_the_linear_response_about_a_closed_form_is_the_simulated_change(unknown):
    errors = []
    for n in (16, 31, 61):  # one window each
        t = np.linspace(0, 3, n)
        law = lotka_volterra_law(alpha=1.3)
        data = measurements([t], [np.zeros((n, 2))])
        x0 = EXACT.y[:1]
        change = 1e-4 * np.eye(3)[unknown]  # central: second order in 1e-4, far below the error looked at
        up, down = (law.simulate(x0, t, data.segments, steps(data), values=law.values + s * change)[0] for s in (1, -1))
        reference = about_closed_form(law, data, x0, steps(data))
        form = WeakForm(law.model, data, reference)
        by = [reference.by_parameter[..., 0], *(reference.by_constant[t][..., 0] for t in ("NN1", "NN2"))][unknown]
        found = form.respond(form.integrated(by[..., None]))[..., 0]
        expected = (up - down) / 2e-4
        errors.append(np.abs(found - expected).max() / np.abs(expected).max())
    # The Jacobian is averaged over an interval, which is of second order in its length.
    assert errors[1] < 0.02
    assert np.polyfit(np.log([1, 2, 4]), np.log(errors), 1)[0] == pytest.approx(-2, abs=0.3)


def test_the_linear_response_of_a_stiff_law_is_that_of_its_simulation():
    model = HybridODE("a' = -0.04*a + 1e4*b*c\nb' = 0.04*a - 1e4*b*c - NN(b)\nc' = NN(b)")
    law = ClosedForm(model, {"NN": Formula(parse_expression("c0*b**2"), {"c0": 3e7})}, {}, stiff=True)
    t, x0 = np.concatenate([[0.0], np.geomspace(1e-4, 40, 60)]), np.array([[1.0, 0.0, 0.0]])
    data = replace(measurements([t], [np.zeros((61, 3))]), stiff=True)
    count = np.full(61, 8)
    states, slopes = law.simulate(x0, t, data.segments, count, sensitivities=True)
    reference = about_closed_form(law, data, x0, count)
    assert np.abs(reference.nodes - states).max() < 1e-9
    form = WeakForm(model, data, reference)
    found = form.respond(form.integrated(reference.by_constant["NN"]))[..., 0]
    error = np.abs(found - slopes[..., 0]).max(0) / np.abs(slopes[..., 0]).max(0)
    assert (error < 1e-4).all()  # one step of order five an interval of ratio 1.24, or two
    starts = form.starts() - slopes[..., 1:]
    assert (np.abs(starts).max(0) < 1e-3 * np.abs(slopes[..., 1:]).max(0)).all()


def test_free_starts_about_a_closed_form_respond_like_simulated_ones():
    t = np.linspace(0, 1.5, 61)
    law, data = lotka_volterra_law(), measurements([t], [np.zeros((61, 2))])
    _, sensitivities = law.simulate(EXACT.y[:1], t, data.segments, steps(data), sensitivities=True)
    form = WeakForm(law.model, data, about_closed_form(law, data, EXACT.y[:1], steps(data)))
    assert form.starts() == pytest.approx(sensitivities[..., 2:], abs=2e-3 * np.abs(sensitivities[..., 2:]).max())


def test_a_wrong_constant_is_put_right_to_second_order():
    t = np.linspace(0, 3, 121)
    errors = []
    for off in (0.04, 0.02, 0.01):
        truth, law = lotka_volterra_law(), lotka_volterra_law(beta=0.9 * (1 + off))
        data = measurements([t], [np.zeros((121, 2))])
        states, _ = truth.simulate(EXACT.y[:1], t, data.segments, steps(data))
        data = measurements([t], [states])
        task = WeakForm(law.model, data, about_closed_form(law, data, EXACT.y[:1], steps(data))).task("NN1")
        column, target = task.response.apply(columns(["prey*predator"], task))[:, 0], task.response.target
        errors.append(abs(column @ target / (column @ column) + 0.9) / 0.9)
    assert errors[0] < 0.1 * 0.04
    assert errors[0] / errors[2] > 8  # a fourth of the way off leaves a sixteenth, to higher orders


def test_about_a_closed_form_the_values_are_the_formulas():
    law, data = lotka_volterra_law(alpha=1.2), measurements([EXACT.t], [EXACT.y])
    reference = about_closed_form(law, data, EXACT.y[:1], steps(data))
    assert reference.parameters == {"alpha": 1.2}
    assert reference.outputs["NN1"][0] == pytest.approx(-0.9 * reference.x[..., 0] * reference.x[..., 1])
    assert reference.by_constant["NN2"][:, :, 1, 0] == pytest.approx(reference.x[..., 0] * reference.x[..., 1])


def test_a_closed_form_that_diverges_is_no_reference():
    model = HybridODE("x' = NN(x)")
    law = ClosedForm(model, {"NN": Formula(parse_expression("c0*x**2"), {"c0": 1.0})}, {})
    t = np.linspace(0, 3, 31)  # from 1 it blows up at t = 1
    data = measurements([t], [np.ones((31, 1))])
    assert about_closed_form(law, data, np.ones((1, 1)), steps(data)) is None
