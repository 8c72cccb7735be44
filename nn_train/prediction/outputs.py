"""What the numbers are that a model gives for an example: logits, probabilities, or no scores of classes.

The last layer says so, or else, of a single number, the loss that the model was trained with; and where neither does,
the numbers of all examples together.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nn_train.errors import RequestError
from nn_train.evaluation.scores import log_probabilities

LOGITS, PROBABILITIES = "logits", "log_probabilities"
LINEAR = "linear"  # a last layer without activation
NUMBERS = "numbers"  # no scores, such as those of a regression
UNKNOWN = "unknown"
LIKELY = "likely"  # probabilities by the loss, which may have been chosen for logits by mistake
UNSETTLED = (UNKNOWN, LIKELY)
MARGINS = ("hinge", "squaredhinge")  # losses of scores that are positive for class 1
TOLERANCE = 1e-3  # of a probability, and of a sum of some, in half precision
OF_PROBABILITIES = ("dice", "tversky")


def logits_model(model: Any) -> tuple[Callable[[Any], Any], str]:
    """A function from inputs to pre-activations, and what they are by the last layer.

    A softmax, or a sigmoid of one number, that is the last layer, or the activation of the last layer, is left out:
    ``LOGITS``. One without activation is ``LINEAR``. Sigmoids of several numbers, and an activation of a layer that is
    called elsewhere in the model too, stay: ``PROBABILITIES``. A model that hides its layers, or ends in something
    else, gives what it gives: ``UNKNOWN``.
    """
    import keras
    import tensorflow as tf

    outputs = getattr(model, "outputs", None) or []
    if len(outputs) > 1:
        raise RequestError(f"the model has {len(outputs)} outputs, and only one can be looked at")
    squashing = (keras.activations.softmax, keras.activations.sigmoid)
    kind = UNKNOWN
    if outputs:
        last, node = outputs[0]._keras_history.operation, outputs[0]._keras_history.node_index
        activation = getattr(last, "activation", None)
        if isinstance(last, keras.layers.Softmax):
            model, kind = keras.Model(model.inputs, last._inbound_nodes[node].input_tensors[0]), LOGITS
        elif activation in squashing:
            is_score = activation is keras.activations.softmax or outputs[0].shape[-1] == 1
            kind = LOGITS if is_score and len(last._inbound_nodes) == 1 else PROBABILITIES
            last.activation = keras.activations.linear if kind == LOGITS else activation
        elif activation is keras.activations.linear:
            kind = LINEAR
    return tf.function(lambda x: model(x, training=False), reduce_retracing=True, autograph=False), kind


def kind_of_outputs(by_layer: str, by_loss: str, columns: int, classes: int | None) -> str:
    """``LOGITS``, ``PROBABILITIES``, ``NUMBERS``, or, where all numbers are to decide it, ``LIKELY`` or ``UNKNOWN``.

    Args:
        by_layer: of ``logits_model``.
        by_loss: of ``kind_by_loss``.
        columns: numbers for each example.
        classes: how many the run was trained on, where that is known.
    """
    if columns > 1:
        of_loss = LIKELY if by_loss == PROBABILITIES else UNKNOWN  # with from_logits a softmax may have been forgotten
        return {UNKNOWN: of_loss, PROBABILITIES: PROBABILITIES}.get(by_layer, LOGITS)
    if classes is not None and classes > 2:
        return NUMBERS
    if by_layer == LOGITS or (by_layer == LINEAR and by_loss == UNKNOWN):
        return LOGITS
    return PROBABILITIES if by_layer == PROBABILITIES else by_loss


@dataclass(frozen=True)
class SavedLoss:
    """The loss that a saved model was compiled with.

    Attributes:
        name: of a class or function of Keras', in small letters without ``_``; empty where there are several or none,
            or it is the user's own: of a function only the name is saved, which may be that of one of Keras'.
        from_logits: whether it takes logits; None where it does not say so.
    """

    name: str = ""
    from_logits: bool | None = None


def loss_of(content: bytes) -> SavedLoss:
    """The loss of a model; ``content``: of ``model.keras``."""
    import keras

    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        loss = (json.loads(archive.read("config.json")).get("compile_config") or {}).get("loss")
    while isinstance(loss, list | dict) and len(loss) == 1:
        loss = loss[0] if isinstance(loss, list) else next(iter(loss.values()))
    told = None
    if isinstance(loss, dict):
        settings = loss.get("config")
        told = settings.get("from_logits") if isinstance(settings, dict) else None
        loss = loss.get("class_name") if loss.get("registered_name") is None else None
    known = None
    if isinstance(loss, str):
        with contextlib.suppress(ValueError):  # not one of Keras'
            known = keras.losses.get(loss)
    if known is None:
        return SavedLoss(from_logits=told)
    function = known if inspect.isfunction(known) else type(known)
    if told is None and "from_logits" in inspect.signature(function).parameters:
        told = False  # the default of those that are named by a text
    return SavedLoss(function.__name__.lower().replace("_", ""), told)


def kind_by_loss(loss: SavedLoss) -> str:
    """What a loss takes a single number for; ``UNKNOWN`` of several losses and of the user's own."""
    if loss.from_logits is not None:
        return LOGITS if loss.from_logits else PROBABILITIES
    if loss.name in OF_PROBABILITIES:
        return PROBABILITIES
    return LOGITS if loss.name in MARGINS else NUMBERS if loss.name else UNKNOWN


