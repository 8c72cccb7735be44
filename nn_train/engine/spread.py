"""One step of a Keras model, spread: each worker computes its rows, and what comes of it is that of the whole batch.

The model's own ``train_step``, ``test_step`` and ``predict_step`` run on this worker's rows. Where they ask for what
depends on the whole batch, they get that: ``compute_loss`` and ``compute_metrics`` are given the outputs for all rows
(only this worker's have a gradient), metrics of the user's the rows that they are updated with, an optimizer the sum
of all gradients, BatchNormalization the moments of all rows, and a dropout the numbers that it would draw for all.
So each worker has the loss and the metrics of one worker that computes everything, whatever they are.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf
from keras.src.optimizers.base_optimizer import BaseOptimizer

from nn_train.engine.collectives import is_by_rows, sums
from nn_train.engine.draws import Draws
from nn_train.engine.gradients import scaled_gradient, weighed, with_value
from nn_train.engine.model_state import metrics_of
from nn_train.engine.moments import moments_of_all
from nn_train.engine.monkeypatch import replaced
from nn_train.engine.rows import Rows, has_rows
from nn_train.engine.strategy import Replicas
from nn_train.engine.tensors import Nest

Step = Callable[[Any], Any]
Replacement = tuple[Any, str, Callable[[Any], Any]]


def spread_step(model: keras.Model, name: str, workers: Replicas) -> Step:
    """``model.train_step`` or ``test_step`` for a batch that is the same on all workers, each doing its rows."""
    step, is_own = getattr(model, name), is_overridden(model, name)

    def run(data: Nest) -> Any:
        rows = Rows.dealt(data, workers)
        spread = Spread(model, rows, own_step=is_own)
        with spread.in_place():
            outputs = step(rows.own)
        return keras.tree.map_structure(spread.scalar, outputs) if is_own else outputs

    return run


def spread_predictions(model: keras.Model, workers: Replicas) -> Step:
    """``model.predict_step`` likewise: every worker gets the outputs for all rows."""
    step = model.predict_step

    def run(data: Nest) -> Any:
        rows = Rows.dealt(data, workers)
        moments = moments_of_all(rows, tf.constant(1.0, tf.float64))
        with Draws(rows).in_place(), replaced(keras.layers.BatchNormalization, "_moments", moments):
            outputs = step(rows.own)
        return rows.all(outputs)

    return run


def is_overridden(model: keras.Model, name: str) -> bool:
    """Return whether a method is the user's, of the class or of this very model."""
    return getattr(getattr(model, name), "__func__", None) is not getattr(keras.Model, name)


