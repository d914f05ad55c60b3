"""What all comparisons share: runs that are kept and taken up again, one form of the figures, Markdown, and options."""

import json
import math
import os
import sys
import typing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from udesys.bench import _study
from udesys.bench._study import Study, carry_out, command_line, markdown, percent, restored, versions
from udesys.cli.bench import comparisons
from udesys.errors import DataError, UdesysError

KEYS = ["bench", "command", "summary", "rows", "published", "rivals", "versions", "seconds"]


@dataclass(frozen=True, kw_only=True)
class Part:
    """A dataclass inside a row."""

    sizes: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One of every kind of value that rows have."""

    n: int
    value: float
    text: str = 'a "b" | ü\nc\u2028d\x85e'
    pair: tuple[float, str] = (1.5, "x")
    names: tuple[str, ...] = ("a", "b")
    nested: dict[str, dict[str, tuple[float, float]]] = field(default_factory=dict)
    by_number: dict[int, float] = field(default_factory=dict)
    several: list[tuple[int, int]] = field(default_factory=list)
    perhaps: float | None = None
    perhaps_pair: tuple[float, float] | None = None
    inner: Part | None = None
    file: Path = Path("a.csv")


INTERRUPTED = set()  # where somebody presses Ctrl-C


def square(n: int, log: str = "") -> Row:
    """n squared; a line for each call."""
    if n in INTERRUPTED:
        raise KeyboardInterrupt
    if log:
        with Path(log).open("a") as file:
            file.write(f"{n} {os.getpid()}\n")
    return Row(n=n, value=float(n * n), nested={"a": {"b": (n, 2.0)}}, by_number={n: 0.5}, inner=Part(sizes=(n, 1)))


def cube(n: int, log: str = "") -> Row:
    return Row(n=n, value=float(n**3))


def read(n: int, path: Path) -> Row:
    return Row(n=n, value=float(path.read_text()))


def not_finite(n: int) -> Row:
    return Row(n=n, value=math.nan, perhaps=-math.inf, pair=(np.float64(0.1), "x"))


def gone(n: int) -> Row:
    os._exit(n)


def here(function, tasks, **options):
    return carry_out(function, tasks, None, here=True, **options)


def calls(log):
    return [int(line.split()[0]) for line in log.read_text().splitlines()] if log.exists() else []


@pytest.fixture
def keep(tmp_path):
    return tmp_path / "deep" / "runs.jsonl"


@pytest.fixture
def log(tmp_path):
    return tmp_path / "calls"


def tasks(log, count=6):
    return [(n, str(log)) for n in range(count)]


# ------------------------------------------------------------------ runs
def test_runs_come_in_order_from_processes_and_from_this_one(log, capsys):
    rows, seconds = carry_out(square, tasks(log, 4), None, jobs=2)
    assert [r.n for r in rows] == [0, 1, 2, 3] and seconds > 0
    assert str(os.getpid()) not in log.read_text()
    assert here(square, tasks(log, 4))[0] == rows and log.read_text().endswith(f"3 {os.getpid()}\n")
    assert capsys.readouterr().err.splitlines()[3] == "4 of 4 runs"


def test_a_warm_up_is_called_once_and_only_where_something_is_to_do(keep):
    called = []
    for _ in range(2):
        carry_out(square, [(1,), (2,)], lambda: called.append(1), here=True, keep=keep)
    assert called == [1]


def test_a_run_is_taken_up_again_after_an_interruption(log, keep, capsys):
    INTERRUPTED.add(3)
    with pytest.raises(KeyboardInterrupt):
        here(square, tasks(log), keep=keep)
    INTERRUPTED.clear()
    assert calls(log) == [0, 1, 2]
    rows, _ = here(square, tasks(log), keep=keep)
    assert calls(log) == [0, 1, 2, 3, 4, 5] and rows == [square(n) for n in range(6)]
    assert f"3 of 6 runs are in {keep}" in capsys.readouterr().err


def test_parts_share_a_file_and_a_last_call_has_all(log, keep):
    first, some = carry_out(square, tasks(log), None, part="1/2", keep=keep)
    second, others = carry_out(square, tasks(log), None, part="2/2", keep=keep)
    assert [r.n for r in first] == [0, 2, 4] and [r.n for r in second] == [1, 3, 5]
    rows, seconds = carry_out(square, tasks(log), None, keep=keep)
    assert len(calls(log)) == 6 and rows == [square(n) for n in range(6)]
    assert seconds == pytest.approx(some + others, abs=0.005)  # times are kept to a millisecond


def test_two_at_a_time_keep_whole_lines(log, keep):
    carry_out(square, tasks(log, 12), None, jobs=2, keep=keep)
    assert sorted(json.loads(line)["task"][0] for line in keep.read_bytes().splitlines()) == list(range(12))


def test_another_task_is_another_run_and_comparisons_share_a_file(log, keep):
    here(square, [(1, str(log))], keep=keep)
    assert here(cube, [(2,), (1, str(log))], keep=keep)[0][1].value == 1.0
    here(square, [(1, str(log)), (2, str(log))], keep=keep)
    assert calls(log) == [1, 2] and len(keep.read_bytes().splitlines()) == 4


def test_a_file_among_the_values_is_known_by_what_it_holds(tmp_path, keep):
    table = tmp_path / "table.csv"
    table.write_text("4")
    (tmp_path / "elsewhere").mkdir()
    other = tmp_path / "elsewhere" / "table.csv"
    other.write_text("4")
    assert here(read, [(1, table)], keep=keep)[0][0].value == 4.0
    table.unlink()  # the other has the same content, so that nothing is read
    store = _study._Kept(keep, read)
    assert store.key((1, other)) in store.rows
    other.write_text("5")
    assert here(read, [(1, other)], keep=keep)[0][0].value == 5.0
    assert store.key((1, table)) not in store.rows and store.key((1, tmp_path)) != store.key((1, other))


def test_numbers_that_are_not_finite_are_kept_in_lines_of_json(keep):
    here(not_finite, [(1,)], keep=keep)
    json.loads(keep.read_text(), parse_constant=pytest.fail)
    ((row,), _) = here(not_finite, [(1,)], keep=keep)
    assert math.isnan(row.value) and row.perhaps == -math.inf and row.pair == (0.1, "x")


@pytest.mark.parametrize("left", [1, 5, 40, 130, -1])
def test_a_last_line_that_was_cut_is_made_again(log, keep, left):
    here(square, tasks(log, 3), keep=keep)
    lines = keep.read_bytes().splitlines(keepends=True)
    keep.write_bytes(lines[0] + lines[1] + lines[2][:left])  # -1: a whole line without its end
    for _ in range(2):
        assert here(square, tasks(log, 4), keep=keep)[0] == [square(n) for n in range(4)]
    assert calls(log) == [0, 1, 2, *([] if left == -1 else [2]), 3]
    assert [json.loads(line)["task"][0] for line in keep.read_bytes().splitlines()] == [0, 1, 2, 3]


def test_a_line_cut_inside_a_character_is_made_again(log, keep):
    here(square, tasks(log, 1), keep=keep)
    keep.write_bytes(keep.read_bytes().partition("ü".encode())[0] + "ü".encode()[:1])
    assert here(square, tasks(log, 1), keep=keep)[0] == [square(0)] and calls(log) == [0, 0]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda entry: entry["row"].update(extra=1), "extra is no field"),
        (lambda entry: entry["row"].pop("value"), "missing 1 required keyword-only argument: 'value'"),
        (lambda entry: entry.pop("row"), "'row' is missing"),
        (lambda entry: entry.pop("of"), "'of' is missing"),
        (lambda entry: entry.update(row=[1, 2]), "."),
    ],
)
@pytest.mark.parametrize("last", [True, False])
def test_a_line_of_another_version_is_refused(log, keep, change, why, last):
    here(square, tasks(log, 2), keep=keep)
    lines = keep.read_text().split("\n")[:-1]
    entry = json.loads(lines[last])
    change(entry)
    lines[last] = json.dumps(entry)
    before = "\n".join(lines) + "\n"
    keep.write_text(before)
    with pytest.raises(
        DataError, match=rf"runs\.jsonl, line {1 + last} is no run of this version \(.*{why}.*\)\. Name"
    ):
        here(square, tasks(log, 3), keep=keep)
    assert keep.read_text() == before and calls(log) == [0, 1]


@pytest.mark.parametrize(
    "text", ["year,hare,lynx", "year,hare\n1900,30\n", "# notes\n", "{}", '{"of": 3, "rows": []}\n']
)
def test_a_file_of_something_else_is_refused_and_stays(log, keep, text):
    keep.parent.mkdir()
    keep.write_text(text)
    if text.startswith('{"of"'):  # of another comparison, for all that can be known
        here(square, tasks(log, 1), keep=keep)
        assert keep.read_text().startswith(text)
        return
    with pytest.raises(DataError, match=r"line 1 is no run of this version"):
        here(square, tasks(log, 1), keep=keep)
    assert keep.read_text() == text and calls(log) == []


def test_a_file_that_cannot_be_used_is_refused_before_the_first_run(log, tmp_path):
    with pytest.raises(DataError, match=r"cannot be used: Is a directory"):
        here(square, tasks(log), keep=tmp_path)
    with pytest.raises(DataError, match=r"is no part"):
        here(square, tasks(log), part="3/2")
    assert calls(log) == []


def test_a_process_that_dies_is_told_in_one_message(keep):
    with pytest.raises(
        UdesysError, match=r"exit status 3\. Memory may be short.*runs\.jsonl; the same command goes on"
    ):
        carry_out(gone, [(3,)], None, keep=keep)


# ------------------------------------------------------------------ values
def test_a_row_comes_back_from_json_as_it_was(keep):
    row = Row(
        n=3,
        value=0.1 + 0.2,
        nested={"a": {"b": (1.0, 2.0)}, "c": {}},
        by_number={3: 1.0},
        several=[(1, 2), (3, 4)],
        perhaps=2.0,
        perhaps_pair=(1.0, 2.0),
        inner=Part(sizes=(1, 2, 3)),
    )
    store = _study._Kept(keep, square)
    store.add((3,), row, 1.0)
    back, seconds = _study._Kept(keep, square).rows["[3]"]
    assert (back, seconds) == (row, 1.0)
    assert type(back.nested["a"]["b"]) is tuple and type(back.inner) is Part and type(back.file) is type(row.file)


def test_a_choice_of_words_and_a_union_of_kinds_stay_what_they_are():
    assert restored(typing.Literal["a", "b"], "a") == "a"
    assert restored(float | str, "a") == "a" and restored(float | None, None) is None
    with pytest.raises(ValueError, match=r"argument 2"):
        restored(tuple[int, int], [1, 2, 3])


# ------------------------------------------------------------------ the study
def study(**more):
    given = {
        "bench": "squares",
        "summary": {"right at 1 %, %": 50.0, "worst": math.inf},
        "rows": [square(2), Row(n=1, value=math.nan, perhaps=np.float64(1.5))],
        "published": {"Euclid": {"right at 1 %, %": 100}},
        "rivals": {"abacus": {"right at 1 %, %": np.int64(3)}},
        "packages": ("numpy", "no-such-package"),
        "seconds": 1.26,
        "tables": "| a |",
    }
    return Study(**{**given, **more})


def test_json_is_one_object_with_the_same_keys_always(capsys):
    for given in (study(), study(rows=[], rivals={}, published={}, summary={})):
        given.show(True)
        printed = capsys.readouterr().out
        found = json.loads(printed, parse_constant=pytest.fail)
        assert list(found) == KEYS
        assert len([line for line in printed.split("\n") if line.startswith('  {"n"')]) == len(given.rows)
    found = study().to_dict()
    assert found["summary"] == {"right at 1 %, %": 50.0, "worst": None} and found["seconds"] == 1.3
    assert found["rows"][0]["inner"] == {"sizes": [2, 1]} and found["rows"][1]["value"] is None
    assert found["rivals"] == {"abacus": {"right at 1 %, %": 3}}
    study().show(False)
    assert capsys.readouterr().out == "| a |\n"


def test_texts_that_look_like_the_place_of_the_rows_do_no_harm():
    given = study(rows=[Row(n=1, value=1.0, text='"@rows"')], command='say "@rows"')
    assert json.loads(_study.written(given.to_dict())) == given.to_dict()


def test_the_versions_are_those_of_what_is_installed():
    found = versions(("pytest", "no-such-package"))
    assert found["pytest"] == pytest.__version__ and found["numpy"] == np.__version__
    assert "no-such-package" not in found and not any("+" in version for version in found.values())
    assert {"udesys", "python", "torch"} <= found.keys()


def test_the_command_is_given_without_how_it_is_run_and_shown(monkeypatch):
    words = "bench lv --keep k.jsonl --noise 1% --jobs 4 --json --jobs=3 --keep=b.jsonl --part 1/2".split()
    monkeypatch.setattr(sys, "argv", ["/usr/bin/udesys", *words, "my table.csv"])
    assert command_line() == "udesys bench lv --noise 1% --part 1/2 'my table.csv'"
    assert study(command="udesys bench squares").to_dict()["command"] == "udesys bench squares"
    assert study().to_dict()["command"].startswith("udesys bench lv --noise 1%")


def test_a_table_is_markdown_whatever_its_cells_hold():
    lines = markdown(["law|form", "n"], [["|x|", 1], ["a\nb", None], ["c", "long cell"]]).splitlines()
    assert lines == [
        r"| law\|form |         n |",
        r"| --------- | --------: |",
        r"| \|x\|     |         1 |",
        r"| a b       |         - |",
        r"| c         | long cell |",
    ]
    assert markdown(["a"], []).splitlines() == ["| a   |", "| --- |"]
    with pytest.raises(ValueError, match=r"zip|index|argument"):
        markdown(["a", "b"], [["x", 1, 2]])


def test_shares_are_told_in_words():
    assert (percent(19, 20), percent(0, 3), percent(0, 0)) == ("95 %", "0 %", "-")


# ------------------------------------------------------------------ every comparison
@pytest.mark.parametrize("name", list(comparisons()))
def test_a_comparison_can_be_shared_out_kept_and_read_by_programs(name):
    module = comparisons()[name]
    given = typing.get_type_hints(module.run, include_extras=True)
    options = {option: given.get(option) for option in ("part", "keep", "json")}
    assert options == {"part": _study.Part, "keep": _study.Keep, "json": _study.Json}
    assert callable(module.summary) and callable(module.table)
    assert module.EXAMPLE.startswith(f"udesys bench {name}")
