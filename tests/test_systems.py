"""Built-in systems: their truth against SciPy, their specs, and the files they write."""

import dataclasses

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from udesys.data import read_table
from udesys.errors import DataError, ModelError, SolveError, UdesysError
from udesys.model import HybridODE
from udesys.spec import load_spec
from udesys.systems import get_system, list_systems, make_data, simulate, write_system

# Written by hand from the sources, in the order of the states; a new system adds its line here.
TRUTHS = {
    "lotka_volterra": lambda t, x: [1.3 * x[0] - 0.9 * x[0] * x[1], 0.8 * x[0] * x[1] - 1.8 * x[1]],
}
SYSTEMS = [pytest.param(system, id=system.name) for system in list_systems()]


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_system_follows_its_stated_equations(system):
    x0 = list(system.x0.values())
    exact = solve_ivp(TRUTHS[system.name], (system.t[0], system.t[-1]), x0, "LSODA", system.t, rtol=1e-10, atol=1e-12)
    (run,) = simulate(system).trajectories
    # LSODA keeps its relative tolerance per step; three digits are left for their sum.
    np.testing.assert_allclose(run.y, exact.y.T, rtol=1e-7, atol=1e-9)
    assert tuple(run.t) == system.t
    np.testing.assert_array_equal(run.y[0], x0)


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_system_is_complete(system, tmp_path):
    given = load_spec(write_system(system, tmp_path)[1])
    assert given.model.states == system.states == tuple(system.truth) == tuple(system.x0)
    assert given.model.slots, "a system keeps something back"
    assert given.data.n_measured == dict.fromkeys(system.states, len(system.t))
    assert not given.warnings
    for name, parameter in given.model.parameters.items():
        low, high = parameter.bounds
        assert low <= system.constants[name] <= high
        assert not parameter.fixed or parameter.start == system.constants[name]
    assert system.source and system.name in str(system)


def test_the_listing_is_sorted_and_names_its_files():
    names = [system.name for system in list_systems()]
    assert names == sorted(names)
    assert "lotka_volterra" in names
    assert get_system("lotka-volterra") is get_system("lotka_volterra")


def test_an_unknown_system_is_answered_with_the_nearest():
    with pytest.raises(ModelError, match=r"there is no system 'lotka_voltera'. Did you mean 'lotka_volterra'"):
        get_system("lotka_voltera")


def test_noise_is_a_share_of_each_mean_and_repeats_under_its_seed():
    system = get_system("lotka_volterra")
    exact = simulate(system).trajectories[0].y
    noisy = [make_data(system, 0.05, seed).trajectories[0].y - exact for seed in range(200)]
    # 200 times 31 draws know a standard deviation to 0.9 %; four of those.
    np.testing.assert_allclose(np.std(noisy, axis=(0, 1)), 0.05 * exact.mean(axis=0), rtol=0.036)
    np.testing.assert_array_equal(make_data(system, "5%", 3).trajectories[0].y, noisy[3] + exact)
    np.testing.assert_array_equal(make_data(system, 0).trajectories[0].y, exact)


@pytest.mark.parametrize(
    ("noise", "message"),
    [
        (5, r'noise = 5 is 500 % of the signal. Write a share, such as 0.05 or "5%"'),
        ("much", "noise is not a number: 'much'"),
        (-0.1, "noise must not be negative"),
    ],
)
def test_noise_that_is_no_share_is_refused_and_nothing_is_written(noise, message, tmp_path):
    with pytest.raises(DataError, match=message):
        write_system(get_system("lotka_volterra"), tmp_path / "new", noise)
    assert not list(tmp_path.iterdir())


def test_a_system_that_explodes_is_refused():
    explodes = dataclasses.replace(
        get_system("lotka_volterra"),
        name="explodes",
        units={"x": ""},
        truth={"x": "a*x**2"},
        constants={"a": 1.0},
        x0={"x": 1.0},
        t=(0.0, 0.5, 2.0),
    )
    with pytest.raises(SolveError, match="explodes cannot be simulated"), np.errstate(all="ignore"):
        simulate(explodes)


def test_written_files_read_back(tmp_path):
    system = get_system("lotka_volterra")
    table, spec = write_system(system, tmp_path / "a", "5%", 7)
    assert (table.name, spec.name) == ("lotka_volterra.csv", "lotka_volterra.toml")
    (run,) = read_table(table, time="t").trajectories
    # Ten digits are written.
    np.testing.assert_allclose(run.y, make_data(system, 0.05, 7).trajectories[0].y, rtol=1e-9)
    assert load_spec(spec).model.text == HybridODE(system.equations, system.parameters).text
    assert "noise of 5 %" in spec.read_text() and "seed 7" in spec.read_text()


def test_files_that_are_there_are_kept(tmp_path):
    system = get_system("lotka_volterra")
    (tmp_path / "lotka_volterra.toml").write_text("mine")
    with pytest.raises(UdesysError, match=r"lotka_volterra.toml is there already. .*--force"):
        write_system(system, tmp_path)
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("lotka_volterra.toml", "mine")]
    write_system(system, tmp_path, force=True)
    assert "[data]" in (tmp_path / "lotka_volterra.toml").read_text()


def test_the_shipped_table_is_what_its_command_writes(data_dir, tmp_path):
    table, spec = write_system(get_system("lotka_volterra"), tmp_path, "0.5%", 0)
    shipped = read_table(data_dir / table.name, time="t").trajectories[0]
    (run,) = read_table(table, time="t").trajectories
    # Another processor may round the last of the ten digits otherwise.
    np.testing.assert_allclose(shipped.y, run.y, rtol=1e-8)
    assert (data_dir / spec.name).read_text() == spec.read_text()
