"""One-vs-rest ROC and precision-recall curves, exact: every distinct score is a threshold.

A curve is kept as counts of true and false positives; rates are divisions of them. Points inside a run
of thresholds that add no true positive are left out: both curves are straight there, nothing is lost.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import auc, roc_curve

from nn_train.evaluation.classification import NO_EXAMPLE
from nn_train.evaluation.numbers import Number, undefined
from nn_train.evaluation.predictions import Predictions
from nn_train.evaluation.scores import log_odds

AUC_METHOD = "one-vs-rest on log-odds, every threshold; area by trapezoid"
AP_METHOD = "one-vs-rest on log-odds, every threshold; Σ (R_i - R_{i-1}) P_i, not a trapezoid"
MICRO = "micro"


@dataclass(frozen=True)
class Curve:
    """A class against the rest, or all (example, class) pairs together (micro).

    Attributes:
        label: the class, or None for micro.
        thresholds: float64 [T] log-odds, decreasing; empty where the curve is undefined.
        tp, fp: int64 [T], counts with a score at or above the threshold.
        positives, negatives: their totals.
    """

    label: int | None
    thresholds: NDArray[np.float64]
    tp: NDArray[np.int64]
    fp: NDArray[np.int64]
    positives: int
    negatives: int
    roc_auc: Number
    average_precision: Number

    @property
    def name(self) -> str:
        """The class as text, or ``micro``."""
        return MICRO if self.label is None else str(self.label)

    @property
    def recall(self) -> NDArray[np.float64]:
        """True positive rate [T]."""
        return self.tp / self.positives

    @property
    def fpr(self) -> NDArray[np.float64]:
        """False positive rate [T]."""
        return self.fp / self.negatives

    @property
    def precision(self) -> NDArray[np.float64]:
        """TP / (TP + FP) [T]; the first threshold already has a positive prediction."""
        return self.tp / (self.tp + self.fp)


def exact_curves(predictions: Predictions) -> Iterator[Curve]:
    """The curve of every class, then micro. Needs the float64 log-odds of all rows in memory."""
    odds = log_odds(predictions.logits)
    for label in range(predictions.classes):
        yield exact_curve(predictions.y_true == label, odds[:, label], label)
    truth = predictions.y_true[:, None] == np.arange(predictions.classes)
    yield exact_curve(truth.ravel(), odds.ravel(), None)


def exact_curve(truth: NDArray[np.bool_], scores: NDArray[np.float64], label: int | None) -> Curve:
    """Args: truth bool [n]; scores finite float64 [n], larger for more likely."""
    positives = int(np.count_nonzero(truth))
    negatives = len(truth) - positives
    reason = why_undefined(positives, negatives, constant=bool(scores.min() == scores.max()))
    if reason:
        return undefined_curve(label, positives, negatives, reason)
    fpr, tpr, thresholds = roc_curve(truth, scores, drop_intermediate=False)
    # sklearn starts at an infinite threshold with nothing predicted positive; rates go back to counts.
    tp = np.rint(tpr[1:] * positives).astype(np.int64)
    fp = np.rint(fpr[1:] * negatives).astype(np.int64)
    # Not average_precision_score, which would sort and check everything once more.
    ap = np.sum(np.diff(tp, prepend=0) / positives * (tp / (tp + fp)))
    needed = corners(tp)
    return Curve(
        label=label,
        thresholds=thresholds[1:][needed],
        tp=tp[needed],
        fp=fp[needed],
        positives=positives,
        negatives=negatives,
        roc_auc=Number(value=float(auc(fpr, tpr)), n=len(truth), method=AUC_METHOD),
        average_precision=Number(value=float(ap), n=len(truth), method=AP_METHOD),
    )


def corners(tp: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which points both curves need: all but the inner ones of a stretch of equal ``tp``."""
    needed = np.ones(len(tp), bool)
    needed[1:-1] = (tp[1:-1] != tp[:-2]) | (tp[1:-1] != tp[2:])
    return needed


def why_undefined(positives: int, negatives: int, *, constant: bool) -> str | None:
    """The reason why there is no curve, or None."""
    if positives == 0:
        return NO_EXAMPLE
    if negatives == 0:
        return "every example of the test set is of this class"
    return "all scores are equal" if constant else None


def undefined_curve(label: int | None, positives: int, negatives: int, reason: str) -> Curve:
    """A curve without points whose areas are None for ``reason``."""
    n = positives + negatives
    nothing = np.empty(0, np.int64)
    return Curve(
        label=label,
        thresholds=np.empty(0, np.float64),
        tp=nothing,
        fp=nothing,
        positives=positives,
        negatives=negatives,
        roc_auc=undefined(AUC_METHOD, n, reason),
        average_precision=undefined(AP_METHOD, n, reason),
    )
