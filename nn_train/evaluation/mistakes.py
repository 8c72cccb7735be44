"""The examples that a run got wrong while it was most sure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nn_train.evaluation.predictions import Predictions
from nn_train.evaluation.scores import RowScores

KEPT = 24


@dataclass(frozen=True)
class Mistake:
    """One wrong answer: row in the predictions, id, true and predicted class, probabilities of both."""

    row: int
    example_id: int
    true: int
    predicted: int
    confidence: float
    true_probability: float


def confident_mistakes(predictions: Predictions, scores: RowScores) -> tuple[Mistake, ...]:
    """The ``KEPT`` most confident mistakes, the surest first, equal ones by id."""
    wrong = np.flatnonzero(~scores.correct)
    worst = wrong[np.argsort(-scores.margin[wrong], kind="stable")][:KEPT]
    return tuple(
        Mistake(
            row=int(row),
            example_id=int(predictions.example_id[row]),
            true=int(predictions.y_true[row]),
            predicted=int(scores.predicted[row]),
            confidence=float(scores.confidence[row]),
            true_probability=float(np.exp(-scores.log_loss[row])),
        )
        for row in worst
    )
