"""The comparisons on measured records, on small made ones: what is cut, simulated, counted and refused."""

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.interpolate import CubicSpline
from typer.testing import CliRunner

from udesys.bench import _measured, emps, silverbox
from udesys.cli import application
from udesys.data import Dataset, Trajectory
from udesys.errors import DataError, SolveError

GAIN, DAMPING, LINEAR, CUBIC = 1.6e5, 45.0, 1.8e5, 7e5  # near the real oscillator's [1/s^2, 1/s, 1/s^2, 1/(V s)^2]
MASS, VISCOUS, COULOMB = 95.0, 200.0, 20.0  # near the real drive's [kg, N s/m, N]
SMALL = silverbox.Split(multisine=(150, 550), arrow=(5, 145), no_extrapolation=100)


def duffing(x, u):
    return np.array([x[1], GAIN * u - DAMPING * x[1] - LINEAR * x[0] - CUBIC * x[0] ** 3])


def drive(x, force):
    return np.array([x[1], (force - VISCOUS * x[1] - COULOMB * np.tanh(x[1] / 0.02)) / MASS])


def solved(law, t, signal, x0):
    """(time, state) of a law driven by a signal."""
    return solve_ivp(
        lambda now, x: law(x, signal(now)), (t[0], t[-1]), x0, t_eval=t, method="DOP853", rtol=1e-10, atol=1e-12
    ).y.T


def exact_fit(law):
    """A fit whose hybrid is a law itself."""

    def simulate_data(data, x0):
        return [
            solved(law, run.t, CubicSpline(run.t, run.u[:, 0]), start)
            for run, start in zip(data.trajectories, x0, strict=True)
        ]

    return SimpleNamespace(simulate_data=simulate_data)


def record(law, n=200, seed=0, x0=(0.0, 0.0), dt=1 / silverbox.SAMPLING_RATE, size=0.05):
    rng = np.random.default_rng(seed)
    t = dt * np.arange(n)
    u = size * CubicSpline(t[::8], rng.standard_normal(len(t[::8])))(t)
    x = solved(law, t, CubicSpline(t, u), x0)
    return Dataset(
        columns=("x",),
        trajectories=(Trajectory(name="made", t=t, y=x[:, :1], u=u[:, None]),),
        time="t",
        source="made",
        inputs={"u": "cubic"},
    ), x


# ------------------------------------------------------------------ the open-loop simulation
def test_the_start_of_a_record_is_found_from_its_first_samples():
    data, x = record(duffing, x0=(0.03, -8.0))
    start = _measured.estimate_start(_measured._simulator(exact_fit(duffing)), _measured.first_rows(data, 50))
    # The spline through fifty samples differs from that through all at its end.
    np.testing.assert_allclose(start, x[0], rtol=1e-3)


def test_the_true_law_follows_another_record_open_loop():
    data, x = record(duffing, x0=(0.03, -8.0))
    simulated = _measured.simulate_open_loop(exact_fit(duffing), data, 50)
    assert simulated.shape == x.shape
    assert _measured.rmse(x[50:, 0], simulated[50:, 0]) < 1e-4 * x[:, 0].std()


def test_samples_after_the_first_do_not_move_the_start():
    data, _ = record(duffing, x0=(0.03, -8.0))
    (run,) = data.trajectories
    y = run.y.copy()
    y[50:] += 1.0
    moved = Dataset(
        columns=("x",),
        trajectories=(Trajectory(name="made", t=run.t, y=y, u=run.u),),
        time="t",
        source="made",
        inputs={"u": "cubic"},
    )
    fit = exact_fit(duffing)
    np.testing.assert_array_equal(
        _measured.simulate_open_loop(fit, moved, 50), _measured.simulate_open_loop(fit, data, 50)
    )


def test_a_hybrid_that_runs_away_is_refused():
    data, _ = record(duffing)
    fit = SimpleNamespace(simulate_data=lambda data, x0: [np.full((len(data.trajectories[0].t), 2), np.nan)])
    with pytest.raises(SolveError, match="cannot be simulated over the first 50 samples of made"):
        _measured.simulate_open_loop(fit, data, 50)


def test_the_rmse_is_over_what_was_measured():
    assert _measured.rmse(np.array([1.0, np.nan, 3.0]), np.array([1.0, 9.0, 5.0])) == pytest.approx(math.sqrt(2))


