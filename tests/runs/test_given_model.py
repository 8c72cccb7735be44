"""A model that a call from Python was given is the same model in each worker."""

from __future__ import annotations

import numpy as np
import pytest

from nn_train.errors import RequestError

pytestmark = pytest.mark.tf


@pytest.fixture
def kinds():
    """Models of which Keras does not have all that they are made of, by their names."""
    import keras

    class Doubles(keras.layers.Layer):
        def call(self, x):
            return 2 * x

    class Twice(keras.metrics.Mean):
        pass

    def squares(y, p):
        return keras.ops.square(y - p)

    def model(*layers):
        return keras.Sequential([keras.Input((3,)), *layers, keras.layers.Dense(1)])

    class Hides(keras.layers.Layer):
        def __init__(self, size):
            super().__init__()
            self.size = size

        def call(self, x):
            return x

    found = {"uncompiled": model(), "layer": model(Doubles()), "compiled": model(), "trained": model()}
    found["compiled"].compile(keras.optimizers.Lion(0.3), squares, metrics=[Twice(), squares])
    found["trained"].compile("adam", "mse")
    found["trained"].fit(np.ones((4, 3)), np.ones((4, 1)), verbose=0)
    return found | {"hides": model(Hides(3))}


@pytest.mark.filterwarnings("error:Skipping variable loading")
@pytest.mark.parametrize("name", ["uncompiled", "layer", "compiled", "trained"])
def test_it_is_made_anew_each_time_with_weights_optimizer_and_losses(kinds, name):
    from nn_train.runs.given_model import GivenModel

    model = kinds[name]
    given = GivenModel(model)
    one, other = given(), given()
    assert one is not other
    for made in (one, other):
        assert [type(layer) for layer in made.layers] == [type(layer) for layer in model.layers]
        for ours, own in zip(made.get_weights(), model.get_weights(), strict=True):
            np.testing.assert_array_equal(ours, own)
        assert made.compiled == model.compiled
    if name in ("compiled", "trained"):
        assert type(one.optimizer) is type(model.optimizer)
        assert float(one.optimizer.learning_rate) == float(model.optimizer.learning_rate)
        assert int(one.optimizer.iterations) == int(model.optimizer.iterations)
    assert one.loss == model.loss if model.compiled else True
    assert GivenModel(model).digest == given.digest
    model.layers[-1].set_weights([value + 1 for value in model.layers[-1].get_weights()])
    assert GivenModel(model).digest != given.digest


def test_one_that_cannot_be_made_again_is_refused_with_what_to_do(kinds):
    from nn_train.runs.given_model import GivenModel

    with pytest.raises(
        RequestError, match=r"^model: \w+ cannot be made again from its configuration .*; give a functi"
    ):
        GivenModel(kinds["hides"])


def changed(change):
    """A compiled model after ``change`` of it."""
    import keras

    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, name="only")])
    model.compile(keras.optimizers.AdamW(0.1), "mse")
    change(keras, model)
    return model


def frozen_base(keras, model):
    base = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2), keras.layers.Dropout(0.1)])
    base.trainable = False
    return keras.Sequential([keras.Input((3,)), base, keras.layers.Dense(1)])


KEPT = {
    "a frozen base": frozen_base,
    "numbers of NumPy": lambda keras, model: keras.Sequential(
        [
            keras.Input((3,)),
            keras.layers.Normalization(mean=[1, 2.0, 3], variance=np.ones(3)),
            keras.layers.Dropout(np.float32(0.2)),
        ]
    ),
}


@pytest.mark.parametrize("what", KEPT)
def test_usual_models_lose_nothing(what):
    import keras

    from nn_train.runs.given_model import GivenModel

    GivenModel(KEPT[what](keras, changed(lambda keras, model: model.compile("sgd", "mse"))))


def test_its_precision_is_its_own():
    import keras

    from nn_train.runs.given_model import GivenModel

    before = keras.config.dtype_policy()
    try:
        keras.config.set_dtype_policy("mixed_float16")
        model = changed(lambda keras, model: model.compile("sgd", "mse"))
        keras.config.set_dtype_policy("float32")
        made = GivenModel(model)()
        assert made.dtype_policy.name == "mixed_float16"
        assert type(made.optimizer) is type(model.optimizer)  # which scales the loss
        assert keras.config.dtype_policy().name == "float32"
        keras.config.set_dtype_policy("mixed_bfloat16")
        with pytest.raises(
            RequestError, match=r"^train\.precision: mixed_bfloat16: .* have .* mixed_float16; give a fun"
        ):
            GivenModel(model)()
    finally:
        keras.config.set_dtype_policy(before)
