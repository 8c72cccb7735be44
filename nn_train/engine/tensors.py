"""Examples as tensors, and rows of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from nn_train.datasets import Examples

Nest = Any  # a tensor, or a nest of them, as the inputs of a model are


def as_input(x: Nest, divisor: float | None) -> Nest:
    """What the model sees of examples: image bytes divided by ``divisor`` as float32, and float64 as float32."""

    def seen(tensor: tf.Tensor) -> tf.Tensor:
        if divisor is not None:
            return tf.cast(tensor, tf.float32) / divisor
        return tf.cast(tensor, tf.float32) if tensor.dtype == tf.float64 else tensor

    return tf.nest.map_structure(lambda one: seen(one if tf.is_tensor(one) else tf.convert_to_tensor(one)), x)


def gather(tensors: Nest, index: tf.Tensor) -> Any:
    """The rows at ``index`` of every tensor."""
    return tf.nest.map_structure(lambda tensor: tf.gather(tensor, index), tensors)


def rows_of(tensors: Nest, first: tf.Tensor, stop: tf.Tensor) -> Any:
    """The rows from ``first`` to before ``stop`` of every tensor."""
    return tf.nest.map_structure(lambda tensor: tensor[first:stop], tensors)


def first_dimension(batch: Nest) -> Any:
    """The number of rows of a batch ``(x, …)``, an int32 scalar."""
    return tf.shape(tf.nest.flatten(batch[0])[0])[0]


def to_tensors(examples: Examples) -> tuple[Any, ...]:
    """The arrays as tensors, float64 as float32; they are handed to the graph by reference, not copied into it."""
    return tuple(tf.nest.map_structure(to_tensor, part) for part in examples.parts)


def to_tensor(array: np.ndarray) -> tf.Tensor:
    """An array as a tensor: without a copy where Ray's shared memory gave it, so that a node holds it once.

    Such arrays are aligned as TensorFlow wants it, which others are not. On a GPU the copy is what is wanted.
    """
    if array.dtype == np.float64:
        array = array.astype(np.float32)
    aligned = array.flags.c_contiguous and array.ctypes.data % 64 == 0 and array.size > 0
    if array.flags.writeable or not aligned or tf.config.list_logical_devices("GPU"):
        return tf.constant(array)
    return tf.experimental.dlpack.from_dlpack(np.asarray(Shared(array)).__dlpack__())


class Shared:
    """A view of a read-only array that numpy exports (DLPack cannot say read-only); TensorFlow only reads it."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array  # keeps the memory while a tensor uses it
        interface = array.__array_interface__
        self.__array_interface__ = {**interface, "data": (interface["data"][0], False)}
