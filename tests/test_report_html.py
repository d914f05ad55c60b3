"""The report of a discovery: its structure, what it says, that it loads nothing and trusts no text."""

import re
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from html import escape
from html.parser import HTMLParser

import numpy as np
import pytest
from laws import dataset, discover, discovered, half_known, lotka_volterra, once

from udesys.assess.covariance import Covariance
from udesys.assess.derived import Quantity
from udesys.assess.estimate import Estimate
from udesys.assess.identifiability import LawIdentifiability, Together
from udesys.assess.profile import Profile
from udesys.assess.support import FormShare, Support
from udesys.data import Dataset, Trajectory
from udesys.discover import Discovery, RankedModel, Residual
from udesys.model import HybridODE, Parameter
from udesys.model.closed_form import ClosedForm, Formula
from udesys.model.grammar import parse_expression
from udesys.model.mathml import NAMESPACE
from udesys.report.curves import inked, kept_rows
from udesys.report.html import report_html, write_report
from udesys.report.svg import SVG
from udesys.search import SearchOptions

VERSIONS = {"udesys": "0.1.0", "numpy": "2.4.6", "julia": None}
FORECAST, KINDS = "udesys forecast RUN --until T", ("wide", "narrow")
HOSTILE = "<script>alert(1)</script>"
BREAKING = '"><img src="http://evil.example/x.png" onerror=alert(1)></style></svg>'
SPLIT = (slice(26), slice(26, None))
VOID = {"meta", "br", "hr", "img", "link", "input"}


def estimate(value, **changes):
    return Estimate(**{"value": value, "stderr": 0.01, "interval": (value - 0.02, value + 0.02), **changes})


def made_law(equations, formula, constants, *, runs, columns=("x",), heldout=None, covariance=True, **model):
    """A Discovery of one missing term NN, put together by hand, without the fit that it would come from."""
    inputs = model.pop("given_inputs", {})
    asked = HybridODE(equations, inputs=list(inputs), **model)
    data = dataset(columns, *runs, inputs=inputs, covariates=asked.covariates)
    form = ClosedForm(asked, {"NN": Formula(parse_expression(formula), constants)}, {n: 0.2 for n in asked.estimated})
    residual = Residual(expression=form.residual_text("NN"), constants={c: estimate(v) for c, v in constants.items()})
    n, d = len(form.values), len(asked.states)
    known = Covariance(
        values=0.01**2 * (0.5 * np.eye(n) + 0.5), mixed=np.zeros((len(runs), n, d)), starts=np.zeros((len(runs), d, d))
    )
    rmse = dict.fromkeys(columns, 0.02)
    best = RankedModel(
        residuals={"NN": residual.expression},
        criterion=-210.3,
        delta=1.5,
        n_constants=n,
        error=rmse,
        heldout_error={},
        complexity=5,
        engines={"NN": "sparse"},
    )
    rivals = [
        replace(best, residuals={"NN": text}, delta=delta, criterion=best.criterion + delta - 1.5, n_constants=n + more)
        for text, delta, more in (("c0*x + c1", 0.0, 1), ("c0*x/(c1 + x)", 3.0, 1), ("c0*exp(x)", 80.0, 0))
    ]
    lost = replace(best, residuals={"NN": "c0*tan(x)"}, criterion=np.inf, delta=np.inf, diverged=True, error={})
    return Discovery(
        model=asked,
        data=data,
        heldout=heldout,
        seed=3,
        status="ok",
        closed_form=form,
        residuals={"NN": residual},
        parameters={
            p: estimate(0.2) if p in asked.estimated else Estimate(value=v.start, fixed=True, unit=v.unit)
            for p, v in asked.parameters.items()
        },
        initial={run.name: dict.fromkeys(asked.states, 0.5) for run in data.trajectories},
        noise=rmse,
        error={"fit": rmse, **({"heldout": dict.fromkeys(columns, 0.05)} if heldout else {})},
        candidates=(best, *rivals, lost),
        visited=dict.fromkeys((*asked.states, *asked.exogenous), (0.1, 3.9)),
        warnings=(),
        timing_s={"total": 2.8},
        engines=("sparse", "operon"),
        idle_engines=("pysr",),
        fit=None,
        covariance=known if covariance else None,
    )


