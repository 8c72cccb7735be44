"""Training a model: epochs and validations, from pause to pause. No Ray here and no files.

An epoch has one order of the examples, the same on every worker; each worker takes its rows of every global batch.
Python is out of the hot path and the batches do not depend on the number of workers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from nn_train.datasets import IndexedExamples, SplitData
from nn_train.datasets.fingerprints import CONTRACT
from nn_train.engine.batches import Batches, steps_per_epoch
from nn_train.engine.chunks import ChunkHooks, Listener, Nobody, NoHooks, PartialEpoch
from nn_train.engine.collectives import sum_over_all
from nn_train.engine.feeders import Feeder, InSequence, feeder_of
from nn_train.engine.metric_state import Logs, MetricState
from nn_train.engine.order import Order
from nn_train.engine.run import NO_END, Reached, Run
from nn_train.engine.seeds import separate_seeds
from nn_train.engine.steps import Steps
from nn_train.engine.strategy import Replicas, alone
from nn_train.errors import RequestError


class Loop:
    """Epochs of training and evaluation of one model on one data set.

    Args:
        steps: of the model (``prepare_model``).
        data: training and validation examples.
        replicas: this process's place.
        batch_size: rows of a global batch, summed over the workers. Between epochs it and the seed may be set
            anew: neither is a part of what was traced (no streams).
        seed: with the epoch it fixes the order of the examples.
        one_hot_depth: C, when the model is trained on one-hot targets [N, C] instead of labels.
        by_batches: whether the listener is told of single batches.

    Attributes:
        listener: is told of validations, and of batches.
        waited: seconds for which steps had to wait for rows that are read by index, so far; None where none are.
    """

    listener: Listener = Nobody()

    def __init__(
        self,
        steps: Steps,
        data: SplitData,
        replicas: Replicas,
        batch_size: int,
        seed: int,
        one_hot_depth: int | None,
        by_batches: bool = False,
    ) -> None:
        self.steps, self.model, self.data, self.replicas = steps, steps.model, data, replicas
        self.batch_size, self.seed = batch_size, seed
        self.metric_state = MetricState(steps.model, replicas, same_on_all=not steps.adds_up)
        batches = Batches(data, one_hot_depth)
        self.train_run = self.run_of("train", feeder_of(data.train, batches, steps.fed), by_batches)
        self.test_run: Run | None = None
        if data.validation is not None:
            # Each worker takes a part of its own, where that is known to be the same.
            self.tested = replicas if steps.adds_up and data.is_stream else alone(replicas)
            self.test_run = self.run_of("test", feeder_of(data.validation, batches, self.tested), by_batches)
        self.waited = 0.0 if isinstance(data.train, IndexedExamples) else None

    def run_of(self, kind: str, feeder: Feeder, by_batches: bool) -> Run:
        steps, exact = self.steps, not self.steps.adds_up

        def test(batch: Any, rows: tf.Tensor) -> list[Any]:
            return steps.test(batch, rows, self.tested)

        def logs(last: list[Any]) -> Logs:
            return steps.logs(last, kind)

        batchwise = by_batches or (exact and self.data.is_stream)
        step = steps.train if kind == "train" else test
        return Run(kind, step, steps.nothing(kind), logs, feeder, self.replicas, batchwise, one_length=exact)

    def separate_seeds(self) -> None:
        """Give each worker random draws of its own, after all were given the chief's."""
        if self.steps.adds_up:
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
        at = self.run_epoch(epoch, partial, hooks or NoHooks())
        self.check_unchanged(self.data.train)
        if at.examples == 0:
            raise RequestError("data.source: the training dataset gave no example")
        return {**self.results("train", at), "examples": at.examples}

    def check_unchanged(self, examples: object) -> None:
        """TrainingError where files have changed while they were read by rows: what comes of that must not count."""
        if isinstance(examples, IndexedExamples):
            examples.check_unchanged()

    def results(self, kind: str, at: Reached) -> Logs:
        """``loss`` and the model's metrics of a pass. Collective."""
        metrics = self.metric_state.read() if self.steps.adds_up else {}
        return self.steps.results(metrics, at.examples, at.loss_sum, at.last, kind)

    def run_epoch(self, epoch: int, partial: PartialEpoch | None, hooks: ChunkHooks) -> Reached:
        """The steps of an epoch, in one graph call from pause to pause; the bits do not depend on these."""
        at = Reached() if partial is None else Reached(step=partial.step, loss_sum=partial.loss_sum)
        at.examples, total, run = at.step * self.batch_size, self.steps_per_epoch or NO_END, self.train_run
        size = 0 if self.data.is_stream else self.data.train.size
        run.listener = self.listener
        source = run.feeder.source(Order(self.seed, epoch, size), self.batch_size, at.step, hooks)
        hooks.meet()
        first = True
        while first or (at.step < total and not at.ended):
            if not first:
                hooks.pause(self.metric_state.gather, at.step, at.loss_sum)
            chunk, begun = hooks.train(reads_stream=run.feeder.reads_stream, first=first), at.step
            at = run.advance(source, self.batch_size, size, min(total, begun + chunk), at)
            hooks.trained(at.step - begun)
            first, at.ended = False, at.ended or at.examples < at.step * self.batch_size
            self.refuse_not_finite(at.loss, f"epoch {epoch + 1}, step {at.step}")
        if self.waited is not None:
            self.waited += at.waited
        return at

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

    def pass_over(self, epochs: int) -> None:
        """Bring streams to where they are after so many epochs: one that shuffles anew in each pass counts them."""
        streams = [data for data in (self.data.train, self.data.validation) if isinstance(data, tf.data.Dataset)]
        for data in streams:
            for _ in range(epochs):
                iter(data)

    def evaluate(self, hooks: ChunkHooks | None = None) -> Logs:
        """``loss`` and the model's metrics over the validation examples, each counted once; empty without any.

        Raises:
            FloatingPointError: the loss is NaN or infinite.
        """
        if self.test_run is None:
            return {}
        self.model.stop_evaluating = False
        self.test_run.listener, self.test_run.asked_to_stop = self.listener, self.listener.moment("on_test_begin")
        self.model.reset_metrics()
        at = self.validate(self.test_run, hooks or NoHooks())
        self.check_unchanged(self.data.validation)
        if at.examples == 0:
            raise RequestError("data.source: the validation dataset gave no example")
        logs = self.results("test", at)
        if not np.isfinite(logs.get("loss", 0.0)):
            raise FloatingPointError(f"the validation loss is {logs['loss']}")
        self.listener.moment("on_test_end", dict(logs))
        return logs

    def validate(self, run: Run, hooks: ChunkHooks) -> Reached:
        """The steps of a validation: in batches as in training; or each worker over its part of the examples, twice as
        many at once, since no activations are kept. Collective."""
        size, batch_size, part = 0, self.batch_size, InSequence(0, 0)
        if not self.data.is_stream:
            size = self.data.validation.size
            first, last = self.replicas.rows(size) if self.steps.adds_up else (0, size)
            part = InSequence(first, last)
            batch_size = 2 * -(-batch_size // self.replicas.size) if self.steps.adds_up else batch_size
        total = -(-part.size // batch_size) if size else NO_END
        at, source, begins = Reached(), run.feeder.source(part, batch_size, 0, hooks), True
        while at.step < total and not at.ended:
            chunk, begun = hooks.validate(reads_stream=run.feeder.reads_stream, first=begins), at.step
            at = run.advance(source, batch_size, part.size, min(total, begun + chunk), at)
            hooks.validated(at.step - begun)
            begins = False
            if not np.isfinite(at.loss):
                break
        if self.steps.adds_up:
            at.loss_sum, *counts = sum_over_all([at.loss_sum, at.examples, at.examples**2], self.replicas)
            if size:
                at.examples = size
            elif np.isfinite(at.loss_sum) and counts[1] * self.replicas.size != counts[0] ** 2:
                raise RequestError(f"data.source: the workers do not have as many examples. {CONTRACT}")
        return at
