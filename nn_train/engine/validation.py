"""Evaluating a model on the validation examples, each counted once. No Ray here and no files."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from nn_train.datasets import Examples, SplitData
from nn_train.engine.batches import Batches, stream
from nn_train.engine.chunks import ChunkHooks
from nn_train.engine.metric_state import Logs, MetricState
from nn_train.engine.steps import ReplicaSteps
from nn_train.engine.strategy import Replicas
from nn_train.engine.tensors import Nest, rows_of, to_tensors
from nn_train.errors import RequestError


class Validation:
    """The validation examples of one data set, on all replicas.

    Args:
        model: built and compiled in the strategy's scope (``prepare_model``).
        data: of it the validation examples, which may be None.
        replicas: this process's place.
        batches, metric_state: of the same model and data.
    """

    def __init__(
        self, model: keras.Model, data: SplitData, replicas: Replicas, batches: Batches, metric_state: MetricState
    ) -> None:
        self.model, self.examples, self.replicas = model, data.validation, replicas
        self.batches, self.metric_state = batches, metric_state
        self.steps = ReplicaSteps(model, replicas, may_be_empty=not data.in_memory)
        self.tensors = to_tensors(data.validation) if isinstance(data.validation, Examples) else None

    def evaluate(self, batch_size: int, hooks: ChunkHooks) -> Logs:
        """``loss`` and the model's metrics over the validation examples.

        Args:
            batch_size: rows of a global batch in training. Here no activations are kept, so twice those fit.
            hooks: where to interrupt it.

        Raises:
            FloatingPointError: the loss is NaN or infinite.
        """
        self.model.reset_metrics()
        alone = self.over_arrays if self.tensors is not None else self.over_stream
        examples, loss_sum = alone(batch_size, hooks)
        if examples == 0:
            raise RequestError("data.source: the validation dataset gave no example")
        loss = float(self.sum_over_replicas(tf.constant(loss_sum, tf.float64))) / examples
        if not np.isfinite(loss):
            raise FloatingPointError(f"the validation loss is {loss}")
        return {**self.metric_state.read(), "loss": loss}

    def over_arrays(self, batch_size: int, hooks: ChunkHooks) -> tuple[int, float]:
        """How many examples there are, and the sum of the losses of this replica's contiguous part of them."""
        assert self.tensors is not None
        total = tf.nest.flatten(self.tensors[0])[0].shape[0]
        start, last = (int(row) for row in self.replicas.rows(tf.constant(total)))
        rows, loss_sum = 2 * -(-batch_size // self.replicas.size), 0.0
        first = True
        while start < last:
            chunk = hooks.validate(reads_stream=False, first=first)
            stop = min(start + chunk * rows, last)
            given = [tf.constant(number) for number in (rows, start, stop)]
            loss_sum = float(self.run_arrays(self.tensors, *given, tf.constant(loss_sum, tf.float64)))
            hooks.validated(-(-(stop - start) // rows))
            start, first = stop, False
        return total, loss_sum

    def over_stream(self, batch_size: int, hooks: ChunkHooks) -> tuple[int, float]:
        """How many examples a stream of global batches holds, and the sum of the losses of this replica's rows."""
        iterator, total, loss_sum = iter(stream(self.examples, batch_size)), 0, 0.0
        first = more = True
        while more:
            chunk = hooks.validate(reads_stream=True, first=first)
            done, rows, summed = self.run_stream(iterator, tf.constant(chunk), tf.constant(loss_sum, tf.float64))
            total, loss_sum, more = total + int(rows), float(summed), int(done) == chunk
            hooks.validated(int(done))
            first = False
        return total, loss_sum

    @tf.function(reduce_retracing=True, autograph=False)
    def run_arrays(
        self, tensors: Nest, batch_rows: tf.Tensor, first: tf.Tensor, last: tf.Tensor, loss_sum: tf.Tensor
    ) -> tf.Tensor:
        """``loss_sum`` with the losses of the rows from ``first`` to before ``last``."""

        def evaluate(first: tf.Tensor, loss_sum: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            stop = tf.minimum(first + batch_rows, last)
            batch = self.batches.prepare(*rows_of(tensors, first, stop))
            loss = self.replicas.strategy.run(self.steps.evaluate, args=(batch,))
            return stop, loss_sum + tf.cast(loss, tf.float64)

        return tf.while_loop(lambda first, _: first < last, evaluate, (first, loss_sum))[1]

    @tf.function(reduce_retracing=True)
    def run_stream(self, iterator: tf.data.Dataset, chunk: tf.Tensor, loss_sum: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """Batches and examples that were done, at most ``chunk`` batches, and ``loss_sum`` with theirs."""
        done, total = tf.constant(0), tf.constant(0)
        for batch in iterator:
            own, rows = self.batches.own(batch)
            loss = self.replicas.strategy.run(self.steps.evaluate, args=(own,))
            loss_sum += tf.cast(loss, tf.float64)
            total += rows
            done += 1
            if done == chunk:
                break
        return done, total, loss_sum

    @tf.function(autograph=False)
    def sum_over_replicas(self, value: tf.Tensor) -> tf.Tensor:
        """Collective."""
        strategy = self.replicas.strategy
        return strategy.reduce(tf.distribute.ReduceOp.SUM, strategy.run(lambda: tf.identity(value)), axis=None)
