"""What the numbers that a model gives are taken for."""

from __future__ import annotations

import numpy as np
import pytest

from nn_train.prediction.outputs import (
    LINEAR,
    LOGITS,
    NUMBERS,
    PROBABILITIES,
    UNKNOWN,
    as_columns,
    class_probabilities,
    kind_by_loss,
    kind_of_outputs,
    loss_of,
    settled,
    settled_scores,
)


def dice(y, z):
    """A loss of logits, called as one of Keras'."""
    return (y - z) ** 2


@pytest.mark.tf
@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda losses: "binary_crossentropy", PROBABILITIES),
        (lambda losses: losses.BinaryCrossentropy(), PROBABILITIES),
        (lambda losses: losses.BinaryCrossentropy(from_logits=True), LOGITS),
        (lambda losses: [losses.BinaryFocalCrossentropy(from_logits=True)], LOGITS),
        (lambda losses: "BinaryCrossentropy", PROBABILITIES),
        (lambda losses: losses.binary_crossentropy, UNKNOWN),  # saved as a function of that name, which may be anyone's
        (lambda losses: dice, UNKNOWN),
        (lambda losses: {"score": "binary_crossentropy"}, PROBABILITIES),
        (lambda losses: "hinge", LOGITS),
        (lambda losses: losses.SquaredHinge(), LOGITS),
        (lambda losses: "squared_hinge", LOGITS),
        (lambda losses: losses.Dice(), PROBABILITIES),
        (lambda losses: "dice", PROBABILITIES),
        (lambda losses: "mse", NUMBERS),
        (lambda losses: losses.Huber(), NUMBERS),
        (lambda losses: lambda y, z: (y - z) ** 2, UNKNOWN),
        (lambda losses: None, UNKNOWN),
    ],
)
def test_a_loss_says_what_it_takes_the_outputs_for(tmp_path, make, kind):
    import keras

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, name="score")])
    loss = make(keras.losses)
    if loss is not None:
        model.compile(loss=loss)
    model.save(tmp_path / "model.keras")
    assert kind_by_loss(loss_of((tmp_path / "model.keras").read_bytes())) == kind


@pytest.mark.parametrize(
    ("by_layer", "by_loss", "columns", "classes", "kind"),
    [
        (LOGITS, PROBABILITIES, 1, 2, LOGITS),  # a sigmoid that was left out
        (LINEAR, PROBABILITIES, 1, 2, PROBABILITIES),
        (LINEAR, LOGITS, 1, 2, LOGITS),
        (LINEAR, UNKNOWN, 1, None, LOGITS),
        (LINEAR, NUMBERS, 1, 2, NUMBERS),
        (UNKNOWN, LOGITS, 1, 2, LOGITS),
        (UNKNOWN, PROBABILITIES, 1, 2, PROBABILITIES),
        (UNKNOWN, UNKNOWN, 1, 2, UNKNOWN),
        (LOGITS, LOGITS, 1, 3, NUMBERS),  # one number for three classes
        (LINEAR, NUMBERS, 3, 3, LOGITS),
        (UNKNOWN, NUMBERS, 3, 3, UNKNOWN),
    ],
)
def test_of_one_number_the_loss_decides_where_the_last_layer_does_not(by_layer, by_loss, columns, classes, kind):
    assert kind_of_outputs(by_layer, by_loss, columns, classes) == kind


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([[0.2], [0.9]], PROBABILITIES),
        ([[0.2], [1.9]], LOGITS),
        ([[-0.2], [0.9]], LOGITS),
        ([[0.2, 0.8], [0.5, 0.5]], PROBABILITIES),
        ([[0.2, 0.8], [0.5, 0.6]], LOGITS),
    ],
)
def test_where_nothing_tells_the_numbers_of_all_examples_do(values, kind):
    values = np.array(values, np.float32)
    assert settled(UNKNOWN, values) == kind
    scores, told = settled_scores(as_columns(values))
    assert told == kind
    of_each = {LOGITS: lambda z: 1 / (1 + np.exp(-z)), PROBABILITIES: lambda p: p}[kind]
    if values.shape[1] == 1:
        np.testing.assert_allclose(class_probabilities(kind, values)[:, 1], of_each(values[:, 0]), rtol=1e-6)
    shares = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(class_probabilities(kind, values), shares, rtol=1e-5)


