"""Training steps over rows that are read by index: those of ``Loop.run_arrays``, whose rows come from a ``Fetcher``."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from nn_train.engine.batches import Batches
from nn_train.engine.fetched import Fetcher
from nn_train.engine.order import Order
from nn_train.engine.steps import ReplicaSteps
from nn_train.engine.strategy import Replicas


class IndexedSteps:
    """The steps of one replica, which reads its own rows only.

    Args:
        fetcher: of the training examples.
        replicas: this process's place.
        batches, steps: as in a ``Loop``.

    Attributes:
        waited: seconds for which steps had to wait for their rows, so far.
    """

    def __init__(self, fetcher: Fetcher, replicas: Replicas, batches: Batches, steps: ReplicaSteps) -> None:
        self.fetcher, self.replicas, self.batches, self.steps = fetcher, replicas, batches, steps
        self.waited = 0.0

    def begin(self, order: Order, batch_size: int, step: int) -> Any:
        """Takes steps over an epoch, of which ``step`` are done; of these nothing is read."""
        total = -(-order.size // batch_size)

        def own(at: int) -> NDArray[np.int64]:
            first = at * batch_size
            low, high = self.replicas.rows(min(batch_size, order.size - first))
            return order.rows(first + low, first + high)

        iterator = self.fetcher.batches(own, step, total, order.draws)
        given = iterator, tf.constant(batch_size, tf.int64), tf.constant(order.size, tf.int64)

        def advance(step: int, chunk: int, loss_sum: float) -> Any:
            place = tf.constant(step, tf.int64), tf.constant(min(total, step + chunk), tf.int64)
            call = (*given, *place, tf.constant(loss_sum, tf.float64))
            done, rows, summed, loss, waited = self.fetcher.told(lambda: self.run(*call))
            self.waited += float(waited)
            return done, rows, summed, loss

        return advance

    @tf.function(reduce_retracing=True, autograph=False)
    def run(
        self,
        iterator: tf.data.Iterator,
        batch_size: tf.Tensor,
        size: tf.Tensor,
        step: tf.Tensor,
        stop: tf.Tensor,
        loss_sum: tf.Tensor,
    ) -> tuple[tf.Tensor, ...]:
        """The steps from ``step`` to before ``stop``, for which the iterator holds this replica's rows.

        Returns:
            the same as ``Loop.run_arrays``, and the seconds in which it waited for rows.
        """

        def more(step: tf.Tensor, _: tf.Tensor, __: tf.Tensor, loss: tf.Tensor, ___: tf.Tensor) -> tf.Tensor:
            return tf.logical_and(step < stop, tf.math.is_finite(loss))

        def train(
            step: tf.Tensor, examples: tf.Tensor, loss_sum: tf.Tensor, _: tf.Tensor, waited: tf.Tensor
        ) -> tuple[tf.Tensor, ...]:
            before = tf.timestamp()
            with tf.control_dependencies([before]):
                own = iterator.get_next()
            with tf.control_dependencies(own):
                after = tf.timestamp()
            with tf.control_dependencies([after]):  # the one thread of a worker would compute first, and then look
                own = [tf.identity(leaf) for leaf in own]
            rows = tf.cast(tf.minimum(batch_size, size - step * batch_size), tf.int32)
            batch = self.batches.prepare(*self.fetcher.packed(own))
            loss = self.replicas.strategy.run(self.steps.train, args=(batch, rows))
            loss_sum += tf.cast(loss, tf.float64) * tf.cast(rows, tf.float64)
            return step + 1, examples + tf.cast(rows, tf.int64), loss_sum, loss, waited + after - before

        zero = tf.constant(0, tf.int64), tf.constant(0.0, tf.float64)
        reached, examples, loss_sum, loss, waited = tf.while_loop(more, train, (step, zero[0], loss_sum, 0.0, zero[1]))
        return reached - step, examples, loss_sum, loss, waited
