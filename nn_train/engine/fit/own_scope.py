"""A strategy of the user's own: its connection is used, and its model becomes one that was built outside of it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf
from tensorflow.python.distribute import distribute_lib
from tensorflow.python.ops import resource_variable_ops

from nn_train.engine.fit.random_state import global_generator
from nn_train.engine.model_state import optimizers_of, state_of


def make_plain(model: keras.Model) -> None:
    """Let the model's variables be this worker's own instead of mirrored ones, whose memory they share.

    Those of a strategy are read and written by all workers together: a metric that is read there is the sum over them.
    """
    generator = global_generator()
    for variable in [*state_of(model), *([generator.state] if generator is not None else [])]:
        mirrored = variable._value
        if isinstance(mirrored, tf.distribute.DistributedValues):
            variable._value = mirrored.values[0]
            variable.mirrored = mirrored  # an optimizer knows the variable by it
    for optimizer in optimizers_of(model):
        for one in (optimizer, getattr(optimizer, "inner_optimizer", optimizer)):
            one._distribution_strategy = distribute_lib._get_default_strategy()
    model._distribute_strategy = None


@contextlib.contextmanager
def outside_of_scopes() -> Iterator[None]:
    """Meanwhile variables are made, and functions run, as outside of any strategy's scope."""
    if not tf.distribute.has_strategy():
        yield
        return
    make = resource_variable_ops.default_variable_creator_v2
    distribute_lib._push_per_thread_mode(distribute_lib._get_default_replica_mode())
    try:
        with tf.device(None), tf.variable_creator_scope(lambda _, **named: make(None, **named)):
            yield
    finally:
        distribute_lib._pop_per_thread_mode()


def strategy_around(model: keras.Model | None) -> Any:
    """The strategy that the user has made for several processes: the model's, or that of the present scope; or None."""
    for strategy in (getattr(model, "_distribute_strategy", None), tf.distribute.get_strategy()):
        if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
            return strategy
    return None
