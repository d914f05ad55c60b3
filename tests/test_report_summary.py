"""The printed text of a discovery: every fact in it, aligned, and honest about what is not known."""

from dataclasses import replace

import numpy as np
import pytest

from udesys.assess.estimate import Estimate
from udesys.assess.summary import html, summary
from udesys.data import Dataset, Trajectory
from udesys.discover import Discovery, RankedModel, Residual
from udesys.model import HybridODE, Parameter
from udesys.model import tree as T
from udesys.model.closed_form import ClosedForm, Formula

EQUATIONS = "prey' = alpha*prey + NN1(prey, predator)\npredator' = NN2(prey, predator) - delta*predator - g"
ERROR = {"fit": {"prey": 0.021, "predator": 0.034}, "heldout": {"prey": 0.048, "predator": 0.061}}


def ranked(first, second, delta, **changes):
    return RankedModel(
        residuals={"NN1": first, "NN2": second},
        criterion=delta - 210.3,
        delta=delta,
        n_constants=4,
        error=ERROR["fit"],
        heldout_error=ERROR["heldout"],
        **changes,
    )


@pytest.fixture
def law():
    """Hare and lynx with two interactions found, one parameter at its bound and one given."""
    y = np.array([[30.0, 4.0], [47.2, 6.1], [70.2, 9.8]])
    data = Dataset(
        columns=("prey", "predator"),
        trajectories=(Trajectory(name="1", t=np.arange(3.0), y=y),),
        time="year",
        source="lynx_hare.csv",
    )
    parameters = {"alpha": Parameter(1.0, unit="1/year"), "delta": Parameter(1.5, bounds=(0, 1.79))}
    model = HybridODE(EQUATIONS, parameters={**parameters, "g": 9.81})
    c0, prey, predator = map(T.Symbol, ("c0", "prey", "predator"))
    eaten = T.mul(T.mul(c0, prey), predator)
    formulas = {"NN1": Formula(eaten, {"c0": -0.90312}), "NN2": Formula(eaten, {"c0": 0.796})}
    text = "c0*prey*predator"
    return Discovery(
        model=model,
        data=data,
        heldout=data,
        seed=7,
        status="ok",
        closed_form=ClosedForm(model, formulas, {"alpha": 1.30217, "delta": 1.79}),
        residuals={
            "NN1": Residual(expression=text, constants={"c0": known(-0.90312, 0.0123)}),
            "NN2": Residual(expression=text, constants={"c0": known(0.796, 0.031)}),
        },
        parameters={
            "alpha": known(1.30217, 0.0112, unit="1/year", start=1.0),
            "delta": Estimate(value=1.79, start=1.5, at_bound=1.79),
            "g": Estimate(value=9.81, fixed=True, unit="m/s^2"),
        },
        initial={"1": {"prey": 30.0, "predator": 4.0}},
        noise={"prey": 0.02, "predator": 0.03},
        error=ERROR,
        candidates=(ranked(text, text, 0.0), ranked(text, "c0*predator", 8.2), ranked("c0*prey", text, 31.0)),
        visited={"prey": (0.1, 3.9), "predator": (0.2, 5.1)},
        warnings=("delta stopped at its bound; widen it or fix it.",),
        timing_s={"fit": 0.9, "search": 1.1, "total": 2.84},
        engines=("sparse",),
        fit=None,
    )


def known(value, half, **more):
    return Estimate(value=value, stderr=half / 1.96, interval=(value - half, value + half), **more)


def line_with(text, start):
    (line,) = [line for line in text.splitlines() if line.strip().startswith(start)]
    return line


def test_the_first_lines_hold_the_source_and_the_law_with_its_numbers(law):
    lines = summary(law).splitlines()
    assert lines[0] == "Discovery  lynx_hare.csv   1 trajectory, 3 samples, seed 7   done in 2.8 s"
    assert lines[1] == "  prey'     =  1.302*prey - 0.9031*prey*predator"
    assert lines[2] == "  predator' =  0.796*prey*predator - 1.79*predator - 9.81"
    assert "  NN1 =  c0*prey*predator" in lines


