"""What a spec must not hold: each refusal names the file, the place and the remedy."""

import copy

import pytest

from udesys.errors import DataError, FitError, ModelError, SearchError
from udesys.spec import load_spec

SPEC = {
    "data": {"file": "a.csv", "time": "t"},
    "model": {"equations": "x' = a*x + NN1(x, y)\ny' = NN2(x, y) - d*y"},
}
UNKNOWN_KEYS = [
    ("", "serach", "unknown section 'serach'. Did you mean 'search'"),
    ("data", "fiel", r"unknown key 'fiel' in \[data\]. Did you mean 'file'"),
    ("model", "equation", r"unknown key 'equation' in \[model\]. Did you mean 'equations'"),
    ("fit", "epochs", r"unknown key 'epochs' in \[fit\]. Known are stages, solver, loss"),
    ("fit", "restart", r"unknown key 'restart' in \[fit\]. Did you mean 'restarts'"),
    ("fit.tolerances", "flows", r"unknown key 'flows' in \[fit.tolerances\]. Did you mean 'flow'"),
    ("data", "input", r"unknown key 'input' in \[data\]. Did you mean 'inputs'"),
    ("model", "observed", r"unknown key 'observed' in \[model\]. Did you mean 'observe'"),
    ("search", "engine", r"unknown key 'engine' in \[search\]. Did you mean 'engines'"),
    ("search", "forbiden", r"unknown key 'forbiden' in \[search\]. Did you mean 'forbidden'"),
    ("search.terms.NN1", "sgin", r"unknown key 'sgin' in \[search.terms.NN1\]. Did you mean 'sign'"),
    ("search.prior", "othr", r"unknown key 'othr' in \[search.prior\]. Did you mean 'other'"),
    ("search.library", "degre", r"unknown key 'degre' in \[search.library\]. Did you mean 'degree'"),
    ("parameters.a", "bound", r"unknown key 'bound' in \[parameters.a\]. Did you mean 'bounds'"),
    ("parameters", "aa", "parameter 'aa' does not occur in the equations. Did you mean 'a'"),
    ("initial", "X", "initial names 'X', which is no state. Did you mean 'x'"),
    ("networks", "NN3", "network 'NN3' does not occur in the equations. Did you mean 'NN"),
    ("networks.NN1", "hiden", r"unknown key 'hiden' in \[networks.NN1\]. Did you mean 'hidden'"),
]
VALUES = [
    ("data", 3, r"\[data\] must be a table, but is 3"),
    ("data.file", 3, r"file in \[data\] must be text in quotes, but is 3"),
    ("data.time", ["t"] * 99, r"time in \[data\] must be text in quotes, but is \['t', .*'t.*\.\.\."),
    ("data.time", ["t"], r"time in \[data\] must be text"),
    ("data.columns", ["x"], r"columns in \[data\] must be a table, but is \['x'\]"),
    ("data.columns", {"x": 1}, r"columns.x in \[data\] must be text"),
    ("data.columns", {"X": "x"}, r"columns in \[data\] names 'X', which is no state .* Did you mean 'x'"),
    ("data.noise", "5%", r"noise in \[data\] must be a table, but is '5%'"),
    ("data.noise", {"z": 1}, "noise in .data. names 'z', which is no state"),
    ("data.noise", {"x": 10**400}, r"data.noise.x is a whole number of 401 digits, too large to be used"),
    ("data.trajectory", 3, r"trajectory in \[data\] must be a list in \[ \], but is 3"),
    ("data.trajectory", ["x", 3], r"each entry of trajectory in \[data\] must be text in quotes, but is 3"),
    ("data.noise", {"x": "much"}, r"\[data\] noise of 'x' is not a number: 'much'"),
    ("data.holdout", {"first": 1}, r"\[data\] holdout has no entry 'first'"),
    ("data.holdout", {"last": "100%"}, r"holdout.last must lie between 0 and 1"),
    ("data.inputs", "F", r"\[data\] inputs must be a mapping, not 'F'. Write \{ force = \"F\" \}"),
    ("data.inputs", {"F": 3}, r"\[data\] inputs maps text to text, but holds 'F': 3"),
    ("data.inputs", {"F": {"interpolate": "hold"}}, r"\[data\] input 'F' has no entry 'interpolate'. Did you mean"),
    (
        "data.inputs",
        {"F": {"column": "F", "interpolation": "cubik"}},
        r"\[data\] interpolation = 'cubik' of input 'F' is unknown. Did you mean 'cubic'\? Known are linear",
    ),
    ("data.covariates", "T", r"\[data\] covariates must be a list or a mapping, not the text 'T'. Write \['T'\]"),
    ("data.covariates", [1], r"\[data\] covariates maps text to text, but holds 1: 1"),
    ("model.observe", "gain*x", r"observe in \[model\] must be a table, but is 'gain\*x'"),
    ("model.observe", {"signal": 3}, r"observe.signal in \[model\] must be text in quotes, but is 3"),
    ("model.observe", {"signal": "gain*("}, r"observe signal: .*'\(' is never closed"),
    ("model.observe", {"signal": "gain x"}, r"observe signal: .*column 6: 'x' is not expected here"),
    ("model.observe", {"signal": "NN1(x)"}, r"observe signal: 'NN1' .*is a network"),
    ("model.observe", {"x": "2*y"}, r"observe names 'x', which is a name of the model already"),
    ("model.positive", "x", r"positive in \[model\] must be a list in \[ \], but is 'x'"),
    ("model.positive", [1], r"each entry of positive in \[model\] must be text"),
    ("model.positive", ["X"], r"positive names 'X', which is no state. Did you mean 'x'"),
    ("model.equations", ["x' = 1"], r"equations in \[model\] must be text in quotes, but is \["),
    ("model.equations", " ", "there is no equation"),
    ("parameters.a", "0.5", "parameters.a = '0.5' is not understood. Write a number to fix it"),
    ("parameters.a", {"value": 10**5000}, r"parameters.a.value is a whole number of 5001 digits, too large to be used"),
    ("parameters", {3: 1}, r"the key 3 in \[parameters\] must be text"),
    ("initial", {"x": [[10**400]]}, r"initial.x is a whole number of 401 digits"),
    ("parameters.a", True, "parameters.a = True is not understood"),
    ("parameters.a", {"bounds": "0 to 5"}, r"bounds in \[parameters.a\] must be a list .*'0 to 5'"),
    ("parameters.a", {"bounds": [0]}, r"\[parameters.a\] bounds = \[0\] is no pair"),
    ("parameters.a", {"bounds": [5, 0]}, r"\[parameters.a\] bounds = \[5, 0\] is no interval"),
    ("parameters.a", {"unit": 1}, r"unit in \[parameters.a\] must be text"),
    ("parameters.a", {"start": "one"}, r"\[parameters.a\] start = 'one' is not a finite number"),
    ("parameters.a", {"start": 9, "bounds": [0, 5]}, r"\[parameters.a\] start = 9 lies outside its bounds"),
    ("parameters.a", {"value": 1, "start": 2}, r"\[parameters.a\] has both 'value', .* and 'start'"),
    ("parameters.a", {"prior": 3}, r"prior in \[parameters.a\] must be a list in \[ \], but is 3"),
    ("parameters.a", {"prior": [1]}, r"\[parameters.a\] prior = \[1\] is no pair. Write its mean and standard dev"),
    ("parameters.a", {"prior": [1, 0]}, r"\[parameters.a\] prior = \[1, 0\] has a standard deviation that is not pos"),
    ("parameters.a", {"value": 1, "prior": [1, 2]}, r"\[parameters.a\] has both 'value', .* and 'prior'"),
    ("parameters.a", {"fixed": True}, "a fixed parameter needs a value"),
    ("parameters.t", 1, "parameter 't' is a reserved name"),
    ("initial.x", "zero", "initial x = 'zero' is not understood"),
    ("networks.NN1", [8], r"\[networks.NN1\] must be a table"),
    ("networks.NN1", {"hidden": "8"}, r"\[networks.NN1\] hidden = '8' is no list of layer sizes"),
    ("networks.NN1", {"activation": "relu"}, r"\[networks.NN1\] activation = 'relu' is unknown"),
    ("search.engines", "sparse", r"engines in \[search\] must be a list"),
    ("search.engines", [1], r"each entry of engines in \[search\] must be text"),
    ("search.library", ["sin"], r"library in \[search\] must be a table"),
    ("search.operators", "+", r"operators in \[search\] must be a list"),
    ("search.forbidden", "exp", r"forbidden in \[search\] must be a list"),
    ("search.units", ["kg"], r"units in \[search\] must be a table"),
    ("search.units", {"x": 1}, r"units.x in \[search\] must be text in quotes"),
    ("search.terms", ["NN1"], r"terms in \[search\] must be a table"),
    ("search.terms", {"NN1": "x"}, r"\[search.terms.NN1\] must be a table"),
    ("search.terms.NN1", {"sign": 1}, r"sign in \[search.terms.NN1\] must be text"),
    ("search.terms.NN1", {"increasing": "x"}, r"increasing in \[search.terms.NN1\] must be a list"),
    ("search.terms.NN1", {"guess": 3}, r"guess in \[search.terms.NN1\] must be a list"),
    ("search.library", {"templates": "monod"}, r"templates in \[search.library\] must be a list"),
    ("search.library", {"terms": ["x*("]}, r"\[search.library\] term 'x\*\(': .*column 3"),
]
FITS = [
    ("fit", 3, r"\[fit\] must be a table, but is 3"),
    ("fit.stages", "multiple_shooting", r"stages in \[fit\] must be a list"),
    ("fit.stages", [3], r"each entry of stages in \[fit\] must be text"),
    ("fit.solver", "rk5", r"\[fit\] solver = 'rk5' is unknown. Did you mean 'rk4'"),
    ("fit.loss", "l2", r"\[fit\] loss = 'l2' is unknown. Known are auto, gaussian, student"),
    ("fit.restarts", 0, r"\[fit\] restarts = 0 must be a whole number"),
    ("fit.device", "gpu", r"\[fit\] device = 'gpu' is unknown. Write .cpu., .cuda."),
    ("fit.tolerances", 1e-3, r"tolerances in \[fit\] must be a table, but is 0.001"),
    ("fit.tolerances", {"gain": "1e-3"}, r"\[fit\] gain_tolerance = '1e-3' must be a number between 0 and 1"),
]
SEARCHES = [
    ("search.max_terms", "4", r"\[search\] max_terms = '4' must be a whole number"),
    ("search.library", {"degree": 99}, r"\[search.library\] degree = 99 must be a whole number"),
    ("search.library", {"functions": ["sinus"]}, "the library has no function 'sinus'. Did you mean 'sin'"),
    ("search.operators", ["**"], r"\[search\] there is no operator '\*\*'"),
    ("search.time_limit", 0, r"\[search\] time_limit = 0 must be a positive number of seconds"),
    ("search.max_complexity", 2, r"\[search\] max_complexity = 2 must be a whole number"),
    ("search.forbidden", ["sinus"], r"\[search\] forbidden 'sinus' names 'sinus'.* Did you mean 'sin'"),
    ("search.units", {"X": "kg"}, r"\[search\] units names 'X', which is no column. Did you mean 'x'"),
    ("search.units", {"a": "1/s"}, r"\[search\] units names 'a', a parameter"),
    ("search.units", {"x": "kgg"}, r"\[search\] the unit 'kgg' of 'x' cannot be read: .*'kgg'. Did you mean 'kg'"),
    ("search.terms", {"NN3": {}}, r"\[search\] terms names 'NN3', which is no missing term. Did you mean 'NN"),
    ("search.terms.NN1", {"sign": "plus"}, r"\[search.terms.NN1\] sign = 'plus' is unknown"),
    ("search.terms.NN1", {"increasing": ["X"]}, r"\[search\] NN1: increasing 'X' .* Did you mean 'x'"),
    ("search.terms.NN1", {"guess": "a*x"}, r"\[search\] NN1: guess 'a\*x' has 'a', which is no argument"),
    ("search.prior", {"other": -1}, r"\[search.prior\] other = -1 must be a number of nats"),
    ("search.library", {"products": 1}, r"\[search.library\] products = 1 must be true or false"),
    ("search.library", {"templates": ["mond"]}, r"there is no template 'mond'. Did you mean 'monod'"),
    ("search.engines", ["sparce"], r"\[search\] there is no engine 'sparce'. Did you mean 'sparse'"),
]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "a.csv").write_text("t,x,y\n0,1,2\n1,2,3\n2,3,4\n3,4,5\n")
    return tmp_path


