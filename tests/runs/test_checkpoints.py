"""A continued run takes the steps of an uninterrupted one; a torn checkpoint is never read."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tiers import long

from nn_train.storage.folder import ResultsFolder

# The run that is interrupted, the one that is not, workers.
CONTINUED = [
    ("continued", "dropout", 2),
    ("continued_even", "mse", 1),
    long("continued", "dropout", 3),
    long("continued_stream", "stream_dropout", 2),
]
WITHIN = [
    ("within", "dropout", 2),
    ("within_callbacks", "callbacks", 2),
    ("within_even", "mse", 1),
    long("within", "dropout", 3),
    long("within_even", "mse", 3),
    long("within_norm", "batch_norm", 3),
    long("within_stream", "stream_dropout", 2),
    long("within_averages", "averages", 2),
]


@pytest.mark.dist
@pytest.mark.parametrize(("continued", "whole", "size"), CONTINUED)
def test_a_continued_run_is_bit_identical(outcome, size, continued, whole):
    # Dropout on, with and without a last batch that leaves workers without a row: the draws must come back as well.
    assert outcome(size).history(continued) == outcome(size).history(whole)
    for one, other in zip(outcome(size).variables(continued), outcome(size).variables(whole), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.dist
@pytest.mark.parametrize(("continued", "whole", "size"), WITHIN)
def test_a_run_continued_within_an_epoch_is_bit_identical(outcome, size, continued, whole):
    # Nor does it matter where an epoch is interrupted: the whole run was not, the other one after every step.
    assert outcome(size).returned(continued) == [[1, 2]] * size
    assert outcome(size).history(continued) == outcome(size).history(whole)
    for one, other in zip(outcome(size).variables(continued), outcome(size).variables(whole), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.dist
def test_early_stopping_and_the_best_epoch_so_far_are_continued(outcome):
    import keras

    names = ("patience", "continued_patience")
    whole, continued = (outcome(1).history(name) for name in names)
    assert 3 <= len(whole) < 30  # it stops early, and not before the other one was interrupted
    assert continued == whole
    results = [json.loads((outcome(1).folder(name) / "result.json").read_text()) for name in names]
    assert results[0]["best_epoch"] == results[1]["best_epoch"] < len(whole)
    best = [keras.models.load_model(outcome(1).folder(name) / "model.keras").get_weights() for name in names]
    for one, other in zip(*best, strict=True):
        np.testing.assert_array_equal(one, other)


ANOTHER = "run.storage_path: another worker cannot read "
NOT_THE_SAME = "run.storage_path: the workers do not see the same "


@pytest.mark.dist
def test_a_worker_that_cannot_read_the_checkpoint_or_reads_another_stops_all_of_them(outcome):
    chief, other = outcome(2).returned("unreadable_run")
    assert chief[0].startswith(f"OtherWorkerError: {ANOTHER}")
    assert other[0].startswith("StorageError: checkpoints/epoch-000003")
    assert [said.startswith(f"RequestError: {NOT_THE_SAME}") for said in (chief[1], other[1])] == [True] * 2
    assert chief[2].startswith(f"OtherWorkerError: {ANOTHER}")  # though it found none, as for a run that begins
    assert other[2].startswith("TypeError: ")


@pytest.mark.dist
def test_a_run_that_replaces_another_does_not_begin_before_that_is_gone(outcome):
    assert outcome(2).returned("replaced_run") == [["none"], ["none"]]
    assert outcome(2).history("replaced_run") == outcome(2).history("dropout")


@pytest.mark.dist
def test_a_trial_of_which_a_worker_cannot_read_the_checkpoint_is_not_trained(outcome):
    chief, other = outcome(2).returned("unreadable_trial")
    for worker in (chief, other):
        assert worker["trained"] == [1, 2]
        assert worker["went_on"] == [2, 3]
        for begun, after, done, rows in worker["said"]:
            assert (after, done, rows) == (begun, True, [])
    assert chief["said"][0][0].startswith(ANOTHER)
    assert other["said"][0][0].startswith("checkpoints/epoch-000002")
    assert [worker["said"][1][0].startswith(NOT_THE_SAME) for worker in (chief, other)] == [True] * 2


@pytest.mark.tf
def test_a_damaged_checkpoint_is_passed_over_with_a_warning(tmp_path):
    import keras

    from nn_train.runs import checkpoints

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    model.optimizer.build(model.trainable_variables)
    folder = ResultsFolder(str(tmp_path), "run")
    checkpoints.save(folder, model, [{"epoch": 1}])
    before = [np.asarray(v.value) for v in checkpoints.state_variables(model)]
    model.set_weights([weight + 1 for weight in model.get_weights()])
    checkpoints.save(folder, model, [{"epoch": 1}, {"epoch": 2}])
    newest = tmp_path / "run" / "checkpoints" / "epoch-000002-step-000000000.ckpt"
    newest.write_bytes(newest.read_bytes()[:-7])
    warnings: list[str] = []
    found = checkpoints.load_newest(folder, warnings.append)
    assert found is not None
    assert found.epochs == 1
    assert len(warnings) == 1
    assert "epoch-000002" in warnings[0]
    checkpoints.restore(model, found)
    for variable, value in zip(checkpoints.state_variables(model), before, strict=True):
        np.testing.assert_array_equal(np.asarray(variable.value), value)


@pytest.mark.tf
def test_of_the_checkpoints_the_newest_two_stay_also_within_an_epoch(tmp_path):
    import keras

    from nn_train.engine.chunks import PartialEpoch
    from nn_train.runs.checkpoints import load_newest, save

    folder, model = ResultsFolder(str(tmp_path)), keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    for step in (8, 64, 100):
        save(folder, model, [{"epoch": 1}], PartialEpoch(step=step, loss_sum=0.0, metrics=np.zeros((1, 0))))
    assert len(folder.names("checkpoints")) == 2
    assert load_newest(folder, print).partial.step == 100
    newest = tmp_path / "checkpoints" / folder.names("checkpoints")[-1]
    newest.write_bytes(newest.read_bytes()[:-1])
    assert load_newest(folder, print).partial.step == 64
