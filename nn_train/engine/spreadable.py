"""Whether what a model computes on several workers' rows adds up to what one computes on all.

What can be known is looked up, the rest is tried on a few rows: the loss of all against the weighted mean of its parts,
and each metric of all against the metric whose state is the sum of the parts' states, as the steps put them together.
"""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from nn_train.datasets.examples import evenly
from nn_train.engine.fit.rows_apart import RowsApart
from nn_train.engine.fit.trials import ROWS, agree, at_rest, opened
from nn_train.engine.seeds import seed_states
from nn_train.engine.steps import Batch, call, norms_of, unscaled_losses
from nn_train.engine.strategy import Replicas
from nn_train.engine.tensors import Nest, rows_of

PARTS = ((0, 1), (1, ROWS))  # uneven, as workers' shares of a last batch are
MEANS = {"mean", "sum_over_batch_size"}


def adds_up(model: keras.Model, batch: Batch, replicas: Replicas, is_known: bool) -> bool:
    """Whether the sums of ``ReplicaSteps`` are exact for a model.

    Args:
        model: built and compiled, its metrics too.
        batch: rows as the model sees them, ``ROWS`` or more, or what there are.
        replicas: this process's place. Nothing is sent to the others, which see the same rows.
        is_known: whether model, loss and metrics are those that this project makes.
    """
    losses = [loss for loss in tf.nest.flatten(model.loss) if loss is not None]
    if not {getattr(loss, "reduction", "mean") for loss in losses} <= MEANS or sums_penalties(model):
        return False
    if any(getattr(loss, "ignore_class", None) is not None for loss in losses):
        return False  # a mean over the places of the other classes
    state = [*model.non_trainable_variables, *seed_states(model)]
    before = [np.asarray(variable.value) for variable in state]
    few = some_of(batch, ROWS)
    try:
        if any(getattr(output, "_keras_mask", None) is not None for output in tf.nest.flatten(outputs_of(model, few))):
            return False  # a mean over the valid positions
        if is_known:
            return True
        if tf.nest.flatten(few[0])[0].shape[0] < ROWS:
            return False  # who knows
        trials = (state_adds_up, loss_adds_up, metrics_add_up)
        # As a replica: metrics cannot be updated outside of one.
        with opened(model):
            add_up = all(replicas.strategy.run(lambda trial=trial: trial(model, few)) for trial in trials)
        return add_up and (replicas.size == 1 or not rows_apart(model, batch, replicas).objection())
    finally:
        for variable, value in zip(state, before, strict=True):
            if not np.array_equal(np.asarray(variable.value), value, equal_nan=True):
                variable.assign(value)


def rows_apart(model: keras.Model, batch: Batch, replicas: Replicas) -> RowsApart:
    """Of a model whose loss is put together of the replicas'."""
    return RowsApart(model, batch, loss_of_rows, replicas.strategy.run)


def loss_of_rows(model: keras.Model, batch: Batch, predicted: Nest, training: bool) -> float:
    """Penalties included."""
    x, y, sample_weight = batch
    with unscaled_losses():
        return float(model._compute_loss(x, y, predicted, sample_weight, training=training))


def sums_penalties(model: keras.Model) -> bool:
    """Whether activity penalties are sums over the rows: before Keras 3.14; Python 3.10 gets 3.12."""
    averages = tuple(int(part) for part in keras.__version__.split(".")[:2]) >= (3, 14)
    penalised = any(getattr(layer, "activity_regularizer", None) is not None for layer in model._flatten_layers())
    return penalised and not averages


def outputs_of(model: keras.Model, batch: Batch, training: bool = False) -> Nest:
    return call(model, batch[0], training=training)


def state_adds_up(model: keras.Model, batch: Batch) -> bool:
    """A step changes nothing but weights, generators of random numbers, and what BatchNormalization keeps."""
    known = {id(variable) for variable in seed_states(model)}
    known |= {id(variable) for layer in norms_of(model) for variable in layer.non_trainable_variables}
    kept = [variable for variable in model.non_trainable_variables if id(variable) not in known]
    before = [np.asarray(variable.value) for variable in kept]
    if kept:
        outputs_of(model, batch, training=True)
    changed = [not np.array_equal(a, np.asarray(b.value), equal_nan=True) for a, b in zip(before, kept, strict=True)]
    return not any(changed)


def loss_adds_up(model: keras.Model, batch: Batch) -> bool:
    """The loss of all rows is the mean of its parts' losses, weighted by their rows; also while the model trains."""

    def loss_of(part: Batch, training: bool) -> float:
        with at_rest(model):
            return loss_of_rows(model, part, outputs_of(model, part, training), training)

    for training in (False, True):
        whole = loss_of(batch, training)
        if loss_of(batch, training) != whole:
            continue  # it draws random numbers in a way of its own: nothing can be compared
        try:
            together = sum(loss_of(part_of(batch, *rows), training) * (rows[1] - rows[0]) / ROWS for rows in PARTS)
        except Exception:
            return False  # it can be computed of all rows, but not of one, which a worker can have of a short batch
        if not agree(model, whole, together):
            return False
    return True


def metrics_add_up(model: keras.Model, batch: Batch) -> bool:
    """The metrics of all rows are those of a state that is the sum of the parts' states."""
    variables = model.metrics_variables

    def state_after(part: Batch) -> list[np.ndarray]:
        x, y, sample_weight = part
        model.reset_metrics()
        model.compute_metrics(x, y, outputs_of(model, part), sample_weight)
        return [np.asarray(variable.value) for variable in variables]

    def results() -> dict[str, np.ndarray]:
        found: dict[str, np.ndarray] = tf.nest.map_structure(np.asarray, model.get_metrics_result())
        return {name: value for name, value in found.items() if name != "loss"}  # which is counted by the loop

    first, state = state_after(batch), state_after(batch)
    whole = results()
    parts = [state_after(part_of(batch, *rows)) for rows in PARTS]
    summed = [sum(values) for values in zip(*parts, strict=True)]
    for variable, value in zip(variables, summed, strict=True):
        variable.assign(value)
    together = results()
    model.reset_metrics()
    draws = not all(np.array_equal(one, other, equal_nan=True) for one, other in zip(first, state, strict=True))
    # A result that subtracts large sums, such as R²'s, may differ by roundings alone.
    if draws or all(agree(model, *pair) for pair in zip(state, summed, strict=True)):
        return True
    return all(agree(model, whole[name], together[name]) for name in whole)


def some_of(batch: Batch, count: int) -> Batch:
    """Rows from all over a batch, or those that there are."""
    places = evenly(int(tf.nest.flatten(batch[0])[0].shape[0]), count)
    few: Batch = tf.nest.map_structure(lambda leaf: leaf if leaf is None else tf.gather(leaf, places), batch)
    return few


def part_of(batch: Batch, first: int, stop: int) -> Batch:
    x, y, sample_weight = batch
    return (*rows_of((x, y), first, stop), None if sample_weight is None else rows_of(sample_weight, first, stop))
