"""A regression's errors: predicted against true numbers, residuals, their distribution, and by decile of the target."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from nn_train.evaluation.regression import QuantileError
from nn_train.report.figures.palette import MUTED, series_colour
from nn_train.report.figures.panel import Panel, Table, drawn_rows, make_panel, name_rows, reference
from nn_train.report.figures.svg import SERIES
from nn_train.report.formats import four_digits, interval_of, percent, whole
from nn_train.report.summary import ReportSummary

MOST_TARGETS = 4  # of which figures are drawn; metrics.json has all
MOST_POINTS = 2_000  # more are drawn as a density
CELLS, LEVELS = 40, 8  # of a density
BINS = 31
Floats = NDArray[np.float64]


def error_panel(summary: ReportSummary) -> Iterator[Panel]:
    """Draw the mean absolute error of every run with its interval; nothing without runs."""
    numbers = [(run, run.errors.numbers["mae"]) for group in summary.groups for run in summary.evaluated(group.label)]
    if not numbers:
        return
    drawn, left_out = drawn_rows(numbers)

    def paint(axes: Axes) -> None:
        for row, (run, number) in enumerate(drawn):
            colour = series_colour(run.style)
            if number.interval:
                axes.plot(number.interval, [row, row], color=colour, linewidth=1.6, gid=SERIES + run.series)
            axes.plot([number.value or 0.0], [row], marker="o", markersize=4.5, color=colour, markeredgecolor=MUTED,
                      markeredgewidth=0.4, gid=SERIES + run.series)  # fmt: skip
        name_rows(axes, [run.name for run, _ in drawn])
        axes.set_xlabel("mean absolute error on the test set (95 %)")

    ordered = sorted(numbers, key=lambda entry: entry[1].value or 0.0)
    (best, low), (worst, high) = ordered[0], ordered[-1]
    yield make_panel(
        "error",
        "Mean absolute error of every run",
        f"From {four_digits(low.value)} ({best.name}) to {four_digits(high.value)} ({worst.name}), in units of the "
        "target. The bars show what another test set of this size could give; the distance between runs of one colour "
        "is the effect of the seed." + left_out,
        Table(
            ("run", "configuration", "MAE", "95 % interval"),
            [(run.name, run.group, four_digits(n.value), interval_of(n)) for run, n in numbers],
        ),
        paint,
        height=max(1.6, 0.7 + 0.24 * len(drawn)),
    )


def target_panels(summary: ReportSummary) -> Iterator[Panel]:
    """Draw each target of the shown run; nothing without one."""
    if summary.shown is None or summary.shown.errors.drawn is None:
        return
    drawn, several = summary.shown.errors.drawn, len(summary.targets) > 1
    for at, name in enumerate(summary.targets[:MOST_TARGETS]):
        y, given = drawn.y_true[:, at], drawn.y_pred[:, at].astype(np.float64)
        suffix, of = (f"_{at}", f" of {name}") if several else ("", "")
        yield scatter_panel(f"predicted{suffix}", f"Predicted and true values{of}", y, given)
        yield residual_panel(f"residuals{suffix}", f"Residuals{of}", y, given)
        yield distribution_panel(f"distribution{suffix}", f"Distribution of the residuals{of}", given - y)
        yield quantile_panel(f"by_decile{suffix}", f"Error by decile{of}", summary.shown.errors.quantiles[at])


def scatter_panel(key: str, title: str, y: Floats, given: Floats) -> Panel:
    """Draw predicted against true values; on the diagonal they are equal."""
    low, high = float(min(y.min(), given.min())), float(max(y.max(), given.max()))

    def paint(axes: Axes) -> None:
        reference(axes, [low, high], [low, high])
        points(axes, y, given)
        axes.set(xlabel="true value", ylabel="predicted value")

    above = float(np.mean(given > y))
    return make_panel(
        key,
        title,
        f"Each point is a test example{density_words(y)}; on the dashed line both are equal. Above it, where the "
        f"prediction is too high, lie {percent(above, 1)}. True values span {four_digits(float(y.min()))} to "
        f"{four_digits(float(y.max()))}, predicted ones {four_digits(float(given.min()))} to "
        f"{four_digits(float(given.max()))}.",
        summary_table({"true": y, "predicted": given}),
        paint,
    )


def residual_panel(key: str, title: str, y: Floats, given: Floats) -> Panel:
    """Draw the residuals over the predicted values."""
    residuals = given - y

    def paint(axes: Axes) -> None:
        reference(axes, [float(given.min()), float(given.max())], [0, 0])
        points(axes, given, residuals)
        axes.set(xlabel="predicted value", ylabel="predicted - true")

    return make_panel(
        key,
        title,
        f"Predicted minus true over the predicted value{density_words(y)}. A band of one width around 0 is what errors "
        "look like that do not depend on the prediction; a slope or a funnel is something that the model has missed.",
        summary_table({"residual": residuals}),
        paint,
    )


def distribution_panel(key: str, title: str, residuals: Floats) -> Panel:
    """Draw how often each residual occurs."""
    counts, edges = np.histogram(residuals, bins=BINS)

    def paint(axes: Axes) -> None:
        axes.stairs(counts, edges, fill=True, color=series_colour(0), alpha=0.6)
        axes.axvline(0, color=MUTED, linewidth=0.8, linestyle=(0, (2, 2)))
        axes.set(xlabel="predicted - true", ylabel="test examples")

    low, high = np.quantile(residuals, [0.05, 0.95])
    rows = [
        (f"{four_digits(float(a))} to {four_digits(float(b))}", whole(int(n)))
        for a, b, n in zip(edges[:-1], edges[1:], counts, strict=True)
    ]
    return make_panel(
        key,
        title,
        f"Nine of ten residuals lie between {four_digits(float(low))} and {four_digits(float(high))}; the median is "
        f"{four_digits(float(np.median(residuals)))}.",
        Table(("predicted - true", "test examples"), rows),
        paint,
    )


def quantile_panel(key: str, title: str, quantiles: tuple[QuantileError, ...]) -> Panel:
    """Draw the mean absolute error of the examples in each decile of the target."""
    names = [f"{four_digits(one.low)} to {four_digits(one.high)}" for one in quantiles]

    def paint(axes: Axes) -> None:
        for row, one in enumerate(quantiles):
            if one.mae.interval:
                axes.plot(one.mae.interval, [row, row], color=series_colour(0), linewidth=1.6)
            axes.plot([one.mae.value or 0.0], [row], marker="o", markersize=4.5, color=series_colour(0))
        name_rows(axes, names)
        axes.set_xlabel("mean absolute error (95 %)")

    worst = max(range(len(quantiles)), key=lambda at: quantiles[at].mae.value or 0.0)
    return make_panel(
        key,
        title,
        f"The test examples by their true value, in tenths. The largest mean error is that of {names[worst]}: "
        f"{four_digits(quantiles[worst].mae.value)}, with a bias of {four_digits(quantiles[worst].bias.value)}.",
        Table(
            ("true value", "test examples", "MAE", "95 % interval", "bias"),
            [
                (
                    name, whole(one.mae.n), four_digits(one.mae.value), interval_of(one.mae),
                    four_digits(one.bias.value),
                )
                for name, one in zip(names, quantiles, strict=True)
            ],
        ),
        paint,
    )  # fmt: skip


def points(axes: Axes, x: Floats, y: Floats) -> None:
    """Draw points, or, where they are too many, squares whose strength is how many lie there."""
    colour = series_colour(0)
    if len(x) <= MOST_POINTS:
        axes.plot(x, y, linestyle="", marker="o", markersize=3, color=colour, alpha=0.7, markeredgewidth=0)
        return
    counts, columns, rows = np.histogram2d(x, y, bins=CELLS)
    strength = np.ceil(LEVELS * np.log1p(counts) / np.log1p(counts.max())).astype(int)
    middles = (columns[:-1] + columns[1:]) / 2, (rows[:-1] + rows[1:]) / 2
    for level in range(1, LEVELS + 1):
        column, row = np.nonzero(strength == level)
        axes.plot(middles[0][column], middles[1][row], linestyle="", marker="s", markersize=4.5, color=colour,
                  alpha=level / LEVELS, markeredgewidth=0)  # fmt: skip


def density_words(x: Floats) -> str:
    return "" if len(x) <= MOST_POINTS else f", drawn as a density of {whole(len(x))} (logarithmic)"


def summary_table(columns: dict[str, Floats]) -> Table:
    """Make the table beside points, which are too many to list: their quantiles."""
    shares = (0, 0.05, 0.25, 0.5, 0.75, 0.95, 1)
    rows = [
        (percent(share, 0), *(four_digits(float(np.quantile(values, share))) for values in columns.values()))
        for share in shares
    ]
    return Table(("quantile", *columns), rows)
