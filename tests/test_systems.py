"""Built-in systems: their truth against SciPy, their specs, and the files they write."""

import dataclasses

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from udesys.data import read_table
from udesys.errors import DataError, ModelError, SolveError, UdesysError
from udesys.model import HybridODE
from udesys.model import tree as T
from udesys.model.grammar import parse_expression
from udesys.model.program import Program
from udesys.spec import load_spec
from udesys.systems import get_system, list_systems, make_data, simulate, write_system


# Written by hand from the sources, in the order of the states; a new system adds its line here.
def _coupled(n):
    W = np.array([[0.6, -0.2, 0.1], [0.1, 0.5, -0.2], [-0.15, 0.2, 0.7]])[:n, :n]
    V = np.array([[1.5, -0.4, 0.3], [-0.5, 1.2, -0.3], [0.2, -0.6, 1.8]])[:n, :n]

    def force(t):
        first = 1.2 * np.sin(0.7 * t) + 0.9 * np.sin(1.9 * t + 1)
        second = 1.1 * np.sin(1.1 * t + 2) + 0.9 * np.sin(2.3 * t)
        return np.array([first, second, 1.2 * np.sin(0.9 * t + 4) + 0.8 * np.sin(1.5 * t + 3)])[:n]

    def rates(t, z):
        x, v = np.array(z)[::2], np.array(z)[1::2]
        return np.stack([v, np.tanh(-W @ v - V @ x + force(t))], 1).ravel()

    return rates


def _floating(t, z):
    x, vx, y, vy = z
    w = np.array([vx, vy]) - 0.2 * np.array([-y, x])
    s = np.hypot(*w)
    ax, ay = -(400 * s + 5) * w / (100 + 30 + 10 * np.tanh(0.2 * s))
    return [vx, ax, vy, ay]


def _yeast(t, s):
    s1, s2, s3, s4, s5, s6, s7 = s
    v1 = 100 * s1 * s6 / (1 + (s6 / 0.52) ** 4)
    v2, v3, v4 = 6 * s2 * (1 - s5), 16 * s3 * (4 - s6), 100 * s4 * s5
    v5, v6, v7, out = 1.28 * s6, 12 * s2 * s5, 1.8 * s7, 13 * (s4 - s7)
    return [2.5 - v1, 2 * v1 - v2 - v6, v2 - v3, v3 - v4 - out, v2 - v4 - v6, -2 * v1 + 2 * v3 - v5, 0.1 * out - v7]


def _pathway(t, z):
    a, b, c = z
    v1, v2, v3 = 1.0 * a / (0.8 + a), 0.9 * b / (0.4 + b), 0.8 * c / (0.6 + c)
    return [0.1 - v1, v1 - v2, v2 - v3]


def _fene_p(t, z):
    xx, yy, xy = z
    rate, spring = 4 * np.sin(0.8 * t) + 2 * np.sin(2 * t), (30 - 3) / (30 - (xx + 2 * yy))
    return [2 * rate * xy - spring * xx + 1, 1 - spring * yy, rate * yy - spring * xy]


def _slope(x, y):
    """Minus the gradient of x^2/2 + 0.6 x y + y^4/4."""
    return -x - 0.6 * y, -0.6 * x - y**3


