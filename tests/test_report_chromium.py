"""The report as a browser lays it out: on a phone, a desk and paper, in light and dark."""

import base64

import pytest
from chromium import chromium, find_chromium
from laws import discovered
from test_report_html import VERSIONS, decay, driven, examined, hostile_law, html_of

from udesys.report.html import report_html

pytestmark = pytest.mark.skipif(
    find_chromium() is None, reason="no chromium, chromium-browser or google-chrome on the PATH"
)

WIDTHS = (390, 1280)
LEAST_CONTRAST = 4.5  # of text: WCAG 2.2, success criterion 1.4.3

# Visible text in figures and on the page, whose contrast with the paper is too low
PALE = """
(() => {
  const luminance = (colour) => {
    const parts = colour.match(/[\\d.]+/g).slice(0, 3).map((v) => v / 255);
    const [r, g, b] = parts.map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const paper = luminance(getComputedStyle(document.body).backgroundColor);
  const pale = (colour) => {
    const [low, high] = [luminance(colour), paper].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05) < %s;
  };
  const texts = [...document.querySelectorAll("svg text")].filter((e) => pale(getComputedStyle(e).fill));
  const others = [...document.querySelectorAll("p, li, td, th, figcaption, h1, h2, dd")];
  return [...texts, ...others.filter((e) => pale(getComputedStyle(e).color))].map((e) => e.textContent).slice(0, 5);
})()
""" % LEAST_CONTRAST  # noqa: UP031  the braces are JavaScript's

UNLAID = """
[...document.querySelectorAll("math")].filter((e) => {
  const box = e.getBoundingClientRect();
  return e.checkVisibility() && !(box.width > 0 && box.height > 0);
}).map((e) => e.textContent)
"""

NAMELESS = """
[...document.querySelectorAll("svg, img")].filter((e) => {
  const text = e.getAttribute("aria-label") || e.getAttribute("alt") || "";
  return e.parentElement.closest("svg") === null && !(e.getAttribute("role") === "img" && text.length > 20);
}).length
"""


@pytest.fixture(scope="module")
def browser():
    with chromium() as one:
        yield one


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Name -> a report on disk."""
    folder = tmp_path_factory.mktemp("pages")
    long = "a_name_that_is_as_long_as_names_of_columns_in_real_tables_sometimes_are"
    laws = {"discovered": html_of(discovered()), "driven": html_of(driven()), "decay": html_of(decay())}
    laws["examined"] = html_of(examined())
    laws["hostile"] = report_html(hostile_law(), spec="x" * 500, command=long * 4, versions=VERSIONS)
    for name, html in laws.items():
        (folder / f"{name}.html").write_text(html, encoding="utf-8")
    return {name: folder / f"{name}.html" for name in laws}


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", ["discovered", "driven", "decay", "examined", "hostile"])
def test_a_page_fits_its_window_says_no_error_and_loads_nothing(browser, pages, name, width, dark):
    browser.open(pages[name], width=width, dark=dark)
    size = browser.value("[document.documentElement.scrollWidth, window.innerWidth]")
    assert size[0] <= size[1] <= width
    assert browser.value(UNLAID) == []
    assert browser.value("[...document.querySelectorAll('math')].filter((e) => e.checkVisibility()).length") > 0
    assert browser.value(NAMELESS) == 0
    assert browser.value(PALE) == []
    background = browser.value("getComputedStyle(document.body).backgroundColor")
    assert background == ("rgb(20, 23, 26)" if dark else "rgb(255, 255, 255)")
    assert troubles(browser.events) == []


def troubles(events) -> list:
    """Errors, messages of the console, and requests that leave the file."""
    found = []
    for event in events:
        method, params = event.get("method"), event.get("params", {})
        if method in ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded"):
            found.append(params)
        if method == "Network.requestWillBeSent" and not params["request"]["url"].startswith(("file:", "data:")):
            found.append(params["request"]["url"])
    return found


def test_a_trouble_would_be_seen(browser, tmp_path):
    page = tmp_path / "trouble.html"
    head = '<meta name="viewport" content="width=device-width">'
    page.write_text(f'{head}<p style="width:999px"><img src="http://127.0.0.1:9/x.png"><script>throw Error()</script>')
    browser.open(page, width=390)
    assert len(troubles(browser.events)) >= 2
    assert browser.value("document.documentElement.scrollWidth") > 390
    assert browser.value(NAMELESS) == 1


@pytest.mark.parametrize("width", WIDTHS)
def test_of_the_two_sizes_of_a_figure_one_is_shown_and_its_words_can_be_read(browser, pages, width):
    browser.open(pages["examined"], width=width)
    shown = "[...document.querySelectorAll('{}')].filter((e) => e.checkVisibility()).length"
    wide, narrow = (browser.value(shown.format(kind)) for kind in (".wide", ".narrow"))
    across = 5  # the law, its residuals, support, profiles and the next experiment
    assert (wide, narrow) == ((0, across) if width < 600 else (across, 0))
    sizes = browser.value(
        "[...document.querySelectorAll('svg text')].filter((e) => e.checkVisibility())"
        ".map((e) => e.getScreenCTM().a ** 2 + e.getScreenCTM().b ** 2).map((s) => 8 * Math.sqrt(s))"
    )
    assert len(sizes) > 20 and min(sizes) >= 7.5  # CSS pixels of the smallest words, which have 8 units


def test_on_paper_a_dark_page_is_white_and_nothing_is_cut_off(browser, pages):
    browser.open(pages["examined"], width=700, dark=True, media="print")
    assert browser.value("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert browser.value("document.documentElement.scrollWidth <= window.innerWidth") is True
    pdf = base64.b64decode(browser.call("Page.printToPDF", paperWidth=8.27, paperHeight=11.69)["data"])
    assert pdf.startswith(b"%PDF") and len(pdf) > 20_000
