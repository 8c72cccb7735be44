"""The rows of one global batch: which of them are this worker's, and how all come together again."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf
from keras.src import backend

from nn_train.engine.collectives import PIECE, gather, sums
from nn_train.engine.strategy import Replicas
from nn_train.engine.tensors import Nest
from nn_train.errors import RequestError


class Rows:
    """A global batch of ``n`` rows, of which this worker has ``count``.

    A worker that gets no row of a short batch computes one all the same, of which nothing is used: a layer may not be
    able to do with none, and one that counts its calls must count this one.

    Args:
        n: how many there are.
        workers: R and this process's place among them.
        static_n: the same, where it is known when a graph is made.

    Attributes:
        own: this worker's of a batch that was dealt out.
        n, count: int32 scalars.
        share: ``count / n``, float64 scalar.
        first, stop: of the rows that this worker computes.
    """

    own: Any = None

    def __init__(self, n: Any, workers: Replicas, static_n: int | None = None) -> None:
        self.workers, self.n, self.static_n = workers, tf.cast(n, tf.int32), static_n
        self.low, self.high = (tf.cast(edge, tf.int32) for edge in workers.rows(self.n))
        self.count = self.high - self.low
        self.share = tf.cast(self.count, tf.float64) / tf.cast(self.n, tf.float64)
        self.first = tf.minimum(self.low, self.n - 1)
        self.stop = tf.maximum(self.high, self.first + 1)
        self.whole: dict[int, tuple[Any, Any]] = {}  # by the identity of this worker's rows: these, and all of them

    @classmethod
    def dealt(cls, data: Nest, workers: Replicas) -> Rows:
        """The rows of a batch as Keras hands it to a step, the same on all workers."""
        leading = [leaf for leaf in keras.tree.flatten(data) if has_rows(leaf)]
        if not leading:
            raise RequestError("the batches of the data have no rows")
        rows = cls(row_count(leading[0]), workers, leading[0].shape[0])
        rows.own = keras.tree.map_structure(rows.take, data)
        return rows

    def take(self, tensor: Nest) -> Any:
        """This worker's rows of what has rows, the rest as it is."""
        if not has_rows(tensor):
            return tensor
        if isinstance(tensor, tf.SparseTensor):
            start = tf.concat([[self.first], tf.zeros([tf.rank(tensor) - 1], tf.int32)], axis=0)
            size = tf.concat([[self.stop - self.first], tf.cast(tf.shape(tensor)[1:], tf.int32)], axis=0)
            own = tf.sparse.slice(tensor, tf.cast(start, tf.int64), tf.cast(size, tf.int64))
        else:
            own = tensor[self.first : self.stop]
        if isinstance(own, tf.Tensor) and not tf.executing_eagerly():
            # How many these are is not to be a constant of the graph: random layers tell rows by it (``Draws.draw``).
            own = tf.compat.v1.placeholder_with_default(own, [None, *tensor.shape[1:]])
        self.whole[id(own)] = (own, tensor)
        return own

    def known(self, value: Nest) -> Any:
        """``value``, of which it is known that it is of all rows already."""
        if isinstance(value, tf.Tensor):
            self.whole[id(value)] = (value, value)
        return value

    def all(self, own: Nest) -> Any:
        """All rows of a structure of which this worker has computed its own. Only these have a gradient. Collective."""
        return keras.tree.map_structure(self.gather, own)

    def gather(self, own: Nest) -> Any:
        if id(own) in self.whole:
            return self.whole[id(own)][1]
        if not has_rows(own):
            return own
        if own.dtype == tf.string:
            raise RequestError(
                "texts that are computed cannot be put together of several workers' rows; let the model give numbers "
                "and look the texts up after it, or call it on one worker"
            )
        if isinstance(own, tf.RaggedTensor):
            lengths = self.concatenated(own.row_lengths())
            return tf.RaggedTensor.from_row_lengths(self.joined_ragged(own[: self.count].values), lengths)
        logits = logits_of(own)
        if logits is None:
            whole = self.concatenated(own)
        else:  # in one message
            whole, whole._keras_logits = tf.unstack(self.concatenated(tf.stack([own, logits], axis=-1)), axis=-1)
        mask = backend.get_keras_mask(own)
        if mask is not None:
            backend.set_keras_mask(whole, self.concatenated(mask))
        self.whole[id(own)] = (own, whole)
        return whole

    def concatenated(self, own: tf.Tensor) -> tf.Tensor:
        size, rank = self.workers.size, self.workers.rank
        given = tf.debugging.Assert(
            tf.equal(tf.shape(own)[0], self.stop - self.first),
            ["a tensor of this step has another number of rows than the batch", tf.shape(own), self.stop - self.first],
        )
        with tf.control_dependencies([given] if given is not None else []):
            used = own[: self.count]
        width = -(-self.n // size)  # the most rows that one of them has
        padding = [[0, width - self.count], *([[0, 0]] * (len(own.shape) - 1))]
        parts = gather(tf.pad(used, padding), self.workers)
        edges = [self.n * i // size for i in range(size + 1)]
        rows = [used if i == rank else parts[i, : edges[i + 1] - edges[i]] for i in range(size)]
        whole = tf.concat(rows, axis=0)
        whole.set_shape([self.static_n, *own.shape[1:]])
        return whole

    def joined(self, own: tf.Tensor) -> tf.Tensor:
        """The tensors of all workers one after the other, which may differ in length. Collective.

        Within one graph call all messages have one length, and what differs here may differ from step to step: they go
        in pieces of ``PIECE`` rows, the last one filled up.
        """
        size, rank = self.workers.size, self.workers.rank
        counts = gather(tf.shape(own)[:1], self.workers)[:, 0]
        pieces = tf.maximum(-(-tf.reduce_max(counts) // PIECE), 1)
        missing = [pieces * PIECE - tf.shape(own)[0], *([0] * (len(own.shape) - 1))]
        filled = tf.stop_gradient(tf.pad(own, [[0, more] for more in missing]))

        def gather_piece(i: tf.Tensor, of_all: tf.TensorArray) -> tuple[Any, ...]:
            return i + 1, of_all.write(i, gather(filled[i * PIECE : (i + 1) * PIECE], self.workers))

        of_all = tf.TensorArray(own.dtype, pieces, element_shape=[size, PIECE, *own.shape[1:]])
        _, of_all = tf.while_loop(lambda i, _: i < pieces, gather_piece, (0, of_all), parallel_iterations=1)
        parts, shape = of_all.stack(), tf.shape(filled)  # [pieces, R, PIECE, …]
        return tf.concat(
            [own if i == rank else tf.reshape(parts[:, i], shape)[: counts[i]] for i in range(size)], axis=0
        )

    def joined_ragged(self, own: Nest) -> Any:
        """``joined`` of what may be ragged itself. Collective."""
        if not isinstance(own, tf.RaggedTensor):
            return self.joined(own)
        return tf.RaggedTensor.from_row_lengths(self.joined_ragged(own.values), self.joined(own.row_lengths()))

    def mean(self, own: tf.Tensor) -> tf.Tensor:
        """The mean over all rows of what is this worker's mean over its own; no gradient. Collective."""
        return sums([tf.stop_gradient(own) * tf.cast(self.share, own.dtype)], self.workers)[0]


def has_rows(leaf: Nest) -> bool:
    return isinstance(leaf, tf.Tensor | tf.RaggedTensor | tf.SparseTensor) and leaf.shape.rank != 0


def logits_of(output: Nest) -> Any:
    """Return what a softmax or sigmoid was given, from which Keras' losses are computed; None for anything else."""
    if not tf.executing_eagerly() and output.op.type in ("Softmax", "Sigmoid"):
        return output.op.inputs[0]
    return getattr(output, "_keras_logits", None)


def row_count(tensor: Nest) -> Any:
    if isinstance(tensor, tf.RaggedTensor):
        return tensor.nrows()
    return tensor.dense_shape[0] if isinstance(tensor, tf.SparseTensor) else tf.shape(tensor)[0]