TRUTHS = {
    "brusselator": lambda t, z: [1 - 4 * z[0] + z[0] ** 2 * z[1], 3 * z[0] - z[0] ** 2 * z[1]],
    "coupled_oscillators_2": _coupled(2),
    "coupled_oscillators_3": _coupled(3),
    "damped_oscillator": lambda t, z: [
        z[1],
        (3 * np.sin(1.1 * t) + 2 * np.sin(2.7 * t + 1) - 0.8 * z[1] - 6 * z[0]) / 2,
    ],
    "duffing": lambda t, z: [z[1], z[0] - z[0] ** 3 - 0.3 * z[1] + 0.5 * np.cos(1.2 * t)],
    "fene_p": _fene_p,
    "fitzhugh_nagumo": lambda t, z: [z[0] - z[0] ** 3 / 3 - z[1] + 0.5, 0.08 * (z[0] + 0.7 - 0.8 * z[1])],
    "floating_body": _floating,
    "heavy_ball": lambda t, z: [z[1], _slope(z[0], z[2])[0] - 0.4 * z[1], z[3], _slope(z[0], z[2])[1] - 0.4 * z[3]],
    "hopf": lambda t, z: [
        0.25 * z[0] - z[1] - z[0] * (z[0] ** 2 + z[1] ** 2),
        z[0] + 0.25 * z[1] - z[1] * (z[0] ** 2 + z[1] ** 2),
    ],
    "lorenz": lambda t, z: [10 * (z[1] - z[0]), z[0] * (28 - z[2]) - z[1], z[0] * z[1] - 8 / 3 * z[2]],
    "lotka_volterra": lambda t, x: [1.3 * x[0] - 0.9 * x[0] * x[1], 0.8 * x[0] * x[1] - 1.8 * x[1]],
    "lotka_volterra_lecture": lambda t, x: [1.1 * x[0] - 0.4 * x[0] * x[1], 0.1 * x[0] * x[1] - 0.4 * x[1]],
    "michaelis_menten_pathway": _pathway,
    "nesterov": lambda t, z: [z[1], _slope(z[0], z[2])[0] - 3 / t * z[1], z[3], _slope(z[0], z[2])[1] - 3 / t * z[3]],
    "neural_ode": lambda t, z: [-0.1 * z[0] ** 3 + 2 * z[1] ** 3, -2 * z[0] ** 3 - 0.1 * z[1] ** 3],
    "pendulum": lambda t, z: [z[1], -9.81 * np.sin(z[0]) - 0.1 * z[1]],
    "predator_prey_collapse": lambda t, z: [
        3 * z[0] * (1 - z[0]) - z[0] * z[1] - 0.5 * (1 - np.exp(-5 * z[0])),
        -z[1] + 3 * z[0] * z[1],
    ],
    "robertson": lambda t, y: [
        -0.04 * y[0] + 1e4 * y[1] * y[2],
        0.04 * y[0] - 1e4 * y[1] * y[2] - 3e7 * y[1] ** 2,
        3e7 * y[1] ** 2,
    ],
    "roessler": lambda t, z: [-z[1] - z[2], z[0] + 0.2 * z[1], 0.2 + z[2] * (z[0] - 5.7)],
    "seir": lambda t, z: [-3 * z[0] * z[2], 3 * z[0] * z[2] - z[1] / 8, z[1] / 8 - z[2] / 5, z[2] / 5],
    "sir": lambda t, z: [-2.18e-3 * z[0] * z[1], 2.18e-3 * z[0] * z[1] - 0.44 * z[1], 0.44 * z[1]],
    "van_der_pol": lambda t, z: [z[1], 2 * (1 - z[0] ** 2) * z[1] - z[0]],
    "yeast_glycolysis": _yeast,
}
sin, cos, exp = np.sin, np.cos, np.exp
ODEBENCH = {
    1: lambda x: [(0.7 - x / 1.2) / 2.31],
    2: lambda x: [0.23 * x],
    3: lambda x: [0.79 * x * (1 - x / 74.3)],
    5: lambda v: [9.81 - 0.0021175 * v * v],
    6: lambda x: [2.1 * x - 0.5 * x * x],
    8: lambda x: [0.14 * x * (1 - x / 130) * (x / 4.4 - 1)],
    9: lambda x: [(1 - x) * 0.32 - 0.28 * x],
    11: lambda x: [-(x**3)],
    12: lambda x: [1.8 * x - 0.1107 * x * x],
    13: lambda x: [0.0981 * sin(x) * (9.7 * cos(x) - 1)],
    15: lambda x: [0.4 * x * (1 - x / 95) - x * x / (1 + x * x)],
    16: lambda x: [0.1 * x + 0.04 * x**3 - 0.001 * x**5],
    17: lambda x: [0.4 * x * (1 - x / 100) - 0.3],
    18: lambda x: [0.4 * x * (1 - x / 100) - 0.24 * x / (50 + x)],
    20: lambda x: [0.1 - 0.55 * x + x * x / (1 + x * x)],
    22: lambda x: [1.4 + 0.4 * x**5 / (123 + x**5) - 0.89 * x],
    23: lambda x: [0.21 - sin(x)],
    24: lambda x, v: [v, -2.1 * x],
    25: lambda x, v: [v, -4.5 * x - 0.43 * v],
    27: lambda x, y: [x * (1.84 - 1.45 * y), -y * (3.0 - 1.62 * x)],
    28: lambda x, v: [v, -0.9 * sin(x)],
    29: lambda x, y: [0.65 * x * y, y * y - x * x],
    31: lambda x, y: [-0.4 * x * y, 0.4 * x * y - 0.314 * y],
    32: lambda x, v: [v, -0.18 * v + x - x**3],
    34: lambda x, v: [v, sin(x) * (cos(x) - 0.93)],
    35: lambda x, y: [cos(x) / np.tan(y), sin(x) * (cos(y) ** 2 + 4.2 * sin(y) ** 2)],
    37: lambda x, v: [v, -x - 0.43 * (x * x - 1) * v],
    38: lambda x, y: [3.37 * (y - x**3 / 3 + x), -x / 3.37],
    39: lambda x, y: [-x + 2.4 * y + x * x * y, 0.07 - 2.4 * x - x * x * y],
    40: lambda x, v: [v, -x + 0.886 * v * (1 - x * x)],
    43: lambda x, v: [v, 1.67 - sin(x) - 0.64 * v],
    44: lambda x, v: [v, 1.67 - sin(x) - 0.64 * v * abs(v)],
    46: lambda x, y: [0.33 * sin(x - y) - sin(x), 0.33 * sin(y - x) - sin(y)],
    47: lambda x, y: [-x + 1 / (1 + exp(4.89 * y - 1.4)), -y + 1 / (1 + exp(4.89 * x - 1.4))],
    49: lambda x, y: [1 - 4.03 * x + 3.1 * x * x * y, 3.03 * x - 3.1 * x * x * y],
    51: lambda x, y: [1.432 + sin(y) * cos(x), 0.972 + sin(y) * cos(x)],
    52: lambda x, y, z: [0.1 * (y - x), 0.21 * (x * z - y), 0.34 * (4.1 - z - 3.1 * x * y)],
    54: lambda x, y, z: [5.1 * (y - x), 12 * x - y - x * z, x * y - 1.67 * z],
    55: lambda x, y, z: [10 * (y - x), 99.96 * x - y - x * z, x * y - 8 / 3 * z],
    57: lambda x, y, z: [5 * (-y - z), 5 * (x - 0.2 * y), 5 * (0.2 + z * (x - 5.7))],
    59: lambda x, y, z: [5 * (-y - z), 5 * (x + 0.2 * y), 5 * (0.2 + z * (x - 5.7))],
    60: lambda x, y, z: [
        x * (z - 0.7) - 3.5 * y,
        3.5 * x + y * (z - 0.7),
        0.65 + 0.95 * z - z**3 / 3 - (x * x + y * y) * (1 + 0.25 * z) + 0.1 * z * x**3,
    ],
    62: lambda x, y, z, w: [
        -x + 1 / (1 + exp(0.89 * z + 0.4 * y - 1.4)),
        x - y,
        -z + 1 / (1 + exp(0.89 * x + 0.4 * w - 1.4)),
        z - w,
    ],
}
TRUTHS |= {f"odebench:{number}": lambda t, z, f=f: f(*z) for number, f in ODEBENCH.items()}
COMPARED_UNTIL = {"odebench:55": 2.0}  # chaos multiplies what the methods differ by
ALL = (*list_systems(), *list_systems("odebench"))
SYSTEMS = [pytest.param(system, id=system.name) for system in ALL if system.grid is None]
COMPLETE = [pytest.param(system, id=system.name) for system in ALL]


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_right_side_is_the_stated_one(system):
    rng, program = np.random.default_rng(0), Program(system.true_rhs(), [*system.states, "t"])
    for run in simulate(system).trajectories[:3]:
        for t, x in zip(run.t, run.y, strict=True):
            near = x * rng.uniform(0.9, 1.1, len(x)) + 1e-3 * rng.uniform(0, 1, len(x))
            stated = np.array(TRUTHS[system.name](t, near))
            given = np.array(program.run([*near, t]), float)
            # What cancels in a sum is known to the rounding of its largest part.
            size = np.abs(stated).max() + np.abs(near).max()
            np.testing.assert_allclose(given, stated, rtol=1e-8, atol=1e-12 * size)


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_system_follows_its_stated_equations(system):
    exact = simulate(system)
    assert [run.name for run in exact.trajectories] == [str(k) for k in range(len(system.starts))]
    for run, start in list(zip(exact.trajectories, system.starts, strict=True))[:3]:
        x0 = [start[state] for state in system.states]
        method = "Radau" if system.stiff else "LSODA"
        end = np.searchsorted(run.t, COMPARED_UNTIL.get(system.name, np.inf))
        times = run.t[:end]
        done = solve_ivp(TRUTHS[system.name], (times[0], times[-1]), x0, method, times, rtol=1e-10, atol=1e-13)
        # These methods keep their relative tolerance per step; three digits are left for the sum.
        scale = np.abs(done.y).max(1)
        np.testing.assert_allclose(run.y[:end] / scale, done.y.T / scale, rtol=0, atol=1e-6)
        assert tuple(run.t) == system.t
        np.testing.assert_array_equal(run.y[0], x0)


