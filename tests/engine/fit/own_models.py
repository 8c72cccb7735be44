"""Models, layers and metrics that a user writes: their parts do not add up, or do so in a way of their own."""

from __future__ import annotations

import keras
import tensorflow as tf
from keras import layers, ops

WIDTH, CLASSES = 6, 3  # numbers of a row, kinds of rows


class Largest(keras.metrics.Metric):
    """A metric whose state does not add up."""

    def __init__(self, name="largest", **named):
        super().__init__(name=name, **named)
        self.value = self.add_weight(shape=(), initializer="zeros", name="value")

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.value.assign(ops.maximum(self.value, ops.cast(ops.max(y_pred), self.value.dtype)))

    def result(self):
        return self.value


class OwnStep(keras.Model):
    """With Keras' loss."""

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            predicted = self(x, training=True)
            loss = self.compute_loss(y=y, y_pred=predicted)
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply(gradients, self.trainable_variables)
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(loss)
            else:
                metric.update_state(y, predicted)
        return {metric.name: metric.result() for metric in self.metrics}


class ClipsInStep(keras.Model):
    """As a guide writes it, but that it clips gradients before the optimizer has them."""

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            predicted = self(x, training=True)
            loss = self.compute_loss(y=y, y_pred=predicted)
        gradients = tape.gradient(loss, self.trainable_variables)
        clipped = [tf.clip_by_norm(gradient, 0.1) for gradient in gradients]
        self.optimizer.apply_gradients(zip(clipped, self.trainable_variables, strict=True))
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(loss)
            else:
                metric.update_state(y, predicted)
        return {metric.name: metric.result() for metric in self.metrics}  # of compiled ones a dict


class OwnLossStep(keras.Model):
    """With a loss and a metric of its own, and an evaluation too."""

    def __init__(self, *args, **named):
        super().__init__(*args, **named)
        self.error = keras.metrics.MeanSquaredError(name="error")
        self.mean = keras.metrics.Mean(name="mean")

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            predicted = self(x, training=True)
            loss = ops.mean(keras.losses.sparse_categorical_crossentropy(y, predicted))
        gradients = tape.gradient(loss, self.trainable_weights)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_weights, strict=True))
        self.error.update_state(ops.one_hot(y, CLASSES), predicted)
        self.mean.update_state(loss, sample_weight=tf.shape(x)[0])
        results = {"error": self.error.result(), "mean": self.mean.result(), "own": loss}
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(loss)
                results["loss"] = metric.result()
        return results

    def test_step(self, data):
        x, y = data
        self.error.update_state(ops.one_hot(y, CLASSES), self(x, training=False))
        return {"error": self.error.result()}


class OwnLoss(keras.Model):
    """Calls itself again for its loss."""

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        noise = ops.mean(ops.square(self(x * 0.9, training=training) - y_pred))
        return super().compute_loss(x, y, y_pred, sample_weight) + noise


class OwnMetrics(keras.Model):
    def __init__(self, *args, **named):
        super().__init__(*args, **named)
        self.largest = Largest()

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        results = super().compute_metrics(x, y, y_pred, sample_weight)
        self.largest.update_state(y, y_pred)
        return {**results, "largest": self.largest.result(), "middle": ops.mean(y_pred[:, 0])}


class Adversaries(keras.Model):
    """Two optimizers."""

    def __init__(self):
        super().__init__()
        self.maker, self.judge = layers.Dense(WIDTH), layers.Dense(1)

    def compile(self, first, second):
        super().compile(optimizer=first)
        self.second = second

    def build(self, shape):
        self.maker.build(shape)
        self.judge.build(shape)

    def call(self, x):
        return self.judge(self.maker(x))

    def train_step(self, x):
        with tf.GradientTape() as tape:
            loss = ops.mean(ops.softplus(-self.judge(x))) + ops.mean(ops.softplus(self(x)))
        self.optimizer.apply(tape.gradient(loss, self.judge.trainable_variables), self.judge.trainable_variables)
        with tf.GradientTape() as tape:
            other = ops.mean(ops.softplus(-self(x)))
        self.second.apply(tape.gradient(other, self.maker.trainable_variables), self.maker.trainable_variables)
        return {"judge": loss, "maker": other}


