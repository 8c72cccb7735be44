"""Whether a confidence of 90 % is right nine times in ten (Guo et al., 2017)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nn_train.evaluation.intervals import proportion
from nn_train.evaluation.numbers import Number
from nn_train.evaluation.scores import RowScores

NUM_BINS = 15
UNIFORM, QUANTILE = "uniform", "quantile"


@dataclass(frozen=True, kw_only=True)
class CalibrationBin:
    """The examples whose confidence falls into one bin; empty bins are not kept."""

    scheme: str
    index: int
    lowest: float
    highest: float
    count: int
    mean_confidence: float
    accuracy: Number


@dataclass(frozen=True)
class Calibration:
    """Expected calibration error ``Σ (n_b / N) |accuracy_b - mean confidence_b|`` in two binnings."""

    bins: tuple[CalibrationBin, ...]
    ece_uniform: Number
    ece_quantile: Number

    def scheme(self, name: str) -> list[CalibrationBin]:
        """The bins of ``uniform`` or ``quantile``, from the lowest confidence up."""
        return [one for one in self.bins if one.scheme == name]


def calibrate(scores: RowScores) -> Calibration:
    """Both binnings of the confidence of the predicted class.

    Uniform: bin b holds confidences in (b / 15, (b + 1) / 15]. Quantile: the examples in order of
    confidence (by log-odds, then by id) in 15 parts whose sizes differ by one at most.
    """
    edges = np.arange(1, NUM_BINS) / NUM_BINS
    by_width = np.digitize(scores.confidence, edges, right=True)
    by_rank = np.empty(len(scores.margin), np.int64)
    for index, members in enumerate(np.array_split(np.argsort(scores.margin, kind="stable"), NUM_BINS)):
        by_rank[members] = index
    uniform, quantile = make_bins(UNIFORM, by_width, scores), make_bins(QUANTILE, by_rank, scores)
    return Calibration(
        bins=(*uniform, *quantile),
        ece_uniform=expected_error(uniform, f"{NUM_BINS} bins of equal width"),
        ece_quantile=expected_error(quantile, f"{NUM_BINS} bins of equal count"),
    )


def make_bins(scheme: str, index: NDArray[np.int64], scores: RowScores) -> list[CalibrationBin]:
    """One entry per bin that has examples."""
    result = []
    for b in np.unique(index):
        confidence, correct = scores.confidence[index == b], scores.correct[index == b]
        result.append(
            CalibrationBin(
                scheme=scheme,
                index=int(b),
                lowest=float(confidence.min()),
                highest=float(confidence.max()),
                count=len(confidence),
                mean_confidence=float(confidence.mean()),
                accuracy=proportion(int(correct.sum()), len(correct), "share correct in the bin", empty="empty bin"),
            )
        )
    return result


def expected_error(bins: list[CalibrationBin], how: str) -> Number:
    """ECE over ``bins``. It has no interval: it is biased upwards, the more so the fewer the examples."""
    n = sum(one.count for one in bins)
    value = sum(one.count / n * abs((one.accuracy.value or 0.0) - one.mean_confidence) for one in bins)
    return Number(value=float(value), n=n, method=f"expected calibration error of the top class, {how}")