@once
def decay(n_runs=1):
    t = np.linspace(0, 5, 21)
    runs = [(t, np.exp(-(0.5 + 0.1 * k) * t)[:, None]) for k in range(n_runs)]
    return made_law("x' = NN(x) - a*x", "c0*x", {"c0": -0.3}, runs=runs)


@once
def driven():
    """A second-order law with an input, a covariate, an observable and a fixed parameter."""
    t = np.linspace(0, 5, 31)
    return made_law(
        "x'' = NN(x, x') - a*x'/m + F*temperature + g", "c0*x^3 + c1*x'", {"c0": -1.0, "c1": 1.2e-7},
        runs=[(t, np.cos(t)[:, None], np.sin(t)[:, None], [0.3])], columns=("signal",), given_inputs={"F": "linear"},
        covariates=["temperature"], observe={"signal": "2*x"},
        parameters={"g": Parameter(9.81, unit="m/s^2", fixed=True), "m": 2.0},
    )  # fmt: skip


@once
def examined():
    """Lotka-Volterra with a part held out and everything that can be asked of a law."""
    data = lotka_volterra()
    fitted, later = (replace(data, trajectories=(data.trajectories[0].rows(part),)) for part in SPLIT)
    model = half_known(alpha=Parameter(1.0, bounds=(0, 5), unit="1/h"))
    options, derived = SearchOptions(engines=("sparse",)), {"saturation": "-alpha/NN1.c0"}
    law = discover(model, fitted, heldout=later, options=options, derived=derived)
    law = law.with_profiles().with_support(2, jobs=1)
    return replace(law, suggestions=law.suggest({"prey": (0.2, 2), "predator": (0.1, 5)}, most=4))


def profiled(name, **changes):
    """A profile whose misfit is the parabola of the covariance, from -1 to 1 and a little beyond."""
    values = np.linspace(-1.2, 1.2, 13)
    known = {"expression": name, "value": 0.0, "values": tuple(values), "costs": tuple(4.0 * values**2)}
    known |= {"threshold": 4.0, "interval": (-1.0, 1.0), "covariance_interval": (-1.0, 1.0)}
    return Profile(**{"name": name, **known, **changes})


def repeated(law, **changes):
    """The support of a law's form by 40 repeats, put together by hand."""
    own, other = law.residuals["NN"].expression, "c0*x/(c1 + x)"
    forms = [FormShare(residuals={"NN": text}, picked=n, near=m) for text, n, m in ((own, 30, 36), (other, 8, 12))]
    known = {"resamples": 40, "failed": 2, "failures": {"no formula simulates the data": 2}, "kind": "parametric"}
    known |= {"block_length": 0, "seed": 0, "form": forms[0], "forms": (forms[1],), "seconds": 9.0}
    known |= {"terms": {"NN": {own: 30, other: 8}}, "summands": {"NN": {"c0*x": 30, other: 8}}}
    return Support(**{**known, "intervals": {"a": (0.15, 0.26)}, **changes})


class Page(HTMLParser):
    """A page whose tags close in the order they open; its text and its elements."""

    def __init__(self, html: str):
        super().__init__()
        self.open, self.elements, self.texts = [], [], []
        self.feed(html)
        self.close()
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs), tuple(self.open)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs), tuple(self.open)))

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, f"</{tag}> inside {self.open}"
        self.open.pop()

    def handle_data(self, data):
        if "style" not in self.open:
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    def all(self, tag):
        return [attributes for name, attributes, _ in self.elements if name == tag]


def page(law, **options) -> Page:
    return Page(html_of(law, **options))