def as_columns(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """[n, C] as it is; one score z an example as the two columns 0 and z."""
    values = values.reshape(len(values), -1)
    return np.concatenate([np.zeros_like(values), values], axis=1) if values.shape[1] == 1 else values


def are_probabilities(values: NDArray[np.float32]) -> bool:
    """Whether the rows [n, C] of a model that does not tell are probabilities: within 0 and 1, of a sum of 1."""
    return bool(values.min() >= 0 and np.allclose(values.sum(axis=1, dtype=np.float64), 1.0, atol=TOLERANCE))


def settled(kind: str, values: NDArray[np.float32]) -> str:
    """``LOGITS`` or ``PROBABILITIES``: what is ``UNSETTLED`` is decided by the values [n, K], which should be those of
    all examples."""
    if kind not in UNSETTLED:
        return kind
    within = (values.shape[1] == 1 or kind == LIKELY) and values.min() >= 0 and values.max() <= 1 + TOLERANCE
    return PROBABILITIES if within or are_probabilities(values) else LOGITS


def class_scores(kind: str, values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Logits, or logarithms of probabilities, float32 [n, C] with C at least 2, of values [n, K] that are settled."""
    return log_probabilities(of_two_classes(values)) if kind == PROBABILITIES else as_columns(values)


def class_probabilities(kind: str, values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Float32 [n, C] with C at least 2, of values [n, K] that are settled. What is nearly a probability is divided by
    its sum, as Keras' categorical cross-entropies do."""
    if kind == PROBABILITIES:
        given = np.maximum(of_two_classes(values), np.finfo(np.float32).tiny)
        sums = given.sum(axis=1, keepdims=True, dtype=np.float64)
        return np.where(np.abs(sums - 1) <= 1e-6, of_two_classes(values), given / sums).astype(np.float32)
    logits = as_columns(values).astype(np.float64)
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (shares / shares.sum(axis=1, keepdims=True)).astype(np.float32)


def of_two_classes(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """[n, C] as it is; one probability p an example as the two columns 1 - p and p."""
    if values.shape[1] > 1:
        return values
    second = np.clip(values, 0, 1)  # as Keras' losses take it
    return np.concatenate([1 - second, second], axis=1)


def settled_scores(kind: str, columns: NDArray[np.float32]) -> tuple[NDArray[np.float32], str]:
    """``class_scores`` and what they are, of ``UNSETTLED`` values of all examples of which ``as_columns`` was made."""
    is_score = columns.shape[1] == 2 and not columns[:, 0].any()
    values = columns[:, 1:] if is_score else columns
    kind = settled(kind, values)
    return class_scores(kind, values), kind
