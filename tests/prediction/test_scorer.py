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
        "logits": ([layers.Dense(3)], "linear"),
    }


@pytest.mark.parametrize("ending", ["softmax as activation", "softmax as layer", "activation layer", "logits"])
def test_the_last_softmax_is_left_out(ending):
    import keras

    from nn_train.prediction.outputs import logits_model

    layers, kind = endings()[ending]
    model = keras.Sequential([keras.Input((4,)), *layers])
    x = np.random.default_rng(0).normal(size=(7, 4)).astype(np.float32)
    dense = next(layer for layer in layers if isinstance(layer, keras.layers.Dense))
    kernel, bias = dense.get_weights()
    network, output = logits_model(model)
    assert output == kind
    np.testing.assert_allclose(np.asarray(network(x)), x @ kernel + bias, rtol=1e-5, atol=1e-6)


def test_a_model_that_hides_its_layers_gives_log_probabilities(tmp_path):
    import keras
    import user_data

    from nn_train.prediction.outputs import UNKNOWN, settled_scores
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
    scores = score((tmp_path / "model.keras").read_bytes(), {"data": {"source": "user_data:arrays"}}, {}, 0, 1)
    assert scores.output == UNKNOWN  # until all rows are there
    assert scores.num_examples == 40
    logits, output = settled_scores(UNKNOWN, scores.shard.outputs)
    assert output == "log_probabilities"
    np.testing.assert_allclose(np.exp(logits), probabilities, rtol=1e-4)
    np.testing.assert_array_equal(scores.shard.y_true, y)


def test_of_a_folder_each_worker_reads_its_blocks_and_all_score_as_arrays_do(tmp_path, monkeypatch):
    import keras
    import user_data

    from nn_train.datasets.npy_folder import NpyRows
    from nn_train.prediction import scored_examples, scorer

    monkeypatch.setattr(scored_examples, "BLOCK", 9)
    asked, whole = [], NpyRows.take
    monkeypatch.setattr(NpyRows, "take", lambda self, index: (asked.extend(index), whole(self, index))[1])
    keras.Sequential([keras.Input((6,)), keras.layers.Dense(3)]).save(tmp_path / "model.keras")
    user_data.save_folder(tmp_path / "data", user_data.arrays())
    content = (tmp_path / "model.keras").read_bytes()
    arrays = scorer.score(content, {"data": {"source": "user_data:arrays"}}, {}, 0, 1).shard
    settings, told = {"data": {"source": str(tmp_path / "data")}}, {}
    parts = [scorer.score(content, settings, told, rank, 2) for rank in range(2)]
    ids = np.concatenate([part.shard.example_id for part in parts])
    assert asked == ids.tolist()  # each once, by one of them
    assert sorted(asked) == list(range(40))
    for rows, part in zip(np.split(ids, [22]), parts, strict=True):
        np.testing.assert_array_equal(part.shard.outputs, arrays.outputs[rows])
        np.testing.assert_array_equal(part.shard.y_true, arrays.y_true[rows])


def test_test_files_that_changed_since_the_training_are_refused(tmp_path):
    import keras
    import user_data

    from nn_train.config import DataConfig
    from nn_train.datasets import load_data
    from nn_train.errors import RequestError
    from nn_train.prediction.scorer import score

    keras.Sequential([keras.Input((6,)), keras.layers.Dense(3)]).save(tmp_path / "model.keras")
    user_data.save_folder(tmp_path / "data", user_data.arrays())
    content, settings = (tmp_path / "model.keras").read_bytes(), {"data": {"source": str(tmp_path / "data")}}
    marks = load_data(DataConfig(source=str(tmp_path / "data"))).fingerprint
    result = {"data": {"fingerprint": {**marks, "x_train.npy": "other"}}}
    assert score(content, settings, result, 0, 1).num_examples == 40
    result = {"data": {"fingerprint": {**marks, "x_test.npy": "other"}}}
    with pytest.raises(RequestError, match=r"/data: x_test.npy changed since the run was trained"):
        score(content, settings, result, 0, 1)


