"""Trials with callbacks in one process: the numbers of runs of their own."""

from __future__ import annotations

import math

import pytest

pytestmark = pytest.mark.tf

PRESET, OWN = {"dropout": 0.2}, {"name": "reuse_models:plain", "dropout": 0.2}


def job(callbacks, model, rate):
    from nn_train.config import config_from_dict

    sections = {"data": {"source": "user_data:arrays"}, "model": model, "optimizer": {"learning_rate": rate}}
    train = {"batch_size": 16, "epochs": 2, "callbacks": f"user_callbacks:{callbacks}"}
    return config_from_dict(
        {"scaling": {"num_workers": 1}, "train": train, "search": {"reuse_graph": True}, **sections}
    )


def alone(config, replicas, folder):
    """The losses of a run of its own."""
    from nn_train.datasets import load_data
    from nn_train.engine.preparation import prepare_model
    from nn_train.runs.callbacks import given_callbacks
    from nn_train.search.trial_training import TrialTraining

    data, given = load_data(config.data), given_callbacks(config, replicas, folder.location)
    loop = prepare_model(config, data, replicas, by_batches=given.by_batches).loop()
    return [row["loss"] for row in TrialTraining(config, data, loop, given, folder, {}, None).epochs()]


def worker_of(replicas):
    """The process of a trial, which has joined nobody."""
    from nn_train.runs.chunk_hooks import TimedHooks
    from nn_train.runs.watchdog import Watchdog
    from nn_train.search.trial_worker import TrialWorker
    from nn_train.search.warm.models import WarmModels

    worker, watch = TrialWorker(0, 1), Watchdog(math.inf, lambda seconds: None)
    worker.models = WarmModels(replicas)
    worker.hooks = TimedHooks(math.inf, replicas, save=lambda partial: None, watch=watch, asked_to_drain=lambda: False)
    return worker


def as_trial(worker, config, folder):
    """The losses of a trial."""
    assert worker.begin(config, folder, {}) == ""
    while not (outcome := worker.epoch()).done:
        pass
    assert outcome.cause == ""
    return [row["loss"] for row in outcome.rows]


@pytest.mark.parametrize(
    ("callbacks", "model", "traced"),
    [
        ("freezes", PRESET, 3),
        ("of_keras", PRESET, 1),
        ("freezes", OWN, 3),
        ("of_keras", OWN, 2),  # one to compare
    ],
    ids=str,
)
def test_what_callbacks_change_in_a_model_counts_and_is_not_there_for_the_next_trial(
    callbacks, model, traced, tmp_path
):
    import tensorflow as tf

    from nn_train.engine.strategy import Replicas
    from nn_train.storage.folder import ResultsFolder

    replicas = Replicas(strategy=tf.distribute.get_strategy(), rank=0, size=1)
    worker = worker_of(replicas)
    runs, trials = [], []
    for number, rate in enumerate((0.02, 0.005, 0.02)):
        config, folder = job(callbacks, model, rate), ResultsFolder(str(tmp_path / "trials" / str(number)))
        runs.append(alone(config, replicas, folder))
        trials.append(as_trial(worker, config, folder))
    assert trials == runs
    assert worker.models.traced == traced
    assert runs[0] == runs[2] != runs[1]
