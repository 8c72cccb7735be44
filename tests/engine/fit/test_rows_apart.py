"""Rows that do not stand alone are found also where that is so only sometimes; and those that do are let pass."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from nn_train.errors import RequestError

pytestmark = pytest.mark.tf
WIDTH, ROWS = 6, 32
OUTPUTS = "the outputs of the model for a row depend"
LOSS = "the loss of the model"
GRADIENT = "the gradient of sequential/dense/kernel, while it trains, is no sum over the rows"


def layers_of():
    """By name: a function of what a layer sees, and of whether it trains; and what is said of it."""
    import keras
    import tensorflow as tf
    from keras import ops

    def centred(x):
        return x - ops.mean(x, axis=0)

    def odd(x):
        return ops.cast(ops.arange(ops.shape(x)[0]) % 2, x.dtype)[:, None]

    # As by chance: in each trial a batch gives the same twice, five others are centred, and so is the first one then.
    turns = itertools.cycle([0, 0, 1, 1, 1, 1, 1, 1])

    def chance(x):
        return centred(x) if tf.executing_eagerly() and next(turns) else x

    @tf.custom_gradient
    def with_scaled_gradient(x):
        return tf.identity(x), lambda gradient: gradient / tf.norm(gradient)

    def above_the_mean_of_chance(x):
        drawn = keras.random.uniform((ops.shape(x)[0], 1))
        return ops.where(drawn >= ops.mean(drawn), x, 0.0)

    def only(condition, x):
        return ops.where(condition, centred(x), x)

    return {
        "row by row": (lambda x, trains: ops.relu(x), ""),
        "chance": (lambda x, trains: chance(x), ""),
        "mean": (lambda x, trains: centred(x), f"{OUTPUTS} on the other"),
        "mean while it trains": (lambda x, trains: centred(x) if trains else x, f"{OUTPUTS}, while it trains, on"),
        "neighbour": (lambda x, trains: odd(x) * tf.roll(x, 1, 0) + (1 - odd(x)) * x, f"{OUTPUTS} on the other"),
        "scaled gradient": (
            lambda x, trains: with_scaled_gradient(x),
            GRADIENT,
        ),
        "many": (lambda x, trains: only(ops.shape(x)[0] > 30, x), f"{OUTPUTS} on the other"),
        "above": (lambda x, trains: above_the_mean_of_chance(x) if trains else x, f"{OUTPUTS}, while it trains, on"),
        "extreme": (lambda x, trains: only(ops.max(x) > 6, x), f"{OUTPUTS}, while it trains, on"),
    }


def losses():
    from keras import ops

    return {
        "mean": (lambda x: ops.mean(x**2), ""),
        "sum": (lambda x: ops.sum(x**2), f"{LOSS} is no mean over the rows"),
        "alike": (lambda x: ops.mean(ops.matmul(x, ops.transpose(x))), f"{LOSS} is no mean over the rows"),
    }


def model_with(of_rows=None, added=None):
    import keras

    keras.backend.clear_session()
    keras.utils.set_random_seed(1)

    class Own(keras.layers.Layer):
        def call(self, x, training=False):
            if added is not None:
                self.add_loss(added(x))
            return x if of_rows is None else of_rows(x, training)

    layers = [keras.layers.Dense(WIDTH), Own(), keras.layers.Dense(8, activation="relu")]
    layers += [keras.layers.BatchNormalization(), keras.layers.Dropout(0.5), keras.layers.Dense(3)]
    return keras.Sequential([keras.Input((WIDTH,)), *layers])


def rows_apart(model):
    import tensorflow as tf

    from nn_train.engine.fit.checks import own_loss
    from nn_train.engine.fit.rows_apart import RowsApart

    x = tf.constant(np.random.default_rng(3).normal(size=(ROWS, WIDTH)), tf.float32)
    return RowsApart(model, (x, tf.zeros([ROWS])), own_loss)


def begins(text, expected):
    return text.startswith(expected) if expected else text == ""


def test_layers_that_compare_rows_are_found():
    for name, (of_rows, said) in layers_of().items():
        model = model_with(of_rows)
        before = [np.asarray(variable.value) for variable in model.variables]
        assert begins(rows_apart(model).objection(), said), name
        assert all(np.array_equal(a, b.value) for a, b in zip(before, model.variables, strict=True)), name


def test_added_losses_that_are_no_means_are_found():
    for name, (added, said) in losses().items():
        assert begins(rows_apart(model_with(added=added)).objection(), said), name


def test_a_metric_that_the_model_updates_is_as_it_was():
    import keras

    class Own(keras.Model):
        def __init__(self, *args, **named):
            super().__init__(*args, **named)
            self.mean = keras.metrics.Mean(name="mean")

        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            loss = keras.ops.mean(y_pred**2)
            self.mean.update_state(loss)
            return loss

    start = keras.Input((WIDTH,))
    model = Own(start, keras.layers.Dense(3)(start))
    model.compile("sgd")
    model.mean.update_state(5.0)
    assert rows_apart(model).objection() == ""
    assert [float(variable) for variable in model.mean.variables] == [5, 1]


def test_what_a_layer_keeps_of_its_rows_is_found():
    import keras
    from keras import ops

    class Keeps(keras.layers.Layer):
        def build(self, shape):
            self.largest = self.add_weight(shape=(), initializer="zeros", trainable=False, name="largest")
            self.calls = self.add_weight(shape=(), initializer="zeros", trainable=False, name="calls", dtype="int32")

        def call(self, x, training=False):
            if training:
                self.calls.assign_add(1)
                self.largest.assign(ops.maximum(self.largest, ops.max(x)))
            return x

    model = keras.Sequential([keras.Input((WIDTH,)), Keeps(name="keeps"), keras.layers.Dense(3)])
    said = rows_apart(model).objection()
    assert said.startswith("sequential")
    assert "keeps/largest depends on the rows that its layer sees: after some rows it is [" in said


def test_it_is_tried_again_after_the_epochs_1_2_4_8_and_the_last():
    asked = []
    apart = rows_apart(model_with())
    apart.objection = lambda rows: asked.append(True) or ""
    tried = []
    for epoch in range(1, 11):
        apart.check_after(epoch)
        tried += [epoch] * len(asked)
        asked.clear()
    assert tried == [1, 2, 4, 8]
    apart.check_after(10, is_last=True)
    assert asked
    asked.clear()
    apart.check_after(10, is_last=True)  # nothing has changed
    assert not asked
    apart.begin()  # another trial with the model
    apart.check_after(10, is_last=True)
    assert asked
    apart.objection = lambda rows: "something"
    with pytest.raises(RequestError, match=r"^something\. It was not so before the training, and is after epoch 16"):
        apart.check_after(16)
