"""What a spec means: columns, noise, holdout, parameters, and the resolved text."""

import copy

import numpy as np
import pytest

from udesys.data import signal_coefficients
from udesys.fit.options import FitOptions
from udesys.model import Network
from udesys.model import tree as T
from udesys.search import Library, SearchOptions
from udesys.search.knowledge import TermKnowledge, knowledge_of
from udesys.search.prior import Prior
from udesys.spec import load_spec

TABLE = """\
time,Hare (k),lynx,empty,run
0,1,4,,A
1,2,,,A
2,3,6,,A
3,4,7,,A
4,5,8,,A
0,3,1,,B
1,4,2,,B
"""
SPEC = {
    "data": {"file": "hares.csv", "time": "time", "trajectory": "run", "columns": {"hare": "Hare (k)"}},
    "model": {"equations": "hare' = a*hare + NN1(hare, lynx)\nlynx' = NN2(hare, lynx) - d*lynx"},
}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "hares.csv").write_text(TABLE)
    return tmp_path


def spec(**sections):
    """SPEC with sections merged into it."""
    made = copy.deepcopy(SPEC)
    for name, section in sections.items():
        made[name] = {**made.get(name, {}), **section}
    return made


def test_columns_are_the_mapped_ones_and_those_named_like_states(folder):
    read = load_spec(SPEC, folder=folder)
    assert read.data.columns == ("hare", "lynx")
    assert [run.name for run in read.data.trajectories] == ["A", "B"]
    np.testing.assert_array_equal(read.data.trajectories[0].y[:2], [[1, 4], [2, np.nan]])
    assert (read.source, read.name, read.warnings) == ("spec", "spec", ())
    assert (read.heldout, read.noise) == (None, None)


def test_columns_that_are_no_states_are_not_looked_at(folder):
    (folder / "hares.csv").write_text("time,hare,lynx,note,x\n0,1,2,ok,3 mm\n1,2,3,bad,inf\n")
    read = load_spec({**SPEC, "data": {"file": "hares.csv", "time": "time"}}, folder=folder)
    assert read.data.n_samples == 2


def test_a_state_without_a_column_is_unmeasured(folder):
    read = load_spec(spec(model={"equations": "hare' = NN(hare, hidden)\nhidden' = -hidden"}), folder=folder)
    assert read.data.columns == ("hare",)
    assert "unmeasured: hidden" in str(read)
    assert not read.warnings


def test_a_state_with_an_empty_column_is_unmeasured_with_a_warning(folder):
    read = load_spec(spec(model={"equations": "hare' = NN(hare, empty)\nempty' = -empty"}), folder=folder)
    assert read.data.columns == ("hare",)
    assert read.warnings == ("empty is taken as unmeasured: its column 'empty' is empty.",)
    assert read.raw["data"]["columns"] == {"hare": "Hare (k)"}


def test_a_column_in_another_case_is_pointed_at(folder):
    read = load_spec(spec(model={"equations": "hare' = NN(hare, Lynx)\nLynx' = -Lynx"}), folder=folder)
    (warning,) = read.warnings
    assert 'columns = { Lynx = "lynx" }' in warning


def test_a_velocity_may_be_measured(folder):
    (folder / "swing.csv").write_text("t,theta,omega,theta'\n0,1,2,9\n1,2,3,9\n")
    given = {
        "data": {"file": "swing.csv", "time": "t", "columns": {"theta'": "omega"}},
        "model": {"equations": "theta'' = NN(theta, theta')"},
        "initial": {"theta'": 0.0},
    }
    read = load_spec(given, folder=folder)
    np.testing.assert_array_equal(read.data.trajectories[0].y, [[1, 2], [2, 3]])
    assert read.model.initial == {"theta": "free", "theta'": 0.0}
    del given["data"]["columns"]
    np.testing.assert_array_equal(load_spec(given, folder=folder).data.trajectories[0].y[:, 1], [9, 9])


def test_noise_is_absolute_or_a_share_of_the_mean_over_all_rows(folder):
    noise = {"hare": "10%", "lynx": 0.5}
    read = load_spec(spec(data={"noise": noise, "holdout": {"trajectories": ["B"]}}), folder=folder)
    assert read.noise == {"hare": pytest.approx(0.1 * 22 / 7), "lynx": 0.5}


