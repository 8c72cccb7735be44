"""Models whose parts do not add up over workers, as users write them; named in configs as ``own_ways:function``."""

from __future__ import annotations

import keras
import tensorflow as tf
from keras import layers, ops


@keras.saving.register_keras_serializable("own_ways")
class OwnSteps(keras.Model):
    """A training and an evaluation step of its own, and a metric that they alone update."""

    def __init__(self, *args, **named):
        super().__init__(*args, **named)
        self.error = keras.metrics.MeanSquaredError(name="error")

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            predicted = self(x, training=True)
            loss = self.compute_loss(y=y, y_pred=predicted)
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply(gradients, self.trainable_variables)
        self.error.update_state(ops.one_hot(y, 3), predicted)
        return {"loss": loss, "error": self.error.result()}

    def test_step(self, data):
        x, y = data
        predicted = self(x, training=False)
        self.error.update_state(ops.one_hot(y, 3), predicted)
        return {"loss": self.compute_loss(y=y, y_pred=predicted), "error": self.error.result()}


def own_steps():
    inputs = keras.Input((6,))
    hidden = layers.Dropout(0.3)(layers.BatchNormalization()(layers.Dense(8, "relu")(inputs)))
    model = OwnSteps(inputs, layers.Dense(3, "softmax")(hidden))
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


class GuideSteps(keras.Model):
    """A training step as Keras' guide writes it: of the compiled metrics it returns a dict within its own."""

    def train_step(self, data):
        x, y, weight = keras.utils.unpack_x_y_sample_weight(data)
        with tf.GradientTape() as tape:
            predicted = self(x, training=True)
            loss = self.compute_loss(y=y, y_pred=predicted, sample_weight=weight)
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply(gradients, self.trainable_variables)
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(loss)
            else:
                metric.update_state(y, predicted, weight)
        return {metric.name: metric.result() for metric in self.metrics}


def guide_steps():
    inputs = keras.Input((6,))
    model = GuideSteps(inputs, layers.Dense(3, "softmax")(inputs))
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


class NamesNoLoss(OwnSteps):
    def train_step(self, data):
        return {"error": super().train_step(data)["error"]}


def names_no_loss():
    inputs = keras.Input((6,))
    model = NamesNoLoss(inputs, layers.Dense(3, "softmax")(inputs))
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


class SumsUp(layers.Layer):
    def call(self, x):
        self.add_loss(ops.sum(ops.square(x)))
        return x


def sums_up():
    """What is added to the loss is computed from one worker's rows."""
    model = keras.Sequential([keras.Input((6,)), SumsUp(), layers.Dense(3, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def root_mean_square(y, p):
    """No mean over the rows."""
    return ops.sqrt(ops.mean(ops.square(ops.one_hot(y, 3) - p)))


def thirty_hardest(y, p):
    """A mean over a batch of up to thirty rows, and no longer one over a larger batch."""
    errors = keras.losses.sparse_categorical_crossentropy(y, p)
    return ops.mean(ops.sort(errors)[-30:])


def hardest():
    model = keras.Sequential([keras.Input((6,)), layers.Dense(8, "tanh"), layers.Dense(3, "softmax")])
    model.compile("adam", thirty_hardest, metrics=["accuracy"])
    return model


@keras.saving.register_keras_serializable("own_ways")
class RecallOfClasses(keras.metrics.Metric):
    """A vector: of each class the share that was found."""

    def __init__(self, name="recall", **named):
        super().__init__(name=name, **named)
        self.found = self.add_weight(shape=(3,), initializer="zeros", name="found")
        self.all = self.add_weight(shape=(3,), initializer="zeros", name="all")

    def update_state(self, y_true, y_pred, sample_weight=None):
        hits = ops.one_hot(ops.argmax(y_pred, -1), 3) * ops.one_hot(y_true, 3)
        self.found.assign_add(ops.sum(hits, 0))
        self.all.assign_add(ops.sum(ops.one_hot(y_true, 3), 0))

    def result(self):
        return self.found / ops.maximum(self.all, 1)


def averages():
    """Averaged weights, accumulated gradients, a loss that is no mean, a metric that is a vector."""
    hidden = [layers.Dense(8, "tanh"), layers.Dropout(0.2)]
    model = keras.Sequential([keras.Input((6,)), *hidden, layers.Dense(3, "softmax")])
    optimizer = keras.optimizers.Adam(0.01, use_ema=True, ema_momentum=0.8, gradient_accumulation_steps=2)
    model.compile(optimizer, root_mean_square, metrics=["accuracy", RecallOfClasses()])
    return model


def masked():
    """Outputs with a mask: the loss is a mean over the valid positions."""
    model = keras.Sequential(
        [
            keras.Input((12,), dtype="int32"),
            layers.Embedding(50, 4, mask_zero=True),
            layers.GRU(3, return_sequences=True),
            layers.Dense(3, "softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def tagged_tokens():
    from user_data import tokens

    (x, y), (x_test, y_test) = tokens()
    y, y_test = (labels[:, None].repeat(12, 1).astype("float32") for labels in (y, y_test))
    return (x[:81], y[:81]), (x_test, y_test)


@keras.saving.register_keras_serializable("own_ways")
class CountsCalls(layers.Layer):
    """Keeps a whole number, which drifts on a worker that gets no row of a batch."""

    def build(self, shape):
        self.steps = self.add_weight(shape=(), dtype="int64", initializer="zeros", trainable=False, name="steps")

    def call(self, x, training=False):
        if training:
            self.steps.assign_add(1)
        return x


@keras.saving.register_keras_serializable("own_ways")
class Weighs(layers.Layer):
    """Has a metric of its own, of what it sees."""

    def __init__(self, **named):
        super().__init__(**named)
        self.seen = keras.metrics.Sum("seen")

    def call(self, x):
        self.seen.update_state(keras.ops.sum(x))
        return x


def weighs():
    return keras.Sequential([keras.Input((6,)), layers.Dense(4, "tanh"), Weighs(), layers.Dense(3, "softmax")])


def counts():
    model = keras.Sequential([keras.Input((6,)), CountsCalls(), layers.Dense(3, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def two_outputs():
    """With a loss for each, of which one is a sum."""
    inputs = keras.Input((6,))
    hidden = layers.Dense(8, "tanh")(inputs)
    model = keras.Model(inputs, {"kind": layers.Dense(3, "softmax")(hidden), "place": layers.Dense(2)(hidden)})
    losses = {"kind": "sparse_categorical_crossentropy", "place": keras.losses.Huber(reduction="sum")}
    weights, metrics = {"kind": 1.0, "place": 0.1}, {"kind": ["accuracy"], "place": "mae"}
    model.compile("adam", losses, loss_weights=weights, metrics=metrics)
    return model


def weighted_streams():
    """Examples with weights, of two targets."""
    from user_data import short_arrays

    (x, y), (x_test, y_test) = short_arrays()

    def stream(x, y):
        weight = abs(x[:, 0]) + 0.1
        targets, weights = {"kind": y, "place": x[:, :2]}, {"kind": weight, "place": weight}
        return tf.data.Dataset.from_tensor_slices((x, targets, weights))

    return stream(x, y).shuffle(200), stream(x_test, y_test)