class Views(keras.Model):
    """Has no ``call``; its layers see two batches at once."""

    def __init__(self):
        super().__init__()
        inner = [layers.Dense(4), layers.BatchNormalization(), layers.Dropout(0.3), layers.GaussianNoise(0.1)]
        self.hidden = keras.Sequential([*inner, layers.Dense(2)])

    def train_step(self, data):
        x, _ = data
        with tf.GradientTape() as tape:
            one, other = tf.split(self.hidden(tf.concat([x, 0.5 * x], axis=0), training=True), 2)
            loss = ops.mean(ops.square(one - other - 1.0))
        self.optimizer.apply(tape.gradient(loss, self.hidden.trainable_weights), self.hidden.trainable_weights)
        return {"own": loss}


class SumsUp(layers.Layer):
    def call(self, x):
        self.add_loss(0.01 * ops.sum(ops.square(x)))
        return x


class Remembers(layers.Layer):
    def build(self, shape):
        self.largest = self.add_weight(shape=(), initializer="zeros", trainable=False, name="largest")

    def call(self, x):
        self.largest.assign(ops.maximum(self.largest, ops.max(x)))
        return x


class Positions(layers.Layer):
    """Adds a row of a table to each place, the same ones for all rows of the batch."""

    def build(self, shape):
        self.table = layers.Embedding(*shape[1:])
        self.table.build(())

    def call(self, x):
        return x + self.table(ops.arange(x.shape[1]))


class Passes(layers.Layer):
    """Along the edges of a graph whose nodes are the rows: a number for each of all eight."""

    def call(self, x):
        return ops.matmul(ops.ones((8, 8)), x)

    def compute_output_shape(self, shape):
        return shape


class ComparesWhileTraining(layers.Layer):
    def call(self, x, training=False):
        return x - ops.mean(x, axis=0, keepdims=True) if training else x


class Shuffles(layers.Layer):
    """Adds to each row a part of another one, while it trains."""

    def __init__(self):
        super().__init__()
        self.seeds = keras.random.SeedGenerator(1)

    def call(self, x, training=False):
        return 0.8 * x + 0.2 * keras.random.shuffle(x, seed=self.seeds) if training else x


class Chooses(layers.Layer):
    """One of three factors for each row, while it trains."""

    def __init__(self):
        super().__init__()
        self.seeds = keras.random.SeedGenerator(1)

    def call(self, x, training=False):
        if not training:
            return x
        chosen = keras.random.categorical(x[:, :3], 1, seed=self.seeds)
        return x * (1 + 0.1 * ops.cast(chosen, x.dtype))


SEED = (3, 4)


@tf.function
def dropped(x):
    """In a graph of its own, with a condition."""
    if tf.shape(x)[0] > 0:
        return tf.random.stateless_uniform(tf.shape(x), SEED, dtype=x.dtype)
    return x


DRAWN = {  # by kind: of what a layer sees, the number of its rows, numbers above 0 for each, and a generator
    "dropout": lambda x, n, rate, generator: tf.nn.dropout(x, 0.3, seed=5),
    "rows dropped": lambda x, n, rate, _: tf.nn.experimental.stateless_dropout(x, 0.5, seed=SEED, noise_shape=[n, 1]),
    "normal": lambda x, n, rate, generator: tf.random.normal([n, 8], seed=6),
    "whole numbers": lambda x, n, rate, generator: tf.random.uniform([n, 1], 0, 5, tf.int32, seed=7),
    "gamma of each": lambda x, n, rate, generator: tf.random.gamma([], rate, seed=8),
    "gammas": lambda x, n, rate, generator: tf.random.gamma([n, 8], 2.0, seed=9),
    "poisson of each": lambda x, n, rate, generator: tf.random.poisson([], rate, seed=10),
    "classes": lambda x, n, rate, generator: tf.random.categorical(x, 1, seed=11),
    "stateless normal": lambda x, n, rate, generator: tf.random.stateless_normal(tf.shape(x), SEED),
    "stateless uniform": lambda x, n, rate, generator: tf.random.stateless_uniform([n, 1], SEED),
    "stateless gamma": lambda x, n, rate, generator: tf.random.stateless_gamma([n, 8], SEED, rate),
    "stateless poisson": lambda x, n, rate, generator: tf.random.stateless_poisson([n, 8], SEED, rate),
    "stateless binomial": lambda x, n, rate, _: tf.random.stateless_binomial([n, 8], SEED, 3 + 0 * rate, 0.4),
    "stateless classes": lambda x, n, rate, generator: tf.random.stateless_categorical(x, 1, SEED),
    "in a function": lambda x, n, rate, generator: dropped(x),
    "generated": lambda x, n, rate, generator: generator.normal([n, 8]) + generator.uniform([n, 1]),
}


