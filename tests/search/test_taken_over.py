"""A trial that takes over another's weights, as PBT lets it: its own numbers from then on, and what is said of it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from trial_records import job as search_job

from nn_train.search.journal import trial_folder
from nn_train.search.trainable import TrialSettings, for_search
from nn_train.storage.folder import ResultsFolder

pytestmark = pytest.mark.tf
RATE = "optimizer.learning_rate"
MEASURED = {"loss", "accuracy", "val_loss", "val_accuracy", "seconds", "samples_per_second"}
COLUMNS = {"epoch", *MEASURED, "learning_rate", "world_size"}
GOOD, WORSE, AWFUL = {RATE: 0.02}, {RATE: 0.001}, {RATE: 5.0}


def job(values):
    from nn_train.config import config_from_dict
    from nn_train.config.space import with_values

    sections = {"data": {"source": "user_data:arrays"}, "model": {"hidden_units": 8}, "scaling": {"num_workers": 1}}
    return with_values(config_from_dict({**sections, "train": {"batch_size": 16, "epochs": 9}}), values)


@pytest.fixture(scope="module")
def worker():
    import tensorflow as tf
    from test_warm_callbacks import worker_of

    from nn_train.engine.strategy import Replicas

    return worker_of(Replicas(strategy=tf.distribute.get_strategy(), rank=0, size=1))


def begun(worker, folder, name, values):
    """The worker, ready for a trial."""
    assert worker.begin(job(values), ResultsFolder(str(folder), f"trials/{name}"), values, values) == ""
    return worker


def after(worker, epochs):
    """What the worker says after so many epochs more."""
    for _ in range(epochs):
        outcome = worker.epoch()
        assert outcome.cause == ""
    return outcome


def taken_over(worker, folder, mine, theirs=GOOD, epochs=2):
    """The worker with a trial of ``mine`` that has taken over another's epochs."""
    after(begun(worker, folder, "other", theirs), epochs)
    state = worker.state()
    after(begun(worker, folder, "mine", WORSE), 1)
    begun(worker, folder, "mine", mine).restore(state, of_other=True)
    return worker


@pytest.mark.parametrize(
    ("mine", "numbers", "mixed"),
    [
        (AWFUL, {"values": GOOD, "draws": GOOD}, False),  # the best epoch is one of those taken over
        ({RATE: 0.01}, {}, True),  # the best epoch is its own
        (GOOD, {}, False),
    ],
)
def test_the_numbers_of_a_trial_are_those_of_its_best_epoch(worker, tmp_path, mine, numbers, mixed):
    outcome = after(taken_over(worker, tmp_path, mine), 1)
    assert [row["epoch"] for row in outcome.rows] == [1, 2, 3]
    assert (outcome.numbers, outcome.mixed) == (numbers, mixed)
    assert outcome.rows[-1]["learning_rate"] == pytest.approx(mine[RATE])
    assert all(set(row) == COLUMNS for row in outcome.rows)


def test_they_are_known_after_a_kill_and_to_a_third_trial(worker, tmp_path):
    taken_over(worker, tmp_path, AWFUL)
    standing = ResultsFolder(str(tmp_path), "trials/mine").read_json("standing.json")
    assert (standing["values"], standing["draws"], len(standing["rows"])) == (AWFUL, AWFUL, 2)
    assert all(set(row) == COLUMNS for row in standing["rows"])
    after(worker, 1)
    state = worker.state()  # which is kept in the folder as well
    again = after(begun(worker, tmp_path, "mine", AWFUL), 1)
    assert len(again.rows) == 3
    assert (again.numbers["values"], again.mixed) == (GOOD, False)
    begun(worker, tmp_path, "third", WORSE).restore(state, of_other=True)
    third = after(worker, 1)
    assert len(third.rows) == 4
    assert third.numbers["values"] == GOOD
    assert worker.training.trained_with[-2:] == [{"values": one, "draws": one} for one in (AWFUL, WORSE)]


def test_a_checkpoint_of_an_older_version_goes_on(worker, tmp_path):
    from nn_train.runs import checkpoints

    after(begun(worker, tmp_path, "old", GOOD), 2)
    training = worker.training
    training.keep(checkpoints.pack(checkpoints.state_variables(training.model), training.history))
    outcome = after(begun(worker, tmp_path, "old", GOOD), 2)
    assert (len(outcome.rows), outcome.numbers, outcome.mixed) == (3, {}, False)


def test_the_weights_of_the_best_epoch_are_taken_over_with_the_others(tmp_path):
    """Else the model of a trial that then gets no better is not that of its best epoch."""
    config = search_job(tmp_path, scheduler="pbt")
    folder = ResultsFolder(str(tmp_path))
    settings = TrialSettings(base=config, space={}, folder=folder, data=None, parcel=None)
    one = object.__new__(for_search(settings))
    one.workers = SimpleNamespace(state=lambda: b"state", restore=lambda content, of_other: None)
    for name in ("t00000", "t00001"):
        trial_folder(folder, name).write("best.weights", name.encode())
    kept = tmp_path / "checkpoint"
    kept.mkdir()
    one.trial = "t00000"
    one.save_checkpoint(str(kept))
    trial_folder(folder, "t00000").write("best.weights", b"of a later epoch")
    for name, left in (("t00000", b"of a later epoch"), ("t00001", b"t00000")):
        one.trial = name
        one.load_checkpoint(str(kept))
        assert trial_folder(folder, name).read("best.weights") == left
