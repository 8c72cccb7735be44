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

    def has_room(x):
        """For four fifths of the rows on each side: enough but for rows that are all alike."""
        side = ops.one_hot(ops.cast(x[:, 0] > 0, "int32"), 2)
        places = ops.sum(ops.cumsum(side, axis=0) * side, axis=-1, keepdims=True)
        return ops.where(5 * places <= 4 * ops.cast(ops.shape(x)[0], x.dtype), x, 0.0)

    # As by chance: in each trial a batch gives the same twice, five others are centred, and so is the first one then.
    turns = itertools.cycle([0, 0, 1, 1, 1, 1, 1, 1])

    def chance(x):
        return centred(x) if tf.executing_eagerly() and next(turns) else x

    @tf.custom_gradient
    def with_scaled_gradient(x):
        return tf.identity(x), lambda gradient: gradient / tf.norm(gradient)

    @tf.custom_gradient
    def with_turned_gradient(x):
        return tf.identity(x), lambda gradient: -gradient

    def pairs_by_chance(x):
        return x + ops.take(x, ops.argsort(keras.random.uniform((ops.shape(x)[0],))), axis=0)

    def above_the_mean_of_chance(x):
        drawn = keras.random.uniform((ops.shape(x)[0], 1))
        return ops.where(drawn >= ops.mean(drawn), x, 0.0)

    def in_a_graph_alone(x):
        assert not tf.executing_eagerly()
        return centred(x)

    def only(condition, x):
        return ops.where(condition, centred(x), x)

    return {
        "row by row": (lambda x, trains: ops.relu(x), ""),
        "by a hair": (lambda x, trains: ops.one_hot(ops.argmax(x / 3, axis=-1), WIDTH), ""),
        "normalised": (lambda x, trains: keras.layers.UnitNormalization()(x), ""),
        "draws": (
            lambda x, trains: x + tf.random.stateless_uniform(tf.shape(x), tf.random.uniform([2], 0, 9, tf.int32)),
            "",
        ),
        "chance": (lambda x, trains: chance(x), ""),
        "mean": (lambda x, trains: centred(x), f"{OUTPUTS} on the other"),
        "mean while it trains": (lambda x, trains: centred(x) if trains else x, f"{OUTPUTS}, while it trains, on"),
        "neighbour": (lambda x, trains: odd(x) * tf.roll(x, 1, 0) + (1 - odd(x)) * x, f"{OUTPUTS} on the other"),
        "room": (lambda x, trains: has_room(x), f"{OUTPUTS} on the other"),
        "scaled gradient": (
            lambda x, trains: with_scaled_gradient(x),
            GRADIENT,
        ),
        "turned gradient": (lambda x, trains: with_turned_gradient(x), ""),
        "many": (lambda x, trains: only(ops.shape(x)[0] > 30, x), f"{OUTPUTS} on the other"),
        "by their number": (lambda x, trains: x * ops.cast(ops.shape(x)[0], x.dtype), f"{OUTPUTS} on the other"),
        "pairs by chance": (lambda x, trains: pairs_by_chance(x) if trains else x, f"{OUTPUTS}, while it trains, on"),
        "above": (lambda x, trains: above_the_mean_of_chance(x) if trains else x, f"{OUTPUTS}, while it trains, on"),
        "in a graph": (lambda x, trains: in_a_graph_alone(x), f"{OUTPUTS} on the other"),
        "extreme": (lambda x, trains: only(ops.max(x) > 6, x), f"{OUTPUTS}, while it trains, on"),
    }


