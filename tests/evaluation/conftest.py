"""Random predictions with known properties."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from nn_train.evaluation import Predictions


def make_predictions(rows: int = 400, classes: int = 4, seed: int = 0, noise: float = 1.5) -> Predictions:
    """Labels of every class and logits that favour the right one, ``noise`` of it wrong."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, rows)
    logits = np.eye(classes)[labels] * 2 + rng.normal(0, noise, (rows, classes))
    return Predictions(np.arange(rows), labels, logits.astype(np.float32))


@pytest.fixture
def predictions() -> Predictions:
    return make_predictions()


@pytest.fixture
def make() -> Callable[..., Predictions]:
    return make_predictions
