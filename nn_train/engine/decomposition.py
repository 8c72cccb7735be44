"""Losses and metrics whose value for a global batch is the weighted mean, or the sum, of what its shards give."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from nn_train.engine.model_state import metrics_of
from nn_train.engine.tensors import Nest

MEANS = {"mean", "sum_over_batch_size"}
OF_THE_BATCH = {"dice", "tversky", "circle"}  # Keras' losses that are no mean over the examples
CALLS_OTHERS = {"Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer", "MixUp", "CutMix"}


def decomposes(model: keras.Model, outputs: Nest) -> bool:
    """Return whether loss and metrics of a compiled model may be put together from shards, by what Keras says of them.

    Args:
        model: compiled.
        outputs: of some rows. With a mask the mean is one over the valid positions.
    """
    losses = [loss for loss in tf.nest.flatten(model.loss) if loss is not None]
    return (
        all(getattr(loss, "reduction", "mean") in MEANS for loss in losses)
        and all(getattr(loss, "ignore_class", None) is None for loss in losses)
        and not {name_of(loss) for loss in losses} & OF_THE_BATCH
        and not sums_penalties(model)
        and all(getattr(output, "_keras_mask", None) is None for output in tf.nest.flatten(outputs))
    )


def name_of(loss: Any) -> str:
    function = keras.losses.get(loss)
    return str(getattr(getattr(function, "fn", function), "__name__", type(function).__name__))


def sums_penalties(model: keras.Model) -> bool:
    """Return whether activity penalties are sums over the rows: so before Keras 3.14."""
    averages = tuple(int(part) for part in keras.__version__.split(".")[:2]) >= (3, 14)
    penalised = any(getattr(layer, "activity_regularizer", None) is not None for layer in model._flatten_layers())
    return penalised and not averages


def is_of_keras(model: keras.Model) -> bool:
    """Return whether model, layers, losses and metrics are Keras' own, or ours.

    Of these BatchNormalization alone looks at other rows.
    """
    layers = model._flatten_layers(include_self=False)
    kinds = {type(model), *(type(layer) for layer in layers)}
    functions = [value for layer in layers for value in vars(layer).values() if callable(value)]
    own_calls = {kind.__name__ for kind in kinds} & CALLS_OTHERS
    return not own_calls and all(map(comes_from_keras, [*kinds, *functions])) and is_judged_by_keras(model)


def is_judged_by_keras(model: keras.Model) -> bool:
    """Return whether losses and metrics are Keras' own, of which is known what they are of a batch."""
    losses = [keras.losses.get(loss) for loss in tf.nest.flatten(getattr(model, "loss", None)) if loss is not None]
    metrics = [one for metric in metrics_of(model) for one in getattr(metric, "metrics", None) or [metric]]
    wrapped = [getattr(one, name, None) for one in [*losses, *metrics] for name in ("fn", "_fn")]
    return all(comes_from_keras(one) for one in [*losses, *metrics, *wrapped] if one is not None)


def comes_from_keras(one: Any) -> bool:
    module = one.__module__ if isinstance(one, type) or hasattr(one, "__qualname__") else type(one).__module__
    return str(module).partition(".")[0] in ("keras", "nn_train")
