"""Optimizers, learning-rate schedules, losses and metrics by their names in a config.

Only Keras' own classes: a saved model then opens without this package.
"""

from __future__ import annotations

from typing import Any

import keras

from nn_train.config import Config
from nn_train.config.keras_names import class_named
from nn_train.config.schema import OptimizerConfig
from nn_train.engine.models import ends_in_softmax
from nn_train.errors import RequestError, first_line


def compile_model(model: keras.Model, config: Config, total_steps: int | None) -> None:
    """Compile ``model`` as the config says, unless it came compiled: then its own choices are kept.

    Args:
        model: a classifier with one output ``[N, C]``.
        config: the job.
        total_steps: steps of the whole training, None when the data does not tell.
    """
    if model.compiled:
        return
    if config.train.loss == "mse":
        loss: Any = keras.losses.MeanSquaredError()
        accuracy: Any = keras.metrics.CategoricalAccuracy(name="accuracy")
    else:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=not ends_in_softmax(model))
        accuracy = keras.metrics.SparseCategoricalAccuracy(name="accuracy")
    # Keras wraps the optimizer in dynamic loss scaling by itself when the policy is mixed_float16.
    model.compile(
        optimizer=make_optimizer(config.optimizer, total_steps), loss=loss, metrics=[accuracy], jit_compile=False
    )


def make_optimizer(settings: OptimizerConfig, total_steps: int | None) -> keras.optimizers.Optimizer:
    """The optimizer that a job names. RequestError when Keras refuses its arguments."""
    name = class_named("optimizers", settings.name)
    made = getattr(keras.optimizers, name, None)
    if made is None:  # the job was checked where Keras is not found, or is another
        raise RequestError(f"optimizer.name: Keras {keras.__version__} has no optimizer {name!r}")
    try:
        return made(learning_rate=learning_rate(settings, total_steps), **settings.args)
    except (TypeError, ValueError) as error:
        raise RequestError(f"optimizer.args: Keras refuses them for {name}: {first_line(error)}") from error


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
