"""The run directory: what is in it, that it is whole or absent, and what is never replaced."""

import csv
import dataclasses
import json
import shutil

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from udesys import runs
from udesys.assess.estimate import Estimate
from udesys.data import Dataset, Trajectory
from udesys.discover import Discovery, RankedModel, Residual
from udesys.errors import UdesysError
from udesys.model import HybridODE, Parameter
from udesys.model.closed_form import ClosedForm, Formula
from udesys.model.grammar import parse_expression
from udesys.spec import load_spec

FILES = ["candidates.csv", "data.safetensors", "equations.py", "equations.tex", "law.json", "log.jsonl"]
FILES += ["predictions.csv", "question.json", "result.json", "run.json"]
T = np.array([0.0, 0.1, 0.3, 0.7])


def make_law(**changes) -> Discovery:
    """A small law of two states, y unmeasured, without the fit it would come from."""
    model = HybridODE(
        "x' = a*x + NN1(x, y)\ny' = NN2(x, y) - d*y",
        parameters={"a": Parameter(1.0, unit="1/h"), "d": 1.8},
    )
    formulas = {
        "NN1": Formula(parse_expression("c0*x*y"), {"c0": -0.9}),
        "NN2": Formula(parse_expression("c0*x*y"), {"c0": 0.8}),
    }
    known = Estimate(value=-0.9, stderr=0.01, interval=(-0.92, -0.88))
    residuals = {term: Residual(expression="c0*x*y", constants={"c0": known}) for term in model.terms}
    best = RankedModel(
        residuals=dict.fromkeys(model.terms, "c0*x*y"), criterion=-10.5, delta=0.0, n_constants=3,
        error={"x": 0.1}, heldout_error={"x": 0.2},
    )  # fmt: skip
    lost = dataclasses.replace(
        best, criterion=np.inf, delta=np.inf, error={"x": np.nan}, heldout_error={}, diverged=True
    )
    data = dataset(("A", T, [0.4, 0.3, np.nan, 0.2]), ("B", T + 1, [0.5, 0.4, 0.3, 0.2]))
    law = Discovery(
        model=model, data=data, seed=3, status="ok",
        heldout=dataset(("A", [0.8, 0.9], [0.2, 0.2]), ("C", T, T)),
        closed_form=ClosedForm(model, formulas, {"a": 1.3}), residuals=residuals,
        parameters={"a": Estimate(value=1.3, unit="1/h"), "d": Estimate(value=1.8, fixed=True)},
        initial={"A": {"x": 0.44, "y": 4.6}, "B": {"x": 0.5, "y": 4.0}}, noise={"x": 0.01},
        error={"fit": {"x": 0.1}, "heldout": {"x": 0.2}}, candidates=(best, lost),
        visited={"x": (0.2, 0.5), "y": (1.0, 4.6)}, warnings=(), timing_s={"total": 1.0}, engines=("sparse",),
        fit=None,
    )  # fmt: skip
    return dataclasses.replace(law, **changes)


