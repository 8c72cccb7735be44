"""Loss and accuracy over the epochs: every run faint, the median of each configuration bold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from nn_train.report.figures.panel import Panel, Table, line, logarithmic, make_panel
from nn_train.report.formats import decimal, general
from nn_train.report.summary import ReportSummary

MEASURES = (("loss", "Loss"), ("accuracy", "Accuracy"), ("learning_rate", "Learning rate"))


def learning_panels(summary: ReportSummary) -> Iterator[Panel]:
    """Loss, accuracy and, where it changes, the learning rate."""
    for name, title in MEASURES:
        validated = any(f"val_{name}" in record.record.history[-1] for record in summary.runs if record.record.history)
        field = f"val_{name}" if validated else name
        medians = {group.label: median_curve([run.history for run in group.runs], field) for group in summary.groups}
        values = {value for curve in medians.values() for _, value in curve}
        if not values or (name == "learning_rate" and len(values) == 1):
            continue
        yield learning_panel(summary, name, field, title, medians)


def learning_panel(
    summary: ReportSummary, name: str, field: str, title: str, medians: dict[str, list[tuple[int, float]]]
) -> Panel:
    """One measure; the training value dotted where a validation value is the main one."""
    training = {
        group.label: median_curve([run.history for run in group.runs], name) if field != name else []
        for group in summary.groups
    }

    def paint(axes: Axes) -> None:
        for style, group in enumerate(summary.groups):
            series = f"g{style}"
            for run in summary.runs:
                if run.group == group.label and len(group.runs) > 1:
                    points = curve_of(run.record.history, field)
                    line(axes, *split(points), style, run.switches, faint=True)
            line(axes, *split(training[group.label]), style, series, dotted=True)
            line(axes, *split(medians[group.label]), style, series)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        drawn = [y for run in summary.runs for key in {field, name} for _, y in curve_of(run.record.history, key)]
        # A schedule that ends at 0 has no place on a logarithmic axis.
        if name != "accuracy" and min(drawn) > 0:
            logarithmic(axes.yaxis, drawn)

    show = general if name == "learning_rate" else decimal
    last = [f"{label} {show(curve[-1][1])}" for label, curve in medians.items() if curve]
    epochs = sorted({epoch for curve in medians.values() for epoch, _ in curve})
    lookup = {label: dict(curve) for label, curve in medians.items()}
    kind = "on validation" if field != name else "on training"
    kind = "" if name == "learning_rate" else f" {kind}"
    return make_panel(
        f"learning_{name}",
        f"{title}{kind}",
        f"Median over seeds after the last epoch: {'; '.join(last)}."
        + (" Thin lines: single runs. Dotted: the same on training examples." if field != name else ""),
        Table(
            ("epoch", *lookup),
            [(str(epoch), *(general(curve.get(epoch)) for curve in lookup.values())) for epoch in epochs],
        ),
        paint,
    )


def curve_of(history: Sequence[dict[str, Any]], field: str) -> list[tuple[int, float]]:
    """(epoch, value) where both are numbers."""
    pairs = ((line.get("epoch"), line.get(field)) for line in history)
    return [(epoch, value) for epoch, value in pairs if isinstance(epoch, int) and isinstance(value, int | float)]


def median_curve(histories: Sequence[Sequence[dict[str, Any]]], field: str) -> list[tuple[int, float]]:
    """The median over the runs that reached an epoch."""
    values: dict[int, list[float]] = {}
    for history in histories:
        for epoch, value in curve_of(history, field):
            values.setdefault(epoch, []).append(value)
    return [(epoch, median(values[epoch])) for epoch in sorted(values)]


def split(points: Sequence[tuple[int, float]]) -> tuple[list[float], list[float]]:
    """The x and the y values."""
    return [x for x, _ in points], [y for _, y in points]
