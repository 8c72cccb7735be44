"""The task of a model, which decides what its targets and outputs are: set by ``evaluation.task``, or inferred from the
targets of test examples, the outputs and the loss that the model was trained with."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nn_train.errors import RequestError
from nn_train.evaluation.predictions import MULTICLASS, REGRESSION
from nn_train.prediction.outputs import LOGITS, NUMBERS

SETTING = "evaluation.task"


def task_of(wanted: str | None, targets: NDArray[Any], columns: int, by_layer: str, by_loss: str) -> str:
    """Return ``REGRESSION``, or ``MULTICLASS`` for class scores of any number of classes.

    Args:
        wanted: ``evaluation.task``; None where it is to be inferred.
        targets: [n] or [n, K], of a block.
        columns: numbers that the model gives for an example.
        by_layer, by_loss: of ``outputs.logits_model`` and ``outputs.kind_by_loss``.
    """
    if wanted is not None:
        return REGRESSION if wanted == REGRESSION else MULTICLASS
    if targets.dtype.kind not in "biuf" or (columns > 1 and targets.size == len(targets)):
        return MULTICLASS  # labels; where they are none, the check of these says so
    if targets.dtype.kind == "f":
        is_class = is_one_hot(targets, columns) and (by_layer == LOGITS or by_loss != NUMBERS)
        is_class |= columns == 1 and by_loss not in (NUMBERS, "unknown") and bool(np.isin(targets, (0, 1)).all())
        return MULTICLASS if is_class else REGRESSION
    return REGRESSION if columns == 1 and by_loss == NUMBERS else MULTICLASS


def is_one_hot(targets: NDArray[Any], columns: int) -> bool:
    """Return whether targets [n, C] have a single 1 in each row, and 0 elsewhere."""
    if targets.ndim != 2 or targets.shape[1] != columns or columns < 2:
        return False
    return bool(np.isin(targets, (0, 1)).all() and (targets.sum(axis=1) == 1).all())


def as_targets(task: str, targets: NDArray[Any], columns: int) -> NDArray[Any]:
    """Return the targets as the task saves them: class labels int64 [n], or numbers float64 [n, K].

    Raises:
        RequestError: the task cannot have such targets.
    """
    shape = "[N" + "".join(f", {size}" for size in targets.shape[1:]) + "]"
    if task == REGRESSION:
        rows = targets.reshape(len(targets), -1)
        if targets.dtype.kind not in "biuf" or targets.ndim > 2 or rows.shape[1] != columns:
            raise RequestError(
                f"{SETTING}: a regression needs a number, or K numbers, for each example; the test targets are "
                f"{targets.dtype} {shape}, and the model gives {columns} for each"
            )
        return rows.astype(np.float64)
    if is_one_hot(targets, columns):
        return targets.argmax(axis=1).astype(np.int64)
    labels = targets.reshape(len(targets)) if targets.ndim == 2 and targets.shape[1] == 1 else targets
    whole = labels.dtype.kind in "bui" or (labels.dtype.kind == "f" and bool((labels == np.floor(labels)).all()))
    if labels.ndim != 1 or not whole:
        raise RequestError(
            f"data.source: the test targets are {targets.dtype} {shape}; a report of classes needs labels [N] or "
            f"one-hot rows [N, C], a regression ({SETTING}: {REGRESSION}) numbers [N] or [N, K] and as many outputs"
        )
    return labels.astype(np.int64)
