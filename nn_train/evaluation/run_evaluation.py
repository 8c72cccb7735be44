"""All numbers of one run, from its predictions and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nn_train.evaluation.calibration import Calibration, calibrate
from nn_train.evaluation.classification import accuracy, average, class_numbers, confusion
from nn_train.evaluation.coverage import Coverage, cover
from nn_train.evaluation.curves import Curve, exact_curves
from nn_train.evaluation.histograms import histogram_curves
from nn_train.evaluation.intervals import mean_over_examples
from nn_train.evaluation.numbers import Number
from nn_train.evaluation.predictions import PredictionError, Predictions
from nn_train.evaluation.scores import RowScores, score_rows

EXACT_ROWS = 1_000_000  # above it curves come from histograms


@dataclass(frozen=True)
class Aggregates:
    """What one run reached on one test set; nothing here grows with that.

    Attributes:
        confusion: int64 [C, C].
        per_class: for every class its ``precision``, ``recall``, ``f1``, ``roc_auc``, ``average_precision``.
        numbers: what describes the whole run, by name.
    """

    confusion: NDArray[np.int64]
    per_class: tuple[dict[str, Number], ...]
    numbers: dict[str, Number]
    calibration: Calibration
    coverage: Coverage


@dataclass(frozen=True)
class RunEvaluation(Aggregates):
    """The aggregates of a run, and its ``scores``: one row per example."""

    scores: RowScores


def evaluate(
    predictions: Predictions, on_curve: Callable[[Curve], None] = lambda curve: None, exact_rows: int = EXACT_ROWS
) -> RunEvaluation:
    """Every number of a run.

    Args:
        on_curve: called with each class's curve and then with micro, so that not all need be in memory.
        exact_rows: above this number of rows curves come from histograms, with bounds.

    Raises:
        PredictionError: the predictions have a ``problem``.
    """
    if predictions.problem:
        raise PredictionError(predictions.problem)
    scores = score_rows(predictions)
    counts = confusion(predictions.y_true, scores.predicted, predictions.classes)
    calibration, coverage = calibrate(scores), cover(scores)
    per_class = [class_numbers(counts, label) for label in range(predictions.classes)]
    numbers = {
        "accuracy": accuracy(counts),
        "log_loss": mean_over_examples(scores.log_loss, "mean of -log p of the true class"),
        "brier": mean_over_examples(scores.brier, "mean of Σ (p_k - [k is true])², 0 to 2"),
        "ece_uniform": calibration.ece_uniform,
        "ece_quantile": calibration.ece_quantile,
        "aurc": coverage.aurc,
    }
    curves = exact_curves if len(predictions) <= exact_rows else histogram_curves
    for curve in curves(predictions):
        on_curve(curve)
        areas = {"roc_auc": curve.roc_auc, "average_precision": curve.average_precision}
        if curve.label is None:
            numbers.update({f"{name}_micro": number for name, number in areas.items()})
        else:
            per_class[curve.label].update(areas)
    numbers.update(averages(per_class, counts.sum(axis=1).tolist()))
    return RunEvaluation(counts, tuple(per_class), numbers, calibration, coverage, scores)


def averages(per_class: Sequence[dict[str, Number]], supports: Sequence[int]) -> dict[str, Number]:
    """Macro and weighted means of every per-class number."""
    result = {}
    for name in per_class[0]:
        column = [numbers[name] for numbers in per_class]
        result[f"{name}_macro"] = average(column)
        result[f"{name}_weighted"] = average(column, supports)
    return result
