"""``train.metrics``: each counts what Keras' class of that name counts of the labels in its own form."""

from __future__ import annotations

import pytest

from nn_train.config import config_from_dict
from nn_train.engine.keras_names import classes
from nn_train.errors import RequestError

NEEDED = {
    "PrecisionAtRecall": {"recall": 0.5},
    "RecallAtPrecision": {"precision": 0.5},
    "SensitivityAtSpecificity": {"specificity": 0.5},
    "SpecificityAtSensitivity": {"sensitivity": 0.5},
    "OneHotIoU": {"num_classes": 3, "target_class_ids": [0, 1]},
    "OneHotMeanIoU": {"num_classes": 3},
    "TopKCategoricalAccuracy": {"k": 2},
    "SparseTopKCategoricalAccuracy": {"k": 2},
}
OF_LABELS = ("SparseCategoricalAccuracy", "SparseCategoricalCrossentropy", "SparseTopKCategoricalAccuracy")


def job(metrics, loss="cross_entropy"):
    return config_from_dict({"train": {"metrics": metrics, "loss": loss}})


def model_of(activation):
    import keras

    keras.utils.set_random_seed(1)
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation)])


def counted(config, model, x, labels):
    """What the model's metrics are for these labels, compiled as the job says, on all rows."""
    import tensorflow as tf

    from nn_train.engine.labels import label_form, one_hot
    from nn_train.engine.optimizers import compile_model

    form = label_form(config.train, model, tf.constant(labels))
    compile_model(model, config.optimizer, config.train, None, form.one_hot)
    y = one_hot(tf.constant(labels), form.depth)
    return form.one_hot, model.evaluate(x, y, batch_size=len(x), verbose=0, return_dict=True)


@pytest.fixture
def examples():
    import numpy as np

    random = np.random.default_rng(3)
    return random.normal(size=(40, 4)).astype("float32"), random.integers(0, 3, 40)


@pytest.mark.tf
def test_a_named_metric_is_that_of_keras_in_its_own_form_of_labels(examples):
    alike = [name for name in classes("metrics") if name not in OF_LABELS and f"Sparse{name}" not in OF_LABELS]
    with_counterpart = [name for name in classes("metrics") if name not in alike]
    assert len(alike) > 30
    check_counted(examples, alike, "cross_entropy", one_hot=True)
    check_counted(examples, with_counterpart, "cross_entropy", one_hot=False)
    check_counted(examples, with_counterpart, "mse", one_hot=True)


def check_counted(examples, names, loss, one_hot):
    import keras
    import numpy as np

    from nn_train.engine.metrics import only_one_hot

    x, labels = examples
    model, metrics = model_of("softmax"), [{name: {**NEEDED.get(name, {}), "name": name}} for name in names]
    assert only_one_hot(metrics) == [name for name in names if one_hot and loss == "cross_entropy"]
    form, found = counted(job(metrics, loss), model, x, labels)
    assert form == one_hot
    for name in names:
        expected = getattr(keras.metrics, name)(**NEEDED.get(name, {}))
        expected.update_state(labels if name in OF_LABELS else np.eye(3, dtype="float32")[labels], model(x))
        np.testing.assert_allclose(found[name], expected.result(), rtol=1e-5, err_msg=name)
    accuracy = keras.metrics.SparseCategoricalAccuracy()
    accuracy.update_state(labels, model(x))
    assert found["accuracy"] == pytest.approx(float(accuracy.result()))


@pytest.mark.tf
@pytest.mark.parametrize("name", ["CategoricalCrossentropy", "TopKCategoricalAccuracy", "F1Score", "OneHotMeanIoU"])
def test_of_logits_it_is_the_same(examples, name):
    import numpy as np

    x, labels = examples
    metrics = [{name: {**NEEDED.get(name, {}), "name": "of_mine"}}]
    values = [counted(job(metrics), model_of(activation), x, labels)[1]["of_mine"] for activation in ("softmax", None)]
    np.testing.assert_allclose(*values, rtol=1e-5)


@pytest.mark.tf
@pytest.mark.parametrize(
    ("metric", "refused"),
    [
        ("AUC", True),
        ("Precision", True),
        ("KLDivergence", True),
        ({"F1Score": {"threshold": 0.5}}, True),
        ("BinaryCrossentropy", True),
        ({"AUC": {"from_logits": True}}, False),
        ("F1Score", False),
        ("MeanSquaredError", False),
    ],
)
def test_logits_are_no_probabilities(examples, metric, refused):
    if refused:
        with pytest.raises(
            RequestError, match=r"^train.metrics: \w+ takes probabilities, and the model gives none that"
        ):
            counted(job([metric]), model_of(None), *examples)
    else:
        counted(job([metric]), model_of(None), *examples)


@pytest.mark.tf
def test_outputs_that_are_each_a_probability_are_counted_as_such(examples):
    import keras
    import numpy as np

    x, labels = examples
    y = np.eye(3, dtype="float32")[labels]
    found = counted(job(["AUC", "BinaryAccuracy"], "BinaryCrossentropy"), model_of("sigmoid"), x, y)[1]
    logits = counted(job(["AUC"], "BinaryCrossentropy"), model_of(None), x, y)[1]
    assert logits["auc"] == pytest.approx(found["auc"], abs=1e-5)
    expected = keras.metrics.BinaryAccuracy()
    expected.update_state(y, model_of("sigmoid")(x))
    assert found["binary_accuracy"] == pytest.approx(float(expected.result()))


@pytest.mark.tf
def test_what_cannot_be_counted_together_is_refused(examples):
    x, labels = examples
    with pytest.raises(
        RequestError, match=r"F1Score takes a number for each output, Categorical.* labels: take the loss"
    ):
        counted(job(["F1Score"], "CategoricalGeneralizedCrossEntropy"), model_of("softmax"), x, labels)
    with pytest.raises(RequestError, match=r"^train.metrics: Keras refuses the arguments of F1Score: "):
        counted(job([{"F1Score": {"average": "most"}}]), model_of("softmax"), x, labels)
    smoothed = job([{"CategoricalCrossentropy": {"label_smoothing": 0.1}}])
    assert counted(smoothed, model_of("softmax"), x, labels)[0]  # which that of whole numbers does not have