# ------------------------------------------------------------------ Silverbox
@pytest.fixture(scope="module")
def silverbox_table(tmp_path_factory):
    """A table of the same columns, empty last one included; 0.1 mV of noise."""
    data, x = record(duffing, n=600, seed=3)
    noisy = x[:, 0] + 1e-4 * np.random.default_rng(4).standard_normal(len(x))
    path = tmp_path_factory.mktemp("silverbox") / "SNLS80mV.csv"
    rows = zip(data.trajectories[0].u[:, 0], noisy, strict=True)
    path.write_text('"V1","V2",\n' + "".join(f"{u:.9g},{y:.9g},\n" for u, y in rows))
    return path


def test_the_split_is_the_published_one():
    first, end = silverbox.SPLIT.multisine
    cut = first + int(silverbox.SPLIT.train_share * (end - first))
    assert (cut - first, end - cut) == (65062, 21688)
    assert silverbox.SPLIT.arrow == (100, 40575) and silverbox.SPLIT.no_extrapolation == 32000
    assert silverbox.SAMPLING_RATE == pytest.approx(610.35, abs=0.005)


def test_the_parts_are_cut_where_the_split_says(silverbox_table, monkeypatch):
    monkeypatch.setattr(silverbox, "SPLIT", SMALL)
    train, tests = silverbox.read_parts(silverbox_table)
    cells = np.genfromtxt(silverbox_table, delimiter=",", skip_header=1)[:, :2]
    parts = {
        "training": (train, 150, 450),
        "multisine": (tests["multisine"], 450, 550),
        "arrow": (tests["arrow"], 5, 145),
    }
    for name, (data, first, end) in parts.items():
        (run,) = data.trajectories
        assert run.name == name and dict(data.inputs) == {"u": "cubic"} and data.columns == ("x",)
        np.testing.assert_array_equal(np.stack([run.u[:, 0], run.y[:, 0]], 1), cells[first:end])
        np.testing.assert_allclose(run.t * silverbox.SAMPLING_RATE, np.arange(end - first), atol=1e-9)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("V1,V3\n1,2\n", r"table\.csv has no column 'V2'; it has V1, V3\. Give the Silverbox table"),
        ("V1,V2\n1,2\n", r"table\.csv has 1 rows of data, but the split needs 127400\."),
    ],
)
def test_another_table_is_refused(tmp_path, text, message):
    path = tmp_path / "table.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        silverbox.read_parts(path)


def test_a_cell_that_is_no_number_is_refused_with_its_place(silverbox_table, monkeypatch, tmp_path):
    monkeypatch.setattr(silverbox, "SPLIT", SMALL)
    lines = silverbox_table.read_text().splitlines()
    lines[7] = "0.1,broken,"
    path = tmp_path / "table.csv"
    path.write_text("\n".join(lines))
    with pytest.raises(DataError, match=r"row 8, column 'V2'"):
        silverbox.read_parts(path)


def silverbox_result(**changed):
    given = {
        "rows": 65062,
        "seed": 0,
        "parameters": {"gain": (1.6e5, 12.0), "c": (45.0, 0.1)},
        "node_rmse": 0.25,
        "train_rmse": 0.3,
        "test_rmse": {"multisine": 0.31, "arrow": 0.352, "arrow, no extrapolation": 0.3},
        "converged": True,
        "warnings": (),
        "seconds": 29.0,
    }
    return silverbox.Result(**{**given, **changed})


def test_the_silverbox_errors_stand_beside_the_published_ones():
    lines = silverbox.report(silverbox_result(warnings=("c stopped at its bound",))).splitlines()
    assert lines[0] == "Silverbox  trained on 65062 rows, seed 0   converged in 29.0 s"
    assert lines[1].split() == ["gain", "160000", "+/-", "12"]
    assert lines[5].split() == ["udesys", "0.310", "0.352", "0.300"]
    assert lines[6].split() == ["GRU", "1.490", "2.800", "0.950"]
    assert lines[-1] == "  Warning: c stopped at its bound"
    columns = [line.rindex(".") for line in lines[5:8]]
    assert len(set(columns)) == 1


