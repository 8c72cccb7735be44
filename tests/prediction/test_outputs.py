"""What the numbers that a model gives are taken for."""

from __future__ import annotations

import numpy as np
import pytest

from nn_train.prediction.outputs import (
    LIKELY,
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
        (lambda losses: losses.binary_crossentropy, UNKNOWN),  # saved as a function of that name, which may be anyone's
        (lambda losses: dice, UNKNOWN),
        (lambda losses: {"score": "binary_crossentropy"}, PROBABILITIES),
        (lambda losses: "hinge", LOGITS),
        (lambda losses: losses.SquaredHinge(), LOGITS),
        (lambda losses: losses.Dice(), PROBABILITIES),
        (lambda losses: "mse", NUMBERS),
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
        (LINEAR, UNKNOWN, 1, None, LOGITS),
        (LINEAR, NUMBERS, 1, 2, NUMBERS),
        (UNKNOWN, LOGITS, 1, 2, LOGITS),
        (UNKNOWN, UNKNOWN, 1, 2, UNKNOWN),
        (LOGITS, LOGITS, 1, 3, NUMBERS),  # one number for three classes
        (LINEAR, NUMBERS, 3, 3, LOGITS),
        (UNKNOWN, LOGITS, 3, 3, UNKNOWN),  # Keras' losses find a softmax before them all the same
        (UNKNOWN, PROBABILITIES, 3, 3, LIKELY),
        (PROBABILITIES, PROBABILITIES, 3, 3, PROBABILITIES),
        (PROBABILITIES, UNKNOWN, 1, 2, PROBABILITIES),  # a sigmoid that is used elsewhere too
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
    scores, told = settled_scores(UNKNOWN, as_columns(values))
    assert told == kind
    of_each = {LOGITS: lambda z: 1 / (1 + np.exp(-z)), PROBABILITIES: lambda p: p}[kind]
    if values.shape[1] == 1:
        np.testing.assert_allclose(class_probabilities(kind, values)[:, 1], of_each(values[:, 0]), rtol=1e-6)
    shares = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(class_probabilities(kind, values), shares, rtol=1e-5)


@pytest.mark.parametrize(
    ("values", "kind"),
    [([[0.2, 0.9], [0, 0]], PROBABILITIES), ([[0.2, 1.1], [0, 0]], LOGITS), ([[0.2, 0.9], [-0.1, 0]], LOGITS)],
)
def test_what_a_loss_takes_for_probabilities_is_so_within_0_and_1(values, kind):
    values = np.array(values, np.float32)
    scores, told = settled_scores(LIKELY, as_columns(values))
    assert told == kind
    given = class_probabilities(kind, values)
    np.testing.assert_allclose(given.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True), given, rtol=1e-5)
    if kind == PROBABILITIES:
        np.testing.assert_allclose(given, [[2 / 11, 9 / 11], [0.5, 0.5]], rtol=1e-6)


def of_three(ending):
    """A model of six features with three probabilities, whose sum is not always one; trained with Keras' loss."""
    import keras
    from keras import layers, ops

    keras.utils.set_random_seed(3)
    inputs = keras.Input((6,))
    if ending == "sigmoids":
        outputs = layers.Dense(3, "sigmoid")(inputs)
    elif ending == "clipped":
        outputs = ops.clip(layers.Dense(3, "softmax")(inputs), 0.2, 0.6)
    else:  # the last layer is called twice
        head = layers.Dense(3, "softmax") if ending == "shared" else layers.Softmax()
        first = head(layers.Dense(3)(inputs) if ending == "softmax shared" else inputs)
        outputs = head(layers.Dense(3 if ending == "softmax shared" else 6)(layers.Concatenate()([inputs, first])))
    model = keras.Model(inputs, outputs)
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


