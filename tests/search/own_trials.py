"""Model functions of a user's, for trials in warm processes."""

from __future__ import annotations

import copy

import keras
import tensorflow as tf


def dense(input_shape, num_classes, *middle, end=(), **first):
    layers = [keras.Input(input_shape), keras.layers.Flatten(), keras.layers.Dense(12, "relu", **first), *middle]
    return keras.Sequential([*layers, keras.layers.Dense(num_classes), *end])


def plain(input_shape, num_classes, units=12):
    return dense(input_shape, num_classes, keras.layers.Dense(units))


def numbers(config, input_shape, num_classes):
    """Two dropout rates and two penalties, all from the config."""
    rate, factor = config.model.dropout, config.model.l2
    first = {"kernel_regularizer": keras.regularizers.L2(factor), "bias_regularizer": keras.regularizers.L1(factor / 2)}
    wide = [keras.layers.Dropout(rate), keras.layers.Dense(8), keras.layers.Dropout(rate / 2)]
    return dense(input_shape, num_classes, *wide, **first)


def initial(config, input_shape, num_classes):
    """The config says only where the weights begin."""
    model = dense(input_shape, num_classes)
    model.layers[1].kernel.assign(model.layers[1].kernel * config.model.dropout)
    return model


def drawing(config, input_shape, num_classes, seed=None):
    """Weights begin with what TensorFlow draws, not Keras."""
    model = dense(input_shape, num_classes)
    model.layers[1].kernel.assign(tf.random.normal(model.layers[1].kernel.shape, seed=seed) * config.model.dropout)
    return model


def drawing_seeded(config, input_shape, num_classes):
    return drawing(config, input_shape, num_classes, seed=5)


@tf.function
def traced_draw():
    return tf.random.normal([12], seed=7)


def drawing_traced(config, input_shape, num_classes):
    model = dense(input_shape, num_classes)
    model.layers[1].bias.assign(traced_draw() * config.model.dropout)
    return model


def drawing_raw(config, input_shape, num_classes):
    model = dense(input_shape, num_classes)
    drawn = tf.raw_ops.RandomUniform(shape=[12], dtype=tf.float32, seed=config.seed, seed2=1)
    model.layers[1].bias.assign(drawn * config.model.dropout)
    return model


def compiled(config, input_shape, num_classes):
    unnamed = keras.metrics.MeanIoU(3, sparse_y_pred=False)
    model = dense(input_shape, num_classes, keras.layers.Dropout(config.model.dropout))
    optimizer = keras.optimizers.RMSprop(config.optimizer.learning_rate)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, metrics=["accuracy", unnamed])
    return model


def scheduled(config, input_shape, num_classes):
    model = dense(input_shape, num_classes)
    decay = keras.optimizers.schedules.ExponentialDecay(config.optimizer.learning_rate, 7, 0.8)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(decay), loss, metrics=["accuracy"])
    return model


def own_loss(config, input_shape, num_classes):
    """A loss of which no description tells what it has of the config."""
    model = dense(input_shape, num_classes)
    factor = config.model.dropout

    def loss(y, scores):
        return factor * keras.losses.sparse_categorical_crossentropy(y, scores, from_logits=True)

    model.compile(keras.optimizers.SGD(0.1), loss, metrics=["accuracy"])
    return model


def branching(config, input_shape, num_classes):
    wide = [keras.layers.Dense(8, "tanh")] if config.model.dropout > 0.3 else []
    return dense(input_shape, num_classes, *wide)


def precise(config, input_shape, num_classes):
    dtype = "float64" if config.model.dropout > 0.3 else "float32"
    return dense(input_shape, num_classes, keras.layers.Dense(8, dtype=dtype))


class Scale(keras.layers.Layer):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def call(self, inputs):
        return inputs * self.factor


def given_by_turns(config, input_shape, num_classes):
    """Two penalties; the config says which of them the second layer has."""
    strong, weak = keras.regularizers.L2(0.5), keras.regularizers.L2(1e-4)
    second = keras.layers.Dense(8, kernel_regularizer=strong if config.model.dropout > 0.3 else weak)
    third = keras.layers.Dense(8, kernel_regularizer=weak)
    return dense(input_shape, num_classes, second, third, kernel_regularizer=strong)


def weights_penalised(config, input_shape, num_classes):
    model = dense(input_shape, num_classes)
    model.layers[1].kernel.regularizer = keras.regularizers.L1L2(config.model.dropout)
    return model


def partly_frozen(config, input_shape, num_classes):
    model = dense(input_shape, num_classes)
    model.layers[1].kernel.trainable = config.model.dropout < 0.3
    return model


def excluded(config, input_shape, num_classes):
    """What the optimizer leaves out stands in no description of Keras'."""
    model = dense(input_shape, num_classes)
    optimizer = keras.optimizers.AdamW(0.01, weight_decay=0.5)
    optimizer.exclude_from_weight_decay(var_names=["kernel"] if config.model.dropout > 0.3 else ["bias"])
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    return model


def huber(config, input_shape, num_classes):
    """Nor does the delta of Huber's loss."""
    model = keras.Sequential([keras.Input(input_shape), keras.layers.Flatten(), keras.layers.Dense(1)])
    model.compile("sgd", keras.losses.Huber(delta=config.model.dropout))
    return model


def copied(config, input_shape, num_classes):
    return dense(input_shape, num_classes, keras.layers.Dense(copy.deepcopy(config).train.batch_size))


def own_layer(config, input_shape, num_classes):
    return dense(input_shape, num_classes, Scale(config.model.dropout))


def own_layer_plain(input_shape, num_classes):
    return dense(input_shape, num_classes, Scale(0.5))


def anonymous(config, input_shape, num_classes):
    factor = config.model.dropout
    return dense(input_shape, num_classes, keras.layers.Lambda(lambda scores: scores * factor))


def patched(config, input_shape, num_classes):
    model = dense(input_shape, num_classes, keras.layers.Activation("linear"))
    factor = config.model.dropout
    model.layers[2].call = lambda inputs: inputs * factor
    return model