def test_the_held_out_part_is_kept_aside(folder):
    read = load_spec(spec(data={"holdout": {"trajectories": ["B"]}}), folder=folder)
    assert [run.name for run in read.heldout.trajectories] == ["B"]
    assert [run.name for run in read.data.trajectories] == ["A"]
    assert "held out: 2 samples, by trajectory: B (2)" in str(read)


def test_parameters_are_fixed_by_a_number_and_estimated_from_a_table(folder):
    given = {"a": {"start": 0.5, "bounds": [0, 5], "unit": "1/h"}, "d": 2}
    read = load_spec(spec(parameters=given), folder=folder)
    a, d = read.model.parameters["a"], read.model.parameters["d"]
    assert (a.start, a.bounds, a.unit, a.fixed) == (0.5, (0.0, 5.0), "1/h", False)
    assert (d.start, d.fixed) == (2.0, True)
    fixed = {"a": {"value": 0.5, "unit": "1/h"}, "d": {"start": 2.0, "fixed": True}}
    read = load_spec(spec(parameters=fixed), folder=folder)
    assert read.model.estimated == ()
    assert read.model.parameters["a"].unit == "1/h"


def test_networks_and_search_are_passed_on(folder):
    library = {"degree": 2, "functions": ["sin"], "terms": ["hare*exp(-lynx)"]}
    networks = {"NN1": {"hidden": [5, 5], "activation": "tanh"}}
    read = load_spec(spec(networks=networks, search={"max_terms": 2, "library": library}), folder=folder)
    assert read.model.networks == {"NN1": Network((5, 5), "tanh")}
    assert (read.options.max_terms, read.options.library.degree) == (2, 2)
    assert read.options.library.terms == ("hare*exp(-lynx)",)
    # 3*5 + 5, 5*5 + 5, 5*1 + 1 and the linear skip's 3: the arguments' product is beside them.
    assert "NN1(hare, lynx): 5-5 hidden units, tanh, 59 weights" in str(read)


KNOWN = {
    "engines": ["sparse"],
    "operators": ["+", "*", "tanh"],
    "max_terms": 3,
    "max_complexity": 12,
    "time_limit": 2.5,
    "forbidden": ["exp", "sin*cos"],
    "units": {"hare": "kg", "lynx": "1", "time": "year"},
    "library": {
        "degree": 2,
        "functions": ["sin"],
        "products": False,
        "templates": ["monod", "hare/(K + lynx)"],
        "terms": ["hare*sqrt(lynx)"],
    },
    "prior": {"other": 2.0, "restated": 0},
    "terms": {
        "NN1": {"sign": "negative", "increasing": ["hare"], "decreasing": ["lynx"], "guess": "-b*hare*lynx/(K + hare)"},
        "NN2": {"depends_on": ["hare*lynx"], "guess": ["c*hare*lynx", "c*hare"], "max_terms": 1},
    },
}


def test_all_that_is_known_before_the_search_is_passed_on(folder):
    options = load_spec(spec(search=KNOWN), folder=folder).options
    assert options == SearchOptions(
        engines=("sparse",),
        operators=("+", "*", "tanh"),
        max_terms=3,
        max_complexity=12,
        time_limit=2.5,
        forbidden=("exp", "sin*cos"),
        units={"hare": "kg", "lynx": "1", "time": "year"},
        library=Library(
            degree=2,
            functions=["sin"],
            products=False,
            templates=["monod", "hare/(K + lynx)"],
            terms=["hare*sqrt(lynx)"],
        ),
        prior=Prior(other=2.0, restated=0.0),
        terms={
            "NN1": TermKnowledge(
                sign="negative", increasing=["hare"], decreasing=["lynx"], guess="-b*hare*lynx/(K + hare)"
            ),
            "NN2": TermKnowledge(depends_on=["hare*lynx"], guess=["c*hare*lynx", "c*hare"], max_terms=1),
        },
    )


def test_what_is_known_reads_back_from_the_resolved_text(folder):
    for search in (KNOWN, {}):
        read = load_spec(spec(search=search), folder=folder)
        (folder / "again.toml").write_text(read.to_toml(folder), encoding="utf-8")
        again = load_spec(folder / "again.toml")
        assert (again.options, again.raw) == (read.options, read.raw)


