"""The answer in the first lines of the page, and what limits it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from nn_train.evaluation.comparison import Comparison, ErrorComparison
from nn_train.evaluation.intervals import mean_over_seeds
from nn_train.report.formats import NBSP, area, decimal, four_digits, general, interval_of, p_value, percent, whole
from nn_train.report.measures import measures
from nn_train.report.page.parts import Cell, Grid, Row
from nn_train.report.summary import ReportSummary, RunSummary
from nn_train.report.tables import DOUBTFUL_MNIST, data_source

METRIC_NAMES = {"val_accuracy": "validation accuracy", "val_loss": "validation loss"}


def verdict(summary: ReportSummary) -> dict[str, Any] | None:
    """Headline, the two uncertainties, how the run was selected, and how it compares, as the templates name them; None
    when no run could be evaluated."""
    shown = summary.shown
    if shown is None:
        return None
    measure = measures(summary)[0]
    number = shown.number(measure.name)
    assert number is not None
    group = summary.evaluated(shown.group)
    mean, sd = mean_over_seeds([its.value for run in group if (its := run.number(measure.name))])
    if sd.value is None:
        seeds, note = "unknown", "only one seed was trained; train with other seeds to learn what training again gives"
    else:
        of_mean = decimal(100 * (mean.value or 0.0), 2) if measure.show is percent else measure.show(mean.value)
        seeds = f"{of_mean} ± {measure.show(sd.value)}"
        note = f"mean ± SD over {mean.n} seeds of {shown.group}: what training again with another seed gives"
    return {
        **(headline_of_numbers(shown) if summary.is_regression else headline_of_classes(shown)),
        "measure": "mean absolute error" if summary.is_regression else measure.title,
        "value": measure.show(number.value),
        "interval": measure.interval(number),
        "seeds": seeds,
        "seeds_note": note,
        "selection": selection_text(summary, shown),
        "comparison": comparison_text(summary, shown),
    }


def headline_of_classes(shown: RunSummary) -> dict[str, Any]:
    """The headline, what the interval is of, and the next numbers, of class scores."""
    numbers = shown.its.numbers
    accuracy = numbers["accuracy"]
    return {
        "headline": f"{shown.name} gets {percent(accuracy.value)} of the test set right",
        "test_note": f"Wilson 95 % interval over {whole(accuracy.n)} test examples: what this model would score on "
        "other examples of the same kind",
        "facts": [
            ("mistakes", whole(accuracy.n - shown.its.confusion.trace())),
            ("macro F1", percent(numbers["f1_macro"].value)),
            ("log-loss", decimal(numbers["log_loss"].value)),
            ("macro ROC AUC", area(numbers["roc_auc_macro"])),
            ("ECE", decimal(numbers["ece_uniform"].value)),
        ],
    }


def headline_of_numbers(shown: RunSummary) -> dict[str, Any]:
    """The headline, what the interval is of, and the next numbers, of a regression."""
    numbers = shown.errors.numbers
    explained = numbers["r2"]
    largest = shown.errors.largest[0]
    return {
        "headline": f"{shown.name} is off by {four_digits(numbers['mae'].value)} on average",
        "test_note": f"mean absolute error over {whole(len(shown.errors.absolute))} test examples, in units of the "
        "target as the data give it, with its 95 % interval: what this model would reach on other examples of the same "
        "kind",
        "facts": [
            ("RMSE", four_digits(numbers["rmse"].value)),
            ("median absolute error", four_digits(numbers["median_absolute_error"].value)),
            ("R²", decimal(explained.value)),
            ("bias", four_digits(numbers["bias"].value)),
            ("largest error", four_digits(abs(largest.predicted - largest.true))),
        ],
    }


def selection_text(summary: ReportSummary, shown: RunSummary) -> str:
    """How the shown run was chosen."""
    selection = summary.selection
    if selection.metric is None:
        return (
            "No run has a validation metric, so none was selected: choosing by the test set would make its numbers "
            f"look better than they are. Details are shown for the first run, {shown.name}."
        )
    name = METRIC_NAMES[selection.metric]
    value = percent(selection.value) if selection.metric == "val_accuracy" else general(selection.value)
    if len(summary.runs) == 1:
        return f"The only run; its {name} was {value}. The test set played no part in training it."
    rivals, seeds = len(summary.groups), len(summary.evaluated(shown.group))
    why = [f"{shown.group} has the best mean {name} of {rivals} configurations"] if rivals > 1 else []
    why += [f"{shown.name}{'' if why else ' has'} the best {name} of its {seeds} seeds"] if seeds > 1 else []
    return f"Selected on validation, never on the test set: {', and '.join(why)} ({value})."


def comparison_text(summary: ReportSummary, shown: RunSummary) -> str:
    """The shown run against the best of the others, by how many examples tell them apart."""
    pairs = [pair for pair in summary.comparisons if shown.name in (pair.first, pair.second)]
    if not pairs:
        return ""
    measure = measures(summary)[0]
    reached = {run.name: number.value or 0.0 for run in summary.evaluated() if (number := run.number(measure.name))}
    better = min if summary.is_regression else max
    pair = better(pairs, key=lambda one: reached[other_name(one, shown.name)])
    other = other_name(pair, shown.name)
    if isinstance(pair, ErrorComparison):
        sign = 1 if pair.first == shown.name else -1
        less = -sign * (pair.difference.value or 0.0)
        p = pair.p_holm.value or 0.0
        return (
            f"Against {other} ({four_digits(reached[other])}): its error is {four_digits(abs(less))} "
            f"{'smaller' if less >= 0 else 'larger'} on average. {judgement(p)} (paired bootstrap over examples, "
            f"Holm-corrected p{NBSP}{p_text(p)})."
        )
    won, lost = (pair.only_first, pair.only_second) if pair.first == shown.name else (pair.only_second, pair.only_first)
    p = pair.p_holm.value or 0.0
    return (
        f"Against {other} ({percent(reached[other])}): right on {won} examples that it gets wrong, wrong on "
        f"{lost} that it gets right. {judgement(p)} (exact McNemar, Holm-corrected p{NBSP}{p_text(p)})."
    )


def judgement(p: float) -> str:
    """What a corrected probability says."""
    return "The difference is more than chance" if p < 0.05 else "The difference may be chance"


def other_name(pair: Comparison | ErrorComparison, name: str) -> str:
    """The run of a pair that is not ``name``."""
    return pair.second if pair.first == name else pair.first


def p_text(p: float) -> str:
    """``= 0.0312`` or ``< 0.0001``."""
    text = p_value(p)
    return text if text.startswith("<") else f"={NBSP}{text}"


def comparison_grid(summary: ReportSummary, most: int = 45) -> Grid:
    """Pairs of configurations; those with the shown run first, at most ``most``."""
    shown = summary.shown.name if summary.shown else ""
    compared: Sequence[Comparison | ErrorComparison] = summary.comparisons
    pairs = sorted(compared, key=lambda pair: shown not in (pair.first, pair.second))[:most]
    rows = [
        Row(
            [
                Cell(f"{pair.first} / {pair.second}", pair.first),
                *difference_cells(pair),
                Cell(p_value(pair.p_value.value), pair.p_value.value),
                Cell(p_value(pair.p_holm.value), pair.p_holm.value),
            ]
        )
        for pair in pairs
    ]
    columns = ("only the first right", "only the second right", "p (McNemar)")
    if summary.is_regression:
        columns = ("MAE of the first - second", "95 % interval", "p (bootstrap)")
    return Grid(("first / second", *columns, "p (Holm)"), rows)


def difference_cells(pair: Comparison | ErrorComparison) -> list[Cell]:
    """The two cells of how the runs of a pair differ."""
    if isinstance(pair, ErrorComparison):
        number = pair.difference
        return [Cell(four_digits(number.value), number.value), Cell(interval_of(number), number.value)]
    return [Cell(whole(pair.only_first), pair.only_first), Cell(whole(pair.only_second), pair.only_second)]


def limitations(summary: ReportSummary) -> Iterator[str]:
    """What a reader should know before relying on the numbers."""
    seeds = {len(summary.evaluated(group.label)) for group in summary.groups} - {0}
    if seeds and min(seeds) < 5:
        least = min(seeds)
        yield (
            f"Some configurations have only {least} seed{'s' if least > 1 else ''}: a spread over fewer than "
            "about five seeds is itself uncertain."
        )
    yield (
        "The intervals over the test set and the spread over seeds are two different uncertainties. Neither covers "
        "data of another kind than this test set."
    )
    yield from limitations_of_numbers(summary) if summary.is_regression else limitations_of_classes(summary)
    for run in summary.runs:
        if run.problem:
            yield f"{run.name} has no numbers: {run.problem}."


def limitations_of_classes(summary: ReportSummary) -> Iterator[str]:
    """What is to be known of the numbers of classes."""
    yield "ECE depends on the binning and is biased upwards; compare it only between runs of the same report."
    small = [name for name, count in zip(summary.class_names, summary.support, strict=True) if count < 100]
    if small:
        yield f"Few test examples (under 100) for: {', '.join(small[:10])}{' …' if len(small) > 10 else ''}."
    if any(data_source(run.record) == "mnist" for run in summary.runs):
        yield (
            f"{len(DOUBTFUL_MNIST)} labels of the MNIST test set are themselves in doubt (Northcutt et al., 2021); "
            "they are counted as they are and marked among the mistakes."
        )
    if any(run.its.micro.roc_auc.bounds for run in summary.evaluated()):
        yield "The test set is too large to sort: areas under curves come from histograms, with bounds beside them."


def limitations_of_numbers(summary: ReportSummary) -> Iterator[str]:
    """What is to be known of the numbers of a regression."""
    yield (
        "All errors are in units of the targets that the data function gives. Where it has standardised these, an "
        "error of 1 is one standard deviation, and not one of the thing that was measured."
    )
    yield "R² compares with the mean of these test targets; on targets that vary less the same errors give a lower one."
