"""The numbers of a model's layers that a traced graph can read from variables: dropout rates, L1 and L2 penalties.

The arithmetic is that of the constants they replace, so that a trial ends with the same bits as a run of its config.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Protocol

import keras
import tensorflow as tf

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


class DropoutRate:
    """The rate of a ``keras.layers.Dropout``."""

    def __init__(self, layer: keras.layers.Dropout) -> None:
        self.owner, self.given, self.value = layer, layer.rate, float(layer.rate)
        self.rate: tf.Variable
        self.scale: tf.Variable

    def is_read(self, words: Collection[str]) -> bool:
        return reaches(words, {"rate"}) or {"Dropout", "call"} <= set(words)

    def hide(self) -> None:
        self.owner.rate = ANY

    def show(self) -> None:
        self.owner.rate = self.given

    def make_settable(self) -> None:
        # In float64, so that each is rounded once, to the numbers the model computes in.
        self.rate, self.scale = (tf.Variable(0.0, trainable=False, dtype=tf.float64) for _ in range(2))
        self.owner.call = self.call

    def variables(self) -> list[tf.Variable]:
        return [self.rate, self.scale]

    def set(self, value: float) -> None:
        self.owner.rate = value  # for whoever looks at the layer
        self.rate.assign(value)
        self.scale.assign(1 / (1 - value))

    def call(self, inputs: Any, training: bool = False) -> Any:
        """``Dropout.call`` with a rate that is read in every step; else the same as Keras' and TensorFlow's."""
        if not training:
            return inputs
        noise = keras.random.uniform(tf.shape(inputs), dtype=inputs.dtype, seed=self.owner.seed_generator)
        kept = noise >= tf.cast(self.rate, inputs.dtype)
        return tf.where(kept, inputs * tf.cast(self.scale, inputs.dtype), tf.zeros((), inputs.dtype))


class Penalty:
    """The factor of a ``keras.regularizers.L1`` or ``L2``.

    Attributes:
        known_as: the attributes of layers that it is.
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
        setattr(self.owner, self.name, self.factor)

    def variables(self) -> list[tf.Variable]:
        return [self.factor]

    def set(self, value: float) -> None:
        self.factor.assign(value)


def numbers_of(model: keras.Model) -> list[LayerNumber]:
    """Those of a model, in the order of its layers."""
    found: list[LayerNumber] = []
    penalties: dict[int, Penalty] = {}  # by the regulariser, which several layers may have
    for layer in model._flatten_layers():
        is_usual = type(layer) is keras.layers.Dropout and layer.noise_shape is None and "call" not in vars(layer)
        if is_usual and layer.rate > 0:
            found.append(DropoutRate(layer))
        for attribute, held in vars(layer).items():
            name = {keras.regularizers.L1: "l1", keras.regularizers.L2: "l2"}.get(type(held))
            if name is None or getattr(held, name) <= 0:
                continue
            if id(held) not in penalties:
                penalties[id(held)] = Penalty(held, name)
                found.append(penalties[id(held)])
            penalties[id(held)].known_as.add(attribute)
    return found


def reaches(words: Collection[str], names: Collection[str]) -> bool:
    """Whether code gets at attributes of one of these names."""
    return not (REACHES_ATTRIBUTES | set(names)).isdisjoint(words)


def set_numbers(numbers: Sequence[LayerNumber], values: Sequence[float]) -> None:
    """Give each its value."""
    for number, value in zip(numbers, values, strict=True):
        number.set(value)
