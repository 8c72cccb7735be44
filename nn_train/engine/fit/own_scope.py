"""A strategy of the user's own: its connection is used, and its model becomes one that was built outside of it."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from nn_train.engine.model_state import optimizers_of, state_of
from nn_train.engine.seeds import global_states
from nn_train.errors import RequestError


def make_plain(model: keras.Model) -> None:
    """Let the model's variables be this worker's own instead of mirrored ones, whose memory they share.

    Those of a strategy are read and written by all workers together: a metric that is read there is the sum over them.
    """
    for variable in [*state_of(model), *global_states()]:
        mirrored = variable._value
        if isinstance(mirrored, tf.distribute.DistributedValues):
            variable._value = mirrored.values[0]
            variable.mirrored = mirrored  # an optimizer knows the variable by it
    for optimizer in optimizers_of(model):
        for one in (optimizer, getattr(optimizer, "inner_optimizer", optimizer)):
            one._distribution_strategy = tf.distribute.get_strategy()  # the default one: no scope is entered
    model._distribute_strategy = None


def refuse_within_scopes() -> None:
    """Raise RequestError within the scope of a strategy, where variables and functions would be the strategy's."""
    if tf.distribute.has_strategy():
        raise RequestError(
            "called within the scope of a tf.distribute strategy; build and compile the model there, or in "
            "nn_train.scope() instead, and call fit, evaluate and predict outside of it"
        )


def strategy_around(model: keras.Model | None) -> Any:
    """The strategy that the user has made for several processes: the model's, or that of the present scope; or None."""
    for strategy in (getattr(model, "_distribute_strategy", None), tf.distribute.get_strategy()):
        if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
            return strategy
    return None
