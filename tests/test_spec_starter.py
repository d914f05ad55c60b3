"""starter_spec: what is guessed from names and numbers, and that the spec written from it runs as it is."""

import re
import tomllib

import numpy as np
import pandas as pd
import pytest

from udesys.errors import DataError, FitError
from udesys.fit import check_enough
from udesys.spec import load_spec
from udesys.spec.naming import model_names
from udesys.spec.starter import starter_spec


@pytest.fixture
def starter(tmp_path):
    """The starter of a table given as text, bytes or columns; what it says passes a check of the spec it wrote."""

    def make(content, name="a.csv"):
        path = tmp_path / name
        if isinstance(content, dict):
            pd.DataFrame(content).to_csv(path, index=False)
        else:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        made = starter_spec(path)
        (tmp_path / "s.toml").write_text(made.text, encoding="utf-8")
        read = load_spec(tmp_path / "s.toml")
        check_enough(read.model, read.data)
        assert list(read.model.equation_of.values()) == list(made.spec.model.equation_of.values())
        return made

    return make


def roles(made):
    return {guess.column: guess.role for guess in made.guesses}


def why(made, column):
    return next(guess.why for guess in made.guesses if guess.column == column)


def equations(made):
    return list(made.spec.model.equation_of.values())


T = np.linspace(0, 6, 61)
NOISE = np.random.default_rng(0).standard_normal((8, len(T)))


# --- time --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["t", "t_s", "time", "Time (h)", "time_elapsed", "Zeit [s]", "year", "day", "t/ms", "simTime", "Elapsed time"],
)
def test_a_time_is_known_by_its_name_wherever_it_stands(starter, name):
    made = starter({"rising": T**2, "x": np.cos(T), name: T})
    assert roles(made) == {"rising": "state", "x": "state", name: "time"}


def test_without_a_name_the_first_column_that_increases_is_the_time(starter):
    made = starter({"a": np.cos(T), "b": T, "c": np.exp(T)})
    assert roles(made) == {"a": "state", "b": "time", "c": "state"}
    assert why(made, "b") == "the first column that increases"


def test_a_capital_t_is_no_time(starter):
    assert roles(starter({"T": np.cos(T), "clock": T})) == {"T": "state", "clock": "time"}


def test_a_counter_of_rows_is_the_time_only_where_there_is_no_other(starter):
    k = np.arange(len(T))
    assert roles(starter({"index": k, "u_t": T**2 + T, "x": np.cos(T)}))["index"] != "time"
    made = starter({"row": k, "t": T, "x": np.cos(T)})
    assert roles(made) == {"row": "left out", "t": "time", "x": "state"}
    assert why(made, "row") == "counts the rows"
    assert roles(starter({"row": k, "x": np.cos(T)}))["row"] == "time"


# --- runs --------------------------------------------------------------------------------------------


def stacked(labels, **columns):
    """The same run of 12 rows for each label, one below the other."""
    rows = pd.DataFrame({"t": np.arange(12), "x": np.cos(np.arange(12)), "y": np.sin(2 + np.arange(12))})
    parts = [
        rows.assign(**{name: values[k] for name, values in labels.items()})
        for k in range(len(next(iter(labels.values()))))
    ]
    return pd.concat(parts, ignore_index=True).assign(**columns)


@pytest.mark.parametrize("values", [["a", "b", "c"], [1, 2, 3], ["wild type", "", "knock-out"][::2], [-1, 0, 1]])
def test_runs_are_separated_by_a_column_of_labels(starter, values):
    made = starter(stacked({"flask": values}).to_dict("list"))
    assert roles(made) == {"flask": "trajectory", "t": "time", "x": "state", "y": "state"}
    assert len(made.spec.data.trajectories) == len(values)


def test_interleaved_runs_are_separated_too(starter):
    frame = stacked({"flask": [1, 2]}).sort_values("t", kind="stable")
    assert roles(starter(frame.to_dict("list")))["flask"] == "trajectory"


def test_two_columns_separate_runs_where_neither_does_alone(starter):
    frame = stacked({"ball": ["red", "red", "blue", "blue"], "drop": [1, 2, 1, 2]})
    made = starter(frame.to_dict("list"))
    assert 'trajectory = ["ball", "drop"]' in made.text
    assert [run.name for run in made.spec.data.trajectories] == ["red, 1", "red, 2", "blue, 1", "blue, 2"]


