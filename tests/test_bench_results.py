"""The table of results: made of study files, put into a file, and that of the README."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from udesys.bench._results import BEGIN, END, headlines, put_between, read_studies, results_text
from udesys.bench._study import Study
from udesys.cli import application
from udesys.cli.bench import comparisons
from udesys.errors import DataError

ROOT = Path(__file__).resolve().parent.parent
MODULES = {
    "springs": SimpleNamespace(HEADLINES=("right*", "median s"), LESS_IS_BETTER=("median s",)),
    "drops": SimpleNamespace(),
}
VERSIONS = {"udesys": "1.0", "python": "3.12"}


def made(**changed):
    """A study as --json prints it."""
    study = {
        "bench": "springs",
        "command": "udesys bench springs --seeds 3",
        "summary": {"right at 1 %, %": 97.53086, "right at 5 %, %": 80, "median s": 0.0351, "of which": 12},
        "rows": [{"seed": 4, "right": True}, {"seed": 5, "right": True}, {"seed": 9, "right": False}],
        "published": {"Hooke 1678": {"right at 1 %, %": 58, "not measured here": 1}},
        "rivals": {
            "slow": {"right at 1 %, %": 60.0, "median s": 30.5},
            "fast": {"right at 1 %, %": 50.0, "median s": 6.25, "right at 5 %, %": None},
        },
        "versions": VERSIONS,
        "seconds": 12.5,
    }
    return {**study, **changed}


def written(folder, **studies):
    folder.mkdir(exist_ok=True)
    for name, study in studies.items():
        (folder / f"{name}.json").write_text(json.dumps(study), encoding="utf-8")
    return folder


def rows_of(text):
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


# ------------------------------------------------------------------ the table
def test_a_line_for_each_headline_number_beside_what_is_published_and_the_best_rival():
    text = results_text({"springs": made()}, MODULES)
    assert rows_of(text) == [
        ["springs", "right at 1 %, %", "97.53", "58 (Hooke 1678)", "60 (slow)"],
        ["", "right at 5 %, %", "80", "-", "-"],
        ["", "median s", "0.0351", "-", "6.25 (fast)"],
    ]


def test_a_module_that_names_nothing_gets_all_lines_and_all_rivals():
    text = results_text({"drops-wet": made(bench="drops")}, MODULES)
    assert [row[1] for row in rows_of(text)] == list(made()["summary"])
    assert rows_of(text)[0][0] == "drops-wet"
    assert rows_of(text)[2][4] == "30.5 (slow), 6.25 (fast)"


def test_a_study_without_any_of_the_headlines_shows_all_it_has():
    assert headlines({"a": 1, "b": 2}, ("c", "d*")) == ["a", "b"]
    assert headlines({"a": 1, "b2": 2, "b": 3}, ("b*",)) == ["b2", "b"]
    assert headlines({"a": 1, "b2": 2, "b": 3}, ("b",)) == ["b"]


@pytest.mark.parametrize(
    ("value", "shown"),
    [(2, "2"), (97.53086, "97.53"), (1.8138e-9, "1.814e-09"), (100000.0, "100000"), (None, "-"), ("tied", "tied")],
)
def test_numbers_have_four_digits_and_what_diverged_has_none(value, shown):
    text = results_text({"drops": made(bench="drops", summary={"what": value})}, MODULES)
    assert rows_of(text)[0][2] == shown


def test_what_made_each_file_stands_below_the_table_without_a_date():
    others = {"udesys": "1.0", "python": "3.12", "diffrax": "0.7"}
    single = made(command="udesys bench springs --seed 3", rows=[{"case": "a"}], versions=others)
    text = results_text({"a": made(), "b": single}, MODULES)
    assert text.splitlines()[-4:] == [
        "- `a.json`: `udesys bench springs --seeds 3`, 3 runs, seeds 4 to 5, 9",
        "- `b.json`: `udesys bench springs --seed 3`, 1 run, seed 3; with diffrax 0.7",
        "",
        "All with udesys 1.0, python 3.12.",
    ]


def test_versions_that_differ_stand_with_their_file():
    text = results_text({"a": made(), "b": made(versions={"udesys": "1.1", "python": "3.12"})}, MODULES)
    assert "9; with udesys 1.0\n" in text and "9; with udesys 1.1\n" in text and text.endswith("All with python 3.12.")


def test_what_a_study_prints_is_a_study(tmp_path):
    study = Study(
        bench="drops", summary={"error": float("nan")}, rows=[], published={}, rivals={}, seconds=1, tables=""
    )
    written(tmp_path, drops=study.to_dict())
    assert rows_of(results_text(read_studies(tmp_path, MODULES), MODULES)) == [["drops", "error", "-", "-", "-"]]


# ------------------------------------------------------------------ refusals
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", r"a\.json is no study: it is no JSON"),
        ("[1]", r"a\.json is no study: it is no JSON object\. Write it again with `udesys bench NAME --json`"),
        ('{"bench": "springs"}', r"a\.json is no study: its 'command' is missing"),
        (json.dumps(made(summary=[])), r"its 'summary' is no object"),
        (json.dumps(made(rivals={"slow": 3})), r"its 'rivals' has no object for 'slow'"),
        (json.dumps(made(bench="sprigns")), r"there is no comparison 'sprigns'\. Did you mean 'springs'\?"),
        ("\udcff".encode("utf-8", "surrogateescape"), r"a\.json is no study: it is no JSON"),
    ],
)
def test_a_file_that_is_no_study_is_refused_by_name(content, message, tmp_path):
    (tmp_path / "a.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=message):
        read_studies(tmp_path, MODULES)


def test_a_folder_without_studies_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"nowhere is no folder\. Name one with studies"):
        read_studies(tmp_path / "nowhere", MODULES)
    with pytest.raises(DataError, match=r"has no JSON file\. Write one with `udesys bench NAME --json > "):
        read_studies(tmp_path, MODULES)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# title\n", rf"R\.md has no line {BEGIN}\. Put {BEGIN} and {END} on lines of their own"),
        (f"{BEGIN}\nold\n", rf"R\.md has no line {END}\."),
        (f"see {BEGIN}\n{END}\n", rf"R\.md has no line {BEGIN}\."),
        (f"{BEGIN}\n{END}\n{BEGIN}\n", rf"R\.md has {BEGIN} on lines 1 and 3\. Leave one of them\."),
        (f"\n{END}\n{BEGIN}\n", rf"R\.md has {END} \(line 2\) before {BEGIN} \(line 3\)\. Exchange them\."),
    ],
)
def test_markers_that_are_missing_twice_there_or_exchanged_are_refused(text, message):
    with pytest.raises(DataError, match=message):
        put_between(text, "new", "R.md")


# ------------------------------------------------------------------ into a file
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_only_what_stands_between_the_markers_is_replaced(newline):
    before = newline.join(["# title", BEGIN, "old", "older", f"  {END}", "", "the end"])
    after = newline.join(["# title", BEGIN, "", "new", "table", "", f"  {END}", "", "the end"])
    assert put_between(before, "new\ntable", "R.md") == after
    assert put_between(after, "new\ntable", "R.md") == after


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder, with studies of comparisons that there are, and a README."""
    monkeypatch.chdir(tmp_path)
    written(tmp_path / "benchmarks", forecast=made(bench="forecast"), systems=made(bench="systems"))
    (tmp_path / "README.md").write_text(f"# title\n\n{BEGIN}\n{END}\n\nthe end\n")
    return tmp_path


