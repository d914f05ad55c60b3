"""What a run keeps of a law is the law: read back, it says, draws and does the same."""

import functools
from dataclasses import replace

import numpy as np
import pytest
from laws import discovered, fitted, half_known, lotka_volterra
from test_runs import contents, make_law

import udesys
from udesys import runs
from udesys.errors import ModelError, UdesysError
from udesys.fit.keeping import put_together, taken_apart
from udesys.model import HybridODE, Parameter
from udesys.model import tree as T
from udesys.model.grammar import parse_expression
from udesys.model.plain import from_plain, to_plain
from udesys.runs.files import from_exact_json, to_exact_json


def driven():
    """A driven pendulum with a covariate, an observable and a held-out end, two runs."""
    t = np.linspace(0, 6, 61)
    runs_ = []
    for k, mass in enumerate((1.0, 2.0)):
        force = np.sin(t * (1 + k))
        x = np.exp(-0.2 * t) * np.cos(t) + 0.1 * force
        runs_.append((t, np.stack([x, 2 * x], 1), force[:, None], [mass]))
    from laws import dataset

    data = dataset(("x", "signal"), *runs_, inputs={"force": "linear"}, covariates=("mass",))
    model = HybridODE(
        "x'' = force/mass - k*x - NN(x')",
        parameters={"k": Parameter(0.8, bounds=(0, 5), unit="1/s^2")},
        inputs=("force",),
        covariates=("mass",),
        observe={"signal": "gain*x"},
    )
    return model, data


@functools.cache
def driven_law():
    model, data = driven()
    return udesys.discover(model, data, heldout=data, options=udesys.SearchOptions(engines=("sparse",)))


def test_a_fit_is_put_together_to_the_last_bit():
    fit = fitted()
    arrays, plain = taken_apart(fit)
    again = put_together(fit.model, fit.data, arrays, from_exact_json(to_exact_json(plain)))
    assert str(again) == str(fit)
    assert again.to_dict() == fit.to_dict()
    for name, term in fit.terms.items():
        np.testing.assert_array_equal(again.terms[name].std, term.std)
    points = np.array([[0.5, 1.0], [1.5, 3.0]])
    np.testing.assert_array_equal(again.term("NN1", points), fit.term("NN1", points))
    np.testing.assert_array_equal(again.simulate([0.0, 1.0, 3.5]), fit.simulate([0.0, 1.0, 3.5]))


def test_a_fit_does_not_fit_another_model():
    arrays, plain = taken_apart(fitted())
    other = HybridODE("prey' = NN1(prey)\npredator' = NN2(prey, predator)")
    with pytest.raises((ValueError, KeyError)):
        put_together(other, lotka_volterra(), arrays, plain)


def test_a_law_saved_from_python_is_the_same_law_when_it_is_loaded(tmp_path):
    law = discovered()
    law.save(tmp_path / "a")
    again = udesys.load_run(tmp_path / "a")
    assert isinstance(again, udesys.Law)
    assert str(again) == str(law)
    assert again.to_dict() == law.to_dict()
    t = np.linspace(0, 5, 20)
    assert again.forecast(t).equals(law.forecast(t))
    assert again.bands(t).equals(law.bands(t))
    assert again.data.sha256 == law.data.sha256
    again.save(tmp_path / "b")
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_inputs_covariates_observables_and_held_out_runs_are_kept(tmp_path):
    law = driven_law()
    law.save(tmp_path / "a")
    again = udesys.load_run(tmp_path / "a")
    assert str(again) == str(law)
    assert again.heldout.inputs == {"force": "linear"}
    assert again.model.parameters["k"] == law.model.parameters["k"]
    t = law.data.trajectories[1].t
    assert again.forecast(t, trajectory=1).equals(law.forecast(t, trajectory=1))


def test_a_law_without_its_fit_is_kept_with_its_infinities(tmp_path):
    law = make_law()
    again = runs.load_run(runs.save(law, tmp_path / "a"))
    assert again.fit is None
    assert again.candidates[1].criterion == np.inf and np.isnan(again.candidates[1].error["x"])
    assert str(again) == str(law)


