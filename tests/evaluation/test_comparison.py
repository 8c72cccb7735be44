from __future__ import annotations

import numpy as np
import pytest

from nn_train.evaluation.comparison import compare, holm, mcnemar


@pytest.mark.parametrize(
    ("first", "second", "p"),
    [(0, 0, 1.0), (5, 5, 1.0), (0, 5, 0.0625), (5, 0, 0.0625), (1, 9, 0.021484375), (0, 1, 1.0)],
)
def test_mcnemar_is_a_fair_coin_over_the_examples_that_differ(first: int, second: int, p: float) -> None:
    assert mcnemar(first, second).value == pytest.approx(p)
    assert mcnemar(first, second).n == first + second


@pytest.mark.parametrize(
    ("p_values", "corrected"),
    [
        ([0.01, 0.04, 0.03], [0.03, 0.06, 0.06]),  # the example of Holm's correction in R's p.adjust
        ([0.02, 0.02, 0.9], [0.06, 0.06, 0.9]),
    ],
)
def test_holm(p_values: list[float], corrected: list[float]) -> None:
    assert holm(p_values) == pytest.approx(corrected)


def test_every_pair_is_compared_on_the_same_examples() -> None:
    a, b, c = (np.array(bits, bool) for bits in ([1, 1, 1, 0], [1, 0, 0, 0], [1, 1, 1, 1]))
    pairs = compare([("a", a), ("b", b), ("c", c)])
    found = [(pair.first, pair.second, pair.only_first, pair.only_second) for pair in pairs]
    assert found == [("a", "b", 2, 0), ("a", "c", 0, 1), ("b", "c", 0, 3)]
    assert all(pair.p_holm.value >= pair.p_value.value for pair in pairs)
