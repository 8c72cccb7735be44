"""BatchNormalization's mean and variance over the rows of all workers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from nn_train.engine.collectives import sums
from nn_train.engine.rows import Rows
from nn_train.engine.tensors import Nest


def moments_of_all(rows: Rows, scale: tf.Tensor) -> Callable[[Any, Nest, Nest], tuple[Any, Any]]:
    """Make a method in the place of Keras', also where a layer is not ``synchronized``.

    Args:
        rows: of the batch.
        scale: by which a gradient of the loss of all rows is multiplied on this worker (``Spread``).
    """

    def moments(layer: Any, inputs: Nest, mask: Nest) -> tuple[Any, Any]:
        axes = layer._reduction_axes
        used = tf.cast(inputs, "float32") if inputs.dtype.size < 4 else inputs
        # A worker that has rows has no others; not all that a layer sees has as many entries as there are rows.
        valid = tf.cast(tf.reshape(rows.count > 0, [1] * len(used.shape)), used.dtype)
        if mask is not None:
            valid *= tf.cast(mask, used.dtype)[..., tf.newaxis]
        weights = tf.broadcast_to(valid, tf.shape(used)) if mask is not None else valid * tf.ones_like(used)
        more = tf.cast(keras.backend.epsilon() if mask is not None else 0.0, used.dtype)
        # Zeros where a row does not count: what is there may be infinite.
        total = tf.reduce_sum(tf.where(weights > 0, used, 0), axes, keepdims=True)
        both = summed(tf.stack([total, tf.reduce_sum(weights, axes, keepdims=True)]), rows, scale)
        mean, count = both[0] / (both[1] + more), both[1] + more
        squares = tf.where(weights > 0, tf.square(used - mean), 0)
        variance = summed(tf.reduce_sum(squares, axes, keepdims=True), rows, scale) / count
        shape = [size for axis, size in enumerate(used.shape) if axis not in axes]
        return tuple(tf.cast(tf.reshape(value, shape), inputs.dtype) for value in (mean, variance))

    return moments


def summed(own: tf.Tensor, rows: Rows, scale: tf.Tensor) -> tf.Tensor:
    """Return the sum over the workers, whose gradient is the sum of all workers' gradients. Collective."""
    scale = tf.cast(scale, own.dtype)

    @tf.custom_gradient
    def with_gradient(own: tf.Tensor) -> tuple[tf.Tensor, Callable[[Any], Any]]:
        def gradient(upstream: tf.Tensor) -> tf.Tensor:
            # What the others' gradients are multiplied with is taken from them, and this worker's put on. A worker
            # without a row computes one all the same, whose loss counts nothing.
            used = tf.where(rows.count > 0, upstream / scale, tf.zeros_like(upstream))
            return sums([used], rows.workers)[0] * scale

        return sums([own], rows.workers)[0], gradient

    return with_gradient(own)
