"""Whether two trainings, or two evaluations, say the same; and the bounds, with where they come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.gpu.rows import CheckError

# Of two trainings that differ by rounding alone, in any epoch. Sums on a GPU have no fixed order, and what differs in
# the last bit of a step differs in more of them after a thousand steps.
ACCURACY_WITHIN = 0.01
LOSS_WITHIN = 0.1  # of the loss
# Of the probabilities of one model. A softmax changes by at most half of what its logits change by, and these are at
# most about 30. In float32 they are sums of up to 1,600 products, each rounded to 2^-24, or taken by a way of cuDNN's
# that loses a decimal more (Winograd): below 1e-3. TF32, in which TensorFlow multiplies on Ampere and newer cards
# unless told otherwise, rounds each factor to 2^-11: 30 * 2 * 2^-11 / 2, below 2e-2.
FLOAT32_WITHIN = 1e-3
TF32_WITHIN = 2e-2

Curve = Sequence[Mapping[str, Any]]  # lines of metrics.jsonl


def same_training(ours: Curve, expected: Curve) -> dict[str, float]:
    """The largest differences over the epochs. CheckError where they are beyond rounding."""
    if len(ours) != len(expected):
        raise CheckError(f"{len(ours)} epochs, expected {len(expected)}")
    pairs = list(zip(ours, expected, strict=True))
    accuracy = largest([one["val_accuracy"] - other["val_accuracy"] for one, other in pairs])
    loss = largest([one["loss"] / other["loss"] - 1 for one, other in pairs])
    check_within("val_accuracy differs by", accuracy, ACCURACY_WITHIN)
    check_within("the loss differs by the share", loss, LOSS_WITHIN)
    return {"val_accuracy differs by": accuracy, "loss by the share": loss}


def same_probabilities(ours: NDArray[Any], expected: NDArray[Any], within: float) -> dict[str, float]:
    """The largest difference of two arrays of logits [N, C] as probabilities, and how many labels differ.

    A label can differ only where two classes are equally probable but for twice the bound: that needs no bound of its
    own. CheckError where a probability differs by more than ``within``.
    """
    if ours.shape != expected.shape:
        raise CheckError(f"predictions of shape {ours.shape}, expected {expected.shape}")
    difference = largest(softmax(ours) - softmax(expected))
    check_within("probabilities differ by", difference, within)
    labels = int((ours.argmax(axis=1) != expected.argmax(axis=1)).sum())
    return {"probabilities differ by": difference, "labels that differ": labels}


def softmax(logits: NDArray[Any]) -> NDArray[np.float64]:
    """Along the last axis, in float64."""
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def largest(differences: Any) -> float:
    """The largest absolute value; NaN where one is."""
    return float(np.abs(np.asarray(differences, np.float64)).max())


def check_within(what: str, value: float, bound: float) -> None:
    """CheckError where it is larger, or NaN."""
    if not value <= bound:
        raise CheckError(f"{what} {value:.3g}, at most {bound:g}")
