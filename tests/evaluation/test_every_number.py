"""Each number says from how many things it comes and how; and what the smallest changes of the code made wrong."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from nn_train.evaluation import Curve, Number, Predictions, evaluate, histograms
from nn_train.evaluation.classification import average, class_numbers
from nn_train.evaluation.comparison import compare
from nn_train.evaluation.curves import exact_curves
from nn_train.evaluation.histograms import LIMIT, bin_of, histogram_curves
from nn_train.evaluation.intervals import mean_over_examples, mean_over_seeds
from nn_train.evaluation.numbers import undefined


def numbers_in(value: Any) -> Iterator[Number]:
    if isinstance(value, Number):
        yield value
    elif dataclasses.is_dataclass(value):
        yield from numbers_in([getattr(value, field.name) for field in dataclasses.fields(value)])
    elif isinstance(value, dict | list | tuple):
        for part in value.values() if isinstance(value, dict) else value:
            yield from numbers_in(part)


def alike(rows: int, label: int) -> Predictions:
    """All of one class, all answered alike; of the third class there is nothing."""
    return Predictions(np.arange(rows), np.full(rows, label), np.tile(np.float32([1, 0, 0]), (rows, 1)))


@pytest.mark.parametrize("rows", [1, 2, 3, 400])
@pytest.mark.parametrize("exact_rows", [0, 1000], ids=["histograms", "exact"])
def test_what_is_counted_and_how_is_said(make: Callable[..., Predictions], rows: int, exact_rows: int) -> None:
    for predictions in (make(rows), alike(rows, 0), alike(rows, 1)):
        curves: list[Curve] = []
        found = [evaluate(predictions, curves.append, exact_rows), curves]
        pair = compare([("a", np.ones(rows, bool)), ("b", np.zeros(rows, bool))])
        seeds = [mean_over_seeds(values) for values in ([0.5], [0.5, None], [0.5, 0.6])]
        numbers = [*numbers_in(found), *numbers_in(pair), *numbers_in(seeds)]
        assert len(numbers) > 30
        for number in numbers:
            assert isinstance(number.n, int | np.integer)
            assert 0 <= number.n <= max(3, rows * predictions.classes)  # at most every row for every class
            assert number.value is not None or isinstance(number.reason, str)
            assert isinstance(number.method, str)


def test_undefined_numbers_come_from_nothing() -> None:
    nothing = [average([undefined("m", 3, "none")]), average([Number(value=1.0, n=1, method="m")], [0])]
    nothing.append(class_numbers(np.array([[5, 0], [0, 0]]), 1)["f1"])
    assert [number.n for number in nothing] == [0, 0, 0]
    assert mean_over_seeds([0.5])[1].n == 1


def test_zero_is_a_value() -> None:
    zero, half = Number(value=0.0, n=1, method="m"), Number(value=0.5, n=1, method="m")
    assert average([zero, half]).value == 0.25
    certain = compare([("a", np.ones(3000, bool)), ("b", np.zeros(3000, bool))])
    assert (certain[0].p_value.value, certain[0].p_holm.value) == (0.0, 0.0)  # smaller than any float
    wrong = Predictions(np.arange(30), np.zeros(30, np.int64), np.tile(np.float32([0, 9]), (30, 1)))
    assert evaluate(wrong).calibration.ece_uniform.value == pytest.approx(1 / (1 + np.exp(-9)))


def test_a_class_that_is_predicted_as_often_as_it_occurs_has_an_f1() -> None:
    assert class_numbers(np.array([[5, 1], [1, 3]]), 1)["f1"].value == 0.75


def test_two_examples_have_an_interval_and_json_has_it_and_the_bounds() -> None:
    assert mean_over_examples(np.array([1.0, 2.0]), "mean").interval is not None
    number = Number(value=0.5, n=2, method="m", interval=(0.4, 0.6), bounds=(0.3, 0.7))
    same = {"value": 0.5, "interval": [0.4, 0.6], "method": "m", "n": 2, "bounds": [0.3, 0.7]}
    assert number.to_json() == same


@pytest.mark.parametrize("chunk", [7, 1000])
def test_histograms_of_scores_that_lie_apart_are_exact(monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    """Whatever portion of the rows is counted at a time; the bounds enclose nothing but the value."""
    monkeypatch.setattr(histograms, "CHUNK_ROWS", chunk)
    rng = np.random.default_rng(0)
    scores, labels = rng.permutation(np.linspace(-9, 9, 40)).astype(np.float32), rng.integers(0, 2, 40)
    predictions = Predictions(np.arange(40), labels, np.stack([np.zeros(40, np.float32), scores], axis=1))
    counted, exact = list(histogram_curves(predictions))[:2], list(exact_curves(predictions))[:2]
    for one, other in zip(counted, exact, strict=True):
        assert (one.label, one.positives, one.negatives) == (other.label, other.positives, other.negatives)
        for name in ("roc_auc", "average_precision"):
            number, value = getattr(one, name), getattr(other, name).value
            assert (number.value, *number.bounds) == pytest.approx((value, value, value), abs=1e-12)


def test_the_outermost_bins_take_what_is_beyond() -> None:
    least, below, above, most = bin_of(np.array([-2 * LIMIT, -LIMIT, LIMIT - 1e-9, 2 * LIMIT])).tolist()
    assert (least, below, above, most) == (0, 0, histograms.BINS - 1, histograms.BINS - 1)


@pytest.mark.parametrize("curves", [exact_curves, histogram_curves])
def test_an_undefined_curve_has_no_points_and_says_of_what(curves: Callable[[Predictions], Iterator[Curve]]) -> None:
    for curve, label in zip(curves(alike(4, 1)), (0, 1, 2, None), strict=True):
        assert curve.label == label
        if curve.roc_auc.value is None:
            assert [len(part) for part in (curve.thresholds, curve.tp, curve.fp)] == [0, 0, 0]
            assert (curve.positives, curve.negatives) == ((4, 0) if label == 1 else (0, 4))
            assert curve.roc_auc.reason


@pytest.mark.parametrize("curves", [exact_curves, histogram_curves])
def test_scores_that_are_all_alike_or_of_one_kind_have_no_curve(
    curves: Callable[[Predictions], Iterator[Curve]],
) -> None:
    constant = Predictions(np.arange(2), np.array([0, 1]), np.ones((2, 2), np.float32))
    one_kind = Predictions(np.arange(2), np.array([1, 1]), np.float32([[0, 1], [0, 2]]))
    for predictions in (constant, one_kind):
        assert [curve.roc_auc.value for curve in list(curves(predictions))[:2]] == [None, None]


def test_the_parts_of_an_evaluation_are_those_of_its_rows() -> None:
    found = evaluate(Predictions(np.arange(2), np.array([1, 1]), np.float32([[5, 0], [0, 1]])))
    assert found.confusion.tolist() == [[0, 0], [1, 1]]
    assert found.scores.correct.tolist() == [False, True]
    assert found.coverage.aurc.value == pytest.approx((1 + 1 / 2) / 2)  # the surer one is wrong
    less, more = 1 / (1 + np.exp(-1)), 1 / (1 + np.exp(-5))
    assert [(one.lowest, one.highest) for one in found.calibration.scheme("quantile")] == [
        (pytest.approx(less),) * 2,
        (pytest.approx(more),) * 2,
    ]
    assert found.calibration.ece_quantile.value == pytest.approx((1 - less + more) / 2)
