"""The numbers of a learning-rate schedule that a traced graph can read from variables.

The arithmetic is that of the constants they replace, so that a trial ends with the same bits as a run of its config.
TensorFlow folds constants into each other, which rounds them in another way than variables: but not within a branch,
nor in a sum, nor the factor of something that is no product.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import keras
import tensorflow as tf
from keras.optimizers import schedules

from nn_train.search.warm.known_parts import is_keras

FACTOR = "initial_learning_rate"
WITH_FACTOR = ("CosineDecay", "CosineDecayRestarts", "ExponentialDecay", "InverseTimeDecay", "PolynomialDecay")
OF_WARMUP = ("warmup_target", "warmup_steps", "decay_steps")  # of a CosineDecay, which has a branch for it
STEPS = "values"  # of a PiecewiseConstantDecay, which adds them up, all but one of them times 0


def numbers_of_schedule(optimizer: keras.optimizers.Optimizer) -> dict[str, float]:
    """By their names, where an optimizer has a schedule of Keras'; ``values 0``, ``values 1``, … of a list."""
    rate: Any = getattr(optimizer, "_learning_rate", None)
    if type(rate) is schedules.PiecewiseConstantDecay:
        are_floats = all(type(value) is float for value in rate.values)
        return {f"{STEPS} {at}": value for at, value in enumerate(rate.values)} if are_floats else {}
    if type(rate) not in [getattr(schedules, name) for name in WITH_FACTOR]:
        return {}
    if getattr(rate, "warmup_target", None) is not None:
        return {name: getattr(rate, name) for name in OF_WARMUP if isinstance(getattr(rate, name), int | float)}
    if optimizer.weight_decay or not is_keras(type(optimizer).__module__):
        return {}  # the decay is a factor too, and the user's optimizer may have one
    if type(rate.initial_learning_rate) is not float:
        return {}  # Keras computes in its dtype
    return {FACTOR: rate.initial_learning_rate}


def attributes_of(names: Iterable[str]) -> set[str]:
    """The attributes of a schedule in which numbers of these names are."""
    return {name.partition(" ")[0] for name in names}


def put(rate: Any, numbers: Mapping[str, Any]) -> None:
    """Give a schedule other numbers, or what stands for them."""
    for name in attributes_of(numbers):
        setattr(rate, name, list(numbers.values()) if name == STEPS else numbers[name])


def numbers_to_variables(optimizer: keras.optimizers.Optimizer) -> dict[str, tf.Variable]:
    """Replace these numbers of a schedule by variables; returns them by name."""
    numbers, dtype = numbers_of_schedule(optimizer), keras.config.floatx()
    variables = {name: tf.Variable(float(value), dtype=dtype, trainable=False) for name, value in numbers.items()}
    put(optimizer._learning_rate, variables)
    return variables