def with_value(path, value, spec=SPEC):
    """The spec with a value at a dotted path."""
    made = copy.deepcopy(spec)
    *sections, key = path.split(".")
    place = made
    for name in sections:
        place = place.setdefault(name, {})
    place[key] = value
    return made


@pytest.mark.parametrize(("section", "key", "message"), UNKNOWN_KEYS)
def test_an_unknown_key_is_refused_with_the_nearest_known_one(section, key, message, folder):
    value = {} if section in ("", "networks") else 1
    with pytest.raises(ModelError, match=rf"^spec: {message}"):
        load_spec(with_value(".".join(filter(None, [section, key])), value), folder=folder)


@pytest.mark.parametrize(("path", "value", "message"), [*VALUES, *FITS, *SEARCHES])
def test_a_value_that_means_nothing_is_refused(path, value, message, folder):
    with pytest.raises((ModelError, DataError, FitError, SearchError), match=rf"(?s)^spec: .*{message}"):
        load_spec(with_value(path, value), folder=folder)


@pytest.mark.parametrize(("section", "key"), [("data", "file"), ("data", "time"), ("model", "equations")])
def test_what_must_be_there_is_asked_for(section, key, folder):
    made = copy.deepcopy(SPEC)
    del made[section][key]
    with pytest.raises(ModelError, match=rf"spec: \[{section}\] lacks '{key}'. Add  {key} ="):
        load_spec(made, folder=folder)


