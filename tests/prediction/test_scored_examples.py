"""Of the test examples a worker keeps the images that the report may show, and no others."""

from __future__ import annotations

import numpy as np
import pytest

from nn_train.evaluation import Predictions
from nn_train.evaluation.mistakes import confident_mistakes
from nn_train.evaluation.scores import score_rows
from nn_train.prediction.scored_examples import MistakenImages

ROWS = 500
draw = np.random.default_rng(8)
LABELS = draw.integers(0, 3, ROWS)
LOGITS = draw.normal(size=(ROWS, 3)).astype(np.float32)


def looked_at(x, labels=LABELS, block=60):
    mistaken, ids = MistakenImages(), np.arange(ROWS, dtype=np.int64)
    for first in range(0, ROWS, block):
        part = slice(first, first + block)
        mistaken.look_at(x[part], ids[part], labels[part], LOGITS[part])
    return mistaken.images


@pytest.mark.parametrize("channels", [1, 3])
def test_the_images_kept_are_those_of_the_most_confident_mistakes(channels):
    x = draw.integers(0, 256, (ROWS, 4, 5, channels), dtype=np.uint8)
    predictions = Predictions(np.arange(ROWS, dtype=np.int64), LABELS, LOGITS)
    shown = {mistake.example_id for mistake in confident_mistakes(predictions, score_rows(predictions))}
    images = looked_at(x)
    assert images.keys() == shown
    for i, image in images.items():
        np.testing.assert_array_equal(image, x[i])


@pytest.mark.parametrize("shape", [(4,), (4, 5), (4, 5, 2), (4, 5, 4)])
def test_what_is_no_image_is_not_kept(shape):
    assert looked_at(np.zeros((ROWS, *shape))) == {}


def test_labels_that_no_report_can_have_are_left_to_the_evaluation():
    assert looked_at(np.zeros((ROWS, 4, 5, 1)), labels=LABELS + 7) == {}
