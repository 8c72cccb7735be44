"""The numbers of a model's layers that a traced graph reads from variables: dropout rates, L1 and L2 penalties.

The arithmetic is that of the constants they replace, so that a trial ends with the same bits as a run of its config.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import keras
import tensorflow as tf


class GraphNumber(float):
    """A number to Python; as a tensor it is read from a variable, so that a graph computes with the present value.

    Python computes in float64, and the variable is rounded once, to the dtype of the tensor, as a constant is.

    Attributes:
        variable: holds its value, in float64.
        from_one: ``1 - number``, of which graphs read the present value as well.
        inverse: ``1 / number``, the same.
    """

    variable: tf.Variable
    from_one: GraphNumber | None = None
    inverse: GraphNumber | None = None

    def __tf_tensor__(self, dtype: tf.DType | None = None, name: str | None = None) -> tf.Tensor:
        return tf.cast(self.variable, dtype or tf.float32)

    def __rsub__(self, other: float) -> float:
        return self.from_one if other == 1 and self.from_one is not None else other - float(self)

    def __rtruediv__(self, other: float) -> float:
        return self.inverse if other == 1 and self.inverse is not None else other / float(self)


class SettableNumber:
    """A number above 0 in a model; 0 is another graph, as it is for Keras.

    Args:
        owner: the layer, regularizer or optimizer that has it.
        name: of the attribute.
        is_rate: whether it is a dropout rate, of which TensorFlow computes ``1 / (1 - rate)`` in Python.

    Attributes:
        value: what the model was built with.
        kind: two models that share a graph agree in it.
    """

    def __init__(self, owner: Any, name: str, is_rate: bool = False) -> None:
        self.owner, self.name, self.is_rate = owner, name, is_rate
        self.value, self.kind = float(getattr(owner, name)), (type(owner).__name__, name)
        self.variables: list[tf.Variable] = []

    def make_settable(self) -> None:
        """From now on graphs read it from variables, which are no part of any model."""
        self.variables = [tf.Variable(0.0, trainable=False, dtype=tf.float64) for _ in range(3 if self.is_rate else 1)]
        self.set(self.value)

    def set(self, value: float) -> None:
        """Give it another value; after ``make_settable``."""
        values = (value, 1 - value, 1 / (1 - value)) if self.is_rate else (value,)
        number, *made = map(graph_number, values, self.variables)
        if made:
            number.from_one, made[0].inverse = made
        setattr(self.owner, self.name, number)


def graph_number(value: float, variable: tf.Variable) -> GraphNumber:
    """The number that graphs read from ``variable``, which is given the value."""
    variable.assign(value)
    number = GraphNumber(value)
    number.variable = variable
    return number


CELLS = (keras.layers.LSTMCell, keras.layers.GRUCell, keras.layers.SimpleRNNCell)
SPATIAL = (keras.layers.SpatialDropout1D, keras.layers.SpatialDropout2D, keras.layers.SpatialDropout3D)
RATES: dict[type, tuple[str, ...]] = {
    **dict.fromkeys(CELLS, ("dropout", "recurrent_dropout")),
    **dict.fromkeys((keras.layers.Attention, keras.layers.AdditiveAttention), ("dropout",)),
    **dict.fromkeys((keras.layers.Dropout, *SPATIAL), ("rate",)),
}
FACTORS: dict[type, tuple[str, ...]] = {
    keras.regularizers.L1: ("l1",),
    keras.regularizers.L2: ("l2",),
    keras.regularizers.L1L2: ("l1", "l2"),
}


def numbers_of_layers(model: keras.Model) -> list[SettableNumber]:
    """Those of a model: rates in the order of its layers, then penalties."""
    layers = model._flatten_layers()
    rates = [SettableNumber(layer, name, is_rate=True) for layer in layers for name in rates_of(layer)]
    penalties = {id(one): one for one in regularizers_of(model)}.values()  # several layers may have the same
    factors = [(one, name) for one in penalties for name in FACTORS.get(type(one), ())]
    return [*rates, *(SettableNumber(one, name) for one, name in factors if getattr(one, name) > 0)]


def rates_of(layer: keras.layers.Layer) -> Iterable[str]:
    """The attributes of a layer that are rates. Of 1 nothing is left to be scaled."""
    return [name for name in RATES.get(type(layer), ()) if 0 < getattr(layer, name) < 1]


def regularizers_of(model: keras.Model) -> list[Any]:
    """Those of its weights, then those of what its layers give."""
    of_layers = [layer.activity_regularizer for layer in model._flatten_layers()]
    return [*(variable.regularizer for variable in model.trainable_variables), *of_layers]
