"""A layer as a user writes one, for measurements."""

from __future__ import annotations

from typing import Any

import keras


class Hidden(keras.layers.Layer):
    """Units with ReLU: [N, D] to [N, units]."""

    def __init__(self, units: int) -> None:
        super().__init__()
        self.units = units

    def build(self, shape: tuple[int | None, ...]) -> None:
        self.kernel = self.add_weight(shape=(shape[-1], self.units), initializer="glorot_uniform", name="kernel")
        self.bias = self.add_weight(shape=(self.units,), initializer="zeros", name="bias")

    def call(self, inputs: Any) -> Any:
        return keras.ops.relu(keras.ops.matmul(inputs, self.kernel) + self.bias)
