"""What the trainer changes of Ray Train's."""

from __future__ import annotations

import os

from ray.train.v2._internal.execution.controller import TrainController

from nn_train.training import trainer
from nn_train.training.trainer import Controller

INTERVAL, WATCHER = "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER"


def test_the_controller_reads_the_users_settings_before_ours_which_nobody_else_sees(monkeypatch):
    seen = {}
    monkeypatch.setattr(TrainController, "__init__", lambda self, **given: seen.update(os.environ))
    monkeypatch.setattr(trainer, "leave_barrier_out", lambda: None)
    monkeypatch.setenv(INTERVAL, "7")
    monkeypatch.delenv(WATCHER, raising=False)
    Controller()
    assert (seen[INTERVAL], seen[WATCHER]) == ("7", "0")
    assert os.environ[INTERVAL] == "7"
    assert WATCHER not in os.environ
