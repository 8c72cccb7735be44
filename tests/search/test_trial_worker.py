"""Why a trial failed, as its worker says it."""

from __future__ import annotations

import pytest

from nn_train.errors import RequestError, TrainingError

pytestmark = pytest.mark.tf


def test_causes_are_told_in_words():
    import tensorflow as tf

    from nn_train.search.trial_worker import cause_of

    for error in (MemoryError(), tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")):
        assert cause_of(error).startswith("out of memory; lower train.batch_size")
    assert cause_of(RequestError("model.name: wrong")) == "model.name: wrong"
    assert cause_of(TrainingError("the loss is nan in epoch 1, step 2")) == "the loss is nan in epoch 1, step 2"
    assert cause_of(ValueError("a mistake")).endswith("ValueError: a mistake")


def test_a_lost_peer_is_no_fault_of_the_trial():
    import tensorflow as tf

    from nn_train.search.trial_worker import cause_of

    with pytest.raises(tf.errors.UnavailableError):
        cause_of(tf.errors.UnavailableError(None, None, "Collective ops is aborted by: failed to connect"))
