"""Values and gradients that are not each other's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from nn_train.engine.tensors import Nest


def weighed(gradient: Nest, share: Nest) -> Any:
    if isinstance(gradient, tf.IndexedSlices):
        values = gradient.values * tf.cast(share, gradient.values.dtype)
        return tf.IndexedSlices(values, gradient.indices, gradient.dense_shape)
    return gradient * tf.cast(share, gradient.dtype)


def with_value(tensor: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
    """The gradient of ``tensor`` and another value."""

    @tf.custom_gradient
    def other(_: tf.Tensor) -> tuple[tf.Tensor, Callable[[Any], Any]]:
        return tf.identity(value), lambda upstream: upstream

    return other(tensor)


def scaled_gradient(tensor: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
    """``tensor``, whose gradient is multiplied by ``scale``."""

    @tf.custom_gradient
    def same(tensor: tf.Tensor) -> tuple[tf.Tensor, Callable[[Any], Any]]:
        return tf.identity(tensor), lambda upstream: upstream * tf.cast(scale, upstream.dtype)

    return same(tensor)
