"""Random numbers for rows: every worker draws those of the whole batch, and uses those of its rows."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf
from keras.src import backend

from nn_train.engine.fit.replacing import replaced
from nn_train.engine.fit.rows import Rows, has_rows
from nn_train.engine.tensors import Nest

# Functions whose first argument is a shape: those behind ``keras.random``, and TensorFlow's, which users call too.
DRAWS = {
    backend.random: ("normal", "uniform", "randint", "truncated_normal", "gamma", "beta", "binomial"),
    tf.random: ("normal", "uniform", "truncated_normal"),
}


class Draws:
    """What stands in for functions that draw random numbers, in a step of one batch.

    Args:
        rows: of the batch.
    """

    def __init__(self, rows: Rows) -> None:
        self.rows = rows

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            stack.enter_context(replaced(backend.random, "dropout", self.dropout(backend.random.dropout)))
            stack.enter_context(replaced(backend.random, "categorical", self.choose(backend.random.categorical)))
            for module, names in DRAWS.items():
                for name in names:
                    stack.enter_context(replaced(module, name, self.draw(getattr(module, name))))
            yield

    def dropout(self, drop: Callable[..., Any]) -> Callable[..., Any]:
        def of_all(inputs: Nest, rate: Nest, noise_shape: Nest = None, seed: Nest = None) -> Any:
            if has_rows(inputs) and (inputs.shape[0] is None or tf.executing_eagerly()):
                place = self.place_of(tf.shape(inputs)[0])
                ones = tf.ones([place.blocks * place.width, *tf.unstack(tf.shape(inputs))[1:]], inputs.dtype)
                if noise_shape is not None and not is_one(noise_shape[0]):
                    noise_shape = [place.blocks * place.width, *noise_shape[1:]]
                kept = place.own(drop(ones, rate, noise_shape, seed))
                kept.set_shape(inputs.shape)
                return inputs * kept
            return drop(inputs, rate, noise_shape, seed)

        return of_all

    def draw(self, draw: Callable[..., Any]) -> Callable[..., Any]:
        """Where as many rows are drawn as this worker has, or several times as many: its own among the rows of all."""

        def of_all(shape: Nest, *args: object, **named: Any) -> Any:
            sizes = tf.unstack(tf.cast(shape, tf.int32)) if isinstance(shape, tf.Tensor) else list(shape)
            if not sizes or is_known(sizes[0]):
                return draw(shape, *args, **named)
            place = self.place_of(sizes[0])

            def padded(value: Any) -> Any:  # a mean or the like for each row
                is_for_each = has_rows(value) and len(value.shape) >= len(sizes) and value.shape[0] != 1
                return place.padded(value) if is_for_each else value

            args, named = keras.tree.map_structure(padded, (args, named))
            return place.own(draw([place.blocks * place.width, *sizes[1:]], *args, **named))

        return of_all

    def choose(self, choose: Callable[..., Any]) -> Callable[..., Any]:
        """A class for each row, by logits [rows, C]."""

        def of_all(logits: Nest, *args: object, **named: Any) -> Any:
            if not has_rows(logits) or is_known(tf.shape(logits)[0]):
                return choose(logits, *args, **named)
            place = self.place_of(tf.shape(logits)[0])
            return place.own(choose(place.padded(logits), *args, **named))

        return of_all

    def place_of(self, count: Nest) -> Place:
        """Of ``count`` rows: this worker's among those of all. What cannot be rows is drawn alike by all workers."""
        rows, count = self.rows, tf.cast(count, tf.int32)
        own = rows.stop - rows.first
        is_rows = tf.logical_and(count > 0, tf.equal(count % own, 0))
        first = tf.where(is_rows, rows.first, 0)
        return Place(
            blocks=tf.where(is_rows, count // own, 1),
            width=tf.where(is_rows, rows.n, count),
            first=first,
            stop=first + tf.where(is_rows, own, count),
        )


@dataclass(frozen=True)
class Place:
    """Rows of this worker within those that are drawn for all; int32 scalars.

    Attributes:
        blocks: how many batches follow each other, as where a layer sees two at once.
        width: rows of a block.
        first, stop: from where to where they are this worker's, in each block.
    """

    blocks: Any
    width: Any
    first: Any
    stop: Any

    def own(self, drawn: tf.Tensor) -> tf.Tensor:
        """This worker's rows of ``drawn`` [blocks * width, …]."""
        rest = tf.unstack(tf.shape(drawn))[1:]
        own = tf.reshape(drawn, [self.blocks, self.width, *rest])[:, self.first : self.stop]
        return tf.reshape(own, [self.blocks * (self.stop - self.first), *rest])

    def padded(self, own: tf.Tensor) -> tf.Tensor:
        """Zeros in the places of the other workers' rows."""
        rest = tf.unstack(tf.shape(own))[1:]
        blocks = tf.reshape(own, [self.blocks, self.stop - self.first, *rest])
        filled = tf.pad(blocks, [[0, 0], [self.first, self.width - self.stop], *([[0, 0]] * len(rest))])
        return tf.reshape(filled, [self.blocks * self.width, *rest])


@contextlib.contextmanager
def without_chance() -> Iterator[None]:
    """Meanwhile nothing is dropped, what is drawn is always the same number, and what is shuffled is turned round."""

    def constant(draw: Callable[..., Any]) -> Callable[..., Any]:
        def of_shape(*args: object, **named: Any) -> Any:
            given = inspect.signature(draw).bind(*args, **named)
            given.apply_defaults()
            kind = tf.as_dtype(given.arguments["dtype"] or keras.config.floatx())
            value = 0.5 if kind.is_floating else given.arguments.get("minval", 0)
            return tf.fill(given.arguments["shape"], tf.cast(value, kind))

        return of_shape

    with contextlib.ExitStack() as stack:
        stack.enter_context(replaced(backend.random, "dropout", lambda inputs, *args, **named: inputs))
        for module, names in DRAWS.items():
            for name in names:
                stack.enter_context(replaced(module, name, constant(getattr(module, name))))
        stack.enter_context(replaced(backend.random, "categorical", first_of))
        stack.enter_context(replaced(backend.random, "shuffle", lambda x, axis=0, seed=None: tf.reverse(x, [axis])))
        stack.enter_context(replaced(tf.random, "shuffle", lambda value, *_, **__: tf.reverse(value, [0])))
        yield


def first_of(logits: Nest, num_samples: int, dtype: str = "int64", seed: object = None) -> Any:
    """Of the classes [C] always the first, [rows, num_samples], instead of one that is drawn for each row."""
    return tf.zeros([tf.shape(logits)[0], num_samples], dtype)


def is_known(size: Any) -> bool:
    """Whether a number is known while a graph is made, where rows are not: that of a weight or the like."""
    if tf.executing_eagerly():
        return False
    return not isinstance(size, tf.Tensor) or tf.get_static_value(size) is not None


def is_one(size: Any) -> bool:
    """Whether a dimension is broadcast: one that is not known is none."""
    return size is None or (isinstance(size, int) and size == 1)
