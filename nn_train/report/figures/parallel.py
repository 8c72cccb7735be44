"""Parallel coordinates of a search: one line a trial, one axis a setting, the best trials in colour."""

from __future__ import annotations

import math

from matplotlib.axes import Axes

from nn_train.report.figures.palette import MUTED, OTHER, series_colour
from nn_train.report.figures.panel import Panel, Table, cut, make_panel
from nn_train.report.formats import decimal, general
from nn_train.report.inputs.search_results import SearchResult, Trial

BEST_DRAWN, OTHERS_DRAWN, ROWS = 20, 180, 20


def parallel_panel(search: SearchResult) -> Panel:
    """At most ``BEST_DRAWN`` best trials in colour and ``OTHERS_DRAWN`` others, evenly chosen, in grey."""
    ranked = search.ranked()
    best = ranked[: min(BEST_DRAWN, max(1, len(ranked) // 10))]
    rest = ranked[len(best) :]
    others = rest[:: max(1, -(-len(rest) // OTHERS_DRAWN))]
    names = [*search.params, search.metric]
    scales = [Scale([column(trial, name, search.metric) for trial in ranked]) for name in names]

    def paint(axes: Axes) -> None:
        for trials, colour, width, alpha in ((others, OTHER, 0.6, 0.5), (best, series_colour(1), 1.5, 0.9)):
            for trial in trials:
                heights = [scale(column(trial, name, search.metric)) for scale, name in zip(scales, names, strict=True)]
                axes.plot(range(len(names)), heights, color=colour, linewidth=width, alpha=alpha)
        for place, scale in enumerate(scales):
            axes.plot((place, place), (0, 1), color=MUTED, linewidth=0.8)
            axes.annotate(scale.top, (place, 1.03), ha="center", va="bottom", fontsize=7.5)
            axes.annotate(scale.bottom, (place, -0.03), ha="center", va="top", fontsize=7.5)
        axes.set(ylim=(-0.14, 1.14), xlim=(-0.4, len(names) - 0.6))
        axes.set_xticks(range(len(names)), [cut(name.split(".")[-1], 14) for name in names], rotation=30, ha="right")
        axes.set_yticks([])
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)

    left_out = len(rest) - len(others)
    tail = f" {left_out:,} others are left out of the drawing." if left_out else ""
    return make_panel(
        f"{search.stem}_parallel",
        "Settings of the best trials",
        f"The {len(best)} best of {len(ranked)} completed trials in colour; {search.metric} from "
        f"{decimal(ranked[-1].value)} to {decimal(ranked[0].value)}.{tail}",
        Table(
            ("trial", *names),
            [
                (trial.trial_id, *(general(trial.params[name]) for name in search.params), decimal(trial.value))
                for trial in ranked[:ROWS]
            ],
        ),
        paint,
    )


def column(trial: Trial, name: str, metric: str) -> float | str:
    """The value of a trial on one axis."""
    return trial.score if name == metric and name not in trial.params else trial.params[name]


def spans_decades(values: list[float]) -> bool:
    """Whether a logarithmic axis shows positive values better: they span a factor of 10 or more."""
    return min(values) > 0 and max(values) / min(values) >= 10


class Scale:
    """Places the values of one axis between 0 and 1, logarithmically where they span decades."""

    def __init__(self, values: list[float | str]) -> None:
        numbers = [value for value in values if isinstance(value, float)]
        self.texts = [] if len(numbers) == len(values) else sorted({str(value) for value in values})
        self.log = False
        if self.texts:
            self.low, self.high = 0.0, len(self.texts) - 1.0
            self.bottom, self.top = cut(self.texts[0], 12), cut(self.texts[-1], 12)
        else:
            self.low, self.high = min(numbers), max(numbers)
            self.bottom, self.top = general(self.low), general(self.high)
            self.log = spans_decades(numbers)

    def __call__(self, value: float | str) -> float:
        place = float(self.texts.index(str(value))) if self.texts else float(value)
        if self.high == self.low:
            return 0.5
        if self.log:
            return math.log(place / self.low) / math.log(self.high / self.low)
        return (place - self.low) / (self.high - self.low)
