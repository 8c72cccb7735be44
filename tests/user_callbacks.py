"""Callbacks as a user would write them: some note what they see, some strike their own worker."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections import deque
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf


class Recorder(keras.callbacks.Callback):
    """Writes a line an epoch: twice, if it ran on two workers."""

    def __init__(self, folder):
        super().__init__()
        self.path = f"{folder}/recorded.txt"

    def on_epoch_end(self, epoch, logs=None):
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(f"{epoch} {float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)):.4f}\n")


def callbacks(folder):
    """Keras' own and one of the user's; the rate falls from epoch to epoch, training stops in the third."""
    return [
        keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate * epoch / (epoch + 1) if epoch else rate),
        keras.callbacks.EarlyStopping(monitor="loss", min_delta=100.0, patience=2),
        keras.callbacks.ReduceLROnPlateau(monitor="val_loss", patience=50),
        keras.callbacks.CSVLogger(f"{folder}/log.csv"),
        keras.callbacks.TensorBoard(f"{folder}/own_tensorboard"),
        Recorder(folder),
    ]


class KillOnce(keras.callbacks.Callback):
    """SIGKILLs its own worker at the end of the second epoch, the first time it gets there."""

    def __init__(self, marker):
        super().__init__()
        self.marker = Path(marker)

    def on_epoch_end(self, epoch, logs=None):
        if epoch == 1 and not self.marker.exists():
            self.marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)


def kill_once(folder):
    return [KillOnce(f"{folder}/killed")]


def kill_once_marked():
    """As above where the run's folder is no local one: the marker is named by the environment."""
    return [KillOnce(os.environ["KILL_ONCE_MARKER"])]


def impatient():
    """None, but this worker waits a few seconds only for storage that fails."""
    from nn_train.storage import retry

    retry.PATIENCE = 3.0
    return []


def never_kill(folder):
    return [KillOnce(folder)]  # the folder exists: it stays alive


class HangOnce(KillOnce):
    """Waits at the beginning of the fourth epoch, the first time it gets there, to be interrupted."""

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 3 and not self.marker.exists():
            self.marker.touch()
            threading.Event().wait(120)

    def on_epoch_end(self, epoch, logs=None):
        pass


def hang_once(folder):
    return [HangOnce(f"{folder}/waited")]


