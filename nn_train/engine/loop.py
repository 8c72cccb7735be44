"""Training a model: whole epochs inside one graph.

The arrays lie in memory as the bytes they came as; an epoch has one order of the examples, the same on
every worker; each worker takes its rows of every global batch. Python is out of the hot path and the
batches do not depend on the number of workers. No Ray here and no files.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from nn_train.datasets import IndexedExamples, SplitData
from nn_train.engine.batches import Batches, may_be_without_rows, steps_per_epoch, stream
from nn_train.engine.chunks import ChunkHooks, Listener, Nobody, NoHooks, PartialEpoch
from nn_train.engine.collectives import share_from_chief
from nn_train.engine.fetched import fetcher_of
from nn_train.engine.metric_state import Logs, MetricState
from nn_train.engine.order import Order
from nn_train.engine.seeds import seed_states, separate_seeds
from nn_train.engine.steps import Batch, ReplicaSteps
from nn_train.engine.strategy import Replicas
from nn_train.engine.tensors import Nest, gather, to_tensors
from nn_train.engine.validation import Validation
from nn_train.errors import RequestError

# Called with the steps done, how many more to take at most, and the sum of the losses so far; returns what
# ``Loop.run_rows`` does.
Advance = Callable[[int, int, float], Any]


class Loop:
    """Epochs of training and evaluation of one model on one data set.

    Args:
        model: built and compiled in the strategy's scope (``prepare_model``).
        data: training and validation examples.
        replicas: this process's place.
        batch_size: rows of a global batch, summed over the workers. Between epochs it and the seed may be set
            anew: neither is a part of what was traced (no streams).
        seed: with the epoch it fixes the order of the examples.
        one_hot_depth: C, when the model is trained on one-hot targets [N, C] instead of labels.

    Attributes:
        listener: is told of validations, and by a ``WholeLoop`` of batches.
        stopped: whether it has ended the epoch.
        waited: seconds for which steps had to wait for rows that are read by index, so far; None where none are.
        asked_to_stop: whether it wished, before a validation, that this end after its first batch; as in Keras.
    """

    listener: Listener = Nobody()
    stopped = asked_to_stop = False
    waited: float | None = None
    last: Sequence[Any] = ()  # what a step gave beside the loss

    def __init__(
        self,
        model: keras.Model,
        data: SplitData,
        replicas: Replicas,
        batch_size: int,
        seed: int,
        one_hot_depth: int | None,
    ) -> None:
        self.model, self.data, self.replicas = model, data, replicas
        self.batch_size, self.seed = batch_size, seed
        self.batches, self.metric_state = Batches(data, replicas, one_hot_depth), MetricState(model, replicas)
        self.train_tensors = to_tensors(data.train) if data.in_memory else None
        self.fetcher = fetcher_of(data.train)
        self.fed = replicas  # whose rows of a batch this process is given
        self.align_draws: Callable[[], None] | None = None
        self.make_steps()

    def make_steps(self) -> None:
        model, data, replicas = self.model, self.data, self.replicas
        # A replica without rows draws no random numbers; the chief's count of draws then becomes everybody's.
        short = may_be_without_rows(data, self.batch_size, replicas)
        self.align_draws = share_from_chief(seed_states(model), replicas) if short else None
        self.steps = ReplicaSteps(model, replicas, may_be_empty=short)
        self.waited = None if self.fetcher is None else 0.0
        self.validation = Validation(model, data, replicas, self.batches, self.metric_state)

    def separate_seeds(self) -> None:
        """Give each worker random draws of its own, after all were given the chief's."""
        separate_seeds(self.model, self.replicas)

    @property
    def steps_per_epoch(self) -> int | None:
        """Global batches of an epoch, the short last one included; None for streams of unknown length."""
        return steps_per_epoch(self.data, self.batch_size)

    def train_epoch(self, epoch: int, partial: PartialEpoch | None = None, hooks: ChunkHooks | None = None) -> Logs:
        """Train on every example once.

        Args:
            epoch: counted from 0; with the seed it fixes the order of the examples.
            partial: of this epoch, what was done before; the variables are those of that moment.
            hooks: where to interrupt it; None: nowhere.

        Returns:
            ``loss`` (mean over the examples, penalties included), the model's metrics, and ``examples``.

        Raises:
            FloatingPointError: the loss became NaN or infinite; names the step. Or weights did, which is seen at the
                next pause, or after the epoch.
        """
        self.model.reset_metrics()
        if partial is not None:
            self.metric_state.put(partial.metrics)
        elif self.align_draws is not None:
            self.align_draws()
            self.separate_seeds()
        examples, loss_sum = self.run_epoch(epoch, partial, hooks or NoHooks())
        self.check_unchanged(self.data.train)
        if examples == 0:
            raise RequestError("data.source: the training dataset gave no example")
        return {**self.results(examples, loss_sum), "examples": examples}

    def check_unchanged(self, examples: object) -> None:
        """TrainingError where files have changed while they were read by rows: what comes of that must not count."""
        if isinstance(examples, IndexedExamples):
            examples.check_unchanged()

    def results(self, examples: int, loss_sum: float) -> Logs:
        """``loss`` and the model's metrics, of so many examples whose losses have that sum."""
        return {**self.metric_state.read(), "loss": loss_sum / examples}

    def run_epoch(self, epoch: int, partial: PartialEpoch | None, hooks: ChunkHooks) -> tuple[int, float]:
        """The steps of an epoch, in one graph call from pause to pause; the bits do not depend on these.

        Returns:
            examples, and the sum of their losses.
        """
        step, loss_sum = (partial.step, partial.loss_sum) if partial is not None else (0, 0.0)
        advance = self.advance_from(epoch, step, hooks)
        examples, total = step * self.batch_size, self.steps_per_epoch
        hooks.meet()
        first = more = True
        while more:
            chunk = hooks.train(reads_stream=not self.data.in_memory, first=first)
            done, rows, summed, loss = advance(step, chunk, loss_sum)
            step, examples, loss_sum = step + int(done), examples + int(rows), float(summed)
            more = int(done) == chunk and int(rows) == chunk * self.batch_size and step != total and not self.stopped
            hooks.trained(int(done))
            first = False
            self.refuse_not_finite(float(loss), f"epoch {epoch + 1}, step {step}")
            if more:
                hooks.pause(self.metric_state.gather, step, loss_sum)
        return examples, loss_sum

    def refuse_not_finite(self, loss: float, moment: str) -> None:
        """FloatingPointError when the loss, or a weight, is NaN or infinite.

        The loss alone does not tell: TensorFlow's ReLU makes zeros of NaN on CPUs, and what follows looks well.
        """
        if not np.isfinite(loss):
            raise FloatingPointError(f"the loss is {loss} in {moment}")
        if not bool(self.weights_are_finite()):
            raise FloatingPointError(f"weights are NaN or infinite, seen after {moment} (the loss is {loss:.4g})")

    @tf.function(autograph=False)
    def weights_are_finite(self) -> tf.Tensor:
        """Bool. Over those that are trained, which are the same on all replicas."""
        values = [weight.value for weight in self.model.trainable_variables]
        floating = [value for value in values if value.dtype.is_floating]
        return tf.reduce_all([tf.reduce_all(tf.math.is_finite(value)) for value in floating])

    def advance_from(self, epoch: int, step: int, hooks: ChunkHooks) -> Advance:
        """Takes steps over an epoch, of which ``step`` are done."""
        if self.data.in_memory:
            return self.over_arrays(epoch)
        return self.over_stream(step, hooks) if self.data.is_stream else self.over_indexed(epoch, step)

    def order(self, epoch: int) -> Order:
        """The examples in the order of an epoch."""
        return Order(self.seed, epoch, self.data.train.size)

    def over_arrays(self, epoch: int) -> Advance:
        """Takes steps over the arrays in memory, in the order of an epoch."""
        return self.over_rows((self.train_tensors, tf.constant(self.order(epoch).all())))

    def over_indexed(self, epoch: int, step: int) -> Advance:
        """Takes steps over rows that are read by index, in the order of an epoch, of which ``step`` are done."""
        order, total = self.order(epoch), steps_per_epoch(self.data, self.batch_size) or 0

        def own(at: int) -> NDArray[np.int64]:
            first = at * self.batch_size
            low, high = self.fed.rows(min(self.batch_size, order.size - first))
            return order.rows(first + low, first + high)

        assert self.fetcher is not None
        return self.over_rows(self.fetcher.batches(own, step, total, order.draws))

    def over_rows(self, source: Any) -> Advance:
        """Takes steps over what ``run_rows`` is given."""
        size, total = self.data.train.size, steps_per_epoch(self.data, self.batch_size) or 0

        def advance(step: int, chunk: int, loss_sum: float) -> Any:
            begun, examples, loss = step, 0, 0.0
            for stop in self.stops(step, min(total, step + chunk)):
                numbers = [tf.constant(one, tf.int64) for one in (self.batch_size, size, step, stop)]
                run = functools.partial(self.run_rows, source, *numbers, tf.constant(loss_sum, tf.float64))
                told = run() if self.fetcher is None else self.fetcher.told(run)
                done, rows, loss_sum, loss, waited, *self.last = told
                step, examples = step + int(done), examples + int(rows)
                if self.waited is not None:
                    self.waited += float(waited)
                if step < stop:  # the loss is not finite
                    break
            return step - begun, examples, loss_sum, loss

        return advance

    def stops(self, step: int, stop: int) -> list[int]:
        """Where graph calls end on the way from ``step`` to ``stop``."""
        return [stop]

    def over_stream(self, step: int, hooks: ChunkHooks) -> Advance:
        """Takes steps over a pass through the stream, of which ``step`` batches are left out."""
        iterator = self.stream_from(step, hooks)

        def advance(_: int, chunk: int, loss_sum: float) -> Any:
            return self.run_stream(iterator, tf.constant(chunk), tf.constant(loss_sum, tf.float64))

        return advance

    def stream_from(self, step: int, hooks: ChunkHooks) -> Any:
        """An iterator over the global batches of a stream, of which ``step`` are read and left out.

        Read here and not by ``skip``, whose time would be taken for that of the first steps.
        """
        iterator = iter(stream(self.data.train, self.batch_size))
        for _ in range(step):
            next(iterator)
            hooks.alive()
        return iterator

    def pass_over(self, epochs: int) -> None:
        """Bring streams to where they are after so many epochs: one that shuffles anew in each pass counts them."""
        streams = [data for data in (self.data.train, self.data.validation) if isinstance(data, tf.data.Dataset)]
        for data in streams:
            for _ in range(epochs):
                iter(data)

    def evaluate(self, hooks: ChunkHooks | None = None) -> Logs:
        """``loss`` and the model's metrics over the validation examples, each counted once; empty without any."""
        if self.data.validation is None:
            return {}
        self.model.stop_evaluating = False
        self.asked_to_stop = self.listener.moment("on_test_begin")
        logs = self.validate(hooks or NoHooks())
        self.check_unchanged(self.data.validation)
        self.listener.moment("on_test_end", dict(logs))
        return logs

    def validate(self, hooks: ChunkHooks) -> Logs:
        return self.validation.evaluate(self.batch_size, hooks)

    @tf.function(reduce_retracing=True, autograph=False)
    def run_rows(
        self, source: Any, batch_size: tf.Tensor, size: tf.Tensor, step: tf.Tensor, stop: tf.Tensor, loss_sum: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
        """The steps from ``step`` to before ``stop`` of an epoch. Stops early when the loss is not finite.

        Args:
            source: arrays in memory and an order of them; or an iterator over this replica's rows.
            batch_size, size: rows of a global batch, and of the epoch.
            step, stop, loss_sum: as an ``Advance`` has them.

        Returns:
            steps and examples that were done, ``loss_sum`` with theirs, the last loss, the seconds in which the steps
            waited for rows, and what else the last step gave.
        """

        def more(step: tf.Tensor, _: tf.Tensor, __: tf.Tensor, loss: tf.Tensor, *___: tf.Tensor) -> tf.Tensor:
            return tf.logical_and(step < stop, tf.math.is_finite(loss))

        def train(
            step: tf.Tensor, examples: tf.Tensor, loss_sum: tf.Tensor, _: tf.Tensor, waited: tf.Tensor, *__: tf.Tensor
        ) -> tuple[tf.Tensor, ...]:
            rows = tf.cast(tf.minimum(batch_size, size - step * batch_size), tf.int32)
            own, waits = self.own_rows(source, step * batch_size, rows)
            batch = self.batches.prepare(*own)
            loss, *rest = self.train(batch, rows)
            loss_sum += tf.cast(loss, tf.float64) * tf.cast(rows, tf.float64)
            return step + 1, examples + tf.cast(rows, tf.int64), loss_sum, loss, waited + waits, *rest

        none = tf.constant(0, tf.int64), loss_sum, 0.0, tf.constant(0.0, tf.float64), *self.nothing()
        reached, *rest = tf.while_loop(more, train, (step, *none))
        return reached - step, *rest

    def train(self, batch: Batch, rows: tf.Tensor) -> list[Any]:
        """One step. Returns the loss of the global batch (float32 scalar), and what else is to be known of the last."""
        return [self.replicas.strategy.run(self.steps.train, args=(batch, rows))]

    def nothing(self) -> list[tf.Tensor]:
        """In the place of what ``train`` gives beside the loss, before the first step."""
        return []

    def own_rows(self, source: Any, first: tf.Tensor, rows: tf.Tensor) -> tuple[Nest, tf.Tensor]:
        """This replica's of the ``rows`` from ``first`` on, and the seconds in which they were waited for."""
        if self.fetcher is None:
            tensors, order = source
            low, high = (first + tf.cast(edge, tf.int64) for edge in self.fed.rows(rows))
            return gather(tensors, order[low:high]), tf.constant(0.0, tf.float64)
        before = tf.timestamp()
        with tf.control_dependencies([before]):
            own = source.get_next()
        with tf.control_dependencies(own):
            after = tf.timestamp()
        with tf.control_dependencies([after]):  # the one thread of a worker would compute first, and then look
            own = [tf.identity(leaf) for leaf in own]
        return self.fetcher.packed(own), after - before

    @tf.function(reduce_retracing=True)
    def run_stream(self, iterator: tf.data.Dataset, chunk: tf.Tensor, loss_sum: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """At most ``chunk`` steps over a stream of global batches, of which this replica takes its rows.

        Returns:
            the same as ``run_rows``, without what was waited.
        """
        loss, done, examples = tf.constant(0.0), tf.constant(0), tf.constant(0)
        for batch in iterator:
            own, rows = self.batches.own(batch)
            loss, *_ = self.train(own, rows)
            loss_sum += tf.cast(loss, tf.float64) * tf.cast(rows, tf.float64)
            examples += rows
            done += 1
            if done == chunk or not tf.math.is_finite(loss):
                break
        return done, examples, loss_sum, loss