@pytest.mark.parametrize("source", ["drawn_test", "drawn_test_rows", "drawn_parts_stream", "shuffled_test_stream"])
def test_a_function_that_gives_others_than_in_the_training_is_refused(tmp_path, source):
    """It may test on what was trained on. Of older runs no fingerprint is compared."""
    import keras

    from nn_train.config.schema import DataConfig
    from nn_train.datasets.cache import load_for_run
    from nn_train.errors import RequestError
    from nn_train.prediction.scorer import score

    keras.Sequential([keras.Input((6,)), keras.layers.Dense(3)]).save(tmp_path / "model.keras")
    content, settings = (tmp_path / "model.keras").read_bytes(), {"data": {"source": f"unlike_data:{source}"}}
    told = {"data": {"fingerprint": load_for_run(DataConfig(**settings["data"]), 0).fingerprint}}
    if source != "shuffled_test_stream":  # with the seed of the job
        with pytest.raises(RequestError, match=rf"unlike_data:{source}: t.* changed since the run was trained; .*seed"):
            score(content, settings, told, 0, 1)
        told = {"data": {"fingerprint": {}, "sha256": {"y_test": "5feceb66 ~ 0.5"} if "rows" in source else {}}}
    assert score(content, settings, told, 0, 1).num_examples == 40


def test_other_test_examples_than_those_of_the_training_are_refused(tmp_path):
    import keras
    import user_data

    from nn_train.datasets.examples import digest
    from nn_train.errors import RequestError
    from nn_train.prediction.scorer import score

    keras.Sequential([keras.Input((6,)), keras.layers.Dense(3)]).save(tmp_path / "model.keras")
    content, settings = (tmp_path / "model.keras").read_bytes(), {"data": {"source": "user_data:arrays"}}
    _, (x, y) = user_data.arrays()
    same = {"x_test": digest(x), "y_test": digest(y), "x_train": "was another"}
    assert score(content, settings, {"data": {"sha256": same}}, 0, 1).num_examples == len(y)
    with pytest.raises(RequestError, match=r"data.source: user_data:arrays: y_test changed since the run was trained"):
        score(content, settings, {"data": {"sha256": {**same, "y_test": "other"}}}, 0, 1)


@pytest.mark.parametrize(
    ("about", "said"),
    [
        ({}, ""),
        ({"divisor": None, "num_classes": 3, "class_names": ["0", "1", "2"]}, ""),
        ({"divisor": 255.0}, "the run was trained on bytes, and these examples are numbers that are no bytes"),
        ({"num_classes": 2}, "has the label 2, and the run knows 0 to 1"),
        ({"class_names": ["a", "b", "c"]}, "its classes are called cat, dog, cow, those of the run a, b, c"),
    ],
)
def test_another_test_set_must_be_of_the_same_kind(tmp_path, about, said):
    import keras
    import user_data

    from nn_train.errors import RequestError
    from nn_train.prediction.scorer import score

    keras.Sequential([keras.Input((6,)), keras.layers.Dense(3)]).save(tmp_path / "model.keras")
    _, (x, y) = user_data.arrays()
    y = np.arange(len(y)) % 3
    np.savez(tmp_path / "other.npz", x_test=x, y_test=y, class_names=["cat", "dog", "cow"])
    result = {"data": {"sha256": {"x_test": "of another"}, "tested_on": str(tmp_path / "other.npz"), **about}}
    content, settings = (tmp_path / "model.keras").read_bytes(), {"data": {"source": "gone:load", "args": {"a": 1}}}
    if said:
        with pytest.raises(RequestError, match=rf"^data.source: {tmp_path}/other.npz: {said}$"):
            score(content, settings, result, 0, 1)
    else:
        np.testing.assert_array_equal(score(content, settings, result, 0, 1).shard.y_true, y)
