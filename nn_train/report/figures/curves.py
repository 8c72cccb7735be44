"""ROC and precision-recall curves: every class of one run, and micro for every run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes

from nn_train.evaluation.curves import Curve
from nn_train.report.figures.panel import Panel, Table, line, make_panel, reference
from nn_train.report.formats import area, percent
from nn_train.report.summary import ReportSummary

ROC, PR = "roc", "pr"
MANY = 12  # curves beyond which each is drawn faint
NEARLY_WHOLE = 0.8  # a zoom that reaches so far shows what the whole shows


@dataclass(frozen=True)
class Drawn:
    """A curve with its place in the figure: style, switch and name."""

    curve: Curve
    style: int
    series: str
    name: str


def class_curve_panels(summary: ReportSummary) -> Iterator[Panel]:
    """ROC and PR of each class and micro of the shown run, each whole, and zoomed where that shows more."""
    shown = summary.shown
    if shown is None:
        return
    drawn = [Drawn(c, i, f"c{i}", summary.class_names[i]) for i, c in enumerate(shown.its.curves)]
    drawn.append(Drawn(shown.its.micro, len(drawn), "micro", "micro"))
    drawn = [one for one in drawn if len(one.curve.thresholds)]
    for kind in (ROC, PR) if drawn else ():
        yield curve_panel(kind, f"{kind}_classes", drawn, zoom=False)
        if zoom_reach(kind, drawn) < NEARLY_WHOLE:
            yield curve_panel(kind, f"{kind}_classes_zoom", drawn, zoom=True)


def run_curve_panels(summary: ReportSummary) -> Iterator[Panel]:
    """Micro ROC and PR of every run, zoomed; nothing for a single run, which the class panels show."""
    drawn = [
        Drawn(run.its.micro, run.style, run.switches, run.name)
        for run in summary.evaluated()
        if len(run.its.micro.thresholds)
    ]
    for kind in (ROC, PR) if len(drawn) > 1 else ():
        yield curve_panel(kind, f"{kind}_runs", drawn, zoom=True)


def curve_panel(kind: str, key: str, drawn: Sequence[Drawn], *, zoom: bool) -> Panel:
    """One panel of ``kind``; ``zoom`` fits the axes to the corner where good curves differ."""
    many = len(drawn) > MANY

    # The last curve is micro, whose prevalence is the mean of the classes'.
    guessing = prevalence_of(drawn[-1].curve)

    def paint(axes: Axes) -> None:
        for one in drawn:
            x, y = coordinates(kind, one.curve)
            line(axes, x, y, one.style, one.series, faint=many)
        if kind == ROC:
            reference(axes, (0, 1), (0, 1))
            axes.set(xlabel="false positive rate", ylabel="true positive rate (recall)")
        else:
            reference(axes, (0, 1), (guessing, guessing))
            axes.set(xlabel="recall", ylabel="precision")
        if zoom:
            reach = max(0.005, zoom_reach(kind, drawn))
            axes.set_xlim((0, reach) if kind == ROC else (1 - reach, 1 + reach / 50))
            axes.set_ylim(1 - reach, 1 + reach / 50)
        else:
            axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))  # a good curve runs along the edge

    name = "ROC" if kind == ROC else "Precision-recall"
    title = f"{name} by run, micro-average" if key.endswith("runs") else f"{name} by class"
    baseline = (
        "Chance is the diagonal"
        if kind == ROC
        else f"Guessing has a precision of {percent(guessing, 1)}, the mean prevalence"
    )
    return make_panel(
        key,
        title + (", zoomed" if zoom else ""),
        f"{extremes(kind, drawn)} {baseline}. One-vs-rest on log-odds, every threshold.",
        Table(
            ("curve", "positives", "prevalence", "ROC AUC", "average precision"),
            [
                (
                    one.name, f"{one.curve.positives:,}", percent(prevalence_of(one.curve)),
                    area(one.curve.roc_auc), area(one.curve.average_precision),
                )
                for one in drawn
            ],
        ),
        paint,
    )  # fmt: skip


def coordinates(kind: str, curve: Curve) -> tuple[list[float], list[float]]:
    """The points to join, from no positive prediction on; PR starts at its first precision."""
    if kind == ROC:
        return [0.0, *curve.fpr.tolist()], [0.0, *curve.recall.tolist()]
    return [0.0, *curve.recall.tolist()], [float(curve.precision[0]), *curve.precision.tolist()]


def prevalence_of(curve: Curve) -> float:
    """Share of positives."""
    return curve.positives / (curve.positives + curve.negatives)


def zoom_reach(kind: str, drawn: Sequence[Drawn]) -> float:
    """How far from the ideal corner the zoom must reach to show where every curve comes nearest."""
    distances = []
    for one in drawn:
        x, y = coordinates(kind, one.curve)
        corner = (a if kind == ROC else 1 - a for a in x)
        distances.append(min(max(a, 1 - b) for a, b in zip(corner, y, strict=True)))
    return min(1.0, 2.5 * max(distances))


def extremes(kind: str, drawn: Sequence[Drawn]) -> str:
    """The lowest and the highest area in words."""
    numbers = [(one.curve.roc_auc if kind == ROC else one.curve.average_precision, one.name) for one in drawn]
    known = sorted((number.value, name) for number, name in numbers if number.value is not None)
    measure = "AUC" if kind == ROC else "Average precision"
    return f"{measure} from {known[0][0]:.4f} ({known[0][1]}) to {known[-1][0]:.4f} ({known[-1][1]})."