def test_constants_show_their_intervals_units_and_starts(law):
    text = summary(law)
    assert line_with(text, "alpha").split() == ["alpha", "1.302", "0.011", "[1.291,", "1.313]", "1/year", "1"]
    assert line_with(text, "NN1.c0").split() == ["NN1.c0", "-0.903", "0.012", "[-0.915,", "-0.891]"]
    assert line_with(text, "g").split() == ["g", "9.81", "fixed", "m/s^2"]


def test_a_bound_and_a_number_that_the_data_do_not_determine_are_marked(law):
    text = summary(law)
    assert line_with(text, "delta").endswith("AT ITS UPPER BOUND 1.79")
    assert line_with(text, "delta").split()[1:4] == ["1.79", "n/a", "n/a"]
    lower = Estimate(value=0.0, at_bound=0.0, start=1.5)
    unknown = Estimate(value=1.3, identifiable=False)
    text = summary(replace(law, parameters={**law.parameters, "delta": lower, "alpha": unknown}))
    assert line_with(text, "delta").endswith("AT ITS LOWER BOUND 0")
    assert line_with(text, "alpha").endswith("NOT IDENTIFIABLE")
    assert "These data do not determine alpha." in " ".join(text.split())


@pytest.mark.parametrize(
    ("value", "half", "cells"),
    [
        (1234.56, 230.0, ["1235", "230"]),
        (6.02e-9, 1.4e-10, ["6.02e-09", "1.4e-10"]),
        (2.047e-5, 6.3e-6, ["2.05e-05", "6.3e-06"]),
        (-0.000481, 0.000072, ["-0.000481", "0.000072"]),
        (2.5e9, 3.0e7, ["2.500e+09", "3.0e+07"]),
        (0.5, 0.0, ["0.5", "0"]),
    ],
)
def test_a_constant_is_printed_to_the_second_digit_of_its_half_width(law, value, half, cells):
    text = summary(replace(law, parameters={"alpha": known(value, half)}))
    assert line_with(text, "alpha").split()[1:3] == cells


def test_errors_stand_beside_the_noise(law):
    text = summary(law)
    assert line_with(text, "Error").split("   ")[-1].strip() == "RMSE held out"
    assert "  predator       0.03      0.034           0.061" in text.splitlines()
    alone = summary(replace(law, heldout=None, error={"fit": law.error["fit"], "heldout": {}}))
    assert "held out" not in alone


ENGINES = {"NN1": "sparse + operon", "NN2": "sparse"}


def test_candidates_near_the_best_are_listed_with_the_pick_marked(law):
    law = replace(law, candidates=(replace(law.candidates[0], complexity=12, engines=ENGINES), *law.candidates[1:]))
    text = summary(law)
    # two columns with held-out errors leave no room for the formulas: one number in units of the noise each
    assert line_with(text, ">>>>").split()[1:7] == ["NN1", "=", "c0*prey*predator", "4", "12", "0.0"]
    assert line_with(text, ">>>>").endswith("operon, sparse")
    assert line_with(text, "Candidates").split()[-3:] == ["held", "out/noise", "engine"]
    assert "NN2 = c0*predator" in text and "NN1 = c0*prey " not in text
    assert "       and 1 more" in text.splitlines()
    assert "No other form tried comes within 6 of the best criterion (a likelihood ratio of about 20" in text


def test_at_most_twelve_candidates_are_listed(law):
    many = tuple(ranked(f"c0*prey**{k}", "c0*predator", 7.0 + 0.1 * k) for k in range(2, 25))
    text = summary(replace(law, candidates=(law.candidates[0], *many)))
    assert text.count("NN1 = c0*prey") == 12 and "and 12 more" in text