class Draws(layers.Layer):
    """While it trains, in one of these ways."""

    def __init__(self, kind):
        super().__init__()
        self.kind, self.generator = kind, tf.random.Generator.from_seed(12)

    def call(self, x, training=False):
        if not training:
            return x
        drawn = DRAWN[self.kind](
            x, tf.shape(x)[0], tf.stop_gradient(0.5 + tf.abs(tf.cast(x, "float32"))), self.generator
        )
        return x + 0.1 * tf.cast(drawn, x.dtype)


class SumOfRows(keras.Model):
    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return ops.sum(ops.square(y_pred[:, 0]))


class StepOf(keras.Model):
    """A step that is given its loss and what it does with the gradients."""

    def __init__(self, *args, loss_of=None, change=lambda gradients: gradients, **named):
        super().__init__(*args, **named)
        self.loss_of, self.change = loss_of, change

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            loss = self.loss_of(y, self(x, training=True))
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply(self.change(gradients), self.trainable_variables)
        return {"loss": loss}

    def test_step(self, data):
        x, y = data
        return {"loss": self.loss_of(y, self(x, training=False))}


def mean_loss(y, predicted):
    return ops.mean(keras.losses.sparse_categorical_crossentropy(y, predicted))


def summed_loss(y, predicted):
    return ops.sum(keras.losses.sparse_categorical_crossentropy(y, predicted))


class UpdatesAll(keras.Model):
    """Does not tell its loss's metric from the others."""

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            predicted = self(x, training=True)
            loss = self.compute_loss(y=y, y_pred=predicted)
        self.optimizer.apply(tape.gradient(loss, self.trainable_variables), self.trainable_variables)
        for metric in self.metrics:
            metric.update_state(y, predicted)
        return {metric.name: metric.result() for metric in self.metrics}


class AttendsToNeighbours(keras.Model):
    """Is given numbers of nodes; its weights are made when it is first called, in a step."""

    def __init__(self, features, neighbours, classes):
        super().__init__()
        self.features, self.neighbours = ops.convert_to_tensor(features), ops.convert_to_tensor(neighbours)
        self.project, self.score = layers.Dense(5), layers.Dense(1, "tanh")
        self.out = layers.Dense(classes, "softmax")

    def call(self, nodes, training=False):
        projected = self.project(self.features)
        around = ops.take(projected, ops.take(self.neighbours, nodes, axis=0), axis=0)
        weights = ops.softmax(self.score(around), axis=1)
        return self.out(ops.sum(weights * around, axis=1))

    def train_step(self, data):
        nodes, y = data
        with tf.GradientTape() as tape:
            predicted = self(nodes, training=True)
            loss = self.compute_loss(y=y, y_pred=predicted)
        self.optimizer.apply(tape.gradient(loss, self.trainable_variables), self.trainable_variables)
        return self.compute_metrics(nodes, y, predicted)


class SumsInTest(StepOf):
    def test_step(self, data):
        x, y = data
        predicted = self(x, training=False)
        return {"loss": mean_loss(y, predicted), "over rows": {"sum": summed_loss(y, predicted)}}