def test_the_printed_spec_tells_what_is_known_before_the_search(folder):
    lines = str(load_spec(spec(search=KNOWN), folder=folder)).splitlines()
    start = lines.index(
        "Search  sparse; formulas of at most 3 terms and 12 nodes; 2.5 s for an engine and term",
    )
    assert lines[start + 1 :] == [
        "  forbidden: exp, sin*cos",
        "  units: hare kg, lynx 1, time year",
        "  prior: other 2, restated 0",
        "  NN1: never positive; increasing in hare; decreasing in lynx; guess -b*hare*lynx/(K + hare)",
        "  NN2: depends on hare*lynx alone; at most 1 term; guess c*hare*lynx; guess c*hare",
    ]


def test_an_output_of_a_network_may_be_known(folder):
    given = spec(
        model={"equations": "hare' = NN(hare, lynx)[0]\nlynx' = NN(hare, lynx)[1]"},
        search={"terms": {"NN": {"max_terms": 2}, "NN[1]": {"sign": "positive"}}},
    )
    options = load_spec(given, folder=folder).options
    assert knowledge_of("NN[0]", options) == TermKnowledge(max_terms=2)
    assert knowledge_of("NN[1]", options) == TermKnowledge(sign="positive")


def test_an_equation_whose_units_do_not_match_gives_a_warning(folder):
    units = {"hare": "kg", "lynx": "kg", "time": "year"}
    given = spec(search={"units": units}, parameters={"a": {"start": 0.5, "unit": "1/day"}})
    (warning,) = load_spec(given, folder=folder).warnings
    assert warning == (
        "the units in the equation of hare do not match: the right side has kg/day, the left side kg/year."
    )


def test_a_template_of_no_network_gives_a_warning(folder):
    read = load_spec(spec(search={"library": {"templates": ["wolf/(K + wolf)"]}}), folder=folder)
    assert read.warnings == ("the library's template 'wolf/(K + wolf)' fits no network: it has no argument of any.",)


def test_a_library_term_of_no_network_gives_a_warning(folder):
    read = load_spec(spec(search={"library": {"terms": ["hare*wolf"]}}), folder=folder)
    assert read.warnings == (
        "the library's term 'hare*wolf' fits no network: its names must be among one network's arguments.",
    )


def test_a_file_and_a_dict_mean_the_same(folder):
    path = folder / "hares.toml"
    # A mark that editors on Windows write first, and their line ends.
    text = load_spec(SPEC, folder=folder).to_toml(folder).replace("\n", "\r\n")
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    read = load_spec(path)
    assert (read.source, read.name) == ("hares.toml", "hares")
    assert read.raw == load_spec(SPEC, folder=folder).raw
    assert read.data.sha256 == load_spec(SPEC, folder=folder).data.sha256


def test_the_resolved_text_reads_back_from_another_folder(folder):
    given = spec(
        data={"noise": {"hare": "5%"}, "holdout": {"trajectories": ["B"]}},
        parameters={"a": {"start": 0.5, "bounds": [0, float("inf")], "unit": "1/h"}, "d": 2},
        initial={"hare": "data", "lynx": 4},
        networks={"NN2": {"hidden": 3}},
        search={"engines": ["sparse"], "max_terms": 3},
    )
    read = load_spec(given, folder=folder)
    run = folder / "runs" / "a"
    run.mkdir(parents=True)
    (run / "spec.toml").write_text(read.to_toml(run), encoding="utf-8")
    assert 'file = "../../hares.csv"' in read.to_toml(run)
    again = load_spec(run / "spec.toml")
    assert again.raw == read.raw
    assert again.to_toml(run) == read.to_toml(run)
    assert (again.noise, again.options) == (read.noise, read.options)
    assert again.model.parameters == read.model.parameters