def html_of(law, **options) -> str:
    """The report; that of a law as it was made once is made once too."""
    if options or not any(law is plain() for plain in PLAIN):
        return report_html(law, versions=VERSIONS, **options)
    return html_of_plain([law is plain() for plain in PLAIN].index(True))


@once
def html_of_plain(place):
    return report_html(PLAIN[place](), versions=VERSIONS)


def islands(html: str, tag: str):
    return [ElementTree.fromstring(found) for found in re.findall(rf"<{tag}\b.*?</{tag}>", html, re.DOTALL)]


def headings(html: str, kind="h2") -> list[str]:
    return re.findall(rf"<{kind}[^>]*>(.*?)</{kind}>", html)


def rows_of(html: str, label: str) -> list[list[str]]:
    """Texts of the cells of a table, row by row; the first one is its header."""
    table = html.split(f'aria-label="{label}"')[1].split("</table>")[0]
    rows = re.findall(r'<tr role="row"[^>]*>(.*?)</tr>', table, re.DOTALL)
    cells = [re.findall(r"<t[dh][ >].*?</t[dh]>", row, re.DOTALL) for row in rows]
    return [[" ".join(re.sub(r"<[^>]*>", "", cell).split()) for cell in row] for row in cells]


PLAIN = (discovered, driven, decay, examined)
LAWS = {"discovered": discovered, "driven": driven, "decay": decay, "three runs": lambda: decay(3)}
LAWS["examined"] = examined


