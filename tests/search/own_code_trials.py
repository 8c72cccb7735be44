"""Model functions with layers, losses and more of a user's own, which keep something, or nothing."""

from __future__ import annotations

import random

import keras
import numpy as np
import own_constants
import tensorflow as tf

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
FACTOR = 1.0


def of_layers(input_shape, num_classes, *layers):
    return keras.Sequential(
        [keras.Input(input_shape), keras.layers.Flatten(), *layers, keras.layers.Dense(num_classes)]
    )


# Parts that keep nothing: trials share their graph.


@keras.saving.register_keras_serializable("trials")
class Gated(keras.layers.Layer):
    """With weights, and a layer of Keras' within."""

    def __init__(self, units, rate, **named):
        super().__init__(**named)
        self.units, self.dropped = units, keras.layers.Dropout(rate)

    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], self.units), initializer="glorot_uniform", name="kernel")
        self.gate = self.add_weight(shape=(self.units,), initializer="ones", name="gate")

    def call(self, inputs, training=False):
        return self.dropped(keras.ops.tanh(inputs @ self.kernel) * self.gate, training=training)


def gated(config, input_shape, num_classes):
    return of_layers(input_shape, num_classes, Gated(8, config.model.dropout))


class Classifier(keras.Model):
    def __init__(self, num_classes, rate, factor):
        super().__init__()
        self.blocks = [Gated(8, rate), keras.layers.BatchNormalization()]
        self.scores = keras.layers.Dense(num_classes, kernel_regularizer=keras.regularizers.L2(factor))

    def call(self, inputs, training=False):
        hidden = keras.ops.reshape(inputs, (-1, 6))
        for block in self.blocks:
            hidden = block(hidden, training=training)
        return self.scores(hidden)

    def get_config(self):
        return {}


def subclassed(config, num_classes):
    model = Classifier(num_classes, config.model.dropout, config.model.l2)
    model.compile(keras.optimizers.Adam(config.optimizer.learning_rate), LOSS, metrics=["accuracy"])
    return model


def wired(config, input_shape, num_classes):
    """The same layers in the same order; the config says which of them is taken twice."""
    start = keras.Input(input_shape)
    first, second = Gated(6, 0.2)(start), keras.layers.Dense(6, "relu")(start)
    thrice = keras.layers.Concatenate()([first, second, first if config.model.dropout > 0.3 else second])
    return keras.Model(start, keras.layers.Dense(num_classes)(thrice))


def steep(x, slope=1.5):
    return keras.ops.sigmoid(slope * x) * own_constants.SCALE


class Rough(keras.regularizers.Regularizer):
    def __init__(self, factor):
        self.factor = factor

    def get_config(self):
        return {"factor": self.factor}

    def __call__(self, x):
        return self.factor * keras.ops.sum(keras.ops.sqrt(keras.ops.abs(x) + 1e-3))


class Bounded(keras.constraints.Constraint):
    def __call__(self, w):
        return keras.ops.clip(w, -0.5, 0.5)


class Ordinal(keras.losses.Loss):
    def __init__(self, weight):
        super().__init__(name="ordinal")
        self.weight = weight

    def get_config(self):
        return {"weight": self.weight}

    def call(self, y_true, y_pred):
        return self.weight * keras.losses.sparse_categorical_crossentropy(y_true, y_pred, from_logits=True)


class Certain(keras.metrics.Metric):
    def __init__(self, **named):
        super().__init__(**named)
        self.total, self.count = (self.add_variable((), "zeros", name=name) for name in ("total", "count"))

    def update_state(self, y_true, y_pred, sample_weight=None):
        largest = keras.ops.max(keras.ops.softmax(y_pred), axis=-1)
        self.total.assign_add(keras.ops.sum(largest))
        self.count.assign_add(keras.ops.cast(keras.ops.size(largest), "float32"))

    def result(self):
        return self.total / self.count


class Slow(keras.optimizers.SGD):
    def update_step(self, gradient, variable, learning_rate):
        super().update_step(gradient / 2, variable, learning_rate)


def all_own(config, input_shape, num_classes):
    """Activation, penalty, constraint, loss, metric, optimizer."""
    own = {"kernel_regularizer": Rough(1e-3), "kernel_constraint": Bounded()}
    layer = keras.layers.Dense(8, steep, **own)
    model = of_layers(input_shape, num_classes, layer, keras.layers.Dropout(config.model.dropout))
    model.compile(Slow(config.optimizer.learning_rate), Ordinal(0.7), metrics=[Certain(name="certain")])
    return model


