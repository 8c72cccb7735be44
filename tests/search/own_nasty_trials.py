"""Model functions whose parts Keras does not tell, or that go on from where they were before."""

from __future__ import annotations

import dataclasses
import re
import threading

import keras
import numpy as np
import tensorflow as tf
from own_code_trials import LOSS, Gated, of_layers

PENALTY = keras.regularizers.L2(0.01)


def penalty_of_all(input_shape, num_classes):
    """One penalty for all models."""
    return of_layers(input_shape, num_classes, keras.layers.Dense(8, kernel_regularizer=PENALTY))


def weights_alone(input_shape, num_classes):
    return of_layers(input_shape, num_classes, keras.layers.Dense(8))


def gated_alone(input_shape, num_classes):
    return of_layers(input_shape, num_classes, Gated(8, 0.2))


class Anchored(keras.optimizers.SGD):
    """Has state that begins where the learning rate is."""

    def build(self, variables):
        super().build(variables)
        self.anchor = float(self.learning_rate)

    def update_step(self, gradient, variable, learning_rate):
        super().update_step(gradient * (self.anchor + 0.9), variable, learning_rate)


def anchored(config, input_shape, num_classes):
    model = of_layers(input_shape, num_classes)
    model.compile(Anchored(config.optimizer.learning_rate), LOSS, metrics=["accuracy"])
    return model


class Resets(keras.metrics.Mean):
    """How often it was reset."""

    def __init__(self):
        super().__init__(name="resets")
        self.resets = self.add_variable((), "zeros", name="resets")

    def reset_state(self):
        super().reset_state()
        self.resets.assign_add(1.0)

    def update_state(self, y_true, y_pred, sample_weight=None):
        super().update_state(self.resets)


def counting_resets(config, input_shape, num_classes):
    model = of_layers(input_shape, num_classes)
    model.compile(keras.optimizers.SGD(config.optimizer.learning_rate), LOSS, metrics=[Resets()])
    return model


class Applying(keras.layers.Layer):
    """Does what ``run`` does with a part that it holds."""

    def __init__(self, run, part):
        super().__init__()
        self.run, self.part = run, part

    def call(self, inputs, training=False):
        return self.run(self, inputs)

    def get_config(self):
        return {}


def begins_in_steps(layer, inputs):
    return inputs * layer.part((6,))


def calls_of_the_class(layer, inputs):
    return keras.layers.Dropout.call(layer.part, inputs, training=True)


class Helper:
    def build(self, layer, inputs):
        return inputs * layer.part.rate


HELPER = Helper()


def calls_a_helper(layer, inputs):
    return HELPER.build(layer, inputs)


def weighs_masked(layer, inputs):
    return inputs * np.ma.filled(layer.part, 1.0).astype(np.float32)


def mask_of(rate):
    return np.ma.masked_array(np.full(6, 0.5), mask=[rate > 0.3] * 6)


PARTS = {
    "initializer": (begins_in_steps, keras.initializers.Constant),
    "class_call": (calls_of_the_class, keras.layers.Dropout),
    "helper": (calls_a_helper, keras.layers.Dropout),
    "masked": (weighs_masked, mask_of),
}


def applying(config, input_shape, num_classes, what):
    run, kind = PARTS[what]
    return of_layers(input_shape, num_classes, Applying(run, kind(config.model.dropout)))


class Named(keras.layers.Layer):
    """Has a number under a name of Keras' own."""

    def __init__(self, factor):
        super().__init__()
        self._nodes = factor

    def call(self, inputs):
        return inputs * self._nodes


def named_as_keras_does(config, input_shape, num_classes):
    return of_layers(input_shape, num_classes, Named(config.model.dropout))


def patched_call(config, input_shape, num_classes):
    layer = keras.layers.Dropout(config.model.dropout)
    layer.call = lambda inputs, training=False: inputs * layer.rate
    return of_layers(input_shape, num_classes, layer)


# Parts that share, as others do.


@dataclasses.dataclass
class Settings:
    factor: float
    units: int = 6


class Penalised(keras.layers.Layer):
    def __init__(self, settings):
        super().__init__()
        self.settings = settings

    def call(self, inputs):
        self.add_loss(self.settings.factor * keras.ops.mean(keras.ops.square(inputs)))
        return inputs

    def get_config(self):
        return {}


def penalised(input_shape, num_classes):
    return of_layers(input_shape, num_classes, keras.layers.Dense(6), Penalised(Settings(0.1)))


# Functions that go on from where they were before.

STATE, LOCK = {}, threading.Lock()


def begin_anew():
    built = keras.layers.Dense(4, name="built", kernel_initializer=keras.initializers.GlorotUniform(seed=3))
    built.build((None, 6))
    STATE.update(generator=np.random.default_rng(3), calls=0, layer=None, built=built, factor=0.2)
    STATE["scaled"] = tf.function(lambda x: x * STATE["factor"])  # as a module has one


begin_anew()


def draws_weights(input_shape, num_classes):
    model = of_layers(input_shape, num_classes, keras.layers.Dense(4))
    model.layers[1].kernel.assign(STATE["generator"].normal(size=(6, 4)))
    return model


def counts_calls(input_shape, num_classes):
    STATE["calls"] += 1
    return of_layers(input_shape, num_classes, keras.layers.Dense(3 + STATE["calls"]))


WORDS = re.compile(rb"\w+")


def names_a_pattern(config, input_shape, num_classes):
    """Of bytes."""
    return of_layers(input_shape, num_classes, Gated(len(WORDS.findall(b"six units")) * 3, config.model.dropout))


def changes_keras(config, input_shape, num_classes):
    keras.activations.steep = lambda x: x * config.optimizer.learning_rate * 100
    return of_layers(input_shape, num_classes, keras.layers.Dense(4, lambda x: keras.activations.steep(x)))


def gives_a_layer_again(input_shape, num_classes):
    STATE["layer"] = STATE["layer"] or keras.layers.Dense(4, name="backbone")
    return of_layers(input_shape, num_classes, STATE["layer"])


def gives_a_built_layer(input_shape, num_classes):
    """That all models have. What the function holds cannot be told, for the lock."""
    with LOCK:
        return of_layers(input_shape, num_classes, STATE["built"])


class Scaled(keras.layers.Layer):
    def call(self, inputs):
        return STATE["scaled"](inputs)


def sets_what_is_traced(config, input_shape, num_classes):
    STATE["factor"] = config.model.dropout
    return of_layers(input_shape, num_classes, Scaled())


class ByState(keras.layers.Layer):
    def call(self, inputs):
        return inputs * STATE["factor"]


def sets_sometimes(config, input_shape, num_classes):
    if config.model.dropout > 0.3:
        STATE["factor"] = config.model.dropout
    return of_layers(input_shape, num_classes, ByState())
