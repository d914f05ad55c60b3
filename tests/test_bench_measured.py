"""The comparisons on measured records, on small made ones: what is cut, simulated, counted and refused."""

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.interpolate import CubicSpline
from typer.testing import CliRunner

from udesys.bench import _measured, emps, measured, pendulum, silverbox
from udesys.bench import _record_law as law_of
from udesys.cli import application
from udesys.data import Dataset, Trajectory
from udesys.errors import DataError, SolveError
from udesys.model import HybridODE
from udesys.model.closed_form import ClosedForm, Formula
from udesys.model.grammar import parse_expression

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


def silverbox_run(**changed):
    given = {
        "rows": None,
        "seed": 0,
        "parameters": {"gain": (1.6e5, 12.0), "c": (45.0, 0.1)},
        "node_rmse": 0.25,
        "train_rmse": 0.3,
        "test_rmse": {"multisine": 0.305, "arrow": 0.392, "arrow, no extrapolation": 0.3},
        "converged": True,
        "warnings": (),
        "seconds": 29.0,
    }
    return silverbox.Run(**{**given, **changed})


def cells_of(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_silverbox_errors_stand_beside_those_of_others_and_what_is_short_is_said():
    lines = silverbox.table([silverbox_run(warnings=("c stopped at its bound",))]).splitlines()
    assert "- seed 0: c stopped at its bound" in lines
    cells = {row[0]: row[1:] for row in map(cells_of, lines) if len(row) == 4}
    assert cells["udesys, seed 0"] == ["0.305", "0.392", "0.300"]
    assert cells["GRU"] == ["1.490", "2.800", "0.950"]
    assert cells["cubic oscillator by hand"] == ["0.350", "0.520", "0.360"]
    assert lines[-3:] == [
        "RMSE multisine, mV: below 0.31.",
        "RMSE arrow, mV: short of 0.36 by 0.032.",
        "RMSE arrow, no extrapolation, mV: below 0.31.",
    ]


def test_a_failed_silverbox_fit_counts_as_infinitely_wrong():
    failed = silverbox.Run(rows=None, seed=1, failure="SolveError: it cannot be simulated")
    found = silverbox.summary([silverbox_run(), failed, failed])
    assert found == dict.fromkeys(silverbox.TESTS, math.inf)
    assert "- seed 1: SolveError: it cannot be simulated" in silverbox.table([failed])


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


def emps_run(seed=0, **changed):
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
    return emps.Run(**{**given, **changed})


def test_the_best_fit_is_the_converged_one_of_the_best_evidence():
    open_ = emps_run(0, evidence=-500.0, converged=False)
    better, worse = emps_run(1, evidence=-200.0), emps_run(2)
    assert emps.best_of([open_, worse, better]) is better


def test_where_no_fit_converged_the_simulated_error_decides():
    fits = [emps_run(k, converged=False, train_rmse=e) for k, e in enumerate((math.nan, 3.0, 2.0))]
    assert emps.best_of(fits) is fits[2]


def test_the_emps_error_stands_beside_those_of_others():
    runs = [emps_run(0), emps_run(1, evidence=-300.0, test_rmse=2.5, warnings=("stopped early",))]
    text = emps.table(runs)
    assert "- seed 1: stopped early" in text
    cells = {row[0]: row[1:] for row in map(cells_of, text.splitlines()) if len(row) == 3}
    assert cells["udesys, seed 1, the best of 2"] == ["2.50", "95.20"]
    assert cells[emps.DYNONET] == ["2.64", "-"] and cells[emps.IDIM] == ["-", "95.11"]
    assert text.endswith("below 4.9, below 2.6.")
    found = emps.summary(runs)
    assert found[emps.TEST] == 2.5
    assert found["RMSE q of the test record, median of the seeds, mm"] == 3.5


def test_a_drive_that_could_not_be_fitted_is_a_row():
    failed = emps.Run(seed=3, failure="FitError: nothing finite")
    assert emps.summary([failed]) == {} and "FitError: nothing finite" in emps.table([failed])
    assert emps.best_of([failed, emps_run(1)]).seed == 1


# ------------------------------------------------------------------ from the command line
def test_silverbox_from_the_command_line(silverbox_table, monkeypatch):
    monkeypatch.setattr(silverbox, "SPLIT", SMALL)
    monkeypatch.setattr(silverbox, "carry_out", in_this_process)
    done = CliRunner().invoke(application(), ["bench", "silverbox", str(silverbox_table), "--rows", "120", "--json"])
    assert done.exit_code == 0, done.output
    study = json.loads(done.stdout)
    (found,) = study["rows"]
    assert found["rows"] == 120 and list(found["test_rmse"]) == list(silverbox.PARTS)
    # Three times the noise of 0.1 mV; the output's standard deviation is some 30 mV.
    assert found["node_rmse"] == pytest.approx(0.1, rel=0.3)
    assert study["summary"]["RMSE multisine, mV"] == found["test_rmse"]["multisine"] < 0.3
    assert found["parameters"]["gain"][0] == pytest.approx(GAIN, rel=0.02)


def test_emps_from_the_command_line(emps_tables, monkeypatch):
    monkeypatch.setattr(emps, "carry_out", in_this_process)
    done = CliRunner().invoke(application(), ["bench", "emps", *map(str, emps_tables), "--json"])
    assert done.exit_code == 0, done.output
    study = json.loads(done.stdout)
    (found,) = study["rows"]
    assert study["summary"][emps.MASS] == pytest.approx(MASS, rel=0.05)
    assert found["node_rmse"] < 0.01  # of some 100 mm: what the slope at the first sample is off by adds up
    assert found["test_rmse"] < 5.0  # the record spans some 100 mm


def in_this_process(function, tasks, warm_up, **how):
    return [function(*task) for task in tasks], 1.0


@pytest.mark.parametrize("module", [measured, pendulum, silverbox, emps])
def test_the_comparisons_are_listed_and_explain_themselves(module):
    name = module.__name__.rpartition(".")[2]
    assert module.TITLE in CliRunner().invoke(application(), ["bench"]).output
    assert CliRunner().invoke(application(), ["bench", name, "--help"]).exit_code == 0


# ------------------------------------------------------------------ the pendulum
def pendulum_table(path, parts=("id", "val")):
    """One row in 0.1 s; 36.7 s for identification, 18.4 s for validation, as in the published record."""
    t = 0.1 * np.arange(551)
    split = np.where(t < 36.65, *parts)
    theta = np.pi + 0.5 * np.cos(8 * t)
    rows = zip(t, theta, -4 * np.sin(8 * t), split, strict=True)
    lines = ("{:.6g},{:.9g},{:.9g},{}\n".format(*row) for row in rows)
    path.write_text("t_s,theta_rad,omega_rad_s,split\n" + "".join(lines))
    return path


def test_a_pendulum_has_four_segments_to_fit_and_two_to_try(tmp_path):
    data, heldout = pendulum.read_segments(pendulum_table(tmp_path / "table.csv"))
    assert [run.name for run in data.trajectories] == ["id 1", "id 2", "id 3", "id 4"]
    assert [run.name for run in heldout.trajectories] == ["val 1", "val 2"]
    runs = (*data.trajectories, *heldout.trajectories)
    np.testing.assert_allclose(np.concatenate([run.t for run in runs]), 0.1 * np.arange(551), atol=1e-9)
    assert all(abs(np.ptp(run.t) - pendulum.SEGMENT) <= 0.2 for run in runs)


def test_a_pendulum_without_its_parts_is_refused(tmp_path):
    path = pendulum_table(tmp_path / "table.csv", ("id", "test"))
    with pytest.raises(DataError, match=r"'split' of table\.csv has id, test\. Write id or val in it\."):
        pendulum.read_segments(path)


def test_a_law_is_tried_on_each_validation_segment_from_its_first_row(tmp_path):
    data, heldout = pendulum.read_segments(pendulum_table(tmp_path / "table.csv"))
    model = HybridODE("theta'' = -64*(theta - 3.141592653589793) + NN(theta)")
    form = ClosedForm(model, {"NN": Formula(parse_expression("c0"), {"c0": 0.8})}, {})
    law = SimpleNamespace(
        closed_form=form,
        data=data,
        heldout=heldout,
        initial={run.name: {"theta": 3.0, "theta'": 0.0} for run in data.trajectories},
    )
    # A constant force shifts the middle of the swing by 0.8/64: the error is that times 1 - cos(8 (t - t0)).
    expected = [0.0125 * np.sqrt(np.mean((1 - np.cos(8 * (run.t - run.t[0]))) ** 2)) for run in heldout.trajectories]
    assert list(pendulum.open_loop(law).values()) == pytest.approx(expected, rel=1e-6)


# ------------------------------------------------------------------ laws of records
def test_a_law_is_taken_apart_into_additive_terms():
    model = HybridODE("q'' = (F - NN(q'))/95", inputs=("F",))
    formula = Formula(parse_expression("c0*q' + c1*tanh(c2*q') - c3"), {})
    constants = {f"c{k}": SimpleNamespace(value=v) for k, v in enumerate((200.0, 20.0, 50.0, 3.0))}
    law = SimpleNamespace(
        model=model,
        closed_form=SimpleNamespace(formulas={"NN": formula}),
        residuals={"NN": SimpleNamespace(constants=constants)},
    )
    found = law_of.additive_terms(law)["NN"]
    assert found["q'"] == 200.0 and found["1"] == -3.0
    assert found[next(part for part in found if "tanh" in part)] == 20.0


@pytest.mark.parametrize(
    ("parts", "beside", "lacking"),
    [
        (("q'", "sign(q')", "1"), (), ()),
        (("q'", "sign(q')", "1", "abs(q')"), ("abs(q')",), ()),
        (("q'", "abs(q')"), ("abs(q')",), ("sign(q')", "1")),
    ],
)
def test_what_a_law_has_beside_the_published_form_and_what_it_lacks(parts, beside, lacking):
    form = measured.RECORDS["emps"].form
    assert law_of.compared({"NN": dict.fromkeys(parts, 1.0)}, form) == (beside, lacking)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (2.0, "below 4.9, below 2.6"),
        (3.1, "below 4.9, short of 2.6 by 0.5"),
        (11.48, "short of 4.9 by 6.6, short of 2.6 by 8.9"),
        (math.inf, "short of 4.9, short of 2.6"),
        (None, "short of 4.9, short of 2.6"),
    ],
)
def test_what_falls_short_is_said(value, said):
    assert law_of.shortfall(value, emps.LIMITS[emps.TEST]) == said