def test_labels_of_long_stretches_are_runs_though_the_time_goes_on(starter):
    made = starter({"t": T, "x": np.cos(T), "y": np.sin(T + 1), "part": ["id"] * 40 + ["val"] * 21})
    assert roles(made)["part"] == "trajectory"
    assert '# holdout = { trajectories = ["val"] }' in made.text


def test_labels_that_come_and_go_are_text(starter):
    made = starter({"t": T, "x": np.cos(T), "weather": ["dry", "wet", "dry"] * 20 + ["dry"]})
    assert roles(made)["weather"] == "left out"


def test_what_holds_for_a_whole_run_is_a_covariate(starter):
    frame = stacked({"subject": [1, 2, 3], "weight": [70.5, 80.0, 62.1], "stage": [2, 2, 2]})
    made = starter(frame.to_dict("list"))
    assert roles(made) | {"stage": "left out"} == roles(made)
    assert roles(made)["weight"] == "covariate"
    assert equations(made)[0] == "x' = NN1(x, y, weight)"
    assert "in every row" in why(made, "stage")


def test_only_the_first_covariates_act(starter):
    frame = stacked({"subject": [1, 2, 3]} | {f"c{k}": [k, k + 1.5, k + 3] for k in range(6)})
    made = starter(frame.to_dict("list"))
    assert made.spec.model.covariates == ("c0", "c1", "c2")
    assert "a covariate too" in why(made, "c3")


# --- states, velocities, inputs ----------------------------------------------------------------------


def test_every_state_has_an_equation_of_one_missing_term(starter):
    made = starter({"t": T, "prey": np.cos(T) + 2, "predator": np.sin(T) ** 2 + 1})
    assert equations(made) == ["prey' = NN1(prey, predator)", "predator' = NN2(prey, predator)"]


@pytest.mark.parametrize("noise", [0, 0.02])
def test_a_measured_velocity_brings_a_second_order_equation(starter, noise):
    x, v = 2 * np.cos(3 * T) + noise * NOISE[0], -6 * np.sin(3 * T) + 3 * noise * NOISE[1]
    made = starter({"v": v, "t": T, "x": x})
    assert roles(made) == {"v": "velocity", "t": "time", "x": "state"}
    assert equations(made) == ["x'' = NN1(x, x')"]
    assert """columns = { "x'" = "v" }""" in made.text
    assert made.spec.data.columns == ("x", "x'")


def test_velocities_are_found_run_by_run_and_accelerations_are_left_out(starter):
    parts = [{"run": k, "t": T, "h": h - 4.9 * T**2 - k * T, "v": -9.8 * T - k} for k, h in enumerate((30, 47, 50.0))]
    frame = pd.concat([pd.DataFrame(part) for part in parts])
    assert roles(starter(frame.to_dict("list")))["v"] == "velocity"
    made = starter({"t": T, "x": np.cos(T), "v": -np.sin(T), "a": -np.cos(T) + 1e-6 * NOISE[0]})
    assert roles(made) == {"t": "time", "x": "state", "v": "velocity", "a": "left out"}


@pytest.mark.parametrize(
    "other", [np.sin(3 * T), -12 * np.sin(3 * T), 6 * np.cos(3 * T + 0.5), 3 + 0 * T + NOISE[3], np.exp(T / 2)]
)
def test_what_is_no_rate_of_change_is_a_state(starter, other):
    assert roles(starter({"t": T, "x": 2 * np.cos(3 * T), "z": other}))["z"] == "state"


def test_a_lone_oscillation_has_a_velocity_that_was_not_measured(starter):
    t = np.arange(0, 20, 0.05)
    made = starter({"t": t, "signal": np.cos(2 * t) * np.exp(-0.05 * t) + 0.01 * np.resize(NOISE, len(t))})
    assert equations(made) == ["signal'' = NN1(signal, signal')"]
    assert equations(starter({"t": t, "signal": np.exp(-0.3 * t) + 1})) == ["signal' = NN1(signal)"]


def test_a_driven_state_of_first_order_stays_one(starter):
    t = np.arange(0, 30, 0.1)
    u = np.sign(np.sin(t)) + 0.3 * np.sign(np.sin(2.7 * t))
    x = np.zeros(len(t))
    for k in range(len(t) - 1):  # exact for an input that is held
        x[k + 1] = u[k] + (x[k] - u[k]) * np.exp(-0.1)
    made = starter({"t": t, "u": u, "temperature": x})
    assert equations(made) == ["temperature' = NN1(temperature, u)"]
    assert 'inputs = { u = { column = "u", interpolation = "hold" } }' in made.text


