"""A law of fields as text, figures and a page: by runs and fields, not by hundreds of points."""

import json
import re

import numpy as np
import pytest
from field_laws import TIMES, N, carried_law, spreading_law

from udesys.report.curves import learned_of, learned_times
from udesys.report.field_figure import edges_of
from udesys.report.figures import draw_along_time, draw_fit, draw_residuals, draw_term, has_phase, save_figures
from udesys.report.forecast_figure import draw_forecast
from udesys.report.html import report_html
from udesys.report.tables import initial_table, residuals_table, visited_table

FITTED = TIMES - 2


@pytest.fixture(scope="module")
def law():
    return spreading_law()


@pytest.fixture(scope="module")
def carried():
    return carried_law()


# ------------------------------------------------------------------ text
def test_a_law_says_how_many_runs_of_how_many_points_and_where_they_are(law):
    text = str(law)
    assert text.startswith(f"Discovery  arrays   2 runs of {N} points, {2 * N * FITTED} samples, seed 0")
    assert "Fields on 10 points of x from 0 to 0.9, periodic ends." in text
    assert "x = 0.1" not in text
    assert f"Fit  arrays   2 runs of {N} points" in str(law.fit)


def test_a_learned_stencil_is_told_by_its_coefficients_and_weights(law):
    one, two, three = (law.parameters[f"beta{k}_u"].value for k in (1, 2, 3))
    h = 0.1
    theta = one / 4 * np.array([1, 2, 1]) + two / (2 * h) * np.array([-1, 0, 1]) + three / h**2 * np.array([-1, 2, -1])
    told = re.search(r"theta = \(([^)]*)\)", " ".join(str(law).split()))[1]
    assert np.array(told.split(", "), float) == pytest.approx(theta, rel=1e-3)
    assert f"diffusion is -beta3_u = {-three:.4g}" in " ".join(str(law).split())
    assert law.to_dict()["stencils"]["u"]["theta"] == pytest.approx(theta.tolist(), rel=1e-12)
    equation = law.to_dict()["equations"]["u"]
    assert "*dx(u)" in equation and "*dxx(u)" in equation and "conv3" not in equation


def test_the_result_holds_profiles_by_run_and_no_operator_as_if_it_were_measured(law):
    plain = law.to_dict()
    json.dumps(plain, allow_nan=False)
    assert plain["grid"] == {"position": "x", "points": list(law.model.grid.points), "ends": {"u": "periodic"}}
    assert list(plain["initial"]) == ["A", "B"] and len(plain["initial"]["B"]["u"]) == N
    assert plain["initial"]["B"]["u"][3] == law.initial["B, x = 0.3"]["u"]
    assert all(error > 0 for error in plain["initial_stderr"]["A"]["u"])
    assert list(plain["visited"]) == ["u"]
    checks = plain["diagnostics"]["trajectories"]
    assert [(c["column"], c["trajectory"], c["n"]) for c in checks] == [
        ("u", "A", N * FITTED - 1),
        ("u", "B", N * FITTED),
    ]
    assert not law.data.inputs and law.data.covariates == ("x",)


def test_operators_that_a_term_depends_on_are_among_what_was_visited(carried):
    assert list(carried.to_dict()["visited"]) == ["u", "v", "dx(u)"]
    assert ("dx(u)", "along the grid") in [row[:2] for row in visited_table(carried, {}).rows]


# ------------------------------------------------------------------ the figure of the data
def meshes(picture):
    """The space-time maps of a picture, in order: (positions, times) masked where nothing is measured."""
    found = []
    for panel in picture.axes:
        found += [m.get_array() for m in panel.collections if hasattr(m, "_coordinates")]
    return [values for values in found if values.shape == (N, TIMES)]


def test_every_run_and_field_is_drawn_as_measured_by_the_law_and_their_difference(law):
    maps = meshes(draw_fit(law))
    assert len(maps) == 6
    measured, found, away = maps[:3]
    y = np.concatenate([[run.y[:, 0] for run in part.trajectories[:N]] for part in (law.data, law.heldout)], 1)
    np.testing.assert_array_equal(np.ma.filled(measured, np.nan), y)
    assert measured.mask.sum() == 1 and away.mask.sum() == 1
    t = np.concatenate([law.data.trajectories[0].t, law.heldout.trajectories[0].t])
    np.testing.assert_allclose(found[4], law.forecast(t, 4)["u"], rtol=1e-5)
    np.testing.assert_allclose(away[4], (y[4] - found[4]) / law.noise["u"], rtol=1e-6)


def test_differences_have_symmetric_colours_and_what_was_held_out_begins_at_a_line(law):
    picture = draw_fit(law)
    panels = [panel for panel in picture.axes if panel.get_title(loc="left") == "difference / noise"]
    assert len(panels) == 2
    for panel in panels:
        scale = panel.collections[0].norm
        assert scale.vmin == -scale.vmax and scale.vmax >= 3.0
        assert {line.get_xdata()[0] for line in panel.lines} == {0.5 * (2.5 + 3.0)}
    labels = [text.get_text() for text in picture.legends[0].get_texts()]
    assert {"measured", "95 % band", "held out from here", "not measured"} <= set(labels)


