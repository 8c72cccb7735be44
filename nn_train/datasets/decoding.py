"""Bytes of image files become arrays, by TensorFlow's decoders."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nn_train.errors import without_operation

if TYPE_CHECKING:
    import tensorflow as tf

Images = NDArray[np.uint8]
PARTS = 4  # of a batch, decoded at the same time: else, when one batch is left, one core works and the others wait


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

    def decode(content: tf.Tensor) -> tf.Tensor:
        image = tf.io.decode_image(content, channels=shape[2] if convert else 0, expand_animations=False)
        if resize:
            image = tf.cast(tf.round(tf.image.resize(image, shape[:2])), tf.uint8)  # between its neighbours: 0 … 255
        return tf.ensure_shape(image, shape)

    def decode_part(contents: tf.Tensor) -> tf.Tensor:
        """A list of TensorFlow's. One image after the other: handing each of 128 x 128 to another thread costs 5 %."""
        count = tf.shape(contents)[0]
        made = tf.raw_ops.TensorListReserve(element_shape=shape, num_elements=count, element_dtype=tf.uint8)

        def add(at: tf.Tensor, made: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return at + 1, tf.raw_ops.TensorListSetItem(input_handle=made, index=at, item=decode(contents[at]))

        return tf.while_loop(lambda at, _: at < count, add, (0, made), parallel_iterations=1)[1]

    def join(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
        """Of lists, as ``tf.map_fn`` makes them, too; of arrays it would be another copy of the images."""
        return tf.raw_ops.TensorListConcatLists(input_a=first, input_b=second, element_dtype=tf.uint8)

    # One call for all: a graph costs a tenth of what a call of its own would cost each image.
    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
    def decode_all(contents: tf.Tensor) -> tf.Tensor:
        with tf.device("CPU:0"):
            ends = [tf.shape(contents)[0] * part // PARTS for part in range(PARTS + 1)]
            parts = [decode_part(contents[begin:end]) for begin, end in pairwise(ends)]
            made = functools.reduce(join, parts)
            return tf.raw_ops.TensorListStack(input_handle=made, element_shape=shape, element_dtype=tf.uint8)

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
