"""What a law's error is set beside: the hybrid simulated on, and values that stay what they were."""

import numpy as np
import pytest
from laws import SYSTEM, dataset, discovered, fit, fitted, half_known, lotka_volterra, lotka_volterra_rhs, solution

from udesys.assess import beside
from udesys.assess.beside import hybrid_course, hybrid_error, last_values, persistence_error
from udesys.data import Dataset, Trajectory, split_holdout
from udesys.errors import SolveError
from udesys.model import HybridODE
from udesys.model.closed_form import ClosedForm, Formula
from udesys.model.grammar import parse_expression
from udesys.systems import get_system, make_data

DECAY = HybridODE("x' = -x")
NAN = np.nan


def held(*runs, columns=("x",)):
    made = tuple(Trajectory(name=name, t=t, y=y) for name, t, y in runs)
    return Dataset(columns=columns, trajectories=made, time="t", source="made")


# --- persistence -------------------------------------------------------------------------------------


def test_persistence_holds_the_last_value_of_the_run_it_continues_and_the_first_of_another():
    data = dataset(("x",), ([0.0, 1.0, 2.0], [[5.0], [2.0], [NAN]]))
    rest = held(("1", [3.0, 4.0], [[2.5], [NAN]]), ("new", [0.0, 1.0, 2.0], [[NAN], [7.0], [4.0]]))
    # the run's last measured value is 2; of the new one, 7: errors 0.5, 0 and -3
    expected = np.sqrt((0.5**2 + 0.0 + 3.0**2) / 3)
    assert persistence_error(DECAY, rest, data) == {"x": pytest.approx(expected)}


def test_another_record_of_the_same_name_persists_from_its_own_first_row():
    data = dataset(("x",), ([0.0, 1.0], [[2.0], [9.0]]))
    other = held(("1", [0.0, 1.0], [[1.0], [3.0]]))
    assert persistence_error(DECAY, other, data) == {"x": pytest.approx(np.sqrt(2.0**2 / 2))}


def test_what_was_never_measured_before_has_no_error():
    data = dataset(("x", "y"), ([0.0, 1.0], [[2.0, NAN], [9.0, NAN]]))
    rest = held(("1", [2.0], [[9.0, 1.0]]), columns=("x", "y"))
    found = persistence_error(HybridODE("x' = -x\ny' = 0"), rest, data)
    assert found["x"] == 0.0 and np.isnan(found["y"])


def test_last_values_are_those_measured_until_a_time():
    run = Trajectory(name="1", t=[0.0, 1.0, 2.0], y=[[1.0, 2.0], [3.0, NAN], [5.0, 6.0]])
    assert last_values(run, 1.5).tolist() == [3.0, 2.0]
    assert np.isnan(last_values(run, -1.0)).all()


# --- the hybrid --------------------------------------------------------------------------------------


def test_a_hybrid_without_networks_follows_scipy_beyond_its_data():
    data = dataset(("x",), (np.linspace(0, 2, 21), 3 * np.exp(-np.linspace(0, 2, 21))[:, None]))
    found = fit(HybridODE("x' = -k*x", observe={"double": "2*x"}), data)
    t = np.array([0.0, 0.05, 1.0, 4.0, 4.1])
    course = hybrid_course(found, np.array([3.0]), 0.0, t)
    assert course == pytest.approx(3 * np.exp(-t)[:, None] * [1.0, 2.0], rel=1e-4)


def test_the_hybrid_is_simulated_to_the_rest_of_its_run_from_its_own_start():
    whole, model = lotka_volterra(), half_known()
    data, rest = split_holdout(whole, {"last": "20%"})
    found, law = fit(model, data), discovered()
    errors = hybrid_error(found, law.closed_form, rest, np.array([list(law.initial["0"].values())]))
    simulated = found.simulate(np.append(0.0, rest.trajectories[0].t))[1:]  # another method, with error control
    expected = np.sqrt(((simulated - rest.trajectories[0].y) ** 2).mean(0))
    assert list(errors.values()) == pytest.approx(expected.tolist(), rel=0.01)


def test_the_hybrid_of_another_run_starts_where_the_law_does():
    law, found = discovered(), fitted()
    t = np.linspace(0.0, 1.0, 11)
    y = solution(lotka_volterra_rhs, [1.0, 2.0], t)
    errors = hybrid_error(found, law.closed_form, held(("new", t, y), columns=SYSTEM.states), np.ones((1, 2)))
    course = hybrid_course(found, y[0], 0.0, t)
    assert list(errors.values()) == pytest.approx(np.sqrt(((course - y) ** 2).mean(0)).tolist())
    assert 0 < max(errors.values()) < 0.5  # inside of what the data visited


def test_a_hybrid_that_leaves_the_finite_numbers_has_an_infinite_error():
    t = np.linspace(0, 0.5, 11)  # x' = x^2 from 1 is 1/(1 - t)
    data = dataset(("x",), (t, 1 / (1 - t)[:, None]))
    found = fit(HybridODE("x' = k*x^2"), data)
    course = hybrid_course(found, np.array([1.0]), 0.0, np.array([0.5, 0.9, 3.0]))
    assert np.isfinite(course[0]).all() and np.isnan(course[-1]).all()
    form = ClosedForm(found.model, {}, {"k": 1.0})
    rest = held(("1", [0.6, 3.0], [[2.5], [0.0]]))
    assert hybrid_error(found, form, rest, np.ones((1, 1))) == {"x": np.inf}


def test_a_slow_hybrid_is_not_simulated_over_many_times(monkeypatch):
    monkeypatch.setattr(beside, "MOST_SLOW", 3)
    system = get_system("robertson")
    found = fit(system.hybrid(), make_data(system, 0.01, 0).select("0"))
    assert found.method == "radau"
    t = found.data.trajectories[0].t
    with pytest.raises(SolveError, match="the hybrid is slow and was not simulated over"):
        hybrid_course(found, found.states[0][0], t[0], t)
    linear = {"NN": Formula(parse_expression("c0*y2"), {"c0": -1.0})}
    form = ClosedForm(found.model, linear, {n: p.start for n, p in found.model.parameters.items()})
    assert hybrid_error(found, form, found.data, found.states[0][:1]) == {}
