"""A run that was never made: forecast from a start, at covariates and inputs that are given, beside SciPy."""

import io
import json
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from field_laws import spreading_law
from laws import dataset, discovered, fit, solution
from test_cli import run

import udesys
from udesys import api, runs
from udesys.assess.ahead import forecast_table
from udesys.assess.new_run import new_run
from udesys.errors import DataError, ModelError, SolveError
from udesys.model import HybridODE
from udesys.report.forecast_figure import draw_forecast

T, LATER = np.linspace(0, 6, 31), np.linspace(0, 20, 41)
K, WATER = 0.7, (5.0, 12.0, 20.0)
ASKED = {"start": {"x": 9.0}, "at": {"water": 8.0}}


def cooling(x0, water, t, k=K):
    """x of x' = k*(water - x)."""
    return water + (x0 - water) * np.exp(-k * t)


def law_of(equations, data, **model):
    return udesys.recover(fit(HybridODE(equations, **model), data))


@pytest.fixture(scope="module")
def cups():
    """Cooling in water of three temperatures, measured with noise; one room; twice the state observed."""
    rng = np.random.default_rng(0)
    noise = 0.05 * rng.normal(size=(3, 31, 1))
    data = dataset(
        ["x"],
        *(
            (T, cooling(x0, water, T)[:, None] + e, np.empty((31, 0)), np.array([water, 3.0]))
            for x0, water, e in zip((8.0, 2.0, 1.0), WATER, noise, strict=True)
        ),
        covariates=("water", "room"),
    )
    return law_of("x' = k*(water - x) + room - 3", data, covariates=["water", "room"], observe={"double": "2*x"})


@pytest.fixture(scope="module")
def pushed():
    """theta'' = u - k*theta - sin(t), pushed by an input; theta alone is measured."""
    rng, k = np.random.default_rng(1), 1.5
    u = np.cos(0.8 * T)

    def rhs(t, x):
        return [x[1], np.interp(t, T, u) - k * x[0] - np.sin(t)]

    y = solution(rhs, [0.5, 0.0], T)[:, :1] + 0.002 * rng.normal(size=(31, 1))
    data = dataset(["theta"], (T, y, u[:, None]), inputs={"u": "linear"})
    return law_of("theta'' = u - k*theta - sin(t)", data, inputs=["u"])


@pytest.fixture(scope="module")
def saved(cups, tmp_path_factory):
    """A run directory of the cups."""
    return runs.save(api.Law(**vars(cups)), tmp_path_factory.mktemp("cups") / "run")


# --- what it is ---------------------------------------------------------------------------------------


def test_the_law_is_simulated_from_the_start_at_the_covariate(cups):
    k = cups.parameters["k"].value
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # 8 is between what the data had
        found = cups.forecast(LATER, **ASKED)
    assert list(found) == ["t", "x", "double"] and found["t"].tolist() == LATER.tolist()
    assert found["x"].to_numpy() == pytest.approx(cooling(9.0, 8.0, LATER, k), rel=1e-7)
    assert found["double"].to_numpy() == pytest.approx(2 * found["x"].to_numpy())
    later = cups.forecast(LATER + 7, **ASKED)  # it starts where the times do
    assert later["x"].to_numpy() == pytest.approx(found["x"].to_numpy(), rel=1e-9)


def test_a_start_of_second_order_an_input_and_the_time_are_used(pushed):
    k, t = pushed.parameters["k"].value, 2 + LATER[:11]
    truth = solution(lambda t, x: [x[1], -0.3 - k * x[0] - np.sin(t)], [0.2, -0.4], t)
    found = pushed.forecast(t, start={"theta'": -0.4, "theta": 0.2}, at={"u": -0.3})
    assert found[["theta", "theta'"]].to_numpy() == pytest.approx(truth, abs=1e-6)


def test_the_band_is_that_of_the_constants_alone(cups):
    """Its half width is 1.96 errors of k times the change of the exact solution with k."""
    k, t = cups.parameters["k"], LATER[1:9]
    band = cups.bands(np.append(0.0, t), **ASKED)
    low, high = (band[f"x {end}"].to_numpy() for end in ("low", "high"))
    assert low[0] == high[0] == 9.0
    slope = t * np.exp(-k.value * t)  # times x0 - water = 1
    assert (high - low)[1:] / 2 == pytest.approx(1.96 * k.stderr * slope, rel=0.15)  # 400 draws: 7 %
    assert band["double high"].to_numpy() == pytest.approx(2 * high)


def test_the_bands_contain_the_truth_about_as_often_as_they_say():
    """40 data sets: of as many bands at one time about 38 contain it; 33 or fewer have a chance of 1 %."""
    inside = 0
    for seed in range(40):
        noise = 0.05 * np.random.default_rng(seed).normal(size=(31, 1))
        data = dataset(["x"], (T, np.exp(-0.3 * T)[:, None] + noise))
        band = law_of("x' = -k*x", data).bands([0.0, 4.0], start={"x": 3.0})
        inside += band["x low"][1] <= 3 * np.exp(-1.2) <= band["x high"][1]
    assert 34 <= inside