@pytest.mark.parametrize("system", COMPLETE)
def test_a_system_is_complete(system, tmp_path):
    given = load_spec(write_system(system, tmp_path)[1])
    assert given.model.states == system.states == tuple(system.starts[0])
    assert len(given.model.terms) == len(system.missing)
    assert set(system.columns) <= set(system.states)
    n_kept = (len(system.starts) - len(system.heldout)) * (1 if system.grid is None else system.grid.n)
    assert given.data.n_measured == dict.fromkeys(system.columns, n_kept * len(system.t))
    assert (given.heldout is None) == (not system.heldout)
    assert not given.warnings
    for name, parameter in given.model.parameters.items():
        low, high = parameter.bounds
        assert low <= system.constants[name] <= high
        assert not parameter.fixed or parameter.start == system.constants[name]
    sought = {*system.constants} - {*given.model.parameters}
    formulas = [parse_expression(text) for text in system.missing.values()]
    assert sought == set().union(*(T.symbols(f) for f in formulas)) & sought
    assert system.missing or given.model.estimated, "a system keeps something back"
    assert len(system.free) in (0, len(system.missing))
    assert system.source and system.name in str(system)


def test_states_are_told_with_their_units(tmp_path):
    system = get_system("damped_oscillator")
    assert "states and time: x [m], x' [m/s], t [s]" in str(system)
    assert "# States and time: x [m], x' [m/s], t [s]." in write_system(system, tmp_path)[1].read_text()
    assert "states and time: prey, predator, t\n" in str(get_system("lotka_volterra"))


