"""The first values of variables, which all workers of a strategy take over from the chief."""

from __future__ import annotations

import tensorflow as tf
from tensorflow.python.ops import collective_ops

KNOWN = (tf.bool, tf.float16, tf.float32, tf.float64, tf.int32, tf.int64)
SEND, RECEIVE = collective_ops.broadcast_send, collective_ops.broadcast_recv


def share_all_types() -> None:
    """Let variables be of any type of numbers, where TensorFlow's message for them knows few: they go in a wider one.

    Quantized kernels (int8), layers in bfloat16 and tables of bytes would end a model that is built on several workers.
    """
    collective_ops.broadcast_send, collective_ops.broadcast_recv = send, receive


def send(t: tf.Tensor, shape: tf.TensorShape, dtype: tf.DType, *args: object, **named: object) -> tf.Tensor:
    wire = wire_of(dtype)
    return SEND(tf.cast(t, wire), shape, wire, *args, **named)


def receive(shape: tf.TensorShape, dtype: tf.DType, *args: object, **named: object) -> tf.Tensor:
    return tf.cast(RECEIVE(shape, wire_of(dtype), *args, **named), dtype)


def wire_of(kind: tf.DType) -> tf.DType:
    """A type that TensorFlow broadcasts and that holds every value of ``kind``; itself where there is none."""
    if kind in KNOWN or not (kind.is_floating or kind.is_integer):
        return kind
    return tf.float32 if kind.is_floating else tf.int64  # a cast of uint64 and back keeps all bits
