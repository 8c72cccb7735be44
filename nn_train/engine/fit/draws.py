"""Random numbers for rows: every worker draws those of the whole batch, and uses those of its rows."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf
from keras.src import backend

from nn_train.engine.fit.replacing import replaced
from nn_train.engine.fit.rows import Rows, has_rows
from nn_train.engine.tensors import Nest

# Whose first argument is a shape.
DRAWS = ("normal", "uniform", "randint", "truncated_normal", "gamma", "beta", "binomial")


class Draws:
    """What stands in for functions of ``keras.random`` in a step of one batch.

    Args:
        rows: of the batch.
    """

    def __init__(self, rows: Rows) -> None:
        self.rows = rows

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            stack.enter_context(replaced(backend.random, "dropout", self.dropout(backend.random.dropout)))
            for name in DRAWS:
                stack.enter_context(replaced(backend.random, name, self.draw(getattr(backend.random, name))))
            yield

    def dropout(self, drop: Callable[..., Any]) -> Callable[..., Any]:
        def of_all(inputs: Nest, rate: Nest, noise_shape: Nest = None, seed: Nest = None) -> Any:
            if has_rows(inputs) and (inputs.shape[0] is None or tf.executing_eagerly()):
                first, stop, count = self.where_drawn(tf.shape(inputs)[0])
                ones = tf.ones([count, *tf.unstack(tf.shape(inputs))[1:]], inputs.dtype)
                if noise_shape is not None and not is_one(noise_shape[0]):
                    noise_shape = [count, *noise_shape[1:]]
                kept = drop(ones, rate, noise_shape, seed)[first:stop]
                kept.set_shape(inputs.shape)
                return inputs * kept
            return drop(inputs, rate, noise_shape, seed)

        return of_all

    def draw(self, draw: Callable[..., Any]) -> Callable[..., Any]:
        """Where as many rows are drawn as this worker has: those that are its own among the rows of all.

        Where there are others, as in a layer that sees two batches at once, each worker draws its own.
        """

        def of_all(shape: Nest, *args: object, **named: Any) -> Any:
            sizes = tf.unstack(shape) if isinstance(shape, tf.Tensor) else list(shape)
            if not sizes or not (isinstance(sizes[0], tf.Tensor) or tf.executing_eagerly()):
                return draw(shape, *args, **named)  # rows are not counted in a graph
            first, stop, count = self.where_drawn(sizes[0])

            def padded(value: Any) -> Any:  # a mean or the like for each row
                if not has_rows(value) or len(value.shape) < len(sizes) or value.shape[0] == 1:
                    return value
                return tf.pad(value, [[first, count - stop], *([[0, 0]] * (len(value.shape) - 1))])

            args, named = keras.tree.map_structure(padded, (args, named))
            return draw([count, *sizes[1:]], *args, **named)[first:stop]

        return of_all

    def where_drawn(self, count: Nest) -> tuple[Any, Any, Any]:
        """From where to where, and of how many: this worker's rows of all, or its part of as many for each worker."""
        rows, workers = self.rows, self.rows.workers
        is_rows = tf.equal(count, rows.stop - rows.first)
        first = tf.where(is_rows, rows.first, workers.rank * count)
        return first, first + count, tf.where(is_rows, rows.n, workers.size * count)


def is_one(size: Any) -> bool:
    """Whether a dimension is broadcast: one that is not known is none."""
    return size is None or (isinstance(size, int) and size == 1)
