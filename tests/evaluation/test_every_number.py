"""Each number says from how many things it comes and how; and what the smallest changes of the code made wrong."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from nn_train.evaluation import Number, Predictions
from nn_train.evaluation.classification import average
from nn_train.evaluation.comparison import compare
from nn_train.evaluation.curves import Curve
from nn_train.evaluation.intervals import mean_over_seeds
from nn_train.evaluation.run_evaluation import evaluate


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


def test_zero_is_a_value() -> None:
    zero, half = Number(value=0.0, n=1, method="m"), Number(value=0.5, n=1, method="m")
    assert average([zero, half]).value == 0.25
    certain = compare([("a", np.ones(3000, bool)), ("b", np.zeros(3000, bool))])
    assert (certain[0].p_value.value, certain[0].p_holm.value) == (0.0, 0.0)  # smaller than any float
    wrong = Predictions(np.arange(30), np.zeros(30, np.int64), np.tile(np.float32([0, 9]), (30, 1)))
    assert evaluate(wrong).calibration.ece_uniform.value == pytest.approx(1 / (1 + np.exp(-9)))


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


def test_equal_scores_are_shared_out_by_their_ids() -> None:
    """Every second row is surer than the others, and the first half is right."""
    logits = np.tile(np.float32([[2, 0], [1, 0]]), (75, 1))
    found = evaluate(Predictions(np.arange(150), np.repeat([0, 1], 75), logits)).calibration
    in_order = np.array([1] * 37 + [0] * 38 + [1] * 38 + [0] * 37)
    expected = in_order.reshape(15, 10).mean(axis=1)
    assert [one.accuracy.value for one in found.scheme("quantile")] == pytest.approx(expected)
