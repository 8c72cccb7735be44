"""Models of which a worker is struck in the middle of an epoch, named in configs as ``struck_models:function``."""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import subprocess
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import keras
import tensorflow as tf

from nn_train import runs
from nn_train.training import watchdog

NOTHING = (99, None)
LIMIT = 120  # seconds


class AtStep(keras.layers.Layer):
    """Passes its input on. At step ``step`` of worker ``rank`` it calls ``action``, once for all tries.

    Where that gives a number, the input of this step is multiplied with it. Counted are steps of training, or batches
    of validation.
    """

    def __init__(self, marker, rank, action, step, while_training=True, **kwargs):
        super().__init__(**kwargs)
        self.marker, self.rank, self.action, self.step, self.steps = marker, rank, action, step, 0
        self.while_training = while_training

    def call(self, x, training=False):
        if bool(training) == self.while_training:
            x *= tf.ensure_shape(tf.py_function(self.note, [], x.dtype), ())
        return x

    def note(self):
        self.steps += 1
        own = json.loads(os.environ["TF_CONFIG"])["task"]["index"]
        if self.steps == self.step and own == self.rank and not self.marker.exists():
            self.marker.touch()
            return 1.0 if (factor := self.action()) is None else factor
        return 1.0

    def get_config(self):
        return {}


def marker_of(config, name="struck"):
    return Path(config.run.storage_path) / config.name / name


def model_with(config, rank, action, step=10, dropout=0.3, name="struck", **options):
    layers = [
        keras.Input((6,)),
        AtStep(marker_of(config, name), rank, action, step, **options),
        keras.layers.Dense(8, activation="relu"),
    ]
    return keras.Sequential([*layers, keras.layers.Dropout(dropout), keras.layers.Dense(3)])


def killed_in_a_step(config):
    return model_with(config, 1, kill)


def killed_again_and_again(config):
    """Worker 1 in its first step, the chief while it writes a checkpoint, worker 1 in the last of three epochs."""
    folder = Path(config.run.storage_path) / config.name
    strikes = [(1, kill, 1), (0, kill_at_the_next_checkpoint, 10), (1, kill, 4 + 12 + 3)]
    done = len(list(folder.glob("struck_*")))
    return model_with(config, *(strikes[done] if done < 3 else NOTHING), name=f"struck_{done}")


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


def kill_at_the_next_checkpoint():
    whole = os.fsync

    def fsync(descriptor):
        if "/checkpoints/" in os.readlink(f"/proc/self/fd/{descriptor}"):
            kill()
        whole(descriptor)

    os.fsync = fsync


def stopped_in_a_step(config):
    """The process stands still: it does not answer."""
    return model_with(config, 1, lambda: os.kill(os.getpid(), signal.SIGSTOP))


def waiting_in_a_step(config):
    """The process answers, but its training waits for ever, and so do the others."""
    return model_with(config, 1, lambda: threading.Event().wait())


def trial_waiting_in_a_step(config):
    """Of the trials of a search one waits for ever, once; ``config.name`` is that of the search."""
    return model_with(config, 0, lambda: threading.Event().wait())


def trial_stopped_in_a_step(config):
    """Of the trials of a search the process of one stands still, once."""
    return model_with(config, config.scaling.num_workers - 1, lambda: os.kill(os.getpid(), signal.SIGSTOP))


def waiting_in_the_first_step(config):
    """A moment of which nobody knows how long it takes."""
    return model_with(config, 1, lambda: threading.Event().wait(), step=1)


def waiting_in_validation(config):
    """Such a moment is also the validation after the first epoch."""
    return model_with(config, 1, lambda: threading.Event().wait(), step=2, while_training=False)


def waiting_in_the_second_epoch(config):
    return model_with(config, 0, lambda: threading.Event().wait(), step=12 + 4)


