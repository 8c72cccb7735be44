"""What is said before a model trains, in one process."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.tf


class LegacyModel:
    """In the place of one of ``tf_keras``."""


def test_a_model_of_the_legacy_keras_is_refused_with_what_to_do():
    import nn_train

    with pytest.raises(TypeError, match=r"got test_calls\.LegacyModel; build it with `import keras`") as raised:
        nn_train.fit(LegacyModel(), [1.0])
    assert len(str(raised.value).splitlines()) == 1


def test_on_one_worker_it_is_keras_own_fit():
    import keras
    import numpy as np

    import nn_train

    x, y = np.random.default_rng(1).normal(size=(37, 4)).astype("float32"), np.arange(37) % 3

    def weights(fit):
        keras.utils.set_random_seed(2)
        with nn_train.scope():
            model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation="softmax")])
        model.compile("adam", "sparse_categorical_crossentropy")
        fit(model, x, y, batch_size=8, epochs=2, verbose=0)
        return model.get_weights()

    ours, theirs = weights(nn_train.fit), weights(lambda model, *args, **named: model.fit(*args, **named))
    assert all(np.array_equal(one, other) for one, other in zip(ours, theirs, strict=True))
