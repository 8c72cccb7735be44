"""The numbers of a regression where ``tests/check_report.py`` does not look: what is undefined, refused, gathered."""

from __future__ import annotations

import numpy as np
import pytest

from nn_train.evaluation import (
    NumberPredictions,
    PredictionError,
    Shard,
    load_predictions,
    merge_shards,
    store_predictions,
)
from nn_train.evaluation.comparison import compare_errors
from nn_train.evaluation.regression import evaluate_numbers


def some(rows=120, targets=2, seed=0, noise=1.0):
    rng = np.random.default_rng(seed)
    y = rng.normal(size=(rows, targets)) * 10
    given = (y + noise * np.random.default_rng(seed + 1).normal(size=y.shape)).astype(np.float32)
    return NumberPredictions(np.arange(rows), y, given)


def test_all_targets_equal_leave_r2_undefined_and_not_0():
    one = some(targets=1)
    constant = NumberPredictions(one.example_id, np.full_like(one.y_true, 3.0), one.y_pred)
    found = evaluate_numbers(constant)
    assert found.numbers["r2"].value is None
    assert "no variance" in found.numbers["r2"].reason
    assert found.numbers["mae"].value == pytest.approx(np.abs(one.y_pred - 3.0).mean())
    assert [group.mae.n for group in found.quantiles[0]] == [120]


def test_a_target_that_is_large_and_varies_little_keeps_the_digits_of_its_variance():
    one = some(targets=1, noise=0.1)
    far = NumberPredictions(one.example_id, one.y_true + 1e4, (one.y_pred.astype(float) + 1e4).astype(np.float32))
    low, high = evaluate_numbers(far).numbers["r2"].interval
    assert low < evaluate_numbers(far).numbers["r2"].value < high <= 1


@pytest.mark.parametrize(
    ("y", "given", "said"),
    [
        (np.zeros((3, 2)), np.zeros((3, 1), np.float32), "both \\[N, K\\]"),
        (np.array([[1.0], [np.nan], [2.0]]), np.zeros((3, 1), np.float32), "NaN or infinity"),
        (np.zeros((3, 1)), np.array([[1.0], [np.inf], [2.0]], np.float32), "of 1 of 3 examples are not finite"),
    ],
)
def test_what_cannot_be_counted_is_refused(y, given, said):
    with pytest.raises(PredictionError, match=said):
        evaluate_numbers(NumberPredictions(np.arange(3), y, given))


def test_any_sharding_stores_the_same_bytes(tmp_path):
    whole = some()
    order = np.random.default_rng(3).permutation(len(whole))
    notes = []
    for count in (1, 3):
        parts = [Shard(whole.example_id[at], whole.y_true[at], whole.y_pred[at]) for at in np.array_split(order, count)]
        merged = merge_shards(parts, len(whole), "regression")
        notes.append(store_predictions(tmp_path / str(count), "run", merged, output="numbers"))
    assert notes[0] == notes[1]
    again, note = load_predictions(tmp_path / "1", "run")
    assert (note.task, note.classes) == ("regression", None)
    np.testing.assert_array_equal(again.y_pred, whole.y_pred)


def test_two_runs_are_told_apart_by_their_errors_on_the_same_examples():
    good, bad = (np.abs(some(noise=noise).y_pred - some().y_true).mean(axis=1) for noise in (1.0, 1.5))
    apart, same, _ = compare_errors([("good", good), ("bad", bad), ("good again", good)])
    assert apart.difference.value < 0
    assert apart.difference.interval[1] < 0
    assert apart.p_holm.value == pytest.approx(2 * apart.p_value.value) or apart.p_holm.value < 0.05
    assert (same.difference.value, same.p_value.value) == (0, 1)