def record_run(record="emps", **changed):
    given = {
        "record": record,
        "seed": 0,
        "law": {"q'": "(F - 210.1*q')/95.5"},
        "figures": {emps.MASS: 95.5, measured.COULOMB: None, emps.TEST: 3.1},
        "form_found": True,
        "seconds": 60.0,
    }
    return law_of.Run(**{**given, **changed})


def test_the_figures_of_a_record_stand_beside_those_of_others():
    text = measured.table([record_run(rivals=tuple(f"NN = c0*q'**{k}" for k in range(2, 8)))])
    assert "q'' = (F - 210.1*q')/95.5" in text and "NN = c0*q'**5 and 2 more." in text
    rows = {row[0]: row[1:] for row in map(cells_of, text.splitlines())}
    assert rows["emps"] == ["0", "found", "1 of 2", "60"]
    assert rows[emps.MASS] == ["95.5", "95.11", "-", "-", "-"]
    assert rows[measured.COULOMB] == ["-", "20.39", "-", "-", "-"]
    assert rows[emps.TEST] == ["3.1", "-", "2.64", "4.93", "below 4.9, short of 2.6 by 0.5"]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, "found"),
        ({"beside": ("abs(q')",)}, "found, and abs(q')"),
        ({"form_found": False, "beside": ("abs(q')",), "lacking": ("1",)}, "without 1, with abs(q')"),
        ({"form_found": None}, "none"),
        ({"form_found": False, "failure": "FitError: nothing finite", "figures": {}, "law": {}}, "failed"),
    ],
)
def test_the_form_is_told_in_words(changed, said):
    run = record_run(**changed)
    assert law_of.form_in_words(run) == said
    assert run.failure in measured.table([run])