@pytest.mark.parametrize("name", ["u", "u1", "force_N", "Motor torque", "insulin_uU_ml", "dose", "input"])
def test_what_drives_a_system_is_known_by_its_name(starter, name):
    made = starter({"t": T, "x": np.cos(T), "y": np.sin(T + 1) ** 2, name: np.sin(T / 2)})
    assert roles(made)[name] == "input"
    (driver,) = made.spec.model.inputs
    assert equations(made)[0] == f"x' = NN1(x, y, {driver})"
    assert made.spec.data.inputs == {driver: "linear"}


def test_a_reference_is_only_offered_beside_a_force(starter):
    made = starter({"t": T, "q": np.cos(T), "q_ref": np.sin(T), "force": np.sin(T / 2)})
    assert (roles(made)["q_ref"], made.spec.model.inputs) == ("offered", ("force",))
    assert '# inputs = { force = "force", q_ref = "q_ref" }' in made.text


def test_where_everything_is_named_like_an_input_something_is_still_a_state(starter):
    assert roles(starter({"t": T, "u": np.cos(T)})) == {"t": "time", "u": "state"}
    made = starter({"t": T, "voltage": np.cos(T), "force": np.sin(T) + 2})
    assert roles(made) == {"t": "time", "voltage": "state", "force": "input"}


def test_of_many_columns_the_first_few_are_states(starter):
    made = starter({"t": T} | {f"x{k}": np.cos((k + 1.3) * T) for k in range(40)})
    assert made.spec.model.states == ("x0", "x1", "x2", "x3")
    assert "#   and " in made.text and str(made).count("left out") < 30
    assert made.spec.data.columns == ("x0", "x1", "x2", "x3")


def test_a_table_of_thousands_of_columns_is_cut_short(starter):
    rows = "\n".join(",".join([str(k)] + [str((k * j) % 7) for j in range(5000)]) for k in range(20))
    made = starter(f"t,{','.join(f'c{j}' for j in range(5000))}\n{rows}\n")
    assert len(made.guesses) == 5001
    assert len(made.text) < 10_000 and len(str(made)) < 10_000


# --- what is left out --------------------------------------------------------------------------------


def test_columns_that_cannot_be_used_are_listed_with_the_reason(starter):
    text = "t,x,note,void,g,few,same,bad,y\n"
    text += "".join(
        f"{k},{k * k % 7},ok{k},,9.81,{k if k < 2 else ''},{3 * (k * k % 7) + 1},{k % 5},{k % 4}\n" for k in range(20)
    )
    made = starter(text.replace("2,4,ok2,,9.81,,13,2,", "2,4,ok2,,9.81,,13,high,"))
    assert [c for c, role in roles(made).items() if role == "left out"] == ["note", "void", "g", "few", "same", "bad"]
    for words in ("'note': text", "'void': empty", "'g': is 9.81 in every row", "'few': has 2 values only"):
        assert f"#   {words}" in made.text
    assert "'same': is a multiple of 'x', up to a constant" in made.text
    assert "'bad': 'high' is not a number (a.csv, row 4, column 'bad')" in made.text
    assert made.spec.model.states == ("x", "y")


def test_missing_cells_do_not_keep_a_column_out(starter):
    x = np.where(np.arange(len(T)) % 3, np.cos(T), np.nan)
    assert roles(starter({"t": T, "x": x, "y": np.sin(2 * T)})) == {"t": "time", "x": "state", "y": "state"}


# --- names -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "name"),
    [
        ("hare", "hare"),
        ("V1", "V1"),
        ("_x2", "_x2"),
        ("Hare (k)", "hare"),
        ("V1 [mV]", "V1"),
        ("Größe, Nr. 1", "grosse_nr_1"),
        ("θ (rad)", "theta"),
        ("ω₂", "omega2"),
        ("conc. in mg/l", "conc_in_mg_l"),
        ("1st", "x1st"),
        ("lambda", "x_lambda"),
        ("class", "x_class"),
        ("exp", "x_exp"),
        ("t", "x_t"),
        ("pi", "x_pi"),
        ("eval", "x_eval"),
        ("NN1", "nn1"),
        ("__import__('os')", "x_import"),
        ("x'", "x"),
        ("(mm)", "mm"),
        ("%", "x"),
        ("体重", "x"),
        ("a" * 99, "a" * 30),
        ("\U0001f600 \n\0", "x"),
    ],
)
def test_a_name_becomes_one_that_the_equations_can_hold(column, name):
    assert model_names([column]) == {column: name}