def binary(ending):
    """A model of six features with one number, which is a probability or a logit, as its loss says."""
    import keras

    inputs = keras.Input((6,))
    score = keras.layers.Dense(1)(inputs)
    squashed = keras.layers.Activation("sigmoid")(score)
    endings = {"operation": keras.ops.sigmoid(score), "linear": score, "linear, mse": score, "sigmoid, mse": squashed}
    outputs = endings[ending]
    model = keras.Model(inputs, outputs)
    model.compile(loss="mse" if ending.endswith("mse") else "binary_crossentropy")
    return model


@pytest.mark.tf
@pytest.mark.parametrize("ending", ["operation", "linear"])
def test_two_classes_are_told_apart_where_the_loss_does(tmp_path, ending):
    """And not all examples are of class 1."""
    import user_data

    from nn_train.prediction.scorer import score

    model = binary(ending)
    model.save(tmp_path / "model.keras")
    _, (x, _) = user_data.two_classes()
    found = np.asarray(model(x))[:, 0]
    settings = {"data": {"source": "user_data:two_classes"}}
    parts = [score((tmp_path / "model.keras").read_bytes(), settings, {}, rank, 2) for rank in range(2)]
    assert {part.output for part in parts if len(part.shard.example_id)} == {PROBABILITIES}
    predicted = np.concatenate([part.shard.logits.argmax(axis=1) for part in parts if len(part.shard.example_id)])
    np.testing.assert_array_equal(predicted, found > 0.5)
    assert 0 < predicted.sum() < len(predicted)


@pytest.mark.tf
@pytest.mark.parametrize("ending", ["linear, mse", "sigmoid, mse"])
def test_the_number_of_a_regression_is_no_score_of_classes(tmp_path, ending):
    import keras

    from nn_train.errors import RequestError
    from nn_train.prediction.predict_run import joined, predict_part
    from nn_train.prediction.scorer import score

    model = binary(ending)
    model.save(tmp_path / "model.keras")
    content = (tmp_path / "model.keras").read_bytes()
    source = "user_data:two_classes" if ending == "linear, mse" else "user_data:arrays"
    with pytest.raises(
        RequestError, match=r"^model\.name: the model gives one number for each example, and that is no"
    ):
        score(content, {"data": {"source": source}}, {}, 0, 1)
    x = np.random.default_rng(0).normal(size=(7, 6)).astype(np.float32)
    np.savez(tmp_path / "new.npz", x=x)
    of_two = [{"num_classes": 2}] if ending == "linear, mse" else []
    for about in (*of_two, {"num_classes": 80, "class_names": [str(age) for age in range(80)]}):
        told = predict_part(content, {}, {"data": about}, str(tmp_path / "new.npz"), 0, 1)
        predicted = joined([told], about)
        assert predicted.class_names is None
        np.testing.assert_allclose(predicted.values, keras.ops.convert_to_numpy(model(x)), rtol=1e-5)


@pytest.mark.tf
def test_several_labels_of_an_example_are_told_each_by_itself(tmp_path):
    import keras

    from nn_train.prediction.predict_run import joined, predict_part

    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3, activation="sigmoid")])
    model.compile(loss="binary_crossentropy")
    model.save(tmp_path / "model.keras")
    x = np.random.default_rng(0).normal(size=(7, 6)).astype(np.float32)
    np.savez(tmp_path / "new.npz", x=x)
    about = {"num_classes": None, "class_names": ["red", "round", "ripe"]}
    content = (tmp_path / "model.keras").read_bytes()
    told = predict_part(content, {}, {"data": about}, str(tmp_path / "new.npz"), 0, 1)
    np.testing.assert_allclose(joined([told], about).values, keras.ops.convert_to_numpy(model(x)), rtol=1e-5)
