"""What a figure of the report consists of, and the drawing habits that all figures share."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from nn_train.report.figures.palette import MUTED, series_colour, series_dash
from nn_train.report.figures.svg import HEIGHT, SERIES, draw

MOST_ROWS = 40  # more would be a figure nobody reads
Row = TypeVar("Row")


@dataclass(frozen=True)
class Table:
    """Text in rows; every row is as long as ``header``."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Panel:
    """One figure.

    Attributes:
        key: the name of its file, unique in a report.
        title: what is shown.
        description: what there is to see, in a sentence made from the numbers.
        svg: the file's content.
        table: the numbers drawn.
    """

    key: str
    title: str
    description: str
    svg: str
    table: Table


@dataclass(frozen=True)
class Switch:
    """A legend entry that shows or hides everything of one series.

    ``style`` is the index of the series' colour and dash.
    """

    series: str
    label: str
    style: int


def make_panel(
    key: str,
    title: str,
    description: str,
    table: Table,
    paint: Callable[[Axes], None],
    height: float = HEIGHT,
) -> Panel:
    """Draw a panel."""
    return Panel(key, title, description, draw(key, paint, height), table)


def line(
    axes: Axes,
    x: Sequence[float],
    y: Sequence[float],
    style: int,
    series: str,
    *,
    faint: bool = False,
    dotted: bool = False,
) -> None:
    """A line of a series; ``faint`` for one of many, ``dotted`` for the lesser of two."""
    axes.plot(
        x,
        y,
        color=series_colour(style),
        linestyle=(0, (1, 1.5)) if dotted else series_dash(style),
        linewidth=0.8 if faint else 1.8,
        alpha=0.45 if faint else 1.0,
        marker="o" if len(x) == 1 else "",
        markersize=4,
        markerfacecolor="none" if dotted else None,
        gid=SERIES + series,
    )


def reference(axes: Axes, x: Sequence[float], y: Sequence[float]) -> None:
    """A thin grey line to compare with, such as chance."""
    axes.plot(x, y, color=MUTED, linewidth=0.8, linestyle=(0, (2, 2)))


def drawn_rows(rows: Sequence[Row]) -> tuple[list[Row], str]:
    """At most ``MOST_ROWS`` of the rows, evenly chosen so that every configuration is seen, and a sentence on it."""
    if len(rows) <= MOST_ROWS:
        return list(rows), ""
    picked = [rows[round(i * (len(rows) - 1) / (MOST_ROWS - 1))] for i in range(MOST_ROWS)]
    return picked, f" Drawn: {MOST_ROWS} of {len(rows)} runs, evenly chosen; the table has all."


def name_rows(axes: Axes, names: Sequence[str], length: int = 28) -> None:
    """Names of rows down the side, the first on top."""
    axes.set_yticks(range(len(names)), [cut(name, length) for name in names])
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")


def logarithmic(axis: Axis, values: Sequence[float]) -> None:
    """A logarithmic axis for ``values`` > 0, with plain numbers as many as have room."""
    axis.axes.set(**{f"{axis.axis_name}scale": "log"})  # type: ignore[attr-defined]
    decades = math.log10(max(values) / min(values))
    subs = (1,) if decades > 3 else (1, 3) if decades > 2 else (1, 2, 5) if decades > 1 else (1, 1.5, 2, 3, 4, 5, 7)
    axis.set_major_locator(LogLocator(subs=subs, numticks=15))
    axis.set_major_formatter(FuncFormatter(lambda value, place: f"{value:g}"))
    axis.set_minor_locator(NullLocator())


def cut(text: str, length: int = 28) -> str:
    """A label short enough for a figure: its start and its end."""
    return text if len(text) <= length else text[: length - 9] + "…" + text[-8:]
