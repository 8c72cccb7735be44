"""What follows from the predicted classes alone: confusion matrix, accuracy, precision, recall, F1."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix

from nn_train.evaluation.intervals import proportion
from nn_train.evaluation.numbers import Number, undefined

NO_EXAMPLE = "the test set has no example of this class"


def confusion(y_true: NDArray[np.int64], predicted: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """Counts [C, C]: row is the true class, column the predicted one."""
    return confusion_matrix(y_true, predicted, labels=np.arange(classes)).astype(np.int64)


def accuracy(counts: NDArray[np.int64]) -> Number:
    """The share of examples on the diagonal."""
    n = int(counts.sum())
    return proportion(int(np.trace(counts)), n, "share of correct predictions", empty="the test set is empty")


def class_numbers(counts: NDArray[np.int64], label: int) -> dict[str, Number]:
    """Precision, recall and F1 of one class against the rest."""
    hits = int(counts[label, label])
    support, predicted = int(counts[label].sum()), int(counts[:, label].sum())
    return {
        "precision": proportion(hits, predicted, "TP / (TP + FP)", empty="the class was never predicted"),
        "recall": proportion(hits, support, "TP / (TP + FN)", empty=NO_EXAMPLE),
        "f1": f1(hits, support, predicted),
    }


def f1(hits: int, support: int, predicted: int) -> Number:
    """Harmonic mean of precision and recall, ``2 TP / (2 TP + FP + FN)``."""
    method = "2 TP / (2 TP + FP + FN)"
    if support + predicted == 0:
        return undefined(method, 0, "the class neither occurs in the test set nor was predicted")
    return Number(value=2 * hits / (support + predicted), n=support, method=method)


def average(numbers: Sequence[Number], supports: Sequence[int] | None = None) -> Number:
    """Macro mean over the classes, or the mean weighted by ``supports``; undefined classes are left out.

    The mean of numbers with bounds has bounds: the means of theirs.
    """
    known = [i for i, number in enumerate(numbers) if number.value is not None]
    how = "macro mean" if supports is None else "mean weighted by support"
    method = f"{how} over {len(known)} of {len(numbers)} classes"
    if not known:
        return undefined(method, 0, "undefined for every class")
    weights = [1 if supports is None else supports[i] for i in known]
    if not sum(weights):
        return undefined(method, 0, "no class with a value has test examples")
    value = float(np.average([numbers[i].value or 0.0 for i in known], weights=weights))
    limits = [bounds for i in known if (bounds := numbers[i].bounds)]
    if len(limits) < len(known):
        return Number(value=value, n=len(known), method=method)
    low, high = np.average(limits, axis=0, weights=weights).tolist()
    return Number(value=value, n=len(known), method=method, bounds=(low, high))