class WaitOnce(keras.callbacks.Callback):
    """A callback that waits for ever after the first epoch, once for all tries."""

    def __init__(self, marker):
        super().__init__()
        self.marker = marker

    def on_epoch_end(self, epoch, logs=None):
        if not self.marker.exists():
            self.marker.touch()
            threading.Event().wait()


def waiting_callback(folder):
    watchdog.PATIENT = 1
    return [WaitOnce(Path(folder) / "struck")]


def diverges(config):
    """The loss is NaN in the tenth step of the second epoch."""
    layers = [keras.layers.Dense(3), AtStep(marker_of(config), 1, lambda: math.nan, 12 + 10)]
    return keras.Sequential([keras.Input((6,)), *layers])


def diverges_to_infinity(config):
    layers = [keras.layers.Dense(3), AtStep(marker_of(config), 1, lambda: 1e38, 12 + 10)]
    return keras.Sequential([keras.Input((6,)), *layers])


def diverges_unseen(config):
    """The same, but weights become NaN and the ReLU behind them hides it from the loss."""
    return model_with(config, 1, lambda: math.nan, step=12 + 10)


def mistaken(config):
    return model_with(config, 1, lambda: {}["a mistake of the user"])


def until_asked(config):
    """Waits within the first chunk until the workers are asked to leave, once."""
    return model_with(config, 0, wait_until_asked, dropout=0, step=5)


def node_killed(config):
    """Two workers lose the node of the second one; one worker waits until it is asked to leave. Each happens once."""
    size = len(json.loads(os.environ["TF_CONFIG"])["cluster"]["worker"])
    rank, action = (0, wait_until_asked) if size == 1 else (1, kill_node)
    return model_with(config, rank, action, dropout=0, name=f"struck_{size}", step=5)


def kill_node():
    """Kill the raylet, which has started this process, and do nothing until that has its effect."""
    os.kill(os.getppid(), signal.SIGKILL)
    threading.Event().wait()


def wait_until_asked():
    from nn_train.training.leaving import is_asked_to_leave

    for _ in range(LIMIT * 100):
        if is_asked_to_leave():
            return
        threading.Event().wait(0.01)
    raise TimeoutError(f"nobody asked within {LIMIT} s")


def disk_full(config):
    """The chief's disk has no room from the middle of the first epoch on: see ``damaged``."""
    filler = Path(config.run.storage_path) / "filler"
    return damaged(config, lambda: fill(filler), filler.unlink)


def disk_read_only(config):
    mount = ["mount", "-o", "remount,bind,{}", config.run.storage_path]
    return damaged(config, *(lambda how=how: run([word.format(how) for word in mount]) for how in ("ro", "rw")))


def disk_gone(config):
    """Unmounted; it comes back from where it is mounted as well."""
    place = config.run.storage_path
    return damaged(
        config, lambda: run(["umount", "--lazy", place]), lambda: run(["mount", "--bind", f"{place}.kept", place])
    )


def disk_gone_and_killed(config):
    """In the second epoch the disk is unmounted and the chief killed; who comes after it waits for little time."""
    runs.PATIENCE = 2

    def strike():
        run(["umount", "--lazy", config.run.storage_path])
        kill()

    return model_with(config, 0, strike, step=12 + 10)


def damaged(config, damage, mend):
    """In step 10 the storage is damaged; in the first pause of who tries again it is mended, or he gives up soon."""

    def strike():
        damage()
        if config.name == "for_a_while":
            runs.time = SimpleNamespace(monotonic=time.monotonic, sleep=lambda seconds: mend())
        else:
            runs.PATIENCE = 2

    return model_with(config, 0, strike)


def fill(file):
    with file.open("wb", buffering=0) as handle, contextlib.suppress(OSError):
        while True:
            handle.write(bytes(2**16))


def run(command):
    subprocess.run(command, check=True)


def unharmed(config):
    return model_with(config, *NOTHING)


def without_dropout(config):
    """Trains alike on any number of workers."""
    return model_with(config, *NOTHING, dropout=0)
