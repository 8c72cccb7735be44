"""What several workers would compute otherwise than one is refused, and nothing else is."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from nn_train.errors import RequestError

pytestmark = pytest.mark.tf
CLASSES = 3
Y = np.array([0, 2, 1, 1, 0])


def model_with(
    loss="sparse_categorical_crossentropy",
    metrics=("accuracy",),
    added=None,
    last="softmax",
    drops=False,
    **compiled,
):
    """A compiled model of six numbers; ``added``: a function of the last layer's outputs for ``add_loss``."""
    import keras

    keras.utils.set_random_seed(2)

    class Adds(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.seeds = keras.random.SeedGenerator(1)

        def call(self, x):
            if added is not None:
                self.add_loss(added(x))
            return keras.random.dropout(x, 0.5, seed=self.seeds) if drops else x

    hidden = keras.layers.Dense(8, activation="relu", kernel_regularizer="l2")
    layers = [hidden, Adds(), keras.layers.Dropout(0.5), keras.layers.Dense(CLASSES, activation=last)]
    model = keras.Sequential([keras.Input((6,)), *layers])
    model.compile("adam", loss, metrics=list(metrics), **compiled)
    return model


def check(model, one_hot=False, weighted=False, large=False):
    import tensorflow as tf

    from nn_train.engine.seeds import seed_states
    from nn_train.engine.spreadable import check_spreadable

    x = tf.constant(np.random.default_rng(0).normal(size=(5, 6)), tf.float32)
    y = tf.one_hot(Y, CLASSES) if one_hot else tf.constant(Y)
    y = tf.constant([[1998.0, 2010.0, 1987.0 + i] for i in range(5)]) if large else y
    weight = tf.constant([1.0, 2.0, 0.0, 3.0, 0.5]) if weighted else None
    model._symbolic_build(data_batch=(x, y) if weight is None else (x, y, weight))
    state = [*model.variables, *seed_states(model)]
    before = [np.asarray(variable.value) for variable in state]
    check_spreadable(model, (x, y, weight), SimpleNamespace(strategy=tf.distribute.get_strategy()), is_own=True)
    changed = [b.path for a, b in zip(before, state, strict=True) if (a != np.asarray(b.value)).any()]
    assert changed == []
    assert not any(np.asarray(variable).any() for variable in model.metrics_variables)


def without_a_loss():
    import keras

    class Own(keras.Model):
        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            return keras.ops.mean(keras.losses.sparse_categorical_crossentropy(y, y_pred))

    inputs = keras.Input((6,))
    model = Own(inputs, keras.layers.Dense(CLASSES, activation="softmax")(inputs))
    model.compile("adam")
    return model


def exact():
    import keras

    ones = [keras.metrics.F1Score(name="f1"), keras.metrics.AUC(), keras.metrics.KLDivergence(), "categorical_accuracy"]
    return {
        "built in": (model_with(), {}),
        "weighted": (model_with(weighted_metrics=["accuracy"]), {"weighted": True}),
        "one-hot": (model_with("categorical_crossentropy", ones), {"one_hot": True}),
        "mean added": (model_with(added=lambda x: keras.ops.mean(x)), {}),
        "own loss": (model_with(lambda y, p: keras.ops.mean(keras.ops.square(y - p), -1), ()), {"one_hot": True}),
        # Of a softmax it is a mean: its denominator is the number of examples.
        "dice": (model_with("dice", ()), {"one_hot": True}),
        "R2": (model_with("mse", [keras.metrics.R2Score()], last="linear"), {"large": True}),
        "draws": (model_with(drops=True), {}),
        "no loss": (without_a_loss(), {}),
        "own metric": (model_with(metrics=[lambda y, p: keras.ops.max(p, -1)]), {}),
    }


@pytest.mark.parametrize(
    "name",
    ["built in", "weighted", "one-hot", "mean added", "own loss", "own metric", "dice", "R2", "draws", "no loss"],
)
def test_what_adds_up_is_taken_and_nothing_of_the_model_has_changed(name):
    model, how = exact()[name]
    check(model, **how)


def inexact():
    import keras
    from keras import ops

    class Largest(keras.metrics.Metric):
        def __init__(self):
            super().__init__(name="largest")
            self.value = self.add_variable((), "zeros", name="value")

        def update_state(self, y, p, sample_weight=None):
            self.value.assign(ops.maximum(self.value, ops.max(p)))

        def result(self):
            return self.value

    def rmse(y, p):
        return ops.sqrt(ops.mean(ops.square(y - p)))

    def sharpest(y, p):
        return ops.max(p)

    return {
        "rmse": (model_with(rmse, ()), {"one_hot": True}, "the loss is no mean over the examples"),
        "dice": (model_with("dice", (), last="sigmoid"), {"one_hot": True}, "the loss is no mean over the examples"),
        "sum added": (model_with(added=lambda x: ops.sum(x)), {}, "the loss is no mean over the examples"),
        "maximum": (model_with(metrics=[Largest()]), {}, "the metric largest cannot be put together"),
        "one number": (model_with(metrics=[sharpest]), {}, "the metric sharpest cannot be put together"),
        "reduction": (
            model_with(keras.losses.SparseCategoricalCrossentropy(reduction="sum")),
            {},
            "the loss reduces by sum",
        ),
    }


@pytest.mark.parametrize("name", ["rmse", "dice", "sum added", "maximum", "one number", "reduction"])
def test_what_does_not_add_up_is_refused_by_name(name):
    model, how, said = inexact()[name]
    with pytest.raises(RequestError, match=said) as caught:
        check(model, **how)
    assert "num_workers 1" in str(caught.value) or name == "reduction"


def test_activity_penalties_are_refused_exactly_where_keras_sums_them_over_the_rows():
    import keras
    import user_code

    from nn_train.engine.spreadable import check_penalties

    layer = keras.layers.Dense(3, kernel_initializer="ones", activity_regularizer="l2")
    model = keras.Sequential([keras.Input((2,)), keras.Sequential([layer])])  # nested, as in a user's model
    model.compile(loss="mse")

    def penalty(rows):
        model(np.ones((rows, 2), np.float32))
        return float(sum(model.losses))

    if penalty(4) == pytest.approx(penalty(1)):
        check_penalties(model)
        assert user_code.compiled_two_inputs().layers[-1].activity_regularizer is not None  # the scenario `clipped`
    else:
        with pytest.raises(RequestError, match=r"activity regularisers .* Keras 3\.14"):
            check_penalties(model)
