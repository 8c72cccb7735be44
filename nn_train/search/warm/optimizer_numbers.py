"""The numbers of an optimizer that can be set without tracing a graph again: rate, weight decay, those of a schedule.

TensorFlow folds constants into each other, which rounds them in another way than variables: but not within a branch,
nor in a sum, nor the factor of something that is no product.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf
from keras.optimizers import schedules

from nn_train.search.warm.layer_numbers import SettableNumber

OF_COSINE = ("warmup_target", "warmup_steps", "decay_steps")  # it has a branch for the warm-up


class ConstantRate(SettableNumber):
    """A learning rate without a schedule, which Keras keeps in a variable of the optimizer's."""

    def __init__(self, optimizer: keras.optimizers.Optimizer) -> None:
        super().__init__(optimizer, "learning_rate")

    def make_settable(self) -> None:
        pass

    def set(self, value: float) -> None:
        self.owner.learning_rate = value


def plain(optimizer: Any) -> Any:
    """The optimizer within one that scales the loss."""
    return getattr(optimizer, "inner_optimizer", optimizer)


def numbers_of_optimizer(optimizer: keras.optimizers.Optimizer) -> list[SettableNumber]:
    """Those of an optimizer that the user's function has made."""
    return [ConstantRate(optimizer)] * has_constant_rate(optimizer) + decay_of(optimizer)


def decay_of(optimizer: keras.optimizers.Optimizer) -> list[SettableNumber]:
    """Its weight decay, if it has one."""
    return [SettableNumber(optimizer, "weight_decay")] if optimizer.weight_decay else []


def has_constant_rate(optimizer: keras.optimizers.Optimizer) -> bool:
    return isinstance(optimizer.get_config()["learning_rate"], float)


def description(optimizer: keras.optimizers.Optimizer) -> str:
    """All that an optimizer is but for ``numbers_of_optimizer``."""
    told = {**optimizer.get_config(), "weight_decay": bool(optimizer.weight_decay)}
    return repr({**told, "learning_rate": None} if has_constant_rate(optimizer) else told)


def schedule_to_variables(optimizer: keras.optimizers.Optimizer, rate: Any) -> dict[str, tf.Variable]:
    """Give an optimizer the schedule ``rate`` with its numbers as variables; returns them by name."""
    names: tuple[str, ...] = OF_COSINE if type(rate) is schedules.CosineDecay else ()
    if type(rate) is schedules.ExponentialDecay and not optimizer.weight_decay:  # which is a factor too
        names = ("initial_learning_rate",)
    variables = {}
    for name in names:
        variables[name] = tf.Variable(float(getattr(rate, name)), dtype=keras.config.floatx(), trainable=False)
        setattr(rate, name, variables[name])
    if variables:
        optimizer.learning_rate = rate
    return variables
