from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.special import log_softmax, logsumexp
from sklearn.metrics import log_loss

from nn_train.evaluation import Predictions, scores
from nn_train.evaluation.mistakes import KEPT, confident_mistakes
from nn_train.evaluation.scores import log_odds, log_probabilities, score_rows


@pytest.mark.parametrize("scale", [1e-3, 1.0, 30.0, 1e4])
@pytest.mark.parametrize("classes", [2, 3, 10])
def test_log_odds_are_the_logit_minus_the_others(scale: float, classes: int) -> None:
    logits = (np.random.default_rng(0).normal(0, scale, (200, classes))).astype(np.float32)
    z = logits.astype(np.float64)
    expected = [z[:, k] - logsumexp(np.delete(z, k, axis=1), axis=1) for k in range(classes)]
    np.testing.assert_allclose(log_odds(logits), np.stack(expected, axis=1), rtol=1e-13, atol=1e-13)


def test_scores_tell_apart_what_probabilities_cannot() -> None:
    logits = np.array([[60, 0, 0], [80, 0, 0]], np.float32)
    first, second = log_odds(logits)[:, 0]
    assert second - first == pytest.approx(20)
    assert np.exp(log_softmax(logits.astype(np.float64), axis=1))[:, 0].tolist() == [1.0, 1.0]


def test_log_probabilities_of_a_certain_model_are_finite() -> None:
    result = log_probabilities(np.array([[1.0, 0.0]], np.float32))
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, [[0.0, -87.336544]])


def test_row_scores_agree_with_sklearn(predictions: Predictions) -> None:
    rows = score_rows(predictions)
    p = np.exp(log_softmax(predictions.logits.astype(np.float64), axis=1))
    assert rows.log_loss.mean() == pytest.approx(log_loss(predictions.y_true, p), rel=1e-12)
    np.testing.assert_allclose(rows.confidence, p.max(axis=1), rtol=1e-12)
    np.testing.assert_allclose(rows.brier, ((p - np.eye(4)[predictions.y_true]) ** 2).sum(axis=1), rtol=1e-12)
    np.testing.assert_allclose(1 / (1 + np.exp(-rows.margin)), rows.confidence, rtol=1e-12)


def test_portions_change_nothing(monkeypatch: pytest.MonkeyPatch, make: Callable[..., Predictions]) -> None:
    predictions = make(rows=1001)
    whole = score_rows(predictions)
    monkeypatch.setattr(scores, "CHUNK_ROWS", 7)
    for a, b in zip(vars(whole).values(), vars(score_rows(predictions)).values(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_mistakes_are_the_surest_wrong_answers_equal_ones_in_their_order(make: Callable[..., Predictions]) -> None:
    drawn = make(200)
    twice = np.concatenate([drawn.logits, drawn.logits])
    doubled = Predictions(np.arange(400) + 7, np.tile(drawn.y_true, 2), twice)
    found = confident_mistakes(doubled, score_rows(doubled))
    p = np.exp(log_softmax(twice.astype(np.float64), axis=1))
    wrong = [row for row in range(400) if twice[row].argmax() != doubled.y_true[row]]
    surest = sorted(wrong, key=lambda row: (-round(p[row].max(), 12), row))[:KEPT]
    assert [one.row for one in found] == surest
    assert [one.example_id for one in found] == [row + 7 for row in surest]
    assert [(one.true, one.predicted) for one in found] == [(doubled.y_true[r], twice[r].argmax()) for r in surest]
    assert [one.confidence for one in found] == pytest.approx([p[row].max() for row in surest])
    assert [one.true_probability for one in found] == pytest.approx([p[r, doubled.y_true[r]] for r in surest])
