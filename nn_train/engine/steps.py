"""One step of one replica: what Keras computes on its rows, and how the replicas' parts become one.

Of the ``n`` rows of a global batch replica r holds ``n_r``. On its rows Keras computes the mean loss plus the
penalties; weighted by ``n_r / n`` and summed over the replicas this is the mean over the global batch plus the
penalties once. Keras' own weight for replicas, 1/R, is right for equal shards only, so it is switched off.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf
from keras.src.losses import loss as loss_module

from nn_train.engine.collectives import (
    all_reduce_sum,
    apply_without_reduction,
    gather_slices,
    is_by_rows,
    moving_statistics,
    sums_among,
)
from nn_train.engine.monkeypatch import replaced
from nn_train.engine.seeds import global_generator, set_global_generator
from nn_train.engine.strategy import Replicas
from nn_train.engine.tensors import Nest, first_dimension

Batch = tuple[Any, Any, Any]  # x, y, sample_weight (or None), rows of this replica


class ReplicaSteps:
    """The training and the evaluation step of a built and compiled model.

    Args:
        model: built and compiled in the strategy's scope.
        replicas: this process's place.
        may_be_empty: whether a replica can get no row of a batch.
    """

    def __init__(self, model: keras.Model, replicas: Replicas, may_be_empty: bool) -> None:
        self.model = model
        self.replicas = replicas
        self.may_be_empty = may_be_empty and replicas.size > 1
        self.generator = global_generator()
        self.statistics = moving_statistics(model) if replicas.size > 1 else []
        self.unconnected: set[int] = set()  # positions of the weights that the loss does not depend on
        # Of those whose gradients are rows: the type of the rows' numbers, and how many there are for positions.
        self.sparse: dict[int, tuple[tf.DType, int]] = {}
        if model.optimizer is not None:
            apply_without_reduction(model.optimizer)

    @tf.autograph.experimental.do_not_convert
    def train(self, batch: Batch, global_rows: tf.Tensor) -> Any:
        """Update the weights from one global batch. In replica context.

        Returns:
            The loss of the global batch (float32 scalar), penalties included; equal on all replicas.
        """
        model = self.model
        before = [tf.identity(variable.value) for variable in self.statistics]  # read now
        gradients, changes, loss = self.sums(batch, global_rows, before)
        model.optimizer.apply(gradients, model.trainable_variables)
        for variable, was, changed_by in zip(self.statistics, before, changes, strict=True):
            variable.assign(was + changed_by)
        return loss

    def sums(self, batch: Batch, global_rows: tf.Tensor, before: list[tf.Tensor]) -> tuple[list[Any], list[Any], Any]:
        """Compute the gradients, the changes of the moving statistics and the loss of the global batch.

        They are the same on all replicas. ``before``: the statistics until now.
        """
        model, rows = self.model, first_dimension(batch)
        set_global_generator(self.generator)  # a replica is traced in a thread of its own, and Keras keeps one for each
        gradients, loss = self.when_any_rows(rows, lambda: self.forward_backward(batch, rows, global_rows), self.zeros)
        dense = [i for i in range(len(gradients)) if i not in self.unconnected and i not in self.sparse]
        share = tf.cast(rows, tf.float32) / tf.cast(global_rows, tf.float32)
        changes = [
            change(variable.value, was) * tf.cast(share, variable.dtype)
            for variable, was in zip(self.statistics, before, strict=True)
        ]
        positions = [i for i, (_, count) in self.sparse.items() if count]
        values, indices = [gradients[i][0] for i in positions], [gradients[i][1] for i in positions]
        if self.may_be_empty:  # then the last one, which always has a row, says where they belong
            is_last = float(self.replicas.rank == self.replicas.size - 1)
            told = all_reduce_sum([tf.cast(one, tf.float64) * is_last for one in indices], self.replicas)
            indices = [tf.cast(one, self.sparse[i][0]) for i, one in zip(positions, told, strict=True)]
        summed = all_reduce_sum([*(gradients[i] for i in dense), *values, *changes, loss], self.replicas)
        by_place = dict(zip([*dense, *positions], summed, strict=False))
        for i in self.sparse:
            shape = tf.shape(model.trainable_variables[i].value)
            if i in positions:
                by_place[i] = tf.IndexedSlices(by_place[i], indices[positions.index(i)], shape)
            else:
                by_place[i] = gather_slices(tf.IndexedSlices(*gradients[i], dense_shape=shape), self.replicas)
        return [by_place.get(i) for i in range(len(gradients))], summed[len(dense) + len(values) : -1], summed[-1]

    def forward_backward(self, batch: Batch, rows: tf.Tensor, global_rows: tf.Tensor) -> tuple[list[Any], Any]:
        """This replica's summands of the gradients and of the loss; updates metrics and statistics.

        The gradient of a table of which rows are looked up is ``(values [n, …], rows [n])``, one entry for each time.
        """
        model, (x, y, sample_weight) = self.model, batch
        with tf.GradientTape() as tape, self.moments_of_all():
            predicted = call(model, x, training=True)
            with unscaled_losses():
                loss = loss_of(model, x, y, predicted, sample_weight, training=True)
            loss *= tf.cast(rows / global_rows, loss.dtype)
            scaled = model.optimizer.scale_loss(loss)
        gradients = tape.gradient(scaled, model.trainable_variables)
        self.unconnected = {i for i, gradient in enumerate(gradients) if gradient is None}
        self.sparse = {
            i: (g.indices.dtype, 0 if is_by_rows(g) else g.indices.shape[0])
            for i, g in enumerate(gradients)
            if isinstance(g, tf.IndexedSlices)
        }
        for i in self.sparse:
            gradients[i] = (gradients[i].values, gradients[i].indices)
        if self.may_be_empty:  # both branches of a condition must give tensors
            pairs = zip(gradients, model.trainable_variables, strict=True)
            gradients = [tf.zeros_like(v.value) if g is None else g for g, v in pairs]
        model.compute_metrics(x, y, predicted, sample_weight)
        return gradients, tf.cast(loss, tf.float32)

    @contextlib.contextmanager
    def moments_of_all(self) -> Iterator[None]:
        """While a step is traced, BatchNormalization takes its mean and variance over the rows of all replicas."""
        norms = norms_of(self.model) if self.replicas.size > 1 else []
        with contextlib.ExitStack() as stack:
            for layer in norms:
                stack.enter_context(replaced(layer, "synchronized", True))
            if norms:
                stack.enter_context(sums_among(self.replicas.peers))
            yield

    def zeros(self) -> tuple[list[Any], Any]:
        """What a replica without rows adds."""
        gradients: list[Any] = [tf.zeros_like(variable.value) for variable in self.model.trainable_variables]
        for i, (kind, count) in self.sparse.items():
            table = gradients[i]
            gradients[i] = (tf.zeros([count, *table.shape[1:]], table.dtype), tf.zeros([count], kind))
        return gradients, tf.constant(0.0)

    @tf.autograph.experimental.do_not_convert
    def evaluate(self, batch: Batch) -> Any:
        """Update the metrics with this replica's rows. In replica context, without communication.

        Returns:
            The sum over the rows of the loss, penalties counted for every row (float32 scalar).
        """
        model, (x, y, sample_weight) = self.model, batch
        rows = first_dimension(batch)
        set_global_generator(self.generator)

        def forward() -> Any:
            predicted = call(model, x, training=False)
            with unscaled_losses():
                loss = loss_of(model, x, y, predicted, sample_weight, training=False)
            model.compute_metrics(x, y, predicted, sample_weight)
            return tf.cast(loss, tf.float32) * tf.cast(rows, tf.float32)

        return self.when_any_rows(rows, forward, lambda: tf.constant(0.0))

    def when_any_rows(self, rows: tf.Tensor, compute: Callable[[], Any], otherwise: Callable[[], Any]) -> Any:
        """``compute()``, or ``otherwise()`` on a replica that got no row of a short last batch."""
        return tf.cond(rows > 0, compute, otherwise) if self.may_be_empty else compute()


def change(now: tf.Tensor, was: tf.Tensor) -> tf.Tensor:
    """The difference, of which the parts of the replicas are put together: put together whole, what a layer only keeps
    would lose a bit a step. Zero for what is equal, be it infinite."""
    return tf.where(now == was, tf.zeros_like(now), now - was)


def norms_of(model: keras.Model) -> list[Any]:
    """The model's layers that look at all rows of a batch."""
    return [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.BatchNormalization)]