def dataset(*trajectories):
    made = [Trajectory(name=name, t=t, y=np.array(x)[:, None]) for name, t, x in trajectories]
    return Dataset(columns=("x",), trajectories=tuple(made), time="t", source="x.csv", sha256="0" * 64)


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def table(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


# --- what is in it -----------------------------------------------------------------------------------


def test_a_run_has_its_files_and_nothing_else(tmp_path):
    folder = runs.save(make_law(), tmp_path / "deep" / "a")
    assert folder == tmp_path / "deep" / "a"
    assert sorted(contents(tmp_path)) == [f"deep/a/{name}" for name in FILES]


def test_saving_twice_gives_the_same_bytes(tmp_path):
    log = [{"stage": "fit", "step": 1, "value": 2.5}]
    first = runs.save(make_law(), tmp_path / "a", log=log)
    assert contents(first) == contents(runs.save(make_law(), tmp_path / "b", log=log))


def test_the_result_is_the_law_with_versions_and_the_hash(tmp_path):
    law = make_law()
    result = runs.load_result(runs.save(law, tmp_path / "a"))
    versions = result.pop("versions")
    assert list(versions) == ["udesys", "python", "torch", "numpy", "scipy", "sympy", "numba"]
    assert versions["numpy"] == np.__version__
    assert result.pop("data_sha256") == "0" * 64
    assert list(result) == list(law.to_dict())
    assert result["equations"]["x"] == "1.3*x - 0.9*x*y"
    assert (tmp_path / "a" / "result.json").read_text(encoding="utf-8") == runs.result_text(law)


def test_what_is_no_number_is_null_in_the_result_and_empty_in_the_tables(tmp_path):
    folder = runs.save(make_law(), tmp_path / "a")
    lost = runs.load_result(folder)["candidates"][1]
    assert (lost["criterion"], lost["error"], lost["diverged"]) == (None, {"x": None}, True)
    same = {"NN1": "c0*x*y", "NN2": "c0*x*y", "n_constants": "3", "complexity": "0", "engine.NN1": "", "engine.NN2": ""}
    scored = {"criterion": "-10.5", "delta": "0.0", "diverged": "false", "error.x": "0.1"}
    nothing = {"criterion": "", "delta": "", "diverged": "true", "error.x": ""}
    assert table(folder / "candidates.csv") == [
        {"rank": "1", **same, **scored, "heldout_error.x": "0.2"},
        {"rank": "2", **same, **nothing, "heldout_error.x": ""},
    ]
    assert table(folder / "predictions.csv")[2]["x"] == ""


def test_predictions_are_the_law_at_the_sample_times_and_in_the_held_out_end(tmp_path):
    rows = table(runs.save(make_law(), tmp_path / "a") / "predictions.csv")
    assert list(rows[0]) == ["trajectory", "part", "t", "x", "predicted.x", "predicted.y"]
    assert [(row["trajectory"], row["part"]) for row in rows] == (
        [("A", "fit")] * 4 + [("A", "heldout")] * 2 + [("B", "fit")] * 4
    )

    def rhs(t, x):
        return [1.3 * x[0] - 0.9 * x[0] * x[1], 0.8 * x[0] * x[1] - 1.8 * x[1]]

    t = np.array([*T, 0.8, 0.9])
    exact = solve_ivp(rhs, (0, 0.9), [0.44, 4.6], "DOP853", t, rtol=1e-11, atol=1e-12).y.T
    predicted = [[float(row["predicted.x"]), float(row["predicted.y"])] for row in rows[:6]]
    # The law's own simulation keeps six digits; it is compared, not judged, here.
    np.testing.assert_allclose(predicted, exact, rtol=1e-6)


def test_a_law_that_blows_up_in_the_held_out_end_predicts_nothing_there(tmp_path):
    model = HybridODE("x' = NN(x)")
    form = ClosedForm(model, {"NN": Formula(parse_expression("c*x^2"), {"c": 1.0})}, {})
    # x = 1/(1 - t), so that it ends at t = 1.
    law = make_law(
        model=model, closed_form=form, data=dataset(("A", [0.0, 0.5], [1, 2])),
        heldout=dataset(("A", [2.0, 3.0], [0, 0])), initial={"A": {"x": 1.0}},
        residuals={"NN": Residual(expression="c*x^2", constants={})}, candidates=(),
    )  # fmt: skip
    rows = table(runs.save(law, tmp_path / "a") / "predictions.csv")
    assert float(rows[1]["predicted.x"]) == pytest.approx(2.0, rel=1e-5)
    assert [row["predicted.x"] for row in rows[2:]] == ["", ""]


def test_the_log_has_one_event_a_line(tmp_path):
    events = [
        {"stage": "fit", "step": 1, "value": float("nan")},
        {"stage": "select", "step": 2, "value": "c0*x"},
    ]
    lines = (runs.save(make_law(), tmp_path / "a", log=events) / "log.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [{**events[0], "value": None}, events[1]]


def test_the_fitted_hybrid_is_kept_without_a_pickle(data_dir, tmp_path):
    from safetensors import safe_open

    from udesys.fit import fit

    spec = load_spec(data_dir / "lotka_volterra.toml")
    fitted = fit(spec.model, spec.data)
    folder = runs.save(make_law(fit=fitted), tmp_path / "a")
    with safe_open(folder / "model.safetensors", "numpy") as file:
        np.testing.assert_array_equal(file.get_tensor("theta"), fitted.unknowns.theta)
        np.testing.assert_array_equal(file.get_tensor("NN2.width"), fitted.problem.field.scales[1].width)
        about = json.loads(file.metadata()["udesys"])
    assert about["networks"]["NN1"]["sizes"] == [3, 8, 1]  # two arguments and their product
    assert about["equations"] == spec.model.text
    again = runs.save(make_law(fit=fitted), tmp_path / "b")
    assert contents(folder) == contents(again)


# --- whole or absent ---------------------------------------------------------------------------------


def test_a_run_is_replaced_only_on_request_and_then_as_a_whole(tmp_path):
    folder = runs.save(make_law(), tmp_path / "a")
    (folder / "figures").mkdir()
    (folder / "figures" / "old.png").write_text("old")
    before = contents(folder)
    with pytest.raises(UdesysError, match=r"a already holds a run\. .*overwrite=True"):
        runs.save(make_law(seed=4), folder)
    assert contents(folder) == before
    runs.save(make_law(seed=4), folder, overwrite=True)
    assert runs.load_result(folder)["seed"] == 4
    assert sorted(contents(tmp_path)) == [f"a/{name}" for name in FILES]


def test_an_empty_folder_is_used_and_any_other_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    runs.save(make_law(), tmp_path / "empty")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years")
    with pytest.raises(UdesysError, match="mine holds files that are no run"):
        runs.save(make_law(), tmp_path / "mine", overwrite=True)
    with pytest.raises(UdesysError, match=r"thesis.txt is a file, not a folder"):
        runs.save(make_law(), tmp_path / "mine" / "thesis.txt", overwrite=True)
    assert list(contents(tmp_path / "mine")) == ["thesis.txt"]


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("place", ["predictions_csv", "_put_in_place"])
def test_a_failure_leaves_nothing_new(failure, place, tmp_path, monkeypatch):
    folder = runs.save(make_law(), tmp_path / "old")
    before = contents(tmp_path)

    def fail(*_):
        raise failure

    monkeypatch.setattr(runs.saving, place, fail)
    for name in ("old", "new"):
        with pytest.raises((UdesysError, KeyboardInterrupt)) as refused:
            runs.save(make_law(seed=4), tmp_path / name, overwrite=True)
        if isinstance(failure, OSError):
            assert refused.match("cannot be written: No space left on device. Free some space")
    assert contents(tmp_path) == before
    assert list(tmp_path.iterdir()) == [folder]


def test_a_run_that_cannot_be_replaced_stays(tmp_path, monkeypatch):
    folder = runs.save(make_law(), tmp_path / "a")
    before = contents(tmp_path)
    rename = type(folder).rename

    def fail_on_partial(path, target):
        if path.name.endswith(".partial"):
            raise PermissionError(13, "Permission denied")
        return rename(path, target)

    monkeypatch.setattr(type(folder), "rename", fail_on_partial)
    with pytest.raises(UdesysError, match=r"a cannot be written: Permission denied\. Name another folder"):
        runs.save(make_law(seed=4), folder, overwrite=True)
    assert contents(tmp_path) == before


# --- reading -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"there is no run in .*: run.json is missing. Make one with  udesys discover SPEC -o"),
        (b"", r"run.json is damaged: it is no JSON"),
        (b"\xff\xfe", r"run.json is damaged: it is no JSON"),
        (b"[" * 100_000, r"run.json is damaged: it is no JSON"),
        (b"[1]", r"run.json has schema None, not 1: another version of udesys wrote it"),
        (b'{"schema": 2}', r"run.json has schema 2, not 1"),
        (b'{"schema": 1, "files": {}}', r"run.json is damaged: it is not what was written"),
    ],
)
def test_a_run_that_cannot_be_read_is_refused(content, message, tmp_path):
    if content is not None:
        (tmp_path / "run.json").write_bytes(content)
    for read in (runs.load_result, runs.load_run):
        with pytest.raises(UdesysError, match=message):
            read(tmp_path)


def test_a_run_can_be_moved(tmp_path):
    shutil.move(runs.save(make_law(), tmp_path / "a"), tmp_path / "b")
    assert runs.load_result(tmp_path / "b")["status"] == "ok"
