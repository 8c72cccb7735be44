"""Accuracy when the model may decline to answer where it is least sure (El-Yaniv and Wiener, 2010)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nn_train.evaluation.intervals import proportion
from nn_train.evaluation.numbers import Number
from nn_train.evaluation.scores import RowScores

SHARES = (0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 1.0)


@dataclass(frozen=True)
class CoveragePoint:
    """Answering at least ``share`` of the examples, the most confident ones, ties together."""

    share: float
    coverage: float
    least_confidence: float
    accuracy: Number


@dataclass(frozen=True)
class Coverage:
    """The whole curve, its table and its summary.

    Attributes:
        answered, correct: int64 [T], counts at every distinct confidence, from the most confident down.
        points: the table at ``SHARES``.
        aurc: mean error rate over all coverages; smaller is better.
    """

    answered: NDArray[np.int64]
    correct: NDArray[np.int64]
    points: tuple[CoveragePoint, ...]
    aurc: Number


def cover(scores: RowScores) -> Coverage:
    """The accuracy of the most confident examples, for every number of them."""
    n = len(scores.margin)
    order = np.argsort(-scores.margin, kind="stable")
    margins = scores.margin[order]
    ends = np.flatnonzero(np.append(margins[1:] != margins[:-1], True))
    answered = ends + 1
    correct = np.cumsum(scores.correct[order])[ends]
    risk = 1.0 - correct / answered
    points = []
    for share in SHARES:
        at = int(np.searchsorted(answered, int(np.ceil(share * n))))
        hits = proportion(int(correct[at]), int(answered[at]), "share correct of those answered", empty="no answer")
        points.append(CoveragePoint(share, float(answered[at] / n), float(scores.confidence[order[ends[at]]]), hits))
    area = float(np.sum(np.diff(answered, prepend=0) * risk) / n)
    method = "area under the risk-coverage curve, tied confidences together"
    return Coverage(answered, correct.astype(np.int64), tuple(points), Number(value=area, n=n, method=method))
