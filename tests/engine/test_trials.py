"""What a model is tried with: it is afterwards as it was, and what its layers keep beside Keras is found."""

from __future__ import annotations

import numpy as np
import pytest

from nn_train.errors import RequestError

pytestmark = pytest.mark.tf
X = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")


def model_with(*layers):
    import keras

    keras.utils.set_random_seed(1)
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), *layers, keras.layers.Dense(2)])


def keeping(step):
    """A layer with a TensorFlow variable, to which it adds ``step`` while it trains."""
    import keras
    import tensorflow as tf

    class Keeps(keras.layers.Layer):
        def __init__(self):
            super().__init__(name="keeps")
            self.seen = tf.Variable(0.0, trainable=False)

        def call(self, x, training=False):
            if training:
                self.seen.assign_add(step)
            return x + self.seen

    return Keeps()


def test_what_a_layer_keeps_in_a_variable_that_keras_does_not_save_is_refused_by_its_name():
    from nn_train.engine.preparation import refuse_kept_beside

    layer = keeping(1.0)
    with pytest.raises(RequestError, match=r"^model\.name: keeps\.seen is a tf\.Variable that changes while the model"):
        refuse_kept_beside(model_with(layer), X)
    assert layer.seen.numpy() == 0
    refuse_kept_beside(model_with(keeping(0.0)), X)
    refuse_kept_beside(model_with(), X)


def test_at_rest_a_row_gives_the_same_alone_and_among_others_and_nothing_is_changed():
    import keras

    from nn_train.engine.fit.trials import at_rest

    seen = keeping(1.0)
    layers = [keras.layers.BatchNormalization(), keras.layers.Dropout(0.5), keras.layers.GaussianNoise(1.0), seen]
    model = model_with(*layers, keras.layers.SpectralNormalization(keras.layers.Dense(3)))
    model(X)
    before = [np.asarray(variable.value) for variable in model.variables]
    given = []
    for rows in (slice(0, 5), slice(0, 1)):
        with at_rest(model):
            given.append(np.asarray(model(X[rows], training=True))[0])
    np.testing.assert_allclose(given[0], given[1], rtol=1e-5)
    changed = [b.path for a, b in zip(before, model.variables, strict=True) if not np.array_equal(a, b.value)]
    assert changed == []
    assert seen.seen.numpy() == 0
    moved = np.asarray(model(X, training=True))
    assert not np.allclose(moved[0], given[0], rtol=1e-3)
    assert not np.array_equal(before[2 + 2], model.variables[2 + 2].value)  # a moving mean: it is normal again
