"""The user's Keras callbacks, run at the beginning and end of training and of every epoch.

They run on the chief alone: it writes once, prints once and decides once, and what it decided (weights,
learning rate, to stop) is then shared. A callback that looks at the clock cannot make workers disagree.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from nn_train.checkpoints import state_variables
from nn_train.config import Config
from nn_train.entry_points import call_entry_point
from nn_train.errors import RequestError
from nn_train.replication import Replicas, separate_seeds, share_from_chief


class ChiefCallbacks:
    """Runs the callbacks of ``train.callbacks`` on the chief and shares their effects.

    Args:
        config: the job; without ``train.callbacks`` every method does nothing.
        model: the built model.
        replicas: this process's place.
        folder: the run's folder, offered to the user's function as ``folder``.
    """

    def __init__(self, config: Config, model: keras.Model, replicas: Replicas, folder: str) -> None:
        self.active = config.train.callbacks is not None
        self.model, self.replicas = model, replicas
        self.callbacks: Any = None
        if not self.active:
            return
        with replicas.strategy.scope():
            self.stop = keras.Variable(0.0, trainable=False, name="stop", dtype="float32")
        self.share = share_from_chief([*state_variables(model), self.stop], replicas)
        if replicas.is_chief:
            given = call_entry_point("train.callbacks", str(config.train.callbacks), config=config, folder=folder)
            if not isinstance(given, list | tuple) or not all(isinstance(c, keras.callbacks.Callback) for c in given):
                raise RequestError(f"train.callbacks: {config.train.callbacks} must return a list of Keras callbacks")
            self.callbacks = keras.callbacks.CallbackList(list(given), model=model, epochs=config.train.epochs)

    def on_train_begin(self) -> None:
        if self.callbacks:
            self.model.stop_training = False
            self.callbacks.on_train_begin()

    def on_epoch_begin(self, epoch: int) -> bool:
        """Run the chief's callbacks and share what they changed. Returns whether to stop instead."""
        if not self.active:
            return False
        if self.callbacks:
            if not self.model.stop_training:
                self.callbacks.on_epoch_begin(epoch)
            self.stop.assign(float(self.model.stop_training))
        self.share()
        separate_seeds(self.model, self.replicas)
        return bool(np.asarray(self.stop.value))

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        if self.callbacks:
            self.callbacks.on_epoch_end(epoch, dict(logs))

    def on_train_end(self) -> None:
        if self.callbacks:
            self.callbacks.on_train_end()
