"""The numbers of a learning-rate schedule that a traced graph can read from variables.

The arithmetic is that of the constants they replace, so that a trial ends with the same bits as a run of its config.
TensorFlow folds constants into each other, which rounds them in another way than variables: but not within a branch,
nor the factor of something that is no product.
"""

from __future__ import annotations

import keras
import tensorflow as tf

FACTOR = "initial_learning_rate"
WITH_FACTOR = ("CosineDecay", "CosineDecayRestarts", "ExponentialDecay", "InverseTimeDecay", "PolynomialDecay")
OF_WARMUP = ("warmup_target", "warmup_steps", "decay_steps")  # of a CosineDecay, which has a branch for it
NAMES = {FACTOR, *OF_WARMUP}


def names_of(rate: object) -> tuple[str, ...]:
    """Of the attributes of a schedule of Keras'; none for a rate that is no schedule."""
    names: tuple[str, ...] = ()
    if type(rate) in [getattr(keras.optimizers.schedules, name) for name in WITH_FACTOR]:
        names = (FACTOR,) if getattr(rate, "warmup_target", None) is None else OF_WARMUP
    return tuple(name for name in names if isinstance(getattr(rate, name), int | float))


def numbers_of_schedule(rate: object) -> tuple[float, ...]:
    return tuple(getattr(rate, name) for name in names_of(rate))


def numbers_to_variables(rate: object) -> dict[str, tf.Variable]:
    """Replace these numbers of a schedule by variables; returns them by name."""
    variables = {}
    for name in names_of(rate):
        variables[name] = tf.Variable(float(getattr(rate, name)), dtype=keras.config.floatx(), trainable=False)
        setattr(rate, name, variables[name])
    return variables
