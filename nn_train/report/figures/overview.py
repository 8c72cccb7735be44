"""Accuracy of every run, and precision and recall of every class, with their intervals."""

from __future__ import annotations

from collections.abc import Iterator

from matplotlib.axes import Axes

from nn_train.evaluation import Number
from nn_train.report.figures.palette import MUTED, series_colour
from nn_train.report.figures.panel import MOST_ROWS, Panel, Table, drawn_rows, make_panel, name_rows
from nn_train.report.figures.svg import SERIES
from nn_train.report.formats import percent, percent_interval
from nn_train.report.summary import ReportSummary


def accuracy_panel(summary: ReportSummary) -> Iterator[Panel]:
    """Test accuracy of every run with its Wilson interval, runs of one configuration together; none without runs."""
    numbers = [(run, run.its.numbers["accuracy"]) for group in summary.groups for run in summary.evaluated(group.label)]
    if not numbers:
        return
    drawn, left_out = drawn_rows(numbers)

    def paint(axes: Axes) -> None:
        for row, (run, number) in enumerate(drawn):
            bar(axes, number, row, run.style, SERIES + run.series)
        name_rows(axes, [run.name for run, _ in drawn])
        axes.set_xlabel("test accuracy, % (Wilson 95 %)")

    ordered = sorted(numbers, key=lambda entry: entry[1].value or 0.0)
    (worst, low), (best, high) = ordered[0], ordered[-1]
    yield make_panel(
        "accuracy",
        "Test accuracy of every run",
        f"From {percent(low.value)} ({worst.name}) to {percent(high.value)} ({best.name}). The bars show what another "
        "test set of this size could give; the distance between runs of one colour is the effect of the seed."
        + left_out,
        Table(
            ("run", "configuration", "test accuracy", "95 % interval"),
            [(run.name, run.group, percent(n.value), percent_interval(n)) for run, n in numbers],
        ),
        paint,
        height=max(1.6, 0.7 + 0.24 * len(drawn)),
    )


def class_panel(summary: ReportSummary) -> Iterator[Panel]:
    """Precision and recall of each class of the shown run; none without one."""
    if summary.shown is None:
        return
    names = summary.class_names[:MOST_ROWS]
    numbers = summary.shown.its.per_class[:MOST_ROWS]

    def paint(axes: Axes) -> None:
        for row, one in enumerate(numbers):
            bar(axes, one["recall"], row - 0.16, 0, f"{SERIES}c{row}")
            bar(axes, one["precision"], row + 0.16, 1, f"{SERIES}c{row}", marker="D")
        name_rows(axes, names, 20)
        axes.set_xlabel("%:  ● recall   ◆ precision  (Wilson 95 %)")

    known = [
        (one["recall"].value, name) for one, name in zip(numbers, names, strict=True) if one["recall"].value is not None
    ]
    lowest, highest = min(known), max(known)
    yield make_panel(
        "per_class",
        "Precision and recall by class",
        f"{summary.shown.name}: recall is lowest for class {lowest[1]} ({percent(lowest[0])}) and highest for class "
        f"{highest[1]} ({percent(highest[0])}).",
        Table(
            ("class", "recall", "95 % interval", "precision", "95 % interval"),
            [
                (
                    name, percent(one["recall"].value), percent_interval(one["recall"]),
                    percent(one["precision"].value), percent_interval(one["precision"]),
                )
                for name, one in zip(names, numbers, strict=True)
            ],
        ),
        paint,
        height=max(1.8, 0.7 + 0.27 * len(names)),
    )  # fmt: skip


def bar(axes: Axes, number: Number, row: float, style: int, gid: str, marker: str = "o") -> None:
    """A value and its interval on one row, in percent; nothing where it is undefined."""
    if number.value is None or number.interval is None:
        return
    low, high = number.interval
    colour = series_colour(style)
    axes.plot([100 * low, 100 * high], [row, row], color=colour, linewidth=1.6, solid_capstyle="round", gid=gid)
    axes.plot([100 * number.value], [row], marker=marker, markersize=4.5, color=colour, markeredgecolor=MUTED,
              markeredgewidth=0.4, gid=gid)  # fmt: skip