def test_names_stay_different():
    found = model_names(["Hare (k)", "hare", "HARE [k]", "x", "%", "hare_2"], taken={"x"})
    assert list(found.values()) == ["hare", "hare_2", "hare_3", "x_2", "x_3", "hare_2_2"]


UGLY = [
    "Größe (θ), mm",
    "lambda",
    "class",
    "exp",
    "NN1",
    "__import__('os').system('touch pwned')",
    "x''",
    "π",
    "\ta=b#c",
]


def test_a_table_of_ugly_names_runs(starter, tmp_path):
    frame = {name: np.cos((k + 1.7) * T) for k, name in enumerate(UGLY[:5])} | {"Time, s": T, "t": T**2 + T}
    made = starter({name: frame[name] for name in (*UGLY[:5], "Time, s")})
    assert len(set(made.spec.model.states)) == 5
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", name) for name in made.spec.model.states)
    made = starter({name: np.cos((k + 1.7) * T) for k, name in enumerate(UGLY[5:])} | {"Time, s": T})
    assert len(made.spec.model.states) == 4
    assert not (tmp_path / "pwned").exists()


def test_the_file_s_own_name_may_be_ugly(starter):
    made = starter({"t": T, "x": np.cos(T)}, name='a "b" ö.csv')
    assert tomllib.loads(made.text)["data"]["file"] == 'a "b" ö.csv'


# --- the file ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "separator", "encoding"), [("a.csv", ";", "utf-8"), ("a.tsv", "\t", "utf-8"), ("a.txt", ",", "utf-8-sig")]
)
def test_other_separators_are_read_as_ever(starter, name, separator, encoding):
    text = "t,x,y\n" + "".join(f"{k},{k * k % 7},{k % 4}\n" for k in range(20))
    made = starter(text.replace(",", separator).encode(encoding), name=name)
    assert roles(made) == {"t": "time", "x": "state", "y": "state"}


def test_a_parquet_file_is_read(tmp_path):
    pytest.importorskip("pyarrow")
    frame = pd.DataFrame({"run": ["a"] * 61, "t": T, "x": np.cos(T), "n": (np.arange(61) ** 2) % 5})
    frame.to_parquet(tmp_path / "a.parquet")
    made = starter_spec(tmp_path / "a.parquet")
    assert (roles(made)["t"], roles(made)["x"], roles(made)["n"]) == ("time", "state", "state")


REFUSED = [
    ("x\n1\n2\n3\n4\n5\n", "a.csv has one column, 'x', but a table of measurements has a time and at least one state"),
    ("a b c\n1 2 3\n", "has one column, 'a b c', .*Separate the cells with commas or semicolons"),
    ("0,1\n1,2\n2,3\n3,4\n4,6\n5,3\n", "the first row of a.csv holds numbers. The first row must name the columns"),
    ("t,x\n0,1\n1,2\n2,4\n", "a.csv has 3 rows; fewer than 5 show no law"),
    ("a,b\nx,y\nz,w\nx,y\nz,w\nx,y\n", "a.csv has no column of numbers"),
    ("t;x\n" + "".join(f"{k};{k},5\n" for k in range(9)), "'0,5' is not a number .*Write decimals with a point: 0.5"),
    ("t;x\n" + "".join(f"{k},5;{k}\n" for k in range(9)), r"no column of a.csv increases|holds|'0,5' is not a number"),
    ("x,y\n" + "".join(f"{k % 3},{k % 2}\n" for k in range(9)), "no column of a.csv increases from row to row.*Add a"),
    (
        "date,x\n" + "".join(f"2024-01-0{k + 1},{k % 3}\n" for k in range(9)),
        "no column of a.csv increases .*Is it 'date'\\? Write its times as numbers, such as the days",
    ),
    (
        "t,x\n" + "".join(f"{k % 6},{k % 5}\n" for k in range(18)),
        r"t restarts in row 8 of a.csv \(0 after 5\), and no column separates the runs.*add a column that names",
    ),
    ("t,x\n" + "".join(f"{k // 2},{k % 5}\n" for k in range(18)), r"t stays in row 3 of a.csv \(0 after 0\)"),
    ("t,x\n0,1\n,2\n2,3\n3,4\n4,0\n", r"the time is missing \(a.csv, row 3, column 't'\)"),
    (
        "t,g\n" + "".join(f"{k},9.81\n" for k in range(9)),
        r"no column that could be a state .*'g' \(is 9.81 in every row",
    ),
    ("t,x\n" + "".join(f"{k},{k + 7}\n" for k in range(9)), r"no column that could be .*'x' \(counts the rows"),
    ("t,time\n" + "".join(f"{k},{60 * k}\n" for k in range(9)), r"no column that could be .*'time' \(runs with"),
]


