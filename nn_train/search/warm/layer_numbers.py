"""The numbers of a model's layers that a traced graph can read from variables: dropout rates, L1 and L2 penalties.

The arithmetic is that of the constants they replace, so that a trial ends with the same bits as a run of its config.
"""

from __future__ import annotations

import types
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

import keras
import tensorflow as tf
from keras.src.layers.regularization import gaussian_dropout
from keras.src.layers.rnn.conv_lstm import ConvLSTMCell

from nn_train.search.warm.graph_numbers import NumberSource, root
from nn_train.search.warm.own_code import REACHES_ATTRIBUTES

ANY = 0.5  # stands in a description for any number of its kind
OF_PENALTIES = {"l1", "l2", "losses", "regularizer"}  # by these words code gets at a penalty, or at a part of it


class LayerNumber:
    """A number above 0 in a model; 0 is another graph, as it is for Keras.

    Args:
        owner: the layer or regulariser that has it.
        name: of the attribute.
        is_penalty: whether it is the factor of a penalty, and not the rate of a layer.

    Attributes:
        value: what the model was built with.
        known_as: the attributes of layers that its regulariser is.
    """

    def __init__(self, owner: Any, name: str, is_penalty: bool) -> None:
        self.owner, self.name, self.is_penalty = owner, name, is_penalty
        self.given = getattr(owner, name)
        self.value = float(self.given)
        self.known_as: set[str] = set()
        self.source: NumberSource

    def is_read(self, words: Collection[str]) -> bool:
        """Whether code of the user's may read it in steps, or compute with what it gives. ``words``: of that code.

        Who takes a penalty times a number has a factor that TensorFlow would multiply in advance.
        """
        of_kind = OF_PENALTIES | self.known_as if self.is_penalty else set()
        return not (REACHES_ATTRIBUTES | of_kind | {self.name}).isdisjoint(words)

    def hide(self) -> None:
        """Put ``ANY`` in its place."""
        setattr(self.owner, self.name, ANY)

    def show(self) -> None:
        """Put back what was there."""
        setattr(self.owner, self.name, self.given)

    def make_settable(self) -> None:
        """From now on graphs read it, also those that are traced later."""
        self.source = NumberSource(self.value)
        self.set(self.value)

    def variables(self) -> list[tf.Variable]:
        """What graphs read; after ``make_settable``."""
        return self.source.variables

    def set(self, value: float) -> None:
        """Give it another value; after ``make_settable``."""
        self.source.set(value)
        setattr(self.owner, self.name, self.source.number())


# Keras takes the root of a rate with the ``math`` of this module.
gaussian_dropout.math = types.SimpleNamespace(sqrt=root)

CELLS = (keras.layers.LSTMCell, keras.layers.GRUCell, keras.layers.SimpleRNNCell, ConvLSTMCell)
SPATIAL = (keras.layers.SpatialDropout1D, keras.layers.SpatialDropout2D, keras.layers.SpatialDropout3D)
RATES: dict[type, tuple[str, ...]] = {
    **dict.fromkeys(CELLS, ("dropout", "recurrent_dropout")),
    **dict.fromkeys((keras.layers.Attention, keras.layers.AdditiveAttention), ("dropout",)),
    **dict.fromkeys((keras.layers.Dropout, *SPATIAL, keras.layers.GaussianDropout), ("rate",)),
    keras.layers.AlphaDropout: ("rate",),
    keras.layers.GaussianNoise: ("stddev",),
}
FACTORS: dict[type, tuple[str, ...]] = {
    keras.regularizers.L1: ("l1",),
    keras.regularizers.L2: ("l2",),
    keras.regularizers.L1L2: ("l1", "l2"),
    keras.regularizers.OrthogonalRegularizer: ("factor",),
}


def numbers_of(model: keras.Model) -> list[LayerNumber]:
    """Those of a model: rates in the order of its layers, then penalties."""
    layers = model._flatten_layers()
    rates = [LayerNumber(layer, name, is_penalty=False) for layer in layers for name in rates_of(layer)]
    penalties: dict[tuple[int, str], LayerNumber] = {}  # by the regulariser, which several layers may have
    for attribute, held in regularizers_of(model):
        for name in (name for name in FACTORS[type(held)] if getattr(held, name) > 0):
            penalty = penalties.setdefault((id(held), name), LayerNumber(held, name, is_penalty=True))
            penalty.known_as.add(attribute)
    return [*rates, *penalties.values()]


def rates_of(layer: keras.layers.Layer) -> Iterable[str]:
    """The attributes of a layer that are rates."""
    if "call" in vars(layer) or (type(layer) is keras.layers.AlphaDropout and layer.compute_dtype != "float32"):
        return ()  # TensorFlow takes its numbers for float32
    # Of 1 nothing is left to be scaled.
    return [name for name in RATES.get(type(layer), ()) if 0 < getattr(layer, name) < 1]


def regularizers_of(model: keras.Model) -> Iterator[tuple[str, Any]]:
    """Keras' own, each with the attributes that it is."""
    held = [item for layer in model._flatten_layers() for item in vars(layer).items()]
    held += [("regularizer", variable.regularizer) for variable in model.trainable_variables]
    return ((attribute, one) for attribute, one in held if type(one) in FACTORS)


def set_numbers(numbers: Sequence[LayerNumber], values: Sequence[float]) -> None:
    """Give each its value."""
    for number, value in zip(numbers, values, strict=True):
        number.set(value)
