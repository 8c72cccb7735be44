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
        "normalised": (model_with(norm=True), {}),
        "noise while training": (model_with(training=lambda x: x + keras.random.normal(keras.ops.shape(x))), {}),
        "no loss": (without_a_loss(), {}),
        "own metric": (model_with(metrics=[lambda y, p: keras.ops.max(p, -1)]), {}),
    }


@pytest.mark.parametrize(
    "name",
    [
        "built in",
        "weighted",
        "one-hot",
        "mean added",
        "own loss",
        "own metric",
        "dice",
        "R2",
        "draws",
        "no loss",
        "normalised",
        "noise while training",
    ],
)
def test_what_adds_up_is_taken(name):
    model, how = exact()[name]
    assert is_taken(model, **how)


def test_rows_are_tried_from_all_over_data_that_are_sorted():
    import tensorflow as tf

    from nn_train.datasets import Examples, SplitData
    from nn_train.datasets.examples import IndexedExamples
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


def inexact():
    import keras
    import tensorflow as tf
    from keras import ops

    class Largest(keras.metrics.Metric):
        def __init__(self):
            super().__init__(name="largest")
            self.value = self.add_variable((), "zeros", name="value")

        def update_state(self, y, p, sample_weight=None):
            self.value.assign(ops.maximum(self.value, ops.max(p)))

        def result(self):
            return self.value

    class Shut(keras.layers.Layer):
        """How alike the rows are, times a factor that begins with zero."""

        def __init__(self, trainable):
            super().__init__()
            self.factor = self.add_weight(shape=(), initializer="zeros", trainable=trainable)

        def call(self, x):
            return self.factor * ops.mean(ops.matmul(x, ops.transpose(x)))

    def rmse(y, p):
        return ops.sqrt(ops.mean(ops.square(y - p)))

    def sharpest(y, p):
        return ops.max(p)

    return {
        "rmse": (model_with(rmse, ()), {"one_hot": True}),
        "dice": (model_with("dice", (), last="sigmoid"), {"one_hot": True}),
        "sum added": (model_with(added=lambda x: ops.sum(x)), {}),
        "mean while training": (model_with(training=lambda x: x - ops.mean(x, axis=0)), {}),
        "shuffled while training": (model_with(training=lambda x: x + tf.random.shuffle(x)), {}),
        "shut mean": (model_with(added=Shut(True)), {}),
        "shut until raised": (model_with(added=Shut(False)), {}),
        "maximum": (model_with(metrics=[Largest()]), {}),
        "one number": (model_with(metrics=[sharpest]), {}),
        # It draws: of its losses nothing can be compared.
        "ignored class": (
            model_with(keras.losses.SparseCategoricalCrossentropy(ignore_class=9)),
            {},
        ),  # not in the rows
        "reduction": (model_with(keras.losses.SparseCategoricalCrossentropy(reduction="sum"), drops=True), {}),
    }


@pytest.mark.parametrize(
    "name",
    [
        "rmse",
        "dice",
        "sum added",
        "mean while training",
        "shuffled while training",
        "shut mean",
        "shut until raised",
        "maximum",
        "one number",
        "ignored class",
        "reduction",
    ],
)
def test_what_does_not_add_up_is_not(name):
    model, how = inexact()[name]
    assert not is_taken(model, **how)


@pytest.mark.parametrize("name", ["counts", "own_steps", "averages"])
def test_what_trains_its_own_way_is_seen(name):
    import own_ways

    from nn_train.engine.whole_steps import trains_its_own_way

    model = getattr(own_ways, name)()
    assert trains_its_own_way(model) == (name != "counts")
    assert name != "counts" or not is_taken(model)


@pytest.mark.parametrize("name", ["train_step", "test_step", "compute_metrics", None])
def test_a_model_with_one_method_of_its_own_trains_its_own_way(name):
    import keras

    from nn_train.engine.whole_steps import trains_its_own_way

    own = {name: lambda self, *given, **named: {}} if name else {}
    model = type("Own", (keras.Sequential,), own)([keras.Input((6,)), keras.layers.Dense(CLASSES)])
    model.compile("adam", "mse")
    assert trains_its_own_way(model) == (name is not None)


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