def test_an_empty_spec_is_asked_for_its_equations():
    with pytest.raises(ModelError, match=r"\[model\] lacks 'equations'"):
        load_spec({})


# --- columns -----------------------------------------------------------------------------------------


def test_a_table_without_any_state_is_refused_with_a_mapping(folder):
    (folder / "a.csv").write_text("t,X,other\n0,1,2\n1,2,3\n")
    match = r'no state is measured: the states are x, y; .* t, X, other. Did you mean  columns = { x = "X" }'
    with pytest.raises(ModelError, match=match):
        load_spec(SPEC, folder=folder)


def test_a_table_of_empty_columns_is_refused(folder):
    (folder / "a.csv").write_text("t,x,y\n0,,\n1,,\n")
    with pytest.raises(ModelError, match=r"no state is measured: x, y of a.csv are empty in every row"):
        load_spec(SPEC, folder=folder)


def test_noise_of_a_state_without_a_column_is_refused(folder):
    (folder / "a.csv").write_text("t,x\n0,1\n1,2\n")
    with pytest.raises(ModelError, match="names 'y', which is not measured"):
        load_spec(with_value("data.noise", {"y": 0.1}), folder=folder)


def test_a_mapped_column_must_be_in_the_file(folder):
    with pytest.raises(DataError, match=r"a.csv has no column 'XX'"):
        load_spec(with_value("data.columns", {"x": "XX"}), folder=folder)