def test_the_headline_numbers_are_medians_over_seeds_and_shares_of_records_with_a_published_law():
    runs = [record_run(figures={emps.MASS: m}, seed=k) for k, m in enumerate((95.0, 96.0, 99.0))]
    runs[0] = record_run(figures={emps.MASS: 95.0}, form_found=False)
    runs += [record_run(beside=("abs(q')",), figures={}), record_run("balls: Golf Ball", form_found=None, figures={})]
    found = law_of.summary(runs)
    assert found == {law_of.FORM: 75.0, law_of.FORM_ALONE: 50.0, f"emps: {emps.MASS}": 96.0}


def test_published_figures_have_the_names_of_the_headline_numbers():
    runs = [record_run(name, figures={}) for name in measured.RECORDS]
    published = law_of.named_figures(measured.RECORDS, runs, "published")
    rivals = law_of.named_figures(measured.RECORDS, runs, "rivals")
    assert published[emps.IDIM]["emps: M, kg"] == 95.11
    assert rivals["GRU"]["silverbox-friction: RMSE arrow, mV"] == 2.80
    assert all(
        name.partition(": ")[0] in measured.RECORDS for who in (*published.values(), *rivals.values()) for name in who
    )


# ------------------------------------------------------------------ a folder with records
FALLING = 0.02  # 1/m, quadratic drag: height' = -v tanh(g t/v) with v^2 = g/FALLING, from rest


