from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn import metrics

from nn_train.evaluation import PredictionError, Predictions
from nn_train.evaluation.classification import class_numbers
from nn_train.evaluation.intervals import mean_over_examples, mean_over_seeds, proportion
from nn_train.evaluation.run_evaluation import evaluate


@pytest.mark.parametrize(("k", "n"), [(0, 1), (1, 1), (0, 50), (50, 50), (9753, 10_000), (1, 3), (999_999, 1_000_000)])
def test_proportions_have_scipys_wilson_interval(k: int, n: int) -> None:
    number = proportion(k, n, "share", empty="nothing")
    expected = binomtest(k, n).proportion_ci(0.95, method="wilson")
    assert number.interval == pytest.approx((expected.low, expected.high), abs=1e-14)
    assert number.value == k / n
    assert number.interval[0] <= number.value <= number.interval[1]


def test_a_proportion_of_nothing_says_why() -> None:
    assert proportion(0, 0, "share", empty="never predicted").to_json() == {
        "value": None,
        "interval": None,
        "method": "share; Wilson 95% interval",
        "n": 0,
        "reason": "never predicted",
    }


def test_mean_over_examples_has_the_normal_interval() -> None:
    number = mean_over_examples(np.array([1.0, 2.0, 3.0, 4.0]), "mean")
    half = 1.959963984540054 * np.std([1, 2, 3, 4], ddof=1) / 2
    assert number.interval == pytest.approx((2.5 - half, 2.5 + half))
    assert mean_over_examples(np.array([1.0]), "mean").interval is None


@pytest.mark.parametrize(
    ("values", "mean", "sd", "reason"),
    [
        ([0.9, 0.92, 0.94], 0.92, 0.02, None),
        ([0.9], 0.9, None, "one seed has no spread"),
        ([0.9, None], None, None, "undefined for 1 of 2 runs"),
    ],
)
def test_seeds_are_averaged(
    values: list[float | None], mean: float | None, sd: float | None, reason: str | None
) -> None:
    found_mean, found_sd = mean_over_seeds(values)
    assert found_mean.value == (pytest.approx(mean) if mean else None)
    assert found_sd.value == (pytest.approx(sd) if sd else None)
    assert found_sd.reason == reason


def test_numbers_of_a_run_agree_with_sklearn(predictions: Predictions) -> None:
    result = evaluate(predictions)
    y, predicted = predictions.y_true, predictions.logits.argmax(axis=1)
    precision, recall, f1, support = metrics.precision_recall_fscore_support(y, predicted)
    values = {name: [one[name].value for one in result.per_class] for name in ("precision", "recall", "f1")}
    assert values["precision"] == pytest.approx(precision)
    assert values["recall"] == pytest.approx(recall)
    assert values["f1"] == pytest.approx(f1)
    assert result.numbers["accuracy"].value == metrics.accuracy_score(y, predicted)
    assert result.numbers["f1_macro"].value == pytest.approx(metrics.f1_score(y, predicted, average="macro"))
    assert result.numbers["f1_weighted"].value == pytest.approx(np.average(f1, weights=support))
    assert result.numbers["recall_macro"].value == pytest.approx(metrics.balanced_accuracy_score(y, predicted))


def test_a_class_that_is_absent_or_never_predicted_is_undefined() -> None:
    counts = np.array([[5, 0, 1], [0, 0, 0], [2, 0, 0]])
    absent, missed = class_numbers(counts, 1), class_numbers(counts, 2)
    assert absent["recall"].reason == "the test set has no example of this class"
    assert absent["precision"].reason == "the class was never predicted"
    assert absent["f1"].value is None
    assert (missed["precision"].value, missed["recall"].value, missed["f1"].value) == (0.0, 0.0, 0.0)
    of_none = class_numbers(np.array([[5, 1], [0, 0]]), 1)  # predicted, and there is no example: it counts, as 0
    assert (of_none["recall"].value, of_none["precision"].value, of_none["f1"].value) == (None, 0.0, 0.0)


def test_averages_leave_out_what_is_undefined_and_say_so() -> None:
    labels = np.array([0, 0, 1, 1])
    logits = np.array([[3, 0, -9], [0, 1, -9], [0, 2, -9], [1, 2, -9]], np.float32)
    numbers = evaluate(Predictions(np.arange(4), labels, logits)).numbers
    assert numbers["recall_macro"].value == 0.75
    assert (numbers["recall_macro"].n, numbers["recall_macro"].method) == (2, "macro mean over 2 of 3 classes")
    assert numbers["roc_auc_weighted"].value is not None


@pytest.mark.parametrize(
    ("logits", "message"),
    [(np.empty((0, 3)), "the test set is empty"), ([[0, np.nan, 1], [0, 1, 2]], "1 of 2 examples are not finite")],
)
def test_predictions_without_meaning_are_refused(logits: np.ndarray, message: str) -> None:
    rows = len(logits)
    broken = Predictions(np.arange(rows), np.zeros(rows, np.int64), np.asarray(logits, np.float32))
    with pytest.raises(PredictionError, match=message):
        evaluate(broken)
