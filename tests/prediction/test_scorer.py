"""Pre-activations of every kind of last layer, on the test set of a run."""

from __future__ import annotations

import numpy as np
import pytest

pytestmark = pytest.mark.tf


def endings():
    import keras

    layers = keras.layers
    return {
        "softmax as activation": ([layers.Dense(3, activation="softmax")], "logits"),
        "softmax as layer": ([layers.Dense(3), layers.Softmax()], "logits"),
        "activation layer": ([layers.Dense(3), layers.Activation("softmax", dtype="float32")], "logits"),
        "logits": ([layers.Dense(3)], "logits"),
        "sigmoid": ([layers.Dense(1, activation="sigmoid")], "logits"),
    }


@pytest.mark.parametrize("ending", ["softmax as activation", "softmax as layer", "activation layer", "logits"])
def test_the_last_softmax_is_left_out(ending):
    import keras

    from nn_train.prediction.scorer import logits_model

    layers, kind = endings()[ending]
    model = keras.Sequential([keras.Input((4,)), *layers])
    x = np.random.default_rng(0).normal(size=(7, 4)).astype(np.float32)
    dense = next(layer for layer in layers if isinstance(layer, keras.layers.Dense))
    kernel, bias = dense.get_weights()
    network, output = logits_model(model)
    assert output == kind
    np.testing.assert_allclose(np.asarray(network(x)), x @ kernel + bias, rtol=1e-5, atol=1e-6)


def test_a_single_score_becomes_two_columns():
    import keras

    from nn_train.prediction.scorer import as_columns, logits_model

    layers, _ = endings()["sigmoid"]
    model = keras.Sequential([keras.Input((4,)), *layers])
    x = np.random.default_rng(0).normal(size=(7, 4)).astype(np.float32)
    probability = np.asarray(model(x))[:, 0]
    network, _ = logits_model(model)
    columns = as_columns(np.asarray(network(x)))
    shares = np.exp(columns) / np.exp(columns).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(shares[:, 1], probability, rtol=1e-5)


def test_a_model_that_hides_its_layers_gives_log_probabilities(tmp_path):
    import keras
    import user_data

    from nn_train.prediction.scorer import score

    @keras.saving.register_keras_serializable("test_scorer")
    class Hidden(keras.Model):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.dense = keras.layers.Dense(3, activation="softmax")

        def call(self, inputs):
            return self.dense(inputs)

    model = Hidden()
    (_, _), (x, y) = user_data.arrays()
    probabilities = np.asarray(model(x))
    model.save(tmp_path / "model.keras")
    scores = score((tmp_path / "model.keras").read_bytes(), {"data": {"source": "user_data:arrays"}}, 0, 1)
    assert scores.output == "log_probabilities"
    assert scores.num_examples == 40
    np.testing.assert_allclose(np.exp(scores.shard.logits), probabilities, rtol=1e-4)
    np.testing.assert_array_equal(scores.shard.y_true, y)


def test_a_stream_gives_the_same_scores_as_arrays(tmp_path):
    import keras

    from nn_train.prediction.scorer import score

    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3)])
    model.save(tmp_path / "model.keras")
    content = (tmp_path / "model.keras").read_bytes()
    arrays = score(content, {"data": {"source": "user_data:arrays"}}, 0, 1)
    streams = score(content, {"data": {"source": "user_code:three_streams"}}, 0, 1)
    np.testing.assert_array_equal(arrays.shard.logits, streams.shard.logits)
    np.testing.assert_array_equal(arrays.shard.example_id, streams.shard.example_id)


def test_a_model_file_that_would_run_code_is_refused(tmp_path):
    import keras

    from nn_train.errors import RequestError
    from nn_train.prediction.scorer import load_model

    proof = str(tmp_path / "ran")
    harmful = keras.layers.Lambda(lambda x: (open(proof, "w").close(), x)[1], output_shape=(3,))
    keras.Sequential([keras.Input((3,)), harmful]).save(tmp_path / "model.keras")
    (tmp_path / "ran").unlink(missing_ok=True)
    with pytest.raises(RequestError, match=r"model\.keras cannot be opened: .*Lambda"):
        load_model((tmp_path / "model.keras").read_bytes(), "mlp")
    assert not (tmp_path / "ran").exists()


def test_a_model_whose_module_is_not_here_is_a_request_error_that_says_where_it_is_looked_for():
    from nn_train.errors import RequestError
    from nn_train.prediction.scorer import load_model

    with pytest.raises(RequestError, match=r"model.name: no module 'not_here'; it is looked up from the folder"):
        load_model(b"", "not_here:build")
