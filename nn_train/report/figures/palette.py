"""The colours of figures: what is written to files, and the CSS variable that replaces it in the page.

Five hues that stay apart for people with protanopia, deuteranopia and tritanopia (a test simulates it);
the sixth to the tenth series repeat them dashed. Colour is never the only sign: lines also differ in dash
and every figure has its data table.
"""

from __future__ import annotations

from typing import Any

INK, MUTED, GRID = "#1c2128", "#59636e", "#d9dee4"
HUES = ("#0065a8", "#d1550b", "#33995c", "#8236e2", "#735d26")
DARK_HUES = ("#5cb3f2", "#ff9a57", "#b3e6c1", "#b04dff", "#ffd600")
DASHES = ("solid", (0, (5, 2)))
OTHER = "#7f8893"

CSS_VARIABLES = {
    INK: "--ink",
    MUTED: "--muted",
    GRID: "--grid",
    OTHER: "--other",
    **{hue: f"--s{index}" for index, hue in enumerate(HUES)},
}


def series_colour(index: int) -> str:
    """The colour of the ``index``-th series; from the eleventh on all are grey."""
    return HUES[index % len(HUES)] if index < 2 * len(HUES) else OTHER


def series_dash(index: int) -> Any:
    """The dash of the ``index``-th series, in matplotlib's form."""
    return DASHES[index // len(HUES) % 2]
