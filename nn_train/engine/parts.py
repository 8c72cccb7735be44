"""The fast step: where loss and metrics of a batch are sums over its rows, each worker adds the part of its own.

Of the ``n`` rows of a global batch worker r holds ``n_r``. On its rows Keras computes the mean loss plus the penalties;
weighted by ``n_r / n`` and summed over the workers this is the mean over the global batch plus the penalties once. Sums
that go one way only, such as a metric's, wait until somebody reads them; the rest goes in one message.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import keras
import tensorflow as tf

from nn_train.engine.collectives import moving_statistics, sums
from nn_train.engine.monkeypatch import replaced
from nn_train.engine.rows import Rows
from nn_train.engine.spread import Replacement, Spread
from nn_train.engine.tensors import Nest


class Parts(Spread):
    """The stand-ins for parts of Keras while a step is traced of a model that ``adds_up``.

    Args:
        model: built and compiled, with plain variables.
        rows: of the batch.
        may_be_empty: whether a worker can be without a row.

    Attributes:
        loss: of the global batch after a training step, of which this worker's part after a test step; float32 scalar.
    """

    def __init__(self, model: keras.Model, rows: Rows, may_be_empty: bool) -> None:
        super().__init__(model, rows, own_step=False)
        self.may_be_empty, self.loss, self.is_summed = may_be_empty, tf.constant(0.0), False
        self.statistics = moving_statistics(model) if rows.workers.size > 1 else []
        self.before = [tf.identity(variable.value) for variable in self.statistics]

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Without the draws of all rows: each worker has random numbers of its own."""
        replacements = [*self.parts_of_model(), *(self.parts_of_keras() if self.rows.workers.size > 1 else [])]
        with ExitStack() as stack:
            for owner, name, make in replacements:
                stack.enter_context(replaced(owner, name, make(getattr(owner, name))))
            yield

    def parts_of_model(self) -> list[Replacement]:
        tracker = self.model._loss_tracker
        return [
            (self.model, "compute_loss", self.part_of_loss),
            (self.model, "compute_metrics", self.metrics_of_rows),
            (tracker, "update_state", lambda update: lambda *args, **named: None),
        ]

    def train(self, batch: Nest) -> Any:
        """Update the weights. Returns the loss of the global batch, penalties included; equal on all workers."""
        with self.in_place(), self.own_rows_counted():
            self.model.train_step(batch)
        return self.loss if self.is_summed else sums([self.loss], self.rows.workers)[0]

    def test(self, batch: Nest) -> Any:
        """Update the metrics, without communication. Returns this worker's part of the loss."""
        with self.in_place(), self.own_rows_counted():
            self.model.test_step(batch)
        return self.loss

    @contextmanager
    def own_rows_counted(self) -> Iterator[None]:
        """Let a row that is not a worker's own count for no metric."""
        variables = self.model.metrics_variables if self.may_be_empty else []
        before = [tf.identity(variable.value) for variable in variables]
        yield
        for variable, was in zip(variables, before, strict=True):
            variable.assign(tf.where(self.rows.count > 0, variable.value, was))

    def part_of_loss(self, compute: Callable[..., Any]) -> Callable[..., Any]:
        def compute_loss(*args: object, **named: Any) -> Any:
            own = compute(*args, **named)
            part = own * tf.cast(self.rows.share, own.dtype)
            self.loss = tf.cast(part, tf.float32)
            return part

        return compute_loss

    def metrics_of_rows(self, compute: Callable[..., Any]) -> Callable[..., Any]:
        """They are updated, and read when the epoch has ended."""

        def compute_metrics(*args: object, **named: Any) -> dict[str, Any]:
            compute(*args, **named)
            return {}

        return compute_metrics

    def summed(self, gradients: list[Any]) -> list[Any]:
        """The gradients of all rows; with them go the changes of the moving statistics, and the loss."""
        changes = [
            change(variable.value, was) * tf.cast(self.rows.share, variable.dtype)
            for variable, was in zip(self.statistics, self.before, strict=True)
        ]
        (*changes, self.loss), gradients = self.summed_with([*changes, self.loss], gradients)
        for variable, was, by in zip(self.statistics, self.before, changes, strict=True):
            variable.assign(was + by)
        self.is_summed = True
        return gradients


def change(now: tf.Tensor, was: tf.Tensor) -> tf.Tensor:
    """The difference, of which the parts of the workers are put together: put together whole, what a layer only keeps
    would lose a bit a step. Zero for what is equal, be it infinite."""
    return tf.where(now == was, tf.zeros_like(now), now - was)
