"""The table of a forecast: its columns, and what is said where the law leaves the data or the band says little."""

from dataclasses import replace

import numpy as np
import pytest
from laws import dataset, fit

import udesys
from udesys.assess.ahead import forecast_table, inside_visited
from udesys.errors import DataError
from udesys.model import HybridODE, Parameter


def law_of(equations, *runs, parameters=None, columns=("x",), **model):
    asked = HybridODE(equations, parameters=parameters or {}, **model)
    return udesys.recover(fit(asked, dataset(columns, *runs)))


@pytest.fixture(scope="module")
def growing():
    """x' = k*x from 1 with k = 0.5, measured to t = 2 with a little noise, twice its value observed."""
    t = np.linspace(0, 2, 9)
    y = np.exp(0.5 * t) * (1 + 0.003 * np.random.default_rng(0).standard_normal(9))
    return law_of("x' = k*x", (t, y[:, None]), observe={"double": "2*x"})


def test_the_table_has_bands_and_tells_where_the_law_is_outside(growing):
    table, notes = forecast_table(growing, 3.0, step=0.25)
    ends = [f"{name}{end}" for name in ("x", "double") for end in ("", " low", " high")]
    assert list(table) == ["t", *ends, "inside"]
    assert table["t"].tolist() == [2.0, 2.25, 2.5, 2.75, 3.0]
    assert table["inside"].tolist() == [True, False, False, False, False]
    (note,) = notes
    assert note == (
        f"at t = 2.25 the law leaves what the data visited (x = {table['x'][1]:.4g}); nothing is claimed there "
        "(4 of 5 rows)."
    )


def test_a_little_beyond_the_samples_is_inside(growing):
    low, high = growing.visited["x"]
    just = np.array([low - 0.009 * (high - low), high + 0.009 * (high - low), high + 0.011 * (high - low), np.nan])
    assert inside_visited(growing, {"x": just}).tolist() == [True, True, False, False]


def test_the_hybrid_and_persistence_stand_beside_the_law(growing):
    table, _ = forecast_table(growing, 3.0, step=0.25, compare=True)
    assert list(table)[1:6] == ["x", "x low", "x high", "x hybrid", "x persistence"]
    assert "double hybrid" in table and "double persistence" not in table  # it is not measured
    assert (table["x persistence"] == growing.data.trajectories[0].y[-1, 0]).all()
    # a hybrid without networks is the law, fitted by another method
    assert table["x hybrid"].to_numpy() == pytest.approx(table["x"].to_numpy(), rel=0.01)
    earlier, _ = forecast_table(growing, 3.0, start=1.1, compare=True)
    assert (earlier["x persistence"] == growing.data.trajectories[0].y[4, 0]).all()


def test_without_its_fit_a_law_is_compared_with_persistence_alone(growing):
    table, notes = forecast_table(replace(growing, fit=None), 3.0, compare=True)
    assert "x persistence" in table and "x hybrid" not in table
    assert "the fit of the hybrid was not kept, so that there is nothing of it to compare." in notes


def test_a_hybrid_that_diverges_is_told(growing, monkeypatch):
    import udesys.assess.ahead as ahead

    def diverging(fit, start, t0, t, driving):
        return np.where(t[:, None] < 2.4, np.ones((len(t), 2)), np.nan)

    monkeypatch.setattr(ahead, "hybrid_course", diverging)
    table, notes = forecast_table(growing, 3.0, step=0.25, compare=True)
    assert "the hybrid diverges at t = 2.5." in notes and np.isnan(table["x hybrid"].iloc[-1])


def test_a_band_wider_than_all_that_the_data_visited_is_told():
    t = np.linspace(0, 2, 7)
    y = 1.0 + 0.1 * np.random.default_rng(1).standard_normal(7)
    law = law_of("x' = a", (t, y[:, None]))
    table, notes = forecast_table(law, 60.0, step=1.0)
    low, high = law.visited["x"]
    wide = table["x high"] - table["x low"] > high - low
    assert 0 < wide.sum()
    first = table["t"][wide.argmax()]
    assert any(f"at t = {first:g} the band of x gets wider than all that the data visited" in note for note in notes)


def test_what_the_bands_hold_is_told():
    t = np.linspace(0, 2, 9)
    y = np.exp(0.5 * t) * (1 + 0.003 * np.random.default_rng(0).standard_normal(9))
    law = law_of("x' = k*x", (t, y[:, None]), parameters={"k": Parameter(0.2, bounds=(0, 0.4))})
    assert law.parameters["k"].at_bound == 0.4
    (*_, note) = forecast_table(law, 2.5)[1]
    assert note == "the bands keep k where it is: the data do not tell how far it may be from there."


def test_several_trajectories_are_told_apart():
    t = np.linspace(0, 2, 9)
    runs = [(t, (x0 * np.exp(0.5 * t))[:, None]) for x0 in (1.0, 2.0)]
    law = law_of("x' = k*x", *runs)
    table, notes = forecast_table(law, 3.0, step=0.5)
    assert table.columns[0] == "trajectory" and table["trajectory"].tolist() == ["1"] * 3 + ["2"] * 3
    assert [note.split(":")[0] for note in notes] == ["trajectory '2'"]
    one, _ = forecast_table(law, 3.0, step=0.5, trajectory="2", compare=True)
    assert (one["x persistence"] == runs[1][1][-1, 0]).all()
    with pytest.raises(DataError, match="there is no trajectory '3'"):
        forecast_table(law, 3.0, trajectory="3")
