"""From a matplotlib drawing to SVG text: for a file, and for a page with a strict Content-Security-Policy.

The page forbids inline styles, so style attributes become presentation attributes; colours become CSS
variables, so that dark mode reaches into figures; ids that nothing refers to go, so that none stands
twice in a page.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import AutoLocator

from nn_train.report.figures.palette import CSS_VARIABLES, GRID, INK, MUTED

SERIES = "series:"  # a gid that starts so names what a switch of the page shows or hides
RC: dict[Any, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,  # a user's name may hold a dollar sign
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.8,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "lines.linewidth": 1.6,
    "path.simplify": True,
    "path.simplify_threshold": 0.3,  # of a pixel: invisible; curves.csv is exact
}
WIDTH, HEIGHT = 4.8, 3.3
MOST_TICKS = 6  # along the x axis; matplotlib fits nine, and numbers of six digits then touch


def draw(key: str, paint: Callable[[Axes], None], height: float = HEIGHT) -> str:
    """The SVG file of a panel. The same drawing gives the same text: no date, ids salted with ``key``."""
    with matplotlib.rc_context({**RC, "svg.hashsalt": key}):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        axes = figure.add_subplot()
        paint(axes)
        if isinstance(axes.xaxis.get_major_locator(), AutoLocator):
            axes.locator_params(axis="x", nbins=MOST_TICKS)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return plain(buffer.getvalue())


def plain(svg: str) -> str:
    """Without doctype, metadata, style element, style attributes and needless ids."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<style .*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<defs>\s*</defs>\s*", "", svg)
    svg = re.sub(r' style="([^"]*)"', lambda match: presentation(match[1]), svg)
    referred = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', svg))
    svg = re.sub(r' id="([^"]*)"', lambda match: keep_id(match, referred), svg)
    svg = re.sub(r"\n\s*", "\n", svg)
    # What the style element said for everything; round joins keep steep curves from growing spikes.
    return svg.replace("<svg ", '<svg stroke-linejoin="round" font-family="sans-serif" ', 1)


def presentation(style: str) -> str:
    """``fill: none; stroke: #000`` to `` fill="none" stroke="#000"``; fonts are set once for all."""
    pairs = (declaration.partition(":") for declaration in style.split(";") if declaration.strip())
    kept = [(name.strip(), value.strip()) for name, _, value in pairs]
    return "".join(f' {name}="{value}"' for name, value in kept if name not in ("font-family", "font"))


def keep_id(match: re.Match[str], referred: set[str]) -> str:
    """An id that is used, the mark of a series, or nothing."""
    if match[1].startswith(SERIES):
        return f' data-series="{match[1].removeprefix(SERIES)}"'
    return match[0] if match[1] in referred else ""


def for_page(svg: str, title_id: str, description_id: str) -> str:
    """The SVG as part of a page that has an element for its title and one for its description."""
    svg = re.sub(r' (?:width|height)="[\d.]+pt"', "", svg, count=2)
    svg = re.sub(r' xmlns(:\w+)?="[^"]*"| version="[^"]*"', "", svg)
    svg = svg.replace("xlink:href", "href")
    for colour, variable in CSS_VARIABLES.items():
        svg = svg.replace(f'"{colour}"', f'"var({variable})"')
    return svg.replace("<svg ", f'<svg role="img" aria-labelledby="{title_id}" aria-describedby="{description_id}" ', 1)
