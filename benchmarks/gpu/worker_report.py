"""A callback by which a worker tells, from within, on what it trained. It is imported by workers alone."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from benchmarks.gpu.bench import HOLD, TOLD

HOLD_FOR = 60.0  # seconds


def build(config: Any, folder: str) -> list[keras.callbacks.Callback]:
    """``train.callbacks`` of the checks."""
    return [WorkerReport(folder, config.train.epochs)]


class WorkerReport(keras.callbacks.Callback):
    """Writes where the weights lie, in what numbers is computed, and how memory is taken."""

    def __init__(self, folder: str, epochs: int) -> None:
        super().__init__()
        self.folder, self.epochs = folder, epochs

    def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
        if HOLD in os.environ and epoch == self.epochs - 1:
            time.sleep(HOLD_FOR)

    def on_train_end(self, logs: object = None) -> None:
        Path(self.folder, TOLD).write_text(json.dumps(report(self.model)) + "\n")


def report(model: keras.Model) -> dict[str, Any]:
    """Of the first trained variable its device, of the layers the compute dtype, of the GPU name and memory."""
    kernel = next(layer for layer in model.layers if layer.trainable_variables)
    found = {"device": kernel.trainable_variables[0].value.device, "compute_dtype": kernel.compute_dtype}
    gpus = tf.config.get_visible_devices("GPU")
    if gpus:
        found["gpu"] = tf.config.experimental.get_device_details(gpus[0]).get("device_name")
        found["memory_growth"] = tf.config.experimental.get_memory_growth(gpus[0])
        found["peak_bytes"] = tf.config.experimental.get_memory_info("GPU:0")["peak"]
    return found
