"""The variables that training changes, and how they are set back."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from nn_train.engine.seeds import global_states


def metrics_of(model: keras.Model) -> list[Any]:
    """Return the model's metrics, each once.

    Those of layers within layers, which Keras lists several times, and of models within the model, which it leaves out,
    are among them.
    """
    of_layers = [metric for layer in model._flatten_layers() for metric in layer._metrics]
    return list({id(metric): metric for metric in [*model.metrics, *of_layers]}.values())


def optimizers_of(model: keras.Model) -> list[keras.optimizers.Optimizer]:
    """Return the optimizer that the model was compiled with, and those in its attributes, lists and dicts."""
    values = list(vars(model).values())
    values += [inner for one in values if isinstance(one, list | tuple) for inner in one]
    values += [inner for one in values if isinstance(one, dict) for inner in one.values()]
    return list({id(one): one for one in values if isinstance(one, keras.optimizers.Optimizer)}.values())


def state_of(model: keras.Model) -> list[Any]:
    """Return the variables of the model, its optimizers and its metrics."""
    optimizers = [variable for one in optimizers_of(model) for variable in one.variables]
    of_metrics = [variable for metric in metrics_of(model) for variable in metric.variables]
    found = [*model.variables, *of_metrics, *optimizers]
    return list({id(variable): variable for variable in found}.values())


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


def values_of(variables: list[Any]) -> list[np.ndarray]:
    return [np.asarray(variable.value) for variable in variables]


@contextlib.contextmanager
def unchanged(variables: list[Any]) -> Iterator[None]:
    """Set ``variables`` back to what they were before."""
    before = [tf.identity(variable.value) for variable in variables]
    try:
        yield
    finally:
        for variable, value in zip(variables, before, strict=True):
            variable.assign(value)
