"""One step of one replica: what Keras computes on its rows, and how the replicas' parts become one.

With R replicas of which r holds ``n_r`` of the ``n`` rows of a global batch, Keras computes on each the
mean loss of its own rows plus the penalties, divided by R. Scaled by ``R * n_r / n`` these parts add up to
the mean over the global batch plus the penalties once. Where all shards are equal the factor is 1 and
nothing is done.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from nn_train.errors import RequestError
from nn_train.replication import Replicas, all_reduce_sum, apply_without_reduction, moving_statistics

Batch = tuple[Any, Any, Any]  # x, y, sample_weight (or None), rows of this replica


class ReplicaSteps:
    """The training and the evaluation step of a built and compiled model.

    Args:
        model: built and compiled in the strategy's scope.
        replicas: this process's place.
        uneven: whether replicas can hold different numbers of rows of a batch, none included.
    """

    def __init__(self, model: keras.Model, replicas: Replicas, uneven: bool) -> None:
        self.model = model
        self.replicas = replicas
        self.uneven = uneven and replicas.size > 1
        self.statistics = moving_statistics(model) if replicas.size > 1 else []
        self.reduction = loss_reduction(model, replicas.size)
        self.unconnected: set[int] = set()  # positions of the weights that the loss does not depend on
        if model.optimizer is not None:
            apply_without_reduction(model.optimizer)

    def train(self, batch: Batch, global_rows: Any) -> Any:
        """Update the weights from one global batch. In replica context.

        Returns:
            The loss of the global batch (float32 scalar), penalties included; equal on all replicas.
        """
        model = self.model
        rows = first_dimension(batch)
        gradients, loss = self.when_any_rows(rows, lambda: self.forward_backward(batch, rows, global_rows), self.zeros)
        present = [i for i in range(len(gradients)) if i not in self.unconnected]
        share = tf.cast(rows, tf.float32) / tf.cast(global_rows, tf.float32)
        statistics = [variable.value * tf.cast(share, variable.dtype) for variable in self.statistics]
        summed = all_reduce_sum([*(gradients[i] for i in present), *statistics, loss])
        by_position = dict(zip(present, summed, strict=False))
        model.optimizer.apply([by_position.get(i) for i in range(len(gradients))], model.trainable_variables)
        for variable, value in zip(self.statistics, summed[len(present) : -1], strict=True):
            variable.assign(value)
        return summed[-1]

    def forward_backward(self, batch: Batch, rows: Any, global_rows: Any) -> tuple[list[Any], Any]:
        """This replica's summands of the gradients and of the loss; updates metrics and statistics."""
        model, (x, y, sample_weight) = self.model, batch
        with tf.GradientTape() as tape:
            predicted = call(model, x, training=True)
            loss = model._compute_loss(x, y, predicted, sample_weight, training=True)
            if self.uneven and self.reduction == "mean":
                factor = tf.cast(self.replicas.size * rows / global_rows, loss.dtype)
                loss = factor * loss
            scaled = model.optimizer.scale_loss(loss)
        gradients = tape.gradient(scaled, model.trainable_variables)
        self.unconnected = {i for i, gradient in enumerate(gradients) if gradient is None}
        if self.uneven:  # both branches of a condition must give dense tensors
            pairs = zip(gradients, model.trainable_variables, strict=True)
            gradients = [tf.zeros_like(v.value) if g is None else tf.convert_to_tensor(g) for g, v in pairs]
        model.compute_metrics(x, y, predicted, sample_weight)
        return gradients, tf.cast(loss, tf.float32)

    def zeros(self) -> tuple[list[Any], Any]:
        """What a replica without rows adds."""
        return [tf.zeros_like(variable.value) for variable in self.model.trainable_variables], tf.constant(0.0)

    def evaluate(self, batch: Batch) -> Any:
        """Update the metrics with this replica's rows. In replica context, without communication.

        Returns:
            The sum over the rows of the loss, penalties counted for every row (float32 scalar).
        """
        model, (x, y, sample_weight) = self.model, batch
        rows = first_dimension(batch)

        def forward() -> Any:
            predicted = call(model, x, training=False)
            loss = model._compute_loss(x, y, predicted, sample_weight, training=False)
            model.compute_metrics(x, y, predicted, sample_weight)
            # Keras divided a mean by R; a sum over the rows needs neither factor.
            scale = tf.cast(rows * self.replicas.size, tf.float32) if self.reduction == "mean" else 1.0
            return tf.cast(loss, tf.float32) * scale

        return self.when_any_rows(rows, forward, lambda: tf.constant(0.0))

    def when_any_rows(self, rows: Any, compute: Callable[[], Any], otherwise: Callable[[], Any]) -> Any:
        """``compute()``, or ``otherwise()`` on a replica that got no row of a short last batch."""
        return tf.cond(rows > 0, compute, otherwise) if self.uneven else compute()


def call(model: keras.Model, x: Any, training: bool) -> Any:
    """The model's outputs; ``training`` is passed only to models that take it, as Keras does."""
    return model(x, training=training) if model._call_has_training_arg else model(x)


def first_dimension(batch: Batch) -> Any:
    """The number of rows (int32 scalar)."""
    return tf.shape(tf.nest.flatten(batch[0])[0])[0]


def loss_reduction(model: keras.Model, replicas: int) -> str:
    """``mean`` or ``sum`` over the rows: decides how the replicas' parts of the loss add up.

    Raises:
        RequestError: several replicas, and a loss that is neither.
    """
    kinds = {getattr(loss, "reduction", "mean") for loss in tf.nest.flatten(model.loss) if loss is not None}
    if kinds == {"sum"}:
        return "sum"
    # mean_with_sample_weight divides by the weights of one replica's rows: equal to the mean without weights only.
    if replicas > 1 and not kinds <= {"mean", "sum_over_batch_size"}:
        raise RequestError(
            f"model.name: the loss reduces by {', '.join(sorted(map(str, kinds)))}; training on several workers knows "
            "sum_over_batch_size (Keras' default) and sum"
        )
    return "mean"