def test_without_a_covariance_there_is_no_band(cups):
    assert np.isnan(replace(cups, covariance=None).bands(LATER, **ASKED)["x low"]).all()


def test_a_value_beyond_the_data_is_told_as_a_bifurcation_tells_it(cups):
    with pytest.warns(UserWarning, match="water from 5 to 20: above 20 all is extrapolation") as told:
        cups.forecast(LATER, start={"x": 9.0}, at={"water": 26.0})
    found = cups.bifurcation("water", 6.0, 26.0, starts=[], points=5)
    assert str(told[0].message) in found.notes
    assert told[0].filename == __file__
    alone = new_run(cups, {"x": 9.0}, {"water": 5.0, "room": 2.0}).notes
    assert alone == ("the data had room = 3 alone, so that every other value is an extrapolation of the form.",)
    assert new_run(cups, {"x": 9.0}, {"water": 5.0, "room": 3.0}).notes == ()


# --- the table and the figure --------------------------------------------------------------------------


def test_the_table_has_the_band_the_hybrid_the_start_and_where_it_is_outside(cups):
    new = new_run(cups, {"x": 30.0}, {"water": 8.0})
    table, notes = forecast_table(cups, 10.0, compare=True, new=new)
    assert "trajectory" not in table and list(table)[1:6] == ["x", "x low", "x high", "x hybrid", "x persistence"]
    assert table["t"].iloc[[0, 1, -1]].tolist() == pytest.approx([0.0, 0.2, 10.0])
    assert (table["x persistence"] == 30.0).all() and "double persistence" not in table
    # a hybrid without networks is the law, fitted by another method
    assert table["x hybrid"].to_numpy() == pytest.approx(table["x"].to_numpy(), rel=0.01)
    high = cups.visited["x"][1]
    exact = cooling(30.0, 8.0, table["t"].to_numpy(), cups.parameters["k"].value)
    assert table["inside"].tolist() == (exact <= high + 0.01 * (high - cups.visited["x"][0])).tolist()
    assert any(note.startswith("at t = 0 the law leaves what the data visited (x = 30)") for note in notes)
    assert list(forecast_table(cups, 1.0, start=-1.0, step=1.0, new=new)[0]["t"]) == [-1.0, 0.0, 1.0]


def test_a_hybrid_with_networks_goes_from_the_same_start():
    law, start = discovered(), {"prey": 1.0, "predator": 3.0}
    table, _ = forecast_table(law, 1.5, step=0.1, compare=True, new=new_run(law, start))
    for name, value in start.items():
        assert table[[name, f"{name} hybrid", f"{name} persistence"]].iloc[0].tolist() == pytest.approx([value] * 3)
        assert table[f"{name} hybrid"].to_numpy() == pytest.approx(table[name].to_numpy(), rel=0.05, abs=0.05)


def test_it_is_drawn_without_measurements(cups):
    picture = draw_forecast(cups, 10.0, new=new_run(cups, {"x": 30.0}, {"water": 8.0}))
    shown = {text.get_text() for legend in picture.legends for text in legend.get_texts()}
    assert {"law", "95 % band", "hybrid with networks", "persistence"} < shown and "measured" not in shown
    assert "law, outside of what the data visited" in shown
    assert picture.get_suptitle().endswith("a new run to t 10, water = 8, room = 3")
    law = api.Law(**vars(cups))
    assert law.plot_forecast(10.0, start={"x": 30.0}, at={"water": 8.0}).to_png() == picture.to_png()
    with pytest.raises(ModelError, match=r"nothing says where it starts\. Give start"):
        law.plot_forecast(10.0, at={"water": 8.0})
    with pytest.raises(DataError, match="a new run has its own start, not that of trajectory '1'"):
        law.plot_forecast(10.0, start={"x": 30.0}, at={"water": 8.0}, trajectory="1")


# --- refusals ------------------------------------------------------------------------------------------