@pytest.mark.parametrize(("text", "message"), REFUSED)
def test_what_can_be_no_table_of_measurements_is_refused_in_words(starter, text, message):
    with pytest.raises(DataError, match=f"(?s){message}"):
        starter(text)


def test_too_many_states_for_the_rows_are_refused(starter):
    text = "t,a,run\n" + "".join(f"{k % 2},{k * k % 7},{k // 2}\n" for k in range(10))
    with pytest.raises((DataError, FitError), match=r"restarts|too few"):
        starter(text)


# --- the text ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "columns", [{"x": np.cos(T), "y": np.sin(T) ** 2}, {"x": np.cos(2 * T), "v": -2 * np.sin(2 * T)}]
)
def test_the_commented_examples_can_be_put_in(starter, tmp_path, columns):
    made = starter({"t": T} | columns)
    assert all(len(line) <= 120 for line in made.text.splitlines())
    examples = re.findall(r"^#   [\w ]+: +(\S.*)$", made.text.split("[model]")[1], flags=re.MULTILINE)
    assert len(examples) >= 2
    base = tomllib.loads(made.text)
    for example in examples:
        left = example.split("=")[0].strip()
        kept = [e for e in equations(made) if e.split("'")[0] != left.split("'")[0]]
        columns = {k: c for k, c in base["data"].get("columns", {}).items() if k != "x'" or left == "x''"}
        model = {**base["model"], "equations": "\n".join([example, *kept])}
        load_spec({**base, "data": {**base["data"], "columns": columns}, "model": model}, folder=tmp_path)


def test_the_commented_settings_are_settings(starter, tmp_path):
    made = starter({"t": T, "x": np.cos(T) + 2, "y": np.sin(T) ** 2})
    text = made.text.replace("x' = NN1(x, y)", "x' = growth*x - decay*x + NN1(x, y)")
    opened = re.sub(r"^# (?=[\w.\"']+ = |\[)", "", text, flags=re.MULTILINE).replace('trajectory = "run"', "")
    assert opened != text
    (tmp_path / "open.toml").write_text(opened)
    read = load_spec(tmp_path / "open.toml")
    assert read.model.positive == ("x", "y") and read.heldout is not None and read.noise is not None
    assert read.options.terms["NN1"].sign == "negative" and read.options.time_limit == 30


def test_what_was_guessed_is_printed_with_the_reasons(starter):
    made = starter({"t": T, "x": np.cos(T), "v": -np.sin(T), "note": ["a", "b"] * 30 + ["a"]})
    assert str(made) == (
        "Table  a.csv   61 rows, 4 columns\n"
        "  t      time          its name, and it increases\n"
        "  x      state         changes in time, and its rate of change is measured too\n"
        "  v      velocity x'   is numerically the rate of change of 'x'\n"
        "  note   left out      text\n"
        "Equations\n"
        "  x'' = NN1(x, x')"
    )


def test_few_rows_for_many_arguments_are_warned_of(starter):
    made = starter({"t": T[:9], "x": np.cos(T[:9]), "y": np.sin(T[:9]) ** 2})
    assert made.warnings == (
        "9 rows say little about 2 unknown terms of 2 arguments. Put in what you know, and take out arguments that a "
        "term cannot depend on.",
    )
    assert str(made).splitlines()[-1] == f"Warning: {made.warnings[0]}"


def test_the_same_table_gives_the_same_spec(starter):
    table = stacked({"subject": [1, 2, 3], "weight": [70.5, 80.0, 62.1]}).to_dict("list")
    assert starter(table).text == starter(table).text