def test_the_printed_spec_says_what_was_understood(folder):
    given = spec(
        parameters={"a": {"start": 0.5, "bounds": [0, 5], "unit": "1/h"}, "d": 2},
        initial={"hare": "data", "lynx": 4},
        data={"noise": {"hare": 0.1}},
    )
    assert str(load_spec(given, folder=folder)).splitlines() == [
        "Spec  spec",
        "Dataset  hares.csv   2 trajectories, 7 samples   time 0 to 4",
        "  trajectories (samples): A (5), B (2)",
        "  column   measured   missing   min   max",
        "  hare            7         0     1     5",
        "  lynx            6         1     1     8",
        "Model",
        "  hare' = a*hare + NN1(hare, lynx)",
        "  lynx' = NN2(hare, lynx) - d*lynx",
        "Parameters",
        "  a estimated, start 0.5 1/h, between 0 and 5",
        "  d = 2, fixed",
        "Initial  hare from the data, lynx = 4",
        "Networks  88 weights, regularised, for 13 measured values",
        "  NN1(hare, lynx): 8 hidden units, activation chosen by the fit, 44 weights",
        "  NN2(hare, lynx): 8 hidden units, activation chosen by the fit, 44 weights",
        "Noise  hare 0.1; others estimated from the data",
        "Fit  stages, solver, loss and restarts chosen by the fit",
        "Search  all engines that are ready; formulas of at most 4 terms",
    ]


# --- inputs, covariates, observables, priors, the fit ------------------------------------------------

DRIVEN_TABLE = """\
time,run,F,valve,Temp (K),voltage,v
0,A,1,0,290,2,7
1,A,2,,290,4,8
2,A,4,1,290,6,9
0,B,5,1,310,8,7
3,B,,1,,9,8
5,B,9,0,,9,9
"""
DRIVEN = {
    "data": {
        "file": "cart.csv",
        "time": "time",
        "trajectory": "run",
        "columns": {"signal": "voltage"},
        "inputs": {"force": {"column": "F", "interpolation": "cubic"}, "valve": "valve"},
        "covariates": {"temperature": "Temp (K)"},
        "noise": {"signal": "10%"},
    },
    "model": {
        "equations": "x' = v\nv' = force/m - NN(v, temperature)*valve",
        "observe": {"signal": "gain*x + 0.5*temperature"},
        "positive": ["x"],
    },
    "parameters": {
        "gain": {"prior": [1.2, 0.1]},
        "m": {"start": 2, "bounds": [0, 9], "unit": "kg", "prior": [3, 1]},
    },
    "fit": {
        "stages": ["multiple_shooting"],
        "solver": "radau",
        "loss": "student",
        "restarts": 3,
        "device": "cuda:0",
        "tolerances": {"flow": 0.01, "gain": 1e-4},
    },
}


@pytest.fixture
def cart(tmp_path):
    (tmp_path / "cart.csv").write_text(DRIVEN_TABLE)
    return tmp_path


def test_inputs_and_covariates_are_read_and_known_to_the_model(cart):
    read = load_spec(DRIVEN, folder=cart)
    assert (read.model.inputs, read.model.covariates) == (("force", "valve"), ("temperature",))
    assert (read.data.inputs, read.data.covariates) == ({"force": "cubic", "valve": "linear"}, ("temperature",))
    a, b = read.data.trajectories
    np.testing.assert_array_equal(a.u, [[1, 0], [2, 0.5], [4, 1]])
    # the line through force's two measured values, at three fifths of the way
    np.testing.assert_allclose(b.u, [[5, 1], [5 + 0.6 * 4, 1], [9, 0]], rtol=1e-14)
    assert (a.covariates.tolist(), b.covariates.tolist()) == ([290], [310])
    assert signal_coefficients(read.data, read.model.exogenous).shape == (4, 3, 4)


def test_empty_cells_of_an_input_give_a_warning(cart):
    assert load_spec(DRIVEN, folder=cart).warnings == (
        "the input force is interpolated (cubic) where 1 of its 6 cells is empty.",
        "the input valve is interpolated (linear) where 1 of its 6 cells is empty.",
    )