def call(model: keras.Model, x: Nest, training: bool) -> Any:
    """The model's outputs; ``training`` is passed only to models that take it, as Keras does."""
    return model(x, training=training) if takes_training(model.call) else model(x)


def loss_of(model: keras.Model, x: Nest, y: Nest, predicted: Nest, sample_weight: Nest, training: bool) -> Any:
    """The model's loss; ``training`` is passed only to a ``compute_loss`` that takes it, as Keras does."""
    named = {"training": training} if takes_training(model.compute_loss) else {}
    return model.compute_loss(x=x, y=y, y_pred=predicted, sample_weight=sample_weight, **named)


def takes_training(function: Callable[..., Any]) -> bool:
    parameters = inspect.signature(function).parameters.values()
    return any(one.name == "training" or one.kind is one.VAR_KEYWORD for one in parameters)


@contextlib.contextmanager
def unscaled_losses() -> Iterator[None]:
    """While a step is traced, Keras' losses are those of the rows: not divided by the number of replicas.

    Keras divides in its own losses only, so that a ``compute_loss`` of the user's would count R times.
    """

    def unscaled(value: Any) -> Any:
        return value

    with (
        replaced(loss_module, "scale_loss_for_distribution", unscaled),
        replaced(loss_module, "unscale_loss_for_distribution", unscaled),
    ):
        yield
