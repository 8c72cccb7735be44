"""Model functions whose numbers are in further places, or meet constants that TensorFlow multiplies them with."""

from __future__ import annotations

import functools

import keras
import numpy as np
import tensorflow as tf
from own_argument_trials import Block
from own_code_trials import LOSS, of_layers


def noisy_layers(config, input_shape, num_classes):
    rate = config.model.dropout
    layers = [keras.layers.GaussianNoise(rate), keras.layers.Dense(8, "relu"), keras.layers.GaussianDropout(rate)]
    layers += [keras.layers.Dense(8, "selu"), keras.layers.AlphaDropout(rate)]
    return of_layers(input_shape, num_classes, *layers)


class Lasso(keras.layers.Layer):
    """Its regulariser is that of a variable alone."""

    def __init__(self, l2, **named):
        super().__init__(**named)
        self.l2 = l2

    def build(self, shape):
        factor = keras.regularizers.L1(self.l2)
        self.kernel = self.add_weight(shape=(shape[-1], 8), initializer="glorot_uniform", regularizer=factor)

    def call(self, inputs):
        return inputs @ self.kernel

    def get_config(self):
        return {**super().get_config(), "l2": self.l2}


def of_variables(config, input_shape, num_classes):
    layers = [Lasso(config.model.l2), keras.layers.Dropout(config.model.dropout)]
    layers += [keras.layers.ActivityRegularization(l2=config.model.l2)]
    return of_layers(input_shape, num_classes, *layers)


def orthogonal(config, input_shape, num_classes):
    penalties = [keras.regularizers.OrthogonalRegularizer(config.model.l2, mode) for mode in ("rows", "columns")]
    layers = [keras.layers.Dense(8, "relu", kernel_regularizer=one) for one in penalties]
    return of_layers(input_shape, num_classes, *layers, keras.layers.Dropout(config.model.dropout))


@functools.lru_cache
def angles(count):
    return np.sin(np.arange(count)).astype("float32")


@functools.cache
def drawn(count):
    return np.random.default_rng().normal(size=count).astype("float32")


class Shifted(keras.layers.Layer):
    """By what a function has computed once."""

    def __init__(self, of):
        super().__init__()
        self.of = of

    def call(self, inputs):
        return inputs + self.of(inputs.shape[-1])

    def get_config(self):
        return {}


def cached(config, input_shape, num_classes, what):
    layers = [Shifted(angles if what == "computed" else drawn), keras.layers.Dropout(config.model.dropout)]
    return of_layers(input_shape, num_classes, *layers)


def convolving(config, input_shape, num_classes):
    start = keras.Input(input_shape)
    hidden, rate = keras.layers.Reshape((1, 3, 2))(start), config.model.dropout
    hidden = keras.layers.ConvLSTM1D(4, 2, dropout=rate, recurrent_dropout=rate)(hidden)
    return keras.Model(start, keras.layers.Dense(num_classes)(keras.layers.Flatten()(hidden)))


def grouped(config, input_shape, num_classes):
    start = keras.Input(input_shape)
    hidden = keras.layers.Reshape((3, 2))(start)
    hidden = keras.layers.GroupQueryAttention(2, 2, 1, dropout=config.model.dropout)(hidden, hidden)
    return keras.Model(start, keras.layers.Dense(num_classes)(keras.layers.Flatten()(hidden)))


@keras.saving.register_keras_serializable("trials")
class Halves(keras.Model):
    """The head learns at a rate of its own. ``where``: its optimizer is built."""

    def __init__(self, config, num_classes, where):
        super().__init__()
        self.body, self.head = keras.layers.Dense(8, "relu"), keras.layers.Dense(num_classes)
        self.rate = config.model.dropout
        self.drop = keras.layers.Dropout(self.rate)
        self.of_head, self.where = keras.optimizers.Adam(config.optimizer.learning_rate * 3), where

    def build(self, shape):
        self.body.build(shape)
        self.head.build((None, 8))
        if self.where == "build":
            self.of_head.build(self.head.trainable_variables)

    def compile(self, *given, **named):
        super().compile(*given, **named)
        if self.where == "compile":
            self.of_head.build(self.head.trainable_variables)

    def call(self, inputs):
        return self.head(self.drop(self.body(inputs)))

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            loss = self.compute_loss(x, y, self(x, training=True))
        parts = [self.body.trainable_variables, self.head.trainable_variables]
        of_body, of_head = tape.gradient(loss, parts)
        self.optimizer.apply_gradients(zip(of_body, parts[0], strict=True))
        self.of_head.apply_gradients(zip(of_head, parts[1], strict=True))
        return {"loss": loss}

    def get_config(self):
        return {"rate": self.rate}