def test_every_system_of_the_table_is_there():
    assert [s.name for s in list_systems("odebench")] == [f"odebench:{number}" for number in ODEBENCH]


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
        equations="x' = NN(x)",
        missing={"NN(x)": "a*x**2"},
        constants={"a": 1.0},
        parameters={},
        starts=({"x": 1.0},),
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


# Runs that differ by a number p: right sides as the sources have them.
TIPPING = {
    "tipping:collapse": lambda t, z, p: [
        3 * z[0] * (1 - z[0]) - z[0] * z[1] - p * (1 - np.exp(-5 * z[0])),
        -z[1] + 3 * z[0] * z[1],
    ],
    "tipping:lorenz": lambda t, z, p: [
        10 * (z[1] - z[0]),
        z[0] * (p - z[2]) - z[1],
        z[0] * z[1] - 8 / 3 * z[2],
    ],
    "tipping:roessler": lambda t, z, p: [-z[1] - z[2], z[0] + 0.2 * z[1], 0.2 + z[2] * (z[0] - p)],
}
TIPPING["tipping:before_collapse"] = TIPPING["tipping:collapse"]
FOLLOWED_FOR = 20.0  # the Roessler band multiplies what the methods differ by
NUMBERS = {
    "tipping:collapse": [0.62, 0.64, 0.66, 0.68, 0.70],
    "tipping:before_collapse": [0.61, 0.62, 0.63, 0.64, 0.65],
    "tipping:lorenz": [5, 7.5, 10, 12.5, 15, 17.5, 20],
    "tipping:roessler": [4.6, 4.7, 4.8, 4.9, 5.0, 5.1, 5.2, 5.3, 5.4, 5.5],
}