def test_a_column_is_used_once(folder):
    with pytest.raises(DataError, match=r"column 'x' of a.csv is used twice"):
        load_spec(with_value("data.columns", {"x": "x", "y": "x"}), folder=folder)


# --- inputs, covariates, observables -----------------------------------------------------------------

DRIVEN = {
    "data": {"file": "a.csv", "time": "t", "inputs": {"force": "F"}, "covariates": ["T"]},
    "model": {"equations": "x' = force - NN1(x, T)", "observe": {"signal": "gain*x"}},
}
DRIVEN_TABLE = "t,F,T,signal\n0,1,20,4\n1,2,20,5\n2,,20,6\n3,4,,7\n"
DRIVEN_REFUSALS = [
    ("data.inputs", {"force": "Force"}, r"a.csv has no column 'Force' \(`inputs`\). Its columns are t, F, T, signal"),
    ("data.inputs", {"force": "t"}, "column 't' of a.csv is the time or the trajectory. Leave it out of `inputs`"),
    ("data.covariates", {"T": "TT"}, r"a.csv has no column 'TT' \(`covariates`\). Did you mean 'T'"),
    ("data.covariates", {"T": "F"}, "column 'F' of a.csv is used twice, for 'force' and 'T'"),
    ("data.covariates", {"T": "signal"}, "no state or observable is measured: the states and observables are x, sig"),
    ("data.inputs", {"force": "F", "heat": "signal"}, "input 'heat' does not occur in the equations"),
    ("data.covariates", ["T", "signal"], "observe names 'signal', which is a name of the model already"),
    ("data.columns", {"signal": "F"}, "column 'F' of a.csv is used twice, for 'signal' and 'force'"),
    ("data.columns", {"signl": "signal"}, "'signl', which is no state or observable of the model. Did you mean 'sig"),
    ("data.noise", {"signl": 1}, r"noise in \[data\] names 'signl', which is no state or .* Did you mean 'sig"),
    ("data.noise", {"force": 1}, r"noise in \[data\] names 'force', which is no state or observable"),
    ("data.noise", {"x": 1}, r"noise in \[data\] names 'x', which is not measured"),
    (
        "model.observe",
        {"signal": "gain*x", "signal2": "x**2"},
        r"'signal2' in observe of \[model\] is not measured; the columns of a.csv are t, F, T, signal. Map it with  "
        r'columns = \{ signal2 = "NAME" \}  in \[data\]\.',
    ),
    ("parameters.force", 1, "input 'force' is a parameter. Choose another name"),
    ("model.equations", "x' = -NN1(x, T)", "input 'force' does not occur in the equations"),
]


