"""When the runs ran and how fast."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from statistics import median
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import StrMethodFormatter

from nn_train.report.figures.learning import curve_of
from nn_train.report.figures.palette import series_colour
from nn_train.report.figures.panel import Panel, Table, drawn_rows, make_panel, name_rows
from nn_train.report.figures.svg import SERIES
from nn_train.report.formats import duration, general, whole
from nn_train.report.summary import ReportSummary, RunSummary


def cost_panels(summary: ReportSummary) -> Iterator[Panel]:
    """A time line, and examples per second; each only where something is known."""
    timed = [(run, span) for run in summary.runs if (span := span_of(run.record.result))]
    if timed:
        yield timeline_panel(timed)
    rates = [(run, rate) for run in summary.runs if (rate := throughput(run)) is not None]
    if rates:
        yield throughput_panel(rates)


def timeline_panel(timed: list[tuple[RunSummary, tuple[float, float]]]) -> Panel:
    """From start to finish, in minutes since the first start."""
    drawn, left_out = drawn_rows(timed)
    zero = min(start for _, (start, _) in timed)
    end = max(end for _, (_, end) in timed)

    def paint(axes: Axes) -> None:
        for row, (run, (start, finish)) in enumerate(drawn):
            bars(axes, run, row, (finish - start) / 60, left=(start - zero) / 60)
        name_rows(axes, [run.name for run, _ in drawn])
        axes.set_xlabel("minutes since the first start")

    busy = sum(finish - start for _, (start, finish) in timed)
    return make_panel(
        "timeline",
        "Time line",
        f"{len(timed)} runs took {duration(busy)} together, within {duration(end - zero)}.{left_out}",
        Table(
            ("run", "started after", "wall time", "workers", "device"),
            [
                (
                    run.name, duration(start - zero), duration(finish - start),
                    general(run.record.result.get("world_size")), general(run.record.result.get("device")),
                )
                for run, (start, finish) in timed
            ],
        ),
        paint,
        height=max(1.6, 0.7 + 0.24 * len(drawn)),
    )  # fmt: skip


def throughput_panel(rates: list[tuple[RunSummary, float]]) -> Panel:
    """Median over the epochs of the training examples per second."""
    drawn, left_out = drawn_rows(rates)

    def paint(axes: Axes) -> None:
        for row, (run, rate) in enumerate(drawn):
            bars(axes, run, row, rate)
        name_rows(axes, [run.name for run, _ in drawn])
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axes.set_xlabel("training examples per second")

    slowest, fastest = min(rates, key=lambda pair: pair[1]), max(rates, key=lambda pair: pair[1])
    return make_panel(
        "throughput",
        "Throughput",
        f"From {whole(slowest[1])} ({slowest[0].name}) to {whole(fastest[1])} examples per second ({fastest[0].name}), "
        f"each the median of its epochs.{left_out}",
        Table(("run", "examples per second"), [(run.name, whole(rate)) for run, rate in rates]),
        paint,
        height=max(1.6, 0.7 + 0.24 * len(drawn)),
    )


def bars(axes: Axes, run: RunSummary, row: int, width: float, left: float = 0.0) -> None:
    """One horizontal bar in the colour of the run's group."""
    patch = axes.barh(row, width, left=left, height=0.6, color=series_colour(run.style))[0]
    patch.set_gid(SERIES + run.series)


def span_of(result: dict[str, Any]) -> tuple[float, float] | None:
    """Start and finish in seconds, None where either is unknown or not a time."""
    try:
        # Python 3.10 does not read the Z that stands for UTC.
        start, end = (
            datetime.fromisoformat(str(result.get(name)).replace("Z", "+00:00")).timestamp()
            for name in ("started_at", "finished_at")
        )
    except ValueError:
        return None
    return (start, end) if end >= start else None


def throughput(run: RunSummary) -> float | None:
    """Median examples per second; the first epoch, which compiles, hardly moves a median."""
    values = [value for _, value in curve_of(run.record.history, "samples_per_second")]
    return median(values) if values else None
