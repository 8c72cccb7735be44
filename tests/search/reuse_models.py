"""Models and data of a user's, for trials in warm processes."""

from __future__ import annotations

import itertools

import keras
import tensorflow as tf
from user_data import tokens

layers = keras.layers


def words():
    """Sequences of words, each with a kind and the share of its even words."""

    def part(x, kind):
        return x, {"kind": kind, "share": (x % 2 == 0).mean(1, keepdims=True).astype("float32")}

    train, test = tokens()
    return part(*train), part(*test)


def two_outputs(config, input_shape, cells=6):
    """Embedding, LSTM and two outputs, compiled; rates, a penalty and an optimizer's numbers come from the config."""
    rate, penalty = config.model.dropout, keras.regularizers.L2(config.model.l2)
    inputs = keras.Input(input_shape)
    hidden = layers.LSTM(cells, dropout=rate, kernel_regularizer=penalty)(layers.Embedding(50, 4)(inputs))
    hidden = layers.Dropout(rate / 2)(hidden)
    outputs = {"kind": layers.Dense(3, "softmax", name="kind")(hidden), "share": layers.Dense(1, name="share")(hidden)}
    model = keras.Model(inputs, outputs)
    optimizer = keras.optimizers.AdamW(config.optimizer.learning_rate, weight_decay=config.optimizer.learning_rate / 9)
    losses = {"kind": "sparse_categorical_crossentropy", "share": "mse"}
    model.compile(optimizer, losses, metrics={"kind": ["accuracy"], "share": ["mae"]})
    return model


def dense(config, input_shape, num_classes, *middle):
    """Compiled by the config, whose rate and penalty it has."""
    hidden = layers.Dense(12, "relu", kernel_regularizer=keras.regularizers.L2(config.model.l2))
    first = [keras.Input(input_shape), layers.Flatten(), hidden, layers.Dropout(config.model.dropout)]
    return keras.Sequential([*first, *middle, layers.Dense(num_classes)])


def plain(config, input_shape, num_classes):
    """Where its weights begin depends on the config too."""
    model = dense(config, input_shape, num_classes)
    model.layers[1].kernel.assign(model.layers[1].kernel * (1 + config.optimizer.learning_rate))
    return model


def drawn(config, input_shape, num_classes):
    """Weights begin with what TensorFlow draws, not Keras."""
    model = plain(config, input_shape, num_classes)
    model.layers[1].kernel.assign(tf.random.normal(model.layers[1].kernel.shape))
    return model


class TwoOptimizers(keras.Model):
    """A step of its own: the body and the head have an optimizer each, and the head's is four times as fast."""

    def __init__(self, rate, penalty, num_classes, speed):
        super().__init__()
        self.body = layers.Dense(8, "tanh", kernel_regularizer=keras.regularizers.L2(penalty))
        self.drop, self.head = layers.Dropout(rate), layers.Dense(num_classes)
        self.of_head = keras.optimizers.Adam(4 * speed)
        self.flatten = layers.Flatten()

    def get_config(self):
        return {"rate": 0.0, "penalty": 0.0, "num_classes": 3, "speed": 0.1}

    def call(self, x, training=False):
        return self.head(self.drop(self.body(self.flatten(x)), training=training))

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            loss = self.compute_loss(x, y, self(x, training=True))
        weights = (self.body.trainable_variables, self.head.trainable_variables)
        of_body, of_head = tape.gradient(loss, weights)
        self.optimizer.apply(of_body, weights[0])
        self.of_head.apply(of_head, weights[1])
        return self.compute_metrics(x, y, self(x, training=False)) | {"loss": loss}


def own_step(config, num_classes):
    model = TwoOptimizers(config.model.dropout, config.model.l2, num_classes, config.optimizer.learning_rate)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(config.optimizer.learning_rate), loss, metrics=["accuracy"])
    return model


# Which break the promise of ``search.reuse_graph``.
calls = itertools.count()


def wider_each_time(config, input_shape, num_classes):
    return dense(config, input_shape, num_classes, layers.Dense(8 + next(calls)))


def scaling(config, input_shape, num_classes):
    """Takes a dropout rate for something else."""
    return dense(config, input_shape, num_classes, layers.Rescaling(config.model.dropout))
