"""Bytes of image files become arrays, by TensorFlow's decoders."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.uint8]


@functools.cache
def decoder(shape: tuple[int, int, int], resize: bool, convert: bool) -> Callable[[Sequence[bytes]], Images]:
    """A function that makes uint8 ``[M, H, W, C]`` of the content of M files, without Python's lock.

    Threads may call it at once. It raises ``tf.errors.InvalidArgumentError`` where one of the images is damaged or,
    being neither resized nor converted, is none of ``shape``; which of them, ``decode_one`` tells.

    Args:
        shape: H, W, C.
        resize: bilinear, as ``keras.utils.image_dataset_from_directory`` does it, then rounded.
        convert: grey images to colours, colours to grey, as C says.
    """
    import tensorflow as tf

    def decode(content: Any) -> Any:
        image = tf.io.decode_image(content, channels=shape[2] if convert else 0, expand_animations=False)
        if resize:
            image = tf.cast(tf.round(tf.image.resize(image, shape[:2])), tf.uint8)  # between its neighbours: 0 … 255
        return tf.ensure_shape(image, shape)

    # One call for all: a graph costs a tenth of what a call of its own would cost each image. One image after the
    # other: several batches are read at the same time, and handing images of 128 x 128 on to other threads costs 5 %.
    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
    def decode_all(contents: Any) -> Any:
        with tf.device("CPU:0"):
            made = tf.TensorSpec(shape, tf.uint8)
            return tf.map_fn(decode, contents, fn_output_signature=made, parallel_iterations=1)

    # As an array without a copy, which ``.numpy()`` would make.
    return lambda contents: np.asarray(decode_all(tf.constant(contents, tf.string, [len(contents)])))


def decode_one(content: bytes, channels: int = 0) -> Images:
    """An image ``[H, W, C]`` as it lies in its file; C as asked for, or the file's own.

    Raises:
        ValueError: it cannot be decoded; says why.
    """
    import tensorflow as tf

    try:
        with tf.device("CPU:0"):
            return tf.io.decode_image(content, channels=channels, expand_animations=False).numpy()
    except tf.errors.OpError as error:
        raise ValueError(without_operation(error.message)) from error


def without_operation(message: str) -> str:
    """The first sentence of an error of TensorFlow's, without its name for the operation."""
    text = message.split("\n")[0]
    return text.split("}} ", 1)[-1].split(" [Op:")[0].strip()
