"""Accuracy of every run, and precision and recall of every class, with their intervals."""

from __future__ import annotations

from matplotlib.axes import Axes

from nn_train.evaluation import Number
from nn_train.report.figures.palette import MUTED, series_colour
from nn_train.report.figures.panel import MOST_ROWS, Panel, Table, drawn_rows, make_panel, name_rows
from nn_train.report.figures.svg import SERIES
from nn_train.report.formats import percent, percent_interval
from nn_train.report.summary import ReportSummary, RunSummary


def accuracy_panel(summary: ReportSummary) -> Panel | None:
    """Test accuracy of every run with its Wilson interval, runs of one configuration together."""
    numbers = [
        (index, run, run.evaluation.numbers["accuracy"])
        for index, group in enumerate(summary.groups)
        for run in summary.evaluated(group.label)
        if run.evaluation
    ]
    if not numbers:
        return None
    drawn, left_out = drawn_rows(numbers)

    def paint(axes: Axes) -> None:
        for row, (index, run, number) in enumerate(drawn):
            bar(axes, number, row, index, SERIES + run_series(summary, run))
        name_rows(axes, [run.name for _, run, _ in drawn])
        axes.set_xlabel("test accuracy, % (Wilson 95 %)")

    ordered = sorted(numbers, key=lambda entry: entry[2].value or 0.0)
    (_, worst, low), (_, best, high) = ordered[0], ordered[-1]
    return make_panel(
        "accuracy",
        "Test accuracy of every run",
        f"From {percent(low.value)} ({worst.name}) to {percent(high.value)} ({best.name}). The bars show what another "
        "test set of this size could give; the distance between runs of one colour is the effect of the seed."
        + left_out,
        Table(
            ("run", "configuration", "test accuracy", "95 % interval"),
            [(run.name, run.group, percent(n.value), percent_interval(n)) for _, run, n in numbers],
        ),
        paint,
        height=max(1.6, 0.7 + 0.24 * len(drawn)),
    )


def class_panel(summary: ReportSummary) -> Panel | None:
    """Precision and recall of each class of the shown run."""
    if summary.shown is None or summary.shown.evaluation is None:
        return None
    names = summary.class_names[:MOST_ROWS]
    numbers = summary.shown.evaluation.per_class[:MOST_ROWS]

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
    return make_panel(
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


def run_series(summary: ReportSummary, run: RunSummary) -> str:
    """The name of a run's switch: ``r`` and its number in the report."""
    return f"r{next(i for i, one in enumerate(summary.runs) if one is run)}"