# ------------------------------------------------------------------ EMPS
def emps_table(path, seed):
    t = 0.005 * np.arange(400)
    rng = np.random.default_rng(seed)
    force = 100 * CubicSpline(t[::20], rng.standard_normal(len(t[::20])))(t)
    q = solved(drive, t, CubicSpline(t, force), (0.0, 0.008))[:, 0] + 1e-7 * rng.standard_normal(len(t))
    rows = zip(t, q, force, strict=True)
    path.write_text("t_s,q_m,q_ref_m,force_N\n" + "".join(f"{a:.6g},{b:.9g},0,{c:.9g}\n" for a, b, c in rows))
    return path


@pytest.fixture(scope="module")
def emps_tables(tmp_path_factory):
    folder = tmp_path_factory.mktemp("emps")
    return emps_table(folder / "id.csv", 0), emps_table(folder / "test.csv", 1)


def test_a_record_has_its_position_and_force(emps_tables):
    data = emps.read_record(emps_tables[0])
    cells = np.genfromtxt(emps_tables[0], delimiter=",", skip_header=1)
    (run,) = data.trajectories
    assert data.columns == ("q",) and dict(data.inputs) == {"F": emps.INTERPOLATION}
    np.testing.assert_array_equal(np.stack([run.t, run.y[:, 0], run.u[:, 0]], 1), cells[:, [0, 1, 3]])


def test_a_table_without_the_force_is_refused(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("t_s,q_m\n0,1\n1,2\n")
    with pytest.raises(DataError, match="force_N"):
        emps.read_record(path)
    done = CliRunner().invoke(application(), ["bench", "emps", str(path), str(path)])
    assert done.exit_code == 1 and "force_N" in done.stderr


def emps_result(seed=0, **changed):
    given = {
        "seed": seed,
        "mass": (95.2, 0.1),
        "node_rmse": 0.02,
        "train_rmse": 2.5,
        "test_rmse": 4.5,
        "evidence": -100.0,
        "converged": True,
        "warnings": (),
        "seconds": 30.0,
    }
    return emps.Result(**{**given, **changed})


def test_the_best_fit_is_the_converged_one_of_the_best_evidence():
    open_ = emps_result(0, evidence=-500.0, converged=False)
    better, worse = emps_result(1, evidence=-200.0), emps_result(2)
    assert emps.best_of([open_, worse, better]) is better


def test_where_no_fit_converged_the_simulated_error_decides():
    fits = [emps_result(k, converged=False, train_rmse=e) for k, e in enumerate((math.nan, 3.0, 2.0))]
    assert emps.best_of(fits) is fits[2]


def test_the_emps_error_stands_beside_the_published_ones():
    text = emps.report([emps_result(0), emps_result(1, evidence=-300.0, test_rmse=2.5, warnings=("stopped early",))])
    assert "Warning: stopped early" in text
    lines = text.splitlines()
    assert lines[-5].split()[-1] == "2.50" and "seed 1, the best of 2" in lines[-5]
    assert lines[-4].split()[-1] == "2.64" and lines[-1] == "M 95.20 kg, published 95.11 kg"


# ------------------------------------------------------------------ from the command line
def test_silverbox_from_the_command_line(silverbox_table, monkeypatch):
    monkeypatch.setattr(silverbox, "SPLIT", SMALL)
    done = CliRunner().invoke(application(), ["bench", "silverbox", str(silverbox_table), "--rows", "120", "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["rows"] == 120 and list(found["test_rmse"]) == list(silverbox.PARTS)
    # Three times the noise of 0.1 mV; the output's standard deviation is some 30 mV.
    assert found["node_rmse"] == pytest.approx(0.1, rel=0.3)
    assert found["test_rmse"]["multisine"] < 0.3
    assert found["parameters"]["gain"][0] == pytest.approx(GAIN, rel=0.02)


def test_emps_from_the_command_line(emps_tables):
    done = CliRunner().invoke(application(), ["bench", "emps", *map(str, emps_tables), "--json"])
    assert done.exit_code == 0, done.output
    (found,) = json.loads(done.stdout)
    assert found["mass"][0] == pytest.approx(MASS, rel=0.05)
    assert found["node_rmse"] < 0.01  # of some 100 mm: what the slope at the first sample is off by adds up
    assert found["test_rmse"] < 5.0  # the record spans some 100 mm


@pytest.mark.parametrize("name", ["silverbox", "emps"])
def test_the_comparisons_are_listed_and_explain_themselves(name):
    module = {"silverbox": silverbox, "emps": emps}[name]
    assert module.TITLE in CliRunner().invoke(application(), ["bench"]).output
    assert CliRunner().invoke(application(), ["bench", name, "--help"]).exit_code == 0
