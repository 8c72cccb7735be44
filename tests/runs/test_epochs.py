"""What a row tells of an epoch, and which callbacks are told of more."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.tf


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