def test_rivals_that_the_data_cannot_tell_are_named_by_where_they_differ(law):
    rival = ranked("c0*prey*predator", "c0*prey*predator**2", 2.1)
    lost = ranked("c0*exp(prey)", "c0", 3.0, diverged=True)
    text = " ".join(summary(replace(law, candidates=(law.candidates[0], rival, lost))).split())
    tie = "These data cannot tell 2 forms apart: NN2 = c0*prey*predator; NN2 = c0*prey*predator**2."
    assert tie in text and "diverged diverged" in text
    assert "Only this form was tried." in summary(replace(law, candidates=law.candidates[:1]))


def test_many_columns_share_one_error_in_units_of_the_noise(law):
    names = tuple(f"species_{k}" for k in range(5))
    runs = (Trajectory(name="1", t=[0.0, 1.0], y=np.ones((2, 5))),)
    many = replace(law.data, columns=names, trajectories=runs)
    best = replace(law.candidates[0], error=dict.fromkeys(names, 0.06), heldout_error={})
    text = summary(replace(law, data=many, noise=dict.fromkeys(names, 0.03), candidates=(best,)))
    assert line_with(text, "Candidates").split()[-3:] == ["RMSE/noise", "held", "out/noise"]
    assert line_with(text, ">>>>").split()[-2:] == ["2", "n/a"]


def test_the_law_that_was_chosen_is_the_pick_wherever_it_ranks(law):
    better = ranked("c0*prey", "c0*predator", 0.0)
    text = summary(replace(law, candidates=(better, ranked("c0*prey*predator", "c0*prey*predator", 1.5))))
    assert line_with(text, ">>>>").split()[3] == "c0*prey*predator"
    assert "(picked: the fewest constants within 6 of the lowest criterion)" in text


def test_the_end_says_where_the_law_holds_and_what_to_beware_of(law):
    lines = summary(law).splitlines()
    assert lines[-2] == "Visited: prey 0.1 to 3.9, predator 0.2 to 5.1 (no claim outside)"
    assert lines[-1] == "Warning: delta stopped at its bound; widen it or fix it."


def test_a_discovery_that_failed_says_so_in_its_first_line(law):
    failed = replace(law, status="diverged", candidates=(), error={"fit": {"prey": np.nan}, "heldout": {}})
    text = summary(failed)
    assert text.splitlines()[0].endswith("diverged after 2.8 s")
    assert line_with(text, "prey  ").split() == ["prey", "0.02", "n/a"]


def test_lines_stay_narrow_and_end_without_spaces(law):
    long = ranked(" + ".join(f"c{k}*prey**{k}" for k in range(12)), "c0*predator", 2.0)
    text = summary(replace(law, candidates=(law.candidates[0], long), warnings=("word " * 60,)))
    assert max(map(len, text.splitlines())) < 110
    assert all(line == line.rstrip() for line in text.splitlines())


def test_a_second_order_state_has_two_primes():
    data = Dataset(
        columns=("theta",),
        trajectories=(Trajectory(name="1", t=[0.0, 1.0], y=[[0.1], [0.2]]),),
        time="t",
        source="pendulum.csv",
    )
    model = HybridODE("theta'' = NN(theta)")
    formula = Formula(T.mul(T.Symbol("c0"), T.call("sin", T.Symbol("theta"))), {"c0": 64.22})
    closed = ClosedForm(model, {"NN": formula}, {})
    text = summary(
        Discovery(
            model=model,
            data=data,
            heldout=None,
            seed=0,
            status="ok",
            closed_form=closed,
            residuals={},
            parameters={},
            initial={},
            noise={},
            error={"fit": {}},
            candidates=(),
            visited={},
            warnings=(),
            timing_s={"fit": 1.0},
            engines=(),
            fit=None,
        )
    )
    assert text.splitlines()[1] == "  theta'' =  64.22*sin(theta)"


def test_a_notebook_gets_the_same_text_escaped(law):
    page = html(replace(law, warnings=("a < b",)))
    assert page.startswith("<pre>Discovery  lynx_hare.csv") and "a &lt; b" in page and "prey&#x27;" in page
