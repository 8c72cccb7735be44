"""By what a model says of made-up examples another formula of the user's is noticed."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.tf


def dense(keras, *layers, shape=(6,)):
    keras.utils.set_random_seed(3)
    return keras.Sequential([keras.Input(shape), *layers, keras.layers.Dense(3, kernel_initializer="ones")])


def scaled(keras, factor):
    class Scaled(keras.layers.Layer):
        def call(self, x):
            return x * factor

    return Scaled()


@pytest.mark.parametrize(("factor", "alike"), [(1.0, True), (1.0001, True), (0.5, False), (1.1, False)])
def test_a_factor_of_the_users_is_seen_and_a_rounding_is_not(factor, alike):
    import keras

    from nn_train.engine.sample_outputs import are_alike, sample_outputs

    before, now = (sample_outputs(dense(keras, scaled(keras, one))) for one in (1.0, factor))
    assert are_alike(before, now) is alike


@pytest.mark.parametrize("kind", ["texts", "drawn", "not finite", "unknown inputs"])
def test_nothing_is_said_of_what_says_nothing(kind):
    import keras
    import tensorflow as tf

    from nn_train.engine.sample_outputs import are_alike, sample_outputs

    class Odd(keras.layers.Layer):
        def call(self, x):
            return x + (tf.random.normal(tf.shape(x)) if kind == "drawn" else float("nan"))

    class Own(keras.Model):
        def call(self, x):
            return x

    models = {
        "texts": lambda: keras.Sequential(
            [keras.Input((), dtype="string"), keras.layers.StringLookup(vocabulary=["a"])]
        ),
        "drawn": lambda: dense(keras, Odd()),
        "not finite": lambda: dense(keras, Odd()),
        "unknown inputs": Own,
    }
    assert sample_outputs(models[kind]()) is None
    assert not are_alike([1.0], None)