@pytest.mark.parametrize(("path", "value", "message"), DRIVEN_REFUSALS)
def test_inputs_covariates_and_observables_that_cannot_be_used_are_refused(path, value, message, folder):
    (folder / "a.csv").write_text(DRIVEN_TABLE)
    load_spec(DRIVEN, folder=folder)
    with pytest.raises((ModelError, DataError), match=rf"(?s){message}"):
        load_spec(with_value(path, value, DRIVEN), folder=folder)


def test_a_covariate_that_changes_within_a_run_is_refused_with_its_row(folder):
    (folder / "a.csv").write_text(DRIVEN_TABLE.replace("2,,20", "2,,21"))
    with pytest.raises(DataError, match=r"covariate 'T' changes .* 20, then 21 \(a.csv, row 4, column 'T'\)"):
        load_spec(DRIVEN, folder=folder)


def test_an_observable_whose_column_is_empty_is_refused(folder):
    (folder / "a.csv").write_text("t,F,T,x,signal\n0,1,20,4,\n1,2,20,5,\n")
    match = r"'signal' in observe of \[model\] is not measured: its column 'signal' of a.csv is empty in every row"
    with pytest.raises(ModelError, match=match):
        load_spec(DRIVEN, folder=folder)


# --- files -------------------------------------------------------------------------------------------

FILES = [
    (b"[data\n", r"s.toml is not valid TOML: .*line 1, column 6"),
    (b"a = 1\na = 2\n", r"s.toml is not valid TOML: .*line 2"),
    (b"[data]\nfile = a.csv\n", r'not valid TOML: .*line 2, column 8\). Text stands in "quotes"'),
    (b'[data]\nfile = "C:\\data\\a.csv"\n', "not valid TOML: .* Write paths with forward slashes"),
    (b"x = " + b"[" * 5000, "s.toml is no"),
    (b'a = "\xff"\n', r"s.toml is not UTF-8 text \(byte 5\). Save it as UTF-8"),
    ("a = 1\n".encode("utf-16"), "s.toml is not UTF-8 text"),
    (b"\x00\x01", "s.toml is not valid TOML"),
    (b"x = " + b"[" * 30 + b"]" * 30, "s.toml is no spec: its tables are nested too deep"),
    (b"[data]\nfile = " + b"9" * 5000, "s.toml holds a number that is too long to be read"),
    (b"#" * 65_537, "s.toml is no spec: it has 65537 bytes"),
    (b"", r"s.toml: \[model\] lacks 'equations'"),
]


@pytest.mark.parametrize(("content", "message"), FILES)
def test_a_file_that_is_no_spec_is_refused(content, message, folder):
    (folder / "s.toml").write_bytes(content)
    with pytest.raises(ModelError, match=message):
        load_spec(folder / "s.toml")


def test_a_missing_spec_is_answered_with_its_neighbours(folder):
    (folder / "hares.toml").write_text("")
    with pytest.raises(ModelError, match=r"there is no file .*hare.toml. Similar files there: hares.toml"):
        load_spec(folder / "hare.toml")
    with pytest.raises(ModelError, match=r"there is no file .*s.toml. A spec is a TOML file"):
        load_spec(folder / "nowhere" / "s.toml")


def test_a_folder_or_a_table_is_no_spec(folder):
    with pytest.raises(ModelError, match=r"is a folder. Give the spec file in it"):
        load_spec(folder)
    with pytest.raises(ModelError, match=r'a.csv is a table, not a spec. .*\[data\] file = "a.csv"'):
        load_spec(folder / "a.csv")
