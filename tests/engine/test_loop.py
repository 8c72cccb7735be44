"""The number of workers does not change the mathematics, and one worker does what Keras does."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import re

import numpy as np
import pytest
import user_data
from tiers import long

pytestmark = pytest.mark.dist

SAME_MATHEMATICS = [
    "uneven",
    "one_row_left",
    "clipped",
    "stream",
    "callbacks",
    "short_embedding",
    "positions",
    "batch_norm",
    "weighted",
    "by_class",
    "by_name",
    "augmented",
    "weighs",
]
THREE = ["uneven", "one_row_left", "clipped", "short_embedding", "batch_norm", "averages"]
FROM_WHOLE_BATCHES = ["own_steps", "guide_steps", "averages", "hardest", "listening"]
ALSO_FROM_WHOLE_BATCHES = ["masked", "counts", "two_outputs"]
ON_SEVERAL = [(run, 2) for run in SAME_MATHEMATICS + FROM_WHOLE_BATCHES]
ON_SEVERAL += [long(run, 2) for run in ALSO_FROM_WHOLE_BATCHES]
ON_SEVERAL += [long(run, 3) for run in THREE]


@pytest.mark.parametrize(("run", "size"), ON_SEVERAL)
def test_the_number_of_workers_does_not_change_metrics_and_weights(outcome, run, size):
    for one, several in zip(outcome(1).history(run), outcome(size).history(run), strict=True):
        assert several == pytest.approx(one, rel=1e-4)
    for one, several in zip(outcome(1).variables(run), outcome(size).variables(run), strict=True):
        np.testing.assert_allclose(several, one, rtol=2e-4, atol=1e-5)


def test_the_same_seed_twice_gives_the_same_metrics_and_weights(outcome):
    assert outcome(2).history("dropout") == outcome(2).history("again")
    for one, other in zip(outcome(2).variables("dropout"), outcome(2).variables("again"), strict=True):
        np.testing.assert_array_equal(one, other)


def test_loss_scaling_does_not_depend_on_the_number_of_workers(outcome):
    for one, several in zip(outcome(1).history("float16"), outcome(2).history("float16"), strict=True):
        assert several == pytest.approx(one, rel=1e-3)


@pytest.mark.parametrize("run", ["mse", "float16", "bfloat16"])
def test_other_losses_and_precisions_learn(outcome, run):
    first, last = outcome(1).history(run)[0], outcome(1).history(run)[-1]
    assert np.isfinite(last["loss"])
    assert last["loss"] < first["loss"]


@pytest.mark.parametrize("run", ["float16", "bfloat16"])
def test_the_asked_precision_is_the_models(outcome, run):
    import keras

    model = keras.models.load_model(outcome(1).folder(run) / "model.keras")
    assert {layer.dtype_policy.name for layer in model.layers if layer.weights} == {f"mixed_{run}"}


@pytest.mark.parametrize(("run", "size"), [("batch_norm", 2), ("clipped", 2), ("mse", 1), long("mse", 3)])
def test_validation_equals_evaluating_the_saved_model(outcome, run, size):
    import keras
    import tensorflow as tf
    import user_code  # noqa: F401 - makes its classes known to Keras

    from nn_train.datasets import Examples
    from nn_train.datasets.examples import hold_out

    (x, y), _ = user_data.two_inputs() if run == "clipped" else user_data.arrays()
    _, validation = hold_out(Examples(x=x, y=y), 0.5 if run == "mse" else 0.1)  # mse: several batches a worker
    assert validation.size % 3 != 0  # uneven over three workers
    targets = tf.one_hot(validation.y, 3).numpy() if run == "mse" else validation.y
    model = keras.models.load_model(outcome(size).folder(run) / "model.keras")
    expected = model.evaluate(validation.x, targets, batch_size=validation.size, verbose=0, return_dict=True)
    history = outcome(size).history(run)
    best = min(history, key=lambda row: row["val_loss"])
    for name, value in expected.items():
        assert best[f"val_{name}"] == pytest.approx(value, rel=2e-6, abs=1e-7)


def test_a_validation_loss_that_no_metric_counts_is_the_mean_over_the_examples(outcome):
    import keras
    import own_ways

    from nn_train.datasets import Examples
    from nn_train.datasets.examples import hold_out

    (x, y), _ = user_data.short_arrays()
    _, validation = hold_out(Examples(x=x, y=y), 0.1)
    model = own_ways.own_steps()
    model.load_weights(outcome(2).folder("own_steps") / "model.keras")
    losses = keras.losses.sparse_categorical_crossentropy(validation.y, model(validation.x))
    best = min(row["val_loss"] for row in outcome(2).history("own_steps"))
    assert best == pytest.approx(float(np.mean(losses)), rel=1e-5)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("diverges", "the loss is nan in epoch 2, step 10"),
        ("diverges_unseen", "weights are NaN or infinite, seen after epoch 2, step 1[012] "),
    ],
)
def test_what_is_not_finite_stops_all_workers_names_the_step_and_keeps_the_last_good_checkpoint(outcome, model, said):
    for message, epochs, finite in (worker[model] for worker in outcome(2).returned("diverged")):
        assert re.match(said, message)
        assert (epochs, finite) == (1, True)


@pytest.mark.parametrize(
    ("run", "source", "model"),
    [
        ("dropout", "user_data:short_arrays", "mlp"),
        ("short_embedding", "user_data:short_tokens", "user_code:embedding"),
        ("weighted", "user_data:weighted_with_validation", "user_code:plain"),
        ("by_class", "user_data:short_arrays", "user_code:plain"),
        ("by_name", "user_data:short_arrays", "user_code:plain"),
        ("own_steps", "user_data:short_arrays", "own_ways:own_steps"),
        ("guide_steps", "user_data:short_arrays", "own_ways:guide_steps"),
        ("averages", "user_data:short_arrays", "own_ways:averages"),
        ("float16", "user_data:arrays", "mlp"),
        long("masked", "own_ways:tagged_tokens", "own_ways:masked"),
    ],
)
def test_one_worker_follows_the_trajectory_of_model_fit(outcome, request, run, source, model):
    import keras

    from nn_train.config import config_from_dict
    from nn_train.datasets import load_data
    from nn_train.engine.optimizers import compile_model
    from nn_train.engine.preparation import build_for, sample_rows

    # Dropout on: the masks must be the same too. The batches are those of the loop, the last one short.
    sections = {"data": {"source": source}, "model": {"name": model}, "train": {"batch_size": 16}}
    if run == "float16":  # the losses must be scaled by as much
        sections["model"]["dropout"] = 0
        sections["optimizer"] = {"name": "sgd", "learning_rate": 0.03}
        request.addfinalizer(lambda: keras.config.set_dtype_policy("float32"))
        keras.config.set_dtype_policy("mixed_float16")
    config = config_from_dict({"seed": 3, **sections})
    data = load_data(config.data)
    if run == "by_class":  # Keras' class_weight is not for generators; it makes weights of the examples as well
        weights = np.array([2.0, 1.0, 0.25], np.float32)[data.train.y]
        data = dataclasses.replace(data, train=dataclasses.replace(data.train, weight=weights))
    keras.utils.set_random_seed(3)
    model = build_for(config, data, sample_rows(data, 1))
    compile_model(model, config.optimizer, config.train, None)
    if run == "by_name":
        lion = keras.optimizers.Lion(1e-3, beta_1=0.8, weight_decay=0.1)
        loss = lambda y, scores: keras.losses.huber(keras.ops.one_hot(keras.ops.reshape(y, [-1]), 3), scores)  # noqa: E731
        top = keras.metrics.SparseTopKCategoricalAccuracy(k=2, name="top_k_categorical_accuracy")
        model.compile(lion, loss, metrics=["accuracy", top])
    rows = outcome(1).history(run)
    batches, steps = in_the_order_of_the_loop(data.train), math.ceil(data.train.size / 16)
    losses = []
    each = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: losses.append(float(logs["loss"])))
    fitted = model.fit(batches, epochs=len(rows), steps_per_epoch=steps, verbose=0, callbacks=[each]).history
    if run == "own_steps":  # no metric counts its loss
        sizes = [min(16, data.train.size - 16 * step) for step in range(steps)]
        assert set(fitted["loss"]) == {0.0}
        fitted["loss"] = np.average(np.reshape(losses, (len(rows), steps)), axis=1, weights=sizes).tolist()
    compared = [name for name, values in fitted.items() if np.ndim(values) == 1]
    assert {"loss"} | ({"top_k_categorical_accuracy"} if run == "by_name" else set()) <= set(compared)
    for name in compared:
        assert [row[name] for row in rows] == pytest.approx(fitted[name], rel=1e-5)
    trained = outcome(1).variables(run)[: len(model.weights)]
    if run == "averages":  # the checkpoint has those with which training goes on
        assert rows[-1]["val_loss"] == min(row["val_loss"] for row in rows)
        saved = keras.models.load_model(outcome(1).folder(run) / "model.keras", compile=False)
        trained = saved.get_weights()
    for ours, fit in zip(trained, model.get_weights(), strict=True):
        np.testing.assert_allclose(ours, fit, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("size", [1, 2])
def test_callbacks_are_told_of_batches_and_validations_as_fit_tells_them(outcome, tmp_path, size):
    """And what they change in the midst of an epoch, and that they end one, holds on all workers."""
    import keras
    import user_callbacks

    from nn_train.config import config_from_dict
    from nn_train.datasets import load_data
    from nn_train.engine.optimizers import compile_model
    from nn_train.engine.preparation import build_for, sample_rows

    config = config_from_dict({"seed": 3, "data": {"source": "user_data:short_arrays"}, "train": {"batch_size": 16}})
    data = load_data(config.data)
    keras.utils.set_random_seed(3)
    model = build_for(config, data, sample_rows(data, 1))
    compile_model(model, config.optimizer, config.train, None)
    steps, held = math.ceil(data.train.size / 16), data.validation
    told = {"callbacks": user_callbacks.listening(tmp_path), "verbose": 0}
    validation = {"validation_data": (held.x, held.y), "validation_batch_size": 16}
    batches = in_the_order_of_the_loop(data.train)
    model.fit(batches, epochs=9, steps_per_epoch=steps, **validation, **told)
    seen = json.loads((outcome(size).folder("listening") / "seen.json").read_text())
    expected = json.loads((tmp_path / "seen.json").read_text())
    assert [moment for moment, _ in seen] == [moment for moment, _ in expected]
    assert [loss for _, loss in seen] == pytest.approx([loss for _, loss in expected], rel=1e-4)
    kept = [path.name for path in sorted(outcome(size).folder("listening").glob("*.weights.h5"))]
    assert kept == [path.name for path in sorted(tmp_path.glob("*.weights.h5"))]


def in_the_order_of_the_loop(examples):
    """Batches of 16, in each epoch in the order that a run of seed 3 has; without end."""
    for epoch in itertools.count():
        order = np.random.default_rng((3, epoch)).permutation(examples.size)
        for first in range(0, examples.size, 16):
            yield tuple(part[order[first : first + 16]] for part in examples.parts)


def test_penalties_count_once_and_not_once_per_worker(outcome):
    import keras

    from nn_train.datasets import Examples
    from nn_train.datasets.examples import hold_out

    model = keras.models.load_model(outcome(2).folder("uneven") / "model.keras")
    penalty = float(sum(model.losses))
    (x, y), _ = user_data.arrays()
    _, validation = hold_out(Examples(x=x, y=y), 0.1)
    data_loss = float(np.mean(keras.losses.sparse_categorical_crossentropy(validation.y, model(validation.x))))
    best = min(outcome(2).history("uneven"), key=lambda row: row["val_loss"])
    assert penalty > 0.05
    assert best["val_loss"] == pytest.approx(data_loss + penalty, rel=1e-5)


def test_the_result_tells_what_was_trained(outcome):
    folder = outcome(2).folder("uneven")
    record = json.loads((folder / "result.json").read_text())
    assert record["status"] == "finished"
    assert record["epochs"] == 2
    assert record["world_size"] == 2
    assert record["data"]["examples"] == {"train": 91, "validation": 10, "test": 40}
    assert record["metrics"]["best"]["val_loss"] == min(row["val_loss"] for row in outcome(2).history("uneven"))
    assert set(record["versions"]) == {"python", "tensorflow", "keras", "ray", "numpy", "nn_train"}
