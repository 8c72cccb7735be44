"""What several workers would compute otherwise than one is found by trying it on a few rows, and refused by name.

Losses of the outputs and metrics need no trial: every worker has those of all rows. What is left are losses that are
computed from this worker's rows alone, layers that look at other rows, and layers that keep what they have seen.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras.src.trainers.data_adapters import data_adapter_utils

from nn_train.engine.fit.replacing import replaced
from nn_train.engine.fit.rows_apart import ALONE, RowsApart, depends_on_rows
from nn_train.engine.fit.steps import is_overridden
from nn_train.engine.fit.trials import (
    agree,
    at_rest,
    few_rows,
    first_rows,
    is_dense,
    kept_by_layers,
    metrics_of,
    opened,
    put,
    short,
    unchanged,
    values_of,
)
from nn_train.engine.steps import call
from nn_train.engine.tensors import Nest
from nn_train.errors import RequestError, without_operation


def check_model(model: keras.Model, data: Nest, workers: int) -> bool:
    """Raise RequestError for what cannot be put together from parts of a batch.

    Args:
        model: built.
        data: a batch as Keras hands it to a step. Of one row nothing can be learnt.
        workers: how many share it.

    Returns:
        Whether something could be learnt. A model that cannot be called by itself is taken as it is.
    """
    for layer in model._flatten_layers():
        if getattr(layer, "stateful", False) is True:
            raise RequestError(
                f"{layer.path}: stateful=True keeps a state for each row of a batch, of which each worker sees its own "
                f"rows alone; leave it out, {ALONE}"
            )
    whole = few_rows(data)
    if whole is None:
        return False
    rows = next(int(leaf.shape[0]) for leaf in keras.tree.flatten(whole) if leaf is not None)
    parts = [first_rows(whole, 0, 1), first_rows(whole, 1, rows)]
    trials: list[Callable[[], None]] = [partial(check_state, model, parts)]
    for training in (False, True):
        compute = partial(outputs_of_model, model, training)
        trials.append(partial(check_outputs, model, whole, parts, compute, "the model", training))
        trials.append(partial(check_loss, model, whole, parts, [1, rows - 1], training))
        trials.append(partial(check_metrics, model, whole, parts, [1, rows - 1], training))
    failed = False
    with unchanged(model), opened(model):
        for trial in trials:
            try:
                trial()
            except RequestError:
                raise
            except Exception:
                failed = True
        if failed:
            check_some_rows(model, data, workers)  # what else is wrong with it, its step will say
        found = RowsApart(model, data, own_loss).objection()
    if found:
        raise RequestError(found)
    return True


def check_some_rows(model: keras.Model, data: Nest, workers: int) -> None:
    """A model that can be called on a whole batch must take a worker's rows too, where these are at least two."""
    count = next(int(leaf.shape[0]) for leaf in keras.tree.flatten(data) if is_dense(leaf))
    if count // workers < 2:
        return
    errors: list[Exception | None] = []
    for batch in (data, first_rows(data, 0, count // workers)):
        try:
            with at_rest(model):
                call(model, data_adapter_utils.unpack_x_y_sample_weight(batch)[0], training=False)
            errors.append(None)
        except Exception as error:
            errors.append(error)
    of_whole, of_some = errors
    if of_whole is None and of_some is not None:
        raise RequestError(
            f"the model can be called on a batch of {count} rows, and not on {count // workers} of these, as workers "
            f"each do ({without_operation(str(of_some))}); let each row stand alone, {ALONE}"
        ) from of_some


def check_state(model: keras.Model, parts: list[Any]) -> None:
    """What a layer keeps of a step must be the same whatever its rows are, or be summed by BatchNormalization."""
    names, kept = kept_by_layers(model)
    if not kept:
        return
    before, after = values_of(kept), []
    for part in parts:
        call(model, data_adapter_utils.unpack_x_y_sample_weight(part)[0], training=True)
        after.append(values_of(kept))
        put(kept, before)
    for name, one, other in zip(names, *after, strict=True):
        if not (agree(model, one, other) if one.dtype.kind == "f" else np.array_equal(one, other)):
            after_one, after_others = short(one, other)
            raise RequestError(depends_on_rows(name, f"after one row it is {after_one}, after others {after_others}"))


def check_loss(model: keras.Model, whole: Nest, parts: list[Any], counts: list[int], training: bool) -> None:
    """A ``compute_loss`` of the user's, and what ``add_loss`` was given, must be means over the rows."""

    def loss_of(batch: Nest) -> float:
        with at_rest(model):
            predicted = call(model, data_adapter_utils.unpack_x_y_sample_weight(batch)[0], training=training)
            return own_loss(model, batch, predicted, training)

    of_whole, again, *of_parts = [loss_of(batch) for batch in (whole, whole, *parts)]
    if again != of_whole:
        return  # it draws random numbers: nothing can be compared
    together = sum(loss * count for loss, count in zip(of_parts, counts, strict=True)) / sum(counts)
    if not agree(model, of_whole, together):
        where = "compute_loss" if is_overridden(model, "compute_loss") else "add_loss"
        raise RequestError(
            f"{where}: no mean over the rows: of {sum(counts)} it is {of_whole:.6g}, of 1 and {counts[1]} of them put "
            f"together {together:.6g}, so that it would depend on the number of workers. Let it give a mean, {ALONE}"
        )


def own_loss(model: keras.Model, batch: Nest, predicted: Nest, training: bool) -> float:
    """What of the loss is computed from a worker's rows alone."""
    if not is_overridden(model, "compute_loss"):
        return sum(float(tf.reduce_sum(loss)) for loss in model.losses)
    x, y, sample_weight = data_adapter_utils.unpack_x_y_sample_weight(batch)
    return float(model._compute_loss(x, y, predicted, sample_weight, training=training))


def check_metrics(model: keras.Model, whole: Nest, parts: list[Any], counts: list[int], training: bool) -> None:
    """What layers update their metrics with must be of the rows, a mean over them, or a count, which adds up."""
    of_whole, again, *of_parts = [updates_of(model, batch, training) for batch in (whole, whole, *parts)]
    if any(len(one) != len(of_whole) for one in (again, *of_parts)):
        return
    if not all(np.array_equal(one[2], other[2]) for one, other in zip(of_whole, again, strict=True)):
        return  # random
    for (name, kind, value), *pieces in zip(of_whole, *of_parts, strict=True):
        values = [piece[2] for piece in pieces]
        if kind == "rows":
            together = np.concatenate(values) if values[0].shape[1:] == values[1].shape[1:] else values[0]
        else:
            weighed = [one * count for one, count in zip(values, counts, strict=True)]
            together = np.asarray(sum(weighed) / sum(counts) if kind == "mean" else sum(values))
        if value.shape != together.shape or not agree(model, value, together):
            seen, expected = short(value, together)
            raise RequestError(
                f"the metric {name}: a layer updates it with what is no mean over the rows: of {sum(counts)} it is "
                f"{seen}, of 1 and {counts[1]} of them put together {expected}. Let it be updated with a number for "
                f"each row, or with one of Python's where it is the same whatever the rows are, {ALONE}"
            )


def updates_of(model: keras.Model, batch: Nest, training: bool) -> list[tuple[str, str, np.ndarray]]:
    """What the layers' metrics are updated with in a call: name, how ``Spread.of_all`` takes it, and what it is."""
    found: list[tuple[str, str, np.ndarray]] = []

    def note(metric: Any, *args: object, **named: Any) -> None:
        for path, leaf in keras.tree.flatten_with_path((args, named)):
            if isinstance(leaf, tf.Tensor):
                is_mean = leaf.dtype.is_floating and path[-1] != "sample_weight"
                kind = "rows" if is_dense(leaf) else "mean" if is_mean else "count"
                found.append((metric.name, kind, np.asarray(leaf)))

    with contextlib.ExitStack() as stack:
        for metric in metrics_of(model):
            stack.enter_context(replaced(metric, "update_state", partial(note, metric)))
        outputs_of_model(model, training, batch)
    return found


def check_predictions(model: keras.Model, data: Nest) -> None:
    """RequestError where the outputs of a ``predict_step`` of the user's for a row depend on the other rows."""
    whole = few_rows(data)
    if whole is None or not is_overridden(model, "predict_step"):
        return
    rows = next(int(leaf.shape[0]) for leaf in keras.tree.flatten(whole) if leaf is not None)
    with unchanged(model):
        try:
            parts = [first_rows(whole, 0, 1), first_rows(whole, 1, rows)]
            check_outputs(model, whole, parts, model.predict_step, "predict_step", training=False)
        except RequestError:
            raise
        except Exception:
            return  # what is wrong with it, it will say


def outputs_of_model(model: keras.Model, training: bool, batch: Nest) -> Any:
    with at_rest(model):
        return call(model, data_adapter_utils.unpack_x_y_sample_weight(batch)[0], training=training)


def check_outputs(
    model: keras.Model,
    whole: Nest,
    parts: list[Any],
    compute: Callable[[Nest], Any],
    whose: str,
    training: bool,
) -> None:
    """The outputs for a row must not depend on the other rows, and there must be one for each."""

    def outputs_of(batch: Nest) -> list[np.ndarray]:
        with at_rest(model):
            outputs = compute(batch)
        return [np.asarray(leaf) for leaf in keras.tree.flatten(outputs) if is_dense(leaf)]

    of_whole = outputs_of(whole)
    if not all(np.array_equal(*pair, equal_nan=True) for pair in zip(of_whole, outputs_of(whole), strict=True)):
        return  # random
    of_parts = [np.concatenate(pieces) for pieces in zip(*map(outputs_of, parts), strict=True)]
    for one, other in zip(of_whole, of_parts, strict=True):
        if one.shape != other.shape or not agree(model, one, other):
            when = ", while it trains," if training else ""
            raise RequestError(
                f"the outputs of {whose} for a row depend{when} on the other rows of its batch, which other workers "
                f"have; let each row stand alone, {ALONE}"
            )
