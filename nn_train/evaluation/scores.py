"""From logits to the scores that every metric starts from, in float64.

Ranking uses log-odds, not probabilities: in float64 a probability cannot tell apart logits that lead by
more than 37 (all become 1.0), which would invent ties in ROC and precision-recall curves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from nn_train.evaluation.predictions import Predictions

CHUNK_ROWS = 65_536  # bounds the float64 copies: 65,536 rows of 10 classes are 5 MB


def log_odds(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """One-vs-rest log-odds, ``log p_k - log(1 - p_k) = z_k - log Σ_{j≠k} exp z_j``.

    The sum over the others adds what lies left and right of k instead of subtracting ``exp z_k`` from
    the whole, so that nothing cancels and, for two classes, the result is exactly ``z_0 - z_1``.

    Args:
        logits: finite float32 [N, C].

    Returns:
        float64 [N, C]
    """
    z = logits.astype(np.float64)
    rows, top = np.arange(len(z)), z.argmax(axis=1)
    shifted = z - z.max(axis=1, keepdims=True)
    weights = np.exp(shifted)
    others = np.zeros_like(z)
    others[:, 1:] += np.cumsum(weights[:, :-1], axis=1)
    others[:, :-1] += np.cumsum(weights[:, :0:-1], axis=1)[:, ::-1]
    # Beside the largest logit the others may all have vanished: they get a shift of their own.
    rest = shifted.copy()
    rest[rows, top] = -np.inf
    others[rows, top] = 1.0
    odds = shifted - np.log(others)
    odds[rows, top] = -special.logsumexp(rest, axis=1)
    return odds


def log_probabilities(probabilities: NDArray[np.floating]) -> NDArray[np.float32]:
    """Finite stand-ins for logits, for a model that only gives probabilities.

    Zero becomes the logarithm of float32's smallest normal number, about -87.3.
    """
    return np.log(np.maximum(probabilities.astype(np.float32), np.finfo(np.float32).tiny))


@dataclass(frozen=True)
class RowScores:
    """One value per example, all [N], in the order of the predictions.

    Attributes:
        predicted: int64, the class of the largest logit (the lowest one where several are largest).
        correct: bool.
        confidence: float64, the probability of ``predicted``.
        margin: float64, the log-odds of ``predicted``; orders like ``confidence`` without saturating.
        log_loss: float64, ``-log p`` of the true class.
        brier: float64, ``Σ_k (p_k - [k is true])²``, from 0 to 2 (Brier, 1950).
    """

    predicted: NDArray[np.int64]
    correct: NDArray[np.bool_]
    confidence: NDArray[np.float64]
    margin: NDArray[np.float64]
    log_loss: NDArray[np.float64]
    brier: NDArray[np.float64]


def score_rows(predictions: Predictions) -> RowScores:
    """The scores of every example, computed in portions of ``CHUNK_ROWS``."""
    starts = range(0, len(predictions), CHUNK_ROWS)
    chunks = [score_chunk(predictions, slice(start, start + CHUNK_ROWS)) for start in starts]
    return RowScores(*(np.concatenate(column) for column in zip(*chunks, strict=True)))


def score_chunk(predictions: Predictions, part: slice) -> tuple[NDArray, ...]:
    """The fields of ``RowScores`` for some of the rows."""
    logits, labels = predictions.logits[part], predictions.y_true[part]
    rows = np.arange(len(labels))
    log_p = special.log_softmax(logits.astype(np.float64), axis=1)
    errors = np.exp(log_p)
    predicted = logits.argmax(axis=1).astype(np.int64)
    confidence = errors[rows, predicted]
    errors[rows, labels] -= 1.0
    margin = log_odds(logits)[rows, predicted]
    return predicted, predicted == labels, confidence, margin, -log_p[rows, labels], np.square(errors).sum(axis=1)
