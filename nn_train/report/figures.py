"""What a figure of the report consists of, and the drawing habits that all figures share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from nn_train.report.palette import MUTED, series_colour, series_dash
from nn_train.report.svg import HEIGHT, SERIES, draw


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
        gid=SERIES + series,
    )


def reference(axes: Axes, x: Sequence[float], y: Sequence[float]) -> None:
    """A thin grey line to compare with, such as chance."""
    axes.plot(x, y, color=MUTED, linewidth=0.8, linestyle=(0, (2, 2)))


def logarithmic(axis: Axis) -> None:
    """A logarithmic axis with plain numbers at 1, 2, 3 and 5."""
    axis.axes.set(**{f"{axis.axis_name}scale": "log"})  # type: ignore[attr-defined]
    axis.set_major_locator(LogLocator(subs=(1, 2, 3, 5), numticks=15))
    axis.set_major_formatter(FuncFormatter(lambda value, place: f"{value:g}"))
    axis.set_minor_locator(NullLocator())


def cut(text: str, length: int = 28) -> str:
    """A label short enough for a figure: its start and its end."""
    return text if len(text) <= length else text[: length - 9] + "…" + text[-8:]
