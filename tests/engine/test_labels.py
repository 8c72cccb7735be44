"""In which form a loss that is named by the job is given the labels, or what is said where it cannot be."""

from __future__ import annotations

import pytest

from nn_train.config import OptimizerConfig, TrainConfig
from nn_train.errors import RequestError

pytestmark = pytest.mark.tf


def made(outputs, loss=None, activation=None):
    import keras

    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(outputs, activation)])
    if loss is not None:
        model.compile("sgd", loss)
    return model


def targets(shape, dtype):
    import tensorflow as tf

    return tf.zeros((5, *shape), dtype)


@pytest.mark.parametrize(
    ("loss", "shape", "dtype", "one_hot", "depth"),
    [
        ("cross_entropy", (), "int32", False, None),
        ("cross_entropy", (3,), "float32", True, None),
        ("mse", (1,), "int32", True, 3),
        ("Huber", (), "uint8", True, 3),
        ("SparseCategoricalCrossentropy", (), "int32", False, None),
        ("CategoricalGeneralizedCrossEntropy", (), "int32", False, None),
    ],
)
def test_labels_get_the_form_that_the_loss_takes(loss, shape, dtype, one_hot, depth):
    from nn_train.engine.labels import LabelForm, label_form

    assert label_form(TrainConfig(loss=loss), made(3), targets(shape, dtype)) == LabelForm(one_hot, depth)


@pytest.mark.parametrize(
    ("loss", "outputs", "shape", "dtype", "said"),
    [
        (
            "CategoricalGeneralizedCrossEntropy",
            3,
            (3,),
            "float32",
            r"^train.loss: Categorical\w+ takes class labels \[N\]; the targets are float32 \[N, 3\]: take Categorical",
        ),
        (
            "Huber",
            3,
            (),
            "float32",
            r"Huber takes class labels \[N\] or a number .*; the targets are float32 \[N\]: give",
        ),
        ("mse", 1, (), "int32", "of at least two outputs; the targets are int32"),
    ],
)
def test_a_form_that_the_loss_cannot_take_is_refused(loss, outputs, shape, dtype, said):
    from nn_train.engine.labels import label_form

    with pytest.raises(RequestError, match=said):
        label_form(TrainConfig(loss=loss), made(outputs), targets(shape, dtype))


@pytest.mark.parametrize(
    ("loss", "outputs", "shape", "said"),
    [
        ("mse", 1, (), None),
        ("Huber", 1, (1,), None),
        ("mse", 3, (3,), None),
        ("cross_entropy", 1, (), "train.loss: cross_entropy takes class labels; .* for a regression take mse"),
        ("BinaryCrossentropy", 1, (), "takes class labels"),
        ("mse", 3, (), r"as many as the model gives; the targets are float32 \[N\]: the model's outputs have shape"),
        ("mse", 1, (2, 2), "as many as the model gives"),
    ],
)
def test_a_regression_gets_its_targets_as_they_are_and_no_accuracy(loss, outputs, shape, said):
    from nn_train.engine.labels import number_form
    from nn_train.engine.metrics import make_metrics

    y = targets(shape, "float32")
    if said:
        with pytest.raises(RequestError, match=said):
            number_form(TrainConfig(loss=loss), made(outputs), y)
        return
    form = number_form(TrainConfig(loss=loss), made(outputs), y)
    assert (form.one_hot, form.depth, form.numbers) == (False, None, True)
    (metric,) = make_metrics(TrainConfig(loss=loss, metrics=("mae",)), made(outputs), form.one_hot, form.numbers)
    assert type(metric).__name__ == "MeanAbsoluteError"


def test_a_compiled_model_is_given_the_labels_as_they_are_but_for_mse():
    from nn_train.engine.labels import label_form

    y = targets((), "int32")
    assert (
        label_form(TrainConfig(loss="mse"), made(3, "mean_squared_error"), y).depth is None
    )  # a function, not Keras' class
    for loss, depth in (("mse", 3), ("cross_entropy", None)):
        import keras

        assert label_form(TrainConfig(loss=loss), made(3, keras.losses.MeanSquaredError()), y).depth == depth


def test_labels_become_one_hot():
    import numpy as np
    import tensorflow as tf

    from nn_train.engine.labels import one_hot

    for y in ([2, 0], [[2], [0]]):
        np.testing.assert_array_equal(one_hot(tf.constant(y), 3), [[0, 0, 1], [1, 0, 0]])
    assert one_hot({"a": 1}, None) == {"a": 1}


@pytest.mark.parametrize(
    ("loss", "activation", "one_hot", "name", "from_logits"),
    [
        ("cross_entropy", "softmax", False, "SparseCategoricalCrossentropy", False),
        ("categorical_crossentropy", None, True, "CategoricalCrossentropy", True),
        ("BinaryCrossentropy", "sigmoid", True, "BinaryCrossentropy", False),
        ("kl_divergence", "softmax", True, "KLDivergence", None),
        ("huber", None, True, "Huber", None),
    ],
)
def test_a_named_loss_is_keras_own_and_told_of_logits(loss, activation, one_hot, name, from_logits):
    from nn_train.engine.optimizers import make_loss

    found = make_loss(loss, made(3, activation=activation), one_hot)
    assert (type(found).__name__, found.get_config().get("from_logits")) == (name, from_logits)


@pytest.mark.parametrize("loss", ["KLDivergence", "Dice"])
def test_a_loss_of_probabilities_is_not_given_logits(loss):
    from nn_train.engine.optimizers import make_loss

    with pytest.raises(RequestError, match=f"train.loss: {loss} takes probabilities, and the model gives none that"):
        make_loss(loss, made(3), one_hot=True)
    assert type(make_loss(loss, made(3, activation="softmax"), one_hot=True)).__name__ == loss


def test_a_name_that_this_keras_does_not_have_is_refused_in_the_worker():
    from nn_train.engine.optimizers import keras_class

    with pytest.raises(RequestError, match=r"^train.loss: 'Newest' is not known; allowed: cross_entropy, "):
        keras_class("train.loss", "losses", "Newest")


def test_arguments_that_keras_refuses_are_told_in_one_line():
    from nn_train.engine.optimizers import make_optimizer

    settings = OptimizerConfig(args={"clipnorm": 1, "clipvalue": 1})
    with pytest.raises(RequestError, match=r"^optimizer.args: Keras refuses them for Adam: Only one of .*$"):
        make_optimizer(settings, None)
