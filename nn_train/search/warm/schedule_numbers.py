"""The numbers of a learning-rate schedule that a traced graph can read from variables.

The arithmetic is that of the constants they replace, so that a trial ends with the same bits as a run of its config.
TensorFlow folds constants into each other, which rounds them in another way than variables: but not within a branch,
nor the factor of something that is no product.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

FACTOR = "initial_learning_rate"
WITH_FACTOR = ("CosineDecay", "CosineDecayRestarts", "ExponentialDecay", "InverseTimeDecay", "PolynomialDecay")
OF_WARMUP = ("warmup_target", "warmup_steps", "decay_steps")  # of a CosineDecay, which has a branch for it
NAMES = {FACTOR, *OF_WARMUP}


def names_of(optimizer: keras.optimizers.Optimizer) -> tuple[str, ...]:
    """Of the attributes of the schedule of an optimizer, where it has one of Keras'."""
    rate: Any = getattr(optimizer, "_learning_rate", None)
    names: tuple[str, ...] = ()
    if type(rate) in [getattr(keras.optimizers.schedules, name) for name in WITH_FACTOR]:
        names = (FACTOR,) if getattr(rate, "warmup_target", None) is None else OF_WARMUP
    if names == (FACTOR,) and (optimizer.weight_decay or type(rate.initial_learning_rate) is not float):
        return ()  # the decay is a factor too; and Keras computes in the dtype of the rate
    return tuple(name for name in names if isinstance(getattr(rate, name), int | float))


def numbers_of_schedule(optimizer: keras.optimizers.Optimizer) -> tuple[float, ...]:
    return tuple(getattr(optimizer._learning_rate, name) for name in names_of(optimizer))


def numbers_to_variables(optimizer: keras.optimizers.Optimizer) -> dict[str, tf.Variable]:
    """Replace these numbers of a schedule by variables; returns them by name."""
    variables, rate = {}, optimizer._learning_rate
    for name in names_of(optimizer):
        variables[name] = tf.Variable(float(getattr(rate, name)), dtype=keras.config.floatx(), trainable=False)
        setattr(rate, name, variables[name])
    return variables