def kill_trial_once(config, folder):
    """Kills the first process of a search that gets to its second epoch."""
    mark = Path(config.run.storage_path) / "killed"

    class Kill(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1 and not mark.exists():
                mark.write_text("")
                os.kill(os.getpid(), signal.SIGKILL)

    return [Kill()]


def note_threads(config, folder):
    """Writes down how many threads TensorFlow has in the process of a trial."""
    threads = tf.config.threading
    counts = (threads.get_intra_op_parallelism_threads(), threads.get_inter_op_parallelism_threads())
    (Path(config.run.storage_path) / f"threads-{os.getpid()}").write_text(f"{counts}")
    return []


def note_node(config, folder):
    """Writes down on which Ray node a trial ran."""
    import ray

    (Path(config.run.storage_path) / f"node-{ray.get_runtime_context().get_node_id()}").write_text("")
    return []


def one_until_told(config, folder):
    """The first trial of a search that gets here runs; the others wait until there is a file ``go_on``."""
    place = Path(config.run.storage_path)
    try:
        (place / "first").touch(exist_ok=False)
    except FileExistsError:
        while not (place / "go_on").exists():
            threading.Event().wait(0.1)
    return []


def two_abreast(config, folder):
    """No process of a search is more than an epoch ahead of all others, however fast it is."""

    class Abreast(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            place = Path(config.run.storage_path)
            (place / f"epoch{epoch}-{os.getpid()}").touch()
            while len(list(place.glob(f"epoch{epoch}-*"))) < 2:
                threading.Event().wait(0.1)

    return [Abreast()]


def tells_before_it_is_killed(config, folder):
    """Says by the pipe ``now``, where there is one, that a trial that was compared is at its fifth epoch; waits."""
    pipe, standing = Path(config.run.storage_path) / "now", Path(folder) / "standing.json"

    class Tells(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 4 and pipe.exists() and standing.exists():
                pipe.write_text("now")
                threading.Event().wait()

    return [Tells()]


class Counts(keras.callbacks.Callback):
    """Remembers values of every kind."""

    def __init__(self, start=0):
        super().__init__()
        self.start, self.seen, self.arrays, self.lock = start, {}, [], threading.Lock()

    def on_train_begin(self, logs=None):
        self.seen = {}

    def on_epoch_end(self, epoch, logs=None):
        self.seen[epoch] = (logs["loss"], np.float32(logs["loss"]), None)
        self.arrays.append(np.full((2, epoch), epoch))


class SetsTheRate(keras.callbacks.Callback):
    """Like BackupAndRestore it changes the model when training begins."""

    def on_train_begin(self, logs=None):
        self.model.optimizer.learning_rate = 0.5


class SaysItsState(keras.callbacks.Callback):
    """Remembers in an object that no checkpoint can hold, and says what there is to keep."""

    def __init__(self):
        super().__init__()
        self.losses, self.not_kept = Losses(), 0

    def get_state(self):
        return {"losses": self.losses.values()}

    def set_state(self, state):
        self.losses = Losses(state["losses"])

    def on_epoch_end(self, epoch, logs=None):
        self.losses.add(logs["loss"])
        self.not_kept += 1


class Losses:
    """The last ten losses."""

    def __init__(self, values=()):
        self.last = deque(values, maxlen=10)

    def values(self):
        return list(self.last)

    def add(self, value):
        self.last.append(value)


class HalvesTheRate(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        self.model.optimizer.learning_rate = 0.5 * float(self.model.optimizer.learning_rate)


class Listens(keras.callbacks.Callback):
    """Warms the rate up over the batches of each epoch, ends the third after two, and notes all that it sees."""

    def __init__(self, folder):
        super().__init__()
        self.folder, self.seen = Path(folder), []

    def on_epoch_begin(self, epoch, logs=None):
        self.seen.append([f"epoch {epoch}", 0.0])

    def on_train_batch_begin(self, batch, logs=None):
        self.model.optimizer.learning_rate = 0.01 * (1 + batch)

    def on_batch_end(self, batch, logs=None):
        self.seen.append([f"batch {batch}", logs["loss"]])
        if self.seen[-3:-2] == [["epoch 2", 0.0]]:
            self.model.stop_training = True

    def on_test_batch_begin(self, batch, logs=None):
        self.seen.append([f"test batch {batch} begins", 0.0])

    def on_test_batch_end(self, batch, logs=None):
        self.seen.append([f"test batch {batch}", logs["loss"]])

    def on_test_end(self, logs=None):
        self.seen.append(["test", logs["loss"]])

    def on_test_begin(self, logs=None):
        self.model.stop_evaluating = self.seen[-2][0] == "epoch 2"  # after the first batch of the last validation

    def on_train_end(self, logs=None):
        (self.folder / "seen.json").write_text(json.dumps([[moment, float(loss)] for moment, loss in self.seen]))


def listening(folder):
    save = keras.callbacks.ModelCheckpoint(f"{folder}/{{batch}}.weights.h5", save_weights_only=True, save_freq=2)
    return [Listens(folder), save]


class Turns(keras.callbacks.Callback):
    """Gives one attribute of a layer another value before the first epoch, where the learning rate is high."""

    def __init__(self, config, attribute, value):
        super().__init__()
        self.attribute, self.value = attribute, value if config.optimizer.learning_rate > 0.01 else None

    def on_train_begin(self, logs=None):
        for layer in self.model.layers:
            if self.value is not None and hasattr(layer, "rate" if self.attribute == "rate" else "kernel"):
                setattr(layer, self.attribute, self.value)
                break


def freezes(config):
    return [Turns(config, "trainable", False)]


def of_keras():
    """Keras' own alone, which change only the rate."""
    return [keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2), keras.callbacks.EarlyStopping("loss")]