class Spread:
    """The stand-ins for parts of Keras while one step is traced, or run eagerly.

    A gradient of this worker's mean loss over its rows counts ``share`` in that of the batch; a gradient of the loss of
    the whole batch counts in full. In Keras' own ``train_step`` there are only the latter. In a user's there may be
    both, and the optimizer cannot tell them apart: there all are weighed by ``share``, and those of the whole are
    multiplied by ``scale``, 1 / ``share``, before.

    Args:
        model: built and compiled.
        rows: of the batch.
        own_step: whether the step is the user's.
    """

    def __init__(self, model: keras.Model, rows: Rows, own_step: bool) -> None:
        self.model, self.rows, self.own_step = model, rows, own_step
        share = tf.cast(tf.maximum(rows.count, 1), tf.float64) / tf.cast(rows.n, tf.float64)
        self.scale = 1 / share if own_step else tf.constant(1.0, tf.float64)
        self.own_loss = is_overridden(model, "compute_loss")
        self.whole = self.reducing = False  # whether what is asked for now is that of the whole batch already

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            stack.enter_context(Draws(self.rows).in_place())
            for owner, name, make in [*self.parts_of_model(), *self.parts_of_keras()]:
                stack.enter_context(replaced(owner, name, make(getattr(owner, name))))
            yield

    def parts_of_model(self) -> list[Replacement]:
        """Return what is replaced of this model: owner, name, and a function from what is there to what comes."""
        model = self.model
        tracker = getattr(model, "_loss_tracker", None)
        return [
            (model, "compute_loss", self.local_loss if self.own_loss else self.loss_of_all),
            (model, "_aggregate_additional_loss", self.penalty),
            (model, "compute_metrics", self.metrics_of_all),
            *((metric, "update_state", self.update_metric) for metric in self.own_metrics()),
            *((metric, "result", self.result) for metric in metrics_of(model)),
            *([(tracker, "update_state", self.track_loss)] if tracker is not None else []),
        ]

    def parts_of_keras(self) -> list[Replacement]:
        return [
            (BaseOptimizer, "apply", self.apply),
            (keras.optimizers.LossScaleOptimizer, "apply", self.apply),
            (keras.layers.BatchNormalization, "_moments", lambda _: moments_of_all(self.rows, self.scale)),
        ]

    def own_metrics(self) -> list[Any]:
        """Those that the user's code may update, in a layer or a step."""
        model = self.model
        keras_own = [getattr(model, "_loss_tracker", None)]
        if not self.own_loss:
            keras_own += getattr(getattr(model, "_compile_loss", None), "metrics", ())
        known = {id(metric) for metric in keras_own}
        return [metric for metric in metrics_of(model) if id(metric) not in known]

    # The loss.

    def loss_of_all(self, compute: Callable[..., Any]) -> Callable[..., Any]:
        """Keras' ``compute_loss``, of all rows."""

        def compute_loss(
            x: Nest = None, y: Nest = None, y_pred: Nest = None, sample_weight: Nest = None, training: bool = True
        ) -> Any:
            given = {"y": y, "y_pred": y_pred, "sample_weight": sample_weight}
            loss = compute(x=x, training=training, **{name: self.rows.all(value) for name, value in given.items()})
            return self.rows.known(scaled_gradient(loss, self.scale))

        return compute_loss

    def local_loss(self, compute: Callable[..., Any]) -> Callable[..., Any]:
        """The user's ``compute_loss``, which may call the model again: of this worker's rows, a mean over them."""

        def compute_loss(*args: object, **named: Any) -> Any:
            own = compute(*args, **named)
            share = tf.cast(self.rows.share, own.dtype)
            return self.rows.known(scaled_gradient(with_value(own * share, self.rows.mean(own)), self.scale))

        return compute_loss

    def penalty(self, aggregate: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """A penalty, or what ``add_loss`` was given, is a mean over this worker's rows."""

        def aggregate_all(loss: Nest) -> Any:
            own = aggregate(loss)
            if self.own_loss:
                return own
            return with_value(own * tf.cast(self.rows.share, own.dtype), self.rows.mean(own))

        return aggregate_all

    def track_loss(self, update: Callable[..., Any]) -> Callable[..., Any]:
        """Keras weighs the loss of a batch by its rows. A step of the user's may hand over its own rows' mean."""

        def update_state(loss: Nest, sample_weight: Nest = None) -> Any:
            if self.own_step and not self.whole:
                if has_rows(loss) or has_rows(sample_weight):  # a step may update all metrics with rows
                    return update(self.of_all(loss), sample_weight=self.of_all(sample_weight))
                loss = self.scalar(loss)
            return update(loss, sample_weight=None if sample_weight is None else self.rows.n)

        return update_state

    # Metrics.

    def metrics_of_all(self, compute: Callable[..., Any]) -> Callable[..., Any]:
        def compute_metrics(x: Nest, y: Nest, y_pred: Nest, sample_weight: Nest = None) -> Any:
            given = [self.rows.all(value) for value in (x, y, y_pred, sample_weight)]
            kept, self.whole = self.whole, True
            try:
                return compute(*given[:3], sample_weight=given[3])
            finally:
                self.whole = kept

        return compute_metrics

    def update_metric(self, update: Callable[..., Any]) -> Callable[..., Any]:
        def update_state(*args: object, **named: Any) -> Any:
            if not self.whole:
                weight = self.count_of_all(named.pop("sample_weight")) if is_count(named.get("sample_weight")) else None
                args, named = keras.tree.map_structure(self.of_all, (args, named))
                named |= {"sample_weight": weight} if weight is not None else {}
            return update(*args, **named)

        return update_state

    def result(self, result: Callable[..., Any]) -> Callable[..., Any]:
        """Mark it: what a metric has counted of all rows is the same on all workers."""
        return lambda: keras.tree.map_structure(self.rows.known, result())

    def of_all(self, value: Nest) -> Any:
        """What a metric is updated with: rows of all; a mean over the rows; a count, which adds up."""
        if has_rows(value):
            return self.rows.gather(value)
        if isinstance(value, tf.Tensor) and not value.dtype.is_floating:
            return self.count_of_all(value)
        return self.scalar(value)

    def count_of_all(self, count: tf.Tensor) -> tf.Tensor:
        """What was counted of the rows, over all workers; one without a row has counted one all the same."""
        return sums([tf.where(self.rows.count > 0, count, tf.zeros_like(count))], self.rows.workers)[0]

    def scalar(self, value: Nest) -> Any:
        """A float scalar as the mean over all rows, all else as it is."""
        is_mean = isinstance(value, tf.Tensor) and value.shape.rank == 0 and value.dtype.is_floating
        return self.rows.mean(value) if is_mean and id(value) not in self.rows.whole else value

    # Gradients.

    def apply(self, apply: Callable[..., Any]) -> Callable[..., Any]:
        """The optimizer gets the sum over the workers before it clips, accumulates or unscales anything."""

        def apply_all(optimizer: Any, grads: Any, trainable_variables: Any = None) -> Any:
            if self.reducing:  # the inner one of a LossScaleOptimizer
                return apply(optimizer, grads, trainable_variables)
            self.reducing = True
            try:
                return apply(optimizer, self.summed(list(grads)), trainable_variables)
            finally:
                self.reducing = False

        return apply_all

    def summed(self, gradients: list[Any]) -> list[Any]:
        """The gradients of all rows."""
        if self.own_step:
            gradients = [g if g is None else weighed(g, self.rows.share) for g in gradients]
        return self.summed_with([], gradients)[1]

    def summed_with(self, more: list[Any], gradients: list[Any]) -> tuple[list[Any], list[Any]]:
        """The sums of ``more`` and of the gradients over the workers, in one message but for rows looked up."""
        by_rows = [i for i, g in enumerate(gradients) if is_by_rows(g)]
        added = [i for i, g in enumerate(gradients) if g is not None and i not in by_rows]
        parts = [g.values if isinstance(g := gradients[i], tf.IndexedSlices) else g for i in added]
        of_all, found = sums([*parts, *more], self.rows.workers), list(gradients)
        for i, value in zip(added, of_all, strict=False):
            g = gradients[i]
            is_slices = isinstance(g, tf.IndexedSlices)
            found[i] = tf.IndexedSlices(value, g.indices, g.dense_shape) if is_slices else value
        for i in by_rows:
            found[i] = self.slices_of_all(gradients[i])
        return of_all[len(parts) :], found

    def slices_of_all(self, own: tf.IndexedSlices) -> tf.IndexedSlices:
        """Those of all workers one after the other, as one worker has them: an Adam takes equal rows one by one."""
        count, size = tf.where(self.rows.count > 0, tf.shape(own.indices)[0], 0), self.rows.workers.size
        values, indices = (self.rows.joined(tensor[:count]) for tensor in (own.values, own.indices))
        if tf.executing_eagerly() and len(indices) % size == 0 and len(indices) % int(self.rows.n):
            of_each = tf.reshape(indices, [size, -1])
            if bool(tf.reduce_all(of_each == of_each[:1])):  # positions, which do not depend on the rows
                parts = tf.reshape(values, [*of_each.shape, *values.shape[1:]])
                values, indices = tf.reduce_sum(parts, axis=0), of_each[0]
        return tf.IndexedSlices(values, indices, own.dense_shape)


def is_count(weight: Any) -> bool:
    """Whether a metric is given one weight for all that it sees: as many as the rows are."""
    return isinstance(weight, tf.Tensor) and weight.shape.rank == 0
