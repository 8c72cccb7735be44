"""In which form loss and metrics get the targets: labels as whole numbers [N], or one-hot, a number for each output
[N, C]; the numbers of a regression as they are."""

from __future__ import annotations

from dataclasses import dataclass

import keras
import tensorflow as tf

from nn_train.config import TrainConfig
from nn_train.engine.keras_names import keras_class
from nn_train.engine.metrics import only_one_hot
from nn_train.engine.tensors import Nest
from nn_train.errors import RequestError

OF_CLASSES = ("cross_entropy", "CategoricalGeneralizedCrossEntropy")
OF_LABELS = ("SparseCategoricalCrossentropy", "CategoricalGeneralizedCrossEntropy")  # losses of whole numbers


@dataclass(frozen=True)
class LabelForm:
    """Attributes:
    one_hot: whether the loss and the metrics are given a number for each output.
    depth: C, where these are made from whole numbers.
    numbers: whether the targets are those of a regression, of which no accuracy is counted.
    """

    one_hot: bool
    depth: int | None
    numbers: bool = False


def label_form(train: TrainConfig, model: keras.Model, y: Nest) -> LabelForm:
    """What the loss and the metrics of a model are given of the targets ``y``.

    Raises:
        RequestError: the loss needs another form than they have.
    """
    shape = getattr(model, "output_shape", None)
    outputs = shape[-1] if isinstance(shape, tuple) and shape and isinstance(shape[-1], int) else None
    if model.compiled:  # whose loss decides, but for one that the job names too
        ours = train.loss == "mse" and isinstance(model.loss, keras.losses.MeanSquaredError)
        return LabelForm(one_hot=False, depth=outputs if ours else None)
    whole = tf.is_tensor(y) and y.dtype.is_integer
    for_each_output = tf.is_tensor(y) and isinstance(shape, tuple) and tuple(y.shape[1:]) == shape[1:]
    loss = train.loss
    if keras_class("train.loss", "losses", loss).__name__ in OF_LABELS:
        if for_each_output and outputs != 1 and loss != "cross_entropy":
            raise refusal(loss, "class labels [N]", y, "take CategoricalCrossentropy")
        needing = only_one_hot(train.metrics)
        if whole and not for_each_output and needing and outputs not in (None, 1):
            if loss != "cross_entropy":
                wanted = f"{needing[0]} takes a number for each output, {loss} labels"
                raise RequestError(f"train.metrics: {wanted}: take the loss cross_entropy, or leave the metric out")
            return LabelForm(one_hot=True, depth=outputs)
        return LabelForm(one_hot=bool(for_each_output and outputs != 1), depth=None)
    if outputs in (None, 1) or not (whole or for_each_output):
        wanted = "class labels [N] or a number for each output [N, C], of at least two outputs"
        raise refusal(
            loss,
            wanted,
            y,
            "give these; or compile the model with its loss in its function; or, for a regression, set evaluation.task",
        )
    return LabelForm(one_hot=True, depth=None if for_each_output else outputs)


def number_form(train: TrainConfig, model: keras.Model, y: Nest) -> LabelForm:
    """The same of a regression, whose targets are given as they are.

    Raises:
        RequestError: the loss that the job names is one of classes, or the outputs are not as many as the targets.
    """
    if model.compiled:
        return LabelForm(one_hot=False, depth=None, numbers=True)
    if train.loss in OF_CLASSES or keras_class("train.loss", "losses", train.loss).__name__.endswith("entropy"):
        raise refusal(train.loss, "class labels", y, "for a regression take mse, mae or Huber")
    shape, outputs = getattr(y, "shape", None), getattr(model, "output_shape", ())
    columns = 1 if shape is not None and len(shape) == 1 else shape[-1] if shape is not None else None
    if not isinstance(outputs, tuple) or len(outputs) != 2 or outputs[-1] != columns:
        wanted = "a number, or K numbers, for each example, as many as the model gives"
        raise refusal(train.loss, wanted, y, f"the model's outputs have shape {outputs}")
    return LabelForm(one_hot=False, depth=None, numbers=True)


def refusal(loss: str, wanted: str, y: Nest, advice: str) -> RequestError:
    given = [f"{leaf.dtype.name} {['N', *leaf.shape[1:]]}".replace("'", "") for leaf in tf.nest.flatten(y)]
    return RequestError(f"train.loss: {loss} takes {wanted}; the targets are {', '.join(given)}: {advice}")


def one_hot(y: Nest, depth: int | None) -> Nest:
    """Labels [N] or [N, 1] as one-hot [N, ``depth``]; as they are without a depth."""
    if depth is None:
        return y
    return tf.one_hot(tf.squeeze(y, -1) if y.shape.rank == 2 and y.shape[-1] == 1 else y, depth)
