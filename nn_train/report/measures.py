"""The numbers of a run that the tables show side by side, by task: the first is the headline."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from nn_train.evaluation import Number
from nn_train.report.formats import decimal, four_digits, interval_of, percent, percent_interval
from nn_train.report.summary import ReportSummary


@dataclass(frozen=True)
class Measure:
    """One number.

    Attributes:
        name: in ``numbers``.
        title: as tables call it.
        kind, card: type and title in a model card; empty where it is not in one.
        show, interval: its formats; ``interval`` gives an empty text where none is shown.
    """

    name: str
    title: str
    show: Callable[[float | None], str]
    interval: Callable[[Number | None], str] = lambda number: ""
    kind: str = ""
    card: str = ""


def bounds_of(number: Number | None) -> str:
    """Return the bounds of an area that is an approximation."""
    bounds = number.bounds if number else None
    return f"[{decimal(bounds[0], 5)}, {decimal(bounds[1], 5)}]" if bounds else ""


def five_digits(value: float | None) -> str:
    """Return a number of the size of 1 as ``0.99873``."""
    return decimal(value, 5)


OF_CLASSES = (
    Measure("accuracy", "test accuracy", percent, percent_interval, "accuracy", "Test accuracy"),
    Measure("f1_macro", "macro F1", percent, kind="f1", card="Macro F1"),
    Measure("log_loss", "log-loss", decimal, kind="log_loss", card="Log-loss"),
    Measure("roc_auc_macro", "macro AUC", five_digits, bounds_of, "roc_auc", "Macro ROC AUC, one-vs-rest"),
    Measure(
        "average_precision_macro",
        "macro AP",
        five_digits,
        bounds_of,
        "average_precision",
        "Macro average precision, one-vs-rest",
    ),
    Measure("ece_uniform", "ECE", decimal),
)
OF_NUMBERS = (
    Measure("mae", "MAE", four_digits, interval_of, "mae", "Mean absolute error"),
    Measure("rmse", "RMSE", four_digits, interval_of, "rmse", "Root mean squared error"),
    Measure("median_absolute_error", "median error", four_digits, interval_of, "medae", "Median absolute error"),
    Measure("r2", "R²", decimal, interval_of, "r2", "R²"),
    Measure("bias", "bias", four_digits, interval_of, "bias", "Mean of predicted - target"),
)


def measures(summary: ReportSummary) -> tuple[Measure, ...]:
    """Return those of the report's task."""
    return OF_NUMBERS if summary.is_regression else OF_CLASSES
