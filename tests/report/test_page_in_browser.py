"""The page in a real browser: offline, silent, usable by mouse and keyboard, with and without scripts."""

from __future__ import annotations

from pathlib import Path

import pytest
from headless_browser import Browser
from report_folders import HOSTILE

pytestmark = pytest.mark.browser
NARROW, A4, WIDE = 400, 718, 1600  # CSS pixels; A4 with the usual margins of 1 cm


@pytest.mark.parametrize("width", [NARROW, WIDE])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_page_asks_for_nothing_says_nothing_and_fits(
    browser: Browser, report: Path, width: int, dark: bool
) -> None:
    url = (report / "report.html").as_uri()
    browser.look(width=width, dark=dark)
    browser.open(url)
    assert browser.requests == [url]
    assert browser.messages == []
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    paper = browser.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == ("rgb(18, 22, 28)" if dark else "rgb(255, 255, 255)")
    line = "getComputedStyle(document.querySelector('[data-series=\"r0\"] path')).stroke"
    assert browser.evaluate(line) == ("rgb(92, 179, 242)" if dark else "rgb(0, 101, 168)")


def test_a_hostile_name_is_shown_as_text(browser: Browser, report: Path) -> None:
    browser.look(width=WIDE)
    browser.open((report / "report.html").as_uri())
    names = browser.evaluate("[...document.querySelectorAll('#runs tbody th')].map(e => e.firstChild.textContent)")
    assert HOSTILE in names
    assert browser.evaluate("document.querySelectorAll('img[src=x], [onerror]').length") == 0


def test_columns_sort_both_ways_by_keyboard(browser: Browser, report: Path) -> None:
    browser.look(width=WIDE)
    browser.open((report / "report.html").as_uri())
    sort = """(() => {
      const table = [...document.querySelectorAll('#runs table.sortable')].at(-1);
      const head = [...table.tHead.rows[0].cells].find(c => c.textContent === 'test accuracy');
      head.querySelector('button').focus();
      document.activeElement.click();
      const values = [...table.tBodies[0].rows].map(r => r.cells[head.cellIndex].dataset.sort);
      return [head.getAttribute('aria-sort'), ...values];
    })()"""
    direction, *values = browser.evaluate(sort)
    numbers = [float(value) for value in values]
    assert (direction, numbers) == ("ascending", sorted(numbers))
    direction, *values = browser.evaluate(sort)
    assert (direction, [float(value) for value in values]) == ("descending", sorted(numbers, reverse=True))


@pytest.mark.parametrize(
    ("switch", "series"),
    [("[data-switch=c1]", "c1"), ("[data-switch=g0]", "g0"), ("[data-box=r1]", "r1")],
)
def test_switches_hide_and_show(browser: Browser, report: Path, switch: str, series: str) -> None:
    browser.look(width=WIDE)
    browser.open((report / "report.html").as_uri())
    elements = f"[...document.querySelectorAll('[data-series~={series}]')]"
    shown = f"{elements}.filter(e => getComputedStyle(e).display !== 'none').length"
    before = browser.evaluate(shown)
    assert before > 0
    browser.evaluate(f"document.querySelector('{switch}').click()")
    assert browser.evaluate(shown) == 0
    browser.evaluate(f"document.querySelector('{switch}').click()")
    assert browser.evaluate(shown) == before


def test_the_matrix_switches_between_counts_and_shares_without_scripts(browser: Browser, report: Path) -> None:
    browser.look(width=WIDE, scripts=False)
    browser.open((report / "report.html").as_uri())
    visible = "document.querySelector('.matrix td').innerText"
    count = browser.evaluate(visible)
    browser.evaluate("document.querySelector('.matrix .pick-p').checked = true")
    share = browser.evaluate(visible)
    browser.look(width=WIDE)
    assert count.isdigit()
    assert share == f"{float(share):.1f}"
    assert share != count


def test_print_is_light_fits_the_paper_and_has_no_controls(browser: Browser, report: Path) -> None:
    browser.look(width=A4, dark=True, medium="print")
    browser.open((report / "report.html").as_uri())
    assert browser.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert browser.evaluate("document.querySelector('nav').checkVisibility()") is False
    assert browser.evaluate("document.documentElement.scrollWidth") <= A4
    browser.look(width=WIDE)


def test_tab_reaches_every_control_and_shows_where_it_is(browser: Browser, report: Path) -> None:
    browser.look(width=WIDE)
    browser.open((report / "report.html").as_uri())
    # Of a group of radio buttons Tab takes the chosen one; arrow keys do the rest.
    controls = browser.evaluate("""
      window.controls = [...document.querySelectorAll('a[href], button, input, summary, [tabindex]')].filter(e =>
        e.checkVisibility() && !(e.type === 'radio' && !e.checked)); window.controls.length""")
    reached = set()
    for _ in range(controls + 1):
        browser.press("Tab")
        reached.add(browser.evaluate("controls.indexOf(document.activeElement)"))
        outline = "getComputedStyle(document.activeElement).outlineStyle"
        assert browser.evaluate(outline) != "none" or browser.evaluate("document.activeElement === document.body")
    assert controls > 100
    assert set(range(controls)) <= reached


@pytest.mark.parametrize(
    ("control", "key", "state", "expected"),
    [
        ("[data-switch=c1]", "Space", "document.activeElement.getAttribute('aria-pressed')", "false"),
        ("#runs .sortable th button", "Enter", "document.activeElement.parentNode.ariaSort", "ascending"),
        (".matrix .pick-n", "ArrowRight", "document.activeElement.className", "pick-p"),
        ("#provenance summary", "Enter", "document.activeElement.parentNode.open", True),
    ],
)
def test_every_kind_of_control_works_by_keyboard(
    browser: Browser, report: Path, control: str, key: str, state: str, expected: object
) -> None:
    browser.look(width=WIDE)
    browser.open((report / "report.html").as_uri())
    browser.evaluate(f"document.querySelector('{control}').focus()")
    browser.press(key)
    assert browser.evaluate(state) == expected
