"""A model is tried on a few rows: nothing happens by chance meanwhile, and afterwards the model is as it was."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from nn_train.engine.fit.draws import without_chance
from nn_train.engine.fit.random_state import global_generator
from nn_train.engine.fit.replacing import replaced
from nn_train.engine.tensors import Nest

OPEN = 0.1  # what a weight of nothing but zeros is in a trial


@contextlib.contextmanager
def unchanged(model: keras.Model) -> Iterator[None]:
    """After it the model's variables are what they were."""
    with kept([*model.variables, *model.metrics_variables, *states_beside(model)]):
        yield


@contextlib.contextmanager
def opened(model: keras.Model) -> Iterator[None]:
    """Meanwhile no weight is zero in all its entries: what a factor that begins with zero shuts off would show nothing
    of itself, and count from the first step on, or once a callback raises it.
    """
    numbers = [one for one in model.weights if tf.as_dtype(one.dtype).is_floating]
    shut = [one for one in numbers if not np.any(np.asarray(one.value))]
    with kept(shut):
        for one in shut:
            one.assign(tf.fill(tf.shape(one.value), tf.cast(OPEN, one.value.dtype)))
        yield


@contextlib.contextmanager
def at_rest(model: keras.Model) -> Iterator[None]:
    """Meanwhile nothing is drawn or dropped, and BatchNormalization takes the moments that it keeps: what a model gives
    for a row, also while it trains, is a matter of this row and the weights alone, if layers look at no other rows.

    After it what a call changes, be it a weight as in SpectralNormalization, is as it was.
    """
    norm = keras.layers.BatchNormalization
    by_rows = norm.call

    def by_kept(layer: Any, inputs: Nest, training: bool | None = None, mask: Nest = None) -> Any:
        return by_rows(layer, inputs, training=False, mask=mask)

    with (
        kept([*model.variables, *states_beside(model)]),
        without_chance(),
        replaced(norm, "call", by_kept),
    ):
        yield


@contextlib.contextmanager
def kept(variables: list[Any]) -> Iterator[None]:
    variables = list({id(variable): variable for variable in variables}.values())
    before = values_of(variables)
    try:
        yield
    finally:
        put(variables, before)


def states_beside(model: keras.Model) -> list[Any]:
    """What Keras does not count among a model's variables: its generator for everybody, and ``plain_variables``."""
    generator = global_generator()
    return [*([generator.state] if generator is not None else []), *plain_variables(model).values()]


def plain_variables(model: keras.Model) -> dict[str, tf.Variable]:
    """TensorFlow's variables among the attributes of layers, by ``layer.attribute``. Keras does not save them."""
    return {
        f"{layer.name}.{name}": value
        for layer in model._flatten_layers()
        for name, value in vars(layer).items()
        if isinstance(value, tf.Variable)
    }


def values_of(variables: list[Any]) -> list[np.ndarray]:
    return [np.asarray(tf.convert_to_tensor(one) if isinstance(one, tf.Variable) else one.value) for one in variables]


def put(variables: list[Any], values: list[np.ndarray]) -> None:
    for variable, now, value in zip(variables, values_of(variables), values, strict=True):
        if not np.array_equal(now, value, equal_nan=value.dtype.kind == "f"):
            variable.assign(value)