@pytest.fixture
def records(tmp_path):
    """Drops of three balls from rest, one of them excluded: exact, 0.1 mm of noise."""
    t, rng = np.arange(0, 2.5, 1 / 15), np.random.default_rng(0)
    speed = np.sqrt(measured.GRAVITY / FALLING)
    lines = ["ball,drop,t_s,height_m"]
    for ball in ("Stone", "Bowling Ball", "Apple"):
        for drop in (1, 2):
            height = 40 + drop - np.log(np.cosh(measured.GRAVITY * t / speed)) / FALLING
            noisy = height + 1e-4 * rng.standard_normal(len(t))
            lines += [f"{ball},{drop},{a:.6f},{h:.7f}" for a, h in zip(t, noisy, strict=True)]
    folder = tmp_path / "records"
    (folder / "ball_drops").mkdir(parents=True)
    (folder / "ball_drops" / "ball_drops.csv").write_text("\n".join(lines) + "\n")
    return folder


def test_the_laws_of_a_folder_from_the_command_line(records, monkeypatch):
    monkeypatch.setattr(measured, "carry_out", in_this_process)
    done = CliRunner().invoke(application(), ["bench", "measured", str(records), "--json"])
    assert done.exit_code == 0, done.output
    study = json.loads(done.stdout)
    assert [row["record"] for row in study["rows"]] == ["balls: Apple", "balls: Stone"]
    for row in study["rows"]:
        assert row["failure"] == "" and row["form_found"] is None
        assert row["terms"] == {"NN": "c0*height'**2"}
        drag = float(row["law"]["height'"].split("*")[0])
        assert drag == pytest.approx(FALLING, rel=0.01)
        assert all(error < 3e-3 for error in row["figures"].values())  # what 1e-4 m of noise in the start comes to
    assert study["summary"]["balls: Stone: RMSE of the second drop, m"] < 3e-3


def test_a_table_that_cannot_be_used_is_a_row(records):
    path = records / measured.TABLES["balls"]
    path.write_text(path.read_text().replace("height_m", "height_cm"))
    run = measured.discover_once(path, "balls: Stone", 0)
    assert "height_m" in run.failure and run.form_found is None
    assert "Failed: DataError" in measured.table([run])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--record", "emp"], "there is no record 'emp'. Did you mean 'emps'?"),
        (["--record", "glucose"], "glucose_ivgtt/pacini_bergman_1986.csv is not there."),
    ],
)
def test_a_record_that_is_not_there_is_refused(records, options, message):
    done = CliRunner().invoke(application(), ["bench", "measured", str(records), *options])
    assert done.exit_code == 1 and message in " ".join(done.stderr.split())


def test_a_folder_without_records_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"holds none of the records: pendulum/single_100Hz\.csv, emps/"):
        measured.chosen_records(tmp_path, ())
