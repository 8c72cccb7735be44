"""What the trainer changes of Ray Train's, and when a job lets go of it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import threading
import time
from types import SimpleNamespace

import pytest
from ray.exceptions import ActorDiedError
from ray.train.v2._internal.callbacks import DatasetsCallback, WorkingDirectorySetupCallback
from ray.train.v2._internal.callbacks.metrics import WorkerMetricsCallback
from ray.train.v2._internal.callbacks.placement_group_callback import PlacementGroupCleanerCallback
from ray.train.v2._internal.execution.controller import TrainController
from ray.train.v2._internal.execution.worker_group import WorkerGroup

from nn_train.config import config_from_dict
from nn_train.runs.worker import Job
from nn_train.storage.folder import ResultsFolder
from nn_train.training import ray_train, trainer
from nn_train.training.trainer import Controller, Trainer, Workers

INTERVAL, WATCHER = "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER"


def test_ray_train_reads_the_users_settings_before_ours_which_nobody_else_sees(monkeypatch):
    seen = {}
    monkeypatch.setattr(TrainController, "__init__", lambda self, **given: seen.update(os.environ))
    monkeypatch.setenv(INTERVAL, "7")
    monkeypatch.delenv(WATCHER, raising=False)
    Controller()
    assert (seen[INTERVAL], seen[WATCHER]) == ("7", "0")
    assert os.environ[INTERVAL] == "7"
    assert WATCHER not in os.environ


def test_a_worker_is_given_up_within_the_time_of_the_job_and_its_start_within_a_multiple(monkeypatch):
    seen, removed = {}, threading.Event()
    monkeypatch.setattr(trainer, "PATIENT", 0.01)
    monkeypatch.setattr(trainer, "remove_placement_group", lambda group: removed.set() if group == "stuck" else None)
    monkeypatch.setattr(WorkerGroup, "__init__", lambda self, context: seen.update(os.environ))
    monkeypatch.setattr(WorkerGroup, "_create_workers", lambda self, number, group: removed.wait(group == "stuck"))
    monkeypatch.setattr(WorkerGroup, "poll_status", lambda self: "asked")
    job = SimpleNamespace(config=config_from_dict({"run": {"hang_timeout": 10.0}}))
    group = Workers(SimpleNamespace(train_loop_config={"jobs": [job]}))
    assert 8 < float(seen["RAY_TRAIN_WORKER_HEALTH_CHECK_TIMEOUT_S"]) <= 10
    group._create_workers(2, "well")
    assert group.poll_status() == "asked"
    assert group.limit.finished.is_set()
    assert group._create_workers(2, "stuck")


@pytest.mark.parametrize("is_local", [True, False])
def test_callbacks_that_cost_time_or_move_the_workers_are_left_out(monkeypatch, is_local):
    ours = object()
    kinds = [PlacementGroupCleanerCallback, DatasetsCallback, WorkingDirectorySetupCallback, WorkerMetricsCallback]
    given, seen = [*(object.__new__(kind) for kind in kinds), ours], []

    class Ends(Interrupted):
        def __init__(self, **arguments):
            seen.extend(arguments["callbacks"])

    run(monkeypatch, Ends, is_local, given)
    assert seen == ([ours] if is_local else given[3:])


class Interrupted:
    """A controller whose workers were in the midst of their work when the interrupt came."""

    ended: list[str]

    def __init__(self, **arguments):
        """Nothing of Ray's."""

    async def run(self):
        raise KeyboardInterrupt

    def end_lost_workers(self):
        raise AssertionError

    def end_workers(self):
        self.ended.append("workers")


def run(monkeypatch, controller, is_local=True, callbacks=()):
    """Ray Train's trainer comes to the point where it starts a controller."""
    controller.ended = []
    monkeypatch.setattr(trainer, "Controller", controller)
    for name in ("RetryLostWorkers", "RoomPolicy"):
        monkeypatch.setattr(trainer, name, lambda *given: SimpleNamespace())
    made = object.__new__(Trainer)
    made.run_config = SimpleNamespace(failure_config=None)
    made.scaling_config = made.scaling = made.tell = None
    made.is_local = is_local
    with pytest.raises(KeyboardInterrupt):
        made._initialize_and_run_controller(callbacks=callbacks)


def test_an_interrupt_ends_the_workers(monkeypatch):
    run(monkeypatch, Interrupted)
    assert Interrupted.ended == ["workers"]


@pytest.mark.parametrize("started", [False, True])
def test_what_fails_after_an_interrupt_does_not_hide_it(started):
    called = []

    class Group:
        def has_started(self):
            return started

        def abort(self):
            called.append("abort")
            raise ActorDiedError

    controller = object.__new__(Controller)
    for controller._worker_group in (None, Group()):
        controller.end_workers()
    assert called == ["abort"] * started


def test_a_controller_runs_where_an_event_loop_runs_already():
    async def inner(seen):
        await asyncio.sleep(0)
        seen.append(asyncio.get_running_loop())

    async def outer():
        seen = [asyncio.get_running_loop()]
        trainer.run_here(inner(seen))
        seen.append(asyncio.get_running_loop())
        await asyncio.sleep(0)
        return seen

    first, within, after = asyncio.run(outer())
    assert first is after
    assert within is not first


@pytest.fixture
def interruptible():
    """This process is interrupted as one that a person started: a lane's ignores it."""
    kept = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, kept)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_reaches_who_waits_and_leaves_nothing(caplog, waits):
    ended = []

    async def work():
        asyncio.get_running_loop().call_soon(signal.raise_signal, signal.SIGINT)
        try:
            if waits:
                await asyncio.sleep(3600)
            await asyncio.sleep(0)
            threading.Event().wait(3600)  # as ``ray.get`` does, which knows nothing of the loop
        finally:
            ended.append(True)

    with pytest.raises(KeyboardInterrupt):
        trainer.run_here(work())
    gc.collect()
    assert ended == [True]
    assert not caplog.records  # of a task that was destroyed while it was pending


@pytest.mark.parametrize("overwrite", [False, True])
def test_an_interrupted_run_says_how_it_goes_on(tmp_path, monkeypatch, overwrite):
    class Interrupted:
        def __init__(self, *given, **named):
            pass

        def fit(self):
            raise KeyboardInterrupt

    for name in ("check_placeable", "check_shared"):
        monkeypatch.setattr(ray_train, name, lambda *given: None)
    monkeypatch.setattr(ray_train, "no_group_left", contextlib.nullcontext)
    monkeypatch.setattr(ray_train, "Trainer", Interrupted)
    config = config_from_dict({"run": {"overwrite": overwrite}})
    job = Job(config, ResultsFolder(str(tmp_path), "run"), ("test",), time.time())
    again = "the same command" + (" without --run.overwrite" if overwrite else "")
    with pytest.raises(KeyboardInterrupt, match=f"run goes on from the last checkpoint with {again}.$"):
        ray_train.run_on_ray([job], print, verbose=False)
