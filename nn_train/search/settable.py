"""The numbers of a model that a trial can set without tracing its graph again.

Learning rate and schedule, dropout rate and L2 factor become variables that the traced steps read. The
arithmetic is that of the constants they replace, so that a trial ends with the same bits as a run of its config.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf
from keras.src import backend

from nn_train.config import Config
from nn_train.engine.models import DEFAULT_DROPOUT, dropout_rate
from nn_train.engine.optimizers import learning_rate
from nn_train.engine.preparation import PreparedModel

# Those of CosineDecay; of ExponentialDecay only the first, since TensorFlow folds its other constants, which
# rounds them in another way than variables.
SCHEDULE_NUMBERS = {
    keras.optimizers.schedules.CosineDecay: ("warmup_target", "warmup_steps", "decay_steps"),
    keras.optimizers.schedules.ExponentialDecay: ("initial_learning_rate",),
}


def all_settings(config: Config) -> tuple[Any, ...]:
    """What a graph can depend on."""
    return (config.model, config.optimizer, config.train, config.data)


def traced_settings(config: Config) -> tuple[Any, ...]:
    """What the graph of a config depends on; configs that agree in it differ in settable numbers only.

    A function of the user's own is given the whole config, so everything counts for its model.
    """
    model, optimizer, train = config.model, config.optimizer, config.train
    if model.name not in DEFAULT_DROPOUT:
        return all_settings(config)
    shape = (model.name, model.hidden_units, model.activation, bool(dropout_rate(model)), bool(model.l2))
    decay = (optimizer.decay_steps, optimizer.decay_rate) if optimizer.schedule == "exponential" else ()
    schedule = (optimizer.name, optimizer.schedule, bool(optimizer.warmup_steps), decay, optimizer.args)
    return (shape, schedule, train.loss, train.metrics, train.precision, config.data)


def has_settable(prepared: PreparedModel, config: Config) -> bool:
    """Whether a model has numbers that can be set: not one of the user's own, nor one whose steps are traced by now."""
    return config.model.name in DEFAULT_DROPOUT and prepared.whole is None


class SettableHyperparameters:
    """Makes the numbers of a model settable, where it has such.

    Args:
        prepared: as ``prepare_model`` gives it. The model can no longer be saved as a file.
        config: the config that it was made from.
    """

    def __init__(self, prepared: PreparedModel, config: Config) -> None:
        model = prepared.model
        self.can_set = has_settable(prepared, config)
        self.optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
        self.schedule: dict[str, tf.Variable] = {}
        # In float64, so that each is rounded once, to the numbers the model computes in. Kernels are always float32.
        self.rate, self.scale = (tf.Variable(0.0, trainable=False, dtype=tf.float64) for _ in range(2))
        self.l2 = tf.Variable(0.0, trainable=False)
        if self.can_set:
            rate = self.optimizer._learning_rate
            self.schedule = numbers_to_variables(rate, SCHEDULE_NUMBERS.get(type(rate), ()))
            for layer in model.layers:
                if isinstance(layer, keras.layers.Dropout):
                    layer.call = self.dropout(layer)
                if getattr(layer, "kernel_regularizer", None) is not None:
                    layer.kernel_regularizer.l2 = self.l2

    def set(self, config: Config, total_steps: int | None) -> None:
        """Take the numbers of ``config``, which must agree in its ``traced_settings``."""
        if not self.can_set:
            return
        rate = learning_rate(config.optimizer, total_steps)
        for name, variable in self.schedule.items():
            variable.assign(float(getattr(rate, name)))
        if not self.schedule:
            self.optimizer.learning_rate = rate
        dropped = dropout_rate(config.model)
        self.rate.assign(dropped)
        self.scale.assign(1 / (1 - dropped))
        self.l2.assign(config.model.l2)

    def dropout(self, layer: keras.layers.Dropout) -> Any:
        """``layer.call`` with a rate that is read in every step; else the same as Keras' and TensorFlow's."""

        def call(inputs: Any, training: bool = False) -> Any:
            if not training:
                return inputs
            noise = keras.random.uniform(tf.shape(inputs), dtype=inputs.dtype, seed=layer.seed_generator)
            kept = noise >= tf.cast(self.rate, inputs.dtype)
            return tf.where(kept, inputs * tf.cast(self.scale, inputs.dtype), tf.zeros((), inputs.dtype))

        return call


def numbers_to_variables(owner: object, names: tuple[str, ...]) -> dict[str, tf.Variable]:
    """Replace the numbers among these attributes of ``owner`` by variables; returns them by name."""
    variables = {}
    for name in names:
        if isinstance(getattr(owner, name, None), int | float):
            variables[name] = tf.Variable(float(getattr(owner, name)), dtype=backend.floatx(), trainable=False)
            setattr(owner, name, variables[name])
    return variables
