"""Which epoch is the best and when to stop."""

from __future__ import annotations

import pytest

from nn_train.runs.record import best_epoch, should_stop


@pytest.mark.parametrize(
    ("losses", "best"), [([3.0], 1), ([3.0, 1.0, 2.0], 2), ([2.0, 1.0, 1.0], 2), ([1.0, 2.0, 3.0], 1)]
)
def test_the_best_epoch_is_the_first_with_the_lowest_validation_loss(losses, best):
    assert best_epoch([{"val_loss": loss} for loss in losses]) == best


def test_without_validation_the_last_epoch_counts():
    assert best_epoch([{"loss": 1.0}, {"loss": 2.0}]) == 2


@pytest.mark.parametrize(
    ("losses", "patience", "stop"),
    [([], 1, False), ([2.0, 1.0], 1, False), ([1.0, 2.0], 1, True), ([1.0, 2.0], 2, False), ([1.0, 2.0], None, False)],
)
def test_patience_counts_epochs_since_the_best(losses, patience, stop):
    assert should_stop([{"val_loss": loss} for loss in losses], patience) is stop