class Noisy(keras.layers.Layer):
    """Draws as Keras' layers do."""

    def __init__(self):
        super().__init__()
        self.generator = keras.random.SeedGenerator(7)

    def call(self, inputs, training=False):
        return inputs + 0.1 * keras.random.normal(keras.ops.shape(inputs), seed=self.generator) if training else inputs


def noisy(input_shape, num_classes):
    return of_layers(input_shape, num_classes, Noisy())


class Cell(keras.layers.Layer):
    def __init__(self, units):
        super().__init__()
        self.units = self.state_size = self.output_size = units
        self.into, self.again = keras.layers.Dense(units), keras.layers.Dense(units)

    def build(self, shape):
        self.into.build(shape)
        self.again.build((shape[0], self.units))

    def call(self, inputs, states):
        state = keras.ops.tanh(self.into(inputs) + self.again(states[0]))
        return state, [state]


def recurrent(input_shape, num_classes):
    layers = [keras.layers.Reshape((3, 2)), keras.layers.RNN(Cell(5))]
    return of_layers(input_shape, num_classes, *layers)


class Rating(keras.layers.Layer):
    """Reads a number that graphs of Keras' parts have in a variable."""

    def __init__(self, rate):
        super().__init__()
        self.dropped = keras.layers.Dropout(rate)

    def call(self, inputs, training=False):
        return self.dropped(inputs, training=training) * (2.0 if self.dropped.rate > 0.3 else self.dropped.rate)


def rating(config, input_shape, num_classes):
    return of_layers(input_shape, num_classes, Rating(config.model.dropout))


# Parts that have something of the config where Keras does not look.


class Shared(keras.layers.Layer):
    factor = 1.0

    def call(self, inputs):
        return inputs * self.factor * FACTOR * own_constants.SCALE


def by_class(config, input_shape, num_classes):
    Shared.factor = config.model.dropout
    return of_layers(input_shape, num_classes, Shared())


def by_global(config, input_shape, num_classes):
    global FACTOR
    FACTOR = config.model.dropout
    return of_layers(input_shape, num_classes, Shared())


def by_module(config, input_shape, num_classes):
    own_constants.SCALE = config.model.dropout
    return of_layers(input_shape, num_classes, Shared())


class Weighing:
    """No object of Keras', with an array."""

    def get_config(self):
        return {}

    def __init__(self, factor):
        self._nodes = np.full((1, 3), factor, np.float32)

    def __call__(self, y_true, y_pred):
        return LOSS(y_true, y_pred * self._nodes)


def by_array(config, input_shape, num_classes):
    model = of_layers(input_shape, num_classes)
    model.compile(keras.optimizers.SGD(0.1), Weighing(config.model.dropout), metrics=["accuracy"])
    return model


# Parts that keep something from step to step, or from trace to trace.


class Remembering(keras.layers.Layer):
    """Does what ``run`` does with it and its inputs."""

    def __init__(self, run):
        super().__init__()
        self.run, self.calls, self.list = run, 0, []

    def call(self, inputs):
        return self.run(self, inputs)

    def get_config(self):
        return {}


def counts(layer, inputs):
    layer.calls += 1
    return inputs / layer.calls


def collects(layer, inputs):
    layer.list.append(1.0)
    return inputs / len(layer.list)


def counts_in_steps(layer, inputs):
    def run(values):
        return counts(layer, values).astype(np.float32)

    return tf.ensure_shape(tf.numpy_function(run, [inputs], tf.float32), inputs.shape)


KEEPING = {
    "attribute": counts,
    "list": collects,
    "numpy_function": counts_in_steps,
    "python_random": lambda layer, inputs: inputs * random.random(),
    "numpy_random": lambda layer, inputs: inputs * np.random.random(),
    "tensorflow_random": lambda layer, inputs: inputs + tf.random.normal((6,), seed=5),
    "tensorflow_dropout": lambda layer, inputs: tf.nn.dropout(inputs, 0.3),
}


def remembering(input_shape, num_classes, what):
    return of_layers(input_shape, num_classes, Remembering(KEEPING[what]))


def by_code(config, input_shape, num_classes):
    twice = (lambda x: x + x) if config.model.dropout > 0.3 else (lambda x: x - x)
    return of_layers(input_shape, num_classes, keras.layers.Dense(8, twice))


def never_reset(config, input_shape, num_classes):
    model = of_layers(input_shape, num_classes)
    model.compile(keras.optimizers.SGD(config.optimizer.learning_rate), LOSS, metrics=[Kept()])
    return model


def size(y_true, y_pred):
    return keras.ops.mean(keras.ops.square(y_pred), axis=-1)


class Kept(keras.metrics.MeanMetricWrapper):
    def __init__(self):
        super().__init__(size, name="kept")

    def reset_state(self):
        """Is never set back."""
