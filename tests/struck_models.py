"""Models of which a worker is struck in the middle of an epoch, named in configs as ``struck_models:function``."""

from __future__ import annotations

import json
import os
import signal
import threading
from pathlib import Path

import keras
import tensorflow as tf


class AtStep(keras.layers.Layer):
    """Passes its input on. At the tenth training step of worker ``rank`` it calls ``action``, once for all tries."""

    def __init__(self, marker, rank, action, **kwargs):
        super().__init__(**kwargs)
        self.marker, self.rank, self.action, self.steps = marker, rank, action, 0

    def call(self, x, training=False):
        if training:
            tf.py_function(self.note, [], [])
        return x

    def note(self):
        self.steps += 1
        own = json.loads(os.environ["TF_CONFIG"])["task"]["index"]
        if self.steps == 10 and own == self.rank and not self.marker.exists():
            self.marker.touch()
            self.action()

    def get_config(self):
        return {}


def model_with(config, rank, action):
    marker = Path(config.run.storage_path) / config.name / "struck"
    layers = [keras.Input((6,)), AtStep(marker, rank, action), keras.layers.Dense(8, activation="relu")]
    return keras.Sequential([*layers, keras.layers.Dropout(0.3), keras.layers.Dense(3)])


def killed_in_a_step(config):
    return model_with(config, 1, lambda: os.kill(os.getpid(), signal.SIGKILL))


def stopped_in_a_step(config):
    """The process stands still: it does not answer."""
    return model_with(config, 1, lambda: os.kill(os.getpid(), signal.SIGSTOP))


def waiting_in_a_step(config):
    """The process answers, but its training waits for ever, and so do the others."""
    return model_with(config, 1, lambda: threading.Event().wait())


def unharmed(config):
    return model_with(config, 99, None)
