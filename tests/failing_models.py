"""Models of which a worker is struck in the middle of an epoch, named in configs as ``failing_models:function``."""

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

from nn_train.runs import watchdog
from nn_train.storage import retry

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
        # Not where the model is only tried, before the first step.
        if bool(training) == self.while_training and not tf.executing_eagerly():
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


def folder_of(config):
    return Path(config.run.storage_path) / config.name


def marker_of(config, name="struck"):
    return folder_of(config) / name


def model_with(config, rank, action, step=10, dropout=0.3, name="struck", **options):
    layers = [
        keras.Input((6,)),
        AtStep(marker_of(config, name), rank, action, step, **options),
        keras.layers.Dense(8, activation="relu"),
    ]
    return keras.Sequential([*layers, keras.layers.Dropout(dropout), keras.layers.Dense(3)])


def struck_again_and_again(config):
    """Each strike once: see the comments. Steps are counted from where a try goes on."""
    strikes = [
        (1, kill, 1),
        (1, stop, 10),  # who comes after it begins with step 8 or 9
        (0, kill_at_the_next_checkpoint, 2),  # that of the first epoch
        (1, kill, 4 + 12 + 3),  # in the last of three epochs
    ]
    return struck_in_turn(config, strikes)


def ended_again_and_again(config):
    """Worker 1 is killed in the first epoch; later the chief waits for ever, from when the test makes ``struck_1``."""
    return struck_in_turn(config, [(1, kill, 10), NOTHING, (0, lambda: threading.Event().wait(), 1)])


def struck_in_turn(config, strikes):
    """A try meets the first of the strikes, which are arguments of ``model_with``, that has not happened yet."""
    done = len(list(folder_of(config).glob("struck_*")))
    return model_with(config, *(strikes[done] if done < len(strikes) else NOTHING), name=f"struck_{done}")


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


def kill_at_the_next_checkpoint():
    whole = os.fsync

    def fsync(descriptor):
        if "/checkpoints/" in os.readlink(f"/proc/self/fd/{descriptor}"):
            kill()
        whole(descriptor)

    os.fsync = fsync


def stop():
    """The process stands still: it does not answer."""
    os.kill(os.getpid(), signal.SIGSTOP)


def waiting_in_a_step(config):
    """The process answers, but its training waits for ever, and so do the others."""
    return model_with(config, 1, lambda: threading.Event().wait())


def trial_struck_twice(config):
    """The first try of a trial waits for ever, the process of the second stands still; named by the search."""
    strikes = [(0, lambda: threading.Event().wait(), 10), (config.scaling.num_workers - 1, stop, 10)]
    return struck_in_turn(config, strikes)


def waiting_again_and_again(config):
    """Worker 1 waits for ever at moments of which nobody knows how long they take: its first step, a validation."""
    moments = [{"step": 1}, {"step": 1, "while_training": False}]
    done = len(list(folder_of(config).glob("struck_*")))
    if done < len(moments):
        return model_with(config, 1, lambda: threading.Event().wait(), name=f"struck_{done}", **moments[done])
    return unharmed(config)


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
    """Comes after ``waiting_again_and_again``, whose moments end before the callbacks."""
    if len(list(Path(folder).glob("struck_*"))) == 2:
        watchdog.PATIENT = 1
    return [WaitOnce(Path(folder) / "struck")]


def diverges(config):
    """The loss is NaN in the tenth step of the second epoch."""
    layers = [keras.layers.Dense(3), AtStep(marker_of(config), 1, lambda: math.nan, 12 + 10)]
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
    from nn_train.runs.draining import is_asked_to_drain

    for _ in range(LIMIT * 100):
        if is_asked_to_drain():
            return
        threading.Event().wait(0.01)
    raise TimeoutError(f"nobody asked within {LIMIT} s")


def disk_full(config):
    """The chief's disk has no room from the middle of the first epoch on, until the run ends for it."""
    return damaged_for_good(config, "disk_full")


def disk_read_only(config):
    return damaged_for_good(config, "disk_read_only")


def disk_gone(config):
    return damaged_for_good(config, "disk_gone")


def damaged_in_many_ways(config):
    """Each damage once, in an epoch of its own, and mended in the first pause of who tries again."""
    layers = []
    for step, (name, (damage, mend)) in zip((10, 12 + 10, 2 * 12 + 10), how_to_damage(config).items(), strict=True):

        def strike(damage=damage, mend=mend):
            damage()
            retry.time = SimpleNamespace(monotonic=time.monotonic, sleep=lambda seconds: mend())

        layers.append(AtStep(marker_of(config, f"struck_{name}"), 0, strike, step))
    model = unharmed(config)
    return keras.Sequential([keras.Input((6,)), *layers, *model.layers])


def how_to_damage(config):
    """What damages the disk of the results, and what mends it; unmounted, it is still mounted elsewhere."""
    place = config.run.storage_path
    filler, remount = Path(place) / "filler", ["mount", "-o", "remount,bind,{}", place]
    read_only, writable = ([word.format(how) for word in remount] for how in ("ro", "rw"))
    return {
        "disk_full": (lambda: fill(filler), filler.unlink),
        "disk_read_only": (lambda: run(read_only), lambda: run(writable)),
        "disk_gone": (
            lambda: run(["umount", "--lazy", place]),
            lambda: run(["mount", "--bind", f"{place}.kept", place]),
        ),
    }


def disk_gone_and_killed(config):
    """In the second epoch the disk is unmounted and the chief killed; who comes after it waits for little time."""
    retry.PATIENCE = 2

    def strike():
        run(["umount", "--lazy", config.run.storage_path])
        kill()

    return model_with(config, 0, strike, step=12 + 10)


def damaged_for_good(config, name):
    """In step 10 the storage is damaged; who tries again gives up soon."""
    damage, _ = how_to_damage(config)[name]

    def strike():
        damage()
        retry.PATIENCE = 2

    return model_with(config, 0, strike)


def fill(file):
    with file.open("wb", buffering=0) as handle, contextlib.suppress(OSError):
        while True:
            handle.write(bytes(2**16))


def run(command):
    subprocess.run(command, check=True)


def unharmed(config):
    print("building the model")  # in a worker
    return model_with(config, *NOTHING)


def without_dropout(config):
    """Trains alike on any number of workers."""
    return model_with(config, *NOTHING, dropout=0)
