"""Progress as lines, and in a notebook's cell; a law as a notebook shows it."""

import sys
import types
from html.parser import HTMLParser

import pytest
from laws import discovered

import udesys
from udesys.progress import Portion
from udesys.report import progress as shown
from udesys.report.progress import Progress


@pytest.fixture
def clock(monkeypatch):
    """Time that passes on request."""
    now = types.SimpleNamespace(seconds=100.0)
    monkeypatch.setattr(shown.time, "monotonic", lambda: now.seconds)
    return now


@pytest.fixture
def cell(monkeypatch):
    """A notebook's cell in place of IPython; what it was given to show, in order."""
    texts = []

    class Html:
        def __init__(self, text):
            self.text = text

    def display(what, display_id):
        texts.append(what.text)
        return types.SimpleNamespace(update=lambda new: texts.append(new.text))

    kernel = types.SimpleNamespace(kernel=object())
    modules = {
        "IPython": types.SimpleNamespace(get_ipython=lambda: kernel),
        "IPython.display": types.SimpleNamespace(display=display, HTML=Html),
    }
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    return texts


def tell(progress, clock):
    progress("fit", 0, Portion("start 1 of 4", 0.0))
    progress("gradient matching", 1, 50.0)
    clock.seconds += 10
    progress("fit", 1, Portion("start 2 of 4", 0.25))
    progress("multiple shooting", 1, 20.0)
    progress("multiple shooting", 2, 12.5)


def test_lines_say_what_a_stage_gained_and_how_long_it_took(clock, capsys):
    with Progress() as progress:
        tell(progress, clock)
        progress("search", 0, "NN1 = c0*x")
        clock.seconds += 2
        progress("select", 3, "NN1 = -0.9*x")
    assert capsys.readouterr().err.splitlines() == [
        "fit ...",
        "fit       10.0 s   misfit 20 -> 12.5",
        "search ...",
        "search     2.0 s   NN1 = c0*x",
        "select ...",
        "select     0.0 s   NN1 = -0.9*x",
    ]


def test_the_time_left_follows_from_the_share_that_is_done(clock):
    with Progress(quiet=True) as progress:
        tell(progress, clock)
        # A quarter took ten seconds, so that three quarters take thirty.
        text = progress._text()
        assert "start 2 of 4   multiple shooting   misfit 20 -> 12.5   at most 30 s left in this stage" in text
        progress("search", 0, Portion("NN1 = ...", 0.0))
        clock.seconds += 300
        progress("search", 0, Portion("NN1 = c0*x", 0.5))
        assert progress._text().splitlines()[1].endswith("NN1 = c0*x   at most 5 min left in this stage")


def test_a_stage_that_fails_is_not_told_as_done(clock, capsys):
    with pytest.raises(ZeroDivisionError), Progress() as progress:
        progress("search", 0, "x")
        raise ZeroDivisionError
    assert capsys.readouterr().err == "search ...\n"


def test_a_notebook_shows_one_cell_that_changes(cell, clock, capsys):
    with Progress() as progress:
        tell(progress, clock)
        clock.seconds += 1
        progress("select", 1, "a < b")
    assert len(cell) == 5  # at first, then not more often than it can be read, and at the end
    assert cell[-1] == "<pre>fit       11.0 s   misfit 20 -&gt; 12.5\nselect     0.0 s   a &lt; b</pre>"
    assert capsys.readouterr() == ("", "")


def test_discover_in_a_notebook_shows_its_progress_unless_it_goes_elsewhere(cell):
    from udesys import api

    def work(*, progress=None):
        if progress:
            progress("fit", 1, 2.0)

    told = []
    api._shown(work, progress=lambda *event: told.append(event))
    assert (told, cell) == ([("fit", 1, 2.0)], [])
    api._shown(work)
    assert "misfit 2 -&gt; 2" in cell[-1]


def test_a_law_in_a_notebook_is_its_equations_then_its_constants():
    law = discovered()
    seen = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag, attrs):
            seen.append(tag)

    html = law._repr_html_()
    Reader().feed(html)
    assert seen.index("math") < seen.index("th") < seen.index("details")
    assert not {"script", "style", "link", "img"} & set(seen)
    for name in ("alpha", "NN1.c0", "prey"):
        assert name in html
    assert law._repr_latex_().startswith("\\begin{align}")
    assert isinstance(law, udesys.Law)


def test_a_law_writes_its_report_alone(tmp_path):
    law = discovered()
    path = law.report(tmp_path / "law.html")
    assert path.read_text("utf-8").startswith("<!DOCTYPE html>")
    with pytest.raises(udesys.errors.UdesysError, match=r"law.html is there already\. .* overwrite=True"):
        law.report(path)
    law.report(path, overwrite=True)
