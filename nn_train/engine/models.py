"""The built-in models, and what a user's own must have in common with them.

Both built-in models end in ``Dense(C, name="logits")`` and a float32 softmax, so that a saved model opens
with plain Keras, gives probabilities, and still shows its logits to an evaluation.
"""

from __future__ import annotations

from typing import Any

import keras

from nn_train.config import ModelConfig
from nn_train.errors import RequestError

DEFAULT_DROPOUT = {"mlp": 0.2, "cnn": 0.0}


def build_model(settings: ModelConfig, input_shape: object, num_classes: int | None) -> keras.Model:
    """Return a new built-in model for examples of ``input_shape`` (without N), uncompiled.

    Raises:
        RequestError: it does not fit the examples.
    """
    if num_classes is None or not isinstance(input_shape, tuple):
        raise RequestError(
            f"model.name: {settings.name} needs one input array and class labels [N]; this data has several inputs "
            "or other targets, so give your own model as module:function"
        )
    if num_classes < 2:
        raise RequestError(f"model.name: {settings.name} needs two classes or more, and all labels of this data are 0")
    return (build_mlp if settings.name == "mlp" else build_cnn)(settings, input_shape, num_classes)


def build_mlp(settings: ModelConfig, input_shape: tuple[int, ...], num_classes: int) -> keras.Model:
    """Flatten, Dense ``hidden_units``, Dropout, Dense ``num_classes`` with softmax."""
    layers = [keras.layers.Flatten()]
    return assemble("mlp", input_shape, [*layers, *head(settings, num_classes)])


def build_cnn(settings: ModelConfig, input_shape: tuple[int, ...], num_classes: int) -> keras.Model:
    """Conv 32 3×3, MaxPool 2, Conv 64 3×3, MaxPool 2, Flatten, then the same head as the MLP."""
    if len(input_shape) != 3 or min(input_shape[:2]) < 10:
        raise RequestError(
            f"model.name: cnn needs images [N, H, W, C] of at least 10×10; these examples have shape {input_shape}"
        )
    layers: list[Any] = []
    for filters in (32, 64):
        layers += [
            keras.layers.Conv2D(filters, 3, activation=settings.activation, kernel_regularizer=penalty(settings)),
            keras.layers.MaxPooling2D(2),
        ]
    return assemble("cnn", input_shape, [*layers, keras.layers.Flatten(), *head(settings, num_classes)])


def head(settings: ModelConfig, num_classes: int) -> list[Any]:
    """The hidden dense layer, dropout where asked, and the logits."""
    rate = dropout_rate(settings)
    hidden = keras.layers.Dense(
        settings.hidden_units, activation=settings.activation, kernel_regularizer=penalty(settings)
    )
    dropout = [keras.layers.Dropout(rate)] if rate else []
    return [hidden, *dropout, keras.layers.Dense(num_classes, kernel_regularizer=penalty(settings), name="logits")]


def dropout_rate(settings: ModelConfig) -> float:
    """The share of units that a built-in model drops."""
    return DEFAULT_DROPOUT[settings.name] if settings.dropout is None else settings.dropout


def penalty(settings: ModelConfig) -> Any:
    """A new regulariser for one kernel, or None."""
    return keras.regularizers.L2(settings.l2) if settings.l2 else None


def assemble(name: str, input_shape: tuple[int, ...], layers: list[Any]) -> keras.Model:
    """A functional model. Softmax is float32 also in mixed precision: in float16 small probabilities vanish."""
    inputs = keras.Input(input_shape, name="examples")
    outputs = inputs
    for layer in layers:
        outputs = layer(outputs)
    outputs = keras.layers.Activation("softmax", dtype="float32", name="probabilities")(outputs)
    return keras.Model(inputs, outputs, name=name)


def gives_probabilities(model: keras.Model, binary: bool = False) -> bool:
    """Whether the last layer of a model with one output ends in softmax; ``binary``: or in a sigmoid."""
    last = model.layers[-1] if model.layers else None
    ends = {keras.activations.softmax, *([keras.activations.sigmoid] if binary else [])}
    return isinstance(last, keras.layers.Softmax) or getattr(last, "activation", None) in ends


def check_outputs(model: keras.Model, num_classes: int | None, labels_are_one_hot: bool) -> None:
    """Raise RequestError when a classifier's output cannot hold the labels of the data."""
    shape = getattr(model, "output_shape", None)
    own_loss = model.compiled and (not isinstance(shape, tuple) or len(shape) != 2 or shape[-1] == 1)
    if num_classes is None or own_loss:
        return  # several outputs, a binary score or a target of another kind: the user's own loss judges it
    if not isinstance(shape, tuple) or len(shape) != 2 or shape[-1] is None:
        raise RequestError(
            f"model.name: the model's outputs have shape {shape}; for class labels [N, {num_classes}] is expected "
            "(or compile the model with a loss of its own)"
        )
    too_small = shape[-1] < num_classes
    if too_small or (labels_are_one_hot and shape[-1] != num_classes):
        raise RequestError(
            f"model.name: the model gives {shape[-1]} outputs, but the labels need {num_classes} "
            f"(0 to {num_classes - 1})"
        )
