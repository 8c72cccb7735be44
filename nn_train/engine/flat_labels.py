"""Labels that a source has as [N, 1], and a model is given as [N]: Keras' losses and metrics take both for the same.
One of the user's may compute each row with all others."""

from __future__ import annotations

import contextlib

import keras
import numpy as np
import tensorflow as tf

from nn_train.engine.fit.trials import Numbers, agree, at_rest, kept
from nn_train.engine.spreadable import loss_of_rows
from nn_train.engine.steps import Batch, call
from nn_train.engine.strategy import Replicas
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