def test_every_system_that_tips_is_told_apart_by_one_number():
    assert {system.name for system in list_systems("tipping")} == set(TIPPING) == set(NUMBERS)
    for name, numbers in NUMBERS.items():
        ((found,),) = [system.covariates.values() for system in list_systems("tipping") if system.name == name]
        assert sorted(set(found)) == numbers and len(found) == len(get_system(name).starts)


@pytest.mark.parametrize("name", TIPPING)
def test_runs_that_differ_by_a_number_follow_their_stated_equations(name):
    system = get_system(name)
    exact = simulate(system)
    (number,) = system.covariates
    assert exact.covariates == (number,) and len(exact.trajectories) == len(system.starts)
    for k, run in enumerate(exact.trajectories):
        assert run.covariates.tolist() == [system.covariates[number][k]]
        np.testing.assert_array_equal(run.y[0], list(system.starts[k].values()))
        times = run.t[run.t <= run.t[0] + FOLLOWED_FOR]
        rates = lambda t, z, p=run.covariates[0]: TIPPING[name](t, z, p)  # noqa: E731
        done = solve_ivp(rates, (times[0], times[-1]), run.y[0], "LSODA", times, rtol=1e-10, atol=1e-13)
        scale = np.abs(done.y).max(1)  # as of the systems above
        np.testing.assert_allclose(run.y[: len(times)] / scale, done.y.T / scale, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", TIPPING)
def test_a_spec_names_the_number_that_runs_differ_by(name, tmp_path):
    system = get_system(name)
    _, spec = write_system(system, tmp_path, "1%", 3)
    given = load_spec(spec)
    assert not given.warnings and given.model.covariates == tuple(system.covariates)
    assert given.model.stays_zero == system.stays_zero
    data = make_data(system, "1%", 3)
    assert given.data.n_measured == data.n_measured
    for read, made in zip(given.data.trajectories, data.trajectories, strict=True):
        np.testing.assert_array_equal(read.covariates, made.covariates)
        np.testing.assert_allclose(read.y, made.y, rtol=1e-9)  # ten digits are written


def test_noise_may_be_a_share_of_every_value(tmp_path):
    system = get_system("tipping:collapse")
    exact, noisy = simulate(system), make_data(system, "5%", 0)
    shares = np.concatenate([b.y / a.y - 1 for a, b in zip(exact.trajectories, noisy.trajectories, strict=True)])
    assert shares.std() == pytest.approx(0.05, rel=0.05)  # of 2000 draws it is known to 1.6 %
    assert np.abs(shares).max() < 0.05 * 5
    assert "noise of 5 % of every value" in write_system(system, tmp_path, "5%")[1].read_text()
