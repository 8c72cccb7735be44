"""A strategy of the user's own, whose connection is used."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from nn_train.errors import RequestError


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
