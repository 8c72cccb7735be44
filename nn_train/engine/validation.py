"""Evaluating a model on the validation examples, each counted once. No Ray here and no files."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from nn_train.datasets import Examples, SplitData
from nn_train.datasets.fingerprints import CONTRACT
from nn_train.engine.batches import Batches, stream
from nn_train.engine.chunks import ChunkHooks
from nn_train.engine.collectives import same_on_all
from nn_train.engine.fetched import Fetcher, fetcher_of
from nn_train.engine.metric_state import Logs, MetricState
from nn_train.engine.steps import ReplicaSteps
from nn_train.engine.strategy import Replicas
from nn_train.engine.tensors import Nest, rows_of, to_tensors
from nn_train.errors import RequestError

# Called with the first row of several batches, the one behind their last, and the sum of the losses so far, to which it
# adds theirs.
Over = Callable[[int, int, float], float]


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
        self.steps = ReplicaSteps(model, replicas, may_be_empty=data.is_stream)
        self.tensors = to_tensors(data.validation) if isinstance(data.validation, Examples) else None
        self.fetcher = fetcher_of(data.validation)

    def evaluate(self, batch_size: int, hooks: ChunkHooks) -> Logs:
        """``loss`` and the model's metrics over the validation examples.

        Args:
            batch_size: rows of a global batch in training. Here no activations are kept, so twice those fit.
            hooks: where to interrupt it.

        Raises:
            FloatingPointError: the loss is NaN or infinite.
        """
        self.model.reset_metrics()
        over = self.over_own if hasattr(self.examples, "size") else self.over_stream
        examples, loss_sum = over(batch_size, hooks)
        if examples == 0:
            raise RequestError("data.source: the validation dataset gave no example")
        loss = float(self.sum_over_replicas(tf.constant(loss_sum, tf.float64))) / examples
        if not np.isfinite(loss):
            raise FloatingPointError(f"the validation loss is {loss}")
        return {**self.metric_state.read(), "loss": loss}

    def over_own(self, batch_size: int, hooks: ChunkHooks) -> tuple[int, float]:
        """How many examples there are, and the sum of the losses of this replica's contiguous part of them."""
        total = self.examples.size
        start, last = self.replicas.rows(total)
        rows, loss_sum = 2 * -(-batch_size // self.replicas.size), 0.0
        over = self.over_arrays(rows) if self.fetcher is None else self.over_indexed(self.fetcher, rows, start, last)
        first = True
        while start < last:
            chunk = hooks.validate(reads_stream=self.fetcher is not None, first=first)
            stop = min(start + chunk * rows, last)
            loss_sum = over(start, stop, loss_sum)
            hooks.validated(-(-(stop - start) // rows))
            start, first = stop, False
        return total, loss_sum

    def over_arrays(self, rows: int) -> Over:
        """Goes over arrays in memory in batches of ``rows``."""

        def over(start: int, stop: int, loss_sum: float) -> float:
            given = [tf.constant(number) for number in (rows, start, stop)]
            return float(self.run_arrays(self.tensors, *given, tf.constant(loss_sum, tf.float64)))

        return over

    def over_indexed(self, fetcher: Fetcher, rows: int, first: int, last: int) -> Over:
        """Goes over rows that are read by index, those from ``first`` to before ``last``, in batches of ``rows``."""

        def own(at: int) -> NDArray[np.int64]:
            return np.arange(first + at * rows, min(first + (at + 1) * rows, last))

        iterator = fetcher.batches(own, 0, -(-(last - first) // rows))

        def over(start: int, stop: int, loss_sum: float) -> float:
            given = iterator, tf.constant(-(-(stop - start) // rows)), tf.constant(loss_sum, tf.float64)
            return float(fetcher.told(lambda: self.run_indexed(*given)))

        return over

    def over_stream(self, batch_size: int, hooks: ChunkHooks) -> tuple[int, float]:
        """How many examples a stream of global batches holds, and the sum of the losses of this replica's rows."""
        iterator, total, loss_sum = iter(stream(self.examples, batch_size)), 0, 0.0
        first, more = True, True
        while more:
            chunk = hooks.validate(reads_stream=True, first=first)
            done, rows, summed = self.run_stream(iterator, tf.constant(chunk), tf.constant(loss_sum, tf.float64))
            total, loss_sum, more = total + int(rows), float(summed), int(done) == chunk
            if not same_on_all(self.replicas, total % 10**7):
                raise RequestError(f"data.source: the workers do not have as many examples. {CONTRACT}")
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

    @tf.function(reduce_retracing=True, autograph=False)
    def run_indexed(self, iterator: tf.data.Iterator, batches: tf.Tensor, loss_sum: tf.Tensor) -> tf.Tensor:
        """``loss_sum`` with the losses of so many batches of this replica's rows."""
        assert self.fetcher is not None
        packed = self.fetcher.packed

        def evaluate(done: tf.Tensor, loss_sum: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            batch = self.batches.prepare(*packed(iterator.get_next()))
            loss = self.replicas.strategy.run(self.steps.evaluate, args=(batch,))
            return done + 1, loss_sum + tf.cast(loss, tf.float64)

        return tf.while_loop(lambda done, _: done < batches, evaluate, (0, loss_sum))[1]

    @tf.function(reduce_retracing=True)
    def run_stream(self, iterator: tf.data.Dataset, chunk: tf.Tensor, loss_sum: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """Return the batches (at most ``chunk``) and examples that were done, and ``loss_sum`` with theirs."""
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
