"""Whether what a model computes on several workers' rows can be put together exactly; what cannot is refused by name.

What can be known is looked up, the rest is tried on a few rows: the loss of all against the weighted mean of its parts,
and each metric of all against the metric whose state is the sum of the parts' states, as the steps put them together.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from nn_train.engine.seeds import seed_states
from nn_train.engine.steps import Batch, call, unscaled_losses
from nn_train.engine.strategy import Replicas
from nn_train.engine.tensors import Nest, rows_of
from nn_train.errors import RequestError

ROWS = 5
PARTS = ((0, 1), (1, ROWS))  # uneven, as workers' shares of a last batch are
ALONE = "or train it with --scaling.num_workers 1"


def check_spreadable(model: keras.Model, batch: Batch, replicas: Replicas, is_own: bool) -> None:
    """Raise RequestError for what several workers would compute otherwise than one.

    Args:
        model: built and compiled, its metrics too.
        batch: up to ``ROWS`` rows as the model sees them; with fewer nothing is tried.
        replicas: this process's place. Nothing is sent to the others, which see the same rows.
        is_own: whether the user has written the model, and perhaps its loss and metrics.
    """
    state = [*model.non_trainable_variables, *seed_states(model)]
    before = [np.asarray(variable.value) for variable in state]
    check_reductions(model)
    check_masks(call(model, batch[0], training=False))
    check_penalties(model)
    if is_own and tf.nest.flatten(batch[0])[0].shape[0] == ROWS:
        # As a replica: metrics cannot be updated outside of one.
        replicas.strategy.run(lambda: try_loss(model, batch))
        replicas.strategy.run(lambda: try_metrics(model, batch))
    for variable, value in zip(state, before, strict=True):
        if not np.array_equal(np.asarray(variable.value), value, equal_nan=True):
            variable.assign(value)


def check_reductions(model: keras.Model) -> None:
    kinds = {getattr(loss, "reduction", "mean") for loss in tf.nest.flatten(model.loss) if loss is not None}
    if not kinds <= {"mean", "sum_over_batch_size"}:
        raise RequestError(
            f"model.name: the loss reduces by {', '.join(sorted(map(str, kinds)))}; training on several workers knows "
            "sum_over_batch_size (Keras' default)"
        )


def check_masks(predicted: Nest) -> None:
    if any(getattr(output, "_keras_mask", None) is not None for output in tf.nest.flatten(predicted)):
        raise RequestError(
            "model.name: the outputs carry a mask, whose loss is a mean over the valid positions of one worker; "
            "train it with --scaling.num_workers 1"
        )


def check_penalties(model: keras.Model) -> None:
    # Before 3.14 Keras sums activity penalties over the rows instead of averaging them; Python 3.10 gets Keras 3.12.
    averages = tuple(int(part) for part in keras.__version__.split(".")[:2]) >= (3, 14)
    penalised = any(getattr(layer, "activity_regularizer", None) is not None for layer in model._flatten_layers())
    if penalised and not averages:
        raise RequestError(
            f"model.name: Keras {keras.__version__} sums activity regularisers over the rows, which several workers "
            "share; use Keras 3.14 or newer, which needs Python 3.11 or newer, or --scaling.num_workers 1"
        )


def try_loss(model: keras.Model, batch: Batch) -> None:
    """The loss of all rows is the mean of its parts' losses, weighted by their rows."""

    def loss_of(part: Batch) -> float:
        x, y, sample_weight = part
        with unscaled_losses():
            predicted = call(model, x, training=False)
            return float(model._compute_loss(x, y, predicted, sample_weight, training=False))

    whole = loss_of(batch)
    if loss_of(batch) != whole:
        return  # it draws random numbers: nothing can be compared
    try:
        together = sum(loss_of(part_of(batch, *rows)) * (rows[1] - rows[0]) / ROWS for rows in PARTS)
    except Exception as error:
        raise RequestError(
            f"model.name: the loss can be computed of {ROWS} examples, but not of 1 or {ROWS - 1} of them, which a "
            f"worker can have of a short batch ({' '.join(str(error).split())[:200]}); let it give a mean over the "
            f"examples, {ALONE}"
        ) from error
    if not agree(model, whole, together):
        raise RequestError(
            f"model.name: the loss is no mean over the examples: of {ROWS} it is {whole:.6g}, of 1 and {ROWS - 1} of "
            f"them put together {together:.6g}, so that it would depend on the number of workers. Let the loss, "
            f"add_loss and compute_loss give means over the examples, {ALONE}"
        )


def try_metrics(model: keras.Model, batch: Batch) -> None:
    """The metrics of all rows are those of a state that is the sum of the parts' states."""
    variables = model.metrics_variables

    def state_after(part: Batch) -> list[np.ndarray]:
        x, y, sample_weight = part
        model.reset_metrics()
        model.compute_metrics(x, y, call(model, x, training=False), sample_weight)
        return [np.asarray(variable.value) for variable in variables]

    def results() -> dict[str, np.ndarray]:
        # Keras' trackers of losses are not reported; see ``metric_state``.
        left_out = {"loss", *(metric.name for metric in getattr(model._compile_loss, "metrics", ()))}
        found = tf.nest.map_structure(np.asarray, model.get_metrics_result())
        return {name: value for name, value in found.items() if name not in left_out}

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
        return
    different = [name for name in whole if not agree(model, whole[name], together[name])]
    if different:
        name = different[0]
        raise RequestError(
            f"model.name: the metric {name} cannot be put together from several workers: of {ROWS} examples it is "
            f"{whole[name]}, of 1 and {ROWS - 1} of them {together[name]}. What its variables hold must add up: let "
            f"its function give a value for each example, {ALONE}"
        )


def part_of(batch: Batch, first: int, stop: int) -> Batch:
    x, y, sample_weight = batch
    return (*rows_of((x, y), first, stop), None if sample_weight is None else rows_of(sample_weight, first, stop))


def agree(model: keras.Model, one: Any, other: Any) -> bool:
    """Up to the roundings of the least precise layer, and on GPUs of TensorFloat-32."""
    least = min(tf.as_dtype(layer.compute_dtype).size for layer in model._flatten_layers())
    tolerance = 3e-2 if least < 4 else 1e-2 if tf.config.list_logical_devices("GPU") else 1e-5
    return np.allclose(one, other, rtol=tolerance, atol=1e-6, equal_nan=True)
