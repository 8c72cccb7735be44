"""The numbers of a model's layers that a traced graph can read from variables: dropout rates, L1 and L2 penalties.

The arithmetic is that of the constants they replace, so that a trial ends with the same bits as a run of its config.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Protocol

import keras
import tensorflow as tf
from keras.src import backend

from nn_train.search.warm.own_code import REACHES_ATTRIBUTES

ANY = 0.5  # stands in a description for any number of its kind


class LayerNumber(Protocol):
    """A number above 0 in a model; 0 is another graph, as it is for Keras.

    Attributes:
        owner: the layer or regulariser that has it.
        value: what the model was built with.
    """

    owner: Any
    value: float

    def is_read(self, words: Collection[str]) -> bool:
        """Whether code of the user's may read it in steps, or compute with what it gives. ``words``: of that code."""

    def hide(self) -> None:
        """Put ``ANY`` in its place."""

    def show(self) -> None:
        """Put back what was there."""

    def make_settable(self) -> None:
        """From now on graphs read it, also those that are traced later."""

    def variables(self) -> list[tf.Variable]:
        """What graphs read; after ``make_settable``."""

    def set(self, value: float) -> None:
        """Give it another value; after ``make_settable``."""


class SettableRate(float):
    """A rate whose value is what a layer was last given, and which graphs read from variables, as ``dropout`` does."""

    variable: tf.Variable
    scale: tf.Variable


class DropoutRate:
    """A rate of a layer of Keras' that hands it to the backend's ``dropout``."""

    def __init__(self, layer: keras.layers.Layer, name: str) -> None:
        self.owner, self.name, self.given = layer, name, getattr(layer, name)
        self.value = float(self.given)
        # In float64, so that each is rounded once, to the numbers the model computes in.
        self.rate: tf.Variable
        self.scale: tf.Variable

    def is_read(self, words: Collection[str]) -> bool:
        return reaches(words, {self.name}) or {"Dropout", "call"} <= set(words)

    def hide(self) -> None:
        setattr(self.owner, self.name, ANY)

    def show(self) -> None:
        setattr(self.owner, self.name, self.given)

    def make_settable(self) -> None:
        backend.random.dropout = dropout
        self.rate, self.scale = (tf.Variable(0.0, trainable=False, dtype=tf.float64) for _ in range(2))
        self.set(self.value)

    def variables(self) -> list[tf.Variable]:
        return [self.rate, self.scale]

    def set(self, value: float) -> None:
        given = SettableRate(value)
        given.variable, given.scale = self.rate, self.scale
        setattr(self.owner, self.name, given)
        self.rate.assign(value)
        self.scale.assign(1 / (1 - value))


KERAS_DROPOUT, KERAS_UNIFORM = backend.random.dropout, backend.random.uniform


def dropout(
    inputs: tf.Tensor, rate: float, noise_shape: Sequence[int | None] | None = None, seed: object = None
) -> tf.Tensor:
    """The backend's, also of a rate that is read in every step; else the same as Keras' and TensorFlow's."""
    if not isinstance(rate, SettableRate):
        return KERAS_DROPOUT(inputs, rate, noise_shape, seed)
    sizes = tf.shape(inputs)
    if noise_shape is not None:
        sizes = [sizes[at] if size is None else size for at, size in enumerate(noise_shape)]
    kept = KERAS_UNIFORM(sizes, dtype=inputs.dtype, seed=seed) >= tf.cast(rate.variable, inputs.dtype)
    return tf.where(kept, inputs * tf.cast(rate.scale, inputs.dtype), tf.zeros((), inputs.dtype))


class SettableFactor(float):
    """A factor whose value is what a regulariser was last given, and which graphs read from a variable."""

    variable: tf.Variable

    def __tf_tensor__(self, dtype: object = None, name: str | None = None) -> tf.Tensor:
        return tf.convert_to_tensor(self.variable)


class Penalty:
    """A factor of a regulariser of Keras'.

    Attributes:
        known_as: the attributes of layers that the regulariser is.
    """

    def __init__(self, regularizer: Any, name: str) -> None:
        self.owner, self.name, self.given = regularizer, name, getattr(regularizer, name)
        self.value = float(self.given)
        self.known_as: set[str] = set()
        self.factor: tf.Variable

    def is_read(self, words: Collection[str]) -> bool:
        """Also who takes the penalty times a number has a factor that TensorFlow would multiply in advance."""
        return reaches(words, {"l1", "l2", "losses", "regularizer", *self.known_as})

    def hide(self) -> None:
        setattr(self.owner, self.name, ANY)

    def show(self) -> None:
        setattr(self.owner, self.name, self.given)

    def make_settable(self) -> None:
        self.factor = tf.Variable(0.0, trainable=False)  # weights are float32 in every precision
        self.set(self.value)

    def variables(self) -> list[tf.Variable]:
        return [self.factor]

    def set(self, value: float) -> None:
        given = SettableFactor(value)
        given.variable = self.factor
        setattr(self.owner, self.name, given)
        self.factor.assign(value)


OF_CELLS = ("dropout", "recurrent_dropout")
RATES = dict.fromkeys((keras.layers.LSTMCell, keras.layers.GRUCell, keras.layers.SimpleRNNCell), OF_CELLS)
RATES |= dict.fromkeys((keras.layers.Attention, keras.layers.AdditiveAttention), ("dropout",))
SPATIAL = (keras.layers.SpatialDropout1D, keras.layers.SpatialDropout2D, keras.layers.SpatialDropout3D)
RATES |= dict.fromkeys((keras.layers.Dropout, *SPATIAL), ("rate",))
FACTORS = {keras.regularizers.L1: ("l1",), keras.regularizers.L2: ("l2",), keras.regularizers.L1L2: ("l1", "l2")}


def numbers_of(model: keras.Model) -> list[LayerNumber]:
    """Those of a model, in the order of its layers."""
    found: list[LayerNumber] = []
    penalties: dict[tuple[int, str], Penalty] = {}  # by the regulariser, which several layers may have
    for layer in model._flatten_layers():
        for rate in RATES.get(type(layer), ()):
            if "call" not in vars(layer) and 0 < getattr(layer, rate) < 1:  # of 1 nothing is left to be scaled
                found.append(DropoutRate(layer, rate))
        for attribute, held in vars(layer).items():
            for name in FACTORS.get(type(held), ()):
                if (id(held), name) not in penalties and getattr(held, name) > 0:
                    penalties[id(held), name] = Penalty(held, name)
                    found.append(penalties[id(held), name])
                if (id(held), name) in penalties:
                    penalties[id(held), name].known_as.add(attribute)
    return found


def reaches(words: Collection[str], names: Collection[str]) -> bool:
    """Whether code gets at attributes of one of these names."""
    return not (REACHES_ATTRIBUTES | set(names)).isdisjoint(words)


def set_numbers(numbers: Sequence[LayerNumber], values: Sequence[float]) -> None:
    """Give each its value."""
    for number, value in zip(numbers, values, strict=True):
        number.set(value)
