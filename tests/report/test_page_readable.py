"""What a look at the page must not find, measured: faint text, clipped labels, numbers that touch."""

from __future__ import annotations

from pathlib import Path

import pytest
from headless_browser import Browser

pytestmark = pytest.mark.browser

# Every text of the page whose contrast with what lies behind it is below 4.5 (WCAG 2.2, 1.4.3).
FAINT = """(() => {
  const rgba = (text) => { const n = text.match(/[\\d.]+/g).map(Number); return n.length < 4 ? [...n, 1] : n; };
  const over = (top, under) => [0, 1, 2].map((i) => top[3] * top[i] + (1 - top[3]) * under[i]);
  const linear = (v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4);
  const luminance = (c) => 0.2126 * linear(c[0]) + 0.7152 * linear(c[1]) + 0.0722 * linear(c[2]);
  const behind = (e) => {
    if (!e) return [255, 255, 255];
    const own = rgba(getComputedStyle(e).backgroundColor);
    return own[3] === 1 ? own : over(own, behind(e.parentElement));
  };
  const faint = [];
  for (const e of document.querySelectorAll('body *')) {
    const text = [...e.childNodes].filter((n) => n.nodeType === 3).map((n) => n.data).join('').trim();
    if (!text || !e.checkVisibility() || ['SCRIPT', 'TITLE'].includes(e.tagName)) continue;
    const style = getComputedStyle(e);
    const paper = behind(e);
    const ink = over(rgba(e instanceof SVGElement ? style.fill : style.color), paper);
    const [low, high] = [luminance(ink), luminance(paper)].sort((a, b) => a - b);
    const contrast = (high + 0.05) / (low + 0.05);
    if (contrast < 4.5) faint.push(`${contrast.toFixed(2)} ${text}`);
  }
  return faint;
})()"""

# Every label of a figure that leaves it, or that another one on the same line touches.
CROWDED = """(() => {
  const found = [];
  for (const figure of document.querySelectorAll('figure svg')) {
    const frame = figure.getBoundingClientRect();
    const labels = [...figure.querySelectorAll('text')].map((e) => [e, e.getBoundingClientRect()]);
    for (const [e, box] of labels) {
      const out = box.left < frame.left - 1 || box.right > frame.right + 1
        || box.top < frame.top - 1 || box.bottom > frame.bottom + 1;
      if (out) found.push(`clipped: ${e.textContent}`);
      const touching = labels.find(([o, b]) => o !== e && Math.abs(b.bottom - box.bottom) < 1
        && Math.abs(b.top - box.top) < 1 && b.left >= box.left && b.left < box.right);
      if (touching) found.push(`touching: ${e.textContent} and ${touching[0].textContent}`);
    }
  }
  return found;
})()"""


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_all_text_contrasts_with_what_is_behind_it(browser: Browser, report: Path, dark: bool) -> None:
    browser.look(width=1600, dark=dark)
    browser.open((report / "report.html").as_uri())
    browser.evaluate("document.querySelectorAll('details').forEach((e) => { e.open = true; })")
    assert browser.evaluate(FAINT) == []


@pytest.mark.parametrize("width", [400, 1600])
def test_labels_of_figures_are_whole_and_apart(browser: Browser, report: Path, width: int) -> None:
    browser.look(width=width)
    browser.open((report / "report.html").as_uri())
    assert browser.evaluate(CROWDED) == []