def test_profiles_are_the_law_at_the_times_that_the_legend_names(law):
    picture = draw_fit(law)
    panel = next(panel for panel in picture.axes if panel.get_title(loc="left") == "u, A: profiles")
    lines = [line for line in panel.lines if line.get_linestyle() == "-"]
    assert [line.get_label() for line in lines] == ["t = 0", "t = 1", "t = 2.5", "t = 3.5"]
    assert lines[1].get_xdata() == pytest.approx(law.model.grid.points)
    point = law.forecast([0.5, 1.0], 7)["u"].iloc[-1]
    assert lines[1].get_ydata()[7] == pytest.approx(point, rel=1e-5)


def test_a_narrow_figure_has_two_columns_and_a_wide_one_four(law):
    def columns(picture):
        return {panel.get_subplotspec().colspan.start for panel in picture.axes if panel.get_title(loc="left")}

    assert columns(draw_fit(law)) == {0, 1, 2, 3}
    assert columns(draw_fit(law, width=4.3)) == {0, 1}


def test_a_figure_of_several_fields_has_a_row_for_each_and_no_plane_of_two_is_drawn(carried, tmp_path):
    assert len(meshes(draw_fit(carried))) == 6
    assert not has_phase(carried)
    files = [path.name for path in save_figures(carried, tmp_path)]
    assert "fit.png" in files and "term_NN.png" in files and "phase.png" not in files


def test_edges_lie_half_way_between_centres():
    assert edges_of(np.array([0.0, 1.0, 3.0])).tolist() == [-0.5, 0.5, 2.0, 4.0]
    assert edges_of(np.array([2.0])).tolist() == [1.5, 2.5]


# ------------------------------------------------------------------ the other figures
def test_residuals_are_drawn_by_run_without_a_line_for_each_point(law):
    picture = draw_residuals(law)
    drawn = [line for line in picture.axes[0].lines if len(line.get_xdata()) > 2]
    assert len(drawn) == 2 and all(line.get_linestyle() == "None" for line in drawn)
    assert [text.get_text() for text in picture.legends[0].get_texts()][-2:] == ["A", "B"]


def test_terms_of_operators_leave_the_noisy_first_time_out(law, carried):
    learned = learned_of(carried, "NN")
    assert len(learned.values) == N * (TIMES - 1) and learned.points.shape == (N * (TIMES - 1), 2)
    assert all(t[0] == carried.data.trajectories[0].t[1] for t in learned_times(carried, "NN"))
    assert len(learned_of(law, "NN").values) == 2 * N * FITTED
    for picture in (draw_term(carried, "NN"), draw_along_time(carried, "NN")):
        assert picture.to_png()


def test_terms_along_time_are_drawn_at_points_apart_from_each_other(law):
    titles = [panel.get_title(loc="right") for panel in draw_along_time(law, "NN").axes]
    assert titles == ["A, x = 0.1", "A, x = 0.3", "A, x = 0.6", "A, x = 0.8"]


def test_a_forecast_is_drawn_at_points_apart_from_each_other(law):
    picture = draw_forecast(law, 4.0)
    assert [panel.get_title(loc="left") for panel in picture.axes] == ["A, x = 0.1", "A, x = 0.5", "A, x = 0.8"]
    assert "3 of 20 points" in picture.get_suptitle()
    alone = draw_forecast(law, 4.0, trajectory="B, x = 0.2")
    assert len(alone.axes) == 1


# ------------------------------------------------------------------ the page
def test_tables_are_by_run_and_field(law):
    initial = initial_table(law)
    assert [row[:3] for row in initial.rows] == [("A", "0", "u"), ("B", "0", "u")]
    values = np.array([law.initial[f"A, x = {x:g}"]["u"] for x in law.model.grid.points])
    lowest, at = initial.rows[0][3].split(" at ")
    assert float(lowest) == pytest.approx(values.min(), rel=1e-3)
    assert float(at) == pytest.approx(law.model.grid.points[values.argmin()])
    assert [row[1] for row in residuals_table(law).rows] == ["all", "A", "B"]


def test_a_page_is_short_however_many_points_there_are(law):
    page = report_html(law)
    assert f"2 runs of {N} points" in page and "fields on 10 points of x from 0 to 0.9, periodic ends" in page
    assert page.count("A, x = ") <= 4  # of the term's figure
    assert "<mo>∂</mo>" in page and "udesys suggest" not in page
    assert "the law from its initial profile" in page and "held out" in page
    assert "-beta3_u" in page
    assert page.count("data:image/png;base64") >= 12  # the maps stand in the page itself, wide and narrow
