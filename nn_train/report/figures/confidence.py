"""Calibration, and accuracy against coverage."""

from __future__ import annotations

from collections.abc import Iterator

from matplotlib.axes import Axes

from nn_train.evaluation.calibration import QUANTILE, UNIFORM
from nn_train.report.figures.palette import series_colour
from nn_train.report.figures.panel import Panel, Table, line, make_panel, reference
from nn_train.report.figures.svg import SERIES
from nn_train.report.formats import decimal, percent, percent_interval
from nn_train.report.summary import ReportSummary, RunSummary

SCHEMES = ((UNIFORM, "bins of equal width"), (QUANTILE, "bins of equal count"))


def confidence_panels(summary: ReportSummary) -> Iterator[Panel]:
    """Reliability in both binnings, how often each confidence is given, and accuracy against coverage."""
    # The shown run last, so that it lies on top.
    runs = sorted(summary.evaluated(), key=lambda run: run is summary.shown)
    if not runs:
        return
    for scheme, how in SCHEMES:
        yield reliability_panel(scheme, how, runs)
    yield coverage_panel(runs)


def reliability_panel(scheme: str, how: str, runs: list[RunSummary]) -> Panel:
    """Accuracy against mean confidence; bars are the Wilson intervals of the shown run."""
    shown = runs[-1]
    bins = shown.its.calibration.scheme(scheme)

    lowest = min(one.mean_confidence for run in runs for one in run.its.calibration.scheme(scheme))

    def paint(axes: Axes) -> None:
        reference(axes, (lowest, 1), (lowest, 1))
        for run in runs:
            points = run.its.calibration.scheme(scheme)
            x, y = [one.mean_confidence for one in points], [one.accuracy.value or 0.0 for one in points]
            line(axes, x, y, run.style, run.switches, faint=run is not runs[-1])
        for one in bins:
            axes.plot(
                [one.mean_confidence] * 2, one.accuracy.interval or (), color=series_colour(shown.style),
                linewidth=1, gid=SERIES + shown.switches,
            )  # fmt: skip
        axes.set(xlabel="mean confidence", ylabel="share correct", xlim=(lowest - 0.02, 1.01))
        axes.set_ylim(top=1.01)

    worst = max(bins, key=lambda one: one.count * abs((one.accuracy.value or 0.0) - one.mean_confidence))
    ece = shown.its.numbers[f"ece_{scheme}"]
    gap = worst.mean_confidence - (worst.accuracy.value or 0.0)
    tendency = "above" if gap > 0 else "below"
    return make_panel(
        f"calibration_{scheme}",
        f"Calibration, {how}",
        f"{shown.name}: ECE {decimal(ece.value)}. The bin that adds most to it has a confidence of "
        f"{percent(worst.mean_confidence)} and is right {percent(worst.accuracy.value)} of the time: confidence "
        f"{tendency} accuracy. On the diagonal the two agree.",
        Table(
            ("confidence", "examples", "mean confidence", "share correct", "95 % interval"),
            [
                (
                    f"{one.lowest:.4f}–{one.highest:.4f}", f"{one.count:,}", percent(one.mean_confidence),
                    percent(one.accuracy.value), percent_interval(one.accuracy),
                )
                for one in bins
            ],
        ),
        paint,
    )  # fmt: skip


def coverage_panel(runs: list[RunSummary]) -> Panel:
    """Accuracy over the share of examples answered."""
    shown = runs[-1].its.coverage

    def paint(axes: Axes) -> None:
        for run in runs:
            coverage = run.its.coverage
            share = coverage.answered / coverage.answered[-1]
            accuracy = 100 * coverage.correct / coverage.answered
            # The first few examples make the curve jump between 0 and 100 %; they say nothing.
            start = int(coverage.answered.searchsorted(0.02 * coverage.answered[-1]))
            line(
                axes,
                (100 * share[start:]).tolist(),
                accuracy[start:].tolist(),
                run.style,
                run.switches,
                faint=run is not runs[-1],
            )
        axes.set(xlabel="examples answered, % (most confident first)", ylabel="accuracy, %", xlim=(0, 101))

    at = next(point for point in shown.points if point.share == 0.9)
    return make_panel(
        "coverage",
        "Accuracy against coverage",
        f"{runs[-1].name}: answering the surest {percent(at.coverage, 1)} (confidence at least "
        f"{at.least_confidence:.4f}) is right {percent(at.accuracy.value)} of the time; answering all, "
        f"{percent(shown.points[-1].accuracy.value)}. "
        f"Area under the risk-coverage curve {decimal(shown.aurc.value, 5)}.",
        Table(
            ("answered", "least confidence", "accuracy", "95 % interval"),
            [
                (
                    percent(point.coverage, 1), f"{point.least_confidence:.4f}", percent(point.accuracy.value),
                    percent_interval(point.accuracy),
                )
                for point in shown.points
            ],
        ),
        paint,
    )  # fmt: skip
