"""Calibration and coverage."""

from __future__ import annotations

import numpy as np
import pytest

from nn_train.evaluation.calibration import UNIFORM, calibrate
from nn_train.evaluation.coverage import cover
from nn_train.evaluation.scores import RowScores


def rows(confidence: list[float], correct: list[int]) -> RowScores:
    p, hits = np.array(confidence), np.array(correct, bool)
    with np.errstate(divide="ignore"):
        margin = np.log(p) - np.log1p(-p)
    return RowScores(hits.astype(np.int64), hits, p, margin, -np.log(p), (1 - p) ** 2)


def test_ece_is_the_weighted_gap() -> None:
    calibration = calibrate(rows([0.95] * 10 + [0.55] * 10, [1] * 9 + [0] + [1] * 3 + [0] * 7))
    assert calibration.ece_uniform.value == pytest.approx(0.5 * 0.05 + 0.5 * 0.25)
    assert [(one.count, one.accuracy.value) for one in calibration.scheme(UNIFORM)] == [(10, 0.3), (10, 0.9)]


@pytest.mark.parametrize(("confidence", "index"), [(1.0, 14), (14 / 15, 13), (0.94, 14), (1 / 15, 0)])
def test_a_uniform_bin_includes_its_upper_edge(confidence: float, index: int) -> None:
    assert [one.index for one in calibrate(rows([confidence], [1])).scheme(UNIFORM)] == [index]


def test_coverage_answers_the_most_confident_first() -> None:
    coverage = cover(rows([0.9, 0.6, 0.8, 0.7], [1, 0, 1, 0]))
    assert coverage.answered.tolist() == [1, 2, 3, 4]
    assert coverage.correct.tolist() == [1, 2, 2, 2]
    half = next(point for point in coverage.points if point.share == 0.5)
    assert (half.coverage, half.least_confidence, half.accuracy.value) == (0.5, 0.8, 1.0)
    assert coverage.aurc.value == pytest.approx((0 + 0 + 1 / 3 + 1 / 2) / 4)


def test_equal_confidences_are_answered_together() -> None:
    coverage = cover(rows([0.9, 0.7, 0.7, 0.7], [1, 0, 1, 1]))
    assert coverage.answered.tolist() == [1, 4]
    half = next(point for point in coverage.points if point.share == 0.5)
    assert (half.coverage, half.accuracy.n) == (1.0, 4)
