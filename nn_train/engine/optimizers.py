"""Optimizers, learning-rate schedules and losses by their names in a config.

Only Keras' own classes: a saved model then opens without this package.
"""

from __future__ import annotations

import inspect
from typing import Any

import keras

from nn_train.config import OptimizerConfig, TrainConfig
from nn_train.engine.keras_names import keras_class
from nn_train.engine.metrics import make_metrics
from nn_train.engine.models import gives_probabilities
from nn_train.errors import RequestError, first_line

OF_PROBABILITIES = ("KLDivergence", "Poisson", "CategoricalGeneralizedCrossEntropy", "Dice", "Tversky")


def compile_model(
    model: keras.Model,
    optimizer: OptimizerConfig,
    train: TrainConfig,
    total_steps: int | None,
    one_hot: bool = False,
    numbers: bool = False,
) -> None:
    """Compile ``model`` as the job says, unless it came compiled: then its own choices are kept.

    Args:
        model: with one output ``[N, C]``.
        optimizer, train: sections of the job.
        total_steps: steps of the whole training, None when the data does not tell.
        one_hot: whether the loss is given a number for each output instead of class labels.
        numbers: whether the targets are those of a regression.
    """
    if model.compiled:
        return
    loss, metrics = make_loss(train.loss, model, one_hot), make_metrics(train, model, one_hot, numbers)
    # Keras wraps the optimizer in dynamic loss scaling by itself when the policy is mixed_float16.
    model.compile(make_optimizer(optimizer, total_steps), loss, metrics=metrics, jit_compile=False)


def make_loss(name: str, model: keras.Model, one_hot: bool) -> keras.losses.Loss:
    """The loss that a job names. Where it can be told, it is told whether it gets logits."""
    if name == "cross_entropy" and one_hot:
        name = "CategoricalCrossentropy"
    made = keras_class("train.loss", "losses", name)
    if made.__name__ in OF_PROBABILITIES and not gives_probabilities(model, binary=True):
        raise RequestError(
            f"train.loss: {made.__name__} takes probabilities, and the model gives none that can be told; let it end "
            "in a softmax, or compile it with its loss in its function"
        )
    if "from_logits" not in inspect.signature(made).parameters:
        return made()
    return made(from_logits=not gives_probabilities(model, binary=made.__name__.startswith("Binary")))


def make_optimizer(settings: OptimizerConfig, total_steps: int | None) -> keras.optimizers.Optimizer:
    """The optimizer that a job names. RequestError when Keras refuses its arguments."""
    made = keras_class("optimizer.name", "optimizers", settings.name)
    try:
        return made(learning_rate=learning_rate(settings, total_steps), **settings.args)
    except (TypeError, ValueError) as error:
        raise RequestError(f"optimizer.args: Keras refuses them for {made.__name__}: {first_line(error)}") from error


def learning_rate(settings: OptimizerConfig, total_steps: int | None) -> Any:
    """A constant, or a Keras schedule from the step (from 0) to the learning rate.

    exponential: ``learning_rate * decay_rate ** (step / decay_steps)``;
    cosine: from ``learning_rate`` to 0 over ``decay_steps`` after the warm-up.
    """
    rate, warmup = settings.learning_rate, settings.warmup_steps
    if settings.schedule == "exponential":
        return keras.optimizers.schedules.ExponentialDecay(rate, settings.decay_steps or 10_000, settings.decay_rate)
    # Also without a warm-up in the form that has one: its arithmetic lies in a branch, where TensorFlow does not
    # fold constants into it. So a search, which gives the numbers as variables, computes the same bits.
    warm = {"initial_learning_rate": 0.0, "warmup_target": rate, "warmup_steps": warmup}
    if settings.schedule == "cosine":
        decay_steps = settings.decay_steps or max((total_steps or 10_000) - warmup, 1)
        return keras.optimizers.schedules.CosineDecay(decay_steps=decay_steps, **warm)
    if warmup:  # alpha=1: after the warm-up the cosine stays at its target
        return keras.optimizers.schedules.CosineDecay(decay_steps=1, alpha=1.0, **warm)
    return rate
