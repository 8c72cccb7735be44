"""Which models' parts add up over workers, tried on real ones; the others are trained from whole batches."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

pytestmark = pytest.mark.tf
CLASSES = 3
Y = np.array([0, 2, 1, 1, 0])


def model_with(
    loss="sparse_categorical_crossentropy",
    metrics=("accuracy",),
    added=None,
    last="softmax",
    drops=False,
    training=None,
    norm=False,
    **compiled,
):
    """A compiled model of six numbers.

    ``added``: a function of the last layer's outputs for ``add_loss``; ``training``: of these while the model trains.
    """
    import keras

    keras.utils.set_random_seed(2)
    while_training = training

    class Adds(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.seeds = keras.random.SeedGenerator(1)
            self.added = added

        def call(self, x, training=False):
            if self.added is not None:
                self.add_loss(self.added(x))
            if while_training is not None and training:
                x = while_training(x)
            return keras.random.dropout(x, 0.5, seed=self.seeds) if drops else x

    hidden = keras.layers.Dense(8, activation="relu", kernel_regularizer="l2")
    norms = [keras.layers.BatchNormalization()] if norm else []
    layers = [hidden, *norms, Adds(), keras.layers.Dropout(0.5), keras.layers.Dense(CLASSES, activation=last)]
    model = keras.Sequential([keras.Input((6,)), *layers])
    model.compile("adam", loss, metrics=list(metrics), **compiled)
    return model


def is_taken(model, one_hot=False, weighted=False, large=False, rows=5):
    """Whether its parts add up; nothing of the model may have changed afterwards."""
    import tensorflow as tf

    from nn_train.engine.seeds import seed_states
    from nn_train.engine.spreadable import adds_up

    x = tf.constant(np.random.default_rng(0).normal(size=(5, 6)), tf.float32)
    y = tf.one_hot(Y, CLASSES) if one_hot else tf.constant(Y)
    y = tf.constant([[1998.0, 2010.0, 1987.0 + i] for i in range(5)]) if large else y
    weight = tf.constant([1.0, 2.0, 0.0, 3.0, 0.5]) if weighted else None
    model._symbolic_build(data_batch=(x, y) if weight is None else (x, y, weight))
    state = [*model.variables, *seed_states(model)]
    before = [np.asarray(variable.value) for variable in state]
    batch = [None if part is None else part[:rows] for part in (x, y, weight)]
    taken = adds_up(model, tuple(batch), SimpleNamespace(strategy=tf.distribute.get_strategy(), size=2), is_known=False)
    changed = [b.path for a, b in zip(before, state, strict=True) if (a != np.asarray(b.value)).any()]
    assert changed == []
    assert not any(np.asarray(variable).any() for variable in model.metrics_variables)
    return taken


def test_what_adds_up_is_taken():
    import keras

    ones = [keras.metrics.F1Score(name="f1"), keras.metrics.AUC(), "categorical_accuracy"]
    exact = {
        "weighted": (model_with(weighted_metrics=["accuracy"]), {"weighted": True}),
        "one-hot": (model_with("categorical_crossentropy", ones), {"one_hot": True}),
        "mean added": (model_with(added=lambda x: keras.ops.mean(x)), {}),
        "R2": (model_with("mse", [keras.metrics.R2Score()], last="linear"), {"large": True}),
        "draws": (model_with(drops=True, norm=True), {}),
    }
    assert [name for name, (model, how) in exact.items() if not is_taken(model, **how)] == []


def test_rows_are_tried_from_all_over_data_that_are_sorted():
    import tensorflow as tf

    from nn_train.datasets import Examples, SplitData
    from nn_train.datasets.rows import IndexedExamples
    from nn_train.engine.preparation import sample_rows
    from nn_train.engine.spreadable import some_of

    classes = np.repeat(np.arange(4, dtype=np.int32), 25)
    examples = Examples(x=np.arange(100, dtype=np.float32)[:, None], y=classes)
    rows = sample_rows(SplitData(train=examples, validation=None, test=None), 32)
    assert np.asarray(rows[0])[[0, -1], 0].tolist() == [0, 99]
    assert np.bincount(rows[1]).tolist() == [8, 8, 8, 8]

    class Rows:
        def __len__(self):
            return 100

        def take(self, index):
            return examples.x[index], classes[index]

        def fingerprint(self):
            return {}

    by_number = sample_rows(SplitData(train=IndexedExamples(Rows()), validation=None, test=None), 32)
    assert np.asarray(by_number[0])[:, 0].tolist() == [*range(8), *range(30, 38), *range(61, 69), *range(92, 100)]
    few = some_of((*rows[:2], tf.constant(np.arange(32.0))), 5)
    assert np.asarray(few[1]).tolist() == [0, 0, 1, 2, 3]
    assert len(few[2]) == 5


def test_of_too_few_rows_nothing_is_known():
    assert not is_taken(model_with(), rows=4)


def test_what_does_not_add_up_is_not():
    import keras
    from keras import ops

    def rmse(y, p):
        return ops.sqrt(ops.mean(ops.square(y - p)))

    def largest(y, p):
        return ops.max(p)

    of_known_classes = keras.losses.SparseCategoricalCrossentropy(ignore_class=9)  # which is not in the rows
    summed = keras.losses.SparseCategoricalCrossentropy(reduction="sum")
    inexact = {
        "rmse": (model_with(rmse, ()), {"one_hot": True}),
        "sum added": (model_with(added=lambda x: ops.sum(x)), {}),
        "mean while training": (model_with(training=lambda x: x - ops.mean(x, axis=0)), {}),
        "one number": (model_with(metrics=[largest]), {}),
        "ignored class": (model_with(of_known_classes), {}),
        "reduction": (model_with(summed, drops=True), {}),  # it draws: of its losses nothing can be compared
    }
    assert [name for name, (model, how) in inexact.items() if is_taken(model, **how)] == []


@pytest.mark.parametrize("name", ["counts", "own_steps", "averages"])
def test_what_trains_its_own_way_is_seen(name):
    import own_ways

    from nn_train.engine.whole_steps import trains_its_own_way

    model = getattr(own_ways, name)()
    assert trains_its_own_way(model) == (name != "counts")
    assert name != "counts" or not is_taken(model)


def test_activity_penalties_do_not_add_up_exactly_where_keras_sums_them_over_the_rows():
    import keras
    import user_code

    from nn_train.engine.spreadable import sums_penalties

    layer = keras.layers.Dense(3, kernel_initializer="ones", activity_regularizer="l2")
    model = keras.Sequential([keras.Input((2,)), keras.Sequential([layer])])  # nested, as in a user's model
    model.compile(loss="mse")

    def penalty(rows):
        model(np.ones((rows, 2), np.float32))
        return float(sum(model.losses))

    assert sums_penalties(model) == (penalty(4) != pytest.approx(penalty(1)))
    if not sums_penalties(model):
        assert user_code.compiled_two_inputs().layers[-1].activity_regularizer is not None  # the scenario `clipped`