def test_an_input_or_covariate_is_named_like_its_column_unless_told(cart):
    given = copy.deepcopy(DRIVEN)
    given["data"] |= {"inputs": {"F": {"interpolation": "hold"}, "valve": {}}, "covariates": ["v"]}
    given["data"] |= {"columns": {"x": "voltage"}, "noise": {}}
    given |= {"model": {"equations": "x' = F - NN(x, v)*valve"}, "parameters": {}}
    (cart / "cart.csv").write_text(DRIVEN_TABLE.replace(",8\n", ",7\n").replace(",9\n", ",7\n"))
    read = load_spec(given, folder=cart)
    assert (read.data.inputs, read.data.covariates) == ({"F": "hold", "valve": "linear"}, ("v",))


def test_a_column_of_an_input_is_no_state(cart):
    given = copy.deepcopy(DRIVEN)
    given["data"]["inputs"]["force"] = "v"
    read = load_spec(given, folder=cart)
    assert read.data.columns == ("signal",)
    assert "unmeasured: x, v" in str(read)


def test_an_observable_is_measured_and_has_noise(cart):
    read = load_spec(DRIVEN, folder=cart)
    assert read.data.columns == ("v", "signal")
    np.testing.assert_array_equal(read.data.trajectories[0].y, [[7, 2], [8, 4], [9, 6]])
    assert read.noise == {"signal": pytest.approx(0.1 * 38 / 6)}
    assert T.symbols(read.model.observe["signal"]) == {"gain", "x", "temperature"}
    assert read.model.positive == ("x",)


def test_priors_and_options_of_the_fit_are_passed_on(cart):
    read = load_spec(DRIVEN, folder=cart)
    assert read.model.parameters["gain"].prior == (1.2, 0.1)
    assert read.model.parameters["m"].prior == (3.0, 1.0)
    wanted = {"stages": ["multiple_shooting"], "solver": "radau", "loss": "student", "restarts": 3, "device": "cuda:0"}
    assert read.fit_options == FitOptions(**wanted, flow_tolerance=0.01, gain_tolerance=1e-4)
    assert load_spec({**DRIVEN, "fit": {}}, folder=cart).fit_options == FitOptions()
    only_one = load_spec({**DRIVEN, "fit": {"tolerances": {"flow": 0.2}}}, folder=cart).fit_options
    assert only_one == FitOptions(flow_tolerance=0.2)


@pytest.mark.parametrize("without_fit", [False, True])
def test_a_driven_spec_reads_back_from_its_resolved_text(cart, without_fit):
    given = {key: section for key, section in DRIVEN.items() if not (without_fit and key == "fit")}
    read = load_spec(given, folder=cart)
    (cart / "again.toml").write_text(read.to_toml(cart), encoding="utf-8")
    again = load_spec(cart / "again.toml")
    assert again.raw == read.raw
    assert again.to_toml(cart) == read.to_toml(cart)
    assert (again.fit_options, again.noise, again.warnings) == (read.fit_options, read.noise, read.warnings)
    assert again.model.parameters == read.model.parameters
    assert again.model.observe == read.model.observe
    assert again.data.inputs == read.data.inputs
    for one, other in zip(read.data.trajectories, again.data.trajectories, strict=True):
        np.testing.assert_array_equal(one.u, other.u)
        np.testing.assert_array_equal(one.covariates, other.covariates)


def test_the_printed_spec_tells_what_drives_what_is_observed_and_how_it_is_fitted(cart):
    lines = str(load_spec(DRIVEN, folder=cart)).splitlines()
    for line in (
        "  inputs: force (cubic, 1 to 9), valve (linear, 0 to 1)",
        "  covariates: temperature (290 to 310)",
        "  unmeasured: x",
        "  signal = gain*x + 0.5*temperature, measured",
        "  never below zero: x",
        "  gain estimated, start 1.2, prior 1.2 +/- 0.1",
        "  m estimated, start 2 kg, between 0 and 9, prior 3 +/- 1",
        "Noise  signal 0.6333; others estimated from the data",
        "Fit  stages multiple_shooting; solver radau; loss student; 3 restarts; on cuda:0; flow tolerance 0.01; "
        "gain tolerance 0.0001",
    ):
        assert line in lines


@pytest.mark.parametrize("name", ["lynx_hare", "lotka_volterra"])
def test_the_shipped_specs_are_read_without_a_warning(name, data_dir):
    read = load_spec(data_dir / f"{name}.toml")
    assert read.warnings == ()
    assert set(read.data.columns) == set(read.model.states)
