"""Curves of test sets too large to sort: merged int64 histograms of log-odds.

Every bin edge is an exact point of the curve. Inside a bin the order of the examples is unknown, which
gives bounds that certainly enclose the exact area: no pair within a bin, or every pair within a bin, is
in the right order.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from nn_train.evaluation.curves import Curve, undefined_curve, why_undefined
from nn_train.evaluation.numbers import Number
from nn_train.evaluation.predictions import Predictions
from nn_train.evaluation.scores import CHUNK_ROWS, log_odds

BINS = 16_384
LIMIT = 64.0  # log-odds beyond ±64 (p = 1.6e-28) share the outermost bins, which keeps the bounds true
METHOD = f"histogram of log-odds, {BINS} bins; bounds enclose the exact value"


def count(y_true: NDArray[np.int64], logits: NDArray[np.float32]) -> NDArray[np.int64]:
    """Negatives [0] and positives [1] per class and bin, int64 [2, C, BINS], of labels [n] and finite logits [n, C].

    The counts of parts of a test set add up to those of the whole, in any order.
    """
    classes = logits.shape[1]
    columns = np.arange(classes)
    positive = (y_true[:, None] == columns).astype(np.int64)
    cells = (positive * classes + columns) * BINS + bin_of(log_odds(logits))
    return np.bincount(cells.ravel(), minlength=2 * classes * BINS).reshape(2, classes, BINS)


def bin_of(scores: NDArray[np.float64]) -> NDArray[np.int64]:
    """The bin of each score; a larger score never has a smaller bin."""
    return np.clip(np.floor((scores + LIMIT) * (BINS / (2 * LIMIT))), 0, BINS - 1).astype(np.int64)


def histogram_curves(predictions: Predictions) -> Iterator[Curve]:
    """The curves of all classes, then the micro curve, from portions of the rows; areas have bounds."""
    counts = np.zeros((2, predictions.classes, BINS), np.int64)
    for start in range(0, len(predictions), CHUNK_ROWS):
        part = slice(start, start + CHUNK_ROWS)
        counts += count(predictions.y_true[part], predictions.logits[part])
    negatives, positives = counts
    for label in range(predictions.classes):
        yield histogram_curve(negatives[label], positives[label], label)
    yield histogram_curve(negatives.sum(axis=0), positives.sum(axis=0), None)


def histogram_curve(negatives: NDArray[np.int64], positives: NDArray[np.int64], label: int | None) -> Curve:
    """The curve from counts per bin [BINS], bins in increasing order of score."""
    p, n = int(positives.sum()), int(negatives.sum())
    used = np.flatnonzero((positives + negatives)[::-1])
    reason = why_undefined(p, n, constant=len(used) == 1)
    if reason:
        return undefined_curve(label, p, n, reason)
    bin_tp, bin_fp = positives[::-1][used], negatives[::-1][used]
    tp, fp = np.cumsum(bin_tp), np.cumsum(bin_fp)
    return Curve(
        label=label,
        thresholds=(BINS - 1 - used).astype(np.float64) * (2 * LIMIT / BINS) - LIMIT,
        tp=tp,
        fp=fp,
        positives=p,
        negatives=n,
        roc_auc=auc_between(bin_tp, bin_fp, fp, p, n),
        average_precision=ap_between(bin_tp, bin_fp, tp, fp, p, n),
    )


def auc_between(bin_tp: NDArray[np.int64], bin_fp: NDArray[np.int64], fp: NDArray[np.int64], p: int, n: int) -> Number:
    """Share of (positive, negative) pairs in the right order; pairs that share a bin count half."""
    # Python integers: the products pass 2^63 from three thousand million examples on.
    sure = sum(int(t) * (n - int(f)) for t, f in zip(bin_tp, fp, strict=True))
    unsure = sum(int(t) * int(f) for t, f in zip(bin_tp, bin_fp, strict=True))
    low, high = sure / (p * n), (sure + unsure) / (p * n)
    return Number(value=(2 * sure + unsure) / (2 * p * n), n=p + n, method=METHOD, bounds=(low, high))


def ap_between(
    bin_tp: NDArray[np.int64],
    bin_fp: NDArray[np.int64],
    tp: NDArray[np.int64],
    fp: NDArray[np.int64],
    p: int,
    n: int,
) -> Number:
    """Average precision as if each bin were one threshold.

    The bounds give every positive of a bin the least and the largest precision that any order or any
    ties inside the bin could give it.
    """
    before_tp, before_fp = tp - bin_tp, fp - bin_fp
    share = bin_tp / p
    value = float(np.sum(share * (tp / (tp + fp))))
    low = float(np.sum(share * ((before_tp + 1) / (before_tp + 1 + fp))))
    filled = bin_tp > 0  # elsewhere the best precision may be 0 / 0
    high = float(np.sum(share[filled] * (tp[filled] / (tp[filled] + before_fp[filled]))))
    return Number(value=value, n=p + n, method=METHOD, bounds=(low, min(high, 1.0)))
