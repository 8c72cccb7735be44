"""What a row tells of an epoch, and which callbacks are told of more."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.tf


def test_the_learning_rate_of_a_row_is_that_of_the_next_step():
    """A callback changes it at the end of the epoch; of the state that is kept then it is a part."""
    import tensorflow as tf

    from nn_train.config import config_from_dict
    from nn_train.datasets import load_data
    from nn_train.engine.loops import loop_of
    from nn_train.engine.preparation import prepare_model
    from nn_train.engine.strategy import Replicas
    from nn_train.runs.callbacks import given_callbacks
    from nn_train.runs.epochs import Training

    kept = []

    class Kept(Training):
        def keep_model(self):
            kept.append(float(self.model.optimizer.learning_rate))

        def keep_state(self):
            kept.append(self.history[-1]["learning_rate"])

    train = {"epochs": 2, "callbacks": "user_callbacks:halves_the_rate"}
    config = config_from_dict(
        {"data": {"source": "user_data:arrays"}, "optimizer": {"learning_rate": 0.1}, "train": train}
    )
    replicas = Replicas(strategy=tf.distribute.get_strategy(), rank=0, size=1)
    data = load_data(config.data)
    given = given_callbacks(config, replicas, "")
    training = Kept(config, data, loop_of(prepare_model(config, data, replicas), config, data, replicas), given, "")
    rows = list(training.epochs())
    assert [row["learning_rate"] for row in rows] == pytest.approx([0.05, 0.025])
    assert kept == pytest.approx([0.1, 0.05, 0.05, 0.025])


def test_batches_are_told_of_only_where_a_callback_asks_for_them(tmp_path):
    from keras import callbacks

    from nn_train.runs.callbacks import HOOKS, is_told

    class Checkpoints(callbacks.ModelCheckpoint):
        pass

    class Watches(callbacks.Callback):
        def on_batch_end(self, batch, logs=None):
            pass

    place = str(tmp_path / "model.keras")
    ends, begins = "on_train_batch_end", "on_train_batch_begin"
    for one, heard in [
        (Checkpoints(place), []),
        (Checkpoints(place, save_freq=5), [ends]),
        (callbacks.BackupAndRestore(str(tmp_path / "backup")), []),
        (callbacks.BackupAndRestore(str(tmp_path / "backup"), save_freq=5), [ends]),
        (callbacks.TensorBoard(place), ["on_test_begin", "on_test_end"]),
        (callbacks.TensorBoard(place, update_freq=3), [*HOOKS[:3], "on_test_begin", "on_test_end"]),
        (callbacks.TensorBoard(place, profile_batch=2), [*HOOKS[:3], "on_test_begin", "on_test_end"]),
        (callbacks.TerminateOnNaN(), []),
        (callbacks.EarlyStopping("loss"), []),
        (callbacks.LambdaCallback(on_epoch_end=print), []),
        (callbacks.LambdaCallback(on_train_batch_begin=print), [begins]),
        (callbacks.ProgbarLogger(), [ends, "on_test_batch_end", "on_test_begin", "on_test_end"]),
        (Watches(), [ends]),
    ]:
        assert [hook for hook in HOOKS if is_told(one, hook)] == heard, one
