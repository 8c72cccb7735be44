"""Models of the user's that override what is around the steps, and layers with metrics of their own."""

from __future__ import annotations

import keras
from keras import layers, ops


class Updates(layers.Layer):
    """Updates a metric of its own with ``number`` of what it sees, while it is called."""

    def __init__(self, number, metric):
        super().__init__()
        self.number, self.seen = number, metric

    def call(self, x):
        self.seen.update_state(self.number(x))
        return x


class DoublesInFit(keras.Model):
    def fit(self, x=None, y=None, **named):
        return super().fit(2 * x, y, **named)

    def predict(self, x, **named):
        return super().predict(2 * x, **named)


class FitsOnAll(keras.Model):
    """Calls the function of all workers itself."""

    def fit(self, x=None, y=None, **named):
        import nn_train

        return nn_train.fit(self, 2 * x, y, **named)


class PredictsInTraining(keras.Model):
    """As Monte Carlo dropout does."""

    def predict_step(self, data):
        return self(data[0] if isinstance(data, tuple) else data, training=True)


class Holds(layers.Layer):
    """A layer within a layer."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def call(self, x):
        return self.layer(x)


class ComparesInPredict(keras.Model):
    def predict_step(self, data):
        outputs = super().predict_step(data)
        return outputs - ops.mean(outputs, axis=0, keepdims=True)


class MakesItsFunction(keras.Model):
    """Halves the learning rate after each step."""

    def make_train_function(self, force=False):
        super().make_train_function(force)
        step = self.train_function

        def function(iterator):
            logs = step(iterator)
            self.optimizer.learning_rate.assign(self.optimizer.learning_rate / 2)
            return logs

        self.train_function = function


class Late(keras.Model):
    """Has its weights when it is called first."""

    def __init__(self):
        super().__init__()
        self.scores = layers.Dense(2)

    def call(self, x):
        return self.scores(x)


class Penalty(layers.Layer):
    def call(self, x):
        self.add_loss(ops.mean(ops.square(x)))
        return x
