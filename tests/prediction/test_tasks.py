"""What a model is for, by its targets, outputs and loss; and which targets a task takes."""

from __future__ import annotations

import numpy as np
import pytest

from nn_train.errors import RequestError
from nn_train.evaluation.predictions import MULTICLASS, REGRESSION
from nn_train.prediction.outputs import LINEAR, LOGITS, NUMBERS, PROBABILITIES, UNKNOWN
from nn_train.prediction.tasks import as_targets, task_of

ONE_HOT = np.eye(3, dtype=np.float32)[[0, 2, 1, 1]]
FLOATS, WHOLE, BITS = np.array([0.5, 2.0, -1.0, 7.0]), np.array([3, 0, 1, 2]), np.array([0.0, 1.0, 1.0, 0.0])


@pytest.mark.parametrize(
    ("targets", "columns", "by_layer", "by_loss", "task"),
    [
        (FLOATS, 1, LINEAR, NUMBERS, REGRESSION),
        (FLOATS[:, None], 1, LINEAR, UNKNOWN, REGRESSION),
        (np.stack([FLOATS, FLOATS], 1), 2, LINEAR, NUMBERS, REGRESSION),
        (WHOLE, 1, LINEAR, NUMBERS, REGRESSION),
        (WHOLE, 1, LINEAR, UNKNOWN, MULTICLASS),
        (WHOLE, 4, LINEAR, LOGITS, MULTICLASS),
        (WHOLE.astype(float), 4, LOGITS, PROBABILITIES, MULTICLASS),
        (BITS, 1, LOGITS, PROBABILITIES, MULTICLASS),
        (BITS, 1, LINEAR, NUMBERS, REGRESSION),
        (ONE_HOT, 3, LOGITS, PROBABILITIES, MULTICLASS),
        (ONE_HOT, 3, LINEAR, NUMBERS, REGRESSION),
    ],
)
def test_the_task_follows_from_targets_outputs_and_loss(targets, columns, by_layer, by_loss, task):
    assert task_of(None, targets, columns, by_layer, by_loss) == task
    for wanted, means in {"regression": REGRESSION, "binary": MULTICLASS, "multiclass": MULTICLASS}.items():
        assert task_of(wanted, targets, columns, by_layer, by_loss) == means


def test_targets_are_saved_as_the_task_has_them():
    np.testing.assert_array_equal(as_targets(MULTICLASS, ONE_HOT, 3), [0, 2, 1, 1])
    np.testing.assert_array_equal(as_targets(MULTICLASS, WHOLE[:, None].astype(float), 4), WHOLE)
    numbers = as_targets(REGRESSION, WHOLE, 1)
    assert (numbers.dtype, numbers.shape) == (np.float64, (4, 1))
    for task, targets, columns, said in [
        (MULTICLASS, FLOATS, 3, "needs labels"),
        (MULTICLASS, np.zeros((4, 2, 2), int), 3, "needs labels"),
        (REGRESSION, np.zeros((4, 2)), 1, "the model gives 1 for each"),
        (REGRESSION, np.zeros((4, 2, 2)), 4, "a number, or K numbers"),
        (REGRESSION, np.array(["a"] * 4), 1, "a number, or K numbers"),
    ]:
        with pytest.raises(RequestError, match=said):
            as_targets(task, targets, columns)
