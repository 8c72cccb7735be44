from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from sklearn import metrics

from nn_train.evaluation import Predictions
from nn_train.evaluation.curves import Curve, exact_curve, exact_curves
from nn_train.evaluation.histograms import count, histogram_curve, histogram_curves
from nn_train.evaluation.run_evaluation import evaluate
from nn_train.evaluation.scores import log_odds


def targets(predictions: Predictions, label: int | None) -> tuple[np.ndarray, np.ndarray]:
    onehot, odds = np.eye(predictions.classes)[predictions.y_true], log_odds(predictions.logits)
    return (onehot.ravel(), odds.ravel()) if label is None else (onehot[:, label], odds[:, label])


@pytest.mark.parametrize("decimals", [0, 1, 7])  # the fewer, the more ties
def test_areas_agree_with_sklearn(make: Callable[..., Predictions], decimals: int) -> None:
    raw = make(rows=700)
    predictions = Predictions(raw.example_id, raw.y_true, raw.logits.round(decimals))
    for curve in exact_curves(predictions):
        truth, scores = targets(predictions, curve.label)
        assert curve.roc_auc.value == pytest.approx(metrics.roc_auc_score(truth, scores), abs=1e-13)
        expected = metrics.average_precision_score(truth, scores)
        assert curve.average_precision.value == pytest.approx(expected, abs=1e-13)


def test_the_points_are_those_of_sklearn_without_the_ones_on_straight_lines(predictions: Predictions) -> None:
    for curve in exact_curves(predictions):
        truth, scores = targets(predictions, curve.label)
        fpr, tpr, thresholds = metrics.roc_curve(truth, scores, drop_intermediate=False)
        at = np.searchsorted(-thresholds, -curve.thresholds)
        np.testing.assert_allclose(thresholds[at], curve.thresholds)
        np.testing.assert_allclose(fpr[at], curve.fpr)
        np.testing.assert_allclose(tpr[at], curve.recall)
        left_out = np.setdiff1d(np.arange(1, len(fpr)), at)
        assert all(tpr[i - 1] == tpr[i] == tpr[i + 1] for i in left_out)
        precision, recall, _ = metrics.precision_recall_curve(truth, scores)
        known = set(zip(recall.tolist(), precision.tolist(), strict=True))
        assert set(zip(curve.recall.tolist(), curve.precision.tolist(), strict=True)) <= known


@pytest.mark.parametrize(
    ("truth", "scores", "reason"),
    [
        ([False, False], [0.1, 0.2], "no example of this class"),
        ([True, True], [0.1, 0.2], "every example of the test set is of this class"),
        ([True, False], [0.5, 0.5], "all scores are equal"),
    ],
)
def test_undefined_curves_have_a_reason(truth: list[bool], scores: list[float], reason: str) -> None:
    curve = exact_curve(np.array(truth), np.array(scores), 0)
    assert curve.roc_auc.value is None
    assert reason in (curve.roc_auc.reason or "")
    assert curve.average_precision.reason == curve.roc_auc.reason
    assert len(curve.thresholds) == 0


@pytest.mark.parametrize("decimals", [0, 1, 7])
@pytest.mark.parametrize("scale", [1.0, 100.0])  # 100: beyond the outermost bins
def test_histogram_bounds_enclose_the_exact_areas(
    make: Callable[..., Predictions], decimals: int, scale: float
) -> None:
    raw = make(rows=3000)
    predictions = Predictions(raw.example_id, raw.y_true, (raw.logits * scale).round(decimals))
    for exact, binned in zip(exact_curves(predictions), histogram_curves(predictions), strict=True):
        for name in ("roc_auc", "average_precision"):
            value, number = getattr(exact, name).value, getattr(binned, name)
            low, high = number.bounds
            assert low - 1e-12 <= value <= high + 1e-12
            assert low <= number.value <= high


def test_histogram_bounds_hold_for_the_worst_order_within_a_bin() -> None:
    curve = histogram_curve(np.array([10, 0, 0]), np.array([10, 0, 0]) + np.array([0, 0, 5]), 0)
    low, high = curve.roc_auc.bounds or (0, 0)
    orders = [np.r_[np.zeros(10), np.ones(10), np.full(5, 9)], np.r_[np.ones(10), np.zeros(10), np.full(5, 9)]]
    truth = np.r_[np.zeros(10), np.ones(15)]
    best = metrics.roc_auc_score(truth, orders[0])
    worst = metrics.roc_auc_score(truth, np.r_[orders[1]])
    assert (low, high) == (pytest.approx(worst), pytest.approx(best))


def test_histogram_points_lie_on_the_exact_curve(predictions: Predictions) -> None:
    for curve in histogram_curves(predictions):
        truth, scores = targets(predictions, curve.label)
        above = scores[:, None] >= curve.thresholds
        np.testing.assert_array_equal(curve.tp, above[truth == 1].sum(axis=0))
        np.testing.assert_array_equal(curve.fp, above[truth == 0].sum(axis=0))


def test_histograms_of_parts_add_up(predictions: Predictions) -> None:
    whole = count(predictions.y_true, predictions.logits)
    first = count(predictions.y_true[:123], predictions.logits[:123])
    second = count(predictions.y_true[123:], predictions.logits[123:])
    np.testing.assert_array_equal(first + second, whole)
    assert whole.sum() == 4 * len(predictions)


@pytest.mark.parametrize(("limit", "bounded"), [(400, False), (399, True)])
def test_the_size_of_the_test_set_decides(predictions: Predictions, limit: int, bounded: bool) -> None:
    curves: list[Curve] = []
    numbers = evaluate(predictions, curves.append, exact_rows=limit).numbers
    assert (numbers["roc_auc_micro"].bounds is not None) is bounded
    assert [curve.name for curve in curves] == ["0", "1", "2", "3", "micro"]
