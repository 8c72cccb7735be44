"""Each number of an evaluation says from how many things it comes and how, also where it is undefined."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from nn_train.evaluation import Curve, Number, Predictions, evaluate
from nn_train.evaluation.comparison import compare
from nn_train.evaluation.intervals import mean_over_seeds


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
