"""What a report keeps of one run: its numbers, and what is drawn of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from nn_train.evaluation import AnyPredictions, NumberPredictions, PredictionNote, Predictions
from nn_train.evaluation.coverage import Coverage
from nn_train.evaluation.curves import Curve
from nn_train.evaluation.mistakes import Mistake, confident_mistakes
from nn_train.evaluation.regression import RegressionNumbers, evaluate_numbers
from nn_train.evaluation.run_evaluation import Aggregates, evaluate
from nn_train.report.inputs.runs import RunRecord

DRAWN_POINTS = 2_000  # per micro curve kept for drawing; curves.csv has all of them
LARGEST = 24  # errors that errors.csv lists
OnCurve = Callable[[RunRecord, Curve], None]


@dataclass(frozen=True, kw_only=True)
class EvaluatedClasses(Aggregates):
    """The aggregates of one run, and what is drawn of it; nothing here grows with the test set but a bit an example."""

    note: PredictionNote
    micro: Curve
    curves: tuple[Curve, ...]
    mistakes: tuple[Mistake, ...]
    correct_bits: NDArray[np.uint8]


@dataclass(frozen=True)
class LargeError:
    """One of the largest errors: row in the predictions, id, number of the target, its value and the predicted one."""

    row: int
    example_id: int
    target: int
    true: float
    predicted: float


@dataclass(frozen=True, kw_only=True)
class EvaluatedNumbers(RegressionNumbers):
    """The numbers of one regression.

    Attributes:
        largest: the largest errors, the largest first.
        absolute: float32 [N], the mean absolute error of each example over its targets, for comparisons.
        drawn: the predictions, of the run whose details are shown; else None.
    """

    note: PredictionNote
    largest: tuple[LargeError, ...]
    absolute: NDArray[np.float32]
    drawn: NumberPredictions | None


Evaluated = EvaluatedClasses | EvaluatedNumbers


def evaluate_run(
    record: RunRecord,
    predictions: AnyPredictions,
    note: PredictionNote,
    on_curve: OnCurve,
    is_shown: bool,
    exact_rows: int,
) -> Evaluated:
    """Evaluate one run, and keep what the report shows of it.

    Args:
        on_curve: called with each curve of class scores.
        is_shown: whether its details are to be drawn.
        exact_rows: above this number of examples curves come from histograms.
    """
    if isinstance(predictions, Predictions):
        return evaluate_classes(record, predictions, note, on_curve, is_shown, exact_rows)
    found = evaluate_numbers(predictions)
    errors = np.abs(predictions.y_pred - predictions.y_true)
    return EvaluatedNumbers(
        **vars(found),
        note=note,
        largest=largest_errors(predictions, errors),
        absolute=errors.mean(axis=1).astype(np.float32),
        drawn=predictions if is_shown else None,
    )


def largest_errors(predictions: NumberPredictions, errors: NDArray[np.float64]) -> tuple[LargeError, ...]:
    """Return the ``LARGEST`` errors [N, K], equal ones by id."""
    order = np.argsort(-errors, axis=None, kind="stable")[:LARGEST]
    places = zip(*np.unravel_index(order, errors.shape), strict=True)
    return tuple(
        LargeError(
            row=int(row),
            example_id=int(predictions.example_id[row]),
            target=int(target),
            true=float(predictions.y_true[row, target]),
            predicted=float(predictions.y_pred[row, target]),
        )
        for row, target in places
    )


def evaluate_classes(
    record: RunRecord,
    predictions: Predictions,
    note: PredictionNote,
    on_curve: OnCurve,
    is_shown: bool,
    exact_rows: int,
) -> EvaluatedClasses:
    """Evaluate class scores and drop everything that has a row per example."""
    kept: list[Curve] = []

    def handle(curve: Curve) -> None:
        on_curve(record, curve)
        if is_shown or curve.label is None:
            kept.append(thinned(curve))

    evaluation = evaluate(predictions, handle, exact_rows)
    return EvaluatedClasses(
        note=note,
        confusion=evaluation.confusion,
        per_class=evaluation.per_class,
        numbers=evaluation.numbers,
        calibration=evaluation.calibration,
        coverage=thinned_coverage(evaluation.coverage),
        micro=kept[-1],
        curves=tuple(kept[:-1]),
        mistakes=confident_mistakes(predictions, evaluation.scores),
        correct_bits=np.packbits(evaluation.scores.correct),
    )


def thinned(curve: Curve) -> Curve:
    """The curve with at most ``DRAWN_POINTS`` of its points, for drawing."""
    picked = pick(len(curve.thresholds))
    return replace(curve, thresholds=curve.thresholds[picked], tp=curve.tp[picked], fp=curve.fp[picked])


def thinned_coverage(coverage: Coverage) -> Coverage:
    """The coverage curve with at most ``DRAWN_POINTS`` of its points, for drawing."""
    picked = pick(len(coverage.answered))
    return Coverage(coverage.answered[picked], coverage.correct[picked], coverage.points, coverage.aurc)


def pick(length: int) -> NDArray[np.int64]:
    """Evenly spread indices of at most ``DRAWN_POINTS`` of ``length`` points, both ends included."""
    return np.unique(np.linspace(0, max(length - 1, 0), min(length, DRAWN_POINTS)).round().astype(np.int64))