REFUSED = {
    "no start": ((None, {"water": 8.0}), r"nothing says where it starts\. Give start \(--start\), .* every state: x"),
    "an unknown state": (({"y": 1.0}, {}), "the start names 'y', which is no state"),
    "a state that is missing": (({}, {}), "the start lacks x"),
    "a start that is no mapping": ((9.0, {}), "the start 9.0 must name its states"),
    "a start that is no number": (({"x": "warm"}, {}), "the start x = warm is no finite number"),
    "a start that is infinite": (({"x": np.inf}, {}), "the start x = inf is no finite number"),
    "an unknown covariate": (({"x": 1.0}, {"watr": 8.0}), r"no covariate and no input 'watr'\. Did you mean 'water'"),
    "a state to be held": (({"x": 1.0}, {"x": 8.0}), "x is a state: it moves by itself"),
    "a constant": (({"x": 1.0}, {"k": 8.0}), "k is a constant of the law"),
    "no number": (({"x": 1.0}, {"water": "hot"}), "water = hot is no finite number"),
    "numbers without names": (({"x": 1.0}, 8.0), "at = 8.0 must name its numbers"),
    "a covariate that differs": (
        ({"x": 1.0}, {}), r"what water \(in the data 5 to 20\) is in the new run\. .*--at water=NUMBER",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_usable_is_refused(case, cups):
    (start, at), message = REFUSED[case]
    for asked in (cups.forecast, cups.bands):
        with pytest.raises(ModelError, match=message):
            asked(LATER, start=start, at=at)


def test_an_input_that_nobody_gives_is_refused(pushed):
    with pytest.raises(ModelError, match=r"the start lacks theta'\. Give a value for every state: theta, theta'"):
        pushed.forecast(LATER, start={"theta": 0.0}, at={"u": 0.0})
    with pytest.raises(ModelError, match=r"nothing says what u is in the new run\. .*--at u=NUMBER"):
        pushed.forecast(LATER, start={"theta": 0.0, "theta'": 0.0})


def test_a_negative_start_of_a_positive_state_and_names_where_there_are_none_are_refused():
    data = dataset(["x"], (T, np.exp(-0.3 * T)[:, None] * (1 + 0.01 * np.random.default_rng(0).normal(size=(31, 1)))))
    law = law_of("x' = -k*x", data, positive=["x"])
    with pytest.raises(ModelError, match="the start x = -1 is negative, but x is listed as positive"):
        law.forecast(LATER, start={"x": -1.0})
    with pytest.raises(ModelError, match="the law has no covariate and no input, so that there is no 'water'"):
        law.forecast(LATER, start={"x": 1.0}, at={"water": 2.0})


def test_a_trajectory_and_times_that_are_not_usable_are_refused(cups):
    with pytest.raises(ModelError, match="its own start, not that of trajectory 1"):
        cups.forecast(LATER, 1, **ASKED)
    for t in ([], [1.0, 1.0], [[0.0, 1.0]], [0.0, np.nan]):
        with pytest.raises(SolveError, match="t must be finite and increase"):
            cups.forecast(t, **ASKED)
    new = new_run(cups, **ASKED)
    for until, options in ((0.0, {}), (3.0, {"start": 4.0}), (np.inf, {}), (3.0, {"start": np.nan})):
        with pytest.raises(DataError, match=r"must be after .* \(a new run\)"):
            forecast_table(cups, until, new=new, **options)
    with pytest.raises(DataError, match="step = 1e-09 must be positive and give at most"):
        forecast_table(cups, 3.0, step=1e-9, new=new)


def test_fields_are_refused():
    law = spreading_law()
    with pytest.raises(ModelError, match="a law of fields starts from a whole profile"):
        law.forecast([1.0], start={"u": 1.0})


# --- the command ---------------------------------------------------------------------------------------

WORDS = ["--until", 4, "--start", "x=9", "--at", "water=8"]


def test_the_command_prints_writes_and_draws_it(cups, saved, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run("forecast", saved, *WORDS, "--at", "room=3", "--compare", "-f", "f.png")
    assert done.exit_code == 0, done.output
    table = pd.read_csv(io.StringIO(done.stdout))
    exact = cooling(9.0, 8.0, table["t"].to_numpy(), cups.parameters["k"].value)
    assert table["x"].to_numpy() == pytest.approx(exact, rel=1e-6) and {"x hybrid", "x persistence"} <= set(table)
    assert (tmp_path / "f.png").read_bytes().startswith(b"\x89PNG") and "Wrote f.png" in done.stderr
    told = run("forecast", saved, "--until", 4, "--start", "x=9", "--at", "water=30,room=3", "--json", "-o", "f.json")
    assert told.exit_code == 0 and told.stdout == ""
    assert "Note: the data had water from 5 to 20: above 20 all is extrapolation." in told.stderr
    assert json.loads((tmp_path / "f.json").read_text())[0]["x"] == 9.0
    late = pd.read_csv(io.StringIO(run("forecast", saved, *WORDS, "--from", 3.5, "--step", 0.25).stdout))
    assert late["t"].tolist() == [3.5, 3.75, 4.0] and late["x"][0] == 9.0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--at", "water=8"], "nothing says where it starts. Give start (--start)"),
        (["--start", "x=9"], "nothing says what water (in the data 5 to 20) is"),
        ([*WORDS[2:], "--trajectory", "1"], "its own start, not that of trajectory '1'"),
        (["--start", "x=many"], "'x=many' is not understood"),
        (["--start", "x=1", "--start", "x=2"], "gives x twice"),
        (["--start", "x=9", "--at", "watr=8"], "Did you mean 'water'?"),
        ([*WORDS[2:], "--from", "9"], "until = 4 must be after 9"),
    ],
)
def test_the_command_refuses_in_one_message(words, message, saved, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run("forecast", saved, "--until", 4, *words, "-o", "f.csv", "-f", "f.png")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith("udesys: ") and message in done.stderr and "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())