def halves(config, input_shape, num_classes, what):
    model = Halves(config, num_classes, what)
    model.build((None, *input_shape))
    optimizer = keras.optimizers.SGD(config.optimizer.learning_rate)
    model.compile(optimizer, LOSS)
    if what == "build":
        optimizer.build(model.body.trainable_variables)
    return model


# Numbers beside constants, with which TensorFlow might multiply them in advance, and does not.


def beside(config, input_shape, num_classes, what):
    return BESIDE[what](config.model.dropout, config.model.l2, input_shape, num_classes)


def rescaled(rate, l2, input_shape, num_classes):
    layers = [keras.layers.Rescaling(0.3), keras.layers.Dropout(rate), keras.layers.Dense(8, "relu")]
    return of_layers(input_shape, num_classes, *layers)


def added(rate, l2, input_shape, num_classes):
    """The constant is met on the way back."""
    start = keras.Input(input_shape)
    hidden = keras.layers.Dense(8)(start)
    hidden = hidden + 0.3 * keras.layers.Dense(8)(hidden)
    return keras.Model(start, keras.layers.Dense(num_classes)(keras.layers.Dropout(rate)(hidden)))


def sampled(rate, l2, input_shape, num_classes):
    """Two samples of the same: their gradients have a factor in common."""
    start = keras.Input(input_shape)
    hidden = keras.layers.Dense(8)(start)
    both = keras.layers.Dropout(rate)(hidden) + keras.layers.Dropout(rate)(hidden)
    return keras.Model(start, keras.layers.Dense(num_classes)(both))


def equal_factors(rate, l2, input_shape, num_classes):
    both = keras.regularizers.L1L2(l2, l2)
    return of_layers(input_shape, num_classes, keras.layers.Dense(8, "relu", kernel_regularizer=both))


def shifted(rate, l2, input_shape, num_classes):
    layers = [keras.layers.Dense(8, "selu"), keras.layers.AlphaDropout(rate)]
    return of_layers(input_shape, num_classes, *layers, keras.layers.Rescaling(1.0, 0.3), keras.layers.Dense(8))


@tf.function
def scaled(hidden):
    return hidden * 0.3


class InAnother(Block):
    """The constant is in another graph."""

    def call(self, inputs, training=None):
        return self.dropped(scaled(self.dense(inputs)), training=training)


def in_another(rate, l2, input_shape, num_classes):
    return of_layers(input_shape, num_classes, InAnother(rate, l2))


def pooled(rate, l2, input_shape, num_classes):
    start = keras.Input(input_shape)
    hidden = keras.layers.Conv1D(8, 2, activation="relu")(keras.layers.Reshape((3, 2))(start))
    hidden = keras.layers.Dropout(rate)(keras.layers.GlobalAveragePooling1D()(hidden))
    return keras.Model(start, keras.layers.Dense(num_classes)(hidden))


def normal(rate, l2, input_shape, num_classes):
    start = keras.Input(input_shape)
    hidden = keras.layers.BatchNormalization()(keras.layers.Dense(8, "gelu")(start))
    hidden = keras.layers.LayerNormalization()(hidden + keras.layers.Dropout(rate)(hidden))
    first = keras.layers.Dense(8, "swish", kernel_regularizer=keras.regularizers.L2(l2))(hidden)
    hidden = hidden + keras.layers.Dropout(rate)(first)
    return keras.Model(start, keras.layers.Dense(num_classes)(hidden))


BESIDE = {one.__name__: one for one in (rescaled, added, sampled, equal_factors, shifted, in_another, pooled, normal)}
