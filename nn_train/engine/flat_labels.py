"""Labels that a source has as [N, 1], and a model is given as [N]: Keras' losses and metrics take both for the same.
One of the user's may compute each row with all others."""

from __future__ import annotations

import contextlib

import keras
import numpy as np
import tensorflow as tf

from nn_train.engine.fit.draws import without_chance
from nn_train.engine.fit.own_steps import outcome
from nn_train.engine.fit.steps import is_overridden
from nn_train.engine.fit.trials import Numbers, agree, at_rest, difference, kept, unchanged
from nn_train.engine.spreadable import loss_of_rows
from nn_train.engine.steps import Batch, call
from nn_train.engine.strategy import Replicas
from nn_train.engine.tensors import Nest
from nn_train.errors import RequestError


def refuse_flat_labels(model: keras.Model, batch: Batch, replicas: Replicas) -> None:
    """Raise RequestError where loss or metrics differ.

    Args:
        model: compiled by the user.
        batch: some rows, with labels [n].
        replicas: of the strategy in whose scope the model was made.
    """
    found: list[Numbers] = []
    for labels in (batch[1], batch[1][:, tf.newaxis]):
        with contextlib.suppress(Exception):  # what is wrong with it, its step will say
            found.append(replicas.strategy.run(lambda y=labels: numbers_of(model, (batch[0], y, batch[2]))))
    if len(found) < 2 or found[0].keys() != found[1].keys():
        return
    for name, value in found[0].items():
        other = found[1][name]
        if np.shape(value) != np.shape(other) or not agree(model, value, other):
            raise RequestError(
                f"data.source: labels [N, 1] are given to the model as [N], and its {name} is then "
                f"{np.array2string(value, precision=4)} and not {np.array2string(other, precision=4)}. Let it "
                "take labels [N] (y[:, None] within), or give them as float32, which stay as they are"
            )


def refuse_flat_labels_in_steps(model: keras.Model, batch: Nest) -> None:
    """Raise RequestError where a step of the user's own makes something else of them.

    Args:
        model: of plain variables, which are the same afterwards.
        batch: some rows as its steps get them, with labels [n].
    """
    x, labels, *weight = batch
    in_columns = (x, labels[:, tf.newaxis], *weight)
    for name in (name for name in ("train_step", "test_step") if is_overridden(model, name)):
        found: list[Numbers] = []
        with unchanged(model), without_chance(), contextlib.suppress(Exception):  # of which it tells itself
            found += [outcome(model, getattr(model, name), rows) for rows in (batch, batch, batch, in_columns)]
        # The first makes what is missing. Where two of the same differ numbers are drawn, and nothing can be compared.
        if len(found) < 4 or difference(model, found[1], found[2]):
            continue
        if differs := difference(model, found[2], found[3], ("of these", "of [N, 1]")):
            raise RequestError(
                f"data.source: labels [N, 1] are given to the model as [N], of which its {name} makes something "
                f"else: {differs}. Let it take labels [N] (y[:, None] within), or give them as float32, which "
                "stay as they are"
            )


def numbers_of(model: keras.Model, batch: Batch) -> Numbers:
    """Its loss and its metrics."""
    x, y, weight = batch
    with at_rest(model), kept(model.metrics_variables):
        predicted = call(model, x, training=False)
        loss = np.asarray(loss_of_rows(model, batch, predicted, False))
        model.reset_metrics()
        model.compute_metrics(x, y, predicted, weight)
        told = keras.tree.flatten_with_path(model.get_metrics_result())
    return {"loss": loss} | {str(path[-1]): np.asarray(value) for path, value in told if path[-1] != "loss"}