@pytest.mark.tf
@pytest.mark.parametrize("ending", ["sigmoids", "clipped", "softmax shared"])
def test_several_probabilities_are_told_as_the_loss_takes_them(tmp_path, ending):
    import user_data

    from nn_train.prediction.predict_run import joined, predict_part
    from nn_train.prediction.scorer import score

    model = of_three(ending)
    model.save(tmp_path / "model.keras")
    content = (tmp_path / "model.keras").read_bytes()
    _, (x, _) = user_data.arrays()
    expected = np.array(model(x))
    expected = expected / expected.sum(axis=1, keepdims=True)
    scored = score(content, {"data": {"source": "user_data:arrays"}}, {}, 0, 1)
    logits, _ = (
        settled_scores(scored.output, scored.shard.outputs) if scored.output == LIKELY else (scored.shard.outputs, 0)
    )
    np.testing.assert_allclose(np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True), expected, rtol=1e-4)
    np.savez(tmp_path / "new.npz", x=x)
    about = {"num_classes": 3}
    told = joined([predict_part(content, {}, {"data": about}, str(tmp_path / "new.npz"), 0, 1)], about)
    np.testing.assert_allclose(told.values, expected, rtol=1e-4)


@pytest.mark.tf
def test_what_is_no_answer_is_refused(tmp_path):
    import keras
    import user_data

    from nn_train.errors import RequestError
    from nn_train.prediction.predict_run import predict_part
    from nn_train.prediction.scorer import score

    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3)])
    model.save(tmp_path / "model.keras")
    content, about = (tmp_path / "model.keras").read_bytes(), {"data": {"num_classes": 3}}
    large = np.full((4, 6), 3e38, np.float32)
    large[[0, 2]] = 1
    np.savez(tmp_path / "new.npz", x=large, id=np.array(list("abcd")))
    with pytest.raises(RequestError, match=r"^--data: .*: the model gives NaN or infinity for b, d; look for extreme"):
        predict_part(content, {}, about, str(tmp_path / "new.npz"), 0, 1)
    train, (x, y) = user_data.arrays()
    np.savez(tmp_path / "all.npz", x_train=train[0], y_train=train[1], x_test=x + 3e38, y_test=y)
    with pytest.raises(RequestError, match=r"^model.name: the model gives NaN or infinity for a test example"):
        score(content, {"data": {"source": str(tmp_path / "all.npz")}}, {}, 0, 1)


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
    predicted = np.concatenate([part.shard.outputs.argmax(axis=1) for part in parts if len(part.shard.example_id)])
    np.testing.assert_array_equal(predicted, found > 0.5)
    assert 0 < predicted.sum() < len(predicted)


@pytest.mark.tf
@pytest.mark.parametrize("ending", ["linear, mse", "sigmoid, mse"])
def test_the_number_of_a_regression_is_what_the_model_gives_and_no_score_of_classes(tmp_path, ending):
    import keras
    import user_data

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
        score(content, {"data": {"source": source}, "evaluation": {"task": "binary"}}, {}, 0, 1)
    scored = score(content, {"data": {"source": source}}, {}, 0, 1)
    assert (scored.task, scored.output) == ("regression", "numbers")
    tested = getattr(user_data, source.partition(":")[2])()[1]
    np.testing.assert_allclose(scored.shard.outputs, model(np.asarray(tested[0], np.float32)), rtol=1e-5)
    np.testing.assert_array_equal(scored.shard.y_true[:, 0], tested[1])
    x = np.random.default_rng(0).normal(size=(7, 6)).astype(np.float32)
    np.savez(tmp_path / "new.npz", x=x)
    of_two = [{"num_classes": 2}] if ending == "linear, mse" else []
    for about in (*of_two, {"num_classes": 80, "class_names": [str(age) for age in range(80)]}):
        told = predict_part(content, {}, {"data": about}, str(tmp_path / "new.npz"), 0, 1)
        predicted = joined([told], about)
        assert predicted.class_names is None
        np.testing.assert_allclose(predicted.values, keras.ops.convert_to_numpy(model(x)), rtol=1e-5)