def test_a_run_with_tensors_of_another_is_refused(tmp_path):
    runs.save(make_law(), tmp_path / "a")
    half_known()
    other = runs.save(make_law(seed=9), tmp_path / "b")
    for name in contents(tmp_path / "a"):
        before = (other / name).read_bytes()
        swapped = (tmp_path / "a" / name).read_bytes()
        if before == swapped:
            continue
        (other / name).write_bytes(swapped)
        with pytest.raises(UdesysError, match=r"is not what the run wrote"):
            runs.load_run(other)
        (other / name).write_bytes(before)
    runs.load_run(other)


@pytest.mark.parametrize("text", ["c0*x*y/(1 + x**2)", "-exp(-x)*min(x, 2.5)", "sign(x)*abs(y)**1.5", "3", "x"])
def test_a_tree_is_the_same_after_json(text):
    tree = parse_expression(text)
    assert from_plain(from_exact_json(to_exact_json(to_plain(tree)))) == tree


@pytest.mark.parametrize(
    "value", [None, True, [], ["exec", "x"], ["add", 1], {"add": 1}, ["sin", "x", "y"], ["x", ["y"]]]
)
def test_what_is_no_tree_is_refused(value):
    with pytest.raises(ModelError, match="is no formula"):
        from_plain(value)


def test_a_tree_without_end_is_refused():
    value = "x"
    for _ in range(500):
        value = ["neg", value]
    with pytest.raises(ModelError, match="is no formula"):
        from_plain(value)


def test_exact_json_keeps_every_number():
    values = {"a": [0.1 + 0.2, float("inf"), float("-inf")], "b": {"float": 1}, "c": None}
    kept = from_exact_json(to_exact_json({key: values[key] for key in ("a", "c")}))
    assert kept == {"a": values["a"], "c": None}
    assert np.isnan(from_exact_json(to_exact_json({"n": float("nan")}))["n"])
    assert isinstance(from_plain(T.Number(2).value), T.Number)


def test_the_footing_of_a_law_is_kept_and_the_law_is_at_its_optimum_there(tmp_path):
    law = driven_law()
    law.save(tmp_path / "a")
    again = udesys.load_run(tmp_path / "a")
    for name in ("nodes", "steps", "x0", "measured_noise", "degrees"):
        np.testing.assert_array_equal(getattr(again.footing, name), getattr(law.footing, name))
    for name in ("t", "y", "mask", "sigma", "free", "pieces", "u", "memory", "profile", "stiff"):
        np.testing.assert_array_equal(getattr(again.footing.data, name), getattr(law.footing.data, name))
    refitter = again.footing.refitter(again.model)
    there = refitter.refit(again.closed_form, again.footing.x0, iterations=0)
    refit = refitter.refit(again.closed_form, again.footing.x0, iterations=60)
    assert there.cost == pytest.approx(refit.cost, rel=1e-3)
    assert [r.residuals for r in again.rivals] == [r.residuals for r in law.rivals]
    assert [r.criterion for r in again.rivals] == [r.criterion for r in law.rivals]


def test_squared_errors_count_in_units_of_their_noise_on_the_footing():
    law = discovered()
    refit = law.footing.refitter(law.model).refit(law.closed_form, law.footing.x0)
    assert refit.cost == pytest.approx(law.footing.degrees, rel=0.01)
    np.testing.assert_allclose(refit.form.values, law.closed_form.values, rtol=1e-4)


def test_what_is_found_out_later_is_added_to_a_run(tmp_path):
    law = discovered()
    law.save(tmp_path / "a")
    before = contents(tmp_path / "a")
    added = runs.assess_into(
        tmp_path / "a", lambda law: replace(law, warnings=("more",)), lambda law: {"note.txt": "x"}
    )  # fmt: skip
    assert added.warnings == ("more",)
    assert udesys.load_run(tmp_path / "a").warnings == ("more",)
    assert runs.load_result(tmp_path / "a")["warnings"] == ["more"]
    after = contents(tmp_path / "a")

    def failing(law):
        raise UdesysError("no")

    with pytest.raises(UdesysError, match="no"):
        runs.assess_into(tmp_path / "a", failing, lambda law: {})
    assert contents(tmp_path / "a") == after
    changed = {name for name in after if after[name] != before.get(name)}
    assert changed - {".lock"} == {"law.json", "result.json", "run.json", "note.txt"}