# --- structure ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LAWS)
def test_the_page_is_well_formed_loads_nothing_and_describes_every_figure(name):
    html = report_html(LAWS[name](), spec="[data]", command="udesys discover x.toml", versions=VERSIONS)
    read = Page(html)
    assert html.startswith("<!DOCTYPE html>\n") and len(html) < 3_000_000
    assert read.all("script") == [] and read.all("link") == [] and read.all("img") == []
    policy = next(m["content"] for m in read.all("meta") if m.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'")
    assert {value for attributes in read.all("use") for key, value in attributes.items() if "href" in key} <= {
        f"#{a['id']}" for _, a, _ in read.elements if "id" in a
    }
    assert not re.findall(r"(?:src|href)\s*=\s*[\"'](?!#|data:image/png;base64,)", html)
    assert not re.findall(r"url\((?!#)", html) and "@import" not in html
    identities = [a["id"] for _, a, _ in read.elements if "id" in a]
    assert len(identities) == len(set(identities))
    assert html.count("http") == html.count("xmlns") + html.count("http-equiv")  # namespaces load nothing
    for figure in islands(html, "svg"):
        assert figure.tag == f"{{{SVG}}}svg" and figure.attrib["role"] == "img"
        assert len(figure.attrib["aria-label"]) > 40 and re.search(r"\d", figure.attrib["aria-label"])
    for formula in islands(html, "math"):
        assert formula.tag == f"{{{NAMESPACE}}}math" and len("".join(formula.itertext())) > 0
    assert len(read.all("figcaption")) == len(read.all("figure")) >= 3


def test_equal_discoveries_give_equal_reports_whatever_time_they_took():
    law = examined()
    slower = replace(law, timing_s={"total": 99.0}, support=replace(law.support, seconds=99.0))
    assert html_of(law) == report_html(slower, versions=VERSIONS)


def test_the_report_is_written_and_needs_no_display(tmp_path):
    (path,) = write_report(decay(), tmp_path / "run", versions=VERSIONS)
    assert path == tmp_path / "run" / "report.html"
    assert path.read_bytes() == html_of(decay()).encode()
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()


def test_the_versions_of_this_moment_are_named_unless_given():
    assert f"numpy {np.__version__}" in Page(report_html(decay())).text
    given = page(decay()).text
    assert "udesys 0.1.0, numpy 2.4.6" in given and "julia" not in given


# --- what it says ------------------------------------------------------------------------------------


def test_the_order_is_warnings_law_doubt_data_terms_candidates_constants_and_how_to_reproduce():
    law = replace(examined(), warnings=("beware",))
    html = report_html(law, versions=VERSIONS)
    assert [h for h in headings(html) if h != "Rivals, term by term"] == [
        "Warning", "The law", "What the data cannot tell", "The data and the law", "Residuals",
        "NN1(prey, predator)", "NN2(prey, predator)", "Phase plane", "Candidates", "Parameters", "Next experiment",
        "Noise and errors", "Region visited", "What can be asked next", "How to reproduce",
    ]  # fmt: skip
    assert headings(html, "h3") == ["Structure support", "Profiles"]


def test_what_was_not_asked_for_has_no_section_and_is_named_at_the_end():
    html = html_of(decay())
    assert not {"Residuals", "Next experiment", "What can be asked next"} & set(headings(html))  # an older version's
    assert headings(html, "h3") == [] and "Derived" not in html
    html = html_of(discovered())
    assert "Residuals" in headings(html) and "Next experiment" not in headings(html) and headings(html, "h3") == []
    commands = re.findall(r"<dt><code>(.*?)</code>", html)
    assert commands == [f"udesys {verb} RUN" for verb in ("profile", "support", "suggest")] + [FORECAST]
    assert re.findall(r"<dt><code>(.*?)</code>", html_of(examined())) == [FORECAST]


def test_constants_are_said_with_their_intervals_in_words():
    text = page(driven()).text
    assert "a is 0.200, and between 0.180 and 0.220 with 95 % confidence." in text
    assert "g is 9.81 m/s^2, as given." in text
    assert "c0 of NN is -1.000, and between -1.020 and -0.980 with 95 % confidence." in text


def test_what_is_at_a_bound_or_not_determined_is_said():
    law = decay()
    nothing = {"stderr": np.nan, "interval": (np.nan, np.nan)}
    bounded = replace(law, parameters={"a": estimate(0.0, at_bound=0.0, **nothing)})
    bounded.model.parameters["a"] = Parameter(0.5, bounds=(0, 5))
    text = page(bounded).text
    assert "a is 0: it stopped at its lower bound 0, so that it has no interval." in text
    unknown = replace(law, parameters={"a": estimate(0.0, identifiable=False, **nothing)})
    text = page(unknown).text
    assert "a is not determined by these data: other constants make up for any value of it." in text
    assert "They do not determine a." in text and "not identifiable" in text


def test_what_the_data_cannot_tell_is_said_with_the_forms():
    text = page(decay()).text
    assert "These data cannot tell 3 laws apart: all are within 6 of the lowest criterion" in text
    assert "1 of them has a lower criterion." in text
    assert "1 constant more, criterion 1.5 lower" in text and "1 constant more, criterion 1.5 higher" in text
    assert "Nothing is claimed outside of what they visited: x from 0.1 to 3.9." in text
    alone = replace(decay(), candidates=decay().candidates[:1])
    assert "Only this form was tried." in page(alone).text
    sure = replace(decay(), candidates=(replace(decay().candidates[0], delta=0.0), decay().candidates[3]))
    text = page(sure).text
    assert "None of the 1 other law listed comes within 6 of the best criterion" in text and "Rivals" not in text


def test_candidates_have_complexity_criterion_errors_and_engines_and_the_pick_is_first():
    html = html_of(decay())
    rows = re.findall(r'<tr role="row"[^>]*>(.*?)</tr>', html.split('aria-label="Candidates"')[1], re.DOTALL)
    cells = [[re.sub(r"<[^>]*>|\s+", "", cell) for cell in re.findall(r"<td.*?</td>", row, re.DOTALL)] for row in rows]
    picked = cells[1]
    assert picked[0] == "picked" and picked[2:] == ["2", "5", "-210.3", "1.5", "0.02", "sparse"]
    assert [row[0] for row in cells[2:6]] == ["rival", "rival", "", ""]
    assert "diverged" in cells[5]


def test_long_tables_are_folded():
    law = decay()
    many = [replace(law.candidates[3], residuals={"NN": f"c0*x^{k}"}, delta=9.0 + k) for k in range(40)]
    html = report_html(replace(law, candidates=(*law.candidates, *many)), versions=VERSIONS)
    assert "<summary>33 more</summary>" in html


def test_second_order_states_have_primes_and_observables_their_equation():
    html = html_of(driven())
    law = html.split('<div class="law">')[1].split("</div>")[0]
    heads = ["".join(ElementTree.fromstring(m).itertext()) for m in re.findall(r"<math.*?</math>", law)]
    assert heads[0] == "x″=" and "signal=" in heads
    assert "1.2×" in law.replace("<mo>", "").replace("</mo>", "").replace("<mn>", "").replace("</mn>", "")


def test_forecasts_are_marked_and_left_out_where_inputs_end():
    text = page(decay()).text
    assert "What is dotted, to t 6, is a forecast." in text and "forecast" in figure_words(decay())
    assert "forecast" not in page(driven()).text
    wild = decay()  # x' = x^2 - 0.2 x from 0.5 on blows up before the record and a fifth have passed
    form = ClosedForm(wild.model, {"NN": Formula(parse_expression("c0*x^2"), {"c0": 1.05})}, {"a": 0.2})
    assert "is a forecast" not in page(replace(wild, closed_form=form)).text


def figure_words(law) -> str:
    (first, *_) = islands(html_of(law), "svg")
    return " ".join("".join(node.itertext()) for node in first.iter(f"{{{SVG}}}text"))


def test_what_was_held_out_is_drawn_and_said():
    law = decay()
    rest = dataset(("x",), (np.linspace(5.2, 6, 5), np.full((5, 1), 0.1)))
    words = page(replace(law, heldout=rest, error={**law.error, "heldout": {"x": 0.05}}))
    assert "What is shaded was held out: the law has not seen it." in words.text
    assert "RMSE held out" in words.text and "5 samples held out" in words.text
    other = dataset(("x",), (np.linspace(0, 5, 9), np.full((9, 1), 0.1)))
    whole = replace(other, trajectories=(replace(other.trajectories[0], name="B"),))
    assert "Trajectory B was held out as a whole." in page(replace(law, heldout=whole)).text


def test_units_stand_on_the_axes_and_how_to_reproduce_names_spec_and_command():
    html = report_html(decay(), versions=VERSIONS, units={"x": "kg", "t": "h"})
    words = {"".join(node.itertext()) for node in islands(html, "svg")[0].iter(f"{{{SVG}}}text")}
    assert {"x [kg]", "t [h]"} <= words
    text = page(decay(), spec='[data]\nfile = "x.csv"', command="udesys discover x.toml --seed 3").text
    assert 'file = "x.csv"' in text and "udesys discover x.toml --seed 3" in text
    assert decay().data.sha256 in text and "sparse, operon; not ready: pysr" in text


def test_a_law_without_covariance_fit_candidates_or_missing_terms_has_its_page():
    bare = made_law("x' = NN(x) - a*x", "c0*x", {"c0": -0.3}, covariance=False,
                    runs=[(np.linspace(0, 5, 21), np.ones((21, 1)))])  # fmt: skip
    text = page(replace(bare, candidates=())).text
    assert "95 % band" not in text and "Candidates" not in text and "Correlations" not in text
    known = HybridODE("x' = -a*x")
    form = ClosedForm(known, {}, {"a": 0.2})
    text = page(replace(bare, model=known, closed_form=form, residuals={}, candidates=())).text
    assert "What was missing" not in text


def test_numbers_that_are_not_finite_make_no_trouble():
    law = decay()
    lost = replace(law, error={"fit": {"x": np.nan}}, noise={"x": np.inf}, closed_form=law.closed_form.with_values(
        [np.nan, -0.3]))  # fmt: skip
    assert "n/a" in page(lost).text


def test_simple_fractions_noise_profiles_and_correlations_are_said():
    law = replace(decay(), simpler={("NN", "c0"): "-1/3"}, simpler_criterion=-2.0, noise_profile={"x": (0.1, 0.05)})
    text = page(law).text
    assert "Simpler numbers would do as well: NN.c0 = -1/3" in text
    assert "0.1 and 5 %" in text and "grows with what is measured" in text
    assert "the strongest are a and NN.c0 +0.50" in text


# --- what was asked of a law -------------------------------------------------------------------------


def test_what_the_hybrid_left_open_and_what_the_law_still_does_is_said_once():
    product = "a and NN.c0 appear together only. a*NN.c0 = -0.060, 95 % interval [-0.070, -0.050]."
    known = LawIdentifiability(resolved={"b": "b, which NN(x) could absorb, is determined by the form found."},
                               together=(Together(names=("a", "NN.c0"), words=product),) * 2)  # fmt: skip
    nothing = {"identifiable": False, "stderr": np.nan, "interval": (np.nan, np.nan)}
    law = replace(decay(), identifiability=known, parameters={"a": estimate(0.2, **nothing)})
    text = page(law).text
    assert "b, which NN(x) could absorb, is determined by the form found." in text
    assert text.count(product) == 1 and "They do not determine" not in text


def test_profiles_stand_beside_the_covariance_and_open_ends_are_said():
    wide = profiled("NN.c0", interval=(-1.0, np.inf), notes=("the law stays as good up to 12.",))
    law = replace(decay(), profiles={"a": profiled("a", unit="1/h"), "NN.c0": wide})
    html, text = report_html(law, versions=VERSIONS), page(law).text
    header, first, second = rows_of(html, "Intervals by covariance and by profile")
    assert header == ["name", "value", "95 % by covariance", "95 % by profile", "unit", "note"]
    assert first[:5] == ["a", "0.0", "[-1.0, 1.0]", "[-1.0, 1.0]", "1/h"]
    assert second == ["NN.c0", "0.0", "[-1.0, 1.0]", "[-1.0, open]", "", "the law stays as good up to 12."]
    assert "The 95 % interval of NN.c0 by its profile has no upper end: the law fits almost as well far above." in text
    assert "of a by its profile has" not in text
    below = replace(law, profiles={"a": profiled("a", interval=(-np.inf, 1.0))})
    assert "has no lower end: the law fits almost as well far below." in page(below).text
    both = replace(law, profiles={"a": profiled("a", interval=(-np.inf, np.inf))})
    assert "has neither a lower nor an upper end: the law fits almost as well far either way." in page(both).text


def test_derived_quantities_have_their_interval_in_words_and_in_a_table():
    ratio = Quantity(expression="a/NN.c0", estimate=estimate(-0.67))
    law = replace(decay(), quantities={"ratio": ratio})
    assert "ratio = a/NN.c0 is -0.670, and between -0.690 and -0.650 with 95 % confidence." in page(law).text
    rows = rows_of(report_html(law, versions=VERSIONS), "Derived quantities")
    assert rows[1] == ["ratio", "-0.670", "0.020", "[-0.690, -0.650]", "a/NN.c0"]


def test_support_is_said_as_shares_of_forms_terms_and_constants():
    law = replace(decay(), support=repeated(decay()))
    html, text = report_html(law, versions=VERSIONS), page(law).text
    assert "This form was picked in 30 (75 %) of them, and was within reach of the best in 36 (90 %)." in text
    assert "1 other form was picked, in 8 (20 %)." in text
    assert "2 (5 %) of them gave no law: no formula simulates the data (2)." in text
    forms = rows_of(html, "Forms that were found")
    assert [row[1:] for row in forms] == [["picked", "within reach"], ["75 %", "90 %"], ["20 %", "30 %"]]
    assert [row[::2] for row in rows_of(html, "Terms of these forms")[1:]] == [["NN", "75 %"], ["NN", "20 %"]]
    constants = rows_of(html, "Parameters and constants")
    assert constants[1][constants[0].index("95 % of repeats")] == "[0.150, 0.260]"
    moved = replace(law, support=repeated(law, kind="blocks", block_length=4, failed=0, failures={}))
    assert "with the residuals moved in blocks of 4 rows." in page(moved).text and "gave no law" not in page(moved).text


def test_residuals_have_a_sentence_a_figure_and_a_table_that_is_folded_where_it_is_long():
    law = discovered()
    html = html_of(law)
    assert Page(html).text.count(f"{str(law.diagnostics)[1:]}") >= 1
    header, *rows = rows_of(html, "Tests of the residuals")
    assert [row[0] for row in rows] == ["prey", "predator"] and "trajectory" not in header
    check = law.diagnostics.pooled[0]
    cells = dict(zip(header, rows[0], strict=True))
    assert cells["residuals"] == "31" and cells["white (p)"] == f"{check.ljung_box:.2g}"
    assert re.search(r"<details open>\s*<summary>Tests of the residuals", html)
    many = replace(law.diagnostics, checks=tuple(replace(check, trajectory=str(k)) for k in range(20)),
                   lengths=(16, 15), structure=("prey",))  # fmt: skip
    html = report_html(replace(law, diagnostics=many), versions=VERSIONS)
    assert re.search(r"<details>\s*<summary>Tests of the residuals", html)
    assert [row[1] for row in rows_of(html, "Tests of the residuals")[:4]] == ["trajectory", "all", "all", "0"]
    assert str(many)[1:] in Page(html).text and "structure" in str(many)
    assert html.split('aria-label="Tests of the residuals"')[1].split("</table>")[0].count('class="marked"') == 1
    lost = replace(check, ljung_box=np.nan, normality=1e-12)
    html = report_html(replace(law, diagnostics=replace(law.diagnostics, pooled=(lost, check))), versions=VERSIONS)
    assert "&lt; 1e-9" in html and "too short a series to tell" in html


def test_the_error_on_what_was_held_out_stands_beside_that_of_others():
    law = decay()
    known = {"heldout": {"x": 0.05}, "heldout_hybrid": {"x": np.inf}, "heldout_persistence": {"x": 0.7}}
    text = page(replace(law, error={**law.error, **known})).text
    what = "0.05 by the law, the hybrid with networks diverges and 0.7 by values that stay what they were."
    assert f"RMSE on what was held out of x: {what}" in text
    assert "held out" not in page(law).text


def test_the_next_experiment_is_said_drawn_and_ranked():
    law = examined()
    asked, html = law.suggestions, html_of(law)
    header, *rows = rows_of(html, "Suggested experiments")
    assert len(rows) == len(asked) == 4 and [row[0] for row in rows] == list("1234")
    assert header[:4] == ["", "experiment", "t", "columns"] and header[-1] == "inside"
    assert [row[1] for row in rows] == [asked.what(k) for k in range(4)]
    assert f"{100 * asked[0].told:.0f} %" == rows[0][header.index("told")]
    assert f"To tell the laws that stand apart, the best experiment looked at is {asked.what()}" in Page(html).text
    assert all(escape(note) in html for note in asked.notes)
    assert [row[0] for row in rows_of(html, "Laws that stand")[1:]] == [one.label for one in asked.laws
                                                                        if one.group == one.label]  # fmt: skip
    none = replace(law, suggestions=replace(asked, items=(), best={}))
    assert "Next experiment" not in headings(report_html(none, versions=VERSIONS))


def test_every_figure_across_the_page_is_there_for_a_desk_and_for_a_phone():
    html = html_of(examined())
    wide, narrow = (re.findall(rf'<div class="{kind}"><svg[^>]*aria-label="([^"]*)"', html) for kind in KINDS)
    assert wide == narrow and len(set(wide)) == 5  # the law, residuals, support, profiles, the next experiment


# --- text from others --------------------------------------------------------------------------------


def hostile_law():
    t = np.linspace(0, 5, 21)
    law = decay()
    runs = tuple(Trajectory(name=name, t=t, y=np.exp(-t)[:, None]) for name in (HOSTILE, BREAKING, "$x^{2$", "a\nb"))
    data = Dataset(columns=("x",), trajectories=runs, time=f"t{HOSTILE}", source=f"{BREAKING}{{{{ 7*7 }}}}.csv")
    odd = replace(law.candidates[1], residuals={"NN": HOSTILE}, engines={"NN": BREAKING})
    return replace(
        law, data=data, warnings=(HOSTILE, BREAKING, "{% raw %}"), engines=(HOSTILE,), status=HOSTILE,
        candidates=(law.candidates[0], odd), initial={run.name: {"x": 0.5} for run in runs},
        parameters={"a": estimate(0.2, unit=HOSTILE)}, visited={"x": (0.1, 3.9), HOSTILE: (0, 1)},
        covariance=Covariance(values=np.zeros((2, 2)), mixed=np.zeros((4, 2, 1)), starts=np.zeros((4, 1, 1))),
        profiles={HOSTILE: profiled(HOSTILE, unit=BREAKING, notes=(HOSTILE,))},
        quantities={"ratio": Quantity(expression=BREAKING, estimate=estimate(1.0))},
        support=repeated(law, form=FormShare(residuals={"NN": BREAKING}, picked=3, near=4), failures={HOSTILE: 2}),
        identifiability=LawIdentifiability(resolved={"a": HOSTILE}, together=(Together(names=("a",), words=BREAKING),)),
    )  # fmt: skip


def test_text_from_the_user_is_shown_and_never_obeyed():
    html = report_html(
        hostile_law(), spec=HOSTILE + BREAKING, command=BREAKING, versions={HOSTILE: BREAKING}, units={"x": HOSTILE}
    )
    read = Page(html)
    assert read.all("script") == [] and read.all("img") == []
    assert escape(HOSTILE) in html and HOSTILE in read.text and "{{ 7*7 }}" in read.text
    assert not [key for _, attributes, _ in read.elements for key in attributes if key.startswith("on")]
    for figure in islands(html, "svg"):
        assert figure.tag == f"{{{SVG}}}svg"


# --- long records ------------------------------------------------------------------------------------


def test_a_record_of_65000_rows_gives_a_small_page_with_its_extremes():
    t = 0.001 * np.arange(65_000)
    y = np.exp(-0.5 * t) + 0.01 * np.random.default_rng(0).standard_normal(len(t))
    y[43_211] = 1.9
    law = made_law("x' = NN(x) - a*x", "c0*x", {"c0": -0.3}, runs=[(t, y[:, None])], covariance=False)
    html = report_html(law, versions=VERSIONS)
    assert len(html) < 600_000
    assert "Not all measurements are drawn, but their extremes are." in html
    assert 43_211 in kept_rows(y) and len(kept_rows(y)) < 1000


def test_kept_rows_hold_the_ends_and_the_extremes_of_every_column():
    rng = np.random.default_rng(1)
    a, b = rng.standard_normal((2, 10_000))
    a[:50] = np.nan
    kept = kept_rows(a, b, most=400)
    assert len(kept) <= 500 and kept[0] == 0 and kept[-1] == 9_999 and (np.diff(kept) > 0).all()
    for values in (a, b):
        assert np.nanmax(values) in values[kept] and np.nanmin(values) in values[kept]
    assert kept_rows(a[:300], most=400).tolist() == list(range(300))


def test_a_curve_that_runs_over_itself_is_drawn_once():
    t = np.linspace(0, 200 * np.pi, 50_000)
    x, y = inked(np.cos(t), np.sin(t))
    assert len(x) < 5_000  # a hundred rounds were 50,000 points
    drawn = np.hypot(x, y)
    np.testing.assert_allclose(drawn[np.isfinite(drawn)], 1.0)
    angles = np.sort(np.arctan2(y, x)[np.isfinite(x)])
    assert np.diff(angles).max() < 0.05  # no gap on the circle
