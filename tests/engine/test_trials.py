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


def test_variables_are_found_wherever_a_layer_holds_them():
    import keras
    import tensorflow as tf

    from nn_train.engine.fit.trials import plain_variables

    class Holds(keras.layers.Layer):
        def __init__(self):
            super().__init__(name="holds")
            one, two, three, four = (tf.Variable(float(number)) for number in range(4))
            self.one, self.of_lists, self.pair = one, {"x": [two]}, (three, "no variable")
            self.module = tf.Module()
            self.module.inner = four
            self.words = ["word"] * 2000

        def call(self, x):
            return x

    names = ["holds.module.variables[0]", "holds.of_lists['x'][0]", "holds.one", "holds.pair[0]"]
    assert sorted(plain_variables(model_with(Holds()))) == names
    assert plain_variables(model_with(keras.layers.BatchNormalization())) == {}


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


def test_at_rest_nothing_happens_by_chance_and_no_generator_goes_on():
    import keras
    import tensorflow as tf

    from nn_train.engine.fit.trials import at_rest

    keras.utils.set_random_seed(1)
    generator, model, numbers = tf.random.Generator.from_seed(1), model_with(), tf.constant([1.0, 2.0, 3.0])
    before = np.asarray(generator.state)
    with at_rest(model):
        shuffled = [tf.random.shuffle(numbers), tf.random.experimental.stateless_shuffle(numbers, [1, 2])]
        shuffled.append(keras.random.shuffle(numbers))
        drawn = [
            tf.random.normal([2]),
            keras.random.gamma([2], 3.0),
            generator.normal([2]),
            generator.binomial([2], 3.0, 0.5),
        ]
        assert np.allclose(tf.nn.dropout(numbers, 0.8), 5 * numbers)  # nothing is dropped
    assert [np.asarray(one).tolist() for one in shuffled] == [[3, 2, 1]] * 3
    for one in drawn:  # nearly the same for each row, and less for each that follows, whatever is made of it
        assert np.allclose(one, one[0], rtol=1e-4)
    assert drawn[0][0] > drawn[0][1]
    assert np.array_equal(generator.state, before)


def test_another_thread_draws_as_ever_while_a_model_is_tried():
    """As one does that reads examples."""
    import threading

    import keras
    import tensorflow as tf

    from nn_train.engine.fit.trials import at_rest

    drawn, model = [], model_with()

    def draw():
        drawn.extend(
            [tf.random.normal([3]), keras.random.uniform([3]), tf.nn.dropout(tf.ones([50]), 0.5), np.random.rand(3)]
        )

    with at_rest(model):
        thread = threading.Thread(target=draw)
        thread.start()
        thread.join()
    assert all(len(set(np.asarray(one).tolist())) > 1 for one in drawn)


def test_weights_of_nothing_but_zeros_are_others_meanwhile():
    from nn_train.engine.fit.trials import opened

    model = model_with()
    kernel, bias = (np.asarray(variable.value) for variable in model.layers[0].variables)
    with opened(model):
        assert np.array_equal(model.layers[0].kernel, kernel)
        assert np.asarray(model.layers[0].bias.value).tolist() == pytest.approx([0.1] * 3)
    assert np.array_equal(model.layers[0].bias, bias)