def bench(*arguments):
    return CliRunner().invoke(application(), ["bench", *map(str, arguments)])


def test_the_command_prints_the_table_and_puts_it_into_the_readme_once(folder):
    printed = bench("--table", "benchmarks")
    assert printed.exit_code == 0, printed.output
    done = bench("--table", "benchmarks", "--into", "README.md")
    assert (done.exit_code, done.stdout) == (0, "README.md has the table of benchmarks now: forecast, systems.\n")
    first = (folder / "README.md").read_text()
    assert first == f"# title\n\n{BEGIN}\n\n{printed.stdout}\n{END}\n\nthe end\n"
    again = bench("--table", "benchmarks", "--into", "README.md")
    assert again.stdout == "README.md has the table of benchmarks already; nothing was changed.\n"
    assert (folder / "README.md").read_text() == first


def test_a_refusal_leaves_the_readme_as_it_was(folder):
    (folder / "README.md").write_text("# title\n")
    refused = bench("--table", "benchmarks", "--into", "README.md")
    assert refused.exit_code == 1 and "udesys: README.md has no line" in refused.stderr
    assert (folder / "README.md").read_text() == "# title\n"
    missing = bench("--table", "benchmarks", "--into", "READ.md")
    assert missing.exit_code == 1 and "READ.md: No such file" in missing.stderr
    (folder / "figure.png").write_bytes(b"\x89PNG")
    assert "figure.png is no text in UTF-8" in bench("--table", "benchmarks", "--into", "figure.png").stderr
    (folder / "benchmarks" / "x.json").write_text("1")
    assert "x.json is no study" in bench("--table", "benchmarks").stderr


def test_options_that_exclude_each_other_are_refused():
    refused = bench("--into", "README.md")
    assert refused.exit_code == 1
    assert refused.stderr == "udesys: --into needs --table FOLDER, with the studies that the table is made of.\n"
    refused = bench("--table", "benchmarks", "forecast")
    assert refused.exit_code == 1
    assert refused.stderr == "udesys: --table and --into stand without a comparison. Leave its name out.\n"


# ------------------------------------------------------------------ what is said of this package
def test_a_module_names_headlines_as_a_tuple_of_texts():
    for name, module in comparisons().items():
        for constant in ("HEADLINES", "LESS_IS_BETTER"):
            names = getattr(module, constant, ())
            assert isinstance(names, tuple) and all(isinstance(n, str) for n in names), f"{constant} of {name}"


@pytest.fixture
def studies():
    """The studies that the README's table is made of."""
    if not (ROOT / "benchmarks").is_dir():
        pytest.skip("there is no folder benchmarks yet")
    return read_studies(ROOT / "benchmarks", comparisons())


def test_a_command_that_made_a_study_names_no_place_of_one_computer(studies):
    assert not [name for name, study in studies.items() if re.search(r"[\s='\"](/|~|[A-Z]:)", study["command"])]


def test_the_readme_has_the_table_of_the_studies(studies):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    if BEGIN not in readme:
        pytest.skip("the README has no place for the table yet")
    text = results_text(studies, comparisons())
    remedy = "write it with: udesys bench --table benchmarks --into README.md"
    assert put_between(readme, text, "README.md") == readme, remedy