def losses():
    from keras import ops

    return {
        "mean": (lambda x: ops.mean(x**2), ""),
        "sum": (lambda x: ops.sum(x**2), f"{LOSS} is no mean over the rows"),
        "alike": (lambda x: ops.mean(ops.matmul(x, ops.transpose(x))), f"{LOSS} is no mean over the rows"),
        "largest": (lambda x: ops.max(x), f"{LOSS} is no mean over the rows"),
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


@pytest.mark.parametrize(
    "name",
    [
        "row by row",
        "by a hair",
        "normalised",
        "draws",
        "chance",
        "mean",
        "mean while it trains",
        "neighbour",
        "room",
        "scaled gradient",
        "turned gradient",
        "many",
        "by their number",
        "pairs by chance",
        "above",
        "in a graph",
        "extreme",
    ],
)
def test_layers_that_compare_rows_are_found(name):
    of_rows, said = layers_of()[name]
    model = model_with(of_rows)
    before = [np.asarray(variable.value) for variable in model.variables]
    assert begins(rows_apart(model).objection(), said)
    assert all(np.array_equal(a, b.value) for a, b in zip(before, model.variables, strict=True))


@pytest.mark.parametrize("name", ["mean", "sum", "alike", "largest"])
def test_added_losses_that_are_no_means_are_found(name):
    added, said = losses()[name]
    assert begins(rows_apart(model_with(added=added)).objection(), said)


def test_a_model_may_give_several_entries_for_a_row():
    import keras
    from keras import ops

    class Entries(keras.Model):
        def __init__(self, apart):
            super().__init__()
            self.dense, self.apart = keras.layers.Dense(8), apart

        def call(self, x):
            entries = ops.reshape(self.dense(x), (-1, 2))
            return entries if self.apart else entries - ops.mean(entries, axis=0)

    keras.utils.set_random_seed(1)
    for apart in (True, False):
        assert bool(rows_apart(Entries(apart)).objection()) != apart


def test_of_outputs_of_several_types_all_are_compared():
    import keras
    import tensorflow as tf
    from keras import ops

    def centred(x):
        return x - ops.mean(x, axis=0)

    for kind in ("float64", "bfloat16", "float16"):
        start = keras.Input((WIDTH,))
        outputs = [
            keras.layers.Dense(3)(start),
            keras.layers.Lambda(lambda x, kind=kind: tf.cast(centred(x), kind))(start),
        ]
        assert begins(rows_apart(keras.Model(start, outputs)).objection(), f"{OUTPUTS} on the other")


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_roundings_of_half_precision_are_no_comparison(policy):
    import keras
    from keras import ops

    class Own(keras.Model):
        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            return ops.mean(ops.square(y_pred - 1))

    keras.utils.set_random_seed(1)
    keras.config.set_dtype_policy(policy)
    try:
        start = keras.Input((WIDTH,))
        hidden = keras.layers.Dense(64, activation="relu")(start)
        scaled = keras.layers.Rescaling(300.0, dtype="float32")(keras.layers.Dense(10)(hidden))
        model = Own(start, scaled)
        model.compile("sgd")
        assert rows_apart(model).objection() == ""
    finally:
        keras.config.set_dtype_policy("float32")


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


def test_what_keras_alone_has_made_is_not_tried_again():
    import keras

    from nn_train.engine.fit.rows_apart import is_of_keras

    dense = keras.layers.Dense(4, activation="relu")
    keras_own = [dense, keras.layers.BatchNormalization(), keras.layers.Dropout(0.5)]
    assert is_of_keras(keras.Sequential([keras.Input((WIDTH,)), keras.Sequential(keras_own)]))
    for other in (keras.layers.Dense(4, activation=lambda x: x), keras.layers.Lambda(lambda x: x)):
        assert not is_of_keras(keras.Sequential([keras.Input((WIDTH,)), keras.Sequential([other])]))
    assert not is_of_keras(model_with())


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


def test_of_rows_that_are_not_dense_or_only_one_nothing_is_said():
    import tensorflow as tf

    from nn_train.engine.fit.checks import own_loss
    from nn_train.engine.fit.rows_apart import RowsApart

    of_rows, _ = layers_of()["mean"]
    ragged = tf.ragged.constant([[1.0], [2.0, 3.0]])
    for data in ((tf.zeros([1, WIDTH]), tf.zeros([1])), (ragged, tf.zeros([2]))):
        assert RowsApart(model_with(of_rows), data, own_loss).objection() == ""
